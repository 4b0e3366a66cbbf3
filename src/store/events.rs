//! Recording events with all that follows from them, in one transaction: the event, its decision, operations, internal
//! work, and a delivery for every endpoint that wants to know.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::approvals::overdue::ends_of;
use super::drafts::VersionRow;
use super::notices::tell;
use super::sent::NewReturned;
use super::sql::{Connection, Target, query};
use super::subscribers::{Endpoint, Rendering, enabled_endpoints};
use super::threads::{self, ReferenceName, SubjectName};
use super::{StoreError, TenantStore, from_id, from_json, observed, proposals, rows, to_json};
use crate::clock::{Clock, Timestamp};
use crate::contract::answer::{Answer, Operation, Priority};
use crate::contract::webhook::{WebhookEvent, subscribes};
use crate::event::privacy::{JOURNAL, hide_blind};
use crate::governance::notice::NoticeKind;
use crate::ids::{
    AppId, ApprovalId, DecisionId, DeliveryId, DraftId, EndpointId, EventId, MailboxId, MessageId, RouteId, TaskId,
    TenantId, ThreadId,
};

/// An event that was decided on, ready to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id, also on webhooks.
    pub event_id: EventId,
    /// `inbound_message`, `outbound_copy`, …
    pub event_type: String,
    /// `direct`, `bcc`, `app`, …
    pub source_kind: String,
    /// The event's id at its source.
    pub source_event_id: Option<String>,
    /// The app for which it was decided.
    pub app_id: Option<AppId>,
    /// Mailbox or route, for mail.
    pub scope: Option<String>,
    /// Our message, for mail.
    pub message_id: Option<MessageId>,
    /// The conversation.
    pub thread: Option<NewThreadPlace>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The canonical event as JSON.
    pub content: String,
    /// The decision; `None` where there was nothing to decide.
    pub decision: Option<NewDecision>,
    /// Internal tasks.
    pub tasks: Vec<NewTask>,
    /// Approvals that were opened.
    pub approvals: Vec<NewApproval>,
    /// Drafts that were proposed.
    pub drafts: Vec<NewDraft>,
    /// What leaves on webhooks; its thread's sequence is set here.
    pub webhook: WebhookEvent,
    /// The plain text, of which payloads show a part.
    pub text: String,
    /// Whether no endpoint is told.
    pub is_quiet: bool,
    /// What would have followed, where its route is observed.
    pub observed: Option<NewObserved>,
    /// What it tells of mail that was sent, where it is a report.
    pub returned: Option<NewReturned>,
    /// The key of its author's address, where its author asks for no more mail and their domain stands behind it.
    pub unsubscribed: Option<String>,
}

/// What would have followed from an event of a route that is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObserved {
    /// The route.
    pub route: RouteId,
    /// Types of the operations.
    pub operations: Vec<String>,
    /// Tasks that would have been made.
    pub tasks: usize,
    /// Approvals that would have been asked for.
    pub approvals: usize,
    /// Drafts that would have been written.
    pub drafts: usize,
}

/// The conversation of a new event.
#[derive(Debug, Clone)]
pub struct NewThreadPlace {
    /// Known or new.
    pub thread_id: ThreadId,
    /// SHA-256 of the Message-IDs by which later messages find the thread.
    pub references: Vec<[u8; 32]>,
    /// Keys of subject and people by which an answer without ids finds it, and when the message was written.
    pub subjects: Vec<([u8; 32], Timestamp)>,
}

/// The decision about a new event.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Its id.
    pub decision_id: DecisionId,
    /// The whole answer, with operations.
    pub answer: Answer,
}

/// A task for people.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its id.
    pub task_id: TaskId,
    /// What to do.
    pub title: String,
    /// How soon.
    pub priority: Priority,
    /// By when, RFC 3339.
    pub due_at: Option<String>,
}

/// A question for a person with the role.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The draft that waits for it.
    pub draft_id: Option<DraftId>,
    /// Public codes.
    pub reasons: Vec<String>,
    /// Hash of the content that it is about; `None` where nothing is written.
    pub about: Option<String>,
}

/// A proposed answer.
#[derive(Debug, Clone)]
pub struct NewDraft {
    /// Its id.
    pub draft_id: DraftId,
    /// `connex`, `source_app` or `customer_domain`.
    pub identity_owner: String,
    /// A word of the draft's life cycle.
    pub state: String,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
    /// What is known of the text so far.
    pub content: serde_json::Value,
    /// Its words, where there are some.
    pub words: Option<NewWords>,
}

