//! People's answers over JSON: by a signed-in person, or by a user of an issuer that the tenant registered. Both go the one
//! way of [`Service::answer`], as the pages do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::approvals::{Answer, ApprovalView, Approver, ContentHash, LONGEST_NOTE};
use super::fault;
use super::release::ReleaseAnswer;
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::service::issuers::{Shown, TokenRefusal};
use crate::service::once::{self, Answered, CallKey};
use crate::service::{Service, ServiceError};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, ApprovalState};

/// Yes, no, or not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
    /// Not now.
    Defer,
}

/// Body of an answer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionRequest {
    /// Yes, no, or not now.
    pub decision: Decision,
    /// The content that the person was shown: 64 hexadecimal digits.
    #[schema(min_length = 64, max_length = 64)]
    pub content_hash: String,
    /// Why it is a no: `wrong_recipient`, `wrong_content`, `not_needed`, `tone` or `other`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 40)]
    pub reason: Option<String>,
    /// The same in the person's own words.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
    /// Until when it is put off, RFC 3339: before the question is over.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 40)]
    pub until: Option<String>,
    /// Codes of the holds that the person was shown and says yes to; those of others stay.
    #[serde(default)]
    #[schema(max_items = 40)]
    pub accepts: Vec<String>,
}

/// What came of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionAnswer {
    /// The question, as it stands now.
    pub approval: ApprovalView,
    /// What the gate said to the draft then, where a yes was to release it at once.
    pub release: Option<ReleaseAnswer>,
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// A yes to this needs a person who proved who they are not long ago.
    #[error("a yes to what is of high risk needs a person who signed in again just before")]
    StepUp,
    /// The token counts for nothing here.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// As every call.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for Undecided {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl Service {
    /// Takes the answer of a person. The same under another key is answered with how the question stands.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn decide(
        &self,
        id: &str,
        request: DecisionRequest,
        call: CallKey,
        approver: &Approver,
    ) -> Result<Answered<DecisionAnswer>, Undecided> {
        let hash = content_hash(&request)?;
        self.decide_once(id, (request, hash), call, (approver, None)).await
    }

    /// Takes the answer of a user of a registered issuer.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn decide_by_token(
        &self,
        id: &str,
        request: DecisionRequest,
        call: CallKey,
        token: &str,
    ) -> Result<Answered<DecisionAnswer>, Undecided> {
        let hash = content_hash(&request)?;
        let Shown { approver, token_hash, expires_at } = self.shown_token(id, token, hash).await?;
        self.decide_once(id, (request, hash), call, (&approver, Some((token_hash, expires_at)))).await
    }

    /// A token, where one was shown, decides once.
    async fn decide_once(
        &self,
        id: &str,
        (request, hash): (DecisionRequest, ContentHash),
        call: CallKey,
        (approver, token): (&Approver, Option<([u8; 32], Timestamp)>),
    ) -> Result<Answered<DecisionAnswer>, Undecided> {
        let (tenant, person) = (self.store.for_tenant(approver.tenant()), Who::Actor(approver.actor().clone()));
        if let Some(known) = once::before(&tenant, Some(&call), &person).await? {
            return Ok(known);
        }
        let answer = match self.decided_alike(id, (&request, hash), approver).await? {
            Some(answer) => answer,
            None => {
                if let Some((token_hash, expires_at)) = token {
                    match tenant.spend_token(token_hash, expires_at).await {
                        Err(StoreError::Exists(_)) => {
                            let used = "the token decided before; a user signs in anew for each decision";
                            return Err(TokenRefusal::Invalid(used.to_owned()).into());
                        }
                        spent => spent?,
                    }
                }
                self.decide_now(id, (request, hash), approver).await?
            }
        };
        Ok(once::kept(&tenant, call, &person, answer).await?)
    }

    async fn decide_now(
        &self,
        id: &str,
        (request, hash): (DecisionRequest, ContentHash),
        approver: &Approver,
    ) -> Result<DecisionAnswer, Undecided> {
        let tenant = self.store.for_tenant(approver.tenant());
        let answer = match request.decision {
            Decision::Approve => {
                let row = self.question_row(&tenant, id).await?;
                // Without it the gate would hold what the person believes to have let go.
                let is_grave = row.reasons.iter().any(|code| code == "risk_high");
                if is_grave && row.state == ApprovalState::Pending && !approver.is_stepped_up() {
                    return Err(Undecided::StepUp);
                }
                Some(Answer::Approve { shown: request.accepts })
            }
            Decision::Reject => {
                let reason = request.reason.ok_or_else(|| fault("/reason", "is needed for a no"))?;
                Some(Answer::Reject { reason, note: request.note.as_deref().and_then(kept_note) })
            }
            Decision::Defer => {
                let until = request.until.as_deref().and_then(Timestamp::parse_rfc3339);
                let until = until.ok_or_else(|| fault("/until", "must be a time as RFC 3339 writes it"))?;
                self.defer(id, hash, until, approver).await?;
                None
            }
        };
        let release = match answer {
            Some(answer) => self.answer(id, hash, answer, approver).await?,
            None => None,
        };
        Ok(DecisionAnswer { approval: self.view_of(&self.question_row(&tenant, id).await?), release })
    }

    /// How the question stands, where this very person gave this very answer before.
    async fn decided_alike(
        &self,
        id: &str,
        (request, hash): (&DecisionRequest, ContentHash),
        approver: &Approver,
    ) -> Result<Option<DecisionAnswer>, Undecided> {
        let row = self.question_row(&self.store.for_tenant(approver.tenant()), id).await?;
        let by_same = row.decided_by.as_ref() == Some(approver.actor()) && row.content_hash == Some(hash);
        Ok((by_same && is_same(&row, request)).then(|| DecisionAnswer { approval: self.view_of(&row), release: None }))
    }
}

/// Whether a question was answered with just this. To put it off is done again each time: the time is another.
fn is_same(row: &ApprovalRow, request: &DecisionRequest) -> bool {
    match (row.state, request.decision) {
        (ApprovalState::Approved, Decision::Approve) => {
            // Of what a person says yes to, only what held the draft is kept.
            let held = |code: &&String| row.reasons.contains(code) || row.accepted.contains(code);
            let accepts: BTreeSet<&String> = request.accepts.iter().filter(held).collect();
            accepts == row.accepted.iter().collect()
        }
        (ApprovalState::Rejected, Decision::Reject) => {
            row.reject_reason == request.reason && row.note == request.note.as_deref().and_then(kept_note)
        }
        _ => false,
    }
}

/// A note as it is kept; `None` for one without words.
fn kept_note(note: &str) -> Option<String> {
    (!note.trim().is_empty()).then(|| note.chars().take(LONGEST_NOTE).collect())
}

fn content_hash(request: &DecisionRequest) -> Result<ContentHash, ServiceError> {
    request.content_hash.parse().map_err(|_| fault("/contentHash", "must be 64 hexadecimal digits"))
}
