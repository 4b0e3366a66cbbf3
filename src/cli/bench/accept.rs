//! `connex bench accept`: messages a second that are on disk when their 250 is said.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::figures::{Percentiles, number, rounded};
use super::gateway::{Gateway, certificate, is_memory, names};
use super::load::{Load, Sent, send};
use super::{AcceptArgs, LoadArgs, cpu};
use crate::app::interrupted;
use crate::cli::smtp_client::{Security, ServerName, TrustedRoots};
use crate::cli::{CliError, Output};
use crate::mail::address::Mailbox;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    server: String,
    sessions: u32,
    size_bytes: u64,
    /// Null: as many as go.
    rate_asked: Option<u32>,
    accepted: u64,
    failed: u64,
    first_failure: Option<String>,
    seconds: f64,
    messages_per_second: f64,
    mebibytes_per_second: f64,
    /// MAIL to the reply behind the message; with a rate, from the message's time on.
    latency_ms: Option<Percentiles>,
    /// Null for a server of another process.
    gateway: Option<OwnFigures>,
    /// Processor time of the sending thread, in seconds.
    client_cpu_per_1000: Option<f64>,
    notes: Vec<String>,
}

/// What only the gateway's own process knows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnFigures {
    cpu_per_1000: Option<f64>,
    flushes: u64,
    messages_per_flush: f64,
    file_system: String,
}

pub(super) async fn run(args: AcceptArgs, out: &mut Output) -> Result<(), CliError> {
    let answer = match (&args.server, &args.to) {
        (Some(server), Some(to)) => other(server, to, &args.load).await?,
        _ => own(&args, out).await?,
    };
    out.answer(&answer, |out| show(&answer, out))?;
    match (answer.accepted, &answer.first_failure) {
        (0, Some(why)) => Err(CliError::failed(format!("no message was taken: {why}"))),
        _ => Ok(()),
    }
}

async fn other(server: &str, to: &str, args: &LoadArgs) -> Result<Accepted, CliError> {
    let server: ServerName = server.parse().map_err(|error| CliError::Usage(format!("--server {server}: {error}")))?;
    let to = Mailbox::parse(to).map_err(|error| CliError::Usage(format!("--to {to}: {error}")))?;
    let load = load(args, server, Security::Plain, to);
    let sent = send(load.clone()).await?;
    let mut answer = Accepted::of(&load, args, sent);
    answer.notes.push("What the server did before its 250, and its processor time, cannot be seen from here.".into());
    Ok(answer)
}

async fn own(args: &AcceptArgs, out: &mut Output) -> Result<Accepted, CliError> {
    let mut security = Security::Plain;
    let gateway = Gateway::start_with(&args.data, args.database.as_deref(), names(&args.load)?, |dir| {
        if !args.tls {
            return Ok(Vec::new());
        }
        let own = certificate(dir)?;
        security = Security::Required(TrustedRoots::only(&own.ca_file)?);
        Ok(own.settings.into())
    })
    .await?;
    let file_system = gateway.scratch.file_system();
    out.note(&format!("Started a gateway on {} ({file_system}).", gateway.server));
    let load = load(&args.load, gateway.server, security, gateway.mailbox);
    let spool = gateway.app.spool().clone();
    let stop = interrupted();
    let (before, cpu) = (spool.status(), cpu::of_process());
    let sending = async {
        let sent = until(&stop, send(load.clone())).await;
        let spent = cpu::of_process().zip(cpu).map(|(after, before)| after.saturating_sub(before));
        let after = spool.status();
        stop.cancel();
        sent.map(|sent| (sent, spent, after))
    };
    let (ended, sent) = tokio::join!(gateway.app.run_until(stop.clone()), sending);
    let (sent, spent, after) = sent?;
    ended?;
    drop(gateway.scratch);
    let client = sent.cpu.unwrap_or_default();
    let mut answer = Accepted::of(&load, &args.load, sent);
    let flushes = after.flushes.saturating_sub(before.flushes);
    let commits = after.commits.saturating_sub(before.commits);
    answer.gateway = Some(OwnFigures {
        cpu_per_1000: spent.map(|spent| per_1000(spent.saturating_sub(client), answer.accepted)),
        flushes,
        messages_per_flush: rounded(number(commits) / number(flushes.max(1)), 1),
        file_system: file_system.clone(),
    });
    answer.notes.extend(NOTES.map(str::to_owned));
    if is_memory(&file_system) {
        answer
            .notes
            .push("The folder is in memory, where a flush costs nothing: choose one on a disk with --dir.".into());
    }
    Ok(answer)
}

