//! `connex bench idle`: the memory that a session costs which says EHLO and then nothing.

use std::time::Duration;

use futures_util::StreamExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::IdleArgs;
use super::figures::{number, rounded};
use crate::cli::smtp_client::{Commands, Security, ServerName, Settings, SmtpClient, Timeouts, TrustedRoots};
use crate::cli::{CliError, Output};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Idle {
    server: String,
    sessions: u32,
    encrypted: bool,
    /// Proportional set size of the server's process, in bytes, without the sessions and with them.
    bytes_before: u64,
    bytes_with_sessions: u64,
    kib_per_session: f64,
    notes: [&'static str; 2],
}

const NOTES: [&str; 2] = [
    "Proportional set size of the server's process; what the kernel keeps for a connection is not in it.",
    "A few sessions came and went before the first figure, so that code and tables are not counted as theirs.",
];

pub(super) async fn run(args: IdleArgs, out: &mut Output) -> Result<(), CliError> {
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it cannot be raised, connecting fails and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let server: ServerName = args.server.parse().map_err(|error| CliError::Usage(format!("--server: {error}")))?;
    let security = match &args.ca_file {
        Some(file) => Security::Required(TrustedRoots::only(file)?),
        None => Security::Plain,
    };
    let settings = Settings { security, timeouts: Timeouts::default(), commands: Commands::OneByOne };
    drop(open(&server, &settings, WARM_UP.min(args.sessions)).await?);
    let bytes_before = settled(args.process).await?;
    let sessions = open(&server, &settings, args.sessions).await?;
    let bytes_with_sessions = settled(args.process).await?;
    let encrypted = sessions.iter().all(SmtpClient::is_encrypted);
    // Less than before only where something else was given back meanwhile; that must show.
    let grown = number(bytes_with_sessions) - number(bytes_before);
    let answer = Idle {
        server: server.to_string(),
        sessions: args.sessions,
        encrypted,
        bytes_before,
        bytes_with_sessions,
        kib_per_session: rounded(grown / 1_024.0 / f64::from(args.sessions), 2),
        notes: NOTES,
    };
    out.answer(&answer, |out| {
        let tls = if encrypted { "under TLS" } else { "in the clear" };
        out.line(&format!("{} idle sessions {tls}: {} KiB each", answer.sessions, answer.kib_per_session))?;
        answer.notes.iter().try_for_each(|note| out.line(&format!("* {note}")))
    })
}

/// Opens so many sessions, which have said EHLO; a few at a time, so that no backlog overflows.
async fn open(server: &ServerName, settings: &Settings, sessions: u32) -> Result<Vec<SmtpClient>, CliError> {
    let opening = (0..sessions).map(|_| SmtpClient::connect(server, settings));
    let opened: Vec<_> = futures_util::stream::iter(opening).buffer_unordered(AT_ONCE).collect().await;
    opened.into_iter().collect::<Result<_, _>>().map_err(CliError::from)
}

/// The figure once it has not changed for a while: allocators give memory back some seconds after it is free.
async fn settled(process: u32) -> Result<u64, CliError> {
    let mut last = proportional_set_size(process)?;
    let mut steady = 0;
    for _ in 0..MOST_LOOKS {
        tokio::time::sleep(LOOK).await;
        let now = proportional_set_size(process)?;
        if now.abs_diff(last) > last / 1_000 {
            (last, steady) = (now, 0);
            continue;
        }
        steady += 1;
        if steady == STEADY_LOOKS {
            return Ok(now);
        }
    }
    Ok(last)
}

/// proc(5): `Pss:   1234 kB`.
fn proportional_set_size(process: u32) -> Result<u64, CliError> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| CliError::failed(format!("{path} cannot be read: {error}; is it a process of yours?")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1_024).ok_or_else(|| CliError::failed(format!("{path} names no Pss")))
}

const WARM_UP: u32 = 100;
const AT_ONCE: usize = 20;
const LOOK: Duration = Duration::from_millis(500);
const STEADY_LOOKS: usize = 24;
const MOST_LOOKS: usize = 240;
