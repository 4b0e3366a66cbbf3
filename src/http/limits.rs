//! Request rates: fixed windows, told in every reply (draft-ietf-httpapi-ratelimit-headers).
//!
//! A node that is alone counts in memory and starts anew with the process: the limits protect this machine, they are no
//! bill. Nodes over one database share each quota: windows are the same for all of them, and each takes blocks of it from
//! the database, so that together they never let in more (`window` counts, [`Limiter`] asks). Memory is bounded: a
//! shard that is full forgets windows that are over, and then everything.
//!
//! # A database that does not answer
//! Limits are there to protect, so that a request is not refused, nor kept waiting long, because it could not be counted:
//! a node then lets in what it has, and after that at most what was left when it last heard; each node for itself, and the
//! sum may be over the quota by that much. What it let in so is paid when the database answers within the window. A call
//! with a key is not helped by that, since nothing can be done for it without the database; previews are.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use self::window::{Step, Window, end_of_window};
use super::error::{Code, Problem};
use crate::clock::Timestamp;
use crate::service::Service;
use crate::service::limits::{Block, BlockRequest};

mod window;

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests per window.
    pub requests: u32,
    /// Length of the window.
    pub window: Duration,
}

impl Quota {
    /// `requests` a minute.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(60) }
    }

    /// `requests` a day.
    #[must_use]
    pub const fn per_day(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(86_400) }
    }
}

/// What is left of one quota after a request was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    name: &'static str,
    quota: Quota,
    remaining: u32,
    /// Seconds until the window ends, rounded up.
    resets_in: u64,
    is_over: bool,
}

impl Standing {
    /// Whether the request was one too many.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it is of the policy `name`.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// The refusal, where the request was one too many.
    ///
    /// # Errors
    /// 429 with `Retry-After`.
    pub fn admit(&self, code: Code) -> Result<(), Problem> {
        if !self.is_over {
            return Ok(());
        }
        let Quota { requests, window } = self.quota;
        let detail = format!("The limit `{}` is {requests} requests in {} s.", self.name, window.as_secs());
        Err(Problem::new(code, detail).retry_after(self.resets_in))
    }
}

/// Writes `RateLimit-Policy` and `RateLimit` for the quotas that were counted.
pub fn write_headers(standings: &[Standing], headers: &mut HeaderMap) {
    if standings.is_empty() {
        return;
    }
    let policies: Vec<String> = standings
        .iter()
        .map(|standing| {
            format!("\"{}\";q={};w={}", standing.name, standing.quota.requests, standing.quota.window.as_secs())
        })
        .collect();
    let left: Vec<String> = standings
        .iter()
        .map(|standing| format!("\"{}\";r={};t={}", standing.name, standing.remaining, standing.resets_in))
        .collect();
    for (name, values) in [(RATELIMIT_POLICY, policies), (RATELIMIT, left)] {
        if let Ok(value) = HeaderValue::from_str(&values.join(", ")) {
            headers.insert(name, value);
        }
    }
    if let Some(over) = standings.iter().filter(|standing| standing.is_over).map(|standing| standing.resets_in).max() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(over));
    }
}

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Whose quotas a limiter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// This node is the only one.
    One,
    /// Several share each quota.
    Several,
}

/// Counts requests by `K`, whose text names the subject to other nodes.
#[derive(Debug)]
pub struct Limiter<K> {
    name: &'static str,
    quota: Option<Quota>,
    nodes: Nodes,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, Entry>>>,
    /// Until when the database is not asked again, since it did not answer; microseconds.
    silent_until: AtomicI64,
}

#[derive(Debug)]
struct Entry {
    window: Window,
    /// Held by the one request that asks for more; others of the same subject wait for what it gets.
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
}

/// What is known of a request without asking.
enum Counted {
    Done(Standing),
    /// It takes so much more, of the window that ends then.
    Ask {
        wanted: u32,
        ends_at: Timestamp,
        turn: Arc<tokio::sync::Mutex<()>>,
    },
}

impl<K: Hash + Eq + Clone + Display> Limiter<K> {
    /// A limiter under the policy name `name`; without a quota nothing is counted.
    #[must_use]
    pub fn new(name: &'static str, quota: Option<Quota>, nodes: Nodes) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { name, quota, nodes, hasher: RandomState::new(), shards, silent_until: AtomicI64::new(i64::MIN) }
    }

    /// Counts one request; `None` where the limit is lifted.
    pub async fn count(&self, key: K, service: &Service) -> Option<Standing> {
        self.count_by(key, service.clock().now(), |request| service.take_block(request)).await
    }

