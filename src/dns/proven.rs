//! Answers that are proven by DNSSEC, up to the keys of the root: those that say which certificate a server has.
//!
//! An answer is proven, or from a part of the DNS that is provably not signed, or neither; the last is no answer. A server
//! that hands on no signatures makes all answers of signed domains such.
//!
//! Standards: RFC 4033 §5 and RFC 4035 §4.3 (secure, insecure, bogus), RFC 6698 (TLSA), RFC 7672 §2.1.
//!
//! # Security
//! Nothing is taken on a server's word (the AD bit): signatures are checked here.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hickory_resolver::net::{DnsError as Answer, NetError};
use hickory_resolver::proto::dnssec::{Proof, PublicKeyBuf, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::{DnsError, Resolver, ResolverSettings, Source, absolute, read_error};

/// A question here asks several servers: keys of each zone up to the root.
const PATIENCE: u32 = 5;

/// The keys by which answers are proven: those of the root that are built in, unless told.
#[derive(Clone, Default)]
pub struct Anchors(Arc<TrustAnchors>);

impl Anchors {
    /// Those of a file of DNSKEY records (RFC 1035 §5, RFC 4034 §2.2).
    ///
    /// # Errors
    /// In words, when it cannot be read or has no key of the root.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let anchors: TrustAnchors = text.parse().map_err(|error| format!("no DNSKEY records: {error}"))?;
        if anchors.is_empty() { Err("has no key of the root".to_owned()) } else { Ok(Self(Arc::new(anchors))) }
    }

    /// One key of the root.
    pub(super) fn of_key(key: &PublicKeyBuf) -> Self {
        let mut anchors = TrustAnchors::empty();
        anchors.insert(key);
        Self(Arc::new(anchors))
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Anchors").field("keys", &self.0.len()).finish()
    }
}

/// What a domain says of a server's certificate (RFC 6698 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector: of the certificate, or of its key.
    pub selector: u8,
    /// Matching type: as it is, or a digest.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

impl Resolver {
    /// A resolver that proves answers, by these keys.
    ///
    /// # Errors
    /// As [`Resolver::new`].
    pub fn proving(settings: &ResolverSettings, anchors: Anchors) -> Result<Self, DnsError> {
        let made = Self::build(settings, |mut builder| {
            let options = builder.options_mut();
            options.validate = true;
            options.edns0 = true;
            builder.with_trust_anchor(anchors.0)
        })?;
        Ok(Self { limit: made.limit.saturating_mul(PATIENCE), ..made })
    }

    /// Preference and name of each mail exchanger of a domain, best first; `None` where the domain's DNS is not signed.
    ///
    /// # Errors
    /// [`DnsError`], also for what should be proven and is not.
    pub async fn proven_exchangers(&self, domain: &str) -> Result<Option<Vec<(u16, String)>>, DnsError> {
        let Some(records) = self.proven(domain, RecordType::MX).await? else { return Ok(None) };
        let read = |data: RData| match data {
            RData::MX(record) => Some((record.preference, record.exchange.to_ascii())),
            _ => None,
        };
        let mut found: Vec<(u16, String)> = records.into_iter().filter_map(read).collect();
        found.sort();
        Ok(Some(found))
    }

    /// What a domain says of the certificate of a server of its own at `port`; `None` where it says nothing, or its DNS is not
    /// signed: then it is not asked (RFC 7672 §2.2.2), since some servers fail at questions that they do not know.
    ///
    /// # Errors
    /// [`DnsError`], also for what should be proven and is not.
    pub async fn tlsa(&self, host: &str, port: u16) -> Result<Option<Vec<Tlsa>>, DnsError> {
        let is_signed = match self.proven(host, RecordType::A).await? {
            Some(addresses) if addresses.is_empty() => self.proven(host, RecordType::AAAA).await?.is_some(),
            Some(_) => true,
            // It may still have addresses of the other kind that are.
            None => false,
        };
        if !is_signed {
            return Ok(None);
        }
        let records = self.proven(&format!("_{port}._tcp.{host}"), RecordType::TLSA).await?;
        let read = |data: RData| match data {
            RData::TLSA(record) => Some(Tlsa {
                usage: record.cert_usage.into(),
                selector: record.selector.into(),
                matching: record.matching.into(),
                data: record.cert_data,
            }),
            _ => None,
        };
        let found: Vec<Tlsa> = records.into_iter().flatten().filter_map(read).collect();
        Ok((!found.is_empty()).then_some(found))
    }

    /// Records of a name, which are proven, and none where it is proven that there is none; `None` where nothing is signed.
    async fn proven(&self, shown: &str, kind: RecordType) -> Result<Option<Vec<RData>>, DnsError> {
        let Source::Live(resolver) = &self.source else { return Ok(None) };
        let invalid = |_| DnsError::InvalidName { name: shown.chars().take(64).collect() };
        let name = Name::from_ascii(absolute(shown)).map_err(invalid)?;
        let answer = tokio::time::timeout(self.limit, resolver.lookup(name, kind)).await;
        let failed = |detail: &str| DnsError::ServerFailure { name: shown.to_owned(), detail: detail.to_owned() };
        match answer.map_err(|_| DnsError::Timeout { name: shown.to_owned() })? {
            Ok(lookup) => {
                // The way to them counts as well, and signatures are no answers.
                let is_answer = |record: &&Record| [kind, RecordType::CNAME].contains(&record.record_type());
                match standing(lookup.answers().iter().filter(is_answer)) {
                    Proof::Secure => Ok(Some(lookup.answers().iter().map(|record| record.data.clone()).collect())),
                    Proof::Insecure => Ok(None),
                    Proof::Bogus | Proof::Indeterminate => Err(failed("DNSSEC does not prove the answer")),
                }
            }
            Err(NetError::Dns(Answer::Nsec { proof: Proof::Secure, .. })) => Ok(Some(Vec::new())),
            Err(NetError::Dns(Answer::Nsec { proof: Proof::Insecure, .. })) => Ok(None),
            Err(NetError::Dns(Answer::NoRecordsFound(none))) => {
                let why = none.authorities.iter().flat_map(|records| records.iter());
                let why = why.filter(|record| record.record_type() != RecordType::RRSIG);
                Ok((standing(why) == Proof::Secure).then(Vec::new))
            }
            Err(NetError::Dns(Answer::Nsec { .. } | Answer::DnssecBogus)) => {
                Err(failed("DNSSEC does not prove that there is none"))
            }
            Err(error) => Err(match read_error(shown, &error) {
                DnsError::NotFound { .. } => failed("DNSSEC does not prove that there is none"),
                error => error,
            }),
        }
    }
}

/// The least of what is known of records; nothing of none.
fn standing<'r>(records: impl Iterator<Item = &'r Record>) -> Proof {
    records.map(|record| record.proof).min().unwrap_or(Proof::Indeterminate)
}

#[cfg(test)]
mod tests;
