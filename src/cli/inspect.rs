//! `connex inspect`: how a message file would be read, by the code that reads accepted mail.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::route::{JournalFormat, RouteKind, reader};
use super::{CliError, JsonArgs, Output};
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::copy::{CopyRecipient, Direction, RecipientType, RouteAddresses};
use crate::mail::message::{Defect, Limits, Message};
use crate::mail::reading::{self, CopyKind, Format, Handed, Opened, Reader, Reading, UntrustedReason};
use crate::mail::selection::AuthorRule;

/// Arguments of `connex inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The message; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What it is handed over to.
    #[arg(long, value_enum)]
    pub route: InspectedRoute,
    /// The layout that is pinned for a journal route.
    #[arg(long, value_enum, required_if_eq("route", "journal"))]
    pub format: Option<JournalFormat>,
    /// Verified domains of the tenant.
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub owned: Vec<String>,
    /// The domain of route addresses; those of the usual form are known without it.
    #[arg(long, value_name = "DOMAIN")]
    pub intake_domain: Option<String>,
    /// Names of the gateway, by which a message that goes in a circle is known.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub own_hosts: Vec<String>,
    /// MAIL FROM; empty for the null reverse-path. Without it the message's Return-Path, else its author.
    #[arg(long, value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// RCPT TO; again for more.
    #[arg(long, value_name = "ADDRESS")]
    pub rcpt: Vec<String>,
    /// Whose copies a bcc route takes: address:ADDRESS, domain:DOMAIN; again for more.
    #[arg(long, value_name = "AUTHOR")]
    pub author: Vec<AuthorRule>,
    /// The peer is authorised for the route.
    #[arg(long)]
    pub authorised: bool,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What a message can be handed over to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum InspectedRoute {
    /// A journal route.
    Journal,
    /// A route for blind copies.
    Bcc,
    /// A route for forwards.
    Fwd,
    /// A mailbox.
    Mailbox,
}

/// The largest file that is read, in octets: what a journal route takes.
const LARGEST: u64 = 320 * 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub fn run(args: &InspectArgs, out: &mut Output) -> Result<(), CliError> {
    let how = How::of(args)?;
    let bytes = contents(&args.file)?;
    let opened = reading::open(&bytes, how.reader, &how.routes, &Limits::default());
    let reverse_path = how.reverse_path(args.mail_from.as_deref(), opened.outer())?;
    let paths: Vec<&Mailbox> = how.rcpt.iter().collect();
    let handed = Handed {
        own_hosts: &how.own_hosts,
        owned_domains: &how.owned,
        routes: &how.routes,
        has_null_reverse_path: reverse_path == ReversePath::Null,
        reverse_path: &reverse_path,
        forward_paths: &paths,
        told: &[],
        peer_authorised: args.authorised,
        authors: &args.author,
        author_authenticated: false,
    };
    let others: Vec<Opened> = opened.others(&bytes, &Limits::default()).collect();
    let readings: Vec<Reading<'_>> = others.iter().map(|opened| reading::read(opened, &handed)).collect();
    let reading = reading::read(&opened, &handed);
    let others = readings.iter().map(|reading| Shown::of(reading, &how.routes)).collect();
    let shown = Shown { others, ..Shown::of(&reading, &how.routes) };
    let text = serde_json::to_string_pretty(&shown).map_err(anyhow::Error::new)?;
    out.answer(&shown, |out| text.lines().try_for_each(|line| out.line(line)))
}

/// The arguments, read.
struct How {
    reader: Reader,
    own_hosts: Vec<Domain>,
    owned: Vec<Domain>,
    rcpt: Vec<Mailbox>,
    routes: RouteAddresses,
}

impl How {
    fn of(args: &InspectArgs) -> Result<Self, CliError> {
        let reader = match args.route {
            InspectedRoute::Mailbox if args.format.is_some() => {
                return Err(CliError::Usage("--format is for journal routes alone".to_owned()));
            }
            InspectedRoute::Mailbox => Reader::Mailbox,
            InspectedRoute::Journal => reader(RouteKind::Journal, args.format)?,
            InspectedRoute::Bcc => reader(RouteKind::Bcc, args.format)?,
            InspectedRoute::Fwd => reader(RouteKind::Fwd, args.format)?,
        };
        let domain = |text: &String| {
            Domain::parse(text.trim()).map_err(|error| CliError::Usage(format!("the domain `{text}`: {error}")))
        };
        let domains = |list: &[String]| {
            list.iter().filter(|text| !text.trim().is_empty()).map(domain).collect::<Result<Vec<_>, _>>()
        };
        let (own_hosts, owned) = (domains(&args.own_hosts)?, domains(&args.owned)?);
        let intake = args.intake_domain.as_ref().map(domain).transpose()?;
        let rcpt: Vec<Mailbox> = args.rcpt.iter().map(|text| mailbox("--rcpt", text)).collect::<Result<_, _>>()?;
        let is_route =
            |path: &&Mailbox| reader != Reader::Mailbox && intake.as_ref().is_none_or(|intake| path.domain() == intake);
        let routes = RouteAddresses::new(rcpt.iter().filter(is_route));
        Ok(Self { reader, own_hosts, owned, rcpt, routes })
    }

