//! What apps reported afterwards, as a history of each event.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::idempotency::{self, KeyedCall, Once};
use super::sql::{Connection, Row, query};
use super::standing::{SuppressionReason, suppress};
use super::{StoreError, TenantStore, from_id, from_json};
use crate::clock::{Clock, Timestamp};
use crate::governance::Actor;
use crate::governance::audit::{Who, subject_of_address};
use crate::ids::{AppId, DraftId, EventId, KeyId, OperationId, OutcomeId, TenantId};
use crate::mail::address::Mailbox;

/// An outcome to be recorded.
#[derive(Debug, Clone)]
pub struct NewOutcome {
    /// Its id.
    pub id: OutcomeId,
    /// The event.
    pub event: EventId,
    /// The operation, where one is named.
    pub operation: Option<OperationId>,
    /// The reporting app, where it is known here.
    pub app: Option<AppId>,
    /// The key by which it was reported.
    pub key: KeyId,
    /// A word of the contract.
    pub outcome: String,
    /// The status that the app gave the record.
    pub applied_status: Option<String>,
    /// A person's words.
    pub note: Option<String>,
    /// Amount and currency.
    pub value: Option<(f64, String)>,
    /// The app's workflow.
    pub workflow: Option<String>,
    /// The agent that acted.
    pub agent: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// The event that an outcome is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeTarget {
    /// Its id.
    pub event: EventId,
    /// The app for which it was decided.
    pub app: Option<AppId>,
}

/// What a person, or the app, said to a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftOutcome<'a> {
    pub(super) draft: DraftId,
    /// A word of the contract.
    pub(super) outcome: &'static str,
    /// Why, in a word.
    pub(super) reason: Option<&'a str>,
    /// Why, in words of their own.
    pub(super) note: Option<&'a str>,
}

/// Counts it as an outcome of the event for which the draft was proposed, or which it answers, and of the operation that asked
/// for it; a draft of no event has none.
pub(super) async fn note_outcome(
    connection: &mut Connection,
    tenant: TenantId,
    told: DraftOutcome<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    const DRAFT: &str = "\
SELECT COALESCE(h.event_id, d.event_id, d.answers), COALESCE(h.operation_id, o.operation_id), d.app_id, d.agent_id, d.template_id,
    d.template_version
FROM drafts AS d LEFT JOIN handoffs AS h ON h.tenant_id = d.tenant_id AND h.draft_id = d.draft_id
LEFT JOIN operations AS o ON o.tenant_id = d.tenant_id AND o.event_id = d.event_id AND o.kind IN ('create_draft', 'reply_in_source_app')
WHERE d.tenant_id = $1 AND d.draft_id = $2 LIMIT 1";
    const ADD: &str = "\
INSERT INTO outcomes (tenant_id, outcome_id, event_id, operation_id, app_id, outcome, note, agent_id, occurred_at, recorded_at,
    draft_id, reason, template_id, template_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13)";
    let row = query(DRAFT).bind(tenant.to_string()).bind(told.draft.to_string());
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(()) };
    let Some(event) = row.try_get::<Option<&str>>(0)? else { return Ok(()) };
    let operation: Option<&str> = row.try_get(1)?;
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(Clock::System.mint::<OutcomeId>().to_string())
        .bind(event)
        .bind(operation)
        .bind(row.try_get::<Option<&str>>(2)?)
        .bind(told.outcome)
        .bind(told.note)
        .bind(row.try_get::<Option<&str>>(3)?)
        .bind(now.as_micros())
        .bind(told.draft.to_string())
        .bind(told.reason)
        .bind(row.try_get::<Option<&str>>(4)?)
        .bind(row.try_get::<Option<i64>>(5)?);
    add.execute(&mut *connection).await?;
    mark(connection, &tenant.to_string(), operation, told.outcome).await?;
    Ok(())
}

