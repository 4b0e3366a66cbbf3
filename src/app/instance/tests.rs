//! Claims about opening an installation.

use super::key::KEY_FILE;
use super::*;
use crate::config::Loader;

fn config(folder: &Path, variables: &[(&str, &str)]) -> Arc<Config> {
    let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
    Arc::new(Loader::new().environment(env.into_iter()).dir(Some(folder)).load().unwrap())
}

async fn open(folder: &Path, variables: &[(&str, &str)]) -> Result<(), AppError> {
    let instance = Instance::open(config(folder, variables), Clock::System).await?;
    instance.store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_missing_instance_key_is_not_replaced_while_the_database_is_sealed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &[]).await.unwrap();
    let (file, away) = (folder.path().join(KEY_FILE), folder.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    let refused = open(folder.path(), &[]).await.unwrap_err();
    assert!(matches!(&refused, AppError::KeyMissing(path) if *path == file), "{refused}");
    assert!(!file.exists(), "a new key was left behind");
    std::fs::write(&file, "f".repeat(64)).unwrap();
    let refused = open(folder.path(), &[]).await.unwrap_err();
    assert!(matches!(&refused, AppError::KeyDiffers(what) if *what == file.display().to_string()), "{refused}");
    std::fs::rename(&away, &file).unwrap();
    open(folder.path(), &[]).await.unwrap();
}

#[tokio::test]
async fn folder_key_and_database_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let instance = Instance::open(config(&folder, &[]), Clock::System).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in [KEY_FILE, "connex.db", "connex.db-wal", "connex.db-shm"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    instance.store.close().await;
}

#[tokio::test]
async fn another_instance_secret_is_refused_and_the_first_one_opens_again() {
    const SECRET: &str = "CONNEX__KEYS__INSTANCE_SECRET";
    let folder = tempfile::tempdir().unwrap();
    let (first, other) = ("one secret of at least 32 characters", "other secret of at least 32 characters");
    open(folder.path(), &[(SECRET, first)]).await.unwrap();
    let refused = open(folder.path(), &[(SECRET, other)]).await.unwrap_err();
    assert!(matches!(&refused, AppError::KeyDiffers(what) if what.contains("instance_secret")), "{refused}");
    assert!(!refused.to_string().contains(other));
    assert!(matches!(open(folder.path(), &[]).await, Err(AppError::KeyMissing(_))), "no secret at all");
    open(folder.path(), &[(SECRET, first)]).await.unwrap();
}
