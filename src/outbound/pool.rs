//! Connections that wait for another message to the same server.
//!
//! A connection is taken again by whoever asks the same of it: the same server at the same address, the same encryption, the
//! same trust in its certificate, and the same credentials. Whose mail it is does not matter, but at the relay of a customer:
//! its connections carry mail of that customer's domain alone. One that waited for long, is old or has carried enough is closed
//! in place of being taken.
//!
//! It must never hand out a connection that was made under other conditions, and it says nothing on one but QUIT.
//!
//! Standards: RFC 5321 §4.1.1.5 (RSET), §4.5.3.2.7 (servers wait five minutes for a command).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::dialogue::{Credentials, Encryption};
use super::reply::Offer;
use super::tls::Trust;
use super::wire::Wire;

/// How long connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Transactions of one connection; with one, none is kept.
    pub transactions: u32,
    /// After this time no transaction is begun on it.
    pub age: Duration,
    /// How long it waits for the next one.
    pub idle: Duration,
}

impl Reuse {
    /// A connection for each message.
    pub const NEVER: Self = Self { transactions: 1, age: Duration::ZERO, idle: Duration::ZERO };
}

/// Connections that wait, over all servers: each is a socket on both sides.
const MOST: usize = 256;

/// What was asked of a connection; one is taken again under the same alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) encryption: Encryption,
    pub(super) trust: Trust,
    pub(super) credentials: Option<Credentials>,
    /// Whose relay it is, where it is a customer's.
    pub(super) account: Option<Arc<str>>,
}

/// A connection behind its greeting, between two transactions.
pub(super) struct Kept {
    pub(super) wire: Wire,
    pub(super) offer: Offer,
    pub(super) is_encrypted: bool,
    /// Transactions that were begun on it.
    pub(super) transactions: u32,
    /// Since when it is there.
    pub(super) since: Instant,
    /// Since when it waits.
    pub(super) idle_since: Instant,
}

/// The connections of a node that wait. Clones are the same one.
#[derive(Clone)]
pub struct Pool {
    reuse: Reuse,
    waiting: Arc<Mutex<HashMap<Peer, Vec<Kept>>>>,
}

impl Pool {
    /// An empty one.
    #[must_use]
    pub fn new(reuse: Reuse) -> Self {
        Self { reuse, waiting: Arc::default() }
    }

    /// The one that waited least: it is the likeliest to be open still.
    pub(super) fn take(&self, peer: &Peer) -> Option<Kept> {
        let now = Instant::now();
        let mut waiting = self.lock();
        let kept = waiting.get_mut(peer)?.pop_if(|kept| self.is_good(kept, now));
        if waiting.get(peer).is_some_and(Vec::is_empty) {
            waiting.remove(peer);
        }
        kept
    }

    /// Keeps a connection for the next message; gives it back where it is to be closed.
    pub(super) fn keep(&self, peer: Peer, kept: Kept) -> Option<Kept> {
        let mut waiting = self.lock();
        let is_full = waiting.values().map(Vec::len).sum::<usize>() >= MOST;
        if is_full || !self.is_good(&kept, Instant::now()) {
            return Some(kept);
        }
        waiting.entry(peer).or_default().push(kept);
        None
    }

    /// Says goodbye on connections that waited for long or are old.
    pub async fn close_old(&self) {
        let now = Instant::now();
        self.close(|kept| self.is_good(kept, now)).await;
    }

    /// Says goodbye on all.
    pub async fn close_all(&self) {
        self.close(|_| false).await;
    }

    async fn close(&self, is_kept: impl Fn(&Kept) -> bool) {
        let mut old = Vec::new();
        self.lock().retain(|_, all| {
            old.extend(all.extract_if(.., |kept| !is_kept(kept)));
            !all.is_empty()
        });
        let mut old: Vec<_> = old.into_iter().map(|kept| kept.wire).collect();
        futures_util::future::join_all(old.iter_mut().map(Wire::quit)).await;
    }

    fn is_good(&self, kept: &Kept, now: Instant) -> bool {
        let Reuse { transactions, age, idle } = self.reuse;
        kept.transactions < transactions && now - kept.since < age && now - kept.idle_since < idle
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Peer, Vec<Kept>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("reuse", &self.reuse).finish_non_exhaustive()
    }
}
