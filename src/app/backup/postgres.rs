//! The database of an installation on PostgreSQL, by the programs that come with the server: `pg_dump` and `pg_restore`.
//!
//! A dump is of one moment: `pg_dump` reads all tables within one snapshot. All that was answered 250 before it began was
//! committed before that moment, and a message leaves the queue in the transaction that makes its event, so that nothing is
//! missing and nothing is there twice. It is put back in one transaction: all of it or nothing.
//!
//! The password goes to them in their environment, which nobody but the same user can read; arguments can be read by all.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::BackupError;

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Dump,
    Restore,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Dump => "pg_dump",
            Self::Restore => "pg_restore",
        }
    }

    /// Whether it is there, and fit for a server of this major version. Blocks.
    ///
    /// # Errors
    /// [`BackupError::Tool`], [`BackupError::ToolOlder`]
    pub(super) fn check(self, server: u32) -> Result<(), BackupError> {
        let output = run(Command::new(self.name()).arg("--version"), self)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let tool = major(&said).ok_or_else(|| self.failed(&output))?;
        if tool < server { Err(BackupError::ToolOlder { tool: self.name(), version: tool, server }) } else { Ok(()) }
    }

    fn failed(self, output: &Output) -> BackupError {
        /// What is shown of what it said.
        const SHOWN: usize = 2_000;
        let said = String::from_utf8_lossy(&output.stderr);
        let said =
            said.trim().char_indices().rev().nth(SHOWN).map_or(said.trim(), |(at, _)| said.get(at..).unwrap_or(""));
        BackupError::ToolFailed { tool: self.name(), said: said.to_owned() }
    }
}

/// Writes the database into `file`, which is there already, for this user alone. Blocks.
///
/// # Errors
/// [`BackupError::ToolFailed`]
pub(super) fn dump(database: &str, file: &Path) -> Result<(), BackupError> {
    let mut command = Command::new(Tool::Dump.name());
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(file);
    finish(command, database, Tool::Dump)
}

/// Puts a dump into an empty database. Blocks.
///
/// # Errors
/// [`BackupError::ToolFailed`]: then nothing of it is there.
pub(super) fn restore(database: &str, file: &Path) -> Result<(), BackupError> {
    let mut command = Command::new(Tool::Restore.name());
    command.args(["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]).arg(file);
    finish(command, database, Tool::Restore)
}

fn finish(mut command: Command, database: &str, tool: Tool) -> Result<(), BackupError> {
    let Target { url, password } = Target::of(database)
        .ok_or_else(|| BackupError::ToolFailed { tool: tool.name(), said: "database.url is no URL".to_owned() })?;
    command.args(["--no-password", "--dbname", &url]);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let output = run(&mut command, tool)?;
    if output.status.success() { Ok(()) } else { Err(tool.failed(&output)) }
}

fn run(command: &mut Command, tool: Tool) -> Result<Output, BackupError> {
    command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::Tool(tool.name()),
        _ => BackupError::ToolFailed { tool: tool.name(), said: error.to_string() },
    })
}

/// `16` of `pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A database as these programs take it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// Without the password, and with the parameters that they know.
    url: String,
    password: Option<String>,
}

impl Target {
    fn of(database: &str) -> Option<Self> {
        let mut url = Url::parse(database).ok()?;
        let mut password = url.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
        // A URL without a host, for a socket, cannot have a password in its first part.
        let _ = url.set_password(None);
        let mut kept = Vec::new();
        for (name, value) in url.query_pairs() {
            let name = match &*name {
                "ssl-mode" => "sslmode",
                "ssl-root-cert" | "ssl-ca" => "sslrootcert",
                "ssl-cert" => "sslcert",
                "ssl-key" => "sslkey",
                name => name,
            };
            match name {
                "password" => password = Some(value.into_owned()),
                "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "host" | "hostaddr" | "port" | "user" | "dbname"
                | "options" | "connect_timeout" => kept.push((name.to_owned(), value.into_owned())),
                // What only the gateway's own client knows.
                _ => {}
            }
        }
        url.set_query(None);
        if !kept.is_empty() {
            // These programs do not take `+` for a space.
            let encoded = |(name, value): &(String, String)| format!("{name}={}", utf8_percent_encode(value, RESERVED));
            let query: Vec<String> = kept.iter().map(encoded).collect();
            url.set_query(Some(&query.join("&")));
        }
        Some(Self { url: url.into(), password })
    }
}

/// All but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_programs_say() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("pg_restore (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major("no version"), None);
    }

    #[test]
    fn the_password_is_no_argument_and_unknown_parameters_are_left_out() {
        let url = "postgres://ann:p%40ss%2Bw@db.example:5433/mail?ssl-mode=require&statement-cache-capacity=9";
        let target = Target::of(url).unwrap();
        assert_eq!(target.url, "postgres://ann@db.example:5433/mail?sslmode=require");
        assert_eq!(target.password.as_deref(), Some("p@ss+w"));
        let socket = Target::of("postgres:///mail?host=/run/post%20gres&password=word").unwrap();
        assert_eq!(socket.url, "postgres:///mail?host=%2Frun%2Fpost%20gres");
        assert_eq!(socket.password.as_deref(), Some("word"));
    }

    #[test]
    fn a_program_that_is_missing_or_older_than_the_server_is_named() {
        assert!(matches!(run(&mut Command::new("/nowhere/pg_dump"), Tool::Dump), Err(BackupError::Tool("pg_dump"))));
        let older = Tool::Dump.check(99).unwrap_err();
        assert!(matches!(older, BackupError::ToolOlder { tool: "pg_dump", server: 99, .. }), "{older}");
    }
}
