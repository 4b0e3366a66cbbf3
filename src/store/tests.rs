//! The contract of the store, engine by engine: what callers may rely on.

use std::time::Duration;

use sqlx::Row as _;

use super::deliveries::{ClaimLimits, EndpointChange, EndpointUpdate, FinishedAttempt, NextStep};
use super::directory::{AppProfileRow, NewMailbox};
use super::events::{NewDecision, NewEvent, NewTask, NewThreadPlace, Recorded, SourceKey};
use super::ingest::{Kept, NewMessage, NewView, SpoolCursor};
use super::webhooks::NewEndpoint;
use super::*;
use crate::clock::Timestamp;
use crate::contract::answer::{
    Answer, Canonical, IdentityBlock, Mapped, Materialized, Operation, OperationMode, OperationType, Priority,
    Reasoning, Risk, TrustBlock,
};
use crate::contract::webhook::{API_VERSION, PayloadMode, SourceRef, ThreadRef, WebhookEvent};
use crate::ids::{AppId, EndpointId, EventId, MessageId, ThreadId, WorkerId};
use crate::mail::address::Mailbox;

struct Scene {
    _folder: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    app: AppId,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = Store::open(&folder.path().join("index.db"), clock).await.unwrap();
        let tenant = store.add_tenant("harbor").await.unwrap();
        let app = store.for_tenant(tenant).put_app("deals", &AppProfileRow::default()).await.unwrap();
        Self { _folder: folder, store, tenant, app }
    }

    fn own(&self) -> TenantStore {
        self.store.for_tenant(self.tenant)
    }

    async fn endpoint(&self, event_types: &[&str]) -> EndpointId {
        let id = self.store.clock().mint();
        let endpoint = NewEndpoint {
            app: Some(self.app),
            url: "https://hooks.example/x".into(),
            secrets_sealed: "s1:x".into(),
            event_types: event_types.iter().map(|&name| name.to_owned()).collect(),
            mode: PayloadMode::Operations,
            schedule: "default",
        };
        self.own().add_endpoint(id, endpoint).await.unwrap();
        id
    }

    fn event(&self, scope: &str, thread: ThreadId) -> NewEvent {
        let clock = self.store.clock();
        let event_id: EventId = clock.mint();
        let webhook = WebhookEvent {
            id: event_id.to_string(),
            kind: "message.classified".into(),
            timestamp: clock.now().to_string(),
            api_version: API_VERSION.into(),
            tenant_id: self.tenant.to_string(),
            app: Some("deals".into()),
            thread: Some(ThreadRef { id: thread.to_string(), sequence: 0 }),
            caused_by: None,
            source: SourceRef { kind: "direct".into(), event_id: None },
            data: serde_json::json!({ "canonical": { "status": "unclear" } }),
        };
        NewEvent {
            event_id,
            event_type: "inbound_message".into(),
            source_kind: "direct".into(),
            source_event_id: None,
            app_id: Some(self.app),
            scope: Some(scope.into()),
            message_id: None,
            thread: Some(NewThreadPlace { thread_id: thread, references: vec![[7; 32]] }),
            occurred_at: clock.now(),
            content: "{\"v\":1}".into(),
            decision: NewDecision { decision_id: clock.mint(), answer: answer(clock) },
            tasks: vec![NewTask {
                task_id: clock.mint(),
                title: "Read it".into(),
                priority: Priority::Normal,
                due_at: None,
            }],
            approvals: Vec::new(),
            drafts: Vec::new(),
            webhook,
            text: "hello".into(),
        }
    }

    fn message(&self, key: u8) -> NewMessage {
        let clock = self.store.clock();
        let id: MessageId = clock.mint();
        let mut event = self.event("mbx_a", clock.mint());
        event.message_id = Some(id);
        NewMessage {
            tenant: self.tenant,
            id,
            received_at: clock.now(),
            size: 10,
            manifest: "{}".into(),
            body: "{}".into(),
            kept: None,
            views: vec![NewView { scope: "mbx_a".into(), copy_key: [key; 32], event }],
        }
    }

    /// State of the only delivery of an event, and whether it has an end.
    async fn delivery_state(&self, event: EventId) -> (String, bool) {
        const FIND: &str = "SELECT state, finished_at IS NOT NULL FROM deliveries WHERE event_id = $1";
        let row = sqlx::query(FIND).bind(event.to_string()).fetch_one(&self.store.readers).await.unwrap();
        (row.try_get(0).unwrap(), row.try_get(1).unwrap())
    }

    /// Runs a statement that no caller of the store could.
    async fn damage(&self, sql: &'static str, id: String) {
        let damaged = self.store.write(move |connection| {
            Box::pin(async move { Ok(sqlx::query(sql).bind(id).execute(connection).await?.rows_affected()) })
        });
        assert_eq!(damaged.await.unwrap(), 1);
    }

    async fn claim(&self, worker: WorkerId) -> Vec<deliveries::ClaimedDelivery> {
        self.store.claim_deliveries(worker, limits(10, 100)).await.unwrap()
    }
}

