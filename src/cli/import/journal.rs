//! What was imported, so that an import that was stopped goes on where it was.
//!
//! One file for each destination in the data folder, one line of JSON for each message that was answered 250, only ever added
//! to. It is not flushed: a line that a crash takes means a message that comes twice, and is folded as a copy. A line that
//! cannot be read is passed over.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::places::Source;
use super::reader::Found;
use crate::app::AppError;
use crate::cli::CliError;
use crate::ids::MessageId;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// A message file that had this size, and was changed then.
    Whole { size: u64, modified: u64 },
    /// A mailbox file, by the last message that was imported.
    UpTo { begin: u64, end: u64, sha256: String },
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    id: MessageId,
    sha256: String,
    begin: u64,
    end: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
}

/// The journal of one destination, which one import alone may write.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    marks: HashMap<String, Mark>,
    /// Where the lines of this run begin.
    begin: u64,
}

impl Journal {
    /// Opens that of the destination called `name`; with `again`, what it says is passed over.
    pub(super) fn open(folder: &Path, name: &str, again: bool) -> Result<Self, CliError> {
        let hash: String =
            digest(&SHA256, name.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("{hash}.jsonl"));
        let fail = |source| CliError::from(AppError::File { path: path.clone(), source });
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::failed("another import for this destination runs; wait until it is done"));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let mut journal = Self { path: path.clone(), file, marks: HashMap::new(), begin: 0 };
        if !again {
            let mut marks = HashMap::new();
            let note = |entry: Entry| drop(marks.insert(entry.key.clone(), entry.mark()));
            journal.each(0, note).map_err(fail)?;
            journal.marks = marks;
        }
        journal.begin = journal.end_line().map_err(fail)?;
        Ok(journal)
    }

    /// What is known of a file.
    pub(super) fn mark(&self, source: &Source) -> Option<&Mark> {
        self.marks.get(&source.key)
    }

    /// Notes that a message was answered 250.
    pub(super) fn done(
        &mut self,
        source: &Source,
        found: &Found,
        id: MessageId,
        is_whole: bool,
    ) -> Result<(), CliError> {
        let modified = is_whole.then_some(source.modified);
        let Found { begin, end, sha256, .. } = found;
        let entry = Entry { key: source.key.clone(), id, sha256: sha256.clone(), begin: *begin, end: *end, modified };
        let mut line = serde_json::to_string(&entry).map_err(anyhow::Error::new)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|source| AppError::File { path: self.path.clone(), source })?;
        Ok(())
    }

    /// The ids that were noted by this run.
    pub(super) fn ids_of_this_run(mut self) -> Result<Vec<MessageId>, CliError> {
        let (begin, mut ids) = (self.begin, Vec::new());
        let read = self.each(begin, |entry| ids.push(entry.id));
        read.map_err(|source| AppError::File { path: self.path, source })?;
        Ok(ids)
    }

    /// Gives every line from `begin` on to `take`.
    fn each(&mut self, begin: u64, mut take: impl FnMut(Entry)) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(begin))?;
        let mut lines = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Ok(entry) = serde_json::from_slice(&line) {
                take(entry);
            }
        }
    }

    /// Ends a line that a crash cut off; the length.
    fn end_line(&mut self) -> std::io::Result<u64> {
        let length = self.file.seek(SeekFrom::End(0))?;
        if length == 0 {
            return Ok(0);
        }
        self.file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        self.file.read_exact(&mut last)?;
        if last == *b"\n" {
            return Ok(length);
        }
        self.file.write_all(b"\n")?;
        Ok(length.saturating_add(1))
    }
}

/// A path is at most 4,096 octets, and escapes make six of one.
const LONGEST_LINE: u64 = 32 * 1024;

impl Entry {
    fn mark(self) -> Mark {
        match self.modified {
            Some(modified) => Mark::Whole { size: self.end, modified },
            None => Mark::UpTo { begin: self.begin, end: self.end, sha256: self.sha256 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::Kind;
    use super::super::reader::whole;
    use super::*;

    #[test]
    fn what_was_done_is_known_after_a_crash_and_what_a_crash_cut_off_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let message = folder.path().join("one.eml");
        std::fs::write(&message, "Subject: x\n\n").unwrap();
        let found = whole(&message).unwrap();
        let source = Source { path: message, key: "one".to_owned(), kind: Kind::Message, size: 12, modified: 7 };
        let mut journal = Journal::open(folder.path(), "sales@in.example", false).unwrap();
        assert_eq!(journal.mark(&source), None);
        journal.done(&source, &found, MessageId::from_bits(1), true).unwrap();
        assert!(Journal::open(folder.path(), "sales@in.example", false).is_err(), "one import at a time");
        assert!(Journal::open(folder.path(), "other@in.example", false).is_ok());
        let path = journal.path.clone();
        assert_eq!(journal.ids_of_this_run().unwrap(), [MessageId::from_bits(1)]);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\":\"tw").unwrap();

        let mut journal = Journal::open(folder.path(), "sales@in.example", false).unwrap();
        assert_eq!(journal.mark(&source), Some(&Mark::Whole { size: 12, modified: 7 }));
        journal.done(&source, &found, MessageId::from_bits(2), false).unwrap();
        assert_eq!(journal.ids_of_this_run().unwrap(), [MessageId::from_bits(2)]);
        let journal = Journal::open(folder.path(), "sales@in.example", false).unwrap();
        assert!(matches!(journal.mark(&source), Some(Mark::UpTo { begin: 0, end: 12, .. })), "the last word counts");
        drop(journal);
        assert_eq!(Journal::open(folder.path(), "sales@in.example", true).unwrap().mark(&source), None);
    }
}
