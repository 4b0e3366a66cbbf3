//! Claims about configuration.

use super::*;

fn env(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    Loader::new().text("test.toml", text).environment(env(variables)).load()
}

fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    match load(text, variables) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_compiled_in_defaults_are_sound() {
    let config = Loader::new().load().unwrap();
    assert_eq!(config.smtp.limits.command_line, 2048);
    assert_eq!(config.smtp.limits.message_size, 100 << 20);
    assert_eq!(config.smtp.limits.command_timeout, std::time::Duration::from_secs(300));
    assert_eq!(config.database.describe(), "connex-data/connex.db");
    assert!(config.layers.iter().count() > 50);
    assert!(!config.has_tls() && config.keys.instance_secret.is_none());
}

#[test]
fn the_compiled_in_defaults_are_whole_toml() {
    toml::de::DeTable::parse(DEFAULTS).unwrap();
    toml::de::DeTable::parse(DEV).unwrap();
}

#[test]
fn the_development_layer_is_sound_but_for_its_missing_certificate() {
    let faults = Loader::new().text("dev.toml", DEV).load().unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["smtp.listen_tls", "submission.listen", "submission.listen_tls"]);
}

#[test]
fn the_file_goes_over_the_defaults_and_the_environment_over_the_file() {
    let text = "[smtp.limits]\nrecipients = 200\nerrors_per_connection = 5\n";
    let config = load(text, &[("CONNEX__SMTP__LIMITS__RECIPIENTS", "300"), ("PATH", "/bin")]).unwrap();
    assert_eq!((config.smtp.limits.recipients, config.smtp.limits.errors_per_connection), (300, 5));
    let place = |key| config.layers.entry(key).unwrap().place.to_string();
    assert_eq!(place("smtp.limits.recipients"), "CONNEX__SMTP__LIMITS__RECIPIENTS");
    assert_eq!(place("smtp.limits.errors_per_connection"), "test.toml:3");
    assert_eq!(place("smtp.limits.connections"), "default");
}

#[test]
fn a_list_in_the_environment_is_comma_separated() {
    let config = load("", &[("CONNEX__DNS__SERVERS", "9.9.9.9, [2620:fe::fe]:5353"), ("CONNEX__HTTP__LISTEN", "")]);
    let config = config.unwrap();
    assert_eq!(config.dns.servers, ["9.9.9.9:53".parse().unwrap(), "[2620:fe::fe]:5353".parse().unwrap()]);
    assert!(config.http.listen.is_empty());
}

#[test]
fn every_fault_is_reported_at_once_with_place_value_and_what_is_allowed() {
    let text = r#"
[server]
hostnme = "mx"
[smtp]
listen = ["25"]
limits.message_size = "100MB"
[smtp.limits2]
[log]
format = "xml"
level = 5
[spool]
reserve_percent = 400
"#;
    let faults = faults(text, &[("CONNEX__SMTP__LIMITS__RECIPIENTS", "many"), ("CONNEX__LOGS__LEVEL", "info")]);
    let want = [
        "test.toml:3: server.hostnme: there is no such key; did you mean server.hostname?",
        "test.toml:7: smtp.limits2: there is no such key; did you mean smtp.limits?",
        "CONNEX__LOGS__LEVEL: there is no such key; did you mean CONNEX__LOG__LEVEL?",
        "CONNEX__SMTP__LIMITS__RECIPIENTS: smtp.limits.recipients = \"many\": must be a whole number",
        "test.toml:5: smtp.listen = [\"25\"]: \"25\" is not ADDRESS:PORT, such as 0.0.0.0:25 or [::]:25",
        "test.toml:6: smtp.limits.message_size = \"100MB\": must be a size in bytes, or with KiB, MiB or GiB, such as \
         512KiB or 100MiB, from 64KiB to 2GiB",
        "test.toml:12: spool.reserve_percent = 400: must be a number from 0 to 90",
        "test.toml:10: log.level = \"5\": must be error, warn, info, debug, trace or directives",
        "test.toml:9: log.format = \"xml\": must be text or json",
    ];
    assert_eq!(faults, want);
}

#[test]
fn a_value_of_another_kind_is_a_fault() {
    for (text, want) in [
        ("smtp = 5", "test.toml:1: smtp: is a section: write [smtp]"),
        ("[smtp]\nlisten = \"0.0.0.0:25\"", "test.toml:2: smtp.listen = \"0.0.0.0:25\": must be a list of texts"),
        ("[smtp]\nlisten = [25]", "test.toml:2: smtp.listen = [25]: must be a list of texts"),
        ("[server.hostname]\na = 1", "test.toml:1: server.hostname = [server.hostname]: must be a text in quotes"),
        ("[http]\nconcurrency = 1.5", "test.toml:2: http.concurrency = 1.5: must be a whole number"),
    ] {
        assert_eq!(faults(text, &[]), [want], "{text}");
    }
}

#[test]
fn a_line_that_is_no_toml_does_not_hide_other_faults() {
    let faults = faults("[server]\nhostname = \n[spool]\nreserve = \"much\"\n", &[]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("test.toml:2: "), "{faults:?}");
    assert!(faults[1].starts_with("test.toml:4: spool.reserve = \"much\": "), "{faults:?}");
}

