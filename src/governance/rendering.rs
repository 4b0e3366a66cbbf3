//! What a recipient would see of a version, read from its exact bytes.
//!
//! Nothing is taken from what a caller says about its own message. Reading is strict, because these bytes are ours: one
//! spelling is accepted, and whatever differs is a fault, so that no other reader of the same bytes can see something
//! else than the rules saw.
//!
//! Standards: RFC 5322 §2.2, §3.4, §3.6 (header fields, addresses), RFC 2047 (encoded words), RFC 6532 (UTF-8 headers).
//!
//! # Security
//! mail-parser drops nested messages recursively; a version with more than a few of them is not parsed, and its text is
//! unknown.

use std::sync::LazyLock;

use base64::Engine;
use mail_parser::{MessageParser, PartType};
use regex::Regex;

use super::facts::Fact;
use super::version::Content;
use crate::mail::address::Mailbox;

/// A version as recipients see it.
#[derive(Debug)]
pub(super) struct Rendering {
    /// Header fields in order: name in lower case, value unfolded.
    pub(super) fields: Vec<(String, String)>,
    /// What is wrong with the header section; a version with any of it does not leave.
    pub(super) is_malformed: bool,
    /// Its text; unknown where it could not be read.
    pub(super) text: Fact<Text>,
    /// Whether there is a part besides text.
    pub(super) has_attachment: bool,
}

/// The text of a version.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// What a person reads: subject, names and every text part.
    pub(super) words: String,
    /// That, and all else in which something could be hidden: fields, HTML source, decoded attachments, the bytes.
    pub(super) everything: String,
}

/// One address of an originator field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Author {
    /// The name in front of the address, decoded; empty where there is none.
    pub(super) display_name: String,
    /// The address.
    pub(super) mailbox: Mailbox,
}

impl Rendering {
    pub(super) fn read(content: &Content) -> Self {
        let bytes: &[u8] = content.bytes();
        let header_end = find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 2);
        let header = bytes.get(..header_end).unwrap_or_default();
        let (fields, is_malformed) = read_fields(header);
        let mut rendering = Self { fields, is_malformed, text: Fact::Unknown, has_attachment: false };
        rendering.read_text(bytes);
        rendering
    }

    /// The values of every field of this name, given in lower case.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The one address of a field: `Known(None)` where there is no such field, unknown where it is not exactly one
    /// address in plain spelling.
    pub(super) fn author(&self, name: &str) -> Fact<Option<Author>> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Fact::Known(None),
            (Some(value), None) => read_author(value).map(Some).into(),
            (Some(_), Some(_)) => Fact::Unknown,
        }
    }

    fn read_text(&mut self, bytes: &[u8]) {
        if NESTING_WORDS.find_iter(bytes).count() > MOST_NESTED_MESSAGES {
            return;
        }
        let Some(message) = MessageParser::default().parse(bytes) else { return };
        let mut text = Text::default();
        for (name, value) in &self.fields {
            let decoded = decode_words(value).unwrap_or_else(|| value.clone());
            push(&mut text.everything, &decoded);
            if matches!(name.as_str(), "subject" | "comments" | "keywords") {
                push(&mut text.words, &decoded);
            }
        }
        let mut waiting = vec![&message];
        while let Some(message) = waiting.pop() {
            for part in &message.parts {
                self.has_attachment |= read_part(&part.body, &mut text);
                if let PartType::Message(nested) = &part.body {
                    waiting.push(nested);
                }
            }
        }
        text.everything.push_str(&text.words);
        // What the parser passed over (part headers, a preamble, a broken part) is still in the bytes.
        push(&mut text.everything, &String::from_utf8_lossy(bytes));
        self.text = Fact::Known(text);
    }
}

/// Adds the text of one part; says whether it is an attachment.
fn read_part(body: &PartType<'_>, text: &mut Text) -> bool {
    match body {
        PartType::Text(plain) => push(&mut text.words, plain),
        PartType::Html(html) => {
            push(&mut text.words, &mail_parser::decoders::html::html_to_text(html));
            push(&mut text.everything, html);
        }
        PartType::Binary(binary) | PartType::InlineBinary(binary) => {
            push(&mut text.everything, &String::from_utf8_lossy(binary));
        }
        PartType::Message(_) | PartType::Multipart(_) => {}
    }
    matches!(body, PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_))
}

