//! PEM files as the source of certificates, read again when they change.
//!
//! Everything here waits for the disk: call it where that holds nobody up. What cannot be used is told to the caller, and
//! what was in use stays in use.
//!
//! A change is taken up when two looks in a row see the same: whoever replaces certificate and key writes one after the
//! other, and in between they do not fit together.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Certificates, ClientAuthority, OwnCertificate, TlsError};

/// A certificate chain, leaf first, and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The chain.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// What stands in it is of no use.
    #[error("{}: {source}", path.display())]
    Content {
        /// The certificate's file, or that of the authorities.
        path: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
}

/// Which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Those that have changed.
    Changed,
    /// All of them.
    All,
}

/// What came of reading one source again.
#[derive(Debug)]
pub struct Reading {
    /// The certificate's file, or that of the authorities.
    pub file: PathBuf,
    /// Whether it is in use now.
    pub result: Result<(), FileError>,
}

/// The files of an installation, and what they were when they were last read.
#[derive(Debug)]
pub struct Watch {
    certificates: Arc<Certificates>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    files: Files,
    /// As it was when it was last read, whether or not it could be used.
    read: Stamp,
    /// As it was at the last look, where that was something else.
    seen: Option<Stamp>,
}

#[derive(Debug)]
enum Files {
    Pair(PairFiles),
    Authority(PathBuf),
}

/// What tells one state of files from another; `None` for a file that is not there.
type Stamp = Vec<Option<(u64, u64, u64, i64, i64)>>;

impl Watch {
    /// Reads all of them into `certificates`, in this order.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn open(
        certificates: Arc<Certificates>,
        pairs: Vec<PairFiles>,
        authority: Option<PathBuf>,
    ) -> Result<Self, FileError> {
        let files = pairs.into_iter().map(Files::Pair).chain(authority.map(Files::Authority));
        let mut sources = Vec::new();
        for files in files {
            let read = files.stamp();
            files.load(&certificates)?;
            sources.push(Source { files, read, seen: None });
        }
        Ok(Self { certificates, sources })
    }

    /// Reads again what changed, or all; tells what came of each that was read.
    pub fn look(&mut self, look: Look) -> Vec<Reading> {
        let mut readings = Vec::new();
        for source in &mut self.sources {
            let now = source.files.stamp();
            let is_due = match look {
                Look::All => true,
                Look::Changed => source.is_settled(&now),
            };
            if is_due {
                source.read = now;
                source.seen = None;
                let result = source.files.load(&self.certificates);
                readings.push(Reading { file: source.files.name().to_owned(), result });
            }
        }
        readings
    }
}

impl Source {
    /// Whether `now` is something new, and was so at the last look as well.
    fn is_settled(&mut self, now: &Stamp) -> bool {
        if *now == self.read {
            self.seen = None;
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(now);
        self.seen = Some(now.clone());
        is_settled
    }
}

impl Files {
    fn name(&self) -> &Path {
        match self {
            Self::Pair(pair) => &pair.cert_file,
            Self::Authority(file) => file,
        }
    }

    fn stamp(&self) -> Stamp {
        let one = |path: &PathBuf| {
            // Of what a link leads to: many tools replace the link.
            fs::metadata(path).ok().map(|it| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
        };
        match self {
            Self::Pair(pair) => vec![one(&pair.cert_file), one(&pair.key_file)],
            Self::Authority(file) => vec![one(file)],
        }
    }

    fn load(&self, certificates: &Certificates) -> Result<(), FileError> {
        let content = |source| FileError::Content { path: self.name().to_owned(), source };
        match self {
            Self::Pair(pair) => {
                let (chain, key) = (read(&pair.cert_file)?, read(&pair.key_file)?);
                let certificate = OwnCertificate::from_pem(&chain, &key).map_err(content)?;
                certificates.put(&pair.cert_file.display().to_string(), certificate);
            }
            Self::Authority(file) => {
                certificates.trust(Some(ClientAuthority::from_pem(&read(file)?).map_err(content)?));
            }
        }
        Ok(())
    }
}

/// Reads a file that is no larger than any of its kind.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

/// A bundle of all public authorities is a quarter of this.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        dir: tempfile::TempDir,
    }

