//! Envelope keys of message bodies: each body is sealed with a key of its own, and that key is sealed with a data key of the
//! instance and kept beside the body.
//!
//! ```text
//! data key (of the instance, told by its id) ─HKDF─► key for this body's envelope ─AES-256-GCM─► sealed body key
//! body key (random, one for each body) ─AES-256-GCM─► chunks
//! ```
//!
//! No nonce is used twice under a key. A body key is drawn for one body, and its chunks are counted: the count is the
//! nonce, and [`BodySealer`] gives out each once. An envelope's key is derived for one body (its message, size and digest),
//! and its nonce is random: two of them meet only where the same message is stored again, with a chance of 2⁻⁹⁶.
//!
//! A chunk opens only as the chunk of its number in its own body; an envelope only for the message, size and digest that it
//! was made for. So chunks cannot be exchanged, reordered or left out without being found.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::future::BoxFuture;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use serde::{Deserialize, Serialize};

use super::keyring::Keyring;
use super::{KEY_LEN, derive_many};

/// Octets that a sealed chunk has more than the chunk.
pub const CHUNK_OVERHEAD: usize = 16;
/// Octets of a sealed body key: the data key's id, a nonce, the key, and the tag.
pub const SEALED_KEY_LEN: usize = ID_LEN + NONCE_LEN + KEY_LEN + CHUNK_OVERHEAD;
const ID_LEN: usize = 8;

/// Tells one data key from another; derived from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataKeyId([u8; ID_LEN]);

impl std::fmt::Display for DataKeyId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl std::fmt::Debug for DataKeyId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DataKeyId({self})")
    }
}

/// Why a body cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It was sealed with a data key that is not among these: nothing is wrong with the body.
    #[error("the body is sealed with the data key {0}, which this installation does not have")]
    UnknownKey(DataKeyId),
    /// It is not what was sealed, or not for this message.
    #[error("the body is not what was sealed")]
    Altered,
}

/// The data keys of an instance. New bodies are sealed with the last; the others open what was sealed with them.
///
/// Another process may draw a further one at any time: [`BodyKeys::renew`] takes it over, and [`BodyKeys::look_up`] goes
/// and asks.
pub struct BodyKeys {
    keys: RwLock<Arc<DataKeys>>,
    source: OnceLock<Source>,
}

/// Where data keys are looked up that were drawn meanwhile; `None` where there is nothing to be had now.
pub type Source = Box<dyn Fn() -> BoxFuture<'static, Option<Keyring>> + Send + Sync>;

struct DataKeys {
    /// Before the last.
    older: Vec<DataKey>,
    current: DataKey,
}

impl DataKeys {
    fn new(older: &[[u8; KEY_LEN]], current: &[u8; KEY_LEN]) -> Self {
        Self { older: older.iter().map(DataKey::new).collect(), current: DataKey::new(current) }
    }

    fn find(&self, id: DataKeyId) -> Option<&DataKey> {
        std::iter::once(&self.current).chain(&self.older).find(|key| key.id == id)
    }
}

struct DataKey {
    id: DataKeyId,
    root: Prk,
}

impl DataKey {
    fn new(octets: &[u8; KEY_LEN]) -> Self {
        let root = Salt::new(HKDF_SHA256, b"connex data key v1").extract(octets);
        let id: [u8; KEY_LEN] = derive_many(&root, &[b"id"]);
        Self { id: DataKeyId(id.first_chunk().copied().unwrap_or_default()), root }
    }

    fn envelope(&self, of: &[u8]) -> LessSafeKey {
        cipher(&derive_many(&self.root, &[b"envelope", of]))
    }
}

impl std::fmt::Debug for BodyKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys();
        let older: Vec<DataKeyId> = keys.older.iter().map(|key| key.id).collect();
        formatter
            .debug_struct("BodyKeys")
            .field("current", &keys.current.id)
            .field("older", &older)
            .finish_non_exhaustive()
    }
}

