//! Our signatures against the reference libraries of Standard Webhooks from PyPI and npm.
//!
//! Good and tampered messages are signed by our code and given to `tests/verify/verify.py` and `verify.mjs`; both must
//! come to exactly the verdict that we expect, and so must our own `verify`. `./tests/run` installs the libraries into
//! `tests/.tools`; `CONNEX_TEST_PYTHON`, `CONNEX_TEST_NODE` and `CONNEX_TEST_NODE_MODULES` name others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "verify/samples.rs"]
mod samples;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use connex::clock::{Clock, Timestamp};
use connex::ids::EventId;
use connex::webhook::sign::{SignatureHeaders, SigningSecrets, TOLERANCE, WebhookSecret, sign, verify};
use reqwest::header::HeaderMap;
use serde_json::json;

/// One message as a receiver gets it, and what it should say.
struct Case {
    name: &'static str,
    secret: WebhookSecret,
    headers: SignatureHeaders,
    body: String,
    genuine: bool,
}

fn signed(body: &str, secrets: &SigningSecrets, at: Timestamp) -> SignatureHeaders {
    let id: EventId = Clock::System.mint();
    sign(&id.to_string(), body.as_bytes(), secrets, at).unwrap()
}

fn moved(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(now.as_micros() + seconds * 1_000_000)
}

fn cases() -> Vec<Case> {
    let now = Clock::System.now();
    let body = r#"{"type":"message.classified","data":{"canonical":{"status":"invoice_question"}}}"#.to_owned();
    let unusual = "{ \"text\" : \"Grüße, 日本, 😀 \\u0000 \\\\ \\\" \", \"end\":[1.0,-0]\r\n}".to_owned();
    let current = WebhookSecret::generate();
    let old: Vec<WebhookSecret> = (0..5).map(|_| WebhookSecret::generate()).collect();
    let alone = SigningSecrets::new(current.clone());
    let rotated = SigningSecrets::with_old(current.clone(), old.clone());
    let case = |name, secret: &WebhookSecret, headers, body: &str, genuine| Case {
        name,
        secret: secret.clone(),
        headers,
        body: body.to_owned(),
        genuine,
    };
    let good = signed(&body, &alone, now);
    let other_id = SignatureHeaders { id: Clock::System.mint::<EventId>().to_string(), ..good.clone() };
    let other_time = SignatureHeaders { timestamp: moved(now, 1).as_seconds().to_string(), ..good.clone() };
    let mut cases = vec![
        case("good", &current, good.clone(), &body, true),
        case("unusual bytes", &current, signed(&unusual, &alone, now), &unusual, true),
        case("smallest secret", &shortest(), signed(&body, &SigningSecrets::new(shortest()), now), &body, true),
        case("290 s old", &current, signed(&body, &alone, moved(now, -290)), &body, true),
        case("290 s ahead", &current, signed(&body, &alone, moved(now, 290)), &body, true),
        case("310 s old", &current, signed(&body, &alone, moved(now, -310)), &body, false),
        case("310 s ahead", &current, signed(&body, &alone, moved(now, 310)), &body, false),
        case("wrong secret", &WebhookSecret::generate(), good.clone(), &body, false),
        case("one letter changed", &current, good.clone(), &body.replace("invoice", "Invoice"), false),
        case("one space more", &current, good, &format!("{body} "), false),
        case("id changed", &current, other_id, &body, false),
        case("time changed", &current, other_time, &body, false),
        case("rotated, receiver is new", &current, signed(&body, &rotated, now), &body, true),
        case("rotated, old secret is over", &old[0], signed(&body, &alone, now), &body, false),
    ];
    for secret in &old {
        cases.push(case("rotated, receiver is old", secret, signed(&body, &rotated, now), &body, true));
    }
    cases
}

/// 24 bytes, the least that the standard allows.
fn shortest() -> WebhookSecret {
    WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Gives all cases to a script and returns its verdicts.
fn verdicts(mut command: Command, cases: &[Case]) -> Vec<String> {
    let shown = format!("{command:?}");
    let hint = "run ./tests/run once: it installs the reference libraries into tests/.tools";
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown} does not start ({error}): {hint}"));
    let mut input = String::new();
    for case in cases {
        let headers = json!({
            "webhook-id": case.headers.id,
            "webhook-timestamp": case.headers.timestamp,
            "webhook-signature": case.headers.signature,
        });
        let line = json!({ "secret": case.secret.expose(), "headers": headers, "body": case.body });
        input.push_str(&format!("{line}\n"));
    }
    // A script that stopped early says why on its standard error: that is shown, not the broken pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown} failed: {hint}\n{errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn check(library: &str, command: Command) {
    let cases = cases();
    let verdicts = verdicts(command, &cases);
    assert_eq!(verdicts.len(), cases.len(), "{library} answered {verdicts:?}");
    for (case, verdict) in cases.iter().zip(verdicts) {
        let genuine = verdict == "ok";
        assert!(genuine || verdict.starts_with("err "), "{library}, {}: {verdict}", case.name);
        assert_eq!(genuine, case.genuine, "{library}, {}: {verdict}", case.name);
    }
}

#[test]
fn the_python_reference_library_agrees() {
    let python =
        env::var_os("CONNEX_TEST_PYTHON").map_or_else(|| tests_folder().join(".tools/venv/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg(tests_folder().join("verify/verify.py"));
    check("standardwebhooks from PyPI", command);
}

#[test]
fn the_node_reference_library_agrees() {
    let mut command = Command::new(env::var_os("CONNEX_TEST_NODE").unwrap_or_else(|| "node".into()));
    command.arg(tests_folder().join("verify/verify.mjs"));
    check("standardwebhooks from npm", command);
}

#[test]
fn our_own_check_agrees() {
    for case in cases() {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", case.headers.id.parse().unwrap());
        headers.insert("webhook-timestamp", case.headers.timestamp.parse().unwrap());
        headers.insert("webhook-signature", case.headers.signature.parse().unwrap());
        let now = Clock::System.now();
        let result = verify(&headers, case.body.as_bytes(), &[case.secret], now, TOLERANCE);
        assert_eq!(result.is_ok(), case.genuine, "{}: {result:?}", case.name);
    }
    assert_eq!(TOLERANCE, Duration::from_secs(300));
}
