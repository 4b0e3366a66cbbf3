//! Routes that learn: the marks of copies that are held, and what is decided once somebody has confirmed them.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::ingest::NewMessage;
use super::redecisions::{Redecided, settle};
use super::sql::{Row, query};
use super::{Store, StoreError, TenantStore, dialect, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::ids::{MessageId, RouteId, TenantId};
use crate::mail::marks::Mark;

/// Copies of one route that carry the same marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMarks {
    /// The marks.
    pub marks: Vec<Mark>,
    /// How many copies are held.
    pub held: u64,
    /// When the first came.
    pub first_at: Timestamp,
    /// When the last came.
    pub last_at: Timestamp,
}

/// A held copy whose marks were confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    /// Whose it is.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageId,
    /// For which route.
    pub route: RouteId,
}

impl TenantStore {
    /// Has a route learn marks until `until`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] where it takes no copies.
    pub async fn learn_route(&self, id: RouteId, until: Timestamp) -> Result<(), StoreError> {
        const LEARN: &str = "\
UPDATE routes SET state = 'learning', state_since = $3, learning_until = $4
WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning')";
        let now = self.store.clock.now();
        let learn = query(LEARN).bind(self.tenant.to_string()).bind(id.to_string());
        let learn = learn.bind(now.as_micros()).bind(until.as_micros());
        let detail = json!({ "until": until.to_string() });
        match self.change_on_log(id, learn, "route.learning", detail).await? {
            true => Ok(()),
            false => Err(self.refusal(id, "only a route that takes copies can learn").await?),
        }
    }

    /// The marks of the copies that are held for a route, those of the most copies first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn held_marks(&self, route: RouteId) -> Result<Vec<HeldMarks>, StoreError> {
        const LIST: &str = "\
SELECT marks, COUNT(*), MIN(received_at), MAX(received_at) FROM held_copies
WHERE tenant_id = $1 AND route_id = $2 AND state = 'held' GROUP BY marks ORDER BY COUNT(*) DESC, marks LIMIT 100";
        let list = query(LIST).bind(self.tenant.to_string()).bind(route.to_string());
        let rows = list.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(HeldMarks {
                marks: from_json("marks", row.try_get(0)?)?,
                held: row.try_get::<i64>(1)?.cast_unsigned(),
                first_at: Timestamp::from_micros(row.try_get(2)?),
                last_at: Timestamp::from_micros(row.try_get(3)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Pins marks for a route, ends its learning, and has the held copies that carry exactly these marks decided on; how
    /// many these are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] where the route takes no copies, or no marks are given.
    pub async fn confirm_marks(&self, id: RouteId, marks: &[Mark]) -> Result<u64, StoreError> {
        const PIN: &str = "\
UPDATE routes SET marks = $4, state = 'active', state_since = $3, learning_until = NULL
WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning')";
        const CONFIRM: &str = "\
UPDATE held_copies SET state = 'confirmed' WHERE tenant_id = $1 AND route_id = $2 AND marks = $3 AND state = 'held'";
        if marks.is_empty() {
            return Err(StoreError::Conflict("copies without marks can be anybody's of that network"));
        }
        let (owner, now, who) = (self.tenant, self.store.clock.now(), self.who.clone());
        let (tenant, told, marks) = (owner.to_string(), json!(marks), to_json("marks", &marks)?);
        let confirmed = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let pin = query(PIN).bind(&tenant).bind(id.to_string()).bind(now.as_micros()).bind(&marks);
                    if pin.execute(&mut *connection).await? == 0 {
                        return Ok(None);
                    }
                    let confirm = query(CONFIRM).bind(tenant).bind(id.to_string()).bind(marks);
                    let released = confirm.execute(&mut *connection).await?;
                    let detail = json!({ "marks": told, "copies": released });
                    let entry = NewEntry::new(who, "route.confirmed", id, detail);
                    append(connection, owner, now, vec![entry]).await?;
                    Ok::<_, StoreError>(Some(released))
                })
            })
            .await?;
        match confirmed {
            Some(count) => Ok(count),
            None => Err(self.refusal(id, "only a route that takes copies can have marks").await?),
        }
    }
}

impl Store {
    /// Held copies whose marks were confirmed, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn confirmed_copies(&self, limit: u32) -> Result<Vec<Confirmed>, StoreError> {
        const LIST: &str = "\
SELECT tenant_id, message_id, route_id FROM held_copies WHERE state = 'confirmed' ORDER BY received_at LIMIT $1";
        let rows = query(LIST).bind(i64::from(limit)).fetch_all(&self.readers).await?;
        let read = |row: &Row| {
            Ok(Confirmed {
                tenant: from_id("tenant_id", row.try_get(0)?)?,
                message: from_id("message_id", row.try_get(1)?)?,
                route: from_id("route_id", row.try_get(2)?)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Records what was decided on a copy that was held: its events where it is believed now; where it is held for another
    /// reason, that. Nothing where another node was quicker. How many events were recorded.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was recorded.
    pub async fn release_copy(&self, copy: Confirmed, message: Option<NewMessage>) -> Result<usize, StoreError> {
        const DECIDED: &str = "\
UPDATE held_copies SET state = 'decided' WHERE tenant_id = $1 AND message_id = $2 AND route_id = $3 AND state = 'confirmed'";
        let clock = self.clock.clone();
        let recorded = self
            .write(move |connection| {
                Box::pin(async move {
                    dialect::lock_tenants(connection, [copy.tenant]).await?;
                    let (tenant, id) = (copy.tenant.to_string(), copy.message.to_string());
                    let decided = query(DECIDED).bind(&tenant).bind(&id).bind(copy.route.to_string());
                    let Some(message) = message.filter(|message| message.tenant == copy.tenant) else {
                        decided.execute(connection).await?;
                        return Ok(0);
                    };
                    if decided.execute(&mut *connection).await? == 0 {
                        return Ok(0);
                    }
                    match settle(connection, &clock, copy.route, message).await? {
                        Redecided::Decided(count) => Ok(count),
                        Redecided::Held(_) | Redecided::Unchanged | Redecided::Done => Ok(0),
                    }
                })
            })
            .await?;
        self.note_events();
        Ok(recorded)
    }
}
