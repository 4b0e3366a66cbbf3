//! The webhook queue: deliveries are leased rows, so that a worker may be killed at any instant.
//!
//! Life of a row: `pending → in_flight → succeeded | retry_wait → … → exhausted`, beside them `held` (endpoint disabled)
//! and `cancelled` (endpoint removed), which also take what was under way and is not over. An update names the state and
//! the lease it expects, so that two workers cannot both win; a lease that ran out makes the row due again with the same
//! attempt number (at least once, as the contract says).

mod claim;

use std::time::Duration;

use claim::Claim;

use super::audit::{NewEntry, append};
use super::sql::{Connection, Row, query};
use super::{Store, StoreError, TenantStore, dialect};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::{DeliveryId, EndpointId, EventId, TenantId, WorkerId};

/// How much one claim may take.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Deliveries in all.
    pub count: u32,
    /// Under way for one endpoint, with what is under way already.
    pub per_endpoint: u32,
    /// Under way for one tenant, with what is under way already.
    pub per_tenant: u32,
    /// How long the claim holds.
    pub lease: Duration,
}

/// A delivery that this worker holds until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Owner.
    pub tenant: TenantId,
    /// Id of the delivery.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The event, which is the `webhook-id`.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// Attempts that were finished before this one.
    pub attempts: u32,
    /// When the delivery was made.
    pub created_at: Timestamp,
    /// The exact bytes.
    pub body: String,
    /// Where and how.
    pub target: Target,
}

/// What is needed to reach an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its URL.
    pub url: String,
    /// Its signing secrets, newest first, sealed with the instance key.
    pub secrets_sealed: String,
    /// Extra request headers.
    pub headers: std::collections::BTreeMap<String, String>,
    /// `default` or `short`.
    pub schedule: String,
    /// Whether the endpoint's breaker lets only one attempt through.
    pub is_probe: bool,
}

/// From an endpoint's health as it is now (JSON) to what it is after an attempt; `None` where nothing is worth writing.
/// Asked inside the transaction, since other attempts finish meanwhile, and perhaps twice.
pub type EndpointUpdate = Box<dyn Fn(&str) -> Option<EndpointChange> + Send + Sync>;

/// What became of an attempt.
pub struct FinishedAttempt {
    /// Number, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Why it failed, as a public word.
    pub reason: Option<String>,
    /// The address that was dialled.
    pub resolved_ip: Option<String>,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// `scheduled`, `manual`, `recover` or `probe`.
    pub cause: &'static str,
    /// What follows.
    pub next: NextStep,
    /// The endpoint after this attempt.
    pub endpoint: EndpointUpdate,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Done.
    Succeeded,
    /// Again at this time.
    Retry(Timestamp),
    /// No more tries.
    Exhausted,
    /// The endpoint was disabled: it waits there.
    Held,
}

/// The endpoint after an attempt.
#[derive(Debug, Clone)]
pub struct EndpointChange {
    /// JSON of its health.
    pub health: String,
    /// No claims before this time.
    pub blocked_until: Timestamp,
    /// How many attempts may be under way at once; `None` for as many as the worker likes.
    pub flight_limit: Option<u32>,
    /// Why it is disabled now, where it is.
    pub disabled: Option<&'static str>,
}

impl Store {
    /// Takes due deliveries within `limits`. One that cannot be read leaves the queue as exhausted, and stops no other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was claimed.
    pub async fn claim_deliveries(
        &self,
        worker: WorkerId,
        limits: ClaimLimits,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        // Most polls find nothing: they must not cost a flush.
        let now = self.clock.now();
        let row = query(dialect::DELIVERIES_DUE).bind(now.as_micros()).fetch_one(&self.readers).await?;
        let (any_due, any_expired) = (row.try_get::<bool>(0)?, row.try_get::<bool>(1)?);
        if !any_due && !any_expired {
            return Ok(Vec::new());
        }
        let until = now.plus(limits.lease);
        self.write(move |connection| {
            Box::pin(async move {
                if any_expired {
                    query(dialect::return_deliveries(connection))
                        .bind(now.as_micros())
                        .execute(&mut *connection)
                        .await?;
                }
                let rows = query(dialect::claim_deliveries(connection))
                    .bind(now.as_micros())
                    .bind(until.as_micros())
                    .bind(worker.to_string())
                    .bind(i64::from(limits.count))
                    .bind(i64::from(limits.per_endpoint))
                    .bind(i64::from(limits.per_tenant))
                    .fetch_all(&mut *connection)
                    .await?;
                claim::read(connection, &rows, Claim { worker, until, now }).await
            })
        })
        .await
    }

