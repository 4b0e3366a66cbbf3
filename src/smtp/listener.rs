//! Accepts connections and owns their tasks.
//!
//! It stops in three phases: no more connections; 421 to sessions between messages while those inside one finish it; after
//! the grace the rest is dropped.
//!
//! From a listed load balancer the PROXY header is read first; a client's own address then counts in place of the balancer's.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::connections::serve::{self, serve};
use crate::connections::socket::{Connection, Socket};
use crate::connections::{Connections, Permit};
use crate::intake::{Acceptor, Intake};
use crate::mail::address::Domain;
use crate::mail::envelope::Door;
use crate::smtp::limits::Limits;
use crate::smtp::memory::Memory;
use crate::smtp::reply;
use crate::smtp::session::{self, Peer, Shared, Wire};
use crate::smtp::state::{Dialect, Settings};
use crate::smtp::tenants::Tenants;
use crate::tls::ServerTls;

mod proxied;

/// How a listener is set up.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// [`Door::Smtp`] (STARTTLS where there is a certificate) or [`Door::Smtps`] (TLS from the first byte); every other door
    /// speaks LMTP, in the clear.
    pub door: Door,
    /// What the server calls itself.
    pub hostname: Domain,
    /// Bounds of this listener and its sessions.
    pub limits: Limits,
    /// Certificate; [`Door::Smtps`] needs one.
    pub tls: Option<Arc<ServerTls>>,
    /// Load balancers whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
}

/// A bound socket with all that its sessions need.
#[derive(Debug)]
pub struct Listener<I> {
    socket: Socket,
    door: Door,
    settings: Arc<Settings>,
    tls: Option<Arc<ServerTls>>,
    proxy_from: Vec<IpNet>,
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
        Ok(Self::new(Socket::at(address)?, options, intake, acceptor))
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
        Ok(Self::new(Socket::in_file(path, mode)?, options, intake, acceptor))
    }

    fn new(socket: Socket, options: ListenerOptions, intake: Arc<I>, acceptor: Acceptor) -> Self {
        let ListenerOptions { door, hostname, limits, tls, proxy_from } = options;
        let dialect = match door {
            Door::Smtp | Door::Smtps => Dialect::Smtp,
            _ => Dialect::Lmtp,
        };
        let settings = Arc::new(Settings::new(&hostname, limits).speaking(dialect));
        let tls = tls.filter(|_| dialect == Dialect::Smtp);
        Self { socket, door, settings, tls, proxy_from, intake, acceptor }
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
        let Self { socket, door, settings, tls, proxy_from, intake, acceptor } = self;
        let limits = settings.limits();
        let connections = Connections::new(limits.connections, limits.connections_per_address)
            .per_network(limits.connections_per_network)
            .per_minute(limits.connects_per_minute);
        let tenants = Tenants::new(limits.transactions_per_tenant);
        let memory = Memory::new(limits.body_memory);
        let grace = limits.shutdown_grace;
        let shared =
            Arc::new(Shared { settings, door, tls, intake, acceptor, tenants, memory, shutdown: shutdown.clone() });
        serve(Entrance { shared, connections, proxy_from }, socket, shutdown, grace).await;
    }
}

/// Where connections become sessions.
struct Entrance<I> {
    shared: Arc<Shared<I>>,
    connections: Connections,
    proxy_from: Vec<IpNet>,
}

impl<I: Intake> serve::Door for Entrance<I> {
    const NAME: &'static str = "SMTP or LMTP";

    fn admit(&self, connection: Connection, sessions: &mut JoinSet<()>) {
        match connection {
            Connection::Local(stream) => match self.connections.permit_without_address() {
                Some(permit) => self.serve(sessions, permit, Wire::Local(stream), Peer::default()),
                None => too_many(stream.into_std(), self.shared.door, None),
            },
            Connection::Tcp(stream, peer) if self.proxy_from.iter().any(|network| network.contains(&peer)) => {
                match self.connections.permit_without_address() {
                    Some(permit) => self.serve_proxied(sessions, permit, stream, peer),
                    None => too_many(stream.into_std(), self.shared.door, Some(peer)),
                }
            }
            Connection::Tcp(stream, peer) => match self.connections.permit(peer) {
                Some(permit) => {
                    self.serve(sessions, permit, Wire::plain(stream), Peer { address: Some(peer), proxy: None });
                }
                None => too_many(stream.into_std(), self.shared.door, Some(peer)),
            },
        }
    }

    fn panicked(&self) {
        metrics::counter!("connex_smtp_session_panics_total").increment(1);
        error!("An SMTP session panicked; its peer was cut off and nothing answered 250 is lost");
    }

    fn accept_failed(&self) {
        metrics::counter!("connex_smtp_accept_errors_total").increment(1);
    }
}

impl<I: Intake> Entrance<I> {
    fn serve(&self, sessions: &mut JoinSet<()>, permit: Permit, wire: Wire, peer: Peer) {
        let shared = Arc::clone(&self.shared);
        sessions.spawn(async move {
            let _counted = Counted::new(permit);
            session::run(shared, wire, peer).await;
        });
    }

    /// As [`Entrance::serve`], once the balancer has said for whom it speaks.
    fn serve_proxied(&self, sessions: &mut JoinSet<()>, mut permit: Permit, mut stream: TcpStream, balancer: IpAddr) {
        let (shared, connections) = (Arc::clone(&self.shared), self.connections.clone());
        sessions.spawn(async move {
            let outcome = tokio::select! {
                peer = proxied::peer(&mut stream, balancer) => peer,
                () = shared.shutdown.cancelled() => return,
            };
            let label = outcome.as_ref().map_or_else(|fault| fault.reason(), |_| "ok");
            metrics::counter!("connex_smtp_proxy_headers_total", "outcome" => label).increment(1);
            let peer = match outcome {
                Ok(peer) => peer,
                Err(fault) => return fault.report(balancer),
            };
            if peer.address.is_some_and(|address| !connections.count_for(address, &mut permit)) {
                return too_many(stream.into_std(), shared.door, peer.address);
            }
            let _counted = Counted::new(permit);
            session::run(shared, Wire::plain(stream), peer).await;
        });
    }
}

/// Sends a connection away without waiting for anything: the send buffer of a new connection has room for a 421.
fn too_many(stream: io::Result<impl Write>, door: Door, peer: Option<IpAddr>) {
    metrics::counter!("connex_smtp_refused_total", "reason" => reply::TOO_MANY_CONNECTIONS.reason()).increment(1);
    debug!(peer.ip = peer.map(tracing::field::display), "A connection too many is sent away");
    if door == Door::Smtps {
        return;
    }
    let mut farewell = Vec::new();
    reply::TOO_MANY_CONNECTIONS.write(&mut farewell);
    if let Ok(mut stream) = stream {
        let _ = stream.write(&farewell);
    }
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
