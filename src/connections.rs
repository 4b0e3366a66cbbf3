//! How many connections there are, in all, from one address and from one network: counted before anything is allocated for them.
//!
//! Each door (SMTP, the HTTP API, the operator's listener) has counts of its own, so that a flood at one leaves the others
//! open.

pub mod listening;
pub mod socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// The connections of one door; clones count together.
#[derive(Debug, Clone)]
pub struct Connections {
    counts: Arc<Mutex<Counts>>,
    in_all: usize,
    per_address: usize,
    per_network: usize,
    per_minute: u32,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    by_network: HashMap<IpAddr, usize>,
    minute: Minute,
}

/// The connections of the minute that runs.
#[derive(Debug, Default)]
struct Minute {
    begun: Option<Instant>,
    by_address: HashMap<IpAddr, u32>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    counts: Arc<Mutex<Counts>>,
    /// For which it counts; `None` while it counts in all alone.
    address: Option<IpAddr>,
}

/// Which bound a connection is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// That of the door.
    InAll,
    /// That of one IPv4 address or IPv6 /64.
    FromAddress,
    /// That of one IPv4 /24 or IPv6 /48.
    FromNetwork,
    /// That of one address in a minute.
    InMinute,
}

impl TooMany {
    /// As the label of a counter.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InAll => "too_many",
            Self::FromAddress => "address",
            Self::FromNetwork => "network",
            Self::InMinute => "rate",
        }
    }
}

impl Connections {
    /// None yet; at most `in_all`, and `per_address` from one IPv4 address or IPv6 /64.
    #[must_use]
    pub fn new(in_all: usize, per_address: usize) -> Self {
        Self { counts: Arc::default(), in_all, per_address, per_network: usize::MAX, per_minute: 0 }
    }

    /// The same with at most so many from one IPv4 /24 or IPv6 /48.
    #[must_use]
    pub fn per_network(self, most: usize) -> Self {
        Self { per_network: most, ..self }
    }

    /// The same with at most so many from one address in a minute; 0: any number.
    #[must_use]
    pub fn per_minute(self, most: u32) -> Self {
        Self { per_minute: most, ..self }
    }

    /// A permit for one more connection from `peer`.
    ///
    /// # Errors
    /// That is one too many.
    pub fn permit(&self, peer: IpAddr) -> Result<Permit, TooMany> {
        self.permit_at(peer, Instant::now())
    }

    fn permit_at(&self, peer: IpAddr, now: Instant) -> Result<Permit, TooMany> {
        let mut counts = lock(&self.counts);
        if counts.open >= self.in_all {
            return Err(TooMany::InAll);
        }
        self.counts_for(&mut counts, address(peer), now)?;
        counts.open += 1;
        Ok(Permit { counts: Arc::clone(&self.counts), address: Some(address(peer)) })
    }

    /// A permit that counts in all alone: for a program of this machine, or a client whose address a balancer will tell.
    ///
    /// # Errors
    /// That is one too many.
    pub fn permit_without_address(&self) -> Result<Permit, TooMany> {
        let mut counts = lock(&self.counts);
        if counts.open >= self.in_all {
            return Err(TooMany::InAll);
        }
        counts.open += 1;
        Ok(Permit { counts: Arc::clone(&self.counts), address: None })
    }

    /// Counts a connection that counts in all alone for `peer` too.
    ///
    /// # Errors
    /// That is one too many.
    pub fn count_for(&self, peer: IpAddr, permit: &mut Permit) -> Result<(), TooMany> {
        let address = address(peer);
        if permit.address.is_some() {
            return if permit.address == Some(address) { Ok(()) } else { Err(TooMany::FromAddress) };
        }
        self.counts_for(&mut lock(&self.counts), address, Instant::now())?;
        permit.address = Some(address);
        Ok(())
    }

    /// Counts one more from `address`, unless that is one too many.
    fn counts_for(&self, counts: &mut Counts, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        let network = network(address);
        let open = |counts: &HashMap<IpAddr, usize>, key| counts.get(&key).copied().unwrap_or_default();
        if open(&counts.by_address, address) >= self.per_address {
            return Err(TooMany::FromAddress);
        }
        if open(&counts.by_network, network) >= self.per_network {
            return Err(TooMany::FromNetwork);
        }
        if self.per_minute > 0 && !counts.minute.counts_for(address, self.per_minute, now) {
            return Err(TooMany::InMinute);
        }
        *counts.by_address.entry(address).or_default() += 1;
        *counts.by_network.entry(network).or_default() += 1;
        Ok(())
    }
}

