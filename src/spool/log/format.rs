//! The bytes of a segment: its header, its records, and its footer. `docs/spool-format.md` is the same in words.
//!
//! Reading never panics and never believes a length before it is checked. A record header counts only where it was
//! written: its checksum covers the segment's number and secret nonce and the record's own offset, so that neither stale
//! bytes nor a mail body that imitates a record is taken for one.

use super::place::{BodyRef, Extent, Sealed};
use crate::seal::body::{SEALED_KEY_LEN, SealedKey};
use crate::spool::sealing::{OWNER, Owner};

/// Where the first record of a segment begins: behind the two copies of its header.
pub(super) const DATA_START: u64 = 8192;
/// Where the second copy of the header begins: on another physical sector than the first.
pub(super) const SECOND_COPY: u64 = 4096;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 32;
/// Records begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes of the SEAL record that closes a segment.
pub(super) const FOOTER_BYTES: u64 = 64;
/// Bytes of one extent in a COMMIT.
pub(super) const EXTENT_BYTES: usize = 16;
/// Most bytes that a COMMIT may have.
pub(super) const COMMIT_LIMIT: u64 = 8 << 20;
/// Most notes that fit a header.
pub(super) const NOTES_LIMIT: usize = 250;

const MAGIC: &[u8; 8] = b"CNXSPOOL";
/// Of segments that are made now.
const VERSION: u32 = 2;
/// In which all bodies are in the clear; still read.
const VERSION_WITHOUT_SEALS: u32 = 1;
const HEADER_FIXED: usize = 88;
const NOTE_BYTES: usize = 16;
const COMMIT_FIXED: usize = 48;
/// Bytes that stand before the rest of a SEALED-COMMIT.
const SEALED_FIXED: usize = OWNER + SEALED_KEY_LEN;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a body.
    BodyChunk,
    /// A manifest, the extents of its body, and the body's size and digest; the body is in the clear.
    Commit,
    /// The same with the key of the body, whose chunks are sealed.
    SealedCommit,
    /// What was here was erased.
    Tombstone,
    /// The segment ends here, in order.
    Seal,
    /// A kind of a later version: stepped over.
    Other(u8),
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::BodyChunk => 1,
            Self::Commit => 2,
            Self::Tombstone => 3,
            Self::Seal => 4,
            Self::SealedCommit => 5,
            Self::Other(code) => code,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            1 => Self::BodyChunk,
            2 => Self::Commit,
            3 => Self::Tombstone,
            4 => Self::Seal,
            5 => Self::SealedCommit,
            other => Self::Other(other),
        }
    }

    /// Whether it makes a message of a body.
    pub(super) const fn is_commit(self) -> bool {
        matches!(self, Self::Commit | Self::SealedCommit)
    }
}

/// What ties a record to its segment: without the nonce, no valid record header can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    mark: [u8; 8],
    seed: u32,
}

impl Binding {
    pub(super) fn new(segment: u64, nonce: &[u8; 16]) -> Self {
        let mark = nonce.first_chunk().copied().unwrap_or_default();
        Self { mark, seed: crc32c::crc32c_append(crc32c::crc32c(nonce), &segment.to_le_bytes()) }
    }

    /// The eight bytes with which every record of the segment begins.
    pub(super) const fn mark(&self) -> [u8; 8] {
        self.mark
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Where the record begins in its segment.
    pub(super) offset: u32,
    /// All before this offset was flushed when the record was written.
    pub(super) flushed: u32,
    /// Bytes of the payload.
    pub(super) length: u32,
    /// What it is.
    pub(super) kind: Kind,
    /// CRC-32C of the payload.
    pub(super) payload_crc: u32,
}

impl RecordHeader {
    pub(super) fn encode(&self, binding: &Binding) -> [u8; RECORD_HEADER] {
        let mut bytes = [0u8; RECORD_HEADER];
        let fields = binding
            .mark
            .into_iter()
            .chain(self.offset.to_le_bytes())
            .chain(self.flushed.to_le_bytes())
            .chain(self.length.to_le_bytes())
            .chain([self.kind.code(), 0, 0, 0])
            .chain(self.payload_crc.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(byte, value)| *byte = value);
        let (covered, checksum) = bytes.split_at_mut(RECORD_HEADER - 4);
        checksum.copy_from_slice(&crc32c::crc32c_append(binding.seed, covered).to_le_bytes());
        bytes
    }

