//! What an app is told: canonical status, its own words for it, operations, identity, trust and reasons.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How soon a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Whenever there is time.
    Low,
    /// In the usual course.
    Normal,
    /// Today.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

/// The whole answer of integration-event; preview and status leave out what they do not make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Our id of the event; null in a preview, which stores nothing.
    pub event_id: Option<String>,
    /// Id of the request, also in the `x-request-id` header; null on webhooks.
    pub request_id: Option<String>,
    /// Whether this is the answer of an earlier call with the same id and body.
    pub duplicate: bool,
    /// What the message means, in the gateway's words.
    pub canonical: Canonical,
    /// The same in the app's words.
    pub mapped: Mapped,
    /// What the app may do.
    pub operations: Vec<Operation>,
    /// Who may answer, and whether this gateway may send.
    pub identity: IdentityBlock,
    /// How far the sender and tenant are trusted.
    pub trust: TrustBlock,
    /// Hints for the relationship graph.
    pub graph_hints: Vec<GraphHint>,
    /// What was stored as internal work.
    pub materialized: Materialized,
    /// How the decision was reached, without inner figures.
    pub reasoning: Reasoning,
    /// What was read differently than it was written.
    pub warnings: Vec<String>,
}

/// The canonical decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canonical {
    /// One of the 56 canonical statuses.
    pub status: String,
    /// The area of the status.
    pub area: String,
    /// How soon a person should look.
    pub priority: Priority,
    /// Whether whatever goes out in answer needs a person's approval.
    pub approval_required: bool,
    /// Public codes of the rules that asked for it.
    pub approval_reasons: Vec<String>,
    /// What to do next, one sentence.
    pub next_best_action: String,
    /// Calibrated confidence of the status, 0 to 1.
    pub confidence: f64,
    /// A date that the message asks for, RFC 3339.
    pub due_at: Option<String>,
    /// Language of the text (ISO 639-1), where it could be told.
    pub language: Option<String>,
    /// `auto_reply`, `bounce`, `notification` or `list` for mail that a machine wrote; null for a person's.
    pub automated: Option<String>,
}

/// The decision in the app's own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mapped {
    /// The app.
    pub app_name: String,
    /// The status that the app reported.
    pub current_status: Option<String>,
    /// The app's status for this; null when nothing maps.
    pub status: Option<String>,
    /// The app's inbox for this.
    pub inbox: Option<String>,
    /// `statusMap`, `name`, `synonym`, `industry`, `area` or `unmapped`.
    pub matched_by: String,
}

/// What an operation asks the app to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract")]
pub enum OperationType {
    UpdateStatus,
    SetPriority,
    CreateTask,
    RequestApproval,
    CreateDraft,
    ReplyInSourceApp,
    RouteInbox,
    ScheduleFollowUp,
    RequestDocument,
    ScheduleMeeting,
    AddLabel,
    LinkThread,
    SuppressRecipient,
    FlagTrust,
    Escalate,
    NoAction,
}

impl OperationType {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpdateStatus => "update_status",
            Self::SetPriority => "set_priority",
            Self::CreateTask => "create_task",
            Self::RequestApproval => "request_approval",
            Self::CreateDraft => "create_draft",
            Self::ReplyInSourceApp => "reply_in_source_app",
            Self::RouteInbox => "route_inbox",
            Self::ScheduleFollowUp => "schedule_follow_up",
            Self::RequestDocument => "request_document",
            Self::ScheduleMeeting => "schedule_meeting",
            Self::AddLabel => "add_label",
            Self::LinkThread => "link_thread",
            Self::SuppressRecipient => "suppress_recipient",
            Self::FlagTrust => "flag_trust",
            Self::Escalate => "escalate",
            Self::NoAction => "no_action",
        }
    }
}

/// Whether an operation may be applied as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationMode {
    /// A person or the app decides.
    Suggest,
    /// Safe to apply as it stands.
    Apply,
}

/// How much harm a wrong operation could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract")]
pub enum Risk {
    Low,
    Medium,
    High,
}

/// One thing that the app may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Our id; null in a preview.
    pub id: Option<String>,
    /// What to do.
    #[serde(rename = "type")]
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
    #[schema(value_type = Object)]
    pub params: serde_json::Value,
    /// Applying the same key twice must do nothing the second time.
    pub idempotency_key: String,
    /// After this it should not be applied any more, RFC 3339.
    pub expires_at: Option<String>,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

/// Who may answer, by the gate's own verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityBlock {
    /// `connex`, `source_app` or `customer_domain`.
    pub owner: String,
    /// `source_app_only`, `human_approval`, `policy_auto` or `never`.
    pub reply_policy: String,
    /// Whether this gateway could ever send an answer for this identity.
    pub connex_may_send: bool,
    /// What the gate would say to a plain answer now: `release`, `handoff`, `hold` or `deny`.
    pub verdict: String,
    /// Every reason code that applied.
    pub reasons: Vec<String>,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
}

/// Coarse public trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustBlock {
    /// `new`, `standard`, `trusted`, `restricted` or `blocked`.
    pub band: String,
    /// Policy gates and whether they are open.
    pub gates: Vec<TrustGate>,
    /// Signals of abuse.
    pub abuse_signals: Vec<AbuseSignal>,
    /// `proceed`, `review`, `hold` or `block`.
    pub recommendation: String,
}

/// One policy gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustGate {
    /// Its public code.
    pub code: String,
    /// `open` or `closed`.
    pub state: String,
    /// One sentence.
    pub why: String,
}

/// One signal of abuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbuseSignal {
    /// Its public code.
    pub code: String,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// A short quote or fact.
    pub evidence: Option<String>,
}

/// An edge that the relationship graph could take up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphHint {
    /// E.g. `requests_from`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub from: String,
    /// Whom.
    pub to: String,
    /// What about.
    pub subject: Option<String>,
}

/// Internal work that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Materialized {
    /// `none` or `safe`.
    pub mode: String,
    /// Tasks.
    pub tasks: Vec<String>,
    /// Approvals.
    pub approvals: Vec<String>,
    /// Drafts.
    pub drafts: Vec<String>,
}

/// How the decision was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reasoning {
    /// `local`.
    pub engine: String,
    /// Version of the signals and the taxonomy.
    pub version: String,
    /// Whether a live model was asked.
    pub model_called: bool,
    /// Whether the decision was left to a person.
    pub abstained: bool,
    /// At most five signals.
    pub signals: Vec<ReasonSignal>,
}

/// One reason, as a public name with the words that support it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasonSignal {
    /// Public code.
    pub code: String,
    /// `claimed` (the sender wrote it), `verified` (cryptography or DNS showed it) or `derived` (we computed it).
    pub kind: String,
    /// A short quote from the message, or a fact.
    pub evidence: Option<String>,
}
