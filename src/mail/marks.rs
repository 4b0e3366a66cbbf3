//! Marks: what a mail provider stamps on a copy that tells one of its customers from another.
//!
//! Everybody's mail comes from the networks of a large provider. Such a network proves the provider; a mark, pinned for a
//! route, proves the customer.
//!
//! # Security
//! Header fields can be written by anybody. One counts only where it stands in the message once and a passing signature of
//! the provider covers it, and a signing domain only where its signature passes. A domain that the provider signs for
//! everybody with is no mark.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mail::address::Domain;
use crate::mail::authentication::{Authentication, Method, Outcome};

/// Header fields that name a customer of a provider, in lower case.
pub const FIELDS: [&str; 3] = ["x-ms-exchange-crosstenant-id", "x-ms-exchange-organization", "x-originatororg"];

/// Marks of one copy at most: a signature each, and the fields.
pub const MOST: usize = 16;

/// Octets of a field's value that are compared.
const VALUE: usize = 128;

/// Something that tells one customer of a provider from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// `dkim` for a domain that signed, or the field's name in lower case.
    pub name: String,
    /// The domain, or the field's value.
    pub value: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.value)
    }
}

/// A header field that a passing signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedField {
    /// The domain whose signature covers it, in lower case.
    pub signer: String,
    /// Its name, in lower case.
    pub name: String,
    /// Its value, unfolded.
    pub value: String,
}

impl SignedField {
    /// A field with what a mark keeps of its value.
    #[must_use]
    pub fn new(signer: &str, name: &str, value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let text = words.join(" ").to_ascii_lowercase();
        let value = text.chars().filter(|letter| !letter.is_control()).take(VALUE);
        Self { signer: signer.to_ascii_lowercase(), name: name.to_ascii_lowercase(), value: value.collect() }
    }
}

/// A provider in whose networks mail of many customers begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Microsoft's.
    ExchangeOnline,
    /// Google's.
    GoogleWorkspace,
    /// Another one.
    Other {
        /// The domain whose SPF record names its networks.
        spf: Domain,
        /// The domain with which, or below which, it signs.
        signer: Domain,
    },
}

/// A text that names no provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no provider: write exchange-online, google-workspace, or SPF-DOMAIN:SIGNING-DOMAIN")]
pub struct NotAProvider;

impl Provider {
    /// The domain whose SPF record (RFC 7208) names its networks.
    #[must_use]
    pub fn spf(&self) -> &str {
        match self {
            Self::ExchangeOnline => "spf.protection.outlook.com",
            Self::GoogleWorkspace => "_spf.google.com",
            Self::Other { spf, .. } => spf.as_str(),
        }
    }

    /// Whether `domain` is the provider's, or below it, and whether it is one of many customers'.
    fn signs_as(&self, domain: &str) -> Option<bool> {
        let own: &[&str] = match self {
            Self::ExchangeOnline => &["microsoft.com", "outlook.com", "onmicrosoft.com"],
            Self::GoogleWorkspace => &["google.com", "gappssmtp.com"],
            Self::Other { signer, .. } => &[signer.as_str()],
        };
        own.iter().find_map(|own| match domain.strip_suffix(own) {
            Some("") => Some(true),
            Some(below) if below.ends_with('.') => Some(false),
            _ => None,
        })
    }
}

impl FromStr for Provider {
    type Err = NotAProvider;

    fn from_str(text: &str) -> Result<Self, NotAProvider> {
        match text {
            "exchange-online" => return Ok(Self::ExchangeOnline),
            "google-workspace" => return Ok(Self::GoogleWorkspace),
            _ => {}
        }
        let (spf, signer) = text.split_once(':').ok_or(NotAProvider)?;
        let domain = |text: &str| Domain::parse(text).map_err(|_| NotAProvider);
        Ok(Self::Other { spf: domain(spf)?, signer: domain(signer)? })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExchangeOnline => formatter.write_str("exchange-online"),
            Self::GoogleWorkspace => formatter.write_str("google-workspace"),
            Self::Other { spf, signer } => write!(formatter, "{spf}:{signer}"),
        }
    }
}

/// The marks of a copy that came from a network of `provider`: sorted, each once, so that equal sets are equal lists.
#[must_use]
pub fn marks(authentication: &Authentication, provider: &Provider) -> Vec<Mark> {
    let passed = authentication.results.iter().filter(|one| one.method == Method::Dkim && one.result == Outcome::Pass);
    // What the provider signs everybody's mail with tells nobody from anybody.
    let signers = passed.map(|one| one.domain.as_str()).filter(|domain| provider.signs_as(domain) != Some(true));
    let signers = signers.map(|domain| Mark { name: "dkim".to_owned(), value: domain.to_owned() });
    let fields = authentication.signed_fields.iter().filter(|field| provider.signs_as(&field.signer).is_some());
    let fields = fields.filter(|field| FIELDS.contains(&field.name.as_str()) && !field.value.is_empty());
    let fields = fields.map(|field| Mark { name: field.name.clone(), value: field.value.clone() });
    let mut marks: Vec<Mark> = signers.chain(fields).collect();
    marks.sort();
    marks.dedup();
    marks.truncate(MOST);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::authentication::{Identity, MethodResult};

    fn signed(domains: &[(&str, Outcome)], fields: &[(&str, &str, &str)]) -> Authentication {
        let result =
            |(domain, outcome): &(&str, Outcome)| MethodResult::new(Method::Dkim, *outcome, Identity::Signer, domain);
        let mut authentication = Authentication::of(domains.iter().map(result).collect(), None, false);
        let field = |(signer, name, value): &(&str, &str, &str)| SignedField::new(signer, name, value.as_bytes());
        authentication.signed_fields = fields.iter().map(field).collect();
        authentication
    }

    fn told(authentication: &Authentication, provider: &str) -> Vec<String> {
        marks(authentication, &provider.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_tells_a_customer_is_a_mark_and_what_everybody_has_is_none() {
        let pass = Outcome::Pass;
        let found = signed(
            &[
                ("outlook.com", pass),
                ("acme.onmicrosoft.com", pass),
                ("acme.example", pass),
                ("x.example", Outcome::Fail),
            ],
            &[
                ("microsoft.com", "X-MS-Exchange-CrossTenant-Id", " 7F3A-\r\n 11 "),
                ("microsoft.com", "Subject", "no mark"),
                ("stranger.example", "X-OriginatorOrg", "acme.example"),
            ],
        );
        let wanted = ["dkim=acme.example", "dkim=acme.onmicrosoft.com", "x-ms-exchange-crosstenant-id=7f3a- 11"];
        assert_eq!(told(&found, "exchange-online"), wanted);
        // To another provider the same signatures say other things.
        let elsewhere = told(&found, "google-workspace");
        assert!(elsewhere.contains(&"dkim=outlook.com".to_owned()) && elsewhere.len() == 3, "{elsewhere:?}");
        assert!(
            told(
                &signed(&[("notmicrosoft.com", pass)], &[("notmicrosoft.com", "x-originatororg", "a")]),
                "exchange-online"
            ) == ["dkim=notmicrosoft.com"],
            "a name that only ends alike is no provider's"
        );
    }

    #[test]
    fn providers_are_words_that_read_back() {
        for text in ["exchange-online", "google-workspace", "spf.lake.example:lake.example"] {
            assert_eq!(text.parse::<Provider>().unwrap().to_string(), text);
        }
        for text in ["", "lake.example", "a b:lake.example", "spf.lake.example:"] {
            assert_eq!(text.parse::<Provider>(), Err(NotAProvider), "{text}");
        }
    }
}
