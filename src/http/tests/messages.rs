//! What keys read of stored messages: renditions, texts, attachments, links to them, and who may see what.

use super::*;
use crate::event::privacy::Visibility;
use crate::ids::{MessageId, RouteId};
use crate::keys::Scope;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin, Recipient};
use crate::mail::journal::ReportFormat;
use crate::mail::message;
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};
use crate::store::routes::NewRoute;

const TOKEN: &str = "bcc-abcdefghijklmnopqrstuvwx23";

/// A manifest as JSON, of mail to a mailbox or to a route.
pub(super) fn manifest(gateway: &Gateway, id: MessageId, route: Option<(RouteId, Reader)>) -> String {
    let tenant = gateway.tenant;
    let (address, recipient) = match route {
        None => ("deals@gate.example".to_owned(), Recipient::Mailbox { tenant, mailbox: gateway.clock.mint() }),
        Some((route, reader)) => {
            let recipient = Recipient::Route { tenant, route, reader, peer_authorised: true, shared_range: false };
            (format!("{TOKEN}@gate.example"), recipient)
        }
    };
    let manifest = Manifest {
        id,
        received_at: gateway.clock.now(),
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            forward_paths: vec![ForwardPath::new(Mailbox::parse(&address).unwrap(), recipient)],
            body: BodyKind::SevenBit,
            smtputf8: false,
            envelope_id: None,
            returned: None,
        },
        origin: Origin {
            door: Door::Smtp,
            session: gateway.clock.mint(),
            peer: None,
            proxy: None,
            helo: "client.example".to_owned(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
        defects: Vec::new(),
        milter: None,
        quiet: false,
        verdict: crate::mail::envelope::Verdict::NotAsked,
    };
    serde_json::to_string(&manifest).unwrap()
}

impl Gateway {
    async fn route(&self, reader: Reader) -> RouteId {
        let id: RouteId = self.clock.mint();
        let mut token_hash = [0; 32];
        token_hash[..26].copy_from_slice(&id.to_string().as_bytes()[4..30]);
        let route = NewRoute {
            reader,
            token_hash,
            address_sealed: String::new(),
            app: None,
            peers: Vec::new(),
            size_cap: None,
            observe_until: None,
        };
        self.store.for_tenant(self.tenant).add_route(id, route).await.unwrap();
        id
    }

    /// A stored message without an event.
    async fn store_mail(&self, mail: &str, route: Option<(RouteId, Reader)>, keep: Keep) -> MessageId {
        let id: MessageId = self.clock.mint();
        let copy = |(route, _)| NewCopy { route, marks: None, keep, alarm: None, tests_connector: false, held: None };
        let message = NewMessage {
            tenant: self.tenant,
            id,
            received_at: self.clock.now(),
            size: mail.len() as u64,
            manifest: manifest(self, id, route),
            body: json!({ "text": mail }).to_string(),
            trace: Some(
                json!({ "authenticationResults": "mx; spf=pass", "authentication": { "checked": true } }).to_string(),
            ),
            kept: Some(Kept::Excluded("excluded")),
            views: Vec::new(),
            copies: route.map(copy).into_iter().collect(),
        };
        let progress = Progress::Log { log: "n".into(), cursor: SpoolCursor { segment: 1, position: 1 } };
        self.store.record_mail(vec![message], progress).await.unwrap();
        id
    }

    /// The event of a stored message, of the app `crm`; its content says what reading the mail says.
    async fn tell(&self, key: &str, id: MessageId, mail: &str, route: RouteId) -> String {
        let answer = self.post(EVENT, Some(key), &event(&id.to_string())).await.json();
        let event = answer["eventId"].as_str().unwrap().to_owned();
        let read = message::read(mail.as_bytes(), &Limits::default());
        let people = |list: &[message::HeaderAddress], kind: &str| -> Vec<Value> {
            list.iter().map(|one| json!({ "address": one.address, "type": kind })).collect()
        };
        let content = json!({
            "subject": read.subject, "text": "as the event has it", "visibleText": "as the event", "textSource": "plain",
            "attachments": read.attachments, "recipients": people(&read.to, "to"), "rfcMessageId": read.message_id,
            "author": read.author.map(|author| json!({ "address": author.address })),
        });
        let content = content.to_string().replace('\'', "''");
        self.place
            .run(&format!(
                "UPDATE events SET message_id = '{id}', scope = '{route}', source_kind = 'bcc', kind = 'journal_copy', content = '{content}' WHERE event_id = '{event}'"
            ))
            .await;
        event
    }
}

/// Mail from ann to sam with two attachments, as it reached a route.
fn mail() -> String {
    format!(
        "Received: by mx for <{TOKEN}@gate.example>; Tue\r\nFrom: Ann <ann@lakeside.example>\r\nTo: sam@harbor.example\r\n\
         Subject: Terms\r\nMessage-ID: <1@lakeside.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nHere are the terms.\r\n\
         --b\r\nContent-Type: text/html; name=\"te\u{fc}rms.html\"\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nPHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nDelivered-To: {TOKEN}@gate.example\r\nSubject: inner\r\n\r\nhello\r\n--b--\r\n"
    )
}

#[tokio::test]
async fn bytes_are_given_out_without_the_addresses_of_routes_and_say_so() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let copy = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    let raw = gateway.get(&format!("/api/v1/messages/{copy}/raw"), Some(&key)).await;
    assert_eq!((raw.status, raw.header("x-connex-rendition")), (StatusCode::OK, "redacted"), "{}", raw.text());
    assert_eq!(raw.text(), mail().replace(&format!("{TOKEN}@gate.example"), "[route-address]"));
    let plain = "From: a@b.example\r\nTo: deals@gate.example\r\n\r\nhello\r\n";
    let direct = gateway.store_mail(plain, None, Keep::Raw).await;
    let raw = gateway.get(&format!("/api/v1/messages/{direct}/raw"), Some(&key)).await;
    assert_eq!((raw.text().as_str(), raw.header("x-connex-rendition")), (plain, "exact"));
}

