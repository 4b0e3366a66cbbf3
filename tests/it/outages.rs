//! A database server that stops, hangs or crashes under the nodes: mail is put off, never refused and never lost, and all
//! goes on by itself when it is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Cluster, Gateway, Installation, Load, READING, Sink, Wire, each_is_one_event, expect_one_log, expect_stored,
    fresh_id, http, proof_of_funds, random, seed, stuffed, text, wait_for, wait_within,
};

const FROM: &str = "ann@lakeside.example";
const UNLIMITED: &str = "[http.rate_limits]\ndefault_per_minute = 0\n[smtp.limits]\nconnects_per_minute = 1000000\n";
/// How long a peer may be kept waiting for its temporary reply. Mail servers wait minutes; people do not.
const BOUND: Duration = Duration::from_secs(30);

fn readiness(node: &Gateway) -> u16 {
    http("GET", &format!("{}/readyz", node.admin()), &[], b"").status
}

/// A transaction whose data has begun; the rest of the message.
fn half_sent(node: &Gateway, to: &str) -> (Wire, Vec<u8>) {
    let mut wire = Wire::hello(node.smtp()).unwrap();
    assert_eq!(wire.command(&format!("MAIL FROM:<{FROM}>")).unwrap().0, 250);
    assert_eq!(wire.command(&format!("RCPT TO:<{to}>")).unwrap().0, 250);
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    let mut bytes = stuffed(&proof_of_funds(&fresh_id("half"), to));
    let rest = bytes.split_off(100);
    wire.send(&bytes).unwrap();
    (wire, rest)
}

/// The answer is that of a fault of ours which goes by, and it came in time.
fn expect_put_off(what: &str, began: Instant, (code, reply): &(u16, String)) {
    eprintln!("{what}: {} after {:?}", reply.trim_end(), began.elapsed());
    assert_eq!(*code, 451, "{what}: {reply}");
    assert!(began.elapsed() < BOUND, "{what} took {:?}", began.elapsed());
}

/// Mail under way and new mail are put off, the API says so, and the node is not ready.
fn expect_out_of_service(node: &Gateway, installation: &Installation) {
    let to = installation.mailbox();
    let mail = || {
        let began = Instant::now();
        let reply = Wire::hello(node.smtp()).unwrap().mail(FROM, to, &proof_of_funds(&fresh_id("outage"), to));
        expect_put_off("new mail", began, &reply.unwrap());
    };
    mail();
    let began = Instant::now();
    let answer = report(node, installation, &fresh_id("evt"));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(text(&answer.json(), "/code"), "temporarily_unavailable");
    assert!(began.elapsed() < BOUND, "the API took {:?}", began.elapsed());
    wait_for("the node to be not ready", || (readiness(node) == 503).then_some(()));
    // What the node keeps of recipients is old by now.
    mail();
    assert_eq!(http("GET", &format!("{}/healthz", node.admin()), &[], b"").status, 200, "no reason to end it");
}

fn report(node: &Gateway, installation: &Installation, id: &str) -> crate::harness::Answer {
    let authorization = format!("Bearer {}", installation.key());
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let event = json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": id, "eventType": "inbound_reply",
        "message": { "subject": "Hi", "body": "What is your price?" } });
    http("POST", &format!("{}/api/connex/integration-event", node.api()), &headers, event.to_string().as_bytes())
}

/// Two nodes under load, while the database goes and comes back.
fn outage(begin: impl Fn(&mut Cluster), end: impl Fn(&mut Cluster)) {
    let mut cluster = Cluster::start();
    let installation = Installation::over(cluster.create_database(), UNLIMITED);
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let nodes = installation.nodes(2);
    let load = Load::start(4, installation.mailbox(), seed());
    load.go_to(&[nodes[0].smtp(), nodes[1].smtp()]);
    load.more(60, READING, "mail before the outage");
    assert_eq!(report(&nodes[0], &installation, "before").status, 200);

    let (mut wire, rest) = half_sent(&nodes[0], installation.mailbox());
    begin(&mut cluster);
    let began = Instant::now();
    wire.send(&rest).unwrap();
    expect_put_off("mail under way", began, &wire.reply().unwrap());
    let answered = load.answered();
    for node in &nodes {
        expect_out_of_service(node, &installation);
    }
    assert_eq!(load.answered(), answered, "answered 250 without a database");
    end(&mut cluster);

    for node in &nodes {
        wait_within(READING, "the node to be ready again", || (readiness(node) == 200).then_some(()));
        wait_within(READING, "the API to answer again", || {
            (report(node, &installation, "after").status == 200).then_some(())
        });
    }
    load.more(40, READING, "mail after the outage");
    expect_all(&installation, &nodes, &sink, &secret, load);
}

