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

use crate::connections::listening::{Listeners, Listening, Open};
use crate::connections::serve::{self, serve};
use crate::connections::socket::{Connection, Socket};
use crate::connections::{Connections, Permit, TooMany};
use crate::intake::{Acceptor, Intake};
use crate::mail::address::Domain;
use crate::mail::envelope::Door;
use crate::smtp::limits::Limits;
use crate::smtp::pool::Pool;
use crate::smtp::reply;
use crate::smtp::session::{self, Peer, Shared, Wire};
use crate::smtp::state::{Dialect, Settings};
use crate::tls::ServerTls;

mod proxied;

/// How a listener is set up.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// [`Door::Smtp`] (STARTTLS where there is a certificate), [`Door::Smtps`] (TLS from the first byte), and the same two for
    /// submission; every other door speaks LMTP, in the clear.
    pub door: Door,
    /// What the server calls itself.
    pub hostname: Domain,
    /// Bounds of this listener and its sessions.
    pub limits: Limits,
    /// What it has together with the other listeners.
    pub pool: Pool,
    /// Certificate; without one there is neither TLS from the first byte nor submission.
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
    pool: Pool,
    tls: Option<Arc<ServerTls>>,
    proxy_from: Vec<IpNet>,
    intake: Arc<I>,
    acceptor: Acceptor,
    listeners: Listeners,
}

impl<I: Intake> Listener<I> {
    /// Binds `address`; connections wait in the backlog until [`Listener::run`].
    ///
    /// # Errors
    /// The address cannot be bound, or a door that needs a certificate has none. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, options: ListenerOptions, intake: Arc<I>, acceptor: Acceptor) -> io::Result<Self> {
        if (options.door.is_tls_first() || options.door.is_submission()) && options.tls.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "implicit TLS and submission need a certificate"));
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
        let ListenerOptions { door, hostname, limits, pool, tls, proxy_from } = options;
        let dialect = match door {
            Door::Smtp | Door::Smtps => Dialect::Smtp,
            Door::Submission | Door::Submissions => Dialect::Submission,
            _ => Dialect::Lmtp,
        };
        let settings = Arc::new(Settings::new(&hostname, limits).speaking(dialect));
        let tls = tls.filter(|_| dialect != Dialect::Lmtp);
        Self { socket, door, settings, pool, tls, proxy_from, intake, acceptor, listeners: Listeners::default() }
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

    /// Serves until `shutdown`, then lets the messages in flight end. It shows among the listeners from the call on: who is
    /// told that the gateway is ready finds every door.
    pub fn run(self, shutdown: CancellationToken) -> impl Future<Output = ()> {
        let Self { socket, door, settings, pool, tls, proxy_from, intake, acceptor, listeners } = self;
        let listening = listeners.add(name(door, &socket), &socket);
        let limits = settings.limits();
        let connections = Connections::new(limits.connections, limits.connections_per_address)
            .per_network(limits.connections_per_network)
            .per_minute(limits.connects_per_minute);
        let grace = limits.shutdown_grace;
        let shared = Arc::new(Shared { settings, door, tls, intake, acceptor, pool, shutdown: shutdown.clone() });
        serve(Entrance { shared, connections, proxy_from, listening }, socket, shutdown, grace)
    }
}

/// Where connections become sessions.
struct Entrance<I> {
    shared: Arc<Shared<I>>,
    connections: Connections,
    proxy_from: Vec<IpNet>,
    listening: Listening,
}

impl<I: Intake> serve::Door for Entrance<I> {
    const NAME: &'static str = "SMTP or LMTP";

