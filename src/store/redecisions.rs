//! Held copies that are decided on again: which there are and why, which of them somebody asked for, and what came of it.
//!
//! What is asked for is a row, which goes in the transaction that records what was decided: a crash before it leads to the
//! copy being read again, after it never. Nothing here believes a copy; that is judged anew by whoever reads it.

use std::time::Duration;

use super::ingest::{Kept, NewMessage, Sorted, record_with_copies, without_copies};
use super::sql::{Connection, Row, query};
use super::{Store, StoreError, TenantStore, dialect, from_id, from_json, retention, sent, to_json};
use crate::clock::{Clock, Timestamp};
use crate::ids::{MessageId, RouteId, TenantId};
use crate::mail::marks::Mark;

/// Held copies that one call asks for at most, so that the database's one writer is soon free again.
pub const AT_ONCE: u32 = 10_000;
/// After trouble a copy is looked at again no sooner than this.
const AGAIN: Duration = Duration::from_secs(60);

/// Copies of a route that are held for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFor {
    /// The reason's public word.
    pub reason: String,
    /// How many copies.
    pub copies: u64,
    /// How many of them are to be decided on again.
    pub waiting: u64,
    /// When the first came.
    pub first_at: Timestamp,
    /// When the last came.
    pub last_at: Timestamp,
}

/// Which of a route's held copies are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCopies {
    /// Those that came then or later.
    pub from: Timestamp,
    /// And before this.
    pub to: Timestamp,
    /// And are held for this reason; `None`: for any.
    pub reason: Option<String>,
}

/// A held copy that is to be decided on again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redecision {
    /// Whose it is.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageId,
    /// At which route.
    pub route: RouteId,
    /// Who asked for it: `operator`, or the id of a key.
    pub asked_by: String,
    /// Whether the operator lets it pass although it came back in a delivery report.
    pub is_released: bool,
}

/// What came of a copy that was decided on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redecided {
    /// It is believed now, or left out; so many events were recorded, none where it is a copy of an earlier message.
    Decided(usize),
    /// It is held for this reason.
    Held(&'static str),
    /// It is held as it was: it cannot be read, or its route takes no copies any more.
    Unchanged,
    /// Another node was quicker, or it was decided on already.
    Done,
}

