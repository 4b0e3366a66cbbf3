//! Command lines out of bytes: at most one line is kept, and never more of it than the limit.
//!
//! A line ends at LF so that a peer that forgot the CR gets an answer; whether it is a command is decided by
//! [`Line::text`], which wants CRLF (RFC 5321 §2.3.8).

use std::borrow::Cow;

use memchr::memchr;

/// The part of a command line that has arrived.
#[derive(Debug, Default)]
pub(super) enum LineBuffer {
    /// Between lines; nothing is allocated.
    #[default]
    Empty,
    /// The beginning of a line.
    Partial(Vec<u8>),
    /// Over the limit: the rest is dropped up to its LF.
    Overlong,
}

/// One line, as far as it was kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it, LF included.
    Whole(Cow<'a, [u8]>),
    /// It was over the limit.
    Overlong,
}

impl LineBuffer {
    /// Whether nothing of a line has come.
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Takes bytes up to the end of a line: how many were used, and the line if it is complete.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8], limit: usize) -> (usize, Option<Line<'a>>) {
        let (piece, is_end) = match memchr(b'\n', bytes) {
            Some(at) => (bytes.get(..=at).unwrap_or(bytes), true),
            None => (bytes, false),
        };
        let held = std::mem::take(self);
        let line = match held {
            Self::Overlong => Line::Overlong,
            Self::Empty if piece.len() > limit => Line::Overlong,
            Self::Empty => Line::Whole(Cow::Borrowed(piece)),
            Self::Partial(part) if part.len() + piece.len() > limit => Line::Overlong,
            Self::Partial(mut part) => {
                part.extend_from_slice(piece);
                Line::Whole(Cow::Owned(part))
            }
        };
        if is_end {
            return (piece.len(), Some(line));
        }
        *self = match line {
            Line::Overlong => Self::Overlong,
            Line::Whole(part) if part.is_empty() => Self::Empty,
            Line::Whole(part) => Self::Partial(part.into_owned()),
        };
        (piece.len(), None)
    }
}

/// A line as text without its CRLF; `None` when it ends in a bare LF, has a control character, or is not UTF-8
/// (RFC 6531 §3.1).
pub(super) fn text(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let is_clean = !text.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f);
    is_clean.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(packets: &[&[u8]], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut buffer = LineBuffer::default();
        let mut found = Vec::new();
        for packet in packets {
            let mut rest = *packet;
            while !rest.is_empty() {
                let (used, line) = buffer.take(rest, limit);
                assert!(used > 0);
                rest = &rest[used..];
                match line {
                    Some(Line::Whole(bytes)) => found.push(Some(bytes.into_owned())),
                    Some(Line::Overlong) => found.push(None),
                    None => {}
                }
            }
        }
        found
    }

    #[test]
    fn the_limit_holds_for_a_line_in_one_packet_and_in_many() {
        let exact = b"12345678\r\n";
        let over = b"123456789\r\n";
        assert_eq!(lines(&[exact], 10), [Some(exact.to_vec())]);
        assert_eq!(lines(&[over], 10), [None]);
        assert_eq!(lines(&[b"12345", b"6789\r", b"\nNOOP\r\n"], 10), [None, Some(b"NOOP\r\n".to_vec())]);
    }

    #[test]
    fn nothing_of_an_overlong_line_is_kept() {
        let mut buffer = LineBuffer::default();
        for _ in 0..1_000 {
            buffer.take(&[b'x'; 1_000], 2_048);
        }
        assert!(matches!(buffer, LineBuffer::Overlong));
    }

    #[test]
    fn a_command_ends_with_carriage_return_and_line_feed() {
        assert_eq!(text(b"NOOP\r\n"), Some("NOOP"));
        for line in [b"NOOP\n".as_slice(), b"NO\rOP\r\n", b"NO\0OP\r\n", b"NOOP\x1b[0m\r\n", b"NOOP \xff\r\n", b"\n"] {
            assert_eq!(text(line), None, "{line:?}");
        }
    }
}
