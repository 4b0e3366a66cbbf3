//! Hints between the nodes over one PostgreSQL database: an event was recorded, so whoever shows events may look.
//!
//! Hints only: they may be late, doubled or lost, and nothing depends on them but the time that a watcher waits. They are
//! sent beside the transactions that they are about, since a NOTIFY inside would make all commits wait for one another
//! (PostgreSQL takes one lock for all of them), and without a flush of their own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::dialect::postgres;

const CHANNEL: &str = "connex_events";
/// Hints within this time are one.
const TOGETHER: Duration = Duration::from_millis(10);
/// Wait after trouble.
const PAUSE: Duration = Duration::from_secs(5);

/// Hints to and from other nodes, until it is dropped.
#[derive(Debug)]
pub(super) struct Hints {
    outgoing: Arc<Notify>,
    stop: CancellationToken,
}

impl Hints {
    /// Sends hints to the other nodes, and passes theirs on to `wake`.
    pub(super) fn start(url: &str, pool: PgPool, wake: Wake) -> Self {
        let (outgoing, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        until(stop.clone(), send(pool, Arc::clone(&outgoing)));
        until(stop.clone(), receive(url.to_owned(), wake));
        Self { outgoing, stop }
    }

    /// Events were recorded here.
    pub(super) fn send(&self) {
        self.outgoing.notify_one();
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn until(stop: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "ends with the store's handles; nothing depends on it")]
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
}

async fn send(pool: PgPool, outgoing: Arc<Notify>) {
    loop {
        outgoing.notified().await;
        let told = postgres::on_pool(&pool, async |connection| {
            // A hint needs no flush; the setting ends with this one transaction.
            sqlx::raw_sql("BEGIN; SET LOCAL synchronous_commit = off; NOTIFY connex_events; COMMIT")
                .execute(connection)
                .await
        });
        let pause = if told.await.is_ok() { TOGETHER } else { PAUSE };
        tokio::time::sleep(pause).await;
    }
}

async fn receive(url: String, wake: Wake) {
    loop {
        if let Err(error) = listen(&url, &wake).await {
            tracing::debug!(error.kind = "store", temporary = true, "No hints from other nodes for now: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(url: &str, wake: &Wake) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What came while it did not listen is not known: look.
        wake.look_at_events();
        while listener.try_recv().await?.is_some() {
            wake.look_at_events();
        }
    }
}
