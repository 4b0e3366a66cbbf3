//! Accounts: who can sign in, where, until when, and that a tenant keeps an owner.

use super::engine::on_both_engines;
use super::*;
use crate::governance::audit::Who;
use crate::governance::role::Role;
use crate::ids::{InvitationId, SignInId, UserId};
use crate::store::accounts::invitations::NewInvitation;
use crate::store::accounts::sign_ins::{Lapsed, NewSignIn};
use crate::store::accounts::{NewUser, UserState};

on_both_engines! {
    an_address_has_one_account_in_a_tenant_and_may_have_one_in_another,
    a_token_names_its_person_until_the_sign_in_ends_or_the_person_is_disabled,
    a_password_that_was_changed_meanwhile_signs_nobody_in,
    a_new_password_ends_other_sign_ins_and_links,
    the_last_owner_who_can_sign_in_stays_one,
    a_link_is_used_once,
    a_link_for_an_account_sets_its_password_and_no_other,
    the_setup_link_makes_one_first_account,
    a_person_is_signed_in_at_a_bounded_number_of_browsers,
}

const HASH: &str = "$argon2id$one";

pub(super) fn user(scene: &Scene, email: &str, role: Role) -> NewUser {
    NewUser {
        id: scene.store.clock().mint(),
        email: email.to_owned(),
        email_key: email.to_lowercase(),
        name: String::new(),
        role,
        password_hash: Some(HASH.to_owned()),
    }
}

async fn add(scene: &Scene, email: &str, role: Role) -> UserId {
    let new = user(scene, email, role);
    let id = new.id;
    scene.own().add_user(new).await.unwrap();
    id
}

async fn sign_in(scene: &Scene, user: UserId, token: u8) -> SignInId {
    let id = scene.store.clock().mint();
    let new = NewSignIn { id, user, token_hash: [token; 32], user_agent: None, address: None, is_known_browser: true };
    scene.own().add_sign_in(new, HASH.into(), lapsed()).await.unwrap();
    id
}

fn lapsed() -> Lapsed {
    Lapsed { made_before: Timestamp::from_micros(0), used_before: Timestamp::from_micros(0) }
}

fn link(scene: &Scene, email: &str, user: Option<UserId>, token: u8) -> NewInvitation {
    NewInvitation {
        id: scene.store.clock().mint::<InvitationId>(),
        token_hash: [token; 32],
        email: email.to_owned(),
        email_key: email.to_lowercase(),
        role: Role::Approver,
        user,
        invited_by: None,
        expires_at: scene.store.clock().now().plus(Duration::from_secs(60)),
    }
}

async fn is_known(scene: &Scene, token: u8) -> bool {
    scene.store.sign_in_by_token(&[token; 32]).await.unwrap().is_some()
}

async fn an_address_has_one_account_in_a_tenant_and_may_have_one_in_another(engine: Engine) {
    let scene = Scene::new(engine).await;
    let ann = add(&scene, "Ann@quay.example", Role::Owner).await;
    let again = scene.own().add_user(user(&scene, "ann@QUAY.example", Role::Viewer)).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    let found = async |tenant, email| scene.store.credentials(tenant, email).await.unwrap().map(|found| found.user);
    assert_eq!(found("harbor", "ann@quay.example").await, Some(ann));
    // The operator's tenant is none that people sign in to without naming it.
    scene.store.add_tenant_as(crate::ids::OPERATOR, "operator").await.unwrap();
    assert_eq!(scene.store.only_tenant().await.unwrap().as_deref(), Some("harbor"));
    let lake = scene.store.add_tenant("lake").await.unwrap();
    let other = user(&scene, "ann@quay.example", Role::Viewer);
    let theirs = other.id;
    scene.store.for_tenant(lake).add_user(other).await.unwrap();
    assert_eq!(found("lake", "ann@quay.example").await, Some(theirs));
    assert_eq!(found("harbor", "ann@quay.example").await, Some(ann));
    assert_eq!(scene.store.only_tenant().await.unwrap(), None);
    assert_eq!(found("reef", "ann@quay.example").await, None);
}

