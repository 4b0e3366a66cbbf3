//! Takes out of a draft that is over what it held of persons: its words and bytes, its recipients, what their servers and
//! people said of it, and what was told of it to apps.
//!
//! Its ids, times, states, numbers and hashes stay, so that its receipt, its chain of steps and the audit log can be checked as
//! before. Each draft is one transaction, which the audit log has. What is suppressed stays so: it is kept for the person.

use serde_json::{Value, json};

use super::read_state;
use crate::clock::Timestamp;
use crate::event::privacy::{ERASED_RECIPIENT, erase_draft};
use crate::governance::audit::Who;
use crate::governance::lifecycle::DraftState;
use crate::ids::{DraftId, EventId, TenantId};
use crate::mail::address::Mailbox;
use crate::store::audit::{NewEntry, append, erase_details};
use crate::store::sql::{Connection, Row, query};
use crate::store::{StoreError, TenantStore, from_id, from_json, rows, to_json};

/// What became of a draft that was to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftErasure {
    /// It was erased, with the details of so many rows of the audit log.
    Done(u64),
    /// It had been before.
    Before,
    /// It is not over, and nothing was changed.
    Open(DraftState),
}

/// Versions that are looked through at once for a recipient.
const PAGE: u32 = 1_000;

/// A draft as it is before it is erased.
struct Found {
    tenant: String,
    draft: String,
    created_at: i64,
}

impl TenantStore {
    /// Erases what a draft that is over holds of persons, by whoever it is; once more does no harm.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn erase_draft(&self, id: DraftId, who: Who) -> Result<DraftErasure, StoreError> {
        const LOCK: &str = "UPDATE drafts SET updated_at = updated_at WHERE tenant_id = $1 AND draft_id = $2 \
RETURNING state, erased_at, created_at";
        const UNDER_WAY: &str = "\
SELECT 1 FROM transmissions AS t JOIN releases AS r ON r.tenant_id = t.tenant_id AND r.release_id = t.release_id
WHERE r.tenant_id = $1 AND r.draft_id = $2 AND t.state IN ('pending', 'deferred', 'in_flight') LIMIT 1";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let row = query(LOCK).bind(tenant.to_string()).bind(id.to_string());
                    let row = row.fetch_optional(&mut *connection).await?.ok_or(StoreError::NotFound("draft"))?;
                    let state = read_state(row.try_get(0)?)?;
                    if row.try_get::<Option<i64>>(1)?.is_some() {
                        return Ok(DraftErasure::Before);
                    }
                    let under_way = query(UNDER_WAY).bind(tenant.to_string()).bind(id.to_string());
                    if !state.is_over() || under_way.fetch_optional(&mut *connection).await?.is_some() {
                        return Ok(DraftErasure::Open(state));
                    }
                    let created_at = row.try_get(2)?;
                    let found = Found { tenant: tenant.to_string(), draft: id.to_string(), created_at };
                    erase_content(connection, &found, now).await?;
                    erase_said(connection, &found).await?;
                    erase_told(connection, &found).await?;
                    // Nobody calls again for what was done so long ago.
                    if who != Who::Gateway {
                        erase_answers(connection, &found).await?;
                    }
                    let details = erase_details(connection, tenant, &found.draft).await?;
                    let detail = json!({ "state": state, "rows": details });
                    append(connection, tenant, now, vec![NewEntry::new(who, "draft.erased", id, detail)]).await?;
                    Ok(DraftErasure::Done(details))
                })
            })
            .await
    }

    /// Drafts that hold content, are over, and have not changed since `before`: the longest unchanged first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drafts_over_before(&self, before: Timestamp, limit: u32) -> Result<Vec<DraftId>, StoreError> {
        const FIND: &str = "\
SELECT d.draft_id FROM drafts AS d WHERE d.tenant_id = $1 AND d.erased_at IS NULL AND d.updated_at < $2
AND d.state IN ('sent', 'partly_sent', 'bounced', 'failed', 'handed_off', 'denied', 'cancelled', 'withdrawn', 'expired')
AND NOT EXISTS (SELECT 1 FROM releases AS r JOIN transmissions AS t ON t.tenant_id = r.tenant_id AND t.release_id = r.release_id
WHERE r.tenant_id = $1 AND r.draft_id = d.draft_id AND t.state IN ('pending', 'deferred', 'in_flight'))
ORDER BY d.updated_at LIMIT $3";
        let find = query(FIND).bind(self.tenant.to_string()).bind(before.as_micros()).bind(i64::from(limit));
        let rows = find.fetch_all(&self.store.readers).await?;
        rows.iter().map(|row| from_id("draft_id", row.try_get(0)?)).collect()
    }

    /// Drafts that have, or had in one of their versions, a recipient whose address compares as `address_key`, oldest first.
    /// Every version is looked at: addresses are compared as mail compares them, which no index knows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drafts_to(&self, address_key: &str) -> Result<Vec<DraftId>, StoreError> {
        const PART: &str = "\
SELECT draft_id, version, recipients FROM draft_versions WHERE tenant_id = $1 AND recipients <> '[]'
AND (draft_id > $2 OR (draft_id = $2 AND version > $3)) ORDER BY draft_id, version LIMIT $4";
        let mut found: Vec<DraftId> = Vec::new();
        let (mut draft, mut version) = (String::new(), 0_i64);
        loop {
            let part = query(PART).bind(self.tenant.to_string()).bind(&draft).bind(version).bind(i64::from(PAGE));
            let versions = part.fetch_all(&self.store.readers).await?;
            for row in &versions {
                let recipients: Vec<Mailbox> = from_json("recipients", row.try_get(2)?)?;
                if recipients.iter().any(|one| one.key() == address_key) {
                    found.push(from_id("draft_id", row.try_get(0)?)?);
                }
            }
            let Some(last) = versions.last().filter(|_| versions.len() == PAGE as usize) else { break };
            (draft, version) = (last.try_get(0)?, last.try_get(1)?);
        }
        found.dedup();
        Ok(found)
    }
}

