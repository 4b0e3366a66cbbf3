//! What a later copy adds to the event of its message: recipients that no copy before it named.
//!
//! A company's mail comes in many copies, and each may know other recipients: one per server, per rule, per person. The
//! event and its operations are made once, at the first copy; of each later one only what is new is told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::{NewEvent, NewThreadPlace};
use super::sql::{Connection, Row, query};
use super::{StoreError, from_id, from_json, to_json};
use crate::contract::webhook::{ThreadRef, UPDATED};
use crate::ids::{EventId, MessageId, TenantId, ThreadId};
use crate::mail::address::Mailbox;
use crate::mail::message::Defect;

/// Kind of the event that tells of more recipients, as it is stored.
pub const MESSAGE_UPDATED: &str = "message_updated";

/// A copy of a message whose event was recorded before.
#[derive(Debug)]
pub(super) struct Copy {
    /// Whose it is.
    pub(super) tenant: TenantId,
    /// The message that came first.
    pub(super) earlier: String,
    /// The event that the copy would have made, had it come first.
    pub(super) event: NewEvent,
}

/// What is told of a copy: the `data` of `message.updated`, without links.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    /// The event that was made of the first copy.
    updated_event_id: EventId,
    /// The message that came first.
    message_id: MessageId,
    /// The message that told more.
    copy_id: Option<MessageId>,
    /// Whom no copy before it named.
    added_recipients: Vec<&'a EventRecipient>,
}

/// What counts here of a canonical event.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    recipients: Vec<EventRecipient>,
}

/// As in the canonical event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventRecipient {
    address: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(rename = "type")]
    recipient_type: String,
}

impl EventRecipient {
    fn key(&self) -> String {
        Mailbox::parse(&self.address).map_or_else(|_| self.address.to_lowercase(), |mailbox| mailbox.key())
    }
}

/// Notes among the defects of an event that another message came under the same Message-ID before.
pub(super) fn note_reused_id(event: &mut NewEvent) -> Result<(), StoreError> {
    let mut content: Value = from_json("event", &event.content)?;
    if let Some(defects) = content.get_mut("defects").and_then(Value::as_array_mut) {
        let reused = serde_json::to_value(Defect::MessageIdReused).unwrap_or_default();
        if !defects.contains(&reused) {
            defects.push(reused);
        }
    }
    event.content = to_json("event", &content)?;
    Ok(())
}

/// The event of a first copy.
struct Earlier {
    event: EventId,
    thread: Option<ThreadId>,
    recipients: Vec<EventRecipient>,
}

/// The events that tell what `copies` add; of one that adds nothing there is none. The events that they add to are
/// recorded by now.
pub(super) async fn updates(
    connection: &mut Connection,
    copies: Vec<Copy>,
) -> Result<Vec<(TenantId, NewEvent)>, StoreError> {
    let mut events = Vec::new();
    for copy in copies {
        let tenant = copy.tenant;
        if let Some(event) = update(connection, copy).await? {
            events.push((tenant, event));
        }
    }
    Ok(events)
}

async fn update(connection: &mut Connection, copy: Copy) -> Result<Option<NewEvent>, StoreError> {
    let Copy { tenant, earlier, event } = copy;
    let told: Told = from_json("event", &event.content)?;
    let message: MessageId = from_id("message_id", &earlier)?;
    let Some(first) = find(connection, tenant, &earlier, &event).await? else {
        return Ok(None);
    };
    let mut known: BTreeSet<String> = first.recipients.iter().map(EventRecipient::key).collect();
    let mut added = Vec::new();
    for recipient in &told.recipients {
        let key = recipient.key();
        if !known.contains(&key) && is_new(connection, tenant, first.event, &key).await? {
            added.push(recipient);
        }
        known.insert(key);
    }
    if added.is_empty() {
        return Ok(None);
    }
    let update = Update {
        updated_event_id: first.event,
        message_id: message,
        copy_id: event.message_id,
        added_recipients: added,
    };
    let content = to_json("update", &update)?;
    let mut webhook = event.webhook.clone();
    let links = webhook.data.get_mut("links").map(Value::take);
    UPDATED.clone_into(&mut webhook.kind);
    webhook.caused_by = Some(first.event.to_string());
    webhook.thread = first.thread.map(|thread| ThreadRef { id: thread.to_string(), sequence: 0 });
    webhook.data = from_json("update", &content)?;
    if let (Some(links), Some(data)) = (links, webhook.data.as_object_mut()) {
        data.insert("links".into(), links);
    }
    let thread =
        first.thread.map(|thread_id| NewThreadPlace { thread_id, references: Vec::new(), subjects: Vec::new() });
    Ok(Some(NewEvent {
        event_type: MESSAGE_UPDATED.to_owned(),
        message_id: Some(message),
        thread,
        content,
        decision: None,
        observed: None,
        returned: None,
        unsubscribed: None,
        tasks: Vec::new(),
        approvals: Vec::new(),
        drafts: Vec::new(),
        webhook,
        text: String::new(),
        ..event
    }))
}

async fn find(
    connection: &mut Connection,
    tenant: TenantId,
    message: &str,
    event: &NewEvent,
) -> Result<Option<Earlier>, StoreError> {
    // A forward of several messages made an event of each: copies of one have its Message-ID.
    const FIND: &str = "\
SELECT event_id, thread_id, content FROM events
WHERE tenant_id = $1 AND message_id = $2 AND scope = $3 AND kind <> $4
ORDER BY CASE WHEN source_event_id = $5 THEN 0 ELSE 1 END, cursor LIMIT 1";
    let scope = event.scope.as_deref().unwrap_or_default();
    let find = query(FIND).bind(tenant.to_string()).bind(message).bind(scope).bind(MESSAGE_UPDATED);
    let find = find.bind(event.source_event_id.as_deref());
    let read = |row: Row| {
        let told: Told = from_json("event", row.try_get(2)?)?;
        let thread: Option<&str> = row.try_get(1)?;
        Ok(Earlier {
            event: from_id("event_id", row.try_get(0)?)?,
            thread: thread.map(|id| from_id("thread_id", id)).transpose()?,
            recipients: told.recipients,
        })
    };
    find.fetch_optional(&mut *connection).await?.map(read).transpose()
}

/// Whether nobody has told of this recipient; from now on somebody has.
async fn is_new(
    connection: &mut Connection,
    tenant: TenantId,
    event: EventId,
    recipient: &str,
) -> Result<bool, StoreError> {
    const TELL: &str =
        "INSERT INTO copy_recipients (tenant_id, event_id, recipient_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let tell = query(TELL).bind(tenant.to_string()).bind(event.to_string()).bind(recipient);
    Ok(tell.execute(&mut *connection).await? == 1)
}
