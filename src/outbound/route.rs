//! Where a message goes: to the mail servers of a domain, or to a relay.
//!
//! [`Router`] is the only maker of a [`Route`], and [`super::wire`] dials nothing that is not in one.
//!
//! Standards: RFC 5321 §5.1 (MX, addresses, loops), RFC 7505 (null MX), RFC 8461 §5 (MTA-STS),
//! RFC 7672 §2 (DANE).
//!
//! # Security
//! A domain chooses its mail servers, and with them addresses that this machine is to dial: those that are not public are
//! left out, unless the operator opened them. The same goes for a relay that a customer chose; that of the node is the
//! operator's choice, and not judged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::attempt::{Attempt, Outcome, Reason, Report};
use super::dane::Asked;
use super::dialogue::{Credentials, Encryption};
use super::pool::Peer;
use super::reply::EnhancedCode;
use super::sts::{Mode, Policies, Policy};
use super::tls::Trust;
use crate::clock::Timestamp;
use crate::dns::{DnsError, Resolver};
use crate::mail::address::{Domain, Mailbox};
use crate::reach::Opened;

/// Mail servers of a domain that are tried.
const MOST_HOSTS: usize = 8;
/// Addresses of one of them that are tried; RFC 5321 §5.1 asks for two at least.
const MOST_ADDRESSES: usize = 4;

/// Who we are, and what may be dialled.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Our own names: what would be sent there would come back.
    pub own_names: Vec<Domain>,
    /// Our own addresses.
    pub own_addresses: Vec<IpAddr>,
    /// Addresses that may be dialled although they are not public.
    pub opened: Opened,
    /// Where mail servers listen: 25 but in tests.
    pub port: u16,
}

/// Where one message goes. Made by [`Router`] alone.
#[derive(Debug, Clone)]
pub struct Route {
    /// The domain whose mail servers these are; empty for a relay, which takes mail to any.
    domain: Option<Domain>,
    hosts: Vec<Host>,
    encryption: Encryption,
    trust: Trust,
    credentials: Option<Credentials>,
    /// Whose relay it is, where it is a customer's.
    account: Option<Arc<str>>,
    policy: Option<Mode>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name, without the final dot.
    pub(super) name: String,
    /// Where it is; never empty.
    pub(super) addresses: Vec<SocketAddr>,
    /// What signed DNS asks of it.
    pub(super) asked: Asked,
}

/// How a relay is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// TLS from the first octet (port 465, RFC 8314).
    Implicit,
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// In clear: for a relay on the same machine.
    Never,
}

/// A server that takes mail to anybody from us.
#[derive(Debug, Clone)]
pub struct Relay {
    host: String,
    port: u16,
    tls: RelayTls,
    credentials: Option<Credentials>,
    account: Option<Arc<str>>,
}

/// A relay cannot be used like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelay {
    /// Neither a name nor an address.
    #[error("the relay is neither a host name nor an address")]
    Host,
    /// Credentials without TLS.
    #[error("a password is not sent in clear: use TLS with the relay, or no credentials")]
    CredentialsInClear,
}

impl Relay {
    /// A relay at a name or an address.
    ///
    /// # Errors
    /// See [`InvalidRelay`].
    pub fn new(host: &str, port: u16, tls: RelayTls, credentials: Option<Credentials>) -> Result<Self, InvalidRelay> {
        let is_name = Domain::parse(host).is_ok_and(|name| !name.as_str().starts_with('['));
        if !is_name && host.parse::<IpAddr>().is_err() {
            return Err(InvalidRelay::Host);
        }
        if credentials.is_some() && tls == RelayTls::Never {
            return Err(InvalidRelay::CredentialsInClear);
        }
        Ok(Self { host: host.to_owned(), port, tls, credentials, account: None })
    }

    /// The same as the choice of a customer: its addresses are judged, and nobody else's mail goes over its connections.
    /// `account` tells it from those of others.
    #[must_use]
    pub fn of_customer(self, account: &str) -> Self {
        Self { account: Some(account.into()), ..self }
    }

    /// Under what its connections and messages are counted; no domain has such a name.
    #[must_use]
    pub fn destination(&self) -> String {
        match &self.account {
            None => String::new(),
            Some(account) => format!("{account} {}:{}", self.host, self.port),
        }
    }
}

