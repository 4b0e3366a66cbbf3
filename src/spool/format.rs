//! The bytes of a segment.

/// Where the first record of a segment begins: behind the two copies of its header.
pub(super) const DATA_START: u64 = 8192;
/// Bytes of the footer record that closes a segment.
pub(super) const FOOTER_BYTES: u64 = 64;
