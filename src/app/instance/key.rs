//! Where the instance key is: in the configuration, or in a file of the data folder that the first start makes.
//!
//! Files are for their owner alone, and are flushed before anything is sealed with what is in them.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::app::{AppError, RotationError};
use crate::clock::random_bytes;
use crate::config::Config;
use crate::seal::KEY_LEN;
use crate::seal::keyring::Secret;

/// The file in the data folder that holds the key of an installation whose configuration names none.
pub const KEY_FILE: &str = "instance.key";
/// The key that is about to take its place.
pub const NEW_KEY_FILE: &str = "instance.key.new";

/// The place of the key of an installation.
#[derive(Debug, Clone, Copy)]
pub struct KeyPlace<'a> {
    config: &'a Config,
}

impl<'a> KeyPlace<'a> {
    /// Where this configuration has it.
    #[must_use]
    pub const fn of(config: &'a Config) -> Self {
        Self { config }
    }

    /// Whether the configuration names the key, so that its owner alone can put another there.
    #[must_use]
    pub const fn is_configured(self) -> bool {
        self.config.keys.instance_secret.is_some()
    }

    /// What is to be told to people.
    #[must_use]
    pub fn shown(self) -> String {
        if self.is_configured() {
            "keys.instance_secret (or the file of keys.instance_secret_file)".to_owned()
        } else {
            self.file().display().to_string()
        }
    }

    /// The key.
    ///
    /// # Errors
    /// [`AppError::KeyMissing`], [`AppError::Key`], or the file cannot be read.
    pub fn read(self) -> Result<Secret, AppError> {
        if let Some(secret) = &self.config.keys.instance_secret {
            return Ok(Secret::of(secret.expose()));
        }
        read(&self.file())?.ok_or_else(|| AppError::KeyMissing(self.file()))
    }

    /// The key, which is made where there is none yet.
    ///
    /// # Errors
    /// As [`KeyPlace::read`].
    pub fn read_or_make(self) -> Result<Secret, AppError> {
        match self.read() {
            Err(AppError::KeyMissing(file)) => {
                let text = draw();
                // What is sealed with a key that a power cut took away could never be opened again.
                match write_new(&file, text.as_bytes()) {
                    Ok(()) => Ok(Secret::of(&text)),
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self.read(),
                    Err(source) => Err(AppError::File { path: file, source }),
                }
            }
            read => read,
        }
    }

    /// The key that is about to take the place of the one in the data folder; none where there is none.
    pub(super) fn read_new(self) -> Result<Option<Secret>, AppError> {
        read(&self.new_file())
    }

    /// Writes the key that is about to take the place.
    pub(super) fn write_new(self, text: &str) -> Result<(), AppError> {
        replace(&self.new_file(), text.as_bytes())
    }

    /// Puts the new key in the place of the old one.
    pub(super) fn put_new_in_place(self) -> Result<(), AppError> {
        let (new, file) = (self.new_file(), self.file());
        let put = std::fs::rename(&new, &file).and_then(|()| sync_folder(&file));
        put.map_err(|source| AppError::File { path: new, source })
    }

    fn file(self) -> PathBuf {
        self.config.server.data_dir.join(KEY_FILE)
    }

    fn new_file(self) -> PathBuf {
        self.config.server.data_dir.join(NEW_KEY_FILE)
    }
}

/// The text of the key that a file of the operator holds.
///
/// # Errors
/// [`RotationError::NoKey`], or the file cannot be read.
pub fn text_in(path: &Path) -> Result<String, AppError> {
    let text = std::fs::read_to_string(path).map_err(|source| AppError::File { path: path.to_owned(), source })?;
    let text = text.trim_end();
    // The configuration would read spaces at its beginning as a part of it, and the file of the data folder would not.
    let is_key = text.len() >= KEY_LEN && text.trim_start() == text;
    if is_key { Ok(text.to_owned()) } else { Err(RotationError::NoKey(path.to_owned()).into()) }
}

/// The text of a new key.
pub(super) fn draw() -> String {
    let mut fresh = [0u8; KEY_LEN];
    random_bytes(&mut fresh);
    fresh.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Option<Secret>, AppError> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() < KEY_LEN => Err(AppError::Key(path.to_owned())),
        Ok(text) => Ok(Some(Secret::of(text.trim()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AppError::File { path: path.to_owned(), source }),
    }
}

/// Puts `bytes` in the place of a file: there is the old content or the new one at any moment.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), AppError> {
    let partial = partial(path);
    let written =
        write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path)).and_then(|()| sync_folder(path));
    written.map_err(|source| AppError::File { path: path.to_owned(), source })
}

/// Makes a file, unless there is one.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    sync_folder(path)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Beside a file, and of this process alone.
fn partial(path: &Path) -> PathBuf {
    path.with_added_extension(format!("{}.part", std::process::id()))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
