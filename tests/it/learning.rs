//! Routes that learn, are observed, and are counted: by the real program, with signatures and a name server on loopback.

use connex::dns::zone::Trouble;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::harness::{Engine, Gateway, Sink, Wire, fresh_id, list, on_both_engines, text, wait_for, zone};

on_both_engines!(
    held_copies_with_confirmed_marks_are_decided_and_a_strangers_stay_held,
    an_observed_route_decides_and_reports_and_emits_nothing,
    copies_are_counted_by_day_and_a_route_that_falls_silent_raises_an_alarm,
);

/// The networks of a provider, who signs for it and its customers, and its name as a peer.
struct Provider {
    pkcs8: Vec<u8>,
    domain: String,
    peer: String,
}

impl Provider {
    fn new() -> Self {
        let name = fresh_id("p").split('@').next().unwrap_or_default().replace('.', "-");
        let domain = format!("{name}.example");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap().as_ref().to_vec();
        zone().txt(&format!("spf.{domain}"), "v=spf1 ip4:127.0.0.0/8 -all");
        let provider = Self { pkcs8, peer: format!("shared:spf.{domain}:{domain}"), domain };
        provider.publish(&provider.domain);
        provider
    }

    fn publish(&self, signer: &str) {
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        let public = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair.public_key().as_ref());
        zone().txt(&format!("s._domainkey.{signer}"), &format!("v=DKIM1; k=ed25519; p={public}"));
    }

    /// `mail` as the provider hands it over for the customer whose tenant id this is.
    fn stamped(&self, tenant: &str, mail: &str) -> String {
        let mail = format!("X-MS-Exchange-CrossTenant-Id: {tenant}\r\n{mail}");
        let key = Ed25519Key::from_pkcs8_der(&self.pkcs8).unwrap();
        let signer = DkimSigner::from_key(key).domain(&self.domain).selector("s");
        let signer = signer.headers(["From", "Subject", "X-MS-Exchange-CrossTenant-Id"]);
        format!("{}{mail}", signer.sign(mail.as_bytes()).unwrap().to_header())
    }
}

fn mail(id: &str, domain: &str) -> String {
    format!(
        "From: Buyer <buyer@lakeside.example>\r\nTo: sam@{domain}\r\nSubject: Proof of funds\r\n\
         Date: Tue, 10 Mar 2026 09:15:02 +0100\r\nMessage-ID: <{id}>\r\n\r\n\
         Before the seller will countersign we need proof of funds from your buyer.\r\n"
    )
}

