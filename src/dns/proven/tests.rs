//! What is proven, what is not signed, and what is neither.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::dns::zone::{Trouble, Zone};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A signed world with a mail server that says of its certificate.
fn world() -> Zone {
    let zone = Zone::start().unwrap();
    zone.sign();
    zone.mx("buyer.example", "mx.buyer.example").address_of("mx.buyer.example", LOOPBACK);
    zone.tlsa("_25._tcp.mx.buyer.example", 3, 1, 1, &[7; 32]);
    zone
}

fn prover(zone: &Zone) -> Resolver {
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 1 };
    Resolver::proving(&settings, zone.anchor().unwrap()).unwrap()
}

#[tokio::test]
async fn what_signed_dns_says_is_proven_and_what_it_has_not_too() {
    let zone = world();
    zone.address_of("quiet.example", LOOPBACK);
    let prover = prover(&zone);
    let exchangers = prover.proven_exchangers("buyer.example").await.unwrap();
    assert_eq!(exchangers, Some(vec![(10, "mx.buyer.example.".to_owned())]));
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(prover.tlsa("mx.buyer.example", 25).await, Ok(Some(vec![record])));
    assert_eq!(prover.tlsa("mx.buyer.example", 26).await, Ok(None));
    assert_eq!(prover.proven_exchangers("quiet.example").await, Ok(Some(Vec::new())));
    assert_eq!(prover.tlsa("quiet.example", 25).await, Ok(None));
}

#[tokio::test]
async fn what_is_provably_not_signed_is_not_proven_and_its_servers_are_not_asked() {
    let zone = world();
    zone.unsigned("open.example");
    zone.mx("open.example", "mx.open.example").address_of("mx.open.example", LOOPBACK);
    zone.tlsa("_25._tcp.mx.open.example", 3, 1, 1, &[7; 32]);
    let prover = prover(&zone);
    assert_eq!(prover.proven_exchangers("open.example").await, Ok(None));
    assert_eq!(prover.tlsa("mx.open.example", 25).await, Ok(None));
    assert_eq!(prover.proven_exchangers("none.open.example").await, Ok(None));
}

#[tokio::test]
async fn what_should_be_proven_and_is_not_is_no_answer() {
    let zone = world();
    zone.forge("mx.forged.example");
    zone.forge("_25._tcp.mx.buyer.example");
    zone.address_of("mx.forged.example", LOOPBACK);
    zone.mx("fails.example", "mx.fails.example").trouble_at("fails.example", Trouble::Fails);
    let prover = prover(&zone);
    for failed in [
        prover.tlsa("mx.forged.example", 25).await.map(drop),
        prover.tlsa("mx.buyer.example", 25).await.map(drop),
        prover.proven_exchangers("fails.example").await.map(drop),
    ] {
        assert!(failed.as_ref().is_err_and(DnsError::is_temporary), "{failed:?}");
    }
    // Of a server that hands on no signatures nothing is believed, not even that there are none.
    let bare = Zone::start().unwrap();
    bare.mx("buyer.example", "mx.buyer.example");
    let settings = ResolverSettings { servers: vec![bare.address()], timeout: Duration::from_secs(2), attempts: 1 };
    let prover = Resolver::proving(&settings, Anchors::default()).unwrap();
    let failed = prover.proven_exchangers("buyer.example").await;
    assert!(failed.as_ref().is_err_and(DnsError::is_temporary), "{failed:?}");
}

#[tokio::test]
async fn keys_of_a_file_prove_what_they_signed_and_nothing_else_is_a_file_of_keys() {
    let (zone, other, folder) = (world(), world(), tempfile::tempdir().unwrap());
    let file = folder.path().join("keys");
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 1 };
    let by = |text: String| {
        std::fs::write(&file, text).unwrap();
        Anchors::of_file(&file).map(|anchors| Resolver::proving(&settings, anchors).unwrap())
    };
    let own = by(zone.anchor_text().unwrap()).unwrap();
    assert!(own.proven_exchangers("buyer.example").await.unwrap().is_some());
    let others = by(other.anchor_text().unwrap()).unwrap();
    assert!(others.proven_exchangers("buyer.example").await.is_err());
    for wrong in [String::new(), "no record".into(), zone.anchor_text().unwrap().replacen('.', "a.example.", 1)] {
        assert!(by(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(Anchors::of_file(folder.path()).is_err());
}
