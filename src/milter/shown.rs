//! One message as a mail server shows it, piece by piece: its bytes as near to the original as the protocol allows, and its
//! true envelope. Without IO.
//!
//! A field comes as name and value, with LF between folded lines; it is put together with CRLF. Blanks before a colon are
//! not told, nor is the Received field that the mail server is about to add.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::mail::envelope::MilterEnvelope;
use crate::milter::packet::{Agreed, Command, macros};

/// Octets of a name or macro that are kept.
const NAME: usize = 1_024;
/// Octets of all addresses of an envelope.
const ENVELOPE: usize = 1 << 20;
const CRLF: &[u8] = b"\r\n";

/// Why a message that was shown is not kept, although its mail went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// The spool does not take it.
    #[error("the spool takes no mail")]
    Spool,
    /// It could not be kept in the time that it may take.
    #[error("it was not on stable storage in time")]
    Late,
    /// It is over the cap, or its envelope is.
    #[error("it is larger than milter.message_size, or its envelope than 1 MiB")]
    TooLarge,
    /// `milter.route` is unknown or paused, cannot be looked up, or does not name `door:milter`.
    #[error(
        "milter.route names no route that takes mail from this door: it must name door:milter, or the mail server's network"
    )]
    Route,
    /// The mail server said what is not of the protocol.
    #[error("the mail server does not keep to the protocol")]
    Malformed,
    /// There are too many connections.
    #[error("there are more connections than milter.connections")]
    Connections,
    /// A fault of this program.
    #[error("the session panicked")]
    Panic,
}

impl Missed {
    /// Its word in metrics and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Late => "late",
            Self::TooLarge => "too_large",
            Self::Route => "route",
            Self::Malformed => "malformed",
            Self::Connections => "connections",
            Self::Panic => "panic",
        }
    }
}

/// What to do about a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// Nothing.
    Nothing,
    /// A message begins; what there was of another is given up.
    Begin,
    /// These are its next bytes.
    Bytes(Cow<'a, [u8]>),
    /// It is over, and to be kept under this envelope.
    Keep(Box<MilterEnvelope>),
    /// It is over, and was missed.
    Miss(Missed),
    /// It was given up by the mail server: nobody gets it.
    Forget,
    /// The connection is over.
    Close,
}

/// What is known of a connection, and of the message that is being shown.
#[derive(Debug)]
pub struct Shown {
    agreed: Agreed,
    limit: u64,
    client_name: Option<String>,
    client_address: Option<IpAddr>,
    helo: Option<String>,
    authenticated: Option<String>,
    queue_id: Option<String>,
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    reverse_path: String,
    forward_paths: Vec<String>,
    envelope_octets: usize,
    octets: u64,
    in_header: bool,
    missed: Option<Missed>,
}

