//! integration-outcome.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::contract::request::OutcomeRequest;
use crate::http::body::JsonBody;
use crate::http::error::{Code, Problem};
use crate::http::{SharedApi, json};
use crate::service::Fault;
use crate::service::keys::{Authenticated, StatusEvaluate};
use crate::service::outcomes::{CallKey, OutcomeReply};

/// Records what became of an event.
///
/// # Errors
/// As the contract says.
pub async fn outcome(
    State(api): State<SharedApi>,
    caller: Authenticated<StatusEvaluate>,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let call =
        idempotency_key(&headers)?.map(|key| CallKey { key, fingerprint: body.fingerprint_for("POST", uri.path()) });
    let (request, warnings) = body.into_typed::<OutcomeRequest>(&api)?;
    match api.service.report_outcome(request, warnings, call, &caller).await? {
        OutcomeReply::Recorded(answer) => Ok(json(&*answer)),
        OutcomeReply::Replayed(body) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true")),
            ];
            Ok((headers, body).into_response())
        }
    }
}

/// The `Idempotency-Key`: an RFC 8941 string, or the bare text that many clients send.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_str(value).unwrap());
        idempotency_key(&headers)
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