impl BodyKeys {
    /// The keys whose octets these are.
    #[must_use]
    pub fn new(older: &[[u8; KEY_LEN]], current: &[u8; KEY_LEN]) -> Self {
        Self { keys: RwLock::new(Arc::new(DataKeys::new(older, current))), source: OnceLock::new() }
    }

    /// The key that new bodies are sealed with.
    #[must_use]
    pub fn current(&self) -> DataKeyId {
        self.keys().current.id
    }

    /// Whether this key is among them.
    #[must_use]
    pub fn has(&self, key: DataKeyId) -> bool {
        self.keys().find(key).is_some()
    }

    /// Takes over the data keys of a keyring of the same instance, unless all of them are known. Whether there were new ones.
    pub fn renew(&self, keyring: &Keyring) -> bool {
        let (older, current) = keyring.data_keys();
        let renewed = DataKeys::new(&older, &current);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // A keyring only grows: one with fewer keys is older than what is known.
        let is_later = renewed.older.len() > keys.older.len();
        if is_later {
            *keys = Arc::new(renewed);
        }
        is_later
    }

    /// From now on [`BodyKeys::look_up`] asks `source`; the first one stays.
    pub fn look_up_in(&self, source: Source) {
        let _ = self.source.set(source);
    }

    /// Whether `key` is among them, after they were looked up again where it is not.
    pub async fn look_up(&self, key: DataKeyId) -> bool {
        if self.has(key) {
            return true;
        }
        let Some(source) = self.source.get() else { return false };
        if let Some(keyring) = source().await {
            self.renew(&keyring);
        }
        self.has(key)
    }

    fn keys(&self) -> Arc<DataKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seals a body's key for the body that `of` describes.
    #[must_use]
    pub fn seal(&self, body: &BodySealer, of: &[u8]) -> SealedKey {
        let keys = self.keys();
        let mut nonce = [0u8; NONCE_LEN];
        crate::clock::random_bytes(&mut nonce);
        let mut octets = body.octets;
        #[expect(clippy::expect_used, reason = "AES-GCM fails only over 64 GiB")]
        let tag = keys
            .current
            .envelope(of)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of), &mut octets)
            .expect("a key is shorter than 64 GiB");
        let mut sealed = [0u8; SEALED_KEY_LEN];
        let fields = keys.current.id.0.iter().chain(&nonce).chain(&octets).chain(tag.as_ref());
        sealed.iter_mut().zip(fields).for_each(|(place, value)| *place = *value);
        SealedKey(sealed)
    }

    /// Opens a body's key.
    ///
    /// # Errors
    /// [`BodyError::UnknownKey`] for a data key that is not among these; [`BodyError::Altered`] when it was not sealed
    /// for `of`.
    pub fn open(&self, sealed: &SealedKey, of: &[u8]) -> Result<BodyOpener, BodyError> {
        let (id, rest) = sealed.0.split_first_chunk::<ID_LEN>().ok_or(BodyError::Altered)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(BodyError::Altered)?;
        let (keys, id) = (self.keys(), DataKeyId(*id));
        let key = keys.find(id).ok_or(BodyError::UnknownKey(id))?;
        let mut octets = *rest.first_chunk::<{ KEY_LEN + CHUNK_OVERHEAD }>().ok_or(BodyError::Altered)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.envelope(of).open_in_place(nonce, Aad::from(of), &mut octets);
        let octets = opened.ok().and_then(|opened| opened.first_chunk::<KEY_LEN>()).ok_or(BodyError::Altered)?;
        Ok(BodyOpener { cipher: cipher(octets) })
    }
}

/// A body's key, sealed: to be kept beside the body. In JSON it is base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SealedKey([u8; SEALED_KEY_LEN]);

impl SealedKey {
    /// As it is stored.
    #[must_use]
    pub const fn octets(&self) -> &[u8; SEALED_KEY_LEN] {
        &self.0
    }

    /// With which data key it is sealed.
    #[must_use]
    pub fn data_key(&self) -> DataKeyId {
        DataKeyId(self.0.first_chunk().copied().unwrap_or_default())
    }

