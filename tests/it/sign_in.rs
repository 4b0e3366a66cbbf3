//! People who sign in elsewhere, and an app whose users decide: the real program with a provider on loopback, and a real browser.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Engine, Gateway, http, text};
use crate::sending::{Sender, fresh_key};
use provider::{CLIENT, Provider};

/// The same as the unit tests have.
#[allow(dead_code)]
#[path = "../../src/oidc/tests/provider.rs"]
mod provider;

fn now() -> i64 {
    connex::clock::Clock::System.now().as_seconds()
}

/// A gateway whose people sign in at the provider.
fn sender(provider: &Provider, folder: &std::path::Path) -> Sender {
    let file = folder.join("providers.toml");
    let text = format!(
        "[[provider]]\nname = \"quay\"\nlabel = \"Sign in with Quay\"\nissuer = \"{}\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\ntenant = \"acme\"\n",
        provider.issuer(),
        CLIENT.0,
        CLIENT.1
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!("[sign_in]\nproviders_file = \"{}\"\nallow = [\"127.0.0.1\"]\n", file.display());
    let sender = Sender::new(Engine::Sqlite, &more);
    // The gateway is told no port of its own, and so names another in what it sends the browser with.
    provider.state().back = Some(format!("{}/auth/oidc/callback", sender.gateway.api()));
    sender
}

fn call(gateway: &Gateway, path: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let key = fresh_key();
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
        ("idempotency-key", key.as_str()),
    ];
    http("POST", &format!("{}{path}", gateway.api()), &headers, body.to_string().as_bytes())
}

#[test]
fn a_browser_signs_in_elsewhere_and_an_apps_user_decides_by_a_token_and_no_key_can() {
    let (folder, provider) = (tempfile::tempdir().unwrap(), Provider::start(now()));
    let sender = sender(&provider, folder.path());
    let gateway = &sender.gateway;

    // By a button, to the provider and back, in Chromium.
    gateway.json(&["user", "add", "Ann@quay.example", "--tenant", "acme", "--role", "approver"]);
    provider.say(json!({ "email": "ann@quay.example", "email_verified": true, "name": "Ann Harbor" }));
    let browser = Browser::start();
    browser.open(&format!("{}/approvals", gateway.api()));
    browser.expect("Sign in");
    browser.click("nav.elsewhere a");
    browser.expect("Approvals");
    let cookies = browser.cookies();
    assert!(cookies.iter().any(|cookie| text(cookie, "/name") == "__Host-connex_session"), "{cookies:?}");
    assert!(!cookies.iter().any(|cookie| text(cookie, "/name") == "__Host-connex_oidc"), "{cookies:?}");
    let users = gateway.json(&["user", "list", "--tenant", "acme"]);
    assert_eq!((text(&users, "/0/name"), users[0]["hasPassword"].as_bool()), ("Ann Harbor", Some(false)));
    assert_eq!(gateway.metric("connex_sign_ins_total{outcome=\"done\"}"), Some(1.0));

    // A question, and the answers of a key, of a user of nobody, and of a user of the issuer once that is registered.
    let draft = json!({ "mailbox": sender.mailbox, "to": ["ann@lakeside.example"], "subject": "Tuesday",
        "text": "We agree to pay 500 EUR for the contract." });
    let made = sender.call("POST", "/api/v1/drafts", &draft).json();
    let hash = text(&made, "/contentHash");
    let release = format!("/api/v1/drafts/{}/release-request", text(&made, "/id"));
    let asked = sender.call("POST", &release, &Value::Null);
    assert_eq!(asked.status, 202, "{asked:?}");
    let decision = format!("/api/v1/approvals/{}/decision", text(&asked.json(), "/approvalId"));
    let yes = json!({ "decision": "approve", "contentHash": hash, "accepts": ["risk_high"] });
    let decide = |token: &str| call(gateway, &decision, token, &yes);
    let refused = |answer: &Answer| (answer.status, text(&answer.json(), "/code").to_owned());
    assert_eq!(refused(&sender.call("POST", &decision, &yes)), (403, "people_only".to_owned()));
    provider.say(json!({ "sub": "u-7" }));
    let token = provider.token("connex-approvals", hash);
    assert_eq!(refused(&decide(&token)), (401, "invalid_token".to_owned()));
    let add = ["issuer", "add", &provider.issuer(), "--tenant", "acme", "--audience", "connex-approvals"];
    let issuer = gateway.json(&add);
    let other = provider.token("connex-approvals", &"0".repeat(64));
    assert_eq!(refused(&decide(&other)), (401, "invalid_token".to_owned()));
    let decided = decide(&token);
    assert_eq!((decided.status, text(&decided.json(), "/approval/state")), (200, "approved"), "{decided:?}");
    let audit = gateway.json(&["audit", "list", "--tenant", "acme"]).to_string();
    assert!(
        audit.contains(&format!("issued:{}#u-7", provider.issuer())) && audit.contains("issuer.registered"),
        "{audit}"
    );
    gateway.json(&["issuer", "remove", text(&issuer, "/id")]);
    assert_eq!(gateway.json(&["issuer", "list", "--tenant", "acme"]), json!([]));

    // Nothing of it is in the log.
    let log = gateway.log();
    for secret in [CLIENT.1, token.as_str(), "@quay.example", "code-0"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
