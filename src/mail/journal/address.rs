//! The addresses of a report line: with or without name and brackets, several on a line, with what stands behind them.
//!
//! A report is written by a mail system out of its directory, so that more is an address here than SMTP would take:
//! local parts longer than 64 octets, and names in any script, are kept as given.

use crate::mail::address::Mailbox;

/// What stands behind the colon of a recipient line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The addresses, as written.
    pub(super) addresses: Vec<String>,
    /// The group through which they were reached.
    pub(super) expanded_from: Option<String>,
    /// Whose mailbox forwards to them.
    pub(super) forwarded_from: Option<String>,
    /// Whether something that should be an address is none.
    pub(super) has_bad: bool,
    /// Whether an annotation was not understood.
    pub(super) has_unknown: bool,
    /// Whether an annotation was written in another language.
    pub(super) is_localized: bool,
}

/// Octets of an address that are taken; RFC 5321 §4.5.3.1.3 allows 256 for a path.
const LONGEST: usize = 998;

impl Line {
    /// Reads `value`: addresses, then annotations (`Expanded: …`, `Forwarded: …`).
    pub(super) fn read(value: &str) -> Self {
        let mut line = Self::default();
        for (at, segment) in segments(value).map(str::trim).filter(|segment| !segment.is_empty()).enumerate() {
            match annotation(segment).filter(|_| at > 0) {
                Some((name, value)) => line.annotate(name, value),
                None => match address(segment) {
                    Some(address) => line.addresses.push(address),
                    None => line.has_bad = true,
                },
            }
        }
        line.has_bad |= line.addresses.is_empty();
        line
    }

    fn annotate(&mut self, name: &str, value: &str) {
        let (place, is_localized) = match name.to_lowercase().as_str() {
            "expanded" => (&mut self.expanded_from, false),
            "forwarded" => (&mut self.forwarded_from, false),
            "erweitert" | "développé" => (&mut self.expanded_from, true),
            "weitergeleitet" | "transféré" => (&mut self.forwarded_from, true),
            _ => {
                self.has_unknown = true;
                return;
            }
        };
        self.is_localized |= is_localized;
        match address(value) {
            Some(address) => *place = Some(address),
            None => self.has_bad = true,
        }
    }
}

/// The address in `text` without name, brackets, scheme, blanks and the domain's last dot; `None` when there is none.
pub(super) fn address(text: &str) -> Option<String> {
    let text = without_scheme(text.trim());
    let text = without_scheme(bracketed(text).unwrap_or(text).trim());
    let (local, domain) = text.rsplit_once('@')?;
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let is_quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let is_odd = |letter: char| letter.is_control() || matches!(letter, '<' | '>' | '"' | '(' | ')' | ',' | ';' | '\\');
    let is_local = !local.is_empty()
        && !local.contains(char::is_control)
        && (is_quoted || !local.contains(|letter: char| letter.is_whitespace() || letter == '@' || is_odd(letter)));
    let is_domain = !domain.is_empty() && !domain.contains(|letter: char| letter.is_whitespace() || is_odd(letter));
    (is_local && is_domain && text.len() <= LONGEST).then(|| format!("{local}@{domain}"))
}

/// By what two addresses are the same: no letter case, NFC, the domain as A-label.
pub(super) fn key(address: &str) -> String {
    Mailbox::parse(address).map_or_else(|_| address.to_lowercase(), |mailbox| mailbox.key())
}

/// RFC 6068, and the address types of Exchange.
fn without_scheme(text: &str) -> &str {
    ["smtp:", "mailto:"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = text.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .unwrap_or(text)
        .trim()
}

/// What stands in the angle brackets at the end of `text`.
fn bracketed(text: &str) -> Option<&str> {
    let inner = text.strip_suffix('>')?;
    let mut quotes = Quotes::default();
    let (start, _) = inner.char_indices().find(|(_, letter)| !quotes.covers(*letter) && *letter == '<')?;
    inner.get(start + 1..)
}

/// `Name: value`, where the name is letters: what stands in front of the colon of `a@[IPv6:::1]` is none.
fn annotation(segment: &str) -> Option<(&str, &str)> {
    let (name, value) = segment.split_once(':')?;
    let name = name.trim();
    let is_scheme = ["smtp", "mailto"].iter().any(|scheme| name.eq_ignore_ascii_case(scheme));
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphabetic() || letter == '-');
    (is_name && !is_scheme).then_some((name, value.trim()))
}

