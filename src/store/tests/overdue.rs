//! Questions that nobody answers, and drafts that wait for time alone, on both engines.

use super::drafts::{draft, question, version, yes};
use super::*;
use crate::governance::audit::Who;
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::ids::{ApprovalId, DraftId};
use crate::store::approvals::{ApprovalState, NewQuestion};
use crate::store::drafts::waiting::NewHold;
use crate::store::events::NewApproval;
use crate::store::standing::Paused;
use crate::store::tests::engine::on_both_engines;

on_both_engines! {
    a_question_that_nobody_answers_goes_up_once_and_ends_in_its_time,
    a_question_that_is_put_off_goes_up_no_sooner,
    a_question_that_cannot_be_read_keeps_no_other_waiting,
    a_question_of_a_decision_ends_by_the_settings_of_its_tenant,
    a_draft_that_time_holds_is_looked_at_once_what_held_it_may_have_ended,
}

/// A draft that waits for a pause to end.
pub(super) fn hold(draft: DraftId) -> NewHold {
    NewHold {
        draft,
        version: 1,
        release_on_approval: true,
        send_at: None,
        reasons: vec!["sending_paused"],
        asked_by: Who::Gateway,
    }
}

async fn actions(scene: &Scene, subject: impl ToString) -> Vec<String> {
    let rows = scene.own().audit_of(&subject.to_string()).await.unwrap();
    rows.into_iter().map(|row| row.entry.action).collect()
}

async fn a_question_that_nobody_answers_goes_up_once_and_ends_in_its_time(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (mut drafts, mut asked): (Vec<DraftId>, Vec<ApprovalId>) = (Vec::new(), Vec::new());
    for escalate_at in [Some(clock.now().plus(Duration::from_secs(600))), None] {
        let (id, approval) = (clock.mint(), clock.mint());
        own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
        own.ask_approval(NewQuestion { escalate_at, ..question(clock, id, approval) }).await.unwrap();
        drafts.push(id);
        asked.push(approval);
    }
    clock.advance(Duration::from_secs(599));
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 1);
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 0, "once");
    let escalated_at = async |id| own.approval(id).await.unwrap().unwrap().escalated_at;
    assert_eq!((escalated_at(asked[0]).await, escalated_at(asked[1]).await), (Some(clock.now()), None));
    assert_eq!(actions(scene, drafts[0]).await, ["draft.created", "approval.asked", "approval.escalated"]);
    // It can be answered all the same, and what was answered does not go up.
    own.approve(yes(clock, scene.tenant, drafts[0], asked[0])).await.unwrap();
    assert_eq!(scene.store.expire_approvals().await.unwrap(), 0);
    clock.advance(Duration::from_secs(3_000));
    assert_eq!(scene.store.expire_approvals().await.unwrap(), 1);
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 0);
    let state = async |id| own.draft(id).await.unwrap().unwrap().state;
    assert_eq!((state(drafts[0]).await, state(drafts[1]).await), (DraftState::Approved, DraftState::Expired));
}

async fn a_question_that_is_put_off_goes_up_no_sooner(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, asked) = (clock.mint(), clock.mint());
    let escalate_at = Some(clock.now().plus(Duration::from_secs(60)));
    own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
    own.ask_approval(NewQuestion { escalate_at, ..question(clock, id, asked) }).await.unwrap();
    let until = clock.now().plus(Duration::from_secs(600));
    let by = super::drafts::no().approver;
    let late = own.defer(asked, clock.now().plus(Duration::from_hours(10_000)), by.clone()).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "it is over by then: {late:?}");
    own.defer(asked, until, by.clone()).await.unwrap();
    assert_eq!(own.approval(asked).await.unwrap().unwrap().deferred_until, Some(until));
    assert_eq!(actions(scene, id).await, ["draft.created", "approval.asked", "approval.deferred"]);
    clock.advance(Duration::from_secs(599));
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 1);
    own.approve(yes(clock, scene.tenant, id, asked)).await.unwrap();
    let answered = own.defer(asked, clock.now().plus(Duration::from_secs(1)), by).await;
    assert!(matches!(answered, Err(StoreError::Conflict(_))), "{answered:?}");
}

