//! Drafts, questions, releases and transmissions: who holds what, and what each step leaves, on both engines.

use serde_json::json;

use super::*;
use crate::governance::audit::{Walk, Who};
use crate::governance::chain::reading::Chain;
use crate::governance::gate::{Admission, Transmission};
use crate::governance::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use crate::governance::receipt::tests::unsigned;
use crate::governance::{Actor, Approval, Content, ContentHash, Evidence, IdentityOwner, Policy, ReleaseRow};
use crate::ids::{ApprovalId, DraftId, MailboxId, ReleaseId, UserId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::store::approvals::{ApprovalState, NewQuestion, NewRejection};
use crate::store::audit::NewEntry;
use crate::store::drafts::{NewDraftRow, VersionRow};
use crate::store::releases::{ClaimedRelease, Finding, NewRelease, Outcome};
use crate::store::signing::{KeyRecordSeen, SEEN_WITHIN, SigningKeyRow};
use crate::store::standing::{Paused, SuppressionReason};
use crate::store::tests::engine::on_both_engines;
use crate::store::usage::counted_under;
use crate::store::verdicts::{Occasion, VerdictRow};

/// What a tenant has that is on its way.
pub(super) struct Sending {
    pub(super) draft: DraftId,
    pub(super) approval: ApprovalId,
    pub(super) worker: WorkerId,
    pub(super) claimed: ClaimedRelease,
}

/// Gives the scene's tenant a draft that is on its way, and everything beside it.
pub(super) async fn fill(scene: &Scene, mark: &str) -> Sending {
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, mark).await;
    own.suppress("ann@lakeside.example".into(), SuppressionReason::Manual, None, Who::Operator).await.unwrap();
    own.pause_sending(Paused::Agent(mark.into()), true, Who::Operator).await.unwrap();
    own.set_policy(Policy::default(), Who::Operator).await.unwrap();
    own.keep_verdict(verdict(clock, sending.draft)).await.unwrap();
    own.add_signing_key(signing_key(clock, "saltwater.example", mark), Who::Operator).await.unwrap();
    own.note_signing_key("saltwater.example", "s1", true).await.unwrap();
    sending
}

/// A draft that was proposed, asked about, approved, released, claimed and begun.
pub(super) async fn under_way(scene: &Scene, mark: &str) -> Sending {
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, approval, worker) = (clock.mint(), clock.mint(), clock.mint());
    own.add_draft(draft(id, clock.mint()), version(clock, 1, mark), None).await.unwrap();
    own.ask_approval(NewQuestion { content_hash: hash(mark), ..question(clock, id, approval) }).await.unwrap();
    own.approve(Approval { content_hash: hash(mark), ..yes(clock, scene.tenant, id, approval) }).await.unwrap();
    own.release_draft(release(clock, scene.tenant, id)).await.unwrap();
    let claimed = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed, Admission::of_test(hash(mark))).await.unwrap();
    Sending { draft: id, approval, worker, claimed }
}

pub(super) fn draft(id: DraftId, mailbox: MailboxId) -> NewDraftRow {
    NewDraftRow {
        id,
        mailbox,
        thread: ThreadId::from_bits(7),
        answers: None,
        app: None,
        agent: None,
        identity_owner: "connex",
        external_reply_url: None,
    }
}

fn to() -> Vec<Mailbox> {
    ["ann@lakeside.example", "bo@harbor.example"].map(|text| Mailbox::parse(text).unwrap()).into()
}

/// What a version with this text is.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    format!("Message-ID: <{text}@harbor.example>\r\nSubject: {text}\r\n\r\n").into_bytes()
}

fn content(text: &str) -> Content {
    Content::new(ReversePath::Null, to(), bytes(text).into()).unwrap()
}

pub(super) fn hash(text: &str) -> ContentHash {
    content(text).hash()
}

pub(super) fn version(clock: &Clock, number: u32, text: &str) -> VersionRow {
    VersionRow {
        version: number,
        author: Actor::Agent { agent: text.into() },
        reverse_path: ReversePath::Null,
        recipients: to(),
        message: content(text).bytes().to_vec(),
        content_hash: hash(text).to_string(),
        parts: json!({ "text": text }).to_string(),
        created_at: clock.now(),
    }
}

