//! `[tls]` and `[acme]`: certificates of our own, those of clients, and where certificates are obtained.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::Reader;
use crate::mail::address::Domain;
use crate::tls::files::PairFiles;

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates with their keys; the first is shown to clients that name no host, or an unknown one.
    pub own: Vec<PairFiles>,
    /// Authorities whose client certificates are believed, PEM.
    pub client_ca_file: Option<PathBuf>,
}

impl Tls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut own: Vec<PairFiles> = first_pair(reader).into_iter().collect();
        let (certificates, keys) = (reader.files("tls.more_cert_files"), reader.files("tls.more_key_files"));
        if certificates.len() != keys.len() {
            reader.fault(
                "tls.more_key_files",
                &format!("has {} files, and tls.more_cert_files {}: one key for each", keys.len(), certificates.len()),
            );
        } else if own.is_empty() && !certificates.is_empty() {
            reader.fault("tls.more_cert_files", "needs tls.cert_file, which is shown where no name is asked for");
        }
        let pairs = certificates.into_iter().zip(keys);
        own.extend(pairs.map(|(cert_file, key_file)| PairFiles { cert_file, key_file }));
        Self { own, client_ca_file: reader.optional_file("tls.client_ca_file") }
    }
}

fn first_pair(reader: &mut Reader<'_>) -> Option<PairFiles> {
    match (reader.optional_file("tls.cert_file"), reader.optional_file("tls.key_file")) {
        (Some(cert_file), Some(key_file)) => Some(PairFiles { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => {
            reader.fault("tls.key_file", "is empty, but tls.cert_file is set: both or none");
            None
        }
        (None, Some(_)) => {
            reader.fault("tls.cert_file", "is empty, but tls.key_file is set: both or none");
            None
        }
    }
}

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of the directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// The one authority that the directory's own certificate is checked with, PEM; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Mail addresses of whoever is told of trouble.
    pub contact: Vec<String>,
    /// Names that the certificate is for; never empty.
    pub domains: Vec<Domain>,
    /// Where the directory's questions are answered.
    pub http_listen: Vec<SocketAddr>,
}

impl Acme {
    /// `None` where no directory is named.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let directory = reader.parse("acme.directory", "empty, or an https URL", |text| match text {
            "" => Some(None),
            _ => https_url(text).map(Some),
        });
        let contact = reader.list("acme.contact", "a mail address such as admin@example.org", contact);
        let domains =
            reader.list("acme.domains", "a host name such as mx.example.org", |text| Domain::parse(text).ok());
        let (ca_file, is_agreed) = (reader.optional_file("acme.ca_file"), reader.flag("acme.terms_agreed"));
        let http_listen = reader.addresses("acme.http_listen");
        let directory = directory?;
        if domains.is_empty() && reader.has_no_fault("acme.domains") {
            reader.fault("acme.domains", "must name at least one host, since acme.directory is set");
        }
        if domains.len() > MOST_DOMAINS {
            reader.fault("acme.domains", &format!("has more than {MOST_DOMAINS} names"));
        }
        if !is_agreed {
            reader.fault("acme.terms_agreed", "must be true: read the terms of service that the directory names");
        }
        if http_listen.is_empty() && reader.has_no_fault("acme.http_listen") {
            reader.fault("acme.http_listen", "must name an address: the directory asks on port 80 of each domain");
        }
        Some(Self { directory, ca_file, contact, domains, http_listen })
    }
}

fn https_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_sound = url.scheme() == "https" && url.host_str().is_some() && url.username().is_empty();
    is_sound.then(|| text.to_owned())
}

fn contact(text: &str) -> Option<String> {
    crate::mail::address::Mailbox::parse(text).ok().map(|_| text.to_owned())
}

/// What directories take in one order.
const MOST_DOMAINS: usize = 100;