async fn a_question_that_cannot_be_read_keeps_no_other_waiting(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let mut drafts: Vec<(DraftId, ApprovalId)> = Vec::new();
    for _ in 0..2 {
        let (id, approval) = (clock.mint(), clock.mint());
        let escalate_at = Some(clock.now().plus(Duration::from_secs(60)));
        own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
        own.ask_approval(NewQuestion { escalate_at, ..question(clock, id, approval) }).await.unwrap();
        drafts.push((id, approval));
        clock.advance(Duration::from_secs(1));
    }
    // The one that is due first.
    scene.place.run(&format!("UPDATE approvals SET draft_id = 'damaged' WHERE approval_id = '{}'", drafts[0].1)).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(scene.store.escalate_approvals().await.unwrap(), 1);
    clock.advance(Duration::from_secs(4_000));
    assert_eq!(scene.store.expire_approvals().await.unwrap(), 1);
    assert_eq!(own.draft(drafts[1].0).await.unwrap().unwrap().state, DraftState::Expired);
}

async fn a_question_of_a_decision_ends_by_the_settings_of_its_tenant(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let mut asked: Vec<ApprovalId> = Vec::new();
    for (number, days) in [None, Some(3)].into_iter().enumerate() {
        if let Some(question_days) = days {
            let policy = crate::governance::Policy { question_days, ..Default::default() };
            own.set_policy(policy, Who::Operator).await.unwrap();
        }
        let mut event = scene.event("mbx_a", clock.mint());
        let approval_id = clock.mint();
        event.approvals.push(NewApproval { approval_id, draft_id: None, reasons: vec!["risk".into()], about: None });
        let source = SourceKey {
            app_id: scene.app,
            source_system: "crm".into(),
            source_event_id: format!("event {number}"),
            fingerprint: [0; 32],
        };
        own.record_source_event(source, event).await.unwrap();
        asked.push(approval_id);
    }
    let day = Duration::from_hours(24);
    for (id, days) in asked.iter().zip([14, 3]) {
        let row = own.approval(*id).await.unwrap().unwrap();
        assert_eq!(row.expires_at, Some(clock.now().plus(days * day)));
    }
    clock.advance(3 * day);
    assert_eq!(scene.store.expire_approvals().await.unwrap(), 1);
    assert_eq!(own.approval(asked[1]).await.unwrap().unwrap().state, ApprovalState::Expired);
    assert_eq!(actions(scene, asked[1]).await, ["approval.asked", "approval.expired"]);
}

async fn a_draft_that_time_holds_is_looked_at_once_what_held_it_may_have_ended(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let id: DraftId = clock.mint();
    own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
    let other = own.hold_draft(NewHold { version: 2, ..hold(id) }).await;
    assert!(matches!(other, Err(StoreError::Conflict(_))), "{other:?}");
    own.hold_draft(hold(id)).await.unwrap();
    own.hold_draft(hold(id)).await.unwrap();
    assert_eq!(actions(scene, id).await, ["draft.created", "draft.held"], "told once");
    let take = async || scene.store.take_held_drafts().await.unwrap();
    assert_eq!(take().await, []);
    let resume = own.pause_sending(Paused::Tenant, false, Who::Operator);
    assert!(!resume.await.unwrap());
    assert_eq!(take().await, [(scene.tenant, id)]);
    assert_eq!(take().await, [], "one node has it");
    scene.store.pause_gateway(false).await.unwrap();
    assert_eq!(take().await.len(), 1);
    own.set_policy(crate::governance::Policy::default(), Who::Operator).await.unwrap();
    assert_eq!(take().await.len(), 1);
    clock.advance(Duration::from_secs(61));
    assert_eq!(take().await.len(), 1, "and after a while in any case");
    // Whatever becomes of it, it does not wait any more.
    own.step_draft(id, DraftEvent::Withdraw, super::drafts::entry(id)).await.unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(take().await, []);
    let late = own.hold_draft(hold(id)).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
}
