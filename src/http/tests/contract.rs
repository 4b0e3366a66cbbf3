//! What is published is what is served: table, OpenAPI, discovery, contracts and their examples agree with the replies.

use super::super::endpoints::{Action, Auth, ENDPOINTS, Verb};
use super::super::error::CODES;
use super::super::operations::{Reason, Standing};
use super::super::shape::Shape;
use super::*;

/// Holds a reply against a schema of the published document: nothing missing, nothing unknown, right types.
fn fits(document: &Value, schema: &str, reply: &Value) {
    let findings = Shape::compile(document, schema).unwrap().check(reply);
    assert_eq!(findings.faults, [], "{schema}: {reply:#}");
    assert_eq!(findings.unknown, Vec::<String>::new(), "{schema}: {reply:#}");
}

async fn document(gateway: &Gateway) -> Value {
    gateway.get("/api/connex/openapi", None).await.json()
}

#[tokio::test]
async fn every_endpoint_of_the_table_is_served_and_holds_to_its_authentication() {
    let gateway = Gateway::new().await;
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "evt_00000000000000000000000000").replace("{slug}", "not-found");
        let path = path.replace("{number}", "0").replace("{tenant}", "tnt_x").replace("{message}", "msg_x");
        let send = async |key: Option<&str>| {
            let body =
                Body::from(if matches!(endpoint.verb, Verb::Post | Verb::Put | Verb::Patch) { "{}" } else { "" });
            gateway.send(request(endpoint.verb.as_str(), &path, key).body(body).unwrap()).await
        };
        match endpoint.auth {
            Auth::Open => assert!(![401, 403, 404, 405].contains(&send(None).await.status.as_u16()), "{path}"),
            Auth::Password => drop(send(None).await.problem(403, "forbidden_origin")),
            Auth::Session(_) | Auth::Person => {
                send(None).await.problem(401, "not_signed_in");
                send(Some(&gateway.key().await)).await.problem(403, "people_only");
            }
            Auth::Link => drop(send(None).await.problem(404, "not_found")),
            Auth::AnyKey => drop(send(None).await.problem(401, "missing_key")),
            Auth::Key(scope) => {
                send(None).await.problem(401, "missing_key");
                let others: Vec<_> = crate::keys::Scope::ALL.into_iter().filter(|other| *other != scope).collect();
                let key = gateway.key_with(|key| key.scopes = Scopes::of(&others)).await;
                send(Some(&key)).await.problem(403, "forbidden_scope");
            }
            Auth::KeyOrSession(scope, _) => {
                send(None).await.problem(401, "not_signed_in");
                let others: Vec<_> = crate::keys::Scope::ALL.into_iter().filter(|other| *other != scope).collect();
                let key = gateway.key_with(|key| key.scopes = Scopes::of(&others)).await;
                send(Some(&key)).await.problem(403, "forbidden_scope");
            }
            Auth::KeyOrPassword(scope) => {
                let refused = send(None).await;
                refused.problem(401, "missing_key");
                assert!(refused.header("www-authenticate").starts_with("Basic realm="), "{path}");
                let others: Vec<_> = crate::keys::Scope::ALL.into_iter().filter(|other| *other != scope).collect();
                let key = gateway.key_with(|key| key.scopes = Scopes::of(&others)).await;
                // The operator can give the scope, and the provider is to keep the mail until then.
                send(Some(&key)).await.problem(503, "forbidden_scope");
            }
        }
    }
}

#[tokio::test]
async fn the_document_is_openapi_31_and_names_every_endpoint() {
    let gateway = Gateway::new().await;
    let document = document(&gateway).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, gateway.get("/openapi.json", None).await.json());
    assert!(document.pointer("/components/securitySchemes/apiKey").is_some());
    let steps = crate::contract::steps::STEP_TYPES.iter().map(|one| one.kind);
    for kind in ["message.classified", "message.updated"].into_iter().chain(steps) {
        assert!(document["webhooks"][kind]["post"]["requestBody"].is_object(), "{kind}");
    }
    let mut ids = Vec::new();
    for endpoint in ENDPOINTS {
        let operation = &document["paths"][endpoint.path][endpoint.verb.as_str().to_ascii_lowercase()];
        let status = endpoint.reply.status().as_u16().to_string();
        assert!(operation["responses"][status].is_object(), "{}", endpoint.path);
        assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
        assert_eq!(
            operation["security"],
            match endpoint.auth {
                Auth::Open | Auth::Link | Auth::Password => json!([]),
                Auth::Session(role) => json!([{ "session": [role.as_str()] }]),
                Auth::Person => json!([{ "session": ["approver"] }, { "userToken": [] }]),
                Auth::AnyKey => json!([{ "apiKey": [] }]),
                Auth::Key(scope) => json!([{ "apiKey": [scope.as_str()] }]),
                Auth::KeyOrSession(scope, role) => {
                    json!([{ "apiKey": [scope.as_str()] }, { "session": [role.as_str()] }])
                }
                Auth::KeyOrPassword(scope) => {
                    json!([{ "apiKey": [scope.as_str()] }, { "password": [scope.as_str()] }])
                }
            }
        );
        ids.push(operation["operationId"].as_str().unwrap().to_owned());
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    assert!(!text.contains("\"default\":\"\""), "a required text has no empty default");
}

