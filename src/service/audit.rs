//! The audit log for whoever looks after it: whether it is whole, and what to keep elsewhere to see that later.

use crate::governance::audit::{Broken, ChainHash, Unsigned, Walk};
use crate::governance::signature::{PublicKey, SigningKey};
use crate::store::{StoreError, TenantStore};

pub use crate::governance::audit::{Head, Who, subject_of_address};

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
