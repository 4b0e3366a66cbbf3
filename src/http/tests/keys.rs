//! Who may call, and what a refusal says.

use super::*;
use crate::keys::Scope;

const CHECK: &str = "/api/connex/key-check";

#[tokio::test]
async fn a_missing_or_invalid_key_is_401_with_a_challenge() {
    let gateway = Gateway::new().await;
    let reply = gateway.post(CHECK, None, &json!({})).await;
    reply.problem(401, "missing_key");
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"connex\"");
    let known = gateway.key().await;
    let foreign = make_key(
        NewKey {
            name: "x".into(),
            environment: Environment::Live,
            scopes: Scopes::all(),
            bindings: KeyBindings::default(),
            allowed_networks: vec![],
            expires_at: None,
        },
        gateway.tenant,
        &Pepper::new(b"pepper"),
        &gateway.clock,
    );
    let typo = format!("{}{}", &known[..44], if known.ends_with('a') { 'b' } else { 'a' });
    for (key, word) in
        [("cxk_live_your_key_here", "form"), (typo.as_str(), "checksum"), (foreign.0.reveal(), "not known")]
    {
        let reply = gateway.post(CHECK, Some(key), &json!({})).await;
        let problem = reply.problem(401, "invalid_key");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"connex\", error=\"invalid_token\"");
    }
    let basic = Request::post(CHECK).header("authorization", "Basic YTpi").body(Body::empty()).unwrap();
    gateway.send(basic).await.problem(401, "invalid_key");
}

#[tokio::test]
async fn a_typo_is_refused_without_a_database() {
    let gateway = Gateway::new().await;
    gateway.store.close().await;
    gateway
        .post(CHECK, Some("cxk_live_0000000000000000000000000000000SNf9m"), &json!({}))
        .await
        .problem(401, "invalid_key");
}

#[tokio::test]
async fn a_revoked_or_expired_key_stops_at_once() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    assert_eq!(gateway.post(CHECK, Some(&key), &json!({})).await.status, StatusCode::OK);
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let id = tenant.keys().await.unwrap()[0].id;
    tenant.revoke_key(id).await.unwrap();
    let log = async || {
        let rows = tenant.audit_of(&id.to_string()).await.unwrap();
        rows.into_iter().map(|row| row.entry.action).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        gateway.post(CHECK, Some(&key), &json!({})).await.problem(401, "invalid_key");
        assert_eq!(log().await, ["key.added", "key.revoked", "key.refused"], "once a minute");
    }
    gateway.clock.advance(std::time::Duration::from_secs(60));
    gateway.post(CHECK, Some(&key), &json!({})).await.problem(401, "invalid_key");
    assert_eq!(log().await.len(), 4);
    let now = gateway.clock.now();
    let short = gateway.key_with(|key| key.expires_at = Some(now.plus(std::time::Duration::from_secs(10)))).await;
    assert_eq!(gateway.post(CHECK, Some(&short), &json!({})).await.status, StatusCode::OK);
    gateway.clock.advance(std::time::Duration::from_secs(10));
    gateway.post(CHECK, Some(&short), &json!({})).await.problem(401, "invalid_key");
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let gateway = Gateway::new().await;
    let key = gateway.key_with(|key| key.scopes = Scopes::of(&[Scope::EventsRead])).await;
    let problem = gateway.post(EVENT, Some(&key), &event("1")).await.problem(403, "forbidden_scope");
    assert!(problem["detail"].as_str().unwrap().contains("status:evaluate"));
    let key = gateway.key_with(|key| key.scopes = Scopes::of(&[Scope::StatusEvaluate, Scope::MessagesRead])).await;
    let path = "/api/v1/messages/msg_00000000000000000000000000/raw";
    let problem = gateway.get(path, Some(&key)).await.problem(403, "forbidden_scope");
    assert!(problem["detail"].as_str().unwrap().contains("messages:raw"));
}

