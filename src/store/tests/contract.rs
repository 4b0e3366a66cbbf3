//! The contract of the store: each test runs on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::mail::marks::Mark;
use crate::mail::reading::Reader;
use crate::mail::retention::Keep;
use crate::store::events::NewObserved;
use crate::store::ingest::NewCopy;
use crate::store::instance::KeyHolder;
use crate::store::limits::{Block, BlockRequest};
use crate::store::marks::Confirmed;
use crate::store::routes::{NewRoute, RouteChange, RouteState, RouteStep};
use crate::store::watch::{Alarm, AlarmRow, Counts};

on_both_engines! {
    a_copy_of_a_message_makes_no_second_event_in_the_same_batch_or_later,
    the_cursor_counts_a_tenants_events_without_gaps,
    held_and_poisoned_messages_are_kept_without_events,
    a_reply_finds_its_thread_and_counts_on_in_it,
    one_source_event_is_recorded_once_however_often_and_concurrently_it_is_sent,
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
    nothing_of_one_tenant_is_seen_by_another,
    a_route_that_names_a_certificate_is_known_until_it_is_removed,
    a_route_keeps_its_former_addresses_and_steps_only_as_its_life_goes,
    alarms_and_refusals_of_a_route_are_counted_and_end,
    copies_are_counted_and_held_ones_wait_for_their_marks_to_be_confirmed,
    what_would_have_followed_is_added_up,
    an_address_has_one_owner_and_is_free_again_when_removed,
    what_was_recorded_is_there_after_the_store_is_opened_again,
    a_watcher_sees_what_is_new_in_order,
    takers_on_two_nodes_never_get_more_than_the_quota,
    blocks_get_smaller_towards_the_end_of_a_quota,
    windows_that_are_long_over_are_deleted,
    a_keyring_is_kept_in_place_of_the_one_that_was_seen_and_of_no_other,
    who_has_which_key_is_known_until_it_stops_or_is_not_seen_any_more,
}

async fn a_keyring_is_kept_in_place_of_the_one_that_was_seen_and_of_no_other(engine: Engine) {
    let Scene { store, .. } = Scene::new(engine).await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(store.keyring().await.unwrap(), None);
    assert!(!store.keep_keyring("b".to_owned(), text("a")).await.unwrap(), "there is none to be replaced");
    assert!(store.keep_keyring("a".to_owned(), None).await.unwrap());
    assert!(!store.keep_keyring("b".to_owned(), None).await.unwrap(), "there is one by now");
    let both =
        tokio::join!(store.keep_keyring("b".to_owned(), text("a")), store.keep_keyring("c".to_owned(), text("a")));
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "one of two that saw the same");
    assert!(["b", "c"].map(text).contains(&store.keyring().await.unwrap()));
}

async fn who_has_which_key_is_known_until_it_stops_or_is_not_seen_any_more(engine: Engine) {
    let Scene { store, .. } = Scene::new(engine).await;
    let within = Duration::from_secs(45);
    let holder = |name: &str, key: &str| KeyHolder { node: store.clock().mint(), name: name.into(), key: key.into() };
    let (one, two) = (holder("one", "old"), holder("two", "old"));
    for holder in [&two, &one] {
        store.note_key_holder(holder.clone()).await.unwrap();
    }
    assert_eq!(store.key_holders(within).await.unwrap(), [one.clone(), two.clone()]);
    let renewed = KeyHolder { key: "new".into(), ..one.clone() };
    store.clock().advance(Duration::from_secs(40));
    store.note_key_holder(renewed.clone()).await.unwrap();
    store.clock().advance(Duration::from_secs(10));
    assert_eq!(store.key_holders(within).await.unwrap(), [renewed], "the other was not seen for 50 s");
    store.forget_key_holder(one.node).await.unwrap();
    assert_eq!(store.key_holders(within).await.unwrap(), []);
}

async fn a_copy_of_a_message_makes_no_second_event_in_the_same_batch_or_later(engine: Engine) {
    let scene = Scene::new(engine).await;
    let first = vec![scene.message(1), scene.message(1), scene.message(2)];
    assert_eq!(scene.store.record_mail(first, at(CURSOR)).await.unwrap(), 2);
    scene.store.clock().advance(Duration::from_secs(40 * 24 * 3600));
    let later = SpoolCursor { segment: 2, position: 0 };
    assert_eq!(scene.store.record_mail(vec![scene.message(2), scene.message(3)], at(later)).await.unwrap(), 1);
    let duplicates = scene.own().messages(Some("duplicate"), 10).await.unwrap();
    assert_eq!(duplicates.len(), 2);
    assert!(duplicates.iter().all(|row| row.duplicate_of.is_some()));
    assert_eq!(scene.store.spool_cursor("n").await.unwrap(), Some(later));
    assert_eq!(scene.store.spool_cursor("other").await.unwrap(), None);
}

