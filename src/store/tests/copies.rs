//! Later copies of one message, on SQLite and on PostgreSQL.

use serde_json::json;

use super::engine::on_both_engines;
use super::*;
use crate::contract::webhook::UPDATED;
use crate::store::copies::MESSAGE_UPDATED;

on_both_engines! {
    a_copy_adds_the_recipients_that_no_copy_before_it_named,
    other_words_under_a_known_id_are_another_message_and_flagged,
}

/// A copy of message 1 that names these recipients.
fn copy(scene: &Scene, recipients: &[&str]) -> NewMessage {
    let mut message = scene.message(1);
    let recipients: Vec<_> =
        recipients.iter().map(|address| json!({ "address": address, "displayName": null, "type": "to" })).collect();
    for view in &mut message.views {
        view.event.content = json!({ "v": 1, "recipients": recipients, "defects": [] }).to_string();
        view.event.webhook.data = json!({ "canonical": { "status": "unclear" }, "links": { "self": "here" } });
    }
    message
}

async fn a_copy_adds_the_recipients_that_no_copy_before_it_named(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["message.*"]).await;
    let first = copy(&scene, &["Ann@harbor.example"]);
    let id = first.id;
    // The second is of the same batch; the third comes later, and the fourth once more.
    let second = copy(&scene, &["ann@HARBOR.example", "bob@harbor.example"]);
    assert_eq!(scene.store.record_mail(vec![first, second], at(CURSOR)).await.unwrap(), 1);
    for (segment, recipients) in
        (2_u64..).zip([["bob@harbor.example", "carl@harbor.example"], ["carl@harbor.example", "ann@harbor.example"]])
    {
        let later = SpoolCursor { segment, position: 0 };
        scene.store.record_mail(vec![copy(&scene, &recipients)], at(later)).await.unwrap();
    }
    let events = scene.own().events_after(0, 100).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(kinds, ["inbound_message", MESSAGE_UPDATED, MESSAGE_UPDATED]);
    let places: Vec<_> = events.iter().map(|event| (event.cursor, event.thread.clone().map(|place| place.1))).collect();
    assert_eq!(places, [(1, Some(1)), (2, Some(2)), (3, Some(3))], "all in the first one's thread");
    for (event, added) in events[1..].iter().zip(["bob@harbor.example", "carl@harbor.example"]) {
        let told = &event.content;
        assert_eq!(told["updatedEventId"], json!(events[0].id), "{told}");
        assert_eq!(told["messageId"], json!(id), "{told}");
        assert_ne!(told["copyId"], json!(id), "{told}");
        assert_eq!(told["addedRecipients"], json!([{ "address": added, "displayName": null, "type": "to" }]));
        assert_eq!(event.answer, serde_json::Value::Null, "nothing is decided anew");
    }
    const PAYLOADS: &str = "SELECT p.body FROM payloads AS p JOIN events AS e ON e.tenant_id = p.tenant_id AND e.event_id = p.event_id ORDER BY e.cursor";
    let rows = query(PAYLOADS).fetch_all(&scene.store.readers).await.unwrap();
    let bodies: Vec<serde_json::Value> =
        rows.iter().map(|row| serde_json::from_str(row.try_get::<&str>(0).unwrap()).unwrap()).collect();
    assert_eq!((bodies.len(), &bodies[1]["type"], &bodies[1]["causedBy"]), (3, &json!(UPDATED), &json!(events[0].id)));
    assert_eq!(bodies[1]["data"]["links"]["self"], "here");
    assert!(bodies[1]["data"].get("canonical").is_none() && bodies[1]["data"].get("text").is_none());
    assert_eq!(scene.own().messages(Some("duplicate"), 10).await.unwrap().len(), 3);
}

async fn other_words_under_a_known_id_are_another_message_and_flagged(engine: Engine) {
    let scene = Scene::new(engine).await;
    let with = |key: u8, id: u8| {
        let mut message = copy(&scene, &["ann@harbor.example"]);
        for view in &mut message.views {
            (view.copy_key, view.id_key) = ([key; 32], Some([id; 32]));
        }
        message
    };
    let batch = vec![with(1, 100), with(2, 100), with(3, 101), with(1, 100)];
    assert_eq!(scene.store.record_mail(batch, at(CURSOR)).await.unwrap(), 3);
    let later = SpoolCursor { segment: 2, position: 0 };
    assert_eq!(scene.store.record_mail(vec![with(4, 101)], at(later)).await.unwrap(), 1);
    let events = scene.own().events_after(0, 100).await.unwrap();
    let flagged: Vec<bool> = events
        .iter()
        .map(|event| event.content["defects"].as_array().unwrap().contains(&json!("message_id_reused")))
        .collect();
    assert_eq!(flagged, [false, true, false, true]);
    let reasons: Vec<_> =
        scene.own().messages(Some("emitted"), 10).await.unwrap().into_iter().rev().map(|row| row.reason).collect();
    let reused = Some("message_id_reused".to_owned());
    assert_eq!(reasons, [None, reused.clone(), None, reused]);
}
