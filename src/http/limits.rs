//! Request rates: fixed windows counted in memory, told in every reply (draft-ietf-httpapi-ratelimit-headers).
//!
//! Counting is per process and starts anew with it: the limits protect this machine, they are no bill. Memory is bounded:
//! a shard that is full forgets windows that are over, and then everything.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::{Code, Problem};
use crate::clock::Timestamp;

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

/// Counts requests by `K`.
#[derive(Debug)]
pub struct Limiter<K> {
    name: &'static str,
    quota: Option<Quota>,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, Window>>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Timestamp,
    used: u32,
}

impl<K: Hash + Eq> Limiter<K> {
    /// A limiter under the policy name `name`; without a quota nothing is counted.
    #[must_use]
    pub fn new(name: &'static str, quota: Option<Quota>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { name, quota, hasher: RandomState::new(), shards }
    }

    /// Counts one request; `None` where the limit is lifted.
    pub fn count(&self, key: K, now: Timestamp) -> Option<Standing> {
        let quota = self.quota?;
        let place = usize::try_from(self.hasher.hash_one(&key) % SHARDS).unwrap_or_default();
        let shard = self.shards.get(place)?;
        // A thread that panicked with the lock leaves counts that are as good as before.
        let mut windows = shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if windows.len() >= SHARD_CAPACITY && !windows.contains_key(&key) {
            windows.retain(|_, window| window.ends > now);
            if windows.len() >= SHARD_CAPACITY {
                windows.clear();
            }
        }
        let fresh = Window { ends: now.plus(quota.window), used: 0 };
        let window = windows.entry(key).or_insert(fresh);
        if window.ends <= now {
            *window = fresh;
        }
        let is_over = window.used >= quota.requests;
        if !is_over {
            window.used += 1;
        }
        let resets_in = window.ends.since(now).as_millis().div_ceil(1000);
        Some(Standing {
            name: self.name,
            quota,
            remaining: quota.requests.saturating_sub(window.used),
            resets_in: u64::try_from(resets_in).unwrap_or(u64::MAX),
            is_over,
        })
    }
}

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
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_window_admits_its_quota_and_then_refuses_until_it_ends() {
        let limiter = Limiter::new("preview", Some(Quota::per_minute(2)));
        assert!(!limiter.count(1, at(0)).unwrap().is_over());
        let second = limiter.count(1, at(10)).unwrap();
        assert!(!second.is_over() && second.remaining == 0 && second.resets_in == 50);
        let third = limiter.count(1, at(11)).unwrap();
        let problem = third.admit(Code::RateLimited).unwrap_err();
        assert_eq!(problem.code(), Code::RateLimited);
        assert!(!limiter.count(2, at(11)).unwrap().is_over(), "another client is not held");
        assert!(!limiter.count(1, at(60)).unwrap().is_over(), "the next window admits again");
    }

    #[test]
    fn refused_requests_do_not_lengthen_the_wait() {
        let limiter = Limiter::new("preview", Some(Quota::per_minute(1)));
        for second in 0..60 {
            limiter.count((), at(second));
        }
        assert!(!limiter.count((), at(60)).unwrap().is_over());
    }

    #[test]
    fn headers_name_policy_and_rest() {
        let limiter = Limiter::new("default", Some(Quota::per_minute(600)));
        let mut headers = HeaderMap::new();
        write_headers(&[limiter.count(1, at(48)).unwrap()], &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"default\";q=600;w=60");
        assert_eq!(headers["ratelimit"], "\"default\";r=599;t=60");
        assert!(!headers.contains_key("retry-after"));
    }

    #[test]
    fn a_lifted_limit_counts_nothing() {
        assert_eq!(Limiter::new("preview", None).count(1, at(0)), None);
    }

    #[test]
    fn memory_is_bounded_however_many_clients_come() {
        let limiter = Limiter::new("preview", Some(Quota::per_minute(1)));
        for client in 0..200_000u32 {
            limiter.count(client, at(0));
        }
        let held: usize = limiter.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= 16 * SHARD_CAPACITY);
    }

    #[test]
    fn one_customer_network_is_one_client() {
        let client = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }
}
