//! The `Idempotency-Key` header, and how a reply says that it was given before.
//!
//! Standards: draft-ietf-httpapi-idempotency-key-header, RFC 8941 §3.3.3 (strings).

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::body::JsonBody;
use super::error::{Code, Problem};
use crate::service::Fault;
use crate::service::once::{Answered, CallKey};

/// The `Idempotency-Key`: an RFC 8941 string, or the bare text that many clients send.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or_default(),
        None => text,
    };
    let is_usable =
        !bare.is_empty() && bare.len() <= 255 && bare.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"');
    if is_usable {
        return Ok(Some(bare.to_owned()));
    }
    let fault = Fault::at("Idempotency-Key", "must be 1 to 255 printable ASCII characters, quoted or bare");
    Err(Problem::new(Code::InvalidParameter, "The Idempotency-Key header is not valid.").with_errors(vec![fault]))
}

/// What a POST with this body stands for under its key.
pub(super) fn call(headers: &HeaderMap, uri: &Uri, body: &JsonBody) -> Result<Option<CallKey>, Problem> {
    Ok(key(headers)?.map(|key| CallKey { key, fingerprint: body.fingerprint_for("POST", uri.path()) }))
}

/// The same where there must be one.
pub(super) fn needed(headers: &HeaderMap, uri: &Uri, body: &JsonBody) -> Result<CallKey, Problem> {
    let fault = || {
        Fault::at("Idempotency-Key", "must be given: a text of your own choice, the same when the call is made again")
    };
    let missing =
        || Problem::new(Code::InvalidParameter, "The Idempotency-Key header is missing.").with_errors(vec![fault()]);
    call(headers, uri, body)?.ok_or_else(missing)
}

/// The reply to a call that may have been made before.
pub(super) fn reply<T: Serialize>(answered: Answered<T>) -> Response {
    match answered {
        Answered::Now(answer) => super::json(&*answer),
        Answered::Before(body) => {
            let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            replayed((json, body).into_response())
        }
    }
}

/// Says that a reply is that of an earlier call.
pub(super) fn replayed(mut reply: Response) -> Response {
    reply.headers_mut().insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_str(value).unwrap());
        key(&headers)
    }

    #[test]
    fn a_key_is_read_quoted_and_bare() {
        assert_eq!(read("\"a b\"").unwrap().as_deref(), Some("a b"));
        assert_eq!(read("a-b").unwrap().as_deref(), Some("a-b"));
        for wrong in ["", "\"\"", "\"a", "a\"b", &"x".repeat(256)] {
            assert_eq!(read(wrong).unwrap_err().code(), Code::InvalidParameter, "{wrong}");
        }
    }
}
