//! `connex bench read`: what it costs to make events of messages, beside the bare parser on the same bytes.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::ReadArgs;
use super::figures::rounded;
use crate::cli::{CliError, Output};
use crate::clock::Clock;
use crate::event::{self, View};
use crate::ids::{MailboxId, RouteId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::authentication::{Authentication, FailurePolicy};
use crate::mail::copy::RouteAddresses;
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin, Recipient, Verdict};
use crate::mail::journal::ReportFormat;
use crate::mail::message::{self, Limits};
use crate::mail::reading::{self, Reader};
use crate::mail::thread::{Method, Threading};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    messages: usize,
    bytes: usize,
    /// Medians of the rounds.
    parser_microseconds: f64,
    event_microseconds: f64,
    events_per_second: f64,
    /// How many times as long an event takes as parsing alone: the median over rounds, each measured side by side.
    ratio: f64,
    notes: Vec<String>,
}

const NOTES: [&str; 2] = [
    "An event is unwrapping, reading, direction and trust, spans of the text, and the event as JSON; in one thread, nothing stored.",
    "Times are for one message, over all of them.",
];

/// Files that are read at most.
const FILES: usize = 10_000;
/// Octets of one file.
const LARGEST: u64 = 64 << 20;

pub(super) fn run(args: &ReadArgs, out: &mut Output) -> Result<(), CliError> {
    let mut paths = Vec::new();
    for path in &args.files {
        gather(path, &mut paths).map_err(|source| unreadable(path, &source))?;
    }
    paths.sort();
    let mut messages = Vec::new();
    for path in paths.iter().take(FILES) {
        let size = std::fs::metadata(path).map_err(|source| unreadable(path, &source))?.len();
        if size <= LARGEST {
            messages.push(std::fs::read(path).map_err(|source| unreadable(path, &source))?);
        }
    }
    if messages.is_empty() {
        return Err(CliError::Usage("there is no .eml file to read".to_owned()));
    }
    let answer = compare(&messages, args.rounds);
    out.answer(&answer, |out| {
        out.line(&format!("{} messages, {} octets", answer.messages, answer.bytes))?;
        out.line(&format!("mail-parser alone  {:>9.2} µs a message", answer.parser_microseconds))?;
        out.line(&format!("event              {:>9.2} µs a message", answer.event_microseconds))?;
        out.line(&format!("                   {:>9.0} events/s in one thread", answer.events_per_second))?;
        out.line(&format!("ratio              {:>9.2}", answer.ratio))?;
        answer.notes.iter().try_for_each(|note| out.line(note))
    })
}

fn unreadable(path: &Path, source: &std::io::Error) -> CliError {
    CliError::Usage(format!("{} cannot be read: {source}", path.display()))
}

fn gather(path: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?.path();
        if !entry.is_dir() && entry.extension().is_some_and(|extension| extension == "eml") {
            paths.push(entry);
        }
    }
    Ok(())
}

