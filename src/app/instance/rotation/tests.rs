//! Claims about a change of the instance key, and about an end of the process between any two of its steps.

use std::path::Path;
use std::sync::Arc;

use super::super::key::{KEY_FILE, NEW_KEY_FILE};
use super::super::keyring::{KEYRING_FILE, look};
use super::super::{Instance, open_store};
use super::*;
use crate::clock::Clock;
use crate::config::Loader;
use crate::seal::body::{BodySealer, SealedKey};
use crate::store::instance::KeyHolder;
use crate::store::tests::engine::{Engine, Place};

const FIRST: &str = "the first secret, of at least 32 characters";
const SECOND: &str = "the second secret, of at least 32 characters";
const THIRD: &str = "the third secret, of at least 32 characters";
const BODY: &[u8] = b"which body it is";

fn config(folder: &Path, secret: Option<&str>) -> Arc<Config> {
    let variables = secret.map(|secret| ("CONNEX__KEYS__INSTANCE_SECRET".to_owned(), secret.to_owned()));
    Arc::new(Loader::new().environment(variables.into_iter()).dir(Some(folder)).load().unwrap())
}

async fn open(folder: &Path, secret: Option<&str>) -> Result<Instance, AppError> {
    Instance::open(config(folder, secret), Clock::System).await
}

/// What was sealed and derived at one time.
struct Sealed {
    secret: String,
    pepper: [u8; 32],
    body: SealedKey,
}

impl Sealed {
    fn by(instance: &Instance) -> Self {
        let key = &instance.key;
        let body = key.bodies().seal(&BodySealer::new(), BODY);
        Self { secret: key.seal("row", "a secret"), pepper: *key.pepper(), body }
    }

    fn is_open_to(&self, instance: &Instance) {
        let key = &instance.key;
        assert_eq!(key.open("row", &self.secret).unwrap(), "a secret");
        assert_eq!(*key.pepper(), self.pepper, "API keys are known");
        assert!(key.bodies().open(&self.body, BODY).is_ok(), "the body opens");
    }
}

async fn sealed(folder: &Path, secret: Option<&str>) -> Sealed {
    let instance = open(folder, secret).await.unwrap();
    let sealed = Sealed::by(&instance);
    instance.store.close().await;
    sealed
}

async fn expect_open(folder: &Path, secret: Option<&str>, sealed: &[&Sealed]) {
    let instance = open(folder, secret).await.unwrap();
    sealed.iter().for_each(|sealed| sealed.is_open_to(&instance));
    instance.store.close().await;
}

async fn changed(folder: &Path, secret: Option<&str>, new: Option<&str>) -> Result<Rotated, AppError> {
    let config = config(folder, secret);
    let store = open_store(&config.database, Clock::System).await.unwrap();
    let changed = begin(&config, &store, new).await;
    store.close().await;
    changed
}

async fn finished(folder: &Path, secret: Option<&str>) -> Result<Rotated, AppError> {
    let config = config(folder, secret);
    let store = open_store(&config.database, Clock::System).await.unwrap();
    let finished = finish(&config, &store).await;
    store.close().await;
    finished
}

/// The keys that open the keyring, by the copy that counts.
async fn keys(folder: &Path, secret: Option<&str>) -> Vec<SecretId> {
    let config = config(folder, secret);
    let store = open_store(&config.database, Clock::System).await.unwrap();
    let unlocked = look(&config, &store).await.unwrap().unwrap();
    store.close().await;
    unlocked.locked.map(|locked| locked.keys()).unwrap_or_default()
}

async fn is_given_up(folder: &Path, secret: Option<&str>) {
    let refused = open(folder, secret).await.unwrap_err();
    assert!(matches!(refused, AppError::KeyGivenUp { .. }), "{refused}");
    assert!(refused.to_string().contains("put the new one in place"), "{refused}");
}

