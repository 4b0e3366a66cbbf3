//! Mail of the gateway itself to its people, and a switch that stops every node.

use serde_json::{Value, json};

use crate::domains::prove;
use crate::harness::{Answer, Database, Do, Engine, Gateway, Installation, Receiver, http, list, text, wait_for, zone};
use crate::sending::{Sender, TEXT, direct, domain_of, fresh_key};

const PASSWORD: &str = "lantern over the quay";
const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
/// The domain of gateways in tests.
const PLATFORM: &str = "gateway.example";

fn post(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let form = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
    http("POST", &format!("{}{path}", gateway.api()), &FORM, form.as_bytes())
}

/// What a link of a notice leads to, at the address where the gateway of the test listens.
fn follow(gateway: &Gateway, link: &str, cookie: &str) -> Answer {
    let path = link.split_once("://").unwrap().1.split_once('/').unwrap().1;
    http("GET", &format!("{}/{path}", gateway.api()), &[("cookie", cookie)], b"")
}

/// The newest notice at `next` with a link to this page, once it is there: its subject, its text, and the link.
fn notice(next: &Gateway, page: &str) -> (String, String, String) {
    wait_for(&format!("a notice with a link to {page}"), || {
        let messages = next.messages();
        let read = messages.iter().filter(|message| text(message, "/state") == "emitted");
        read.map(|message| next.explained(text(message, "/id"))).find_map(|explained| {
            let event = &list(&explained, "/events")[0];
            let told = text(event, "/event/text").to_owned();
            let link = told.lines().find(|line| line.starts_with("http") && line.contains(page))?.trim().to_owned();
            let results = text(&explained, "/message/trace/authenticationResults");
            assert!(results.contains("dkim=pass"), "{results}");
            assert_eq!(text(event, "/event/author/address"), format!("connex@{PLATFORM}"));
            Some((text(event, "/event/subject").to_owned(), told, link))
        })
    })
}

#[test]
fn people_get_signed_notices_with_nothing_of_a_message_and_to_open_their_links_changes_nothing() {
    let next = Gateway::serving(Engine::Sqlite, "[authentication]\nrelays = []\ntimeout = \"5s\"\n");
    let more = format!(
        "[sending]\nrelay = \"{}\"\nrelay_tls = \"never\"\nnotices_from = \"connex@{PLATFORM}\"\n",
        next.smtp()
    );
    let sender = Sender::new(Engine::Sqlite, &more);
    let gateway = &sender.gateway;
    let selector = crate::domains::fresh_domain().split('.').next().unwrap().to_owned();
    let made = gateway.json(&["signing", "add", PLATFORM, "--selector", &selector]);
    zone().txt(&format!("{selector}._domainkey.{PLATFORM}"), text(&made, "/record"));
    gateway.json(&["signing", "check", PLATFORM]);

    // The mailed link works beside the one that was printed, once, and not by being opened.
    let ann = next.field("/mailbox");
    gateway.json(&["user", "add", ann, "--tenant", "acme", "--role", "approver"]);
    let (subject, _, link) = notice(&next, "/invitations/");
    assert_eq!(subject, "Your invitation to acme");
    assert_eq!([follow(gateway, &link, "").status, follow(gateway, &link, "").status], [200, 200]);
    assert_eq!(list(&gateway.json(&["user", "list", "--tenant", "acme"]), "").len(), 0, "opened, not used");
    let path = format!("/invitations/{}", link.split_once("/invitations/").unwrap().1);
    let accept = || post(gateway, &path, &[("name", "Ann"), ("password", PASSWORD)]).status;
    assert_eq!([accept(), accept()], [303, 404]);

    let body = "We agree to pay 500 EUR for the contract of the heron.";
    let proposal = json!({ "mailbox": sender.mailbox, "to": [ann], "subject": "Your boat", "text": body });
    let draft = text(&sender.call("POST", "/api/v1/drafts", &proposal).json(), "/id").to_owned();
    let asked = sender.call("POST", &format!("/api/v1/drafts/{draft}/release-request"), &Value::Null);
    assert_eq!(asked.status, 202, "{asked:?}");
    let (subject, told, link) = notice(&next, "/approvals/");
    assert_eq!(subject, "A draft waits for your approval at acme");
    assert!(told.contains("Subject: Your boat") && link.ends_with(text(&asked.json(), "/approvalId")), "{told}");
    for word in ["500", "contract", "heron"] {
        assert!(!told.contains(word), "{told}");
    }
    assert_eq!(follow(gateway, &link, "").status, 303, "nobody is signed in");
    let login = |password: &str| {
        post(gateway, "/login", &[("organisation", "acme"), ("email", ann), ("password", password), ("next", "")])
    };
    let signed_in = login(PASSWORD);
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for _ in 0..2 {
        let page = follow(gateway, &link, &cookie);
        assert!(page.status == 200 && page.body.windows(body.len()).any(|at| at == body.as_bytes()), "{page:?}");
    }
    assert_eq!(text(&sender.draft(&draft), "/state"), "pending_approval", "opened, not answered");
    // The first sign-in is her own; of the second, at a browser that is not known, she is told.
    assert_eq!(login(PASSWORD).status, 303);
    assert_eq!(notice(&next, "/account").0, "A new sign-in at acme");
    // Each was sent once, by the same account of what left.
    assert_eq!(next.messages().len(), 3);
    wait_for("each to be on record", || {
        let audit = gateway.json(&["audit", "list", "--tenant", "acme"]);
        let count = |action: &str| list(&audit, "").iter().filter(|row| text(row, "/action") == action).count();
        ((count("notice.sending"), count("notice.settled")) == (3, 3)).then_some(())
    });
    assert_eq!(gateway.connex(&["audit", "verify", "--tenant", "acme"]).code, 0);
    let log = gateway.log();
    assert!(!log.contains(path.trim_start_matches("/invitations/")) && !log.contains(ann), "{log}");
}

