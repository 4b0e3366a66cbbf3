//! The person who looks at a page.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;

use super::error::Refused;
use super::page::Page;
use super::{SharedUi, cookie};
use crate::service::accounts::{AccountError, RequiredRole, Secret, SignedIn, Viewer};

/// A person who is signed in and has at least the role `R`. Whoever is not signed in is sent to the login.
#[derive(Debug)]
pub struct Visitor<R = Viewer> {
    /// The person.
    pub who: SignedIn<R>,
    token: Secret,
}

impl<R> Visitor<R> {
    /// A page for this person, with the navigation of their role.
    #[must_use]
    pub fn page(&self, title: &'static str) -> Page {
        Page::of_person(title, &self.who, self.token.form_token())
    }

    /// Whether a form carries the token of this session.
    #[must_use]
    pub fn is_form_token(&self, text: &str) -> bool {
        self.token.is_form_token(text)
    }
}

impl<R: RequiredRole> FromRequestParts<SharedUi> for Visitor<R> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, ui: &SharedUi) -> Result<Self, Refused> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        // What a form would have done is not done later, by following a link.
        let nobody = || Refused::SignIn { next: (parts.method == Method::GET).then(|| path.to_owned()) };
        let token = cookie::session(&parts.headers).ok_or_else(nobody)?;
        match ui.service.signed_in(&token).await {
            Ok(who) => Ok(Self { who: who.require::<R>()?, token }),
            Err(AccountError::NotSignedIn) => Err(nobody()),
            Err(error) => Err(error.into()),
        }
    }
}