fn answer(clock: &Clock) -> Answer {
    let operation: crate::ids::OperationId = clock.mint();
    Answer {
        event_id: None,
        request_id: None,
        duplicate: false,
        canonical: Canonical {
            status: "unclear".into(),
            area: "general".into(),
            priority: Priority::Normal,
            approval_required: true,
            approval_reasons: vec![],
            next_best_action: "Ask".into(),
            confidence: 0.1,
            due_at: None,
            language: None,
            automated: None,
        },
        mapped: Mapped {
            app_name: "deals".into(),
            current_status: None,
            status: None,
            inbox: None,
            matched_by: "unmapped".into(),
        },
        operations: vec![Operation {
            id: Some(operation.to_string()),
            kind: OperationType::CreateTask,
            label: "Read it".into(),
            approval_required: false,
            mode: OperationMode::Suggest,
            risk: Risk::Low,
            reasons: vec![],
            params: serde_json::json!({}),
            idempotency_key: "k".into(),
            expires_at: None,
            confidence: 0.1,
        }],
        identity: IdentityBlock {
            owner: "source_app".into(),
            reply_policy: "source_app_only".into(),
            connex_may_send: false,
            verdict: "handoff".into(),
            reasons: vec![],
            external_reply_url: None,
        },
        trust: TrustBlock { band: "new".into(), gates: vec![], abuse_signals: vec![], recommendation: "review".into() },
        graph_hints: vec![],
        materialized: Materialized { mode: "safe".into(), tasks: vec![], approvals: vec![], drafts: vec![] },
        reasoning: Reasoning {
            engine: "local".into(),
            version: "1".into(),
            model_called: false,
            abstained: true,
            signals: vec![],
        },
        warnings: vec![],
    }
}

const CURSOR: SpoolCursor = SpoolCursor { segment: 1, position: 64 };

fn attempt(number: u32, at: Timestamp, next: NextStep) -> FinishedAttempt {
    FinishedAttempt {
        number,
        started_at: at,
        duration: Duration::from_millis(3),
        status: Some(204),
        reason: None,
        resolved_ip: None,
        response: None,
        cause: "scheduled",
        next,
        endpoint: Box::new(|_| None),
    }
}

const LEASE: Duration = Duration::from_secs(45);

fn limits(count: u32, per_endpoint: u32) -> ClaimLimits {
    ClaimLimits { count, per_endpoint, per_tenant: 100, lease: LEASE }
}

fn change(flight_limit: Option<u32>, disabled: Option<&'static str>) -> EndpointUpdate {
    Box::new(move |health| {
        assert_eq!(health, "{}");
        let blocked_until = Timestamp::from_micros(0);
        Some(EndpointChange { health: "{\"n\":1}".into(), blocked_until, flight_limit, disabled })
    })
}

