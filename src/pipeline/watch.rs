//! Looks after routes: raises an alarm where one that was busy takes no copies any more, and ends it when they come again.
//!
//! Of several nodes one does so at a time: each round is taken by whoever asks for it first.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::clock::Timestamp;
use crate::ids::RouteId;
use crate::store::routes::RouteState;
use crate::store::watch::{Alarm, hour_of};
use crate::store::{Store, StoreError};

const HOUR: Duration = Duration::from_secs(3_600);
/// Hours of history that are looked at: two weeks and a day.
const HISTORY: u64 = 15 * 24;
/// So many copies should have come, by what came in the same hours before, and a route that got none is silent.
const EXPECTED: u64 = 12;

/// The task.
#[derive(Debug, Clone)]
pub struct Watch {
    store: Store,
    every: Duration,
}

impl Watch {
    /// Looks at all routes every so often.
    #[must_use]
    pub const fn new(store: Store, every: Duration) -> Self {
        Self { store, every }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        rounds::run(self.every, &stop, "Routes cannot be looked after now", || self.round()).await;
    }

    /// One round, where no other node has taken it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        if !rounds::take(&self.store, "route_watch", self.every).await? {
            return Ok(());
        }
        for tenant in self.store.tenants().await? {
            let own = self.store.for_tenant(tenant.id);
            let from = Timestamp::from_micros(now.as_micros().saturating_sub(micros(HOUR) * micros_of(HISTORY)));
            let mut hours: BTreeMap<RouteId, BTreeMap<Timestamp, u64>> = BTreeMap::new();
            for (route, hour, counts) in own.hours(hour_of(from), now.plus(HOUR)).await? {
                if counts.received > 0 {
                    hours.entry(route).or_default().insert(hour, counts.received);
                }
            }
            let alarms = own.alarms_since(Timestamp::from_micros(0)).await?;
            let silent = |route| alarms.iter().any(|one| one.route == route && one.alarm == Alarm::Silent);
            for row in own.routes().await?.into_iter().filter(|row| row.state == RouteState::Active) {
                let history = hours.remove(&row.id).unwrap_or_default();
                match (is_silent(&history, now), silent(row.id)) {
                    (true, false) => {
                        own.raise_alarm(row.id, Alarm::Silent, 1).await?;
                        metrics::counter!("connex_route_alarms_total", "alarm" => Alarm::Silent.as_str()).increment(1);
                        tracing::warn!(
                            route.id = %row.id,
                            tenant.id = %tenant.id,
                            error.kind = "silent",
                            "Route `{}` was busy and takes no copies any more: look at the rule or connector at its source",
                            row.id
                        );
                    }
                    (false, true) => own.end_alarm(row.id, Alarm::Silent).await?,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether copies should have come since the last one. What is expected of an hour is what came in the same hour of the day
/// before, or of the week before where that is less: nights and weekends are quiet.
fn is_silent(history: &BTreeMap<Timestamp, u64>, now: Timestamp) -> bool {
    let (Some(first), Some(last)) = (history.keys().next(), history.keys().next_back()) else { return false };
    let before = |hour: Timestamp, hours: u64| {
        let earlier = Timestamp::from_micros(hour.as_micros().saturating_sub(micros(HOUR) * micros_of(hours)));
        (earlier >= *first).then(|| history.get(&earlier).copied().unwrap_or(0))
    };
    let mut expected = 0_u64;
    let mut hour = last.plus(HOUR);
    while hour < hour_of(now) {
        let day = before(hour, 24).unwrap_or(0);
        expected = expected.saturating_add(before(hour, 7 * 24).map_or(day, |week| week.min(day)));
        hour = hour.plus(HOUR);
    }
    expected >= EXPECTED
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn micros_of(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::mail::reading::Reader;
    use crate::store::routes::NewRoute;
    use crate::store::tests::engine::{Engine, Place, on_both_engines};

    on_both_engines! {
        a_busy_route_that_falls_silent_raises_one_alarm_and_a_copy_ends_it,
    }

    /// The begin of a Monday, UTC.
    const MONDAY: i64 = 1_789_948_800;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_micros((MONDAY + hours * 3_600) * 1_000_000)
    }

    /// Ten copies an hour, from eight to six on workdays, for so many hours.
    fn office(hours: i64) -> BTreeMap<Timestamp, u64> {
        let is_work = |hour: &i64| (8..18).contains(&hour.rem_euclid(24)) && hour.div_euclid(24).rem_euclid(7) < 5;
        (0..hours).filter(is_work).map(|hour| (at(hour), 10)).collect()
    }

    #[test]
    fn nights_and_weekends_are_quiet_and_a_workday_without_copies_is_not() {
        let two_weeks = office(14 * 24);
        // All of the weekend, and Monday until the first hour is over.
        for hour in 11 * 24 + 18..14 * 24 + 9 {
            assert!(!is_silent(&office(14 * 24), at(hour)), "{hour}");
        }
        // Friday was busy, and so was Monday a week ago; Sunday was not, so that one day more tells.
        let tuesday = office(15 * 24);
        assert!(!is_silent(&tuesday, at(15 * 24 + 9)), "one hour of ten copies can be chance");
        assert!(is_silent(&tuesday, at(15 * 24 + 10)), "two cannot");
        assert!(!is_silent(&two_weeks, at(13 * 24)));
        assert!(!is_silent(&BTreeMap::new(), at(0)), "a route that never had a copy");
        assert!(!is_silent(&BTreeMap::from([(at(0), 1)]), at(1_000)), "nor one that is hardly used");
    }

    async fn a_busy_route_that_falls_silent_raises_one_alarm_and_a_copy_ends_it(engine: Engine) {
        let place = Place::new(engine).await;
        let clock = Clock::fixed(at(0));
        let store = place.open(clock.clone()).await;
        let tenant = store.add_tenant("harbor").await.unwrap();
        let (own, id) = (store.for_tenant(tenant), clock.mint::<RouteId>());
        let route = NewRoute {
            reader: Reader::Bcc,
            token_hash: [1; 32],
            address_sealed: String::new(),
            app: None,
            peers: Vec::new(),
            size_cap: None,
            observe_until: None,
        };
        own.add_route(id, route).await.unwrap();
        let count = async |hour: i64| {
            let sql = format!(
                "INSERT INTO route_hours (tenant_id, route_id, hour, received, folded, untrusted, refused) \
                 VALUES ('{tenant}', '{id}', {}, 10, 0, 0, 0)",
                at(hour).as_micros()
            );
            place.run(&sql).await;
        };
        for hour in 0..24 {
            count(hour).await;
        }
        let watch = Watch::new(store.clone(), HOUR);
        let alarms = async || own.alarms_since(at(0)).await.unwrap().len();
        clock.advance(25 * HOUR);
        watch.round().await.unwrap();
        assert_eq!(alarms().await, 0, "one hour is not enough");
        clock.advance(2 * HOUR);
        watch.round().await.unwrap();
        assert_eq!(alarms().await, 1);
        clock.advance(HOUR);
        watch.round().await.unwrap();
        let rows = own.alarms_since(at(0)).await.unwrap();
        assert_eq!((rows[0].alarm, rows[0].count), (Alarm::Silent, 1), "told once");
        count(28).await;
        watch.round().await.unwrap();
        assert_eq!(alarms().await, 1, "the round was taken already, by this node or another");
        clock.advance(HOUR);
        watch.round().await.unwrap();
        assert_eq!(alarms().await, 0);
    }
}
