//! What the instance key opens: found at every start, and looked up again while the gateway runs.
//!
//! The database keeps the keyring, so that all nodes have the same. Where the spool is files, a file beside the key keeps
//! it too, since those files must be readable without the database; of two copies the later one counts, and goes in the
//! place of the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::key::{KeyPlace, replace};
use crate::app::{AppError, spool_options};
use crate::config::{Config, Database};
use crate::ids::WorkerId;
use crate::seal::body::{BodyKeys, Source};
use crate::seal::keyring::{Keyring, LockedKeyring, Secret, SecretId};
use crate::spool::log::{Files, LogView};
use crate::store::instance::KeyHolder;
use crate::store::{Store, StoreError};

/// The file in the data folder that holds the keyring, where the spool is files too.
pub const KEYRING_FILE: &str = "keyring";
/// How often a running node looks the keyring up, and says which key it has.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A node that was not seen for so long does not run any more.
pub const SEEN_WITHIN: Duration = Duration::from_secs(45);

/// What the instance key of an installation opened.
#[derive(Debug)]
pub struct Unlocked {
    /// The key.
    pub secret: Secret,
    /// Root secret and data keys.
    pub keyring: Keyring,
    /// As it is kept; none before the key was first changed.
    pub locked: Option<LockedKeyring>,
}

/// What the instance key opens, if that is what the database's secrets are sealed with. With another key every API key
/// would be unknown, and webhooks would use up their attempts by our own fault. Makes the key at the first start.
///
/// # Errors
/// Says which key is missing or wrong.
pub async fn unlock(config: &Config, store: &Store) -> Result<Unlocked, AppError> {
    let found = Found::look(config, store).await?;
    let key = KeyPlace::of(config);
    let secret = if found.is_first() { key.read_or_make()? } else { key.read()? };
    let unlocked = found.open(secret, config)?;
    if found.fingerprint.is_none() {
        // A database that was lost and made anew learns no key before it is known to be the right one.
        check_log(config, unlocked.keyring.body_keys()).await?;
    }
    if let Some(locked) = &unlocked.locked {
        found.keep_everywhere(locked, config, store).await?;
    }
    let fingerprint = unlocked.keyring.instance_key().fingerprint();
    if store.keep_key_fingerprint(fingerprint.clone()).await? != fingerprint {
        return Err(AppError::KeyDiffers(key.shown()));
    }
    Ok(unlocked)
}

/// As [`unlock`], without making or changing anything; `None` before the first start.
///
/// # Errors
/// As [`unlock`].
pub async fn look(config: &Config, store: &Store) -> Result<Option<Unlocked>, AppError> {
    let found = Found::look(config, store).await?;
    match KeyPlace::of(config).read() {
        Err(AppError::KeyMissing(_)) if found.is_first() => Ok(None),
        secret => found.open(secret?, config).map(Some),
    }
}

/// What is kept of an installation's keys.
struct Found {
    /// That of the database's root secret.
    fingerprint: Option<String>,
    /// The keyring in the database, as text and as what it says.
    kept: Option<(String, LockedKeyring)>,
    /// That of the file.
    filed: Option<(String, LockedKeyring)>,
}

impl Found {
    async fn look(config: &Config, store: &Store) -> Result<Self, AppError> {
        let fingerprint = store.key_fingerprint().await?;
        let kept = parsed(store.keyring().await?, || config.database.describe())?;
        let filed = match file(config) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => parsed(Some(text), || path.display().to_string())?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(source) => return Err(AppError::File { path, source }),
            },
        };
        Ok(Self { fingerprint, kept, filed })
    }

    /// Whether nothing was ever sealed here, as far as is known.
    const fn is_first(&self) -> bool {
        self.fingerprint.is_none() && self.kept.is_none() && self.filed.is_none()
    }

    /// The later of the copies.
    fn latest(&self) -> Option<&LockedKeyring> {
        let copies = self.kept.iter().chain(&self.filed).map(|(_, locked)| locked);
        copies.max_by_key(|locked| locked.revision())
    }

    fn open(&self, secret: Secret, config: &Config) -> Result<Unlocked, AppError> {
        let differs = || match self.latest() {
            Some(locked) => AppError::KeyGivenUp { key: KeyPlace::of(config).shown(), opens: shown(&locked.keys()) },
            None => AppError::KeyDiffers(KeyPlace::of(config).shown()),
        };
        let (keyring, locked) = match self.latest() {
            // Once there is a keyring, the root secret alone is no key any more.
            Some(locked) => (locked.open(&secret).ok_or_else(differs)?, Some(locked.clone())),
            None => (Keyring::of(&secret), None),
        };
        let fingerprint = keyring.instance_key().fingerprint();
        if self.fingerprint.as_ref().is_some_and(|known| *known != fingerprint) {
            return Err(AppError::KeyDiffers(KeyPlace::of(config).shown()));
        }
        Ok(Unlocked { secret, keyring, locked })
    }

    /// Has `locked`, the later copy, in every place.
    async fn keep_everywhere(&self, locked: &LockedKeyring, config: &Config, store: &Store) -> Result<(), AppError> {
        let holds = |copy: &Option<(String, LockedKeyring)>| copy.as_ref().is_some_and(|(_, copy)| copy == locked);
        if !holds(&self.filed) {
            keep_in_file(config, locked)?;
        }
        if !holds(&self.kept) {
            // Where another process was quicker, it kept this one or a later one.
            store.keep_keyring(locked.to_json(), self.kept.as_ref().map(|(text, _)| text.clone())).await?;
        }
        Ok(())
    }
}

