//! The spool of several nodes: messages as rows of the database that they share.
//!
//! Small bodies that wait are stored together, in one transaction for all; a few transactions at the same time keep the
//! server's own group commit busy. A large body is gathered in a scratch file while it arrives, so that a slow client holds
//! neither memory nor a connection, and is copied at its end, in one transaction with everything else of its message.
//!
//! A commit that failed may have happened all the same: the client is told 451 and sends again, and the copy is recognised
//! later (`mail::key`).

mod incoming;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub use incoming::{Awaiting, Incoming};

use super::sealing::{self, Owner};
use super::{Admission, SpoolError, SpoolStatus, log};
use crate::ids::{MessageId, TenantId};
use crate::seal::body::{BodyError, BodyKeys, SealedKey};
use crate::store::spool::{NewAccepted, StoredBody};
use crate::store::{Store, StoreError};

/// Where a body is in the database, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// Whose message.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageId,
    /// In how many rows it is.
    pub parts: u32,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of all its bytes; 64 hexadecimal digits in JSON.
    #[serde(with = "log::hex")]
    pub sha256: [u8; 32],
}

/// A body up to this size is one row, stored together with others.
const SMALL: usize = 64 << 10;
/// Bytes of a large body that one row holds, and that one session keeps in memory.
const PART: usize = 256 << 10;
/// Transactions that store small messages at the same time.
const COMMITTERS: usize = 3;
/// Large messages that are copied at the same time.
const COPIES: usize = 2;
/// Messages and bytes of one transaction.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of all sessions that may wait to be stored.
const QUEUE_BYTES: usize = 64 << 20;
/// How often a failing spool tries again by itself, and how long that may take.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The spool in the database; clones share it.
#[derive(Debug, Clone)]
pub struct Rows(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    keys: Arc<BodyKeys>,
    /// Folder of scratch files.
    scratch: PathBuf,
    jobs: mpsc::Sender<Job>,
    waiting: Arc<Semaphore>,
    copies: Semaphore,
    counters: Counters,
    probed_at: AtomicI64,
}

/// Figures since the start.
#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    transactions: AtomicU64,
    written_bytes: AtomicU64,
    failures: AtomicU64,
    is_failing: AtomicBool,
}

/// What sessions ask of the committers.
enum Job {
    /// Store this.
    Store(Box<Waiting>),
    /// Try whether the database takes writes again.
    Probe,
    /// Finish what waits and stop.
    Close(oneshot::Sender<()>),
}

/// A small message whose session waits.
struct Waiting {
    message: NewAccepted,
    body: Vec<u8>,
    answer: oneshot::Sender<Result<(), SpoolError>>,
    /// Its share of the queue, given back when it is answered.
    _share: OwnedSemaphorePermit,
}

impl Rows {
    /// Starts to take mail into `store`, sealed with `keys`; scratch files are made, without names, in `scratch`.
    #[must_use]
    pub fn open(store: Store, scratch: PathBuf, keys: Arc<BodyKeys>) -> Self {
        let (jobs, queue) = mpsc::channel(4 * BATCH);
        let inner = Arc::new(Inner {
            store,
            keys,
            scratch,
            jobs,
            waiting: Arc::new(Semaphore::new(QUEUE_BYTES)),
            copies: Semaphore::new(COPIES),
            counters: Counters::default(),
            probed_at: AtomicI64::new(i64::MIN),
        });
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..COMMITTERS {
            #[expect(clippy::disallowed_methods, reason = "ends with the spool, and owns no shared state")]
            tokio::spawn(commit_batches(Arc::downgrade(&inner), Arc::clone(&queue)));
        }
        Self(inner)
    }

    pub(super) fn begin(&self) -> Incoming {
        Incoming::new(Arc::clone(&self.0))
    }

