//! What there is to import under the paths that were named, in an order that does not change.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::app::AppError;
use crate::mail::mbox;

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Its name in the journal; that of a Maildir's message stays when the message is moved or marked.
    pub(super) key: String,
    pub(super) kind: Kind,
    /// Octets.
    pub(super) size: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub(super) modified: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Mbox,
}

/// Folders in folders that are looked into; symbolic links to folders are not followed.
const DEPTH: usize = 32;

/// All files under `paths`.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<Source>, AppError> {
    let mut sources = Vec::new();
    for path in paths {
        let fail = |source| AppError::File { path: path.clone(), source };
        let path = path.canonicalize().map_err(fail)?;
        if path.is_dir() {
            folder(&path, DEPTH, &mut sources)?;
        } else {
            sources.push(file(&path, path.display().to_string())?);
        }
    }
    Ok(sources)
}

fn folder(path: &Path, depth: usize, sources: &mut Vec<Source>) -> Result<(), AppError> {
    let is_maildir = path.join("cur").is_dir() && path.join("new").is_dir();
    for entry in sorted(path)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = fs::symlink_metadata(&entry).map_err(|source| AppError::File { path: entry.clone(), source })?;
        if kind.is_dir() && is_maildir && matches!(name.as_str(), "cur" | "new") {
            for message in sorted(&entry)? {
                let unique = message.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let unique = unique.split(':').next().unwrap_or_default();
                // What begins with a dot is no message.
                if message.is_file() && !unique.starts_with('.') {
                    let found = file(&message, path.join(unique).display().to_string())?;
                    sources.push(Source { kind: Kind::Message, ..found });
                }
            }
        } else if kind.is_dir() {
            // A message is in `tmp` while it is written.
            if depth > 0 && !(is_maildir && name == "tmp") {
                folder(&entry, depth - 1, sources)?;
            }
        } else if !is_maildir && entry.is_file() {
            let found = file(&entry, entry.display().to_string())?;
            let is_eml = Path::new(&name).extension().is_some_and(|end| end.eq_ignore_ascii_case("eml"));
            if is_eml || found.kind == Kind::Mbox {
                sources.push(found);
            }
        }
    }
    Ok(())
}

fn sorted(path: &Path) -> Result<Vec<PathBuf>, AppError> {
    let fail = |source| AppError::File { path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(fail)?;
    let mut entries =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    entries.sort_unstable();
    Ok(entries)
}

fn file(path: &Path, key: String) -> Result<Source, AppError> {
    let look = || {
        let mut opened = fs::File::open(path)?;
        let metadata = opened.metadata()?;
        let mut beginning = Vec::new();
        opened.by_ref().take(1024).read_to_end(&mut beginning)?;
        Ok((metadata, mbox::is_mbox(&beginning)))
    };
    let (metadata, is_mbox) = look().map_err(|source| AppError::File { path: path.to_owned(), source })?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(Source {
        path: path.to_owned(),
        key,
        kind: if is_mbox { Kind::Mbox } else { Kind::Message },
        size: metadata.len(),
        modified: modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_maildirs_mailbox_files_and_folders_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in
            ["Mail/cur/2.host:2,S", "Mail/new/1.host", "Mail/tmp/3.host", "Mail/cur/.hidden", "Mail/dovecot.index"]
        {
            write(name, "Subject: x\n\n");
        }
        for folder in ["Mail/.Sent/cur", "Mail/.Sent/new"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        write("Mail/.Sent/cur/9.host:2,", "Subject: sent\n\n");
        write("a/one.EML", "Subject: x\n\n");
        write("a/notes.txt", "no mail\n");
        write("a/archive", "From ann@lake.example Mon Nov 23 09:01:00 2026\nSubject: x\n\n");
        std::os::unix::fs::symlink(&root, root.join("a/loop")).unwrap();
        let found = find(std::slice::from_ref(&root)).unwrap();
        let shown = |source: &Source| {
            format!("{:?} {}", source.kind, source.key.strip_prefix(&format!("{}/", root.display())).unwrap())
        };
        let found: Vec<String> = found.iter().map(shown).collect();
        assert_eq!(
            found,
            [
                "Message Mail/.Sent/9.host",
                "Message Mail/2.host",
                "Message Mail/1.host",
                "Mbox a/archive",
                "Message a/one.EML"
            ]
        );
        assert!(find(&[root.join("nowhere")]).is_err());
    }
}
