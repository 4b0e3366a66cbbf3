//! The command line: every command answers people and programs, and its exit code means something.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{
    Engine, Gateway, Sink, Wire, connex, fresh_id, list, on_both_engines, proof_of_funds, text, wait_for,
};

on_both_engines!(
    everything_that_can_be_added_can_be_listed_shown_and_removed,
    exit_codes_say_what_kind_of_failure_it_was,
    tail_without_following_shows_message_decision_and_delivery_and_ends,
    listen_forwards_each_event_with_a_signature,
    migrating_again_changes_nothing,
);

/// Adds, lists, shows and removes one thing.
fn round_trip(gateway: &Gateway, kind: &str, add: &[&str]) {
    // Everything but a tenant belongs to one.
    let of: &[&str] = if kind == "tenant" { &[] } else { &["--tenant", "acme"] };
    let added = gateway.json(&[&[kind, "add"], add, of].concat());
    let id = text(&added, "/id");
    assert!(!id.is_empty(), "{kind}: {added}");
    let listed = gateway.json(&[kind, "list"]);
    let is_listed = |listed: &Value| list(listed, "").iter().any(|one| text(one, "/id") == id);
    assert!(is_listed(&listed), "{kind}: {listed}");
    let table = gateway.connex(&[kind, "list"]);
    assert!(table.code == 0 && table.text().contains(id), "{kind}: {}", table.text());
    assert_eq!(text(&gateway.json(&[&[kind, "show", id], of].concat()), "/id"), id, "{kind}");
    let people = gateway.connex(&[&[kind, "show", id], of].concat());
    assert!(people.code == 0 && !people.stdout.is_empty(), "{kind}: {}", people.stderr);
    assert!(!table.text().contains('\u{1b}') && !people.text().contains('\u{1b}'), "{kind}: colours in a pipe");
    gateway.json(&[&[kind, "remove", id], of].concat());
    // Keys stay in the list, as revoked; the rest is gone.
    let listed = gateway.json(&[kind, "list"]);
    let one = list(&listed, "").iter().find(|one| text(one, "/id") == id);
    assert!(one.is_none_or(|one| one.get("revokedAt").is_some_and(|at| !at.is_null())), "{kind}: {listed}");
}

fn everything_that_can_be_added_can_be_listed_shown_and_removed(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let of_app = ["--app", "crm"];
    round_trip(&gateway, "tenant", &["globex"]);
    round_trip(&gateway, "app", &["billing"]);
    round_trip(&gateway, "mailbox", &[&["sales@gateway.example"], &of_app[..]].concat());
    round_trip(&gateway, "route", &[&["--kind", "bcc", "--peer", "192.0.2.0/24"], &of_app[..]].concat());
    round_trip(&gateway, "webhook", &[&["https://hooks.example.org/connex"], &of_app[..]].concat());
    round_trip(&gateway, "key", &["--name", "spare"]);
}

