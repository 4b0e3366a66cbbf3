//! Drafts by submission: what a mail library "sends" is proposed, and the gate is asked at once.
//!
//! The mailbox is the one that From names; who gets it is the envelope's alone, and those whom To and Cc do not name are
//! blind recipients. Handed in again under its Message-ID, as after a lost reply, it is the same draft.
//!
//! # Security
//! The key's bindings decide as for `POST /api/v1/drafts`. What leaves has a header made here; every rule of the gate sees it
//! together with the body that came.

use super::files::told;
use super::parts::{Body, Parts, Writing};
use super::release::{ReleaseAnswer, ReleaseRequest};
use crate::event::CanonicalEvent;
use crate::governance::lifecycle::DraftState;
use crate::ids::{DraftId, EventId, ThreadId};
use crate::intake::{DraftOutcome, Drafted, SubmissionAnswer, SubmissionRefusal, SubmittedMail};
use crate::mail::compose::{Named, Writer};
use crate::mail::submitted::{self, Submitted};
use crate::service::evaluate::sha256;
use crate::service::keys::{Authenticated, DraftsWrite};
use crate::service::once::{Answered, CallKey};
use crate::service::{Conflict, Service, ServiceError};
use crate::store::TenantStore;
use crate::store::directory::MailboxRow;

/// Why there is no answer of the gate.
enum Stopped {
    Refused(SubmissionRefusal),
    Failed(ServiceError),
}

impl From<ServiceError> for Stopped {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(_) => Self::Refused(SubmissionRefusal::NotYours),
            ServiceError::Invalid(_) => Self::Refused(SubmissionRefusal::Value),
            error => Self::Failed(error),
        }
    }
}

impl From<crate::store::StoreError> for Stopped {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Service {
    /// Makes a draft of a message and asks for its release.
    pub async fn submit(&self, mail: SubmittedMail, caller: &Authenticated<DraftsWrite>) -> SubmissionAnswer {
        match Box::pin(self.take(mail, caller)).await {
            Ok(answer) => answer,
            Err(Stopped::Refused(refusal)) => SubmissionAnswer::Refused(refusal),
            Err(Stopped::Failed(error)) => {
                tracing::warn!(error.kind = "submission", temporary = true, "A submission is put off: {error}");
                SubmissionAnswer::Refused(SubmissionRefusal::Unavailable)
            }
        }
    }