/// The words of a proposed answer, and where they belong.
#[derive(Debug, Clone)]
pub struct NewWords {
    /// The mailbox as which it would be sent; `None` where none of this gateway stands behind it.
    pub mailbox: Option<MailboxId>,
    /// The conversation.
    pub thread: ThreadId,
    /// The event of the message that it answers; `None` where that is no mail.
    pub answers: Option<EventId>,
    /// The template that they are from, and its version.
    pub template: (String, u32),
    /// The first version.
    pub version: VersionRow,
}

/// What the first and every later call of integration-event with one source id learn.
#[derive(Debug)]
pub enum Recorded {
    /// This call recorded the event.
    New,
    /// An earlier call with the same body did; this was its answer.
    Duplicate(Box<Answer>),
    /// An earlier call had another body.
    Conflict,
}

/// The name of an event at its source, and what its body was.
#[derive(Debug, Clone)]
pub struct SourceKey {
    /// The app.
    pub app_id: AppId,
    /// The system.
    pub source_system: String,
    /// The event's id there.
    pub source_event_id: String,
    /// SHA-256 of the canonical body.
    pub fingerprint: [u8; 32],
}

impl TenantStore {
    /// Records an event that an app handed over, once per [`SourceKey`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was recorded.
    pub async fn record_source_event(&self, key: SourceKey, event: NewEvent) -> Result<Recorded, StoreError> {
        let tenant = self.tenant;
        let clock = self.store.clock.clone();
        let result = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    if let Some(earlier) = claim_source(connection, tenant, &key, event.event_id, clock.now()).await? {
                        return Ok(earlier);
                    }
                    record(connection, &clock, vec![(tenant, event)]).await?;
                    Ok(Recorded::New)
                })
            })
            .await?;
        self.store.note_events();
        Ok(result)
    }

    /// The answer that was given to an earlier call, if there was one with this key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn source_event(&self, key: &SourceKey) -> Result<Option<Recorded>, StoreError> {
        earlier(&self.store.readers, self.tenant, key).await
    }
}

/// Takes the source's name for this event; the earlier answer where it is taken.
async fn claim_source(
    connection: &mut Connection,
    tenant: TenantId,
    key: &SourceKey,
    event: EventId,
    now: Timestamp,
) -> Result<Option<Recorded>, StoreError> {
    const CLAIM: &str = "\
INSERT INTO source_events (tenant_id, app_id, source_system, source_event_id, fingerprint, event_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let claimed = query(CLAIM)
        .bind(tenant.to_string())
        .bind(key.app_id.to_string())
        .bind(&key.source_system)
        .bind(&key.source_event_id)
        .bind(key.fingerprint.as_slice())
        .bind(event.to_string())
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    if claimed == 1 { Ok(None) } else { earlier(connection, tenant, key).await }
}

async fn earlier(on: impl Into<Target<'_>>, tenant: TenantId, key: &SourceKey) -> Result<Option<Recorded>, StoreError> {
    const EARLIER: &str = "\
SELECT s.fingerprint, d.answer FROM source_events AS s
JOIN decisions AS d ON d.tenant_id = s.tenant_id AND d.event_id = s.event_id
WHERE s.tenant_id = $1 AND s.app_id = $2 AND s.source_system = $3 AND s.source_event_id = $4";
    let row = query(EARLIER)
        .bind(tenant.to_string())
        .bind(key.app_id.to_string())
        .bind(&key.source_system)
        .bind(&key.source_event_id)
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<Vec<u8>>(0)? != key.fingerprint {
        return Ok(Some(Recorded::Conflict));
    }
    let mut answer: Answer = from_json("answer", row.try_get(1)?)?;
    answer.duplicate = true;
    Ok(Some(Recorded::Duplicate(Box::new(answer))))
}

/// Everything that follows from `events`, and tells of the drafts and questions among it.
pub(super) async fn record(
    connection: &mut Connection,
    clock: &Clock,
    events: Vec<(TenantId, NewEvent)>,
) -> Result<(), StoreError> {
    let now = clock.now();
    let events = record_rows(connection, clock, now, events).await?;
    observed::keep(connection, &events, now).await?;
    proposals::tell(connection, &events, now).await
}

