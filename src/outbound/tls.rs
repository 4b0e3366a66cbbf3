//! The client's side of TLS: with a certificate that is believed, or with any.
//!
//! Between mail servers encryption is opportunistic (RFC 7435): most have certificates that name somebody else, and
//! the alternative is none. Where a policy or the operator asks for more, only the public authorities and those that
//! the operator added are believed, and the certificate must name the server. Where signed DNS says which certificate a server
//! has, that one is.
//!
//! Standards: RFC 3207, RFC 7435, RFC 8446 and RFC 5246, RFC 8996 (nothing older), RFC 9525 (names), RFC 7672 (DANE).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dane::Dane;

/// Which certificate is good enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Any: the session is encrypted, and nobody is believed by it.
    Any,
    /// One by an authority, that names the server.
    Verified,
    /// One that the server's domain has a record of, in signed DNS.
    Dane(Arc<Dane>),
}

/// Settings of the client's side. Clones share them.
#[derive(Clone)]
pub struct ClientTls {
    provider: Arc<CryptoProvider>,
    any: Arc<ClientConfig>,
    verified: Arc<ClientConfig>,
}

impl ClientTls {
    /// Believes the public authorities (Mozilla's list) and `extra` ones.
    ///
    /// # Errors
    /// When one of `extra` cannot be used.
    pub fn new(extra: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in extra {
            roots.add(certificate.clone())?;
        }
        let verified = builder()?.with_root_certificates(roots).with_no_client_auth();
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let any = builder()?.dangerous().with_custom_certificate_verifier(any).with_no_client_auth();
        Ok(Self { provider, any: Arc::new(any), verified: Arc::new(verified) })
    }

    /// Believes the authorities of a PEM text beside the public ones.
    ///
    /// # Errors
    /// When there is none in it, or one that cannot be used.
    pub fn believing(pem: &[u8]) -> Result<Self, rustls::Error> {
        let fail = |why: String| rustls::Error::General(why);
        let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let extra = extra.map_err(|error| fail(error.to_string()))?;
        if extra.is_empty() {
            return Err(fail("no certificate is in it".to_owned()));
        }
        Self::new(&extra)
    }

    /// For HTTPS: a certificate that is believed, and HTTP/1.1.
    pub(super) fn https(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.verified);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// Does a handshake with `host`.
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        trust: &Trust,
        host: &str,
        address: IpAddr,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let named = ServerName::try_from(host.to_owned());
        let (config, name) = match (trust, named) {
            (Trust::Any, named) => (Arc::clone(&self.any), named.unwrap_or_else(|_| ServerName::from(address))),
            (Trust::Verified, Ok(name)) => (Arc::clone(&self.verified), name),
            (Trust::Dane(dane), Ok(name)) => (self.with_records(dane).map_err(io::Error::other)?, name),
            (Trust::Verified | Trust::Dane(_), Err(_)) => {
                let text = "the server's name is none that a certificate can hold";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        TlsConnector::from(config).connect(name, stream).await
    }

    /// RFC 7672 §3.2.3: whatever is believed, the client says the name that the records stand at.
    fn with_records(&self, dane: &Arc<Dane>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let any = AnyCertificate(Arc::clone(&self.provider));
        let verifier = Arc::new(RecordedCertificate { dane: Arc::clone(dane), any });
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions()?.dangerous();
        Ok(Arc::new(builder.with_custom_certificate_verifier(verifier).with_no_client_auth()))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientTls")
    }
}

/// Believes that the server holds the key of its certificate, and nothing else.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes what signed DNS says of the server, and that it holds the key.
#[derive(Debug)]
struct RecordedCertificate {
    dane: Arc<Dane>,
    any: AnyCertificate,
}

impl ServerCertVerifier for RecordedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.dane.verify((certificate, intermediates), name, now, &self.any.0)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}
