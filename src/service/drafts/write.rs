//! From parts to a fixed version: addresses are read, ids and times are set once, and the bytes are made.

use super::parts::{Body, Parts, Writing};
use super::{DraftEdit, ReplyRequest, conflict, fault};
use crate::clock::Timestamp;
use crate::event::{CanonicalEvent, Participant, Scope};
use crate::governance::{Actor, Content, IdentityOwner};
use crate::ids::{DraftId, EventId, TenantId, ThreadId};
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::bounce_path;
use crate::mail::compose::{Named, NewMessage, Writer, compose, compose_around};
use crate::mail::reply_token::ReplyTokens;
use crate::service::identity::registered_mailbox;
use crate::service::tokens::new_token;
use crate::service::{Conflict, Fault, Service, ServiceError};
use crate::store::directory::MailboxRow;
use crate::store::drafts::{DraftRow, NewDraftRow, VersionRow};
use crate::store::{StoreError, TenantStore};

/// Where a version belongs.
struct Place<'a> {
    thread: ThreadId,
    answered: Option<&'a CanonicalEvent>,
}

/// Recipients of one message, whatever the mailbox's limit is: the gate says no before, and says why.
const RECIPIENTS: usize = 1_000;
/// Ids in References (RFC 5322 §3.6.4 sets no bound; the oldest in the middle tell least).
const REFERENCES: usize = 20;

impl Service {
    /// A new draft and its first version.
    pub(super) async fn write_draft(
        &self,
        tenant: &TenantStore,
        mailbox: &MailboxRow,
        (writing, thread): (Writing, Option<ThreadId>),
        author: Actor,
    ) -> Result<(NewDraftRow, VersionRow), ServiceError> {
        let id: DraftId = self.clock().mint();
        let answered = self.answered(tenant, writing.parts.answers).await?;
        let place = self.place(thread, mailbox, answered.as_ref());
        let version = self.version(tenant, mailbox, (id, 1), (writing, author.clone()), &place).await?;
        let new = NewDraftRow {
            id,
            mailbox: mailbox.id,
            thread: place.thread,
            answers: answered.as_ref().map(|event| event.id),
            app: mailbox.app,
            agent: match author {
                Actor::Agent { agent } => Some(agent),
                _ => None,
            },
            identity_owner: IdentityOwner::read(&mailbox.identity_owner).0.as_str(),
            external_reply_url: mailbox.external_reply_url.clone(),
        };
        Ok((new, version))
    }

    /// Writes a further version; the first of a draft that a decision proposed.
    pub(super) async fn write_version(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        mailbox: &MailboxRow,
        edit: DraftEdit,
        editor: Actor,
    ) -> Result<(), ServiceError> {
        if draft.erased_at.is_some() {
            return Err(Conflict::State("the draft was erased").into());
        }
        if edit.version != draft.version {
            return Err(Conflict::State("the draft has another version by now").into());
        }
        let (parts, message) = match tenant.draft_version(draft.id, draft.version).await? {
            Some(version) => {
                let parts: Parts =
                    serde_json::from_str(&version.parts).map_err(|error| ServiceError::Internal(error.into()))?;
                (parts, version.message)
            }
            None => (self.outline(tenant, draft).await?, Vec::new()),
        };
        let (files, body) = self.body_after(tenant, (&parts, &message), &edit).await?;
        let parts = Parts { files, answers: draft.answers.or(draft.event), ..Parts::edited(parts, edit) };
        let answered = self.answered(tenant, parts.answers).await?;
        let number = draft.version.saturating_add(1);
        let place = self.place(draft.thread, mailbox, answered.as_ref());
        let writing = Writing { parts, body };
        let version = self.version(tenant, mailbox, (draft.id, number), (writing, editor), &place).await?;
        let answers = answered.as_ref().map(|event| event.id);
        tenant.edit_draft(draft.id, version, mailbox.id, (place.thread, answers)).await.map_err(conflict)
    }

