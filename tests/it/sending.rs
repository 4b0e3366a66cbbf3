//! Mail that really leaves: proposed by the API, let out by the gate, signed, and taken by another server; what is held,
//! put off, refused or lost on the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::domains::prove;
use crate::harness::{
    Answer, Do, Engine, Gateway, Receiver, http, list, on_both_engines, text, wait_for, wait_within, zone,
};

on_both_engines!(
    what_is_released_is_signed_taken_once_and_believed_by_the_next_gateway,
    a_pause_holds_what_was_released_and_its_end_lets_it_go,
    the_audit_log_tells_it_all_and_shows_what_was_changed,
    what_the_gate_said_at_the_moment_of_sending_is_on_record_before_the_message_is_given_away,
    a_sender_that_is_killed_again_and_again_sends_nothing_twice_unreported_and_loses_nothing,
    a_refusal_a_deferral_and_a_lost_answer_are_told_for_each_recipient,
);

/// An `Idempotency-Key` that was not used before.
pub fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("call {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A gateway that sends to `receiver`, and a mailbox of a customer's domain that may answer without a person.
pub struct Sender {
    pub gateway: Gateway,
    pub mailbox: String,
    pub key: String,
}

/// Drafts are looked at more often than an app may.
pub const UNLIMITED: &str = "[http.rate_limits]\ndefault_per_minute = 0\n";

pub const TEXT: &str = "Good morning Ann, thank you for this. See you soon. Best regards";

impl Sender {
    pub fn new(engine: Engine, more: &str) -> Self {
        let gateway = Gateway::serving(engine, more);
        let domain = prove(&gateway);
        let made = gateway.json(&["signing", "add", &domain, "--tenant", "acme", "--selector", "s1"]);
        zone()
            .txt(&format!("s1._domainkey.{domain}"), text(&made, "/record"))
            .txt(&domain, "v=spf1 ip4:127.0.0.1 -all")
            .txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject");
        let checked = gateway.json(&["signing", "check", &domain]);
        assert!(checked[0]["seenAt"].is_string(), "{checked}");
        let mailbox = format!("sales@{domain}");
        gateway.json(&["mailbox", "add", &mailbox, "--tenant", "acme", "--reply-policy", "policy_auto"]);
        let file = gateway.dir().join("policy.json");
        let policy =
            json!({ "participantsOnly": false, "automaticPerCorrespondent": 1000, "similarToNewRecipients": 1000 });
        std::fs::write(&file, policy.to_string()).unwrap();
        gateway.json(&["policy", "set", file.to_str().unwrap(), "--tenant", "acme"]);
        let key = gateway.json(&[
            "key",
            "add",
            "--tenant",
            "acme",
            "--name",
            "drafts",
            "--scope",
            "drafts:write",
            "--scope",
            "drafts:read",
        ]);
        Self { mailbox, key: text(&key, "/key").to_owned(), gateway }
    }

    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {}", self.key);
        let key = fresh_key();
        let mut headers = vec![("content-type", "application/json"), ("authorization", authorization.as_str())];
        if path.ends_with("/release-request") {
            headers.push(("idempotency-key", &key));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(method, &format!("{}{path}", self.gateway.api()), &headers, body.as_bytes())
    }

    /// Proposes a message and has it released; the draft's id.
    pub fn release(&self, to: &[&str]) -> String {
        let body = json!({ "mailbox": self.mailbox, "name": "Sales", "to": to, "subject": "Tuesday", "text": TEXT });
        let made = self.call("POST", "/api/v1/drafts", &body);
        assert_eq!(made.status, 200, "{made:?}");
        let id = text(&made.json(), "/id").to_owned();
        let released = self.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &Value::Null);
        assert_eq!(released.status, 200, "{released:?}");
        assert_eq!(text(&released.json(), "/state"), "released", "{released:?}");
        id
    }

    pub fn draft(&self, id: &str) -> Value {
        let answer = self.call("GET", &format!("/api/v1/drafts/{id}"), &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The draft, once it is in this state.
    pub fn until(&self, id: &str, state: &str) -> Value {
        wait_for(&format!("the draft to be {state}"), || {
            let draft = self.draft(id);
            (text(&draft, "/state") == state).then_some(draft)
        })
    }

    /// State of the transmission to each recipient.
    pub fn states(draft: &Value) -> Vec<String> {
        list(draft, "/transmissions").iter().map(|one| text(one, "/state").to_owned()).collect()
    }
}

/// Sends directly to recipients' servers, which are on loopback.
pub fn direct(receiver: &Receiver) -> String {
    format!("[sending]\nport = {}\nallow = [\"127.0.0.0/8\"]\nmta_sts = false\n", receiver.address().port())
}

/// A domain whose mail goes to the receiver.
pub fn domain_of(receiver: &Receiver) -> String {
    let domain = crate::domains::fresh_domain();
    let host = format!("mx.{domain}");
    zone().mx(&domain, &host).address_of(&host, receiver.address().ip());
    domain
}

fn what_is_released_is_signed_taken_once_and_believed_by_the_next_gateway(engine: Engine) {
    let next = Gateway::serving(Engine::Sqlite, "[authentication]\nrelays = []\ntimeout = \"5s\"\n");
    let relay = format!("[sending]\nrelay = \"{}\"\nrelay_tls = \"never\"\n", next.smtp());
    let sender = Sender::new(engine, &relay);
    let to = next.field("/mailbox");
    let draft = sender.release(&[to]);
    let sent = sender.until(&draft, "sent");
    assert!(text(&list(&sent, "/transmissions")[0], "/reply").starts_with("250 2.0.0"), "{sent}");
    let message = wait_for("the message to be read", || {
        next.messages().into_iter().find(|message| text(message, "/state") == "emitted")
    });
    let explained = next.explained(text(&message, "/id"));
    let results = text(&explained, "/message/trace/authenticationResults");
    for passed in ["dkim=pass", "spf=pass", "dmarc=pass"] {
        assert!(results.contains(passed), "{passed}: {results}");
    }
    let event = &list(&explained, "/events")[0];
    assert_eq!(text(event, "/event/author/address"), sender.mailbox);
    assert_eq!(text(event, "/event/text").trim_end(), TEXT);
    assert_eq!(next.messages().len(), 1, "once");
}

fn a_pause_holds_what_was_released_and_its_end_lets_it_go(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &direct(&receiver));
    let to = format!("ann@{}", domain_of(&receiver));
    let soon = json!({ "sendAt": "2099-01-01T00:00:00Z" });
    // A time far away is refused; one that is due is not waited for.
    let body = json!({ "mailbox": sender.mailbox, "to": [to], "subject": "Tuesday", "text": TEXT });
    let made = sender.call("POST", "/api/v1/drafts", &body).json();
    let path = format!("/api/v1/drafts/{}/release-request", text(&made, "/id"));
    assert_eq!(sender.call("POST", &path, &soon).status, 422);
    sender.gateway.json(&["sending", "pause", "--tenant", "acme"]);
    let held = sender.call("POST", &path, &Value::Null);
    assert!(held.status == 202 && held.body.windows(14).any(|at| at == b"sending_paused"), "{held:?}");
    assert_eq!((text(&held.json(), "/state"), held.json()["approvalId"].is_null()), ("draft", true), "{held:?}");
    sender.gateway.json(&["sending", "resume", "--tenant", "acme"]);
    // It goes on by itself: nobody asks again.
    sender.until(text(&made, "/id"), "sent");
    assert_eq!(receiver.taken().len(), 1);
    // What is released already waits for the switch, whichever it is.
    for switch in [vec!["--tenant", "acme", "--mailbox", &sender.mailbox], vec![]] {
        let pause: Vec<&str> = [&["sending", "pause"], switch.as_slice()].concat();
        let resume: Vec<&str> = [&["sending", "resume"], switch.as_slice()].concat();
        let at = in_seconds(2);
        let made = sender.call("POST", "/api/v1/drafts", &body).json();
        let id = text(&made, "/id").to_owned();
        let released = sender.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &json!({ "sendAt": at }));
        assert_eq!(text(&released.json(), "/state"), "released", "{released:?}");
        let before = receiver.taken().len();
        sender.gateway.json(&pause);
        wait_for("its time to come", || (now() > at).then_some(()));
        wait_for("the gate to hold it", || {
            let draft = sender.draft(&id);
            (Sender::states(&draft) == ["pending"] && text(&draft, "/state") == "released").then_some(())
        });
        assert_eq!(receiver.taken().len(), before, "sent while it was paused");
        sender.gateway.json(&resume);
        sender.until(&id, "sent");
        assert_eq!(receiver.taken().len(), before + 1);
    }
}

