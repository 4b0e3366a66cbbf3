//! Bodies that nobody may read any more, until a worker has erased them in the spool.
//!
//! A row is made in the transaction that makes a body unreadable, so that no crash leaves one behind. A worker claims rows
//! under a lease, erases, and notes it; who is cut off in between does so again, which does no harm. While one of a message's
//! routes is on legal hold its rows are not claimed, and what was claimed before ends before the hold begins.

use std::time::Duration;

use super::ingest::MessageRow;
use super::sql::{Connection, Row, query};
use super::{Store, StoreError, dialect, from_id, rows};
use crate::clock::Timestamp;
use crate::ids::{MessageId, TenantId};
use crate::mail::retention::Keep;

/// A body that this worker is to erase now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Whose it is.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageId,
    /// Where its bytes are, as JSON.
    pub body: String,
    /// How often that was tried, this time included.
    pub attempts: u32,
    place: Vec<u8>,
    due_at: Timestamp,
}

/// The wait after an attempt doubles up to this many times.
const DOUBLED: u32 = 10;

impl Store {
    /// Takes up to `limit` bodies to erase, the longest due first. Who does not note within `lease` that a body is erased
    /// has it, or another worker has it, to do again; later with every attempt.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_erasures(&self, limit: u32, lease: Duration) -> Result<Vec<Erasure>, StoreError> {
        const DUE: &str = "\
SELECT e.tenant_id, e.message_id, e.place, e.body, e.due_at, e.attempts FROM body_erasures AS e
WHERE e.erased_at IS NULL AND e.due_at <= $1
AND NOT EXISTS (SELECT 1 FROM kept_copies AS k JOIN routes AS r ON r.tenant_id = k.tenant_id AND r.route_id = k.route_id
WHERE k.tenant_id = e.tenant_id AND k.message_id = e.message_id AND (k.kept = 'raw' OR r.legal_hold = 1))
ORDER BY e.due_at LIMIT $2";
        const CLAIM: &str = "\
UPDATE body_erasures SET due_at = $5, attempts = attempts + 1
WHERE tenant_id = $1 AND message_id = $2 AND place = $3 AND due_at = $4 AND erased_at IS NULL
AND NOT EXISTS (SELECT 1 FROM kept_copies AS k JOIN routes AS r ON r.tenant_id = k.tenant_id AND r.route_id = k.route_id
WHERE k.tenant_id = $1 AND k.message_id = $2 AND (k.kept = 'raw' OR r.legal_hold = 1))";
        let now = self.clock.now();
        let due = query(DUE).bind(now.as_micros()).bind(i64::from(limit)).fetch_all(&self.readers).await?;
        let due: Vec<Erasure> = due.iter().map(read).collect::<Result<_, _>>()?;
        if due.is_empty() {
            return Ok(due);
        }
        self.write(move |connection| {
            Box::pin(async move {
                dialect::lock_tenants(connection, due.iter().map(|erasure| erasure.tenant)).await?;
                let mut claimed = Vec::with_capacity(due.len());
                for erasure in due {
                    let wait = lease.saturating_mul(1 << (erasure.attempts - 1).min(DOUBLED));
                    let claim = query(CLAIM).bind(erasure.tenant.to_string()).bind(erasure.message.to_string());
                    let claim = claim.bind(erasure.place.as_slice()).bind(erasure.due_at.as_micros());
                    if claim.bind(now.plus(wait).as_micros()).execute(&mut *connection).await? == 1 {
                        claimed.push(erasure);
                    }
                }
                Ok(claimed)
            })
        })
        .await
    }

    /// Notes that a body is erased; `nowhere` is what stands in the place of where it was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it is erased again.
    pub async fn note_erased(&self, erasure: Erasure, nowhere: String) -> Result<(), StoreError> {
        const NOTE: &str = "\
UPDATE body_erasures SET erased_at = $4, body = NULL WHERE tenant_id = $1 AND message_id = $2 AND place = $3";
        const FORGET: &str = "UPDATE messages SET body = $4 WHERE tenant_id = $1 AND message_id = $2 AND body = $3";
        let now = self.clock.now();
        self.write(move |connection| {
            Box::pin(async move {
                let (tenant, message) = (erasure.tenant.to_string(), erasure.message.to_string());
                let note = query(NOTE).bind(&tenant).bind(&message).bind(erasure.place.as_slice());
                note.bind(now.as_micros()).execute(&mut *connection).await?;
                let forget = query(FORGET).bind(tenant).bind(message).bind(erasure.body).bind(nowhere);
                forget.execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Removes the rows of an accepted body; once more does no harm.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while the same message waits to be read once more; [`StoreError::Unavailable`].
    pub async fn erase_accepted(&self, tenant: TenantId, message: MessageId) -> Result<(), StoreError> {
        const WAITS: &str = "SELECT 1 FROM spool_queue WHERE tenant_id = $1 AND message_id = $2";
        const BODY: &str = "DELETE FROM spool_bodies WHERE tenant_id = $1 AND message_id = $2";
        self.write(move |connection| {
            Box::pin(async move {
                let (tenant, message) = (tenant.to_string(), message.to_string());
                let waits = query(WAITS).bind(&tenant).bind(&message);
                if waits.fetch_optional(&mut *connection).await?.is_some() {
                    return Err(StoreError::Conflict("the message waits to be read once more"));
                }
                query(BODY).bind(tenant).bind(message).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

const QUEUE: &str = "INSERT INTO body_erasures (tenant_id, message_id, place, body, due_at) ";
/// A body may come again under its id: a call with an `Idempotency-Key` that was made again.
const AGAIN: &str = "\
ON CONFLICT (tenant_id, message_id, place) DO UPDATE SET body = excluded.body, due_at = excluded.due_at, attempts = 0, erased_at = NULL";

fn place_of(body: &str) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, body.as_bytes()).as_ref().to_vec()
}

/// Has the bodies of messages erased that are being recorded, where no route keeps them.
pub(super) async fn queue_recorded(
    connection: &mut Connection,
    messages: &[MessageRow],
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_unread = |row: &&MessageRow| {
        !row.message.copies.is_empty() && row.message.copies.iter().all(|copy| copy.keep != Keep::Raw)
    };
    let unread: Vec<_> =
        messages.iter().filter(is_unread).map(|row| (&row.message, place_of(&row.message.body))).collect();
    rows::insert_unless(connection, QUEUE, AGAIN, &unread, |row, (message, place)| {
        row.push_bind(message.tenant.to_string())
            .push_bind(message.id.to_string())
            .push_bind(place.as_slice())
            .push_bind(message.body.clone())
            .push_bind(now.as_micros());
    })
    .await?;
    Ok(())
}

/// Has the body of a message erased that was recorded before, once no route keeps it.
pub(super) async fn queue_unread(
    connection: &mut Connection,
    tenant: &str,
    message: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    const BODY: &str = "\
SELECT m.body FROM messages AS m WHERE m.tenant_id = $1 AND m.message_id = $2
AND NOT EXISTS (SELECT 1 FROM kept_copies AS k WHERE k.tenant_id = $1 AND k.message_id = $2 AND k.kept = 'raw')
AND NOT EXISTS (SELECT 1 FROM body_erasures AS e WHERE e.tenant_id = $1 AND e.message_id = $2)";
    let find = query(BODY).bind(tenant).bind(message);
    let Some(row) = find.fetch_optional(&mut *connection).await? else { return Ok(()) };
    let body: String = row.try_get(0)?;
    let queued = [(tenant.to_owned(), message.to_owned(), place_of(&body), body)];
    rows::insert_unless(connection, QUEUE, AGAIN, &queued, |row, (tenant, message, place, body)| {
        row.push_bind(tenant.clone())
            .push_bind(message.clone())
            .push_bind(place.as_slice())
            .push_bind(body.clone())
            .push_bind(now.as_micros());
    })
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Erasure, StoreError> {
    Ok(Erasure {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        message: from_id("message_id", row.try_get(1)?)?,
        place: row.try_get(2)?,
        body: row.try_get::<Option<String>>(3)?.unwrap_or_default(),
        due_at: Timestamp::from_micros(row.try_get(4)?),
        attempts: u32::try_from(row.try_get::<i64>(5)?).unwrap_or(u32::MAX).saturating_add(1),
    })
}
