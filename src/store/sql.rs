//! One statement on either engine: values, rows, connections and pools as small enums over sqlx's typed ones.
//!
//! Every statement of the store is written once, with `$n` placeholders, and runs on SQLite and PostgreSQL through
//! [`query`]. Only four kinds of values exist (text, numbers, bytes, reals), which both engines keep alike; what cannot be
//! said alike is in [`super::dialect`]. This is not `sqlx::Any`: each engine keeps its own pool, types and errors.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Decode, PgPool, Postgres, Row as _, SqlSafeStr as _, SqlStr, Sqlite,
    SqliteConnection, SqlitePool, Type,
};

use super::dialect::postgres::{Begun, on_pool};

/// The connection that a transaction's statements run on.
#[derive(Debug)]
pub enum Connection {
    /// SQLite's one writer.
    Sqlite(SqliteConnection),
    /// A transaction that was begun.
    Postgres(Begun),
}

/// Connections that each statement takes one of.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Closes its connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Where a statement runs.
pub(super) enum Target<'c> {
    Sqlite(&'c mut SqliteConnection),
    SqlitePool(&'c SqlitePool),
    Postgres(&'c mut Begun),
    PostgresPool(&'c PgPool),
}

impl<'c> From<&'c mut Connection> for Target<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
            Connection::Postgres(begun) => Self::Postgres(begun),
        }
    }
}

impl<'c> From<&'c Pool> for Target<'c> {
    fn from(pool: &'c Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
            Pool::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(super) enum Value<'q> {
    Text(Option<Cow<'q, str>>),
    Number(Option<i64>),
    Bytes(Option<Cow<'q, [u8]>>),
    Real(Option<f64>),
}

/// A statement with its values.
#[must_use]
pub(super) struct Query<'q> {
    sql: SqlStr,
    values: Vec<Value<'q>>,
}

/// The statement `sql`, which is the same for both engines.
pub(super) fn query<'q>(sql: &'static str) -> Query<'q> {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

/// A statement that was put together from constants of the store; nothing that came from outside may be in it.
pub(super) fn built<'q>(sql: String) -> Query<'q> {
    Query { sql: AssertSqlSafe(sql).into_sql_str(), values: Vec::new() }
}

/// Runs a statement where it belongs, as both engines name it alike.
macro_rules! run {
    ($query:expr, $target:expr, $method:ident) => {{
        let Query { sql, values } = $query;
        match $target {
            Target::Sqlite(on) => sqlx::query_with(sql, sqlite(values)?).$method(on).await.map(Into::into),
            Target::SqlitePool(on) => sqlx::query_with(sql, sqlite(values)?).$method(on).await.map(Into::into),
            Target::Postgres(on) => {
                sqlx::query_with(sql, postgres(values)?).$method(on.connection()?).await.map(Into::into)
            }
            Target::PostgresPool(on) => {
                let query = sqlx::query_with(sql, postgres(values)?);
                on_pool(on, async |connection| query.$method(connection).await).await.map(Into::into)
            }
        }
    }};
}

impl<'q> Query<'q> {
    /// Binds the next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds the next values.
    pub(super) fn bind_all(mut self, values: Vec<Value<'q>>) -> Self {
        self.values.extend(values);
        self
    }

    /// Runs it; how many rows it changed.
    pub(super) async fn execute<'c>(self, on: impl Into<Target<'c>>) -> Result<u64, sqlx::Error> {
        let Changed(rows) = run!(self, on.into(), execute)?;
        Ok(rows)
    }

    /// Its first row.
    pub(super) async fn fetch_one<'c>(self, on: impl Into<Target<'c>>) -> Result<Row, sqlx::Error> {
        run!(self, on.into(), fetch_one)
    }

    /// Its first row, if there is one.
    pub(super) async fn fetch_optional<'c>(self, on: impl Into<Target<'c>>) -> Result<Option<Row>, sqlx::Error> {
        let Found(row) = run!(self, on.into(), fetch_optional)?;
        Ok(row)
    }

    /// All its rows.
    pub(super) async fn fetch_all<'c>(self, on: impl Into<Target<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        let Rows(rows) = run!(self, on.into(), fetch_all)?;
        Ok(rows)
    }
}

fn sqlite(values: Vec<Value<'_>>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Text(value) => arguments.add(value.map(storable).map(Cow::into_owned)),
            Value::Number(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Real(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn postgres(values: Vec<Value<'_>>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Text(value) => arguments.add(value.map(storable).as_deref()),
            Value::Number(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value.as_deref()),
            Value::Real(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// PostgreSQL's text has no NUL. On both engines it becomes U+FFFD, so that what is stored and what is looked up agree.
fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text }
}

/// A row of either engine.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a column can be read as, on both engines.
pub(super) trait Column<'r>: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}
impl<'r, T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>> Column<'r> for T {}

impl Row {
    /// The value of a column, counted from 0.
    pub(super) fn try_get<'r, T: Column<'r>>(&'r self, column: usize) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self::Sqlite(row)
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self::Postgres(row)
    }
}

/// Shapes that both engines' results are brought to.
struct Changed(u64);
struct Found(Option<Row>);
struct Rows(Vec<Row>);

impl From<sqlx::sqlite::SqliteQueryResult> for Changed {
    fn from(result: sqlx::sqlite::SqliteQueryResult) -> Self {
        Self(result.rows_affected())
    }
}

impl From<sqlx::postgres::PgQueryResult> for Changed {
    fn from(result: sqlx::postgres::PgQueryResult) -> Self {
        Self(result.rows_affected())
    }
}

impl<R: Into<Row>> From<Option<R>> for Found {
    fn from(row: Option<R>) -> Self {
        Self(row.map(Into::into))
    }
}

impl<R: Into<Row>> From<Vec<R>> for Rows {
    fn from(rows: Vec<R>) -> Self {
        Self(rows.into_iter().map(Into::into).collect())
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::Text(value.as_deref().map(Cow::Borrowed))
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Number(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Number(value)
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<Option<&'q [u8]>> for Value<'q> {
    fn from(value: Option<&'q [u8]>) -> Self {
        Self::Bytes(value.map(Cow::Borrowed))
    }
}

impl<'q, const N: usize> From<&'q [u8; N]> for Value<'q> {
    fn from(value: &'q [u8; N]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(value: Option<f64>) -> Self {
        Self::Real(value)
    }
}
