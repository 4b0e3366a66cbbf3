//! The end of DATA, and the dots that were put before lines: a receiver over pieces of any size.
//!
//! What is handed on are slices of the input, so the bytes of a message are not copied here. Only CRLF begins a line: a
//! bare CR or LF is seen and told, and never makes a dot special. NUL and 8-bit octets pass as they are; what they mean
//! is for the reader of the message. (smtp-proto's receiver is not used: it ends a message at CRLF.CRCRLF.)
//!
//! Standards: RFC 5321 §4.1.1.4, §4.5.2 (transparency), §2.3.8 (line ends).

use memchr::memchr2;

/// What has been seen of the current line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the first octet of a line, which is also where DATA begins (the CRLF of the command counts).
    LineStart,
    /// Inside a line.
    Inside,
    /// After a CR that has been handed on.
    AfterCr,
    /// After a dot at the start of a line, which has not been handed on.
    Dot,
    /// After such a dot and a CR, neither handed on.
    DotCr,
}

/// Whether a line break other than CRLF has been told of; it is told once, so that a message of bare LFs stays cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Clean,
    Told,
}

/// The receiver of one DATA.
#[derive(Debug)]
pub(super) struct DataReceiver {
    place: Place,
    breaks: Breaks,
}

/// What a piece of input was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Octets of the message; may be empty.
    Run(&'a [u8]),
    /// Octets of the message, and with them the first bare CR or LF.
    BareBreak(&'a [u8]),
    /// CRLF.CRLF: the message is complete. The CRLF before the dot belongs to it.
    End,
}

impl DataReceiver {
    /// A receiver for the octets behind the CRLF of the DATA command.
    pub(super) const fn new() -> Self {
        Self { place: Place::LineStart, breaks: Breaks::Clean }
    }

    /// Takes some of `bytes`: how many, and what they were. It may be none, when a held octet is handed on first; called
    /// again with the rest, it always comes to the end of it.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (usize, Piece<'a>) {
        match (self.place, bytes.first()) {
            (Place::LineStart, Some(b'.')) => {
                self.place = Place::Dot;
                (1, Piece::Run(&[]))
            }
            (Place::Dot, Some(b'\r')) => {
                self.place = Place::DotCr;
                (1, Piece::Run(&[]))
            }
            (Place::Dot, Some(_)) => {
                self.place = Place::Inside; // RFC 5321 §4.5.2: other characters follow, so the dot was put there
                self.run(bytes)
            }
            (Place::DotCr, Some(b'\n')) => {
                self.place = Place::LineStart;
                (1, Piece::End)
            }
            (Place::DotCr, Some(_)) => {
                // The held CR belongs to the message and is bare; the dot was put there. The octet is looked at next.
                self.place = Place::Inside;
                (0, if self.tells_bare_break() { Piece::BareBreak(b"\r") } else { Piece::Run(b"\r") })
            }
            (_, Some(_)) => self.run(bytes),
            (_, None) => (0, Piece::Run(&[])),
        }
    }

    /// The longest run of octets that are handed on as they are: up to a dot at a line start, or the first bare break.
    fn run<'a>(&mut self, bytes: &'a [u8]) -> (usize, Piece<'a>) {
        let upto = |at: usize| bytes.get(..at).unwrap_or(bytes);
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match (self.place, byte) {
                (Place::LineStart, b'.') => return (at, Piece::Run(upto(at))),
                (Place::AfterCr, b'\n') => {
                    self.place = Place::LineStart;
                    at += 1;
                }
                (Place::AfterCr, _) => {
                    self.place = Place::Inside;
                    if self.tells_bare_break() {
                        return (at, Piece::BareBreak(upto(at)));
                    }
                }
                (_, b'\r') => {
                    self.place = Place::AfterCr;
                    at += 1;
                }
                (_, b'\n') => {
                    self.place = Place::Inside;
                    at += 1;
                    if self.tells_bare_break() {
                        return (at, Piece::BareBreak(upto(at)));
                    }
                }
                _ => {
                    self.place = Place::Inside;
                    let rest = bytes.get(at..).unwrap_or_default();
                    at += memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                }
            }
        }
        (at, Piece::Run(bytes))
    }

    /// Whether a bare break found now is the first.
    fn tells_bare_break(&mut self) -> bool {
        std::mem::replace(&mut self.breaks, Breaks::Told) == Breaks::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The message, whether a bare break was told of, and what is left behind its end; `None` when it has no end.
    fn receive(packets: &[&[u8]]) -> (Vec<u8>, usize, Option<Vec<u8>>) {
        let mut receiver = DataReceiver::new();
        let (mut message, mut told, mut left) = (Vec::new(), 0, None::<Vec<u8>>);
        for packet in packets {
            let mut rest = *packet;
            while left.is_none() && !rest.is_empty() {
                let (used, piece) = receiver.next(rest);
                rest = &rest[used..];
                match piece {
                    Piece::Run(run) => message.extend_from_slice(run),
                    Piece::BareBreak(run) => {
                        message.extend_from_slice(run);
                        told += 1;
                    }
                    Piece::End => left = Some(Vec::new()),
                }
            }
            if let Some(left) = &mut left {
                left.extend_from_slice(rest);
            }
        }
        (message, told, left)
    }

    #[test]
    fn dots_are_taken_off_lines_from_the_very_first() {
        for (wire, message) in [
            (".\r\n", ""),
            ("..\r\n.\r\n", ".\r\n"),
            ("..a\r\n..\r\n.b\r\na.b\r\n.\r\n", ".a\r\n.\r\nb\r\na.b\r\n"),
            ("\r\n.\r\n", "\r\n"),
            ("...\r\n\r\n.\r\n", "..\r\n\r\n"),
        ] {
            assert_eq!(receive(&[wire.as_bytes()]), (message.into(), 0, Some(vec![])), "{wire:?}");
        }
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_data() {
        for variant in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\r",
            "\n.\r",
            "\r.\n",
            "\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\r\n. \r\n",
            "\n\r.\r\n",
            "\r\n.\n\r\n",
        ] {
            let wire = format!("a{variant}MAIL FROM:<x@y>\r\n.\r\nQUIT");
            let (message, _, left) = receive(&[wire.as_bytes()]);
            assert!(message.ends_with(b"MAIL FROM:<x@y>\r\n"), "{variant:?}");
            assert_eq!(left, Some(b"QUIT".to_vec()), "{variant:?}");
        }
    }

    #[test]
    fn a_bare_break_is_told_once_and_its_bytes_are_kept() {
        assert_eq!(receive(&[b"a\nb\rc\n\r\n.\r\n"]), (b"a\nb\rc\n\r\n".to_vec(), 1, Some(vec![])));
        assert_eq!(receive(&[b".\rx\r\n.\r\n"]), (b"\rx\r\n".to_vec(), 1, Some(vec![])));
        assert_eq!(receive(&[b".\r\r\n.\r\n"]), (b"\r\r\n".to_vec(), 1, Some(vec![])));
        assert_eq!(receive(&[b"\r", b"x", b"\r\n", b".\r", b"\n"]), (b"\rx\r\n".to_vec(), 1, Some(vec![])));
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_back(lines in prop::collection::vec("[.a\\PC]{0,6}", 0..6), cut in 0usize..64) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String =
                lines.iter().map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect();
            let wire = format!("{stuffed}.\r\nNOOP\r\n");
            let (head, tail) = wire.as_bytes().split_at(cut.min(wire.len()));
            prop_assert_eq!(receive(&[head, tail]), (message.into_bytes(), 0, Some(b"NOOP\r\n".to_vec())));
        }

        #[test]
        fn cuts_change_nothing(wire in "[.\r\na]{0,24}", size in 1usize..5) {
            let packets: Vec<&[u8]> = wire.as_bytes().chunks(size).collect();
            prop_assert_eq!(receive(&packets), receive(&[wire.as_bytes()]));
        }
    }
}