    fn reverse_path(&self, given: Option<&str>, message: &Message) -> Result<ReversePath, CliError> {
        let told = match given {
            Some("" | "<>") => return Ok(ReversePath::Null),
            Some(given) => return Ok(ReversePath::Mailbox(mailbox("--mail-from", given)?)),
            None => message.trace.return_path.as_deref(),
        };
        let told = told.map(|told| ReversePath::try_from(told.to_owned()));
        let author = message.author.as_ref().and_then(|author| author.mailbox.clone());
        Ok(match (told, author) {
            (Some(Ok(told)), _) => told,
            (_, Some(author)) => ReversePath::Mailbox(author),
            (_, None) => ReversePath::Null,
        })
    }
}

fn mailbox(option: &str, text: &str) -> Result<Mailbox, CliError> {
    Mailbox::parse(text).map_err(|error| CliError::Usage(format!("{option} `{text}`: {error}")))
}

fn contents(file: &PathBuf) -> Result<Vec<u8>, CliError> {
    let failed = |error: std::io::Error| {
        CliError::Unreachable(anyhow::Error::new(error).context(format!("reading {}", file.display())))
    };
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes)
    };
    if u64::try_from(read.map_err(failed)?).is_ok_and(|read| read <= LARGEST) {
        Ok(bytes)
    } else {
        Err(CliError::failed(format!("{} has over 320 MiB, more than any route takes", file.display())))
    }
}

/// The answer; its field names are those of the written contract.
#[derive(Serialize)]
struct Shown<'a> {
    kind: CopyKind,
    format: Option<Format>,
    mail_from: Option<String>,
    mail_from_decoded: Option<String>,
    recipients: Vec<ShownRecipient<'a>>,
    message_id: Option<&'a str>,
    subject: &'a str,
    direction: Direction,
    on_behalf_of: Option<&'a str>,
    label: Option<&'a str>,
    forwarder: Option<&'a str>,
    original_sha256: Option<&'a str>,
    original_range: Option<[usize; 2]>,
    decrypted_sha256: Option<&'a str>,
    trusted: bool,
    untrusted_reasons: &'a [UntrustedReason],
    operations_allowed: bool,
    defects: &'a [Defect],
    /// The other messages that were forwarded together with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Self>,
}

#[derive(Serialize)]
struct ShownRecipient<'a> {
    address: &'a str,
    #[serde(rename = "type")]
    recipient_type: RecipientType,
    expanded_from: Option<&'a str>,
    forwarded_from: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(reading: &'a Reading<'a>, routes: &RouteAddresses) -> Self {
        let hide = |text: &str| routes.redact(text).into_owned();
        Self {
            kind: reading.kind,
            format: reading.format,
            mail_from: reading.mail_from.as_deref().map(hide),
            mail_from_decoded: reading.mail_from_decoded.as_ref().map(|mailbox| hide(&mailbox.to_string())),
            recipients: reading.recipients.iter().map(ShownRecipient::of).collect(),
            message_id: reading.message.message_id.as_deref(),
            subject: &reading.message.subject,
            direction: reading.direction,
            on_behalf_of: reading.on_behalf_of,
            label: reading.label,
            forwarder: reading.forwarder,
            original_sha256: reading.original.map(|original| original.sha256.as_str()),
            original_range: reading
                .original
                .and_then(|original| original.range())
                .map(|range| [range.start, range.end]),
            decrypted_sha256: reading.decrypted.map(|original| original.sha256.as_str()),
            trusted: reading.is_trusted(),
            untrusted_reasons: &reading.untrusted,
            operations_allowed: reading.allows_operations(),
            defects: &reading.defects,
            others: Vec::new(),
        }
    }
}

impl<'a> ShownRecipient<'a> {
    fn of(recipient: &'a CopyRecipient) -> Self {
        Self {
            address: &recipient.address,
            recipient_type: recipient.recipient_type,
            expanded_from: recipient.expanded_from.as_deref(),
            forwarded_from: recipient.forwarded_from.as_deref(),
        }
    }
}