/// Only a proposal changes: what was applied once stays applied, and the history tells the rest. Whether it is applied by this.
async fn mark(
    connection: &mut Connection,
    tenant: &str,
    operation: Option<&str>,
    outcome: &str,
) -> Result<bool, StoreError> {
    const MARK: &str = "\
UPDATE operations SET state = $3 WHERE tenant_id = $1 AND operation_id = $2 AND state = 'proposed'";
    let state = match outcome {
        "applied" | "approved" | "advanced" => "applied",
        "rejected" | "override" | "ignored" => "rejected",
        _ => return Ok(false),
    };
    let Some(operation) = operation else { return Ok(false) };
    let marked = query(MARK).bind(tenant).bind(operation).bind(state).execute(connection).await?;
    Ok(marked > 0 && state == "applied")
}

/// An app that applied a proposal to write to an address no more means mail from here as well.
async fn suppress_as_applied(
    connection: &mut Connection,
    tenant: TenantId,
    (operation, key): (&str, KeyId),
    now: Timestamp,
) -> Result<Option<NewEntry>, StoreError> {
    const PROPOSED: &str = "\
SELECT content, event_id FROM operations WHERE tenant_id = $1 AND operation_id = $2 AND kind = 'suppress_recipient'";
    let proposed = query(PROPOSED).bind(tenant.to_string()).bind(operation);
    let Some(row) = proposed.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let content: serde_json::Value = from_json("operation", row.try_get(0)?)?;
    let text = |name: &str| {
        content.pointer(&format!("/params/{name}")).and_then(serde_json::Value::as_str).unwrap_or_default()
    };
    let Some(address) = address_of(text("address")) else { return Ok(None) };
    let reason = match text("cause") {
        "unsubscribe_requested" => SuppressionReason::Unsubscribe,
        "delivery_failed" => SuppressionReason::HardBounce,
        _ => SuppressionReason::Manual,
    };
    let event: EventId = from_id("event_id", row.try_get(1)?)?;
    let is_new = suppress(connection, tenant, (&address, reason, Some(event)), now).await?;
    let detail = json!({ "address": address, "reason": reason.as_str(), "event": event, "operation": operation });
    let who = Who::Actor(Actor::Key { key });
    Ok(is_new.then(|| NewEntry::new(who, "address.suppressed", subject_of_address(&address), detail)))
}

/// The key of `address` or `Name <address>`.
fn address_of(text: &str) -> Option<String> {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    Mailbox::parse(inner.trim()).ok().map(|mailbox| mailbox.key())
}