async fn the_cursor_counts_a_tenants_events_without_gaps(engine: Engine) {
    let scene = Scene::new(engine).await;
    let batches = (0..6_u8).map(|start| {
        let messages = (0..7_u8).map(|place| scene.message(start * 5 + place)).collect();
        scene.store.record_mail(messages, at(CURSOR))
    });
    let recorded: usize = futures_util::future::join_all(batches).await.into_iter().map(|result| result.unwrap()).sum();
    let events = scene.own().events_after(0, 100).await.unwrap();
    let cursors: Vec<i64> = events.iter().map(|event| event.cursor).collect();
    assert_eq!(recorded, 32);
    assert_eq!(cursors, (1..=32).collect::<Vec<i64>>());
    assert_eq!(scene.own().newest_cursor().await.unwrap(), 32);
}

async fn held_and_poisoned_messages_are_kept_without_events(engine: Engine) {
    let scene = Scene::new(engine).await;
    let mut held = scene.message(1);
    held.views.clear();
    held.kept = Some(Kept::Held("peer_not_authorised"));
    assert_eq!(scene.store.record_mail(vec![held], at(CURSOR)).await.unwrap(), 0);
    let row = scene.own().messages(Some("held"), 1).await.unwrap().remove(0);
    assert_eq!(row.reason.as_deref(), Some("peer_not_authorised"));
}

async fn a_reply_finds_its_thread_and_counts_on_in_it(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let thread = scene.own().thread_of("mbx_a", &[[9; 32], [7; 32]]).await.unwrap().unwrap();
    assert_eq!(scene.own().thread_of("mbx_b", &[[7; 32]]).await.unwrap(), None);
    let mut reply = scene.message(2);
    reply.views[0].event.thread = Some(NewThreadPlace { thread_id: thread, references: vec![], subjects: vec![] });
    scene.store.record_mail(vec![reply], at(CURSOR)).await.unwrap();
    let events = scene.own().events_after(0, 10).await.unwrap();
    let places: Vec<_> = events.iter().map(|event| event.thread.clone().unwrap()).collect();
    assert_eq!(places, [(thread.to_string(), 1), (thread.to_string(), 2)]);
}

async fn one_source_event_is_recorded_once_however_often_and_concurrently_it_is_sent(engine: Engine) {
    let scene = Scene::new(engine).await;
    let key = SourceKey {
        app_id: scene.app,
        source_system: "crm".into(),
        source_event_id: "evt_1".into(),
        fingerprint: [1; 32],
    };
    let calls = (0..8).map(|_| {
        let (own, key) = (scene.own(), key.clone());
        let event = scene.event("x", scene.store.clock().mint());
        async move { own.record_source_event(key, event).await.unwrap() }
    });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!(results.iter().filter(|result| matches!(result, Recorded::New)).count(), 1);
    assert!(results.iter().all(|result| match result {
        Recorded::Duplicate(answer) => answer.duplicate,
        other => matches!(other, Recorded::New),
    }));
    let other = SourceKey { fingerprint: [2; 32], ..key };
    let event = scene.event("x", scene.store.clock().mint());
    assert!(matches!(scene.own().record_source_event(other, event).await.unwrap(), Recorded::Conflict));
    assert_eq!(scene.own().newest_cursor().await.unwrap(), 1);
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

async fn nothing_of_one_tenant_is_seen_by_another(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let message = scene.own().messages(None, 1).await.unwrap().remove(0);
    let event = scene.own().events_after(0, 1).await.unwrap().remove(0);
    let stranger = scene.store.for_tenant(scene.store.add_tenant("stranger").await.unwrap());
    assert!(stranger.messages(None, 10).await.unwrap().is_empty());
    assert!(stranger.message(message.id).await.unwrap().is_none());
    assert!(stranger.event(event.id).await.unwrap().is_none());
    assert!(stranger.events_after(0, 10).await.unwrap().is_empty());
    assert!(matches!(stranger.explain(&event.id.to_string()).await, Err(StoreError::NotFound(_))));
    assert!(matches!(stranger.explain(&message.id.to_string()).await, Err(StoreError::NotFound(_))));
    assert!(stranger.app_by_name("deals").await.unwrap().is_none());
    assert!(stranger.endpoints().await.unwrap().is_empty());
    assert_eq!(stranger.thread_of("mbx_a", &[[7; 32]]).await.unwrap(), None);
    assert!(matches!(stranger.remove_app(scene.app).await, Err(StoreError::NotFound(_))));
}

async fn a_route_that_names_a_certificate_is_known_until_it_is_removed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let add = async |hash: u8, peer: &str| {
        let id = scene.store.clock().mint();
        let peers = vec![peer.parse().unwrap()];
        scene.own().add_route(id, NewRoute { peers, ..route(hash) }).await.unwrap();
        id
    };
    add(1, "door:milter").await;
    assert!(!scene.store.has_route_with_certificate().await.unwrap());
    let named = add(2, "cert:name:Lake CA:out.lake.example").await;
    assert!(scene.store.has_route_with_certificate().await.unwrap());
    scene.own().remove_route(named).await.unwrap();
    assert!(!scene.store.has_route_with_certificate().await.unwrap());
}

