//! Packets of the milter protocol, without IO: a length, a letter, and what belongs to it.
//!
//! A packet that cannot be read is a fault of its connection and nothing else. Nothing here allocates by a length that
//! the peer announced; fields borrow from the packet.

use std::net::IpAddr;

/// Octets of a packet that are read; a longer one is skipped. Mail servers send at most 64 KiB of a body, and header
/// fields of about 100 KiB.
pub const LONGEST: usize = 1 << 20;

/// The protocol version that is spoken at most.
pub const VERSION: u32 = 6;

/// Steps of the protocol that may go without an answer, by their flag (`SMFIP_NR_*`).
const UNANSWERED: u32 = no_reply::CONNECT
    | no_reply::HELO
    | no_reply::MAIL
    | no_reply::RCPT
    | no_reply::DATA
    | no_reply::UNKNOWN
    | no_reply::HEADER
    | no_reply::END_OF_HEADER
    | no_reply::BODY;
/// `SMFIP_HDR_LEADSPC`: field values come with the blank behind the colon, as it was.
const LEADING_SPACE: u32 = 0x0010_0000;
/// `SMFIP_NOUNKNOWN`: unknown SMTP commands are of no interest.
const WITHOUT_UNKNOWN: u32 = 0x0100;

mod no_reply {
    pub(super) const HEADER: u32 = 0x80;
    pub(super) const CONNECT: u32 = 0x1000;
    pub(super) const HELO: u32 = 0x2000;
    pub(super) const MAIL: u32 = 0x4000;
    pub(super) const RCPT: u32 = 0x8000;
    pub(super) const DATA: u32 = 0x1_0000;
    pub(super) const UNKNOWN: u32 = 0x2_0000;
    pub(super) const END_OF_HEADER: u32 = 0x4_0000;
    pub(super) const BODY: u32 = 0x8_0000;
}

/// A packet that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It has no letter.
    #[error("a packet without a command")]
    Empty,
    /// Nothing of this protocol begins so.
    #[error("0x{0:02x} is no command of the milter protocol")]
    Unknown(u8),
    /// A field is missing, or does not end.
    #[error("the packet `{0}` is cut short")]
    Short(char),
}

