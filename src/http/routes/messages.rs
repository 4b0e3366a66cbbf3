//! Stored messages, their bytes and texts, and the chain behind an id.

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::error::Problem;
use crate::http::{SharedApi, json};
use crate::service::keys::{Authenticated, MessagesRaw, MessagesRead};

/// The whole chain of one id.
///
/// # Errors
/// As the contract says.
pub async fn explain(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.explain(&id, &caller).await?))
}

/// What is known of a stored message.
///
/// # Errors
/// As the contract says.
pub async fn message(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.message(&id, &caller).await?))
}

/// The text of a stored message.
///
/// # Errors
/// As the contract says.
pub async fn body(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.message_body(&id, &caller).await?))
}

/// Who really sent a stored message.
///
/// # Errors
/// As the contract says.
pub async fn auth_results(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.auth_results(&id, &caller).await?))
}

/// The bytes of a stored message, without the addresses of routes.
///
/// # Errors
/// As the contract says.
pub async fn raw(
    State(api): State<SharedApi>,
    caller: Authenticated<MessagesRaw>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let given = api.service.raw_message(&id, &caller).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822")),
        // Mail is hostile: no browser is to show it as a page of this origin.
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"message.eml\"")),
        (RENDITION, HeaderValue::from_static(given.rendition.as_str())),
    ];
    Ok((headers, given.bytes).into_response())
}

/// Says in what bytes differ from those that arrived.
pub(super) const RENDITION: HeaderName = HeaderName::from_static("x-connex-rendition");
