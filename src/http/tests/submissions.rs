//! What programs hand in to be sent, and files that go along: from the bytes to the version, and what the gate says.

use super::drafts::{DRAFTS, approve, mailbox, patch, proposal, propose, state};
use super::*;
use crate::governance::Policy;
use crate::governance::audit::Who;
use crate::ids::{DraftId, SessionId};
use crate::intake::{DraftOutcome, SubmissionAnswer, SubmissionRefusal, SubmittedMail};
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Door, Origin};
use crate::mail::message;
use crate::mail::submitted::{Entity, Unfit};
use crate::store::drafts::VersionRow;

const FILE: &[u8] = &[0, 1, 2, 253, 254, 255, 13, 10];

/// A message with HTML beside its text, and a file.
fn letter(from: &str, id: &str, more: &str, text: &str) -> String {
    format!(
        "From: Sales <{from}>\r\nTo: Ann Lee <ann@lakeside.example>\r\nSubject: Tuesday\r\nMessage-ID: <{id}>\r\n\
         X-Secret-Header: gone\r\nBcc: boss@lakeside.example\r\n{more}MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n\
         --outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
         --inner\r\nContent-Type: text/plain\r\n\r\n{text}\r\n\
         --inner\r\nContent-Type: text/html\r\n\r\n<p>{text}</p>\r\n--inner--\r\n\
         --outer\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"loi.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nAAEC/f7/DQo=\r\n--outer--\r\n"
    )
}

