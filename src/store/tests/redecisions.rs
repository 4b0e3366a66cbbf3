//! Held copies that are decided on again, on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::ids::RouteId;
use crate::mail::marks::Mark;
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::store::ingest::NewCopy;
use crate::store::redecisions::{HeldCopies, Redecided, Redecision};
use crate::store::routes::{NewRoute, RouteStep};

on_both_engines! {
    held_copies_are_asked_for_by_window_and_reason_and_are_decided_on_once,
    a_copy_that_stays_held_says_why_and_keeps_its_marks,
    what_one_route_believed_can_still_be_held_at_another,
    only_a_returned_report_is_released_and_only_at_a_route_that_takes_copies,
}

async fn add_route(scene: &Scene, hash: u8) -> RouteId {
    let route = NewRoute {
        reader: Reader::Bcc,
        token_hash: [hash; 32],
        address_sealed: format!("sealed {hash}"),
        app: None,
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    };
    let id = scene.store.clock().mint();
    scene.own().add_route(id, route).await.unwrap();
    id
}

fn at_route(route: RouteId, held: Option<&'static str>) -> NewCopy {
    NewCopy { route, marks: None, keep: Keep::Raw, alarm: None, tests_connector: false, held }
}

/// A message that is held at the route.
fn held(scene: &Scene, key: u8, route: RouteId, reason: &'static str) -> NewMessage {
    let mut message = scene.message(key);
    message.views.clear();
    message.kept = Some(Kept::Held(reason));
    message.copies = vec![at_route(route, Some(reason))];
    message
}

/// The same, as it is where it is believed.
fn believed(scene: &Scene, key: u8, id: MessageId, route: RouteId) -> NewMessage {
    let mut message = scene.message(key);
    message.id = id;
    message.views[0].scope = route.to_string();
    message.views[0].event.scope = Some(route.to_string());
    message.views[0].event.message_id = Some(id);
    message.copies = vec![at_route(route, None)];
    message
}

fn ever(reason: Option<&str>) -> HeldCopies {
    let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    HeldCopies { from, to, reason: reason.map(str::to_owned) }
}

async fn counts(scene: &Scene, route: RouteId) -> Vec<(String, u64, u64)> {
    let held = scene.own().held_copies(route, &ever(None)).await.unwrap();
    held.into_iter().map(|one| (one.reason, one.copies, one.waiting)).collect()
}

async fn held_copies_are_asked_for_by_window_and_reason_and_are_decided_on_once(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock, route) = (scene.own(), scene.store.clock(), add_route(&scene, 1).await);
    let first = held(&scene, 1, route, "peer_not_authorised");
    let ids = [first.id];
    scene.store.record_mail(vec![first], at(CURSOR)).await.unwrap();
    clock.advance(Duration::from_secs(60));
    let between = clock.now();
    let others = vec![
        held(&scene, 2, route, "peer_not_authorised"),
        held(&scene, 3, route, "format_mismatch"),
        held(&scene, 4, route, "too_large"),
    ];
    scene.store.record_mail(others, at(SpoolCursor { segment: 2, position: 0 })).await.unwrap();
    let all = |waiting: u64| {
        let one = |reason: &str, copies: u64, waiting: u64| (reason.to_owned(), copies, waiting);
        [one("peer_not_authorised", 2, waiting), one("format_mismatch", 1, 0), one("too_large", 1, 0)]
    };
    assert_eq!(counts(&scene, route).await, all(0));
    let early = HeldCopies { to: between, ..ever(Some("peer_not_authorised")) };
    for _ in 0..2 {
        assert!(!own.ask_again(route, early.clone(), "operator".into()).await.unwrap());
        assert_eq!(counts(&scene, route).await, all(1), "asking twice is asking once");
    }
    own.ask_again(route, ever(Some("too_large")), "operator".into()).await.unwrap();
    assert_eq!(counts(&scene, route).await, all(1), "there is no more of it than a record");
    let waiting = scene.store.redecisions(10).await.unwrap();
    let wanted =
        Redecision { tenant: scene.tenant, message: ids[0], route, asked_by: "operator".into(), is_released: false };
    assert_eq!(waiting, std::slice::from_ref(&wanted));
    scene.store.put_off_redecision(&wanted).await.unwrap();
    assert_eq!(scene.store.redecisions(10).await.unwrap(), []);
    clock.advance(Duration::from_secs(60));
    assert_eq!(scene.store.redecisions(10).await.unwrap(), std::slice::from_ref(&wanted));
    // Two nodes at once, and one that was cut off behind its commit and does it once more: one event.
    let message = || Some(believed(&scene, 1, ids[0], route));
    let both = [scene.store.record_redecision(&wanted, message()), scene.store.record_redecision(&wanted, message())];
    let mut recorded: Vec<_> = futures_util::future::join_all(both).await.into_iter().map(Result::unwrap).collect();
    recorded.push(scene.store.record_redecision(&wanted, message()).await.unwrap());
    recorded.sort_by_key(|one| *one == Redecided::Done);
    assert_eq!(recorded, [Redecided::Decided(1), Redecided::Done, Redecided::Done]);
    assert_eq!(own.events_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(own.message(ids[0]).await.unwrap().unwrap().state, "emitted");
    assert_eq!(counts(&scene, route).await.iter().map(|(_, copies, _)| copies).sum::<u64>(), 3);
    own.step_route(route, RouteStep::Pause).await.unwrap();
    let paused = own.ask_again(route, ever(None), "operator".into()).await;
    assert!(matches!(paused, Err(StoreError::Conflict(_))), "{paused:?}");
}

