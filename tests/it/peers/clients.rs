//! Programs that people send mail with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{body, difficult_body, expect_same, stored_with};
use crate::harness::{Gateway, client, fresh_id, list, message, run, sha256, text};

const FROM: &str = "ann@lakeside.example";

/// A gateway with two mailboxes.
fn two_mailboxes() -> (Gateway, String, String) {
    let gateway = Gateway::dev();
    let first = gateway.field("/mailbox").to_owned();
    let second = format!("second@{}", first.split('@').nth(1).unwrap());
    gateway.json(&["mailbox", "add", &second, "--tenant", gateway.field("/tenant"), "--app", gateway.field("/app")]);
    (gateway, first, second)
}

/// One event for each of the two, with exactly this body.
fn expect_two_events(gateway: &Gateway, id: &str, bytes: &[u8], who: &str) {
    expect_same(body(&stored_with(gateway, id)), body(bytes), who);
    gateway.arrival(id);
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert_eq!(list(&chain, "/events").len(), 2, "{who}: {chain}");
    assert!(text(&chain, "/message/origin/tls").starts_with("TLSv1_3"), "{who}: {chain}");
}

#[test]
fn msmtp_sends_with_starttls() {
    let (gateway, first, second) = two_mailboxes();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("msmtprc");
    let text = format!(
        "account gateway\nhost localhost\nport {}\ntls on\ntls_starttls on\ntls_trust_file {}\nauth off\n\
         domain client.example\naccount default : gateway\n",
        gateway.smtp().port(),
        gateway.field("/caFile")
    );
    fs::write(&config, text).unwrap();
    // It refuses a file that others can read.
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    let id = fresh_id("msmtp");
    let bytes = message(&id, &first, "Zw\u{f6}lf", &difficult_body());
    let piped = String::from_utf8(bytes.clone()).unwrap().replace("\r\n", "\n");
    let mut command = Command::new("msmtp");
    command.arg("-C").arg(&config).args(["-i", "-f", FROM, "--", &first, &second]);
    let output = run(&mut command, piped.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    expect_two_events(&gateway, &id, &bytes, "msmtp");
}

#[test]
fn curl_sends_with_starttls_and_with_tls_from_the_first_byte() {
    let (gateway, first, second) = two_mailboxes();
    let folder = tempfile::tempdir().unwrap();
    for (scheme, port) in [("smtp", gateway.smtp().port()), ("smtps", gateway.smtps().port())] {
        let id = fresh_id(scheme);
        let bytes = message(&id, &first, "Zw\u{f6}lf", &difficult_body());
        let file = folder.path().join("message");
        fs::write(&file, &bytes).unwrap();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--ssl-reqd", "--cacert", gateway.field("/caFile")]);
        command.args(["--mail-from", FROM, "--mail-rcpt", &first, "--mail-rcpt", &second, "--upload-file"]);
        let output = run(command.arg(&file).arg(format!("{scheme}://localhost:{port}/client.example")), b"");
        assert!(output.status.success(), "{scheme}: {}", String::from_utf8_lossy(&output.stderr));
        expect_two_events(&gateway, &id, &bytes, scheme);
        let digests: Vec<String> = gateway.messages().iter().map(|one| text(one, "/sha256").to_owned()).collect();
        assert!(digests.contains(&sha256(&bytes)), "to the octet, header and all");
    }
}

#[test]
fn nodemailer_sends_over_pooled_connections() {
    let (gateway, first, second) = two_mailboxes();
    let ids: Vec<String> = (0..3).map(|_| fresh_id("nodemailer")).collect();
    let all: Vec<Vec<u8>> =
        ids.iter().map(|id| message(id, &first, "Zw\u{f6}lf", &format!("{id}\r\n{}", difficult_body()))).collect();
    let job = json!({
        "port": gateway.smtp().port(), "ca": gateway.field("/caFile"), "from": FROM, "to": [first, second],
        "messages": all.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>(),
    });
    let output = run(Command::new("node").arg(client("nodemailer.mjs")), job.to_string().as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list(&answers, "").len(), 3, "{answers}");
    for answer in list(&answers, "") {
        assert_eq!(list(answer, "/accepted").len(), 2, "{answers}");
    }
    for (id, bytes) in ids.iter().zip(&all) {
        expect_same(body(&stored_with(&gateway, id)), body(bytes), "nodemailer");
        gateway.arrival(id);
    }
}
