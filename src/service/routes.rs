//! Intake routes of a tenant: made, changed, moved on in their life, and what was seen of them. The API and the operator's
//! commands share it.
//!
//! What it must never do: show an address, which is a secret, but to whoever makes or rotates it and to the local operator;
//! or let a tenant end a legal hold, which is the operator's.

mod api;
pub mod forms;
pub mod held;
pub mod reconciliation;

use std::sync::Arc;
use std::time::Duration;

use super::tokens::{new_token, token_hash};
use crate::clock::{Clock, Timestamp};
use crate::ids::{AppId, RouteId};
use crate::mail::address::Domain;
use crate::mail::peer::PeerRule;
use crate::mail::reading::Reader;
use crate::mail::selection::LONGEST;
use crate::seal::{InstanceKey, SealError};
pub use crate::store::routes::RouteStep;
use crate::store::routes::{NewRoute, RouteChange, RouteRow};
use crate::store::watch::AlarmRow;
use crate::store::{StoreError, TenantStore};

/// The longest overlap, and the longest time of observing: an address that everybody knows must go some time.
pub const LONGEST_TIME: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long a former address is taken, where nobody says.
pub const OVERLAP: Duration = Duration::from_secs(7 * 24 * 3_600);
/// For so long a new journal route is observed, where nobody says.
pub const OBSERVED: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Longest time of learning, in hours.
pub const LONGEST_LEARNING: u64 = 72;
/// For so long after it was seen last an alarm is shown.
const ALARM_SHOWN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Peers that one route names at most.
const PEERS: usize = 200;

/// What routes are made with.
#[derive(Debug, Clone)]
pub struct RouteDesk {
    /// Seals addresses.
    pub key: Arc<InstanceKey>,
    /// The domain of their addresses; `None` where the gateway has none.
    pub domain: Option<Domain>,
    /// Octets that one message of any route may have.
    pub largest: u64,
}

/// Why a route is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A field of what was asked for does not fit.
    #[error("{message}")]
    Field {
        /// Its name in the contract.
        field: &'static str,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// The gateway has no domain for addresses of routes.
    #[error("smtp.platform_domains is empty")]
    NoDomain,
    /// A stored address cannot be read.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// The store refuses it, or does not take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RouteError {
    fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field, message: message.into() }
    }
}

/// What a new route is to be like.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How it reads what it takes.
    pub reader: Reader,
    /// The app that is told of its mail.
    pub app: Option<AppId>,
    /// Who is authorised to hand copies over.
    pub peers: Vec<PeerRule>,
    /// Octets that one message may have; `None`: as configured for routes of its kind.
    pub size_cap: Option<u64>,
    /// How long it is observed; `None`: as usual for its kind.
    pub observe: Option<Duration>,
}

/// A route that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: RouteId,
    /// Its address.
    pub address: String,
    /// Until when it is observed.
    pub observe_until: Option<Timestamp>,
}

/// A route with a new address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The address that it gives out now.
    pub address: String,
    /// The one before.
    pub former: String,
    /// Until when that is taken.
    pub former_accepted_until: Timestamp,
}

/// How a route of this kind reads mail of this format.
///
/// # Errors
/// [`RouteError::Field`] for a format where there is none, or none where one must be pinned.
pub fn reader(kind: &str, format: Option<&str>) -> Result<Reader, RouteError> {
    match (kind, format) {
        ("journal", None) => {
            Err(RouteError::field("format", "a journal route needs a format: its mail must not choose how it is read"))
        }
        ("journal", Some(format)) => {
            let named = Reader::named(&format!("journal-{format}"));
            named.ok_or_else(|| RouteError::field("format", "must be exchange, exchange-legacy, workmail or plain"))
        }
        (_, Some(_)) => Err(RouteError::field("format", "a format is for journal routes alone")),
        ("bcc", None) => Ok(Reader::Bcc),
        ("fwd", None) => Ok(Reader::Forward),
        _ => Err(RouteError::field("kind", "must be journal, bcc or fwd")),
    }
}

/// Alarms of the tenant's routes that are shown.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn recent_alarms(tenant: &TenantStore, now: Timestamp) -> Result<Vec<AlarmRow>, StoreError> {
    let shown = i64::try_from(ALARM_SHOWN.as_micros()).unwrap_or(i64::MAX);
    tenant.alarms_since(Timestamp::from_micros(now.as_micros().saturating_sub(shown))).await
}

/// Has a route learn for so many hours by what marks its copies can be told; until when.
///
/// # Errors
/// [`StoreError::Conflict`] where it names no provider or takes no copies.
pub async fn learn(tenant: &TenantStore, row: &RouteRow, hours: u64, now: Timestamp) -> Result<Timestamp, RouteError> {
    if !(1..=LONGEST_LEARNING).contains(&hours) {
        return Err(RouteError::field("hours", format!("must be 1 to {LONGEST_LEARNING}")));
    }
    if row.peers.iter().all(|rule| rule.provider().is_none()) {
        let why = "the route names no provider (shared:…), whose networks are learned from";
        return Err(StoreError::Conflict(why).into());
    }
    let until = now.plus(Duration::from_secs(hours * 3_600));
    tenant.learn_route(row.id, until).await?;
    Ok(until)
}

