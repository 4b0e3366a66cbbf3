//! Every reply that is no success is a problem, with the exact code and field.

use super::*;

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_problems() {
    let gateway = Gateway::new().await;
    gateway.get("/nothing", None).await.problem(404, "not_found");
    let reply = gateway.send(request("DELETE", PREVIEW, None).body(Body::empty()).unwrap()).await;
    reply.problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "POST,GET,HEAD");
    gateway.get("/problems/nothing", None).await.problem(404, "not_found");
}

#[tokio::test]
async fn another_media_type_is_415() {
    let gateway = Gateway::new().await;
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let request = Request::post(PREVIEW).header("content-type", media).body(Body::from("{}")).unwrap();
        gateway.send(request).await.problem(415, "unsupported_media_type");
    }
    let request = Request::post(PREVIEW).body(Body::from("{}")).unwrap();
    gateway.send(request).await.problem(415, "unsupported_media_type");
    for media in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"] {
        let request = Request::post(PREVIEW).header("content-type", media).body(Body::from("{}")).unwrap();
        gateway.send(request).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_declared_or_not() {
    let gateway = Gateway::with(|settings| settings.body.max_size = 1000).await;
    let long = "x".repeat(1001);
    let declared =
        request("POST", PREVIEW, None).header("content-length", "1001").body(Body::from(long.clone())).unwrap();
    gateway.send(declared).await.problem(413, "payload_too_large");
    let chunks = futures_util::stream::iter(vec![Ok::<_, std::io::Error>(long)]);
    let chunked = request("POST", PREVIEW, None).body(Body::from_stream(chunks)).unwrap();
    gateway.send(chunked).await.problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400_and_says_where() {
    let gateway = Gateway::new().await;
    for (body, word) in [
        ("{\"app\": \n}", "line 2"),
        ("", "empty"),
        (" \n", "empty"),
        ("{\"app\":", "too early"),
        ("{} {}", "line 1"),
        ("\"\\ud800\"", "line 1"),
        ("{\"a\":1e999}", "out of range"),
        ("{'a':1}", "column 2"),
    ] {
        let reply = gateway.send(request("POST", PREVIEW, None).body(Body::from(body)).unwrap()).await;
        let problem = reply.problem(400, "malformed_json");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body:?}: {problem}");
    }
    let deep = "[".repeat(100_000);
    let reply = gateway.send(request("POST", PREVIEW, None).body(Body::from(deep)).unwrap()).await;
    reply.problem(400, "malformed_json");
    let reply = gateway.send(request("POST", PREVIEW, None).body(Body::from(vec![b'"', 0xff, b'"'])).unwrap()).await;
    reply.problem(400, "malformed_json");
}

#[tokio::test]
async fn each_field_at_fault_is_named_by_its_pointer() {
    let gateway = Gateway::new().await;
    let body = json!({
        "app": 7, "sourceSystem": "", "message": { "subject": ["x"], "to": [1], "headers": [["a"]] },
        "context": { "statusMap": { "a": 1 } }, "unknown": 1,
    });
    let problem = gateway.post(PREVIEW, None, &body).await.problem(422, "invalid_request");
    let expected = [
        "/app",
        "/context/statusMap/a",
        "/message/headers/0",
        "/message/subject",
        "/message/to/0",
        "/sourceSystem",
        "/eventType",
    ];
    assert_eq!(pointers(&problem), expected);
    let problem = gateway.post(PREVIEW, None, &json!([])).await.problem(422, "invalid_request");
    assert_eq!(pointers(&problem), [""]);
    let mut body = event("1");
    body["occurredAt"] = json!("yesterday");
    let problem = gateway.post(PREVIEW, None, &body).await.problem(422, "invalid_request");
    assert_eq!(pointers(&problem), ["/occurredAt"]);
    assert!(problem["detail"].as_str().unwrap().contains("RFC 3339"));
}

