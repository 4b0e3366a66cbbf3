//! What changes keys, mailboxes, apps, domains, accounts, webhooks and pauses stands in the audit log, on both engines.

use super::engine::on_both_engines;
use super::*;
use crate::event::privacy::Visibility;
use crate::governance::Actor;
use crate::governance::audit::{Who, subject_of_address};
use crate::governance::role::Role;
use crate::ids::{InvitationId, KeyId, OPERATOR, RouteId, UserId};
use crate::keys::{Environment, KeyBindings, Pepper, Scopes};
use crate::mail::address::Domain;
use crate::mail::authentication::FailurePolicy;
use crate::mail::marks::Mark;
use crate::mail::reading::Reader;
use crate::service::keys::{NewKey, make_key};
use crate::store::accounts::NewUser;
use crate::store::accounts::invitations::NewInvitation;
use crate::store::domains::DomainState;
use crate::store::routes::{NewRoute, RouteChange, RouteStep};

on_both_engines! {
    keys_mailboxes_and_apps_are_on_record,
    domains_are_on_record_when_their_state_changes,
    accounts_and_invitations_are_on_record_with_who_changed_them,
    webhooks_are_on_record_without_their_secrets,
    a_webhook_that_the_gateway_disables_is_on_record,
    routes_are_on_record_with_who_changed_them_and_without_whom_they_name,
    tenants_are_on_record_of_the_operators_tenant,
    pauses_of_the_gateway_are_on_record_of_the_operators_tenant,
}

/// Words of the rows behind the one that the scene begins with.
async fn actions(scene: &Scene) -> Vec<String> {
    let rows = scene.own().audit_after(1, 100).await.unwrap();
    rows.into_iter().map(|row| row.entry.action).collect()
}

async fn keys_mailboxes_and_apps_are_on_record(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let new = NewKey {
        name: "shop".into(),
        environment: Environment::Live,
        scopes: Scopes::all(),
        bindings: KeyBindings::default(),
        allowed_networks: Vec::new(),
        expires_at: None,
    };
    let (_, key) = make_key(new, scene.tenant, &Pepper::new(b"pepper"), clock);
    own.add_key(key.clone()).await.unwrap();
    own.revoke_key(key.id).await.unwrap();
    assert!(own.revoke_key(key.id).await.is_err());
    let mailbox = NewMailbox {
        address: Mailbox::parse("sales@quay.example").unwrap(),
        app: None,
        identity_owner: "customer_domain".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: None,
    };
    let mailbox = own.add_mailbox(mailbox).await.unwrap();
    for _ in 0..2 {
        own.set_authentication_policy(mailbox, FailurePolicy::Reject).await.unwrap();
    }
    own.remove_mailbox(mailbox).await.unwrap();
    assert!(own.set_authentication_policy(mailbox, FailurePolicy::Quarantine).await.is_err());
    let profile = AppProfileRow { industry: Some("ships".into()), ..AppProfileRow::default() };
    for _ in 0..2 {
        assert_eq!(own.put_app("deals", &profile).await.unwrap(), scene.app);
    }
    let who = Who::Actor(Actor::Key { key: key.id });
    let (other, is_new) = own.app_or_new("other", who.clone()).await.unwrap();
    assert!(is_new && !own.app_or_new("other", who.clone()).await.unwrap().1);
    own.remove_app(other.id).await.unwrap();
    let expected = [
        "key.added",
        "key.revoked",
        "mailbox.added",
        "mailbox.changed",
        "mailbox.removed",
        "app.changed",
        "app.changed",
        "app.removed",
    ];
    assert_eq!(actions(&scene).await, expected);
    let of_key = own.audit_of(&key.id.to_string()).await.unwrap();
    assert_eq!((of_key.len(), of_key[0].entry.actor.as_str()), (2, "operator"));
    let of_app = own.audit_of(&other.id.to_string()).await.unwrap();
    assert_eq!(of_app[0].entry.actor, who.to_string());
}

async fn domains_are_on_record_when_their_state_changes(engine: Engine) {
    const NAME: &str = "quay.example";
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let domain = Domain::parse(NAME).unwrap();
    for _ in 0..2 {
        own.claim_domain(&domain, "proof".into(), Who::Operator).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(own.prove_domain(NAME).await.unwrap(), DomainState::Verified);
    }
    for state in [DomainState::Verified, DomainState::Verified, DomainState::Failing, DomainState::Failing] {
        assert_eq!(own.miss_domain(NAME).await.unwrap(), state);
    }
    own.prove_domain(NAME).await.unwrap();
    for _ in 0..2 {
        own.suspend_domain(NAME).await.unwrap();
    }
    assert!(own.give_up_domain(NAME, Who::Operator).await.is_err());
    own.resume_domain(NAME).await.unwrap();
    own.give_up_domain(NAME, Who::Operator).await.unwrap();
    own.assume_domain(&domain).await.unwrap();
    own.remove_domain(NAME).await.unwrap();
    let expected = [
        "domain.claimed",
        "domain.verified",
        "domain.failing",
        "domain.verified",
        "domain.suspended",
        "domain.resumed",
        "domain.removed",
        "domain.verified",
        "domain.removed",
    ];
    assert_eq!(actions(&scene).await, expected);
    let rows = own.audit_of(NAME).await.unwrap();
    let by: Vec<_> = rows.iter().map(|row| row.entry.actor.as_str()).collect();
    let (gateway, operator) = ("gateway", "operator");
    assert_eq!(by[..5], [operator, gateway, gateway, gateway, operator]);
}

