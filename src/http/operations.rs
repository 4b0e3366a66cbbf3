//! The operator's listener: is it alive, is it ready, what does it count. Not for the public network.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::clock::Timestamp;
use crate::service::{NotServing, Service};

/// What the listener needs.
#[derive(Clone)]
pub struct Operations {
    /// For readiness.
    pub service: Service,
    /// The metrics as Prometheus text.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Why the instance is not ready, beside its database: a spool that takes no bytes, a listener that is not bound.
    pub hindrance: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Operations").field("service", &self.service).finish_non_exhaustive()
    }
}

/// How long the database may take to show that it works.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer of the database counts: whoever asks often does not make it write often.
const FRESH: Duration = Duration::from_secs(1);

/// When the database was asked, and what came of it.
type Look = (Timestamp, Result<(), NotServing>);

/// What handlers share.
#[derive(Clone)]
struct Shared {
    operations: Operations,
    patience: Duration,
    /// The last answer and when it came; held while the database is asked, so that one asks for all.
    last: Arc<tokio::sync::Mutex<Option<Look>>>,
}

impl Shared {
    async fn database(&self) -> Result<(), NotServing> {
        let clock = self.operations.service.clock();
        let mut last = self.last.lock().await;
        let now = clock.now();
        if let Some((when, answer)) = *last
            && when <= now
            && now.since(when) < FRESH
        {
            return answer;
        }
        let answer = self.operations.service.check(self.patience).await;
        *last = Some((clock.now(), answer));
        answer
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(operations: Operations) -> Router {
    with_patience(operations, PATIENCE)
}

/// The same, with its own measure of how long the database may take.
pub(super) fn with_patience(operations: Operations, patience: Duration) -> Router {
    let shared = Shared { operations, patience, last: Arc::default() };
    Router::new()
        .route("/healthz", get(|| async { no_store(StatusCode::OK, &json!({ "status": "alive" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    let hindrance = match shared.database().await {
        Ok(()) => (shared.operations.hindrance)(),
        Err(reason) => Some(reason.to_string()),
    };
    match hindrance {
        None => no_store(StatusCode::OK, &json!({ "status": "ready" })),
        Some(reason) => no_store(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": reason })),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = (shared.operations.render_metrics)();
    // The text format of Prometheus, version 0.0.4.
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

fn no_store(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}
