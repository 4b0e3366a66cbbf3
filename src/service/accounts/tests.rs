//! Claims about signing in, over a real database in a scratch folder.

use std::net::IpAddr;

use super::*;
use crate::clock::Clock;
use crate::governance::audit::Who;
use crate::http::tests::Gateway;
use crate::store::Store;

const PASSWORD: &str = "lantern over the quay";

/// A gateway whose tenant `acme` has an owner, `ann@acme.example`.
struct Scene {
    gateway: Gateway,
    service: Service,
    owner: UserId,
}

impl Scene {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let service = gateway.service().clone();
        let own = service.store.for_tenant(gateway.tenant());
        let owner = make_account(&own, "Ann@acme.example", Role::Owner, PASSWORD).await.unwrap();
        Self { gateway, service, owner }
    }

    async fn add(&self, email: &str, role: Role) -> UserId {
        make_account(&self.store().for_tenant(self.gateway.tenant()), email, role, PASSWORD).await.unwrap()
    }

    fn store(&self) -> &Store {
        &self.service.store
    }

    fn clock(&self) -> &Clock {
        self.service.clock()
    }

    async fn begin(&self, email: &str, password: &str) -> Result<Begun, AccountError> {
        self.service.sign_in(attempt(email, password)).await
    }

    /// A person who has just signed in.
    async fn person(&self, email: &str) -> SignedIn<Viewer> {
        let begun = self.begin(email, PASSWORD).await.unwrap();
        self.service.signed_in(&begun.token).await.unwrap()
    }
}

fn attempt<'a>(email: &'a str, password: &str) -> Attempt<'a> {
    let peer: IpAddr = "192.0.2.7".parse().unwrap();
    let password = Password::given(password);
    Attempt { organisation: "acme", email, password, browser: None, peer: Some(peer), user_agent: Some("b\r\nrowser") }
}

#[tokio::test]
async fn the_right_password_signs_in_whatever_the_case_of_the_address() {
    let scene = Scene::new().await;
    let begun = scene.begin(" ANN@acme.EXAMPLE ", PASSWORD).await.unwrap();
    let who = scene.service.signed_in(&begun.token).await.unwrap();
    assert_eq!((who.user(), who.tenant(), who.role()), (scene.owner, scene.gateway.tenant(), Role::Owner));
    assert_eq!(who.actor(), Actor::User { user: scene.owner });
    let [row] = scene.service.sign_ins(&who).await.unwrap().try_into().unwrap();
    assert_eq!((row.user_agent.as_deref(), row.address.as_deref()), (Some("browser"), Some("192.0.2.7")));
    // Without a name, the only tenant is meant.
    let unnamed = Attempt { organisation: " ", ..attempt("ann@acme.example", PASSWORD) };
    scene.service.sign_in(unnamed).await.unwrap();
}

#[tokio::test]
async fn every_wrong_sign_in_is_answered_alike() {
    let scene = Scene::new().await;
    let disabled = scene.add("bob@acme.example", Role::Viewer).await;
    scene.store().for_tenant(scene.gateway.tenant()).disable_user(disabled, Who::Operator).await.unwrap();
    let wrong = [
        attempt("ann@acme.example", "not the password"),
        attempt("ann@acme.example", ""),
        attempt("nobody@acme.example", PASSWORD),
        attempt("bob@acme.example", PASSWORD),
        attempt("no address", PASSWORD),
        Attempt { organisation: "other", ..attempt("ann@acme.example", PASSWORD) },
    ];
    for attempt in wrong {
        let shown = format!("{attempt:?}");
        let refused = scene.service.sign_in(attempt).await.unwrap_err();
        assert!(matches!(refused, AccountError::WrongCredentials), "{refused:?} for {shown}");
        assert!(!shown.contains(PASSWORD) && !shown.contains("not the password"), "{shown}");
    }
}

