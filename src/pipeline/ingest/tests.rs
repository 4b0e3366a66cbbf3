//! From a committed message to recorded rows, on a real spool and store.

mod again;
mod forwards;
mod losses;
mod threads;

use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::dns::zone::Zone;
use crate::dns::{Resolver, ResolverSettings};
use crate::ids::{MailboxId, MessageId, SessionId, TenantId};
use crate::mail::address::Domain;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::authentication::FailurePolicy;
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Origin, Recipient};
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::mailauth;
use crate::seal::body::BodyKeys;
use crate::spool::log::{Files, Log, Reserve, SpoolOptions};
use crate::store::TenantStore;
use crate::store::directory::{AppProfileRow, NewMailbox};
use crate::store::reading::EventRow;
use crate::store::routes::{NewRoute, RouteChange};

struct Scene {
    folder: TempDir,
    store: Store,
    spool: Spool,
    ingest: Ingest,
    tenant: TenantId,
    mailbox: MailboxId,
}

/// Events of mail in their order, without what was told of drafts.
async fn mail_events(store: &TenantStore) -> Vec<EventRow> {
    let events = store.events_after(0, 1_000).await.unwrap();
    events.into_iter().filter(|event| !crate::contract::steps::is_step(&event.event_type)).collect()
}

async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
    let store = Store::open(&folder.path().join("index.db"), clock.clone()).await.unwrap();
    let tenant = store.add_tenant("harbor").await.unwrap();
    let rows = store.for_tenant(tenant);
    let app = rows.put_app("deals", &AppProfileRow::default()).await.unwrap();
    let mailbox = NewMailbox {
        address: Mailbox::parse("deals@in.example").unwrap(),
        app: Some(app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: Some("https://app.example/inbox".into()),
    };
    let mailbox = rows.add_mailbox(mailbox).await.unwrap();
    let dir = folder.path().join("spool");
    let options =
        SpoolOptions { dir, segment_bytes: 1 << 20, reserve: Reserve { bytes: 0, percent: 0 }, ..Default::default() };
    let (log, _) = Log::open(options, Files::Real, Arc::new(BodyKeys::new(&[], &[7; 32])), clock).unwrap();
    let spool = Spool::Log(log);
    let settings = IngestSettings {
        batch: 64,
        poll: Duration::from_millis(10),
        lease: Duration::from_secs(30),
        limits: message::Limits::default(),
        hostname: "mx.in.example".into(),
        own_hosts: vec![Domain::parse("mx.in.example").unwrap()],
        public_url: "https://gate.example".into(),
    };
    let key = Arc::new(InstanceKey::new(&[7; 32]));
    let ingest = Ingest::new(store.clone(), &spool, Arc::new(Engine::new().unwrap()), key, settings);
    Scene { folder, store, spool, ingest, tenant, mailbox }
}

impl Scene {
    async fn accept(&self, recipient: Recipient, bytes: &[u8]) {
        self.accept_for(&[recipient], bytes).await;
    }

    async fn accept_for(&self, recipients: &[Recipient], bytes: &[u8]) {
        self.accept_as(self.store.clock().mint(), recipients, bytes).await;
    }

    async fn accept_as(&self, id: MessageId, recipients: &[Recipient], bytes: &[u8]) {
        self.accept_manifest(self.manifest(id, recipients), bytes).await;
    }

    async fn accept_manifest(&self, manifest: Manifest, bytes: &[u8]) {
        let mut incoming = self.spool.begin();
        incoming.push(bytes).await.unwrap();
        let _ = incoming.commit(manifest).await.unwrap();
    }

    fn manifest(&self, id: MessageId, recipients: &[Recipient]) -> Manifest {
        let mailbox = Mailbox::parse("deals@in.example").unwrap();
        let path = |recipient: &Recipient| ForwardPath::new(mailbox.clone(), *recipient);
        let clock = self.store.clock();
        Manifest {
            id,
            received_at: clock.now(),
            envelope: Envelope {
                reverse_path: ReversePath::Mailbox(Mailbox::parse("ann@lakeside.example").unwrap()),
                forward_paths: recipients.iter().map(path).collect(),
                body: BodyKind::SevenBit,
                smtputf8: false,
                envelope_id: None,
                returned: None,
            },
            origin: Origin {
                door: Door::Smtp,
                session: clock.mint::<SessionId>(),
                peer: Some("127.0.0.1".parse().unwrap()),
                proxy: None,
                helo: "client.example".into(),
                tls: None,
                authenticated: None,
                certificate: None,
                provider: None,
                client: None,
            },
            defects: Vec::new(),
            quiet: false,
            verdict: crate::mail::envelope::Verdict::NotAsked,
            milter: None,
        }
    }

