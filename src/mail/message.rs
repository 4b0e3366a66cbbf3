//! A message's bytes, read into a bounded view of our own.
//!
//! Reading never fails and never panics: what is wrong with a message is listed in [`Message::defects`]. MIME structure,
//! transfer encodings and every limit are ours; mail-parser reads single header fields and charsets only (see `decode`).
//!
//! Standards: RFC 5322 (header fields), RFC 2045 and 2046 (MIME), RFC 2047 and 2231 (encoded words, parameters),
//! RFC 2183 (disposition), RFC 6532 (UTF-8 headers).
//!
//! # Security
//! Mail is hostile input. Every pass is linear in the input, nothing recurses, and what is kept is bounded by
//! [`Limits`]. mail-parser's own `Message` is never made: its nested messages are dropped recursively, so 30,000 levels
//! of message/rfc822 would overflow the stack and end the process.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::MessageId;
use crate::mail::address::Mailbox;
use crate::mail::authentication::AuthorDoubt;
use crate::mail::text::{self, Mark, Span};

mod alternative;
mod attachment;
mod author;
mod body;
mod calendar;
pub(in crate::mail) mod charset;
pub(in crate::mail) mod decode;
mod defect;
mod detect;
pub(in crate::mail) mod field;
mod header;
mod hop;
mod report;
mod rtf;
pub(in crate::mail) mod structure;
#[cfg(test)]
mod tests;
mod tnef;
pub(in crate::mail) mod transfer;

pub use calendar::{Calendar, CalendarEntry, CalendarParticipant, CalendarTime};
pub(in crate::mail) use decode::html_reference;
pub use defect::Defect;
pub use report::{Report, ReportKind};

/// How much of a message is read; what lies beyond is flagged, not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of multipart and message/rfc822 below the message itself.
    pub nesting: usize,
    /// MIME parts, the message itself included.
    pub parts: usize,
    /// Octets of one header block.
    pub header_block: usize,
    /// Octets of decoded text.
    pub text: usize,
    /// Octets of text that HTML hides.
    pub hidden: usize,
    /// Addresses kept of one header field, and ids kept of References.
    pub list: usize,
    /// Octets of one unstructured header value.
    pub value: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nesting: 20,
            parts: 1_000,
            header_block: 256 * 1024,
            text: 2 * 1024 * 1024,
            hidden: 64 * 1024,
            list: 2_000,
            value: 8 * 1024,
        }
    }
}

/// The header of a message that was taken apart, without its text and parts.
pub(in crate::mail) fn read_header(bytes: &[u8], structure: &structure::Structure, limits: &Limits) -> Message {
    header::read(bytes, structure, limits)
}

/// Reads `bytes` as one message. Whatever the bytes are, there is a message; what is wrong with it is in its defects.
#[must_use]
pub fn read(bytes: &[u8], limits: &Limits) -> Message {
    let structure = structure::walk(bytes, limits);
    let mut message = header::read(bytes, &structure, limits);
    body::read(bytes, &structure, limits, &mut message);
    message.report = report::read(bytes, &structure);
    message.returned_message_id = report::returned_message_id(bytes, &structure);
    message.has_report_shape = report::has_journal_shape(bytes, &structure, &message);
    message.defects.extend(structure.defects);
    message.defects.sort_unstable();
    message.defects.dedup();
    message
}

/// The octets of the attachment of `bytes` that [`Message::attachments`] has at `index`, decoded; `None` where there is none.
#[must_use]
pub fn attachment(bytes: &[u8], index: usize, limits: &Limits) -> Option<Vec<u8>> {
    attachment::content(bytes, &structure::walk(bytes, limits), limits, index)
}

