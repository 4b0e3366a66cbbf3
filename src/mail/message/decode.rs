//! The only place that calls mail-parser: single header values and charsets, in our own types.
//!
//! What goes in is bounded by the callers. A panic inside the crate becomes "cannot be read" for that one value.

use std::panic::{UnwindSafe, catch_unwind};

use mail_parser::HeaderValue;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::add_html_token;
use mail_parser::parsers::MessageStream;

use super::charset;
use crate::clock::Timestamp;

/// A media type with its parameters (RFC 2045 §5.1), also a disposition (RFC 2183).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mail) struct MediaType {
    /// `type/subtype`, lower case; a disposition has no slash.
    pub(in crate::mail) name: String,
    /// Parameters with lower-case names.
    pub(in crate::mail) parameters: Vec<(String, String)>,
}

impl MediaType {
    /// The value of a parameter; empty when it is missing.
    pub(in crate::mail) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A display name and an address, as written; one of them may be missing.
pub(in crate::mail) type NameAndAddress = (Option<String>, Option<String>);

/// Whether `value` is UTF-8 (RFC 6532) or ASCII, and not in a charset that it does not declare.
pub(in crate::mail) fn is_utf8(value: &[u8]) -> bool {
    charset::header(value).1
}

/// An unstructured value: unfolded, encoded words decoded (RFC 2047), blanks at both ends removed.
pub(in crate::mail) fn unstructured(value: &[u8]) -> String {
    let line = line(value);
    let text = guarded(|| match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => Some(text.into_owned()),
        _ => None,
    });
    printable(&text.unwrap_or_default())
}

/// What an address field holds.
#[derive(Debug, Clone, Default)]
pub(in crate::mail) struct AddressList {
    /// Mailboxes, groups taken apart.
    pub(in crate::mail) entries: Vec<NameAndAddress>,
    /// Whether there were more than were asked for.
    pub(in crate::mail) has_more: bool,
    /// Whether an entry was cut because no sane one is as long.
    pub(in crate::mail) is_cut: bool,
}

/// Octets of one entry of an address list that are read.
const ENTRY: usize = 2 * 1024;

/// The mailboxes of an address field, at most `limit`.
///
/// mail-parser looks for the end of each unfinished encoded word up to the end of its input, so a field of them would
/// take quadratic time; it is given one entry at a time.
pub(in crate::mail) fn addresses(value: &[u8], limit: usize) -> AddressList {
    let mut list = AddressList::default();
    for entry in entries(&charset::header(value).0) {
        if list.has_more {
            break;
        }
        let end = (0..=ENTRY.min(entry.len())).rev().find(|end| entry.is_char_boundary(*end)).unwrap_or(0);
        list.is_cut |= end < entry.len();
        let line = line(entry.get(..end).unwrap_or_default().as_bytes());
        let found = guarded(|| match MessageStream::new(&line).parse_address() {
            HeaderValue::Address(address) => {
                Some(address.iter().map(|one| (one.name().map(printable), one.address().map(printable))).collect())
            }
            _ => None,
        });
        for one in found.unwrap_or_else(Vec::new) {
            if list.entries.len() < limit {
                list.entries.push(one);
            } else {
                list.has_more = true;
            }
        }
    }
    list
}

/// The parts of an address list between commas that are in no quoted string, comment or angle brackets (RFC 5322 §3.4).
fn entries(value: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped, mut is_route, mut comments) = (false, false, false, 0usize);
    value.split(move |letter: char| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match letter {
            '\\' => is_escaped = is_quoted || comments > 0,
            '"' if comments == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => comments += 1,
            ')' if !is_quoted => comments = comments.saturating_sub(1),
            '<' if !is_quoted && comments == 0 => is_route = true,
            '>' if !is_quoted && comments == 0 => is_route = false,
            ',' => return !is_quoted && !is_route && comments == 0,
            _ => {}
        }
        false
    })
}

/// A date-time (RFC 5322 §3.3, obsolete forms of §4.3 included); `None` when it is none.
pub(in crate::mail) fn date(value: &[u8]) -> Option<Timestamp> {
    let line = line(value);
    let mut date = guarded(|| match MessageStream::new(&line).parse_date() {
        HeaderValue::DateTime(date) => Some(date),
        _ => None,
    })?;
    date.second = date.second.min(59); // a leap second (RFC 5322 §3.3) has no place on the time line of Unix
    if !date.is_valid() {
        return None;
    }
    Some(Timestamp::from_micros(date.to_timestamp().checked_mul(1_000_000)?))
}