    fn to_mailbox(&self) -> Recipient {
        Recipient::Mailbox { tenant: self.tenant, mailbox: self.mailbox }
    }

    /// Reads all that waits, as a worker that was just started.
    async fn drain(&self) {
        let mut worker = self.ingest.clone();
        while worker.step().await.unwrap() {}
    }

    async fn states(&self) -> Vec<(String, Option<String>)> {
        let rows = self.store.for_tenant(self.tenant).messages_after("", 100).await.unwrap();
        rows.into_iter().map(|row| (row.state, row.reason)).collect()
    }
}

fn mail(id: &str, extra: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@lakeside.example>\r\nTo: deals@in.example\r\nSubject: Next steps on the LOI\r\n\
Message-ID: <{id}@lakeside.example>\r\n{extra}\r\nBefore we go further, can you send proof of funds?\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn a_message_that_a_repeated_call_stored_twice_under_one_id_is_one_and_no_trouble() {
    let scene = scene().await;
    let id = scene.store.clock().mint();
    let mut worker = scene.ingest.clone();
    for _ in 0..2 {
        for _ in 0..2 {
            scene.accept_as(id, &[scene.to_mailbox()], &mail("1", "")).await;
        }
        assert!(worker.step().await.unwrap());
        assert_eq!(worker.alone, 0, "the batch was recorded as it is");
        assert_eq!(scene.states().await, [("emitted".to_owned(), None)]);
    }
}

#[tokio::test]
async fn an_accepted_message_becomes_one_event_with_its_decision() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    // A worker that starts anew goes on where the last one's rows say, not at the beginning.
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].answer["canonical"]["status"], "proof_of_funds_requested");
    assert_eq!(events[0].answer["identity"]["verdict"], "handoff");
    assert_eq!(events[0].answer["identity"]["externalReplyUrl"], "https://app.example/inbox");
    assert_eq!(events[0].content["eventType"], "inbound_message");
    assert_eq!(scene.states().await, [("emitted".to_owned(), None), ("duplicate".to_owned(), None)]);
}

/// A worker that finds out who sent the mail, by what a name server on loopback says of lakeside.example.
fn authenticating(scene: &mut Scene, records: &[(&str, &str)]) -> Zone {
    let zone = Zone::start().unwrap();
    for (name, text) in records {
        zone.txt(name, text);
    }
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(1), attempts: 1 };
    let settings = (
        Resolver::new(&settings).unwrap(),
        mailauth::Settings {
            authserv_id: Domain::parse("mx.in.example").unwrap(),
            budget: Duration::from_secs(4),
            signatures: 10,
            relays: Vec::new(),
            forwarders: Vec::new(),
            sealers: Vec::new(),
        },
    );
    scene.ingest = scene.ingest.clone().authenticating(Authenticator::new(&settings.0, settings.1));
    zone
}

const REJECT: (&str, &str) = ("_dmarc.lakeside.example", "v=DMARC1; p=reject");
const SPF: (&str, &str) = ("lakeside.example", "v=spf1 ip4:127.0.0.1 -all");