/// The way over a relay, as receipts say it.
#[must_use]
pub fn relayed(host: &str, port: u16) -> String {
    format!("relay:{host}:{port}")
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets. The host as it is compared and looked up: a name as A-label, or an
/// address without brackets.
#[must_use]
pub fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some((address.parse::<std::net::Ipv6Addr>().ok()?.to_string(), port));
    }
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return Some((address.to_string(), port));
    }
    Some((Domain::parse(host).ok()?.to_string(), port))
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The recipient's domain is an address literal.
    #[error("mail to address literals is not sent")]
    Literal,
    /// The domain does not exist, or has neither mail servers nor addresses.
    #[error("`{domain}` does not exist, or has no mail server with an address")]
    NoDomain {
        /// The domain or relay.
        domain: String,
    },
    /// The domain says that it takes no mail (RFC 7505).
    #[error("`{domain}` takes no mail: it has a null MX")]
    NullMx {
        /// The domain.
        domain: String,
    },
    /// The best mail server is this gateway.
    #[error("mail to `{domain}` would come back to this gateway")]
    Loop {
        /// The domain.
        domain: String,
    },
    /// Only addresses that may not be dialled.
    #[error("the mail servers of `{domain}` have no public address")]
    NotPublic {
        /// The domain.
        domain: String,
    },
    /// The relay of a customer is this gateway.
    #[error("the relay `{host}` is this gateway itself")]
    RelayLoop {
        /// The relay.
        host: String,
    },
    /// The relay of a customer has only addresses that may not be dialled.
    #[error("the relay `{host}` has no public address")]
    RelayNotPublic {
        /// The relay.
        host: String,
    },
    /// The relay of a customer has no address.
    #[error("the relay `{host}` is not found: {error}")]
    NoRelay {
        /// The relay.
        host: String,
        /// What DNS says.
        error: DnsError,
    },
    /// No mail server is one that the domain's policy names.
    #[error("no mail server of `{domain}` is named by its MTA-STS policy")]
    Sts {
        /// The domain.
        domain: String,
    },
    /// DNS gave no answer, or none for the relay.
    #[error(transparent)]
    Dns(DnsError),
}

impl NoRoute {
    /// Whether a later look may find one.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Dns(_) | Self::Sts { .. } => true,
            // Whoever set the relay can set another one: its mail waits for that.
            Self::RelayLoop { .. } | Self::RelayNotPublic { .. } | Self::NoRelay { .. } => true,
            Self::Literal
            | Self::NoDomain { .. }
            | Self::NullMx { .. }
            | Self::Loop { .. }
            | Self::NotPublic { .. } => false,
        }
    }

    /// What it means for recipients.
    #[must_use]
    pub fn attempts(&self, recipients: &[Mailbox]) -> Vec<Attempt> {
        let outcome = if self.is_temporary() { Outcome::Deferred } else { Outcome::Rejected };
        let (reason, enhanced) = match self {
            // RFC 3463 §3.2, §3.5 and §3.8; RFC 7505 §4.2.
            Self::Literal | Self::NoDomain { .. } => (Reason::NoDomain, EnhancedCode::new(5, 1, 2)),
            Self::NullMx { .. } => (Reason::NullMx, EnhancedCode::new(5, 1, 10)),
            Self::Loop { .. } => (Reason::Loop, EnhancedCode::new(5, 4, 6)),
            Self::NotPublic { .. } => (Reason::NotPublic, EnhancedCode::new(5, 4, 4)),
            Self::Sts { .. } => (Reason::Sts, EnhancedCode::new(4, 7, 5)),
            Self::RelayLoop { .. } => (Reason::Loop, EnhancedCode::new(4, 4, 6)),
            Self::RelayNotPublic { .. } => (Reason::NotPublic, EnhancedCode::new(4, 4, 4)),
            Self::Dns(_) | Self::NoRelay { .. } => (Reason::Dns, EnhancedCode::new(4, 4, 3)),
        };
        let report = Report::because(reason, &self.to_string()).with(enhanced);
        Attempt::all(recipients.to_vec(), outcome, &report)
    }
}

/// Finds ways. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Router {
    resolver: Resolver,
    settings: Arc<RouteSettings>,
    policies: Option<Policies>,
    /// Proves what DNS says; without it, DANE is not asked for.
    prover: Option<Resolver>,
}

/// What became of the hosts of a domain.
#[derive(Default)]
struct Found {
    hosts: Vec<(u16, Host)>,
    /// The preference of the best server that is ourselves.
    loop_from: Option<u16>,
    is_blocked: bool,
    /// Whether one is left out that the domain's policy does not name.
    is_not_named: bool,
    failure: Option<DnsError>,
}

impl Router {
    /// Looks up with `resolver`; without `policies`, MTA-STS is not asked for.
    #[must_use]
    pub fn new(resolver: Resolver, settings: RouteSettings, policies: Option<Policies>) -> Self {
        Self { resolver, settings: Arc::new(settings), policies, prover: None }
    }

    /// Also asks domains for what they say of their servers' certificates, of a resolver that proves it (RFC 7672).
    #[must_use]
    pub fn proving(self, prover: Resolver) -> Self {
        Self { prover: Some(prover), ..self }
    }

