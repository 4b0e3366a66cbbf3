//! The domains of a tenant.

use axum::extract::{Path, State};
use axum::response::Response;

use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::session::Session;
use crate::http::{SharedApi, json};
use crate::service::accounts::Admin;
use crate::service::domains::DomainRequest;
use crate::service::domains::relay::RelayRequest;
use crate::service::keys::{Authenticated, DomainsRead, DomainsWrite};

/// All of them.
///
/// # Errors
/// As the contract says.
pub async fn all(State(api): State<SharedApi>, caller: Authenticated<DomainsRead>) -> Result<Response, Problem> {
    Ok(json(&api.service.domains(&caller).await?))
}

/// Claims one.
///
/// # Errors
/// As the contract says.
pub async fn claim(
    State(api): State<SharedApi>,
    caller: Authenticated<DomainsWrite>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<DomainRequest>(&api)?;
    Ok(json(&api.service.claim_domain(&request, &caller).await?))
}

/// One of them.
///
/// # Errors
/// As the contract says.
pub async fn one(
    State(api): State<SharedApi>,
    caller: Authenticated<DomainsRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.domain(&id, &caller).await?))
}

/// Gives one up.
///
/// # Errors
/// As the contract says.
pub async fn remove(
    State(api): State<SharedApi>,
    caller: Authenticated<DomainsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.remove_domain(&id, &caller).await?))
}

/// Looks for its records, and the look counts.
///
/// # Errors
/// As the contract says.
pub async fn check(
    State(api): State<SharedApi>,
    caller: Authenticated<DomainsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.check_domain(&id, &caller).await?))
}

/// Looks for its records.
///
/// # Errors
/// As the contract says.
pub async fn records(
    State(api): State<SharedApi>,
    caller: Authenticated<DomainsRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.domain_records(&id, &caller).await?))
}

/// Which way its mail goes.
///
/// # Errors
/// As the contract says.
pub async fn relay(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.domain_relay(&id, &session.who).await?))
}

/// Sets its relay.
///
/// # Errors
/// As the contract says.
pub async fn set_relay(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    let request = body.into_strict::<RelayRequest>(&api)?;
    Ok(json(&api.service.set_domain_relay(&id, request, &session.who).await?))
}

/// Removes its relay.
///
/// # Errors
/// As the contract says.
pub async fn remove_relay(
    State(api): State<SharedApi>,
    session: Session<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    session.who.require_step_up(api.service.clock().now())?;
    Ok(json(&api.service.remove_domain_relay(&id, &session.who).await?))
}
