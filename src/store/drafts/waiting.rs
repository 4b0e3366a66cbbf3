//! Drafts whose release was asked for and that only a pause or a quota holds: they keep their approvals, and are looked at
//! again, soon after what holds them may have ended.

use std::time::Duration;

use serde_json::json;

use super::lock_draft;
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::{DraftId, TenantId};
use crate::store::audit::{NewEntry, append};
use crate::store::sql::{Connection, query};
use crate::store::{Store, StoreError, TenantStore, from_id};

/// How long nobody looks again, unless a switch or the settings are changed.
pub(in crate::store) const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// A draft that is to wait.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// The draft.
    pub draft: DraftId,
    /// The version that was looked at.
    pub version: u32,
    /// Whether an approval releases it at once, should one be needed in the end.
    pub release_on_approval: bool,
    /// Not before then does it leave.
    pub send_at: Option<Timestamp>,
    /// Why it waits.
    pub reasons: Vec<&'static str>,
    /// Who asked for its release.
    pub asked_by: Who,
}

impl TenantStore {
    /// Lets a draft wait in the state that it has. The first time is recorded.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has another version or state by now; [`StoreError::NotFound`].
    pub async fn hold_draft(&self, hold: NewHold) -> Result<(), StoreError> {
        const WAITS: &str =
            "SELECT draft_id FROM drafts WHERE tenant_id = $1 AND draft_id = $2 AND held_until IS NOT NULL";
        // A time that a switch set meanwhile stays.
        const HOLD: &str = "UPDATE drafts SET held_until = COALESCE(held_until, $4), release_on_approval = $5, send_at = $6 \
WHERE tenant_id = $1 AND draft_id = $2 AND version = $3 AND state IN ('draft', 'approved')";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    lock_draft(connection, tenant, hold.draft).await?;
                    let waits = query(WAITS).bind(tenant.to_string()).bind(hold.draft.to_string());
                    let waits = waits.fetch_optional(&mut *connection).await?.is_some();
                    let changed = query(HOLD)
                        .bind(tenant.to_string())
                        .bind(hold.draft.to_string())
                        .bind(i64::from(hold.version))
                        .bind(now.plus(LOOK_AGAIN).as_micros())
                        .bind(i64::from(hold.release_on_approval))
                        .bind(hold.send_at.map(Timestamp::as_micros));
                    if changed.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict("the draft is another by now"));
                    }
                    // Behind a yes it waits for the round from the beginning.
                    let is_answer = matches!(&hold.asked_by, Who::Actor(actor) if actor.is_person());
                    if waits && !is_answer {
                        return Ok(());
                    }
                    let detail = json!({ "version": hold.version, "reasons": hold.reasons });
                    let entry = NewEntry::new(hold.asked_by, "draft.held", hold.draft, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }
}

impl Store {
    /// Takes drafts that wait and are to be looked at, at most 100; nobody else is given them for a while.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn take_held_drafts(&self) -> Result<Vec<(TenantId, DraftId)>, StoreError> {
        const ANY: &str = "SELECT EXISTS (SELECT 1 FROM drafts WHERE held_until <= $1)";
        const TAKE: &str = "UPDATE drafts SET held_until = $2 WHERE held_until <= $1 AND (tenant_id, draft_id) IN (\
SELECT tenant_id, draft_id FROM drafts WHERE held_until <= $1 ORDER BY held_until LIMIT 100) RETURNING tenant_id, draft_id";
        let now = self.clock.now();
        if !query(ANY).bind(now.as_micros()).fetch_one(&self.readers).await?.try_get::<bool>(0)? {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            Box::pin(async move {
                let take = query(TAKE).bind(now.as_micros()).bind(now.plus(LOOK_AGAIN).as_micros());
                let rows = take.fetch_all(connection).await?;
                rows.iter()
                    .map(|row| Ok((from_id("tenant_id", row.try_get(0)?)?, from_id("draft_id", row.try_get(1)?)?)))
                    .collect()
            })
        })
        .await
    }
}

/// Has the drafts of a tenant that wait looked at now.
pub(in crate::store) async fn look_at_those_of(
    connection: &mut Connection,
    tenant: TenantId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const LOOK: &str = "UPDATE drafts SET held_until = $2 WHERE tenant_id = $1 AND held_until > $2";
    query(LOOK).bind(tenant.to_string()).bind(now.as_micros()).execute(connection).await?;
    Ok(())
}

/// Has all drafts that wait looked at now.
pub(in crate::store) async fn look_at_all(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    const LOOK: &str = "UPDATE drafts SET held_until = $1 WHERE held_until > $1";
    query(LOOK).bind(now.as_micros()).execute(connection).await?;
    Ok(())
}
