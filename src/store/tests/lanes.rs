//! The queue of accepted mail: what nodes that share it may rely on.

use super::engine::on_both_engines;
use super::*;
use crate::store::spool::{Lane, NewAccepted};

on_both_engines! {
    a_lane_belongs_to_one_worker_until_its_lease_ends,
    who_lost_a_lane_records_nothing,
    what_was_recorded_has_left_the_queue_and_the_lane_is_free,
    a_lane_gives_its_mail_in_the_order_in_which_it_came,
    what_was_set_aside_stays_and_is_read_by_nobody,
    a_body_whose_parts_are_not_all_there_is_not_accepted,
    what_awaited_a_verdict_when_all_ended_is_read_once_it_is_accepted_without_one,
}

impl Scene {
    /// Accepts a message and returns its id.
    async fn accept(&self, body: &[u8]) -> MessageId {
        let message = self.accepted(body);
        let id = message.id;
        self.store.accept(vec![(message, body.to_vec())]).await.unwrap();
        id
    }

    fn accepted(&self, body: &[u8]) -> NewAccepted {
        NewAccepted {
            is_awaiting: false,
            tenant: self.tenant,
            id: self.store.clock().mint(),
            size: body.len() as u64,
            sha256: [1; 32],
            manifest: "{}".into(),
            sealed_key: vec![7; 4],
            stored: body.len() as u64,
        }
    }

    async fn lane(&self, worker: WorkerId) -> Option<Lane> {
        self.store.claim_lane(worker, LEASE).await.unwrap()
    }

    async fn waiting(&self) -> usize {
        self.store.queued_after("", 100).await.unwrap().len()
    }
}

async fn a_lane_belongs_to_one_worker_until_its_lease_ends(engine: Engine) {
    let scene = Scene::new(engine).await;
    let [one, other]: [WorkerId; 2] = std::array::from_fn(|_| scene.store.clock().mint());
    assert_eq!(scene.lane(one).await, None, "nothing waits");
    scene.accept(b"x").await;
    let lane = scene.lane(one).await.unwrap();
    assert_eq!(scene.lane(other).await, None);
    scene.store.clock().advance(LEASE / 2);
    scene.store.renew_lane(lane, LEASE).await.unwrap();
    scene.store.clock().advance(LEASE / 2 + Duration::from_secs(1));
    assert_eq!(scene.lane(other).await, None, "it was renewed");
    scene.store.clock().advance(LEASE);
    assert!(scene.lane(other).await.is_some(), "taken over");
    assert!(matches!(scene.store.renew_lane(lane, LEASE).await, Err(StoreError::LeaseLost)));
}

async fn who_lost_a_lane_records_nothing(engine: Engine) {
    let scene = Scene::new(engine).await;
    let id = scene.accept(b"x").await;
    let slow = scene.lane(scene.store.clock().mint()).await.unwrap();
    scene.store.clock().advance(LEASE);
    let quick = scene.lane(scene.store.clock().mint()).await.unwrap();
    let late = scene.store.record_mail(vec![scene.message(1)], Progress::Lane { lane: slow, done: vec![id] }).await;
    assert!(matches!(&late, Err(StoreError::LeaseLost)), "{late:?}");
    assert!(late.unwrap_err().is_temporary());
    assert_eq!((scene.own().newest_cursor().await.unwrap(), scene.waiting().await), (0, 1));
    let recorded =
        scene.store.record_mail(vec![scene.message(1)], Progress::Lane { lane: quick, done: vec![id] }).await;
    assert_eq!(recorded.unwrap(), 1);
    let again = scene.store.record_mail(vec![scene.message(2)], Progress::Lane { lane: quick, done: vec![id] }).await;
    assert!(matches!(again, Err(StoreError::LeaseLost)), "it is not in the queue any more: {again:?}");
    assert_eq!((scene.own().newest_cursor().await.unwrap(), scene.waiting().await), (1, 0));
}

