//! Several nodes over one database: what one of them takes is one event for all, and none of them is missed for long.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use connex::clock::Clock;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Database, Gateway, Installation, Load, READING, Sink, Taken, Wire, each_is_one_event, expect_one_log,
    expect_stored, fresh_id, http, list, proof_of_funds, random, seed, text, wait_within,
};

const SESSIONS: usize = 8;
const EVENT: &str = "/api/connex/integration-event";
const OUTCOME: &str = "/api/connex/integration-outcome";
/// For tests that ask more often than people do.
const UNLIMITED: &str = "[http.rate_limits]\ndefault_per_minute = 0\n[smtp.limits]\nconnects_per_minute = 1000000\n";

fn doors(nodes: &[Gateway]) -> Vec<SocketAddr> {
    nodes.iter().map(Gateway::smtp).collect()
}

/// Everything is there once, for all nodes: in the store, at the receiver, in the log of events.
fn expect_once(installation: &Installation, nodes: &[Gateway], sink: &Sink, secret: &str, taken: &Taken) {
    each_is_one_event(sink, secret, taken);
    expect_stored(&nodes[0], taken);
    let events = expect_one_log(installation, nodes, taken);
    assert_eq!(events, taken.len(), "as many events as messages");
}

fn mail_over(count: usize) {
    let installation = Installation::over(Database::fresh(), UNLIMITED);
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let nodes = installation.nodes(count);
    let load = Load::start(SESSIONS, installation.mailbox(), seed());
    load.go_to(&doors(&nodes));
    load.more(200, READING, "two hundred messages");
    let (taken, refusals) = load.finish();
    assert_eq!(refusals, Vec::<String>::new());
    expect_once(&installation, &nodes, &sink, &secret, &taken);
    // Nothing failed, so nothing was sent again, and nothing is there twice.
    let digests = expect_stored(&nodes[count - 1], &taken);
    assert_eq!(digests.len(), taken.len(), "each message is stored once");
}

#[test]
fn mail_that_two_nodes_take_is_stored_once_and_is_one_event_in_one_order() {
    mail_over(2);
}

#[test]
fn mail_that_three_nodes_take_is_stored_once_and_is_one_event_in_one_order() {
    mail_over(3);
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_mail_takes_nothing_with_it() {
    let installation = Installation::over(Database::fresh(), UNLIMITED);
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let mut nodes = installation.nodes(2);
    let load = Load::start(SESSIONS, installation.mailbox(), seed());
    load.go_to(&doors(&nodes));
    load.more(100, READING, "mail at both nodes");
    // It does not come back: the other one must take over all that it had.
    nodes.remove(0).kill();
    let killed = Instant::now();
    let before = load.taken();
    load.more(60, READING, "mail at the node that is left");
    each_is_one_event(&sink, &secret, &before);
    eprintln!("all that was taken before the kill had been delivered {:?} after it", killed.elapsed());
    let (taken, refusals) = load.finish();
    assert_eq!(refusals, Vec::<String>::new());
    expect_once(&installation, &nodes, &sink, &secret, &taken);
}

#[test]
fn nodes_that_are_killed_in_turn_and_come_back_lose_nothing_and_make_no_event_twice() {
    let installation = Installation::over(Database::fresh(), UNLIMITED);
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let seed = seed();
    let mut random = random(seed);
    let mut nodes = installation.nodes(2);
    let load = Load::start(SESSIONS, installation.mailbox(), seed);
    for round in 0..8 {
        load.go_to(&doors(&nodes));
        load.more(1 + random.below(24), READING, &format!("mail in round {round}"));
        std::thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        let index = round % 2;
        nodes[index].kill();
        load.more(1 + random.below(12), READING, &format!("mail at the other node in round {round}"));
        nodes[index] = installation.node(index + 1);
    }
    load.go_to(&doors(&nodes));
    let (taken, refusals) = load.finish();
    assert_eq!(refusals, Vec::<String>::new());
    expect_once(&installation, &nodes, &sink, &secret, &taken);
}

#[test]
fn a_delivery_that_a_killed_node_had_leased_is_taken_over_under_the_same_id() {
    let installation = Installation::over(Database::fresh(), "");
    let count = AtomicUsize::new(0);
    // The first attempt hangs: its node dies in the middle of it.
    let sink =
        Sink::answering(([127, 0, 0, 1], 0).into(), move |_| (count.fetch_add(1, Ordering::SeqCst) > 0).then_some(204));
    installation.webhook(&sink.url());
    let mut first = installation.node(1);
    let to = installation.mailbox();
    let mut wire = Wire::hello(first.smtp()).unwrap();
    let (code, reply) = wire.mail("ann@lakeside.example", to, &proof_of_funds(&fresh_id("leased"), to)).unwrap();
    assert_eq!(code, 250, "{reply}");
    wait_within(READING, "the first attempt", || sink.hits().into_iter().next());
    first.kill();
    let _second = installation.node(2);
    // The lease is 2 s, and who looks for work looks every second.
    let ready = Instant::now();
    let hits = wait_within(Duration::from_secs(15), "the attempt of the other node", || {
        let hits = sink.hits();
        (hits.len() > 1).then_some(hits)
    });
    eprintln!("taken over {:?} after the other node was ready", ready.elapsed());
    assert_eq!(hits[0].id(), hits[1].id());
    assert_eq!(hits[0].body, hits[1].body);
}

fn call(node: &Gateway, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    http("POST", &format!("{}{path}", node.api()), &headers, body.to_string().as_bytes())
}

/// The same call at each of the nodes, as nearly at the same time as can be.
fn at_once(nodes: &[Gateway], path: &str, headers: &[(&str, &str)], body: &Value) -> Vec<Answer> {
    let barrier = Barrier::new(nodes.len());
    std::thread::scope(|scope| {
        let calls = nodes.iter().map(|node| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                call(node, path, headers, body)
            })
        });
        // All of them, before one is waited for.
        let calls: Vec<_> = calls.collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

fn event(id: &str) -> Value {
    json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": id, "eventType": "inbound_reply",
        "message": { "subject": "Hi", "body": "What is your price?" } })
}

