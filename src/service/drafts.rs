//! Drafts: what somebody proposes to send, what the gate says to it, and what became of it.
//!
//! Everything that could leave as mail comes this way, whoever proposes it and by whichever door. Here rows become the
//! gate's facts, and its verdict becomes a step in the draft's life. Nothing here sends.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{Authenticated, DraftsRead, DraftsWrite, Principal};
use super::once::{self, Answered, CallKey};
use super::{Conflict, Fault, Refusal, Service, ServiceError};
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::governance::lifecycle::{DraftEvent, DraftState};
use crate::ids::{DraftId, ThreadId};
use crate::store::audit::NewEntry;
use crate::store::directory::MailboxRow;
use crate::store::drafts::DraftRow;
use crate::store::{StoreError, TenantStore};

pub use crate::governance::Policy;
pub use crate::governance::signature::SigningKey;

pub mod approvals;
pub mod batch;
pub mod decisions;
pub(crate) mod facts;
mod files;
pub(crate) mod ground;
mod parts;
pub mod release;
pub mod report;
pub mod settle;
mod shown;
mod submit;
pub mod uploads;
pub(crate) mod weigh;
pub mod words;
mod write;

use parts::{Parts, Writing};
use shown::{Sent, view};

pub use parts::DraftFile;

pub use shown::{
    CheckAnswer, DraftContent, DraftPage, DraftView, HandoffView, ReasonView, SentCopyView, TemplateView,
    TransmissionView, VerdictView,
};

/// What drafts are written with.
#[derive(Clone)]
pub struct DraftDesk {
    /// Domains of the gateway itself.
    pub platform_domains: std::sync::Arc<[crate::mail::address::Domain]>,
    /// Makes Message-IDs by which answers come back to their conversation.
    pub reply_tokens: std::sync::Arc<crate::mail::reply_token::ReplyTokens>,
    /// What uploads wait sealed with, and how many are taken in at a time.
    pub uploads: uploads::UploadDesk,
    /// Signs receipts of releases.
    pub evidence: std::sync::Arc<SigningKey>,
}

impl DraftDesk {
    /// Whether a domain is one of the gateway's own, or below one.
    #[must_use]
    pub fn is_platform(&self, domain: &crate::mail::address::Domain) -> bool {
        self.platform_domains.iter().any(|own| {
            domain == own || domain.as_str().strip_suffix(own.as_str()).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// A message that somebody proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DraftRequest {
    /// The mailbox as which it would be sent: its address or id.
    #[schema(min_length = 3, max_length = 320)]
    pub mailbox: String,
    /// The name in front of the mailbox's address.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// Recipients, `address` or `Name <address>`.
    #[schema(max_items = 1000)]
    pub to: Vec<String>,
    /// Recipients of a copy.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub cc: Vec<String>,
    /// Recipients of whom the others are not told.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub bcc: Vec<String>,
    /// The subject.
    #[schema(max_length = 500)]
    pub subject: String,
    /// The text.
    #[schema(max_length = 200000)]
    pub text: String,
    /// The same as HTML.
    #[serde(default)]
    #[schema(max_length = 400000)]
    pub html: Option<String>,
    /// Ids of uploads that go along, in order.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub attachments: Vec<String>,
    /// The event of the message that it answers.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub answers: Option<String>,
}

/// An answer in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplyRequest {
    /// The text.
    #[schema(max_length = 200000)]
    pub text: String,
    /// The same as HTML.
    #[serde(default)]
    #[schema(max_length = 400000)]
    pub html: Option<String>,
    /// Ids of uploads that go along, in order.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub attachments: Vec<String>,
    /// The name in front of the mailbox's address.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// The event of the message that it answers; the newest of the conversation that is not one's own, unless told.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub answers: Option<String>,
    /// Whether all who got the message get the answer too, and not its author alone.
    #[serde(default)]
    pub to_all: bool,
}

/// A new version of a draft: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DraftEdit {
    /// The version that was looked at: with another one meanwhile, nothing is changed.
    #[schema(minimum = 0)]
    pub version: u32,
    /// The name in front of the mailbox's address.
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// Recipients.
    #[schema(max_items = 1000)]
    pub to: Option<Vec<String>>,
    /// Recipients of a copy.
    #[schema(max_items = 1000)]
    pub cc: Option<Vec<String>>,
    /// Recipients of whom the others are not told.
    #[schema(max_items = 1000)]
    pub bcc: Option<Vec<String>>,
    /// The subject.
    #[schema(max_length = 500)]
    pub subject: Option<String>,
    /// The text.
    #[schema(max_length = 200000)]
    pub text: Option<String>,
    /// The same as HTML.
    #[schema(max_length = 400000)]
    pub html: Option<String>,
    /// What goes along, in order: ids of uploads, and of attachments that the version has.
    #[schema(max_items = 20)]
    pub attachments: Option<Vec<String>>,
}

/// Drafts of a page at most.
pub const PAGE: u32 = 100;

/// Who proposes, by the key that is presented: the agent that holds it, or the key itself.
pub(super) fn actor_of(principal: &Principal) -> Actor {
    match &principal.bindings().agent {
        Some(agent) => Actor::Agent { agent: agent.clone() },
        None => Actor::Key { key: principal.key_id() },
    }
}

impl Service {
    /// Makes a draft.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::Refused`] by the key's bindings; [`ServiceError::NotFound`].
    pub async fn create_draft(
        &self,
        request: DraftRequest,
        call: Option<CallKey>,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<Answered<DraftView>, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        if let Some(known) = once::before(&tenant, call.as_ref(), caller.principal().key_id()).await? {
            return Ok(known);
        }
        let mailbox = self.mailbox_named(&tenant, &request.mailbox).await?;
        self.propose((&tenant, &mailbox), Parts::of_request(request), call, caller).await
    }