async fn a_copy_that_stays_held_says_why_and_keeps_its_marks(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, route) = (scene.own(), add_route(&scene, 1).await);
    let message = held(&scene, 1, route, "peer_not_authorised");
    let id = message.id;
    scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap();
    own.ask_again(route, ever(None), "operator".into()).await.unwrap();
    let asked = scene.store.redecisions(10).await.unwrap().remove(0);
    let marks = vec![Mark { name: "dkim".into(), value: "harbor.example".into() }];
    let mut again = held(&scene, 1, route, "unverified");
    again.id = id;
    again.copies[0].marks = Some(marks.clone());
    let recorded = scene.store.record_redecision(&asked, Some(again)).await.unwrap();
    assert_eq!(recorded, Redecided::Held("unverified"));
    let row = own.message(id).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reason.as_deref()), ("held", Some("unverified")));
    assert_eq!(counts(&scene, route).await, [("unverified".to_owned(), 1, 0)]);
    assert_eq!(own.marks_of(route, id).await.unwrap(), Some(marks.clone()));
    assert_eq!(own.held_marks(route).await.unwrap().remove(0).marks, marks, "they can be confirmed now");
    // What cannot be read now is held as it was.
    own.ask_again(route, ever(None), "operator".into()).await.unwrap();
    let asked = scene.store.redecisions(10).await.unwrap().remove(0);
    assert_eq!(scene.store.record_redecision(&asked, None).await.unwrap(), Redecided::Unchanged);
    assert_eq!(counts(&scene, route).await, [("unverified".to_owned(), 1, 0)]);
    assert_eq!(own.events_after(0, 10).await.unwrap().len(), 0);
}

async fn what_one_route_believed_can_still_be_held_at_another(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, one, other) = (scene.own(), add_route(&scene, 1).await, add_route(&scene, 2).await);
    let mut message = scene.message(1);
    message.views[0].scope = one.to_string();
    message.copies = vec![at_route(one, None), at_route(other, Some("author_not_listed"))];
    let id = message.id;
    scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap();
    assert_eq!(counts(&scene, one).await, []);
    own.ask_again(other, ever(None), "operator".into()).await.unwrap();
    let asked = scene.store.redecisions(10).await.unwrap().remove(0);
    let recorded = scene.store.record_redecision(&asked, Some(believed(&scene, 1, id, other))).await.unwrap();
    assert_eq!(recorded, Redecided::Decided(1));
    assert_eq!(own.events_after(0, 10).await.unwrap().len(), 2, "one at each");
    assert_eq!(counts(&scene, other).await, []);
}

async fn only_a_returned_report_is_released_and_only_at_a_route_that_takes_copies(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, route, other) = (scene.own(), add_route(&scene, 1).await, add_route(&scene, 2).await);
    let (stranger, returned) =
        (held(&scene, 1, route, "peer_not_authorised"), held(&scene, 2, route, "returned_report"));
    let (stranger_id, returned_id) = (stranger.id, returned.id);
    scene.store.record_mail(vec![stranger, returned], at(CURSOR)).await.unwrap();
    let release = async |route: RouteId, id: MessageId| own.release_returned(route, id, "operator".into()).await;
    assert!(matches!(release(route, stranger_id).await, Err(StoreError::Conflict(_))));
    assert!(matches!(release(other, returned_id).await, Err(StoreError::NotFound(_))));
    own.step_route(route, RouteStep::Pause).await.unwrap();
    assert!(matches!(release(route, returned_id).await, Err(StoreError::Conflict(_))));
    own.step_route(route, RouteStep::Resume).await.unwrap();
    assert_eq!(scene.store.redecisions(10).await.unwrap(), []);
    // Whether or not it waits for another look already.
    own.ask_again(route, ever(None), "key".into()).await.unwrap();
    release(route, returned_id).await.unwrap();
    let waiting = scene.store.redecisions(10).await.unwrap();
    let told: Vec<_> = waiting.iter().map(|one| (one.message, one.is_released, one.asked_by.as_str())).collect();
    assert!(told.contains(&(returned_id, true, "operator")) && told.contains(&(stranger_id, false, "key")), "{told:?}");
}
