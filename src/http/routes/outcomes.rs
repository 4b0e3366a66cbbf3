//! integration-outcome.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::contract::request::OutcomeRequest;
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::{SharedApi, idempotency};
use crate::service::keys::{Authenticated, StatusEvaluate};

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
    let call = idempotency::call(&headers, &uri, &body)?;
    let (request, warnings) = body.into_typed::<OutcomeRequest>(&api)?;
    Ok(idempotency::reply(api.service.report_outcome(request, warnings, call, &caller).await?))
}
