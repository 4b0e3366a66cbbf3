//! People at the API: how they sign in, their accounts, and what they decide, by a session or by the token of their issuer.

use super::super::shape::Shape;
use super::drafts::{ask, ask_again};
use super::*;
use crate::governance::audit::Who;
use crate::oidc::tests::provider::Provider as Issuer;
use crate::service::accounts::{Role, STEP_UP, make_account};
use crate::service::issuers::{IssuerRequest, register};
use crate::store::TenantStore;
use crate::store::accounts::identities::Identity;
use crate::store::standing::Paused;

const PASSWORD: &str = "lantern over the quay";

/// A page of ours.
pub(super) struct Page<'g> {
    gateway: &'g Gateway,
    cookie: String,
    csrf: String,
}

impl Gateway {
    fn own(&self) -> TenantStore {
        self.store.for_tenant(self.tenant)
    }

    async fn login(&self, email: &str, password: &str, site: &str) -> Reply {
        let organisation = self.own().name().await.unwrap();
        let body = json!({ "organisation": organisation, "email": email, "password": password });
        let login = request("POST", "/auth/login", None).header("sec-fetch-site", site);
        self.send(login.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A page at which a person of this role is signed in.
    pub(super) async fn page(&self, email: &str, role: Role) -> Page<'_> {
        make_account(&self.own(), email, role, PASSWORD).await.unwrap();
        let reply = self.login(email, PASSWORD, "same-origin").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let (cookie, csrf) = (reply.cookie(), reply.json()["csrfToken"].as_str().unwrap().to_owned());
        Page { gateway: self, cookie, csrf }
    }
}

impl Reply {
    fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

impl Page<'_> {
    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call_with(method, path, body, &[("sec-fetch-site", "same-origin"), ("x-csrf-token", &self.csrf)]).await
    }

    async fn call_with(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let mut call = request(method, path, None).header("cookie", &self.cookie);
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == "idempotency-key") {
            call = call.header("idempotency-key", fresh_key());
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.gateway.send(call.body(body).unwrap()).await
    }
}

async fn fits(gateway: &Gateway, schema: &str, reply: &Reply) -> Value {
    assert!(reply.status.is_success(), "{}", reply.text());
    assert_eq!(reply.header("cache-control"), "no-store");
    let document = gateway.get("/api/connex/openapi", None).await.json();
    let findings = Shape::compile(&document, schema).unwrap().check(&reply.json());
    assert!(findings.faults.is_empty() && findings.unknown.is_empty(), "{schema}: {findings:?}");
    reply.json()
}

#[tokio::test]
async fn a_person_signs_in_over_json_from_a_page_of_ours_and_is_told_nothing_of_why_not() {
    let gateway = Gateway::new().await;
    make_account(&gateway.own(), "ann@acme.example", Role::Admin, PASSWORD).await.unwrap();
    let wrong = gateway.login("ann@acme.example", "not this one", "same-origin").await;
    let nobody = gateway.login("bob@acme.example", PASSWORD, "same-origin").await;
    let told = |reply: &Reply| {
        let mut problem = reply.problem(403, "wrong_credentials");
        problem["requestId"] = Value::Null;
        problem
    };
    assert_eq!(told(&wrong), told(&nobody), "no account is told from another");
    for site in ["cross-site", "same-site", "none"] {
        gateway.login("ann@acme.example", PASSWORD, site).await.problem(403, "forbidden_origin");
    }
    let body = json!({ "email": "a", "password": "b", "role": "owner" }).to_string();
    let unknown = request("POST", "/auth/login", None).header("sec-fetch-site", "same-origin").body(Body::from(body));
    gateway.send(unknown.unwrap()).await.problem(422, "invalid_request");
    let mut last = wrong;
    for _ in 0..10 {
        last = gateway.login("ann@acme.example", "not this one", "same-origin").await;
    }
    last.problem(429, "rate_limited");
    assert!(!last.header("retry-after").is_empty());
    gateway.clock.advance(std::time::Duration::from_secs(31));
    let good = gateway.login("ann@acme.example", PASSWORD, "same-origin").await;
    let view = fits(&gateway, "SignedInView", &good).await;
    assert_eq!((view["user"]["role"].as_str(), view["steppedUp"].as_bool()), (Some("admin"), Some(true)));
    assert!(good.header("set-cookie").starts_with("__Host-connex_session="), "{:?}", good.headers);
    assert!(!good.text().contains(good.cookie().split_once('=').unwrap().1), "the token is in the cookie alone");
}