pub(super) fn question(clock: &Clock, draft: DraftId, id: ApprovalId) -> NewQuestion {
    NewQuestion {
        id,
        draft,
        content_hash: hash("x"),
        reasons: vec!["approval_required"],
        expires_at: clock.now().plus(Duration::from_secs(3_600)),
        escalate_at: Some(clock.now().plus(Duration::from_secs(600))),
        release_on_approval: true,
        send_at: None,
        instead_of: None,
        asked_by: Who::Gateway,
    }
}

pub(super) fn yes(clock: &Clock, tenant: TenantId, draft: DraftId, id: ApprovalId) -> Approval {
    Approval {
        id,
        tenant,
        draft,
        content_hash: hash("x"),
        approver: Actor::User { user: UserId::from_bits(1) },
        decided_at: clock.now(),
        expires_at: clock.now().plus(Duration::from_secs(3_600)),
        is_revoked: false,
        accepted: vec!["new_recipient".into()],
        is_stepped_up: true,
    }
}

pub(super) fn verdict(clock: &Clock, draft: DraftId) -> VerdictRow {
    VerdictRow {
        at: clock.now(),
        draft,
        version: 1,
        occasion: Occasion::Request.as_str().into(),
        ruling: "hold".into(),
        codes: vec!["approval_required".into()],
        policy_version: "v1".into(),
        ground: Some("{}".into()),
    }
}

async fn verdicts_are_kept_in_their_order_for_90_days_and_without_what_is_too_much(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let at = |days: i64| Timestamp::from_micros(clock.now().as_micros() - days * 86_400_000_000);
    let (old, new) = (clock.mint::<DraftId>(), clock.mint::<DraftId>());
    own.keep_verdict(VerdictRow { at: at(91), ..verdict(clock, old) }).await.unwrap();
    own.keep_verdict(VerdictRow { at: at(89), ground: Some("x".repeat(70_000)), ..verdict(clock, old) }).await.unwrap();
    for _ in 0..2 {
        own.keep_verdict(VerdictRow { at: at(1), ..verdict(clock, new) }).await.unwrap();
    }
    let all = own.verdicts_after((Timestamp::from_micros(0), ""), 9).await.unwrap();
    assert_eq!(all.iter().map(|row| (row.at, row.draft)).collect::<Vec<_>>(), [(at(89), old), (at(1), new)]);
    assert_eq!((all[0].ground.as_deref(), all[1].ground.as_deref()), (None, Some("{}")));
    assert_eq!(own.verdicts_after((at(89), &old.to_string()), 9).await.unwrap(), all[1..]);
    assert_eq!(own.verdicts_after((at(90), ""), 1).await.unwrap(), all[..1]);
}

pub(super) fn no() -> NewRejection {
    NewRejection { approver: Actor::User { user: UserId::from_bits(1) }, reason: "other".into(), note: None }
}

pub(super) fn release(clock: &Clock, tenant: TenantId, draft: DraftId) -> NewRelease {
    let pending = |recipient| Transmission { recipient, state: TransmissionState::Pending };
    let row = ReleaseRow {
        id: clock.mint::<ReleaseId>(),
        draft,
        tenant,
        mailbox: MailboxId::from_bits(5),
        content_hash: hash("x"),
        evidence: Evidence::Policy { version: "default".into() },
        policy_version: "default".into(),
        owner: IdentityOwner::Connex,
        released_at: clock.now(),
        expires_at: clock.now().plus(Duration::from_secs(36_000)),
        transmissions: to().into_iter().map(pending).collect(),
    };
    let asked_by = Who::Gateway;
    NewRelease {
        receipt: unsigned(&row.id.to_string(), "sales"),
        row,
        version: 1,
        send_at: clock.now(),
        agent: None,
        similarity: u64::MAX,
        newcomers: 2,
        counted: counted_under(MailboxId::from_bits(5), None, None, &to()),
        asked_by,
    }
}

