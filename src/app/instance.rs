//! What every command of one installation stands on: its data folder, instance key and store.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::AppError;
use crate::clock::{Clock, random_bytes};
use crate::config::{Config, Database};
use crate::keys::Pepper;
use crate::seal::{InstanceKey, KEY_LEN};
use crate::store::{PostgresSettings, Store, StoreError};

/// The file in the data folder that holds the key of an installation whose configuration names none.
const KEY_FILE: &str = "instance.key";

/// Data folder, key and store, opened.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// The instance key.
    pub key: Arc<InstanceKey>,
    /// The store.
    pub store: Store,
    /// Time and ids.
    pub clock: Clock,
}

impl Instance {
    /// Opens the installation that `config` describes; makes its folder, key and database where they are missing.
    ///
    /// # Errors
    /// Says which file cannot be used.
    pub async fn open(config: Arc<Config>, clock: Clock) -> Result<Self, AppError> {
        let folder = &config.server.data_dir;
        let make = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make.map_err(|source| AppError::File { path: folder.clone(), source })?;
        warn_of_readers(folder);
        let store = open_store(&config.database, clock.clone()).await?;
        match checked_key(&config, folder, &store).await {
            Ok(key) => Ok(Self { config, key: Arc::new(key), store, clock }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }
}

impl Instance {
    /// What API keys are digested with.
    #[must_use]
    pub fn pepper(&self) -> Pepper {
        Pepper::new(self.key.pepper())
    }
}

/// Opens the database that `[database]` names.
///
/// # Errors
/// It cannot be opened, or not be brought to this version.
pub async fn open_store(database: &Database, clock: Clock) -> Result<Store, StoreError> {
    match database {
        Database::Sqlite { file } => Store::open(file, clock).await,
        Database::Postgres { url, connections } => {
            let settings = PostgresSettings { url: url.expose().to_owned(), connections: *connections };
            Store::open_postgres(&settings, clock).await
        }
    }
}

/// A folder that was made by somebody else may be open to every local user; that may be wanted, and is said.
fn warn_of_readers(folder: &Path) {
    if std::fs::metadata(folder).is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
        tracing::warn!(
            error.kind = "permissions",
            "{} can be read by other users of this machine: chmod 700 it",
            folder.display()
        );
    }
}

/// The instance key, if it is the one that the database's secrets are sealed with. With another key every API key would
/// be unknown, and webhooks would use up their attempts by our own fault.
async fn checked_key(config: &Config, folder: &Path, store: &Store) -> Result<InstanceKey, AppError> {
    let is_first = store.key_fingerprint().await?.is_none();
    let key = instance_key(config, folder, is_first)?;
    let fingerprint = key.fingerprint();
    if store.keep_key_fingerprint(fingerprint.clone()).await? == fingerprint {
        return Ok(key);
    }
    Err(AppError::KeyDiffers(match config.keys.instance_secret {
        Some(_) => "keys.instance_secret (or the file of keys.instance_secret_file)".to_owned(),
        None => folder.join(KEY_FILE).display().to_string(),
    }))
}

/// The key of the configuration, or the one that was made at the first start. Makes one only where `is_first`.
fn instance_key(config: &Config, folder: &Path, is_first: bool) -> Result<InstanceKey, AppError> {
    if let Some(secret) = &config.keys.instance_secret {
        return Ok(InstanceKey::new(&digest(secret.expose())));
    }
    let path = folder.join(KEY_FILE);
    let fail = |source| AppError::File { path: path.clone(), source };
    if !is_first && !path.try_exists().map_err(fail)? {
        return Err(AppError::KeyMissing(path));
    }
    let mut fresh = [0u8; KEY_LEN];
    random_bytes(&mut fresh);
    let text: String = fresh.iter().map(|byte| format!("{byte:02x}")).collect();
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            // What is sealed with a key that a power cut took away could never be opened again.
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
            Ok(InstanceKey::new(&digest(&text)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(&path).map_err(fail)?;
            let text = text.trim();
            if text.len() < KEY_LEN {
                return Err(AppError::Key(path));
            }
            Ok(InstanceKey::new(&digest(text)))
        }
        Err(error) => Err(fail(error)),
    }
}

fn digest(secret: &str) -> [u8; KEY_LEN] {
    let mut key = [0u8; KEY_LEN];
    key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests;
