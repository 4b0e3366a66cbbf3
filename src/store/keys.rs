//! API keys: their digests, what they may do, and when they were used.

use std::net::IpAddr;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Row, built, query};
use super::{Store, StoreError, TenantStore, exists, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::KeyId;
use crate::keys::{Environment, KeyDigest, KeyRecord, Scopes};

const KEY: &str = "SELECT tenant_id, key_id, name, environment, hash, last4, scopes, bindings, networks, created_at, \
expires_at, revoked_at, last_used_at FROM api_keys";

impl Store {
    /// The key with this digest, whoever owns it, revoked ones too: it is what names the tenant of a call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn key_by_digest(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        let sql = format!("{KEY} WHERE hash = $1");
        let find = built(sql).bind(digest.as_bytes().as_slice());
        find.fetch_optional(&self.doors).await?.as_ref().map(read_key).transpose()
    }
}

impl TenantStore {
    /// Stores a new key.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a key with this digest is there; [`StoreError::Unavailable`].
    pub async fn add_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO api_keys (tenant_id, key_id, name, environment, hash, last4, scopes, bindings, networks, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let (bindings, networks) = (to_json("bindings", &key.bindings)?, to_json("networks", &key.allowed_networks)?);
        let detail = json!({
            "name": key.name, "environment": key.environment.as_str(), "scopes": key.scopes.to_string(),
            "bindings": key.bindings, "networks": key.allowed_networks,
            "expiresAt": key.expires_at.map(|time| time.to_string()),
        });
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(ADD)
                        .bind(tenant.to_string())
                        .bind(key.id.to_string())
                        .bind(key.name)
                        .bind(key.environment.as_str())
                        .bind(key.digest.as_bytes().as_slice())
                        .bind(key.last4)
                        .bind(key.scopes.to_string())
                        .bind(bindings)
                        .bind(networks)
                        .bind(key.created_at.as_micros())
                        .bind(key.expires_at.map(Timestamp::as_micros))
                        .execute(&mut *connection)
                        .await
                        .map_err(exists("a key with this digest"))?;
                    let entry = NewEntry::new(Who::Operator, "key.added", key.id, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// All keys, revoked ones too, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let sql = format!("{KEY} WHERE tenant_id = $1 ORDER BY key_id");
        let list = built(sql).bind(self.tenant.to_string());
        list.fetch_all(&self.store.readers).await?.iter().map(read_key).collect()
    }

    /// Takes a key back; from the commit on it is refused.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such key that is not revoked yet.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), StoreError> {
        const REVOKE: &str = "UPDATE api_keys SET revoked_at = $3 \
WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL RETURNING name";
        let told = move |name: String| NewEntry::new(Who::Operator, "key.revoked", id, json!({ "name": name }));
        self.change_on_record(REVOKE, id.to_string(), "key", told).await
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn note_key_use(&self, id: KeyId, peer: Option<IpAddr>, now: Timestamp) -> Result<(), StoreError> {
        const NOTE: &str = "\
UPDATE api_keys SET last_used_at = $3, last_used_ip = $4 WHERE tenant_id = $1 AND key_id = $2";
        let tenant = self.tenant;
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(NOTE)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(now.as_micros())
                        .bind(peer.map(|peer| peer.to_string()))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

fn read_key(row: &Row) -> Result<KeyRecord, StoreError> {
    let unreadable = |what: &'static str| StoreError::Unreadable { what, detail: "not a known value".to_owned() };
    let environment: &str = row.try_get(3)?;
    let digest: &[u8] = row.try_get(4)?;
    let scopes: &str = row.try_get(6)?;
    let time = |column: usize| row.try_get::<Option<i64>>(column).map(|time| time.map(Timestamp::from_micros));
    Ok(KeyRecord {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("key_id", row.try_get(1)?)?,
        name: row.try_get(2)?,
        environment: Environment::parse(environment).ok_or_else(|| unreadable("environment"))?,
        digest: KeyDigest::from_slice(digest).ok_or_else(|| unreadable("hash"))?,
        last4: row.try_get(5)?,
        scopes: Scopes::parse(scopes),
        bindings: from_json("bindings", row.try_get(7)?)?,
        allowed_networks: from_json("networks", row.try_get(8)?)?,
        created_at: Timestamp::from_micros(row.try_get(9)?),
        expires_at: time(10)?,
        revoked_at: time(11)?,
        last_used_at: time(12)?,
    })
}
