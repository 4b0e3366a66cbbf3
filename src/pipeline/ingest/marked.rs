//! Copies from networks that are everybody's: whose marks they carry, and deciding on those that were held once somebody
//! has confirmed whose they are.

use super::{Ingest, IngestError, NewThreads, Read, parse};
use crate::clock::Timestamp;
use crate::mail::authentication::Authentication;
use crate::mail::envelope::{Manifest, Recipient, TransferDefect};
use crate::mail::marks::{Mark, marks};
use crate::mail::retention::Keep;
use crate::spool::{BodyRef, SpoolError, StoredMessage};
use crate::store::StoreError;
use crate::store::ingest::{NewCopy, NewMessage};
use crate::store::marks::Confirmed;
use crate::store::routes::RouteRow;
use crate::store::watch::Alarm;

/// Held copies that are decided on before new mail is looked at again.
const AT_ONCE: u32 = 16;

/// The recipient with what its route's marks say of the peer, and the marks of the copy where they do not settle it.
pub(super) fn judged(
    recipient: Recipient,
    row: Option<&RouteRow>,
    authentication: &Authentication,
) -> (Recipient, Option<Vec<Mark>>) {
    let Recipient::Route { tenant, route, reader, peer_authorised: false, shared_range: true } = recipient else {
        return (recipient, None);
    };
    let Some(row) = row else { return (recipient, None) };
    let mut providers = row.peers.iter().filter_map(|rule| rule.provider());
    let Some(first) = providers.next() else { return (recipient, None) };
    let mut carried = marks(authentication, first);
    if row.marks.as_ref().is_some_and(|pinned| !pinned.is_empty() && *pinned == carried) {
        let authorised = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: true };
        return (authorised, None);
    }
    for provider in providers {
        let of_another = marks(authentication, provider);
        if row.marks.as_ref().is_some_and(|pinned| !pinned.is_empty() && *pinned == of_another) {
            let authorised = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: true };
            return (authorised, None);
        }
        if carried.is_empty() {
            carried = of_another;
        }
    }
    (recipient, Some(carried))
}

/// The routes that a message reached of which nothing could be read.
pub(super) fn copies(manifest: &Manifest) -> Vec<NewCopy> {
    let is_lost = manifest.defects.contains(&TransferDefect::OverSize);
    let alarm = is_lost.then_some(Alarm::TooLarge);
    let mut copies: Vec<NewCopy> = Vec::new();
    for path in &manifest.envelope.forward_paths {
        if let Recipient::Route { route, .. } = path.recipient
            && copies.iter().all(|copy| copy.route != route)
        {
            copies.push(NewCopy { route, marks: None, keep: Keep::Raw, alarm, tests_connector: false });
        }
    }
    copies
}

/// Why such a copy is held.
pub(super) fn reason(row: &RouteRow, received_at: Timestamp) -> &'static str {
    match &row.marks {
        Some(_) => "marks_differ",
        None if row.learns(received_at) => "learning",
        None => "unverified",
    }
}

impl Ingest {
    /// Decides on held copies whose marks were confirmed; whether there were any.
    pub(super) async fn decide_confirmed(&self) -> bool {
        let confirmed = match self.store.confirmed_copies(AT_ONCE).await {
            Ok(confirmed) => confirmed,
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Held copies cannot be looked for: {error}");
                return false;
            }
        };
        let mut decided = false;
        for copy in confirmed {
            match self.decide_again(copy).await {
                Ok(events) => {
                    decided = true;
                    metrics::counter!("connex_events_recorded_total").increment(u64::try_from(events).unwrap_or(0));
                }
                Err(error) => {
                    tracing::error!(message.id = %copy.message, route.id = %copy.route, error.kind = "ingest", "Held message `{}` cannot be decided on now: {error}", copy.message);
                }
            }
        }
        decided
    }

    async fn decide_again(&self, copy: Confirmed) -> Result<usize, IngestError> {
        let message = self.message_again(copy).await?;
        Ok(self.store.release_copy(copy, message).await?)
    }

    /// The message as it is decided on now, with the peer authorised for the route; `None` where it is there no more.
    async fn message_again(&self, copy: Confirmed) -> Result<Option<NewMessage>, IngestError> {
        let Some(row) = self.store.for_tenant(copy.tenant).message(copy.message).await? else { return Ok(None) };
        let unreadable =
            |what| move |error: serde_json::Error| StoreError::Unreadable { what, detail: error.to_string() };
        let mut manifest: Manifest = serde_json::from_str(&row.manifest).map_err(unreadable("manifest"))?;
        let body: BodyRef = serde_json::from_str(&row.body).map_err(unreadable("body"))?;
        let authentication = match &row.trace {
            Some(trace) => serde_json::from_str::<StoredTrace>(trace).map_err(unreadable("trace"))?.authentication,
            None => Authentication::default(),
        };
        for path in &mut manifest.envelope.forward_paths {
            if let Recipient::Route { route, peer_authorised, .. } = &mut path.recipient
                && *route == copy.route
            {
                *peer_authorised = true;
            }
        }
        let bytes = if row.is_raw_kept { self.spool.read_body(&body).await } else { Err(SpoolError::Erased) };
        let limits = self.settings.limits;
        let stored = StoredMessage { manifest, body };
        let reading = tokio::task::spawn_blocking(move || parse((stored, bytes), &limits));
        let read: Read = reading.await.map_err(|_| IngestError::Interrupted)?.map_err(IngestError::Spool)?;
        Ok(Some(self.message_or_poisoned(read, authentication, &mut NewThreads::default()).await?))
    }
}

/// The part of the trace of a message that is read back.
#[derive(serde::Deserialize)]
struct StoredTrace {
    authentication: Authentication,
}
