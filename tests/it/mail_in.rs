//! Mail comes in from clients that other people wrote, and leaves as events.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{
    Engine, Gateway, Wire, fresh_id, list, message, on_both_engines, proof_of_funds, run, run_client, sha256, text,
};

on_both_engines!(
    a_mail_sent_with_starttls_by_smtplib_becomes_a_verified_event_with_operations,
    stored_bytes_are_exactly_the_bytes_that_were_sent,
    a_client_that_pipelines_gets_its_replies_in_order,
    bdat_takes_a_message_in_chunks_to_the_octet,
    an_international_address_is_taken_and_stored_as_given,
);

/// Sends with smtplib; every message must be answered 250. Returns the client's answer.
fn send(gateway: &Gateway, tls: &str, messages: &[&[u8]]) -> Value {
    let port = if tls == "implicit" { gateway.smtps().port() } else { gateway.smtp().port() };
    let messages: Vec<String> = messages.iter().map(|bytes| STANDARD.encode(bytes)).collect();
    let job = json!({
        "port": port, "tls": tls, "ca": gateway.field("/caFile"), "from": "ann@lakeside.example",
        "to": [gateway.field("/mailbox")], "messages": messages,
    });
    let answer = run_client("send.py", &job);
    for reply in list(&answer, "/replies") {
        assert_eq!(reply[0], 250, "{answer}");
    }
    answer
}

/// The bytes that `messages raw` gives for what has this digest.
fn stored(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let digest = sha256(bytes);
    let messages = gateway.messages();
    let found = messages.iter().find(|message| text(message, "/sha256") == digest);
    let id = text(found.unwrap_or_else(|| panic!("nothing has the digest {digest} in {messages:?}")), "/id");
    gateway.connex(&["messages", "raw", id]).stdout
}

fn a_mail_sent_with_starttls_by_smtplib_becomes_a_verified_event_with_operations(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let id = fresh_id("starttls");
    let bytes = proof_of_funds(&id, gateway.field("/mailbox"));
    let answer = send(&gateway, "starttls", &[&bytes]);
    assert_eq!(text(&answer, "/tls"), "TLSv1.3");
    // The receiver keeps nothing whose signature it could not verify.
    let event = gateway.arrival(&id);
    assert_eq!(text(&event, "/eventType"), "message.classified");
    assert_eq!(text(&event, "/body/source/kind"), "direct");
    assert_eq!(text(&event, "/body/data/canonical/status"), "proof_of_funds_requested");
    assert_eq!(text(&event, "/body/tenantId"), gateway.field("/tenant"));
    let operations = list(&event, "/body/data/operations");
    assert!(operations.iter().any(|operation| text(operation, "/type") == "create_task"), "{event}");
    for operation in operations {
        assert!(text(operation, "/id").starts_with("op_"), "{operation}");
        assert!(!text(operation, "/idempotencyKey").is_empty(), "{operation}");
    }
    assert_eq!(event["id"], event["body"]["id"], "the id of the header is the event's");
    assert_eq!(gateway.received(&id).len(), 1);
}

fn stored_bytes_are_exactly_the_bytes_that_were_sent(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let dots = message(&fresh_id("dots"), to, "Dots", ".\r\n..\r\n...\r\n.line\r\n\r\n.\r\n");
    let eight_bit = message(&fresh_id("8bit"), to, "Gr\u{fc}\u{df}e", "Zw\u{f6}lf Boxk\u{e4}mpfer \u{1f980}\r\n");
    let long =
        message(&fresh_id("long"), to, "Long lines", &format!("{}\r\n.{}\r\n", "x".repeat(100_000), "y".repeat(998)));
    let mut latin = message(&fresh_id("latin"), to, "Not UTF-8", "");
    latin.extend_from_slice(b"\xe4\xf6\xfc\xff\x00\x01\t \r\n \r\n\r\n");
    let all = [&dots, &eight_bit, &long, &latin].map(Vec::as_slice);
    send(&gateway, "none", &all);
    for bytes in all {
        assert_eq!(stored(&gateway, bytes), bytes);
    }
}