pub(super) fn entry(draft: DraftId) -> NewEntry {
    NewEntry::new(Who::Gateway, "draft.tried", draft, json!({}))
}

pub(super) fn accepted(position: u32) -> Outcome {
    Outcome {
        position,
        event: TransmissionEvent::Accept,
        host: Some("mx.lakeside.example".into()),
        reply: "250 2.0.0 taken".into(),
        next_attempt_at: None,
    }
}

pub(super) fn signing_key(clock: &Clock, domain: &str, mark: &str) -> SigningKeyRow {
    SigningKeyRow {
        domain: domain.into(),
        selector: "s1".into(),
        algorithm: "ed25519".into(),
        record: mark.into(),
        state: "active".into(),
        created_at: clock.now(),
        seen_at: None,
        checked_at: None,
        secret_sealed: mark.into(),
    }
}

async fn states(scene: &Scene, sending: &Sending) -> (DraftState, Vec<TransmissionState>) {
    let draft = scene.own().draft(sending.draft).await.unwrap().unwrap();
    let release = scene.own().release(sending.claimed.release).await.unwrap().unwrap();
    (draft.state, release.row.transmissions.iter().map(|one| one.state).collect())
}

on_both_engines! {
    a_switch_that_is_thrown_while_a_server_is_slow_keeps_the_message_back,
    a_tenant_that_is_suspended_while_a_server_is_slow_sends_no_more,
    before_the_end_of_data_is_begun_the_whole_chain_is_in_the_log_for_each_attempt,
    the_record_of_a_key_is_seen_of_late_or_before_or_gone,
    verdicts_are_kept_in_their_order_for_90_days_and_without_what_is_too_much,
    all_that_a_draft_goes_through_stands_in_one_chain,
    a_recipient_is_held_by_one_sender_at_a_time,
    a_sender_that_was_lost_leaves_what_it_ended_unknown_and_the_rest_to_be_tried_again,
    what_is_unknown_is_settled_by_a_person_and_with_the_last_of_it_the_draft,
    what_is_deferred_is_tried_again_at_its_time_and_what_is_put_back_was_never_tried,
    a_release_that_is_revoked_is_over_for_whoever_holds_it,
    a_question_is_answered_once_in_time_and_for_its_content,
}

async fn all_that_a_draft_goes_through_stands_in_one_chain(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let (own, worker, claimed) = (scene.own(), sending.worker, sending.claimed.clone());
    own.begin_end_of_data(worker, claimed.release, vec![0, 1]).await.unwrap();
    own.finish_transmissions(worker, claimed, vec![accepted(0), accepted(1)]).await.unwrap();
    let accepted = TransmissionState::Accepted;
    assert_eq!(states(scene, &sending).await, (DraftState::Sent, vec![accepted, accepted]));
    let rows = own.audit_after(0, 100).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    let expected = [
        "app.changed",
        "draft.created",
        "approval.asked",
        "approval.approved",
        "draft.released",
        "draft.sending",
        "transmission.tried",
        "transmission.tried",
        "draft.settled",
    ];
    assert_eq!(actions, expected);
    let mut walk = Walk::new(scene.tenant, None).unwrap();
    for row in &rows {
        walk.take(&row.entry, row.hash, row.detail.as_deref()).unwrap();
    }
    assert_eq!(walk.end().unwrap(), own.audit_head().await.unwrap());
    // What was written behind the chain's back is found.
    scene.place.run("UPDATE audit_log SET actor = 'key:other' WHERE number = 3").await;
    let rows = own.audit_after(0, 100).await.unwrap();
    let mut walk = Walk::new(scene.tenant, None).unwrap();
    assert!(rows.iter().any(|row| walk.take(&row.entry, row.hash, row.detail.as_deref()).is_err()));
}

async fn a_recipient_is_held_by_one_sender_at_a_time(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let other = scene.store.clock().mint();
    assert_eq!(scene.store.claim_transmissions(other).await.unwrap(), None);
    let own = scene.own();
    let lost = own.begin_end_of_data(other, sending.claimed.release, vec![0]).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    let twice = own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0, 1]).await;
    assert!(matches!(twice, Err(StoreError::LeaseLost)), "one end of data for one attempt: {twice:?}");
}

