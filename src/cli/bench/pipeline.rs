//! `connex bench pipeline`: from a message's time to its webhook, received and verified.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accept::{per_1000, until};
use super::figures::{Percentiles, rounded};
use super::gateway::{Gateway, is_memory, names};
use super::load::{Due, Load, send};
use super::steps::{Track, keeps_up, whole};
use super::{PipelineArgs, cpu};
use crate::app::interrupted;
use crate::cli::smtp_client::Security;
use crate::cli::webhook::{Told, add_endpoint};
use crate::cli::{CliError, Output, Table};
use crate::clock::Clock;
use crate::webhook::receiver::{Observer, ReceivedEvent, Receiver, serve};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    sessions: u32,
    size_bytes: u64,
    file_system: String,
    steps: Vec<Step>,
    /// The highest rate whose step was sustained; null when a rate was given, or none was.
    highest_sustained: Option<f64>,
    notes: Vec<String>,
}

/// One rate.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    rate: f64,
    messages: u64,
    failed: u64,
    first_failure: Option<String>,
    /// Webhooks received and verified.
    received: u64,
    /// Whether everything came, and the backlog did not grow.
    sustained: bool,
    /// Messages without their webhook when the last one was sent.
    backlog_at_end: u64,
    /// From the message's time to its verified webhook.
    latency_ms: Option<Percentiles>,
    /// From the message's time to its 250.
    accept_ms: Option<Percentiles>,
    /// Gateway and receiver, in seconds.
    cpu_per_1000: Option<f64>,
}

/// How long a step of the search lasts.
const STEP: Duration = Duration::from_secs(5);
/// How often the backlog is looked at.
const TICK: Duration = Duration::from_millis(20);
/// Without a single webhook for so long, the rest is given up.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_RATE: f64 = 100.0;
const MOST_RATE: f64 = 100_000.0;
/// Steps between the last rate that lasted and the first that did not.
const REFINEMENTS: u32 = 4;

pub(super) async fn run(args: PipelineArgs, out: &mut Output) -> Result<(), CliError> {
    let gateway = Gateway::start(&args.data, args.database.as_deref(), names(&args.load)?).await?;
    let file_system = gateway.scratch.file_system();
    let current: Current = Arc::default();
    let socket = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| CliError::Unreachable(anyhow::Error::new(error).context("listening for webhooks")))?;
    let address = socket.local_addr().map_err(anyhow::Error::new)?;
    let rows = gateway.app.instance.store.for_tenant(gateway.tenant);
    let url = format!("http://{address}/");
    let (_, secret) = add_endpoint(&gateway.app.instance, &rows, Some(gateway.app_id), &url, Told::default()).await?;
    let receiver = Receiver::observed(vec![secret], 0, Clock::System, observer(Arc::clone(&current)));
    out.note(&format!("Started a gateway on {} ({file_system}) and a receiver on {address}.", gateway.server));

    let load = Load {
        server: gateway.server.clone(),
        security: Security::Plain,
        to: gateway.mailbox.clone(),
        sessions: args.load.sessions,
        messages: args.load.messages,
        size: args.load.size,
        rate: None,
        run: String::new(),
        due: None,
    };
    let stop = interrupted();
    let measuring = async {
        let mut bench = Bench { load, current, number: 0, out };
        let measured = until(&stop, bench.measure(args.load.rate)).await;
        stop.cancel();
        measured
    };
    let running = gateway.app.run_until(stop.clone());
    let serving = receive(socket, receiver, stop.clone());
    let (ended, served, measured) = tokio::join!(running, serving, measuring);
    let (steps, highest_sustained) = measured?;
    ended?;
    served?;
    let mut answer = Measured {
        sessions: args.load.sessions,
        size_bytes: args.load.size,
        file_system: file_system.clone(),
        steps,
        highest_sustained,
        notes: NOTES.map(str::to_owned).to_vec(),
    };
    if is_memory(&file_system) {
        answer
            .notes
            .push("The folder is in memory, where a flush costs nothing: choose one on a disk with --dir.".into());
    }
    out.answer(&answer, |out| show(&answer, out))
}

