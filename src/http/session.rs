//! The sessions of people at the API: who is signed in, whether a call comes from a page of ours, and what a user's token is.
//!
//! # Security
//! A key is never taken for a session, whatever its scopes, and a session never where a key belongs or is shown. What changes something needs a
//! browser's word that it comes from here ([`crate::browser::origin`]) and the token that only this session's pages have.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::require_key;
use super::error::{Code, Problem};
use super::limits::{Standing, client_of, write_headers};
use super::{Peer, SharedApi};
use crate::browser::cookie;
use crate::service::Fault;
use crate::service::accounts::{AccountError, RequiredRole, Secret, SignedIn, Viewer};
use crate::service::drafts::decisions::Undecided;
use crate::service::issuers::TokenRefusal;

/// The header with the session's own token.
const CSRF: &str = "x-csrf-token";

/// A session that was found to count.
#[derive(Debug, Clone)]
struct Found {
    who: Arc<SignedIn<Viewer>>,
    token: Secret,
}

/// A signed-in person with at least the role `R`.
#[derive(Debug)]
pub struct Session<R> {
    /// The person.
    pub who: SignedIn<R>,
    /// What their browser holds.
    pub token: Secret,
}

/// The token that a caller shows in place of a session: of a user of some issuer, not checked yet.
#[derive(Debug, Clone)]
pub struct UserToken(pub Arc<str>);

/// Lets a call of a signed-in person through, and tells its limits in every reply.
pub async fn require_session(State(api): State<SharedApi>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Problem::new(Code::PeopleOnly, Code::PeopleOnly.about().help).into_response();
    }
    by_session(&api, request, next).await
}

/// Of a signed-in person, or of a key: of the key alone where one is shown.
pub async fn require_key_or_session(State(api): State<SharedApi>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return require_key(State(api), request, next).await;
    }
    by_session(&api, request, next).await
}

/// As [`require_session`], or of whoever shows a token that is no key.
pub async fn require_person(State(api): State<SharedApi>, mut request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return by_session(&api, request, next).await;
    };
    let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().starts_with("cxk_") => {
            UserToken(token.trim().into())
        }
        _ => return Problem::new(Code::PeopleOnly, Code::PeopleOnly.about().help).into_response(),
    };
    let peer = Peer::of(&request).0.map_or(0, client_of);
    let standing = api.decision_limit.count(peer, &api.service).await;
    request.extensions_mut().insert(token);
    within(&api, standing, request, next).await
}

async fn by_session(api: &SharedApi, mut request: Request, next: Next) -> Response {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let found = match tokio::time::timeout(api.settings.call_timeout, find(api, &method, &headers)).await {
        Ok(Ok(found)) => found,
        Ok(Err(problem)) => return problem.into_response(),
        Err(_) => return late(),
    };
    let standing = api.session_limit.count(found.who.sign_in(), &api.service).await;
    request.extensions_mut().insert(found);
    within(api, standing, request, next).await
}

async fn within(api: &SharedApi, standing: Option<Standing>, request: Request, next: Next) -> Response {
    let mut reply = match standing.map_or(Ok(()), |standing| standing.admit(Code::RateLimited)) {
        Err(problem) => problem.into_response(),
        Ok(()) => tokio::time::timeout(api.settings.call_timeout, next.run(request)).await.unwrap_or_else(|_| late()),
    };
    if let Some(standing) = standing {
        write_headers(&[standing], reply.headers_mut());
    }
    reply
}

fn late() -> Response {
    let detail = "The call took too long and was given up; look before you repeat it.";
    Problem::new(Code::TemporarilyUnavailable, detail).retry_after(5).into_response()
}

async fn find(api: &SharedApi, method: &Method, headers: &HeaderMap) -> Result<Found, Problem> {
    let token = cookie::session(headers).ok_or(AccountError::NotSignedIn)?;
    let who = api.service.signed_in(&token).await?;
    if !matches!(*method, Method::GET | Method::HEAD) {
        let given = headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !token.is_form_token(given) {
            return Err(elsewhere());
        }
        from_here(api, headers)?;
    }
    Ok(Found { who: Arc::new(who), token })
}

/// Refuses what does not come from a page of ours.
pub(super) fn from_here(api: &SharedApi, headers: &HeaderMap) -> Result<(), Problem> {
    if api.own.sent(headers) { Ok(()) } else { Err(elsewhere()) }
}

fn elsewhere() -> Problem {
    Problem::new(Code::ForbiddenOrigin, Code::ForbiddenOrigin.about().help)
}

impl<R: RequiredRole> FromRequestParts<SharedApi> for Session<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApi) -> Result<Self, Problem> {
        // Missing only where the table calls an endpoint open and its handler does not: then nobody may.
        let found = parts.extensions.get::<Found>().ok_or(AccountError::NotSignedIn)?;
        Ok(Self { who: found.who.require::<R>()?, token: found.token.clone() })
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let said = |code: Code| Self::new(code, code.about().help);
        match error {
            AccountError::NotSignedIn => said(Code::NotSignedIn),
            AccountError::Role(role) => Self::new(Code::ForbiddenRole, format!("This needs the role `{role}`.")),
            AccountError::StepUp => said(Code::StepUpRequired),
            AccountError::WrongCredentials | AccountError::Unconfirmed | AccountError::NotKnown => {
                said(Code::WrongCredentials)
            }
            AccountError::Throttled { retry_after } => {
                Self::new(Code::RateLimited, "Too many wrong passwords.").retry_after(retry_after.as_secs().max(1))
            }
            AccountError::Busy => {
                Self::new(Code::TemporarilyUnavailable, "Too many sign in at this moment.").retry_after(5)
            }
            AccountError::Invalid { field, message } => Self::invalid(vec![Fault::at(format!("/{field}"), message)]),
            AccountError::LinkGone => Self::new(Code::NotFound, "The link cannot be used any more."),
            AccountError::NotFound(what) => Self::new(Code::NotFound, format!("There is no such {what}.")),
            AccountError::Conflict(why) => Self::new(Code::StateConflict, format!("Not now: {why}.")),
            AccountError::Unavailable(source) => {
                tracing::warn!(error.kind = "store", temporary = true, "HTTP call could not be served: {source}");
                Self::new(Code::TemporarilyUnavailable, "The database does not answer now.").retry_after(5)
            }
            AccountError::Internal(source) => {
                tracing::error!(error.kind = "internal", temporary = false, "HTTP call failed: {source}");
                Self::new(Code::InternalError, "The fault is on this side and was logged.")
            }
        }
    }
}

impl From<Undecided> for Problem {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::StepUp => AccountError::StepUp.into(),
            Undecided::Service(error) | Undecided::Token(TokenRefusal::Service(error)) => error.into(),
            Undecided::Token(TokenRefusal::Invalid(why)) => Self::new(Code::InvalidToken, format!("Refused: {why}.")),
            Undecided::Token(TokenRefusal::Role) => {
                Self::new(Code::ForbiddenRole, "Users of this issuer, or this user, may not decide.")
            }
            Undecided::Token(TokenRefusal::Silent) => {
                Self::new(Code::TemporarilyUnavailable, "The issuer does not answer now.").retry_after(10)
            }
        }
    }
}
