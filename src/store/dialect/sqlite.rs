//! SQLite: one connection that writes, pools that only read.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

/// Busy, locked, out of memory, read-only, disk I/O, full, cannot open, protocol (sqlite.org/rescode.html; the low octet
/// is the primary code).
pub(super) fn is_temporary(code: Option<&str>) -> bool {
    let code = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(code, Some(5 | 6 | 7 | 8 | 10 | 13 | 14 | 15) | None)
}

/// Writes a value over itself.
pub(super) async fn write_nothing_new(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *connection).await?;
    // A pragma takes no parameters (sqlite.org/pragma.html); the value is a number.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"))).execute(connection).await?;
    Ok(())
}

/// Brings the schema up to date.
pub(in crate::store) async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::migrate::MigrateError> {
    super::history::of_sqlite().run_direct(None, connection, false).await
}

/// Opens the one connection that writes.
pub(in crate::store) async fn open_writer(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    // SQLite would make it readable by every local user; its -wal and -shm follow the mode of this file.
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit that was answered survives a power cut. NORMAL would not (sqlite.org/wal.html, "Durability").
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", "4000")
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-65536")
        .connect()
        .await
}

/// Writes the database's content, as of one moment, to another file (sqlite.org/lang_vacuum.html, "VACUUM INTO").
pub(in crate::store) async fn copy(path: &Path, target: &Path) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let mut connection = options(path).read_only(true).connect().await?;
    let target = target.to_str().ok_or_else(|| sqlx::Error::Configuration("a path that is no UTF-8".into()))?;
    sqlx::query("VACUUM INTO $1").bind(target).execute(&mut connection).await?;
    connection.close().await
}

/// Opens a pool that only reads: a transaction that reads first and writes later could fail as busy at once.
///
/// All `count` connections are opened here and kept. Each has a thread, which takes its priority from the thread that
/// opens it: one that ingest opened on demand would answer the doors at ingest's low priority.
pub(in crate::store) async fn open_readers(path: &Path, count: u32) -> Result<SqlitePool, sqlx::Error> {
    let options = options(path).read_only(true).pragma("cache_size", "-8192");
    SqlitePoolOptions::new()
        .min_connections(count)
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5)).statement_cache_capacity(256)
}