#[test]
fn a_key_given_twice_is_a_fault() {
    let faults = faults("[spool]\nreserve = \"1GiB\"\nreserve = \"2GiB\"\n", &[]);
    assert!(faults.iter().any(|fault| fault.starts_with("test.toml:3: ")), "{faults:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let faults = Config::load(Some(Path::new("/nowhere/connex.toml")), env(&[])).unwrap_err().to_string();
    assert!(faults.starts_with("/nowhere/connex.toml: cannot be read: "), "{faults}");
}

#[test]
fn certificate_and_key_come_together_and_exist() {
    let found = faults("[tls]\ncert_file = \"/nowhere.pem\"\n[smtp]\nlisten_tls = [\"[::]:465\"]\n", &[]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("test.toml:2: tls.cert_file = \"/nowhere.pem\": cannot be opened"), "{found:?}");
    assert!(found[1].starts_with("default: tls.key_file = \"\": is empty"), "{found:?}");
    assert!(found[2].starts_with("test.toml:4: smtp.listen_tls"), "{found:?}");
}

#[test]
fn values_that_contradict_each_other_are_faults() {
    for (text, want) in [
        ("[webhooks]\nlease = \"10s\"", "must be longer than webhooks.timeout"),
        ("[smtp]\nplatform_domains = []", "must name at least one domain"),
        ("[http]\nbody_timeout = \"40s\"", "must not be longer than http.request_timeout"),
        ("[http]\nlisten = [\"127.0.0.1:2525\"]\n[smtp]\nlisten = [\"127.0.0.1:2525\"]", "also in smtp.listen"),
    ] {
        let found = faults(text, &[]);
        assert!(found.len() == 1 && found[0].ends_with(want), "{found:?}");
    }
}

#[test]
fn postgresql_is_chosen_by_its_url_whose_password_is_never_shown() {
    let url = "postgres://connex:hunter2@db.example:5433/mail";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let in_file = format!("[database]\nurl_file = \"{}\"\n", file.path().display());
    let in_text = format!("[database]\nurl = \"{url}\"\nconnections = 30\n");
    for (text, env) in [(in_text.as_str(), None), (&in_file, None), ("", Some(("CONNEX__DATABASE__URL", url)))] {
        let config = load(text, env.as_slice()).unwrap();
        let Database::Postgres { url: read, .. } = &config.database else { panic!("{:?}", config.database) };
        assert_eq!(read.expose(), url);
        assert_eq!(config.database.describe(), "postgres://db.example:5433/mail");
        let shown = format!("{config:?}{}{}", show::to_toml(&config.layers), show::to_json(&config.layers));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for wrong in ["mysql://connex:hunter2@db/connex", "postgres:///connex:hunter2@", "postgres"] {
        let found = faults(&format!("[database]\nurl = \"{wrong}\"\n"), &[]);
        assert!(found.len() == 1 && found[0].contains("postgres://user:password@host"), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    let both = faults(&format!("{in_file}url = \"{url}\"\n"), &[]);
    assert!(both.iter().all(|fault| fault.contains("one of both")) && !both.is_empty(), "{both:?}");
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let secret = "0123456789abcdef0123456789abcdef";
    let config = load("", &[("CONNEX__KEYS__INSTANCE_SECRET", secret)]).unwrap();
    assert_eq!(config.keys.instance_secret.as_ref().unwrap().expose(), secret);
    let shown = format!("{config:?}{}{}", show::to_toml(&config.layers), show::to_json(&config.layers));
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("instance_secret = \"(hidden)\"  # CONNEX__KEYS__INSTANCE_SECRET"), "{shown}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("instance_secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let text = format!("[keys]\ninstance_secret_file = {:?}\n", file.display().to_string());
    chmod(&file, 0o644);
    assert!(faults(&text, &[])[0].ends_with("chmod 600"));
    chmod(&file, 0o600);
    assert_eq!(load(&text, &[]).unwrap().keys.instance_secret.unwrap().expose(), secret);
}

#[test]
fn a_secret_in_a_file_or_argument_is_a_fault_that_does_not_repeat_it() {
    let found = faults("[keys]\ninstance_secret = \"hunter2hunter2\"\n", &[]);
    let want = "test.toml:2: keys.instance_secret: a secret must not stand here: use CONNEX__KEYS__INSTANCE_SECRET or keys.instance_secret_file";
    assert_eq!(found, [want]);
    let found = Loader::new()
        .set("--instance_secret", "keys.instance_secret", "hunter2hunter2")
        .load()
        .unwrap_err()
        .to_string();
    assert!(found.starts_with("--instance_secret: keys.instance_secret: ") && !found.contains("hunter2"), "{found}");
    let found = faults("", &[("CONNEX__KEYS__INSTANCE_SECRET", "hunter2")]);
    assert!(found[0].contains("at least 32") && !found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn what_check_config_prints_can_be_read_again() {
    let text = "[dns]\nservers = [\"9.9.9.9\"]\n[log]\nlevel = \"info,connex::smtp=debug\"\n";
    let config = load(text, &[("CONNEX__SMTP__PLATFORM_DOMAINS", "in.example.org")]).unwrap();
    let printed = show::to_toml(&config.layers);
    assert!(printed.contains("servers = [\"9.9.9.9\"]  # test.toml:2\n"), "{printed}");
    let again = load(&printed, &[]).unwrap();
    let values = |config: &Config| config.layers.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&config));
}

#[test]
fn what_webhooks_may_reach_is_named_one_by_one() {
    let config = load("[webhooks]\nallow = [\"hooks.internal:8080\", \"10.1.0.0/16\"]\n", &[]).unwrap();
    assert!(config.webhooks.allow.permits("10.1.2.3".parse().unwrap()));
    assert!(!config.webhooks.allow.permits("10.2.2.3".parse().unwrap()));
    for wrong in ["*", "*.example.org", "https://example.org", "0.0.0.0/0", "::/0"] {
        let fault = faults(&format!("[webhooks]\nallow = [\"{wrong}\"]"), &[]).remove(0);
        assert!(fault.contains("webhooks.allow") && fault.contains("not all"), "{fault}");
    }
}

fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
