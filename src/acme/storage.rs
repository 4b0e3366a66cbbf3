//! Account and certificate in a folder of their own, for their owner alone.
//!
//! Everything here waits for the disk: call it where that holds nobody up. A file is replaced as a whole, so that a power
//! cut leaves the old one or the new one. Certificate and key are one file for the same reason.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The folder.
#[derive(Debug, Clone)]
pub struct Storage {
    folder: PathBuf,
}

/// An account, which is known to one directory alone.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    directory: String,
    credentials: AccountCredentials,
}

/// Orders that failed, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When the first of them did.
    pub since: Timestamp,
    /// When the last of them did.
    pub at: Timestamp,
    /// How many did.
    pub attempts: u32,
    /// What the last one said.
    pub error: String,
}

impl Storage {
    /// Keeps all in `folder`, which is made when something is written.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The certificate's file: the private key, then the chain.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The file with the certificate and its key; `None` where none was stored.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn certificate(&self) -> io::Result<Option<Vec<u8>>> {
        found(fs::read(self.certificate_file()))
    }

    /// Stores a certificate chain with its key, both PEM.
    ///
    /// # Errors
    /// It cannot be written; what was there before is there still.
    pub fn keep_certificate(&self, chain: &str, key: &str) -> io::Result<()> {
        self.write(&self.certificate_file(), format!("{key}{chain}").as_bytes())
    }

    /// What has failed since the last order that worked; `None` where nothing did, or it cannot be read.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        serde_json::from_slice(&fs::read(self.failure_file()).ok()?).ok()
    }

    /// Keeps what failed, for those who look from outside.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_failure(&self, failure: &Failure) -> io::Result<()> {
        self.write(&self.failure_file(), &serde_json::to_vec(failure)?)
    }

    /// Nothing fails any more.
    pub fn forget_failure(&self) {
        let _ = fs::remove_file(self.failure_file());
    }

    /// The account at this directory; `None` where there is none, or one of another directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn account(&self, directory: &str) -> io::Result<Option<AccountCredentials>> {
        let Some(bytes) = found(fs::read(self.account_file()))? else { return Ok(None) };
        // A file that is damaged is worth no more than none: an account costs nothing.
        let stored = serde_json::from_slice::<StoredAccount>(&bytes).ok();
        Ok(stored.filter(|stored| stored.directory == directory).map(|stored| stored.credentials))
    }

    /// Whether there is an account at this directory, and so what is stored is of it.
    #[must_use]
    pub fn is_of(&self, directory: &str) -> bool {
        matches!(self.account(directory), Ok(Some(_)))
    }

    pub(super) fn keep_account(&self, directory: &str, credentials: AccountCredentials) -> io::Result<()> {
        let stored = StoredAccount { directory: directory.to_owned(), credentials };
        self.write(&self.account_file(), &serde_json::to_vec(&stored)?)
    }

    fn failure_file(&self) -> PathBuf {
        self.folder.join("failure.json")
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

fn found(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_kept_as_one_file_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path().join("acme"));
        assert!(storage.certificate().unwrap().is_none());
        storage.keep_certificate("CHAIN 1\n", "KEY 1\n").unwrap();
        storage.keep_certificate("CHAIN 2\n", "KEY 2\n").unwrap();
        assert_eq!(storage.certificate().unwrap().unwrap(), b"KEY 2\nCHAIN 2\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&storage.certificate_file()), 0o600);
        assert_eq!(mode(&dir.path().join("acme")), 0o700);
        assert_eq!(fs::read_dir(dir.path().join("acme")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_account_that_is_damaged_or_of_another_directory_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path().to_owned());
        let credentials = r#"{"id":"https://a.example/1","key_pkcs8":"AAAA","directory":"https://a.example/dir"}"#;
        let credentials = || serde_json::from_str::<AccountCredentials>(credentials).unwrap();
        storage.keep_account("https://a.example/dir", credentials()).unwrap();
        assert!(storage.account("https://a.example/dir").unwrap().is_some());
        assert!(storage.account("https://b.example/dir").unwrap().is_none());
        fs::write(dir.path().join("account.json"), "{").unwrap();
        assert!(storage.account("https://a.example/dir").unwrap().is_none());
    }
}
