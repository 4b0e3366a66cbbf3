//! Every difference between the database engines: opening, migrations, errors, and how work is claimed.

mod history;
pub(super) mod postgres;
pub(super) mod sqlite;

use std::collections::BTreeSet;

use super::sql::{Connection, query};
use crate::ids::TenantId;

/// The due deliveries that may be claimed: first for the tenants with the least under way here, and of each endpoint the
/// oldest, so that neither a tenant with many slow endpoints nor an endpoint with a long backlog takes the others' places.
/// A tenant that is alone on the installation takes all.
///
/// `$1` now, `$3` worker, `$4` how many, `$5` how many may be under way for one endpoint, `$6` for one tenant and worker.
macro_rules! fair_deliveries {
    ($columns:literal, $limit:literal, $oldest:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (
    SELECT due.tenant_id, due.delivery_id, due.next_attempt_at,
        ROW_NUMBER() OVER (PARTITION BY due.tenant_id ORDER BY due.place, due.next_attempt_at, due.delivery_id)
            + COALESCE(busy.attempts, 0) AS tenant_place
    FROM (
        SELECT d.tenant_id, d.delivery_id, d.next_attempt_at, e.flight_limit,
            ROW_NUMBER() OVER (PARTITION BY d.tenant_id, d.endpoint_id ORDER BY d.next_attempt_at, d.delivery_id) + (
                SELECT COUNT(*) FROM deliveries AS f
                WHERE f.tenant_id = d.tenant_id AND f.endpoint_id = d.endpoint_id AND f.state = 'in_flight'
            ) AS place
        FROM webhook_endpoints AS e
        ",
            $oldest,
            "
        WHERE e.state = 'enabled' AND e.blocked_until <= $1
    ) AS due
    LEFT JOIN (
        SELECT tenant_id, COUNT(*) AS attempts FROM deliveries
        WHERE state = 'in_flight' AND lease_owner = $3 GROUP BY tenant_id
    ) AS busy ON busy.tenant_id = due.tenant_id
    WHERE due.place <= $5 AND due.place <= due.flight_limit
) AS fair
WHERE tenant_place <= $6 OR NOT EXISTS (
    SELECT 1 FROM webhook_endpoints AS o WHERE o.tenant_id <> fair.tenant_id AND o.state = 'enabled'
)
ORDER BY tenant_place, next_attempt_at LIMIT ",
            $limit
        )
    };
}

/// The oldest due deliveries `w` of an endpoint `e`.
macro_rules! oldest_deliveries {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM deliveries AS w WHERE w.tenant_id = e.tenant_id AND w.endpoint_id = e.endpoint_id \
AND w.state IN ('pending', 'retry_wait') AND w.next_attempt_at <= $1 ORDER BY w.next_attempt_at LIMIT $5"
        )
    };
}

/// SQLite has no LATERAL, and looks the list up by index.
macro_rules! oldest_in_sqlite {
    () => {
        concat!(
            "JOIN deliveries AS d ON d.tenant_id = e.tenant_id AND d.delivery_id IN (",
            oldest_deliveries!("w.delivery_id"),
            ")"
        )
    };
}

/// PostgreSQL would ask for that list once for each delivery that the tenant ever had.
macro_rules! oldest_in_postgres {
    () => {
        concat!(
            "CROSS JOIN LATERAL (",
            oldest_deliveries!("w.tenant_id, w.endpoint_id, w.delivery_id, w.next_attempt_at"),
            ") AS d"
        )
    };
}

macro_rules! claim_deliveries {
    ($which:expr) => {
        concat!(
            "UPDATE deliveries SET state = 'in_flight', lease_until = $2, lease_owner = $3 WHERE (tenant_id, delivery_id) IN (",
            $which,
            ") RETURNING tenant_id, delivery_id, endpoint_id, event_id, event_type, mode, api_version, attempts, created_at"
        )
    };
}

/// Claims the [`fair_deliveries`]. `$2` lease end. SQLite has one writer, so the sub-select needs no row locks.
const CLAIM_SQLITE: &str = claim_deliveries!(fair_deliveries!("tenant_id, delivery_id", "$4", oldest_in_sqlite!()));
/// As [`CLAIM_SQLITE`]. Nodes that claim at the same moment see the same rows as due, so each looks at more than it takes:
/// it skips what another has locked, and what was claimed meanwhile no longer has a state that waits.
const CLAIM_POSTGRES: &str = claim_deliveries!(concat!(
    "SELECT d.tenant_id, d.delivery_id FROM deliveries AS d JOIN (",
    fair_deliveries!("tenant_id, delivery_id, tenant_place, next_attempt_at", "4 * $4", oldest_in_postgres!()),
    ") AS f ON f.tenant_id = d.tenant_id AND f.delivery_id = d.delivery_id WHERE d.state IN ('pending', 'retry_wait') \
ORDER BY f.tenant_place, f.next_attempt_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED"
));

/// The statement that claims deliveries; see [`fair_deliveries`] for its values.
pub(super) const fn claim_deliveries(connection: &Connection) -> &'static str {
    match connection {
        Connection::Sqlite(_) => CLAIM_SQLITE,
        Connection::Postgres(_) => CLAIM_POSTGRES,
    }
}