/// RFC 3339 in UTC; sorts as the times do.
fn now() -> String {
    connex::clock::Clock::System.now().to_string()
}

fn in_seconds(seconds: u64) -> String {
    connex::clock::Clock::System.now().plus(std::time::Duration::from_secs(seconds)).to_string()
}

fn a_refusal_a_deferral_and_a_lost_answer_are_told_for_each_recipient(engine: Engine) {
    let receiver = Receiver::start(|recipients| match recipients[0].split('@').next().unwrap() {
        "no" => Do::Answer("550 5.7.1 not here".into()),
        "later" => Do::Answer("451 4.7.1 greylisted".into()),
        "lost" => Do::Drop,
        "cut" => Do::HangUp,
        _ => Do::Take,
    });
    let sender = Sender::new(engine, &direct(&receiver));
    let to: Vec<String> =
        ["yes", "no", "later", "lost", "cut"].map(|local| format!("{local}@{}", domain_of(&receiver))).into();
    let draft = sender.release(&to.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = ["accepted", "rejected", "deferred", "unknown", "deferred"];
    let told = wait_for("each to be tried", || {
        let draft = sender.draft(&draft);
        (Sender::states(&draft) == expected).then_some(draft)
    });
    assert_eq!(text(&told, "/state"), "sending", "two are tried again");
    assert!(text(&list(&told, "/transmissions")[1], "/reply").contains("550 5.7.1 not here"), "{told}");
    assert!(text(&list(&told, "/transmissions")[2], "/reply").contains("greylisted"), "{told}");
    assert!(text(&list(&told, "/transmissions")[2], "/nextAttemptAt") > now().as_str(), "{told}");
    let taken: Vec<String> = receiver.taken().into_iter().flat_map(|taken| taken.recipients).collect();
    assert_eq!(taken, [to[0].clone(), to[3].clone()], "what was lost was sent once, and is not again");
    assert!(
        receiver
            .taken()
            .iter()
            .all(|taken| taken.reverse_path == sender.mailbox && taken.bytes.starts_with(b"DKIM-Signature: "))
    );
    let nowhere = sender.release(&["ann@nowhere-at-all.example"]);
    let failed = sender.until(&nowhere, "failed");
    assert!(text(&list(&failed, "/transmissions")[0], "/reply").contains("does not exist"), "{failed}");
}

fn the_audit_log_tells_it_all_and_shows_what_was_changed(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &direct(&receiver));
    let draft = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    sender.until(&draft, "sent");
    let gateway = &sender.gateway;
    let rows = gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    let actions: Vec<&str> = list(&rows, "").iter().map(|row| text(row, "/action")).collect();
    let expected = ["draft.created", "draft.released", "draft.sending", "transmission.tried", "draft.settled"];
    assert_eq!(actions, expected);
    let explained = gateway.explained(&draft);
    assert_eq!(list(&explained, "/draft/steps").len(), expected.len());
    let head = gateway.dir().join("acme.head");
    std::fs::write(&head, gateway.connex(&["audit", "head", "--tenant", "acme"]).text()).unwrap();
    let verify = || gateway.connex(&["audit", "verify", "--tenant", "acme", "--head", head.to_str().unwrap()]);
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    sender.release(&["ann@nowhere-at-all.example"]);
    assert_eq!(verify().code, 0, "a log that has grown: {}", verify().stderr);
    gateway.alter("UPDATE audit_log SET actor = 'key:other' WHERE action = 'draft.released'");
    let found = verify();
    assert!(found.code == 1 && found.stderr.contains("was changed"), "{}", found.stderr);
}

