//! What happens when the log is opened: which segments are there, how far each counts, and what is wrong with them.
//!
//! A segment that was closed in order ends with a SEAL and is not read through, nor is one about which a later segment's
//! header has a note; what is damaged inside them is found when it is read ([`super::read`]) or verified. Only what was
//! being written at a crash is read through, with every checksum. It is never written again.

use std::collections::BTreeMap;
use std::io;

use super::SpoolError;
use super::files::{Files, Handle};
use super::format::{self, DATA_START, Note, RecordHeader, SegmentHeader};
use super::options::SpoolOptions;
use super::place::Position;
use super::read;
use super::report::{Finding, FindingKind, Loss};
use super::segment::{Heading, Record, Segment};
use super::shared::{Bounds, Shared};
use super::writer::Start;

/// What was found in the folder.
pub(super) struct Recovered {
    pub(super) catalogue: BTreeMap<u64, Bounds>,
    pub(super) findings: Vec<Finding>,
    /// With what the writer starts.
    pub(super) start: Start,
    pub(super) end: Position,
    pub(super) scanned: u64,
    pub(super) log: Option<[u8; 16]>,
    /// Commits in segments that were read through, of which it is not known that they were flushed.
    doubtful: Vec<(u64, RecordHeader)>,
}

/// Whether the log is opened by its owner, or only looked at while another process may be writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Own,
    View,
}

struct Survey<'a> {
    purpose: Purpose,
    files: &'a Files,
    options: &'a SpoolOptions,
    found: Recovered,
    noted: BTreeMap<u64, Note>,
}

