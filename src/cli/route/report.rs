//! `connex route report | reconcile`: what would have followed, and what was counted.

use clap::Args;

use super::one;
use crate::cli::CliError;
use crate::cli::installation::{self, open};
use crate::cli::output::{Output, Table};
use crate::cli::place::{ListArgs, OneArgs};
use crate::clock::Timestamp;
use crate::service::routes::reconciliation::{self, RouteDay, reconcile as reconcile_routes};

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
    reconciliation::day(text).ok_or_else(|| "must be a day such as 2026-11-01".to_owned())
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

/// Counts by day and route.
pub(super) async fn reconcile(args: ReconcileArgs, out: &mut Output) -> Result<(), CliError> {
    const HEAD: [&str; 8] = ["DATE", "ROUTE", "RECEIVED", "FOLDED", "REFUSED", "UNTRUSTED", "SILENT HOURS", "TENANT"];
    let instance = open(&args.list.data).await?;
    let now = instance.clock.now();
    let (mut table, mut all, mut csv) = (Table::new(HEAD), Vec::new(), Vec::new());
    for (name, tenant) in installation::tenants(&instance, args.list.tenant.as_deref()).await? {
        for (route, days) in reconcile_routes(&tenant, args.since, now).await? {
            for day in days {
                let RouteDay { date, counts, silent_hours } = day;
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
