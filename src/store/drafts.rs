//! Drafts, their versions, and the steps of their lives. Each step names the state that it expects, so that of two at the
//! same time one alone is taken; each stands in the audit log by the same transaction.

pub mod erase;
pub mod waiting;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::idempotency::{KeyedCall, Once, claim};
use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::governance::chain::Link;
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::ids::{AppId, DraftId, EventId, MailboxId, TenantId, ThreadId};
use crate::mail::address::{Mailbox, ReversePath};

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    /// Its id.
    pub id: DraftId,
    /// The event for which a decision proposed it.
    pub event: Option<EventId>,
    /// The mailbox as which it would be sent; `None` where none of this gateway stands behind it.
    pub mailbox: Option<MailboxId>,
    /// The conversation.
    pub thread: Option<ThreadId>,
    /// The event of the message that it answers.
    pub answers: Option<EventId>,
    /// The app.
    pub app: Option<AppId>,
    /// The agent that proposed it.
    pub agent: Option<String>,
    /// `connex`, `source_app` or `customer_domain`.
    pub identity_owner: String,
    /// How far it has come.
    pub state: DraftState,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
    /// Its present version; 0 while nothing is written.
    pub version: u32,
    /// Whether an approval that lifts the last hold releases it at once.
    pub release_on_approval: bool,
    /// Not before then does it leave.
    pub send_at: Option<Timestamp>,
    /// Where its release was asked for and only a pause or a quota holds it: when it is looked at again.
    pub held_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// What a decision knew of the text, as JSON.
    pub outline: String,
    /// The template that a decision proposed it with, and its version.
    pub template: Option<(String, u32)>,
    /// When what it held of persons was erased.
    pub erased_at: Option<Timestamp>,
}

/// A draft to be made.
#[derive(Debug, Clone)]
pub struct NewDraftRow {
    /// Its id.
    pub id: DraftId,
    /// The mailbox as which it would be sent.
    pub mailbox: MailboxId,
    /// The conversation.
    pub thread: ThreadId,
    /// The event of the message that it answers.
    pub answers: Option<EventId>,
    /// The app.
    pub app: Option<AppId>,
    /// The agent that proposes it.
    pub agent: Option<String>,
    /// Who owns the identity.
    pub identity_owner: &'static str,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
}

impl NewDraftRow {
    /// The draft, once it is made at `created_at`.
    #[must_use]
    pub fn row(&self, created_at: Timestamp) -> DraftRow {
        DraftRow {
            id: self.id,
            event: None,
            mailbox: Some(self.mailbox),
            thread: Some(self.thread),
            answers: self.answers,
            app: self.app,
            agent: self.agent.clone(),
            identity_owner: self.identity_owner.to_owned(),
            state: DraftState::Draft,
            external_reply_url: self.external_reply_url.clone(),
            version: 1,
            release_on_approval: true,
            send_at: None,
            held_until: None,
            created_at,
            updated_at: created_at,
            outline: "{}".to_owned(),
            template: None,
            erased_at: None,
        }
    }
}

/// One fixed rendering of a draft. Of one that was erased there are its hash, its author and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its number: 1, 2, 3 …
    pub version: u32,
    /// Who wrote it.
    pub author: Actor,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Every RCPT TO, in order.
    pub recipients: Vec<Mailbox>,
    /// The exact unsigned bytes.
    pub message: Vec<u8>,
    /// The hash over all of it, in hexadecimal.
    pub content_hash: String,
    /// The parts that it was written from, as JSON.
    pub parts: String,
    /// When it was written.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "SELECT draft_id, event_id, mailbox_id, thread_id, answers, app_id, agent_id, identity_owner, state, \
external_reply_url, version, release_on_approval, send_at, created_at, updated_at, content, template_id, template_version, held_until, erased_at FROM drafts";