/// Looks at every segment of the folder.
pub(super) fn survey(files: &Files, options: &SpoolOptions, purpose: Purpose) -> Result<Recovered, SpoolError> {
    let names = files.list(&options.dir).map_err(|error| SpoolError::io("list the folder", error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| SpoolOptions::segment_number(name)).collect();
    numbers.sort_unstable();
    let found = Recovered {
        catalogue: BTreeMap::new(),
        findings: Vec::new(),
        start: Start::default(),
        end: Position::START,
        scanned: 0,
        log: None,
        doubtful: Vec::new(),
    };
    let mut survey = Survey { purpose, files, options, found, noted: BTreeMap::new() };
    let mut headings: Vec<Heard> = numbers.into_iter().map(|number| survey.heading(number)).collect();
    if purpose == Purpose::Own {
        survey.drop_leftovers(&mut headings);
    }
    survey.find_gaps(&headings);
    for heard in headings {
        survey.bound(heard);
    }
    survey.find_end();
    Ok(survey.found)
}

/// Checks the bodies of the commits that may have been in the air when power went: whole ones count, others do not.
pub(super) fn check_doubtful(shared: &Shared, recovered: &mut Recovered) {
    for (number, header) in std::mem::take(&mut recovered.doubtful) {
        let offset = u64::from(header.offset);
        let check = || -> Result<bool, SpoolError> {
            let Some(segment) = shared.segment(number).map_err(read::failure)? else { return Ok(true) };
            let record = Record::read(&segment, offset).map_err(read::failure)?;
            let commit = record.as_ref().and_then(|record| format::decode_commit(record.header.kind, &record.payload));
            commit.map_or(Ok(true), |commit| read::is_whole(shared, &commit.body))
        };
        if let Ok(false) = check() {
            recovered.findings.push(read::torn(number, offset));
        }
    }
    recovered.findings.sort();
    recovered.findings.dedup();
}

/// A segment's file and header, where they can be read.
struct Heard {
    number: u64,
    file: Option<Handle>,
    header: Option<SegmentHeader>,
}

impl Survey<'_> {
    /// Reads a header and the notes in it.
    fn heading(&mut self, number: u64) -> Heard {
        let read = || {
            let file = self.files.open_to_read(&self.options.segment_path(number))?;
            let heading = Heading::read(&file, number)?;
            io::Result::Ok((file, heading))
        };
        let (file, heading) = match read() {
            Ok(read) => read,
            Err(error) => {
                self.found.findings.push(io_finding(number, "read", &error));
                return Heard { number, file: None, header: None };
            }
        };
        if let Some(offset) = heading.damaged_copy {
            let consequence =
                "One of the two copies of the header is damaged; the other serves. Nothing is lost.".into();
            let kind = FindingKind::DamagedHeaderCopy;
            self.found.findings.push(Finding { segment: number, offset, kind, loss: Loss::None, consequence });
        }
        if let Some(header) = &heading.header {
            self.noted.extend(header.notes.iter().map(|note| (note.segment, *note)));
        }
        Heard { number, file: Some(file), header: heading.header }
    }

    /// Removes segments at the end that hold nothing: prepared and never used, or interrupted while being made.
    fn drop_leftovers(&mut self, headings: &mut Vec<Heard>) {
        while let Some(Heard { number, file: Some(file), header }) = headings.last() {
            let number = *number;
            if !is_blank(file).unwrap_or(false) {
                return;
            }
            let removed = self.files.remove(&self.options.segment_path(number));
            if let Err(error) = removed.and_then(|()| self.files.sync_dir(&self.options.dir)) {
                self.found.findings.push(io_finding(number, "remove", &error));
                return;
            }
            // What it knew about others must not be forgotten with it.
            self.found.start.notes.extend(header.iter().flat_map(|header| header.notes.iter().copied()));
            self.found.findings.push(leftover(number));
            headings.pop();
        }
    }

    /// Numbers follow one another from 1: a number between that has no file is a lost segment.
    fn find_gaps(&mut self, headings: &[Heard]) {
        let mut expected = 1;
        for heard in headings {
            if heard.number > expected {
                self.found.findings.push(read::missing(expected, heard.number - 1));
            }
            expected = heard.number + 1;
        }
        self.found.start.next_number = expected;
    }

    /// Decides how far a segment is read.
    fn bound(&mut self, heard: Heard) {
        let number = heard.number;
        let Some(file) = heard.file else {
            // Readers try again; until then they do not pass over it.
            self.found.catalogue.insert(number, UNKNOWN);
            return;
        };
        let log = heard.header.as_ref().map(|header| header.log);
        let is_foreign = log.is_some_and(|log| *self.found.log.get_or_insert(log) != log);
        let Some(header) = heard.header.filter(|_| !is_foreign) else {
            // One that was interrupted while it was made, and could not be removed before others came behind it.
            self.found.findings.push(match is_blank(&file) {
                Ok(true) if log.is_none() => leftover(number),
                Ok(_) => read::bad_header(number),
                Err(error) => io_finding(number, "read", &error),
            });
            return;
        };
        let segment = Segment { number, file, binding: header.binding() };
        let bounds = match (segment.sealed_end(), self.noted.get(&number)) {
            (Ok(Some(end)), _) => Ok(Bounds { end, proved: end }),
            (_, Some(note)) => Ok(Bounds { end: note.end.into(), proved: note.proved.into() }),
            (Ok(None), None) => self.read_through(&segment),
            (Err(error), None) => Err(error),
        };
        let bounds = bounds.unwrap_or_else(|error| {
            self.found.findings.push(io_finding(number, "read", &error));
            UNKNOWN
        });
        self.found.catalogue.insert(number, bounds);
    }

    /// Reads a segment that was not closed in order, with every checksum.
    fn read_through(&mut self, segment: &Segment) -> io::Result<Bounds> {
        let number = segment.number;
        // What is only in the page cache (the process died, the machine did not) must be on the disk before it is believed.
        let path = self.options.segment_path(number);
        if self.purpose == Purpose::Own
            && let Err(error) = self.files.open_to_write(&path).and_then(|file| file.sync_data())
        {
            self.found.findings.push(io_finding(number, "flush", &error));
        }
        let scan = read::scan(segment, segment.file.len()?)?;
        self.found.scanned += 1;
        for offset in scan.damage.iter().copied() {
            self.found.findings.push(read::wrong(number, offset, scan.proved));
        }
        self.found.findings.extend(scan.torn_tail.map(|offset| read::torn(number, offset)));
        let doubtful = scan.commits.iter().filter(|commit| u64::from(commit.offset) >= scan.proved);
        self.found.doubtful.extend(doubtful.map(|commit| (number, *commit)));
        let narrow = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        self.found.start.notes.push(Note { segment: number, end: narrow(scan.end), proved: narrow(scan.proved) });
        // Bytes that may have been somebody's mail are kept for those who can read more out of a damaged disk.
        if scan.torn_tail.is_none() {
            self.found.start.to_trim.push((number, scan.end));
        }
        Ok(Bounds { end: scan.end, proved: scan.proved })
    }

    /// The end of the log, and whether the index has seen more than there is.
    fn find_end(&mut self) {
        if let Some((segment, bounds)) = self.found.catalogue.last_key_value() {
            self.found.end = Position { segment: *segment, offset: bounds.end };
        }
        let read_to = self.options.read_to;
        if read_to > self.found.end {
            let end = self.found.end;
            self.found.findings.push(Finding {
                segment: end.segment,
                offset: end.offset,
                kind: FindingKind::MissingSegment,
                loss: Loss::Possible,
                consequence: format!(
                    "The log ends before segment {} byte {}, up to which the index has read. Bodies behind the end are lost; new mail is written behind that place.",
                    read_to.segment, read_to.offset
                ),
            });
            self.found.end = read_to;
            self.found.start.next_number = self.found.start.next_number.max(read_to.segment.saturating_add(1));
        }
    }
}

/// Whether nothing but zeros is behind the header.
fn is_blank(file: &Handle) -> io::Result<bool> {
    let mut bytes = vec![0u8; 64 << 10];
    let mut offset = DATA_START;
    loop {
        let count = file.read_at(&mut bytes, offset)?;
        if bytes.get(..count) != ZEROS.get(..count) {
            return Ok(false);
        }
        if count < bytes.len() {
            return Ok(true);
        }
        offset += count as u64;
    }
}

fn leftover(segment: u64) -> Finding {
    let consequence = "A segment that was prepared and never used holds nothing. Nothing is lost.".into();
    Finding { segment, offset: 0, kind: FindingKind::Leftover, loss: Loss::None, consequence }
}

fn io_finding(segment: u64, action: &str, error: &io::Error) -> Finding {
    Finding {
        segment,
        offset: 0,
        kind: FindingKind::Io,
        loss: Loss::None,
        consequence: format!(
            "The operating system refused to {action} it: {error}. Nothing is given up; it is tried again when it is needed."
        ),
    }
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Of a segment that could not be read at start: everything in it is checked when it can.
const UNKNOWN: Bounds = Bounds { end: 1 << 30, proved: DATA_START };
