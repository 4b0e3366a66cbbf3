//! On both spools: what is not kept is gone from them, and what is kept, held or still undecided is not.

use std::sync::Arc;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::ids::{MessageId, RouteId, SessionId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin, Recipient};
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::seal::body::BodyKeys;
use crate::spool::SpoolError;
use crate::spool::log::{Files, Log, Position, Reserve, SpoolOptions};
use crate::spool::rows::{self, Rows};
use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};
use crate::store::retention::Overdue;
use crate::store::routes::NewRoute;
use crate::store::tests::engine::{Engine, Place, on_both_engines};

on_both_engines! {
    what_no_route_keeps_is_erased_and_the_rest_stays,
    a_legal_hold_keeps_what_was_not_erased_yet,
    whoever_is_cut_off_before_it_is_noted_erases_again,
    what_cannot_be_erased_is_tried_again_later_and_holds_up_nothing,
    a_body_that_comes_again_under_its_id_is_erased_again,
}

/// SQLite with a log, PostgreSQL with rows.
struct Scene {
    _place: Place,
    _folder: tempfile::TempDir,
    clock: Clock,
    store: Store,
    spool: Spool,
    tenant: TenantId,
    route: RouteId,
    erase: Erase,
}

impl Scene {
    async fn new(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = place.open(clock.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(BodyKeys::new(&[], &[7; 32]));
        let spool = match engine {
            Engine::Sqlite => {
                let reserve = Reserve { bytes: 0, percent: 0 };
                let dir = folder.path().join("spool");
                let options = SpoolOptions { dir, segment_bytes: 1 << 20, reserve, ..SpoolOptions::default() };
                Spool::Log(Log::open(options, Files::Real, keys, clock.clone()).unwrap().0)
            }
            Engine::Postgres => Spool::Rows(Rows::open(store.clone(), folder.path().to_owned(), keys)),
        };
        let tenant = store.add_tenant("harbor").await.unwrap();
        let erase = Erase::new(store.clone(), spool.clone(), Duration::from_secs(1));
        let route = add_route(&store, tenant, 1).await;
        Self { _place: place, _folder: folder, clock, store, spool, tenant, route, erase }
    }

    /// A message in the spool, recorded as a copy that is kept as `keep`.
    async fn copy(&self, text: &[u8], keep: Keep, kept: Option<Kept>) -> MessageId {
        let id = self.clock.mint();
        self.record(id, text, &[(self.route, keep)], kept).await;
        id
    }

    async fn record(&self, id: MessageId, text: &[u8], routes: &[(RouteId, Keep)], kept: Option<Kept>) {
        let mut incoming = self.spool.begin();
        incoming.push(text).await.unwrap();
        let manifest = self.manifest(id);
        let _ = incoming.commit(manifest).await.unwrap();
        let body = self.body_in_spool(id, text).await;
        let copy = |(route, keep): &(RouteId, Keep)| NewCopy {
            route: *route,
            marks: None,
            keep: *keep,
            alarm: None,
            tests_connector: false,
            held: None,
        };
        let message = NewMessage {
            tenant: self.tenant,
            id,
            received_at: self.clock.now(),
            size: text.len() as u64,
            manifest: "{}".into(),
            body: serde_json::to_string(&body).unwrap(),
            trace: None,
            kept,
            views: Vec::new(),
            copies: routes.iter().map(copy).collect(),
        };
        let progress = match &self.spool {
            Spool::Log(_) => Progress::Log { log: "n".into(), cursor: SpoolCursor { segment: 1, position: 0 } },
            Spool::Rows(_) => {
                let lane = self.store.claim_lane(self.clock.mint(), Duration::from_secs(9)).await.unwrap().unwrap();
                Progress::Lane { lane, done: vec![id] }
            }
        };
        self.store.record_mail(vec![message], progress).await.unwrap();
    }

    fn manifest(&self, id: MessageId) -> Manifest {
        let recipient = Recipient::Route {
            tenant: self.tenant,
            route: self.route,
            reader: Reader::Bcc,
            peer_authorised: true,
            shared_range: false,
        };
        Manifest {
            id,
            received_at: self.clock.now(),
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                forward_paths: vec![ForwardPath::new(Mailbox::parse("copies@in.example").unwrap(), recipient)],
                body: BodyKind::SevenBit,
                smtputf8: false,
                envelope_id: None,
                returned: None,
            },
            origin: Origin {
                door: Door::Smtp,
                session: self.clock.mint::<SessionId>(),
                peer: None,
                proxy: None,
                helo: String::new(),
                tls: None,
                authenticated: None,
                certificate: None,
                provider: None,
                client: None,
            },
            defects: Vec::new(),
            milter: None,
            quiet: false,
            verdict: Default::default(),
        }
    }

