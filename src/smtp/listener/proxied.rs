//! Reads a load balancer's header from its connection, and not one octet more.

use std::io;
use std::net::IpAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tracing::{debug, warn};

use crate::smtp::proxy::{self, Client, Header, LONGEST};
use crate::smtp::session::Peer;

/// How long the header may take; a balancer sends it with its first packet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a balancer's connection is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It was closed before a header was whole: a balancer that looks whether we are there.
    #[error("it was closed")]
    Closed(#[source] Option<io::Error>),
    /// No whole header within [`PATIENCE`].
    #[error("no whole header came within {} s", PATIENCE.as_secs())]
    Slow,
    /// What came is no header.
    #[error(transparent)]
    Header(#[from] proxy::Fault),
}

impl Fault {
    /// As the label of a counter.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Slow => "slow",
            Self::Header(proxy::Fault::Missing) => "missing",
            Self::Header(_) => "malformed",
        }
    }

    /// The balancer is the operator's own: what it does wrong is worth a line.
    pub(super) fn report(&self, balancer: IpAddr) {
        match self {
            Self::Closed(_) => debug!(peer.ip = %balancer, "A load balancer connected and closed"),
            Self::Slow | Self::Header(_) => {
                warn!(peer.ip = %balancer, error.kind = "proxy_header", "A connection of `{balancer}`, which is listed in proxy_from, is refused: {self}");
            }
        }
    }
}

/// For whom `balancer` speaks.
pub(super) async fn peer(stream: &mut TcpStream, balancer: IpAddr) -> Result<Peer, Fault> {
    let client = timeout(PATIENCE, read(stream)).await.map_err(|_| Fault::Slow)??;
    Ok(match client {
        Client::Unnamed => Peer { address: Some(balancer), proxy: None },
        Client::At(address) => Peer { address: Some(address), proxy: Some(balancer) },
    })
}

/// What is behind the header stays in the socket: it may be a TLS handshake.
async fn read(stream: &mut TcpStream) -> Result<Client, Fault> {
    let closed = |error| Fault::Closed(Some(error));
    let mut header = Vec::with_capacity(LONGEST);
    loop {
        let begin = header.len();
        header.resize(LONGEST, 0);
        let seen = stream.peek(header.get_mut(begin..).unwrap_or_default()).await.map_err(closed)?;
        if seen == 0 {
            return Err(Fault::Closed(None));
        }
        header.truncate(begin.saturating_add(seen));
        let (length, client) = match proxy::read(&header)? {
            Header::Incomplete => (header.len(), None),
            Header::Whole { length, client } => (length, Some(client)),
        };
        header.truncate(length);
        stream.read_exact(header.get_mut(begin..).unwrap_or_default()).await.map_err(closed)?;
        if let Some(client) = client {
            return Ok(client);
        }
    }
}