fn mail(bytes: &str, recipients: &[&str]) -> SubmittedMail {
    SubmittedMail {
        recipients: recipients.iter().map(|one| Mailbox::parse(one).unwrap()).collect(),
        bytes: bytes.as_bytes().to_vec(),
        origin: Origin {
            door: Door::Submissions,
            session: SessionId::from_bits(1),
            peer: None,
            proxy: None,
            helo: String::new(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
    }
}

const TO: [&str; 2] = ["ann@lakeside.example", "boss@lakeside.example"];

async fn submit(gateway: &Gateway, key: &str, bytes: &str, to: &[&str]) -> SubmissionAnswer {
    let principal = gateway.api.service.authenticate(key, None).await.unwrap();
    let caller = principal.require().unwrap();
    gateway.api.service.submit(mail(bytes, to), &caller).await
}

fn drafted(answer: SubmissionAnswer) -> (DraftId, DraftOutcome) {
    match answer {
        SubmissionAnswer::Drafted(drafted) => (drafted.draft(), drafted.outcome().clone()),
        other => panic!("no draft: {other:?}"),
    }
}

async fn version(gateway: &Gateway, draft: DraftId, number: u32) -> VersionRow {
    gateway.store.for_tenant(gateway.tenant).draft_version(draft, number).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_submitted_is_a_draft_of_the_mailbox_in_from_and_waits_for_a_persons_yes() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let bytes = letter("sales@gate.example", "1@laptop", "", "See you on Tuesday.");
    let (id, outcome) = drafted(submit(&gateway, &key, &bytes, &TO).await);
    let codes = vec!["approval_required".to_owned(), "new_recipient".to_owned()];
    assert_eq!(outcome, DraftOutcome::Waits(codes), "what a key hands in is never approved by that");

    let shown = gateway.get(&format!("{DRAFTS}/{id}"), Some(&key)).await.json();
    assert_eq!(shown["state"], "pending_approval");
    let content = &shown["content"];
    assert_eq!(content["from"], "Sales <sales@gate.example>");
    assert_eq!(content["to"], json!(["Ann Lee <ann@lakeside.example>"]));
    assert_eq!(content["bcc"], json!(["boss@lakeside.example"]));
    assert!(content["text"].as_str().unwrap().contains("See you on Tuesday."));
    assert_eq!(content["html"], "<p>See you on Tuesday.</p>");
    let file = &content["attachments"][0];
    assert_eq!(
        (&file["name"], &file["contentType"], &file["size"]),
        (&json!("loi.pdf"), &json!("application/pdf"), &json!(8))
    );

    let written = version(&gateway, id, 1).await;
    let recipients: Vec<String> = written.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(recipients, TO);
    assert_eq!(Entity::of(&written.message), Entity::of(bytes.as_bytes()), "the body to the octet");
    let text = String::from_utf8(written.message).unwrap();
    for gone in ["X-Secret-Header", "Bcc", "boss@", "1@laptop"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }

    // The same again, as after a lost reply, is the same draft; other words under the same id are another one.
    assert_eq!(drafted(submit(&gateway, &key, &bytes, &TO).await).0, id);
    let other = letter("sales@gate.example", "1@laptop", "", "See you on Wednesday.");
    assert_ne!(drafted(submit(&gateway, &key, &other, &TO).await).0, id);

    let asked = gateway.get("/api/v1/approvals?state=pending", Some(&key)).await.json();
    let approval = asked["items"][0]["id"].as_str().unwrap();
    let answer = approve(&gateway, approval, shown["contentHash"].as_str().unwrap(), 1).await.unwrap().unwrap();
    assert_eq!(answer.state, "released");
    assert_eq!(drafted(submit(&gateway, &key, &bytes, &TO).await), (id, DraftOutcome::Released));
}

#[tokio::test]
async fn an_edit_of_the_header_keeps_the_body_and_one_of_the_text_keeps_the_files() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let bytes = letter("sales@gate.example", "1@laptop", "", "See you on Tuesday.");
    let (id, _) = drafted(submit(&gateway, &key, &bytes, &TO).await);
    let edited = patch(&gateway, &key, id, json!({ "version": 1, "subject": "Wednesday" })).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text());
    let second = version(&gateway, id, 2).await;
    assert_eq!(Entity::of(&second.message), Entity::of(bytes.as_bytes()));
    assert!(String::from_utf8_lossy(&second.message).contains("Subject: Wednesday\r\n"));

    let edited = patch(&gateway, &key, id, json!({ "version": 2, "text": "Until Wednesday." })).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text());
    let third = version(&gateway, id, 3).await.message;
    assert_eq!(message::attachment(&third, 0, &message::Limits::default()).as_deref(), Some(FILE));
    let read = message::read(&third, &message::Limits::default());
    assert_eq!((read.text.trim_end(), read.attachments.len()), ("Until Wednesday.", 1));
    assert!(!String::from_utf8_lossy(&third).contains("Tuesday"), "the HTML of the old text is gone");
    let bare = patch(&gateway, &key, id, json!({ "version": 3, "attachments": [] })).await;
    assert_eq!(bare.json()["content"]["attachments"], json!([]));
}

#[tokio::test]
async fn a_submission_is_refused_for_its_key_its_author_and_those_whom_it_only_names() {
    let gateway = Gateway::new().await;
    let (key, tenant) = (gateway.key().await, gateway.store.for_tenant(gateway.tenant));
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    mailbox(&gateway, "other", "connex", "human_approval").await;
    let from = |from: &str| letter(from, "1@laptop", "", "Hello.");
    let refused = |refusal| SubmissionAnswer::Refused(refusal);
    for author in ["nobody@gate.example", "sales@elsewhere.example", "sales+x@gate.example"] {
        assert_eq!(submit(&gateway, &key, &from(author), &TO).await, refused(SubmissionRefusal::NotYours), "{author}");
    }
    let bound = gateway.key_with(|new| new.bindings.mailboxes = vec!["other@gate.example".into()]).await;
    let sales = from("sales@gate.example");
    assert_eq!(submit(&gateway, &bound, &sales, &TO).await, refused(SubmissionRefusal::NotYours));
    let not_addressed = refused(SubmissionRefusal::NotAddressed);
    assert_eq!(submit(&gateway, &key, &sales, &["boss@lakeside.example"]).await, not_addressed);
    let bare = sales.replace("--outer--", "--outer");
    assert_eq!(submit(&gateway, &key, &bare, &TO).await, refused(SubmissionRefusal::Unfit(Unfit::Parts)));

    let principal = gateway.api.service.authenticate(&key, None).await.unwrap();
    let caller = principal.require().unwrap();
    tenant.revoke_key(principal.key_id()).await.unwrap();
    let late = gateway.api.service.submit(mail(&sales, &TO), &caller).await;
    assert_eq!(late, refused(SubmissionRefusal::KeyGone), "revoked since AUTH");
    assert_eq!(tenant.drafts(None, None, 9).await.unwrap(), [], "nothing of it is a draft");
}

