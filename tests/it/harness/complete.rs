//! What `connex dev` brings by itself, for a gateway that was started by `serve`.

use std::collections::HashSet;
use std::path::Path;

use connex::clock::Clock;
use connex::devcert;
use serde_json::{Value, json};

use super::{Database, Sink, configuration, connex, text};

/// Writes the configuration and sets up what `dev` tells of; its fields, and the secret of the endpoint.
pub fn set_up(config: &Path, dir: &Path, database: &Database, receiver: &Sink) -> (Value, String) {
    const MAILBOX: &str = "deals@gateway.example";
    let files = devcert::ensure(&config.with_file_name("certs"), "localhost", Clock::System.now()).unwrap();
    let tls = format!("[tls]\ncert_file = {:?}\nkey_file = {:?}\n", files.cert_file, files.key_file);
    let more = configuration(dir, Some(database), &tls);
    std::fs::write(config, more.replace("[smtp]\n", "[smtp]\nlisten_tls = [\"127.0.0.1:0\"]\n")).unwrap();
    let run =
        |arguments: &[&str]| connex(&[arguments, &["--json", "--config", config.to_str().unwrap()]].concat()).json();
    let tenant = run(&["tenant", "add", "sample"]);
    let maps = ["--status-map", "proof_of_funds_requested=Needs POF", "--industry", "real_estate"];
    run(&[&["app", "add", "your-saas", "--tenant", "sample"], &maps[..]].concat());
    let of_app = ["--tenant", "sample", "--app", "your-saas"];
    let owner = ["--owner", "source_app", "--reply-policy", "source_app_only"];
    let own_pages = ["--external-reply-url", "https://your-saas.example/inbox"];
    run(&[&["mailbox", "add", MAILBOX], &of_app[..], &owner[..], &own_pages[..]].concat());
    let route = run(&[&["route", "add", "--kind", "bcc", "--peer", "127.0.0.0/8"], &of_app[..]].concat());
    let endpoint = run(&[&["webhook", "add", &receiver.url()], &of_app[..]].concat());
    let all = ["status:evaluate", "events:read", "messages:read", "messages:raw"];
    let scopes: Vec<&str> = all.iter().flat_map(|scope| ["--scope", scope]).collect();
    let key = run(&[&["key", "add", "--tenant", "sample", "--name", "all"], &scopes[..]].concat());
    let fields = json!({
        "tenant": tenant["id"], "app": "your-saas", "mailbox": MAILBOX, "apiKey": key["key"],
        "routes": { "bcc": route["address"] }, "caFile": files.ca_file,
    });
    (fields, text(&endpoint, "/secret").to_owned())
}

/// What the receiver of `dev` would show: each event once, and none whose signature is wrong.
pub fn received(sink: &Sink, secret: &str) -> Value {
    let mut seen = HashSet::new();
    let hits = sink.hits().into_iter().filter(|hit| hit.is_signed_with(secret) && seen.insert(hit.id().to_owned()));
    let events =
        hits.map(|hit| json!({ "id": hit.id(), "eventType": hit.header("connex-event-type"), "body": hit.json() }));
    json!({ "events": events.collect::<Vec<_>>() })
}
