//! The operator's listener: is it alive, is it ready, what does it count. Not for the public network.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::service::Service;

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

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(operations: Operations) -> Router {
    Router::new()
        .route("/healthz", get(|| async { no_store(StatusCode::OK, &json!({ "status": "alive" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operations)
}

async fn ready(State(operations): State<Operations>) -> Response {
    let hindrance = match operations.service.check().await {
        Ok(()) => (operations.hindrance)(),
        Err(_) => Some("the database does not answer".to_owned()),
    };
    match hindrance {
        None => no_store(StatusCode::OK, &json!({ "status": "ready" })),
        Some(reason) => no_store(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": reason })),
    }
}

async fn metrics(State(operations): State<Operations>) -> Response {
    let text = (operations.render_metrics)();
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
