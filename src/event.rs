//! The canonical event v1: the normalised fact that a message came in, as it is stored and as apps see it.
//!
//! A stored and public format: fields are only ever added. No route address and nothing of the transport's secrets is
//! ever in it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{EventId, MailboxId, MessageId, RouteId, SessionId, TenantId, ThreadId};
use crate::mail::authentication::Authentication;
use crate::mail::copy::{Direction, RecipientType};
use crate::mail::envelope::{Door, Provider};
use crate::mail::message::{Attachment, Calendar, Defect, ListHeaders, TextSource};
use crate::mail::notice::Automated;
use crate::mail::text::Span;
use crate::mail::thread::Threading;

mod build;
mod moment;
pub mod privacy;
#[cfg(test)]
mod tests;

pub use crate::mail::reading::UntrustedReason;
pub use build::{View, from_mail};

/// Version of the event's form.
pub const VERSION: u16 = 1;

/// What kind of copy of a message an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Mail to a mailbox here.
    Direct,
    /// A plain copy that reached a `bcc` route.
    Bcc,
    /// The original out of a journal report.
    Journal,
    /// A forwarded message.
    Forward,
    /// A message seen by the milter door.
    Milter,
    /// A delivery report, receipt, complaint or automatic answer.
    Report,
    /// What an app handed over by the API.
    App,
    /// History out of files.
    Import,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A message reached a mailbox.
    InboundMessage,
    /// A message that answers a known conversation reached a mailbox.
    InboundReply,
    /// A copy of a message that the tenant sent.
    OutboundCopy,
    /// A copy of any other message.
    JournalCopy,
    /// A delivery report.
    Bounce,
    /// An automatic answer.
    AutoReply,
    /// A complaint about mail that was sent.
    Complaint,
    /// A receipt.
    ReadReceipt,
    /// A calendar request or answer.
    Calendar,
    /// An agent was given work.
    AgentTaskCreated,
    /// An agent wrote.
    AgentMessage,
    /// Something else happened in an app.
    AppEvent,
}

impl EventType {
    /// The word of the JSON contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InboundMessage => "inbound_message",
            Self::InboundReply => "inbound_reply",
            Self::OutboundCopy => "outbound_copy",
            Self::JournalCopy => "journal_copy",
            Self::Bounce => "bounce",
            Self::AutoReply => "auto_reply",
            Self::Complaint => "complaint",
            Self::ReadReceipt => "read_receipt",
            Self::Calendar => "calendar",
            Self::AgentTaskCreated => "agent_task_created",
            Self::AgentMessage => "agent_message",
            Self::AppEvent => "app_event",
        }
    }
}

/// Whose view of the message the event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Scope {
    /// A mailbox here.
    Mailbox(MailboxId),
    /// An intake route.
    Route(RouteId),
}

/// A person or machine named in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// Address; as it was written where it is no valid mailbox.
    pub address: String,
    /// Name in front of it; null when there is none.
    pub display_name: Option<String>,
}

/// A recipient and how it was addressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecipient {
    /// Address; as it was written where it is no valid mailbox.
    pub address: String,
    /// Name in front of it; null when there is none.
    pub display_name: Option<String>,
    /// How it was addressed.
    #[serde(rename = "type")]
    pub recipient_type: RecipientType,
}

/// What SMTP said, without route addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvelopeSummary {
    /// MAIL FROM; empty for the null reverse-path.
    pub mail_from: String,
    /// The address that a known rewriting of it (SRS, BATV) stands for; null when it is none.
    pub mail_from_decoded: Option<String>,
    /// The accepted recipients of this scope; for a copy empty, as its recipient is a secret, or what a mail server told.
    pub rcpt_to: Vec<String>,
}

/// Where the message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The kind of copy, before a report was recognised as one.
    pub kind: Kind,
    /// The door.
    pub door: Door,
    /// The session, as in the log.
    pub session: SessionId,
    /// TLS version and cipher suite; null in the clear.
    pub tls: Option<String>,
    /// The provider that handed it over at the HTTP door; left out where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

/// A message that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Its first event.
    pub event_id: EventId,
    /// Our id of the message.
    pub message_id: MessageId,
}

