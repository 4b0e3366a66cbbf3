//! Mail that programs hand in by the API.

use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, fresh_id, http, list, on_both_engines, proof_of_funds, text, wait_for};

on_both_engines!(
    mail_by_the_api_is_stored_to_the_byte_and_becomes_one_event,
    a_call_under_a_key_is_answered_the_same_after_a_restart_and_stored_once,
);

const PATH: &str = "/api/v1/intake/raw";
const FROM: &str = "ann@lakeside.example";

/// A key that may hand mail in, and its id.
fn ingest_key(gateway: &Gateway) -> (String, String) {
    let tenant = gateway.field("/tenant");
    let key = gateway.json(&["key", "add", "--tenant", tenant, "--name", "mail", "--scope", "mail:ingest"]);
    (text(&key, "/key").to_owned(), text(&key, "/id").to_owned())
}

fn hand_in(gateway: &Gateway, key: &str, to: &str, bytes: &[u8]) -> (u16, Value) {
    let authorization = format!("Bearer {key}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "message/rfc822"),
        ("x-connex-mail-from", FROM),
        ("x-connex-rcpt-to", to),
    ];
    let answer = http("POST", &format!("{}{PATH}", gateway.api()), &headers, bytes);
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn mail_by_the_api_is_stored_to_the_byte_and_becomes_one_event(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let (key, _) = ingest_key(&gateway);
    let to = gateway.field("/mailbox");
    let id = fresh_id("api");
    // A bare line feed and a NUL are kept as they are.
    let bytes = [proof_of_funds(&id, to).as_slice(), b"bare\nand \0 NUL\r\n.\r\nbehind a dot"].concat();
    for _ in 0..2 {
        let (status, answer) = hand_in(&gateway, &key, to, &bytes);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["size"], bytes.len(), "{answer}");
        let raw = gateway.connex(&["messages", "raw", text(&answer, "/messageId")]);
        assert!(raw.stdout == bytes, "{}", raw.stderr);
    }
    let events = || {
        let messages = gateway.messages();
        let is_done = messages.len() == 2 && messages.iter().all(|message| text(message, "/state") != "spooled");
        is_done.then(|| messages.iter().map(|message| gateway.explained(text(message, "/id"))).collect::<Vec<_>>())
    };
    let chains = wait_for("both in the index", events);
    let events: Vec<&Value> = chains.iter().flat_map(|chain| list(chain, "/events")).collect();
    let mut ids: Vec<&str> = events.iter().map(|event| text(event, "/event/id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1, "the second is the same message: {events:?}");
    assert_eq!(text(events[0], "/event/source/door"), "http");
    assert_eq!(text(events[0], "/event/envelope/mailFrom"), FROM);
}

fn a_call_under_a_key_is_answered_the_same_after_a_restart_and_stored_once(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let (key, _) = ingest_key(&gateway);
    let to = gateway.field("/mailbox").to_owned();
    // Larger than what one append or row takes.
    let bytes = [proof_of_funds(&fresh_id("keyed"), &to).as_slice(), &b"more of it\r\n".repeat(60_000)].concat();
    let call = |gateway: &Gateway, bytes: &[u8]| {
        let authorization = format!("Bearer {key}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "message/rfc822"),
            ("x-connex-mail-from", FROM),
            ("x-connex-rcpt-to", &to),
            ("idempotency-key", "\"order 7\""),
        ];
        http("POST", &format!("{}{PATH}", gateway.api()), &headers, bytes)
    };
    let first = call(&gateway, &bytes);
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{}", first.json());
    let gateway = gateway.restarted();
    let again = call(&gateway, &bytes);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json(), first.json());
    let other = call(&gateway, &bytes[1..]);
    assert_eq!((other.status, text(&other.json(), "/code")), (422, "idempotency_conflict"));
    assert_eq!(gateway.messages().len(), 1);
}

#[test]
fn only_the_tenants_own_recipients_are_known_and_nothing_is_stored_for_others() {
    let gateway = Gateway::serving(Engine::Sqlite, "[smtp.limits]\nmessage_size = \"64KiB\"\n");
    let (key, _) = ingest_key(&gateway);
    gateway.json(&["tenant", "add", "stranger"]);
    gateway.json(&["app", "add", "other", "--tenant", "stranger"]);
    let foreign = "theirs@gateway.example";
    gateway.json(&["mailbox", "add", foreign, "--tenant", "stranger", "--app", "other"]);
    let own = gateway.field("/mailbox");
    let bytes = proof_of_funds(&fresh_id("refused"), own);
    let (_, of_nobody) = hand_in(&gateway, &key, "nobody@gateway.example", &bytes);
    let (status, of_another) = hand_in(&gateway, &key, foreign, &bytes);
    assert_eq!((status, &of_another["errors"]), (422, &of_nobody["errors"]), "{of_another}");
    let (status, answer) = hand_in(&gateway, &key, &format!("{own}, {foreign}, no address"), &bytes);
    let expected = json!([
        { "pointer": "X-Connex-Rcpt-To/1", "message": "is nobody here" },
        { "pointer": "X-Connex-Rcpt-To/2", "message": "is no address" },
    ]);
    assert_eq!((status, &answer["errors"]), (422, &expected), "{answer}");
    let (status, answer) = hand_in(&gateway, &key, own, &b"Subject: large\r\n".repeat(8_192));
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = hand_in(&gateway, &key, own, b"");
    assert_eq!(status, 422, "{answer}");
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    assert_eq!(http("POST", &format!("{}{PATH}", gateway.api()), &headers, b"{}").status, 415);
    assert_eq!(gateway.messages().len(), 0);
}

#[test]
fn a_route_that_names_the_key_believes_its_copies() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    let (key, id) = ingest_key(&gateway);
    let (tenant, app) = (gateway.field("/tenant"), gateway.field("/app"));
    let peer = format!("key:{id}");
    let add = |peer: &str| {
        let route = gateway.json(&["route", "add", "--tenant", tenant, "--app", app, "--kind", "bcc", "--peer", peer]);
        text(&route, "/address").to_owned()
    };
    let (own, other) = (add(&peer), add("192.0.2.0/24"));
    let bytes = proof_of_funds(&fresh_id("key"), "buyer@elsewhere.example");
    let (status, answer) = hand_in(&gateway, &key, &own, &bytes);
    assert_eq!(status, 200, "{answer}");
    let chain = wait_for("its event", || {
        let chain = gateway.explained(text(&answer, "/messageId"));
        (!list(&chain, "/events").is_empty()).then_some(chain)
    });
    assert_eq!(chain["events"][0]["event"]["trusted"], true, "{chain}");
    let (status, answer) = hand_in(&gateway, &key, &other, &bytes);
    assert_eq!(status, 503, "put off: {answer}");
}
