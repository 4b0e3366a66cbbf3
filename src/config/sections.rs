//! The small sections: server, spool, database, DNS, keys, pipeline, log.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Reader;
use super::secret::Secret;
use crate::mail::address::Domain;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name in the greeting and in trace data.
    pub hostname: Domain,
    /// Where spool, database and made-up secrets live.
    pub data_dir: PathBuf,
    /// Under which the HTTP API is reached from outside; without a trailing slash.
    pub public_url: String,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
}

impl Server {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            hostname: reader
                .parse("server.hostname", "a host name such as mx.example.org", |text| Domain::parse(text).ok()),
            data_dir: reader.parse("server.data_dir", "a folder", path),
            public_url: reader.parse("server.public_url", "an http or https URL without query or fragment", public_url),
            shutdown_grace: reader.duration("server.shutdown_grace", 1_000..=600_000),
        }
    }
}

/// `[spool]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// Bytes of one segment.
    pub segment_size: u64,
    /// Bytes that must stay free.
    pub reserve: u64,
    /// Share of the disk that must stay free, in percent.
    pub reserve_percent: u8,
    /// How long the disk may take over one write or flush before mail is put off.
    pub patience: Duration,
    /// Whether the whole log is read once after the start.
    pub verify_at_start: bool,
    /// Whether a log is taken up that the database does not know.
    pub adopt: bool,
}

impl Spool {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            segment_size: segment_size(reader),
            reserve: reader.size("spool.reserve", 0..=(1 << 50)),
            reserve_percent: u8::try_from(reader.number("spool.reserve_percent", 0..=90)).unwrap_or(u8::MAX),
            patience: reader.duration("spool.patience", 100..=600_000),
            verify_at_start: reader.flag("spool.verify_at_start"),
            adopt: reader.flag("spool.adopt"),
        }
    }
}

/// A size that the spool takes: up to 1 GiB, in whole pages.
fn segment_size(reader: &mut Reader<'_>) -> u64 {
    let size = reader.size("spool.segment_size", (1 << 20)..=(1 << 30));
    if !size.is_multiple_of(4096) {
        reader.fault("spool.segment_size", "must be a multiple of 4KiB");
    }
    size
}

/// `[database]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// One machine; the spool is a log of files.
    Sqlite {
        /// The file.
        file: PathBuf,
    },
    /// One node or several over one database, which is also the spool.
    Postgres {
        /// `postgres://…`, perhaps with a password in it.
        url: Secret,
        /// Connections of this node.
        connections: u32,
    },
}

impl Database {
    pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> Self {
        let connections = reader.count("database.connections", 10..=1_000);
        let from_file = match reader.is_set("database.url_file") {
            true => reader.secret("database.url", "database.url_file", 1),
            false => None,
        };
        let url = |text: &str| match text {
            "" => Some(Self::Sqlite { file: data_dir.join("connex.db") }),
            _ if is_postgres(text) => Some(Self::Postgres { url: Secret::new(text), connections }),
            _ => text.strip_prefix("sqlite:").and_then(sqlite_file).map(|file| Self::Sqlite { file }),
        };
        match from_file {
            Some(text) => url(text.expose()).unwrap_or_else(|| {
                reader.fault("database.url_file", &format!("its content must be {DATABASE_URL}"));
                Self::Sqlite { file: data_dir.join("connex.db") }
            }),
            None => reader.parse("database.url", DATABASE_URL, url),
        }
    }

    /// The database in words: a file, or a server without what is secret.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite { file } => file.display().to_string(),
            Self::Postgres { url, .. } => match url::Url::parse(url.expose()) {
                Ok(url) => format!(
                    "postgres://{}:{}{}",
                    url.host_str().unwrap_or_default(),
                    url.port().unwrap_or(5432),
                    url.path()
                ),
                Err(_) => "postgres://".to_owned(),
            },
        }
    }
}