fn send(gateway: &Gateway, to: &str, mail: &str) {
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("", to, mail.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
}

fn add(gateway: &Gateway, more: &[&str]) -> (String, String) {
    let add = ["route", "add", "--tenant", "acme", "--app", "crm", "--kind", "journal", "--format", "plain"];
    let route = gateway.json(&[&add[..], more].concat());
    (text(&route, "/id").to_owned(), text(&route, "/address").to_owned())
}

/// How many messages are in each state, once all are read.
fn states(gateway: &Gateway, count: usize) -> Vec<(String, String)> {
    wait_for("the messages in the index", || {
        let messages = gateway.messages();
        let read = messages.len() == count && messages.iter().all(|one| text(one, "/state") != "spooled");
        read.then(|| {
            let word = |one: &serde_json::Value| (text(one, "/state").to_owned(), text(one, "/reason").to_owned());
            messages.iter().map(word).collect()
        })
    })
}

fn held_copies_with_confirmed_marks_are_decided_and_a_strangers_stay_held(engine: Engine) {
    let gateway = Gateway::serving(engine, "[authentication]\nrelays = []\ntimeout = \"2s\"\n");
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm"]);
    let provider = Provider::new();
    let (route, address) = add(&gateway, &["--peer", &provider.peer, "--observe", "0s"]);
    let (own, stranger, lie) = (fresh_id("own"), fresh_id("stranger"), fresh_id("lie"));
    gateway.json(&["route", "learn", &route, "--hours", "1"]);
    // Doors and workers see it within a second; a copy before that is held as unverified all the same.
    send(&gateway, &address, &provider.stamped("tenant-a", &mail(&own, "acme.example")));
    send(&gateway, &address, &provider.stamped("tenant-b", &mail(&stranger, "acme.example")));
    // A field that no signature of the provider covers is no mark.
    send(&gateway, &address, &format!("X-MS-Exchange-CrossTenant-Id: tenant-a\r\n{}", mail(&lie, "acme.example")));
    assert!(states(&gateway, 3).iter().all(|(state, _)| state == "held"));
    let shown = gateway.json(&["route", "marks", &route]);
    let sets = list(&shown, "/held");
    let value = |set: &serde_json::Value| text(set, "/marks/0/value").to_owned();
    assert_eq!(sets.len(), 3, "{shown}");
    assert!(sets.iter().any(|set| list(set, "/marks").is_empty()), "{shown}");
    let unclear = gateway.connex(&["route", "confirm", &route]);
    assert_eq!(unclear.code, 2, "several are there: {}", unclear.stderr);
    let number = |wanted: &str| {
        let set = sets.iter().find(|set| value(set) == wanted).unwrap();
        set.pointer("/set").unwrap().to_string()
    };
    let nothing = gateway.connex(&["route", "confirm", &route, "--set", &number("")]);
    assert!(nothing.code == 1 && nothing.stderr.contains("anybody"), "{}", nothing.stderr);
    assert!(receiver.hits().is_empty());
    let confirmed = gateway.json(&["route", "confirm", &route, "--set", &number("tenant-a")]);
    assert_eq!(confirmed["released"], 1, "{confirmed}");
    let hit = wait_for("the webhook of the held copy", || receiver.hits().into_iter().next());
    assert_eq!(text(&hit.json(), "/source/eventId").trim_matches(['<', '>']), own);
    // What comes now: with these marks it is believed at once, with others it is held.
    wait_for("the marks to count", || {
        let id = fresh_id("later");
        send(&gateway, &address, &provider.stamped("tenant-a", &mail(&id, "acme.example")));
        let messages = states(&gateway, gateway.messages().len());
        (messages.iter().filter(|(state, _)| state == "emitted").count() >= 2).then_some(())
    });
    send(&gateway, &address, &provider.stamped("tenant-b", &mail(&fresh_id("stranger"), "acme.example")));
    let last = states(&gateway, gateway.messages().len());
    assert!(last.iter().any(|(state, reason)| state == "held" && reason == "marks_differ"), "{last:?}");
    assert!(!receiver.hits().iter().any(|hit| hit.json().to_string().contains(&stranger)));
    assert!(!receiver.hits().iter().any(|hit| hit.json().to_string().contains(&lie)));
    // Without learning or marks such a network says nothing.
    let (bare, address) = add(&gateway, &["--peer", &provider.peer]);
    send(&gateway, &address, &provider.stamped("tenant-a", &mail(&fresh_id("bare"), "acme.example")));
    wait_for("the copy to be held", || {
        gateway.messages().iter().any(|one| text(one, "/reason") == "unverified").then_some(())
    });
    let routes = gateway.json(&["route", "list", "--tenant", "acme"]);
    let row = list(&routes, "").iter().find(|row| text(row, "/id") == bare).unwrap();
    assert_eq!(text(row, "/alarms/0/alarm"), "unverified", "{row}");
    // A provider whose networks DNS does not tell is a stranger: nothing of its mail is lost.
    let other = Provider::new();
    zone().trouble_at(&format!("spf.{}", other.domain), Trouble::Fails);
    let (_, address) = add(&gateway, &["--peer", &other.peer]);
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("", &address, b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 450, "{reply}");
}

fn an_observed_route_decides_and_reports_and_emits_nothing(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let receiver = Sink::start();
    gateway.json(&["webhook", "add", &receiver.url(), "--tenant", "acme", "--app", "crm"]);
    // A new journal route is observed by itself.
    let (route, address) = add(&gateway, &["--peer", "127.0.0.0/8"]);
    let observed = fresh_id("observed");
    send(&gateway, &address, &mail(&observed, "acme.example"));
    assert_eq!(states(&gateway, 1)[0].0, "emitted");
    let report = gateway.json(&["route", "report", &route]);
    assert_eq!(report["would"]["events"], 1, "{report}");
    assert_eq!(report["would"]["statuses"]["proof_of_funds_requested"], 1, "{report}");
    assert_eq!(report["endpoints"], 1, "{report}");
    assert!(report["would"]["operations"].as_object().is_some_and(|found| !found.is_empty()), "{report}");
    let explained = gateway.explained(text(&gateway.messages()[0], "/id"));
    assert!(explained.to_string().contains("proof_of_funds_requested"), "it is decided on and shown: {explained}");
    assert!(list(&explained, "/events/0/operations").is_empty(), "{explained}");
    gateway.json(&["route", "observe", &route, "--for", "0s"]);
    wait_for("a copy of which something follows", || {
        send(&gateway, &address, &mail(&fresh_id("live"), "acme.example"));
        receiver.hits().into_iter().next()
    });
    assert!(!receiver.hits().iter().any(|hit| hit.json().to_string().contains(&observed)), "nothing was emitted of it");
    assert!(gateway.json(&["route", "report", &route])["would"]["events"].as_u64().is_some_and(|count| count >= 1));
}

fn copies_are_counted_by_day_and_a_route_that_falls_silent_raises_an_alarm(engine: Engine) {
    let gateway = Gateway::serving(engine, "[routes]\nwatch_interval = \"1s\"\n");
    let (route, address) = add(&gateway, &["--peer", "127.0.0.0/8", "--size-cap", "10KiB"]);
    let id = fresh_id("counted");
    for again in ["", "Received: from a.example by b.example; Mon, 23 Nov 2026 09:02:00 +0000\r\n"] {
        send(&gateway, &address, &format!("{again}{}", mail(&id, "acme.example")));
    }
    // Two authors: not believed.
    send(&gateway, &address, &format!("From: x@y.example\r\n{}", mail(&fresh_id("doubt"), "acme.example")));
    let mut wire = Wire::hello(gateway.smtp()).unwrap();
    wire.command("MAIL FROM:<> SIZE=10241").unwrap();
    assert_eq!(wire.command(&format!("RCPT TO:<{address}>")).unwrap().0, 552);
    states(&gateway, 3);
    let sums = |what: &str| -> u64 {
        let days = gateway.json(&["route", "reconcile", "--tenant", "acme", "--since", "2020-01-01"]);
        list(&days, "").iter().map(|day| day["counts"][what].as_u64().unwrap()).sum()
    };
    let told = ["received", "folded", "untrusted", "refused"].map(sums);
    assert_eq!(told, [3, 1, 1, 1]);
    let csv = gateway.connex(&["route", "reconcile", "--tenant", "acme", "--since", "2020-01-01", "--csv"]).text();
    assert!(csv.starts_with("date,route,received,folded,refused,untrusted,silent_hours,tenant\n"), "{csv}");
    assert!(csv.lines().count() <= 3 && csv.contains(&format!("{route},3,1,1,1,0,acme")), "{csv}");
    // Yesterday it had twenty copies in each hour, and today none since.
    gateway.alter(&format!(
        "WITH RECURSIVE back (n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM back WHERE n < 40) \
         INSERT INTO route_hours (tenant_id, route_id, hour, received, folded, untrusted, refused) \
         SELECT r.tenant_id, r.route_id, h.hour - n * 3600000000, 20, 0, 0, 0 FROM back \
         JOIN routes AS r ON r.route_id = '{route}' JOIN route_hours AS h ON h.route_id = r.route_id; \
         DELETE FROM route_hours WHERE received = 3"
    ));
    let alarms = || {
        let routes = gateway.json(&["route", "list", "--tenant", "acme"]);
        list(&routes, "/0/alarms").iter().map(|alarm| text(alarm, "/alarm").to_owned()).collect::<Vec<_>>()
    };
    wait_for("the alarm", || alarms().contains(&"silent".to_owned()).then_some(()));
    assert!(gateway.log().contains("takes no copies any more"), "{}", gateway.log());
    send(&gateway, &address, &mail(&fresh_id("again"), "acme.example"));
    wait_for("the end of the alarm", || (!alarms().contains(&"silent".to_owned())).then_some(()));
}
