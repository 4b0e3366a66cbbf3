//! The envelope in which an event leaves on a webhook or a stream (Standard Webhooks 1.0.0, with allowed extras).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::steps::is_step;

/// `apiVersion` of this envelope: a date, pinned per endpoint.
pub const API_VERSION: &str = "2026-12-01";

/// The type of an event that was decided on.
pub const CLASSIFIED: &str = "message.classified";
/// The type of an event that tells of recipients whom only a later copy of a message named.
pub const UPDATED: &str = "message.updated";

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
    /// How the message came to its conversation; left out for events of apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threading: Option<ThreadingRef>,
    /// The event that led to this one.
    pub caused_by: Option<String>,
    /// Where it came from.
    pub source: SourceRef,
    /// By type; for `message.classified` the answer of integration-event with links, for `message.updated` the event that it
    /// adds to and the recipients that are new, for steps of drafts and questions what they are about and how it stands.
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

/// By what a message was found to belong to its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadingRef {
    /// `references`, `reply_token`, `thread_index`, `subject` or `new`.
    pub method: String,
    /// What brings an answer back to the conversation: behind a `+` in the mailbox's address, or in a Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_token: Option<String>,
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// `direct`, `bcc`, `app`, and with later doors `journal`, `forward`, `milter`, `lmtp`, `report`, `submission`,
    /// `http`, `import`, `mcp`, `agent`, `human`, and `gateway` for what it does by itself.
    pub kind: String,
    /// The event's id at its source: the app's own, or the Message-ID.
    pub event_id: Option<String>,
}

/// How much of an event an endpoint is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadMode {
    /// The decision, its operations, and at most 1 KiB of the text.
    Operations,
    /// Ids, type and status; the rest is fetched with the app's key.
    Thin,
    /// The decision and the plain text, cut at 64 KiB.
    Full,
}

impl PayloadMode {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Thin => "thin",
            Self::Full => "full",
        }
    }
}

impl std::str::FromStr for PayloadMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "operations" => Ok(Self::Operations),
            "thin" => Ok(Self::Thin),
            "full" => Ok(Self::Full),
            other => Err(format!("`{other}` is no payload mode; use operations, thin or full")),
        }
    }
}

/// Octets of text in [`PayloadMode::Operations`].
const SNIPPET: usize = 1024;
/// Octets of text in [`PayloadMode::Full`].
const FULL_TEXT: usize = 64 * 1024;
/// Octets of a whole payload; a larger one falls back to [`PayloadMode::Thin`].
const PAYLOAD_CAP: usize = 256 * 1024;

impl WebhookEvent {
    /// The exact bytes for one mode. `text` is the event's plain text, of which the mode shows a part.
    ///
    /// # Errors
    /// The serialiser's, which these types do not cause.
    pub fn render(&self, mode: PayloadMode, text: &str) -> Result<String, serde_json::Error> {
        let told = match mode {
            PayloadMode::Operations => self.with_snippet(text),
            PayloadMode::Full => self.with_text(text, FULL_TEXT),
            PayloadMode::Thin => return serde_json::to_string(&self.thin(false)),
        };
        self.capped(serde_json::to_string(&told)?)
    }

    /// The event with what [`PayloadMode::Operations`] shows of `text`.
    #[must_use]
    pub fn with_snippet(&self, text: &str) -> Self {
        self.with_text(text, SNIPPET)
    }

    /// `body`, which tells of this event; a thin one where that is larger than a webhook may be.
    ///
    /// # Errors
    /// As [`WebhookEvent::render`].
    pub fn capped(&self, body: String) -> Result<String, serde_json::Error> {
        if body.len() > PAYLOAD_CAP { serde_json::to_string(&self.thin(true)) } else { Ok(body) }
    }

    fn with_text(&self, text: &str, limit: usize) -> Self {
        let cut = text.get(..text.floor_char_boundary(limit)).unwrap_or_default();
        let mut event = self.clone();
        if self.kind != CLASSIFIED {
            return event;
        }
        if let Some(data) = event.data.as_object_mut() {
            data.insert("text".into(), cut.into());
            if cut.len() < text.len() {
                data.insert("textTruncated".into(), true.into());
            }
        }
        event
    }

    /// Only what names the event and says its status.
    fn thin(&self, truncated: bool) -> Self {
        let mut event = self.clone();
        let mut data = serde_json::Map::new();
        data.insert("eventId".into(), self.id.clone().into());
        if let Some(status) = self.data.pointer("/canonical/status") {
            data.insert("canonical".into(), serde_json::json!({ "status": status }));
        }
        for name in ["draftId", "approvalId", "state", "version"] {
            if let Some(value) = self.data.get(name).filter(|_| is_step(&self.kind)) {
                data.insert(name.into(), value.clone());
            }
        }
        if let Some(links) = self.data.get("links") {
            data.insert("links".into(), links.clone());
        }
        if truncated {
            data.insert("truncated".into(), true.into());
        }
        event.data = data.into();
        event
    }
}

/// Whether a subscription (`message.classified`, `message.*`, `*`) covers an event type.
#[must_use]
pub fn subscribes(subscription: &str, event_type: &str) -> bool {
    match subscription.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && event_type.starts_with(prefix),
        None => subscription == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> WebhookEvent {
        WebhookEvent {
            id: "evt_1".into(),
            kind: "message.classified".into(),
            timestamp: "2026-11-23T10:00:00.000Z".into(),
            api_version: API_VERSION.into(),
            tenant_id: "ten_1".into(),
            app: Some("deals".into()),
            thread: None,
            threading: None,
            caused_by: None,
            source: SourceRef { kind: "direct".into(), event_id: None },
            data: serde_json::json!({ "canonical": { "status": "unclear", "confidence": 0.1 }, "operations": [] }),
        }
    }

    #[test]
    fn each_mode_shows_its_part_of_the_text() {
        let text = "ä".repeat(40_000);
        let snippet = event().render(PayloadMode::Operations, &text).unwrap();
        assert!(snippet.len() < 2_000 && snippet.contains("textTruncated"));
        let full = event().render(PayloadMode::Full, &text).unwrap();
        assert!(full.len() > 60_000 && full.len() < 70_000);
        let thin = event().render(PayloadMode::Thin, &text).unwrap();
        assert!(!thin.contains('ä') && thin.contains("unclear") && !thin.contains("confidence"));
    }

    #[test]
    fn a_payload_over_the_cap_falls_back_to_thin_and_says_so() {
        let mut large = event();
        large.data["operations"] = vec!["x".repeat(1000); 300].into();
        let body = large.render(PayloadMode::Operations, "").unwrap();
        assert!(body.len() < 1_000 && body.contains("\"truncated\":true"));
    }

    #[test]
    fn a_subscription_covers_a_type_or_a_family() {
        assert!(subscribes("message.*", "message.classified"));
        assert!(subscribes("*", "message.classified"));
        assert!(subscribes("message.classified", "message.classified"));
        assert!(!subscribes("mess*", "message.classified"));
        assert!(!subscribes("message", "message.classified"));
    }
}
