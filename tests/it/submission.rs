//! Programs that send mail, at the submission doors: what they send becomes drafts, and leaves as the gate and people say.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connex::mail::message::{self, Limits};
use serde_json::{Value, json};

use crate::harness::{Authority, Do, Engine, Receiver, client, fresh_id, http, list, run, run_client, text, wait_for};
use crate::sending::{Sender, direct, domain_of};

const TEXT: &str = "Good morning Ann, thank you for this. See you soon. Best regards";
const PASSWORD: &str = "lantern over the quay";
const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];

struct Scene {
    sender: Sender,
    receiver: Receiver,
    ca: String,
    to: String,
    _folder: tempfile::TempDir,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("Test CA");
    let ca = authority.write(&folder.path().join("ca.pem")).display().to_string();
    let own = authority.issue(folder.path(), "localhost");
    let receiver = Receiver::start(|_| Do::Take);
    let more = format!(
        "{}[tls]\ncert_file = {:?}\nkey_file = {:?}\n\
         [submission]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\nmessage_size = \"1MiB\"\n",
        direct(&receiver),
        own.cert,
        own.key
    );
    let to = format!("ann@{}", domain_of(&receiver));
    Scene { sender: Sender::new(Engine::Sqlite, &more), receiver, ca, to, _folder: folder }
}

