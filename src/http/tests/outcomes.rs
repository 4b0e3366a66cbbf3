//! integration-outcome, insights and trust.

use super::*;

async fn recorded(gateway: &Gateway, key: &str, id: &str) -> Value {
    gateway.post(EVENT, Some(key), &event(id)).await.json()
}

#[tokio::test]
async fn outcomes_form_a_history_and_synonyms_are_read_as_override() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let answer = recorded(&gateway, &key, "1").await;
    let by_source = json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": "1", "outcome": "approved" });
    let by_event = json!({ "app": "crm", "eventId": answer["eventId"], "outcome": "overridden" });
    for (body, word) in [(by_source, "approved"), (by_event, "override")] {
        let reply = gateway.post(OUTCOME, Some(&key), &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let told = reply.json();
        assert_eq!((told["outcome"].clone(), told["eventId"].clone()), (json!(word), answer["eventId"].clone()));
        assert_eq!(told["learned"], json!([]));
        assert!(told["recorded"].as_str().unwrap().contains(word));
    }
    let last = json!({ "app": "crm", "eventId": answer["eventId"], "outcome": "won", "value": { "amount": 9.5, "currency": "eur" } });
    let told = gateway.post(OUTCOME, Some(&key), &last).await.json();
    let words: Vec<_> = told["history"].as_array().unwrap().iter().map(|entry| entry["outcome"].clone()).collect();
    assert_eq!(words, ["approved", "override", "won"]);
    let figures = gateway.post("/api/connex/integration-insights", Some(&key), &json!({ "app": "crm" })).await.json();
    assert_eq!(figures["volumes"]["events"], 1);
    assert_eq!(figures["outcomes"].as_array().unwrap().len(), 3);
    assert_eq!(
        (figures["value"][0]["currency"].clone(), figures["value"][0]["amount"].clone()),
        (json!("EUR"), json!(9.5))
    );
}

#[tokio::test]
async fn an_outcome_by_operation_marks_the_operation() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let answer = recorded(&gateway, &key, "1").await;
    let operation = &answer["operations"][0];
    let body = json!({ "app": "crm", "operationId": operation["id"], "outcome": "applied" });
    let told = gateway.post(OUTCOME, Some(&key), &body).await.json();
    assert_eq!(
        (told["operationId"].clone(), told["eventId"].clone()),
        (operation["id"].clone(), answer["eventId"].clone())
    );
    let other = recorded(&gateway, &key, "2").await;
    let body =
        json!({ "app": "crm", "operationId": operation["id"], "eventId": other["eventId"], "outcome": "applied" });
    let problem = gateway.post(OUTCOME, Some(&key), &body).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/eventId");
}

#[tokio::test]
async fn an_app_that_applies_a_suppression_means_mail_from_here_as_well() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let own = gateway.store.for_tenant(gateway.tenant);
    let mut operations = Vec::new();
    for id in ["1", "2"] {
        let mut body = event(id);
        body["message"]["body"] = json!("Please unsubscribe me and stop emailing me.");
        body["message"]["from"] = json!("Ann Lee <Ann@lakeside.example>");
        let answer = gateway.post(EVENT, Some(&key), &body).await.json();
        let all = answer["operations"].as_array().unwrap().clone();
        operations.extend(all.into_iter().filter(|one| one["type"] == "suppress_recipient"));
    }
    assert_eq!(operations.len(), 2);
    let report = async |at: usize, outcome: &str| {
        let body = json!({ "app": "crm", "operationId": operations[at]["id"], "outcome": outcome });
        gateway.post(OUTCOME, Some(&key), &body).await.json();
        let rows = own.suppressions_after("", 9).await.unwrap();
        rows.into_iter().map(|row| (row.address_key, row.reason)).collect::<Vec<_>>()
    };
    assert_eq!(report(0, "rejected").await, []);
    assert_eq!(report(0, "applied").await, [], "it was refused before");
    let ann = ("ann@lakeside.example".to_owned(), "unsubscribe".to_owned());
    assert_eq!(report(1, "applied").await, [ann]);
}

