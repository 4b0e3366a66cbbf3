//! Programs that hand mail in to be sent: which key each session showed, and its mail on to the drafts.
//!
//! # Security
//! A session's key is remembered by the session's id, beside the digest by which it was found; before each draft it is looked
//! up again, so that a key that was revoked meanwhile makes none. The key itself is not kept.

use std::sync::Arc;
use std::time::Duration;

use super::recipients::Recipients;
use super::recipients::callers::Callers;
use crate::ids::SessionId;
use crate::intake::{
    AuthenticationAnswer, Credentials, Intake, RecipientAnswer, RecipientQuery, SubmissionAnswer, SubmissionRefusal,
    SubmittedMail,
};
use crate::keys::Scope;
use crate::mail::envelope::Origin;
use crate::service::Service;
use crate::service::keys::Principal;

/// Sessions whose keys are remembered.
const SESSIONS: u64 = 20_000;
/// How long after its last message a session is remembered: longer than one may be silent and take over a message.
const REMEMBERED: Duration = Duration::from_secs(3 * 3_600);

/// What a submission door asks.
#[derive(Debug, Clone)]
pub struct Submissions {
    service: Service,
    callers: Callers,
    sessions: moka::sync::Cache<SessionId, Arc<Principal>>,
}

impl Submissions {
    /// Drafts are made by `service`; wrong credentials count together with those at the doors of `recipients`.
    #[must_use]
    pub fn new(service: Service, recipients: &Recipients) -> Self {
        let sessions = moka::sync::Cache::builder().max_capacity(SESSIONS).time_to_idle(REMEMBERED).build();
        Self { service, callers: recipients.callers(), sessions }
    }
}

impl Intake for Submissions {
    /// Nobody is a recipient here: the machine of a submission does not ask.
    async fn recipient(&self, _: &RecipientQuery<'_>) -> RecipientAnswer {
        RecipientAnswer::Foreign
    }

    async fn wants_client_certificates(&self) -> bool {
        false
    }

    async fn authenticate(&self, credentials: &Credentials, origin: &Origin) -> AuthenticationAnswer {
        match self.callers.principal(credentials, origin, Scope::DraftsWrite).await {
            Ok(principal) => {
                let id = principal.key_id();
                self.sessions.insert(origin.session, principal);
                AuthenticationAnswer::Known(id)
            }
            Err(answer) => answer,
        }
    }

    async fn submit(&self, mail: SubmittedMail) -> SubmissionAnswer {
        let known = self.sessions.get(&mail.origin.session);
        let known = known.filter(|principal| mail.origin.authenticated == Some(principal.key_id()));
        let caller = known.and_then(|principal| principal.require().ok());
        let answer = match &caller {
            Some(caller) => self.service.submit(mail, caller).await,
            None => SubmissionAnswer::Refused(SubmissionRefusal::KeyGone),
        };
        let outcome = match &answer {
            SubmissionAnswer::Drafted(_) => "drafted",
            SubmissionAnswer::Denied { .. } => "denied",
            SubmissionAnswer::Refused(SubmissionRefusal::Unavailable) => "put_off",
            SubmissionAnswer::Refused(_) => "refused",
        };
        metrics::counter!("connex_submissions_total", "outcome" => outcome).increment(1);
        answer
    }
}