#[tokio::test]
async fn every_schema_in_use_is_enforced() {
    let gateway = Gateway::new().await;
    let document = document(&gateway).await;
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        Shape::compile(&document, name).unwrap_or_else(|error| panic!("{error}"));
    }
    let required = |name: &str| document["components"]["schemas"][name]["required"].clone();
    assert_eq!(required("EventRequest"), json!(["app", "sourceSystem", "eventType"]));
    assert_eq!(required("OutcomeRequest"), json!(["app", "outcome"]));
}

#[tokio::test]
async fn every_reply_fits_its_published_schema() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let document = document(&gateway).await;
    let calls = [
        (PREVIEW, "Answer", event("1")),
        (EVENT, "Answer", event("1")),
        (EVENT, "Answer", event("1")),
        ("/api/connex/status", "Answer", event("1")),
        (
            OUTCOME,
            "OutcomeAnswer",
            json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": "1", "outcome": "won" }),
        ),
        ("/api/connex/integration-insights", "InsightsAnswer", json!({})),
        ("/api/connex/trust", "TrustAnswer", json!({})),
        ("/api/connex/key-check", "KeyCheckAnswer", json!({})),
        (EVENT, "Problem", json!({})),
        (EVENT, "Problem", json!({ "app": 1 })),
    ];
    for (path, schema, body) in calls {
        let reply = gateway.post(path, Some(&key), &body).await;
        assert_eq!(reply.status.is_success(), schema != "Problem", "{path}: {}", reply.text());
        fits(&document, schema, &reply.json());
    }
    for (verb, path, schema, body) in [
        ("POST", "/api/v1/domains", "DomainView", json!({ "domain": "acme.example" }).to_string()),
        ("GET", "/api/v1/domains", "DomainPage", String::new()),
        ("GET", "/api/v1/audit?limit=5", "AuditPage", String::new()),
        ("GET", "/api/v1/audit?limit=0", "Problem", String::new()),
        ("GET", "/api/v1/domains/ACME.example.", "DomainView", String::new()),
        ("POST", "/api/v1/domains/acme.example/check", "DomainRecords", String::new()),
        ("GET", "/api/v1/domains/acme.example/dns-records", "DomainRecords", String::new()),
        ("POST", "/api/v1/domains", "Problem", json!({ "domain": "gate.example" }).to_string()),
        ("POST", "/api/v1/domains", "Problem", json!({ "domain": "a b" }).to_string()),
        ("POST", "/api/v1/domains", "Problem", json!({ "domain": "b.example", "owner": "us" }).to_string()),
        ("DELETE", "/api/v1/domains/acme.example", "DomainRemoved", String::new()),
        ("DELETE", "/api/v1/domains/acme.example", "Problem", String::new()),
    ] {
        let reply = gateway.send(request(verb, path, Some(&key)).body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status.is_success(), schema != "Problem", "{verb} {path}: {}", reply.text());
        fits(&document, schema, &reply.json());
    }
    let made = json!({ "kind": "journal", "format": "plain", "app": "crm", "peers": ["shared:exchange-online"] });
    let reply = gateway.post("/api/v1/routes", Some(&key), &made).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    fits(&document, "RouteMade", &reply.json());
    let route = format!("/api/v1/routes/{}", reply.json()["route"]["id"].as_str().unwrap());
    let window = json!({ "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z" }).to_string();
    for (verb, path, schema, body) in [
        ("GET", "", "RouteView", String::new()),
        ("PATCH", "", "RouteView", json!({ "keep": "text", "keepDays": 90, "format": "exchange" }).to_string()),
        ("POST", "/rotate", "RouteRotated", String::new()),
        ("POST", "/pause", "RouteView", String::new()),
        ("POST", "/resume", "RouteView", String::new()),
        ("POST", "/resume", "Problem", String::new()),
        ("POST", "/learn", "RouteView", json!({ "hours": 1 }).to_string()),
        ("GET", "/marks", "RouteMarks", String::new()),
        ("GET", "/held", "HeldPage", String::new()),
        ("POST", "/re-decide", "HeldPage", window),
        ("POST", "/confirm", "Problem", json!({ "marks": [] }).to_string()),
        ("GET", "/reconciliation?since=2026-11-20", "Reconciliation", String::new()),
        ("DELETE", "", "RouteView", String::new()),
        ("DELETE", "", "Problem", String::new()),
    ] {
        let reply =
            gateway.send(request(verb, &(route.clone() + path), Some(&key)).body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status.is_success(), schema != "Problem", "{verb} {path}: {}", reply.text());
        fits(&document, schema, &reply.json());
    }
    fits(&document, "RoutePage", &gateway.get("/api/v1/routes", Some(&key)).await.json());
    let page = gateway.get("/api/v1/events", Some(&key)).await.json();
    fits(&document, "EventPage", &page);
    let types: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| &item["event"]["type"]).collect();
    assert!(types[0] == "message.classified" && types[1..].contains(&&json!("draft.handed_off")), "{types:?}");
}

