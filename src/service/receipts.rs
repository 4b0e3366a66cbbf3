//! Receipts of releases, and heads of the audit log: what the gateway says of itself, signed, for whoever keeps it elsewhere.
//!
//! It says what was done, to those who may read the audit log; nothing here changes anything.

use std::sync::Arc;

use super::drafts::facts::DraftCase;
use super::keys::{AuditRead, Authenticated};
use super::{Service, ServiceError};
use crate::governance::audit::Who;
use crate::governance::receipt::{
    FORMAT, Receipt, ReceiptApproval, ReceiptIdentity, ReceiptPlace, ReceiptVerdict, Unsigned,
};
use crate::governance::{Approval, Evidence, ReleaseRow, Ruling};
use crate::ids::ReleaseId;

pub use crate::governance::audit::Head;
pub use crate::governance::receipt::{SignedReceipt, Untrue};
pub use crate::governance::signature::{PublicKey, SigningKey};

impl Service {
    /// The receipt of a release.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn receipt(&self, id: &str, caller: &Authenticated<AuditRead>) -> Result<SignedReceipt, ServiceError> {
        let id: ReleaseId = id.parse().map_err(|_| ServiceError::NotFound("release"))?;
        let tenant = self.store.for_tenant(caller.principal().tenant());
        tenant.receipt(id).await?.ok_or(ServiceError::NotFound("release"))
    }

    /// The newest row of the audit log, signed.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn audit_head(&self, caller: &Authenticated<AuditRead>) -> Result<Head, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        Ok(super::audit::head(&tenant, &self.drafts.evidence, self.clock().now()).await?)
    }

    /// What the receipt of a release by this route is to say, but for its place in the audit log.
    pub(crate) fn receipt_of(&self, row: &ReleaseRow, version: u32, case: &DraftCase, route: String) -> Unsigned {
        let all = case.facts.approvals.known().map(Vec::as_slice).unwrap_or_default();
        let of = |id| all.iter().filter(|approval: &&Approval| approval.id == id).map(approval_of).collect();
        let (allowed_by, approvals) = match &row.evidence {
            Evidence::Person { approval } => ("person", of(*approval)),
            Evidence::Policy { .. } => ("policy", Vec::new()),
        };
        let mailbox = case.facts.mailbox.known();
        let receipt = Receipt {
            format: FORMAT.to_owned(),
            gateway: self.base_url.to_string(),
            release: row.id.to_string(),
            draft: row.draft.to_string(),
            version,
            tenant: row.tenant.to_string(),
            content_hash: row.content_hash.to_string(),
            recipients: u32::try_from(row.transmissions.iter().filter(|one| one.state.is_open()).count())
                .unwrap_or(u32::MAX),
            route,
            identity: ReceiptIdentity {
                owner: row.owner.as_str().to_owned(),
                mailbox: row.mailbox.to_string(),
                address: mailbox.and_then(|mailbox| mailbox.addresses.first()).map(ToString::to_string),
                domain: case.facts.domain.known().map(|domain| domain.name.to_string()),
            },
            allowed_by: allowed_by.to_owned(),
            approvals,
            policy_version: row.policy_version.clone(),
            // The gate makes a release where nothing speaks against it, and never else.
            verdict: ReceiptVerdict { ruling: Ruling::Release.as_str().to_owned(), reasons: Vec::new() },
            released_at: row.released_at.to_string(),
            audit: ReceiptPlace { number: 0, previous_hash: String::new() },
        };
        Unsigned { receipt, key: Arc::clone(&self.drafts.evidence) }
    }
}

fn approval_of(approval: &Approval) -> ReceiptApproval {
    ReceiptApproval {
        approval: approval.id.to_string(),
        by: Who::Actor(approval.approver.clone()).to_string(),
        decided_at: approval.decided_at.to_string(),
        accepted: approval.accepted.clone(),
    }
}