#[tokio::test]
async fn of_a_report_a_key_that_may_not_see_whom_it_names_gets_the_original() {
    let gateway = Gateway::new().await;
    let wide = gateway.key().await;
    let scopes = [Scope::MessagesRaw, Scope::MessagesRead];
    let narrow = gateway.key_with(|key| key.scopes = Scopes::of(&scopes)).await;
    let reader = Reader::Journal(ReportFormat::Exchange);
    let route = gateway.route(reader).await;
    let original = "From: buyer@lakeside.example\r\nBcc: mia@harbor.example\r\nTo: sam@harbor.example\r\nMessage-ID: <1@x>\r\n\r\nThe terms.\r\n";
    let report = |original: &str| {
        format!(
            "From: journal@harbor.example\r\nX-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n\
             --r\r\nContent-Type: text/plain\r\n\r\nSender: buyer@lakeside.example\r\nSubject: x\r\nMessage-Id: <1@x>\r\n\
             Recipient: sam@harbor.example\r\nBcc: mia@harbor.example\r\n\r\n--r\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--r--\r\n"
        )
    };
    let whole = report(original);
    let raw = async |mail: &str, route, key: &str| {
        let id = gateway.store_mail(mail, Some(route), Keep::Raw).await;
        gateway.get(&format!("/api/v1/messages/{id}/raw"), Some(key)).await
    };
    let shown = raw(&whole, (route, reader), &narrow).await;
    assert_eq!(shown.text(), original.replace("Bcc: mia@harbor.example\r\n", ""));
    assert_eq!(shown.header("x-connex-rendition"), "original, redacted");
    let shown = raw(&whole, (route, reader), &wide).await;
    assert_eq!((shown.text(), shown.header("x-connex-rendition")), (whole.clone(), "exact"));
    // No original can be told from these: a report in a report, one on a route that unwraps none, one without an original.
    let plain = gateway.route(Reader::Bcc).await;
    let torn = whole.replace("Content-Type: message/rfc822\r\n\r\n", "Content-Type: image/png\r\n\r\n");
    for (mail, route) in
        [(report(&whole), (route, reader)), (whole.clone(), (plain, Reader::Bcc)), (torn, (route, reader))]
    {
        let shown = raw(&mail, route, &narrow).await;
        assert!(!shown.text().contains("mia@"), "{}", shown.text());
        shown.problem(403, "forbidden_scope");
    }
    let id = gateway.store_mail(&whole, Some((plain, Reader::Bcc)), Keep::Raw).await;
    gateway.get(&format!("/api/v1/messages/{id}/body"), Some(&narrow)).await.problem(403, "forbidden_scope");
}

