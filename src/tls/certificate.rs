//! A certificate chain with its private key, read from PEM, and what is said about it: names and times.
//!
//! Pure. It must never show the key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::TlsError;
use crate::clock::Timestamp;

/// One of our certificates, with the key that proves it.
pub struct OwnCertificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

impl OwnCertificate {
    /// Whether it should have been renewed by `now`: two weeks before its end, or in the last quarter of its time where
    /// that is less than six weeks, as it is then renewed later than that.
    #[must_use]
    pub fn is_ending(&self, now: Timestamp) -> bool {
        let whole = self.ends().since(self.begins());
        let soon = if whole < SIX_WEEKS { whole / 4 } else { TWO_WEEKS };
        self.ends().since(now) < soon
    }

    /// Reads a certificate chain, leaf first, and the leaf's private key.
    ///
    /// # Errors
    /// Says which of the two cannot be used; never shows the key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let leaf = chain.first().ok_or(TlsError::Certificate(None))?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| TlsError::Certificate(None))?;
        let validity = parsed.validity();
        let (begins, ends) = (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
        let names = dns_names(&parsed);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Mismatch)?;
        Ok(Self { key: Arc::new(key), names, begins, ends })
    }

    /// Its DNS names, as they stand in it; one may begin with `*.`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when it is valid.
    #[must_use]
    pub const fn begins(&self) -> Timestamp {
        self.begins
    }

    /// Until when it is valid.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether it is for this host (RFC 9525 §6.3: a wildcard stands for one whole left-most label).
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => parent.is_some_and(|parent| parent.eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(host),
        })
    }

    /// What a handshake takes.
    pub(super) const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("OwnCertificate");
        shown.field("names", &self.names).field("ends", &self.ends.to_string()).finish_non_exhaustive()
    }
}

/// All certificates of a PEM text, in order.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.map_err(|error| TlsError::Certificate(Some(error)))
}

/// The DNS names of a certificate: those of subjectAltName alone (RFC 9525 §6.3 takes no common name for one).
pub(super) fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);
const SIX_WEEKS: Duration = Duration::from_secs(42 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_key_of_another_certificate_is_found_and_not_shown() {
        let ((chain, key), (_, other)) = (pair(&["mx.example"]), pair(&["mx.example"]));
        let read = |chain: &str, key: &str| OwnCertificate::from_pem(chain.as_bytes(), key.as_bytes());
        let certificate = read(&chain, &key).unwrap();
        assert!(matches!(read(&chain, &other), Err(TlsError::Mismatch(_))));
        assert!(matches!(read("", &key), Err(TlsError::Certificate(None))));
        assert!(matches!(read(&chain, ""), Err(TlsError::Key(_))));
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
        assert_eq!(certificate.names(), ["mx.example"]);
        assert!(certificate.begins() < certificate.ends());
    }

    #[test]
    fn a_wildcard_is_for_one_label() {
        let (chain, key) = pair(&["*.in.example", "mx.example"]);
        let certificate = OwnCertificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        for (host, expected) in [
            ("mx.example", true),
            ("MX.Example", true),
            ("a.in.example", true),
            ("a.b.in.example", false),
            ("in.example", false),
            ("example", false),
            ("", false),
        ] {
            assert_eq!(certificate.is_for(host), expected, "{host}");
        }
    }
}
