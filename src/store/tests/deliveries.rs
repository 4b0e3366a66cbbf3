//! Deliveries: who gets one, who holds it, and what follows an attempt; on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;

on_both_engines! {
    only_subscribed_endpoints_of_the_app_get_a_delivery,
    a_delivery_is_held_by_one_worker_until_its_lease_ends,
    an_attempt_is_recorded_with_what_follows,
    attempts_that_end_at_the_same_time_all_count_for_the_endpoints_health,
    a_disabled_endpoint_holds_what_waits_and_what_comes,
    what_was_under_way_when_its_endpoint_was_removed_is_cancelled,
    what_was_under_way_when_its_endpoint_was_disabled_is_held,
    a_delivery_that_cannot_be_read_stops_no_other_and_says_so,
    one_endpoint_cannot_take_all_the_places_of_a_claim,
    a_tenant_with_many_endpoints_leaves_places_to_the_others,
    a_tenant_that_is_alone_takes_all_places,
    what_is_under_way_counts_against_the_endpoints_limit,
}

async fn only_subscribed_endpoints_of_the_app_get_a_delivery(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["message.*"]).await;
    scene.endpoint(&["draft.created"]).await;
    let other_app = scene.own().put_app("other", &AppProfileRow::default()).await.unwrap();
    let id = scene.store.clock().mint();
    let endpoint = NewEndpoint {
        app: Some(other_app),
        url: "https://other.example".into(),
        secrets_sealed: String::new(),
        event_types: vec!["*".into()],
        mode: PayloadMode::Thin,
        schedule: "short",
        show_bcc: false,
    };
    scene.own().add_endpoint(id, endpoint).await.unwrap();
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let claimed = scene.claim(scene.store.clock().mint()).await;
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].body.contains("\"sequence\":1") && claimed[0].body.contains("hello"));
}

async fn a_delivery_is_held_by_one_worker_until_its_lease_ends(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    let messages = (0..20).map(|key| scene.message(key)).collect();
    scene.store.record_mail(messages, at(CURSOR)).await.unwrap();
    let workers: Vec<WorkerId> = (0..4).map(|_| scene.store.clock().mint()).collect();
    let claims = futures_util::future::join_all(workers.iter().map(|worker| scene.claim(*worker))).await;
    let mut ids: Vec<_> = claims.iter().flatten().map(|delivery| delivery.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), claims.iter().map(Vec::len).sum::<usize>()), (20, 20));
    assert!(scene.claim(workers[0]).await.is_empty());

    scene.store.clock().advance(Duration::from_secs(46));
    let again = scene.claim(workers[3]).await;
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|delivery| delivery.attempts == 0), "a killed worker costs no attempt");
    let late = claims.iter().flatten().find(|old| again.iter().any(|new| new.id == old.id)).unwrap();
    let first = workers.iter().zip(&claims).find(|(_, held)| held.iter().any(|row| row.id == late.id)).unwrap().0;
    if *first != workers[3] {
        let done = attempt(1, scene.store.clock().now(), NextStep::Succeeded);
        let result = scene.store.finish_attempt(*first, late, done).await;
        assert!(matches!(result, Err(StoreError::Conflict(_))), "the lease is lost");
    }
}

async fn an_attempt_is_recorded_with_what_follows(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.claim(worker).await.remove(0);
    let later = scene.store.clock().now().plus(Duration::from_secs(5));
    let failed = attempt(1, scene.store.clock().now(), NextStep::Retry(later));
    scene.store.finish_attempt(worker, &claimed, failed).await.unwrap();
    assert!(scene.claim(worker).await.is_empty(), "not due yet");
    scene.store.clock().advance(Duration::from_secs(5));
    let claimed = scene.claim(worker).await.remove(0);
    assert_eq!(claimed.attempts, 1);
    let done = attempt(2, scene.store.clock().now(), NextStep::Succeeded);
    scene.store.finish_attempt(worker, &claimed, done).await.unwrap();
    assert_eq!(scene.own().attempts(claimed.id).await.unwrap().len(), 2);
    assert_eq!(scene.store.delivery_backlog().await.unwrap().0, 0);
    let chain = scene.own().explain(&claimed.event.to_string()).await.unwrap();
    assert_eq!(chain["events"][0]["deliveries"][0]["state"], "succeeded");
    assert!(chain["message"]["id"].is_string());
}

