//! The one place where something that went wrong becomes an HTTP reply: RFC 9457 `application/problem+json`.
//!
//! Every reply that is not a success has this form, also those that axum, hyper or a panic would word themselves: the
//! frame around the router ([`super::frame`]) puts in `instance` and `requestId` and rewrites what has another form. A
//! problem never carries a key, a message's text, or the words of an inner error.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::drafts::VerdictView;
use crate::service::{Conflict, Fault, Refusal, ServiceError};

/// The public name of a kind of problem: `code` in the body, and the page `/problems/<code with hyphens>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each means")]
pub enum Code {
    MalformedJson,
    InvalidParameter,
    KeyExposed,
    MissingKey,
    InvalidKey,
    ForbiddenScope,
    ForbiddenApp,
    ForbiddenMailbox,
    ForbiddenNetwork,
    NotSignedIn,
    InvalidToken,
    WrongCredentials,
    PeopleOnly,
    ForbiddenRole,
    ForbiddenOrigin,
    StepUpRequired,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    IdempotencyConflict,
    AmbiguousEvent,
    ContentChanged,
    StateConflict,
    PolicyRefused,
    CursorExpired,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    RateLimited,
    QuotaExceeded,
    InternalError,
    TemporarilyUnavailable,
}

/// What is said about a code wherever it appears.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The code.
    pub code: Code,
    /// Its word in JSON.
    pub word: &'static str,
    /// Its usual status; an idempotency conflict also comes as 422.
    pub status: StatusCode,
    /// One line that is the same every time.
    pub title: &'static str,
    /// What it means and what to do about it.
    pub help: &'static str,
}

