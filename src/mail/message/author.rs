//! Whether everybody reads the same author out of a From field.
//!
//! Readers differ over malformed fields: one shows the first address, one the last, one what stands in a comment. Such a
//! field is no error here, and nobody is believed by it: what a signature or a policy says of one reading says nothing of
//! another.
//!
//! Standards: RFC 5322 §3.4 (addresses), §3.6.2 (From), RFC 6854 (groups in From), RFC 2047 §5 (no encoded word in an
//! address).

use super::HeaderAddress;
use crate::mail::address::Mailbox;

/// Whether the value of a From field can be read in more than one way.
pub(super) fn is_obscured(value: &[u8]) -> bool {
    let Some(parts) = Parts::of(value) else { return true };
    let phrase = parts.phrase.trim_ascii();
    match &parts.angle {
        // Nothing may follow the address, and nothing that looks like another one may stand in front of it.
        Some(address) => {
            !parts.rest.trim_ascii().is_empty()
                || !is_plain_address(address)
                || (phrase.contains(&b'@') && !phrase.eq_ignore_ascii_case(address.trim_ascii()))
        }
        None => !is_plain_address(phrase),
    }
}

/// Whether the name in front of the author's address is an address of another domain.
pub(super) fn is_misleading(author: &HeaderAddress) -> bool {
    let (Some(name), Some(mailbox)) = (&author.display_name, &author.mailbox) else { return false };
    let is_edge = |letter: char| !letter.is_alphanumeric();
    name.split(|letter: char| letter.is_whitespace() || matches!(letter, '<' | '>' | '"' | '(' | ')' | ',' | ';'))
        .filter_map(|word| Mailbox::parse(word.trim_matches(is_edge)).ok())
        .any(|other| other.domain() != mailbox.domain() && other.domain().as_str().contains('.'))
}

/// An addr-spec that no reader can take for another: one `@`, no encoded word, nothing quoted that looks like an address.
fn is_plain_address(address: &[u8]) -> bool {
    let address = address.trim_ascii();
    let ats = address.iter().filter(|byte| **byte == b'@').count();
    let has_blank = address.iter().any(u8::is_ascii_whitespace);
    let has_word = memchr::memmem::find(address, b"=?").is_some() && memchr::memmem::find(address, b"?=").is_some();
    ats == 1 && !has_blank && !has_word
}

/// A From field taken apart: what stands in front of the angle brackets, in them, and behind them. Comments are left out;
/// quoted strings are left out of the phrase, where they are words.
#[derive(Default)]
struct Parts {
    phrase: Vec<u8>,
    angle: Option<Vec<u8>>,
    rest: Vec<u8>,
}

/// Where the reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Phrase,
    Angle,
    Rest,
}

impl Parts {
    /// `None` where the field breaks off, nests, names a group or several addresses, or holds what no field may hold.
    fn of(value: &[u8]) -> Option<Self> {
        let mut parts = Self::default();
        let mut place = Place::Phrase;
        let mut bytes = value.iter().copied();
        while let Some(byte) = bytes.next() {
            match (byte, place) {
                (b'\r' | b'\n' | b'\t', _) => parts.push(place, b' '),
                (0..=31 | 127, _) => return None,
                (b'(', _) => skip_comment(&mut bytes)?,
                (b'"', _) => parts.quoted(place, &mut bytes)?,
                (b'<', Place::Phrase) => {
                    place = Place::Angle;
                    parts.angle = Some(Vec::new());
                }
                (b'>', Place::Angle) => place = Place::Rest,
                (b'<' | b'>' | b',' | b';' | b')', _) => return None,
                // A group, or a source route. An address literal may hold a colon.
                (b':', _) if !parts.is_in_literal(place) => return None,
                (other, _) => parts.push(place, other),
            }
        }
        (place != Place::Angle).then_some(parts)
    }

    fn part(&mut self, place: Place) -> &mut Vec<u8> {
        match place {
            Place::Phrase => &mut self.phrase,
            Place::Angle => self.angle.get_or_insert_default(),
            Place::Rest => &mut self.rest,
        }
    }

    fn push(&mut self, place: Place, byte: u8) {
        self.part(place).push(byte);
    }

