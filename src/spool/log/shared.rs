//! What sessions, readers and the writer of one spool share: the catalogue of segments, figures, and what was found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::active::Foundry;
use super::files::Space;
use super::options::SpoolOptions;
use super::place::Position;
use super::report::Finding;
use super::segment::Segment;
use super::{SpoolError, SpoolStatus};
use crate::seal::body::BodyKeys;

/// How far a segment may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Nothing from here on is read.
    pub(super) end: u64,
    /// Commits from here on count only with a whole body: it is not known that they were flushed.
    pub(super) proved: u64,
}

/// The shared part of a spool.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) foundry: Foundry,
    /// With which bodies are sealed, and opened again. Nothing but reading a body needs them.
    pub(super) keys: Arc<BodyKeys>,
    pub(super) committed: watch::Sender<Position>,
    /// Bytes that may wait for the writer.
    pub(super) queue: Arc<Semaphore>,
    pub(super) counters: Counters,
    /// What the last attempt to write said, while none has worked since.
    trouble: Mutex<Option<String>>,
    /// When the writer's present call of the disk began; none while it waits for work.
    calling: Mutex<Option<Instant>>,
    /// Readers hold it to read, erasure to write, so that half an erasure is not taken for damage.
    pub(super) erasing: RwLock<()>,
    catalogue: Mutex<BTreeMap<u64, Bounds>>,
    open: Mutex<BTreeMap<u64, Arc<Segment>>>,
    findings: Mutex<Findings>,
    space: SpaceCache,
}

/// Figures since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) failed_segments: AtomicU64,
    pub(super) is_failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Findings {
    kept: VecDeque<Finding>,
    known: BTreeSet<(u64, u64)>,
    damage: u64,
}

#[derive(Debug)]
struct SpaceCache {
    read_at: AtomicI64,
    free: AtomicU64,
    reserve: AtomicU64,
}

impl Shared {
    pub(super) fn new(foundry: Foundry, keys: Arc<BodyKeys>, catalogue: BTreeMap<u64, Bounds>, end: Position) -> Self {
        Self {
            committed: watch::Sender::new(end),
            queue: Arc::new(Semaphore::new(foundry.options.queue_bytes)),
            foundry,
            keys,
            counters: Counters::default(),
            trouble: Mutex::default(),
            calling: Mutex::default(),
            erasing: RwLock::new(()),
            catalogue: Mutex::new(catalogue),
            open: Mutex::default(),
            findings: Mutex::default(),
            space: SpaceCache {
                read_at: AtomicI64::new(i64::MIN),
                free: AtomicU64::new(u64::MAX),
                reserve: AtomicU64::new(0),
            },
        }
    }

    pub(super) fn options(&self) -> &SpoolOptions {
        &self.foundry.options
    }

    /// An attempt to write failed: no mail is taken until one works.
    pub(super) fn fails(&self, why: String) {
        *lock(&self.trouble) = Some(why);
        self.counters.is_failing.store(true, Ordering::Relaxed);
    }

    /// An attempt to write worked.
    pub(super) fn works(&self) {
        self.counters.is_failing.store(false, Ordering::Relaxed);
        *lock(&self.trouble) = None;
    }

    /// The writer calls the disk.
    pub(super) fn call_begins(&self) {
        *lock(&self.calling) = Some(Instant::now());
    }

    /// The disk has answered all calls of the writer.
    pub(super) fn calls_end(&self) {
        *lock(&self.calling) = None;
    }

    /// Whether the disk takes longer over one call than anybody should wait.
    pub(super) fn is_stalled(&self) -> bool {
        lock(&self.calling).is_some_and(|since| since.elapsed() >= self.options().patience)
    }

