//! GET on a POST endpoint: its contract, with an example that works.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::SharedApi;
use crate::http::documents::Ready;
use crate::http::endpoints::Endpoint;
use crate::http::error::{Code, Problem};
use axum::response::IntoResponse;

/// The contract of `endpoint`.
pub async fn contract(endpoint: &'static Endpoint, State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    match api.documents.contract(endpoint.path) {
        Some(ready) => Ready::reply(ready, &headers),
        None => Problem::new(Code::NotFound, "This endpoint has no contract.").into_response(),
    }
}
