//! Reading one segment: its header, its end, and its records in order, past damage.
//!
//! After bytes that are no record, reading goes on at the next place where a record of this segment really begins; the
//! secret mark and the bound checksum of [`super::format`] make sure that no mail body can pretend to be one.

use std::borrow::Cow;
use std::io;

use super::files::{Files, Handle};
use super::format::{
    ALIGNMENT, Binding, COMMIT_LIMIT, DATA_START, FOOTER_BYTES, Kind, RECORD_HEADER, RecordHeader, SECOND_COPY,
    SegmentHeader,
};
use super::options::SpoolOptions;

/// A segment opened for reading.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: Handle,
    pub(super) binding: Binding,
}

/// What the header area of a segment says.
#[derive(Debug)]
pub(super) struct Heading {
    /// The header, from the first good copy.
    pub(super) header: Option<SegmentHeader>,
    /// Where a damaged copy is beside a good one.
    pub(super) damaged_copy: Option<u64>,
}

impl Heading {
    pub(super) fn read(file: &Handle, number: u64) -> io::Result<Self> {
        let mut bytes = vec![0u8; usize::try_from(DATA_START).unwrap_or_default()];
        let _ = file.read_at(&mut bytes, 0)?;
        let copy = |from: u64| {
            let copy = bytes.get(usize::try_from(from).ok()?..)?;
            SegmentHeader::decode(copy).filter(|header| header.segment == number)
        };
        Ok(match (copy(0), copy(SECOND_COPY)) {
            // Two sound copies differ when power went while notes were added: the first is written first.
            (Some(first), Some(_)) => Self { header: Some(first), damaged_copy: None },
            (Some(first), None) => Self { header: Some(first), damaged_copy: Some(SECOND_COPY) },
            (None, Some(second)) => Self { header: Some(second), damaged_copy: Some(0) },
            (None, None) => Self { header: None, damaged_copy: None },
        })
    }
}

impl Segment {
    /// Opens segment `number`; `Ok(None)` when its header cannot be read.
    pub(super) fn open(files: &Files, options: &SpoolOptions, number: u64) -> io::Result<Option<Self>> {
        let file = files.open_to_read(&options.segment_path(number))?;
        let heading = Heading::read(&file, number)?;
        Ok(heading.header.map(|header| Self { number, file, binding: header.binding() }))
    }

    /// Where the records end, when the segment was closed in order: its file then ends with a SEAL.
    pub(super) fn sealed_end(&self) -> io::Result<Option<u64>> {
        let Some(end) = self.file.len()?.checked_sub(FOOTER_BYTES).filter(|end| *end >= DATA_START) else {
            return Ok(None);
        };
        let footer = Record::read(self, end)?;
        Ok(footer.filter(|record| record.header.kind == Kind::Seal && record.is_sound()).map(|_| end))
    }
}

/// A record with its payload.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) header: RecordHeader,
    pub(super) payload: Vec<u8>,
}

impl Record {
    /// The record at `offset`; `None` when no record of this segment begins there. The payload may be damaged or short.
    pub(super) fn read(segment: &Segment, offset: u64) -> io::Result<Option<Self>> {
        let mut header = [0u8; RECORD_HEADER];
        let _ = segment.file.read_at(&mut header, offset)?;
        let Some(header) = RecordHeader::decode(&header, offset, &segment.binding) else { return Ok(None) };
        let payload = read_payload(segment, &header)?;
        Ok(Some(Self { header, payload }))
    }

    /// Whether the payload is what was written.
    pub(super) fn is_sound(&self) -> bool {
        self.header.fits(&self.payload)
    }
}

fn read_payload(segment: &Segment, header: &RecordHeader) -> io::Result<Vec<u8>> {
    // The length was written by us; the limit is against an error that the checksum happens to miss.
    let length = u64::from(header.length).min(COMMIT_LIMIT);
    let mut payload = vec![0u8; usize::try_from(length).unwrap_or_default()];
    let count = segment.file.read_at(&mut payload, header.payload_start())?;
    payload.truncate(count);
    Ok(payload)
}

