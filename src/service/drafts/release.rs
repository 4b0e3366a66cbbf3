//! Asking for release: the gate speaks, and the draft takes the step that follows.
//!
//! The same for every door. Nobody who asks can make a release: where the gate says `hold`, people are asked; a release is
//! made of a person's yes to this very content, or of the policy of the mailbox for what is of low risk.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::DraftCase;
use super::ground::behind_quiet_hours;
use super::weigh::weigh;
use super::{VerdictView, actor_of, conflict, fault};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::facts::Facts;
use crate::governance::gate::{Refused, ReleaseTerms};
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::governance::{Disposition, Draft, Reason, ReleaseRow, Ruling, Verdict, Version};
use crate::ids::{ApprovalId, DraftId, ReleaseId};
use crate::service::keys::{Authenticated, DraftsWrite};
use crate::service::once::{self, Answered, CallKey};
use crate::service::{Conflict, Service, ServiceError};
use crate::store::TenantStore;
use crate::store::approvals::NewQuestion;
use crate::store::audit::NewEntry;
use crate::store::drafts::DraftRow;
use crate::store::drafts::waiting::NewHold;
use crate::store::releases::NewRelease;
use crate::store::verdicts::Occasion;

/// Body of a request for release; every field may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReleaseRequest {
    /// The content that is to be released: with another by now, nothing is done.
    #[schema(min_length = 64, max_length = 64)]
    pub content_hash: Option<String>,
    /// Whether an approval that lifts the last hold releases it at once; true unless told.
    pub release_on_approval: Option<bool>,
    /// Not before then does it leave, RFC 3339.
    #[schema(max_length = 40)]
    pub send_at: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseAnswer {
    /// The draft.
    pub draft_id: String,
    /// How far it has come now.
    pub state: String,
    /// Its version.
    pub version: u32,
    /// The hash of that version.
    pub content_hash: String,
    /// What the gate says.
    #[serde(flatten)]
    pub verdict: VerdictView,
    /// The question that people are asked, where they are.
    pub approval_id: Option<String>,
    /// The page on which they answer.
    pub approval_url: Option<String>,
    /// The release, where there is one.
    pub release_id: Option<String>,
    /// Where a person answers in the app's own pages, where the source app sends.
    pub external_reply_url: Option<String>,
}

/// When and how a draft may leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) release_on_approval: bool,
    pub(crate) send_at: Option<Timestamp>,
}

/// How long a yes counts.
pub(crate) const APPROVAL_LIFE: Duration = Duration::from_hours(7 * 24);
/// How long after its time a release is tried.
const RELEASE_LIFE: Duration = Duration::from_hours(5 * 24);
/// The farthest time for which a draft can be scheduled.
const FARTHEST: Duration = Duration::from_hours(365 * 24);

impl Service {
    /// Asks the gate to let a draft out.
    ///
    /// # Errors
    /// [`ServiceError::Denied`] where the gate denies it; [`ServiceError::Conflict`] for other content, or where it is out
    /// of hand.
    pub async fn request_release(
        &self,
        id: &str,
        request: ReleaseRequest,
        call: CallKey,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<Answered<ReleaseAnswer>, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let key = caller.principal().key_id();
        if let Some(known) = once::before(&tenant, Some(&call), key).await? {
            return Ok(known);
        }
        let answer = self.ask_for_release(&tenant, id, request, caller).await?;
        // The step is taken, and is taken once: whoever asks again finds the draft where it is.
        once::kept(&tenant, call, key, answer).await
    }

