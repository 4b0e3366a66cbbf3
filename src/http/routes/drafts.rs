//! Drafts, and what people are asked about them.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::events::{parameter, refuse_unknown};
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::error::Problem;
use crate::http::{SharedApi, idempotency, json};
use crate::service::drafts::release::{ReleaseAnswer, ReleaseRequest};
use crate::service::drafts::report::ReportRequest;
use crate::service::drafts::{DraftEdit, DraftRequest, ReplyRequest};
use crate::service::keys::{ApprovalsRead, ApprovalsReport, Authenticated, DraftsRead, DraftsWrite};
use crate::service::once::Answered;

/// All of them, page by page.
///
/// # Errors
/// As the contract says.
pub async fn all(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsRead>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["state", "before"])?;
    Ok(json(&api.service.drafts(parameter(&query, "state"), parameter(&query, "before"), &caller).await?))
}

/// Makes one.
///
/// # Errors
/// As the contract says.
pub async fn create(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let call = idempotency::call(&headers, &uri, &body)?;
    let request = body.into_strict::<DraftRequest>(&api)?;
    Ok(idempotency::reply(api.service.create_draft(request, call, &caller).await?))
}

/// Makes one that answers in a conversation.
///
/// # Errors
/// As the contract says.
pub async fn reply(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    Path(thread): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let call = idempotency::call(&headers, &uri, &body)?;
    let request = body.into_strict::<ReplyRequest>(&api)?;
    Ok(idempotency::reply(api.service.reply_draft(&thread, request, call, &caller).await?))
}

/// One of them.
///
/// # Errors
/// As the contract says.
pub async fn one(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.draft(&id, &caller).await?))
}

/// Makes a new version of one.
///
/// # Errors
/// As the contract says.
pub async fn edit(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.into_strict::<DraftEdit>(&api)?;
    Ok(json(&api.service.edit_draft(&id, request, &caller).await?))
}

/// Gives one up.
///
/// # Errors
/// As the contract says.
pub async fn cancel(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.cancel_draft(&id, &caller).await?))
}

/// Takes one back.
///
/// # Errors
/// As the contract says.
pub async fn withdraw(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.withdraw_draft(&id, &caller).await?))
}

/// What the gate would say to one.
///
/// # Errors
/// As the contract says.
pub async fn check(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.check_draft(&id, &caller).await?))
}

/// Asks for the release of one.
///
/// # Errors
/// As the contract says.
pub async fn release(
    State(api): State<SharedApi>,
    caller: Authenticated<DraftsWrite>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, Problem> {
    let call = idempotency::needed(&headers, &uri, &body)?;
    let request = body.into_strict::<ReleaseRequest>(&api)?;
    let answered = api.service.request_release(&id, request, call, &caller).await?;
    let is_held = match &answered {
        Answered::Now(answer) => answer.verdict.verdict == "hold",
        Answered::Before(body) => {
            serde_json::from_str::<ReleaseAnswer>(body).is_ok_and(|answer| answer.verdict.verdict == "hold")
        }
    };
    let mut reply = idempotency::reply(answered);
    if is_held {
        // RFC 9110 §15.3.3: whether it will be done is for people to say.
        *reply.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(reply)
}

/// Reports what the source app made of one.
///
/// # Errors
/// As the contract says.
pub async fn report(
    State(api): State<SharedApi>,
    caller: Authenticated<ApprovalsReport>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let call = idempotency::call(&headers, &uri, &body)?;
    let request = body.into_strict::<ReportRequest>(&api)?;
    Ok(idempotency::reply(api.service.report_draft(&id, request, call, &caller).await?))
}

/// What people are asked, page by page.
///
/// # Errors
/// As the contract says.
pub async fn approvals(
    State(api): State<SharedApi>,
    caller: Authenticated<ApprovalsRead>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    refuse_unknown(&query, &["state", "after"])?;
    Ok(json(&api.service.approvals(parameter(&query, "state"), parameter(&query, "after"), &caller).await?))
}

/// One question.
///
/// # Errors
/// As the contract says.
pub async fn approval(
    State(api): State<SharedApi>,
    caller: Authenticated<ApprovalsRead>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&api.service.approval(&id, &caller).await?))
}
