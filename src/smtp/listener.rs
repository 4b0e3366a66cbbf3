//! Accepts connections and owns their tasks.
//!
//! The listener is itself run as one named task of the program; its sessions live in its own `JoinSet`, so that nothing
//! outlives it and a panic in one is seen, counted, and ends only that one. It stops in three phases: no more
//! connections; 421 to sessions between messages while those inside one finish it; after the grace the rest is dropped.
//!
//! From a listed load balancer the PROXY header is read first; a client's own address then counts in place of the balancer's.
//!
//! An error of accept never ends the listener: where file descriptors or memory are short it waits a little, and the
//! connections wait in the backlog.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::connections::listening::{Listeners, Listening, Open};
use crate::connections::socket::{Connection, Socket};
use crate::connections::{Connections, Permit, TooMany, is_about_one_connection};
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

/// Waits after an accept that failed for want of resources: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

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
    listeners: Listeners,
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
        Self { socket, door, settings, tls, proxy_from, intake, acceptor, listeners: Listeners::default() }
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
        let Self { socket, door, settings, tls, proxy_from, intake, acceptor, listeners } = self;
        let listening = listeners.add(name(door, &socket), &socket);
        let limits = settings.limits();
        let connections = Connections::new(limits.connections, limits.connections_per_address)
            .per_network(limits.connections_per_network)
            .per_minute(limits.connects_per_minute);
        let tenants = Tenants::new(limits.transactions_per_tenant);
        let memory = Memory::new(limits.body_memory);
        let grace = limits.shutdown_grace;
        let shared =
            Arc::new(Shared { settings, door, tls, intake, acceptor, tenants, memory, shutdown: shutdown.clone() });
        let mut entrance = Entrance { shared, connections, proxy_from, listening, sessions: JoinSet::new() };
        let mut wait = BACK_OFF.0;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = entrance.sessions.join_next() => note(ended),
                accepted = socket.accept() => match accepted {
                    Ok(connection) => {
                        wait = BACK_OFF.0;
                        entrance.listening.accepted();
                        entrance.admit(connection);
                    }
                    Err(error) if is_about_one_connection(&error) => entrance.listening.accepted(),
                    Err(error) => {
                        warn!(error.kind = %error, "Connections cannot be accepted now; waiting {} ms", wait.as_millis());
                        entrance.listening.cannot_accept();
                        tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => break }
                        wait = (wait * 2).min(BACK_OFF.1);
                    }
                },
            }
        }
        drop(socket);
        entrance.listening.end();
        finish(entrance.sessions, grace).await;
    }
}

/// Where connections become sessions.
struct Entrance<I> {
    shared: Arc<Shared<I>>,
    connections: Connections,
    proxy_from: Vec<IpNet>,
    listening: Listening,
    sessions: JoinSet<()>,
}

impl<I: Intake> Entrance<I> {
    /// Starts the session of a connection, or sends it away at once.
    fn admit(&mut self, connection: Connection) {
        match connection {
            Connection::Local(stream) => match self.connections.permit_without_address() {
                Ok(permit) => self.serve(permit, Wire::Local(stream), Peer::default()),
                Err(too_many) => self.send_away(stream.into_std(), None, too_many),
            },
            Connection::Tcp(stream, peer) if self.proxy_from.iter().any(|network| network.contains(&peer)) => {
                match self.connections.permit_without_address() {
                    Ok(permit) => self.serve_proxied(permit, stream, peer),
                    Err(too_many) => self.send_away(stream.into_std(), Some(peer), too_many),
                }
            }
            Connection::Tcp(stream, peer) => match self.connections.permit(peer) {
                Ok(permit) => {
                    self.serve(permit, Wire::plain(stream), Peer { address: Some(peer), proxy: None });
                }
                Err(too_many) => self.send_away(stream.into_std(), Some(peer), too_many),
            },
        }
    }

    fn send_away(&self, stream: io::Result<impl Write>, peer: Option<IpAddr>, too_many: TooMany) {
        self.listening.refused(too_many.reason());
        say_too_many(stream, self.shared.door, peer);
    }

    fn serve(&mut self, permit: Permit, wire: Wire, peer: Peer) {
        let (shared, open) = (Arc::clone(&self.shared), self.listening.opened());
        self.sessions.spawn(async move {
            let _counted: (Permit, Open) = (permit, open);
            session::run(shared, wire, peer).await;
        });
    }

    /// As [`Entrance::serve`], once the balancer has said for whom it speaks.
    fn serve_proxied(&mut self, mut permit: Permit, mut stream: TcpStream, balancer: IpAddr) {
        let (shared, connections, open) = (Arc::clone(&self.shared), self.connections.clone(), self.listening.opened());
        self.sessions.spawn(async move {
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
    if door == Door::Smtps {
        return;
    }
    let mut farewell = Vec::new();
    reply::TOO_MANY_CONNECTIONS.write(&mut farewell);
    if let Ok(mut stream) = stream {
        let _ = stream.write(&farewell);
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

#[cfg(test)]
mod tests;
