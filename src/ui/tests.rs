//! The pages as a browser without script sees them, over a real database in a scratch folder.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use super::*;
use crate::http::tests::Gateway;
use crate::ids::UserId;
use crate::service::accounts::{Provider, Role, STEP_UP, make_account, setup_link};
use crate::service::audit::Who;

mod elsewhere;

const PASSWORD: &str = "lantern over the quay";

struct Scene {
    gateway: Gateway,
    router: Router,
}

impl Scene {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let router = beside(gateway.router(), Ui::new(gateway.service().clone(), Duration::from_secs(30)));
        Self { gateway, router }
    }

    async fn with(providers: Vec<Provider>) -> Self {
        let gateway = Gateway::new().await.with_providers(providers);
        let router = beside(gateway.router(), Ui::new(gateway.service().clone(), Duration::from_secs(30)));
        Self { gateway, router }
    }

    async fn add(&self, email: &str, role: Role) -> UserId {
        let own = self.gateway.service().store.for_tenant(self.gateway.tenant());
        make_account(&own, email, role, PASSWORD).await.unwrap()
    }

    fn browser(&self) -> Browser<'_> {
        Browser { scene: self, cookies: BTreeMap::new() }
    }

    /// A browser at which a person has just signed in.
    async fn signed_in(&self, email: &str) -> Browser<'_> {
        let mut browser = self.browser();
        let reply = browser.sign_in(email, PASSWORD).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/account"), "{}", reply.text);
        browser
    }
}

/// What a browser keeps and sends along.
struct Browser<'s> {
    scene: &'s Scene,
    cookies: BTreeMap<String, String>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The token that the forms of a page carry.
    fn form_token(&self) -> String {
        let rest = self.text.split_once("name=\"form_token\" value=\"").expect("a form on the page").1;
        rest.split('"').next().unwrap().to_owned()
    }
}

const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

impl Browser<'_> {
    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("accept", "text/html");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let peer: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        let request = request.extension(ConnectInfo(peer)).body(Body::from(body)).unwrap();
        let reply = self.scene.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
        for cookie in parts.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if rest.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], String::new()).await
    }

    /// Sends a form as a page of ours does.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("POST", path, &[SAME_ORIGIN], form(fields)).await
    }

    async fn sign_in(&mut self, email: &str, password: &str) -> Reply {
        let fields = [("organisation", "acme"), ("email", email), ("password", password), ("next", "")];
        self.post("/login", &fields).await
    }

    async fn form_token(&mut self) -> String {
        self.get("/account").await.form_token()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[tokio::test]
async fn a_person_signs_in_sees_their_account_and_signs_out() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Viewer).await;
    let mut browser = scene.browser();
    let away = browser.get("/account").await;
    assert_eq!((away.status, away.header("location")), (StatusCode::SEE_OTHER, "/login?next=%2Faccount"));
    let reply = browser.sign_in("ann@acme.example", PASSWORD).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    for cookie in reply.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("__Host-connex_"), "{cookie}");
        for flag in ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    let page = browser.get("/account").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("ann@acme.example") && page.text.contains("This session"), "{}", page.text);
    let session = browser.cookies["__Host-connex_session"].clone();
    let out = browser.post("/logout", &[("form_token", &page.form_token())]).await;
    assert_eq!(out.header("location"), "/login?done=signed-out");
    assert!(!browser.cookies.contains_key("__Host-connex_session"));
    browser.cookies.insert("__Host-connex_session".into(), session);
    assert_eq!(browser.get("/account").await.status, StatusCode::SEE_OTHER, "the token counts no more either");
}

