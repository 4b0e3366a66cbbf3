//! What the log says about itself: damage that was found.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::place::Position;

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The end of a segment that was being written when the process or the machine stopped.
    TornTail,
    /// A record whose bytes are not what was written.
    Checksum,
    /// A segment between others, or before them, is not there.
    MissingSegment,
    /// Neither copy of a segment's header can be read, or it is of another log or a newer format.
    BadHeader,
    /// One of the two copies of a segment's header is damaged.
    DamagedHeaderCopy,
    /// A file that holds nothing: a segment prepared and never used, or a creation that was interrupted.
    Leftover,
    /// A sound record whose manifest this version cannot read.
    Manifest,
    /// The operating system refused to read, flush or remove a file.
    Io,
}

impl FindingKind {
    /// Whether a stop in the middle of writing leaves this behind although nothing is wrong.
    #[must_use]
    pub const fn is_of_a_crash(self) -> bool {
        matches!(self, Self::TornTail | Self::Leftover)
    }
}

/// Whether accepted mail is lost or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// None.
    None,
    /// It may be.
    Possible,
    /// Some is, if the place held any.
    Certain,
}

/// Something that was not as it should be, with its place and its consequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Number of the segment; 0 when it is about no segment.
    pub segment: u64,
    /// First byte concerned.
    pub offset: u64,
    /// What was found.
    pub kind: FindingKind,
    /// Whether accepted mail is lost or damaged by it.
    pub loss: Loss,
    /// What follows from it, in a sentence.
    pub consequence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "segment {} at byte {}: {:?}: {}", self.segment, self.offset, self.kind, self.consequence)
    }
}

/// What opening the spool found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct RecoveryReport {
    /// Everything that was not as it should be, in log order; empty after a clean stop.
    pub findings: Vec<Finding>,
    /// Segments that hold records.
    pub segments: u64,
    /// Segments that had not been closed in order and were read through.
    pub scanned_segments: u64,
    /// End of the log as it was found; the first new record comes behind it.
    pub end: Position,
    /// Time it took.
    pub took: Duration,
}
