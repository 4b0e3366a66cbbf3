//! People with an account: from the command line, over HTTP, and with a real browser.

use serde_json::Value;

use crate::harness::{Answer, Browser, Engine, Gateway, http, list, on_both_engines, text};

on_both_engines!(people_sign_in_until_the_operator_disables_them);

const PASSWORD: &str = "lantern over the quay";
const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];

fn sign_in(gateway: &Gateway, email: &str, password: &str) -> Answer {
    let form = form(&[("organisation", "acme"), ("email", email), ("password", password), ("next", "")]);
    http("POST", &format!("{}/login", gateway.api()), &FORM, form.as_bytes())
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The page of the account, with the cookie of a sign-in.
fn account(gateway: &Gateway, signed_in: &Answer) -> Answer {
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    http("GET", &format!("{}/account", gateway.api()), &[("cookie", &cookie)], b"")
}

fn people_sign_in_until_the_operator_disables_them(engine: Engine) {
    let gateway = Gateway::serving(engine, "");
    let setup = gateway.json(&["user", "setup-link"]);
    assert!(text(&setup, "/url").contains("/setup/"), "{setup}");
    let add = ["user", "add", "Ann@acme.example", "--tenant", "acme", "--role", "owner", "--password-stdin", "--json"];
    let short = gateway.connex_with(&add, b"short\n");
    assert_eq!(short.code, 2, "{}", short.stderr);
    gateway.connex_with(&add, format!("{PASSWORD}\n").as_bytes()).json();
    assert_eq!(gateway.connex_with(&add, format!("{PASSWORD}\n").as_bytes()).code, 1, "there is one");
    assert_eq!(gateway.connex(&["user", "setup-link"]).code, 1, "the first account is made");

    let ann = sign_in(&gateway, "ann@acme.example", PASSWORD);
    assert_eq!((ann.status, ann.header("location")), (303, Some("/account")));
    assert_eq!(account(&gateway, &ann).status, 200);
    assert_eq!(sign_in(&gateway, "ann@acme.example", "another password").status, 403);
    assert_eq!(gateway.metric("connex_sign_ins_total{outcome=\"done\"}"), Some(1.0));

    // An account by a link, which is used once.
    let link = gateway.json(&["user", "add", "bob@acme.example", "--tenant", "acme", "--role", "approver"]);
    let path = text(&link, "/url").split_once("/invitations/").unwrap().1.to_owned();
    let follow = || {
        let form = form(&[("name", "Bob"), ("password", PASSWORD)]);
        http("POST", &format!("{}/invitations/{path}", gateway.api()), &FORM, form.as_bytes()).status
    };
    assert_eq!((follow(), follow()), (303, 404));
    let bob = sign_in(&gateway, "bob@acme.example", PASSWORD);
    assert_eq!(account(&gateway, &bob).status, 200);
    let users = gateway.json(&["user", "list", "--tenant", "acme"]);
    let roles: Vec<&str> = list(&users, "").iter().map(|user| text(user, "/role")).collect();
    assert_eq!(roles, ["owner", "approver"], "{users}");

    // What the operator does counts at once, in the gateway that runs.
    let alone = gateway.connex(&["user", "disable", "ann@acme.example"]);
    assert!(alone.code == 1 && alone.stderr.contains("another owner"), "{}", alone.stderr);
    gateway.json(&["user", "disable", "bob@acme.example"]);
    assert_eq!(account(&gateway, &bob).status, 303);
    assert_eq!(sign_in(&gateway, "bob@acme.example", PASSWORD).status, 403);
    gateway.json(&["user", "enable", "bob@acme.example"]);
    let reset = ["user", "reset-password", "bob@acme.example", "--password-stdin", "--json"];
    gateway.connex_with(&reset, b"a quite different one\n").json();
    assert_eq!(sign_in(&gateway, "bob@acme.example", "a quite different one").status, 303);

    // Nothing of it is in the log.
    let log = gateway.log();
    for secret in [PASSWORD, "a quite different one", &path, "@acme.example"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

/// From the first start to the last sign-out, in Chromium, which takes `Secure` cookies on loopback.
#[test]
fn the_console_works_in_a_real_browser_at_any_width() {
    let gateway = Gateway::dev();
    let browser = Browser::start();
    browser.open(gateway.field("/setup"));
    browser.expect("Set up Connex");
    reflows(&browser);
    browser.fill("#name", "Ann Harbor");
    browser.fill("#email", "ann@sample.example");
    browser.fill("#new-password", PASSWORD);
    browser.click("main button");
    browser.expect("Sign in");
    assert!(browser.text().contains("Your password is set"), "{}", browser.text());
    reflows(&browser);
    browser.fill("#email", "ann@sample.example");
    browser.fill("#password", "not the password");
    browser.click("main button");
    browser.expect("Sign in");
    assert!(browser.text().contains("is not right"), "{}", browser.text());
    browser.fill("#password", PASSWORD);
    browser.click("main button");
    browser.expect("Your account");
    reflows(&browser);

    let cookies = browser.cookies();
    let session = cookies.iter().find(|cookie| text(cookie, "/name") == "__Host-connex_session").unwrap();
    assert!(session["secure"] == true && session["httpOnly"] == true, "{session}");
    assert_eq!((text(session, "/sameSite"), text(session, "/path")), ("Lax", "/"));
    assert_eq!(browser.run("return document.cookie"), Value::from(""), "no script reads it");

    browser.click("nav a[href='/users']");
    browser.expect("Users");
    browser.fill("#email", "bob@sample.example");
    browser.click("form[action='/users/invite'] button");
    browser.expect("Users");
    let link = browser.run("return document.querySelector('#link')?.value ?? ''");
    let link = link.as_str().unwrap_or_default();
    assert!(link.contains("/invitations/"), "{}", browser.text());
    reflows(&browser);

    // The style is ours, and is there: the policy lets nothing else in.
    let edge = browser.run("return getComputedStyle(document.querySelector('header')).borderBottomStyle");
    assert_eq!(edge, "solid");
    let script = "const s = document.createElement('script'); \
                  try { s.text = 'window.ran = 1'; document.body.append(s); } catch {} return window.ran === undefined";
    assert_eq!(browser.run(script), true, "a script that came into the page did run");

    browser.click("form[action='/logout'] button");
    browser.expect("Sign in");
    browser.open(&format!("{}/users", gateway.api()));
    browser.expect("Sign in");
    browser.open(link);
    browser.expect("Make your account");
    reflows(&browser);
}

/// At 320 pixels nothing has to be scrolled sideways (WCAG 2.2, 1.4.10), every field has its name, and there is one main part.
pub fn reflows(browser: &Browser) {
    browser.resize(320, 800);
    assert_eq!(browser.run("return document.documentElement.scrollWidth <= 320"), true, "{}", browser.text());
    let unnamed = "return [...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select')]\
                   .filter(field => field.labels.length === 0).map(field => field.outerHTML)";
    assert_eq!(browser.run(unnamed), Value::Array(Vec::new()));
    assert_eq!(browser.run("return document.querySelectorAll('main h1').length"), 1);
    browser.resize(1000, 800);
}
