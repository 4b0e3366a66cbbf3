//! What comes back of what left here: copies of it, seen at the tenant's routes, which are proof that it was sent and no new
//! work; reports about it, and people who want no more of it, by which addresses are suppressed.
//!
//! A copy is known by the key over its Message-ID and content, never by the Message-ID alone: whoever got a message of ours
//! knows its id, and must not make other mail disappear under it.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::audit::{NewEntry, append};
use super::drafts::step;
use super::events::{NewEvent, NewThreadPlace};
use super::ingest::NewView;
use super::sql::{Connection, Row, query};
use super::standing::{SuppressionReason, suppress};
use super::{StoreError, TenantStore, from_id, handoffs, threads};
use crate::clock::Timestamp;
use crate::governance::audit::{Who, subject_of_address};
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::ids::{DraftId, EventId, MessageId, RouteId, TenantId};
use crate::mail::address::Mailbox;
use crate::mail::key;
use crate::mail::message::{Limits, read};

/// A report about mail that may have been sent from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReturned {
    /// The key of the Message-ID that it names; `None` where it names none.
    pub id_key: Option<[u8; 32]>,
    /// The reverse-path that it was sent to, where that is one of a delegated host: it says which message it is about.
    pub path: Option<String>,
    /// Keys of the addresses that it is about; `None` where it does not say, which tells of the only recipient there was.
    pub addresses: Option<Vec<String>>,
    /// What becomes of the addresses.
    pub reason: SuppressionReason,
}

/// A route at which copies of a sent version were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCopyRow {
    /// The version.
    pub version: u32,
    /// The route.
    pub route: RouteId,
    /// The first copy.
    pub message: MessageId,
    /// When it came.
    pub seen_at: Timestamp,
    /// How many came.
    pub copies: u64,
}

/// What is known here of the message of a view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is this version of a draft.
    Sent(String, i64),
    /// Other words under the id of one that was sent.
    OtherWords,
    /// Nothing.
    No,
}

/// A copy to be recorded.
#[derive(Debug)]
pub(super) struct SentCopy {
    pub(super) tenant: TenantId,
    pub(super) draft: String,
    pub(super) version: i64,
    pub(super) route: String,
    pub(super) message: MessageId,
    /// By what answers find its conversation at the route.
    pub(super) thread: Option<NewThreadPlace>,
    /// Of what a source app sent: by what it was known.
    pub(super) matched_by: Option<&'static str>,
}

/// The keys by which copies of these exact bytes are known.
pub(super) fn keys(message: &[u8]) -> ([u8; 32], Option<[u8; 32]>) {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, message).as_ref());
    let message = read(message, &Limits::default());
    (key::copy_key(&message, &sha256), key::id_key(&message))
}

/// Whether a view shows what was sent from here: some of it at least was on its way to a peer.
pub(super) async fn find(connection: &mut Connection, tenant: TenantId, view: &NewView) -> Result<Known, StoreError> {
    const COPY: &str = "\
SELECT v.draft_id, v.version FROM draft_versions AS v
JOIN releases AS r ON r.tenant_id = v.tenant_id AND r.draft_id = v.draft_id AND r.version = v.version
JOIN transmissions AS t ON t.tenant_id = r.tenant_id AND t.release_id = r.release_id AND t.eod_started_at IS NOT NULL
WHERE v.tenant_id = $1 AND v.copy_key = $2 ORDER BY v.draft_id LIMIT 1";
    const ID: &str = "\
SELECT v.draft_id FROM draft_versions AS v
JOIN releases AS r ON r.tenant_id = v.tenant_id AND r.draft_id = v.draft_id AND r.version = v.version
WHERE v.tenant_id = $1 AND v.id_key = $2 LIMIT 1";
    let copy = query(COPY).bind(tenant.to_string()).bind(view.copy_key.as_slice());
    if let Some(row) = copy.fetch_optional(&mut *connection).await? {
        return Ok(Known::Sent(row.try_get(0)?, row.try_get(1)?));
    }
    let Some(id) = view.id_key else { return Ok(Known::No) };
    let id = query(ID).bind(tenant.to_string()).bind(id.as_slice());
    Ok(if id.fetch_optional(connection).await?.is_some() { Known::OtherWords } else { Known::No })
}

/// A report to be recorded.
#[derive(Debug)]
pub(super) struct Returned {
    tenant: TenantId,
    event: EventId,
    told: NewReturned,
}

/// Somebody who wants no more mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsubscribed {
    tenant: TenantId,
    event: EventId,
    address_key: String,
}

/// What events tell of addresses that are written to from here.
#[derive(Debug, Default)]
pub(super) struct Told {
    returned: Vec<Returned>,
    unsubscribed: Vec<Unsubscribed>,
}

