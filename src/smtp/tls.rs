//! Certificates of the mail doors and the TLS handshake: TLS 1.2 and 1.3, ring as the provider.
//!
//! It must never log or show a private key. A certificate can be replaced while sessions run; each handshake takes the one
//! that is current.
//!
//! Standards: RFC 8446, RFC 5246, RFC 8996 (nothing older), RFC 3207, RFC 8314.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate, or none that can be read.
    #[error("the certificate chain is no PEM with CERTIFICATE sections")]
    Certificate(#[source] Option<rustls_pki_types::pem::Error>),
    /// No key, or none that can be read.
    #[error("the private key is no PEM with a PRIVATE KEY section")]
    Key(#[source] rustls_pki_types::pem::Error),
    /// The key is not that of the certificate, or of a kind that cannot be used.
    #[error("certificate and key do not make a TLS server")]
    Mismatch(#[source] rustls::Error),
}

/// What a handshake needs; shared by all listeners with the same certificate.
pub struct ServerTls {
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads a certificate chain, leaf first, and the leaf's private key.
    ///
    /// # Errors
    /// Says which of the two cannot be used; never shows the key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { current: RwLock::new(Arc::new(read(chain, key)?)) })
    }

    /// Takes another certificate for the handshakes to come.
    ///
    /// # Errors
    /// As [`ServerTls::from_pem`]; the certificate in use then stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = Arc::new(read(chain, key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Does the server's side of a handshake.
    ///
    /// # Errors
    /// The peer broke off, or speaks no TLS that is allowed here.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// Names nothing: the configuration holds the key.
impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerTls")
    }
}

/// Version and cipher suite as logs and origins show them, e.g. `TLSv1_3 TLS13_AES_256_GCM_SHA384`.
#[must_use]
pub fn description(stream: &TlsStream<TcpStream>) -> Box<str> {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown");
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    format!("{version} {suite}").into_boxed_str()
}

fn read(chain: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(Some(error)))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate(None));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    // The provider is named here, not taken from the process, so that no order of start matters.
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_found_and_not_shown() {
        let one = rcgen::generate_simple_self_signed(vec!["mx.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["mx.example".to_owned()]).unwrap();
        let (chain, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let wrong = tls.replace(chain.as_bytes(), other.signing_key.serialize_pem().as_bytes());
        assert!(matches!(wrong, Err(TlsError::Mismatch(_))));
        assert!(matches!(ServerTls::from_pem(b"", key.as_bytes()), Err(TlsError::Certificate(None))));
        assert!(matches!(ServerTls::from_pem(chain.as_bytes(), b""), Err(TlsError::Key(_))));
        assert_eq!(format!("{tls:?}"), "ServerTls");
    }
}
