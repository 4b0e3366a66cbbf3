//! `connex bench attack`: what a client that sends mail notices of many peers that only hold connections.
//!
//! Rounds without and with the attackers take turns, so that whatever else the machine does touches both alike.

use std::time::Duration;

use serde::Serialize;

use super::AttackArgs;
use super::accept::until;
use super::attackers::{Attack, Outcome};
use super::figures::{Percentiles, number, rounded};
use super::gateway::{Gateway, certificate};
use super::load::{Load, Sent, send};
use crate::app::interrupted;
use crate::cli::smtp_client::Security;
use crate::cli::{CliError, Output};

/// The bounds of the measurement; shorter than those of real use, so that a round ends.
const BOUNDS: [(&str, &str); 7] = [
    ("smtp.limits.command_timeout", "5s"),
    ("smtp.limits.reply_timeout", "5s"),
    ("smtp.limits.data_timeout", "5s"),
    ("smtp.limits.handshake_timeout", "5s"),
    ("smtp.limits.idle_timeout", "10s"),
    ("smtp.limits.transaction_timeout", "20s"),
    ("smtp.limits.connections", "10000"),
];
/// No session without a message lasts longer: the idle time, then that of a transaction.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is waited for beyond it before a connection counts as never cut.
const GRACE: Duration = Duration::from_secs(10);

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attacked {
    attackers: u32,
    messages_each: u64,
    rate: u32,
    rounds: Vec<Round>,
    /// Medians of the rounds.
    quiet_p95_ms: Option<f64>,
    attacked_p95_ms: Option<f64>,
    added_p95_ms: Option<f64>,
    lost_quiet: u64,
    lost_attacked: u64,
    /// Of the messages that were sent under attack.
    lost_percent: f64,
    deadline_seconds: f64,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    quiet: Client,
    attacked: Client,
    attacker_connections: u64,
    attackers_cut: u64,
    never_cut: u64,
    longest_seconds: f64,
}

/// What the client noticed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    accepted: u64,
    failed: u64,
    first_failure: Option<String>,
    latency_ms: Option<Percentiles>,
}

pub(super) async fn run(args: AttackArgs, out: &mut Output) -> Result<(), CliError> {
    let gateway = Gateway::start_with(&args.data, None, None, |dir| {
        // STARTTLS is attacked too.
        let tls = certificate(dir)?;
        Ok(BOUNDS.map(|(key, value)| (key, value.to_owned())).into_iter().chain(tls.settings).collect())
    })
    .await?;
    let address = gateway.app.addresses.smtp.first().copied();
    let address = address.ok_or_else(|| CliError::failed("the gateway listens nowhere"))?;
    let to = gateway.mailbox.to_string();
    let stop = interrupted();
    let measuring = async {
        let mut rounds = Vec::new();
        for round in 1..=args.rounds {
            out.note(&format!("Round {round} of {}.", args.rounds));
            let load = |kind: &str| Load {
                server: gateway.server.clone(),
                security: Security::Plain,
                to: gateway.mailbox.clone(),
                sessions: args.sessions,
                messages: args.messages,
                size: args.size,
                rate: Some(f64::from(args.rate)),
                run: format!("attack.{}.{round}.{kind}", std::process::id()),
                due: None,
            };
            let work = async {
                let quiet = send(load("quiet")).await?;
                let attack = Attack::start(address, args.attackers, &to).await?;
                let attacked = send(load("attacked")).await?;
                Ok(Round::of(quiet, attacked, attack.end(DEADLINE + GRACE).await))
            };
            match until(&stop, work).await {
                Ok(done) => rounds.push(done),
                Err(error) => {
                    stop.cancel();
                    return Err(error);
                }
            }
        }
        stop.cancel();
        Ok(rounds)
    };
    let (ended, rounds) = tokio::join!(gateway.app.run_until(stop.clone()), measuring);
    let rounds = rounds?;
    ended?;
    drop(gateway.scratch);
    let answer = Attacked::of(&args, rounds);
    out.answer(&answer, |out| show(&answer, out))
}

impl Round {
    fn of(quiet: Sent, attacked: Sent, outcome: Outcome) -> Self {
        Self {
            quiet: Client::of(quiet),
            attacked: Client::of(attacked),
            attacker_connections: outcome.connections,
            attackers_cut: outcome.cut,
            never_cut: outcome.open,
            longest_seconds: rounded(outcome.longest.as_secs_f64(), 1),
        }
    }
}

impl Client {
    fn of(sent: Sent) -> Self {
        Self {
            accepted: u64::try_from(sent.latencies.len()).unwrap_or(u64::MAX),
            failed: sent.failed,
            first_failure: sent.first_failure,
            latency_ms: Percentiles::of(sent.latencies),
        }
    }
}

impl Attacked {
    fn of(args: &AttackArgs, rounds: Vec<Round>) -> Self {
        let p95 = |of: fn(&Round) -> &Client| median(rounds.iter().filter_map(|round| Some(of(round).latency_ms?.p95)));
        let (quiet, attacked) = (p95(|round| &round.quiet), p95(|round| &round.attacked));
        let lost = |of: fn(&Round) -> &Client| {
            rounds.iter().map(|round| args.messages.saturating_sub(of(round).accepted)).sum::<u64>()
        };
        let (lost_quiet, lost_attacked) = (lost(|round| &round.quiet), lost(|round| &round.attacked));
        let sent = number(args.messages.saturating_mul(args.rounds.into()).max(1));
        Self {
            attackers: args.attackers,
            messages_each: args.messages,
            rate: args.rate,
            quiet_p95_ms: quiet,
            attacked_p95_ms: attacked,
            added_p95_ms: attacked.zip(quiet).map(|(attacked, quiet)| rounded(attacked - quiet, 2)),
            lost_quiet,
            lost_attacked,
            lost_percent: rounded(number(lost_attacked) * 100.0 / sent, 2),
            deadline_seconds: DEADLINE.as_secs_f64(),
            rounds,
            notes: NOTES.map(str::to_owned).into(),
        }
    }
}

const NOTES: [&str; 3] = [
    "The attackers come from addresses of their own and come back when they are cut; seven kinds in equal parts.",
    "Attackers, client and gateway share this machine; a latency counts from the message's own time.",
    "The times after which a session is cut are shorter than by default, so that a round ends.",
];

/// The middle one; `None` of none.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn show(answer: &Attacked, out: &mut Output) -> Result<(), CliError> {
    for (at, round) in answer.rounds.iter().enumerate() {
        for (name, client) in [("quiet", &round.quiet), ("attacked", &round.attacked)] {
            let Client { accepted, failed, .. } = client;
            let latency = client.latency_ms.map_or_else(String::new, |ms| {
                format!(", p50 {} ms, p95 {} ms, p99 {} ms, max {} ms", ms.p50, ms.p95, ms.p99, ms.max)
            });
            out.line(&format!("{}. {name:<8}  {accepted} accepted, {failed} failed{latency}", at + 1))?;
            if let Some(why) = &client.first_failure {
                out.line(&format!("   first failure: {why}"))?;
            }
        }
        out.line(&format!(
            "   attackers  {} connections, {} cut, {} never; the longest {} s",
            round.attacker_connections, round.attackers_cut, round.never_cut, round.longest_seconds
        ))?;
    }
    out.line(&format!(
        "lost           {} of the messages under attack ({} %)",
        answer.lost_attacked, answer.lost_percent
    ))?;
    if let Some(added) = answer.added_p95_ms {
        out.line(&format!("added at p95   {added} ms (medians of the rounds)"))?;
    }
    answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
