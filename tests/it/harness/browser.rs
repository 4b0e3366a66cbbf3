//! Chromium without a screen, driven by the WebDriver protocol (W3C).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{http, text, wait_for};

/// A browser with nothing in it; gone when dropped.
pub struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

/// How WebDriver names an element in its answers.
const ELEMENT: &str = "/element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// Starts it on a free port of loopback.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver does not start ({error}): ./tests/run installs what is missing")
            });
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("started successfully on port ").map(|(_, port)| port.to_owned()));
        // Reads on, so that the driver never finds a closed or full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let port = port.expect("chromedriver tells its port");
        let base = format!("http://127.0.0.1:{}/session", port.trim_end_matches('.'));
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1000,800",
            &format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let mut browser = Self { driver, session: String::new(), _profile: profile };
        let answer = http("POST", &base, &[("content-type", "application/json")], wanted.to_string().as_bytes()).json();
        let id = text(&answer, "/value/sessionId");
        assert!(!id.is_empty(), "{answer}");
        browser.session = format!("{base}/{id}");
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let url = format!("{}{path}", self.session);
        let answer = http(method, &url, &[("content-type", "application/json")], body.as_bytes());
        let value = answer.json();
        assert_eq!(answer.status, 200, "{method} {path}: {value}");
        value["value"].clone()
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Waits for a page with this heading.
    pub fn expect(&self, heading: &str) {
        wait_for(&format!("the page {heading:?}"), || {
            let found =
                self.run("return document.readyState === 'complete' ? document.querySelector('h1')?.innerText : ''");
            (found == heading).then_some(())
        });
    }

    /// What all of the page's text is.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Types into the one element that fits.
    pub fn fill(&self, selector: &str, value: &str) {
        self.call("POST", &format!("{}/value", self.element(selector)), &json!({ "text": value }));
    }

    /// Clicks the first element that fits.
    pub fn click(&self, selector: &str) {
        self.call("POST", &format!("{}/click", self.element(selector)), &json!({}));
    }

    /// What a script says of the page.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// All cookies that the page has.
    pub fn cookies(&self) -> Vec<Value> {
        self.call("GET", "/cookie", &Value::Null).as_array().cloned().unwrap_or_default()
    }

    /// Has the page so wide and high.
    pub fn resize(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": screen });
        self.call("POST", "/goog/cdp/execute", &command);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        format!("/element/{}", text(&found, ELEMENT))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser; what is left of it ends with the driver.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| http("DELETE", &self.session, &[], b"")));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
