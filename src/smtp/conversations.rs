//! Runs the conversations of `tests/smtp/*.txt` against the machine, whole and cut into single octets.
//!
//! Lines: `C:` the client sends (CRLF is added unless the line ends in `\c`; escapes `\r \n \t \0 \\ \xHH`, and `{300}`
//! behind `\*` repeats the text before it on the line), `S:` the server replies (`*` at the end stands for anything),
//! `M:` a message became durable (envelope), `U:` a draft (its recipients), `B:` a line of its bytes, `D:` a defect of it, `!` something happens to the
//! session: `lmtp`, `submission`, `tls`, `clear`, `secured`, `shutdown`, `timeout`, `spool fails`, `spool full`, `body fails`, `limit NAME N`.
//! `X:` the server closes. `#` is a comment. All `C:` lines up to the next other line are one packet.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::clock::{Clock, Timestamp};
use crate::ids::{KeyId, MailboxId, MessageId, RouteId, TenantId};
use crate::intake::{AuthenticationAnswer, ForwardName, RecipientAnswer};
use crate::mail::address::Domain;
use crate::mail::envelope::{Envelope, Recipient};
use crate::mail::reading::Reader;
use crate::smtp::limits::Limits;
use crate::smtp::reply::Accepted;
use crate::smtp::state::{Channel, Dialect, Effect, Input, Machine, Settings};
use crate::spool::Admission;

/// Whom the conversations know at `in.test`.
pub(super) fn directory(name: ForwardName<'_>) -> RecipientAnswer {
    let tenant = TenantId::from_bits(1);
    let mailbox = |tenant, id| RecipientAnswer::known(Recipient::Mailbox { tenant, mailbox: MailboxId::from_bits(id) });
    let route = |id| Recipient::Route {
        tenant,
        route: RouteId::from_bits(id),
        reader: Reader::Bcc,
        peer_authorised: true,
        shared_range: false,
    };
    let ForwardName::Mailbox(address) = name else {
        return mailbox(tenant, 1);
    };
    if address.domain().as_str() != "in.test" {
        return RecipientAnswer::Foreign;
    }
    match address.local() {
        "known" => mailbox(tenant, 2),
        "second" => mailbox(tenant, 3),
        "grüße" => mailbox(tenant, 4),
        "two words" => mailbox(tenant, 5),
        "stranger" => mailbox(TenantId::from_bits(2), 6),
        "copy" => RecipientAnswer::known(route(1)),
        "paused" => RecipientAnswer::Paused,
        "closed" => RecipientAnswer::Closed,
        "roomy" => RecipientAnswer::Known { recipient: route(2), size: Some(2_000) },
        "narrow" => RecipientAnswer::Known { recipient: route(3), size: Some(100) },
        "retired" => RecipientAnswer::Retired,
        "denied" => RecipientAnswer::NotAuthorised,
        "small" => RecipientAnswer::TooLarge,
        "busy" => RecipientAnswer::Overloaded,
        "down" => RecipientAnswer::Unavailable,
        _ => RecipientAnswer::Unknown,
    }
}

/// What the world around the machine is like, and what came of it.
pub(super) struct Stage {
    pub(super) machine: Machine,
    admission: Admission,
    storing: Storing,
    kept: Vec<u8>,
    /// The beginning of a copy, where it is remembered.
    head: Vec<u8>,
    clock: Clock,
    /// Lines as a script has them: `S: …`, `M: …`, `B: …`, `D: …`, `X:`.
    pub(super) told: VecDeque<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Storing {
    Works,
    CommitFails,
    BodyFails,
}

impl Stage {
    pub(super) fn new(limits: Limits, channel: Channel) -> Self {
        Self::speaking(Dialect::Smtp, limits, channel)
    }

    pub(super) fn speaking(dialect: Dialect, limits: Limits, channel: Channel) -> Self {
        let settings = Arc::new(Settings::new(&Domain::parse("mx.test").unwrap(), limits).speaking(dialect));
        let machine = Machine::new(settings, channel);
        let mut stage = Self {
            admission: Admission::Open,
            storing: Storing::Works,
            kept: Vec::new(),
            head: Vec::new(),
            clock: Clock::fixed(Timestamp::from_micros(0)),
            told: VecDeque::new(),
            machine,
        };
        let mut greeting = Vec::new();
        stage.machine.greeting().write(&mut greeting);
        stage.told.extend(lines("S", &greeting));
        stage
    }

    /// Gives bytes to the machine until it wants more; the result of every effect is told.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut idle_steps = 0;
        loop {
            let (used, is_idle) = self.act(Input::Bytes(rest));
            rest = &rest[used..];
            if is_idle {
                assert!(rest.is_empty(), "bytes are left and nothing happens");
                return;
            }
            idle_steps = if used == 0 { idle_steps + 1 } else { 0 };
            assert!(idle_steps < 8, "the machine does not come to an end");
            if self.told.back().is_some_and(|line| line == "X:") {
                return;
            }
        }
    }

