//! Held copies that are decided on once more: those whose marks somebody has confirmed, and those of which somebody asked
//! so, since what was in their way is mended.
//!
//! # Security
//! A copy that is read again is believed where it would be, had it come in now: by what was recorded of its peer when it
//! came, held against what its route names at present, and by the present settings of the route and its tenant. Where the
//! peer is not named, what speaks for the author is looked up anew: what stood in DNS when the copy came may have been
//! somebody else's. A key that was revoked since names nobody any more.

use super::{Ingest, IngestError, NewThreads, Read, parse};
use crate::ids::{KeyId, RouteId, TenantId};
use crate::keys::Scope;
use crate::mail::authentication::{Authentication, Outcome};
use crate::mail::envelope::{Manifest, Origin, Recipient};
use crate::mail::marks::Mark;
use crate::spool::{BodyRef, SpoolError, StoredMessage};
use crate::store::StoreError;
use crate::store::ingest::{Kept, NewMessage};
use crate::store::marks::Confirmed;
use crate::store::reading::MessageRow;
use crate::store::redecisions::{Redecided, Redecision};
use crate::store::routes::RouteRow;

/// Held copies that are decided on before new mail is looked at again.
const AT_ONCE: u32 = 16;

/// What is known of a copy that is read again for one of its routes.
#[derive(Debug, Clone)]
pub(super) struct Again {
    route: RouteId,
    /// The marks that it was kept with.
    pub(super) marks: Option<Vec<Mark>>,
    /// Whether the operator lets it pass although it came back in a delivery report.
    pub(super) is_released: bool,
}

impl Again {
    /// Whether the copy is read again for this recipient.
    pub(super) fn is_about(&self, recipient: Recipient) -> bool {
        matches!(recipient, Recipient::Route { route, .. } if route == self.route)
    }
}

/// What its route says at present of who handed a copy over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Named,
    /// In a network that is everybody's.
    Shared,
    Stranger,
}

/// A message as it is stored.
struct Stored {
    manifest: Manifest,
    body: BodyRef,
    authentication: Authentication,
    is_raw_kept: bool,
}

impl Stored {
    fn of(row: &MessageRow) -> Result<Self, StoreError> {
        let unreadable =
            |what| move |error: serde_json::Error| StoreError::Unreadable { what, detail: error.to_string() };
        let authentication = match &row.trace {
            Some(trace) => serde_json::from_str::<StoredTrace>(trace).map_err(unreadable("trace"))?.authentication,
            None => Authentication::default(),
        };
        Ok(Self {
            manifest: serde_json::from_str(&row.manifest).map_err(unreadable("manifest"))?,
            body: serde_json::from_str(&row.body).map_err(unreadable("body"))?,
            authentication,
            is_raw_kept: row.is_raw_kept,
        })
    }
}

/// The part of the trace of a message that is read back.
#[derive(serde::Deserialize)]
struct StoredTrace {
    authentication: Authentication,
}

