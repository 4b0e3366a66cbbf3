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
use crate::mail::message::{
    Attachment, Calendar, CalendarEntry, CalendarParticipant, Defect, HeaderAddress, ListHeaders, Message,
};
use crate::mail::notice::{Automated, FailedRecipient};
use crate::mail::reading::{self, CopyKind, Handed, Opened, Reader, Reading};
use crate::mail::selection::AuthorRule;
use crate::mail::text::{self, Part, Span};
use crate::mail::thread::{Method, Threading};

/// What the caller knows beside the message and its manifest.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Id for the event.
    pub id: EventId,
    /// Whose view of the message it is: one of the envelope's recipients.
    pub recipient: Recipient,
    /// Names of this gateway.
    pub own_hosts: &'a [Domain],
    /// Domains verified for the tenant.
    pub owned_domains: &'a [Domain],
    /// Every address of the tenant's intake routes, old tokens included. Those of the envelope, and whatever has the
    /// usual form of a route address, are known without it.
    pub route_addresses: &'a [Mailbox],
    /// The conversation.
    pub thread: ThreadId,
    /// By what the message was found to belong to it.
    pub threading: Threading,
    /// Whose copies a `bcc` route takes; empty: those of every author.
    pub authors: &'a [AuthorRule],
    /// What was found out about who sent it.
    pub authentication: &'a Authentication,
    /// What the mailbox does with mail that fails DMARC; of a copy nothing is refused.
    pub failure_policy: FailurePolicy,
    /// Whether the operator lets it pass although it came back in a delivery report, which anybody can write.
    pub is_released: bool,
}

