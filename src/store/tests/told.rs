//! What apps are told of drafts, and drafts that they are asked to send, on SQLite and on PostgreSQL.

use serde_json::{Value, json};

use super::drafts::{accepted, bytes, draft, hash, no, question, release, version, yes};
use super::engine::on_both_engines;
use super::sent;
use super::*;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::governance::gate::Admission;
use crate::governance::lifecycle::DraftEvent;
use crate::ids::{DraftId, KeyId, OperationId};
use crate::store::approvals::NewQuestion;
use crate::store::audit::NewEntry;
use crate::store::events::{NewDraft, NewWords};
use crate::store::handoffs::NewReport;
use crate::store::reading::EventRow;

on_both_engines! {
    every_step_is_told_once_in_order_to_whoever_asks_for_it_and_what_did_not_happen_to_nobody,
    a_draft_that_is_handed_off_is_an_operation_that_is_reported_once_and_seen_by_its_copy,
    a_copy_of_nearly_the_drafts_words_shows_it_where_nothing_was_reported,
    a_question_of_a_decision_is_told_with_its_draft_and_escalated_only_while_it_waits,
}

async fn told(scene: &Scene) -> Vec<EventRow> {
    let events = scene.own().events_after(0, 100).await.unwrap();
    events.into_iter().filter(|event| crate::contract::steps::is_step(&event.event_type)).collect()
}

fn kinds(events: &[EventRow]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

async fn every_step_is_told_once_in_order_to_whoever_asks_for_it_and_what_did_not_happen_to_nobody(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    scene.store.keep_public_url("https://gate.example".into()).await.unwrap();
    let asking = scene.endpoint(&["draft.*", "approval.requested"]).await;
    scene.endpoint(&["message.classified"]).await;
    let (id, approval, worker) = (clock.mint(), clock.mint(), clock.mint());
    let new = crate::store::drafts::NewDraftRow { app: Some(scene.app), ..draft(id, clock.mint()) };
    own.add_draft(new, version(clock, 1, "x"), None).await.unwrap();
    let key = Who::Actor(Actor::Key { key: KeyId::from_bits(1) });
    own.ask_approval(NewQuestion { asked_by: key, ..question(clock, id, approval) }).await.unwrap();
    own.approve(yes(clock, scene.tenant, id, approval)).await.unwrap();
    // Nobody answers twice: what is refused is told to nobody.
    assert!(own.reject(approval, no()).await.is_err());
    own.release_draft(release(clock, scene.tenant, id)).await.unwrap();
    let claimed = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed, Admission::of_test(hash("x"))).await.unwrap();
    own.begin_end_of_data(worker, claimed.release, vec![0, 1]).await.unwrap();
    own.finish_transmissions(worker, claimed, vec![accepted(0), accepted(1)]).await.unwrap();
    let events = told(scene).await;
    let expected = [
        "draft.created",
        "draft.release_requested",
        "draft.blocked",
        "approval.requested",
        "approval.approved",
        "draft.released",
        "draft.sent",
    ];
    assert_eq!(kinds(&events), expected);
    let cursors: Vec<i64> = events.iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, (1..=7).collect::<Vec<_>>(), "the log has no gaps");
    let places: Vec<i64> = events.iter().map(|event| event.thread.as_ref().unwrap().1).collect();
    assert_eq!(places, (1..=7).collect::<Vec<_>>());
    let deliveries = scene.claim(clock.mint()).await;
    let mut bodies: Vec<Value> =
        deliveries.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect();
    bodies.sort_by_key(|body| body["thread"]["sequence"].as_i64());
    assert!(deliveries.iter().all(|delivery| delivery.endpoint == asking));
    let types: Vec<&str> = bodies.iter().map(|body| body["type"].as_str().unwrap()).collect();
    let wanted: Vec<&str> = expected.into_iter().filter(|kind| *kind != "approval.approved").collect();
    assert_eq!(types, wanted);
    let data = &bodies[3]["data"];
    assert_eq!(
        (data["approvalId"].as_str(), &data["reasons"]),
        (Some(&*approval.to_string()), &json!(["approval_required"]))
    );
    assert_eq!(data["links"]["approval"], format!("https://gate.example/approvals/{approval}"));
    let sent = &bodies[5]["data"];
    assert_eq!((&sent["state"], &sent["draftId"]), (&json!("sent"), &json!(id)));
    assert_eq!(sent["contentHash"].as_str().map(str::len), Some(64));
    assert_eq!(bodies[0]["app"], "deals");
    // What the log tells is what was delivered.
    assert_eq!(events[6].content["state"], sent["state"]);
}

