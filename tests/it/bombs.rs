//! Messages that are built to be expensive to read: each becomes an event with its defects, and the mail behind them comes.

use crate::harness::{
    Engine, Gateway, READING, Wire, fresh_id, list, on_both_engines, proof_of_funds, sha256, text, wait_within,
};

on_both_engines!(every_bomb_becomes_an_event_with_its_defects_and_the_mail_behind_it_comes);

const FROM: &str = "ann@lakeside.example";

/// A name, the message, and the defect that must be told.
fn bombs() -> [(&'static str, String, &'static str); 6] {
    let open = |level: usize| format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    let (left, right) = ("(".repeat(100_000), ")".repeat(100_000));
    [
        ("10,000 nested multiparts", (0..10_000).map(open).collect(), "nesting_limit"),
        ("10,000 nested messages", "Content-Type: message/rfc822\r\n\r\n".repeat(10_000), "nesting_limit"),
        (
            "200,000 parts",
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(200_000)),
            "parts_limit",
        ),
        (
            "a header field of 5 MB",
            format!("From: a@b.example\r\nSubject: {}\r\n\r\nHello\r\n", "x".repeat(5_000_000)),
            "header_too_large",
        ),
        (
            "50,000 encoded words",
            format!("From: a@b.example\r\nSubject:{}\r\n\r\n", " =?utf-8?Q?a?=\r\n".repeat(50_000).trim_end()),
            "header_too_large",
        ),
        ("nested comments", format!("From: {left}a@b.example{right}\r\n\r\nHello\r\n"), "header_too_large"),
    ]
}

fn every_bomb_becomes_an_event_with_its_defects_and_the_mail_behind_it_comes(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let bombs = bombs();
    for (name, bomb, _) in &bombs {
        let (code, reply) = wire.mail(FROM, to, bomb.as_bytes()).unwrap();
        assert_eq!(code, 250, "{name}: {reply}");
    }
    let behind = fresh_id("behind");
    assert_eq!(wire.mail(FROM, to, &proof_of_funds(&behind, to)).unwrap().0, 250);
    for (name, bomb, defect) in &bombs {
        let digest = sha256(bomb.as_bytes());
        let id = wait_within(READING, name, || {
            let messages = gateway.messages();
            messages
                .iter()
                .find(|message| text(message, "/sha256") == digest)
                .map(|found| text(found, "/id").to_owned())
        });
        let chain = wait_within(READING, name, || {
            let chain = gateway.explained(&id);
            (!list(&chain, "/events").is_empty()).then_some(chain)
        });
        let events = list(&chain, "/events");
        assert_eq!(events.len(), 1, "{name}");
        let defects = list(&events[0], "/event/defects");
        assert!(defects.iter().any(|found| found == defect), "{name}: {defects:?}");
    }
    gateway.arrival(&behind);
}
