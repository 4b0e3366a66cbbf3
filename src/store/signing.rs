//! Keys that sign what leaves for a domain (RFC 6376), and whether their records were seen in DNS.

use std::time::Duration;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Row, query};
use super::{StoreError, TenantStore, exists};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::mail::address::Domain;

/// A signing key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// The domain for which it signs: `d=`.
    pub domain: String,
    /// Its selector: `s=`.
    pub selector: String,
    /// `ed25519` or `rsa`.
    pub algorithm: String,
    /// The TXT record to be published at `selector._domainkey.domain`.
    pub record: String,
    /// `active` or `retired`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the record was last seen in DNS as it should be.
    pub seen_at: Option<Timestamp>,
    /// When it was looked for last.
    pub checked_at: Option<Timestamp>,
    /// The key, sealed.
    pub secret_sealed: String,
}

/// Whether DNS has the record of one of a domain's active keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRecordSeen {
    /// Never, or it was gone when DNS answered last.
    No,
    /// When DNS answered last, which is longer ago than a look counts.
    Before,
    /// Of late.
    OfLate,
}

/// How old a look may be that found the record.
pub const SEEN_WITHIN: Duration = Duration::from_hours(24);

impl TenantStore {
    /// Adds a signing key.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the domain has one of this selector.
    pub async fn add_signing_key(&self, row: SigningKeyRow, who: Who) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO dkim_keys (tenant_id, domain, selector, algorithm, secret_sealed, record, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'active', $7)";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let add = query(ADD)
                        .bind(tenant.to_string())
                        .bind(&row.domain)
                        .bind(&row.selector)
                        .bind(&row.algorithm)
                        .bind(&row.secret_sealed)
                        .bind(&row.record)
                        .bind(now.as_micros());
                    add.execute(&mut *connection).await.map_err(exists("a signing key of this selector"))?;
                    let detail = json!({ "selector": row.selector, "algorithm": row.algorithm, "record": row.record });
                    append(connection, tenant, now, vec![NewEntry::new(who, "signing_key.added", &row.domain, detail)])
                        .await
                })
            })
            .await
    }

    /// The signing keys of the tenant, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        const LIST: &str = "\
SELECT domain, selector, algorithm, record, state, created_at, seen_at, checked_at, secret_sealed FROM dkim_keys
WHERE tenant_id = $1 ORDER BY created_at, domain, selector";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Records a look for the record of a key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn note_signing_key(&self, domain: &str, selector: &str, was_seen: bool) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE dkim_keys SET checked_at = $4, \
seen_at = CASE WHEN $5 = 1 THEN $4 ELSE NULL END WHERE tenant_id = $1 AND domain = $2 AND selector = $3";
        self.change_signing_key(NOTE, domain, selector, Some(i64::from(was_seen)), None).await
    }

    /// Retires a key: nothing is signed with it any more. Its record should stay for as long as mail may be under way.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn retire_signing_key(&self, domain: &str, selector: &str, who: Who) -> Result<(), StoreError> {
        const RETIRE: &str = "UPDATE dkim_keys SET state = 'retired', checked_at = COALESCE(checked_at, $4) \
WHERE tenant_id = $1 AND domain = $2 AND selector = $3";
        self.change_signing_key(RETIRE, domain, selector, None, Some(who)).await
    }

    async fn change_signing_key(
        &self,
        sql: &'static str,
        domain: &str,
        selector: &str,
        flag: Option<i64>,
        who: Option<Who>,
    ) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let (domain, selector) = (domain.to_owned(), selector.to_owned());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let change =
                        query(sql).bind(tenant.to_string()).bind(&domain).bind(&selector).bind(now.as_micros());
                    let change = if let Some(flag) = flag { change.bind(flag) } else { change };
                    if change.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::NotFound("signing key"));
                    }
                    let Some(who) = who else { return Ok(()) };
                    let entry = NewEntry::new(who, "signing_key.retired", &domain, json!({ "selector": selector }));
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Whether DNS has the record of an active key of a domain, as far as it answered.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn key_record(&self, domain: &Domain, now: Timestamp) -> Result<KeyRecordSeen, StoreError> {
        const NEWEST: &str =
            "SELECT MAX(seen_at) FROM dkim_keys WHERE tenant_id = $1 AND domain = $2 AND state = 'active'";
        let newest = query(NEWEST).bind(self.tenant.to_string()).bind(domain.as_str());
        let seen_at = newest.fetch_one(&self.store.readers).await?.try_get::<Option<i64>>(0)?;
        Ok(match seen_at.map(Timestamp::from_micros) {
            None => KeyRecordSeen::No,
            Some(at) if now.since(at) < SEEN_WITHIN => KeyRecordSeen::OfLate,
            Some(_) => KeyRecordSeen::Before,
        })
    }
}

fn read(row: &Row) -> Result<SigningKeyRow, StoreError> {
    let time = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>>(column)?.map(Timestamp::from_micros));
    Ok(SigningKeyRow {
        domain: row.try_get(0)?,
        selector: row.try_get(1)?,
        algorithm: row.try_get(2)?,
        record: row.try_get(3)?,
        state: row.try_get(4)?,
        created_at: Timestamp::from_micros(row.try_get(5)?),
        seen_at: time(6)?,
        checked_at: time(7)?,
        secret_sealed: row.try_get(8)?,
    })
}