/// The canonical event of the message in `opened` as `view.recipient` sees it.
#[must_use]
pub fn from_mail(opened: &Opened, manifest: &Manifest, view: &View<'_>) -> CanonicalEvent {
    let facts = Facts::gather(opened, manifest, view);
    let message = facts.reading.message;
    let (text, text_spans) = facts.text(message);
    let hide = |text: &str| facts.routes.redact(text).into_owned();
    CanonicalEvent {
        v: VERSION,
        id: view.id,
        tenant: view.recipient.tenant(),
        kind: facts.kind(),
        event_type: facts.event_type(message, view),
        direction: facts.reading.direction,
        message_id: manifest.id,
        scope: scope(view.recipient),
        envelope: facts.envelope(manifest),
        author: message.author.as_ref().map(|author| facts.participant(author)),
        sender: message.sender.as_ref().map(|sender| facts.participant(sender)),
        reply_to: message.reply_to.iter().map(|address| facts.participant(address)).collect(),
        recipients: facts.reading.recipients.iter().map(|recipient| facts.recipient(recipient)).collect(),
        groups: facts.reading.recipients.iter().filter_map(|recipient| recipient.expanded_from.clone()).collect(),
        rfc_message_id: message.message_id.as_deref().map(hide),
        in_reply_to: message.in_reply_to.as_deref().map(hide),
        references: message.references.iter().map(|id| hide(id)).collect(),
        thread_id: view.thread,
        threading: Some(view.threading.clone()),
        subject: hide(&message.subject),
        text_source: message.text_source,
        visible_text: text::part(&text, &text_spans, Part::Visible),
        quoted_text: text::part(&text, &text_spans, Part::Quoted),
        signature: text::part(&text, &text_spans, Part::Signature),
        text,
        text_spans,
        hidden_text: hide(&message.hidden_text),
        attachments: message.attachments.iter().map(|attachment| facts.attachment(attachment)).collect(),
        has_calendar: message.has_calendar,
        calendar: message.calendar.as_ref().map(|calendar| facts.calendar(calendar)),
        language: None,
        // What was found out is about the message that was handed over, and not about one inside it.
        authentication: authentication(opened, view.authentication),
        list: facts.list(&message.list),
        automated: facts.reading.automated.clone().map(|automated| facts.hidden_in(automated)),
        about: None,
        trusted: facts.untrusted_reasons.is_empty(),
        untrusted_reasons: facts.untrusted_reasons.clone(),
        defects: facts.defects(manifest, view.authentication),
        received_at: manifest.received_at,
        sent_at: message.date,
        source: Source {
            kind: match manifest.origin.door {
                Door::Import => Kind::Import,
                _ => facts.source,
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
        Recipient::Route { route, .. } => Scope::Route(route),
    }
}

/// The kind of copy, whether or not what was copied is a report.
fn source_kind(opened: &Opened, recipient: Recipient, manifest: &Manifest) -> Kind {
    match recipient.reader() {
        Reader::Mailbox => Kind::Direct,
        // By whatever door: its blind recipients are the report's secret.
        Reader::Journal(_) if opened.is_journal() => Kind::Journal,
        _ if manifest.milter.is_some() => Kind::Milter,
        Reader::Journal(_) | Reader::JournalPlain | Reader::Bcc => Kind::Bcc,
        Reader::Forward => Kind::Forward,
    }
}

/// What is worked out once and used by several fields.
struct Facts<'a> {
    source: Kind,
    routes: RouteAddresses,
    reached: Vec<&'a ForwardPath>,
    reading: Reading<'a>,
    untrusted_reasons: Vec<UntrustedReason>,
}

impl<'a> Facts<'a> {
    fn gather(opened: &'a Opened, manifest: &'a Manifest, view: &View<'_>) -> Self {
        let paths = &manifest.envelope.forward_paths;
        let copies = paths.iter().filter(|path| path.recipient.is_copy()).map(|path| &path.mailbox);
        let routes = RouteAddresses::new(view.route_addresses.iter().chain(copies));
        // Several paths may name one mailbox or route, with other details; other recipients' paths are not shown here.
        let reached: Vec<&ForwardPath> =
            paths.iter().filter(|path| scope(path.recipient) == scope(view.recipient)).collect();
        let forward_paths: Vec<&Mailbox> = reached.iter().map(|path| &path.mailbox).collect();
        let told: Vec<&str> = manifest.milter.iter().flat_map(|told| &told.forward_paths).map(String::as_str).collect();
        let author = view.authentication.author_domain().and_then(|domain| Domain::parse(domain).ok());
        let reading = reading::read(
            opened,
            &Handed {
                own_hosts: view.own_hosts,
                owned_domains: view.owned_domains,
                routes: &routes,
                reverse_path: &manifest.envelope.reverse_path,
                has_null_reverse_path: manifest.has_null_reverse_path(),
                forward_paths: &forward_paths,
                told: &told,
                peer_authorised: matches!(view.recipient, Recipient::Route { peer_authorised: true, .. }),
                authors: view.authors,
                author_authenticated: author.is_some_and(|author| copy::is_owned(&author, view.owned_domains)),
            },
        );
        Self {
            source: source_kind(opened, view.recipient, manifest),
            untrusted_reasons: untrusted_reasons(&reading, view),
            routes,
            reached,
            reading,
        }
    }

    fn kind(&self) -> Kind {
        if self.reading.kind == CopyKind::Report { Kind::Report } else { self.source }
    }

    fn event_type(&self, message: &Message, view: &View<'_>) -> EventType {
        match (&self.reading.automated, self.source, self.reading.direction) {
            (Some(Automated::Bounce { .. }), ..) => EventType::Bounce,
            (Some(Automated::AutoReply { .. }), ..) => EventType::AutoReply,
            (Some(Automated::ReadReceipt { .. } | Automated::Delivered { .. }), ..) => EventType::ReadReceipt,
            (Some(Automated::Complaint { .. }), ..) => EventType::Complaint,
            (_, Kind::Direct, _) => {
                let has_ids = message.in_reply_to.is_some() || !message.references.is_empty();
                match view.threading.method {
                    Method::ReplyToken | Method::ThreadIndex | Method::Subject => EventType::InboundReply,
                    // Without ids it is what was answered, and came after its answer.
                    Method::References if has_ids => EventType::InboundReply,
                    Method::References | Method::New => EventType::InboundMessage,
                }
            }
            (_, _, Direction::Outbound) => EventType::OutboundCopy,
            _ => EventType::JournalCopy,
        }
    }

    fn envelope(&self, manifest: &Manifest) -> EnvelopeSummary {
        let rcpt_to = self.reached.iter().filter(|path| !path.recipient.is_copy());
        let (mail_from, told) = match &manifest.milter {
            Some(told) => (told.reverse_path.as_str(), told.forward_paths.as_slice()),
            None => (self.reading.mail_from.as_deref().unwrap_or_default(), [].as_slice()),
        };
        EnvelopeSummary {
            mail_from: self.hide(mail_from),
            mail_from_decoded: self.reading.mail_from_decoded.as_ref().map(|mailbox| self.hide(&mailbox.to_string())),
            rcpt_to: rcpt_to
                .map(|path| path.mailbox.to_string())
                .chain(told.iter().map(|path| self.hide(path)))
                .collect(),
        }
    }

    fn defects(&self, manifest: &Manifest, authentication: &Authentication) -> Vec<Defect> {
        let mut defects = self.reading.defects.clone();
        defects.extend(manifest.defects.iter().map(|defect| match defect {
            TransferDefect::BareLf => Defect::BareLf,
            TransferDefect::OverSize => Defect::Truncated,
        }));
        if authentication.forged_results {
            defects.push(Defect::ForgedAuthenticationResults);
        }
        defects.sort_unstable();
        defects.dedup();
        defects
    }

    fn hide(&self, text: &str) -> String {
        self.routes.redact(text).into_owned()
    }

    /// The text without route addresses, and its spans, moved to where they are in it.
    fn text(&self, message: &Message) -> (String, Vec<Span>) {
        let (mut text, mut at) = (String::with_capacity(message.text.len()), 0);
        let mut spans = message.text_spans();
        for span in &mut spans {
            text.push_str(&self.hide(message.text.get(at..span.start).unwrap_or_default()));
            at = span.end;
            let piece = self.hide(span.of(&message.text));
            (span.start, span.end) = (text.len(), text.len() + piece.len());
            text.push_str(&piece);
        }
        text.push_str(&self.hide(message.text.get(at..).unwrap_or_default()));
        (text, spans)
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

    fn calendar(&self, calendar: &Calendar) -> Calendar {
        let participant = |one: &CalendarParticipant| CalendarParticipant {
            address: self.hide(&one.address),
            name: self.hide_optional(one.name.as_ref()),
            ..one.clone()
        };
        let entry = |entry: &CalendarEntry| CalendarEntry {
            uid: self.hide_optional(entry.uid.as_ref()),
            summary: self.hide(&entry.summary),
            location: self.hide(&entry.location),
            organizer: entry.organizer.as_ref().map(participant),
            attendees: entry.attendees.iter().map(participant).collect(),
            ..entry.clone()
        };
        Calendar { method: calendar.method.clone(), entries: calendar.entries.iter().map(entry).collect() }
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
                recipients: self.hidden_recipients(recipients),
                original_message_id: hide_id(original_message_id),
            },
            Automated::Delivered { recipients, original_message_id } => Automated::Delivered {
                recipients: self.hidden_recipients(recipients),
                original_message_id: hide_id(original_message_id),
            },
            Automated::AutoReply { return_date, covering, original_message_id } => Automated::AutoReply {
                return_date,
                covering: covering.iter().map(|address| self.hide(address)).collect(),
                original_message_id: hide_id(original_message_id),
            },
            Automated::ReadReceipt { original_message_id } => {
                Automated::ReadReceipt { original_message_id: hide_id(original_message_id) }
            }
            Automated::Complaint { feedback_type, original_message_id } => Automated::Complaint {
                feedback_type: self.hide(&feedback_type),
                original_message_id: hide_id(original_message_id),
            },
            other @ (Automated::List | Automated::Notification) => other,
        }
    }

    fn hidden_recipients(&self, recipients: Vec<FailedRecipient>) -> Vec<FailedRecipient> {
        let hidden = |one: FailedRecipient| FailedRecipient {
            address: self.hide(&one.address),
            original_address: self.hide_optional(one.original_address.as_ref()),
            action: self.hide(&one.action),
            status: self.hide(&one.status),
        };
        recipients.into_iter().map(hidden).collect()
    }
}