async fn a_sender_that_was_lost_leaves_what_it_ended_unknown_and_the_rest_to_be_tried_again(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let own = scene.own();
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    assert_eq!(scene.store.recover_transmissions(false).await.unwrap(), 0, "it still holds them");
    scene.store.clock().advance(crate::store::releases::LEASE + Duration::from_secs(1));
    assert_eq!(scene.store.recover_transmissions(false).await.unwrap(), 2);
    let expected = vec![TransmissionState::Unknown, TransmissionState::Deferred];
    assert_eq!(states(scene, &sending).await, (DraftState::Sending, expected));
    let late = own.finish_transmissions(sending.worker, sending.claimed.clone(), vec![accepted(0)]).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    // Only the one that nothing was written for is tried again; the other one never.
    let worker = scene.store.clock().mint();
    let again = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    assert_eq!(again.positions, [1]);
    own.finish_transmissions(worker, again, vec![accepted(1)]).await.unwrap();
    let expected = vec![TransmissionState::Unknown, TransmissionState::Accepted];
    assert_eq!(states(scene, &sending).await, (DraftState::Unknown, expected));
    assert_eq!(scene.store.claim_transmissions(worker).await.unwrap(), None);
}

async fn what_is_unknown_is_settled_by_a_person_and_with_the_last_of_it_the_draft(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let own = scene.own();
    let lost = |position| Outcome { event: TransmissionEvent::LostAfterEndOfData, ..accepted(position) };
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0, 1]).await.unwrap();
    let both = vec![lost(0), lost(1)];
    own.finish_transmissions(sending.worker, sending.claimed.clone(), both).await.unwrap();
    assert_eq!(states(scene, &sending).await, (DraftState::Unknown, vec![TransmissionState::Unknown; 2]));
    let release = own.release(sending.claimed.release).await.unwrap().unwrap();
    let by = Who::Actor(Actor::User { user: scene.store.clock().mint() });
    let found = |at: usize, was_taken| Finding {
        recipient: release.row.transmissions[at].recipient.clone(),
        was_taken,
        by: by.clone(),
    };
    let stranger = Finding { recipient: Mailbox::parse("nobody@lakeside.example").unwrap(), ..found(0, true) };
    let nobody = own.settle_unknown(sending.draft, stranger).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");
    assert_eq!(own.settle_unknown(sending.draft, found(1, false)).await.unwrap(), DraftState::Unknown);
    assert_eq!(own.settle_unknown(sending.draft, found(0, true)).await.unwrap(), DraftState::PartlySent);
    let expected = vec![TransmissionState::Accepted, TransmissionState::Rejected];
    assert_eq!(states(scene, &sending).await, (DraftState::PartlySent, expected));
    let twice = own.settle_unknown(sending.draft, found(0, false)).await;
    assert!(matches!(twice, Err(StoreError::NotFound(_))), "what is known stays: {twice:?}");
    let log = own.audit_of(&sending.draft.to_string()).await.unwrap();
    let settled: Vec<_> = log.iter().filter(|row| row.entry.action == "transmission.settled").collect();
    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|row| row.entry.actor == by.to_string()), "{settled:?}");
    assert_eq!(scene.store.claim_transmissions(sending.worker).await.unwrap(), None, "nothing is sent again");
}

async fn what_is_deferred_is_tried_again_at_its_time_and_what_is_put_back_was_never_tried(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let later = clock.now().plus(Duration::from_secs(300));
    let deferred = Outcome { event: TransmissionEvent::Defer, next_attempt_at: Some(later), ..accepted(0) };
    own.finish_transmissions(sending.worker, sending.claimed.clone(), vec![deferred]).await.unwrap();
    own.put_back(sending.worker, sending.claimed.clone(), clock.now()).await.unwrap();
    let expected = vec![TransmissionState::Deferred, TransmissionState::Pending];
    assert_eq!(states(scene, &sending).await, (DraftState::Sending, expected));
    let due = scene.store.claim_transmissions(sending.worker).await.unwrap().unwrap();
    assert_eq!(due.positions, [1]);
    clock.advance(Duration::from_secs(301));
    let due = scene.store.claim_transmissions(sending.worker).await.unwrap().unwrap();
    assert_eq!(due.positions, [0]);
    let release = own.release(due.release).await.unwrap().unwrap();
    assert_eq!(release.progress.iter().map(|one| one.attempts).collect::<Vec<_>>(), [2, 1]);
}