    /// The conversation of a draft in its mailbox: that of what it answers, the one that it has, or a new one. A message of
    /// elsewhere may be answered, and its conversation stays there.
    fn place<'a>(
        &self,
        present: Option<ThreadId>,
        mailbox: &MailboxRow,
        answered: Option<&'a CanonicalEvent>,
    ) -> Place<'a> {
        let answered_here = answered.filter(|event| event.scope == Scope::Mailbox(mailbox.id));
        let thread = answered_here.map(|event| event.thread_id).or(present);
        Place { thread: thread.unwrap_or_else(|| self.clock().mint()), answered }
    }

    /// The parts of an answer in a conversation, and the mailbox that it is in.
    pub(super) async fn reply_parts(
        &self,
        tenant: &TenantStore,
        thread: ThreadId,
        request: ReplyRequest,
    ) -> Result<(MailboxRow, Parts), ServiceError> {
        let events = tenant.thread_events(thread).await?;
        let wanted: Option<EventId> = match &request.answers {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| fault("/answers", "is no id of an event"))?),
        };
        let mail =
            events.iter().filter_map(|event| serde_json::from_value::<CanonicalEvent>(event.content.clone()).ok());
        let mailboxes = tenant.mailboxes().await?;
        let is_own = |address: &str| {
            let key = Mailbox::parse(address).map(|mailbox| mailbox.key_without_detail());
            key.is_ok_and(|key| {
                mailboxes.iter().any(|row| Mailbox::parse(&row.address).is_ok_and(|own| own.key() == key))
            })
        };
        let is_answerable = |event: &CanonicalEvent| match wanted {
            Some(wanted) => event.id == wanted,
            None => event.automated.is_none() && event.author.as_ref().is_some_and(|author| !is_own(&author.address)),
        };
        let event = mail.into_iter().find(is_answerable);
        let event = event.ok_or(ServiceError::NotFound("message of that conversation that could be answered"))?;
        let Scope::Mailbox(mailbox) = event.scope else {
            return Err(
                Conflict::State("the conversation is of a route: its copies are never answered from here").into()
            );
        };
        let mailbox = mailboxes.iter().find(|row| row.id == mailbox).ok_or(ServiceError::NotFound("mailbox"))?;
        let to: Vec<String> = match event.reply_to.as_slice() {
            [] => event.author.iter().map(written).collect(),
            reply_to => reply_to.iter().map(written).collect(),
        };
        let others = event.recipients.iter().filter(|_| request.to_all).filter(|one| !is_own(&one.address));
        let cc =
            others.map(|one| one.address.clone()).filter(|address| !to.iter().any(|first| first.contains(address)));
        let parts = Parts {
            name: request.name,
            cc: cc.collect(),
            to,
            bcc: Vec::new(),
            subject: reply_subject(&event.subject),
            text: request.text,
            html: request.html,
            answers: Some(event.id),
            ..Parts::default()
        };
        Ok((mailbox.clone(), parts))
    }

    /// What a decision knew of the draft that it proposed: whom it would answer, and under which subject.
    async fn outline(&self, tenant: &TenantStore, draft: &DraftRow) -> Result<Parts, ServiceError> {
        let outline: serde_json::Value =
            serde_json::from_str(&draft.outline).map_err(|error| ServiceError::Internal(error.into()))?;
        let subject = outline.get("subject").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let event = self.answered(tenant, draft.event).await?;
        let to = event.and_then(|event| event.reply_to.first().or(event.author.as_ref()).map(written));
        Ok(Parts { to: to.into_iter().collect(), subject, ..Parts::default() })
    }

    /// The mail event that is answered; `None` for one that is no mail.
    async fn answered(
        &self,
        tenant: &TenantStore,
        event: Option<EventId>,
    ) -> Result<Option<CanonicalEvent>, ServiceError> {
        let Some(id) = event else { return Ok(None) };
        let row = tenant.event_content(id).await?;
        let content = row.ok_or_else(|| fault("/answers", "is no event of this tenant"))?;
        Ok(serde_json::from_value(content).ok())
    }

    /// The fixed rendering of `parts`.
    async fn version(
        &self,
        tenant: &TenantStore,
        mailbox: &MailboxRow,
        (draft, number): (DraftId, u32),
        (writing, author): (Writing, Actor),
        place: &Place<'_>,
    ) -> Result<VersionRow, ServiceError> {
        let own = registered_mailbox(mailbox).ok_or_else(|| fault("/mailbox", "has no address that mail can carry"))?;
        let (scope, answered) = (mailbox.id.to_string(), place.answered);
        let own_id = answered.and_then(|event| event.rfc_message_id.clone()).or_else(|| writing.parts.follows.clone());
        let frame = Frame {
            tokens: &self.drafts.reply_tokens,
            tenant: tenant.tenant(),
            scope: &scope,
            reverse_path: reverse_path(bounce_host(tenant, &own.address).await?.as_ref(), &own.address),
            own: own.address,
            thread: place.thread,
            references: references_of(answered, own_id),
            now: self.clock().now(),
        };
        fixed(&frame, (draft, number), writing, author)
    }
}