impl TenantStore {
    /// Makes a draft with its first version, once for each call that names a key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn add_draft(
        &self,
        new: NewDraftRow,
        version: VersionRow,
        call: Option<KeyedCall>,
    ) -> Result<Once<()>, StoreError> {
        const ADD: &str = "\
INSERT INTO drafts (tenant_id, draft_id, mailbox_id, thread_id, answers, app_id, agent_id, identity_owner, state,
    external_reply_url, version, content, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'draft', $9, 1, '{}', $10, $10)";
        let (tenant, now) = (self.tenant, version.created_at);
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    if let Some(call) = &call {
                        match claim(connection, tenant, call, now).await? {
                            Once::First(()) => {}
                            known => return Ok(known),
                        }
                    }
                    let add = query(ADD)
                        .bind(tenant.to_string())
                        .bind(new.id.to_string())
                        .bind(new.mailbox.to_string())
                        .bind(new.thread.to_string())
                        .bind(new.answers.map(|id| id.to_string()))
                        .bind(new.app.map(|id| id.to_string()))
                        .bind(new.agent)
                        .bind(new.identity_owner)
                        .bind(new.external_reply_url)
                        .bind(now.as_micros());
                    add.execute(&mut *connection).await?;
                    add_version(connection, tenant, new.id, &version).await?;
                    let entry = written(Link::Created, new.id, &version);
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(Once::First(()))
                })
            })
            .await
    }

    /// Replaces the content of a draft in a state that allows it; approvals that wait or were given to the former count no
    /// more. `version` is the one behind the present.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has another version or state by now; [`StoreError::NotFound`].
    pub async fn edit_draft(
        &self,
        id: DraftId,
        version: VersionRow,
        mailbox: MailboxId,
        place: (ThreadId, Option<EventId>),
    ) -> Result<(), StoreError> {
        const EDIT: &str = "\
UPDATE drafts SET state = $3, version = $4, updated_at = $5, mailbox_id = $7, thread_id = $8, answers = $9, held_until = NULL
WHERE tenant_id = $1 AND draft_id = $2 AND version = $6";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let next = next_state(connection, tenant, id, DraftEvent::Edit).await?;
                    let edit = query(EDIT)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(next.as_str())
                        .bind(i64::from(version.version))
                        .bind(now.as_micros())
                        .bind(i64::from(version.version) - 1)
                        .bind(mailbox.to_string())
                        .bind(place.0.to_string())
                        .bind(place.1.map(|event| event.to_string()));
                    if edit.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict("the draft was edited meanwhile"));
                    }
                    add_version(connection, tenant, id, &version).await?;
                    void_approvals(connection, tenant, id, now).await?;
                    append(connection, tenant, now, vec![written(Link::Edited, id, &version)]).await
                })
            })
            .await
    }

    /// Takes a draft one step on; approvals that wait for an answer count no more. The state that it has now.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its state does not allow the step; [`StoreError::NotFound`].
    pub async fn step_draft(&self, id: DraftId, event: DraftEvent, entry: NewEntry) -> Result<DraftState, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let next = step(connection, tenant, id, event, now).await?;
                    void_approvals(connection, tenant, id, now).await?;
                    end_release(connection, tenant, id, now).await?;
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(next)
                })
            })
            .await
    }

    /// One draft.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn draft(&self, id: DraftId) -> Result<Option<DraftRow>, StoreError> {
        const ONE: &str = " WHERE tenant_id = $1 AND draft_id = $2";
        let one = super::sql::built(format!("{COLUMNS}{ONE}")).bind(self.tenant.to_string()).bind(id.to_string());
        one.fetch_optional(&self.store.readers).await?.as_ref().map(read_draft).transpose()
    }

    /// Drafts older than `before`, newest first, at most `limit`; of one state where one is named.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drafts(
        &self,
        state: Option<DraftState>,
        before: Option<DraftId>,
        limit: u32,
    ) -> Result<Vec<DraftRow>, StoreError> {
        const SOME: &str =
            " WHERE tenant_id = $1 AND state = COALESCE($2, state) AND draft_id < $3 ORDER BY draft_id DESC LIMIT $4";
        let before = before.map_or_else(|| "drf_~".to_owned(), |id| id.to_string());
        let some = super::sql::built(format!("{COLUMNS}{SOME}"))
            .bind(self.tenant.to_string())
            .bind(state.map(DraftState::as_str))
            .bind(before)
            .bind(i64::from(limit));
        some.fetch_all(&self.store.readers).await?.iter().map(read_draft).collect()
    }

    /// One version of a draft.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn draft_version(&self, id: DraftId, version: u32) -> Result<Option<VersionRow>, StoreError> {
        const ONE: &str = "\
SELECT version, author, reverse_path, recipients, message, content_hash, parts, created_at FROM draft_versions
WHERE tenant_id = $1 AND draft_id = $2 AND version = $3";
        let one = query(ONE).bind(self.tenant.to_string()).bind(id.to_string()).bind(i64::from(version));
        one.fetch_optional(&self.store.readers).await?.as_ref().map(read_version).transpose()
    }
}