/// What is told by events that are about to be recorded.
pub(super) fn told(events: &[(TenantId, NewEvent)]) -> Told {
    let mut all = Told::default();
    for (tenant, new) in events {
        let (tenant, event) = (*tenant, new.event_id);
        all.returned.extend(new.returned.clone().map(|told| Returned { tenant, event, told }));
        let unsubscribed = new.unsubscribed.clone();
        all.unsubscribed.extend(unsubscribed.map(|address_key| Unsubscribed { tenant, event, address_key }));
    }
    all
}

/// Ties copies and reports to what they are about. The last that a transaction does: it writes to the audit log.
pub(super) async fn record(
    connection: &mut Connection,
    now: Timestamp,
    copies: Vec<SentCopy>,
    told: Told,
) -> Result<(), StoreError> {
    let mut entries: BTreeMap<TenantId, Vec<NewEntry>> = BTreeMap::new();
    for copy in copies {
        let tenant = copy.tenant;
        entries.entry(tenant).or_default().extend(record_copy(connection, now, copy).await?);
    }
    for report in told.returned {
        let tenant = report.tenant;
        entries.entry(tenant).or_default().extend(record_report(connection, now, &report).await?);
    }
    for one in told.unsubscribed {
        let tenant = one.tenant;
        entries.entry(tenant).or_default().extend(record_unsubscribed(connection, now, &one).await?);
    }
    for (tenant, entries) in entries {
        append(connection, tenant, now, entries).await?;
    }
    Ok(())
}

/// The address gets nothing more from here; the first reason stays.
async fn record_unsubscribed(
    connection: &mut Connection,
    now: Timestamp,
    Unsubscribed { tenant, event, address_key }: &Unsubscribed,
) -> Result<Option<NewEntry>, StoreError> {
    // The organisation's own people get notices, which they turn off elsewhere.
    const OWN: &str = "SELECT 1 FROM users WHERE tenant_id = $1 AND email_key = $2";
    let own = query(OWN).bind(tenant.to_string()).bind(address_key);
    if own.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(None);
    }
    let reason = SuppressionReason::Unsubscribe;
    let is_new = suppress(connection, *tenant, (address_key, reason, Some(*event)), now).await?;
    let detail = json!({ "address": address_key, "reason": reason.as_str(), "event": event });
    Ok(is_new.then(|| NewEntry::new(Who::Gateway, "address.suppressed", subject_of_address(address_key), detail)))
}

/// The first at each route stands in the audit log.
pub(super) async fn record_copy(
    connection: &mut Connection,
    now: Timestamp,
    copy: SentCopy,
) -> Result<Option<NewEntry>, StoreError> {
    const RECORD: &str = "\
INSERT INTO sent_copies (tenant_id, draft_id, version, route_id, message_id, seen_at, copies)
VALUES ($1, $2, $3, $4, $5, $6, 1)
ON CONFLICT (tenant_id, draft_id, version, route_id) DO UPDATE SET copies = sent_copies.copies + 1 RETURNING copies";
    let SentCopy { tenant, draft, version, route, message, thread, matched_by } = copy;
    if let Some(matched_by) = matched_by
        && !handoffs::note_seen(connection, (tenant, &draft, &route, message), matched_by, now).await?
    {
        return Ok(None);
    }
    let record = query(RECORD)
        .bind(tenant.to_string())
        .bind(&draft)
        .bind(version)
        .bind(&route)
        .bind(message.to_string())
        .bind(now.as_micros());
    let count: i64 = record.fetch_one(&mut *connection).await?.try_get(0)?;
    if count > 1 {
        return Ok(None);
    }
    if let Some(thread) = thread {
        let name = |reference| (tenant.to_string(), route.clone(), reference, thread.thread_id.to_string());
        let references: Vec<_> = thread.references.into_iter().map(name).collect();
        threads::insert_references(connection, &references).await?;
    }
    let state = matched_by.map(|_| DraftState::HandedOff);
    let detail =
        json!({ "version": version, "route": route, "message": message, "matchedBy": matched_by, "state": state });
    Ok(Some(NewEntry::new(Who::Gateway, "draft.copy_seen", draft, detail)))
}

