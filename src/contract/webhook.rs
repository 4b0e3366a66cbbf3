//! The envelope in which an event leaves on a webhook or a stream (Standard Webhooks 1.0.0, with allowed extras).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `apiVersion` of this envelope: a date, pinned per endpoint.
pub const API_VERSION: &str = "2026-12-01";

/// One event as receivers get it. The `webhook-id` header carries the same id on every attempt, replay and endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEvent {
    /// Id of the event.
    pub id: String,
    /// E.g. `message.classified`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// Date of the contract's version.
    pub api_version: String,
    /// The tenant.
    pub tenant_id: String,
    /// The app; null for events of the tenant itself.
    pub app: Option<String>,
    /// The conversation.
    pub thread: Option<ThreadRef>,
    /// The event that led to this one.
    pub caused_by: Option<String>,
    /// Where it came from.
    pub source: SourceRef,
    /// By type; for `message.classified` the answer of integration-event with links.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// A conversation and the place of the event in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRef {
    /// Its id.
    pub id: String,
    /// Counts the events of the thread from 1.
    pub sequence: i64,
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// `direct`, `bcc`, `app`, and with later doors `journal`, `forward`, `milter`, `lmtp`, `report`, `submission`,
    /// `http`, `import`, `mcp`, `agent`, `human`.
    pub kind: String,
    /// The event's id at its source: the app's own, or the Message-ID.
    pub event_id: Option<String>,
}
