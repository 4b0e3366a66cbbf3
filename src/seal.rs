//! Secrets that must be readable again (webhook secrets, route addresses) are sealed before they are stored: AES-256-GCM,
//! bound to the row that they belong to. Message bodies are sealed with keys of their own ([`body`]). What the operator
//! keeps, the instance key, opens the [`keyring`], which holds the root of all of them.
//!
//! The key never leaves this type; neither it nor what was opened is shown by `Debug`.

pub mod body;
pub mod keyring;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use body::BodyKeys;

/// Octets of an instance key, a root secret and a data key.
pub const KEY_LEN: usize = 32;

/// Why a sealed text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored secret cannot be opened: it was sealed with another instance key, or belongs to another row")]
pub struct SealError;

/// The root secret of this instance, from which the keys for single purposes are derived (RFC 5869).
pub struct InstanceKey {
    seal: LessSafeKey,
    pepper: [u8; KEY_LEN],
    fingerprint: [u8; KEY_LEN],
    reply_tokens: [u8; KEY_LEN],
    attachment_links: [u8; KEY_LEN],
    evidence: [u8; KEY_LEN],
    bodies: Arc<BodyKeys>,
}

impl std::fmt::Debug for InstanceKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InstanceKey(hidden)")
    }
}

impl InstanceKey {
    /// Of the root secret whose octets are `bytes`, before any data key was drawn.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let root = root(bytes);
        #[expect(clippy::expect_used, reason = "32 octets are the length of an AES-256 key")]
        let seal = UnboundKey::new(&AES_256_GCM, &derive(&root, b"seal")).expect("AES-256-GCM takes 32 octets");
        Self {
            seal: LessSafeKey::new(seal),
            pepper: derive(&root, b"api key pepper"),
            fingerprint: derive(&root, b"fingerprint"),
            reply_tokens: derive(&root, b"reply tokens"),
            attachment_links: derive(&root, b"attachment links"),
            evidence: derive(&root, b"evidence ed25519"),
            bodies: Arc::new(BodyKeys::new(&[], &first_data_key(bytes))),
        }
    }

    /// What API keys are hashed with, so that a copy of the database alone is of no use to guess one.
    #[must_use]
    pub const fn pepper(&self) -> &[u8; KEY_LEN] {
        &self.pepper
    }

    /// What tells this root from another and may be stored: derived for that alone, in hexadecimal. A change of the instance
    /// key leaves it as it is.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key of reply tokens: they stay valid as long as the instance has its root.
    #[must_use]
    pub const fn reply_tokens(&self) -> &[u8; KEY_LEN] {
        &self.reply_tokens
    }

    /// What links to attachments are signed with.
    #[must_use]
    pub const fn attachment_links(&self) -> &[u8; KEY_LEN] {
        &self.attachment_links
    }

    /// The secret of the key that signs receipts and heads of the audit log. A change of the instance key leaves it as it is,
    /// and every node has the same.
    #[must_use]
    pub const fn evidence(&self) -> &[u8; KEY_LEN] {
        &self.evidence
    }

    /// What message bodies are sealed with.
    #[must_use]
    pub const fn bodies(&self) -> &Arc<BodyKeys> {
        &self.bodies
    }

    /// Seals `secret` for the row that `row` names.
    #[must_use]
    pub fn seal(&self, row: &str, secret: &str) -> String {
        let mut nonce = [0u8; NONCE_LEN];
        crate::clock::random_bytes(&mut nonce);
        let mut sealed = secret.as_bytes().to_vec();
        #[expect(clippy::expect_used, reason = "AES-GCM fails only over 64 GiB")]
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(row.as_bytes()), &mut sealed)
            .expect("a secret is shorter than 64 GiB");
        let mut all = nonce.to_vec();
        all.append(&mut sealed);
        format!("s1:{}", STANDARD_NO_PAD.encode(all))
    }

    /// Opens what [`InstanceKey::seal`] sealed for the same row.
    ///
    /// # Errors
    /// [`SealError`] for another key, another row, or a changed text.
    pub fn open(&self, row: &str, sealed: &str) -> Result<String, SealError> {
        let coded = sealed.strip_prefix("s1:").ok_or(SealError)?;
        let all = STANDARD_NO_PAD.decode(coded).map_err(|_| SealError)?;
        let (nonce, rest) = all.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.seal.open_in_place(nonce, Aad::from(row.as_bytes()), &mut rest).map_err(|_| SealError)?;
        String::from_utf8(opened.to_vec()).map_err(|_| SealError)
    }
}

fn root(bytes: &[u8; KEY_LEN]) -> Prk {
    Salt::new(HKDF_SHA256, b"connex instance key v1").extract(bytes)
}

/// The data key of an instance that drew none yet.
fn first_data_key(bytes: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
    derive(&root(bytes), b"bodies")
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

fn derive(root: &Prk, purpose: &[u8]) -> [u8; KEY_LEN] {
    derive_many(root, &[purpose])
}

/// As [`derive`], for a purpose in parts: the first is of a length that it alone has, or has nothing behind it.
fn derive_many(root: &Prk, purpose: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut key = [0u8; KEY_LEN];
    #[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8,160 octets")]
    root.expand(purpose, KeyLength).and_then(|okm| okm.fill(&mut key)).expect("32 octets are within HKDF's bound");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_and_for_its_row() {
        let key = InstanceKey::new(&[1; 32]);
        let sealed = key.seal("whe_1", "whsec_abc");
        assert_eq!(key.open("whe_1", &sealed).unwrap(), "whsec_abc");
        assert_eq!(key.open("whe_2", &sealed), Err(SealError));
        assert_eq!(InstanceKey::new(&[2; 32]).open("whe_1", &sealed), Err(SealError));
        assert!(!sealed.contains("abc"));
        assert_ne!(sealed, key.seal("whe_1", "whsec_abc"));
    }

    #[test]
    fn a_fingerprint_is_of_one_key_and_tells_no_other_derived_key() {
        let key = InstanceKey::new(&[1; 32]);
        assert_eq!(key.fingerprint(), InstanceKey::new(&[1; 32]).fingerprint());
        assert_ne!(key.fingerprint(), InstanceKey::new(&[2; 32]).fingerprint());
        let pepper: String = key.pepper().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_ne!(key.fingerprint(), pepper);
    }

    #[test]
    fn any_text_is_opened_or_refused() {
        let key = InstanceKey::new(&[1; 32]);
        for text in ["", "s1:", "s1:AAAA", "s1:????", "whsec_abc"] {
            assert_eq!(key.open("x", text), Err(SealError), "{text}");
        }
    }
}
