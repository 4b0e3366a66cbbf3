//! The spool: what stands behind every `250`, and the store of the bodies.
//!
//! Two of them, and what comes after does not know which: a log of files on one machine ([`log`]), or rows of the database
//! that several nodes share ([`rows`]). Sessions hand bytes over ([`Incoming`]); only a message that is on stable storage
//! becomes a [`SpooledMessage`], and only that can become a `250`.
//!
//! What it must never do: say that a message is stored which a power cut could still take; wait without a bound, in memory
//! or in time.

pub mod log;
pub mod rows;
mod sealing;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use log::Log;
use rows::Rows;

use crate::ids::MessageId;
use crate::mail::envelope::{Manifest, Verdict};
use crate::seal::body::DataKeyId;
use crate::store::StoreError;

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
    /// One call of the disk takes longer than a peer should wait. What was asked may be stored all the same.
    #[error("the disk does not answer")]
    Stalled,
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
    /// The bytes in the database are not those that were stored.
    #[error("the stored body is not the one that was accepted")]
    Altered,
    /// The body is sealed with a key that is not here; nothing is wrong with the body.
    #[error(
        "the body is sealed with the data key {0}, which this installation does not have: it opens with the instance key with which it was stored; put that one back"
    )]
    UnknownKey(DataKeyId),
    /// The body was erased.
    #[error("the body was erased")]
    Erased,
    /// The position is behind the end of the log: it is of another log.
    #[error("the position is behind the end of the log")]
    Ahead,
    /// The database did not store the message, or it is not known that it did.
    #[error("the database did not store the message: {0}")]
    Store(#[source] Arc<StoreError>),
    /// The body is in a spool of the other kind: that of the time before this installation's database was changed.
    #[error("the body is in another spool than this installation's")]
    Elsewhere,
    /// The layers above refused the message while it awaited their verdict.
    #[error("the message was refused")]
    Refused,
    /// The spool was closed.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    fn io(action: &'static str, source: std::io::Error) -> Self {
        Self::Io { action, source: Arc::new(source) }
    }

    /// Whether the same request may work later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::InUse | Self::Io { .. } | Self::Stalled | Self::Lost | Self::Store(_) | Self::Closed)
    }
}

/// Whether new mail may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Open,
    /// No: free space is under the reserve.
    Reserve,
    /// No: the last write failed, and none has worked since; or one does not end.
    Failing,
}

/// The spool's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpoolStatus {
    /// Segments that hold records or may get some.
    pub segments: u64,
    /// Bytes of those segments up to their ends.
    pub bytes: u64,
    /// Messages committed since the start.
    pub commits: u64,
    /// Flushes since the start.
    pub flushes: u64,
    /// Bytes of records written since the start.
    pub written_bytes: u64,
    /// Commits and chunks that were answered with an error since the start.
    pub failures: u64,
    /// Segments closed for good after a failed write or flush since the start.
    pub failed_segments: u64,
    /// Whether the last attempt to write failed and none has worked since.
    pub is_failing: bool,
    /// What that attempt said, or that the disk does not answer.
    pub trouble: Option<String>,
    /// Damage found since the start, also while opening; what a crash leaves behind is none.
    pub findings: u64,
    /// Bytes that wait for the writer.
    pub waiting_bytes: u64,
    /// Free bytes of the file system, at most a second old.
    pub free_bytes: u64,
    /// Free bytes under which no new mail is taken.
    pub reserve_bytes: u64,
}

/// A message that is stored, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// What was stored beside the bytes.
    pub manifest: Manifest,
    /// Where the bytes are.
    pub body: BodyRef,
}

/// Where a body is, and what it must be. The index keeps it, so it is a stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BodyRef {
    /// In the log of this machine.
    Log(log::BodyRef),
    /// In rows of the database.
    Rows(rows::BodyRef),
}

impl BodyRef {
    /// Its length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Log(body) => body.size,
            Self::Rows(body) => body.size,
        }
    }

    /// What is left of it once it is erased: its length and digest, and neither place nor key.
    #[must_use]
    pub fn erased(&self) -> Self {
        match self {
            Self::Log(body) => Self::Log(body.erased()),
            // Its place is its message's id.
            Self::Rows(body) => Self::Rows(body.clone()),
        }
    }

    /// SHA-256 of all its bytes.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        match self {
            Self::Log(body) => &body.sha256,
            Self::Rows(body) => &body.sha256,
        }
    }
}

/// Proof that a message is on stable storage. Only the spool makes it; only it can become a `250` reply.
#[derive(Debug)]
#[must_use]
pub struct SpooledMessage {
    id: MessageId,
    size: u64,
}

impl SpooledMessage {
    /// To be called with what was made durable, and nothing else.
    fn new(id: MessageId, size: u64) -> Self {
        Self { id, size }
    }

    /// The message.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// Bytes of its body.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// A message whose bytes are on stable storage and which is no message yet: nobody answered for it, and nobody will read it
/// unless [`Awaiting::accept`] is called. Dropped, it stays garbage.
#[derive(Debug)]
#[must_use]
pub enum Awaiting {
    /// In the log.
    Log(log::Awaiting),
    /// In the database.
    Rows(rows::Awaiting),
}

impl Awaiting {
    /// The bytes, checked as a whole.
    ///
    /// # Errors
    /// They cannot be read now.
    pub async fn read(&self) -> Result<Vec<u8>, SpoolError> {
        match self {
            Self::Log(awaiting) => awaiting.read().await,
            Self::Rows(awaiting) => awaiting.read().await,
        }
    }

