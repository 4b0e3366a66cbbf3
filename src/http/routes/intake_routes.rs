//! The intake routes of a tenant.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::events::{parameter, refuse_unknown};
use crate::clock::Timestamp;
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::error::{Code, Problem};
use crate::http::{SharedApi, json};
use crate::service::Fault;
use crate::service::keys::{Authenticated, RoutesRead, RoutesWrite};
use crate::service::routes::RouteStep;
use crate::service::routes::forms::{
    RouteChangeRequest, RouteConfirmation, RouteLearning, RouteRequest, RouteRotation,
};
use crate::service::routes::held::RedecisionRequest;
use crate::service::routes::reconciliation::day;

/// All of them.
///
/// # Errors
/// As the contract says.
pub async fn all(State(api): State<SharedApi>, caller: Authenticated<RoutesRead>) -> Result<Response, Problem> {
    Ok(json(&api.service.routes(&caller).await?))
}

/// Makes one.
///
/// # Errors
/// As the contract says.
pub async fn make(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RouteRequest>(&api)?;
    Ok((StatusCode::CREATED, json(&api.service.make_route(&request, &caller).await?)).into_response())
}

/// One of them.
///
/// # Errors
/// As the contract says.
pub async fn one(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.route(&id, &caller).await?))
}

/// Changes one.
///
/// # Errors
/// As the contract says.
pub async fn change(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RouteChangeRequest>(&api)?;
    Ok(json(&api.service.change_route(&id, &request, &caller).await?))
}

/// Takes a step in the life of one.
///
/// # Errors
/// As the contract says.
pub async fn step(
    step: RouteStep,
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.step_route(&id, step, &caller).await?))
}

/// Gives one a new address.
///
/// # Errors
/// As the contract says.
pub async fn rotate(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RouteRotation>(&api)?;
    Ok(json(&api.service.rotate_route(&id, &request, &caller).await?))
}

/// Has one learn marks.
///
/// # Errors
/// As the contract says.
pub async fn learn(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RouteLearning>(&api)?;
    Ok(json(&api.service.learn_route(&id, &request, &caller).await?))
}

/// The marks of its held copies.
///
/// # Errors
/// As the contract says.
pub async fn marks(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.route_marks(&id, &caller).await?))
}

/// Confirms a set of them.
///
/// # Errors
/// As the contract says.
pub async fn confirm(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RouteConfirmation>(&api)?;
    Ok(json(&api.service.confirm_marks(&id, request, &caller).await?))
}

/// Its copies by day.
///
/// # Errors
/// As the contract says.
pub async fn reconciliation(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesRead>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["since"])?;
    let since = match parameter(&query, "since") {
        Some(text) => day(text),
        None => lately(api.clock().now()),
    };
    let since = since.ok_or_else(|| {
        let fault = Fault::at("?since", "must be a day such as 2026-11-01");
        Problem::new(Code::InvalidParameter, "`since` must be a day (UTC) such as 2026-11-01.").with_errors(vec![fault])
    })?;
    Ok(json(&api.service.reconciliation(&id, since, &caller).await?))
}

/// The day 30 days ago.
fn lately(now: Timestamp) -> Option<Timestamp> {
    const DAYS: i64 = 30 * 24 * 3_600 * 1_000_000;
    let then = Timestamp::from_micros(now.as_micros().saturating_sub(DAYS)).to_string();
    day(then.get(..10)?)
}

/// Its held copies.
///
/// # Errors
/// As the contract says.
pub async fn held(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.held_copies(&id, &caller).await?))
}

/// Has held copies decided on again.
///
/// # Errors
/// As the contract says.
pub async fn redecide(
    State(api): State<SharedApi>,
    caller: Authenticated<RoutesWrite>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<RedecisionRequest>(&api)?;
    Ok(json(&api.service.redecide(&id, &request, &caller).await?))
}
