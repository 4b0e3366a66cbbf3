//! What comes back of what was sent: copies of it by routes, and answers to it.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Do, Engine, Gateway, Postfix, Receiver, Wire, list, on_both_engines, run_client, text, wait_for};
use crate::sending::{Sender, UNLIMITED, direct, domain_of};

on_both_engines!(
    a_copy_of_what_was_sent_is_proof_of_it_and_no_new_work,
    an_answer_comes_back_to_the_conversation_that_was_begun_here,
    a_draft_that_nobody_answers_for_expires,
    what_postfix_could_not_deliver_comes_back_and_its_address_is_written_to_no_more,
    mail_that_came_back_from_one_recipient_still_reaches_another_who_put_it_off,
);

const ADD: [&str; 10] =
    ["route", "add", "--tenant", "acme", "--app", "crm", "--peer", "127.0.0.0/8", "--observe", "0s"];

/// A route that believes everybody here: its id and address.
pub fn route(gateway: &Gateway, more: &[&str]) -> (String, String) {
    let route = gateway.json(&[&ADD[..], more].concat());
    (text(&route, "/id").to_owned(), text(&route, "/address").to_owned())
}

pub fn hand_over(gateway: &Gateway, from: &str, to: &str, bytes: &[u8]) {
    let (code, reply) = Wire::hello(gateway.smtp()).unwrap().mail(from, to, bytes).unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// The state of the newest of so many messages, once it was read, and why; and its events.
fn newest(gateway: &Gateway, count: usize) -> (String, Value, Vec<Value>) {
    let message = wait_for("the message to be read", || {
        let messages = gateway.messages();
        let newest = messages.iter().max_by_key(|message| text(message, "/id").to_owned())?.clone();
        (messages.len() == count && text(&newest, "/state") != "spooled").then_some(newest)
    });
    let events = list(&gateway.explained(text(&message, "/id")), "/events").to_vec();
    (text(&message, "/state").to_owned(), message["reason"].clone(), events)
}

/// A report of Exchange about a message.
pub fn report(domain: &str, original: &[u8]) -> Vec<u8> {
    let head = format!(
        "From: Microsoft Exchange <journal@{domain}>\r\nTo: journal@{domain}\r\nSubject: Journal Report\r\n\
         X-MS-Journal-Report:\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"_r_\"\r\n\r\n\
         --_r_\r\nContent-Type: text/plain\r\n\r\nSender: sales@{domain}\r\nSubject: Tuesday\r\n\
         Recipient: ann@elsewhere.example\r\n\r\n--_r_\r\nContent-Type: message/rfc822\r\n\r\n"
    );
    [head.as_bytes(), original, b"\r\n--_r_--\r\n"].concat()
}

fn a_copy_of_what_was_sent_is_proof_of_it_and_no_new_work(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &direct(&receiver));
    let gateway = &sender.gateway;
    let draft = sender.release(&[&format!("ann@{}", domain_of(&receiver))]);
    assert_eq!(sender.until(&draft, "sent")["copies"], json!([]));
    let sent = receiver.taken()[0].bytes.clone();
    let (bcc, bcc_address) = route(gateway, &["--kind", "bcc"]);
    let (journal, journal_address) = route(gateway, &["--kind", "journal", "--format", "exchange"]);
    let traced = |trace: &str| [trace.as_bytes(), sent.as_slice()].concat();
    let by = |host: &str| format!("Received: from {host} by mta.example; Sun, 29 Nov 2026 09:02:00 +0000\r\n");
    hand_over(gateway, &sender.mailbox, &bcc_address, &traced(&by("a.example")));
    assert_eq!(newest(gateway, 1), ("duplicate".into(), "sent_from_here".into(), vec![]));
    hand_over(gateway, &sender.mailbox, &bcc_address, &traced(&by("b.example")));
    assert_eq!(newest(gateway, 2).1, "sent_from_here");
    let domain = sender.mailbox.split('@').nth(1).unwrap();
    hand_over(gateway, "", &journal_address, &report(domain, &sent));
    assert_eq!(newest(gateway, 3), ("duplicate".into(), "sent_from_here".into(), vec![]));

    let shown = sender.draft(&draft);
    let copies: Vec<_> =
        list(&shown, "/copies").iter().map(|copy| (text(copy, "/routeId"), copy["copies"].as_u64())).collect();
    assert_eq!(copies, [(bcc.as_str(), Some(2)), (journal.as_str(), Some(1))], "{shown}");
    let log = gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    let seen = list(&log, "").iter().filter(|row| text(row, "/action") == "draft.copy_seen").count();
    assert_eq!(seen, 2, "{log}");

    // Whoever knows the id of what was sent makes nothing disappear under it.
    let id = text(&shown, "/content/messageId").to_owned();
    let forged = format!(
        "From: Sales <{}>\r\nTo: bob@elsewhere.example\r\nSubject: Tuesday\r\nMessage-ID: <{id}>\r\n\
         Date: Sun, 29 Nov 2026 09:00:00 +0000\r\n\r\nPlease send the proof of funds by Friday.\r\n",
        sender.mailbox
    );
    hand_over(gateway, &sender.mailbox, &bcc_address, forged.as_bytes());
    let (state, reason, events) = newest(gateway, 4);
    assert_eq!((state.as_str(), reason.as_str(), events.len()), ("emitted", Some("message_id_reused"), 1));
    assert!(list(&events[0], "/event/defects").contains(&json!("message_id_reused")), "{events:?}");
    // An answer that is seen at the route belongs to the same conversation there.
    let answer = format!(
        "From: Ann <ann@elsewhere.example>\r\nTo: {}\r\nSubject: Re: Tuesday\r\nMessage-ID: <answer@elsewhere.example>\r\n\
         In-Reply-To: <{id}>\r\nDate: Sun, 29 Nov 2026 10:00:00 +0000\r\n\r\nSee you then.\r\n",
        sender.mailbox
    );
    hand_over(gateway, "ann@elsewhere.example", &bcc_address, answer.as_bytes());
    let (_, _, events) = newest(gateway, 5);
    assert_eq!(text(&events[0], "/event/threading/method"), "references");
    // What is answered is found where it is, although the conversation of the draft is of its mailbox.
    let body = json!({ "mailbox": sender.mailbox, "to": ["ann@elsewhere.example"], "subject": "Re: Tuesday",
        "text": "Good.", "answers": text(&events[0], "/event/id") });
    let proposed = sender.call("POST", "/api/v1/drafts", &body).json();
    let path = format!("/api/v1/drafts/{}/check", text(&proposed, "/id"));
    let checked = sender.call("POST", &path, &Value::Null).json();
    let unknown: Vec<_> = list(&checked, "/reasons").iter().filter(|reason| reason["unknown"] == true).collect();
    assert!(unknown.is_empty(), "{checked}");
    // Mail for a mailbox was meant for it, whoever wrote it.
    hand_over(gateway, &sender.mailbox, gateway.field("/mailbox"), &sent);
    let (state, _, events) = newest(gateway, 6);
    assert_eq!((state.as_str(), events.len()), ("emitted", 1));
    // A report of failed authentication is no complaint; one of abuse is, and the only recipient made it.
    let returned = || sender.draft(&draft)["transmissions"][0]["returnedBy"].clone();
    for (count, kind) in [(7, "auth-failure"), (8, "abuse")] {
        assert_eq!(returned(), Value::Null);
        hand_over(gateway, "fbl@elsewhere.example", &sender.mailbox, feedback(kind, &sender.mailbox, &id).as_bytes());
        assert_eq!(newest(gateway, count).0, "emitted");
    }
    assert!(returned().is_string());
}