#[tokio::test]
async fn the_goldens_fit_the_published_schema() {
    let gateway = Gateway::new().await;
    let document = document(&gateway).await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            seen += 1;
            fits(&document, "Answer", &serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap());
        }
    }
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn the_example_of_every_contract_works() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.has_contract()) {
        let contract = gateway.get(endpoint.path, None).await.json();
        assert_eq!((contract["method"].clone(), contract["path"].clone()), (json!("POST"), json!(endpoint.path)));
        assert!(contract["response"].is_object() && contract["request"].is_object(), "{}", endpoint.path);
        let reply = gateway.post(endpoint.path, Some(&key), &contract["example"]["request"]).await;
        assert_eq!(reply.status, StatusCode::OK, "{}: {}", endpoint.path, reply.text());
        assert_eq!(
            reply.json()["warnings"].as_array().map_or(0, Vec::len),
            usize::from(endpoint.action == Action::Event)
        );
        if endpoint.action == Action::Preview {
            let (mut told, mut given) = (contract["example"]["response"].clone(), reply.json());
            told["requestId"] = Value::Null;
            given["requestId"] = Value::Null;
            assert_eq!(told, given, "the example's answer is the real one");
        }
    }
}

#[tokio::test]
async fn discovery_calls_live_only_what_is_served() {
    let gateway = Gateway::new().await;
    let told = gateway.get("/.well-known/connex-agent", None).await.json();
    assert_eq!(told["baseUrl"], HOST);
    for endpoint in told["endpoints"].as_array().unwrap().iter().filter(|endpoint| endpoint["live"] == true) {
        let known = |known: &&super::super::endpoints::Endpoint| {
            known.path == endpoint["path"] && known.verb.as_str() == endpoint["method"]
        };
        assert!(ENDPOINTS.iter().any(|entry| known(&entry)), "{endpoint}");
    }
    assert_eq!((told["mcp"]["live"].clone(), told["websocket"]["live"].clone()), (json!(false), json!(false)));
    assert_eq!(told["limits"]["bodyOctets"], 1_048_576);
}

#[tokio::test]
async fn documents_are_served_with_a_tag_and_not_twice() {
    let gateway = Gateway::new().await;
    for (path, media) in [
        ("/api/connex/openapi", "application/json"),
        ("/.well-known/connex-agent", "application/json"),
        (EVENT, "application/json"),
        ("/llms.txt", "text/plain; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/api-docs.md", "text/markdown; charset=utf-8"),
    ] {
        let reply = gateway.get(path, None).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, media), "{path}");
        assert!(!reply.body.is_empty());
        let again =
            request("GET", path, None).header("if-none-match", reply.header("etag")).body(Body::empty()).unwrap();
        let again = gateway.send(again).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
    }
    let security = gateway.get("/.well-known/security.txt", None).await.text();
    assert!(
        security.contains("Contact: mailto:postmaster@gate.example\nExpires: 2027-05-22T10:00:00.000Z\n"),
        "{security}"
    );
}

#[tokio::test]
async fn every_problem_has_its_page() {
    let gateway = Gateway::new().await;
    for about in &CODES {
        let reply = gateway.get(&format!("/problems/{}", about.code.slug()), None).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.text().contains(about.word));
    }
}

