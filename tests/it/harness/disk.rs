//! A small disk of its own, which can be full, broken, stuck, read-only or without power: ext4 on a loop device.
//!
//! Its image is in memory, in a tmpfs that can be filled up: then what is written to the device fails, as on a
//! disk with bad sectors. Mounting needs the rights of root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;

/// A mounted disk; gone when dropped.
pub struct Disk {
    folder: tempfile::TempDir,
    is_frozen: bool,
}

impl Disk {
    /// A disk of this size, made with these further options of mkfs.ext4.
    pub fn new(mebibytes: u32, options: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "disks are mounted here: run the tests as root");
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { folder, is_frozen: false };
        std::fs::create_dir(disk.backing()).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        let size = format!("size={}m", mebibytes * 2);
        tool(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.backing()));
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(u64::from(mebibytes) << 20).unwrap();
        // Nothing is kept for root, so that full means full for the gateway too.
        let made = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,nodiscard"];
        tool(Command::new("mkfs.ext4").args(made).args(options).arg(disk.image()));
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn backing(&self) -> PathBuf {
        self.folder.path().join("backing")
    }

    fn image(&self) -> PathBuf {
        self.backing().join("image")
    }

    /// Mounts it; the file system repairs itself from its journal.
    pub fn mount(&self) {
        tool(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(self.image()).arg(self.path()));
    }

    /// Takes it away; nothing may use it.
    pub fn unmount(&self) {
        tool(Command::new("umount").arg(self.path()));
    }

    /// The power goes, for this disk alone: what the file system did not write is lost, and every call fails.
    pub fn cut_power(&self) {
        tool(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(self.path()));
    }

    /// Leaves not a byte of free space.
    pub fn fill(&self) {
        use_up(&self.filler());
    }

    /// Leaves no inode.
    pub fn use_up_inodes(&self) {
        let folder = self.filler();
        std::fs::create_dir(&folder).unwrap();
        let made = (0..).take_while(|number| std::fs::File::create(folder.join(number.to_string())).is_ok()).count();
        assert!(made > 0, "there was no inode to use up");
    }

    /// Gives back what [`Disk::fill`] or [`Disk::use_up_inodes`] took.
    pub fn drain(&self) {
        let filler = self.filler();
        if filler.is_dir() { std::fs::remove_dir_all(filler) } else { std::fs::remove_file(filler) }.unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Blocks that were never written fail to be written from now on.
    pub fn break_writes(&self) {
        use_up(&self.backing().join("filler"));
    }

    /// What was broken works again.
    pub fn mend(&self) {
        std::fs::remove_file(self.backing().join("filler")).unwrap();
    }

    /// Every write waits from now on.
    pub fn freeze(&mut self) {
        tool(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
        self.is_frozen = true;
    }

    /// Writes go on.
    pub fn thaw(&mut self) {
        tool(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
        self.is_frozen = false;
    }

    /// The file system finds itself damaged, and takes no more writes.
    pub fn make_read_only(&self) {
        let found = tool(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(self.path()));
        let device = Path::new(found.trim()).file_name().unwrap().to_owned();
        std::fs::write(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"), "a test").unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_frozen {
            self.thaw();
        }
        // A gateway that a failed test left behind may still have files open: its end frees the device.
        for path in [self.path(), self.backing()] {
            let _ = run(Command::new("umount").arg("--lazy").arg(path), b"");
        }
    }
}

/// Makes a file of all the space that is left.
fn use_up(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let bytes = vec![7u8; size];
        while file.write_all(&bytes).is_ok() {}
    }
    // Only then the blocks are taken, and not only promised.
    file.sync_all().unwrap();
}

/// Runs a program that must work; what it wrote.
fn tool(command: &mut Command) -> String {
    let output = run(command, b"");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
