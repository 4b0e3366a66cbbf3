//! A backup that was made under load, put back elsewhere: all that was answered 250 before it began is there, once.

use std::path::Path;

use serde_json::Value;

use crate::harness::{
    Done, Gateway, Load, READING, Wire, configuration, connex, expect_stored, fresh_id, http, list, proof_of_funds,
    seed, text, wait_within,
};

const MAILBOX: &str = "deals@gateway.example";
const UNLIMITED: &str = "[http.rate_limits]\ndefault_per_minute = 0\n";

fn command(name: &str, folder: &Path, config: &Path) -> Done {
    connex(&[name, folder.to_str().unwrap(), "--json", "--config", config.to_str().unwrap()])
}

/// A configuration for the place where a backup is put back.
fn elsewhere(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    std::fs::create_dir(folder).unwrap();
    let (config, data) = (folder.join("connex.toml"), folder.join("data"));
    std::fs::write(&config, configuration(&data, None, UNLIMITED)).unwrap();
    (config, data)
}

/// Sources of all events, in order.
fn sources(gateway: &Gateway, key: &str) -> Vec<String> {
    let authorization = format!("Bearer {key}");
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let url = format!("{}/api/v1/events?after={after}&limit=200", gateway.api());
        let page = http("GET", &url, &[("authorization", &authorization)], b"").json();
        let items = list(&page, "/items");
        let Some(last) = items.last() else { return found };
        after = last["cursor"].as_i64().unwrap();
        found.extend(items.iter().map(|item| text(item, "/event/source/eventId").trim_matches(['<', '>']).to_owned()));
    }
}

#[test]
fn a_backup_made_under_load_has_all_that_was_answered_250_before_it_once_and_works() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    std::fs::create_dir(&first).unwrap();
    let gateway = Gateway::serving_in(&first, UNLIMITED);
    let load = Load::start(4, MAILBOX, seed());
    load.go_to(&[gateway.smtp()]);
    load.more(60, READING, "mail before the backup");
    let before = load.taken();
    let backup = folder.path().join("backup");
    let done = command("backup", &backup, &gateway.config()).json();
    assert_eq!(done["has_key"], Value::Bool(true), "{done}");
    load.more(20, READING, "mail after the backup");
    load.finish();

    let (config, data) = elsewhere(&folder.path().join("second"));
    command("restore", &backup, &config).json();
    let restored = Gateway::serve(&config, &data);
    let digests = expect_stored(&restored, &before);
    let distinct: std::collections::BTreeSet<&String> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len(), "a message is stored twice");
    let key = gateway.field("/apiKey");
    let events = wait_within(READING, "an event for each message", || {
        Some(sources(&restored, key)).filter(|events| events.len() >= digests.len())
    });
    assert_eq!(events.len(), digests.len(), "more events than messages");
    assert!(before.keys().all(|id| events.iter().filter(|event| event == &id).count() == 1));
    let id = fresh_id("restored");
    let mut wire = Wire::hello(restored.smtp()).unwrap();
    assert_eq!(wire.mail("ann@lakeside.example", MAILBOX, &proof_of_funds(&id, MAILBOX)).unwrap().0, 250);
    wait_within(READING, "mail to the restored gateway", || sources(&restored, key).contains(&id).then_some(()));
}

#[test]
fn nothing_is_put_over_an_installation_and_nothing_altered_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    std::fs::create_dir(&first).unwrap();
    let gateway = Gateway::serving_in(&first, "");
    let backup = folder.path().join("backup");
    command("backup", &backup, &gateway.config()).json();
    let again = command("backup", &backup, &gateway.config());
    assert_eq!((again.code, again.stderr.contains("not empty")), (1, true), "{}", again.stderr);
    let over = command("restore", &backup, &gateway.config());
    assert_eq!((over.code, over.stderr.contains("not empty")), (1, true), "{}", over.stderr);

    let (config, data) = elsewhere(&folder.path().join("second"));
    let key = backup.join("instance.key");
    let mut bytes = std::fs::read(&key).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&key, bytes).unwrap();
    let altered = command("restore", &backup, &config);
    assert_eq!((altered.code, altered.stderr.contains("instance.key")), (1, true), "{}", altered.stderr);
    assert!(!data.exists(), "something was written before all was checked");
    std::fs::remove_file(backup.join("backup.json")).unwrap();
    assert_eq!(command("restore", &backup, &config).code, 5, "a backup that was interrupted");
}

#[test]
fn with_postgresql_a_backup_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("connex.toml");
    std::fs::write(&config, "[database]\nurl = \"postgres://u:secret-word@127.0.0.1:1/c\"\n").unwrap();
    let done = command("backup", &folder.path().join("backup"), &config);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("pg_dump") && !done.stderr.contains("secret-word"), "{}", done.stderr);
}