/// What a mail server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// Which version and options it offers.
    Negotiate {
        /// Its version.
        version: u32,
        /// Protocol options that it knows.
        protocol: u32,
    },
    /// Values of macros for the command that follows.
    Macros(&'a [u8]),
    /// A client connected to it.
    Connect {
        /// Name of the client.
        name: &'a [u8],
        /// Its address; `None` for a local program.
        address: Option<IpAddr>,
    },
    /// HELO or EHLO.
    Helo(&'a [u8]),
    /// MAIL FROM, with its angle brackets.
    Mail(&'a [u8]),
    /// An accepted RCPT TO, with its angle brackets.
    Rcpt(&'a [u8]),
    /// DATA.
    Data,
    /// One header field.
    Header {
        /// Its name.
        name: &'a [u8],
        /// Its value; folded lines are divided by LF.
        value: &'a [u8],
    },
    /// The header is over.
    EndOfHeader,
    /// A piece of the body.
    Body(&'a [u8]),
    /// The message is over; sometimes with the last piece of its body.
    EndOfMessage(&'a [u8]),
    /// The message is given up.
    Abort,
    /// The connection is over.
    Quit,
    /// The client's session is over, and another follows on this connection.
    QuitSession,
    /// An SMTP command that the mail server does not know.
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a packet: its letter, and what follows it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (&letter, rest) = packet.split_first().ok_or(Malformed::Empty)?;
        let short = Malformed::Short(char::from(letter));
        let first = |rest| split_string(rest).map(|(text, _)| text).ok_or(short);
        Ok(match letter {
            b'O' => {
                let (version, rest) = number(rest).ok_or(short)?;
                let (_actions, rest) = number(rest).ok_or(short)?;
                // Version 1 has no protocol options.
                let protocol = number(rest).map_or(0, |(protocol, _)| protocol);
                Self::Negotiate { version, protocol }
            }
            b'D' => Self::Macros(rest),
            b'C' => {
                let (name, rest) = split_string(rest).ok_or(short)?;
                Self::Connect { name, address: client_address(rest) }
            }
            b'H' => Self::Helo(first(rest)?),
            b'M' => Self::Mail(first(rest)?),
            b'R' => Self::Rcpt(first(rest)?),
            b'T' => Self::Data,
            b'L' => {
                let (name, rest) = split_string(rest).ok_or(short)?;
                let (value, _) = split_string(rest).ok_or(short)?;
                Self::Header { name, value }
            }
            b'N' => Self::EndOfHeader,
            b'B' => Self::Body(rest),
            b'E' => Self::EndOfMessage(rest),
            b'A' => Self::Abort,
            b'Q' => Self::Quit,
            b'K' => Self::QuitSession,
            b'U' => Self::Unknown,
            other => return Err(Malformed::Unknown(other)),
        })
    }
}

/// What was agreed on with a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreed {
    version: u32,
    protocol: u32,
}

impl Agreed {
    /// As much of what it offers as serves: no answers before the end, and fields as they were.
    #[must_use]
    pub const fn with(version: u32, protocol: u32) -> Self {
        let version = if version < VERSION { version } else { VERSION };
        Self { version, protocol: protocol & (UNANSWERED | LEADING_SPACE | WITHOUT_UNKNOWN) }
    }

    /// The packet that says so. It asks for no action: nothing can be changed by this connection.
    #[must_use]
    pub fn packet(self) -> [u8; 17] {
        let mut packet = [0; 17];
        let words =
            [13_u32.to_be_bytes(), self.version.to_be_bytes(), 0_u32.to_be_bytes(), self.protocol.to_be_bytes()];
        let bytes = words.into_iter().flatten();
        let (before, after) = packet.split_at_mut(4);
        let mut bytes = bytes.into_iter();
        before.iter_mut().zip(bytes.by_ref().take(4)).for_each(|(byte, value)| *byte = value);
        if let Some((letter, rest)) = after.split_first_mut() {
            *letter = b'O';
            rest.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = value);
        }
        packet
    }

    /// Whether field values come with their leading blank.
    #[must_use]
    pub const fn has_leading_space(self) -> bool {
        self.protocol & LEADING_SPACE != 0
    }

    /// Whether the mail server waits for an answer to `command`.
    #[must_use]
    pub const fn is_answered(self, command: &Command<'_>) -> bool {
        let flag = match command {
            Command::Connect { .. } => no_reply::CONNECT,
            Command::Helo(_) => no_reply::HELO,
            Command::Mail(_) => no_reply::MAIL,
            Command::Rcpt(_) => no_reply::RCPT,
            Command::Data => no_reply::DATA,
            Command::Header { .. } => no_reply::HEADER,
            Command::EndOfHeader => no_reply::END_OF_HEADER,
            Command::Body(_) => no_reply::BODY,
            Command::Unknown => no_reply::UNKNOWN,
            Command::EndOfMessage(_) => return true,
            Command::Negotiate { .. } | Command::Macros(_) | Command::Abort | Command::Quit | Command::QuitSession => {
                return false;
            }
        };
        self.protocol & flag == 0
    }

    /// The same for a packet that was skipped, by its letter.
    #[must_use]
    pub fn is_letter_answered(self, letter: u8) -> bool {
        let command = match letter {
            b'C' => Command::Connect { name: b"", address: None },
            b'H' => Command::Helo(b""),
            b'M' => Command::Mail(b""),
            b'R' => Command::Rcpt(b""),
            b'T' => Command::Data,
            b'L' => Command::Header { name: b"", value: b"" },
            b'N' => Command::EndOfHeader,
            b'B' => Command::Body(b""),
            b'U' => Command::Unknown,
            b'E' => Command::EndOfMessage(b""),
            _ => return false,
        };
        self.is_answered(&command)
    }
}

/// `SMFIR_CONTINUE`: the mail server goes on as if nobody had asked. The only answer of this door.
pub const CONTINUE: [u8; 5] = [0, 0, 0, 1, b'c'];

/// Names and values of a packet of macros, in order.
pub fn macros(packet: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // The letter of the command that they are for.
    let mut rest = packet.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, behind) = split_string(rest)?;
        let (value, behind) = split_string(behind)?;
        rest = behind;
        Some((name, value))
    })
}

