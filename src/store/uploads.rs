//! Files that wait to go along with a draft: sealed, for a day, within a bound for each tenant.

use super::dialect::lock_tenants;
use super::sql::{Row, query};
use super::{StoreError, TenantStore, from_id};
use crate::clock::Timestamp;
use crate::ids::{KeyId, UploadId};

/// A file to be kept.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Its id.
    pub id: UploadId,
    /// The key that brought it.
    pub key: KeyId,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Octets, before they were sealed.
    pub size: u64,
    /// SHA-256 of these, in hexadecimal.
    pub sha256: String,
    /// The key of the octets, itself sealed.
    pub sealed_key: Vec<u8>,
    /// The octets, sealed.
    pub content: Vec<u8>,
    /// From then on it is gone.
    pub expires_at: Timestamp,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Octets, before they were sealed.
    pub size: u64,
    /// SHA-256 of these, in hexadecimal.
    pub sha256: String,
    /// The key of the octets, itself sealed.
    pub sealed_key: Vec<u8>,
    /// The octets, sealed.
    pub content: Vec<u8>,
}

/// What may wait of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadRoom {
    /// Files.
    pub files: u64,
    /// Octets of all of them.
    pub octets: u64,
}

impl TenantStore {
    /// Keeps a file, where there is room for it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where there is none.
    pub async fn add_upload(&self, new: NewUpload, room: UploadRoom) -> Result<(), StoreError> {
        const WAITING: &str = "\
SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM uploads WHERE tenant_id = $1 AND expires_at > $2";
        const ADD: &str = "\
INSERT INTO uploads (tenant_id, upload_id, key_id, name, media_type, size, sha256, sealed_key, content, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let (id, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    // Two that come at once must not both find the last room.
                    lock_tenants(connection, [id]).await?;
                    let tenant = id.to_string();
                    let waiting = query(WAITING).bind(tenant.as_str()).bind(now.as_micros());
                    let row = waiting.fetch_one(&mut *connection).await?;
                    let (files, octets) =
                        (row.try_get::<i64>(0)?.cast_unsigned(), row.try_get::<i64>(1)?.cast_unsigned());
                    if files >= room.files || octets.saturating_add(new.size) > room.octets {
                        return Err(StoreError::Conflict("the tenant has as many uploads waiting as it may"));
                    }
                    let add = query(ADD)
                        .bind(tenant.as_str())
                        .bind(new.id.to_string())
                        .bind(new.key.to_string())
                        .bind(new.name)
                        .bind(new.media_type)
                        .bind(new.size.cast_signed())
                        .bind(new.sha256)
                        .bind(new.sealed_key.as_slice())
                        .bind(new.content.as_slice())
                        .bind(now.as_micros())
                        .bind(new.expires_at.as_micros());
                    add.execute(&mut *connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// One file that is not over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn upload(&self, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
        const ONE: &str = "\
SELECT upload_id, name, media_type, size, sha256, sealed_key, content FROM uploads
WHERE tenant_id = $1 AND upload_id = $2 AND expires_at > $3";
        let now = self.store.clock.now();
        let one = query(ONE).bind(self.tenant.to_string()).bind(id.to_string()).bind(now.as_micros());
        let read = |row: &Row| {
            Ok(UploadRow {
                id: from_id("upload_id", row.try_get(0)?)?,
                name: row.try_get(1)?,
                media_type: row.try_get(2)?,
                size: row.try_get::<i64>(3)?.cast_unsigned(),
                sha256: row.try_get(4)?,
                sealed_key: row.try_get(5)?,
                content: row.try_get(6)?,
            })
        };
        one.fetch_optional(&self.store.readers).await?.as_ref().map(read).transpose()
    }

    /// Removes what is over; how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drop_uploads(&self) -> Result<u64, StoreError> {
        const DROP: &str = "DELETE FROM uploads WHERE tenant_id = $1 AND expires_at <= $2";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let drop = query(DROP).bind(tenant).bind(now.as_micros());
                    Ok(drop.execute(connection).await?)
                })
            })
            .await
    }
}
