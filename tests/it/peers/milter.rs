//! Postfix shows us the mail that passes through it.

mod packets;

use std::path::Path;

use super::{body, contains, difficult_body, expect_same, stored_with};
use crate::harness::{Gateway, Postfix, Wire, fresh_id, http, list, message, text, wait_for, zone};

const FROM: &str = "ann@lakeside.example";
/// Says that Postfix is to put mail off when the milter fails: so nothing that goes on went on by its leave.
const STRICT: &str = "milter_default_action = tempfail";
const LENIENT: &str = "milter_default_action = accept";

/// A gateway with the milter door at a socket file in `sockets` and an address, for a route that names the door.
fn watching(folder: &Path, sockets: &Path, more: &str) -> Gateway {
    let gateway = Gateway::serving_in(folder, "[milter]\nlisten = []\n");
    let route = gateway.json(&[
        "route",
        "add",
        "--tenant",
        gateway.field("/tenant"),
        "--app",
        gateway.field("/app"),
        "--kind",
        "bcc",
        "--peer",
        "door:milter",
    ]);
    let file = folder.join("route");
    std::fs::write(&file, text(&route, "/address")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let socket = sockets.join("milter");
    let door = format!("[milter]\nlisten = [\"127.0.0.1:0\"]\nsocket = {socket:?}\nroute_file = {file:?}\n{more}");
    gateway.reconfigured(&[("[milter]\nlisten = []\n", &door)])
}

/// Postfix that shows its mail at `milter`, and relays it to `far`.
fn postfix(far: &Gateway, milter: &str, action: &str) -> Postfix {
    Postfix::start(&format!(
        "default_transport = smtp:[127.0.0.1]:{}\nsmtpd_milters = {milter}\nnon_smtpd_milters = {milter}\n{action}\n",
        far.smtp().port()
    ))
}

/// Sends by SMTP to everybody in `to`; then it has reached `far`, unchanged behind the trace fields.
fn relayed(postfix: &Postfix, far: &Gateway, to: &[&str], id: &str, bytes: &[u8]) {
    let mut wire = Wire::hello(postfix.smtp()).unwrap();
    let paths = to.iter().map(|to| format!("RCPT TO:<{to}>"));
    for line in std::iter::once(format!("MAIL FROM:<{FROM}> BODY=8BITMIME SMTPUTF8")).chain(paths) {
        let (code, reply) = wire.command(&line).unwrap();
        assert_eq!(code, 250, "{reply}");
    }
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    wire.send(&crate::harness::stuffed(bytes)).unwrap();
    let (code, reply) = wire.reply().unwrap();
    assert_eq!(code, 250, "{reply}{}", postfix.log());
    let there = stored_with(far, id);
    assert!(there.starts_with(b"Received: "));
    expect_same(&there[there.len().saturating_sub(bytes.len())..], bytes, "what Postfix relayed");
}

fn missed(gateway: &Gateway, reason: &str) -> bool {
    let metrics = http("GET", &format!("{}/metrics", gateway.admin()), &[], b"");
    contains(&metrics.body, format!("connex_milter_missed_total{{reason=\"{reason}\"}} 1").as_bytes())
}

#[test]
fn postfix_shows_mail_with_its_true_envelope_and_relays_it_unchanged() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let (far, ours) = (Gateway::dev(), watching(folder.path(), sockets.path(), ""));
    let postfix = postfix(&far, &format!("inet:{}", ours.milter()), STRICT);
    let to = far.field("/mailbox");
    let hidden = to.replacen('@', "+hidden@", 1);
    let id = fresh_id("milter");
    let bytes = message(&id, to, "Zw\u{f6}lf\r\n gefaltet", &difficult_body());
    relayed(&postfix, &far, &[to, &hidden], &id, &bytes);
    expect_same(&stored_with(&ours, &id), &bytes, "what Postfix showed");
    let chain = ours.explained(text(&ours.messages()[0], "/id"));
    let event = &list(&chain, "/events")[0]["event"];
    assert_eq!(text(event, "/source/kind"), "milter", "{chain}");
    assert_eq!(text(event, "/source/door"), "milter", "{chain}");
    assert_eq!(text(event, "/envelope/mailFrom"), FROM, "{chain}");
    assert_eq!(event["envelope"]["rcptTo"], serde_json::json!([to, hidden]), "{chain}");
    let blind = list(event, "/recipients").iter().find(|one| text(one, "/address") == hidden);
    assert_eq!(text(blind.unwrap(), "/type"), "bcc", "{chain}");
    assert_eq!(event["trusted"], true, "{chain}");

    let id = fresh_id("sendmail");
    let piped = format!("From: Ann <{FROM}>\nTo: {to}\nSubject: By pipe\nMessage-ID: <{id}>\n\n.\nA line\n");
    postfix.sendmail(FROM, &[to], piped.as_bytes());
    expect_same(body(&stored_with(&ours, &id)), b".\r\nA line\r\n", "what its sendmail showed");
    expect_same(body(&stored_with(&far, &id)), b".\r\nA line\r\n", "what its sendmail sent");
    assert_eq!(postfix.queued(), 0, "{}", postfix.log());
}

