//! What each provider sends, as its documentation has it, and whatever else may come.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::form::Fields;
use super::mailgun::SignatureError;
use super::*;
use crate::clock::Timestamp;

const MAIL: &str =
    "From: Ann <ann@lake.example>\r\nTo: deals@in.example\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\n.\r\nHello.\r\n";

fn postmark_json() -> Value {
    json!({
        "FromName": "Ann", "MessageStream": "inbound", "From": "ann@lake.example",
        "FromFull": { "Email": "ann@lake.example", "Name": "Ann", "MailboxHash": "" },
        "To": "\"Deals\" <deals@in.example>", "ToFull": [{ "Email": "deals@in.example", "Name": "Deals", "MailboxHash": "" }],
        "Cc": "", "CcFull": [], "Bcc": "", "BccFull": [], "OriginalRecipient": "451d9b70cf9364d23ff6f9d51d870251569e@in.example",
        "Subject": "Hello", "MessageID": "73e6d360-66eb-11e1-8e72-a8904824019b", "ReplyTo": "", "MailboxHash": "",
        "Date": "Fri, 1 Aug 2014 16:45:32 -04:00", "TextBody": "Hello.", "HtmlBody": "", "StrippedTextReply": "", "Tag": "",
        "Headers": [
            { "Name": "X-Spam-Checker-Version", "Value": "SpamAssassin 3.4.0" },
            { "Name": "Received-SPF", "Value": "Pass (sender SPF authorized) identity=mailfrom; client-ip=209.85.160.180; helo=mail.lake.example; envelope-from=bounce+1@lake.example; receiver=451d@in.example" },
        ],
        "Attachments": [{ "Name": "a.txt", "Content": "aGk=", "ContentType": "text/plain", "ContentLength": 2 }],
        "RawEmail": MAIL,
    })
}

#[test]
fn postmarks_raw_email_and_envelope_are_read() {
    let bytes = postmark_json().to_string().into_bytes();
    let delivery = postmark::read(&bytes).unwrap();
    assert_eq!(delivery.id, "73e6d360-66eb-11e1-8e72-a8904824019b");
    assert_eq!(delivery.reverse_path, "bounce+1@lake.example");
    assert_eq!(delivery.forward_paths, ["451d9b70cf9364d23ff6f9d51d870251569e@in.example"]);
    assert_eq!(delivery.message, MAIL.as_bytes());
}

#[test]
fn postmarks_reverse_path_is_the_return_path_or_the_authors_address() {
    let reverse_path = |headers: Value| {
        let mut body = postmark_json();
        body["Headers"] = headers;
        postmark::read(body.to_string().as_bytes()).unwrap().reverse_path
    };
    assert_eq!(reverse_path(json!([{ "Name": "Return-Path", "Value": "<>" }])), "");
    assert_eq!(reverse_path(json!([{ "Name": "return-path", "Value": "<b@lake.example>" }])), "b@lake.example");
    assert_eq!(reverse_path(json!([])), "ann@lake.example");
}

#[test]
fn postmark_without_raw_email_says_what_to_switch_on() {
    let mut body = postmark_json();
    for none in [Value::Null, json!("")] {
        body["RawEmail"] = none;
        let error = postmark::read(body.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::NotRaw(_)) && error.to_string().contains("Include raw email"), "{error}");
    }
    body["RawEmail"] = json!(MAIL);
    for (field, value) in [("OriginalRecipient", json!("")), ("MessageID", json!("")), ("Headers", json!(7))] {
        let mut body = body.clone();
        body[field] = value;
        assert!(matches!(postmark::read(body.to_string().as_bytes()), Err(ReadError::Malformed(_))), "{field}");
    }
}

