//! Recording mail: messages that were read from the spool, the events that they became, and how far the spool was read,
//! in one transaction. A crash before its commit leads to the same messages being read again; after it, never.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::copies::{self, Copy};
use super::events::{NewEvent, record};
use super::sent::{self, Known, SentCopy};
use super::spool::{self, Lane};
use super::sql::{Connection, Query, Row, query};
use super::watch::Alarm;
use super::{Store, StoreError, TenantStore, dialect, erasures, from_id, handoffs, retention, rows, watch};
use crate::clock::{Clock, Timestamp};
use crate::ids::{MessageId, RouteId, TenantId, ThreadId};
use crate::mail::marks::Mark;
use crate::mail::retention::Keep;

/// A message and what became of it.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its owner.
    pub tenant: TenantId,
    /// Our id.
    pub id: MessageId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Octets.
    pub size: u64,
    /// The manifest as JSON.
    pub manifest: String,
    /// Where the bytes are, as JSON.
    pub body: String,
    /// Its trace and the results of its authentication as JSON; `None` where nobody looked at it.
    pub trace: Option<String>,
    /// Why it makes no events: held or poisoned.
    pub kept: Option<Kept>,
    /// One for each mailbox or route that it reached.
    pub views: Vec<NewView>,
    /// The routes that it reached.
    pub copies: Vec<NewCopy>,
}

/// A message that reached a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCopy {
    /// The route.
    pub route: RouteId,
    /// Its marks, where it came from a network that is everybody's and is not believed.
    pub marks: Option<Vec<Mark>>,
    /// How much of it can be read from now on.
    pub keep: Keep,
    /// What somebody should look at.
    pub alarm: Option<Alarm>,
    /// Whether it is the mail system's test of its connector.
    pub tests_connector: bool,
    /// Why it, or one of several messages in it, is not believed there: a public word.
    pub held: Option<&'static str>,
}

/// Why a message is stored and makes no events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Not believed: a public word says why.
    Held(&'static str),
    /// Its author's domain does not stand behind it, and its mailboxes ask for that: a public word says more.
    Quarantined(&'static str),
    /// It could not be processed; it is never dropped and can be tried again.
    Poisoned(&'static str),
    /// Its route takes no notice of it: a public word says why.
    Excluded(&'static str),
}

impl Kept {
    /// Its state, and the public word that says more.
    #[must_use]
    pub const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Held(reason) => ("held", *reason),
            Self::Quarantined(reason) => ("quarantined", *reason),
            Self::Poisoned(reason) => ("poisoned", *reason),
            Self::Excluded(reason) => ("excluded", *reason),
        }
    }
}

/// A message as one mailbox or route sees it.
#[derive(Debug, Clone)]
pub struct NewView {
    /// Mailbox or route.
    pub scope: String,
    /// Same message, same key.
    pub copy_key: [u8; 32],
    /// Same Message-ID, same key; `None` without one.
    pub id_key: Option<[u8; 32]>,
    /// The event, unless this is a copy of one that came before.
    pub event: NewEvent,
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpoolCursor {
    /// Segment.
    pub segment: u64,
    /// Octets into it.
    pub position: u64,
}

/// What a recording transaction moves on, so that the same mail is not recorded again.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The place in a log.
    Log {
        /// The log's name.
        log: Arc<str>,
        /// Behind the last message of the batch.
        cursor: SpoolCursor,
    },
    /// A lane of the queue in the database.
    Lane {
        /// The lane, which is free again afterwards.
        lane: Lane,
        /// What leaves the queue.
        done: Vec<MessageId>,
    },
}

/// Months for which a copy is recognised: 400 days and a bit.
const BUCKETS: i64 = 14;
/// A bucket of `copy_keys`, in microseconds.
const BUCKET_MICROS: i64 = 30 * 24 * 3600 * 1_000_000;

impl Store {
    /// How far the log of this name was read; `None` when nothing of it was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn spool_cursor(&self, log: &str) -> Result<Option<SpoolCursor>, StoreError> {
        const FIND: &str = "SELECT segment, position FROM spool_cursors WHERE node = $1";
        self.cursor(query(FIND).bind(log)).await
    }

    /// The farthest place that was read of any log that this database knew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn farthest_spool_cursor(&self) -> Result<Option<SpoolCursor>, StoreError> {
        const FIND: &str = "SELECT segment, position FROM spool_cursors ORDER BY segment DESC, position DESC LIMIT 1";
        self.cursor(query(FIND)).await
    }

    async fn cursor(&self, find: Query<'_>) -> Result<Option<SpoolCursor>, StoreError> {
        let row = find.fetch_optional(&self.readers).await?;
        let read = |row: Row| {
            Ok(SpoolCursor {
                segment: row.try_get::<i64>(0)?.cast_unsigned(),
                position: row.try_get::<i64>(1)?.cast_unsigned(),
            })
        };
        row.map(read).transpose()
    }

    /// Records messages with all that follows, and moves `progress` on.
    ///
    /// Returns how many events were recorded; copies of earlier messages make none.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when another node reads the lane by now; [`StoreError::Unavailable`]. Nothing was recorded.
    pub async fn record_mail(&self, messages: Vec<NewMessage>, progress: Progress) -> Result<usize, StoreError> {
        let clock = self.clock.clone();
        let recorded = self
            .write(move |connection| {
                Box::pin(async move {
                    match &progress {
                        Progress::Log { log, cursor } => move_cursor(connection, log, *cursor, clock.now()).await?,
                        Progress::Lane { lane, done } => {
                            spool::leave_queue(connection, *lane, done, clock.now()).await?;
                        }
                    }
                    dialect::lock_tenants(connection, messages.iter().map(|message| message.tenant)).await?;
                    let Sorted { messages, events, copies, sent } = without_copies(connection, messages).await?;
                    let count = events.len();
                    insert_messages(connection, &messages).await?;
                    watch::count_copies(connection, &messages).await?;
                    retention::note_kept(connection, &messages).await?;
                    erasures::queue_recorded(connection, &messages, clock.now()).await?;
                    let told = sent::told(&events);
                    record_with_copies(connection, &clock, events, copies).await?;
                    sent::record(connection, clock.now(), sent, told).await?;
                    Ok(count)
                })
            })
            .await?;
        self.note_events();
        Ok(recorded)
    }
}