    /// One step and those that the answers to its effects lead to: octets used, and whether nothing was done.
    pub(super) fn act(&mut self, input: Input<'_>) -> (usize, bool) {
        let step = self.machine.on(input);
        let (consumed, is_idle) = (step.consumed, step.is_idle());
        if let Some(reply) = step.reply {
            let mut out = Vec::new();
            reply.write(&mut out);
            self.told.extend(lines("S", &out));
        }
        let answer = match step.effect {
            Effect::None => return (consumed, is_idle),
            Effect::Authenticate(credentials) => Input::Authenticated(match credentials.password.as_str() {
                "right" => AuthenticationAnswer::Known(KeyId::from_bits(7)),
                "often" => AuthenticationAnswer::TooOften,
                "down" => AuthenticationAnswer::Unavailable,
                _ => AuthenticationAnswer::Refused,
            }),
            Effect::Secure => {
                assert!(self.kept.is_empty(), "bytes of a message are kept across the handshake");
                self.told.push_back("T:".to_owned());
                return (consumed, is_idle);
            }
            Effect::Close => {
                if self.told.back().is_none_or(|line| line != "X:") {
                    self.told.push_back("X:".to_owned());
                }
                return (consumed, is_idle);
            }
            Effect::Discard => {
                self.kept.clear();
                return (consumed, is_idle);
            }
            Effect::Head(run) => {
                self.kept.clear();
                self.head.extend_from_slice(run);
                return (consumed, is_idle);
            }
            Effect::Lose(commission) => {
                assert!(self.kept.is_empty(), "what is lost is kept");
                let envelope = commission.envelope;
                let to: Vec<_> = envelope.forward_paths.iter().map(|path| path.mailbox.to_string()).collect();
                self.told.push_back(format!("L: <{}> {}", envelope.reverse_path, to.join(" ")));
                self.told.extend(commission.defects.iter().map(|defect| format!("D: {defect:?}")));
                let head = std::mem::take(&mut self.head);
                self.told.push_back(format!("H: {}", head.len()));
                return (consumed, is_idle);
            }
            Effect::Body(_) if self.storing == Storing::BodyFails => Input::BodyFailed,
            Effect::Body(run) => {
                self.kept.extend_from_slice(run);
                if self.machine.remembers_head() {
                    self.head.extend_from_slice(run);
                }
                return (consumed, is_idle);
            }
            Effect::Admit => {
                self.head.clear();
                assert!(self.kept.is_empty(), "a transaction begins with the bytes of another");
                Input::Admission(self.admission)
            }
            Effect::Submit(recipients) => {
                let kept = std::mem::take(&mut self.kept);
                let to: Vec<_> = recipients.iter().map(ToString::to_string).collect();
                self.told.push_back(format!("U: {}", to.join(" ")));
                self.told.extend(lines("B", &kept));
                match self.storing {
                    Storing::Works => Input::Stored(Accepted::for_tests(self.clock.mint::<MessageId>())),
                    _ => Input::NotDrafted(crate::smtp::reply::NOT_YOURS),
                }
            }
            Effect::Recipient => Input::Recipient(directory(self.machine.asked().unwrap().name)),
            Effect::Commit(commission) => {
                let kept = std::mem::take(&mut self.kept);
                if self.storing == Storing::Works {
                    let envelope = commission.envelope;
                    let to: Vec<_> = envelope.forward_paths.iter().map(|path| path.mailbox.to_string()).collect();
                    let reports = reports(&envelope);
                    let line = format!("M: <{}> {:?} {}{reports}", envelope.reverse_path, envelope.body, to.join(" "));
                    self.told.push_back(line);
                    self.told.extend(commission.defects.iter().map(|defect| format!("D: {defect:?}")));
                    self.told.extend(lines("B", &kept));
                    Input::Stored(Accepted::for_tests(self.clock.mint::<MessageId>()))
                } else {
                    Input::NotStored
                }
            }
        };
        self.act(answer);
        (consumed, false)
    }

    fn happen(&mut self, what: &str) {
        match what {
            "secured" => {
                assert_eq!(self.told.pop_front().as_deref(), Some("T:"), "no handshake was asked for");
                self.act(Input::Secured);
            }
            "shutdown" => drop(self.act(Input::ShuttingDown)),
            "timeout" => drop(self.act(Input::TimedOut)),
            "spool fails" => self.storing = Storing::CommitFails,
            "body fails" => self.storing = Storing::BodyFails,
            "spool works" => self.storing = Storing::Works,
            "spool full" => self.admission = Admission::Reserve,
            "spool failing" => self.admission = Admission::Failing,
            "spool open" => self.admission = Admission::Open,
            other => panic!("unknown event `{other}`"),
        }
    }
}

/// `bytes` as lines behind a letter, with everything shown that is no plain text.
/// What the envelope says about reports, where it says something.
fn reports(envelope: &Envelope) -> String {
    let mut shown = String::new();
    if let Some(returned) = envelope.returned {
        shown.push_str(&format!(" RET={returned:?}"));
    }
    if let Some(id) = &envelope.envelope_id {
        shown.push_str(&format!(" ENVID={id}"));
    }
    for path in &envelope.forward_paths {
        let Some(notify) = path.notify else { continue };
        let words = [(notify.success, "success"), (notify.failure, "failure"), (notify.delay, "delay")];
        let when: Vec<&str> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
        let when = if when.is_empty() { "never".to_owned() } else { when.join(",") };
        let original = path.original_recipient.as_deref().map(|original| format!(":{original}")).unwrap_or_default();
        shown.push_str(&format!(" {}:{when}{original}", path.mailbox));
    }
    shown
}

