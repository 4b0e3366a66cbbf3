//! Which records can be used, and which certificates they are about.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
    Tlsa { usage, selector, matching, data: data.to_vec() }
}

/// A record about a certificate.
fn about(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
    let (_, read) = X509Certificate::from_der(certificate).unwrap();
    let selected = if selector == 0 { certificate.as_ref() } else { read.tbs_certificate.subject_pki.raw };
    let data = match matching {
        0 => selected.to_vec(),
        1 => digest(&SHA256, selected).as_ref().to_vec(),
        _ => digest(&SHA512, selected).as_ref().to_vec(),
    };
    record(usage, selector, matching, &data)
}

/// A server's certificate for a name, and the authority behind it.
fn chain(name: &str) -> (CertificateDer<'static>, CertificateDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (leaf.der().clone(), authority.der().clone())
}

/// Whether `mx.buyer.example` is believed by these records, for mail to `buyer.example`.
fn believes(records: &[Tlsa], certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> bool {
    let Asked::Authentication(dane) = Asked::of(Some(records.to_vec()), "buyer.example") else {
        panic!("none can be used")
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let name = ServerName::try_from("mx.buyer.example").unwrap();
    dane.verify((certificate, others), &name, UnixTime::now(), &provider).is_ok()
}

#[test]
fn without_records_nothing_is_asked_and_with_none_that_can_be_used_encryption_is() {
    assert_eq!(Asked::of(None, "buyer.example"), Asked::Nothing);
    let unusable = [
        record(0, 0, 1, &[1; 32]),
        record(1, 1, 1, &[1; 32]),
        record(4, 1, 1, &[1; 32]),
        record(3, 2, 1, &[1; 32]),
        record(3, 1, 3, &[1; 32]),
        record(3, 1, 1, &[1; 31]),
        record(3, 1, 2, &[1; 32]),
        record(2, 0, 0, &[]),
    ];
    assert_eq!(Asked::of(Some(unusable.to_vec()), "buyer.example"), Asked::Encryption);
    let one = [unusable.as_slice(), &[record(3, 1, 1, &[1; 32])]].concat();
    let Asked::Authentication(dane) = Asked::of(Some(one), "buyer.example") else { panic!("one can be used") };
    assert_eq!((dane.records.len(), dane.domain.as_str()), (1, ""));
}

#[test]
fn a_server_is_believed_by_its_own_certificate_or_key_whatever_name_it_has() {
    let (certificate, authority) = chain("somebody.else.example");
    let (other, _) = chain("mx.buyer.example");
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let records = [about(3, selector, matching, &certificate)];
        assert!(believes(&records, &certificate, &[]), "{selector} {matching}");
        assert!(!believes(&records, &other, &[]), "{selector} {matching}");
        // The record is about the server, and not about what it sends beside.
        assert!(!believes(&records, &other, std::slice::from_ref(&certificate)), "{selector} {matching}");
        assert!(!believes(&[about(3, selector, matching, &authority)], &certificate, std::slice::from_ref(&authority)));
    }
    assert!(believes(&[about(3, 1, 1, &other), about(3, 1, 1, &certificate)], &certificate, &[]), "a key to come");
}

#[test]
fn a_server_is_believed_by_an_authority_where_it_is_named() {
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        for name in ["mx.buyer.example", "buyer.example"] {
            let (certificate, authority) = chain(name);
            let records = [about(2, selector, matching, &authority)];
            assert!(believes(&records, &certificate, std::slice::from_ref(&authority)), "{selector} {matching} {name}");
            // Only a record with the whole certificate stands for one that was not sent.
            assert_eq!(believes(&records, &certificate, &[]), (selector, matching) == (0, 0));
            let (foreign, _) = chain(name);
            assert!(!believes(&records, &foreign, std::slice::from_ref(&authority)), "signed by another");
        }
        let (elsewhere, authority) = chain("mx.other.example");
        assert!(!believes(&[about(2, selector, matching, &authority)], &elsewhere, &[authority]));
    }
}
