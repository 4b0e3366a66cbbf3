//! Held copies that are decided on again: believed where they would be, had they come in now, and nowhere else.

use super::*;
use crate::dns::zone::Trouble;
use crate::ids::{KeyId, RouteId};
use crate::keys::{Environment, KeyBindings, Pepper, Scope, Scopes};
use crate::mail::journal::ReportFormat;
use crate::mail::marks::Mark;
use crate::service::keys::{NewKey, make_key};
use crate::service::tokens::token_hash;
use crate::store::redecisions::HeldCopies;
use crate::store::routes::RouteStep;

/// A route, and as whose mail a stranger's copy for it is taken.
async fn route(scene: &Scene, reader: Reader, peers: &[&str]) -> (RouteId, Recipient) {
    let (rows, route) = (scene.store.for_tenant(scene.tenant), scene.store.clock().mint::<RouteId>());
    let app = rows.put_app("deals", &AppProfileRow::default()).await.unwrap();
    let new = NewRoute {
        reader,
        token_hash: token_hash(&route.to_string()),
        address_sealed: String::new(),
        app: Some(app),
        peers: rules(peers),
        size_cap: None,
        observe_until: None,
    };
    rows.add_route(route, new).await.unwrap();
    let tenant = scene.tenant;
    (route, Recipient::Route { tenant, route, reader, peer_authorised: false, shared_range: false })
}

fn rules<R: std::str::FromStr<Err: std::fmt::Debug>>(words: &[&str]) -> Vec<R> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn peers(words: &[&str]) -> RouteChange {
    RouteChange { peers: Some(rules(words)), ..RouteChange::default() }
}

impl Scene {
    async fn change(&self, route: RouteId, change: RouteChange) {
        self.store.for_tenant(self.tenant).change_route(route, change).await.unwrap();
    }

    /// Asks for all that is held at the route, and has it decided on; what became of the newest message.
    async fn redecided(&self, route: RouteId) -> (String, String) {
        let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
        let all = HeldCopies { from, to, reason: None };
        self.store.for_tenant(self.tenant).ask_again(route, all, "operator".into()).await.unwrap();
        self.decided().await
    }

    async fn decided(&self) -> (String, String) {
        while self.ingest.decide_held().await {}
        assert_eq!(self.store.redecisions(10).await.unwrap(), [], "nothing waits");
        self.newest().await
    }

    async fn newest(&self) -> (String, String) {
        let (state, reason) = self.states().await.pop().unwrap();
        (state, reason.unwrap_or_default())
    }

    async fn taken(&self, recipient: Recipient, bytes: &[u8]) -> (String, String) {
        self.accept(recipient, bytes).await;
        self.drain().await;
        self.newest().await
    }

    async fn events(&self) -> usize {
        mail_events(&self.store.for_tenant(self.tenant)).await.len()
    }
}

fn held(reason: &str) -> (String, String) {
    ("held".to_owned(), reason.to_owned())
}

fn emitted() -> (String, String) {
    ("emitted".to_owned(), String::new())
}

/// Domains count from now on for mail that comes anew, too.
async fn own_domain(scene: &mut Scene, domain: &str) {
    scene.store.for_tenant(scene.tenant).assume_domain(&Domain::parse(domain).unwrap()).await.unwrap();
    scene.ingest.directory = scene.ingest.directory.anew();
}

#[tokio::test]
async fn a_held_copy_is_decided_on_once_its_peer_is_named_and_not_before() {
    let scene = scene().await;
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    assert_eq!(scene.taken(recipient, &mail("1", "")).await, held("peer_not_authorised"));
    assert_eq!(scene.redecided(route).await, held("peer_not_authorised"), "nothing was mended");
    scene.change(route, peers(&["192.0.2.0/24", "127.0.0.0/8"])).await;
    assert_eq!(scene.newest().await, held("peer_not_authorised"), "and nothing happens by itself");
    assert_eq!(scene.redecided(route).await, emitted());
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events[0].answer["canonical"]["status"], "proof_of_funds_requested");
    assert!(!events[0].answer["operations"].as_array().unwrap().is_empty());
    // Asked again, and copied again: nothing is done twice.
    assert_eq!(scene.redecided(route).await, emitted());
    let Recipient::Route { tenant, route, reader, .. } = recipient else { panic!() };
    let named = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: false };
    assert_eq!(scene.taken(named, &mail("1", "")).await.0, "duplicate");
    assert_eq!(scene.events().await, 1);
}

