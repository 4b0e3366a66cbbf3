//! Mail that no person wrote: delivery reports, receipts, complaints, automatic answers, list mail.
//!
//! Such mail must never be answered. This is decided before everything else, since everything else assumes an author.
//!
//! Standards: RFC 3464 (DSN), RFC 8098 (MDN), RFC 5965 (ARF), RFC 3834 (automatic answers), RFC 2919 and 2369 (lists).

use serde::{Deserialize, Serialize};

use crate::mail::message::Message;

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
    /// An automatic answer, such as out-of-office.
    AutoReply,
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
    /// Original-Recipient where given, else Final-Recipient.
    pub address: String,
    /// Action, lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// Status code, such as `5.1.1`; empty when it is not given.
    pub status: String,
}

/// What kind of machine mail `message` is; `None` for what a person may have written.
#[must_use]
pub fn automated(message: &Message, reverse_path_is_null: bool) -> Option<Automated> {
    let _ = (message, reverse_path_is_null);
    None
}
