//! Places in the log: positions between records, and where the bytes of a body are.
//!
//! All of them are stored by others (the index keeps positions and body references), so they are a stored format.

use serde::{Deserialize, Serialize};

use crate::ids::{MessageId, TenantId};
use crate::seal::body::{CHUNK_OVERHEAD, SealedKey};
use crate::spool::sealing::Owner;

/// The place just behind a record; places compare in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Byte in the segment's file.
    pub offset: u64,
}

impl Position {
    /// Before the first record of the log.
    pub const START: Self = Self { segment: 0, offset: 0 };
}

/// One BODY-CHUNK record of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// Number of the segment.
    pub segment: u64,
    /// Where the record (its header) begins in the segment's file.
    pub offset: u32,
    /// Bytes of its payload: of the body, and of the tag where the body is sealed.
    pub length: u32,
}

/// The key of a sealed body, and the message that it was sealed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Whose message; none where it has no recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The message.
    pub message: MessageId,
    /// The body's key.
    pub key: SealedKey,
}

impl Sealed {
    pub(super) const fn owner(&self) -> Owner {
        Owner { tenant: self.tenant, message: self.message }
    }
}

/// Where a body is in the log, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// Its chunks in order; empty for an empty body.
    pub extents: Vec<Extent>,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of all its bytes; 64 hexadecimal digits in JSON.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
    /// Its key; none for one that was stored in the clear, before bodies were sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

impl BodyRef {
    /// What is left of it once it is erased: nowhere, and no key.
    pub(in crate::spool) fn erased(&self) -> Self {
        Self { extents: Vec::new(), size: self.size, sha256: self.sha256, sealed: None }
    }

    /// Whether it is nowhere any more.
    pub(super) fn is_erased(&self) -> bool {
        self.extents.is_empty() && self.size > 0
    }

    /// Whether its chunks are as long as they must be.
    pub(super) fn adds_up(&self) -> bool {
        let stored: u64 = self.extents.iter().map(|extent| u64::from(extent.length)).sum();
        let tags = self.sealed.as_ref().map_or(0, |_| self.extents.len() as u64 * CHUNK_OVERHEAD as u64);
        self.size.checked_add(tags) == Some(stored)
    }
}

/// A SHA-256 as 64 hexadecimal digits.
pub mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
        serializer.serialize_str(&text)
    }

    fn hex_digit(value: u8) -> char {
        char::from_digit(u32::from(value), 16).unwrap_or('0')
    }

    /// Reads it.
    ///
    /// # Errors
    /// What stands there is something else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse_hex(&text).ok_or_else(|| serde::de::Error::custom("a SHA-256 has 64 hexadecimal digits"))
    }

    fn parse_hex(text: &str) -> Option<[u8; 32]> {
        let mut digits = text.chars();
        let mut bytes = [0u8; 32];
        for byte in &mut bytes {
            let (high, low) = (digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?);
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::body::SEALED_KEY_LEN;

    #[test]
    fn a_body_reference_reads_back_from_json() {
        let extents = vec![Extent { segment: 3, offset: 8192, length: 7 }];
        let sha256 = std::array::from_fn(|index| index as u8 * 8);
        let mut body = BodyRef { extents, size: 7, sha256, sealed: None };
        let text = serde_json::to_string(&body).unwrap();
        assert!(!text.contains("sealed"), "as it was before bodies were sealed: {text}");
        assert!(text.contains("\"sha256\":\"0008101820"), "{text}");
        assert_eq!(serde_json::from_str::<BodyRef>(&text).unwrap(), body);
        assert!(serde_json::from_str::<BodyRef>(&text.replace("0008", "00g8")).is_err());
        assert!(serde_json::from_str::<BodyRef>(&text.replace("0008", "008")).is_err());
        let message = MessageId::from_bits(9);
        for tenant in [None, Some(TenantId::from_bits(8))] {
            body.sealed = Some(Sealed { tenant, message, key: SealedKey::from_octets(&[7; SEALED_KEY_LEN]).unwrap() });
            let text = serde_json::to_string(&body).unwrap();
            assert_eq!(serde_json::from_str::<BodyRef>(&text).unwrap(), body);
        }
    }

    #[test]
    fn positions_compare_in_log_order() {
        let earlier = Position { segment: 1, offset: 9_000 };
        let later = Position { segment: 2, offset: 8_192 };
        assert!(Position::START < earlier && earlier < later);
    }
}
