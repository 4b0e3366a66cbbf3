//! How fast what was released leaves: messages a second to a sink on this machine, and Postfix's own rate beside it.
//!
//! Everything is proposed and released beforehand, for a moment that is still to come; what is measured is from the first to
//! the last message that the sink counts. Postfix is filled while its queue manager stands still. Rounds take turns, so that
//! both see the same machine.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Client;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::accept::until;
use super::figures::{number, rounded};
use super::gateway::{Gateway, is_memory};
use super::postfix::Postfix;
use super::sink::Sink;
use super::{ReleaseArgs, cpu};
use crate::app::interrupted;
use crate::cli::key::add_key;
use crate::cli::{CliError, Output};
use crate::clock::Clock;
use crate::dns::zone::Zone;
use crate::ids::OPERATOR;
use crate::keys::{Environment, KeyBindings, Scope, Scopes};
use crate::mail::address::{Domain, Mailbox};
use crate::service::audit::Who;
use crate::service::drafts::Policy;
use crate::service::keys::NewKey;
use crate::service::signing::make_key;
use crate::store::directory::NewMailbox;

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    messages: u64,
    size_bytes: u64,
    connections: u32,
    file_system: String,
    /// Messages a second, of each round.
    connex: Vec<f64>,
    /// The same of Postfix; empty without one.
    postfix: Vec<f64>,
    connex_median: Option<f64>,
    postfix_median: Option<f64>,
    /// Gateway alone, in seconds.
    cpu_per_1000: Option<f64>,
    notes: Vec<String>,
}

const DOMAIN: &str = "bench.localhost";
const SINK: &str = "sink.example";
/// Sent before the rounds; they open connections, and tell how long it takes to fill.
const WARM_UP: u64 = 50;
/// Calls at the same time.
const CALLS: usize = 8;

pub(super) async fn run(args: ReleaseArgs, out: &mut Output) -> Result<(), CliError> {
    let mut sink = Sink::start(args.sink_port)?;
    let postfix = match (&args.postfix, args.postfix_server) {
        (Some(folder), Some(server)) => Some(Postfix::at(folder, server)?),
        _ => None,
    };
    let gateway = start(&args, sink.address()).await?;
    let file_system = gateway.scratch.file_system();
    let caller = Caller::new(&gateway, args.size).await?;
    out.note(&format!("Started a gateway in a folder of its own ({file_system}) and a sink on {}.", sink.address()));
    let stop = interrupted();
    let measuring = async {
        let mut bench = Bench { args: &args, caller, sink: &mut sink, postfix, out };
        let measured = until(&stop, bench.measure()).await;
        stop.cancel();
        measured
    };
    let running = gateway.app.run_until(stop.clone());
    let (ended, measured) = tokio::join!(running, measuring);
    let (connex, postfix, spent) = measured?;
    ended?;
    let sent = number(args.messages) * f64::from(args.rounds);
    let mut answer = Measured {
        messages: args.messages,
        size_bytes: args.size,
        connections: args.connections,
        file_system: file_system.clone(),
        connex_median: median(&connex),
        postfix_median: median(&postfix),
        connex,
        postfix,
        cpu_per_1000: spent.map(|spent| rounded(spent.as_secs_f64() * 1_000.0 / sent, 3)),
        notes: NOTES.map(str::to_owned).to_vec(),
    };
    if is_memory(&file_system) {
        let note = "The folder is in memory, where a flush costs nothing: choose one on a disk with --dir.";
        answer.notes.push(note.to_owned());
    }
    out.answer(&answer, |out| show(&answer, out))
}

const NOTES: [&str; 3] = [
    "A rate is from the first to the last message of a round that smtp-sink counted.",
    "Each message of Connex is judged again, signed, and committed before its final dot; Postfix does none of that.",
    "Gateway, Postfix and sink share this machine.",
];

