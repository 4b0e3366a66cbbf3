//! Accepts the connections of mail servers and owns their tasks.
//!
//! Run as one named task of the program; its sessions live in its own `JoinSet`. A connection that is not from a listed
//! network is closed at once. At shutdown a message in flight is still kept, within a grace.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Limits;
use super::session::{self, Shared};
use super::shown::Missed;
use crate::connections::listening::{Listeners, Listening, Open};
use crate::connections::socket::{Connection, Socket};
use crate::connections::{Connections, Permit, is_about_one_connection};
use crate::ids::SessionId;
use crate::intake::{Acceptor, Intake};
use crate::mail::address::Mailbox;

/// Wait after an accept that failed for want of resources.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How a listener is set up.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Bounds of this listener and its sessions.
    pub limits: Limits,
    /// Networks from which mail servers connect.
    pub peers: Vec<IpNet>,
    /// Address of the route that the copies are for.
    pub route: Mailbox,
}

/// A bound socket with all that its sessions need.
#[derive(Debug)]
pub struct Listener<I> {
    socket: Socket,
    options: ListenerOptions,
    intake: Arc<I>,
    acceptor: Acceptor,
    listeners: Listeners,
}

impl<I: Intake> Listener<I> {
    /// Binds `address`.
    ///
    /// # Errors
    /// The address cannot be bound. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, options: ListenerOptions, intake: Arc<I>, acceptor: Acceptor) -> io::Result<Self> {
        Ok(Self { socket: Socket::at(address)?, options, intake, acceptor, listeners: Listeners::default() })
    }

    /// Makes a socket file that may be used as `mode` says; it is removed when the listener ends.
    ///
    /// # Errors
    /// The file cannot be made: somebody listens there, or another file has its name. Needs a tokio runtime.
    pub fn bind_file(
        (path, mode): (&Path, u32),
        options: ListenerOptions,
        intake: Arc<I>,
        acceptor: Acceptor,
    ) -> io::Result<Self> {
        Ok(Self { socket: Socket::in_file(path, mode)?, options, intake, acceptor, listeners: Listeners::default() })
    }

    /// The same, which shows among `listeners`.
    #[must_use]
    pub fn among(self, listeners: &Listeners) -> Self {
        Self { listeners: listeners.clone(), ..self }
    }

    /// The address that was bound, with the port where 0 was asked for.
    ///
    /// # Errors
    /// The operating system does not say, or it is a file.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown`, then lets the messages in flight end.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { socket, options: ListenerOptions { limits, peers, route }, intake, acceptor, listeners } = self;
        // Mail servers are few, and each has many connections.
        let connections = Connections::new(limits.connections, limits.connections);
        let shared = Arc::new(Shared { limits, route, intake, acceptor, shutdown: shutdown.clone() });
        let entrance = Entrance { shared, connections, peers, listening: listeners.add("milter", &socket) };
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = sessions.join_next() => note(ended),
                accepted = socket.accept() => match accepted {
                    Ok(connection) => {
                        entrance.listening.accepted();
                        entrance.admit(connection, &mut sessions);
                    }
                    Err(error) if is_about_one_connection(&error) => entrance.listening.accepted(),
                    Err(error) => {
                        entrance.listening.cannot_accept();
                        warn!(error.kind = %error, "Connections of mail servers cannot be accepted now");
                        tokio::select! { () = sleep(BACK_OFF) => {}, () = shutdown.cancelled() => break }
                    }
                },
            }
        }
        drop(socket);
        entrance.listening.end();
        let drained = timeout(limits.shutdown_grace, async {
            while let Some(ended) = sessions.join_next().await {
                note(ended);
            }
        });
        if drained.await.is_err() {
            warn!("{} connections of mail servers did not end in time and are dropped", sessions.len());
            sessions.shutdown().await;
        }
        info!("The milter door has closed");
    }
}

/// Where connections become sessions.
struct Entrance<I> {
    shared: Arc<Shared<I>>,
    connections: Connections,
    peers: Vec<IpNet>,
    listening: Listening,
}

impl<I: Intake> Entrance<I> {
    /// Starts the session of a connection, or closes it.
    fn admit(&self, connection: Connection, sessions: &mut JoinSet<()>) {
        let peer = match &connection {
            Connection::Tcp(_, peer) => Some(*peer),
            Connection::Local(_) => None,
        };
        if peer.is_some_and(|peer| !is_listed(peer, &self.peers)) {
            self.listening.refused("peer");
            warn!(
                peer.ip = peer.map(tracing::field::display),
                "A connection to the milter door is not from milter.peers"
            );
            return;
        }
        let permit = match self.connections.permit_without_address() {
            Ok(permit) => permit,
            Err(too_many) => {
                self.listening.refused(too_many.reason());
                session::report(self.shared.acceptor.clock().mint::<SessionId>(), None, Missed::Connections);
                return;
            }
        };
        let (shared, open) = (Arc::clone(&self.shared), self.listening.opened());
        sessions.spawn(async move {
            let _counted: (Permit, Open) = (permit, open);
            match connection {
                Connection::Tcp(stream, peer) => {
                    // Answers are small, and are waited for.
                    let _ = stream.set_nodelay(true);
                    session::run(shared, stream, Some(peer)).await;
                }
                Connection::Local(stream) => session::run(shared, stream, None).await,
            }
        });
    }
}

fn is_listed(peer: IpAddr, peers: &[IpNet]) -> bool {
    peers.iter().any(|network| network.contains(&peer))
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("connex_milter_missed_total", "reason" => Missed::Panic.reason()).increment(1);
        tracing::error!(error.kind = Missed::Panic.reason(), "A session of the milter door panicked");
    }
}
