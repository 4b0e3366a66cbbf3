//! Mail by the API: calls that are made again, and what providers are answered.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ids::MailboxId;
use crate::intake::{Acceptor, Bytes, Judge, RecipientAnswer};
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Manifest, Recipient};
use crate::mail::message;
use crate::pipeline::ingest::{Ingest, IngestSettings};
use crate::seal::InstanceKey;
use crate::seal::body::BodyKeys;
use crate::service::intake::deliveries::DeliverySettings;
use crate::spool::log::{Files, Log, Reserve, SpoolOptions};
use crate::spool::rows::Rows;
use crate::spool::{Spool, SpoolError};
use crate::store::directory::NewMailbox;
use crate::store::tests::engine::on_both_engines;

on_both_engines! {
    a_call_under_a_key_stores_one_message_and_repeats_its_answer,
    a_call_that_was_cut_off_goes_on_under_its_id_and_makes_no_second_message,
    what_fails_after_its_bytes_are_durable_is_one_message_when_it_is_called_again,
    a_message_that_its_mailbox_refuses_is_answered_422_and_leaves_its_key_free,
    a_delivery_that_is_tried_again_is_answered_and_not_stored_again,
}

const RAW: &str = "/api/v1/intake/raw";
const DEALS: &str = "deals@in.example";

/// A judge that does as it is told.
#[derive(Debug, Default)]
struct Told(AtomicU8);

const PASS: u8 = 0;
const REFUSE: u8 = 1;
const FAIL: u8 = 2;

impl Judge for Told {
    fn is_asked(&self, envelope: &Envelope) -> bool {
        envelope.forward_paths.iter().all(|path| !path.recipient.is_copy())
    }

    fn refuses<'a>(&'a self, _: &'a Manifest, _: u64, _: Bytes<'a>) -> BoxFuture<'a, Result<bool, SpoolError>> {
        let verdict = match self.0.load(Ordering::Relaxed) {
            PASS => Ok(false),
            REFUSE => Ok(true),
            _ => Err(SpoolError::Stalled),
        };
        std::future::ready(verdict).boxed()
    }
}

struct Scene {
    gateway: Gateway,
    judge: Arc<Told>,
    spool: Spool,
    key: String,
    _folder: tempfile::TempDir,
}

async fn scene(engine: Engine) -> Scene {
    Box::pin(scene_with(engine, DeliverySettings::new(1 << 20, Vec::new(), vec![TOPIC.to_owned()]))).await
}

async fn scene_with(engine: Engine, deliveries: DeliverySettings) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(engine).await;
    let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap());
    let store = place.open(clock.clone()).await;
    let tenant = store.add_tenant("acme").await.unwrap();
    let mailbox = NewMailbox {
        address: Mailbox::parse(DEALS).unwrap(),
        app: None,
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    let mailbox = store.for_tenant(tenant).add_mailbox(mailbox).await.unwrap();
    let spool = match engine {
        Engine::Postgres => {
            Spool::Rows(Rows::open(store.clone(), folder.path().to_owned(), Arc::new(BodyKeys::new(&[], &[7; 32]))))
        }
        Engine::Sqlite => {
            let dir = folder.path().join("spool");
            let reserve = Reserve { bytes: 0, percent: 0 };
            let options = SpoolOptions { dir, segment_bytes: 1 << 20, reserve, ..SpoolOptions::default() };
            Spool::Log(
                Log::open(options, Files::Real, Arc::new(BodyKeys::new(&[], &[7; 32])), clock.clone()).unwrap().0,
            )
        }
    };
    let judge = Arc::new(Told::default());
    let acceptor = Acceptor::new(spool.clone(), clock).judged_by(Arc::clone(&judge) as Arc<dyn Judge>);
    let known = move |address: &str| match address {
        DEALS => RecipientAnswer::known(Recipient::Mailbox { tenant, mailbox }),
        "route@in.example" => RecipientAnswer::known(Recipient::Route {
            tenant,
            route: crate::ids::RouteId::from_bits(7),
            reader: crate::mail::reading::Reader::Bcc,
            peer_authorised: true,
            shared_range: false,
        }),
        "theirs@in.example" => RecipientAnswer::known(Recipient::Mailbox {
            tenant: TenantId::from_bits(9),
            mailbox: MailboxId::from_bits(9),
        }),
        "paused@in.example" => RecipientAnswer::Paused,
        _ => RecipientAnswer::Unknown,
    };
    let door = MailDoor {
        acceptor,
        recipient: Arc::new(move |address, _, _| std::future::ready(known(&address.to_string())).boxed()),
        message_size: 10_000,
        deliveries,
    };
    let gateway = Gateway::taking(Some(door), place, store, tenant, |_| {});
    let key = gateway.key().await;
    Scene { gateway, judge, spool, key, _folder: folder }
}

