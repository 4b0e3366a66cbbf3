//! integration-event, status, the event log, its stream, and reading back.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::*;
use crate::keys::Scope;
use crate::store::directory::{AppProfileRow, NewMailbox};

#[tokio::test]
async fn the_same_event_again_gets_the_first_answer() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let first = gateway.post(EVENT, Some(&key), &event("1")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!(first.header("cache-control"), "no-store");
    gateway.clock.advance(Duration::from_secs(1));
    let again = gateway.post(EVENT, Some(&key), &event("1")).await;
    let (first_id, again_id) = (first.header("x-request-id").to_owned(), again.header("x-request-id").to_owned());
    let (mut first, again) = (first.json(), again.json());
    assert_eq!((first["requestId"].clone(), again["requestId"].clone()), (json!(first_id), json!(again_id)));
    assert_eq!((first["duplicate"].clone(), again["duplicate"].clone()), (json!(false), json!(true)));
    first["duplicate"] = json!(true);
    first["requestId"] = again["requestId"].clone();
    // The warning that the app was new belongs to the first answer, which is what is given again.
    assert_eq!(first, again);
    assert!(first["warnings"][0].as_str().unwrap().contains("crm"));
}

#[tokio::test]
async fn the_same_event_with_members_in_another_order_is_the_same() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.post(EVENT, Some(&key), &event("1")).await;
    let text = r#" {"sourceSystem":"crm", "eventType":"inbound_reply","sourceEventId":"1","message":{"body":
        "Can you confirm terms before we proceed?","subject":"Need approval"},"app":"crm"}"#;
    let again = gateway.send(request("POST", EVENT, Some(&key)).body(Body::from(text)).unwrap()).await;
    assert_eq!(again.json()["duplicate"], true);
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_conflict() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.post(EVENT, Some(&key), &event("1")).await;
    let mut other = event("1");
    other["message"]["body"] = json!("Something else");
    let problem = gateway.post(EVENT, Some(&key), &other).await.problem(409, "idempotency_conflict");
    assert_eq!(problem["errors"][0]["pointer"], "/sourceEventId");
    other["app"] = json!("billing");
    assert_eq!(gateway.post(EVENT, Some(&key), &other).await.json()["duplicate"], false, "another app's id is another");
}

#[tokio::test]
async fn of_equal_calls_at_once_one_wins_and_the_others_are_duplicates() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let body = quiet("1");
    let calls = (0..8).map(|_| gateway.post(EVENT, Some(&key), &body));
    let answers: Vec<Value> = futures_util::future::join_all(calls).await.iter().map(Reply::json).collect();
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == false).count(), 1);
    assert!(answers.iter().all(|answer| answer["eventId"] == answers[0]["eventId"]), "{answers:#?}");
    let log = gateway.get("/api/v1/events", Some(&key)).await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_needs_its_source_id_and_registers_nothing_when_it_is_refused() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let mut body = event("1");
    body.as_object_mut().unwrap().remove("sourceEventId");
    let problem = gateway.post(EVENT, Some(&key), &body).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/sourceEventId");
    let mut empty = event("2");
    empty["message"] = json!({ "subject": " " });
    gateway.post(EVENT, Some(&key), &empty).await.problem(422, "invalid_request");
    assert_eq!(gateway.store.for_tenant(gateway.tenant).apps().await.unwrap(), []);
}

