//! Drafts that the source app was asked to send: the operation that asks it, what it reports, and the copy of what it sent.
//!
//! Nothing here lets anything out. A report is the app's word about its own mail, and a copy is mail like any other: it is an
//! event of its own, and shows beside that what became of the draft.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{NewEntry, append};
use super::drafts::lock_draft;
use super::events::NewEvent;
use super::idempotency::{KeyedCall, Once, claim};
use super::ingest::NewView;
use super::outcomes::{DraftOutcome, note_outcome};
use super::sent::{SentCopy, record_copy};
use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, from_id, from_json, to_json};
use crate::clock::{Clock, Timestamp};
use crate::contract::answer::{Operation, OperationMode, OperationType, Risk};
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::governance::similarity::{is_near, likeness};
use crate::ids::{DraftId, EventId, MessageId, OperationId, TenantId};
use crate::mail::address::Mailbox;
use crate::mail::key::id_key_of;

/// What is known of a draft that was handed off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffRow {
    /// The operation that asked the app.
    pub operation: Option<OperationId>,
    /// `sent` or `discarded`, once the app reported.
    pub outcome: Option<String>,
    /// The Message-ID that it reported, without angle brackets.
    pub message_id: Option<String>,
    /// When it sent it, by its own word.
    pub sent_at: Option<Timestamp>,
    /// Why not, or what else the app says.
    pub note: Option<String>,
    /// When it reported.
    pub reported_at: Option<Timestamp>,
    /// The first copy that was seen of it.
    pub seen: Option<(MessageId, Timestamp)>,
    /// By what it was known: `message_id` or `likeness`.
    pub matched_by: Option<String>,
}

/// A report of a source app about a draft that it was asked to send.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// The draft.
    pub draft: DraftId,
    /// `sent` or `discarded`.
    pub outcome: &'static str,
    /// The Message-ID of what was sent, without angle brackets.
    pub message_id: Option<String>,
    /// When.
    pub sent_at: Option<Timestamp>,
    /// Why not, or what else there is to say.
    pub note: Option<String>,
    /// Who reports.
    pub by: Actor,
}

/// What the parts of a version tell a source app.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parts {
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    subject: String,
    text: String,
    html: Option<String>,
}

/// Keeps a draft as handed off, and gives the operation that asks its app to send it: that of the decision which proposed the
/// draft, where there is one, so that nobody is asked twice; else one of its own, of the event that tells of it.
pub(super) async fn open(
    connection: &mut Connection,
    tenant: TenantId,
    (draft, event): (DraftId, EventId),
    now: Timestamp,
) -> Result<Value, StoreError> {
    const DRAFT: &str = "\
SELECT d.version, v.parts, v.recipients, v.content_hash, d.external_reply_url, d.event_id, d.thread_id,
    CASE WHEN e.message_id IS NULL THEN NULL ELSE e.source_event_id END
FROM drafts AS d
LEFT JOIN draft_versions AS v ON v.tenant_id = d.tenant_id AND v.draft_id = d.draft_id AND v.version = d.version
LEFT JOIN events AS e ON e.tenant_id = d.tenant_id AND e.event_id = COALESCE(d.answers, d.event_id)
WHERE d.tenant_id = $1 AND d.draft_id = $2";
    const KEEP: &str = "\
INSERT INTO handoffs (tenant_id, draft_id, version, operation_id, event_id, thread_id, answers_key, recipients, likeness, handed_off_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let row = query(DRAFT).bind(tenant.to_string()).bind(draft.to_string()).fetch_one(&mut *connection).await?;
    let version: i64 = row.try_get(0)?;
    let parts: Parts = row.try_get::<Option<&str>>(1)?.map_or(Ok(Parts::default()), |text| from_json("parts", text))?;
    let recipients: Vec<Mailbox> =
        row.try_get::<Option<&str>>(2)?.map_or(Ok(Vec::new()), |text| from_json("recipients", text))?;
    let keys: Vec<String> = recipients.iter().map(Mailbox::key).collect();
    let answered: Option<String> = row.try_get(7)?;
    let proposing: Option<String> = row.try_get(5)?;
    let params = json!({
        "draftId": draft, "version": version, "contentHash": row.try_get::<Option<&str>>(3)?,
        "to": parts.to, "cc": parts.cc, "bcc": parts.bcc, "subject": parts.subject, "text": parts.text, "html": parts.html,
        "inReplyTo": answered, "externalReplyUrl": row.try_get::<Option<&str>>(4)?,
    });
    let operation = match &proposing {
        Some(proposing) => proposed(connection, tenant, proposing).await?,
        None => None,
    };
    let (operation, event) = match (operation, proposing) {
        (Some(operation), Some(proposing)) => (Operation { params, ..operation }, proposing),
        (_, _) => (add_operation(connection, tenant, (draft, event, version), params, now).await?, event.to_string()),
    };
    let answers_key = answered.as_deref().map(id_key_of);
    let likeness = (!parts.text.is_empty()).then(|| likeness(&parts.text).cast_signed());
    let keep = query(KEEP)
        .bind(tenant.to_string())
        .bind(draft.to_string())
        .bind(version)
        .bind(operation.id.as_deref())
        .bind(event)
        .bind(row.try_get::<Option<&str>>(6)?)
        .bind(answers_key.as_ref().map(<[u8; 32]>::as_slice))
        .bind(to_json("recipients", &keys)?)
        .bind(likeness)
        .bind(now.as_micros());
    keep.execute(connection).await?;
    serde_json::to_value(operation)
        .map_err(|error| StoreError::Unreadable { what: "operation", detail: error.to_string() })
}

