//! The second thread: what takes time and must not hold up the writer — preparing the next segment, closing a full one,
//! erasing.
//!
//! None of it decides whether mail is kept: a segment that could not be closed is read through at the next start.

use std::io::{self, IoSlice};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::SpoolError;
use super::active::Active;
use super::format::{self, Kind, RecordHeader};
use super::place::BodyRef;
use super::read;
use super::segment::{Record, Segment};
use super::shared::Shared;

/// Work for the second thread.
pub(super) enum Task {
    /// Make segment `number` and hand it over.
    Prepare { number: u64, ready: SyncSender<io::Result<Active>> },
    /// Close a full segment in order.
    Seal(Active),
    /// Give back the blank or refused space behind `end` of a segment about which a durable note says that it ends there.
    Trim { number: u64, end: u64 },
    /// Overwrite a body.
    Erase { body: BodyRef, done: oneshot::Sender<Result<(), SpoolError>> },
}

/// Works until the writer has hung up.
pub(super) fn run(shared: &Shared, tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        match task {
            Task::Prepare { number, ready } => {
                let _ = ready.send(shared.foundry.create(number, &[]));
            }
            Task::Seal(segment) => {
                if let Err(error) = segment.seal() {
                    tracing::warn!(segment = segment.number, %error, "A full segment could not be closed in order");
                }
            }
            Task::Trim { number, end } => {
                if let Err(error) = trim(shared, number, end) {
                    tracing::warn!(segment = number, %error, "The space of a segment could not be given back");
                }
            }
            Task::Erase { body, done } => {
                let _ = done.send(erase(shared, &body));
            }
        }
    }
}

/// Each crash would otherwise cost the space of a whole segment.
fn trim(shared: &Shared, number: u64, end: u64) -> io::Result<()> {
    shared.foundry.files.open_to_write(&shared.options().segment_path(number))?.set_len(end)
}

/// Overwrites all chunks of a body, and the COMMIT behind the last one, and flushes them. The body goes first: while a
/// crash leaves the COMMIT, the caller still sees the message and can erase it again.
fn erase(shared: &Shared, body: &BodyRef) -> Result<(), SpoolError> {
    let _no_reader = shared.erasing.write().unwrap_or_else(PoisonError::into_inner);
    for chunk in body.extents.chunk_by(|left, right| left.segment == right.segment) {
        let Some(number) = chunk.first().map(|extent| extent.segment) else { continue };
        let segment = open_to_write(shared, number)?;
        let mut last = None;
        for extent in chunk {
            let offset = u64::from(extent.offset);
            let damaged = SpoolError::Damaged { segment: number, offset };
            let record = Record::read(&segment, offset).map_err(read::failure)?.ok_or_else(|| damaged.clone())?;
            if record.header.length != extent.length {
                return Err(damaged);
            }
            bury(&segment, record.header, Kind::BodyChunk)?;
            last = Some(record.header);
        }
        // The COMMIT is written in one append with the last chunk, so it is the next record or none.
        let behind = last.map(|header| Record::read(&segment, header.next())).transpose().map_err(read::failure)?;
        if let Some(record) = behind.flatten()
            && format::decode_commit(record.header.kind, &record.payload).is_some_and(|commit| commit.body == *body)
        {
            bury(&segment, record.header, record.header.kind)?;
        }
        segment.file.sync_data().map_err(|error| SpoolError::io("flush an erasure", error))?;
    }
    Ok(())
}

/// Writes a tombstone of the same length over a record of the kind `expected`; over another tombstone it changes nothing.
fn bury(segment: &Segment, header: RecordHeader, expected: Kind) -> Result<(), SpoolError> {
    if header.kind != expected && header.kind != Kind::Tombstone {
        return Err(SpoolError::Damaged { segment: segment.number, offset: u64::from(header.offset) });
    }
    let zeros = vec![0u8; usize::try_from(header.length).unwrap_or_default()];
    let payload_crc = crc32c::crc32c(&zeros);
    let tombstone = RecordHeader { kind: Kind::Tombstone, payload_crc, ..header }.encode(&segment.binding);
    let mut parts = [IoSlice::new(&tombstone), IoSlice::new(&zeros)];
    segment.file.write_at(&mut parts, u64::from(header.offset)).map_err(|error| SpoolError::io("erase", error))
}

fn open_to_write(shared: &Shared, number: u64) -> Result<Segment, SpoolError> {
    let open = |error| SpoolError::io("open a segment to erase in it", error);
    let reader: Arc<Segment> =
        shared.segment(number).map_err(open)?.ok_or(SpoolError::Damaged { segment: number, offset: 0 })?;
    let file = shared.foundry.files.open_to_write(&shared.options().segment_path(number)).map_err(open)?;
    Ok(Segment { number, file, binding: reader.binding })
}
