//! Who may hand copies over for a route: rules that name peers by what a door knows of them.
//!
//! A stored format: each rule is a word (`192.0.2.0/24`, `key:key_…`, `cert:sha256:…`, `cert:name:…`, `door:lmtp`), and
//! words are only ever added. A rule that is not matched authorises nobody; nothing here guesses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::ids::KeyId;
use crate::mail::envelope::{Certificate, Door, Origin};
use crate::mail::marks::Provider;

/// One way for a peer to be authorised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PeerRule {
    /// Its address is in this range.
    Network(IpNet),
    /// It authenticated with this API key.
    Key(KeyId),
    /// It proved to hold the key of the certificate with this SHA-256, in lower-case hexadecimal.
    Certificate(String),
    /// It showed a certificate by a trusted issuer of this name, for this name.
    CertificateName {
        /// Common name of the issuer.
        issuer: String,
        /// A DNS name of the certificate.
        name: String,
    },
    /// It is in a network of a provider, which is everybody's: marks must say whose copy it is.
    Shared(Provider),
    /// It came in by a door that only local or listed programs reach.
    Door(Door),
}

/// A text that is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no peer: write a network such as 192.0.2.0/24, key:KEY_ID, cert:sha256:HEX, cert:name:ISSUER:NAME, \
     door:lmtp, door:milter, or shared:PROVIDER"
)]
pub struct NotAPeer;

impl PeerRule {
    /// The provider whose networks are meant, where they are everybody's.
    #[must_use]
    pub const fn provider(&self) -> Option<&Provider> {
        match self {
            Self::Shared(provider) => Some(provider),
            _ => None,
        }
    }

    /// Whether who handed the message over is meant.
    #[must_use]
    pub fn admits(&self, origin: &Origin) -> bool {
        match self {
            Self::Network(range) => origin.peer.is_some_and(|peer| range.contains(&peer)),
            Self::Key(key) => origin.authenticated == Some(*key),
            Self::Certificate(sha256) => {
                origin.certificate.as_ref().is_some_and(|shown| shown.sha256.eq_ignore_ascii_case(sha256))
            }
            Self::CertificateName { issuer, name } => {
                origin.certificate.as_ref().is_some_and(|shown| is_for(shown, issuer, name))
            }
            Self::Door(door) => origin.door == *door,
            // It authorises nobody by itself, and its networks are for DNS to tell.
            Self::Shared(_) => false,
        }
    }
}

/// Names are believed only of a certificate whose chain was verified.
fn is_for(shown: &Certificate, issuer: &str, name: &str) -> bool {
    shown.is_verified && shown.issuer == issuer && shown.names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

impl FromStr for PeerRule {
    type Err = NotAPeer;

    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        if let Some(key) = text.strip_prefix("key:") {
            return key.parse().map(Self::Key).map_err(|_| NotAPeer);
        }
        if let Some(sha256) = text.strip_prefix("cert:sha256:") {
            let digits: String = sha256.chars().filter(|letter| *letter != ':').collect();
            let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_digest.then(|| Self::Certificate(digits.to_ascii_lowercase())).ok_or(NotAPeer);
        }
        if let Some(names) = text.strip_prefix("cert:name:") {
            // An issuer's name may have a colon in it, a DNS name never has.
            let (issuer, name) = names.rsplit_once(':').ok_or(NotAPeer)?;
            let is_whole = !issuer.is_empty() && !name.is_empty();
            let rule = || Self::CertificateName { issuer: issuer.to_owned(), name: name.to_ascii_lowercase() };
            return is_whole.then(rule).ok_or(NotAPeer);
        }
        if let Some(provider) = text.strip_prefix("shared:") {
            return provider.parse().map(Self::Shared).map_err(|_| NotAPeer);
        }
        match text.strip_prefix("door:") {
            Some("lmtp") => Ok(Self::Door(Door::Lmtp)),
            Some("milter") => Ok(Self::Door(Door::Milter)),
            Some(_) => Err(NotAPeer),
            None => {
                let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
                text.parse().ok().or_else(alone).map(Self::Network).ok_or(NotAPeer)
            }
        }
    }
}

