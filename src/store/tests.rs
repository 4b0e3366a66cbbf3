//! Tests of the store: what callers may rely on, on both engines, and what is one engine's own.

use std::time::Duration;

use super::deliveries::{ClaimLimits, ClaimedDelivery, EndpointChange, EndpointUpdate, FinishedAttempt, NextStep};
use super::directory::{AppProfileRow, NewMailbox};
use super::events::{NewDecision, NewEvent, NewTask, NewThreadPlace, Recorded, SourceKey};
use super::ingest::{Kept, NewMessage, NewView, Progress, SpoolCursor};
use super::webhooks::NewEndpoint;
use super::*;
use crate::clock::Timestamp;
use crate::contract::answer::{
    AbuseSignal, Answer, Canonical, IdentityBlock, Mapped, Materialized, Operation, OperationMode, OperationType,
    Priority, Reasoning, Risk, TrustBlock,
};
use crate::contract::webhook::{API_VERSION, PayloadMode, SourceRef, ThreadRef, WebhookEvent};
use crate::ids::{AppId, EndpointId, EventId, MessageId, ThreadId, WorkerId};
use crate::mail::address::Mailbox;

mod accounts;
mod audited;
mod bounces;
mod contract;
mod copies;
mod deliveries;
mod domains;
mod drafts;
pub(crate) mod engine;
mod erasure;
mod isolation;
mod lanes;
mod limits;
mod notices;
mod overdue;
mod postgres;
mod redecisions;
mod relays;
mod retention;
mod routes;
mod schema;
mod sent;
mod sqlite;
mod told;
mod uploads;
mod usage;

use engine::{Engine, Place};

struct Scene {
    place: Place,
    store: Store,
    tenant: TenantId,
    app: AppId,
}

impl Scene {
    async fn new(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        let store = place.open(Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000))).await;
        let tenant = store.add_tenant("harbor").await.unwrap();
        let app = store.for_tenant(tenant).put_app("deals", &AppProfileRow::default()).await.unwrap();
        Self { place, store, tenant, app }
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
            show_bcc: false,
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
            threading: None,
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
            thread: Some(NewThreadPlace { thread_id: thread, references: vec![[7; 32]], subjects: vec![] }),
            occurred_at: clock.now(),
            content: "{\"v\":1}".into(),
            decision: Some(NewDecision { decision_id: clock.mint(), answer: answer(clock) }),
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
            is_quiet: false,
            observed: None,
            returned: None,
            unsubscribed: None,
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
            trace: None,
            kept: None,
            copies: Vec::new(),
            views: vec![NewView { scope: "mbx_a".into(), copy_key: [key; 32], id_key: None, event }],
        }
    }

    /// State of the only delivery of an event, and whether it has an end.
    async fn delivery_state(&self, event: EventId) -> (String, bool) {
        const FIND: &str = "SELECT state, finished_at IS NOT NULL FROM deliveries WHERE event_id = $1";
        let row = query(FIND).bind(event.to_string()).fetch_one(&self.store.readers).await.unwrap();
        (row.try_get(0).unwrap(), row.try_get(1).unwrap())
    }

    /// Runs a statement that no caller of the store could.
    async fn damage(&self, sql: &'static str, id: String) {
        let damaged = self
            .store
            .write(move |connection| Box::pin(async move { Ok(query(sql).bind(id).execute(connection).await?) }));
        assert_eq!(damaged.await.unwrap(), 1);
    }

    async fn claim(&self, worker: WorkerId) -> Vec<ClaimedDelivery> {
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
        trust: TrustBlock {
            band: "new".into(),
            gates: vec![],
            abuse_signals: vec![AbuseSignal { code: "steers_agent".into(), since: None, evidence: None }],
            recommendation: "review".into(),
        },
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

/// A step on in the log `n`.
fn at(cursor: SpoolCursor) -> Progress {
    Progress::Log { log: "n".into(), cursor }
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
