//! What can be shown to others: receipts that are checked without the gateway, and heads that find what was done to the log.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Do, Engine, Receiver, connex, list, python, text, wait_for};
use crate::sending::{Sender, UNLIMITED, direct, domain_of};

/// The program of docs/receipts.md.
fn checker(folder: &Path) -> std::path::PathBuf {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/receipts.md")).unwrap();
    let code = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let file = folder.join("check.py");
    std::fs::write(&file, code).unwrap();
    file
}

#[test]
fn a_receipt_is_checked_without_the_gateway_and_a_head_finds_what_was_done_to_the_log() {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(Engine::Sqlite, &format!("{}{UNLIMITED}", direct(&receiver)));
    let draft = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    let shown = sender.until(&draft, "sent");
    assert_eq!(list(&shown, "/transmissions").len(), 1);
    receipts(&sender, &released_as(&sender, &draft));
    heads(&sender);
}

fn released_as(sender: &Sender, draft: &str) -> String {
    let rows = sender.gateway.json(&["audit", "list", "--tenant", "acme", "--subject", draft]);
    let row = list(&rows, "").iter().find(|row| text(row, "/action") == "draft.released").unwrap();
    text(row, "/detail/release").to_owned()
}

fn receipts(sender: &Sender, release: &str) {
    let gateway = &sender.gateway;
    let file = gateway.dir().join("receipt.json");
    let shown = gateway.connex(&["audit", "receipt", "show", release, "--tenant", "acme"]);
    std::fs::write(&file, &shown.stdout).unwrap();
    let key = text(&gateway.json(&["audit", "key"]), "/publicKey").to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = |key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connex"));
        command.current_dir(elsewhere.path()).args(["audit", "receipt", "verify"]).arg(&file).args(["--key", key]);
        command.output().unwrap().status.success()
    };
    let check = checker(elsewhere.path());
    let by_python = |key: &str| {
        let output = Command::new(python()).arg(&check).arg(&file).arg(key).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let other = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    assert!(verify(&key) && !verify(other));
    assert!(by_python(&key).0, "{}", by_python(&key).1);
    assert!(by_python(other).1.contains("another key"));
    let mut changed: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(text(&changed, "/receipt/allowedBy"), "policy");
    changed["receipt"]["policyVersion"] = "v9".into();
    std::fs::write(&file, changed.to_string()).unwrap();
    assert!(!verify(&key));
    assert!(by_python(&key).1.contains("not what was signed"), "{}", by_python(&key).1);
}

fn heads(sender: &Sender) {
    let gateway = &sender.gateway;
    let head = gateway.dir().join("acme.head");
    std::fs::write(&head, gateway.connex(&["audit", "head", "--tenant", "acme"]).text()).unwrap();
    let verify = || gateway.connex(&["audit", "verify", "--tenant", "acme", "--head", head.to_str().unwrap()]);
    let found = |words: &str| {
        let done = verify();
        assert!(done.code == 1 && done.stderr.contains(words), "{words}: {} {}", done.code, done.stderr);
    };
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    // Each is undone before the next.
    let swap = |from: u32, to: u32| {
        gateway.alter("UPDATE audit_log SET number = 1000 WHERE number = 2");
        gateway.alter(&format!("UPDATE audit_log SET number = {to} WHERE number = {from}"));
        gateway.alter(&format!("UPDATE audit_log SET number = {from} WHERE number = 1000"));
    };
    gateway.alter("UPDATE audit_log SET actor = actor || 'x' WHERE number = 2");
    found("row 2 was changed");
    gateway.alter("UPDATE audit_log SET actor = substr(actor, 1, length(actor) - 1) WHERE number = 2");
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    gateway.alter("UPDATE audit_log SET number = 1000 WHERE number = 2");
    found("rows are missing");
    gateway.alter("UPDATE audit_log SET number = 2 WHERE number = 1000");
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    swap(3, 2);
    found("row 2 was changed, or the row before it was exchanged");
    swap(3, 2);
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    let kept = std::fs::read_to_string(&head).unwrap();
    let mut value: Value = serde_json::from_str(&kept).unwrap();
    value["number"] = (value["number"].as_u64().unwrap() - 1).into();
    std::fs::write(&head, value.to_string()).unwrap();
    found("not what was signed");
    std::fs::write(&head, kept).unwrap();
    gateway.alter("UPDATE audit_heads SET number = number - 1");
    gateway.alter("DELETE FROM audit_log WHERE number = (SELECT MAX(number) FROM audit_log)");
    found("rows were cut off");
}

