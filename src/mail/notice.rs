//! Mail that no person wrote: delivery reports, receipts, complaints, automatic answers, list mail.
//!
//! Such mail must never be answered. This is decided before everything else, since everything else assumes an author.
//! More than half of all bounces carry no machine-readable part: they are known by sender, null reverse-path, subject and
//! words, and what they tell is read from their text. Anybody can write such mail; nothing here is evidence of anything.
//!
//! Standards: RFC 3464 (DSN), RFC 8098 (MDN), RFC 5965 (ARF), RFC 3834 (automatic answers), RFC 2919 and 2369 (lists).

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mail::message::{HeaderAddress, Message, decode};

mod answer;
mod bounce;
mod failure;
mod phrases;
mod report;
#[cfg(test)]
mod tests;

/// What kind of machine mail a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Automated {
    /// A report that something could not be delivered, or is late.
    Bounce {
        /// Whether trying again can help.
        permanence: Permanence,
        /// Whom the report is about; empty when it does not say.
        recipients: Vec<FailedRecipient>,
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
    /// A report that something was delivered or handed on; nothing failed.
    Delivered {
        /// Whom the report is about.
        recipients: Vec<FailedRecipient>,
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
    /// An automatic answer, such as out-of-office.
    AutoReply {
        /// The day that it names as the end of an absence or as the return, `YYYY-MM-DD`; left out where it names none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        return_date: Option<String>,
        /// Addresses of those who stand in meanwhile.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        covering: Vec<String>,
        /// Message-ID of the mail that it answers.
        #[serde(default)]
        original_message_id: Option<String>,
    },
    /// Mail of a mailing list or newsletter.
    List,
    /// A notification by a machine.
    Notification,
    /// A receipt: the mail was displayed, deleted, …
    ReadReceipt {
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
    /// A complaint about mail that was sent (ARF).
    Complaint {
        /// Feedback-Type, such as `abuse`; empty when it is not given.
        feedback_type: String,
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
}

/// Whether a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permanence {
    /// Status 5.x.x with action `failed`: trying again does not help.
    Hard,
    /// Status 4.x.x, or a delay.
    Soft,
    /// The report does not say.
    Unknown,
}

/// One recipient of a delivery report (RFC 3464 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRecipient {
    /// Final-Recipient, where it could not be delivered; Original-Recipient where that alone is given.
    pub address: String,
    /// Original-Recipient, to which it was sent; left out where it is the same or not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_address: Option<String>,
    /// Action, lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// Status code, such as `5.1.1`; empty when it is not given.
    pub status: String,
}

impl FailedRecipient {
    /// Whether the report says of the address itself that mail to it fails and will go on failing. A full mailbox, a size,
    /// a broken host or a receiver's policy says nothing about the address (RFC 3463 §3.2 to §3.8), and 5.1.7 and 5.1.8 are
    /// about the sender's; 5.0.0 is what many servers say of a user whom they do not know.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.action == "failed"
            && match self.status.as_str() {
                "" | "5.0.0" | "5.2.1" => true,
                "5.1.7" | "5.1.8" => false,
                status => status.starts_with("5.1."),
            }
    }

    /// The address that was written to, and that at which it failed where that is another: mail goes to the one, and fails
    /// at the other that it leads to.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.original_address.iter().chain([&self.address]).map(String::as_str)
    }
}

impl Automated {
    /// The recipients of whom a report says that mail to their addresses will go on failing.
    pub fn condemned(&self) -> impl Iterator<Item = &FailedRecipient> {
        let recipients = match self {
            Self::Bounce { permanence: Permanence::Hard, recipients, .. } => recipients.as_slice(),
            _ => &[],
        };
        recipients.iter().filter(|one| one.is_condemned())
    }

    /// Message-ID of the mail that it is about; `None` where it does not say, or is about none.
    #[must_use]
    pub fn original_message_id(&self) -> Option<&str> {
        match self {
            Self::Bounce { original_message_id, .. }
            | Self::Delivered { original_message_id, .. }
            | Self::AutoReply { original_message_id, .. }
            | Self::ReadReceipt { original_message_id }
            | Self::Complaint { original_message_id, .. } => original_message_id.as_deref(),
            Self::List | Self::Notification => None,
        }
    }
}

