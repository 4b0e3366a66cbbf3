//! A message as it goes over the wire behind DATA, in pieces: dots doubled, the last line ended, and the end apart.
//!
//! The final dot is never in a piece: whoever writes pieces cannot end a message by it.
//!
//! Standards: RFC 5321 §4.1.1.4 (end of data), §4.5.2 (transparency).

use memchr::memmem;

/// What ends a message. It follows a whole line.
pub(super) const END: &[u8] = b".\r\n";

/// Octets of a message that are prepared at a time, dots not counted.
const PIECE: usize = 64 * 1024;

/// Hands out the pieces of a message whose lines all end with CRLF, but for the last one.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    rest: &'a [u8],
    is_line_start: bool,
    is_finished: bool,
}

impl<'a> Pieces<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, is_line_start: true, is_finished: false }
    }

    /// Replaces `out` with the next piece; false when there is none.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.is_finished {
            return false;
        }
        let (piece, behind) = self.rest.split_at(end_of_piece(self.rest));
        let mut piece = piece;
        if self.is_line_start && piece.first() == Some(&b'.') {
            out.push(b'.');
        }
        while let Some(at) = memmem::find(piece, b"\r\n.") {
            let (line, next) = piece.split_at(at + 2);
            out.extend_from_slice(line);
            out.push(b'.');
            piece = next;
        }
        out.extend_from_slice(piece);
        self.is_line_start = piece.ends_with(b"\r\n");
        self.rest = behind;
        self.is_finished = behind.is_empty();
        if self.is_finished && !self.is_line_start && !out.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        !out.is_empty()
    }
}

/// Octets of the message on the wire, dots not counted (RFC 1870 §6).
pub(super) fn size(message: &[u8]) -> u64 {
    let missing = if message.is_empty() || message.ends_with(b"\r\n") { 0 } else { 2 };
    u64::try_from(message.len() + missing).unwrap_or(u64::MAX)
}

/// Never between a CR and its LF.
fn end_of_piece(bytes: &[u8]) -> usize {
    if bytes.len() <= PIECE {
        return bytes.len();
    }
    if bytes.get(PIECE - 1) == Some(&b'\r') { PIECE - 1 } else { PIECE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(message: &[u8]) -> Vec<u8> {
        let (mut pieces, mut piece, mut all) = (Pieces::new(message), Vec::new(), Vec::new());
        while pieces.next(&mut piece) {
            all.extend_from_slice(&piece);
        }
        all
    }

    /// What a server makes of it.
    fn received(wire: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for line in wire.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "{line:?}");
            assert_ne!(line, END, "the message ends early");
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        message
    }

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled_and_the_last_line_is_ended() {
        assert_eq!(wire(b".\r\n..a\r\nb.c\r\n"), b"..\r\n...a\r\nb.c\r\n");
        assert_eq!(wire(b"a\r\n."), b"a\r\n..\r\n");
        assert_eq!(wire(b""), b"");
        assert_eq!((size(b"a\r\n"), size(b"a"), size(b"")), (3, 3, 0));
    }

    #[test]
    fn a_dot_behind_the_cut_between_two_pieces_is_doubled() {
        for length in PIECE - 4..PIECE + 4 {
            let message = format!("{}\r\n.\r\n.x\r\n", "y".repeat(length));
            assert_eq!(received(&wire(message.as_bytes())), message.as_bytes(), "{length}");
        }
        let message = ".\r\n".repeat(PIECE);
        assert_eq!(received(&wire(message.as_bytes())), message.as_bytes());
    }

    proptest! {
        #[test]
        fn a_server_receives_the_lines_that_were_given(lines in prop::collection::vec("[.a\u{e9} ]{0,5}", 0..12)) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(u64::try_from(message.len()).unwrap(), size(message.as_bytes()));
            prop_assert_eq!(received(&wire(message.as_bytes())), message.into_bytes());
        }
    }
}
