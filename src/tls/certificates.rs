//! The certificates that are current, and which of them a client is shown.
//!
//! Clones of the handle share them. A handshake takes what is current when it comes to it; nobody waits.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::clients::ClientAuthority;
use super::{OwnCertificate, TlsError};

/// What every handshake looks at.
#[derive(Debug, Default)]
pub struct Certificates {
    current: RwLock<Arc<Table>>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    /// By where each comes from; the first is shown to whoever names no host, or one that nothing is for.
    own: Vec<(Box<str>, Arc<OwnCertificate>)>,
    authority: Option<Arc<ClientAuthority>>,
}

impl Certificates {
    /// Takes `certificate` in place of what came from `source` before; a new source stands behind the others.
    pub fn put(&self, source: &str, certificate: OwnCertificate) {
        let certificate = Arc::new(certificate);
        self.change(|table| match table.own.iter_mut().find(|(known, _)| **known == *source) {
            Some((_, place)) => *place = certificate,
            None => table.own.push((source.into(), certificate)),
        });
    }

    /// Believes these authorities of client certificates, and no others.
    pub fn trust(&self, authority: Option<ClientAuthority>) {
        let authority = authority.map(Arc::new);
        self.change(|table| table.authority = authority);
    }

    /// One certificate alone, for a server whose certificate never changes.
    ///
    /// # Errors
    /// As [`OwnCertificate::from_pem`].
    pub fn single(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificates = Self::default();
        certificates.put("own", OwnCertificate::from_pem(chain, key)?);
        Ok(certificates)
    }

    /// All of them, each with its source.
    #[must_use]
    pub fn all(&self) -> Vec<(Box<str>, Arc<OwnCertificate>)> {
        self.table().own.clone()
    }

    pub(super) fn client_authority(&self) -> Option<Arc<ClientAuthority>> {
        self.table().authority.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut current));
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    /// The first that is for `host` and has a key that the client can check; then the first that is for it; then the
    /// first of all (RFC 6066 §3 lets a server go on with a name that it does not know).
    fn choose(&self, host: Option<&str>, can_check: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let own = |is_wanted: &dyn Fn(&OwnCertificate) -> bool| {
            self.own.iter().map(|(_, certificate)| certificate).find(|certificate| is_wanted(certificate))
        };
        let is_for = |certificate: &OwnCertificate| host.is_some_and(|host| certificate.is_for(host));
        let chosen = own(&|certificate| is_for(certificate) && can_check(certificate.key()))
            .or_else(|| own(&is_for))
            .or_else(|| own(&|certificate| can_check(certificate.key())))
            .or_else(|| own(&|_| true));
        chosen.map(|certificate| Arc::clone(certificate.key()))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = client_hello.signature_schemes();
        self.table().choose(client_hello.server_name(), |key| key.key.choose_scheme(schemes).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> OwnCertificate {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        OwnCertificate::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
    }

    /// Which source is shown to a client that names this host.
    fn shown(certificates: &Certificates, host: Option<&str>, can_check: impl Fn(&CertifiedKey) -> bool) -> String {
        let chosen = certificates.table().choose(host, can_check).unwrap();
        let all = certificates.all();
        let (source, _) = all.iter().find(|(_, certificate)| Arc::ptr_eq(certificate.key(), &chosen)).unwrap();
        source.to_string()
    }

    #[test]
    fn the_name_decides_and_the_first_is_for_everybody_else() {
        let certificates = Certificates::default();
        certificates.put("one", certificate("mx.one.example"));
        certificates.put("two", certificate("*.two.example"));
        for (host, expected) in [
            (Some("mx.one.example"), "one"),
            (Some("MX.two.example"), "two"),
            (Some("other.example"), "one"),
            (None, "one"),
        ] {
            assert_eq!(shown(&certificates, host, |_| true), expected, "{host:?}");
        }
    }

    #[test]
    fn a_client_is_shown_one_that_it_can_check_where_there_is_one() {
        let certificates = Certificates::default();
        certificates.put("one", certificate("mx.example"));
        certificates.put("two", certificate("mx.example"));
        let first = certificates.all().remove(0).1;
        let not_the_first = |key: &CertifiedKey| !std::ptr::eq(key, &raw const **first.key());
        assert_eq!(shown(&certificates, Some("mx.example"), not_the_first), "two");
        assert_eq!(shown(&certificates, Some("mx.example"), |_| false), "one");
        assert_eq!(shown(&certificates, None, not_the_first), "two");
    }

    #[test]
    fn what_is_put_again_takes_the_place_that_it_had() {
        let certificates = Certificates::default();
        certificates.put("one", certificate("old.example"));
        certificates.put("two", certificate("two.example"));
        certificates.put("one", certificate("new.example"));
        let names: Vec<String> = certificates.all().iter().map(|(_, own)| own.names()[0].clone()).collect();
        assert_eq!(names, ["new.example", "two.example"]);
    }

    #[test]
    fn without_any_certificate_there_is_no_handshake() {
        assert!(Certificates::default().table().choose(Some("mx.example"), |_| true).is_none());
    }
}
