//! API keys: their format, checksum, digest, scopes, bindings, and the rule that says whether one may be used now.
//!
//! A key is `cxk_live_` or `cxk_test_`, 30 base62 characters (about 178 bits) and 6 base62 characters of CRC-32 (IEEE
//! 802.3) over everything in front of them. The checksum lets a typo be refused without asking the database. Only
//! HMAC-SHA-256 of the key under the server's pepper is kept (RFC 2104): a key is as random as a hash, so a slow one
//! would gain nothing.
//!
//! # Security
//! [`ApiKey`] and [`Pepper`] show nothing of themselves in `Debug` and have no `Display`; the raw key is read out with
//! [`ApiKey::reveal`], once, when it is made. This module draws no random numbers and reads no clock.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{KeyId, TenantId};

pub mod scope;

pub use scope::{Scope, Scopes};

/// For which kind of work a key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// `cxk_live_`.
    Live,
    /// `cxk_test_`.
    Test,
}

impl Environment {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Reads the word of the contract.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|environment| environment.as_str() == word)
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Live => "cxk_live_",
            Self::Test => "cxk_test_",
        }
    }
}

/// A whole raw key whose form and checksum are right. Whether it exists is another question.
pub struct ApiKey {
    text: String,
    environment: Environment,
}

/// Why a text is no API key. Says nothing of the text itself, which may be a key with a typo in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySyntaxError {
    /// Not `cxk_live_` or `cxk_test_` and 36 of `0-9A-Za-z`.
    #[error("not of the form cxk_live_ or cxk_test_ and 36 letters and digits")]
    Form,
    /// The last six characters do not fit the others.
    #[error("the checksum at the end does not fit: the key was cut off or mistyped")]
    Checksum,
}

impl ApiKey {
    /// Makes a key from randomness: each 30 bytes below 248 give one character without bias.
    ///
    /// `None` when `random` ran out before 30 characters were made; 64 bytes are practically always enough.
    #[must_use]
    pub fn from_random(random: &[u8], environment: Environment) -> Option<Self> {
        let mut text = String::with_capacity(TOTAL_LENGTH);
        text.push_str(environment.prefix());
        // 248 = 4 × 62: bytes above it would favour the first characters.
        let letters = random.iter().filter(|byte| **byte < 248).map(|byte| base62_digit(u32::from(*byte) % 62));
        text.extend(letters.take(SECRET_LENGTH));
        if text.len() != environment.prefix().len() + SECRET_LENGTH {
            return None;
        }
        let checksum = checksum_of(&text);
        text.push_str(&checksum);
        Some(Self { text, environment })
    }

    /// Reads a key as it was presented.
    ///
    /// # Errors
    /// Says whether the form or the checksum is wrong; neither needs a database to know.
    pub fn parse(text: &str) -> Result<Self, KeySyntaxError> {
        let environment = [Environment::Live, Environment::Test]
            .into_iter()
            .find(|environment| text.starts_with(environment.prefix()))
            .ok_or(KeySyntaxError::Form)?;
        if text.len() != TOTAL_LENGTH || !text.bytes().skip(9).all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(KeySyntaxError::Form);
        }
        let (body, checksum) = text.split_at_checked(TOTAL_LENGTH - CHECKSUM_LENGTH).ok_or(KeySyntaxError::Form)?;
        if checksum_of(body) != checksum {
            return Err(KeySyntaxError::Checksum);
        }
        Ok(Self { text: text.to_owned(), environment })
    }

    /// The raw key, to be shown once to whoever made it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// For which kind of work it was made.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// The last four characters, by which a person recognises it. They are checksum, not secret.
    #[must_use]
    pub fn last4(&self) -> &str {
        self.text.get(TOTAL_LENGTH - 4..).unwrap_or_default()
    }

    /// What is stored in its place.
    #[must_use]
    pub fn digest(&self, pepper: &Pepper) -> KeyDigest {
        KeyDigest(pepper.tag(self.text.as_bytes()))
    }

    /// Whether `stored` is this key's digest; takes the same time whatever the answer is.
    #[must_use]
    pub fn matches(&self, stored: &KeyDigest, pepper: &Pepper) -> bool {
        pepper.is_tag(&stored.0, self.text.as_bytes())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}…", self.environment.prefix())
    }
}

