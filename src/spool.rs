//! The spool: the durable log behind every `250`.

mod files;
mod format;
mod incoming;
mod options;
mod place;
mod report;

use std::sync::Arc;

use tokio::sync::watch;

pub use files::Files;
pub use incoming::{Incoming, SpooledMessage};
pub use options::{Admission, Reserve, SpoolOptions};
pub use place::{BodyRef, Extent, Position};
pub use report::{Finding, FindingKind, RecoveryReport, SpoolStatus};

use crate::clock::Clock;
use crate::mail::envelope::Manifest;

/// Why the spool could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// An option is outside its range.
    #[error("spool option: {0}")]
    Options(&'static str),
    /// Another process has the folder open.
    #[error("another process uses this spool")]
    InUse,
    /// The operating system refused; nothing of the request counts as stored.
    #[error("the spool cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A part of the body was in a segment that failed before it was flushed.
    #[error("part of the body was lost with a failed segment")]
    Lost,
    /// The manifest does not fit a record.
    #[error("the manifest has {size} bytes; {limit} fit")]
    TooLarge {
        /// Its bytes.
        size: u64,
        /// What fits.
        limit: u64,
    },
    /// The bytes in the log are not those that were stored.
    #[error("segment {segment} is damaged at byte {offset}")]
    Damaged {
        /// Number of the segment.
        segment: u64,
        /// First byte concerned.
        offset: u64,
    },
    /// The body was erased.
    #[error("the body was erased")]
    Erased,
    /// The position is behind the end of the log: it is of another log.
    #[error("the position is behind the end of the log")]
    Ahead,
    /// The spool was closed.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    /// Whether the same request may work later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::InUse | Self::Io { .. } | Self::Lost | Self::Closed)
    }
}

/// One message of the log whose COMMIT is flushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// What was stored beside the bytes.
    pub manifest: Manifest,
    /// Where the bytes are.
    pub body: BodyRef,
    /// The place just behind its COMMIT: read on from here.
    pub next: Position,
}

/// The durable log; clones share one log.
#[derive(Debug, Clone)]
pub struct Spool {
    committed: Arc<watch::Sender<Position>>,
}

impl Spool {
    /// Opens the log of `options.dir`, recovers what is there, and starts the writer. Blocks.
    ///
    /// # Errors
    /// The folder cannot be used; damage inside it is no error but a finding.
    #[expect(clippy::needless_pass_by_value, reason = "skeleton")]
    pub fn open(options: SpoolOptions, files: Files, clock: Clock) -> Result<(Self, RecoveryReport), SpoolError> {
        let _ = (files, clock);
        options.check()?;
        Err(SpoolError::Closed)
    }

    /// Begins a body.
    #[must_use]
    pub fn begin(&self) -> Incoming {
        Incoming { len: 0 }
    }

    /// Whether new mail may be taken; cheap, never blocks on the disk for long.
    #[must_use]
    pub fn admission(&self) -> Admission {
        Admission::Open
    }

    /// Up to `max_records` committed messages behind `after`, in log order, until their bodies exceed `max_bytes` (one
    /// message always comes). Only flushed records are seen. Damage is skipped and kept as a finding. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Ahead`] when `after` is not of this log; [`SpoolError::Io`] when a segment cannot be read now.
    pub fn read_after(
        &self,
        after: Position,
        max_records: usize,
        max_bytes: u64,
    ) -> Result<Vec<StoredMessage>, SpoolError> {
        let _ = (after, max_records, max_bytes);
        Ok(Vec::new())
    }

    /// The bytes of a body, checked chunk by chunk and as a whole. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Erased`], or the disk's refusal.
    pub fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        let _ = body;
        Err(SpoolError::Closed)
    }

    /// The end of the flushed log: a hint that [`Spool::read_after`] has more.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Position> {
        self.committed.subscribe()
    }

    /// Overwrites a body and its COMMIT in place and leaves tombstones; doing it again does no harm.
    ///
    /// # Errors
    /// Something may not be erased yet: do it again.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn erase(&self, body: &BodyRef) -> Result<(), SpoolError> {
        let _ = body;
        Err(SpoolError::Closed)
    }

    /// Damage found since the start, newest last; at most the last thousand.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Figures for `/metrics` and `/readyz`.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        SpoolStatus::default()
    }

    /// Finishes what waits, closes the segment in order and stops the writer. Blocks.
    pub fn close(&self) {}
}