/// The operation by which a decision proposed that the source app answers.
async fn proposed(connection: &mut Connection, tenant: TenantId, event: &str) -> Result<Option<Operation>, StoreError> {
    const FIND: &str =
        "SELECT content FROM operations WHERE tenant_id = $1 AND event_id = $2 AND kind = $3 ORDER BY position LIMIT 1";
    let kind = OperationType::ReplyInSourceApp.as_str();
    let row = query(FIND).bind(tenant.to_string()).bind(event).bind(kind).fetch_optional(connection).await?;
    row.map(|row| from_json("operation", row.try_get(0)?)).transpose()
}

async fn add_operation(
    connection: &mut Connection,
    tenant: TenantId,
    (draft, event, version): (DraftId, EventId, i64),
    params: Value,
    now: Timestamp,
) -> Result<Operation, StoreError> {
    const ADD: &str = "\
INSERT INTO operations (tenant_id, operation_id, event_id, position, kind, idempotency_key, state, content, created_at)
VALUES ($1, $2, $3, 0, $4, $5, 'proposed', $6, $7)";
    let id: OperationId = Clock::System.mint();
    let operation = Operation {
        id: Some(id.to_string()),
        kind: OperationType::ReplyInSourceApp,
        label: "Send the reply from the source app".to_owned(),
        approval_required: false,
        mode: OperationMode::Suggest,
        risk: Risk::Medium,
        reasons: vec!["source_app_owns_identity".to_owned()],
        params,
        // The same draft in the same version is sent once.
        idempotency_key: format!("{draft}.{version}"),
        expires_at: None,
        confidence: 1.0,
    };
    // Its words are the draft's, and are kept there alone.
    let mut kept = operation.clone();
    if let Some(params) = kept.params.as_object_mut() {
        params.retain(|name, _| !matches!(name.as_str(), "subject" | "text" | "html"));
    }
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(event.to_string())
        .bind(operation.kind.as_str())
        .bind(&operation.idempotency_key)
        .bind(to_json("operation", &kept)?)
        .bind(now.as_micros());
    add.execute(connection).await?;
    Ok(operation)
}

/// What counts of the copy of a message that somebody here sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Copied {
    #[serde(default)]
    in_reply_to: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    address: String,
}

/// Ids of a copy by which it may answer what a draft answers: the newest.
const REFERENCES: usize = 5;

/// The draft that a copy of outbound mail shows as sent: by the id that its app reported, or else by what it answers, whom it
/// goes to, and words that are nearly the draft's.
pub(super) async fn find(
    connection: &mut Connection,
    tenant: TenantId,
    view: &NewView,
    message: MessageId,
) -> Result<Option<SentCopy>, StoreError> {
    const BY_ID: &str = "SELECT draft_id, version FROM handoffs \
WHERE tenant_id = $1 AND id_key = $2 AND outcome = 'sent' AND seen_at IS NULL LIMIT 1";
    if view.event.event_type != "outbound_copy" {
        return Ok(None);
    }
    let copy = |draft: String, version: i64, matched_by: &'static str| SentCopy {
        tenant,
        draft,
        version,
        route: view.scope.clone(),
        message,
        thread: None,
        matched_by: Some(matched_by),
    };
    if let Some(key) = view.id_key {
        let by_id = query(BY_ID).bind(tenant.to_string()).bind(key.as_slice());
        if let Some(row) = by_id.fetch_optional(&mut *connection).await? {
            return Ok(Some(copy(row.try_get(0)?, row.try_get(1)?, "message_id")));
        }
    }
    let found = find_alike(connection, tenant, &view.event).await?;
    Ok(found.map(|(draft, version)| copy(draft, version, "likeness")))
}