const NOTES: [&str; 4] = [
    "Latency counts from the moment at which a message was due, also when no session was free for it then, to the moment \
     at which the receiver had verified the signature of its webhook.",
    "A timer of the client adds up to 1 ms to each.",
    "Client, gateway and receiver share this machine and this process.",
    "A rate is sustained when every webhook came and the backlog did not grow by 4 % of the rate or more.",
];

type Current = Arc<Mutex<Option<Arc<Track>>>>;

/// Tells the running step of each webhook.
fn observer(current: Current) -> Observer {
    Box::new(move |event: &ReceivedEvent| {
        let at = Instant::now();
        let track = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let message_id = event.body.pointer("/source/eventId").and_then(serde_json::Value::as_str);
        if let (Some(track), Some(message_id)) = (track, message_id) {
            track.arrived(message_id, at);
        }
    })
}

async fn receive(socket: TcpListener, receiver: Receiver, stop: CancellationToken) -> Result<(), CliError> {
    serve(socket, receiver, stop).await.map_err(|error| CliError::Failed(anyhow::Error::new(error)))
}

struct Bench<'a> {
    load: Load,
    current: Current,
    number: u32,
    out: &'a mut Output,
}

impl Bench<'_> {
    async fn measure(&mut self, rate: Option<u32>) -> Result<(Vec<Step>, Option<f64>), CliError> {
        // The first messages open connections and warm caches up; they are not in the figures.
        self.step(FIRST_RATE, self.load.messages.min(WARM_UP)).await?;
        match rate {
            Some(rate) => Ok((vec![self.step(f64::from(rate), self.load.messages).await?], None)),
            None => self.search().await,
        }
    }

    /// Doubles the rate until it does not last, then halves the distance.
    async fn search(&mut self) -> Result<(Vec<Step>, Option<f64>), CliError> {
        let mut steps = Vec::new();
        let (mut lasts, mut fails) = (None, None);
        let mut rate = FIRST_RATE;
        for _ in 0..40 {
            let step = self.twice(rate).await?;
            let sustained = step.sustained;
            steps.push(step);
            if sustained {
                lasts = Some(rate);
            } else {
                fails = Some(rate);
            }
            rate = match (lasts, fails) {
                (Some(lasts), None) if lasts * 2.0 <= MOST_RATE => lasts * 2.0,
                (None, Some(fails)) if fails >= 2.0 => fails / 2.0,
                _ => break,
            };
            if lasts.is_some() && fails.is_some() {
                break;
            }
        }
        if let (Some(mut good), Some(mut bad)) = (lasts, fails) {
            for _ in 0..REFINEMENTS {
                let middle = ((good + bad) / 2.0).round();
                let step = self.twice(middle).await?;
                if step.sustained {
                    good = middle;
                } else {
                    bad = middle;
                }
                steps.push(step);
            }
            lasts = Some(good);
        }
        Ok((steps, lasts))
    }

    /// A step that did not last is made once more: on a shared machine it may have been somebody else's doing.
    async fn twice(&mut self, rate: f64) -> Result<Step, CliError> {
        let messages = messages_for(rate, self.load.messages);
        let first = self.step(rate, messages).await?;
        if first.sustained { Ok(first) } else { self.step(rate, messages).await }
    }

    async fn step(&mut self, rate: f64, messages: u64) -> Result<Step, CliError> {
        self.number += 1;
        let track = Arc::new(Track::new(format!("pipeline.{}.{}", std::process::id(), self.number), messages));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&track));
        let told = Arc::clone(&track);
        let begin = Arc::new(std::sync::OnceLock::new());
        let begun = Arc::clone(&begin);
        let due = Due(Arc::new(move |message, at| {
            // The first message is due at the very beginning.
            begun.get_or_init(|| at);
            told.due(message, at);
        }));
        let load =
            Load { rate: Some(rate), messages, run: track.run().to_owned(), due: Some(due), ..self.load.clone() };
        let before = cpu::of_process();
        let mut outstanding = Vec::new();
        let sent = {
            let sending = send(load);
            tokio::pin!(sending);
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    sent = &mut sending => break sent?,
                    _ = ticks.tick() => {
                        if let Some(begin) = begin.get() {
                            outstanding.push(track.outstanding(*begin, Some(rate)));
                        }
                    }
                }
            }
        };
        let accepted = u64::try_from(sent.latencies.len()).unwrap_or(u64::MAX);
        let backlog_at_end = accepted.saturating_sub(track.received());
        drain(&track, accepted).await;
        let spent = cpu::of_process().zip(before).map(|(after, before)| after.saturating_sub(before));
        let received = track.received();
        let keeps_up = keeps_up(&outstanding, sent.took.as_secs_f64(), rate);
        let client = sent.cpu.unwrap_or_default();
        let step = Step {
            rate,
            messages,
            failed: sent.failed,
            first_failure: sent.first_failure,
            received,
            sustained: sent.failed == 0 && received == messages && keeps_up,
            backlog_at_end,
            latency_ms: Percentiles::of(track.latencies()),
            accept_ms: Percentiles::of(sent.latencies),
            cpu_per_1000: spent.map(|spent| per_1000(spent.saturating_sub(client), received)),
        };
        let words = if step.sustained { "sustained" } else { "not sustained" };
        self.out.note(&format!("{} messages at {rate}/s: {words}", step.messages));
        Ok(step)
    }
}

