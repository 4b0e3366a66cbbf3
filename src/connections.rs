//! How many connections there are, in all and from one address: counted before anything is allocated for them.
//!
//! Each door (SMTP, the HTTP API, the operator's listener) has counts of its own, so that a flood at one leaves the others
//! open.

pub mod socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of one door; clones count together.
#[derive(Debug, Clone)]
pub struct Connections {
    counts: Arc<Mutex<Counts>>,
    in_all: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    counts: Arc<Mutex<Counts>>,
    /// `None` while it counts in all alone.
    network: Option<IpAddr>,
}

impl Connections {
    /// None yet; at most `in_all`, and `per_address` from one IPv4 address or IPv6 /64.
    #[must_use]
    pub fn new(in_all: usize, per_address: usize) -> Self {
        Self { counts: Arc::default(), in_all, per_address }
    }

    /// A permit for one more connection from `peer`, unless that is one too many.
    pub fn permit(&self, peer: IpAddr) -> Option<Permit> {
        let network = network(peer);
        let mut counts = lock(&self.counts);
        if counts.open >= self.in_all || counts.by_address.get(&network).is_some_and(|open| *open >= self.per_address) {
            return None;
        }
        counts.open += 1;
        *counts.by_address.entry(network).or_default() += 1;
        Some(Permit { counts: Arc::clone(&self.counts), network: Some(network) })
    }

    /// A permit that counts in all alone: for a program of this machine, or a client whose address a balancer will tell.
    pub fn permit_without_address(&self) -> Option<Permit> {
        let mut counts = lock(&self.counts);
        if counts.open >= self.in_all {
            return None;
        }
        counts.open += 1;
        Some(Permit { counts: Arc::clone(&self.counts), network: None })
    }

    /// Counts a connection that counts in all alone for `peer` too; whether that is not one too many.
    #[must_use]
    pub fn count_for(&self, peer: IpAddr, permit: &mut Permit) -> bool {
        let network = network(peer);
        let mut counts = lock(&self.counts);
        let open = counts.by_address.get(&network).copied().unwrap_or_default();
        if permit.network.is_some() || open >= self.per_address {
            return permit.network == Some(network);
        }
        counts.by_address.insert(network, open + 1);
        permit.network = Some(network);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.open = counts.open.saturating_sub(1);
        let Some(network) = self.network else { return };
        let left = counts.by_address.get_mut(&network).map(|open| {
            *open = open.saturating_sub(1);
            *open
        });
        if left == Some(0) {
            counts.by_address.remove(&network);
        }
    }
}

/// Whether accept failed only for the connection at the head of the queue; otherwise descriptors or memory are short, and it
/// must not be called again at once.
#[must_use]
pub fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Counts stay right whatever panicked, as nothing is done under the lock that can.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What counts as one address: an IPv6 host owns its /64 (RFC 6177), so that counts as one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_bounded_by_address_and_in_all() {
        let connections = Connections::new(3, 2);
        let first = connections.permit(ip("192.0.2.1")).unwrap();
        let _second = connections.permit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(connections.permit(ip("192.0.2.1")).is_none());
        let _third = connections.permit(ip("2001:db8::1")).unwrap();
        assert!(connections.permit(ip("192.0.2.2")).is_none());
        drop(first);
        assert!(connections.permit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_client_behind_a_balancer_counts_once_it_is_known() {
        let connections = Connections::new(3, 1);
        let client = ip("192.0.2.1");
        let mut first = connections.permit_without_address().unwrap();
        let mut second = connections.permit_without_address().unwrap();
        assert!(connections.count_for(client, &mut first));
        assert!(connections.count_for(client, &mut first), "it is counted once");
        assert!(!connections.count_for(client, &mut second));
        let third = connections.permit_without_address().unwrap();
        assert!(connections.permit_without_address().is_none());
        drop(first);
        assert!(connections.count_for(client, &mut second));
        drop((second, third));
        assert!(connections.permit(client).is_some());
        assert_eq!(lock(&connections.counts).open, 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_are_forgotten() {
        let connections = Connections::new(10, 1);
        let permit = connections.permit(ip("2001:db8::1")).unwrap();
        assert!(connections.permit(ip("2001:db8::ffff:2")).is_none());
        assert!(connections.permit(ip("2001:db8:0:1::1")).is_some());
        drop(permit);
        assert!(lock(&connections.counts).by_address.is_empty());
    }
}