/// Its words, bytes and recipients. By its `copy_key` a late copy of it is still known as one, and makes no new work; a report
/// about it is tied to nothing, since nobody is left whom it could be about.
async fn erase_content(connection: &mut Connection, found: &Found, now: Timestamp) -> Result<(), StoreError> {
    const DRAFT: &str = "\
UPDATE drafts SET erased_at = $3, content = '{}', held_until = NULL WHERE tenant_id = $1 AND draft_id = $2";
    const VERSIONS: &str = "\
UPDATE draft_versions SET reverse_path = '', recipients = '[]', message = $3, parts = '{}', id_key = NULL
WHERE tenant_id = $1 AND draft_id = $2";
    const RECIPIENTS: &str = "\
UPDATE transmissions SET recipient = $3, host = NULL, reply = NULL WHERE tenant_id = $1
AND release_id IN (SELECT r.release_id FROM releases AS r WHERE r.tenant_id = $1 AND r.draft_id = $2)";
    let nothing: &[u8] = &[];
    let bound = |sql| query(sql).bind(&found.tenant).bind(&found.draft);
    bound(DRAFT).bind(now.as_micros()).execute(&mut *connection).await?;
    bound(VERSIONS).bind(nothing).execute(&mut *connection).await?;
    bound(RECIPIENTS).bind(ERASED_RECIPIENT).execute(connection).await?;
    Ok(())
}

/// What people, its app and the gate said of it, and under which of its recipients it was counted.
async fn erase_said(connection: &mut Connection, found: &Found) -> Result<(), StoreError> {
    const NOTES: &str = "UPDATE approvals SET note = NULL WHERE tenant_id = $1 AND draft_id = $2 AND note IS NOT NULL";
    const OUTCOMES: &str =
        "UPDATE outcomes SET note = NULL WHERE tenant_id = $1 AND draft_id = $2 AND note IS NOT NULL";
    const HANDOFF: &str = "\
UPDATE handoffs SET recipients = '[]', likeness = NULL, message_id = NULL, note = NULL WHERE tenant_id = $1 AND draft_id = $2";
    const VERDICTS: &str = "DELETE FROM verdicts WHERE tenant_id = $1 AND draft_id = $2 AND at >= $3";
    const COUNTED: &str = "\
DELETE FROM counted_releases WHERE tenant_id = $1 AND draft_id = $2 AND subject >= 'automatic:' AND subject < 'automatic;'";
    let bound = |sql| query(sql).bind(&found.tenant).bind(&found.draft);
    for sql in [NOTES, OUTCOMES, HANDOFF, COUNTED] {
        bound(sql).execute(&mut *connection).await?;
    }
    bound(VERDICTS).bind(found.created_at).execute(connection).await?;
    Ok(())
}

