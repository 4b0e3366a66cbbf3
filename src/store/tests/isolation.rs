//! A tenant that knows every id, address and secret of another gets nothing of it, and changes nothing of it, by any call.

mod rows;
mod scene;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;

use super::drafts::{self, Sending};
use super::{relays, *};
use crate::event::privacy::Visibility;
use crate::governance::audit::Who;
use crate::governance::lifecycle::DraftEvent;
use crate::governance::role::Role;
use crate::ids::{
    ApprovalId, DeliveryId, DraftId, InvitationId, IssuerId, MailboxId, OperationId, OutcomeId, RouteId, SignInId,
    TaskId, UploadId, UserId,
};
use crate::keys::{Environment, KeyBindings, KeyRecord, Pepper, Scopes};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::authentication::FailurePolicy;
use crate::mail::marks::Mark;
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::service::keys::{NewKey, make_key};
use crate::store::accounts::NewUser;
use crate::store::accounts::identities::{Identity, Newcomer};
use crate::store::accounts::invitations::NewInvitation;
use crate::store::accounts::sign_ins::{Lapsed, NewSignIn};
use crate::store::events::{NewApproval, NewDraft, NewObserved};
use crate::store::handoffs::NewReport;
use crate::store::idempotency::KeyedCall;
use crate::store::ingest::NewCopy;
use crate::store::insights::{Grouping, Span};
use crate::store::issuers::NewIssuer;
use crate::store::notices::ClaimedNotice;
use crate::store::outcomes::NewOutcome;
use crate::store::redecisions::HeldCopies;
use crate::store::releases::Finding;
use crate::store::retention::Overdue;
use crate::store::routes::{NewRoute, RouteChange, RouteStep};
use crate::store::spool::NewAccepted;
use crate::store::standing::{Paused, SuppressionReason};
use crate::store::templates::NewTemplate;
use crate::store::uploads::{NewUpload, UploadRoom};
use crate::store::usage::{Counted, Others};
use crate::store::watch::Alarm;
use rows::Rows;
use scene::{
    DOMAIN, call, endpoint, fill, found_out, identity, issuer, lapsed, mailbox, mark_of_route, newcomer, outcome,
    pending, report, route, template,
};

/// What stands in every text of the one tenant.
const MARK: &str = "saltwater";

/// The names of what one tenant has.
struct Owned {
    app: AppId,
    endpoint: EndpointId,
    mailbox: MailboxId,
    route: RouteId,
    key: KeyRecord,
    message: MessageId,
    held: MessageId,
    event: EventId,
    thread: ThreadId,
    operation: OperationId,
    task: TaskId,
    draft: DraftId,
    delivery: DeliveryId,
    source: SourceKey,
    outcome: OutcomeId,
    sending: Sending,
    user: UserId,
    sign_in: SignInId,
    invitation: InvitationId,
    upload: UploadId,
    issuer: IssuerId,
    notice: ClaimedNotice,
}

