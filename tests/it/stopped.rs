//! Addresses that get nothing more, and messages of which only a person knows what became of them.

use serde_json::{Value, json};

use crate::harness::{Browser, Do, Engine, Receiver, list, on_both_engines, text, wait_for, zone};
use crate::sending::{Sender, direct, domain_of};
use crate::sent::hand_over;
use crate::users::reflows;

on_both_engines!(who_asks_for_no_more_mail_gets_none_and_nobody_can_ask_for_another);

const PASSWORD: &str = "lantern over the quay";

fn who_asks_for_no_more_mail_gets_none_and_nobody_can_ask_for_another(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let more = format!("{}[authentication]\nrelays = []\ntimeout = \"5s\"\n", direct(&receiver));
    let sender = Sender::new(engine, &more);
    let gateway = &sender.gateway;
    let (own, foreign) = (domain_of(&receiver), domain_of(&receiver));
    for (domain, from_here) in [(&own, "ip4:127.0.0.1 "), (&foreign, "")] {
        zone().txt(domain, &format!("v=spf1 {from_here}-all")).txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=none");
    }
    let ask = |local: &str, domain: &str| {
        let author = format!("{local}@{domain}");
        let bytes = format!(
            "From: {author}\r\nTo: {to}\r\nSubject: Your mails\r\nMessage-ID: <{author}>\r\n\r\n\
             Please unsubscribe me and stop emailing me.\r\n",
            to = sender.mailbox
        );
        hand_over(gateway, &author, &sender.mailbox, bytes.as_bytes());
        author
    };
    let release = |to: &str| {
        let body = json!({ "mailbox": sender.mailbox, "to": [to], "subject": "Tuesday", "text": crate::sending::TEXT });
        let made = sender.call("POST", "/api/v1/drafts", &body).json();
        sender.call("POST", &format!("/api/v1/drafts/{}/release-request", text(&made, "/id")), &Value::Null)
    };
    let bob = ask("bob", &foreign);
    let ann = ask("ann", &own);
    wait_for("both to be read", || {
        let read = gateway.messages().iter().filter(|message| text(message, "/state") == "emitted").count();
        (read == 2).then_some(())
    });
    let status = gateway.json(&["sending", "status", "--tenant", "acme"]);
    let suppressed: Vec<_> =
        list(&status, "/suppressed").iter().map(|row| (text(row, "/address"), text(row, "/reason"))).collect();
    assert_eq!(suppressed, [(ann.as_str(), "unsubscribe")], "his domain does not stand behind what came for {bob}");
    let refused = release(&ann);
    assert_eq!((refused.status, text(&refused.json(), "/code")), (403, "suppressed_recipient"), "{refused:?}");
    let released = release(&bob);
    assert_eq!(released.status, 200, "{released:?}");
    gateway.json(&["sending", "unsuppress", &ann, "--tenant", "acme"]);
    assert_eq!(release(&ann).status, 200);
}

/// The connection breaks behind the final dot; a person asks the recipient, and says so in Chromium or by a command.
#[test]
fn a_person_says_what_became_of_a_message_and_nothing_is_sent_by_it() {
    let receiver = Receiver::start(|_| Do::Drop);
    let sender = Sender::new(Engine::Sqlite, &direct(&receiver));
    let gateway = &sender.gateway;
    let domains = [domain_of(&receiver), domain_of(&receiver)];
    let to = [format!("ann@{}", domains[0]), format!("bob@{}", domains[1])];
    let draft = sender.release(&[&to[0], &to[1]]);
    sender.until(&draft, "unknown");
    let add =
        ["user", "add", "eve@acme.example", "--tenant", "acme", "--role", "approver", "--password-stdin", "--json"];
    gateway.connex_with(&add, format!("{PASSWORD}\n").as_bytes()).json();
    let browser = Browser::start();
    browser.open(&format!("{}/drafts/{draft}", gateway.api()));
    browser.expect("Sign in");
    browser.fill("#email", "eve@acme.example");
    browser.fill("#password", PASSWORD);
    browser.click("main button");
    browser.expect("What became of a draft");
    reflows(&browser);
    assert!(browser.text().contains("nobody knows whether it was taken"), "{}", browser.text());
    browser.click(&format!("button[aria-label='It arrived at {}']", to[0]));
    browser.expect("What became of a draft");
    assert!(browser.text().contains("What you found out is on record"), "{}", browser.text());
    assert_eq!(text(&sender.draft(&draft), "/state"), "unknown", "of the other one nobody knows");

    let settle = |recipient: &str, taken: &str| {
        gateway.connex(&[
            "sending",
            "settle",
            &draft,
            "--recipient",
            recipient,
            "--taken",
            taken,
            "--tenant",
            "acme",
            "--json",
        ])
    };
    assert_eq!(text(&settle(&to[1], "no").json(), "/state"), "partly_sent");
    assert_ne!(settle(&to[1], "yes").code, 0, "it is known by now");
    let shown = sender.draft(&draft);
    assert_eq!(Sender::states(&shown), ["accepted", "rejected"]);
    let log = gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    let settled = list(&log, "").iter().filter(|row| text(row, "/action") == "transmission.settled");
    let by: Vec<&str> = settled.map(|row| text(row, "/actor").split(':').next().unwrap()).collect();
    assert_eq!(by, ["user", "operator"], "{log}");
    assert_eq!(gateway.connex(&["audit", "verify", "--tenant", "acme"]).code, 0);
    assert_eq!(receiver.taken().len(), 2, "each once");
}