/// The canonical event, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanonicalEvent {
    /// Version of this form: 1.
    pub v: u16,
    /// Id of the event.
    pub id: EventId,
    /// Whose event it is.
    pub tenant: TenantId,
    /// What kind of copy it is.
    pub kind: Kind,
    /// What happened.
    pub event_type: EventType,
    /// Direction, seen from the tenant's owned domains.
    pub direction: Direction,
    /// Our id of the message.
    pub message_id: MessageId,
    /// Whose view it is.
    pub scope: Scope,
    /// What SMTP said.
    pub envelope: EnvelopeSummary,
    /// The one author; null when there is none, or several.
    pub author: Option<Participant>,
    /// Sender field; null when there is none.
    pub sender: Option<Participant>,
    /// Reply-To.
    pub reply_to: Vec<Participant>,
    /// Recipients, each once per type.
    pub recipients: Vec<EventRecipient>,
    /// Groups through which it was reached, by a journal report: a route's lists may name them. Not stored.
    #[serde(skip)]
    pub groups: Vec<String>,
    /// Message-ID without angle brackets; null when there is none.
    pub rfc_message_id: Option<String>,
    /// In-Reply-To without angle brackets.
    pub in_reply_to: Option<String>,
    /// References without angle brackets, oldest first.
    pub references: Vec<String>,
    /// The conversation.
    pub thread_id: ThreadId,
    /// By what the message was found to belong to it; null in events from before it was told.
    #[serde(default)]
    pub threading: Option<Threading>,
    /// Subject, decoded.
    pub subject: String,
    /// The best plain text.
    pub text: String,
    /// Where the text comes from.
    pub text_source: TextSource,
    /// The parts of the text: ranges in their order, which leave out nothing but blank lines.
    #[serde(default)]
    pub text_spans: Vec<Span>,
    /// What stands in its HTML and is not shown to a reader; empty when there is none.
    #[serde(default)]
    pub hidden_text: String,
    /// New text without quoted history and signature.
    pub visible_text: String,
    /// Quoted history; empty when there is none.
    pub quoted_text: String,
    /// Signature; empty when there is none.
    pub signature: String,
    /// Attachments, by description.
    pub attachments: Vec<Attachment>,
    /// Whether a calendar part is there.
    pub has_calendar: bool,
    /// What it says: an invitation, an answer to one, a cancellation; null when there is none.
    #[serde(default)]
    pub calendar: Option<Calendar>,
    /// Language as ISO 639-1; null while it is not guessed.
    pub language: Option<String>,
    /// Sender authentication.
    pub authentication: Authentication,
    /// Mailing-list fields; null when there are none.
    pub list: Option<ListHeaders>,
    /// What kind of machine mail it is; null for what a person may have written.
    pub automated: Option<Automated>,
    /// The message that a report, receipt, complaint or automatic answer is about, where it is known; else left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Whether the copy is believed. An event that is not makes no operation, webhook or draft.
    pub trusted: bool,
    /// Why it is not believed; empty when it is.
    pub untrusted_reasons: Vec<UntrustedReason>,
    /// What is wrong with the message.
    pub defects: Vec<Defect>,
    /// When the last byte had arrived.
    #[serde(with = "moment")]
    pub received_at: Timestamp,
    /// Date field; null when there is no readable one.
    #[serde(with = "moment::optional")]
    pub sent_at: Option<Timestamp>,
    /// Where it came from.
    pub source: Source,
}

impl CanonicalEvent {
    /// Cuts each text to `limit` octets, and says so among the defects.
    pub fn cut_texts(&mut self, limit: usize) {
        let mut is_cut = false;
        let texts =
            [&mut self.text, &mut self.hidden_text, &mut self.visible_text, &mut self.quoted_text, &mut self.signature];
        for text in texts {
            if text.len() > limit {
                text.truncate(text.floor_char_boundary(limit));
                text.shrink_to_fit();
                is_cut = true;
            }
        }
        let length = self.text.len();
        self.text_spans.retain(|span| span.start < length);
        for span in &mut self.text_spans {
            span.end = span.end.min(length);
        }
        if is_cut && !self.defects.contains(&Defect::TextCut) {
            self.defects.push(Defect::TextCut);
        }
    }
}
