//! What outlives the process beside the spool: directory, events, decisions, work and queues.
//!
//! [`Store`] speaks of use (`record_mail`, `claim_deliveries`), not of tables. Rows of customers are reached only through
//! a [`TenantStore`], so that a query without its tenant cannot be written. SQL is constants beside the function that
//! runs them, the same for SQLite and PostgreSQL (`store::sql`); what cannot be the same is in [`dialect`].
//!
//! Durability: a call that returned `Ok` has been flushed. SQLite: WAL, `synchronous=FULL`, one commit for all writers that
//! wait. PostgreSQL: `synchronous_commit`, set by each transaction; its own group commit, and its synchronous standbys.

pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod bounces;
pub mod copies;
pub mod deliveries;
pub mod dialect;
pub mod directory;
pub mod domains;
pub mod drafts;
pub mod erasures;
pub mod events;
pub mod handoffs;
mod hints;
pub mod idempotency;
pub mod ingest;
pub mod insights;
pub mod instance;
pub mod issuers;
pub mod keys;
pub mod limits;
pub mod marks;
pub mod notices;
pub mod observed;
pub mod outcomes;
mod proposals;
pub mod reading;
pub mod receipts;
pub mod redecisions;
pub mod refusals;
pub mod relays;
pub mod releases;
pub mod retention;
pub mod routes;
mod rows;
pub mod sent;
pub mod sight;
pub mod signing;
pub mod spool;
mod sql;
pub mod standing;
mod subscribers;
pub mod tail;
pub mod templates;
#[cfg(test)]
pub(crate) mod tests;
pub mod threads;
mod told;
pub mod uploads;
pub mod usage;
pub mod verdicts;
pub mod watch;
pub mod webhooks;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::future::BoxFuture;

use crate::clock::{Clock, Timestamp};
use crate::governance::audit::Who;
use crate::ids::TenantId;

pub use sql::Connection;
use sql::{Pool, query};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer now; the same call may succeed later.
    #[error("the database does not answer now")]
    Unavailable(#[source] sqlx::Error),
    /// A row with this name, address or key is there already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// No such row of this tenant.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The state of a row does not allow this.
    #[error("{0}")]
    Conflict(&'static str),
    /// A row holds something that this version cannot read.
    #[error("the stored {what} cannot be read: {detail}")]
    Unreadable {
        /// Which column.
        what: &'static str,
        /// The reader's words.
        detail: String,
    },
    /// The database was written by a newer version, or a migration failed.
    #[error("the database could not be brought to this version's schema")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A lease ran out, and another node has what it was for.
    #[error("another node took over what this one had leased")]
    LeaseLost,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later, without anybody changing it.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(error) => dialect::is_temporary(error),
            Self::LeaseLost | Self::Closed => true,
            _ => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            error => Self::Unavailable(error),
        }
    }
}

/// Connections that read.
const READERS: u32 = 4;
/// Connections for what is asked at RCPT and of every key alone: slow readers must not make a door put mail off.
const DOOR_READERS: u32 = 2;
/// Connections that take blocks of rate limits.
const LIMIT_TAKERS: u32 = 2;

/// Connections of a store for work that runs apart.
const APART_READERS: u32 = 2;
const APART_WRITERS: u32 = 2;

/// The store of one instance.
#[derive(Debug, Clone)]
pub struct Store {
    writes: Writes,
    readers: Pool,
    doors: Pool,
    clock: Clock,
    wake: Wake,
    blocks_taken: Arc<AtomicU32>,
    /// To and from the other nodes over the same database.
    hints: Option<Arc<hints::Hints>>,
}

/// How transactions are run.
#[derive(Clone)]
enum Writes {
    /// By the one writer.
    Sqlite(writer::Writer),
    /// Each on a connection of its own.
    Postgres {
        /// Where the database is, for more pools.
        url: std::sync::Arc<str>,
        /// For all but accepting mail.
        work: sqlx::PgPool,
        /// For accepting mail, which nothing else may keep waiting.
        accept: sqlx::PgPool,
        /// For the rate limits that nodes share.
        limits: sqlx::PgPool,
    },
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresSettings {
    /// Its URL, which may hold a password.
    pub url: String,
    /// Connections that this node opens at most.
    pub connections: u32,
}

/// A PostgreSQL server, and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresServer {
    /// Its major version.
    pub major: u32,
    /// Its clock.
    pub time: Timestamp,
    /// Whether nobody has made anything in the database.
    pub is_empty: bool,
}

/// Wake-up hints; polling is what makes work certain.
#[derive(Debug, Clone, Default)]
struct Wake {
    deliveries: Arc<tokio::sync::Notify>,
    events: tokio::sync::watch::Sender<u64>,
    mail: tokio::sync::watch::Sender<u64>,
    sending: Arc<tokio::sync::Notify>,
}