impl Shown {
    /// Nothing is known yet; a message may have `limit` octets.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            agreed: Agreed::default(),
            limit,
            client_name: None,
            client_address: None,
            helo: None,
            authenticated: None,
            queue_id: None,
            message: None,
        }
    }

    /// What was agreed on.
    #[must_use]
    pub const fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Whether a message is being shown.
    #[must_use]
    pub const fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// The mail server's name of the message.
    #[must_use]
    pub fn queue_id(&self) -> Option<&str> {
        self.queue_id.as_deref()
    }

    /// The message will not be kept, whatever comes of it now.
    pub fn miss(&mut self, missed: Missed) {
        if let Some(message) = &mut self.message {
            message.missed.get_or_insert(missed);
        }
    }

    /// Takes a command.
    pub fn hear<'a>(&mut self, command: Command<'a>) -> Effect<'a> {
        match command {
            Command::Negotiate { version, protocol } => self.agreed = Agreed::with(version, protocol),
            Command::Macros(packet) => self.note(packet),
            Command::Connect { name, address } => {
                self.client_name = name_of(name);
                self.client_address = address;
            }
            Command::Helo(name) => self.helo = name_of(name),
            Command::Mail(path) => {
                self.message = Some(Message::from(path));
                return Effect::Begin;
            }
            Command::Rcpt(path) => {
                if let Some(message) = &mut self.message {
                    message.add(path);
                }
            }
            Command::Header { name, value } => {
                let field = field(name, value, self.agreed.has_leading_space());
                return self.bytes(field.into());
            }
            Command::EndOfHeader => return self.end_of_header(CRLF.into()),
            Command::Body(bytes) => return self.body(bytes),
            Command::EndOfMessage(_) => return self.end(),
            Command::Abort => {
                self.forget();
                return Effect::Forget;
            }
            Command::QuitSession => {
                *self = Self { agreed: self.agreed, ..Self::new(self.limit) };
                return Effect::Forget;
            }
            Command::Quit => return Effect::Close,
            Command::Data | Command::Unknown => {}
        }
        Effect::Nothing
    }

    /// The bytes that come with the end of a message, to be taken before it.
    pub fn last<'a>(&mut self, command: &Command<'a>) -> Effect<'a> {
        match command {
            Command::EndOfMessage(bytes) if self.message.is_some() => self.body(bytes),
            _ => Effect::Nothing,
        }
    }

    fn note(&mut self, packet: &[u8]) {
        for (name, value) in macros(packet) {
            match name {
                b"i" | b"{i}" => self.queue_id = name_of(value),
                b"{auth_authen}" => self.authenticated = name_of(value),
                b"{client_addr}" if self.client_address.is_none() => {
                    // Sendmail writes an IPv6 address as in an address literal.
                    let text = value.strip_prefix(b"IPv6:").unwrap_or(value);
                    self.client_address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                }
                b"{client_name}" if self.client_name.is_none() => self.client_name = name_of(value),
                _ => {}
            }
        }
    }

    /// A body may come without an end of the header before it.
    fn body<'a>(&mut self, bytes: &'a [u8]) -> Effect<'a> {
        if self.message.as_ref().is_some_and(|message| message.in_header) {
            return self.end_of_header([CRLF, bytes].concat().into());
        }
        self.bytes(bytes.into())
    }

    fn end_of_header<'a>(&mut self, bytes: Cow<'a, [u8]>) -> Effect<'a> {
        if let Some(message) = &mut self.message {
            message.in_header = false;
        }
        self.bytes(bytes)
    }

    fn bytes<'a>(&mut self, bytes: Cow<'a, [u8]>) -> Effect<'a> {
        let Some(message) = self.message.as_mut().filter(|message| message.missed.is_none()) else {
            return Effect::Nothing;
        };
        message.octets = message.octets.saturating_add(bytes.len() as u64);
        if message.octets > self.limit {
            message.missed = Some(Missed::TooLarge);
            return Effect::Nothing;
        }
        if bytes.is_empty() { Effect::Nothing } else { Effect::Bytes(bytes) }
    }

    fn end(&mut self) -> Effect<'static> {
        let Some(message) = self.message.take() else { return Effect::Nothing };
        match message.missed {
            Some(missed) => Effect::Miss(missed),
            // Nobody would get it: there is no mail.
            None if message.forward_paths.is_empty() => Effect::Forget,
            None => Effect::Keep(Box::new(MilterEnvelope {
                reverse_path: message.reverse_path,
                forward_paths: message.forward_paths,
                queue_id: self.queue_id.clone(),
                client_address: self.client_address,
                client_name: self.client_name.clone(),
                helo: self.helo.clone(),
                authenticated: self.authenticated.take(),
            })),
        }
    }

    fn forget(&mut self) {
        self.message = None;
        self.queue_id = None;
        self.authenticated = None;
    }
}

impl Message {
    fn from(path: &[u8]) -> Self {
        let mut message = Self {
            reverse_path: String::new(),
            forward_paths: Vec::new(),
            envelope_octets: 0,
            octets: 0,
            in_header: true,
            missed: None,
        };
        if let Some(path) = message.address(path) {
            message.reverse_path = path;
        }
        message
    }

    fn add(&mut self, path: &[u8]) {
        if let Some(path) = self.address(path) {
            self.forward_paths.push(path);
        }
    }

    /// The address between the angle brackets, while there is room.
    fn address(&mut self, path: &[u8]) -> Option<String> {
        // What a list of them costs in memory beside its text counts too.
        self.envelope_octets = self.envelope_octets.saturating_add(path.len()).saturating_add(24);
        if self.envelope_octets > ENVELOPE {
            self.missed.get_or_insert(Missed::TooLarge);
            return None;
        }
        let path = path.strip_prefix(b"<").unwrap_or(path);
        let path = path.strip_suffix(b">").unwrap_or(path);
        Some(String::from_utf8_lossy(path).into_owned())
    }
}

/// A name that is worth keeping.
fn name_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes.get(..NAME).unwrap_or(bytes)).into_owned();
    (!text.is_empty()).then_some(text)
}

