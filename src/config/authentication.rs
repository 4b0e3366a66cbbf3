//! `[authentication]`: how it is found out who really sent a message.

use std::time::Duration;

use ipnet::IpNet;

use super::lmtp::networks;
use super::reader::Reader;
use crate::mail::address::Domain;

/// `[authentication]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Whether it is checked at all.
    pub enabled: bool,
    /// Of one message, all look-ups together.
    pub timeout: Duration,
    /// DKIM signatures of one message that are checked.
    pub signatures: u32,
    /// Machines that hand over the mail of others.
    pub relays: Vec<IpNet>,
    /// Forwarders whose Authentication-Results are believed: the name that they write, and where they hand over from.
    pub trusted_authserv: Vec<(Domain, IpNet)>,
    /// Domains whose ARC seals are believed.
    pub trusted_sealers: Vec<Domain>,
}

impl Authentication {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let forwarder = |text: &str| {
            let (id, network) = text.split_once('=')?;
            let network = network.trim();
            let network = network.parse().ok().or_else(|| network.parse::<std::net::IpAddr>().ok().map(IpNet::from));
            Some((Domain::parse(id.trim()).ok()?, network?))
        };
        Self {
            enabled: reader.flag("authentication.enabled"),
            timeout: reader.duration("authentication.timeout", 100..=60_000),
            signatures: reader.count("authentication.signatures", 1..=50),
            relays: networks(reader, "authentication.relays"),
            trusted_authserv: reader.list(
                "authentication.trusted_authserv",
                "AUTHSERV-ID=NETWORK, such as mx.forwarder.example=192.0.2.0/24",
                forwarder,
            ),
            trusted_sealers: reader.list(
                "authentication.trusted_sealers",
                "a domain such as lists.example.org",
                |text| Domain::parse(text).ok(),
            ),
        }
    }
}