const WARM_UP: u64 = 100;

/// As many as fill a step, but not over what was asked for.
fn messages_for(rate: f64, most: u64) -> u64 {
    whole(rate * STEP.as_secs_f64()).max(LEAST).min(most)
}

/// Fewer give no percentiles worth the name.
const LEAST: u64 = 200;

/// Waits until everything that was accepted has come, as long as something comes.
async fn drain(track: &Track, accepted: u64) {
    while track.received() < accepted {
        if tokio::time::timeout(PATIENCE, track.changed()).await.is_err() {
            return;
        }
    }
}

fn show(answer: &Measured, out: &mut Output) -> Result<(), CliError> {
    out.line(&format!(
        "Mail in to signed webhook received: {} bytes over {} sessions, on {}",
        answer.size_bytes, answer.sessions, answer.file_system
    ))?;
    let mut table = Table::new([
        "RATE/S",
        "MESSAGES",
        "RECEIVED",
        "FAILED",
        "P50 MS",
        "P95 MS",
        "P99 MS",
        "MAX MS",
        "250 P50",
        "250 P99",
        "BACKLOG",
        "CPU S/1000",
        "SUSTAINED",
    ]);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for step in &answer.steps {
        let (latency, accept) = (step.latency_ms, step.accept_ms);
        table.row([
            step.rate.to_string(),
            step.messages.to_string(),
            step.received.to_string(),
            step.failed.to_string(),
            shown(latency.map(|ms| ms.p50)),
            shown(latency.map(|ms| ms.p95)),
            shown(latency.map(|ms| ms.p99)),
            shown(latency.map(|ms| ms.max)),
            shown(accept.map(|ms| ms.p50)),
            shown(accept.map(|ms| ms.p99)),
            step.backlog_at_end.to_string(),
            shown(step.cpu_per_1000),
            if step.sustained { "yes" } else { "no" }.to_owned(),
        ]);
    }
    out.table(&table)?;
    if let Some(why) = answer.steps.iter().find_map(|step| step.first_failure.as_ref()) {
        out.line(&format!("first failure: {why}"))?;
    }
    if let Some(rate) = answer.highest_sustained {
        out.line(&format!("highest rate sustained: {} messages/s", rounded(rate, 0)))?;
    }
    answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
}
