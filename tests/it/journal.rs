//! Journal reports on their way from a real client to the webhook.

use crate::domains::proven;
use crate::harness::{Engine, Gateway, Sink, Wire, fresh_id, list, on_both_engines, text, wait_for};

on_both_engines!(
    a_journal_report_by_an_authorised_peer_becomes_an_event_of_the_original,
    a_report_is_held_where_the_route_takes_another_format,
);

/// A report of Exchange about mail from a buyer to sam at this domain, with a blind copy that no header names.
fn report(id: &str, domain: &str) -> String {
    format!(
        "From: Microsoft Exchange <journal@{domain}>\r\nTo: journal@{domain}\r\nSubject: Journal Report\r\n\
         Message-ID: <wrapper.{id}>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"_r_\"\r\n\r\n--_r_\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n\
         Sender: buyer@lakeside.example\r\nSubject: Proof of funds\r\nMessage-Id: <{id}>\r\nRecipient: sam@{domain}\r\n\
         Bcc: mia@{domain}, Expanded: deals@{domain}\r\n\r\n--_r_\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Lakeside Buying <buyer@lakeside.example>\r\nTo: Sam <sam@{domain}>\r\nSubject: Proof of funds\r\n\
         Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nMessage-ID: <{id}>\r\n\r\n\
         Could you please send the proof of funds by Friday?\r\n\r\n--_r_--\r\n"
    )
}

fn add_route(gateway: &Gateway, format: &str) -> String {
    let add = [
        "route",
        "add",
        "--tenant",
        "acme",
        "--app",
        "crm",
        "--peer",
        "127.0.0.0/8",
        "--kind",
        "journal",
        "--observe",
        "0s",
    ];
    text(&gateway.json(&[&add[..], &["--format", format]].concat()), "/address").to_owned()
}

fn send(gateway: &Gateway, to: &str, mail: &str) {
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("", to, mail.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
}

fn a_journal_report_by_an_authorised_peer_becomes_an_event_of_the_original(engine: Engine) {
    let (gateway, domain) = proven(engine);
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm"]);
    let route = add_route(&gateway, "exchange");
    assert!(route.starts_with("journal-"), "{route}");
    let id = fresh_id("journal");
    send(&gateway, &route, &report(&id, &domain));
    let hit = wait_for("the webhook", || receiver.hits().into_iter().next());
    assert_eq!(text(&hit.json(), "/source/kind"), "journal", "{}", hit.json());
    // A second copy of the same mail, by another rule.
    send(&gateway, &route, &report(&id, &domain).replace("wrapper.", "second."));
    let messages = wait_for("both messages in the index", || {
        let messages = gateway.messages();
        (messages.len() == 2 && messages.iter().all(|one| text(one, "/state") != "spooled")).then_some(messages)
    });
    let explained: Vec<_> = messages.iter().map(|one| gateway.explained(text(one, "/id"))).collect();
    let events: Vec<_> = explained.iter().flat_map(|one| list(one, "/events")).collect();
    assert_eq!(events.len(), 1, "one event for both copies");
    let told = serde_json::to_string(&explained).unwrap();
    assert!(told.contains(&format!("mia@{domain}")), "who was blind-copied is known: {told}");
    assert!(told.contains("Proof of funds") && told.contains("inbound"), "{told}");
    assert!(!told.contains(route.split('@').next().unwrap()), "the route address is a secret: {told}");
}

fn a_report_is_held_where_the_route_takes_another_format(engine: Engine) {
    let (gateway, domain) = proven(engine);
    for (count, format) in ["plain", "workmail", "exchange-legacy"].into_iter().enumerate() {
        let route = add_route(&gateway, format);
        send(&gateway, &route, &report(&fresh_id("mismatch"), &domain));
        wait_for("the message is held", || {
            let messages = gateway.messages();
            let is_held = |one: &serde_json::Value| text(one, "/state") == "held";
            (messages.len() == count + 1 && messages.iter().all(is_held)).then_some(())
        });
    }
}
