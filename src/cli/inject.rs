//! `connex inject`: a message from standard input, for programs that know `sendmail`.
//!
//! It hands the message over by LMTP at the socket file of the running gateway that only its own user and root can use: with
//! the log, one process alone may write into the spool, and so the message ends in the same accept as any other. Nothing is
//! queued here: while the gateway is down it says `EX_TEMPFAIL`, and who pipes mail in keeps it.
//!
//! It must never exit with 0 when any recipient did not get the message.

mod message;

use clap::Args;

use super::exit::Exit;
use super::lmtp_client::{LmtpClient, LmtpError};
use super::{CliError, DataArgs, JsonArgs};
use crate::app::LocalDoors;
use crate::config::Config;
use crate::mail::address::{Mailbox, ReversePath};
use crate::outbound::reply::Reply;
use message::Piped;

/// Arguments of `connex inject`.
#[derive(Debug, Args)]
pub struct InjectArgs {
    /// Envelope sender (reverse-path); `<>` or an empty text for none [default: the user at server.hostname].
    #[arg(short = 'f', short_alias = 'r', value_name = "ADDRESS", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Full name of the sender; taken for the sake of other programs, and not used.
    #[arg(short = 'F', value_name = "NAME", hide = true, allow_hyphen_values = true)]
    pub full_name: Option<String>,
    /// Take recipients from To, Cc and Bcc too, and leave Bcc out.
    #[arg(short = 't')]
    pub from_header: bool,
    /// A line with a dot alone does not end the message.
    #[arg(short = 'i')]
    pub ignore_dots: bool,
    /// Options of sendmail: `-oi` is `-i`, others are taken and not used.
    #[arg(short = 'o', value_name = "OPTION", hide = true)]
    pub options: Vec<String>,
    /// What sendmail is to do: `-bm`, take a message, is all there is.
    #[arg(short = 'b', value_name = "MODE", hide = true)]
    pub mode: Option<String>,
    /// Recipients.
    #[arg(value_name = "ADDRESS")]
    pub recipients: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to tell of an error.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Sent at once; what the gateway itself gathers before it writes.
const CHUNK: usize = 256 * 1024;

/// Runs the command.
///
/// # Errors
/// Why not every recipient got the message, with the code of `sysexits.h`.
pub async fn run(args: InjectArgs) -> Result<(), CliError> {
    let blocking = tokio::task::spawn_blocking(move || inject(&args));
    blocking.await.map_err(|error| deferred(error.to_string()))?
}

fn inject(args: &InjectArgs) -> Result<(), CliError> {
    if args.mode.as_deref().is_some_and(|mode| mode != "m") {
        return Err(usage("only -bm is known: a message from standard input"));
    }
    // Whatever is wrong with the installation, the mail is not.
    let config = args.data.load().map_err(|error| deferred(error.to_string()))?;
    let reverse_path = reverse_path(args.from.as_deref(), &config)?;
    let ignore_dots = args.ignore_dots || args.options.iter().any(|option| option == "i");
    let unreadable = |error: std::io::Error| CliError::Mail {
        exit: Exit::MailUnreadable,
        reason: format!("the message cannot be read: {error}"),
    };
    let mut piped = Piped::read(std::io::stdin().lock(), ignore_dots, args.from_header).map_err(unreadable)?;
    let mut recipients: Vec<String> = args.recipients.iter().flat_map(|list| list.split(',')).map(bare).collect();
    recipients.append(&mut piped.recipients);
    recipients.retain(|address| !address.is_empty());
    recipients.dedup();
    if recipients.is_empty() {
        return Err(usage("no recipient: name them, or use -t"));
    }
    if let Some(bad) = recipients.iter().find(|address| !is_forward_path(address)) {
        return Err(usage(&format!("{bad:?} is no address")));
    }
    let socket = LocalDoors::of(&config.server.data_dir).inject;
    let mut client = LmtpClient::connect(&socket).map_err(|error| deferred(error.to_string()))?;
    let mut outcome = Outcome::default();
    // What may not share a transaction comes in the next one (452 4.5.3); each takes at least one, or is the last.
    while !recipients.is_empty() {
        let before = recipients.len();
        recipients = transaction(&mut client, &reverse_path, &recipients, &mut piped, &mut outcome)?;
        if recipients.len() == before {
            outcome.deferred = Some("recipients cannot be separated".to_owned());
            break;
        }
    }
    outcome.end()
}

/// Hands the message over to those recipients that are taken together; the others.
fn transaction(
    client: &mut LmtpClient,
    reverse_path: &ReversePath,
    recipients: &[String],
    piped: &mut Piped,
    outcome: &mut Outcome,
) -> Result<Vec<String>, CliError> {
    let broken = |error: LmtpError| deferred(error.to_string());
    let replies = match client.open(reverse_path, recipients).map_err(broken)? {
        Ok(replies) => replies,
        Err(refusal) => {
            outcome.note(&refusal, "MAIL");
            return Ok(Vec::new());
        }
    };
    let mut taken = Vec::new();
    let mut later = Vec::new();
    for (address, reply) in recipients.iter().zip(replies) {
        match reply.code() {
            452 if reply.text().starts_with("4.5.3") => later.push(address.clone()),
            _ if reply.is_success() => taken.push(address),
            _ => outcome.note(&reply, address),
        }
    }
    if taken.is_empty() {
        client.reset().map_err(broken)?;
        return Ok(later);
    }
    let unreadable = |error: std::io::Error| CliError::Mail {
        exit: Exit::MailUnreadable,
        reason: format!("the message cannot be read again: {error}"),
    };
    piped.rewind().map_err(unreadable)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        piped.next(&mut chunk, CHUNK).map_err(unreadable)?;
        if chunk.len() < CHUNK {
            break;
        }
        let reply = client.chunk(&chunk).map_err(broken)?;
        if !reply.is_success() {
            outcome.note(&reply, "the message");
            return Ok(later);
        }
    }
    for (reply, address) in client.last_chunk(&chunk, taken.len()).map_err(broken)?.iter().zip(taken) {
        if !reply.is_success() {
            outcome.note(reply, address);
        }
    }
    Ok(later)
}

