//! People's answers. Only a signed-in person can give one (here, or at an issuer that the tenant registered), and only to
//! the content that they were shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::DraftCase;
use super::release::{APPROVAL_LIFE, ReleaseAnswer, Terms};
use super::{DraftView, VerdictView, conflict, fault};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::role::Role;
use crate::governance::{Actor, Approval, Verdict};
use crate::ids::{ApprovalId, TenantId};
use crate::service::accounts::{self, SignedIn};
use crate::service::keys::{ApprovalsRead, Authenticated};
use crate::service::{Conflict, Service, ServiceError};
use crate::store::TenantStore;
use crate::store::approvals::{ApprovalRow, ApprovalState, NewRejection};

pub use crate::governance::ContentHash;

/// A person who may answer: made only from a session of one with the role, or from a token that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    tenant: TenantId,
    actor: Actor,
    role: Role,
    is_stepped_up: bool,
}

impl Approver {
    /// The person behind a session.
    #[must_use]
    pub fn of(who: &SignedIn<accounts::Approver>, now: Timestamp) -> Self {
        Self {
            tenant: who.tenant(),
            actor: Actor::User { user: who.user() },
            role: who.role(),
            is_stepped_up: who.is_stepped_up(now),
        }
    }

    /// A user of an issuer that the tenant registered, whose token says that they signed in just before; with the role of
    /// their account here, where they have one.
    #[must_use]
    pub(in crate::service) const fn of_token(tenant: TenantId, actor: Actor, role: Role) -> Self {
        Self { tenant, actor, role, is_stepped_up: true }
    }

    /// The tenant for which they answer.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Who it is.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether they proved who they are just before.
    #[must_use]
    pub const fn is_stepped_up(&self) -> bool {
        self.is_stepped_up
    }

    /// The same for tests of the layers above.
    #[cfg(test)]
    pub(crate) const fn of_test(tenant: TenantId, user: crate::ids::UserId, is_stepped_up: bool) -> Self {
        Self { tenant, actor: Actor::User { user }, role: Role::Approver, is_stepped_up }
    }
}

/// A question as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    /// Its id.
    pub id: String,
    /// `pending`, `approved`, `rejected`, `expired` or `void`.
    pub state: String,
    /// The draft.
    pub draft_id: Option<String>,
    /// Public codes of why somebody is asked.
    pub reasons: Vec<String>,
    /// The content that it is about.
    pub content_hash: Option<String>,
    /// When it was asked, RFC 3339.
    pub created_at: String,
    /// Until then, RFC 3339.
    pub expires_at: Option<String>,
    /// When it went to the next role up, as nobody had answered, RFC 3339.
    pub escalated_at: Option<String>,
    /// Until when somebody put it off, RFC 3339: it can be answered all the same.
    pub deferred_until: Option<String>,
    /// When it was answered, RFC 3339.
    pub decided_at: Option<String>,
    /// By whom: a kind and an id.
    pub decided_by: Option<String>,
    /// Why it was rejected, in a word.
    pub reject_reason: Option<String>,
    /// The page on which it is answered.
    pub url: String,
}

/// A page of questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalPage {
    /// Questions, oldest first.
    pub items: Vec<ApprovalView>,
    /// What to give as `after` for more; null where there are none.
    pub next_after: Option<String>,
}

/// All that a person is shown before answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub approval: ApprovalView,
    /// The draft, whole.
    pub draft: DraftView,
    /// What the gate says to it now; nothing, once the draft was erased.
    pub verdict: VerdictView,
    /// The text of the message that it answers, and who wrote it.
    pub answered: Option<AnsweredView>,
}

/// The message that is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredView {
    /// Its author, as it was written.
    pub author: Option<String>,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Approve {
        /// Codes of the holds that the page showed.
        shown: Vec<String>,
    },
    /// No.
    Reject {
        /// Why, in a word.
        reason: String,
        /// Why, in the person's own words.
        note: Option<String>,
    },
}

/// Words for a no.
pub const REJECT_REASONS: [&str; 5] = ["wrong_recipient", "wrong_content", "not_needed", "tone", "other"];
/// Characters of a no in a person's own words at most.
pub(super) const LONGEST_NOTE: usize = 1_000;
/// Questions of a page at most.
const PAGE: u32 = 100;