#[tokio::test]
async fn a_copy_of_a_message_makes_no_second_event_in_the_same_batch_or_later() {
    let scene = Scene::new().await;
    let first = vec![scene.message(1), scene.message(1), scene.message(2)];
    assert_eq!(scene.store.record_mail("n", first, CURSOR).await.unwrap(), 2);
    scene.store.clock().advance(Duration::from_secs(40 * 24 * 3600));
    let later = SpoolCursor { segment: 2, position: 0 };
    assert_eq!(scene.store.record_mail("n", vec![scene.message(2), scene.message(3)], later).await.unwrap(), 1);
    let duplicates = scene.own().messages(Some("duplicate"), 10).await.unwrap();
    assert_eq!(duplicates.len(), 2);
    assert!(duplicates.iter().all(|row| row.duplicate_of.is_some()));
    assert_eq!(scene.store.spool_cursor("n").await.unwrap(), Some(later));
    assert_eq!(scene.store.spool_cursor("other").await.unwrap(), None);
}

#[tokio::test]
async fn the_cursor_counts_a_tenants_events_without_gaps() {
    let scene = Scene::new().await;
    let batches = (0..6_u8).map(|start| {
        let messages = (0..7_u8).map(|place| scene.message(start * 5 + place)).collect();
        scene.store.record_mail("n", messages, CURSOR)
    });
    let recorded: usize = futures_util::future::join_all(batches).await.into_iter().map(|result| result.unwrap()).sum();
    let events = scene.own().events_after(0, 100).await.unwrap();
    let cursors: Vec<i64> = events.iter().map(|event| event.cursor).collect();
    assert_eq!(recorded, 32);
    assert_eq!(cursors, (1..=32).collect::<Vec<i64>>());
    assert_eq!(scene.own().newest_cursor().await.unwrap(), 32);
}

#[tokio::test]
async fn held_and_poisoned_messages_are_kept_without_events() {
    let scene = Scene::new().await;
    let mut held = scene.message(1);
    held.views.clear();
    held.kept = Some(Kept::Held("peer_not_authorised"));
    assert_eq!(scene.store.record_mail("n", vec![held], CURSOR).await.unwrap(), 0);
    let row = scene.own().messages(Some("held"), 1).await.unwrap().remove(0);
    assert_eq!(row.reason.as_deref(), Some("peer_not_authorised"));
}

#[tokio::test]
async fn a_reply_finds_its_thread_and_counts_on_in_it() {
    let scene = Scene::new().await;
    scene.store.record_mail("n", vec![scene.message(1)], CURSOR).await.unwrap();
    let thread = scene.own().thread_of("mbx_a", &[[9; 32], [7; 32]]).await.unwrap().unwrap();
    assert_eq!(scene.own().thread_of("mbx_b", &[[7; 32]]).await.unwrap(), None);
    let mut reply = scene.message(2);
    reply.views[0].event.thread = Some(NewThreadPlace { thread_id: thread, references: vec![] });
    scene.store.record_mail("n", vec![reply], CURSOR).await.unwrap();
    let events = scene.own().events_after(0, 10).await.unwrap();
    let places: Vec<_> = events.iter().map(|event| event.thread.clone().unwrap()).collect();
    assert_eq!(places, [(thread.to_string(), 1), (thread.to_string(), 2)]);
}

#[tokio::test]
async fn one_source_event_is_recorded_once_however_often_and_concurrently_it_is_sent() {
    let scene = Scene::new().await;
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

#[tokio::test]
async fn only_subscribed_endpoints_of_the_app_get_a_delivery() {
    let scene = Scene::new().await;
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
    };
    scene.own().add_endpoint(id, endpoint).await.unwrap();
    scene.store.record_mail("n", vec![scene.message(1)], CURSOR).await.unwrap();
    let claimed = scene.claim(scene.store.clock().mint()).await;
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].body.contains("\"sequence\":1") && claimed[0].body.contains("hello"));
}