    /// Makes a draft that answers in a conversation.
    ///
    /// # Errors
    /// As [`Service::create_draft`].
    pub async fn reply_draft(
        &self,
        thread: &str,
        request: ReplyRequest,
        call: Option<CallKey>,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<Answered<DraftView>, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        if let Some(known) = once::before(&tenant, call.as_ref(), caller.principal().key_id()).await? {
            return Ok(known);
        }
        let thread: ThreadId = thread.parse().map_err(|_| ServiceError::NotFound("thread"))?;
        let attachments = request.attachments.clone();
        let (mailbox, parts) = self.reply_parts(&tenant, thread, request).await?;
        self.propose((&tenant, &mailbox), Ok((parts, attachments)), call, caller).await
    }

    /// Writes a draft that the caller may propose for the mailbox; what is wrong with its parts is told only then.
    async fn propose(
        &self,
        (tenant, mailbox): (&TenantStore, &MailboxRow),
        parts: Result<(Parts, Vec<String>), ServiceError>,
        call: Option<CallKey>,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<Answered<DraftView>, ServiceError> {
        self.may_write_as(tenant, mailbox, caller).await?;
        let (parts, attachments) = parts?;
        let (files, body) = self.attach(tenant, &attachments).await?;
        let writing = Writing { parts: Parts { files, ..parts }, body };
        self.add_written((tenant, mailbox), (writing, None), call, caller).await
    }

    /// Writes a draft of what was checked, in the conversation that it belongs to.
    async fn add_written(
        &self,
        (tenant, mailbox): (&TenantStore, &MailboxRow),
        writing: (Writing, Option<ThreadId>),
        call: Option<CallKey>,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<Answered<DraftView>, ServiceError> {
        let (new, version) = self.write_draft(tenant, mailbox, writing, actor_of(caller.principal())).await?;
        let shown = view(&new.row(version.created_at), Some(&version), Some(mailbox), &Sent::default());
        let key = caller.principal().key_id();
        let call = call.map(|call| once::keyed(call, key, &shown)).transpose()?;
        once::answered(tenant.add_draft(new, version, call).await?, shown)
    }

    /// Makes a new version of a draft: the editor is its author, and approvals of the former count no more.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when it has another version by now, or is out of hand.
    pub async fn edit_draft(
        &self,
        id: &str,
        edit: DraftEdit,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<DraftView, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let draft = self.draft_row(&tenant, id).await?;
        let mailbox = self.mailbox_of(&tenant, &draft).await?;
        self.may_write_as(&tenant, &mailbox, caller).await?;
        self.write_version(&tenant, &draft, &mailbox, edit, actor_of(caller.principal())).await?;
        self.show_draft(&tenant, draft.id).await
    }

    /// One draft.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also for one of a mailbox that the key may not see.
    pub async fn draft(&self, id: &str, caller: &Authenticated<DraftsRead>) -> Result<DraftView, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let draft = self.visible_draft(&tenant, id, caller).await?;
        self.show_draft(&tenant, draft.id).await
    }

    /// Drafts, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a state that there is not.
    pub async fn drafts(
        &self,
        state: Option<&str>,
        before: Option<&str>,
        caller: &Authenticated<DraftsRead>,
    ) -> Result<DraftPage, ServiceError> {
        let state = match state {
            None => None,
            Some(word) => Some(DraftState::from_word(word).ok_or_else(|| fault("?state", "is no state of a draft"))?),
        };
        let before = match before {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| fault("?before", "is no id of a draft"))?),
        };
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let rows = tenant.drafts(state, before, PAGE).await?;
        let next_before = (rows.len() == PAGE as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
        let mailboxes = tenant.mailboxes().await?;
        let apps = tenant.apps().await?;
        let mut items = Vec::new();
        for row in rows {
            let mailbox = mailboxes.iter().find(|mailbox| Some(mailbox.id) == row.mailbox);
            let app = mailbox.and_then(|mailbox| mailbox.app).and_then(|id| apps.iter().find(|app| app.id == id));
            if sees(caller, mailbox, app.map(|app| app.name.as_str())) {
                items.push(view(&row, None, mailbox, &Sent::default()));
            }
        }
        Ok(DraftPage { items, next_before })
    }