    /// Records an attempt of a claimed delivery, what follows, and the endpoint's health, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease had run out and somebody else has the row; [`StoreError::Unavailable`].
    pub async fn finish_attempt(
        &self,
        worker: WorkerId,
        delivery: &ClaimedDelivery,
        attempt: FinishedAttempt,
    ) -> Result<(), StoreError> {
        // The endpoint may have been disabled or removed meanwhile: then no further attempt follows.
        const FINISH: &str = "\
UPDATE deliveries SET attempts = $5, next_attempt_at = $6, lease_owner = NULL, lease_until = NULL,
    state = CASE WHEN $4 IN ('succeeded', 'exhausted') THEN $4 ELSE COALESCE((
        SELECT CASE e.state WHEN 'deleted' THEN 'cancelled' WHEN 'disabled' THEN 'held' END FROM webhook_endpoints AS e
        WHERE e.tenant_id = $1 AND e.endpoint_id = deliveries.endpoint_id
    ), $4) END,
    finished_at = CASE WHEN $4 IN ('succeeded', 'exhausted') OR EXISTS (
        SELECT 1 FROM webhook_endpoints AS e
        WHERE e.tenant_id = $1 AND e.endpoint_id = deliveries.endpoint_id AND e.state = 'deleted'
    ) THEN $7 ELSE finished_at END
WHERE tenant_id = $1 AND delivery_id = $2 AND state = 'in_flight' AND lease_owner = $3";
        const HEALTH_NOW: &str = "SELECT health FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2";
        let delivery_tenant = delivery.tenant;
        let (tenant, id) = (delivery_tenant.to_string(), delivery.id.to_string());
        let endpoint = delivery.endpoint.to_string();
        let now = self.clock.now();
        self.write(move |connection| {
            Box::pin(async move {
                let (state, next) = match attempt.next {
                    NextStep::Succeeded => ("succeeded", now),
                    NextStep::Retry(at) => ("retry_wait", at),
                    NextStep::Exhausted => ("exhausted", now),
                    NextStep::Held => ("held", now),
                };
                let finish = query(FINISH)
                    .bind(&tenant)
                    .bind(&id)
                    .bind(worker.to_string())
                    .bind(state)
                    .bind(i64::from(attempt.number))
                    .bind(next.as_micros())
                    .bind(now.as_micros());
                if finish.execute(&mut *connection).await? == 0 {
                    return Err(StoreError::Conflict("another worker took the delivery over"));
                }
                insert_attempt(connection, &tenant, &id, &attempt).await?;
                let health = query(HEALTH_NOW).bind(&tenant).bind(&endpoint).fetch_one(&mut *connection).await?;
                if (attempt.endpoint)(health.try_get(0)?).is_none() {
                    return Ok(());
                }
                // Attempts of several nodes may end now: what is written follows from what no other can change any more.
                let locked = query(dialect::locked_health(connection)).bind(&tenant).bind(&endpoint);
                let health = locked.fetch_one(&mut *connection).await?;
                match (attempt.endpoint)(health.try_get(0)?) {
                    Some(change) => change_endpoint(connection, delivery_tenant, &endpoint, &change, now).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    /// How many deliveries wait, and since when the oldest is due: for `/metrics` and `/readyz`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delivery_backlog(&self) -> Result<(i64, Option<Timestamp>), StoreError> {
        const BACKLOG: &str =
            "SELECT COUNT(*), MIN(next_attempt_at) FROM deliveries WHERE state IN ('pending', 'retry_wait')";
        let row = query(BACKLOG).fetch_one(&self.readers).await?;
        Ok((row.try_get(0)?, row.try_get::<Option<i64>>(1)?.map(Timestamp::from_micros)))
    }
}

impl TenantStore {
    /// The attempts of one delivery, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<serde_json::Value>, StoreError> {
        const LIST: &str = "\
SELECT number, started_at, duration_us, status, reason, resolved_ip, response, cause FROM attempts
WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY number";
        let list = query(LIST).bind(self.tenant.to_string()).bind(delivery.to_string());
        let read = |row: &Row| -> Result<serde_json::Value, StoreError> {
            Ok(serde_json::json!({
                "number": row.try_get::<i64>(0)?,
                "startedAt": Timestamp::from_micros(row.try_get(1)?).to_string(),
                "durationUs": row.try_get::<i64>(2)?,
                "status": row.try_get::<Option<i64>>(3)?,
                "reason": row.try_get::<Option<&str>>(4)?,
                "resolvedIp": row.try_get::<Option<&str>>(5)?,
                "response": row.try_get::<Option<&str>>(6)?,
                "cause": row.try_get::<&str>(7)?,
            }))
        };
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }
}

/// `flight_limit` of an endpoint that has none, as in the schema.
const UNLIMITED: u32 = 1_000_000;

async fn insert_attempt(
    connection: &mut Connection,
    tenant: &str,
    delivery: &str,
    attempt: &FinishedAttempt,
) -> Result<(), StoreError> {
    const INSERT: &str = "\
INSERT INTO attempts (tenant_id, delivery_id, number, started_at, duration_us, status, reason, resolved_ip, response, cause)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    query(INSERT)
        .bind(tenant)
        .bind(delivery)
        .bind(i64::from(attempt.number))
        .bind(attempt.started_at.as_micros())
        .bind(i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX))
        .bind(attempt.status.map(i64::from))
        .bind(&attempt.reason)
        .bind(&attempt.resolved_ip)
        .bind(&attempt.response)
        .bind(attempt.cause)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes an endpoint's health; a disabled one keeps its waiting deliveries as `held`, never drops them.
async fn change_endpoint(
    connection: &mut Connection,
    owner: TenantId,
    endpoint: &str,
    change: &EndpointChange,
    now: Timestamp,
) -> Result<(), StoreError> {
    const HEALTH: &str = "\
UPDATE webhook_endpoints SET health = $3, blocked_until = $4, flight_limit = $5 \
WHERE tenant_id = $1 AND endpoint_id = $2";
    const DISABLE: &str = "\
UPDATE webhook_endpoints SET state = 'disabled', state_reason = $3
WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'enabled'";
    const HOLD: &str = "\
UPDATE deliveries SET state = 'held'
WHERE tenant_id = $1 AND endpoint_id = $2 AND state IN ('pending', 'retry_wait')";
    let tenant = owner.to_string();
    query(HEALTH)
        .bind(&tenant)
        .bind(endpoint)
        .bind(&change.health)
        .bind(change.blocked_until.as_micros())
        .bind(i64::from(change.flight_limit.unwrap_or(UNLIMITED)))
        .execute(&mut *connection)
        .await?;
    if let Some(reason) = change.disabled {
        // What is being recorded for it now would be missed.
        dialect::lock_tenants(connection, [owner]).await?;
        let disabled = query(DISABLE).bind(&tenant).bind(endpoint).bind(reason).execute(&mut *connection).await?;
        let held = query(HOLD).bind(&tenant).bind(endpoint).execute(&mut *connection).await?;
        if disabled > 0 {
            let detail = serde_json::json!({ "reason": reason, "held": held });
            let entry = NewEntry::new(Who::Gateway, "webhook.disabled", endpoint, detail);
            append(connection, owner, now, vec![entry]).await?;
        }
    }
    Ok(())
}
