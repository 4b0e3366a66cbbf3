//! Transfer encodings, decoded leniently and in one pass.
//!
//! Standards: RFC 2045 §6.7 (quoted-printable), §6.8 (base64).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest::{Context, SHA256};

use super::field;

/// A Content-Transfer-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::mail) enum Encoding {
    /// `7bit`, `8bit`, `binary`, and where the field is missing.
    #[default]
    Identity,
    /// `base64`.
    Base64,
    /// `quoted-printable`.
    QuotedPrintable,
    /// Any other word: the octets are taken as they stand.
    Unknown,
}

impl Encoding {
    /// Reads the field's value.
    pub(in crate::mail) fn parse(value: &[u8]) -> Self {
        let word = value.split(|byte| matches!(byte, b';' | b'(')).next().unwrap_or_default().trim_ascii();
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("base64") {
            Self::Base64
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else if word.is_empty() || is("7bit") || is("8bit") || is("binary") {
            Self::Identity
        } else {
            Self::Unknown
        }
    }
}

/// What decoding a body gave.
#[derive(Debug, Clone)]
pub(in crate::mail) struct Decoded {
    /// The first octets, at most as many as were asked for.
    pub(in crate::mail) kept: Vec<u8>,
    /// Octets in all.
    pub(in crate::mail) size: u64,
    /// SHA-256 of all octets, hexadecimal.
    pub(in crate::mail) sha256: String,
    /// Whether every octet was allowed.
    pub(in crate::mail) is_clean: bool,
}

/// Decodes `body`, keeping the first `keep` octets; memory is bounded by `keep`.
pub(in crate::mail) fn decode(body: &[u8], encoding: Encoding, keep: usize) -> Decoded {
    let mut sink = Sink::new(keep);
    let is_clean = match encoding {
        Encoding::Identity => {
            sink.push_all(body);
            true
        }
        Encoding::Unknown => {
            sink.push_all(body);
            false
        }
        Encoding::Base64 => base64(body, &mut sink),
        Encoding::QuotedPrintable => quoted_printable(body, &mut sink),
    };
    sink.finish(is_clean)
}

/// SHA-256 of `bytes`, hexadecimal.
pub(in crate::mail) fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

pub(in crate::mail) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

struct Sink {
    digest: Context,
    size: u64,
    kept: Vec<u8>,
    keep: usize,
    buffer: Vec<u8>,
}

impl Sink {
    fn new(keep: usize) -> Self {
        Self { digest: Context::new(&SHA256), size: 0, kept: Vec::new(), keep, buffer: Vec::new() }
    }

