//! What signed DNS says of the servers on the way.

use std::time::Duration;

use super::*;
use crate::dns::ResolverSettings;
use crate::dns::zone::Zone;
use crate::outbound::tests::router;

/// A signed world in which `buyer.example` has two servers.
fn world() -> Zone {
    let zone = Zone::start().unwrap();
    zone.sign();
    zone.exchanger("buyer.example", 10, "mx1.buyer.example").exchanger("buyer.example", 20, "mx2.buyer.example");
    zone.address_of("mx1.buyer.example", loopback(1)).address_of("mx2.buyer.example", loopback(2));
    zone
}

async fn peers_in(zone: &Zone) -> Result<Vec<(String, Encryption, Trust)>, NoRoute> {
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 1 };
    let router = router(&Resolver::new(&settings).unwrap(), 25);
    let router = router.proving(Resolver::proving(&settings, zone.anchor().unwrap()).unwrap());
    let route = router.direct(&domain("buyer.example"), 0, NOW).await?;
    Ok(route.peers().map(|peer| (peer.name, peer.encryption, peer.trust)).collect())
}

fn is_dane(trust: &Trust) -> bool {
    matches!(trust, Trust::Dane(_))
}

#[tokio::test]
async fn each_server_is_believed_by_its_own_records_and_one_without_them_as_before() {
    let zone = world();
    zone.tlsa("_25._tcp.mx1.buyer.example", 3, 1, 1, &[7; 32]);
    let peers = peers_in(&zone).await.unwrap();
    assert_eq!((peers[0].0.as_str(), peers[0].1), ("mx1.buyer.example", Encryption::Required));
    assert!(is_dane(&peers[0].2), "{peers:?}");
    assert_eq!(peers[1], ("mx2.buyer.example".to_owned(), Encryption::IfOffered, Trust::Any));
}

#[tokio::test]
async fn with_records_that_cannot_be_used_the_session_is_encrypted_and_nobody_is_believed() {
    let zone = world();
    zone.tlsa("_25._tcp.mx1.buyer.example", 1, 1, 1, &[7; 32]);
    assert_eq!(peers_in(&zone).await.unwrap()[0].1, Encryption::Required);
    assert_eq!(peers_in(&zone).await.unwrap()[0].2, Trust::Any);
}

#[tokio::test]
async fn records_of_a_domain_that_is_not_signed_count_for_nothing() {
    let zone = world();
    zone.unsigned("buyer.example");
    zone.tlsa("_25._tcp.mx1.buyer.example", 3, 1, 1, &[7; 32]);
    let peers = peers_in(&zone).await.unwrap();
    assert_eq!(peers[0], ("mx1.buyer.example".to_owned(), Encryption::IfOffered, Trust::Any));
}

#[tokio::test]
async fn a_server_of_which_nothing_can_be_proven_is_left_out_and_with_none_left_mail_waits() {
    let zone = world();
    zone.tlsa("_25._tcp.mx1.buyer.example", 3, 1, 1, &[7; 32]).forge("_25._tcp.mx1.buyer.example");
    let names: Vec<String> = peers_in(&zone).await.unwrap().into_iter().map(|peer| peer.0).collect();
    assert_eq!(names, ["mx2.buyer.example"]);
    for forged in ["mx2.buyer.example", "buyer.example"] {
        zone.forge(forged);
        let none = peers_in(&zone).await.unwrap_err();
        assert!(matches!(none, NoRoute::Dns(_)) && none.is_temporary(), "{forged}: {none}");
    }
}