/// The markup of every HTML part of a message that was read as `message`, and the parts that are files; `None` where not all
/// of it can be shown: the markup is longer than is kept, or content is somewhere else (RFC 2046 §5.2).
pub(in crate::mail) fn markup_and_files(
    bytes: &[u8],
    limits: &Limits,
    message: &Message,
) -> Option<(Option<String>, Vec<Attachment>)> {
    let structure = structure::walk(bytes, limits);
    let is_elsewhere =
        |part: &structure::Part| matches!(part.media.name.as_str(), "message/partial" | "message/external-body");
    if structure.parts.iter().any(is_elsewhere) {
        return None;
    }
    Some((body::markup(bytes, &structure, limits)?, message.attachments.clone()))
}

/// How many parts the bare parser finds, within none of the bounds: what [`read`] is measured beside.
#[must_use]
pub fn parse_alone(bytes: &[u8]) -> usize {
    mail_parser::MessageParser::default().parse(bytes).map_or(0, |message| message.parts.len())
}

/// One address of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderAddress {
    /// The address: normalised where it is a mailbox, else as it was written.
    pub address: String,
    /// The address as a mailbox; `None` when it is none.
    pub mailbox: Option<Mailbox>,
    /// The name in front of it, decoded; `None` when there is none.
    pub display_name: Option<String>,
}

/// Where [`Message::text`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// A text/plain part.
    Plain,
    /// Taken out of a text/html part.
    Html,
    /// There is no text.
    #[default]
    None,
}

/// Content-Disposition of an attachment (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// `attachment`, and every unknown value (RFC 2183 §2.8).
    Attachment,
    /// `inline`.
    Inline,
    /// No Content-Disposition field.
    #[default]
    Unstated,
}

/// A part that is not the message's text. Its content is not kept, only described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Position among the message's attachments, from 0.
    pub index: usize,
    /// File name without any folder; empty when the part has none.
    pub filename: String,
    /// Media type in lower case, without parameters.
    pub content_type: String,
    /// Media type that its first octets tell; null where they tell none. A hint and no proof.
    #[serde(default)]
    pub detected_type: Option<String>,
    /// Octets after decoding.
    pub size: u64,
    /// SHA-256 of the decoded octets, hexadecimal.
    pub sha256: String,
    /// Content-ID without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// How the sender wanted it shown.
    #[serde(default)]
    pub disposition: Disposition,
    /// Index of the attachment that it is inside of (`winmail.dat`); left out where it is a part of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<usize>,
}

/// Header fields of a mailing list (RFC 2369, RFC 2919, RFC 8058), unfolded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListHeaders {
    /// List-Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// List-Post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
    /// List-Unsubscribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<String>,
    /// List-Unsubscribe-Post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe_post: Option<String>,
}

impl ListHeaders {
    /// Whether the message has none of these fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// By which header field a mail system marks a journal report as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalMarker {
    /// X-MS-Journal-Report (Exchange 2007 and later).
    Exchange,
    /// Content-Identifier: ExJournalReport (Exchange 2000 and 2003).
    ExchangeLegacy,
    /// X-WM-Journal-Report (Amazon WorkMail).
    Workmail,
}

/// A host that says, in a Received field, that it took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Its name in lower case, without a dot at the end.
    pub by: String,
    /// The id that it gave the message, where that is one of this gateway's form.
    pub id: Option<MessageId>,
}

/// Header fields that say how a message came about and by which ways it travelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders {
    /// Auto-Submitted (RFC 3834), lower case, without parameters.
    pub auto_submitted: Option<String>,
    /// Precedence, lower case.
    pub precedence: Option<String>,
    /// Whether a field of the known automatic answerers is there (X-Autoreply, X-Autorespond, X-Auto-Response-Suppress
    /// with a class that only machines set on answers, …).
    pub has_auto_reply_mark: bool,
    /// Return-Path without angle brackets; empty for `<>`.
    pub return_path: Option<String>,
    /// Number of Received fields.
    pub received: usize,
    /// The hosts that the first hundred of them name, from the top.
    pub hops: Vec<Hop>,
    /// Whom the message was really for: X-Original-To, Delivered-To, Envelope-To, X-Gm-Original-To, in that order.
    pub delivered_to: Vec<HeaderAddress>,
    /// The marker of a journal report, where one is there.
    pub journal_marker: Option<JournalMarker>,
    /// `report-type` of a multipart/report (RFC 6522 §3), lower case.
    pub report_type: Option<String>,
    /// X-Failed-Recipients, which some mail systems set on bounces.
    pub failed_recipients: Vec<HeaderAddress>,
    /// X-MS-Exchange-Organization-AuthAs, lower case.
    pub exchange_auth_as: Option<String>,
    /// Values of the Authentication-Results fields that came with the message, from the top; none of them is believed here.
    pub authentication_results: Vec<String>,
}

