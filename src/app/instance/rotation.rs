//! A change of the instance key: steps that each are durable, so that an end between any two of them leaves an installation
//! that opens, and the same command goes on from there.
//!
//! | step | opens with the old key | with the new key |
//! |---|---|---|
//! | before | yes | |
//! | the new key is in a file beside the old one | yes | |
//! | the keyring is locked for both: in the file, in the database | yes | yes |
//! | the new key is in the place of the old one | yes | yes |
//! | the keyring is locked for the new one alone: in the file, in the database | | yes |
//!
//! The last step waits for [`finish`] where others may still have the old key: other nodes, or a configuration. It also draws
//! the data key of new bodies, which so is never sealed for the old key.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use super::key::{KeyPlace, draw};
use super::keyring::{SEEN_WITHIN, Unlocked, keep_in_file, unlock};
use crate::app::AppError;
use crate::config::{Config, Database};
use crate::seal::keyring::{LockedKeyring, Secret, SecretId};
use crate::store::Store;

/// Why the instance key was not changed. What was done before stays, and opens with the key that is in place.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The configuration names the key, so that a new one must be given.
    #[error(
        "keys.instance_secret (or the file of keys.instance_secret_file) is the key: write a new one of at least 32 characters to a file (`openssl rand -hex 32`, chmod 600), and name that file with --new-secret-file"
    )]
    NewKeyMissing,
    /// What was named as the file of a new key holds none.
    #[error("{} holds no key: at least 32 characters, without spaces before them (`openssl rand -hex 32`)", .0.display())]
    NoKey(PathBuf),
    /// The new key is the one that is in force.
    #[error("the new key is the one that is in use: write another one")]
    SameKey,
    /// An earlier change is not finished.
    #[error(
        "the instance key is being changed to {0} already: put that one in place on every node, and then run `connex instance rotate-key --finish`"
    )]
    UnderWay(SecretId),
    /// This node has an old key.
    #[error(
        "{place} still is the old key: put the new one, {newest}, in place here and on every node, start the gateways again, and then finish"
    )]
    OldKeyInPlace {
        /// Where the key is.
        place: String,
        /// What tells the new key.
        newest: SecretId,
    },
    /// A running node has an old key.
    #[error(
        "the old key is still in use, by {0}: put the new one in place there and start that gateway again; one that was killed counts for 45 seconds longer"
    )]
    OldKeyInUse(String),
    /// Another process changes the key.
    #[error("another process changes the instance key right now: try again")]
    Busy,
}

/// What became of a change of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// The new key is in force, and alone.
    Done(SecretId),
    /// Old and new key both open the installation, until it is finished.
    Prepared(SecretId),
    /// There was nothing to finish.
    Nothing,
}

/// Changes the instance key to what `text` makes, or to one that is drawn. Goes on with a change that was interrupted.
///
/// # Errors
/// [`RotationError`]; the key that is in force cannot be used; a step fails.
pub async fn begin(config: &Config, store: &Store, text: Option<&str>) -> Result<Rotated, AppError> {
    let _turn = turn(config)?;
    Rotation::begin(config, store, text).await?.run().await
}

/// Gives up the old key, once nobody has it any more.
///
/// # Errors
/// [`RotationError`]; the key that is in force cannot be used; a step fails.
pub async fn finish(config: &Config, store: &Store) -> Result<Rotated, AppError> {
    let _turn = turn(config)?;
    let before = unlock(config, store).await?;
    let Some((_, newest)) = under_way(&before) else { return Ok(Rotated::Nothing) };
    if before.secret.id() != newest {
        return Err(RotationError::OldKeyInPlace { place: KeyPlace::of(config).shown(), newest }.into());
    }
    let newest = newest.to_string();
    let holders = store.key_holders(SEEN_WITHIN).await?.into_iter().filter(|holder| holder.key != newest);
    let names: Vec<String> = holders.map(|holder| holder.name).collect();
    if !names.is_empty() {
        return Err(RotationError::OldKeyInUse(names.join(", ")).into());
    }
    let new = before.secret.clone();
    Rotation::resumed(config, store, before, &new, LAST.to_vec()).run().await
}

/// A change that is not finished: the keyring for both keys, and the new key.
fn under_way(unlocked: &Unlocked) -> Option<(&LockedKeyring, SecretId)> {
    let locked = unlocked.locked.as_ref().filter(|locked| locked.keys().len() > 1)?;
    Some((locked, locked.newest()?.clone()))
}

