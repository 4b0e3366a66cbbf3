//! Who may see what a route took, and what is taken out of an event that was stored, for those who may not see it, and for
//! good once it is not kept.

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

/// The `source.kind` of events out of journal reports, whose blind recipients are the report's secret.
pub const JOURNAL: &str = "journal";

/// Which keys of a tenant see what a route took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// All that are not bound to something else.
    #[default]
    Tenant,
    /// Those that are bound to the route's app.
    Team,
    /// Those that are bound to a mailbox whose address took part in the message.
    Owners,
}

impl Visibility {
    /// Its word, on the command line and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Team => "team",
            Self::Owners => "owners",
        }
    }
}

impl FromStr for Visibility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Tenant, Self::Team, Self::Owners].into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is nobody to show mail to; use tenant, team or owners"))
    }
}

/// Leaves blind recipients out of an event's content or of the data of a webhook, and says `bccHidden` where there were any.
pub fn hide_blind(content: &mut Value) {
    let Some(members) = content.as_object_mut() else { return };
    let mut is_hidden = false;
    for list in ["recipients", "addedRecipients"] {
        if let Some(recipients) = members.get_mut(list).and_then(Value::as_array_mut) {
            let before = recipients.len();
            recipients.retain(|one| one.get("type").and_then(Value::as_str) != Some("bcc"));
            is_hidden |= recipients.len() < before;
        }
    }
    if is_hidden {
        members.insert("bccHidden".into(), true.into());
    }
}

/// Empties every text of an event's content that its author wrote, and says `textErased`.
pub fn erase_texts(content: &mut Value) {
    const TEXTS: [&str; 6] = ["subject", "text", "hiddenText", "visibleText", "quotedText", "signature"];
    let Some(members) = content.as_object_mut() else { return };
    for name in TEXTS {
        empty(members, name, "".into());
    }
    empty(members, "textSpans", Value::Array(Vec::new()));
    empty(members, "calendar", Value::Null);
    for attachment in members.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(members) = attachment.as_object_mut() {
            empty(members, "filename", "".into());
        }
    }
    members.insert("textErased".into(), true.into());
}

/// Takes the words of the message out of a decision that quotes them as its evidence.
pub fn erase_evidence(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            empty(members, "evidence", Value::Null);
            members.values_mut().for_each(erase_evidence);
        }
        Value::Array(items) => items.iter_mut().for_each(erase_evidence),
        _ => {}
    }
}

/// Empties the text in the body of a webhook, and what its decision quotes.
pub fn erase_payload(body: &mut Value) {
    erase_evidence(body);
    let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) else { return };
    if data.contains_key("text") {
        empty(data, "text", "".into());
        data.insert("textErased".into(), true.into());
    }
}

/// What stands in the place of a recipient who was erased: an address that nobody has (RFC 6761 §6.4).
pub const ERASED_RECIPIENT: &str = "erased@erased.invalid";

/// Takes out of whatever was told of a draft (an event of a step, the body of its webhook, the answer to a call) whom it went
/// to, what it said, and what others said of it.
pub fn erase_draft(told: &mut Value) {
    match told {
        Value::Object(members) => {
            if members.get("recipient").is_some_and(Value::is_string) {
                members.insert("recipient".into(), ERASED_RECIPIENT.into());
                empty(members, "reply", Value::Null);
                empty(members, "host", Value::Null);
            }
            if members.get("content").is_some_and(Value::is_object) {
                members.insert("content".into(), Value::Null);
            }
            if let Some(handoff) = members.get_mut("handoff").and_then(Value::as_object_mut) {
                empty(handoff, "note", Value::Null);
                empty(handoff, "messageId", Value::Null);
            }
            if let Some(asked) = members.get_mut("params").and_then(Value::as_object_mut) {
                for name in ["to", "cc", "bcc"] {
                    empty(asked, name, Value::Array(Vec::new()));
                }
                empty(asked, "subject", "".into());
                empty(asked, "text", "".into());
                empty(asked, "html", Value::Null);
                asked.insert("textErased".into(), true.into());
            }
            members.values_mut().for_each(erase_draft);
        }
        Value::Array(items) => items.iter_mut().for_each(erase_draft),
        _ => {}
    }
}

