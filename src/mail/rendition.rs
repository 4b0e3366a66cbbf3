//! The bytes of a message without the addresses of intake routes: what those read who are no administrators.
//!
//! A rendition is not what arrived, and no signature over it holds. What is looked at: every field of every header, as it
//! stands, unfolded, with encoded words, percent signs and parameters in pieces put together; texts and reports in base64
//! and quoted-printable; and everything else as it stands. What is not: files in an encoding of their own, text that spells
//! an address in markup, and encoded parts behind the limits of reading.
//!
//! Standards: RFC 5322 §2.2.3 (folding), RFC 2047 §4 (encoded words), RFC 2231 §3 and §4 (parameters), RFC 2045 §6.
//!
//! # Security
//! A route address is a secret. A field in which one is still found after its octets were taken out loses its whole value.
//! Every pass is linear in the input, and what is made is at most a few times as large.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::{NoExpand, Regex};

use crate::mail::copy::{HIDDEN, RouteAddresses};
use crate::mail::message::Limits;
use crate::mail::message::structure::{self, Part, Shape};
use crate::mail::message::transfer::{self, Encoding};

/// Whether fields stay that tell of recipients whom no other field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blind {
    /// They stay.
    Shown,
    /// Those of the message's own header go.
    Hidden,
}

/// `bytes` without route addresses.
#[must_use]
pub fn of(bytes: &[u8], routes: &RouteAddresses, blind: Blind, limits: &Limits) -> Vec<u8> {
    let structure = structure::walk(bytes, limits);
    let mut rendition = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for (index, part) in structure.parts.iter().enumerate() {
        let (Some(between), Some(header)) =
            (bytes.get(at..part.header.start), bytes.get(part.header.start..part.body.start))
        else {
            continue;
        };
        rendition.extend_from_slice(between);
        let blind = if index == 0 { blind } else { Blind::Shown };
        fields(header).for_each(|field| push_field(field, routes, blind, &mut rendition));
        at = part.body.start;
        if let Some(body) = encoded_body(part, bytes, routes) {
            rendition.extend_from_slice(&body);
            at = part.body.end;
        }
    }
    rendition.extend_from_slice(bytes.get(at..).unwrap_or_default());
    match routes.redact_octets(&rendition) {
        Cow::Borrowed(_) => rendition,
        Cow::Owned(redacted) => redacted,
    }
}

/// A header block as its fields, each with its folds and line ends; what is no field is one all the same.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_end = |at: &usize| !matches!(rest.get(*at), Some(b' ' | b'\t'));
        let end = memchr::memchr_iter(b'\n', rest).map(|at| at + 1).find(is_end).unwrap_or(rest.len());
        let (field, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = behind;
        Some(field)
    })
}

fn push_field(field: &[u8], routes: &RouteAddresses, blind: Blind, rendition: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field);
    let name = colon.and_then(|colon| field.get(..colon)).unwrap_or_default().trim_ascii_end();
    let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
    let mut field = Cow::Borrowed(field);
    if blind == Blind::Hidden {
        if TELLING.iter().any(is) {
            return;
        }
        if is(&"received") {
            field = FOR.replace_all(&field, NoExpand(b"")).into_owned().into();
        }
    }
    let redacted = routes.redact_octets(&field);
    if is_hiding(&redacted, routes) {
        let colon = colon.and_then(|colon| field.get(..=colon)).filter(|name| !is_hiding(name, routes));
        rendition.extend_from_slice(colon.unwrap_or(b"X-Hidden:"));
        rendition.extend_from_slice(format!(" {HIDDEN}\r\n").as_bytes());
    } else {
        rendition.extend_from_slice(&redacted);
    }
}

/// Whether a route address is in a field in some other form than as it stands.
fn is_hiding(field: &[u8], routes: &RouteAddresses) -> bool {
    let unfolded = FOLD.replace_all(field, NoExpand(b""));
    let words = words(&unfolded);
    let pieces = PIECES.replace_all(&words, NoExpand(b""));
    let forms = [unfolded.as_ref(), &words, &pieces, &percent(&pieces)];
    forms.iter().any(|form| {
        // Prose without its blanks has the form of many things: here known addresses count alone.
        let squeezed: Vec<u8> = form
            .iter()
            .copied()
            .filter(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'\\' | b'"'))
            .collect();
        routes.stands_in(form) || routes.knows_in(&squeezed)
    })
}

