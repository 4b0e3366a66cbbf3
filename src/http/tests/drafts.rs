//! From a proposal to its release: drafts, the gate's answers, people's answers, and what a key can never do.

use std::time::Duration;

use super::*;
use crate::governance::ContentHash;
use crate::governance::audit::Who;
use crate::ids::{OPERATOR, UserId};
use crate::mail::address::Mailbox;
use crate::service::drafts::approvals::{Answer, Approver};
use crate::service::drafts::release::ReleaseAnswer;
use crate::service::{Conflict, ServiceError};
use crate::store::directory::NewMailbox;
use crate::store::signing::SigningKeyRow;
use crate::store::standing::{Paused, SuppressionReason};

const DRAFTS: &str = "/api/v1/drafts";

/// A mailbox of the tenant, and a signing key of the platform domain that DNS was seen to have.
async fn mailbox(gateway: &Gateway, local: &str, owner: &str, policy: &str) {
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

fn proposal(local: &str, text: &str) -> Value {
    json!({ "mailbox": format!("{local}@gate.example"), "name": "Sales", "to": ["Ann Lee <ann@lakeside.example>"],
        "bcc": ["boss@lakeside.example"], "subject": "Tuesday", "text": text })
}

async fn propose(gateway: &Gateway, key: &str, body: &Value) -> Value {
    let reply = gateway.post(DRAFTS, Some(key), body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

async fn act(gateway: &Gateway, key: &str, draft: &Value, action: &str, body: &Value) -> Reply {
    gateway.post(&format!("{DRAFTS}/{}/{action}", draft["id"].as_str().unwrap()), Some(key), body).await
}

async fn state(gateway: &Gateway, key: &str, draft: &Value) -> Value {
    let reply = gateway.get(&format!("{DRAFTS}/{}", draft["id"].as_str().unwrap()), Some(key)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
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
    let draft = propose(gateway, key, &proposal("sales", &format!("See you, {word}."))).await;
    let asked = act(gateway, key, &draft, "release-request", &json!({})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
    (draft["id"].as_str().unwrap().to_owned(), asked.json()["approvalId"].as_str().unwrap().to_owned())
}

/// A person's yes to a question, to all that the page showed.
async fn approve(
    gateway: &Gateway,
    approval: &str,
    hash: &str,
    user: u128,
) -> Result<Option<ReleaseAnswer>, ServiceError> {
    let approver = Approver::of_test(gateway.tenant, UserId::from_bits(user), true);
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
    gateway.store.for_tenant(gateway.tenant).begin_sending(worker, &claimed).await.unwrap();
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
    assert!(service.answer(&approval, hash, no("wrong_tone"), &approver).await.unwrap().is_none());
    assert_eq!(state(&gateway, &key, &draft).await["state"], "denied");
    let shown = gateway.get(&format!("/api/v1/approvals/{approval}"), Some(&key)).await.json();
    assert_eq!((shown["state"].as_str(), shown["rejectReason"].as_str()), (Some("rejected"), Some("wrong_tone")));
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

/// A tenant with a mailbox that may send by itself, to strangers too.
async fn open_mailbox(gateway: &Gateway, policy: crate::governance::Policy) -> crate::store::TenantStore {
    mailbox(gateway, "auto", "connex", "policy_auto").await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let open = crate::governance::Policy { participants_only: false, ..policy };
    tenant.set_policy(open, Who::Operator).await.unwrap();
    tenant
}

const HARMLESS: &str = "Good morning Ann, thank you for this. See you soon. Best regards";

async fn look(gateway: &Gateway) {
    crate::pipeline::questions::Questions::new(gateway.api.service.clone()).round().await.unwrap();
}

#[tokio::test]
async fn what_a_pause_holds_goes_on_by_itself_with_the_yes_that_it_has() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let tenant = open_mailbox(&gateway, crate::governance::Policy::default()).await;
    let (id, approval) = ask(&gateway, &key, "Ann").await;
    let (asked, by_policy) = (json!({ "id": id }), propose(&gateway, &key, &proposal("auto", HARMLESS)).await);
    tenant.pause_sending(Paused::Tenant, true, Who::Operator).await.unwrap();
    let answer = act(&gateway, &key, &by_policy, "release-request", &json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    assert_eq!((answer.json()["state"].as_str(), answer.json()["approvalId"].as_str()), (Some("draft"), None));
    let hash = state(&gateway, &key, &asked).await["contentHash"].as_str().unwrap().to_owned();
    let answer = approve(&gateway, &approval, &hash, 1).await.unwrap().unwrap();
    assert_eq!((answer.state.as_str(), answer.approval_id), ("approved", None), "nobody is asked again");
    for (draft, expected) in [(&asked, "approved"), (&by_policy, "draft")] {
        gateway.clock.advance(Duration::from_secs(61));
        look(&gateway).await;
        let shown = state(&gateway, &key, draft).await;
        assert_eq!((shown["state"].as_str(), shown["held"].as_bool()), (Some(expected), Some(true)));
    }
    // One of them is taken back, and does not go on.
    let taken_back = propose(&gateway, &key, &proposal("auto", HARMLESS)).await;
    act(&gateway, &key, &taken_back, "release-request", &json!({})).await;
    assert_eq!(act(&gateway, &key, &taken_back, "withdraw", &json!({})).await.json()["held"], false);
    tenant.pause_sending(Paused::Tenant, false, Who::Operator).await.unwrap();
    look(&gateway).await;
    for (draft, expected) in [(&asked, "released"), (&by_policy, "released"), (&taken_back, "withdrawn")] {
        let shown = state(&gateway, &key, draft).await;
        assert_eq!((shown["state"].as_str(), shown["held"].as_bool()), (Some(expected), Some(false)));
    }
    let audit = tenant.audit_of(&id).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["draft.created", "approval.asked", "approval.approved", "draft.held", "draft.released"]);
}

#[tokio::test]
async fn a_yes_that_ran_out_during_a_pause_is_asked_for_again() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (id, approval) = ask(&gateway, &key, "Ann").await;
    let (draft, tenant) = (json!({ "id": id }), gateway.store.for_tenant(gateway.tenant));
    tenant.pause_sending(Paused::Tenant, true, Who::Operator).await.unwrap();
    let hash = state(&gateway, &key, &draft).await["contentHash"].as_str().unwrap().to_owned();
    approve(&gateway, &approval, &hash, 1).await.unwrap().unwrap();
    gateway.clock.advance(Duration::from_hours(8 * 24));
    gateway.store.for_tenant(OPERATOR).note_signing_key("gate.example", "s1", true).await.unwrap();
    tenant.pause_sending(Paused::Tenant, false, Who::Operator).await.unwrap();
    look(&gateway).await;
    assert_eq!(state(&gateway, &key, &draft).await["state"], "pending_approval");
    let waiting = tenant.approvals(Some(crate::store::approvals::ApprovalState::Pending), None, 9).await.unwrap();
    assert_eq!(waiting.len(), 1);
    // Two weeks later nobody has answered.
    gateway.clock.advance(Duration::from_hours(14 * 24));
    look(&gateway).await;
    assert_eq!(state(&gateway, &key, &draft).await["state"], "expired");
}

#[tokio::test]
async fn a_quota_lets_out_as_many_as_it_says_and_what_is_over_goes_on_when_there_is_room() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let policy = crate::governance::Policy { mailbox_per_day: 1, automatic_per_correspondent: 1, ..Default::default() };
    let tenant = open_mailbox(&gateway, policy).await;
    let mut other = proposal("auto", HARMLESS);
    (other["to"], other["bcc"]) = (json!(["bo@harbor.example"]), json!([]));
    let first = propose(&gateway, &key, &proposal("auto", HARMLESS)).await;
    let second = propose(&gateway, &key, &other).await;
    let answer = act(&gateway, &key, &first, "release-request", &json!({})).await.json();
    assert_eq!(answer["state"], "released");
    // What the gate is asked at the moment of sending: its own release does not stand in its way.
    assert_eq!(act(&gateway, &key, &first, "check", &json!({})).await.json()["verdict"], "release");
    let answer = act(&gateway, &key, &second, "release-request", &json!({})).await.json();
    assert_eq!((codes(&answer), answer["state"].as_str()), (vec!["quota_exceeded"], Some("draft")));
    gateway.clock.advance(Duration::from_hours(24));
    gateway.store.for_tenant(OPERATOR).note_signing_key("gate.example", "s1", true).await.unwrap();
    look(&gateway).await;
    assert_eq!(state(&gateway, &key, &second).await["state"], "released");
    drop(tenant);
}

#[tokio::test]
async fn a_yes_to_what_leaves_later_counts_until_it_leaves_and_it_can_be_taken_back_while_it_is_paused() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let tenant = open_mailbox(&gateway, crate::governance::Policy::default()).await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    let draft = propose(&gateway, &key, &proposal("sales", "See you, Ann.")).await;
    let in_days = |days: u64| gateway.clock.now().plus(Duration::from_hours(24 * days)).to_string();
    let asked = act(&gateway, &key, &draft, "release-request", &json!({ "sendAt": in_days(20) })).await.json();
    let hash = draft["contentHash"].as_str().unwrap();
    let answer = approve(&gateway, asked["approvalId"].as_str().unwrap(), hash, 1).await.unwrap().unwrap();
    assert_eq!(answer.state, "released");
    tenant.pause_sending(Paused::Tenant, true, Who::Operator).await.unwrap();
    gateway.clock.advance(Duration::from_hours(20 * 24));
    gateway.store.for_tenant(OPERATOR).note_signing_key("gate.example", "s1", true).await.unwrap();
    // The pause is all that holds it: the yes still counts.
    assert_eq!(codes(&act(&gateway, &key, &draft, "check", &json!({})).await.json()), ["sending_paused"]);
    let worker = gateway.clock.mint();
    let claimed = gateway.store.claim_transmissions(worker).await.unwrap().unwrap();
    // A sender looks at it at this very moment.
    let withdrawn = act(&gateway, &key, &draft, "withdraw", &json!({})).await.json();
    assert_eq!(
        (withdrawn["state"].as_str(), withdrawn["transmissions"][0]["state"].as_str()),
        (Some("withdrawn"), Some("rejected"))
    );
    tenant.put_back(worker, &claimed, gateway.clock.now()).await.unwrap();
    assert_eq!(gateway.store.claim_transmissions(worker).await.unwrap(), None, "nothing is left to be sent");
}
