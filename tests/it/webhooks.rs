//! Deliveries: retried, isolated from each other, and never where they must not go.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Engine, Gateway, Sink, Wire, fresh_id, list, on_both_engines, proof_of_funds, text, wait_for};

on_both_engines!(
    a_receiver_that_was_down_gets_its_event_once_it_is_back,
    every_attempt_carries_the_same_id_a_valid_signature_and_its_number,
    a_rotated_secret_signs_from_then_on_and_the_one_before_as_long_as_it_is_told,
    an_endpoint_that_is_gone_is_disabled_and_its_deliveries_are_held,
    an_endpoint_that_never_answers_does_not_delay_another,
);

fn send(gateway: &Gateway, id: &str) {
    let to = gateway.field("/mailbox");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("ann@lakeside.example", to, &proof_of_funds(id, to)).unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// Adds an endpoint of `crm`; its id and secret.
fn add(gateway: &Gateway, url: &str) -> (String, String) {
    let added = gateway.json(&["webhook", "add", url, "--tenant", "acme", "--app", "crm"]);
    (text(&added, "/id").to_owned(), text(&added, "/secret").to_owned())
}

/// The delivery of the newest message to an endpoint.
fn delivery(gateway: &Gateway, endpoint: &str) -> Option<Value> {
    let messages = gateway.messages();
    let chain = gateway.explained(text(messages.first()?, "/id"));
    let deliveries = list(&chain, "/events/0/deliveries").to_vec();
    deliveries.into_iter().find(|delivery| text(delivery, "/endpointId") == endpoint)
}

fn in_state(gateway: &Gateway, endpoint: &str, state: &str) -> Value {
    wait_for(&format!("a delivery that is {state}"), || {
        delivery(gateway, endpoint).filter(|delivery| text(delivery, "/state") == state)
    })
}

/// An address where nobody listens, on a loopback address of its own so that nobody else takes the port meanwhile.
fn unused(last: u8) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 45, 1, last], 0))).unwrap();
    listener.local_addr().unwrap()
}

fn a_receiver_that_was_down_gets_its_event_once_it_is_back(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let address = unused(if engine == Engine::Sqlite { 1 } else { 2 });
    let (endpoint, secret) = add(&gateway, &format!("http://{address}/hook"));
    send(&gateway, &fresh_id("down"));
    let waiting = in_state(&gateway, &endpoint, "retry_wait");
    let first = &list(&waiting, "/attempts")[0];
    assert_eq!(text(first, "/reason"), "connect", "{waiting}");
    let sink = Sink::answering(address, |_| Some(204));
    let hit = wait_for("the event at the receiver", || sink.hits().into_iter().next());
    assert!(hit.is_signed_with(&secret));
    assert_eq!(hit.header("connex-attempt"), "2");
    let done = in_state(&gateway, &endpoint, "succeeded");
    assert_eq!(list(&done, "/attempts").len(), 2, "{done}");
}

fn every_attempt_carries_the_same_id_a_valid_signature_and_its_number(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let sink = Sink::answering(([127, 0, 0, 1], 0).into(), move |_| {
        Some(if counted.fetch_add(1, Ordering::SeqCst) == 0 { 500 } else { 204 })
    });
    let (endpoint, secret) = add(&gateway, &sink.url());
    send(&gateway, &fresh_id("again"));
    let done = in_state(&gateway, &endpoint, "succeeded");
    let statuses: Vec<_> = list(&done, "/attempts").iter().map(|attempt| attempt["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(500), Some(204)], "{done}");
    let hits = sink.hits();
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| hit.is_signed_with(&secret)));
    assert_eq!(hits[0].id(), hits[1].id());
    assert_eq!(hits[0].body, hits[1].body, "the bytes are the same on every attempt");
    assert_eq!([hits[0].header("connex-attempt"), hits[1].header("connex-attempt")], ["1", "2"]);
    assert!(!hits[0].is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "the check can fail");
}