    /// Octets of the body.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Log(awaiting) => awaiting.size(),
            Self::Rows(awaiting) => awaiting.size(),
        }
    }

    /// Makes it a message, with the bytes that are there; returns when that is on stable storage.
    ///
    /// # Errors
    /// It does not count as stored; all errors are temporary.
    pub async fn accept(self) -> Result<SpooledMessage, SpoolError> {
        match self {
            Self::Log(awaiting) => awaiting.accept().await,
            Self::Rows(awaiting) => awaiting.accept().await,
        }
    }

    /// Gives it up. What cannot be removed stays as garbage, and is never read.
    pub async fn refuse(self) {
        match self {
            // The log is only ever appended to.
            Self::Log(_) => {}
            Self::Rows(awaiting) => awaiting.refuse().await,
        }
    }
}

/// The spool of this node; clones share it.
#[derive(Debug, Clone)]
pub enum Spool {
    /// A log of files.
    Log(Log),
    /// Rows of the database.
    Rows(Rows),
}

impl Spool {
    /// Begins a body.
    #[must_use]
    pub fn begin(&self) -> Incoming {
        match self {
            Self::Log(log) => Incoming::Log(log.begin()),
            Self::Rows(rows) => Incoming::Rows(rows.begin()),
        }
    }

    /// Whether new mail may be taken; cheap. While the spool is failing, asking has it try again.
    #[must_use]
    pub fn admission(&self) -> Admission {
        match self {
            Self::Log(log) => log.admission(),
            Self::Rows(rows) => rows.admission(),
        }
    }

    /// The bytes of a body, checked as a whole.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Erased`], or that it cannot be read now.
    pub async fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        match (self, body) {
            (Self::Log(log), BodyRef::Log(body)) => {
                let (log, body) = (log.clone(), body.clone());
                let read = tokio::task::spawn_blocking(move || log.read_body(&body));
                read.await.map_err(|_| SpoolError::Closed)?
            }
            (Self::Rows(rows), BodyRef::Rows(body)) => rows.read_body(body).await,
            _ => Err(SpoolError::Elsewhere),
        }
    }

    /// Erases a body, so that nobody can read it any more; doing it again does no harm.
    ///
    /// # Errors
    /// Something of it may still be there: do it again.
    pub async fn erase(&self, body: &BodyRef) -> Result<(), SpoolError> {
        match (self, body) {
            (Self::Log(log), BodyRef::Log(body)) => log.erase(body).await,
            (Self::Rows(rows), BodyRef::Rows(body)) => rows.erase(body).await,
            _ => Err(SpoolError::Elsewhere),
        }
    }

    /// Tells when something was committed.
    #[must_use]
    pub fn committed(&self) -> Committed {
        match self {
            Self::Log(log) => Committed::Log(log.committed()),
            Self::Rows(rows) => Committed::Rows(rows.committed()),
        }
    }

    /// Figures for `/metrics` and `/readyz`.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        match self {
            Self::Log(log) => log.status(),
            Self::Rows(rows) => rows.status(),
        }
    }

    /// Finishes what waits, and takes no more.
    pub async fn close(&self) {
        match self {
            Self::Log(log) => {
                let log = log.clone();
                let _ = tokio::task::spawn_blocking(move || log.close()).await;
            }
            Self::Rows(rows) => rows.close().await,
        }
    }
}

/// Tells when something was committed: a hint that there is more to read.
#[derive(Debug, Clone)]
pub enum Committed {
    /// The end of the log.
    Log(watch::Receiver<log::Position>),
    /// Counts up.
    Rows(watch::Receiver<u64>),
}

impl Committed {
    /// What was committed until now is known.
    pub fn mark_seen(&mut self) {
        match self {
            Self::Log(end) => end.mark_unchanged(),
            Self::Rows(count) => count.mark_unchanged(),
        }
    }

    /// Waits for the next hint; for ever once the spool is gone.
    pub async fn more(&mut self) {
        let hint = match self {
            Self::Log(end) => end.changed().await,
            Self::Rows(count) => count.changed().await,
        };
        if hint.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A body that is arriving; dropping it abandons what was written of it. Never shows the body.
#[derive(Debug)]
pub enum Incoming {
    /// On its way to the log.
    Log(log::Incoming),
    /// On its way to the database.
    Rows(rows::Incoming),
}

impl Incoming {
    /// Takes the next bytes of the body; waits while too many bytes wait to be written.
    ///
    /// # Errors
    /// No bytes are taken now. The body cannot be committed any more: begin it again, from its first byte.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        match self {
            Self::Log(incoming) => incoming.push(bytes).await,
            Self::Rows(incoming) => incoming.push(bytes).await,
        }
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Log(incoming) => incoming.len(),
            Self::Rows(incoming) => incoming.len(),
        }
    }

    /// Whether no byte was taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores the message, and returns when it is on stable storage.
    ///
    /// When the caller stops waiting, the message may be stored all the same, as with a connection that breaks before the
    /// reply.
    ///
    /// # Errors
    /// The message does not count as stored; all errors but [`SpoolError::TooLarge`] are temporary.
    pub async fn commit(self, manifest: Manifest) -> Result<SpooledMessage, SpoolError> {
        match self {
            Self::Log(incoming) => incoming.commit(manifest).await.map(|(spooled, _)| spooled),
            Self::Rows(incoming) => incoming.commit(manifest).await,
        }
    }

    /// As [`Incoming::commit`], for a message that is judged before anybody answers for it.
    ///
    /// # Errors
    /// As [`Incoming::commit`].
    pub async fn commit_awaiting(self, manifest: Manifest) -> Result<Awaiting, SpoolError> {
        let manifest = Manifest { verdict: Verdict::Awaited, ..manifest };
        match self {
            Self::Log(incoming) => incoming.commit_awaiting(manifest).await.map(Awaiting::Log),
            Self::Rows(incoming) => incoming.commit_awaiting(manifest).await.map(Awaiting::Rows),
        }
    }
}
