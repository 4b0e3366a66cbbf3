//! A copy of an installation with SQLite, made while it runs, and put back.
//!
//! The database is copied first, as of one moment, and the spool after it. Nothing is read into the database that is not in
//! the spool before, so a copied database never knows of mail that the copied spool does not have. Segments are copied from
//! the newest to the oldest: each one is at least as complete as it was when a later one was copied, so what is copied of
//! the log is a beginning of it, with a tail that may be torn, as after a power cut.
//!
//! The list of files with their digests is written last: a copy that was interrupted has none, and is not put back.
//!
//! What it must never do: change anything in the installation that is copied; put anything over one that exists.

mod files;
mod list;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, Database};
use crate::store::{Store, StoreError};

use files::{KEY, Kept, SPOOL};
pub use list::{Entry, List, ListError};

/// Why an installation was not copied, or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The installation is on PostgreSQL, which has tools of its own.
    #[error(
        "{database} is backed up as any PostgreSQL database, and holds all mail: pg_dump --format=custom --file=connex.dump \
         DATABASE_URL (and pg_restore --create), or pg_basebackup with its log. Keep the file of keys.instance_secret_file \
         beside it: without it the secrets in the database cannot be opened"
    )]
    Postgres {
        /// The server, without what is secret.
        database: String,
    },
    /// There is no installation here.
    #[error("{} does not exist: there is nothing to back up", .0.display())]
    Nothing(PathBuf),
    /// The target has something in it.
    #[error("{} is not empty: name a folder that does not exist yet", .0.display())]
    Occupied(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("{} cannot be {action}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's words.
        source: io::Error,
    },
    /// The list of a backup is missing or wrong.
    #[error("{}: {source}", path.display())]
    List {
        /// The list's file.
        path: PathBuf,
        /// What is wrong with it.
        source: ListError,
    },
    /// A file of the backup is not what was written.
    #[error("{} is not what was backed up: its length or digest differs. Take another backup", .0.display())]
    Altered(PathBuf),
    /// The database cannot be copied.
    #[error("the database cannot be copied: {0}")]
    Store(#[from] StoreError),
    /// The step was interrupted.
    #[error("it was interrupted")]
    Interrupted,
}

/// What was copied, or put back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The folder that was written.
    pub folder: PathBuf,
    /// Files.
    pub files: usize,
    /// Their bytes, without the holes in them.
    pub bytes: u64,
    /// Whether the key that secrets are sealed with is among them. If not, the configuration names it.
    pub has_key: bool,
}

/// Copies the installation that `config` describes into the folder `target`.
///
/// # Errors
/// Says what is in the way; what was written so far is no backup, and is left for inspection.
pub async fn back_up(config: &Config, made_at: String, target: &Path) -> Result<Summary, BackupError> {
    let database = sqlite_file(config)?;
    let data = config.server.data_dir.clone();
    if !database.is_file() {
        return Err(BackupError::Nothing(database));
    }
    files::make_empty(target)?;
    let copy = target.join(files::DATABASE);
    files::make_private(&copy)?;
    Store::copy_sqlite(&database, &copy).await?;
    let target = target.to_owned();
    let done = tokio::task::spawn_blocking(move || copy_files(&data, &target, made_at));
    done.await.map_err(|_| BackupError::Interrupted)?
}

/// The rest of the installation, behind its database, and the list.
fn copy_files(data: &Path, target: &Path, made_at: String) -> Result<Summary, BackupError> {
    let mut kept = Kept::new(target);
    kept.own(files::DATABASE)?;
    for name in files::segments(&data.join(SPOOL))? {
        kept.copy(data, &format!("{SPOOL}/{name}"))?;
    }
    let has_key = kept.copy(data, KEY)?;
    let list = List::new(made_at, kept.into_entries());
    files::write(&target.join(files::LIST), list.to_json().as_bytes())?;
    files::sync_folders(target)?;
    Ok(summary(target, &list, has_key))
}

/// Puts the backup in `source` where `config` has its data folder and database, which must not exist yet.
///
/// # Errors
/// Says what is in the way. Every file is checked before the first one is written.
pub async fn restore(config: &Config, source: &Path) -> Result<Summary, BackupError> {
    let (database, data, source) = (sqlite_file(config)?, config.server.data_dir.clone(), source.to_owned());
    let done = tokio::task::spawn_blocking(move || put_back(&source, &data, &database));
    done.await.map_err(|_| BackupError::Interrupted)?
}

fn put_back(source: &Path, data: &Path, database: &Path) -> Result<Summary, BackupError> {
    let path = source.join(files::LIST);
    let text = std::fs::read(&path).map_err(|error| files::failed(&path, "read", error))?;
    let list = List::parse(&text).map_err(|error| BackupError::List { path, source: error })?;
    for entry in &list.files {
        files::check(source, entry)?;
    }
    if database.exists() {
        return Err(BackupError::Occupied(database.to_owned()));
    }
    files::make_empty(data)?;
    for entry in &list.files {
        let to = if entry.path == files::DATABASE { database.to_owned() } else { data.join(&entry.path) };
        if files::copy(&source.join(&entry.path), &to)?.is_none_or(|copied| copied != *entry.digest()) {
            return Err(BackupError::Altered(source.join(&entry.path)));
        }
    }
    files::sync_folders(data)?;
    let has_key = list.files.iter().any(|entry| entry.path == KEY);
    Ok(summary(data, &list, has_key))
}

fn summary(folder: &Path, list: &List, has_key: bool) -> Summary {
    let bytes = list.files.iter().map(|entry| entry.bytes).sum();
    Summary { folder: folder.to_owned(), files: list.files.len(), bytes, has_key }
}

fn sqlite_file(config: &Config) -> Result<PathBuf, BackupError> {
    match &config.database {
        Database::Sqlite { file } => Ok(file.clone()),
        Database::Postgres { .. } => Err(BackupError::Postgres { database: config.database.describe() }),
    }
}