/// What was said against it.
#[derive(Debug, Default)]
struct Outcome {
    deferred: Option<String>,
    unknown: Option<String>,
    refused: Option<String>,
}

impl Outcome {
    fn note(&mut self, reply: &Reply, what: &str) {
        let kind = match reply.code() {
            400..=499 => &mut self.deferred,
            _ if reply.text().starts_with("5.1.") => &mut self.unknown,
            _ => &mut self.refused,
        };
        kind.get_or_insert_with(|| format!("{what}: {reply}"));
    }

    /// Later is said before never: who tries again loses nothing, as copies are folded.
    fn end(self) -> Result<(), CliError> {
        let found =
            [(Exit::MailDeferred, self.deferred), (Exit::NoUser, self.unknown), (Exit::MailRefused, self.refused)];
        match found.into_iter().find_map(|(exit, reason)| Some((exit, reason?))) {
            Some((exit, reason)) => Err(CliError::Mail { exit, reason }),
            None => Ok(()),
        }
    }
}

fn usage(reason: &str) -> CliError {
    CliError::Mail { exit: Exit::MailUsage, reason: reason.to_owned() }
}

fn deferred(reason: String) -> CliError {
    CliError::Mail { exit: Exit::MailDeferred, reason }
}

/// An address without the angle brackets around it.
fn bare(address: &str) -> String {
    let address = address.trim();
    address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(address).to_owned()
}

fn is_forward_path(address: &str) -> bool {
    address.eq_ignore_ascii_case("postmaster") || Mailbox::parse(address).is_ok()
}

fn reverse_path(given: Option<&str>, config: &Config) -> Result<ReversePath, CliError> {
    let address = match given {
        Some(given) => bare(given),
        None => {
            let user = ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
            format!("{}@{}", user.unwrap_or_else(|| "postmaster".to_owned()), config.server.hostname)
        }
    };
    match address.as_str() {
        "" => Ok(ReversePath::Null),
        // As mail servers name the null reverse-path to programs that they pipe mail into.
        "MAILER-DAEMON" => Ok(ReversePath::Null),
        address => match Mailbox::parse(address) {
            Ok(mailbox) => Ok(ReversePath::Mailbox(mailbox)),
            Err(error) => Err(usage(&format!("-f {address:?}: {error}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_is_said_before_never_and_never_before_done() {
        let said = |outcome: Outcome| outcome.end().err().map(|error| error.exit() as u8);
        let some = || Some("why".to_owned());
        assert_eq!(said(Outcome::default()), None);
        assert_eq!(said(Outcome { refused: some(), ..Outcome::default() }), Some(69));
        assert_eq!(said(Outcome { refused: some(), unknown: some(), ..Outcome::default() }), Some(67));
        assert_eq!(said(Outcome { refused: some(), deferred: some(), unknown: some() }), Some(75));
    }

    #[test]
    fn a_sender_is_an_address_or_nobody() {
        let config = crate::config::Loader::new().load().unwrap();
        let of = |text: &str| {
            reverse_path(Some(text), &config).map(|path| path.to_string()).map_err(|error| error.exit() as u8)
        };
        assert_eq!(of("<ann@lake.example>"), Ok("ann@lake.example".to_owned()));
        for nobody in ["<>", "", "MAILER-DAEMON"] {
            assert_eq!(of(nobody), Ok(String::new()));
        }
        assert_eq!(of("ann"), Err(64));
        assert!(reverse_path(None, &config).unwrap().to_string().ends_with("@localhost"));
    }
}
