//! Erasing what is held of a person: of an address, of one draft, or of one id of the audit log.
//!
//! What is taken out is in [`crate::store::drafts::erase`]. Drafts that are not over are left as they are and named, so that
//! whoever asks can take them back first. Mail that came in is its route's to keep or erase, and a suppressed address stays
//! suppressed: that keeps mail away from the person.
//!
//! # Security
//! The operator does so by a command, and an administrator of the tenant who has just proved who they are; no key does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Admin, SignedIn};
use super::{Fault, Service, ServiceError};
use crate::governance::audit::{Who, subject_of_address};
use crate::ids::DraftId;
use crate::mail::address::Mailbox;
use crate::store::drafts::erase::DraftErasure;
use crate::store::{StoreError, TenantStore};

/// Whom or what to erase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErasureRequest {
    /// An address of a recipient of drafts, without a name; or the id of a draft.
    #[schema(min_length = 3, max_length = 320)]
    pub subject: String,
}

/// What was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureAnswer {
    /// How many drafts were, now.
    pub drafts: u64,
    /// How many rows of the audit log lost their details, now.
    pub details: u64,
    /// Ids of drafts that are not over: nothing of these was erased. At most 1,000.
    pub open: Vec<String>,
}

/// Drafts that are named at most.
const MOST_OPEN: usize = 1_000;

impl Service {
    /// Erases what is held of a person.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what is neither an address nor a draft; [`ServiceError::NotFound`] for a draft that there is not; [`ServiceError::Unavailable`]: what was erased before stays so,
    /// and the rest is erased by the next call.
    pub async fn erase(&self, request: &ErasureRequest, who: &SignedIn<Admin>) -> Result<ErasureAnswer, ServiceError> {
        let subject = request.subject.trim();
        // What the log says of settings is not a person's: only the operator takes that out.
        if subject.parse::<DraftId>().is_err() && Mailbox::parse(subject).is_err() {
            return Err(ServiceError::Invalid(vec![Fault::at("/subject", "must be an address, or the id of a draft")]));
        }
        let tenant = self.store.for_tenant(who.tenant());
        Ok(erase(&tenant, subject, Who::Actor(who.actor())).await?)
    }
}

/// Erases what a tenant holds of an address, a draft, or another id; once more does no harm.
///
/// # Errors
/// [`StoreError::NotFound`] for a draft that there is not; [`StoreError::Unavailable`].
pub async fn erase(tenant: &TenantStore, subject: &str, who: Who) -> Result<ErasureAnswer, StoreError> {
    let mut answer = ErasureAnswer::default();
    if let Ok(draft) = subject.parse::<DraftId>() {
        erase_one(tenant, draft, who, &mut answer).await?;
        return Ok(answer);
    }
    let subject = match Mailbox::parse(subject) {
        Err(_) => subject.to_owned(),
        Ok(mailbox) => {
            let key = mailbox.key();
            for draft in tenant.drafts_to(&key).await? {
                erase_one(tenant, draft, who.clone(), &mut answer).await?;
            }
            subject_of_address(&key)
        }
    };
    answer.details += tenant.erase_audit_details(subject, answer.drafts, who).await?;
    Ok(answer)
}

async fn erase_one(
    tenant: &TenantStore,
    draft: DraftId,
    who: Who,
    answer: &mut ErasureAnswer,
) -> Result<(), StoreError> {
    match tenant.erase_draft(draft, who).await? {
        DraftErasure::Done(details) => {
            answer.drafts += 1;
            answer.details += details;
        }
        DraftErasure::Open(_) if answer.open.len() < MOST_OPEN => answer.open.push(draft.to_string()),
        DraftErasure::Open(_) | DraftErasure::Before => {}
    }
    Ok(())
}