    /// As it was stored; `None` when the length is wrong.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for SealedKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SealedKey({})", self.data_key())
    }
}

impl From<SealedKey> for String {
    fn from(key: SealedKey) -> Self {
        STANDARD_NO_PAD.encode(key.0)
    }
}

impl TryFrom<String> for SealedKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octets = STANDARD_NO_PAD.decode(text).map_err(|_| "a sealed key is written in base64")?;
        Self::from_octets(&octets).ok_or("a sealed key has 68 octets")
    }
}

/// Seals the chunks of one body, in their order.
pub struct BodySealer {
    octets: [u8; KEY_LEN],
    cipher: LessSafeKey,
    chunks: u64,
}

impl std::fmt::Debug for BodySealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BodySealer").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

impl Default for BodySealer {
    fn default() -> Self {
        Self::new()
    }
}

impl BodySealer {
    /// For one body, with a key that nothing else has.
    #[must_use]
    pub fn new() -> Self {
        let mut octets = [0u8; KEY_LEN];
        crate::clock::random_bytes(&mut octets);
        Self { cipher: cipher(&octets), octets, chunks: 0 }
    }

    /// Seals what is in `chunk` from `start` on as the next chunk, and appends its tag.
    pub fn seal(&mut self, chunk: &mut Vec<u8>, start: usize) {
        let nonce = nonce(self.chunks);
        self.chunks += 1;
        let clear = chunk.get_mut(start..).unwrap_or_default();
        #[expect(clippy::expect_used, reason = "AES-GCM fails only over 64 GiB")]
        let tag =
            self.cipher.seal_in_place_separate_tag(nonce, Aad::empty(), clear).expect("a chunk is shorter than 64 GiB");
        chunk.extend_from_slice(tag.as_ref());
    }
}

/// Opens the chunks of one body.
pub struct BodyOpener {
    cipher: LessSafeKey,
}

impl std::fmt::Debug for BodyOpener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BodyOpener(hidden)")
    }
}

impl BodyOpener {
    /// Opens the chunk of this number, counted from 0.
    ///
    /// # Errors
    /// [`BodyError::Altered`] when it is another chunk, of another body, or changed.
    pub fn open(&self, number: u64, mut chunk: Vec<u8>) -> Result<Vec<u8>, BodyError> {
        let opened = self.cipher.open_in_place(nonce(number), Aad::empty(), &mut chunk);
        let length = opened.map_err(|_| BodyError::Altered)?.len();
        chunk.truncate(length);
        Ok(chunk)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0u8; NONCE_LEN];
    nonce.iter_mut().zip(number.to_le_bytes()).for_each(|(place, value)| *place = value);
    Nonce::assume_unique_for_key(nonce)
}

