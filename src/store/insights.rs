//! Figures over what was recorded, for one tenant, one app or all, and a span of time.

use super::sql::{Row, built, query};
use super::{StoreError, TenantStore};
use crate::clock::Timestamp;
use crate::ids::AppId;

/// Which rows are counted: from `from` on, before `to`.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Only events of this app.
    pub app: Option<AppId>,
    /// First moment.
    pub from: Timestamp,
    /// First moment that no longer counts.
    pub to: Timestamp,
}

/// By what events are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Canonical status.
    Status,
    /// Area of the status.
    Area,
    /// Priority.
    Priority,
    /// Door or origin.
    Source,
}

/// Counts of decided events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volumes {
    /// Events.
    pub events: i64,
    /// Of them, those that need an approval.
    pub approval_required: i64,
    /// Of them, those left to a person.
    pub abstained: i64,
}

/// Where "$1 tenant, $2 app or null, $3 from, $4 to" select events with their decisions.
const EVENTS: &str = "\
FROM events AS e JOIN decisions AS d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id
WHERE e.tenant_id = $1 AND ($2 IS NULL OR e.app_id = $2) AND e.recorded_at >= $3 AND e.recorded_at < $4";
const OUTCOMES: &str = "\
FROM outcomes AS o JOIN events AS e ON e.tenant_id = o.tenant_id AND e.event_id = o.event_id
WHERE o.tenant_id = $1 AND ($2 IS NULL OR e.app_id = $2) AND o.recorded_at >= $3 AND o.recorded_at < $4";
const DELIVERIES: &str = "\
FROM deliveries AS d JOIN events AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.event_id
WHERE d.tenant_id = $1 AND ($2 IS NULL OR e.app_id = $2) AND d.created_at >= $3 AND d.created_at < $4";

impl TenantStore {
    /// How many events there were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn volumes(&self, span: Span) -> Result<Volumes, StoreError> {
        let head = "SELECT COUNT(*), CAST(COALESCE(SUM(d.approval_required), 0) AS BIGINT), CAST(COALESCE(SUM(d.abstained), 0) AS BIGINT)";
        let rows = self.count(&format!("{head} {EVENTS}"), span).await?;
        let Some(row) = rows.first() else { return Ok(Volumes::default()) };
        Ok(Volumes { events: row.try_get(0)?, approval_required: row.try_get(1)?, abstained: row.try_get(2)? })
    }

    /// Events by group, most first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn events_by(&self, grouping: Grouping, span: Span) -> Result<Vec<(String, i64)>, StoreError> {
        let column = match grouping {
            Grouping::Status => "d.status",
            Grouping::Area => "d.area",
            Grouping::Priority => "d.priority",
            Grouping::Source => "e.source_kind",
        };
        let sql =
            format!("SELECT {column}, COUNT(*) {EVENTS} GROUP BY {column} ORDER BY COUNT(*) DESC, {column} LIMIT 100");
        pairs(&self.count(&sql, span).await?)
    }

    /// Outcomes by word, most first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn outcomes_by_word(&self, span: Span) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = format!("SELECT o.outcome, COUNT(*) {OUTCOMES} GROUP BY o.outcome ORDER BY COUNT(*) DESC, o.outcome");
        pairs(&self.count(&sql, span).await?)
    }

    /// Reported value by canonical status and currency.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn value_by_status(&self, span: Span) -> Result<Vec<(String, String, f64)>, StoreError> {
        let sql = format!(
            "SELECT (SELECT d.status FROM decisions AS d WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id \
LIMIT 1) AS status, o.currency, SUM(o.amount) {OUTCOMES} AND o.amount IS NOT NULL
GROUP BY status, o.currency ORDER BY status, o.currency LIMIT 200"
        );
        let rows = self.count(&sql, span).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }

    /// Mean seconds from an event to its outcomes; `None` without outcomes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn mean_seconds_to_outcome(&self, span: Span) -> Result<Option<f64>, StoreError> {
        let sql =
            format!("SELECT CAST(AVG((o.recorded_at - e.recorded_at) / 1000000.0) AS DOUBLE PRECISION) {OUTCOMES}");
        Ok(self.count(&sql, span).await?.first().map(|row| row.try_get(0)).transpose()?.flatten())
    }

    /// How often people, or source apps, said no to drafts: template (empty where none proposed it), canonical status, reason,
    /// and how often; most first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn rejections(&self, span: Span) -> Result<Vec<(String, String, String, i64)>, StoreError> {
        let sql = format!(
            "SELECT template, status, reason, COUNT(*) FROM (SELECT COALESCE(o.template_id, '') AS template, o.reason AS reason, \
COALESCE((SELECT d.status FROM decisions AS d WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id LIMIT 1), '') AS status \
{OUTCOMES} AND o.reason IS NOT NULL) AS rejected
GROUP BY template, status, reason ORDER BY COUNT(*) DESC, template, status, reason LIMIT 200"
        );
        let rows = self.count(&sql, span).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))).collect()
    }

    /// Deliveries by state.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn deliveries_by_state(&self, span: Span) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = format!("SELECT d.state, COUNT(*) {DELIVERIES} GROUP BY d.state ORDER BY d.state");
        pairs(&self.count(&sql, span).await?)
    }

    /// How often apps reported spam in a span, and when first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn spam_reports(&self, span: Span) -> Result<Option<(i64, Timestamp)>, StoreError> {
        let sql = format!("SELECT COUNT(*), MIN(o.recorded_at) {OUTCOMES} AND o.outcome = 'spam'");
        let rows = self.count(&sql, span).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let first: Option<i64> = row.try_get(1)?;
        Ok(first.map(|first| row.try_get(0).map(|count| (count, Timestamp::from_micros(first)))).transpose()?)
    }

    /// Since when the tenant is suspended, where it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant; [`StoreError::Unavailable`].
    pub async fn suspended_since(&self) -> Result<Option<Timestamp>, StoreError> {
        const FIND: &str = "SELECT suspended_at FROM tenants WHERE tenant_id = $1";
        let row = query(FIND).bind(self.tenant.to_string()).fetch_optional(&self.store.readers).await?;
        let since: Option<i64> = row.ok_or(StoreError::NotFound("tenant"))?.try_get(0)?;
        Ok(since.map(Timestamp::from_micros))
    }

    async fn count(&self, sql: &str, span: Span) -> Result<Vec<Row>, StoreError> {
        // Built from constants of this file only; values are bound.
        let query = built(sql.to_owned())
            .bind(self.tenant.to_string())
            .bind(span.app.map(|app| app.to_string()))
            .bind(span.from.as_micros())
            .bind(span.to.as_micros());
        Ok(query.fetch_all(&self.store.readers).await?)
    }
}

fn pairs(rows: &[Row]) -> Result<Vec<(String, i64)>, StoreError> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
