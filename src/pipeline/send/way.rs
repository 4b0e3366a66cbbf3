//! Which way a release goes: by the relay of its domain, by that of the node, or to the recipients' own servers.
//!
//! A release is leave to send by the one route that its receipt says. Where another one is in force by the time of an attempt,
//! the release ends, and what is left of it goes on under a new one, with a receipt of its own: the gate has just been asked
//! again, and is once more before anything is sent under that.

use super::{BUSY, Held, Send, SendTrouble};
use crate::governance::ReleaseRow;
use crate::mail::address::Domain;
use crate::outbound::route::Relay;
use crate::outbound::sign::SignedMessage;
use crate::service::domains::relay::{Way as InForce, open};
use crate::service::drafts::facts::DraftCase;
use crate::store::StoreError;
use crate::store::releases::ClaimedRelease;

/// The way that is in force.
pub(super) struct Way {
    /// As receipts say it.
    pub(super) route: String,
    /// A server that takes it all; without one, each domain has servers of its own.
    pub(super) relay: Option<Relay>,
}

impl Way {
    /// A relay takes everything at once; else each domain has servers of its own.
    pub(super) fn parts(&self, signed: SignedMessage) -> Vec<(Option<Domain>, SignedMessage)> {
        if self.relay.is_some() {
            return vec![(None, signed)];
        }
        signed.by_domain().into_iter().map(|(domain, message)| (Some(domain), message)).collect()
    }

    /// Under what its connections and messages are counted.
    pub(super) fn destination(&self, domain: Option<&Domain>) -> String {
        match (&self.relay, domain) {
            (Some(relay), _) => relay.destination(),
            (None, domain) => domain.map_or("", Domain::as_str).to_owned(),
        }
    }
}

impl Send {
    /// The way of a message of this identity.
    pub(super) async fn way(&self, held: &Held<'_>, domain: Option<&Domain>) -> Result<Way, SendTrouble> {
        let InForce { route, relay } = self.service.way_of(held.tenant, held.stored.row.owner, domain).await?;
        let relay = match relay {
            Some(row) => Some(open(&self.key, held.claimed.tenant, &row)?),
            None => self.settings.relay.clone(),
        };
        Ok(Way { route, relay })
    }

    /// Ends the release, and makes one for another route of what is left of it; `None` where that is not to be done now, or
    /// not any more.
    pub(super) async fn reroute(
        &self,
        held: &Held<'_>,
        case: &DraftCase,
        route: String,
    ) -> Result<Option<ClaimedRelease>, SendTrouble> {
        let Held { tenant, worker, claimed, stored } = *held;
        let policy_version = case.facts.policy.known().map(|policy| policy.version.clone()).unwrap_or_default();
        let now = self.service.clock().now();
        let row =
            ReleaseRow { id: self.service.clock().mint(), policy_version, released_at: now, ..stored.row.clone() };
        let receipt = self.service.receipt_of(&row, stored.version, case, route);
        match tenant.release_anew(worker, claimed, row.id, receipt).await {
            Ok(Some(anew)) => {
                tracing::info!(release.id = %anew.release, tenant.id = %anew.tenant, "Release `{}` goes on by another route", claimed.release);
                Ok(Some(anew))
            }
            Ok(None) => {
                tenant.put_back(worker, claimed.clone(), now.plus(BUSY)).await?;
                Ok(None)
            }
            // Withdrawn or held since it was claimed: whoever did that gave the recipients up.
            Err(StoreError::Conflict(_) | StoreError::LeaseLost) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