    /// Whether new mail may be taken; while the database takes none, asking has it tried again, once a second at most.
    pub(super) fn admission(&self) -> Admission {
        if !self.0.counters.is_failing.load(Ordering::Relaxed) {
            return Admission::Open;
        }
        let now = self.0.store.clock().now().as_micros();
        let last = self.0.probed_at.load(Ordering::Relaxed);
        let every = i64::try_from(PROBE_EVERY.as_micros()).unwrap_or(i64::MAX);
        let is_due = now.saturating_sub(last) >= every || now < last;
        if is_due && self.0.probed_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let _ = self.0.jobs.try_send(Job::Probe); // A full queue tries by itself.
        }
        Admission::Failing
    }

    /// The bytes of an accepted body, checked.
    ///
    /// # Errors
    /// As [`read_body`].
    pub async fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        read_body(&self.0.store, &self.0.keys, body).await
    }

    /// As [`Rows::read_body`], where the rows were read already.
    ///
    /// # Errors
    /// [`SpoolError::Altered`], [`SpoolError::UnknownKey`].
    pub async fn open_body(&self, stored: StoredBody, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        opened(&self.0.keys, stored, body).await
    }

    /// Removes a body; doing it again does no harm.
    ///
    /// # Errors
    /// It may still be there: do it again.
    pub(super) async fn erase(&self, body: &BodyRef) -> Result<(), SpoolError> {
        self.0.store.erase_accepted(body.tenant, body.message).await.map_err(unavailable)
    }

    pub(super) fn committed(&self) -> watch::Receiver<u64> {
        self.0.store.mail_accepted()
    }

    pub(super) fn status(&self) -> SpoolStatus {
        let counters = &self.0.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let is_failing = counters.is_failing.load(Ordering::Relaxed);
        SpoolStatus {
            commits: count(&counters.commits),
            flushes: count(&counters.transactions),
            written_bytes: count(&counters.written_bytes),
            failures: count(&counters.failures),
            is_failing,
            trouble: is_failing.then(|| "the database stores no mail".to_owned()),
            waiting_bytes: QUEUE_BYTES.saturating_sub(self.0.waiting.available_permits()) as u64,
            ..SpoolStatus::default()
        }
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// The bytes of an accepted body, checked.
///
/// # Errors
/// [`SpoolError::Erased`] when it is not there, [`SpoolError::Altered`], [`SpoolError::UnknownKey`], or that the database
/// does not answer.
pub async fn read_body(store: &Store, keys: &BodyKeys, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
    let found = store.accepted_body(body.tenant, body.message, body.parts).await.map_err(unavailable)?;
    opened(keys, found.ok_or(SpoolError::Erased)?, body).await
}

/// The bytes of `body`, if they are in what is `stored`.
async fn opened(keys: &BodyKeys, stored: StoredBody, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
    let opener = match &stored.sealed_key {
        Some(key) => {
            let owner = Owner { tenant: Some(body.tenant), message: body.message };
            let key = SealedKey::from_octets(key).ok_or(SpoolError::Altered)?;
            // Another node may have sealed it, with a data key that was drawn a moment ago.
            keys.look_up(key.data_key()).await;
            Some(owner.open(keys, &key, body.size, &body.sha256).map_err(unopened)?)
        }
        None => None,
    };
    let mut bytes = Vec::new();
    for (number, part) in (0..).zip(stored.parts) {
        let part = match &opener {
            Some(opener) => opener.open(number, part).map_err(unopened)?,
            None => part,
        };
        if bytes.is_empty() { bytes = part } else { bytes.extend_from_slice(&part) }
    }
    let is_same =
        bytes.len() as u64 == body.size && digest::digest(&digest::SHA256, &bytes).as_ref() == body.sha256.as_slice();
    if is_same { Ok(bytes) } else { Err(SpoolError::Altered) }
}

fn unopened(error: BodyError) -> SpoolError {
    sealing::failure(error, SpoolError::Altered)
}

fn unavailable(error: StoreError) -> SpoolError {
    SpoolError::Store(Arc::new(error))
}

/// Stores what waits, batch by batch, until the spool is closed or nobody can ask any more.
async fn commit_batches(spool: std::sync::Weak<Inner>, queue: Arc<Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let (batch, closing) = match next_batch(&queue).await {
            Some(found) => found,
            None => return,
        };
        let Some(spool) = spool.upgrade() else { return };
        if !batch.is_empty() {
            spool.store_batch(batch).await;
        } else if closing.is_none() {
            spool.probe().await;
        }
        if let Some(done) = closing {
            let _ = done.send(()); // Nobody waits at a shutdown that was cut short.
        }
    }
}

/// What waits, up to a batch; `None` when no more comes. Empty without a closing: a probe alone.
async fn next_batch(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<(Vec<Waiting>, Option<oneshot::Sender<()>>)> {
    let mut queue = queue.lock().await;
    let mut next = Some(queue.recv().await?);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(job) = next.take() {
        match job {
            Job::Store(waiting) => {
                bytes += waiting.body.len();
                batch.push(*waiting);
            }
            Job::Probe => {}
            Job::Close(done) => {
                queue.close();
                return Some((batch, Some(done)));
            }
        }
        if batch.len() < BATCH && bytes < BATCH_BYTES {
            next = queue.try_recv().ok();
        }
    }
    Some((batch, None))
}

impl Inner {
    async fn store_batch(&self, batch: Vec<Waiting>) {
        let mut answers = Vec::with_capacity(batch.len());
        let mut messages = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for waiting in batch {
            let Waiting { message, body, answer, _share } = waiting;
            bytes += body.len() as u64;
            messages.push((message, body));
            answers.push((answer, _share));
        }
        let count = messages.len() as u64;
        let stored = self.note(self.store.accept(messages).await, count, bytes);
        for (answer, share) in answers {
            drop(share);
            let _ = answer.send(stored.clone()); // A session that went away needs no answer.
        }
    }

    /// Counts what became of a transaction.
    fn note(&self, result: Result<(), StoreError>, messages: u64, bytes: u64) -> Result<(), SpoolError> {
        let counters = &self.counters;
        counters.is_failing.store(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(()) => {
                counters.transactions.fetch_add(1, Ordering::Relaxed);
                counters.commits.fetch_add(messages, Ordering::Relaxed);
                counters.written_bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                counters.failures.fetch_add(messages, Ordering::Relaxed);
                tracing::error!(
                    error.kind = "spool",
                    temporary = true,
                    "The database stored no mail: {}",
                    with_cause(&error)
                );
                Err(unavailable(error))
            }
        }
    }

    async fn probe(&self) {
        if self.store.check_writer(PROBE_EVERY).await.is_ok() {
            self.counters.is_failing.store(false, Ordering::Relaxed);
        }
    }
}

/// An error with what is behind it, for the log.
fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
