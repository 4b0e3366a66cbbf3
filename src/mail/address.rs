//! Mailboxes and domains as SMTP and message headers name them, and when two of them are the same.
//!
//! Standards: RFC 5321 §4.1.2 (grammar), §2.4 (local-part case), §4.5.3.1 (sizes), RFC 6531 (SMTPUTF8), RFC 5890 (A-labels).

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// The longest local-part that is read. RFC 5321 §4.5.3.1 has 64 octets as the least that everybody takes, and asks for no
/// limit beyond. Return addresses with somebody else's inside (SRS, VERP) are longer, and so are route addresses whose
/// detail names the recipient of a copy: 31 octets of the route, 64 of the recipient's local-part, `=`, and a domain of 253.
pub const LOCAL_PART_OCTETS: usize = 384;

/// Why a text is no mailbox or domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` outside a quoted string.
    #[error("an address has the form local-part@domain")]
    NoDomain,
    /// Empty, longer than [`LOCAL_PART_OCTETS`], or with a character that RFC 5321 §4.1.2 does not allow.
    #[error(
        "the part before the @ is empty, over {LOCAL_PART_OCTETS} octets, or has a character that is not allowed there"
    )]
    LocalPart,
    /// Empty, longer than 255 octets, or no domain by IDNA.
    #[error("the domain is empty, over 255 octets, or not a valid name")]
    Domain,
}

/// A domain in A-label form, lower case, without a trailing dot; or an address literal in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// Reads a domain in any case, in A- or U-label form, or an address literal such as `[192.0.2.1]`.
    ///
    /// # Errors
    /// [`AddressError::Domain`] when the text names no domain.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > 255 {
            return Err(AddressError::Domain); // RFC 5321 §4.5.3.1.2
        }
        if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::parse_literal(literal);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| AddressError::Domain)?;
        let is_name = ascii.len() <= 253
            && ascii.split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            });
        if is_name { Ok(Self(ascii)) } else { Err(AddressError::Domain) }
    }

    fn parse_literal(literal: &str) -> Result<Self, AddressError> {
        // RFC 5321 §4.1.3
        let is_v6 = literal.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"))
            && literal.get(5..).is_some_and(|rest| rest.parse::<std::net::Ipv6Addr>().is_ok());
        if is_v6 || literal.parse::<std::net::Ipv4Addr>().is_ok() {
            Ok(Self(format!("[{}]", literal.to_ascii_lowercase())))
        } else {
            Err(AddressError::Domain)
        }
    }

    /// The A-label form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form with U-labels (RFC 5890 §2.3.2.1), as people write it; `None` where it is the same.
    #[must_use]
    pub fn unicode(&self) -> Option<String> {
        let (shown, is_valid) = idna::domain_to_unicode(&self.0);
        (is_valid.is_ok() && shown != self.0).then_some(shown)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Domain {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

/// One mailbox: the local-part as it was given (unquoted), and the domain.
///
/// Equality compares what was given; [`Mailbox::key`] is the form in which two spellings of one mailbox are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    local: String,
    domain: Domain,
}

impl Mailbox {
    /// Reads `local-part@domain`; the local-part may be a quoted string.
    ///
    /// # Errors
    /// Says which part is at fault.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoDomain)?;
        let domain = Domain::parse(domain)?;
        let local = match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => unquote(quoted)?,
            None if local.chars().all(is_atom_or_dot) && is_dot_string(local) => local.to_owned(),
            None => return Err(AddressError::LocalPart),
        };
        if local.is_empty() || local.len() > LOCAL_PART_OCTETS {
            return Err(AddressError::LocalPart);
        }
        Ok(Self { local, domain })
    }

    /// The local-part without quoting.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The local-part before the first `+`, and the detail behind it (RFC 5233), where there is one.
    #[must_use]
    pub fn split_detail(&self) -> (&str, Option<&str>) {
        match self.local.split_once('+') {
            Some((user, detail)) if !user.is_empty() => (user, Some(detail)),
            _ => (&self.local, None),
        }
    }

    /// The address with the domain as people write it; `None` where that is the same.
    #[must_use]
    pub fn unicode(&self) -> Option<String> {
        let shown = self.to_string();
        let local = shown.strip_suffix(self.domain.as_str())?;
        self.domain.unicode().map(|domain| format!("{local}{domain}"))
    }

    /// The form for comparison: NFC, without letter case, domain as A-label, detail kept.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}@{}", fold(&self.local), self.domain)
    }

    /// As [`Mailbox::key`], without the `+detail`.
    #[must_use]
    pub fn key_without_detail(&self) -> String {
        format!("{}@{}", fold(self.split_detail().0), self.domain)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local.chars().all(is_atom_or_dot) && is_dot_string(&self.local) {
            return write!(formatter, "{}@{}", self.local, self.domain);
        }
        let escaped = self.local.replace('\\', "\\\\").replace('"', "\\\"");
        write!(formatter, "\"{escaped}\"@{}", self.domain)
    }
}

