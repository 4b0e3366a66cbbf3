//! The list of a backup's files: what each must be. A stored format, which only grows.

use serde::{Deserialize, Serialize};

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Of this format.
    pub version: u32,
    /// The program that made it.
    pub program: String,
    /// When, in RFC 3339.
    pub made_at: String,
    /// What the database is; lists of version 1 do not say, and mean SQLite.
    #[serde(default)]
    pub engine: Engine,
    /// Every file but the list.
    pub files: Vec<Entry>,
}

/// What holds the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A file, and the spool beside it.
    #[default]
    Sqlite,
    /// A dump of a PostgreSQL database, with all mail.
    Postgres,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the folder, with `/` between its parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

impl Entry {
    /// What its bytes must come to.
    #[must_use]
    pub const fn digest(&self) -> &String {
        &self.sha256
    }
}

/// Why a list is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is no list.
    #[error("it is not the list of a backup: {0}")]
    Malformed(String),
    /// It is of a later version of the program.
    #[error("it was made by a newer program (format {0}): restore it with that one")]
    Newer(u32),
    /// A path leads out of the folder.
    #[error("it names a path outside of the backup")]
    Outside,
}

const VERSION: u32 = 2;

impl List {
    /// The list of these files.
    #[must_use]
    pub fn new(engine: Engine, made_at: String, files: Vec<Entry>) -> Self {
        // An earlier program can still put back what it would have made itself.
        let version = if engine == Engine::Sqlite { 1 } else { VERSION };
        Self { version, program: format!("connex {}", env!("CARGO_PKG_VERSION")), made_at, engine, files }
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads a stored list.
    ///
    /// # Errors
    /// [`ListError`]
    pub fn parse(text: &[u8]) -> Result<Self, ListError> {
        let list: Self = serde_json::from_slice(text).map_err(|error| ListError::Malformed(error.to_string()))?;
        if list.version > VERSION {
            return Err(ListError::Newer(list.version));
        }
        if list.files.iter().all(|entry| is_inside(&entry.path)) { Ok(list) } else { Err(ListError::Outside) }
    }
}

fn is_inside(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    path.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(path: &str) -> List {
        List::new(
            Engine::Postgres,
            "2026-11-25T10:00:00Z".to_owned(),
            vec![Entry { path: path.to_owned(), bytes: 1, sha256: "ab".to_owned() }],
        )
    }

    #[test]
    fn a_list_reads_as_it_was_written() {
        let list = list("spool/0000000000000001.seg");
        assert_eq!(List::parse(list.to_json().as_bytes()), Ok(list));
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in ["../x", "/etc/passwd", "spool/../../x", "", "a//b", "./a"] {
            assert_eq!(List::parse(list(path).to_json().as_bytes()), Err(ListError::Outside), "{path}");
        }
    }

    #[test]
    fn a_newer_format_and_other_files_are_refused() {
        let newer = List { version: 3, ..list("a") };
        assert_eq!(List::parse(newer.to_json().as_bytes()), Err(ListError::Newer(3)));
        let first = br#"{"version":1,"program":"connex 0.1.0","made_at":"2026-11-25T10:00:00Z","files":[]}"#;
        assert_eq!(List::parse(first).unwrap().engine, Engine::Sqlite);
        assert!(matches!(List::parse(b"{}"), Err(ListError::Malformed(_))));
    }
}
