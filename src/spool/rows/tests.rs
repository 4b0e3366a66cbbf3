//! The promise of the spool in the database.

use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::ids::{MailboxId, SessionId, WorkerId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin, Recipient};
use crate::seal::keyring::Keyring;
use crate::spool::{BodyRef as AnyBody, Spool};
use crate::store::tests::engine::{Engine, Place, on_both_engines};

on_both_engines! {
    what_is_committed_is_read_back_byte_exact_whatever_its_size,
    what_awaits_a_verdict_waits_for_nobody_until_it_is_accepted,
    those_that_wait_share_a_transaction,
    what_was_begun_and_not_committed_leaves_nothing,
    a_commit_that_fails_is_temporary_and_mail_flows_again_by_itself,
    no_row_and_no_scratch_file_shows_a_body,
    a_body_that_another_node_sealed_with_a_new_data_key_is_read_once_the_keyring_is_looked_up,
    what_was_stored_in_the_clear_before_is_read,
    a_body_that_was_altered_or_is_gone_is_not_given_out,
    what_waits_is_stored_before_the_spool_is_closed_and_nothing_after,
}

struct Scene {
    place: Place,
    scratch: tempfile::TempDir,
    store: Store,
    spool: Spool,
    tenant: TenantId,
}

impl Scene {
    async fn new(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        let store = place.open(Clock::System).await;
        let tenant = store.add_tenant("harbor").await.unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let spool = Spool::Rows(Rows::open(store.clone(), scratch.path().to_owned(), keys()));
        Self { place, scratch, store, spool, tenant }
    }

