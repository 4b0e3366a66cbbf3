//! The newest rows of a tenant, for a person who watches: messages, decisions, attempts.

use super::sql::{Row, query};
use super::{StoreError, TenantStore};
use crate::clock::Timestamp;

/// Where a watcher stands in each of the three streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailPosition {
    /// Id of the last message that was shown.
    pub message: String,
    /// Id of the last decision that was shown.
    pub decision: String,
    /// Start, in microseconds, and delivery of the last attempt that was shown; several may start at once.
    pub attempt: (i64, String),
}

/// Lines of one kind that are read in one go; the statements below name it.
const SHOWN: usize = 200;

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TailLine {
    /// When.
    pub at: String,
    /// `message`, `decision` or `attempt`.
    pub what: &'static str,
    /// The id of the row.
    pub id: String,
    /// What is worth seeing at a glance: state and size, status and priority, or answer and duration.
    pub summary: String,
}

impl TenantStore {
    /// About the last `count` lines of each kind, and where that leaves a watcher.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tail_newest(&self, count: u32) -> Result<(Vec<TailLine>, TailPosition), StoreError> {
        const BEFORE: &str = "\
SELECT
COALESCE((SELECT message_id FROM messages WHERE tenant_id = $1 ORDER BY message_id DESC LIMIT 1 OFFSET $2), ''),
COALESCE((SELECT decision_id FROM decisions WHERE tenant_id = $1 ORDER BY decision_id DESC LIMIT 1 OFFSET $2), ''),
COALESCE((SELECT started_at FROM attempts WHERE tenant_id = $1 ORDER BY started_at DESC, delivery_id DESC LIMIT 1 OFFSET $2), 0),
COALESCE((SELECT delivery_id FROM attempts WHERE tenant_id = $1 ORDER BY started_at DESC, delivery_id DESC LIMIT 1 OFFSET $2), '')";
        let before = query(BEFORE).bind(self.tenant.to_string()).bind(i64::from(count));
        let row = before.fetch_one(&self.store.readers).await?;
        let attempt = (row.try_get(2)?, row.try_get(3)?);
        let mut position = TailPosition { message: row.try_get(0)?, decision: row.try_get(1)?, attempt };
        let mut lines = Vec::new();
        loop {
            let (page, next) = self.tail(position).await?;
            let is_last = page.len() < SHOWN;
            lines.extend(page);
            if is_last {
                return Ok((lines, next));
            }
            position = next;
        }
    }

    /// What happened behind `position`, in order of time, and where that leaves the watcher.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tail(&self, position: TailPosition) -> Result<(Vec<TailLine>, TailPosition), StoreError> {
        const MESSAGES: &str = "\
SELECT received_at, message_id, state || ' ' || size || ' octets' FROM messages
WHERE tenant_id = $1 AND message_id > $2 ORDER BY message_id LIMIT 200";
        const DECISIONS: &str = "\
SELECT decided_at, decision_id, event_id || ' ' || status || ' ' || priority FROM decisions
WHERE tenant_id = $1 AND decision_id > $2 ORDER BY decision_id LIMIT 200";
        const ATTEMPTS: &str = "\
SELECT started_at, delivery_id, '#' || number || ' ' || COALESCE(CAST(status AS TEXT), reason, '') || ' in '
|| (duration_us / 1000) || ' ms' FROM attempts
WHERE tenant_id = $1 AND (started_at, delivery_id) > ($2, $3) ORDER BY started_at, delivery_id LIMIT 200";
        let tenant = self.tenant.to_string();
        let mut next = position.clone();
        let mut lines = Vec::new();
        let read = |what: &'static str, row: &Row| -> Result<(i64, TailLine), StoreError> {
            let at: i64 = row.try_get(0)?;
            let line = TailLine {
                at: Timestamp::from_micros(at).to_string(),
                what,
                id: row.try_get(1)?,
                summary: row.try_get(2)?,
            };
            Ok((at, line))
        };
        let messages = query(MESSAGES).bind(&tenant).bind(position.message).fetch_all(&self.store.readers).await?;
        for row in &messages {
            let (at, line) = read("message", row)?;
            next.message.clone_from(&line.id);
            lines.push((at, line));
        }
        let decisions = query(DECISIONS).bind(&tenant).bind(position.decision).fetch_all(&self.store.readers).await?;
        for row in &decisions {
            let (at, line) = read("decision", row)?;
            next.decision.clone_from(&line.id);
            lines.push((at, line));
        }
        let (since, delivery) = position.attempt;
        let attempts = query(ATTEMPTS).bind(&tenant).bind(since).bind(delivery).fetch_all(&self.store.readers).await?;
        for row in &attempts {
            let (at, line) = read("attempt", row)?;
            next.attempt = (at, line.id.clone());
            lines.push((at, line));
        }
        lines.sort_by_key(|(at, _)| *at);
        Ok((lines.into_iter().map(|(_, line)| line).collect(), next))
    }
}
