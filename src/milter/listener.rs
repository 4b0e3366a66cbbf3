//! Accepts the connections of mail servers and owns their tasks.
//!
//! A connection that is not from a listed network is closed at once. At shutdown a message in flight is still kept, within a
//! grace.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Limits;
use super::session::{self, Shared};
use super::shown::Missed;
use crate::connections::listening::{Listeners, Listening, Open};
use crate::connections::serve::{self, serve};
use crate::connections::socket::{Connection, Socket};
use crate::connections::{Connections, Permit};
use crate::ids::SessionId;
use crate::intake::{Acceptor, Intake};
use crate::mail::address::Mailbox;

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

    /// Serves until `shutdown`, then lets the messages in flight end. It shows among the listeners from the call on.
    pub fn run(self, shutdown: CancellationToken) -> impl Future<Output = ()> {
        let Self { socket, options: ListenerOptions { limits, peers, route }, intake, acceptor, listeners } = self;
        // Mail servers are few, and each has many connections.
        let connections = Connections::new(limits.connections, limits.connections);
        let shared = Arc::new(Shared { limits, route, intake, acceptor, shutdown: shutdown.clone() });
        let listening = listeners.add("milter", &socket);
        serve(Entrance { shared, connections, peers, listening }, socket, shutdown, limits.shutdown_grace)
    }
}

/// Where connections become sessions.
struct Entrance<I> {
    shared: Arc<Shared<I>>,
    connections: Connections,
    peers: Vec<IpNet>,
    listening: Listening,
}

impl<I: Intake> serve::Door for Entrance<I> {
    const NAME: &'static str = "milter";

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

    fn panicked(&self) {
        metrics::counter!("connex_milter_missed_total", "reason" => Missed::Panic.reason()).increment(1);
        tracing::error!(error.kind = Missed::Panic.reason(), "A session of the milter door panicked");
    }

    fn listening(&mut self) -> &mut Listening {
        &mut self.listening
    }
}

fn is_listed(peer: IpAddr, peers: &[IpNet]) -> bool {
    peers.iter().any(|network| network.contains(&peer))
}
