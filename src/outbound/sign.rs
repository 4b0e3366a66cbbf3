//! DKIM signatures, and the one value that can go onto the wire.
//!
//! [`sign`] and [`sign_notice`] are the only makers of [`SignedMessage`], and take nothing but what the gate let out: no key
//! signs anything else. Bytes are never changed; the signatures stand in front of them. A message whose author is not of the key's
//! domain is refused, and so is one that could not be sent unchanged.
//!
//! Standards: RFC 6376 (DKIM; §5.4 which fields, §8.15 fields that are added), RFC 8301 (algorithms), RFC 8463
//! (Ed25519), RFC 9989 §4.4 (alignment: the strict one is asked for).

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::canonical::{self, Field, Parts};
use super::keys::SigningKey;
use crate::clock::Timestamp;
use crate::governance::ContentHash;
use crate::governance::{ReleasableMessage, ReleasableNotice};
use crate::ids::{NoticeId, ReleaseId, TenantId};
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::message::{self, Limits};

pub use super::canonical::Unsendable;

/// A released message with its signatures; spent by sending it. Only [`sign`] and [`sign_notice`] make one.
#[must_use]
pub struct SignedMessage {
    permission: Permission,
    tenant: TenantId,
    hash: ContentHash,
    reverse_path: ReversePath,
    recipients: Vec<Mailbox>,
    bytes: Bytes,
    needs: Needs,
}

/// By what it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    Release(ReleaseId),
    Notice(NoticeId),
}

/// What the wire is given of a signed message.
pub(super) struct Outgoing {
    pub(super) reverse_path: ReversePath,
    pub(super) recipients: Vec<Mailbox>,
    pub(super) bytes: Bytes,
    pub(super) needs: Needs,
}

/// What a message asks of the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// 8BITMIME: it has octets outside ASCII (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8: its header has (RFC 6531 §3.1, RFC 6532).
    pub utf8_header: bool,
}

/// Why a message is not signed. Trying again does not help before somebody changed the message or the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No key was given.
    #[error("there is no DKIM key for {from}: nothing leaves unsigned")]
    NoKey {
        /// The author's domain.
        from: Domain,
    },
    /// A key is of another domain than the author.
    #[error("the DKIM key is of {key}, but the author is of {from}: only a key of that very domain signs")]
    NotAligned {
        /// The key's domain.
        key: Domain,
        /// The author's domain.
        from: Domain,
    },
    /// The header does not name exactly one author.
    #[error("the author cannot be told from the header: exactly one From with one address is needed")]
    Author,
    /// It could not be sent as it stands.
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    /// The library refused to sign.
    #[error("the DKIM key cannot sign")]
    Key,
}

/// What is to be signed, and by what it leaves.
struct Unsigned {
    permission: Permission,
    tenant: TenantId,
    hash: ContentHash,
    reverse_path: ReversePath,
    recipients: Vec<Mailbox>,
    bytes: Bytes,
}

/// Signs what was released, once with each key.
///
/// # Errors
/// See [`SignError`]; the release is spent, and can be readmitted.
pub fn sign(message: ReleasableMessage, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    let wire = message.into_wire();
    let unsigned = Unsigned {
        permission: Permission::Release(wire.release),
        tenant: wire.tenant,
        hash: wire.content_hash,
        reverse_path: wire.reverse_path,
        recipients: wire.recipients,
        bytes: wire.bytes,
    };
    signed(unsigned, keys, now)
}

/// Signs a notice that was let out, once with each key.
///
/// # Errors
/// See [`SignError`]; the permission is spent.
pub fn sign_notice(notice: ReleasableNotice, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    let wire = notice.into_wire();
    let unsigned = Unsigned {
        permission: Permission::Notice(wire.notice),
        tenant: wire.tenant,
        hash: wire.content_hash,
        reverse_path: wire.reverse_path,
        recipients: wire.recipients,
        bytes: wire.bytes,
    };
    signed(unsigned, keys, now)
}