#[tokio::test]
async fn every_page_has_the_headers_that_keep_it_to_itself() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let mut browser = scene.signed_in("ann@acme.example").await;
    for path in
        ["/login", "/account", "/users", "/step-up", "/setup", "/setup/x", "/invitations/x", "/logout", "/nowhere"]
    {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
        if !page.text.is_empty() {
            assert!(page.header("content-type").starts_with("text/html"), "{path}");
            assert!(!page.text.contains("<script") && !page.text.contains(" style="), "{path}");
            assert_eq!(page.text.matches("<main ").count(), 1, "{path}");
        }
    }
    let style = browser.get(stylesheet::address()).await;
    assert_eq!((style.status, style.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert!(style.header("cache-control").contains("immutable"));
}

/// Forms that need somebody to be signed in: path, fields.
const FORMS: &[(&str, &[(&str, &str)])] = &[
    ("/logout", &[]),
    ("/step-up", &[("password", PASSWORD), ("next", "")]),
    ("/account/password", &[("present", PASSWORD), ("password", "another long password")]),
    ("/account/notices", &[("approvals", "off")]),
    ("/account/end", &[("session", "sin_01kb3r8x7g0000000000000000")]),
    ("/account/end-others", &[]),
    ("/account/link", &[("provider", "acme")]),
    ("/users/invite", &[("email", "new@acme.example"), ("role", "viewer")]),
    ("/users/withdraw", &[("invitation", "inv_01kb3r8x7g0000000000000000")]),
    ("/users/role", &[("user", "usr_01kb3r8x7g0000000000000000"), ("role", "viewer")]),
    ("/users/disable", &[("user", "usr_01kb3r8x7g0000000000000000")]),
    ("/users/enable", &[("user", "usr_01kb3r8x7g0000000000000000")]),
    ("/approvals/apr_01kb3r8x7g0000000000000000/approve", &[("content_hash", HASH), ("shown", "")]),
    ("/approvals/apr_01kb3r8x7g0000000000000000/reject", &[("content_hash", HASH), ("reason", "other"), ("note", "")]),
    ("/approvals/apr_01kb3r8x7g0000000000000000/defer", &[("content_hash", HASH), ("hours", "24")]),
    ("/drafts/drf_01kb3r8x7g0000000000000000/settle", &[("recipient", "ann@buyer.example"), ("found", "taken")]),
];
const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

#[tokio::test]
async fn what_does_not_come_from_a_page_of_ours_does_nothing() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let mut browser = scene.signed_in("ann@acme.example").await;
    let token = browser.form_token().await;
    let of_other = scene.signed_in("ann@acme.example").await.form_token().await;
    for (path, fields) in FORMS {
        let with = |token: &str| form(&[fields, &[("form_token", token)][..]].concat());
        let attacks: [(&[(&str, &str)], String); 7] = [
            (&[], with(&token)),
            (&[("sec-fetch-site", "cross-site")], with(&token)),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://gate.example")], with(&token)),
            (&[("origin", "https://evil.example")], with(&token)),
            (&[("origin", "null")], with(&token)),
            (&[SAME_ORIGIN], with("")),
            (&[SAME_ORIGIN], with(&of_other)),
        ];
        for (headers, body) in attacks {
            let reply = browser.send("POST", path, headers, body.clone()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {headers:?} {body}");
        }
        let missing = browser.send("POST", path, &[SAME_ORIGIN], form(fields)).await;
        assert_eq!(missing.status, StatusCode::BAD_REQUEST, "{path} without a token");
        let asked = browser.get(path).await;
        assert!(asked.status == StatusCode::METHOD_NOT_ALLOWED || *path == "/step-up", "GET {path}: {}", asked.status);
        let nobody = scene.browser().send("POST", path, &[SAME_ORIGIN], with(&token)).await;
        assert_eq!(nobody.header("location"), "/login", "{path} without a session");
    }
    assert!(browser.get("/users").await.text.matches("<li>").count() >= 1);
    // The forms that need nobody.
    let fields = form(&[("organisation", ""), ("email", "ann@acme.example"), ("password", PASSWORD), ("next", "")]);
    for headers in [&[][..], &[("sec-fetch-site", "cross-site")], &[("origin", "https://evil.example")]] {
        let reply = scene.browser().send("POST", "/login", headers, fields.clone()).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (StatusCode::FORBIDDEN, ""), "{headers:?}");
    }
}

