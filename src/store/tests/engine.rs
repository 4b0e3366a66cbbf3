//! A place for a store on either engine, of one test's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{PostgresSettings, Store};
use crate::clock::Clock;

/// The engine that a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Where a test's store is: a file in a folder, or a schema of the test server's database.
#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(Arc<tempfile::TempDir>),
    Postgres(PostgresSettings),
}

impl Place {
    pub(crate) async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(Arc::new(tempfile::tempdir().unwrap())),
            Engine::Postgres => {
                static SCHEMAS: AtomicU32 = AtomicU32::new(0);
                let schema = format!("t{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
                let server = server();
                let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&server).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                let url = format!("{server}?options=-c%20search_path%3D{schema}");
                Self::Postgres(PostgresSettings { url, connections: 12 })
            }
        }
    }

    /// SQLite's file.
    pub(crate) fn file(&self) -> PathBuf {
        let Self::Sqlite(folder) = self else { panic!("PostgreSQL has no file") };
        folder.path().join("index.db")
    }

    /// Runs a statement that no caller of the store could.
    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => {
                let url = format!("sqlite://{}", self.file().display());
                let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
            Self::Postgres(settings) => {
                let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&settings.url).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Opens the store that is here.
    pub(crate) async fn open(&self, clock: Clock) -> Store {
        match self {
            Self::Sqlite(_) => Store::open(&self.file(), clock).await.unwrap(),
            Self::Postgres(settings) => Store::open_postgres(settings, clock).await.unwrap(),
        }
    }
}

/// URL of a database in which schemas may be made. Missing, a test fails: none is skipped.
fn server() -> String {
    std::env::var("CONNEX_TEST_POSTGRES")
        .expect("run ./tests/run, or set CONNEX_TEST_POSTGRES to a server on which databases may be made")
}

/// One test for each engine from one body.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::store::tests::engine::Engine::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(crate::store::tests::engine::Engine::Postgres).await })*
        }
    };
}

pub(crate) use on_both_engines;