fn user(id: UserId, role: Role) -> NewUser {
    NewUser {
        id,
        email: format!("{id}@quay.example"),
        email_key: format!("{id}@quay.example"),
        name: String::new(),
        role,
        password_hash: Some("$argon2id$one".into()),
    }
}

async fn accounts_and_invitations_are_on_record_with_who_changed_them(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let (ann, bob): (UserId, UserId) = (clock.mint(), clock.mint());
    let by_ann = || Who::Actor(Actor::User { user: ann });
    own.add_user(user(ann, Role::Owner)).await.unwrap();
    own.add_user(user(bob, Role::Viewer)).await.unwrap();
    for _ in 0..2 {
        own.set_role(bob, Role::Approver, by_ann()).await.unwrap();
    }
    assert!(own.set_role(ann, Role::Viewer, by_ann()).await.is_err());
    for _ in 0..2 {
        own.disable_user(bob, by_ann()).await.unwrap();
    }
    for _ in 0..2 {
        own.enable_user(bob, by_ann()).await.unwrap();
    }
    own.set_password(bob, "$argon2id$two".into(), None, Who::Operator).await.unwrap();
    let invitation = |email: &str, token: u8| NewInvitation {
        id: clock.mint::<InvitationId>(),
        token_hash: [token; 32],
        email: email.to_owned(),
        email_key: email.to_owned(),
        role: Role::Viewer,
        user: None,
        invited_by: Some(ann),
        expires_at: clock.now().plus(Duration::from_secs(60)),
    };
    let eve = invitation("eve@quay.example", 1);
    let withdrawn = eve.id;
    own.add_invitation(eve).await.unwrap();
    own.withdraw_invitation(withdrawn, by_ann()).await.unwrap();
    own.add_invitation(invitation("kim@quay.example", 2)).await.unwrap();
    let kim = own.accept_invitation([2; 32], "Kim".into(), "$argon2id$one".into()).await.unwrap();
    let link = NewInvitation { user: Some(bob), invited_by: None, ..invitation("bob@quay.example", 3) };
    own.add_invitation(link).await.unwrap();
    own.accept_invitation([3; 32], String::new(), "$argon2id$two".into()).await.unwrap();
    let expected = [
        "user.added",
        "user.added",
        "user.role_changed",
        "user.disabled",
        "user.enabled",
        "user.password_set",
        "user.invited",
        "invitation.withdrawn",
        "user.invited",
        "user.added",
        "user.password_link_made",
        "user.password_set",
    ];
    assert_eq!(actions(&scene).await, expected);
    let by = async |subject: String| {
        let rows = own.audit_of(&subject).await.unwrap();
        rows.into_iter().map(|row| row.entry.actor).collect::<Vec<_>>()
    };
    let [ann, of_bob] = [ann, bob].map(|user| format!("user:{user}"));
    let operator = "operator".to_owned();
    let of_all = [&operator, &ann, &ann, &ann, &operator, &operator, &of_bob].map(Clone::clone);
    assert_eq!(by(bob.to_string()).await, of_all);
    assert_eq!(by(kim.to_string()).await, [format!("user:{kim}")]);
    assert_eq!(by(subject_of_address("eve@quay.example")).await, [ann.clone(), ann]);
    let log = own.audit_after(0, 100).await.unwrap();
    assert!(!format!("{log:?}").contains("argon2id"), "no digest of a password");
}

async fn webhooks_are_on_record_without_their_secrets(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let endpoint = scene.endpoint(&["message.classified"]).await;
    own.replace_endpoint_secrets(endpoint, "s1:x".into(), "s1:y".into()).await.unwrap();
    assert!(own.enable_endpoint(endpoint).await.is_err(), "it is enabled");
    scene.damage("UPDATE webhook_endpoints SET state = 'disabled' WHERE endpoint_id = $1", endpoint.to_string()).await;
    own.enable_endpoint(endpoint).await.unwrap();
    own.remove_endpoint(endpoint).await.unwrap();
    assert!(own.remove_endpoint(endpoint).await.is_err());
    let expected = ["webhook.added", "webhook.secret_rotated", "webhook.enabled", "webhook.removed"];
    assert_eq!(actions(&scene).await, expected);
    let log = format!("{:?}", own.audit_after(0, 100).await.unwrap());
    assert!(log.contains("hooks.example") && !log.contains("hooks.example/x") && !log.contains("s1:"), "{log}");
}

