//! What a destination is spared, and what it sends back: bounds on the mail that leaves for it, and reports that come to a
//! host which a customer delegated.

use serde_json::Value;

use crate::domains::prove;
use crate::harness::{
    Do, Engine, Gateway, Receiver, Wire, fresh_id, list, on_both_engines, proof_of_funds, text, wait_for, zone,
};
use crate::sending::{Sender, UNLIMITED, direct, domain_of};
use crate::sent::hand_over;

on_both_engines!(
    a_report_at_a_delegated_host_finds_its_draft_though_it_names_no_message,
    no_more_leaves_for_a_destination_in_a_minute_than_may,
);

/// A report (RFC 3464) that mail to this address came back, without a word of which.
fn returned(to: &str, address: &str) -> Vec<u8> {
    format!(
        "From: MAILER-DAEMON@mx.lakeside.example\r\nTo: {to}\r\nSubject: Undelivered\r\nMessage-ID: <r1@mx.lakeside.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=o\r\n\r\n--o\r\n\r\n\
         It came back.\r\n--o\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.lakeside.example\r\n\r\n\
         Final-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--o--\r\n"
    )
    .into_bytes()
}

fn a_report_at_a_delegated_host_finds_its_draft_though_it_names_no_message(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &direct(&receiver));
    let gateway = &sender.gateway;
    let domain = sender.mailbox.split('@').nth(1).unwrap();
    let (host, ann) = (format!("bounces.{domain}"), format!("ann@{}", domain_of(&receiver)));
    gateway.json(&["domain", "bounces", domain, "--host", &host, "--tenant", "acme"]);
    let path_of = |count: usize| {
        let draft = sender.release(&[&ann]);
        sender.until(&draft, "sent");
        let taken = receiver.taken();
        assert_eq!(taken.len(), count);
        (draft, taken[count - 1].reverse_path.clone())
    };
    assert_eq!(path_of(1).1, sender.mailbox, "the host does not lead here yet");
    zone().mx(&host, "gateway.example");
    gateway.json(&["domain", "check", domain, "--tenant", "acme"]);
    let (draft, path) = path_of(2);
    assert!(path.starts_with("bounce-") && path.ends_with(&format!("@{host}")), "{path}");

    let report = returned(&path, &ann);
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("eve@elsewhere.example", &path, &report).unwrap();
    assert_eq!(code, 550, "what is no report: {reply}");
    let other = path.replace("bounce-", "bounce-x");
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("", &other, &report).unwrap();
    assert_eq!(code, 550, "a path that nobody was given: {reply}");
    hand_over(gateway, "", &path, &report);
    let told = sender.until(&draft, "bounced");
    assert!(list(&told, "/transmissions")[0]["returnedBy"].is_string(), "{told}");
    let status = gateway.json(&["sending", "status", "--tenant", "acme"]);
    assert_eq!(text(&list(&status, "/suppressed")[0], "/reason"), "hard_bounce", "{status}");
}

#[test]
fn what_a_decision_proposes_has_a_path_on_the_delegated_host_too() {
    let gateway = Gateway::serving(Engine::Postgres, "");
    let domain = prove(&gateway);
    let (host, mailbox) = (format!("bounces.{domain}"), format!("sales@{domain}"));
    gateway.json(&["mailbox", "add", &mailbox, "--tenant", "acme"]);
    gateway.json(&["domain", "bounces", &domain, "--host", &host, "--tenant", "acme"]);
    zone().mx(&host, "gateway.example");
    gateway.json(&["domain", "check", &domain, "--tenant", "acme"]);
    hand_over(&gateway, "ann@lakeside.example", &mailbox, &proof_of_funds(&fresh_id("asked"), &mailbox));
    let path = wait_for("the words of a decision", || {
        Some(gateway.sql("SELECT reverse_path FROM draft_versions")).filter(|path| !path.is_empty())
    });
    assert!(path.starts_with("bounce-") && path.ends_with(&format!("@{host}")), "{path}");
}

fn no_more_leaves_for_a_destination_in_a_minute_than_may(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &format!("{}messages_per_minute = 1\n{UNLIMITED}", direct(&receiver)));
    let domain = domain_of(&receiver);
    let drafts = ["ann", "bob", "cid"].map(|local| sender.release(&[&format!("{local}@{domain}")]));
    // Wherever in a minute they were let out, a third one finds no more room before the next begins.
    wait_for("one to wait for the next minute", || {
        drafts.iter().map(|draft| sender.draft(draft)).find(|draft: &Value| {
            let first = &list(draft, "/transmissions")[0];
            text(first, "/state") == "pending" && text(first, "/nextAttemptAt").ends_with(":00.000Z")
        })
    });
    assert!(receiver.taken().len() <= 2, "{} in two minutes", receiver.taken().len());
    let elsewhere = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    sender.until(&elsewhere, "sent");
}