#[tokio::test]
async fn operations_have_ids_and_keys_and_internal_work_is_named() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let answer = gateway.post(EVENT, Some(&key), &event("1")).await.json();
    let operations = answer["operations"].as_array().unwrap();
    let mut keys: Vec<_> = operations.iter().map(|operation| operation["idempotencyKey"].to_string()).collect();
    assert!(operations.iter().all(|operation| operation["id"].as_str().unwrap().starts_with("op_")));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), operations.len());
    assert_eq!(answer["materialized"]["mode"], "safe");
    let mut none = event("2");
    none["materialize"] = json!("none");
    let none = gateway.post(EVENT, Some(&key), &none).await.json();
    let nothing = json!({ "mode": "none", "tasks": [], "approvals": [], "drafts": [] });
    assert_eq!(none["materialized"], nothing);
    let mut odd = event("3");
    odd["materialize"] = json!("everything");
    let odd = gateway.post(EVENT, Some(&key), &odd).await.json();
    assert_eq!(odd["materialized"], nothing);
    assert!(odd["warnings"][0].as_str().unwrap().contains("everything"));
}

#[tokio::test]
async fn status_and_preview_store_nothing() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for path in ["/api/connex/status", PREVIEW] {
        let answer = gateway.post(path, Some(&key), &event("1")).await.json();
        assert_eq!(answer["eventId"], Value::Null);
        assert!(answer["operations"].as_array().unwrap().iter().all(|operation| operation["id"].is_null()));
        assert_eq!(answer["materialized"]["mode"], "none");
    }
    let store = gateway.store.for_tenant(gateway.tenant);
    assert_eq!(store.newest_cursor().await.unwrap(), 0);
    assert_eq!(store.apps().await.unwrap(), []);
}

#[tokio::test]
async fn what_is_registered_counts_for_status_and_never_for_preview() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let store = gateway.store.for_tenant(gateway.tenant);
    store.put_app("crm", &AppProfileRow { inboxes: vec!["Sales".into()], ..Default::default() }).await.unwrap();
    let mailbox = NewMailbox {
        address: "deals@gate.example".parse_mailbox(),
        app: None,
        identity_owner: "connex".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: None,
    };
    store.add_mailbox(mailbox).await.unwrap();
    let mut body = event("1");
    body["sourceMailbox"] = json!({ "address": "Deals+x@gate.example", "senderIdentityOwner": "connex" });
    let status = gateway.post("/api/connex/status", Some(&key), &body).await.json();
    assert_eq!(status["identity"]["owner"], "connex");
    assert_eq!(status["identity"]["verdict"], "hold", "{}", status["identity"]);
    let preview = gateway.post(PREVIEW, None, &body).await.json();
    assert_eq!(preview["identity"]["connexMaySend"], false);
}

#[tokio::test]
async fn a_mailbox_of_another_tenant_grants_nothing() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let other = gateway.store.add_tenant("other").await.unwrap();
    let mailbox = NewMailbox {
        address: "deals@gate.example".parse_mailbox(),
        app: None,
        identity_owner: "connex".into(),
        reply_policy: "policy_auto".into(),
        external_reply_url: None,
    };
    gateway.store.for_tenant(other).add_mailbox(mailbox).await.unwrap();
    let mut body = event("1");
    body["sourceMailbox"] = json!({ "address": "deals@gate.example", "senderIdentityOwner": "connex" });
    let answer = gateway.post(EVENT, Some(&key), &body).await.json();
    assert_eq!(answer["identity"]["connexMaySend"], false, "{}", answer["identity"]);
}