/// Whether [`claim_deliveries`] could find something, and whether a lease ran out. `$1` now.
pub(super) const DELIVERIES_DUE: &str = "\
SELECT EXISTS (
    SELECT 1 FROM webhook_endpoints AS e WHERE e.state = 'enabled' AND e.blocked_until <= $1 AND EXISTS (
        SELECT 1 FROM deliveries AS w WHERE w.tenant_id = e.tenant_id AND w.endpoint_id = e.endpoint_id
            AND w.state IN ('pending', 'retry_wait') AND w.next_attempt_at <= $1
    )
), EXISTS (SELECT 1 FROM deliveries WHERE state = 'in_flight' AND lease_until <= $1)";

/// Deliveries whose lease ran out. `$1` now.
macro_rules! expired_deliveries {
    () => {
        "SELECT tenant_id, delivery_id FROM deliveries WHERE state = 'in_flight' AND lease_until <= $1"
    };
}

/// What a removed or disabled endpoint left under way waits for nobody any more.
macro_rules! return_deliveries {
    ($which:expr) => {
        concat!(
            "\
UPDATE deliveries SET lease_owner = NULL, lease_until = NULL,
    state = COALESCE((
        SELECT CASE e.state WHEN 'deleted' THEN 'cancelled' WHEN 'disabled' THEN 'held' END FROM webhook_endpoints AS e
        WHERE e.tenant_id = deliveries.tenant_id AND e.endpoint_id = deliveries.endpoint_id
    ), CASE attempts WHEN 0 THEN 'pending' ELSE 'retry_wait' END),
    finished_at = CASE WHEN EXISTS (
        SELECT 1 FROM webhook_endpoints AS e
        WHERE e.tenant_id = deliveries.tenant_id AND e.endpoint_id = deliveries.endpoint_id AND e.state = 'deleted'
    ) THEN $1 ELSE finished_at END
WHERE (tenant_id, delivery_id) IN (",
            $which,
            ")"
        )
    };
}

const RETURN_SQLITE: &str = return_deliveries!(expired_deliveries!());
/// Two nodes that give back the same rows in another order would wait for each other.
const RETURN_POSTGRES: &str = return_deliveries!(concat!(expired_deliveries!(), " FOR UPDATE SKIP LOCKED"));

/// The statement that makes deliveries due again whose lease ran out. `$1` now.
pub(super) const fn return_deliveries(connection: &Connection) -> &'static str {
    match connection {
        Connection::Sqlite(_) => RETURN_SQLITE,
        Connection::Postgres(_) => RETURN_POSTGRES,
    }
}

/// Makes this transaction the only one that records events of these tenants until it ends: their cursors have no gaps, and
/// no copy of a message is missed because another node is recording it. SQLite has one writer anyway.
pub(super) async fn lock_tenants(
    connection: &mut Connection,
    tenants: impl IntoIterator<Item = TenantId>,
) -> Result<(), sqlx::Error> {
    // Without KEY: rows that only refer to the tenant need not wait.
    const LOCK: &str = "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE";
    if matches!(connection, Connection::Postgres(_)) {
        // In the order of their ids, so that two transactions never wait for each other.
        for tenant in tenants.into_iter().collect::<BTreeSet<_>>() {
            query(LOCK).bind(tenant.to_string()).fetch_optional(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The health of an endpoint, which nobody else changes before this transaction ends. `$1` tenant, `$2` endpoint.
pub(super) const fn locked_health(connection: &Connection) -> &'static str {
    match connection {
        Connection::Sqlite(_) => "SELECT health FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
        Connection::Postgres(_) => {
            "SELECT health FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2 FOR NO KEY UPDATE"
        }
    }
}

/// Whether an error is trouble of the database rather than of the statement, so that the same call may succeed later.
pub(super) fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(fault) => match fault.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            Some(fault) => postgres::is_temporary(fault.code()),
            None => sqlite::is_temporary(fault.code().as_deref()),
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. } => false,
        _ => true,
    }
}

/// Writes what changes nothing. A transaction without any write would begin and commit on a disk that is full.
pub(super) async fn write_nothing_new(connection: &mut Connection) -> Result<(), sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => sqlite::write_nothing_new(connection).await,
        Connection::Postgres(_) => {
            const WRITE: &str = "\
INSERT INTO instance (name, value) VALUES ('written', '') ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            query(WRITE).execute(connection).await.map(|_| ())
        }
    }
}

/// The release of which a recipient has waited longest; locked on PostgreSQL, where another node passes it over.
pub(super) async fn due_release(
    connection: &mut Connection,
    now: crate::clock::Timestamp,
) -> Result<Option<(String, String)>, sqlx::Error> {
    const DUE: &str = "SELECT tenant_id, release_id FROM transmissions WHERE state IN ('pending', 'deferred') \
AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT 1";
    const DUE_LOCKED: &str = "SELECT tenant_id, release_id FROM transmissions WHERE state IN ('pending', 'deferred') \
AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED";
    let due = match connection {
        Connection::Sqlite(_) => DUE,
        Connection::Postgres(_) => DUE_LOCKED,
    };
    let row = query(due).bind(now.as_micros()).fetch_optional(connection).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}
