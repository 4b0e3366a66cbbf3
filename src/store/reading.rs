//! Reading what was recorded: messages, the stream of events, and the whole chain behind one id.

use super::sql::{Row, built, query};
use super::{StoreError, TenantStore, from_id, from_json, sight};
use crate::clock::Timestamp;
use crate::event::privacy::Visibility;
use crate::ids::{ApprovalId, DecisionId, DeliveryId, DraftId, EventId, MessageId, OperationId, ReleaseId, TaskId};
use serde_json::{Value, json};

/// A stored message.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Our id.
    pub id: MessageId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Octets.
    pub size: u64,
    /// `emitted`, `duplicate`, `held`, `poisoned`, …
    pub state: String,
    /// Why it is held or poisoned.
    pub reason: Option<String>,
    /// The message that was taken instead.
    pub duplicate_of: Option<String>,
    /// The manifest as JSON.
    pub manifest: String,
    /// Where the bytes are, as JSON.
    pub body: String,
    /// Its trace and the results of its authentication as JSON; `None` where nobody looked at it.
    pub trace: Option<String>,
    /// Whether its bytes may be read: no route took it, or one of those that did keeps them.
    pub is_raw_kept: bool,
}

/// An event in the tenant's stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its place.
    pub cursor: i64,
    /// Its id.
    pub id: EventId,
    /// The canonical event.
    pub content: Value,
    /// The answer; null where nothing was decided.
    pub answer: Value,
    /// Its type.
    pub event_type: String,
    /// `direct`, `bcc`, `app`, …
    pub source_kind: String,
    /// The event's id at its source.
    pub source_event_id: Option<String>,
    /// The app for which it was decided.
    pub app: Option<String>,
    /// The conversation and the event's place in it.
    pub thread: Option<(String, i64)>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Whom the route shows it to that took its message; the whole tenant where none did.
    pub visible_to: Visibility,
}

const MESSAGE: &str = "SELECT message_id, received_at, size, state, reason, duplicate_of, manifest, body, trace, \
(SELECT COUNT(*) FROM kept_copies AS k WHERE k.tenant_id = messages.tenant_id AND k.message_id = messages.message_id), \
(SELECT COUNT(*) FROM kept_copies AS k WHERE k.tenant_id = messages.tenant_id AND k.message_id = messages.message_id AND k.kept = 'raw') \
FROM messages WHERE tenant_id = $1";
const EVENT: &str = "\
SELECT e.cursor, e.event_id, e.content, d.answer, e.kind, e.source_kind, e.source_event_id, a.name, e.thread_id, \
e.sequence, e.occurred_at, r.visible_to FROM events AS e
LEFT JOIN routes AS r ON r.tenant_id = e.tenant_id AND r.route_id = e.scope
LEFT JOIN decisions AS d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id
LEFT JOIN apps AS a ON a.tenant_id = e.tenant_id AND a.app_id = e.app_id WHERE e.tenant_id = $1";

