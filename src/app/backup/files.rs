//! Copies of files, with holes where there are only zeros, flushed, and for this program's user alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::BackupError;
use super::list::Entry;

/// The copied database.
pub(super) const DATABASE: &str = "connex.db";
/// The database of a server.
pub(super) const DUMP: &str = "database.dump";
/// The list of files.
pub(super) const LIST: &str = "backup.json";
/// The instance key.
pub(super) const KEY: &str = "instance.key";
/// What the key opens, once it was changed; with PostgreSQL the database alone has it.
pub(super) const KEYRING: &str = "keyring";
/// Account and certificate of an ACME authority.
pub(super) const ACME: [&str; 2] = ["acme/account.json", "acme/certificate.pem"];
/// The segments.
pub(super) const SPOOL: &str = "spool";

/// What was copied so far.
pub(super) struct Kept {
    target: PathBuf,
    entries: Vec<Entry>,
}

impl Kept {
    pub(super) fn new(target: &Path) -> Self {
        Self { target: target.to_owned(), entries: Vec::new() }
    }

    /// Copies `data/path`; false where there is none, or no longer.
    pub(super) fn copy(&mut self, data: &Path, path: &str) -> Result<bool, BackupError> {
        let to = self.target.join(path);
        let Some(sha256) = copy(&data.join(path), &to)? else { return Ok(false) };
        let bytes = std::fs::metadata(&to).map_err(|error| failed(&to, "read", error))?.len();
        self.entries.push(Entry { path: path.to_owned(), bytes, sha256 });
        Ok(true)
    }

    /// Counts in a file that is in the target already.
    pub(super) fn own(&mut self, path: &str) -> Result<(), BackupError> {
        let file = self.target.join(path);
        let (bytes, sha256) = digest(&file)?;
        File::open(&file).and_then(|file| file.sync_all()).map_err(|error| failed(&file, "flushed", error))?;
        self.entries.push(Entry { path: path.to_owned(), bytes, sha256 });
        Ok(())
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), action, source }
}

/// Has the folder, empty and for this user alone.
pub(super) fn make_empty(folder: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| failed(folder, "made", error))?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| failed(folder, "read", error))?;
    if entries.next().is_some() { Err(BackupError::Occupied(folder.to_owned())) } else { Ok(()) }
}

/// An empty file for this user alone, which another writer then fills.
pub(super) fn make_private(path: &Path) -> Result<(), BackupError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| failed(path, "made", error))
}

/// Names of the segments, the newest first.
pub(super) fn segments(spool: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = names(spool)?;
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "seg"));
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

/// Names of the files in a folder; none where it does not exist.
fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let fail = |error| failed(folder, "read", error);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_file() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// Copies and flushes a file; the digest of what was copied, or none where there is no such file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Option<String>, BackupError> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        source => source.map_err(|error| failed(from, "read", error))?,
    };
    if let Some(folder) = to.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| failed(folder, "made", error))?;
    }
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let target = target.map_err(|error| failed(to, "made", error))?;
    let (mut context, mut bytes, mut length) = (Context::new(&SHA256), vec![0; PIECE], 0);
    loop {
        let count = source.read(&mut bytes).map_err(|error| failed(from, "read", error))?;
        let piece = bytes.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        context.update(piece);
        if piece.iter().any(|byte| *byte != 0) {
            target.write_all_at(piece, length).map_err(|error| failed(to, "written", error))?;
        }
        length += count as u64;
    }
    // The end may be a hole.
    target.set_len(length).and_then(|()| target.sync_all()).map_err(|error| failed(to, "flushed", error))?;
    Ok(Some(hex(context)))
}

/// What is in a small file; none where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, BackupError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, "read", error)),
    }
}

/// Whether the file of a backup is what the list says.
pub(super) fn check(folder: &Path, entry: &Entry) -> Result<(), BackupError> {
    let path = folder.join(&entry.path);
    let found = digest(&path)?;
    if found == (entry.bytes, entry.sha256.clone()) { Ok(()) } else { Err(BackupError::Altered(path)) }
}

fn digest(path: &Path) -> Result<(u64, String), BackupError> {
    let fail = |error| failed(path, "read", error);
    let mut file = File::open(path).map_err(fail)?;
    let (mut context, mut bytes) = (Context::new(&SHA256), vec![0; PIECE]);
    loop {
        let count = file.read(&mut bytes).map_err(fail)?;
        match bytes.get(..count) {
            Some(piece) if !piece.is_empty() => context.update(piece),
            _ => break,
        }
    }
    let length = file.seek(SeekFrom::End(0)).map_err(fail)?;
    Ok((length, hex(context)))
}

/// Writes and flushes a new file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| failed(path, "written", error))
}

/// Makes the names in a folder, and its own, durable.
pub(super) fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    let inside = [folder.join(SPOOL), folder.join("acme")];
    let above = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned);
    for folder in inside.into_iter().filter(|folder| folder.is_dir()).chain([folder.to_owned()]).chain(above) {
        File::open(&folder).and_then(|it| it.sync_all()).map_err(|error| failed(&folder, "flushed", error))?;
    }
    Ok(())
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are read at once, and left out where they are all zero.
const PIECE: usize = 64 << 10;
