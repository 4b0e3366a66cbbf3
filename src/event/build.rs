//! From a message, its manifest and a scope to the canonical event.

use crate::event::{Authentication, CanonicalEvent, EnvelopeSummary, EventType, Kind, Scope, Source, VERSION};
use crate::ids::{EventId, ThreadId};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::copy::Direction;
use crate::mail::envelope::{Manifest, Recipient};
use crate::mail::message::Message;

/// What the caller knows beside the message and its manifest.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Id for the event.
    pub id: EventId,
    /// Whose view of the message it is: one of the envelope's recipients.
    pub recipient: Recipient,
    /// Domains verified for the tenant.
    pub owned_domains: &'a [Domain],
    /// Every address of the tenant's intake routes, old tokens included.
    pub route_addresses: &'a [Mailbox],
    /// The conversation.
    pub thread: ThreadId,
    /// Whether the conversation was there before this message.
    pub is_known_thread: bool,
}

/// The canonical event of `message` as `view.recipient` sees it.
#[must_use]
pub fn from_mail(message: &Message, manifest: &Manifest, view: &View<'_>) -> CanonicalEvent {
    let scope = match view.recipient {
        Recipient::Mailbox { mailbox, .. } => Scope::Mailbox(mailbox),
        Recipient::BccRoute { route, .. } => Scope::Route(route),
    };
    CanonicalEvent {
        v: VERSION,
        id: view.id,
        tenant: view.recipient.tenant(),
        kind: Kind::Direct,
        event_type: EventType::InboundMessage,
        direction: Direction::Unknown,
        message_id: manifest.id,
        scope,
        envelope: EnvelopeSummary { mail_from: String::new(), mail_from_decoded: None, rcpt_to: Vec::new() },
        author: None,
        sender: None,
        reply_to: Vec::new(),
        recipients: Vec::new(),
        rfc_message_id: message.message_id.clone(),
        in_reply_to: message.in_reply_to.clone(),
        references: message.references.clone(),
        thread_id: view.thread,
        subject: message.subject.clone(),
        text: message.text.clone(),
        text_source: message.text_source,
        visible_text: message.text.clone(),
        quoted_text: String::new(),
        signature: String::new(),
        attachments: message.attachments.clone(),
        has_calendar: message.has_calendar,
        language: None,
        authentication: Authentication::default(),
        list: None,
        automated: None,
        trusted: true,
        untrusted_reasons: Vec::new(),
        defects: message.defects.clone(),
        received_at: manifest.received_at,
        sent_at: message.date,
        source: Source {
            kind: Kind::Direct,
            door: manifest.origin.door,
            session: manifest.origin.session,
            tls: manifest.origin.tls.clone(),
        },
    }
}
