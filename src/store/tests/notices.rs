//! Notices to people: who is told, how often, and that each is sent at most once, on both engines.

use super::drafts::{draft, question, under_way, version};
use super::*;
use crate::governance::audit::Who;
use crate::governance::lifecycle::TransmissionEvent;
use crate::governance::notice::NoticeKind;
use crate::governance::role::Role;
use crate::ids::UserId;
use crate::store::accounts::NewUser;
use crate::store::accounts::invitations::NewInvitation;
use crate::store::accounts::sign_ins::{Lapsed, NewSignIn, Proof};
use crate::store::notices::outcome::NoticeOutcome;
use crate::store::notices::{ClaimedNotice, LEASE};
use crate::store::tests::engine::on_both_engines;

on_both_engines! {
    those_who_may_answer_are_told_and_nobody_else,
    a_person_is_told_of_all_that_waits_once_in_a_while_and_of_all_together_a_number_of_times,
    a_notice_is_held_by_one_sender_and_never_sent_again_behind_its_end,
    a_new_browser_is_told_of_and_a_mailed_link_is_one_of_two_that_work_once,
    a_message_of_which_nobody_knows_is_told_of,
}

/// That a notice was taken.
pub(super) fn sent() -> NoticeOutcome {
    NoticeOutcome { event: TransmissionEvent::Accept, host: None, reply: "250 ok".into(), next_attempt_at: None }
}

async fn add(scene: &Scene, local: &str, role: Role) -> UserId {
    let id = scene.store.clock().mint();
    let email = format!("{local}@harbor.example");
    let password_hash = Some("x".to_owned());
    let new = NewUser { id, email_key: email.clone(), email, name: String::new(), role, password_hash };
    scene.own().add_user(new).await.unwrap();
    id
}

async fn ask(scene: &Scene) {
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, approval) = (clock.mint(), clock.mint());
    own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
    own.ask_approval(question(clock, id, approval)).await.unwrap();
}

/// All that is due, taken by one sender.
async fn claim(scene: &Scene, worker: WorkerId) -> Vec<ClaimedNotice> {
    let mut all = Vec::new();
    while let Some(claimed) = scene.store.claim_notice(worker).await.unwrap() {
        all.push(claimed);
    }
    all
}

fn to(claimed: &[ClaimedNotice]) -> Vec<(NoticeKind, Option<UserId>)> {
    let mut all: Vec<_> = claimed.iter().map(|one| (one.kind, one.user)).collect();
    all.sort();
    all
}

async fn those_who_may_answer_are_told_and_nobody_else(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let worker = scene.store.clock().mint();
    let owner = add(scene, "owner", Role::Owner).await;
    add(scene, "viewer", Role::Viewer).await;
    ask(scene).await;
    assert_eq!(to(&claim(scene, worker).await), [(NoticeKind::ApprovalWaits, Some(owner))], "nobody below may answer");
    let (ann, bob) = (add(scene, "ann", Role::Approver).await, add(scene, "bob", Role::Approver).await);
    let gone = add(scene, "gone", Role::Approver).await;
    scene.own().disable_user(gone, Who::Operator).await.unwrap();
    scene.own().set_approval_notices(bob, false).await.unwrap();
    ask(scene).await;
    assert_eq!(to(&claim(scene, worker).await), [(NoticeKind::ApprovalWaits, Some(ann))]);
    let admin = add(scene, "admin", Role::Admin).await;
    scene.store.clock().advance(Duration::from_secs(600));
    scene.store.escalate_approvals().await.unwrap();
    let escalated = NoticeKind::ApprovalEscalated;
    assert_eq!(to(&claim(scene, worker).await), [(escalated, Some(owner)), (escalated, Some(admin))]);
    // Nobody of another tenant.
    let stranger = scene.store.add_tenant("stranger").await.unwrap();
    assert_eq!(scene.store.for_tenant(stranger).notice_counts().await.unwrap(), []);
}

async fn a_person_is_told_of_all_that_waits_once_in_a_while_and_of_all_together_a_number_of_times(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (worker, clock) = (scene.store.clock().mint(), scene.store.clock());
    add(scene, "ann", Role::Approver).await;
    for _ in 0..3 {
        ask(scene).await;
    }
    let first = claim(scene, worker).await;
    assert_eq!(first.len(), 1, "one that waits tells of all");
    ask(scene).await;
    ask(scene).await;
    assert_eq!(claim(scene, worker).await, [], "not so soon again");
    clock.advance(Duration::from_mins(10));
    assert_eq!(claim(scene, worker).await.len(), 1);
    for number in 0..20 {
        scene.own().add_invitation(link(scene, number)).await.unwrap();
    }
    assert_eq!(claim(scene, worker).await.len(), 12, "to one address");
    clock.advance(Duration::from_hours(1));
    scene.own().add_invitation(link(scene, 30)).await.unwrap();
    assert_eq!(claim(scene, worker).await.len(), 1);
    clock.advance(Duration::from_hours(31 * 24));
    // Those that are under way belong to their sender.
    scene.store.recover_notices(false).await.unwrap();
    scene.store.forget_notices().await.unwrap();
    assert_eq!(scene.own().notice_counts().await.unwrap(), []);
}

