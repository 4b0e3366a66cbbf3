//! SendGrid's Inbound Parse with "POST the raw, full MIME message": a form with the message in `email`.
//!
//! <https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook>: `envelope` is JSON
//! with `to` (a list) and `from`. SendGrid names no delivery: what it hands over names it, as a digest.

use std::borrow::Cow;

use serde::Deserialize;

use super::form::Fields;
use super::{Delivery, ReadError, bare, digest, forward_paths};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    to: Vec<Cow<'a, str>>,
    #[serde(default, borrow)]
    from: Option<Cow<'a, str>>,
}

/// Reads the fields of a call.
///
/// # Errors
/// [`ReadError::NotRaw`] without `email`; [`ReadError::Malformed`].
pub fn read<'a>(fields: &mut Fields<'a>) -> Result<Delivery<'a>, ReadError> {
    let message = fields.take("email").filter(|message| !message.is_empty()).ok_or(ReadError::NotRaw(
        "the field email is missing: switch on \"POST the raw, full MIME message\" in SendGrid's Inbound Parse settings",
    ))?;
    let envelope = fields.bytes("envelope").ok_or(ReadError::Malformed("the field envelope is missing"))?;
    let read: Envelope<'_> =
        serde_json::from_slice(envelope).map_err(|_| ReadError::Malformed("the field envelope is not its JSON"))?;
    Ok(Delivery {
        id: digest(&[envelope, &message]),
        reverse_path: bare(read.from.as_deref().unwrap_or_default()).to_owned(),
        client: fields.bytes("sender_ip").and_then(|address| str::from_utf8(address).ok()?.trim().parse().ok()),
        forward_paths: forward_paths(read.to.iter().map(AsRef::as_ref))?,
        message,
    })
}