/// What there is to judge by, wherever it comes from: a whole message, or the fields that an app knows of one.
#[derive(Debug, Clone, Default)]
pub struct Evidence<'a> {
    /// The author's address, lower case; empty where there is none.
    author: String,
    /// The author's name, lower case.
    name: String,
    /// To and Cc, lower case.
    recipients: Vec<String>,
    subject: &'a str,
    text: &'a str,
    /// The reverse-path is null, or says so in another way.
    is_from_nobody: bool,
    /// `report-type` of a multipart/report (RFC 6522), lower case.
    report_type: Option<String>,
    /// Auto-Submitted (RFC 3834), lower case, without parameters.
    auto_submitted: Option<String>,
    /// Precedence, lower case.
    precedence: Option<String>,
    has_auto_reply_mark: bool,
    is_list: bool,
    /// X-Failed-Recipients.
    failed: Vec<String>,
    returned_message_id: Option<String>,
    /// The id of the message that it answers.
    answers: Option<&'a str>,
    written: Option<Timestamp>,
}

/// Fields of a message that an app hands over in place of the message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// From, as in the header.
    pub from: &'a str,
    /// To and Cc.
    pub recipients: &'a [String],
    /// Subject, decoded.
    pub subject: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// In-Reply-To without angle brackets.
    pub in_reply_to: Option<&'a str>,
    /// Further headers.
    pub headers: &'a [(String, String)],
    /// When it was written.
    pub written: Option<Timestamp>,
}

impl<'a> Evidence<'a> {
    fn of_message(message: &'a Message, reverse_path_is_null: bool) -> Self {
        let lower = |one: &HeaderAddress| one.address.to_lowercase();
        let author = message.author.as_ref();
        let trace = &message.trace;
        let answers = message.in_reply_to.as_deref().or_else(|| message.references.last().map(String::as_str));
        Self {
            author: author.map(lower).unwrap_or_default(),
            name: author.and_then(|one| one.display_name.as_deref()).unwrap_or_default().to_lowercase(),
            recipients: message.to.iter().chain(&message.cc).map(lower).collect(),
            subject: &message.subject,
            text: &message.text,
            is_from_nobody: reverse_path_is_null || trace.return_path.as_deref().is_some_and(is_nobody),
            report_type: trace.report_type.clone(),
            auto_submitted: trace.auto_submitted.clone(),
            precedence: trace.precedence.clone(),
            has_auto_reply_mark: trace.has_auto_reply_mark,
            is_list: !message.list.is_empty(),
            failed: trace.failed_recipients.iter().map(|one| one.address.clone()).collect(),
            returned_message_id: message.returned_message_id.clone(),
            answers,
            written: message.date,
        }
    }

