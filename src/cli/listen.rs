//! `connex listen`: a tenant's events, delivered to a laptop.
//!
//! It follows the gateway's event stream and posts each event to an application on the user's own machine, in the form
//! and with the signature that a webhook has, so that a receiver can be built before there is a public URL for it.
//!
//! # Security
//! The key comes from a file, from `CONNEX_API_KEY`, or, for quick trials, from `--key`. The signing secret is this
//! command's own: made at the start and shown, or read from a file.

mod forward;
mod sse;
mod stream;

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::{Client, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use super::output::Tone;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::interrupted;
use crate::clock::Clock;
use crate::contract::webhook::{WebhookEvent, subscribes};
use crate::keys::ApiKey;
use crate::webhook::client_tls;
use crate::webhook::sign::WebhookSecret;

use forward::{Forward, Forwarded};
use sse::SseEvent;
use stream::{EventStream, Told};

/// Arguments of `connex listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Gateway; without it, server.public_url.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// API key; other users of this machine can see it, so better --key-file or CONNEX_API_KEY.
    #[arg(long, value_name = "KEY", env = "CONNEX_API_KEY", hide_env_values = true, conflicts_with = "key_file")]
    pub key: Option<String>,
    /// File with the API key: of scope events:read, and messages:read for the text of events.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where each event is posted to, signed as a webhook; without it, events are only shown.
    #[arg(long, value_name = "URL")]
    pub forward: Option<String>,
    /// File with the signing secret (whsec_…); without it, one is made and shown.
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub secret_file: Option<PathBuf>,
    /// Event type to receive, such as message.classified or message.*; again for more. Without it, all.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Vec<String>,
    /// Certificate authority to trust beside the public ones (PEM).
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Receives until a signal comes.
///
/// # Errors
/// The gateway cannot be reached, or the key is refused.
pub async fn run(args: ListenArgs, out: &mut Output) -> Result<(), CliError> {
    let base = match &args.url {
        Some(url) => url.clone(),
        None => args.data.load()?.server.public_url,
    };
    let base = http_url(&base, "--url")?;
    let key = api_key(&args)?;
    let client = client(args.ca_file.as_deref())?;
    let forward = match &args.forward {
        Some(url) => Some(forward_to(url, args.secret_file.as_deref(), client.clone(), out)?),
        None => None,
    };
    let stop = interrupted();
    let stream = tokio::select! {
        stream = EventStream::open(client, &base, key.reveal()) => stream?,
        () = stop.cancelled() => return Ok(()),
    };
    out.note(&format!("Listening to {}; Ctrl-C ends it.", base.origin().ascii_serialization()));
    tokio::select! {
        ended = follow(stream, &args.event_type, forward.as_ref(), out) => ended,
        () = stop.cancelled() => Ok(()),
    }
}

/// Shows and forwards what the stream tells; returns only with an error.
async fn follow(
    mut stream: EventStream,
    wanted: &[String],
    forward: Option<&Forward>,
    out: &mut Output,
) -> Result<(), CliError> {
    loop {
        match stream.next().await? {
            Told::Event(event) if is_wanted(&event, wanted) => take(&event, forward, out).await?,
            Told::Event(_) => {}
            Told::Resumed => out.note("The stream goes on."),
            Told::Broke { why, pause } => {
                out.note(&format!("The stream broke: {why}. Trying again in {:.1} s.", pause.as_secs_f64()));
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn is_wanted(event: &SseEvent, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| subscribes(wanted, &event.kind))
}

/// One event as `--json` shows it.
#[derive(Serialize)]
struct Line<'a> {
    cursor: &'a str,
    forward: Option<&'a Forwarded>,
    event: &'a WebhookEvent,
}

async fn take(told: &SseEvent, forward: Option<&Forward>, out: &mut Output) -> Result<(), CliError> {
    let event: WebhookEvent = match serde_json::from_str(&told.data) {
        Ok(event) => event,
        Err(error) => {
            out.note(&format!("Event {} cannot be read and is left out: {error}", told.id));
            return Ok(());
        }
    };
    let forwarded = match forward {
        Some(forward) => {
            let body = event.capped(told.data.clone()).map_err(anyhow::Error::new)?;
            Some(forward.post(&event, body).await)
        }
        None => None,
    };
    if out.is_json() {
        return out.json_line(&Line { cursor: &told.id, forward: forwarded.as_ref(), event: &event });
    }
    let status = event.data.pointer("/canonical/status").and_then(serde_json::Value::as_str).unwrap_or("-");
    let line = format!("{}  {}  {status}", event.id, event.kind);
    match forwarded {
        None => out.line(&line),
        Some(forwarded) => {
            let tone = if forwarded.is_success() { Tone::Good } else { Tone::Bad };
            let answer = forwarded.status.map(|status| status.to_string()).or(forwarded.error).unwrap_or_default();
            out.tinted(tone, &format!("{line}  -> {answer}  {} ms", forwarded.ms))
        }
    }
}

fn forward_to(url: &str, secret_file: Option<&Path>, client: Client, out: &mut Output) -> Result<Forward, CliError> {
    let url = http_url(url, "--forward")?;
    let secret = match secret_file {
        Some(file) => {
            let text = read_text(file)?;
            WebhookSecret::parse(text.trim())
                .map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?
        }
        None => {
            let secret = WebhookSecret::generate();
            out.note(&format!("Signing secret of this run: {}", secret.expose()));
            secret
        }
    };
    Ok(Forward::new(client, url, secret, Clock::System))
}

fn http_url(text: &str, argument: &str) -> Result<Url, CliError> {
    let url = Url::parse(text).map_err(|error| CliError::Usage(format!("{argument} {text}: {error}")))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(CliError::Usage(format!("{argument} {text}: must be an http or https URL")))
    }
}

fn api_key(args: &ListenArgs) -> Result<ApiKey, CliError> {
    let text = match (&args.key, &args.key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => read_text(file)?,
        (None, None) => {
            return Err(CliError::Usage("an API key is missing: add --key-file FILE, or set CONNEX_API_KEY".into()));
        }
    };
    ApiKey::parse(text.trim()).map_err(|error| CliError::Usage(format!("the API key is {error}")))
}

fn read_text(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(|error| {
        CliError::Unreachable(anyhow::Error::new(error).context(format!("reading {}", file.display())))
    })
}

/// The client for the gateway and for the application. No proxy of the environment sees a key or an event, and no
/// redirect is followed, as with webhooks.
pub(super) fn client(ca_file: Option<&Path>) -> Result<Client, CliError> {
    let extra: Vec<CertificateDer<'static>> = match ca_file {
        None => Vec::new(),
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| CliError::Unreachable(anyhow::anyhow!("{}: {error}", file.display())))?,
    };
    let tls = client_tls(&extra).map_err(anyhow::Error::new)?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(5))
        .user_agent(concat!("connex-webhooks/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(client.map_err(anyhow::Error::new)?)
}

#[cfg(test)]
mod tests;
