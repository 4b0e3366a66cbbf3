//! What an app handed over, as plain facts: the text to decide on, who wrote it, which way it went, and what is missing.
//!
//! Nothing here fails on hostile content; what cannot be used is a fault with its pointer, what is read differently than
//! it was written is a warning.
//!
//! Standards: RFC 3339 (times).

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::contract::request::{AttachmentRef, EventRequest, MessageContent};
use crate::decide::{Automated, Direction};
use crate::mail::{message, notice, text};

use super::{Fault, machine};

/// What the evaluation needs to know of a request.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Event type of the contract, or `app_event` in place of an unknown one.
    pub event_type: &'a str,
    /// Decoded subject.
    pub subject: Cow<'a, str>,
    /// New text, without quotes and signature.
    pub visible_text: String,
    /// The whole text; empty when it is the same as the visible one.
    pub full_text: Cow<'a, str>,
    /// Author.
    pub author: Option<Cow<'a, str>>,
    /// To and Cc.
    pub recipients: Cow<'a, [String]>,
    /// Attachments.
    pub attachments: Cow<'a, [AttachmentRef]>,
    /// What showed a machine to have written.
    pub automated: Option<Automated>,
    /// The same, with all that it tells.
    pub notice: Option<notice::Automated>,
    /// Which way it went.
    pub direction: Direction,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Message-IDs by which the conversation is known: its own first, without angle brackets.
    pub references: Vec<String>,
}

/// The event types of the contract.
pub const EVENT_TYPES: [&str; 12] = [
    "inbound_message",
    "inbound_reply",
    "outbound_copy",
    "journal_copy",
    "bounce",
    "auto_reply",
    "complaint",
    "read_receipt",
    "calendar",
    "agent_task_created",
    "agent_message",
    "app_event",
];

/// Octets of `payload`, as compact JSON.
const PAYLOAD_LIMIT: usize = 64 * 1024;
/// Octets of the texts of `payload` that are read.
const PAYLOAD_TEXT: usize = 32 * 1024;

/// Reads a request whose fields already fit the schema.
///
/// # Errors
/// What a schema cannot say: no content at all, an unreadable time, a payload that is too large or has no title.
pub fn read<'a>(
    request: &'a EventRequest,
    now: Timestamp,
    warnings: &mut Vec<String>,
) -> Result<Reading<'a>, Vec<Fault>> {
    let mut faults = Vec::new();
    let event_type = event_type(&request.event_type, warnings);
    let occurred_at = occurred_at(request, now, &mut faults);
    let message = request.message.as_ref().filter(|message| has_content(message));
    check_content(request, message.is_some(), event_type, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut reading = match message {
        Some(content) => match content.raw.as_deref().filter(|raw| !raw.trim().is_empty()) {
            Some(raw) => of_raw(raw),
            None => of_fields(content),
        },
        None => of_payload(request.payload.as_ref()),
    };
    reading.event_type = event_type;
    reading.occurred_at = occurred_at;
    if event_type == "outbound_copy" {
        reading.direction = Direction::Outbound;
    }
    reading.automated = match event_type {
        "bounce" => Some(Automated::Bounce),
        "auto_reply" | "read_receipt" => Some(Automated::AutoReply),
        "complaint" => Some(Automated::Notification),
        _ => reading.automated,
    };
    Ok(reading)
}

/// The text that was decided on, out of a stored event: of mail as it stands there, of an app read anew. Empty where
/// nothing of it is kept.
pub(super) fn stored_text(content: &serde_json::Value) -> String {
    if content.get("kind").and_then(serde_json::Value::as_str) != Some("app") {
        return content.get("visibleText").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    }
    let Ok(mut request) = serde_json::from_value::<EventRequest>(content.clone()) else { return String::new() };
    if let Some(given) = content.get("givenEventType").and_then(serde_json::Value::as_str) {
        given.clone_into(&mut request.event_type);
    }
    let read = read(&request, Timestamp::from_micros(0), &mut Vec::new());
    read.map(|reading| reading.visible_text).unwrap_or_default()
}

fn event_type<'a>(given: &'a str, warnings: &mut Vec<String>) -> &'a str {
    if EVENT_TYPES.contains(&given) {
        return given;
    }
    let shown: String = given.chars().take(40).collect();
    warnings.push(format!("eventType {:?} is not known and was evaluated as `app_event`", crate::keys::redact(&shown)));
    "app_event"
}

fn occurred_at(request: &EventRequest, now: Timestamp, faults: &mut Vec<Fault>) -> Timestamp {
    let Some(text) = request.occurred_at.as_deref() else { return now };
    Timestamp::parse_rfc3339(text).unwrap_or_else(|| {
        faults.push(Fault::at("/occurredAt", "must be a time as in RFC 3339, such as 2026-11-23T10:00:00Z"));
        now
    })
}