/// What apps were told and asked: the events of its steps, the bodies of their webhooks, and the operations in them.
async fn erase_told(connection: &mut Connection, found: &Found) -> Result<(), StoreError> {
    const EVENTS: &str = "\
SELECT e.event_id, e.content FROM draft_events AS d JOIN events AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.event_id
WHERE d.tenant_id = $1 AND d.draft_id = $2";
    const EVENT: &str = "UPDATE events SET content = $3 WHERE tenant_id = $1 AND event_id = $2";
    const BODIES: &str = "SELECT mode, api_version, body FROM payloads WHERE tenant_id = $1 AND event_id = $2";
    const BODY: &str =
        "UPDATE payloads SET body = $3 WHERE tenant_id = $1 AND event_id = $2 AND mode = $4 AND api_version = $5";
    const OPERATIONS: &str = "SELECT operation_id, content FROM operations WHERE tenant_id = $1 AND event_id = $2";
    const OPERATION: &str = "UPDATE operations SET content = $3 WHERE tenant_id = $1 AND operation_id = $2";
    let tenant = found.tenant.as_str();
    for row in query(EVENTS).bind(tenant).bind(&found.draft).fetch_all(&mut *connection).await? {
        let event: &str = row.try_get(0)?;
        if let Some(content) = without_persons(&row, 1)? {
            query(EVENT).bind(tenant).bind(event).bind(content).execute(&mut *connection).await?;
        }
        for row in query(BODIES).bind(tenant).bind(event).fetch_all(&mut *connection).await? {
            if let Some(body) = without_persons(&row, 2)? {
                let change = query(BODY).bind(tenant).bind(event).bind(body);
                change.bind(row.try_get::<&str>(0)?).bind(row.try_get::<&str>(1)?).execute(&mut *connection).await?;
            }
        }
        for row in query(OPERATIONS).bind(tenant).bind(event).fetch_all(&mut *connection).await? {
            if let Some(content) = without_persons(&row, 1)? {
                let change = query(OPERATION).bind(tenant).bind(row.try_get::<&str>(0)?).bind(content);
                change.execute(&mut *connection).await?;
            }
        }
    }
    Ok(())
}

/// The answers that calls about it would get again within a day.
async fn erase_answers(connection: &mut Connection, found: &Found) -> Result<(), StoreError> {
    const FIND: &str = "\
SELECT principal, idempotency_key, body FROM idempotency_keys WHERE tenant_id = $1 AND created_at >= $2 AND body LIKE $3";
    const CHANGE: &str =
        "UPDATE idempotency_keys SET body = $4 WHERE tenant_id = $1 AND principal = $2 AND idempotency_key = $3";
    let tenant = found.tenant.as_str();
    let find = query(FIND).bind(tenant).bind(found.created_at).bind(format!("%{}%", found.draft));
    for row in find.fetch_all(&mut *connection).await? {
        if let Some(body) = without_persons(&row, 2)? {
            let change = query(CHANGE).bind(tenant).bind(row.try_get::<&str>(0)?).bind(row.try_get::<&str>(1)?);
            change.bind(body).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// JSON of a row without what it says of persons; `None` where it says nothing of them.
fn without_persons(row: &Row, column: usize) -> Result<Option<String>, StoreError> {
    let before: Value = from_json("content", row.try_get(column)?)?;
    let mut after = before.clone();
    erase_draft(&mut after);
    if after == before { Ok(None) } else { to_json("content", &after).map(Some) }
}

/// Notes which events tell of a draft.
pub(in crate::store) async fn note_told(
    connection: &mut Connection,
    tenant: TenantId,
    told: &[(DraftId, EventId)],
) -> Result<(), StoreError> {
    const ADD: &str = "INSERT INTO draft_events (tenant_id, draft_id, event_id) ";
    let tenant = tenant.to_string();
    let told: Vec<_> = told.iter().map(|(draft, event)| (draft.to_string(), event.to_string())).collect();
    rows::insert(connection, ADD, &told, |row, (draft, event)| {
        row.push_bind(tenant.as_str()).push_bind(draft).push_bind(event);
    })
    .await?;
    Ok(())
}
