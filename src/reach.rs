//! Which addresses are on the public internet, and which of the others an operator opens.
//!
//! Whoever dials an address that somebody else chose (a customer's URL, a stranger's MX record) asks here first: this
//! machine stands inside somebody's network, and a connection from it would be a way to the services behind the firewall.
//! Judges single addresses and nothing else: no names, no look-ups.
//!
//! Standards: RFC 6890 (special-purpose addresses), RFC 6052 and RFC 8215 (NAT64), RFC 4380 (Teredo), RFC 3056 (6to4).
//!
//! # Security
//! An opened range never opens link-local and metadata addresses; only an exact address does.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// Ranges that the operator opens although they are not public. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened(Arc<[IpNet]>);

impl Opened {
    /// Whether an address is in one of them.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| {
            let exact = range.prefix_len() == range.max_prefix_len();
            range.contains(&address) && (exact || !is_metadata(address))
        })
    }

    /// Whether an address may be dialled: it is public, or opened.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        is_public(address) || self.contain(address)
    }
}

impl FromIterator<IpNet> for Opened {
    fn from_iter<I: IntoIterator<Item = IpNet>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

/// Whether an address is on the public internet. Tunnels and translations count as not public, because they can lead
/// to any address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    !NOT_PUBLIC.iter().any(|range| range.contains(&address))
}

/// Addresses at which clouds hand out credentials: opened only when named exactly.
fn is_metadata(address: IpAddr) -> bool {
    METADATA.iter().any(|range| range.contains(&address))
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> IpNet {
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, 0), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

const NOT_PUBLIC: [IpNet; 29] = [
    v4(0, 0, 0, 8),                            // "this network" (RFC 791)
    v4(10, 0, 0, 8),                           // private (RFC 1918)
    v4(100, 64, 0, 10),                        // shared by carriers (RFC 6598)
    v4(127, 0, 0, 8),                          // loopback (RFC 1122)
    v4(169, 254, 0, 16),                       // link-local, cloud metadata (RFC 3927)
    v4(172, 16, 0, 12),                        // private (RFC 1918)
    v4(192, 0, 0, 24),                         // protocol assignments (RFC 6890)
    v4(192, 0, 2, 24),                         // documentation (RFC 5737)
    v4(192, 88, 99, 24),                       // 6to4 relays (RFC 7526)
    v4(192, 168, 0, 16),                       // private (RFC 1918)
    v4(198, 18, 0, 15),                        // benchmarks (RFC 2544)
    v4(198, 51, 100, 24),                      // documentation (RFC 5737)
    v4(203, 0, 113, 24),                       // documentation (RFC 5737)
    v4(224, 0, 0, 4),                          // multicast (RFC 5771)
    v4(240, 0, 0, 4),                          // reserved, and the limited broadcast (RFC 1112, RFC 919)
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),          // unspecified, loopback, IPv4-compatible (RFC 4291)
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),     // IPv4-mapped (RFC 4291)
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),  // NAT64 (RFC 6052)
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),  // local NAT64 (RFC 8215)
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),      // discard (RFC 6666)
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),     // Teredo (RFC 4380)
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation (RFC 3849)
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),     // 6to4 (RFC 3056)
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),     // segment routing (RFC 9602)
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),      // unique local (RFC 4193)
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),     // link-local (RFC 4291)
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),      // multicast (RFC 4291)
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),     // site-local, withdrawn (RFC 3879)
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),     // documentation (RFC 9637)
];

const METADATA: [IpNet; 4] = [
    v4(169, 254, 0, 16),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(100, 100, 100, 200), 32)),
];

#[cfg(test)]
mod tests;