async fn attempts_that_end_at_the_same_time_all_count_for_the_endpoints_health(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    let messages = (0..8).map(|key| scene.message(key)).collect();
    scene.store.record_mail(messages, at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.claim(worker).await;
    let ends = claimed.iter().map(|delivery| {
        let mut failed = attempt(1, scene.store.clock().now(), NextStep::Exhausted);
        failed.endpoint = Box::new(|health| {
            let failures = serde_json::from_str::<serde_json::Value>(health).unwrap()["n"].as_i64().unwrap_or(0) + 1;
            let health = format!("{{\"n\":{failures}}}");
            let blocked_until = Timestamp::from_micros(0);
            Some(EndpointChange { health, blocked_until, flight_limit: None, disabled: None })
        });
        scene.store.finish_attempt(worker, delivery, failed)
    });
    for end in futures_util::future::join_all(ends).await {
        end.unwrap();
    }
    assert_eq!(scene.own().endpoints().await.unwrap()[0].health["n"], 8);
}

async fn a_disabled_endpoint_holds_what_waits_and_what_comes(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(1), scene.message(2)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.store.claim_deliveries(worker, limits(1, 1)).await.unwrap().remove(0);
    let mut gone = attempt(1, scene.store.clock().now(), NextStep::Held);
    gone.endpoint = change(None, Some("gone"));
    scene.store.finish_attempt(worker, &claimed, gone).await.unwrap();
    scene.store.record_mail(vec![scene.message(3)], at(CURSOR)).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(3600));
    assert!(scene.claim(worker).await.is_empty());
    let held: Vec<_> = scene.own().explain(&claimed.event.to_string()).await.unwrap()["events"][0]["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| delivery["state"].clone())
        .collect();
    assert_eq!(held, ["held"]);
    assert_eq!(scene.own().endpoints().await.unwrap()[0].state_reason.as_deref(), Some("gone"));

    assert_eq!(scene.own().enable_endpoint(claimed.endpoint).await.unwrap(), 3);
    assert!(matches!(scene.own().enable_endpoint(claimed.endpoint).await, Err(StoreError::NotFound(_))));
    assert_eq!(scene.claim(worker).await.len(), 3, "nothing that was held is lost");
}

async fn what_was_under_way_when_its_endpoint_was_removed_is_cancelled(engine: Engine) {
    let scene = Scene::new(engine).await;
    let endpoint = scene.endpoint(&["*"]).await;
    scene.store.record_mail((1..=5).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.claim(worker).await;
    scene.own().remove_endpoint(endpoint).await.unwrap();
    let now = scene.store.clock().now();
    let later = now.plus(Duration::from_secs(5));
    let steps = [NextStep::Retry(later), NextStep::Held, NextStep::Succeeded, NextStep::Exhausted];
    for (delivery, next) in claimed.iter().zip(steps) {
        scene.store.finish_attempt(worker, delivery, attempt(1, now, next)).await.unwrap();
    }
    assert_eq!(scene.delivery_state(claimed[4].event).await, ("in_flight".into(), false));
    scene.store.clock().advance(Duration::from_secs(46));
    assert!(scene.claim(worker).await.is_empty());
    let ends = ["cancelled", "cancelled", "succeeded", "exhausted", "cancelled"];
    for (delivery, end) in claimed.iter().zip(ends) {
        assert_eq!(scene.delivery_state(delivery.event).await, (end.into(), true));
    }
    assert_eq!(scene.store.delivery_backlog().await.unwrap(), (0, None));
}

async fn what_was_under_way_when_its_endpoint_was_disabled_is_held(engine: Engine) {
    let scene = Scene::new(engine).await;
    let endpoint = scene.endpoint(&["*"]).await;
    scene.store.record_mail((1..=3).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.claim(worker).await;
    let now = scene.store.clock().now();
    let mut gone = attempt(1, now, NextStep::Held);
    gone.endpoint = change(None, Some("gone"));
    scene.store.finish_attempt(worker, &claimed[0], gone).await.unwrap();
    let failed = attempt(1, now, NextStep::Retry(now.plus(Duration::from_secs(5))));
    scene.store.finish_attempt(worker, &claimed[1], failed).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(46));
    assert!(scene.claim(worker).await.is_empty());
    for delivery in &claimed {
        assert_eq!(scene.delivery_state(delivery.event).await, ("held".into(), false));
    }
    assert_eq!(scene.store.delivery_backlog().await.unwrap(), (0, None));
    assert_eq!(scene.own().enable_endpoint(endpoint).await.unwrap(), 3);
    assert_eq!(scene.claim(worker).await.len(), 3);
}

async fn a_delivery_that_cannot_be_read_stops_no_other_and_says_so(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail((1..=3).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let bad = scene.own().events_after(0, 1).await.unwrap().remove(0).id;
    scene.damage("DELETE FROM payloads WHERE event_id = $1", bad.to_string()).await;
    let other = scene.endpoint(&["*"]).await;
    scene
        .damage("UPDATE webhook_endpoints SET headers = '{\"x\":sesame}' WHERE endpoint_id = $1", other.to_string())
        .await;
    scene.store.record_mail(vec![scene.message(4)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.claim(worker).await;
    assert_eq!(claimed.len(), 3, "all but the one without payload and the one of the damaged endpoint");
    assert!(claimed.iter().all(|delivery| delivery.event != bad && delivery.endpoint != other));

    assert_eq!(scene.delivery_state(bad).await, ("exhausted".into(), true));
    let chain = scene.own().explain(&bad.to_string()).await.unwrap();
    let attempts = &chain["events"][0]["deliveries"][0]["attempts"];
    assert_eq!(attempts.as_array().unwrap().len(), 1);
    assert_eq!((&attempts[0]["number"], &attempts[0]["reason"]), (&1.into(), &"unreadable".into()));
    let newest = scene.own().events_after(3, 1).await.unwrap().remove(0).id;
    let chain = scene.own().explain(&newest.to_string()).await.unwrap().to_string();
    assert!(chain.contains("stored headers") && !chain.contains("sesame"));
    scene.store.clock().advance(Duration::from_secs(46));
    assert_eq!(scene.claim(worker).await.len(), 3, "what was set aside does not come again");
}

async fn one_endpoint_cannot_take_all_the_places_of_a_claim(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    let messages = (0..9).map(|key| scene.message(key)).collect();
    scene.store.record_mail(messages, at(CURSOR)).await.unwrap();
    scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(100)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.store.claim_deliveries(worker, limits(4, 3)).await.unwrap();
    let mut endpoints: Vec<_> = claimed.iter().map(|delivery| delivery.endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!((claimed.len(), endpoints.len()), (4, 2));
}

async fn a_tenant_with_many_endpoints_leaves_places_to_the_others(engine: Engine) {
    let mut scene = Scene::new(engine).await;
    let first = scene.tenant;
    let second = scene.store.add_tenant("other").await.unwrap();
    let second_app = scene.store.for_tenant(second).put_app("deals", &AppProfileRow::default()).await.unwrap();
    let first_app = std::mem::replace(&mut scene.app, second_app);
    scene.tenant = second;
    scene.endpoint(&["*"]).await;
    (scene.tenant, scene.app) = (first, first_app);
    for _ in 0..6 {
        scene.endpoint(&["*"]).await;
    }
    scene.store.record_mail(vec![scene.message(1), scene.message(2)], at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let limits = ClaimLimits { count: 8, per_endpoint: 4, per_tenant: 4, lease: LEASE };
    let claimed = scene.store.claim_deliveries(worker, limits).await.unwrap();
    let mut endpoints: Vec<_> = claimed.iter().map(|delivery| delivery.endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!((claimed.len(), endpoints.len()), (4, 4), "shared by the tenant's endpoints");
    assert!(scene.store.claim_deliveries(worker, limits).await.unwrap().is_empty(), "what is under way counts");
    let done = attempt(1, scene.store.clock().now(), NextStep::Succeeded);
    scene.store.finish_attempt(worker, &claimed[0], done).await.unwrap();

    (scene.tenant, scene.app) = (second, second_app);
    scene.store.record_mail(vec![scene.message(3)], at(CURSOR)).await.unwrap();
    let one = ClaimLimits { count: 1, ..limits };
    let next = scene.store.claim_deliveries(worker, one).await.unwrap();
    assert_eq!(next[0].tenant, second, "who has the least under way comes first, however late");
    let next = scene.store.claim_deliveries(worker, limits).await.unwrap();
    assert_eq!(next.iter().map(|delivery| delivery.tenant).collect::<Vec<_>>(), [first]);
    let elsewhere = scene.store.claim_deliveries(scene.store.clock().mint(), limits).await.unwrap();
    assert_eq!(elsewhere.len(), 4, "another node has places of its own");
}

async fn a_tenant_that_is_alone_takes_all_places(engine: Engine) {
    let scene = Scene::new(engine).await;
    for _ in 0..6 {
        scene.endpoint(&["*"]).await;
    }
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let limits = ClaimLimits { count: 8, per_endpoint: 4, per_tenant: 4, lease: LEASE };
    assert_eq!(scene.store.claim_deliveries(scene.store.clock().mint(), limits).await.unwrap().len(), 6);
}

async fn what_is_under_way_counts_against_the_endpoints_limit(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    let messages = (0..9).map(|key| scene.message(key)).collect();
    scene.store.record_mail(messages, at(CURSOR)).await.unwrap();
    let worker = scene.store.clock().mint();
    let mut claimed = scene.store.claim_deliveries(worker, limits(10, 3)).await.unwrap();
    assert_eq!(claimed.len(), 3);
    assert!(scene.store.claim_deliveries(worker, limits(10, 3)).await.unwrap().is_empty());
    let first = claimed.remove(0);
    let mut failed = attempt(1, scene.store.clock().now(), NextStep::Exhausted);
    failed.endpoint = change(Some(1), None);
    scene.store.finish_attempt(worker, &first, failed).await.unwrap();
    assert!(
        scene.store.claim_deliveries(worker, limits(10, 3)).await.unwrap().is_empty(),
        "the breaker lets one probe"
    );
    scene.store.clock().advance(LEASE);
    assert_eq!(scene.store.claim_deliveries(worker, limits(10, 3)).await.unwrap().len(), 1);
}