async fn a_webhook_that_the_gateway_disables_is_on_record(engine: Engine) {
    let scene = Scene::new(engine).await;
    let endpoint = scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(1), scene.message(2)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    for claimed in scene.claim(worker).await {
        let mut gone = attempt(1, scene.store.clock().now(), NextStep::Held);
        gone.endpoint = Box::new(|_| {
            let blocked_until = Timestamp::from_micros(0);
            Some(EndpointChange { health: "{}".into(), blocked_until, flight_limit: None, disabled: Some("gone") })
        });
        scene.store.finish_attempt(worker, &claimed, gone).await.unwrap();
    }
    let rows = scene.own().audit_of(&endpoint.to_string()).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.entry.action.as_str(), row.entry.actor.as_str())).collect();
    assert_eq!(told, [("webhook.added", "operator"), ("webhook.disabled", "gateway")], "once");
    assert!(rows[1].detail.as_deref().unwrap().contains("\"reason\":\"gone\""));
}

async fn routes_are_on_record_with_who_changed_them_and_without_whom_they_name(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (clock, by) = (scene.store.clock(), Who::Actor(Actor::Key { key: KeyId::from_bits(3) }));
    let (own, id) = (scene.own().by(by.clone()), clock.mint::<RouteId>());
    let new = NewRoute {
        reader: Reader::Bcc,
        token_hash: [1; 32],
        address_sealed: "sealed 1".into(),
        app: Some(scene.app),
        peers: vec!["198.51.100.0/24".parse().unwrap()],
        size_cap: None,
        observe_until: None,
    };
    own.add_route(id, new.clone()).await.unwrap();
    assert!(own.add_route(clock.mint(), new).await.is_err(), "the token is another's");
    let exclude = Some(vec!["address:eve@lakeside.example".parse().unwrap()]);
    own.change_route(id, RouteChange { exclude, keep_days: Some(Some(30)), ..RouteChange::default() }).await.unwrap();
    own.rotate_route(id, [2; 32], "sealed 2".into(), Duration::from_secs(60)).await.unwrap();
    own.learn_route(id, clock.now().plus(Duration::from_secs(60))).await.unwrap();
    own.confirm_marks(id, &[Mark { name: "dkim".into(), value: "quay.example".into() }]).await.unwrap();
    for on in [true, true, false, false] {
        own.hold_route(id, on).await.unwrap();
    }
    own.show_route_to(id, Visibility::Team).await.unwrap();
    for step in [RouteStep::Pause, RouteStep::Resume, RouteStep::Retire] {
        own.step_route(id, step).await.unwrap();
    }
    assert!(own.step_route(id, RouteStep::Pause).await.is_err());
    own.remove_route(id).await.unwrap();
    assert!(own.remove_route(id).await.is_err() && own.hold_route(id, true).await.is_err());
    let rows = own.audit_of(&id.to_string()).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    let expected = [
        "route.added",
        "route.changed",
        "route.rotated",
        "route.learning",
        "route.confirmed",
        "route.hold_begun",
        "route.hold_ended",
        "route.changed",
        "route.paused",
        "route.resumed",
        "route.retired",
        "route.removed",
    ];
    assert_eq!(actions, expected);
    assert!(rows.iter().all(|row| row.entry.actor == by.to_string()));
    assert_eq!(actions_of_routes(&scene).await, expected.len(), "of what was refused nothing");
    let log = format!("{rows:?}");
    assert!(log.contains("198.51.100.0/24") && log.contains("exclude") && log.contains("quay.example"), "{log}");
    assert!(!log.contains("sealed") && !log.contains("lakeside.example"), "{log}");
}

async fn actions_of_routes(scene: &Scene) -> usize {
    actions(scene).await.iter().filter(|action| action.starts_with("route.")).count()
}

async fn tenants_are_on_record_of_the_operators_tenant(engine: Engine) {
    let scene = Scene::new(engine).await;
    let lake = scene.store.add_tenant("lake").await.unwrap();
    assert!(scene.store.add_tenant("lake").await.is_err());
    scene.store.remove_tenant(lake).await.unwrap();
    assert!(scene.store.remove_tenant(lake).await.is_err());
    let rows = scene.store.for_tenant(OPERATOR).audit_of(&lake.to_string()).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["tenant.added", "tenant.removed"]);
    assert!(rows[1].detail.as_deref().unwrap().contains("lake"));
}

async fn pauses_of_the_gateway_are_on_record_of_the_operators_tenant(engine: Engine) {
    let scene = Scene::new(engine).await;
    for (is_paused, changes) in [(true, true), (true, false), (false, true), (false, false)] {
        assert_eq!(scene.store.pause_gateway(is_paused).await.unwrap(), changes);
    }
    let rows = scene.store.for_tenant(OPERATOR).audit_of("").await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["sending.paused", "sending.resumed"]);
}