impl Ingest {
    /// Decides on held copies that wait for it; whether there were any.
    pub(super) async fn decide_held(&self) -> bool {
        let (confirmed, asked) = match self.waiting_copies().await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Held copies cannot be looked for: {error}");
                return false;
            }
        };
        if confirmed.is_empty() && asked.is_empty() {
            return false;
        }
        // Nothing of what was looked up before: what was mended just now must count, and what was taken back must not.
        let anew = Self { directory: self.directory.anew(), ..self.clone() };
        let mut decided = false;
        for copy in confirmed {
            decided |= anew.decide_confirmed(copy).await;
        }
        for copy in asked {
            decided |= anew.decide_asked(&copy).await;
        }
        decided
    }

    async fn waiting_copies(&self) -> Result<(Vec<Confirmed>, Vec<Redecision>), StoreError> {
        Ok((self.store.confirmed_copies(AT_ONCE).await?, self.store.redecisions(AT_ONCE).await?))
    }

    async fn decide_confirmed(&self, copy: Confirmed) -> bool {
        let decide = async {
            let message = self.confirmed_again(copy).await?;
            Ok::<_, IngestError>(self.store.release_copy(copy, message).await?)
        };
        match decide.await {
            Ok(events) => {
                count(events);
                true
            }
            Err(error) => {
                tracing::error!(message.id = %copy.message, route.id = %copy.route, error.kind = "ingest", "Held message `{}` cannot be decided on now: {error}", copy.message);
                false
            }
        }
    }

    /// The message as it is decided on now, with the peer authorised for the route; `None` where it is there no more.
    async fn confirmed_again(&self, copy: Confirmed) -> Result<Option<NewMessage>, IngestError> {
        let Some(row) = self.store.for_tenant(copy.tenant).message(copy.message).await? else { return Ok(None) };
        let mut stored = Stored::of(&row)?;
        for path in &mut stored.manifest.envelope.forward_paths {
            if let Recipient::Route { route, peer_authorised, .. } = &mut path.recipient
                && *route == copy.route
            {
                *peer_authorised = true;
            }
        }
        let authentication = std::mem::take(&mut stored.authentication);
        let read = self.read_again(stored).await?;
        let again = Again { route: copy.route, marks: None, is_released: false };
        let mut threads = NewThreads::default();
        Ok(Some(self.message_or_poisoned(read, authentication, Some(&again), &mut threads).await?))
    }

    async fn decide_asked(&self, asked: &Redecision) -> bool {
        let (id, route) = (asked.message, asked.route);
        let decide = async {
            let message = self.asked_again(asked).await?;
            Ok::<_, IngestError>(self.store.record_redecision(asked, message).await?)
        };
        let recorded = match decide.await {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(message.id = %id, route.id = %route, error.kind = "ingest", "Held message `{id}` cannot be decided on now: {error}");
                if let Err(error) = self.store.put_off_redecision(asked).await {
                    tracing::warn!(
                        error.kind = "store",
                        temporary = true,
                        "Held message `{id}` cannot be put off: {error}"
                    );
                }
                return false;
            }
        };
        let what = match recorded {
            Redecided::Decided(events) => {
                count(events);
                "is decided on".to_owned()
            }
            Redecided::Held(reason) => format!("is held: {reason}"),
            Redecided::Unchanged => "is held as before".to_owned(),
            Redecided::Done => return true,
        };
        let (by, tenant) = (&asked.asked_by, asked.tenant);
        match asked.is_released {
            // Whatever is logged: somebody answers for what nothing vouches for.
            true => {
                tracing::warn!(message.id = %id, route.id = %route, tenant.id = %tenant, asked.by = %by, "Message `{id}`, which came back in a delivery report and was released for route `{route}`, {what}");
            }
            false => {
                tracing::info!(message.id = %id, route.id = %route, tenant.id = %tenant, asked.by = %by, "Message `{id}`, held at route `{route}` and read again, {what}");
            }
        }
        true
    }

    /// The message as it would be at the route, had it come in now; `None`: it stays as it is.
    async fn asked_again(&self, asked: &Redecision) -> Result<Option<NewMessage>, IngestError> {
        let own = self.store.for_tenant(asked.tenant);
        let Some(route) = own.route(asked.route).await?.filter(RouteRow::takes_copies) else { return Ok(None) };
        // Nobody takes mail of a tenant that is suspended.
        if own.suspended_since().await?.is_some() {
            return Ok(None);
        }
        let Some(row) = own.message(asked.message).await? else { return Ok(None) };
        let mut stored = match Stored::of(&row) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(message.id = %asked.message, error.kind = "ingest", "Held message `{}` stays as it is: {error}", asked.message);
                return Ok(None);
            }
        };
        let peer = self.peer_now(&route, &stored.manifest.origin).await?;
        for path in &mut stored.manifest.envelope.forward_paths {
            let Recipient::Route { route: id, reader, peer_authorised, shared_range, .. } = &mut path.recipient else {
                continue;
            };
            if *id == route.id && reader.prefix() == route.reader.prefix() {
                *reader = route.reader;
                (*peer_authorised, *shared_range) = (peer == Peer::Named, peer == Peer::Shared);
            }
        }
        let recorded = std::mem::take(&mut stored.authentication);
        let read = self.read_again(stored).await?;
        let is_open = peer != Peer::Named || !recorded.checked || has_trouble(&recorded);
        let authentication =
            if is_open && self.authenticator.is_some() { self.authenticate(&read).await } else { recorded };
        let marks = own.marks_of(route.id, asked.message).await?;
        let again = Again { route: route.id, marks, is_released: asked.is_released };
        let mut threads = NewThreads::default();
        let message = self.message_or_poisoned(read, authentication, Some(&again), &mut threads).await?;
        // It stays held, and can be asked for again, rather than become what nobody can ask for.
        Ok(Some(message).filter(|message| !matches!(message.kept, Some(Kept::Poisoned(_)))))
    }

    /// What the route says now of who handed a message over then.
    async fn peer_now(&self, route: &RouteRow, origin: &Origin) -> Result<Peer, StoreError> {
        let mut origin = origin.clone();
        if let Some(key) = origin.authenticated
            && !self.is_usable(route.tenant, key, &origin).await?
        {
            origin.authenticated = None;
        }
        if route.names(&origin) {
            return Ok(Peer::Named);
        }
        Ok(if self.ranges.are_named(route, origin.peer).await { Peer::Shared } else { Peer::Stranger })
    }

    /// Whether a key could still be used to hand the message over.
    async fn is_usable(&self, tenant: TenantId, key: KeyId, origin: &Origin) -> Result<bool, StoreError> {
        let now = self.store.clock().now();
        let keys = self.store.for_tenant(tenant).keys().await?;
        let is_it = |record: &&crate::keys::KeyRecord| record.id == key && record.scopes.contains(Scope::MailIngest);
        Ok(keys.iter().find(is_it).is_some_and(|record| record.check(origin.peer, now).is_ok()))
    }

    async fn read_again(&self, stored: Stored) -> Result<Read, IngestError> {
        let Stored { manifest, body, is_raw_kept, .. } = stored;
        let bytes = if is_raw_kept { self.spool.read_body(&body).await } else { Err(SpoolError::Erased) };
        let limits = self.settings.limits;
        let stored = StoredMessage { manifest, body };
        let reading = tokio::task::spawn_blocking(move || parse((stored, bytes), &limits));
        reading.await.map_err(|_| IngestError::Interrupted)?.map_err(IngestError::Spool)
    }
}

/// Whether something could not be looked up when the message came.
fn has_trouble(found: &Authentication) -> bool {
    let others = found.other_originals.iter().flatten();
    let all = found.results.iter().chain(&found.original).chain(others);
    all.into_iter().any(|result| result.result == Outcome::Temperror)
}

fn count(events: usize) {
    metrics::counter!("connex_events_recorded_total").increment(u64::try_from(events).unwrap_or(0));
}
