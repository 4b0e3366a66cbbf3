//! A disk in memory that can lose power and fail: the file layer of tests.
//!
//! It keeps what was flushed apart from what was only written, for bytes and for names, and is as unkind as a real one:
//! - after a power cut each unflushed write is there, gone, or torn at any byte, independently of the others; so is each
//!   unflushed name;
//! - a failed flush forgets: some of the waiting bytes are on the disk, the others never will be, although they can still
//!   be read, and a later flush of the same file works (as Linux does it).
//!
//! Nothing in the program uses it; it is public so that the tests of other modules can have a spool without a disk.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{Files, Space};

/// A kind of call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A new file.
    Create,
    /// An existing file.
    Open,
    /// Names of a folder.
    List,
    /// Removal of a file.
    Remove,
    /// Writing bytes.
    Write,
    /// Reading bytes.
    Read,
    /// A change of a file's length.
    SetLength,
    /// Flushing a file.
    Sync,
    /// Flushing a folder.
    SyncFolder,
    /// Free space.
    Space,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    disk: Arc<Mutex<Disk>>,
    /// When the process that uses this handle was started; tests themselves outlive power cuts.
    power: Option<u64>,
}

#[derive(Debug, Default)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<(PathBuf, Option<u64>)>,
    /// Grows at each power cut: what was opened before is dead.
    power: u64,
    calls: u64,
    fail_at: Option<u64>,
    cut_at: Option<u64>,
    broken: Vec<Call>,
    space: Option<Space>,
    random: u64,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    durable: Vec<u8>,
    live: Vec<u8>,
    pending: Vec<Change>,
    /// Failed flushes: every handle hears of each once.
    failures: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl SimulatedDisk {
    /// An empty disk of 64 GiB whose chances follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk { random: seed, ..Disk::default() })), power: None }
    }

    /// The disk as a process sees it that starts now: dead after the next power cut.
    #[must_use]
    pub fn files(&self) -> Files {
        let power = Some(self.disk().power);
        Files::Simulated(Self { disk: Arc::clone(&self.disk), power })
    }

    /// Calls so far, of all kinds.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// Call number `nth` from the beginning fails, once. A failing write has written a part; a failing flush forgets.
    pub fn fail_call(&self, nth: u64) {
        self.disk().fail_at = Some(nth);
    }

    /// The power goes at call number `nth`: it and all later ones fail, until [`SimulatedDisk::power_on`].
    pub fn cut_power_at(&self, nth: u64) {
        self.disk().cut_at = Some(nth);
    }

    /// Every call of this kind fails until [`SimulatedDisk::heal`].
    pub fn break_calls(&self, kind: Call) {
        self.disk().broken.push(kind);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut disk = self.disk();
        disk.broken.clear();
        disk.fail_at = None;
    }

    /// Free bytes from now on, of 64 GiB; new files that do not fit fail.
    pub fn set_free(&self, free: u64) {
        self.disk().space = Some(Space { free, total: TOTAL });
    }

    /// Power goes, if it was still on, and comes back: what was not flushed is there, gone, or torn; all that was open is dead.
    pub fn power_on(&self, seed: u64) {
        let mut disk = self.disk();
        disk.power += 1;
        disk.cut_at = None;
        disk.random = seed;
        disk.lose_names();
        let random = &mut seed.clone();
        disk.inodes.values_mut().for_each(|inode| inode.lose_power(random));
    }

    /// The process ends and another begins: nothing is lost, but all that was open is dead.
    pub fn kill_process(&self) {
        self.disk().power += 1;
    }

    /// A disk of its own with the same content, and nothing unflushed.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.disk();
        let settle =
            |inode: &Inode| Inode { durable: inode.live.clone(), live: inode.live.clone(), ..Inode::default() };
        let copy = Disk {
            inodes: disk.inodes.iter().map(|(number, inode)| (*number, settle(inode))).collect(),
            names: disk.names.clone(),
            durable_names: disk.names.clone(),
            random: disk.random,
            ..Disk::default()
        };
        Self { disk: Arc::new(Mutex::new(copy)), power: None }
    }

    /// Paths of the files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }

    /// The bytes of a file; empty when it is missing.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let disk = self.disk();
        disk.names
            .get(path)
            .and_then(|inode| disk.inodes.get(inode))
            .map(|inode| inode.live.clone())
            .unwrap_or_default()
    }

    /// Changes a file's bytes behind the spool's back, on the disk itself.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let Some(number) = disk.names.get(path).copied() else { return };
        if let Some(inode) = disk.inodes.get_mut(&number) {
            change(&mut inode.live);
            inode.durable = inode.live.clone();
            inode.pending.clear();
        }
    }

    /// Takes a file away behind the spool's back.
    pub fn take_away(&self, path: &Path) {
        let mut disk = self.disk();
        disk.names.remove(path);
        disk.durable_names.remove(path);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        if self.power.is_some_and(|power| power != disk.power) {
            return Err(io::Error::other("the power was off"));
        }
        Ok(disk)
    }

    pub(super) fn create(&self, path: &Path, bytes: u64) -> io::Result<SimulatedFile> {
        let mut disk = self.alive()?;
        disk.check(Call::Create)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let number = disk.inodes.len() as u64 + 1;
        let mut inode = Inode::default();
        // As the real one: a file that does not get its space stays behind, empty.
        let fits = disk.space.is_none_or(|space| space.free >= bytes);
        if fits {
            inode.change(Change::Length(length));
        }
        disk.inodes.insert(number, inode);
        disk.names.insert(path.to_owned(), number);
        disk.pending_names.push((path.to_owned(), Some(number)));
        if fits { Ok(self.handle(&disk, number)) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut disk = self.alive()?;
        disk.check(Call::Open)?;
        let number = disk.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&disk, number))
    }

    fn handle(&self, disk: &Disk, inode: u64) -> SimulatedFile {
        let heard = disk.inodes.get(&inode).map_or(0, |inode| inode.failures);
        SimulatedFile { disk: self.clone(), inode, power: disk.power, heard: Mutex::new(heard) }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.alive()?;
        disk.check(Call::List)?;
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.alive()?;
        disk.check(Call::Remove)?;
        disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        disk.pending_names.push((path.to_owned(), None));
        Ok(())
    }

    pub(super) fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut disk = self.alive()?;
        if let Err(error) = disk.check(Call::SyncFolder) {
            if disk.cut_at.is_none() {
                disk.lose_names_of_failed_sync();
            }
            return Err(error);
        }
        disk.durable_names = disk.names.clone();
        disk.pending_names.clear();
        Ok(())
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        let mut disk = self.alive()?;
        disk.check(Call::Space)?;
        Ok(disk.space.unwrap_or(Space { free: TOTAL, total: TOTAL }))
    }
}

