//! Copies of routes by day, to be compared with what the source counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ids::RouteId;
use crate::store::watch::{Counts, hour_of};
use crate::store::{StoreError, TenantStore};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
const HOUR_MICROS: i64 = 3_600 * 1_000_000;

/// One day of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteDay {
    /// The day (UTC), such as 2026-11-23.
    pub date: String,
    /// What was counted.
    pub counts: RouteCounts,
    /// Whole hours without a copy.
    pub silent_hours: u64,
}

/// Copies of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteCounts {
    /// Copies that were accepted.
    pub received: u64,
    /// Of these, copies of a message that had come before.
    pub folded: u64,
    /// Of these, copies that were not believed when they came.
    pub untrusted: u64,
    /// Copies that were refused, each time that it was tried.
    pub refused: u64,
}

/// A route's copies by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// Its id.
    pub id: String,
    /// Its days, the first one first.
    pub days: Vec<RouteDay>,
}

/// The begin of a day (UTC) such as 2026-11-23; `None` for a text that is none.
#[must_use]
pub fn day(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))
}

/// The days of all routes of a tenant from `since` on, at `now`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reconcile(
    tenant: &TenantStore,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<(RouteId, Vec<RouteDay>)>, StoreError> {
    let mut hours: BTreeMap<RouteId, BTreeMap<Timestamp, Counts>> = BTreeMap::new();
    for (route, hour, counts) in tenant.hours(since, now.plus(Duration::from_secs(1))).await? {
        hours.entry(route).or_default().insert(hour, counts);
    }
    let mut routes = Vec::new();
    for (route, made_at) in tenant.routes_since().await? {
        let own = hours.remove(&route).unwrap_or_default();
        routes.push((route, days(&own, since.max(made_at), now)));
    }
    Ok(routes)
}

/// The days from `since` to `now`; of the last one, the hours that are over count.
fn days(hours: &BTreeMap<Timestamp, Counts>, since: Timestamp, now: Timestamp) -> Vec<RouteDay> {
    let mut days = Vec::new();
    let (first, last) = (since.as_micros().div_euclid(DAY_MICROS), now.as_micros().div_euclid(DAY_MICROS));
    for number in first..=last {
        let begin = number.saturating_mul(DAY_MICROS);
        let mut day = RouteDay {
            date: Timestamp::from_micros(begin).to_string().chars().take(10).collect(),
            counts: RouteCounts::default(),
            silent_hours: 0,
        };
        for place in 0..24 {
            let hour = Timestamp::from_micros(begin.saturating_add(place * HOUR_MICROS));
            let counts = hours.get(&hour).copied().unwrap_or_default();
            day.counts.received += counts.received;
            day.counts.folded += counts.folded;
            day.counts.refused += counts.refused;
            day.counts.untrusted += counts.untrusted;
            let is_whole = hour >= hour_of(since) && hour < hour_of(now);
            day.silent_hours += u64::from(is_whole && counts.received == 0);
        }
        days.push(day);
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_their_hours_and_count_those_without_a_copy() {
        let hour = |number: i64| Timestamp::from_micros(number * HOUR_MICROS);
        let counts = |received, refused| Counts { received, folded: 1, untrusted: 0, refused };
        let hours = BTreeMap::from([(hour(20), counts(3, 0)), (hour(21), counts(0, 4)), (hour(25), counts(1, 0))]);
        // Made at 18:30 of the first day, asked at 02:10 of the second.
        let since = Timestamp::from_micros(18 * HOUR_MICROS + HOUR_MICROS / 2);
        let found = days(&hours, since, Timestamp::from_micros(26 * HOUR_MICROS + 10));
        let told: Vec<_> = found
            .iter()
            .map(|day| (day.date.as_str(), day.counts.received, day.counts.refused, day.silent_hours))
            .collect();
        assert_eq!(told, [("1970-01-01", 3, 4, 5), ("1970-01-02", 1, 0, 1)]);
    }
}
