//! LMTP from programs of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{
    Engine, Gateway, Wire, fresh_id, message, on_both_engines, proof_of_funds, stuffed, text, wait_for,
};

on_both_engines!(each_recipient_has_its_reply_and_its_event);

const FROM: &str = "ann@lakeside.example";

/// A gateway with a socket file in `folder`.
fn gateway_in(folder: &Path, more: &str) -> Gateway {
    let socket = folder.join("lmtp.socket");
    Gateway::serving_in(folder, &format!("[lmtp]\nlisten = [\"127.0.0.1:0\"]\nsocket = {socket:?}\n{more}"))
}

fn each_recipient_has_its_reply_and_its_event(engine: Engine) {
    let gateway = Gateway::serving(engine, "[lmtp]\nlisten = [\"127.0.0.1:0\"]\n");
    let (first, second) = (gateway.field("/mailbox").to_owned(), "second@gateway.example".to_owned());
    let (tenant, app) = (gateway.field("/tenant"), gateway.field("/app"));
    gateway.json(&["mailbox", "add", &second, "--tenant", tenant, "--app", app]);
    let mut wire = Wire::connect(gateway.lmtp()).unwrap();
    assert!(wire.reply().unwrap().1.contains("LMTP"));
    assert_eq!(wire.command("EHLO client.example").unwrap().0, 500);
    assert_eq!(wire.command("LHLO client.example").unwrap().0, 250);
    let (code, reply) = wire.command(&format!("MAIL FROM:<{FROM}>")).unwrap();
    assert_eq!(code, 250, "{reply}");
    for (to, expected) in [
        (first.as_str(), 250),
        ("somebody@elsewhere.example", 550),
        (second.as_str(), 250),
        ("nobody@gateway.example", 550),
    ] {
        let (code, reply) = wire.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert_eq!(code, expected, "{reply}");
    }
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    wire.send(&stuffed(&proof_of_funds(&fresh_id("lmtp"), &first))).unwrap();
    for _ in 0..2 {
        let (code, reply) = wire.reply().unwrap();
        assert!(code == 250 && reply.contains("msg_"), "{reply}");
    }
    // Nothing is said beyond the two.
    assert_eq!(wire.command("NOOP").unwrap().1, "250 2.0.0 Ok\r\n");
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert_eq!(chain["events"].as_array().unwrap().len(), 2, "{chain}");
    assert_eq!(text(&chain, "/events/0/event/source/door"), "lmtp", "{chain}");
}

#[test]
fn what_a_tenant_has_open_counts_for_all_doors_together() {
    let more = "[lmtp]\nlisten = [\"127.0.0.1:0\"]\n[smtp.limits]\ntransactions_per_tenant = 1\n";
    let gateway = Gateway::serving(Engine::Sqlite, more);
    let to = format!("RCPT TO:<{}>", gateway.field("/mailbox"));
    let mut smtp = Wire::hello(gateway.smtp()).unwrap();
    let mut lmtp = Wire::connect(gateway.lmtp()).unwrap();
    assert!(lmtp.reply().unwrap().1.contains("LMTP"));
    assert_eq!(lmtp.command("LHLO client.example").unwrap().0, 250);
    for wire in [&mut smtp, &mut lmtp] {
        assert_eq!(wire.command(&format!("MAIL FROM:<{FROM}>")).unwrap().0, 250);
    }
    assert_eq!(smtp.command(&to).unwrap().0, 250);
    assert_eq!(lmtp.command(&to).unwrap().0, 451, "the tenant has one open");
    assert_eq!(smtp.command("RSET").unwrap().0, 250);
    assert_eq!(lmtp.command(&to).unwrap().0, 250);
}

#[test]
fn the_socket_file_has_its_mode_outlives_a_crash_and_goes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp.socket");
    let mut gateway = gateway_in(folder.path(), "socket_mode = \"0666\"\n");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    gateway.kill();
    assert!(socket.exists(), "a crash leaves it");
    let mut gateway = gateway.restarted();
    let mut wire = Wire::connect_file(&socket).unwrap();
    assert!(wire.reply().unwrap().1.contains("LMTP"));
    assert_eq!(wire.command("LHLO client.example").unwrap().0, 250);
    let to = gateway.field("/mailbox").to_owned();
    let (code, reply) = wire.mail(FROM, &to, &message(&fresh_id("socket"), &to, "By socket", "Hello\r\n")).unwrap();
    assert_eq!(code, 250, "{reply}");
    gateway.terminate();
    gateway.stopped();
    assert!(!socket.exists(), "removed at the end");
}

#[test]
fn more_messages_than_one_smtp_connection_may_bring_come_over_one_lmtp_connection() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway_in(folder.path(), "[smtp.limits]\nmessages_per_connection = 2\n");
    let to = gateway.field("/mailbox").to_owned();
    let mut wire = Wire::connect(gateway.lmtp()).unwrap();
    wire.reply().unwrap();
    wire.command("LHLO client.example").unwrap();
    for number in 0..4 {
        let bytes = message(&fresh_id("many"), &to, &format!("Number {number}"), "Hello\r\n");
        let (code, reply) = wire.mail(FROM, &to, &bytes).unwrap();
        assert_eq!(code, 250, "{reply}");
    }
    wait_for("all of them", || (gateway.messages().len() == 4).then_some(()));
}