#[tokio::test]
async fn what_is_denied_is_told_or_refused_as_the_tenant_wants_and_what_is_handed_off_is_a_draft() {
    let gateway = Gateway::new().await;
    let (key, tenant) = (gateway.key().await, gateway.store.for_tenant(gateway.tenant));
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    mailbox(&gateway, "app", "source_app", "human_approval").await;
    // In a file, where no person would look: the gate reads all of it.
    let secret = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t";
    let letter = |id: &str| letter("sales@gate.example", id, "", "Hello.").replace("AAEC/f7/DQo=", secret);
    let (id, outcome) = drafted(submit(&gateway, &key, &letter("1@laptop"), &TO).await);
    assert_eq!(outcome, DraftOutcome::Denied(vec!["secret_in_content".into()]));
    assert_eq!(tenant.draft(id).await.unwrap().unwrap().state.as_str(), "denied");

    tenant.set_policy(Policy { refuse_denied: true, ..Policy::default() }, Who::Operator).await.unwrap();
    let SubmissionAnswer::Denied { draft, codes } = submit(&gateway, &key, &letter("2@laptop"), &TO).await else {
        panic!("it is not refused")
    };
    assert_eq!(codes, ["secret_in_content"]);
    assert_eq!(tenant.draft(draft).await.unwrap().unwrap().state.as_str(), "denied", "on record, and never released");
    let reply_to = "Reply-To: ann@other.example\r\n";
    let bytes = self::letter("sales@gate.example", "3@laptop", reply_to, "Hello.");
    let SubmissionAnswer::Denied { codes, .. } = submit(&gateway, &key, &bytes, &TO).await else { panic!("taken") };
    assert!(codes.contains(&"identity_mismatch".to_owned()), "{codes:?}");
    let bytes = self::letter("app@gate.example", "4@laptop", "", "Hello.");
    assert_eq!(drafted(submit(&gateway, &key, &bytes, &TO).await).1, DraftOutcome::HandedOff);
}

#[tokio::test]
async fn an_answer_keeps_its_conversation_and_ids_of_elsewhere_do_not_leave() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let first = letter("sales@gate.example", "1@laptop", "In-Reply-To: <made@up.example>\r\n", "Hello.");
    let (first, _) = drafted(submit(&gateway, &key, &first, &TO).await);
    let first = gateway.get(&format!("{DRAFTS}/{first}"), Some(&key)).await.json();
    let own = first["content"]["messageId"].as_str().unwrap();
    let ids = format!("References: <made@up.example>\r\n <{own}>\r\n");
    let (second, _) =
        drafted(submit(&gateway, &key, &letter("sales@gate.example", "2@laptop", &ids, "More."), &TO).await);
    let shown = gateway.get(&format!("{DRAFTS}/{second}"), Some(&key)).await.json();
    assert_eq!(shown["threadId"], first["threadId"]);
    let read = message::read(&version(&gateway, second, 1).await.message, &message::Limits::default());
    assert_eq!((read.in_reply_to.as_deref(), read.references), (Some(own), vec![own.to_owned()]));
    let read = version(&gateway, first["id"].as_str().unwrap().parse().unwrap(), 1).await.message;
    assert!(!String::from_utf8_lossy(&read).contains("made@up.example"));
}