#[tokio::test]
async fn every_form_of_ours_is_taken() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    for (path, fields) in FORMS {
        let mut browser = scene.signed_in("ann@acme.example").await;
        let token = browser.form_token().await;
        let mut fields = fields.to_vec();
        fields.push(("form_token", &token));
        let reply = browser.post(path, &fields).await;
        // What they name is not there, in some.
        assert!([303, 201, 404].contains(&reply.status.as_u16()), "{path}: {} {}", reply.status, reply.text);
        if *path == "/account/password" {
            let back = scene.browser().sign_in("ann@acme.example", "another long password").await;
            assert_eq!(back.status, StatusCode::SEE_OTHER);
            let own = scene.gateway.service().store.for_tenant(scene.gateway.tenant());
            let user = own.users().await.unwrap().remove(0);
            crate::service::accounts::set_password(&own, &user, PASSWORD).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_wrong_sign_in_tells_whether_there_is_an_account() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let gone = scene.add("bob@acme.example", Role::Viewer).await;
    scene.gateway.service().store.for_tenant(scene.gateway.tenant()).disable_user(gone, Who::Operator).await.unwrap();
    let mut told = Vec::new();
    for (email, password) in [
        ("ann@acme.example", "wrong wrong wrong"),
        ("bob@acme.example", PASSWORD),
        ("nobody@acme.example", PASSWORD),
        ("nobody@acme.example", ""),
    ] {
        let reply = scene.browser().sign_in(email, password).await;
        assert_eq!(reply.header("set-cookie"), "");
        told.push((reply.status, reply.text.replace(email, "EMAIL")));
    }
    assert_eq!(told[0].0, StatusCode::FORBIDDEN);
    assert!(told.iter().all(|other| *other == told[0]), "{told:#?}");
}

#[tokio::test]
async fn too_many_wrong_passwords_are_told_to_wait_for_accounts_that_exist_and_those_that_do_not() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let mut told = Vec::new();
    for email in ["ann@acme.example", "nobody@acme.example"] {
        for _ in 0..10 {
            scene.browser().sign_in(email, "wrong wrong wrong").await;
        }
        let reply = scene.browser().sign_in(email, PASSWORD).await;
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"), "{email}");
        told.push(reply.text.replace(email, "EMAIL"));
    }
    assert_eq!(told[0], told[1]);
    // That address has used up its own tries, too; another is not kept waiting for it.
    let clock = scene.gateway.service().clock();
    let third = scene.browser().sign_in("third@acme.example", PASSWORD).await;
    assert_eq!((third.status, third.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "6"));
    clock.advance(Duration::from_secs(30));
    scene.signed_in("ann@acme.example").await;
}

#[tokio::test]
async fn each_role_sees_its_pages_alone() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    scene.add("eve@acme.example", Role::Approver).await;
    let mut eve = scene.signed_in("eve@acme.example").await;
    assert_eq!(eve.get("/users").await.status, StatusCode::FORBIDDEN);
    assert!(!eve.get("/account").await.text.contains("href=\"/users\""));
    let token = eve.form_token().await;
    let refused =
        eve.post("/users/invite", &[("form_token", &token), ("email", "x@acme.example"), ("role", "owner")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let mut ann = scene.signed_in("ann@acme.example").await;
    let users = ann.get("/users").await;
    assert!(users.text.contains("eve@acme.example") && users.text.contains("aria-current=\"page\""), "{}", users.text);
}

#[tokio::test]
async fn a_draft_is_approved_on_its_page_by_whoever_has_the_role_and_saw_what_it_is() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Agent).await;
    scene.add("eve@acme.example", Role::Approver).await;
    let key = scene.gateway.key().await;
    let (draft, question) = crate::http::tests::drafts::ask(&scene.gateway, &key, "<script>").await;
    let page = format!("/approvals/{question}");
    assert_eq!(scene.signed_in("ann@acme.example").await.get(&page).await.status, StatusCode::FORBIDDEN);
    let mut eve = scene.signed_in("eve@acme.example").await;
    assert!(eve.get("/approvals").await.text.contains(&page));
    let shown = eve.get(&page).await;
    for part in [
        "Ann Lee &lt;ann@lakeside.example&gt;",
        "boss@lakeside.example",
        "sales@gate.example",
        "new_recipient",
        "Tuesday",
    ] {
        assert!(
            shown.text.contains(part) || shown.text.contains(&part.replace("&lt;", "&#60;").replace("&gt;", "&#62;")),
            "{part}: {}",
            shown.text
        );
    }
    assert!(!shown.text.contains("<script"), "{}", shown.text);
    let field = |name: &str| {
        let rest = shown.text.split_once(&format!("name=\"{name}\" value=\"")).expect("a field of the form").1;
        rest.split('"').next().unwrap().to_owned()
    };
    let (token, hash, holds) = (field("form_token"), field("content_hash"), field("shown"));
    let approve = format!("{page}/approve");
    let state = async || {
        let own = scene.gateway.service().store.for_tenant(scene.gateway.tenant());
        own.draft(draft.parse().unwrap()).await.unwrap().unwrap().state.as_str()
    };
    assert_eq!(eve.get(&approve).await.status, StatusCode::METHOD_NOT_ALLOWED, "a link never approves");
    let stale = eve.post(&approve, &[("form_token", &token), ("content_hash", HASH), ("shown", &holds)]).await;
    assert_eq!((stale.status, state().await), (StatusCode::CONFLICT, "pending_approval"));
    let fields = [("form_token", token.as_str()), ("content_hash", hash.as_str()), ("shown", holds.as_str())];
    let done = eve.post(&approve, &fields).await;
    assert_eq!(done.header("location"), "/approvals?done=released", "{}", done.text);
    assert_eq!(state().await, "released");
    assert_eq!(eve.post(&approve, &fields).await.status, StatusCode::CONFLICT);
    assert!(eve.get(&page).await.text.contains("nothing can be answered any more"));
}