impl TryFrom<String> for Mailbox {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

/// The SMTP reverse-path (MAIL FROM).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`: reports and automatic answers, which must not be answered (RFC 5321 §4.5.5).
    Null,
    /// A mailbox that takes failure reports.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, where there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(formatter),
        }
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self::Null) } else { Mailbox::parse(&text).map(Self::Mailbox) }
    }
}

impl From<ReversePath> for String {
    fn from(path: ReversePath) -> Self {
        path.to_string()
    }
}

fn fold(local: &str) -> String {
    local.nfc().flat_map(char::to_lowercase).collect()
}

/// RFC 5321 §4.1.2 `atext` and dot, with the UTF-8 of RFC 6531 §3.3.
fn is_atom_or_dot(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~.".contains(letter)
        || (!letter.is_ascii() && !letter.is_control())
}

fn is_dot_string(local: &str) -> bool {
    !local.is_empty() && !local.starts_with('.') && !local.ends_with('.') && !local.contains("..")
}

fn unquote(quoted: &str) -> Result<String, AddressError> {
    let mut plain = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            '\\' => letters.next().ok_or(AddressError::LocalPart)?,
            '"' => return Err(AddressError::LocalPart),
            other => other,
        };
        if letter.is_control() {
            return Err(AddressError::LocalPart);
        }
        plain.push(letter);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_mailbox_have_one_key() {
        let plain = Mailbox::parse("Ann.Lee@Bücher.Example.").unwrap();
        let other = Mailbox::parse("ann.lee@xn--bcher-kva.example").unwrap();
        assert_eq!(plain.key(), other.key());
        assert_eq!(Mailbox::parse("\"ann.lee\"@xn--bcher-kva.example").unwrap().key(), other.key());
    }

    #[test]
    fn a_detail_is_kept_and_can_be_left_out() {
        let mailbox = Mailbox::parse("deals+unit14@in.example").unwrap();
        assert_eq!(mailbox.split_detail(), ("deals", Some("unit14")));
        assert_eq!(mailbox.key_without_detail(), "deals@in.example");
        assert_eq!(Mailbox::parse("+x@in.example").unwrap().split_detail(), ("+x", None));
    }

    #[test]
    fn a_domain_is_shown_as_people_write_it_where_that_differs() {
        let domain = Domain::parse("B\u{fc}cher.example").unwrap();
        assert_eq!(
            (domain.as_str(), domain.unicode().as_deref()),
            ("xn--bcher-kva.example", Some("b\u{fc}cher.example"))
        );
        let mailbox = Mailbox::parse("\"a b\"@xn--bcher-kva.example").unwrap();
        assert_eq!(mailbox.unicode().as_deref(), Some("\"a b\"@b\u{fc}cher.example"));
        for plain in ["acme.example", "[192.0.2.1]"] {
            assert_eq!(Domain::parse(plain).unwrap().unicode(), None);
        }
        assert_eq!(Mailbox::parse("ann@acme.example").unwrap().unicode(), None);
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a..b@c",
            ".a@b",
            "a@b..c",
            "a@-b",
            "\"a@b",
            "a\r\n@b",
            "a@[1.2.3]",
            "a@b\r\nc",
        ] {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
        assert!(Mailbox::parse(&format!("{}@b", "a".repeat(LOCAL_PART_OCTETS + 1))).is_err());
    }

    #[test]
    fn the_longest_recipient_fits_behind_a_route() {
        let domain = [&"d".repeat(63), &"e".repeat(63), &"f".repeat(63), "g".repeat(61).as_str()].join(".");
        let text = format!("bcc-{}+{}={domain}@in.example", "t".repeat(26), "l".repeat(64));
        assert_eq!(Mailbox::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn literals_and_quoted_local_parts_are_mailboxes() {
        assert_eq!(Mailbox::parse("a@[IPv6:::1]").unwrap().to_string(), "a@[ipv6:::1]");
        assert_eq!(Mailbox::parse("\"a b\\\"c\"@d").unwrap().to_string(), "\"a b\\\"c\"@d");
    }

    proptest! {
        #[test]
        fn a_mailbox_reads_back_as_itself(text in "\\PC{0,40}@[a-z0-9.]{1,20}") {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                prop_assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
            }
        }

        #[test]
        fn no_mailbox_can_break_a_line(text: String) {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                prop_assert!(!mailbox.to_string().contains(['\r', '\n', '\0']));
            }
        }
    }
}
