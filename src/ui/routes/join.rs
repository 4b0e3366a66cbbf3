//! Links by which people get an account: the first one, invitations, new passwords.
//!
//! The link's token stands in the path, and is what the form is believed by: who does not have it cannot send one.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::on_to;
use crate::service::accounts::{AccountError, LEAST_CHARACTERS, Offer, Secret};
use crate::ui::SharedUi;
use crate::ui::error::{Refused, beside_form};
use crate::ui::form::OpenForm;
use crate::ui::page::{Page, render};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    page: Page,
    organisation: String,
    name: String,
    email: String,
    least: usize,
}

#[derive(Template)]
#[template(path = "no-setup.html")]
struct NoSetupPage {
    page: Page,
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage {
    page: Page,
    offer: Offer,
    name: String,
    least: usize,
}

/// Fields of the first account.
#[derive(Deserialize)]
pub struct Setup {
    organisation: String,
    name: String,
    email: String,
    password: String,
}

/// Fields of an account that somebody was invited to, or of its new password.
#[derive(Deserialize)]
pub struct Accept {
    #[serde(default)]
    name: String,
    password: String,
}

const SETUP: &str = "Set up Connex";
const JOIN: &str = "Make your account";
const RESET: &str = "Choose a new password";

/// `/setup` without a token.
pub async fn no_setup_link() -> Response {
    render(StatusCode::NOT_FOUND, &NoSetupPage { page: Page::open(SETUP) })
}

/// The form of the first account.
pub async fn setup_page(State(ui): State<SharedUi>, Path(token): Path<String>) -> Result<Response, Refused> {
    let organisation = ui.service.setup_offer(&secret(&token)?).await?.unwrap_or_default();
    let (name, email) = (String::new(), String::new());
    let page = SetupPage { page: Page::open(SETUP), organisation, name, email, least: LEAST_CHARACTERS };
    Ok(render(StatusCode::OK, &page))
}

/// Makes the first account.
pub async fn setup(
    State(ui): State<SharedUi>,
    Path(token): Path<String>,
    OpenForm(fields): OpenForm<Setup>,
) -> Result<Response, Refused> {
    let (who, how) =
        ((fields.organisation.as_str(), fields.name.as_str()), (fields.email.as_str(), fields.password.as_str()));
    match ui.service.set_up(&secret(&token)?, who, how).await {
        Ok(()) => Ok(on_to("/login?done=password-set")),
        Err(error) => {
            let Some((status, fault)) = beside_form(&error) else { return Err(error.into()) };
            let page = Page::open(SETUP).with_fault(fault);
            let Setup { organisation, name, email, .. } = fields;
            Ok(render(status, &SetupPage { page, organisation, name, email, least: LEAST_CHARACTERS }))
        }
    }
}

/// The form of an invitation.
pub async fn invitation_page(State(ui): State<SharedUi>, Path(token): Path<String>) -> Result<Response, Refused> {
    let offer = ui.service.offer(&secret(&token)?).await?;
    let page = Page::open(title(&offer));
    Ok(render(StatusCode::OK, &InvitationPage { page, offer, name: String::new(), least: LEAST_CHARACTERS }))
}

/// Makes the account, or sets its password.
pub async fn accept(
    State(ui): State<SharedUi>,
    Path(token): Path<String>,
    OpenForm(fields): OpenForm<Accept>,
) -> Result<Response, Refused> {
    let token = secret(&token)?;
    match ui.service.accept(&token, &fields.name, &fields.password).await {
        Ok(()) => Ok(on_to("/login?done=password-set")),
        Err(error) => {
            let Some((status, fault)) = beside_form(&error) else { return Err(error.into()) };
            let offer = ui.service.offer(&token).await?;
            let page = Page::open(title(&offer)).with_fault(fault);
            Ok(render(status, &InvitationPage { page, offer, name: fields.name, least: LEAST_CHARACTERS }))
        }
    }
}

fn title(offer: &Offer) -> &'static str {
    if offer.role.is_some() { JOIN } else { RESET }
}

/// What is no token is answered as one that cannot be used any more.
fn secret(text: &str) -> Result<Secret, Refused> {
    Secret::parse(text).ok_or(Refused::Account(AccountError::LinkGone))
}
