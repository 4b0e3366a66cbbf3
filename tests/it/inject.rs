//! `connex inject`, as other programs call `sendmail`.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Engine, Gateway, fresh_id, list, on_both_engines, run, text};

on_both_engines!(a_piped_message_is_accepted_for_every_recipient_and_tells_its_door);

const FROM: &str = "ann@lakeside.example";

/// A message as a pipe has it: lines end with LF.
fn piped(id: &str, to: &str) -> String {
    format!(
        "From: Ann <{FROM}>\nTo: {to}\nBcc: second@gateway.example\nSubject: Piped\nMessage-ID: <{id}>\n\n.\nZw\u{f6}lf\n.\nend\n"
    )
}

fn add_second(gateway: &Gateway) {
    let (tenant, app) = (gateway.field("/tenant"), gateway.field("/app"));
    gateway.json(&["mailbox", "add", "second@gateway.example", "--tenant", tenant, "--app", app]);
}

fn a_piped_message_is_accepted_for_every_recipient_and_tells_its_door(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    add_second(&gateway);
    let to = gateway.field("/mailbox").to_owned();
    let id = fresh_id("inject");
    let input = piped(&id, &to);
    let done = gateway.connex_with(&["inject", "-i", "-t", "-f", FROM], input.as_bytes());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let stored = text(&gateway.messages()[0], "/id").to_owned();
    let expected = input.replace("Bcc: second@gateway.example\n", "").replace('\n', "\r\n");
    assert_eq!(String::from_utf8_lossy(&gateway.connex(&["messages", "raw", &stored]).stdout), expected);
    let chain = gateway.explained(&stored);
    assert_eq!(text(&chain, "/message/origin/door"), "inject", "{chain}");
    assert_eq!(text(&chain, "/message/reversePath"), FROM, "{chain}");
    assert!(chain["message"]["origin"]["peer"].is_null(), "{chain}");
    let events = list(&chain, "/events");
    assert_eq!(events.len(), 2, "one for each recipient: {chain}");
    assert!(events.iter().all(|event| !list(event, "/decision/operations").is_empty()), "{chain}");
}

#[test]
fn recipients_of_two_tenants_get_the_message_in_two_transactions() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    gateway.json(&["tenant", "add", "other"]);
    gateway.json(&["app", "add", "crm", "--tenant", "other"]);
    gateway.json(&["mailbox", "add", "theirs@gateway.example", "--tenant", "other", "--app", "crm"]);
    let to = gateway.field("/mailbox").to_owned();
    let input = piped(&fresh_id("two"), &to);
    // As sendmail is called by those who know nothing of its options.
    let mut command = gateway.command(&["inject"]);
    command.args(["-bm", "-oi", "-oem", "-F", "Ann Lee", "-f", "<>", "--", &to, "theirs@gateway.example"]);
    let output = run(&mut command, input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = gateway.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_ne!(messages[0]["tenantId"], messages[1]["tenantId"], "{messages:?}");
}

#[test]
fn exit_codes_are_those_of_sendmail() {
    let mut gateway = Gateway::serving(Engine::Sqlite, "[smtp.limits]\nmessage_size = \"64KiB\"\n");
    let to = gateway.field("/mailbox").to_owned();
    let input = piped(&fresh_id("codes"), &to);
    let code = |gateway: &Gateway, arguments: &[&str], input: &str| {
        gateway.connex_with(&[&["inject"], arguments].concat(), input.as_bytes()).code
    };
    for (arguments, expected) in [
        (&["-f", FROM, &to][..], 0),
        (&["-f", FROM], 64),
        (&["-f", "no address", &to], 64),
        (&["-bs"], 64),
        (&["--nonsense", &to], 64),
        (&["-f", FROM, "no address"], 64),
        (&["-f", FROM, "nobody@gateway.example"], 67),
        (&["-f", FROM, "nobody@gateway.example", &to], 67),
        (&["-f", FROM, "somebody@elsewhere.example"], 69),
    ] {
        assert_eq!(code(&gateway, arguments, &input), expected, "{arguments:?}");
    }
    let large = input.clone() + &"x".repeat(70_000);
    assert_eq!(code(&gateway, &["-i", "-f", FROM, &to], &large), 69);
    let local = gateway.dir().join("local/inject");
    assert_eq!(std::fs::metadata(&local).unwrap().permissions().mode() & 0o777, 0o600, "for its owner alone");
    gateway.kill();
    assert_eq!(code(&gateway, &["-f", FROM, &to], &input), 75, "the gateway is down");
}