    /// The header of the record at `offset`, when `bytes` begins with one.
    pub(super) fn decode(bytes: &[u8], offset: u64, binding: &Binding) -> Option<Self> {
        let bytes = bytes.first_chunk::<RECORD_HEADER>()?;
        if !bytes.starts_with(&binding.mark) {
            return None;
        }
        let covered = bytes.get(..RECORD_HEADER - 4)?;
        let header = Self {
            offset: u32_at(bytes, 8)?,
            flushed: u32_at(bytes, 12)?,
            length: u32_at(bytes, 16)?,
            kind: Kind::of(*bytes.get(20)?),
            payload_crc: u32_at(bytes, 24)?,
        };
        let is_sound = u32_at(bytes, 28)? == crc32c::crc32c_append(binding.seed, covered)
            && u64::from(header.offset) == offset
            && bytes.get(21..24)? == [0; 3];
        is_sound.then_some(header)
    }

    /// Whether `payload` is what was written.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() as u64 == u64::from(self.length) && crc32c::crc32c(payload) == self.payload_crc
    }

    /// Where the payload begins.
    pub(super) fn payload_start(&self) -> u64 {
        u64::from(self.offset) + RECORD_HEADER as u64
    }

    /// Where the next record begins.
    pub(super) fn next(&self) -> u64 {
        self.payload_start() + u64::from(self.length).next_multiple_of(ALIGNMENT as u64)
    }
}

/// Zeros that bring `length` to the next record's place.
pub(super) const fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

/// What a later segment says about one that was not closed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// The segment that it is about.
    pub(super) segment: u64,
    /// Nothing from here on is read.
    pub(super) end: u32,
    /// All before this offset is known to have been flushed; commits from here to the end count only with a whole body.
    pub(super) proved: u32,
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its number, from 1.
    pub(super) segment: u64,
    /// Bytes of its file while it is written to.
    pub(super) size: u64,
    /// The same in all segments of a log.
    pub(super) log: [u8; 16],
    /// Secret and random: ties the records to the segment.
    pub(super) nonce: [u8; 16],
    /// Key with which whole payloads are encrypted; 0 for none, the only value so far: bodies have keys in their COMMITs.
    pub(super) key: u32,
    /// How long the segment is kept; 0 for the default, the only value of this version.
    pub(super) retention: u16,
    /// When it was made, in microseconds since 1970.
    pub(super) created_at: i64,
    /// About segments that were not closed in order.
    pub(super) notes: Vec<Note>,
}

impl SegmentHeader {
    /// One copy, at most 4 KiB; keeps the last notes when there are too many.
    pub(super) fn encode(&self) -> Vec<u8> {
        let notes = self.notes.get(self.notes.len().saturating_sub(NOTES_LIMIT)..).unwrap_or_default();
        let used = HEADER_FIXED + notes.len() * NOTE_BYTES + 4;
        let mut bytes = Vec::with_capacity(used);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&as_u32(used).to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.log);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.key.to_le_bytes());
        bytes.extend_from_slice(&self.retention.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.created_at.to_le_bytes());
        bytes.extend_from_slice(&as_u32(notes.len()).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for note in notes {
            bytes.extend_from_slice(&note.segment.to_le_bytes());
            bytes.extend_from_slice(&note.end.to_le_bytes());
            bytes.extend_from_slice(&note.proved.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// The header that `bytes` begins with; `None` when it is damaged or of another version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let used = usize::try_from(u32_at(bytes, 12)?).ok()?;
        let count = usize::try_from(u32_at(bytes, 80)?).ok()?;
        let is_known = matches!(u32_at(bytes, 8)?, VERSION | VERSION_WITHOUT_SEALS);
        if !bytes.starts_with(MAGIC) || !is_known || count > NOTES_LIMIT {
            return None;
        }
        let end = HEADER_FIXED + count * NOTE_BYTES;
        if used != end + 4 || u32_at(bytes, end)? != crc32c::crc32c(bytes.get(..end)?) {
            return None;
        }
        let (notes, _) = bytes.get(HEADER_FIXED..end)?.as_chunks::<NOTE_BYTES>();
        let note = |note: &[u8; NOTE_BYTES]| {
            Some(Note { segment: u64_at(note, 0)?, end: u32_at(note, 8)?, proved: u32_at(note, 12)? })
        };
        Some(Self {
            segment: u64_at(bytes, 16)?,
            size: u64_at(bytes, 24)?,
            log: *bytes.get(32..)?.first_chunk()?,
            nonce: *bytes.get(48..)?.first_chunk()?,
            key: u32_at(bytes, 64)?,
            retention: u16::from_le_bytes(*bytes.get(68..)?.first_chunk()?),
            created_at: i64::from_le_bytes(*bytes.get(72..)?.first_chunk()?),
            notes: notes.iter().map(note).collect::<Option<_>>()?,
        })
    }

    /// What ties records to this segment.
    pub(super) fn binding(&self) -> Binding {
        Binding::new(self.segment, &self.nonce)
    }
}

/// The payload of a COMMIT, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit<'a> {
    pub(super) body: BodyRef,
    pub(super) manifest: &'a [u8],
}

