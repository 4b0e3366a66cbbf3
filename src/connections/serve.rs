//! The accept loop of every mail door, and the end of its sessions.
//!
//! Run within one named task of the program; sessions live in a `JoinSet` of the loop, so that nothing outlives it and a
//! panic in one is seen and ends only that one. An error of accept never ends the loop: where file descriptors or memory
//! are short it waits a little, and the connections wait in the backlog.

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::is_about_one_connection;
use super::listening::Listening;
use super::socket::{Connection, Socket};

/// Waits after an accept that failed for want of resources: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a door does about its connections.
pub trait Door {
    /// What it is called in logs.
    const NAME: &'static str;

    /// Starts the session of a connection in `sessions`, or sends it away. It must not wait.
    fn admit(&self, connection: Connection, sessions: &mut JoinSet<()>);

    /// A session panicked.
    fn panicked(&self);

    /// What the operator sees of it.
    fn listening(&mut self) -> &mut Listening;
}

/// Serves until `shutdown`, then lets the sessions end within `grace`.
pub async fn serve<D: Door>(mut door: D, socket: Socket, shutdown: CancellationToken, grace: Duration) {
    let mut sessions = JoinSet::new();
    let mut wait = BACK_OFF.0;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.join_next() => note(&door, ended),
            accepted = socket.accept() => match accepted {
                Ok(connection) => {
                    wait = BACK_OFF.0;
                    door.listening().accepted();
                    door.admit(connection, &mut sessions);
                }
                Err(error) if is_about_one_connection(&error) => door.listening().accepted(),
                Err(error) => {
                    warn!(error.kind = %error, "Connections to the {} door cannot be accepted now; waiting {} ms", D::NAME, wait.as_millis());
                    door.listening().cannot_accept();
                    tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => break }
                    wait = (wait * 2).min(BACK_OFF.1);
                }
            },
        }
    }
    drop(socket);
    door.listening().end();
    let drained = timeout(grace, async {
        while let Some(ended) = sessions.join_next().await {
            note(&door, ended);
        }
    });
    if drained.await.is_err() {
        warn!("{} sessions of the {} door did not end in time and are dropped", sessions.len(), D::NAME);
        sessions.shutdown().await;
    }
    info!("The {} door has closed", D::NAME);
}

fn note(door: &impl Door, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        door.panicked();
    }
}
