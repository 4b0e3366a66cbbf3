//! TLS for every door that speaks it: which certificate is shown, and what a client's certificate proves.
//!
//! TLS 1.2 and 1.3 with ring as the provider, session tickets, and no early data. Certificates are replaced while sessions
//! run: each handshake takes those that are current, and what was begun goes on. Nothing here waits for a file, logs, or
//! shows a private key.
//!
//! | file | what it holds |
//! |---|---|
//! | `certificate` | a chain and its key, from PEM, with names and times |
//! | `certificates` | those that are current, and which of them a client is shown |
//! | `clients` | what a client's certificate proves |
//! | [`files`] | PEM files, read again when they change |
//!
//! Standards: RFC 8446, RFC 5246, RFC 8996 (nothing older), RFC 6066 §3 (server name), RFC 7301 (ALPN), RFC 5077 and
//! RFC 8446 §4.6.1 (tickets), RFC 3207 and RFC 8314 (mail), RFC 5280 (certificates).
//!
//! # Security
//! A client's certificate is asked for and never required. Whichever it shows, it must prove to hold the key; whether the
//! chain is believed is noted, and judged by who uses it.

mod certificate;
mod certificates;
mod clients;
pub mod files;

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use certificate::OwnCertificate;
pub use certificates::Certificates;
pub use clients::{ClientAuthority, describe};

use crate::clock::Timestamp;
use crate::mail::envelope::Certificate;

/// Why certificates cannot be used.
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
    /// The authorities of clients cannot be used.
    #[error("the authorities of client certificates cannot be used: {0}")]
    Authority(String),
    /// The library cannot be set up: no randomness.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    Off,
    /// They are, and may go on without one.
    Ask,
}

/// What the server's side of a handshake needs; shared by all listeners of a kind.
pub struct ServerTls {
    acceptor: TlsAcceptor,
    /// Has tickets of its own: a session that began unasked is not resumed by who is asked now.
    asking: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl ServerTls {
    /// For mail: no ALPN, as SMTP has none.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn for_mail(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        Self::new(certificates, &[])
    }

    /// For HTTP/1.1. Its clients are not to be asked for anything: the API knows them by their key.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn for_http(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        Self::new(certificates, &[b"http/1.1"])
    }

    fn new(certificates: Arc<Certificates>, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let acceptor = acceptor_of(&certificates, ClientCertificates::Off, protocols)?;
        let asking = acceptor_of(&certificates, ClientCertificates::Ask, protocols)?;
        Ok(Self { acceptor, asking, certificates })
    }

    /// Does the server's side of a handshake.
    ///
    /// # Errors
    /// The peer broke off, or speaks no TLS that is allowed here.
    pub async fn accept<S>(&self, stream: S, clients: ClientCertificates) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match clients {
            ClientCertificates::Off => self.acceptor.accept(stream).await,
            ClientCertificates::Ask => self.asking.accept(stream).await,
        }
    }

    /// What the client of this session showed; `None` where it showed nothing or was not asked.
    ///
    /// A session that was resumed has the certificate of the one before, and it is judged anew.
    #[must_use]
    pub fn client_certificate<S>(&self, stream: &TlsStream<S>, now: Timestamp) -> Option<Certificate> {
        let (_, session) = stream.get_ref();
        let (leaf, intermediates) = session.peer_certificates()?.split_first()?;
        let authority = self.certificates.client_authority();
        let is_verified = authority.is_some_and(|authority| authority.vouches_for(leaf, intermediates, now));
        Some(Certificate { is_verified, ..describe(leaf) })
    }
}

/// One that asks clients for a certificate or does not, with tickets of its own.
fn acceptor_of(
    certificates: &Arc<Certificates>,
    clients: ClientCertificates,
    protocols: &[&[u8]],
) -> Result<TlsAcceptor, TlsError> {
    // The provider is named here, not taken from the process, so that no order of start matters.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Setup)?;
    let builder = match clients {
        ClientCertificates::Off => builder.with_no_client_auth(),
        ClientCertificates::Ask => builder.with_client_cert_verifier(Arc::new(clients::AnyHolder::new())),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Setup)?;
    // A client that resumes is given a new one each time; a second one would never be used.
    config.send_tls13_tickets = 1;
    // Replayed mail would be mail twice (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Names nothing: the configuration holds keys.
impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerTls")
    }
}

/// Version and cipher suite as logs and origins show them, e.g. `TLSv1_3 TLS13_AES_256_GCM_SHA384`.
#[must_use]
pub fn description<S>(stream: &TlsStream<S>) -> Box<str> {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown");
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    format!("{version} {suite}").into_boxed_str()
}
