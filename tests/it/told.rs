//! What apps are told of drafts: each step of one that is sent, and the handing over of one that they send themselves.

use serde_json::{Value, json};

use crate::domains::prove;
use crate::harness::{
    Do, Engine, Gateway, Hit, Receiver, Sink, Wire, fresh_id, http, list, proof_of_funds, text, wait_for,
};
use crate::sending::{Sender, direct, domain_of};
use crate::sent::{hand_over, report, route};

/// Adds an endpoint of `crm` for these types; its secret.
fn listening(gateway: &Gateway, sink: &Sink, types: &[&str]) -> String {
    let url = sink.url();
    let mut add = vec!["webhook", "add", &url, "--tenant", "acme", "--app", "crm"];
    types.iter().for_each(|kind| add.extend(["--event-type", kind]));
    text(&gateway.json(&add), "/secret").to_owned()
}

/// So many deliveries, in the order of their conversation.
fn told(sink: &Sink, count: usize) -> Vec<(Hit, Value)> {
    let mut hits = wait_for("all of it to be told", || (sink.hits().len() >= count).then(|| sink.hits()));
    hits.sort_by_key(|hit| hit.json()["thread"]["sequence"].as_i64());
    hits.into_iter().map(|hit| (hit.clone(), hit.json())).collect()
}

#[test]
fn a_receiver_is_told_of_every_step_of_a_draft_until_it_is_sent() {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(Engine::Sqlite, &direct(&receiver));
    let (gateway, sink) = (&sender.gateway, Sink::start());
    let mailbox = sender.mailbox.replace("sales", "desk");
    gateway.json(&["mailbox", "add", &mailbox, "--tenant", "acme", "--app", "crm", "--reply-policy", "policy_auto"]);
    let secret = listening(gateway, &sink, &["draft.*", "approval.*"]);
    let words = "Good morning Ann, thank you for this. See you soon. Best regards";
    let body = json!({ "mailbox": mailbox, "to": [format!("ann@{}", domain_of(&receiver))], "subject": "Tuesday", "text": words });
    let made = sender.call("POST", "/api/v1/drafts", &body).json();
    let id = text(&made, "/id");
    let released = sender.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &Value::Null);
    assert_eq!(text(&released.json(), "/state"), "released", "{released:?}");
    let told = told(&sink, 4);
    let types: Vec<&str> = told.iter().map(|(_, event)| text(event, "/type")).collect();
    assert_eq!(types, ["draft.created", "draft.release_requested", "draft.released", "draft.sent"]);
    for (hit, event) in &told {
        assert!(hit.is_signed_with(&secret));
        assert_eq!((text(event, "/data/draftId"), text(event, "/app")), (id, "crm"));
        assert_eq!(text(event, "/data/contentHash"), text(&made, "/contentHash"));
        let link = text(event, "/data/links/draft");
        assert!(link.starts_with("http") && link.ends_with(&format!("/api/v1/drafts/{id}")), "{link}");
        assert!(!String::from_utf8_lossy(&hit.body).contains("Good morning"), "no text of it");
    }
    assert_eq!(text(&told[3].1, "/data/state"), "sent");
    let cursors: Vec<String> = told.iter().map(|(hit, _)| hit.id().to_owned()).collect();
    assert_eq!(cursors.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "each is an event of its own");
}