/// The kind of the COMMIT of `body`.
pub(super) const fn commit_kind(body: &BodyRef) -> Kind {
    if body.sealed.is_some() { Kind::SealedCommit } else { Kind::Commit }
}

/// Appends the payload of a COMMIT with so many extents, which come behind it.
pub(super) fn encode_commit(into: &mut Vec<u8>, body: &BodyRef, manifest: &[u8], extents: usize) {
    if let Some(sealed) = &body.sealed {
        into.extend_from_slice(&sealed.owner().octets());
        into.extend_from_slice(sealed.key.octets());
    }
    into.extend_from_slice(&body.size.to_le_bytes());
    into.extend_from_slice(&body.sha256);
    into.extend_from_slice(&as_u32(manifest.len()).to_le_bytes());
    into.extend_from_slice(&as_u32(extents).to_le_bytes());
    into.extend_from_slice(manifest);
}

/// Bytes of a COMMIT's payload.
pub(super) const fn commit_bytes(body: &BodyRef, manifest: usize, extents: usize) -> usize {
    let sealed = if body.sealed.is_some() { SEALED_FIXED } else { 0 };
    sealed + COMMIT_FIXED + manifest + extents * EXTENT_BYTES
}

pub(super) fn encode_extent(extent: &Extent) -> [u8; EXTENT_BYTES] {
    let mut bytes = [0u8; EXTENT_BYTES];
    let fields = extent.segment.to_le_bytes().into_iter().chain(extent.offset.to_le_bytes());
    bytes.iter_mut().zip(fields.chain(extent.length.to_le_bytes())).for_each(|(byte, value)| *byte = value);
    bytes
}

/// Reads the payload of a COMMIT of this kind.
pub(super) fn decode_commit(kind: Kind, payload: &[u8]) -> Option<Commit<'_>> {
    let (sealed, payload) = match kind {
        Kind::Commit => (None, payload),
        Kind::SealedCommit => {
            let (sealed, payload) = payload.split_first_chunk::<SEALED_FIXED>()?;
            (Some(decode_sealed(sealed)?), payload)
        }
        _ => return None,
    };
    let size = u64_at(payload, 0)?;
    let sha256 = *payload.get(8..)?.first_chunk()?;
    let manifest = usize::try_from(u32_at(payload, 40)?).ok()?;
    let count = usize::try_from(u32_at(payload, 44)?).ok()?;
    let (manifest, extents) = payload.get(COMMIT_FIXED..)?.split_at_checked(manifest)?;
    let (extents, rest) = extents.as_chunks::<EXTENT_BYTES>();
    if extents.len() != count || !rest.is_empty() {
        return None;
    }
    let extent = |bytes: &[u8; EXTENT_BYTES]| {
        Some(Extent { segment: u64_at(bytes, 0)?, offset: u32_at(bytes, 8)?, length: u32_at(bytes, 12)? })
    };
    let extents: Vec<Extent> = extents.iter().map(extent).collect::<Option<_>>()?;
    let body = BodyRef { extents, size, sha256, sealed };
    body.adds_up().then_some(Commit { body, manifest })
}

fn decode_sealed(bytes: &[u8; SEALED_FIXED]) -> Option<Sealed> {
    let (owner, key) = bytes.split_first_chunk::<OWNER>()?;
    let Owner { tenant, message } = Owner::from_octets(owner)?;
    Some(Sealed { tenant, message, key: SealedKey::from_octets(key)? })
}

