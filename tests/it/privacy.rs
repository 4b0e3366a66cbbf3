//! Which copies a route takes notice of, who sees blind recipients, what is kept, and what must stay, from SMTP to the API.

use serde_json::Value;

use crate::harness::{Engine, Gateway, Sink, Wire, fresh_id, http, list, on_both_engines, text, wait_for, zone};

on_both_engines!(
    what_a_route_leaves_out_reaches_no_app_and_what_it_does_not_keep_is_not_read,
    a_legal_hold_puts_off_what_a_route_does_not_keep,
);

/// A report of Exchange about mail from a buyer to sam, with a blind copy to `blind` that no header names.
fn report(id: &str, domain: &str, blind: &str) -> String {
    format!(
        "From: Microsoft Exchange <journal@{domain}>\r\nTo: journal@{domain}\r\nSubject: Journal Report\r\n\
         Message-ID: <wrapper.{id}>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"_r_\"\r\n\r\n--_r_\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n\
         Sender: buyer@lakeside.example\r\nSubject: Proof of funds\r\nMessage-Id: <{id}>\r\nRecipient: sam@{domain}\r\n\
         Bcc: {blind}\r\n\r\n--_r_\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Lakeside Buying <buyer@lakeside.example>\r\nTo: Sam <sam@{domain}>\r\nSubject: Proof of funds\r\n\
         Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nMessage-ID: <{id}>\r\n\r\n\
         Could you please send the proof of funds by Friday?\r\n\r\n--_r_--\r\n"
    )
}

/// A gateway with a proven domain, and a journal route of it: its id and address.
fn scene(engine: Engine) -> (Gateway, String, String, String) {
    let id = fresh_id("d");
    let name = id.split('@').next().unwrap_or("x").trim_start_matches('<').replace('.', "-");
    let domain = format!("{name}.example");
    let gateway = Gateway::serving(engine, "[routes]\nwatch_interval = \"1s\"\n");
    let claimed = gateway.json(&["domain", "add", &domain, "--tenant", "acme"]);
    zone().txt(&format!("_connex.{domain}"), text(&claimed, "/record/value"));
    assert_eq!(text(&gateway.json(&["domain", "check", &domain, "--tenant", "acme"]), "/state"), "verified");
    let (id, address) = add_route(&gateway);
    (gateway, domain, id, address)
}

/// Id and address of a new journal route.
fn add_route(gateway: &Gateway) -> (String, String) {
    let add = "route add --tenant acme --app crm --peer 127.0.0.0/8 --kind journal --observe 0s --format exchange";
    let route = gateway.json(&add.split(' ').collect::<Vec<_>>());
    (text(&route, "/id").to_owned(), text(&route, "/address").to_owned())
}

/// The message in the index, once it has read it.
fn read(gateway: &Gateway, count: usize) -> Vec<Value> {
    wait_for("the messages in the index", || {
        let messages = gateway.messages();
        let is_read = messages.len() == count && messages.iter().all(|one| text(one, "/state") != "spooled");
        is_read.then_some(messages)
    })
}