fn parsed(text: Option<String>, place: impl Fn() -> String) -> Result<Option<(String, LockedKeyring)>, AppError> {
    let Some(text) = text else { return Ok(None) };
    match LockedKeyring::parse(&text) {
        Ok(locked) => Ok(Some((text, locked))),
        Err(detail) => Err(AppError::Keyring { place: place(), detail }),
    }
}

/// The keys, as people are shown them.
pub(super) fn shown(keys: &[SecretId]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The file of the keyring, where this installation has one.
fn file(config: &Config) -> Option<PathBuf> {
    matches!(config.database, Database::Sqlite { .. }).then(|| config.server.data_dir.join(KEYRING_FILE))
}

/// Keeps the keyring in its file, where this installation has one.
pub(super) fn keep_in_file(config: &Config, locked: &LockedKeyring) -> Result<(), AppError> {
    file(config).map_or(Ok(()), |file| replace(&file, locked.to_json().as_bytes()))
}

/// Whether these keys open the newest mail in the log, where there is one.
async fn check_log(config: &Config, keys: BodyKeys) -> Result<(), AppError> {
    let options = spool_options(config);
    let is_log = matches!(config.database, Database::Sqlite { .. });
    if !is_log || !options.dir.is_dir() {
        return Ok(());
    }
    let spool = options.dir.clone();
    let read = move || LogView::open(options, Files::Real, Arc::new(keys), crate::clock::Clock::System)?.unknown_key();
    match tokio::task::spawn_blocking(read).await.map_err(|_| AppError::Interrupted)?? {
        None => Ok(()),
        Some(key) => Err(AppError::BodyKey { spool, key }),
    }
}

/// Looks the keyring up again, for as long as the gateway runs.
#[derive(Debug)]
pub struct Keeper {
    config: Arc<Config>,
    store: Store,
    /// With which it was opened at the start.
    secret: Secret,
    node: WorkerId,
    /// That the keyring does not open any more.
    is_told: AtomicBool,
}

impl Keeper {
    pub(super) fn new(config: &Arc<Config>, store: &Store, secret: Secret) -> Self {
        Self {
            config: Arc::clone(config),
            store: store.clone(),
            secret,
            node: store.clock().mint(),
            is_told: AtomicBool::new(false),
        }
    }

    /// What asks it for data keys.
    pub(super) fn source(self: &Arc<Self>) -> Source {
        let keeper = Arc::clone(self);
        Box::new(move || {
            let keeper = Arc::clone(&keeper);
            Box::pin(async move { keeper.keyring().await.unwrap_or_default() })
        })
    }

    /// The key that this node has now: a file may have been replaced since its start.
    fn secret(&self) -> Secret {
        KeyPlace::of(&self.config).read().unwrap_or_else(|_| self.secret.clone())
    }

    /// The keyring as it is now; none where the key was never changed, or what this node has opens it no longer.
    async fn keyring(&self) -> Result<Option<Keyring>, StoreError> {
        let Some(text) = self.store.keyring().await? else { return Ok(None) };
        let opened = LockedKeyring::parse(&text).ok().and_then(|locked| {
            // Between a new key in the file and the keyring for it alone, and the other way about.
            locked.open(&self.secret()).or_else(|| locked.open(&self.secret))
        });
        if opened.is_none() && !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                error.kind = "key",
                "The instance key that this node has does not open the keyring any more: it works on with the data keys that it knows, and does not start again. Put the new key in place here, and start it again"
            );
        }
        Ok(opened)
    }

    /// Takes over data keys that were drawn, and says which key this node has, until `stop`.
    pub async fn run(self: Arc<Self>, keys: Arc<BodyKeys>, stop: CancellationToken) {
        let is_one_of_many = matches!(self.config.database, Database::Postgres { .. });
        loop {
            if let Err(error) = self.round(&keys, is_one_of_many).await {
                tracing::debug!(error.kind = "store", temporary = true, "The keyring cannot be looked up now: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => break,
            }
        }
        if is_one_of_many {
            // Where that fails it is forgotten by itself.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.store.forget_key_holder(self.node)).await;
        }
    }

    async fn round(&self, keys: &BodyKeys, is_one_of_many: bool) -> Result<(), StoreError> {
        if let Some(keyring) = self.keyring().await?
            && keys.renew(&keyring)
        {
            tracing::info!("The instance key was changed: mail is sealed with the data key {} now", keys.current());
        }
        if is_one_of_many {
            let server = &self.config.server;
            let name = format!("{} ({})", server.hostname, server.data_dir.display());
            let key = self.secret().id().to_string();
            self.store.note_key_holder(KeyHolder { node: self.node, name, key }).await?;
        }
        Ok(())
    }
}