/// A feedback report (RFC 5965) about the message with this id.
fn feedback(kind: &str, to: &str, id: &str) -> String {
    format!(
        "From: Feedback <fbl@elsewhere.example>\r\nTo: {to}\r\nSubject: Report\r\nMessage-ID: <{kind}@elsewhere.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=o\r\n\r\n--o\r\n\r\nA report.\r\n\
         --o\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: fbl/1\r\nVersion: 1\r\n\r\n--o\r\n\
         Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{id}>\r\n\r\n--o--\r\n"
    )
}

/// Sends an answer with smtplib, and gives the event that it became.
fn answered(gateway: &Gateway, count: usize, to: &str, message: &[u8], subject: Option<&str>) -> Value {
    let job = json!({
        "port": gateway.smtp().port(), "from": "ann@elsewhere.example", "to": to, "subject": subject,
        "text": "Tuesday is fine.", "message": STANDARD.encode(message),
    });
    let told = run_client("answer.py", &job);
    assert_eq!(told["refused"], json!({}), "{told}");
    let (state, _, events) = newest(gateway, count);
    assert_eq!((state.as_str(), events.len()), ("emitted", 1), "{events:?}");
    let event = events[0]["event"].clone();
    assert_eq!(text(&event, "/rfcMessageId"), text(&told, "/id"));
    event
}

