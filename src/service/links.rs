//! Links to attachments that work without a key until they expire.
//!
//! # Security
//! A link is proof by HMAC-SHA-256 (RFC 2104) under a key that the instance key gives for this alone, over tenant, message,
//! place and digest of the attachment, and the end. It is compared in constant time. Whoever has a link can fetch that one
//! attachment; it ends by time alone, with the message's bytes, or with the tenant's suspension.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::clock::Timestamp;
use crate::ids::{MessageId, TenantId};

/// What a link is signed with.
#[derive(Clone)]
pub struct LinkKey(hmac::Key);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LinkKey(…)")
    }
}

/// The attachment that a link is to, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose message.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageId,
    /// The attachment's place among those of its message.
    pub number: usize,
    /// SHA-256 of its octets, hexadecimal.
    pub sha256: String,
    /// From this second on it is refused; seconds since 1970.
    pub expires: i64,
}

impl LinkKey {
    /// The key whose octets are `secret`.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Path and query of a link.
    #[must_use]
    pub fn sign(&self, link: &Link) -> String {
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, link.statement().as_bytes()));
        let Link { tenant, message, number, sha256, expires } = link;
        format!("/a/{tenant}/{message}/{number}?sha256={sha256}&expires={expires}&signature={signature}")
    }

    /// Whether `signature` was made for `link`, which has not expired.
    #[must_use]
    pub fn allows(&self, link: &Link, signature: &str, now: Timestamp) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let is_signed = hmac::verify(&self.0, link.statement().as_bytes(), &tag).is_ok();
        is_signed && now.as_micros().div_euclid(1_000_000) < link.expires
    }
}

impl Link {
    /// None of the parts can hold the separator.
    fn statement(&self) -> String {
        let Self { tenant, message, number, sha256, expires } = self;
        format!("connex attachment link v1\n{tenant}\n{message}\n{number}\n{sha256}\n{expires}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_one_attachment_and_until_its_end() {
        let key = LinkKey::new(&[1; 32]);
        let (tenant, message) = (TenantId::from_bits(1), MessageId::from_bits(2));
        let link = Link { tenant, message, number: 3, sha256: "ab".repeat(32), expires: 1_000 };
        let path = key.sign(&link);
        let signature = path.rsplit('=').next().unwrap().to_owned();
        let (before, end) = (Timestamp::from_micros(999_999_999), Timestamp::from_micros(1_000_000_000));
        assert!(key.allows(&link, &signature, before));
        assert!(!key.allows(&link, &signature, end));
        assert!(!LinkKey::new(&[2; 32]).allows(&link, &signature, before));
        for other in [
            Link { tenant: TenantId::from_bits(9), ..link.clone() },
            Link { message: MessageId::from_bits(9), ..link.clone() },
            Link { number: 4, ..link.clone() },
            Link { sha256: "cd".repeat(32), ..link.clone() },
            Link { expires: 2_000, ..link.clone() },
        ] {
            assert!(!key.allows(&other, &signature, before), "{other:?}");
        }
        for wrong in ["", "?", &signature[1..], &format!("{signature}A")] {
            assert!(!key.allows(&link, wrong, before), "{wrong}");
        }
    }
}