fn cipher(octets: &[u8; KEY_LEN]) -> LessSafeKey {
    #[expect(clippy::expect_used, reason = "32 octets are the length of an AES-256 key")]
    let key = UnboundKey::new(&AES_256_GCM, octets).expect("AES-256-GCM takes 32 octets");
    LessSafeKey::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: &[u8] = b"the body";

    fn sealed(keys: &BodyKeys, chunks: &[&[u8]]) -> (SealedKey, Vec<Vec<u8>>) {
        let mut sealer = BodySealer::new();
        let seal = |chunk: &&[u8]| {
            let mut buffer = [b"head", *chunk].concat();
            sealer.seal(&mut buffer, 4);
            assert_eq!(&buffer[..4], b"head");
            buffer.split_off(4)
        };
        let chunks = chunks.iter().map(seal).collect();
        (keys.seal(&sealer, OF), chunks)
    }

    #[test]
    fn a_body_opens_chunk_by_chunk_and_shows_nothing_before() {
        let keys = BodyKeys::new(&[], &[1; 32]);
        let (key, chunks) = sealed(&keys, &[b"marker one", b"", b"marker two"]);
        assert!(chunks.iter().all(|chunk| !chunk.windows(6).any(|window| window == b"marker")));
        assert_eq!(chunks[0].len(), 10 + CHUNK_OVERHEAD);
        let opener = keys.open(&key, OF).unwrap();
        let opened: Vec<_> = (0..).zip(chunks).map(|(number, chunk)| opener.open(number, chunk).unwrap()).collect();
        assert_eq!(opened, [b"marker one".as_slice(), b"", b"marker two"]);
    }

    #[test]
    fn a_chunk_is_refused_at_another_place_in_another_body_and_changed() {
        let keys = BodyKeys::new(&[], &[1; 32]);
        let (key, chunks) = sealed(&keys, &[b"one", b"two"]);
        let (other, _) = sealed(&keys, &[b"one"]);
        let opener = keys.open(&key, OF).unwrap();
        assert_eq!(opener.open(1, chunks[0].clone()), Err(BodyError::Altered));
        assert_eq!(keys.open(&other, OF).unwrap().open(0, chunks[0].clone()), Err(BodyError::Altered));
        for place in 0..chunks[0].len() {
            let mut changed = chunks[0].clone();
            changed[place] ^= 1;
            assert_eq!(opener.open(0, changed), Err(BodyError::Altered), "octet {place}");
        }
        for length in 0..chunks[0].len() {
            assert_eq!(opener.open(0, chunks[0][..length].to_vec()), Err(BodyError::Altered), "{length} octets");
        }
    }

    #[test]
    fn an_envelope_opens_for_its_body_alone_and_with_a_key_that_is_known() {
        let keys = BodyKeys::new(&[], &[1; 32]);
        let (key, _) = sealed(&keys, &[]);
        assert_eq!(keys.open(&key, b"another").err(), Some(BodyError::Altered));
        for place in ID_LEN..SEALED_KEY_LEN {
            let mut octets = *key.octets();
            octets[place] ^= 1;
            let changed = SealedKey::from_octets(&octets).unwrap();
            assert_eq!(keys.open(&changed, OF).err(), Some(BodyError::Altered), "octet {place}");
        }
        let others = BodyKeys::new(&[], &[2; 32]);
        assert_eq!(others.open(&key, OF).err(), Some(BodyError::UnknownKey(keys.current())));
        assert!(BodyKeys::new(&[[1; 32]], &[2; 32]).open(&key, OF).is_ok(), "older keys still open");
    }

    #[tokio::test]
    async fn a_data_key_that_was_drawn_elsewhere_is_looked_up_and_then_used() {
        let before = Keyring::bare([1; 32]);
        let after = before.clone().with_new_data_key();
        let (here, elsewhere) = (before.body_keys(), after.body_keys());
        let (old, _) = sealed(&here, &[]);
        let (new, _) = sealed(&elsewhere, &[]);
        assert_eq!(here.open(&new, OF).err(), Some(BodyError::UnknownKey(elsewhere.current())));
        assert!(!here.look_up(new.data_key()).await, "nobody to ask");
        here.look_up_in(Box::new(move || Box::pin(std::future::ready(Some(after.clone())))));
        assert!(here.look_up(new.data_key()).await);
        assert!(here.open(&new, OF).is_ok() && here.open(&old, OF).is_ok());
        assert_eq!(here.current(), elsewhere.current(), "and new bodies are sealed with it");
        assert!(!here.renew(&before), "an older keyring takes nothing away");
        assert!(here.has(new.data_key()));
    }

    #[test]
    fn a_sealed_key_reads_back_from_json_and_octets() {
        let (key, _) = sealed(&BodyKeys::new(&[], &[1; 32]), &[]);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<SealedKey>(&text).unwrap(), key);
        assert_eq!(SealedKey::from_octets(key.octets()), Some(key));
        assert_eq!(SealedKey::from_octets(&key.octets()[1..]), None);
        for text in ["\"\"", "\"AAAA\"", "\"?\"", "7"] {
            assert!(serde_json::from_str::<SealedKey>(text).is_err(), "{text}");
        }
    }
}
