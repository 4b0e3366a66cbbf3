//! What senders held that were lost: moved on, and told where nobody knows what came of it.

use serde_json::json;

use super::{ClaimedRelease, settle};
use crate::governance::audit::Who;
use crate::governance::chain::Link;
use crate::governance::lifecycle::{TransmissionEvent, TransmissionState};
use crate::governance::notice::NoticeKind::TransmissionUnknown;
use crate::ids::TenantId;
use crate::store::audit::{NewEntry, append};
use crate::store::notices::tell;
use crate::store::sql::query;
use crate::store::{Store, StoreError, Writes, from_id};

impl Store {
    /// Moves on what a sender held when it was lost: to be tried again where its end of data was not begun, and unknown
    /// where it was. How many. At the start of the only process over a database, all senders are lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn recover_transmissions(&self, is_start: bool) -> Result<usize, StoreError> {
        const LOST: &str = "\
SELECT t.tenant_id, t.release_id, t.position, t.eod_started_at, r.draft_id FROM transmissions AS t
JOIN releases AS r ON r.tenant_id = t.tenant_id AND r.release_id = t.release_id
WHERE t.state = 'in_flight' AND t.lease_until <= $1 ORDER BY t.lease_until LIMIT 100";
        const MOVE: &str = "\
UPDATE transmissions SET state = $4, lease_owner = NULL, lease_until = NULL, next_attempt_at = $5, reply = $6, finished_at = $7
WHERE tenant_id = $1 AND release_id = $2 AND position = $3 AND state = 'in_flight' AND lease_until <= $8";
        let now = self.clock.now();
        let is_alone = matches!(self.writes, Writes::Sqlite(_));
        let lost = if is_start && is_alone { i64::MAX } else { now.as_micros() };
        let moved = self.write(move |connection| {
            Box::pin(async move {
                let rows = query(LOST).bind(lost).fetch_all(&mut *connection).await?;
                let tenants: Vec<TenantId> =
                    rows.iter().map(|row| from_id("tenant_id", row.try_get(0)?)).collect::<Result<_, StoreError>>()?;
                crate::store::dialect::lock_tenants(connection, tenants).await?;
                let mut moved = 0;
                for row in &rows {
                    let tenant: TenantId = from_id("tenant_id", row.try_get(0)?)?;
                    let began = row.try_get::<Option<i64>>(3)?.is_some();
                    let (event, reply) = if began {
                        (TransmissionEvent::LostAfterEndOfData, "the sender was lost before it read the answer")
                    } else {
                        (TransmissionEvent::LostBeforeEndOfData, "the sender was lost before the end of data")
                    };
                    let state = TransmissionState::InFlight
                        .next(event)
                        .map_err(|_| StoreError::Conflict("a recipient in flight has no such step"))?;
                    let position: i64 = row.try_get(2)?;
                    let step = query(MOVE)
                        .bind(tenant.to_string())
                        .bind(row.try_get::<&str>(1)?)
                        .bind(position)
                        .bind(state.as_str())
                        .bind(now.as_micros())
                        .bind(reply)
                        .bind(began.then_some(now.as_micros()))
                        .bind(lost);
                    if step.execute(&mut *connection).await? == 0 {
                        continue;
                    }
                    moved += 1;
                    let claimed = ClaimedRelease {
                        tenant,
                        release: from_id("release_id", row.try_get(1)?)?,
                        draft: from_id("draft_id", row.try_get(4)?)?,
                        positions: Vec::new(),
                    };
                    if began {
                        tell(connection, tenant, TransmissionUnknown, claimed.draft.to_string(), now).await?;
                    }
                    let detail =
                        json!({ "release": claimed.release, "position": position, "state": state, "reply": reply });
                    let mut entries = vec![NewEntry::new(Who::Gateway, Link::Lost.action(), claimed.draft, detail)];
                    match settle(connection, tenant, &claimed, now, &mut entries).await {
                        // The draft has its end already; what others held is moved on all the same.
                        Ok(()) | Err(StoreError::Conflict(_)) => {}
                        Err(error) => return Err(error),
                    }
                    append(connection, tenant, now, entries).await?;
                }
                Ok(moved)
            })
        });
        let moved = moved.await?;
        if moved > 0 {
            self.note_events();
        }
        Ok(moved)
    }
}