fn link(scene: &Scene, token: u8) -> NewInvitation {
    NewInvitation {
        id: scene.store.clock().mint(),
        token_hash: [token; 32],
        email: "Bob@harbor.example".into(),
        email_key: "bob@harbor.example".into(),
        role: Role::Viewer,
        user: None,
        invited_by: None,
        expires_at: scene.store.clock().now().plus(Duration::from_hours(24)),
    }
}

async fn a_notice_is_held_by_one_sender_and_never_sent_again_behind_its_end(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (worker, other): (WorkerId, WorkerId) = (clock.mint(), clock.mint());
    let hash = "0".repeat(64).parse().unwrap();
    own.add_invitation(link(scene, 1)).await.unwrap();
    let claimed = scene.store.claim_notice(worker).await.unwrap().unwrap();
    assert_eq!(scene.store.claim_notice(other).await.unwrap(), None);
    assert!(matches!(own.begin_notice(other, &claimed, hash).await, Err(StoreError::LeaseLost)));
    // Lost before its end it is tried again; behind it, never.
    clock.advance(LEASE + Duration::from_secs(1));
    assert_eq!(scene.store.recover_notices(false).await.unwrap(), 1);
    let again = scene.store.claim_notice(other).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (claimed.id, 2));
    assert!(matches!(own.finish_notice(worker, &claimed, sent()).await, Err(StoreError::LeaseLost)));
    own.begin_notice(other, &again, hash).await.unwrap();
    assert!(matches!(own.begin_notice(other, &again, hash).await, Err(StoreError::LeaseLost)), "one end for one try");
    clock.advance(LEASE + Duration::from_secs(1));
    assert_eq!(scene.store.recover_notices(false).await.unwrap(), 1);
    assert_eq!(scene.store.claim_notice(worker).await.unwrap(), None);
    let unknown = ("invitation".to_owned(), "unknown".to_owned(), 1);
    assert_eq!(own.notice_counts().await.unwrap(), [unknown]);
    // What is put off comes again at its time; what was taken does not.
    own.add_invitation(link(scene, 2)).await.unwrap();
    let claimed = scene.store.claim_notice(worker).await.unwrap().unwrap();
    let later = clock.now().plus(Duration::from_secs(60));
    let deferred = NoticeOutcome { event: TransmissionEvent::Defer, next_attempt_at: Some(later), ..sent() };
    own.finish_notice(worker, &claimed, deferred).await.unwrap();
    assert_eq!(scene.store.claim_notice(worker).await.unwrap(), None);
    clock.advance(Duration::from_secs(60));
    let claimed = scene.store.claim_notice(worker).await.unwrap().unwrap();
    own.begin_notice(worker, &claimed, hash).await.unwrap();
    own.finish_notice(worker, &claimed, sent()).await.unwrap();
    let rows = own.audit_of(&claimed.id.to_string()).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["notice.sending", "notice.settled"]);
    assert!(rows.iter().all(|row| !row.detail.as_ref().unwrap().contains("harbor.example")), "{rows:?}");
}

async fn a_new_browser_is_told_of_and_a_mailed_link_is_one_of_two_that_work_once(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, worker) = (scene.own(), scene.store.clock().mint());
    let ann = add(scene, "ann", Role::Viewer).await;
    for (token, is_known_browser) in [(1, false), (2, true), (3, false)] {
        let (id, address) = (scene.store.clock().mint(), Some("192.0.2.7".to_owned()));
        let user_agent = Some("browser".to_owned());
        let new = NewSignIn { id, user: ann, token_hash: [token; 32], user_agent, address, is_known_browser };
        let lapsed = Lapsed { made_before: Timestamp::from_micros(0), used_before: Timestamp::from_micros(0) };
        own.add_sign_in(new, Proof::Password("x".into()), lapsed).await.unwrap();
    }
    let told = claim(scene, worker).await;
    assert_eq!(to(&told), [(NoticeKind::SignIn, Some(ann))], "not of the first of all, nor of a browser that is known");
    assert_eq!(told[0].detail.address.as_deref(), Some("192.0.2.7"));
    own.finish_notice(worker, &told[0], sent()).await.unwrap();

    let new = link(scene, 9);
    let id = new.id;
    own.add_invitation(new).await.unwrap();
    assert_eq!(own.mail_invitation(id, [10; 32]).await.unwrap().unwrap().email, "Bob@harbor.example");
    own.mail_invitation(id, [11; 32]).await.unwrap().unwrap();
    let is_open = async |token: u8| scene.store.invitation_by_token(&[token; 32]).await.unwrap().is_some();
    assert_eq!([is_open(9).await, is_open(10).await, is_open(11).await], [true, false, true]);
    own.accept_invitation([11; 32], "Bob".into(), "x".into()).await.unwrap();
    assert_eq!([is_open(9).await, is_open(11).await], [false, false], "used");
    assert_eq!(own.mail_invitation(id, [12; 32]).await.unwrap(), None);
}

async fn a_message_of_which_nobody_knows_is_told_of(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let owner = add(scene, "owner", Role::Owner).await;
    let (worker, clock) = (scene.store.clock().mint(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    drop(claim(scene, worker).await);
    scene.own().begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    clock.advance(crate::store::releases::LEASE + Duration::from_secs(1));
    scene.store.recover_transmissions(false).await.unwrap();
    let told = claim(scene, worker).await;
    assert_eq!(to(&told), [(NoticeKind::TransmissionUnknown, Some(owner))]);
    assert_eq!(told[0].subject, sending.draft.to_string());
}
