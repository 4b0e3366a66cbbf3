//! Reading what was recorded: the event log and its stream, and the chain behind one id.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use super::keys::{Authenticated, EventsRead, MessagesRead, Standing};
use super::sight::Sight;
use super::{Service, ServiceError, announce, reading};
use crate::contract::steps::is_step;
use crate::contract::webhook::{API_VERSION, CLASSIFIED, SourceRef, ThreadRef, UPDATED, WebhookEvent};
use crate::event::privacy::{JOURNAL, hide_blind};
use crate::ids::{EventId, MessageId, TenantId};
use crate::keys::Scope;
use crate::store::copies::MESSAGE_UPDATED;
use crate::store::reading::EventRow;
use crate::store::{StoreError, TenantStore};

/// A page of the event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// Events, oldest first.
    pub items: Vec<EventItem>,
    /// Cursor to go on from, also where there is nothing more yet.
    pub next_cursor: i64,
}

/// An event and its place in the tenant's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventItem {
    /// Its place: 1, 2, 3 … without gaps.
    pub cursor: i64,
    /// The event as webhooks carry it; its text only for a key that may read messages.
    pub event: WebhookEvent,
}

/// Events that are read at once.
const PAGE: u32 = 100;
/// How long the stream trusts wake-up hints before it looks by itself.
const POLL: Duration = Duration::from_secs(1);
/// How often a key is looked at again at most.
const SHORTEST_RECHECK: Duration = Duration::from_millis(1);

impl Service {
    /// Events behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn events(
        &self,
        after: i64,
        limit: u32,
        caller: &Authenticated<EventsRead>,
    ) -> Result<EventPage, ServiceError> {
        let view = View::of(self, caller);
        let (items, next_cursor) = view.read(after, limit).await?;
        Ok(EventPage { items, next_cursor })
    }

    /// Events behind `after` (the newest, where none is given) as they are recorded, without gap or repetition.
    ///
    /// It subscribes to hints before it reads the backlog. It ends when the database does not answer, this instance stops,
    /// or the key is no longer valid, which is looked at every `recheck`; a client comes again with the cursor it has.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn follow_events(
        &self,
        after: Option<i64>,
        recheck: Duration,
        caller: &Authenticated<EventsRead>,
    ) -> Result<impl Stream<Item = EventItem> + Send + 'static, ServiceError> {
        let view = View::of(self, caller);
        let hints = self.store.events_recorded();
        let cursor = match after {
            Some(cursor) => cursor,
            None => view.store.newest_cursor().await?,
        };
        let mut due = tokio::time::interval(recheck.max(SHORTEST_RECHECK));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follower = Follower {
            view,
            hints,
            cursor,
            waiting: Vec::new().into_iter(),
            stop: self.stop.clone(),
            watch: KeyWatch { standing: self.standing(caller), due },
        };
        Ok(stream::unfold(follower, Follower::next))
    }

    /// Where a stream that is told nothing begins: behind the newest event.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn newest_cursor(&self, caller: &Authenticated<EventsRead>) -> Result<i64, ServiceError> {
        Ok(self.store.for_tenant(caller.principal().tenant()).newest_cursor().await?)
    }

    /// The whole chain behind an id. Of an endpoint's URL it tells the origin: its path or query may hold a token.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Unavailable`].
    pub async fn explain(&self, id: &str, caller: &Authenticated<MessagesRead>) -> Result<Value, ServiceError> {
        let store = self.store.for_tenant(caller.principal().tenant());
        let mut chain = store.explain(id).await?;
        let sight = Sight::of(caller.principal());
        // Of a message that several apps or mailboxes got, only what the caller may see; of one without events, its own rule.
        if let Ok(message) = id.parse::<MessageId>() {
            let row = store.message(message).await?.ok_or(ServiceError::NotFound("id"))?;
            sight.of_message(&row, &store).await?.ok_or(ServiceError::NotFound("id"))?;
        }
        let events = chain.get_mut("events").map(Value::take).unwrap_or_default();
        let events: Vec<Value> = serde_json::from_value(events).unwrap_or_default();
        let (count, mut shown) = (events.len(), Vec::new());
        for told in events {
            let event = told.get("eventId").and_then(Value::as_str).and_then(|id| id.parse::<EventId>().ok());
            let Some(event) = event else { continue };
            if let Some(row) = store.event(event).await?
                && sight.shows(&row, &store).await?
            {
                shown.push(told);
            }
        }
        let is_hidden_draft =
            count == 0 && sight.is_bound() && chain.get("draft").is_some_and(|draft| !draft.is_null());
        if count > 0 && shown.is_empty() || is_hidden_draft {
            return Err(ServiceError::NotFound("id"));
        }
        if let Some(members) = chain.as_object_mut() {
            members.insert("events".into(), shown.into());
        }
        show_origins_only(&mut chain);
        if !caller.principal().has(Scope::JournalBcc) {
            hide_blind_of_reports(&mut chain);
        }
        Ok(chain)
    }
}

