//! Intake routes by the API: their addresses, their life, who reaches them, and what is said of mistakes.

use super::*;
use crate::ids::{MessageId, RouteId};
use crate::mail::marks::Mark;
use crate::mail::retention::Keep;
use crate::service::tokens::token_hash;
use crate::store::directory::AppProfileRow;
use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};
use crate::store::tests::engine::on_both_engines;

on_both_engines! {
    a_route_is_made_changed_moved_on_and_retired,
    held_copies_are_counted_asked_for_and_confirmed,
}

const ROUTES: &str = "/api/v1/routes";

impl Gateway {
    async fn call_route(&self, key: &str, verb: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request(verb, &format!("{ROUTES}{path}"), Some(key)).body(body).unwrap()).await
    }

    async fn app(&self, name: &str) {
        self.store.for_tenant(self.tenant).put_app(name, &AppProfileRow::default()).await.unwrap();
    }

    /// Id and address of a route that was made.
    async fn made(&self, key: &str, wanted: &Value) -> (String, String) {
        let reply = self.call_route(key, "POST", "", wanted).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        let text = |pointer: &str| reply.json().pointer(pointer).unwrap().as_str().unwrap().to_owned();
        (text("/route/id"), text("/address"))
    }

    /// Whose an address is.
    async fn owner_of(&self, address: &str) -> Option<RouteId> {
        let token = address.split_once('-').unwrap().1.split('@').next().unwrap();
        Some(self.store.route_by_token(token_hash(token)).await.unwrap()?.row.id)
    }
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
}

async fn a_route_is_made_changed_moved_on_and_retired(engine: Engine) {
    let gateway = Gateway::on(engine, |_| {}).await;
    let key = gateway.key().await;
    gateway.app("crm").await;
    let wanted = json!({ "kind": "journal", "format": "plain", "app": "crm", "peers": ["192.0.2.0/24"] });
    let (id, address) = gateway.made(&key, &wanted).await;
    assert!(address.starts_with("journal-") && address.ends_with("@in.gate.example"), "{address}");
    let own: RouteId = id.parse().unwrap();
    assert_eq!(gateway.owner_of(&address).await, Some(own));
    let one = format!("/{id}");
    let shown = gateway.call_route(&key, "GET", &one, &Value::Null).await.json();
    assert_eq!(
        (&shown["mode"], &shown["appName"], &shown["format"]),
        (&json!("observe"), &json!("crm"), &json!("plain"))
    );
    assert_eq!(shown["observeUntil"], "2026-11-30T10:00:00.000Z", "seven days");

    let change = json!({
        "format": "exchange-legacy", "peers": ["198.51.100.7", "door:lmtp"], "sizeCap": 5000, "mode": "active",
        "include": ["domain:acme.example"], "exclude": ["newsletter"], "keep": "text", "keepDays": 90,
    });
    let changed = gateway.call_route(&key, "PATCH", &one, &change).await.json();
    for (name, value) in [
        ("format", json!("exchange-legacy")),
        ("peers", json!(["198.51.100.7/32", "door:lmtp"])),
        ("sizeCap", json!(5000)),
        ("mode", json!("active")),
        ("include", json!(["domain:acme.example"])),
        ("exclude", json!(["newsletter"])),
        ("keep", json!("text")),
        ("keepDays", json!(90)),
        ("kind", json!("journal")),
    ] {
        assert_eq!(changed[name], value, "{name}: {changed}");
    }
    let again =
        gateway.call_route(&key, "PATCH", &one, &json!({ "keepDays": 0, "sizeCap": 0, "exclude": [] })).await.json();
    let told = (&again["keepDays"], &again["sizeCap"], &again["exclude"], &again["keep"], &again["include"]);
    let rest = (&Value::Null, &Value::Null, &json!([]), &json!("text"), &json!(["domain:acme.example"]));
    assert_eq!(told, rest, "what is left out stays");

    let rotated =
        gateway.call_route(&key, "POST", &format!("{one}/rotate"), &json!({ "overlapHours": 2 })).await.json();
    let new = rotated["address"].as_str().unwrap();
    assert!(new != address && rotated["former"] == json!(address), "{rotated}");
    assert_eq!(rotated["formerAcceptedUntil"], "2026-11-23T12:00:00.000Z");
    assert_eq!((gateway.owner_of(&address).await, gateway.owner_of(new).await), (Some(own), Some(own)));

    let state = async |verb: &str, step: &str| {
        let reply = gateway.call_route(&key, verb, &format!("{one}{step}"), &Value::Null).await;
        if reply.status == StatusCode::OK {
            return reply.json()["state"].as_str().unwrap().to_owned();
        }
        reply.problem(409, "state_conflict");
        "no".to_owned()
    };
    for (verb, step, expected) in [
        ("POST", "/learn", "no"),
        ("POST", "/pause", "paused"),
        ("POST", "/pause", "no"),
        ("POST", "/resume", "active"),
        ("DELETE", "", "retired"),
        ("DELETE", "", "no"),
        ("POST", "/resume", "no"),
        ("POST", "/rotate", "no"),
    ] {
        assert_eq!(state(verb, step).await, expected, "{verb} {step}");
    }
    // Nothing but the calls that made them shows an address, by its token.
    let all = gateway.call_route(&key, "GET", "", &Value::Null).await;
    let everything = format!("{} {changed} {again} {shown}", all.text());
    assert_eq!(all.json()["items"].as_array().unwrap().len(), 1);
    for address in [address.as_str(), new] {
        assert!(!everything.contains(&address[8..34]), "{everything}");
    }
}