#[tokio::test]
async fn a_copy_whose_message_came_by_a_believed_one_meanwhile_makes_no_operation_twice() {
    let scene = scene().await;
    let (id, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    scene.taken(recipient, &mail("1", "")).await;
    let Recipient::Route { tenant, route, reader, .. } = recipient else { panic!() };
    let named = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: false };
    assert_eq!(scene.taken(named, &mail("1", "")).await, emitted());
    scene.change(id, peers(&["127.0.0.1"])).await;
    scene.redecided(id).await;
    assert_eq!(scene.states().await[0].0, "duplicate");
    assert_eq!(scene.events().await, 1);
}

#[tokio::test]
async fn workers_that_decide_on_one_copy_at_the_same_time_make_one_event() {
    let scene = scene().await;
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    scene.taken(recipient, &mail("1", "")).await;
    scene.change(route, peers(&["127.0.0.1"])).await;
    let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    let all = HeldCopies { from, to, reason: None };
    scene.store.for_tenant(scene.tenant).ask_again(route, all, "operator".into()).await.unwrap();
    let other = scene.ingest.clone();
    futures_util::join!(scene.ingest.decide_held(), other.decide_held());
    assert_eq!(scene.decided().await, emitted());
    assert_eq!(scene.events().await, 1);
}

#[tokio::test]
async fn an_author_who_was_listed_since_is_believed_and_another_is_not() {
    let scene = scene().await;
    let (route, recipient) = route(&scene, Reader::Bcc, &["127.0.0.1"]).await;
    let authors = |words: &[&str]| RouteChange { authors: Some(rules(words)), ..RouteChange::default() };
    scene.change(route, authors(&["address:sam@harbor.example"])).await;
    let Recipient::Route { tenant, reader, .. } = recipient else { panic!() };
    let named = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: false };
    let by_eve = String::from_utf8(mail("1", "")).unwrap().replace("ann@lakeside", "eve@elsewhere");
    assert_eq!(scene.taken(named, by_eve.as_bytes()).await, held("author_not_listed"));
    assert_eq!(scene.taken(named, &mail("2", "")).await, held("author_not_listed"));
    scene.change(route, authors(&["domain:lakeside.example"])).await;
    assert_eq!(scene.redecided(route).await, emitted());
    assert_eq!(scene.states().await[0], ("held".to_owned(), Some("author_not_listed".to_owned())));
    assert_eq!(scene.events().await, 1);
    // Who is named must be so at present: what was recorded when the copy came is no leave.
    scene.change(route, RouteChange { peers: Some(Vec::new()), ..authors(&[]) }).await;
    assert_eq!(scene.redecided(route).await, emitted());
    assert_eq!(scene.states().await[0], ("held".to_owned(), Some("peer_not_authorised".to_owned())));
    assert_eq!(scene.events().await, 1);
}

#[tokio::test]
async fn a_report_is_read_by_the_format_that_is_pinned_now_and_needs_a_domain_of_the_tenant() {
    let mut scene = scene().await;
    let (route, recipient) = route(&scene, Reader::JournalPlain, &["127.0.0.1"]).await;
    let report = String::from_utf8_lossy(include_bytes!("../../../../tests/corpus/journal/exchange-inbound.eml"));
    // By its usual author it would be taken for a notice of that mail system.
    let report = report.replace("MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e", "journal");
    assert_eq!(scene.taken(recipient, report.as_bytes()).await.0, "held");
    assert_eq!(scene.redecided(route).await, held("format_mismatch"));
    let reader = Reader::Journal(ReportFormat::Exchange);
    scene.change(route, RouteChange { reader: Some(reader), ..RouteChange::default() }).await;
    assert_eq!(scene.redecided(route).await, held("no_owned_participant"));
    own_domain(&mut scene, "lakeside.example").await;
    assert_eq!(scene.redecided(route).await, emitted());
    let rows = scene.store.for_tenant(scene.tenant);
    assert_eq!(mail_events(&rows).await[0].content["source"]["kind"], "journal");
    // Whoever may not see blind recipients must not get a report's bytes because it was none when it came.
    let stored: Manifest = serde_json::from_str(&rows.messages(None, 1).await.unwrap()[0].manifest).unwrap();
    assert_eq!(stored.envelope.forward_paths[0].recipient.reader(), reader);
}