impl Wake {
    fn look_at_events(&self) {
        self.events.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Store {
    /// Opens (or makes) the SQLite database at `path`, brings its schema up to date, and starts its one writer. The threads
    /// of its connections take the priority of the calling one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened, [`StoreError::Migration`] when the schema cannot be
    /// brought up to date.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let mut connection = dialect::sqlite::open_writer(path).await?;
        dialect::sqlite::migrate(&mut connection).await.map_err(StoreError::Migration)?;
        let readers = Pool::Sqlite(dialect::sqlite::open_readers(path, READERS).await?);
        let doors = Pool::Sqlite(dialect::sqlite::open_readers(path, DOOR_READERS).await?);
        let writes = Writes::Sqlite(writer::Writer::start(connection, path.to_owned()));
        let (wake, blocks_taken) = (Wake::default(), Arc::default());
        Ok(Self { writes, readers, doors, clock, wake, blocks_taken, hints: None })
    }

    /// Copies the SQLite database at `path`, as it is at one moment, to `target`, which must not exist or be empty. Others
    /// may write to it meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when either file cannot be used.
    pub async fn copy_sqlite(path: &Path, target: &Path) -> Result<(), StoreError> {
        Ok(dialect::sqlite::copy(path, target).await?)
    }

    /// What the server behind `url` is, and whether there is anything in its database; changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn postgres_server(url: &str) -> Result<PostgresServer, StoreError> {
        Ok(dialect::postgres::server(url).await?)
    }

    /// Opens a PostgreSQL database, which other nodes may use at the same time, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer or is not in UTF-8, [`StoreError::Migration`] when the schema
    /// cannot be brought up to date.
    pub async fn open_postgres(settings: &PostgresSettings, clock: Clock) -> Result<Self, StoreError> {
        use dialect::postgres::{check_encoding, migrate, open};
        let doors = open(&settings.url, DOOR_READERS).await?;
        check_encoding(&doors).await?;
        migrate(&settings.url).await.map_err(StoreError::Migration)?;
        let wake = Wake::default();
        // Each kind of work has its share, so that none keeps another waiting.
        let kept = DOOR_READERS + LIMIT_TAKERS + APART_READERS + APART_WRITERS;
        let share = |part: u32| (settings.connections.saturating_sub(kept) * part / 8).max(1);
        Ok(Self {
            writes: Writes::Postgres {
                url: settings.url.as_str().into(),
                work: open(&settings.url, share(3)).await?,
                accept: open(&settings.url, share(3)).await?,
                limits: open(&settings.url, LIMIT_TAKERS).await?,
            },
            readers: Pool::Postgres(open(&settings.url, share(2)).await?),
            hints: Some(Arc::new(hints::Hints::start(&settings.url, doors.clone(), wake.clone()))),
            doors: Pool::Postgres(doors),
            clock,
            wake,
            blocks_taken: Arc::default(),
        })
    }

    /// The same store for work on a runtime of its own: the calling one. A connection belongs to the runtime that opened it,
    /// and would answer nobody while that is busy, so this one shares none with the others.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the settings of the database are wrong.
    pub async fn apart(&self) -> Result<Self, StoreError> {
        let Writes::Postgres { url, .. } = &self.writes else { return Ok(self.clone()) };
        let readers = dialect::postgres::open(url, APART_READERS).await?;
        let work = dialect::postgres::open(url, APART_WRITERS).await?;
        let writes = Writes::Postgres { url: url.clone(), accept: work.clone(), limits: work.clone(), work };
        let readers = Pool::Postgres(readers);
        Ok(Self { writes, doors: readers.clone(), readers, ..self.clone() })
    }