#[tokio::test]
async fn what_nobody_knew_of_a_message_is_settled_on_its_page() {
    use crate::governance::lifecycle::TransmissionEvent;
    use crate::store::releases::Outcome;

    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Agent).await;
    let eve = scene.add("eve@acme.example", Role::Approver).await;
    let key = scene.gateway.key().await;
    let (draft, question) = crate::http::tests::drafts::ask(&scene.gateway, &key, "Ann").await;
    let store = &scene.gateway.service().store;
    let own = store.for_tenant(scene.gateway.tenant());
    let mut browser = scene.signed_in("eve@acme.example").await;
    let shown = browser.get(&format!("/approvals/{question}")).await;
    let field = |name: &str| {
        let rest = shown.text.split_once(&format!("name=\"{name}\" value=\"")).expect("a field of the form").1;
        rest.split('"').next().unwrap().to_owned()
    };
    let (token, hash, holds) = (field("form_token"), field("content_hash"), field("shown"));
    let fields = [("form_token", token.as_str()), ("content_hash", hash.as_str()), ("shown", holds.as_str())];
    browser.post(&format!("/approvals/{question}/approve"), &fields).await;
    let worker = store.clock().mint();
    let claimed = store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed, crate::governance::Admission::of_test(hash.parse().unwrap())).await.unwrap();
    own.begin_end_of_data(worker, claimed.release, claimed.positions.clone()).await.unwrap();
    let lost = |position: &u32| Outcome {
        position: *position,
        event: TransmissionEvent::LostAfterEndOfData,
        host: None,
        reply: "no <reply>".into(),
        next_attempt_at: None,
    };
    let lost = claimed.positions.iter().map(lost).collect();
    own.finish_transmissions(worker, claimed, lost).await.unwrap();

    let page = format!("/drafts/{draft}");
    assert_eq!(scene.signed_in("ann@acme.example").await.get(&page).await.status, StatusCode::FORBIDDEN);
    let before = browser.get(&page).await;
    assert!(before.text.contains("It did not arrive") && !before.text.contains("no <reply>"), "{}", before.text);
    let settle = format!("{page}/settle");
    let recipients = ["ann@lakeside.example", "boss@lakeside.example"];
    let wrong = [("form_token", token.as_str()), ("recipient", recipients[0]), ("found", "perhaps")];
    assert_eq!(browser.post(&settle, &wrong).await.status, StatusCode::BAD_REQUEST);
    for recipient in recipients {
        let found = [("form_token", token.as_str()), ("recipient", recipient), ("found", "taken")];
        let done = browser.post(&settle, &found).await;
        assert_eq!(done.header("location"), format!("{page}?done=settled"), "{}", done.text);
        assert_eq!(browser.post(&settle, &found).await.header("location"), format!("{page}?done=settled"), "once more");
        let other = [("form_token", token.as_str()), ("recipient", recipient), ("found", "not-taken")];
        assert_eq!(browser.post(&settle, &other).await.status, StatusCode::NOT_FOUND, "what is known stays");
    }
    let after = browser.get(&page).await;
    assert!(after.text.contains("It was sent to everybody.") && !after.text.contains("It did not arrive"));
    let log = own.audit_of(&draft).await.unwrap();
    let by = log.iter().filter(|row| row.entry.action == "transmission.settled").map(|row| &row.entry.actor);
    assert_eq!(by.collect::<Vec<_>>(), vec![&format!("user:{eve}"); 2]);
}

