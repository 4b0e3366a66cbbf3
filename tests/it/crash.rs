//! The first promise, with the process ended at random: mail that was answered 250 is never lost, and is one event.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Gateway, Sink, Wire, configuration, connex, http, message, set_up, sha256, text, wait_within};

const ROUNDS: u32 = 20;
const SESSIONS: usize = 8;
/// A debug build reads large messages slowly, the more so on a busy machine.
const READING: Duration = Duration::from_secs(120);
const MAILBOX: &str = "deals@gateway.example";

/// What the clients share.
#[derive(Default)]
struct Sending {
    port: AtomicU16,
    stop: AtomicBool,
    /// How often a message was answered 250.
    answered: AtomicUsize,
    /// Message-ID and digest of what was answered 250.
    taken: Mutex<BTreeMap<String, String>>,
    /// Replies that a healthy gateway never gives.
    refusals: Mutex<Vec<String>>,
}

#[test]
fn twenty_kills_lose_nothing_that_was_answered_250_and_make_no_event_twice() {
    let seed = std::env::var("CONNEX_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9);
    eprintln!("CONNEX_TEST_SEED={seed}");
    let mut random = Random(seed | 1);
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (folder.path().join("connex.toml"), folder.path().join("data"));
    std::fs::write(&config, configuration(&data, "[http.rate_limits]\ndefault_per_minute = 0\n")).unwrap();
    let sink = Sink::start();
    let installed = set_up(&config);
    let place = ["--json", "--config", config.to_str().unwrap()];
    let endpoint = ["webhook", "add", &sink.url(), "--tenant", "acme", "--app", "crm"];
    let endpoint = connex(&[&endpoint[..], &place].concat()).json();

    let sending = Arc::new(Sending::default());
    let clients: Vec<_> = (0..SESSIONS).map(|session| client(session, seed, Arc::clone(&sending))).collect();
    for round in 0..ROUNDS {
        let mut gateway = Gateway::serve(&config, &data);
        sending.port.store(gateway.smtp().port(), Ordering::SeqCst);
        let wanted = sending.answered.load(Ordering::SeqCst) + random.below(24);
        wait_within(Duration::from_secs(20), &format!("mail in round {round}"), || {
            (sending.answered.load(Ordering::SeqCst) >= wanted).then_some(())
        });
        // Not always just after a reply: the moment itself is what is tried out.
        std::thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        gateway.kill();
    }
    let gateway = Gateway::serve(&config, &data);
    sending.port.store(gateway.smtp().port(), Ordering::SeqCst);
    sending.stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let taken = sending.taken.lock().unwrap().clone();
    eprintln!("{} messages were answered 250 in {} replies", taken.len(), sending.answered.load(Ordering::SeqCst));
    assert!(taken.len() > ROUNDS as usize, "only {} messages were taken", taken.len());
    assert_eq!(*sending.refusals.lock().unwrap(), Vec::<String>::new());

    // The cheap question first: listing all messages again and again would take the time that reading them needs.
    let events = || figures(&gateway, text(&installed, "/apiKey"))["volumes"]["events"].as_u64().unwrap();
    wait_within(READING, "an event for each message", || (events() >= taken.len() as u64).then_some(()));
    let stored = wait_within(READING, "all stored mail in the index", || {
        let stored = gateway.messages();
        stored.iter().all(|message| text(message, "/state") != "spooled").then_some(stored)
    });
    eprintln!("{} messages are stored, copies of retries among them", stored.len());
    let digests: HashSet<&str> = stored.iter().map(|message| text(message, "/sha256")).collect();
    let missing: Vec<_> = taken.iter().filter(|(_, digest)| !digests.contains(digest.as_str())).collect();
    assert!(missing.is_empty(), "seed {seed}: answered 250 and gone: {missing:?}");
    assert!(stored.iter().all(|message| text(message, "/state") != "poisoned"), "{stored:?}");
    each_is_one_event(&sink, text(&endpoint, "/secret"), &taken, seed);
    // The database holds as many events as messages, not only the receiver.
    assert_eq!(events(), taken.len() as u64, "seed {seed}");
}

/// Every message has one event, and every event reached the receiver, under one id however often it was delivered.
fn each_is_one_event(sink: &Sink, secret: &str, taken: &BTreeMap<String, String>, seed: u64) {
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    let mut seen = 0;
    wait_within(READING, "every event at the receiver", || {
        for hit in sink.hits_after(seen) {
            let source = text(&hit.json(), "/source/eventId").trim_matches(['<', '>']).to_owned();
            ids.entry(source).or_default().insert(hit.id().to_owned());
            seen += 1;
        }
        taken.keys().all(|message_id| ids.contains_key(message_id)).then_some(())
    });
    assert!(sink.hits().iter().all(|hit| hit.is_signed_with(secret)), "a wrong signature");
    let twice: Vec<_> = ids.iter().filter(|(_, events)| events.len() != 1).collect();
    assert!(twice.is_empty(), "seed {seed}: more than one event for a message: {twice:?}");
}

fn figures(gateway: &Gateway, key: &str) -> Value {
    let authorization = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    http("POST", &format!("{}/api/connex/integration-insights", gateway.api()), &headers, b"{}").json()
}

/// Sends until told to stop. What was not answered is sent again with the same Message-ID and content, as MTAs do.
fn client(session: usize, seed: u64, sending: Arc<Sending>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut random = Random((seed ^ (session as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d)) | 1);
        let mut wire = None;
        for number in 0.. {
            let id = format!("kill-{session}-{number}@lakeside.example");
            let bytes = some_message(&id, &mut random);
            while !is_answered(&mut wire, &bytes, &sending) {
                wire = None;
                std::thread::sleep(Duration::from_millis(5));
            }
            sending.taken.lock().unwrap().insert(id, sha256(&bytes));
            sending.answered.fetch_add(1, Ordering::SeqCst);
            if sending.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    })
}

/// One try; true when the answer was 250.
fn is_answered(wire: &mut Option<Wire>, bytes: &[u8], sending: &Sending) -> bool {
    if wire.is_none() {
        *wire = Wire::hello(([127, 0, 0, 1], sending.port.load(Ordering::SeqCst)).into()).ok();
    }
    let Some(connection) = wire else { return false };
    match connection.mail("ann@lakeside.example", MAILBOX, bytes) {
        Ok((250, _)) => true,
        // 421: the limit of messages on one connection.
        Ok((421, _)) | Err(_) => false,
        Ok((_, reply)) => {
            sending.refusals.lock().unwrap().push(reply);
            false
        }
    }
}

/// Mostly small, sometimes large: what is above 1 MiB goes to the spool in pieces, before it is complete.
fn some_message(id: &str, random: &mut Random) -> Vec<u8> {
    let lines = match random.below(100) {
        0 => 15_000,
        1..6 => 2_000,
        _ => random.below(100),
    };
    let body: String =
        (0..lines).map(|line| format!("{line}: .What is your price for 40 seats, please? {id}\r\n")).collect();
    message(id, MAILBOX, &format!("Quote {}", random.below(1_000_000)), &body)
}

/// Xorshift: the same seed makes the same messages.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}