fn has_content(message: &MessageContent) -> bool {
    let parts = [&message.subject, &message.body, &message.html, &message.raw];
    parts.into_iter().flatten().any(|part| !part.trim().is_empty())
}

fn check_content(request: &EventRequest, has_message: bool, event_type: &str, faults: &mut Vec<Fault>) {
    let takes_payload = event_type == "app_event" || event_type.starts_with("agent_");
    match &request.payload {
        Some(payload) if takes_payload => {
            if payload.get("title").and_then(serde_json::Value::as_str).is_none_or(|title| title.trim().is_empty()) {
                faults.push(Fault::at("/payload/title", "is required: a text that says what happened"));
            }
            if payload.to_string().len() > PAYLOAD_LIMIT {
                faults.push(Fault::at("/payload", "is larger than 64 KiB"));
            }
        }
        _ if has_message => {}
        _ if takes_payload => {
            faults
                .push(Fault::at("/payload", "is required where there is no message with a subject, body, html or raw"));
        }
        _ => faults.push(Fault::at("/message", "is required, with a subject, body, html or raw that is not empty")),
    }
}

fn of_fields(content: &MessageContent) -> Reading<'_> {
    let body = content.body.as_deref().filter(|body| !body.trim().is_empty());
    let html = content.html.as_deref().filter(|_| body.is_none()).map(text::html::read).unwrap_or_default();
    let full: Cow<'_, str> = body.map_or(Cow::Owned(html.text), Cow::Borrowed);
    let subject = content.subject.as_deref().unwrap_or_default().trim();
    let visible_text = text::part(&full, &text::split(&full, &html.marks, subject), text::Part::Visible);
    let notice = notice::automated_by_fields(&notice::Fields {
        from: content.from.as_deref().unwrap_or_default(),
        recipients: &content.to,
        subject: content.subject.as_deref().unwrap_or_default(),
        text: &full,
        in_reply_to: content.in_reply_to.as_deref(),
        headers: &content.headers,
        written: content.date.as_deref().and_then(Timestamp::parse_rfc3339),
    });
    let recipients = if content.cc.is_empty() {
        Cow::Borrowed(content.to.as_slice())
    } else {
        Cow::Owned(content.to.iter().chain(&content.cc).cloned().collect())
    };
    Reading {
        subject: Cow::Borrowed(subject),
        full_text: full_text(full, &html.hidden, &visible_text),
        visible_text,
        author: content.from.as_deref().map(Cow::Borrowed),
        recipients,
        attachments: Cow::Borrowed(&content.attachments),
        automated: notice.as_ref().map(machine::kind),
        notice,
        references: references_of(content),
        ..Reading::empty()
    }
}

fn references_of(content: &MessageContent) -> Vec<String> {
    let own = content.message_id.iter().chain(&content.in_reply_to).chain(&content.references);
    own.map(|id| bare_id(id)).filter(|id| !id.is_empty()).collect()
}

fn bare_id(id: &str) -> String {
    id.trim().trim_start_matches('<').trim_end_matches('>').to_owned()
}

fn of_raw(raw: &str) -> Reading<'static> {
    let message = message::read(raw.as_bytes(), &message::Limits::default());
    let visible_text = text::part(&message.text, &message.text_spans(), text::Part::Visible);
    let notice = notice::automated(&message, false);
    let recipients = message.to.iter().chain(&message.cc).map(|address| address.address.clone()).collect();
    let attachments = message.attachments.iter().map(|part| AttachmentRef {
        filename: part.filename.clone(),
        content_type: Some(part.content_type.clone()),
        size: Some(part.size),
    });
    let references =
        message.message_id.iter().chain(&message.in_reply_to).chain(&message.references).cloned().collect();
    Reading {
        full_text: full_text(Cow::Owned(message.text), &message.hidden_text, &visible_text),
        visible_text,
        author: message.author.as_ref().map(|author| Cow::Owned(author.address.clone())),
        recipients: Cow::Owned(recipients),
        attachments: Cow::Owned(attachments.collect()),
        automated: notice.as_ref().map(machine::kind),
        notice,
        references,
        subject: Cow::Owned(message.subject),
        ..Reading::empty()
    }
}

/// Everything that was written, hidden text included; empty when it is what is visible.
fn full_text<'a>(full: Cow<'a, str>, hidden: &str, visible: &str) -> Cow<'a, str> {
    match hidden.is_empty() {
        true if full == visible => Cow::Borrowed(""),
        true => full,
        false => Cow::Owned(format!("{full}\n\n{hidden}")),
    }
}