impl Disk {
    /// Counts a call, and fails it when its time has come.
    fn check(&mut self, kind: Call) -> io::Result<()> {
        self.calls += 1;
        if self.cut_at.is_some_and(|nth| self.calls >= nth) {
            return Err(io::Error::other("the power is off"));
        }
        if self.fail_at == Some(self.calls) || self.broken.contains(&kind) {
            return Err(io::Error::other("simulated fault"));
        }
        Ok(())
    }

    fn lose_names(&mut self) {
        for (path, change) in std::mem::take(&mut self.pending_names) {
            if draw(&mut self.random, 2) == 0 {
                continue;
            }
            match change {
                Some(inode) => self.durable_names.insert(path, inode),
                None => self.durable_names.remove(&path),
            };
        }
        self.names = self.durable_names.clone();
    }

    /// A failed flush of the folder: some names are durable, the others wait for the next one.
    fn lose_names_of_failed_sync(&mut self) {
        if draw(&mut self.random, 2) == 0 {
            self.durable_names = self.names.clone();
        }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn lose_power(&mut self, random: &mut u64) {
        for change in std::mem::take(&mut self.pending) {
            change.survive(random, &mut self.durable);
        }
        self.live = self.durable.clone();
    }

    fn fail_to_sync(&mut self, random: &mut u64) {
        for change in std::mem::take(&mut self.pending) {
            change.survive(random, &mut self.durable);
        }
        self.failures += 1;
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, new) => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                if let Some(place) = bytes.get_mut(*offset..end) {
                    place.copy_from_slice(new);
                }
            }
        }
    }

    /// There, gone, or torn: a part from the beginning, or a part up to the end.
    fn survive(self, random: &mut u64, bytes: &mut Vec<u8>) {
        match (draw(random, 4), self) {
            (0, _) => {}
            (2, Self::Write(offset, mut new)) => {
                new.truncate(draw(random, new.len() + 1));
                Self::Write(offset, new).apply(bytes);
            }
            (3, Self::Write(offset, mut new)) => {
                let from = draw(random, new.len() + 1);
                Self::Write(offset + from, new.split_off(from)).apply(bytes);
            }
            (_, whole) => whole.apply(bytes),
        }
    }
}

/// An open file of a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    power: u64,
    heard: Mutex<u64>,
}

impl SimulatedFile {
    /// Runs `act` on the file after counting the call; hands it whether the call must fail.
    fn call<T>(
        &self,
        kind: Call,
        act: impl FnOnce(&mut Inode, &mut u64, Option<io::Error>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = self.disk.disk();
        if disk.power != self.power {
            return Err(io::Error::other("the power was off"));
        }
        let fault = disk.check(kind).err();
        let is_cut = fault.is_some() && disk.cut_at.is_some_and(|nth| disk.calls > nth);
        let mut random = disk.random;
        let inode = disk.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let result = match fault {
            Some(error) if is_cut => Err(error),
            fault => act(inode, &mut random, fault),
        };
        disk.random = random;
        result
    }

    pub(super) fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        self.call(Call::Write, |inode, random, fault| {
            if fault.is_some() {
                bytes.truncate(draw(random, bytes.len() + 1));
            }
            inode.change(Change::Write(offset, bytes));
            fault.map_or(Ok(()), Err)
        })
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.call(Call::Read, |inode, _, fault| {
            fault.map_or(Ok(()), Err)?;
            let there = inode.live.get(offset..).unwrap_or_default();
            let count = there.len().min(bytes.len());
            if let (Some(to), Some(from)) = (bytes.get_mut(..count), there.get(..count)) {
                to.copy_from_slice(from);
            }
            Ok(count)
        })
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.call(Call::Sync, |inode, random, fault| {
            if fault.is_some() {
                inode.fail_to_sync(random);
            }
            if inode.failures > *heard {
                *heard = inode.failures;
                return Err(fault.unwrap_or_else(|| io::Error::other("an earlier flush failed")));
            }
            std::mem::take(&mut inode.pending).iter().for_each(|change| change.apply(&mut inode.durable));
            Ok(())
        })
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        self.call(Call::SetLength, |inode, _, fault| {
            fault.map_or(Ok(()), Err)?;
            inode.change(Change::Length(length));
            Ok(())
        })
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.call(Call::Read, |inode, _, fault| {
            fault.map_or(Ok(()), Err)?;
            Ok(inode.live.len() as u64)
        })
    }
}

const TOTAL: u64 = 64 << 30;

/// A number under `under` (SplitMix64).
fn draw(state: &mut u64, under: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((mixed ^ (mixed >> 31)) % (under.max(1) as u64)).unwrap_or(0)
}