#[tokio::test]
async fn bindings_and_networks_confine_a_key() {
    let gateway = Gateway::new().await;
    let key = gateway.key_with(|key| key.bindings.apps = vec!["other".into()]).await;
    gateway.post(EVENT, Some(&key), &event("1")).await.problem(403, "forbidden_app");
    gateway.post("/api/connex/status", Some(&key), &event("1")).await.problem(403, "forbidden_app");
    gateway.post("/api/connex/trust", Some(&key), &json!({ "app": "crm" })).await.problem(403, "forbidden_app");
    let key = gateway.key_with(|key| key.bindings.mailboxes = vec!["a@b.example".into()]).await;
    gateway.post(EVENT, Some(&key), &event("1")).await.problem(403, "forbidden_mailbox");
    let key = gateway.key_with(|key| key.allowed_networks = vec!["198.51.100.0/24".parse().unwrap()]).await;
    gateway.post(CHECK, Some(&key), &json!({})).await.problem(403, "forbidden_network");
    let key = gateway.key_with(|key| key.allowed_networks = vec!["192.0.2.0/24".parse().unwrap()]).await;
    assert_eq!(gateway.post(CHECK, Some(&key), &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_is_bound_to_mailboxes_reads_of_them_alone() {
    let gateway = Gateway::new().await;
    let open = gateway.key().await;
    let recorded = gateway.post(EVENT, Some(&open), &quiet("1")).await.json();
    let bound = gateway.key_with(|key| key.bindings.mailboxes = vec!["a@b.example".into()]).await;
    let explain = |recorded: &Value| format!("/api/v1/explain/{}", recorded["eventId"].as_str().unwrap());
    gateway.get(&explain(&recorded), Some(&bound)).await.problem(404, "not_found");
    assert_eq!(gateway.get("/api/v1/events", Some(&bound)).await.json()["items"], json!([]));
    for path in ["/api/connex/integration-insights", "/api/connex/trust"] {
        gateway.post(path, Some(&bound), &json!({})).await.problem(403, "forbidden_mailbox");
        assert_eq!(gateway.post(path, Some(&open), &json!({})).await.status, StatusCode::OK);
    }
    gateway.get("/api/v1/domains", Some(&bound)).await.problem(403, "forbidden_mailbox");
    assert_eq!(gateway.get(&explain(&recorded), Some(&open)).await.status, StatusCode::OK);
    let mut own = quiet("2");
    own["sourceMailbox"] = json!({ "address": "A@b.example" });
    let own = gateway.post(EVENT, Some(&bound), &own).await.json();
    assert_eq!(gateway.get(&explain(&own), Some(&bound)).await.status, StatusCode::OK, "its own mailbox is open to it");
    let page = gateway.get("/api/v1/events", Some(&bound)).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["nextCursor"]), (1, &json!(2)), "{page}");
}

#[tokio::test]
async fn a_key_where_others_can_read_it_is_refused() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let reply = gateway.get(&format!("/api/v1/events?key={key}"), None).await;
    assert!(!reply.problem(400, "key_exposed").to_string().contains(&key));
    let browser =
        request("POST", CHECK, Some(&key)).header("origin", "https://a.example").body(Body::from("{}")).unwrap();
    gateway.send(browser).await.problem(400, "key_exposed");
    let preview =
        request("POST", PREVIEW, None).header("origin", "https://a.example").body(Body::from(event("1").to_string()));
    assert_eq!(gateway.send(preview.unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn key_check_tells_everything_but_the_key() {
    let gateway = Gateway::new().await;
    let key = gateway.key_with(|key| key.scopes = Scopes::of(&[Scope::StatusEvaluate])).await;
    for body in ["", "{}"] {
        let reply = gateway.send(request("POST", CHECK, Some(&key)).body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("ratelimit-policy"), "\"default\";q=600;w=60, \"daily\";q=100000;w=86400");
        let answer = reply.json();
        assert_eq!((answer["valid"].clone(), answer["environment"].clone()), (json!(true), json!("live")));
        assert_eq!(answer["scopes"], json!(["status:evaluate"]));
        let allowed = |path: &str| {
            let entries = answer["endpoints"].as_array().unwrap();
            entries.iter().find(|entry| entry["path"] == path).unwrap()["allowed"].clone()
        };
        assert_eq!(allowed("POST /api/connex/integration-event"), true);
        assert_eq!(allowed("GET /api/v1/events"), false);
        assert!(!reply.text().contains(&key[9..]));
    }
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_at_most_once_a_minute() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let used = async || gateway.store.for_tenant(gateway.tenant).keys().await.unwrap()[0].last_used_at;
    assert_eq!(used().await, None);
    gateway.post(CHECK, Some(&key), &json!({})).await;
    let first = used().await.unwrap();
    gateway.clock.advance(std::time::Duration::from_secs(59));
    gateway.post(CHECK, Some(&key), &json!({})).await;
    assert_eq!(used().await, Some(first));
    gateway.clock.advance(std::time::Duration::from_secs(1));
    gateway.post(CHECK, Some(&key), &json!({})).await;
    assert_eq!(used().await, Some(gateway.clock.now()));
}

#[tokio::test]
async fn calls_are_limited_per_key_and_per_tenant() {
    let gateway = Gateway::with(|settings| {
        settings.key_quota = Some(Quota::per_minute(1));
        settings.tenant_quota = Some(Quota::per_day(3));
    })
    .await;
    let (first, second) = (gateway.key().await, gateway.key().await);
    assert_eq!(gateway.post(CHECK, Some(&first), &json!({})).await.status, StatusCode::OK);
    let reply = gateway.post(CHECK, Some(&first), &json!({})).await;
    reply.problem(429, "rate_limited");
    assert_eq!(reply.header("retry-after"), "60");
    assert_eq!(gateway.post(CHECK, Some(&second), &json!({})).await.status, StatusCode::OK);
    gateway.clock.advance(std::time::Duration::from_mins(1));
    gateway.post(CHECK, Some(&second), &json!({})).await.problem(429, "quota_exceeded");
}
