//! Held copies, from a real SMTP session to the webhook that they become once what was in their way is mended.

use std::time::Duration;

use crate::harness::{
    Answer, Engine, Gateway, Sink, Wire, fresh_id, http, list, on_both_engines, text, wait_for, wait_within,
};

on_both_engines!(
    a_held_copy_becomes_a_webhook_once_its_peer_is_named_and_somebody_asks,
    a_kill_while_held_copies_are_decided_on_loses_none_and_makes_no_event_twice,
);

/// Strangers' copies are kept at once.
const KEEPING: &str = "[routes]\nput_off_strangers = \"0s\"\n";

fn mail(id: &str) -> String {
    format!(
        "From: Buyer <buyer@lakeside.example>\r\nTo: sam@acme.example\r\nSubject: Proof of funds\r\n\
         Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nMessage-ID: <{id}>\r\n\r\n\
         Before the seller will countersign we need proof of funds from your buyer.\r\n"
    )
}

fn send(gateway: &Gateway, to: &str, id: &str) {
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("", to, mail(id).as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// Reason, copies and copies that wait.
fn held(page: &serde_json::Value) -> Vec<(String, u64, u64)> {
    let number = |one: &serde_json::Value, name: &str| one[name].as_u64().unwrap();
    let items = list(page, "/items").iter();
    items.map(|one| (text(one, "/reason").to_owned(), number(one, "copies"), number(one, "waiting"))).collect()
}

fn a_held_copy_becomes_a_webhook_once_its_peer_is_named_and_somebody_asks(engine: Engine) {
    let gateway = Gateway::serving(engine, KEEPING);
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm"]);
    let add =
        ["key", "add", "--tenant", "acme", "--name", "routes", "--scope", "routes:read", "--scope", "routes:write"];
    let authorization = format!("Bearer {}", text(&gateway.json(&add), "/key"));
    let call = |verb: &str, path: &str, body: &serde_json::Value| -> Answer {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(verb, &format!("{}/api/v1/routes{path}", gateway.api()), &headers, body.as_bytes())
    };
    let none = serde_json::Value::Null;
    let wanted = serde_json::json!({
        "kind": "journal", "format": "plain", "app": "crm", "peers": ["192.0.2.0/24"], "mode": "active",
    });
    let made = call("POST", "", &wanted);
    assert_eq!(made.status, 201, "{made:?}");
    let (route, address) = (text(&made.json(), "/route/id").to_owned(), text(&made.json(), "/address").to_owned());
    let (first, second) = (fresh_id("first"), fresh_id("second"));
    for id in [&first, &second] {
        send(&gateway, &address, id);
    }
    let page = wait_for("both copies to be held", || {
        let page = gateway.json(&["route", "held", &route]);
        (list(&page, "/items").iter().map(|one| one["copies"].as_u64().unwrap()).sum::<u64>() == 2).then_some(page)
    });
    assert_eq!(held(&page), [("peer_not_authorised".to_owned(), 2, 0)]);
    assert_eq!(call("GET", &format!("/{route}/held"), &none).json(), page, "the API shows the same");
    // Asked for before anything was mended: held as before.
    let window = serde_json::json!({ "from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z" });
    let asked = call("POST", &format!("/{route}/re-decide"), &window);
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(held(&asked.json()), [("peer_not_authorised".to_owned(), 2, 2)]);
    let looked = || held(&gateway.json(&["route", "held", &route]));
    wait_for("the look in vain", || (looked() == [("peer_not_authorised".to_owned(), 2, 0)]).then_some(()));
    assert!(receiver.hits().is_empty());

    let set = call("PATCH", &format!("/{route}"), &serde_json::json!({ "peers": ["127.0.0.0/8"] }));
    assert_eq!(set.status, 200, "{set:?}");
    let asked =
        gateway.json(&["route", "re-decide", &route, "--from", "2020-01-01", "--reason", "peer_not_authorised"]);
    assert_eq!(list(&asked, "/items").len(), 1, "{asked}");
    let hits = wait_for("the webhooks of both", || Some(receiver.hits()).filter(|hits| hits.len() >= 2));
    let mut told: Vec<String> =
        hits.iter().map(|hit| text(&hit.json(), "/source/eventId").trim_matches(['<', '>']).to_owned()).collect();
    told.sort();
    let mut sent = [first.clone(), second];
    sent.sort();
    assert_eq!(told, sent);
    assert!(gateway.messages().iter().all(|one| text(one, "/state") == "emitted"));
    // Once more, and the same mail once more: nothing follows twice.
    call("POST", &format!("/{route}/re-decide"), &window);
    let third = fresh_id("third");
    for id in [&first, &third] {
        send(&gateway, &address, id);
    }
    wait_for("the new one's webhook", || {
        receiver.hits().iter().any(|hit| hit.json().to_string().contains(&third)).then_some(())
    });
    assert_eq!(receiver.hits().len(), 3);
    let nothing = gateway.connex(&["route", "release", &route, text(&gateway.messages()[0], "/id")]);
    assert!(nothing.code == 1 && nothing.stderr.contains("returned_report"), "{}", nothing.stderr);
}

fn a_kill_while_held_copies_are_decided_on_loses_none_and_makes_no_event_twice(engine: Engine) {
    const COPIES: usize = 24;
    let mut gateway = Gateway::serving(engine, KEEPING);
    let add = ["route", "add", "--tenant", "acme", "--app", "crm", "--kind", "bcc", "--peer", "192.0.2.0/24"];
    let route = gateway.json(&add);
    let (route, address) = (text(&route, "/id").to_owned(), text(&route, "/address").to_owned());
    for _ in 0..COPIES {
        send(&gateway, &address, &fresh_id("killed"));
    }
    let count =
        |gateway: &Gateway, state: &str| gateway.messages().iter().filter(|one| text(one, "/state") == state).count();
    wait_for("all to be held", || (count(&gateway, "held") == COPIES).then_some(()));
    gateway.json(&["route", "set", &route, "--peer", "127.0.0.0/8"]);
    gateway.json(&["route", "re-decide", &route, "--from", "2020-01-01"]);
    wait_for("the first to be decided on", || (count(&gateway, "emitted") > 0).then_some(()));
    gateway.kill();
    let gateway = gateway.restarted();
    wait_within(Duration::from_secs(120), "all to be decided on", || {
        (count(&gateway, "emitted") == COPIES).then_some(())
    });
    for message in gateway.messages() {
        let explained = gateway.explained(text(&message, "/id"));
        assert_eq!(list(&explained, "/events").len(), 1, "{explained}");
    }
    assert!(list(&gateway.json(&["route", "held", &route]), "/items").is_empty());
}
