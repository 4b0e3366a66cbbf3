//! Reading what was claimed. A row that cannot be read must not stop the deliveries of everybody else.

use std::collections::HashMap;
use std::time::Duration;

use super::{ClaimedDelivery, FinishedAttempt, NextStep, Target, insert_attempt};
use crate::clock::Timestamp;
use crate::ids::WorkerId;
use crate::store::sql::{Connection, Row, query};
use crate::store::{StoreError, from_id, from_json};

/// Who claimed until when: what tells this claim's rows from all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) worker: WorkerId,
    pub(super) until: Timestamp,
    pub(super) now: Timestamp,
}

/// The deliveries of the rows that were claimed, but for those that cannot be read: they were taken out of the queue.
pub(super) async fn read(
    connection: &mut Connection,
    rows: &[Row],
    claim: Claim,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    const TARGETS: &str = "\
SELECT d.tenant_id, d.delivery_id, p.body, e.url, e.secrets, e.headers, e.schedule, e.flight_limit FROM deliveries AS d
JOIN payloads AS p ON p.tenant_id = d.tenant_id AND p.event_id = d.event_id AND p.mode = d.mode
    AND p.api_version = d.api_version
JOIN webhook_endpoints AS e ON e.tenant_id = d.tenant_id AND e.endpoint_id = d.endpoint_id
WHERE d.state = 'in_flight' AND d.lease_owner = $1 AND d.lease_until = $2";
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let find = query(TARGETS).bind(claim.worker.to_string()).bind(claim.until.as_micros());
    let found = find.fetch_all(&mut *connection).await?;
    let mut targets = HashMap::with_capacity(found.len());
    for target in &found {
        targets.insert((target.try_get::<&str>(0)?, target.try_get::<&str>(1)?), target);
    }
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let target = targets.get(&(row.try_get(0)?, row.try_get(1)?)).copied();
        match read_whole(row, target) {
            Ok(delivery) => claimed.push(delivery),
            Err(error) => match damaged(&error) {
                Some(what) => set_aside(connection, row, what, claim.now).await?,
                None => return Err(error),
            },
        }
    }
    Ok(claimed)
}

/// What of the row is damaged; `None` where the fault is not the row's. Values stay out of it: headers can be secrets.
const fn damaged(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Unreadable { what, .. } => Some(what),
        StoreError::Unavailable(sqlx::Error::RowNotFound) => Some("payload or endpoint, which is missing,"),
        StoreError::Unavailable(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => Some("row"),
        _ => None,
    }
}

/// Ends a delivery that no later attempt could make either, with an attempt that says why.
async fn set_aside(
    connection: &mut Connection,
    row: &Row,
    what: &'static str,
    now: Timestamp,
) -> Result<(), StoreError> {
    const END: &str = "\
UPDATE deliveries SET state = 'exhausted', attempts = $3, next_attempt_at = $4, finished_at = $4, lease_owner = NULL, \
lease_until = NULL WHERE tenant_id = $1 AND delivery_id = $2";
    let (tenant, delivery): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let number = u32::try_from(row.try_get::<i64>(7)?).unwrap_or(u32::MAX).saturating_add(1);
    tracing::error!(
        tenant.id = tenant,
        delivery.id = delivery,
        attempt = number,
        error.kind = "unreadable",
        "Delivery `{delivery}` is not made: its stored {what} cannot be read",
    );
    let end = query(END).bind(tenant).bind(delivery).bind(i64::from(number)).bind(now.as_micros());
    end.execute(&mut *connection).await?;
    let attempt = FinishedAttempt {
        number,
        started_at: now,
        duration: Duration::ZERO,
        status: None,
        reason: Some("unreadable".to_owned()),
        resolved_ip: None,
        response: Some(format!("The stored {what} cannot be read; nothing was sent.")),
        cause: "scheduled",
        next: NextStep::Exhausted,
        endpoint: Box::new(|_| None),
    };
    insert_attempt(connection, tenant, delivery, &attempt).await
}

fn read_whole(row: &Row, target: Option<&Row>) -> Result<ClaimedDelivery, StoreError> {
    let target = target.ok_or(sqlx::Error::RowNotFound)?;
    let attempts: i64 = row.try_get(7)?;
    Ok(ClaimedDelivery {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("delivery_id", row.try_get(1)?)?,
        endpoint: from_id("endpoint_id", row.try_get(2)?)?,
        event: from_id("event_id", row.try_get(3)?)?,
        event_type: row.try_get(4)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        created_at: Timestamp::from_micros(row.try_get(8)?),
        body: target.try_get(2)?,
        target: Target {
            url: target.try_get(3)?,
            secrets_sealed: target.try_get(4)?,
            headers: from_json("headers", target.try_get(5)?)?,
            schedule: target.try_get(6)?,
            is_probe: target.try_get::<i64>(7)? == 1,
        },
    })
}