#[tokio::test]
async fn accounts_are_seen_and_changed_by_those_with_the_role_from_pages_of_ours_alone() {
    let gateway = Gateway::new().await;
    let admin = gateway.page("ann@acme.example", Role::Admin).await;
    let viewer = gateway.page("eve@acme.example", Role::Viewer).await;
    let users = fits(&gateway, "UserPage", &admin.call("GET", "/api/v1/users", Value::Null).await).await;
    let ids: Vec<&str> = users["items"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect();
    let eve = format!("/api/v1/users/{}", ids[1]);
    let new = json!({ "email": "bob@acme.example", "role": "approver" });
    for (method, path) in
        [("GET", "/api/v1/users"), ("GET", "/api/v1/invites"), ("POST", "/api/v1/invites"), ("GET", "/api/v1/issuers")]
    {
        viewer.call(method, path, new.clone()).await.problem(403, "forbidden_role");
    }
    // A page of others has no token, or says where it is from; a key is no person, and never beside one.
    for headers in [
        vec![],
        vec![("sec-fetch-site", "same-origin")],
        vec![("x-csrf-token", admin.csrf.as_str())],
        vec![("sec-fetch-site", "cross-site"), ("x-csrf-token", admin.csrf.as_str())],
        vec![("sec-fetch-site", "same-origin"), ("x-csrf-token", viewer.csrf.as_str())],
    ] {
        admin.call_with("POST", "/api/v1/invites", new.clone(), &headers).await.problem(403, "forbidden_origin");
    }
    let key = gateway.key().await;
    gateway.post("/api/v1/invites", Some(&key), &new).await.problem(403, "people_only");
    let both = [("authorization", format!("Bearer {key}"))];
    admin.call_with("GET", "/api/v1/users", Value::Null, &[(both[0].0, &both[0].1)]).await.problem(400, "key_exposed");

    let link = fits(&gateway, "LinkView", &admin.call("POST", "/api/v1/users", new.clone()).await).await;
    assert!(link["url"].as_str().unwrap().contains("/invitations/"), "{link}");
    admin
        .call("POST", "/api/v1/invites", json!({ "email": "x@acme.example", "role": "owner" }))
        .await
        .problem(403, "forbidden_role");
    let invites = fits(&gateway, "InvitePage", &admin.call("GET", "/api/v1/invites", Value::Null).await).await;
    let invite = format!("/api/v1/invites/{}", invites["items"][0]["id"].as_str().unwrap());
    assert_eq!(admin.call("DELETE", &invite, Value::Null).await.status, StatusCode::OK);
    admin.call("DELETE", &invite, Value::Null).await.problem(404, "not_found");

    let changed = admin.call("PATCH", &eve, json!({ "role": "approver", "state": "active" })).await;
    assert_eq!(fits(&gateway, "UserView", &changed).await["role"], "approver");
    admin
        .call("PATCH", &format!("/api/v1/users/{}", ids[0]), json!({ "state": "disabled" }))
        .await
        .problem(403, "forbidden_role");
    let sessions = fits(&gateway, "SessionPage", &viewer.call("GET", "/api/v1/sessions", Value::Null).await).await;
    assert_eq!(
        (sessions["csrfToken"].as_str(), sessions["user"]["role"].as_str()),
        (Some(viewer.csrf.as_str()), Some("approver"))
    );
    let own = format!("/api/v1/sessions/{}", sessions["items"][0]["id"].as_str().unwrap());
    admin.call("DELETE", &own, Value::Null).await.problem(404, "not_found");
    admin.call("PATCH", &eve, json!({ "state": "disabled" })).await;
    viewer.call("GET", "/api/v1/sessions", Value::Null).await.problem(401, "not_signed_in");

    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    admin.call("POST", "/api/v1/invites", new.clone()).await.problem(403, "step_up_required");
    admin.call("POST", "/auth/step-up", json!({ "password": "not this one" })).await.problem(403, "wrong_credentials");
    let again = admin.call("POST", "/auth/step-up", json!({ "password": PASSWORD })).await;
    let csrf = fits(&gateway, "SignedInView", &again).await["csrfToken"].as_str().unwrap().to_owned();
    admin.call("GET", "/api/v1/users", Value::Null).await.problem(401, "not_signed_in");
    let admin = Page { gateway: &gateway, cookie: again.cookie(), csrf };
    assert_eq!(admin.call("POST", "/api/v1/invites", new).await.status, StatusCode::CREATED);
    let out = admin.call("POST", "/auth/logout", Value::Null).await;
    assert!(out.status.is_success() && out.header("set-cookie").contains("Max-Age=0"), "{:?}", out.headers);
    admin.call("GET", "/api/v1/users", Value::Null).await.problem(401, "not_signed_in");
}

#[tokio::test]
async fn an_admin_stops_sending_at_once_and_lets_it_go_on_after_proving_who_they_are() {
    let gateway = Gateway::new().await;
    super::drafts::mailbox(&gateway, "sales", "connex", "human_approval").await;
    let admin = gateway.page("ann@acme.example", Role::Admin).await;
    let approver = gateway.page("eve@acme.example", Role::Approver).await;
    let (pauses, suppressions) = ("/api/v1/pauses", "/api/v1/suppressions");
    for path in [pauses, suppressions] {
        approver.call("GET", path, Value::Null).await.problem(403, "forbidden_role");
        gateway.get(path, Some(&gateway.key().await)).await.problem(403, "people_only");
    }
    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    for (kind, subject) in [("tenant", ""), ("agent", "agent_7"), ("mailbox", "Sales@gate.example")] {
        let made = admin.call("POST", pauses, json!({ "kind": kind, "subject": subject })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        fits(&gateway, "PausePage", &made).await;
    }
    for (kind, subject, pointer) in
        [("tenant", "x", "/subject"), ("agent", " ", "/subject"), ("everything", "", "/kind")]
    {
        let wrong = admin.call("POST", pauses, json!({ "kind": kind, "subject": subject })).await;
        assert_eq!(wrong.problem(422, "invalid_request")["errors"][0]["pointer"], pointer);
    }
    let strange = json!({ "kind": "mailbox", "subject": "nobody@gate.example" });
    admin.call("POST", pauses, strange).await.problem(404, "not_found");
    let page = admin.call("GET", pauses, Value::Null).await.json();
    let ids: Vec<&str> = page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids[0] == "agent:agent_7" && ids[1].starts_with("mailbox:mbx_") && ids[2] == "tenant", "{ids:?}");
    let one = admin.call("POST", suppressions, json!({ "address": "Ann@lakeside.example" })).await;
    assert_eq!(fits(&gateway, "SuppressionView", &one).await["reason"], "manual");
    admin.call("POST", suppressions, json!({ "address": "nobody" })).await.problem(422, "invalid_request");
    admin.call("POST", suppressions, json!({ "address": "x+y@lakeside.example" })).await;
    let behind = format!("{suppressions}?after=ann%40lakeside.example");
    let rest = fits(&gateway, "SuppressionPage", &admin.call("GET", &behind, Value::Null).await).await;
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["items"][0]["address"]),
        (1, &json!("x+y@lakeside.example"))
    );
    let (agent, address) = (format!("{pauses}/agent%3Aagent_7"), format!("{suppressions}/ann%40lakeside.example"));
    for path in [&agent, &address] {
        admin.call("DELETE", path, Value::Null).await.problem(403, "step_up_required");
    }
    let again = admin.call("POST", "/auth/step-up", json!({ "password": PASSWORD })).await;
    let csrf = again.json()["csrfToken"].as_str().unwrap().to_owned();
    let admin = Page { gateway: &gateway, cookie: again.cookie(), csrf };
    let left = fits(&gateway, "PausePage", &admin.call("DELETE", &agent, Value::Null).await).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 2);
    assert_eq!(admin.call("DELETE", &address, Value::Null).await.status, StatusCode::OK);
    for path in [&agent, &address] {
        admin.call("DELETE", path, Value::Null).await.problem(404, "not_found");
    }
    let by = gateway.own().audit_after(0, 100).await.unwrap();
    // What the operator stops too, only the operator lets go on.
    gateway.own().pause_sending(Paused::Tenant, true, Who::Operator).await.unwrap();
    admin.call("DELETE", &format!("{pauses}/tenant"), Value::Null).await.problem(409, "state_conflict");
    assert!(gateway.own().pause_sending(Paused::Tenant, false, Who::Operator).await.unwrap());
    let by: Vec<_> = by.iter().filter(|row| row.entry.action.starts_with("sending.")).collect();
    assert!(by.len() == 4 && by.iter().all(|row| row.entry.actor.starts_with("user:")), "{by:?}");
}

