//! Look-ups of one message: keys at the same time, and the peer's name.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use mail_auth::common::resolver::ToFqdn as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::{DnsError, Error, IpLookupStrategy, MessageAuthenticator, RecordSet, ResolverCache, Txt};
use tokio::time::{Instant, timeout_at};

/// Names of one address that are looked up again: an address with more is no mail server.
const PEER_NAMES: usize = 3;

/// Records that were looked up for one message and one protocol. Between messages, the resolver keeps them.
#[derive(Default)]
pub(super) struct Records(Mutex<HashMap<Box<str>, Txt>>);

impl Records {
    /// Bits of the key at `name`; `None` where there is none, or it cannot be told.
    pub(super) fn key_bits(&self, name: &str) -> Option<usize> {
        match self.get::<str>(name.to_fqdn().as_ref()) {
            Some(Txt::DomainKey(key)) => Some(key.p.public_key_bits()).filter(|bits| *bits > 0),
            _ => None,
        }
    }

    fn put(&self, name: Box<str>, record: Txt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, record);
    }
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remove<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    fn insert(&self, name: Box<str>, record: Txt, _: std::time::Instant) {
        self.put(name, record);
    }
}

/// Looks all keys up at once. Each name has an entry afterwards, if only that there was no answer.
pub(super) async fn keys(dns: &MessageAuthenticator, names: &BTreeSet<String>, keys: &Records, until: Instant) {
    join_all(names.iter().map(|name| async move {
        let found = match timeout_at(until, dns.txt_lookup::<DomainKey>(name, Some(keys))).await {
            Ok(found) => found.map(|_| ()),
            Err(_) => Err(Error::Dns(DnsError::Resolver("no answer in time".to_owned()))),
        };
        if let Err(error) = found {
            keys.put(name.to_fqdn().into_owned().into_boxed_str(), Txt::Error(error));
        }
    }))
    .await;
}

/// What the peer's address and name say of one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerName {
    /// The name leads back to the address.
    Confirmed(String),
    /// It leads elsewhere, or nowhere.
    Contradicted(String),
    /// The address has no name.
    Missing,
    /// DNS did not answer.
    Unanswered,
}

/// RFC 8601 §3: the name of an address, and whether it leads back to it.
pub(super) async fn peer_name(dns: &MessageAuthenticator, peer: IpAddr) -> PeerName {
    const NONE: Option<&Addresses> = None;
    let names = match dns.ptr_lookup(peer, None::<&Names>).await {
        Ok(names) => names.rrset,
        Err(Error::Dns(DnsError::Resolver(_))) => return PeerName::Unanswered,
        Err(_) => return PeerName::Missing,
    };
    let strategy = if peer.is_ipv4() { IpLookupStrategy::Ipv4Only } else { IpLookupStrategy::Ipv6Only };
    let mut found = PeerName::Missing;
    for name in names.iter().take(PEER_NAMES) {
        match dns.ip_lookup(name, strategy, usize::MAX, NONE, None::<&Addresses6>).await {
            Ok(addresses) if addresses.contains(&peer) => return PeerName::Confirmed(name.to_string()),
            Err(Error::Dns(DnsError::Resolver(_))) => found = PeerName::Unanswered,
            _ if found == PeerName::Missing => found = PeerName::Contradicted(name.to_string()),
            _ => {}
        }
    }
    found
}

type Names = mail_auth::common::cache::NoCache<IpAddr, RecordSet<Box<str>>>;
type Addresses = mail_auth::common::cache::NoCache<Box<str>, RecordSet<std::net::Ipv4Addr>>;
type Addresses6 = mail_auth::common::cache::NoCache<Box<str>, RecordSet<std::net::Ipv6Addr>>;
