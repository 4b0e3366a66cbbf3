//! What the gateway says of itself, signed; and the policy that it obeys.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::events::{number, parameter, refuse_unknown};
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::session::Session;
use crate::http::{SharedApi, json};
use crate::service::accounts::Admin;
use crate::service::audit::AuditReader;
use crate::service::erasures::ErasureRequest;
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

/// A page of the audit log.
///
/// # Errors
/// As the contract says.
pub async fn log(
    State(api): State<SharedApi>,
    headers: HeaderMap,
    caller: Result<Authenticated<AuditRead>, Problem>,
    session: Result<Session<Admin>, Problem>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let reader = match headers.contains_key(header::AUTHORIZATION) {
        true => AuditReader::from(&caller?),
        false => AuditReader::from(&session?.who),
    };
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["after", "limit", "subject"])?;
    let after = number(parameter(&query, "after"), "after", 0, i64::MAX)?.unwrap_or(0).cast_unsigned();
    let limit = number(parameter(&query, "limit"), "limit", 1, 200)?.unwrap_or(50);
    let place = (after, u32::try_from(limit).unwrap_or(50));
    let subject = parameter(&query, "subject").map(|subject| percent_decode_str(subject).decode_utf8_lossy());
    Ok(json(&api.service.audit_log(place, subject.as_deref(), &reader).await?))
}

/// Erases what is held of a person.
///
/// # Errors
/// As the contract says.
pub async fn erase(State(api): State<SharedApi>, session: Session<Admin>, body: JsonBody) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    let request = body.into_strict::<ErasureRequest>(&api)?;
    Ok(json(&api.service.erase(&request, &session.who).await?))
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