    fn manifest(&self) -> Manifest {
        let clock = self.store.clock();
        let recipient = Recipient::Mailbox { tenant: self.tenant, mailbox: clock.mint::<MailboxId>() };
        let mailbox = Mailbox::parse("deals@in.example").unwrap();
        Manifest {
            id: clock.mint(),
            received_at: clock.now(),
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                forward_paths: vec![ForwardPath::new(mailbox, recipient)],
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

    async fn accept(&self, body: &[u8]) -> Result<crate::spool::SpooledMessage, SpoolError> {
        let mut incoming = self.spool.begin();
        for piece in body.chunks(10_000) {
            incoming.push(piece).await?;
        }
        assert_eq!(incoming.len(), body.len() as u64);
        incoming.commit(self.manifest()).await
    }

    /// All that waits, as a node would be given it.
    async fn queued(&self) -> Vec<(MessageId, BodyRef)> {
        let worker: WorkerId = self.store.clock().mint();
        let Some(lane) = self.store.claim_lane(worker, Duration::from_secs(60)).await.unwrap() else {
            return Vec::new();
        };
        let queued = self.store.queued_in(lane, 1000).await.unwrap();
        self.store.renew_lane(lane, Duration::ZERO).await.unwrap();
        let body = |it: crate::store::spool::Queued| BodyRef {
            tenant: it.tenant,
            message: it.id,
            parts: it.parts,
            size: it.size,
            sha256: it.sha256,
        };
        queued.into_iter().map(|it| (it.id, body(it))).collect()
    }
}

fn keys() -> Arc<BodyKeys> {
    Arc::new(BodyKeys::new(&[], &[7; 32]))
}

fn body(length: usize) -> Vec<u8> {
    let mut state = length as u32 | 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

async fn what_is_committed_is_read_back_byte_exact_whatever_its_size(engine: Engine) {
    let scene = Scene::new(engine).await;
    let sizes = [0, 1, SMALL - 1, SMALL, SMALL + 1, PART, PART + 1, 3 * PART, 3 * PART + 17];
    for size in sizes {
        let bytes = body(size);
        let spooled = scene.accept(&bytes).await.unwrap();
        assert_eq!(spooled.size(), size as u64);
        let queued = scene.queued().await;
        let (_, place) = queued.iter().find(|(id, _)| *id == spooled.id()).expect("it waits to be read");
        assert_eq!(scene.spool.read_body(&AnyBody::Rows(place.clone())).await.unwrap(), bytes, "{size} bytes");
        let stored: AnyBody = serde_json::from_str(&serde_json::to_string(place).unwrap()).unwrap();
        assert_eq!(stored, AnyBody::Rows(place.clone()), "the place reads back from the index");
    }
    assert_eq!(scene.spool.status().commits, sizes.len() as u64);
    assert_eq!(std::fs::read_dir(scene.scratch.path()).unwrap().count(), 0, "scratch files have no names");
}

async fn what_awaits_a_verdict_waits_for_nobody_until_it_is_accepted(engine: Engine) {
    let scene = Scene::new(engine).await;
    for size in [0, SMALL, PART + 1, 3 * PART] {
        let bytes = body(size);
        let awaiting = |scene: &Scene| {
            let (mut incoming, manifest) = (scene.spool.begin(), scene.manifest());
            let bytes = bytes.clone();
            async move {
                incoming.push(&bytes).await.unwrap();
                incoming.commit_awaiting(manifest).await.unwrap()
            }
        };
        let before = scene.queued().await.len();
        let (accepted, refused) = (awaiting(&scene).await, awaiting(&scene).await);
        assert_eq!(scene.queued().await.len(), before);
        assert!(
            scene.store.claim_lane(scene.store.clock().mint::<WorkerId>(), Duration::ZERO).await.unwrap().is_none()
                || before > 0
        );
        assert_eq!(accepted.read().await.unwrap(), bytes);
        refused.refuse().await;
        let stored = accepted.accept().await.unwrap();
        let queued = scene.queued().await;
        assert_eq!(queued.len(), before + 1);
        let (_, place) = queued.iter().find(|(id, _)| *id == stored.id()).expect("it waits to be read");
        assert_eq!(scene.spool.read_body(&AnyBody::Rows(place.clone())).await.unwrap(), bytes);
    }
}

async fn those_that_wait_share_a_transaction(engine: Engine) {
    let scene = Scene::new(engine).await;
    let bytes = body(500);
    let all = futures_util::future::join_all((0..200).map(|_| scene.accept(&bytes))).await;
    let mut ids: Vec<_> = all.into_iter().map(|spooled| spooled.unwrap().id()).collect();
    let mut queued: Vec<_> = scene.queued().await.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    queued.sort();
    assert_eq!(ids, queued);
    let status = scene.spool.status();
    assert!(status.commits == 200 && status.flushes < 50, "{status:?}");
    assert_eq!((status.waiting_bytes, status.failures), (0, 0));
}

async fn what_was_begun_and_not_committed_leaves_nothing(engine: Engine) {
    let scene = Scene::new(engine).await;
    for size in [10, SMALL + 1, 3 * PART] {
        let mut incoming = scene.spool.begin();
        incoming.push(&body(size)).await.unwrap();
    }
    assert!(scene.queued().await.is_empty());
    assert_eq!(std::fs::read_dir(scene.scratch.path()).unwrap().count(), 0);
}

async fn a_commit_that_fails_is_temporary_and_mail_flows_again_by_itself(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.place.run("ALTER TABLE spool_queue RENAME TO elsewhere").await;
    for size in [10, 3 * PART] {
        let error = scene.accept(&body(size)).await.unwrap_err();
        assert!(error.is_temporary(), "{error:?}");
        assert_eq!(scene.spool.admission(), Admission::Failing);
    }
    assert_eq!(scene.spool.status().failures, 2);
    scene.place.run("ALTER TABLE elsewhere RENAME TO spool_queue").await;
    let open = async {
        while scene.spool.admission() != Admission::Open {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), open).await.expect("asking has it try again");
    let _ = scene.accept(&body(10)).await.unwrap();
    assert_eq!(scene.queued().await.len(), 1, "nothing of those that failed");
}

async fn no_row_and_no_scratch_file_shows_a_body(engine: Engine) {
    const MARKER: &[u8] = b"The word at the door is swordfish. ";
    let shows = |bytes: &[u8]| bytes.windows(9).any(|window| window == b"swordfish");
    let scene = Scene::new(engine).await;
    for count in [1, 5_000, 20_000] {
        let bytes = MARKER.repeat(count);
        let _ = scene.accept(&bytes).await.unwrap();
        let (id, place) = scene.queued().await.pop().unwrap();
        let stored = scene.store.accepted_body(scene.tenant, id, place.parts).await.unwrap().unwrap();
        assert!(stored.sealed_key.is_some() && !stored.parts.iter().any(|part| shows(part)), "{count}");
        assert_eq!(scene.spool.read_body(&AnyBody::Rows(place.clone())).await.unwrap(), bytes, "{count}");
        let others = BodyKeys::new(&[], &[8; 32]);
        let refused = read_body(&scene.store, &others, &place).await;
        assert!(matches!(refused, Err(SpoolError::UnknownKey(key)) if key == keys().current()), "{refused:?}");
    }
    let Spool::Rows(rows) = &scene.spool else { panic!("the spool is rows") };
    let mut incoming = rows.begin();
    incoming.push(&MARKER.repeat(20_000)).await.unwrap();
    assert!(!shows(&incoming.scratch_bytes()), "the scratch file");
}

async fn a_body_that_another_node_sealed_with_a_new_data_key_is_read_once_the_keyring_is_looked_up(engine: Engine) {
    let scene = Scene::new(engine).await;
    let before = Keyring::bare([7; 32]);
    let after = before.clone().with_new_data_key();
    let folder = tempfile::tempdir().unwrap();
    let node = |keys: Arc<BodyKeys>| Rows::open(scene.store.clone(), folder.path().to_owned(), keys);
    let (here, elsewhere) = (node(Arc::new(before.body_keys())), node(Arc::new(after.body_keys())));
    let mut incoming = Spool::Rows(elsewhere).begin();
    incoming.push(b"sealed elsewhere").await.unwrap();
    let _ = incoming.commit(scene.manifest()).await.unwrap();
    let (id, place) = scene.queued().await.pop().unwrap();
    let refused = here.read_body(&place).await;
    assert!(matches!(refused, Err(SpoolError::UnknownKey(_))), "nobody to ask: {refused:?}");
    here.0.keys.look_up_in(Box::new(move || Box::pin(std::future::ready(Some(after.clone())))));
    let stored = scene.store.accepted_body(scene.tenant, id, place.parts).await.unwrap().unwrap();
    assert_eq!(here.open_body(stored, &place).await.unwrap(), b"sealed elsewhere");
}

async fn what_was_stored_in_the_clear_before_is_read(engine: Engine) {
    let scene = Scene::new(engine).await;
    let _ = scene.accept(b"sealed").await.unwrap();
    let (_, place) = scene.queued().await.remove(0);
    let hex = "7365616c6564"; // "sealed"
    let clear = match engine {
        Engine::Sqlite => format!("x'{hex}'"),
        Engine::Postgres => format!("decode('{hex}', 'hex')"),
    };
    scene.place.run(&format!("UPDATE spool_bodies SET sealed_key = NULL, content = {clear}")).await;
    assert_eq!(scene.spool.read_body(&AnyBody::Rows(place.clone())).await.unwrap(), b"sealed");
    scene.place.run("UPDATE spool_bodies SET content = substr(content, 2)").await;
    assert!(matches!(scene.spool.read_body(&AnyBody::Rows(place)).await, Err(SpoolError::Altered)));
}

async fn a_body_that_was_altered_or_is_gone_is_not_given_out(engine: Engine) {
    let scene = Scene::new(engine).await;
    let _ = scene.accept(&body(2 * PART)).await.unwrap();
    let place = AnyBody::Rows(scene.queued().await.remove(0).1);
    scene.place.run("UPDATE spool_bodies SET content = substr(content, 1, 7) WHERE part = 1").await;
    assert!(matches!(scene.spool.read_body(&place).await, Err(SpoolError::Altered)));
    scene.place.run("UPDATE spool_bodies SET content = substr(content, 1, 0) WHERE part = 1").await;
    assert!(matches!(scene.spool.read_body(&place).await, Err(SpoolError::Altered)), "cut off");
    scene.place.run("DELETE FROM spool_bodies WHERE part = 1").await;
    assert!(matches!(scene.spool.read_body(&place).await, Err(SpoolError::Erased)));
    let of_a_log = AnyBody::Log(log::BodyRef { extents: Vec::new(), size: 0, sha256: [0; 32], sealed: None });
    assert!(matches!(scene.spool.read_body(&of_a_log).await, Err(SpoolError::Elsewhere)));
}

async fn what_waits_is_stored_before_the_spool_is_closed_and_nothing_after(engine: Engine) {
    let scene = Scene::new(engine).await;
    let bytes = body(100);
    let (stored, ()) = tokio::join!(scene.accept(&bytes), scene.spool.close());
    // Either it came before the end, and is there, or it was told that it did not.
    assert_eq!(scene.queued().await.len(), usize::from(stored.is_ok()));
    assert!(matches!(scene.accept(&bytes).await, Err(SpoolError::Closed)));
}