#[tokio::test]
async fn an_end_between_any_two_steps_leaves_what_opens_and_the_command_goes_on() {
    let all = [Step::WriteNew, Step::FileForBoth, Step::DatabaseForBoth, Step::PutInPlace, LAST[0], LAST[1]];
    for ended in 0..=all.len() {
        let folder = tempfile::tempdir().unwrap();
        let before = sealed(folder.path(), None).await;
        let old = std::fs::read_to_string(folder.path().join(KEY_FILE)).unwrap();
        let own = config(folder.path(), None);
        let store = open_store(&own.database, Clock::System).await.unwrap();
        let rotation = Rotation::begin(&own, &store, None).await.unwrap();
        assert_eq!(rotation.steps, all);
        for step in &rotation.steps[..ended] {
            rotation.take(*step).await.unwrap();
        }
        let new = rotation.new.clone();
        store.close().await;

        let between = sealed(folder.path(), None).await;
        expect_open(folder.path(), None, &[&before, &between]).await;
        if ended < all.len() {
            let Rotated::Done(key) = changed(folder.path(), None, None).await.unwrap() else { panic!("{ended}") };
            // Without the keyring for both, the key that was drawn never counted; with the last one it is a further change.
            assert_eq!(key == new, (2..5).contains(&ended), "{ended} steps");
        }
        let after = sealed(folder.path(), None).await;
        expect_open(folder.path(), None, &[&before, &between, &after]).await;
        assert_ne!(after.body.data_key(), before.body.data_key(), "{ended}: new mail has the new data key");
        assert_eq!(keys(folder.path(), None).await.len(), 1, "{ended}");
        assert!(!folder.path().join(NEW_KEY_FILE).exists(), "{ended}");

        std::fs::write(folder.path().join(KEY_FILE), old).unwrap();
        is_given_up(folder.path(), None).await;
    }
}

#[tokio::test]
async fn keys_and_keyring_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    changed(folder.path(), None, None).await.unwrap();
    for name in [KEY_FILE, KEYRING_FILE] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{names:?}");
}

#[tokio::test]
async fn a_key_of_the_configuration_is_changed_by_its_owner_while_both_open_and_given_up_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, first, second) = (folder.path(), Some(FIRST), Some(SECOND));
    let before = sealed(folder, first).await;
    let refused = changed(folder, first, None).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::NewKeyMissing)), "{refused}");
    let refused = changed(folder, first, first).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::SameKey)), "{refused}");
    assert_eq!(finished(folder, first).await.unwrap(), Rotated::Nothing);

    let prepared = Rotated::Prepared(Secret::of(SECOND).id());
    assert_eq!(changed(folder, first, second).await.unwrap(), prepared);
    assert_eq!(changed(folder, first, second).await.unwrap(), prepared, "again, as after an interruption");
    for (own, new) in [(first, Some(THIRD)), (first, None), (second, second), (second, Some(THIRD))] {
        let refused = changed(folder, own, new).await.unwrap_err();
        assert!(matches!(refused, AppError::Rotation(RotationError::UnderWay(_))), "{own:?} {new:?}: {refused}");
    }
    let between = sealed(folder, first).await;
    expect_open(folder, first, &[&before, &between]).await;
    expect_open(folder, second, &[&before, &between]).await;
    let refused = finished(folder, first).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::OldKeyInPlace { .. })), "{refused}");
    assert_eq!(finished(folder, second).await.unwrap(), Rotated::Done(Secret::of(SECOND).id()));
    is_given_up(folder, first).await;
    is_given_up(folder, Some(THIRD)).await;
    let anew = sealed(folder, second).await;
    expect_open(folder, second, &[&before, &between, &anew]).await;
    assert_eq!(between.body.data_key(), before.body.data_key(), "as long as the old key opens the keyring");
    assert_ne!(anew.body.data_key(), before.body.data_key(), "with a key that was never sealed for the old one");

    changed(folder, second, Some(THIRD)).await.unwrap();
    finished(folder, Some(THIRD)).await.unwrap();
    let after = sealed(folder, Some(THIRD)).await;
    expect_open(folder, Some(THIRD), &[&before, &between, &anew, &after]).await;
    assert_ne!(after.body.data_key(), anew.body.data_key(), "each change draws a data key");
    is_given_up(folder, second).await;
}