    fn of_fields(fields: &Fields<'a>) -> Self {
        let value = |name: &str| {
            fields.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let word = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (name, author) = mailbox_of(fields.from);
        let is_marked = |name: &&str| value(name).is_some();
        Self {
            author,
            name,
            recipients: fields.recipients.iter().map(|one| mailbox_of(one).1).collect(),
            subject: fields.subject,
            text: fields.text,
            is_from_nobody: value("Return-Path").is_some_and(|path| is_nobody(path.trim_matches(['<', '>', ' ']))),
            report_type: value("Content-Type").and_then(report_type),
            auto_submitted: value("Auto-Submitted").map(word),
            precedence: value("Precedence").map(word),
            has_auto_reply_mark: AUTO_REPLY_MARKS.iter().any(is_marked),
            is_list: ["List-Id", "List-Post", "List-Unsubscribe"].iter().any(is_marked),
            failed: value("X-Failed-Recipients")
                .map(|list| list.split(',').map(|one| mailbox_of(one).1).collect())
                .unwrap_or_default(),
            returned_message_id: None,
            answers: fields.in_reply_to.or_else(|| value("In-Reply-To")).map(|id| id.trim_matches(['<', '>', ' '])),
            written: fields.written,
        }
    }

    fn local_part(&self) -> &str {
        let local = self.author.split('@').next().unwrap_or_default();
        local.split('+').next().unwrap_or_default()
    }

    /// The begin of the text in lower case, its lines joined.
    fn opening(&self) -> String {
        const OPENING: usize = 1_500;
        let begin = self.text.get(..self.text.floor_char_boundary(OPENING)).unwrap_or_default();
        let own = begin.lines().filter(|line| !line.starts_with('>'));
        own.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").to_lowercase().replace('\u{2019}', "'")
    }
}

/// Whether a reverse-path is null, or a mail system's way of writing that it is.
fn is_nobody(path: &str) -> bool {
    path.is_empty() || path.get(..13).is_some_and(|start| start.eq_ignore_ascii_case("mailer-daemon"))
}

/// Name and address of a mailbox in a header, lower case.
fn mailbox_of(text: &str) -> (String, String) {
    let first = decode::addresses(text.as_bytes(), 1).entries.into_iter().next();
    let (name, address) = first.unwrap_or_default();
    (name.unwrap_or_default().to_lowercase(), address.unwrap_or_default().to_lowercase())
}

/// `report-type` of a Content-Type (RFC 6522 §3).
fn report_type(content_type: &str) -> Option<String> {
    let lower = content_type.to_ascii_lowercase();
    let (_, rest) = lower.starts_with("multipart/report").then(|| lower.split_once("report-type"))??;
    let value = rest.trim_start().strip_prefix('=')?.trim_start().trim_start_matches('"');
    Some(value.split(['"', ';', ' ']).next().unwrap_or_default().to_owned())
}

/// Fields that automatic answerers are known to set on their answers, beside Auto-Submitted.
pub(in crate::mail) const AUTO_REPLY_MARKS: [&str; 8] = [
    "x-autoreply",
    "x-autorespond",
    "x-auto-reply",
    "x-autoresponder",
    "x-autoreply-from",
    "x-mail-autoreply",
    "x-autogenerated-reply",
    "x-ms-exchange-inbox-rules-loop",
];

/// What kind of machine mail `message` is; `None` for what a person may have written.
#[must_use]
pub fn automated(message: &Message, reverse_path_is_null: bool) -> Option<Automated> {
    match &message.report {
        Some(found) => Some(report::read(found, message)),
        // A journal report is written by what writes bounces, tells of a failure in its subject where the original does, and
        // is none: a route says how it is read.
        None if message.has_report_shape => judge_others(&Evidence::of_message(message, reverse_path_is_null)),
        None => judge(&Evidence::of_message(message, reverse_path_is_null)),
    }
}

/// The same of the fields that an app knows of a message.
#[must_use]
pub fn automated_by_fields(fields: &Fields<'_>) -> Option<Automated> {
    let evidence = Evidence::of_fields(fields);
    match evidence.report_type.as_deref() {
        Some("disposition-notification") => Some(Automated::ReadReceipt { original_message_id: None }),
        Some("feedback-report") => {
            Some(Automated::Complaint { feedback_type: String::new(), original_message_id: None })
        }
        _ => judge(&evidence),
    }
}

fn judge(evidence: &Evidence<'_>) -> Option<Automated> {
    bounce::read(evidence).or_else(|| judge_others(evidence))
}

fn judge_others(evidence: &Evidence<'_>) -> Option<Automated> {
    if answer::is_answer(evidence) {
        return Some(Automated::AutoReply {
            return_date: answer::returns(evidence),
            covering: answer::covering(evidence),
            original_message_id: evidence.answers.map(str::to_owned),
        });
    }
    let precedence = evidence.precedence.as_deref().unwrap_or_default();
    if evidence.is_list || matches!(precedence, "list" | "bulk" | "junk") {
        return Some(Automated::List);
    }
    // RFC 3834 §5: everything but `no` was made without a person.
    let is_generated = evidence.auto_submitted.as_deref().is_some_and(|word| word != "no");
    let is_machine = MACHINES.contains(&evidence.local_part());
    (is_generated || evidence.is_from_nobody || is_machine).then_some(Automated::Notification)
}

/// Local parts under which machines write.
const MACHINES: [&str; 14] = [
    "no-reply",
    "no_reply",
    "noreply",
    "do-not-reply",
    "donotreply",
    "do_not_reply",
    "nicht-antworten",
    "ne-pas-repondre",
    "no-responder",
    "notification",
    "notifications",
    "notify",
    "mailer-daemon",
    "postmaster",
];