impl Minute {
    fn counts_for(&mut self, address: IpAddr, most: u32, now: Instant) -> bool {
        let is_over = self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= MINUTE);
        // A flood from ever new addresses is what the other counts are for; here it begins the next minute.
        if is_over || self.by_address.len() >= ADDRESSES {
            *self = Self { begun: Some(now), by_address: HashMap::new() };
        }
        let count = self.by_address.entry(address).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.open = counts.open.saturating_sub(1);
        let Some(address) = self.address else { return };
        release(&mut counts.by_address, address);
        release(&mut counts.by_network, network(address));
    }
}

fn release(counts: &mut HashMap<IpAddr, usize>, key: IpAddr) {
    let left = counts.get_mut(&key).map(|open| {
        *open = open.saturating_sub(1);
        *open
    });
    if left == Some(0) {
        counts.remove(&key);
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Addresses of one minute that are held, at most.
const ADDRESSES: usize = 100_000;

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
fn address(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What counts as one network: the least that is announced by itself, an IPv4 /24 or IPv6 /48 (RFC 6177 §2).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !0xff)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
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
        assert!(connections.permit(ip("192.0.2.1")).is_err());
        let _third = connections.permit(ip("2001:db8::1")).unwrap();
        assert!(connections.permit(ip("192.0.2.2")).is_err());
        drop(first);
        assert!(connections.permit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_client_behind_a_balancer_counts_once_it_is_known() {
        let connections = Connections::new(3, 1);
        let client = ip("192.0.2.1");
        let mut first = connections.permit_without_address().unwrap();
        let mut second = connections.permit_without_address().unwrap();
        assert!(connections.count_for(client, &mut first).is_ok());
        assert!(connections.count_for(client, &mut first).is_ok(), "it is counted once");
        assert!(connections.count_for(client, &mut second).is_err());
        let third = connections.permit_without_address().unwrap();
        assert!(connections.permit_without_address().is_err());
        drop(first);
        assert!(connections.count_for(client, &mut second).is_ok());
        drop((second, third));
        assert!(connections.permit(client).is_ok());
        assert_eq!(lock(&connections.counts).open, 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_are_forgotten() {
        let connections = Connections::new(10, 1);
        let permit = connections.permit(ip("2001:db8::1")).unwrap();
        assert!(connections.permit(ip("2001:db8::ffff:2")).is_err());
        assert!(connections.permit(ip("2001:db8:0:1::1")).is_ok());
        drop(permit);
        assert!(lock(&connections.counts).by_address.is_empty());
    }

    #[test]
    fn a_network_has_its_number_whatever_its_addresses() {
        let connections = Connections::new(100, 2).per_network(3);
        let _from_two: Vec<Permit> =
            ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|peer| connections.permit(ip(peer)).unwrap()).into();
        assert!(connections.permit(ip("192.0.2.3")).is_err());
        let six =
            ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"].map(|peer| connections.permit(ip(peer)).unwrap());
        assert!(connections.permit(ip("2001:db8:0:3::1")).is_err());
        assert!(connections.permit(ip("2001:db8:1::1")).is_ok());
        assert!(connections.permit(ip("192.0.3.1")).is_ok());
        drop(six);
        assert!(connections.permit(ip("2001:db8:0:3::1")).is_ok());
        assert_eq!(lock(&connections.counts).by_network.len(), 1, "what is empty is forgotten");
    }

    #[test]
    fn an_address_has_its_number_a_minute_and_the_next_minute_again() {
        let connections = Connections::new(100, 100).per_minute(2);
        let (peer, start) = (ip("192.0.2.1"), Instant::now());
        for _ in 0..2 {
            drop(connections.permit_at(peer, start).unwrap());
        }
        assert!(connections.permit_at(peer, start).is_err());
        assert!(connections.permit_at(ip("192.0.2.2"), start).is_ok());
        assert!(connections.permit_at(peer, start + MINUTE).is_ok());
    }

    #[test]
    fn ever_new_addresses_take_no_more_memory_than_so_much() {
        let mut minute = Minute::default();
        let now = Instant::now();
        for address in 0..250_000 {
            assert!(minute.counts_for(IpAddr::V4(Ipv4Addr::from_bits(address)), 1, now));
            assert!(minute.by_address.len() <= ADDRESSES);
        }
    }
}
