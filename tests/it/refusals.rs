//! What is refused in the session, and what is taken although it is hardly a message.

use serde_json::Value;

use crate::harness::{Engine, Gateway, Wire, fresh_id, list, message, on_both_engines, proof_of_funds, sha256, text};

on_both_engines!(
    a_message_that_is_too_large_is_refused_and_the_next_one_taken,
    whatever_comes_in_is_stored_and_becomes_an_event_with_its_defects,
    a_bare_line_feed_never_ends_data,
);

const FROM: &str = "ann@lakeside.example";

fn recipient(wire: &mut Wire, address: &str) -> (u16, String) {
    wire.command("RSET").unwrap();
    assert_eq!(wire.command(&format!("MAIL FROM:<{FROM}>")).unwrap().0, 250);
    wire.command(&format!("RCPT TO:<{address}>")).unwrap()
}

#[test]
fn only_recipients_that_exist_here_are_taken_and_postmaster_always() {
    let gateway = Gateway::dev();
    let domain = gateway.field("/mailbox").split('@').nth(1).unwrap();
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = recipient(&mut wire, &format!("nobody@{domain}"));
    assert!(code == 550 && reply.starts_with("550 5.1.1 "), "{reply}");
    let (code, reply) = recipient(&mut wire, &format!("bcc-{}@{domain}", "a".repeat(26)));
    assert!(code == 550 && reply.starts_with("550 5.1.1 "), "a wrong token is an unknown recipient: {reply}");
    let (code, reply) = recipient(&mut wire, "somebody@elsewhere.example");
    assert!(code == 550 && reply.starts_with("550 5.7.1 "), "never a relay: {reply}");
    let upper = gateway.field("/mailbox").to_uppercase();
    for address in [format!("postmaster@{domain}"), format!("Abuse@{domain}"), "Postmaster".to_owned(), upper] {
        let (code, reply) = recipient(&mut wire, &address);
        assert_eq!(code, 250, "{address}: {reply}");
    }
    let detail = gateway.field("/mailbox").replace('@', "+invoices@");
    assert_eq!(recipient(&mut wire, &detail).0, 250);
}

fn a_message_that_is_too_large_is_refused_and_the_next_one_taken(engine: Engine) {
    let gateway =
        Gateway::serving(engine, "[smtp.limits]\nmessage_size = \"64KiB\"\n[routes]\nmessage_size = \"64KiB\"\n");
    let mut wire = Wire::connect(gateway.smtp()).unwrap();
    wire.reply().unwrap();
    let (_, ehlo) = wire.command("EHLO client.example").unwrap();
    assert!(ehlo.contains("SIZE 65536"), "{ehlo}");
    let (code, reply) = wire.command(&format!("MAIL FROM:<{FROM}> SIZE=65537")).unwrap();
    assert!(code == 552 && reply.starts_with("552 5.3.4 "), "announced: {reply}");
    let to = gateway.field("/mailbox");
    let large = message(&fresh_id("large"), to, "Large", &"0123456789\r\n".repeat(10_000));
    let (code, reply) = wire.mail(FROM, to, &large).unwrap();
    assert!(code == 552 && reply.starts_with("552 5.3.4 "), "measured: {reply}");
    let small = message(&fresh_id("small"), to, "Small", "Hello\r\n");
    let (code, reply) = wire.mail(FROM, to, &small).unwrap();
    assert_eq!(code, 250, "{reply}");
    let stored: Vec<String> = gateway.messages().iter().map(|message| text(message, "/sha256").to_owned()).collect();
    assert_eq!(stored, [sha256(&small)], "what was refused is not kept, what was taken is");
}

/// The chain of the message with these bytes, once it is an event.
fn chain(gateway: &Gateway, bytes: &[u8]) -> Value {
    let messages = gateway.messages();
    let digest = sha256(bytes);
    let found = messages.iter().find(|message| text(message, "/sha256") == digest);
    gateway.explained(text(found.unwrap_or_else(|| panic!("nothing has the digest {digest}: {messages:?}")), "/id"))
}

fn whatever_comes_in_is_stored_and_becomes_an_event_with_its_defects(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let mut random = 0x2545_f491_u32;
    let garbage = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Neither CR nor LF: those are the session's business.
        random.to_be_bytes()[0] & 0xf0 | 0x01
    });
    let garbage: Vec<u8> = garbage.take(900).chain(*b"\r\n").collect();
    let truncated =
        b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
        Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLj\r\n";
    let eight_bit = "From: J\u{f6}rg <j@b.example>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nHallo\r\n".as_bytes();
    let latin = b"From: J\xf6rg <j@b.example>\r\nSubject: Gr\xfc\xdfe\r\n\r\nHallo noch einmal\r\n";
    let nested = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\nContent-Type: message/rfc822\r\n\r\n".repeat(60)
    );
    let cases: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("garbage", &garbage),
        ("truncated", truncated),
        ("headers only", b"From: a@b.example\r\nSubject: Nothing follows\r\n"),
        ("UTF-8 in headers", eight_bit),
        ("Latin-1 in headers", latin),
        ("nested", nested.as_bytes()),
    ];
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    for (name, bytes) in cases {
        let (code, reply) = wire.mail(FROM, to, bytes).unwrap();
        assert_eq!(code, 250, "{name}: {reply}");
    }
    for (name, bytes) in cases {
        let chain = chain(&gateway, bytes);
        let events = list(&chain, "/events");
        assert_eq!(events.len(), 1, "{name}: {chain}");
        assert!(events[0]["decision"].is_object(), "{name}: {chain}");
        let defects = list(&events[0], "/event/defects");
        assert!(!defects.is_empty() || name == "UTF-8 in headers", "{name} has no defect: {}", events[0]["event"]);
    }
    // And the worker goes on.
    let id = fresh_id("after-garbage");
    wire.mail(FROM, to, &proof_of_funds(&id, to)).unwrap();
    gateway.arrival(&id);
}

fn a_bare_line_feed_never_ends_data(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    wire.command(&format!("MAIL FROM:<{FROM}>")).unwrap();
    wire.command(&format!("RCPT TO:<{to}>")).unwrap();
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    wire.send(b"Subject: one\r\n\r\ntext\n.\nMAIL FROM:<smuggled@evil.example>\r\n.\r\n").unwrap();
    let (code, reply) = wire.reply().unwrap();
    assert!(code == 554 && reply.starts_with("554 5.6.11 "), "{reply}");
    assert_eq!(wire.command("NOOP").unwrap().0, 250, "the smuggled line was no command");
    assert!(gateway.messages().is_empty());
}
