//! The listener on which an ACME directory asks (RFC 8555 §8.3): answers to what an order is about, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The key authorisation of a token, while an order has it.
pub type Find = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Serves what `find` finds; everything else is 404.
pub fn router(find: Find) -> Router {
    Router::new().route("/.well-known/acme-challenge/{token}", get(answer)).with_state(find)
}

async fn answer(State(find): State<Find>, Path(token): Path<String>) -> Response {
    match find(&token) {
        // RFC 8555 §8.3: the media type that the standard's own example has.
        Some(authorisation) => ([(header::CONTENT_TYPE, "application/octet-stream")], authorisation).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
