//! The HTTP contract, from outside.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Engine, Gateway, Wire, fresh_id, http, list, on_both_engines, proof_of_funds, run, run_client, text,
};

on_both_engines!(
    both_curl_lines_of_the_public_documentation_work_word_for_word,
    the_same_event_twice_is_one_event_and_another_under_its_name_is_a_conflict,
    a_preview_needs_no_key_and_stores_nothing,
    a_key_that_is_missing_wrong_or_too_narrow_is_refused_by_its_own_name,
    answers_say_what_is_left_of_the_rate_limit,
);

const EVENT: &str = "/api/connex/integration-event";

/// The command of the public documentation, word for word but for host and key, run by a shell.
fn documented(name: &str, gateway: &Gateway) -> Value {
    let file = format!("{}/tests/golden/http/{name}.curl", env!("CARGO_MANIFEST_DIR"));
    let command = std::fs::read_to_string(file).unwrap();
    // In the documentation it stands on several lines; each but those of the body ends in a backslash.
    let command = command.replace("https://connexmail.com", &gateway.api());
    let command = command.replace("cxk_live_your_key_here", gateway.field("/apiKey"));
    let output = run(Command::new("sh").arg("-c").arg(&command), b"");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

fn post(gateway: &Gateway, path: &str, key: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("content-type", "application/json")];
    if !key.is_empty() {
        headers.push(("authorization", &authorization));
    }
    http("POST", &format!("{}{path}", gateway.api()), &headers, body.as_bytes())
}

/// A problem with this status and code, in the form of RFC 9457.
fn expect_problem(answer: &Answer, status: u16, code: &str) -> Value {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
    let problem = answer.json();
    assert_eq!(text(&problem, "/code"), code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    for field in ["/type", "/title", "/instance", "/requestId"] {
        assert!(!text(&problem, field).is_empty(), "no {field} in {problem}");
    }
    problem
}

fn event(id: &str, body: &str) -> String {
    let message = json!({ "subject": "Question", "body": body });
    json!({ "app": "your-saas", "sourceSystem": "crm", "sourceEventId": id, "eventType": "inbound_reply", "message": message })
        .to_string()
}

fn events(gateway: &Gateway) -> usize {
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let answer = http("GET", &format!("{}/api/v1/events", gateway.api()), &[("authorization", &authorization)], b"");
    let log = answer.json();
    let items = log["items"].as_array().unwrap_or_else(|| panic!("{log}"));
    items.iter().filter(|item| item["event"]["type"] == "message.classified").count()
}

fn both_curl_lines_of_the_public_documentation_work_word_for_word(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let preview = documented("integration-preview", &gateway);
    let answer = documented("integration-event", &gateway);
    for (name, answer) in [("preview", &preview), ("event", &answer)] {
        for field in ["canonical/status", "canonical/priority", "canonical/nextBestAction", "mapped/appName"] {
            assert!(!text(answer, &format!("/{field}")).is_empty(), "{name}: no {field} in {answer}");
        }
        assert!(answer["canonical"]["approvalRequired"].is_boolean(), "{name}: {answer}");
        assert!(answer["operations"].is_array(), "{name}: {answer}");
        assert_eq!(answer["identity"]["connexMaySend"], false, "{name}: {answer}");
        assert_eq!(answer["reasoning"]["modelCalled"], false, "{name}: {answer}");
    }
    assert_eq!(preview["eventId"], Value::Null, "a preview is no event");
    assert!(text(&answer, "/eventId").starts_with("evt_"), "{answer}");
    assert_eq!(answer["duplicate"], false);
    assert_eq!(documented("integration-event", &gateway)["duplicate"], true);
}

fn the_same_event_twice_is_one_event_and_another_under_its_name_is_a_conflict(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let key = gateway.field("/apiKey");
    let first = post(&gateway, EVENT, key, &event("evt_1", "What is your price?"));
    assert_eq!(first.status, 200, "{first:?}");
    let again = post(&gateway, EVENT, key, &event("evt_1", "What is your price?"));
    let (first, again) = (first.json(), again.json());
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["eventId"], again["eventId"]);
    assert_eq!(first["operations"], again["operations"]);
    let other = post(&gateway, EVENT, key, &event("evt_1", "Another text"));
    expect_problem(&other, 409, "idempotency_conflict");
    assert_eq!(events(&gateway), 1);
}

