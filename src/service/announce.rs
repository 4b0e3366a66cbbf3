//! How a recorded event is told to the outside: the body of webhooks, of the event log and of its stream are one thing.

use serde_json::{Value, json};

use super::ServiceError;
use crate::clock::Timestamp;
use crate::contract::answer::Answer;
use crate::contract::webhook::{API_VERSION, CLASSIFIED, SourceRef, ThreadRef, ThreadingRef, WebhookEvent};
use crate::ids::{EventId, TenantId, ThreadId};
use crate::mail::thread::Threading;

/// What is told about an event.
#[derive(Debug)]
pub struct Announced<'a> {
    /// Whose event it is.
    pub tenant: TenantId,
    /// Its id.
    pub event_id: EventId,
    /// Name of the app for which it was decided.
    pub app: Option<&'a str>,
    /// The conversation; its place in it is set when it is recorded.
    pub thread: Option<ThreadId>,
    /// How a message came to it.
    pub threading: Option<Threading>,
    /// `direct`, `bcc`, `app`, …
    pub source_kind: &'a str,
    /// The event's id at its source.
    pub source_event_id: Option<&'a str>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What was decided.
    pub answer: &'a Answer,
    /// Where this gateway is reached, without a slash at the end.
    pub base_url: &'a str,
}

/// The `message.classified` event: the answer of integration-event, with links.
///
/// # Errors
/// [`ServiceError::Internal`] when the answer cannot be written as JSON, which its types rule out.
pub fn classified(event: &Announced<'_>) -> Result<WebhookEvent, ServiceError> {
    let answer = serde_json::to_value(event.answer).map_err(|error| ServiceError::Internal(error.into()))?;
    Ok(WebhookEvent {
        id: event.event_id.to_string(),
        kind: CLASSIFIED.to_owned(),
        timestamp: event.occurred_at.to_string(),
        api_version: API_VERSION.to_owned(),
        tenant_id: event.tenant.to_string(),
        app: event.app.map(str::to_owned),
        thread: event.thread.map(|id| ThreadRef { id: id.to_string(), sequence: 0 }),
        threading: event.threading.as_ref().map(threading),
        caused_by: None,
        source: SourceRef { kind: event.source_kind.to_owned(), event_id: event.source_event_id.map(str::to_owned) },
        data: data_of(answer, event.event_id, event.base_url),
    })
}

/// The same in the words of the contract.
pub(super) fn threading(found: &Threading) -> ThreadingRef {
    ThreadingRef { method: found.method.as_str().to_owned(), reply_token: found.reply_token.clone() }
}

/// What a stored event says of it.
pub(super) fn threading_in(content: &Value) -> Option<ThreadingRef> {
    serde_json::from_value(content.get("threading")?.clone()).ok()
}

/// `data` of an answer, or of what else happened: all of it but what belongs to one call, and links.
pub(super) fn data_of(mut answer: Value, event: EventId, base_url: &str) -> Value {
    if let Some(members) = answer.as_object_mut() {
        members.remove("requestId");
        members.remove("duplicate");
        members.insert("links".into(), json!({ "self": format!("{base_url}/api/v1/explain/{event}") }));
    }
    answer
}
