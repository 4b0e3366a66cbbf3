//! A message as DKIM digests it: its fields, the relaxed form of header and body, and whether it can go out as it stands.
//!
//! Pure: bytes in, bytes out. It never changes what is sent; what cannot be sent unchanged is refused.
//!
//! Standards: RFC 6376 §3.4 (canonicalisation), RFC 5322 §2.1.1 and §2.2 (lines and fields), RFC 5321 §2.3.8 (CRLF).

use memchr::memchr;
use ring::digest::{Context, Digest, SHA256};

/// One field of the header, as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// What is before the colon, without blanks at its end.
    pub(super) name: &'a [u8],
    /// What is behind the colon, folded as it is, without the last CRLF.
    pub(super) value: &'a [u8],
}

/// Header and body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The fields, from the top.
    pub(super) fields: Vec<Field<'a>>,
    /// The header with its blank line.
    pub(super) header: &'a [u8],
    /// What follows the blank line; empty when there is none.
    pub(super) body: &'a [u8],
}

/// Why a message cannot go out as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A CR or LF that is not part of a CRLF (RFC 5321 §2.3.8).
    #[error("the message has a bare CR or LF: every line has to end with CRLF")]
    BareLineBreak,
    /// A NUL, which no transfer without BINARYMIME may have (RFC 6152 §2, RFC 2045 §2.8).
    #[error("the message has a NUL: encode such content as base64")]
    Nul,
    /// A line of more than 998 octets (RFC 5322 §2.1.1).
    #[error("the message has a line of more than 998 octets: fold it, or encode the part")]
    LongLine,
    /// A line of the header that is no field and continues none.
    #[error("the header has a line that is no field")]
    Header,
    /// A field that may stand once stands twice (RFC 5322 §3.6): readers would not agree on which one counts.
    #[error("a header field that may stand once stands there more than once")]
    Repeated,
}

/// RFC 5322 §2.1.1, without CRLF.
const LONGEST_LINE: usize = 998;

/// Takes a message apart.
pub(super) fn parts(message: &[u8]) -> Result<Parts<'_>, Unsendable> {
    check_lines(message)?;
    let mut fields: Vec<(usize, usize, usize)> = Vec::new();
    let mut start = 0;
    while let Some(line) = line_at(message, start).filter(|line| !line.is_empty()) {
        let end = start + line.len();
        match (line.first(), fields.last_mut()) {
            (Some(b' ' | b'\t'), Some(field)) => field.2 = end,
            _ => {
                let colon = memchr(b':', line).ok_or(Unsendable::Header)?;
                fields.push((start, start + colon, end));
            }
        }
        start = end + CRLF.len();
    }
    let header_end = (start + CRLF.len()).min(message.len());
    let fields = fields.into_iter().map(|(start, colon, end)| {
        let name = message.get(start..colon).unwrap_or_default().trim_ascii_end();
        // RFC 5322 §3.6.8: printable characters other than the colon.
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let value = message.get(colon + 1..end).unwrap_or_default();
        if is_name { Ok(Field { name, value }) } else { Err(Unsendable::Header) }
    });
    let fields = fields.collect::<Result<_, _>>()?;
    let (header, body) = message.split_at_checked(header_end).unwrap_or((message, &[]));
    Ok(Parts { fields, header, body })
}

/// The field in relaxed form (RFC 6376 §3.4.2), without the CRLF behind it.
pub(super) fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let unfolded = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    relax(unfolded, out);
    if out.get(start) == Some(&b' ') {
        out.remove(start);
    }
}

/// SHA-256 of the body in relaxed form (RFC 6376 §3.4.4).
pub(super) fn body_digest(body: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut relaxed = Vec::new();
    // Empty lines count only when another line follows.
    let mut empty_lines = 0_usize;
    let mut start = 0;
    while start < body.len() {
        let line = line_at(body, start).unwrap_or_default();
        start += line.len() + CRLF.len();
        relaxed.clear();
        relax(line.iter(), &mut relaxed);
        if relaxed.is_empty() {
            empty_lines += 1;
            continue;
        }
        for _ in 0..empty_lines {
            context.update(CRLF);
        }
        empty_lines = 0;
        relaxed.extend_from_slice(CRLF);
        context.update(&relaxed);
    }
    context.finish()
}

/// Blanks become one space, and those at the end nothing.
fn relax<'a>(line: impl Iterator<Item = &'a u8>, out: &mut Vec<u8>) {
    let mut is_blank_due = false;
    for byte in line {
        if matches!(byte, b' ' | b'\t') {
            is_blank_due = true;
            continue;
        }
        if is_blank_due {
            out.push(b' ');
            is_blank_due = false;
        }
        out.push(*byte);
    }
}

