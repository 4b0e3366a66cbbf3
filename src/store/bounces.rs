//! Hosts of customers' domains that lead here, for the reverse-paths of what is sent for them; and whose such a path is.
//!
//! A host is below its domain, and counts for as long as the domain does: whoever has proven the domain has it.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Row, query};
use super::{Store, StoreError, TenantStore, from_id};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::TenantId;
use crate::mail::address::Domain;

/// A host to which reports about a domain's mail are delegated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BounceHostRow {
    /// The domain, as A-label.
    pub domain: String,
    /// The host.
    pub host: String,
    /// When it was last seen to lead here; empty where it never was, or was looked for in vain three times since.
    pub seen_at: Option<Timestamp>,
    /// When it was looked for last.
    pub checked_at: Option<Timestamp>,
}

/// So many looks in a row in vain, and it counts no more.
const MISSES: i64 = 3;

impl TenantStore {
    /// Delegates reports about a domain's mail to a host, in place of another one; it counts once it was seen to lead here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delegate_bounces(&self, domain: &Domain, host: &Domain, who: Who) -> Result<(), StoreError> {
        const DELEGATE: &str = "\
INSERT INTO bounce_hosts (tenant_id, domain, host, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, domain) DO UPDATE SET host = excluded.host, created_at = excluded.created_at,
    seen_at = NULL, checked_at = NULL, misses = 0 WHERE bounce_hosts.host <> excluded.host";
        let (tenant, domain, host, now) = (self.tenant, domain.to_string(), host.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let delegate = query(DELEGATE).bind(tenant.to_string()).bind(&domain).bind(&host);
                    if delegate.bind(now.as_micros()).execute(&mut *connection).await? == 0 {
                        return Ok(());
                    }
                    let entry = NewEntry::new(who, "bounce_host.delegated", domain, json!({ "host": host }));
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Ends a delegation: from now on reports go to the mailbox that sent, as without one. Those about what was sent before
    /// are refused.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub async fn withdraw_bounces(&self, domain: &Domain, who: Who) -> Result<(), StoreError> {
        const WITHDRAW: &str = "DELETE FROM bounce_hosts WHERE tenant_id = $1 AND domain = $2";
        let (tenant, domain, now) = (self.tenant, domain.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let withdraw = query(WITHDRAW).bind(tenant.to_string()).bind(&domain);
                    if withdraw.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::NotFound("bounce host"));
                    }
                    let entry = NewEntry::new(who, "bounce_host.withdrawn", domain, json!({}));
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Where reports about a domain's mail are delegated to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn bounce_host(&self, domain: &str) -> Result<Option<BounceHostRow>, StoreError> {
        const ONE: &str =
            "SELECT domain, host, seen_at, checked_at FROM bounce_hosts WHERE tenant_id = $1 AND domain = $2";
        let one = query(ONE).bind(self.tenant.to_string()).bind(domain).fetch_optional(&self.store.readers).await?;
        one.as_ref().map(read).transpose()
    }

    /// Records a look for a host; what it was last seen at stays for a while when it is not there any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn note_bounce_host(&self, domain: &str, was_seen: bool) -> Result<(), StoreError> {
        const NOTE: &str = "\
UPDATE bounce_hosts SET checked_at = $3, misses = CASE WHEN $4 = 1 THEN 0 ELSE misses + 1 END,
    seen_at = CASE WHEN $4 = 1 THEN $3 WHEN misses + 1 >= $5 THEN NULL ELSE seen_at END
WHERE tenant_id = $1 AND domain = $2";
        let (tenant, domain, now) = (self.tenant.to_string(), domain.to_owned(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let note = query(NOTE).bind(tenant).bind(domain).bind(now.as_micros());
                    let note = note.bind(i64::from(was_seen)).bind(MISSES);
                    if note.execute(connection).await? == 0 { Err(StoreError::NotFound("bounce host")) } else { Ok(()) }
                })
            })
            .await
    }
}

impl Store {
    /// Whose a reverse-path on a delegated host is: the tenant, and the key of the mailbox that sent with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sender_by_reverse_path(&self, path: &str) -> Result<Option<(TenantId, String)>, StoreError> {
        const FIND: &str = "\
SELECT v.tenant_id, m.address_key FROM draft_versions AS v
JOIN drafts AS d ON d.tenant_id = v.tenant_id AND d.draft_id = v.draft_id
JOIN mailboxes AS m ON m.tenant_id = d.tenant_id AND m.mailbox_id = d.mailbox_id
JOIN bounce_hosts AS b ON b.tenant_id = v.tenant_id AND b.host = $2
JOIN domains AS o ON o.tenant_id = b.tenant_id AND o.domain = b.domain AND o.state IN ('verified', 'failing')
WHERE v.reverse_path = $1 AND v.reverse_path LIKE 'bounce-%' LIMIT 1";
        let Some((_, host)) = path.rsplit_once('@') else { return Ok(None) };
        let row = query(FIND).bind(path).bind(host).fetch_optional(&self.doors).await?;
        row.map(|row| Ok((from_id("tenant_id", row.try_get(0)?)?, row.try_get(1)?))).transpose()
    }

    /// Whether a host is one to which somebody's reports are delegated.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_bounce_host(&self, host: &Domain) -> Result<bool, StoreError> {
        const ANY: &str = "\
SELECT EXISTS (SELECT 1 FROM bounce_hosts AS b
JOIN domains AS o ON o.tenant_id = b.tenant_id AND o.domain = b.domain AND o.state IN ('verified', 'failing')
WHERE b.host = $1)";
        Ok(query(ANY).bind(host.as_str()).fetch_one(&self.doors).await?.try_get(0)?)
    }
}

fn read(row: &Row) -> Result<BounceHostRow, StoreError> {
    let time = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>>(column)?.map(Timestamp::from_micros));
    Ok(BounceHostRow { domain: row.try_get(0)?, host: row.try_get(1)?, seen_at: time(2)?, checked_at: time(3)? })
}