impl TenantStore {
    /// Why copies of a route are held, those of the most copies first. Only those that can still be read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn held_copies(&self, route: RouteId, wanted: &HeldCopies) -> Result<Vec<HeldFor>, StoreError> {
        const LIST: &str = "\
SELECT k.held, COUNT(*), COUNT(r.message_id), MIN(k.received_at), MAX(k.received_at) FROM kept_copies AS k
LEFT JOIN redecisions AS r ON r.tenant_id = k.tenant_id AND r.message_id = k.message_id AND r.route_id = k.route_id
WHERE k.tenant_id = $1 AND k.route_id = $2 AND k.held IS NOT NULL AND k.kept = 'raw' AND k.received_at >= $3
AND k.received_at < $4 AND ($5 = '' OR k.held = $5) GROUP BY k.held ORDER BY COUNT(*) DESC, k.held";
        let list = query(LIST).bind(self.tenant.to_string()).bind(route.to_string());
        let list = list.bind(wanted.from.as_micros()).bind(wanted.to.as_micros());
        let rows = list.bind(wanted.reason.clone().unwrap_or_default()).fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(HeldFor {
                reason: row.try_get(0)?,
                copies: row.try_get::<i64>(1)?.cast_unsigned(),
                waiting: row.try_get::<i64>(2)?.cast_unsigned(),
                first_at: Timestamp::from_micros(row.try_get(3)?),
                last_at: Timestamp::from_micros(row.try_get(4)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Asks for held copies of a route to be decided on again, the oldest first and [`AT_ONCE`] at most; whether there may be
    /// more. Those that wait for it already stay as they are; the record of a copy that was refused is never asked for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the route takes no copies.
    pub async fn ask_again(&self, route: RouteId, wanted: HeldCopies, asked_by: String) -> Result<bool, StoreError> {
        const TAKES: &str = "\
SELECT 1 FROM routes WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning')";
        const ASK: &str = "\
INSERT INTO redecisions (tenant_id, message_id, route_id, asked_at, asked_by, due_at, released)
SELECT k.tenant_id, k.message_id, k.route_id, $6, $7, $6, 0 FROM kept_copies AS k
WHERE k.tenant_id = $1 AND k.route_id = $2 AND k.held IS NOT NULL AND k.held <> 'too_large' AND k.kept = 'raw'
AND k.received_at >= $3 AND k.received_at < $4 AND ($5 = '' OR k.held = $5)
AND NOT EXISTS (SELECT 1 FROM redecisions AS r WHERE r.tenant_id = k.tenant_id AND r.message_id = k.message_id
    AND r.route_id = k.route_id)
ORDER BY k.received_at LIMIT $8 ON CONFLICT DO NOTHING";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        let asked = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let takes = query(TAKES).bind(&tenant).bind(route.to_string());
                    if takes.fetch_optional(&mut *connection).await?.is_none() {
                        return Ok(None);
                    }
                    let ask = query(ASK).bind(tenant).bind(route.to_string());
                    let ask = ask.bind(wanted.from.as_micros()).bind(wanted.to.as_micros());
                    let ask = ask.bind(wanted.reason.unwrap_or_default()).bind(now.as_micros()).bind(asked_by);
                    Ok::<_, StoreError>(Some(ask.bind(i64::from(AT_ONCE)).execute(connection).await?))
                })
            })
            .await?;
        match asked {
            Some(count) => Ok(count >= u64::from(AT_ONCE)),
            None => Err(self.refusal(route, "only a route that takes copies can have them decided on again").await?),
        }
    }

    /// Lets one copy pass that is held because it came back in a delivery report: it is decided on again without that doubt.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the route has no such copy; [`StoreError::Conflict`] where it is not held for that
    /// reason, or the route takes no copies.
    pub async fn release_returned(
        &self,
        route: RouteId,
        message: MessageId,
        asked_by: String,
    ) -> Result<(), StoreError> {
        const FIND: &str = "\
SELECT k.held, r.state FROM kept_copies AS k JOIN routes AS r ON r.tenant_id = k.tenant_id AND r.route_id = k.route_id
WHERE k.tenant_id = $1 AND k.message_id = $2 AND k.route_id = $3";
        const RELEASE: &str = "\
INSERT INTO redecisions (tenant_id, message_id, route_id, asked_at, asked_by, due_at, released) VALUES ($1, $2, $3, $4, $5, $4, 1)
ON CONFLICT (tenant_id, message_id, route_id) DO UPDATE SET
    asked_at = excluded.asked_at, asked_by = excluded.asked_by, due_at = excluded.due_at, released = 1";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let find = query(FIND).bind(&tenant).bind(message.to_string()).bind(route.to_string());
                    let found = find.fetch_optional(&mut *connection).await?;
                    let found = found.ok_or(StoreError::NotFound("copy of this route"))?;
                    if found.try_get::<Option<&str>>(0)? != Some(RETURNED) {
                        return Err(StoreError::Conflict(
                            "only a copy that is held as returned_report can be released",
                        ));
                    }
                    if !["active", "learning"].contains(&found.try_get::<&str>(1)?) {
                        return Err(StoreError::Conflict("only a route that takes copies can have them released"));
                    }
                    let release = query(RELEASE).bind(tenant).bind(message.to_string()).bind(route.to_string());
                    release.bind(now.as_micros()).bind(asked_by).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The marks of a copy that is held at a route, where they were kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn marks_of(&self, route: RouteId, message: MessageId) -> Result<Option<Vec<Mark>>, StoreError> {
        const FIND: &str = "\
SELECT marks FROM held_copies WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3";
        let find = query(FIND).bind(self.tenant.to_string()).bind(message.to_string()).bind(route.to_string());
        let row = find.fetch_optional(&self.store.readers).await?;
        row.map(|row| from_json("marks", row.try_get(0)?)).transpose()
    }
}

/// The word for a copy that came back in a delivery report.
const RETURNED: &str = "returned_report";