/// All that goes out after a switch was thrown had begun its end within a second of it, at whichever node.
#[test]
fn a_switch_at_one_node_stops_the_senders_of_all_within_a_second() {
    const MESSAGES: usize = 80;
    let receiver = Receiver::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        Do::Take
    });
    let more = format!("{}workers = 2\n[http.rate_limits]\ndefault_per_minute = 0\n", direct(&receiver));
    let installation = Installation::over(Database::fresh(), &more);
    let nodes = installation.nodes(2);
    let domain = prove(&nodes[0]);
    let made = installation.json(&["signing", "add", &domain, "--tenant", "acme", "--selector", "s1"]);
    zone().txt(&format!("s1._domainkey.{domain}"), text(&made, "/record"));
    installation.json(&["signing", "check", &domain]);
    let mailbox = format!("sales@{domain}");
    installation.json(&["mailbox", "add", &mailbox, "--tenant", "acme", "--reply-policy", "policy_auto"]);
    let file = nodes[0].dir().join("policy.json");
    let policy =
        json!({ "participantsOnly": false, "automaticPerCorrespondent": 1000, "similarToNewRecipients": 1000 });
    std::fs::write(&file, policy.to_string()).unwrap();
    installation.json(&["policy", "set", file.to_str().unwrap(), "--tenant", "acme"]);
    let scopes = ["--scope", "drafts:write", "--scope", "drafts:read"];
    let key = installation.json(&[&["key", "add", "--tenant", "acme", "--name", "d"], &scopes[..]].concat());
    let authorization = format!("Bearer {}", text(&key, "/key"));
    let to = domain_of(&receiver);
    let at = connex::clock::Clock::System.now().plus(std::time::Duration::from_secs(8)).to_string();
    for number in 0..MESSAGES {
        let call = |path: &str, body: &Value| {
            let once = fresh_key();
            let headers = [
                ("content-type", "application/json"),
                ("authorization", authorization.as_str()),
                ("idempotency-key", once.as_str()),
            ];
            http("POST", &format!("{}{path}", nodes[number % 2].api()), &headers, body.to_string().as_bytes()).json()
        };
        let to = format!("to{number}@{to}");
        let draft =
            call("/api/v1/drafts", &json!({ "mailbox": mailbox, "to": [to], "subject": "Tuesday", "text": TEXT }));
        let released =
            call(&format!("/api/v1/drafts/{}/release-request", text(&draft, "/id")), &json!({ "sendAt": at }));
        assert_eq!(text(&released, "/state"), "released", "{released}");
    }
    wait_for("both nodes to send", || (receiver.taken().len() >= 8).then_some(()));
    installation.json(&["sending", "pause"]);
    let number = |sql: &str| installation.sql(sql).trim().parse::<i64>().unwrap_or(0);
    let since = number("SELECT since FROM gateway_pauses");
    let open = "FROM transmissions WHERE state IN ('pending', 'deferred', 'in_flight')";
    assert!(number(&format!("SELECT COUNT(*) {open}")) > 0, "all were sent before the switch: give them more time");
    // Each that is left was asked about a second after the switch, or later.
    wait_for("the gate to be asked about each", || {
        let late = since + 2_000_000;
        let waiting = format!("SELECT COUNT(*) {open} AND (state = 'in_flight' OR next_attempt_at <= {late})");
        (number(&waiting) == 0).then_some(())
    });
    let last = number("SELECT COALESCE(MAX(eod_started_at), 0) FROM transmissions");
    assert!(last <= since + 1_000_000, "one was ended {} ms after the switch", (last - since) / 1_000);
    assert!(receiver.taken().len() < MESSAGES);
    installation.json(&["sending", "resume"]);
    wait_for("the rest to go on by itself", || (receiver.taken().len() == MESSAGES).then_some(()));
    let mut recipients: Vec<String> = receiver.taken().into_iter().flat_map(|taken| taken.recipients).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!(recipients.len(), MESSAGES, "each once");
}