#[tokio::test]
async fn a_draft_that_was_erased_is_shown_as_such_and_without_its_words() {
    let scene = Scene::new().await;
    scene.add("eve@acme.example", Role::Approver).await;
    let key = scene.gateway.key().await;
    let (draft, question) = crate::http::tests::drafts::ask(&scene.gateway, &key, "Wednesday").await;
    let mut eve = scene.signed_in("eve@acme.example").await;
    let page = format!("/approvals/{question}");
    assert!(eve.get(&page).await.text.contains("Wednesday"));
    let own = scene.gateway.service().store.for_tenant(scene.gateway.tenant());
    let id = draft.parse().unwrap();
    let entry = crate::store::audit::NewEntry::new(Who::Operator, "draft.withdrawn", id, serde_json::json!({}));
    own.step_draft(id, crate::governance::lifecycle::DraftEvent::Withdraw, entry).await.unwrap();
    assert_eq!(crate::service::erasures::erase(&own, &draft, Who::Operator).await.unwrap().drafts, 1);
    let shown = eve.get(&page).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert!(shown.text.contains("was erased at"), "{}", shown.text);
    assert!(!shown.text.contains("Wednesday") && !shown.text.contains("lakeside.example"), "{}", shown.text);
}

#[tokio::test]
async fn an_admin_disables_an_account_and_its_sessions_end() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let eve = scene.add("eve@acme.example", Role::Approver).await.to_string();
    let (mut ann, mut other) = (scene.signed_in("ann@acme.example").await, scene.signed_in("eve@acme.example").await);
    let token = ann.get("/users").await.form_token();
    let done = ann.post("/users/disable", &[("form_token", &token), ("user", &eve)]).await;
    assert_eq!(done.header("location"), "/users?done=disabled");
    assert!(ann.get("/users?done=disabled").await.text.contains("its sessions have ended"));
    assert_eq!(other.get("/account").await.status, StatusCode::SEE_OTHER);
    // After a while the password is asked for first.
    scene.gateway.service().clock().advance(STEP_UP + Duration::from_secs(1));
    assert!(ann.get("/users").await.text.contains("href=\"/step-up?next=/users\""));
    let late = ann.post("/users/enable", &[("form_token", &token), ("user", &eve)]).await;
    assert_eq!(late.header("location"), "/step-up");
    let before = ann.cookies["__Host-connex_session"].clone();
    let back = ann.post("/step-up", &[("form_token", &token), ("password", PASSWORD), ("next", "/users")]).await;
    assert_eq!(back.header("location"), "/users");
    assert_ne!(ann.cookies["__Host-connex_session"], before);
    assert_eq!(
        ann.post("/users/enable", &[("form_token", &token), ("user", &eve)]).await.status,
        StatusCode::FORBIDDEN
    );
    let token = ann.get("/users").await.form_token();
    let done = ann.post("/users/enable", &[("form_token", &token), ("user", &eve)]).await;
    assert_eq!(done.header("location"), "/users?done=enabled");
}

