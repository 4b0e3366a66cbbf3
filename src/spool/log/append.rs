//! One append to the log: a chunk of a body, or the last chunk together with its COMMIT.
//!
//! A session builds it with room for the record headers, and with the checksums of all that it knows, so that the writer
//! only fills in places: the bytes go from here to the disk without another copy.

use super::SpoolError;
use super::active::Active;
use super::format::{self, EXTENT_BYTES, Kind, RECORD_HEADER, RecordHeader};
use super::place::{BodyRef, Extent};

/// Bytes of one or two whole records, whose headers are still zeros.
pub(super) struct Append {
    bytes: Vec<u8>,
    chunk: Option<Part>,
    commit: Option<Part>,
    /// Chunks of the same body that were written before.
    earlier: Vec<Extent>,
}

/// One record of an append.
struct Part {
    /// Bytes of its payload.
    length: usize,
    kind: Kind,
    /// CRC-32C of its payload; of a COMMIT behind its last chunk, without the last extent.
    crc: u32,
}

/// A body's buffer: room for a record header, and the bytes behind it.
pub(super) fn buffer(capacity: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(RECORD_HEADER + capacity);
    buffer.resize(RECORD_HEADER, 0);
    buffer
}

/// Where the body's bytes begin in a buffer.
pub(super) const START: usize = RECORD_HEADER;

/// The body's bytes in a buffer.
pub(super) fn filled(buffer: &[u8]) -> usize {
    buffer.len().saturating_sub(RECORD_HEADER)
}

impl Append {
    /// A chunk that is not the last of its body.
    pub(super) fn chunk(mut buffer: Vec<u8>) -> Self {
        let chunk = close_chunk(&mut buffer);
        Self { bytes: buffer, chunk, commit: None, earlier: Vec::new() }
    }

    /// The rest of a body, whose other chunks are its extents, and its COMMIT.
    pub(super) fn commit(mut buffer: Vec<u8>, body: &BodyRef, manifest: &[u8]) -> Result<Self, SpoolError> {
        let earlier = body.extents.clone();
        let chunk = close_chunk(&mut buffer);
        let extents = earlier.len() + usize::from(chunk.is_some());
        let length = format::commit_bytes(body, manifest.len(), extents);
        if length as u64 > format::COMMIT_LIMIT {
            return Err(SpoolError::TooLarge { size: length as u64, limit: format::COMMIT_LIMIT });
        }
        if chunk.is_none() {
            buffer.clear();
        }
        buffer.reserve_exact(RECORD_HEADER + length + format::ALIGNMENT);
        buffer.resize(buffer.len() + RECORD_HEADER, 0);
        let start = buffer.len();
        format::encode_commit(&mut buffer, body, manifest, extents);
        earlier.iter().for_each(|extent| buffer.extend_from_slice(&format::encode_extent(extent)));
        let crc = crc32c::crc32c(buffer.get(start..).unwrap_or_default());
        if chunk.is_some() {
            buffer.extend_from_slice(&[0; EXTENT_BYTES]);
        }
        buffer.resize(buffer.len() + format::padding(length), 0);
        Ok(Self { bytes: buffer, chunk, commit: Some(Part { length, kind: format::commit_kind(body), crc }), earlier })
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it makes a message durable, so that it must be flushed.
    pub(super) fn is_commit(&self) -> bool {
        self.commit.is_some()
    }

    /// Chunks of the same body that were written before.
    pub(super) fn earlier(&self) -> &[Extent] {
        &self.earlier
    }

    /// Fills in the headers, and the last extent, for the present end of `segment`; returns where the chunk will be.
    pub(super) fn place(&mut self, segment: &Active) -> Option<Extent> {
        let mut rest = self.bytes.as_mut_slice();
        let mut offset = segment.end;
        let mut extent = None;
        if let Some(part) = &self.chunk {
            let header = header(segment, offset, part, part.crc);
            extent = Some(Extent { segment: segment.number, offset: header.offset, length: header.length });
            let (record, behind) =
                rest.split_at_mut_checked(RECORD_HEADER + part.length + format::padding(part.length))?;
            record.first_chunk_mut().map(|place| *place = header.encode(&segment.binding))?;
            offset = header.next();
            rest = behind;
        }
        if let Some(part) = &self.commit {
            let mut crc = part.crc;
            let (place, payload) = rest.split_first_chunk_mut::<RECORD_HEADER>()?;
            if let Some(extent) = &extent {
                let last = format::encode_extent(extent);
                crc = crc32c::crc32c_append(crc, &last);
                payload.get_mut(..part.length)?.last_chunk_mut().map(|place| *place = last)?;
            }
            *place = header(segment, offset, part, crc).encode(&segment.binding);
        }
        extent
    }
}

fn header(segment: &Active, offset: u64, part: &Part, payload_crc: u32) -> RecordHeader {
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX); // Segments have at most 1 GiB.
    let (offset, flushed, length) = (narrow(offset), narrow(segment.flushed), narrow(part.length as u64));
    RecordHeader { offset, flushed, length, kind: part.kind, payload_crc }
}

fn close_chunk(buffer: &mut Vec<u8>) -> Option<Part> {
    let length = filled(buffer);
    let crc = crc32c::crc32c(buffer.get(RECORD_HEADER..)?);
    buffer.resize(buffer.len() + format::padding(length), 0);
    (length > 0).then_some(Part { length, kind: Kind::BodyChunk, crc })
}
