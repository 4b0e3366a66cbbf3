//! Documents that say what is served here. All are made at start and open to everyone.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

use crate::http::SharedApi;
use crate::http::error::Problem;

/// The OpenAPI document.
pub async fn openapi(State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    api.documents.openapi.reply(&headers)
}

/// Discovery for programs.
pub async fn discovery(State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    api.documents.discovery.reply(&headers)
}

/// Discovery for language models.
pub async fn llms_text(State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    api.documents.llms_text.reply(&headers)
}

/// RFC 9116. It says until when it holds, so it is made anew for each reader.
pub async fn security_text(State(api): State<SharedApi>) -> Response {
    let expires = api.clock().now().plus(Duration::from_hours(180 * 24));
    let text = format!(
        "Contact: {}\nExpires: {expires}\nPreferred-Languages: en\nCanonical: {}/.well-known/security.txt\n",
        api.settings.security_contact, api.settings.base_url
    );
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}

/// The guide as a page.
pub async fn docs(State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    api.documents.docs.reply(&headers)
}

/// The guide as text.
pub async fn docs_markdown(State(api): State<SharedApi>, headers: HeaderMap) -> Response {
    api.documents.docs_markdown.reply(&headers)
}

/// What a problem means.
///
/// # Errors
/// 404 for a kind of problem that does not exist.
pub async fn problem_page(
    State(api): State<SharedApi>,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.documents.problem(&slug, &headers)
}
