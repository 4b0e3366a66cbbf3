//! The two calls of the public documentation, word for word but for host and key, and what they are answered with.

use super::*;

/// A `curl` line as a request.
struct Curl {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn read_curl(name: &str) -> Curl {
    let text = std::fs::read_to_string(golden(&format!("{name}.curl"))).unwrap();
    let mut quoted = text.split('\'');
    let command = quoted.next().unwrap();
    let path = command.split("https://connexmail.com").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (mut headers, mut body, mut option) = (Vec::new(), String::new(), command.trim_end());
    while let Some(value) = quoted.next() {
        if option.ends_with("-H") {
            let (name, value) = value.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        } else if option.ends_with("-d") {
            body = value.to_owned();
        }
        option = quoted.next().unwrap_or_default().trim_end();
    }
    Curl { path, headers, body }
}

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http").join(name)
}

/// Puts the same text in place of what differs from run to run: ids, keys made of ids, the engine's version.
fn normalise(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| normalise(value, name)),
        Value::Array(values) => values.iter_mut().for_each(|value| normalise(value, name)),
        Value::String(text) if name == "idempotencyKey" => {
            assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
            *text = "<hex>".into();
        }
        Value::String(text) if name == "version" => *text = "<version>".into(),
        Value::String(text) => {
            if let Some((prefix, rest)) = text.split_once('_')
                && rest.len() == 26
                && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            {
                *text = format!("{prefix}_<id>");
            }
        }
        _ => {}
    }
}

fn hold_against(name: &str, mut answer: Value) {
    normalise(&mut answer, "");
    let path = golden(&format!("{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(&answer).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

async fn run(name: &str) -> Value {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let curl = read_curl(name);
    let mut builder = Request::builder().method("POST").uri(&curl.path);
    for (name, value) in &curl.headers {
        builder = builder.header(name, value.replace("cxk_live_your_key_here", &key));
    }
    let reply = gateway.send(builder.body(Body::from(curl.body)).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn the_preview_of_the_public_documentation_works_word_for_word() {
    let answer = run("integration-preview").await;
    assert_eq!(answer["identity"]["owner"], "source_app");
    assert_eq!(answer["identity"]["verdict"], "handoff");
    assert_eq!(answer["identity"]["externalReplyUrl"], "https://your-saas.example/thread/123");
    assert_eq!(answer["canonical"]["approvalRequired"], true);
    assert_eq!(answer["eventId"], Value::Null);
    hold_against("integration-preview", answer);
}

#[tokio::test]
async fn the_event_of_the_public_documentation_works_word_for_word() {
    let answer = run("integration-event").await;
    assert_eq!(answer["duplicate"], false);
    assert!(answer["eventId"].as_str().unwrap().starts_with("evt_"));
    hold_against("integration-event", answer);
}

#[test]
fn the_preview_is_a_pure_function_of_request_and_clock() {
    let body: Value = serde_json::from_str(&read_curl("integration-preview").body).unwrap();
    let engine = rules();
    let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap());
    let answer = || {
        let request = serde_json::from_value(body.clone()).unwrap();
        let submission = crate::service::Submission { request, warnings: vec![], request_id: "req_1".into() };
        serde_json::to_value(crate::service::preview(&engine, &clock, submission).unwrap()).unwrap()
    };
    assert_eq!(answer(), answer());
}