impl Store {
    /// Held copies that are to be decided on again, those first that have been due longest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn redecisions(&self, limit: u32) -> Result<Vec<Redecision>, StoreError> {
        const LIST: &str = "\
SELECT tenant_id, message_id, route_id, asked_by, released FROM redecisions WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
        let list = query(LIST).bind(self.clock.now().as_micros()).bind(i64::from(limit));
        let rows = list.fetch_all(&self.readers).await?;
        let read = |row: &Row| {
            Ok(Redecision {
                tenant: from_id("tenant_id", row.try_get(0)?)?,
                message: from_id("message_id", row.try_get(1)?)?,
                route: from_id("route_id", row.try_get(2)?)?,
                asked_by: row.try_get(3)?,
                is_released: row.try_get::<i64>(4)? != 0,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Records what was decided on a held copy, as it was read again for its route alone; `None`: it stays as it is. Nothing
    /// where another node was quicker.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was recorded.
    pub async fn record_redecision(
        &self,
        asked: &Redecision,
        message: Option<NewMessage>,
    ) -> Result<Redecided, StoreError> {
        const TAKE: &str = "DELETE FROM redecisions WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3";
        let (clock, tenant, id, route) = (self.clock.clone(), asked.tenant, asked.message, asked.route);
        let recorded = self
            .write(move |connection| {
                Box::pin(async move {
                    dialect::lock_tenants(connection, [tenant]).await?;
                    let take = query(TAKE).bind(tenant.to_string()).bind(id.to_string()).bind(route.to_string());
                    if take.execute(&mut *connection).await? == 0 {
                        return Ok(Redecided::Done);
                    }
                    match message.filter(|message| message.tenant == tenant && message.id == id) {
                        Some(message) => settle(connection, &clock, route, message).await,
                        None => Ok(Redecided::Unchanged),
                    }
                })
            })
            .await?;
        self.note_events();
        Ok(recorded)
    }

    /// Has a held copy decided on later, since there was trouble.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn put_off_redecision(&self, asked: &Redecision) -> Result<(), StoreError> {
        const PUT_OFF: &str =
            "UPDATE redecisions SET due_at = $4 WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3";
        let (tenant, id, route) = (asked.tenant.to_string(), asked.message.to_string(), asked.route.to_string());
        let due_at = self.clock.now().plus(AGAIN);
        self.write(move |connection| {
            Box::pin(async move {
                let put_off = query(PUT_OFF).bind(tenant).bind(id).bind(route).bind(due_at.as_micros());
                put_off.execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

/// Records what a message is at `route`, where it is held there: its events where it is believed now, or why it is held.
/// The tenant is locked.
pub(super) async fn settle(
    connection: &mut Connection,
    clock: &Clock,
    route: RouteId,
    message: NewMessage,
) -> Result<Redecided, StoreError> {
    const IS_HELD: &str = "\
SELECT 1 FROM kept_copies WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3 AND held IS NOT NULL";
    const SETTLE: &str = "\
UPDATE kept_copies SET held = $4 WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3 AND held IS NOT NULL";
    // What another route believes, or has left out, is that.
    const RELEASE: &str = "\
UPDATE messages SET state = $3, reason = $4, duplicate_of = $5, manifest = $6, trace = COALESCE($7, trace)
WHERE tenant_id = $1 AND message_id = $2 AND state = 'held'";
    let (tenant, id) = (message.tenant.to_string(), message.id.to_string());
    let is_held = query(IS_HELD).bind(&tenant).bind(&id).bind(route.to_string());
    if is_held.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(Redecided::Done);
    }
    let copy = message.copies.iter().find(|copy| copy.route == route).cloned();
    let held = copy.as_ref().and_then(|copy| copy.held);
    let settle = query(SETTLE).bind(&tenant).bind(&id).bind(route.to_string()).bind(held);
    settle.execute(&mut *connection).await?;
    if let Some(Kept::Held(reason)) = &message.kept {
        stay_held(connection, &message, route, reason).await?;
        return Ok(Redecided::Held(reason));
    }
    const DECIDED: &str = "\
UPDATE held_copies SET state = 'decided' WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3";
    if held.is_none() {
        let decided = query(DECIDED).bind(&tenant).bind(&id).bind(route.to_string());
        decided.execute(&mut *connection).await?;
    }
    if copy.is_some_and(|copy| copy.tests_connector) {
        super::watch::note_connector_test(connection, message.tenant, route, message.received_at).await?;
    }
    let Sorted { mut messages, events, copies, sent } = without_copies(connection, vec![message]).await?;
    let (Some(row), count) = (messages.pop(), events.len()) else { return Ok(Redecided::Done) };
    let release = query(RELEASE).bind(tenant).bind(id).bind(row.state).bind(row.reason).bind(row.duplicate_of.clone());
    release.bind(row.message.manifest.clone()).bind(row.message.trace.clone()).execute(&mut *connection).await?;
    retention::note_decided(connection, &row, clock.now()).await?;
    let told = sent::told(&events);
    record_with_copies(connection, clock, events, copies).await?;
    sent::record(connection, clock.now(), sent, told).await?;
    Ok(Redecided::Decided(count))
}

/// Notes why a copy is held now, and its marks where they decide about it.
async fn stay_held(
    connection: &mut Connection,
    message: &NewMessage,
    route: RouteId,
    reason: &'static str,
) -> Result<(), StoreError> {
    const NOTE: &str = "\
UPDATE messages SET reason = $3, trace = COALESCE($4, trace) WHERE tenant_id = $1 AND message_id = $2 AND state = 'held'";
    const MARKS: &str = "\
INSERT INTO held_copies (tenant_id, message_id, route_id, received_at, marks, state) VALUES ($1, $2, $3, $4, $5, 'held')
ON CONFLICT (tenant_id, message_id, route_id) DO UPDATE SET marks = excluded.marks WHERE held_copies.state = 'held'";
    let (tenant, id) = (message.tenant.to_string(), message.id.to_string());
    let note = query(NOTE).bind(&tenant).bind(&id).bind(reason).bind(message.trace.clone());
    note.execute(&mut *connection).await?;
    let marks = message.copies.iter().find(|copy| copy.route == route).and_then(|copy| copy.marks.as_ref());
    if let Some(marks) = marks {
        let keep = query(MARKS).bind(tenant).bind(id).bind(route.to_string()).bind(message.received_at.as_micros());
        keep.bind(to_json("marks", marks)?).execute(connection).await?;
    }
    Ok(())
}
