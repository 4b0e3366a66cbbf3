//! Signing in, giving the password again, and signing out.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::elsewhere::{Button, buttons};
use super::on_to;
use crate::service::accounts::elsewhere::Errand;
use crate::service::accounts::{AccountError, Attempt, Password, Viewer};
use crate::ui::error::{Refused, beside_form};
use crate::ui::form::{Form, OpenForm};
use crate::ui::page::{Asked, Page, own_path, render};
use crate::ui::visitor::Visitor;
use crate::ui::{Peer, SharedUi, cookie};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    organisation: String,
    email: String,
    next: String,
    buttons: Vec<Button>,
}

#[derive(Template)]
#[template(path = "step-up.html")]
struct StepUpPage {
    page: Page,
    next: String,
    buttons: Vec<Button>,
}

/// Fields of the login.
#[derive(Deserialize)]
pub struct Login {
    organisation: String,
    email: String,
    password: String,
    next: String,
}

/// Fields of the step-up.
#[derive(Deserialize)]
pub struct StepUp {
    password: String,
    next: String,
}

/// A form without fields of its own.
#[derive(Deserialize)]
pub struct Nothing {}

/// Where a person is when nothing else was asked for.
pub(super) const HOME: &str = "/account";
const LOGIN: &str = "Sign in";
const STEP_UP: &str = "Confirm your password";

/// `/`: on to the first page of whoever is signed in.
pub async fn home(_: Visitor<Viewer>) -> Response {
    on_to(HOME)
}

/// The login.
pub async fn login_page(
    State(ui): State<SharedUi>,
    visitor: Result<Visitor<Viewer>, Refused>,
    Query(asked): Query<Asked>,
) -> Response {
    let next = asked.next().unwrap_or_default();
    if visitor.is_ok() {
        return on_to(if next.is_empty() { HOME } else { next });
    }
    let page = Page::open(LOGIN).after(asked.done());
    let buttons = buttons(&ui, next, Errand::SignIn);
    let login = LoginPage { page, organisation: String::new(), email: String::new(), next: next.to_owned(), buttons };
    render(StatusCode::OK, &login)
}

/// Signs in.
pub async fn login(
    State(ui): State<SharedUi>,
    peer: Peer,
    headers: HeaderMap,
    OpenForm(fields): OpenForm<Login>,
) -> Result<Response, Refused> {
    let attempt = Attempt {
        organisation: &fields.organisation,
        email: &fields.email,
        password: Password::given(&fields.password),
        browser: cookie::browser(&headers),
        peer: peer.0,
        user_agent: headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()),
    };
    let next = own_path(&fields.next).unwrap_or(HOME);
    match ui.service.sign_in(attempt).await {
        Ok(begun) => {
            // Whoever was signed in at this browser before is not any more.
            if let Some(token) = cookie::session(&headers)
                && let Ok(before) = ui.service.signed_in(&token).await
            {
                ui.service.sign_out(&before).await?;
            }
            let mut reply = on_to(next);
            keep(&mut reply, cookie::set_session(&begun.token));
            keep(&mut reply, cookie::set_browser(&begun.browser));
            Ok(reply)
        }
        Err(error) => {
            let Some((status, fault)) = beside_form(&error) else { return Err(error.into()) };
            let (organisation, email) = (fields.organisation, fields.email);
            let page = Page::open(LOGIN).with_fault(fault);
            let buttons = buttons(&ui, own_path(&fields.next).unwrap_or_default(), Errand::SignIn);
            let mut reply = render(status, &LoginPage { page, organisation, email, next: fields.next, buttons });
            wait(&mut reply, &error);
            Ok(reply)
        }
    }
}

/// Signs out.
pub async fn logout(
    State(ui): State<SharedUi>,
    Form { visitor, .. }: Form<Viewer, Nothing>,
) -> Result<Response, Refused> {
    ui.service.sign_out(&visitor.who).await?;
    let mut reply = on_to("/login?done=signed-out");
    keep(&mut reply, cookie::forget_session());
    Ok(reply)
}

/// Asks for the password again.
pub async fn step_up_page(
    State(ui): State<SharedUi>,
    visitor: Visitor<Viewer>,
    Query(asked): Query<Asked>,
) -> Response {
    let next = asked.next().unwrap_or(HOME).to_owned();
    let buttons = buttons(&ui, &next, Errand::StepUp);
    render(StatusCode::OK, &StepUpPage { page: visitor.page(STEP_UP), next, buttons })
}

/// Takes the password again.
pub async fn step_up(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Viewer, StepUp>,
) -> Result<Response, Refused> {
    match ui.service.step_up(&visitor.who, Password::given(&fields.password)).await {
        Ok(token) => {
            let mut reply = on_to(own_path(&fields.next).unwrap_or(HOME));
            keep(&mut reply, cookie::set_session(&token));
            Ok(reply)
        }
        Err(error) => {
            let Some((status, fault)) = again(&error) else { return Err(error.into()) };
            let page = visitor.page(STEP_UP).with_fault(fault);
            let buttons = buttons(&ui, own_path(&fields.next).unwrap_or_default(), Errand::StepUp);
            let mut reply = render(status, &StepUpPage { page, next: fields.next, buttons });
            wait(&mut reply, &error);
            Ok(reply)
        }
    }
}

/// As [`beside_form`], where only the password can be wrong.
pub(super) fn again(error: &AccountError) -> Option<(StatusCode, String)> {
    let (status, words) = beside_form(error)?;
    let is_wrong = matches!(error, AccountError::WrongCredentials);
    Some((status, if is_wrong { "The password is not right.".to_owned() } else { words }))
}

/// Sets a cookie.
pub(super) fn keep(reply: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Says when to come again.
fn wait(reply: &mut Response, error: &AccountError) {
    let seconds = match error {
        AccountError::Throttled { retry_after } => retry_after.as_secs().max(1),
        AccountError::Busy => 5,
        _ => return,
    };
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}