/// With the octets of encoded words in their place; blanks between two of them go (RFC 2047 §6.2).
fn words(value: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest, mut is_behind_word) = (Vec::with_capacity(value.len()), value, false);
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        if !(is_behind_word && before.iter().all(u8::is_ascii_whitespace)) {
            decoded.extend_from_slice(before);
        }
        match one_word(word) {
            Some((octets, length)) => {
                decoded.extend_from_slice(&octets);
                (rest, is_behind_word) = (word.get(length..).unwrap_or_default(), true);
            }
            None => {
                decoded.extend_from_slice(b"=?");
                (rest, is_behind_word) = (word.get(2..).unwrap_or_default(), false);
            }
        }
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// The octets of the encoded word that `word` begins with, and how long it is.
fn one_word(word: &[u8]) -> Option<(Vec<u8>, usize)> {
    let word = word.get(..WORD.min(word.len()))?;
    let charset = memchr::memchr(b'?', word.get(2..)?)? + 2;
    let (encoding, mark) = (word.get(charset + 1)?, word.get(charset + 2)?);
    let text = charset + 3;
    let end = memchr::memmem::find(word.get(text..)?, b"?=")? + text;
    let octets = word.get(text..end).filter(|_| *mark == b'?')?;
    let decoded = match encoding {
        b'b' | b'B' => transfer::decode(octets, Encoding::Base64, WORD).kept,
        b'q' | b'Q' => {
            let spaced: Vec<u8> = octets.iter().map(|octet| if *octet == b'_' { b' ' } else { *octet }).collect();
            transfer::decode(&spaced, Encoding::QuotedPrintable, WORD).kept
        }
        _ => return None,
    };
    Some((decoded, end + 2))
}

/// With `%2D` and its like decoded.
fn percent(value: &[u8]) -> Vec<u8> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    let (mut decoded, mut rest) = (Vec::with_capacity(value.len()), value);
    loop {
        let (octet, behind) = match rest {
            [b'%', high, low, behind @ ..] if let (Some(high), Some(low)) = (digit(high), digit(low)) => {
                (u8::try_from(high * 16 + low).unwrap_or(b'%'), behind)
            }
            [octet, behind @ ..] => (*octet, behind),
            [] => return decoded,
        };
        decoded.push(octet);
        rest = behind;
    }
}

/// The body of an encoded text or report without route addresses, encoded again; `None` where it can stay.
fn encoded_body(part: &Part, bytes: &[u8], routes: &RouteAddresses) -> Option<Vec<u8>> {
    let is_text = ["text/", "message/", "multipart/"].iter().any(|kind| part.media.name.starts_with(kind));
    if part.shape != Shape::Leaf || !is_text || !matches!(part.encoding, Encoding::Base64 | Encoding::QuotedPrintable) {
        return None;
    }
    let decoded = transfer::decode(part.body(bytes), part.encoding, usize::MAX).kept;
    let Cow::Owned(redacted) = routes.redact_octets(&decoded) else { return None };
    Some(match part.encoding {
        Encoding::Base64 => base64(&redacted),
        _ => quoted_printable(&redacted),
    })
}

/// RFC 2045 §6.8: lines of 76.
fn base64(octets: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(octets.len() / 3 * 4 + octets.len() / 36);
    for line in octets.chunks(57) {
        if !encoded.is_empty() {
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(STANDARD.encode(line).as_bytes());
    }
    encoded
}

/// RFC 2045 §6.7: lines of at most 76; line ends stay line ends.
fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let (mut encoded, mut width) = (Vec::with_capacity(octets.len() + octets.len() / 8), 0);
    for (at, octet) in octets.iter().enumerate() {
        let is_line_end = *octet == b'\n' || (*octet == b'\r' && octets.get(at + 1) == Some(&b'\n'));
        if is_line_end {
            encoded.push(*octet);
            width = 0;
            continue;
        }
        // A blank may not be the last of its line.
        let is_inner_blank = *octet == b' ' && octets.get(at + 1).is_some_and(u8::is_ascii_graphic);
        let is_plain = (octet.is_ascii_graphic() && *octet != b'=') || is_inner_blank;
        if width + 3 > 75 {
            encoded.extend_from_slice(b"=\r\n");
            width = 0;
        }
        if is_plain {
            encoded.push(*octet);
            width += 1;
        } else {
            encoded.extend_from_slice(format!("={octet:02X}").as_bytes());
            width += 3;
        }
    }
    encoded
}

/// Fields that name those whom a message reached, whoever it says it is for.
const TELLING: [&str; 11] = [
    "bcc",
    "resent-bcc",
    "delivered-to",
    "x-delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-rcpt-to",
    "x-gm-original-to",
    "x-forwarded-to",
    "x-failed-recipients",
];

/// Octets of an encoded word that are looked at; RFC 2047 §2 allows 75.
const WORD: usize = 512;

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test that redacts")]
static FOLD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)\r*\n[ \t]+").expect("the pattern is valid"));

/// RFC 5321 §4.4: the recipient of one hop.
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test that redacts")]
static FOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i-u)\bfor[\s]+<?[^\s<>;]+@[^\s<>;]+>?").expect("the pattern is valid"));

/// RFC 2231 §3: where one piece of a parameter ends and the next begins.
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test that redacts")]
static PIECES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?i-u)"?\s*;\s*[a-z0-9-]+\*[0-9]+\*?\s*=\s*"?"#).expect("the pattern is valid"));

#[cfg(test)]
mod tests;