impl Scene {
    async fn raw(&self, key: Option<&str>, to: &str, bytes: &[u8]) -> Reply {
        let request = Request::post(RAW)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "message/rfc822")
            .header("x-connex-mail-from", "ann@lake.example")
            .header("x-connex-rcpt-to", to);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        Box::pin(self.gateway.send(request.body(Body::from(bytes.to_vec())).unwrap())).await
    }

    async fn deliver(&self, provider: &str, kind: &str, body: impl Into<Vec<u8>>) -> Reply {
        let credentials = STANDARD.encode(format!("connex:{}", self.key));
        let request = Request::post(format!("/api/v1/intake/{provider}"))
            .header("authorization", format!("Basic {credentials}"))
            .header("content-type", kind);
        Box::pin(self.gateway.send(request.body(Body::from(body.into())).unwrap())).await
    }

    /// Ids of the messages that were read, once all that was stored until now has been.
    async fn read(&self) -> Vec<String> {
        let settings = IngestSettings {
            batch: 64,
            poll: Duration::from_millis(10),
            lease: Duration::from_secs(30),
            limits: message::Limits::default(),
            hostname: "mx.in.example".into(),
            own_hosts: Vec::new(),
            public_url: HOST.into(),
        };
        // The judge is not asked for copies.
        let last = Box::pin(self.raw(None, "route@in.example", &mail("the last"))).await.json()["messageId"].clone();
        let store = &self.gateway.store;
        let ingest = Ingest::new(store.clone(), &self.spool, rules(), Arc::new(InstanceKey::new(&[7; 32])), settings);
        let stop = CancellationToken::new();
        let found = async {
            loop {
                let rows = store.for_tenant(self.gateway.tenant).messages_after("", 100).await.unwrap();
                let mut ids: Vec<String> = rows.into_iter().map(|row| row.id.to_string()).collect();
                if let Some(at) = ids.iter().position(|id| last == *id) {
                    ids.remove(at);
                    stop.cancel();
                    return ids;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let both = async { tokio::join!(found, Box::pin(ingest.run(stop.clone()))).0 };
        tokio::time::timeout(Duration::from_secs(30), Box::pin(both)).await.expect("all is read")
    }
}

fn mail(words: &str) -> Vec<u8> {
    let id: String = words.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    format!("From: Ann <ann@lake.example>\r\nTo: {DEALS}\r\nMessage-ID: <{id}@lake.example>\r\nSubject: Hi\r\n\r\n{words}\r\n")
        .into_bytes()
}

async fn a_call_under_a_key_stores_one_message_and_repeats_its_answer(engine: Engine) {
    let scene = scene(engine).await;
    let first = scene.raw(Some("\"a 1\""), DEALS, &mail("one")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = scene.raw(Some("a 1"), DEALS, &mail("one")).await;
    assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", first.json()));
    scene.raw(Some("a 1"), DEALS, &mail("two")).await.problem(422, "idempotency_conflict");
    let copied = format!("{DEALS}, {DEALS}");
    scene.raw(Some("a 1"), &copied, &mail("one")).await.problem(422, "idempotency_conflict");
    scene.raw(Some(""), DEALS, &mail("one")).await.problem(400, "invalid_parameter");
    let other = scene.raw(Some("b"), DEALS, &mail("one")).await;
    assert_ne!(other.json()["messageId"], first.json()["messageId"], "another key is another call");
    assert_eq!(scene.read().await.len(), 2);
    scene.gateway.clock.advance(Duration::from_secs(86_401));
    let late = scene.raw(Some("a 1"), DEALS, &mail("two")).await;
    assert_eq!(late.status, StatusCode::OK, "kept for a day: {}", late.text());
}

async fn a_call_that_was_cut_off_goes_on_under_its_id_and_makes_no_second_message(engine: Engine) {
    let scene = scene(engine).await;
    let call = || scene.raw(Some("a"), DEALS, b"From: ann@lake.example\r\nSubject: Hi\r\n\r\nHello.\r\n");
    let first = call().await.json();
    // As if the process had ended between the message and the mark of its call; the second time it has been read by then.
    for is_read in [false, true] {
        if is_read {
            assert_eq!(scene.read().await, [first["messageId"].as_str().unwrap()]);
        }
        scene.gateway.place.run("UPDATE idempotency_keys SET status = NULL").await;
        let early = call().await;
        early.problem(409, "idempotency_conflict");
        assert_eq!(early.header("retry-after"), "1");
        scene.gateway.clock.advance(Duration::from_secs(31));
        let again = call().await;
        assert_eq!((again.status, again.json()), (StatusCode::OK, first.clone()), "{}", again.text());
        assert_eq!(call().await.header("idempotency-replayed"), "true");
    }
    assert_eq!(scene.read().await.len(), 2, "the one message, and what told that all was read");
    assert!(scene.read().await.contains(&first["messageId"].as_str().unwrap().to_owned()));
}

async fn what_fails_after_its_bytes_are_durable_is_one_message_when_it_is_called_again(engine: Engine) {
    let scene = scene(engine).await;
    for size in [10, 9_000] {
        let bytes = mail(&format!("{size} {}", "x".repeat(size)));
        scene.judge.0.store(FAIL, Ordering::Relaxed);
        scene.raw(Some(&size.to_string()), DEALS, &bytes).await.problem(503, "temporarily_unavailable");
        scene.judge.0.store(PASS, Ordering::Relaxed);
        let again = scene.raw(Some(&size.to_string()), DEALS, &bytes).await;
        assert_eq!(again.status, StatusCode::OK, "at once: {}", again.text());
        assert!(!again.headers.contains_key("idempotency-replayed"));
    }
    assert_eq!(scene.read().await.len(), 2);
}

async fn a_message_that_its_mailbox_refuses_is_answered_422_and_leaves_its_key_free(engine: Engine) {
    let scene = scene(engine).await;
    scene.judge.0.store(REFUSE, Ordering::Relaxed);
    for key in [None, Some("a")] {
        let problem = scene.raw(key, DEALS, &mail("one")).await.problem(422, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains("DMARC"), "{problem}");
    }
    let refused = scene.deliver("postmark", JSON, postmark("1", DEALS)).await;
    assert!(refused.problem(403, "invalid_request")["errors"][0]["message"].to_string().contains("DMARC"));
    assert_eq!(scene.read().await, Vec::<String>::new());
    scene.judge.0.store(PASS, Ordering::Relaxed);
    let other = scene.raw(Some("a"), DEALS, &mail("two")).await;
    assert_eq!(other.status, StatusCode::OK, "the key is free, also for another message: {}", other.text());
    assert_eq!(scene.read().await.len(), 2);
}

async fn a_delivery_that_is_tried_again_is_answered_and_not_stored_again(engine: Engine) {
    let scene = scene(engine).await;
    let to = ["route@in.example", DEALS, "nobody@in.example", "theirs@in.example"];
    let calls = [
        ("postmark", JSON, postmark("1", DEALS)),
        ("mailgun/mime", FORM, mailgun("1", DEALS)),
        ("sendgrid", FORM, sendgrid(&to)),
        ("ses", "text/plain; charset=UTF-8", ses("1", TOPIC, &to)),
    ];
    for (provider, kind, body) in &calls {
        let first = scene.deliver(provider, kind, body.as_str()).await;
        assert_eq!(first.status, StatusCode::OK, "{provider} {}", first.text());
        assert!(!first.headers.contains_key("idempotency-replayed"));
        let again = scene.deliver(provider, kind, body.as_str()).await;
        assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", first.json()), "{provider}");
        if ["sendgrid", "ses"].contains(provider) {
            assert_eq!(first.json()["messages"].as_array().unwrap().len(), 2, "mailbox and route: {}", first.text());
            let refused = json!([
                { "pointer": "nobody@in.example", "message": "is nobody here" },
                { "pointer": "theirs@in.example", "message": "is nobody here" },
            ]);
            assert_eq!(first.json()["refused"], refused);
        }
    }
    assert_eq!(scene.read().await.len(), 6);
    // The id of a delivery stands for its message: what else comes under it is none.
    for (provider, kind, body, status) in [
        ("postmark", JSON, postmark("1", DEALS).replace("Hello", "Other"), 403),
        ("mailgun", FORM, mailgun("1", DEALS).replace("Hello", "Other"), 406),
        ("ses", JSON, ses("1", TOPIC, &to).replace("Hello", "Other"), 422),
    ] {
        scene.deliver(provider, kind, body).await.problem(status, "idempotency_conflict");
    }
}

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mail";
const MAIL: &str = "From: ann@lake.example\r\nSubject: Hi\r\n\r\nHello.\r\n";

fn postmark(id: &str, to: &str) -> String {
    json!({ "MessageID": id, "OriginalRecipient": to, "FromFull": { "Email": "ann@lake.example" }, "RawEmail": MAIL })
        .to_string()
}

fn form(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--b--\r\n"
}

fn mailgun(token: &str, to: &str) -> String {
    form(&[("recipient", to), ("sender", "ann@lake.example"), ("token", token), ("body-mime", MAIL)])
}

fn sendgrid(to: &[&str]) -> String {
    let envelope = json!({ "to": to, "from": "ann@lake.example" }).to_string();
    form(&[("email", MAIL), ("envelope", &envelope)])
}

fn ses(id: &str, topic: &str, to: &[&str]) -> String {
    let message = json!({ "receipt": { "recipients": to }, "mail": { "source": "ann@lake.example" }, "content": MAIL })
        .to_string();
    json!({ "Type": "Notification", "MessageId": id, "TopicArn": topic, "Message": message }).to_string()
}

#[tokio::test]
async fn a_provider_gives_up_what_can_never_be_taken_and_keeps_all_else() {
    let scene = scene(Engine::Sqlite).await;
    let of = |to: &str| {
        [
            ("postmark", JSON, postmark("2", to), 403),
            ("mailgun", FORM, mailgun("2", to), 406),
            ("sendgrid", FORM, sendgrid(&[to]), 422),
            ("ses", JSON, ses("2", TOPIC, &[to]), 422),
        ]
    };
    for to in ["nobody@in.example", "theirs@in.example", "no address"] {
        for (provider, kind, body, never) in of(to) {
            let problem = scene.deliver(provider, kind, body).await.problem(never, "invalid_request");
            assert_eq!(problem["errors"][0]["pointer"], to, "{provider}");
        }
    }
    for (provider, kind, body, never) in of(DEALS) {
        let large = body.replace("Hello", &"x".repeat(10_000));
        scene.deliver(provider, kind, large).await.problem(never, "payload_too_large");
        scene.deliver(provider, kind, vec![b' '; 600_000]).await.problem(never, "payload_too_large");
    }
    for (provider, kind, body, _) in of("paused@in.example") {
        let reply = scene.deliver(provider, kind, body).await;
        reply.problem(503, "temporarily_unavailable");
        assert!(!reply.header("retry-after").is_empty(), "{provider}");
    }
    // The operator can mend these, here or at the provider.
    for (provider, kind, body) in [
        ("postmark", JSON, postmark("3", DEALS).replace("RawEmail", "Raw")),
        ("mailgun", FORM, mailgun("3", DEALS).replace("body-mime", "body-plain")),
        ("sendgrid", FORM, sendgrid(&[DEALS]).replace("\"email\"", "\"text\"")),
        ("ses", JSON, ses("3", "arn:aws:sns:eu-west-1:123456789012:other", &[DEALS])),
        ("ses", JSON, ses("4", TOPIC, &[DEALS]).replace("content", "else")),
    ] {
        let reply = scene.deliver(provider, kind, body).await;
        reply.problem(503, "invalid_request");
        assert_eq!(reply.header("retry-after"), "60", "{provider}");
    }
    for (provider, kind, never) in [("postmark", JSON, 403), ("mailgun", JSON, 406), ("sendgrid", FORM, 422)] {
        scene.deliver(provider, kind, "{").await.problem(never, "invalid_request");
    }
    assert_eq!(scene.read().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_is_taken_as_a_password_by_providers_doors_alone_and_never_from_a_browser() {
    let scene = scene(Engine::Sqlite).await;
    let send = async |path: &str, authorization: String, origin: bool| {
        let mut request = Request::post(path).header("authorization", authorization).header("content-type", JSON);
        if origin {
            request = request.header("origin", "https://app.example");
        }
        scene.gateway.send(request.body(Body::from(postmark("1", DEALS))).unwrap()).await
    };
    let door = "/api/v1/intake/postmark";
    let basic = |credentials: &str| format!("basic {}", STANDARD.encode(credentials));
    let key = &scene.key;
    for right in [basic(&format!("connex:{key}")), basic(&format!(":{key}")), format!("Bearer {key}")] {
        assert_eq!(send(door, right, false).await.status, StatusCode::OK);
    }
    let mistyped = format!("{}x", &key[..key.len() - 1]);
    for wrong in [basic(&mistyped), basic(key), "Basic %".to_owned(), "Basic".to_owned(), "Digest x".to_owned()] {
        let reply = send(door, wrong, false).await;
        reply.problem(401, "invalid_key");
        assert!(reply.header("www-authenticate").starts_with("Basic realm=\"connex\""), "SNS asks for a realm");
    }
    send(door, basic(&format!(":{key}")), true).await.problem(400, "key_exposed");
    let raw = send(RAW, basic(&format!(":{key}")), false).await;
    raw.problem(401, "invalid_key");
    assert!(raw.header("www-authenticate").starts_with("Bearer"));
    let bound = scene.gateway.key_with(|new| new.bindings.mailboxes = vec!["other@in.example".into()]).await;
    send(door, basic(&format!(":{bound}")), false).await.problem(503, "forbidden_mailbox");
}

#[tokio::test]
async fn a_signature_of_mailgun_is_asked_for_where_keys_are_set() {
    let keys = vec!["key-of-today-00001".to_owned(), "key-of-before-0001".to_owned()];
    let scene = scene_with(Engine::Sqlite, DeliverySettings::new(1 << 20, keys, Vec::new())).await;
    let now = scene.gateway.clock.now().as_micros() / 1_000_000;
    let signed = |key: &str, time: i64, token: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
        let tag = ring::hmac::sign(&key, format!("{time}{token}").as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = [("timestamp", time.to_string()), ("signature", tag)];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        mailgun(token, DEALS).replace("--b--\r\n", "") + &form(&fields)
    };
    for key in ["key-of-today-00001", "key-of-before-0001"] {
        assert_eq!(scene.deliver("mailgun", FORM, signed(key, now, key)).await.status, StatusCode::OK, "{key}");
    }
    scene.deliver("mailgun", FORM, signed("key-of-somebody-else", now, "3")).await.problem(503, "invalid_request");
    scene.deliver("mailgun", FORM, mailgun("4", DEALS)).await.problem(503, "invalid_request");
    let old = signed("key-of-today-00001", now - 13 * 3_600, "5");
    scene.deliver("mailgun", FORM, old).await.problem(406, "invalid_request");
}

#[tokio::test]
async fn bodies_of_providers_share_the_memory_and_give_it_back() {
    let scene = scene_with(Engine::Sqlite, DeliverySettings::new(1 << 20, Vec::new(), Vec::new())).await;
    let begin = || scene.gateway.api.service.begin_delivery(crate::mail::envelope::Provider::Postmark).unwrap();
    let (mut one, mut other) = (begin(), begin());
    one.push(vec![0; 300_000].into()).unwrap();
    assert!(matches!(
        other.push(vec![0; 300_000].into()),
        Err(crate::service::intake::deliveries::DeliveryError::Service(crate::service::ServiceError::Unavailable(_)))
    ));
    drop(one);
    other.push(vec![0; 300_000].into()).unwrap();
}