fn an_answer_comes_back_to_the_conversation_that_was_begun_here(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &format!("{}{UNLIMITED}", direct(&receiver)));
    let (gateway, to) = (&sender.gateway, sender.mailbox.clone());
    let ann = format!("ann@{}", domain_of(&receiver));
    let draft = sender.release(&[&ann]);
    let begun = sender.until(&draft, "sent");
    let thread = text(&begun, "/threadId").to_owned();
    let sent = receiver.taken()[0].bytes.clone();
    // The mail program names our id alone, under a subject of its own: what leads back is the token in it.
    let first = answered(gateway, 1, &to, &sent, Some("About next week"));
    assert_eq!((text(&first, "/threading/method"), text(&first, "/threadId")), ("reply_token", thread.as_str()));
    // What answers that stays in the conversation, and so does the answer to it.
    let body = json!({ "text": "Good. Thank you, Ann. Best regards", "answers": text(&first, "/id") });
    let made = sender.call("POST", &format!("/api/v1/threads/{thread}/reply"), &body);
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(text(&made.json(), "/threadId"), thread);
    let id = text(&made.json(), "/content/messageId").to_owned();
    let again = format!("From: Sales <{to}>\r\nTo: {ann}\r\nSubject: Re\r\nMessage-ID: <{id}>\r\n\r\nGood.\r\n");
    let second = answered(gateway, 2, &to, again.as_bytes(), None);
    assert_eq!((text(&second, "/threading/method"), text(&second, "/threadId")), ("reply_token", thread.as_str()));
    // A token that was changed leads nowhere, and neither does one of another mailbox.
    let token = id.split('.').next().unwrap();
    let last = if token.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{last}", &token[..token.len() - 1]);
    assert!(again.contains(token));
    let other = answered(gateway, 3, &to, again.replace(token, &changed).as_bytes(), Some("Something else"));
    assert_eq!(text(&other, "/threading/method"), "new");
    let other = answered(gateway, 4, gateway.field("/mailbox"), &sent, Some("Once more"));
    assert_eq!(text(&other, "/threading/method"), "new");
    assert_ne!(text(&other, "/threadId"), thread);
}

fn a_draft_that_nobody_answers_for_expires(engine: Engine) {
    let receiver = Receiver::start(|_| Do::Take);
    let sender = Sender::new(engine, &direct(&receiver));
    let desk = sender.mailbox.replace("sales", "desk");
    sender.gateway.json(&["mailbox", "add", &desk, "--tenant", "acme", "--reply-policy", "human_approval"]);
    let body = json!({ "mailbox": desk, "to": ["ann@elsewhere.example"], "subject": "x", "text": "y" });
    let made = sender.call("POST", "/api/v1/drafts", &body).json();
    let id = text(&made, "/id");
    let asked = sender.call("POST", &format!("/api/v1/drafts/{id}/release-request"), &Value::Null);
    assert_eq!((asked.status, text(&asked.json(), "/state")), (202, "pending_approval"), "{asked:?}");
    sender.gateway.alter("UPDATE approvals SET expires_at = 1");
    sender.until(id, "expired");
    let log = sender.gateway.json(&["audit", "list", "--tenant", "acme", "--subject", id]);
    assert_eq!(text(list(&log, "").last().unwrap(), "/action"), "approval.expired");
}

