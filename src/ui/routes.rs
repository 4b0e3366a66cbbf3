//! The pages, in groups.

pub(super) mod account;
pub(super) mod approvals;
pub(super) mod drafts;
pub(super) mod elsewhere;
pub(super) mod join;
pub(super) mod sign_in;
pub(super) mod users;

use axum::response::{IntoResponse as _, Redirect, Response};

/// Sends the browser on after a form, so that loading the page again does nothing again (RFC 9110 §15.4.4).
fn on_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}