/// A message that is held at the route with these marks.
async fn hold(gateway: &Gateway, route: &str, reason: &'static str, marks: Option<Vec<Mark>>) -> MessageId {
    let id: MessageId = gateway.clock.mint();
    let message = NewMessage {
        tenant: gateway.tenant,
        id,
        received_at: gateway.clock.now(),
        size: 10,
        manifest: "{}".into(),
        body: "{}".into(),
        trace: None,
        kept: Some(Kept::Held(reason)),
        views: Vec::new(),
        copies: vec![NewCopy {
            route: route.parse().unwrap(),
            marks,
            keep: Keep::Raw,
            alarm: None,
            tests_connector: false,
            held: Some(reason),
        }],
    };
    let cursor = SpoolCursor { segment: 1, position: 0 };
    gateway.store.record_mail(vec![message], Progress::Log { log: "n".into(), cursor }).await.unwrap();
    id
}

async fn held_copies_are_counted_asked_for_and_confirmed(engine: Engine) {
    let gateway = Gateway::on(engine, |_| {}).await;
    let key = gateway.key().await;
    gateway.app("crm").await;
    let wanted = json!({ "kind": "journal", "format": "plain", "app": "crm", "peers": ["shared:exchange-online"] });
    let (id, _) = gateway.made(&key, &wanted).await;
    let own = gateway.store.for_tenant(gateway.tenant);
    let mark = |value: &str| vec![Mark { name: "dkim".into(), value: value.into() }];
    hold(&gateway, &id, "peer_not_authorised", None).await;
    hold(&gateway, &id, "learning", Some(mark("acme.example"))).await;
    hold(&gateway, &id, "learning", Some(mark("other.example"))).await;
    let counted = |page: &Value| -> Vec<(String, u64, u64)> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|one| {
                assert!(!one["remedy"].as_str().unwrap().is_empty(), "{one}");
                let number = |name: &str| one[name].as_u64().unwrap();
                (one["reason"].as_str().unwrap().to_owned(), number("copies"), number("waiting"))
            })
            .collect()
    };
    let one = |reason: &str, copies: u64, waiting: u64| (reason.to_owned(), copies, waiting);
    let held = async || counted(&gateway.call_route(&key, "GET", &format!("/{id}/held"), &Value::Null).await.json());
    assert_eq!(held().await, [one("learning", 2, 0), one("peer_not_authorised", 1, 0)]);
    let window = json!({
        "from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z", "reason": "peer_not_authorised",
    });
    for _ in 0..2 {
        let asked = gateway.call_route(&key, "POST", &format!("/{id}/re-decide"), &window).await.json();
        assert_eq!((counted(&asked), &asked["more"]), (vec![one("peer_not_authorised", 1, 1)], &json!(false)));
    }
    assert_eq!(held().await, [one("learning", 2, 0), one("peer_not_authorised", 1, 1)]);
    let waiting = gateway.store.redecisions(10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].asked_by.starts_with("key_") && !waiting[0].is_released, "{waiting:?}");
    let before = json!({ "from": "2026-11-01T00:00:00Z", "to": "2026-11-23T10:00:00Z" });
    let asked = gateway.call_route(&key, "POST", &format!("/{id}/re-decide"), &before).await.json();
    assert_eq!(counted(&asked), [], "what came at its end came later");

    let marks = gateway.call_route(&key, "GET", &format!("/{id}/marks"), &Value::Null).await.json();
    assert_eq!(marks["held"].as_array().unwrap().len(), 2, "{marks}");
    let confirm = async |value: &str| {
        let body = json!({ "marks": [{ "name": "dkim", "value": value }] });
        gateway.call_route(&key, "POST", &format!("/{id}/confirm"), &body).await
    };
    assert_eq!(pointers(&confirm("nobody.example").await.problem(422, "invalid_request")), ["/marks"]);
    let confirmed = confirm("acme.example").await.json();
    assert_eq!((&confirmed["released"], &confirmed["state"]), (&json!(1), &json!("active")), "{confirmed}");
    assert_eq!(own.route(id.parse().unwrap()).await.unwrap().unwrap().marks, Some(mark("acme.example")));
}

