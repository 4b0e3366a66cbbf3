//! Signing in elsewhere, as a browser does it: to the provider, and back.

use serde_json::json;

use super::*;
use crate::oidc::tests::provider::{self, CLIENT};
use crate::service::accounts::{UserState, invite};
use crate::store::TenantStore;

/// A scene whose people may sign in at a provider, and may come uninvited as this.
async fn scene(first_role: Option<Role>) -> (provider::Provider, Scene) {
    let provider = provider::Provider::start(1_795_428_000);
    let ours = Provider {
        name: "quay".into(),
        label: "Sign in with Quay".into(),
        issuer: provider.issuer(),
        client_id: CLIENT.0.into(),
        client_secret: Some(CLIENT.1.into()),
        tenant: "acme".into(),
        first_role,
    };
    let scene = Scene::with(vec![ours]).await;
    provider.state().now = scene.gateway.service().clock().now().as_seconds();
    (provider, scene)
}

impl Scene {
    fn own(&self) -> TenantStore {
        self.gateway.service().store.for_tenant(self.gateway.tenant())
    }

    async fn invite(&self, email: &str, role: Role) {
        invite(&self.own(), email, role, None, "https://gate.example").await.unwrap();
    }
}

impl Browser<'_> {
    /// Follows a link of ours to the provider, and what that answers; path and query of where it sends the browser back to.
    async fn leave(&mut self, path: &str) -> String {
        let away = self.get(path).await;
        assert_eq!(away.status, StatusCode::SEE_OTHER, "{}", away.text);
        Self::ask(away.header("location")).await
    }

    async fn ask(url: &str) -> String {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let tls = crate::webhook::client_tls(&[]).unwrap();
        let reply = client.tls_backend_preconfigured(tls).build().unwrap().get(url).send().await.unwrap();
        let back = reply.headers()["location"].to_str().unwrap().to_owned();
        back.strip_prefix("https://gate.example").unwrap().to_owned()
    }

    async fn sign_in_elsewhere(&mut self) -> Reply {
        let back = self.leave("/auth/oidc/start?provider=quay&next=%2Fapprovals").await;
        self.get(&back).await
    }
}

const ANN: &str = "ann@quay.example";

#[tokio::test]
async fn whoever_was_invited_signs_in_by_the_address_that_the_provider_checked_and_later_by_who_they_are_there() {
    let (provider, scene) = scene(None).await;
    let mut browser = scene.browser();
    let page = browser.get("/login?next=%2Fapprovals").await;
    assert!(page.text.contains("/auth/oidc/start?provider=quay&#38;next=%2Fapprovals"), "{}", page.text);
    provider.say(json!({ "email": ANN, "email_verified": true, "name": "Ann Harbor" }));
    let stranger = browser.sign_in_elsewhere().await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN, "nobody invited her");
    assert!(!browser.cookies.contains_key("__Host-connex_session") && scene.own().users().await.unwrap().is_empty());

    scene.invite("Ann@Quay.example", Role::Approver).await;
    provider.say(json!({ "email": ANN, "email_verified": false }));
    assert_eq!(browser.sign_in_elsewhere().await.status, StatusCode::FORBIDDEN, "anybody can write an address");
    provider.say(json!({ "email": ANN, "email_verified": true, "name": "Ann Harbor" }));
    let reply = browser.sign_in_elsewhere().await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/approvals"), "{}", reply.text);
    assert_eq!(browser.get("/approvals").await.status, StatusCode::OK);
    let users = scene.own().users().await.unwrap();
    let [ann] = users.as_slice() else { panic!("{users:?}") };
    assert_eq!((ann.name.as_str(), ann.role, ann.has_password), ("Ann Harbor", Role::Approver, false));

    // From now on the address does not matter.
    provider.say(json!({ "email": "new@quay.example", "email_verified": true }));
    let mut other = scene.browser();
    assert_eq!(other.sign_in_elsewhere().await.header("location"), "/approvals");
    assert_eq!(scene.own().users().await.unwrap().len(), 1);
    let actions: Vec<String> =
        scene.own().audit_after(0, 10).await.unwrap().into_iter().map(|row| row.entry.action).collect();
    assert_eq!(actions, ["user.invited", "user.joined", "user.signed_in", "user.signed_in"]);

    scene.own().disable_user(ann.id, Who::Operator).await.unwrap();
    assert_eq!(browser.get("/approvals").await.status, StatusCode::SEE_OTHER);
    let disabled = browser.sign_in_elsewhere().await;
    assert_eq!((disabled.status, disabled.text), (stranger.status, stranger.text), "not told apart from a stranger");
    assert_eq!(scene.own().user(ann.id).await.unwrap().unwrap().state, UserState::Disabled);
}