/// A message as everything behind the spool sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The one mailbox of From; `None` when there is none, or more than one.
    pub author: Option<HeaderAddress>,
    /// Whether From does not name exactly one author: two From fields, or several mailboxes in one.
    pub is_author_ambiguous: bool,
    /// Whether From can be read in more than one way.
    pub is_author_obscured: bool,
    /// Sender.
    pub sender: Option<HeaderAddress>,
    /// Reply-To.
    pub reply_to: Vec<HeaderAddress>,
    /// To, groups taken apart.
    pub to: Vec<HeaderAddress>,
    /// Cc.
    pub cc: Vec<HeaderAddress>,
    /// Bcc, where the field survived.
    pub bcc: Vec<HeaderAddress>,
    /// Subject: decoded, unfolded, blanks at both ends removed.
    pub subject: String,
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// In-Reply-To: the first id, without angle brackets.
    pub in_reply_to: Option<String>,
    /// References: ids without angle brackets, oldest first.
    pub references: Vec<String>,
    /// The head of Thread-Index: what all messages of one conversation of Outlook have in common (\[MS-OXOMSG\]
    /// §2.2.1.3: a time and a GUID); `None` where the field is no such index.
    pub thread_index: Option<[u8; 22]>,
    /// Date.
    pub date: Option<Timestamp>,
    /// The best plain text, made from HTML when there is none; line ends are LF.
    pub text: String,
    /// Where the text comes from.
    pub text_source: TextSource,
    /// Ranges of the text that a mail program marked as history or signature, in order.
    pub text_marks: Vec<Mark>,
    /// What stands in the HTML of the text and is not shown to its reader; empty when there is none.
    pub hidden_text: String,
    /// SHA-256 over the whole decoded text parts, hexadecimal; only where [`Message::text`] was cut.
    pub cut_text_sha256: Option<String>,
    /// Parts that are not the text.
    pub attachments: Vec<Attachment>,
    /// Whether a text/calendar part is there (RFC 5545).
    pub has_calendar: bool,
    /// What the first of them says.
    pub calendar: Option<Calendar>,
    /// Mailing-list fields.
    pub list: ListHeaders,
    /// Trace and automation fields.
    pub trace: TraceHeaders,
    /// The machine-readable part of a delivery report, receipt or complaint.
    pub report: Option<Report>,
    /// Message-ID of a message or header that is a part of this one near the top, without angle brackets.
    pub returned_message_id: Option<String>,
    /// Whether the message is laid out like a journal report.
    pub has_report_shape: bool,
    /// What is wrong with it, each word once, sorted.
    pub defects: Vec<Defect>,
}

impl Message {
    /// The parts of the text: what is new, history, signature.
    #[must_use]
    pub fn text_spans(&self) -> Vec<Span> {
        text::split(&self.text, &self.text_marks, &self.subject)
    }

    /// Why the author cannot be told from the header; `None` where everybody reads the same one.
    #[must_use]
    pub fn author_doubt(&self) -> Option<AuthorDoubt> {
        if self.is_author_ambiguous {
            return Some(AuthorDoubt::Several);
        }
        match &self.author {
            _ if self.defects.contains(&Defect::FromMissing) => Some(AuthorDoubt::Missing),
            _ if self.is_author_obscured => Some(AuthorDoubt::Obscured),
            Some(author) if author.mailbox.is_some() => None,
            _ => Some(AuthorDoubt::Missing),
        }
    }
}
