//! `connex dev`: the whole product on loopback, with sample data.

mod places;
mod samples;
mod seed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::output::{Table, Tone};
use super::{CliError, JsonArgs, Output};
use crate::app::{App, AppError, Instance, interrupted};
use crate::clock::Clock;
use crate::telemetry::{Logs, Metrics};
use crate::webhook::receiver::{Received, Receiver};

use places::Places;
use seed::Seed;

/// Arguments of `connex dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Data folder; made when missing, kept afterwards.
    #[arg(long, value_name = "DIR", default_value = "connex-data")]
    pub dir: PathBuf,
    /// First of eight ports: SMTP, SMTP over TLS, API, admin, receiver, LMTP, submission, submission over TLS; 0 takes free
    /// ones. Without it 2525, 2465, 8080, 8081, 8082, 2424, 2587 and 2588.
    #[arg(long, value_name = "PORT")]
    pub port_base: Option<u16>,
    /// Send no sample mails.
    #[arg(long)]
    pub no_samples: bool,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// How long the samples may take to come out at the receiver.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often free ports are looked for where a port was taken meanwhile.
const TRIES: u32 = 5;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(args: DevArgs, out: &mut Output) -> Result<(), CliError> {
    let clock = Clock::System;
    let metrics = Metrics::init().map_err(anyhow::Error::new)?;
    let mut tries = 0;
    let (places, app, receiver_socket, _logs) = loop {
        let places = Places::new(&args.dir, args.port_base, &clock)?;
        let config = Arc::new(places.config()?);
        let logs = if tries == 0 { Logs::init(&config.log).ok() } else { None };
        let started = async {
            let socket = places.receiver_socket().await?;
            let instance = Instance::open(config, clock.clone()).await?;
            Ok::<_, AppError>((App::start(instance, metrics.clone()).await?, socket))
        };
        match started.await {
            Ok((app, socket)) => break (places, app, socket, logs),
            Err(AppError::Listen { .. }) if args.port_base == Some(0) && tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    };
    places.write_config()?;
    let seed = seed::sow(&app.instance, &places.receiver_url()).await?;
    let setup = super::user::link_of_first(&app.instance).await?;
    let receiver = Receiver::new(vec![seed.secret.clone()], 1000, clock);
    let stop = interrupted();
    let serving = crate::webhook::receiver::serve(receiver_socket, receiver.clone(), stop.clone());
    let running = app.run_until(stop.clone());
    let story = async {
        let told = tell(&args, (&places, setup.as_deref()), &seed, &receiver, out).await;
        // Without an answer there is nothing to stay up for.
        if told.is_err() {
            stop.cancel();
        }
        told
    };
    let (ended, served, told) = tokio::join!(running, serving, story);
    told?;
    ended?;
    Ok(served?)
}

/// Sends the samples, shows what arrived, and says what to try next.
async fn tell(
    args: &DevArgs,
    (places, setup): (&Places, Option<&str>),
    seed: &Seed,
    receiver: &Receiver,
    out: &mut Output,
) -> Result<(), CliError> {
    let mut sent = Vec::new();
    if !args.no_samples {
        sent = samples::send(places, seed).await?;
        let wanted = sent.len();
        let arrived =
            |received: &Received| received.events.iter().filter(|event| is_of(&sent, event)).count() >= wanted;
        if tokio::time::timeout(PATIENCE, receiver.wait_until(arrived)).await.is_err() {
            return Err(CliError::failed(
                "the sample mails did not all reach the receiver within 30 s; see the log above",
            ));
        }
    }
    if args.json.json {
        return out.json_line(&json!({
            "http": places.http_url(),
            "admin": places.admin_url(),
            "smtp": places.smtp(),
            "smtps": places.smtps(),
            "lmtp": places.lmtp(),
            "submission": places.submission(),
            "submissions": places.submissions(),
            "setup": setup,
            "apiKey": seed.api_key,
            "tenant": seed.tenant,
            "app": seed::APP,
            "mailbox": seed.mailbox,
            "routes": { "bcc": seed.bcc_route },
            "receiver": places.receiver_url(),
            "dataDir": places.dir(),
            "config": places.config_file(),
            "caFile": places.ca_file(),
        }));
    }
    out.tinted(Tone::Heading, "Connex is up on loopback, for development only.")?;
    if !sent.is_empty() {
        show(&receiver.received(), &sent, out)?;
    }
    advise(places, setup, seed, out)
}

fn is_of(sent: &[samples::Sent], event: &crate::webhook::receiver::ReceivedEvent) -> bool {
    let message_id = event.body.pointer("/source/eventId").and_then(serde_json::Value::as_str);
    message_id.is_some() && sent.iter().any(|sample| sample.message_id.as_deref() == message_id)
}

/// What arrived at the receiver, one line a message.
fn show(received: &Received, sent: &[samples::Sent], out: &mut Output) -> Result<(), CliError> {
    let mut table = Table::new(["SAMPLE", "STATUS", "PRIORITY", "YOUR STATUS", "OPERATIONS", "SIGNATURE"]);
    for sample in sent {
        let event = received.events.iter().find(|event| is_of(std::slice::from_ref(sample), event));
        let text = |pointer: &str| {
            let value = event.and_then(|event| event.body.pointer(pointer)).and_then(serde_json::Value::as_str);
            value.unwrap_or("-").to_owned()
        };
        let operations = event.and_then(|event| event.body.pointer("/data/operations")?.as_array());
        let kinds: Vec<&str> = operations
            .map(|all| all.iter().filter_map(|operation| operation.get("type")?.as_str()).collect())
            .unwrap_or_default();
        table.row([
            sample.name.to_owned(),
            text("/data/canonical/status"),
            text("/data/canonical/priority"),
            text("/data/mapped/status"),
            kinds.join(", "),
            // The receiver keeps nothing whose signature it could not verify.
            if event.is_some() { "verified" } else { "-" }.to_owned(),
        ]);
    }
    out.line("")?;
    out.line(&format!("Sent {} sample mails by SMTP with STARTTLS; this reached the webhook receiver:", sent.len()))?;
    out.line("")?;
    out.table(&table)
}

fn advise(places: &Places, setup: Option<&str>, seed: &Seed, out: &mut Output) -> Result<(), CliError> {
    let (http, key) = (places.http_url(), &seed.api_key);
    let (host, port) = (places.smtp().ip(), places.smtp().port());
    let lines = [
        String::new(),
        format!("API key, shown once:  {key}"),
        format!("Mailbox:              {}", seed.mailbox),
        format!("bcc route (a secret): {}", seed.bcc_route),
        format!("What was received:    {}received", places.receiver_url()),
        format!("Documentation:        {http}/docs"),
        match setup {
            Some(url) => format!("Make your account:    {url}"),
            None => format!("Sign in:              {http}/login"),
        },
        String::new(),
        "Try next:".to_owned(),
        format!(
            "  swaks --server {host}:{port} --tls --to {} --header 'Subject: Quote' --body 'What is your price for 40 seats?'",
            seed.mailbox
        ),
        format!(
            "  curl -sS {http}/api/connex/integration-event -H 'content-type: application/json' -H 'authorization: Bearer {key}' \\"
        ),
        format!(
            "    -d '{{\"app\":\"{}\",\"sourceSystem\":\"crm\",\"sourceEventId\":\"evt_1\",\"eventType\":\"inbound_reply\",\"message\":{{\"subject\":\"Need approval before moving forward\",\"body\":\"Can you confirm terms before we proceed?\"}}}}'",
            seed::APP
        ),
        format!("  connex tail --dir {}", places.dir().display()),
        String::new(),
        "Ctrl-C stops it.".to_owned(),
    ];
    lines.iter().try_for_each(|line| out.line(line))
}