async fn a_release_that_is_revoked_is_over_for_whoever_holds_it(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let own = scene.own();
    own.revoke_release(&sending.claimed, DraftEvent::Deny, vec!["sending_paused".into()]).await.unwrap();
    let rejected = TransmissionState::Rejected;
    assert_eq!(states(scene, &sending).await, (DraftState::Failed, vec![rejected, rejected]));
    let lost = own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let over = own.begin_sending(sending.worker, &sending.claimed, Admission::of_test(hash("x"))).await;
    assert!(matches!(over, Err(StoreError::Conflict(_))), "{over:?}");
}

async fn a_question_is_answered_once_in_time_and_for_its_content(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, first) = (clock.mint(), clock.mint());
    own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
    own.ask_approval(question(clock, id, first)).await.unwrap();
    let other = Approval { content_hash: hash("y"), ..yes(clock, scene.tenant, id, first) };
    assert!(matches!(own.approve(other).await, Err(StoreError::Conflict(_))));
    assert!(matches!(own.release_draft(release(clock, scene.tenant, id)).await, Err(StoreError::Conflict(_))));
    own.reject(first, no()).await.unwrap();
    assert!(matches!(own.approve(yes(clock, scene.tenant, id, first)).await, Err(StoreError::Conflict(_))));
    assert!(matches!(own.reject(first, no()).await, Err(StoreError::Conflict(_))));
    assert_eq!(own.draft(id).await.unwrap().unwrap().state, DraftState::Denied);

    own.edit_draft(id, version(clock, 2, "x"), clock.mint(), (ThreadId::from_bits(7), None)).await.unwrap();
    let stale = own.edit_draft(id, version(clock, 2, "z"), clock.mint(), (ThreadId::from_bits(7), None)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    let second = clock.mint();
    own.ask_approval(question(clock, id, second)).await.unwrap();
    clock.advance(Duration::from_secs(3_601));
    assert!(matches!(own.approve(yes(clock, scene.tenant, id, second)).await, Err(StoreError::Conflict(_))));
    assert_eq!(scene.store.expire_approvals().await.unwrap(), 1);
    assert_eq!(own.draft(id).await.unwrap().unwrap().state, DraftState::Expired);
    let states: Vec<_> = own.approvals_of(id).await.unwrap().iter().map(|row| row.state).collect();
    assert_eq!(states, [ApprovalState::Rejected, ApprovalState::Expired]);
}

async fn a_switch_that_is_thrown_while_a_server_is_slow_keeps_the_message_back(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let sending = under_way(&scene, "x").await;
    let begin = || own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]);
    for what in [Paused::Tenant, Paused::Mailbox(MailboxId::from_bits(5))] {
        own.pause_sending(what.clone(), true, Who::Operator).await.unwrap();
        assert!(matches!(begin().await, Err(StoreError::Conflict(_))), "{what:?}");
        own.pause_sending(what, false, Who::Operator).await.unwrap();
    }
    scene.store.pause_gateway(true).await.unwrap();
    assert!(matches!(begin().await, Err(StoreError::Conflict(_))));
    scene.store.pause_gateway(false).await.unwrap();
    for other in [Paused::Mailbox(MailboxId::from_bits(6)), Paused::Agent("other".into())] {
        own.pause_sending(other, true, Who::Operator).await.unwrap();
    }
    begin().await.unwrap();
}