/// Every code there is.
pub const CODES: [About; 32] = [
    about(
        Code::MalformedJson,
        "malformed_json",
        StatusCode::BAD_REQUEST,
        "The body is not JSON",
        "The body must be one JSON value in UTF-8, nested at most 120 levels deep. `detail` says where reading stopped.",
    ),
    about(
        Code::InvalidParameter,
        "invalid_parameter",
        StatusCode::BAD_REQUEST,
        "A parameter or header is not valid",
        "A query parameter, a path segment or a header has a value that is not allowed there. `errors` names it.",
    ),
    about(
        Code::KeyExposed,
        "key_exposed",
        StatusCode::BAD_REQUEST,
        "An API key was sent where others can read it",
        "Keys belong in the Authorization header of a server, never in a query string or in browser JavaScript (a request \
         with an Origin header). Revoke the key that was exposed and make a new one.",
    ),
    about(
        Code::MissingKey,
        "missing_key",
        StatusCode::UNAUTHORIZED,
        "An API key is needed",
        "Send the key only from your backend, in the Authorization header: `Authorization: Bearer cxk_live_…`.",
    ),
    about(
        Code::InvalidKey,
        "invalid_key",
        StatusCode::UNAUTHORIZED,
        "The API key is not valid",
        "The key has a typo, is not known here, has expired or was revoked. `detail` says as much as may be said.",
    ),
    about(
        Code::ForbiddenScope,
        "forbidden_scope",
        StatusCode::FORBIDDEN,
        "The API key lacks a scope",
        "Create a key with the scope that `detail` names: status:evaluate for event, outcome, insights and trust calls.",
    ),
    about(
        Code::ForbiddenApp,
        "forbidden_app",
        StatusCode::FORBIDDEN,
        "The API key is bound to other apps",
        "The key may only speak for the apps it is bound to. Use another key, or name one of its apps.",
    ),
    about(
        Code::ForbiddenMailbox,
        "forbidden_mailbox",
        StatusCode::FORBIDDEN,
        "The API key is bound to other mailboxes",
        "The key may only speak of the mailboxes it is bound to, and reads nothing that is not told apart by mailbox. Use \
         another key, or name one of its mailboxes.",
    ),
    about(
        Code::ForbiddenNetwork,
        "forbidden_network",
        StatusCode::FORBIDDEN,
        "The API key may not be used from this network",
        "The key names the networks from which it may be used, and the request came from another.",
    ),
    about(
        Code::NotSignedIn,
        "not_signed_in",
        StatusCode::UNAUTHORIZED,
        "Nobody is signed in",
        "The call is for signed-in people. Sign in with `POST /auth/login`, and send the cookie; or, for a decision, the token of a \
         registered issuer's user.",
    ),
    about(
        Code::InvalidToken,
        "invalid_token",
        StatusCode::UNAUTHORIZED,
        "The token is not taken",
        "It must be an ID token of a user whose issuer the tenant registered: signed by it, for the registered audience, not \
         expired, of a user who signed in at most ten minutes ago, with the content hash as its nonce. `detail` says what is amiss.",
    ),
    about(
        Code::WrongCredentials,
        "wrong_credentials",
        StatusCode::FORBIDDEN,
        "Organisation, address or password is not right",
        "Which of them, is not said. After some wrong ones it takes a while until another may be tried.",
    ),
    about(
        Code::PeopleOnly,
        "people_only",
        StatusCode::FORBIDDEN,
        "Only people may do this",
        "No key can, whatever its scopes: a signed-in person, or, for a decision, a user of a registered issuer.",
    ),
    about(
        Code::ForbiddenRole,
        "forbidden_role",
        StatusCode::FORBIDDEN,
        "The person has not the role",
        "`detail` names the role that is needed; an owner or admin gives roles.",
    ),
    about(
        Code::ForbiddenOrigin,
        "forbidden_origin",
        StatusCode::FORBIDDEN,
        "The call is not from a page of this gateway",
        "What changes something needs `Sec-Fetch-Site: same-origin`, or an Origin that is this gateway's, and the session's own \
         `X-CSRF-Token`.",
    ),
    about(
        Code::StepUpRequired,
        "step_up_required",
        StatusCode::FORBIDDEN,
        "The person must prove again who they are",
        "`POST /auth/step-up` with the password, or sign in again elsewhere: it counts for ten minutes.",
    ),
    about(
        Code::NotFound,
        "not_found",
        StatusCode::NOT_FOUND,
        "There is no such thing here",
        "The path is not one of this API's, or the id names nothing of your tenant. Ids of other tenants look the same.",
    ),
    about(
        Code::MethodNotAllowed,
        "method_not_allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The method is not allowed on this path",
        "The Allow header names the methods that are.",
    ),
    about(
        Code::RequestTimeout,
        "request_timeout",
        StatusCode::REQUEST_TIMEOUT,
        "The body did not arrive in time",
        "Send the whole body without a pause; nothing was done.",
    ),
    about(
        Code::IdempotencyConflict,
        "idempotency_conflict",
        StatusCode::CONFLICT,
        "The same id was used for something else",
        "An event id (app, sourceSystem, sourceEventId) or Idempotency-Key was used before with another body, or the first \
         call with it is still at work. Use a new id for a new event, and the same body for a repeat.",
    ),
    about(
        Code::AmbiguousEvent,
        "ambiguous_event",
        StatusCode::CONFLICT,
        "The request names several events",
        "The source's id was used by more than one app of the tenant. Name the event by operationId or eventId.",
    ),
    about(
        Code::ContentChanged,
        "content_changed",
        StatusCode::CONFLICT,
        "The content is another by now",
        "What you were shown was edited meanwhile. Look at it again: a yes is to one content hash.",
    ),
    about(
        Code::StateConflict,
        "state_conflict",
        StatusCode::CONFLICT,
        "The state does not allow this",
        "What you ask for does not fit how far the thing has come. `detail` says what stands in the way; read it again.",
    ),
    about(
        Code::PolicyRefused,
        "policy_refused",
        StatusCode::FORBIDDEN,
        "The gate refuses it",
        "A rule of sending denies this version. `code` is the rule, and `errors` has every rule that applied, with its reason.",
    ),
    about(
        Code::CursorExpired,
        "cursor_expired",
        StatusCode::GONE,
        "The cursor is older than what is kept",
        "Events behind this cursor are no longer kept. Begin again with the oldest cursor, which `detail` names.",
    ),
    about(
        Code::PayloadTooLarge,
        "payload_too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large",
        "Send compact context: Connex is an operations layer, not a bulk-send loophole. `detail` names the limit.",
    ),
    about(
        Code::UnsupportedMediaType,
        "unsupported_media_type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body's type is not supported",
        "Send `content-type: application/json`.",
    ),
    about(
        Code::InvalidRequest,
        "invalid_request",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The body does not fit the contract",
        "`errors` names each field by JSON pointer (RFC 6901) and says what is allowed there.",
    ),
    about(
        Code::RateLimited,
        "rate_limited",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
        "Wait as long as Retry-After says. The RateLimit and RateLimit-Policy headers show what is left.",
    ),
    about(
        Code::QuotaExceeded,
        "quota_exceeded",
        StatusCode::TOO_MANY_REQUESTS,
        "The tenant's daily quota is used up",
        "The quota opens again at the time that Retry-After says.",
    ),
    INTERNAL,
    about(
        Code::TemporarilyUnavailable,
        "temporarily_unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "Not available for the moment",
        "Repeat the call with the same ids: what was done already is not done twice. Retry-After says when.",
    ),
];

