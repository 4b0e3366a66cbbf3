//! Keys that sign: made here or brought along, and the record that publishes each.
//!
//! Many receivers check RSA alone, so a domain should have a key of each kind. All sign with ring; what makes an RSA key
//! does nothing else (`deny.toml` has the advisory on it).
//!
//! Standards: RFC 6376 §3.6.1 (the record), RFC 8301 (RSA sizes), RFC 8463 (Ed25519), RFC 5958 and RFC 8410 (PKCS#8),
//! RFC 7468 (PEM).
//!
//! # Security
//! A private key is shown by nothing here but [`PrivatePem::as_str`], which is for the sealed store.

use std::convert::Infallible;
use std::fmt;

use ::rsa::pkcs8::EncodePrivateKey as _;
use ::rsa::rand_core::{TryCryptoRng, TryRng};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::clock::random_bytes;
use crate::mail::address::Domain;

/// The name of a key below its domain (RFC 6376 §3.1), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector(String);

impl Selector {
    /// Reads a selector: labels of letters, digits and hyphens, with dots between them.
    ///
    /// # Errors
    /// [`InvalidKey::Selector`]
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let is_plain = text.len() <= 63 && text.is_ascii() && !text.starts_with('[') && !text.ends_with('.');
        let domain = Domain::parse(text).map_err(|_| InvalidKey::Selector)?;
        if is_plain { Ok(Self(domain.into())) } else { Err(InvalidKey::Selector) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// No selector.
    #[error("a selector has letters, digits, hyphens and dots, 63 characters at most")]
    Selector,
    /// The domain is an address literal.
    #[error("a key is of a domain, not of an address")]
    Domain,
    /// No PEM with a private key.
    #[error("this is no private key: it must be PEM with a PRIVATE KEY or RSA PRIVATE KEY section")]
    Pem,
    /// Neither Ed25519 nor RSA of a fitting size.
    #[error("the key cannot be used: it must be Ed25519, or RSA of 2048 to 4096 bits")]
    Unusable,
}

/// A private key in PEM, as it is stored: to be sealed.
pub struct PrivatePem(String);

impl PrivatePem {
    /// The text, which is the secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivatePem")
    }
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `rsa-sha256`.
    RsaSha256,
    /// `ed25519-sha256`.
    Ed25519Sha256,
}

impl Algorithm {
    /// The word of the `a=` tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

/// A key with which a domain signs.
pub struct SigningKey {
    domain: Domain,
    selector: Selector,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl SigningKey {
    /// Makes an Ed25519 key.
    ///
    /// # Errors
    /// [`InvalidKey::Domain`]
    pub fn generate(domain: Domain, selector: Selector) -> Result<(Self, PrivatePem), InvalidKey> {
        let mut der = ED25519_PKCS8.to_vec();
        let mut seed = [0; 32];
        random_bytes(&mut seed);
        der.extend_from_slice(&seed);
        let text = BASE64_STANDARD.encode(&der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Ok((Self::from_pem(domain, selector, &pem)?, PrivatePem(pem)))
    }

    /// Makes an RSA key of 2048 bits: what every receiver checks, and what fits a record (RFC 8301 §3.2). It takes a moment.
    ///
    /// # Errors
    /// [`InvalidKey::Domain`]; [`InvalidKey::Unusable`] where the library makes none.
    pub fn generate_rsa(domain: Domain, selector: Selector) -> Result<(Self, PrivatePem), InvalidKey> {
        let made = ::rsa::PrivateKey::new(&mut Random, RSA_BITS).map_err(|_| InvalidKey::Unusable)?;
        let der = made.to_pkcs8_der().map_err(|_| InvalidKey::Unusable)?;
        let text = BASE64_STANDARD.encode(der.as_bytes());
        // RFC 7468 §3: lines of 64 characters.
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n");
        Ok((Self::from_pem(domain, selector, &pem)?, PrivatePem(pem)))
    }

    /// Reads a key: Ed25519 in PKCS#8, or RSA in PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// See [`InvalidKey`].
    pub fn from_pem(domain: Domain, selector: Selector, pem: &str) -> Result<Self, InvalidKey> {
        if domain.as_str().starts_with('[') {
            return Err(InvalidKey::Domain);
        }
        let rsa = |pair: Result<rsa::KeyPair, _>| pair.map(|pair| Pair::Rsa(Box::new(pair))).ok();
        let pair = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| InvalidKey::Pem)? {
            PrivateKeyDer::Pkcs1(der) => rsa(rsa::KeyPair::from_der(der.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519);
                ed25519.or_else(|| rsa(rsa::KeyPair::from_pkcs8(der)))
            }
            _ => None,
        };
        Ok(Self { domain, selector, pair: pair.ok_or(InvalidKey::Unusable)? })
    }

    /// Whose it is: the `d=` tag.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The `s=` tag.
    #[must_use]
    pub const fn selector(&self) -> &Selector {
        &self.selector
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
            Pair::Rsa(_) => Algorithm::RsaSha256,
        }
    }

