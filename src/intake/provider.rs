//! What providers hand over by webhook: from the bytes of a request to an envelope and the message as it was.
//!
//! Readers only: no IO, no clock. They take what each provider's own documentation says it sends, and the message only as
//! it was received: what a provider made of it (fields for subject, text, attachments) is no mail, and is never put together
//! to some.
//!
//! # Security
//! Bodies are hostile until their caller is known, and bounded by the caller. Nothing here panics, recurses over the depth
//! of what it reads, or copies a body more than once.

pub mod form;
pub mod mailgun;
pub mod postmark;
pub mod sendgrid;
pub mod ses;

use std::borrow::Cow;
use std::net::IpAddr;

/// One message as a provider hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The provider's name of this delivery, the same when it tries again.
    pub id: String,
    /// MAIL FROM without angle brackets; empty for the null reverse-path, also where the provider does not say.
    pub reverse_path: String,
    /// RCPT TO without angle brackets; never empty.
    pub forward_paths: Vec<String>,
    /// Address of the SMTP client that handed it to the provider, where that says.
    pub client: Option<IpAddr>,
    /// The message (RFC 5322), as far as the provider's form keeps it byte by byte.
    pub message: Cow<'a, [u8]>,
}

/// Why there is no message in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The provider hands over something else than the message: the text says what to switch on there.
    #[error("{0}")]
    NotRaw(&'static str),
    /// It is not what the provider sends.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Recipients of one delivery.
pub const RECIPIENTS: usize = 1_000;

/// Without blanks and angle brackets.
fn bare(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

/// `paths` as forward-paths: bare, none empty, none twice.
fn forward_paths<'p>(paths: impl Iterator<Item = &'p str>) -> Result<Vec<String>, ReadError> {
    let mut found: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for path in paths.map(bare).filter(|path| !path.is_empty()) {
        if seen.insert(path) {
            found.push(path.to_owned());
        }
        if found.len() > RECIPIENTS {
            return Err(ReadError::Malformed("the envelope has more than 1,000 recipients"));
        }
    }
    if found.is_empty() { Err(ReadError::Malformed("the envelope has no recipient")) } else { Ok(found) }
}

/// What names a delivery must fit a key: printable and short.
fn id(text: &str) -> Result<String, ReadError> {
    let is_usable = (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_usable { Ok(text.to_owned()) } else { Err(ReadError::Malformed("the delivery has no usable id")) }
}

/// SHA-256 in lower-case hexadecimal, of parts that cannot run into one another.
fn digest(parts: &[&[u8]]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