    fn is_in_literal(&mut self, place: Place) -> bool {
        let part = self.part(place);
        part.contains(&b'[') && !part.contains(&b']')
    }

    /// A quoted string. One that looks like an address, in front of an `@`, is a trick.
    fn quoted(&mut self, place: Place, bytes: &mut impl Iterator<Item = u8>) -> Option<()> {
        let mut text = Vec::new();
        loop {
            match bytes.next()? {
                b'\\' => text.push(bytes.next()?),
                b'"' => break,
                0 => return None,
                other => text.push(other),
            }
        }
        let is_word = place == Place::Phrase;
        if !is_word && text.iter().any(|byte| b"@<>,;:".contains(byte)) {
            return None;
        }
        // As a word of the phrase it is no address; as a local-part it is a stand-in for one.
        self.push(place, if is_word { b'q' } else { b'_' });
        Some(())
    }
}

/// A comment, however deep. One that looks like an address is a trick.
fn skip_comment(bytes: &mut impl Iterator<Item = u8>) -> Option<()> {
    let mut depth = 1_usize;
    while depth > 0 {
        match bytes.next()? {
            b'\\' => {
                bytes.next()?;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'@' | b'<' | b'>' | 0 => return None,
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_everybody_reads_alike_is_not_obscured() {
        for value in [
            " Ann Lee <ann@lakeside.example>",
            "ann@lakeside.example",
            "\"Lee, Ann: sales <x@y>\" <ann@lakeside.example>",
            "Ann (sales) Lee\r\n <ann@lakeside.example> (home)",
            "ann@lakeside.example <Ann@lakeside.example>",
            "=?utf-8?q?J=C3=B6rg?= <ann@lakeside.example>",
            "\"ann lee\" <\"ann lee\"@lakeside.example>",
            "ann@[IPv6:::1]",
            "<ann@lakeside.example>",
        ] {
            assert!(!is_obscured(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn what_can_be_read_in_more_than_one_way_is_obscured() {
        for value in [
            "",
            "Ann",
            "ann@lakeside.example <eve@evil.example>",
            "<ann@lakeside.example> <eve@evil.example>",
            "<ann@lakeside.example> eve@evil.example",
            "<<ann@lakeside.example>eve@evil.example>",
            "ann@lakeside.example, eve@evil.example",
            "Lee, Ann <ann@lakeside.example>",
            "Staff: ann@lakeside.example;",
            "Staff:;",
            "eve@evil.example (ann@lakeside.example)",
            "\"ann@lakeside.example\" @evil.example <\"ann@lakeside.example>\"@evil.example>",
            "<\"ann@lakeside.example\"@evil.example>",
            "<=?utf-8?q?ann=40lakeside.example?=@evil.example>",
            "<@relay.example:ann@lakeside.example>",
            "<ann@lakeside.example@evil.example>",
            "ann@lakeside.example\0eve@evil.example",
            "Ann \0<ann@lakeside.example>",
            "Ann <ann@lakeside.example",
            "\"Ann <ann@lakeside.example>",
            "(Ann <ann@lakeside.example>",
            "Ann <ann @lakeside.example>",
        ] {
            assert!(is_obscured(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_name_that_is_an_address_of_another_domain_misleads() {
        let author = |name: &str| HeaderAddress {
            address: "eve@evil.example".into(),
            mailbox: Mailbox::parse("eve@evil.example").ok(),
            display_name: Some(name.into()),
        };
        for name in ["ann@lakeside.example", "Ann <ann@lakeside.example>", "'ann@lakeside.example' via list"] {
            assert!(is_misleading(&author(name)), "{name}");
        }
        for name in ["Eve", "eve@EVIL.example", "Eve @ work", "reply@once"] {
            assert!(!is_misleading(&author(name)), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_in_one_pass(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = is_obscured(&value);
        }

        #[test]
        fn two_addresses_are_never_plain(one in "[a-z]{1,5}@[a-z]{1,5}", between in "[ ,<>()\";:]{1,4}", other in "[A-Z]{1,5}@[A-Z]{6,9}") {
            let value = format!("{one}{between}{other}");
            prop_assert!(is_obscured(value.as_bytes()), "{}", value);
        }
    }
}