#[tokio::test]
async fn an_event_tells_who_sent_it_and_the_message_has_its_trace() {
    let mut scene = scene().await;
    let _zone = authenticating(&mut scene, &[REJECT, SPF]);
    let bytes = mail("1", "Authentication-Results: mx.in.example; dmarc=pass\r\n");
    scene.accept(scene.to_mailbox(), &bytes).await;
    scene.drain().await;
    let event = mail_events(&scene.store.for_tenant(scene.tenant)).await.remove(0);
    let authentication = &event.content["authentication"];
    assert_eq!(authentication["checked"], true);
    // The peer's own name may come from the hosts file of this machine.
    let author = serde_json::json!({ "fact": "author_domain", "domain": "lakeside.example" });
    assert!(authentication["verified"].as_array().unwrap().contains(&author), "{authentication}");
    assert!(event.content["defects"].as_array().unwrap().contains(&"forged_authentication_results".into()));
    let signals = event.answer["reasoning"]["signals"].as_array().unwrap();
    assert!(signals.iter().any(|signal| signal["kind"] == "verified"), "{signals:?}");
    let row = scene.store.for_tenant(scene.tenant).messages(None, 1).await.unwrap().remove(0);
    let shown = crate::store::reading::describe(&row).unwrap();
    assert_eq!(shown["trace"]["returnPath"], "<ann@lakeside.example>");
    assert!(
        shown["trace"]["received"]
            .as_str()
            .unwrap()
            .starts_with("from client.example ([127.0.0.1])\r\n\tby mx.in.example with ESMTP id msg_")
    );
    let results = shown["trace"]["authenticationResults"].as_str().unwrap();
    assert!(
        results.starts_with("mx.in.example;\r\n\tspf=pass")
            && results.contains("dmarc=pass header.from=lakeside.example"),
        "{results}"
    );
    let body = serde_json::from_str(&row.body).unwrap();
    assert_eq!(scene.spool.read_body(&body).await.unwrap(), bytes, "the bytes are those that came");
}

/// A message in which its author asks for no more mail.
fn unsubscribing(id: &str, extra: &str) -> Vec<u8> {
    format!(
        "From: Ann <Ann@Lakeside.example>\r\nTo: deals@in.example\r\nSubject: Your mails\r\n\
Message-ID: <{id}@lakeside.example>\r\n{extra}\r\nPlease unsubscribe me and stop emailing me.\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn an_author_whose_domain_stands_behind_it_and_who_wants_no_more_mail_is_written_to_no_more() {
    let mut scene = scene().await;
    let zone = authenticating(&mut scene, &[REJECT]);
    let own = scene.store.for_tenant(scene.tenant);
    let suppressed = async |bytes: &[u8]| {
        scene.accept(scene.to_mailbox(), bytes).await;
        scene.drain().await;
        let rows = own.suppressions_after("", 9).await.unwrap();
        rows.into_iter().map(|row| (row.address_key, row.reason)).collect::<Vec<_>>()
    };
    assert_eq!(suppressed(&unsubscribing("1", "")).await, [], "anybody may have written it");
    zone.txt(SPF.0, SPF.1);
    assert_eq!(suppressed(&mail("2", "")).await, [], "it asks for something else");
    assert_eq!(suppressed(&unsubscribing("3", "Auto-Submitted: auto-replied\r\n")).await, [], "no person wrote it");
    let ann = ("ann@lakeside.example".to_owned(), "unsubscribe".to_owned());
    assert_eq!(suppressed(&unsubscribing("4", "")).await, [ann]);
    let events = mail_events(&own).await;
    assert!(events.last().unwrap().answer["canonical"]["status"] == "unsubscribe_requested");
}

#[tokio::test]
async fn what_its_authors_domain_disowns_is_quarantined_where_the_mailbox_asks_for_that() {
    let mut scene = scene().await;
    let zone = authenticating(&mut scene, &[REJECT]);
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, [("emitted".to_owned(), None)], "a new mailbox marks");
    let rows = scene.store.for_tenant(scene.tenant);
    rows.set_authentication_policy(scene.mailbox, FailurePolicy::Quarantine).await.unwrap();
    scene.ingest.directory = Directory::new(scene.store.clone(), Arc::new(InstanceKey::new(&[7; 32])));
    scene.accept(scene.to_mailbox(), &mail("2", "")).await;
    scene.accept(scene.to_mailbox(), &mail("3", "From: Eve <eve@evil.example>\r\n")).await;
    scene.drain().await;
    let states = scene.states().await;
    let quarantined = |reason: &str| ("quarantined".to_owned(), Some(reason.to_owned()));
    assert_eq!(states[1..], [quarantined("author_unauthenticated"), quarantined("author_ambiguous")]);
    assert_eq!(mail_events(&rows).await.len(), 1);
    // Trouble with DNS is no failure.
    zone.trouble_everywhere(Some(crate::dns::zone::Trouble::Fails));
    scene.accept(scene.to_mailbox(), &mail("4", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await[3], ("emitted".to_owned(), None));
}

#[tokio::test]
async fn a_forgery_that_came_first_does_not_make_the_real_message_a_copy() {
    let mut scene = scene().await;
    let zone = authenticating(&mut scene, &[REJECT]);
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    zone.txt(SPF.0, SPF.1);
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let states: Vec<_> = scene.states().await.into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["emitted", "emitted", "duplicate"]);
}

