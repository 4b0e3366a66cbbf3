//! Makes what finds out who really sent a message, as configured.

use ipnet::IpNet;

use crate::config::Config;
use crate::dns::{DnsError, Resolver, ResolverSettings};
use crate::mail::address::Domain;
use crate::mailauth::{Authenticator, Forwarder, Settings};

/// What finds out who really sent a message; `None` where that is switched off. Its resolver's connections belong to the
/// runtime that it is first used on, so that each thread of work has its own.
pub(super) fn authenticator(config: &Config) -> Result<Option<Authenticator>, DnsError> {
    let own = &config.authentication;
    if !own.enabled {
        return Ok(None);
    }
    // One server that is silent must leave time for another question.
    let timeout = config.dns.timeout.min(own.timeout / 4);
    let resolver = Resolver::new(&ResolverSettings {
        servers: config.dns.servers.clone(),
        timeout,
        attempts: usize::try_from(config.dns.attempts).unwrap_or(usize::MAX),
    })?;
    let forwarder = |(id, network): &(Domain, IpNet)| Forwarder { authserv_id: id.clone(), network: *network };
    let settings = Settings {
        authserv_id: config.server.hostname.clone(),
        budget: own.timeout,
        signatures: usize::try_from(own.signatures).unwrap_or(usize::MAX),
        relays: own.relays.clone(),
        forwarders: own.trusted_authserv.iter().map(forwarder).collect(),
        sealers: own.trusted_sealers.clone(),
    };
    Ok(Some(Authenticator::new(&resolver, settings)))
}