#[tokio::test]
async fn the_old_key_is_not_given_up_while_a_running_gateway_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Secret::of(FIRST).id().to_string(), Secret::of(SECOND).id().to_string());
    changed(folder.path(), Some(FIRST), Some(SECOND)).await.unwrap();
    let own = config(folder.path(), Some(SECOND));
    let store = open_store(&own.database, Clock::System).await.unwrap();
    let holder =
        |name: &str, key: &String| KeyHolder { node: store.clock().mint(), name: name.into(), key: key.clone() };
    let behind = holder("gw-2", &old);
    store.note_key_holder(holder("gw-1", &new)).await.unwrap();
    store.note_key_holder(behind.clone()).await.unwrap();
    let refused = finish(&own, &store).await.unwrap_err().to_string();
    assert!(refused.contains("gw-2") && !refused.contains("gw-1"), "{refused}");
    store.note_key_holder(KeyHolder { key: new.clone(), ..behind }).await.unwrap();
    assert!(matches!(finish(&own, &store).await.unwrap(), Rotated::Done(_)));
    store.close().await;
}

#[tokio::test]
async fn a_gateway_that_runs_takes_the_new_data_key_over_also_when_the_old_key_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(folder.path(), None).await.unwrap();
    let before = running.key.bodies().current();
    for _ in 0..2 {
        changed(folder.path(), None, None).await.unwrap();
        let elsewhere = sealed(folder.path(), None).await;
        assert!(!running.key.bodies().has(elsewhere.body.data_key()));
        assert!(running.key.bodies().look_up(elsewhere.body.data_key()).await);
        elsewhere.is_open_to(&running);
        assert_eq!(running.key.bodies().current(), elsewhere.body.data_key());
    }
    assert!(running.key.bodies().has(before));
    running.store.close().await;
}

#[tokio::test]
async fn the_keyring_is_read_without_the_database_and_without_its_file_and_the_later_copy_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    changed(path, None, None).await.unwrap();
    let file = path.join(KEYRING_FILE);
    let older = std::fs::read(&file).unwrap();
    changed(path, None, None).await.unwrap();
    let after = sealed(path, None).await;
    let whole = std::fs::read(&file).unwrap();

    std::fs::remove_file(&file).unwrap();
    expect_open(path, None, &[&after]).await;
    assert_eq!(std::fs::read(&file).unwrap(), whole, "it is written again");
    std::fs::write(&file, older).unwrap();
    expect_open(path, None, &[&after]).await;
    assert_eq!(std::fs::read(&file).unwrap(), whole, "the one of the database is later");

    let lose = || ["", "-wal", "-shm"].map(|end| std::fs::remove_file(path.join(format!("connex.db{end}"))));
    assert!(lose()[0].is_ok());
    expect_open(path, None, &[&after]).await;
    std::fs::remove_file(&file).unwrap();
    expect_open(path, None, &[&after]).await;

    let key = std::fs::read(path.join(KEY_FILE)).unwrap();
    assert!(lose()[0].is_ok());
    std::fs::remove_file(path.join(KEY_FILE)).unwrap();
    let refused = open(path, None).await.unwrap_err();
    assert!(matches!(refused, AppError::KeyMissing(_)), "no new key is made beside a keyring: {refused}");
    std::fs::write(path.join(KEY_FILE), key).unwrap();
    std::fs::write(&file, "{}").unwrap();
    let refused = open(path, None).await.unwrap_err();
    assert!(matches!(&refused, AppError::Keyring { place, .. } if place.ends_with(KEYRING_FILE)), "{refused}");
}

#[tokio::test]
async fn one_process_at_a_time_changes_the_key_and_nobody_over_a_keyring_that_is_not_the_one_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    drop(sealed(folder.path(), Some(FIRST)).await);
    let own = config(folder.path(), Some(FIRST));
    let store = open_store(&own.database, Clock::System).await.unwrap();
    let held = turn(&own).unwrap();
    let refused = begin(&own, &store, Some(SECOND)).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::Busy)), "{refused}");
    drop(held);
    // Another node does not see the lock.
    let late = Rotation::begin(&own, &store, Some(THIRD)).await.unwrap();
    begin(&own, &store, Some(SECOND)).await.unwrap();
    let refused = late.take(Step::DatabaseForBoth).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::Busy)), "{refused}");
    store.close().await;
    expect_open(folder.path(), Some(SECOND), &[]).await;
}