fn client_address(rest: &[u8]) -> Option<IpAddr> {
    let (&family, rest) = rest.split_first()?;
    if family != b'4' && family != b'6' {
        return None;
    }
    let (text, _) = split_string(rest.get(2..)?)?;
    let text = std::str::from_utf8(text).ok()?;
    // Sendmail marks addresses of IPv6.
    let marked = text.split_at_checked(5).filter(|(mark, _)| mark.eq_ignore_ascii_case("ipv6:"));
    let text = marked.map_or(text, |(_, address)| address);
    text.parse().ok()
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: u32 = 0x001f_ffff;

    #[test]
    fn the_steps_of_a_message_are_read() {
        let client = Some("192.0.2.7".parse().unwrap());
        let six = Some("2001:db8::1".parse().unwrap());
        for (packet, expected) in [
            (b"O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff".as_slice(), Command::Negotiate { version: 6, protocol: ALL }),
            (b"Cmx.example\x004\x00\x19192.0.2.7\0", Command::Connect { name: b"mx.example", address: client }),
            (b"Cmx.example\x006\x00\x19IPv6:2001:db8::1\0", Command::Connect { name: b"mx.example", address: six }),
            (b"Clocalhost\0U", Command::Connect { name: b"localhost", address: None }),
            (b"Hclient\0", Command::Helo(b"client")),
            (b"M<a@b.example>\0SIZE=1\0", Command::Mail(b"<a@b.example>")),
            (b"R<c@d.example>\0", Command::Rcpt(b"<c@d.example>")),
            (b"T", Command::Data),
            (b"LSubject\0 x\n y\0", Command::Header { name: b"Subject", value: b" x\n y" }),
            (b"N", Command::EndOfHeader),
            (b"Bx\0y", Command::Body(b"x\0y")),
            (b"E", Command::EndOfMessage(b"")),
            (b"A", Command::Abort),
            (b"Q", Command::Quit),
            (b"K", Command::QuitSession),
        ] {
            assert_eq!(Command::read(packet), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_packet_is_refused_by_name() {
        assert_eq!(Command::read(b""), Err(Malformed::Empty));
        assert_eq!(Command::read(b"GET / HTTP"), Err(Malformed::Unknown(b'G')));
        for packet in [b"M<a@b>".as_slice(), b"Lname\0value", b"O\0\0", b"C", b"Hx"] {
            assert_eq!(Command::read(packet), Err(Malformed::Short(char::from(packet[0]))));
        }
    }

    #[test]
    fn nothing_is_asked_for_but_to_look() {
        let agreed = Agreed::with(6, ALL);
        let packet = agreed.packet();
        assert_eq!(packet[..9], *b"\0\0\0\x0dO\0\0\0\x06");
        assert_eq!(packet[9..13], [0; 4], "no right to change anything");
        assert_eq!(u32::from_be_bytes(packet[13..].try_into().unwrap()) & !ALL, 0);
        assert!(agreed.has_leading_space());
        assert!(agreed.is_answered(&Command::EndOfMessage(b"")));
        for letter in *b"CHMRTLNBUDAQK" {
            assert!(!agreed.is_letter_answered(letter), "{}", char::from(letter));
        }
        // An old mail server waits at each step.
        let old = Agreed::with(2, 0x7f);
        assert_eq!(old.packet()[5..9], 2_u32.to_be_bytes());
        assert_eq!(old.packet()[13..], [0; 4]);
        for letter in *b"CHMRTLNBUE" {
            assert!(old.is_letter_answered(letter), "{}", char::from(letter));
        }
        for letter in *b"ODAQK" {
            assert!(!old.is_letter_answered(letter), "{}", char::from(letter));
        }
    }

    #[test]
    fn macros_are_pairs() {
        let found: Vec<_> = macros(b"Mi\x004ABC\0{auth_authen}\0ann\0cut").collect();
        assert_eq!(found, [(b"i".as_slice(), b"4ABC".as_slice()), (b"{auth_authen}", b"ann")]);
        assert_eq!(macros(b"").count() + macros(b"M").count() + macros(b"Mi\0").count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(Command::Macros(packet)) = Command::read(&bytes) {
                prop_assert!(macros(packet).count() <= packet.len());
            }
        }

        #[test]
        fn a_field_comes_out_as_it_went_in(name in "[!-9;-~]{1,20}", value: Vec<u8>) {
            let value: Vec<u8> = value.into_iter().filter(|byte| *byte != 0).collect();
            let packet = [b"L", name.as_bytes(), b"\0", &value, b"\0"].concat();
            prop_assert_eq!(Command::read(&packet), Ok(Command::Header { name: name.as_bytes(), value: &value }));
        }
    }
}
