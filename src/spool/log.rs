//! The spool of one machine: a durable log behind every `250`, and the store of the bodies.
//!
//! A segmented, append-only log of our own (`docs/spool-format.md`). Sessions hand bytes over; one thread appends all that
//! wait and answers them after one flush. Only a flushed COMMIT makes a [`SpooledMessage`](super::SpooledMessage), and only that can become a
//! `250`; chunks without a COMMIT are garbage.
//!
//! What it must never do: say that a message is stored which a power cut could still take; flush a segment again after a
//! flush of it failed; let damage in one record hide another; wait without a bound, in memory or in time.
//!
//! When the disk refuses, commits fail at once with a temporary error, and each one that comes tries again, so mail flows
//! as soon as the disk lets it.

mod active;
mod append;
pub mod faults;
mod files;
mod format;
mod helper;
mod incoming;
mod options;
mod place;
mod read;
mod recover;
mod report;
mod segment;
mod shared;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use files::Files;
pub(super) use incoming::{Awaiting, Incoming};
pub use options::{Reserve, SpoolOptions};
pub use place::{BodyRef, Extent, Position, Sealed, hex};
pub use report::{Finding, FindingKind, Loss, RecoveryReport};
pub use view::LogView;

use active::Foundry;
use shared::Shared;
use writer::{Job, Writer};

use super::{Admission, SpoolError, SpoolStatus};
use crate::clock::{Clock, random_bytes};
use crate::mail::envelope::Manifest;
use crate::seal::body::{BodyKeys, DataKeyId};

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
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    probed_at: AtomicI64,
}

impl Inner {
    fn send(&self, job: Job) -> Result<(), SpoolError> {
        self.jobs.send(job).map_err(|_| SpoolError::Closed)
    }
}

