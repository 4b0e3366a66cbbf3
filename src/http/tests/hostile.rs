//! Whatever the bytes are, the reply is an answer or a problem, and never a fault of ours.

use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("2026-11-23T10:00:00Z")),
        Just(json!("source_app")),
    ];
    let name = prop_oneof![
        "[a-zA-Z]{1,12}",
        proptest::sample::select(vec![
            "app",
            "sourceSystem",
            "sourceEventId",
            "eventType",
            "message",
            "subject",
            "body",
            "html",
            "raw",
            "headers",
            "to",
            "payload",
            "title",
            "context",
            "statusMap",
            "sourceMailbox",
            "address",
            "eventId",
            "operationId",
            "outcome",
            "value",
            "from",
            "groupBy",
            "occurredAt",
            "agent",
            "attachments",
            "size",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Bodies near a good one: a good event in which one member is replaced.
fn nearly_good() -> impl Strategy<Value = Value> {
    let pointers =
        vec!["/app", "/sourceSystem", "/sourceEventId", "/eventType", "/message", "/message/subject", "/message/body"];
    (proptest::sample::select(pointers), any_json()).prop_map(|(pointer, value)| {
        let mut body = event("1");
        *body.pointer_mut(pointer).unwrap() = value;
        body
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        any_json().prop_map(|value| value.to_string().into_bytes()),
        nearly_good().prop_map(|value| value.to_string().into_bytes()),
        (nearly_good(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(value, place, byte)| {
            let mut bytes = value.to_string().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            bytes
        }),
    ]
}

#[test]
fn any_bytes_to_any_endpoint_are_answered_or_refused_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (gateway, key) = runtime.block_on(async {
        let gateway = Gateway::with(|settings| {
            settings.key_quota = None;
            settings.tenant_quota = None;
        })
        .await;
        let key = gateway.key().await;
        (gateway, key)
    });
    let posts: Vec<_> = super::super::endpoints::ENDPOINTS.iter().filter(|endpoint| endpoint.has_contract()).collect();
    assert_eq!(posts.len(), 7);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    });
    let check = |body: Vec<u8>| {
        for endpoint in &posts {
            let request = request("POST", endpoint.path, Some(&key)).body(Body::from(body.clone())).unwrap();
            let reply = runtime.block_on(gateway.send(request));
            if reply.status.is_success() {
                continue;
            }
            prop_assert!(reply.status.is_client_error(), "{} {}: {}", endpoint.path, reply.status, reply.text());
            let problem = reply.json();
            let code = problem["code"].as_str().unwrap_or_default();
            let known = super::super::openapi::problems_of(endpoint);
            prop_assert!(known.iter().any(|known| known.about().word == code), "{} answers with {code}", endpoint.path);
            prop_assert_eq!(reply.header("content-type"), "application/problem+json");
        }
        Ok(())
    };
    runner.run(&bodies(), check).unwrap();
}

#[tokio::test]
async fn hostile_headers_and_paths_are_refused_by_name() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for path in [
        "/api/v1/explain/%ff",
        "/api/v1/explain/..%2f..",
        "/api/v1/messages/%00/raw",
        "/problems/%ff",
        "//",
        "/api/connex/",
    ] {
        let reply = gateway.get(path, Some(&key)).await;
        assert!(reply.status.is_client_error(), "{path} {}", reply.status);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
    }
    let odd = Request::post(EVENT).header("authorization", &b"Bearer \xff\xfe"[..]).body(Body::empty()).unwrap();
    gateway.send(odd).await.problem(401, "invalid_key");
}
