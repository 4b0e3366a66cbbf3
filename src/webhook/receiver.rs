//! A small receiver of webhooks: it shows what arrives, in demonstrations and tests.
//!
//! It does what every receiver should: verify first, then de-duplicate by `webhook-id`, then answer 204 at once. It
//! keeps the last events in memory only and is not meant for production.
//!
//! # Security
//! Nothing of a request is kept before its signature was verified. Bodies, events and ids kept are bounded.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::sign::{TOLERANCE, WebhookSecret, verify};
use crate::clock::Clock;

/// Largest body taken; connex never sends more than 256 KiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How many ids are remembered for de-duplication.
const MAX_IDS: usize = 10_000;

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedEvent {
    /// `webhook-id`.
    pub id: String,
    /// `connex-event-type`; empty when the header was missing.
    pub event_type: String,
    /// `connex-delivery`; empty when the header was missing.
    pub delivery: String,
    /// `connex-attempt`; 0 when the header was missing.
    pub attempt: u32,
    /// When it arrived, RFC 3339.
    pub received_at: String,
    /// The body.
    pub body: Value,
}

/// What the receiver saw; the answer of `GET /received`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Events taken since the start; more than `events` holds when old ones were dropped.
    pub accepted: u64,
    /// Genuine requests whose id was known already.
    pub duplicates: u64,
    /// Requests refused for their signature or body.
    pub refused: u64,
    /// The last events, oldest first.
    pub events: Vec<ReceivedEvent>,
}

/// State of the receiver. Clones share it.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    secrets: RwLock<Vec<WebhookSecret>>,
    clock: Clock,
    capacity: usize,
    log: Mutex<Log>,
    changes: watch::Sender<u64>,
    observer: Option<Observer>,
}

/// Called with each new genuine event, the moment it was judged; must not block.
pub type Observer = Box<dyn Fn(&ReceivedEvent) + Send + Sync>;

#[derive(Default)]
struct Log {
    seen: Received,
    events: VecDeque<ReceivedEvent>,
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Receiver {
    /// A receiver that trusts `secrets` and keeps the last `capacity` events.
    #[must_use]
    pub fn new(secrets: Vec<WebhookSecret>, capacity: usize, clock: Clock) -> Self {
        Self::with(secrets, capacity, clock, None)
    }

    /// As [`Receiver::new`], and tells `observer` of each new genuine event: for measurements.
    #[must_use]
    pub fn observed(secrets: Vec<WebhookSecret>, capacity: usize, clock: Clock, observer: Observer) -> Self {
        Self::with(secrets, capacity, clock, Some(observer))
    }

    fn with(secrets: Vec<WebhookSecret>, capacity: usize, clock: Clock, observer: Option<Observer>) -> Self {
        let (changes, _) = watch::channel(0);
        let log = Mutex::new(Log::default());
        Self(Arc::new(Shared { secrets: RwLock::new(secrets), clock, capacity, log, changes, observer }))
    }

    /// Trusts one more secret, for an endpoint that is made after the receiver runs.
    pub fn trust(&self, secret: WebhookSecret) {
        self.0.secrets.write().unwrap_or_else(PoisonError::into_inner).push(secret);
    }

    /// What arrived so far.
    #[must_use]
    pub fn received(&self) -> Received {
        let log = self.log();
        Received { events: log.events.iter().cloned().collect(), ..log.seen.clone() }
    }

    /// Waits until `enough` says yes to what arrived, and returns that. Put a timeout around it.
    pub async fn wait_until(&self, mut enough: impl FnMut(&Received) -> bool) -> Received {
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let received = self.received();
            // The sender lives as long as we do, so waiting cannot fail.
            if enough(&received) || changes.changed().await.is_err() {
                return received;
            }
        }
    }

    /// Judges and keeps one request: whether it was new, or why it was refused.
    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let result = self.judge(headers, body);
        let mut log = self.log();
        let is_new = match &result {
            Ok(event) => log.keep(event, self.0.capacity),
            Err(_) => {
                log.seen.refused = log.seen.refused.saturating_add(1);
                false
            }
        };
        drop(log);
        if let (true, Ok(event), Some(observer)) = (is_new, &result, &self.0.observer) {
            observer(event);
        }
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
        result.map(drop)
    }

    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Result<ReceivedEvent, Refusal> {
        let now = self.0.clock.now();
        let secrets = self.0.secrets.read().unwrap_or_else(PoisonError::into_inner);
        verify(headers, body, &secrets, now, TOLERANCE)
            .map_err(|error| Refusal::new(StatusCode::UNAUTHORIZED, "invalid_signature", error.to_string()))?;
        let body = serde_json::from_slice(body).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_json", format!("The body is not JSON: {error}"))
        })?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok(ReceivedEvent {
            id: text("webhook-id"),
            event_type: text("connex-event-type"),
            delivery: text("connex-delivery"),
            attempt: text("connex-attempt").parse().unwrap_or(0),
            received_at: now.to_string(),
            body,
        })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Whether the event is new.
    fn keep(&mut self, event: &ReceivedEvent, capacity: usize) -> bool {
        if !self.ids.insert(event.id.clone()) {
            self.seen.duplicates = self.seen.duplicates.saturating_add(1);
            return false;
        }
        self.order.push_back(event.id.clone());
        if self.order.len() > MAX_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.seen.accepted = self.seen.accepted.saturating_add(1);
        self.events.push_back(event.clone());
        while self.events.len() > capacity {
            self.events.pop_front();
        }
        true
    }
}

/// Answers webhooks on `listener` until `stop` is cancelled.
///
/// # Errors
/// When connections cannot be taken any more.
pub async fn serve(
    listener: tokio::net::TcpListener,
    receiver: Receiver,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(receiver)).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// The receiver as a web application: `POST /` takes a webhook, `GET /received` lists what came.
pub fn router(receiver: Receiver) -> Router {
    Router::new()
        .route("/", post(take))
        .route("/received", get(list))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(receiver)
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    match receiver.take(&headers, &body) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn list(State(receiver): State<Receiver>) -> Json<Received> {
    Json(receiver.received())
}

/// Why a request was refused, as RFC 9457 problem JSON.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Refusal {
    const fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        Self { status, code, detail }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
    }
}

#[cfg(test)]
mod tests;