fn route(hash: u8) -> NewRoute {
    NewRoute {
        reader: Reader::Bcc,
        token_hash: [hash; 32],
        address_sealed: format!("sealed {hash}"),
        app: None,
        peers: Vec::new(),
        size_cap: Some(7_000),
        observe_until: None,
    }
}

async fn a_route_keeps_its_former_addresses_and_steps_only_as_its_life_goes(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    for hash in [2, 3] {
        let until = own.rotate_route(id, [hash; 32], format!("sealed {hash}"), Duration::from_secs(60)).await.unwrap();
        assert_eq!(until, scene.store.clock().now().plus(Duration::from_secs(60)));
    }
    let found = async |hash: u8| scene.store.route_by_token([hash; 32]).await.unwrap();
    let (old, new) = (found(1).await.unwrap(), found(3).await.unwrap());
    assert!(old.accepted_until.is_some() && new.accepted_until.is_none());
    assert_eq!(
        (old.row, new.row.size_cap, new.row.address_sealed.as_str()),
        (new.row.clone(), Some(7_000), "sealed 3")
    );
    assert_eq!(found(4).await, None);
    let mut former: Vec<String> =
        own.former_addresses().await.unwrap().into_iter().map(|one| one.address_sealed).collect();
    former.sort();
    assert_eq!(former, ["sealed 1", "sealed 2"]);
    for step in [RouteStep::Pause, RouteStep::Resume, RouteStep::Retire] {
        own.step_route(id, step).await.unwrap();
        assert!(matches!(own.step_route(id, step).await, Err(StoreError::Conflict(_))), "{step:?} twice");
    }
    let again = own.rotate_route(id, [5; 32], String::new(), Duration::ZERO).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    own.remove_route(id).await.unwrap();
    assert!(found(1).await.is_none() && found(3).await.is_none(), "all its addresses are unknown");
}

async fn alarms_and_refusals_of_a_route_are_counted_and_end(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let first = scene.store.clock().now();
    own.raise_alarm(id, Alarm::TooLarge, 2).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(60));
    let second = scene.store.clock().now();
    own.raise_alarm(id, Alarm::TooLarge, 3).await.unwrap();
    let wanted = AlarmRow { route: id, alarm: Alarm::TooLarge, first_at: first, last_at: second, count: 5 };
    assert_eq!(own.alarms_since(second).await.unwrap(), [wanted]);
    assert_eq!(own.alarms_since(second.plus(Duration::from_secs(1))).await.unwrap(), []);
    own.end_alarm(id, Alarm::TooLarge).await.unwrap();
    assert_eq!(own.alarms_since(first).await.unwrap(), []);
    let elsewhere = own.raise_alarm(scene.store.clock().mint(), Alarm::Silent, 1).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound(_))), "{elsewhere:?}");
}