impl TenantStore {
    /// The conversation that one of these Message-IDs (as SHA-256) belongs to in a mailbox or route.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn thread_of(&self, scope: &str, references: &[[u8; 32]]) -> Result<Option<ThreadId>, StoreError> {
        const FIND: &str =
            "SELECT thread_id FROM thread_references WHERE tenant_id = $1 AND scope = $2 AND reference = $3";
        for reference in references {
            let find = query(FIND).bind(self.tenant.to_string()).bind(scope).bind(reference.as_slice());
            if let Some(row) = find.fetch_optional(&self.store.readers).await? {
                return Ok(Some(from_id("thread_id", row.try_get(0)?)?));
            }
        }
        Ok(None)
    }
}

/// Records events, and behind them what copies add to these and earlier ones.
pub(super) async fn record_with_copies(
    connection: &mut Connection,
    clock: &Clock,
    events: Vec<(TenantId, NewEvent)>,
    copies: Vec<Copy>,
) -> Result<(), StoreError> {
    record(connection, clock, events).await?;
    let updates = copies::updates(connection, copies).await?;
    record(connection, clock, updates).await
}

/// A message with its state, as it will be stored.
pub(super) struct MessageRow {
    pub(super) message: NewMessage,
    pub(super) state: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) duplicate_of: Option<String>,
    /// Views of it that were copies of something earlier.
    pub(super) folded: Vec<String>,
}

/// What a batch is.
pub(super) struct Sorted {
    pub(super) messages: Vec<MessageRow>,
    pub(super) events: Vec<(TenantId, NewEvent)>,
    pub(super) copies: Vec<Copy>,
    pub(super) sent: Vec<SentCopy>,
}

/// Takes the copy keys of what is new, and sorts out what is a copy of something earlier.
pub(super) async fn without_copies(
    connection: &mut Connection,
    messages: Vec<NewMessage>,
) -> Result<Sorted, StoreError> {
    let mut known = known_copies(connection, &messages).await?;
    let (mut rows, mut events, mut keys) = (Vec::with_capacity(messages.len()), Vec::new(), Vec::new());
    let (mut copies, mut sent) = (Vec::new(), Vec::new());
    for mut message in messages {
        let (mut earlier_message, mut folded) = (None, Vec::new());
        let mut recorded = 0_usize;
        let (mut is_reused, mut is_sent) = (false, false);
        for mut view in std::mem::take(&mut message.views) {
            // What is handed over for a mailbox was meant for it, whoever sent it.
            let is_copy = message.copies.iter().any(|copy| copy.route.to_string() == view.scope);
            match if is_copy { sent::find(connection, message.tenant, &view).await? } else { Known::No } {
                Known::No => {}
                Known::OtherWords => {
                    is_reused = true;
                    copies::note_reused_id(&mut view.event)?;
                }
                Known::Sent(draft, version) => {
                    let (tenant, route, thread) = (message.tenant, view.scope, view.event.thread);
                    let message = message.id;
                    let copy =
                        SentCopy { tenant, draft, version, route: route.clone(), message, thread, matched_by: None };
                    sent.push(copy);
                    folded.push(route);
                    is_sent = true;
                    continue;
                }
            }
            let name = (message.tenant, view.scope.clone(), view.copy_key);
            if let Some(earlier) = known.get(&name) {
                earlier_message = Some(earlier.clone());
                copies.push(Copy { tenant: message.tenant, earlier: earlier.clone(), event: view.event });
                folded.push(view.scope);
                continue;
            }
            // What a source app sent is mail like any other, and shows beside that what became of a draft.
            if is_copy {
                sent.extend(handoffs::find(connection, message.tenant, &view, message.id).await?);
            }
            let mut event = view.event;
            for key in [Some(view.copy_key), view.id_key].into_iter().flatten() {
                match known.entry((message.tenant, view.scope.clone(), key)) {
                    Entry::Vacant(entry) => {
                        entry.insert(message.id.to_string());
                        keys.push((message.tenant, bucket(message.received_at), view.scope.clone(), key, message.id));
                    }
                    // Not a copy, and yet of that name: whoever knows an id must not make the real message disappear.
                    Entry::Occupied(_) => {
                        is_reused = true;
                        copies::note_reused_id(&mut event)?;
                    }
                }
            }
            events.push((message.tenant, event));
            recorded += 1;
        }
        let (state, reason) = match (&message.kept, recorded) {
            (Some(kept), _) => {
                let (state, reason) = kept.words();
                (state, Some(reason))
            }
            (None, 0) => ("duplicate", is_sent.then_some("sent_from_here")),
            (None, _) => ("emitted", is_reused.then_some("message_id_reused")),
        };
        rows.push(MessageRow { message, state, reason, duplicate_of: earlier_message, folded });
    }
    const KEYS: &str = "INSERT INTO copy_keys (tenant_id, bucket, scope, copy_key, message_id) ";
    rows::insert(connection, KEYS, &keys, |row, (tenant, bucket, scope, key, message)| {
        row.push_bind(tenant.to_string())
            .push_bind(*bucket)
            .push_bind(scope.clone())
            .push_bind(key.as_slice())
            .push_bind(message.to_string());
    })
    .await?;
    Ok(Sorted { messages: rows, events, copies, sent })
}

