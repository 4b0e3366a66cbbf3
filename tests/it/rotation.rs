//! A change of the instance key: nothing that was stored is written again, all of it is read, and the old key opens nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connex::clock::Clock;
use connex::seal::body::BodyKeys;
use connex::seal::keyring::{Keyring, Secret};
use connex::spool::log::{Files, LogView, SpoolOptions};
use serde_json::Value;

use crate::harness::{
    Database, Done, Engine, Gateway, Hit, Installation, SECRET_FILE, Sink, Wire, configuration, connex, fresh_id, http,
    list, on_both_engines, proof_of_funds, sha256, text, wait_for,
};

on_both_engines!(
    after_a_change_of_the_key_all_mail_is_read_and_keys_and_secrets_are_as_they_were,
    a_backup_from_after_a_change_of_the_key_has_what_opens_it,
);

const NEW: &str = "another secret of tests, the same on every node";

/// Hands a message over, and waits for its event at the receiver.
fn take(gateway: &Gateway, sink: &Sink) -> Hit {
    let (id, to) = (fresh_id("key"), gateway.field("/mailbox"));
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    let (code, reply) = wire.mail("ann@lakeside.example", to, &proof_of_funds(&id, to)).unwrap();
    assert_eq!(code, 250, "{reply}");
    let is_it = |hit: &Hit| text(&hit.json(), "/source/eventId").contains(&id);
    wait_for("its event at the receiver", || sink.hits().into_iter().find(is_it))
}

/// The bytes of every message are given out by the API to the key of before; how many there are.
fn expect_all_read(gateway: &Gateway) -> usize {
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let messages = gateway.messages();
    for message in &messages {
        let url = format!("{}/api/v1/messages/{}/raw", gateway.api(), text(message, "/id"));
        let answer = http("GET", &url, &[("authorization", &authorization)], b"");
        assert_eq!((answer.status, sha256(&answer.body).as_str()), (200, text(message, "/sha256")), "{answer:?}");
    }
    messages.len()
}

/// Whether the newest body is sealed with another data key than `first`.
fn is_newest_sealed_anew(gateway: &Gateway, engine: Engine, first: &Arc<BodyKeys>) -> bool {
    match engine {
        Engine::Sqlite => {
            let options =
                SpoolOptions { dir: gateway.dir().join("spool"), segment_bytes: 1 << 20, ..SpoolOptions::default() };
            let view = LogView::open(options, Files::Real, Arc::clone(first), Clock::System).unwrap();
            view.unknown_key().unwrap().is_some()
        }
        Engine::Postgres => newest_data_key(&gateway.sql(NEWEST)) != first.current().to_string(),
    }
}

const NEWEST: &str = "SELECT encode(substring(sealed_key FROM 1 FOR 8), 'hex') FROM spool_bodies WHERE part = 0 \
ORDER BY message_id DESC LIMIT 1";

fn newest_data_key(answer: &str) -> String {
    answer.trim().to_owned()
}

/// Where the instance key of a gateway is.
fn key_file(gateway: &Gateway, engine: Engine) -> PathBuf {
    match engine {
        Engine::Sqlite => gateway.dir().join("instance.key"),
        Engine::Postgres => gateway.dir().with_file_name(SECRET_FILE),
    }
}

/// What bodies are sealed with as long as the key that is in this file is not changed.
fn first_keys(file: &Path) -> Arc<BodyKeys> {
    Arc::new(Keyring::of(&Secret::of(std::fs::read_to_string(file).unwrap().trim())).body_keys())
}

/// Changes the key; the new one is in place afterwards.
fn rotate(gateway: &Gateway, engine: Engine) {
    let file = key_file(gateway, engine);
    match engine {
        Engine::Sqlite => assert_eq!(gateway.json(&["instance", "rotate-key"])["state"], "done"),
        Engine::Postgres => {
            let new = file.with_file_name("new.secret");
            std::fs::write(&new, NEW).unwrap();
            let refused = gateway.connex(&["instance", "rotate-key"]);
            assert!(refused.code == 1 && refused.stderr.contains("--new-secret-file"), "{}", refused.stderr);
            let rotated = gateway.json(&["instance", "rotate-key", "--new-secret-file", new.to_str().unwrap()]);
            assert_eq!(rotated["state"], "prepared", "{rotated}");
            std::fs::write(&file, NEW).unwrap();
        }
    }
}

fn doctor(gateway: &Gateway) -> Value {
    let done = gateway.connex(&["doctor", "--json"]);
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let found = list(&answer, "/findings").iter().find(|finding| text(finding, "/check") == "key").cloned();
    found.unwrap_or_else(|| panic!("nothing of the key in {answer}"))
}

fn is_refused(done: &Done) {
    assert!(done.code == 5 && done.stderr.contains("does not open the keyring"), "{} {}", done.code, done.stderr);
}