/// The rows of `events`, in few statements; the order of `events` is the order of their cursors.
pub(super) async fn record_rows(
    connection: &mut Connection,
    clock: &Clock,
    now: Timestamp,
    mut events: Vec<(TenantId, NewEvent)>,
) -> Result<Vec<(TenantId, NewEvent)>, StoreError> {
    let mut cursors = BTreeMap::new();
    let mut endpoints = BTreeMap::new();
    for (tenant, _) in &events {
        *cursors.entry(*tenant).or_insert(0_i64) += 1;
    }
    for (tenant, count) in &mut cursors {
        let newest = advance_cursor(connection, *tenant, *count).await?;
        *count = newest - *count;
        endpoints.insert(*tenant, enabled_endpoints(connection, *tenant).await?);
    }
    let mut sequences = Vec::with_capacity(events.len());
    for (tenant, event) in &mut events {
        sequences.push(place_in_thread(connection, *tenant, event, now).await?);
    }
    let mut rows = Rows::default();
    for ((tenant, event), sequence) in events.iter().zip(sequences) {
        let cursor = cursors.entry(*tenant).or_insert(0);
        *cursor += 1;
        let wanted = endpoints.get(tenant).map_or(&[][..], Vec::as_slice);
        rows.deliveries_of(*tenant, event, wanted, clock)?;
        rows.take(*tenant, event, *cursor, sequence)?;
    }
    rows.insert(connection, now).await?;
    Ok(events)
}

async fn advance_cursor(connection: &mut Connection, tenant: TenantId, count: i64) -> Result<i64, StoreError> {
    const ADVANCE: &str =
        "UPDATE tenants SET event_cursor = event_cursor + $1 WHERE tenant_id = $2 RETURNING event_cursor";
    let row = query(ADVANCE).bind(count).bind(tenant.to_string()).fetch_optional(connection).await?;
    Ok(row.ok_or(StoreError::NotFound("tenant"))?.try_get(0)?)
}

/// Counts the event into its thread, makes the thread where it is new, and tells the webhook its place.
async fn place_in_thread(
    connection: &mut Connection,
    tenant: TenantId,
    event: &mut NewEvent,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    const PLACE: &str = "\
INSERT INTO threads (tenant_id, thread_id, scope, sequence, created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $4)
ON CONFLICT (tenant_id, thread_id) DO UPDATE SET sequence = threads.sequence + 1, updated_at = excluded.updated_at
RETURNING sequence";
    let Some(thread) = &event.thread else { return Ok(None) };
    let row = query(PLACE)
        .bind(tenant.to_string())
        .bind(thread.thread_id.to_string())
        .bind(event.scope.as_deref().unwrap_or_default())
        .bind(now.as_micros())
        .fetch_one(connection)
        .await?;
    let sequence: i64 = row.try_get(0)?;
    if let Some(place) = &mut event.webhook.thread {
        place.sequence = sequence;
    }
    Ok(Some(sequence))
}