impl Scene {
    fn port(&self, door: &str) -> u16 {
        let address = text(&self.sender.gateway.ready, &format!("/{door}/0"));
        address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    fn job(&self, door: &str, more: &Value) -> Value {
        let mut job = json!({
            "port": self.port(door), "ca": self.ca, "user": "apikey", "password": self.sender.key, "from": self.sender.mailbox,
            "to": self.to, "bcc": "", "subject": "Tuesday", "text": TEXT, "name": "loi.pdf",
            "id": format!("<{}>", fresh_id("submitted")),
        });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    }

    /// What a person answers to the question about a draft, on its page.
    fn approve(&self, approval: &str) {
        let gateway = &self.sender.gateway;
        let add =
            ["user", "add", "ann@acme.example", "--tenant", "acme", "--role", "owner", "--password-stdin", "--json"];
        gateway.connex_with(&add, format!("{PASSWORD}\n").as_bytes()).json();
        let login = [("organisation", "acme"), ("email", "ann@acme.example"), ("password", PASSWORD), ("next", "")];
        let signed_in = http("POST", &format!("{}/login", gateway.api()), &FORM, form(&login).as_bytes());
        let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let path = format!("{}/approvals/{approval}", gateway.api());
        let page = http("GET", &path, &[("cookie", &cookie)], b"");
        let page = String::from_utf8(page.body).unwrap();
        for shown in ["loi.pdf", "application/pdf, 4096 octets", TEXT] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        let names = ["form_token", "content_hash", "shown"];
        let fields = names.map(|name| {
            let rest = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap().1;
            (name, rest.split_once('"').unwrap().0)
        });
        let headers = [FORM.as_slice(), &[("cookie", &cookie)]].concat();
        let answered = http("POST", &format!("{path}/approve"), &headers, form(&fields).as_bytes());
        assert_eq!(answered.header("location"), Some("/approvals?done=released"), "{answered:?}");
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The draft that a reply names.
fn draft_in(reply: &str) -> String {
    reply.split_whitespace().find(|word| word.starts_with("drf_")).unwrap_or_else(|| panic!("{reply}")).to_owned()
}

#[test]
fn what_mail_libraries_send_is_a_draft_and_its_file_reaches_the_next_server_to_the_octet_once_a_person_said_yes() {
    let scene = scene();
    let file: Vec<u8> = (0..4096_u32).map(|number| (number * 7 % 256) as u8).collect();
    let more = json!({ "file": STANDARD.encode(&file), "bcc": format!("boss@{}", self::domain(&scene.to)) });

    // smtplib, STARTTLS.
    let job = scene.job("submission", &more);
    let told = run_client("submit.py", &job);
    let said = text(&told, "/text");
    assert!(told["code"] == 250 && said.contains("waits for approval: approval_required"), "{told}");
    let draft = draft_in(said);
    let again = run_client("submit.py", &job);
    assert_ne!(draft_in(text(&again, "/text")), draft, "its boundary is another: other bytes are another draft");
    assert_eq!(scene.receiver.taken().len(), 0, "nothing left before the yes");
    let shown = scene.sender.draft(&draft);
    assert_eq!(text(&shown, "/content/attachments/0/sha256"), crate::harness::sha256(&file));
    let release = scene.sender.call("POST", &format!("/api/v1/drafts/{draft}/release-request"), &Value::Null).json();
    scene.approve(text(&release, "/approvalId"));
    scene.sender.until(&draft, "sent");
    let taken = scene.receiver.taken();
    let all: Vec<&String> = taken.iter().flat_map(|one| &one.recipients).collect();
    assert_eq!(all.len(), 2, "{all:?}");
    let bytes = &taken[0].bytes;
    assert_eq!(message::attachment(bytes, 0, &Limits::default()).as_deref(), Some(file.as_slice()));
    let left = String::from_utf8_lossy(bytes);
    for gone in ["X-Mailer", "secret tool", "boss@", text(&job, "/id")] {
        assert!(!left.contains(gone), "{gone}: {left}");
    }

    // swaks, TLS from the first byte: of low risk, and let out by policy.
    let server = format!("127.0.0.1:{}", scene.port("submissions"));
    let swaks = |from: &str| {
        let mut command = Command::new("swaks");
        command.args(["--server", &server, "--tls-on-connect", "--auth", "LOGIN", "--auth-user", "apikey"]);
        command.args(["--auth-password", &scene.sender.key, "--from", from, "--to", &scene.to, "--body", TEXT]);
        String::from_utf8(run(&mut command, b"").stdout).unwrap()
    };
    let said = swaks(&scene.sender.mailbox);
    let line = said.lines().find(|line| line.contains("250 2.0.0 draft")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.ends_with("released"), "{line}");
    scene.sender.until(&draft_in(line), "sent");
    assert!(swaks("sales@elsewhere.example").contains("550 5.7.1 forbidden_mailbox"));

    // Nodemailer, with an image inside the text; with another key's name, a key that may not, and too much.
    let nodemailer = |more: &Value| {
        let job = scene.job("submissions", more);
        let output = run(Command::new("node").arg(client("submit.mjs")), job.to_string().as_bytes());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        text(&told, "/response").to_owned()
    };
    let said = nodemailer(&more);
    assert!(said.starts_with("250 2.0.0 draft drf_") && said.contains("waits for approval"), "{said}");
    assert_eq!(list(&scene.sender.draft(&draft_in(&said)), "/content/attachments").len(), 2);
    let large = json!({ "file": STANDARD.encode(vec![7; 1 << 20]) });
    assert!(nodemailer(&large).starts_with("552 5.3.4"), "over message_size");
    let gateway = &scene.sender.gateway;
    let reader = gateway.json(&["key", "add", "--tenant", "acme", "--name", "r", "--scope", "drafts:read"]);
    let refused = nodemailer(&json!({ "file": "", "password": text(&reader, "/key") }));
    assert!(refused.starts_with("535 5.7.8"), "{refused}");

    // What is never released is refused at once where the tenant wants that.
    let policy = gateway.dir().join("policy.json");
    std::fs::write(&policy, json!({ "participantsOnly": false, "refuseDenied": true }).to_string()).unwrap();
    gateway.json(&["policy", "set", policy.to_str().unwrap(), "--tenant", "acme"]);
    let secret = json!({ "file": STANDARD.encode("-----BEGIN PRIVATE KEY-----") });
    let denied = run_client("submit.py", &scene.job("submission", &secret));
    assert!(denied["code"] == 550 && text(&denied, "/text").starts_with("5.7.1 secret_in_content"), "{denied}");
    wait_for("the count", || gateway.metric("connex_submissions_total{outcome=\"denied\"}"));
    assert!(!gateway.log().contains(&scene.sender.key), "the key is in the log");
}

fn domain(address: &str) -> &str {
    address.split_once('@').unwrap().1
}