    /// Where the newest body of a message is.
    async fn body_in_spool(&self, id: MessageId, text: &[u8]) -> BodyRef {
        match &self.spool {
            Spool::Log(log) => {
                let all = log.read_after(Position::START, 99, u64::MAX).unwrap();
                BodyRef::Log(all.into_iter().rfind(|one| one.manifest.id == id).unwrap().body)
            }
            Spool::Rows(_) => {
                let sha256 = ring::digest::digest(&ring::digest::SHA256, text).as_ref().try_into().unwrap();
                let size = text.len() as u64;
                BodyRef::Rows(rows::BodyRef { tenant: self.tenant, message: id, parts: 1, size, sha256 })
            }
        }
    }

    /// Whether the bytes are in the spool, by a place that was known before.
    async fn is_there(&self, body: &BodyRef) -> bool {
        match self.spool.read_body(body).await {
            Ok(_) => true,
            Err(SpoolError::Erased) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn body(&self, id: MessageId) -> BodyRef {
        let row = self.store.for_tenant(self.tenant).message(id).await.unwrap().unwrap();
        serde_json::from_str(&row.body).unwrap()
    }

    async fn work(&self) {
        while self.erase.round(&CancellationToken::new()).await.unwrap() {}
    }
}

async fn add_route(store: &Store, tenant: TenantId, hash: u8) -> RouteId {
    let id = store.clock().mint();
    let route = NewRoute {
        reader: Reader::Bcc,
        token_hash: [hash; 32],
        address_sealed: String::new(),
        app: None,
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    };
    store.for_tenant(tenant).add_route(id, route).await.unwrap();
    id
}

async fn what_no_route_keeps_is_erased_and_the_rest_stays(engine: Engine) {
    let scene = Scene::new(engine).await;
    let other = add_route(&scene.store, scene.tenant, 2).await;
    let none = scene.copy(b"none", Keep::None, Some(Kept::Excluded("excluded"))).await;
    let text = scene.copy(b"text", Keep::Text, Some(Kept::Excluded("excluded"))).await;
    let raw = scene.copy(b"raw", Keep::Raw, Some(Kept::Excluded("excluded"))).await;
    let held = scene.copy(b"held", Keep::Raw, Some(Kept::Held("learning"))).await;
    let shared = scene.clock.mint();
    let both = [(scene.route, Keep::None), (other, Keep::Raw)];
    scene.record(shared, b"shared", &both, Some(Kept::Excluded("excluded"))).await;
    let mut places = Vec::new();
    for id in [none, text, raw, held, shared] {
        places.push(scene.body(id).await);
    }
    let there = async || {
        let mut there = Vec::new();
        for body in &places {
            there.push(scene.is_there(body).await);
        }
        there
    };
    assert_eq!(there().await, [true; 5]);
    scene.work().await;
    assert_eq!(there().await, [false, false, true, true, true]);
    let left = scene.store.for_tenant(scene.tenant).message(none).await.unwrap().unwrap();
    assert!(!left.body.contains("sealed") && !left.is_raw_kept, "no key is left: {}", left.body);
    assert!(!scene.is_there(&scene.body(none).await).await);
    // What is still needed for deciding goes when nobody has decided, or when its days are over.
    let own = scene.store.for_tenant(scene.tenant);
    scene.clock.advance(Duration::from_secs(1));
    own.reduce_copies(scene.route, Keep::Text, Overdue::Before(scene.clock.now()), 9).await.unwrap();
    own.reduce_copies(other, Keep::None, Overdue::Decided, 9).await.unwrap();
    scene.work().await;
    assert_eq!(there().await, [false; 5]);
}

async fn a_legal_hold_keeps_what_was_not_erased_yet(engine: Engine) {
    let scene = Scene::new(engine).await;
    let id = scene.copy(b"evidence", Keep::None, Some(Kept::Excluded("excluded"))).await;
    let place = scene.body(id).await;
    let own = scene.store.for_tenant(scene.tenant);
    own.hold_route(scene.route, true).await.unwrap();
    scene.work().await;
    assert!(scene.is_there(&place).await);
    own.hold_route(scene.route, false).await.unwrap();
    scene.work().await;
    assert!(!scene.is_there(&place).await);
}

async fn whoever_is_cut_off_before_it_is_noted_erases_again(engine: Engine) {
    let scene = Scene::new(engine).await;
    let id = scene.copy(b"secret", Keep::None, Some(Kept::Excluded("excluded"))).await;
    let place = scene.body(id).await;
    // Killed between the two.
    let claimed = scene.store.claim_erasures(9, LEASE).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 1));
    scene.spool.erase(&place).await.unwrap();
    assert_eq!(scene.store.claim_erasures(9, LEASE).await.unwrap(), [], "under its lease");
    scene.clock.advance(LEASE);
    assert!(scene.erase.round(&CancellationToken::new()).await.unwrap());
    scene.clock.advance(LEASE * 9);
    assert!(!scene.erase.round(&CancellationToken::new()).await.unwrap(), "it was noted");
    assert!(!scene.is_there(&place).await);
}

