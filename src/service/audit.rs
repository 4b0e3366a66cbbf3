//! The audit log for whoever looks after it: its rows, whether it is whole, and what to keep elsewhere to see that later.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Admin, SignedIn};
use super::keys::{AuditRead, Authenticated};
use super::{Service, ServiceError};
use crate::governance::audit::{Broken, ChainHash, Unsigned, Walk};
use crate::governance::signature::{PublicKey, SigningKey};
use crate::ids::TenantId;
use crate::store::audit::AuditRow;
use crate::store::{StoreError, TenantStore};

pub use crate::governance::audit::{Head, Who, subject_of_address};

/// Who may read the log of a tenant: the holder of a key, or an administrator.
#[derive(Debug)]
pub struct AuditReader {
    tenant: TenantId,
}

impl From<&Authenticated<AuditRead>> for AuditReader {
    fn from(caller: &Authenticated<AuditRead>) -> Self {
        Self { tenant: caller.principal().tenant() }
    }
}

impl From<&SignedIn<Admin>> for AuditReader {
    fn from(who: &SignedIn<Admin>) -> Self {
        Self { tenant: who.tenant() }
    }
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditItem {
    /// Its number: 1, 2, 3 … without gaps.
    pub number: u64,
    /// When it was recorded, RFC 3339.
    pub at: String,
    /// Who did it: a kind and an id.
    pub actor: String,
    /// What was done: a word.
    pub action: String,
    /// To what: an id, or the digest of an address.
    pub subject: String,
    /// What else is known of it; null once that was erased.
    pub detail: Option<serde_json::Value>,
    /// SHA-256 over the row and the hash of the row before, in hexadecimal.
    pub hash: String,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Rows, oldest first.
    pub items: Vec<AuditItem>,
    /// What to give as `after` for more; null where there are none now.
    pub next_after: Option<u64>,
}

impl From<AuditRow> for AuditItem {
    fn from(AuditRow { entry, hash, detail }: AuditRow) -> Self {
        Self {
            number: entry.number,
            at: entry.at.to_string(),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            detail: detail.and_then(|text| serde_json::from_str(&text).ok()),
            hash: hash.to_string(),
        }
    }
}

impl Service {
    /// Rows of the tenant's log behind number `after`, oldest first; of one id alone, where one is named.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn audit_log(
        &self,
        (after, limit): (u64, u32),
        subject: Option<&str>,
        reader: &AuditReader,
    ) -> Result<AuditPage, ServiceError> {
        let tenant = self.store.for_tenant(reader.tenant);
        let rows = match subject {
            None => tenant.audit_after(after, limit).await?,
            Some(subject) => {
                let about = tenant.audit_of(subject).await?.into_iter();
                about.filter(|row| row.entry.number > after).take(limit as usize).collect()
            }
        };
        let next_after = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.entry.number);
        Ok(AuditPage { items: rows.into_iter().map(AuditItem::from).collect(), next_after })
    }
}

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Why a log cannot be said to be whole.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    /// It is not.
    #[error("the audit log is not whole: {0}")]
    Broken(#[from] Broken),
    /// Rows that were written are not there.
    #[error("the audit log is not whole: it ends at row {last}, and {written} were written")]
    Short {
        /// The last row.
        last: u64,
        /// How many were written.
        written: u64,
    },
    /// The newest row is another than the one that the next would follow.
    #[error("the audit log is not whole: its newest row is not the one that is remembered")]
    Newest,
    /// The head is not one that this gateway gave.
    #[error("{0}: nothing can be held against it")]
    Head(#[from] Unsigned),
    /// It cannot be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The newest row of a tenant's log, signed, to be kept where nobody can change it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn head(tenant: &TenantStore, key: &SigningKey, now: crate::clock::Timestamp) -> Result<Head, StoreError> {
    let (number, hash) = tenant.audit_head().await?;
    let (taken_at, hash) = (now.to_string(), hash.to_string());
    let head = Head { tenant: tenant.tenant(), number, hash, taken_at, public_key: None, signature: None };
    Ok(head.signed(key))
}

/// Follows a log from its first row, towards a head that was kept, if there is one, and that `key` signed; how many rows it
/// has, and the hash of the newest.
///
/// # Errors
/// [`Unsound`] at the first row that is not as it was recorded.
pub async fn verify(tenant: &TenantStore, kept: Option<&Head>, key: &PublicKey) -> Result<(u64, ChainHash), Unsound> {
    kept.map_or(Ok(()), |head| head.check(key))?;
    let mut walk = Walk::new(tenant.tenant(), kept)?;
    let mut after = 0;
    loop {
        let rows = tenant.audit_after(after, PAGE).await?;
        for row in &rows {
            walk.take(&row.entry, row.hash, row.detail.as_deref())?;
            after = row.entry.number;
        }
        if rows.len() < PAGE as usize {
            break;
        }
    }
    let (last, hash) = walk.end()?;
    // The next row would follow the newest that is remembered: it must be the one that is there.
    let (written, remembered) = tenant.audit_head().await?;
    if written < last || (written == last && remembered != hash) {
        return Err(Unsound::Newest);
    }
    // Rows may have been added since the last page was read.
    if written > last && tenant.audit_after(last, 1).await?.is_empty() {
        return Err(Unsound::Short { last, written });
    }
    Ok((last, hash))
}