#[tokio::test]
async fn the_log_is_read_by_cursor_without_gaps() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(gateway.post(EVENT, Some(&key), &quiet(&number.to_string())).await.json()["eventId"].clone());
    }
    let page = gateway.get("/api/v1/events?limit=2", Some(&key)).await.json();
    assert_eq!(page["nextCursor"], 2);
    let rest = gateway.get("/api/v1/events?after=2", Some(&key)).await.json();
    let read: Vec<_> = [&page, &rest]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap().iter().map(|item| item["event"]["id"].clone()))
        .collect();
    assert_eq!(read, ids);
    let item = &page["items"][0];
    assert_eq!((item["cursor"].clone(), item["event"]["type"].clone()), (json!(1), json!("message.classified")));
    assert_eq!(item["event"]["source"], json!({ "kind": "app", "eventId": "0" }));
    assert!(item["event"]["data"]["links"]["self"].as_str().unwrap().starts_with(HOST));
    assert!(item["event"]["data"].get("requestId").is_none());
    let end = gateway.get("/api/v1/events?after=5", Some(&key)).await.json();
    assert_eq!(end, json!({ "items": [], "nextCursor": 5 }));
    for query in ["limit=0", "limit=201", "limit=x", "after=-1", "after=", "colour=red"] {
        gateway.get(&format!("/api/v1/events?{query}"), Some(&key)).await.problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_bound_key_sees_the_events_of_its_app_only() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let ours = gateway.post(EVENT, Some(&key), &quiet("1")).await.json();
    let mut other = quiet("1");
    other["app"] = json!("billing");
    let theirs = gateway.post(EVENT, Some(&key), &other).await.json();
    let bound = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    let page = gateway.get("/api/v1/events", Some(&bound)).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), page["nextCursor"].clone()), (1, json!(2)));
    let explain =
        async |id: &Value| gateway.get(&format!("/api/v1/explain/{}", id.as_str().unwrap()), Some(&bound)).await;
    assert_eq!(explain(&ours["eventId"]).await.status, StatusCode::OK);
    explain(&theirs["eventId"]).await.problem(404, "not_found");
    explain(&json!("evt_nothing")).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_text_of_an_event_is_told_as_webhooks_do_to_a_key_that_may_read_messages() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let long = format!("{} end", "Can you confirm? ".repeat(100));
    let mut quoted = quiet("1");
    quoted["message"]["body"] = json!("We agree.\n\nOn Mon, 23 Nov 2026, Ann wrote:\n> Do you agree?");
    let mut cut = quiet("2");
    cut["message"]["body"] = json!(long);
    let mut odd = quiet("3");
    odd["eventType"] = json!("something_else");
    odd["payload"] = json!({ "title": "T", "words": "one" });
    odd["message"] = Value::Null;
    for body in [quoted, cut, odd] {
        assert_eq!(gateway.post(EVENT, Some(&key), &body).await.status, StatusCode::OK);
    }
    let texts = async |key: &str| {
        let page = gateway.get("/api/v1/events", Some(key)).await.json();
        let data =
            |item: &Value| (item["event"]["data"]["text"].clone(), item["event"]["data"]["textTruncated"].clone());
        page["items"].as_array().unwrap().iter().map(data).collect::<Vec<_>>()
    };
    let whole = (json!("We agree."), Value::Null);
    assert_eq!(texts(&key).await, [whole, (json!(long[..1024]), json!(true)), (json!("one\n"), Value::Null)]);
    let narrow = gateway.key_with(|key| key.scopes = Scopes::of(&[Scope::EventsRead])).await;
    assert!(texts(&narrow).await.iter().all(|(text, _)| text.is_null()));
}

#[tokio::test]
async fn nothing_of_one_tenant_is_seen_by_another() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let answer = gateway.post(EVENT, Some(&key), &event("1")).await.json();
    let other = Gateway { tenant: gateway.store.add_tenant("other").await.unwrap(), ..gateway };
    let foreign = other.key().await;
    assert_eq!(other.get("/api/v1/events", Some(&foreign)).await.json()["items"], json!([]));
    let path = format!("/api/v1/explain/{}", answer["eventId"].as_str().unwrap());
    other.get(&path, Some(&foreign)).await.problem(404, "not_found");
    let report = json!({ "app": "crm", "eventId": answer["eventId"], "outcome": "won" });
    other.post(OUTCOME, Some(&foreign), &report).await.problem(404, "not_found");
    assert_eq!(other.post(EVENT, Some(&foreign), &event("1")).await.json()["duplicate"], false);
}

