//! Blind copies through a secret address, and the same message more than once.

use crate::harness::{Engine, Gateway, Wire, fresh_id, http, list, message, on_both_engines, text, wait_for};

on_both_engines!(
    a_copy_by_an_authorised_peer_makes_an_event_that_never_shows_the_routes_address,
    a_second_copy_makes_no_second_event_and_other_content_under_its_name_does,
    a_copy_that_names_more_recipients_adds_them_and_is_told_once,
    a_copy_from_a_peer_that_is_not_named_is_put_off_and_one_to_a_route_that_names_nobody_is_held,
);

/// A copy of mail that the user's own people sent.
fn copy(id: &str, body: &str) -> Vec<u8> {
    message(id, "buyer@elsewhere.example", "Our offer", body)
}

fn send(gateway: &Gateway, to: &str, bytes: &[u8]) {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("ann@lakeside.example", to, bytes).unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// Waits until this many messages are stored and in the index.
fn indexed(gateway: &Gateway, count: usize) -> Vec<serde_json::Value> {
    wait_for("the messages in the index", || {
        let messages = gateway.messages();
        let done = messages.iter().all(|message| text(message, "/state") != "spooled");
        (messages.len() == count && done).then_some(messages)
    })
}

fn a_copy_by_an_authorised_peer_makes_an_event_that_never_shows_the_routes_address(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let route = gateway.field("/routes/bcc");
    let token = route.split('@').next().unwrap();
    let id = fresh_id("bcc");
    // The worst a peer can do: its address also stands in headers and text.
    let bytes = copy(&id, &format!("Please find our offer. Bcc was {route}.\r\n"));
    let bytes = [format!("Bcc: {route}\r\nDelivered-To: {route}\r\n").as_bytes(), &bytes].concat();
    send(&gateway, route, &bytes);
    let event = gateway.arrival(&id);
    assert_eq!(text(&event, "/body/source/kind"), "bcc");
    let stored = indexed(&gateway, 1);
    let message = text(&stored[0], "/id");
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let api = |path: &str| {
        let answer = http("GET", &format!("{}{path}", gateway.api()), &[("authorization", &authorization)], b"");
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8(answer.body).unwrap()
    };
    let shown = [
        ("webhook", event.to_string()),
        ("explain", gateway.explained(message).to_string()),
        ("API explain", api(&format!("/api/v1/explain/{message}"))),
        ("API events", api("/api/v1/events")),
        ("API message", api(&format!("/api/v1/messages/{message}"))),
        ("messages list", serde_json::to_string(&stored).unwrap()),
        ("tail", gateway.connex(&["tail", "--no-follow", "--json"]).text()),
        ("log", gateway.log()),
    ];
    for (place, text) in shown {
        assert!(!text.contains(token), "{place} shows the address: {text}");
    }
}

fn a_second_copy_makes_no_second_event_and_other_content_under_its_name_does(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let route = gateway.field("/routes/bcc");
    let id = fresh_id("twice");
    send(&gateway, route, &copy(&id, "Please find our offer.\r\n"));
    gateway.arrival(&id);
    // A trace line of its own, as the second way through other servers leaves it.
    let again = [
        b"Received: from a.example by b.example; Mon, 23 Nov 2026 09:02:00 +0000\r\n",
        copy(&id, "Please find our offer.\r\n").as_slice(),
    ]
    .concat();
    send(&gateway, route, &again);
    let stored = indexed(&gateway, 2);
    assert_eq!(gateway.received(&id).len(), 1);
    let events = |stored: &[serde_json::Value]| -> usize {
        stored.iter().map(|message| list(&gateway.explained(text(message, "/id")), "/events").len()).sum()
    };
    assert_eq!(events(&stored), 1, "one event for both copies");
    send(&gateway, route, &copy(&id, "Please find our other offer.\r\n"));
    let stored = indexed(&gateway, 3);
    assert_eq!(events(&stored), 2, "other content is another message");
    wait_for("the second event", || (gateway.received(&id).len() == 2).then_some(()));
    let flagged = |message: &serde_json::Value| text(message, "/reason") == "message_id_reused";
    assert_eq!(stored.iter().filter(|message| flagged(message)).count(), 1, "{stored:?}");
}

fn a_copy_that_names_more_recipients_adds_them_and_is_told_once(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let route = gateway.field("/routes/bcc");
    let id = fresh_id("more");
    let (token, domain) = route.split_once('@').unwrap();
    for to in [
        route.to_owned(),
        format!("{token}+sam=harbor.example@{domain}"),
        format!("{token}+sam=harbor.example@{domain}"),
    ] {
        send(&gateway, &to, &copy(&id, "Please find our offer.\r\n"));
    }
    let first = indexed(&gateway, 3).into_iter().find(|message| text(message, "/state") == "emitted").unwrap();
    let explained = gateway.explained(text(&first, "/id"));
    let events = list(&explained, "/events");
    assert_eq!(events.len(), 2, "{explained}");
    assert_eq!(text(&events[1], "/type"), "message_updated");
    assert_eq!(text(&events[1], "/event/updatedEventId"), text(&events[0], "/eventId"));
    let added = &events[1]["event"]["addedRecipients"];
    assert_eq!(*added, serde_json::json!([{ "address": "sam@harbor.example", "displayName": null, "type": "bcc" }]));
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let log =
        http("GET", &format!("{}/api/v1/events", gateway.api()), &[("authorization", &authorization)], b"").json();
    // The samples of `dev` came before.
    let newest = list(&log, "/items").last().unwrap();
    assert_eq!(text(newest, "/event/type"), "message.updated", "{log}");
    assert_eq!(newest["event"]["data"]["addedRecipients"], *added);
    let told = list(&log, "/items").iter().filter(|item| text(item, "/event/type") == "message.updated").count();
    assert_eq!(told, 1, "{log}");
}

fn a_copy_from_a_peer_that_is_not_named_is_put_off_and_one_to_a_route_that_names_nobody_is_held(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let tenant = gateway.field("/tenant");
    let add = ["route", "add", "--tenant", tenant, "--app", gateway.field("/app"), "--kind", "bcc"];
    let named = gateway.json(&[&add[..], &["--peer", "192.0.2.0/24"]].concat());
    let open = gateway.json(&add);
    let id = fresh_id("stranger");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let mut offer =
        |route| wire.mail("ann@lakeside.example", text(route, "/address"), &copy(&id, "An offer.\r\n")).unwrap();
    // The peer's own queue keeps it, until the route names the peer or the operator was asked for long enough.
    let (code, reply) = offer(&named);
    assert!(code == 450 && reply.contains("4.7.1"), "{code} {reply}");
    assert_eq!(offer(&open).0, 250);
    let stored = indexed(&gateway, 1);
    assert_eq!(text(&stored[0], "/state"), "held", "{stored:?}");
    assert_eq!(list(&gateway.explained(text(&stored[0], "/id")), "/events").len(), 0);
    assert!(gateway.received(&id).is_empty());
    let log = gateway.log();
    assert!(log.contains(text(&named, "/id")) && log.contains("127.0.0.0/24"), "the operator is told whom: {log}");
}