#[tokio::test]
async fn what_goes_in_a_circle_is_an_event_from_which_nothing_follows_and_takes_nobodys_key() {
    let scene = scene().await;
    let circle = "Received: from x by MX.in.example. with ESMTP id 4X; Tue\r\n".repeat(26);
    for header in ["", &circle, &circle] {
        scene.accept(scene.to_mailbox(), &mail("1", header)).await;
    }
    scene.drain().await;
    let states: Vec<_> = scene.states().await;
    let (emitted, duplicate) = (("emitted".to_owned(), None), ("duplicate".to_owned(), None));
    assert_eq!(states, [emitted.clone(), emitted, duplicate]);
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let mut found = Vec::new();
    for event in &events {
        let has_operations = event.answer["operations"].as_array().is_some_and(|list| !list.is_empty());
        found.push((has_operations, event.content["defects"].to_string().contains("loop_suspect")));
    }
    assert_eq!(found, [(true, false), (false, true)]);
}

#[tokio::test]
async fn a_copy_of_an_own_author_is_believed_whoever_hands_it_over() {
    let mut scene = scene().await;
    let _zone = authenticating(&mut scene, &[REJECT, SPF]);
    let route = Recipient::Route {
        tenant: scene.tenant,
        route: crate::ids::RouteId::from_bits(5),
        reader: Reader::Bcc,
        peer_authorised: false,
        shared_range: false,
    };
    scene.accept(route, &mail("1", "")).await;
    scene.drain().await;
    scene.store.for_tenant(scene.tenant).assume_domain(&Domain::parse("lakeside.example").unwrap()).await.unwrap();
    scene.ingest.directory = Directory::new(scene.store.clone(), Arc::new(InstanceKey::new(&[7; 32])));
    scene.accept(route, &mail("2", "")).await;
    scene.drain().await;
    let states: Vec<_> = scene.states().await.into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["held", "emitted"]);
}

