//! The event log and its stream of server-sent events (WHATWG HTML §9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use crate::http::error::{Code, Problem};
use crate::http::{SharedApi, json};
use crate::service::Fault;
use crate::service::events::EventItem;
use crate::service::keys::{Authenticated, EventsRead};

/// A page of the event log.
///
/// # Errors
/// As the contract says.
pub async fn events(
    State(api): State<SharedApi>,
    caller: Authenticated<EventsRead>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["after", "limit"])?;
    let after = number(parameter(&query, "after"), "after", 0, i64::MAX)?.unwrap_or(0);
    let limit = number(parameter(&query, "limit"), "limit", 1, 200)?.unwrap_or(50);
    Ok(json(&api.service.events(after, u32::try_from(limit).unwrap_or(50), &caller).await?))
}

/// Events as they are recorded.
///
/// # Errors
/// As the contract says; after the first byte, the stream just ends and the client comes again.
pub async fn stream(
    State(api): State<SharedApi>,
    caller: Authenticated<EventsRead>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["after"])?;
    let resumed = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let after = match resumed {
        Some(cursor) => number(Some(cursor), "Last-Event-ID", 0, i64::MAX)?,
        None => number(parameter(&query, "after"), "after", 0, i64::MAX)?,
    };
    let place = api.streams.enter(caller.principal().key_id())?;
    let events = api.service.follow_events(after, api.settings.heartbeat, &caller).await?;
    let first = stream::once(async { Ok::<_, Infallible>(Event::default().comment("connected").retry(RETRY)) });
    // The place is the stream's: it is free again when the client goes, or the stream ends.
    let rest = events.map(move |item| {
        let _held = &place;
        Ok(told(&item))
    });
    let keep_alive = KeepAlive::new().interval(api.settings.heartbeat).text("alive");
    let mut reply = Sse::new(first.chain(rest)).keep_alive(keep_alive).into_response();
    // Proxies that gather a reply before they pass it on would hold events back.
    reply.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(reply)
}

const RETRY: Duration = Duration::from_secs(3);

fn told(item: &EventItem) -> Event {
    let data = serde_json::to_string(&item.event).unwrap_or_else(|_| "{}".to_owned());
    Event::default().id(item.cursor.to_string()).event(&item.event.kind).data(data)
}

/// The value of a query parameter that holds a number or a day; such values need no percent-decoding.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(given, _)| *given == name).map(|(_, value)| value)
}

pub(super) fn refuse_unknown(query: &str, known: &[&str]) -> Result<(), Problem> {
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    let unknown: Vec<_> = names
        .filter(|name| !known.contains(name))
        .take(10)
        .map(|name| {
            let shown: String = name.chars().take(40).collect();
            Fault::at(format!("?{shown}"), format!("is not a parameter here; known are {}", known.join(", ")))
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Code::InvalidParameter, "A query parameter is not known here.").with_errors(unknown))
}

pub(super) fn number(text: Option<&str>, name: &str, lowest: i64, highest: i64) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if (lowest..=highest).contains(&number) => Ok(Some(number)),
        _ => {
            let fault = Fault::at(format!("?{name}"), format!("must be a whole number from {lowest} to {highest}"));
            Err(Problem::new(Code::InvalidParameter, format!("`{name}` is not valid.")).with_errors(vec![fault]))
        }
    }
}
