//! What a client's certificate proves: that its holder has the key, and whether a listed authority stands behind it.
//!
//! In the handshake any certificate will do, so that a client whose certificate nobody asked for by name still comes in
//! as everybody does. The proof of possession is never waived. [`describe`] is pure and reads hostile bytes.
//!
//! Standards: RFC 8446 §4.4.3 and RFC 5246 §7.4.8 (CertificateVerify), RFC 5280 §6 (path validation).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::TlsError;
use super::certificate::{certificates, dns_names};
use crate::clock::Timestamp;
use crate::mail::envelope::Certificate;

/// Takes whatever certificate a client can prove to hold, and clients without one.
#[derive(Debug)]
pub(super) struct AnyHolder {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyHolder {
    pub(super) fn new() -> Self {
        Self { algorithms: rustls::crypto::ring::default_provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyHolder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: many clients would keep back a certificate by another authority, which may well be pinned.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Authorities whose word about clients is taken.
#[derive(Debug)]
pub struct ClientAuthority(Arc<dyn ClientCertVerifier>);

impl ClientAuthority {
    /// Those in a PEM text.
    ///
    /// # Errors
    /// There is none in it, or one of a kind that cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let fail = |error: String| TlsError::Authority(error);
        let mut roots = RootCertStore::empty();
        for authority in certificates(pem)? {
            roots.add(authority).map_err(|error| fail(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        built.map(Self).map_err(|error| fail(error.to_string()))
    }

    /// Whether the chain of `leaf` ends in one of them, and everything in it is valid at `now`, for a TLS client.
    pub(super) fn vouches_for(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> bool {
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.0.verify_client_cert(leaf, intermediates, now).is_ok()
    }
}

/// What stands in a certificate, not verified. Texts are cut where they are longer than any that is of use; one that is
/// no certificate has its digest alone.
#[must_use]
pub fn describe(der: &[u8]) -> Certificate {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let nothing =
        Certificate { sha256, subject: String::new(), issuer: String::new(), names: Vec::new(), is_verified: false };
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return nothing };
    let issuer = parsed.issuer().iter_common_name().next().and_then(|name| name.as_str().ok());
    let names = dns_names(&parsed).into_iter().filter(|name| name.len() <= LONGEST_NAME).take(MOST_NAMES);
    Certificate {
        subject: cut(&parsed.subject().to_string()),
        issuer: cut(issuer.unwrap_or_default()),
        names: names.collect(),
        ..nothing
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// RFC 5280 appendix A.1: a common name has at most 64 characters; whole subjects have several parts.
const LONGEST_TEXT: usize = 256;
/// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 255;
const MOST_NAMES: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Valid in the year 2026.
    fn issued(by: &CertifiedIssuer<'static, KeyPair>, purpose: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["out.lake.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Lake relay");
        params.extended_key_usages = vec![purpose];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_described_by_its_digest_subject_issuer_and_names() {
        let der = issued(&authority("Lake CA"), ExtendedKeyUsagePurpose::ClientAuth);
        let shown = describe(&der);
        assert_eq!(shown.sha256.len(), 64);
        assert!(shown.subject.contains("CN=Lake relay"), "{}", shown.subject);
        assert_eq!(shown.issuer, "Lake CA");
        assert_eq!(shown.names, ["out.lake.example"]);
        assert!(!shown.is_verified, "a description proves nothing");
    }

    #[test]
    fn an_authority_vouches_for_its_own_while_they_are_valid_and_for_clients() {
        let (own, other) = (authority("Lake CA"), authority("Lake CA"));
        let trusted = ClientAuthority::from_pem(own.pem().as_bytes()).unwrap();
        let at = |time: &str| Timestamp::parse_rfc3339(time).unwrap();
        let now = at("2026-11-23T10:00:00Z");
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let good = issued(&own, client.clone());
        assert!(trusted.vouches_for(&good, &[], now));
        assert!(!trusted.vouches_for(&good, &[], at("2027-01-02T00:00:00Z")), "expired");
        assert!(!trusted.vouches_for(&good, &[], at("2025-12-31T00:00:00Z")), "not yet valid");
        assert!(!trusted.vouches_for(&issued(&other, client), &[], now), "another authority of the same name");
        assert!(!trusted.vouches_for(&issued(&own, ExtendedKeyUsagePurpose::ServerAuth), &[], now), "not for clients");
        assert!(!trusted.vouches_for(&CertificateDer::from(vec![0x30]), &[], now), "no certificate");
    }

    #[test]
    fn a_file_without_an_authority_is_refused() {
        assert!(matches!(ClientAuthority::from_pem(b""), Err(TlsError::Authority(_))));
    }

    #[test]
    fn endless_texts_are_cut() {
        let mut params = CertificateParams::new((0..300).map(|n| format!("n{n}.example")).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "x".repeat(5_000));
        let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let shown = describe(own.der());
        assert_eq!((shown.subject.len(), shown.issuer.len(), shown.names.len()), (256, 256, 100));
    }

    proptest! {
        #[test]
        fn any_bytes_are_described(der in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(describe(&der).sha256.len(), 64);
        }

        #[test]
        fn any_change_of_a_certificate_is_described(at in 0usize..400, to in any::<u8>()) {
            let mut der = issued(&authority("Lake CA"), ExtendedKeyUsagePurpose::ClientAuth).to_vec();
            let at = at % der.len();
            der[at] = to;
            prop_assert!(describe(&der).names.len() <= MOST_NAMES);
        }
    }
}
