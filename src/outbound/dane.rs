//! What a domain says in DNS, signed, of the certificates of its mail servers (DANE).
//!
//! A record binds a server's own key (DANE-EE), or an authority behind it (DANE-TA). With one that can be used, a server is
//! believed by it alone: neither the public authorities nor an MTA-STS policy change that. Where there are records and none
//! can be used, the session is encrypted and nobody is believed by it. Records that are not proven count for nothing, and that
//! is for whoever looks them up.
//!
//! Standards: RFC 6698 and RFC 7671 (TLSA), RFC 7672 (SMTP).
//!
//! # Security
//! Names are compared for DANE-TA only: with DANE-EE the record stands at the server's name, and says all (RFC 7671 §5.1). An
//! authority of which the record has the digest must be among the certificates that the server sends (RFC 7671 §5.2.2).

use std::sync::Arc;

use ring::digest::{SHA256, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::dns::Tlsa;

/// Records of one server that are looked at.
const MOST: usize = 32;

const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;

/// Records that can be used.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Dane {
    records: Vec<Tlsa>,
    /// The recipient's domain, which a certificate of an authority may name in place of the server (RFC 7672 §3.2.2); empty
    /// where no record is about an authority, so that domains share connections.
    domain: String,
}

/// What the records of one server ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: there is none.
    #[default]
    Nothing,
    /// That the session is encrypted: none can be used (RFC 7672 §2.2).
    Encryption,
    /// That the server is one of them.
    Authentication(Arc<Dane>),
}

impl Asked {
    /// By proven records; `domain` is the recipient's.
    #[must_use]
    pub fn of(records: Option<Vec<Tlsa>>, domain: &str) -> Self {
        let Some(mut records) = records else { return Self::Nothing };
        records.truncate(MOST);
        records.retain(is_usable);
        if records.is_empty() {
            return Self::Encryption;
        }
        let is_of_authority = records.iter().any(|record| record.usage == DANE_TA);
        let domain = if is_of_authority { domain.to_owned() } else { String::new() };
        Self::Authentication(Arc::new(Dane { records, domain }))
    }
}

/// RFC 7672 §3.1.3: those about public authorities (0 and 1) mean nothing between mail servers.
fn is_usable(record: &Tlsa) -> bool {
    let length = record.data.len();
    let is_whole = match record.matching {
        0 => length > 0,
        1 => length == 32,
        2 => length == 64,
        _ => false,
    };
    matches!(record.usage, DANE_TA | DANE_EE) && record.selector <= 1 && is_whole
}

impl Dane {
    /// Whether a server with this certificate, and these behind it, is the one.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn verify(
        &self,
        (certificate, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        server: &ServerName<'_>,
        now: UnixTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), Error> {
        // RFC 7671 §5.1: neither its names nor its dates are asked for.
        if self.records.iter().any(|record| record.usage == DANE_EE && is_of(record, certificate)) {
            return Ok(());
        }
        let mut why = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for authority in self.authorities(others) {
            let mut roots = RootCertStore::empty();
            if roots.add(authority.into_owned()).is_err() {
                continue;
            }
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let Ok(verifier) = builder.build() else { continue };
            let domain = ServerName::try_from(self.domain.as_str()).ok();
            for name in [Some(server), domain.as_ref()].into_iter().flatten() {
                match verifier.verify_server_cert(certificate, others, name, &[], now) {
                    Ok(_) => return Ok(()),
                    Err(error) => why = error,
                }
            }
        }
        Err(why)
    }

    /// Those that a record is about: among what the server sent, or in the record itself.
    fn authorities<'c>(&'c self, others: &'c [CertificateDer<'c>]) -> impl Iterator<Item = CertificateDer<'c>> {
        let records = || self.records.iter().filter(|record| record.usage == DANE_TA);
        let sent = others.iter().filter(move |other| records().any(|record| is_of(record, other))).cloned();
        let whole = records().filter(|record| record.selector == 0 && record.matching == 0);
        sent.chain(whole.map(|record| CertificateDer::from(record.data.as_slice())))
    }
}

/// Whether a record is about a certificate (RFC 6698 §2.1.2 and §2.1.3).
fn is_of(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let parsed;
    let selected: &[u8] = if record.selector == 0 {
        certificate
    } else {
        let Ok((_, read)) = X509Certificate::from_der(certificate) else { return false };
        parsed = read;
        parsed.tbs_certificate.subject_pki.raw
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest(&SHA256, selected).as_ref() == record.data,
        2 => digest(&SHA512, selected).as_ref() == record.data,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