#[test]
fn what_is_erased_leaves_receipt_head_and_chain_whole() {
    let (receiver, folder) = (Receiver::start(|_| Do::Take), tempfile::tempdir().unwrap());
    let heads = folder.path().join("heads");
    let audit = format!("[audit]\nheads_dir = \"{}\"\nheads_interval = \"1s\"\n", heads.display());
    let sender = Sender::new(Engine::Sqlite, &format!("{}{UNLIMITED}{audit}", direct(&receiver)));
    let (gateway, ann) = (&sender.gateway, format!("ann@{}", domain_of(&receiver)));
    let draft = sender.release(&[&ann]);
    sender.until(&draft, "sent");
    let release = released_as(&sender, &draft);
    let head = gateway.dir().join("before.head");
    let kept = gateway.connex(&["audit", "head", "--tenant", "acme"]).text();
    std::fs::write(&head, &kept).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let name = format!("{}-{:012}.head", text(&kept, "/tenant"), kept["number"].as_u64().unwrap());
    let exported = wait_for("the head in its folder", || Some(heads.join(&name)).filter(|file| file.exists()));
    let file = gateway.dir().join("receipt.json");
    std::fs::write(&file, gateway.connex(&["audit", "receipt", "show", &release, "--tenant", "acme"]).stdout).unwrap();

    let told = gateway.json(&["audit", "erase", &ann, "--tenant", "acme"]);
    assert_eq!((told["drafts"].as_u64(), list(&told, "/open").len()), (Some(1), 0), "{told}");
    for head in [&head, &exported] {
        let verified = gateway.connex(&["audit", "verify", "--tenant", "acme", "--head", head.to_str().unwrap()]);
        assert_eq!(verified.code, 0, "{}", verified.stderr);
    }
    let key = text(&gateway.json(&["audit", "key"]), "/publicKey").to_owned();
    let verified = connex(&["audit", "receipt", "verify", file.to_str().unwrap(), "--key", &key]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let again = gateway.connex(&["audit", "receipt", "show", &release, "--tenant", "acme"]);
    assert_eq!(again.stdout, std::fs::read(&file).unwrap(), "its receipt is what it was");
    let explained = gateway.explained(&draft);
    assert!(explained["draft"]["erasedAt"].is_string() && !explained.to_string().contains(&ann), "{explained}");
    let steps: Vec<&str> = list(&explained, "/draft/steps").iter().map(|step| text(step, "/action")).collect();
    let expected =
        ["draft.created", "draft.released", "draft.sending", "transmission.tried", "draft.settled", "draft.erased"];
    assert_eq!(steps, expected);
    let shown = sender.draft(&draft);
    assert!(shown["content"].is_null() && shown["erasedAt"].is_string(), "{shown}");
    assert_eq!(text(&shown, "/transmissions/0/recipient"), "erased@erased.invalid");
    let told = gateway.json(&["audit", "erase", &ann, "--tenant", "acme"]);
    assert_eq!((told["drafts"].as_u64(), told["details"].as_u64()), (Some(0), Some(0)), "{told}");
}

#[test]
fn a_policy_is_set_from_a_file_with_its_faults_told_and_another_is_tried_on_what_was_asked() {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(Engine::Sqlite, &format!("{}{UNLIMITED}", direct(&receiver)));
    let gateway = &sender.gateway;
    let draft = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    let file = gateway.dir().join("policy.toml");
    let path = file.to_str().unwrap();
    let shown = gateway.connex(&["policy", "show", "--tenant", "acme"]).text();
    assert!(
        shown.contains("participants_only = false") && shown.contains("automatic_per_correspondent = 1000"),
        "{shown}"
    );
    std::fs::write(&file, format!("{shown}\n[[scope]]\nmailbox = \"{}\"\nautomatic_templates = []\n", sender.mailbox))
        .unwrap();
    let test = ["policy", "test", "--since", "1d", "--policy", path, "--tenant", "acme"];
    let replay = gateway.json(&test);
    assert_eq!((replay["judged"].as_u64(), replay["changed"].as_u64()), (Some(1), Some(1)), "{replay}");
    assert_eq!(
        (text(&replay, "/differences/0/draft"), text(&replay, "/differences/0/after/verdict")),
        (draft.as_str(), "hold")
    );
    let told = gateway.connex(&test).text();
    assert!(told.contains("release -> hold: 1") && told.contains("approval_required"), "{told}");
    assert_eq!(text(&gateway.json(&["policy", "set", path, "--tenant", "acme"]), "/version"), "v2");
    let history = gateway.json(&["policy", "history", "--tenant", "acme"]);
    let versions: Vec<&str> = list(&history, "").iter().map(|one| text(one, "/version")).collect();
    assert_eq!((versions, text(&history, "/0/madeBy")), (vec!["v2", "v1"], "operator"));
    std::fs::write(&file, "recipients = 3\nfour_eye = true\n").unwrap();
    let refused = gateway.connex(&["policy", "set", path, "--tenant", "acme"]);
    assert!(refused.code == 2 && refused.stderr.contains("line 2"), "{}", refused.stderr);
    std::fs::write(&file, "recipients = 0\nallow = [\"a b\"]\n").unwrap();
    let refused = gateway.connex(&["policy", "set", path, "--tenant", "acme"]);
    assert!(refused.code == 2 && refused.stderr.contains("/allow/0: "), "{}", refused.stderr);
}