impl Log {
    /// Opens the log of `options.dir`, recovers what is there, and starts the writer; bodies are sealed with `keys`. Blocks.
    ///
    /// A folder in which no new segment can be made now is opened all the same: what is there can be read, and commits
    /// fail until the fault is gone.
    ///
    /// # Errors
    /// The options are wrong, another process has the folder, or it cannot be listed. Damage inside it is no error but a
    /// finding.
    pub fn open(
        options: SpoolOptions,
        files: Files,
        keys: Arc<BodyKeys>,
        clock: Clock,
    ) -> Result<(Self, RecoveryReport), SpoolError> {
        options.check()?;
        let started = clock.now();
        files.create_dir(&options.dir).map_err(|error| SpoolError::io("make its folder", error))?;
        let lock = files.lock(&options.dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => SpoolError::InUse,
            _ => SpoolError::io("lock its folder", error),
        })?;
        let mut recovered = recover::survey(&files, &options, recover::Purpose::Own)?;
        let log = recovered.log.unwrap_or_else(|| {
            let mut log = [0u8; 16];
            random_bytes(&mut log);
            log
        });
        let foundry = Foundry { files, options, clock, log };
        let catalogue = std::mem::take(&mut recovered.catalogue);
        let segments = catalogue.len() as u64;
        let shared = Arc::new(Shared::new(foundry, keys, catalogue, recovered.end));
        recover::check_doubtful(&shared, &mut recovered);
        recovered.findings.iter().for_each(|finding| shared.report(finding.clone()));
        let report = RecoveryReport {
            findings: recovered.findings,
            segments,
            scanned_segments: recovered.scanned,
            end: recovered.end,
            took: shared.foundry.clock.now().since(started),
        };
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::start(Arc::clone(&shared), recovered.start, lock, queue)
            .map_err(|error| SpoolError::io("start its threads", error))?;
        let writer = Mutex::new(Some(writer));
        Ok((Self(Arc::new(Inner { shared, jobs, writer, probed_at: AtomicI64::new(i64::MIN) })), report))
    }

    /// The name of this log, made with it and kept in each of its files: 32 hexadecimal digits.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.shared.foundry.log.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Begins a body.
    #[must_use]
    pub(super) fn begin(&self) -> Incoming {
        Incoming::new(Arc::clone(&self.0))
    }

    /// Whether new mail may be taken; cheap: asks the file system at most once a second.
    ///
    /// While the spool is failing, it has the writer try again, so that the answer changes although no mail is let in.
    #[must_use]
    pub fn admission(&self) -> Admission {
        let shared = &self.0.shared;
        if shared.counters.is_failing.load(Ordering::Relaxed) {
            let now = shared.foundry.clock.now().as_micros();
            let last = self.0.probed_at.load(Ordering::Relaxed);
            let is_due =
                now.saturating_sub(last) >= PROBE_EVERY.as_micros().try_into().unwrap_or(i64::MAX) || now < last;
            if is_due && self.0.probed_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                let _ = self.0.send(Job::Probe);
            }
            return Admission::Failing;
        }
        if shared.is_stalled() {
            return Admission::Failing;
        }
        let (free, reserve) = shared.free_and_reserve();
        if free < reserve { Admission::Reserve } else { Admission::Open }
    }

    /// Up to `max_records` committed messages behind `after`, in log order, until their bodies reach `max_bytes` (one
    /// message always comes). Only flushed records are seen. Damage is stepped over and kept as a finding. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Ahead`] when `after` is behind the end of the log; [`SpoolError::Io`] when a segment cannot be read
    /// now: nothing is stepped over, call again.
    pub fn read_after(
        &self,
        after: Position,
        max_records: usize,
        max_bytes: u64,
    ) -> Result<Vec<StoredMessage>, SpoolError> {
        read::read_after(&self.0.shared, after, max_records, max_bytes.max(1))
    }

    /// The bytes of a body, checked chunk by chunk and as a whole. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Erased`], [`SpoolError::UnknownKey`], or the disk's refusal.
    pub fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        read::read_body(&self.0.shared, body)
    }

    /// Reads every segment with every checksum, those too that were closed in order, and keeps what it finds. Blocks for
    /// as long as the disk takes.
    ///
    /// # Errors
    /// The disk refuses to read.
    pub fn verify(&self) -> Result<Vec<Finding>, SpoolError> {
        read::verify(&self.0.shared)
    }

    /// The data key with which the newest body is sealed, if that key is not here. Blocks.
    ///
    /// # Errors
    /// The disk refuses to read.
    pub fn unknown_key(&self) -> Result<Option<DataKeyId>, SpoolError> {
        read::unknown_key(&self.0.shared)
    }

    /// The end of the flushed log: a hint that [`Log::read_after`] has more.
    #[must_use]
    pub fn committed(&self) -> tokio::sync::watch::Receiver<Position> {
        self.0.shared.committed.subscribe()
    }

    /// Overwrites a body and its COMMIT in place and leaves tombstones; doing it again does no harm.
    ///
    /// # Errors
    /// Something may not be erased yet: do it again.
    pub async fn erase(&self, body: &BodyRef) -> Result<(), SpoolError> {
        let (done, erased) = oneshot::channel();
        self.0.send(Job::Erase { body: body.clone(), done })?;
        erased.await.map_err(|_| SpoolError::Closed)?
    }

    /// Damage found since the start, also while opening; at most the first thousand places.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.0.shared.findings()
    }

    /// Figures for `/metrics` and `/readyz`.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        self.0.shared.status()
    }

    /// Finishes what waits, closes the segment in order and stops the writer. Blocks.
    pub fn close(&self) {
        let _ = self.0.send(Job::Close);
        if let Some(writer) = shared::lock(&self.0.writer).take()
            && writer.join().is_err()
        {
            tracing::error!("The spool's writer had stopped before it was closed");
        }
    }
}

/// How often a failing spool tries again by itself.
const PROBE_EVERY: Duration = Duration::from_secs(1);
