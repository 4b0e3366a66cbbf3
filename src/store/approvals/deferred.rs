//! Questions that a person puts off: they stay open, and do not go to the next role up before their time.

use serde_json::json;

use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::ids::{ApprovalId, DraftId};
use crate::store::audit::{NewEntry, append};
use crate::store::sql::query;
use crate::store::{StoreError, TenantStore, from_id};

impl TenantStore {
    /// Puts a question off until then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was answered, or is over by then; so it is too for one that there is not.
    pub async fn defer(&self, id: ApprovalId, until: Timestamp, by: Actor) -> Result<(), StoreError> {
        const DEFER: &str = "\
UPDATE approvals SET deferred_until = $3, escalate_at = CASE WHEN escalate_at < $3 THEN $3 ELSE escalate_at END
WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending' AND expires_at > $3 RETURNING draft_id";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let defer = query(DEFER).bind(tenant.to_string()).bind(id.to_string()).bind(until.as_micros());
                    let row = defer.fetch_optional(&mut *connection).await?;
                    let row = row.ok_or(StoreError::Conflict("the question was answered, or is over before then"))?;
                    let draft: Option<DraftId> =
                        row.try_get::<Option<&str>>(0)?.map(|text| from_id("draft_id", text)).transpose()?;
                    let subject = draft.map_or_else(|| id.to_string(), |draft| draft.to_string());
                    let detail = json!({ "approval": id, "until": until.to_string() });
                    let entry = NewEntry::new(Who::Actor(by), "approval.deferred", subject, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }
}