#[tokio::test]
async fn after_too_many_wrong_passwords_even_the_right_one_waits_and_unknown_accounts_do_too() {
    let scene = Scene::new().await;
    for email in ["ann@acme.example", "nobody@acme.example"] {
        let mut tries = 0;
        let wait = loop {
            // Each from an address of its own: it is the account that is protected.
            let peer = Some(IpAddr::from([198, 51, 100, tries]));
            match scene.service.sign_in(Attempt { peer, ..attempt(email, "wrong wrong wrong") }).await.unwrap_err() {
                AccountError::Throttled { retry_after } => break retry_after,
                AccountError::WrongCredentials => tries += 1,
                error => panic!("{error}"),
            }
        };
        assert_eq!((tries, wait), (10, Duration::from_secs(30)), "{email}");
        // Nor does another way to name the tenant help.
        let unnamed = scene.service.sign_in(Attempt { organisation: "", ..attempt(email, PASSWORD) }).await;
        assert!(matches!(unnamed, Err(AccountError::Throttled { .. })), "{unnamed:?}");
    }
    let refused = scene.begin("ann@acme.example", PASSWORD).await;
    assert!(matches!(refused, Err(AccountError::Throttled { .. })), "{refused:?}");
    scene.clock().advance(Duration::from_secs(30));
    scene.begin("ann@acme.example", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_browser_that_was_signed_in_before_does_not_wait_for_a_strangers_guesses() {
    let scene = Scene::new().await;
    scene.add("bob@acme.example", Role::Viewer).await;
    let known = scene.begin("ann@acme.example", PASSWORD).await.unwrap().browser;
    let of_bob = scene.begin("bob@acme.example", PASSWORD).await.unwrap().browser;
    for _ in 0..10 {
        scene.begin("ann@acme.example", "wrong wrong wrong").await.unwrap_err();
    }
    let by = async |browser: &str, password| {
        scene.service.sign_in(Attempt { browser: Some(browser), ..attempt("ann@acme.example", password) }).await
    };
    by(&known, PASSWORD).await.unwrap();
    for other in [of_bob.as_str(), "x", &known[1..], &format!("{known}A")] {
        assert!(matches!(by(other, PASSWORD).await, Err(AccountError::Throttled { .. })), "{other}");
    }
    // Its own tries are counted as well.
    for _ in 0..10 {
        assert!(matches!(by(&known, "wrong wrong wrong").await, Err(AccountError::WrongCredentials)));
    }
    assert!(matches!(by(&known, PASSWORD).await, Err(AccountError::Throttled { .. })));
}

#[tokio::test]
async fn right_passwords_use_up_no_tries() {
    let scene = Scene::new().await;
    for _ in 0..25 {
        scene.begin("ann@acme.example", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_idle_or_old() {
    let scene = Scene::new().await;
    let begun = scene.begin("ann@acme.example", PASSWORD).await.unwrap();
    let minute = Duration::from_mins(1);
    // Used again and again, it lasts for seven days.
    for _ in 0..(7 * 24 / 11) {
        scene.clock().advance(Duration::from_hours(11));
        let _ = scene.service.signed_in(&begun.token).await.unwrap();
    }
    scene.clock().advance(Duration::from_hours(11));
    let over = scene.service.signed_in(&begun.token).await;
    assert!(matches!(over, Err(AccountError::NotSignedIn)), "{over:?}");

    let begun = scene.begin("ann@acme.example", PASSWORD).await.unwrap();
    scene.clock().advance(IDLE - minute);
    let who = scene.service.signed_in(&begun.token).await.unwrap();
    assert_eq!(scene.service.sign_ins(&who).await.unwrap().len(), 1, "those that are over are not shown");
    scene.clock().advance(IDLE);
    assert!(matches!(scene.service.signed_in(&begun.token).await, Err(AccountError::NotSignedIn)));
    assert!(matches!(scene.service.signed_in(&Secret::new()).await, Err(AccountError::NotSignedIn)));
}

#[tokio::test]
async fn a_step_up_needs_the_password_and_gives_the_sign_in_another_token() {
    let scene = Scene::new().await;
    let begun = scene.begin("ann@acme.example", PASSWORD).await.unwrap();
    let who = scene.service.signed_in(&begun.token).await.unwrap();
    assert!(who.is_stepped_up(scene.clock().now()));
    scene.clock().advance(STEP_UP + Duration::from_secs(1));
    assert!(matches!(who.require_step_up(scene.clock().now()), Err(AccountError::StepUp)));
    let wrong = scene.service.step_up(&who, Password::given("wrong wrong wrong")).await;
    assert!(matches!(wrong, Err(AccountError::WrongCredentials)), "{wrong:?}");
    let token = scene.service.step_up(&who, Password::given(PASSWORD)).await.unwrap();
    assert!(scene.service.signed_in(&begun.token).await.is_err(), "the old token counts no more");
    let again = scene.service.signed_in(&token).await.unwrap();
    assert_eq!(again.sign_in(), who.sign_in());
    again.require_step_up(scene.clock().now()).unwrap();
}

#[tokio::test]
async fn a_new_password_ends_the_other_sign_ins() {
    let scene = Scene::new().await;
    let (here, there) =
        (scene.begin("ann@acme.example", PASSWORD).await.unwrap(), scene.person("ann@acme.example").await);
    let who = scene.service.signed_in(&here.token).await.unwrap();
    let change =
        async |present: &str, new: &str| scene.service.change_password(&who, Password::given(present), new).await;
    assert!(matches!(change("wrong wrong wrong", "another long password").await, Err(AccountError::WrongCredentials)));
    assert!(matches!(change(PASSWORD, "short").await, Err(AccountError::Invalid { field: "password", .. })));
    let token = change(PASSWORD, "another long password").await.unwrap();
    let left = scene.service.sign_ins(&scene.service.signed_in(&token).await.unwrap()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [who.sign_in()]);
    assert_ne!(there.sign_in(), who.sign_in());
    assert!(scene.begin("ann@acme.example", PASSWORD).await.is_err());
    scene.begin("ann@acme.example", "another long password").await.unwrap();
}

#[tokio::test]
async fn each_role_opens_what_it_may_and_nothing_more() {
    let scene = Scene::new().await;
    scene.add("eve@acme.example", Role::Approver).await;
    let who = scene.person("eve@acme.example").await;
    let _ = who.require::<Approver>().unwrap().require::<Viewer>().unwrap();
    assert!(matches!(who.require::<Admin>(), Err(AccountError::Role(Role::Admin))));
    assert!(matches!(who.require::<Owner>(), Err(AccountError::Role(Role::Owner))));
}

#[tokio::test]
async fn an_admin_manages_those_below_and_nobody_else() {
    let scene = Scene::new().await;
    scene.add("admin@acme.example", Role::Admin).await;
    let (other, bob) =
        (scene.add("other@acme.example", Role::Admin).await, scene.add("bob@acme.example", Role::Agent).await);
    let service = &scene.service;
    let admin = scene.person("admin@acme.example").await.require::<Admin>().unwrap();
    for refused in [
        service.set_role(&admin, bob, Role::Admin).await,
        service.set_role(&admin, scene.owner, Role::Viewer).await,
        service.set_role(&admin, admin.user(), Role::Owner).await,
        service.disable(&admin, other).await,
        service.disable(&admin, scene.owner).await,
        service.invite(&admin, "new@acme.example", Role::Owner).await.map(drop),
    ] {
        assert!(matches!(refused, Err(AccountError::Role(_))), "{refused:?}");
    }
    let begun = scene.begin("bob@acme.example", PASSWORD).await.unwrap();
    service.set_role(&admin, bob, Role::Approver).await.unwrap();
    assert_eq!(service.signed_in(&begun.token).await.unwrap().role(), Role::Approver, "at once");
    service.disable(&admin, bob).await.unwrap();
    assert!(matches!(service.signed_in(&begun.token).await, Err(AccountError::NotSignedIn)));
    assert!(matches!(scene.begin("bob@acme.example", PASSWORD).await, Err(AccountError::WrongCredentials)));
    service.enable(&admin, bob).await.unwrap();
    scene.begin("bob@acme.example", PASSWORD).await.unwrap();
    scene.clock().advance(STEP_UP + Duration::from_secs(1));
    assert!(matches!(service.disable(&admin, bob).await, Err(AccountError::StepUp)));
    assert!(matches!(service.invite(&admin, "n@acme.example", Role::Viewer).await, Err(AccountError::StepUp)));
}

#[tokio::test]
async fn an_invitation_makes_one_account_of_its_role() {
    let scene = Scene::new().await;
    let owner = scene.person("ann@acme.example").await.require::<Admin>().unwrap();
    let link = scene.service.invite(&owner, "Bob@acme.example", Role::Approver).await.unwrap();
    let token = link.url.strip_prefix("https://gate.example/invitations/").unwrap();
    let token = Secret::parse(token).unwrap();
    let offer = scene.service.offer(&token).await.unwrap();
    assert_eq!((offer.organisation.as_str(), offer.role), ("acme", Some(Role::Approver)));
    let weak = scene.service.accept(&token, "Bob", "bob@acme.example").await;
    assert!(matches!(weak, Err(AccountError::Invalid { field: "password", .. })), "{weak:?}");
    scene.service.accept(&token, "Bob", PASSWORD).await.unwrap();
    assert!(matches!(scene.service.accept(&token, "Bob", PASSWORD).await, Err(AccountError::LinkGone)));
    assert!(matches!(scene.service.offer(&token).await, Err(AccountError::LinkGone)));
    let bob = scene.person("bob@acme.example").await;
    assert_eq!((bob.role(), bob.name()), (Role::Approver, "Bob"));
    let again = scene.service.invite(&owner, "bob@ACME.example", Role::Viewer).await;
    assert!(matches!(again, Err(AccountError::Conflict(_))), "{again:?}");
}
