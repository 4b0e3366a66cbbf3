//! Which certificates are believed, and the client's side of the TLS handshake.
//!
//! Standards: RFC 3207 (STARTTLS), RFC 8446, RFC 5246, RFC 6125 (the name in the certificate).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Authorities whose certificates are believed.
#[derive(Clone)]
pub struct TrustedRoots(Arc<ClientConfig>);

/// An authority's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthority {
    /// It is no PEM file with a certificate.
    #[error("{} holds no certificate: it must be PEM with a CERTIFICATE section", .0.display())]
    Pem(PathBuf),
    /// A certificate in it is of a kind that cannot be used.
    #[error("a certificate authority cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl TrustedRoots {
    /// The public authorities (Mozilla's list).
    ///
    /// # Errors
    /// [`InvalidAuthority::Unusable`], which the compiled-in list does not cause.
    pub fn public() -> Result<Self, InvalidAuthority> {
        Self::of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The authorities in the PEM file at `path`, and no others.
    ///
    /// # Errors
    /// See [`InvalidAuthority`].
    pub fn only(path: &Path) -> Result<Self, InvalidAuthority> {
        let mut roots = RootCertStore::empty();
        add(&mut roots, path)?;
        Self::of(roots)
    }

    /// The public authorities, and those in the PEM file at `path`.
    ///
    /// # Errors
    /// See [`InvalidAuthority`].
    pub fn public_and(path: &Path) -> Result<Self, InvalidAuthority> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        add(&mut roots, path)?;
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, InvalidAuthority> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Does the client's side of a handshake with `host`, which the certificate must name.
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "the server's name is none that a certificate can hold")
        })?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrustedRoots")
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), InvalidAuthority> {
    let unreadable = |_| InvalidAuthority::Pem(path.to_owned());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() {
        return Err(InvalidAuthority::Pem(path.to_owned()));
    }
    for certificate in found {
        roots.add(certificate)?;
    }
    Ok(())
}
