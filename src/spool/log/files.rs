//! The one way to the disk: every call of the spool goes through [`Files`], so that tests can drop and fail any of them.
//!
//! Never hides a failure, and never retries one: what a failed write or flush means is decided by the writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};

use super::faults::{SimulatedDisk, SimulatedFile};

/// The operating system's files, or a simulated disk for tests.
#[derive(Debug, Clone)]
pub enum Files {
    /// The operating system's files.
    Real,
    /// A disk in memory that can lose power and fail: for tests.
    Simulated(SimulatedDisk),
}

/// Mail is for this program's user alone.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Free and total bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) total: u64,
}

/// Held while a process uses the folder.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock ends when the file is closed")] Option<File>);

impl Files {
    /// Makes the folder, and its entry in the folder above durable.
    pub(super) fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match self {
            Self::Real => {
                fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(dir)?;
                match dir.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
                    _ => Ok(()),
                }
            }
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Takes the folder for this process; `WouldBlock` when another has it.
    pub(super) fn lock(&self, dir: &Path) -> io::Result<Lock> {
        match self {
            Self::Real => {
                let file = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .mode(FILE_MODE)
                    .open(dir.join("lock"))?;
                rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                Ok(Lock(Some(file)))
            }
            Self::Simulated(_) => Ok(Lock(None)),
        }
    }

    /// Makes a new file of `bytes` zeros with its space allocated.
    pub(super) fn create(&self, path: &Path, bytes: u64) -> io::Result<Handle> {
        match self {
            Self::Real => {
                let file = OpenOptions::new().create_new(true).read(true).write(true).mode(FILE_MODE).open(path)?;
                match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                    // Without it the disk may fill up in mid-segment; that is then a failed write like any other.
                    Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes)?,
                    result => result?,
                }
                Ok(Handle::Real(file))
            }
            Self::Simulated(disk) => disk.create(path, bytes).map(Handle::Simulated),
        }
    }

    pub(super) fn open_to_read(&self, path: &Path) -> io::Result<Handle> {
        match self {
            Self::Real => File::open(path).map(Handle::Real),
            Self::Simulated(disk) => disk.open(path).map(Handle::Simulated),
        }
    }

    pub(super) fn open_to_write(&self, path: &Path) -> io::Result<Handle> {
        match self {
            Self::Real => OpenOptions::new().read(true).write(true).open(path).map(Handle::Real),
            Self::Simulated(disk) => disk.open(path).map(Handle::Simulated),
        }
    }

    /// Names of the files in the folder.
    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self {
            Self::Real => {
                let mut names = Vec::new();
                for entry in fs::read_dir(dir)? {
                    names.extend(entry?.file_name().into_string().ok());
                }
                Ok(names)
            }
            Self::Simulated(disk) => disk.list(dir),
        }
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Real => fs::remove_file(path),
            Self::Simulated(disk) => disk.remove(path),
        }
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self {
            Self::Real => File::open(dir)?.sync_all(),
            Self::Simulated(disk) => disk.sync_dir(dir),
        }
    }

    pub(super) fn space(&self, dir: &Path) -> io::Result<Space> {
        match self {
            Self::Real => {
                let space = rustix::fs::statvfs(dir)?;
                Ok(Space {
                    free: space.f_bavail.saturating_mul(space.f_frsize),
                    total: space.f_blocks.saturating_mul(space.f_frsize),
                })
            }
            Self::Simulated(disk) => disk.space(),
        }
    }
}

/// An open file.
#[derive(Debug)]
pub(super) enum Handle {
    Real(File),
    Simulated(SimulatedFile),
}

impl Handle {
    /// Writes all of `parts`, one behind the other, from `offset` on.
    pub(super) fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => write_all_at(file, parts, offset),
            Self::Simulated(file) => file.write_at(parts, offset),
        }
    }

    /// Fills `bytes` from `offset` on as far as the file goes; returns how far.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Real(file) => {
                let mut done = 0;
                while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
                    match file.read_at(rest, offset + done as u64) {
                        Ok(0) => break,
                        Ok(count) => done += count,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(done)
            }
            Self::Simulated(file) => file.read_at(bytes, offset),
        }
    }

    /// Flushes the file's bytes, and its length, to stable storage.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_data(),
            Self::Simulated(file) => file.sync_data(),
        }
    }

    /// Whether the file system still keeps what it is told: an error where its journal has ended.
    ///
    /// A flush alone does not say. Where it had to turn allocated blocks into written ones and the journal ended meanwhile,
    /// ext4 reports success, and the blocks are zeros after the next mount (`ext4_end_io`, `ext4_sync_file`). Allocating what
    /// is allocated already changes nothing, and needs the journal.
    pub(super) fn confirm(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, CONFIRMED) {
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                result => Ok(result?),
            },
            Self::Simulated(_) => Ok(()),
        }
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_len(bytes),
            Self::Simulated(file) => file.set_len(bytes),
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => Ok(file.metadata()?.len()),
            Self::Simulated(file) => file.len(),
        }
    }
}

/// Octets that every segment has allocated and written: its header.
const CONFIRMED: u64 = 4_096;

/// Linux takes at most 1024 slices a call (IOV_MAX).
const SLICES: usize = 1024;

fn write_all_at(file: &File, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    let mut rest = parts;
    while !rest.is_empty() {
        let now = rest.get(..SLICES).unwrap_or(rest);
        match rustix::io::pwritev(file, now, offset) {
            Ok(0) if now.iter().any(|part| !part.is_empty()) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