/// The pieces between commas and semicolons that stand in no quoted string and no angle brackets.
fn segments(value: &str) -> impl Iterator<Item = &str> {
    let (mut quotes, mut is_path) = (Quotes::default(), false);
    value.split(move |letter: char| {
        if quotes.covers(letter) {
            return false;
        }
        match letter {
            '<' => is_path = true,
            '>' => is_path = false,
            ',' | ';' => return !is_path,
            _ => {}
        }
        false
    })
}

/// Where a quoted string (RFC 5322 §3.2.4) begins and ends.
#[derive(Default)]
struct Quotes {
    is_open: bool,
    is_escaped: bool,
}

impl Quotes {
    /// Whether `letter` is part of a quoted string, its quotes included.
    fn covers(&mut self, letter: char) -> bool {
        let was_open = self.is_open;
        if std::mem::take(&mut self.is_escaped) {
            return true;
        }
        match letter {
            '\\' if was_open => self.is_escaped = true,
            '"' => self.is_open = !was_open,
            _ => return was_open,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_found_in_every_dress() {
        for text in [
            "b@y.example",
            " Bob <b@y.example> ",
            "SMTP:b@y.example",
            "<mailto:b@y.example>",
            "smtp:<b@y.example.>",
            "\"Bob, <the> one\" <b@y.example>",
            "b@y.example.",
        ] {
            assert_eq!(address(text).as_deref(), Some("b@y.example"), "{text}");
        }
        for text in ["\"a,b\"@x.example", "jörg@münchen.example", "a@[IPv6:::1]"] {
            assert_eq!(address(text).as_deref(), Some(text));
        }
        let directory = format!("IMCEAEX-_O=LAKE_OU={}_CN=SAM@lake.example", "X".repeat(100));
        assert_eq!(address(&directory), Some(directory));
        for text in
            ["", "<>", "@", "a@", "@x", "(null) @ node", "a b@x.example", "/o=lake/cn=sam", "a@b@x.example", "a@x>y"]
        {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn commas_in_quotes_and_brackets_part_nothing() {
        let line = Line::read("\"a,b\"@x.example, Expanded: \"c, d\"@x.example");
        assert_eq!(line.addresses, ["\"a,b\"@x.example"]);
        assert_eq!(line.expanded_from.as_deref(), Some("\"c, d\"@x.example"));
        assert!(!line.has_bad && !line.has_unknown);
        let line = Line::read("a@x.example; SMTP:b@x.example, Forwarded: p@x.example, Xyz: q@x.example");
        assert_eq!(line.addresses, ["a@x.example", "b@x.example"]);
        assert_eq!((line.forwarded_from.as_deref(), line.has_unknown), (Some("p@x.example"), true));
        assert!(Line::read("EX:/o=lake").has_bad);
        assert!(Line::read("a@x.example, rubbish").has_bad);
        assert!(Line::read("  ").has_bad);
        assert!(Line::read("a@x.example, Développé: l@x.example").is_localized);
    }

    proptest! {
        #[test]
        fn any_line_is_read(value in "\\PC{0,80}") {
            for address in Line::read(&value).addresses {
                prop_assert!(address.contains('@'));
            }
        }

        #[test]
        fn what_was_read_is_read_the_same_again(value in "[a-z\"<>@., ;:\\\\]{0,30}") {
            if let Some(found) = address(&value) {
                prop_assert_eq!(address(&found), Some(found));
            }
        }
    }
}