async fn what_was_recorded_has_left_the_queue_and_the_lane_is_free(engine: Engine) {
    let scene = Scene::new(engine).await;
    let first = scene.accept(b"x").await;
    scene.accept(b"y").await;
    let worker = scene.store.clock().mint();
    let lane = scene.lane(worker).await.unwrap();
    let done = Progress::Lane { lane, done: vec![first] };
    scene.store.record_mail(vec![scene.message(1)], done).await.unwrap();
    assert_eq!(scene.waiting().await, 1);
    assert!(scene.lane(scene.store.clock().mint()).await.is_some(), "free at once, without waiting for the lease");
}

async fn a_lane_gives_its_mail_in_the_order_in_which_it_came(engine: Engine) {
    let scene = Scene::new(engine).await;
    let mut ids = Vec::new();
    for number in 0..5_u8 {
        scene.store.clock().advance(Duration::from_millis(1));
        ids.push(scene.accept(&[number]).await);
    }
    let lane = scene.lane(scene.store.clock().mint()).await.unwrap();
    let queued = scene.store.queued_in(lane, 4).await.unwrap();
    assert_eq!(queued.iter().map(|queued| queued.id).collect::<Vec<_>>(), ids[..4]);
    assert_eq!(queued.iter().map(|queued| queued.body.clone().unwrap().parts[0][0]).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

async fn what_was_set_aside_stays_and_is_read_by_nobody(engine: Engine) {
    let scene = Scene::new(engine).await;
    let id = scene.accept(b"x").await;
    let worker = scene.store.clock().mint();
    let lane = scene.lane(worker).await.unwrap();
    scene.store.set_aside(lane, vec![id]).await.unwrap();
    assert_eq!((scene.lane(worker).await, scene.waiting().await), (None, 1));
    let stored = scene.store.accepted_body(scene.tenant, id, 1).await.unwrap().unwrap();
    assert_eq!((stored.parts, stored.sealed_key), (vec![b"x".to_vec()], Some(vec![7; 4])));
}

async fn a_body_whose_parts_are_not_all_there_is_not_accepted(engine: Engine) {
    let scene = Scene::new(engine).await;
    for fault in [Some(Err(std::io::Error::other("the scratch file cannot be read"))), None] {
        let message = scene.accepted(b"twelve bytes");
        let (parts, coming) = tokio::sync::mpsc::channel(4);
        parts.send(Ok(b"twelve".to_vec())).await.unwrap();
        if let Some(fault) = fault {
            parts.send(fault).await.unwrap();
        }
        drop(parts);
        let id = message.id;
        assert!(scene.store.accept_in_parts(message, coming).await.unwrap_err().is_temporary());
        assert_eq!(scene.waiting().await, 0);
        assert_eq!(scene.store.accepted_body(scene.tenant, id, 1).await.unwrap(), None, "nothing half done");
    }
}

async fn what_awaited_a_verdict_when_all_ended_is_read_once_it_is_accepted_without_one(engine: Engine) {
    let scene = Scene::new(engine).await;
    let message = scene.accepted(b"x");
    let accept = async |is_awaiting, manifest: &str| {
        let message = NewAccepted { is_awaiting, manifest: manifest.into(), ..message.clone() };
        scene.store.accept(vec![(message, b"x".to_vec())]).await.unwrap();
    };
    // A crash came before the verdict; the call is made again when its mailbox no longer asks for one.
    accept(true, "{}").await;
    let worker = scene.store.clock().mint();
    assert_eq!(scene.lane(worker).await, None);
    accept(false, "[]").await;
    let lane = scene.lane(worker).await.expect("what was answered for is read");
    let queued = scene.store.queued_in(lane, 4).await.unwrap();
    assert_eq!((queued.len(), queued[0].id, queued[0].manifest.as_str()), (1, message.id, "[]"));
    // What is read already is not taken back.
    accept(true, "{}").await;
    assert_eq!(scene.store.queued_in(lane, 4).await.unwrap().len(), 1);
}