/// The SEAL record for the place `end`, with the number of commits in the segment.
pub(super) fn encode_seal(end: u32, commits: u64, binding: &Binding) -> Vec<u8> {
    let mut payload = [0u8; 32];
    payload.iter_mut().zip(commits.to_le_bytes()).for_each(|(byte, value)| *byte = value);
    let header = RecordHeader {
        offset: end,
        flushed: end,
        length: as_u32(payload.len()),
        kind: Kind::Seal,
        payload_crc: crc32c::crc32c(&payload),
    };
    [header.encode(binding).as_slice(), &payload].concat()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Lengths inside a segment fit 32 bits: segments have at most 1 GiB.
fn as_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(notes: Vec<Note>) -> SegmentHeader {
        SegmentHeader {
            segment: 7,
            size: 1 << 26,
            log: [1; 16],
            nonce: [9; 16],
            key: 0,
            retention: 0,
            created_at: 5,
            notes,
        }
    }

    #[test]
    fn a_segment_header_reads_back_with_its_notes() {
        let notes: Vec<Note> = (1..=4).map(|segment| Note { segment, end: 9_000, proved: 8_192 }).collect();
        let header = header(notes);
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
    }

    #[test]
    fn a_header_with_too_many_notes_keeps_the_last_and_fits_its_copy() {
        let header = header((1..=300).map(|segment| Note { segment, end: 8_192, proved: 8_192 }).collect());
        let bytes = header.encode();
        assert!(bytes.len() as u64 <= SECOND_COPY);
        let read = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!((read.notes.len(), read.notes[249].segment), (NOTES_LIMIT, 300));
    }

    #[test]
    fn a_record_header_counts_only_in_its_segment_and_at_its_place() {
        let binding = Binding::new(3, &[7; 16]);
        let header =
            RecordHeader { offset: 8_192, flushed: 8_192, length: 5, kind: Kind::BodyChunk, payload_crc: 0xABCD };
        let bytes = header.encode(&binding);
        assert_eq!(RecordHeader::decode(&bytes, 8_192, &binding), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, 8_200, &binding), None);
        assert_eq!(RecordHeader::decode(&bytes, 8_192, &Binding::new(4, &[7; 16])), None);
        let mut other = [7; 16];
        other[15] = 8; // The mark is the same, the rest of the nonce is not.
        assert_eq!(RecordHeader::decode(&bytes, 8_192, &Binding::new(3, &other)), None);
    }

    #[test]
    fn a_flipped_bit_in_a_record_header_is_seen() {
        let binding = Binding::new(3, &[7; 16]);
        let header = RecordHeader { offset: 8_192, flushed: 0, length: 5, kind: Kind::Commit, payload_crc: 1 };
        for bit in 0..RECORD_HEADER * 8 {
            let mut bytes = header.encode(&binding);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bytes, 8_192, &binding), None, "bit {bit}");
        }
    }

    fn arbitrary_extent() -> impl Strategy<Value = Extent> {
        (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(segment, offset, length)| Extent {
            segment,
            offset,
            length,
        })
    }

    fn arbitrary_sealed() -> impl Strategy<Value = Option<Sealed>> {
        let sealed =
            (any::<[u8; OWNER]>(), prop::collection::vec(any::<u8>(), SEALED_KEY_LEN)).prop_map(|(owner, key)| {
                let Owner { tenant, message } = Owner::from_octets(&owner).unwrap();
                Sealed { tenant, message, key: SealedKey::from_octets(&key).unwrap() }
            });
        prop::option::of(sealed)
    }

    proptest! {
        #[test]
        fn a_commit_reads_back(
            manifest: Vec<u8>,
            sha256: [u8; 32],
            lengths in prop::collection::vec((arbitrary_extent(), 16u32..), 0..9),
            sealed in arbitrary_sealed(),
        ) {
            let extents: Vec<Extent> = lengths.into_iter().map(|(extent, length)| Extent { length, ..extent }).collect();
            let tag = if sealed.is_some() { 16 } else { 0 };
            let size = extents.iter().map(|extent| u64::from(extent.length) - tag).sum();
            let body = BodyRef { extents, size, sha256, sealed };
            let (kind, count) = (commit_kind(&body), body.extents.len());
            let mut bytes = Vec::new();
            encode_commit(&mut bytes, &body, &manifest, count);
            body.extents.iter().for_each(|extent| bytes.extend_from_slice(&encode_extent(extent)));
            prop_assert_eq!(bytes.len(), commit_bytes(&body, manifest.len(), count));
            prop_assert_eq!(decode_commit(kind, &bytes), Some(Commit { body, manifest: &manifest }));
            prop_assert_eq!(decode_commit(Kind::BodyChunk, &bytes), None);
            bytes.pop();
            prop_assert_eq!(decode_commit(kind, &bytes), None);
        }

        #[test]
        fn arbitrary_bytes_are_read_without_panic(bytes: Vec<u8>, nonce: [u8; 16], offset: u64) {
            let _ = decode_commit(Kind::Commit, &bytes);
            let _ = decode_commit(Kind::SealedCommit, &bytes);
            let _ = SegmentHeader::decode(&bytes);
            prop_assert_eq!(RecordHeader::decode(&bytes, offset, &Binding::new(1, &nonce)), None);
        }

        #[test]
        fn arbitrary_bytes_behind_a_true_beginning_are_read_without_panic(rest: Vec<u8>, lengths: [u8; 8], cut in 0usize..200) {
            let mut commit = [vec![0; 40], lengths.to_vec(), rest.clone()].concat();
            commit.truncate(cut);
            let _ = decode_commit(Kind::Commit, &commit);
            let _ = decode_commit(Kind::SealedCommit, &[vec![0; SEALED_FIXED], commit].concat());
            let mut header = header(Vec::new()).encode();
            header.truncate(80);
            header.extend_from_slice(&rest);
            let _ = SegmentHeader::decode(&header);
        }
    }
}