fn entry(draft: DraftId, action: &'static str) -> NewEntry {
    NewEntry::new(Who::Gateway, action, draft, json!({}))
}

/// A draft that answers an event of mail and is handed off; its operation, and the event that it answers.
async fn handed_off(scene: &Scene, text: &str) -> (DraftId, Value) {
    let (own, clock) = (scene.own(), scene.store.clock());
    let mut asked = scene.message(1);
    let event = &mut asked.views[0].event;
    event.source_event_id = Some("asked@lakeside.example".into());
    let (answers, id) = (event.event_id, clock.mint());
    scene.store.record_mail(vec![asked], at(CURSOR)).await.unwrap();
    let new = crate::store::drafts::NewDraftRow {
        app: Some(scene.app),
        answers: Some(answers),
        identity_owner: "source_app",
        external_reply_url: Some("https://app.example/reply".into()),
        ..draft(id, clock.mint())
    };
    let words = json!({ "subject": "Tuesday", "text": text, "to": ["ann@lakeside.example"] });
    let version = crate::store::drafts::VersionRow { parts: words.to_string(), ..version(clock, 1, "x") };
    own.add_draft(new, version, None).await.unwrap();
    own.step_draft(id, DraftEvent::HandOff, entry(id, "draft.handed_off")).await.unwrap();
    let events = told(scene).await;
    let told = events.last().unwrap();
    assert_eq!(told.event_type, "draft.handed_off");
    assert_eq!(told.content["causedBy"], json!(answers));
    (id, told.content["operations"][0].clone())
}

fn report(draft: DraftId, outcome: &'static str, message_id: Option<&str>) -> NewReport {
    NewReport {
        draft,
        outcome,
        message_id: message_id.map(str::to_owned),
        sent_at: None,
        note: None,
        by: Actor::Key { key: KeyId::from_bits(1) },
    }
}

/// A copy of what somebody of the tenant sent, as a route shows it.
fn copy(scene: &Scene, octets: &[u8], text: &str, to: &[&str]) -> NewMessage {
    let mut message = sent::mail(scene, octets, Some(scene.store.clock().mint()));
    let event = &mut message.views[0].event;
    let recipients: Vec<Value> = to.iter().map(|to| json!({ "address": to, "type": "to" })).collect();
    event.content =
        json!({ "v": 1, "recipients": recipients, "defects": [], "inReplyTo": "asked@lakeside.example" }).to_string();
    event.event_type = "outbound_copy".into();
    event.text = text.into();
    message
}

async fn a_draft_that_is_handed_off_is_an_operation_that_is_reported_once_and_seen_by_its_copy(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let own = scene.own();
    let (id, operation) = handed_off(scene, "See you on Tuesday.").await;
    assert_eq!(operation["type"], "reply_in_source_app");
    let params = &operation["params"];
    assert_eq!(
        (&params["text"], &params["externalReplyUrl"]),
        (&json!("See you on Tuesday."), &json!("https://app.example/reply"))
    );
    assert_eq!(params["inReplyTo"], "asked@lakeside.example");
    let operation: OperationId = operation["id"].as_str().unwrap().parse().unwrap();
    assert!(own.target_of_operation(operation).await.unwrap().is_some(), "an outcome can be reported on it");
    let once = own.report_handoff(report(id, "sent", Some("x@harbor.example")), None).await.unwrap();
    assert_eq!(once, crate::store::idempotency::Once::First(()));
    own.report_handoff(report(id, "sent", Some("x@harbor.example")), None).await.unwrap();
    let other = own.report_handoff(report(id, "discarded", None), None).await;
    assert!(matches!(other, Err(StoreError::Conflict(_))), "{other:?}");
    let log = own.audit_of(&id.to_string()).await.unwrap();
    assert_eq!(log.iter().filter(|row| row.entry.action == "draft.reported").count(), 1);
    let row = own.handoff(id).await.unwrap().unwrap();
    let history = own.outcome_history(own.target_of_operation(operation).await.unwrap().unwrap().event).await.unwrap();
    assert_eq!((row.operation, history[0].0.as_str()), (Some(operation), "applied"));
    // Whatever its words are: the app said that this id is the draft. It is an event of its own all the same.
    let seen = copy(scene, &bytes("x"), "Quite other words", &["eve@elsewhere.example"]);
    let message = seen.id;
    assert_eq!(scene.store.record_mail(vec![seen], at(SpoolCursor { segment: 3, position: 0 })).await.unwrap(), 1);
    let row = own.handoff(id).await.unwrap().unwrap();
    assert_eq!((row.seen.map(|seen| seen.0), row.matched_by.as_deref()), (Some(message), Some("message_id")));
    assert_eq!(own.sent_copies(id).await.unwrap()[0].message, message);
    assert_eq!(own.draft(id).await.unwrap().unwrap().state.as_str(), "handed_off");
    let events = told(scene).await;
    assert_eq!(kinds(&events)[2..], ["draft.updated", "draft.updated"]);
    assert_eq!(
        own.report_handoff(report(scene.store.clock().mint(), "sent", None), None).await.unwrap_err().to_string(),
        StoreError::Conflict("the draft was not handed off to its app").to_string()
    );
}

