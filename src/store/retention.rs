//! What a route takes notice of and keeps, and making what it does not keep unreadable.
//!
//! What is taken away here are the texts of events and of webhooks' bodies, what decisions quote of them, and the right to
//! read a message's bytes. With the last right to read them the bytes themselves are noted for a worker, which erases them
//! ([`super::erasures`]).

use serde_json::json;

use super::audit::{NewEntry, append};
use super::ingest::MessageRow;
use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, dialect, erasures, from_id, from_json, rows, to_json};
use crate::clock::Timestamp;
use crate::event::privacy::{erase_evidence, erase_payload, erase_texts};
use crate::ids::RouteId;
use crate::mail::retention::{Keep, Retention};

/// Which of a route's copies are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// Those that were decided on.
    Decided,
    /// Those that arrived before, whatever became of them.
    Before(Timestamp),
}

pub(super) fn keep(word: &str) -> Result<Keep, StoreError> {
    word.parse().map_err(|detail| StoreError::Unreadable { what: "keep", detail })
}

impl TenantStore {
    /// Begins or ends a route's legal hold.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn hold_route(&self, id: RouteId, on: bool) -> Result<(), StoreError> {
        const SET: &str = "UPDATE routes SET legal_hold = $3 \
WHERE tenant_id = $1 AND route_id = $2 AND state <> 'deleted' AND legal_hold <> $3";
        const KNOWN: &str = "SELECT 1 FROM routes WHERE tenant_id = $1 AND route_id = $2 AND state <> 'deleted'";
        let (owner, now) = (self.tenant, self.store.clock.now());
        let action = if on { "route.hold_begun" } else { "route.hold_ended" };
        let entry = NewEntry::new(self.who.clone(), action, id, json!({}));
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    // What is being taken away now ends before the hold begins.
                    dialect::lock_tenants(connection, [owner]).await?;
                    let bound = |sql| query(sql).bind(owner.to_string()).bind(id.to_string());
                    if bound(SET).bind(i64::from(on)).execute(&mut *connection).await? > 0 {
                        return append(connection, owner, now, vec![entry]).await;
                    }
                    let known = bound(KNOWN).fetch_optional(connection).await?;
                    known.map(|_| ()).ok_or(StoreError::NotFound("route"))
                })
            })
            .await
    }

    /// What each route keeps, those that were removed too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn retentions(&self) -> Result<Vec<(RouteId, Retention)>, StoreError> {
        const LIST: &str =
            "SELECT route_id, keep, keep_days, legal_hold FROM routes WHERE tenant_id = $1 ORDER BY route_id";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            let days = row.try_get::<Option<i64>>(2)?.map(|days| u32::try_from(days).unwrap_or(u32::MAX));
            let legal_hold = row.try_get::<i64>(3)? != 0;
            Ok((from_id("route_id", row.try_get(0)?)?, Retention { keep: keep(row.try_get(1)?)?, days, legal_hold }))
        };
        rows.iter().map(read).collect()
    }

    /// Takes away what is more than `keep` of up to `limit` copies of a route, the oldest first: of how many. Nothing
    /// while the route is on legal hold.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was taken away.
    pub async fn reduce_copies(
        &self,
        route: RouteId,
        keep: Keep,
        overdue: Overdue,
        limit: u32,
    ) -> Result<usize, StoreError> {
        const HELD: &str = "SELECT 1 FROM routes WHERE tenant_id = $1 AND route_id = $2 AND legal_hold = 1";
        const FIND: &str = "\
SELECT k.message_id FROM kept_copies AS k JOIN messages AS m ON m.tenant_id = k.tenant_id AND m.message_id = k.message_id
WHERE k.tenant_id = $1 AND k.route_id = $2 AND k.kept <> 'none' AND k.kept IN ('raw', $3) AND k.received_at < $4
AND ($5 = 0 OR (m.state IN ('emitted', 'duplicate', 'excluded') AND k.held IS NULL)) ORDER BY k.received_at LIMIT $6";
        const REDUCE: &str =
            "UPDATE kept_copies SET kept = $4 WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3";
        // What is more than nothing is texts as well.
        let also = if keep == Keep::None { "text" } else { "raw" };
        let (before, decided) = match overdue {
            Overdue::Decided => (i64::MAX, 1_i64),
            Overdue::Before(before) => (before.as_micros(), 0),
        };
        let (owner, route) = (self.tenant, route.to_string());
        if keep == Keep::Raw {
            return Ok(0);
        }
        let now = self.store.clock.now();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    dialect::lock_tenants(connection, [owner]).await?;
                    let tenant = owner.to_string();
                    let held = query(HELD).bind(&tenant).bind(&route);
                    if held.fetch_optional(&mut *connection).await?.is_some() {
                        return Ok(0);
                    }
                    let find = query(FIND).bind(&tenant).bind(&route).bind(also).bind(before).bind(decided);
                    let found = find.bind(i64::from(limit)).fetch_all(&mut *connection).await?;
                    for row in &found {
                        let message: &str = row.try_get(0)?;
                        let reduce = query(REDUCE).bind(&tenant).bind(message).bind(&route).bind(keep.as_str());
                        reduce.execute(&mut *connection).await?;
                        erasures::queue_unread(connection, &tenant, message, now).await?;
                        if keep == Keep::None {
                            erase_events(connection, &tenant, message, &route).await?;
                        }
                    }
                    Ok(found.len())
                })
            })
            .await
    }
}

