//! One fixed rendering of a draft, and the hash that approvals and releases bind to.
//!
//! The hash covers everything that decides what leaves and to whom: reverse-path, every recipient, and the exact bytes.
//!
//! Standards: RFC 5321 §2.3.1 (envelope), FIPS 180-4 (SHA-256).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::approval::Actor;
use crate::ids::{DraftId, MailboxId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};

/// SHA-256 over an envelope and the exact bytes of a message; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash([u8; 32]);

/// Why a text is no content hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content hash is 64 hexadecimal digits in lower case")]
pub struct InvalidContentHash;

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ContentHash {
    type Err = InvalidContentHash;

    fn from_str(text: &str) -> Result<Self, InvalidContentHash> {
        read_hex(text).map(Self)
    }
}

/// 32 octets of 64 lower-case hexadecimal digits.
pub(super) fn read_hex(text: &str) -> Result<[u8; 32], InvalidContentHash> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut hash = [0; 32];
    if !is_hash {
        return Err(InvalidContentHash);
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        let pair = text.get(place * 2..place * 2 + 2).ok_or(InvalidContentHash)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidContentHash)?;
    }
    Ok(hash)
}

impl TryFrom<String> for ContentHash {
    type Error = InvalidContentHash;

    fn try_from(text: String) -> Result<Self, InvalidContentHash> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

/// Envelope and exact unsigned RFC 5322 bytes of a message that could leave.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    reverse_path: ReversePath,
    recipients: Vec<Mailbox>,
    bytes: Bytes,
}

/// Counts only: neither addresses nor text belong in a log.
impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recipients, size) = (self.recipients.len(), self.bytes.len());
        formatter.debug_struct("Content").field("recipients", &recipients).field("size", &size).finish_non_exhaustive()
    }
}

/// A message needs at least one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message needs at least one recipient")]
pub struct NoRecipients;

impl Content {
    /// Puts envelope and bytes together.
    ///
    /// # Errors
    /// [`NoRecipients`] when nobody would get it.
    pub fn new(reverse_path: ReversePath, recipients: Vec<Mailbox>, bytes: Bytes) -> Result<Self, NoRecipients> {
        if recipients.is_empty() { Err(NoRecipients) } else { Ok(Self { reverse_path, recipients, bytes }) }
    }

    /// MAIL FROM.
    #[must_use]
    pub const fn reverse_path(&self) -> &ReversePath {
        &self.reverse_path
    }

    /// Every RCPT TO, in order; never empty.
    #[must_use]
    pub fn recipients(&self) -> &[Mailbox] {
        &self.recipients
    }

    /// The message.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The hash over all of it. Each field goes in behind its length, so that no byte can move from one to another.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut field = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        field(b"connex content 1");
        field(self.reverse_path.to_string().as_bytes());
        field(&(self.recipients.len() as u64).to_be_bytes());
        for recipient in &self.recipients {
            field(recipient.to_string().as_bytes());
        }
        field(&self.bytes);
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        ContentHash(hash)
    }
}

/// One fixed rendering of a draft: what the gate judges. An edit makes a new one, whose author is the editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The draft.
    pub draft: DraftId,
    /// Whose draft it is.
    pub tenant: TenantId,
    /// The mailbox as which it would be sent.
    pub mailbox: MailboxId,
    /// Who wrote it or edited it last.
    pub author: Actor,
    /// What would leave.
    pub content: Content,
}