fn send(gateway: &Gateway, to: &str, mail: &str) {
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("", to, mail.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// A call with a key: status and body.
fn get(gateway: &Gateway, key: &str, path: &str) -> (u16, String) {
    let authorization = format!("Bearer {key}");
    let answer = http("GET", &format!("{}{path}", gateway.api()), &[("authorization", &authorization)], b"");
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

fn what_a_route_leaves_out_reaches_no_app_and_what_it_does_not_keep_is_not_read(engine: Engine) {
    let (gateway, domain, route, address) = scene(engine);
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm", "--event-type", "message.*"]);
    let board = format!("group:board@{domain}");
    let told = gateway.json(&["route", "privacy", &route, "--tenant", "acme", "--exclude", &board]);
    assert_eq!((&told["exclude"][0], &told["keep"]), (&Value::from(board), &Value::from("raw")), "{told}");
    send(&gateway, &address, &report(&fresh_id("secret"), &domain, &format!("eve@{domain}, Expanded: board@{domain}")));
    let left_out = read(&gateway, 1).remove(0);
    assert_eq!((text(&left_out, "/state"), text(&left_out, "/reason")), ("excluded", "excluded"), "{left_out}");
    assert!(list(&gateway.explained(text(&left_out, "/id")), "/events").is_empty());
    send(&gateway, &address, &report(&fresh_id("open"), &domain, &format!("mia@{domain}")));
    let hit = wait_for("the webhook", || receiver.hits().into_iter().next());
    assert_eq!(receiver.hits().len(), 1, "of what was left out nothing is told");
    let event = format!("/api/v1/explain/{}", text(&hit.json(), "/id"));
    let id = text(&read(&gateway, 2)[0], "/id").to_owned();
    let raw = format!("/api/v1/messages/{id}/raw");
    // The key of an app, and one that may see whom a report names.
    let narrow = gateway.field("/apiKey");
    let mut add = vec!["key", "add", "--tenant", "acme", "--name", "compliance"];
    for scope in ["events:read", "messages:read", "messages:raw", "journal:bcc"] {
        add.extend(["--scope", scope]);
    }
    let made = gateway.json(&add);
    let wide = text(&made, "/key");
    let blind = format!("mia@{domain}");
    let (_, shown) = get(&gateway, narrow, &event);
    assert!(
        !shown.contains(&blind) && shown.contains("\"bccHidden\":true") && shown.contains("proof of funds"),
        "{shown}"
    );
    let (_, shown) = get(&gateway, wide, &event);
    assert!(shown.contains(&blind) && !shown.contains("bccHidden"), "{shown}");
    let (status, original) = get(&gateway, narrow, &raw);
    assert!(status == 200 && original.starts_with("From: Lakeside Buying") && !original.contains(&blind), "{original}");
    let (status, bytes) = get(&gateway, wide, &raw);
    assert!(status == 200 && bytes.contains(&blind), "{bytes}");
    let (status, body) = get(&gateway, narrow, &format!("/api/v1/messages/{id}/body"));
    assert!(status == 200 && body.contains("proof of funds by Friday") && !body.contains(&blind), "{body}");
    // From now on nothing is kept, also of what was there.
    gateway.json(&["route", "privacy", &route, "--tenant", "acme", "--keep", "none", "--exclude-none"]);
    wait_for("the bytes are not given out", || (get(&gateway, wide, &raw).0 == 404).then_some(()));
    let (_, shown) = get(&gateway, wide, &event);
    assert!(shown.contains("textErased") && !shown.contains("Could you please send"), "{shown}");
    let refused = gateway.connex(&["messages", "raw", &id]);
    assert!(
        refused.code != 0 && refused.stdout.is_empty() && refused.stderr.contains("does not keep"),
        "{}",
        refused.stderr
    );
    wait_for("the bytes are erased", || gateway.metric("connex_bodies_erased_total").filter(|count| *count >= 2.0));
    send(&gateway, &address, &report(&fresh_id("brief"), &domain, &blind));
    let newest = read(&gateway, 3).remove(0);
    assert_eq!((text(&newest, "/state"), &newest["rawKept"]), ("emitted", &Value::from(false)), "{newest}");
    let explained = gateway.explained(text(&newest, "/id"));
    assert_eq!(explained["events"][0]["event"]["text"], "", "{explained}");
    let hits = wait_for("its webhook", || Some(receiver.hits()).filter(|hits| hits.len() == 2));
    assert_eq!(text(&hits[1].json(), "/data/text"), "", "{}", hits[1].json());
    assert!(!text(&hits[1].json(), "/data/canonical/status").is_empty());
}

fn a_legal_hold_puts_off_what_a_route_does_not_keep(engine: Engine) {
    let (gateway, domain, route, address) = scene(engine);
    gateway.json(&["route", "privacy", &route, "--tenant", "acme", "--keep", "none"]);
    gateway.json(&["route", "hold", &route, "on", "--tenant", "acme"]);
    send(&gateway, &address, &report(&fresh_id("held"), &domain, &format!("mia@{domain}")));
    let message = read(&gateway, 1).remove(0);
    let id = text(&message, "/id").to_owned();
    assert_eq!(message["rawKept"], true, "{message}");
    let removed = gateway.connex(&["route", "remove", &route, "--tenant", "acme"]);
    assert!(removed.code != 0 && removed.stderr.contains("legal hold"), "{}", removed.stderr);
    // A route that came later is looked at later in each round: when its copy is gone, the one before was passed over.
    let (control, to) = add_route(&gateway);
    send(&gateway, &to, &report(&fresh_id("control"), &domain, &format!("mia@{domain}")));
    let other = text(&read(&gateway, 2)[0], "/id").to_owned();
    assert_eq!(gateway.connex(&["messages", "raw", &other]).code, 0);
    gateway.json(&["route", "privacy", &control, "--tenant", "acme", "--keep", "none"]);
    wait_for("a round", || (gateway.connex(&["messages", "raw", &other]).code != 0).then_some(()));
    assert_eq!(gateway.connex(&["messages", "raw", &id]).code, 0, "held");
    gateway.json(&["route", "hold", &route, "off", "--tenant", "acme"]);
    wait_for("the bytes are gone", || (gateway.connex(&["messages", "raw", &id]).code != 0).then_some(()));
    assert!(!gateway.explained(&id).to_string().contains("Could you please send"));
}
