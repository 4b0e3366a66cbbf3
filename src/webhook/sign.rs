//! Signatures of webhooks: making them, and checking them at the receiving end.
//!
//! The signed text is `id.timestamp.body`; each live secret gives one `v1` signature, so that a receiver goes on
//! verifying while its secret is changed. A secret never appears in `Debug`, in an error or in a log.
//!
//! Standards: Standard Webhooks 1.0.0 (signature scheme, headers), RFC 2104 (HMAC), RFC 4648 §4 (base64).
//!
//! # Security
//! Comparison takes the same time whatever differs. The id must not hold a dot, since it is part of the signed text.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use ring::hmac;

use crate::clock::{Timestamp, random_bytes};

/// How far the clock of a sender may be off before a message is refused.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// How many old secrets may sign beside the current one.
pub const MAX_OLD_SECRETS: usize = 5;

const PREFIX: &str = "whsec_";
const GENERATED_BYTES: usize = 32;
/// Standard Webhooks, "Signature scheme": at least 24 bytes, at most 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// More signatures than this in one header are not looked at.
const MAX_SIGNATURES: usize = 16;

/// A symmetric signing secret, written `whsec_` and base64.
#[derive(Clone)]
pub struct WebhookSecret {
    bytes: Vec<u8>,
    key: hmac::Key,
}

impl WebhookSecret {
    /// A new secret of 32 random bytes.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0u8; GENERATED_BYTES];
        random_bytes(&mut bytes);
        Self::from_bytes(bytes.to_vec())
    }

    /// Reads `whsec_…` as it was shown to the customer.
    ///
    /// # Errors
    /// When the prefix, the base64 or the length is wrong. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(InvalidSecret::Length { found: bytes.len() });
        }
        Ok(Self::from_bytes(bytes))
    }

    /// The secret in the clear, to be shown to its owner or sealed for storage. Nothing else calls this.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.bytes))
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Self { bytes, key }
    }

    fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(hidden)")
    }
}

/// Why a text is not a signing secret. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It does not begin with `whsec_`.
    #[error("a webhook secret begins with `whsec_`: copy it whole, as it was shown")]
    Prefix,
    /// What follows is not base64.
    #[error("what follows `whsec_` is not base64: copy the secret whole, as it was shown")]
    Base64,
    /// Too short or too long.
    #[error("a webhook secret holds 24 to 64 bytes, this one {found}: copy it whole, as it was shown")]
    Length {
        /// Bytes found.
        found: usize,
    },
}

/// The secrets that sign for one endpoint: the current one, and old ones that are still valid.
#[derive(Debug, Clone)]
pub struct SigningSecrets {
    current: WebhookSecret,
    old: Vec<WebhookSecret>,
}

impl SigningSecrets {
    /// Signs with `current` alone.
    #[must_use]
    pub const fn new(current: WebhookSecret) -> Self {
        Self { current, old: Vec::new() }
    }

    /// Signs with `current` and with up to [`MAX_OLD_SECRETS`] old ones, newest first; the rest is left out.
    #[must_use]
    pub fn with_old(current: WebhookSecret, old: impl IntoIterator<Item = WebhookSecret>) -> Self {
        Self { current, old: old.into_iter().take(MAX_OLD_SECRETS).collect() }
    }

    fn each(&self) -> impl Iterator<Item = &WebhookSecret> {
        std::iter::once(&self.current).chain(&self.old)
    }
}

/// The three headers that Standard Webhooks defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// `webhook-id`: the same on every attempt.
    pub id: String,
    /// `webhook-timestamp`: Unix seconds of this attempt.
    pub timestamp: String,
    /// `webhook-signature`: one `v1,<base64>` per secret, with spaces between.
    pub signature: String,
}

/// Signs `body` under `id` at `now`.
///
/// # Errors
/// When the id is empty, holds a dot, or anything that is not visible ASCII.
pub fn sign(
    id: &str,
    body: &[u8],
    secrets: &SigningSecrets,
    now: Timestamp,
) -> Result<SignatureHeaders, InvalidMessageId> {
    check_id(id)?;
    let timestamp = now.as_seconds().to_string();
    let mut signature = String::new();
    for secret in secrets.each() {
        if !signature.is_empty() {
            signature.push(' ');
        }
        signature.push_str("v1,");
        STANDARD.encode_string(secret.sign(id, &timestamp, body), &mut signature);
    }
    Ok(SignatureHeaders { id: id.to_owned(), timestamp, signature })
}

/// The id cannot be signed unambiguously.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook id is 1 to 256 visible ASCII characters without a dot")]
pub struct InvalidMessageId;

/// Why a webhook is not taken for genuine. The texts may be shown to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing, or cannot be read as text.
    #[error("the header `{name}` is missing or unreadable: send the three webhook-* headers of Standard Webhooks")]
    Header {
        /// Name of the header.
        name: &'static str,
    },
    /// The id holds a dot or is otherwise not an id.
    #[error("the header `webhook-id` is no id: it must be 1 to 256 visible ASCII characters without a dot")]
    Id,
    /// The time is not a whole number of seconds.
    #[error("the header `webhook-timestamp` is not a number of Unix seconds")]
    Timestamp,
    /// Signed too long ago.
    #[error("the message was signed {seconds} s ago, more than allowed: check the clocks, or it is a replay")]
    TooOld {
        /// Age in seconds.
        seconds: u64,
    },
    /// Signed in the future.
    #[error("the message was signed {seconds} s in the future, more than allowed: check the clocks")]
    TooNew {
        /// Seconds ahead.
        seconds: u64,
    },
    /// No signature fits any secret.
    #[error("no signature fits: check that the secret is the endpoint's own, and verify the body's bytes as received")]
    Mismatch,
}

/// Checks the three headers against the bytes of `body` as they were received.
///
/// # Errors
/// See [`SignatureError`]. Nothing of the body should be used then.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let id = header(headers, "webhook-id")?;
    let timestamp = header(headers, "webhook-timestamp")?;
    let signatures = header(headers, "webhook-signature")?;
    check_id(id).map_err(|_| SignatureError::Id)?;
    check_time(timestamp, now, tolerance)?;
    let mut text = Vec::with_capacity(id.len() + timestamp.len() + body.len() + 2);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        text.extend_from_slice(part);
    }
    let fits = signatures
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|tag| secrets.iter().any(|secret| hmac::verify(&secret.key, &text, &tag).is_ok()));
    if fits { Ok(()) } else { Err(SignatureError::Mismatch) }
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureError> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(SignatureError::Header { name })
}

fn check_id(id: &str) -> Result<(), InvalidMessageId> {
    let fits = (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    if fits { Ok(()) } else { Err(InvalidMessageId) }
}

fn check_time(text: &str, now: Timestamp, tolerance: Duration) -> Result<(), SignatureError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let signed: i64 = text.parse().ok().filter(|_| digits).ok_or(SignatureError::Timestamp)?;
    let age = now.as_seconds().saturating_sub(signed);
    let seconds = age.unsigned_abs();
    if seconds <= tolerance.as_secs() {
        return Ok(());
    }
    Err(if age > 0 { SignatureError::TooOld { seconds } } else { SignatureError::TooNew { seconds } })
}

#[cfg(test)]
mod tests;
