//! Copies of what left here, on SQLite and on PostgreSQL.

use super::drafts::{bytes, under_way};
use super::engine::on_both_engines;
use super::*;
use crate::governance::audit::subject_of_address;
use crate::governance::role::Role;
use crate::ids::RouteId;
use crate::mail::retention::Keep;
use crate::store::ingest::NewCopy;
use crate::store::sent;
use crate::store::sent::NewReturned;
use crate::store::standing::SuppressionReason;

on_both_engines! {
    a_copy_at_a_route_is_tied_to_what_was_sent_and_anything_else_is_mail,
    a_report_marks_and_suppresses_those_whom_it_is_about_and_who_got_the_message,
    who_wants_no_more_mail_gets_none_and_the_first_reason_stays,
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

async fn a_report_marks_and_suppresses_those_whom_it_is_about_and_who_got_the_message(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let own = scene.own();
    let sending = under_way(scene, "x").await;
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0, 1]).await.unwrap();
    let release = async || own.release(sending.claimed.release).await.unwrap().unwrap();
    let first = release().await.row.transmissions[0].recipient.key();
    let (_, id_key) = sent::keys(&bytes("x"));
    let id_key = id_key.unwrap();
    let mut number = 0_u8;
    let mut report = async |id_key, addresses: Option<&str>, reason| {
        number += 1;
        let mut message = scene.message(number);
        let event = &mut message.views[0].event;
        event.returned = Some(NewReturned {
            id_key: Some(id_key),
            path: None,
            addresses: addresses.map(|address| vec![address.to_owned()]),
            reason,
        });
        let id = event.event_id;
        let place = SpoolCursor { segment: number.into(), position: 0 };
        scene.store.record_mail(vec![message], at(place)).await.unwrap();
        id
    };
    // Of two recipients a complaint names neither; nobody else got the message; and another message is another.
    report(id_key, None, SuppressionReason::Complaint).await;
    report(id_key, Some("stranger@lakeside.example"), SuppressionReason::HardBounce).await;
    report([9; 32], Some(&first), SuppressionReason::HardBounce).await;
    assert_eq!(own.suppressions_after("", 9).await.unwrap(), []);
    let event = report(id_key, Some(&first), SuppressionReason::HardBounce).await;
    report(id_key, Some(&first), SuppressionReason::HardBounce).await;
    let suppressed = own.suppressions_after("", 9).await.unwrap();
    assert_eq!((suppressed.len(), &suppressed[0].address_key), (1, &first));
    let returned: Vec<_> = release().await.progress.iter().map(|one| one.returned_by).collect();
    assert_eq!(returned, [Some(event), None], "the first report");
    let log = own.audit_of(&sending.draft.to_string()).await.unwrap();
    assert_eq!(log.iter().filter(|row| row.entry.action == "transmission.returned").count(), 1);
}

async fn who_wants_no_more_mail_gets_none_and_the_first_reason_stays(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let own = scene.own();
    let record = async |number: u8, address: &str| {
        let mut message = scene.message(number);
        let event = &mut message.views[0].event;
        event.unsubscribed = Some(address.to_owned());
        let id = event.event_id;
        let place = SpoolCursor { segment: number.into(), position: 0 };
        scene.store.record_mail(vec![message], at(place)).await.unwrap();
        id
    };
    let first = record(1, "ann@lakeside.example").await;
    record(2, "ann@lakeside.example").await;
    let rows = own.suppressions_after("", 9).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].reason.as_str(), rows[0].event.clone()), ("unsubscribe", Some(first.to_string())));
    let log = own.audit_of(&subject_of_address("ann@lakeside.example")).await.unwrap();
    assert_eq!(log.iter().filter(|row| row.entry.action == "address.suppressed").count(), 1);
    assert_eq!(own.suppressions_after("ann@lakeside.example", 9).await.unwrap(), []);
    // Who has an account here turns notices off there.
    own.add_user(super::accounts::user(scene, "eve@lakeside.example", Role::Viewer)).await.unwrap();
    record(3, "eve@lakeside.example").await;
    assert_eq!(own.suppressions_after("ann@lakeside.example", 9).await.unwrap(), []);
}