type CopyName = (TenantId, String, [u8; 32]);

/// Which of these copies are known, and the message that came first.
///
/// A key may stand in any month of the last [`BUCKETS`], but no older than the store itself: each is one probe of the
/// primary key.
async fn known_copies(
    connection: &mut Connection,
    messages: &[NewMessage],
) -> Result<BTreeMap<CopyName, String>, StoreError> {
    const OLDEST: &str = "SELECT MIN(bucket) FROM copy_keys WHERE tenant_id = $1";
    const FIND: &str =
        "SELECT message_id FROM copy_keys WHERE tenant_id = $1 AND bucket = $2 AND scope = $3 AND copy_key = $4";
    let tenants: BTreeSet<TenantId> = messages.iter().map(|message| message.tenant).collect();
    let mut oldest = BTreeMap::new();
    for tenant in tenants {
        let row = query(OLDEST).bind(tenant.to_string()).fetch_one(&mut *connection).await?;
        oldest.insert(tenant, row.try_get::<Option<i64>>(0)?);
    }
    let mut known = BTreeMap::new();
    for message in messages {
        let Some(Some(oldest)) = oldest.get(&message.tenant) else { continue };
        let newest = bucket(message.received_at);
        let names = message.views.iter().flat_map(|view| {
            [Some(view.copy_key), view.id_key].into_iter().flatten().map(|key| (view.scope.as_str(), key))
        });
        for (scope, key) in names {
            for bucket in (newest.saturating_sub(BUCKETS).max(*oldest)..=newest.saturating_add(1)).rev() {
                let find = query(FIND).bind(message.tenant.to_string()).bind(bucket).bind(scope).bind(key.as_slice());
                if let Some(row) = find.fetch_optional(&mut *connection).await? {
                    known.insert((message.tenant, scope.to_owned(), key), row.try_get(0)?);
                    break;
                }
            }
        }
    }
    Ok(known)
}

fn bucket(received_at: Timestamp) -> i64 {
    received_at.as_micros().div_euclid(BUCKET_MICROS)
}

async fn insert_messages(connection: &mut Connection, messages: &[MessageRow]) -> Result<(), StoreError> {
    const MESSAGES: &str = "INSERT INTO messages (tenant_id, message_id, received_at, size, state, reason, duplicate_of, \
manifest, body, trace) ";
    // A call with an `Idempotency-Key` that was made again may have stored its message twice under one id. The second is a
    // copy of the first, and made no event.
    rows::insert_unless(connection, MESSAGES, "ON CONFLICT DO NOTHING", messages, |row, entry| {
        let message = &entry.message;
        row.push_bind(message.tenant.to_string())
            .push_bind(message.id.to_string())
            .push_bind(message.received_at.as_micros())
            .push_bind(message.size.cast_signed())
            .push_bind(entry.state)
            .push_bind(entry.reason)
            .push_bind(entry.duplicate_of.clone())
            .push_bind(message.manifest.clone())
            .push_bind(message.body.clone())
            .push_bind(message.trace.clone());
    })
    .await?;
    Ok(())
}

async fn move_cursor(
    connection: &mut Connection,
    node: &str,
    cursor: SpoolCursor,
    now: Timestamp,
) -> Result<(), StoreError> {
    const MOVE: &str = "\
INSERT INTO spool_cursors (node, segment, position, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (node) DO UPDATE SET segment = excluded.segment, position = excluded.position, updated_at = excluded.updated_at";
    query(MOVE)
        .bind(node)
        .bind(cursor.segment.cast_signed())
        .bind(cursor.position.cast_signed())
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}
