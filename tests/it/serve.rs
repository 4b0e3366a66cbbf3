//! `connex serve`: configuration, starting, and stopping.

use std::net::TcpListener;
use std::path::Path;

use crate::harness::{
    Database, Engine, Gateway, Wire, configuration, connex, fresh_id, http, message, on_both_engines, sha256, text,
};

on_both_engines!(
    a_small_configuration_serves_and_a_signal_stops_it,
    a_message_in_flight_when_the_signal_comes_is_finished_answered_and_kept,
);

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("connex.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn a_small_configuration_serves_and_a_signal_stops_it(engine: Engine) {
    let mut gateway = Gateway::serving(engine, "");
    assert_eq!(http("GET", &format!("{}/healthz", gateway.admin()), &[], b"").status, 200);
    assert_eq!(http("GET", &format!("{}/readyz", gateway.admin()), &[], b"").status, 200);
    let to = gateway.field("/mailbox");
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    assert_eq!(
        wire.mail("ann@lakeside.example", to, &message(&fresh_id("counted"), to, "Hi", "Hi\r\n")).unwrap().0,
        250
    );
    let metrics = http("GET", &format!("{}/metrics", gateway.admin()), &[], b"");
    assert!(String::from_utf8_lossy(&metrics.body).contains("\nconnex_smtp_"), "{metrics:?}");
    assert_eq!(http("GET", &format!("{}/metrics", gateway.api()), &[], b"").status, 404, "not for the public");
    gateway.terminate();
    assert_eq!(gateway.stopped().code(), Some(0));
}

#[test]
fn every_fault_of_a_configuration_is_named_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[smtp]\nlisten = [\"nowhere\"]\nlisen = [\"127.0.0.1:0\"]\n[smtp.limits]\nmessage_size = \"lots\"\n\
                [webhooks]\nlease = \"1s\"\n";
    let config = file(folder.path(), text);
    for command in ["serve", "check-config"] {
        let done = connex(&[command, "--config", &config]);
        assert_eq!(done.code, 4, "{command}: {}", done.stderr);
        for (key, line, value) in [
            ("smtp.listen", ":2", "nowhere"),
            ("smtp.lisen", ":3", "lisen"),
            ("smtp.limits.message_size", ":5", "lots"),
            ("webhooks.lease", ":7", "1s"),
        ] {
            let found = done
                .stderr
                .lines()
                .any(|said| said.contains(key) && said.contains(value) && said.contains(&format!("connex.toml{line}")));
            assert!(found, "{command} does not name {key}, {value} and its line: {}", done.stderr);
        }
        let json = connex(&[command, "--config", &config, "--json"]);
        assert_eq!(json.code, 4);
        assert!(serde_json::from_str::<serde_json::Value>(&json.stderr).is_ok(), "{}", json.stderr);
    }
}

#[test]
fn check_config_shows_the_result_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "correct-horse-battery-staple-0123456789";
    let config =
        file(folder.path(), &configuration(folder.path(), None, &format!("[keys]\ninstance_secret = \"{secret}\"\n")));
    let in_file = connex(&["check-config", "--config", &config]);
    assert!(!in_file.text().contains(secret) && !in_file.stderr.contains(secret), "{}", in_file.stderr);
    let config = file(folder.path(), &configuration(folder.path(), None, ""));
    let done = connex(&["check-config", "--config", &config]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.text().contains("gateway.example"), "{}", done.text());
    connex(&["check-config", "--config", &config, "--json"]).json();
    let missing = connex(&["check-config", "--config", "/nowhere/connex.toml"]);
    assert_eq!(missing.code, 4, "{}", missing.stderr);
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let sections =
        [("smtp.listen", "[smtp]\nlisten"), ("http.listen", "[http]\nlisten"), ("http.admin_listen", "admin_listen")];
    for (key, place) in sections {
        let free = format!("{place} = [\"127.0.0.1:0\"]");
        let text = configuration(&folder.path().join("data"), None, "");
        assert!(text.contains(&free));
        let config = file(folder.path(), &text.replace(&free, &format!("{place} = [\"{address}\"]")));
        let done = connex(&["serve", "--config", &config]);
        assert_eq!(done.code, 5, "{key}: {}", done.stderr);
        assert!(done.stderr.contains(key) && done.stderr.contains(&address), "{}", done.stderr);
    }
}

fn a_message_in_flight_when_the_signal_comes_is_finished_answered_and_kept(engine: Engine) {
    let mut gateway = Gateway::serving(engine, "");
    let to = gateway.field("/mailbox").to_owned();
    let bytes = message(&fresh_id("in-flight"), &to, "In flight", &"0123456789\r\n".repeat(1000));
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let mut idle = Wire::hello(gateway.smtp()).unwrap();
    wire.command("MAIL FROM:<ann@lakeside.example>").unwrap();
    wire.command(&format!("RCPT TO:<{to}>")).unwrap();
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    wire.send(first).unwrap();
    gateway.terminate();
    // The session that does nothing is ended: then the shutdown is known to have begun.
    let ended = idle.reply();
    assert!(ended.as_ref().is_ok_and(|(code, _)| *code == 421), "{ended:?}");
    wire.send(&[rest, b".\r\n"].concat()).unwrap();
    let (code, reply) = wire.reply().unwrap();
    assert_eq!(code, 250, "{reply}");
    assert_eq!(gateway.stopped().code(), Some(0));
    let gateway = gateway.restarted();
    let messages = gateway.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(text(&messages[0], "/sha256"), sha256(&bytes));
    let chain = gateway.explained(text(&messages[0], "/id"));
    assert_eq!(chain["events"].as_array().map(Vec::len), Some(1), "{chain}");
}

#[test]
fn a_role_whose_password_is_kept_for_scram_is_logged_in() {
    let (database, folder) = (Database::fresh().by_scram(), tempfile::tempdir().unwrap());
    let config = file(folder.path(), &configuration(&folder.path().join("data"), Some(&database), ""));
    let added = connex(&["tenant", "add", "acme", "--config", &config]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(database.sql("SELECT name FROM tenants"), "acme");
}