    /// What the writer answers, as long as the disk answers the writer. Many who wait are no stall: that is one call.
    ///
    /// # Errors
    /// [`SpoolError::Stalled`]
    pub(super) async fn unless_stalled<T>(&self, answer: impl Future<Output = T>) -> Result<T, SpoolError> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if self.is_stalled() {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                return Err(SpoolError::Stalled);
            }
        }
    }

    /// From now on readers see `number` up to `end`, all of it flushed.
    pub(super) fn publish(&self, number: u64, end: u64) {
        lock(&self.catalogue).insert(number, Bounds { end, proved: end });
    }

    /// The first segment from `number` on, and how far it may be read.
    pub(super) fn segment_from(&self, number: u64) -> Option<(u64, Bounds)> {
        lock(&self.catalogue).range(number..).next().map(|(number, bounds)| (*number, *bounds))
    }

    /// The last segment before `number`, and how far it may be read.
    pub(super) fn segment_before(&self, number: u64) -> Option<(u64, Bounds)> {
        lock(&self.catalogue).range(..number).next_back().map(|(number, bounds)| (*number, *bounds))
    }

    /// The segment, opened; `Ok(None)` when its header cannot be read.
    pub(super) fn segment(&self, number: u64) -> std::io::Result<Option<Arc<Segment>>> {
        if let Some(segment) = lock(&self.open).get(&number) {
            return Ok(Some(Arc::clone(segment)));
        }
        let Some(segment) = Segment::open(&self.foundry.files, self.options(), number)? else { return Ok(None) };
        let segment = Arc::new(segment);
        let mut open = lock(&self.open);
        while open.len() >= OPEN_SEGMENTS {
            let _ = open.pop_first(); // Readers go forward: the oldest is the least wanted.
        }
        open.insert(number, Arc::clone(&segment));
        Ok(Some(segment))
    }

    /// Keeps a finding, once for each place.
    pub(super) fn report(&self, finding: Finding) {
        let mut findings = lock(&self.findings);
        if findings.known.len() >= FINDINGS || !findings.known.insert((finding.segment, finding.offset)) {
            return;
        }
        // What every power cut may leave behind is no damage, and must not look like it.
        if finding.kind.is_of_a_crash() {
            tracing::info!(
                segment = finding.segment,
                offset = finding.offset,
                finding.kind = ?finding.kind,
                "The spool was stopped while it was writing, as by a power cut: {}",
                finding.consequence
            );
        } else {
            findings.damage += 1;
            tracing::warn!(
                segment = finding.segment,
                offset = finding.offset,
                finding.kind = ?finding.kind,
                "The spool is not as it should be: {}",
                finding.consequence
            );
        }
        findings.kept.push_back(finding);
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        lock(&self.findings).kept.iter().cloned().collect()
    }

    /// Free bytes and the reserve; asks the file system at most once a second.
    pub(super) fn free_and_reserve(&self) -> (u64, u64) {
        let cache = &self.space;
        let now = self.foundry.clock.now().as_micros();
        let last = cache.read_at.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(last) >= 1_000_000 || now < last;
        if is_due && cache.read_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // A file system that does not say is taken to have room: the write itself will tell.
            let unknown = Space { free: u64::MAX, total: 0 };
            let space = self.foundry.files.space(&self.options().dir).unwrap_or(unknown);
            cache.free.store(space.free, Ordering::Relaxed);
            cache.reserve.store(self.options().reserve.of(space.total), Ordering::Relaxed);
        }
        (cache.free.load(Ordering::Relaxed), cache.reserve.load(Ordering::Relaxed))
    }

    pub(super) fn status(&self) -> SpoolStatus {
        let (free_bytes, reserve_bytes) = self.free_and_reserve();
        let is_stalled = self.is_stalled();
        let stalled = is_stalled.then(|| SpoolError::Stalled.to_string());
        let (segments, bytes) = {
            let catalogue = lock(&self.catalogue);
            (catalogue.len() as u64, catalogue.values().map(|bounds| bounds.end).sum())
        };
        let counters = &self.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpoolStatus {
            segments,
            bytes,
            commits: count(&counters.commits),
            flushes: count(&counters.flushes),
            written_bytes: count(&counters.written_bytes),
            failures: count(&counters.failures),
            failed_segments: count(&counters.failed_segments),
            is_failing: counters.is_failing.load(Ordering::Relaxed) || is_stalled,
            trouble: stalled.or_else(|| lock(&self.trouble).clone()),
            findings: lock(&self.findings).damage,
            waiting_bytes: self.options().queue_bytes.saturating_sub(self.queue.available_permits()) as u64,
            free_bytes,
            reserve_bytes,
        }
    }
}

/// A panic elsewhere does not make these maps wrong: each change to them is a single one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often those who wait for the writer ask whether the disk is stuck.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Segments that are kept open for reading.
const OPEN_SEGMENTS: usize = 64;
/// Findings that are kept.
const FINDINGS: usize = 1000;
