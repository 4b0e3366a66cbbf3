//! Mail that providers hand over by webhook, as their documentation says that they do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Answer, Engine, Gateway, fresh_id, http, list, on_both_engines, proof_of_funds, text, wait_for};

on_both_engines!(
    each_provider_hands_mail_over_to_the_byte_and_is_answered_the_same_after_a_restart,
    a_retry_that_comes_at_the_same_time_makes_no_second_message,
);

const KEY: &str = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:inbound-mail";
const BOUNDARY: &str = "xYzZY";

/// A gateway whose operator has listed a topic and a Mailgun account.
fn gateway(engine: Engine) -> (Gateway, String) {
    let more = format!("[providers]\nses_topics = [\"{TOPIC}\"]\nmailgun_signing_keys_file = \"SIGNING\"\n");
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), format!("key-of-another-account\n{KEY}\n")).unwrap();
    let gateway = Gateway::serving(engine, &more.replace("SIGNING", keys.path().to_str().unwrap()));
    // It was read at the start, and is needed again at the next one.
    let (_, path) = keys.keep().unwrap();
    let kept = gateway.dir().with_file_name("signing.keys");
    std::fs::copy(&path, &kept).unwrap();
    std::fs::remove_file(&path).unwrap();
    let gateway = gateway.reconfigured(&[(path.to_str().unwrap(), kept.to_str().unwrap())]);
    let tenant = gateway.field("/tenant");
    let key = gateway.json(&["key", "add", "--tenant", tenant, "--name", "mail", "--scope", "mail:ingest"]);
    let key = text(&key, "/key").to_owned();
    (gateway, key)
}

/// Calls as a provider does that was given `https://connex:KEY@…` as its URL.
fn call(gateway: &Gateway, key: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    let authorization = format!("Basic {}", STANDARD.encode(format!("connex:{key}")));
    let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
    http("POST", &format!("{}/api/v1/intake/{path}", gateway.api()), &headers, body)
}

fn postmark(id: &str, to: &str, mail: &str) -> Vec<u8> {
    json!({
        "FromName": "Ann", "MessageStream": "inbound", "From": "ann@lakeside.example",
        "FromFull": { "Email": "ann@lakeside.example", "Name": "Ann", "MailboxHash": "" },
        "To": to, "ToFull": [{ "Email": to, "Name": "", "MailboxHash": "" }], "Cc": "", "CcFull": [], "Bcc": "", "BccFull": [],
        "OriginalRecipient": to, "Subject": "Next steps", "MessageID": id, "ReplyTo": "", "MailboxHash": "",
        "Date": "Mon, 23 Nov 2026 10:00:00 +0000", "TextBody": "Can you send proof of funds?", "HtmlBody": "",
        "StrippedTextReply": "", "Tag": "", "RawEmail": mail, "Attachments": [],
        "Headers": [
            { "Name": "Return-Path", "Value": "<bounce@lakeside.example>" },
            { "Name": "Received", "Value": "by p-pm-inbound01a-aws-euwest1a.inbound.postmarkapp.com (Postfix, from userid 996)" },
            { "Name": "X-Spam-Status", "Value": "No" }, { "Name": "X-Spam-Score", "Value": "-0.1" },
        ],
    })
    .to_string()
    .into_bytes()
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, value): &(&str, &str)| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    (fields.iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")).into_bytes()
}

fn mailgun(token: &str, to: &str, mail: &str) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let signing = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY.as_bytes());
    let tag = ring::hmac::sign(&signing, format!("{now}{token}").as_bytes());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    form(&[
        ("recipient", to),
        ("sender", "bounce@lakeside.example"),
        ("subject", "Next steps"),
        ("from", "Ann <ann@lakeside.example>"),
        ("timestamp", &now),
        ("token", token),
        ("signature", &signature),
        ("body-mime", mail),
    ])
}

fn sendgrid(to: &str, mail: &str) -> Vec<u8> {
    let envelope = json!({ "to": [to], "from": "bounce@lakeside.example" }).to_string();
    form(&[
        ("email", mail),
        ("dkim", "{@lakeside.example : pass}"),
        ("SPF", "pass"),
        ("to", to),
        ("from", "Ann <ann@lakeside.example>"),
        ("sender_ip", "192.0.2.1"),
        ("envelope", &envelope),
        ("charsets", "{\"to\":\"UTF-8\",\"subject\":\"UTF-8\",\"from\":\"UTF-8\"}"),
        ("subject", "Next steps"),
    ])
}

fn sns(kind: &str, message: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut body = json!({
        "Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC, "Message": message,
        "Timestamp": "2026-11-23T10:00:00.000Z", "SignatureVersion": "1", "Signature": "EXAMPLEw6JRN==",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
    });
    for (name, value) in more {
        body[name] = json!(value);
    }
    body.to_string().into_bytes()
}

fn ses(to: &str, mail: &str) -> Vec<u8> {
    let message = json!({
        "notificationType": "Received",
        "receipt": {
            "timestamp": "2026-11-23T10:00:00.000Z", "processingTimeMillis": 222, "recipients": [to],
            "spamVerdict": { "status": "PASS" }, "virusVerdict": { "status": "PASS" }, "spfVerdict": { "status": "PASS" },
            "dkimVerdict": { "status": "PASS" }, "action": { "type": "SNS", "topicArn": TOPIC, "encoding": "BASE64" },
        },
        "mail": {
            "timestamp": "2026-11-23T10:00:00.000Z", "source": "bounce@lakeside.example",
            "messageId": "d6iitobk75ur44p8kdnnp7g2n800", "destination": [to], "headersTruncated": false, "headers": [],
            "commonHeaders": { "returnPath": "bounce@lakeside.example", "from": ["ann@lakeside.example"], "to": [to] },
        },
        "content": STANDARD.encode(mail),
    });
    sns("Notification", &message.to_string(), &[])
}

