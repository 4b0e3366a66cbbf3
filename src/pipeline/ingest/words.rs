//! The words of an answer that a decision about mail proposes.

use super::Ingest;
use crate::contract::answer::Answer;
use crate::event::CanonicalEvent;
use crate::ids::AppId;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::copy::{self, RecipientType};
use crate::service::drafts::words::{Correspondence, addressee, bounce_host, write};
use crate::service::materialize::{Materialize, Work, materialize};
use crate::store::StoreError;
use crate::store::directory::MailboxRow;

/// Mail, and who would answer it.
pub(super) struct Answered<'a> {
    pub(super) event: &'a CanonicalEvent,
    pub(super) mailbox: Option<&'a MailboxRow>,
    pub(super) app: Option<AppId>,
    pub(super) owned_domains: &'a [Domain],
    /// Whether no text of it is kept: then none is written either.
    pub(super) keeps_nothing: bool,
}

impl Ingest {
    /// The internal work of an answer, with the words of its drafts.
    pub(super) async fn work_of(
        &self,
        answered: &Answered<'_>,
        mode: Materialize,
        answer: &mut Answer,
    ) -> Result<Work, StoreError> {
        let mut work = materialize(mode, &answered.event.subject, answer, self.store.clock());
        if !answered.keeps_nothing {
            self.write_words(answered, answer, &mut work).await?;
        }
        Ok(work)
    }

    /// Writes the drafts of an answer, where there are some and whose answer it would be can be told.
    async fn write_words(&self, answered: &Answered<'_>, answer: &Answer, work: &mut Work) -> Result<(), StoreError> {
        let Answered { event, mailbox, app, owned_domains, .. } = *answered;
        if work.drafts.is_empty() {
            return Ok(());
        }
        let from = match mailbox {
            Some(row) => Mailbox::parse(&row.address).ok(),
            None => reached(event, owned_domains),
        };
        let (Some(from), Some(to)) = (from, addressee(event)) else { return Ok(()) };
        let templates = self.directory.templates(event.tenant).await?;
        let bounce_host = bounce_host(&self.store.for_tenant(event.tenant), &from).await?;
        let correspondence = Correspondence {
            tenant: event.tenant,
            event: event.id,
            app,
            mailbox: mailbox.map(|row| row.id),
            from,
            bounce_host,
            thread: Some(event.thread_id),
            answered: Some(event),
            to,
            name: event.author.as_ref().and_then(|author| author.display_name.as_deref()),
            subject: &event.subject,
            record_id: None,
        };
        write(work, answer, &correspondence, &templates, (&self.tokens, self.store.clock()));
        Ok(())
    }
}

/// Of a copy: the first of the tenant's own whom everybody sees that it was sent to.
fn reached(event: &CanonicalEvent, owned_domains: &[Domain]) -> Option<Mailbox> {
    let open = event.recipients.iter().filter(|one| one.recipient_type != RecipientType::Bcc);
    let mut own = open.filter_map(|one| Mailbox::parse(&one.address).ok());
    own.find(|one| copy::is_owned(one.domain(), owned_domains))
}