    fn admit(&self, connection: Connection, sessions: &mut JoinSet<()>) {
        match connection {
            Connection::Local(stream) => match self.connections.permit_without_address() {
                Ok(permit) => self.serve(sessions, permit, Wire::Local(stream), Peer::default()),
                Err(too_many) => self.send_away(stream.into_std(), None, too_many),
            },
            Connection::Tcp(stream, peer) if self.proxy_from.iter().any(|network| network.contains(&peer)) => {
                match self.connections.permit_without_address() {
                    Ok(permit) => self.serve_proxied(sessions, permit, stream, peer),
                    Err(too_many) => self.send_away(stream.into_std(), Some(peer), too_many),
                }
            }
            Connection::Tcp(stream, peer) => match self.connections.permit(peer) {
                Ok(permit) => {
                    self.serve(sessions, permit, Wire::plain(stream), Peer { address: Some(peer), proxy: None });
                }
                Err(too_many) => self.send_away(stream.into_std(), Some(peer), too_many),
            },
        }
    }

    fn panicked(&self) {
        metrics::counter!("connex_smtp_session_panics_total").increment(1);
        error!("An SMTP session panicked; its peer was cut off and nothing answered 250 is lost");
    }

    fn listening(&mut self) -> &mut Listening {
        &mut self.listening
    }
}

impl<I: Intake> Entrance<I> {
    fn send_away(&self, stream: io::Result<impl Write>, peer: Option<IpAddr>, too_many: TooMany) {
        self.listening.refused(too_many.reason());
        say_too_many(stream, self.shared.door, peer);
    }

    fn serve(&self, sessions: &mut JoinSet<()>, permit: Permit, wire: Wire, peer: Peer) {
        let (shared, open) = (Arc::clone(&self.shared), self.listening.opened());
        sessions.spawn(async move {
            let _counted: (Permit, Open) = (permit, open);
            session::run(shared, wire, peer).await;
        });
    }

    /// As [`Entrance::serve`], once the balancer has said for whom it speaks.
    fn serve_proxied(&self, sessions: &mut JoinSet<()>, mut permit: Permit, mut stream: TcpStream, balancer: IpAddr) {
        let (shared, connections, open) = (Arc::clone(&self.shared), self.connections.clone(), self.listening.opened());
        sessions.spawn(async move {
            let outcome = tokio::select! {
                peer = proxied::peer(&mut stream, balancer) => peer,
                () = shared.shutdown.cancelled() => return,
            };
            let label = outcome.as_ref().map_or_else(|fault| fault.reason(), |_| "ok");
            metrics::counter!("connex_smtp_proxy_headers_total", "outcome" => label).increment(1);
            let peer = match outcome {
                Ok(peer) => peer,
                Err(fault) => {
                    open.refused("proxy_header");
                    return fault.report(balancer);
                }
            };
            let counted = peer.address.map_or(Ok(()), |address| connections.count_for(address, &mut permit));
            if let Err(too_many) = counted {
                open.refused(too_many.reason());
                return say_too_many(stream.into_std(), shared.door, peer.address);
            }
            let _counted: (Permit, Open) = (permit, open);
            session::run(shared, Wire::plain(stream), peer).await;
        });
    }
}

/// What a door is called where connections are counted.
const fn name(door: Door, socket: &Socket) -> &'static str {
    match (door, socket) {
        (Door::Smtps, _) => "smtps",
        (Door::Submission, _) => "submission",
        (Door::Submissions, _) => "submissions",
        (Door::Lmtp, Socket::Tcp(_)) => "lmtp_tcp",
        (Door::Lmtp, Socket::Local(_)) => "lmtp_unix",
        (Door::Inject, _) => "inject",
        (Door::Import, _) => "import",
        _ => "smtp",
    }
}

/// Says goodbye without waiting for anything: the send buffer of a new connection has room for a 421.
fn say_too_many(stream: io::Result<impl Write>, door: Door, peer: Option<IpAddr>) {
    debug!(peer.ip = peer.map(tracing::field::display), "A connection too many is sent away");
    if door.is_tls_first() {
        return;
    }
    let mut farewell = Vec::new();
    reply::TOO_MANY_CONNECTIONS.write(&mut farewell);
    if let Ok(mut stream) = stream {
        let _ = stream.write(&farewell);
    }
}

#[cfg(test)]
mod tests;
