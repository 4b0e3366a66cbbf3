//! What is remembered of copies at RCPT: refusals by the hour, and alarms.
//!
//! At most one write is under way: what is refused meanwhile is written with the next one, so that whoever floods an
//! address does not flood the database. A refusal never waits for a store that does not answer longer than its own turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ids::{RouteId, TenantId};
use crate::store::routes::RouteRow;
use crate::store::watch::Alarm;
use crate::store::{Store, StoreError};

/// How often the log tells of the same trouble with the same route.
const TOLD: Duration = Duration::from_secs(60);
/// Routes and kinds of trouble that are remembered for that.
const TOLD_OF: u64 = 10_000;

/// The account. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    store: Store,
    /// Refusals that are not in the store yet.
    pending: Arc<Mutex<HashMap<Kind, u64>>>,
    writing: Arc<tokio::sync::Mutex<()>>,
    told: moka::sync::Cache<(RouteId, Alarm), ()>,
}

type Kind = (TenantId, RouteId, Note);

/// What is noted of a copy at RCPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Note {
    /// It was refused, and why where somebody should look at it.
    Refused(Option<Alarm>),
    /// It is taken, and somebody should look at it.
    Kept(Alarm),
}

impl Note {
    const fn alarm(self) -> Option<Alarm> {
        match self {
            Self::Refused(alarm) => alarm,
            Self::Kept(alarm) => Some(alarm),
        }
    }
}

impl Refused {
    pub(super) fn new(store: Store) -> Self {
        let told = moka::sync::Cache::builder().max_capacity(TOLD_OF).time_to_live(TOLD).build();
        Self { store, pending: Arc::default(), writing: Arc::default(), told }
    }

    /// Notes what was seen of a copy for `row`.
    pub(super) async fn note(&self, row: &RouteRow, note: Note) {
        if let Some(alarm) = note.alarm() {
            self.tell(row, alarm);
        }
        let kind = (row.tenant, row.id, note);
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        let Ok(_turn) = self.writing.try_lock() else { return };
        while let Some((kind, count)) = self.next() {
            if let Err(error) = self.write(kind, count).await {
                tracing::warn!(route.id = %kind.1, tenant.id = %kind.0, error.kind = "store", temporary = error.is_temporary(), "Refused copies cannot be counted now: {error}");
                if error.is_temporary() {
                    *self.pending.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += count;
                }
                return;
            }
        }
    }

    fn next(&self) -> Option<(Kind, u64)> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = *pending.keys().next()?;
        pending.remove_entry(&kind)
    }

    async fn write(&self, (tenant, route, note): Kind, count: u64) -> Result<(), StoreError> {
        let own = self.store.for_tenant(tenant);
        if matches!(note, Note::Refused(_)) {
            own.count_refused(route, count).await?;
        }
        match note.alarm() {
            Some(alarm) => own.raise_alarm(route, alarm, count).await,
            None => Ok(()),
        }
    }

    fn tell(&self, row: &RouteRow, alarm: Alarm) {
        metrics::counter!("connex_route_alarms_total", "alarm" => alarm.as_str()).increment(1);
        let entry = self.told.entry((row.id, alarm)).or_insert(());
        // Strangers are told of with their network.
        if entry.is_fresh() && alarm != Alarm::NotAuthorised {
            tracing::warn!(
                route.id = %row.id,
                tenant.id = %row.tenant,
                error.kind = alarm.as_str(),
                "A copy for route `{}`: {}",
                row.id,
                match alarm {
                    Alarm::RetiredAddress => "it came to an address that was given up; its sender must learn the new one",
                    Alarm::Unverified => "it came from a network that is everybody's, and no marks are confirmed: it is held",
                    Alarm::LearningEnded => "the time for learning is over, and no marks were confirmed: it is held",
                    _ => "it is larger than the route takes, and its sender will not try again",
                }
            );
        }
    }
}
