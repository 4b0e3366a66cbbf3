//! Questions that nobody answers: after a while they go to the next role up, and in the end they are over, with their drafts.
//!
//! Each is a transaction of its own that finds the question still open, so that of several nodes one does it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::clock::Timestamp;
use crate::governance::Policy;
use crate::governance::audit::Who;
use crate::governance::lifecycle::DraftEvent;
use crate::governance::notice::NoticeKind;
use crate::ids::{ApprovalId, DraftId, TenantId};
use crate::store::audit::{NewEntry, append};
use crate::store::drafts::{lock_draft, step};
use crate::store::notices::tell;
use crate::store::sql::{Connection, Row, query};
use crate::store::{Store, StoreError, from_id, from_json};

/// A question that is due.
struct Due {
    tenant: TenantId,
    id: ApprovalId,
    draft: Option<DraftId>,
}

impl Store {
    /// Ends questions of all tenants that nobody answered in time, with their drafts; how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn expire_approvals(&self) -> Result<usize, StoreError> {
        const LATE: &str = "\
SELECT tenant_id, approval_id, draft_id FROM approvals WHERE state = 'pending' AND expires_at <= $1
ORDER BY expires_at LIMIT 100";
        let now = self.clock.now();
        let rows = query(LATE).bind(now.as_micros()).fetch_all(&self.readers).await?;
        let mut count = 0;
        for row in &rows {
            let one = async {
                let due = read(row)?;
                self.write_step(due.tenant, move |connection| Box::pin(expire(connection, due, now))).await
            };
            count += moved(one.await)?;
        }
        Ok(count)
    }

    /// Hands questions of all tenants that nobody answered for a while to the next role up; how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn escalate_approvals(&self) -> Result<usize, StoreError> {
        const WAITING: &str = "\
SELECT tenant_id, approval_id, draft_id FROM approvals WHERE state = 'pending' AND escalate_at <= $1
ORDER BY escalate_at LIMIT 100";
        let now = self.clock.now();
        let rows = query(WAITING).bind(now.as_micros()).fetch_all(&self.readers).await?;
        let mut count = 0;
        for row in &rows {
            let one = async {
                let due = read(row)?;
                self.write_step(due.tenant, move |connection| Box::pin(escalate(connection, due, now))).await
            };
            count += moved(one.await)?;
        }
        Ok(count)
    }
}

/// How many questions a step moved on. One that cannot be read keeps no other from it: it is told of, and met again next time.
fn moved(step: Result<bool, StoreError>) -> Result<usize, StoreError> {
    match step {
        Ok(is_moved) => Ok(usize::from(is_moved)),
        Err(error) if error.is_temporary() => Err(error),
        Err(error) => {
            tracing::error!(
                error.kind = "store",
                temporary = false,
                "A question that is due cannot be moved on: {error}"
            );
            Ok(0)
        }
    }
}

/// Ends one question with its draft, whichever was there first; whether it was still open. The draft is locked first, as
/// whoever edits or answers it does.
async fn expire(connection: &mut Connection, due: Due, now: Timestamp) -> Result<bool, StoreError> {
    const EXPIRE: &str = "UPDATE approvals SET state = 'expired', decided_at = $3 \
WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending'";
    let Due { tenant, id, draft } = due;
    if let Some(draft) = draft {
        lock_draft(connection, tenant, draft).await?;
    }
    let expire = query(EXPIRE).bind(tenant.to_string()).bind(id.to_string()).bind(now.as_micros());
    if expire.execute(&mut *connection).await? == 0 {
        return Ok(false);
    }
    let mut state = None;
    if let Some(draft) = draft {
        // A draft that went on otherwise has no such step, and stays as it is.
        match step(connection, tenant, draft, DraftEvent::Expire, now).await {
            Ok(next) => state = Some(next),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    append(connection, tenant, now, vec![about("approval.expired", &due, json!({ "approval": id, "state": state }))])
        .await?;
    Ok(true)
}

/// Hands one question to the next role up; whether it still waited for that. Whoever else is to be told of it is told here,
/// in the same transaction. The draft is locked first, as whoever edits or answers it does.
async fn escalate(connection: &mut Connection, due: Due, now: Timestamp) -> Result<bool, StoreError> {
    const ESCALATE: &str = "UPDATE approvals SET escalated_at = $3, escalate_at = NULL \
WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending' AND escalate_at <= $3";
    if let Some(draft) = due.draft {
        lock_draft(connection, due.tenant, draft).await?;
    }
    let escalate = query(ESCALATE).bind(due.tenant.to_string()).bind(due.id.to_string()).bind(now.as_micros());
    if escalate.execute(&mut *connection).await? == 0 {
        return Ok(false);
    }
    tell(connection, due.tenant, NoticeKind::ApprovalEscalated, due.id.to_string(), now).await?;
    append(connection, due.tenant, now, vec![about("approval.escalated", &due, json!({ "approval": due.id }))]).await?;
    Ok(true)
}

/// What is recorded of a question: about its draft, where there is one.
fn about(action: &'static str, due: &Due, detail: serde_json::Value) -> NewEntry {
    let subject = due.draft.map_or_else(|| due.id.to_string(), |draft| draft.to_string());
    NewEntry::new(Who::Gateway, action, subject, detail)
}

/// Until when questions wait that are asked now, and when they go up, by the settings of each tenant. Settings that cannot be
/// read keep no mail from being recorded.
pub(in crate::store) async fn ends_of(
    connection: &mut Connection,
    tenants: impl Iterator<Item = &String>,
    now: Timestamp,
) -> Result<BTreeMap<String, (Timestamp, Option<Timestamp>)>, StoreError> {
    let mut ends = BTreeMap::new();
    for tenant in tenants {
        if ends.contains_key(tenant) {
            continue;
        }
        let policy = policy_of(connection, tenant).await?;
        let escalate_at = policy.escalation().map(|after| now.plus(after));
        ends.insert(tenant.clone(), (now.plus(policy.question_life()), escalate_at));
    }
    Ok(ends)
}

/// The settings of a tenant, within a transaction; the default where they cannot be read.
pub(in crate::store) async fn policy_of(connection: &mut Connection, tenant: &String) -> Result<Policy, StoreError> {
    const NEWEST: &str = "SELECT content FROM policies WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1";
    let row = query(NEWEST).bind(tenant).fetch_optional(connection).await?;
    let policy = match row {
        Some(row) => from_json("policy", row.try_get(0)?).ok(),
        None => None,
    };
    Ok(policy.unwrap_or_default())
}

fn read(row: &Row) -> Result<Due, StoreError> {
    Ok(Due {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("approval_id", row.try_get(1)?)?,
        draft: row.try_get::<Option<&str>>(2)?.map(|id| from_id("draft_id", id)).transpose()?,
    })
}