fn of_payload(payload: Option<&serde_json::Value>) -> Reading<'_> {
    let member = |name: &str| payload.and_then(|payload| payload.get(name)).and_then(serde_json::Value::as_str);
    let mut visible_text = String::new();
    let members = payload.and_then(serde_json::Value::as_object).into_iter().flatten();
    for text in members.filter(|(name, _)| *name != "title").filter_map(|(_, value)| value.as_str()) {
        if visible_text.len() + text.len() > PAYLOAD_TEXT {
            break;
        }
        visible_text.push_str(text);
        visible_text.push('\n');
    }
    Reading { subject: Cow::Borrowed(member("title").unwrap_or_default().trim()), visible_text, ..Reading::empty() }
}

impl Reading<'_> {
    const fn empty() -> Self {
        Self {
            event_type: "app_event",
            subject: Cow::Borrowed(""),
            visible_text: String::new(),
            full_text: Cow::Borrowed(""),
            author: None,
            recipients: Cow::Borrowed(&[]),
            attachments: Cow::Borrowed(&[]),
            automated: None,
            notice: None,
            direction: Direction::Inbound,
            occurred_at: Timestamp::from_micros(0),
            references: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: serde_json::Value) -> EventRequest {
        serde_json::from_value(body).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }

    fn faults(body: serde_json::Value) -> Vec<String> {
        let faults = read(&request(body), now(), &mut Vec::new()).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn an_event_needs_content_of_its_kind() {
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(faults(json(r#"{"eventType":"inbound_reply"}"#)), ["/message"]);
        assert_eq!(faults(json(r#"{"eventType":"inbound_reply","message":{"subject":" "}}"#)), ["/message"]);
        assert_eq!(faults(json(r#"{"eventType":"inbound_reply","payload":{"title":"x"}}"#)), ["/message"]);
        assert_eq!(faults(json(r#"{"eventType":"app_event"}"#)), ["/payload"]);
        assert_eq!(faults(json(r#"{"eventType":"app_event","payload":{"title":""}}"#)), ["/payload/title"]);
        assert_eq!(faults(json(r#"{"eventType":"agent_message","payload":{"title":"x"}}"#)), Vec::<String>::new());
        assert_eq!(faults(json(r#"{"eventType":"app_event","message":{"subject":"x"}}"#)), Vec::<String>::new());
        let wrong = r#"{"eventType":"app_event","message":{"subject":"x"},"occurredAt":"yesterday"}"#;
        assert_eq!(faults(json(wrong)), ["/occurredAt"]);
    }

    #[test]
    fn a_payload_over_64_kib_is_refused() {
        let body = serde_json::json!({"eventType": "app_event", "payload": {"title": "x", "text": "y".repeat(70_000)}});
        assert_eq!(faults(body), ["/payload"]);
    }

    #[test]
    fn an_unknown_event_type_is_evaluated_as_app_event_with_a_warning() {
        let request = request(serde_json::json!({"eventType": "cxk_live_x ping", "message": {"subject": "s"}}));
        let mut warnings = Vec::new();
        assert_eq!(read(&request, now(), &mut warnings).unwrap().event_type, "app_event");
        assert!(warnings[0].contains("ping") && !warnings[0].contains("live_x"), "{warnings:?}");
    }

    #[test]
    fn headers_and_words_show_a_machine() {
        let automated = |message: serde_json::Value| {
            let request = request(serde_json::json!({"eventType": "inbound_message", "message": message}));
            read(&request, now(), &mut Vec::new()).unwrap().automated
        };
        let by = |name: &str, value: &str| automated(serde_json::json!({"subject": "x", "headers": [[name, value]]}));
        assert_eq!(by("auto-submitted", "auto-replied; x"), Some(Automated::AutoReply));
        assert_eq!(by("Auto-Submitted", "auto-generated"), Some(Automated::Notification));
        assert_eq!(by("Auto-Submitted", "no"), None);
        assert_eq!(by("List-Id", "<a.b>"), Some(Automated::List));
        assert_eq!(by("Subject", "x"), None);
        let bounce = serde_json::json!({
            "from": "Mail Delivery System <MAILER-DAEMON@mx.example>",
            "subject": "Undelivered Mail Returned to Sender",
            "body": "<gone@client.example>: 550 5.1.1 User unknown",
        });
        assert_eq!(automated(bounce), Some(Automated::Bounce));
    }

    #[test]
    fn the_texts_of_a_payload_are_read_and_its_title_is_the_subject() {
        let request = request(
            serde_json::json!({"eventType": "app_event", "payload": {"title": "T", "b": "two", "a": "one", "n": 3}}),
        );
        let reading = read(&request, now(), &mut Vec::new()).unwrap();
        assert_eq!((reading.subject.as_ref(), reading.visible_text.as_str()), ("T", "one\ntwo\n"));
    }
}