#[test]
fn one_event_told_to_two_nodes_at_once_is_one_event_with_one_answer() {
    const ROUNDS: usize = 20;
    let installation = Installation::over(Database::fresh(), UNLIMITED);
    let nodes = installation.nodes(2);
    let authorization = format!("Bearer {}", installation.key());
    for round in 0..ROUNDS {
        let answers = at_once(&nodes, EVENT, &[("authorization", &authorization)], &event(&format!("evt_{round}")));
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let answers: Vec<Value> = answers.iter().map(Answer::json).collect();
        let firsts = answers.iter().filter(|answer| answer["duplicate"] == false).count();
        assert_eq!(firsts, 1, "one of them was the first: {answers:?}");
        for field in ["eventId", "canonical", "operations", "materialized"] {
            assert_eq!(answers[0][field], answers[1][field], "{field}");
        }
    }
    let events = installation.events(&nodes[0]);
    assert_eq!(events.iter().filter(|item| text(item, "/event/type") == "message.classified").count(), ROUNDS);
    assert_eq!(expect_one_log(&installation, &nodes, &Taken::new()), ROUNDS);
}

#[test]
fn one_idempotency_key_at_two_nodes_at_once_has_one_effect_and_one_answer() {
    const ROUNDS: usize = 20;
    let installation = Installation::over(Database::fresh(), UNLIMITED);
    let nodes = installation.nodes(2);
    let authorization = format!("Bearer {}", installation.key());
    for round in 0..ROUNDS {
        let id = format!("evt_{round}");
        assert_eq!(call(&nodes[0], EVENT, &[("authorization", &authorization)], &event(&id)).status, 200);
        let body = json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": id, "outcome": "approved" });
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", id.as_str())];
        let answers = at_once(&nodes, OUTCOME, &headers, &body);
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed") == Some("true")).count();
        assert_eq!(replayed, 1, "one of them is the stored answer: {answers:?}");
        let told: Vec<Value> = answers.iter().map(Answer::json).collect();
        for field in ["outcomeId", "eventId", "outcome", "history"] {
            assert_eq!(told[0][field], told[1][field], "{field}");
        }
        assert_eq!(list(&told[0], "/history").len(), 1, "{told:?}");
        // And it stays one effect for the next report, at either node.
        let body = json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": id, "outcome": "won" });
        let next = call(&nodes[round % 2], OUTCOME, &[("authorization", &authorization)], &body).json();
        let words: Vec<&str> = list(&next, "/history").iter().map(|entry| text(entry, "/outcome")).collect();
        assert_eq!(words, ["approved", "won"], "{next}");
    }
}

#[test]
fn a_rate_limit_is_one_for_all_nodes() {
    const LIMIT: usize = 20;
    let more = format!("[http.rate_limits]\ndefault_per_minute = {LIMIT}\n");
    let installation = Installation::over(Database::fresh(), &more);
    let nodes = installation.nodes(2);
    // Windows may begin with the minute of the clock: when one ended meanwhile, it is tried again with a new key.
    for attempt in 0..3 {
        let arguments = ["--tenant", "acme", "--scope", "events:read", "--name"];
        let key = installation.json(&[&["key", "add"], &arguments[..], &[&format!("limited {attempt}")]].concat());
        let authorization = format!("Bearer {}", text(&key, "/key"));
        let minute = || Clock::System.now().as_seconds() / 60;
        let begun = minute();
        let statuses: Vec<u16> = (0..LIMIT * 3)
            .map(|number| {
                let url = format!("{}/api/v1/events?limit=1", nodes[number % 2].api());
                http("GET", &url, &[("authorization", &authorization)], b"").status
            })
            .collect();
        if minute() == begun {
            let kinds: BTreeSet<u16> = statuses.iter().copied().collect();
            assert_eq!(kinds, BTreeSet::from([200, 429]), "{statuses:?}");
            let passed = statuses.iter().filter(|status| **status == 200).count();
            // Nodes may take their share in pieces, so that some of it is left over.
            assert!((LIMIT / 2..=LIMIT).contains(&passed), "{passed} passed: {statuses:?}");
            return;
        }
    }
    panic!("three times in a row a minute ended during sixty calls");
}
