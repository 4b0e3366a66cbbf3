//! Every difference between the database engines: opening, pragmas, migrations, and how work is claimed.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

/// Claims due deliveries: first for the tenants with the least under way, and of each endpoint the oldest, so that neither a
/// tenant with many slow endpoints nor an endpoint with a long backlog takes the others' places.
///
/// SQLite has one writer, so the sub-select needs no row locks; PostgreSQL needs `FOR UPDATE SKIP LOCKED` here.
/// `$1` now, `$2` lease end, `$3` worker, `$4` how many, `$5` how many may be under way for one endpoint, `$6` for one tenant.
pub(super) const CLAIM_DELIVERIES: &str = "\
UPDATE deliveries SET state = 'in_flight', lease_until = $2, lease_owner = $3
WHERE (tenant_id, delivery_id) IN (
    SELECT tenant_id, delivery_id FROM (
        SELECT due.tenant_id, due.delivery_id, due.next_attempt_at,
            ROW_NUMBER() OVER (PARTITION BY due.tenant_id ORDER BY due.place, due.next_attempt_at, due.delivery_id)
                + COALESCE(busy.attempts, 0) AS tenant_place
        FROM (
            SELECT d.tenant_id, d.delivery_id, d.next_attempt_at, e.flight_limit,
                ROW_NUMBER() OVER (PARTITION BY d.tenant_id, d.endpoint_id ORDER BY d.next_attempt_at, d.delivery_id) + (
                    SELECT COUNT(*) FROM deliveries AS f
                    WHERE f.tenant_id = d.tenant_id AND f.endpoint_id = d.endpoint_id AND f.state = 'in_flight'
                ) AS place
            FROM webhook_endpoints AS e
            JOIN deliveries AS d ON d.tenant_id = e.tenant_id AND d.delivery_id IN (
                SELECT w.delivery_id FROM deliveries AS w
                WHERE w.tenant_id = e.tenant_id AND w.endpoint_id = e.endpoint_id
                    AND w.state IN ('pending', 'retry_wait') AND w.next_attempt_at <= $1
                ORDER BY w.next_attempt_at LIMIT $5
            )
            WHERE e.state = 'enabled' AND e.blocked_until <= $1
        ) AS due
        LEFT JOIN (
            SELECT tenant_id, COUNT(*) AS attempts FROM deliveries WHERE state = 'in_flight' GROUP BY tenant_id
        ) AS busy ON busy.tenant_id = due.tenant_id
        WHERE due.place <= $5 AND due.place <= due.flight_limit
    ) AS fair
    WHERE tenant_place <= $6 ORDER BY tenant_place, next_attempt_at LIMIT $4
)
RETURNING tenant_id, delivery_id, endpoint_id, event_id, event_type, mode, api_version, attempts, created_at";

/// Whether [`CLAIM_DELIVERIES`] could find something, or a lease ran out. `$1` now.
pub(super) const DELIVERIES_DUE: &str = "\
SELECT EXISTS (
    SELECT 1 FROM webhook_endpoints AS e WHERE e.state = 'enabled' AND e.blocked_until <= $1 AND EXISTS (
        SELECT 1 FROM deliveries AS w WHERE w.tenant_id = e.tenant_id AND w.endpoint_id = e.endpoint_id
            AND w.state IN ('pending', 'retry_wait') AND w.next_attempt_at <= $1
    )
) OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'in_flight' AND lease_until <= $1)";

/// Whether an error is trouble of the database rather than of the statement: busy, locked, out of memory, read-only, disk
/// I/O, full, cannot open, protocol (sqlite.org/rescode.html; the low octet is the primary code).
pub(super) fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(fault) => {
            let code = fault.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
            matches!(code, Some(5 | 6 | 7 | 8 | 10 | 13 | 14 | 15) | None)
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. } => false,
        _ => true,
    }
}

/// Writes a value over itself. A transaction without any write would begin and commit on a disk that is full.
pub(super) async fn write_nothing_new(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *connection).await?;
    // A pragma takes no parameters (sqlite.org/pragma.html); the value is a number.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"))).execute(connection).await?;
    Ok(())
}

/// The schema's history, compiled in.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Brings the schema up to date.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::migrate::MigrateError> {
    MIGRATIONS.run_direct(None, connection, false).await
}

/// Opens the one connection that writes.
pub(super) async fn open_writer(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
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

/// Opens a pool that only reads: a transaction that reads first and writes later could fail as busy at once.
///
/// All `count` connections are opened here and kept. Each has a thread, which takes its priority from the thread that
/// opens it: one that ingest opened on demand would answer the doors at ingest's low priority.
pub(super) async fn open_readers(path: &Path, count: u32) -> Result<SqlitePool, sqlx::Error> {
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