    fn push(&mut self, byte: u8) {
        self.buffer.push(byte);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    fn push_all(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush();
        }
        if bytes.len() > BUFFER {
            self.take(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn flush(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.take(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }

    fn take(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = self.keep.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    fn finish(mut self, is_clean: bool) -> Decoded {
        self.flush();
        Decoded { kept: self.kept, size: self.size, sha256: hex(self.digest.finish().as_ref()), is_clean }
    }
}

const BUFFER: usize = 8 * 1024;

/// RFC 2045 §6.8: octets outside the alphabet are left out; padding ends a group, and another may follow it.
fn base64(body: &[u8], sink: &mut Sink) -> bool {
    let mut group = Group::default();
    let mut is_clean = true;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        for piece in line.chunks(PIECE) {
            if !(group.sextets == 0 && whole_groups(piece, sink)) {
                is_clean &= group.take(piece, sink);
            }
        }
    }
    group.flush(sink);
    is_clean
}

/// Octets of a line that are decoded at once: whole groups of four.
const PIECE: usize = 1024;

/// Decodes a piece that is nothing but whole groups, as nearly all lines are; false when it is not, and nothing was taken.
fn whole_groups(piece: &[u8], sink: &mut Sink) -> bool {
    let mut decoded = [0; PIECE / 4 * 3];
    let Ok(length) = STANDARD_NO_PAD.decode_slice(piece.trim_ascii_end(), &mut decoded) else { return false };
    // Fewer than four digits at the end are no whole group: the next piece may go on with it.
    let is_whole = length.is_multiple_of(3);
    if is_whole {
        sink.push_all(decoded.get(..length).unwrap_or_default());
    }
    is_whole
}

/// Digits of base64 that are not yet octets.
#[derive(Default)]
struct Group {
    bits: u32,
    sextets: u32,
}

impl Group {
    /// Decodes octet by octet; whether each one was allowed.
    fn take(&mut self, octets: &[u8], sink: &mut Sink) -> bool {
        let mut is_clean = true;
        for octet in octets {
            let value = match octet {
                b'A'..=b'Z' => octet - b'A',
                b'a'..=b'z' => octet - b'a' + 26,
                b'0'..=b'9' => octet - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    self.flush(sink);
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                _ => {
                    is_clean = false;
                    continue;
                }
            };
            self.bits = (self.bits << 6) | u32::from(value);
            self.sextets += 1;
            if self.sextets == 4 {
                self.flush(sink);
            }
        }
        is_clean
    }

    fn flush(&mut self, sink: &mut Sink) {
        let Self { bits, sextets } = std::mem::take(self);
        if sextets < 2 {
            return; // six bits are no octet
        }
        let [_, bytes @ ..] = (bits << (6 * (4 - sextets))).to_be_bytes();
        for (byte, _) in bytes.iter().zip(1..sextets) {
            sink.push(*byte);
        }
    }
}

/// RFC 2045 §6.7: blanks at a line's end are left out, `=` at a line's end joins lines, a wrong `=` stands for itself.
fn quoted_printable(body: &[u8], sink: &mut Sink) -> bool {
    let mut is_clean = true;
    for line in field::lines(body, 0) {
        let mut rest = line.content.trim_ascii_end();
        let is_joined = rest.last() == Some(&b'=');
        if is_joined {
            rest = rest.get(..rest.len() - 1).unwrap_or_default();
        }
        loop {
            let plain = memchr::memchr(b'=', rest).unwrap_or(rest.len());
            let (before, after) = rest.split_at(plain);
            sink.push_all(before);
            let [first, tail @ ..] = after else { break };
            rest = tail;
            let pair = match tail {
                [high, low, after @ ..] => hex_pair(*high, *low).map(|byte| (byte, after)),
                _ => None,
            };
            match pair {
                Some((byte, after)) => {
                    sink.push(byte);
                    rest = after;
                }
                None => {
                    is_clean = false;
                    sink.push(*first);
                }
            }
        }
        let end = body.get(line.start + line.content.len()..line.next).unwrap_or_default();
        if !is_joined {
            sink.push_all(end);
        }
    }
    is_clean
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn text(body: &str, encoding: Encoding) -> (String, bool) {
        let decoded = decode(body.as_bytes(), encoding, 1_000);
        (String::from_utf8(decoded.kept).unwrap(), decoded.is_clean)
    }

    #[test]
    fn quoted_printable_joins_lines_and_keeps_what_is_wrong() {
        assert_eq!(text("a=3Db=\r\nc  \r\nd", Encoding::QuotedPrintable), ("a=bc\r\nd".to_owned(), true));
        assert_eq!(text("50 =% off=4", Encoding::QuotedPrintable), ("50 =% off=4".to_owned(), false));
    }

    #[test]
    fn base64_leaves_out_what_does_not_belong() {
        assert_eq!(text("aGVs\r\nbG8=", Encoding::Base64), ("hello".to_owned(), true));
        assert_eq!(text("aG!VsbG8", Encoding::Base64), ("hello".to_owned(), false));
        assert_eq!(text("aGk=aGk=", Encoding::Base64), ("hihi".to_owned(), true));
    }

    #[test]
    fn only_as_much_is_kept_as_was_asked_for() {
        let decoded = decode(&vec![b'x'; 100_000], Encoding::Identity, 10);
        assert_eq!((decoded.kept.len(), decoded.size), (10, 100_000));
        assert_eq!(decoded.sha256, sha256_hex(&vec![b'x'; 100_000]));
    }

    proptest! {
        #[test]
        fn base64_reads_back_what_was_encoded(bytes: Vec<u8>) {
            let decoded = decode(STANDARD.encode(&bytes).as_bytes(), Encoding::Base64, usize::MAX);
            prop_assert!(decoded.is_clean);
            prop_assert_eq!(&decoded.kept, &bytes);
            prop_assert_eq!(decoded.sha256, sha256_hex(&bytes));
        }

        /// Whole lines at once or octet by octet: the same, whatever is wrong with the lines.
        #[test]
        fn lines_of_base64_are_read_as_their_octets_are(text in "([A-Za-z0-9+/]{4}|[A-Z=!\t \r\n]|\r\n){0,600}") {
            let mut sink = Sink::new(usize::MAX);
            let mut group = Group::default();
            let is_clean = group.take(text.as_bytes(), &mut sink);
            group.flush(&mut sink);
            let slowly = sink.finish(is_clean);
            let decoded = decode(text.as_bytes(), Encoding::Base64, usize::MAX);
            prop_assert_eq!((decoded.kept, decoded.sha256), (slowly.kept, slowly.sha256));
            prop_assert_eq!(decoded.is_clean, slowly.is_clean);
        }

        #[test]
        fn any_octets_decode(bytes: Vec<u8>) {
            decode(&bytes, Encoding::Base64, 100);
            decode(&bytes, Encoding::QuotedPrintable, 100);
        }
    }
}
