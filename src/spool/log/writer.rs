//! The writer: one thread that appends all that waits, flushes once, and answers.
//!
//! While a flush runs, the next appends gather; when nobody waits, a lone append is flushed at once. There is no timer.
//!
//! What must never happen: an answer that says "stored" for a COMMIT that was not flushed together with every chunk before
//! it. After a failed write or flush nobody can know what is on the disk, and a second flush would say yes without having
//! written anything (Linux forgets the pages), so the segment is never written or flushed again: its unanswered appends
//! fail, chunks in it that were not flushed are lost for the bodies that they belong to, and the next append begins a new
//! segment, whose header says how far the failed one counts.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::SpoolError;
use super::active::Active;
use super::append::Append;
use super::files::Lock;
use super::format::Note;
use super::helper::{self, Task};
use super::place::{BodyRef, Extent, Position};
use super::shared::Shared;

/// What sessions ask of the writer.
pub(super) enum Job {
    /// Append, and flush when it is a commit.
    Append(Box<Waiting>),
    /// Overwrite a body.
    Erase { body: BodyRef, done: oneshot::Sender<Result<(), SpoolError>> },
    /// Try whether a segment can be had again.
    Probe,
    /// Finish what waits and stop.
    Close,
}

/// An append whose session waits.
pub(super) struct Waiting {
    pub(super) append: Append,
    pub(super) answer: Answer,
    /// Its share of the queue, given back when it is answered.
    pub(super) share: OwnedSemaphorePermit,
}

/// Where the answer goes.
pub(super) enum Answer {
    /// A chunk was written (not flushed).
    Chunk(oneshot::Sender<Result<Extent, SpoolError>>),
    /// A commit was flushed; the place behind it.
    Commit(oneshot::Sender<Result<Position, SpoolError>>),
}

/// An append in its place, not answered yet.
struct Placed {
    waiting: Box<Waiting>,
    extent: Option<Extent>,
    end: u64,
}

/// With what the writer starts.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Number of the next segment.
    pub(super) next_number: u64,
    /// What its header must say about segments that were not closed in order.
    pub(super) notes: Vec<Note>,
    /// Segments, and their ends, behind which there is nothing but blank space.
    pub(super) to_trim: Vec<(u64, u64)>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    helper: Sender<Task>,
    helper_thread: JoinHandle<()>,
    active: Option<Active>,
    prepared: Option<Receiver<io::Result<Active>>>,
    next_number: u64,
    /// What the next segment's header must say about others.
    notes: Vec<Note>,
    /// Segments whose space behind the end is given back once their notes are durable.
    to_trim: Vec<(u64, u64)>,
    /// Failed segments, and how far each was flushed.
    lost: BTreeMap<u64, u64>,
    placed: Vec<Placed>,
    _lock: Lock,
}

impl Writer {
    /// Starts the writer's two threads.
    pub(super) fn start(
        shared: Arc<Shared>,
        start: Start,
        lock: Lock,
        jobs: Receiver<Job>,
    ) -> io::Result<JoinHandle<()>> {
        let (helper, tasks) = mpsc::channel();
        let for_helper = Arc::clone(&shared);
        let helper_thread = std::thread::Builder::new()
            .name("spool-segments".into())
            .spawn(move || helper::run(&for_helper, &tasks))?;
        let mut writer = Self {
            shared,
            helper,
            helper_thread,
            active: None,
            prepared: None,
            next_number: start.next_number,
            notes: start.notes,
            to_trim: start.to_trim,
            lost: BTreeMap::new(),
            placed: Vec::new(),
            _lock: lock,
        };
        std::thread::Builder::new().name("spool-writer".into()).spawn(move || {
            let _ = writer.ensure_active(); // So that the first message need not wait for it.
            writer.shared.calls_end();
            writer.run(&jobs);
            writer.stop();
        })
    }

