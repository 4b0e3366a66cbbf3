//! Questions to people about drafts, and their answers. An answer is bound to the content that the person was shown; a
//! question is answered once. What becomes of one that nobody answers is [`overdue`].

mod deferred;
pub mod overdue;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::drafts::waiting::LOOK_AGAIN;
use super::drafts::{end_release, lock_draft, step, void_approvals};
use super::notices::tell;
use super::outcomes::{DraftOutcome, note_outcome};
use super::releases::is_open;
use super::sql::{Row, built, query};
use super::{StoreError, TenantStore, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::chain::Link;
use crate::governance::lifecycle::DraftEvent;
use crate::governance::notice::NoticeKind;
use crate::governance::{Actor, Approval, ContentHash};
use crate::ids::{ApprovalId, DraftId, EventId, ReleaseId};

/// How a question to a person stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    /// Nobody has answered yet.
    Pending,
    /// Somebody said yes.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// What was asked about is not so any more.
    Void,
}

impl ApprovalState {
    const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Void];

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// The event for which a decision asked.
    pub event: Option<EventId>,
    /// The draft that waits for it.
    pub draft: Option<DraftId>,
    /// Public codes of why somebody is asked.
    pub reasons: Vec<String>,
    /// How it stands.
    pub state: ApprovalState,
    /// The content that it is about; `None` where nothing is written yet.
    pub content_hash: Option<ContentHash>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until then an answer is waited for, and from then on a yes counts no more.
    pub expires_at: Option<Timestamp>,
    /// When it went to the next role up, as nobody had answered.
    pub escalated_at: Option<Timestamp>,
    /// Until when somebody put it off.
    pub deferred_until: Option<Timestamp>,
    /// When it was answered.
    pub decided_at: Option<Timestamp>,
    /// By whom.
    pub decided_by: Option<Actor>,
    /// Codes of the holds that were accepted.
    pub accepted: Vec<String>,
    /// Whether whoever answered had just signed in again.
    pub is_stepped_up: bool,
    /// Why it was rejected, in a word.
    pub reject_reason: Option<String>,
    /// The same in the approver's own words.
    pub note: Option<String>,
}

/// A question to be asked.
#[derive(Debug, Clone)]
pub struct NewQuestion {
    /// Its id.
    pub id: ApprovalId,
    /// The draft.
    pub draft: DraftId,
    /// The content that it is about.
    pub content_hash: ContentHash,
    /// Why somebody is asked.
    pub reasons: Vec<&'static str>,
    /// Until then.
    pub expires_at: Timestamp,
    /// When it goes to the next role up, where nobody answered before.
    pub escalate_at: Option<Timestamp>,
    /// Whether a yes releases it at once, and when it may leave.
    pub release_on_approval: bool,
    /// Not before then does it leave.
    pub send_at: Option<Timestamp>,
    /// The release that the gate holds at the moment of sending; where it is over by now, nobody is asked.
    pub instead_of: Option<ReleaseId>,
    /// Who asks for the release.
    pub asked_by: Who,
}

/// A person's no.
#[derive(Debug, Clone)]
pub struct NewRejection {
    /// Who says no.
    pub approver: Actor,
    /// Why, in a word.
    pub reason: String,
    /// Why, in the approver's own words.
    pub note: Option<String>,
}

const COLUMNS: &str = "SELECT approval_id, event_id, draft_id, reasons, state, content_hash, created_at, expires_at, \
decided_at, decided_by, accepted, is_stepped_up, reject_reason, note, escalated_at, deferred_until FROM approvals";