/// Leaves the blind recipients of journal reports out.
fn hide_blind_of_reports(chain: &mut Value) {
    let events = chain.get_mut("events").and_then(Value::as_array_mut).into_iter().flatten();
    for event in events.filter(|event| event.get("sourceKind").and_then(Value::as_str) == Some(JOURNAL)) {
        event.get_mut("event").map(hide_blind);
    }
}

/// Cuts the URLs of deliveries down to scheme, host and port.
fn show_origins_only(chain: &mut Value) {
    let events = chain.get_mut("events").and_then(Value::as_array_mut).into_iter().flatten();
    let deliveries = events.filter_map(|event| event.get_mut("deliveries").and_then(Value::as_array_mut)).flatten();
    for url in deliveries.filter_map(|delivery| delivery.get_mut("url")) {
        // One that cannot be read is not shown at all.
        let origin = url.as_str().and_then(|text| url::Url::parse(text).ok()).map(|url| url.origin());
        *url = origin.filter(url::Origin::is_tuple).map_or(Value::Null, |origin| origin.ascii_serialization().into());
    }
}

/// What one caller may see of the event log.
struct View {
    store: TenantStore,
    tenant: TenantId,
    sight: Sight,
    /// Whether the key may read of messages; without that, events are told without their text.
    shows_text: bool,
    /// Whether the key may see the blind recipients of journal reports.
    shows_blind: bool,
    base_url: Arc<str>,
}

impl View {
    fn of(service: &Service, caller: &Authenticated<EventsRead>) -> Self {
        let tenant = caller.principal().tenant();
        Self {
            store: service.store.for_tenant(tenant),
            tenant,
            sight: Sight::of(caller.principal()),
            shows_text: caller.principal().has(Scope::MessagesRead),
            shows_blind: caller.principal().has(Scope::JournalBcc),
            base_url: Arc::clone(&service.base_url),
        }
    }

    /// Up to `limit` events behind `after`, and the cursor behind the last that was looked at.
    async fn read(&self, after: i64, limit: u32) -> Result<(Vec<EventItem>, i64), StoreError> {
        let rows = self.store.events_after(after, limit).await?;
        let next = rows.last().map_or(after, |row| row.cursor);
        let mut items = Vec::new();
        for row in rows {
            if self.sight.shows(&row, &self.store).await? {
                items.push(self.item(row));
            }
        }
        Ok((items, next))
    }

    fn item(&self, row: EventRow) -> EventItem {
        let is_update = row.event_type == MESSAGE_UPDATED;
        if is_step(&row.event_type) {
            return self.step(row);
        }
        let (kind, mut told) = if is_update { (UPDATED, row.content.clone()) } else { (CLASSIFIED, row.answer) };
        if row.source_kind == JOURNAL && !self.shows_blind {
            hide_blind(&mut told);
        }
        let caused_by = row.content.get("updatedEventId").and_then(Value::as_str).filter(|_| is_update);
        let event = WebhookEvent {
            id: row.id.to_string(),
            kind: kind.to_owned(),
            timestamp: row.occurred_at.to_string(),
            api_version: API_VERSION.to_owned(),
            tenant_id: self.tenant.to_string(),
            app: row.app,
            thread: row.thread.map(|(id, sequence)| ThreadRef { id, sequence }),
            threading: announce::threading_in(&row.content),
            caused_by: caused_by.map(str::to_owned),
            source: SourceRef { kind: row.source_kind, event_id: row.source_event_id },
            data: announce::data_of(told, row.id, &self.base_url),
        };
        let event = if self.shows_text { event.with_snippet(&reading::stored_text(&row.content)) } else { event };
        EventItem { cursor: row.cursor, event }
    }

