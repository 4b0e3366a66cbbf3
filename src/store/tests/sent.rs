//! Copies of what left here, on SQLite and on PostgreSQL.

use super::drafts::{bytes, under_way};
use super::engine::on_both_engines;
use super::*;
use crate::ids::RouteId;
use crate::mail::retention::Keep;
use crate::store::ingest::NewCopy;
use crate::store::sent;

on_both_engines! {
    a_copy_at_a_route_is_tied_to_what_was_sent_and_anything_else_is_mail,
}

/// Mail of these octets as a route, or a mailbox, sees it.
pub(super) fn mail(scene: &Scene, octets: &[u8], route: Option<RouteId>) -> NewMessage {
    let mut message = scene.message(1);
    let (copy_key, id_key) = sent::keys(octets);
    for view in &mut message.views {
        (view.copy_key, view.id_key) = (copy_key, id_key);
        view.event.content = serde_json::json!({ "v": 1, "recipients": [], "defects": [] }).to_string();
        if let Some(route) = route {
            view.scope = route.to_string();
            view.event.scope = Some(route.to_string());
        }
    }
    let copy = |route| NewCopy { route, marks: None, keep: Keep::Raw, alarm: None, tests_connector: false, held: None };
    message.copies = route.map(copy).into_iter().collect();
    message
}

async fn a_copy_at_a_route_is_tied_to_what_was_sent_and_anything_else_is_mail(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    let (route, octets) = (clock.mint(), bytes("x"));
    let mut segment = 0;
    let mut record = async |message: NewMessage| {
        segment += 1;
        scene.store.record_mail(vec![message], at(SpoolCursor { segment, position: 0 })).await.unwrap()
    };
    // Nothing of it was on its way yet: whoever sent this, it was not we.
    assert_eq!(record(mail(scene, &octets, Some(clock.mint()))).await, 1);
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    let first = mail(scene, &octets, Some(route));
    let (id, thread) = (first.id, first.views[0].event.thread.clone().unwrap());
    assert_eq!(record(first).await, 0);
    assert_eq!(record(mail(scene, &octets, Some(route))).await, 0);
    let copies = own.sent_copies(sending.draft).await.unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!((copies[0].version, copies[0].route, copies[0].message, copies[0].copies), (1, route, id, 2));
    let row = own.message(id).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reason.as_deref()), ("duplicate", Some("sent_from_here")));
    // Answers find the conversation that the copy began.
    let found = own.thread_of(&route.to_string(), &thread.references).await.unwrap();
    assert_eq!(found, Some(thread.thread_id));
    let seen = own.audit_of(&sending.draft.to_string()).await.unwrap();
    assert_eq!(seen.iter().filter(|row| row.entry.action == "draft.copy_seen").count(), 1);
    // Other words under its id are mail, and flagged; and so are the same words, unflagged, where they are for a mailbox.
    let other = [octets.as_slice(), b"other\r\n"].concat();
    assert_eq!(record(mail(scene, &other, Some(route))).await, 1);
    assert_eq!(record(mail(scene, &octets, None)).await, 1);
    let rows = own.messages(Some("emitted"), 10).await.unwrap();
    let reasons: Vec<_> = rows.iter().rev().map(|row| row.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("message_id_reused"), Some("message_id_reused"), None]);
}