fn a_preview_needs_no_key_and_stores_nothing(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let answer = post(&gateway, "/api/connex/integration-preview", "", &event("evt_1", "What is your price?"));
    assert_eq!(answer.status, 200);
    assert_eq!(events(&gateway), 0);
    assert!(gateway.messages().is_empty());
    assert_eq!(post(&gateway, EVENT, gateway.field("/apiKey"), &event("evt_1", "x")).status, 200);
    assert_eq!(events(&gateway), 1, "the count counts");
}

fn a_key_that_is_missing_wrong_or_too_narrow_is_refused_by_its_own_name(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let body = event("evt_1", "Hello");
    let missing = post(&gateway, EVENT, "", &body);
    expect_problem(&missing, 401, "missing_key");
    assert!(missing.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")), "{missing:?}");
    for wrong in ["cxk_live_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "nonsense"] {
        let answer = post(&gateway, EVENT, wrong, &body);
        expect_problem(&answer, 401, "invalid_key");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")), "{answer:?}");
    }
    let tenant = gateway.field("/tenant");
    let narrow = gateway.json(&["key", "add", "--tenant", tenant, "--name", "narrow", "--scope", "events:read"]);
    expect_problem(&post(&gateway, EVENT, text(&narrow, "/key"), &body), 403, "forbidden_scope");
    let check = post(&gateway, "/api/connex/key-check", text(&narrow, "/key"), "{}");
    assert_eq!(check.json()["valid"], true);
    gateway.json(&["key", "remove", text(&narrow, "/id"), "--tenant", tenant]);
    expect_problem(&post(&gateway, EVENT, text(&narrow, "/key"), &body), 401, "invalid_key");
    assert_eq!(events(&gateway), 0);
}

#[test]
fn a_key_that_is_bound_to_a_mailbox_reports_outcomes_of_its_mail_alone() {
    let gateway = Gateway::dev();
    let (tenant, app, deals) = (gateway.field("/tenant"), gateway.field("/app"), gateway.field("/mailbox"));
    let sales = deals.replace("deals@", "sales@");
    gateway.json(&["mailbox", "add", &sales, "--tenant", tenant, "--app", app]);
    let add = ["key", "add", "--tenant", tenant, "--name", "sales", "--mailbox"];
    let key = gateway.json(&[&add[..], &[&sales]].concat());
    let shown = gateway.json(&["key", "show", text(&key, "/id")]);
    assert_eq!(shown["mailboxes"], json!([sales]));
    assert_eq!(gateway.connex(&[&add[..], &["nobody"]].concat()).code, 2, "no address");
    let report = |mailbox: &str| {
        let id = fresh_id("outcome");
        let mail = proof_of_funds(&id, mailbox);
        let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail("ann@lakeside.example", mailbox, &mail).unwrap();
        assert_eq!(code, 250, "{reply}");
        let event = text(&gateway.arrival(&id), "/body/id").to_owned();
        let body = json!({ "app": app, "eventId": event, "outcome": "won" }).to_string();
        post(&gateway, "/api/connex/integration-outcome", text(&key, "/key"), &body)
    };
    let own = report(&sales);
    assert_eq!(own.status, 200, "{own:?}");
    expect_problem(&report(deals), 404, "not_found");
}

#[test]
fn a_wrong_body_is_told_what_is_wrong_and_where() {
    let gateway = Gateway::dev();
    let key = gateway.field("/apiKey");
    expect_problem(&post(&gateway, EVENT, key, "{\"app\": "), 400, "malformed_json");
    let wrong_type = post(&gateway, EVENT, key, &event("evt_1", "x").replace("\"Question\"", "7"));
    let problem = expect_problem(&wrong_type, 422, "invalid_request");
    assert!(list(&problem, "/errors").iter().any(|error| error["pointer"] == "/message/subject"), "{problem}");
    let thin = r#"{"app":"your-saas","sourceSystem":"crm","eventType":"inbound_reply"}"#;
    let empty = thin.replace('}', r#","sourceEventId":"evt_1"}"#);
    let named = ["/app", "/sourceSystem", "/eventType"];
    for (body, expected) in [("{}", &named[..]), (thin, &["/sourceEventId"]), (&empty, &["/message"])] {
        let problem = expect_problem(&post(&gateway, EVENT, key, body), 422, "invalid_request");
        let pointers: Vec<&str> = list(&problem, "/errors").iter().map(|error| text(error, "/pointer")).collect();
        assert!(expected.iter().all(|pointer| pointers.contains(pointer)), "{body}: {pointers:?}");
    }
    let large = post(&gateway, EVENT, key, &event("evt_1", &"x".repeat(1024 * 1024)));
    expect_problem(&large, 413, "payload_too_large");
    assert_eq!(events(&gateway), 0);
}

#[test]
fn what_is_not_offered_is_refused_as_a_problem_too() {
    let gateway = Gateway::dev();
    expect_problem(&http("GET", &format!("{}/nowhere", gateway.api()), &[], b""), 404, "not_found");
    let url = format!("{}{EVENT}", gateway.api());
    let wrong_method = http("DELETE", &url, &[], b"");
    expect_problem(&wrong_method, 405, "method_not_allowed");
    assert!(wrong_method.header("allow").is_some_and(|allow| allow.contains("POST")), "{wrong_method:?}");
    let authorization = format!("Bearer {}", gateway.field("/apiKey"));
    let headers = [("content-type", "text/plain"), ("authorization", authorization.as_str())];
    expect_problem(&http("POST", &url, &headers, b"{}"), 415, "unsupported_media_type");
}

#[test]
fn every_endpoint_shows_its_contract_and_discovery_lists_only_what_answers() {
    let gateway = Gateway::dev();
    let agent = http("GET", &format!("{}/.well-known/connex-agent", gateway.api()), &[], b"").json();
    let endpoints = list(&agent, "/endpoints");
    assert!(endpoints.len() >= 7, "{agent}");
    for endpoint in endpoints.iter().filter(|endpoint| endpoint["live"] == true) {
        let path = text(endpoint, "/path");
        let answer = http("GET", &format!("{}{}", gateway.api(), path.replace("{id}", "x")), &[], b"");
        assert!(answer.status != 404 || path.contains('{'), "{endpoint}: {}", answer.status);
        if path.starts_with("/api/connex/") && text(endpoint, "/method") == "POST" {
            assert_eq!(answer.status, 200, "the contract of {path}");
            assert!(answer.json().is_object(), "{path}");
        }
    }
}

#[test]
fn the_openapi_document_is_valid_openapi_3_1() {
    let gateway = Gateway::dev();
    let document = http("GET", &format!("{}/openapi.json", gateway.api()), &[], b"").json();
    let checked = run_client("openapi.py", &document);
    assert!(text(&checked, "/openapi").starts_with("3.1"), "{checked}");
    assert!(list(&checked, "/paths").contains(&json!(EVENT)), "{checked}");
    assert_eq!(http("GET", &format!("{}/api/connex/openapi", gateway.api()), &[], b"").json(), document);
}

fn answers_say_what_is_left_of_the_rate_limit(engine: Engine) {
    let gateway = Gateway::complete(engine);
    let answer = post(&gateway, EVENT, gateway.field("/apiKey"), &event("evt_1", "x"));
    assert!(answer.header("ratelimit-policy").is_some_and(|policy| policy.contains("q=600")), "{answer:?}");
    assert!(answer.header("ratelimit").is_some_and(|left| left.contains("r=")), "{answer:?}");
}
