//! Received fields: the hosts that a message says it came by.
//!
//! Anybody can write one; they are read to see that a message goes in a circle, and believed for nothing else. Reading is
//! linear, and stops at a number of fields.
//!
//! Standards: RFC 5321 §4.4 (syntax), §6.3 (loops).

use std::str::FromStr;

use super::Hop;
use crate::ids::MessageId;

/// Fields from the top that are read. RFC 5321 §6.3: more than a hundred are a loop, whoever wrote them.
pub(super) const READ: usize = 100;
/// RFC 1035 §2.3.4: no name is longer.
const NAME: usize = 255;

/// Reads the value of one field; `None` where it names no host that took the message.
pub(super) fn read(value: &[u8]) -> Option<Hop> {
    let mut words = Words { rest: value };
    let (mut by, mut id) = (None, None);
    while let Some(word) = words.next() {
        // Behind these stands a name that the peer chose: it may be `by`.
        if word.eq_ignore_ascii_case(b"from") {
            let _ = words.next();
        } else if word.eq_ignore_ascii_case(b"by") {
            by = by.or(words.next());
        } else if word.eq_ignore_ascii_case(b"id") {
            id = id.or(words.next());
        }
    }
    let by = by.filter(|name| name.len() <= NAME)?;
    let by = String::from_utf8_lossy(by.strip_suffix(b".").unwrap_or(by)).to_ascii_lowercase();
    let id = id.and_then(|id| std::str::from_utf8(id).ok()).and_then(|id| MessageId::from_str(id).ok());
    Some(Hop { by, id })
}

/// What blanks separate in front of the semicolon, comments left out.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (mut depth, mut start) = (0_usize, None);
        let mut octets = self.rest.iter().enumerate();
        while let Some((at, octet)) = octets.next() {
            let is_word = match octet {
                b'\\' if depth > 0 => {
                    let _ = octets.next();
                    false
                }
                b'(' => {
                    depth += 1;
                    false
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    false
                }
                b';' if depth == 0 => break,
                octet => depth == 0 && !octet.is_ascii_whitespace(),
            };
            match (start, is_word) {
                (None, true) => start = Some(at),
                (Some(from), false) => {
                    let word = self.rest.get(from..at);
                    // The octet that ended it may begin a comment.
                    self.rest = self.rest.get(at..).unwrap_or_default();
                    return word;
                }
                _ => {}
            }
        }
        let end = self.rest.iter().position(|octet| *octet == b';').unwrap_or(self.rest.len());
        let word = start.and_then(|from| self.rest.get(from..end.max(from)));
        self.rest = &[];
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hop(value: &str) -> Option<(String, bool)> {
        read(value.as_bytes()).map(|hop| (hop.by, hop.id.is_some()))
    }

    #[test]
    fn the_host_that_took_it_is_found_behind_by() {
        for (value, by) in [
            (
                "from a.example (b [192.0.2.1])\r\n\tby MX.Harbor.example. (Postfix) with ESMTPS id 4XyZ\r\n\tfor <x@y>; Tue, 1",
                "mx.harbor.example",
            ),
            ("by 2002:a05:6512 with SMTP id a1; x", "2002:a05:6512"),
            ("from by by mx.harbor.example; by other.example", "mx.harbor.example"),
            ("from a (by (liar) \\) by liar.example) BY mx.harbor.example(x);", "mx.harbor.example"),
            ("by mx.harbor.example;date", "mx.harbor.example"),
            ("by mx.harbor.example", "mx.harbor.example"),
        ] {
            assert_eq!(hop(value), Some((by.to_owned(), false)), "{value}");
        }
        for value in [
            "",
            "(qmail 1 invoked by uid 2); x",
            "from by",
            "by",
            "; by mx.harbor.example",
            "from a (by mx.harbor.example",
        ] {
            assert_eq!(hop(value), None, "{value}");
        }
        assert_eq!(hop(&format!("by {}", "a".repeat(256))), None);
    }

    #[test]
    fn an_id_of_ours_is_told_from_others() {
        let id = MessageId::from_bits(7);
        assert_eq!(read(format!("from x by y with ESMTP id {id};\r\n\tx").as_bytes()).unwrap().id, Some(id));
        assert_eq!(read(b"from x by y with ESMTP id 4XyZ; x").unwrap().id, None);
    }

    proptest! {
        #[test]
        fn no_value_and_no_beginning_of_one_fails(value in "[a-z by();\\\\\r\n\t]{0,60}|\\PC{0,40}") {
            for end in 0..=value.len() {
                let _ = read(value.as_bytes().get(..end).unwrap());
            }
        }
    }
}
