//! Policies as data: what they let out, who may say yes, and what another would have said.

use super::*;
use crate::governance::policy::{Policy, QuietHours, Scope};
use crate::governance::role::Role;
use crate::service::accounts::STEP_UP;
use crate::service::policies::{ReplayBounds, replay};

async fn set(gateway: &Gateway, policy: Policy) {
    gateway.store.for_tenant(gateway.tenant).set_policy(policy, Who::Operator).await.unwrap();
}

/// Lets drafts to strangers go without a person.
fn open() -> Policy {
    Policy { participants_only: false, automatic_per_correspondent: 100, ..Policy::default() }
}

async fn asked(gateway: &Gateway, key: &str, local: &str) -> (Value, Reply) {
    let text = "Good morning Ann, thank you for this. See you soon. Best regards";
    let draft = propose(gateway, key, &proposal(local, text)).await;
    let reply = act(gateway, key, &draft, "release-request", &json!({})).await;
    (draft, reply)
}

#[tokio::test]
async fn the_strictest_scope_that_fits_a_draft_is_obeyed_and_others_are_not() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for local in ["sales", "other"] {
        mailbox(&gateway, local, "connex", "policy_auto").await;
    }
    let only = |recipients| Scope { recipients: Some(recipients), ..Scope::default() };
    let scopes = vec![
        Scope { mailbox: Some("sales@gate.example".into()), ..only(5) },
        Scope { recipient_domain: Some("lakeside.example".into()), ..only(2) },
        Scope { mailbox: Some("other@gate.example".into()), ..only(1) },
    ];
    set(&gateway, Policy { scopes, ..open() }).await;
    assert_eq!(asked(&gateway, &key, "sales").await.1.json()["state"], "released", "two recipients are two");
    refused(&asked(&gateway, &key, "other").await.1, "too_many_recipients");
    set(&gateway, Policy { block: vec!["lakeside.example".into()], ..open() }).await;
    refused(&asked(&gateway, &key, "sales").await.1, "recipient_not_allowed");
    set(&gateway, Policy { automatic_templates: Some(vec!["welcome".into()]), ..open() }).await;
    let held = asked(&gateway, &key, "sales").await.1;
    assert_eq!((held.status, codes(&held.json())), (StatusCode::ACCEPTED, vec!["approval_required"]));
}

#[tokio::test]
async fn what_is_released_in_quiet_hours_waits_for_their_end_and_a_scopes_daily_limit_holds() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "policy_auto").await;
    // It is 10:00 in UTC, and 11:00 in Berlin.
    let hours = |from: &str, to: &str| Some(QuietHours { from: from.into(), to: to.into() });
    let time_zone = "Europe/Berlin".to_owned();
    set(&gateway, Policy { quiet_hours: hours("10:30", "11:30"), time_zone, ..open() }).await;
    let (draft, answer) = asked(&gateway, &key, "sales").await;
    assert_eq!(answer.json()["state"], "released");
    let waiting = state(&gateway, &key, &draft).await;
    assert_eq!(waiting["transmissions"][0]["nextAttemptAt"], "2026-11-23T10:30:00.000Z", "{waiting}");
    let always = [("10:30", "22:30"), ("22:30", "10:30")].map(|(from, to)| Scope {
        mailbox: Some("sales@gate.example".into()),
        quiet_hours: hours(from, to),
        ..Scope::default()
    });
    set(&gateway, Policy { scopes: always.into(), ..open() }).await;
    let held = asked(&gateway, &key, "sales").await.1;
    assert_eq!((held.status, codes(&held.json())), (StatusCode::ACCEPTED, vec!["quiet_hours"]));
    set(&gateway, Policy { quiet_hours: hours("09:30", "10:30"), time_zone: "Europe/Berlin".into(), ..open() }).await;
    let (draft, _) = asked(&gateway, &key, "sales").await;
    let waiting = state(&gateway, &key, &draft).await;
    assert_eq!(waiting["transmissions"][0]["nextAttemptAt"], "2026-11-23T10:00:00.000Z", "{waiting}");
    // The first leaves later; of those that leave now this is the second.
    let scope = Scope { recipient_domain: Some("lakeside.example".into()), per_day: Some(2), ..Scope::default() };
    set(&gateway, Policy { scopes: vec![scope], ..open() }).await;
    assert_eq!(asked(&gateway, &key, "sales").await.1.json()["state"], "released");
    let held = asked(&gateway, &key, "sales").await.1;
    assert_eq!((held.status, codes(&held.json())), (StatusCode::ACCEPTED, vec!["quota_exceeded"]));
}