/// Splits a header section; the flag says that it is not in the one plain form.
fn read_fields(header: &[u8]) -> (Vec<(String, String)>, bool) {
    let Ok(header) = std::str::from_utf8(header) else { return (Vec::new(), true) }; // RFC 6532 §3.2
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut is_malformed = !header.ends_with("\r\n");
    for line in header.split_terminator("\r\n") {
        // RFC 5322 §2.1.1: 998 octets; §2.2: no CR or LF in a field body; NUL and other controls have no place at all.
        is_malformed |= line.len() > 998 || line.chars().any(|letter| letter.is_control() && letter != '\t');
        if line.starts_with([' ', '\t']) {
            match fields.last_mut() {
                Some((_, value)) if !line.trim().is_empty() => value.push_str(line),
                _ => is_malformed = true, // RFC 5322 §4.2: a folded line of white space alone is obsolete.
            }
            continue;
        }
        match line.split_once(':') {
            Some((name, value)) if is_field_name(name) => {
                fields.push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
            }
            _ => is_malformed = true,
        }
    }
    (fields, is_malformed)
}

/// RFC 5322 §2.2: printable US-ASCII except colon; here only what real fields use.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Reads `name <address>` or `address`: no comments, groups, routes or lists (RFC 5322 §3.4, without its obsolete forms).
pub(super) fn read_author(value: &str) -> Option<Author> {
    let value = value.trim();
    let (name, address) = match value.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim(), address),
        None => ("", value),
    };
    if address.contains(|letter: char| letter.is_whitespace() || "<>,;:\"()\\".contains(letter)) {
        return None;
    }
    let mailbox = Mailbox::parse(address).ok()?;
    let display_name = match name.strip_prefix('"') {
        Some(rest) => unquote(rest.strip_suffix('"')?)?,
        None if name.contains(|letter| "<>,;:\"()\\@[]".contains(letter)) => return None,
        None => name.to_owned(),
    };
    // Some programs decode an encoded word in a quoted string too (RFC 2047 §5 forbids it), so it is read as they would.
    Some(Author { display_name: decode_words(&display_name)?, mailbox })
}

fn unquote(quoted: &str) -> Option<String> {
    let mut plain = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(letters.next()?),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Decodes RFC 2047 encoded words in UTF-8, US-ASCII or ISO 8859-1; `None` when there is one in another charset or form.
pub(super) fn decode_words(value: &str) -> Option<String> {
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    let mut was_word = false;
    while let Some(found) = ENCODED_WORD.captures(rest) {
        let whole = found.get(0)?;
        let between = rest.get(..whole.start())?;
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        if !(was_word && between.trim().is_empty()) {
            decoded.push_str(between);
        }
        let charset = found.get(1)?.as_str().to_ascii_lowercase();
        let is_base64 = found.get(2)?.as_str().eq_ignore_ascii_case("b");
        let text = found.get(3)?.as_str();
        let bytes = if is_base64 { LENIENT_BASE64.decode(text).ok()? } else { decode_q(text)? };
        match charset.split('*').next().unwrap_or_default() {
            "utf-8" | "us-ascii" => decoded.push_str(std::str::from_utf8(&bytes).ok()?),
            "iso-8859-1" => decoded.extend(bytes.iter().map(|byte| char::from(*byte))),
            _ => return None,
        }
        rest = rest.get(whole.end()..)?;
        was_word = true;
    }
    if rest.contains("=?") && rest.contains("?=") {
        return None; // Something that another reader might take for an encoded word.
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// RFC 2047 §4.2.
fn decode_q(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

fn push(text: &mut String, more: &str) {
    text.push_str(more);
    text.push('\n');
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Nested messages, by the words that name their types, above which a version is not parsed.
const MOST_NESTED_MESSAGES: usize = 64;

#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static NESTING_WORDS: LazyLock<aho_corasick::AhoCorasick> = LazyLock::new(|| {
    let words = ["rfc822", "global", "digest"];
    aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(words).expect("constant words")
});

#[expect(clippy::expect_used, reason = "constant, built by every test of this module")]
static ENCODED_WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"=\?([^?\s]+)\?([BbQq])\?([^?\s]*)\?=").expect("a valid pattern"));

/// Base64 with or without padding: readers differ, so both are read.
const LENIENT_BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
