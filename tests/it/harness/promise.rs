//! What must hold of mail that was answered 250, whatever happened meanwhile.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Gateway, Installation, READING, Sink, Taken, text, wait_within};

/// All of it is stored and read, and none of it given up; the digests of all stored messages, copies of retries among them.
pub fn expect_stored(gateway: &Gateway, taken: &Taken) -> Vec<String> {
    let stored = wait_within(READING, "all stored mail in the index", || {
        let stored = gateway.messages();
        stored.iter().all(|message| text(message, "/state") != "spooled").then_some(stored)
    });
    let digests: HashSet<&str> = stored.iter().map(|message| text(message, "/sha256")).collect();
    let missing: Vec<_> = taken.iter().filter(|(_, digest)| !digests.contains(digest.as_str())).collect();
    assert!(missing.is_empty(), "answered 250 and gone: {missing:?}");
    assert!(stored.iter().all(|message| text(message, "/state") != "poisoned"), "{stored:?}");
    stored.iter().map(|message| text(message, "/sha256").to_owned()).collect()
}

/// Every message has one event, and every event reached the receiver, under one id however often it was delivered.
pub fn each_is_one_event(sink: &Sink, secret: &str, taken: &Taken) {
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
    assert!(twice.is_empty(), "more than one event for a message: {twice:?}");
}

/// The log of events reads the same from every node: cursors from 1 without a gap, no message twice, and none missing of
/// what was answered 250. How many events of mail there are.
pub fn expect_one_log(installation: &Installation, nodes: &[Gateway], taken: &Taken) -> usize {
    let [first, others @ ..] = nodes else { panic!("no node") };
    let events = installation.events(first);
    for (place, event) in (1_u64..).zip(&events) {
        assert_eq!(event["cursor"].as_u64(), Some(place), "a gap in the log of events");
    }
    let mail = events.iter().filter(|item| text(item, "/event/type").starts_with("message."));
    let sources: Vec<&str> = mail.map(|item| text(item, "/event/source/eventId")).collect();
    let sources: Vec<&str> = sources.iter().map(|source| source.trim_matches(['<', '>'])).collect();
    let distinct: BTreeSet<&str> = sources.iter().copied().collect();
    assert_eq!(distinct.len(), sources.len(), "an event stands twice in the log");
    let missing: Vec<&String> = taken.keys().filter(|id| !distinct.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "answered 250 and not in the log of events: {missing:?}");
    for node in others {
        assert_eq!(installation.events(node), events, "the log reads otherwise from another node");
    }
    sources.len()
}