#[tokio::test]
async fn texts_and_results_are_told_as_far_as_they_are_kept() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let body = async |keep| {
        let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), keep).await;
        gateway.tell(&key, id, &mail(), route).await;
        gateway.get(&format!("/api/v1/messages/{id}/body"), Some(&key)).await.json()
    };
    let whole = body(Keep::Raw).await;
    assert_eq!(
        (&whole["text"], &whole["readFrom"], &whole["subject"]),
        (&json!("Here are the terms."), &json!("message"), &json!("Terms"))
    );
    let kept = body(Keep::Text).await;
    assert_eq!((&kept["text"], &kept["readFrom"]), (&json!("as the event has it"), &json!("event")));
    let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::None).await;
    gateway.get(&format!("/api/v1/messages/{id}/body"), Some(&key)).await.problem(404, "not_found");
    let results = gateway.get(&format!("/api/v1/messages/{id}/auth-results"), Some(&key)).await.json();
    assert_eq!(
        (&results["authenticationResults"], &results["authentication"]["checked"]),
        (&json!("mx; spf=pass"), &json!(true))
    );
}

#[tokio::test]
async fn attachments_are_downloads_of_octets() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    gateway.tell(&key, id, &mail(), route).await;
    let told = gateway.get(&format!("/api/v1/messages/{id}"), Some(&key)).await.json();
    let [page, inner] = told["attachments"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&page["contentType"], &page["size"]), (&json!("text/html"), &json!(25)), "{page}");
    let href = page["href"].as_str().unwrap().strip_prefix(HOST).unwrap().to_owned();
    let got = gateway.get(&href, Some(&key)).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, "<script>alert(1)</script>"));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-connex-rendition", "exact"),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert!(got.header("content-disposition").starts_with("attachment; filename=\""), "{:?}", got.headers);
    let href = inner["href"].as_str().unwrap().strip_prefix(HOST).unwrap().to_owned();
    let got = gateway.get(&href, Some(&key)).await;
    assert_eq!(got.text(), "Delivered-To: [route-address]\r\nSubject: inner\r\n\r\nhello");
    assert_eq!(got.header("x-connex-rendition"), "redacted");
    for path in ["2", "-1", "x", "0?sha256=0000000000000000000000000000000000000000000000000000000000000000"] {
        gateway.get(&format!("/api/v1/messages/{id}/attachments/{path}"), Some(&key)).await.problem(404, "not_found");
    }
    gateway
        .get(&format!("/api/v1/messages/{id}/attachments/0?sha256=x"), Some(&key))
        .await
        .problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_link_gives_its_attachment_to_whoever_has_it_until_it_ends() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    gateway.tell(&key, id, &mail(), route).await;
    let make = async |query: &str| {
        let path = format!("/api/v1/messages/{id}/attachments/0/link{query}");
        gateway.send(request("POST", &path, Some(&key)).body(Body::empty()).unwrap()).await
    };
    let made = make("").await.json();
    assert_eq!(made["expiresAt"], "2026-11-23T10:15:00.000Z", "{made}");
    let link = made["url"].as_str().unwrap().strip_prefix(HOST).unwrap().to_owned();
    let got = gateway.get(&link, None).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, "<script>alert(1)</script>"));
    assert_eq!(
        (got.header("cache-control"), got.header("content-type")),
        ("private, no-store", "application/octet-stream")
    );
    make("?expiresIn=86401").await.problem(400, "invalid_parameter");
    let long = make("?expiresIn=86400").await.json()["url"].as_str().unwrap().strip_prefix(HOST).unwrap().to_owned();
    // Every other link is nothing, and the same nothing.
    let refused = async |link: &str| {
        let reply = gateway.get(link, None).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{link}: {}", reply.text());
        reply.json()["detail"].clone()
    };
    let wrong = refused("/a/x/y/z").await;
    let signature = link.rsplit('=').next().unwrap();
    let stranger = gateway.store.add_tenant("stranger").await.unwrap();
    for other in [
        link.replace("/0?", "/1?"),
        link.replace(&gateway.tenant.to_string(), &stranger.to_string()),
        link.replace("expires=1", "expires=2"),
        link.replace(signature, &signature.chars().rev().collect::<String>()),
        link.split("&signature").next().unwrap().to_owned(),
        link.split('?').next().unwrap().to_owned(),
    ] {
        assert_ne!(other, link);
        assert_eq!(refused(&other).await, wrong, "{other}");
    }
    gateway.clock.advance(std::time::Duration::from_secs(900));
    assert_eq!(refused(&link).await, wrong, "its time is over");
    assert_eq!(gateway.get(&long, None).await.status, StatusCode::OK);
    gateway.place.run("UPDATE tenants SET suspended_at = 1 WHERE name = 'acme'").await;
    assert_eq!(refused(&long).await, wrong, "the tenant is suspended");
    gateway.place.run("UPDATE tenants SET suspended_at = NULL WHERE name = 'acme'").await;
    assert_eq!(gateway.get(&long, None).await.status, StatusCode::OK);
    gateway.place.run("UPDATE kept_copies SET kept = 'text'").await;
    assert_eq!(refused(&long).await, wrong, "its bytes are not kept any more");
    make("").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_key_sees_of_a_routes_mail_what_it_is_bound_to_and_the_route_shows() {
    let gateway = Gateway::new().await;
    let open = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    let event = gateway.tell(&open, id, &mail(), route).await;
    let unfiled = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    let to_app = async |app: &str| gateway.key_with(|key| key.bindings.apps = vec![app.to_owned()]).await;
    let to_mailbox =
        async |address: &str| gateway.key_with(|key| key.bindings.mailboxes = vec![address.to_owned()]).await;
    let both = gateway.key_with(|key| {
        (key.bindings.apps, key.bindings.mailboxes) = (vec!["other".into()], vec!["sam@harbor.example".into()]);
    });
    let keys = [
        open.clone(),
        to_app("crm").await,
        to_app("other").await,
        to_mailbox("SAM+x@harbor.example").await,
        to_mailbox("ann@lakeside.example").await,
        to_mailbox("eve@harbor.example").await,
        both.await,
    ];
    let paths: Vec<String> = ["", "/raw", "/body", "/auth-results", "/attachments/0"]
        .map(|part| format!("/api/v1/messages/{id}{part}"))
        .into_iter()
        .chain([format!("/api/v1/explain/{id}"), format!("/api/v1/explain/{event}")])
        .collect();
    let sees = async |key: &str| {
        let page = gateway.get("/api/v1/events", Some(key)).await.json();
        let is_listed = page["items"].as_array().unwrap().iter().any(|item| item["event"]["id"] == json!(event));
        for path in &paths {
            let status = gateway.get(path, Some(key)).await.status;
            assert_eq!(status, if is_listed { StatusCode::OK } else { StatusCode::NOT_FOUND }, "{path}");
        }
        is_listed
    };
    let seen = async || {
        let mut seen = Vec::new();
        for key in &keys {
            seen.push(sees(key).await);
        }
        seen
    };
    let show = async |to| gateway.store.for_tenant(gateway.tenant).show_route_to(route, to).await.unwrap();
    let without_event =
        async |key: &str| gateway.get(&format!("/api/v1/messages/{unfiled}/raw"), Some(key)).await.status;
    assert_eq!(seen().await, [true, true, false, true, true, false, false]);
    assert_eq!(without_event(&open).await, StatusCode::OK);
    for key in &keys[1..] {
        assert_eq!(without_event(key).await, StatusCode::NOT_FOUND);
    }
    show(Visibility::Team).await;
    assert_eq!(seen().await, [false, true, false, false, false, false, false]);
    assert_eq!(without_event(&open).await, StatusCode::NOT_FOUND);
    show(Visibility::Owners).await;
    assert_eq!(seen().await, [false, false, false, true, true, false, false]);
}