    async fn take(
        &self,
        mail: SubmittedMail,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<SubmissionAnswer, Stopped> {
        if !self.standing(caller).is_valid().await? {
            return Err(Stopped::Refused(SubmissionRefusal::KeyGone));
        }
        let read = submitted::read(&mail.bytes).map_err(|unfit| Stopped::Refused(SubmissionRefusal::Unfit(unfit)))?;
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let not_yours = |_| Stopped::Refused(SubmissionRefusal::NotYours);
        let mailbox =
            self.mailbox_named(&tenant, &read.from.mailbox.to_string()).await.map_err(|error| match error {
                ServiceError::Invalid(_) => not_yours(()),
                error => error.into(),
            })?;
        self.may_write_as(&tenant, &mailbox, caller).await?;
        let id = self.add_submitted((&tenant, &mailbox), (mail, read), caller).await?;
        self.ask_gate(&tenant, id, caller).await
    }

    /// Stores the draft; the id of the one that there is where it was handed in before.
    async fn add_submitted(
        &self,
        (tenant, mailbox): (&TenantStore, &MailboxRow),
        (mail, read): (SubmittedMail, Submitted),
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<DraftId, Stopped> {
        let bcc = blind(&mail, &read).ok_or(Stopped::Refused(SubmissionRefusal::NotAddressed))?;
        let keys = read.message_id.as_deref().map(|id| keys_of(id, &mail));
        let (call, other) = keys.unzip();
        let (answers, follows) = self.tie(tenant, mailbox, &read.answers).await?;
        let thread = follows.as_ref().map(|(thread, _)| *thread);
        let writing = |read: &Submitted| Writing {
            parts: Parts {
                name: read.from.name.clone(),
                reply_to: read.reply_to.as_ref().map(written),
                to: read.to.iter().map(written).collect(),
                cc: read.cc.iter().map(written).collect(),
                bcc: bcc.clone(),
                subject: read.subject.clone(),
                text: read.text.clone(),
                html: read.html.clone(),
                files: read.files.iter().enumerate().map(told).collect(),
                answers,
                follows: follows.as_ref().map(|(_, id)| id.clone()),
                is_submitted: true,
                is_automatic: read.writer == Writer::Machine,
                message_id: String::new(),
            },
            body: Body::Submitted(read.entity.clone()),
        };
        let first = self.add_written((tenant, mailbox), (writing(&read), thread), call, caller).await;
        let answered = match first {
            // Another message under the same Message-ID, so that nothing is lost; handed in again, it is known by its octets.
            Err(ServiceError::Conflict(Conflict::KeyReused)) => {
                self.add_written((tenant, mailbox), (writing(&read), thread), other, caller).await?
            }
            other => other?,
        };
        match answered {
            Answered::Now(view) => view.id.parse().map_err(|_| unreadable()),
            Answered::Before(json) => {
                let view: serde_json::Value = serde_json::from_str(&json).map_err(|_| unreadable())?;
                view.get("id").and_then(|id| id.as_str()?.parse().ok()).ok_or_else(unreadable)
            }
        }
    }

    /// Which message of the mailbox is answered, or else which message of one's own is followed, with its conversation.
    async fn tie(
        &self,
        tenant: &TenantStore,
        mailbox: &MailboxRow,
        ids: &[String],
    ) -> Result<(Option<EventId>, Option<(ThreadId, String)>), Stopped> {
        let scope = mailbox.id.to_string();
        for id in ids {
            if let Some(thread) = tenant.thread_of(&scope, &[sha256(id.as_bytes())]).await? {
                let events = tenant.thread_events(thread).await?;
                let of_mail = events.iter().filter_map(|event| {
                    serde_json::from_value::<CanonicalEvent>(event.content.clone()).ok().map(|mail| (event.id, mail))
                });
                let mut found = of_mail.filter(|(_, mail)| mail.rfc_message_id.as_deref() == Some(id));
                if let Some((event, _)) = found.next() {
                    return Ok((Some(event), None));
                }
            }
            if let Some(thread) = self.drafts.reply_tokens.thread(tenant.tenant(), &scope, [id.as_str()]) {
                return Ok((None, Some((thread, id.clone()))));
            }
        }
        Ok((None, None))
    }

    /// What the gate says to a draft, and what it said where it was asked before.
    async fn ask_gate(
        &self,
        tenant: &TenantStore,
        id: DraftId,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<SubmissionAnswer, Stopped> {
        let draft = tenant.draft(id).await?.ok_or(ServiceError::NotFound("draft"))?;
        let outcome = match draft.state {
            DraftState::Draft | DraftState::PendingApproval | DraftState::Approved => {
                match self.ask_for_release(tenant, &id.to_string(), ReleaseRequest::default(), caller).await {
                    Ok(answer) => outcome(answer),
                    Err(ServiceError::Denied(verdict)) => {
                        let denies = verdict.reasons.into_iter().filter(|reason| reason.ruling == "deny");
                        let codes: Vec<String> = denies.map(|reason| reason.code).collect();
                        if tenant.policy().await?.refuse_denied {
                            return Ok(SubmissionAnswer::Denied { draft: id, codes });
                        }
                        DraftOutcome::Denied(codes)
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            DraftState::HandedOff => DraftOutcome::HandedOff,
            DraftState::Denied if tenant.policy().await?.refuse_denied => {
                return Ok(SubmissionAnswer::Denied { draft: id, codes: vec!["denied".to_owned()] });
            }
            DraftState::Denied => DraftOutcome::Denied(vec!["denied".to_owned()]),
            DraftState::Cancelled | DraftState::Withdrawn | DraftState::Expired => DraftOutcome::Ended,
            _ => DraftOutcome::Released,
        };
        Ok(SubmissionAnswer::Drafted(Drafted::confirmed(id, outcome)))
    }
}

fn outcome(answer: ReleaseAnswer) -> DraftOutcome {
    match answer.verdict.verdict.as_str() {
        "release" => DraftOutcome::Released,
        "handoff" => DraftOutcome::HandedOff,
        _ => DraftOutcome::Waits(answer.verdict.reasons.into_iter().map(|reason| reason.code).collect()),
    }
}

/// Recipients whom To and Cc do not name; `None` where these name one who is no recipient, and would not get it.
fn blind(mail: &SubmittedMail, read: &Submitted) -> Option<Vec<String>> {
    let visible: Vec<String> = read.to.iter().chain(&read.cc).map(|named| named.mailbox.key()).collect();
    let all: Vec<String> = mail.recipients.iter().map(crate::mail::address::Mailbox::key).collect();
    if visible.iter().any(|key| !all.contains(key)) {
        return None;
    }
    let blind = mail.recipients.iter().zip(&all).filter(|(_, key)| !visible.contains(key));
    Some(blind.map(|(mailbox, _)| mailbox.to_string()).collect())
}

/// By what a message is known when it is handed in again: its Message-ID, or, where that is another's, all that it is.
fn keys_of(message_id: &str, mail: &SubmittedMail) -> (CallKey, CallKey) {
    let mut whole = mail.bytes.clone();
    for recipient in &mail.recipients {
        whole.extend_from_slice(recipient.to_string().as_bytes());
        whole.push(b'\n');
    }
    let fingerprint = sha256(&whole);
    let key = |digest: [u8; 32]| {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        CallKey { key: format!("submission {hex}"), fingerprint }
    };
    (key(sha256(message_id.as_bytes())), key(fingerprint))
}

fn written(named: &Named) -> String {
    match &named.name {
        Some(name) => format!("{name} <{}>", named.mailbox),
        None => named.mailbox.to_string(),
    }
}

fn unreadable() -> Stopped {
    Stopped::Failed(ServiceError::Internal("a stored answer has no id of a draft".into()))
}
