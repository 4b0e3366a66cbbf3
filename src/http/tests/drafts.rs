//! From a proposal to its release: drafts, the gate's answers, people's answers, and what a key can never do.

use super::*;
use crate::governance::audit::Who;
use crate::governance::role::Role;
use crate::governance::{Admission, ContentHash};
use crate::ids::{OPERATOR, UserId};
use crate::mail::address::Mailbox;
use crate::service::drafts::approvals::{Answer, Approver};
use crate::service::drafts::release::ReleaseAnswer;
use crate::service::{Conflict, ServiceError};
use crate::store::StoreError;
use crate::store::accounts::NewUser;
use crate::store::directory::NewMailbox;
use crate::store::signing::SigningKeyRow;
use crate::store::standing::{Paused, SuppressionReason};

mod evidence;
mod held;
mod policies;

pub(super) const DRAFTS: &str = "/api/v1/drafts";

/// A mailbox of the tenant, and a signing key of the platform domain that DNS was seen to have.
pub(super) async fn mailbox(gateway: &Gateway, local: &str, owner: &str, policy: &str) {
    let new = NewMailbox {
        address: Mailbox::parse(&format!("{local}@gate.example")).unwrap(),
        app: None,
        identity_owner: owner.into(),
        reply_policy: policy.into(),
        external_reply_url: Some("https://app.example/reply".into()),
    };
    gateway.store.for_tenant(gateway.tenant).add_mailbox(new).await.unwrap();
    let operator = gateway.store.for_tenant(OPERATOR);
    let key = SigningKeyRow {
        domain: "gate.example".into(),
        selector: "s1".into(),
        algorithm: "ed25519".into(),
        record: "v=DKIM1; k=ed25519; p=AA==".into(),
        state: "active".into(),
        created_at: gateway.clock.now(),
        seen_at: None,
        checked_at: None,
        secret_sealed: "s1:x".into(),
    };
    // Once for all mailboxes of a test.
    drop(operator.add_signing_key(key, Who::Operator).await);
    operator.note_signing_key("gate.example", "s1", true).await.unwrap();
}

pub(super) fn proposal(local: &str, text: &str) -> Value {
    json!({ "mailbox": format!("{local}@gate.example"), "name": "Sales", "to": ["Ann Lee <ann@lakeside.example>"],
        "bcc": ["boss@lakeside.example"], "subject": "Tuesday", "text": text })
}

