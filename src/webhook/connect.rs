//! How webhook connections are made: which addresses are dialled, and which certificates are believed.
//!
//! # Security
//! The HTTP client asks [`Guard`] for addresses each time it opens a connection, and dials what it gets back and
//! nothing else: a name that answers with a public address when it is registered and with a private one later
//! (DNS rebinding) is stopped here. One address that is not permitted refuses the whole answer. Address literals never
//! come here; [`super::endpoint::PublicUrl`] has judged them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;

use super::endpoint::{AllowList, Reach};
use crate::dns::Resolver;

/// A name led to an address that must not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` leads to {address}, which is not a public address")]
pub(super) struct BlockedAddress {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Resolves names for the HTTP client and lets only permitted addresses through.
pub(super) struct Guard {
    resolver: Resolver,
    allow: AllowList,
    reach: Reach,
}

impl Guard {
    pub(super) const fn new(resolver: Resolver, allow: AllowList, reach: Reach) -> Self {
        Self { resolver, allow, reach }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, allow, reach) = (self.resolver.clone(), self.allow.clone(), self.reach);
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            if reach == Reach::Public
                && let Some(address) = addresses.iter().copied().find(|address| !allow.permits(*address))
            {
                return Err(BlockedAddress { host: name.as_str().to_owned(), address }.into());
            }
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}

/// TLS with the Mozilla roots and `extra` ones, on ring. The platform's verifier is not asked, so that a container
/// without a CA bundle behaves as any other machine.
pub(crate) fn tls(extra: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
