//! What goes around every page: keys in the wrong place, panics, time, and the headers of every reply.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use super::SharedUi;
use super::error::Refused;

/// Makes one page inside the frame.
pub(super) async fn frame(State(ui): State<SharedUi>, request: Request, next: Next) -> Response {
    let mut reply = if request.headers().contains_key(header::AUTHORIZATION) {
        Refused::Key.into_response()
    } else {
        let page = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(ui.call_timeout, page).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => {
                tracing::error!(error.kind = "panic", temporary = false, "A page panicked");
                Refused::Fault.into_response()
            }
            Err(_) => Refused::Late.into_response(),
        }
    };
    finish(reply.headers_mut(), ui.own.is_https());
    reply
}

/// A browser that asks for a path that nothing has gets a page, and a program the problem that the API has made.
pub(super) async fn unknown_paths(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_programs = ["/api/", "/.well-known/", "/problems/", "/mcp"].iter().any(|start| path.starts_with(start));
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_page = !of_programs && accept.contains("text/html");
    let reply = next.run(request).await;
    let is_problem = reply.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !(wants_page && is_problem && reply.status() == StatusCode::NOT_FOUND) {
        return reply;
    }
    let mut page = Refused::NotFound.into_response();
    finish(page.headers_mut(), false);
    page
}

fn finish(headers: &mut HeaderMap, is_https: bool) {
    for (name, value) in &HEADERS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if is_https {
        // RFC 6797 §7.2: over secure transport alone. A year, as browsers' lists ask; other hosts of the domain are not ours.
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

static HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];
