//! What one key may see of a tenant's mail: the one rule behind the event log, its stream, explain, and everything of
//! messages.
//!
//! A key that is bound to apps sees what was decided for these apps; one that is bound to mailboxes, what their addresses
//! are author or recipient of; one that is bound to both, what is both. A route narrows that: to keys that are bound to its
//! app, or to keys that are bound to mailboxes. What no event was made of is shown to keys that are bound to nothing, and of
//! routes only where all of its routes show their mail to the whole tenant.
//!
//! # Security
//! Whatever is not known denies.

use std::collections::BTreeSet;

use serde_json::Value;

use super::keys::Principal;
use crate::event::privacy::Visibility;
use crate::ids::EventId;
use crate::mail::address::Mailbox;
use crate::store::copies::MESSAGE_UPDATED;
use crate::store::reading::{EventRow, MessageRow};
use crate::store::{StoreError, TenantStore};

/// What a key is bound to.
#[derive(Debug, Clone)]
pub struct Sight {
    apps: Vec<String>,
    /// In the form for comparison, without detail.
    mailboxes: BTreeSet<String>,
    is_bound_to_mailboxes: bool,
}

impl Sight {
    /// What this caller may see.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        let bindings = principal.bindings();
        let key = |address: &String| Mailbox::parse(address).ok().map(|mailbox| mailbox.key_without_detail());
        Self {
            apps: bindings.apps.clone(),
            mailboxes: bindings.mailboxes.iter().filter_map(key).collect(),
            is_bound_to_mailboxes: !bindings.mailboxes.is_empty(),
        }
    }

    /// Whether only a part is shown: then what no event was made of is not.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        !self.apps.is_empty() || self.is_bound_to_mailboxes
    }

    /// Whether an event is shown.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn shows(&self, row: &EventRow, store: &TenantStore) -> Result<bool, StoreError> {
        if !self.apps.is_empty() && !row.app.as_ref().is_some_and(|app| self.apps.contains(app)) {
            return Ok(false);
        }
        let is_open = match row.visible_to {
            Visibility::Tenant => true,
            Visibility::Team => !self.apps.is_empty(),
            Visibility::Owners => self.is_bound_to_mailboxes,
        };
        if !is_open || !self.is_bound_to_mailboxes {
            return Ok(is_open);
        }
        if row.event_type != MESSAGE_UPDATED {
            return self.takes_part(row, store).await;
        }
        // It tells more of an event that was told before; whoever it adds is a participant of that.
        let updated =
            row.content.get("updatedEventId").and_then(Value::as_str).and_then(|id| id.parse::<EventId>().ok());
        match updated {
            Some(id) => match store.event(id).await? {
                Some(updated) => self.takes_part(&updated, store).await,
                None => Ok(false),
            },
            None => Ok(false),
        }
    }

    /// The events of a message that are shown; `None` where nothing of the message is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn of_message(
        &self,
        message: &MessageRow,
        store: &TenantStore,
    ) -> Result<Option<Vec<EventRow>>, StoreError> {
        let mut events = store.events_of_message(message.id).await?;
        // A copy of a message that came before is told of in its events.
        if let Some(first) =
            message.duplicate_of.as_deref().and_then(|id| id.parse().ok()).filter(|_| events.is_empty())
        {
            events = store.events_of_message(first).await?;
        }
        if events.is_empty() {
            let is_bound = !self.apps.is_empty() || self.is_bound_to_mailboxes;
            let routes = store.shown_by_routes(message.id).await?;
            let is_shown = !is_bound && routes.iter().all(|route| *route == Visibility::Tenant);
            return Ok(is_shown.then_some(events));
        }
        let mut shown = Vec::new();
        for event in events {
            if self.shows(&event, store).await? {
                shown.push(event);
            }
        }
        Ok((!shown.is_empty()).then_some(shown))
    }

    /// Whether one of the key's mailboxes wrote or received the message of an event, or is the one that an app told of.
    async fn takes_part(&self, row: &EventRow, store: &TenantStore) -> Result<bool, StoreError> {
        let is_own = |address: &str| {
            Mailbox::parse(address).is_ok_and(|mailbox| self.mailboxes.contains(&mailbox.key_without_detail()))
        };
        if participants(&row.content).any(is_own) {
            return Ok(true);
        }
        Ok(store.later_recipients(row.id).await?.iter().any(|address| is_own(address)))
    }
}

/// The addresses that an event's content says took part.
fn participants(content: &Value) -> impl Iterator<Item = &str> {
    let one = |pointer: &'static str| content.pointer(pointer).and_then(Value::as_str);
    let list = |pointer: &'static str| content.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let named = ["/author/address", "/sender/address", "/sourceMailbox/address", "/identity/mailbox"]
        .into_iter()
        .filter_map(one);
    let recipients = list("/recipients").filter_map(|one| one.get("address").and_then(Value::as_str));
    named.chain(recipients).chain(list("/envelope/rcptTo").filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn participants_are_those_who_wrote_and_those_who_got_it() {
        let content = json!({
            "author": { "address": "a@x.example" }, "sender": null, "replyTo": [{ "address": "no@x.example" }],
            "recipients": [{ "address": "b@x.example", "type": "bcc" }], "envelope": { "mailFrom": "no@x.example", "rcptTo": ["c@x.example"] },
        });
        assert_eq!(participants(&content).collect::<Vec<_>>(), ["a@x.example", "b@x.example", "c@x.example"]);
        let of_app = json!({ "kind": "app", "sourceMailbox": { "address": "d@x.example" } });
        assert_eq!(participants(&of_app).collect::<Vec<_>>(), ["d@x.example"]);
    }
}
