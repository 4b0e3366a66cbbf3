//! From a bound socket to answered requests, until told to stop.
//!
//! HTTP/1.1 alone (RFC 9112), in the clear or behind TLS: a proxy in front speaks to the outside whatever it likes. The loop is run as one named task
//! of the program; its connections live in its own `JoinSet`, so that nothing outlives it.
//!
//! # Security
//! A connection is counted before anything is read from it, and one too many is closed at once. One that sends half a
//! request, none at all, or does not read its reply is closed when its time is over ([`ServeLimits`]). An error of accept
//! never ends the loop: where file descriptors are short it waits a little.

mod connection;
mod pulse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::connections::listening::{Listeners, Listening, Open};
use crate::connections::{Connections, Permit, is_about_one_connection};
use crate::tls::ServerTls;

/// Waits after an accept that failed for want of resources: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Handles at most `concurrency` requests at the same time; more wait. A stream that was begun does not count.
pub fn bounded(router: Router, concurrency: u32) -> Router {
    let concurrency = usize::try_from(concurrency).unwrap_or(usize::MAX);
    router.layer(GlobalConcurrencyLimitLayer::new(concurrency))
}

/// Bounds of the connections at one door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections in all.
    pub connections: u32,
    /// Connections from one address.
    pub connections_per_address: u32,
    /// From the first byte of a request to the end of its header; a TLS handshake as well.
    pub header_timeout: Duration,
    /// Silence before the first byte of a request, and of a peer that does not read its reply. A reply that takes its time,
    /// such as a stream of events, is no silence.
    pub idle_timeout: Duration,
}

/// What one door serves, and the connections of all its listeners. Clones count together.
#[derive(Debug, Clone)]
pub struct Server {
    name: &'static str,
    router: Router,
    limits: ServeLimits,
    connections: Connections,
    listeners: Listeners,
    tls: Option<Arc<ServerTls>>,
}

impl Server {
    /// Serves `router` at the door `name`, which its metrics carry.
    #[must_use]
    pub fn new(name: &'static str, router: Router, limits: ServeLimits) -> Self {
        let [in_all, per_address] = [limits.connections, limits.connections_per_address]
            .map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Self {
            name,
            router,
            limits,
            connections: Connections::new(in_all, per_address),
            listeners: Listeners::default(),
            tls: None,
        }
    }

    /// The same, whose listeners show among `listeners`.
    #[must_use]
    pub fn among(self, listeners: &Listeners) -> Self {
        Self { listeners: listeners.clone(), ..self }
    }

    /// The same door behind TLS, where `tls` is some; its connections have the same bound together with the others.
    #[must_use]
    pub fn with_tls(self, name: &'static str, tls: Option<Arc<ServerTls>>) -> Self {
        Self { name, tls, ..self }
    }

    /// Serves on `listener` until `stop`; requests that were begun are answered, idle connections closed. It shows among the
    /// listeners from the call on.
    pub fn run(self, listener: TcpListener, stop: CancellationToken) -> impl Future<Output = ()> {
        let place = listener.local_addr().map_or_else(|_| "an address".to_owned(), |address| address.to_string());
        let listening = self.listeners.add(self.name, &place);
        self.accept(listener, listening, stop)
    }

    async fn accept(self, listener: TcpListener, mut listening: Listening, stop: CancellationToken) {
        let mut open = JoinSet::new();
        let mut wait = BACK_OFF.0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = open.join_next() => self.note(&ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        wait = BACK_OFF.0;
                        listening.accepted();
                        self.admit(&listening, &mut open, stream, peer, &stop);
                    }
                    Err(error) if is_about_one_connection(&error) => listening.accepted(),
                    Err(error) => {
                        tracing::warn!(error.kind = %error, "HTTP connections cannot be accepted now; waiting {} ms", wait.as_millis());
                        listening.cannot_accept();
                        tokio::select! { () = sleep(wait) => {}, () = stop.cancelled() => break }
                        wait = (wait * 2).min(BACK_OFF.1);
                    }
                },
            }
        }
        drop(listener);
        listening.end();
        // For how long is the business of the supervisor: when it drops this task, the set drops its own.
        while let Some(ended) = open.join_next().await {
            self.note(&ended);
        }
    }

    fn admit(
        &self,
        listening: &Listening,
        open: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: &CancellationToken,
    ) {
        let permit = match self.connections.permit(peer.ip()) {
            Ok(permit) => permit,
            Err(too_many) => {
                listening.refused(too_many.reason());
                tracing::debug!(peer.ip = %peer.ip(), "An HTTP connection too many is closed");
                return;
            }
        };
        // A reply must not wait for an acknowledgement; without the option all still works.
        let _ = stream.set_nodelay(true);
        let (name, limits, stop) = (self.name, self.limits, stop.clone());
        let counted: (Permit, Open) = (permit, listening.opened());
        let (router, tls) = (self.router.clone(), self.tls.clone());
        open.spawn(async move {
            let _counted = counted;
            let overdue = match tls {
                None => connection::serve(stream, peer, router, limits, stop).await,
                Some(tls) => match connection::secure(stream, &tls, limits, &stop).await {
                    Ok(stream) => connection::serve(stream, peer, router, limits, stop).await,
                    Err(overdue) => overdue,
                },
            };
            if let Some(overdue) = overdue {
                metrics::counter!("connex_http_timeouts_total", "door" => name, "waited_for" => overdue.word())
                    .increment(1);
            }
        });
    }

    fn note(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            metrics::counter!("connex_task_panics_total", "task" => self.name).increment(1);
            tracing::error!(error.kind = "panic", "An HTTP connection panicked; its peer was cut off");
        }
    }
}

#[cfg(test)]
mod tests;