fn compare(messages: &[Vec<u8>], rounds: u32) -> Compared {
    let scene = Scene::new();
    // So often in one round that the clock's grain does not count.
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let repeats = (20_000_000 / bytes.max(1)).clamp(1, 200);
    let timed = |work: &dyn Fn(&[u8])| {
        let begun = Instant::now();
        for _ in 0..repeats {
            messages.iter().for_each(|message| work(message));
        }
        begun.elapsed()
    };
    let mut measured: Vec<(Duration, Duration)> = Vec::new();
    for _ in 0..rounds {
        let parsed = timed(&|bytes| {
            black_box(message::parse_alone(black_box(bytes)));
        });
        let made = timed(&|bytes| {
            black_box(scene.event(black_box(bytes)));
        });
        measured.push((parsed, made));
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let each = |time: Duration| time.as_secs_f64() * 1e6 / (repeats * messages.len()) as f64;
    let parser_microseconds = median(measured.iter().map(|(parsed, _)| each(*parsed)));
    let event_microseconds = median(measured.iter().map(|(_, made)| each(*made)));
    let ratio = median(measured.iter().map(|(parsed, made)| made.as_secs_f64() / parsed.as_secs_f64().max(1e-9)));
    Compared {
        messages: messages.len(),
        bytes,
        parser_microseconds: rounded(parser_microseconds, 2),
        event_microseconds: rounded(event_microseconds, 2),
        events_per_second: rounded(1e6 / event_microseconds.max(1e-3), 0),
        ratio: rounded(ratio, 2),
        notes: NOTES.map(str::to_owned).into(),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The address of a route, as they are made.
const ROUTE: &str = "journal-abcdefghijklmnopqrstuvwxyz@in.example";

/// As whose mail the messages are read: reports as those of a journal route, all other mail as a mailbox's.
struct Scene {
    direct: Manifest,
    journal: Manifest,
    authentication: Authentication,
    routes: RouteAddresses,
}

impl Scene {
    fn new() -> Self {
        let clock = Clock::System;
        let tenant: TenantId = clock.mint();
        let manifest = |address: &str, recipient: Recipient| Manifest {
            id: clock.mint(),
            received_at: clock.now(),
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                forward_paths: Mailbox::parse(address)
                    .map(|mailbox| ForwardPath::new(mailbox, recipient))
                    .into_iter()
                    .collect(),
                body: BodyKind::EightBitMime,
                smtputf8: false,
                envelope_id: None,
                returned: None,
            },
            origin: Origin {
                door: Door::Smtp,
                session: clock.mint(),
                peer: None,
                proxy: None,
                helo: String::new(),
                tls: None,
                authenticated: None,
                certificate: None,
                provider: None,
                client: None,
            },
            defects: Vec::new(),
            quiet: false,
            verdict: Verdict::NotAsked,
            milter: None,
        };
        let route: RouteId = clock.mint();
        let reader = Reader::Journal(ReportFormat::Exchange);
        Self {
            direct: manifest("deals@in.example", Recipient::Mailbox { tenant, mailbox: clock.mint::<MailboxId>() }),
            journal: manifest(
                ROUTE,
                Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: false },
            ),
            authentication: Authentication::default(),
            routes: RouteAddresses::default(),
        }
    }

    /// The event of one message, as JSON.
    fn event(&self, bytes: &[u8]) -> String {
        let head = bytes.get(..bytes.len().min(4_096)).unwrap_or_default();
        let is_report = memchr::memmem::find(head, b"X-MS-Journal-Report").is_some();
        let manifest = if is_report { &self.journal } else { &self.direct };
        let Some(recipient) = manifest.envelope.forward_paths.first().map(|path| path.recipient) else {
            return String::new();
        };
        let opened = reading::open(bytes, recipient.reader(), &self.routes, &Limits::default());
        let view = View {
            id: Clock::System.mint(),
            recipient,
            own_hosts: &[],
            owned_domains: &[],
            route_addresses: &[],
            thread: Clock::System.mint(),
            threading: Threading { method: Method::New, reply_token: None },
            authors: &[],
            authentication: &self.authentication,
            failure_policy: FailurePolicy::Mark,
            is_released: false,
        };
        serde_json::to_string(&event::from_mail(&opened, manifest, &view)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_becomes_an_event_and_both_ways_are_timed() {
        let report = include_bytes!("../../../tests/corpus/journal/exchange-inbound.eml");
        let direct = include_bytes!("../../../tests/corpus/mail/direct/plain.eml");
        let scene = Scene::new();
        assert!(scene.event(report).contains("\"kind\":\"journal\""));
        assert!(scene.event(direct).contains("\"kind\":\"direct\""));
        let compared = compare(&[report.to_vec(), direct.to_vec()], 1);
        assert_eq!((compared.messages, compared.bytes), (2, report.len() + direct.len()));
        assert!(compared.parser_microseconds > 0.0 && compared.event_microseconds > 0.0 && compared.ratio > 0.0);
    }
}