    /// As [`Limiter::count`], at `now`, with blocks that come from `take`.
    async fn count_by<A, E>(&self, key: K, now: Timestamp, take: impl Fn(BlockRequest) -> A) -> Option<Standing>
    where
        A: Future<Output = Result<Block, E>>,
        E: std::error::Error,
    {
        let quota = self.quota?;
        let turn = match self.count_known(&key, quota, now)? {
            Counted::Done(standing) => return Some(standing),
            Counted::Ask { turn, .. } => turn,
        };
        // Who gives up while it has the turn (its peer went away) leaves it to the next. Nobody waits for long: a question
        // has its time, after which nobody asks for a while, and each answer makes the questions that may follow fewer.
        let _turn = turn.lock().await;
        loop {
            let (wanted, ends_at) = match self.count_known(&key, quota, now)? {
                Counted::Done(standing) => return Some(standing),
                Counted::Ask { wanted, ends_at, .. } => (wanted, ends_at),
            };
            let request =
                BlockRequest { policy: self.name, subject: key.to_string(), ends_at, quota: quota.requests, wanted };
            match tokio::time::timeout(PATIENCE, take(request)).await {
                Ok(Ok(block)) => self.with_window(&key, quota, now, |entry| {
                    // What came for a window that is over is lost.
                    if entry.window.ends == ends_at {
                        entry.window.take(block);
                    }
                })?,
                Ok(Err(error)) => self.note_silence(now, &error),
                Err(late) => self.note_silence(now, &late),
            }
        }
    }

    /// Counts a request as far as this node knows by itself.
    fn count_known(&self, key: &K, quota: Quota, now: Timestamp) -> Option<Counted> {
        let is_silent = now.as_micros() < self.silent_until.load(Ordering::Relaxed);
        self.with_window(key, quota, now, |entry| {
            let step = match entry.window.count() {
                Step::Ask(_) if is_silent => entry.window.count_unasked(),
                step => step,
            };
            let is_over = match step {
                Step::Admitted => false,
                Step::Over => true,
                Step::Ask(wanted) => {
                    let turn = Arc::clone(entry.turn.get_or_insert_default());
                    return Counted::Ask { wanted, ends_at: entry.window.ends, turn };
                }
            };
            let resets_in = entry.window.ends.since(now).as_millis().div_ceil(1000);
            Counted::Done(Standing {
                name: self.name,
                quota,
                remaining: entry.window.remaining(),
                resets_in: u64::try_from(resets_in).unwrap_or(u64::MAX),
                is_over,
            })
        })
    }

    /// Runs `work` on the window of `key` that `now` is in.
    fn with_window<T>(&self, key: &K, quota: Quota, now: Timestamp, work: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let place = usize::try_from(self.hasher.hash_one(key) % SHARDS).unwrap_or_default();
        let shard = self.shards.get(place)?;
        // A thread that panicked with the lock leaves counts that are as good as before.
        let mut entries = shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if entries.len() >= SHARD_CAPACITY && !entries.contains_key(key) {
            entries.retain(|_, entry| entry.window.ends > now);
            if entries.len() >= SHARD_CAPACITY {
                entries.clear();
            }
        }
        let fresh = match self.nodes {
            Nodes::One => Window::alone(quota.requests, now.plus(quota.window)),
            Nodes::Several => Window::shared(quota.requests, end_of_window(now, quota.window)),
        };
        let entry = entries.entry(key.clone()).or_insert(Entry { window: fresh, turn: None });
        if entry.window.ends <= now {
            entry.window = fresh;
        }
        Some(work(entry))
    }

    fn note_silence(&self, now: Timestamp, error: &dyn std::error::Error) {
        let until = now.plus(SILENCE).as_micros();
        if self.silent_until.fetch_max(until, Ordering::Relaxed) < now.as_micros() {
            let why: &dyn std::error::Error = error.source().unwrap_or(error);
            tracing::warn!(
                error.kind = "store",
                temporary = true,
                "Limit `{}` is counted by this node alone for now: {why}",
                self.name
            );
        }
    }
}

/// How long an answer of the database is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it is not asked after it gave none: much longer than requests wait for one answer.
const SILENCE: Duration = Duration::from_secs(5);

const SHARDS: u64 = 16;
/// 16 shards of 8,192 windows are a few megabytes at most.
const SHARD_CAPACITY: usize = 8_192;

/// Whom an address stands for: an IPv4 address, or an IPv6 /64, which is what one customer is given (RFC 6177).
#[must_use]
pub fn client_of(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => u64::try_from(u128::from(v6) >> 64).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
