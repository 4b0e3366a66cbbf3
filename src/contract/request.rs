//! What an app sends: an event with its context, or an outcome.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of integration-event, integration-preview and status.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EventRequest {
    /// The app for which the event is evaluated.
    #[schema(required, min_length = 1, max_length = 100)]
    pub app: String,
    /// The system in which the event happened.
    #[schema(required, min_length = 1, max_length = 100)]
    pub source_system: String,
    /// The event's id there; required for integration-event, where it makes the call idempotent.
    #[schema(max_length = 200)]
    pub source_event_id: Option<String>,
    /// `inbound_message`, `inbound_reply`, `outbound_copy`, `journal_copy`, `bounce`, `auto_reply`, `complaint`,
    /// `read_receipt`, `calendar`, `agent_task_created`, `agent_message` or `app_event`; any other is evaluated as
    /// `app_event` with a warning.
    #[schema(required, min_length = 1, max_length = 100)]
    pub event_type: String,
    /// When it happened, RFC 3339.
    pub occurred_at: Option<String>,
    /// The message, for mail-like events.
    pub message: Option<MessageContent>,
    /// For `app_event` and `agent_*`: an object of at most 64 KiB with a `title`.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<serde_json::Value>,
    /// The mailbox in which it happened, and who may answer from it.
    pub source_mailbox: Option<SourceMailbox>,
    /// What the app knows about the record.
    pub context: Option<AppContext>,
    /// The agent that acts, where one does.
    pub agent: Option<AgentRef>,
    /// `none` or `safe` (the default): whether internal tasks, approvals and drafts are made. Never a send.
    pub materialize: Option<String>,
}

/// A message as an app hands it over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageContent {
    /// Subject, decoded.
    #[schema(max_length = 2000)]
    pub subject: Option<String>,
    /// Plain text body.
    #[schema(max_length = 500_000)]
    pub body: Option<String>,
    /// HTML body.
    #[schema(max_length = 500_000)]
    pub html: Option<String>,
    /// Author, as in a From header.
    #[schema(max_length = 1000)]
    pub from: Option<String>,
    /// To.
    #[schema(max_items = 1000)]
    pub to: Vec<String>,
    /// Cc.
    #[schema(max_items = 1000)]
    pub cc: Vec<String>,
    /// Bcc.
    #[schema(max_items = 1000)]
    pub bcc: Vec<String>,
    /// Reply-To.
    #[schema(max_length = 1000)]
    pub reply_to: Option<String>,
    /// Message-ID, with or without angle brackets.
    #[schema(max_length = 1000)]
    pub message_id: Option<String>,
    /// In-Reply-To.
    #[schema(max_length = 1000)]
    pub in_reply_to: Option<String>,
    /// References.
    #[schema(max_items = 1000)]
    pub references: Vec<String>,
    /// Date, RFC 3339 or RFC 5322.
    #[schema(max_length = 100)]
    pub date: Option<String>,
    /// Further headers, as pairs of name and value.
    #[schema(max_items = 1000)]
    pub headers: Vec<(String, String)>,
    /// Attachments, by description only.
    #[schema(max_items = 1000)]
    pub attachments: Vec<AttachmentRef>,
    /// The whole message as RFC 5322 text; wins over the other fields where given.
    #[schema(max_length = 1_000_000)]
    pub raw: Option<String>,
}

/// Description of an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachmentRef {
    /// File name.
    #[schema(max_length = 1000)]
    pub filename: String,
    /// Media type.
    #[schema(max_length = 200)]
    pub content_type: Option<String>,
    /// Octets.
    pub size: Option<u64>,
}

/// The mailbox in which an event happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceMailbox {
    /// Its address.
    #[schema(max_length = 320)]
    pub address: Option<String>,
    /// `connex`, `source_app` or `customer_domain`; an unknown value is read as the strictest.
    #[schema(max_length = 100)]
    pub sender_identity_owner: Option<String>,
    /// `source_app_only`, `human_approval`, `policy_auto` or `never`; an unknown value is read as the strictest.
    #[schema(max_length = 100)]
    pub reply_policy: Option<String>,
    /// Where a person answers in the app's own pages.
    #[schema(max_length = 2000)]
    pub external_reply_url: Option<String>,
}

/// What the app knows about the record that the event belongs to, and which words it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AppContext {
    /// The app's record.
    #[schema(max_length = 200)]
    pub record_id: Option<String>,
    /// Kind of record.
    #[schema(max_length = 200)]
    pub record_type: Option<String>,
    /// The status that the record has now.
    #[schema(max_length = 200)]
    pub current_status: Option<String>,
    /// The statuses that the record may have.
    #[schema(max_items = 200)]
    pub allowed_statuses: Vec<String>,
    /// Canonical status to the app's own.
    pub status_map: std::collections::BTreeMap<String, String>,
    /// The app's inboxes.
    #[schema(max_items = 200)]
    pub inboxes: Vec<String>,
    /// Trade of the app's customers, e.g. `real_estate`, `sales`, `help_desk`, `recruiting`, `finance`.
    #[schema(max_length = 100)]
    pub industry: Option<String>,
    /// BCP 47 tag.
    #[schema(max_length = 35)]
    pub locale: Option<String>,
    /// IANA name.
    #[schema(max_length = 100)]
    pub timezone: Option<String>,
}

/// An agent that acts for the app.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentRef {
    /// Its id.
    #[schema(max_length = 200)]
    pub id: String,
    /// Its name.
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// What it runs on.
    #[schema(max_length = 200)]
    pub runtime: Option<String>,
}

/// Body of integration-outcome: names the event by operation, by our event id, or by the source's own id.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutcomeRequest {
    /// The reporting app.
    #[schema(required, min_length = 1, max_length = 100)]
    pub app: String,
    /// The operation that was applied or refused.
    #[schema(max_length = 64)]
    pub operation_id: Option<String>,
    /// The event.
    #[schema(max_length = 64)]
    pub event_id: Option<String>,
    /// Together with `sourceEventId`: the event by the source's id.
    #[schema(max_length = 100)]
    pub source_system: Option<String>,
    /// See `sourceSystem`.
    #[schema(max_length = 200)]
    pub source_event_id: Option<String>,
    /// `applied`, `approved`, `rejected`, `advanced`, `won`, `lost`, `spam`, `override` (also `overrode`,
    /// `overridden`), `ignored` or `failed`.
    #[schema(required, min_length = 1, max_length = 40)]
    pub outcome: String,
    /// The status that the app gave the record.
    #[schema(max_length = 200)]
    pub applied_status: Option<String>,
    /// A person's words.
    #[schema(max_length = 4000)]
    pub note: Option<String>,
    /// What it was worth.
    pub value: Option<MoneyValue>,
    /// The app's workflow.
    #[schema(max_length = 200)]
    pub workflow: Option<String>,
    /// The agent that acted.
    #[schema(max_length = 200)]
    pub agent_id: Option<String>,
    /// When, RFC 3339.
    #[schema(max_length = 64)]
    pub occurred_at: Option<String>,
}

/// An amount of money.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MoneyValue {
    /// In units of the currency.
    pub amount: f64,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3)]
    pub currency: String,
}
