//! Mailgun's routes with `forward` to a URL that ends in `mime`: a form with the message in `body-mime`.
//!
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http>: `recipient` and `sender` are
//! the envelope. `signature` is the HMAC-SHA-256 of `timestamp` and `token` by the account's signing key, in hexadecimal.
//!
//! # Security
//! The signature says nothing about the message: it proves that Mailgun made the token. So a token counts once, for the
//! message that it first came with; the caller sees to that, by the delivery's id.

use std::time::Duration;

use ring::hmac;

use super::form::Fields;
use super::{Delivery, ReadError, bare, forward_paths, id};
use crate::clock::Timestamp;

/// How old a signed call may be. Mailgun tries for eight hours, and may do it with the same signature.
pub const OLDEST: Duration = Duration::from_secs(12 * 3_600);
/// How far Mailgun's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(15 * 60);

/// Why a signature was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, or it is by no key of the configuration.
    #[error("the signature is by none of the signing keys")]
    Unknown,
    /// It is right, and too old, or of the future.
    #[error("the signature is older than 12 hours, or of the future")]
    Stale,
}

/// Reads the fields of a call.
///
/// # Errors
/// [`ReadError::NotRaw`] without `body-mime`; [`ReadError::Malformed`].
pub fn read<'a>(fields: &mut Fields<'a>) -> Result<Delivery<'a>, ReadError> {
    let message = fields.take("body-mime").filter(|message| !message.is_empty()).ok_or(ReadError::NotRaw(
        "body-mime is missing: the URL of the Mailgun route must end in /mime (…/api/v1/intake/mailgun/mime)",
    ))?;
    let token = fields.text("token").ok_or(ReadError::Malformed("the field token is missing"))?;
    let recipients = fields.text("recipient").ok_or(ReadError::Malformed("the field recipient is missing"))?;
    Ok(Delivery {
        id: id(token)?,
        reverse_path: bare(fields.text("sender").unwrap_or_default()).to_owned(),
        forward_paths: forward_paths(recipients.split(','))?,
        client: None,
        message,
    })
}

/// Whether Mailgun signed the call, by one of `keys`, lately as of `now`.
///
/// # Errors
/// [`SignatureError`].
pub fn check<'k>(
    fields: &Fields<'_>,
    keys: impl IntoIterator<Item = &'k str>,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let field = |name: &str| fields.text(name).map(str::trim).ok_or(SignatureError::Unknown);
    let (timestamp, token, signature) = (field("timestamp")?, field("token")?, field("signature")?);
    let tag = hexadecimal(signature).ok_or(SignatureError::Unknown)?;
    let signed = [timestamp.as_bytes(), token.as_bytes()].concat();
    // Every key is tried, and each comparison takes the same time whatever it finds.
    let is_known = keys.into_iter().fold(false, |is_known, key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        hmac::verify(&key, &signed, &tag).is_ok() | is_known
    });
    if !is_known {
        return Err(SignatureError::Unknown);
    }
    let made_at = timestamp.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    let made_at = made_at.map(Timestamp::from_micros).ok_or(SignatureError::Stale)?;
    let is_fresh = now <= made_at.plus(OLDEST) && made_at <= now.plus(AHEAD);
    if is_fresh { Ok(()) } else { Err(SignatureError::Stale) }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.last()?)?)).collect()
}