#[tokio::test]
async fn messages_that_are_not_there_are_404() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for id in ["msg_00000000000000000000000000", "msg_x", "evt_00000000000000000000000000", "%00"] {
        gateway.get(&format!("/api/v1/messages/{id}"), Some(&key)).await.problem(404, "not_found");
        gateway.get(&format!("/api/v1/messages/{id}/raw"), Some(&key)).await.problem(404, "not_found");
    }
}

/// Reads server-sent events from a body until `count` of them came.
async fn read_stream(body: Body, count: usize) -> Vec<(String, Value)> {
    let mut stream = body.into_data_stream();
    let mut text = String::new();
    while text.matches("data: ").count() < count || !text.ends_with("\n\n") {
        let chunk = stream.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
    };
    let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
    blocks.map(|block| (field(block, "id"), serde_json::from_str(&field(block, "data")).unwrap())).collect()
}

#[tokio::test]
async fn the_stream_gives_the_backlog_and_then_what_comes() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for number in 0..3 {
        gateway.post(EVENT, Some(&key), &quiet(&number.to_string())).await;
    }
    let open = request("GET", "/api/v1/events/stream", Some(&key)).header("last-event-id", "1");
    let reply = gateway.router.clone().oneshot(open.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    assert_eq!(reply.headers()["cache-control"], "no-store");
    assert_eq!(reply.headers()["x-accel-buffering"], "no");
    let reading = read_stream(reply.into_body(), 4);
    let writing = async {
        for number in 3..5 {
            gateway.post(EVENT, Some(&key), &quiet(&number.to_string())).await;
        }
    };
    let (events, ()) = tokio::join!(reading, writing);
    let cursors: Vec<_> = events.iter().map(|(cursor, _)| cursor.as_str()).collect();
    assert_eq!(cursors, ["2", "3", "4", "5"]);
    assert_eq!(events[3].1["source"]["eventId"], "4");
}

#[tokio::test]
async fn a_stream_ends_when_the_instance_stops() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let open = request("GET", "/api/v1/events/stream", Some(&key)).body(Body::empty()).unwrap();
    let reply = gateway.router.clone().oneshot(open).await.unwrap();
    gateway.api.service.stop.cancel();
    let body = axum::body::to_bytes(reply.into_body(), 10_000).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("retry: 3000"));
}

/// The one key's record.
async fn only_key(gateway: &Gateway) -> crate::keys::KeyRecord {
    gateway.store.for_tenant(gateway.tenant).keys().await.unwrap().remove(0)
}