/// What every provider sends for one message each: path, media type, body, and the message.
fn deliveries(to: &str) -> Vec<(&'static str, String, Vec<u8>, String)> {
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    let mail = || String::from_utf8(proof_of_funds(&fresh_id("provider"), to)).unwrap();
    let mails: Vec<String> = std::iter::repeat_with(mail).take(4).collect();
    let bodies = [
        postmark("73e6d360-66eb-11e1-8e72-a8904824019b", to, &mails[0]),
        mailgun("c3a0d5dd4d6b4d56a2e98b1b2b0a5c1de0e3a4b7f8c9d0e1f2", to, &mails[1]),
        sendgrid(to, &mails[2]),
        ses(to, &mails[3]),
    ];
    let doors = [
        ("postmark", "application/json".to_owned()),
        ("mailgun/mime", form.clone()),
        ("sendgrid", form),
        ("ses", "text/plain; charset=UTF-8".to_owned()),
    ];
    let calls = doors.into_iter().zip(bodies).zip(mails);
    calls.map(|(((door, kind), body), mail)| (door, kind, body, mail)).collect()
}

fn message_of(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!((answer.status, list(&body, "/messages").len()), (200, 1), "{body}");
    text(&body, "/messages/0/messageId").to_owned()
}

fn each_provider_hands_mail_over_to_the_byte_and_is_answered_the_same_after_a_restart(engine: Engine) {
    let (gateway, key) = gateway(engine);
    let to = gateway.field("/mailbox").to_owned();
    let calls = deliveries(&to);
    let mut ids = Vec::new();
    for (door, kind, body, mail) in &calls {
        let answer = call(&gateway, &key, door, kind, body);
        let id = message_of(&answer);
        assert_eq!(answer.header("idempotency-replayed"), None, "{door}");
        assert!(gateway.connex(&["messages", "raw", &id]).stdout == mail.as_bytes(), "{door}");
        let chain = wait_for("its event", || {
            let chain = gateway.explained(&id);
            (!list(&chain, "/events").is_empty()).then_some(chain)
        });
        let event = &chain["events"][0]["event"];
        assert_eq!(text(event, "/source/door"), "http", "{event}");
        assert!(door.starts_with(text(event, "/source/provider")), "{door} {event}");
        assert_eq!(text(event, "/envelope/mailFrom"), "bounce@lakeside.example", "{door} {event}");
        ids.push(id);
    }
    assert_eq!(gateway.metric("connex_http_mail_total{door=\"sendgrid\",outcome=\"taken\"}"), Some(1.0));
    let gateway = gateway.restarted();
    for ((door, kind, body, _), id) in calls.iter().zip(&ids) {
        let answer = call(&gateway, &key, door, kind, body);
        assert_eq!(message_of(&answer), *id, "{door}");
        assert_eq!(answer.header("idempotency-replayed"), Some("true"), "{door}");
    }
    assert_eq!(gateway.messages().len(), 4);
}

fn a_retry_that_comes_at_the_same_time_makes_no_second_message(engine: Engine) {
    let (gateway, key) = gateway(engine);
    let to = gateway.field("/mailbox").to_owned();
    let (door, kind, body, _) = deliveries(&to).swap_remove(2);
    let ids: Vec<Option<String>> = std::thread::scope(|scope| {
        let one = || {
            let answer = call(&gateway, &key, door, &kind, &body);
            assert!([200, 503].contains(&answer.status), "{}", answer.json());
            (answer.status == 200).then(|| message_of(&answer))
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut ids: Vec<String> = ids.into_iter().flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1, "whoever was told of a message was told of the same one");
    assert_eq!(gateway.messages().len(), 1);
}

#[test]
fn sns_is_asked_for_credentials_and_a_subscription_is_the_operators_to_confirm() {
    let (gateway, key) = gateway(Engine::Sqlite);
    let kind = "text/plain; charset=UTF-8";
    let url = format!("{}/api/v1/intake/ses", gateway.api());
    let confirm = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=2336412f37fb687f";
    let confirmation = |url: &str| {
        sns("SubscriptionConfirmation", "You have chosen to subscribe", &[("SubscribeURL", url), ("Token", "2336412f")])
    };
    let asked = http("POST", &url, &[("content-type", kind)], &confirmation(confirm));
    let challenge = asked.header("www-authenticate").unwrap_or_default();
    assert!(asked.status == 401 && challenge.starts_with("Basic realm=\""), "{challenge}");
    assert!(!gateway.log().contains(confirm), "nobody is told what a stranger sends");
    let told = call(&gateway, &key, "ses", kind, &confirmation(confirm));
    assert_eq!((told.status, told.json()), (200, json!({ "messages": [], "refused": [] })));
    wait_for("the address in the log", || gateway.log().contains(confirm).then_some(()));
    let elsewhere = "https://sns.eu-west-1.amazonaws.com.evil.example/?Token=x";
    assert_eq!(call(&gateway, &key, "ses", kind, &confirmation(elsewhere)).status, 422);
    let other = TOPIC.replace("inbound", "other");
    let unlisted = call(&gateway, &key, "ses", kind, &sns("Notification", "{}", &[("TopicArn", &other)]));
    assert_eq!(unlisted.status, 503, "{}", unlisted.json());
    wait_for("the topic in the log", || gateway.log().contains(&other).then_some(()));
    assert!(!gateway.log().contains("evil.example"));
    assert_eq!(gateway.messages(), Vec::<Value>::new());
}