    /// Until the spool is closed, or nobody is left who could ask.
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut batch = Vec::new();
        let mut is_open = true;
        while is_open {
            let Ok(first) = jobs.recv() else { return };
            batch.push(first);
            let mut bytes = 0;
            while bytes < BATCH_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                bytes += if let Job::Append(waiting) = &job { waiting.append.bytes().len() } else { 0 };
                batch.push(job);
            }
            is_open = self.work(batch.drain(..));
        }
        // What was asked before the end of the queue was seen still gets its answer.
        while let Ok(job) = jobs.try_recv() {
            self.work(std::iter::once(job));
        }
    }

    /// Does one batch; says whether to go on.
    fn work(&mut self, batch: impl Iterator<Item = Job>) -> bool {
        let mut is_open = true;
        // One attempt to get a segment for each batch: a full disk fails all of it quickly.
        let mut outage: Option<SpoolError> = None;
        for job in batch {
            match job {
                Job::Append(waiting) => match outage.clone() {
                    Some(error) => self.refuse(*waiting, error),
                    None => outage = self.place(waiting).err(),
                },
                Job::Erase { body, done } => {
                    let _ = self.helper.send(Task::Erase { body, done });
                }
                Job::Probe => outage = outage.or(self.ensure_active().err()),
                Job::Close => is_open = false,
            }
        }
        self.write_out(Flush::WhenNeeded);
        self.prepare_next();
        self.shared.calls_end();
        is_open
    }

    /// Gives an append its place. An error means that no segment can be had now; the append was answered.
    fn place(&mut self, mut waiting: Box<Waiting>) -> Result<(), SpoolError> {
        let length = waiting.append.bytes().len() as u64;
        // An empty segment has room for every append: sessions refuse what is larger.
        if self.active.as_ref().is_some_and(|active| !active.has_room(length)) {
            self.write_out(Flush::Now);
            self.retire();
        }
        // Only now: the flush just before may have failed, and taken earlier chunks of this very body.
        let is_lost = |extent: &Extent| {
            self.lost.get(&extent.segment).is_some_and(|flushed| u64::from(extent.offset) >= *flushed)
        };
        if waiting.append.earlier().iter().any(is_lost) {
            self.refuse(*waiting, SpoolError::Lost);
            return Ok(());
        }
        if let Err(error) = self.ensure_active() {
            self.refuse(*waiting, error.clone());
            return Err(error);
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let extent = waiting.append.place(active);
        active.end += length;
        active.commits += u64::from(waiting.append.is_commit());
        self.placed.push(Placed { end: active.end, waiting, extent });
        Ok(())
    }

    /// Writes what has its place, flushes it, and answers.
    fn write_out(&mut self, flush: Flush) {
        let placed = std::mem::take(&mut self.placed);
        let Some(active) = &mut self.active else { return };
        let bytes: u64 = placed.iter().map(|placed| placed.waiting.append.bytes().len() as u64).sum();
        let unflushed = active.end - active.flushed;
        let must_flush = match flush {
            Flush::Now => unflushed > 0,
            Flush::WhenNeeded => {
                unflushed > UNFLUSHED_BYTES || placed.iter().any(|placed| placed.waiting.append.is_commit())
            }
        };
        self.shared.call_begins();
        let result = write(active, &placed, bytes).and_then(|()| {
            self.shared.call_begins();
            if must_flush { active.flush() } else { Ok(()) }
        });
        match result {
            Ok(()) => {
                self.shared.counters.written_bytes.fetch_add(bytes, Ordering::Relaxed);
                if must_flush {
                    self.after_flush();
                }
                self.answer(placed);
            }
            Err(error) => self.fail(placed, error),
        }
    }

    fn after_flush(&self) {
        let Some(active) = &self.active else { return };
        self.shared.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.shared.publish(active.number, active.flushed);
        let end = Position { segment: active.number, offset: active.flushed };
        self.shared.committed.send_replace(end);
    }

    fn answer(&self, placed: Vec<Placed>) {
        let Some(number) = self.active.as_ref().map(|active| active.number) else { return };
        let commits = placed.iter().filter(|placed| placed.waiting.append.is_commit()).count();
        self.shared.counters.commits.fetch_add(commits as u64, Ordering::Relaxed);
        for Placed { waiting, extent, end } in placed {
            let Waiting { answer, share, .. } = *waiting;
            drop(share);
            match answer {
                Answer::Commit(answer) => {
                    let _ = answer.send(Ok(Position { segment: number, offset: end }));
                }
                Answer::Chunk(answer) => {
                    let _ = answer.send(extent.ok_or(SpoolError::Lost));
                }
            }
        }
    }

    /// The segment is closed for good: see the head of this module.
    fn fail(&mut self, placed: Vec<Placed>, error: io::Error) {
        let Some(failed) = self.active.take() else { return };
        let cause = error.to_string();
        let error = SpoolError::io("write to a segment and flush it", error);
        tracing::error!(segment = failed.number, offset = failed.flushed, error = %error, cause = %cause, "A segment failed and is closed for good");
        self.lost.insert(failed.number, failed.flushed);
        let flushed = u32::try_from(failed.flushed).unwrap_or(u32::MAX);
        self.notes.push(Note { segment: failed.number, end: flushed, proved: flushed });
        self.to_trim.push((failed.number, failed.flushed));
        self.shared.counters.failed_segments.fetch_add(1, Ordering::Relaxed);
        self.shared.fails(cause);
        for placed in placed {
            self.refuse(*placed.waiting, error.clone());
        }
    }

    fn refuse(&self, waiting: Waiting, error: SpoolError) {
        self.shared.counters.failures.fetch_add(1, Ordering::Relaxed);
        let Waiting { answer, share, .. } = waiting;
        drop(share);
        match answer {
            Answer::Commit(answer) => drop(answer.send(Err(error))),
            Answer::Chunk(answer) => drop(answer.send(Err(error))),
        }
    }

    /// Hands the full segment, all of which is flushed, to the second thread.
    fn retire(&mut self) {
        if let Some(full) = self.active.take() {
            let _ = self.helper.send(Task::Seal(full));
        }
    }

    /// Has a segment to write to: the prepared one, or a new one.
    fn ensure_active(&mut self) -> Result<(), SpoolError> {
        if self.active.is_some() {
            return Ok(());
        }
        self.shared.call_begins();
        match self.next_segment() {
            Ok(active) => {
                self.notes.clear();
                for (number, end) in self.to_trim.drain(..) {
                    let _ = self.helper.send(Task::Trim { number, end });
                }
                self.shared.publish(active.number, active.flushed);
                self.shared.works();
                self.active = Some(active);
                Ok(())
            }
            Err(error) => {
                let cause = error.to_string();
                let error = SpoolError::io("begin a new segment", error);
                tracing::error!(error = %error, cause = %cause, "The spool takes no mail until a segment can be made");
                self.shared.fails(cause);
                Err(error)
            }
        }
    }

    fn next_segment(&mut self) -> io::Result<Active> {
        let prepared = self.prepared.take().and_then(|ready| ready.recv().ok()).and_then(Result::ok);
        if let Some(mut active) = prepared {
            match active.add_notes(&self.notes) {
                Ok(()) => {
                    self.next_number = active.number + 1;
                    return Ok(active);
                }
                Err(error) => {
                    let _ = self.shared.foundry.discard(&active);
                    return Err(error);
                }
            }
        }
        // A file that could not be removed after a failure keeps its number.
        for _ in 0..ATTEMPTS {
            match self.shared.foundry.create(self.next_number, &self.notes) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.next_number += 1,
                Ok(active) => {
                    self.next_number = active.number + 1;
                    return Ok(active);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Has the next segment made by the second thread before it is needed; not too early, as it takes space.
    fn prepare_next(&mut self) {
        if self.prepared.is_some() || !self.active.as_ref().is_some_and(Active::is_half_full) {
            return;
        }
        let (ready, prepared) = mpsc::sync_channel(1);
        if self.helper.send(Task::Prepare { number: self.next_number, ready }).is_ok() {
            self.prepared = Some(prepared);
        }
    }

    /// Leaves no unfinished segment behind.
    fn stop(mut self) {
        self.write_out(Flush::Now);
        let spare = self.prepared.take().and_then(|ready| ready.recv().ok()).and_then(Result::ok);
        let empty = self.active.take_if(|active| active.is_disposable());
        for unused in spare.iter().chain(&empty) {
            if let Err(error) = self.shared.foundry.discard(unused) {
                tracing::warn!(segment = unused.number, %error, "An unused segment could not be removed");
            }
        }
        self.retire();
        drop(self.helper);
        let _ = self.helper_thread.join();
    }
}

/// When to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// For a commit, and where many bytes of unfinished bodies wait.
    WhenNeeded,
    /// Everything that was written.
    Now,
}

fn write(active: &mut Active, placed: &[Placed], bytes: u64) -> io::Result<()> {
    if placed.is_empty() {
        return Ok(());
    }
    let mut parts: Vec<IoSlice<'_>> = placed.iter().map(|placed| IoSlice::new(placed.waiting.append.bytes())).collect();
    active.write(&mut parts, active.end - bytes)
}

/// Bytes that one flush waits for at most.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes of unfinished bodies that are flushed without a commit, so that the next commit need not wait for all of them.
const UNFLUSHED_BYTES: u64 = 8 << 20;
/// Numbers that are tried for a new segment.
const ATTEMPTS: usize = 16;