/// Rows of one transaction, table by table.
#[derive(Default)]
struct Rows<'e> {
    references: Vec<ReferenceName>,
    /// Tenant, scope, key and thread; when it was last written so.
    subjects: BTreeMap<SubjectName, i64>,
    events: Vec<(String, &'e NewEvent, i64, Option<i64>)>,
    decisions: Vec<(String, String, &'e NewDecision, String)>,
    operations: Vec<(String, String, i64, &'e Operation, String)>,
    tasks: Vec<(String, String, Option<String>, &'e NewTask)>,
    approvals: Vec<(String, String, &'e NewApproval, String)>,
    drafts: Vec<proposals::DraftRow<'e>>,
    payloads: Vec<(String, String, Rendering, String)>,
    deliveries: Vec<Delivery>,
}

struct Delivery {
    tenant: String,
    id: DeliveryId,
    endpoint: EndpointId,
    event: String,
    event_type: String,
    mode: Rendering,
    state: &'static str,
}

impl<'e> Rows<'e> {
    fn take(
        &mut self,
        tenant: TenantId,
        event: &'e NewEvent,
        cursor: i64,
        sequence: Option<i64>,
    ) -> Result<(), StoreError> {
        let (of, tenant) = (tenant, tenant.to_string());
        let id = event.event_id.to_string();
        if let (Some(thread), Some(scope)) = (&event.thread, &event.scope) {
            for reference in &thread.references {
                self.references.push((tenant.clone(), scope.clone(), *reference, thread.thread_id.to_string()));
            }
            for (subject, seen_at) in &thread.subjects {
                let name = (tenant.clone(), scope.clone(), *subject, thread.thread_id.to_string());
                let newest = self.subjects.entry(name).or_insert(i64::MIN);
                *newest = (*newest).max(seen_at.as_micros());
            }
        }
        if let Some(decision) = &event.decision {
            let answer = to_json("answer", &decision.answer)?;
            self.decisions.push((tenant.clone(), id.clone(), decision, answer));
            for (position, operation) in (0_i64..).zip(&decision.answer.operations) {
                let content = to_json("operation", operation)?;
                self.operations.push((tenant.clone(), id.clone(), position, operation, content));
            }
        }
        let app = event.app_id.map(|app| app.to_string());
        for task in &event.tasks {
            self.tasks.push((tenant.clone(), id.clone(), app.clone(), task));
        }
        for approval in &event.approvals {
            let reasons = to_json("reasons", &approval.reasons)?;
            self.approvals.push((tenant.clone(), id.clone(), approval, reasons));
        }
        for draft in &event.drafts {
            let content = to_json("draft", &draft.content)?;
            self.drafts.push(proposals::DraftRow { tenant: of, event: id.clone(), app: app.clone(), draft, content });
        }
        self.events.push((tenant, event, cursor, sequence));
        Ok(())
    }

    /// One delivery for each endpoint that subscribes; a disabled endpoint holds its deliveries.
    fn deliveries_of(
        &mut self,
        tenant: TenantId,
        event: &NewEvent,
        endpoints: &[Endpoint],
        clock: &Clock,
    ) -> Result<(), StoreError> {
        let mut modes: Vec<Rendering> = Vec::new();
        let is_journal = event.source_kind == JOURNAL;
        for endpoint in endpoints.iter().filter(|_| !event.is_quiet) {
            let same_app = endpoint.app.is_none() || endpoint.app == event.app_id;
            if !same_app || !endpoint.event_types.iter().any(|wanted| subscribes(wanted, &event.webhook.kind)) {
                continue;
            }
            let mode = Rendering { mode: endpoint.mode, shows_blind: is_journal && endpoint.shows_blind };
            if !modes.contains(&mode) {
                modes.push(mode);
                let mut webhook = Cow::Borrowed(&event.webhook);
                if is_journal && !mode.shows_blind {
                    hide_blind(&mut webhook.to_mut().data);
                }
                let body = webhook
                    .render(mode.mode, &event.text)
                    .map_err(|error| StoreError::Unreadable { what: "payload", detail: error.to_string() })?;
                self.payloads.push((tenant.to_string(), event.event_id.to_string(), mode, body));
            }
            self.deliveries.push(Delivery {
                tenant: tenant.to_string(),
                id: clock.mint(),
                endpoint: endpoint.id,
                event: event.event_id.to_string(),
                event_type: event.webhook.kind.clone(),
                mode,
                state: if endpoint.enabled { "pending" } else { "held" },
            });
        }
        Ok(())
    }

    async fn insert(&self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        self.insert_events(connection, now).await?;
        self.insert_work(connection, now).await?;
        self.insert_deliveries(connection, now).await?;
        Ok(())
    }

    async fn insert_events(&self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        threads::insert_references(connection, &self.references).await?;
        threads::insert_subjects(connection, &self.subjects).await?;
        const EVENTS: &str = "INSERT INTO events (tenant_id, event_id, cursor, kind, source_kind, source_event_id, app_id, \
scope, message_id, thread_id, sequence, occurred_at, recorded_at, content) ";
        rows::insert(connection, EVENTS, &self.events, |row, (tenant, event, cursor, sequence)| {
            row.push_bind(tenant.clone())
                .push_bind(event.event_id.to_string())
                .push_bind(*cursor)
                .push_bind(event.event_type.clone())
                .push_bind(event.source_kind.clone())
                .push_bind(event.source_event_id.clone())
                .push_bind(event.app_id.map(|id| id.to_string()))
                .push_bind(event.scope.clone())
                .push_bind(event.message_id.map(|id| id.to_string()))
                .push_bind(event.thread.as_ref().map(|thread| thread.thread_id.to_string()))
                .push_bind(*sequence)
                .push_bind(event.occurred_at.as_micros())
                .push_bind(now.as_micros())
                .push_bind(event.content.as_str());
        })
        .await?;
        const DECISIONS: &str = "INSERT INTO decisions (tenant_id, decision_id, event_id, status, area, priority, \
approval_required, abstained, engine_version, answer, decided_at) ";
        rows::insert(connection, DECISIONS, &self.decisions, |row, (tenant, event, decision, answer)| {
            let canonical = &decision.answer.canonical;
            row.push_bind(tenant.clone())
                .push_bind(decision.decision_id.to_string())
                .push_bind(event.clone())
                .push_bind(canonical.status.clone())
                .push_bind(canonical.area.clone())
                .push_bind(canonical.priority.as_str())
                .push_bind(i64::from(canonical.approval_required))
                .push_bind(i64::from(decision.answer.reasoning.abstained))
                .push_bind(decision.answer.reasoning.version.clone())
                .push_bind(answer.as_str())
                .push_bind(now.as_micros());
        })
        .await?;
        const OPERATIONS: &str = "INSERT INTO operations (tenant_id, operation_id, event_id, position, kind, \
idempotency_key, state, content, created_at) ";
        rows::insert(connection, OPERATIONS, &self.operations, |row, (tenant, event, position, operation, content)| {
            row.push_bind(tenant.clone())
                .push_bind(operation.id.clone())
                .push_bind(event.clone())
                .push_bind(*position)
                .push_bind(operation.kind.as_str())
                .push_bind(operation.idempotency_key.clone())
                .push_bind("proposed")
                .push_bind(content.clone())
                .push_bind(now.as_micros());
        })
        .await?;
        Ok(())
    }

    async fn insert_work(&self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        const TASKS: &str =
            "INSERT INTO tasks (tenant_id, task_id, event_id, app_id, title, priority, state, due_at, created_at) ";
        rows::insert(connection, TASKS, &self.tasks, |row, (tenant, event, app, task)| {
            row.push_bind(tenant.clone())
                .push_bind(task.task_id.to_string())
                .push_bind(event.clone())
                .push_bind(app.clone())
                .push_bind(task.title.clone())
                .push_bind(task.priority.as_str())
                .push_bind("open")
                .push_bind(task.due_at.clone())
                .push_bind(now.as_micros());
        })
        .await?;
        const APPROVALS: &str = "\
INSERT INTO approvals (tenant_id, approval_id, event_id, draft_id, reasons, state, created_at, content_hash, expires_at, \
escalate_at) ";
        let ends = ends_of(connection, self.approvals.iter().map(|(tenant, ..)| tenant), now).await?;
        let up_of = |tenant: &String, approval: &NewApproval| {
            approval.about.as_ref()?;
            ends.get(tenant)?.1.map(Timestamp::as_micros)
        };
        rows::insert(connection, APPROVALS, &self.approvals, |row, (tenant, event, approval, reasons)| {
            row.push_bind(tenant.clone())
                .push_bind(approval.approval_id.to_string())
                .push_bind(event.clone())
                .push_bind(approval.draft_id.map(|id| id.to_string()))
                .push_bind(reasons.clone())
                .push_bind("pending")
                .push_bind(now.as_micros())
                .push_bind(approval.about.clone())
                .push_bind(ends.get(tenant).map(|(end, _)| end.as_micros()))
                .push_bind(up_of(tenant, approval));
        })
        .await?;
        // Where words are there, somebody can answer. One notice tells of all that waits.
        let told = self.approvals.iter().filter(|(_, _, approval, _)| approval.about.is_some());
        let told = told.map(|(tenant, _, approval, _)| (tenant, approval.approval_id.to_string()));
        for (tenant, approval) in told.collect::<BTreeMap<_, _>>() {
            tell(connection, from_id("tenant_id", tenant)?, NoticeKind::ApprovalWaits, approval, now).await?;
        }
        proposals::insert(connection, &self.drafts, now).await
    }

    async fn insert_deliveries(&self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        const PAYLOADS: &str = "INSERT INTO payloads (tenant_id, event_id, mode, api_version, body) ";
        rows::insert(connection, PAYLOADS, &self.payloads, |row, (tenant, event, mode, body)| {
            row.push_bind(tenant.clone())
                .push_bind(event.clone())
                .push_bind(mode.as_str())
                .push_bind(crate::contract::webhook::API_VERSION)
                .push_bind(body.as_str());
        })
        .await?;
        const DELIVERIES: &str = "INSERT INTO deliveries (tenant_id, delivery_id, endpoint_id, event_id, event_type, \
mode, api_version, state, next_attempt_at, created_at) ";
        rows::insert(connection, DELIVERIES, &self.deliveries, |row, delivery| {
            row.push_bind(delivery.tenant.clone())
                .push_bind(delivery.id.to_string())
                .push_bind(delivery.endpoint.to_string())
                .push_bind(delivery.event.clone())
                .push_bind(delivery.event_type.clone())
                .push_bind(delivery.mode.as_str())
                .push_bind(crate::contract::webhook::API_VERSION)
                .push_bind(delivery.state)
                .push_bind(now.as_micros())
                .push_bind(now.as_micros());
        })
        .await?;
        Ok(())
    }
}
