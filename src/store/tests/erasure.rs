//! What is left of a draft that was erased, in every table, on SQLite and on PostgreSQL.

use std::collections::BTreeSet;

use serde_json::json;

use super::drafts::{accepted, bytes, draft, hash, no, question, release, verdict, version, yes};
use super::engine::on_both_engines;
use super::sent::mail;
use super::*;
use crate::governance::audit::{Walk, Who, subject_of_address};
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::governance::{Actor, Admission};
use crate::ids::{ApprovalId, DraftId, KeyId, ReleaseId};
use crate::service::erasures::erase;
use crate::store::approvals::NewRejection;
use crate::store::audit::NewEntry;
use crate::store::drafts::erase::DraftErasure;
use crate::store::drafts::{NewDraftRow, VersionRow};
use crate::store::handoffs::NewReport;
use crate::store::idempotency::KeyedCall;
use crate::store::releases::Outcome;
use crate::store::sent;
use crate::store::sent::NewReturned;
use crate::store::standing::SuppressionReason;
use crate::store::verdicts::VerdictRow;

on_both_engines! {
    nothing_in_any_table_names_the_person_or_the_words_of_what_was_erased,
    what_comes_late_of_an_erased_draft_is_known_or_tied_to_nothing,
    a_draft_that_is_not_over_is_left_as_it_is_and_named,
}

/// A word of each text.
const MARK: &str = "saltmarsh";
const ANN: &str = "ann@lakeside.example";

/// The tables in which `needle` stands, as text or as octets.
async fn tables_with(scene: &Scene, needle: &str) -> BTreeSet<String> {
    let hex: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = BTreeSet::new();
    for (table, columns) in schema::columns(&scene.store).await {
        for (column, kind) in columns {
            let (text, needle) = match (kind.as_str(), &scene.store.readers) {
                ("BLOB", Pool::Sqlite(_)) => (format!("lower(hex({column}))"), hex.as_str()),
                ("BLOB", Pool::Postgres(_)) => (format!("encode({column}, 'hex')"), hex.as_str()),
                _ => (format!("lower(CAST({column} AS TEXT))"), needle),
            };
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {text} LIKE $1");
            let count = sql::built(sql).bind(format!("%{needle}%")).fetch_one(&scene.store.readers).await.unwrap();
            if count.try_get::<i64>(0).unwrap() > 0 {
                found.insert(table.clone());
            }
        }
    }
    found
}

fn worded(scene: &Scene, number: u32) -> VersionRow {
    let parts = json!({ "to": [format!("Ann <{ANN}>")], "cc": [], "bcc": ["bo@harbor.example"],
        "subject": MARK, "text": format!("The {MARK} at dawn"), "html": MARK });
    VersionRow {
        author: Actor::Agent { agent: "desk".into() },
        parts: parts.to_string(),
        ..version(scene.store.clock(), number, MARK)
    }
}

fn new_draft(scene: &Scene, id: DraftId) -> NewDraftRow {
    let clock = scene.store.clock();
    // Its outcomes are those of the event that it answers.
    NewDraftRow { app: Some(scene.app), answers: Some(clock.mint()), ..draft(id, clock.mint()) }
}

/// A draft that was refused, edited, asked about again, released and sent, with words everywhere; its release.
async fn sent_draft(scene: &Scene, id: DraftId) -> ReleaseId {
    let (own, clock) = (scene.own(), scene.store.clock());
    let view = json!({ "draft": { "id": id, "content": { "to": [ANN], "text": MARK } } });
    let call = KeyedCall { principal: "key".into(), key: "once".into(), fingerprint: [1; 32], body: view.to_string() };
    own.add_draft(new_draft(scene, id), worded(scene, 1), Some(call)).await.unwrap();
    let (first, second): (ApprovalId, ApprovalId) = (clock.mint(), clock.mint());
    own.ask_approval(question(clock, id, first)).await.unwrap();
    own.reject(first, NewRejection { note: Some(format!("not {MARK} to {ANN}")), ..no() }).await.unwrap();
    own.edit_draft(id, worded(scene, 2), clock.mint(), (ThreadId::from_bits(7), Some(clock.mint()))).await.unwrap();
    own.ask_approval(question(clock, id, second)).await.unwrap();
    own.approve(yes(clock, scene.tenant, id, second)).await.unwrap();
    own.keep_verdict(VerdictRow { ground: Some(json!({ "known": [ANN, MARK] }).to_string()), ..verdict(clock, id) })
        .await
        .unwrap();
    let mut new = release(clock, scene.tenant, id);
    new.version = 2;
    let release = new.row.id;
    own.release_draft(new).await.unwrap();
    let worker = clock.mint();
    let claimed = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed, Admission::of_test(hash(MARK))).await.unwrap();
    own.begin_end_of_data(worker, claimed.release, vec![0, 1]).await.unwrap();
    let told = |position| Outcome { reply: format!("250 {MARK} for {ANN}"), ..accepted(position) };
    own.finish_transmissions(worker, claimed, vec![told(0), told(1)]).await.unwrap();
    release
}

