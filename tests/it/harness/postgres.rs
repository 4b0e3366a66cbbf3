//! PostgreSQL for tests: databases on the server that `tests/postgres.sh` starts, and servers of a test's own.

mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::run;

pub use cluster::Cluster;

/// A database of a test's own. That on the shared server goes when dropped; that of a [`Cluster`] goes with it.
#[derive(Debug)]
pub struct Database {
    url: String,
    /// The server that has to be told to drop it.
    server: Option<String>,
}

impl Database {
    /// A new one on the server of `CONNEX_TEST_POSTGRES`.
    pub fn fresh() -> Self {
        let server = std::env::var("CONNEX_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!("run ./tests/run, or set CONNEX_TEST_POSTGRES to a server on which databases may be made")
        });
        Self { url: create(&server).unwrap_or_else(|error| panic!("{error}")), server: Some(server) }
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same one, of a role whose password is kept for SCRAM (RFC 5802), as servers do that are told nothing else.
    pub fn by_scram(mut self) -> Self {
        let (name, word) = (self.url.rsplit('/').next().unwrap().to_owned(), "a password of a test");
        self.sql(&format!(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE {name} LOGIN PASSWORD '{word}'; ALTER DATABASE {name} OWNER TO {name}"
        ));
        let (_, place) = self.url.split_once('@').unwrap();
        self.url = format!("postgres://{name}:{}@{place}", word.replace(' ', "%20"));
        self
    }

    /// What `psql` answers: rows on lines, columns apart by `|`.
    pub fn sql(&self, text: &str) -> String {
        psql(&self.url, text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            let name = self.url.rsplit('/').next().unwrap_or_default();
            // A gateway that was killed may have left sessions, which must not keep it.
            let _ = psql(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// Makes a database that nobody else has; its URL.
fn create(server: &str) -> Result<String, String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("connex_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // Left over by a process that was killed and had the number of this one.
    psql(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
    psql(server, &format!("CREATE DATABASE {name}"))?;
    let (base, _) = server.rsplit_once('/').ok_or("the URL names no database")?;
    Ok(format!("{base}/{name}"))
}

fn psql(url: &str, text: &str) -> Result<String, String> {
    let mut command = Command::new(program("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, url]).env("PGCONNECT_TIMEOUT", "5");
    let output = run(&mut command, b"");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}

/// A program of the server: from `CONNEX_TEST_POSTGRES_BIN`, the newest of Debian's, or the search path.
fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("CONNEX_TEST_POSTGRES_BIN") {
        return Path::new(&folder).join(name);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter(|version| version.path().join("bin/postgres").exists())
        .max_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    newest.map_or_else(|| PathBuf::from(name), |version| version.path().join("bin").join(name))
}