impl TenantStore {
    /// Asks people about a draft, which waits from now on. Questions about it that waited before are over.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the draft's state does not allow it; [`StoreError::NotFound`].
    pub async fn ask_approval(&self, new: NewQuestion) -> Result<(), StoreError> {
        const TERMS: &str =
            "UPDATE drafts SET release_on_approval = $3, send_at = $4 WHERE tenant_id = $1 AND draft_id = $2";
        const ASK: &str = "\
INSERT INTO approvals (tenant_id, approval_id, draft_id, event_id, reasons, state, content_hash, created_at, expires_at, escalate_at)
SELECT $1, $2, $3, event_id, $4, 'pending', $5, $6, $7, $8 FROM drafts WHERE tenant_id = $1 AND draft_id = $3";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    if let Some(release) = new.instead_of {
                        lock_draft(connection, tenant, new.draft).await?;
                        if !is_open(connection, tenant, release).await? {
                            return Err(StoreError::Conflict("the release is over"));
                        }
                    }
                    step(connection, tenant, new.draft, DraftEvent::Hold, now).await?;
                    void_approvals(connection, tenant, new.draft, now).await?;
                    end_release(connection, tenant, new.draft, now).await?;
                    let terms = query(TERMS)
                        .bind(tenant.to_string())
                        .bind(new.draft.to_string())
                        .bind(i64::from(new.release_on_approval))
                        .bind(new.send_at.map(Timestamp::as_micros));
                    terms.execute(&mut *connection).await?;
                    let ask = query(ASK)
                        .bind(tenant.to_string())
                        .bind(new.id.to_string())
                        .bind(new.draft.to_string())
                        .bind(to_json("reasons", &new.reasons)?)
                        .bind(new.content_hash.to_string())
                        .bind(now.as_micros())
                        .bind(new.expires_at.as_micros())
                        .bind(new.escalate_at.map(Timestamp::as_micros));
                    ask.execute(&mut *connection).await?;
                    tell(connection, tenant, NoticeKind::ApprovalWaits, new.id.to_string(), now).await?;
                    let detail = json!({ "approval": new.id, "contentHash": new.content_hash, "reasons": new.reasons });
                    let entry = NewEntry::new(new.asked_by, Link::Asked.action(), new.draft, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Records a person's yes to a question that waits for it; the draft counts as approved.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody answered before, it is too late, or the draft is not what was asked about any
    /// more; [`StoreError::NotFound`].
    pub async fn approve(&self, approval: Approval) -> Result<(), StoreError> {
        const YES: &str = "\
UPDATE approvals SET state = 'approved', decided_at = $3, decided_by = $4, accepted = $5, is_stepped_up = $6, expires_at = $7
WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending' AND content_hash = $8 AND expires_at > $3 AND draft_id = $9";
        // Should whoever releases it now be lost, the round over what waits does it.
        const GO_ON: &str =
            "UPDATE drafts SET held_until = $3 WHERE tenant_id = $1 AND draft_id = $2 AND release_on_approval = 1";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let yes = query(YES)
                        .bind(tenant.to_string())
                        .bind(approval.id.to_string())
                        .bind(approval.decided_at.as_micros())
                        .bind(to_json("decided_by", &approval.approver)?)
                        .bind(to_json("accepted", &approval.accepted)?)
                        .bind(i64::from(approval.is_stepped_up))
                        .bind(approval.expires_at.as_micros())
                        .bind(approval.content_hash.to_string())
                        .bind(approval.draft.to_string());
                    if yes.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict(
                            "the question was answered, is too old, or is about other content",
                        ));
                    }
                    step(connection, tenant, approval.draft, DraftEvent::Approve, now).await?;
                    let go_on = query(GO_ON).bind(tenant.to_string()).bind(approval.draft.to_string());
                    go_on.bind(now.plus(LOOK_AGAIN).as_micros()).execute(&mut *connection).await?;
                    let said = DraftOutcome { draft: approval.draft, outcome: "approved", reason: None, note: None };
                    note_outcome(connection, tenant, said, now).await?;
                    let detail = json!({ "approval": approval.id, "contentHash": approval.content_hash,
                        "accepted": approval.accepted, "steppedUp": approval.is_stepped_up });
                    let entry =
                        NewEntry::new(Who::Actor(approval.approver), Link::Approved.action(), approval.draft, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Records a person's no to a question that waits for an answer; the draft's version is denied.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody answered before; [`StoreError::NotFound`].
    pub async fn reject(&self, id: ApprovalId, rejection: NewRejection) -> Result<(), StoreError> {
        const NO: &str = "\
UPDATE approvals SET state = 'rejected', decided_at = $3, decided_by = $4, reject_reason = $5, note = $6
WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending' RETURNING draft_id";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let no = query(NO)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(now.as_micros())
                        .bind(to_json("decided_by", &rejection.approver)?)
                        .bind(&rejection.reason)
                        .bind(&rejection.note);
                    let row = no.fetch_optional(&mut *connection).await?;
                    let row = row.ok_or(StoreError::Conflict("the question was answered before"))?;
                    let draft: Option<DraftId> =
                        row.try_get::<Option<&str>>(0)?.map(|text| from_id("draft_id", text)).transpose()?;
                    if let Some(draft) = draft {
                        step(connection, tenant, draft, DraftEvent::Deny, now).await?;
                        let reason = Some(rejection.reason.as_str());
                        let said = DraftOutcome { draft, outcome: "rejected", reason, note: rejection.note.as_deref() };
                        note_outcome(connection, tenant, said, now).await?;
                    }
                    let subject = draft.map_or_else(|| id.to_string(), |draft| draft.to_string());
                    let detail = json!({ "approval": id, "reason": rejection.reason });
                    let entry = NewEntry::new(Who::Actor(rejection.approver), "approval.rejected", subject, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// One question.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        const ONE: &str = " WHERE tenant_id = $1 AND approval_id = $2";
        let one = built(format!("{COLUMNS}{ONE}")).bind(self.tenant.to_string()).bind(id.to_string());
        one.fetch_optional(&self.store.readers).await?.as_ref().map(read).transpose()
    }

    /// Questions behind `after`, oldest first, at most `limit`; of one state where one is named.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn approvals(
        &self,
        state: Option<ApprovalState>,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        const SOME: &str =
            " WHERE tenant_id = $1 AND state = COALESCE($2, state) AND approval_id > $3 ORDER BY approval_id LIMIT $4";
        let some = built(format!("{COLUMNS}{SOME}"))
            .bind(self.tenant.to_string())
            .bind(state.map(ApprovalState::as_str))
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        some.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }

    /// Every question about a draft, oldest first; the newest 100.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn approvals_of(&self, draft: DraftId) -> Result<Vec<ApprovalRow>, StoreError> {
        const SOME: &str = " WHERE tenant_id = $1 AND draft_id = $2 ORDER BY approval_id DESC LIMIT 100";
        let some = built(format!("{COLUMNS}{SOME}")).bind(self.tenant.to_string()).bind(draft.to_string());
        let mut rows: Vec<_> = some.fetch_all(&self.store.readers).await?.iter().map(read).collect::<Result<_, _>>()?;
        rows.reverse();
        Ok(rows)
    }
}

