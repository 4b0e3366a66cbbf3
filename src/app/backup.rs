//! A copy of an installation, made while it runs, and put back.
//!
//! With SQLite the database is copied first, as of one moment, and the spool after it. Nothing is read into the database that
//! is not in the spool before, so a copied database never knows of mail that the copied spool does not have. Segments are
//! copied from the newest to the oldest: each one is at least as complete as it was when a later one was copied, so what is
//! copied of the log is a beginning of it, with a tail that may be torn, as after a power cut. With PostgreSQL the database
//! holds all mail, and is dumped (`postgres`).
//!
//! The instance key is always in it, wherever the configuration has it from: without it nothing that is sealed could be
//! opened again. So are what it opens, the keyring, and the account and certificate of ACME. A key that is changed meanwhile
//! might not open what was copied before: such a copy is no backup.
//!
//! The list of files with their digests is written last: a copy that was interrupted has none, and is not put back.
//!
//! What it must never do: change anything in the installation that is copied; put anything over one that exists.

mod files;
mod list;
mod postgres;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, Database};
use crate::store::{Store, StoreError};

use files::{ACME, KEY, KEYRING, Kept, SPOOL};
pub use list::{Engine, Entry, List, ListError};
use postgres::Tool;

/// Why an installation was not copied, or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A program of PostgreSQL is not there.
    #[error(
        "{0} is needed and not in the search path: install the client programs of PostgreSQL, at least of the server's version (Debian: postgresql-client)"
    )]
    Tool(&'static str),
    /// A program of PostgreSQL is older than the server.
    #[error(
        "{tool} is of version {version}, and the server of version {server}: install the client programs of version {server} or later, and have them first in the search path"
    )]
    ToolOlder {
        /// The program.
        tool: &'static str,
        /// Its major version.
        version: u32,
        /// The server's.
        server: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{tool} failed: {said}")]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// What it said last.
        said: String,
    },
    /// The database has tables in it.
    #[error("{0} is not empty: make a new database, and name that one in database.url")]
    DatabaseOccupied(String),
    /// The backup is of the other engine.
    #[error(
        "the backup is of an installation with {backup}, and the configuration names another database: {configured}"
    )]
    OtherEngine {
        /// The backup's.
        backup: &'static str,
        /// The database of the configuration.
        configured: String,
    },
    /// The configuration has another instance key than the backup.
    #[error("keys.instance_secret (or the file of keys.instance_secret_file) is not the key of the backup, in {}: nothing that is sealed could be opened. Set that one, or none", .0.display())]
    KeyDiffers(PathBuf),
    /// The instance key was changed while the copy was made.
    #[error(
        "the instance key was changed meanwhile, and might not open what was copied before: back up again, into another folder"
    )]
    KeyChanged,
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
    /// Whether the key that secrets are sealed with is among them: unless no start has made one yet.
    pub has_key: bool,
}

/// Copies the installation that `config` describes into the folder `target`.
///
/// # Errors
/// Says what is in the way; what was written so far is no backup, and is left for inspection.
pub async fn back_up(config: &Config, made_at: String, target: &Path) -> Result<Summary, BackupError> {
    let key = Key::of(config)?;
    let engine = match &config.database {
        Database::Sqlite { file } if !file.is_file() => return Err(BackupError::Nothing(file.clone())),
        Database::Sqlite { file } => {
            files::make_empty(target)?;
            let copy = target.join(files::DATABASE);
            files::make_private(&copy)?;
            Store::copy_sqlite(file, &copy).await?;
            Engine::Sqlite
        }
        Database::Postgres { url, .. } => {
            let server = Store::postgres_server(url.expose()).await?;
            if server.is_empty {
                return Err(BackupError::Nothing(config.database.describe().into()));
            }
            let (url, target) = (url.expose().to_owned(), target.to_owned());
            blocking(move || {
                Tool::Dump.check(server.major)?;
                files::make_empty(&target)?;
                let copy = target.join(files::DUMP);
                files::make_private(&copy)?;
                postgres::dump(&url, &copy)
            })
            .await?;
            Engine::Postgres
        }
    };
    let (data, target) = (config.server.data_dir.clone(), target.to_owned());
    blocking(move || copy_files(&data, &target, &key, (engine, made_at))).await
}

/// The instance key before anything was copied.
enum Key {
    /// The configuration has it.
    Configured(String),
    /// What is in its file, where there is one yet.
    File(Option<Vec<u8>>),
}

impl Key {
    fn of(config: &Config) -> Result<Self, BackupError> {
        match &config.keys.instance_secret {
            Some(secret) => Ok(Self::Configured(secret.expose().to_owned())),
            None => files::read(&config.server.data_dir.join(KEY)).map(Self::File),
        }
    }
}

