//! integration-preview, integration-event and status.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::contract::request::EventRequest;
use crate::http::body::JsonBody;
use crate::http::error::{Code, Problem};
use crate::http::frame::CallId;
use crate::http::limits::{client_of, write_headers};
use crate::http::{Api, Peer, SharedApi, json};
use crate::service::keys::{Authenticated, StatusEvaluate};
use crate::service::{self, Submission};

/// Dry run without a key. Only the address of the peer is counted.
pub async fn preview(
    State(api): State<SharedApi>,
    Extension(call): Extension<CallId>,
    peer: Peer,
    request: axum::extract::Request,
) -> Response {
    let standing = api.preview_limit.count(peer.0.map_or(0, client_of), &api.service).await;
    let answer = match standing.map_or(Ok(()), |standing| standing.admit(Code::RateLimited)) {
        Ok(()) => preview_of(&api, &call, request).await,
        Err(problem) => Err(problem),
    };
    let mut reply = answer.unwrap_or_else(IntoResponse::into_response);
    if let Some(standing) = standing {
        write_headers(&[standing], reply.headers_mut());
    }
    reply
}

async fn preview_of(api: &SharedApi, call: &CallId, request: axum::extract::Request) -> Result<Response, Problem> {
    use axum::extract::FromRequest as _;
    let body = JsonBody::from_request(request, api).await?;
    let submission = submission(body, call, api)?;
    Ok(json(&service::preview(&api.service.engine, api.clock(), submission)?))
}

/// Evaluation alone, with what is registered.
///
/// # Errors
/// As the contract says.
pub async fn status(
    State(api): State<SharedApi>,
    Extension(call): Extension<CallId>,
    caller: Authenticated<StatusEvaluate>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let submission = submission(body, &call, &api)?;
    Ok(json(&api.service.status(submission, &caller).await?))
}

/// Takes an event in.
///
/// # Errors
/// As the contract says.
pub async fn event(
    State(api): State<SharedApi>,
    Extension(call): Extension<CallId>,
    caller: Authenticated<StatusEvaluate>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let fingerprint = body.fingerprint();
    let submission = submission(body, &call, &api)?;
    Ok(json(&api.service.event(submission, fingerprint, &caller).await?))
}

fn submission(body: JsonBody, call: &CallId, api: &Api) -> Result<Submission, Problem> {
    let (request, warnings) = body.into_typed::<EventRequest>(api)?;
    Ok(Submission { request, warnings, request_id: call.as_str().to_owned() })
}