fn signed(wire: Unsigned, keys: &[&SigningKey], now: Timestamp) -> Result<SignedMessage, SignError> {
    let parts = canonical::parts(&wire.bytes)?;
    let from = author_domain(&parts)?;
    if keys.is_empty() {
        return Err(SignError::NoKey { from });
    }
    if let Some(other) = keys.iter().find(|key| *key.domain() != from) {
        return Err(SignError::NotAligned { key: other.domain().clone(), from });
    }
    let names = signed_names(&parts.fields)?;
    let body_digest = BASE64_STANDARD.encode(canonical::body_digest(parts.body));
    let mut bytes = Vec::with_capacity(wire.bytes.len() + keys.len() * 1_536);
    for key in keys {
        let field = unsigned_field(key, &names, &body_digest, now);
        let signature = key.sign(&digested(&parts.fields, &names, &field)).ok_or(SignError::Key)?;
        bytes.extend_from_slice(SIGNATURE_NAME);
        bytes.extend_from_slice(b":");
        bytes.extend_from_slice(field.as_bytes());
        bytes.extend_from_slice(folded(&BASE64_STANDARD.encode(signature)).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(&wire.bytes);
    let needs = Needs { eight_bit: !wire.bytes.is_ascii(), utf8_header: !parts.header.is_ascii() };
    Ok(SignedMessage {
        permission: wire.permission,
        tenant: wire.tenant,
        hash: wire.hash,
        reverse_path: wire.reverse_path,
        recipients: wire.recipients,
        bytes: bytes.into(),
        needs,
    })
}

impl SignedMessage {
    /// The release under which it goes; `None` for a notice of the gateway itself.
    #[must_use]
    pub const fn release(&self) -> Option<ReleaseId> {
        match self.permission {
            Permission::Release(release) => Some(release),
            Permission::Notice(_) => None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The content that was released, without signatures.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.hash
    }

    /// Who is to get it, and nobody else.
    #[must_use]
    pub fn recipients(&self) -> &[Mailbox] {
        &self.recipients
    }

    /// What goes out, signatures included.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// One message for each domain of the recipients, in the order of the first recipient of each; together they have
    /// exactly the recipients of this one, each once.
    #[must_use]
    pub fn by_domain(self) -> Vec<(Domain, Self)> {
        let mut parts: Vec<(Domain, Vec<Mailbox>)> = Vec::new();
        let mut seen = HashSet::new();
        for recipient in self.recipients {
            if !seen.insert(recipient.to_string()) {
                continue;
            }
            match parts.iter_mut().find(|(domain, _)| domain == recipient.domain()) {
                Some((_, recipients)) => recipients.push(recipient),
                None => parts.push((recipient.domain().clone(), vec![recipient])),
            }
        }
        let part = |(domain, recipients)| {
            let part = Self {
                permission: self.permission,
                tenant: self.tenant,
                hash: self.hash,
                reverse_path: self.reverse_path.clone(),
                recipients,
                bytes: self.bytes.clone(),
                needs: self.needs,
            };
            (domain, part)
        };
        parts.into_iter().map(part).collect()
    }

    pub(super) fn into_outgoing(self) -> Outgoing {
        Outgoing { reverse_path: self.reverse_path, recipients: self.recipients, bytes: self.bytes, needs: self.needs }
    }
}

/// Ids only: neither addresses nor text belong in a log.
impl fmt::Debug for SignedMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SignedMessage").field("permission", &self.permission).finish_non_exhaustive()
    }
}

/// The domain of the one author.
fn author_domain(parts: &Parts<'_>) -> Result<Domain, SignError> {
    let froms = parts.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(b"from")).count();
    let read = message::read(parts.header, &Limits::default());
    if froms != 1 || read.author_doubt().is_some() {
        return Err(SignError::Author);
    }
    let mailbox = read.author.as_ref().and_then(|author| author.mailbox.as_ref());
    mailbox.map(|mailbox| mailbox.domain().clone()).ok_or(SignError::Author)
}

/// Signed once more than they are there, so that none can be added without breaking the signature (RFC 6376 §8.15).
const SEALED: [&str; 12] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Signed where they are there. Mailing lists add some of them, and RFC 8058 §4 wants its two signed.
const COVERED: [&str; 7] = [
    "Sender",
    "Auto-Submitted",
    "Content-Disposition",
    "Content-Language",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
];

/// The names of the `h=` tag, in order.
fn signed_names(fields: &[Field<'_>]) -> Result<Vec<&'static str>, Unsendable> {
    let mut names = Vec::new();
    for name in SEALED.into_iter().chain(COVERED) {
        let same = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        let is_there = match same.count() {
            0 => false,
            1 => true,
            _ => return Err(Unsendable::Repeated),
        };
        let times = usize::from(is_there) + usize::from(SEALED.contains(&name));
        names.extend(std::iter::repeat_n(name, times));
    }
    Ok(names)
}

const SIGNATURE_NAME: &[u8] = b"DKIM-Signature";

/// The value of the signature field, up to where the signature goes. No line is over 78 characters but for long names.
fn unsigned_field(key: &SigningKey, names: &[&str], body_digest: &str, now: Timestamp) -> String {
    let mut field = format!(
        " v=1; a={}; c=relaxed/relaxed;\r\n\td={};\r\n\ts={}; t={};\r\n\th=",
        key.algorithm().as_str(),
        key.domain(),
        key.selector().as_str(),
        now.as_seconds().max(0),
    );
    let mut column = 10;
    for (number, name) in names.iter().enumerate() {
        let separator = if number == 0 { "" } else { ":" };
        field.push_str(separator);
        if column + name.len() > 72 {
            field.push_str("\r\n\t ");
            column = 9;
        }
        field.push_str(name);
        column += name.len() + 1;
    }
    field.push_str(";\r\n\tbh=");
    field.push_str(body_digest);
    field.push_str(";\r\n\tb=");
    field
}

/// What is signed: the fields in the order of `names`, and the signature field without its signature (RFC 6376 §3.7).
fn digested(fields: &[Field<'_>], names: &[impl AsRef<str>], unsigned_field: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, name) in names.iter().map(AsRef::as_ref).enumerate() {
        let earlier = names.iter().take(number).filter(|other| other.as_ref().eq_ignore_ascii_case(name)).count();
        // RFC 6376 §5.4.2: of several, the last one first. A name without a field adds nothing.
        let mut same = fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        if let Some(field) = same.nth(earlier) {
            canonical::relaxed_field(field.name, field.value, &mut out);
            out.extend_from_slice(b"\r\n");
        }
    }
    canonical::relaxed_field(SIGNATURE_NAME, unsigned_field.as_bytes(), &mut out);
    out
}

/// Base64 in lines.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for (number, letter) in text.chars().enumerate() {
        if number > 0 && number % 68 == 0 {
            out.push_str("\r\n\t ");
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests;