async fn a_copy_of_nearly_the_drafts_words_shows_it_where_nothing_was_reported(engine: Engine) {
    const WORDS: &str = "Thank you for your message, Ann. We have looked at the papers that you sent us last week, and \
would like to meet you on Tuesday in our office by the lake to talk about all of it at length.";
    let scene = &Scene::new(engine).await;
    let own = scene.own();
    let (id, _) = handed_off(scene, WORDS).await;
    let everybody = ["ann@lakeside.example", "bo@harbor.example", "cc@harbor.example"];
    let edited = WORDS.replace("Tuesday", "Wednesday");
    for (segment, text, to, is_it) in [
        (3, "No, thank you: we do not want to hear anything more about this.", &everybody[..], false),
        (4, edited.as_str(), &everybody[..1], false),
        (5, edited.as_str(), &everybody[..], true),
    ] {
        let seen = copy(scene, format!("Message-ID: <{segment}@harbor.example>\r\n\r\n").as_bytes(), text, to);
        scene.store.record_mail(vec![seen], at(SpoolCursor { segment, position: 0 })).await.unwrap();
        let row = own.handoff(id).await.unwrap().unwrap();
        assert_eq!(row.seen.is_some(), is_it, "{text} {to:?}");
    }
    assert_eq!(own.handoff(id).await.unwrap().unwrap().matched_by.as_deref(), Some("likeness"));
}

async fn a_question_of_a_decision_is_told_with_its_draft_and_escalated_only_while_it_waits(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, approval) = (clock.mint(), clock.mint());
    let mut message = scene.message(1);
    let event = &mut message.views[0].event;
    let words = version(clock, 1, "x");
    event.approvals.push(crate::store::events::NewApproval {
        approval_id: approval,
        draft_id: Some(id),
        reasons: vec!["commitment_requested".into()],
        about: Some(words.content_hash.clone()),
    });
    event.drafts.push(NewDraft {
        draft_id: id,
        identity_owner: "connex".into(),
        state: "pending_approval".into(),
        external_reply_url: None,
        content: json!({}),
        words: Some(NewWords {
            mailbox: Some(clock.mint()),
            thread: ThreadId::from_bits(7),
            answers: Some(event.event_id),
            template: ("builtin/en/any".into(), 1),
            version: words,
        }),
    });
    let proposing = event.event_id;
    scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap();
    let events = told(scene).await;
    assert_eq!(kinds(&events), ["draft.created", "draft.blocked", "approval.requested"]);
    assert!(events.iter().all(|event| event.content["causedBy"] == json!(proposing)));
    assert_eq!(events[0].content["template"], json!({ "id": "builtin/en/any", "version": 1 }));
    let row = own.draft(id).await.unwrap().unwrap();
    assert_eq!((row.version, row.template), (1, Some(("builtin/en/any".into(), 1))));
    own.approve(yes(clock, scene.tenant, id, approval)).await.unwrap();
    assert_eq!(kinds(&told(scene).await)[3..], ["approval.approved"]);
    assert_eq!(own.outcome_history(proposing).await.unwrap()[0].0, "approved");
}