const INTERNAL: About = about(
    Code::InternalError,
    "internal_error",
    StatusCode::INTERNAL_SERVER_ERROR,
    "Something went wrong here",
    "The fault is on this side and was logged under `requestId`. The call may be repeated with the same ids.",
);

const fn about(code: Code, word: &'static str, status: StatusCode, title: &'static str, help: &'static str) -> About {
    About { code, word, status, title, help }
}

impl Code {
    /// What is said about it.
    #[must_use]
    pub fn about(self) -> &'static About {
        // The table is complete (a test walks it), so that the fallback is never taken.
        CODES.iter().find(|about| about.code == self).unwrap_or(&INTERNAL)
    }

    /// The last segment of its page.
    #[must_use]
    pub fn slug(self) -> String {
        self.about().word.replace('_', "-")
    }
}

/// A problem on its way out. The frame adds `instance` and `requestId`.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    errors: Vec<Fault>,
    retry_after: Option<u64>,
    /// The word in `code`, where it is not the code's own: a rule of the gate.
    rule: Option<String>,
}

impl Problem {
    /// A problem with its usual status.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            status: code.about().status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            rule: None,
        }
    }

    /// The same with the fields at fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// The same under another status, where that is what the caller goes by.
    #[must_use]
    pub const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// `Retry-After` in seconds, where it is said.
    #[must_use]
    pub const fn retries_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The same with `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The problem for a bare status that something else made (axum's router and extractors, hyper, a timeout).
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidRequest,
            StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Code::TemporarilyUnavailable,
            other if other.is_client_error() => Code::InvalidParameter,
            _ => Code::InternalError,
        };
        Self { status, ..Self::new(code, code.about().help) }
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Status, the word in `code`, and detail.
    #[must_use]
    pub fn told(&self) -> (u16, String, String) {
        let word = self.rule.clone().unwrap_or_else(|| self.code.about().word.to_owned());
        (self.status.as_u16(), word, crate::keys::redact(&self.detail).into_owned())
    }

    /// The whole reply, for the request `request_id` on `path`.
    #[must_use]
    pub fn render(&self, path: &str, request_id: &str) -> Response {
        let about = self.code.about();
        let (status, code, detail) = self.told();
        let document = ProblemDocument {
            kind: format!("/problems/{}", self.code.slug()),
            title: about.title.to_owned(),
            status,
            detail,
            instance: crate::keys::redact(path).into_owned(),
            code,
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3: no error code where no key was sent at all.
            let challenge = match self.code {
                Code::MissingKey | Code::NotSignedIn => "Bearer realm=\"connex\"",
                _ => "Bearer realm=\"connex\", error=\"invalid_token\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Carries the problem to the frame, which writes the body.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// RFC 9457 problem, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Page that explains this kind of problem, relative to the base URL.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line, the same for every problem of this kind.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The path that was called.
    pub instance: String,
    /// Name of the kind for programs.
    pub code: String,
    /// Id of the request, also in the `x-request-id` header.
    pub request_id: String,
    /// The fields at fault, where there are such.
    pub errors: Vec<Fault>,
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Invalid(faults) => Self::invalid(faults),
            ServiceError::Refused(refusal) => refusal.into(),
            ServiceError::NotFound(what) => Self::new(Code::NotFound, format!("There is no such {what}.")),
            ServiceError::Conflict(conflict) => conflict.into(),
            ServiceError::Denied(verdict) => Self::from(*verdict),
            ServiceError::CursorExpired { oldest } => {
                Self::new(Code::CursorExpired, format!("Events before cursor {oldest} are no longer kept."))
            }
            ServiceError::Unavailable(source) => {
                tracing::warn!(error.kind = "store", temporary = true, "HTTP call could not be served: {source}");
                Self::new(
                    Code::TemporarilyUnavailable,
                    "The database does not answer now; repeat the call with the same ids.",
                )
                .retry_after(5)
            }
            ServiceError::Internal(source) => {
                tracing::error!(error.kind = "internal", temporary = false, "HTTP call failed: {source}");
                Self::new(Code::InternalError, "The fault is on this side and was logged.")
            }
        }
    }
}

impl Problem {
    /// A body that is JSON but not what the contract says.
    #[must_use]
    pub fn invalid(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [only] if only.pointer.is_empty() => format!("The body {}.", only.message),
            [only] => format!("`{}` {}.", only.pointer, only.message),
            several => format!("{} fields do not fit the contract.", several.len()),
        };
        Self::new(Code::InvalidRequest, detail).with_errors(faults)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::MissingKey => Self::new(Code::MissingKey, Code::MissingKey.about().help),
            Refusal::InvalidKey(why) => Self::new(Code::InvalidKey, why),
            Refusal::Network => Self::new(Code::ForbiddenNetwork, Code::ForbiddenNetwork.about().help),
            Refusal::Scope(scope) => {
                Self::new(Code::ForbiddenScope, format!("This call needs a key with the scope `{scope}`."))
            }
            Refusal::App { bound } => Self::new(
                Code::ForbiddenApp,
                format!("The key is bound to {}; the request names another app.", bound.join(", ")),
            )
            .with_errors(vec![Fault::at("/app", "is not an app that the key is bound to")]),
            Refusal::Confined { bound } => Self::new(
                Code::ForbiddenMailbox,
                format!("The key is bound to {}; this call is about the whole tenant.", bound.join(", ")),
            ),
            Refusal::Mailbox { bound } => Self::new(
                Code::ForbiddenMailbox,
                format!("The key is bound to {}; the request names another mailbox.", bound.join(", ")),
            )
            .with_errors(vec![Fault::at("/sourceMailbox/address", "is not a mailbox that the key is bound to")]),
        }
    }
}

/// RFC 9457 has one problem for all of the gate's refusals; which rule it was is in `code`.
impl From<VerdictView> for Problem {
    fn from(verdict: VerdictView) -> Self {
        let reasons = verdict.reasons.iter();
        let errors =
            reasons.map(|one| Fault::at("", format!("{}: {} Lifted by: {}", one.code, one.why, one.lifted_by)));
        let strongest = verdict.reasons.iter().find(|one| one.ruling == verdict.verdict);
        let detail = strongest.map_or(Code::PolicyRefused.about().help, |one| one.why.as_str());
        let rule = strongest.map(|one| one.code.clone());
        Self { rule, ..Self::new(Code::PolicyRefused, detail).with_errors(errors.collect()) }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::SourceEvent => Self::new(
                Code::IdempotencyConflict,
                "An event with this app, sourceSystem and sourceEventId was sent before with another body.",
            )
            .with_errors(vec![Fault::at("/sourceEventId", "names an earlier event with another body")]),
            Conflict::KeyReused => Self {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                ..Self::new(Code::IdempotencyConflict, "This Idempotency-Key was used before with another request.")
            },
            Conflict::KeyInProgress => {
                Self::new(Code::IdempotencyConflict, "The first call with this Idempotency-Key is still at work.")
                    .retry_after(1)
            }
            Conflict::ContentChanged => Self::new(Code::ContentChanged, Code::ContentChanged.about().help),
            Conflict::State(why) => Self::new(Code::StateConflict, format!("Not now: {why}.")),
            Conflict::AmbiguousEvent => {
                Self::new(Code::AmbiguousEvent, "Several apps sent an event with this sourceSystem and sourceEventId.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_once_under_its_own_word() {
        for about in &CODES {
            assert_eq!(about.code.about().word, about.word);
            assert_eq!(CODES.iter().filter(|other| other.word == about.word).count(), 1);
            assert!(!about.help.is_empty() && !about.title.ends_with('.'));
        }
        assert_eq!(Code::TemporarilyUnavailable.about().word, "temporarily_unavailable");
    }

    #[test]
    fn a_key_in_a_path_or_detail_is_not_echoed() {
        let problem = Problem::new(Code::NotFound, "no cxk_live_abc here");
        let response = problem.render("/x/cxk_live_abc", "req_1");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body =
            futures_util::FutureExt::now_or_never(axum::body::to_bytes(response.into_body(), 9999)).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("abc"));
    }
}
