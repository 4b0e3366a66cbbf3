//! Reading what was claimed. A row that cannot be read must not stop the deliveries of everybody else.

use std::time::Duration;

use super::{ClaimedDelivery, FinishedAttempt, NextStep, Target, insert_attempt};
use crate::clock::Timestamp;
use crate::store::sql::{Connection, Row, query};
use crate::store::{StoreError, from_id, from_json};

/// The delivery of a claimed row; `None` where the row cannot be read and was taken out of the queue.
pub(super) async fn read(
    connection: &mut Connection,
    row: &Row,
    now: Timestamp,
) -> Result<Option<ClaimedDelivery>, StoreError> {
    match read_whole(connection, row).await {
        Ok(delivery) => Ok(Some(delivery)),
        Err(error) => match damaged(&error) {
            Some(what) => set_aside(connection, row, what, now).await.map(|()| None),
            None => Err(error),
        },
    }
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

async fn read_whole(connection: &mut Connection, row: &Row) -> Result<ClaimedDelivery, StoreError> {
    const BODY: &str = "\
SELECT p.body, e.url, e.secrets, e.headers, e.schedule, e.flight_limit FROM payloads AS p
JOIN webhook_endpoints AS e ON e.tenant_id = p.tenant_id AND e.endpoint_id = $5
WHERE p.tenant_id = $1 AND p.event_id = $2 AND p.mode = $3 AND p.api_version = $4";
    let (tenant, endpoint, event): (&str, &str, &str) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
    let body = query(BODY)
        .bind(tenant)
        .bind(event)
        .bind(row.try_get::<&str>(5)?)
        .bind(row.try_get::<&str>(6)?)
        .bind(endpoint)
        .fetch_one(connection)
        .await?;
    let attempts: i64 = row.try_get(7)?;
    Ok(ClaimedDelivery {
        tenant: from_id("tenant_id", tenant)?,
        id: from_id("delivery_id", row.try_get(1)?)?,
        endpoint: from_id("endpoint_id", endpoint)?,
        event: from_id("event_id", event)?,
        event_type: row.try_get(4)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        created_at: Timestamp::from_micros(row.try_get(8)?),
        body: body.try_get(0)?,
        target: Target {
            url: body.try_get(1)?,
            secrets_sealed: body.try_get(2)?,
            headers: from_json("headers", body.try_get(3)?)?,
            schedule: body.try_get(4)?,
            is_probe: body.try_get::<i64>(5)? == 1,
        },
    })
}
