//! The audit log: rows are only ever added, in the transaction of what they tell, behind the tenant's newest.
//!
//! The newest row is locked by the first row that is added, so that two transactions of a tenant follow one another and the
//! chain has one order. It is the last that a transaction locks.

use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, rows, told};
use crate::clock::Timestamp;
use crate::governance::audit::{ChainHash, Entry, Who, digest};
use crate::ids::TenantId;

/// Something that was done, to be recorded with it.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Who did it.
    pub who: Who,
    /// What: a word, such as `draft.released`.
    pub action: &'static str,
    /// To what: an id.
    pub subject: String,
    /// What else is to be known of it. Nothing of a message's text.
    pub detail: serde_json::Value,
}

impl NewEntry {
    /// `who` did `action` to `subject`.
    #[expect(clippy::needless_pass_by_value, reason = "ids are small, and a text is copied either way")]
    pub fn new(who: Who, action: &'static str, subject: impl ToString, detail: serde_json::Value) -> Self {
        Self { who, action, subject: subject.to_string(), detail }
    }
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// What the chain is over.
    pub entry: Entry,
    /// The hash that is stored for it.
    pub hash: ChainHash,
    /// The detail as JSON; `None` once it was erased.
    pub detail: Option<String>,
}

/// Adds rows to the chain of a tenant. Steps that apps are told of are told here, and nowhere else.
pub(super) async fn append(
    connection: &mut Connection,
    tenant: TenantId,
    now: Timestamp,
    entries: Vec<NewEntry>,
) -> Result<(), StoreError> {
    const ADD: &str =
        "INSERT INTO audit_log (tenant_id, number, at, actor, action, subject, detail, detail_digest, hash) ";
    const MOVE: &str = "UPDATE audit_heads SET number = $2, hash = $3 WHERE tenant_id = $1";
    if entries.is_empty() {
        return Ok(());
    }
    told::tell(connection, tenant, now, &entries).await?;
    let id = tenant.to_string();
    let (last, mut before) = lock_head(connection, tenant).await?;
    let mut number = last.cast_signed();
    let mut added = Vec::with_capacity(entries.len());
    for new in entries {
        number += 1;
        let detail = new.detail.to_string();
        let entry = Entry {
            number: number.cast_unsigned(),
            at: now,
            actor: new.who.to_string(),
            action: new.action.to_owned(),
            subject: new.subject,
            detail_digest: digest(&detail),
        };
        before = entry.hash(tenant, before);
        added.push((number, entry, detail, before));
    }
    rows::insert(connection, ADD, &added, |row, (number, entry, detail, hash)| {
        row.push_bind(id.as_str())
            .push_bind(*number)
            .push_bind(now.as_micros())
            .push_bind(entry.actor.as_str())
            .push_bind(entry.action.as_str())
            .push_bind(entry.subject.as_str())
            .push_bind(detail.as_str())
            .push_bind(entry.detail_digest.as_slice())
            .push_bind(hash.as_bytes().as_slice());
    })
    .await?;
    query(MOVE).bind(&id).bind(number).bind(before.as_bytes()).execute(connection).await?;
    Ok(())
}

/// The number and hash of a tenant's newest row, locked: the next row of the chain is this transaction's.
pub(super) async fn lock_head(connection: &mut Connection, tenant: TenantId) -> Result<(u64, ChainHash), StoreError> {
    const BEGIN: &str = "INSERT INTO audit_heads (tenant_id, number, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    const LOCK: &str = "UPDATE audit_heads SET number = number WHERE tenant_id = $1 RETURNING number, hash";
    let id = tenant.to_string();
    let beginning = ChainHash::beginning(tenant);
    query(BEGIN).bind(&id).bind(beginning.as_bytes()).execute(&mut *connection).await?;
    let head = query(LOCK).bind(&id).fetch_one(connection).await?;
    Ok((head.try_get::<i64>(0)?.cast_unsigned(), chain_hash(&head, 1)?))
}

/// Erases the details of all rows about a subject, but for those that tell of an erasure; how many.
pub(super) async fn erase_details(
    connection: &mut Connection,
    tenant: TenantId,
    subject: &str,
) -> Result<u64, StoreError> {
    const ERASE: &str = "UPDATE audit_log SET detail = NULL WHERE tenant_id = $1 AND subject = $2 AND detail IS NOT NULL \
AND action NOT IN ('audit.erased', 'draft.erased')";
    // Before rows of the log: it is locked in one order by all.
    lock_head(connection, tenant).await?;
    Ok(query(ERASE).bind(tenant.to_string()).bind(subject).execute(connection).await?)
}

impl TenantStore {
    /// Records what changed nothing else here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn audit(&self, entries: Vec<NewEntry>) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store.write(move |connection| Box::pin(append(connection, tenant, now, entries))).await
    }

    /// Erases the details of all rows about a subject; how many. The chain stays whole: it is over their digests. That it was
    /// done is a row of its own, with the number of drafts that were erased for it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn erase_audit_details(&self, subject: String, drafts: u64, who: Who) -> Result<u64, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let erased = erase_details(connection, tenant, &subject).await?;
                    if erased > 0 || drafts > 0 {
                        let detail = serde_json::json!({ "rows": erased, "drafts": drafts });
                        let entry = NewEntry::new(who, "audit.erased", subject, detail);
                        append(connection, tenant, now, vec![entry]).await?;
                    }
                    Ok(erased)
                })
            })
            .await
    }

    /// Rows behind number `after`, at most `limit`, in their order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        const LIST: &str = "\
SELECT number, at, actor, action, subject, detail_digest, hash, detail FROM audit_log
WHERE tenant_id = $1 AND number > $2 ORDER BY number LIMIT $3";
        let list = query(LIST).bind(self.tenant.to_string()).bind(after.cast_signed()).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read_row).collect()
    }

    /// Rows about one id, in their order; at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn audit_of(&self, subject: &str) -> Result<Vec<AuditRow>, StoreError> {
        const LIST: &str = "\
SELECT number, at, actor, action, subject, detail_digest, hash, detail FROM audit_log
WHERE tenant_id = $1 AND subject = $2 ORDER BY number LIMIT 1000";
        let list = query(LIST).bind(self.tenant.to_string()).bind(subject);
        list.fetch_all(&self.store.readers).await?.iter().map(read_row).collect()
    }

    /// How many rows there are, and the hash of the newest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn audit_head(&self) -> Result<(u64, ChainHash), StoreError> {
        const HEAD: &str = "SELECT number, hash FROM audit_heads WHERE tenant_id = $1";
        let row = query(HEAD).bind(self.tenant.to_string()).fetch_optional(&self.store.readers).await?;
        let Some(row) = row else { return Ok((0, ChainHash::beginning(self.tenant))) };
        Ok((row.try_get::<i64>(0)?.cast_unsigned(), chain_hash(&row, 1)?))
    }
}

fn read_row(row: &Row) -> Result<AuditRow, StoreError> {
    let entry = Entry {
        number: row.try_get::<i64>(0)?.cast_unsigned(),
        at: Timestamp::from_micros(row.try_get(1)?),
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        subject: row.try_get(4)?,
        detail_digest: octets(row, 5)?,
    };
    Ok(AuditRow { entry, hash: chain_hash(row, 6)?, detail: row.try_get(7)? })
}

fn chain_hash(row: &Row, column: usize) -> Result<ChainHash, StoreError> {
    octets(row, column).map(ChainHash::from_bytes)
}

fn octets(row: &Row, column: usize) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let wrong = |_| StoreError::Unreadable { what: "hash", detail: "not 32 octets".to_owned() };
    bytes.try_into().map_err(wrong)
}
