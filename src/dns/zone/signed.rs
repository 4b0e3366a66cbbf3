//! A world whose DNS is signed, with one zone and one key: the root's.
//!
//! What is not there is denied at the name itself (RFC 9824 §3.1). Parts can be left unsigned, as below a delegation without
//! DS, and answers can be forged.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{DnssecSigner, PublicKeyBuf, SigningKey as _};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{NS, SOA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType};

use crate::clock::Clock;

/// How long a signature counts, from an hour ago.
const VALID: Duration = Duration::from_secs(24 * 3_600);

/// The key, and what it does not sign.
pub(super) struct Signed {
    signer: DnssecSigner,
    pub(super) key: PublicKeyBuf,
    pub(super) unsigned: HashSet<Name>,
    pub(super) forged: HashSet<Name>,
}

impl Signed {
    pub(super) fn new() -> io::Result<Self> {
        let secret = Ed25519SigningKey::generate_pkcs8().map_err(io::Error::other)?;
        let pair = Ed25519SigningKey::from_pkcs8(&secret).map_err(io::Error::other)?;
        let key = pair.to_public_key().map_err(io::Error::other)?;
        let signer = DnssecSigner::new(DNSKEY::from_key(&key), Box::new(pair), Name::root(), VALID);
        Ok(Self { signer, key, unsigned: HashSet::new(), forged: HashSet::new() })
    }

    /// The key as a record.
    pub(super) fn key_text(&self) -> String {
        format!(". 3600 IN DNSKEY {}\n", self.signer.to_dnskey())
    }

    /// Signs an answer, or proves that there is none. `types` are those that the name has.
    pub(super) fn finish(&self, reply: &mut Message, name: &Name, kind: RecordType, types: &[RecordType]) {
        let apex = self.unsigned.iter().find(|apex| apex.zone_of(name));
        if let Some(apex) = apex
            && !(kind == RecordType::DS && apex == name)
        {
            self.leave(reply, name, kind, apex);
            return;
        }
        if kind == RecordType::DNSKEY && name.is_root() {
            let key = RData::DNSSEC(DNSSECRData::DNSKEY(self.signer.to_dnskey()));
            reply.add_answer(Record::from_rdata(Name::root(), 0, key));
        }
        if reply.answers.is_empty() {
            reply.metadata.response_code = ResponseCode::NoError;
            reply.authorities.clear();
            reply.add_authority(authority(&Name::root()));
            let cut = apex.map(|_| RecordType::NS);
            let next = name.prepend_label([0_u8].as_slice()).unwrap_or_else(|_| Name::root());
            let denial = NSEC::new_cover_self(next, types.iter().copied().chain(cut));
            reply.add_authority(Record::from_rdata(name.clone(), 0, RData::DNSSEC(DNSSECRData::NSEC(denial))));
        }
        let (answers, authorities) = (self.signatures(&reply.answers), self.signatures(&reply.authorities));
        reply.add_answers(answers);
        reply.add_authorities(authorities);
    }

    /// As a zone of its own that is not signed.
    fn leave(&self, reply: &mut Message, name: &Name, kind: RecordType, apex: &Name) {
        if kind == RecordType::NS && apex == name {
            reply.add_answer(Record::from_rdata(apex.clone(), 0, RData::NS(NS(apex.clone()))));
            reply.metadata.response_code = ResponseCode::NoError;
            reply.authorities.clear();
        } else if reply.answers.is_empty() {
            reply.authorities.clear();
            reply.add_authority(authority(apex));
        }
    }

    /// One for each set of records.
    fn signatures(&self, records: &[Record]) -> Vec<Record> {
        let mut sets: Vec<RecordSet> = Vec::new();
        for record in records {
            let is_same =
                |set: &&mut RecordSet| *set.name() == record.name && set.record_type() == record.record_type();
            match sets.iter_mut().find(is_same) {
                Some(set) => {
                    set.insert(record.clone(), 0);
                }
                None => sets.push(RecordSet::from(record.clone())),
            }
        }
        sets.iter().filter_map(|set| self.signature(set)).collect()
    }

    fn signature(&self, set: &RecordSet) -> Option<Record> {
        let micros = u64::try_from(Clock::System.now().as_micros()).ok()?;
        let since = UNIX_EPOCH + Duration::from_micros(micros).saturating_sub(Duration::from_secs(3_600));
        let signature = RRSIG::from_rrset(set, DNSClass::IN, since.into(), &self.signer).ok()?;
        // With other octets it is one over something else.
        let signature = if self.forged.contains(set.name()) {
            RRSIG::from_sig(signature.input().clone(), vec![1; 64])
        } else {
            signature
        };
        Some(Record::from_rdata(set.name().clone(), 0, RData::DNSSEC(DNSSECRData::RRSIG(signature))))
    }
}

/// RFC 2308 §3: what is not there is remembered for as long as this says.
pub(super) fn authority(zone: &Name) -> Record {
    Record::from_rdata(zone.clone(), 0, RData::SOA(SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 0)))
}
