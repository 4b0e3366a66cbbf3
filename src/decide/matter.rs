//! What the engine is handed, and what it gives back: plain facts in, a decision out.
//!
//! Ids, idempotency keys and storage are the caller's; nothing here knows them.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::contract::answer::{
    AbuseSignal, Canonical, GraphHint, Mapped, OperationMode, OperationType, Reasoning, Risk,
};
use crate::contract::request::{AppContext, AttachmentRef};

/// What headers and structure showed a machine to have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Automated {
    /// An answer that nobody wrote by hand (RFC 3834 §5): absence notes, receipts.
    AutoReply,
    /// A delivery status notification (RFC 3464) or mail from the null reverse-path.
    Bounce,
    /// A notice of a machine.
    Notification,
    /// Mail of a list (RFC 2919, RFC 2369).
    List,
}

impl Automated {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AutoReply => "auto_reply",
            Self::Bounce => "bounce",
            Self::Notification => "notification",
            Self::List => "list",
        }
    }
}

/// Which way a message went, seen from the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Somebody wrote to the mailbox.
    #[default]
    Inbound,
    /// The mailbox's owner wrote: a copy of what was sent.
    Outbound,
}

/// Who may answer for the mailbox; decides whether an answer is a draft here or a task for the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyOwner {
    /// The app answers from its own pages; this gateway never does.
    SourceApp {
        /// Where a person answers.
        external_reply_url: Option<String>,
    },
    /// A mailbox of this gateway.
    Connex,
    /// A verified domain of the customer.
    CustomerDomain,
}

/// The safe default where nothing is known about an identity.
impl Default for ReplyOwner {
    fn default() -> Self {
        Self::SourceApp { external_reply_url: None }
    }
}

/// One message or app event, as plain facts.
#[derive(Debug, Clone)]
pub struct Matter<'a> {
    /// Event type of the contract.
    pub event_type: &'a str,
    /// Decoded subject; empty where there is none.
    pub subject: &'a str,
    /// The new text, without quotes and signature.
    pub visible_text: &'a str,
    /// Everything, quotes and hidden text included; empty when it is the same as `visible_text`.
    pub full_text: &'a str,
    /// Author as in the From header.
    pub author: Option<&'a str>,
    /// Recipients as in To and Cc.
    pub recipients: &'a [String],
    /// Attachments.
    pub attachments: &'a [AttachmentRef],
    /// What structure says about a machine as the writer.
    pub automated: Option<Automated>,
    /// Which way it went.
    pub direction: Direction,
    /// When it happened; dates in the text are read relative to it.
    pub occurred_at: Timestamp,
    /// Who may answer.
    pub reply: ReplyOwner,
}

impl<'a> Matter<'a> {
    /// An inbound message of which only subject and text are known.
    #[must_use]
    pub fn of(subject: &'a str, visible_text: &'a str, occurred_at: Timestamp) -> Self {
        Self {
            event_type: "inbound_message",
            subject,
            visible_text,
            full_text: "",
            author: None,
            recipients: &[],
            attachments: &[],
            automated: None,
            direction: Direction::Inbound,
            occurred_at,
            reply: ReplyOwner::default(),
        }
    }
}

/// What is registered about an app, merged with what the request says about the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppProfile {
    /// Name of the app.
    pub name: String,
    /// Statuses, inboxes and record.
    pub context: AppContext,
    /// The app's declared synonyms: another word (or a canonical status) to one of its statuses.
    pub synonyms: BTreeMap<String, String>,
}

/// An operation before it has an id and an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedOperation {
    /// What to do.
    pub kind: OperationType,
    /// The same for people.
    pub label: String,
    /// Whether a person must say yes first.
    pub approval_required: bool,
    /// Whether it may be applied as it stands.
    pub mode: OperationMode,
    /// How much harm a wrong one could do.
    pub risk: Risk,
    /// Public codes that led to it.
    pub reasons: Vec<String>,
    /// Details by type.
    pub params: serde_json::Value,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

/// The answer of the engine to one [`Matter`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In the gateway's words.
    pub canonical: Canonical,
    /// In the app's words.
    pub mapped: Mapped,
    /// What the app may do.
    pub operations: Vec<ProposedOperation>,
    /// Hints for the relationship graph.
    pub graph_hints: Vec<GraphHint>,
    /// Signals of abuse; any of them demands approval.
    pub abuse_signals: Vec<AbuseSignal>,
    /// How the decision was reached.
    pub reasoning: Reasoning,
}
