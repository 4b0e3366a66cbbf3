//! How often a wrong password may be given: per account, per address, and per browser that was signed in before.
//!
//! Each subject has some tries at once, and gets one more after each interval. A try is taken before the password is judged
//! and given back when it was right, so that many at the same moment are no more than one after the other. Nobody is ever
//! locked out: whoever waits an interval may try again, and a browser from which a person signed in before has tries of its
//! own, which no stranger can use up.
//!
//! Counted in memory, by each node for itself. Memory is bounded: when it is full, subjects that have all their tries
//! are forgotten, and then all.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// Whose tries are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject<'s> {
    /// An account, whether it exists or not: the tenant's name and the address in the form for comparison.
    Account(&'s str, &'s str),
    /// An IPv4 address, or an IPv6 /64, which is what one customer is given (RFC 6177).
    Address(u64),
    /// A browser from which the person signed in before.
    Browser(&'s [u8]),
}

impl Subject<'_> {
    /// The address of a peer; `None` for those that many have together, as a proxy in front has: one must not use up the
    /// tries of all.
    pub(super) fn address(peer: IpAddr) -> Option<Self> {
        match peer.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() || v4.is_private() || v4.is_link_local() => None,
            IpAddr::V4(v4) => Some(Self::Address(u64::from(u32::from(v4)))),
            IpAddr::V6(v6) if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() => None,
            IpAddr::V6(v6) => Some(Self::Address(u64::try_from(u128::from(v6) >> 64).unwrap_or_default())),
        }
    }

    /// Tries at once, and after how long there is one more.
    const fn rate(self) -> (i64, Duration) {
        match self {
            Self::Account(..) | Self::Browser(_) => (10, Duration::from_secs(30)),
            Self::Address(_) => (20, Duration::from_secs(6)),
        }
    }

    fn interval(self) -> i64 {
        i64::try_from(self.rate().1.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Counts of all subjects.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When a subject has all its tries again, in microseconds.
    full_at: Mutex<HashMap<u64, i64>>,
    hasher: RandomState,
}

/// Two megabytes at most.
const CAPACITY: usize = 65_536;

impl Throttle {
    /// Takes a try of each subject, or of none.
    ///
    /// # Errors
    /// After how long all of them have one.
    pub(super) fn take(&self, subjects: &[Subject<'_>], now: Timestamp) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.as_micros();
        let mut taken = Vec::with_capacity(subjects.len());
        let mut wait = 0;
        for subject in subjects {
            let name = self.hasher.hash_one(subject);
            let next = full_at.get(&name).copied().unwrap_or(now).max(now).saturating_add(subject.interval());
            wait = wait.max(next - now - subject.rate().0 * subject.interval());
            taken.push((name, next));
        }
        if wait > 0 {
            return Err(Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX)));
        }
        if full_at.len() + taken.len() > CAPACITY {
            full_at.retain(|_, full| *full > now);
            if full_at.len() + taken.len() > CAPACITY {
                full_at.clear();
            }
        }
        full_at.extend(taken);
        Ok(())
    }

    /// Gives the tries back: the password was right, or was not judged.
    pub(super) fn give_back(&self, subjects: &[Subject<'_>]) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        for subject in subjects {
            if let Some(full) = full_at.get_mut(&self.hasher.hash_one(subject)) {
                *full = full.saturating_sub(subject.interval());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    #[test]
    fn after_the_tries_are_used_up_one_comes_back_with_each_interval() {
        let throttle = Throttle::default();
        let ann = [Subject::Account("harbor", "ann@quay.example")];
        for _ in 0..10 {
            throttle.take(&ann, START).unwrap();
        }
        assert_eq!(throttle.take(&ann, START), Err(Duration::from_secs(30)));
        assert_eq!(throttle.take(&ann, START.plus(Duration::from_secs(29))), Err(Duration::from_secs(1)));
        let later = START.plus(Duration::from_secs(30));
        throttle.take(&ann, later).unwrap();
        assert!(throttle.take(&ann, later).is_err(), "one, and no more");
        throttle.give_back(&ann);
        throttle.take(&ann, later).unwrap();
        throttle.take(&[Subject::Account("harbor", "bob@quay.example")], later).unwrap();
    }

    #[test]
    fn a_refusal_takes_nothing_of_the_others() {
        let throttle = Throttle::default();
        let (ann, here) = (Subject::Account("harbor", "ann"), Subject::Address(1));
        for _ in 0..10 {
            throttle.take(&[ann, here], START).unwrap();
        }
        for _ in 0..50 {
            throttle.take(&[here, ann], START).unwrap_err();
        }
        for _ in 0..10 {
            throttle.take(&[here], START).unwrap();
        }
        throttle.take(&[here], START).unwrap_err();
    }

    #[test]
    fn addresses_that_many_share_are_not_counted_and_a_network_of_one_customer_is_one() {
        for shared in ["127.0.0.1", "10.1.2.3", "192.168.0.7", "::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1"] {
            assert_eq!(Subject::address(shared.parse().unwrap()), None, "{shared}");
        }
        let of = |text: &str| Subject::address(text.parse().unwrap()).unwrap();
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..=u64::try_from(CAPACITY).unwrap() {
            throttle.take(&[Subject::Address(number)], START).unwrap();
        }
        assert!(throttle.full_at.lock().unwrap().len() <= CAPACITY);
    }
}
