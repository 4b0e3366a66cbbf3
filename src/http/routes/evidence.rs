//! What the gateway says of itself, signed; and the policy that it obeys.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::session::Session;
use crate::http::{SharedApi, json};
use crate::service::accounts::Admin;
use crate::service::keys::{AuditRead, Authenticated};
use crate::service::policies::{Policy, PolicyTrial};

/// The receipt of a release.
///
/// # Errors
/// As the contract says.
pub async fn receipt(
    State(api): State<SharedApi>,
    caller: Authenticated<AuditRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.receipt(&id, &caller).await?))
}

/// The head of the audit log.
///
/// # Errors
/// As the contract says.
pub async fn head(State(api): State<SharedApi>, caller: Authenticated<AuditRead>) -> Result<Response, Problem> {
    Ok(json(&api.service.audit_head(&caller).await?))
}

/// The policy, and its versions.
///
/// # Errors
/// As the contract says.
pub async fn policy(State(api): State<SharedApi>, session: Session<Admin>) -> Result<Response, Problem> {
    Ok(json(&api.service.policy(&session.who).await?))
}

/// Makes a policy.
///
/// # Errors
/// As the contract says.
pub async fn make_policy(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    body: JsonBody,
) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    let policy = body.into_strict::<Policy>(&api)?;
    let mut reply = json(&api.service.make_policy(policy, &session.who).await?);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

/// What another policy would have said.
///
/// # Errors
/// As the contract says.
pub async fn simulate(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let trial = body.into_strict::<PolicyTrial>(&api)?;
    Ok(json(&api.service.try_policy(trial, &session.who).await?))
}
