mod dane;

use super::*;
use crate::dns::ResolverSettings;
use crate::dns::zone::{Trouble, Zone};
use crate::outbound::tests::{NOW, domain, loopback, route_settings};

fn routing(zone: &Zone) -> Router {
    let settings =
        ResolverSettings { servers: vec![zone.address()], timeout: std::time::Duration::from_millis(500), attempts: 1 };
    Router::new(Resolver::new(&settings).unwrap(), route_settings(2525), None)
}

async fn found(zone: &Zone, name: &str) -> Result<Vec<(String, Vec<String>)>, NoRoute> {
    let route = routing(zone).direct(&domain(name), 0, NOW).await?;
    let shown = |host: &Host| (host.name.clone(), host.addresses.iter().map(ToString::to_string).collect());
    Ok(route.hosts().iter().map(shown).collect())
}

fn host(name: &str, addresses: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), addresses.iter().map(|address| (*address).to_owned()).collect())
}

#[tokio::test]
async fn mail_goes_to_the_best_mail_server_first_and_to_all_its_addresses() {
    let zone = Zone::start().unwrap();
    zone.exchanger("buyer.example", 20, "backup.buyer.example").exchanger("buyer.example", 5, "mx.buyer.example");
    zone.address_of("mx.buyer.example", loopback(1)).address_of("mx.buyer.example", "2606:4700::1".parse().unwrap());
    zone.address_of("backup.buyer.example", loopback(2));
    // The domain's own address is nobody's mail server where there is an MX.
    zone.address_of("buyer.example", loopback(3));
    let hosts = found(&zone, "buyer.example").await.unwrap();
    let expected = [
        host("mx.buyer.example", &["127.0.0.1:2525", "[2606:4700::1]:2525"]),
        host("backup.buyer.example", &["127.0.0.2:2525"]),
    ];
    assert_eq!(hosts, expected);
}