/// The rest of the installation, behind its database, and the list.
fn copy_files(
    data: &Path,
    target: &Path,
    key: &Key,
    (engine, made_at): (Engine, String),
) -> Result<Summary, BackupError> {
    let mut kept = Kept::new(target);
    match engine {
        Engine::Sqlite => {
            kept.own(files::DATABASE)?;
            for name in files::segments(&data.join(SPOOL))? {
                kept.copy(data, &format!("{SPOOL}/{name}"))?;
            }
            // Behind the mail, so that it has every data key that this is sealed with.
            kept.copy(data, KEYRING)?;
        }
        Engine::Postgres => kept.own(files::DUMP)?,
    }
    for name in ACME {
        kept.copy(data, name)?;
    }
    let has_key = match key {
        // The same words in the file make the same key.
        Key::Configured(secret) => {
            files::write(&target.join(KEY), secret.as_bytes())?;
            kept.own(KEY).map(|()| true)?
        }
        Key::File(before) => {
            let has_key = kept.copy(data, KEY)?;
            if before.is_some() && files::read(&data.join(KEY))? != *before {
                return Err(BackupError::KeyChanged);
            }
            has_key
        }
    };
    let list = List::new(engine, made_at, kept.into_entries());
    files::write(&target.join(files::LIST), list.to_json().as_bytes())?;
    files::sync_folders(target)?;
    Ok(summary(target, &list, has_key))
}

/// Puts the backup in `source` where `config` has its data folder and database, which must not exist yet, or be empty.
///
/// # Errors
/// Says what is in the way. Every file is checked before the first one is written.
pub async fn restore(config: &Config, source: &Path) -> Result<Summary, BackupError> {
    let (checked, secret) = (source.to_owned(), config.keys.instance_secret.as_ref().map(|it| it.expose().to_owned()));
    let list = blocking(move || check(&checked, secret.as_deref())).await?;
    let other = |backup| BackupError::OtherEngine { backup, configured: config.database.describe() };
    let (data, source) = (config.server.data_dir.clone(), source.to_owned());
    let keeps_key = config.keys.instance_secret.is_none();
    match (&config.database, list.engine) {
        (Database::Sqlite { file }, Engine::Sqlite) => {
            if file.exists() {
                return Err(BackupError::Occupied(file.clone()));
            }
            let database = file.clone();
            blocking(move || {
                files::make_empty(&data)?;
                put_back(&source, &data, Some(&database), &list, keeps_key)
            })
            .await
        }
        (Database::Postgres { url, .. }, Engine::Postgres) => {
            let server = Store::postgres_server(url.expose()).await?;
            if !server.is_empty {
                return Err(BackupError::DatabaseOccupied(config.database.describe()));
            }
            let url = url.expose().to_owned();
            blocking(move || {
                Tool::Restore.check(server.major)?;
                files::make_empty(&data)?;
                postgres::restore(&url, &source.join(files::DUMP))?;
                put_back(&source, &data, None, &list, keeps_key)
            })
            .await
        }
        (Database::Sqlite { .. }, Engine::Postgres) => Err(other("PostgreSQL")),
        (Database::Postgres { .. }, Engine::Sqlite) => Err(other("SQLite")),
    }
}

/// The list, once all that it names is what was backed up.
fn check(source: &Path, secret: Option<&str>) -> Result<List, BackupError> {
    let path = source.join(files::LIST);
    let text = std::fs::read(&path).map_err(|error| files::failed(&path, "read", error))?;
    let list = List::parse(&text).map_err(|error| BackupError::List { path, source: error })?;
    for entry in &list.files {
        files::check(source, entry)?;
    }
    let key = source.join(KEY);
    if let Some(secret) = secret
        && list.files.iter().any(|entry| entry.path == KEY)
    {
        let kept = std::fs::read_to_string(&key).map_err(|error| files::failed(&key, "read", error))?;
        if kept.trim() != secret {
            return Err(BackupError::KeyDiffers(key));
        }
    }
    Ok(list)
}

/// Copies the files: the database to `database`, the dump nowhere, the key only where the configuration has none.
fn put_back(
    source: &Path,
    data: &Path,
    database: Option<&Path>,
    list: &List,
    keeps_key: bool,
) -> Result<Summary, BackupError> {
    for entry in &list.files {
        let to = match (entry.path.as_str(), database) {
            (files::DATABASE, Some(database)) => database.to_owned(),
            (files::DUMP, None) => continue,
            (KEY, _) if !keeps_key => continue,
            (path, _) => data.join(path),
        };
        if files::copy(&source.join(&entry.path), &to)?.is_none_or(|copied| copied != *entry.digest()) {
            return Err(BackupError::Altered(source.join(&entry.path)));
        }
    }
    files::sync_folders(data)?;
    let has_key = list.files.iter().any(|entry| entry.path == KEY);
    Ok(summary(data, list, has_key))
}

fn summary(folder: &Path, list: &List, has_key: bool) -> Summary {
    let bytes = list.files.iter().map(|entry| entry.bytes).sum();
    Summary { folder: folder.to_owned(), files: list.files.len(), bytes, has_key }
}

/// Does what waits for disks and programs where that holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Interrupted)?
}

#[cfg(test)]
mod tests;