#[test]
fn a_draft_of_a_decision_is_handed_over_reported_and_seen_in_the_journal() {
    let gateway = Gateway::serving(Engine::Sqlite, "");
    let (domain, sink) = (prove(&gateway), Sink::start());
    let mailbox = format!("sales@{domain}");
    let page = "https://app.example/reply";
    let add = ["mailbox", "add", &mailbox, "--tenant", "acme", "--app", "crm", "--owner", "source_app"];
    gateway.json(&[&add[..], &["--external-reply-url", page]].concat());
    let words = gateway.dir().join("words.txt");
    let body = "Hello {{contact_name|there}}, we have your question about {{document|the papers}} and answer it this week. \
                Until then please keep the signed pages at hand, as the notary will ask for every one of them. See {{link}}";
    std::fs::write(&words, body).unwrap();
    let set = ["app", "template", "set", "--tenant", "acme", "--app", "crm", "--status", "any", "--file"];
    let template = gateway.json(&[&set[..], &[words.to_str().unwrap()]].concat());
    let secret = listening(&gateway, &sink, &["draft.handed_off", "draft.updated"]);
    let asked = fresh_id("handed");
    let (code, reply) = Wire::hello(gateway.smtp())
        .unwrap()
        .mail("ann@lakeside.example", &mailbox, &proof_of_funds(&asked, &mailbox))
        .unwrap();
    assert_eq!(code, 250, "{reply}");

    let (hit, event) = told(&sink, 1).remove(0);
    assert!(hit.is_signed_with(&secret));
    assert_eq!(text(&event, "/type"), "draft.handed_off");
    let (operation, draft) = (&list(&event, "/data/operations")[0], text(&event, "/data/draftId"));
    assert_eq!(text(operation, "/type"), "reply_in_source_app");
    assert_eq!(text(operation, "/params/externalReplyUrl"), page);
    assert_eq!(text(operation, "/params/inReplyTo"), asked);
    assert_eq!(text(operation, "/params/to/0"), "Ann Lee <ann@lakeside.example>");
    let proposed = text(operation, "/params/text");
    assert!(proposed.starts_with("Hello Ann Lee, we have") && proposed.ends_with(page), "{proposed}");
    assert_eq!(event["data"]["template"], json!({ "id": template["id"], "version": 1 }));
    // It is the decision's own operation, and its event is what led to this one.
    let decided = gateway.explained(text(&event, "/causedBy"));
    let operations = list(&decided, "/events/0/decision/operations");
    assert!(
        operations.iter().any(|one| one["id"] == operation["id"] && one["params"]["draftId"] == draft),
        "{decided}"
    );

    let scopes = ["--scope", "drafts:read", "--scope", "approvals:report", "--scope", "status:evaluate"];
    let key =
        gateway.json(&[&["key", "add", "--tenant", "acme", "--name", "crm", "--app", "crm"][..], &scopes].concat());
    let authorization = format!("Bearer {}", text(&key, "/key"));
    let call = |method: &str, path: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
        http(method, &format!("{}/api/v1/drafts/{draft}{path}", gateway.api()), &headers, body.as_bytes())
    };
    let id = fresh_id("sent-by-crm");
    let reported = call("POST", "/report", &json!({ "outcome": "sent", "messageId": format!("<{id}>") }).to_string());
    assert_eq!((reported.status, text(&reported.json(), "/handoff/reported")), (200, "sent"), "{reported:?}");

    // The company's mail server tells of the mail that the app sent.
    let (_, journal) = route(&gateway, &["--kind", "journal", "--format", "exchange"]);
    let mail = format!(
        "From: Sales <{mailbox}>\r\nTo: ann@lakeside.example\r\nSubject: Re: LOI\r\nMessage-ID: <{id}>\r\n\
         In-Reply-To: <{asked}>\r\nDate: Sun, 29 Nov 2026 09:00:00 +0000\r\n\r\nSomething else, by hand.\r\n"
    );
    hand_over(&gateway, "", &journal, &report(&domain, mail.as_bytes()));
    let shown = wait_for("the copy to be seen", || {
        let shown = call("GET", "", "").json();
        shown["handoff"]["seenAt"].is_string().then_some(shown)
    });
    assert_eq!((text(&shown, "/state"), text(&shown, "/handoff/matchedBy")), ("handed_off", "message_id"));
    assert_eq!(list(&shown, "/copies").len(), 1, "{shown}");
    let log = gateway.json(&["audit", "list", "--tenant", "acme", "--subject", draft]);
    let actions: Vec<&str> = list(&log, "").iter().map(|row| text(row, "/action")).collect();
    assert_eq!(actions, ["draft.created", "draft.handed_off", "draft.reported", "draft.copy_seen"]);
    let types: Vec<String> = told(&sink, 3).iter().map(|(_, event)| text(event, "/type").to_owned()).collect();
    assert_eq!(types.iter().filter(|kind| *kind == "draft.updated").count(), 2, "{types:?}");
}