/// Takes the texts out of what a route made of a message: its events, and the bodies of their webhooks.
async fn erase_events(connection: &mut Connection, tenant: &str, message: &str, route: &str) -> Result<(), StoreError> {
    const EVENTS: &str =
        "SELECT event_id, content FROM events WHERE tenant_id = $1 AND message_id = $2 AND scope = $3 AND kind <> $4";
    const EMPTY: &str = "UPDATE events SET content = $3 WHERE tenant_id = $1 AND event_id = $2";
    const DECISIONS: &str = "SELECT decision_id, answer FROM decisions WHERE tenant_id = $1 AND event_id = $2";
    const EMPTY_DECISION: &str = "UPDATE decisions SET answer = $3 WHERE tenant_id = $1 AND decision_id = $2";
    const PAYLOADS: &str = "SELECT mode, api_version, body FROM payloads WHERE tenant_id = $1 AND event_id = $2";
    const EMPTY_PAYLOAD: &str =
        "UPDATE payloads SET body = $5 WHERE tenant_id = $1 AND event_id = $2 AND mode = $3 AND api_version = $4";
    let events = query(EVENTS).bind(tenant).bind(message).bind(route).bind(super::copies::MESSAGE_UPDATED);
    for row in events.fetch_all(&mut *connection).await? {
        let event: &str = row.try_get(0)?;
        let mut content: serde_json::Value = from_json("content", row.try_get(1)?)?;
        erase_texts(&mut content);
        let empty = query(EMPTY).bind(tenant).bind(event).bind(to_json("content", &content)?);
        empty.execute(&mut *connection).await?;
        for row in query(DECISIONS).bind(tenant).bind(event).fetch_all(&mut *connection).await? {
            let decision: &str = row.try_get(0)?;
            let mut answer: serde_json::Value = from_json("answer", row.try_get(1)?)?;
            erase_evidence(&mut answer);
            let empty = query(EMPTY_DECISION).bind(tenant).bind(decision).bind(to_json("answer", &answer)?);
            empty.execute(&mut *connection).await?;
        }
        let payloads = query(PAYLOADS).bind(tenant).bind(event).fetch_all(&mut *connection).await?;
        for row in payloads {
            let (mode, version): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            let mut body: serde_json::Value = from_json("payload", row.try_get(2)?)?;
            erase_payload(&mut body);
            let empty = query(EMPTY_PAYLOAD).bind(tenant).bind(event).bind(mode).bind(version);
            empty.bind(to_json("payload", &body)?).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Notes how much is kept of copies that are being recorded.
pub(super) async fn note_kept(connection: &mut Connection, messages: &[MessageRow]) -> Result<(), StoreError> {
    const KEPT: &str = "INSERT INTO kept_copies (tenant_id, message_id, route_id, received_at, kept, held) ";
    let copies: Vec<_> =
        messages.iter().flat_map(|row| row.message.copies.iter().map(|copy| (&row.message, copy))).collect();
    rows::insert_unless(connection, KEPT, "ON CONFLICT DO NOTHING", &copies, |row, (message, copy)| {
        row.push_bind(message.tenant.to_string())
            .push_bind(message.id.to_string())
            .push_bind(copy.route.to_string())
            .push_bind(message.received_at.as_micros())
            .push_bind(copy.keep.as_str())
            .push_bind(copy.held);
    })
    .await?;
    Ok(())
}

/// Notes how much is kept of a copy that was held, now that it was decided on; what was taken away does not come again.
pub(super) async fn note_decided(
    connection: &mut Connection,
    row: &MessageRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    const KEPT: &str = "\
UPDATE kept_copies SET kept = $4 WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3 AND kept = 'raw'";
    let message = &row.message;
    for copy in &message.copies {
        let keep = query(KEPT).bind(message.tenant.to_string()).bind(message.id.to_string());
        keep.bind(copy.route.to_string()).bind(copy.keep.as_str()).execute(&mut *connection).await?;
    }
    if !message.copies.is_empty() {
        let (tenant, id) = (message.tenant.to_string(), message.id.to_string());
        erasures::queue_unread(connection, &tenant, &id, now).await?;
    }
    Ok(())
}