#[tokio::test]
async fn an_invitation_is_followed_once_and_what_people_write_is_shown_as_text() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let mut ann = scene.signed_in("ann@acme.example").await;
    let token = ann.get("/users").await.form_token();
    let made =
        ann.post("/users/invite", &[("form_token", &token), ("email", "bob@acme.example"), ("role", "agent")]).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let link =
        made.text.split_once("https://gate.example/invitations/").unwrap().1.split('"').next().unwrap().to_owned();
    let path = format!("/invitations/{link}");
    assert!(!ann.get("/users").await.text.contains(&link), "it is shown once");
    let mut bob = scene.browser();
    let page = bob.get(&path).await;
    assert!(page.text.contains("bob@acme.example") && page.text.contains("agent"), "{}", page.text);
    let short = bob.post(&path, &[("name", "Bob"), ("password", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.text.contains("at least 12 characters"), "{}", short.text);
    let name = "<script>alert(1)</script>\"'&";
    let done = bob.post(&path, &[("name", name), ("password", PASSWORD)]).await;
    assert_eq!(done.header("location"), "/login?done=password-set");
    for again in [bob.get(&path).await, bob.post(&path, &[("name", ""), ("password", PASSWORD)]).await] {
        assert_eq!(again.status, StatusCode::NOT_FOUND);
    }
    let mut bob = scene.signed_in("bob@acme.example").await;
    for page in [bob.get("/account").await, ann.get("/users").await] {
        assert!(!page.text.contains("<script") && page.text.contains("script"), "{}", page.text);
    }
}

#[tokio::test]
async fn the_setup_link_makes_the_first_owner() {
    let scene = Scene::new().await;
    let link = setup_link(&scene.gateway.service().store, "https://gate.example").await.unwrap();
    let path = link.strip_prefix("https://gate.example").unwrap();
    let mut browser = scene.browser();
    assert!(browser.get(path).await.text.contains("value=\"acme\""), "the only tenant is proposed");
    let fields = [("organisation", "acme"), ("name", "Ann"), ("email", "ann@acme.example"), ("password", PASSWORD)];
    assert_eq!(browser.send("POST", path, &[], form(&fields)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/setup/x", &fields).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.post(path, &fields).await.header("location"), "/login?done=password-set");
    assert_eq!(browser.post(path, &fields).await.status, StatusCode::NOT_FOUND);
    let mut ann = scene.signed_in("ann@acme.example").await;
    assert_eq!(ann.get("/users").await.status, StatusCode::OK);
    assert!(setup_link(&scene.gateway.service().store, "").await.is_err(), "there is an account now");
}

#[tokio::test]
async fn after_signing_in_nobody_is_led_to_a_page_of_others() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    for (next, to) in
        [("/users?x=1", "/users?x=1"), ("//evil.example", "/account"), ("https://evil.example/", "/account")]
    {
        let mut browser = scene.browser();
        let fields = [("organisation", ""), ("email", "ann@acme.example"), ("password", PASSWORD), ("next", next)];
        assert_eq!(browser.post("/login", &fields).await.header("location"), to);
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        assert_eq!(browser.get(&format!("/login?next={encoded}")).await.header("location"), to);
    }
}

#[tokio::test]
async fn keys_and_sessions_are_never_taken_together() {
    let scene = Scene::new().await;
    scene.add("ann@acme.example", Role::Owner).await;
    let mut browser = scene.signed_in("ann@acme.example").await;
    let key = ("authorization", "Bearer cxk_live_x");
    assert_eq!(browser.send("GET", "/account", &[key], String::new()).await.status, StatusCode::BAD_REQUEST);
    let reply = browser.send("GET", "/api/v1/events", &[key], String::new()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text.contains("key_exposed"), "{}", reply.text);
    // The key alone is judged as ever, and the session alone is no key.
    let alone = scene.browser().send("GET", "/api/v1/events", &[key], String::new()).await;
    assert!(alone.status == StatusCode::UNAUTHORIZED && alone.text.contains("invalid_key"), "{}", alone.text);
    assert_eq!(browser.get("/api/v1/events").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unknown_paths_are_pages_for_people_and_problems_for_programs() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let page = browser.get("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.text);
    let problem = browser.get("/api/nowhere").await;
    assert_eq!((problem.status, problem.header("content-type")), (StatusCode::NOT_FOUND, "application/problem+json"));
    let request = Request::builder().uri("/nowhere").body(Body::empty()).unwrap();
    let reply = scene.router.clone().oneshot(request).await.unwrap();
    assert_eq!(reply.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_form_that_is_too_large_or_none_is_refused_by_name() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let large = format!("password={}", "x".repeat(FORM_SIZE));
    let reply = browser.send("POST", "/login", &[SAME_ORIGIN], large).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    for body in ["", "a=b", "%ff=%ff&&&=", "email=a&email=b&password=c&organisation=d&next=e"] {
        let reply = browser.send("POST", "/login", &[SAME_ORIGIN], body.to_owned()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
    }
}