/// A question, with the path of its answer, and the hash that it is about.
async fn question(gateway: &Gateway, word: &str) -> (String, String) {
    let key = gateway.key().await;
    let (draft, question) = ask(gateway, &key, word).await;
    let shown = gateway.get(&format!("/api/v1/drafts/{draft}"), Some(&key)).await.json();
    (format!("/api/v1/approvals/{question}/decision"), shown["contentHash"].as_str().unwrap().to_owned())
}

fn yes(hash: &str) -> Value {
    json!({ "decision": "approve", "contentHash": hash, "accepts": ["new_recipient"] })
}

#[tokio::test]
async fn a_signed_in_person_decides_about_the_content_that_they_saw() {
    let gateway = Gateway::new().await;
    let viewer = gateway.page("eve@acme.example", Role::Viewer).await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "Ann").await;
    viewer.call("POST", &path, yes(&hash)).await.problem(403, "forbidden_role");
    page.call_with("POST", &path, yes(&hash), &[("sec-fetch-site", "same-origin")])
        .await
        .problem(403, "forbidden_origin");
    gateway.post(&path, Some(&gateway.key().await), &yes(&hash)).await.problem(403, "people_only");
    page.call("POST", &path, yes(&"0".repeat(64))).await.problem(409, "content_changed");
    page.call("POST", &path, json!({ "decision": "approve", "contentHash": "x".repeat(64) }))
        .await
        .problem(422, "invalid_request");
    page.call("POST", &path, json!({ "decision": "defer", "contentHash": hash })).await.problem(422, "invalid_request");
    page.call("POST", &path, json!({ "decision": "reject", "contentHash": hash }))
        .await
        .problem(422, "invalid_request");
    let defer = |until: &str| json!({ "decision": "defer", "contentHash": hash, "until": until });
    for until in ["tomorrow", "2026-11-23T10:00:00Z"] {
        page.call("POST", &path, defer(until)).await.problem(422, "invalid_request");
    }
    page.call("POST", &path, defer("2099-01-01T00:00:00Z")).await.problem(409, "state_conflict");
    let deferred =
        fits(&gateway, "DecisionAnswer", &page.call("POST", &path, defer("2026-11-24T10:00:00Z")).await).await;
    assert_eq!(
        (deferred["approval"]["state"].as_str(), deferred["approval"]["deferredUntil"].as_str()),
        (Some("pending"), Some("2026-11-24T10:00:00.000Z"))
    );
    let answer = fits(&gateway, "DecisionAnswer", &page.call("POST", &path, yes(&hash)).await).await;
    assert_eq!(
        (answer["approval"]["state"].as_str(), answer["release"]["state"].as_str()),
        (Some("approved"), Some("released"))
    );
    let again = page.call("POST", &path, yes(&hash)).await;
    assert_eq!(again.json()["approval"], answer["approval"], "the same again changes nothing");
    assert!(!again.headers.contains_key("idempotency-replayed"));
    let no = json!({ "decision": "reject", "contentHash": hash, "reason": "not_needed" });
    page.call("POST", &path, no.clone()).await.problem(409, "state_conflict");
}

