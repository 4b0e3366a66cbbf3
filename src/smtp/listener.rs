//! Accepts connections and owns their tasks.
//!
//! The listener is itself run as one named task of the program; its sessions live in its own `JoinSet`, so that nothing
//! outlives it and a panic in one is seen, counted, and ends only that one. It stops in three phases: no more
//! connections; 421 to sessions between messages while those inside one finish it; after the grace the rest is dropped.
//!
//! An error of accept never ends the listener: where file descriptors or memory are short it waits a little, and the
//! connections wait in the backlog.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::connections::{Connections, Permit, is_about_one_connection};
use crate::intake::{Acceptor, Intake};
use crate::mail::address::Domain;
use crate::mail::envelope::Door;
use crate::smtp::limits::Limits;
use crate::smtp::reply;
use crate::smtp::session::{self, Shared};
use crate::smtp::state::Settings;
use crate::tls::ServerTls;

/// Connections that the kernel holds while they wait to be accepted.
const BACKLOG: u32 = 4_096;
/// Waits after an accept that failed for want of resources: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How a listener is set up.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// [`Door::Smtp`] (STARTTLS where there is a certificate) or [`Door::Smtps`] (TLS from the first byte).
    pub door: Door,
    /// What the server calls itself.
    pub hostname: Domain,
    /// Bounds of this listener and its sessions.
    pub limits: Limits,
    /// Certificate; [`Door::Smtps`] needs one.
    pub tls: Option<Arc<ServerTls>>,
}

/// A bound socket with all that its sessions need.
#[derive(Debug)]
pub struct Listener<I> {
    socket: TcpListener,
    door: Door,
    settings: Arc<Settings>,
    tls: Option<Arc<ServerTls>>,
    intake: Arc<I>,
    acceptor: Acceptor,
}

impl<I: Intake> Listener<I> {
    /// Binds `address`; connections wait in the backlog until [`Listener::run`].
    ///
    /// # Errors
    /// The address cannot be bound, or implicit TLS is asked for without a certificate. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, options: ListenerOptions, intake: Arc<I>, acceptor: Acceptor) -> io::Result<Self> {
        if options.door == Door::Smtps && options.tls.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "implicit TLS needs a certificate"));
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            door: options.door,
            settings: Arc::new(Settings::new(&options.hostname, options.limits)),
            tls: options.tls,
            intake,
            acceptor,
        })
    }

    /// The address that was bound, with the port where 0 was asked for.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown`, then lets the messages in flight end.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { socket, door, settings, tls, intake, acceptor } = self;
        let limits = settings.limits();
        let connections = Connections::new(limits.connections, limits.connections_per_address);
        let grace = limits.shutdown_grace;
        let shared = Arc::new(Shared { settings, door, tls, intake, acceptor, shutdown: shutdown.clone() });
        let mut sessions = JoinSet::new();
        let mut wait = BACK_OFF.0;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = sessions.join_next() => note(ended),
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        wait = BACK_OFF.0;
                        admit(&shared, &connections, &mut sessions, stream, peer.ip().to_canonical());
                    }
                    Err(error) if is_about_one_connection(&error) => {}
                    Err(error) => {
                        warn!(error.kind = %error, "Connections cannot be accepted now; waiting {} ms", wait.as_millis());
                        metrics::counter!("connex_smtp_accept_errors_total").increment(1);
                        tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => break }
                        wait = (wait * 2).min(BACK_OFF.1);
                    }
                },
            }
        }
        drop(socket);
        finish(sessions, grace).await;
    }
}

/// Starts the session of a connection, or sends it away at once.
fn admit<I: Intake>(
    shared: &Arc<Shared<I>>,
    connections: &Connections,
    sessions: &mut JoinSet<()>,
    stream: TcpStream,
    peer: IpAddr,
) {
    let Some(permit) = connections.permit(peer) else {
        metrics::counter!("connex_smtp_refused_total", "reason" => reply::TOO_MANY_CONNECTIONS.reason()).increment(1);
        debug!(peer.ip = %peer, "A connection too many is sent away");
        if shared.door == Door::Smtp {
            send_away(stream);
        }
        return;
    };
    // A reply must not wait for an acknowledgement; without the option all still works.
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(shared);
    sessions.spawn(async move {
        let _counted = Counted::new(permit);
        session::run(shared, stream, peer).await;
    });
}

/// Says 421 without waiting for anything: the send buffer of a new connection has room.
fn send_away(stream: TcpStream) {
    let mut farewell = Vec::new();
    reply::TOO_MANY_CONNECTIONS.write(&mut farewell);
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(&farewell);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("connex_smtp_session_panics_total").increment(1);
        error!("An SMTP session panicked; its peer was cut off and nothing answered 250 is lost");
    }
}

async fn finish(mut sessions: JoinSet<()>, grace: Duration) {
    let drained = timeout(grace, async {
        while let Some(ended) = sessions.join_next().await {
            note(ended);
        }
    });
    if drained.await.is_err() {
        warn!("{} sessions did not end in time and are dropped", sessions.len());
        sessions.shutdown().await;
    }
    info!("The listener has stopped");
}

/// A permit that also shows in the gauge of open sessions.
struct Counted {
    _permit: Permit,
}

impl Counted {
    fn new(permit: Permit) -> Self {
        metrics::gauge!("connex_smtp_sessions").increment(1.0);
        Self { _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("connex_smtp_sessions").decrement(1.0);
    }
}

#[cfg(test)]
mod tests;