fn written(link: Link, id: DraftId, version: &VersionRow) -> NewEntry {
    let detail = json!({ "version": version.version, "contentHash": version.content_hash });
    NewEntry::new(Who::Actor(version.author.clone()), link.action(), id, detail)
}

/// Adds one rendering of a draft.
pub(super) async fn add_version(
    connection: &mut Connection,
    tenant: TenantId,
    draft: DraftId,
    version: &VersionRow,
) -> Result<(), StoreError> {
    const ADD: &str = "\
INSERT INTO draft_versions (tenant_id, draft_id, version, author, reverse_path, recipients, message, content_hash, parts, created_at,
    copy_key, id_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let (copy_key, id_key) = super::sent::keys(&version.message);
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(draft.to_string())
        .bind(i64::from(version.version))
        .bind(to_json("author", &version.author)?)
        .bind(String::from(version.reverse_path.clone()))
        .bind(to_json("recipients", &version.recipients)?)
        .bind(version.message.as_slice())
        .bind(&version.content_hash)
        .bind(&version.parts)
        .bind(version.created_at.as_micros())
        .bind(copy_key.as_slice())
        .bind(id_key.as_ref().map(<[u8; 32]>::as_slice));
    add.execute(connection).await?;
    Ok(())
}

/// The state that a draft would have after `event`. The row stays locked on PostgreSQL.
pub(super) async fn next_state(
    connection: &mut Connection,
    tenant: TenantId,
    id: DraftId,
    event: DraftEvent,
) -> Result<DraftState, StoreError> {
    const ERASED: &str = "SELECT 1 FROM drafts WHERE tenant_id = $1 AND draft_id = $2 AND erased_at IS NOT NULL";
    let state = lock_draft(connection, tenant, id).await?;
    // There is nothing left that it could go on with.
    let erased = query(ERASED).bind(tenant.to_string()).bind(id.to_string());
    if state.is_over() && erased.fetch_optional(connection).await?.is_some() {
        return Err(StoreError::Conflict("the draft was erased"));
    }
    state.next(event).map_err(|_| StoreError::Conflict("the state of the draft does not allow this"))
}

/// The state of a draft, which nobody else can change before this transaction ends.
pub(super) async fn lock_draft(
    connection: &mut Connection,
    tenant: TenantId,
    id: DraftId,
) -> Result<DraftState, StoreError> {
    const LOCK: &str =
        "UPDATE drafts SET updated_at = updated_at WHERE tenant_id = $1 AND draft_id = $2 RETURNING state";
    let row = query(LOCK).bind(tenant.to_string()).bind(id.to_string()).fetch_optional(connection).await?;
    read_state(row.ok_or(StoreError::NotFound("draft"))?.try_get(0)?)
}

/// Takes a draft one step on within a transaction.
pub(super) async fn step(
    connection: &mut Connection,
    tenant: TenantId,
    id: DraftId,
    event: DraftEvent,
    now: Timestamp,
) -> Result<DraftState, StoreError> {
    // Whatever it waited for, it goes on from there anew.
    const STEP: &str =
        "UPDATE drafts SET state = $3, updated_at = $4, held_until = NULL WHERE tenant_id = $1 AND draft_id = $2";
    let next = next_state(connection, tenant, id, event).await?;
    let step = query(STEP).bind(tenant.to_string()).bind(id.to_string()).bind(next.as_str()).bind(now.as_micros());
    step.execute(connection).await?;
    Ok(next)
}