#[tokio::test]
async fn an_unknown_event_is_404_and_one_of_several_apps_409() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for body in [
        json!({ "app": "crm", "eventId": "evt_00000000000000000000000000", "outcome": "won" }),
        json!({ "app": "crm", "eventId": "nothing", "outcome": "won" }),
        json!({ "app": "crm", "operationId": "op_00000000000000000000000000", "outcome": "won" }),
        json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": "9", "outcome": "won" }),
    ] {
        gateway.post(OUTCOME, Some(&key), &body).await.problem(404, "not_found");
    }
    recorded(&gateway, &key, "1").await;
    let mut billing = event("1");
    billing["app"] = json!("billing");
    gateway.post(EVENT, Some(&key), &billing).await;
    let third = json!({ "app": "third", "sourceSystem": "crm", "sourceEventId": "1", "outcome": "won" });
    gateway.post(OUTCOME, Some(&key), &third).await.problem(409, "ambiguous_event");
    let own = json!({ "app": "billing", "sourceSystem": "crm", "sourceEventId": "1", "outcome": "won" });
    assert_eq!(gateway.post(OUTCOME, Some(&key), &own).await.status, StatusCode::OK);
}

#[tokio::test]
async fn for_a_key_that_is_bound_to_mailboxes_there_are_no_events_of_others() {
    let gateway = Gateway::new().await;
    let open = gateway.key().await;
    let in_mailbox = async |app: &str, id: &str, address: Option<&str>| {
        let mut body = event(id);
        body["app"] = json!(app);
        body["sourceMailbox"] = json!({ "address": address });
        gateway.post(EVENT, Some(&open), &body).await.json()
    };
    let [own, other] = [
        in_mailbox("crm", "own", Some("Sales@Bücher.example")).await,
        in_mailbox("crm", "other", Some("ceo@b.example")).await,
    ];
    let nowhere = in_mailbox("crm", "nowhere", None).await;
    in_mailbox("billing", "other", Some("ceo@b.example")).await;
    let bound = gateway.key_with(|key| key.bindings.mailboxes = vec!["sales@xn--bcher-kva.example".into()]).await;
    let report = async |key: &str, mut about: Value| {
        about["outcome"] = json!("won");
        about["app"] = about.get("app").cloned().unwrap_or(json!("crm"));
        gateway.post(OUTCOME, Some(key), &about).await
    };
    let operation = |answer: &Value| answer["operations"][0]["id"].clone();
    for about in [
        json!({ "eventId": other["eventId"] }),
        json!({ "operationId": operation(&other) }),
        json!({ "operationId": operation(&other), "eventId": own["eventId"] }),
        json!({ "sourceSystem": "crm", "sourceEventId": "other" }),
        // Nor how many there are.
        json!({ "app": "third", "sourceSystem": "crm", "sourceEventId": "other" }),
        json!({ "eventId": nowhere["eventId"] }),
    ] {
        let unknown = report(&bound, json!({ "eventId": "evt_00000000000000000000000000" })).await;
        let problem = report(&bound, about.clone()).await.problem(404, "not_found");
        assert_eq!(problem["detail"], unknown.problem(404, "not_found")["detail"], "{about}");
    }
    for about in [
        json!({ "eventId": own["eventId"] }),
        json!({ "operationId": operation(&own) }),
        json!({ "sourceSystem": "crm", "sourceEventId": "own" }),
    ] {
        assert_eq!(report(&bound, about.clone()).await.status, StatusCode::OK, "{about}");
    }
    let told = report(&open, json!({ "eventId": other["eventId"] })).await.json();
    assert_eq!(told["history"].as_array().unwrap().len(), 1, "only this one: {told}");
}

