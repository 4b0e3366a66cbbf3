//! A message as DATA carries it: lines that end with CRLF, dots made transparent, and the end.
//!
//! Standards: RFC 5321 §2.3.8 (lines), §4.5.2 (transparency), §4.1.1.4 (end), RFC 1870 §3 (size).

use memchr::memchr2;

/// A message, ready for the wire. Made once, sent as often as one likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageData {
    /// With dots doubled, and with the end.
    bytes: Vec<u8>,
    size: u64,
    is_ascii: bool,
    has_utf8_header: bool,
}

const END: &[u8] = b".\r\n";

impl MessageData {
    /// Prepares `message`. Bare CR and bare LF become CRLF, and the last line gets one where it has none.
    #[must_use]
    pub fn new(message: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(message.len() + message.len() / 16 + END.len());
        let mut size = 0;
        let mut rest = message;
        while !rest.is_empty() {
            let (line, behind) = split_line(rest);
            if line.first() == Some(&b'.') {
                bytes.push(b'.');
            }
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
            size += line.len() + 2;
            rest = behind;
        }
        bytes.extend_from_slice(END);
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        Self { bytes, size, is_ascii: message.is_ascii(), has_utf8_header: has_utf8_header(message) }
    }

    /// The message whose header is `head`, up to and with its blank line, and whose body is this: a body that is sent often
    /// is prepared once.
    #[must_use]
    pub fn behind(&self, head: &[u8]) -> Self {
        let mut joined = Self::new(head);
        joined.bytes.truncate(joined.bytes.len().saturating_sub(END.len()));
        joined.bytes.extend_from_slice(&self.bytes);
        joined.size = joined.size.saturating_add(self.size);
        joined.is_ascii = joined.is_ascii && self.is_ascii;
        joined
    }

    /// What goes over the wire, the end included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Octets of the message with its line ends, without doubled dots and without the end.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether every octet is ASCII.
    #[must_use]
    pub const fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    /// Whether the header has UTF-8 outside ASCII (RFC 6532). Bytes that are no UTF-8 do not count: no extension allows
    /// them, and messages that have them are sent to see what becomes of them.
    #[must_use]
    pub const fn has_utf8_header(&self) -> bool {
        self.has_utf8_header
    }
}

/// The first line without its end, and what follows the end.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = memchr2(b'\r', b'\n', bytes) else { return (bytes, &[]) };
    let (line, rest) = bytes.split_at(end);
    let behind = rest.strip_prefix(b"\r\n").or_else(|| rest.split_first().map(|(_, behind)| behind));
    (line, behind.unwrap_or_default())
}

fn has_utf8_header(message: &[u8]) -> bool {
    let mut rest = message;
    let mut found = false;
    while !rest.is_empty() {
        let (line, behind) = split_line(rest);
        if line.is_empty() {
            return found;
        }
        if !line.is_ascii() {
            if std::str::from_utf8(line).is_err() {
                return false;
            }
            found = true;
        }
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server makes of it (RFC 5321 §4.5.2).
    fn received(wire: &[u8]) -> Vec<u8> {
        let body = wire.strip_suffix(END).unwrap();
        let mut message = Vec::new();
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "{line:?}");
            assert_ne!(line, END, "the message ends early");
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        message
    }

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled() {
        assert_eq!(MessageData::new(b".\r\n..a\r\nb.c\r\n").bytes(), b"..\r\n...a\r\nb.c\r\n.\r\n");
        assert_eq!(MessageData::new(b"").bytes(), b".\r\n");
    }

    #[test]
    fn every_kind_of_line_end_becomes_crlf() {
        let data = MessageData::new(b"a\nb\rc\r\n\n.\n.\rd");
        assert_eq!(data.bytes(), b"a\r\nb\r\nc\r\n\r\n..\r\n..\r\nd\r\n.\r\n");
        assert_eq!(data.size(), 20);
    }

    #[test]
    fn only_utf8_in_the_header_needs_smtputf8() {
        assert!(MessageData::new("Subject: Grüße\r\n\r\nx".as_bytes()).has_utf8_header());
        assert!(!MessageData::new("Subject: x\r\n\r\nGrüße".as_bytes()).has_utf8_header());
        assert!(!MessageData::new(b"Subject: \xff\r\n\r\nx").has_utf8_header());
        assert!(!MessageData::new("Subject: x\r\n\r\nGrüße".as_bytes()).is_ascii());
    }

    #[test]
    fn a_body_behind_a_header_is_the_whole_message() {
        let (head, body) = ("Subject: x\r\n\r\n", ".dots\r\nGr\u{fc}\u{df}e\r\n");
        let whole = MessageData::new(format!("{head}{body}").as_bytes());
        assert_eq!(MessageData::new(body.as_bytes()).behind(head.as_bytes()), whole);
    }

    proptest! {
        #[test]
        fn a_server_receives_the_lines_that_were_given(lines in prop::collection::vec("[.a\u{e9} ]{0,5}", 0..12)) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let data = MessageData::new(message.as_bytes());
            let heard = received(data.bytes());
            prop_assert_eq!(u64::try_from(heard.len()).unwrap(), data.size());
            prop_assert_eq!(heard, message.into_bytes());
        }

        #[test]
        fn no_bytes_can_end_the_message_early(bytes in prop::collection::vec(prop::sample::select(b".\r\na\0".to_vec()), 0..40)) {
            let data = MessageData::new(&bytes);
            let heard = received(data.bytes());
            prop_assert_eq!(MessageData::new(&heard).bytes, data.bytes);
        }
    }
}