impl TenantStore {
    /// The newest `limit` messages, newest first; only those in `state` where one is given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn messages(&self, state: Option<&str>, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        let filter = "AND ($2 IS NULL OR state = $2) ORDER BY message_id DESC LIMIT $3";
        let sql = format!("{MESSAGE} {filter}");
        let list = built(sql).bind(self.tenant.to_string()).bind(state).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read_message).collect()
    }

    /// All messages behind `after` in the order of their ids, `limit` at a time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn messages_after(&self, after: &str, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        let sql = format!("{MESSAGE} AND message_id > $2 ORDER BY message_id LIMIT $3");
        let list = built(sql).bind(self.tenant.to_string()).bind(after).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read_message).collect()
    }

    /// One message.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!("{MESSAGE} AND message_id = $2");
        let find = built(sql).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_message).transpose()
    }

    /// Events behind `after` in the order of the stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!("{EVENT} AND e.cursor > $2 ORDER BY e.cursor LIMIT $3");
        let list = built(sql).bind(self.tenant.to_string()).bind(after).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read_event).collect()
    }

    /// Place of the newest event; 0 when there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn newest_cursor(&self) -> Result<i64, StoreError> {
        const NEWEST: &str = "SELECT event_cursor FROM tenants WHERE tenant_id = $1";
        let row = query(NEWEST).bind(self.tenant.to_string()).fetch_optional(&self.store.readers).await?;
        Ok(row.ok_or(StoreError::NotFound("tenant"))?.try_get(0)?)
    }

    /// One event.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn event(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        let sql = format!("{EVENT} AND e.event_id = $2");
        let find = built(sql).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_event).transpose()
    }

    /// The content of one event, as it is stored.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn event_content(&self, id: EventId) -> Result<Option<Value>, StoreError> {
        const FIND: &str = "SELECT content FROM events WHERE tenant_id = $1 AND event_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(id.to_string());
        let row = find.fetch_optional(&self.store.readers).await?;
        row.map(|row| super::from_json("content", row.try_get(0)?)).transpose()
    }

    /// Public codes of the signals of abuse that were found in what an event tells; none where nothing was decided.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Unreadable`], so that the gate is not asked without them.
    pub async fn abuse_signals(&self, id: EventId) -> Result<Vec<String>, StoreError> {
        const FIND: &str = "SELECT answer FROM decisions WHERE tenant_id = $1 AND event_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(id.to_string());
        let mut codes = Vec::new();
        for row in find.fetch_all(&self.store.readers).await? {
            let answer: Value = super::from_json("answer", row.try_get(0)?)?;
            let signals = answer.pointer("/trust/abuseSignals").and_then(Value::as_array).into_iter().flatten();
            codes.extend(signals.filter_map(|signal| signal["code"].as_str().map(str::to_owned)));
        }
        Ok(codes)
    }

    /// The events of a message, in the order of the stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn events_of_message(&self, message: MessageId) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!("{EVENT} AND e.message_id = $2 ORDER BY e.cursor");
        let list = built(sql).bind(self.tenant.to_string()).bind(message.to_string());
        list.fetch_all(&self.store.readers).await?.iter().map(read_event).collect()
    }

    /// The whole chain behind an id of a message, event, decision, operation, task, draft, approval, release or delivery: how it
    /// came in, what it became, what was decided, what left, and what apps reported.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when no such id is this tenant's; [`StoreError::Unavailable`].
    pub async fn explain(&self, id: &str) -> Result<Value, StoreError> {
        let mut events = Vec::new();
        let mut message = None;
        let mut draft = None;
        if let Ok(id) = id.parse::<MessageId>() {
            message = Some(self.message(id).await?.ok_or(StoreError::NotFound("message"))?);
            const EVENTS: &str = "SELECT event_id FROM events WHERE tenant_id = $1 AND message_id = $2 ORDER BY cursor";
            let list = query(EVENTS).bind(self.tenant.to_string()).bind(id.to_string());
            for row in list.fetch_all(&self.store.readers).await? {
                events.push(from_id("event_id", row.try_get(0)?)?);
            }
        } else if let Some(id) = self.draft_behind(id).await? {
            let row = self.draft(id).await?.ok_or(StoreError::NotFound("draft"))?;
            events.extend(row.event.or(row.answers));
            draft = Some(self.draft_chain(&row).await?);
        } else {
            events.push(self.event_behind(id).await?.ok_or(StoreError::NotFound("id"))?);
        }
        let mut chains = Vec::new();
        for event in events {
            let chain = self.chain(event).await?;
            if message.is_none()
                && let Some(id) = chain.get("messageId").and_then(Value::as_str).and_then(|id| id.parse().ok())
            {
                message = self.message(id).await?;
            }
            chains.push(chain);
        }
        let message = message.map(|row| describe(&row)).transpose()?;
        Ok(json!({ "id": id, "tenantId": self.tenant, "message": message, "events": chains, "draft": draft }))
    }

    /// The draft that an id names: its own, that of a question about it, or that of its release.
    async fn draft_behind(&self, id: &str) -> Result<Option<DraftId>, StoreError> {
        const QUESTION: &str =
            "SELECT draft_id FROM approvals WHERE tenant_id = $1 AND approval_id = $2 AND draft_id IS NOT NULL";
        const RELEASE: &str = "SELECT draft_id FROM releases WHERE tenant_id = $1 AND release_id = $2";
        if let Ok(draft) = id.parse() {
            return Ok(Some(draft));
        }
        let sql = match (id.parse::<ApprovalId>(), id.parse::<ReleaseId>()) {
            (Ok(_), _) => QUESTION,
            (_, Ok(_)) => RELEASE,
            _ => return Ok(None),
        };
        let row = query(sql).bind(self.tenant.to_string()).bind(id).fetch_optional(&self.store.readers).await?;
        row.map(|row| from_id("draft_id", row.try_get(0)?)).transpose()
    }

    async fn event_behind(&self, id: &str) -> Result<Option<EventId>, StoreError> {
        const OPERATION: &str = "SELECT event_id FROM operations WHERE tenant_id = $1 AND operation_id = $2";
        const TASK: &str = "SELECT event_id FROM tasks WHERE tenant_id = $1 AND task_id = $2";
        const DECISION: &str = "SELECT event_id FROM decisions WHERE tenant_id = $1 AND decision_id = $2";
        const DELIVERY: &str = "SELECT event_id FROM deliveries WHERE tenant_id = $1 AND delivery_id = $2";
        if let Ok(event) = id.parse::<EventId>() {
            return Ok(self.event(event).await?.map(|row| row.id));
        }
        let sql = if id.parse::<OperationId>().is_ok() {
            OPERATION
        } else if id.parse::<TaskId>().is_ok() {
            TASK
        } else if id.parse::<DecisionId>().is_ok() {
            DECISION
        } else if id.parse::<DeliveryId>().is_ok() {
            DELIVERY
        } else {
            return Ok(None);
        };
        let row = query(sql).bind(self.tenant.to_string()).bind(id).fetch_optional(&self.store.readers).await?;
        row.map(|row| from_id("event_id", row.try_get(0)?)).transpose()
    }

    /// What was done with a draft, and by whom.
    async fn draft_chain(&self, draft: &super::drafts::DraftRow) -> Result<Value, StoreError> {
        let audit = self.audit_of(&draft.id.to_string()).await?;
        let shown = audit.iter().map(|row| {
            let detail = row.detail.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
            let entry = &row.entry;
            json!({ "number": entry.number, "at": entry.at.to_string(), "actor": entry.actor, "action": entry.action, "detail": detail })
        });
        Ok(json!({
            "id": draft.id,
            "state": draft.state,
            "version": draft.version,
            "identityOwner": draft.identity_owner,
            "threadId": draft.thread,
            "erasedAt": draft.erased_at.map(|at| at.to_string()),
            "steps": shown.collect::<Vec<_>>(),
        }))
    }

    async fn chain(&self, id: EventId) -> Result<Value, StoreError> {
        const MESSAGE_OF: &str = "SELECT message_id FROM events WHERE tenant_id = $1 AND event_id = $2";
        let event = self.event(id).await?.ok_or(StoreError::NotFound("event"))?;
        let row = query(MESSAGE_OF).bind(self.tenant.to_string()).bind(id.to_string());
        let message: Option<String> = row.fetch_one(&self.store.readers).await?.try_get(0)?;
        Ok(json!({
            "eventId": event.id,
            "cursor": event.cursor,
            "type": event.event_type,
            "sourceKind": event.source_kind,
            "app": event.app,
            "messageId": message,
            "occurredAt": event.occurred_at.to_string(),
            "event": event.content,
            "decision": event.answer,
            "deliveries": self.deliveries_of(id).await?,
            "outcomes": self.outcomes_of(id).await?,
        }))
    }

    async fn deliveries_of(&self, event: EventId) -> Result<Vec<Value>, StoreError> {
        const LIST: &str = "\
SELECT d.delivery_id, d.endpoint_id, d.state, d.attempts, d.next_attempt_at, e.url FROM deliveries AS d
JOIN webhook_endpoints AS e ON e.tenant_id = d.tenant_id AND e.endpoint_id = d.endpoint_id
WHERE d.tenant_id = $1 AND d.event_id = $2 ORDER BY d.delivery_id";
        let list = query(LIST).bind(self.tenant.to_string()).bind(event.to_string());
        let mut deliveries = Vec::new();
        for row in list.fetch_all(&self.store.readers).await? {
            let id: DeliveryId = from_id("delivery_id", row.try_get(0)?)?;
            deliveries.push(json!({
                "id": id,
                "endpointId": row.try_get::<&str>(1)?,
                "url": row.try_get::<&str>(5)?,
                "state": row.try_get::<&str>(2)?,
                "nextAttemptAt": Timestamp::from_micros(row.try_get(4)?).to_string(),
                "attempts": self.attempts(id).await?,
            }));
        }
        Ok(deliveries)
    }

    async fn outcomes_of(&self, event: EventId) -> Result<Vec<Value>, StoreError> {
        const LIST: &str = "\
SELECT outcome_id, outcome, operation_id, applied_status, recorded_at FROM outcomes
WHERE tenant_id = $1 AND event_id = $2 ORDER BY outcome_id";
        let list = query(LIST).bind(self.tenant.to_string()).bind(event.to_string());
        let read = |row: &Row| -> Result<Value, StoreError> {
            Ok(json!({
                "id": row.try_get::<&str>(0)?,
                "outcome": row.try_get::<&str>(1)?,
                "operationId": row.try_get::<Option<&str>>(2)?,
                "appliedStatus": row.try_get::<Option<&str>>(3)?,
                "recordedAt": Timestamp::from_micros(row.try_get(4)?).to_string(),
            }))
        };
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }
}

