//! The key check in front of every endpoint that needs one, and how handlers get its proof.
//!
//! # Security
//! The check itself is [`Service::authenticate`](crate::service::Service::authenticate); here it is only asked, counted
//! against the key's and tenant's limits, and bounded in time. A handler that forgets to ask for `Authenticated<Scope>`
//! has no tenant to work for.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{Code, Problem};
use super::limits::{Standing, write_headers};
use super::{Peer, SharedApi, endpoints};
use crate::service::Refusal;
use crate::service::keys::{Authenticated, Principal, RequiredScope};

/// Lets a call through whose key is valid, and tells its limits in every reply.
pub async fn require_key(State(api): State<SharedApi>, request: Request, next: Next) -> Response {
    require(&api, Schemes::Bearer, request, next).await
}

/// As [`require_key`], for callers that can only be told a user name and a password: the password is the key, and the user
/// name is not looked at.
pub async fn require_key_or_password(State(api): State<SharedApi>, request: Request, next: Next) -> Response {
    let mut reply = require(&api, Schemes::BearerOrBasic, request, next).await;
    if reply.status() == StatusCode::UNAUTHORIZED {
        // RFC 7617 §2; SNS sends credentials only where it was asked for them, by a challenge with a realm.
        let challenge = HeaderValue::from_static("Basic realm=\"connex\", charset=\"UTF-8\"");
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    reply
}

/// How a key may be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schemes {
    Bearer,
    BearerOrBasic,
}

async fn require(api: &SharedApi, schemes: Schemes, mut request: Request, next: Next) -> Response {
    let value = request.headers().get(header::AUTHORIZATION).cloned();
    let principal = match authenticate(api, schemes, value, Peer::of(&request)).await {
        Ok(principal) => principal,
        Err(problem) => return problem.into_response(),
    };
    let by_key = api.key_limit.count(principal.key_id(), &api.service).await;
    let by_tenant = api.tenant_limit.count(principal.tenant(), &api.service).await;
    let standings: Vec<Standing> = [by_key, by_tenant].into_iter().flatten().collect();
    let over = standings.iter().find_map(|standing| {
        let code = if standing.is_named("daily") { Code::QuotaExceeded } else { Code::RateLimited };
        standing.admit(code).err()
    });
    let mut reply = match over {
        Some(problem) => problem.into_response(),
        None => {
            let is_stream = request.uri().path() == stream_path();
            request.extensions_mut().insert(principal);
            let answer = next.run(request);
            if is_stream {
                answer.await
            } else {
                tokio::time::timeout(api.settings.call_timeout, answer).await.unwrap_or_else(|_| {
                    let detail = "The call took too long and was given up; repeat it with the same ids.";
                    Problem::new(Code::TemporarilyUnavailable, detail).retry_after(5).into_response()
                })
            }
        }
    };
    write_headers(&standings, reply.headers_mut());
    reply
}

fn stream_path() -> &'static str {
    endpoints::endpoint(endpoints::Action::EventStream).map_or("", |endpoint| endpoint.path)
}

async fn authenticate(
    api: &SharedApi,
    schemes: Schemes,
    value: Option<HeaderValue>,
    peer: Peer,
) -> Result<Arc<Principal>, Problem> {
    let value = value.ok_or(Refusal::MissingKey)?;
    let text = value.to_str().map_err(|_| Refusal::InvalidKey("The Authorization header is not text."))?;
    // RFC 6750 §2.1; the scheme's name has no letter case (RFC 9110 §11.1).
    let presented = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Cow::Borrowed(token.trim()),
        Some((scheme, token)) if schemes == Schemes::BearerOrBasic && scheme.eq_ignore_ascii_case("basic") => {
            let password = password(token.trim());
            Cow::Owned(password.ok_or(Refusal::InvalidKey("The credentials are not those of Basic authentication."))?)
        }
        _ if schemes == Schemes::BearerOrBasic => {
            let words = "The Authorization header must be `Bearer` and the key, or `Basic` with it as the password.";
            return Err(Refusal::InvalidKey(words).into());
        }
        _ => return Err(Refusal::InvalidKey("The Authorization header must be `Bearer` and the key.").into()),
    };
    let check = api.service.authenticate(&presented, peer.0);
    match tokio::time::timeout(api.settings.call_timeout, check).await {
        Ok(checked) => checked.map_err(Problem::from),
        Err(_) => {
            Err(Problem::new(Code::TemporarilyUnavailable, "The key could not be checked in time.").retry_after(5))
        }
    }
}

/// RFC 7617 §2: the user name ends at the first colon.
fn password(token: &str) -> Option<String> {
    let credentials = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

impl<S: RequiredScope> FromRequestParts<SharedApi> for Authenticated<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApi) -> Result<Self, Problem> {
        // Missing only where the table calls an endpoint open and its handler does not: then nobody may.
        let principal = parts.extensions.get::<Arc<Principal>>().ok_or(Refusal::MissingKey)?;
        principal.require::<S>().map_err(Problem::from)
    }
}
