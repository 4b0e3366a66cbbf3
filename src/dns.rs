//! Names to addresses: the one resolver of the program.
//!
//! It asks the configured servers, or the system's, and keeps answers for their time to live. It never judges an
//! address: whoever dials one decides whether it may be dialled. Names are asked as they stand: the search list of the
//! system is not used, so that `hooks.example` can never turn into a name inside the own network.
//!
//! Standards: RFC 1034 and RFC 1035 (names, records), RFC 2308 (negative answers), RFC 6761 §6.3 (localhost).
//!
//! Every look-up ends within `timeout` × `attempts`, and every error says whether asking again can help.

mod proven;
mod records;
pub mod zone;

pub use proven::{Anchors, Tlsa};

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ResolverBuilder, TokioResolver};

/// Which servers to ask, how long, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverSettings {
    /// Servers to ask; empty means those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often a question is put before it fails; at least once.
    pub attempts: usize,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(2), attempts: 2 }
    }
}

/// Turns names into addresses. Clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    source: Source,
    limit: Duration,
}

#[derive(Clone)]
enum Source {
    Live(Box<TokioResolver>),
    Scripted(Arc<Script>),
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The text is not a name that DNS could hold.
    #[error("`{name}` is not a host name: use letters, digits, hyphens and dots, 253 characters at most")]
    InvalidName {
        /// The text, cut.
        name: String,
    },
    /// The name does not exist, or has no address.
    #[error("`{name}` has no address in DNS: check the spelling, or add an A or AAAA record for it")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// No server answered in time.
    #[error("no DNS server answered for `{name}` in time: check that the servers in [dns] can be reached")]
    Timeout {
        /// The name asked for.
        name: String,
    },
    /// The servers answered that they cannot tell.
    #[error("the DNS servers could not answer for `{name}`: {detail}")]
    ServerFailure {
        /// The name asked for.
        name: String,
        /// What went wrong.
        detail: String,
    },
    /// The system's own servers could not be read.
    #[error("the system's DNS settings cannot be read ({detail}): name the servers in [dns]")]
    NoServers {
        /// What went wrong.
        detail: String,
    },
}

impl DnsError {
    /// Whether the same question may get an answer later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::ServerFailure { .. } => true,
            Self::InvalidName { .. } | Self::NotFound { .. } | Self::NoServers { .. } => false,
        }
    }
}

impl Resolver {
    /// A resolver that asks real servers.
    ///
    /// # Errors
    /// When no servers are configured and the system's cannot be read.
    pub fn new(settings: &ResolverSettings) -> Result<Self, DnsError> {
        Self::build(settings, |builder| builder)
    }

    fn build(
        settings: &ResolverSettings,
        more: impl FnOnce(ResolverBuilder<TokioRuntimeProvider>) -> ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<Self, DnsError> {
        let refused = |error: NetError| DnsError::NoServers { detail: error.to_string() };
        let mut builder = if settings.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(refused)?
        } else {
            let servers = settings.servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        // Servers are asked in the clear. Said nothing, the crate would want the authorities of the machine for TLS, and
        // without such a bundle, as in many a container, make no resolver at all.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DnsError::NoServers { detail: error.to_string() })?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.with_tls_config(tls);
        let options = builder.options_mut();
        options.timeout = settings.timeout;
        // The crate counts what comes after the first try.
        options.attempts = settings.attempts.max(1).saturating_sub(1);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let tries = u32::try_from(settings.attempts.max(1)).unwrap_or(u32::MAX);
        let resolver = more(builder).build().map_err(refused)?;
        Ok(Self { source: Source::Live(Box::new(resolver)), limit: settings.timeout.saturating_mul(tries) })
    }

    /// A resolver that asks nobody and knows only what [`Resolver::script`] told it: for tests and demonstrations.
    #[must_use]
    pub fn scripted() -> Self {
        let limit = ResolverSettings::default().timeout;
        Self { source: Source::Scripted(Arc::new(Script::default())), limit }
    }

    /// Gives a scripted resolver one more answer for `host`. Answers are given in order, the last one for ever.
    /// A resolver that asks real servers is not changed.
    pub fn script(&self, host: &str, answer: Result<Vec<IpAddr>, DnsError>) {
        if let Source::Scripted(script) = &self.source {
            let mut answers = script.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(absolute(host)).or_default().push_back(answer);
        }
    }

    /// The client that asks real servers, for those who need other records than addresses; `None` for a scripted resolver.
    #[must_use]
    pub fn client(&self) -> Option<&TokioResolver> {
        match &self.source {
            Source::Live(resolver) => Some(resolver),
            Source::Scripted(_) => None,
        }
    }

    /// All addresses of `host`, IPv4 first; never an empty list. `host` is a name, not an address literal.
    ///
    /// # Errors
    /// See [`DnsError`]; [`DnsError::is_temporary`] says whether asking later can help.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let invalid = || DnsError::InvalidName { name: host.chars().take(64).collect() };
        // RFC 1035 §2.3.4: names have at most 255 octets on the wire, 253 as text.
        if host.is_empty() || host.len() > 254 {
            return Err(invalid());
        }
        let name = Name::from_ascii(absolute(host)).map_err(|_| invalid())?;
        match &self.source {
            Source::Scripted(script) => script.next(host),
            Source::Live(resolver) => match tokio::time::timeout(self.limit, resolver.lookup_ip(name)).await {
                Err(_) => Err(DnsError::Timeout { name: host.to_owned() }),
                Ok(Err(error)) => Err(read_error(host, &error)),
                Ok(Ok(found)) => {
                    let addresses: Vec<IpAddr> = found.iter().collect();
                    if addresses.is_empty() {
                        return Err(DnsError::NotFound { name: host.to_owned() });
                    }
                    Ok(addresses)
                }
            },
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Live(_) => "live",
            Source::Scripted(_) => "scripted",
        };
        formatter.debug_struct("Resolver").field("source", &source).finish_non_exhaustive()
    }
}

/// Answers of a scripted resolver.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, Answers>>,
}

type Answers = VecDeque<Result<Vec<IpAddr>, DnsError>>;

impl Script {
    fn next(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let not_found = || Err(DnsError::NotFound { name: host.to_owned() });
        let Some(queue) = answers.get_mut(&absolute(host)) else { return not_found() };
        if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() }.unwrap_or_else(not_found)
    }
}

/// The name in lower case with its final dot, so that no search list applies to it.
fn absolute(host: &str) -> String {
    let mut name = host.to_ascii_lowercase();
    if !name.ends_with('.') {
        name.push('.');
    }
    name
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    let mut tcp = ConnectionConfig::tcp();
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

fn read_error(host: &str, error: &NetError) -> DnsError {
    let name = host.to_owned();
    if error.is_no_records_found() {
        return DnsError::NotFound { name };
    }
    match error {
        NetError::Timeout => DnsError::Timeout { name },
        other => DnsError::ServerFailure { name, detail: other.to_string() },
    }
}

#[cfg(test)]
mod tests;