/// A message as people and apps may see it.
///
/// # Errors
/// [`StoreError::Unreadable`].
pub fn describe(row: &MessageRow) -> Result<Value, StoreError> {
    let manifest: Value = from_json("manifest", &row.manifest)?;
    let body: Value = from_json("body", &row.body)?;
    let trace: Option<Value> = row.trace.as_deref().map(|trace| from_json("trace", trace)).transpose()?;
    Ok(json!({
        "id": row.id,
        "receivedAt": row.received_at.to_string(),
        "size": row.size,
        "state": row.state,
        "reason": row.reason,
        "duplicateOf": row.duplicate_of,
        "rawKept": row.is_raw_kept,
        "sha256": body.get("sha256"),
        "origin": manifest.get("origin"),
        "reversePath": manifest.pointer("/envelope/reverse_path"),
        "trace": trace,
    }))
}

fn read_message(row: &Row) -> Result<MessageRow, StoreError> {
    Ok(MessageRow {
        id: from_id("message_id", row.try_get(0)?)?,
        received_at: Timestamp::from_micros(row.try_get(1)?),
        size: row.try_get::<i64>(2)?.cast_unsigned(),
        state: row.try_get(3)?,
        reason: row.try_get(4)?,
        duplicate_of: row.try_get(5)?,
        manifest: row.try_get(6)?,
        body: row.try_get(7)?,
        trace: row.try_get(8)?,
        is_raw_kept: row.try_get::<i64>(9)? == 0 || row.try_get::<i64>(10)? > 0,
    })
}

fn read_event(row: &Row) -> Result<EventRow, StoreError> {
    let thread: Option<String> = row.try_get(8)?;
    let sequence: Option<i64> = row.try_get(9)?;
    Ok(EventRow {
        cursor: row.try_get(0)?,
        id: from_id("event_id", row.try_get(1)?)?,
        content: from_json("content", row.try_get(2)?)?,
        answer: row.try_get::<Option<&str>>(3)?.map_or(Ok(Value::Null), |answer| from_json("answer", answer))?,
        event_type: row.try_get(4)?,
        source_kind: row.try_get(5)?,
        source_event_id: row.try_get(6)?,
        app: row.try_get(7)?,
        thread: thread.zip(sequence),
        occurred_at: Timestamp::from_micros(row.try_get(10)?),
        visible_to: row.try_get::<Option<&str>>(11)?.map_or(Ok(Visibility::Tenant), sight::visibility)?,
    })
}