async fn find_alike(
    connection: &mut Connection,
    tenant: TenantId,
    event: &NewEvent,
) -> Result<Option<(String, i64)>, StoreError> {
    const BY_ANSWERED: &str = "SELECT draft_id, version, recipients, likeness FROM handoffs WHERE tenant_id = $1 \
AND answers_key = $2 AND seen_at IS NULL AND outcome IS NULL AND likeness IS NOT NULL ORDER BY draft_id DESC LIMIT 16";
    const BY_THREAD: &str = "SELECT draft_id, version, recipients, likeness FROM handoffs WHERE tenant_id = $1 \
AND thread_id = $2 AND seen_at IS NULL AND outcome IS NULL AND likeness IS NOT NULL ORDER BY draft_id DESC LIMIT 16";
    // Mostly there is none, which one look tells.
    const ANY: &str =
        "SELECT draft_id FROM handoffs WHERE tenant_id = $1 AND seen_at IS NULL AND outcome IS NULL LIMIT 1";
    if event.text.is_empty() || query(ANY).bind(tenant.to_string()).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let Ok(copied) = serde_json::from_str::<Copied>(&event.content) else { return Ok(None) };
    let mut rows = Vec::new();
    for id in copied.in_reply_to.iter().chain(copied.references.iter().rev()).take(REFERENCES) {
        let key = id_key_of(id);
        let by_answered = query(BY_ANSWERED).bind(tenant.to_string()).bind(key.as_slice());
        rows.extend(by_answered.fetch_all(&mut *connection).await?);
    }
    if let Some(thread) = &event.thread {
        let by_thread = query(BY_THREAD).bind(tenant.to_string()).bind(thread.thread_id.to_string());
        rows.extend(by_thread.fetch_all(connection).await?);
    }
    let own = likeness(&event.text);
    let reached: BTreeSet<String> = copied.recipients.iter().filter_map(|one| key(&one.address)).collect();
    for row in rows {
        let wanted: Vec<String> = from_json("recipients", row.try_get(2)?)?;
        let is_to_them = !wanted.is_empty() && wanted.iter().all(|one| reached.contains(one));
        if is_to_them && is_near(own, row.try_get::<i64>(3)?.cast_unsigned()) {
            return Ok(Some((row.try_get(0)?, row.try_get(1)?)));
        }
    }
    Ok(None)
}

fn key(address: &str) -> Option<String> {
    Mailbox::parse(address).ok().map(|mailbox| mailbox.key())
}

/// Notes the first copy of what an app sent; whether it is the first.
pub(super) async fn note_seen(
    connection: &mut Connection,
    copy: (TenantId, &str, &str, MessageId),
    matched_by: &'static str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const SEEN: &str = "UPDATE handoffs SET seen_message = $3, seen_route = $4, seen_at = $5, matched_by = $6 \
WHERE tenant_id = $1 AND draft_id = $2 AND seen_at IS NULL";
    let (tenant, draft, route, message) = copy;
    let seen = query(SEEN)
        .bind(tenant.to_string())
        .bind(draft)
        .bind(message.to_string())
        .bind(route)
        .bind(now.as_micros())
        .bind(matched_by);
    Ok(seen.execute(connection).await? > 0)
}

impl TenantStore {
    /// What is known of a draft as one that was handed off; `None` where it was not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn handoff(&self, draft: DraftId) -> Result<Option<HandoffRow>, StoreError> {
        const FIND: &str = "SELECT operation_id, outcome, message_id, sent_at, note, reported_at, seen_message, seen_at, \
matched_by FROM handoffs WHERE tenant_id = $1 AND draft_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(draft.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read).transpose()
    }

    /// Records what the source app reports of a draft that it was asked to send, once for each call that names a key. The
    /// same report again changes nothing. A copy that came before the report is looked for.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the draft was not handed off, or another report stands; [`StoreError::Unavailable`].
    pub async fn report_handoff(&self, report: NewReport, call: Option<KeyedCall>) -> Result<Once<()>, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    if let Some(call) = &call {
                        match claim(connection, tenant, call, now).await? {
                            Once::First(()) => {}
                            known => return Ok(known),
                        }
                    }
                    let mut entries = Vec::new();
                    if keep_report(connection, tenant, &report, now).await? {
                        note_report(connection, tenant, &report, now).await?;
                        let detail = json!({ "outcome": report.outcome, "messageId": report.message_id });
                        entries.push(NewEntry::new(
                            Who::Actor(report.by.clone()),
                            "draft.reported",
                            report.draft,
                            detail,
                        ));
                        entries.extend(earlier_copy(connection, tenant, &report, now).await?);
                    }
                    append(connection, tenant, now, entries).await?;
                    Ok(Once::First(()))
                })
            })
            .await
    }
}