#[tokio::test]
async fn nodes_with_the_key_in_their_data_folders_get_the_new_one_in_turn_until_the_old_one_is_given_up() {
    let Place::Postgres(settings) = Place::new(Engine::Postgres).await else { panic!("a schema") };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = folders.each_ref().map(|folder| folder.path().join(KEY_FILE));
    let configs = folders.each_ref().map(|folder| {
        let loader = Loader::new().dir(Some(folder.path())).set("--url", "database.url", &settings.url);
        Arc::new(loader.load().unwrap())
    });
    let opened = async |node: usize| {
        let instance = Instance::open(Arc::clone(&configs[node]), Clock::System).await?;
        let sealed = Sealed::by(&instance);
        Ok::<_, AppError>((instance, sealed))
    };
    let (first, before) = opened(0).await.unwrap();
    std::fs::copy(&files[0], &files[1]).unwrap();
    let (second, _) = opened(1).await.unwrap();
    before.is_open_to(&second);

    let Rotated::Prepared(new) = begin(&configs[0], &first.store, None).await.unwrap() else { panic!("both open it") };
    for (node, store) in [(0, &first.store), (1, &second.store)] {
        let refused = begin(&configs[node], store, None).await.unwrap_err();
        assert!(matches!(&refused, AppError::Rotation(RotationError::UnderWay(key)) if *key == new), "{refused}");
        before.is_open_to(&opened(node).await.unwrap().0);
    }
    let refused = finish(&configs[1], &second.store).await.unwrap_err();
    assert!(matches!(refused, AppError::Rotation(RotationError::OldKeyInPlace { .. })), "{refused}");
    assert_eq!(finish(&configs[0], &first.store).await.unwrap(), Rotated::Done(new));
    let refused = opened(1).await.err().unwrap();
    assert!(matches!(refused, AppError::KeyGivenUp { .. }), "{refused}");
    std::fs::copy(&files[0], &files[1]).unwrap();
    let (_, after) = opened(1).await.unwrap();
    assert!(first.key.bodies().look_up(after.body.data_key()).await, "who ran meanwhile opens it, too");
    after.is_open_to(&first);
    assert!(!folders[0].path().join(KEYRING_FILE).exists(), "the database has it");
}

#[test]
fn a_file_without_a_key_or_with_spaces_before_it_is_no_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new");
    for (text, is_key) in
        [(SECOND, true), ("short", false), (&format!(" {SECOND}"), false), (&format!("{SECOND} \n"), true)]
    {
        std::fs::write(&file, text).unwrap();
        let read = super::super::key::text_in(&file);
        assert_eq!(read.as_ref().ok().map(String::as_str), is_key.then_some(SECOND), "{text:?}");
        assert!(read.is_ok() || matches!(read, Err(AppError::Rotation(RotationError::NoKey(_)))));
    }
}

#[tokio::test]
async fn the_password_of_a_relay_opens_after_each_change_of_the_key() {
    use crate::app::domain_desk;
    use crate::governance::audit::Who;
    use crate::mail::address::Domain;
    use crate::service::domains::relay::{RelayRequest, open as open_relay};

    let folder = tempfile::tempdir().unwrap();
    let instance = open(folder.path(), None).await.unwrap();
    let tenant = instance.store.add_tenant("acme").await.unwrap();
    let own = instance.store.for_tenant(tenant);
    own.assume_domain(&Domain::parse("acme.example").unwrap()).await.unwrap();
    let row = own.domains().await.unwrap().remove(0);
    let request = RelayRequest {
        relay: "smtp.acme.example:587".into(),
        tls: None,
        user: Some("gateway".into()),
        password: Some("tidewater".into()),
    };
    let desk = domain_desk(&instance.config);
    desk.set_relay(&instance.store, &instance.key, &row, request, Who::Operator).await.unwrap();
    let before = own.domain_relay("acme.example").await.unwrap().unwrap();
    instance.store.close().await;
    for _ in 0..2 {
        assert!(matches!(changed(folder.path(), None, None).await.unwrap(), Rotated::Done(_)));
        let instance = open(folder.path(), None).await.unwrap();
        let kept = instance.store.for_tenant(tenant).domain_relay("acme.example").await.unwrap().unwrap();
        assert_eq!(kept, before, "what is sealed is sealed for what the keyring holds");
        assert!(open_relay(&instance.key, tenant, &kept).is_ok());
        instance.store.close().await;
    }
    let stranger = crate::seal::InstanceKey::new(&[9; 32]);
    assert!(open_relay(&stranger, tenant, &before).is_err());
}