/// The host to which the author's domain delegates reports, where it leads here.
pub(crate) async fn bounce_host(tenant: &TenantStore, author: &Mailbox) -> Result<Option<Domain>, StoreError> {
    let delegated = tenant.bounce_host(author.domain().as_str()).await?.filter(|row| row.seen_at.is_some());
    Ok(delegated.and_then(|row| Domain::parse(&row.host).ok()))
}

/// Where reports about one message from `author` go: to a path of its own on the host that the author's domain delegates, by
/// which SPF passes for that domain, else to the author.
pub(super) fn reverse_path(bounce_host: Option<&Domain>, author: &Mailbox) -> Mailbox {
    bounce_host.and_then(|host| bounce_path::make(&new_token(), host)).unwrap_or_else(|| author.clone())
}

/// Whose a rendering is, and where it belongs.
pub(super) struct Frame<'a> {
    pub(super) tokens: &'a ReplyTokens,
    pub(super) tenant: TenantId,
    /// The mailbox, in which answers come back.
    pub(super) scope: &'a str,
    pub(super) own: Mailbox,
    /// Where reports about it go.
    pub(super) reverse_path: Mailbox,
    pub(super) thread: ThreadId,
    /// `In-Reply-To`, and `References`.
    pub(super) references: (Option<String>, Vec<String>),
    pub(super) now: Timestamp,
}

/// The exact bytes of what is written, with all that is set once.
pub(super) fn fixed(
    frame: &Frame<'_>,
    (draft, number): (DraftId, u32),
    Writing { parts, body }: Writing,
    author: Actor,
) -> Result<VersionRow, ServiceError> {
    let unique = unique_word(draft, number);
    let domain = frame.own.domain().as_str();
    let message_id = frame.tokens.message_id(frame.tenant, frame.scope, frame.thread, &unique, domain);
    let (to, cc, bcc) = (named(&parts.to, "/to")?, named(&parts.cc, "/cc")?, named(&parts.bcc, "/bcc")?);
    let recipients = recipients(&[&to, &cc, &bcc])?;
    let reply_to = named(parts.reply_to.as_slice(), "/replyTo")?.pop().map(|named| named.mailbox);
    let (in_reply_to, references) = frame.references.clone();
    let (files, entity) = match body {
        Body::Written(files) => (files, None),
        Body::Submitted(entity) => (Vec::new(), Some(entity)),
    };
    let new = NewMessage {
        from: Named { name: parts.name.clone(), mailbox: frame.own.clone() },
        reply_to,
        to,
        cc,
        subject: parts.subject.clone(),
        text: parts.text.clone(),
        html: parts.html.clone(),
        files,
        message_id: message_id.clone(),
        references,
        in_reply_to,
        date: frame.now,
        boundary: unique,
        writer: if parts.is_automatic { Writer::Machine } else { Writer::Person },
    };
    let message = entity.map_or_else(|| compose(&new), |entity| compose_around(&new, &entity));
    let reverse_path = ReversePath::Mailbox(frame.reverse_path.clone());
    let content = Content::new(reverse_path.clone(), recipients.clone(), message.clone().into())
        .map_err(|error| fault("/to", error.to_string()))?;
    let parts = Parts { message_id, ..parts };
    Ok(VersionRow {
        version: number,
        author,
        reverse_path,
        recipients,
        message,
        content_hash: content.hash().to_string(),
        parts: serde_json::to_string(&parts).map_err(|error| ServiceError::Internal(error.into()))?,
        created_at: frame.now,
    })
}

/// A word that no other version of a conversation's drafts has: letters and digits. Short, as it makes the Message-ID long
/// together with the token, and programs take long ones amiss; the end of an id is its random part.
fn unique_word(draft: DraftId, number: u32) -> String {
    let id = draft.to_string();
    format!("{}v{number}", id.get(id.len().saturating_sub(10)..).unwrap_or(&id))
}

