//! `connex import`: history out of files.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{
    Engine, Gateway, READING, fresh_id, http, list, message, on_both_engines, proof_of_funds, sha256, text, wait_for,
    wait_within,
};

on_both_engines!(
    files_mailbox_files_and_maildirs_become_events_from_which_nothing_follows,
    an_import_that_is_killed_and_run_again_loses_nothing_and_makes_no_event_twice,
);

/// A message that asks for something, as a file has it: lines end with LF.
fn unix(id: &str, to: &str) -> String {
    String::from_utf8(proof_of_funds(id, to)).unwrap().replace("\r\n", "\n")
}

/// As mboxrd has them.
fn mbox(messages: &[String]) -> String {
    let quoted = |line: &str| {
        let quote = if line.trim_start_matches('>').starts_with("From ") { ">" } else { "" };
        format!("{quote}{line}")
    };
    let one = |message: &String| {
        let body: String = message.split_inclusive('\n').map(quoted).collect();
        format!("From ann@lakeside.example Mon Nov 23 09:01:00 2026\n{body}\n")
    };
    messages.iter().map(one).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn import(gateway: &Gateway, more: &[&str], path: &Path) -> Value {
    gateway.json(&[&["import", path.to_str().unwrap()], more].concat())
}

/// The events of mail in the log, from its beginning.
fn events(gateway: &Gateway) -> Vec<Value> {
    let key = format!("Bearer {}", gateway.field("/apiKey"));
    let (mut all, mut after): (Vec<Value>, _) = (Vec::new(), 0);
    loop {
        let url = format!("{}/api/v1/events?after={after}&limit=200", gateway.api());
        let answer = http("GET", &url, &[("authorization", &key)], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let Some(last) = list(&page, "/items").last() else { return all };
        after = last["cursor"].as_i64().unwrap();
        let mail = list(&page, "/items").iter().filter(|item| text(item, "/event/type").starts_with("message."));
        all.extend(mail.cloned());
    }
}

fn files_mailbox_files_and_maildirs_become_events_from_which_nothing_follows(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let to = gateway.field("/mailbox").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..6).map(|_| fresh_id("import")).collect();
    let mut all: Vec<String> = ids.iter().map(|id| unix(id, &to)).collect();
    all[3].push_str("From here\n>From there\n.\n\n");
    // A file from a Windows program, with its line ends.
    write(folder.path(), "one.eml", &all[0].replace('\n', "\r\n"));
    write(folder.path(), "Maildir/cur/1.host:2,S", &all[1]);
    write(folder.path(), "Maildir/new/2.host", &all[2]);
    std::fs::create_dir(folder.path().join("Maildir/tmp")).unwrap();
    write(folder.path(), "archive.mbox", &mbox(&all[3..]));
    let report = import(&gateway, &["--mailbox", &to], folder.path());
    let expected =
        json!({ "read": 6, "imported": 6, "duplicates": 0, "kept": 0, "doneBefore": 0, "refused": 0, "refusals": [] });
    assert_eq!(report, expected);

    let mut stored: Vec<String> = gateway.messages().iter().map(|one| text(one, "/sha256").to_owned()).collect();
    let mut sent: Vec<String> = all.iter().map(|text| sha256(text.replace('\n', "\r\n").as_bytes())).collect();
    stored.sort_unstable();
    sent.sort_unstable();
    assert_eq!(stored, sent, "what mail would have brought");
    let chain = gateway.explained(text(&gateway.messages()[0], "/id"));
    let event = &chain["events"][0];
    assert_eq!(text(event, "/event/source/door"), "import", "{chain}");
    assert_eq!(text(event, "/event/sentAt"), "2026-11-23T09:01:00.000Z", "{chain}");
    assert_eq!(text(event, "/event/envelope/mailFrom"), "ann@lakeside.example", "{chain}");
    assert_eq!(text(event, "/decision/canonical/status"), "proof_of_funds_requested", "{chain}");
    for nothing in
        ["/decision/operations", "/decision/materialized/drafts", "/decision/materialized/tasks", "/deliveries"]
    {
        assert!(event.pointer(nothing).is_some_and(|list| list == &json!([])), "{nothing}: {chain}");
    }
    let log = events(&gateway);
    assert_eq!(log.len(), 6, "{log:?}");
    assert!(log.iter().all(|item| text(item, "/event/source/kind") == "import"), "{log:?}");

    // Once more: nothing is read again; and with --again all of it is there already.
    let report = import(&gateway, &["--mailbox", &to], folder.path());
    assert_eq!((&report["read"], &report["doneBefore"]), (&json!(0), &json!(4)), "{report}");
    let report = import(&gateway, &["--mailbox", &to, "--again"], folder.path());
    assert_eq!((&report["imported"], &report["duplicates"]), (&json!(6), &json!(6)), "{report}");
    assert_eq!(events(&gateway).len(), 6);
    assert!(ids.iter().all(|id| gateway.received(id).is_empty()), "no webhook");

    // What is asked to be treated as new goes out, and mail that comes by itself does too.
    let id = fresh_id("emit");
    let file = write(folder.path(), "new.eml", &unix(&id, &to));
    let report = import(&gateway, &["--mailbox", &to, "--emit"], &file);
    assert_eq!(report["imported"], 1, "{report}");
    let arrived = gateway.arrival(&id);
    assert_eq!(text(&arrived, "/body/source/kind"), "import");
    assert!(!list(&arrived, "/body/data/operations").is_empty(), "{arrived}");
}

fn an_import_that_is_killed_and_run_again_loses_nothing_and_makes_no_event_twice(engine: Engine) {
    const COUNT: usize = 250;
    // It is asked again and again, for as long as a busy machine takes.
    let gateway = Gateway::serving(engine, "[http.rate_limits]\ndefault_per_minute = 0\n");
    let to = gateway.field("/mailbox").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let number = |number: usize| {
        let text = message(&fresh_id("killed"), &to, &format!("Number {number}"), "Hello\r\n");
        String::from_utf8(text).unwrap().replace("\r\n", "\n")
    };
    let messages: Vec<String> = (0..COUNT).map(number).collect();
    let file = write(folder.path(), "archive", &mbox(&messages));
    let arguments = ["import", file.to_str().unwrap(), "--mailbox", &to, "--json"];
    let mut kills = 0;
    for part in [10, 90, 170] {
        let mut command = gateway.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("a part of the import", || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || gateway.messages().len() >= part).then_some(())
        });
        kills += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(kills > 0, "the import was never in the middle of its work");
    let report = gateway.json(&arguments[..4]);
    assert_eq!(report["refused"], 0, "{report}");
    // The last run may have had nothing left to do, and so nothing to wait for.
    wait_within(READING, "every message in the log of events", || (events(&gateway).len() >= COUNT).then_some(()));
    let stored: std::collections::BTreeSet<String> =
        gateway.messages().iter().map(|one| text(one, "/sha256").to_owned()).collect();
    let missing = messages.iter().filter(|one| !stored.contains(&sha256(one.replace('\n', "\r\n").as_bytes()))).count();
    assert_eq!(missing, 0, "of {COUNT}");
    assert_eq!(events(&gateway).len(), COUNT, "no event twice");
    assert!(gateway.messages().len() <= COUNT + kills, "at most one copy for each kill");
}