/// One process at a time in a data folder; nodes exclude one another by what the database keeps.
fn turn(config: &Config) -> Result<File, AppError> {
    let folder = &config.server.data_dir;
    let fail = |source| AppError::File { path: folder.clone(), source };
    let turn = File::open(folder).map_err(fail)?;
    match turn.try_lock() {
        Ok(()) => Ok(turn),
        Err(TryLockError::WouldBlock) => Err(RotationError::Busy.into()),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

/// Whether nobody else can have the key of this data folder.
const fn is_alone(config: &Config) -> bool {
    matches!(config.database, Database::Sqlite { .. })
}

/// One durable step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The new key, in a file beside the old one.
    WriteNew,
    /// The keyring for both keys, in its file.
    FileForBoth,
    /// The same in the database.
    DatabaseForBoth,
    /// The new key, in the place of the old one.
    PutInPlace,
    /// The keyring for the new key alone, in its file: before anybody can take its data key from the database.
    FileForNew,
    /// The same in the database.
    DatabaseForNew,
}

/// The steps that give up the old key.
const LAST: [Step; 2] = [Step::FileForNew, Step::DatabaseForNew];

/// A change of the key: its steps, and what they put where.
struct Rotation<'a> {
    config: &'a Config,
    store: &'a Store,
    /// The text of the new key, where that is to be written.
    text: String,
    new: SecretId,
    before: Option<LockedKeyring>,
    for_both: LockedKeyring,
    for_new: LockedKeyring,
    steps: Vec<Step>,
}

impl<'a> Rotation<'a> {
    async fn begin(config: &'a Config, store: &'a Store, text: Option<&str>) -> Result<Self, AppError> {
        let (place, before) = (KeyPlace::of(config), unlock(config, store).await?);
        if let Some((_, newest)) = under_way(&before) {
            return Self::resume(config, store, text, newest, before);
        }
        let text = match text {
            Some(text) => text.to_owned(),
            None if place.is_configured() => return Err(RotationError::NewKeyMissing.into()),
            None => draw(),
        };
        let new = Secret::of(&text);
        if new == before.secret {
            return Err(RotationError::SameKey.into());
        }
        let mut steps = vec![Step::FileForBoth, Step::DatabaseForBoth];
        if !place.is_configured() {
            steps.insert(0, Step::WriteNew);
            steps.push(Step::PutInPlace);
            steps.extend(LAST.into_iter().filter(|_| is_alone(config)));
        }
        let for_both = before.keyring.lock(&[&before.secret, &new], before.locked.as_ref());
        let for_new = before.keyring.with_new_data_key().lock(&[&new], Some(&for_both));
        Ok(Self { config, store, text, new: new.id(), before: before.locked, for_both, for_new, steps })
    }

    /// The change to `newest`, which was begun before.
    fn resume(
        config: &'a Config,
        store: &'a Store,
        text: Option<&str>,
        newest: SecretId,
        before: Unlocked,
    ) -> Result<Self, AppError> {
        let place = KeyPlace::of(config);
        let given = text.map(Secret::of);
        let last = LAST.into_iter().filter(|_| is_alone(config));
        let is_other = given.as_ref().is_some_and(|given| given.id() != newest);
        let (new, steps) = match (place.is_configured(), before.secret.id() == newest) {
            _ if is_other => (None, Vec::new()),
            (true, false) => (given, Vec::new()),
            (false, false) => (place.read_new()?, [Step::PutInPlace].into_iter().chain(last).collect()),
            // Where others may have the old key, that is for `finish` to find out.
            (false, true) if is_alone(config) => (Some(before.secret.clone()), LAST.to_vec()),
            (_, true) => (None, Vec::new()),
        };
        match new.filter(|new| new.id() == newest) {
            Some(new) => Ok(Self::resumed(config, store, before, &new, steps)),
            None => Err(RotationError::UnderWay(newest).into()),
        }
    }

    /// A change whose keyring for both keys is kept.
    fn resumed(config: &'a Config, store: &'a Store, before: Unlocked, new: &Secret, steps: Vec<Step>) -> Self {
        let for_both = match before.locked.clone() {
            Some(locked) => locked,
            None => before.keyring.lock(&[&before.secret, new], None),
        };
        let for_new = before.keyring.with_new_data_key().lock(&[new], Some(&for_both));
        Self { config, store, text: String::new(), new: new.id(), before: before.locked, for_both, for_new, steps }
    }

    async fn run(self) -> Result<Rotated, AppError> {
        for step in &self.steps {
            self.take(*step).await?;
        }
        let is_done = self.steps.contains(&Step::DatabaseForNew);
        Ok(if is_done { Rotated::Done(self.new) } else { Rotated::Prepared(self.new) })
    }

    async fn take(&self, step: Step) -> Result<(), AppError> {
        match step {
            Step::WriteNew => KeyPlace::of(self.config).write_new(&self.text),
            Step::FileForBoth => keep_in_file(self.config, &self.for_both),
            Step::DatabaseForBoth => self.keep(&self.for_both, self.before.as_ref()).await,
            Step::PutInPlace => KeyPlace::of(self.config).put_new_in_place(),
            Step::FileForNew => keep_in_file(self.config, &self.for_new),
            Step::DatabaseForNew => self.keep(&self.for_new, Some(&self.for_both)).await,
        }
    }

    /// Keeps `locked` in the database in place of `before`, and of nothing else.
    async fn keep(&self, locked: &LockedKeyring, before: Option<&LockedKeyring>) -> Result<(), AppError> {
        let text = locked.to_json();
        if self.store.keep_keyring(text.clone(), before.map(LockedKeyring::to_json)).await? {
            return Ok(());
        }
        // Whoever opened the installation between two steps took it over from the file.
        if self.store.keyring().await? == Some(text) { Ok(()) } else { Err(RotationError::Busy.into()) }
    }
}

#[cfg(test)]
mod tests;