#[tokio::test]
async fn an_account_that_is_there_is_opened_by_no_address_and_linked_by_its_person_alone() {
    let (provider, scene) = scene(Some(Role::Viewer)).await;
    let ann = scene.add(ANN, Role::Admin).await;
    provider.say(json!({ "email": ANN, "email_verified": true }));
    let mut stranger = scene.browser();
    assert_eq!(stranger.sign_in_elsewhere().await.status, StatusCode::FORBIDDEN);

    let mut browser = scene.signed_in(ANN).await;
    let page = browser.get("/account").await;
    assert!(page.text.contains("action=\"/account/link\""), "{}", page.text);
    let fields = [("form_token", page.form_token()), ("provider", "quay".to_owned())];
    let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
    let page = browser.post("/account/link", &fields).await;
    let url =
        page.text.split_once("class=\"button\" href=\"").unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
    let back = Browser::ask(&url).await;
    // Who gets hold of the way back links nothing: it is for the browser that went.
    assert_eq!(stranger.get(&back).await.status, StatusCode::FORBIDDEN);
    let back = Browser::ask(&url).await;
    assert_eq!(browser.get(&back).await.header("location"), "/account?done=linked");
    assert_eq!(stranger.sign_in_elsewhere().await.header("location"), "/approvals");

    // Somebody else comes uninvited, as the operator allows.
    provider.say(json!({ "sub": "bob", "email": "bob@quay.example", "email_verified": true }));
    assert_eq!(scene.browser().sign_in_elsewhere().await.header("location"), "/approvals");
    let users = scene.own().users().await.unwrap();
    assert_eq!(users.iter().map(|user| user.role).collect::<Vec<_>>(), [Role::Admin, Role::Viewer]);
    // And cannot be linked to two.
    let page = browser.post("/account/link", &fields).await;
    let url =
        page.text.split_once("class=\"button\" href=\"").unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
    assert_eq!(browser.get(&Browser::ask(&url).await).await.status, StatusCode::CONFLICT);
    assert_eq!(users[0].id, ann);
}

#[tokio::test]
async fn what_was_not_answered_to_this_browser_now_signs_nobody_in() {
    let (provider, scene) = scene(Some(Role::Viewer)).await;
    let me = json!({ "email": ANN, "email_verified": true });
    provider.say(me.clone());
    let mut browser = scene.browser();
    let start = "/auth/oidc/start?provider=quay";
    let refused = async |browser: &mut Browser<'_>, path: &str, what: &str| {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}: {}", reply.text);
        assert!(!browser.cookies.contains_key("__Host-connex_session"), "{what}");
        assert!(!browser.cookies.contains_key("__Host-connex_oidc"), "{what}: it was for one time");
    };
    // Of another browser, which has begun too; without one; with another state, issuer or code.
    let stolen = scene.browser().leave(start).await;
    browser.leave(start).await;
    refused(&mut browser, &stolen, "another browser's").await;
    refused(&mut browser, &stolen, "without a cookie").await;
    for (old, new) in
        [("&state=", "&state=x"), ("&iss=http", "&iss=https"), ("code=code", "code=edoc"), ("&iss=", "&issuer=")]
    {
        let back = browser.leave(start).await;
        assert!(back.contains(old), "{back}");
        refused(&mut browser, &back.replace(old, new), new).await;
    }
    let back = browser.leave(start).await;
    refused(&mut browser, &format!("{back}&error=access_denied"), "an error").await;
    // Tokens that are not for us, not now, or not for this question.
    let now = provider.state().now;
    for wrong in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "exp": now - 120 }),
        json!({ "iat": now + 600 }),
    ] {
        let mut claims = me.clone();
        claims.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        provider.say(claims);
        let back = browser.leave(start).await;
        refused(&mut browser, &back, &wrong.to_string()).await;
    }
    // Too late.
    provider.say(me);
    let back = browser.leave(start).await;
    scene.gateway.service().clock().advance(Duration::from_secs(601));
    refused(&mut browser, &back, "after ten minutes").await;
    assert!(scene.own().users().await.unwrap().is_empty());
    provider.state().now += 601;
    // 14 tries of this address were wrong, which is fewer than are had at once; the right one works.
    assert_eq!(browser.sign_in_elsewhere().await.header("location"), "/approvals");
    assert_eq!(browser.get("/auth/oidc/start?provider=nobody").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_signs_in_elsewhere_steps_up_there_by_proving_it_anew() {
    let (provider, scene) = scene(Some(Role::Approver)).await;
    let me = json!({ "email": ANN, "email_verified": true, "auth_time": null });
    provider.say(me.clone());
    let mut browser = scene.browser();
    browser.sign_in_elsewhere().await;
    let stepped_up = async |browser: &Browser<'_>| {
        let token = crate::service::accounts::Secret::parse(&browser.cookies["__Host-connex_session"]).unwrap();
        let service = scene.gateway.service();
        service.signed_in(&token).await.unwrap().is_stepped_up(service.clock().now())
    };
    assert!(!stepped_up(&browser).await, "nobody says when it was proved");
    let page = browser.get("/step-up?next=%2Fapprovals").await;
    let again = "/auth/oidc/start?provider=quay&next=%2Fapprovals&again=1";
    assert!(page.text.contains(&again.replace('&', "&#38;")), "{}", page.text);
    // Not within the loop's own line, where the state would stay locked.
    let long_ago = provider.state().now - 120;
    for old in [json!(null), json!(long_ago)] {
        let mut claims = me.clone();
        claims["auth_time"] = old;
        provider.say(claims);
        let back = browser.leave(again).await;
        assert_eq!(browser.get(&back).await.status, StatusCode::FORBIDDEN);
    }
    provider.say(json!({ "email": ANN, "email_verified": true, "sub": "bob" }));
    let back = browser.leave(again).await;
    assert_eq!(browser.get(&back).await.status, StatusCode::FORBIDDEN, "somebody else");
    assert!(!stepped_up(&browser).await);
    provider.say(json!({}));
    let back = browser.leave(again).await;
    assert_eq!(browser.get(&back).await.header("location"), "/approvals");
    assert!(stepped_up(&browser).await);
    assert_eq!(scene.browser().get(again).await.header("location"), "/login", "nobody is signed in");
}