impl RouteDesk {
    /// Makes a route.
    ///
    /// # Errors
    /// [`RouteError`].
    pub async fn make(&self, tenant: &TenantStore, wanted: Wanted, clock: &Clock) -> Result<Made, RouteError> {
        let Wanted { reader, app, peers, size_cap, observe } = wanted;
        self.check(&RouteChange { peers: Some(peers.clone()), size_cap: Some(size_cap), ..RouteChange::default() })?;
        let usual = if reader.prefix() == "journal" { OBSERVED } else { Duration::ZERO };
        let observe_until = observed_until(observe.unwrap_or(usual), clock.now())?;
        let id = clock.mint::<RouteId>();
        let (token_hash, address_sealed, address) = self.new_address(id, reader)?;
        let new = NewRoute { reader, token_hash, address_sealed, app, peers, size_cap, observe_until };
        tenant.add_route(id, new).await?;
        Ok(Made { id, address, observe_until })
    }

    /// Changes a route, and gives it as it is then.
    ///
    /// # Errors
    /// [`RouteError`]; nothing was changed then.
    pub async fn change(
        &self,
        tenant: &TenantStore,
        row: &RouteRow,
        change: RouteChange,
    ) -> Result<RouteRow, RouteError> {
        self.check(&change)?;
        if change.reader.is_some_and(|reader| reader.prefix() != row.reader.prefix() || reader.format().is_none()) {
            return Err(RouteError::field("format", "a format is for journal routes alone"));
        }
        if change.authors.is_some() && row.reader != Reader::Bcc {
            return Err(RouteError::field("authors", "authors are listed of bcc routes alone"));
        }
        if change != RouteChange::default() {
            tenant.change_route(row.id, change).await?;
        }
        Ok(tenant.route(row.id).await?.ok_or(StoreError::NotFound("route"))?)
    }

    /// Gives a route a new address; the one before is taken for a while longer.
    ///
    /// # Errors
    /// [`RouteError`].
    pub async fn rotate(&self, tenant: &TenantStore, row: &RouteRow, overlap: Duration) -> Result<Rotated, RouteError> {
        if overlap > LONGEST_TIME {
            return Err(RouteError::field("overlapHours", "must be 90 days at most"));
        }
        let (hash, sealed, address) = self.new_address(row.id, row.reader)?;
        let former_accepted_until = tenant.rotate_route(row.id, hash, sealed, overlap).await?;
        Ok(Rotated { address, former: self.address(row.id, &row.address_sealed)?, former_accepted_until })
    }

    /// An address of a route, as it was sealed for it.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn address(&self, id: RouteId, sealed: &str) -> Result<String, SealError> {
        self.key.open(&id.to_string(), sealed)
    }

    /// An address with a new token: the token's hash, the address sealed, and the address.
    fn new_address(&self, id: RouteId, reader: Reader) -> Result<([u8; 32], String, String), RouteError> {
        let domain = self.domain.as_ref().ok_or(RouteError::NoDomain)?;
        let token = new_token();
        let address = format!("{}-{token}@{domain}", reader.prefix());
        Ok((token_hash(&token), self.key.seal(&id.to_string(), &address), address))
    }

    /// What holds for routes of every kind.
    fn check(&self, change: &RouteChange) -> Result<(), RouteError> {
        let largest = self.largest;
        if change.size_cap.flatten().is_some_and(|size| size > largest) {
            let message = format!("routes.message_size is {largest} octets, and no cap is larger");
            return Err(RouteError::field("sizeCap", message));
        }
        if change.peers.as_ref().is_some_and(|peers| peers.len() > PEERS) {
            return Err(RouteError::field("peers", format!("a route names at most {PEERS} peers")));
        }
        let lists = [
            ("authors", change.authors.as_ref().map_or(0, Vec::len)),
            ("include", change.include.as_ref().map_or(0, Vec::len)),
            ("exclude", change.exclude.as_ref().map_or(0, Vec::len)),
        ];
        match lists.into_iter().find(|(_, length)| *length > LONGEST) {
            Some((field, _)) => Err(RouteError::field(field, format!("a list has at most {LONGEST} rules"))),
            None => Ok(()),
        }
    }
}

/// Until when a route is observed for so long from now on.
///
/// # Errors
/// [`RouteError::Field`] for more than [`LONGEST_TIME`].
pub fn observed_until(time: Duration, now: Timestamp) -> Result<Option<Timestamp>, RouteError> {
    if time > LONGEST_TIME {
        return Err(RouteError::field("observeHours", "must be 90 days at most"));
    }
    Ok((!time.is_zero()).then(|| now.plus(time)))
}
