//! Look-ups of one message: keys at the same time, the peer's name, and whether a record is the only one of its name.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use mail_auth::common::resolver::ToFqdn as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::{DnsError, Error, IpLookupStrategy, MessageAuthenticator, RecordSet, ResolverCache, Txt};
use tokio::time::{Instant, timeout_at};

use crate::dns::Resolver;

/// Names of one address that are looked up again: an address with more is no mail server.
const PEER_NAMES: usize = 3;

/// Records that were looked up for one message and one protocol. Between messages, the resolver keeps them.
#[derive(Default)]
pub(super) struct Records {
    found: Mutex<HashMap<Box<str>, Txt>>,
    /// Names of which it is known how many records they have.
    counted: Mutex<HashSet<Box<str>>>,
}

impl Records {
    /// Bits of the key at `name`; `None` where there is none, or it cannot be told.
    pub(super) fn key_bits(&self, name: &str) -> Option<usize> {
        match self.get::<str>(name.to_fqdn().as_ref()) {
            Some(Txt::DomainKey(key)) => Some(key.p.public_key_bits()).filter(|bits| *bits > 0),
            _ => None,
        }
    }

    /// Every name with what was found, of those that were not counted yet.
    fn uncounted(&self) -> Vec<(Box<str>, Txt)> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let uncounted = found.iter().filter(|(name, _)| !counted.contains(*name));
        uncounted.map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    /// Takes note that `name` was counted, and what stands in place of its record.
    fn count(&self, name: Box<str>, instead: Option<Error>) {
        if let Some(error) = instead {
            self.put(name.clone(), Txt::Error(error));
        }
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    fn put(&self, name: Box<str>, record: Txt) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name, record);
    }
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remove<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
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

/// Records of which a name may have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Single {
    /// RFC 7208 §4.5: several are `permerror`, and so is one that cannot be read.
    Spf,
    /// RFC 9989 §4.10: several are as good as none.
    Dmarc,
}

impl Single {
    /// Whether `text` says that it is such a record.
    fn is_named_in(self, text: &[u8]) -> bool {
        let (version, ends): (&[u8], &[u8]) = match self {
            Self::Spf => (b"v=spf1", b" "),
            Self::Dmarc => (b"v=DMARC1", b" \t;"),
        };
        let (begin, rest) = text.split_at_checked(version.len()).unwrap_or_default();
        begin.eq_ignore_ascii_case(version) && rest.first().is_none_or(|next| ends.contains(next))
    }

    /// What stands in place of `found` where the name has `count` such records; `None` where it is right as it is.
    fn instead(self, found: &Txt, count: usize) -> Option<Error> {
        match (self, found, count) {
            (Self::Spf, Txt::Spf(_), 2..) | (Self::Spf, Txt::Error(Error::Dns(DnsError::InvalidRecordType)), 1..) => {
                Some(Error::ParseError)
            }
            (Self::Dmarc, Txt::Dmarc(_) | Txt::Error(Error::ParseError), 2..) => {
                Some(Error::Dns(DnsError::InvalidRecordType))
            }
            _ => None,
        }
    }
}

/// Whether every record in `records` is the only one of its name. Those that are not are replaced in it by an error, and what
/// was made of them is to be made again. The verifier takes the first of several that it can read, and does not say that
/// there were others; the resolver still has the answer.
pub(super) async fn are_single(
    resolver: &Resolver,
    records: &Records,
    single: Single,
) -> Result<bool, crate::dns::DnsError> {
    let asked = records.uncounted().into_iter().map(|(name, found)| async move {
        let texts = resolver.texts(&name).await?;
        let count = texts.iter().filter(|text| single.is_named_in(text)).count();
        let instead = single.instead(&found, count);
        let is_right = instead.is_none();
        records.count(name, instead);
        Ok(is_right)
    });
    let judged: Vec<bool> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    Ok(judged.into_iter().all(|is_right| is_right))
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