fn lines(letter: &str, bytes: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = match line.strip_suffix(b"\r\n") {
            Some(text) => (text, ""),
            None => (line, "\\c"),
        };
        let text: String = match std::str::from_utf8(text) {
            Ok(text) => text.chars().map(show).collect(),
            Err(_) => text.iter().map(|byte| show_byte(*byte)).collect(),
        };
        shown.push(format!("{letter}: {text}{end}"));
    }
    shown
}

fn show(letter: char) -> String {
    match letter {
        '\r' => "\\r".to_owned(),
        '\n' => "\\n".to_owned(),
        '\0' => "\\0".to_owned(),
        '\\' => "\\\\".to_owned(),
        other => other.to_string(),
    }
}

fn show_byte(byte: u8) -> String {
    if byte < 0x80 { show(char::from(byte)) } else { format!("\\x{byte:02x}") }
}

/// The octets of a `C:` line.
fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut letters = text.chars();
    let mut ends_line = true;
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.extend_from_slice(letter.to_string().as_bytes());
            continue;
        }
        match letters.next() {
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('0') => out.push(0),
            Some('\\') => out.push(b'\\'),
            Some('x') => {
                let hex: String = letters.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            Some('*') => {
                let count: String = letters.by_ref().skip(1).take_while(|letter| *letter != '}').collect();
                out = out.repeat(count.parse().unwrap());
            }
            Some('c') => ends_line = false,
            other => panic!("unknown escape {other:?} in `{text}`"),
        }
    }
    if ends_line {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// How a script's packets reach the machine.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Octets,
}

fn check(script: &str, cut: Cut) -> Result<(), String> {
    let mut limits = Limits { message: 1_000, ..Limits::default() };
    let (mut channel, mut dialect) = (Channel::Upgradable, Dialect::Smtp);
    let mut stage: Option<Stage> = None;
    let mut packet = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let fail = |what: String| Err(format!("line {}: {what}", number + 1));
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(setting) = line.strip_prefix("! limit ") {
            let (name, value) = setting.split_once(' ').unwrap();
            let value: u32 = value.parse().unwrap();
            match name {
                "recipients" => limits.recipients = value as usize,
                "messages" => limits.messages = value,
                "errors" => limits.errors = value,
                "message" => limits.message = u64::from(value),
                "copy" => limits.copy = u64::from(value),
                other => return fail(format!("unknown limit `{other}`")),
            }
            continue;
        }
        match line {
            "! tls" => channel = Channel::Encrypted,
            "! clear" => channel = Channel::Clear,
            "! lmtp" => dialect = Dialect::Lmtp,
            "! submission" => dialect = Dialect::Submission,
            _ => {
                let stage = stage.get_or_insert_with(|| Stage::speaking(dialect, limits.clone(), channel));
                if let Some(text) = line.strip_prefix("C: ") {
                    packet.extend(octets(text));
                    continue;
                }
                match cut {
                    Cut::Whole => stage.feed(&packet),
                    Cut::Octets => packet.iter().for_each(|byte| stage.feed(&[*byte])),
                }
                packet.clear();
                if let Some(event) = line.strip_prefix("! ") {
                    stage.happen(event);
                    continue;
                }
                let told = stage.told.pop_front().unwrap_or_else(|| "nothing".to_owned());
                let fits = match line.strip_suffix('*') {
                    Some(beginning) => told.starts_with(beginning),
                    None => told == line,
                };
                if !fits {
                    return fail(format!("expected `{line}`, was told `{told}`, then {:?}", stage.told));
                }
            }
        }
    }
    match stage {
        Some(stage) if packet.is_empty() && stage.told.is_empty() => Ok(()),
        Some(stage) => Err(format!("at the end: told {:?}, not sent: {packet:?}", stage.told)),
        None => Err("the script is empty".to_owned()),
    }
}

#[test]
fn every_conversation_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp");
    let mut count = 0;
    let mut faults = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|name| name.to_str()), Some("txt"), "{path:?} is not run by anything");
        let script = fs::read_to_string(&path).unwrap();
        count += 1;
        for cut in [Cut::Whole, Cut::Octets] {
            if let Err(fault) = check(&script, cut) {
                faults.push(format!("{} ({cut:?}), {fault}", path.file_name().unwrap().display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count >= 25, "only {count} conversations");
}

#[test]
fn a_conversation_that_goes_otherwise_is_noticed() {
    for script in [
        "S: 220 mx.test ESMTP\nC: QUIT\nS: 250 2.0.0 Goodbye\nX:",
        "S: 220 mx.test ESMTP\nC: QUIT\nS: 221 2.0.0 Goodbye",
        "S: 220 mx.test ESMTP\nC: NOOP",
    ] {
        assert!(check(script, Cut::Whole).is_err(), "{script}");
    }
}