#[tokio::test]
async fn a_stranger_gets_and_changes_nothing_by_any_call_on_sqlite() {
    a_stranger_gets_and_changes_nothing_by_any_call(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_stranger_gets_and_changes_nothing_by_any_call_on_postgresql() {
    a_stranger_gets_and_changes_nothing_by_any_call(Engine::Postgres).await;
}

/// Makes a call, whose place on the stack is given back before the next: there are so many that all at once are too much.
async fn apart<'c>(call: impl FnOnce() -> Pin<Box<dyn Future<Output = String> + 'c>>) -> String {
    call().await
}

/// One call of a stranger with names of the owner, and how its answer must begin.
macro_rules! calls {
    ($called:ident, $scene:ident, $rows:ident; $($name:ident($($argument:expr),* $(,)?) => $answer:expr;)*) => {$({
        let own = $scene.store.for_tenant($called.stranger);
        let answer = apart(|| Box::pin(async { shown(&own.$name($($argument),*).await) })).await;
        assert!(answer.starts_with($answer), "{}: {answer}", stringify!($name));
        assert!(!answer.contains(MARK), "{}: {answer}", stringify!($name));
        assert_eq!($rows.now(&$scene.store).await, $rows.before, "{} changed the other's rows", stringify!($name));
        $called.names.push(stringify!($name));
    })*};
}

/// As [`calls`], where the owner gets something else: else the call would show nothing.
macro_rules! reads {
    ($called:ident, $scene:ident, $rows:ident; $($name:ident($($argument:expr),* $(,)?) => $answer:expr;)*) => {$({
        let own = $scene.own();
        let answer = apart(|| Box::pin(async { shown(&own.$name($($argument),*).await) })).await;
        assert!(!answer.starts_with($answer), "the owner gets no more: {} {answer}", stringify!($name));
        calls! { $called, $scene, $rows; $name($($argument),*) => $answer; }
    })*};
}

/// Which methods were called, and as whom.
struct Called {
    stranger: TenantId,
    names: Vec<&'static str>,
}

async fn a_stranger_gets_and_changes_nothing_by_any_call(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let owned = &fill(scene).await;
    let stranger = scene.store.add_tenant("stranger").await.unwrap();
    let rows = &Rows::of(scene.tenant, &scene.store).await;
    let empty: Vec<_> = rows.before.iter().filter(|(_, rows)| rows.is_empty()).map(|(table, _)| table).collect();
    assert!(rows.before.len() > 20 && empty.is_empty(), "nothing was put into {empty:?}");
    let mut called = Called { stranger, names: Vec::new() };
    read(scene, owned, rows, &mut called).await;
    let own = Rows::of(stranger, &scene.store).await;
    assert!(own.before.iter().all(|(table, rows)| table == "tenants" || rows.is_empty()), "reading wrote");
    write(scene, owned, rows, &mut called).await;
    called.names.sort_unstable();
    called.names.dedup();
    assert_eq!(called.names, methods(), "called here, and there are");
}

async fn read(scene: &Scene, owned: &Owned, rows: &Rows, called: &mut Called) {
    let now = scene.store.clock().now();
    let (from, to) = (Timestamp::from_micros(0), now.plus(Duration::from_secs(1)));
    let span = Span { app: None, from, to };
    let of_app = Span { app: Some(owned.app), ..span };
    reads! { called, scene, rows;
        app_by_name("deals") => "Ok(None)";
        app(owned.app) => "Ok(None)";
        apps() => "Ok([])";
        mailboxes() => "Ok([])";
        mailbox(owned.mailbox) => "Ok(None)";
        mailbox_of_event(owned.event) => "Ok(None)";
        routes() => "Ok([])";
        former_addresses() => "Ok([])";
        routes_since() => "Ok([])";
        held_marks(owned.route) => "Ok([])";
        held_copies(owned.route, &all_held()) => "Ok([])";
        marks_of(owned.route, owned.held) => "Ok(None)";
        hours(from, to) => "Ok([])";
        retentions() => "Ok([])";
        observed(owned.route, from) => "Ok(Observed { events: 0,";
        alarms_since(from) => "Ok([])";
        route(owned.route) => "Ok(None)";
        domains() => "Ok([])";
        verified_domains() => "Ok([])";
        has_mailboxes_on(&Domain::parse(DOMAIN).unwrap()) => "Ok(false)";
        keys() => "Ok([])";
        endpoints() => "Ok([])";
        endpoint_secrets(owned.endpoint) => "Err(NotFound";
        attempts(owned.delivery) => "Ok([])";
        source_event(&owned.source) => "Ok(None)";
        thread_of(&owned.mailbox.to_string(), &[[7; 32]]) => "Ok(None)";
        threads_by_subject(&owned.mailbox.to_string(), &[[8; 32]], (from, to)) => "Ok({})";
        event_of_mail("1@saltwater.example") => "Ok(None)";
        messages(None, 100) => "Ok([])";
        messages(Some("held"), 100) => "Ok([])";
        messages_after("", 100) => "Ok([])";
        message(owned.message) => "Ok(None)";
        knows_message(owned.message) => "Ok(false)";
        events_after(0, 100) => "Ok([])";
        events_of_message(owned.message) => "Ok([])";
        shown_by_routes(owned.message) => "Ok([])";
        later_recipients(owned.event) => "Ok([])";
        newest_cursor() => "Ok(0)";
        event(owned.event) => "Ok(None)";
        explain(&owned.message.to_string()) => "Err(NotFound";
        explain(&owned.event.to_string()) => "Err(NotFound";
        explain(&owned.operation.to_string()) => "Err(NotFound";
        explain(&owned.task.to_string()) => "Err(NotFound";
        explain(&owned.draft.to_string()) => "Err(NotFound";
        explain(&owned.delivery.to_string()) => "Err(NotFound";
        target_of_operation(owned.operation) => "Ok(None)";
        target_of_event(owned.event) => "Ok(None)";
        targets_of_source(&owned.source.source_system, &owned.source.source_event_id) => "Ok([])";
        outcome_history(owned.event) => "Ok([])";
        volumes(span) => "Ok(Volumes { events: 0, approval_required: 0, abstained: 0 })";
        volumes(of_app) => "Ok(Volumes { events: 0, approval_required: 0, abstained: 0 })";
        events_by(Grouping::Status, span) => "Ok([])";
        events_by(Grouping::Source, of_app) => "Ok([])";
        outcomes_by_word(span) => "Ok([])";
        outcomes_by_word(of_app) => "Ok([])";
        value_by_status(span) => "Ok([])";
        mean_seconds_to_outcome(span) => "Ok(None)";
        deliveries_by_state(span) => "Ok([])";
        spam_reports(span) => "Ok(None)";
        name() => "Ok(\"stranger\")";
        users() => "Ok([])";
        user(owned.user) => "Ok(None)";
        user_credentials(owned.user) => "Ok(None)";
        sign_ins(owned.user, lapsed()) => "Ok([])";
        invitations() => "Ok([])";
        issuers() => "Ok([])";
        user_of_identity(&identity()) => "Ok(None)";
        notice_counts() => "Ok([])";
        suspended_since() => "Ok(None)";
    }
    Box::pin(read_sending(scene, owned, rows, called)).await;
}

async fn read_sending(scene: &Scene, owned: &Owned, rows: &Rows, called: &mut Called) {
    let now = scene.store.clock().now();
    let (from, to) = (Timestamp::from_micros(0), now.plus(Duration::from_secs(1)));
    let span = Span { app: None, from, to };
    reads! { called, scene, rows;
        draft(owned.sending.draft) => "Ok(None)";
        drafts(None, None, 9) => "Ok([])";
        draft_version(owned.sending.draft, 1) => "Ok(None)";
        approval(owned.sending.approval) => "Ok(None)";
        approvals(None, None, 9) => "Ok([])";
        approvals_of(owned.sending.draft) => "Ok([])";
        release(owned.sending.claimed.release) => "Ok(None)";
        releases_of(owned.sending.draft) => "Ok([])";
        receipt(owned.sending.claimed.release) => "Ok(None)";
        sent_copies(owned.sending.draft) => "Ok([])";
        drafts_to("ann@lakeside.example") => "Ok([])";
        handoff(owned.draft) => "Ok(None)";
        templates() => "Ok([])";
        rejections(span) => "Ok([])";
        known_call("key_of_both", "once", [1; 32]) => "Ok(First(()))";
        let_out(OTHERS, &[Counted::Tenant]) => "Ok([0])";
        let_out_at(OTHERS, &Counted::Tenant, 1) => "Ok(None)";
        approaches(OTHERS) => "Ok(Some([]))";
        audit_after(0, 9) => "Ok([])";
        audit_of(&owned.sending.draft.to_string()) => "Ok([])";
        audit_head() => "Ok((0, ";
        pauses() => "Ok([])";
        suppressions_after("", 9) => "Ok([])";
        suppressions(&["ann@lakeside.example".to_owned()]) => "Ok([])";
        upload(owned.upload) => "Ok(None)";
        policy() => "Ok(Policy { version: \"default\"";
        policy_history(9) => "Ok([])";
        verdicts_after((from, ""), 9) => "Ok([])";
        thread_events(owned.thread) => "Ok([])";
        event_content(owned.event) => "Ok(None)";
        abuse_signals(owned.event) => "Ok([])";
        signing_keys() => "Ok([])";
        key_record(&Domain::parse(DOMAIN).unwrap(), now) => "Ok(No)";
        bounce_host(DOMAIN) => "Ok(None)";
        domain_relay(DOMAIN) => "Ok(None)";
        tail_newest(100) => "Ok(([], TailPosition { message: \"\", decision: \"\", attempt: (0, \"\") }))";
        tail(tail::TailPosition { message: String::new(), decision: String::new(), attempt: (0, String::new()) }) => "Ok(([], ";
    }
}

async fn write(scene: &Scene, owned: &Owned, rows: &Rows, called: &mut Called) {
    let clock = scene.store.clock();
    let mut event = scene.event("mbx_a", owned.thread);
    event.app_id = Some(owned.app);
    event.message_id = Some(owned.message);
    let mut key = owned.key.clone();
    key.tenant = called.stranger;
    Box::pin(write_sending(scene, owned, rows, called)).await;
    Box::pin(write_people(scene, owned, rows, called)).await;
    calls! { called, scene, rows;
        remove_app(owned.app) => "Err(NotFound";
        set_authentication_policy(owned.mailbox, FailurePolicy::Reject) => "Err(NotFound";
        remove_mailbox(owned.mailbox) => "Err(NotFound";
        rotate_route(owned.route, [6; 32], MARK.into(), LEASE) => "Err(NotFound";
        step_route(owned.route, RouteStep::Pause) => "Err(NotFound";
        learn_route(owned.route, clock.now()) => "Err(NotFound";
        confirm_marks(owned.route, &[mark_of_route()]) => "Err(NotFound";
        change_route(owned.route, RouteChange { keep: Some(Keep::None), ..RouteChange::default() }) => "Err(NotFound";
        ask_again(owned.route, all_held(), "operator".into()) => "Err(NotFound";
        release_returned(owned.route, owned.held, "operator".into()) => "Err(NotFound";
        hold_route(owned.route, true) => "Err(NotFound";
        show_route_to(owned.route, Visibility::Owners) => "Err(NotFound";
        reduce_copies(owned.route, Keep::None, Overdue::Before(scene.store.clock().now().plus(LEASE)), 9) => "Ok(0)";
        raise_alarm(owned.route, Alarm::Silent, 1) => "Err(NotFound";
        end_alarm(owned.route, Alarm::TooLarge) => "Ok(())";
        count_refused(owned.route, 1) => "Err(NotFound";
        remove_route(owned.route) => "Err(NotFound";
        route_refused(owned.route, "192.0.2.0/24".to_owned()) => "Err(NotFound";
        revoke_key(owned.key.id) => "Err(NotFound";
        note_key_use(owned.key.id, Some("192.0.2.9".parse().unwrap()), clock.now().plus(LEASE)) => "Ok(())";
        replace_endpoint_secrets(owned.endpoint, MARK.into(), "other".into()) => "Err(Conflict";
        enable_endpoint(owned.endpoint) => "Err(NotFound";
        remove_endpoint(owned.endpoint) => "Err(NotFound";
        end_call(pending()) => "Ok(())";
        drop_call(pending()) => "Ok(())";
        release_call(pending()) => "Ok(())";
        begin_call(KeyedCall { body: "own".into(), ..pending() }) => "Ok(First(\"own\"))";
        add_key(key) => "Err(Exists";
        add_mailbox(mailbox(owned.app)) => "Err(Exists";
        add_route(owned.route, route(owned.app)) => "Err(Exists";
        assume_domain(&Domain::parse(DOMAIN).unwrap()) => "Err(Exists";
        prove_domain(DOMAIN) => "Err(NotFound";
        suspend_domain(DOMAIN) => "Err(NotFound";
        resume_domain(DOMAIN) => "Err(NotFound";
        miss_domain(DOMAIN) => "Err(NotFound";
        remove_domain(DOMAIN) => "Err(NotFound";
        give_up_domain(DOMAIN, Who::Operator) => "Err(NotFound";
        claim_domain(&Domain::parse(DOMAIN).unwrap(), "proof".into(), Who::Operator) => "Ok(())";
        set_domain_relay(relays::relay(DOMAIN, "own"), Who::Operator) => "Ok(())";
        prove_domain(DOMAIN) => "Err(Exists";
        suspend_domain(DOMAIN) => "Err(Conflict";
        resume_domain(DOMAIN) => "Err(Conflict";
        put_app("deals", &AppProfileRow::default()) => "Ok(";
        app_or_new("deals", Who::Operator) => "Ok((App { id: ";
        app_or_new("other", Who::Operator) => "Ok((App { id: ";
        add_endpoint(owned.endpoint, endpoint(owned.app)) => "Ok(())";
        replace_endpoint_secrets(owned.endpoint, MARK.into(), "other".into()) => "Ok(())";
        record_source_event(owned.source.clone(), event) => "Ok(New)";
        record_outcome(outcome(owned, owned.outcome, clock), Some(call(2))) => "Ok(First(()))";
        record_outcome(NewOutcome { outcome: "approved".into(), ..outcome(owned, clock.mint(), clock) }, None) => "Ok(First(()))";
        replace_endpoint_secrets(owned.endpoint, "s1:x".into(), "s1:y".into()) => "Err(Conflict";
        enable_endpoint(owned.endpoint) => "Err(NotFound";
        remove_endpoint(owned.endpoint) => "Ok(())";
        remove_app(owned.app) => "Err(NotFound";
    }
}

async fn write_people(scene: &Scene, owned: &Owned, rows: &Rows, called: &mut Called) {
    let clock = scene.store.clock();
    calls! { called, scene, rows;
        set_password(owned.user, MARK.into(), None, Who::Operator) => "Err(NotFound";
        set_role(owned.user, Role::Viewer, Who::Operator) => "Err(NotFound";
        disable_user(owned.user, Who::Operator) => "Err(NotFound";
        enable_user(owned.user, Who::Operator) => "Err(NotFound";
        set_approval_notices(owned.user, false) => "Err(NotFound";
        add_sign_in(sign_in(owned.user, clock.mint(), 12), MARK.into(), lapsed()) => "Err(NotFound";
        note_sign_in_use(owned.sign_in) => "Ok(())";
        renew_sign_in(owned.sign_in, [11; 32], [13; 32]) => "Err(NotFound";
        end_sign_in(owned.user, owned.sign_in) => "Err(NotFound";
        end_other_sign_ins(owned.user, clock.mint()) => "Ok(())";
        withdraw_invitation(owned.invitation, Who::Operator) => "Err(NotFound";
        link_identity(owned.user, identity()) => "Err(NotFound";
        join_by_invitation(newcomer()) => "Ok(None)";
        remove_issuer(owned.issuer, Who::Operator) => "Err(NotFound";
        add_issuer(issuer(owned.issuer), Who::Operator) => "Ok(())";
        spend_token([31; 32], clock.now()) => "Ok(())";
        mail_invitation(owned.invitation, [29; 32]) => "Ok(None)";
        begin_notice(owned.sending.worker, &owned.notice, notice_hash()) => "Err(LeaseLost";
        finish_notice(owned.sending.worker, &owned.notice, super::notices::sent()) => "Err(LeaseLost";
        accept_invitation([21; 32], MARK.into(), MARK.into()) => "Err(NotFound";
        add_invitation(invitation(owned.invitation, Some(owned.user), 22)) => "Err(NotFound";
        add_invitation(invitation(clock.mint(), None, 23)) => "Ok(())";
        add_user(user(clock.mint())) => "Ok(())";
        join_by_issuer(NewUser { email_key: "other@harbor.example".into(), ..user(clock.mint()) }, identity()) => "Ok(())";
    }
}

async fn write_sending(scene: &Scene, owned: &Owned, rows: &Rows, called: &mut Called) {
    let clock = scene.store.clock();
    let Sending { draft, approval, worker, claimed } = &owned.sending;
    let (draft, approval, worker) = (*draft, *approval, *worker);
    let entry = || drafts::entry(draft);
    calls! { called, scene, rows;
        edit_draft(draft, drafts::version(clock, 2, "own"), owned.mailbox, (clock.mint(), None)) => "Err(NotFound";
        step_draft(draft, DraftEvent::Cancel, entry()) => "Err(NotFound";
        hold_draft(super::overdue::hold(draft)) => "Err(NotFound";
        ask_approval(drafts::question(clock, draft, approval)) => "Err(NotFound";
        approve(drafts::yes(clock, called.stranger, draft, approval)) => "Err(Conflict";
        defer(approval, clock.now().plus(LEASE), drafts::no().approver) => "Err(Conflict";
        reject(approval, drafts::no()) => "Err(Conflict";
        report_handoff(report(owned.draft), None) => "Err(Conflict";
        set_template(template("own"), Who::Operator) => "Ok(TemplateRow";
        keep_call(KeyedCall { key: "kept".into(), body: "{}".into(), ..call(4) }) => "Ok(First(()))";
        release_draft(drafts::release(clock, called.stranger, draft)) => "Err(NotFound";
        settle_unknown(owned.sending.draft, found_out()) => "Err(NotFound";
        begin_sending(worker, claimed, crate::governance::Admission::of_test(drafts::hash("x"))) => "Err(NotFound";
        hold_transmissions(worker, claimed.release) => "Err(LeaseLost";
        begin_end_of_data(worker, claimed.release, vec![0, 1]) => "Err(LeaseLost";
        finish_transmissions(worker, claimed.clone(), vec![drafts::accepted(0)]) => "Err(LeaseLost";
        put_back(worker, claimed.clone(), clock.now()) => "Ok(())";
        revoke_release(claimed, DraftEvent::Deny, Vec::new()) => "Err(NotFound";
        release_anew(worker, claimed, clock.mint(), relays::by("direct", clock.mint())) => "Err(NotFound";
        note_signing_key(DOMAIN, "s1", true) => "Err(NotFound";
        note_bounce_host(DOMAIN, true) => "Err(NotFound";
        withdraw_bounces(&Domain::parse(DOMAIN).unwrap(), Who::Operator) => "Err(NotFound";
        remove_domain_relay(DOMAIN, Who::Operator) => "Err(NotFound";
        set_domain_relay(relays::relay("unclaimed.example", "own"), Who::Operator) => "Err(NotFound";
        retire_signing_key(DOMAIN, "s1", Who::Operator) => "Err(NotFound";
        unsuppress("ann@lakeside.example".into(), Who::Operator) => "Err(NotFound";
        pause_sending(Paused::Tenant, false, Who::Operator) => "Ok(false)";
        erase_audit_details(draft.to_string(), 0, Who::Operator) => "Ok(0)";
        erase_draft(owned.draft, Who::Operator) => "Err(NotFound";
        drafts_over_before(clock.now().plus(LEASE), 9) => "Ok([])";
        add_draft(drafts::draft(draft, owned.mailbox), drafts::version(clock, 1, "own"), None) => "Ok(First(()))";
        add_signing_key(drafts::signing_key(clock, DOMAIN, "own"), Who::Operator) => "Ok(())";
        delegate_bounces(&Domain::parse(DOMAIN).unwrap(), &Domain::parse("b.saltwater.example").unwrap(), Who::Operator) => "Ok(())";
        suppress("ann@lakeside.example".into(), SuppressionReason::Manual, None, Who::Operator) => "Ok(())";
        pause_sending(Paused::Tenant, true, Who::Operator) => "Ok(true)";
        set_policy(crate::governance::Policy::default(), Who::Operator) => "Ok(\"v1\")";
        add_upload(upload(owned.upload, clock), ROOM) => "Ok(())";
        drop_uploads() => "Ok(0)";
        drop_counted() => "Ok(0)";
        audit(vec![entry()]) => "Ok(())";
        keep_verdict(drafts::verdict(clock, draft)) => "Ok(())";
    }
}

fn all_held() -> HeldCopies {
    HeldCopies { from: Timestamp::from_micros(0), to: Timestamp::from_micros(i64::MAX), reason: None }
}

fn user(id: UserId) -> NewUser {
    NewUser {
        id,
        email: "Ann@saltwater.example".into(),
        email_key: "ann@saltwater.example".into(),
        name: MARK.into(),
        role: Role::Owner,
        password_hash: Some(MARK.into()),
    }
}

fn sign_in(user: UserId, id: SignInId, token: u8) -> NewSignIn {
    NewSignIn {
        id,
        user,
        token_hash: [token; 32],
        user_agent: Some(MARK.into()),
        address: None,
        is_known_browser: false,
    }
}

fn invitation(id: InvitationId, user: Option<UserId>, token: u8) -> NewInvitation {
    NewInvitation {
        id,
        token_hash: [token; 32],
        email: "bob@saltwater.example".into(),
        email_key: "bob@saltwater.example".into(),
        role: Role::Viewer,
        user,
        invited_by: user,
        expires_at: Timestamp::from_micros(i64::MAX),
    }
}

/// All drafts but one that nobody has.
const OTHERS: Others =
    Others { draft: DraftId::from_bits(1), at: Timestamp::from_micros(1_790_000_000_000_000), is_released: false };
const ROOM: UploadRoom = UploadRoom { files: 9, octets: 9_000 };

fn upload(id: UploadId, clock: &Clock) -> NewUpload {
    NewUpload {
        id,
        key: clock.mint(),
        name: MARK.into(),
        media_type: "text/plain".into(),
        size: 4,
        sha256: MARK.into(),
        sealed_key: vec![1],
        content: MARK.into(),
        expires_at: clock.now().plus(LEASE),
    }
}

/// A notice that a sender holds.
async fn notice(scene: &Scene, own: &TenantStore) -> ClaimedNotice {
    let id = scene.store.clock().mint();
    own.add_invitation(invitation(id, None, 24)).await.unwrap();
    scene.store.claim_notice(scene.store.clock().mint()).await.unwrap().unwrap()
}

fn notice_hash() -> crate::governance::ContentHash {
    "0".repeat(64).parse().unwrap()
}

/// An answer as text; a fault of the database is none.
fn shown<T: Debug>(answer: &Result<T, StoreError>) -> String {
    assert!(!matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    format!("{answer:?}")
}

/// Every `pub async fn` of the tenant's store, as the source has them.
fn methods() -> Vec<String> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store.rs")];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.components().any(|part| part.as_os_str() == "tests")) {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]\nimpl TenantStore {\n").next().unwrap();
        for block in text.split("\nimpl TenantStore {\n").skip(1) {
            let block = block.split("\n}\n").next().unwrap();
            let names = block.lines().filter_map(|line| line.trim().strip_prefix("pub async fn "));
            found.extend(names.map(|name| name.split(['(', '<']).next().unwrap().to_owned()));
        }
    }
    found.sort();
    found.dedup();
    found
}
