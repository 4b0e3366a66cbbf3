//! From a message, its manifest and a recipient to the canonical event.

use crate::event::{
    CanonicalEvent, EnvelopeSummary, EventRecipient, EventType, Kind, Participant, Scope, Source, UntrustedReason,
    VERSION,
};
use crate::ids::{EventId, ThreadId};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::authentication::{Authentication, AuthorDoubt, FailurePolicy};
use crate::mail::copy::{self, CopyRecipient, Direction, RouteAddresses};
use crate::mail::envelope::{Door, ForwardPath, Manifest, Recipient, TransferDefect};
use crate::mail::message::{Attachment, Defect, HeaderAddress, ListHeaders, Message};
use crate::mail::notice::{self, Automated, FailedRecipient};
use crate::mail::text::split_reply;

/// What the caller knows beside the message and its manifest.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Id for the event.
    pub id: EventId,
    /// Whose view of the message it is: one of the envelope's recipients.
    pub recipient: Recipient,
    /// Domains verified for the tenant.
    pub owned_domains: &'a [Domain],
    /// Every address of the tenant's intake routes, old tokens included. Those of the envelope, and whatever has the
    /// usual form of a route address, are known without it.
    pub route_addresses: &'a [Mailbox],
    /// The conversation.
    pub thread: ThreadId,
    /// Whether the conversation was there before this message.
    pub is_known_thread: bool,
    /// What was found out about who sent it.
    pub authentication: &'a Authentication,
    /// What the mailbox does with mail that fails DMARC; of a copy nothing is refused.
    pub failure_policy: FailurePolicy,
}

/// The canonical event of `message` as `view.recipient` sees it.
#[must_use]
pub fn from_mail(message: &Message, manifest: &Manifest, view: &View<'_>) -> CanonicalEvent {
    let facts = Facts::gather(message, manifest, view);
    let spans = split_reply(&message.text);
    let hide = |text: &str| facts.routes.redact(text).into_owned();
    CanonicalEvent {
        v: VERSION,
        id: view.id,
        tenant: view.recipient.tenant(),
        kind: facts.kind(),
        event_type: facts.event_type(message, view),
        direction: facts.direction,
        message_id: manifest.id,
        scope: scope(view.recipient),
        envelope: facts.envelope(manifest),
        author: message.author.as_ref().map(|author| facts.participant(author)),
        sender: message.sender.as_ref().map(|sender| facts.participant(sender)),
        reply_to: message.reply_to.iter().map(|address| facts.participant(address)).collect(),
        recipients: facts.recipients.iter().map(|recipient| facts.recipient(recipient)).collect(),
        rfc_message_id: message.message_id.as_deref().map(hide),
        in_reply_to: message.in_reply_to.as_deref().map(hide),
        references: message.references.iter().map(|id| hide(id)).collect(),
        thread_id: view.thread,
        subject: hide(&message.subject),
        text: hide(&message.text),
        text_source: message.text_source,
        visible_text: hide(&spans.visible),
        quoted_text: hide(&spans.quoted),
        signature: hide(&spans.signature),
        attachments: message.attachments.iter().map(|attachment| facts.attachment(attachment)).collect(),
        has_calendar: message.has_calendar,
        language: None,
        authentication: view.authentication.clone(),
        list: facts.list(&message.list),
        automated: facts.automated.clone().map(|automated| facts.hidden_in(automated)),
        trusted: facts.untrusted_reasons.is_empty(),
        untrusted_reasons: facts.untrusted_reasons.clone(),
        defects: facts.defects(message, manifest, view.authentication),
        received_at: manifest.received_at,
        sent_at: message.date,
        source: Source {
            kind: match manifest.origin.door {
                Door::Import => Kind::Import,
                _ => source_kind(view.recipient, manifest),
            },
            door: manifest.origin.door,
            session: manifest.origin.session,
            tls: manifest.origin.tls.clone(),
            provider: manifest.origin.provider,
        },
    }
}

fn scope(recipient: Recipient) -> Scope {
    match recipient {
        Recipient::Mailbox { mailbox, .. } => Scope::Mailbox(mailbox),
        Recipient::BccRoute { route, .. } => Scope::Route(route),
    }
}

fn source_kind(recipient: Recipient, manifest: &Manifest) -> Kind {
    match recipient {
        Recipient::Mailbox { .. } => Kind::Direct,
        Recipient::BccRoute { .. } if manifest.milter.is_some() => Kind::Milter,
        Recipient::BccRoute { .. } => Kind::Bcc,
    }
}

/// What is worked out once and used by several fields.
struct Facts<'a> {
    source: Kind,
    routes: RouteAddresses,
    reached: Vec<&'a ForwardPath>,
    recipients: Vec<CopyRecipient>,
    is_route_visible: bool,
    mail_from_decoded: Option<Mailbox>,
    direction: Direction,
    is_author_foreign_sent: bool,
    automated: Option<Automated>,
    untrusted_reasons: Vec<UntrustedReason>,
}