async fn start(args: &ReleaseArgs, sink: SocketAddr) -> Result<Gateway, CliError> {
    let zone = Zone::start().map_err(anyhow::Error::new)?;
    zone.mx(SINK, &format!("mx.{SINK}")).address_of(&format!("mx.{SINK}"), sink.ip());
    let (port, connections) = (sink.port().to_string(), args.connections.to_string());
    let settings = vec![
        ("sending.port", port),
        ("sending.allow", "127.0.0.0/8".to_owned()),
        ("sending.mta_sts", "false".to_owned()),
        ("sending.workers", connections.clone()),
        ("sending.connections_per_destination", connections),
        ("http.rate_limits.default_per_minute", "0".to_owned()),
        ("http.rate_limits.daily", "0".to_owned()),
    ];
    Gateway::start_with(&args.data, args.database.as_deref(), Some(zone), |_| Ok(settings)).await
}

/// Whoever proposes messages and has them released.
struct Caller {
    client: Client,
    url: String,
    key: String,
    body: Value,
}

impl Caller {
    async fn new(gateway: &Gateway, size: u64) -> Result<Self, CliError> {
        let instance = &gateway.app.instance;
        let tenant = instance.store.for_tenant(gateway.tenant);
        let from = format!("sender@{DOMAIN}");
        tenant
            .add_mailbox(NewMailbox {
                address: Mailbox::parse(&from).map_err(anyhow::Error::new)?,
                app: None,
                identity_owner: "connex".to_owned(),
                reply_policy: "policy_auto".to_owned(),
                external_reply_url: None,
            })
            .await?;
        let most = u32::MAX;
        let policy = Policy {
            participants_only: false,
            similar_to_new_recipients: most,
            mailbox_per_day: most,
            agent_per_day: most,
            tenant_per_day: most,
            automatic_per_correspondent: most,
            ..Policy::default()
        };
        tenant.set_policy(policy, Who::Operator).await?;
        let operator = instance.store.for_tenant(OPERATOR);
        let domain = Domain::parse(DOMAIN).map_err(anyhow::Error::new)?;
        make_key(&operator, &instance.key, domain, "s1", None).await.map_err(anyhow::Error::new)?;
        // Nobody is to believe the signatures: its record is taken as seen.
        operator.note_signing_key(DOMAIN, "s1", true).await?;
        let new = NewKey {
            name: "bench".to_owned(),
            environment: Environment::Live,
            scopes: Scopes::of(&[Scope::DraftsWrite, Scope::DraftsRead]),
            bindings: KeyBindings::default(),
            allowed_networks: Vec::new(),
            expires_at: None,
        };
        let (key, _) = add_key(instance, &tenant, new).await?;
        let line = "See you on Tuesday, and thank you for all of this.\n";
        let lines = usize::try_from(size).unwrap_or(usize::MAX) / line.len();
        let body = json!({ "mailbox": from, "to": [format!("to@{SINK}")], "subject": "Tuesday", "text": line.repeat(lines.max(1)) });
        let address = gateway.app.addresses.http.first().copied();
        let address = address.ok_or_else(|| CliError::failed("the gateway has no API"))?;
        let client = crate::cli::listen::client(None)?;
        Ok(Self { client, url: format!("http://{address}/api/v1/drafts"), key: key.reveal().to_owned(), body })
    }

    async fn post(&self, url: &str, body: &Value) -> Result<Value, CliError> {
        let call = self.client.post(url).bearer_auth(&self.key).json(body);
        // Each message is released once, and proposals are many of the same.
        let call = if url == self.url { call } else { call.header("idempotency-key", url) };
        let answer = call.send().await;
        let answer: Value = match answer {
            Ok(answer) => answer.json().await.map_err(anyhow::Error::new)?,
            Err(error) => return Err(CliError::Unreachable(anyhow::Error::new(error))),
        };
        Ok(answer)
    }

