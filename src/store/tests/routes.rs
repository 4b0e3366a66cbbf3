//! Routes: their addresses and lives, their alarms, counts and held copies; on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::mail::marks::Mark;
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::store::events::NewObserved;
use crate::store::ingest::NewCopy;
use crate::store::marks::Confirmed;
use crate::store::routes::{NewRoute, RouteChange, RouteState, RouteStep};
use crate::store::watch::{Alarm, AlarmRow, Counts};

on_both_engines! {
    a_route_that_names_a_certificate_is_known_until_it_is_removed,
    a_route_keeps_its_former_addresses_and_steps_only_as_its_life_goes,
    alarms_and_refusals_of_a_route_are_counted_and_end,
    copies_are_counted_and_held_ones_wait_for_their_marks_to_be_confirmed,
    what_would_have_followed_is_added_up,
}

async fn a_route_that_names_a_certificate_is_known_until_it_is_removed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let add = async |hash: u8, peer: &str| {
        let id = scene.store.clock().mint();
        let peers = vec![peer.parse().unwrap()];
        scene.own().add_route(id, NewRoute { peers, ..route(hash) }).await.unwrap();
        id
    };
    add(1, "door:milter").await;
    assert!(!scene.store.has_route_with_certificate().await.unwrap());
    let named = add(2, "cert:name:Lake CA:out.lake.example").await;
    assert!(scene.store.has_route_with_certificate().await.unwrap());
    scene.own().remove_route(named).await.unwrap();
    assert!(!scene.store.has_route_with_certificate().await.unwrap());
}

fn route(hash: u8) -> NewRoute {
    NewRoute {
        reader: Reader::Bcc,
        token_hash: [hash; 32],
        address_sealed: format!("sealed {hash}"),
        app: None,
        peers: Vec::new(),
        size_cap: Some(7_000),
        observe_until: None,
    }
}

async fn a_route_keeps_its_former_addresses_and_steps_only_as_its_life_goes(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    for hash in [2, 3] {
        let until = own.rotate_route(id, [hash; 32], format!("sealed {hash}"), Duration::from_secs(60)).await.unwrap();
        assert_eq!(until, scene.store.clock().now().plus(Duration::from_secs(60)));
    }
    let found = async |hash: u8| scene.store.route_by_token([hash; 32]).await.unwrap();
    let (old, new) = (found(1).await.unwrap(), found(3).await.unwrap());
    assert!(old.accepted_until.is_some() && new.accepted_until.is_none());
    assert_eq!(
        (old.row, new.row.size_cap, new.row.address_sealed.as_str()),
        (new.row.clone(), Some(7_000), "sealed 3")
    );
    assert_eq!(found(4).await, None);
    let mut former: Vec<String> =
        own.former_addresses().await.unwrap().into_iter().map(|one| one.address_sealed).collect();
    former.sort();
    assert_eq!(former, ["sealed 1", "sealed 2"]);
    for step in [RouteStep::Pause, RouteStep::Resume, RouteStep::Retire] {
        own.step_route(id, step).await.unwrap();
        assert!(matches!(own.step_route(id, step).await, Err(StoreError::Conflict(_))), "{step:?} twice");
    }
    let again = own.rotate_route(id, [5; 32], String::new(), Duration::ZERO).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    own.remove_route(id).await.unwrap();
    assert!(found(1).await.is_none() && found(3).await.is_none(), "all its addresses are unknown");
}

async fn alarms_and_refusals_of_a_route_are_counted_and_end(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let first = scene.store.clock().now();
    own.raise_alarm(id, Alarm::TooLarge, 2).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(60));
    let second = scene.store.clock().now();
    own.raise_alarm(id, Alarm::TooLarge, 3).await.unwrap();
    let wanted = AlarmRow { route: id, alarm: Alarm::TooLarge, first_at: first, last_at: second, count: 5 };
    assert_eq!(own.alarms_since(second).await.unwrap(), [wanted]);
    assert_eq!(own.alarms_since(second.plus(Duration::from_secs(1))).await.unwrap(), []);
    own.end_alarm(id, Alarm::TooLarge).await.unwrap();
    assert_eq!(own.alarms_since(first).await.unwrap(), []);
    let elsewhere = own.raise_alarm(scene.store.clock().mint(), Alarm::Silent, 1).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound(_))), "{elsewhere:?}");
}

