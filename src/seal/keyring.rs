//! What the instance key locks: the root secret, from which everything else is derived, and the data keys of bodies.
//!
//! As long as there is no keyring, the instance key is the root secret itself. The first change of the key makes a keyring,
//! locked for each key that opens it; from then on only the keyring is written again, and nothing that was sealed or derived
//! changes. A data key that was drawn is in the keyring alone: neither an older key nor the root opens what is sealed with it.
//!
//! ```text
//! instance key ─HKDF─► key of its slot ─AES-256-GCM─► root secret, data keys
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use serde::{Deserialize, Serialize};

use super::body::BodyKeys;
use super::{InstanceKey, KEY_LEN, derive, first_data_key};

/// An instance key: what the operator keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; KEY_LEN]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secret({})", self.id())
    }
}

impl Secret {
    /// The key that a text makes: its SHA-256.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut key = [0u8; KEY_LEN];
        key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
        Self(key)
    }

    /// What tells this key from another and may be shown: derived for that alone.
    #[must_use]
    pub fn id(&self) -> SecretId {
        SecretId(derive(&self.lock(), b"id").iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    fn lock(&self) -> Prk {
        Salt::new(HKDF_SHA256, b"connex keyring v1").extract(&self.0)
    }
}

/// Tells one instance key from another: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretId(String);

impl SecretId {
    /// As it was stored.
    #[must_use]
    pub const fn from_text(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for SecretId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Root secret and data keys, unlocked.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring {
    root: [u8; KEY_LEN],
    /// One for each change of the instance key, oldest first; the data key before them is derived from the root.
    drawn: Vec<[u8; KEY_LEN]>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyring").field("drawn", &self.drawn.len()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// With this root secret, and no data key drawn.
    #[must_use]
    pub const fn bare(root: [u8; KEY_LEN]) -> Self {
        Self { root, drawn: Vec::new() }
    }

    /// Of an instance whose key was never changed.
    #[must_use]
    pub const fn of(key: &Secret) -> Self {
        Self::bare(key.0)
    }

    /// The same with a new data key, with which bodies are sealed from now on.
    #[must_use]
    pub fn with_new_data_key(mut self) -> Self {
        let mut key = [0u8; KEY_LEN];
        crate::clock::random_bytes(&mut key);
        self.drawn.push(key);
        self
    }

    /// All that is derived from it.
    #[must_use]
    pub fn instance_key(&self) -> InstanceKey {
        InstanceKey { bodies: std::sync::Arc::new(self.body_keys()), ..InstanceKey::new(&self.root) }
    }

    /// What bodies are sealed with.
    #[must_use]
    pub fn body_keys(&self) -> BodyKeys {
        let (older, current) = self.data_keys();
        BodyKeys::new(&older, &current)
    }

    /// The data keys before the last, and the last.
    pub(super) fn data_keys(&self) -> (Vec<[u8; KEY_LEN]>, [u8; KEY_LEN]) {
        let first = first_data_key(&self.root);
        match self.drawn.split_last() {
            None => (Vec::new(), first),
            Some((current, older)) => (std::iter::once(first).chain(older.iter().copied()).collect(), *current),
        }
    }

    /// A copy of it for each of these keys, the newest last, in place of `before`.
    #[must_use]
    pub fn lock(&self, keys: &[&Secret], before: Option<&LockedKeyring>) -> LockedKeyring {
        let revision = before.map_or(0, |before| before.revision).saturating_add(1);
        let clear = std::iter::once(&self.root).chain(&self.drawn).copied().collect::<Vec<_>>().concat();
        let slots = keys.iter().map(|key| Slot::lock(key, revision, clear.clone())).collect();
        LockedKeyring { version: VERSION, revision, slots }
    }
}

/// A keyring as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedKeyring {
    version: u32,
    /// How often it was locked: of two copies, the one with more is the later.
    revision: u64,
    /// The newest key's last.
    slots: Vec<Slot>,
}

/// The keyring, sealed with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    key: SecretId,
    /// Nonce, ciphertext and tag in base64.
    sealed: String,
}

impl LockedKeyring {
    /// The text of one.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let locked: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if locked.version == VERSION { Ok(locked) } else { Err("it is of a newer version of connex".to_owned()) }
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The keyring, if `key` opens it.
    #[must_use]
    pub fn open(&self, key: &Secret) -> Option<Keyring> {
        let id = key.id();
        self.slots.iter().find(|slot| slot.key == id)?.open(key, self.revision)
    }

    /// Which of two copies is the later.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The keys that open it, the newest last.
    #[must_use]
    pub fn keys(&self) -> Vec<SecretId> {
        self.slots.iter().map(|slot| slot.key.clone()).collect()
    }

    /// The key that is to open it alone once a change is finished.
    #[must_use]
    pub fn newest(&self) -> Option<&SecretId> {
        self.slots.last().map(|slot| &slot.key)
    }
}

impl Slot {
    fn lock(key: &Secret, revision: u64, mut clear: Vec<u8>) -> Self {
        let mut nonce = [0u8; NONCE_LEN];
        crate::clock::random_bytes(&mut nonce);
        #[expect(clippy::expect_used, reason = "AES-GCM fails only over 64 GiB")]
        cipher(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(revision.to_le_bytes()),
                &mut clear,
            )
            .expect("a keyring is shorter than 64 GiB");
        Self { key: key.id(), sealed: STANDARD_NO_PAD.encode([nonce.as_slice(), &clear].concat()) }
    }

    fn open(&self, key: &Secret, revision: u64) -> Option<Keyring> {
        let all = STANDARD_NO_PAD.decode(&self.sealed).ok()?;
        let (nonce, rest) = all.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let clear = cipher(key).open_in_place(nonce, Aad::from(revision.to_le_bytes()), &mut rest).ok()?;
        let (keys, []) = clear.as_chunks::<KEY_LEN>() else { return None };
        let (root, drawn) = keys.split_first()?;
        Some(Keyring { root: *root, drawn: drawn.to_vec() })
    }
}

/// With what a key seals keyrings.
fn cipher(key: &Secret) -> LessSafeKey {
    #[expect(clippy::expect_used, reason = "32 octets are the length of an AES-256 key")]
    let unbound = UnboundKey::new(&AES_256_GCM, &derive(&key.lock(), b"seal")).expect("AES-256-GCM takes 32 octets");
    LessSafeKey::new(unbound)
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::of(text)
    }

    #[test]
    fn a_keyring_opens_with_each_of_its_keys_and_no_other() {
        let (old, new) = (secret("old"), secret("new"));
        let keyring = Keyring::of(&old).with_new_data_key();
        let both = LockedKeyring::parse(&keyring.lock(&[&old, &new], None).to_json()).unwrap();
        assert_eq!(both.open(&old), Some(keyring.clone()));
        assert_eq!(both.open(&new), Some(keyring.clone()));
        assert_eq!(both.open(&secret("other")), None);
        assert_eq!((both.keys(), both.newest()), (vec![old.id(), new.id()], Some(&new.id())));
        let alone = keyring.lock(&[&new], Some(&both));
        assert_eq!(alone.open(&new), Some(keyring));
        assert_eq!(alone.open(&old), None, "even though it is the root secret");
        assert!(alone.revision() > both.revision());
    }

    #[test]
    fn a_change_of_the_key_changes_nothing_that_is_derived_but_the_key_of_new_bodies() {
        let keyring = Keyring::of(&secret("first"));
        let before = InstanceKey::new(&secret("first").0);
        assert_eq!(keyring.instance_key().bodies().current(), before.bodies().current());
        let after = keyring.with_new_data_key().with_new_data_key().instance_key();
        assert_eq!(after.pepper(), before.pepper());
        assert_eq!(after.reply_tokens(), before.reply_tokens());
        assert_eq!(after.fingerprint(), before.fingerprint());
        assert_eq!(after.open("row", &before.seal("row", "secret")).unwrap(), "secret");
        assert_ne!(after.bodies().current(), before.bodies().current());
        assert!(after.bodies().has(before.bodies().current()), "what was sealed before still opens");
    }

    #[test]
    fn each_change_draws_another_data_key_and_keeps_those_before() {
        let once = Keyring::of(&secret("first")).with_new_data_key();
        let twice = once.clone().with_new_data_key();
        let (one, two) = (once.body_keys(), twice.body_keys());
        assert_ne!(one.current(), two.current());
        assert!(two.has(one.current()) && !one.has(two.current()));
        let again = Keyring::of(&secret("first")).with_new_data_key();
        assert_ne!(again.body_keys().current(), one.current(), "it is drawn, and does not follow from the root");
    }

    #[test]
    fn what_was_changed_or_is_no_keyring_does_not_open() {
        let key = secret("key");
        let locked = Keyring::of(&key).with_new_data_key().lock(&[&key], None);
        assert!(locked.open(&key).is_some());
        let sealed = STANDARD_NO_PAD.decode(&locked.slots[0].sealed).unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            let slot = Slot { sealed: STANDARD_NO_PAD.encode(changed), ..locked.slots[0].clone() };
            assert_eq!(LockedKeyring { slots: vec![slot], ..locked.clone() }.open(&key), None, "octet {place}");
        }
        assert_eq!(LockedKeyring { revision: 9, ..locked.clone() }.open(&key), None, "an old copy made a later one");
        for text in ["", "{}", "[]", "{\"version\":2,\"revision\":1,\"slots\":[]}"] {
            assert!(LockedKeyring::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn neither_keys_nor_keyrings_are_shown() {
        let key = Secret::of("a word that nobody may read");
        let keyring = Keyring::of(&key);
        let octets = format!("{:?}", key.0);
        for shown in [format!("{key:?}"), format!("{keyring:?}"), format!("{:?}", keyring.body_keys())] {
            assert!(!shown.contains(&octets[1..20]) && !shown.contains("word"), "{shown}");
        }
    }
}