fn what_the_gate_said_at_the_moment_of_sending_is_on_record_before_the_message_is_given_away(engine: Engine) {
    // The server asks for the data of a message when it is told to: until then nobody has read a word of it.
    let (came, coming) = std::sync::mpsc::channel();
    let (go_on, told) = std::sync::mpsc::channel::<Do>();
    let told = std::sync::Mutex::new(told);
    let receiver = Receiver::start(move |_| {
        came.send(()).unwrap();
        told.lock().unwrap().recv().unwrap()
    });
    let sender = Sender::new(engine, &direct(&receiver));
    let draft = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    let hash = text(&sender.draft(&draft), "/contentHash").to_owned();
    let rows = || sender.gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    coming.recv_timeout(crate::harness::PATIENCE).unwrap();
    let log = rows();
    let last = list(&log, "").last().unwrap().clone();
    let verdict = json!({ "contentHash": hash, "ruling": "release", "reasons": [], "policy": "v1" });
    assert_eq!((text(&last, "/action"), &last["detail"]["verdict"]), ("draft.sending", &verdict), "{log}");
    assert_eq!(last["detail"]["positions"], json!([0]));
    assert!(receiver.taken().is_empty());
    go_on.send(Do::Take).unwrap();
    sender.until(&draft, "sent");
    let actions: Vec<String> = list(&rows(), "").iter().map(|row| text(row, "/action").to_owned()).collect();
    let expected = ["draft.created", "draft.released", "draft.sending", "transmission.tried", "draft.settled"];
    assert_eq!(actions, expected);
}

