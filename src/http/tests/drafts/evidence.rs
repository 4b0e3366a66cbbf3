//! Receipts, signed heads, and an audit log that stays whole when what it holds of persons is erased.

use super::*;
use crate::governance::audit::subject_of_address;
use crate::governance::signature::PublicKey;
use crate::service::accounts::STEP_UP;
use crate::service::audit::verify;
use crate::service::receipts::{Head, SignedReceipt};

/// A draft that a person let out, and its release.
async fn released(gateway: &Gateway, key: &str) -> (Value, String) {
    mailbox(gateway, "sales", "connex", "human_approval").await;
    let draft = propose(gateway, key, &proposal("sales", "See you on Tuesday.")).await;
    let asked = act(gateway, key, &draft, "release-request", &json!({})).await.json();
    let approval = asked["approvalId"].as_str().unwrap();
    let answer = approve(gateway, approval, draft["contentHash"].as_str().unwrap(), 1).await.unwrap().unwrap();
    (draft, answer.release_id.unwrap())
}

async fn published_key(gateway: &Gateway) -> PublicKey {
    let discovery = gateway.get("/.well-known/connex-agent", None).await.json();
    discovery["evidence"]["publicKey"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_release_has_a_receipt_that_the_published_key_signed_and_that_the_audit_log_knows() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (draft, release) = released(&gateway, &key).await;
    let reply = gateway.get(&format!("/api/v1/receipts/{release}"), Some(&key)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let signed = SignedReceipt::read(&reply.text()).unwrap();
    signed.check(Some(&published_key(&gateway).await)).unwrap();
    let receipt = signed.receipt;
    assert_eq!((receipt.release, receipt.draft.as_str()), (release.clone(), draft["id"].as_str().unwrap()));
    assert_eq!((receipt.content_hash.as_str(), receipt.recipients), (draft["contentHash"].as_str().unwrap(), 2));
    assert_eq!((receipt.allowed_by.as_str(), receipt.approvals.len()), ("person", 1));
    assert_eq!(receipt.approvals[0].by, format!("user:{}", UserId::from_bits(1)));
    assert_eq!(receipt.approvals[0].accepted, ["approval_required", "new_recipient"]);
    assert_eq!(receipt.identity.address.as_deref(), Some("sales@gate.example"));
    assert_eq!((receipt.verdict.ruling.as_str(), receipt.policy_version.as_str()), ("release", "default"));
    assert!(!reply.text().contains("lakeside.example"), "no recipient is named");

    let rows = gateway.store.for_tenant(gateway.tenant).audit_after(0, 100).await.unwrap();
    let row = rows.iter().find(|row| row.entry.number == receipt.audit.number).unwrap();
    assert_eq!(row.entry.action, "draft.released");
    let before = rows.iter().find(|row| row.entry.number + 1 == receipt.audit.number).unwrap();
    assert_eq!(before.hash.to_string(), receipt.audit.previous_hash);
    let detail: Value = serde_json::from_str(row.detail.as_deref().unwrap()).unwrap();
    assert_eq!((&detail["release"], detail["receipt"].as_str().unwrap().len()), (&json!(release), 64));
}

#[tokio::test]
async fn a_receipt_is_told_to_its_tenant_alone_and_to_a_key_that_may_read_the_log() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (_, release) = released(&gateway, &key).await;
    let path = format!("/api/v1/receipts/{release}");
    let unscoped = gateway.key_with(|new| new.scopes = Scopes::of(&[crate::keys::Scope::DraftsRead])).await;
    gateway.get(&path, Some(&unscoped)).await.problem(403, "forbidden_scope");
    let store = gateway.store.clone();
    let other = store.add_tenant("stranger").await.unwrap();
    let stranger = Gateway::over(gateway.place.clone(), store, other, |_| {});
    let strangers = stranger.key().await;
    stranger.get(&path, Some(&strangers)).await.problem(404, "not_found");
    let head: Head = serde_json::from_value(stranger.get("/api/v1/audit/head", Some(&strangers)).await.json()).unwrap();
    assert_eq!((head.number, head.tenant), (1, other), "of its key alone");
    // The log is of the whole organisation.
    let of_app = gateway.key_with(|key| key.bindings.apps = vec!["crm".into()]).await;
    let of_agent = gateway.key_with(|key| key.bindings.agent = Some("agent_7".into())).await;
    for bound in [of_app, of_agent] {
        for closed in ["/api/v1/audit", "/api/v1/audit/head", &path] {
            gateway.get(closed, Some(&bound)).await.problem(403, "forbidden_mailbox");
        }
    }
}

#[tokio::test]
async fn an_administrator_erases_a_person_and_what_was_released_is_shown_without_its_words() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let (draft, release) = released(&gateway, &key).await;
    let id = draft["id"].as_str().unwrap();
    let body = json!({ "subject": "Ann@lakeside.example" });
    let call = request("POST", "/api/v1/erasures", Some(&key)).body(Body::from(body.to_string())).unwrap();
    gateway.send(call).await.problem(403, "people_only");
    let approver = gateway.page("eve@acme.example", Role::Approver).await;
    approver.call("POST", "/api/v1/erasures", body.clone()).await.problem(403, "forbidden_role");
    let admin = gateway.page("bob@acme.example", Role::Admin).await;
    // What the log says of settings is no person's.
    for wrong in ["", "acme.example", "key_00000000000000000000000000"] {
        admin.call("POST", "/api/v1/erasures", json!({ "subject": wrong })).await.problem(422, "invalid_request");
    }
    let nobody = json!({ "subject": "drf_00000000000000000000000000" });
    admin.call("POST", "/api/v1/erasures", nobody).await.problem(404, "not_found");
    let told = admin.call("POST", "/api/v1/erasures", body.clone()).await.json();
    assert_eq!((&told["drafts"], &told["open"]), (&json!(0), &json!([id])), "it waits to be sent");
    assert!(!state(&gateway, &key, &draft).await["content"].is_null());

    act(&gateway, &key, &draft, "withdraw", &Value::Null).await;
    let head: Head = serde_json::from_value(gateway.get("/api/v1/audit/head", Some(&key)).await.json()).unwrap();
    let told = admin.call("POST", "/api/v1/erasures", body.clone()).await.json();
    assert_eq!((&told["drafts"], &told["open"]), (&json!(1), &json!([])), "{told}");
    let shown = state(&gateway, &key, &draft).await;
    assert_eq!((&shown["state"], &shown["content"]), (&json!("withdrawn"), &Value::Null));
    assert_eq!((&shown["contentHash"], shown["erasedAt"].is_string()), (&draft["contentHash"], true), "{shown}");
    let text = shown.to_string();
    assert!(!text.contains("lakeside.example") && !text.contains("See you on Tuesday"), "{text}");
    patch(&gateway, &key, id, json!({ "version": 1, "text": "again" })).await.problem(409, "state_conflict");
    for action in ["release-request", "check", "withdraw"] {
        act(&gateway, &key, &draft, action, &json!({})).await.problem(409, "state_conflict");
    }
    // Its receipt and the log are as good as before.
    let reply = gateway.get(&format!("/api/v1/receipts/{release}"), Some(&key)).await;
    SignedReceipt::read(&reply.text()).unwrap().check(Some(&published_key(&gateway).await)).unwrap();
    let tenant = gateway.store.for_tenant(gateway.tenant);
    verify(&tenant, Some(&head), &published_key(&gateway).await).await.unwrap();
    tenant.explain(id).await.unwrap();

    let page = gateway.get(&format!("/api/v1/audit?subject={id}&limit=2"), Some(&key)).await.json();
    let first: Vec<_> = page["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(
        (first, page["items"][0]["detail"].is_null()),
        (vec![json!("draft.created"), json!("approval.asked")], true)
    );
    let next = page["nextAfter"].as_u64().unwrap();
    let rest = gateway.get(&format!("/api/v1/audit?subject={id}&after={next}"), Some(&key)).await.json();
    let last = rest["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["action"], &rest["nextAfter"]), (&json!("draft.erased"), &Value::Null));
    assert!(last["actor"].as_str().unwrap().starts_with("user:"), "{last}");
    let all = gateway.get("/api/v1/audit?limit=200", Some(&key)).await.json();
    let numbers: Vec<_> = all["items"].as_array().unwrap().iter().filter_map(|row| row["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let same = admin.call("GET", "/api/v1/audit?limit=200", Value::Null).await.json();
    assert_eq!(same, all, "as an administrator reads it");
    approver.call("GET", "/api/v1/audit", Value::Null).await.problem(403, "forbidden_role");
    gateway.get("/api/v1/audit?behind=1", Some(&key)).await.problem(400, "invalid_parameter");
    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    admin.call("POST", "/api/v1/erasures", body).await.problem(403, "step_up_required");
}

#[tokio::test]
async fn what_is_erased_leaves_the_log_whole_and_names_the_person_no_more() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    released(&gateway, &key).await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    tenant.suppress("ann@lakeside.example".into(), SuppressionReason::Complaint, None, Who::Operator).await.unwrap();
    let head: Head = serde_json::from_value(gateway.get("/api/v1/audit/head", Some(&key)).await.json()).unwrap();
    let public = published_key(&gateway).await;
    let all = || async { format!("{:?}", tenant.audit_after(0, 100).await.unwrap()) };
    assert!(all().await.contains("ann@lakeside.example"));
    let subject = subject_of_address("ann@lakeside.example");
    assert_eq!(tenant.erase_audit_details(subject.clone(), 0, Who::Operator).await.unwrap(), 1);
    assert!(!all().await.contains("ann@lakeside.example"));
    verify(&tenant, Some(&head), &public).await.unwrap();
    let rows = tenant.audit_of(&subject).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["address.suppressed", "audit.erased"], "that it was erased is on record");
    assert_eq!(tenant.erase_audit_details("drf_none".into(), 0, Who::Operator).await.unwrap(), 0);
}