#[tokio::test]
async fn an_event_out_of_a_report_tells_of_the_originals_signatures_apart_from_the_wrappers() {
    let mut scene = scene().await;
    let _zone = authenticating(&mut scene, &[REJECT, SPF]);
    scene.store.for_tenant(scene.tenant).assume_domain(&Domain::parse("lakeside.example").unwrap()).await.unwrap();
    let route = Recipient::Route {
        tenant: scene.tenant,
        route: crate::ids::RouteId::from_bits(5),
        reader: Reader::Journal(crate::mail::journal::ReportFormat::Exchange),
        peer_authorised: true,
        shared_range: false,
    };
    let report = include_bytes!("../../../tests/corpus/journal/exchange-inbound.eml");
    let report = String::from_utf8_lossy(report).replace("customer.example", "lakeside.example").into_bytes();
    scene.accept(route, &report).await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let journal = &events[0].content;
    assert_eq!(journal["kind"], "journal", "{journal}");
    let methods = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|one| one["method"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(methods(&journal["authentication"]["original"]), ["dkim"]);
    assert_eq!(methods(&journal["authentication"]["results"]), Vec::<String>::new(), "nothing of the wrapper");
    assert!(events[1].content["authentication"].get("original").is_none(), "a message that is itself has none");
}

#[tokio::test]
async fn two_logs_over_one_database_are_read_each_from_its_own_place() {
    let mut scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let dir = scene.folder.path().join("second");
    let options = SpoolOptions { dir, segment_bytes: 1 << 20, reserve: Reserve::OFF, ..Default::default() };
    let (log, _) =
        Log::open(options, Files::Real, Arc::new(BodyKeys::new(&[], &[7; 32])), scene.store.clock().clone()).unwrap();
    let first = std::mem::replace(&mut scene.spool, Spool::Log(log));
    let first_worker = scene.ingest.clone();
    let (engine, key) = (scene.ingest.engine.clone(), Arc::new(InstanceKey::new(&[7; 32])));
    scene.ingest = Ingest::new(scene.store.clone(), &scene.spool, engine, key, scene.ingest.settings.clone());
    scene.accept(scene.to_mailbox(), &mail("2", "")).await;
    scene.drain().await;
    (scene.spool, scene.ingest) = (first, first_worker);
    scene.accept(scene.to_mailbox(), &mail("3", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, vec![("emitted".to_owned(), None); 3], "each once");
}

#[tokio::test]
async fn a_reply_joins_the_thread_of_what_it_answers_also_within_one_batch() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.accept(scene.to_mailbox(), &mail("2", "In-Reply-To: <1@lakeside.example>\r\n")).await;
    scene.drain().await;
    scene.accept(scene.to_mailbox(), &mail("3", "References: <1@lakeside.example> <2@lakeside.example>\r\n")).await;
    scene.accept(scene.to_mailbox(), &mail("4", "")).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let places: Vec<_> = events.iter().map(|event| event.thread.clone().unwrap()).collect();
    assert!(places[..3].iter().all(|(thread, _)| *thread == places[0].0));
    // What was told of drafts meanwhile has places of its own.
    let sequences: Vec<i64> = places.iter().map(|(_, sequence)| *sequence).collect();
    assert!(sequences[..2] == [1, 2] && sequences[2] > 2 && sequences[3] == 1, "{sequences:?}");
    assert_eq!(events[1].content["eventType"], "inbound_reply");
}

#[tokio::test]
async fn what_can_never_be_recorded_is_kept_as_poisoned_and_stops_nobody() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    let nobody = Recipient::Mailbox { tenant: TenantId::from_bits(99), mailbox: scene.mailbox };
    scene.accept(nobody, &mail("2", "")).await;
    scene.accept(scene.to_mailbox(), &mail("3", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, [("emitted".to_owned(), None), ("emitted".to_owned(), None)]);
    let strangers = scene.store.for_tenant(TenantId::from_bits(99)).messages(None, 10).await.unwrap();
    assert_eq!(strangers[0].state, "poisoned");
    assert_eq!(strangers[0].reason.as_deref(), Some("not_recordable"));
}

#[tokio::test]
async fn what_cannot_be_decided_on_is_kept_as_poisoned_and_stops_nobody() {
    let scene = scene().await;
    let damaged = format!("{}/index.db", scene.folder.path().display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&damaged).await.unwrap();
    sqlx::query("UPDATE apps SET profile = 'no JSON'").execute(&mut connection).await.unwrap();
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let undecidable = ("poisoned".to_owned(), Some("not_decidable".to_owned()));
    assert_eq!(scene.states().await, [undecidable]);
    assert_eq!(guarded(async { panic!("on purpose") }).await, Err::<(), _>(Panicked));
}

#[tokio::test]
async fn a_long_text_is_cut_in_each_event_and_stays_whole_in_the_spool() {
    let scene = scene().await;
    let long = "word ".repeat(100_000);
    scene.accept(scene.to_mailbox(), &[mail("1", "").as_slice(), long.as_bytes()].concat()).await;
    scene.drain().await;
    let event = mail_events(&scene.store.for_tenant(scene.tenant)).await.remove(0);
    assert!(event.content.to_string().len() < 5 * view::STORED_TEXT);
    assert!(event.content["defects"].as_array().unwrap().contains(&"text_cut".into()));
    let row = scene.store.for_tenant(scene.tenant).messages(None, 1).await.unwrap().remove(0);
    let body = serde_json::from_str(&row.body).unwrap();
    assert!(scene.spool.read_body(&body).await.unwrap().len() > long.len());
}

#[tokio::test]
async fn a_copy_that_one_route_may_not_take_still_reaches_the_other() {
    let scene = scene().await;
    let route = |number: u128, peer_authorised: bool| Recipient::Route {
        tenant: scene.tenant,
        route: crate::ids::RouteId::from_bits(number),
        reader: Reader::Bcc,
        peer_authorised,
        shared_range: false,
    };
    scene.accept_for(&[route(5, false), route(6, true)], &mail("1", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, [("emitted".to_owned(), None)]);
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn an_unauthorised_copy_is_held_and_makes_no_event() {
    let scene = scene().await;
    let route = Recipient::Route {
        tenant: scene.tenant,
        route: crate::ids::RouteId::from_bits(5),
        reader: Reader::Bcc,
        peer_authorised: false,
        shared_range: false,
    };
    scene.accept(route, &mail("1", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, [("held".to_owned(), Some("peer_not_authorised".to_owned()))]);
    assert!(mail_events(&scene.store.for_tenant(scene.tenant)).await.is_empty());
}

#[tokio::test]
async fn malformed_and_empty_mail_makes_events_with_defects() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), b"\0\xff not a mail at all \r\n\r\n.\r\n").await;
    scene.accept(scene.to_mailbox(), b"").await;
    scene.accept(scene.to_mailbox(), &mail("3", "")).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events.len(), 3, "malformed and empty mail makes events too");
    assert!(!events[0].content["defects"].as_array().unwrap().is_empty());
    assert_eq!(events[1].answer["canonical"]["status"], "unclear");
}