#[tokio::test]
async fn who_is_known_by_a_later_copy_alone_takes_part_all_the_same() {
    let gateway = Gateway::new().await;
    let open = gateway.key().await;
    let route = gateway.route(Reader::Bcc).await;
    let id = gateway.store_mail(&mail(), Some((route, Reader::Bcc)), Keep::Raw).await;
    let first = gateway.tell(&open, id, &mail(), route).await;
    let update = gateway.post(EVENT, Some(&open), &event("update")).await.json();
    let update = update["eventId"].as_str().unwrap().to_owned();
    let bound = gateway.key_with(|key| key.bindings.mailboxes = vec!["mia@harbor.example".into()]).await;
    let count = async || gateway.get("/api/v1/events", Some(&bound)).await.json()["items"].as_array().unwrap().len();
    let content = format!("{{\"updatedEventId\":\"{first}\",\"addedRecipients\":[]}}");
    let become_update = format!(
        "UPDATE events SET kind = 'message_updated', scope = '{route}', source_kind = 'bcc', content = '{content}' WHERE event_id = '{update}'"
    );
    gateway.place.run(&become_update).await;
    assert_eq!(count().await, 0);
    let told = format!(
        "INSERT INTO copy_recipients (tenant_id, event_id, recipient_key) VALUES ('{}', '{first}', 'mia@harbor.example')",
        gateway.tenant
    );
    gateway.place.run(&told).await;
    assert_eq!(count().await, 2);
}