    /// The way to a domain's own mail servers. `spread` is any number: it decides among servers of one preference.
    ///
    /// # Errors
    /// See [`NoRoute`].
    pub async fn direct(&self, domain: &Domain, spread: u32, now: Timestamp) -> Result<Route, NoRoute> {
        if domain.as_str().starts_with('[') {
            return Err(NoRoute::Literal);
        }
        let (exchangers, prover) = self.exchangers(domain, spread).await?;
        let policy = match &self.policies {
            Some(policies) => policies.of(domain, now).await,
            None => None,
        };
        let enforced = policy.as_ref().filter(|policy| policy.mode == Mode::Enforce);
        let hosts = self.hosts(domain, exchangers, enforced, prover).await?;
        let (encryption, trust) = match enforced {
            Some(_) => (Encryption::Required, Trust::Verified),
            None => (Encryption::IfOffered, Trust::Any),
        };
        let policy = policy.map(|policy| policy.mode);
        let domain = Some(domain.clone());
        Ok(Route { domain, hosts, encryption, trust, credentials: None, account: None, policy })
    }

    /// The way to a relay.
    ///
    /// # Errors
    /// See [`NoRoute`].
    pub async fn relay(&self, relay: &Relay) -> Result<Route, NoRoute> {
        let addresses = match relay.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            // A relay that has no address today is a matter of whoever set it, and not of the message.
            Err(_) => self.resolver.addresses(&relay.host).await.map_err(|error| match relay.account {
                None => NoRoute::Dns(error),
                Some(_) => NoRoute::NoRelay { host: relay.host.clone(), error },
            })?,
        };
        let addresses = if relay.account.is_some() { self.judged(&relay.host, addresses)? } else { addresses };
        let addresses = addresses.into_iter().take(MOST_ADDRESSES);
        let addresses = addresses.map(|address| SocketAddr::new(address, relay.port)).collect();
        let (encryption, trust) = match relay.tls {
            RelayTls::Implicit => (Encryption::Begun, Trust::Verified),
            RelayTls::StartTls => (Encryption::Required, Trust::Verified),
            RelayTls::Never => (Encryption::Never, Trust::Any),
        };
        let hosts = vec![Host { name: relay.host.clone(), addresses, asked: Asked::Nothing }];
        let (credentials, account) = (relay.credentials.clone(), relay.account.clone());
        Ok(Route { domain: None, hosts, encryption, trust, credentials, account, policy: None })
    }

    /// Those addresses of a customer's relay that may be dialled; never none.
    fn judged(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, NoRoute> {
        let shown = || host.to_owned();
        let is_own_name = self.settings.own_names.iter().any(|own| own.as_str().eq_ignore_ascii_case(host));
        let is_own = |address: &IpAddr| self.settings.own_addresses.contains(&address.to_canonical());
        if is_own_name || addresses.iter().any(is_own) {
            return Err(NoRoute::RelayLoop { host: shown() });
        }
        let mut permitted = addresses;
        permitted.retain(|address| self.settings.opened.permit(*address));
        if permitted.is_empty() { Err(NoRoute::RelayNotPublic { host: shown() }) } else { Ok(permitted) }
    }

    /// Preference and name of the servers that come before ourselves, best first, never empty; and who proves what is said of
    /// them, where the domain's DNS is signed. What fails to be proven is no answer (RFC 7672 §2.1.1).
    async fn exchangers(
        &self,
        domain: &Domain,
        spread: u32,
    ) -> Result<(Vec<(u16, String)>, Option<&Resolver>), NoRoute> {
        let shown = || domain.to_string();
        let proven = match &self.prover {
            Some(prover) => prover.proven_exchangers(domain.as_str()).await.map_err(|error| dns(error, shown()))?,
            None => None,
        };
        let prover = self.prover.as_ref().filter(|_| proven.is_some());
        let records = match proven {
            Some(records) => records,
            None => self.resolver.exchangers(domain.as_str()).await.map_err(|error| dns(error, shown()))?,
        };
        // RFC 7505 §3: one record alone, whose name is the root.
        if let [(_, only)] = records.as_slice()
            && only == "."
        {
            return Err(NoRoute::NullMx { domain: shown() });
        }
        let names = records.into_iter().map(|(preference, name)| (preference, name.trim_end_matches('.').to_owned()));
        let mut found: Vec<(u16, String)> = names.filter(|(_, name)| !name.is_empty()).collect();
        if found.is_empty() {
            // RFC 5321 §5.1: without MX, the domain itself.
            found.push((0, shown()));
        }
        // RFC 5321 §5.1: where we are one of them, only those that are better count.
        let own = |name: &str| self.settings.own_names.iter().any(|own| own.as_str().eq_ignore_ascii_case(name));
        let own = found.iter().filter(|(_, name)| own(name)).map(|(preference, _)| *preference).min();
        found.retain(|(preference, _)| own.is_none_or(|own| *preference < own));
        if found.is_empty() {
            return Err(NoRoute::Loop { domain: shown() });
        }
        for group in found.chunk_by_mut(|one, other| one.0 == other.0) {
            let turn = usize::try_from(spread).unwrap_or(0) % group.len().max(1);
            group.rotate_left(turn);
        }
        Ok((found, prover))
    }

    /// The servers with their addresses.
    async fn hosts(
        &self,
        domain: &Domain,
        exchangers: Vec<(u16, String)>,
        enforced: Option<&Policy>,
        prover: Option<&Resolver>,
    ) -> Result<Vec<Host>, NoRoute> {
        let shown = || domain.to_string();
        let (mut found, mut looked) = (Found::default(), 0);
        for (preference, name) in exchangers.into_iter().take(4 * MOST_HOSTS) {
            if looked >= MOST_HOSTS || found.loop_from.is_some_and(|from| preference >= from) {
                break;
            }
            let asked = match prover {
                Some(prover) => prover.tlsa(&name, self.settings.port).await,
                None => Ok(None),
            };
            let asked = match asked {
                Ok(records) => Asked::of(records, domain.as_str()),
                // RFC 7672 §2.2: a server of which it cannot be told what it must prove is not spoken to.
                Err(error) => {
                    looked += 1;
                    found.failure = Some(error);
                    continue;
                }
            };
            // A server that proves itself by DNS needs no policy beside (RFC 8461 §2).
            let is_named = enforced.is_none_or(|policy| policy.names(&name));
            if !is_named && !matches!(asked, Asked::Authentication(_)) {
                found.is_not_named = true;
                continue;
            }
            looked += 1;
            let addresses = match self.resolver.addresses(&name).await {
                Ok(addresses) => addresses,
                Err(error) if error.is_temporary() => {
                    found.failure = Some(error);
                    continue;
                }
                Err(_) => continue,
            };
            if addresses.iter().any(|address| self.settings.own_addresses.contains(address)) {
                found.loop_from = Some(preference);
                continue;
            }
            let permitted = addresses.iter().filter(|address| self.settings.opened.permit(**address));
            let permitted = permitted.take(MOST_ADDRESSES).map(|address| SocketAddr::new(*address, self.settings.port));
            let addresses: Vec<SocketAddr> = permitted.collect();
            if addresses.is_empty() {
                found.is_blocked = true;
            } else {
                found.hosts.push((preference, Host { name, addresses, asked }));
            }
        }
        found.hosts.retain(|(preference, _)| found.loop_from.is_none_or(|from| *preference < from));
        match found {
            Found { hosts, .. } if !hosts.is_empty() => Ok(hosts.into_iter().map(|(_, host)| host).collect()),
            Found { failure: Some(error), .. } => Err(NoRoute::Dns(error)),
            Found { loop_from: Some(_), .. } => Err(NoRoute::Loop { domain: shown() }),
            Found { is_blocked: true, .. } => Err(NoRoute::NotPublic { domain: shown() }),
            Found { is_not_named: true, .. } => Err(NoRoute::Sts { domain: shown() }),
            _ => Err(NoRoute::NoDomain { domain: shown() }),
        }
    }
}

