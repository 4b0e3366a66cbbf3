//! What comes of a notice that a sender holds, and of those whose sender was lost.

use serde_json::json;

use super::{ClaimedNotice, LEASE};
use crate::clock::Timestamp;
use crate::governance::ContentHash;
use crate::governance::audit::Who;
use crate::governance::lifecycle::{TransmissionEvent, TransmissionState};
use crate::ids::WorkerId;
use crate::store::audit::{NewEntry, append};
use crate::store::sql::query;
use crate::store::{Store, StoreError, TenantStore, Writes};

/// How an attempt at a notice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeOutcome {
    /// What happened.
    pub event: TransmissionEvent,
    /// The host that answered.
    pub host: Option<String>,
    /// What it said, or why it was not asked.
    pub reply: String,
    /// When it is tried again, where it is.
    pub next_attempt_at: Option<Timestamp>,
}

impl TenantStore {
    /// Commits that the end of data of a notice is about to be written, and records what leaves. Only after that may it be.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when this worker does not hold it any more; [`StoreError::Unavailable`].
    pub async fn begin_notice(
        &self,
        worker: WorkerId,
        claimed: &ClaimedNotice,
        hash: ContentHash,
    ) -> Result<(), StoreError> {
        const BEGIN: &str = "UPDATE notices SET eod_started_at = $3, lease_until = $4 WHERE tenant_id = $1 AND notice_id = $2 \
AND state = 'in_flight' AND lease_owner = $5 AND eod_started_at IS NULL AND lease_until > $3";
        let (tenant, now, claimed) = (self.tenant, self.store.clock.now(), claimed.clone());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let begin = query(BEGIN)
                        .bind(tenant.to_string())
                        .bind(claimed.id.to_string())
                        .bind(now.as_micros())
                        .bind(now.plus(LEASE).as_micros())
                        .bind(worker.to_string());
                    if begin.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::LeaseLost);
                    }
                    let detail = json!({ "kind": claimed.kind.as_str(), "user": claimed.user, "contentHash": hash });
                    let entry = NewEntry::new(Who::Gateway, "notice.sending", claimed.id, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Records what came of a notice that this worker holds.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when this worker does not hold it any more; [`StoreError::Unavailable`].
    pub async fn finish_notice(
        &self,
        worker: WorkerId,
        claimed: &ClaimedNotice,
        outcome: NoticeOutcome,
    ) -> Result<(), StoreError> {
        const FINISH: &str = "UPDATE notices SET state = $3, host = $4, reply = $5, \
next_attempt_at = COALESCE($6, next_attempt_at), finished_at = $7, lease_owner = NULL, lease_until = NULL, \
detail = CASE WHEN CAST($7 AS BIGINT) IS NULL THEN detail ELSE NULL END \
WHERE tenant_id = $1 AND notice_id = $2 AND state = 'in_flight' AND lease_owner = $8";
        let (tenant, now, claimed) = (self.tenant, self.store.clock.now(), claimed.clone());
        let state = TransmissionState::InFlight.next(outcome.event);
        let state = state.map_err(|_| StoreError::Conflict("a notice in flight has no such step"))?;
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let finish = query(FINISH)
                        .bind(tenant.to_string())
                        .bind(claimed.id.to_string())
                        .bind(state.as_str())
                        .bind(&outcome.host)
                        .bind(&outcome.reply)
                        .bind(outcome.next_attempt_at.map(Timestamp::as_micros))
                        .bind((!state.is_open()).then_some(now.as_micros()))
                        .bind(worker.to_string());
                    if finish.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::LeaseLost);
                    }
                    if state.is_open() {
                        return Ok(());
                    }
                    let detail = json!({ "kind": claimed.kind.as_str(), "user": claimed.user, "state": state, "host": outcome.host });
                    let entry = NewEntry::new(Who::Gateway, "notice.settled", claimed.id, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }
}

impl Store {
    /// Moves on notices whose sender was lost: unknown where the end of data was begun, to be tried again where not. At the
    /// start of the only process over a database, all senders are lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn recover_notices(&self, is_start: bool) -> Result<usize, StoreError> {
        const ANY: &str = "SELECT EXISTS (SELECT 1 FROM notices WHERE state = 'in_flight' AND lease_until <= $1)";
        const MOVE: &str = "UPDATE notices SET lease_owner = NULL, lease_until = NULL, next_attempt_at = $2, \
reply = 'the sender was lost', state = CASE WHEN eod_started_at IS NULL THEN 'deferred' ELSE 'unknown' END, \
finished_at = CASE WHEN eod_started_at IS NULL THEN NULL ELSE CAST($2 AS BIGINT) END \
WHERE state = 'in_flight' AND lease_until <= $1";
        let now = self.clock.now();
        let is_alone = matches!(self.writes, Writes::Sqlite(_));
        let lost = if is_start && is_alone { i64::MAX } else { now.as_micros() };
        if !query(ANY).bind(lost).fetch_one(&self.readers).await?.try_get::<bool>(0)? {
            return Ok(0);
        }
        let moved = self.write(move |connection| {
            Box::pin(async move { Ok(query(MOVE).bind(lost).bind(now.as_micros()).execute(connection).await?) })
        });
        Ok(usize::try_from(moved.await?).unwrap_or(usize::MAX))
    }
}