/// The line that begins at `start`, without its CRLF; `None` behind the end.
fn line_at(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
    let end = memchr(b'\n', rest).map_or(rest.len(), |end| end.saturating_sub(1));
    rest.get(..end)
}

fn check_lines(message: &[u8]) -> Result<(), Unsendable> {
    if memchr(0, message).is_some() {
        return Err(Unsendable::Nul);
    }
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let content = match line.strip_suffix(CRLF) {
            Some(content) => content,
            None if line.ends_with(b"\n") => return Err(Unsendable::BareLineBreak),
            None => line,
        };
        if memchr(b'\r', content).is_some() {
            return Err(Unsendable::BareLineBreak);
        }
        if content.len() > LONGEST_LINE {
            return Err(Unsendable::LongLine);
        }
    }
    Ok(())
}

const CRLF: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::digest::digest;

    fn relaxed(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        relaxed_field(name.as_bytes(), value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn digests_as(body: &str, canonical: &str) {
        let expected = digest(&SHA256, canonical.as_bytes());
        assert_eq!(body_digest(body.as_bytes()).as_ref(), expected.as_ref(), "{body:?} is not {canonical:?}");
    }

    #[test]
    fn the_examples_of_the_standard_have_their_relaxed_form() {
        // RFC 6376 §3.4.5, example 1.
        assert_eq!(relaxed("A", " X"), "a:X");
        assert_eq!(relaxed("B ", " Y\t\r\n\tZ  "), "b:Y Z");
        digests_as(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
    }

    #[test]
    fn a_body_ends_behind_its_last_line_with_letters() {
        digests_as("", "");
        digests_as("\r\n\r\n", "");
        digests_as(" \t\r\n", "");
        digests_as("a", "a\r\n");
        digests_as("a\r\n \t\r\n\r\n", "a\r\n");
        digests_as("\r\n \r\na\r\n", "\r\n\r\na\r\n");
    }

    #[test]
    fn a_header_is_taken_apart_with_its_folds() {
        let message = b"From: a@b\r\nSubject : one\r\n two\r\n\r\nbody\r\n";
        let parts = parts(message).unwrap();
        let fields: Vec<(&[u8], &[u8])> = parts.fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(fields, [(&b"From"[..], &b" a@b"[..]), (b"Subject", b" one\r\n two")]);
        assert_eq!((parts.header.len(), parts.body), (34, &b"body\r\n"[..]));
        for alone in ["From: a@b\r\n", "From: a@b", "From: a@b\r\n\r\n"] {
            let parts = super::parts(alone.as_bytes()).unwrap();
            assert_eq!((parts.fields.len(), parts.body), (1, &b""[..]), "{alone:?}");
        }
    }

    #[test]
    fn what_would_have_to_be_changed_on_its_way_is_refused() {
        let head = "From: a@b\r\n\r\n";
        let long = "x".repeat(999);
        for (rest, expected) in [
            ("a\nb\r\n", Unsendable::BareLineBreak),
            ("a\rb\r\n", Unsendable::BareLineBreak),
            ("a\r\r\n", Unsendable::BareLineBreak),
            ("a\r", Unsendable::BareLineBreak),
            ("\n.\r\n", Unsendable::BareLineBreak),
            ("a\0\r\n", Unsendable::Nul),
            (&long, Unsendable::LongLine),
        ] {
            assert_eq!(parts(format!("{head}{rest}").as_bytes()), Err(expected), "{rest:?}");
        }
        for header in ["no field\r\n\r\n", " folded: first\r\n", ": no name\r\n", "a b: c\r\n"] {
            assert_eq!(parts(header.as_bytes()), Err(Unsendable::Header), "{header:?}");
        }
        assert!(parts(format!("{head}{}\r\n", "x".repeat(998)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_or_refused(bytes in prop::collection::vec(prop::sample::select(b"\r\n: a\t\0.\xe9".to_vec()), 0..60)) {
            if let Ok(parts) = parts(&bytes) {
                prop_assert_eq!(parts.header.len() + parts.body.len(), bytes.len());
                let mut out = Vec::new();
                for field in &parts.fields {
                    relaxed_field(field.name, field.value, &mut out);
                }
                prop_assert!(!out.contains(&b'\r') && !out.contains(&b'\n'));
            }
            let _ = body_digest(&bytes);
        }
    }
}
