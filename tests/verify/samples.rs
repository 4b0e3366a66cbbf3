//! The sample receivers of `docs/webhooks.md` take what we send: once, and only when it is genuine.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, fs};

use bytes::Bytes;
use connex::clock::Clock;
use connex::dns::Resolver;
use connex::ids::EventId;
use connex::webhook::deliver::{ClientSettings, WebhookClient};
use connex::webhook::endpoint::{AllowEntry, AllowList, PublicUrl};
use connex::webhook::request::{CustomHeaders, DeliveryAttempt, SignedRequest};
use connex::webhook::sign::{SigningSecrets, WebhookSecret};

use super::tests_folder;

#[path = "receiver.rs"]
#[allow(dead_code, clippy::disallowed_methods, reason = "a program of its own, shown in the documentation")]
mod receiver;

/// The status of each of four deliveries: new, the same again, under a wrong secret, another new one.
async fn deliver_four(port: u16, secret: &WebhookSecret) -> Vec<Option<u16>> {
    let allow: AllowList = ["127.0.0.1".parse::<AllowEntry>().unwrap()].into_iter().collect();
    let client = WebhookClient::new(&ClientSettings::default(), &Resolver::scripted(), &allow, Clock::System).unwrap();
    let (first, second) = (EventId::from_bits(1), EventId::from_bits(2));
    let mut statuses = Vec::new();
    for (event, secret) in [(first, secret), (first, secret), (second, &WebhookSecret::generate()), (second, secret)] {
        let attempt = DeliveryAttempt {
            event,
            event_type: "message.classified".to_owned(),
            delivery: Clock::System.mint(),
            attempt: 1,
        };
        let url = PublicUrl::parse(&format!("http://127.0.0.1:{port}/"), &allow).unwrap();
        let body = Bytes::from_static("{\"text\":\"Grüße\"}".as_bytes());
        let secrets = SigningSecrets::new(secret.clone());
        let request =
            SignedRequest::new(url, &attempt, body, &secrets, &CustomHeaders::default(), Clock::System.now()).unwrap();
        statuses.push(client.attempt(&request).await.status);
    }
    statuses
}

const EXPECTED: [Option<u16>; 4] = [Some(204), Some(204), Some(401), Some(204)];

/// A sample that runs; it is stopped with the test.
struct Sample {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Sample {
    fn start(mut command: Command, folder: &Path, secret: &WebhookSecret) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .arg("0")
            .current_dir(folder)
            .env("CONNEX_WEBHOOK_SECRET", secret.expose())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{shown} does not start ({error}): run ./tests/run once"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let line = self.lines.next().expect("the sample ended: run ./tests/run once, it installs its library");
        line.unwrap()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn check(command: Command, folder: &Path) {
    let secret = WebhookSecret::generate();
    let mut sample = Sample::start(command, folder, &secret);
    let port = sample.line().strip_prefix("listening ").unwrap().parse().unwrap();
    assert_eq!(deliver_four(port, &secret).await, EXPECTED);
    let said = [sample.line(), sample.line(), sample.line()];
    let id = |bits| EventId::from_bits(bits);
    assert_eq!(said, [format!("new {}", id(1)), format!("again {}", id(1)), format!("new {}", id(2))]);
}

#[tokio::test]
async fn the_python_sample_takes_each_genuine_event_once() {
    let python =
        env::var_os("CONNEX_TEST_PYTHON").map_or_else(|| tests_folder().join(".tools/venv/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg(tests_folder().join("verify/receiver.py"));
    check(command, tempfile::tempdir().unwrap().path()).await;
}

#[tokio::test]
async fn the_node_sample_takes_each_genuine_event_once() {
    // Node looks for libraries beside the file: the sample goes where they are.
    let modules = env::var_os("CONNEX_TEST_NODE_MODULES")
        .map_or_else(|| tests_folder().join(".tools/node_modules"), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(tests_folder().join("verify/receiver.mjs"), folder.path().join("receiver.mjs")).unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let mut command = Command::new(env::var_os("CONNEX_TEST_NODE").unwrap_or_else(|| "node".into()));
    command.arg("receiver.mjs");
    check(command, folder.path()).await;
    let stored: Vec<_> = fs::read_dir(folder.path().join("inbox")).unwrap().collect();
    assert_eq!(stored.len(), 2, "{stored:?}");
}

#[tokio::test]
async fn the_rust_sample_takes_each_genuine_event_once() {
    let (secret, folder) = (WebhookSecret::generate(), tempfile::tempdir().unwrap());
    let key = receiver::key(&secret.expose()).unwrap();
    let router = receiver::router(receiver::Receiver { key, inbox: folder.path().to_owned() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { axum::serve(listener, router).await };
    tokio::select! {
        served = serving => panic!("{served:?}"),
        statuses = deliver_four(port, &secret) => assert_eq!(statuses, EXPECTED),
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Variables of the environment cannot be set inside a test, so a test above runs once more in a process of its own.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "samples::the_rust_sample_takes_each_genuine_event_once"])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn the_documentation_shows_the_samples_that_are_tested() {
    let document = fs::read_to_string(tests_folder().join("../docs/webhooks.md")).unwrap();
    for (language, file) in [("python", "receiver.py"), ("javascript", "receiver.mjs"), ("rust", "receiver.rs")] {
        let sample = fs::read_to_string(tests_folder().join("verify").join(file)).unwrap();
        assert!(
            document.contains(&format!("```{language}\n{sample}```")),
            "docs/webhooks.md does not show tests/verify/{file} as it is: copy the file into its code block"
        );
    }
}