    /// The rows of one tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId) -> TenantStore {
        TenantStore { store: self.clone(), tenant, who: Who::Operator }
    }

    /// Where this store's times and ids come from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits for the hint that deliveries became due; may wake for nothing.
    pub async fn deliveries_woken(&self) {
        self.wake.deliveries.notified().await;
    }

    /// Hints that deliveries became due.
    pub fn wake_deliveries(&self) {
        self.wake.deliveries.notify_one();
    }

    /// Changes whenever an event was recorded, also by other nodes; a hint only.
    #[must_use]
    pub fn events_recorded(&self) -> tokio::sync::watch::Receiver<u64> {
        self.wake.events.subscribe()
    }

    /// Changes whenever mail was accepted into the database; a hint only.
    #[must_use]
    pub fn mail_accepted(&self) -> tokio::sync::watch::Receiver<u64> {
        self.wake.mail.subscribe()
    }

    fn note_events(&self) {
        self.wake.look_at_events();
        self.wake_deliveries();
        if let Some(hints) = &self.hints {
            hints.send();
        }
    }

    fn note_mail(&self) {
        self.wake.mail.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn check(&self) -> Result<(), StoreError> {
        query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Whether the database takes a write now: a small one goes through the writer's queue and is flushed, so that a lock of
    /// another process, a full disk and a writer that is gone all show. Not cheap enough for more than once a second.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it was refused or not done after `patience`; [`StoreError::Closed`].
    pub async fn check_writer(&self, patience: std::time::Duration) -> Result<(), StoreError> {
        let probe = self.write(|connection| Box::pin(async move { Ok(dialect::write_nothing_new(connection).await?) }));
        let late = |_| StoreError::Unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        tokio::time::timeout(patience, probe).await.map_err(late)?
    }

    /// Finishes what waits and closes the database; later writes are refused.
    pub async fn close(&self) {
        match &self.writes {
            Writes::Sqlite(writer) => writer.close().await,
            Writes::Postgres { work, accept, limits, .. } => {
                accept.close().await;
                work.close().await;
                limits.close().await;
            }
        }
        self.readers.close().await;
        self.doors.close().await;
    }

    /// Runs `work` in a transaction, and returns after the flush. On SQLite it may share the transaction with others, and
    /// is done even where the caller stops waiting; on PostgreSQL it is undone then.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        match &self.writes {
            Writes::Sqlite(writer) => writer.run(work).await,
            Writes::Postgres { work: pool, .. } => in_transaction(pool, work).await,
        }
    }

    /// As [`Store::write`], for a step that apps may be told of. The tenant's log is this transaction's from its first statement
    /// on: two that follow each other there never wait for one another elsewhere.
    async fn write_step<T, F>(&self, tenant: TenantId, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let step = self.write(move |connection| {
            Box::pin(async move {
                dialect::lock_tenants(connection, [tenant]).await?;
                work(connection).await
            })
        });
        let done = step.await?;
        self.note_events();
        Ok(done)
    }

    /// As [`Store::write`], for accepting mail; wakes those who read it.
    async fn accept_with<F>(&self, work: F) -> Result<(), StoreError>
    where
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<(), StoreError>> + Send + 'static,
    {
        match &self.writes {
            Writes::Sqlite(writer) => writer.run(work).await?,
            Writes::Postgres { accept: pool, .. } => in_transaction(pool, work).await?,
        }
        self.note_mail();
        Ok(())
    }
}

/// Runs `work` in a transaction of its own.
async fn in_transaction<T, F>(pool: &sqlx::PgPool, work: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>>,
{
    let whole = async {
        let mut connection = Connection::Postgres(dialect::postgres::Begun::on(pool).await?);
        let done = work(&mut connection).await;
        if let Connection::Postgres(begun) = connection {
            match &done {
                Ok(_) => begun.commit().await?,
                Err(_) => begun.rollback().await?,
            }
        }
        done
    };
    let late = |_| StoreError::Unavailable(dialect::postgres::late());
    tokio::time::timeout(dialect::postgres::TRANSACTION, whole).await.map_err(late)?
}

/// Never shows the URL.
impl std::fmt::Debug for Writes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres { .. } => "Postgres",
        })
    }
}

/// Never shows the URL.
impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostgresSettings").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// A second connection that keeps all others from writing until it is dropped.
#[cfg(test)]
pub(crate) async fn hold_write_lock(path: &Path) -> sqlx::SqliteConnection {
    let mut connection = dialect::sqlite::open_writer(path).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.unwrap();
    connection
}

/// The rows of one tenant; made only by [`Store::for_tenant`].
#[derive(Debug, Clone)]
pub struct TenantStore {
    store: Store,
    tenant: TenantId,
    /// Who changes routes by it, for the audit log: the operator, where nobody else is named.
    who: Who,
}

impl TenantStore {
    /// The same for somebody other than the operator: what is changed of routes by it stands in the audit log as theirs.
    #[must_use]
    pub fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Where this store's times and ids come from.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.store.clock
    }
}

/// Reads a JSON column.
fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable { what, detail: error.to_string() })
}

/// Writes a JSON column; the types of the store have string keys and finite numbers, which always serialise.
fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable { what, detail: error.to_string() })
}

/// Reads an id column.
fn from_id<T: std::str::FromStr<Err = crate::ids::InvalidId>>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: crate::ids::InvalidId| StoreError::Unreadable { what, detail: error.to_string() })
}

/// Turns a broken uniqueness rule into [`StoreError::Exists`].
fn exists(what: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| match &error {
        sqlx::Error::Database(fault) if fault.is_unique_violation() => StoreError::Exists(what),
        _ => StoreError::Unavailable(error),
    }
}