/// Ends only where the stream does, within a time that is long beside any wait of it.
async fn rest_of(body: Body) -> String {
    let rest = tokio::time::timeout(Duration::from_secs(20), axum::body::to_bytes(body, 1_000_000)).await;
    String::from_utf8(rest.expect("the stream ends").unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked() {
    let gateway = Gateway::with(|settings| settings.heartbeat = Duration::from_millis(5)).await;
    let (key, other) = (gateway.key().await, gateway.key().await);
    gateway.post(EVENT, Some(&other), &event("0")).await;
    let open = request("GET", "/api/v1/events/stream?after=0", Some(&key)).body(Body::empty()).unwrap();
    let mut body = gateway.router.clone().oneshot(open).await.unwrap().into_body().into_data_stream();
    let mut seen = String::new();
    while !seen.contains("data: ") {
        seen.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    let revoked = only_key(&gateway).await.id;
    gateway.store.for_tenant(gateway.tenant).revoke_key(revoked).await.unwrap();
    rest_of(Body::from_stream(body)).await;
    gateway.get("/api/v1/events/stream", Some(&key)).await.problem(401, "invalid_key");
}

#[tokio::test]
async fn a_stream_ends_when_its_key_expires() {
    let gateway = Gateway::with(|settings| settings.heartbeat = Duration::from_millis(5)).await;
    let ends = gateway.clock.now().plus(Duration::from_secs(60));
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let key = gateway.key_with(|key| (key.expires_at, key.allowed_networks) = (Some(ends), networks)).await;
    let open = request("GET", "/api/v1/events/stream", Some(&key)).body(Body::empty()).unwrap();
    let reply = gateway.router.clone().oneshot(open).await.unwrap();
    let mut body = reply.into_body().into_data_stream();
    for _ in 0..3 {
        assert!(body.next().await.unwrap().is_ok(), "a valid key's stream goes on, also where its network is named");
    }
    gateway.clock.advance(Duration::from_secs(60));
    rest_of(Body::from_stream(body)).await;
}

#[tokio::test]
async fn a_key_has_ten_streams_and_a_place_that_is_left_can_be_taken() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let open = async |key: &str| {
        let open = request("GET", "/api/v1/events/stream", Some(key)).body(Body::empty()).unwrap();
        gateway.router.clone().oneshot(open).await.unwrap()
    };
    let mut held = Vec::new();
    for _ in 0..10 {
        let reply = open(&key).await;
        assert_eq!(reply.status(), StatusCode::OK);
        held.push(reply);
    }
    let refused = gateway.get("/api/v1/events/stream", Some(&key)).await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "30");
    assert_eq!(open(&gateway.key().await).await.status(), StatusCode::OK, "another key has its own places");
    held.pop();
    assert_eq!(open(&key).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_cursor_of_a_stream_is_a_problem() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    gateway.get("/api/v1/events/stream?after=x", Some(&key)).await.problem(400, "invalid_parameter");
    let open = request("GET", "/api/v1/events/stream", Some(&key)).header("last-event-id", "evt_1");
    gateway.send(open.body(Body::empty()).unwrap()).await.problem(400, "invalid_parameter");
}

trait ParseMailbox {
    fn parse_mailbox(&self) -> crate::mail::address::Mailbox;
}

impl ParseMailbox for str {
    fn parse_mailbox(&self) -> crate::mail::address::Mailbox {
        crate::mail::address::Mailbox::parse(self).unwrap()
    }
}

#[tokio::test]
async fn a_reply_for_the_source_app_is_handed_off_with_its_page() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let mut body = event("1");
    body["sourceMailbox"] =
        json!({ "senderIdentityOwner": "source_app", "externalReplyUrl": "https://crm.example/t/1" });
    let answer = gateway.post(EVENT, Some(&key), &body).await.json();
    let reply =
        answer["operations"].as_array().unwrap().iter().find(|operation| operation["type"] == "reply_in_source_app");
    assert_eq!(reply.unwrap()["params"]["externalReplyUrl"], "https://crm.example/t/1");
    assert_eq!(answer["materialized"]["drafts"].as_array().unwrap().len(), 1);
    let (state, page) = gateway.store.for_tenant(gateway.tenant).only_draft().await;
    assert_eq!((state.as_str(), page.as_deref()), ("handed_off", Some("https://crm.example/t/1")));
}

#[tokio::test]
async fn explain_shows_the_origin_of_an_endpoint_and_not_its_token() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let endpoint = crate::store::webhooks::NewEndpoint {
        app: None,
        url: "https://hooks.example/t/token-1?key=token-2".into(),
        secrets_sealed: "s1:x".into(),
        event_types: vec!["message.*".into()],
        mode: crate::contract::webhook::PayloadMode::Operations,
        schedule: "default",
        show_bcc: false,
    };
    gateway.store.for_tenant(gateway.tenant).add_endpoint(gateway.clock.mint(), endpoint).await.unwrap();
    let answer = gateway.post(EVENT, Some(&key), &event("1")).await.json();
    let path = format!("/api/v1/explain/{}", answer["eventId"].as_str().unwrap());
    let shown = gateway.get(&path, Some(&key)).await;
    assert_eq!(shown.json()["events"][0]["deliveries"][0]["url"], "https://hooks.example", "{}", shown.text());
    assert!(!shown.text().contains("token-"));
}

