//! Reading the log: committed messages in order, and bodies.
//!
//! Damage never stops reading: what is no record, a record whose checksum is wrong, and a segment that is gone are kept as
//! findings and stepped over. Where the operating system refuses to read, nothing is stepped over: the caller tries again,
//! because a disk that is away for a minute must not make the index pass over good mail.

use std::io;
use std::sync::PoisonError;

use super::format::{self, DATA_START, Kind, RecordHeader};
use super::place::{BodyRef, Extent, Position, Sealed};
use super::report::{Finding, FindingKind, Loss};
use super::segment::{Record, Segment, Step, Walk};
use super::shared::{Bounds, Shared};
use super::{SpoolError, StoredMessage};
use crate::mail::envelope::{Manifest, Verdict};
use crate::seal::body::DataKeyId;
use crate::spool::sealing::{self, Owner};

pub(super) fn failure(error: io::Error) -> SpoolError {
    SpoolError::io("read a segment", error)
}

/// How much a call may return.
struct Quota {
    records: usize,
    bytes: u64,
}

pub(super) fn read_after(
    shared: &Shared,
    after: Position,
    max_records: usize,
    max_bytes: u64,
) -> Result<Vec<StoredMessage>, SpoolError> {
    if after > *shared.committed.borrow() {
        return Err(SpoolError::Ahead);
    }
    let _no_erasure = shared.erasing.read().unwrap_or_else(PoisonError::into_inner);
    let mut quota = Quota { records: max_records, bytes: max_bytes };
    let mut messages = Vec::new();
    let mut from = after;
    while quota.records > 0
        && quota.bytes > 0
        && let Some((number, bounds)) = shared.segment_from(from.segment)
    {
        let start = if number == from.segment { from.offset } else { DATA_START };
        if start < bounds.end {
            match shared.segment(number) {
                Ok(Some(segment)) => read_segment(shared, &segment, start, bounds, &mut quota, &mut messages)?,
                Ok(None) => shared.report(bad_header(number)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => shared.report(missing(number, number)),
                Err(error) => return Err(failure(error)),
            }
        }
        from = Position { segment: number.saturating_add(1), offset: 0 };
    }
    Ok(messages)
}

fn read_segment(
    shared: &Shared,
    segment: &Segment,
    start: u64,
    bounds: Bounds,
    quota: &mut Quota,
    messages: &mut Vec<StoredMessage>,
) -> Result<(), SpoolError> {
    let mut walk = Walk::new(segment, start, bounds.end);
    while quota.records > 0
        && quota.bytes > 0
        && let Some(step) = walk.step().map_err(failure)?
    {
        match step {
            Step::Record(header) if header.kind.is_commit() => {
                let payload = walk.payload(&header).map_err(failure)?;
                let is_proved = u64::from(header.offset) < bounds.proved;
                if let Some(message) = read_commit(shared, segment.number, header, &payload, is_proved)? {
                    quota.records -= 1;
                    quota.bytes = quota.bytes.saturating_sub(message.body.size);
                    messages.push(message);
                }
            }
            Step::Record(_) => {}
            Step::Damage { from, .. } => shared.report(wrong(segment.number, from, bounds.proved)),
        }
    }
    Ok(())
}

/// The message of a COMMIT; `None` when it does not count.
fn read_commit(
    shared: &Shared,
    segment: u64,
    header: RecordHeader,
    payload: &[u8],
    is_proved: bool,
) -> Result<Option<StoredMessage>, SpoolError> {
    let offset = u64::from(header.offset);
    let Some(commit) = header.fits(payload).then(|| format::decode_commit(header.kind, payload)).flatten() else {
        shared.report(if is_proved { damage(segment, offset) } else { torn(segment, offset) });
        return Ok(None);
    };
    let manifest = serde_json::from_slice::<Manifest>(commit.manifest);
    // Bytes that await a verdict, or were refused: no message. A second COMMIT makes one of them.
    if manifest.as_ref().is_ok_and(|manifest| manifest.verdict == Verdict::Awaited) {
        return Ok(None);
    }
    if !is_proved && !is_whole(shared, &commit.body)? {
        shared.report(torn(segment, offset));
        return Ok(None);
    }
    let Ok(manifest) = manifest else {
        shared.report(Finding {
            segment,
            offset,
            kind: FindingKind::Manifest,
            loss: Loss::Certain,
            consequence:
                "A message's manifest cannot be read by this version; the message is stepped over, its bytes are kept."
                    .into(),
        });
        return Ok(None);
    };
    // The key of another message, which somebody put here.
    if commit.body.sealed.as_ref().is_some_and(|sealed| sealed.owner() != Owner::of(&manifest)) {
        shared.report(damage(segment, offset));
        return Ok(None);
    }
    Ok(Some(StoredMessage { manifest, body: commit.body, next: Position { segment, offset: header.next() } }))
}

/// Whether every chunk of a body is what was written.
pub(super) fn is_whole(shared: &Shared, body: &BodyRef) -> Result<bool, SpoolError> {
    for extent in &body.extents {
        match read_chunk(shared, extent) {
            Ok(_) | Err(SpoolError::Erased) => {}
            Err(SpoolError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

pub(super) fn read_body(shared: &Shared, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
    let first = body
        .extents
        .first()
        .map_or(Position::START, |extent| Position { segment: extent.segment, offset: u64::from(extent.offset) });
    let damaged = SpoolError::Damaged { segment: first.segment, offset: first.offset };
    if body.is_erased() {
        return Err(SpoolError::Erased);
    }
    if !body.adds_up() {
        return Err(damaged);
    }
    let open = |sealed: &Sealed| sealed.owner().open(&shared.keys, &sealed.key, body.size, &body.sha256);
    let opener = body.sealed.as_ref().map(open).transpose();
    let opener = opener.map_err(|error| sealing::failure(error, damaged.clone()))?;
    let _no_erasure = shared.erasing.read().unwrap_or_else(PoisonError::into_inner);
    // Grows with what is really there: a wrong size cannot make it allocate more than one chunk ahead.
    let mut bytes = Vec::new();
    for (number, extent) in (0..).zip(&body.extents) {
        let mut chunk = read_chunk(shared, extent)?;
        if let Some(opener) = &opener {
            let damaged = SpoolError::Damaged { segment: extent.segment, offset: u64::from(extent.offset) };
            chunk = opener.open(number, chunk).map_err(|error| sealing::failure(error, damaged))?;
        }
        if bytes.is_empty() { bytes = chunk } else { bytes.extend_from_slice(&chunk) }
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    if digest.as_ref() == body.sha256 { Ok(bytes) } else { Err(damaged) }
}

fn read_chunk(shared: &Shared, extent: &Extent) -> Result<Vec<u8>, SpoolError> {
    let offset = u64::from(extent.offset);
    let damaged = || SpoolError::Damaged { segment: extent.segment, offset };
    let segment = match shared.segment(extent.segment) {
        Ok(segment) => segment.ok_or_else(damaged)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged()),
        Err(error) => return Err(failure(error)),
    };
    let record = Record::read(&segment, offset).map_err(failure)?.ok_or_else(damaged)?;
    match record.header.kind {
        Kind::Tombstone => Err(SpoolError::Erased),
        Kind::BodyChunk if record.header.length == extent.length && record.is_sound() => Ok(record.payload),
        _ => Err(damaged()),
    }
}

/// Reads a segment up to `end` with every payload; returns where its last record ends, what is proved, and what is wrong.
pub(super) fn scan(segment: &Segment, end: u64) -> io::Result<Scan> {
    let mut walk = Walk::new(segment, DATA_START, end);
    let mut scan = Scan { end: DATA_START, proved: DATA_START, ..Scan::default() };
    while let Some(step) = walk.step()? {
        match step {
            Step::Record(header) => {
                if !header.fits(&walk.payload(&header)?) {
                    scan.damage.push(u64::from(header.offset));
                }
                scan.proved = scan.proved.max(u64::from(header.flushed));
                match header.kind {
                    Kind::Seal => break, // Nothing was ever written behind it.
                    kind if kind.is_commit() => scan.commits.push(header),
                    _ => {}
                }
                scan.end = header.next();
            }
            Step::Damage { from, is_followed: true } => scan.damage.push(from),
            Step::Damage { from, is_followed: false } => scan.torn_tail = Some(from),
        }
    }
    Ok(scan)
}

/// Reads every segment as far as it counts, with every checksum.
pub(super) fn verify(shared: &Shared) -> Result<Vec<Finding>, SpoolError> {
    let mut findings = Vec::new();
    let mut number = 0;
    while let Some((found, bounds)) = shared.segment_from(number) {
        number = found.saturating_add(1);
        let segment = match shared.segment(found) {
            Ok(Some(segment)) => segment,
            Ok(None) => {
                findings.push(bad_header(found));
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                findings.push(missing(found, found));
                continue;
            }
            Err(error) => return Err(failure(error)),
        };
        let _no_erasure = shared.erasing.read().unwrap_or_else(PoisonError::into_inner);
        let scan = scan(&segment, bounds.end).map_err(failure)?;
        findings
            .extend(scan.damage.into_iter().chain(scan.torn_tail).map(|offset| wrong(found, offset, bounds.proved)));
    }
    findings.iter().for_each(|finding| shared.report(finding.clone()));
    Ok(findings)
}

/// The data key of the newest body, if it is not here.
pub(super) fn unknown_key(shared: &Shared) -> Result<Option<DataKeyId>, SpoolError> {
    let mut before = u64::MAX;
    while let Some((number, bounds)) = shared.segment_before(before) {
        before = number;
        // What cannot be read is found, and told, by others.
        let Some(segment) = shared.segment(number).ok().flatten() else { continue };
        let (mut walk, mut newest) = (Walk::new(&segment, DATA_START, bounds.end), None);
        while let Some(step) = walk.step().map_err(failure)? {
            if let Step::Record(header) = step
                && header.kind.is_commit()
            {
                let payload = walk.payload(&header).map_err(failure)?;
                let commit = header.fits(&payload).then(|| format::decode_commit(header.kind, &payload)).flatten();
                newest = commit.map(|commit| commit.body.sealed).or(newest);
            }
        }
        if let Some(sealed) = newest {
            return Ok(sealed.map(|sealed| sealed.key.data_key()).filter(|key| !shared.keys.has(*key)));
        }
    }
    Ok(None)
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the last record ends.
    pub(super) end: u64,
    /// All before was flushed.
    pub(super) proved: u64,
    /// COMMIT records.
    pub(super) commits: Vec<RecordHeader>,
    /// Where something is wrong before the last record.
    pub(super) damage: Vec<u64>,
    /// Where bytes begin behind the last record that are no record.
    pub(super) torn_tail: Option<u64>,
}

/// What is no record, or not what was written: damage where it was flushed, and otherwise what a crash left behind.
pub(super) fn wrong(segment: u64, offset: u64, proved: u64) -> Finding {
    if offset < proved { damage(segment, offset) } else { torn(segment, offset) }
}

pub(super) fn damage(segment: u64, offset: u64) -> Finding {
    Finding {
        segment,
        offset,
        kind: FindingKind::Checksum,
        loss: Loss::Possible,
        consequence: "Bytes are not what was written. The message that they belong to is damaged or lost; records before and behind are whole."
            .into(),
    }
}

pub(super) fn torn(segment: u64, offset: u64) -> Finding {
    Finding {
        segment,
        offset,
        kind: FindingKind::TornTail,
        loss: Loss::None,
        consequence: "Bytes that were being written when the process or the machine stopped. No message in them was answered 250, unless the disk has changed them since; they are not believed."
            .into(),
    }
}

pub(super) fn bad_header(segment: u64) -> Finding {
    Finding {
        segment,
        offset: 0,
        kind: FindingKind::BadHeader,
        loss: Loss::Certain,
        consequence: "Both copies of the header are damaged, of a newer format, or of another log. No message of this segment can be read; the file is kept."
            .into(),
    }
}

pub(super) fn missing(first: u64, last: u64) -> Finding {
    let which = if first == last { format!("Segment {first} is") } else { format!("Segments {first} to {last} are") };
    Finding {
        segment: first,
        offset: 0,
        kind: FindingKind::MissingSegment,
        loss: Loss::Certain,
        consequence: format!("{which} missing. Messages in it cannot be read; all other segments are whole."),
    }
}
