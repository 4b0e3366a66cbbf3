//! Postfix relays to us.

use super::{body, difficult_body, expect_same, stored_with};
use crate::harness::{Gateway, Postfix, Wire, fresh_id, list, message, text};

const FROM: &str = "ann@lakeside.example";

#[test]
fn postfix_relays_by_smtp_with_starttls() {
    let gateway = Gateway::dev();
    let postfix = Postfix::start(&format!(
        "default_transport = smtp:[localhost]:{}\nsmtp_tls_security_level = verify\nsmtp_tls_CAfile = {}\n\
         smtp_tls_loglevel = 1\n",
        gateway.smtp().port(),
        gateway.field("/caFile"),
    ));
    relayed(&gateway, &postfix);
    let log = postfix.log();
    assert!(log.contains("Verified TLS connection established to localhost[127.0.0.1]"), "{log}");
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert!(chain.to_string().contains("TLSv1_3"), "{chain}");
}

#[test]
fn postfix_delivers_by_lmtp_to_an_address() {
    let gateway = Gateway::dev();
    let postfix = Postfix::start(&format!("default_transport = lmtp:inet:{}\n", gateway.lmtp()));
    relayed(&gateway, &postfix);
}

#[test]
fn postfix_delivers_by_lmtp_to_a_socket_file_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Postfix::socket_folder();
    let socket = sockets.path().join("lmtp");
    let gateway = Gateway::serving_in(folder.path(), &format!("[lmtp]\nsocket = {socket:?}\n"));
    let postfix = Postfix::start(&format!("default_transport = lmtp:unix:{}\n", socket.display()));
    relayed(&gateway, &postfix);
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert_eq!(text(&chain, "/events/0/event/source/door"), "lmtp", "{chain}");
}

/// What Postfix took by SMTP and from its `sendmail` is an event for each recipient, with the same body.
fn relayed(gateway: &Gateway, postfix: &Postfix) {
    let first = gateway.field("/mailbox").to_owned();
    let domain = first.split('@').nth(1).unwrap();
    let (tenant, app) = (gateway.field("/tenant"), gateway.field("/app"));
    let second = format!("second@{domain}");
    gateway.json(&["mailbox", "add", &second, "--tenant", tenant, "--app", app]);

    let id = fresh_id("postfix");
    let bytes = message(&id, &first, "Zw\u{f6}lf", &difficult_body());
    let mut wire = Wire::hello(postfix.smtp()).unwrap();
    for line in [
        format!("MAIL FROM:<{FROM}> BODY=8BITMIME SMTPUTF8"),
        format!("RCPT TO:<{first}>"),
        format!("RCPT TO:<{second}>"),
    ] {
        let (code, reply) = wire.command(&line).unwrap();
        assert_eq!(code, 250, "{reply}");
    }
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    wire.send(&crate::harness::stuffed(&bytes)).unwrap();
    assert_eq!(wire.reply().unwrap().0, 250);
    for to in [&first, &second] {
        let fate = postfix.fate(to);
        assert!(fate.contains("status=sent (250 2.0.0 Ok: msg_"), "{fate}");
    }
    let stored = stored_with(gateway, &id);
    expect_same(body(&stored), body(&bytes), "what Postfix relayed");
    assert!(stored.starts_with(b"Received: from client.example"), "the trace of Postfix is kept");
    let envelope = gateway.explained(text(&gateway.messages()[0], "/id"));
    let events = list(&envelope, "/events");
    assert_eq!(events.len(), 2, "one event for each recipient: {envelope}");

    let id = fresh_id("sendmail");
    let text = "From: Ann <ann@lakeside.example>\nSubject: By pipe\nMessage-ID: <ID>\n\n.\n..\nA line\n.\n";
    postfix.sendmail(FROM, &[&first], text.replace("ID>", &format!("{id}>")).as_bytes());
    expect_same(body(&stored_with(gateway, &id)), b".\r\n..\r\nA line\r\n.\r\n", "what its sendmail took");
    assert_eq!(postfix.queued(), 0, "{}", postfix.log());
}