async fn copies_are_counted_and_held_ones_wait_for_their_marks_to_be_confirmed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let mark = |value: &str| vec![Mark { name: "dkim".into(), value: value.into() }];
    let copy = |key: u8, marks: Option<Vec<Mark>>| {
        let mut message = scene.message(key);
        message.views[0].scope = id.to_string();
        if marks.is_some() {
            message.views.clear();
            message.kept = Some(Kept::Held("learning"));
        }
        let held = marks.is_some().then_some("learning");
        message.copies = vec![NewCopy { route: id, marks, keep: Keep::Raw, alarm: None, tests_connector: false, held }];
        message
    };
    let (first, second) = (copy(3, Some(mark("a.example"))), copy(4, Some(mark("b.example"))));
    let ids = [first.id, second.id];
    let batch = vec![copy(1, None), copy(1, None), first, second, copy(5, Some(Vec::new()))];
    scene.store.record_mail(batch, at(CURSOR)).await.unwrap();
    let (from, to) = (Timestamp::from_micros(0), scene.store.clock().now().plus(Duration::from_secs(1)));
    let counts = own.hours(from, to).await.unwrap().remove(0).2;
    assert_eq!(counts, Counts { received: 5, folded: 1, untrusted: 3, refused: 0 });
    assert_eq!(own.held_marks(id).await.unwrap().len(), 3);
    assert_eq!(scene.store.confirmed_copies(10).await.unwrap(), []);
    assert!(matches!(own.confirm_marks(id, &[]).await, Err(StoreError::Conflict(_))));
    assert_eq!(own.confirm_marks(id, &mark("a.example")).await.unwrap(), 1);
    let row = own.route(id).await.unwrap().unwrap();
    assert_eq!((row.state, row.marks), (RouteState::Active, Some(mark("a.example"))));
    let confirmed = scene.store.confirmed_copies(10).await.unwrap();
    let wanted = Confirmed { tenant: scene.tenant, message: ids[0], route: id };
    assert_eq!(confirmed, [wanted]);
    let mut decided = scene.message(3);
    decided.id = ids[0];
    decided.views[0].event.message_id = Some(ids[0]);
    // Two nodes at once: one event.
    let both =
        [scene.store.release_copy(wanted, Some(decided.clone())), scene.store.release_copy(wanted, Some(decided))];
    let recorded: usize = futures_util::future::join_all(both).await.into_iter().map(|one| one.unwrap()).sum();
    assert_eq!(recorded, 1);
    assert_eq!(own.message(ids[0]).await.unwrap().unwrap().state, "emitted");
    assert_eq!(own.message(ids[1]).await.unwrap().unwrap().state, "held");
    assert_eq!(scene.store.confirmed_copies(10).await.unwrap(), []);
}

async fn what_would_have_followed_is_added_up(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, id) = (scene.own(), scene.store.clock().mint());
    own.add_route(id, route(1)).await.unwrap();
    let observed = |key: u8, operations: &[&str]| {
        let mut message = scene.message(key);
        let operations = operations.iter().map(|word| (*word).to_owned()).collect();
        message.views[0].event.observed =
            Some(NewObserved { route: id, operations, tasks: 1, approvals: 2, drafts: 0 });
        message
    };
    let batch = vec![observed(1, &["set_status", "create_task"]), observed(2, &["set_status"]), scene.message(3)];
    scene.store.record_mail(batch, at(CURSOR)).await.unwrap();
    let seen = own.observed(id, Timestamp::from_micros(0)).await.unwrap();
    assert_eq!((seen.events, seen.tasks, seen.approvals, seen.drafts), (2, 2, 4, 0));
    assert_eq!((seen.operations["set_status"], seen.operations["create_task"]), (2, 1));
    assert_eq!(seen.statuses.values().sum::<u64>(), 2);
    let until = scene.store.clock().now().plus(Duration::from_secs(60));
    let change = RouteChange { observe_until: Some(Some(until)), ..RouteChange::default() };
    own.change_route(id, change).await.unwrap();
    let row = own.route(id).await.unwrap().unwrap();
    assert!(row.is_observed(scene.store.clock().now()) && !row.is_observed(until));
    own.learn_route(id, until).await.unwrap();
    let row = own.route(id).await.unwrap().unwrap();
    assert!(row.learns(scene.store.clock().now()) && !row.learns(until));
}

async fn an_address_has_one_owner_and_is_free_again_when_removed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let mailbox = |address: &str| NewMailbox {
        address: Mailbox::parse(address).unwrap(),
        app: Some(scene.app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    let id = scene.own().add_mailbox(mailbox("Deals@in.example")).await.unwrap();
    let stranger = scene.store.for_tenant(scene.store.add_tenant("stranger").await.unwrap());
    assert!(matches!(stranger.add_mailbox(mailbox("deals@IN.example")).await, Err(StoreError::Exists(_))));
    assert_eq!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().unwrap().0.id, id);
    scene.own().remove_mailbox(id).await.unwrap();
    assert!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().is_none());
    stranger.add_mailbox(mailbox("deals@in.example")).await.unwrap();
}

