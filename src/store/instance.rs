//! What the database knows of the installation that it belongs to.

use super::sql::query;
use super::{Store, StoreError};

const KEY: &str = "key_fingerprint";

impl Store {
    /// Fingerprint of the instance key that the secrets here are sealed with; none before the first start was through.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn key_fingerprint(&self) -> Result<Option<String>, StoreError> {
        const FIND: &str = "SELECT value FROM instance WHERE name = $1";
        let row = query(FIND).bind(KEY).fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps `fingerprint` where none is kept yet; returns the one that is kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_key_fingerprint(&self, fingerprint: String) -> Result<String, StoreError> {
        const KEEP: &str = "INSERT INTO instance (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        const FIND: &str = "SELECT value FROM instance WHERE name = $1";
        self.write(move |connection| {
            Box::pin(async move {
                query(KEEP).bind(KEY).bind(fingerprint).execute(&mut *connection).await?;
                Ok(query(FIND).bind(KEY).fetch_one(connection).await?.try_get(0)?)
            })
        })
        .await
    }
}
