//! Since when a network is refused at a route that does not name it.

use super::sql::query;
use super::{StoreError, TenantStore};
use crate::clock::Timestamp;
use crate::ids::RouteId;

/// Networks that are remembered for one route: whoever learned its address must not fill the table from everywhere.
const NETWORKS: i64 = 1_000;
/// A network that was quiet for so long is refused anew from its next copy on.
const FORGOTTEN_MICROS: i64 = 30 * 24 * 3_600 * 1_000_000;

/// A route of another tenant is none.
pub(super) fn no_route(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(fault) if fault.is_foreign_key_violation() => StoreError::NotFound("route"),
        _ => StoreError::Unavailable(error),
    }
}

impl TenantStore {
    /// Records that `network` was refused at a route now, and says since when it is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn route_refused(&self, route: RouteId, network: String) -> Result<Timestamp, StoreError> {
        const REFUSE: &str = "\
INSERT INTO route_refusals (tenant_id, route_id, network, first_at, last_at)
SELECT $1, $2, $3, $4, $4
WHERE (SELECT COUNT(*) FROM route_refusals AS o WHERE o.tenant_id = $1 AND o.route_id = $2 AND o.network <> $3) < $5
ON CONFLICT (tenant_id, route_id, network) DO UPDATE SET
    first_at = CASE WHEN route_refusals.last_at < $6 THEN excluded.first_at ELSE route_refusals.first_at END,
    last_at = excluded.last_at
RETURNING first_at";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        let first = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let row = query(REFUSE)
                        .bind(tenant)
                        .bind(route.to_string())
                        .bind(network)
                        .bind(now.as_micros())
                        .bind(NETWORKS)
                        .bind(now.as_micros().saturating_sub(FORGOTTEN_MICROS))
                        .fetch_optional(connection)
                        .await
                        .map_err(no_route)?;
                    let first = row.map(|row| row.try_get(0)).transpose()?;
                    Ok::<Option<i64>, StoreError>(first)
                })
            })
            .await?;
        // One network too many is not remembered, and so it is refused for good.
        Ok(first.map_or(now, Timestamp::from_micros))
    }
}
