//! Receipts of releases: signed in the transaction of the release, as the row of the audit log that it adds, and never changed.

use super::audit::lock_head;
use super::sql::{Connection, query};
use super::{StoreError, TenantStore, from_json, to_json};
use crate::governance::receipt::{SignedReceipt, Unsigned};
use crate::ids::{ReleaseId, TenantId};

/// Signs and stores the receipt of a release whose row in the audit log is the next that this transaction adds; the SHA-256 of
/// what was signed.
pub(super) async fn add_receipt(
    connection: &mut Connection,
    tenant: TenantId,
    release: ReleaseId,
    unsigned: Unsigned,
) -> Result<String, StoreError> {
    const ADD: &str = "INSERT INTO receipts (tenant_id, release_id, receipt) VALUES ($1, $2, $3)";
    let (last, before) = lock_head(connection, tenant).await?;
    let unreadable = |error: serde_json::Error| StoreError::Unreadable { what: "receipt", detail: error.to_string() };
    let (receipt, digest) = unsigned.sign(last, before).map_err(unreadable)?;
    let add = query(ADD).bind(tenant.to_string()).bind(release.to_string()).bind(to_json("receipt", &receipt)?);
    add.execute(connection).await?;
    Ok(digest)
}

impl TenantStore {
    /// The receipt of a release; none for one of before there were receipts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn receipt(&self, release: ReleaseId) -> Result<Option<SignedReceipt>, StoreError> {
        const ONE: &str = "SELECT receipt FROM receipts WHERE tenant_id = $1 AND release_id = $2";
        let one = query(ONE).bind(self.tenant.to_string()).bind(release.to_string());
        let row = one.fetch_optional(&self.store.readers).await?;
        row.map(|row| from_json("receipt", row.try_get(0)?)).transpose()
    }
}
