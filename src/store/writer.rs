//! The one writer: takes all the work that waits, runs it in one transaction, and answers after one flush.
//!
//! Each piece of work has a savepoint of its own where several share a transaction, so that one that fails takes nothing
//! of the others with it. No answer is given before the commit.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::dialect::sqlite;
use super::sql::{Connection, query};

/// How much work shares one commit at most: enough to spread the flush, little enough to keep the first waiter's time short.
const BATCH: usize = 64;
/// How much work may wait; more waits in its callers.
const QUEUE: usize = 1024;

/// What is told to one caller after the commit.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One caller's work. Whoever holds it runs it or refuses it, so that no caller is left to guess.
trait Work: Send {
    /// Runs its statements; gives its answer, or `None` when the work failed and its caller was told.
    fn run<'c>(self: Box<Self>, connection: &'c mut Connection) -> BoxFuture<'c, Option<Answer>>;
    /// Tells its caller why it was not run.
    fn refuse(self: Box<Self>, why: StoreError);
}

struct Piece<T, F> {
    work: F,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Piece<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn run<'c>(self: Box<Self>, connection: &'c mut Connection) -> BoxFuture<'c, Option<Answer>> {
        let Self { work, caller } = *self;
        Box::pin(async move {
            match work(connection).await {
                Ok(value) => {
                    let tell: Answer = Box::new(move |committed: Result<(), StoreError>| {
                        let _ = caller.send(committed.map(|()| value)); // A caller that went away needs no answer.
                    });
                    Some(tell)
                }
                Err(error) => {
                    let _ = caller.send(Err(error));
                    None
                }
            }
        })
    }

    fn refuse(self: Box<Self>, why: StoreError) {
        let _ = self.caller.send(Err(why));
    }
}

/// Handle on the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

enum Request {
    Run(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the task that owns `connection`; it ends when the last handle is gone or at [`Writer::close`].
    pub(super) fn start(connection: SqliteConnection, path: PathBuf) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        #[expect(
            clippy::disallowed_methods,
            reason = "lives as long as the store's handles, and owns no shared state"
        )]
        tokio::spawn(serve(Connection::Sqlite(connection), path, requests));
        Self { queue }
    }

    /// Runs `work` and returns after its commit was flushed.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.queue.send(Request::Run(Box::new(Piece { work, caller }))).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what waits and closes the connection.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Request::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

async fn serve(mut connection: Connection, path: PathBuf, mut requests: mpsc::Receiver<Request>) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        if requests.recv_many(&mut waiting, BATCH).await == 0 {
            return;
        }
        let mut batch = Vec::with_capacity(waiting.len());
        let mut close = None;
        for request in waiting.drain(..) {
            match request {
                Request::Run(work) => batch.push(work),
                Request::Close(done) => close = Some(done),
            }
        }
        if let Err(error) = commit_together(&mut connection, batch).await {
            tracing::error!(error.kind = "store", temporary = true, "Database does not take writes: {error}");
            connection = reopened(connection, &path).await;
        }
        if let Some(done) = close {
            requests.close();
            if let Connection::Sqlite(connection) = connection
                && let Err(error) = connection.close().await
            {
                tracing::warn!(error.kind = "store", "Database did not close cleanly: {error}");
            }
            let _ = done.send(());
            return;
        }
    }
}

/// Runs a batch in one transaction; an error means that the connection should be made anew.
async fn commit_together(connection: &mut Connection, batch: Vec<Box<dyn Work>>) -> Result<(), sqlx::Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut answers = Vec::with_capacity(batch.len());
    let mut batch = batch.into_iter();
    let result = run_batch(connection, &mut batch, &mut answers).await;
    match result {
        Ok(()) => {
            for answer in answers {
                answer(Ok(()));
            }
            Ok(())
        }
        Err(error) => {
            // What ran was not committed, and the rest was not begun: both may be tried again.
            for answer in answers {
                answer(Err(not_committed(&error)));
            }
            for work in batch {
                work.refuse(not_committed(&error));
            }
            let _ = query("ROLLBACK").execute(&mut *connection).await; // Fails where no transaction is open, which is as good.
            Err(error)
        }
    }
}

/// One fault, told to each of those who shared the transaction.
fn not_committed(error: &sqlx::Error) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Io(std::io::Error::other(error.to_string())))
}

