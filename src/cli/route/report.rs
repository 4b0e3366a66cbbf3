//! `connex route report | reconcile`: what would have followed, and what was counted.

use std::collections::BTreeMap;

use clap::Args;

use super::one;
use crate::cli::CliError;
use crate::cli::installation::{self, open};
use crate::cli::output::{Output, Table};
use crate::cli::place::{ListArgs, OneArgs};
use crate::clock::Timestamp;
use crate::ids::RouteId;
use crate::store::watch::{Counts, hour_of};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
const HOUR_MICROS: i64 = 3_600 * 1_000_000;

/// Arguments of `connex route report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// From which day on (UTC); without it, all.
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub since: Option<Timestamp>,
}

/// Arguments of `connex route reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// From which day on (UTC), such as 2026-11-01.
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub since: Timestamp,
    /// Write CSV, for a spreadsheet or the source's own count.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Which routes, and how to answer.
    #[command(flatten)]
    pub list: ListArgs,
}

fn day(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).ok_or_else(|| "must be a day such as 2026-11-01".to_owned())
}

/// Shows what would have followed.
pub(super) async fn report(args: ReportArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let tenant = instance.store.for_tenant(row.tenant);
    let since = args.since.unwrap_or(Timestamp::from_micros(0));
    let seen = tenant.observed(row.id, since).await?;
    let endpoints = tenant.endpoints().await?;
    let told =
        endpoints.iter().filter(|one| one.state == "enabled" && (one.app.is_none() || one.app == row.app)).count();
    let answer =
        serde_json::json!({ "id": row.id, "observeUntil": row.observe_until, "would": seen, "endpoints": told });
    out.answer(&answer, |out| {
        let standing = match row.observe_until.filter(|until| instance.clock.now() < *until) {
            Some(until) => format!("{} is observed until {until}; nothing follows from its copies", row.id),
            None => format!("{} is not observed any more", row.id),
        };
        out.line(&standing)?;
        out.line(&format!("{} events, of which {told} webhook endpoints would have been told", seen.events))?;
        out.line(&format!("{} tasks, {} approvals, {} drafts", seen.tasks, seen.approvals, seen.drafts))?;
        let mut table = Table::new(["WOULD HAVE BEEN", "COUNT"]);
        for (word, count) in &seen.statuses {
            table.row([format!("status {word}"), count.to_string()]);
        }
        for (word, count) in &seen.operations {
            table.row([format!("operation {word}"), count.to_string()]);
        }
        out.table(&table)
    })
}

/// One day of one route.
#[derive(Debug, PartialEq, Eq)]
struct Day {
    date: String,
    counts: Counts,
    silent_hours: u64,
}

/// Counts by day and route.
pub(super) async fn reconcile(args: ReconcileArgs, out: &mut Output) -> Result<(), CliError> {
    const HEAD: [&str; 8] = ["DATE", "ROUTE", "RECEIVED", "FOLDED", "REFUSED", "UNTRUSTED", "SILENT HOURS", "TENANT"];
    let instance = open(&args.list.data).await?;
    let now = instance.clock.now();
    let (mut table, mut all, mut csv) = (Table::new(HEAD), Vec::new(), Vec::new());
    for (name, tenant) in installation::tenants(&instance, args.list.tenant.as_deref()).await? {
        let mut hours: BTreeMap<RouteId, BTreeMap<Timestamp, Counts>> = BTreeMap::new();
        for (route, hour, counts) in tenant.hours(args.since, now.plus(std::time::Duration::from_secs(1))).await? {
            hours.entry(route).or_default().insert(hour, counts);
        }
        for (route, since) in tenant.routes_since().await? {
            let own = hours.remove(&route).unwrap_or_default();
            for day in days(&own, args.since.max(since), now) {
                let Day { date, counts, silent_hours } = day;
                let numbers = [counts.received, counts.folded, counts.refused, counts.untrusted, silent_hours];
                let words = numbers.map(|number| number.to_string());
                let mut line = vec![date.clone(), route.to_string()];
                line.extend(words.iter().cloned());
                line.push(name.clone());
                csv.push(line.iter().map(|cell| cell.replace(',', " ")).collect::<Vec<_>>().join(","));
                all.push(serde_json::json!({
                    "date": date, "route": route, "counts": counts, "silentHours": silent_hours, "tenant": name,
                }));
                if let Ok(cells) = <[String; 8]>::try_from(line) {
                    table.row(cells);
                }
            }
        }
    }
    if args.csv {
        out.line("date,route,received,folded,refused,untrusted,silent_hours,tenant")?;
        return csv.iter().try_for_each(|line| out.line(line));
    }
    out.answer(&all, |out| out.table(&table))
}

/// The days from `since` to `now`; of the last one, the hours that are over count.
fn days(hours: &BTreeMap<Timestamp, Counts>, since: Timestamp, now: Timestamp) -> Vec<Day> {
    let mut days = Vec::new();
    let (first, last) = (since.as_micros().div_euclid(DAY_MICROS), now.as_micros().div_euclid(DAY_MICROS));
    for number in first..=last {
        let begin = number.saturating_mul(DAY_MICROS);
        let mut day = Day {
            date: Timestamp::from_micros(begin).to_string().chars().take(10).collect(),
            counts: Counts::default(),
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
