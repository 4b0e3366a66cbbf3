//! PostgreSQL: pools of connections, and transactions whose commit is known to be safe.
//!
//! # Durability
//! Each transaction sets `synchronous_commit` itself, so that no default of the server or role weakens it, and a commit
//! counts only where the server reported no trouble: a wait for a standby that was cancelled is a warning there, not an
//! error, and means "not replicated".
//!
//! # A server that hangs
//! Every wait ends. A connection that was given up in the middle of something is closed, never put back.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres};
use tracing::span;

use crate::clock::Timestamp;
use crate::store::PostgresServer;

/// How long one statement outside a transaction, or a free connection, is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a whole transaction may take.
pub(in crate::store) const TRANSACTION: Duration = Duration::from_secs(20);

/// The level is named, since a role's default may be another; `on` waits for the flush here and on every synchronous
/// standby, and overrides a default of `off` or `local` (postgresql.org/docs, "Asynchronous Commit").
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on";

/// SQLSTATE classes of trouble that is not the statement's: connection (08), rollback by deadlock or serialization (40),
/// resources (53), locks (55), operator (57), system (58), internal and corruption (XX); and a standby that was asked to
/// write (25006), as during a fail-over.
pub(in crate::store) fn is_temporary(code: &str) -> bool {
    code == "25006" || ["08", "40", "53", "55", "57", "58", "XX"].iter().any(|class| code.starts_with(class))
}

/// Brings the schema up to date; nodes that start together do it one after the other.
pub(in crate::store) async fn migrate(url: &str) -> Result<(), sqlx::migrate::MigrateError> {
    let mut connection = PgConnection::connect_with(&options(url)?).await?;
    let done = super::history::of_postgres().run_direct(None, &mut connection, false).await;
    let _ = connection.close().await; // What was done is done.
    done
}

/// Version and clock of the server, and whether its database is empty.
pub(in crate::store) async fn server(url: &str) -> Result<PostgresServer, sqlx::Error> {
    // What extensions and the system brought is nobody's; a table, sequence, view or function of somebody is.
    const LOOK: &str = "\
SELECT current_setting('server_version_num')::int / 10000, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
NOT EXISTS (SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS
  (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))";
    let look = async {
        let mut connection = PgConnection::connect_with(&options(url)?).await?;
        let row: (i32, i64, bool) = sqlx::query_as(LOOK).fetch_one(&mut connection).await?;
        let _ = connection.close().await; // What was asked for is known.
        Ok::<_, sqlx::Error>(row)
    };
    let (major, micros, is_empty) = tokio::time::timeout(PATIENCE, look).await.map_err(|_| late())??;
    Ok(PostgresServer { major: u32::try_from(major).unwrap_or(0), time: Timestamp::from_micros(micros), is_empty })
}

/// What must hold of the database itself; says what does not.
pub(in crate::store) async fn check_encoding(pool: &PgPool) -> Result<(), sqlx::Error> {
    let (encoding,): (String,) = sqlx::query_as("SHOW server_encoding").fetch_one(pool).await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let words = format!("the database has the encoding {encoding}: make one with ENCODING 'UTF8' TEMPLATE template0");
    Err(sqlx::Error::Configuration(words.into()))
}

/// A pool of at most `count` connections, opened when they are needed.
pub(in crate::store) async fn open(url: &str, count: u32) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .min_connections(0)
        .max_connections(count)
        .acquire_timeout(PATIENCE)
        // A statement on a connection that died meanwhile fails, which the caller must bear anyway.
        .test_before_acquire(false)
        .connect_lazy_with(options(url)?);
    Ok(pool)
}

fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("connex").statement_cache_capacity(256))
}

/// Runs one statement on a connection of `pool`; one that does not answer in time is closed.
pub(in crate::store) async fn on_pool<T>(
    pool: &PgPool,
    run: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    match tokio::time::timeout(PATIENCE, run(&mut connection)).await {
        Ok(done) => done,
        Err(_) => {
            drop(connection.detach());
            Err(late())
        }
    }
}

/// The error of what was not done in time.
pub(in crate::store) fn late() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// A transaction that was begun. Dropped without an end it takes its connection with it, and the server rolls it back.
#[derive(Debug)]
pub struct Begun(Option<PoolConnection<Postgres>>);

impl Begun {
    /// Begins a transaction on a connection of `pool`.
    pub(in crate::store) async fn on(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut begun = Self(Some(pool.acquire().await?));
        begun.connection()?.execute(BEGIN).await?;
        Ok(begun)
    }

    /// Its connection.
    pub(in crate::store) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or_else(|| sqlx::Error::Protocol("the transaction has ended".to_owned()))
    }

    /// Makes it durable.
    pub(in crate::store) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let (done, warned) = Watched::new(self.connection()?.execute("COMMIT")).await;
        done?;
        if warned {
            // Committed here, and perhaps nowhere else; the connection goes too, since its server may be going.
            return Err(sqlx::Error::Protocol("the commit was not confirmed by a synchronous standby".to_owned()));
        }
        drop(self.0.take());
        Ok(())
    }

    /// Undoes it.
    pub(in crate::store) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.connection()?.execute("ROLLBACK").await?;
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// A future, and whether the server sent a warning while it ran.
///
/// The driver hands notices to nobody but the log, as events of the target [`NOTICES`]; so the log of this one future
/// is listened to. `a_commit_that_no_standby_confirmed_is_no_commit` fails should the driver ever change that.
struct Watched<F> {
    inner: Pin<Box<F>>,
    warned: bool,
}

const NOTICES: &str = "sqlx::postgres::notice";

thread_local! {
    /// Whether a warning came since this thread last cleared it.
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// One for the process: making one has every place that logs asked anew.
static LISTENER: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(Listener));

impl<F> Watched<F> {
    fn new(inner: F) -> Self {
        Self { inner: Box::pin(inner), warned: false }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = (F::Output, bool);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        WARNED.set(false);
        let polled = tracing::dispatcher::with_default(&LISTENER, || self.inner.as_mut().poll(context));
        self.warned |= WARNED.replace(false);
        polled.map(|output| (output, self.warned))
    }
}

/// Hears warnings of the server, and nothing else.
struct Listener;

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == NOTICES && *metadata.level() <= tracing::Level::WARN
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if self.enabled(event.metadata()) {
            WARNED.set(true);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