#[test]
fn the_port_with_implicit_tls_takes_mail() {
    let gateway = Gateway::dev();
    let id = fresh_id("implicit");
    let bytes = proof_of_funds(&id, gateway.field("/mailbox"));
    send(&gateway, "implicit", &[&bytes]);
    gateway.arrival(&id);
    assert_eq!(stored(&gateway, &bytes), bytes);
}

#[test]
fn swaks_delivers_with_tls() {
    let gateway = Gateway::dev();
    let id = fresh_id("swaks");
    let (server, ca) = (gateway.smtp().to_string(), gateway.field("/caFile"));
    let mut command = Command::new("swaks");
    command.args(["--server", &server, "--tls", "--tls-verify", "--tls-ca-path", ca]);
    command.args(["--from", "ann@lakeside.example", "--to", gateway.field("/mailbox"), "--helo", "client.example"]);
    command.args(["--header", &format!("Message-Id: <{id}>"), "--header", "Subject: Quote"]);
    let output = run(command.args(["--body", "What is your price for 40 seats?"]), b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    gateway.arrival(&id);
}

fn a_client_that_pipelines_gets_its_replies_in_order(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let ids = [fresh_id("pipelined"), fresh_id("pipelined")];
    let messages = ids.clone().map(|id| STANDARD.encode(proof_of_funds(&id, to)));
    let job = json!({ "port": gateway.smtp().port(), "to": to, "messages": messages });
    let said = run_client("pipelined.py", &job);
    let lines = said.as_array().unwrap().iter().filter_map(Value::as_str);
    let codes: Vec<&str> = lines.filter(|line| line.get(3..4) != Some("-")).map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"], "{said}");
    for id in ids {
        gateway.arrival(&id);
    }
}

fn bdat_takes_a_message_in_chunks_to_the_octet(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox");
    let mut bytes = message(&fresh_id("bdat"), to, "Chunks", "No dot is special here:\r\n.\r\nand the end has none");
    bytes.extend_from_slice(b"\r\n.\r\n\x00\xff");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    assert_eq!(wire.command("MAIL FROM:<ann@lakeside.example>").unwrap().0, 250);
    assert_eq!(wire.command(&format!("RCPT TO:<{to}>")).unwrap().0, 250);
    let (first, rest) = bytes.split_at(100);
    wire.send(&[format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat()).unwrap();
    assert_eq!(wire.reply().unwrap().0, 250);
    wire.send(&[format!("BDAT {}\r\n", rest.len()).as_bytes(), rest, b"BDAT 0 LAST\r\n"].concat()).unwrap();
    assert_eq!(wire.reply().unwrap().0, 250);
    let (code, reply) = wire.reply().unwrap();
    assert!(code == 250 && reply.contains("msg_"), "{reply}");
    assert_eq!(stored(&gateway, &bytes), bytes);
}

fn an_international_address_is_taken_and_stored_as_given(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let domain = gateway.field("/mailbox").split('@').nth(1).unwrap();
    let address = format!("gr\u{fc}\u{df}e@{domain}");
    let tenant = gateway.field("/tenant");
    gateway.json(&["mailbox", "add", &address, "--tenant", tenant, "--app", gateway.field("/app")]);
    let id = fresh_id("smtputf8");
    let bytes = proof_of_funds(&id, &address);
    let job = json!({
        "port": gateway.smtp().port(), "tls": "starttls", "ca": gateway.field("/caFile"), "from": "j\u{f6}rg@lakeside.example",
        "to": [address], "options": ["SMTPUTF8", "BODY=8BITMIME"], "messages": [STANDARD.encode(&bytes)],
    });
    let answer = run_client("send.py", &job);
    assert_eq!(answer["replies"][0][0], 250, "{answer}");
    gateway.arrival(&id);
    assert_eq!(stored(&gateway, &bytes), bytes);
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert!(chain.to_string().contains("j\u{f6}rg@lakeside.example"), "{chain}");
}