    /// What was told of a draft or a question, as it is stored; the words that a source app is to send only with the text.
    fn step(&self, row: EventRow) -> EventItem {
        let mut data = row.content;
        if !self.shows_text {
            let operations = data.get_mut("operations").and_then(Value::as_array_mut).into_iter().flatten();
            for params in operations.filter_map(|one| one.get_mut("params").and_then(Value::as_object_mut)) {
                params.retain(|name, _| !matches!(name.as_str(), "subject" | "text" | "html"));
            }
        }
        let caused_by = data.get("causedBy").and_then(Value::as_str).map(str::to_owned);
        if let Some(members) = data.as_object_mut() {
            members.remove("causedBy");
        }
        let event = WebhookEvent {
            id: row.id.to_string(),
            kind: row.event_type,
            timestamp: row.occurred_at.to_string(),
            api_version: API_VERSION.to_owned(),
            tenant_id: self.tenant.to_string(),
            app: row.app,
            thread: row.thread.map(|(id, sequence)| ThreadRef { id, sequence }),
            threading: None,
            caused_by,
            source: SourceRef { kind: row.source_kind, event_id: row.source_event_id },
            data,
        };
        EventItem { cursor: row.cursor, event }
    }
}

/// State of one stream.
struct Follower {
    view: View,
    hints: tokio::sync::watch::Receiver<u64>,
    cursor: i64,
    waiting: std::vec::IntoIter<EventItem>,
    stop: tokio_util::sync::CancellationToken,
    watch: KeyWatch,
}

/// Looks from time to time whether a key still is what it was when the stream began.
struct KeyWatch {
    standing: Standing,
    due: tokio::time::Interval,
}

impl KeyWatch {
    /// Whether the stream may go on; asks the database only where a look is due.
    async fn allows(&mut self) -> bool {
        if self.due.tick().now_or_never().is_none() {
            return true;
        }
        match self.standing.is_valid().await {
            Ok(is_valid) => is_valid,
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Event stream ends: {error}");
                false
            }
        }
    }
}

impl Follower {
    async fn next(mut self) -> Option<(EventItem, Self)> {
        loop {
            if !self.watch.allows().await {
                return None;
            }
            if let Some(item) = self.waiting.next() {
                return Some((item, self));
            }
            // Seen before reading: an event that is recorded meanwhile wakes the wait below.
            self.hints.mark_unchanged();
            let before = self.cursor;
            match self.view.read(self.cursor, PAGE).await {
                Ok((items, next)) => {
                    self.waiting = items.into_iter();
                    self.cursor = next;
                }
                Err(error) => {
                    tracing::warn!(error.kind = "store", temporary = true, "Event stream ends: {error}");
                    return None;
                }
            }
            if self.cursor == before {
                tokio::select! {
                    () = self.stop.cancelled() => return None,
                    // The hint is only that; without one the log is looked at every second.
                    _ = tokio::time::timeout(POLL.min(self.watch.due.period()), self.hints.changed()) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_chain_shows_no_more_of_an_endpoint_than_its_origin() {
        let shown = |url: &str| {
            let mut chain = json!({ "events": [{ "deliveries": [{ "id": "dlv_1", "url": url }] }] });
            show_origins_only(&mut chain);
            assert_eq!(chain["events"][0]["deliveries"][0]["id"], "dlv_1");
            chain["events"][0]["deliveries"][0]["url"].clone()
        };
        assert_eq!(shown("https://user:secret@hooks.example:8443/t/token?key=1#x"), "https://hooks.example:8443");
        assert_eq!(shown("https://hooks.example/token"), "https://hooks.example");
        assert_eq!(shown("token"), Value::Null);
    }
}