async fn run_batch(
    connection: &mut Connection,
    batch: &mut std::vec::IntoIter<Box<dyn Work>>,
    answers: &mut Vec<Answer>,
) -> Result<(), sqlx::Error> {
    query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let alone = batch.len() == 1;
    for work in batch {
        if !alone {
            query("SAVEPOINT work").execute(&mut *connection).await?;
        }
        let answer = work.run(connection).await;
        match (answer, alone) {
            (Some(answer), true) => answers.push(answer),
            (Some(answer), false) => {
                answers.push(answer);
                query("RELEASE work").execute(&mut *connection).await?;
            }
            (None, true) => {
                query("ROLLBACK").execute(&mut *connection).await?;
                return Ok(());
            }
            (None, false) => {
                query("ROLLBACK TO work").execute(&mut *connection).await?;
                query("RELEASE work").execute(&mut *connection).await?;
            }
        }
    }
    query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

/// A new connection in place of one that failed; the old one where no new one can be had yet.
async fn reopened(old: Connection, path: &std::path::Path) -> Connection {
    match sqlite::open_writer(path).await {
        Ok(new) => {
            drop(old);
            Connection::Sqlite(new)
        }
        Err(_) => old,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;

    use super::*;

    async fn writer(folder: &std::path::Path) -> Writer {
        let path = folder.join("index.db");
        let mut connection = sqlite::open_writer(&path).await.unwrap();
        connection.execute("CREATE TABLE t (n INTEGER NOT NULL UNIQUE) STRICT").await.unwrap();
        Writer::start(connection, path)
    }

    fn insert(number: i64) -> impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<i64, StoreError>> + Send {
        move |connection| {
            Box::pin(async move {
                query("INSERT INTO t (n) VALUES ($1)").bind(number).execute(connection).await?;
                Ok(number)
            })
        }
    }

    #[tokio::test]
    async fn work_that_fails_takes_nothing_of_the_others_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path()).await;
        let numbers = [1, 2, 1, 3, 2, 4];
        let runs = numbers.map(|number| writer.run(insert(number)));
        let results = futures_util::future::join_all(runs).await;
        let stored: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(stored, [true, true, false, true, false, true]);
        let count = writer
            .run(|connection| {
                Box::pin(async move {
                    let row = query("SELECT COUNT(*) FROM t").fetch_one(connection).await?;
                    Ok(row.try_get::<i64>(0)?)
                })
            })
            .await
            .unwrap();
        assert_eq!(count, 4);
    }

    #[tokio::test]
    async fn work_that_could_not_begin_is_told_the_databases_words_and_may_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.db");
        let mut connection = sqlite::open_writer(&path).await.unwrap();
        connection.execute("CREATE TABLE t (n INTEGER NOT NULL UNIQUE) STRICT").await.unwrap();
        connection.execute("PRAGMA busy_timeout = 1").await.unwrap();
        let mut other = sqlite::open_writer(&path).await.unwrap();
        other.execute("BEGIN EXCLUSIVE").await.unwrap();
        let mut batch: Vec<Box<dyn Work>> = Vec::new();
        let mut callers = Vec::new();
        for number in 1..=3 {
            let (caller, answer) = oneshot::channel();
            batch.push(Box::new(Piece { work: insert(number), caller }));
            callers.push(answer);
        }
        let mut connection = Connection::Sqlite(connection);
        commit_together(&mut connection, batch).await.unwrap_err();
        for answer in callers {
            let error = answer.await.expect("every caller is told").unwrap_err();
            assert!(error.is_temporary(), "{error:?}");
            let StoreError::Unavailable(cause) = error else { panic!("{error:?}") };
            assert!(cause.to_string().contains("locked"), "{cause}");
        }
        let Connection::Sqlite(connection) = connection else { panic!() };
        let writer = Writer::start(connection, path);
        assert!(matches!(writer.run(insert(1)).await, Err(StoreError::Unavailable(_))));
        other.execute("ROLLBACK").await.unwrap();
        assert_eq!(writer.run(insert(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_waits_is_written_before_the_writer_closes_and_nothing_after() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path()).await;
        let (first, ()) = tokio::join!(writer.run(insert(1)), writer.close());
        assert_eq!(first.unwrap(), 1);
        assert!(matches!(writer.run(insert(2)).await, Err(StoreError::Closed)));
    }
}