    /// The same for one that is not called over HTTP.
    pub(super) async fn ask_for_release(
        &self,
        tenant: &TenantStore,
        id: &str,
        request: ReleaseRequest,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<ReleaseAnswer, ServiceError> {
        let draft = self.draft_row(tenant, id).await?;
        if let Some(mailbox) = self.maybe_mailbox_of(tenant, &draft).await? {
            self.may_write_as(tenant, &mailbox, caller).await?;
        }
        let now = self.clock().now();
        let send_at = match &request.send_at {
            None => None,
            Some(text) => Some(
                Timestamp::parse_rfc3339(text)
                    .filter(|at| *at <= now.plus(FARTHEST))
                    .ok_or_else(|| fault("/sendAt", "is no RFC 3339 time within the next year"))?,
            ),
        };
        let case = self.case_leaving(tenant, &draft, send_at.or(draft.send_at)).await?;
        let is_other = |hash: &String| *hash != case.version.content.hash().to_string();
        if request.content_hash.as_ref().is_some_and(is_other) {
            return Err(Conflict::ContentChanged.into());
        }
        if let Some(answer) = self.released_before(tenant, &draft).await? {
            return Ok(answer);
        }
        // What was denied stays so; whoever lost the answer gets it again.
        if draft.state == DraftState::Denied {
            let verdict = case.verdict(now).await?;
            if verdict.ruling() == Ruling::Deny {
                return Err(ServiceError::Denied(Box::new((&verdict).into())));
            }
        }
        let terms = Terms { release_on_approval: request.release_on_approval.unwrap_or(true), send_at };
        self.run_gate(tenant, &draft, case, terms, Who::Actor(actor_of(caller.principal()))).await
    }

    /// What a request was answered that came before: a caller who lost the answer asks again.
    async fn released_before(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
    ) -> Result<Option<ReleaseAnswer>, ServiceError> {
        if !matches!(draft.state, DraftState::Released | DraftState::Sending | DraftState::Sent) {
            return Ok(None);
        }
        let releases = tenant.releases_of(draft.id).await?;
        let Some(last) = releases.last().filter(|release| release.version == draft.version) else { return Ok(None) };
        Ok(Some(ReleaseAnswer {
            draft_id: draft.id.to_string(),
            state: draft.state.as_str().to_owned(),
            version: draft.version,
            content_hash: last.row.content_hash.to_string(),
            verdict: VerdictView { verdict: "release".to_owned(), reasons: Vec::new() },
            approval_id: None,
            approval_url: None,
            release_id: Some(last.row.id.to_string()),
            external_reply_url: None,
        }))
    }

    /// Runs the gate on a draft's present version, and takes the step that follows.
    pub(crate) async fn run_gate(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        case: DraftCase,
        terms: Terms,
        who: Who,
    ) -> Result<ReleaseAnswer, ServiceError> {
        let now = self.clock().now();
        let judged = weigh(&case.version, &case.facts, move |version, facts| Disposition::of(version, facts, now));
        let (disposition, verdict) = judged.await?;
        self.keep_verdict(tenant, (&case, &verdict), (Occasion::Request, now)).await?;
        let mut answer = ReleaseAnswer {
            draft_id: draft.id.to_string(),
            state: draft.state.as_str().to_owned(),
            version: draft.version,
            content_hash: case.version.content.hash().to_string(),
            verdict: (&verdict).into(),
            approval_id: None,
            approval_url: None,
            release_id: None,
            external_reply_url: None,
        };
        let state = match disposition {
            Disposition::Release => {
                answer.release_id = Some(self.release(tenant, draft, case, terms, who).await?.to_string());
                DraftState::Released
            }
            Disposition::Hold => {
                let (state, approval) = self.hold(tenant, draft, (&case, &verdict), terms, who).await?;
                answer.approval_url = approval.map(|id| format!("{}/approvals/{id}", self.base_url));
                answer.approval_id = approval.map(|id| id.to_string());
                state
            }
            Disposition::HandOff(handoff) => {
                answer.external_reply_url = handoff.external_reply_url;
                let detail = serde_json::json!({ "contentHash": handoff.content_hash });
                let entry = NewEntry::new(who, "draft.handed_off", draft.id, detail);
                tenant.step_draft(draft.id, DraftEvent::HandOff, entry).await.map_err(conflict)?
            }
            Disposition::Deny => {
                let detail =
                    serde_json::json!({ "contentHash": case.version.content.hash(), "codes": verdict.codes() });
                let entry = NewEntry::new(who, "draft.denied", draft.id, detail);
                tenant.step_draft(draft.id, DraftEvent::Deny, entry).await.map_err(conflict)?;
                return Err(ServiceError::Denied(Box::new((&verdict).into())));
            }
        };
        state.as_str().clone_into(&mut answer.state);
        Ok(answer)
    }

    /// Makes the release and stores it.
    async fn release(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        case: DraftCase,
        terms: Terms,
        who: Who,
    ) -> Result<ReleaseId, ServiceError> {
        let now = self.clock().now();
        let send_at = terms.send_at.map_or(now, |at| at.max(now));
        // The gate let it out for then.
        let behind = case.facts.policy.known().and_then(|policy| behind_quiet_hours(policy, send_at).known().copied());
        let send_at = behind.unwrap_or(send_at);
        let gate_terms = ReleaseTerms { id: self.clock().mint(), expires_at: send_at.plus(RELEASE_LIFE) };
        let minted = weigh(&case.version, &case.facts, move |version, facts| mint(version, facts, gate_terms, now));
        let row = minted.await?.map_err(|refused| ServiceError::Internal(refused.into()))?;
        let id = row.id;
        let domain = case.facts.domain.known().map(|domain| &domain.name);
        let route = self.way_of(tenant, row.owner, domain).await?.route;
        let receipt = self.receipt_of(&row, draft.version, &case, route);
        let new = NewRelease {
            row,
            version: draft.version,
            send_at,
            agent: draft.agent.clone(),
            similarity: case.likeness,
            newcomers: case.newcomers,
            counted: case.counted.clone(),
            asked_by: who,
            receipt,
        };
        tenant.release_draft(new).await.map_err(conflict)?;
        Ok(id)
    }

    /// Looks again at a draft that waits for a pause or a quota to end: it goes the way of every release, with the yes that
    /// it has, and asks people only where that counts no more.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub(crate) async fn look_at_held(&self, tenant: &TenantStore, id: DraftId) -> Result<(), ServiceError> {
        let Some(draft) = tenant.draft(id).await?.filter(|draft| draft.held_until.is_some()) else { return Ok(()) };
        let case = self.case_of(tenant, &draft).await?;
        let terms = Terms { release_on_approval: draft.release_on_approval, send_at: draft.send_at };
        match self.run_gate(tenant, &draft, case, terms, Who::Gateway).await {
            // Somebody was faster, or it is denied, which is on record.
            Ok(_) | Err(ServiceError::Conflict(_) | ServiceError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks people again about a draft that was released, and that the gate holds at the moment of sending.
    pub(crate) async fn ask_again(
        &self,
        tenant: &TenantStore,
        (draft, release): (DraftId, ReleaseId),
        case: &DraftCase,
        who: Who,
    ) -> Result<(), ServiceError> {
        let row = tenant.draft(draft).await?.ok_or(ServiceError::NotFound("draft"))?;
        let verdict = case.verdict(self.clock().now()).await?;
        let terms = Terms { release_on_approval: row.release_on_approval, send_at: row.send_at };
        self.ask(tenant, (draft, Some(release)), (case, &verdict), terms, who).await.map(|_| ())
    }

    /// Opens a question where an answer can lift a hold. What only time lifts waits as it is, with the yes that it has, and
    /// is looked at again by [`crate::pipeline`]'s round.
    async fn hold(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        (case, verdict): (&DraftCase, &Verdict),
        terms: Terms,
        who: Who,
    ) -> Result<(DraftState, Option<ApprovalId>), ServiceError> {
        if goes_on_by_itself(draft.state, verdict) {
            let hold = NewHold {
                draft: draft.id,
                version: draft.version,
                release_on_approval: terms.release_on_approval,
                send_at: terms.send_at,
                reasons: verdict.codes(),
                asked_by: who,
            };
            tenant.hold_draft(hold).await.map_err(conflict)?;
            return Ok((draft.state, None));
        }
        if draft.state == DraftState::PendingApproval {
            // The question that waits is about this content: an edit would have ended it.
            let waiting = tenant.approvals_of(draft.id).await?;
            let waiting = waiting.iter().find(|row| row.state == crate::store::approvals::ApprovalState::Pending);
            return Ok((DraftState::PendingApproval, waiting.map(|row| row.id)));
        }
        let id = self.ask(tenant, (draft.id, None), (case, verdict), terms, who).await?;
        Ok((DraftState::PendingApproval, Some(id)))
    }

    async fn ask(
        &self,
        tenant: &TenantStore,
        (draft, instead_of): (DraftId, Option<ReleaseId>),
        (case, verdict): (&DraftCase, &Verdict),
        terms: Terms,
        who: Who,
    ) -> Result<ApprovalId, ServiceError> {
        let (id, now): (ApprovalId, _) = (self.clock().mint(), self.clock().now());
        let policy = case.facts.policy.known().cloned().unwrap_or_default();
        let question = NewQuestion {
            id,
            draft,
            content_hash: case.version.content.hash(),
            reasons: verdict.codes(),
            expires_at: now.plus(policy.question_life()),
            escalate_at: policy.escalation().map(|after| now.plus(after)),
            release_on_approval: terms.release_on_approval,
            send_at: terms.send_at,
            instead_of,
            asked_by: who,
        };
        tenant.ask_approval(question).await.map_err(conflict)?;
        Ok(id)
    }
}

/// Whether a draft whose release is asked for needs nobody to go on, but time.
fn goes_on_by_itself(state: DraftState, verdict: &Verdict) -> bool {
    matches!(state, DraftState::Draft | DraftState::Approved) && verdict.reasons().iter().all(is_lifted_by_time)
}

/// Whether a hold goes by itself.
pub(crate) fn is_lifted_by_time(reason: &Reason) -> bool {
    match reason.code {
        "sending_paused" | "quota_exceeded" | "bulk_pattern" | "quiet_hours" => true,
        // They hold as long as DNS does not answer, and deny where the proof or the record is gone.
        "domain_unverified" | "domain_keys_missing" => reason.ruling == Ruling::Hold && !reason.is_unknown,
        _ => false,
    }
}

/// Goes through the gate with the newest yes that counts, or by policy where none does.
fn mint(version: &Version, facts: &Facts, terms: ReleaseTerms, now: Timestamp) -> Result<ReleaseRow, Refused> {
    let approvals = facts.approvals.known().map(Vec::as_slice).unwrap_or_default();
    for approval in approvals.iter().rev() {
        let Ok(approved) = Draft::new(version.clone()).approve(approval) else { continue };
        match approved.release(terms, facts, now) {
            Ok((_, row)) => return Ok(row),
            Err(Refused::Evidence) => {}
            Err(refused) => return Err(refused),
        }
    }
    let policy = facts.policy.known().map(|policy| policy.version.clone()).unwrap_or_default();
    let (_, row) = Draft::new(version.clone()).approve_by_policy(&policy).release(terms, facts, now)?;
    Ok(row)
}