impl Service {
    /// Questions, oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a state that there is not.
    pub async fn approvals(
        &self,
        state: Option<&str>,
        after: Option<&str>,
        caller: &Authenticated<ApprovalsRead>,
    ) -> Result<ApprovalPage, ServiceError> {
        self.questions(&self.store.for_tenant(caller.principal().tenant()), state, after).await
    }

    /// One question.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn approval(
        &self,
        id: &str,
        caller: &Authenticated<ApprovalsRead>,
    ) -> Result<ApprovalView, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        Ok(self.view_of(&self.question_row(&tenant, id).await?))
    }

    /// The questions that a person may answer, oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn questions_for(&self, approver: &Approver, after: Option<&str>) -> Result<ApprovalPage, ServiceError> {
        self.questions(&self.store.for_tenant(approver.tenant), Some("pending"), after).await
    }

    /// All that a person is to see before answering.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also for one without a draft that is written.
    pub async fn question_for(&self, id: &str, approver: &Approver) -> Result<Question, ServiceError> {
        let tenant = self.store.for_tenant(approver.tenant);
        let row = self.question_row(&tenant, id).await?;
        let draft_id = row.draft.ok_or(ServiceError::NotFound("approval"))?;
        let draft = tenant.draft(draft_id).await?.ok_or(ServiceError::NotFound("approval"))?;
        if draft.erased_at.is_some() {
            return Ok(Question {
                approval: self.view_of(&row),
                draft: self.show_draft(&tenant, draft_id).await?,
                verdict: VerdictView { verdict: String::new(), reasons: Vec::new() },
                answered: None,
            });
        }
        let case = self.case_of(&tenant, &draft).await?;
        let verdict = case.verdict(self.clock().now()).await?;
        let answered = match draft.answers {
            None => None,
            Some(event) => tenant.event_content(event).await?.map(|content| AnsweredView::of(&content)),
        };
        Ok(Question {
            approval: self.view_of(&row),
            draft: self.show_draft(&tenant, draft_id).await?,
            verdict: (&verdict).into(),
            answered,
        })
    }

    /// Takes a person's answer to the content that the page showed. A yes that lifts the last hold releases the draft at
    /// once, where that was asked for; what the gate says then is in the answer.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the content is another by now, or somebody answered before.
    pub async fn answer(
        &self,
        id: &str,
        shown: ContentHash,
        answer: Answer,
        approver: &Approver,
    ) -> Result<Option<ReleaseAnswer>, ServiceError> {
        let tenant = self.store.for_tenant(approver.tenant);
        let row = self.question_row(&tenant, id).await?;
        let draft_id = row.draft.ok_or(ServiceError::NotFound("approval"))?;
        if row.state != ApprovalState::Pending {
            return Err(Conflict::State("the question was answered, or is about nothing any more").into());
        }
        let draft = tenant.draft(draft_id).await?.ok_or(ServiceError::NotFound("approval"))?;
        let case = self.case_of(&tenant, &draft).await?;
        let present = case.version.content.hash();
        if shown != present || row.content_hash != Some(present) {
            return Err(Conflict::ContentChanged.into());
        }
        let shown_holds = match answer {
            Answer::Approve { shown } => shown,
            Answer::Reject { reason, note } => {
                self.reject(&tenant, row.id, (reason, note), approver).await?;
                return Ok(None);
            }
        };
        if !approver.role.allows(case.required_role()) {
            return Err(Conflict::State("the policy asks for the yes of a person with a higher role").into());
        }
        let now = self.clock().now();
        let verdict = case.verdict(now).await?;
        let approval = Approval {
            id: row.id,
            tenant: approver.tenant,
            draft: draft_id,
            content_hash: present,
            approver: approver.actor.clone(),
            decided_at: now,
            // A yes to what is to leave later counts until then.
            expires_at: draft.send_at.map_or(now, |at| at.max(now)).plus(APPROVAL_LIFE),
            is_revoked: false,
            // What the page showed and still holds; what is not known nobody can accept.
            accepted: accepted(&verdict, &shown_holds),
            is_stepped_up: approver.is_stepped_up,
        };
        tenant.approve(approval).await.map_err(conflict)?;
        if !draft.release_on_approval {
            return Ok(None);
        }
        // With the yes on record the gate is asked again: another rule may still hold or deny it.
        let draft = tenant.draft(draft_id).await?.ok_or(ServiceError::NotFound("approval"))?;
        let case = self.case_of(&tenant, &draft).await?;
        let terms = Terms { release_on_approval: true, send_at: draft.send_at };
        self.run_gate(&tenant, &draft, case, terms, Who::Actor(approver.actor.clone())).await.map(Some)
    }

    /// Puts a question about the content that the page showed off: it stays open, and does not go to the next role up before.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the content is another by now, somebody answered before, or it is over by then.
    pub async fn defer(
        &self,
        id: &str,
        shown: ContentHash,
        until: Timestamp,
        approver: &Approver,
    ) -> Result<(), ServiceError> {
        if until <= self.clock().now() {
            return Err(fault("/until", "must be a time to come"));
        }
        let tenant = self.store.for_tenant(approver.tenant);
        let row = self.question_row(&tenant, id).await?;
        if row.content_hash != Some(shown) {
            return Err(Conflict::ContentChanged.into());
        }
        let draft_id = row.draft.ok_or(ServiceError::NotFound("approval"))?;
        let draft = tenant.draft(draft_id).await?.ok_or(ServiceError::NotFound("approval"))?;
        if !approver.role.allows(self.case_of(&tenant, &draft).await?.required_role()) {
            return Err(Conflict::State("the policy asks for a person with a higher role").into());
        }
        tenant.defer(row.id, until, approver.actor.clone()).await.map_err(conflict)
    }

    async fn reject(
        &self,
        tenant: &TenantStore,
        id: ApprovalId,
        (reason, note): (String, Option<String>),
        approver: &Approver,
    ) -> Result<(), ServiceError> {
        if !REJECT_REASONS.contains(&reason.as_str()) {
            return Err(fault("/reason", format!("must be one of {}", REJECT_REASONS.join(", "))));
        }
        let note = note.map(|note| note.chars().take(LONGEST_NOTE).collect());
        let rejection = NewRejection { approver: approver.actor.clone(), reason, note };
        tenant.reject(id, rejection).await.map_err(conflict)
    }

    async fn questions(
        &self,
        tenant: &TenantStore,
        state: Option<&str>,
        after: Option<&str>,
    ) -> Result<ApprovalPage, ServiceError> {
        let state = match state {
            None => None,
            Some(word) => {
                Some(ApprovalState::from_word(word).ok_or_else(|| fault("?state", "is no state of an approval"))?)
            }
        };
        let after: Option<ApprovalId> = match after {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| fault("?after", "is no id of an approval"))?),
        };
        let rows = tenant.approvals(state, after, PAGE).await?;
        let next_after = (rows.len() == PAGE as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
        Ok(ApprovalPage { items: rows.iter().map(|row| self.view_of(row)).collect(), next_after })
    }

    pub(super) async fn question_row(&self, tenant: &TenantStore, id: &str) -> Result<ApprovalRow, ServiceError> {
        let id: ApprovalId = id.parse().map_err(|_| ServiceError::NotFound("approval"))?;
        tenant.approval(id).await?.ok_or(ServiceError::NotFound("approval"))
    }

    pub(super) fn view_of(&self, row: &ApprovalRow) -> ApprovalView {
        ApprovalView {
            id: row.id.to_string(),
            state: row.state.as_str().to_owned(),
            draft_id: row.draft.map(|id| id.to_string()),
            reasons: row.reasons.clone(),
            content_hash: row.content_hash.map(|hash| hash.to_string()),
            created_at: row.created_at.to_string(),
            expires_at: row.expires_at.map(|at| at.to_string()),
            escalated_at: row.escalated_at.map(|at| at.to_string()),
            deferred_until: row.deferred_until.map(|at| at.to_string()),
            decided_at: row.decided_at.map(|at| at.to_string()),
            decided_by: row.decided_by.clone().map(|actor| Who::Actor(actor).to_string()),
            reject_reason: row.reject_reason.clone(),
            url: format!("{}/approvals/{}", self.base_url, row.id),
        }
    }
}

impl DraftCase {
    /// The role that a yes to it needs, by the settings that are for this draft.
    fn required_role(&self) -> Role {
        self.facts.policy.known().map_or(Role::Owner, |policy| policy.approver)
    }
}

fn accepted(verdict: &Verdict, shown: &[String]) -> Vec<String> {
    let holds = verdict.reasons().iter().filter(|one| !one.is_unknown && shown.iter().any(|code| code == one.code));
    holds.map(|one| one.code.to_owned()).collect()
}

impl AnsweredView {
    fn of(content: &serde_json::Value) -> Self {
        let text = |pointer: &str| content.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
        Self {
            author: text("/author/address"),
            subject: text("/subject").unwrap_or_default(),
            text: text("/text").unwrap_or_default(),
        }
    }
}