/// A form as a program would write it.
fn multipart(fields: &[(&str, &[u8])], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

fn urlencoded(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let encoded = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&").into_bytes()
}

const MULTIPART: &str = "multipart/form-data; boundary=xYzZY";
const URLENCODED: &str = "application/x-www-form-urlencoded";

/// The signature is of the key `key-0123456789abcdef`, made with another program.
const SIGNED: [(&str, &[u8]); 6] = [
    ("recipient", b"deals@in.example, <team@in.example>,deals@in.example"),
    ("sender", b"bounce+1@lake.example"),
    ("timestamp", b"1795564800"),
    ("token", b"c3a0d5dd4d6b4d56a2e98b1b2b0a5c1de0e3a4b7f8c9d0e1f2"),
    ("signature", b"e6f3ac0c5e085bdf46869806e98e367e6db077b2881e50a8af088852e80424ae"),
    ("body-mime", MAIL.as_bytes()),
];
const KEY: &str = "key-0123456789abcdef";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_795_564_800 + seconds) * 1_000_000)
}

#[test]
fn mailguns_fields_are_read_from_either_form() {
    for (kind, body) in [(MULTIPART, multipart(&SIGNED, "xYzZY")), (URLENCODED, urlencoded(&SIGNED))] {
        let mut fields = Fields::read(kind, &body).unwrap();
        assert_eq!(mailgun::check(&fields, ["another key", KEY], at(0)), Ok(()), "{kind}");
        let delivery = mailgun::read(&mut fields).unwrap();
        assert_eq!(delivery.id, "c3a0d5dd4d6b4d56a2e98b1b2b0a5c1de0e3a4b7f8c9d0e1f2");
        assert_eq!(delivery.reverse_path, "bounce+1@lake.example");
        assert_eq!(delivery.forward_paths, ["deals@in.example", "team@in.example"]);
        assert_eq!(delivery.message, MAIL.as_bytes());
    }
    let parsed = multipart(&[("recipient", b"a@in.example"), ("body-plain", b"Hello.")], "xYzZY");
    let error = mailgun::read(&mut Fields::read(MULTIPART, &parsed).unwrap()).unwrap_err();
    assert!(matches!(error, ReadError::NotRaw(_)) && error.to_string().contains("/mime"), "{error}");
}

