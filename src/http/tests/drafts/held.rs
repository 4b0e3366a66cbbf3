//! What a pause or a quota holds goes on by itself.

use std::time::Duration;

use super::*;
use crate::governance::Policy;

/// A tenant with a mailbox that may send by itself, to strangers too.
async fn open_mailbox(gateway: &Gateway, policy: Policy) -> crate::store::TenantStore {
    mailbox(gateway, "auto", "connex", "policy_auto").await;
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let open = Policy { participants_only: false, ..policy };
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
    let tenant = open_mailbox(&gateway, Policy::default()).await;
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
    let policy = Policy { mailbox_per_day: 1, automatic_per_correspondent: 1, ..Default::default() };
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
    let tenant = open_mailbox(&gateway, Policy::default()).await;
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
    tenant.put_back(worker, claimed, gateway.clock.now()).await.unwrap();
    assert_eq!(gateway.store.claim_transmissions(worker).await.unwrap(), None, "nothing is left to be sent");
}

#[tokio::test]
async fn mail_of_a_domain_of_which_dns_says_nothing_waits_until_it_does_and_is_denied_where_the_proof_is_gone() {
    const NAME: &str = "lake.example";
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let tenant = open_mailbox(&gateway, Policy::default()).await;
    tenant
        .claim_domain(&crate::mail::address::Domain::parse(NAME).unwrap(), "proof".into(), Who::Operator)
        .await
        .unwrap();
    tenant.prove_domain(NAME).await.unwrap();
    let new = NewMailbox {
        address: Mailbox::parse(&format!("sales@{NAME}")).unwrap(),
        app: None,
        identity_owner: "customer_domain".into(),
        reply_policy: "policy_auto".into(),
        external_reply_url: None,
    };
    tenant.add_mailbox(new).await.unwrap();
    let signing = SigningKeyRow {
        domain: NAME.into(),
        selector: "s1".into(),
        algorithm: "ed25519".into(),
        record: "v=DKIM1; k=ed25519; p=AA==".into(),
        state: "active".into(),
        created_at: gateway.clock.now(),
        seen_at: None,
        checked_at: None,
        secret_sealed: "s1:x".into(),
    };
    tenant.add_signing_key(signing, Who::Operator).await.unwrap();
    tenant.note_signing_key(NAME, "s1", true).await.unwrap();
    let mut proposed = proposal("auto", HARMLESS);
    proposed["mailbox"] = json!(format!("sales@{NAME}"));
    let draft = propose(&gateway, &key, &proposed).await;
    gateway.clock.advance(Duration::from_secs(25 * 3_600));
    let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!(
        (asked.status, codes(&asked.json())),
        (StatusCode::ACCEPTED, vec!["domain_unverified", "domain_keys_missing"])
    );
    assert_eq!(
        (&asked.json()["state"], &asked.json()["approvalId"]),
        (&json!("draft"), &Value::Null),
        "nobody is asked"
    );
    // DNS has an answer again.
    tenant.prove_domain(NAME).await.unwrap();
    tenant.note_signing_key(NAME, "s1", true).await.unwrap();
    gateway.clock.advance(Duration::from_secs(61));
    look(&gateway).await;
    assert_eq!(state(&gateway, &key, &draft).await["state"], "released");

    let gone = propose(&gateway, &key, &proposed).await;
    tenant.suspend_domain(NAME).await.unwrap();
    let denied = act(&gateway, &key, &gone, "release-request", &json!({})).await;
    refused(&denied, "domain_unverified");
    // Whoever lost the answer gets it again.
    assert_eq!(state(&gateway, &key, &gone).await["state"], "denied");
    let again = act(&gateway, &key, &gone, "release-request", &json!({})).await;
    assert_eq!((again.status, again.json()["code"].clone()), (denied.status, denied.json()["code"].clone()));
}

#[tokio::test]
async fn mail_of_a_platform_domain_waits_for_dns_too_and_is_denied_where_the_key_is_gone() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let _tenant = open_mailbox(&gateway, Policy::default()).await;
    let operator = gateway.store.for_tenant(OPERATOR);
    let draft = propose(&gateway, &key, &proposal("auto", HARMLESS)).await;
    let gone = propose(&gateway, &key, &proposal("auto", HARMLESS)).await;
    gateway.clock.advance(Duration::from_hours(25));
    let asked = act(&gateway, &key, &draft, "release-request", &json!({})).await;
    assert_eq!((asked.status, codes(&asked.json())), (StatusCode::ACCEPTED, vec!["domain_keys_missing"]));
    assert_eq!((&asked.json()["state"], &asked.json()["approvalId"]), (&json!("draft"), &Value::Null));
    operator.note_signing_key("gate.example", "s1", true).await.unwrap();
    gateway.clock.advance(Duration::from_secs(61));
    look(&gateway).await;
    assert_eq!(state(&gateway, &key, &draft).await["state"], "released");
    operator.note_signing_key("gate.example", "s1", false).await.unwrap();
    refused(&act(&gateway, &key, &gone, "release-request", &json!({})).await, "domain_keys_missing");
}
