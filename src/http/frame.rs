//! What goes around every call: the request's id, keys in wrong places, panics, problems and the headers of every reply.
//!
//! One layer instead of many: it lies on the path of the preview too, which is meant to cost little more than its answer.
//!
//! # Security
//! A key in a query string, or from a browser (a request with `Origin`), is refused before anything else looks at it, so
//! that no log of ours or a proxy's makes it worse unnoticed. Nothing of a panic reaches the peer.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::SharedApi;
use super::error::{Code, Problem};
use crate::ids::RequestId;
use crate::service::accounts::SESSION_COOKIE;

/// The id of the request: the caller's own where it sent a usable one.
#[derive(Debug, Clone)]
pub struct CallId(std::sync::Arc<str>);

impl CallId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Runs one call inside the frame.
pub async fn frame(State(api): State<SharedApi>, mut request: Request, next: Next) -> Response {
    let call_id = call_id(&api, request.headers());
    let path = request.uri().path().to_owned();
    let has_credentials = request.headers().contains_key(header::AUTHORIZATION)
        || has_session(request.headers())
        || path.starts_with("/auth/");
    request.extensions_mut().insert(call_id.clone());
    let reply = match exposed_key(&request) {
        Some(problem) => problem.into_response(),
        None => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(
                request.id = call_id.as_str(),
                error.kind = "panic",
                temporary = false,
                "HTTP call panicked"
            );
            Problem::new(Code::InternalError, "The fault is on this side and was logged.").into_response()
        }),
    };
    let mut reply = with_problem(reply, &path, &call_id);
    finish(reply.headers_mut(), &call_id, has_credentials);
    reply
}

/// Writes the body of a problem, whether one of ours or a bare status that axum or a layer made.
fn with_problem(mut reply: Response, path: &str, call_id: &CallId) -> Response {
    let status = reply.status();
    let problem = match reply.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if status.is_success() || status == StatusCode::NOT_MODIFIED => return reply,
        None => Problem::from_status(status),
    };
    let mut rendered = problem.render(path, call_id.as_str());
    for (name, value) in reply.headers() {
        // What the inner reply says beside its body stays: Allow of a 405, RateLimit of a 429.
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            rendered.headers_mut().insert(name.clone(), value.clone());
        }
    }
    rendered
}

fn finish(headers: &mut HeaderMap, call_id: &CallId, has_credentials: bool) {
    if let Ok(value) = HeaderValue::from_str(call_id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
    if has_credentials {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    for (name, value) in &SECURITY_HEADERS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Replies are data, never pages of somebody else's; the documentation page sets its own policy.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

fn call_id(api: &SharedApi, headers: &HeaderMap) -> CallId {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    // Only what is harmless in every log and header is echoed.
    let is_usable = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte))
    };
    match given.filter(is_usable).filter(|text| !text.contains("cxk_")) {
        Some(text) => CallId(text.into()),
        None => CallId(api.clock().mint::<RequestId>().to_string().into()),
    }
}

fn exposed_key(request: &Request) -> Option<Problem> {
    if request.uri().query().is_some_and(|query| query.contains("cxk_")) {
        return Some(Problem::new(
            Code::KeyExposed,
            "A key is in the query string. Revoke it: addresses are logged by everyone on the way.",
        ));
    }
    let headers = request.headers();
    let has_key = || {
        headers.get(header::AUTHORIZATION).is_some_and(|value| {
            // What Basic hides is a key as well: nothing else is ever asked for.
            let is_basic = value.as_bytes().get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"basic "));
            is_basic || value.as_bytes().windows(4).any(|part| part == b"cxk_")
        })
    };
    if headers.contains_key(header::ORIGIN) && has_key() {
        return Some(Problem::new(
            Code::KeyExposed,
            "The request comes from a browser (it has an Origin header) and has a key.",
        ));
    }
    let is_of_api = request.uri().path().starts_with("/api/");
    if is_of_api && headers.contains_key(header::AUTHORIZATION) && has_session(headers) {
        return Some(Problem::new(
            Code::KeyExposed,
            "The request has a key and the cookie of a signed-in person: keys do not belong in a browser.",
        ));
    }
    None
}

fn has_session(headers: &HeaderMap) -> bool {
    headers.get_all(header::COOKIE).iter().any(|value| {
        let name = SESSION_COOKIE.as_bytes();
        value.as_bytes().windows(name.len()).any(|part| part == name)
    })
}