#[test]
fn mailguns_signature_is_believed_for_its_own_time_and_token_alone() {
    let check = |change: &dyn Fn(&str) -> Option<&'static [u8]>, keys: &[&'static str], now: Timestamp| {
        let fields: Vec<_> = SIGNED.iter().map(|(name, value)| (*name, change(name).unwrap_or(value))).collect();
        let body = multipart(&fields, "xYzZY");
        mailgun::check(&Fields::read(MULTIPART, &body).unwrap(), keys.iter().copied(), now)
    };
    let same = |_: &str| None;
    assert_eq!(check(&same, &[KEY], at(8 * 3_600)), Ok(()), "the last attempt");
    assert_eq!(check(&same, &[KEY], at(12 * 3_600 + 1)), Err(SignatureError::Stale));
    assert_eq!(check(&same, &[KEY], at(-16 * 60)), Err(SignatureError::Stale));
    assert_eq!(check(&same, &["key-of-another-account"], at(0)), Err(SignatureError::Unknown));
    assert_eq!(check(&same, &[], at(0)), Err(SignatureError::Unknown));
    let changes: [(&str, &'static [u8]); 4] =
        [("timestamp", b"1795564801"), ("token", b"c3a0"), ("signature", b""), ("signature", &[b'0'; 64])];
    for (field, value) in changes {
        let change = move |name: &str| (name == field).then_some(value);
        assert_eq!(check(&change, &[KEY], at(0)), Err(SignatureError::Unknown), "{field}");
    }
}

const SENDGRID: [(&str, &[u8]); 3] = [
    ("SPF", b"pass"),
    ("email", MAIL.as_bytes()),
    ("envelope", b"{\"to\":[\"deals@in.example\",\"team@in.example\"],\"from\":\"bounce+1@lake.example\"}"),
];

#[test]
fn sendgrids_raw_message_and_envelope_are_read_and_name_the_delivery() {
    let read = |fields: &[(&str, &[u8])]| {
        let body = multipart(fields, "xYzZY");
        let delivery = sendgrid::read(&mut Fields::read(MULTIPART, &body).unwrap())?;
        Ok::<_, ReadError>(Delivery { message: delivery.message.into_owned().into(), ..delivery })
    };
    let delivery = read(&SENDGRID).unwrap();
    assert_eq!(delivery.reverse_path, "bounce+1@lake.example");
    assert_eq!(delivery.forward_paths, ["deals@in.example", "team@in.example"]);
    assert_eq!(delivery.message, MAIL.as_bytes());
    assert_eq!(read(&SENDGRID).unwrap().id, delivery.id);
    let mut other = SENDGRID;
    other[1].1 = b"another message";
    assert_ne!(read(&other).unwrap().id, delivery.id);
    let error = read(&SENDGRID[2..]).unwrap_err();
    assert!(matches!(error, ReadError::NotRaw(_)) && error.to_string().contains("POST the raw"), "{error}");
    other[2].1 = b"{\"to\":[],\"from\":\"x\"}";
    assert!(matches!(read(&other), Err(ReadError::Malformed(_))));
}

const TOPIC: &str = "arn:aws:sns:us-east-1:012345678912:example-topic";

fn notification(content: &str, encoding: Option<&str>) -> String {
    let mut message = json!({
        "notificationType": "Received",
        "receipt": {
            "timestamp": "2015-09-11T20:32:33.936Z", "processingTimeMillis": 222, "recipients": ["deals@in.example"],
            "spamVerdict": { "status": "PASS" }, "action": { "type": "SNS", "topicArn": TOPIC },
        },
        "mail": { "timestamp": "2015-09-11T20:32:33.936Z", "source": "bounce+1@lake.example",
            "messageId": "d6iitobk75ur44p8kdnnp7g2n800", "destination": ["deals@in.example"], "headersTruncated": false },
        "content": content,
    });
    if let Some(encoding) = encoding {
        message["receipt"]["action"]["encoding"] = json!(encoding);
    }
    sns("Notification", &message.to_string())
}

fn sns(kind: &str, message: &str) -> String {
    json!({
        "Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Receipt Notification", "Message": message, "Timestamp": "2012-05-02T00:54:06.655Z",
        "SignatureVersion": "1", "Signature": "EXAMPLEw6JRN", "SigningCertURL": "https://sns.us-west-2.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    })
    .to_string()
}

#[test]
fn the_content_of_an_ses_notification_is_read_in_either_encoding() {
    use base64::Engine as _;
    let coded = base64::engine::general_purpose::STANDARD.encode(MAIL);
    let wrapped = coded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
    for (content, encoding) in
        [(MAIL, None), (MAIL, Some("UTF-8")), (&coded, Some("BASE64")), (&wrapped.join("\r\n"), Some("Base64"))]
    {
        let notice = ses::read(notification(content, encoding).as_bytes()).unwrap();
        assert_eq!(notice.topic, TOPIC);
        let ses::Content::Message(Ok(delivery)) = notice.content else { panic!("{notice:?}") };
        assert_eq!(delivery.id, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324");
        assert_eq!(delivery.reverse_path, "bounce+1@lake.example");
        assert_eq!(delivery.forward_paths, ["deals@in.example"]);
        assert_eq!(delivery.message, MAIL.as_bytes(), "{encoding:?}");
    }
    let refused = |content: &str, encoding| match ses::read(notification(content, encoding).as_bytes()).unwrap().content
    {
        ses::Content::Message(delivery) => delivery.unwrap_err(),
        other => panic!("{other:?}"),
    };
    let error = refused("", None);
    assert!(matches!(error, ReadError::NotRaw(_)) && error.to_string().contains("SNS action"), "{error}");
    assert!(matches!(refused("?", Some("BASE64")), ReadError::Malformed(_)));
    assert!(matches!(ses::read(MAIL.as_bytes()), Err(ReadError::NotRaw(_))), "raw message delivery");
}

#[test]
fn only_an_address_of_sns_in_the_topics_region_is_told_for_a_confirmation() {
    let told = |url: &str| {
        let mut body: Value = serde_json::from_str(&sns("SubscriptionConfirmation", "You have chosen")).unwrap();
        body["SubscribeURL"] = json!(url);
        let ses::Content::Confirmation(url) = ses::read(body.to_string().as_bytes()).unwrap().content else { panic!() };
        url
    };
    let right = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=2336412f37";
    assert_eq!(told(right).as_deref(), Some(right));
    for wrong in [
        "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com.evil.example/",
        "https://user@sns.us-east-1.amazonaws.com/",
        "https://sns.us-east-1.amazonaws.com:8443/",
        "https://evil.example/sns.us-east-1.amazonaws.com",
        "no address",
    ] {
        assert_eq!(told(wrong), None, "{wrong}");
    }
    assert_eq!(ses::read(sns("UnsubscribeConfirmation", "x").as_bytes()).unwrap().content, ses::Content::Unsubscribed);
    assert!(ses::read(sns("Something", "x").as_bytes()).is_err());
}

#[test]
fn a_form_is_read_whatever_its_writer_made_of_the_syntax() {
    let body = b"preamble\r\n--b 1 \t\r\nContent-Type: text/plain\r\ncontent-disposition: FORM-DATA; filename=\"a;name=\\\"x\"; name=one\r\n\r\n--b\r\n--b 1\r\n\r\nno name\r\n--b 1\r\nContent-Disposition: form-data; name=\"two\"\r\n\r\n\r\n--b 1--\r\nepilogue";
    let fields = Fields::read("Multipart/Form-Data; charset=utf-8; Boundary=\"b 1\"", body).unwrap();
    assert_eq!((fields.len(), fields.text("one"), fields.text("two")), (2, Some("--b"), Some("")));
    for (kind, body) in [
        ("multipart/form-data", &b"--b--"[..]),
        ("multipart/form-data; boundary=", b"----"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\ncut of"),
        ("multipart/form-data; boundary=b", b"--b\r\nno header\r\n--b--"),
        ("text/plain", b""),
    ] {
        assert!(matches!(Fields::read(kind, body), Err(ReadError::Malformed(_))), "{kind}");
    }
    let fields = Fields::read(URLENCODED, b"a=1+2%20%zz%4&b&=c&%C3%BC=%ff").unwrap();
    assert_eq!((fields.text("a"), fields.text("b"), fields.text("")), (Some("1 2 %zz%4"), Some(""), Some("c")));
    assert_eq!(fields.bytes("\u{fc}"), Some(&b"\xff"[..]));
    let many = "a=1&".repeat(1_001);
    assert!(Fields::read(URLENCODED, many.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn what_a_form_holds_comes_out_to_the_byte(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..6),
    ) {
        let names: Vec<String> = (0..values.len()).map(|number| format!("field-{number}")).collect();
        let given: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(values.iter().map(Vec::as_slice)).collect();
        // A writer chooses a boundary that is not in what it writes.
        prop_assume!(values.iter().all(|value| memchr::memmem::find(value, b"--xYzZY").is_none()));
        for (kind, body) in [(MULTIPART, multipart(&given, "xYzZY")), (URLENCODED, urlencoded(&given))] {
            let fields = Fields::read(kind, &body).unwrap();
            prop_assert_eq!(fields.len(), given.len());
            for (name, value) in &given {
                prop_assert_eq!(fields.bytes(name), Some(*value));
            }
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused_and_no_message_is_longer_than_its_body(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            (any::<proptest::sample::Index>(), any::<u8>(), 0..5_usize).prop_map(|(at, byte, which)| {
                let mut body = match which {
                    0 => postmark_json().to_string().into_bytes(),
                    1 => multipart(&SIGNED, "xYzZY"),
                    2 => urlencoded(&SIGNED),
                    3 => multipart(&SENDGRID, "xYzZY"),
                    _ => notification("SGkK", Some("BASE64")).into_bytes(),
                };
                let at = at.index(body.len());
                body[at] = byte;
                body
            }),
        ],
    ) {
        let lengths = |delivery: Result<Delivery<'_>, ReadError>| delivery.map_or(0, |delivery| delivery.message.len());
        prop_assert!(lengths(postmark::read(&body)) <= body.len());
        if let Ok(ses::Notice { content: ses::Content::Message(Ok(delivery)), .. }) = ses::read(&body) {
            prop_assert!(delivery.message.len() <= body.len());
        }
        for kind in [MULTIPART, URLENCODED] {
            if let Ok(mut fields) = Fields::read(kind, &body) {
                let _ = mailgun::check(&fields, [KEY], at(0));
                prop_assert!(lengths(mailgun::read(&mut fields)) <= body.len());
                prop_assert!(lengths(sendgrid::read(&mut fields)) <= body.len());
            }
        }
    }
}
