//! What stands in the way of mail that leaves, and what people found out about mail that may have left.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::json as value;

use super::events::{parameter, refuse_unknown};
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::session::Session;
use crate::http::{SharedApi, json};
use crate::service::accounts::{Admin, Approver as MayApprove};
use crate::service::drafts::approvals::Approver;
use crate::service::drafts::settle::SettleRequest;
use crate::service::sending::{PauseRequest, SuppressionRequest};

/// What is paused.
///
/// # Errors
/// As the contract says.
pub async fn pauses(State(api): State<SharedApi>, session: Session<Admin>) -> Result<Response, Problem> {
    Ok(json(&api.service.pauses(&session.who).await?))
}

/// Pauses.
///
/// # Errors
/// As the contract says.
pub async fn pause(State(api): State<SharedApi>, session: Session<Admin>, body: JsonBody) -> Result<Response, Problem> {
    let request = body.into_strict::<PauseRequest>(&api)?;
    let mut reply = json(&api.service.pause(request, &session.who).await?);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

/// Ends a pause.
///
/// # Errors
/// As the contract says.
pub async fn resume(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    Ok(json(&api.service.resume(&id, &session.who).await?))
}

/// Addresses that get nothing.
///
/// # Errors
/// As the contract says.
pub async fn suppressions(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["after"])?;
    let after = parameter(&query, "after").map(|after| percent_decode_str(after).decode_utf8_lossy());
    Ok(json(&api.service.suppressions(after.as_deref(), &session.who).await?))
}

/// Sends an address nothing any more.
///
/// # Errors
/// As the contract says.
pub async fn suppress(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<SuppressionRequest>(&api)?;
    let mut reply = json(&api.service.suppress(&request, &session.who).await?);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

/// Lets an address be sent to again.
///
/// # Errors
/// As the contract says.
pub async fn unsuppress(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    api.service.unsuppress(&id, &session.who).await?;
    Ok(json(&value!({})))
}

/// Takes what was found out about a recipient.
///
/// # Errors
/// As the contract says.
pub async fn settle(
    State(api): State<SharedApi>,
    session: Session<MayApprove>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<SettleRequest>(&api)?;
    let approver = Approver::of(&session.who, api.service.clock().now());
    Ok(json(&api.service.settle(&id, &request, &approver).await?))
}