const NOTES: [&str; 3] = [
    "Each 250 was said after the flush of its message; connecting is not in the time.",
    "Client and gateway share this machine and this process; the client has one thread, commands are not pipelined.",
    "The pipeline behind the spool worked at the same time, and its processor time is in the gateway's.",
];

/// What `work` gives, unless the user ends it before.
pub(super) async fn until<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Err(CliError::failed("interrupted")),
    }
}

fn load(args: &LoadArgs, server: ServerName, security: Security, to: Mailbox) -> Load {
    Load {
        server,
        security,
        to,
        sessions: args.sessions,
        messages: args.messages,
        size: args.size,
        rate: args.rate.map(f64::from),
        run: format!("accept.{}", std::process::id()),
        due: None,
    }
}

/// Seconds for a thousand messages.
pub(super) fn per_1000(spent: Duration, messages: u64) -> f64 {
    rounded(spent.as_secs_f64() * 1_000.0 / number(messages.max(1)), 4)
}

impl Accepted {
    fn of(load: &Load, args: &LoadArgs, sent: Sent) -> Self {
        let accepted = u64::try_from(sent.latencies.len()).unwrap_or(u64::MAX);
        let seconds = sent.took.as_secs_f64().max(1e-6);
        let rate = number(accepted) / seconds;
        Self {
            server: load.server.to_string(),
            sessions: load.sessions,
            size_bytes: load.size,
            rate_asked: args.rate,
            accepted,
            failed: sent.failed,
            first_failure: sent.first_failure,
            seconds: rounded(seconds, 3),
            messages_per_second: rounded(rate, 1),
            mebibytes_per_second: rounded(rate * number(load.size) / f64::from(1u32 << 20), 2),
            latency_ms: Percentiles::of(sent.latencies),
            gateway: None,
            client_cpu_per_1000: sent.cpu.map(|spent| per_1000(spent, accepted)),
            notes: Vec::new(),
        }
    }
}

fn show(answer: &Accepted, out: &mut Output) -> Result<(), CliError> {
    out.line(&format!(
        "{} messages of {} bytes over {} sessions in {} s, {} failed",
        answer.accepted, answer.size_bytes, answer.sessions, answer.seconds, answer.failed
    ))?;
    if let Some(why) = &answer.first_failure {
        out.line(&format!("first failure: {why}"))?;
    }
    out.line(&format!(
        "rate           {} messages/s, {} MiB/s",
        answer.messages_per_second, answer.mebibytes_per_second
    ))?;
    if let Some(ms) = &answer.latency_ms {
        out.line(&format!(
            "MAIL to 250    p50 {} ms, p95 {} ms, p99 {} ms, max {} ms",
            ms.p50, ms.p95, ms.p99, ms.max
        ))?;
    }
    if let Some(own) = &answer.gateway {
        out.line(&format!(
            "flushes        {}, {} messages each, on {}",
            own.flushes, own.messages_per_flush, own.file_system
        ))?;
        if let Some(cpu) = own.cpu_per_1000 {
            out.line(&format!("CPU, gateway   {cpu} s per 1000 messages"))?;
        }
    }
    if let Some(cpu) = answer.client_cpu_per_1000 {
        out.line(&format!("CPU, client    {cpu} s per 1000 messages"))?;
    }
    answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
}