async fn copies_are_counted_and_held_ones_wait_for_their_marks_to_be_confirmed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let mark = |value: &str| vec![Mark { name: "dkim".into(), value: value.into() }];
    let copy = |key: u8, marks: Option<Vec<Mark>>| {
        let mut message = scene.message(key);
        message.views[0].scope = id.to_string();
        if marks.is_some() {
            message.views.clear();
            message.kept = Some(Kept::Held("learning"));
        }
        let held = marks.is_some().then_some("learning");
        message.copies = vec![NewCopy { route: id, marks, keep: Keep::Raw, alarm: None, tests_connector: false, held }];
        message
    };
    let (first, second) = (copy(3, Some(mark("a.example"))), copy(4, Some(mark("b.example"))));
    let ids = [first.id, second.id];
    let batch = vec![copy(1, None), copy(1, None), first, second, copy(5, Some(Vec::new()))];
    scene.store.record_mail(batch, at(CURSOR)).await.unwrap();
    let (from, to) = (Timestamp::from_micros(0), scene.store.clock().now().plus(Duration::from_secs(1)));
    let counts = own.hours(from, to).await.unwrap().remove(0).2;
    assert_eq!(counts, Counts { received: 5, folded: 1, untrusted: 3, refused: 0 });
    assert_eq!(own.held_marks(id).await.unwrap().len(), 3);
    assert_eq!(scene.store.confirmed_copies(10).await.unwrap(), []);
    assert!(matches!(own.confirm_marks(id, &[]).await, Err(StoreError::Conflict(_))));
    assert_eq!(own.confirm_marks(id, &mark("a.example")).await.unwrap(), 1);
    let row = own.route(id).await.unwrap().unwrap();
    assert_eq!((row.state, row.marks), (RouteState::Active, Some(mark("a.example"))));
    let confirmed = scene.store.confirmed_copies(10).await.unwrap();
    let wanted = Confirmed { tenant: scene.tenant, message: ids[0], route: id };
    assert_eq!(confirmed, [wanted]);
    let mut decided = scene.message(3);
    decided.id = ids[0];
    decided.views[0].event.message_id = Some(ids[0]);
    // Two nodes at once: one event.
    let both =
        [scene.store.release_copy(wanted, Some(decided.clone())), scene.store.release_copy(wanted, Some(decided))];
    let recorded: usize = futures_util::future::join_all(both).await.into_iter().map(|one| one.unwrap()).sum();
    assert_eq!(recorded, 1);
    assert_eq!(own.message(ids[0]).await.unwrap().unwrap().state, "emitted");
    assert_eq!(own.message(ids[1]).await.unwrap().unwrap().state, "held");
    assert_eq!(scene.store.confirmed_copies(10).await.unwrap(), []);
}

async fn what_would_have_followed_is_added_up(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let observed = |key: u8, operations: &[&str]| {
        let mut message = scene.message(key);
        let operations = operations.iter().map(|word| (*word).to_owned()).collect();
        message.views[0].event.observed =
            Some(NewObserved { route: id, operations, tasks: 1, approvals: 2, drafts: 0 });
        message
    };
    let batch = vec![observed(1, &["set_status", "create_task"]), observed(2, &["set_status"]), scene.message(3)];
    scene.store.record_mail(batch, at(CURSOR)).await.unwrap();
    let seen = own.observed(id, Timestamp::from_micros(0)).await.unwrap();
    assert_eq!((seen.events, seen.tasks, seen.approvals, seen.drafts), (2, 2, 4, 0));
    assert_eq!((seen.operations["set_status"], seen.operations["create_task"]), (2, 1));
    assert_eq!(seen.statuses.values().sum::<u64>(), 2);
    let until = scene.store.clock().now().plus(Duration::from_secs(60));
    let change = RouteChange { observe_until: Some(Some(until)), ..RouteChange::default() };
    own.change_route(id, change).await.unwrap();
    let row = own.route(id).await.unwrap().unwrap();
    assert!(row.is_observed(scene.store.clock().now()) && !row.is_observed(until));
    own.learn_route(id, until).await.unwrap();
    let row = own.route(id).await.unwrap().unwrap();
    assert!(row.learns(scene.store.clock().now()) && !row.learns(until));
}