/// Notes which recipients came back, and suppresses them. Only whom a message was sent to can come back with it. Anybody who
/// has seen its id, in an answer for one, can write such a report: it costs the recipient mail from here, until somebody
/// lifts it, and gives nothing away.
async fn record_report(
    connection: &mut Connection,
    now: Timestamp,
    report: &Returned,
) -> Result<Vec<NewEntry>, StoreError> {
    const SENT: &str = "\
SELECT v.draft_id, t.release_id, t.position, t.recipient FROM draft_versions AS v
JOIN releases AS r ON r.tenant_id = v.tenant_id AND r.draft_id = v.draft_id AND r.version = v.version
JOIN transmissions AS t ON t.tenant_id = r.tenant_id AND t.release_id = r.release_id AND t.eod_started_at IS NOT NULL
WHERE v.tenant_id = $1 AND v.id_key = $2 ORDER BY t.release_id, t.position LIMIT 1000";
    const SENT_WITH: &str = "\
SELECT v.draft_id, t.release_id, t.position, t.recipient FROM draft_versions AS v
JOIN releases AS r ON r.tenant_id = v.tenant_id AND r.draft_id = v.draft_id AND r.version = v.version
JOIN transmissions AS t ON t.tenant_id = r.tenant_id AND t.release_id = r.release_id AND t.eod_started_at IS NOT NULL
WHERE v.tenant_id = $1 AND v.reverse_path = $2 AND v.reverse_path LIKE 'bounce-%' ORDER BY t.release_id, t.position LIMIT 1000";
    const NOTE: &str = "UPDATE transmissions SET returned_by = $4 \
WHERE tenant_id = $1 AND release_id = $2 AND position = $3 AND returned_by IS NULL";
    let Returned { tenant, event, told } = report;
    // The path first: only those who carried the message have seen it, and a report cannot leave it out.
    let sent = match (&told.path, &told.id_key) {
        (Some(path), _) => query(SENT_WITH).bind(tenant.to_string()).bind(path),
        (None, Some(id_key)) => query(SENT).bind(tenant.to_string()).bind(id_key.as_slice()),
        (None, None) => return Ok(Vec::new()),
    };
    let rows = sent.fetch_all(&mut *connection).await?;
    let recipients: BTreeSet<&str> = rows.iter().map(|row| row.try_get(3)).collect::<Result<_, _>>()?;
    let (mut entries, mut came_back) = (Vec::new(), BTreeSet::new());
    // A recipient stands in each release of a draft that went on by another route.
    let mut noted = BTreeSet::new();
    for row in &rows {
        let Ok(recipient) = Mailbox::parse(row.try_get(3)?) else { continue };
        let key = recipient.key();
        if !told.addresses.as_ref().map_or(recipients.len() == 1, |addresses| addresses.contains(&key)) {
            continue;
        }
        let position: i64 = row.try_get(2)?;
        let note = query(NOTE).bind(tenant.to_string()).bind(row.try_get::<&str>(1)?).bind(position);
        if note.bind(event.to_string()).execute(&mut *connection).await? == 0 {
            continue;
        }
        if !noted.insert((row.try_get::<&str>(0)?, key.clone())) {
            continue;
        }
        let reason = told.reason.as_str();
        let detail =
            json!({ "release": row.try_get::<&str>(1)?, "position": position, "event": event, "reason": reason });
        entries.push(NewEntry::new(Who::Gateway, "transmission.returned", row.try_get::<&str>(0)?, detail));
        if suppress(connection, *tenant, (&key, told.reason, Some(*event)), now).await? {
            let detail = json!({ "address": key, "reason": reason, "event": event });
            entries.push(NewEntry::new(Who::Gateway, "address.suppressed", subject_of_address(&key), detail));
        }
        if told.reason == SuppressionReason::HardBounce {
            came_back.insert(from_id("draft_id", row.try_get(0)?)?);
        }
    }
    for draft in came_back {
        entries.extend(bounce(connection, *tenant, draft, now).await?);
    }
    Ok(entries)
}

/// Ends a draft as bounced, once the mail to everybody whose server took it, or may have, came back.
pub(super) async fn bounce(
    connection: &mut Connection,
    tenant: TenantId,
    draft: DraftId,
    now: Timestamp,
) -> Result<Option<NewEntry>, StoreError> {
    const REACHED: &str = "\
SELECT 1 FROM transmissions AS t JOIN releases AS r ON r.tenant_id = t.tenant_id AND r.release_id = t.release_id
WHERE r.tenant_id = $1 AND r.draft_id = $2 AND t.state IN ('accepted', 'unknown') AND t.returned_by IS NULL LIMIT 1";
    let reached = query(REACHED).bind(tenant.to_string()).bind(draft.to_string());
    if reached.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(None);
    }
    match step(connection, tenant, draft, DraftEvent::Bounce, now).await {
        Ok(state) => Ok(Some(NewEntry::new(Who::Gateway, "draft.settled", draft, json!({ "state": state })))),
        // Others of its recipients are still tried.
        Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl TenantStore {
    /// Where copies of what was sent of a draft were seen, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sent_copies(&self, draft: DraftId) -> Result<Vec<SentCopyRow>, StoreError> {
        const LIST: &str = "\
SELECT version, route_id, message_id, seen_at, copies FROM sent_copies
WHERE tenant_id = $1 AND draft_id = $2 ORDER BY seen_at, version, route_id";
        let list = query(LIST).bind(self.tenant.to_string()).bind(draft.to_string());
        let read = |row: &Row| {
            Ok(SentCopyRow {
                version: u32::try_from(row.try_get::<i64>(0)?).unwrap_or(0),
                route: from_id("route_id", row.try_get(1)?)?,
                message: from_id("message_id", row.try_get(2)?)?,
                seen_at: Timestamp::from_micros(row.try_get(3)?),
                copies: row.try_get::<i64>(4)?.cast_unsigned(),
            })
        };
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }
}
