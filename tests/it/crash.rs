//! The first promise, with the process ended at random: mail that was answered 250 is never lost, and is one event.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Engine, Gateway, Load, READING, Sink, configuration, connex, each_is_one_event, expect_stored, http,
    on_both_engines, random, seed, set_up, text, wait_within,
};

on_both_engines!(twenty_kills_lose_nothing_that_was_answered_250_and_make_no_event_twice);

const ROUNDS: u32 = 20;
const SESSIONS: usize = 8;
const MAILBOX: &str = "deals@gateway.example";

fn twenty_kills_lose_nothing_that_was_answered_250_and_make_no_event_twice(engine: Engine) {
    let seed = seed();
    let mut random = random(seed);
    let (folder, database) = (tempfile::tempdir().unwrap(), engine.database());
    let (config, data) = (folder.path().join("connex.toml"), folder.path().join("data"));
    let more = "[http.rate_limits]\ndefault_per_minute = 0\n";
    std::fs::write(&config, configuration(&data, database.as_ref(), more)).unwrap();
    let sink = Sink::start();
    let installed = set_up(&config);
    let place = ["--json", "--config", config.to_str().unwrap()];
    let endpoint = ["webhook", "add", &sink.url(), "--tenant", "acme", "--app", "crm"];
    let endpoint = connex(&[&endpoint[..], &place].concat()).json();

    let load = Load::start(SESSIONS, MAILBOX, seed);
    for round in 0..ROUNDS {
        let mut gateway = Gateway::serve(&config, &data);
        load.go_to(&[gateway.smtp()]);
        load.more(random.below(24), Duration::from_secs(20), &format!("mail in round {round}"));
        // Not always just after a reply: the moment itself is what is tried out.
        std::thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        gateway.kill();
    }
    let gateway = Gateway::serve(&config, &data);
    load.go_to(&[gateway.smtp()]);
    let answered = load.answered();
    let (taken, refusals) = load.finish();
    eprintln!("{} messages were answered 250, {answered} of them before the last start", taken.len());
    assert!(taken.len() > ROUNDS as usize, "only {} messages were taken", taken.len());
    assert_eq!(refusals, Vec::<String>::new());

    // The cheap question first: listing all messages again and again would take the time that reading them needs.
    let events = || figures(&gateway, text(&installed, "/apiKey"))["volumes"]["events"].as_u64().unwrap();
    wait_within(READING, "an event for each message", || (events() >= taken.len() as u64).then_some(()));
    let stored = expect_stored(&gateway, &taken);
    eprintln!("{} messages are stored, copies of retries among them", stored.len());
    each_is_one_event(&sink, text(&endpoint, "/secret"), &taken);
    // The database holds as many events as messages, not only the receiver.
    assert_eq!(events(), taken.len() as u64);
}

/// What the API counts.
pub fn figures(gateway: &Gateway, key: &str) -> Value {
    let authorization = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    http("POST", &format!("{}/api/connex/integration-insights", gateway.api()), &headers, b"{}").json()
}