impl ApprovalRow {
    /// The yes that it is, for the gate; `None` where it is none. One that was taken back says so.
    #[must_use]
    pub fn as_yes(&self, tenant: crate::ids::TenantId) -> Option<Approval> {
        let is_revoked = match self.state {
            ApprovalState::Approved => false,
            ApprovalState::Void => true,
            ApprovalState::Pending | ApprovalState::Rejected | ApprovalState::Expired => return None,
        };
        Some(Approval {
            id: self.id,
            tenant,
            draft: self.draft?,
            content_hash: self.content_hash?,
            approver: self.decided_by.clone()?,
            decided_at: self.decided_at?,
            expires_at: self.expires_at?,
            is_revoked,
            accepted: self.accepted.clone(),
            is_stepped_up: self.is_stepped_up,
        })
    }
}

fn read(row: &Row) -> Result<ApprovalRow, StoreError> {
    let unknown = || StoreError::Unreadable { what: "state", detail: "not a known word".to_owned() };
    let no_hash = |_| StoreError::Unreadable { what: "content_hash", detail: "not 64 hexadecimal digits".to_owned() };
    let time = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>>(column)?.map(Timestamp::from_micros));
    Ok(ApprovalRow {
        id: from_id("approval_id", row.try_get(0)?)?,
        event: row.try_get::<Option<&str>>(1)?.map(|text| from_id("event_id", text)).transpose()?,
        draft: row.try_get::<Option<&str>>(2)?.map(|text| from_id("draft_id", text)).transpose()?,
        reasons: from_json("reasons", row.try_get(3)?)?,
        state: ApprovalState::from_word(row.try_get(4)?).ok_or_else(unknown)?,
        content_hash: row.try_get::<Option<&str>>(5)?.map(|text| text.parse().map_err(no_hash)).transpose()?,
        created_at: Timestamp::from_micros(row.try_get(6)?),
        expires_at: time(7)?,
        decided_at: time(8)?,
        decided_by: row.try_get::<Option<&str>>(9)?.map(|text| from_json("decided_by", text)).transpose()?,
        accepted: row.try_get::<Option<&str>>(10)?.map_or(Ok(Vec::new()), |text| from_json("accepted", text))?,
        is_stepped_up: row.try_get::<i64>(11)? == 1,
        reject_reason: row.try_get(12)?,
        note: row.try_get(13)?,
        escalated_at: time(14)?,
        deferred_until: time(15)?,
    })
}