#[tokio::test]
async fn blind_recipients_of_reports_are_shown_to_keys_that_may_see_them_alone() {
    let gateway = Gateway::new().await;
    let full = gateway.key().await;
    let reading = [Scope::EventsRead, Scope::MessagesRead];
    let narrow = gateway.key_with(|key| key.scopes = Scopes::of(&reading)).await;
    let mut ids = Vec::new();
    for name in ["first", "update"] {
        let answer = gateway.post(EVENT, Some(&full), &event(name)).await.json();
        ids.push(answer["eventId"].as_str().unwrap().to_owned());
    }
    let people = r#"[{"address":"sam@harbor.example","type":"to"},{"address":"mia@harbor.example","type":"bcc"}]"#;
    let become_mail = async |id: &str, source: &str, kind: &str, list: &str| {
        let content = format!("{{\"updatedEventId\":\"{}\",\"{list}\":{people}}}", ids[0]);
        let sql = format!(
            "UPDATE events SET source_kind = '{source}', kind = '{kind}', content = '{content}' WHERE event_id = '{id}'"
        );
        gateway.place.run(&sql).await;
    };
    let shown = async |key: &str| {
        let mut shown = Vec::new();
        for id in &ids {
            shown.push(gateway.get(&format!("/api/v1/explain/{id}"), Some(key)).await.text());
        }
        shown.push(gateway.get("/api/v1/events", Some(key)).await.text());
        shown.iter().map(|text| (text.contains("mia@"), text.contains("\"bccHidden\":true"))).collect::<Vec<_>>()
    };
    let (open, hidden) = ((true, false), (false, true));
    become_mail(&ids[0], "journal", "journal_copy", "recipients").await;
    become_mail(&ids[1], "journal", "message_updated", "addedRecipients").await;
    assert_eq!(shown(&narrow).await, [hidden; 3]);
    assert_eq!(shown(&full).await, [open; 3]);
    // Copies that are no reports name nobody whom their own header does not, or were told by a mail server of the tenant's.
    become_mail(&ids[0], "bcc", "journal_copy", "recipients").await;
    become_mail(&ids[1], "bcc", "message_updated", "addedRecipients").await;
    assert_eq!(shown(&narrow).await, [open; 3]);
}

#[tokio::test]
async fn bytes_that_a_route_does_not_keep_are_not_given_out() {
    use crate::mail::retention::Keep;
    use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};

    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for (segment, keep) in (1_u64..).zip([Keep::Raw, Keep::Text, Keep::None]) {
        let id: crate::ids::MessageId = gateway.clock.mint();
        let message = NewMessage {
            tenant: gateway.tenant,
            id,
            received_at: gateway.clock.now(),
            size: 10,
            manifest: super::messages::manifest(&gateway, id, None),
            body: json!({ "text": "bytes" }).to_string(),
            trace: None,
            kept: Some(Kept::Excluded("excluded")),
            views: Vec::new(),
            copies: vec![NewCopy {
                route: gateway.clock.mint(),
                marks: None,
                keep,
                alarm: None,
                tests_connector: false,
                held: None,
            }],
        };
        let progress = Progress::Log { log: "n".into(), cursor: SpoolCursor { segment, position: 1 } };
        gateway.store.record_mail(vec![message], progress).await.unwrap();
        let path = format!("/api/v1/messages/{id}");
        let told = gateway.get(&path, Some(&key)).await.json();
        assert_eq!((&told["state"], &told["rawKept"]), (&json!("excluded"), &json!(keep == Keep::Raw)), "{told}");
        let raw = gateway.get(&format!("{path}/raw"), Some(&key)).await;
        if keep == Keep::Raw {
            assert_eq!(raw.status, StatusCode::OK, "{}", raw.text());
        } else {
            let problem = raw.problem(404, "not_found");
            assert!(problem["detail"].as_str().unwrap().contains("does not keep"), "{problem}");
        }
    }
}