/// Approvals that wait for an answer, or were given and not used, are over.
pub(super) async fn void_approvals(
    connection: &mut Connection,
    tenant: TenantId,
    draft: DraftId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const VOID: &str = "UPDATE approvals SET state = 'void', decided_at = COALESCE(decided_at, $3) \
WHERE tenant_id = $1 AND draft_id = $2 AND state IN ('pending', 'approved')";
    let void = query(VOID).bind(tenant.to_string()).bind(draft.to_string()).bind(now.as_micros());
    void.execute(connection).await?;
    Ok(())
}

/// Nothing more is sent under the release that a draft has.
pub(super) async fn end_release(
    connection: &mut Connection,
    tenant: TenantId,
    draft: DraftId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const END: &str = "\
UPDATE releases SET ended_at = $3 WHERE tenant_id = $1 AND draft_id = $2 AND ended_at IS NULL RETURNING release_id";
    // A sender that holds one finds that it does not any more before it may write the end of data.
    const GIVE_UP: &str = "UPDATE transmissions SET state = 'rejected', finished_at = $3, reply = 'given up here', \
lease_owner = NULL, lease_until = NULL WHERE tenant_id = $1 AND release_id = $2 \
AND (state IN ('pending', 'deferred') OR state = 'in_flight' AND eod_started_at IS NULL)";
    let (tenant, now) = (tenant.to_string(), now.as_micros());
    let end = query(END).bind(&tenant).bind(draft.to_string()).bind(now);
    if let Some(row) = end.fetch_optional(&mut *connection).await? {
        let release: String = row.try_get(0)?;
        query(GIVE_UP).bind(&tenant).bind(release).bind(now).execute(connection).await?;
    }
    Ok(())
}

pub(super) fn read_state(word: &str) -> Result<DraftState, StoreError> {
    let unknown = || StoreError::Unreadable { what: "state", detail: "not a known word".to_owned() };
    DraftState::from_word(word).ok_or_else(unknown)
}

impl VersionRow {
    /// Whether its content was erased: a message that is one has a header.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.message.is_empty()
    }
}

fn read_draft(row: &Row) -> Result<DraftRow, StoreError> {
    fn id<T: std::str::FromStr<Err = crate::ids::InvalidId>>(
        row: &Row,
        column: usize,
        what: &'static str,
    ) -> Result<Option<T>, StoreError> {
        row.try_get::<Option<&str>>(column)?.map(|text| from_id(what, text)).transpose()
    }
    Ok(DraftRow {
        id: from_id("draft_id", row.try_get(0)?)?,
        event: id(row, 1, "event_id")?,
        mailbox: id(row, 2, "mailbox_id")?,
        thread: id(row, 3, "thread_id")?,
        answers: id(row, 4, "answers")?,
        app: id(row, 5, "app_id")?,
        agent: row.try_get(6)?,
        identity_owner: row.try_get(7)?,
        state: read_state(row.try_get(8)?)?,
        external_reply_url: row.try_get(9)?,
        version: u32::try_from(row.try_get::<i64>(10)?).unwrap_or(0),
        release_on_approval: row.try_get::<i64>(11)? == 1,
        send_at: row.try_get::<Option<i64>>(12)?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.try_get(13)?),
        updated_at: Timestamp::from_micros(row.try_get(14)?),
        outline: row.try_get(15)?,
        template: row
            .try_get::<Option<String>>(16)?
            .zip(row.try_get::<Option<i64>>(17)?.and_then(|version| u32::try_from(version).ok())),
        held_until: row.try_get::<Option<i64>>(18)?.map(Timestamp::from_micros),
        erased_at: row.try_get::<Option<i64>>(19)?.map(Timestamp::from_micros),
    })
}

fn read_version(row: &Row) -> Result<VersionRow, StoreError> {
    let path: String = row.try_get(2)?;
    let wrong = |_| StoreError::Unreadable { what: "reverse_path", detail: "no address".to_owned() };
    Ok(VersionRow {
        version: u32::try_from(row.try_get::<i64>(0)?).unwrap_or(0),
        author: from_json("author", row.try_get(1)?)?,
        reverse_path: ReversePath::try_from(path).map_err(wrong)?,
        recipients: from_json("recipients", row.try_get(3)?)?,
        message: row.try_get(4)?,
        content_hash: row.try_get(5)?,
        parts: row.try_get(6)?,
        created_at: Timestamp::from_micros(row.try_get(7)?),
    })
}