impl<'a> Facts<'a> {
    fn gather(message: &Message, manifest: &'a Manifest, view: &View<'_>) -> Self {
        let paths = &manifest.envelope.forward_paths;
        let copies = paths.iter().filter(|path| path.recipient.is_copy()).map(|path| &path.mailbox);
        let routes = RouteAddresses::new(view.route_addresses.iter().chain(copies));
        // Several paths may name one mailbox or route, with other details; other recipients' paths are not shown here.
        let reached: Vec<&ForwardPath> =
            paths.iter().filter(|path| scope(path.recipient) == scope(view.recipient)).collect();
        let told: Vec<&str> = manifest.milter.iter().flat_map(|told| &told.forward_paths).map(String::as_str).collect();
        let (recipients, is_route_visible) = copy::recipients(message, &reached, &told, &routes);
        let mail_from = manifest.envelope.reverse_path.mailbox();
        let mail_from_decoded = mail_from.and_then(copy::decode_rewritten);
        let sender = mail_from_decoded.as_ref().or(mail_from).map(Mailbox::domain);
        let author = message.author.as_ref().and_then(|author| author.mailbox.as_ref()).map(Mailbox::domain);
        let source = source_kind(view.recipient, manifest);
        let is_owned = |domain: Option<&Domain>| domain.is_some_and(|one| copy::is_owned(one, view.owned_domains));
        let direction = match source {
            Kind::Direct => direct_direction(is_owned(sender.or(author)), &recipients, &reached, view.owned_domains),
            _ => copy::direction(sender, &recipients, view.owned_domains),
        };
        Self {
            source,
            reached,
            is_route_visible,
            direction,
            is_author_foreign_sent: is_owned(author) && sender.is_some() && !is_owned(sender),
            automated: notice::automated(message, manifest.has_null_reverse_path()),
            untrusted_reasons: untrusted_reasons(message, view),
            routes,
            recipients,
            mail_from_decoded,
        }
    }

    /// Reports of every kind are reports, by whatever way they came.
    fn kind(&self) -> Kind {
        match self.automated {
            Some(
                Automated::Bounce { .. }
                | Automated::AutoReply
                | Automated::ReadReceipt { .. }
                | Automated::Complaint { .. },
            ) => Kind::Report,
            Some(Automated::List | Automated::Notification) | None => self.source,
        }
    }

    fn event_type(&self, message: &Message, view: &View<'_>) -> EventType {
        match (&self.automated, self.source, self.direction) {
            (Some(Automated::Bounce { .. }), ..) => EventType::Bounce,
            (Some(Automated::AutoReply), ..) => EventType::AutoReply,
            (Some(Automated::ReadReceipt { .. }), ..) => EventType::ReadReceipt,
            (Some(Automated::Complaint { .. }), ..) => EventType::Complaint,
            (_, Kind::Direct, _) => {
                let is_answer = message.in_reply_to.is_some() || !message.references.is_empty();
                if view.is_known_thread && is_answer { EventType::InboundReply } else { EventType::InboundMessage }
            }
            (_, _, Direction::Outbound) => EventType::OutboundCopy,
            _ => EventType::JournalCopy,
        }
    }

    fn envelope(&self, manifest: &Manifest) -> EnvelopeSummary {
        let rcpt_to = self.reached.iter().filter(|path| !path.recipient.is_copy());
        let reverse_path = manifest.envelope.reverse_path.to_string();
        let (mail_from, told) = match &manifest.milter {
            Some(told) => (told.reverse_path.as_str(), told.forward_paths.as_slice()),
            None => (reverse_path.as_str(), [].as_slice()),
        };
        EnvelopeSummary {
            mail_from: self.hide(mail_from),
            mail_from_decoded: self.mail_from_decoded.as_ref().map(|mailbox| self.hide(&mailbox.to_string())),
            rcpt_to: rcpt_to
                .map(|path| path.mailbox.to_string())
                .chain(told.iter().map(|path| self.hide(path)))
                .collect(),
        }
    }

    fn defects(&self, message: &Message, manifest: &Manifest, authentication: &Authentication) -> Vec<Defect> {
        let mut defects = message.defects.clone();
        defects.extend(manifest.defects.iter().map(|defect| match defect {
            TransferDefect::BareLf => Defect::BareLf,
        }));
        let is_unwrapped_report = message.has_report_shape && self.source == Kind::Bcc;
        for (defect, applies) in [
            (Defect::IntakeAddressVisible, self.is_route_visible),
            (Defect::ReportShapeNotUnwrapped, is_unwrapped_report),
            (Defect::AuthorOwnedSenderForeign, self.is_author_foreign_sent),
            (Defect::ForgedAuthenticationResults, authentication.forged_results),
        ] {
            if applies {
                defects.push(defect);
            }
        }
        defects.sort_unstable();
        defects.dedup();
        defects
    }