impl Route {
    /// Mode of the MTA-STS policy that counts for it; empty where there is none.
    #[must_use]
    pub const fn policy(&self) -> Option<Mode> {
        self.policy
    }

    /// Whether mail to this recipient may go this way.
    #[must_use]
    pub fn leads_to(&self, recipient: &Mailbox) -> bool {
        self.domain.as_ref().is_none_or(|domain| domain == recipient.domain())
    }

    /// Each address of each server, in the order in which they are tried, with what is asked of it.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        let addresses = self.hosts.iter().flat_map(|host| host.addresses.iter().map(move |address| (host, *address)));
        addresses.map(|(host, address)| {
            let (encryption, trust) = match &host.asked {
                Asked::Authentication(dane) => (Encryption::Required, Trust::Dane(Arc::clone(dane))),
                // A policy asks for more.
                Asked::Encryption => (Encryption::Required, self.trust.clone()),
                Asked::Nothing => (self.encryption, self.trust.clone()),
            };
            let (name, credentials) = (host.name.clone(), self.credentials.clone());
            Peer { name, address, encryption, trust, credentials, account: self.account.clone() }
        })
    }
}

#[cfg(test)]
impl Route {
    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub(super) const fn encryption(&self) -> Encryption {
        self.encryption
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust.clone()
    }
}

/// A name that DNS cannot hold is no domain; all else is to be asked again.
fn dns(error: DnsError, domain: String) -> NoRoute {
    match error {
        DnsError::InvalidName { .. } | DnsError::NotFound { .. } => NoRoute::NoDomain { domain },
        error => NoRoute::Dns(error),
    }
}

#[cfg(test)]
mod tests;