impl fmt::Display for PeerRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(range) => write!(formatter, "{range}"),
            Self::Key(key) => write!(formatter, "key:{key}"),
            Self::Certificate(sha256) => write!(formatter, "cert:sha256:{sha256}"),
            Self::CertificateName { issuer, name } => write!(formatter, "cert:name:{issuer}:{name}"),
            Self::Shared(provider) => write!(formatter, "shared:{provider}"),
            Self::Door(door) => write!(formatter, "door:{}", door.as_str()),
        }
    }
}

impl TryFrom<String> for PeerRule {
    type Error = NotAPeer;

    fn try_from(text: String) -> Result<Self, NotAPeer> {
        text.parse()
    }
}

impl From<PeerRule> for String {
    fn from(rule: PeerRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;

    fn origin() -> Origin {
        Origin {
            door: Door::Smtp,
            session: SessionId::from_bits(1),
            peer: Some("192.0.2.9".parse().unwrap()),
            proxy: None,
            helo: "mx.lake.example".to_owned(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        }
    }

    fn admits(rule: &str, origin: &Origin) -> bool {
        rule.parse::<PeerRule>().unwrap().admits(origin)
    }

    #[test]
    fn a_network_is_matched_by_the_address_alone() {
        let local = Origin { peer: None, ..origin() };
        for (rule, expected) in [("192.0.2.0/24", true), ("192.0.2.9", true), ("198.51.100.0/24", false)] {
            assert_eq!(admits(rule, &origin()), expected, "{rule}");
            assert!(!admits(rule, &local), "{rule}: a peer without an address is in no network");
        }
    }

    #[test]
    fn a_key_is_matched_by_itself() {
        let (own, other) = (KeyId::from_bits(7), KeyId::from_bits(8));
        let known = Origin { authenticated: Some(own), ..origin() };
        assert!(admits(&format!("key:{own}"), &known));
        assert!(!admits(&format!("key:{other}"), &known));
        assert!(!admits(&format!("key:{own}"), &origin()));
    }

    #[test]
    fn a_certificate_is_pinned_or_verified() {
        let sha256 = "ab".repeat(32);
        let certificate = |is_verified| Certificate {
            sha256: sha256.clone(),
            subject: "CN=mx".to_owned(),
            issuer: "Lake CA".to_owned(),
            names: vec!["mx.lake.example".to_owned()],
            is_verified,
        };
        let unverified = Origin { certificate: Some(certificate(false)), ..origin() };
        let verified = Origin { certificate: Some(certificate(true)), ..origin() };
        let pinned = format!("cert:sha256:{}", sha256.to_uppercase());
        assert!(admits(&pinned, &unverified) && admits(&pinned, &verified));
        assert!(!admits(&format!("cert:sha256:{}", "0".repeat(64)), &verified));
        assert!(admits("cert:name:Lake CA:MX.lake.example", &verified));
        assert!(!admits("cert:name:Lake CA:mx.lake.example", &unverified));
        for other in ["cert:name:Other CA:mx.lake.example", "cert:name:Lake CA:other.example"] {
            assert!(!admits(other, &verified), "{other}");
        }
        assert!(!admits(&pinned, &origin()));
    }

    #[test]
    fn a_door_is_matched_by_itself() {
        assert!(admits("door:lmtp", &Origin { door: Door::Lmtp, ..origin() }));
        assert!(!admits("door:lmtp", &origin()));
        assert!(!admits("door:milter", &Origin { door: Door::Lmtp, ..origin() }));
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let key = KeyId::from_bits(7);
        let sha256 = "0a".repeat(32);
        for text in [
            "192.0.2.0/24".to_owned(),
            "2001:db8::/32".to_owned(),
            format!("key:{key}"),
            format!("cert:sha256:{sha256}"),
            "cert:name:CA: one:mx.lake.example".to_owned(),
            "door:lmtp".to_owned(),
            "door:milter".to_owned(),
        ] {
            assert_eq!(text.parse::<PeerRule>().unwrap().to_string(), text);
        }
        // The open internet is not a door that authorises.
        for text in ["", "lake", "key:", "key:x", "cert:sha256:ab", "cert:name:x", "cert:name::x", "door:smtp", "door:"]
        {
            assert_eq!(text.parse::<PeerRule>(), Err(NotAPeer), "{text}");
        }
    }
}
