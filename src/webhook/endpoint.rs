//! Where webhooks may go: [`PublicUrl`], and what of the rest the operator opens.
//!
//! A customer chooses the URL, and this machine stands inside somebody's network: without these rules a webhook would
//! be a way to reach the services behind the firewall. The client takes nothing but a [`PublicUrl`]; the addresses its
//! name leads to are judged once more when they are dialled (`webhook::connect`), whatever DNS said before.
//!
//! Standards: WHATWG URL (host spellings); which addresses are public says [`crate::reach`].
//!
//! # Security
//! Naming a host in the allow list means trusting whoever answers DNS for it: its addresses are not judged any more.
//! A range in the allow list never opens link-local and metadata addresses; only an exact address or host does.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use crate::reach::Opened;

/// Longest URL taken.
pub const MAX_URL_BYTES: usize = 2048;

/// A URL that webhooks may be sent to. Made only by [`PublicUrl::parse`], which checks every rule.
pub struct PublicUrl {
    url: Url,
    reach: Reach,
}

/// What may be dialled for a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public addresses, and ranges of the allow list.
    Public,
    /// Any address: the operator named this very host.
    Named,
}

impl PublicUrl {
    /// Checks `text` against the rules and the operator's allow list.
    ///
    /// # Errors
    /// See [`InvalidUrl`]; the sentence says what to change.
    pub fn parse(text: &str, allow: &AllowList) -> Result<Self, InvalidUrl> {
        if text.len() > MAX_URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        let url = Url::parse(text).map_err(|error| InvalidUrl::Syntax { detail: error.to_string() })?;
        let host = url.host().map(|host| normal(host.to_owned())).ok_or(InvalidUrl::NoHost)?;
        let port = match url.scheme() {
            "https" | "http" => url.port_or_known_default().ok_or(InvalidUrl::NoHost)?,
            other => return Err(InvalidUrl::Scheme { found: other.chars().take(20).collect() }),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        let literal = literal(&host);
        let named = allow.names(&host, port);
        if let Some(address) = literal.filter(|_| !named)
            && !allow.permits(address)
        {
            return Err(InvalidUrl::BlockedAddress { address });
        }
        let listed = named || literal.is_some_and(|address| allow.ranges.contain(address));
        if url.scheme() == "http" && !listed {
            return Err(InvalidUrl::NotHttps);
        }
        if !listed && port != 443 && port <= 1023 {
            return Err(InvalidUrl::Port { port });
        }
        let reach = if named { Reach::Named } else { Reach::Public };
        Ok(Self { url, reach })
    }

    /// The whole URL. It may hold a token of the customer's: for the request and for storage, not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host and port: what logs may show.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) const fn reach(&self) -> Reach {
        self.reach
    }

    /// The address, when the host is written as one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.url.host().and_then(|host| literal(&host.to_owned()))
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PublicUrl").field(&self.origin()).finish()
    }
}

/// Why a URL is refused. Each sentence says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Over [`MAX_URL_BYTES`].
    #[error("the URL is longer than 2048 bytes: use a shorter path or query")]
    TooLong,
    /// No URL at all.
    #[error("this is not a URL ({detail}): write it like https://example.com/hooks")]
    Syntax {
        /// What the parser found.
        detail: String,
    },
    /// Neither https nor http.
    #[error("webhooks go to https URLs, not to `{found}`: write it like https://example.com/hooks")]
    Scheme {
        /// The scheme found.
        found: String,
    },
    /// No host in it.
    #[error("the URL names no host: write it like https://example.com/hooks")]
    NoHost,
    /// Plain http to a host that is not in the allow list.
    #[error("plain http is refused: use https, or let the operator add the host to webhooks.allow")]
    NotHttps,
    /// A user name or password in front of the host.
    #[error("the URL holds a user name or password: remove it, and set a custom header on the endpoint instead")]
    UserInfo,
    /// Something behind `#`.
    #[error("the URL holds a fragment, which is never sent: remove the `#` and what follows")]
    Fragment,
    /// A port that other services use.
    #[error(
        "port {port} is refused: use 443 or a port above 1023, or let the operator add host:port to webhooks.allow"
    )]
    Port {
        /// The port found.
        port: u16,
    },
    /// An address that is not on the public internet.
    #[error("{address} is not a public address: use a public host, or let the operator add it to webhooks.allow")]
    BlockedAddress {
        /// The address.
        address: IpAddr,
    },
}

/// Hosts and ranges that the operator opens although they are not public, or not https. Empty by default.
#[derive(Debug, Clone, Default)]
pub struct AllowList {
    hosts: Arc<[(Host<String>, Option<u16>)]>,
    ranges: Opened,
}

impl AllowList {
    /// Whether the operator named this host, for this port or for all.
    fn names(&self, host: &Host<String>, port: u16) -> bool {
        self.hosts.iter().any(|(listed, only)| listed == host && only.is_none_or(|only| only == port))
    }

    /// Whether an address may be dialled for a host that is not named in this list.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.ranges.permit(address)
    }
}

impl FromIterator<AllowEntry> for AllowList {
    fn from_iter<I: IntoIterator<Item = AllowEntry>>(entries: I) -> Self {
        let (mut hosts, mut ranges) = (Vec::new(), Vec::<IpNet>::new());
        for entry in entries {
            match entry {
                AllowEntry::Host(host, port) => hosts.push((host, port)),
                AllowEntry::Range(range) => ranges.push(range),
            }
        }
        Self { hosts: hosts.into(), ranges: ranges.into_iter().collect() }
    }
}

/// One line of the allow list: `host`, `host:port`, an address, `address:port`, or a range like `10.1.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowEntry {
    /// A host as it stands in a URL, with the one port it is opened for.
    Host(Host<String>, Option<u16>),
    /// Addresses that any name may lead to.
    Range(IpNet),
}

impl FromStr for AllowEntry {
    type Err = InvalidAllowEntry;

    fn from_str(text: &str) -> Result<Self, InvalidAllowEntry> {
        let invalid = || InvalidAllowEntry { text: text.chars().take(100).collect() };
        if text.contains('/') {
            return text.parse().map(Self::Range).map_err(|_| invalid());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Host(host_of(address), None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        if host.is_empty() || host.contains('*') {
            return Err(invalid());
        }
        Host::parse(host).map(|host| Self::Host(normal(host), port)).map_err(|_| invalid())
    }
}

/// A line that is none of the allowed forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no host, host:port, address or range: write it like hooks.example, 127.0.0.1:8080 or 10.1.0.0/16")]
pub struct InvalidAllowEntry {
    text: String,
}

fn literal(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

const fn host_of(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

/// `host.` and `host` are the same name.
fn normal(host: Host<String>) -> Host<String> {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').map(str::to_owned).unwrap_or(name)),
        address => address,
    }
}

#[cfg(test)]
mod tests;
