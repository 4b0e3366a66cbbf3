//! What a person found out about a message of which nobody knew whether it was taken.
//!
//! It is asked for where the connection broke at the very end (`unknown`). The answer ends the draft; nothing is sent by it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::approvals::Approver;
use super::{DraftView, TransmissionView, fault};
use crate::governance::audit::Who;
use crate::mail::address::Mailbox;
use crate::service::{Service, ServiceError};
use crate::store::StoreError;
use crate::store::releases::Finding;

/// What was found out about one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleRequest {
    /// The recipient.
    #[schema(min_length = 3, max_length = 320)]
    pub recipient: String,
    /// Whether the message was taken.
    pub was_taken: bool,
}

impl Service {
    /// A draft with what became of it, for a person who may answer for it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn draft_for(&self, id: &str, approver: &Approver) -> Result<DraftView, ServiceError> {
        let tenant = self.store.for_tenant(approver.tenant());
        let draft = self.draft_row(&tenant, id).await?;
        self.show_draft(&tenant, draft.id).await
    }

    /// Takes what a person found out about a recipient that is `unknown`.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what is no address; [`ServiceError::NotFound`] for a draft that there is not, and where
    /// nothing is unknown of the recipient.
    pub async fn settle(
        &self,
        id: &str,
        request: &SettleRequest,
        approver: &Approver,
    ) -> Result<DraftView, ServiceError> {
        let recipient = Mailbox::parse(&request.recipient).map_err(|error| fault("/recipient", error.to_string()))?;
        let tenant = self.store.for_tenant(approver.tenant());
        let draft = self.draft_row(&tenant, id).await?;
        let by = Who::Actor(approver.actor().clone());
        let (key, was_taken) = (recipient.key(), request.was_taken);
        let settled = tenant.settle_unknown(draft.id, Finding { recipient, was_taken, by }).await;
        let shown = self.show_draft(&tenant, draft.id).await?;
        // Whoever lost the answer says the same again.
        let wanted = if was_taken { "accepted" } else { "rejected" };
        let is_it = |one: &TransmissionView| {
            one.state == wanted && Mailbox::parse(&one.recipient).is_ok_and(|other| other.key() == key)
        };
        match settled {
            Err(StoreError::NotFound(_)) if shown.transmissions.iter().any(is_it) => Ok(shown),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(shown),
        }
    }
}