async fn a_tenant_that_is_suspended_while_a_server_is_slow_sends_no_more(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let sending = under_way(&scene, "x").await;
    let begin = || own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]);
    scene.place.run("UPDATE tenants SET suspended_at = 1 WHERE name <> 'harbor'").await;
    begin().await.unwrap();
    scene.place.run("UPDATE tenants SET suspended_at = 1 WHERE name = 'harbor'").await;
    let begin = || own.begin_end_of_data(sending.worker, sending.claimed.release, vec![1]);
    assert!(matches!(begin().await, Err(StoreError::Conflict(_))));
    scene.place.run("UPDATE tenants SET suspended_at = NULL WHERE name = 'harbor'").await;
    begin().await.unwrap();
}

/// What the rows about a draft amount to.
async fn chain(scene: &Scene, draft: DraftId) -> Chain<String> {
    let rows = scene.own().audit_of(&draft.to_string()).await.unwrap();
    rows.iter().fold(Chain::empty(), |chain, row| {
        let detail = serde_json::from_str(row.detail.as_deref().unwrap()).unwrap();
        chain.behind_stored(&row.entry.action, &detail)
    })
}

async fn before_the_end_of_data_is_begun_the_whole_chain_is_in_the_log_for_each_attempt(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let sending = under_way(scene, "x").await;
    let (own, clock, content) = (scene.own(), scene.store.clock(), hash("x").to_string());
    let may_leave = async || {
        let chain = chain(scene, sending.draft).await;
        [0, 1].map(|place| chain.lets_leave(&content, place))
    };
    assert_eq!(may_leave().await, [true, true]);
    let rows = own.audit_of(&sending.draft.to_string()).await.unwrap();
    let detail: serde_json::Value = serde_json::from_str(rows.last().unwrap().detail.as_deref().unwrap()).unwrap();
    let verdict = json!({ "contentHash": content, "ruling": "release", "reasons": [], "policy": "v7" });
    assert_eq!((&detail["positions"], &detail["verdict"]), (&json!([0, 1]), &verdict));
    // The next attempt at one that was put off, by another sender, has a verdict of its own.
    let later = clock.now().plus(Duration::from_secs(300));
    let deferred = Outcome { event: TransmissionEvent::Defer, next_attempt_at: Some(later), ..accepted(0) };
    own.finish_transmissions(sending.worker, sending.claimed.clone(), vec![deferred, accepted(1)]).await.unwrap();
    clock.advance(Duration::from_secs(301));
    let worker = clock.mint();
    let again = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    assert_eq!(may_leave().await, [false, false]);
    own.begin_sending(worker, &again, Admission::of_test(hash("x"))).await.unwrap();
    assert_eq!(may_leave().await, [true, false]);
    // As does one whose sender was lost.
    clock.advance(crate::store::releases::LEASE + Duration::from_secs(1));
    assert_eq!(scene.store.recover_transmissions(false).await.unwrap(), 1);
    assert_eq!(may_leave().await, [false, false]);
    let actions: Vec<_> = own.audit_of(&sending.draft.to_string()).await.unwrap();
    let sent = actions.iter().filter(|row| row.entry.action == "draft.sending").count();
    assert_eq!(sent, 2, "one row for each attempt");
}

async fn the_record_of_a_key_is_seen_of_late_or_before_or_gone(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let domain = crate::mail::address::Domain::parse("saltwater.example").unwrap();
    let seen = async || own.key_record(&domain, clock.now()).await.unwrap();
    assert_eq!(seen().await, KeyRecordSeen::No);
    own.add_signing_key(signing_key(clock, "saltwater.example", "x"), Who::Operator).await.unwrap();
    assert_eq!(seen().await, KeyRecordSeen::No, "nobody has looked");
    own.note_signing_key("saltwater.example", "s1", true).await.unwrap();
    assert_eq!(seen().await, KeyRecordSeen::OfLate);
    clock.advance(SEEN_WITHIN);
    assert_eq!(seen().await, KeyRecordSeen::Before, "DNS has not answered since");
    own.note_signing_key("saltwater.example", "s1", false).await.unwrap();
    assert_eq!(seen().await, KeyRecordSeen::No, "it answered without the record");
    own.note_signing_key("saltwater.example", "s1", true).await.unwrap();
    own.retire_signing_key("saltwater.example", "s1", Who::Operator).await.unwrap();
    assert_eq!(seen().await, KeyRecordSeen::No, "nothing is signed with it");
}