/// What was found out about the message of the event: of one that was inside another, only what its own signatures show.
fn authentication(opened: &Opened, found: &Authentication) -> Authentication {
    if !opened.is_unwrapped() {
        return Authentication { original: Vec::new(), other_originals: Vec::new(), ..found.clone() };
    }
    let own = match opened.position().checked_sub(1) {
        None => Some(&found.original),
        Some(other) => found.other_originals.get(other),
    };
    Authentication { original: own.cloned().unwrap_or_default(), ..Authentication::default() }
}

/// What the reading doubts; and of direct mail, which is what it is, what its mailbox asks of its author beyond that.
fn untrusted_reasons(reading: &Reading<'_>, view: &View<'_>) -> Vec<UntrustedReason> {
    let mut reasons = reading.untrusted.clone();
    if view.is_released {
        // That doubt alone: everything else must hold all the same.
        reasons.retain(|reason| *reason != UntrustedReason::ReturnedReport);
    }
    let authentication = view.authentication;
    if let Recipient::Mailbox { .. } = view.recipient {
        if view.failure_policy.quarantines(authentication) {
            reasons.push(UntrustedReason::AuthorUnauthenticated);
        }
        // No policy can be asked for an author who cannot be told: that must not be a way around it.
        let is_strict = view.failure_policy != FailurePolicy::Mark && authentication.checked;
        let doubt = reading.message.author_doubt();
        if is_strict && matches!(doubt, Some(AuthorDoubt::Several | AuthorDoubt::Obscured)) {
            reasons.push(UntrustedReason::AuthorAmbiguous);
        }
    }
    reasons
}
