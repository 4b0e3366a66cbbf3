//! Something of everything, of one tenant.

use super::*;

pub(super) fn lapsed() -> Lapsed {
    Lapsed { made_before: Timestamp::from_micros(0), used_before: Timestamp::from_micros(0) }
}

pub(super) fn mark_of_route() -> Mark {
    Mark { name: "dkim".into(), value: MARK.into() }
}

pub(super) const DOMAIN: &str = "saltwater.example";

pub(super) fn mailbox(app: AppId) -> NewMailbox {
    NewMailbox {
        address: Mailbox::parse("deals@saltwater.example").unwrap(),
        app: Some(app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    }
}

pub(super) fn route(app: AppId) -> NewRoute {
    NewRoute {
        reader: Reader::Bcc,
        token_hash: [5; 32],
        address_sealed: MARK.into(),
        app: Some(app),
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    }
}

pub(super) fn endpoint(app: AppId) -> NewEndpoint {
    NewEndpoint {
        app: Some(app),
        url: "https://saltwater.example/hook".into(),
        secrets_sealed: MARK.into(),
        event_types: vec!["*".into()],
        mode: PayloadMode::Full,
        schedule: "default",
        show_bcc: false,
    }
}

pub(super) fn call(fingerprint: u8) -> KeyedCall {
    KeyedCall {
        principal: "key_of_both".into(),
        key: "once".into(),
        fingerprint: [fingerprint; 32],
        body: format!("{{\"mark\":\"{MARK}\"}}"),
    }
}

/// A call that did not end.
pub(super) fn pending() -> KeyedCall {
    KeyedCall { key: "pending".into(), ..call(3) }
}

pub(super) fn outcome(owned: &Owned, id: OutcomeId, clock: &Clock) -> NewOutcome {
    NewOutcome {
        id,
        event: owned.event,
        operation: Some(owned.operation),
        app: Some(owned.app),
        key: owned.key.id,
        // Words that neither decide about the operation nor hide a report of spam.
        outcome: "spam".into(),
        applied_status: Some(MARK.into()),
        note: Some(MARK.into()),
        value: Some((7.5, "EUR".into())),
        workflow: Some(MARK.into()),
        agent: None,
        occurred_at: clock.now(),
    }
}

/// Gives the scene's tenant something of everything.
#[expect(clippy::too_many_lines, reason = "a line for each thing")]
pub(super) async fn fill(scene: &Scene) -> Owned {
    let (own, clock) = (scene.own(), scene.store.clock());
    let profile = AppProfileRow { industry: Some(MARK.into()), ..AppProfileRow::default() };
    assert_eq!(own.put_app("deals", &profile).await.unwrap(), scene.app);
    own.assume_domain(&Domain::parse(DOMAIN).unwrap()).await.unwrap();
    own.delegate_bounces(
        &Domain::parse(DOMAIN).unwrap(),
        &Domain::parse("saltwater-bounces.saltwater.example").unwrap(),
        Who::Operator,
    )
    .await
    .unwrap();
    own.set_domain_relay(relays::relay(DOMAIN, MARK), Who::Operator).await.unwrap();
    let mailbox = own.add_mailbox(mailbox(scene.app)).await.unwrap();
    let (route_id, endpoint_id) = (clock.mint(), clock.mint());
    own.add_route(route_id, NewRoute { token_hash: [4; 32], ..route(scene.app) }).await.unwrap();
    own.route_refused(route_id, "192.0.2.0/24".into()).await.unwrap();
    own.rotate_route(route_id, [5; 32], MARK.into(), LEASE).await.unwrap();
    own.raise_alarm(route_id, Alarm::TooLarge, 1).await.unwrap();
    own.count_refused(route_id, 1).await.unwrap();
    own.add_endpoint(endpoint_id, endpoint(scene.app)).await.unwrap();
    let new = NewKey {
        name: MARK.into(),
        environment: Environment::Live,
        scopes: Scopes::all(),
        bindings: KeyBindings::default(),
        allowed_networks: Vec::new(),
        expires_at: None,
    };
    let (_, key) = make_key(new, scene.tenant, &Pepper::new(b"pepper"), clock);
    own.add_key(key.clone()).await.unwrap();

    let mut message = scene.message(1);
    let message_id = message.id;
    let event = &mut message.views[0].event;
    let (task, draft) = (event.tasks[0].task_id, clock.mint());
    mark(event, draft, clock.mint());
    event.scope = Some(mailbox.to_string());
    event.message_id = Some(message_id);
    event.source_event_id = Some("1@saltwater.example".into());
    event.thread.as_mut().unwrap().subjects = vec![([8; 32], clock.now())];
    let mut held = scene.message(2);
    let owned = Owned {
        app: scene.app,
        endpoint: endpoint_id,
        mailbox,
        route: route_id,
        key,
        message: message.id,
        held: held.id,
        event: event.event_id,
        thread: event.thread.as_ref().unwrap().thread_id,
        operation: event.decision.as_ref().unwrap().answer.operations[0].id.as_ref().unwrap().parse().unwrap(),
        task,
        draft,
        delivery: clock.mint(),
        source: SourceKey {
            app_id: scene.app,
            source_system: "crm".into(),
            source_event_id: "evt_1".into(),
            fingerprint: [1; 32],
        },
        outcome: clock.mint(),
        sending: drafts::fill(scene, MARK).await,
        user: clock.mint(),
        sign_in: clock.mint(),
        invitation: clock.mint(),
        upload: clock.mint(),
        issuer: clock.mint(),
        notice: notice(scene, &own).await,
    };
    own.add_upload(upload(owned.upload, clock), ROOM).await.unwrap();
    own.add_user(user(owned.user)).await.unwrap();
    own.add_sign_in(sign_in(owned.user, owned.sign_in, 11), MARK.into(), lapsed()).await.unwrap();
    own.add_invitation(invitation(owned.invitation, Some(owned.user), 21)).await.unwrap();
    know_elsewhere(scene, owned.user, owned.issuer).await;
    held.views.clear();
    held.kept = Some(Kept::Held("peer_not_authorised"));
    let mut copy = scene.message(1);
    copy.views[0].event.content = r#"{"recipients":[{"address":"sam@harbor.example","type":"to"}]}"#.into();
    copy.views[0].event.scope = Some(owned.mailbox.to_string());
    held.copies = vec![NewCopy {
        route: route_id,
        marks: Some(vec![mark_of_route()]),
        keep: Keep::Raw,
        alarm: None,
        tests_connector: false,
        held: Some("peer_not_authorised"),
    }];
    let of_route = NewCopy { marks: None, ..held.copies[0].clone() };
    message.copies = vec![of_route.clone()];
    // Has its bytes erased.
    copy.copies = vec![NewCopy { keep: Keep::Text, ..of_route }];
    message.views[0].event.observed =
        Some(NewObserved { route: route_id, operations: vec![MARK.into()], tasks: 1, approvals: 1, drafts: 1 });
    scene.store.record_mail(vec![message, held, copy], at(CURSOR)).await.unwrap();
    see_sent(scene, &owned.sending, route_id).await;
    own.report_handoff(report(owned.draft), None).await.unwrap();
    own.set_template(template(MARK), Who::Operator).await.unwrap();
    own.ask_again(route_id, all_held(), MARK.into()).await.unwrap();
    let mut source = scene.event("mbx_a", clock.mint());
    mark(&mut source, clock.mint(), clock.mint());
    own.record_source_event(owned.source.clone(), source).await.unwrap();
    own.record_outcome(outcome(&owned, clock.mint(), clock), Some(call(1))).await.unwrap();
    own.begin_call(pending()).await.unwrap();

    let worker = clock.mint();
    let claimed = scene.claim(worker).await.remove(0);
    let owned = Owned { delivery: claimed.id, ..owned };
    let mut failed = attempt(1, clock.now(), NextStep::Retry(clock.now()));
    failed.response = Some(MARK.into());
    failed.endpoint = change(None, Some("gone"));
    scene.store.finish_attempt(worker, &claimed, failed).await.unwrap();
    accept(scene).await;
    scene.place.run("UPDATE tenants SET suspended_at = 1 WHERE name = 'harbor'").await;
    owned
}

pub(super) fn report(draft: DraftId) -> NewReport {
    let by = crate::governance::Actor::Agent { agent: MARK.into() };
    NewReport { draft, outcome: "discarded", message_id: None, sent_at: None, note: Some(MARK.into()), by }
}

pub(super) fn found_out() -> Finding {
    let recipient = Mailbox::parse("ann@lakeside.example").unwrap();
    Finding { recipient, was_taken: true, by: Who::Operator }
}

pub(super) fn template(body: &str) -> NewTemplate {
    let (status, language) = ("complaint".to_owned(), "en".to_owned());
    NewTemplate { app: None, status, language, subject: None, body: body.into() }
}

/// Has a copy of what the tenant sent come back by its route.
async fn see_sent(scene: &Scene, sending: &Sending, route: RouteId) {
    scene.own().begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    let seen = sent::mail(scene, &drafts::bytes(MARK), Some(route));
    scene.store.record_mail(vec![seen], at(SpoolCursor { segment: 2, position: 0 })).await.unwrap();
}

/// Mail that waits in the database's spool.
async fn accept(scene: &Scene) {
    let body = MARK.as_bytes().to_vec();
    let waiting = NewAccepted {
        sealed_key: Vec::new(),
        stored: 0,
        is_awaiting: false,
        tenant: scene.tenant,
        id: scene.store.clock().mint(),
        size: body.len() as u64,
        sha256: [0; 32],
        manifest: "{}".into(),
    };
    scene.store.accept(vec![(waiting, body)]).await.unwrap();
}

fn mark(event: &mut NewEvent, draft_id: DraftId, approval_id: ApprovalId) {
    event.content = format!("{{\"v\":1,\"mark\":\"{MARK}\"}}");
    event.text = MARK.into();
    event.tasks[0].title = MARK.into();
    event.decision.as_mut().unwrap().answer.canonical.next_best_action = MARK.into();
    event.approvals.push(NewApproval {
        approval_id,
        draft_id: Some(draft_id),
        reasons: vec![MARK.into()],
        about: None,
    });
    event.drafts.push(NewDraft {
        draft_id,
        identity_owner: "source_app".into(),
        state: "handed_off".into(),
        external_reply_url: Some("https://saltwater.example/reply".into()),
        content: serde_json::json!({ "mark": MARK }),
        words: None,
    });
}

/// Lets a person sign in elsewhere, and users of an issuer decide.
async fn know_elsewhere(scene: &Scene, user: UserId, id: IssuerId) {
    let own = scene.own();
    own.link_identity(user, identity()).await.unwrap();
    own.add_issuer(issuer(id), Who::Operator).await.unwrap();
    own.spend_token([31; 32], scene.store.clock().now().plus(LEASE)).await.unwrap();
}

pub(super) fn identity() -> Identity {
    Identity { issuer: "https://login.saltwater.example".into(), subject: MARK.into() }
}

pub(super) fn newcomer() -> Newcomer {
    Newcomer { identity: identity(), email_key: "nobody@harbor.example".into(), name: MARK.into() }
}

pub(super) fn issuer(id: IssuerId) -> NewIssuer {
    NewIssuer { id, url: "https://login.saltwater.example".into(), audience: MARK.into(), role: Role::Approver }
}