/// Nothing that was answered 250 is missing or twice, and no reply said that mail will never be taken.
fn expect_all(installation: &Installation, nodes: &[Gateway], sink: &Sink, secret: &str, load: Load) {
    let (taken, refusals) = load.finish();
    let for_good: Vec<&String> = refusals.iter().filter(|reply| !reply.starts_with('4')).collect();
    assert!(for_good.is_empty(), "for trouble of our own: {for_good:?}");
    eprintln!("{} messages were answered 250, {} replies put mail off", taken.len(), refusals.len());
    each_is_one_event(sink, secret, &taken);
    expect_stored(&nodes[0], &taken);
    // Among the events may be mail of which the answer was lost with the database: then it came again, or was ours.
    expect_one_log(installation, nodes, &taken);
}

#[test]
fn while_the_database_is_stopped_mail_is_put_off_and_all_goes_on_afterwards() {
    outage(Cluster::stop_fast, Cluster::restart);
}

#[test]
fn while_the_database_hangs_mail_is_put_off_in_time_and_all_goes_on_afterwards() {
    outage(|cluster| cluster.pause(), |cluster| cluster.resume());
}

#[test]
fn crashes_of_the_database_lose_nothing_that_was_answered_250_and_make_no_event_twice() {
    let mut cluster = Cluster::start();
    let installation = Installation::over(cluster.create_database(), UNLIMITED);
    let sink = Sink::start();
    let secret = installation.webhook(&sink.url());
    let seed = seed();
    let mut random = random(seed);
    let nodes = installation.nodes(2);
    let load = Load::start(8, installation.mailbox(), seed);
    load.go_to(&[nodes[0].smtp(), nodes[1].smtp()]);
    for round in 0..6 {
        load.more(1 + random.below(40), READING, &format!("mail in round {round}"));
        std::thread::sleep(Duration::from_micros(random.below(15_000) as u64));
        cluster.kill();
        cluster.restart();
    }
    load.more(20, READING, "mail after the last crash");
    expect_all(&installation, &nodes, &sink, &secret, load);
}

/// A standby that is asked for and is not there: commits wait for it, until somebody cancels the wait. The server then says
/// that they succeeded, with a warning.
#[test]
fn mail_that_no_standby_confirmed_is_put_off_although_the_server_committed_it() {
    let cluster = Cluster::start();
    let installation = Installation::over(cluster.create_database(), UNLIMITED);
    let node = installation.node(1);
    let (id, to) = (fresh_id("standby"), installation.mailbox().to_owned());
    let bytes = proof_of_funds(&id, &to);
    let set = |sql: &str| {
        cluster.sql("postgres", sql);
        cluster.sql("postgres", "SELECT pg_reload_conf()");
    };
    set("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    wait_for("the setting", || (cluster.sql("postgres", "SHOW synchronous_standby_names") == "nobody").then_some(()));
    let door = node.smtp();
    let sending = {
        let (to, bytes) = (to.clone(), bytes.clone());
        std::thread::spawn(move || Wire::hello(door).unwrap().mail(FROM, &to, &bytes).unwrap())
    };
    const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let cancelled = wait_for("a commit that waits for the standby", || {
        let cancelled = cluster.sql("postgres", CANCEL);
        (cancelled != "0").then_some(cancelled)
    });
    eprintln!("{cancelled} waits were cancelled");
    while !sending.is_finished() {
        cluster.sql("postgres", CANCEL);
    }
    let (code, reply) = sending.join().unwrap();
    assert_eq!(code, 451, "{reply}");
    let log = cluster.log();
    assert!(log.contains("canceling wait for synchronous replication"), "it was no warned commit: {log}");

    set("ALTER SYSTEM RESET synchronous_standby_names");
    let again = || Wire::hello(door).unwrap().mail(FROM, &to, &bytes).unwrap();
    wait_for("the second try to be taken", || (again().0 == 250).then_some(()));
    // The first was committed all the same: both copies are there, and are one event.
    let states = wait_for("both copies to be read", || {
        let states: Vec<_> = node.messages().iter().map(|message| text(message, "/state").to_owned()).collect();
        (states.len() >= 2 && !states.iter().any(|state| state == "spooled")).then_some(states)
    });
    assert!(states.iter().any(|state| state == "duplicate"), "{states:?}");
    let is_own = |event: &&Value| text(event, "/event/type") == "message.classified" && event.to_string().contains(&id);
    let own = installation.events(&node).iter().filter(is_own).count();
    assert_eq!(own, 1);
}