    /// The name under which it is published (RFC 6376 §3.6.2.1).
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector.0, self.domain)
    }

    /// The TXT record that publishes it. It is longer than the 255 octets of one string where the key is RSA.
    #[must_use]
    pub fn published_record(&self) -> String {
        match &self.pair {
            // RFC 8463 §4: the key itself, without structure around it.
            Pair::Ed25519(pair) => {
                format!("v=DKIM1; k=ed25519; p={}", BASE64_STANDARD.encode(pair.public_key().as_ref()))
            }
            Pair::Rsa(pair) => {
                let key = subject_public_key_info(pair.public().as_ref());
                format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(key))
            }
        }
    }

    /// Signs the header of a message, in the form that is digested; `None` when the library cannot.
    pub(super) fn sign(&self, header: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            // RFC 8463 §3: the digest is what Ed25519 signs.
            Pair::Ed25519(pair) => {
                let digest = ring::digest::digest(&ring::digest::SHA256, header);
                Some(pair.sign(digest.as_ref()).as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                // Randomness only blinds the computation; the signature is the same each time.
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), header, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm().as_str();
        formatter.debug_struct("SigningKey").field("name", &self.record_name()).field("algorithm", &algorithm).finish()
    }
}

/// The randomness of the program, for the library that makes RSA keys.
struct Random;

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        random_bytes(&mut bytes);
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        random_bytes(&mut bytes);
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        random_bytes(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Random {}

/// Of the RSA keys that are made here.
const RSA_BITS: usize = 2_048;

/// PKCS#8 of an Ed25519 seed, up to the seed (RFC 8410 §7).
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// `rsaEncryption` with its empty parameters (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];

/// What receivers expect in `p=` of RSA: RFC 6376 §3.6.1 names the key alone, and its erratum 3017 what everybody does.
fn subject_public_key_info(key: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0], key].concat());
    der(0x30, &[&RSA_ENCRYPTION, bits.as_slice()].concat())
}

/// One element of DER (X.690 §8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    if content.len() > 127 {
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
    }
    out.extend_from_slice(&significant);
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::tests::RSA_PEM;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn a_made_key_is_the_same_when_it_is_read_again_and_shows_its_secret_to_nobody() {
        let (key, pem) = SigningKey::generate(domain("acme.example"), Selector::parse("c1").unwrap()).unwrap();
        let again = SigningKey::from_pem(domain("acme.example"), Selector::parse("c1").unwrap(), pem.as_str()).unwrap();
        assert_eq!(key.published_record(), again.published_record());
        assert_eq!(key.record_name(), "c1._domainkey.acme.example");
        assert_eq!(key.algorithm(), Algorithm::Ed25519Sha256);
        let (other, _) = SigningKey::generate(domain("acme.example"), Selector::parse("c1").unwrap()).unwrap();
        assert_ne!(key.published_record(), other.published_record());
        let secret = pem.as_str().lines().nth(1).unwrap();
        assert!(!format!("{pem:?}{key:?}").contains(secret));
    }

    #[test]
    fn a_made_rsa_key_is_one_that_ring_signs_with_and_everybody_checks() {
        let selector = || Selector::parse("r1").unwrap();
        let (key, pem) = SigningKey::generate_rsa(domain("acme.example"), selector()).unwrap();
        let again = SigningKey::from_pem(domain("acme.example"), selector(), pem.as_str()).unwrap();
        assert_eq!((key.algorithm(), key.published_record()), (Algorithm::RsaSha256, again.published_record()));
        let Pair::Rsa(pair) = &key.pair else { panic!("an RSA key") };
        assert_eq!(pair.public().modulus_len(), RSA_BITS / 8);
        let signature = again.sign(b"from:a\r\n").unwrap();
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::RSA_PKCS1_2048_8192_SHA256,
            pair.public().as_ref(),
        );
        public.verify(b"from:a\r\n", &signature).unwrap();
        let secret = pem.as_str().lines().nth(1).unwrap();
        assert!(!format!("{pem:?}{key:?}").contains(secret));
    }

    #[test]
    fn an_rsa_key_is_published_as_openssl_prints_it() {
        let key = SigningKey::from_pem(domain("acme.example"), Selector::parse("r1").unwrap(), RSA_PEM).unwrap();
        // `openssl rsa -in rsa2048.pem -pubout`
        let expected: String =
            include_str!("tests/rsa2048.pub").lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(key.published_record(), format!("v=DKIM1; k=rsa; p={expected}"));
        assert_eq!(key.algorithm(), Algorithm::RsaSha256);
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let read = |domain_name: &str, pem: &str| {
            SigningKey::from_pem(domain(domain_name), Selector::parse("s").unwrap(), pem).map(drop).unwrap_err()
        };
        assert_eq!(read("acme.example", "hello"), InvalidKey::Pem);
        assert_eq!(read("acme.example", include_str!("tests/rsa2048.pub")), InvalidKey::Pem);
        assert_eq!(read("[192.0.2.1]", RSA_PEM), InvalidKey::Domain);
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(read("acme.example", nonsense), InvalidKey::Unusable);
        for selector in ["", "a b", "-a", "[1.2.3.4]", "a;b", "a.", &"a".repeat(64)] {
            assert_eq!(Selector::parse(selector), Err(InvalidKey::Selector), "{selector}");
        }
        assert_eq!(Selector::parse("Mail.2026").unwrap().as_str(), "mail.2026");
    }
}
