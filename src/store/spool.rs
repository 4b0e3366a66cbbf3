//! Mail that was accepted into the database: bodies, and what waits to be read. The spool where there is no log of files.
//!
//! What waits is divided into lanes by tenant. A node reads a lane under a lease, in the order in which mail arrived, and
//! what it recorded leaves the queue in the same transaction ([`super::ingest`]); a node that lost its lease meanwhile
//! records nothing. So the mail of one tenant becomes events in order, once, whichever nodes work on it.

use std::time::Duration;

use tokio::sync::mpsc;

use super::sql::{Connection, Row, built, query};
use super::{Store, StoreError, TenantStore, from_id, rows};
use crate::clock::Timestamp;
use crate::ids::{MessageId, TenantId, WorkerId};

/// How many lanes there are, as in the schema.
const LANES: u32 = 64;
/// The lane of what no node could ever record: nobody reads it, and people are shown it.
const ASIDE: i64 = -1;
/// The lane of what awaits a verdict, or had none when the node stopped: nobody reads it, and nobody answered for it.
const AWAITING: i64 = -2;

/// A message to be accepted.
#[derive(Debug, Clone)]
pub struct NewAccepted {
    /// Its owner.
    pub tenant: TenantId,
    /// Our id.
    pub id: MessageId,
    /// Octets of its body.
    pub size: u64,
    /// SHA-256 of its body.
    pub sha256: [u8; 32],
    /// The manifest as JSON.
    pub manifest: String,
    /// The key of its body, sealed.
    pub sealed_key: Vec<u8>,
    /// Octets of the rows of its body: what sealing adds to it counts.
    pub stored: u64,
    /// Whether it is no message yet: it is kept where nobody reads it.
    pub is_awaiting: bool,
}

/// A message that waits to be read.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its owner.
    pub tenant: TenantId,
    /// Our id.
    pub id: MessageId,
    /// Octets of its body.
    pub size: u64,
    /// SHA-256 of its body.
    pub sha256: [u8; 32],
    /// In how many rows the body is.
    pub parts: u32,
    /// The manifest as JSON.
    pub manifest: String,
    /// The body as it is stored, where it is in one row and was asked for.
    pub body: Option<StoredBody>,
}

/// A body as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredBody {
    /// Its key, sealed; none where it is in the clear.
    pub sealed_key: Option<Vec<u8>>,
    /// Its rows, in their order.
    pub parts: Vec<Vec<u8>>,
}

/// A lane that this worker reads until its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    number: i64,
    worker: WorkerId,
}

impl Lane {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.number
    }
}

impl Store {
    /// Stores messages whose bodies are small, each with its one row, all of them or none; returns when they are durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: they do not count as stored, although they may be.
    pub async fn accept(&self, messages: Vec<(NewAccepted, Vec<u8>)>) -> Result<(), StoreError> {
        self.accept_with(move |connection| {
            Box::pin(async move {
                rows::insert_unless(connection, BODIES, AGAIN, &messages, |row, (message, body)| {
                    row.push_bind(message.tenant.to_string())
                        .push_bind(message.id.to_string())
                        .push_bind(0)
                        .push_bind(body.as_slice())
                        .push_bind(message.sealed_key.as_slice());
                })
                .await?;
                let queued: Vec<_> = messages.iter().map(|(message, _)| (message, 1)).collect();
                enqueue(connection, &queued).await
            })
        })
        .await
    }