#[tokio::test]
async fn a_number_that_no_type_holds_is_a_problem_not_a_fault_of_ours() {
    let gateway = Gateway::new().await;
    let mut body = event("1");
    body["message"]["attachments"] = json!([{ "filename": "a", "size": -1 }]);
    let problem = gateway.post(PREVIEW, None, &body).await.problem(422, "invalid_request");
    assert_eq!(pointers(&problem), ["/message/attachments/0/size"]);
}

#[tokio::test]
async fn unknown_fields_and_words_are_warnings() {
    let gateway = Gateway::new().await;
    let mut body = event("1");
    body["surprise"] = json!(1);
    body["message"]["colour"] = json!("red");
    body["eventType"] = json!("smoke_signal");
    body["sourceMailbox"] = json!({ "senderIdentityOwner": "anyone", "replyPolicy": "always" });
    let reply = gateway.post(PREVIEW, None, &body).await;
    assert_eq!(reply.status, StatusCode::OK);
    let answer = reply.json();
    let warnings: Vec<_> = answer["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for word in ["/surprise", "/message/colour", "smoke_signal", "anyone", "always"] {
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{word} in {warnings:?}");
    }
    assert_eq!(answer["identity"]["owner"], "source_app");
    assert_eq!(answer["identity"]["connexMaySend"], false);
}

#[tokio::test]
async fn a_request_id_is_echoed_when_it_is_harmless_and_made_otherwise() {
    let gateway = Gateway::new().await;
    let send = async |id: &str| {
        let request = request("GET", "/llms.txt", None).header("x-request-id", id).body(Body::empty()).unwrap();
        gateway.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(send("trace-1.a/b=").await, "trace-1.a/b=");
    for id in ["", "a b", "<x>", "cxk_live_abc", &"x".repeat(129)] {
        assert!(send(id).await.starts_with("req_"), "{id}");
    }
}

#[tokio::test]
async fn every_reply_has_the_security_headers_and_none_allows_an_origin() {
    let gateway = Gateway::new().await;
    for path in ["/", PREVIEW, "/docs", "/.well-known/connex-agent", "/api/v1/events"] {
        let reply = gateway.get(path, None).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let gateway = Gateway::new().await;
    tokio::time::pause(); // From here on waiting costs no time.
    let body = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let reply = gateway.send(request("POST", PREVIEW, None).body(body).unwrap()).await;
    reply.problem(408, "request_timeout");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_says_nothing_of_it() {
    use axum::routing::get;
    let gateway = Gateway::new().await;
    async fn broken() -> &'static str {
        panic!("secret words")
    }
    let layer = axum::middleware::from_fn_with_state(Arc::clone(&gateway.api), super::super::frame::frame);
    let router = axum::Router::new().route("/broken", get(broken)).layer(layer);
    let reply = router.oneshot(Request::get("/broken").body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = reply.into_parts();
    let body = axum::body::to_bytes(body, 10_000).await.unwrap().to_vec();
    let reply = Reply { status: parts.status, headers: parts.headers, body };
    assert!(!reply.problem(500, "internal_error").to_string().contains("secret"));
}

#[tokio::test]
async fn previews_are_limited_per_address_and_say_so() {
    let gateway = Gateway::with(|settings| settings.preview_quota = Some(Quota::per_minute(2))).await;
    let first = gateway.post(PREVIEW, None, &event("1")).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("ratelimit-policy"), "\"preview\";q=2;w=60");
    assert_eq!(first.header("ratelimit"), "\"preview\";r=1;t=60");
    gateway.post(PREVIEW, None, &event("1")).await;
    let third = gateway.post(PREVIEW, None, &event("1")).await;
    third.problem(429, "rate_limited");
    assert_eq!(third.header("retry-after"), "60");
    assert_eq!(third.header("ratelimit"), "\"preview\";r=0;t=60");
    gateway.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(gateway.post(PREVIEW, None, &event("1")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_lost_database_is_503_and_the_preview_goes_on() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.store.close().await;
    let reply = gateway.post(EVENT, Some(&key), &event("1")).await;
    reply.problem(503, "temporarily_unavailable");
    assert_eq!(reply.header("retry-after"), "5");
    assert_eq!(gateway.post(PREVIEW, None, &event("1")).await.status, StatusCode::OK);
}
