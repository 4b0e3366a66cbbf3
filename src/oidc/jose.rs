//! Signed tokens (JWS, compact) and the public keys that check them (JWK sets).
//!
//! Takes bytes, returns values: no clock, no I/O.
//!
//! Standards: RFC 7515, RFC 7517, RFC 7518 §3.3 and §3.4, RFC 8037 (Ed25519), RFC 8725 §3.1 and §3.2.
//!
//! # Security
//! A token names its algorithm, which an attacker writes: it only chooses among keys that the issuer published for that very
//! algorithm, and there is no algorithm with a shared secret to choose.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// Octets of a token that is read.
pub const MOST_TOKEN: usize = 16 * 1024;
/// Keys of a set that are looked at.
const MOST_KEYS: usize = 100;

/// What a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2,048 to 8,192 bits.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// Why a text is no token that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Longer than [`MOST_TOKEN`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url with JSON in the first two.
    #[error("the token is not a signed JWT")]
    Form,
    /// Signed in a way that is not taken; `none` and HMAC are among those.
    #[error("the token is not signed with RS256, ES256 or EdDSA")]
    Algorithm,
    /// It is another kind of token, or says that something must be understood which is not.
    #[error("the token is of another kind")]
    Kind,
    /// The issuer has no such key.
    #[error("the token is signed with a key that the issuer does not have")]
    UnknownKey,
    /// The signature is not by the key.
    #[error("the token's signature is not right")]
    Signature,
}

/// The keys of an issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// SEC 1 §2.3.3, not compressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys of a JWK set that can check a signature here; others, which are for something else, are left out
    /// (RFC 7517 §5).
    ///
    /// # Errors
    /// When it is no JWK set.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let set: RawSet = serde_json::from_slice(bytes)?;
        let keys = set.keys.into_iter().take(MOST_KEYS);
        Ok(Self(keys.filter_map(|key| serde_json::from_value(key).ok()).filter_map(Key::of).collect()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys signed the token.
    ///
    /// # Errors
    /// [`TokenFault::UnknownKey`] when none could have, [`TokenFault::Signature`] when none did.
    pub fn check(&self, token: &Token<'_>) -> Result<(), TokenFault> {
        let is_named = |key: &&Key| token.key_id.is_none() || key.id == token.key_id;
        let mut may_be = self.0.iter().filter(is_named).filter(|key| key.material.algorithm() == token.algorithm);
        let Some(first) = may_be.next() else { return Err(TokenFault::UnknownKey) };
        if std::iter::once(first).chain(may_be).any(|key| key.material.signed(token)) {
            Ok(())
        } else if token.key_id.is_none() {
            // It may be by a newer key, which only a name would tell.
            Err(TokenFault::UnknownKey)
        } else {
            Err(TokenFault::Signature)
        }
    }
}

impl Key {
    fn of(raw: RawKey) -> Option<Self> {
        if raw.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let octets = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let material = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: octets(&raw.n)?, e: octets(&raw.e)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (octets(&raw.x)?, octets(&raw.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Material::P256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(octets(&raw.x)?),
            _ => return None,
        };
        // RFC 8725 §3.1: a key is for one algorithm.
        let is_for = |alg: &str| Algorithm::parse(alg) == Some(material.algorithm());
        raw.alg.as_deref().is_none_or(is_for).then_some(Self { id: raw.kid, material })
    }
}

impl Material {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn signed(&self, token: &Token<'_>) -> bool {
        let (message, tag) = (token.signed.as_bytes(), token.signature.as_slice());
        let checked = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, tag)
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, tag)
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&signature::ED25519, point).verify(message, tag),
        };
        checked.is_ok()
    }
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

/// A token whose signature was not checked yet.
#[derive(Debug)]
pub struct Token<'t> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'t str,
    signature: Vec<u8>,
    payload: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads a compact JWS.
    ///
    /// # Errors
    /// [`TokenFault`]; nothing of the token is in it.
    pub fn read(text: &'t str) -> Result<Self, TokenFault> {
        if text.len() > MOST_TOKEN {
            return Err(TokenFault::TooLong);
        }
        let (signed, tag) = text.rsplit_once('.').ok_or(TokenFault::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenFault::Form)?;
        let octets = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Form);
        let header: RawHeader = serde_json::from_slice(&octets(header)?).map_err(|_| TokenFault::Form)?;
        let algorithm = Algorithm::parse(&header.alg).ok_or(TokenFault::Algorithm)?;
        // RFC 9068 §2.1: access tokens say that they are some, and are for other doors.
        let is_other = header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt"));
        if is_other || header.crit.is_some() {
            return Err(TokenFault::Kind);
        }
        let (signature, payload) = (octets(tag)?, octets(payload)?);
        Ok(Self { algorithm, key_id: header.kid, signed, signature, payload })
    }

    /// What it says, which counts for nothing before [`KeySet::check`].
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}