#[tokio::test]
async fn what_dns_did_not_tell_is_asked_again_and_what_it_told_once_is_no_leave_for_ever() {
    let mut scene = scene().await;
    let zone = authenticating(&mut scene, &[REJECT, SPF]);
    own_domain(&mut scene, "lakeside.example").await;
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    zone.trouble_everywhere(Some(Trouble::Fails));
    assert_eq!(scene.taken(recipient, &mail("1", "")).await, held("peer_not_authorised"));
    assert_eq!(scene.redecided(route).await, held("peer_not_authorised"), "DNS still tells nothing");
    zone.trouble_everywhere(None);
    assert_eq!(scene.redecided(route).await, emitted());
    let row = scene.store.for_tenant(scene.tenant).messages(None, 1).await.unwrap().remove(0);
    assert!(row.trace.unwrap().contains("dmarc=pass"), "the trace says what was found");
    // Another author's domain, which is owned by the tenant only now that it is somebody else's in DNS.
    zone.txt("_dmarc.harbor.example", "v=DMARC1; p=reject").txt("harbor.example", "v=spf1 ip4:127.0.0.1 -all");
    let by_sam = String::from_utf8(mail("2", "")).unwrap().replace("ann@lakeside", "sam@harbor");
    let mut manifest = scene.manifest(scene.store.clock().mint(), &[recipient]);
    manifest.envelope.reverse_path = ReversePath::Mailbox(Mailbox::parse("sam@harbor.example").unwrap());
    scene.accept_manifest(manifest, by_sam.as_bytes()).await;
    scene.drain().await;
    assert_eq!(scene.newest().await, held("peer_not_authorised"));
    own_domain(&mut scene, "harbor.example").await;
    let zone = authenticating(&mut scene, &[REJECT, ("_dmarc.harbor.example", "v=DMARC1; p=reject")]);
    assert_eq!(scene.redecided(route).await, held("peer_not_authorised"));
    zone.txt("harbor.example", "v=spf1 ip4:127.0.0.1 -all");
    assert_eq!(scene.redecided(route).await, emitted());
}

fn returned_report() -> String {
    let report = String::from_utf8_lossy(include_bytes!("../../../../tests/corpus/journal/exchange-inbound.eml"));
    format!(
        "From: postmaster@harbor.example\r\nSubject: Undeliverable\r\nContent-Type: multipart/report; boundary=ndr\r\n\r\n\
         --ndr\r\n\r\nsorry\r\n--ndr\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
         Final-Recipient: rfc822; journal@x\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--ndr\r\n\
         Content-Type: message/rfc822\r\n\r\n{report}\r\n--ndr--\r\n"
    )
}

#[tokio::test]
async fn a_returned_report_is_released_by_hand_alone_and_by_that_alone_is_not_believed() {
    let mut scene = scene().await;
    own_domain(&mut scene, "lakeside.example").await;
    let reader = Reader::Journal(ReportFormat::Exchange);
    let (route, recipient) = route(&scene, reader, &["127.0.0.1"]).await;
    scene.taken(recipient, returned_report().as_bytes()).await;
    assert_eq!(scene.redecided(route).await, held("returned_report"));
    assert_eq!(scene.redecided(route).await, held("returned_report"), "however often it is asked for");
    let rows = scene.store.for_tenant(scene.tenant);
    let id = rows.messages(None, 1).await.unwrap()[0].id;
    // What else is in its way stays there.
    scene.change(route, peers(&["192.0.2.0/24"])).await;
    rows.release_returned(route, id, "operator".into()).await.unwrap();
    assert_eq!(scene.decided().await, held("peer_not_authorised"));
    scene.change(route, peers(&["127.0.0.1"])).await;
    assert_eq!(scene.redecided(route).await, held("returned_report"), "the release was for that once");
    rows.release_returned(route, id, "operator".into()).await.unwrap();
    assert_eq!(scene.decided().await, emitted());
    let event = mail_events(&rows).await.remove(0);
    assert!(event.content["defects"].as_array().unwrap().contains(&"via_ndr".into()), "{}", event.content);
}

