//! The gateway's own signature under what it says of itself: receipts of releases, and heads of audit logs.
//!
//! One key for each instance. The same key over the same text always gives the same signature. What is signed begins in a way
//! that tells receipts and heads apart, so that none passes for the other.
//!
//! Standards: RFC 8032 (Ed25519).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The word for the algorithm.
pub const ALGORITHM: &str = "Ed25519";

/// The key that signs. Never shown.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SigningKey").field(&self.public()).finish()
    }
}

impl SigningKey {
    /// Of its 32 secret octets.
    #[must_use]
    pub fn of(seed: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "32 octets are the length of an Ed25519 seed, and any will do")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("Ed25519 takes 32 octets");
        Self { pair }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut octets = [0; 32];
        octets.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(octets)
    }

    /// The signature of a text, in base64.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.pair.sign(text.as_bytes()))
    }
}

/// The half of the key that everybody may know; shown in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no public key: 32 octets in base64")]
pub struct InvalidPublicKey;

impl PublicKey {
    /// Whether the signature, in base64, is this key's under the text.
    #[must_use]
    pub fn has_signed(&self, text: &str, signature: &str) -> bool {
        let signature = STANDARD.decode(signature);
        signature.is_ok_and(|octets| UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), &octets).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let octets = STANDARD.decode(text.trim()).map_err(|_| InvalidPublicKey)?;
        octets.try_into().map(Self).map_err(|_| InvalidPublicKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 1.
    #[test]
    fn it_signs_as_the_standard_says() {
        let seed: Vec<u8> = (0..32)
            .map(|at| {
                let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
                u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()
            })
            .collect();
        let key = SigningKey::of(&seed.try_into().unwrap());
        let hex: String = key.public().0.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hex, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = STANDARD.decode(key.sign("")).unwrap();
        assert!(signature.starts_with(&[0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60]) && signature.len() == 64);
    }

    #[test]
    fn only_the_same_key_text_and_signature_go_together() {
        let (key, other) = (SigningKey::of(&[1; 32]), SigningKey::of(&[2; 32]));
        let signature = key.sign("text");
        assert!(key.public().has_signed("text", &signature));
        assert!(!key.public().has_signed("texts", &signature) && !other.public().has_signed("text", &signature));
        for damaged in ["", "AA==", "no base64", &signature[1..], &other.sign("text")] {
            assert!(!key.public().has_signed("text", damaged), "{damaged}");
        }
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        assert!("AAAA".parse::<PublicKey>().is_err() && "".parse::<PublicKey>().is_err());
        assert!(!format!("{key:?}").contains("0101"), "the secret is not shown");
    }
}
