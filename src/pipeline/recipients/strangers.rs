//! What a peer is told that knows a route's address and that the route does not name.
//!
//! A mended connector then drains by itself: its copies are put off for a while, counted from its first one, while the log
//! tells the operator. What still comes after that is kept untrusted, so many a day, since its queue would give it up. A
//! route that names nobody yet puts nobody off: its copies are how one learns whom to name.

use std::num::NonZeroU32;
use std::time::Duration;

use super::network;
use crate::clock::Timestamp;
use crate::ids::RouteId;
use crate::intake::RecipientAnswer;
use crate::mail::envelope::{Origin, Recipient};
use crate::store::limits::BlockRequest;
use crate::store::routes::RouteRow;
use crate::store::{Store, StoreError};

/// How long a network is remembered without asking the store.
const KEPT: Duration = Duration::from_secs(60);
/// How many networks are remembered without asking the store.
const NETWORKS: u64 = 10_000;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// How peers are met that a route does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrangerSettings {
    /// How long their copies are put off, from the first one on; zero: not at all.
    pub put_off: Duration,
    /// Copies of one route that are kept untrusted in a day (UTC).
    pub kept_per_day: NonZeroU32,
}

/// Decides about such peers.
#[derive(Debug, Clone)]
pub(super) struct Strangers {
    store: Store,
    settings: StrangerSettings,
    since: moka::sync::Cache<(RouteId, String), Timestamp>,
}

impl Strangers {
    pub(super) fn new(store: Store, settings: StrangerSettings) -> Self {
        let since = moka::sync::Cache::builder().max_capacity(NETWORKS).time_to_live(KEPT).build();
        Self { store, settings, since }
    }

    pub(super) async fn answer(&self, route: &RouteRow, origin: &Origin) -> Result<RecipientAnswer, StoreError> {
        let now = self.store.clock().now();
        if !route.peers.is_empty() && !self.settings.put_off.is_zero() {
            let first = self.refused_since(route, origin).await?;
            if now.since(first) < self.settings.put_off {
                return Ok(RecipientAnswer::NotAuthorised);
            }
        }
        self.keep(route, false).await
    }

    /// Keeps a copy untrusted, as long as there are not too many today.
    pub(super) async fn keep(&self, route: &RouteRow, shared_range: bool) -> Result<RecipientAnswer, StoreError> {
        let now = self.store.clock().now();
        let quota = self.settings.kept_per_day.get();
        let day = now.as_micros().div_euclid(DAY_MICROS).saturating_add(1).saturating_mul(DAY_MICROS);
        let request = BlockRequest {
            policy: "untrusted_copies",
            subject: route.id.to_string(),
            ends_at: Timestamp::from_micros(day),
            quota,
            wanted: 1,
        };
        if self.store.take_block(request).await?.granted == 0 {
            return Ok(RecipientAnswer::Overloaded);
        }
        let recipient = Recipient::Route {
            tenant: route.tenant,
            route: route.id,
            reader: route.reader,
            peer_authorised: false,
            shared_range,
        };
        Ok(RecipientAnswer::known(recipient))
    }

    async fn refused_since(&self, route: &RouteRow, origin: &Origin) -> Result<Timestamp, StoreError> {
        // Servers of one sender come from neighbouring addresses.
        let key = (route.id, network(origin.peer, (24, 48)));
        if let Some(first) = self.since.get(&key) {
            return Ok(first);
        }
        let first = self.store.for_tenant(route.tenant).route_refused(route.id, key.1.clone()).await?;
        tracing::warn!(
            route.id = %route.id,
            tenant.id = %route.tenant,
            peer.network = key.1,
            error.kind = "not_authorised",
            "A peer has the address of route `{}`, which does not name it: its copies are put off",
            route.id
        );
        self.since.insert(key, first);
        Ok(first)
    }
}

#[cfg(test)]
mod tests;
