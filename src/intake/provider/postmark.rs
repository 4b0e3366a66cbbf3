//! Postmark's inbound webhook: JSON, with the message in `RawEmail` where the server's settings ask for it.
//!
//! <https://postmarkapp.com/developer/webhooks/inbound-webhook>: `OriginalRecipient` is RCPT TO. MAIL FROM has no field of
//! its own: it is in the header fields that Postmark put on top (`Return-Path`, or `Received-SPF` with `envelope-from`), and
//! where none of them is there, the author stands for it.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Delivery, ReadError, bare, forward_paths, id};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inbound<'a> {
    #[serde(rename = "MessageID", default, borrow)]
    message_id: Cow<'a, str>,
    #[serde(default, borrow)]
    original_recipient: Cow<'a, str>,
    #[serde(default, borrow)]
    from_full: Option<Address<'a>>,
    #[serde(default, borrow)]
    headers: Vec<Header<'a>>,
    #[serde(default, borrow)]
    raw_email: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Address<'a> {
    #[serde(default, borrow)]
    email: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    value: Cow<'a, str>,
}

/// Reads the body of a call.
///
/// # Errors
/// [`ReadError::NotRaw`] without `RawEmail`; [`ReadError::Malformed`].
pub fn read(body: &[u8]) -> Result<Delivery<'_>, ReadError> {
    let inbound: Inbound<'_> = serde_json::from_slice(body)
        .map_err(|_| ReadError::Malformed("the body is not the JSON of Postmark's inbound webhook"))?;
    let raw = inbound.raw_email.filter(|raw| !raw.is_empty()).ok_or(ReadError::NotRaw(
        "RawEmail is missing: switch on \"Include raw email content in JSON payload\" in the settings of Postmark's inbound stream",
    ))?;
    let author = inbound.from_full.map(|from| from.email).unwrap_or_default();
    Ok(Delivery {
        id: id(&inbound.message_id)?,
        reverse_path: reverse_path(&inbound.headers).unwrap_or_else(|| bare(&author)).to_owned(),
        forward_paths: forward_paths(std::iter::once(&*inbound.original_recipient))?,
        client: None,
        message: match raw {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
    })
}

fn reverse_path<'h>(headers: &'h [Header<'_>]) -> Option<&'h str> {
    let named = |name: &str| {
        headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_ref())
    };
    let from_spf = || {
        let (_, behind) = named("Received-SPF")?.split_once("envelope-from=")?;
        behind.split([';', ' ']).next().map(|path| path.trim_matches('"')).filter(|path| path.contains('@'))
    };
    named("Return-Path").or_else(from_spf).map(bare)
}