#[tokio::test]
async fn the_guide_names_every_endpoint_scope_and_problem() {
    let guide = include_str!("../../../docs/api.md");
    for endpoint in ENDPOINTS {
        assert!(guide.contains(endpoint.path), "{}", endpoint.path);
    }
    for scope in crate::keys::Scope::ALL {
        assert!(guide.contains(scope.as_str()), "{scope}");
    }
    for about in &CODES {
        assert!(guide.contains(&format!("`{}`", about.word)), "{}", about.word);
    }
}

#[tokio::test]
async fn the_operators_listener_says_alive_ready_and_counts() {
    let gateway = Gateway::new().await;
    let reasons = Arc::new(std::sync::Mutex::new(Vec::new()));
    let said = Arc::clone(&reasons);
    let operations = super::super::operations::Operations {
        service: gateway.api.service.clone(),
        render_metrics: Arc::new(|| "connex_up 1\n".to_owned()),
        reasons: Arc::new(move || said.lock().unwrap().clone()),
    };
    let router = super::super::operations::router(operations);
    let get = async |path: &str| {
        let reply = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = reply.status().as_u16();
        (status, String::from_utf8(axum::body::to_bytes(reply.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    };
    assert_eq!(get("/healthz").await.0, 200);
    assert_eq!(get("/readyz").await.0, 200);
    assert_eq!(get("/metrics").await, (200, "connex_up 1\n".to_owned()));
    let degraded = Reason {
        component: "certificate",
        subject: Some("mx.pem".to_owned()),
        state: Standing::Degraded,
        reason: "ending",
        detail: "it ends soon".to_owned(),
        remedy: "renew it",
        since: None,
    };
    reasons.lock().unwrap().push(degraded.clone());
    let (status, body) = get("/readyz").await;
    let first: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &first["status"]), (200, &serde_json::json!("degraded")));
    let since = gateway.clock.now().to_string();
    assert_eq!(
        first["reasons"],
        serde_json::json!([{ "component": "certificate", "subject": "mx.pem", "state": "degraded", "reason": "ending",
            "detail": "it ends soon", "remedy": "renew it", "since": since }])
    );
    gateway.clock.advance(std::time::Duration::from_secs(60));
    reasons.lock().unwrap().push(Reason { component: "spool", subject: None, state: Standing::NotReady, ..degraded });
    let (status, body) = get("/readyz").await;
    let second: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &second["status"]), (503, &serde_json::json!("not_ready")));
    assert_eq!(second["reasons"][0]["since"], first["reasons"][0]["since"], "since it was first seen");
    assert_eq!(second["reasons"][1]["since"], gateway.clock.now().to_string());
    reasons.lock().unwrap().clear();
    assert_eq!(get("/readyz").await, (200, r#"{"reasons":[],"status":"ready"}"#.to_owned()));
    gateway.store.close().await;
    assert_eq!(get("/readyz").await.0, 200, "what the database said counts for a second");
    gateway.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(get("/readyz").await.0, 503);
    assert_eq!(get("/healthz").await.0, 200, "a lost database is no reason to be restarted");
}

#[tokio::test]
async fn an_instance_whose_database_takes_no_writes_is_not_ready_until_it_does() {
    let gateway = Gateway::new().await;
    let operations = super::super::operations::Operations {
        service: gateway.api.service.clone(),
        render_metrics: Arc::new(String::new),
        reasons: Arc::new(Vec::new),
    };
    let patience = std::time::Duration::from_millis(50);
    let router = super::super::operations::with_patience(operations, patience);
    let ready = async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let reply = router.clone().oneshot(request).await.unwrap();
        let status = reply.status().as_u16();
        (status, String::from_utf8(axum::body::to_bytes(reply.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    };
    let lock = crate::store::hold_write_lock(&gateway.place.file()).await;
    let (status, body) = ready().await;
    assert!(status == 503 && body.contains("takes no writes"), "{status} {body}");
    drop(lock);
    // A write that waited for the lock ends before the next look: work is done in its order.
    gateway.store.add_tenant("after").await.unwrap();
    gateway.clock.advance(std::time::Duration::from_secs(1));
    // The first look may be an impatient one on a slow machine; the instance recovers by itself.
    let recovered = async {
        while ready().await.0 != 200 {
            gateway.clock.advance(std::time::Duration::from_secs(1));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), recovered).await.expect("ready again");
}