async fn a_token_names_its_person_until_the_sign_in_ends_or_the_person_is_disabled(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (owner, ann) =
        (add(&scene, "o@quay.example", Role::Owner).await, add(&scene, "a@quay.example", Role::Agent).await);
    let (first, second) = (sign_in(&scene, ann, 1).await, sign_in(&scene, ann, 2).await);
    let record = scene.store.sign_in_by_token(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((record.tenant, record.user, record.id, record.role), (scene.tenant, ann, first, Role::Agent));
    assert!(!is_known(&scene, 3).await);
    let step_up = scene.own().renew_sign_in(second, [2; 32], [3; 32]).await;
    step_up.unwrap();
    assert!(!is_known(&scene, 2).await && is_known(&scene, 3).await, "the old token counts no more");
    assert!(matches!(scene.own().renew_sign_in(second, [2; 32], [4; 32]).await, Err(StoreError::NotFound(_))));
    // Nobody ends the sign-in of another person.
    assert!(matches!(scene.own().end_sign_in(owner, first).await, Err(StoreError::NotFound(_))));
    scene.own().end_sign_in(ann, first).await.unwrap();
    assert!(!is_known(&scene, 1).await);
    scene.own().disable_user(ann, Who::Operator).await.unwrap();
    assert!(!is_known(&scene, 3).await);
    assert_eq!(scene.own().user(ann).await.unwrap().unwrap().state, UserState::Disabled);
    let new = NewSignIn {
        id: scene.store.clock().mint(),
        user: ann,
        token_hash: [5; 32],
        user_agent: None,
        address: None,
        is_known_browser: true,
    };
    assert!(scene.own().add_sign_in(new, HASH.into(), lapsed()).await.is_err(), "who is disabled cannot come back");
    scene.own().enable_user(ann, Who::Operator).await.unwrap();
    assert!(!is_known(&scene, 3).await, "what ended stays so");
    sign_in(&scene, ann, 6).await;
}

async fn a_password_that_was_changed_meanwhile_signs_nobody_in(engine: Engine) {
    let scene = Scene::new(engine).await;
    let ann = add(&scene, "a@quay.example", Role::Owner).await;
    scene.own().set_password(ann, "$argon2id$two".into(), None, Who::Operator).await.unwrap();
    let new = NewSignIn {
        id: scene.store.clock().mint(),
        user: ann,
        token_hash: [1; 32],
        user_agent: None,
        address: None,
        is_known_browser: true,
    };
    assert!(matches!(scene.own().add_sign_in(new, HASH.into(), lapsed()).await, Err(StoreError::NotFound(_))));
    assert!(!is_known(&scene, 1).await);
}

async fn a_new_password_ends_other_sign_ins_and_links(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (ann, bob) =
        (add(&scene, "a@quay.example", Role::Owner).await, add(&scene, "b@quay.example", Role::Owner).await);
    let here = sign_in(&scene, ann, 1).await;
    sign_in(&scene, ann, 2).await;
    sign_in(&scene, bob, 3).await;
    scene.own().add_invitation(link(&scene, "a@quay.example", Some(ann), 9)).await.unwrap();
    scene.own().set_password(ann, "$argon2id$two".into(), Some(here), Who::Operator).await.unwrap();
    assert!(is_known(&scene, 1).await && !is_known(&scene, 2).await && is_known(&scene, 3).await);
    assert_eq!(scene.store.invitation_by_token(&[9; 32]).await.unwrap(), None);
}

async fn the_last_owner_who_can_sign_in_stays_one(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let (ann, bob) =
        (add(&scene, "a@quay.example", Role::Owner).await, add(&scene, "b@quay.example", Role::Owner).await);
    own.disable_user(bob, Who::Operator).await.unwrap();
    for refused in [own.disable_user(ann, Who::Operator).await, own.set_role(ann, Role::Admin, Who::Operator).await] {
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    own.set_role(ann, Role::Owner, Who::Operator).await.unwrap();
    own.enable_user(bob, Who::Operator).await.unwrap();
    own.set_role(ann, Role::Admin, Who::Operator).await.unwrap();
    assert_eq!(own.user(ann).await.unwrap().unwrap().role, Role::Admin);
    assert!(matches!(own.set_role(bob, Role::Viewer, Who::Operator).await, Err(StoreError::Conflict(_))));
    assert!(matches!(
        own.set_role(scene.store.clock().mint(), Role::Viewer, Who::Operator).await,
        Err(StoreError::NotFound(_))
    ));
}

/// SQLite has one writer; with PostgreSQL another node may have changed an owner and not committed it yet.
#[tokio::test]
async fn of_two_owners_who_step_down_at_once_one_stays() {
    use sqlx::Connection as _;
    let scene = Scene::new(Engine::Postgres).await;
    let (ann, bob) =
        (add(&scene, "a@quay.example", Role::Owner).await, add(&scene, "b@quay.example", Role::Owner).await);
    let Place::Postgres(settings) = &scene.place else { panic!("another engine") };
    let mut node = sqlx::PgConnection::connect(&settings.url).await.unwrap();
    let steps = format!(
        "BEGIN; SELECT 1 FROM tenants WHERE tenant_id = '{}' FOR NO KEY UPDATE; UPDATE users SET role = 'viewer' WHERE user_id = '{ann}'",
        scene.tenant
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(steps)).execute(&mut node).await.unwrap();
    let own = scene.own();
    let mut here = Box::pin(own.set_role(bob, Role::Viewer, Who::Operator));
    loop {
        const WAITED_FOR: &str = "\
SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))";
        tokio::select! {
            done = &mut here => panic!("did not wait for what the other node does: {done:?}"),
            waited_for = sqlx::query_scalar::<_, bool>(WAITED_FOR).fetch_one(&mut node) => {
                if waited_for.unwrap() {
                    break;
                }
            }
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut node).await.unwrap();
    assert!(matches!(here.await, Err(StoreError::Conflict(_))), "there is no owner any more");
}

async fn a_link_is_used_once(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    own.add_invitation(link(&scene, "New@quay.example", None, 1)).await.unwrap();
    // A second link to the same address takes the place of the first.
    own.add_invitation(link(&scene, "new@quay.example", None, 2)).await.unwrap();
    assert_eq!(scene.store.invitation_by_token(&[1; 32]).await.unwrap(), None);
    let both = tokio::join!(
        own.accept_invitation([2; 32], "New".into(), HASH.into()),
        own.accept_invitation([2; 32], "New".into(), HASH.into())
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    let [made] = own.users().await.unwrap().try_into().unwrap();
    assert_eq!((made.email.as_str(), made.role, made.has_password), ("new@quay.example", Role::Approver, true));
    let again = own.add_invitation(link(&scene, "NEW@quay.example", None, 3)).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    own.add_invitation(link(&scene, "late@quay.example", None, 4)).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(61));
    assert_eq!(scene.store.invitation_by_token(&[4; 32]).await.unwrap(), None);
    assert!(own.accept_invitation([4; 32], String::new(), HASH.into()).await.is_err());
    assert_eq!(own.invitations().await.unwrap(), []);
}

async fn a_link_for_an_account_sets_its_password_and_no_other(engine: Engine) {
    let scene = Scene::new(engine).await;
    let own = scene.own();
    let (ann, bob) =
        (add(&scene, "a@quay.example", Role::Owner).await, add(&scene, "b@quay.example", Role::Agent).await);
    sign_in(&scene, bob, 1).await;
    own.add_invitation(link(&scene, "b@quay.example", Some(bob), 2)).await.unwrap();
    assert_eq!(own.accept_invitation([2; 32], "Other".into(), "$argon2id$two".into()).await.unwrap(), bob);
    assert!(!is_known(&scene, 1).await, "who had the old password is out");
    let hash = async |id| own.user_credentials(id).await.unwrap().unwrap().password_hash;
    assert_eq!((hash(ann).await.as_deref(), hash(bob).await.as_deref()), (Some(HASH), Some("$argon2id$two")));
    let bob = own.user(bob).await.unwrap().unwrap();
    assert_eq!((bob.role, bob.name.as_str()), (Role::Agent, ""), "a link for an account changes nothing else");
}

async fn the_setup_link_makes_one_first_account(engine: Engine) {
    let scene = Scene::new(engine).await;
    let store = &scene.store;
    let hour = Duration::from_secs(3600);
    store.keep_setup_link([1; 32], hour).await.unwrap();
    store.keep_setup_link([2; 32], hour).await.unwrap();
    assert!(!store.setup_is_open(&[1; 32]).await.unwrap() && store.setup_is_open(&[2; 32]).await.unwrap());
    let first = |email: &str| user(&scene, email, Role::Owner);
    let wrong = store.set_up([1; 32], "reef".into(), first("a@quay.example")).await;
    assert!(matches!(wrong, Err(StoreError::NotFound(_))), "{wrong:?}");
    let both = tokio::join!(
        store.set_up([2; 32], "harbor".into(), first("a@quay.example")),
        store.set_up([2; 32], "reef".into(), first("b@quay.example"))
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert!(store.has_users().await.unwrap());
    if let Ok(tenant) = both.0 {
        assert_eq!(tenant, scene.tenant, "a tenant of this name is there already");
    }
    assert!(matches!(store.keep_setup_link([3; 32], hour).await, Err(StoreError::Conflict(_))));
    assert!(!store.setup_is_open(&[2; 32]).await.unwrap());
}

async fn a_person_is_signed_in_at_a_bounded_number_of_browsers(engine: Engine) {
    let scene = Scene::new(engine).await;
    let ann = add(&scene, "a@quay.example", Role::Owner).await;
    for token in 1..=22 {
        sign_in(&scene, ann, token).await;
        scene.store.clock().advance(Duration::from_secs(1));
    }
    let known = scene.own().sign_ins(ann, lapsed()).await.unwrap().len();
    assert_eq!((known, is_known(&scene, 2).await, is_known(&scene, 3).await), (20, false, true));
    let now = scene.store.clock().now();
    let all = Lapsed { made_before: now, used_before: now };
    let id = scene.store.clock().mint();
    let new =
        NewSignIn { id, user: ann, token_hash: [40; 32], user_agent: None, address: None, is_known_browser: true };
    scene.own().add_sign_in(new, HASH.into(), all).await.unwrap();
    assert_eq!(scene.own().sign_ins(ann, lapsed()).await.unwrap().len(), 1, "those that lapsed are forgotten");
}