#[tokio::test]
async fn each_mistake_is_named_by_its_field() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.app("crm").await;
    let wanted = |more: Value| {
        let mut body = json!({ "kind": "bcc", "app": "crm" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, pointer) in [
        (json!({ "kind": "smoke" }), "/kind"),
        (json!({ "kind": "journal" }), "/format"),
        (json!({ "format": "plain" }), "/format"),
        (json!({ "app": "unknown" }), "/app"),
        (json!({ "peers": ["127.0.0.1", "lake", "door:smtp"] }), "/peers/1"),
        (json!({ "sizeCap": 1_000_001 }), "/sizeCap"),
        (json!({ "observeHours": 5 }), "/observeHours"),
        (json!({ "mode": "observe", "observeHours": 2161 }), "/observeHours"),
        (json!({ "mode": "observe", "observeHours": 0 }), "/observeHours"),
        (json!({ "address": "bcc-x@in.gate.example" }), "/address"),
    ] {
        let reply = gateway.call_route(&key, "POST", "", &wanted(more.clone())).await;
        assert_eq!(pointers(&reply.problem(422, "invalid_request"))[0], pointer, "{more}");
    }
    let (id, _) = gateway.made(&key, &wanted(json!({}))).await;
    for (verb, path, body, pointer) in [
        ("PATCH", "", json!({ "format": "plain" }), "/format"),
        ("PATCH", "", json!({ "keep": "some" }), "/keep"),
        ("PATCH", "", json!({ "keepDays": 36_501 }), "/keepDays"),
        ("PATCH", "", json!({ "include": ["everything"] }), "/include/0"),
        ("PATCH", "", json!({ "authors": ["list"] }), "/authors/0"),
        ("PATCH", "", json!({ "legalHold": false }), "/legalHold"),
        ("POST", "/rotate", json!({ "overlapHours": 2161 }), "/overlapHours"),
        ("POST", "/learn", json!({ "hours": 73 }), "/hours"),
        ("POST", "/confirm", json!({}), "/marks"),
        ("POST", "/re-decide", json!({ "from": "yesterday", "to": "2026-11-24T00:00:00Z" }), "/from"),
        ("POST", "/re-decide", json!({ "from": "2026-11-24T00:00:00Z", "to": "2026-11-24T00:00:00Z" }), "/to"),
        (
            "POST",
            "/re-decide",
            json!({ "from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z", "reason": "sunny" }),
            "/reason",
        ),
    ] {
        let reply = gateway.call_route(&key, verb, &format!("/{id}{path}"), &body).await;
        assert_eq!(pointers(&reply.problem(422, "invalid_request")), [pointer], "{verb} {path} {body}");
    }
    let shown = gateway.call_route(&key, "GET", &format!("/{id}"), &Value::Null).await.json();
    assert_eq!((&shown["keep"], &shown["include"], &shown["legalHold"]), (&json!("raw"), &json!([]), &json!(false)));
    for since in ["?since=yesterday", "?since=2026-11-31", "?until=2026-11-01"] {
        let reply = gateway.call_route(&key, "GET", &format!("/{id}/reconciliation{since}"), &Value::Null).await;
        reply.problem(400, "invalid_parameter");
    }
    for path in ["/rte_00000000000000000000000000", "/x"] {
        gateway.call_route(&key, "GET", path, &Value::Null).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_key_that_is_bound_to_apps_reaches_their_routes_alone_and_one_bound_to_mailboxes_none() {
    let gateway = Gateway::new().await;
    let all = gateway.key().await;
    for app in ["crm", "billing"] {
        gateway.app(app).await;
    }
    let (own, _) = gateway.made(&all, &json!({ "kind": "bcc", "app": "crm" })).await;
    let (other, _) = gateway.made(&all, &json!({ "kind": "bcc", "app": "billing" })).await;
    let bound = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    let listed = gateway.call_route(&bound, "GET", "", &Value::Null).await.json();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [json!(own)]);
    for (verb, path) in [("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("GET", "/held"), ("POST", "/pause")] {
        gateway.call_route(&bound, verb, &format!("/{other}{path}"), &Value::Null).await.problem(404, "not_found");
    }
    let elsewhere = gateway.call_route(&bound, "POST", "", &json!({ "kind": "bcc", "app": "billing" })).await;
    elsewhere.problem(403, "forbidden_app");
    gateway.made(&bound, &json!({ "kind": "bcc", "app": "crm" })).await;
    let confined = gateway.key_with(|key| key.bindings.mailboxes = vec!["deals@gate.example".into()]).await;
    gateway.call_route(&confined, "GET", "", &Value::Null).await.problem(403, "forbidden_mailbox");
}