fn exit_codes_say_what_kind_of_failure_it_was(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let codes = [
        (0, vec!["tenant", "list"]),
        (2, vec!["tenant", "lisst"]),
        (2, vec!["messages", "raw", "nonsense"]),
        (3, vec!["messages", "raw", "msg_01kb3r8x7g0000000000000000"]),
        (3, vec!["explain", "evt_01kb3r8x7g0000000000000000"]),
        (3, vec!["app", "list", "--tenant", "nobody"]),
        (3, vec!["key", "remove", "key_01kb3r8x7g0000000000000000"]),
    ];
    for (code, arguments) in codes {
        let done = gateway.connex(&arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
        assert_eq!(done.stderr.is_empty(), code == 0, "{arguments:?}: {}", done.stderr);
        assert!(code == 0 || done.stdout.is_empty(), "{arguments:?}: answers and errors are apart");
    }
    let error = gateway.connex(&["app", "list", "--tenant", "nobody", "--json"]);
    let told: Value = serde_json::from_str(&error.stderr).unwrap_or_else(|_| panic!("{}", error.stderr));
    assert_eq!(told["error"]["code"], "not_found", "{told}");
    let unreachable = connex(&["send", "proof-of-funds", "--to", "a@b.example", "--server", "127.0.0.1:1"]);
    assert_eq!(unreachable.code, 5, "{}", unreachable.stderr);
}

fn tail_without_following_shows_message_decision_and_delivery_and_ends(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let (id, to) = (fresh_id("tail"), gateway.field("/mailbox"));
    Wire::hello(gateway.smtp()).unwrap().mail("ann@lakeside.example", to, &proof_of_funds(&id, to)).unwrap();
    gateway.arrival(&id);
    let shown = wait_for("the delivery in the tail", || {
        let done = gateway.connex(&["tail", "--no-follow", "--json"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let lines: Vec<Value> = done.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<String> = lines.iter().map(|line| text(line, "/what").to_owned()).collect();
        (kinds.len() >= 3).then_some(kinds)
    });
    for kind in ["message", "decision"] {
        assert!(shown.iter().any(|what| what == kind), "{shown:?}");
    }
    let people = gateway.connex(&["tail", "--no-follow"]).text();
    assert!(people.contains("proof_of_funds_requested") && !people.contains('\u{1b}'), "{people}");
    // No subject, no address, no text.
    assert!(!people.contains("Mill Lane") && !people.contains("lakeside"), "{people}");
}

/// A command that runs until the test ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn listen_forwards_each_event_with_a_signature(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let sink = Sink::start();
    let (secret, key) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", gateway.dir().join("key.txt"));
    let secret_file = gateway.dir().join("secret.txt");
    std::fs::write(&key, gateway.field("/apiKey")).unwrap();
    std::fs::write(&secret_file, secret).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_connex"));
    command.args(["listen", "--url", &gateway.api(), "--forward", &sink.url(), "--key-file"]).arg(key);
    command.arg("--secret-file").arg(secret_file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut said = BufReader::new(running.0.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("Listening to ")), "it ended");
    let (id, to) = (fresh_id("listen"), gateway.field("/mailbox"));
    Wire::hello(gateway.smtp()).unwrap().mail("ann@lakeside.example", to, &proof_of_funds(&id, to)).unwrap();
    let hit = wait_for("the event at the laptop", || sink.hits().into_iter().next());
    assert!(hit.is_signed_with(secret));
    assert!(text(&hit.json(), "/data/text").contains("proof of funds"), "{}", hit.json());
    assert_eq!(hit.json(), gateway.arrival(&id)["body"], "the same as the webhook's");
}

#[test]
fn send_delivers_a_named_sample_through_the_real_port() {
    let gateway = Gateway::dev();
    let server = gateway.smtp().to_string();
    let done = gateway.connex(&[
        "send",
        "meeting-request",
        "--to",
        gateway.field("/mailbox"),
        "--server",
        &server,
        "--ca-file",
        gateway.field("/caFile"),
        "--json",
    ]);
    done.json();
    assert_eq!(gateway.messages().len(), 1);
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = |path: &[String]| {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let done = connex(&arguments);
        assert_eq!(done.code, 0, "{path:?}");
        done.text()
    };
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let text = help(&path);
        assert!(text.contains("Example: connex"), "connex {} has no example: {text}", path.join(" "));
        seen += 1;
        let commands = text.split("Commands:\n").nth(1).unwrap_or_default();
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.trim_start().split(' ').next().unwrap_or_default();
            if !name.is_empty() && name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                waiting.push([path.as_slice(), &[name.to_owned()]].concat());
            }
        }
    }
    assert!(seen > 35, "only {seen} commands were found");
}

fn migrating_again_changes_nothing(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let done = gateway.json(&["migrate"]);
    assert_eq!(done["upToDate"], json!(true), "{done}");
}