const DATABASE_URL: &str = "empty for SQLite in server.data_dir, sqlite:/path/to/file.db, or \
                            postgres://user:password@host:5432/database";

fn is_postgres(text: &str) -> bool {
    let scheme = |url: &url::Url| matches!(url.scheme(), "postgres" | "postgresql");
    url::Url::parse(text).is_ok_and(|url| scheme(&url) && url.host_str().is_some_and(|host| !host.is_empty()))
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// Of one question to one server.
    pub timeout: Duration,
    /// Questions before giving up.
    pub attempts: u32,
    /// Keys that are believed in place of the root's.
    pub trust_anchors: Option<PathBuf>,
}

impl Dns {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            servers: reader.list(
                "dns.servers",
                "ADDRESS or ADDRESS:PORT, such as 9.9.9.9 or [2620:fe::fe]:53",
                |text| {
                    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
                    text.parse::<SocketAddr>().ok().or_else(bare)
                },
            ),
            timeout: reader.duration("dns.timeout", 100..=60_000),
            attempts: reader.count("dns.attempts", 1..=10),
            trust_anchors: reader.optional_file("dns.trust_anchors"),
        }
    }
}

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The secret with which API keys are hashed and webhook secrets are sealed; `None`: made at the first start and kept in the data folder.
    pub instance_secret: Option<Secret>,
}

impl Keys {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self { instance_secret: reader.secret("keys.instance_secret", "keys.instance_secret_file", 32) }
    }
}

/// `[pipeline]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Messages read from the spool in one go.
    pub ingest_batch: u32,
    /// The fallback when no wake-up comes.
    pub poll: Duration,
    /// How long mail that a node reads belongs to it, should it stop; only with PostgreSQL.
    pub lease: Duration,
    /// An accepted message that waits longer to be read is told in `/readyz`.
    pub lag_limit: Duration,
    /// MIME nesting that is still read.
    pub nesting: u32,
    /// MIME parts that are still read.
    pub parts: u32,
    /// Octets of a header block that are still read.
    pub header_size: u64,
    /// Octets of decoded text that are still read.
    pub text_size: u64,
}

impl Pipeline {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ingest_batch: reader.count("pipeline.ingest_batch", 1..=10_000),
            poll: reader.duration("pipeline.poll", 100..=60_000),
            lease: reader.duration("pipeline.lease", 1_000..=600_000),
            lag_limit: reader.duration("pipeline.lag_limit", 1_000..=604_800_000),
            nesting: reader.count("pipeline.nesting", 1..=100),
            parts: reader.count("pipeline.parts", 1..=100_000),
            header_size: reader.size("pipeline.header_size", (4 << 10)..=(64 << 20)),
            text_size: reader.size("pipeline.text_size", (4 << 10)..=(256 << 20)),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives of tracing's `EnvFilter`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            level: reader.parse("log.level", "error, warn, info, debug, trace or directives", |text| {
                // `EnvFilter` takes any lone word for a module's name; a misspelt level would log everything of it.
                let levels = ["off", "error", "warn", "info", "debug", "trace"];
                let sound = |part: &str| {
                    let level = part.rsplit('=').next().unwrap_or(part).trim();
                    levels.contains(&level.to_ascii_lowercase().as_str())
                };
                let parses = tracing_subscriber::EnvFilter::try_new(text).is_ok();
                (parses && text.split(',').all(sound)).then(|| text.to_owned())
            }),
            format: reader.parse("log.format", "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            }),
        }
    }
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

/// `sqlite:file`, `sqlite:/abs`, and `sqlite:///abs` as other programs write it.
fn sqlite_file(text: &str) -> Option<PathBuf> {
    path(text.strip_prefix("//").unwrap_or(text)).filter(|_| !text.contains('?'))
}

fn public_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let sound = plain && url.host_str().is_some() && matches!(url.scheme(), "http" | "https");
    sound.then(|| text.trim_end_matches('/').to_owned())
}