async fn upload(gateway: &Gateway, key: &str, name: &str, media: &str, bytes: &[u8]) -> Reply {
    let mut request = request("POST", &format!("/api/v1/uploads?name={name}"), Some(key));
    request.headers_mut().unwrap().insert("content-type", media.parse().unwrap());
    gateway.send(request.body(Body::from(bytes.to_vec())).unwrap()).await
}

#[tokio::test]
async fn uploads_go_along_with_drafts_and_are_gone_after_a_day_where_versions_keep_what_they_have() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let made = upload(&gateway, &key, "l%C3%B6i%202.pdf", "application/pdf", FILE).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["name"], &made["size"]), (&json!("l\u{f6}i 2.pdf"), &json!(8)));
    let id = made["id"].as_str().unwrap();
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let row = tenant.upload(id.parse().unwrap()).await.unwrap().unwrap();
    assert!(!row.content.windows(4).any(|at| FILE.starts_with(at)), "it waits sealed");

    let mut body = proposal("sales", "See you on Tuesday.");
    body["attachments"] = json!([id]);
    let draft = propose(&gateway, &key, &body).await;
    assert_eq!(draft["content"]["attachments"][0]["sha256"], made["sha256"]);
    let draft_id: DraftId = draft["id"].as_str().unwrap().parse().unwrap();
    let file = |message: &[u8], place| message::attachment(message, place, &message::Limits::default());
    assert_eq!(file(&version(&gateway, draft_id, 1).await.message, 0).as_deref(), Some(FILE));

    for wrong in [json!([id, id]), json!(["upl_00000000000000000000000000"]), json!(["part-1"])] {
        body["attachments"] = wrong;
        gateway.post(DRAFTS, Some(&key), &body).await.problem(422, "invalid_request");
    }
    gateway.clock.advance(std::time::Duration::from_hours(24));
    body["attachments"] = json!([id]);
    gateway.post(DRAFTS, Some(&key), &body).await.problem(422, "invalid_request");
    assert_eq!(tenant.drop_uploads().await.unwrap(), 1);
    // What the version has is found there: the old one stays beside a new one.
    let more = upload(&gateway, &key, "b.txt", "text/plain", b"Hello\r\n").await.json();
    let edit = json!({ "version": 1, "attachments": [more["id"], id] });
    let edited = patch(&gateway, &key, draft_id, edit).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text());
    let second = version(&gateway, draft_id, 2).await.message;
    assert_eq!(file(&second, 0).as_deref(), Some(b"Hello\r\n".as_slice()));
    assert_eq!(file(&second, 1).as_deref(), Some(FILE));
    let edited = patch(&gateway, &key, draft_id, json!({ "version": 2, "text": "Another text." })).await.json();
    assert_eq!(edited["content"]["attachments"].as_array().unwrap().len(), 2, "what is left out stays");
    assert_eq!(state(&gateway, &key, &draft).await["version"], 3);
}

#[tokio::test]
async fn uploads_are_refused_by_name_type_and_size() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for (name, media, bytes) in [
        ("", "application/pdf", FILE),
        ("a%0d%0aBcc:%20x", "application/pdf", FILE),
        ("..%2fa", "application/pdf", FILE),
        ("a", "message/rfc822", FILE),
        ("a", "text/plain; charset=utf-8", FILE),
        ("a", "application/pdf", b""),
    ] {
        upload(&gateway, &key, name, media, bytes).await.problem(422, "invalid_request");
    }
    let large = vec![0; crate::service::drafts::uploads::UPLOAD + 1];
    upload(&gateway, &key, "a", "application/pdf", &large).await.problem(413, "payload_too_large");
    let reader = gateway.key_with(|new| new.scopes = Scopes::of(&[crate::keys::Scope::DraftsRead])).await;
    upload(&gateway, &reader, "a", "application/pdf", FILE).await.problem(403, "forbidden_scope");
}