#[tokio::test]
async fn a_yes_of_a_lower_role_than_the_policy_asks_for_is_refused() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "human_approval").await;
    set(&gateway, Policy { approver: Role::Admin, ..open() }).await;
    let (draft, asked) = asked(&gateway, &key, "sales").await;
    let approval = asked.json()["approvalId"].as_str().unwrap().to_owned();
    let answer = approve(&gateway, &approval, draft["contentHash"].as_str().unwrap(), 1).await;
    assert!(matches!(answer, Err(ServiceError::Conflict(Conflict::State(_)))), "{answer:?}");
    assert_eq!(state(&gateway, &key, &draft).await["state"], "pending_approval");
}

#[tokio::test]
async fn to_put_a_question_off_needs_the_role_of_the_scope_that_is_for_the_draft() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    for local in ["sales", "other"] {
        mailbox(&gateway, local, "connex", "human_approval").await;
    }
    let scope = Scope { mailbox: Some("sales@gate.example".into()), approver: Some(Role::Admin), ..Scope::default() };
    set(&gateway, Policy { scopes: vec![scope], ..open() }).await;
    let approver = Approver::of_test(gateway.tenant, UserId::from_bits(1), true);
    let until = gateway.clock.now().plus(std::time::Duration::from_hours(1));
    let put_off = async |local: &str| {
        let (draft, asked) = asked(&gateway, &key, local).await;
        let approval = asked.json()["approvalId"].as_str().unwrap().to_owned();
        let hash = draft["contentHash"].as_str().unwrap().parse().unwrap();
        gateway.api.service.defer(&approval, hash, until, &approver).await
    };
    let refused = put_off("sales").await;
    assert!(matches!(refused, Err(ServiceError::Conflict(Conflict::State(_)))), "{refused:?}");
    put_off("other").await.unwrap();
}