#[tokio::test]
async fn only_the_very_same_answer_is_told_as_given_before() {
    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "Ann").await;
    assert_eq!(page.call("POST", &path, yes(&hash)).await.status, StatusCode::OK);
    let mut more = yes(&hash);
    more["accepts"] = json!(["quota_exceeded", "new_recipient", "new_recipient"]);
    assert_eq!(page.call("POST", &path, more).await.status, StatusCode::OK, "what held nothing is no other answer");
    let mut fewer = yes(&hash);
    fewer["accepts"] = json!([]);
    page.call("POST", &path, fewer).await.problem(409, "state_conflict");

    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "Bob").await;
    let no = |note: Value| json!({ "decision": "reject", "contentHash": hash, "reason": "tone", "note": note });
    assert_eq!(page.call("POST", &path, no(json!("Too curt."))).await.status, StatusCode::OK);
    assert_eq!(page.call("POST", &path, no(json!("Too curt."))).await.status, StatusCode::OK);
    for other in [json!("Too long."), Value::Null] {
        page.call("POST", &path, no(other)).await.problem(409, "state_conflict");
    }

    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "Cid").await;
    for until in ["2026-11-24T10:00:00.000Z", "2026-11-24T11:00:00.000Z"] {
        let defer = json!({ "decision": "defer", "contentHash": hash, "until": until });
        let answer = page.call("POST", &path, defer).await.json();
        assert_eq!(answer["approval"]["deferredUntil"], until, "each time anew");
    }
}