/// A media type or disposition with its parameters (RFC 2231 included); `None` when there is none.
pub(in crate::mail) fn media_type(value: &[u8]) -> Option<MediaType> {
    let line = line(value);
    guarded(|| {
        let HeaderValue::ContentType(found) = MessageStream::new(&line).parse_content_type() else { return None };
        let name = match found.subtype() {
            Some(subtype) => format!("{}/{subtype}", found.ctype()),
            None => found.ctype().to_owned(),
        };
        let parameters = found.attributes().unwrap_or_default().iter();
        let parameters =
            parameters.map(|attribute| (attribute.name.to_ascii_lowercase(), attribute.value.to_string())).collect();
        Some(MediaType { name: name.to_ascii_lowercase(), parameters })
    })
}

/// `bytes` in the charset of this name in lower case; `None` where mail-parser does not know it.
pub(super) fn known_charset(bytes: &[u8], label: &str) -> Option<String> {
    let decoder = charset_decoder(label.as_bytes())?;
    guarded(|| Some(decoder(bytes)))
}

/// The text of an HTML character reference such as `&auml;`; `None` when it is none.
pub(in crate::mail) fn html_reference(reference: &str) -> Option<String> {
    let text = guarded(|| {
        let mut text = String::new();
        add_html_token(&mut text, reference.as_bytes(), false);
        Some(text)
    })?;
    (text != reference).then_some(text)
}

/// The value as one line of UTF-8 with the line end that mail-parser's field readers ask for.
fn line(value: &[u8]) -> Vec<u8> {
    let (text, _) = charset::header(value);
    let mut line = Vec::with_capacity(text.len() + 2);
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

/// `text` on one line: runs of blanks and control characters become one blank.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || letter == ' ' {
            if !clean.is_empty() && !clean.ends_with(' ') {
                clean.push(' ');
            }
        } else {
            clean.push(letter);
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// The answer of `read`; `None` also when it panics.
fn guarded<T>(read: impl FnOnce() -> Option<T> + UnwindSafe) -> Option<T> {
    catch_unwind(read).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_every_known_form_are_one_moment() {
        for text in [
            "Tue, 10 Mar 2026 09:15:02 +0100",
            "10 Mar 26 08:15:02 GMT",
            "Tue, 10 Mar 2026 03:15:02 EST",
            " Tue, 10 Mar 2026\r\n 09:15:02 +0100 (CET)",
        ] {
            assert_eq!(date(text.as_bytes()).unwrap().to_string(), "2026-03-10T08:15:02.000Z", "{text}");
        }
        for text in ["", "yesterday", "99 Foo 2026 10:00:00 +0000", "Tue, 10 Mar 2026 99:15:02 +0100"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_address_list_is_read_entry_by_entry() {
        let value = "\"Lee, Ann\" <ann@x.example>, Team: b@x.example (B, C), c@x.example;, \
                     =?utf-8?Q?J=C3=B6rg?= <j@x.example>, <@r.example,@s.example:d@x.example>";
        let list = addresses(value.as_bytes(), 10);
        let names: Vec<&str> = list.entries.iter().map(|(name, _)| name.as_deref().unwrap_or_default()).collect();
        let found: Vec<&str> = list.entries.iter().map(|(_, address)| address.as_deref().unwrap_or_default()).collect();
        assert_eq!(found[..4], ["ann@x.example", "b@x.example", "c@x.example", "j@x.example"]);
        assert_eq!((names[0], names[3], found.len()), ("Lee, Ann", "J\u{f6}rg", 5));
        assert!(addresses(value.as_bytes(), 2).has_more);
    }

    #[test]
    fn character_references_are_decoded() {
        assert_eq!(html_reference("&auml;").as_deref(), Some("ä"));
        assert_eq!(html_reference("&#x20AC;").as_deref(), Some("€"));
        assert_eq!(html_reference("&nosuchthing;"), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read(value: Vec<u8>) {
            unstructured(&value);
            addresses(&value, 10);
            date(&value);
            media_type(&value);
        }
    }
}
