//! integration-outcome.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::contract::request::OutcomeRequest;
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::{SharedApi, idempotency, json};
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
        idempotency::key(&headers)?.map(|key| CallKey { key, fingerprint: body.fingerprint_for("POST", uri.path()) });
    let (request, warnings) = body.into_typed::<OutcomeRequest>(&api)?;
    match api.service.report_outcome(request, warnings, call, &caller).await? {
        OutcomeReply::Recorded(answer) => Ok(json(&*answer)),
        OutcomeReply::Replayed(body) => {
            let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            Ok(idempotency::replayed((json, body).into_response()))
        }
    }
}
