//! What stands in the way of mail that leaves, for administrators of a tenant: pauses, and addresses that get nothing.
//!
//! To stop something needs the role alone, since it may have to be quick. To let it go on needs a person who has just proved
//! who they are, and is the caller's to ask for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Admin, SignedIn};
use super::{Conflict, Fault, Service, ServiceError};
use crate::governance::audit::Who;
use crate::ids::MailboxId;
use crate::mail::address::Mailbox;
use crate::store::standing::{Paused, Suppression, SuppressionReason};
use crate::store::{StoreError, TenantStore};

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PausePage {
    /// Each pause of the organisation.
    pub items: Vec<PauseView>,
    /// Since when the operator has stopped everything, RFC 3339; null while nothing is.
    pub gateway_paused_since: Option<String>,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseView {
    /// By what it is ended: `tenant`, `mailbox:…` or `agent:…`.
    pub id: String,
    /// `tenant`, `mailbox` or `agent`.
    pub kind: String,
    /// Id of the mailbox, or name of the agent; empty for all of the organisation.
    pub subject: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What is to be paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseRequest {
    /// `tenant`, `mailbox` or `agent`.
    #[schema(min_length = 1, max_length = 20)]
    pub kind: String,
    /// Id or address of the mailbox, or name of the agent; nothing for all of the organisation.
    #[serde(default)]
    #[schema(max_length = 320)]
    pub subject: String,
}

/// A page of addresses that get nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuppressionPage {
    /// By their addresses.
    pub items: Vec<SuppressionView>,
    /// What to give as `after` for more; null where there are none.
    pub next_after: Option<String>,
}

/// An address that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuppressionView {
    /// The address, in its form for comparison.
    pub address: String,
    /// `hard_bounce`, `complaint`, `unsubscribe` or `manual`.
    pub reason: String,
    /// The event that says so.
    pub event_id: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

impl From<Suppression> for SuppressionView {
    fn from(row: Suppression) -> Self {
        Self { address: row.address_key, reason: row.reason, event_id: row.event, since: row.created_at.to_string() }
    }
}

/// An address that is to get nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuppressionRequest {
    /// The address.
    #[schema(min_length = 3, max_length = 320)]
    pub address: String,
}

/// Addresses of a page at most.
const PAGE: u32 = 200;
/// Letters of an agent's name, as keys are bound to one.
const AGENT: usize = 200;

impl Service {
    /// What is paused.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn pauses(&self, who: &SignedIn<Admin>) -> Result<PausePage, ServiceError> {
        let rows = self.store.for_tenant(who.tenant()).pauses().await?;
        let items = rows.into_iter().map(|(kind, subject, since)| {
            let id = if subject.is_empty() { kind.clone() } else { format!("{kind}:{subject}") };
            PauseView { id, kind, subject, since: since.to_string() }
        });
        let gateway = self.store.gateway_paused_since().await?;
        Ok(PausePage { items: items.collect(), gateway_paused_since: gateway.map(|since| since.to_string()) })
    }

    /// Pauses, within a second on every node; once more changes nothing. All that is paused then.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::NotFound`] for a mailbox that there is not.
    pub async fn pause(&self, request: PauseRequest, who: &SignedIn<Admin>) -> Result<PausePage, ServiceError> {
        let tenant = self.store.for_tenant(who.tenant());
        let paused = match (request.kind.as_str(), request.subject.trim()) {
            ("tenant", "") => Paused::Tenant,
            ("tenant", _) => return Err(fault("/subject", "must be empty: all of the organisation is paused")),
            ("mailbox", subject) => Paused::Mailbox(mailbox_named(&tenant, subject).await?),
            ("agent", subject) if subject.is_empty() || subject.chars().count() > AGENT => {
                return Err(fault("/subject", "must be the name of an agent"));
            }
            ("agent", subject) => Paused::Agent(subject.to_owned()),
            _ => return Err(fault("/kind", "must be `tenant`, `mailbox` or `agent`")),
        };
        tenant.pause_sending(paused, true, Who::Actor(who.actor())).await?;
        self.pauses(who).await
    }

    /// Ends a pause, by its id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where nothing is paused under it; [`ServiceError::Conflict`] for what the operator paused.
    pub async fn resume(&self, id: &str, who: &SignedIn<Admin>) -> Result<PausePage, ServiceError> {
        let paused = match id.split_once(':') {
            None if id == "tenant" => Some(Paused::Tenant),
            Some(("mailbox", subject)) => subject.parse().ok().map(Paused::Mailbox),
            Some(("agent", subject)) => Some(Paused::Agent(subject.to_owned())),
            _ => None,
        };
        let paused = paused.ok_or(ServiceError::NotFound("pause"))?;
        let tenant = self.store.for_tenant(who.tenant());
        let ended = tenant.pause_sending(paused, false, Who::Actor(who.actor())).await.map_err(|error| match error {
            StoreError::Conflict(why) => Conflict::State(why).into(),
            error => ServiceError::from(error),
        });
        if !ended? {
            return Err(ServiceError::NotFound("pause"));
        }
        self.pauses(who).await
    }

    /// Addresses that get nothing, behind `after`.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn suppressions(
        &self,
        after: Option<&str>,
        who: &SignedIn<Admin>,
    ) -> Result<SuppressionPage, ServiceError> {
        let rows = self.store.for_tenant(who.tenant()).suppressions_after(after.unwrap_or_default(), PAGE).await?;
        let next_after = rows.last().filter(|_| rows.len() == PAGE as usize).map(|row| row.address_key.clone());
        Ok(SuppressionPage { items: rows.into_iter().map(SuppressionView::from).collect(), next_after })
    }

    /// Sends an address nothing any more; where that was so, its first reason stays.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what is no address.
    pub async fn suppress(
        &self,
        request: &SuppressionRequest,
        who: &SignedIn<Admin>,
    ) -> Result<SuppressionView, ServiceError> {
        let address = Mailbox::parse(&request.address).map_err(|error| fault("/address", error.to_string()))?;
        let tenant = self.store.for_tenant(who.tenant());
        tenant.suppress(address.key(), SuppressionReason::Manual, None, Who::Actor(who.actor())).await?;
        let row = tenant.suppressions(&[address.key()]).await?.pop();
        row.map(SuppressionView::from).ok_or(ServiceError::NotFound("suppressed address"))
    }

    /// Lets an address be sent to again.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where it is not suppressed.
    pub async fn unsuppress(&self, address: &str, who: &SignedIn<Admin>) -> Result<(), ServiceError> {
        let address = Mailbox::parse(address).map_err(|_| ServiceError::NotFound("suppressed address"))?;
        let tenant = self.store.for_tenant(who.tenant());
        Ok(tenant.unsuppress(address.key(), Who::Actor(who.actor())).await?)
    }
}

/// The mailbox of this id or address.
async fn mailbox_named(tenant: &TenantStore, name: &str) -> Result<MailboxId, ServiceError> {
    let key = Mailbox::parse(name).ok().map(|mailbox| mailbox.key());
    let own = |address: &str| Mailbox::parse(address).ok().map(|own| own.key());
    let mailboxes = tenant.mailboxes().await?;
    let mut named =
        mailboxes.iter().filter(|row| row.id.to_string() == name || (key.is_some() && own(&row.address) == key));
    named.next().map(|row| row.id).ok_or(ServiceError::NotFound("mailbox"))
}

fn fault(pointer: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid(vec![Fault::at(pointer, message)])
}