#[tokio::test]
async fn another_policy_is_tried_on_what_was_asked_before_and_changes_nothing() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    let page = gateway.page("ann@acme.example", Role::Admin).await;
    mailbox(&gateway, "sales", "connex", "policy_auto").await;
    set(&gateway, open()).await;
    let (first, _) = asked(&gateway, &key, "sales").await;
    gateway.clock.advance(std::time::Duration::from_secs(1));
    let (second, _) = asked(&gateway, &key, "sales").await;
    assert_eq!(state(&gateway, &key, &second).await["state"], "released");
    let simulate = |body: Value| {
        let page = &page;
        async move { page.call("POST", "/api/v1/policies/simulate", body).await }
    };
    let before = page.call("GET", "/api/v1/policies", Value::Null).await.json();
    assert_eq!((&before["policy"]["version"], &before["history"][0]["madeBy"]), (&json!("v1"), &json!("operator")));
    let rows = || async { gateway.store.for_tenant(gateway.tenant).audit_head().await.unwrap() };
    let head = rows().await;

    let same = simulate(json!({ "policy": { "participantsOnly": false } })).await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text());
    let same = same.json();
    assert_eq!((&same["judged"], &same["changed"], &same["skipped"]), (&json!(2), &json!(0), &json!(0)), "{same}");
    assert_eq!(same["restSince"], Value::Null);
    // What is more than one call asks for is asked for by the next.
    let tenant = gateway.store.for_tenant(gateway.tenant);
    let begin = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    for bounds in [ReplayBounds { verdicts: 1, octets: usize::MAX }, ReplayBounds { verdicts: 9, octets: 1 }] {
        let part = replay(&tenant, &Policy::default(), begin, Some(bounds)).await.unwrap();
        assert_eq!((part.judged, part.differences[0].draft.as_str()), (1, first["id"].as_str().unwrap()));
        let rest = Timestamp::parse_rfc3339(&part.rest_since.unwrap()).unwrap();
        let part = replay(&tenant, &Policy::default(), rest, Some(bounds)).await.unwrap();
        assert_eq!((part.judged, part.rest_since), (1, None));
        assert_eq!(part.differences[0].draft.as_str(), second["id"]);
    }
    let strict = simulate(json!({ "policy": { "participantsOnly": false, "mailboxPerDay": 1 } })).await.json();
    assert_eq!((&strict["changed"], &strict["changes"]), (&json!(1), &json!({ "release -> hold": 1 })), "{strict}");
    assert_eq!(strict["differences"][0]["draft"], second["id"]);
    assert_eq!(strict["differences"][0]["after"]["codes"], json!(["quota_exceeded"]));
    // What the words say is read again from the very bytes.
    let worded = simulate(json!({ "policy": { "participantsOnly": false, "riskWords": ["thank you"] } })).await.json();
    assert_eq!(worded["differences"][0]["after"]["codes"], json!(["approval_required", "risk_high"]));
    let default = simulate(json!({ "policy": {} })).await.json();
    assert_eq!((&default["changed"], &default["differences"][0]["draft"]), (&json!(2), &first["id"]));
    assert_eq!(simulate(json!({ "policy": {}, "since": "2027-01-01T00:00:00Z" })).await.json()["judged"], 0);

    let faulty = json!({ "policy": { "recipients": 0, "timeZone": "Mars/Olympus" } });
    let problem = simulate(faulty).await.problem(422, "invalid_request");
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/policy/recipients", "/policy/timeZone"]);
    assert_eq!(page.call("GET", "/api/v1/policies", Value::Null).await.json(), before);
    assert_eq!(rows().await, head, "nothing was recorded either");
}

#[tokio::test]
async fn an_administrator_who_has_just_proved_who_they_are_makes_a_policy_and_no_key_does() {
    let gateway = Gateway::new().await;
    let key = gateway.key().await;
    mailbox(&gateway, "sales", "connex", "policy_auto").await;
    let policy = json!({ "participantsOnly": false, "automaticPerCorrespondent": 100 });
    for (method, path) in
        [("POST", "/api/v1/policies"), ("POST", "/api/v1/policies/simulate"), ("GET", "/api/v1/policies")]
    {
        let call = request(method, path, Some(&key)).body(Body::from(policy.to_string())).unwrap();
        gateway.send(call).await.problem(403, "people_only");
    }
    let approver = gateway.page("eve@acme.example", Role::Approver).await;
    approver.call("POST", "/api/v1/policies", policy.clone()).await.problem(403, "forbidden_role");
    let admin = gateway.page("ann@acme.example", Role::Admin).await;
    let faulty =
        admin.call("POST", "/api/v1/policies", json!({ "recipients": 0 })).await.problem(422, "invalid_request");
    assert_eq!(faulty["errors"][0]["pointer"], "/recipients");
    admin.call("POST", "/api/v1/policies", json!({ "recipient": 2 })).await.problem(422, "invalid_request");
    let held = asked(&gateway, &key, "sales").await.1;
    assert!(codes(&held.json()).contains(&"new_recipient"), "{}", held.text());

    let made = admin.call("POST", "/api/v1/policies", policy.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["version"], made["madeBy"].as_str().unwrap().starts_with("user:")),
        (&json!("v1"), true),
        "{made}"
    );
    assert_eq!(asked(&gateway, &key, "sales").await.1.json()["state"], "released", "it is obeyed");
    let view = admin.call("GET", "/api/v1/policies", Value::Null).await.json();
    assert_eq!((&view["policy"]["version"], &view["history"][0]), (&json!("v1"), &made));
    gateway.clock.advance(STEP_UP + std::time::Duration::from_secs(1));
    admin.call("POST", "/api/v1/policies", policy).await.problem(403, "step_up_required");
}