/// Every RCPT TO once, in the order of the fields.
fn recipients(fields: &[&Vec<Named>]) -> Result<Vec<Mailbox>, ServiceError> {
    let mut all: Vec<Mailbox> = Vec::new();
    for named in fields.iter().flat_map(|field| field.iter()) {
        if !all.iter().any(|known| known.key() == named.mailbox.key()) {
            all.push(named.mailbox.clone());
        }
    }
    match all.len() {
        0 => Err(fault("/to", "names nobody")),
        count if count > RECIPIENTS => Err(fault("/to", format!("with the others has over {RECIPIENTS} recipients"))),
        _ => Ok(all),
    }
}

fn named(texts: &[String], pointer: &str) -> Result<Vec<Named>, ServiceError> {
    let read = |(place, text): (usize, &String)| {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"').trim(), address),
            None => ("", text),
        };
        let fault = |message: String| Fault::at(format!("{pointer}/{place}"), message);
        let mailbox = Mailbox::parse(address).map_err(|error| fault(error.to_string()))?;
        if name.chars().any(char::is_control) {
            return Err(fault("has a name with control characters".to_owned()));
        }
        Ok(Named { name: (!name.is_empty()).then(|| name.to_owned()), mailbox })
    };
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for read in texts.iter().enumerate().map(read) {
        match read {
            Ok(named) => good.push(named),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(ServiceError::Invalid(faults)) }
}

pub(super) fn written(participant: &Participant) -> String {
    match participant.display_name.as_deref().filter(|name| !name.chars().any(char::is_control)) {
        Some(name) => format!("{name} <{}>", participant.address),
        None => participant.address.clone(),
    }
}

/// `In-Reply-To` and `References` of an answer to a message with this id.
pub(super) fn references_of(answered: Option<&CanonicalEvent>, own: Option<String>) -> (Option<String>, Vec<String>) {
    let own = own.filter(|id| is_id(id));
    let references = references(answered, own.as_ref());
    (own, references)
}

/// RFC 5322 §3.6.4: those of the message that is answered, and its own id behind them.
fn references(answered: Option<&CanonicalEvent>, own: Option<&String>) -> Vec<String> {
    let before = answered.map(|event| event.references.as_slice()).unwrap_or_default();
    let mut all: Vec<String> = before.iter().chain(own).filter(|id| is_id(id)).cloned().collect();
    if all.len() > REFERENCES {
        // The first names the conversation, and the last ones the way here.
        all.drain(1..=all.len() - REFERENCES);
    }
    all
}

/// Whether an id out of foreign mail can be written into a field as it stands.
fn is_id(id: &str) -> bool {
    (1..=250).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>')
}

pub(super) fn reply_subject(subject: &str) -> String {
    let subject: String = subject.chars().filter(|letter| !letter.is_control()).take(490).collect();
    let is_reply = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    if is_reply { subject } else { format!("Re: {subject}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_with_and_without_names_and_each_counts_once() {
        let text = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let to = named(&text(&["Ann Lee <ann@lakeside.example>", "\"Bo, B\" <bo@lakeside.example>"]), "/to").unwrap();
        assert_eq!(to.iter().map(|one| one.name.as_deref().unwrap()).collect::<Vec<_>>(), ["Ann Lee", "Bo, B"]);
        let cc = named(&text(&["ANN@lakeside.example"]), "/cc").unwrap();
        assert_eq!(recipients(&[&to, &cc]).unwrap().len(), 2);
        let Err(ServiceError::Invalid(faults)) =
            named(&text(&["ann@lakeside.example", "nobody", "a\nb <b@c.example>"]), "/to")
        else {
            panic!("they are no addresses")
        };
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/to/1", "/to/2"]);
        assert!(matches!(recipients(&[&Vec::new()]), Err(ServiceError::Invalid(_))));
    }

    #[test]
    fn ids_of_foreign_mail_cannot_bring_a_field_along() {
        assert!(is_id("a.b@c.example"));
        for wrong in ["", "a b@c", "a>\r\nBcc: x", "a@b>", &"a".repeat(251)] {
            assert!(!is_id(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_subject_is_that_of_an_answer_once() {
        assert_eq!(reply_subject("Hi"), "Re: Hi");
        assert_eq!(reply_subject("RE: Hi"), "RE: Hi");
        assert_eq!(reply_subject("Hi\r\nBcc: x"), "Re: HiBcc: x");
    }
}