/// Postfix believes this client's word on whom it speaks for (XCLIENT), as it would that of a filter in front of it.
#[test]
fn the_client_of_postfix_is_judged_and_not_postfix() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let (far, ours) = (Gateway::dev(), watching(folder.path(), sockets.path(), ""));
    let networks = "smtpd_authorized_xclient_hosts = 127.0.0.1\nmynetworks = 192.0.2.0/24, 198.51.100.0/24";
    let trusting = format!("{STRICT}\n{networks}");
    let postfix = postfix(&far, &format!("inet:{}", ours.milter()), &trusting);
    zone().txt("milter-client.example", "v=spf1 ip4:192.0.2.25 -all");
    for (address, wanted) in [("192.0.2.25", "spf=pass"), ("198.51.100.7", "spf=fail")] {
        let (to, id) = (far.field("/mailbox"), fresh_id("client"));
        let mut wire = Wire::hello(postfix.smtp()).unwrap();
        let (code, reply) = wire.command(&format!("XCLIENT NAME=mx.milter-client.example ADDR={address}")).unwrap();
        assert_eq!(code, 220, "{reply}");
        wire.command("EHLO mx.milter-client.example").unwrap();
        let mail = message(&id, to, "From a client", "Hello\r\n");
        let (code, reply) = wire.mail("ann@milter-client.example", to, &mail).unwrap();
        assert_eq!(code, 250, "{reply}{}", postfix.log());
        let results = wait_for("its results", || {
            ours.messages().iter().find_map(|message| {
                let explained = ours.explained(text(message, "/id"));
                let results = explained.pointer("/message/trace/authenticationResults")?.as_str()?.to_owned();
                results.contains(address).then_some(results)
            })
        });
        assert!(results.contains(wanted) && results.contains(&format!("policy.iprev={address}")), "{results}");
    }
}

#[test]
fn mail_goes_on_when_we_are_gone_and_is_kept_again_afterwards() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let far = Gateway::dev();
    let mut ours = watching(folder.path(), sockets.path(), "");
    let postfix = postfix(&far, &format!("unix:{}", sockets.path().join("milter").display()), LENIENT);
    let to = far.field("/mailbox");
    let id = fresh_id("before");
    relayed(&postfix, &far, &[to], &id, &message(&id, to, "Before", "Hello\r\n"));
    stored_with(&ours, &id);
    ours.kill();
    let gone = fresh_id("gone");
    relayed(&postfix, &far, &[to], &gone, &message(&gone, to, "Gone", "Hello\r\n"));
    let ours = ours.restarted();
    let id = fresh_id("after");
    relayed(&postfix, &far, &[to], &id, &message(&id, to, "After", "Hello\r\n"));
    stored_with(&ours, &id);
    assert_eq!(ours.messages().len(), 2);
}

#[test]
fn mail_that_cannot_be_kept_goes_on_and_is_counted() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), Postfix::socket_folder());
    let far = Gateway::dev();
    let ours = watching(folder.path(), sockets.path(), "message_size = \"64KiB\"\n");
    let milter = format!("unix:{}", sockets.path().join("milter").display());
    let postfix = postfix(&far, &milter, STRICT);
    let to = far.field("/mailbox");
    let id = fresh_id("large");
    relayed(&postfix, &far, &[to], &id, &message(&id, to, "Large", &"0123456789abcdef\r\n".repeat(8_000)));
    assert!(missed(&ours, "too_large"), "{}", ours.log());
    let id = fresh_id("small");
    relayed(&postfix, &far, &[to], &id, &message(&id, to, "Small", "Hello\r\n"));
    stored_with(&ours, &id);
    // A spool that takes nothing: more is to stay free than any disk has.
    let ours = ours.reconfigured(&[("reserve = \"1MiB\"", "reserve = \"1000TiB\"")]);
    let id = fresh_id("full");
    wait_for("Postfix to connect again", || Path::new(&sockets.path().join("milter")).exists().then_some(()));
    relayed(&postfix, &far, &[to], &id, &message(&id, to, "Full", "Hello\r\n"));
    assert!(missed(&ours, "spool"), "{}", ours.log());
    assert!(ours.log().contains("Mail went on that is not kept here"), "{}", ours.log());
    assert_eq!(ours.messages().len(), 1);
}
