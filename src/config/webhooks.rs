//! `[webhooks]`: delivery to apps, and which addresses it may reach.
//!
//! # Security
//! The allow lists are the only holes in the rule that deliveries go to public https addresses. They name hosts and
//! networks one by one; there is no way to write "everything".

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Reader;
use crate::mail::address::Domain;

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhooks {
    /// Hosts that may be called by http.
    pub allow_http_hosts: Vec<HostPattern>,
    /// Hosts that may be called although their addresses are not public.
    pub allow_hosts: Vec<HostPattern>,
    /// Networks that may be called although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// Of one attempt: until the connection stands.
    pub connect_timeout: Duration,
    /// Of one attempt, all in all.
    pub timeout: Duration,
    /// Octets of a reply that are read.
    pub response_limit: u64,
    /// Attempts at the same time, in all.
    pub concurrency: u32,
    /// Attempts at the same time, to one endpoint.
    pub concurrency_per_endpoint: u32,
    /// When attempts are repeated.
    pub schedule: Schedule,
    /// How long a claimed delivery belongs to its worker.
    pub lease: Duration,
}

/// When attempts are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Ten attempts within about three days.
    Default,
    /// Five attempts within about 40 minutes.
    Short,
}

impl Schedule {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Short => "short",
        }
    }
}

/// `HOST` or `HOST:PORT`: a name or an address literal, exactly, in lower case; without a port, any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// `None`: any port.
    pub port: Option<u16>,
}

impl HostPattern {
    /// Reads `HOST` or `HOST:PORT`; `None` when the text is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<std::net::SocketAddr>() {
            return Some(Self { host: address.ip().to_string(), port: Some(address.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self { host: address.to_string(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
            None => (text, None),
        };
        // A wildcard or an address literal in brackets is no domain name.
        let name = Domain::parse(host).ok().filter(|name| !name.as_str().contains(['[', '*']))?;
        Some(Self { host: name.as_str().to_ascii_lowercase(), port })
    }

    /// Whether this pattern names `host` (an IPv6 address without its brackets) and `port`.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl Webhooks {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let host = "HOST or HOST:PORT, without a scheme or wildcard";
        let webhooks = Self {
            allow_http_hosts: reader.list("webhooks.allow_http_hosts", host, HostPattern::parse),
            allow_hosts: reader.list("webhooks.allow_hosts", host, HostPattern::parse),
            allow_networks: reader.list("webhooks.allow_networks", "a network such as 10.1.0.0/16, not all", |text| {
                text.parse::<IpNet>().ok().filter(|network| network.prefix_len() > 0)
            }),
            connect_timeout: reader.duration("webhooks.connect_timeout", 100..=60_000),
            timeout: reader.duration("webhooks.timeout", 1_000..=120_000),
            response_limit: reader.size("webhooks.response_limit", 1..=(1 << 20)),
            concurrency: reader.count("webhooks.concurrency", 1..=10_000),
            concurrency_per_endpoint: reader.count("webhooks.concurrency_per_endpoint", 1..=1_000),
            schedule: reader.parse("webhooks.schedule", "default or short", |text| match text {
                "default" => Some(Schedule::Default),
                "short" => Some(Schedule::Short),
                _ => None,
            }),
            lease: reader.duration("webhooks.lease", 1_000..=3_600_000),
        };
        // A lease that ends before its attempt would have a second worker deliver the same thing beside the first.
        if webhooks.lease <= webhooks.timeout {
            reader.fault("webhooks.lease", "must be longer than webhooks.timeout");
        }
        webhooks
    }
}