fn report(id: DraftId) -> NewReport {
    NewReport {
        draft: id,
        outcome: "sent",
        message_id: Some(format!("{MARK}@app.example")),
        sent_at: None,
        note: Some(format!("to {ANN}: {MARK}")),
        by: Actor::Key { key: KeyId::from_bits(1) },
    }
}

/// A draft that its app was asked to send, and what that reported.
async fn handed_off(scene: &Scene, id: DraftId) {
    let own = scene.own();
    own.add_draft(new_draft(scene, id), worded(scene, 1), None).await.unwrap();
    let entry = NewEntry::new(Who::Gateway, "draft.handed_off", id, json!({}));
    own.step_draft(id, DraftEvent::HandOff, entry).await.unwrap();
    own.report_handoff(report(id), None).await.unwrap();
}

async fn nothing_in_any_table_names_the_person_or_the_words_of_what_was_erased(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    scene.endpoint(&["draft.*", "approval.*"]).await;
    let (id, other): (DraftId, DraftId) = (clock.mint(), clock.mint());
    let release = sent_draft(scene, id).await;
    handed_off(scene, other).await;
    own.suppress(ANN.into(), SuppressionReason::Manual, None, Who::Operator).await.unwrap();
    let (before, head) = (own.draft(id).await.unwrap().unwrap(), own.audit_head().await.unwrap());
    let hash = own.draft_version(id, 2).await.unwrap().unwrap().content_hash;
    let receipt = own.receipt(release).await.unwrap();
    let named = tables_with(scene, MARK).await;
    for table in [
        "approvals",
        "audit_log",
        "draft_versions",
        "handoffs",
        "idempotency_keys",
        "outcomes",
        "payloads",
        "transmissions",
        "verdicts",
    ] {
        assert!(named.contains(table), "the scene puts nothing into {table}: {named:?}");
    }
    let named = tables_with(scene, ANN).await;
    for table in ["counted_releases", "events", "operations", "payloads", "suppressions", "audit_log"] {
        assert!(named.contains(table), "the scene puts nothing into {table}: {named:?}");
    }

    let by = Who::Actor(Actor::Key { key: KeyId::from_bits(2) });
    let erased = erase(&own, "Ann@LAKESIDE.example", by.clone()).await.unwrap();
    assert_eq!((erased.drafts, erased.open.len()), (2, 0));
    assert_eq!(tables_with(scene, MARK).await, BTreeSet::new());
    assert_eq!(tables_with(scene, ANN).await, BTreeSet::from(["suppressions".to_owned()]), "which is for the person");
    assert_eq!(tables_with(scene, "bo@harbor.example").await, BTreeSet::new());

    // What it was, and what was done, can be seen as before.
    let row = own.draft(id).await.unwrap().unwrap();
    assert_eq!(row.erased_at, Some(clock.now()));
    assert_eq!(crate::store::drafts::DraftRow { erased_at: None, ..row }, before);
    let version = own.draft_version(id, 2).await.unwrap().unwrap();
    assert!(version.is_erased() && version.content_hash == hash);
    let transmissions = own.release(release).await.unwrap().unwrap();
    assert_eq!(transmissions.progress.iter().map(|one| one.attempts).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(own.receipt(release).await.unwrap(), receipt);
    let rows = own.audit_after(0, 200).await.unwrap();
    let mut walk = Walk::new(scene.tenant, None).unwrap();
    for row in &rows {
        walk.take(&row.entry, row.hash, row.detail.as_deref()).unwrap();
    }
    assert_eq!(walk.end().unwrap(), own.audit_head().await.unwrap());
    assert!(rows.iter().any(|row| (row.entry.number, row.hash) == head), "a head of before");
    let last = own.audit_of(&id.to_string()).await.unwrap().pop().unwrap();
    assert_eq!((last.entry.action.as_str(), last.entry.actor), ("draft.erased", by.to_string()));
    let about = own.audit_of(&subject_of_address(ANN)).await.unwrap();
    assert_eq!(
        about.iter().map(|row| row.entry.action.as_str()).collect::<Vec<_>>(),
        ["address.suppressed", "audit.erased"]
    );

    // Once more there is nothing to do, and nothing is put on record.
    let head = own.audit_head().await.unwrap();
    assert_eq!(erase(&own, ANN, by).await.unwrap(), crate::service::erasures::ErasureAnswer::default());
    assert_eq!(own.erase_draft(id, Who::Operator).await.unwrap(), DraftErasure::Before);
    assert_eq!(own.audit_head().await.unwrap(), head);
}

async fn what_comes_late_of_an_erased_draft_is_known_or_tied_to_nothing(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let id = clock.mint();
    sent_draft(scene, id).await;
    own.erase_draft(id, Who::Gateway).await.unwrap();
    let mut segment = 0;
    let mut record = async |message: NewMessage| {
        segment += 1;
        scene.store.record_mail(vec![message], at(SpoolCursor { segment, position: 0 })).await.unwrap()
    };
    // Who knows the words proves that they are known here, and no more.
    let route = clock.mint();
    assert_eq!(record(mail(scene, &bytes(MARK), Some(route))).await, 0, "a copy is no new work");
    assert_eq!(own.sent_copies(id).await.unwrap().len(), 1);
    let mut message = scene.message(2);
    let (_, id_key) = sent::keys(&bytes(MARK));
    message.views[0].event.returned =
        Some(NewReturned { id_key, path: None, addresses: None, reason: SuppressionReason::HardBounce });
    assert_eq!(record(message).await, 1);
    assert_eq!(own.suppressions_after("", 9).await.unwrap(), []);
    assert_eq!(own.draft(id).await.unwrap().unwrap().state, DraftState::Sent);

    // What an app says late would be there for ever.
    let silent = clock.mint();
    own.add_draft(new_draft(scene, silent), worded(scene, 1), None).await.unwrap();
    let entry = NewEntry::new(Who::Gateway, "draft.handed_off", silent, json!({}));
    own.step_draft(silent, DraftEvent::HandOff, entry).await.unwrap();
    assert!(matches!(own.erase_draft(silent, Who::Operator).await.unwrap(), DraftErasure::Done(_)));
    let late = own.report_handoff(report(silent), None).await;
    assert!(matches!(late, Err(StoreError::Conflict("the draft was erased"))), "{late:?}");

    // Nobody goes on with it: not even with what may be edited otherwise.
    let denied = clock.mint();
    own.add_draft(new_draft(scene, denied), worded(scene, 1), None).await.unwrap();
    let entry = || NewEntry::new(Who::Gateway, "draft.denied", denied, json!({}));
    own.step_draft(denied, DraftEvent::Deny, entry()).await.unwrap();
    assert!(matches!(own.erase_draft(denied, Who::Operator).await.unwrap(), DraftErasure::Done(_)));
    let edited = own.edit_draft(denied, worded(scene, 2), clock.mint(), (ThreadId::from_bits(7), None)).await;
    assert!(matches!(edited, Err(StoreError::Conflict("the draft was erased"))), "{edited:?}");
}

async fn a_draft_that_is_not_over_is_left_as_it_is_and_named(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (open, over): (DraftId, DraftId) = (clock.mint(), clock.mint());
    own.add_draft(new_draft(scene, open), worded(scene, 1), None).await.unwrap();
    own.add_draft(new_draft(scene, over), worded(scene, 1), None).await.unwrap();
    let withdrawn = NewEntry::new(Who::Gateway, "draft.withdrawn", over, json!({}));
    own.step_draft(over, DraftEvent::Withdraw, withdrawn).await.unwrap();
    let erased = erase(&own, ANN, Who::Operator).await.unwrap();
    assert_eq!((erased.drafts, erased.open), (1, vec![open.to_string()]));
    assert!(!own.draft_version(open, 1).await.unwrap().unwrap().is_erased());
    assert_eq!(own.erase_draft(open, Who::Operator).await.unwrap(), DraftErasure::Open(DraftState::Draft));
    assert!(matches!(own.erase_draft(clock.mint(), Who::Operator).await, Err(StoreError::NotFound("draft"))));
    let withdrawn = NewEntry::new(Who::Gateway, "draft.withdrawn", open, json!({}));
    own.step_draft(open, DraftEvent::Withdraw, withdrawn).await.unwrap();
    assert_eq!(own.drafts_over_before(clock.now(), 9).await.unwrap(), [], "not before it is over for so long");
    clock.advance(Duration::from_secs(1));
    assert_eq!(own.drafts_over_before(clock.now(), 9).await.unwrap(), [open]);
    assert_eq!(erase(&own, &open.to_string(), Who::Operator).await.unwrap().drafts, 1);
    assert_eq!(own.drafts_over_before(clock.now(), 9).await.unwrap(), []);
}