#[tokio::test]
async fn a_decision_has_a_key_under_which_its_answer_is_repeated() {
    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let other = gateway.page("bob@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "Ann").await;
    let without = request("POST", &path, None).header("cookie", &page.cookie).header("sec-fetch-site", "same-origin");
    let without = without.header("x-csrf-token", &page.csrf).body(Body::from(yes(&hash).to_string())).unwrap();
    gateway.send(without).await.problem(400, "invalid_parameter");
    let under = async |page: &Page<'_>, name: &str, body: Value| {
        let headers =
            [("sec-fetch-site", "same-origin"), ("x-csrf-token", page.csrf.as_str()), ("idempotency-key", name)];
        page.call_with("POST", &path, body, &headers).await
    };
    let first = under(&page, "a", yes(&hash)).await;
    assert_eq!(first.json()["release"]["state"], "released", "{}", first.text());
    let again = under(&page, "a", yes(&hash)).await;
    assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", first.json()));
    let no = json!({ "decision": "reject", "contentHash": hash, "reason": "other" });
    under(&page, "a", no).await.problem(422, "idempotency_conflict");
    // A key is its person's own.
    under(&other, "a", yes(&hash)).await.problem(409, "state_conflict");
}

#[tokio::test]
async fn several_questions_are_answered_in_one_call_each_by_itself() {
    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let key = gateway.key().await;
    let mut asked = Vec::new();
    for (draft, question) in [ask(&gateway, &key, "Ann").await, ask_again(&gateway, &key, "Bob").await] {
        let shown = gateway.get(&format!("/api/v1/drafts/{draft}"), Some(&key)).await.json();
        asked.push((draft, question, shown["contentHash"].as_str().unwrap().to_owned()));
    }
    let path = "/api/v1/approvals/batch-decision";
    let one = |question: &str, hash: &str| json!({ "approvalId": question, "answer": yes(hash) });
    let body = json!({ "decisions": [
        one(&asked[0].1, &"0".repeat(64)), one(&asked[0].1, &asked[0].2), one(&asked[1].1, &asked[1].2), one("nothing", &asked[1].2),
    ] });
    gateway.post(path, Some(&key), &body).await.problem(403, "people_only");
    let headers =
        [("sec-fetch-site", "same-origin"), ("x-csrf-token", page.csrf.as_str()), ("idempotency-key", "both")];
    let answer =
        fits(&gateway, "BatchDecisionAnswer", &page.call_with("POST", path, body.clone(), &headers).await).await;
    let told = |at: usize, pointer: &str| answer["items"][at].pointer(pointer).cloned().unwrap_or_default();
    assert_eq!((told(0, "/problem/code"), told(0, "/problem/status")), (json!("content_changed"), json!(409)));
    assert_eq!((told(1, "/answer/release/state"), told(1, "/problem")), (json!("released"), Value::Null));
    assert_eq!((told(2, "/answer/release/state"), told(3, "/problem/code")), (json!("released"), json!("not_found")));
    // Whoever lost the answer gets it again; more than 25 are no call.
    let again = fits(&gateway, "BatchDecisionAnswer", &page.call_with("POST", path, body, &headers).await).await;
    assert_eq!((&again["items"][1], &again["items"][2]), (&answer["items"][1], &answer["items"][2]));
    let all: Vec<_> = (0..26).map(|_| one(&asked[0].1, &asked[0].2)).collect();
    page.call("POST", path, json!({ "decisions": all })).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_yes_to_what_is_of_high_risk_needs_a_person_who_has_just_proved_who_they_are() {
    let gateway = Gateway::new().await;
    let page = gateway.page("ann@acme.example", Role::Approver).await;
    let (path, hash) = question(&gateway, "and we agree to pay 500 EUR for the contract").await;
    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    page.call("POST", &path, yes(&hash)).await.problem(403, "step_up_required");
    let no = json!({ "decision": "reject", "contentHash": hash, "reason": "tone", "note": "Too cold" });
    let rejected = fits(&gateway, "DecisionAnswer", &page.call("POST", &path, no).await).await;
    assert_eq!((rejected["approval"]["rejectReason"].as_str(), rejected["release"].is_null()), (Some("tone"), true));
}

/// A tenant that has registered an issuer, whose user Ann has just signed in there.
async fn with_issuer(role: &str) -> (Issuer, Gateway) {
    let issuer = Issuer::start(0);
    let gateway = Gateway::new().await.with_providers(Vec::new());
    issuer.state().now = gateway.clock.now().as_seconds();
    let request = IssuerRequest { url: issuer.issuer(), audience: "approvals".into(), role: Some(role.into()) };
    register(&gateway.own(), request, |_| true, Who::Operator).await.unwrap();
    (issuer, gateway)
}

async fn decide(gateway: &Gateway, path: &str, body: &Value, token: &str) -> Reply {
    let call = request("POST", path, Some(token)).header("idempotency-key", fresh_key());
    gateway.send(call.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_user_of_a_registered_issuer_decides_by_a_token_for_this_content_made_just_now() {
    let (issuer, gateway) = with_issuer("approver").await;
    let (path, hash) = question(&gateway, "Ann").await;
    let now = issuer.state().now;
    let mut refused = 0;
    for (claims, audience, nonce) in [
        (json!({}), "approvals", "0".repeat(64)),
        (json!({ "nonce": null }), "approvals", hash.clone()),
        (json!({}), "another", hash.clone()),
        (json!({ "iss": "https://evil.example" }), "approvals", hash.clone()),
        (json!({ "exp": now - 120 }), "approvals", hash.clone()),
        (json!({ "auth_time": now - 601 }), "approvals", hash.clone()),
        (json!({ "auth_time": null }), "approvals", hash.clone()),
    ] {
        issuer.say(claims);
        decide(&gateway, &path, &yes(&hash), &issuer.token(audience, &nonce)).await.problem(401, "invalid_token");
        refused += 1;
    }
    assert_eq!(refused, 7);
    issuer.say(json!({}));
    let token = issuer.token("approvals", &hash);
    let (head, tail) = token.rsplit_once('.').unwrap();
    decide(&gateway, &path, &yes(&hash), &format!("{head}.{}", "A".repeat(tail.len())))
        .await
        .problem(401, "invalid_token");
    decide(&gateway, &path, &yes(&hash), &format!("{head}.")).await.problem(401, "invalid_token");
    decide(&gateway, &path, &yes(&hash), "not.a.token").await.problem(401, "invalid_token");
    decide(&gateway, &path, &yes(&"0".repeat(64)), &token).await.problem(401, "invalid_token");
    decide(&gateway, &path, &yes(&hash), &gateway.key().await).await.problem(403, "people_only");
    // For a question of nobody, or of a tenant that does not know the issuer.
    let nowhere = "/api/v1/approvals/apr_01kb3r8x7g0000000000000000/decision";
    decide(&gateway, nowhere, &yes(&hash), &token).await.problem(401, "invalid_token");

    let answer = fits(&gateway, "DecisionAnswer", &decide(&gateway, &path, &yes(&hash), &token).await).await;
    assert_eq!(answer["release"]["state"], "released", "{answer}");
    let named = format!("issued:{}#ann", issuer.issuer());
    assert_eq!(answer["approval"]["decidedBy"], named);
    let draft = answer["approval"]["draftId"].as_str().unwrap();
    let audit = gateway.own().audit_of(draft).await.unwrap();
    let yes_of = audit.iter().find(|row| row.entry.action == "approval.approved").unwrap();
    assert_eq!(yes_of.entry.actor, named);
    let again = decide(&gateway, &path, &yes(&hash), &token).await;
    assert_eq!((again.status, again.json()["approval"].clone()), (StatusCode::OK, answer["approval"].clone()));
    let no = json!({ "decision": "reject", "contentHash": hash, "reason": "other" });
    decide(&gateway, &path, &no, &token).await.problem(401, "invalid_token");
    issuer.say(json!({ "sub": "bob" }));
    decide(&gateway, &path, &no, &issuer.token("approvals", &hash)).await.problem(409, "state_conflict");
}

#[tokio::test]
async fn who_has_an_account_here_too_is_one_person_and_users_of_another_role_decide_nothing() {
    let (issuer, gateway) = with_issuer("agent").await;
    let (path, hash) = question(&gateway, "Ann").await;
    let token = issuer.token("approvals", &hash);
    decide(&gateway, &path, &yes(&hash), &token).await.problem(403, "forbidden_role");
    let row = gateway.own().issuers().await.unwrap().remove(0);
    gateway.own().remove_issuer(row.id, Who::Operator).await.unwrap();
    decide(&gateway, &path, &yes(&hash), &token).await.problem(401, "invalid_token");

    let admin = gateway.page("ann@acme.example", Role::Admin).await;
    let registered = json!({ "url": issuer.issuer(), "audience": "approvals" });
    for (name, value) in
        [("role", "admin"), ("url", "http://10.0.0.1"), ("url", "https://a.example/?x=1"), ("audience", "a\nb")]
    {
        let mut wrong = registered.clone();
        wrong[name] = json!(value);
        admin.call("POST", "/api/v1/issuers", wrong).await.problem(422, "invalid_request");
    }
    let made = admin.call("POST", "/api/v1/issuers", registered.clone()).await;
    assert_eq!(fits(&gateway, "IssuerView", &made).await["role"], "approver");
    admin.call("POST", "/api/v1/issuers", registered).await.problem(409, "state_conflict");
    let list = fits(&gateway, "IssuerPage", &admin.call("GET", "/api/v1/issuers", Value::Null).await).await;
    let one = format!("/api/v1/issuers/{}", list["items"][0]["id"].as_str().unwrap());

    // The account of that very person may not decide: then neither may they by the token.
    let eve = make_account(&gateway.own(), "eve@acme.example", Role::Viewer, PASSWORD).await.unwrap();
    gateway.own().link_identity(eve, Identity { issuer: issuer.issuer(), subject: "ann".into() }).await.unwrap();
    decide(&gateway, &path, &yes(&hash), &token).await.problem(403, "forbidden_role");
    gateway.own().set_role(eve, Role::Approver, Who::Operator).await.unwrap();
    let answer = decide(&gateway, &path, &yes(&hash), &token).await.json();
    assert_eq!(answer["approval"]["decidedBy"], format!("user:{eve}"), "{answer}");

    assert_eq!(admin.call("DELETE", &one, Value::Null).await.status, StatusCode::OK);
    let actions: Vec<String> =
        gateway.own().audit_after(0, 50).await.unwrap().into_iter().map(|row| row.entry.action).collect();
    assert_eq!(actions.iter().filter(|action| action.starts_with("issuer.")).count(), 4, "{actions:?}");
}

#[tokio::test]
async fn an_administrator_who_has_just_proved_who_they_are_sets_a_relay_whose_password_is_shown_to_nobody() {
    const PATH: &str = "/api/v1/domains/acme.example/relay";
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.post("/api/v1/domains", Some(&key), &json!({ "domain": "acme.example" })).await;
    let relay = json!({ "relay": "smtp.acme.example:587", "user": "gateway", "password": "tidewater" });
    let approver = gateway.page("eve@acme.example", Role::Approver).await;
    let admin = gateway.page("ann@acme.example", Role::Admin).await;
    let other = gateway.another_tenant("stranger").await;
    let stranger = other.page("ann@acme.example", Role::Owner).await;
    let none = fits(&gateway, "DomainRelayView", &admin.call("GET", PATH, Value::Null).await).await;
    assert_eq!(none, json!({ "domain": "acme.example", "route": "direct", "relay": null }));
    for method in ["GET", "PUT", "DELETE"] {
        let body = if method == "PUT" { relay.clone() } else { Value::Null };
        let call = request(method, PATH, Some(&key)).body(Body::from(body.to_string())).unwrap();
        gateway.send(call).await.problem(403, "people_only");
        approver.call(method, PATH, body.clone()).await.problem(403, "forbidden_role");
        stranger.call(method, PATH, body).await.problem(404, "not_found");
    }
    for (wrong, pointer) in [
        (json!({ "relay": "smtp.acme.example" }), "/relay"),
        (json!({ "relay": "smtp.acme.example:25", "tls": "maybe" }), "/tls"),
        (json!({ "relay": "smtp.acme.example:25", "user": "us" }), "/password"),
        (json!({ "relay": "smtp.acme.example:25", "tls": "never", "user": "us", "password": "tidewater" }), "/tls"),
        (json!({ "relay": "smtp.acme.example:25", "pass": "tidewater" }), "/pass"),
    ] {
        let refused = admin.call("PUT", PATH, wrong).await;
        assert!(!refused.text().contains("tidewater"), "{}", refused.text());
        assert_eq!(refused.problem(422, "invalid_request")["errors"][0]["pointer"], pointer);
    }
    let set = admin.call("PUT", PATH, relay.clone()).await;
    let view = fits(&gateway, "DomainRelayView", &set).await;
    assert_eq!(view["route"], "relay:smtp.acme.example:587", "{view}");
    let shown = ("587".to_owned(), "starttls", "gateway");
    let of = &view["relay"];
    assert_eq!((of["port"].to_string(), of["tls"].as_str().unwrap(), of["user"].as_str().unwrap()), shown);
    assert_eq!(admin.call("GET", PATH, Value::Null).await.json(), view);
    let records = gateway.get("/api/v1/domains/acme.example/dns-records", Some(&key)).await;
    assert_eq!(records.json()["route"], "relay:smtp.acme.example:587", "{}", records.text());
    let rows = gateway.own().audit_after(0, 1_000).await.unwrap();
    let of_relay: Vec<_> = rows.iter().filter(|row| row.entry.action == "domain_relay.set").collect();
    assert!(of_relay.len() == 1 && of_relay[0].entry.actor.starts_with("user:"), "{of_relay:?}");
    let everything = format!("{}{}{rows:?}", set.text(), view);
    assert!(!everything.contains("tidewater") && !everything.contains("s1:"), "{everything}");
    let stored = gateway.own().domain_relay("acme.example").await.unwrap().unwrap();
    assert!(!format!("{stored:?}").contains("tidewater"), "{stored:?}");

    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    admin.call("PUT", PATH, relay).await.problem(403, "step_up_required");
    admin.call("DELETE", PATH, Value::Null).await.problem(403, "step_up_required");
    let fresh = gateway.page("bob@acme.example", Role::Admin).await;
    let gone = fits(&gateway, "DomainRelayView", &fresh.call("DELETE", PATH, Value::Null).await).await;
    assert_eq!(gone, none);
    fresh.call("DELETE", PATH, Value::Null).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_person_of_another_tenant_sees_and_changes_nothing_here() {
    let (issuer, gateway) = with_issuer("approver").await;
    let owner = gateway.page("ann@acme.example", Role::Owner).await;
    let invited = owner.call("POST", "/api/v1/invites", json!({ "email": "new@acme.example", "role": "viewer" })).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.text());
    let (path, hash) = question(&gateway, "Ann").await;
    let first = async |path: &str| {
        owner.call("GET", path, Value::Null).await.json()["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let other = gateway.another_tenant("stranger").await;
    let stranger = other.page("ann@acme.example", Role::Owner).await;
    for (list, method, body) in [
        ("/api/v1/users", "PATCH", json!({ "role": "viewer" })),
        ("/api/v1/sessions", "DELETE", Value::Null),
        ("/api/v1/invites", "DELETE", Value::Null),
        ("/api/v1/issuers", "DELETE", Value::Null),
    ] {
        let id = first(list).await;
        let listed = stranger.call("GET", list, Value::Null).await;
        assert!(listed.status.is_success() && !listed.text().contains(&id), "{list}: {}", listed.text());
        stranger.call(method, &format!("{list}/{id}"), body).await.problem(404, "not_found");
    }
    stranger.call("POST", &path, yes(&hash)).await.problem(404, "not_found");
    // Their registration of the same issuer opens nothing of others.
    gateway.own().remove_issuer(first("/api/v1/issuers").await.parse().unwrap(), Who::Operator).await.unwrap();
    let registered = json!({ "url": issuer.issuer(), "audience": "approvals" });
    assert_eq!(stranger.call("POST", "/api/v1/issuers", registered).await.status, StatusCode::CREATED);
    decide(&gateway, &path, &yes(&hash), &issuer.token("approvals", &hash)).await.problem(401, "invalid_token");
}
