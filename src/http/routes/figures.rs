//! integration-insights and trust.

use axum::extract::State;
use axum::response::Response;

use crate::http::body::OptionalJsonBody;
use crate::http::error::Problem;
use crate::http::{SharedApi, json};
use crate::service::insights::InsightsRequest;
use crate::service::keys::{Authenticated, StatusEvaluate};
use crate::service::trust::TrustRequest;

/// Summary figures.
///
/// # Errors
/// As the contract says.
pub async fn insights(
    State(api): State<SharedApi>,
    caller: Authenticated<StatusEvaluate>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let (request, warnings) = body.into_typed::<InsightsRequest>(&api)?;
    Ok(json(&api.service.insights(request, warnings, &caller).await?))
}

/// Policy gates and trust band.
///
/// # Errors
/// As the contract says.
pub async fn trust(
    State(api): State<SharedApi>,
    caller: Authenticated<StatusEvaluate>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let (request, warnings) = body.into_typed::<TrustRequest>(&api)?;
    Ok(json(&api.service.trust(request, api.settings.limit_entries(), warnings, &caller).await?))
}