async fn what_was_recorded_is_there_after_the_store_is_opened_again(engine: Engine) {
    let place = Place::new(engine).await;
    let store = place.open(Clock::System).await;
    let tenant = store.add_tenant("harbor").await.unwrap();
    store.close().await;
    assert!(matches!(store.add_tenant("late").await, Err(StoreError::Closed)));
    let store = place.open(Clock::System).await;
    assert_eq!(store.tenants().await.unwrap()[0].id, tenant);
    assert!(matches!(store.add_tenant("harbor").await, Err(StoreError::Exists(_))));
    assert!(matches!(
        store.for_tenant(store.clock().mint()).put_app("x", &AppProfileRow::default()).await,
        Err(StoreError::NotFound("tenant"))
    ));
}

async fn a_watcher_sees_what_is_new_in_order(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (_, start) = scene.own().tail_newest(10).await.unwrap();
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let (lines, next) = scene.own().tail(start).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.what).collect::<Vec<_>>(), ["message", "decision"]);
    assert!(scene.own().tail(next.clone()).await.unwrap().0.is_empty());
    scene.store.record_mail((2..9).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let (lines, newest) = scene.own().tail_newest(3).await.unwrap();
    assert_eq!(lines.len(), 6, "three messages and three decisions");
    assert_eq!(newest, scene.own().tail(next).await.unwrap().1);
    // More than are read in one go.
    scene.store.record_mail((10..=250).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let (lines, newest) = scene.own().tail_newest(230).await.unwrap();
    assert_eq!(lines.len(), 460, "230 messages and 230 decisions");
    assert!(scene.own().tail(newest).await.unwrap().0.is_empty());
}

fn block(subject: &str, ends_at: Timestamp, quota: u32, wanted: u32) -> BlockRequest {
    BlockRequest { policy: "default", subject: subject.into(), ends_at, quota, wanted }
}

async fn takers_on_two_nodes_never_get_more_than_the_quota(engine: Engine) {
    let scene = Scene::new(engine).await;
    let other = scene.place.open(scene.store.clock().clone()).await;
    let end = scene.store.clock().now().plus(Duration::from_secs(60));
    let takers = (0..16).map(|taker| {
        let store = if taker % 2 == 0 { &scene.store } else { &other };
        async move {
            let mut got = 0;
            for _ in 0..40 {
                let Block { granted, left } = store.take_block(block("key_a", end, 100, 7)).await.unwrap();
                got += granted;
                if granted == 0 {
                    assert_eq!(left, 0);
                    break;
                }
            }
            got
        }
    });
    assert_eq!(futures_util::future::join_all(takers).await.iter().sum::<u32>(), 100);
    let elsewhere = scene.store.take_block(block("key_b", end, 100, 7)).await.unwrap();
    assert_eq!(elsewhere, Block { granted: 7, left: 93 });
    let later = scene.store.take_block(block("key_a", end.plus(Duration::from_secs(60)), 100, 7)).await.unwrap();
    assert_eq!(later, Block { granted: 7, left: 93 });
}

async fn blocks_get_smaller_towards_the_end_of_a_quota(engine: Engine) {
    let scene = Scene::new(engine).await;
    let end = scene.store.clock().now();
    let mut granted = Vec::new();
    for _ in 0..11 {
        granted.push(scene.store.take_block(block("key_a", end, 20, 4)).await.unwrap().granted);
    }
    assert_eq!(granted, [4, 4, 3, 3, 2, 1, 1, 1, 1, 0, 0]);
    let lowered = scene.store.take_block(block("key_a", end, 10, 4)).await.unwrap();
    assert_eq!(lowered, Block { granted: 0, left: 0 }, "a node may know a smaller quota");
    let raised = scene.store.take_block(block("key_a", end, 30, 4)).await.unwrap();
    assert_eq!(raised, Block { granted: 3, left: 7 });
    let whole = scene.store.take_block(block("key_b", end, 3, 8)).await.unwrap();
    assert_eq!(whole, Block { granted: 3, left: 0 });
}

async fn windows_that_are_long_over_are_deleted(engine: Engine) {
    const COUNT: &str = "SELECT COUNT(*) FROM rate_windows";
    let scene = Scene::new(engine).await;
    let ended = scene.store.clock().now();
    for subject in 0..64 {
        scene.store.take_block(block(&subject.to_string(), ended, 9, 1)).await.unwrap();
    }
    scene.store.clock().advance(Duration::from_secs(3_601));
    scene.store.take_block(block("now", scene.store.clock().now(), 9, 1)).await.unwrap();
    let rows: i64 = query(COUNT).fetch_one(&scene.store.readers).await.unwrap().try_get(0).unwrap();
    assert_eq!(rows, 1);
}