    /// What the gate would say to a draft as it is now. Nothing is changed by it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] where nothing is written yet.
    pub async fn check_draft(&self, id: &str, caller: &Authenticated<DraftsRead>) -> Result<CheckAnswer, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let draft = self.visible_draft(&tenant, id, caller).await?;
        let case = self.case_of(&tenant, &draft).await?;
        let verdict = case.verdict(self.clock().now()).await?;
        Ok(CheckAnswer {
            draft_id: draft.id.to_string(),
            version: draft.version,
            content_hash: case.version.content.hash().to_string(),
            verdict: (&verdict).into(),
        })
    }

    /// Takes a draft back, until the moment at which it is being sent.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] from then on.
    pub async fn withdraw_draft(
        &self,
        id: &str,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<DraftView, ServiceError> {
        self.give_up(id, DraftEvent::Withdraw, "draft.withdrawn", caller).await
    }

    /// Gives a draft up.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] once it is being sent.
    pub async fn cancel_draft(&self, id: &str, caller: &Authenticated<DraftsWrite>) -> Result<DraftView, ServiceError> {
        self.give_up(id, DraftEvent::Cancel, "draft.cancelled", caller).await
    }

    async fn give_up(
        &self,
        id: &str,
        event: DraftEvent,
        action: &'static str,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<DraftView, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let draft = self.draft_row(&tenant, id).await?;
        if let Some(mailbox) = self.maybe_mailbox_of(&tenant, &draft).await? {
            self.may_write_as(&tenant, &mailbox, caller).await?;
        }
        let who = Who::Actor(actor_of(caller.principal()));
        let entry = NewEntry::new(who, action, draft.id, serde_json::json!({ "version": draft.version }));
        tenant.step_draft(draft.id, event, entry).await.map_err(conflict)?;
        self.show_draft(&tenant, draft.id).await
    }

    /// A draft, whoever may see it.
    async fn draft_row(&self, tenant: &TenantStore, id: &str) -> Result<DraftRow, ServiceError> {
        let id: DraftId = id.parse().map_err(|_| ServiceError::NotFound("draft"))?;
        tenant.draft(id).await?.ok_or(ServiceError::NotFound("draft"))
    }

    async fn visible_draft(
        &self,
        tenant: &TenantStore,
        id: &str,
        caller: &Authenticated<DraftsRead>,
    ) -> Result<DraftRow, ServiceError> {
        let draft = self.draft_row(tenant, id).await?;
        let mailbox = self.maybe_mailbox_of(tenant, &draft).await?;
        let app = self.app_of(tenant, mailbox.as_ref()).await?;
        if sees(caller, mailbox.as_ref(), app.as_deref()) { Ok(draft) } else { Err(ServiceError::NotFound("draft")) }
    }

    /// The mailbox that a request names by address or id.
    async fn mailbox_named(&self, tenant: &TenantStore, name: &str) -> Result<MailboxRow, ServiceError> {
        let wanted = crate::mail::address::Mailbox::parse(name).ok();
        let is_it = |row: &MailboxRow| {
            row.id.to_string() == name
                || wanted.as_ref().is_some_and(|wanted| {
                    crate::mail::address::Mailbox::parse(&row.address).is_ok_and(|own| own.key() == wanted.key())
                })
        };
        let found = tenant.mailboxes().await?.into_iter().find(is_it);
        found.ok_or_else(|| fault("/mailbox", "is no mailbox of this tenant"))
    }

    async fn maybe_mailbox_of(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
    ) -> Result<Option<MailboxRow>, ServiceError> {
        if let Some(id) = draft.mailbox {
            return Ok(tenant.mailbox(id).await?);
        }
        let Some(event) = draft.event else { return Ok(None) };
        let Some(address) = tenant.mailbox_of_event(event).await? else { return Ok(None) };
        match self.mailbox_named(tenant, &address).await {
            Ok(mailbox) => Ok(Some(mailbox)),
            Err(ServiceError::Invalid(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn mailbox_of(&self, tenant: &TenantStore, draft: &DraftRow) -> Result<MailboxRow, ServiceError> {
        let mailbox = self.maybe_mailbox_of(tenant, draft).await?;
        mailbox.ok_or_else(|| Conflict::State("the draft has no mailbox here: the source app writes the answer").into())
    }

    async fn app_of(&self, tenant: &TenantStore, mailbox: Option<&MailboxRow>) -> Result<Option<String>, ServiceError> {
        let Some(id) = mailbox.and_then(|mailbox| mailbox.app) else { return Ok(None) };
        Ok(tenant.app(id).await?.map(|app| app.name))
    }

    /// Whether the key may propose for a mailbox.
    async fn may_write_as(
        &self,
        tenant: &TenantStore,
        mailbox: &MailboxRow,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<(), ServiceError> {
        caller.require_mailbox(Some(&mailbox.address))?;
        match self.app_of(tenant, Some(mailbox)).await? {
            Some(app) => Ok(caller.require_app(&app)?),
            None if caller.principal().bindings().apps.is_empty() => Ok(()),
            None => Err(Refusal::App { bound: caller.principal().bindings().apps.clone() }.into()),
        }
    }

    pub(crate) async fn show_draft(&self, tenant: &TenantStore, id: DraftId) -> Result<DraftView, ServiceError> {
        let mut draft = tenant.draft(id).await?.ok_or(ServiceError::NotFound("draft"))?;
        let sent = loop {
            let sent = Sent {
                releases: tenant.releases_of(id).await?,
                copies: tenant.sent_copies(id).await?,
                handoff: tenant.handoff(id).await?,
            };
            // It may have taken a step meanwhile: whoever sees that all was sent must not see it being sent.
            let again = tenant.draft(id).await?.ok_or(ServiceError::NotFound("draft"))?;
            if std::mem::replace(&mut draft, again) == draft {
                break sent;
            }
        };
        let version = tenant.draft_version(id, draft.version).await?;
        let mailbox = self.maybe_mailbox_of(tenant, &draft).await?;
        Ok(view(&draft, version.as_ref(), mailbox.as_ref(), &sent))
    }
}

/// Whether a key may see what belongs to a mailbox.
fn sees<S>(caller: &Authenticated<S>, mailbox: Option<&MailboxRow>, app: Option<&str>) -> bool {
    let bindings = caller.principal().bindings();
    let by_mailbox =
        bindings.mailboxes.is_empty() || mailbox.is_some_and(|row| caller.may_speak_of(Some(&row.address)));
    let by_app = bindings.apps.is_empty() || app.is_some_and(|app| bindings.allows_app(app));
    by_mailbox && by_app
}

/// A step that the store does not allow, as callers are told of it.
pub(super) fn conflict(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict(words) => Conflict::State(words).into(),
        error => error.into(),
    }
}

fn fault(pointer: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid(vec![Fault::at(pointer, message)])
}