    /// Stores a message whose body comes in parts; returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it does not count as stored, although it may be; also when the parts are not the whole.
    pub async fn accept_in_parts(
        &self,
        message: NewAccepted,
        mut parts: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        self.accept_with(move |connection| {
            Box::pin(async move {
                let (mut number, mut size) = (0_i64, 0_u64);
                while let Some(part) = parts.recv().await {
                    let part = part.map_err(sqlx::Error::Io)?;
                    size += part.len() as u64;
                    let key = (number == 0).then_some(message.sealed_key.as_slice());
                    let row = (message.tenant.to_string(), message.id.to_string(), number, part, key);
                    rows::insert_unless(connection, BODIES, AGAIN, &[row], |row, (tenant, id, number, part, key)| {
                        row.push_bind(tenant)
                            .push_bind(id)
                            .push_bind(*number)
                            .push_bind(part.as_slice())
                            .push_bind(*key);
                    })
                    .await?;
                    number += 1;
                }
                if size != message.stored {
                    return Err(StoreError::Unavailable(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())));
                }
                enqueue(connection, &[(&message, number)]).await
            })
        })
        .await
    }

    /// Makes a message of what awaited a verdict; returns when that is durable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there any more; [`StoreError::Unavailable`]: it does not count as stored.
    pub async fn accept_awaiting(&self, tenant: TenantId, id: MessageId, manifest: String) -> Result<(), StoreError> {
        const ACCEPT: &str =
            "UPDATE spool_queue SET lane = $3, manifest = $4 WHERE tenant_id = $1 AND message_id = $2 AND lane = $5";
        self.accept_with(move |connection| {
            Box::pin(async move {
                let accept = query(ACCEPT).bind(tenant.to_string()).bind(id.to_string()).bind(lane_of(tenant));
                let changed = accept.bind(manifest).bind(AWAITING).execute(connection).await?;
                if changed == 1 { Ok(()) } else { Err(StoreError::NotFound("message")) }
            })
        })
        .await
    }

    /// Removes what awaited a verdict and was refused.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn discard_awaiting(&self, tenant: TenantId, id: MessageId) -> Result<(), StoreError> {
        const LEAVE: &str = "DELETE FROM spool_queue WHERE tenant_id = $1 AND message_id = $2 AND lane = $3";
        const BODY: &str = "DELETE FROM spool_bodies WHERE tenant_id = $1 AND message_id = $2 \
AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.tenant_id = $1 AND m.message_id = $2)";
        self.write(move |connection| {
            Box::pin(async move {
                let (tenant, id) = (tenant.to_string(), id.to_string());
                let leave = query(LEAVE).bind(tenant.clone()).bind(id.clone()).bind(AWAITING);
                // Only what was never accepted has no further use for its bytes.
                if leave.execute(&mut *connection).await? == 1 {
                    query(BODY).bind(tenant).bind(id).execute(connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// A lane with mail that nobody reads now, the one that was read longest ago.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_lane(&self, worker: WorkerId, lease: Duration) -> Result<Option<Lane>, StoreError> {
        const FREE: &str = "\
SELECT lane FROM spool_lanes AS l WHERE lease_until <= $1
AND EXISTS (SELECT 1 FROM spool_queue AS q WHERE q.lane = l.lane) ORDER BY lease_until LIMIT 8";
        const CLAIM: &str =
            "UPDATE spool_lanes SET lease_owner = $2, lease_until = $3 WHERE lane = $1 AND lease_until <= $4";
        let now = self.clock.now();
        for row in query(FREE).bind(now.as_micros()).fetch_all(&self.readers).await? {
            let number: i64 = row.try_get(0)?;
            let claim = query(CLAIM)
                .bind(number)
                .bind(worker.to_string())
                .bind(now.plus(lease).as_micros())
                .bind(now.as_micros());
            // Another node may have been quicker.
            if self.write(move |connection| Box::pin(async move { Ok(claim.execute(connection).await?) })).await? == 1 {
                return Ok(Some(Lane { number, worker }));
            }
        }
        Ok(None)
    }

    /// Holds a lane longer.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when somebody else has it; [`StoreError::Unavailable`].
    pub async fn renew_lane(&self, lane: Lane, lease: Duration) -> Result<(), StoreError> {
        let until = self.clock.now().plus(lease);
        self.write(move |connection| Box::pin(hold_lane(connection, lane, until))).await
    }

    /// The oldest messages of a lane, `count` at most, with the bodies that are in one row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn queued_in(&self, lane: Lane, count: u32) -> Result<Vec<Queued>, StoreError> {
        const LIST: &str = "\
SELECT q.tenant_id, q.message_id, q.size, q.sha256, q.parts, q.manifest, b.content, b.sealed_key FROM spool_queue AS q
LEFT JOIN spool_bodies AS b ON b.tenant_id = q.tenant_id AND b.message_id = q.message_id AND b.part = 0 AND q.parts = 1
WHERE q.lane = $1 ORDER BY q.message_id LIMIT $2";
        let list = query(LIST).bind(lane.number).bind(i64::from(count));
        list.fetch_all(&self.readers).await?.iter().map(read_queued).collect()
    }

    /// All that waits behind `after` by id, `count` at most, without bodies: also what was set aside.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn queued_after(&self, after: &str, count: u32) -> Result<Vec<Queued>, StoreError> {
        const LIST: &str = "\
SELECT tenant_id, message_id, size, sha256, parts, manifest, NULL, NULL FROM spool_queue
WHERE message_id > $1 AND lane <> $3 ORDER BY message_id LIMIT $2";
        let list = query(LIST).bind(after).bind(i64::from(count)).bind(AWAITING);
        list.fetch_all(&self.readers).await?.iter().map(read_queued).collect()
    }

    /// Takes messages out of everybody's way that can never be recorded; they stay, and people are shown them.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::Unavailable`].
    pub async fn set_aside(&self, lane: Lane, messages: Vec<MessageId>) -> Result<(), StoreError> {
        const MOVE: &str = "UPDATE spool_queue SET lane = $1 WHERE lane = $2 AND message_id = $3";
        let now = self.clock.now();
        self.write(move |connection| {
            Box::pin(async move {
                hold_lane(connection, lane, now).await?;
                for id in messages {
                    let aside = query(MOVE).bind(ASIDE).bind(lane.number).bind(id.to_string());
                    aside.execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The lanes in which mail waits, each with when its oldest message was accepted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn oldest_queued(&self) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        // One look into an index for each lane, however much waits.
        const OLDEST: &str = "\
SELECT l.lane, (SELECT q.message_id FROM spool_queue AS q WHERE q.lane = l.lane ORDER BY q.message_id LIMIT 1)
FROM spool_lanes AS l";
        let mut oldest = Vec::new();
        for row in query(OLDEST).fetch_all(&self.readers).await? {
            if let Some(id) = row.try_get::<Option<&str>>(1)? {
                let millis = from_id::<MessageId>("message_id", id)?.unix_millis();
                let accepted = i64::try_from(millis.saturating_mul(1_000)).unwrap_or(i64::MAX);
                oldest.push((row.try_get(0)?, Timestamp::from_micros(accepted)));
            }
        }
        Ok(oldest)
    }

    /// An accepted body as it is stored; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn accepted_body(
        &self,
        tenant: TenantId,
        message: MessageId,
        parts: u32,
    ) -> Result<Option<StoredBody>, StoreError> {
        // One part at a time: the server builds each answer in its memory.
        const PART: &str =
            "SELECT content, sealed_key FROM spool_bodies WHERE tenant_id = $1 AND message_id = $2 AND part = $3";
        let (tenant, message) = (tenant.to_string(), message.to_string());
        let mut body = StoredBody::default();
        for part in 0..parts {
            let find = query(PART).bind(&tenant).bind(&message).bind(i64::from(part));
            let Some(row) = find.fetch_optional(&self.readers).await? else { return Ok(None) };
            body.parts.push(row.try_get(0)?);
            if part == 0 {
                body.sealed_key = row.try_get(1)?;
            }
        }
        Ok(Some(body))
    }
}

impl TenantStore {
    /// Whether a message is known: recorded, or waiting in the database. What waits in a log of files is not looked for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn knows_message(&self, id: MessageId) -> Result<bool, StoreError> {
        // In the order in which a message goes from the one to the other.
        const WAITING: &str = "SELECT 1 FROM spool_queue WHERE tenant_id = $1 AND message_id = $2 AND lane <> $3";
        const RECORDED: &str = "SELECT 1 FROM messages WHERE tenant_id = $1 AND message_id = $2";
        let (tenant, id) = (self.tenant.to_string(), id.to_string());
        let waiting = query(WAITING).bind(&tenant).bind(&id).bind(AWAITING);
        if waiting.fetch_optional(&self.store.readers).await?.is_some() {
            return Ok(true);
        }
        let recorded = query(RECORDED).bind(&tenant).bind(&id);
        Ok(recorded.fetch_optional(&self.store.readers).await?.is_some())
    }
}

const BODIES: &str = "INSERT INTO spool_bodies (tenant_id, message_id, part, content, sealed_key) ";
/// A call with an `Idempotency-Key` stores its message under the same id when it is made again, with the same bytes.
const AGAIN: &str = "ON CONFLICT DO NOTHING";

async fn enqueue(connection: &mut Connection, messages: &[(&NewAccepted, i64)]) -> Result<(), StoreError> {
    const QUEUE: &str = "INSERT INTO spool_queue (tenant_id, message_id, lane, size, sha256, parts, manifest) ";
    // What awaited a verdict when all ended (lane -2) was never answered for; now it is.
    const ANEW: &str = "ON CONFLICT (tenant_id, message_id) DO UPDATE SET lane = excluded.lane, \
manifest = excluded.manifest WHERE spool_queue.lane = -2";
    rows::insert_unless(connection, QUEUE, ANEW, messages, |row, (message, parts)| {
        row.push_bind(message.tenant.to_string())
            .push_bind(message.id.to_string())
            .push_bind(if message.is_awaiting { AWAITING } else { lane_of(message.tenant) })
            .push_bind(message.size.cast_signed())
            .push_bind(message.sha256.as_slice())
            .push_bind(*parts)
            .push_bind(message.manifest.as_str());
    })
    .await?;
    Ok(())
}

/// Holds a lane until `until`, which may be now: then the others may have it.
async fn hold_lane(connection: &mut Connection, lane: Lane, until: Timestamp) -> Result<(), StoreError> {
    const HOLD: &str = "UPDATE spool_lanes SET lease_until = $3 WHERE lane = $1 AND lease_owner = $2";
    let hold = query(HOLD).bind(lane.number).bind(lane.worker.to_string()).bind(until.as_micros());
    if hold.execute(connection).await? == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
}

/// Takes what was recorded out of the queue and gives the lane to whoever is next, in the recording transaction.
pub(super) async fn leave_queue(
    connection: &mut Connection,
    lane: Lane,
    messages: &[MessageId],
    now: Timestamp,
) -> Result<(), StoreError> {
    hold_lane(connection, lane, now).await?;
    let mut removed = 0;
    for chunk in rows::chunks(messages) {
        let places: Vec<String> = (2..chunk.len() + 2).map(|place| format!("${place}")).collect();
        let sql = format!("DELETE FROM spool_queue WHERE lane = $1 AND message_id IN ({})", places.join(", "));
        let mut remove = built(sql).bind(lane.number);
        for id in chunk {
            remove = remove.bind(id.to_string());
        }
        removed += remove.execute(&mut *connection).await?;
    }
    // Nobody else may take anything out of a lane that is held.
    if removed == messages.len() as u64 { Ok(()) } else { Err(StoreError::LeaseLost) }
}

/// The same for all mail of a tenant.
fn lane_of(tenant: TenantId) -> i64 {
    i64::from(crc32fast::hash(tenant.to_string().as_bytes()) % LANES)
}

fn read_queued(row: &Row) -> Result<Queued, StoreError> {
    let content = row.try_get::<Option<Vec<u8>>>(6)?;
    let sealed_key = row.try_get(7)?;
    let unreadable = |what| StoreError::Unreadable { what, detail: "not of the length it must have".to_owned() };
    Ok(Queued {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("message_id", row.try_get(1)?)?,
        size: row.try_get::<i64>(2)?.cast_unsigned(),
        sha256: row.try_get::<&[u8]>(3)?.try_into().map_err(|_| unreadable("sha256"))?,
        parts: u32::try_from(row.try_get::<i64>(4)?).map_err(|_| unreadable("parts"))?,
        manifest: row.try_get(5)?,
        body: content.map(|content| StoredBody { sealed_key, parts: vec![content] }),
    })
}
