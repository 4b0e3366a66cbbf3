//! How a spool is set up.

use std::path::PathBuf;
use std::time::Duration;

use super::SpoolError;
use super::format;
use super::place::Position;

/// How a spool is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Folder of the segments; made when it is missing.
    pub dir: PathBuf,
    /// Bytes of a segment, allocated ahead; 32 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of a body that one record holds, and that one session keeps in memory.
    pub chunk_bytes: usize,
    /// Bytes of all sessions that may wait for the writer.
    pub queue_bytes: usize,
    /// Free space under which no new mail is taken.
    pub reserve: Reserve,
    /// How long one call of the disk may take before what waits for it is answered with an error.
    pub patience: Duration,
    /// How far the index has read: a log that ends before it has lost its end, and new mail must come behind it.
    /// [`Position::START`] when nothing is known.
    pub read_to: Position,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("spool"),
            segment_bytes: 64 << 20,
            chunk_bytes: 256 << 10,
            queue_bytes: 64 << 20,
            reserve: Reserve::default(),
            patience: Duration::from_millis(1_500),
            read_to: Position::START,
        }
    }
}

impl SpoolOptions {
    /// The file of segment `number`.
    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016}.seg"))
    }

    /// The number in a segment's file name.
    pub(super) fn segment_number(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse().ok().filter(|number| *number > 0)
        } else {
            None
        }
    }

    /// Largest append that fits a segment.
    pub(super) fn capacity(&self) -> u64 {
        self.segment_bytes.saturating_sub(format::DATA_START + format::FOOTER_BYTES)
    }

    /// # Errors
    /// [`SpoolError::Options`] names the option and what is allowed.
    pub(super) fn check(&self) -> Result<(), SpoolError> {
        if !(32 << 10..=1 << 30).contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4096) {
            return Err(SpoolError::Options("segment_bytes must be 32 KiB to 1 GiB and a multiple of 4 KiB"));
        }
        // A segment must hold a whole chunk and a commit beside it.
        let chunk = u64::try_from(self.chunk_bytes).unwrap_or(u64::MAX);
        if !(512..=4 << 20).contains(&chunk) || chunk > self.capacity() / 2 {
            return Err(SpoolError::Options("chunk_bytes must be 512 to 4 MiB and under half of segment_bytes"));
        }
        if self.queue_bytes < self.chunk_bytes || u32::try_from(self.queue_bytes).is_err() {
            return Err(SpoolError::Options("queue_bytes must be chunk_bytes to 4 GiB"));
        }
        if self.reserve.percent > 100 {
            return Err(SpoolError::Options("the reserve must be at most 100 percent"));
        }
        Ok(())
    }
}

/// Free space under which no new mail is taken: the larger of the two; 0 and 0 turn it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Bytes.
    pub bytes: u64,
    /// Percent of the file system.
    pub percent: u8,
}

impl Reserve {
    /// No reserve: mail is taken until the disk is full.
    pub const OFF: Self = Self { bytes: 0, percent: 0 };

    /// The reserve in bytes on a file system of `total` bytes.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        self.bytes.max(total / 100 * u64::from(self.percent))
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self { bytes: 1 << 30, percent: 5 }
    }
}
