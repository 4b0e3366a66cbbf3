//! How much memory the bodies of all sessions may take while they arrive.
//!
//! A session counts for what it has taken, up to what the spool holds of one body before it writes the rest down. Where
//! nothing is left, new mail is put off: a flood must never end the program, and with it the mail of everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of one body that are in memory at most: two parts of the spool, one that fills and one that is written.
const OF_ONE_BODY: u64 = 512 * 1024;

/// The memory for bodies; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    used: Arc<AtomicU64>,
    most: u64,
}

/// What one body takes; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Share {
    memory: Memory,
    octets: u64,
}

impl Memory {
    /// So many octets.
    pub(super) fn new(most: u64) -> Self {
        Self { used: Arc::default(), most }
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.most
    }

    /// The share of a body of which nothing has come yet.
    pub(super) fn share(&self) -> Share {
        Share { memory: self.clone(), octets: 0 }
    }
}

impl Share {
    /// Counts so many octets more; whether there was room for them.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX).min(OF_ONE_BODY.saturating_sub(self.octets));
        let used = self.memory.used.fetch_add(octets, Ordering::Relaxed);
        self.octets = self.octets.saturating_add(octets);
        octets == 0 || used.saturating_add(octets) <= self.memory.most
    }
}

impl Share {
    /// As [`Share::grow`], for a body that stays in memory as a whole.
    pub(super) fn hold(&mut self, octets: usize) -> bool {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let used = self.memory.used.fetch_add(octets, Ordering::Relaxed);
        self.octets = self.octets.saturating_add(octets);
        used.saturating_add(octets) <= self.memory.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_memory_and_give_it_back() {
        let memory = Memory::new(1_000);
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.grow(600) && other.grow(400) && memory.is_spent());
        assert!(!one.grow(1), "nothing is left");
        drop(other);
        assert!(!memory.is_spent() && one.grow(1));
        drop(one);
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_body_that_stays_in_memory_counts_as_a_whole() {
        let memory = Memory::new(3 * OF_ONE_BODY);
        let mut share = memory.share();
        assert!(share.hold(1024 * 1024) && share.hold(512 * 1024) && !share.hold(1));
        drop(share);
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_large_body_counts_for_what_is_in_memory_of_it() {
        let memory = Memory::new(OF_ONE_BODY);
        let mut share = memory.share();
        assert!((0..1_000).all(|_| share.grow(64 * 1024)));
    }
}