/// A route of the scene's tenant that keeps and leaves out so much, as a recipient.
async fn private_route(scene: &Scene, exclude: &[&str], keep: Keep) -> Recipient {
    let (rows, route) = (scene.store.for_tenant(scene.tenant), scene.store.clock().mint());
    let app = rows.put_app("deals", &AppProfileRow::default()).await.unwrap();
    let new = NewRoute {
        reader: Reader::Bcc,
        token_hash: [1; 32],
        address_sealed: String::new(),
        app: Some(app),
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    };
    rows.add_route(route, new).await.unwrap();
    let exclude = exclude.iter().map(|rule| rule.parse().unwrap()).collect();
    let change = RouteChange { exclude: Some(exclude), keep: Some(keep), ..RouteChange::default() };
    rows.change_route(route, change).await.unwrap();
    Recipient::Route { tenant: scene.tenant, route, reader: Reader::Bcc, peer_authorised: true, shared_range: false }
}

#[tokio::test]
async fn a_copy_that_its_route_leaves_out_makes_no_event() {
    let scene = scene().await;
    let route = private_route(&scene, &["newsletter", "address:hr@in.example"], Keep::Text).await;
    scene.accept(route, &mail("1", "List-Unsubscribe: <https://news.example/u>\r\n")).await;
    scene.accept(route, &mail("2", "Cc: hr+private@in.example\r\n")).await;
    scene.accept(route, &mail("3", "")).await;
    scene.drain().await;
    let left_out = ("excluded".to_owned(), Some("excluded".to_owned()));
    assert_eq!(scene.states().await, [left_out.clone(), left_out, ("emitted".to_owned(), None)]);
    let rows = scene.store.for_tenant(scene.tenant);
    let events = mail_events(&rows).await;
    assert_eq!(events.len(), 1);
    assert!(events[0].content["visibleText"].as_str().unwrap().contains("proof of funds"), "the text is kept");
    let messages = rows.messages_after("", 10).await.unwrap();
    assert!(messages.iter().all(|row| !row.is_raw_kept), "and no bytes are, also not of what was left out");
}

#[tokio::test]
async fn a_bcc_route_with_listed_authors_believes_nobody_elses_copies() {
    let scene = scene().await;
    let recipient = private_route(&scene, &[], Keep::Raw).await;
    let Recipient::Route { route, .. } = recipient else { panic!() };
    let only = vec!["address:sam@harbor.example".parse().unwrap()];
    let change = RouteChange { authors: Some(only), ..RouteChange::default() };
    scene.store.for_tenant(scene.tenant).change_route(route, change).await.unwrap();
    scene.accept(recipient, &mail("1", "")).await;
    let by_sam = String::from_utf8(mail("2", "")).unwrap().replace("ann@lakeside", "sam@harbor");
    scene.accept(recipient, by_sam.as_bytes()).await;
    scene.drain().await;
    let held = ("held".to_owned(), Some("author_not_listed".to_owned()));
    assert_eq!(scene.states().await, [held, ("emitted".to_owned(), None)]);
}

#[tokio::test]
async fn an_event_of_a_route_that_keeps_nothing_is_decided_on_and_has_no_text() {
    let scene = scene().await;
    let route = private_route(&scene, &[], Keep::None).await;
    scene.accept(route, &mail("1", "")).await;
    scene.drain().await;
    let event = mail_events(&scene.store.for_tenant(scene.tenant)).await.remove(0);
    let content = event.content.to_string();
    assert!(!content.contains("proof of funds") && !content.contains("LOI"), "{content}");
    assert_eq!(event.content["textErased"], true);
    assert!(!event.answer["reasoning"].to_string().contains("can you send"), "{}", event.answer);
    assert_ne!(event.answer["canonical"]["status"], "unclear", "the text was read before it went: {}", event.answer);
}