async fn what_cannot_be_erased_is_tried_again_later_and_holds_up_nothing(engine: Engine) {
    let scene = Scene::new(engine).await;
    let sound = scene.clock.mint();
    let strange = scene.clock.mint();
    scene.record(strange, b"strange", &[(scene.route, Keep::Raw)], Some(Kept::Excluded("excluded"))).await;
    // A body of the other kind of spool: that of the time before the database was changed.
    let elsewhere = match engine {
        Engine::Sqlite => r#"{"tenant":"TENANT","message":"MESSAGE","parts":1,"size":7,"sha256":"SHA"}"#,
        Engine::Postgres => r#"{"extents":[{"segment":1,"offset":8192,"length":7}],"size":7,"sha256":"SHA"}"#,
    };
    let elsewhere = elsewhere.replace("TENANT", &scene.tenant.to_string()).replace("MESSAGE", &strange.to_string());
    let copy =
        NewCopy { route: scene.route, marks: None, keep: Keep::None, alarm: None, tests_connector: false, held: None };
    let message = NewMessage {
        tenant: scene.tenant,
        id: scene.clock.mint(),
        received_at: scene.clock.now(),
        size: 7,
        manifest: "{}".into(),
        body: elsewhere.replace("SHA", &"0".repeat(64)),
        trace: None,
        kept: Some(Kept::Excluded("excluded")),
        views: Vec::new(),
        copies: vec![copy],
    };
    let progress = Progress::Log { log: "n".into(), cursor: SpoolCursor { segment: 1, position: 1 } };
    scene.store.record_mail(vec![message], progress).await.unwrap();
    scene.record(sound, b"sound", &[(scene.route, Keep::None)], Some(Kept::Excluded("excluded"))).await;
    let place = scene.body(sound).await;
    scene.work().await;
    assert!(!scene.is_there(&place).await, "the one behind it is gone");
    let mut waits = Vec::new();
    for _ in 0..3 {
        let mut waited = 0;
        while scene.store.claim_erasures(9, LEASE).await.unwrap().is_empty() {
            scene.clock.advance(LEASE / 2);
            waited += 1;
        }
        waits.push(waited);
    }
    assert_eq!(waits, [2, 4, 8], "later with every attempt");
}

async fn a_body_that_comes_again_under_its_id_is_erased_again(engine: Engine) {
    let scene = Scene::new(engine).await;
    let id = scene.copy(b"twice", Keep::None, Some(Kept::Excluded("excluded"))).await;
    scene.work().await;
    scene.clock.advance(Duration::from_secs(1));
    // A call with an `Idempotency-Key` whose end was lost is made again.
    scene.record(id, b"twice", &[(scene.route, Keep::None)], Some(Kept::Excluded("excluded"))).await;
    let place = match &scene.spool {
        Spool::Log(_) => scene.body_in_spool(id, b"twice").await,
        Spool::Rows(_) => scene.body(id).await,
    };
    assert!(scene.is_there(&place).await);
    scene.work().await;
    assert!(!scene.is_there(&place).await);
}