fn empty(members: &mut Map<String, Value>, name: &str, nothing: Value) {
    if let Some(value) = members.get_mut(name) {
        *value = nothing;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blind_recipients_are_left_out_and_that_is_said_only_where_there_were_any() {
        let to = json!({ "address": "sam@harbor.example", "type": "to" });
        let mut event = json!({ "recipients": [to, { "address": "mia@harbor.example", "type": "bcc" }] });
        hide_blind(&mut event);
        assert_eq!(event, json!({ "recipients": [to], "bccHidden": true }));
        let mut update = json!({ "addedRecipients": [{ "address": "mia@harbor.example", "type": "bcc" }] });
        hide_blind(&mut update);
        assert_eq!(update, json!({ "addedRecipients": [], "bccHidden": true }));
        let mut open = json!({ "recipients": [to] });
        hide_blind(&mut open);
        assert_eq!(open, json!({ "recipients": [to] }));
    }

    #[test]
    fn nothing_told_of_a_draft_names_whom_it_went_to_or_what_it_said() {
        let asked = json!({ "draftId": "drf_1", "to": ["Ann <a@b>"], "cc": ["a@b"], "bcc": [], "subject": "secret",
            "text": "secret", "html": "secret", "inReplyTo": "1@c" });
        let mut told = json!({ "data": { "state": "sent", "recipient": "a@b", "operations": [{ "params": asked }] },
            "draft": { "id": "drf_1", "content": { "text": "secret" }, "copies": [{ "messageId": "msg_1" }],
                "handoff": { "note": "secret", "messageId": "secret", "reported": "sent" },
                "transmissions": [{ "recipient": "a@b", "reply": "250 a@b", "host": "secret", "state": "accepted" }] } });
        erase_draft(&mut told);
        let text = told.to_string();
        assert!(!text.contains("secret") && !text.contains("a@b"), "{text}");
        assert_eq!((&told["data"]["state"], &told["data"]["recipient"]), (&json!("sent"), &json!(ERASED_RECIPIENT)));
        assert_eq!(told["data"]["operations"][0]["params"]["inReplyTo"], "1@c");
        assert_eq!(
            (&told["draft"]["copies"][0]["messageId"], &told["draft"]["transmissions"][0]["state"]),
            (&json!("msg_1"), &json!("accepted"))
        );
        assert!(crate::mail::address::Mailbox::parse(ERASED_RECIPIENT).is_ok());
    }

    #[test]
    fn no_text_of_an_event_is_left_and_the_rest_stays() {
        let mut event = json!({
            "subject": "secret", "text": "secret", "hiddenText": "secret", "visibleText": "secret", "quotedText": "secret",
            "signature": "secret", "textSpans": [{ "start": 0, "end": 6, "part": "visible" }],
            "calendar": { "summary": "secret" }, "hasCalendar": true, "recipients": [{ "address": "sam@harbor.example" }],
            "attachments": [{ "filename": "secret.pdf", "contentType": "application/pdf", "size": 7 }],
        });
        erase_texts(&mut event);
        assert!(!event.to_string().contains("secret"), "{event}");
        assert_eq!(
            (&event["textErased"], &event["recipients"][0]["address"]),
            (&json!(true), &json!("sam@harbor.example"))
        );
        assert_eq!((&event["hasCalendar"], &event["attachments"][0]["size"]), (&json!(true), &json!(7)));
        assert!(event.get("author").is_none(), "what was not there does not come");
    }

    #[test]
    fn the_body_of_a_webhook_loses_its_text_alone() {
        let mut body = json!({ "id": "evt_1", "data": { "text": "secret", "canonical": { "status": "unclear" }, "reasoning": { "signals": [{ "code": "x", "evidence": "secret" }] } } });
        erase_payload(&mut body);
        let reasoning = json!({ "signals": [{ "code": "x", "evidence": null }] });
        let left =
            json!({ "text": "", "textErased": true, "canonical": { "status": "unclear" }, "reasoning": reasoning });
        assert_eq!(body["data"], left);
        let thin = json!({ "id": "evt_1", "data": { "eventId": "evt_1" } });
        let mut body = thin.clone();
        erase_payload(&mut body);
        assert_eq!(body, thin);
    }
}
