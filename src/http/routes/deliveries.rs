//! What providers hand over by webhook, and what they are answered: whether they try again depends on the status.
//!
//! | status | when |
//! |---|---|
//! | 200 | stored for at least one recipient, now or before; or a notice that holds no mail |
//! | 401 | no key, or one that is not valid |
//! | 503 | our trouble, and whatever the operator can mend here or at the provider: the provider tries again |
//! | 403 (Postmark), 406 (Mailgun), 422 (SendGrid, SES) | can never be taken: the provider is to give up |
//!
//! Postmark tries again unless it reads 200 or 403, Mailgun unless 200 or 406; SendGrid after 5xx, SNS after 5xx and 429.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;

use super::intake::count;
use crate::http::error::{Code, Problem};
use crate::http::{Peer, SharedApi, idempotency, json};
use crate::mail::envelope::Provider;
use crate::service::intake::deliveries::DeliveryError;
use crate::service::keys::{Authenticated, MailIngest};

/// Takes what `provider` hands over.
///
/// # Errors
/// As the table above says.
pub async fn delivery(
    provider: Provider,
    State(api): State<SharedApi>,
    caller: Authenticated<MailIngest>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let taken = take(provider, &api, &caller, peer, &headers, body).await;
    count(provider.as_str(), &taken);
    taken
}

async fn take(
    provider: Provider,
    api: &SharedApi,
    caller: &Authenticated<MailIngest>,
    peer: Peer,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut delivery = api.service.begin_delivery(provider).map_err(|error| problem(provider, error.into()))?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| later(Code::RequestTimeout, "The body broke off; nothing was stored."))?;
        delivery.push(chunk).map_err(|error| problem(provider, error))?;
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let taken = Box::pin(delivery.accept(content_type, peer.0, caller)).await;
    let reply = taken.map_err(|error| problem(provider, error))?;
    let json = json(&reply.answer);
    Ok(if reply.is_replayed { idempotency::replayed(json) } else { json })
}

/// Nothing that was refused on the way to the handler (scope, network, rate) may end what the provider keeps: the operator
/// can mend it.
pub async fn put_off(mut reply: Response) -> Response {
    if let Some(problem) = reply.extensions_mut().remove::<Problem>() {
        let problem = match problem.code() {
            Code::ForbiddenScope | Code::ForbiddenNetwork | Code::RateLimited | Code::QuotaExceeded => held(problem),
            _ => problem,
        };
        *reply.status_mut() = problem.status();
        reply.extensions_mut().insert(problem);
    }
    reply
}

fn problem(provider: Provider, error: DeliveryError) -> Problem {
    match error {
        DeliveryError::NotRaw(what) => later(Code::InvalidRequest, format!("Nothing was stored: {what}.")),
        DeliveryError::Signature => later(
            Code::InvalidRequest,
            "The signature is by none of the keys in providers.mailgun_signing_keys, or is missing.",
        ),
        DeliveryError::Topic => {
            later(Code::InvalidRequest, "The topic is not in providers.ses_topics of the configuration.")
        }
        DeliveryError::Malformed(what) => never(provider, Problem::new(Code::InvalidRequest, capital(what))),
        DeliveryError::TooLarge { limit } => {
            let detail = format!("The message is over the limit of {limit} octets.");
            never(provider, Problem::new(Code::PayloadTooLarge, detail))
        }
        DeliveryError::Refused(faults) => {
            let problem = Problem::new(Code::InvalidRequest, "No recipient takes the message; `errors` says why.");
            never(provider, problem.with_errors(faults))
        }
        DeliveryError::Reused => {
            let detail = "The id of this delivery came before, with another message.";
            never(provider, Problem::new(Code::IdempotencyConflict, detail))
        }
        DeliveryError::Service(error) => {
            let problem = Problem::from(error);
            if problem.status().is_server_error() { problem } else { held(problem) }
        }
    }
}

/// The status after which a provider gives up.
#[must_use]
pub const fn final_status(provider: Provider) -> StatusCode {
    match provider {
        Provider::Postmark => StatusCode::FORBIDDEN,
        Provider::Mailgun => StatusCode::NOT_ACCEPTABLE,
        Provider::Sendgrid | Provider::Ses => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn never(provider: Provider, problem: Problem) -> Problem {
    problem.with_status(final_status(provider))
}

fn later(code: Code, detail: impl Into<String>) -> Problem {
    held(Problem::new(code, detail))
}

fn held(problem: Problem) -> Problem {
    let seconds = problem.retries_after().unwrap_or(RETRY_AFTER);
    problem.with_status(StatusCode::SERVICE_UNAVAILABLE).retry_after(seconds)
}

fn capital(what: &str) -> String {
    let mut letters = what.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// Seconds: an operator does not mend it sooner.
const RETRY_AFTER: u64 = 60;