#[tokio::test]
async fn a_delivery_is_held_by_one_worker_until_its_lease_ends() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    let messages = (0..20).map(|key| scene.message(key)).collect();
    scene.store.record_mail("n", messages, CURSOR).await.unwrap();
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

#[tokio::test]
async fn an_attempt_is_recorded_with_what_follows() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", vec![scene.message(1)], CURSOR).await.unwrap();
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

#[tokio::test]
async fn a_disabled_endpoint_holds_what_waits_and_what_comes() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", vec![scene.message(1), scene.message(2)], CURSOR).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.store.claim_deliveries(worker, limits(1, 1)).await.unwrap().remove(0);
    let mut gone = attempt(1, scene.store.clock().now(), NextStep::Held);
    gone.endpoint = change(None, Some("gone"));
    scene.store.finish_attempt(worker, &claimed, gone).await.unwrap();
    scene.store.record_mail("n", vec![scene.message(3)], CURSOR).await.unwrap();
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

#[tokio::test]
async fn what_was_under_way_when_its_endpoint_was_removed_is_cancelled() {
    let scene = Scene::new().await;
    let endpoint = scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", (1..=5).map(|key| scene.message(key)).collect(), CURSOR).await.unwrap();
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

#[tokio::test]
async fn what_was_under_way_when_its_endpoint_was_disabled_is_held() {
    let scene = Scene::new().await;
    let endpoint = scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", (1..=3).map(|key| scene.message(key)).collect(), CURSOR).await.unwrap();
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

#[tokio::test]
async fn a_delivery_that_cannot_be_read_stops_no_other_and_says_so() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", (1..=3).map(|key| scene.message(key)).collect(), CURSOR).await.unwrap();
    let bad = scene.own().events_after(0, 1).await.unwrap().remove(0).id;
    scene.damage("DELETE FROM payloads WHERE event_id = $1", bad.to_string()).await;
    let other = scene.endpoint(&["*"]).await;
    scene
        .damage("UPDATE webhook_endpoints SET headers = '{\"x\":sesame}' WHERE endpoint_id = $1", other.to_string())
        .await;
    scene.store.record_mail("n", vec![scene.message(4)], CURSOR).await.unwrap();
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

#[tokio::test]
async fn one_endpoint_cannot_take_all_the_places_of_a_claim() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    let messages = (0..9).map(|key| scene.message(key)).collect();
    scene.store.record_mail("n", messages, CURSOR).await.unwrap();
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", vec![scene.message(100)], CURSOR).await.unwrap();
    let worker = scene.store.clock().mint();
    let claimed = scene.store.claim_deliveries(worker, limits(4, 3)).await.unwrap();
    let mut endpoints: Vec<_> = claimed.iter().map(|delivery| delivery.endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!((claimed.len(), endpoints.len()), (4, 2));
}

#[tokio::test]
async fn a_tenant_with_many_endpoints_leaves_places_to_the_others() {
    let mut scene = Scene::new().await;
    for _ in 0..6 {
        scene.endpoint(&["*"]).await;
    }
    scene.store.record_mail("n", vec![scene.message(1), scene.message(2)], CURSOR).await.unwrap();
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

    let first = scene.tenant;
    scene.tenant = scene.store.add_tenant("other").await.unwrap();
    scene.app = scene.own().put_app("deals", &AppProfileRow::default()).await.unwrap();
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", vec![scene.message(3)], CURSOR).await.unwrap();
    let one = ClaimLimits { count: 1, ..limits };
    let next = scene.store.claim_deliveries(worker, one).await.unwrap();
    assert_eq!(next[0].tenant, scene.tenant, "who has the least under way comes first, however late");
    let next = scene.store.claim_deliveries(worker, limits).await.unwrap();
    assert_eq!(next.iter().map(|delivery| delivery.tenant).collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn what_is_under_way_counts_against_the_endpoints_limit() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    let messages = (0..9).map(|key| scene.message(key)).collect();
    scene.store.record_mail("n", messages, CURSOR).await.unwrap();
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

#[tokio::test]
async fn nothing_of_one_tenant_is_seen_by_another() {
    let scene = Scene::new().await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail("n", vec![scene.message(1)], CURSOR).await.unwrap();
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

#[tokio::test]
async fn an_address_has_one_owner_and_is_free_again_when_removed() {
    let scene = Scene::new().await;
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

#[tokio::test]
async fn readers_that_are_all_busy_keep_no_door_waiting() {
    let scene = Scene::new().await;
    let mailbox = NewMailbox {
        address: Mailbox::parse("deals@in.example").unwrap(),
        app: Some(scene.app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    scene.own().add_mailbox(mailbox).await.unwrap();
    let (readers, doors) = (&scene.store.readers, &scene.store.doors);
    assert_eq!((readers.size(), doors.size()), (READERS, DOOR_READERS), "none is opened later, on another thread");
    let mut busy = Vec::new();
    for _ in 0..READERS {
        busy.push(readers.acquire().await.unwrap());
    }
    assert!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().is_some());
    assert!(scene.store.route_by_token([0; 32]).await.unwrap().is_none());
    let digest = crate::keys::KeyDigest::from_slice(&[0; 32]).unwrap();
    assert!(scene.store.key_by_digest(&digest).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_recorded_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let store = Store::open(&path, Clock::System).await.unwrap();
    let tenant = store.add_tenant("harbor").await.unwrap();
    store.close().await;
    assert!(matches!(store.add_tenant("late").await, Err(StoreError::Closed)));
    let store = Store::open(&path, Clock::System).await.unwrap();
    assert_eq!(store.tenants().await.unwrap()[0].id, tenant);
    assert!(matches!(store.add_tenant("harbor").await, Err(StoreError::Exists(_))));
    assert!(matches!(
        store.for_tenant(store.clock().mint()).put_app("x", &AppProfileRow::default()).await,
        Err(StoreError::NotFound("tenant"))
    ));
}

#[tokio::test]
async fn a_watcher_sees_what_is_new_in_order() {
    let scene = Scene::new().await;
    let (_, start) = scene.own().tail_newest(10).await.unwrap();
    scene.store.record_mail("n", vec![scene.message(1)], CURSOR).await.unwrap();
    let (lines, next) = scene.own().tail(start).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.what).collect::<Vec<_>>(), ["message", "decision"]);
    assert!(scene.own().tail(next.clone()).await.unwrap().0.is_empty());
    scene.store.record_mail("n", (2..9).map(|key| scene.message(key)).collect(), CURSOR).await.unwrap();
    let (lines, newest) = scene.own().tail_newest(3).await.unwrap();
    assert_eq!(lines.len(), 6, "three messages and three decisions");
    assert_eq!(newest, scene.own().tail(next).await.unwrap().1);
}

#[tokio::test]
async fn the_look_at_the_writer_writes_and_so_sees_what_only_a_write_can_see() {
    let scene = Scene::new().await;
    let patience = Duration::from_secs(20);
    scene.store.check_writer(patience).await.unwrap();
    let read_only = |on: &'static str| {
        scene.store.write(move |connection| {
            Box::pin(async move {
                sqlx::query(on).execute(connection).await?;
                Ok(())
            })
        })
    };
    read_only("PRAGMA query_only = ON").await.unwrap();
    let error = scene.store.check_writer(patience).await.unwrap_err();
    assert!(error.is_temporary() && matches!(error, StoreError::Unavailable(_)), "{error:?}");
    read_only("PRAGMA query_only = OFF").await.unwrap();
    scene.store.check_writer(patience).await.unwrap();
    scene.store.close().await;
    assert!(matches!(scene.store.check_writer(patience).await, Err(StoreError::Closed)));
}