    /// Proposes one message and has it released for a time.
    async fn release(&self, at: &str) -> Result<(), CliError> {
        let made = self.post(&self.url, &self.body).await?;
        let id = made.get("id").and_then(Value::as_str).unwrap_or_default();
        let released = self.post(&format!("{}/{id}/release-request", self.url), &json!({ "sendAt": at })).await?;
        match released.get("state").and_then(Value::as_str) {
            Some("released" | "sending" | "sent") => Ok(()),
            _ => Err(CliError::failed(format!("a message was not released: {made} {released}"))),
        }
    }

    async fn fill(&self, messages: u64, at: &str) -> Result<(), CliError> {
        use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
        stream::iter(0..messages).map(|_| self.release(at)).buffer_unordered(CALLS).try_collect::<()>().await
    }
}

struct Bench<'a> {
    args: &'a ReleaseArgs,
    caller: Caller,
    sink: &'a mut Sink,
    postfix: Option<Postfix>,
    out: &'a mut Output,
}

impl Bench<'_> {
    async fn measure(&mut self) -> Result<(Vec<f64>, Vec<f64>, Option<Duration>), CliError> {
        let began = Instant::now();
        let expected = self.sink.expect(WARM_UP);
        self.caller.fill(WARM_UP, &Clock::System.now().to_string()).await?;
        let each = began.elapsed() / u32::try_from(WARM_UP).unwrap_or(1);
        expected.wait().await?;
        let (mut ours, mut theirs, mut spent) = (Vec::new(), Vec::new(), Some(Duration::ZERO));
        for round in 1..=self.args.rounds {
            let (rate, cpu) = self.connex(each).await?;
            ours.push(rate);
            spent = spent.zip(cpu).map(|(all, one)| all + one);
            let beside = match &mut self.postfix {
                Some(postfix) => {
                    postfix.fill(self.args.messages, self.args.size).await?;
                    let expected = self.sink.expect(self.args.messages);
                    postfix.go_on()?;
                    let rate = rounded(expected.wait().await?, 1);
                    theirs.push(rate);
                    format!(", Postfix {rate}/s")
                }
                None => String::new(),
            };
            self.out.note(&format!("Round {round}: Connex {rate}/s{beside}"));
        }
        Ok((ours, theirs, spent))
    }

    /// One round: what the gateway sent a second, and what it spent on it.
    async fn connex(&mut self, each: Duration) -> Result<(f64, Option<Duration>), CliError> {
        let messages = self.args.messages;
        let filling = each * u32::try_from(messages).unwrap_or(u32::MAX);
        let at = Clock::System.now().plus(filling + filling / 2 + Duration::from_secs(3));
        self.caller.fill(messages, &at.to_string()).await?;
        if Clock::System.now() >= at {
            return Err(CliError::failed("releasing the messages took so long that they were sent meanwhile: again"));
        }
        let expected = self.sink.expect(messages);
        let before = cpu::of_process();
        let rate = rounded(expected.wait().await?, 1);
        let spent = cpu::of_process().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok((rate, spent))
    }
}

/// The middle of them; of an even number, the lower of the two in the middle.
fn median(rates: &[f64]) -> Option<f64> {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn show(answer: &Measured, out: &mut Output) -> Result<(), CliError> {
    out.line(&format!(
        "{} messages of {} bytes by {} connections to a sink on this machine, on {}",
        answer.messages, answer.size_bytes, answer.connections, answer.file_system
    ))?;
    let line = |who: &str, median: Option<f64>, all: &[f64]| {
        let all = all.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
        median.map(|median| format!("{who}: {median} messages/s in the median ({all})"))
    };
    for line in [
        line("Connex", answer.connex_median, &answer.connex),
        line("Postfix", answer.postfix_median, &answer.postfix),
        answer.cpu_per_1000.map(|seconds| format!("CPU of the gateway: {seconds} s for 1,000 messages")),
    ]
    .into_iter()
    .flatten()
    {
        out.line(&line)?;
    }
    answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_rate_that_was_measured() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