/// The server's secret under which keys are digested. Without it the stored digests are of no use.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// The pepper whose bytes are `secret`.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// HMAC-SHA-256 of a text that begins with its purpose, so that it is never a key.
    #[must_use]
    pub fn tag(&self, text: &[u8]) -> [u8; 32] {
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(hmac::sign(&self.0, text).as_ref());
        bytes
    }

    /// Whether `tag` is that of `text`; takes the same time whatever the answer is.
    #[must_use]
    pub fn is_tag(&self, tag: &[u8], text: &[u8]) -> bool {
        hmac::verify(&self.0, text, tag).is_ok()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pepper(…)")
    }
}

/// HMAC-SHA-256 of a key: what the database holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest whose bytes are `bytes`; `None` unless there are 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyDigest(…)")
    }
}

/// To what a key is confined. An empty list confines nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyBindings {
    /// Names of the apps for which it may be used.
    pub apps: Vec<String>,
    /// Addresses of the mailboxes for which it may be used.
    pub mailboxes: Vec<String>,
    /// The agent that holds it.
    pub agent: Option<String>,
    /// Whether whatever it writes stays a draft, whatever policy says.
    pub forced_draft: bool,
}

impl KeyBindings {
    /// Whether the key may speak for `app`.
    #[must_use]
    pub fn allows_app(&self, app: &str) -> bool {
        self.apps.is_empty() || self.apps.iter().any(|bound| bound == app)
    }

    /// Whether the key may speak of the mailbox `address`, compared without letter case.
    #[must_use]
    pub fn allows_mailbox(&self, address: &str) -> bool {
        self.mailboxes.is_empty() || self.mailboxes.iter().any(|bound| bound.eq_ignore_ascii_case(address))
    }
}

/// All that is known of a key but the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// HMAC-SHA-256 of the raw key.
    pub digest: KeyDigest,
    /// For which kind of work.
    pub environment: Environment,
    /// What its maker called it.
    pub name: String,
    /// Its last four characters.
    pub last4: String,
    /// What it may do.
    pub scopes: Scopes,
    /// To what it is confined.
    pub bindings: KeyBindings,
    /// Networks from which it may be used; empty means any.
    pub allowed_networks: Vec<IpNet>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Since then it is refused.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}

/// Why a key that exists may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Taken back by its owner.
    #[error("the key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// Used from a network that its owner did not name.
    #[error("the key may not be used from this network")]
    Network,
}

impl KeyRecord {
    /// Whether the key may be used by `peer` at `now`. An unknown peer is refused where networks are named.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, peer: Option<IpAddr>, now: Timestamp) -> Result<(), KeyRefusal> {
        if self.revoked_at.is_some_and(|since| since <= now) {
            return Err(KeyRefusal::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(KeyRefusal::Expired);
        }
        let is_named =
            |peer: IpAddr| self.allowed_networks.iter().any(|network| network.contains(&peer.to_canonical()));
        if !self.allowed_networks.is_empty() && !peer.is_some_and(is_named) {
            return Err(KeyRefusal::Network);
        }
        Ok(())
    }

    /// Whether `last_used_at` is old enough to be written again: at most once a minute.
    #[must_use]
    pub fn use_is_worth_recording(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.since(last) >= std::time::Duration::from_mins(1))
    }
}

/// Puts `cxk_…` in place of every key in `text`, for whatever is echoed or logged.
#[must_use]
pub fn redact(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("cxk_") {
        return std::borrow::Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for (index, piece) in text.split("cxk_").enumerate() {
        if index == 0 {
            plain.push_str(piece);
            continue;
        }
        plain.push_str("cxk_…");
        plain.push_str(piece.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_'));
    }
    std::borrow::Cow::Owned(plain)
}

const SECRET_LENGTH: usize = 30;
const CHECKSUM_LENGTH: usize = 6;
const TOTAL_LENGTH: usize = 9 + SECRET_LENGTH + CHECKSUM_LENGTH;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn base62_digit(digit: u32) -> char {
    let index = usize::try_from(digit).unwrap_or_default();
    char::from(BASE62.get(index).copied().unwrap_or(b'0'))
}

/// CRC-32 of `body`, six base62 digits, highest first.
fn checksum_of(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = ['0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest % 62);
        rest /= 62;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests;
