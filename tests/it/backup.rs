//! A backup that was made under load, put back elsewhere: all that was answered 250 before it began is there, once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{
    Database, Done, Engine, Gateway, Load, READING, Wire, configuration, connex, expect_stored, fresh_id, http, list,
    on_both_engines, proof_of_funds, seed, text, wait_within,
};

on_both_engines!(
    a_backup_made_under_load_has_all_that_was_answered_250_before_it_once_and_works,
    nothing_is_put_over_an_installation_and_nothing_altered_is_put_back,
);

const MAILBOX: &str = "deals@gateway.example";
const UNLIMITED: &str = "[http.rate_limits]\ndefault_per_minute = 0\n";

fn command(name: &str, folder: &Path, config: &Path) -> Done {
    connex(&[name, folder.to_str().unwrap(), "--json", "--config", config.to_str().unwrap()])
}

/// A place where a backup is put back.
struct Elsewhere {
    config: PathBuf,
    data: PathBuf,
    _database: Option<Database>,
}

impl Elsewhere {
    fn new(folder: &Path, engine: Engine) -> Self {
        std::fs::create_dir(folder).unwrap();
        let (config, data, database) = (folder.join("connex.toml"), folder.join("data"), engine.database());
        let text = configuration(&data, database.as_ref(), UNLIMITED);
        // Without the secret that the first one was configured with: the backup has the key.
        let own: String =
            text.lines().filter(|line| !line.contains("instance_secret")).flat_map(|line| [line, "\n"]).collect();
        std::fs::write(&config, own).unwrap();
        Self { config, data, _database: database }
    }
}

/// Sources of all events of mail, in order.
fn sources(gateway: &Gateway, key: &str) -> Vec<String> {
    let authorization = format!("Bearer {key}");
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let url = format!("{}/api/v1/events?after={after}&limit=200", gateway.api());
        let page = http("GET", &url, &[("authorization", &authorization)], b"").json();
        let items = list(&page, "/items");
        let Some(last) = items.last() else { return found };
        after = last["cursor"].as_i64().unwrap();
        let mail = items.iter().filter(|item| text(item, "/event/type").starts_with("message."));
        found.extend(mail.map(|item| text(item, "/event/source/eventId").trim_matches(['<', '>']).to_owned()));
    }
}

fn a_backup_made_under_load_has_all_that_was_answered_250_before_it_once_and_works(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::serving(engine, UNLIMITED);
    // What an authority would have given.
    let acme = ["acme/account.json", "acme/certificate.pem"];
    std::fs::create_dir(gateway.dir().join("acme")).unwrap();
    acme.iter().for_each(|file| std::fs::write(gateway.dir().join(file), file).unwrap());
    let load = Load::start(4, MAILBOX, seed());
    load.go_to(&[gateway.smtp()]);
    load.more(30, READING, "mail before the backup");
    let before = load.taken();
    let backup = folder.path().join("backup");
    let done = command("backup", &backup, &gateway.config()).json();
    assert_eq!(done["has_key"], Value::Bool(true), "{done}");
    load.more(10, READING, "mail after the backup");
    load.finish();

    let place = Elsewhere::new(&folder.path().join("second"), engine);
    command("restore", &backup, &place.config).json();
    for file in ["instance.key", acme[0], acme[1]] {
        for folder in [&backup, &place.data] {
            let mode = std::fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{file} in {}", folder.display());
        }
    }
    let restored = Gateway::serve(&place.config, &place.data);
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

fn nothing_is_put_over_an_installation_and_nothing_altered_is_put_back(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::serving(engine, "");
    let backup = folder.path().join("backup");
    command("backup", &backup, &gateway.config()).json();
    let again = command("backup", &backup, &gateway.config());
    assert_eq!((again.code, again.stderr.contains("not empty")), (1, true), "{}", again.stderr);
    let over = command("restore", &backup, &gateway.config());
    assert_eq!((over.code, over.stderr.contains("not empty")), (1, true), "{}", over.stderr);

    let place = Elsewhere::new(&folder.path().join("second"), engine);
    let key = backup.join("instance.key");
    let whole = std::fs::read(&key).unwrap();
    let mut bytes = whole.clone();
    bytes[0] ^= 1;
    std::fs::write(&key, bytes).unwrap();
    let altered = command("restore", &backup, &place.config);
    assert_eq!((altered.code, altered.stderr.contains("instance.key")), (1, true), "{}", altered.stderr);
    assert!(!place.data.exists(), "something was written before all was checked");
    std::fs::write(&key, whole).unwrap();
    let other = if engine == Engine::Sqlite { Engine::Postgres } else { Engine::Sqlite };
    let other = Elsewhere::new(&folder.path().join("other"), other);
    let refused = command("restore", &backup, &other.config);
    assert_eq!((refused.code, refused.stderr.contains("another database")), (1, true), "{}", refused.stderr);
    std::fs::remove_file(backup.join("backup.json")).unwrap();
    assert_eq!(command("restore", &backup, &place.config).code, 5, "a backup that was interrupted");
}

#[test]
fn another_instance_key_than_that_of_the_backup_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::serving(Engine::Postgres, "");
    let backup = folder.path().join("backup");
    command("backup", &backup, &gateway.config()).json();
    let place = Elsewhere::new(&folder.path().join("second"), Engine::Postgres);
    let mut restore = std::process::Command::new(env!("CARGO_BIN_EXE_connex"));
    restore.arg("restore").arg(&backup).arg("--config").arg(&place.config);
    restore.env("CONNEX__KEYS__INSTANCE_SECRET", "another secret of at least thirty-two octets");
    let output = crate::harness::run(&mut restore, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("is not the key of the backup"), "{said}");
    assert!(!place.data.exists());
}

#[test]
fn without_the_programs_of_postgresql_a_backup_says_which_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::serving(Engine::Postgres, "");
    let backup = folder.path().join("backup");
    let mut command = gateway.command(&["backup", backup.to_str().unwrap()]);
    command.env("PATH", folder.path());
    let output = crate::harness::run(&mut command, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(5) && said.contains("pg_dump") && said.contains("install"), "{said}");
    assert!(!backup.exists(), "nothing was begun");
}

#[test]
fn a_server_that_does_not_answer_is_no_backup_and_its_password_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("connex.toml");
    std::fs::write(&config, "[database]\nurl = \"postgres://u:secret-word@127.0.0.1:1/c\"\n").unwrap();
    let done = command("backup", &folder.path().join("backup"), &config);
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(!done.stderr.contains("secret-word"), "{}", done.stderr);
}