/// A field as it stood in the message.
fn field(name: &[u8], value: &[u8], has_leading_space: bool) -> Vec<u8> {
    let mut field = Vec::with_capacity(name.len() + value.len() + 8);
    field.extend_from_slice(name);
    field.push(b':');
    if !has_leading_space {
        field.push(b' ');
    }
    let mut before = 0;
    for &byte in value {
        if byte == b'\n' && before != b'\r' {
            field.push(b'\r');
        }
        field.push(byte);
        before = byte;
    }
    field.extend_from_slice(CRLF);
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: Command<'_> = Command::Negotiate { version: 6, protocol: 0x001f_ffff };

    /// The bytes that are stored, and what becomes of them.
    fn play<'a>(shown: &mut Shown, commands: &[Command<'a>]) -> (Vec<u8>, Vec<Effect<'a>>) {
        let (mut stored, mut effects) = (Vec::new(), Vec::new());
        for command in commands {
            if let Effect::Bytes(bytes) = shown.last(command) {
                stored.extend_from_slice(&bytes);
            }
            match shown.hear(*command) {
                Effect::Begin => stored.clear(),
                Effect::Bytes(bytes) => stored.extend_from_slice(&bytes),
                Effect::Nothing => {}
                other => effects.push(other),
            }
        }
        (stored, effects)
    }

    #[test]
    fn a_message_is_put_together_with_its_envelope() {
        let mut shown = Shown::new(1_000);
        let (stored, effects) = play(
            &mut shown,
            &[
                OFFER,
                Command::Connect { name: b"client.example", address: Some("192.0.2.7".parse().unwrap()) },
                Command::Helo(b"client"),
                Command::Macros(b"M{auth_authen}\0ann\0"),
                Command::Mail(b"<ann@lake.example>"),
                Command::Rcpt(b"<bob@lake.example>"),
                Command::Macros(b"Ri\x004ABC\0"),
                Command::Rcpt(b"<hidden@lake.example>"),
                Command::Header { name: b"Subject", value: b" one\n two" },
                Command::Header { name: b"X", value: b"no blank" },
                Command::EndOfHeader,
                Command::Body(b"Hello\r\n"),
                Command::EndOfMessage(b"more\r\n"),
            ],
        );
        assert_eq!(stored, b"Subject: one\r\n two\r\nX:no blank\r\n\r\nHello\r\nmore\r\n");
        let envelope = MilterEnvelope {
            reverse_path: "ann@lake.example".into(),
            forward_paths: vec!["bob@lake.example".into(), "hidden@lake.example".into()],
            queue_id: Some("4ABC".into()),
            client_address: Some("192.0.2.7".parse().unwrap()),
            client_name: Some("client.example".into()),
            helo: Some("client".into()),
            authenticated: Some("ann".into()),
        };
        assert_eq!(effects, [Effect::Keep(Box::new(envelope))]);
        assert!(!shown.is_in_message());
    }

    #[test]
    fn what_is_aborted_or_has_no_recipient_is_forgotten() {
        let mut shown = Shown::new(1_000);
        let begun = [OFFER, Command::Mail(b"<>"), Command::Rcpt(b"<b@c.example>"), Command::Body(b"x")];
        let (_, effects) = play(&mut shown, &[&begun[..], &[Command::Abort, Command::EndOfMessage(b"")]].concat());
        assert_eq!(effects, [Effect::Forget]);
        let (_, effects) = play(&mut shown, &[Command::Mail(b"<>"), Command::EndOfMessage(b"")]);
        assert_eq!(effects, [Effect::Forget]);
        let (_, effects) = play(&mut shown, &[&begun[..], &[Command::QuitSession]].concat());
        assert_eq!(effects, [Effect::Forget]);
        assert!(!shown.is_in_message());
    }

    #[test]
    fn what_is_too_large_is_missed_and_the_next_message_is_not() {
        let mut shown = Shown::new(10);
        let large =
            [Command::Mail(b"<>"), Command::Rcpt(b"<b@c.example>"), Command::Body(b"12345678"), Command::Body(b"9")];
        let (stored, effects) = play(&mut shown, &[&large[..], &[Command::EndOfMessage(b"")]].concat());
        assert_eq!((stored.len(), effects), (10, vec![Effect::Miss(Missed::TooLarge)]));
        let (stored, effects) = play(&mut shown, &[&large[..3], &[Command::EndOfMessage(b"")]].concat());
        assert!(matches!(effects.as_slice(), [Effect::Keep(_)]));
        assert_eq!(stored, b"\r\n12345678");
        let long = vec![b'x'; ENVELOPE];
        let (_, effects) = play(&mut shown, &[Command::Mail(b"<>"), Command::Rcpt(&long), Command::EndOfMessage(b"")]);
        assert_eq!(effects, [Effect::Miss(Missed::TooLarge)]);
    }

    #[test]
    fn a_blank_is_put_behind_the_colon_where_it_was_taken_away() {
        assert_eq!(field(b"A", b"b\r\n c\n d", false), b"A: b\r\n c\r\n d\r\n");
        assert_eq!(field(b"A", b"", true), b"A:\r\n");
    }

    proptest! {
        #[test]
        fn no_order_of_packets_keeps_more_than_the_limit(packets in prop::collection::vec(
            (prop::sample::select(b"ODCHMRTLNBEAQKU".to_vec()), prop::collection::vec(prop::num::u8::ANY, 0..40)), 0..40,
        )) {
            let mut shown = Shown::new(100);
            let mut octets = 0;
            for (letter, rest) in packets {
                let packet = [&[letter][..], &rest, b"\0\0"].concat();
                let Ok(command) = Command::read(&packet) else { continue };
                if let Effect::Bytes(bytes) = shown.last(&command) {
                    octets += bytes.len();
                }
                match shown.hear(command) {
                    Effect::Begin => octets = 0,
                    Effect::Bytes(bytes) => octets += bytes.len(),
                    Effect::Keep(envelope) => prop_assert!(!envelope.forward_paths.is_empty()),
                    _ => {}
                }
                prop_assert!(octets <= 100);
            }
        }
    }
}