fn a_sender_that_is_killed_again_and_again_sends_nothing_twice_unreported_and_loses_nothing(engine: Engine) {
    const MESSAGES: usize = 64;
    let receiver = Receiver::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(15));
        Do::Take
    });
    let mut sender = Sender::new(engine, &format!("{}{UNLIMITED}", direct(&receiver)));
    let domain = domain_of(&receiver);
    let recipients: Vec<String> = (0..MESSAGES).map(|number| format!("to{number}@{domain}")).collect();
    sender.gateway.json(&["sending", "pause"]);
    let at = in_seconds(1);
    let drafts: Vec<String> = recipients
        .iter()
        .map(|to| {
            let body = json!({ "mailbox": sender.mailbox, "to": [to], "subject": "Tuesday", "text": TEXT });
            text(&sender.call("POST", "/api/v1/drafts", &body).json(), "/id").to_owned()
        })
        .collect();
    sender.gateway.json(&["sending", "resume"]);
    for draft in &drafts {
        let path = format!("/api/v1/drafts/{draft}/release-request");
        let released = sender.call("POST", &path, &json!({ "sendAt": at }));
        assert_eq!(text(&released.json(), "/state"), "released", "{released:?}");
    }
    // A node over a shared database cannot know that it was the only one: what it held is moved on when the lease is over.
    let patience = std::time::Duration::from_secs(180);
    let mut random = crate::harness::random(crate::harness::seed());
    for _ in 0..5 {
        let before = receiver.taken().len();
        // Each time after some more were taken, at any moment of a transaction.
        wait_within(patience, "one more to be taken", || {
            (receiver.taken().len() > before || receiver.taken().len() >= MESSAGES - 1).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_micros(random.below(20_000) as u64));
        sender.gateway.kill();
        sender.gateway = sender.gateway.restarted();
    }
    let settled: Vec<Value> = drafts
        .iter()
        .map(|draft| {
            wait_within(patience, "the draft to be settled", || {
                let draft = sender.draft(draft);
                ["sent", "unknown"].contains(&text(&draft, "/state")).then_some(draft)
            })
        })
        .collect();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for taken in receiver.taken() {
        for recipient in taken.recipients {
            *times.entry(recipient).or_default() += 1;
        }
    }
    let unknown = settled.iter().filter(|draft| text(draft, "/state") == "unknown").count();
    eprintln!("{MESSAGES} messages, {unknown} unknown");
    for (to, draft) in recipients.iter().zip(&settled) {
        let times = times.get(to).copied().unwrap_or(0);
        match text(draft, "/state") {
            "sent" => assert_eq!(times, 1, "{to}: {draft}"),
            // It may have been taken, or not: that is what is reported, and nothing is sent again.
            _ => assert!(times <= 1, "{to}: {draft}"),
        }
    }
    let verified = sender.gateway.connex(&["audit", "verify", "--tenant", "acme"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}