    fn hide(&self, text: &str) -> String {
        self.routes.redact(text).into_owned()
    }

    fn hide_optional(&self, text: Option<&String>) -> Option<String> {
        text.map(|text| self.hide(text))
    }

    fn participant(&self, address: &HeaderAddress) -> Participant {
        Participant {
            address: self.hide(&address.address),
            display_name: self.hide_optional(address.display_name.as_ref()),
        }
    }

    fn recipient(&self, recipient: &CopyRecipient) -> EventRecipient {
        EventRecipient {
            address: self.hide(&recipient.address),
            display_name: self.hide_optional(recipient.display_name.as_ref()),
            recipient_type: recipient.recipient_type,
        }
    }

    fn attachment(&self, attachment: &Attachment) -> Attachment {
        Attachment {
            filename: self.hide(&attachment.filename),
            content_type: self.hide(&attachment.content_type),
            content_id: self.hide_optional(attachment.content_id.as_ref()),
            ..attachment.clone()
        }
    }

    fn list(&self, list: &ListHeaders) -> Option<ListHeaders> {
        let hide = |text: &Option<String>| self.hide_optional(text.as_ref());
        (!list.is_empty()).then(|| ListHeaders {
            id: hide(&list.id),
            post: hide(&list.post),
            unsubscribe: hide(&list.unsubscribe),
            unsubscribe_post: hide(&list.unsubscribe_post),
        })
    }

    /// A notice without route addresses: a report about a copy names the route as its recipient.
    fn hidden_in(&self, automated: Automated) -> Automated {
        let hide_id = |id: Option<String>| self.hide_optional(id.as_ref());
        match automated {
            Automated::Bounce { permanence, recipients, original_message_id } => Automated::Bounce {
                permanence,
                recipients: recipients
                    .into_iter()
                    .map(|one| FailedRecipient {
                        address: self.hide(&one.address),
                        action: self.hide(&one.action),
                        status: self.hide(&one.status),
                    })
                    .collect(),
                original_message_id: hide_id(original_message_id),
            },
            Automated::ReadReceipt { original_message_id } => {
                Automated::ReadReceipt { original_message_id: hide_id(original_message_id) }
            }
            Automated::Complaint { feedback_type, original_message_id } => Automated::Complaint {
                feedback_type: self.hide(&feedback_type),
                original_message_id: hide_id(original_message_id),
            },
            other @ (Automated::AutoReply | Automated::List | Automated::Notification) => other,
        }
    }
}

/// Direct mail has reached a mailbox here, which counts as owned though its domain may be the platform's.
fn direct_direction(
    is_owned_sender: bool,
    recipients: &[CopyRecipient],
    reached: &[&ForwardPath],
    owned: &[Domain],
) -> Direction {
    let is_ours = |recipient: &CopyRecipient| {
        recipient.mailbox.as_ref().is_some_and(|mailbox| {
            copy::is_owned(mailbox.domain(), owned) || reached.iter().any(|path| path.mailbox.key() == mailbox.key())
        })
    };
    match is_owned_sender {
        false => Direction::Inbound,
        true if recipients.iter().all(is_ours) => Direction::Internal,
        true => Direction::Outbound,
    }
}

/// Direct mail is what it is, unless its mailbox asks more of its author. A copy is a statement by the peer that handed it
/// over, about one author: it is believed when the peer is authorised, or when the author's domain is the tenant's own and
/// stands behind it.
fn untrusted_reasons(message: &Message, view: &View<'_>) -> Vec<UntrustedReason> {
    let mut reasons = Vec::new();
    let authentication = view.authentication;
    let is_owned_author = authentication
        .author_domain()
        .and_then(|domain| Domain::parse(domain).ok())
        .is_some_and(|domain| copy::is_owned(&domain, view.owned_domains));
    let doubt = message.author_doubt();
    match view.recipient {
        Recipient::BccRoute { peer_authorised, .. } => {
            if !peer_authorised && !is_owned_author {
                reasons.push(UntrustedReason::PeerNotAuthorised);
            }
            if matches!(doubt, Some(AuthorDoubt::Several | AuthorDoubt::Obscured)) {
                reasons.push(UntrustedReason::AuthorAmbiguous);
            }
        }
        Recipient::Mailbox { .. } => {
            if view.failure_policy.quarantines(authentication) {
                reasons.push(UntrustedReason::AuthorUnauthenticated);
            }
            // No policy can be asked for an author who cannot be told: that must not be a way around it.
            let is_strict = view.failure_policy != FailurePolicy::Mark && authentication.checked;
            if is_strict && matches!(doubt, Some(AuthorDoubt::Several | AuthorDoubt::Obscured)) {
                reasons.push(UntrustedReason::AuthorAmbiguous);
            }
        }
    }
    reasons
}
