use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dns::ResolverSettings;
use crate::dns::zone::{Trouble, Zone};
use crate::outbound::route::{NoRoute, Router};
use crate::outbound::tests::{NOW, certificate, domain, loopback, route_settings};
use proptest::prelude::*;

const ENFORCE: &str =
    "version: STSv1\r\nmode: enforce\r\nmx: mx.buyer.example\r\nmx: *.backup.example\r\nmax_age: 86400\r\n";

#[test]
fn a_policy_is_read_as_the_standard_writes_it() {
    let policy = Policy::parse(ENFORCE).unwrap();
    assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(86_400)));
    let again = "mode: testing\nmode: enforce\nversion: STSv1\nfuture: thing\nmx:a.example\nmax_age: 99999999999\n";
    let policy = Policy::parse(again).unwrap();
    assert_eq!((policy.mode, policy.max_age), (Mode::Testing, Duration::from_secs(LONGEST_AGE)));
    assert_eq!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1").unwrap().mode, Mode::None);
    for wrong in [
        "",
        "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1",
        "version: STSv1\nmode: sometimes\nmx: a.example\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmx: a.example",
        "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: +1",
        "<html>\nversion: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1",
    ] {
        assert!(Policy::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_wildcard_is_one_label() {
    let policy = Policy::parse(ENFORCE).unwrap();
    for named in ["mx.buyer.example", "MX.Buyer.Example.", "a.backup.example"] {
        assert!(policy.names(named), "{named}");
    }
    for other in [
        "buyer.example",
        "a.mx.buyer.example",
        "backup.example",
        "a.b.backup.example",
        ".backup.example",
        "xbackup.example",
    ] {
        assert!(!policy.names(other), "{other}");
    }
}

#[test]
fn a_domain_has_one_record_or_none_that_counts() {
    let id = |texts: &[&str]| record_id(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
    assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
    assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1"]).as_deref(), Some("1"));
    for none in [&["v=STSv1; id=1", "v=STSv1; id=2"][..], &["v=STSv10; id=1"], &["v=STSv1; id=a-b"], &["v=STSv1"], &[]]
    {
        assert_eq!(id(none), None, "{none:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_none(text in "(version: STSv1\n|mode: enforce\n|mx: [a.*]{0,5}\n|max_age: [0-9]{0,25}\n|.{0,9}\n){0,6}") {
        if let Ok(policy) = Policy::parse(&text) {
            let _ = policy.names("a.a");
            prop_assert!(policy.max_age.as_secs() <= LONGEST_AGE);
        }
    }
}

/// A web server on loopback that answers each request with the next of these, and counts.
async fn serve(listener: TcpListener, config: Arc<rustls::ServerConfig>, answers: &Mutex<Vec<String>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await else { continue };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
        assert!(request.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
        let answer = {
            let mut answers = answers.lock().unwrap();
            if answers.is_empty() { "HTTP/1.1 404 Not Found\r\n\r\n".to_owned() } else { answers.remove(0) }
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

fn ok(policy: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{policy}",
        policy.len()
    )
}

/// Runs `work` with a name server and a web server for buyer.example whose answers these are.
async fn with<T>(
    answers: &[String],
    names: &[&str],
    work: impl AsyncFnOnce(Zone, Policies, &Mutex<Vec<String>>) -> T,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, authority) = certificate(names);
    let zone = Zone::start().unwrap();
    zone.address_of("mta-sts.buyer.example", loopback(1));
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_millis(500), attempts: 1 };
    let resolver = Resolver::new(&settings).unwrap();
    let tls = ClientTls::new(&[authority]).unwrap();
    let policies = Policies::new(&resolver, &tls, &route_settings(0).opened, port).unwrap();
    let answers = Mutex::new(answers.to_vec());
    tokio::select! {
        () = serve(listener, config, &answers) => unreachable!("it serves for ever"),
        result = work(zone, policies, &answers) => result,
    }
}

const NAMES: &[&str] = &["mta-sts.buyer.example"];

#[tokio::test]
async fn a_policy_is_fetched_once_and_counts_until_its_time_is_over() {
    with(&[ok(ENFORCE)], NAMES, async |zone, policies, answers| {
        let buyer = domain("buyer.example");
        assert_eq!(policies.of(&buyer, NOW).await, None, "without a record nothing is fetched");
        assert_eq!(answers.lock().unwrap().len(), 1);
        zone.txt("_mta-sts.buyer.example", "v=STSv1; id=1;");
        for _ in 0..3 {
            assert_eq!(policies.of(&buyer, NOW).await.unwrap().mode, Mode::Enforce);
        }
        assert!(answers.lock().unwrap().is_empty());
        // Neither a record that cannot be looked up nor a policy that cannot be fetched ends it early.
        zone.trouble_everywhere(Some(Trouble::Fails));
        let later = NOW.plus(Duration::from_secs(86_399));
        assert!(policies.of(&buyer, later).await.is_some());
        zone.trouble_everywhere(None);
        zone.txt("_mta-sts.other.example", "v=STSv1; id=1;");
        assert!(policies.of(&buyer, later).await.is_some());
        assert_eq!(policies.of(&buyer, NOW.plus(Duration::from_secs(86_400))).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_fetched_is_not_asked_for_again_at_once() {
    with(&[], NAMES, async |zone, policies, answers| {
        let buyer = domain("buyer.example");
        zone.txt("_mta-sts.buyer.example", "v=STSv1; id=1;");
        assert_eq!(policies.of(&buyer, NOW).await, None);
        answers.lock().unwrap().push(ok(ENFORCE));
        assert_eq!(policies.of(&buyer, NOW.plus(PAUSE - Duration::from_secs(1))).await, None);
        assert_eq!(answers.lock().unwrap().len(), 1);
        assert!(policies.of(&buyer, NOW.plus(PAUSE)).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn only_a_short_answer_of_200_from_a_believed_server_counts() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: https://mta-sts.buyer.example/x\r\nContent-Length: 0\r\n\r\n".to_owned();
    let endless = ok(&format!("{ENFORCE}{}", "x: y\r\n".repeat(20_000)));
    for (answer, names) in
        [(redirect, NAMES), (endless, NAMES), (ok("<html>"), NAMES), (ok(ENFORCE), &["other.example"][..])]
    {
        with(std::slice::from_ref(&answer), names, async |zone, policies, _| {
            zone.txt("_mta-sts.buyer.example", "v=STSv1; id=1;");
            assert_eq!(policies.of(&domain("buyer.example"), NOW).await, None, "{names:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_policy_in_force_leaves_only_the_servers_that_it_names_and_asks_for_their_certificate() {
    with(&[ok(ENFORCE)], NAMES, async |zone, policies, _| {
        zone.txt("_mta-sts.buyer.example", "v=STSv1; id=1;");
        zone.exchanger("buyer.example", 10, "stranger.example").address_of("stranger.example", loopback(1));
        zone.address_of("mx.buyer.example", loopback(2));
        let resolver = policies.resolver.clone();
        let router = Router::new(resolver, route_settings(2525), Some(policies));
        let error = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap_err();
        assert_eq!(error, NoRoute::Sts { domain: "buyer.example".to_owned() });
        assert!(error.is_temporary());
        zone.exchanger("buyer.example", 20, "mx.buyer.example");
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        assert_eq!(route.hosts().len(), 1);
        assert_eq!(route.hosts()[0].name, "mx.buyer.example");
        let asked = (route.encryption(), route.trust(), route.policy());
        assert_eq!(
            asked,
            (
                crate::outbound::dialogue::Encryption::Required,
                crate::outbound::tls::Trust::Verified,
                Some(Mode::Enforce)
            )
        );
    })
    .await;
    with(&[ok(&ENFORCE.replace("enforce", "testing"))], NAMES, async |zone, policies, _| {
        zone.txt("_mta-sts.buyer.example", "v=STSv1; id=1;");
        zone.exchanger("buyer.example", 10, "stranger.example").address_of("stranger.example", loopback(1));
        let router = Router::new(policies.resolver.clone(), route_settings(2525), Some(policies));
        let route = router.direct(&domain("buyer.example"), 0, NOW).await.unwrap();
        assert_eq!((route.hosts().len(), route.policy()), (1, Some(Mode::Testing)));
        assert_eq!(route.encryption(), crate::outbound::dialogue::Encryption::IfOffered);
    })
    .await;
}