#[tokio::test]
async fn without_an_mx_mail_goes_to_the_domain_itself() {
    let zone = Zone::start().unwrap();
    zone.address_of("buyer.example", loopback(1));
    assert_eq!(found(&zone, "buyer.example").await.unwrap(), [host("buyer.example", &["127.0.0.1:2525"])]);
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_or_does_not_exist_is_refused_for_good() {
    let zone = Zone::start().unwrap();
    zone.exchanger("null.example", 0, ".").address_of("null.example", loopback(1));
    zone.exchanger("hollow.example", 10, "gone.hollow.example").address_of("hollow.example", loopback(1));
    let shown = |name: &str| name.to_owned();
    assert_eq!(found(&zone, "null.example").await, Err(NoRoute::NullMx { domain: shown("null.example") }));
    // RFC 5321 §5.1: where there is an MX, the domain's own address does not count, usable or not.
    for name in ["hollow.example", "nobody.example"] {
        assert_eq!(found(&zone, name).await, Err(NoRoute::NoDomain { domain: shown(name) }));
    }
    assert_eq!(found(&zone, "[192.0.2.1]").await, Err(NoRoute::Literal));
    let attempts =
        NoRoute::NullMx { domain: shown("null.example") }.attempts(&[Mailbox::parse("a@null.example").unwrap()]);
    assert_eq!((attempts[0].outcome, attempts[0].report.reason), (Outcome::Rejected, Reason::NullMx));
    assert_eq!(attempts[0].report.enhanced.unwrap().to_string(), "5.1.10");
}

#[tokio::test]
async fn dns_that_gives_no_answer_defers() {
    let zone = Zone::start().unwrap();
    zone.trouble_at("buyer.example", Trouble::Fails);
    zone.exchanger("other.example", 10, "mx.other.example").trouble_at("mx.other.example", Trouble::Silent);
    for name in ["buyer.example", "other.example"] {
        let error = found(&zone, name).await.unwrap_err();
        assert!(matches!(error, NoRoute::Dns(_)) && error.is_temporary(), "{name}: {error:?}");
        let attempts = error.attempts(&[Mailbox::parse("a@b.example").unwrap()]);
        assert_eq!((attempts[0].outcome, attempts[0].report.reason), (Outcome::Deferred, Reason::Dns));
    }
    // One server that is known is enough.
    zone.exchanger("other.example", 20, "backup.other.example").address_of("backup.other.example", loopback(1));
    assert_eq!(found(&zone, "other.example").await.unwrap().len(), 1);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_dialled() {
    let zone = Zone::start().unwrap();
    for (name, address) in [("a", "10.0.0.1"), ("b", "169.254.169.254"), ("c", "::1"), ("d", "::ffff:10.0.0.1")] {
        let name = format!("{name}.example");
        zone.exchanger(&name, 10, &format!("mx.{name}")).address_of(&format!("mx.{name}"), address.parse().unwrap());
        assert_eq!(found(&zone, &name).await, Err(NoRoute::NotPublic { domain: name.clone() }), "{address}");
    }
    zone.address_of("mx.a.example", loopback(1));
    assert_eq!(found(&zone, "a.example").await.unwrap(), [host("mx.a.example", &["127.0.0.1:2525"])]);
}

#[tokio::test]
async fn mail_that_would_come_back_is_refused_and_better_servers_than_ourselves_count() {
    let zone = Zone::start().unwrap();
    // By name, and by address.
    zone.exchanger("one.example", 10, "MX.gateway.example").address_of("mx.gateway.example", loopback(1));
    zone.exchanger("two.example", 10, "mx.two.example").address_of("mx.two.example", loopback(99));
    zone.address_of("three.example", loopback(99));
    for name in ["one.example", "two.example", "three.example"] {
        assert_eq!(found(&zone, name).await, Err(NoRoute::Loop { domain: name.to_owned() }));
    }
    for name in ["one.example", "two.example"] {
        zone.exchanger(name, 5, "better.example").exchanger(name, 10, "equal.example").exchanger(
            name,
            20,
            "worse.example",
        );
    }
    for other in ["better.example", "equal.example", "worse.example"] {
        zone.address_of(other, loopback(7));
    }
    for name in ["one.example", "two.example"] {
        let hosts = found(&zone, name).await.unwrap();
        assert_eq!(hosts, [host("better.example", &["127.0.0.7:2525"])], "{name}");
    }
}

#[tokio::test]
async fn servers_of_one_preference_take_turns_and_are_not_endless() {
    let zone = Zone::start().unwrap();
    for number in 0..20 {
        let name = format!("mx{number:02}.buyer.example");
        zone.exchanger("buyer.example", if number == 0 { 1 } else { 10 }, &name).address_of(&name, loopback(1));
    }
    let router = routing(&zone);
    let mut firsts = std::collections::BTreeSet::new();
    for spread in 0..19 {
        let route = router.direct(&domain("buyer.example"), spread, NOW).await.unwrap();
        assert_eq!(route.hosts().len(), MOST_HOSTS);
        assert_eq!(route.hosts()[0].name, "mx00.buyer.example");
        firsts.insert(route.hosts()[1].name.clone());
    }
    assert_eq!(firsts.len(), 19);
}

#[tokio::test]
async fn a_relay_is_taken_as_the_operator_names_it() {
    let zone = Zone::start().unwrap();
    zone.address_of("relay.inside.example", "10.0.0.25".parse().unwrap());
    let router = routing(&zone);
    let relay = Relay::new("relay.inside.example", 587, RelayTls::StartTls, Credentials::new("u", "p")).unwrap();
    let route = router.relay(&relay).await.unwrap();
    assert_eq!(route.hosts()[0].addresses, ["10.0.0.25:587".parse().unwrap()]);
    assert_eq!((route.encryption(), route.trust()), (Encryption::Required, Trust::Verified));
    assert!(route.leads_to(&Mailbox::parse("a@any.example").unwrap()));
    let gone = Relay::new("gone.inside.example", 25, RelayTls::Never, None).unwrap();
    // Its mail waits until the operator has looked at it.
    let error = router.relay(&gone).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(
        Relay::new("10.0.0.1", 25, RelayTls::Never, None).is_ok()
            && Relay::new("::1", 25, RelayTls::Never, None).is_ok()
    );
    assert_eq!(Relay::new("a b", 25, RelayTls::Never, None).map(drop), Err(InvalidRelay::Host));
    let clear = Relay::new("relay.example", 25, RelayTls::Never, Credentials::new("u", "p"));
    assert_eq!(clear.map(drop), Err(InvalidRelay::CredentialsInClear));
}

#[tokio::test]
async fn a_relay_that_a_customer_chose_is_judged_and_its_mail_waits_for_a_better_one() {
    let zone = Zone::start().unwrap();
    let of = |host: &str| Relay::new(host, 587, RelayTls::StartTls, None).unwrap().of_customer("ten_1 acme.example");
    let inside: IpAddr = "10.0.0.25".parse().unwrap();
    zone.address_of("inside.acme.example", inside);
    zone.address_of("mixed.acme.example", inside).address_of("mixed.acme.example", loopback(25));
    zone.address_of("ours.acme.example", loopback(99)).address_of("mx.gateway.example", loopback(25));
    zone.trouble_at("silent.acme.example", Trouble::Fails);
    let router = routing(&zone);
    let route = router.relay(&of("mixed.acme.example")).await.unwrap();
    assert_eq!(route.hosts()[0].addresses, ["127.0.0.25:587".parse().unwrap()], "the one that is opened");
    assert_eq!((route.encryption(), route.trust()), (Encryption::Required, Trust::Verified));
    for (host, reason) in [
        ("inside.acme.example", Reason::NotPublic),
        ("10.0.0.25", Reason::NotPublic),
        ("169.254.169.254", Reason::NotPublic),
        ("::ffff:10.0.0.25", Reason::NotPublic),
        ("ours.acme.example", Reason::Loop),
        ("127.0.0.99", Reason::Loop),
        ("::ffff:127.0.0.99", Reason::Loop),
        ("MX.gateway.example", Reason::Loop),
        ("gone.acme.example", Reason::Dns),
        ("silent.acme.example", Reason::Dns),
    ] {
        let error = router.relay(&of(host)).await.unwrap_err();
        assert!(error.to_string().contains(host), "{error}");
        let attempts = error.attempts(&[Mailbox::parse("a@any.example").unwrap()]);
        assert_eq!((attempts[0].outcome, attempts[0].report.reason), (Outcome::Deferred, reason), "{host}");
        assert_eq!(attempts[0].report.enhanced.unwrap().to_string().split('.').next(), Some("4"), "{host}");
    }
}

#[tokio::test]
async fn the_relay_of_one_customer_is_another_destination_than_the_same_server_of_others() {
    let zone = Zone::start().unwrap();
    let router = routing(&zone);
    let own = |port| Relay::new("127.0.0.25", port, RelayTls::Implicit, Credentials::new("u", "p")).unwrap();
    let relays = [own(465), own(465).of_customer("ten_1 a.example"), own(465).of_customer("ten_2 a.example")];
    let more = [own(465).of_customer("ten_1 b.example"), own(587).of_customer("ten_1 a.example")];
    let (mut peers, mut destinations) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    for relay in relays.iter().chain(&more) {
        peers.extend(router.relay(relay).await.unwrap().peers());
        destinations.insert(relay.destination());
    }
    assert_eq!((peers.len(), destinations.len()), (5, 5), "{destinations:?}");
    assert!(destinations.iter().all(|name| Domain::parse(name).is_err()), "{destinations:?}");
    assert!(!format!("{relays:?}{peers:?}").contains("\"p\""));
}

#[test]
fn a_server_is_a_name_or_an_address_with_its_port() {
    let read = |text: &str| host_and_port(text).map(|(host, port)| relayed(&host, port));
    for (text, route) in [
        ("Smtp.Acme.Example:587", "relay:smtp.acme.example:587"),
        ("smtp.acme.example.:25", "relay:smtp.acme.example:25"),
        ("192.0.2.1:25", "relay:192.0.2.1:25"),
        ("[2001:DB8::1]:465", "relay:2001:db8::1:465"),
    ] {
        assert_eq!(read(text).as_deref(), Some(route));
    }
    for wrong in ["", ":25", "a", "a:", "a:0", "a:65536", "a b:25", "[a]:25", "[192.0.2.1]:25", "2001:db8::1:465"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}
