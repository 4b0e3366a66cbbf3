//! Routes that are observed: what would have followed from their events.

use std::collections::BTreeMap;

use serde::Serialize;

use super::events::NewEvent;
use super::sql::{Connection, query};
use super::{StoreError, TenantStore, from_json, rows, to_json};
use crate::clock::Timestamp;
use crate::ids::{RouteId, TenantId};

/// What would have followed from the events of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Events.
    pub events: u64,
    /// Events by canonical status.
    pub statuses: BTreeMap<String, u64>,
    /// Operations by type.
    pub operations: BTreeMap<String, u64>,
    /// Tasks.
    pub tasks: u64,
    /// Approvals.
    pub approvals: u64,
    /// Drafts.
    pub drafts: u64,
}

/// Keeps what would have followed, of those events that are observed.
pub(super) async fn keep(
    connection: &mut Connection,
    events: &[(TenantId, NewEvent)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO observed_events (tenant_id, event_id, route_id, observed_at, status, operations, tasks, \
approvals, drafts) ";
    let mut kept = Vec::new();
    for (tenant, event) in events {
        if let (Some(observed), Some(decision)) = (&event.observed, &event.decision) {
            let operations = to_json("operations", &observed.operations)?;
            kept.push((
                tenant.to_string(),
                event.event_id,
                decision.answer.canonical.status.clone(),
                observed,
                operations,
            ));
        }
    }
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    rows::insert(connection, KEEP, &kept, |row, (tenant, event, status, observed, operations)| {
        row.push_bind(tenant.clone())
            .push_bind(event.to_string())
            .push_bind(observed.route.to_string())
            .push_bind(now.as_micros())
            .push_bind(status.clone())
            .push_bind(operations.clone())
            .push_bind(number(observed.tasks))
            .push_bind(number(observed.approvals))
            .push_bind(number(observed.drafts));
    })
    .await?;
    Ok(())
}

impl TenantStore {
    /// What would have followed from the events of a route since `since`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn observed(&self, route: RouteId, since: Timestamp) -> Result<Observed, StoreError> {
        // Few texts are different, and each is read once.
        const SUM: &str = "\
SELECT status, operations, COUNT(*), CAST(SUM(tasks) AS BIGINT), CAST(SUM(approvals) AS BIGINT), CAST(SUM(drafts) AS BIGINT)
FROM observed_events WHERE tenant_id = $1 AND route_id = $2 AND observed_at >= $3 GROUP BY status, operations";
        let sum = query(SUM).bind(self.tenant.to_string()).bind(route.to_string()).bind(since.as_micros());
        let mut total = Observed::default();
        for row in sum.fetch_all(&self.store.readers).await? {
            let number = |at: usize| row.try_get::<i64>(at).map(i64::cast_unsigned);
            let count = number(2)?;
            total.events += count;
            *total.statuses.entry(row.try_get(0)?).or_default() += count;
            for operation in from_json::<Vec<String>>("operations", row.try_get(1)?)? {
                *total.operations.entry(operation).or_default() += count;
            }
            total.tasks += number(3)?;
            total.approvals += number(4)?;
            total.drafts += number(5)?;
        }
        Ok(total)
    }
}
