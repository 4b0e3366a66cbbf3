//! What the database knows of the installation that it belongs to.

use std::time::Duration;

use super::sql::query;
use super::{Store, StoreError};
use crate::ids::WorkerId;

const FINGERPRINT: &str = "key_fingerprint";
const KEYRING: &str = "keyring";
/// Where the gateway is reached: what is told of steps names pages there.
pub(super) const PUBLIC_URL: &str = "public_url";
const FIND: &str = "SELECT value FROM instance WHERE name = $1";
const ADD: &str = "INSERT INTO instance (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
/// Nodes that were not seen for so long do not run any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3_600);

/// A running node, and the instance key that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// Its run.
    pub node: WorkerId,
    /// Which one it is, in words.
    pub name: String,
    /// What tells its key.
    pub key: String,
}

impl Store {
    /// Fingerprint of the root secret that the secrets here are sealed with; none before the first start was through.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn key_fingerprint(&self) -> Result<Option<String>, StoreError> {
        self.instance_value(FINGERPRINT).await
    }

    /// Keeps `fingerprint` where none is kept yet; returns the one that is kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_key_fingerprint(&self, fingerprint: String) -> Result<String, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                query(ADD).bind(FINGERPRINT).bind(fingerprint).execute(&mut *connection).await?;
                Ok(query(FIND).bind(FINGERPRINT).fetch_one(connection).await?.try_get(0)?)
            })
        })
        .await
    }

    /// What the instance key locks, as it was stored; none before the key was first changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keyring(&self) -> Result<Option<String>, StoreError> {
        self.instance_value(KEYRING).await
    }

    /// Keeps `keyring` in place of `before`; false where another one is kept by now. Returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_keyring(&self, keyring: String, before: Option<String>) -> Result<bool, StoreError> {
        const REPLACE: &str = "UPDATE instance SET value = $2 WHERE name = $1 AND value = $3";
        self.write(move |connection| {
            Box::pin(async move {
                let keep = match before {
                    None => query(ADD).bind(KEYRING).bind(keyring),
                    Some(before) => query(REPLACE).bind(KEYRING).bind(keyring).bind(before),
                };
                Ok(keep.execute(connection).await? == 1)
            })
        })
        .await
    }

    /// Notes that a node runs now and has this instance key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn note_key_holder(&self, holder: KeyHolder) -> Result<(), StoreError> {
        const NOTE: &str = "INSERT INTO key_holders (node, name, key_id, seen_at) VALUES ($1, $2, $3, $4) \
ON CONFLICT (node) DO UPDATE SET name = excluded.name, key_id = excluded.key_id, seen_at = excluded.seen_at";
        const FORGET: &str = "DELETE FROM key_holders WHERE seen_at < $1";
        let now = self.clock.now();
        self.write(move |connection| {
            Box::pin(async move {
                let note = query(NOTE).bind(holder.node.to_string()).bind(holder.name).bind(holder.key);
                note.bind(now.as_micros()).execute(&mut *connection).await?;
                let long_ago = now.as_micros().saturating_sub(micros(FORGOTTEN));
                query(FORGET).bind(long_ago).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes that a node stops.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_key_holder(&self, node: WorkerId) -> Result<(), StoreError> {
        const FORGET: &str = "DELETE FROM key_holders WHERE node = $1";
        let forget = query(FORGET).bind(node.to_string());
        self.write(move |connection| Box::pin(async move { Ok(forget.execute(connection).await?) })).await?;
        Ok(())
    }

    /// The nodes that were seen within the time `within`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn key_holders(&self, within: Duration) -> Result<Vec<KeyHolder>, StoreError> {
        const LIST: &str = "SELECT node, name, key_id FROM key_holders WHERE seen_at >= $1 ORDER BY name, node";
        let since = self.clock.now().as_micros().saturating_sub(micros(within));
        let rows = query(LIST).bind(since).fetch_all(&self.readers).await?;
        let holder = |row: super::sql::Row| {
            let node: String = row.try_get(0)?;
            let unreadable =
                |error: crate::ids::InvalidId| StoreError::Unreadable { what: "node", detail: error.to_string() };
            Ok(KeyHolder { node: node.parse().map_err(unreadable)?, name: row.try_get(1)?, key: row.try_get(2)? })
        };
        rows.into_iter().map(holder).collect()
    }

    /// Keeps where the gateway is reached, without a slash at the end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_public_url(&self, url: String) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO instance (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.write(move |connection| {
            Box::pin(async move {
                query(KEEP).bind(PUBLIC_URL).bind(url).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn instance_value(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        let row = query(FIND).bind(name).fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