#[tokio::test]
async fn a_key_that_was_revoked_since_names_nobody() {
    let scene = scene().await;
    let rows = scene.store.for_tenant(scene.tenant);
    let new = NewKey {
        name: "mail".into(),
        environment: Environment::Live,
        scopes: Scopes::of(&[Scope::MailIngest]),
        bindings: KeyBindings::default(),
        allowed_networks: Vec::new(),
        expires_at: None,
    };
    let (_, record) = make_key(new, scene.tenant, &Pepper::new(b"pepper"), scene.store.clock());
    let key: KeyId = record.id;
    rows.add_key(record).await.unwrap();
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    let by_key = async |id: &str| {
        let mut manifest = scene.manifest(scene.store.clock().mint(), &[recipient]);
        manifest.origin.authenticated = Some(key);
        scene.accept_manifest(manifest, &mail(id, "")).await;
        scene.drain().await;
        scene.newest().await
    };
    assert_eq!(by_key("1").await, held("peer_not_authorised"));
    scene.change(route, peers(&[&format!("key:{key}")])).await;
    assert_eq!(scene.redecided(route).await, emitted());
    assert_eq!(by_key("2").await, held("peer_not_authorised"));
    rows.revoke_key(key).await.unwrap();
    assert_eq!(scene.redecided(route).await, held("peer_not_authorised"));
}

#[tokio::test]
async fn a_copy_of_a_shared_network_needs_the_marks_that_it_was_kept_with() {
    let mut scene = scene().await;
    let zone = authenticating(&mut scene, &[("spf.p.example", "v=spf1 ip4:127.0.0.0/8 -all")]);
    let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(1), attempts: 1 };
    scene.ingest = scene.ingest.clone().resolving(Resolver::new(&settings).unwrap());
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    assert_eq!(scene.taken(recipient, &mail("1", "")).await, held("peer_not_authorised"));
    scene.change(route, peers(&["shared:spf.p.example:p.example"])).await;
    assert_eq!(scene.redecided(route).await, held("unverified"));
    let rows = scene.store.for_tenant(scene.tenant);
    assert_eq!(rows.held_marks(route).await.unwrap().len(), 1, "now its marks are shown");
    let marks = vec![Mark { name: "dkim".into(), value: "harbor.example".into() }];
    assert_eq!(rows.confirm_marks(route, &marks).await.unwrap(), 0);
    assert_eq!(scene.redecided(route).await, held("marks_differ"));
    let file = format!("{}/index.db", scene.folder.path().display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&file).await.unwrap();
    let set = "UPDATE held_copies SET marks = '[{\"name\":\"dkim\",\"value\":\"harbor.example\"}]'";
    sqlx::query(set).execute(&mut connection).await.unwrap();
    // The marks alone say nothing: the peer must be in a network of the provider that is named now.
    scene.change(route, peers(&["shared:spf.other.example:p.example"])).await;
    assert_eq!(scene.redecided(route).await, held("peer_not_authorised"));
    scene.change(route, peers(&["shared:spf.p.example:p.example"])).await;
    assert_eq!(scene.redecided(route).await, emitted());
    assert!(rows.held_marks(route).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_route_that_takes_no_copies_decides_on_none_and_what_it_leaves_out_stays_out() {
    let scene = scene().await;
    let (route, recipient) = route(&scene, Reader::Bcc, &["192.0.2.0/24"]).await;
    scene.taken(recipient, &mail("1", "")).await;
    scene.change(route, peers(&["127.0.0.1"])).await;
    let rows = scene.store.for_tenant(scene.tenant);
    let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    let all = HeldCopies { from, to, reason: None };
    rows.ask_again(route, all, "operator".into()).await.unwrap();
    rows.step_route(route, RouteStep::Pause).await.unwrap();
    assert_eq!(scene.decided().await, held("peer_not_authorised"));
    rows.step_route(route, RouteStep::Resume).await.unwrap();
    scene
        .change(route, RouteChange { exclude: Some(rules(&["domain:lakeside.example"])), ..RouteChange::default() })
        .await;
    assert_eq!(scene.redecided(route).await, ("excluded".to_owned(), "excluded".to_owned()));
    assert_eq!(scene.events().await, 0);
}
