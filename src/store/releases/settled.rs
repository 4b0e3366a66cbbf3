//! Recipients of whom nobody knew whether their server took a message, and what a person found out about them since.
//!
//! Nothing is sent again by it: a person says what happened, and the draft ends as what it was.

use serde_json::json;

use super::{ClaimedRelease, lock_draft, settle};
use crate::governance::audit::Who;
use crate::governance::lifecycle::{DraftState, TransmissionEvent, TransmissionState};
use crate::ids::{DraftId, ReleaseId};
use crate::mail::address::Mailbox;
use crate::store::audit::{NewEntry, append};
use crate::store::sql::query;
use crate::store::{StoreError, TenantStore, from_id};

/// What a person found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// About whom.
    pub recipient: Mailbox,
    /// Whether the message was taken.
    pub was_taken: bool,
    /// Who says so.
    pub by: Who,
}

impl TenantStore {
    /// Settles recipients of a draft that are `unknown`, and with the last of them the draft.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where nothing is unknown of this recipient; [`StoreError::Unavailable`].
    pub async fn settle_unknown(&self, draft: DraftId, finding: Finding) -> Result<DraftState, StoreError> {
        const UNKNOWN: &str = "\
SELECT t.release_id, t.position, t.recipient FROM transmissions AS t
JOIN releases AS r ON r.tenant_id = t.tenant_id AND r.release_id = t.release_id
WHERE r.tenant_id = $1 AND r.draft_id = $2 AND t.state = 'unknown'
ORDER BY COALESCE(r.ended_at, 9223372036854775807), t.release_id, t.position";
        const SETTLE: &str = "UPDATE transmissions SET state = $4 \
WHERE tenant_id = $1 AND release_id = $2 AND position = $3 AND state = 'unknown'";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let before = lock_draft(connection, tenant, draft).await?;
                    let event = if finding.was_taken {
                        TransmissionEvent::ConfirmAccepted
                    } else {
                        TransmissionEvent::ConfirmRejected
                    };
                    let state = TransmissionState::Unknown
                        .next(event)
                        .map_err(|_| StoreError::Conflict("what is unknown has no such step"))?;
                    let unknown = query(UNKNOWN).bind(tenant.to_string()).bind(draft.to_string());
                    let unknown = unknown.fetch_all(&mut *connection).await?;
                    // Of a release that went on under another one, the recipient stands under both.
                    let (mut settled, mut newest) = (0, None);
                    for row in &unknown {
                        let recipient = Mailbox::parse(row.try_get(2)?).ok().map(|recipient| recipient.key());
                        if recipient != Some(finding.recipient.key()) {
                            continue;
                        }
                        let id: ReleaseId = from_id("release_id", row.try_get(0)?)?;
                        let position: i64 = row.try_get(1)?;
                        let settle = query(SETTLE).bind(tenant.to_string()).bind(id.to_string()).bind(position);
                        settle.bind(state.as_str()).execute(&mut *connection).await?;
                        settled += 1;
                        newest = Some((id, position));
                    }
                    let Some((release, position)) = newest else {
                        return Err(StoreError::NotFound("recipient of whom nothing is known"));
                    };
                    let detail = json!({ "release": release, "position": position, "state": state });
                    let mut entries = vec![NewEntry::new(finding.by, "transmission.settled", draft, detail)];
                    // One that came back before has its end; others may still be tried, or be unknown.
                    if before == DraftState::Unknown && settled == unknown.len() {
                        let all = ClaimedRelease { tenant, release, draft, positions: Vec::new() };
                        settle(connection, tenant, &all, now, &mut entries).await?;
                    }
                    append(connection, tenant, now, entries).await?;
                    lock_draft(connection, tenant, draft).await
                })
            })
            .await
    }
}