fn a_rotated_secret_signs_from_then_on_and_the_one_before_as_long_as_it_is_told(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let sink = Sink::start();
    let (endpoint, first) = add(&gateway, &sink.url());
    let rotate = |more: &[&str]| {
        let rotate = ["webhook", "rotate-secret", &endpoint, "--tenant", "acme"];
        gateway.json(&[&rotate[..], more].concat())
    };
    let signed_with = |count: usize, secrets: &[&str]| {
        send(&gateway, &fresh_id("rotate"));
        let hit = wait_for("the event", || sink.hits().into_iter().nth(count - 1));
        secrets.iter().map(|secret| hit.is_signed_with(secret)).collect::<Vec<_>>()
    };
    assert_eq!(signed_with(1, &[&first]), [true]);
    let rotated = rotate(&[]);
    let second = text(&rotated, "/secret");
    assert!(!text(&rotated, "/previousSignsUntil").is_empty(), "{rotated}");
    assert_eq!(signed_with(2, &[&first, second]), [true, true]);
    let rotated = rotate(&["--overlap", "0s"]);
    let third = text(&rotated, "/secret");
    assert_eq!(rotated["previousSignsUntil"], Value::Null);
    assert_eq!(signed_with(3, &[&first, second, third]), [false, false, true]);
    let wrong = ["webhook", "rotate-secret", &endpoint, "--overlap", "8d"];
    assert_eq!(gateway.connex(&wrong).code, 2, "longer than a week");
}

fn an_endpoint_that_is_gone_is_disabled_and_its_deliveries_are_held(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let sink = Sink::answering(([127, 0, 0, 1], 0).into(), |_| Some(410));
    let (endpoint, _) = add(&gateway, &sink.url());
    send(&gateway, &fresh_id("gone"));
    wait_for("the endpoint to be disabled", || {
        let shown = gateway.json(&["webhook", "show", &endpoint, "--tenant", "acme"]);
        (text(&shown, "/state") == "disabled").then_some(())
    });
    in_state(&gateway, &endpoint, "held");
    send(&gateway, &fresh_id("gone"));
    in_state(&gateway, &endpoint, "held");
    assert_eq!(sink.hits().len(), 1, "nothing goes to an endpoint that is disabled");
}

fn an_endpoint_that_never_answers_does_not_delay_another(engine: Engine) {
    // One attempt may take 30 s: longer than this test waits for the other endpoint.
    let gateway = Gateway::serving(engine, "")
        .reconfigured(&[("timeout = \"1s\"", "timeout = \"60s\""), ("lease = \"2s\"", "lease = \"90s\"")]);
    let slow = Sink::answering(([127, 0, 0, 1], 0).into(), |_| None);
    let quick = Sink::start();
    add(&gateway, &slow.url());
    add(&gateway, &quick.url());
    const MESSAGES: usize = 24;
    for _ in 0..MESSAGES {
        send(&gateway, &fresh_id("slow"));
    }
    wait_for("all events at the quick endpoint", || (quick.hits().len() == MESSAGES).then_some(()));
    let attempts = slow.hits().len();
    assert!((1..=16).contains(&attempts), "attempts to one endpoint at the same time are bounded: {attempts}");
}

#[test]
fn addresses_that_are_not_public_are_refused_with_a_reason() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    for (url, reason) in [
        ("http://169.254.169.254/", "169.254.169.254"),
        ("https://169.254.169.254/latest", "169.254.169.254"),
        ("https://10.0.0.1/", "10.0.0.1"),
        ("https://[::ffff:10.0.0.1]/", "public"),
        ("https://0x0a000001/", "10.0.0.1"),
        ("http://hooks.example.org/", "https"),
        ("https://user:secret@hooks.example.org/", "user"),
    ] {
        let done = gateway.connex(&["webhook", "add", url, "--tenant", "acme", "--app", "crm"]);
        assert!(done.code != 0, "{url} was taken");
        assert!(done.stderr.contains(reason), "{url}: {}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    }
    assert_eq!(gateway.json(&["webhook", "list"]), serde_json::json!([]));
}
