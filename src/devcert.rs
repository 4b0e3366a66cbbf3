//! A certificate authority and a certificate for trying things out on one machine.
//!
//! Never for real mail: [`ensure`] is called by `connex dev` and by tests, and by nothing else. The certificate names
//! `localhost`, the loopback addresses and the host name, and holds for a year. It is used again until a week before
//! its end, and made anew whenever it does not hold any more: expired, damaged, for another name, or with another key.
//!
//! # Security
//! The key of the authority is thrown away once it has signed the one certificate: whoever trusts `ca.pem` for a trial
//! cannot be shown another certificate by it. The key of the certificate is readable by its owner alone.
//!
//! Standards: RFC 5280 (certificates), RFC 6125 (names).

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use crate::clock::Timestamp;

/// Where the development certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCertificate {
    /// The authority's certificate: what a client is told to trust.
    pub ca_file: PathBuf,
    /// The certificate, and the authority's behind it.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Why there is no development certificate.
#[derive(Debug, thiserror::Error)]
pub enum DevCertError {
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host name cannot stand in a certificate, or there is no randomness.
    #[error("cannot make the development certificate")]
    Make(#[from] rcgen::Error),
}

impl DevCertificate {
    fn of(dir: &Path) -> Self {
        Self { ca_file: dir.join("ca.pem"), cert_file: dir.join("cert.pem"), key_file: dir.join("key.pem") }
    }

    /// Whether a client that trusts the authority would accept the certificate for `hostname` at `at`.
    fn holds(&self, hostname: &str, at: Timestamp) -> bool {
        self.verify(hostname, at).is_some()
    }

    fn verify(&self, hostname: &str, at: Timestamp) -> Option<()> {
        let provider = rustls::crypto::ring::default_provider();
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(&self.cert_file).ok()?.collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_file(&self.key_file).ok()?;
        CertifiedKey::from_der(chain.clone(), key, &provider).ok()?;

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca_file).ok()?).ok()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider)).build().ok()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_seconds()).ok()?));
        let (leaf, intermediates) = chain.split_first()?;
        for name in names(hostname) {
            let name = ServerName::try_from(name).ok()?;
            verifier.verify_server_cert(leaf, intermediates, &name, &[], now).ok()?;
        }
        Some(())
    }
}

/// The development certificate in `dir`, made where there is none that holds for a week from `now`.
///
/// # Errors
/// When it cannot be made or written.
pub fn ensure(dir: &Path, hostname: &str, now: Timestamp) -> Result<DevCertificate, DevCertError> {
    let files = DevCertificate::of(dir);
    if !files.holds(hostname, now.plus(RENEW_BEFORE)) {
        make(&files, hostname, now)?;
    }
    Ok(files)
}

fn make(files: &DevCertificate, hostname: &str, now: Timestamp) -> Result<(), DevCertError> {
    // An hour back, for clients whose clock is behind.
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    let begin = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.saturating_sub(3_600));
    let end = begin + LIFETIME;

    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Connex development CA, for trials on one machine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (authority.not_before, authority.not_after) = (begin, end);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(names(hostname))?;
    leaf.subject_alt_names.extend(LOOPBACK.map(SanType::IpAddress));
    leaf.subject_alt_names.dedup();
    leaf.distinguished_name.push(DnType::CommonName, "Connex development certificate");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    (leaf.not_before, leaf.not_after) = (begin, end);
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &authority)?;

    if let Some(dir) = files.key_file.parent() {
        fs::create_dir_all(dir).map_err(|source| DevCertError::Write { path: dir.to_owned(), source })?;
    }
    write(&files.key_file, &key.serialize_pem(), 0o600)?;
    write(&files.cert_file, &format!("{}{}", leaf.pem(), authority.pem()), 0o644)?;
    write(&files.ca_file, &authority.pem(), 0o644)
}

/// Names that the certificate is for, besides the loopback addresses.
fn names(hostname: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if hostname != "localhost" {
        names.push(hostname.to_owned());
    }
    names
}

/// A reader sees the old file or the new one, and a key is never readable by others, not even for a moment.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), DevCertError> {
    let fresh = path.with_extension("pem.new");
    let result = match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&fresh)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&fresh, path)),
    };
    result.map_err(|source| DevCertError::Write { path: path.to_owned(), source })
}

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
const LIFETIME: Duration = Duration::from_secs(366 * 86_400);
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap()
    }

    fn days(days: u64) -> Timestamp {
        now().plus(Duration::from_secs(days * 86_400))
    }

    #[test]
    fn the_certificate_holds_for_its_names_and_for_a_year() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path(), "mx.connex.localhost", now()).unwrap();
        assert!(files.holds("mx.connex.localhost", now()));
        assert!(files.holds("127.0.0.1", now()) && files.holds("::1", now()));
        assert!(files.holds("localhost", days(365)));
        assert!(!files.holds("localhost", days(367)), "expired");
        assert!(!files.holds("example.org", now()), "another name");
        assert!(!files.holds("localhost", Timestamp::from_micros(0)), "not yet valid");
    }

    #[test]
    fn it_is_used_again_until_a_week_before_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path(), "localhost", now()).unwrap();
        let first = fs::read(&files.cert_file).unwrap();
        ensure(dir.path(), "localhost", days(300)).unwrap();
        assert_eq!(fs::read(&files.cert_file).unwrap(), first);
        ensure(dir.path(), "localhost", days(362)).unwrap();
        assert_ne!(fs::read(&files.cert_file).unwrap(), first);
        assert!(files.holds("localhost", days(400)));
    }

    #[test]
    fn what_is_damaged_or_does_not_fit_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path(), "localhost", now()).unwrap();
        let first = fs::read(&files.cert_file).unwrap();
        fs::write(&files.key_file, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(!files.holds("localhost", now()), "another key");
        ensure(dir.path(), "localhost", now()).unwrap();
        assert!(files.holds("localhost", now()));
        assert_ne!(fs::read(&files.cert_file).unwrap(), first);
        fs::write(&files.cert_file, "-----BEGIN CERTIFICATE-----\n").unwrap();
        ensure(dir.path(), "localhost", now()).unwrap();
        assert!(files.holds("localhost", now()));
    }

    #[test]
    fn the_key_is_for_its_owner_alone_and_the_authority_keeps_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path(), "localhost", now()).unwrap();
        assert_eq!(fs::metadata(&files.key_file).unwrap().permissions().mode() & 0o777, 0o600);
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["ca.pem", "cert.pem", "key.pem"]);
    }
}