fn what_postfix_could_not_deliver_comes_back_and_its_address_is_written_to_no_more(engine: Engine) {
    let receiver = Receiver::start(|recipients| match recipients[0].split('@').next().unwrap() {
        "gone" => Do::Answer("550 5.1.1 no such user".into()),
        "full" => Do::Answer("552 5.2.2 mailbox full".into()),
        _ => Do::Take,
    });
    let folder = Postfix::socket_folder();
    let map = folder.path().join("transport");
    std::fs::write(&map, "").unwrap();
    let postfix = Postfix::start(&format!(
        "default_transport = smtp:[{}]:{}\ntransport_maps = texthash:{}\nsmtp_destination_recipient_limit = 1\n",
        receiver.address().ip(),
        receiver.address().port(),
        map.display()
    ));
    let relay = format!("[sending]\nrelay = \"{}\"\nrelay_tls = \"never\"\n{UNLIMITED}", postfix.smtp());
    let sender = Sender::new(engine, &relay);
    // What comes back goes to where the sender's domain gets its mail.
    let domain = sender.mailbox.split('@').nth(1).unwrap();
    std::fs::write(&map, format!("{domain} smtp:[127.0.0.1]:{}\n", sender.gateway.smtp().port())).unwrap();
    let to = ["gone", "full", "ann"].map(|local| format!("{local}@client.example"));
    let draft = sender.release(&to.each_ref().map(String::as_str));
    sender.until(&draft, "sent");
    let returned = wait_for("a report to come back", || {
        let shown = sender.draft(&draft);
        let returned: Vec<bool> =
            list(&shown, "/transmissions").iter().map(|one| !one["returnedBy"].is_null()).collect();
        returned.contains(&true).then_some(returned)
    });
    assert_eq!(returned, [true, false, false], "{}", postfix.log());
    let asked = |to: &str| {
        let body = json!({ "mailbox": sender.mailbox, "to": [to], "subject": "Tuesday", "text": "Hello" });
        let made = sender.call("POST", "/api/v1/drafts", &body).json();
        sender.call("POST", &format!("/api/v1/drafts/{}/release-request", text(&made, "/id")), &Value::Null)
    };
    let refused = asked(&to[0]);
    assert_eq!((refused.status, text(&refused.json(), "/code")), (403, "suppressed_recipient"), "{refused:?}");
    assert_ne!(asked(&to[1]).status, 403, "a full mailbox is no reason");
    let log = sender.gateway.json(&["audit", "list", "--tenant", "acme", "--subject", &draft]);
    assert!(list(&log, "").iter().any(|row| text(row, "/action") == "transmission.returned"), "{log}");
}

fn mail_that_came_back_from_one_recipient_still_reaches_another_who_put_it_off(engine: Engine) {
    let tries = AtomicU32::new(0);
    let receiver = Receiver::start(move |recipients| match recipients[0].split('@').next().unwrap() {
        "later" if tries.fetch_add(1, Ordering::SeqCst) == 0 => Do::Answer("451 4.7.1 greylisted".into()),
        _ => Do::Take,
    });
    let sender = Sender::new(engine, &format!("{}{UNLIMITED}", direct(&receiver)));
    let gateway = &sender.gateway;
    let to = ["gone", "later"].map(|local| format!("{local}@{}", domain_of(&receiver)));
    let draft = sender.release(&to.each_ref().map(String::as_str));
    let states = |draft: &Value| -> Vec<String> {
        list(draft, "/transmissions").iter().map(|one| text(one, "/state").to_owned()).collect()
    };
    let tried = wait_for("both to be tried", || {
        let shown = sender.draft(&draft);
        (states(&shown) == ["accepted", "deferred"]).then_some(shown)
    });
    let report = format!(
        "From: Mailer <mailer-daemon@elsewhere.example>\r\nTo: {}\r\nSubject: Undelivered\r\nMessage-ID: <report@elsewhere.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=o\r\n\r\n--o\r\n\r\nSorry.\r\n--o\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; elsewhere.example\r\n\r\nFinal-Recipient: rfc822; {}\r\n\
         Action: failed\r\nStatus: 5.1.1\r\n\r\n--o\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{}>\r\n\r\n--o--\r\n",
        sender.mailbox,
        to[0],
        text(&tried, "/content/messageId")
    );
    hand_over(gateway, "", &sender.mailbox, report.as_bytes());
    wait_for("the report to be read", || {
        (!sender.draft(&draft)["transmissions"][0]["returnedBy"].is_null()).then_some(())
    });
    gateway.alter("UPDATE transmissions SET next_attempt_at = 1 WHERE state = 'deferred'");
    assert_eq!(states(&sender.until(&draft, "sent")), ["accepted", "accepted"]);
}