/// Keeps a report; false where the same one stands already.
async fn keep_report(
    connection: &mut Connection,
    tenant: TenantId,
    report: &NewReport,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const REPORT: &str = "\
UPDATE handoffs SET outcome = $3, message_id = $4, id_key = $5, sent_at = $6, note = $7, reported_by = $8, reported_at = $9
WHERE tenant_id = $1 AND draft_id = $2 AND outcome IS NULL";
    const STANDS: &str = "SELECT outcome, message_id FROM handoffs WHERE tenant_id = $1 AND draft_id = $2";
    const ERASED: &str = "SELECT 1 FROM drafts WHERE tenant_id = $1 AND draft_id = $2 AND erased_at IS NOT NULL";
    lock_draft(connection, tenant, report.draft).await.map_err(|error| match error {
        StoreError::NotFound(_) => StoreError::Conflict("the draft was not handed off to its app"),
        error => error,
    })?;
    let erased = query(ERASED).bind(tenant.to_string()).bind(report.draft.to_string());
    if erased.fetch_optional(&mut *connection).await?.is_some() {
        return Err(StoreError::Conflict("the draft was erased"));
    }
    let id_key = report.message_id.as_deref().map(id_key_of);
    let keep = query(REPORT)
        .bind(tenant.to_string())
        .bind(report.draft.to_string())
        .bind(report.outcome)
        .bind(report.message_id.as_deref())
        .bind(id_key.as_ref().map(<[u8; 32]>::as_slice))
        .bind(report.sent_at.map(Timestamp::as_micros))
        .bind(report.note.as_deref())
        .bind(to_json("reported_by", &report.by)?)
        .bind(now.as_micros());
    if keep.execute(&mut *connection).await? > 0 {
        return Ok(true);
    }
    let stands = query(STANDS).bind(tenant.to_string()).bind(report.draft.to_string());
    let row = stands.fetch_optional(connection).await?;
    let row = row.ok_or(StoreError::Conflict("the draft was not handed off to its app"))?;
    let is_same = row.try_get::<Option<&str>>(0)? == Some(report.outcome)
        && row.try_get::<Option<&str>>(1)? == report.message_id.as_deref();
    if is_same { Ok(false) } else { Err(StoreError::Conflict("the app reported otherwise before")) }
}

/// The report counts as an outcome of the operation that asked the app.
async fn note_report(
    connection: &mut Connection,
    tenant: TenantId,
    report: &NewReport,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (outcome, reason) = match report.outcome {
        "sent" => ("applied", None),
        _ => ("rejected", Some("discarded")),
    };
    let outcome = DraftOutcome { draft: report.draft, outcome, reason, note: report.note.as_deref() };
    note_outcome(connection, tenant, outcome, now).await
}

/// The copy of what an app sent that came before its report.
async fn earlier_copy(
    connection: &mut Connection,
    tenant: TenantId,
    report: &NewReport,
    now: Timestamp,
) -> Result<Option<NewEntry>, StoreError> {
    const FIND: &str = "\
SELECT e.message_id, e.scope, h.version FROM handoffs AS h
JOIN events AS e ON e.tenant_id = h.tenant_id AND e.source_event_id = h.message_id AND e.kind = 'outbound_copy'
JOIN routes AS r ON r.tenant_id = e.tenant_id AND r.route_id = e.scope
WHERE h.tenant_id = $1 AND h.draft_id = $2 AND h.outcome = 'sent' AND h.seen_at IS NULL AND e.message_id IS NOT NULL
ORDER BY e.cursor LIMIT 1";
    let find = query(FIND).bind(tenant.to_string()).bind(report.draft.to_string());
    let Some(row) = find.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let copy = SentCopy {
        tenant,
        draft: report.draft.to_string(),
        version: row.try_get(2)?,
        route: row.try_get(1)?,
        message: from_id("message_id", row.try_get(0)?)?,
        thread: None,
        matched_by: Some("message_id"),
    };
    record_copy(connection, now, copy).await
}

fn read(row: &Row) -> Result<HandoffRow, StoreError> {
    let time = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>>(column)?.map(Timestamp::from_micros));
    let seen = row.try_get::<Option<&str>>(6)?.map(|id| from_id("seen_message", id)).transpose()?;
    Ok(HandoffRow {
        operation: row.try_get::<Option<&str>>(0)?.map(|id| from_id("operation_id", id)).transpose()?,
        outcome: row.try_get(1)?,
        message_id: row.try_get(2)?,
        sent_at: time(3)?,
        note: row.try_get(4)?,
        reported_at: time(5)?,
        seen: seen.zip(time(7)?),
        matched_by: row.try_get(8)?,
    })
}