pub(super) async fn propose(gateway: &Gateway, key: &str, body: &Value) -> Value {
    let reply = gateway.post(DRAFTS, Some(key), body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

async fn act(gateway: &Gateway, key: &str, draft: &Value, action: &str, body: &Value) -> Reply {
    let path = format!("{DRAFTS}/{}/{action}", draft["id"].as_str().unwrap());
    let call = request("POST", &path, Some(key)).header("idempotency-key", fresh_key());
    gateway.send(call.body(Body::from(body.to_string())).unwrap()).await
}

pub(super) async fn state(gateway: &Gateway, key: &str, draft: &Value) -> Value {
    let reply = gateway.get(&format!("{DRAFTS}/{}", draft["id"].as_str().unwrap()), Some(key)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

/// An edit.
pub(super) async fn patch(gateway: &Gateway, key: &str, draft: impl std::fmt::Display, body: Value) -> Reply {
    let request = request("PATCH", &format!("{DRAFTS}/{draft}"), Some(key));
    gateway.send(request.body(Body::from(body.to_string())).unwrap()).await
}

/// The gate's refusal, by the code of a rule.
fn refused(reply: &Reply, code: &str) {
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
    let problem = reply.json();
    assert_eq!((problem["code"].as_str(), problem["type"].as_str()), (Some(code), Some("/problems/policy-refused")));
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

/// A draft that people are asked about; its id and the question's.
pub(crate) async fn ask(gateway: &Gateway, key: &str, word: &str) -> (String, String) {
    mailbox(gateway, "sales", "connex", "human_approval").await;
    ask_again(gateway, key, word).await
}

/// Another one.
pub(super) async fn ask_again(gateway: &Gateway, key: &str, word: &str) -> (String, String) {
    let draft = propose(gateway, key, &proposal("sales", &format!("See you, {word}."))).await;
    let asked = act(gateway, key, &draft, "release-request", &json!({})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
    (draft["id"].as_str().unwrap().to_owned(), asked.json()["approvalId"].as_str().unwrap().to_owned())
}

/// A person's yes to a question, to all that the page showed.
pub(super) async fn approve(
    gateway: &Gateway,
    approval: &str,
    hash: &str,
    user: u128,
) -> Result<Option<ReleaseAnswer>, ServiceError> {
    let id = UserId::from_bits(user);
    let email = format!("{user}@acme.example");
    let account =
        NewUser { id, email_key: email.clone(), email, name: String::new(), role: Role::Approver, password_hash: None };
    let added = gateway.store.for_tenant(gateway.tenant).add_user(account).await;
    assert!(matches!(added, Ok(()) | Err(StoreError::Exists(_))), "{added:?}");
    let approver = Approver::of_test(gateway.tenant, id, true);
    let service = &gateway.api.service;
    let question = service.question_for(approval, &approver).await.unwrap();
    let shown = question.verdict.reasons.iter().map(|reason| reason.code.clone()).collect();
    service.answer(approval, hash.parse::<ContentHash>().unwrap(), Answer::Approve { shown }, &approver).await
}

#[tokio::test]
async fn a_draft_is_released_by_a_persons_yes_and_by_nothing_else() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let draft = propose(&gateway, &key, &proposal("sales", "See you on Tuesday.")).await;
    assert_eq!((draft["state"].as_str(), draft["version"].as_u64()), (Some("draft"), Some(1)));
    assert_eq!(draft["content"]["from"], "Sales <sales@gate.example>");

    let checked = act(&gateway, &key, &draft, "check", &json!({})).await.json();
    assert_eq!(checked["verdict"], "hold");
    assert_eq!(codes(&checked), ["approval_required", "new_recipient"]);
    assert_eq!(state(&gateway, &key, &draft).await["state"], "draft", "a check changes nothing");

    let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
    let asked = asked.json();
    let approval = asked["approvalId"].as_str().unwrap();
    assert_eq!(asked["approvalUrl"], format!("https://gate.example/approvals/{approval}"));
    assert_eq!(asked["contentHash"], draft["contentHash"]);
    // The same request again asks nobody twice.
    let again = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!((again.status, again.json()["approvalId"].as_str()), (StatusCode::ACCEPTED, Some(approval)));
    assert_eq!(gateway.get("/api/v1/approvals?state=pending", Some(&key)).await.json()["items"][0]["id"], approval);

    let answer = approve(&gateway, approval, draft["contentHash"].as_str().unwrap(), 1).await.unwrap().unwrap();
    assert_eq!((answer.state.as_str(), answer.verdict.verdict.as_str()), ("released", "release"));
    let shown = state(&gateway, &key, &draft).await;
    assert_eq!(shown["state"], "released");
    let recipients: Vec<_> = shown["transmissions"].as_array().unwrap().iter().map(|one| &one["recipient"]).collect();
    assert_eq!(recipients, ["ann@lakeside.example", "boss@lakeside.example"]);
    let once_more = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!(once_more.json()["releaseId"].as_str(), answer.release_id.as_deref());
    let late = approve(&gateway, approval, draft["contentHash"].as_str().unwrap(), 2).await;
    assert!(matches!(late, Err(ServiceError::Conflict(Conflict::State(_)))), "{late:?}");

    let audit = gateway.store.for_tenant(gateway.tenant).audit_of(draft["id"].as_str().unwrap()).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["draft.created", "approval.asked", "approval.approved", "draft.released"]);
    assert_eq!(audit[2].entry.actor, format!("user:{}", UserId::from_bits(1)));

    // Whichever id of it is asked about; a key that is bound sees nothing of what no event was made of.
    let bound = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    for id in [draft["id"].as_str().unwrap(), approval, answer.release_id.as_deref().unwrap()] {
        let path = format!("/api/v1/explain/{id}");
        assert_eq!(gateway.get(&path, Some(&key)).await.json()["draft"]["id"], draft["id"], "{id}");
        gateway.get(&path, Some(&bound)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_yes_is_to_one_content_and_an_edit_ends_it() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let draft = propose(&gateway, &key, &proposal("sales", "See you on Tuesday.")).await;
    let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await.json();
    let path = format!("{DRAFTS}/{}", draft["id"].as_str().unwrap());
    let patch = |body: Value| {
        let request = request("PATCH", &path, Some(&key)).body(Body::from(body.to_string())).unwrap();
        gateway.send(request)
    };
    let edited = patch(json!({ "version": 1, "text": "See you on Wednesday." })).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text());
    let edited = edited.json();
    assert_eq!((edited["state"].as_str(), edited["version"].as_u64()), (Some("draft"), Some(2)));
    assert_ne!(edited["contentHash"], draft["contentHash"]);
    assert_eq!(edited["content"]["to"], draft["content"]["to"], "what is left out stays");
    patch(json!({ "version": 1, "text": "late" })).await.problem(409, "state_conflict");

    let approval = asked["approvalId"].as_str().unwrap();
    let answer = approve(&gateway, approval, draft["contentHash"].as_str().unwrap(), 1).await;
    assert!(matches!(answer, Err(ServiceError::Conflict(_))), "{answer:?}");
    let of_old = json!({ "contentHash": draft["contentHash"] });
    act(&gateway, &key, &draft, "release-request", &of_old).await.problem(409, "content_changed");

    let asked =
        act(&gateway, &key, &draft, "release-request", &json!({ "contentHash": edited["contentHash"] })).await.json();
    let approval = asked["approvalId"].as_str().unwrap();
    let answer = approve(&gateway, approval, draft["contentHash"].as_str().unwrap(), 1).await;
    assert!(matches!(answer, Err(ServiceError::Conflict(Conflict::ContentChanged))), "{answer:?}");
    let answer = approve(&gateway, approval, edited["contentHash"].as_str().unwrap(), 1).await.unwrap().unwrap();
    assert_eq!(answer.state, "released");
}

#[tokio::test]
async fn what_the_source_app_owns_is_handed_off_and_what_a_rule_denies_is_refused_by_its_code() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for (local, owner, policy) in
        [("app", "source_app", "human_approval"), ("in", "connex", "never"), ("strict", "connex", "source_app_only")]
    {
        mailbox(&gateway, local, owner, policy).await;
    }
    for local in ["app", "strict"] {
        let draft = propose(&gateway, &key, &proposal(local, "Hello Ann.")).await;
        let answer = act(&gateway, &key, &draft, "release-request", &json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let answer = answer.json();
        assert_eq!((answer["state"].as_str(), answer["verdict"].as_str()), (Some("handed_off"), Some("handoff")));
        assert_eq!(answer["externalReplyUrl"], "https://app.example/reply");
    }
    let draft = propose(&gateway, &key, &proposal("in", "Hello Ann.")).await;
    refused(&act(&gateway, &key, &draft, "release-request", &json!({})).await, "replies_disabled");
    assert_eq!(state(&gateway, &key, &draft).await["state"], "denied");

    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    tenant.suppress("ann@lakeside.example".into(), SuppressionReason::HardBounce, None, Who::Operator).await.unwrap();
    let draft = propose(&gateway, &key, &proposal("sales", "Hello Ann.")).await;
    refused(&act(&gateway, &key, &draft, "release-request", &json!({})).await, "suppressed_recipient");
    let secret = propose(&gateway, &key, &proposal("sales", "The password is: hunter2!")).await;
    refused(&act(&gateway, &key, &secret, "release-request", &json!({})).await, "suppressed_recipient");
    tenant.unsuppress("ann@lakeside.example".into(), Who::Operator).await.unwrap();
    let secret = propose(&gateway, &key, &proposal("sales", "The password is: hunter2!")).await;
    refused(&act(&gateway, &key, &secret, "release-request", &json!({})).await, "secret_in_content");
    // Without a record of its signing key in DNS nothing of the domain leaves.
    gateway.store.for_tenant(OPERATOR).note_signing_key("gate.example", "s1", false).await.unwrap();
    let draft = propose(&gateway, &key, &proposal("sales", "Hello Ann.")).await;
    refused(&act(&gateway, &key, &draft, "release-request", &json!({})).await, "domain_keys_missing");
}

#[tokio::test]
async fn policy_lets_out_what_is_harmless_and_a_pause_holds_even_that() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "auto", "connex", "policy_auto").await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let open = crate::governance::Policy { participants_only: false, ..Default::default() };
    assert_eq!(tenant.set_policy(open, Who::Operator).await.unwrap(), "v1");
    let harmless = proposal("auto", "Good morning Ann, thank you for this. See you soon. Best regards");
    let draft = propose(&gateway, &key, &harmless).await;
    tenant.pause_sending(Paused::Tenant, true, Who::Operator).await.unwrap();
    let checked = act(&gateway, &key, &draft, "check", &json!({})).await.json();
    assert_eq!(codes(&checked), ["sending_paused"]);
    tenant.pause_sending(Paused::Tenant, false, Who::Operator).await.unwrap();
    gateway.store.pause_gateway(true).await.unwrap();
    assert_eq!(codes(&act(&gateway, &key, &draft, "check", &json!({})).await.json()), ["sending_paused"]);
    gateway.store.pause_gateway(false).await.unwrap();
    let answer = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!(
        (answer.status, answer.json()["state"].as_str()),
        (StatusCode::OK, Some("released")),
        "{}",
        answer.text()
    );

    let promise = proposal("auto", "We agree to pay 500 EUR for the contract.");
    let draft = propose(&gateway, &key, &promise).await;
    let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
    assert_eq!(codes(&asked.json()), ["approval_required", "risk_high"]);
    // The fourth within a day to one correspondent without a person's yes is too many.
    for _ in 0..2 {
        let draft = propose(&gateway, &key, &harmless).await;
        let answer = act(&gateway, &key, &draft, "release-request", &json!({})).await;
        assert_eq!(answer.json()["state"], "released", "{}", answer.text());
    }
    let draft = propose(&gateway, &key, &harmless).await;
    refused(&act(&gateway, &key, &draft, "release-request", &json!({})).await, "auto_reply_loop");
}

#[tokio::test]
async fn a_released_draft_can_be_taken_back_until_it_is_being_sent() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (id, approval) = ask(&gateway, &key, "Ann").await;
    let draft = json!({ "id": id });
    let hash = state(&gateway, &key, &draft).await["contentHash"].as_str().unwrap().to_owned();
    approve(&gateway, &approval, &hash, 1).await.unwrap().unwrap();
    let worker = gateway.clock.mint();
    let withdrawn = act(&gateway, &key, &draft, "withdraw", &json!({})).await.json();
    assert_eq!(withdrawn["state"], "withdrawn");
    assert_eq!(withdrawn["transmissions"][0]["state"], "rejected");
    assert_eq!(gateway.store.claim_transmissions(worker).await.unwrap(), None, "nothing is left to be sent");

    let (id, approval) = {
        let draft = propose(&gateway, &key, &proposal("sales", "Another one, Ann.")).await;
        let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await.json();
        (draft["id"].as_str().unwrap().to_owned(), asked["approvalId"].as_str().unwrap().to_owned())
    };
    let draft = json!({ "id": id });
    let hash = state(&gateway, &key, &draft).await["contentHash"].as_str().unwrap().to_owned();
    approve(&gateway, &approval, &hash, 1).await.unwrap().unwrap();
    let claimed = gateway.store.claim_transmissions(worker).await.unwrap().unwrap();
    assert_eq!(claimed.positions, [0, 1]);
    gateway
        .store
        .for_tenant(gateway.tenant)
        .begin_sending(worker, &claimed, Admission::of_test(hash.parse().unwrap()))
        .await
        .unwrap();
    act(&gateway, &key, &draft, "withdraw", &json!({})).await.problem(409, "state_conflict");
    let cancel = request("DELETE", &format!("{DRAFTS}/{id}"), Some(&key)).body(Body::empty()).unwrap();
    gateway.send(cancel).await.problem(409, "state_conflict");
}

#[tokio::test]
async fn a_no_needs_a_reason_and_denies_the_version() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (id, approval) = ask(&gateway, &key, "Ann").await;
    let draft = json!({ "id": id });
    let hash = state(&gateway, &key, &draft).await["contentHash"].as_str().unwrap().parse::<ContentHash>().unwrap();
    let approver = Approver::of_test(gateway.tenant, UserId::from_bits(1), false);
    let no = |reason: &str| Answer::Reject { reason: reason.into(), note: Some("No.".into()) };
    let service = &gateway.api.service;
    assert!(matches!(service.answer(&approval, hash, no("because"), &approver).await, Err(ServiceError::Invalid(_))));
    assert!(service.answer(&approval, hash, no("tone"), &approver).await.unwrap().is_none());
    assert_eq!(state(&gateway, &key, &draft).await["state"], "denied");
    let shown = gateway.get(&format!("/api/v1/approvals/{approval}"), Some(&key)).await.json();
    assert_eq!((shown["state"].as_str(), shown["rejectReason"].as_str()), (Some("rejected"), Some("tone")));
    // Of another tenant nobody answers.
    let stranger = Approver::of_test(OPERATOR, UserId::from_bits(1), false);
    assert!(matches!(service.question_for(&approval, &stranger).await, Err(ServiceError::NotFound(_))));
}

#[tokio::test]
async fn a_key_proposes_only_for_the_mailboxes_and_apps_that_it_is_bound_to() {
    let gateway = Gateway::new().await;
    let all = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    mailbox(&gateway, "help", "connex", "human_approval").await;
    let bound = gateway.key_with(|key| key.bindings.mailboxes = vec!["help@gate.example".into()]).await;
    let foreign = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    let of_sales = propose(&gateway, &all, &proposal("sales", "Hello.")).await;
    gateway.post(DRAFTS, Some(&bound), &proposal("sales", "Hello.")).await.problem(403, "forbidden_mailbox");
    gateway.post(DRAFTS, Some(&foreign), &proposal("sales", "Hello.")).await.problem(403, "forbidden_app");
    let path = format!("{DRAFTS}/{}", of_sales["id"].as_str().unwrap());
    for key in [&bound, &foreign] {
        gateway.get(&path, Some(key)).await.problem(404, "not_found");
        assert_eq!(gateway.get(DRAFTS, Some(key)).await.json()["items"], json!([]));
    }
    act(&gateway, &bound, &of_sales, "withdraw", &json!({})).await.problem(403, "forbidden_mailbox");
    let own = propose(&gateway, &bound, &proposal("help", "Hello.")).await;
    assert_eq!(gateway.get(DRAFTS, Some(&bound)).await.json()["items"][0]["id"], own["id"]);
    gateway.post(DRAFTS, Some(&all), &proposal("nobody", "Hello.")).await.problem(422, "invalid_request");
    let mut odd = proposal("sales", "Hello.");
    odd["headers"] = json!({ "X-Evil": "1" });
    gateway.post(DRAFTS, Some(&all), &odd).await.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_proposal_that_is_made_again_under_its_key_is_one_draft() {
    let gateway = Gateway::new().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let key = gateway.key().await;
    let call = async |name: &str, body: &Value| {
        let request = request("POST", DRAFTS, Some(&key)).header("idempotency-key", name);
        gateway.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let first = call("a", &proposal("sales", "Hello")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let again = call("\"a\"", &proposal("sales", "Hello")).await;
    assert_eq!(again.json(), first.json(), "the same answer, to the letter");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(state(&gateway, &key, &first.json()).await, first.json(), "and it is so");
    let other = call("a", &proposal("sales", "Other words")).await;
    assert_eq!(other.json()["code"], "idempotency_conflict");
    let drafts = async || gateway.get(DRAFTS, Some(&key)).await.json()["items"].as_array().unwrap().len();
    assert_eq!(drafts().await, 1);
    call("b", &proposal("sales", "Hello")).await;
    assert_eq!(drafts().await, 2, "under another key it is another");
}

#[tokio::test]
async fn the_same_call_gets_its_answer_whatever_has_changed_since() {
    let gateway = Gateway::new().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let key = gateway.key().await;
    let call = async |path: &str, body: &Value| {
        let request = request("POST", path, Some(&key)).header("idempotency-key", "a");
        gateway.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let made = call(DRAFTS, &proposal("sales", "Hello")).await.json();
    let path = format!("{DRAFTS}/{}/release-request", made["id"].as_str().unwrap());
    let asking = json!({ "releaseOnApproval": true });
    let with_key = async |name: &str, body: &Value| {
        let request = request("POST", &path, Some(&key)).header("idempotency-key", name);
        gateway.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let asked = with_key("b", &asking).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
    act(&gateway, &key, &made, "withdraw", &json!({})).await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let id = tenant.mailboxes().await.unwrap()[0].id;
    tenant.remove_mailbox(id).await.unwrap();
    let again = call(DRAFTS, &proposal("sales", "Hello")).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, made));
    let again = with_key("b", &asking).await;
    assert_eq!((again.status, again.json()), (StatusCode::ACCEPTED, asked.json()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(with_key("b", &json!({})).await.json()["code"], "idempotency_conflict");
    let missing = gateway.post(&path, Some(&key), &asking).await.problem(400, "invalid_parameter");
    assert_eq!(missing["errors"][0]["pointer"], "Idempotency-Key");
}

#[tokio::test]
async fn a_source_app_reports_what_it_was_asked_to_send_and_nothing_else() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "app", "source_app", "human_approval").await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let draft = propose(&gateway, &key, &proposal("app", "Hello Ann.")).await;
    let sent = json!({ "outcome": "sent", "messageId": "<1@app.example>", "sentAt": "2026-11-23T09:00:00Z" });
    act(&gateway, &key, &draft, "report", &sent).await.problem(409, "state_conflict");
    act(&gateway, &key, &draft, "release-request", &json!({})).await;
    let unreadable = json!({ "outcome": "sent", "messageId": "no id" });
    act(&gateway, &key, &draft, "report", &unreadable).await.problem(422, "invalid_request");
    let reported = act(&gateway, &key, &draft, "report", &sent).await;
    assert_eq!(reported.status, StatusCode::OK, "{}", reported.text());
    let shown = reported.json();
    assert_eq!((shown["state"].as_str(), shown["handoff"]["reported"].as_str()), (Some("handed_off"), Some("sent")));
    assert_eq!(shown["handoff"]["messageId"], "1@app.example");
    assert_eq!(state(&gateway, &key, &draft).await, shown);
    act(&gateway, &key, &draft, "report", &json!({ "outcome": "discarded" })).await.problem(409, "state_conflict");
    assert_eq!(gateway.get("/api/v1/approvals", Some(&key)).await.json()["items"], json!([]), "it makes no approval");
    let only_drafts =
        gateway.key_with(|key| key.scopes = crate::keys::Scopes::of(&[crate::keys::Scope::DraftsWrite])).await;
    act(&gateway, &only_drafts, &draft, "report", &sent).await.problem(403, "forbidden_scope");
    let ours = propose(&gateway, &key, &proposal("sales", "Hello Ann.")).await;
    act(&gateway, &key, &ours, "report", &sent).await.problem(409, "state_conflict");
    // The event log shows the words of the operation to whoever may read messages alone.
    let log = async |scopes: &[crate::keys::Scope]| {
        let reader = gateway.key_with(|key| key.scopes = crate::keys::Scopes::of(scopes)).await;
        let log = gateway.get("/api/v1/events", Some(&reader)).await.json();
        let items = log["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["event"]["type"] == "draft.handed_off").unwrap()["event"].clone()
    };
    use crate::keys::Scope::{EventsRead, MessagesRead};
    let (all, some) = (log(&[EventsRead, MessagesRead]).await, log(&[EventsRead]).await);
    let text = |event: &Value| event["data"]["operations"][0]["params"]["text"].clone();
    assert_eq!((text(&all), text(&some)), (json!("Hello Ann."), Value::Null));
    assert_eq!(some["data"]["operations"][0]["params"]["draftId"], draft["id"]);
}

#[tokio::test]
async fn a_decision_proposes_words_that_people_answer_and_their_no_is_counted_with_its_reason() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let body = json!({ "app": "crm", "sourceSystem": "crm", "sourceEventId": "1", "eventType": "inbound_message",
        "sourceMailbox": { "address": "sales@gate.example" }, "context": { "recordId": "D-17" },
        "message": { "subject": "Prices", "from": "Ann Lee <ann@lakeside.example>",
            "body": "Could you please send me a quote? What would it cost for ten people?" } });
    let answer = gateway.post("/api/connex/integration-event", Some(&key), &body).await.json();
    let id = answer["materialized"]["drafts"][0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let operation = answer["operations"].as_array().unwrap().iter().find(|one| one["type"] == "create_draft").unwrap();
    assert_eq!(operation["params"]["draftId"], id);
    let draft = json!({ "id": id });
    let shown = state(&gateway, &key, &draft).await;
    assert_eq!(shown["version"], 1, "{shown}");
    assert_eq!(shown["content"]["to"], json!(["Ann Lee <ann@lakeside.example>"]));
    let text = shown["content"]["text"].as_str().unwrap();
    assert!(text.starts_with("Hello Ann Lee,"), "{text}");
    assert!(shown["template"]["id"].as_str().unwrap().starts_with("builtin/en/"), "{shown}");
    assert_eq!(shown["transmissions"], json!([]), "never a send");
    let approval = answer["materialized"]["approvals"][0].as_str().unwrap();
    let approver = Approver::of_test(gateway.tenant, UserId::from_bits(1), true);
    let hash = shown["contentHash"].as_str().unwrap().parse::<ContentHash>().unwrap();
    let no = |reason: &str| Answer::Reject { reason: reason.into(), note: Some("too stiff".into()) };
    let service = &gateway.api.service;
    assert!(service.answer(approval, hash, no("because"), &approver).await.is_err(), "the list is closed");
    assert!(service.answer(approval, hash, no("tone"), &approver).await.unwrap().is_none());
    let figures = gateway.post("/api/connex/integration-insights", Some(&key), &json!({})).await.json();
    let expected = json!([{ "template": shown["template"]["id"], "status": answer["canonical"]["status"],
        "reason": "tone", "count": 1 }]);
    assert_eq!(figures["rejections"], expected);
    assert_eq!(figures["outcomes"], json!([{ "key": "rejected", "count": 1 }]));
    let mut other = body.clone();
    other["sourceEventId"] = json!("2");
    other["app"] = json!("words");
    gateway.post("/api/connex/integration-event", Some(&key), &other).await;
    let app = tenant.app_by_name("words").await.unwrap().unwrap().id;
    let own = crate::store::templates::NewTemplate {
        app: Some(app),
        status: answer["canonical"]["status"].as_str().unwrap().into(),
        language: "en".into(),
        subject: Some("About {{record_id}}".into()),
        body: "Dear {{contact_name}}: soon.".into(),
    };
    let template = tenant.set_template(own, Who::Operator).await.unwrap();
    other["sourceEventId"] = json!("3");
    let answer = gateway.post("/api/connex/integration-event", Some(&key), &other).await.json();
    let shown = state(&gateway, &key, &json!({ "id": answer["materialized"]["drafts"][0] })).await;
    assert_eq!(shown["template"], json!({ "id": template.id, "version": 1 }));
    assert_eq!(
        (&shown["content"]["subject"], &shown["content"]["text"]),
        (&json!("About D-17"), &json!("Dear Ann Lee: soon."))
    );
}