#[tokio::test]
async fn a_key_that_is_bound_to_apps_is_not_told_how_many_others_have_an_event() {
    let gateway = Gateway::new().await;
    let open = gateway.key().await;
    for app in ["crm", "billing"] {
        let mut body = event("1");
        body["app"] = json!(app);
        gateway.post(EVENT, Some(&open), &body).await;
    }
    let bound = gateway.key_with(|key| key.bindings.apps = vec!["third".into()]).await;
    let body = json!({ "app": "third", "sourceSystem": "crm", "sourceEventId": "1", "outcome": "won" });
    gateway.post(OUTCOME, Some(&bound), &body).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_an_outcome_lacks_is_named() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for (body, pointer) in [
        (json!({ "app": "crm", "outcome": "won" }), "/eventId"),
        (json!({ "app": "crm", "eventId": "evt_1", "outcome": "great" }), "/outcome"),
        (json!({ "app": "crm", "eventId": "evt_1" }), "/outcome"),
        (json!({ "app": "crm", "eventId": "evt_1", "outcome": "won", "occurredAt": "noon" }), "/occurredAt"),
        (
            json!({ "app": "crm", "eventId": "evt_1", "outcome": "won", "value": { "amount": 1, "currency": "12€" } }),
            "/value/currency",
        ),
        (
            json!({ "app": "crm", "eventId": "evt_1", "outcome": "won", "value": { "amount": "1", "currency": "EUR" } }),
            "/value/amount",
        ),
    ] {
        let problem = gateway.post(OUTCOME, Some(&key), &body).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn an_idempotency_key_replays_and_refuses_another_request() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let answer = recorded(&gateway, &key, "1").await;
    let send = async |key: &str, call: &str, outcome: &str| {
        let body = json!({ "app": "crm", "eventId": answer["eventId"], "outcome": outcome }).to_string();
        gateway
            .send(request("POST", OUTCOME, Some(key)).header("idempotency-key", call).body(Body::from(body)).unwrap())
            .await
    };
    let first = send(&key, "\"a\"", "won").await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = send(&key, "a", "won").await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.json(), again.json());
    send(&key, "a", "lost").await.problem(422, "idempotency_conflict");
    send(&key, "", "won").await.problem(400, "invalid_parameter");
    let other = gateway.key().await;
    assert_eq!(send(&other, "a", "lost").await.status, StatusCode::OK, "keys of another principal are others");
    gateway.clock.advance(std::time::Duration::from_secs(86_401));
    let late = send(&key, "a", "lost").await;
    assert_eq!(late.status, StatusCode::OK, "kept for a day: {}", late.text());
    assert!(!late.headers.contains_key("idempotency-replayed"));
}

#[tokio::test]
async fn trust_says_what_is_known_so_far() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let trust = async || gateway.post("/api/connex/trust", Some(&key), &json!({})).await.json();
    assert_eq!(trust().await["band"], "new");
    let answer = recorded(&gateway, &key, "1").await;
    assert_eq!(
        (trust().await["band"].clone(), trust().await["recommendation"].clone()),
        (json!("standard"), json!("proceed"))
    );
    let spam = json!({ "app": "crm", "eventId": answer["eventId"], "outcome": "spam" });
    gateway.post(OUTCOME, Some(&key), &spam).await;
    let told = trust().await;
    assert_eq!(
        (told["band"].clone(), told["abuseSignals"][0]["code"].clone()),
        (json!("restricted"), json!("spam_reported"))
    );
    let closed = told["gates"].as_array().unwrap().iter().find(|gate| gate["code"] == "external_send").unwrap();
    assert_eq!(closed["state"], "closed");
    let limits: Vec<_> = told["limits"].as_array().unwrap().iter().map(|limit| limit["name"].clone()).collect();
    assert_eq!(limits, ["preview", "default", "daily"]);
    gateway.post("/api/connex/trust", Some(&key), &json!({ "app": "nobody" })).await.problem(404, "not_found");
}

#[tokio::test]
async fn insights_hold_to_their_span_and_refuse_a_wrong_one() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    recorded(&gateway, &key, "1").await;
    let insights = async |body: Value| gateway.post("/api/connex/integration-insights", Some(&key), &body).await;
    let all = insights(json!({})).await.json();
    assert_eq!(all["volumes"]["events"], 1);
    assert_eq!(all["groups"][0]["count"], 1);
    let past = insights(json!({ "to": "2026-11-23T09:59:59Z" })).await.json();
    assert_eq!((past["volumes"]["events"].clone(), past["rates"]["abstained"].clone()), (json!(0), Value::Null));
    for (body, pointer) in [
        (json!({ "from": "x" }), "/from"),
        (json!({ "from": "2026-11-24T00:00:00Z", "to": "2026-11-23T00:00:00Z" }), "/from"),
        (json!({ "groupBy": "colour" }), "/groupBy"),
    ] {
        let problem = insights(body).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let bound = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    let own = gateway.post("/api/connex/integration-insights", Some(&bound), &json!({})).await.json();
    assert_eq!(own["app"], "crm", "a key for one app sees that app's figures");
}
