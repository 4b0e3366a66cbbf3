//! Forms: nothing is read of one that does not come from a page of ours.

use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::SharedUi;
use super::error::Refused;
use super::visitor::Visitor;
use crate::service::accounts::RequiredRole;

/// A form that a signed-in person with at least the role `R` sent from a page that was made for this very session.
#[derive(Debug)]
pub struct Form<R, T> {
    /// The person.
    pub visitor: Visitor<R>,
    /// What they filled in.
    pub fields: T,
}

/// The fields of a form, and what shows where it is from.
#[derive(Deserialize)]
struct Marked<T> {
    form_token: String,
    #[serde(flatten)]
    fields: T,
}

impl<R: RequiredRole, T: DeserializeOwned> FromRequest<SharedUi> for Form<R, T> {
    type Rejection = Refused;

    async fn from_request(request: Request, ui: &SharedUi) -> Result<Self, Refused> {
        if !ui.own.sent(request.headers()) {
            return Err(Refused::Elsewhere);
        }
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, ui).await?;
        let marked: Marked<T> = read(Request::from_parts(parts, body)).await?;
        if !visitor.is_form_token(&marked.form_token) {
            return Err(Refused::Elsewhere);
        }
        Ok(Self { visitor, fields: marked.fields })
    }
}

/// A form of a page that needs nobody to be signed in, sent from a page of ours.
#[derive(Debug)]
pub struct OpenForm<T>(
    /// What was filled in.
    pub T,
);

impl<T: DeserializeOwned> FromRequest<SharedUi> for OpenForm<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, ui: &SharedUi) -> Result<Self, Refused> {
        if !ui.own.sent(request.headers()) {
            return Err(Refused::Elsewhere);
        }
        read(request).await.map(Self)
    }
}

/// Reads a form within its bound, which the router sets.
async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    match axum::Form::from_request(request, &()).await {
        Ok(axum::Form(fields)) => Ok(fields),
        Err(FormRejection::BytesRejection(_)) => Err(Refused::TooLarge),
        Err(_) => Err(Refused::Unreadable),
    }
}
