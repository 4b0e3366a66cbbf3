//! What every command of one installation stands on: its data folder, instance key and store.

pub mod key;
pub mod keyring;
pub mod rotation;

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::AppError;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::keys::Pepper;
use crate::seal::InstanceKey;
use crate::store::{PostgresSettings, Store, StoreError};

use keyring::{Keeper, unlock};

/// Data folder, key and store, opened.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// What the instance key opened.
    pub key: Arc<InstanceKey>,
    /// Looks the keyring up again.
    pub keeper: Arc<Keeper>,
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
        match unlock(&config, &store).await {
            Ok(unlocked) => {
                let key = Arc::new(unlocked.keyring.instance_key());
                let keeper = Arc::new(Keeper::new(&config, &store, unlocked.secret));
                key.bodies().look_up_in(keeper.source());
                Ok(Self { config, key, keeper, store, clock })
            }
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

#[cfg(test)]
mod tests;