fn after_a_change_of_the_key_all_mail_is_read_and_keys_and_secrets_are_as_they_were(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let sink = Sink::start();
    let added = gateway.json(&["webhook", "add", &sink.url(), "--tenant", "acme", "--app", "crm"]);
    let secret = text(&added, "/secret");
    let file = key_file(&gateway, engine);
    let (old, first) = (std::fs::read_to_string(&file).unwrap(), first_keys(&file));
    assert!(take(&gateway, &sink).is_signed_with(secret));
    assert!(!is_newest_sealed_anew(&gateway, engine, &first), "the check can fail");
    assert!(text(&doctor(&gateway), "/what").contains("never changed"));

    rotate(&gateway, engine);
    let found = doctor(&gateway);
    match engine {
        Engine::Sqlite => assert!(text(&found, "/what").contains("opens the keyring"), "{found}"),
        Engine::Postgres => {
            assert!(text(&found, "/what").contains("still have the old one: gateway.example"), "{found}");
            let early = gateway.connex(&["instance", "rotate-key", "--finish"]);
            assert!(early.code == 1 && early.stderr.contains("still in use"), "{}", early.stderr);
        }
    }
    let gateway = if engine == Engine::Postgres { gateway.restarted() } else { gateway };
    let finished = gateway.json(&["instance", "rotate-key", "--finish"]);
    assert_eq!(finished["state"], if engine == Engine::Sqlite { "nothing" } else { "done" }, "{finished}");
    wait_for("the gateway to seal new mail with the new data key, while it runs", || {
        assert!(take(&gateway, &sink).is_signed_with(secret));
        is_newest_sealed_anew(&gateway, engine, &first).then_some(())
    });
    let read = expect_all_read(&gateway);
    let gateway = gateway.restarted();
    assert!(take(&gateway, &sink).is_signed_with(secret), "the secret is what it was");
    assert!(is_newest_sealed_anew(&gateway, engine, &first));
    assert_eq!(expect_all_read(&gateway), read + 1);
    assert_eq!(text(&doctor(&gateway), "/level"), "good");

    let new = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, old).unwrap();
    is_refused(&gateway.connex(&["tenant", "list"]));
    assert_eq!(text(&doctor(&gateway), "/level"), "problem");
    std::fs::write(&file, new).unwrap();
    assert_eq!(gateway.connex(&["tenant", "list"]).code, 0);
}

fn a_backup_from_after_a_change_of_the_key_has_what_opens_it(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::serving(engine, "");
    let sink = Sink::start();
    gateway.json(&["webhook", "add", &sink.url(), "--tenant", "acme", "--app", "crm"]);
    take(&gateway, &sink);
    rotate(&gateway, engine);
    let gateway = gateway.restarted();
    take(&gateway, &sink);
    let backup = folder.path().join("backup");
    gateway.json(&["backup", backup.to_str().unwrap()]);

    let (config, data, database) = (folder.path().join("connex.toml"), folder.path().join("data"), engine.database());
    let whole = configuration(&data, database.as_ref(), "");
    // Without the secret that the first one was configured with: the backup has the key.
    let own: String =
        whole.lines().filter(|line| !line.contains("instance_secret")).flat_map(|it| [it, "\n"]).collect();
    std::fs::write(&config, own).unwrap();
    let run = |arguments: &[&str]| connex(&[arguments, &["--config", config.to_str().unwrap()]].concat());
    assert_eq!(run(&["restore", backup.to_str().unwrap()]).code, 0);
    let messages = gateway.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        let raw = run(&["messages", "raw", text(&message, "/id")]);
        assert_eq!((raw.code, sha256(&raw.stdout).as_str()), (0, text(&message, "/sha256")), "{}", raw.stderr);
    }
}

#[test]
fn of_two_nodes_one_gets_the_new_key_before_the_other_and_each_reads_what_the_other_sealed() {
    let installation = Installation::over(Database::fresh(), "");
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let first = first_keys(&installation.secret_file(1)).current().to_string();
    let [one, two] = <[Gateway; 2]>::try_from(installation.nodes(2)).unwrap_or_else(|_| panic!("two nodes"));
    for node in [&one, &two] {
        assert!(take(node, &sink).is_signed_with(&secret));
    }
    let new = installation.secret_file(1).with_file_name("new.secret");
    std::fs::write(&new, NEW).unwrap();
    let rotated = installation.json(&["instance", "rotate-key", "--new-secret-file", new.to_str().unwrap()]);
    assert_eq!(rotated["state"], "prepared", "{rotated}");

    std::fs::write(installation.secret_file(1), NEW).unwrap();
    let one = one.restarted();
    assert!(take(&one, &sink).is_signed_with(&secret));
    for node in [&two, &one] {
        assert_eq!(expect_all_read(node), 3);
    }
    let at = |number: usize, arguments: &[&str]| {
        let config = installation.config(number);
        connex(&[arguments, &["--config", config.to_str().unwrap()]].concat())
    };
    let early = at(1, &["instance", "rotate-key", "--finish"]);
    assert!(early.code == 1 && early.stderr.contains("still in use, by gateway.example"), "{}", early.stderr);
    assert!(early.stderr.contains("node-2") && !early.stderr.contains("node-1"), "{}", early.stderr);
    let behind = at(2, &["instance", "rotate-key", "--finish"]);
    assert!(behind.code == 1 && behind.stderr.contains("still is the old key"), "{}", behind.stderr);

    let two = two.restarted();
    assert!(take(&two, &sink).is_signed_with(&secret), "the old key opens as long as the change is not finished");
    let old = std::fs::read(installation.secret_file(2)).unwrap();
    std::fs::write(installation.secret_file(2), NEW).unwrap();
    let two = two.restarted();
    let finished = at(1, &["instance", "rotate-key", "--finish"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    // The one seals with the new data key, of which the other may not have heard yet.
    assert_eq!(newest_data_key(&installation.sql(NEWEST)), first);
    let one = one.restarted();
    assert!(take(&one, &sink).is_signed_with(&secret));
    assert_ne!(newest_data_key(&installation.sql(NEWEST)), first);
    for node in [&two, &one] {
        assert_eq!(expect_all_read(node), 5);
    }
    wait_for("the other node to seal with it too", || {
        assert!(take(&two, &sink).is_signed_with(&secret));
        (newest_data_key(&installation.sql(NEWEST)) != first).then_some(())
    });
    std::fs::write(installation.secret_file(2), old).unwrap();
    is_refused(&at(2, &["tenant", "list"]));
    assert!(take(&two, &sink).is_signed_with(&secret), "who runs goes on");
}