    impl Folder {
        fn with(name: &str) -> Self {
            let folder = Self { dir: tempfile::tempdir().unwrap() };
            folder.write(name);
            folder
        }

        fn pair(&self) -> PairFiles {
            PairFiles { cert_file: self.dir.path().join("cert.pem"), key_file: self.dir.path().join("key.pem") }
        }

        /// A new certificate for this name, and its key.
        fn write(&self, name: &str) {
            let key = self.write_certificate(name);
            fs::write(self.pair().key_file, key).unwrap();
        }

        fn write_certificate(&self, name: &str) -> String {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            fs::write(self.pair().cert_file, made.cert.pem()).unwrap();
            made.signing_key.serialize_pem()
        }

        fn watch(&self) -> (Watch, Arc<Certificates>) {
            let certificates = Arc::new(Certificates::default());
            (Watch::open(Arc::clone(&certificates), vec![self.pair()], None).unwrap(), certificates)
        }
    }

    fn name(certificates: &Certificates) -> String {
        certificates.all()[0].1.names()[0].clone()
    }

    #[test]
    fn a_new_pair_is_taken_up_once_it_has_settled() {
        let folder = Folder::with("old.example");
        let (mut watch, certificates) = folder.watch();
        assert!(watch.look(Look::Changed).is_empty());
        folder.write("new.example");
        assert!(watch.look(Look::Changed).is_empty(), "it may still be written");
        assert_eq!(name(&certificates), "old.example");
        let readings = watch.look(Look::Changed);
        assert!(readings.len() == 1 && readings[0].result.is_ok(), "{readings:?}");
        assert_eq!(name(&certificates), "new.example");
        assert!(watch.look(Look::Changed).is_empty(), "it is read once");
    }

    #[test]
    fn half_of_a_new_pair_is_no_alarm_when_the_other_half_follows() {
        let folder = Folder::with("old.example");
        let (mut watch, certificates) = folder.watch();
        let key = folder.write_certificate("new.example");
        assert!(watch.look(Look::Changed).is_empty());
        fs::write(folder.pair().key_file, key).unwrap();
        assert!(watch.look(Look::Changed).is_empty());
        assert!(watch.look(Look::Changed)[0].result.is_ok());
        assert_eq!(name(&certificates), "new.example");
    }

    #[test]
    fn a_pair_that_cannot_be_used_is_told_once_and_the_old_one_stays() {
        let folder = Folder::with("old.example");
        let (mut watch, certificates) = folder.watch();
        let spoil_key = |pair: &PairFiles| fs::write(&pair.key_file, "-----BEGIN");
        let take_certificate = |pair: &PairFiles| fs::remove_file(&pair.cert_file);
        for spoil in [spoil_key, take_certificate] {
            spoil(&folder.pair()).unwrap();
            watch.look(Look::Changed);
            let readings = watch.look(Look::Changed);
            let error = readings[0].result.as_ref().unwrap_err().to_string();
            assert!(error.contains("cert.pem") && !error.contains("BEGIN"), "{error}");
            assert!(watch.look(Look::Changed).is_empty(), "said once");
            assert_eq!(name(&certificates), "old.example");
        }
    }

    #[test]
    fn all_are_read_at_once_when_asked_for() {
        let folder = Folder::with("old.example");
        let (mut watch, certificates) = folder.watch();
        folder.write("new.example");
        assert!(watch.look(Look::All)[0].result.is_ok());
        assert_eq!(name(&certificates), "new.example");
    }

    #[test]
    fn at_the_start_a_pair_must_be_usable() {
        let folder = Folder::with("old.example");
        folder.write_certificate("new.example");
        let opened = Watch::open(Arc::default(), vec![folder.pair()], None);
        assert!(matches!(opened, Err(FileError::Content { source: TlsError::Mismatch(_), .. })));
        let missing = Watch::open(Arc::default(), vec![folder.pair()], Some(folder.dir.path().join("ca.pem")));
        assert!(missing.is_err());
    }
}