#[test]
fn refusals_are_named_by_their_place_and_the_others_are_taken() {
    let gateway = Gateway::serving(Engine::Sqlite, "[smtp.limits]\nmessage_size = \"64KiB\"\n");
    let to = gateway.field("/mailbox").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let large = format!("{}{}\n", unix(&fresh_id("large"), &to), "x".repeat(70_000));
    let messages = [unix(&fresh_id("small"), &to), large, unix(&fresh_id("small"), &to)];
    let file = write(folder.path(), "archive", &mbox(&messages));
    let done = gateway.connex(&["import", file.to_str().unwrap(), "--mailbox", &to, "--json"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&report["read"], &report["imported"], &report["refused"]),
        (&json!(3), &json!(2), &json!(1)),
        "{report}"
    );
    let place = format!("{}:{}", file.canonicalize().unwrap().display(), mbox(&messages[..1]).len());
    assert_eq!(text(&report, "/refusals/0/place"), place, "{report}");
    assert!(text(&report, "/refusals/0/reason").starts_with("552 5.3.4"), "{report}");
    // A destination that is not there is said before anything is read.
    let done = gateway.connex(&["import", file.to_str().unwrap(), "--mailbox", "nobody@gateway.example"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
}

#[test]
fn the_operator_may_import_for_a_route_that_names_no_peer() {
    let mut gateway = Gateway::serving(Engine::Sqlite, "");
    let route = gateway.json(&["route", "add", "--kind", "bcc", "--tenant", "acme", "--app", "crm"]);
    let folder = tempfile::tempdir().unwrap();
    let id = fresh_id("route");
    let file = write(folder.path(), "one.eml", &unix(&id, "bob@client.example"));
    let report = import(&gateway, &["--route", text(&route, "/id")], &file);
    assert_eq!((&report["imported"], &report["kept"]), (&json!(1), &json!(0)), "{report}");
    let log = events(&gateway);
    assert_eq!(text(&log[0], "/event/source/kind"), "import", "{log:?}");
    assert!(!log[0].to_string().contains(text(&route, "/address")), "the route's address is hidden");
    gateway.kill();
    let done = gateway.connex(&["import", file.to_str().unwrap(), "--route", text(&route, "/id")]);
    assert_eq!(done.code, 5, "without a gateway: {}", done.stderr);
}