/// What comes next in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A record; its payload is not checked yet.
    Record(RecordHeader),
    /// Bytes from here to the next record, or to the end, that are no record and not only zeros.
    Damage {
        /// The first of them.
        from: u64,
        /// Whether a record comes behind them.
        is_followed: bool,
    },
}

/// Goes through the records of a segment from one place to another.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    segment: &'a Segment,
    at: u64,
    end: u64,
    found: Option<RecordHeader>,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(segment: &'a Segment, from: u64, end: u64) -> Self {
        let at = from.max(DATA_START).next_multiple_of(ALIGNMENT as u64);
        Self { segment, at, end, found: None, window: Vec::new(), window_at: 0 }
    }

    /// The next step; `None` at the end, or where only zeros follow.
    pub(super) fn step(&mut self) -> io::Result<Option<Step>> {
        if let Some(header) = self.found.take() {
            self.at = header.next();
            return Ok(Some(Step::Record(header)));
        }
        let from = self.at;
        let mut is_blank = true;
        while self.at + RECORD_HEADER as u64 <= self.end {
            if let Some(header) = self.header_here()? {
                if self.at == from {
                    self.at = header.next();
                    return Ok(Some(Step::Record(header)));
                }
                self.found = Some(header);
                return Ok(Some(Step::Damage { from, is_followed: true }));
            }
            is_blank &= self.skip()?;
        }
        if self.at < self.end {
            is_blank &=
                self.bytes(usize::try_from(self.end - self.at).unwrap_or_default())?.iter().all(|byte| *byte == 0);
        }
        self.at = self.end;
        Ok((!is_blank && from < self.end).then_some(Step::Damage { from, is_followed: false }))
    }

    /// The payload of the record that the last step gave, from the window where it is there already; it may be damaged or
    /// short.
    pub(super) fn payload(&self, header: &RecordHeader) -> io::Result<Cow<'_, [u8]>> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let from = header.payload_start().checked_sub(self.window_at).and_then(|from| usize::try_from(from).ok());
        let in_window = from.and_then(|from| self.window.get(from..)?.get(..length));
        match in_window {
            Some(payload) => Ok(Cow::Borrowed(payload)),
            None => read_payload(self.segment, header).map(Cow::Owned),
        }
    }

    /// The header of a record that begins here and ends inside the walk.
    fn header_here(&mut self) -> io::Result<Option<RecordHeader>> {
        let (at, end, binding) = (self.at, self.end, self.segment.binding);
        let header = RecordHeader::decode(self.bytes(RECORD_HEADER)?, at, &binding);
        Ok(header.filter(|header| header.next() <= end))
    }

    /// Goes on to the next place in the window that has the mark, or behind the window; whether all between was zero.
    fn skip(&mut self) -> io::Result<bool> {
        let mark = self.segment.binding.mark();
        let bytes = self.bytes(RECORD_HEADER)?;
        let (words, _) = bytes.as_chunks::<ALIGNMENT>();
        let count = words.iter().skip(1).position(|word| *word == mark).map_or(words.len(), |index| index + 1);
        let is_blank = words.iter().take(count).all(|word| *word == [0; ALIGNMENT]);
        self.at += (count * ALIGNMENT) as u64;
        Ok(is_blank)
    }

    /// At least `count` bytes from here on, as far as the walk's end lets; reads a window ahead.
    fn bytes(&mut self, count: usize) -> io::Result<&[u8]> {
        let have = (self.window_at + self.window.len() as u64).saturating_sub(self.at);
        if self.at < self.window_at || have < count as u64 {
            let length = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(WINDOW);
            self.window.resize(length, 0);
            self.window_at = self.at;
            let count = self.segment.file.read_at(&mut self.window, self.at)?;
            self.window.truncate(count);
            // Behind the file's end there is nothing to read, however far the walk was meant to go.
            if count < length {
                self.end = self.at + count as u64;
            }
        }
        let from = usize::try_from(self.at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(from..).unwrap_or_default())
    }
}

/// Enough for some forty small messages a read, and not too much where a walk only looks at headers of large ones.
const WINDOW: usize = 64 << 10;
