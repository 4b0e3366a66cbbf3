//! What people read when something cannot be done, and with which status.
//!
//! One mapping for all pages. What a stranger may not know (whether an account exists) is not told apart here, since the
//! service does not.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::page::{Page, render};
use crate::service::accounts::AccountError;
use crate::service::{Conflict, ServiceError};

/// Why there is no page, or another.
#[derive(Debug)]
pub enum Refused {
    /// Nobody is signed in: to the login, and from there to `next`.
    SignIn {
        /// A path of ours.
        next: Option<String>,
    },
    /// The form is not from a page of ours, or of another session.
    Elsewhere,
    /// The form has not the fields that it must have.
    Unreadable,
    /// The form is larger than any of ours.
    TooLarge,
    /// No page has this path.
    NotFound,
    /// A key was sent along.
    Key,
    /// The service refused.
    Account(AccountError),
    /// What was shown is not so any more.
    Stale,
    /// The gate refuses, whatever a person says.
    Denied(String),
    /// Its state does not allow it.
    Conflict(String),
    /// It took too long.
    Late,
    /// A fault of ours, which was logged.
    Fault,
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotSignedIn => Self::SignIn { next: None },
            error => Self::Account(error),
        }
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotFound(_) => Self::NotFound,
            ServiceError::Conflict(Conflict::ContentChanged) => Self::Stale,
            ServiceError::Conflict(conflict) => Self::Conflict(conflict.to_string()),
            ServiceError::Denied(verdict) => {
                let reasons = verdict.reasons.iter().filter(|one| one.ruling == verdict.verdict);
                Self::Denied(reasons.map(|one| one.why.as_str()).collect::<Vec<_>>().join(" "))
            }
            ServiceError::Invalid(_) => Self::Unreadable,
            ServiceError::Unavailable(source) => {
                tracing::warn!(error.kind = "store", temporary = true, "A page could not be served: {source}");
                Self::Late
            }
            error => {
                tracing::error!(error.kind = "service", temporary = false, "A page could not be served: {error}");
                Self::Fault
            }
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    what: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, title, what) = match &self {
            Self::SignIn { next } => return to_login(next.as_deref()),
            Self::Account(AccountError::StepUp) => return Redirect::to("/step-up").into_response(),
            Self::Elsewhere => (
                StatusCode::FORBIDDEN,
                "The form was not accepted",
                "It was not sent from a page of this console, that page is too old, or the browser does not reach the console by HTTPS. Open the page again and repeat it.".to_owned(),
            ),
            Self::Unreadable => (StatusCode::BAD_REQUEST, "The form was not understood", "Open the page again and repeat it.".to_owned()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The form is too large", "Nothing here needs so much.".to_owned()),
            Self::NotFound => (StatusCode::NOT_FOUND, "There is no such page", "The address may be old or mistyped.".to_owned()),
            Self::Key => (
                StatusCode::BAD_REQUEST,
                "Keys are not for this page",
                "API keys are for programs and the paths below /api. People sign in.".to_owned(),
            ),
            Self::Stale => (
                StatusCode::CONFLICT,
                "The draft was changed meanwhile",
                "Nothing was approved: what you were shown is not what would be sent. Go back to the approvals, and look at it again.".to_owned(),
            ),
            Self::Denied(why) => (StatusCode::FORBIDDEN, "The gate does not let this out", why.clone()),
            Self::Conflict(why) => (StatusCode::CONFLICT, "That is not possible any more", format!("Nothing was done: {why}.")),
            Self::Late => (StatusCode::SERVICE_UNAVAILABLE, "That took too long", "Try again in a moment.".to_owned()),
            Self::Fault => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", "The fault is on this side, and was logged.".to_owned()),
            Self::Account(error) => of_account(error),
        };
        let retry_after = match &self {
            Self::Account(AccountError::Throttled { retry_after }) => Some(retry_after.as_secs().max(1)),
            Self::Account(AccountError::Busy | AccountError::Unavailable(_)) | Self::Late => Some(5),
            _ => None,
        };
        let mut reply = render(status, &ErrorPage { page: Page::open(title), what });
        if let Some(seconds) = retry_after {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}

fn of_account(error: &AccountError) -> (StatusCode, &'static str, String) {
    let words = sentence(error);
    match error {
        AccountError::NotSignedIn | AccountError::StepUp | AccountError::WrongCredentials => {
            (StatusCode::FORBIDDEN, "That is not right", words)
        }
        AccountError::Unconfirmed | AccountError::NotKnown => (StatusCode::FORBIDDEN, "You are not signed in", words),
        AccountError::Role(_) => (StatusCode::FORBIDDEN, "You may not do that", words),
        AccountError::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many tries", words),
        AccountError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Too many at this moment", words),
        AccountError::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "Something is not as it must be", words),
        AccountError::LinkGone => (
            StatusCode::NOT_FOUND,
            "This link cannot be used",
            "It was used, replaced, taken back, or is too old. Ask for another.".to_owned(),
        ),
        AccountError::NotFound(_) => (StatusCode::NOT_FOUND, "It is not there", words),
        AccountError::Conflict(_) => (StatusCode::CONFLICT, "That does not fit", words),
        AccountError::Unavailable(cause) => {
            tracing::warn!(error.kind = "store", temporary = true, "A page could not be made: {cause}");
            (StatusCode::SERVICE_UNAVAILABLE, "Not available now", "Try again in a moment.".to_owned())
        }
        AccountError::Internal(cause) => {
            tracing::error!(error.kind = "internal", temporary = false, "A page could not be made: {cause}");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "The fault is on this side, and was logged.".to_owned(),
            )
        }
    }
}

/// The status of a form's page that says what is wrong, and the sentence.
pub fn beside_form(error: &AccountError) -> Option<(StatusCode, String)> {
    match error {
        AccountError::WrongCredentials
        | AccountError::Throttled { .. }
        | AccountError::Busy
        | AccountError::Invalid { .. }
        | AccountError::Role(_)
        | AccountError::Conflict(_) => {
            let (status, _, words) = of_account(error);
            Some((status, words))
        }
        _ => None,
    }
}

/// What an error says, as a sentence.
fn sentence(error: &AccountError) -> String {
    let text = match error {
        AccountError::Invalid { field, message } => format!("the {field} {message}"),
        AccountError::Busy => "too many sign in at this moment; try again in a few seconds".to_owned(),
        error => error.to_string(),
    };
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// For a method that a path does not know.
pub async fn wrong_method() -> Response {
    let what = "A form was sent to a page that takes none, or its page was opened as a link.".to_owned();
    render(StatusCode::METHOD_NOT_ALLOWED, &ErrorPage { page: Page::open("That does not work here"), what })
}

fn to_login(next: Option<&str>) -> Response {
    let query = next.filter(|next| *next != "/").map(|next| {
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("?next={encoded}")
    });
    Redirect::to(&format!("/login{}", query.unwrap_or_default())).into_response()
}