impl TenantStore {
    /// The event of an operation.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn target_of_operation(&self, operation: OperationId) -> Result<Option<OutcomeTarget>, StoreError> {
        const FIND: &str = "\
SELECT e.event_id, e.app_id FROM operations AS o JOIN events AS e ON e.tenant_id = o.tenant_id AND e.event_id = o.event_id
WHERE o.tenant_id = $1 AND o.operation_id = $2";
        Ok(self.targets(FIND, &[operation.to_string()]).await?.into_iter().next())
    }

    /// The event with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn target_of_event(&self, event: EventId) -> Result<Option<OutcomeTarget>, StoreError> {
        const FIND: &str = "SELECT event_id, app_id FROM events WHERE tenant_id = $1 AND event_id = $2";
        Ok(self.targets(FIND, &[event.to_string()]).await?.into_iter().next())
    }

    /// The events that the tenant's apps handed over under a source's id; several when several apps did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn targets_of_source(&self, system: &str, id: &str) -> Result<Vec<OutcomeTarget>, StoreError> {
        const FIND: &str = "\
SELECT event_id, app_id FROM source_events
WHERE tenant_id = $1 AND source_system = $2 AND source_event_id = $3 ORDER BY event_id LIMIT 16";
        self.targets(FIND, &[system.to_owned(), id.to_owned()]).await
    }

    /// Address of the mailbox of an event: the one that its mail reached, or that its app named. `None` for a copy route's
    /// mail, and where the app named none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Unreadable`].
    pub async fn mailbox_of_event(&self, event: EventId) -> Result<Option<String>, StoreError> {
        const FIND: &str = "\
SELECT e.source_kind, m.address, e.content FROM events AS e
LEFT JOIN mailboxes AS m ON m.tenant_id = e.tenant_id AND m.mailbox_id = e.scope
WHERE e.tenant_id = $1 AND e.event_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(event.to_string());
        let Some(row) = find.fetch_optional(&self.store.readers).await? else { return Ok(None) };
        if row.try_get::<&str>(0)? != "app" {
            return Ok(row.try_get(1)?);
        }
        let content: serde_json::Value = serde_json::from_str(row.try_get(2)?)
            .map_err(|error| StoreError::Unreadable { what: "event", detail: error.to_string() })?;
        Ok(content.pointer("/sourceMailbox/address").and_then(serde_json::Value::as_str).map(str::to_owned))
    }

    async fn targets(&self, sql: &'static str, names: &[String]) -> Result<Vec<OutcomeTarget>, StoreError> {
        let mut query = query(sql).bind(self.tenant.to_string());
        for name in names {
            query = query.bind(name);
        }
        let rows = query.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            let app: Option<&str> = row.try_get(1)?;
            Ok(OutcomeTarget {
                event: from_id("event_id", row.try_get(0)?)?,
                app: app.map(|id| from_id("app_id", id)).transpose()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Words of the outcomes of an event so far, oldest first, at most 50.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn outcome_history(&self, event: EventId) -> Result<Vec<(String, Timestamp)>, StoreError> {
        const LIST: &str = "\
SELECT outcome, recorded_at FROM outcomes WHERE tenant_id = $1 AND event_id = $2 ORDER BY outcome_id LIMIT 50";
        let list = query(LIST).bind(self.tenant.to_string()).bind(event.to_string());
        let rows = list.fetch_all(&self.store.readers).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, Timestamp::from_micros(row.try_get(1)?)))).collect()
    }

    /// Records an outcome, once per idempotency key where one is given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was recorded.
    pub async fn record_outcome(&self, outcome: NewOutcome, call: Option<KeyedCall>) -> Result<Once<()>, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    if let Some(call) = call {
                        let claimed = idempotency::claim(connection, tenant, &call, now).await?;
                        if claimed != Once::First(()) {
                            return Ok(claimed);
                        }
                    }
                    let key = outcome.key;
                    let applied = insert(connection, &tenant.to_string(), outcome, now).await?;
                    if let Some(operation) = applied {
                        let entry = suppress_as_applied(connection, tenant, (&operation, key), now).await?;
                        append(connection, tenant, now, entry.into_iter().collect()).await?;
                    }
                    Ok(Once::First(()))
                })
            })
            .await
    }
}

/// The operation that is applied by it, where one is.
async fn insert(
    connection: &mut Connection,
    tenant: &str,
    outcome: NewOutcome,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    const ADD: &str = "\
INSERT INTO outcomes (tenant_id, outcome_id, event_id, operation_id, app_id, key_id, outcome, applied_status, note, amount, \
currency, workflow, agent_id, occurred_at, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let (amount, currency) = outcome.value.unzip();
    let operation = outcome.operation.map(|operation| operation.to_string());
    query(ADD)
        .bind(tenant)
        .bind(outcome.id.to_string())
        .bind(outcome.event.to_string())
        .bind(&operation)
        .bind(outcome.app.map(|app| app.to_string()))
        .bind(outcome.key.to_string())
        .bind(&outcome.outcome)
        .bind(outcome.applied_status)
        .bind(outcome.note)
        .bind(amount)
        .bind(currency)
        .bind(outcome.workflow)
        .bind(outcome.agent)
        .bind(outcome.occurred_at.as_micros())
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    let is_applied = mark(connection, tenant, operation.as_deref(), &outcome.outcome).await?;
    Ok(operation.filter(|_| is_applied))
}

#[cfg(test)]
impl TenantStore {
    /// State and page of the tenant's one draft.
    pub(crate) async fn only_draft(&self) -> (String, Option<String>) {
        const FIND: &str = "SELECT state, external_reply_url FROM drafts WHERE tenant_id = $1";
        let row = query(FIND).bind(self.tenant.to_string()).fetch_one(&self.store.readers).await.unwrap();
        (row.try_get(0).unwrap(), row.try_get(1).unwrap())
    }
}
