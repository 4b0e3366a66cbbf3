//! Signing in elsewhere: on the way there, and back.
//!
//! Both are links that a browser follows, and neither changes anything of somebody who is signed in without a word of the
//! provider that answers what this very browser was given. Only linking an account begins with a form.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::on_to;
use super::sign_in::{HOME, keep};
use crate::service::accounts::elsewhere::{Arrival, Comer, Errand, Returned};
use crate::service::accounts::{AccountError, Viewer};
use crate::ui::error::Refused;
use crate::ui::form::Form;
use crate::ui::page::{Page, own_path, render};
use crate::ui::visitor::Visitor;
use crate::ui::{Peer, SharedUi, cookie};

/// A button that leads to a provider.
#[derive(Debug)]
pub(super) struct Button {
    /// Its name.
    pub(super) name: String,
    /// What is on it.
    pub(super) label: String,
    /// Where it leads.
    pub(super) url: String,
}

/// The buttons of all providers.
pub(super) fn buttons(ui: &SharedUi, next: &str, errand: Errand) -> Vec<Button> {
    let url = |name: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("provider", name);
        if !next.is_empty() {
            query.append_pair("next", next);
        }
        if errand == Errand::StepUp {
            query.append_pair("again", "1");
        }
        format!("/auth/oidc/start?{}", query.finish())
    };
    let one = |(name, label): (&str, &str)| Button { name: name.to_owned(), label: label.to_owned(), url: url(name) };
    ui.service.providers().map(one).collect()
}

/// Where to, and what for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Start {
    provider: String,
    next: String,
    /// Whether somebody who is signed in proves again who they are.
    again: String,
}

/// Which provider.
#[derive(Deserialize)]
pub struct Which {
    provider: String,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    page: Page,
    url: String,
}

/// Sends the browser to a provider.
pub async fn start(
    State(ui): State<SharedUi>,
    visitor: Result<Visitor<Viewer>, Refused>,
    Query(asked): Query<Start>,
) -> Result<Response, Refused> {
    let errand = if asked.again.is_empty() { Errand::SignIn } else { Errand::StepUp };
    let who = visitor.as_ref().ok().map(|visitor| &visitor.who);
    let next = own_path(&asked.next).unwrap_or(HOME);
    let departure = ui.service.go_elsewhere(&asked.provider, (errand, next), who).await?;
    let mut reply = Redirect::to(&departure.url).into_response();
    keep(&mut reply, cookie::set_elsewhere(&departure.cookie));
    Ok(reply)
}

/// Takes what the browser brings back.
pub async fn callback(
    State(ui): State<SharedUi>,
    peer: Peer,
    headers: HeaderMap,
    visitor: Result<Visitor<Viewer>, Refused>,
    Query(returned): Query<Returned>,
) -> Response {
    let who = visitor.as_ref().ok().map(|visitor| &visitor.who);
    let comer = Comer {
        cookie: cookie::elsewhere(&headers),
        who,
        peer: peer.0,
        user_agent: headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()),
    };
    let mut reply = match ui.service.come_back(returned, comer).await {
        Ok((next, arrival)) => arrive(&ui, who, &next, arrival).await.unwrap_or_else(Refused::into_response),
        Err(error) => Refused::from(error).into_response(),
    };
    // It was for this one time.
    keep(&mut reply, cookie::forget_elsewhere());
    reply
}

async fn arrive(
    ui: &SharedUi,
    who: Option<&crate::service::accounts::SignedIn<Viewer>>,
    next: &str,
    arrival: Arrival,
) -> Result<Response, Refused> {
    let mut reply = on_to(own_path(next).unwrap_or(HOME));
    match arrival {
        Arrival::Begun(begun) => {
            // Whoever was signed in at this browser before is not any more.
            if let Some(before) = who {
                ui.service.sign_out(before).await?;
            }
            keep(&mut reply, cookie::set_session(&begun.token));
            keep(&mut reply, cookie::set_browser(&begun.browser));
        }
        Arrival::Renewed(token) => keep(&mut reply, cookie::set_session(&token)),
        Arrival::Linked => {}
    }
    Ok(reply)
}

/// Begins to link an account: a page with the way there, since a form may not lead to a page of others.
pub async fn link(
    State(ui): State<SharedUi>,
    Form { visitor, fields }: Form<Viewer, Which>,
) -> Result<Response, Refused> {
    visitor.who.require_step_up(ui.service.clock().now())?;
    let errand = (Errand::Link, "/account?done=linked");
    let departure = ui.service.go_elsewhere(&fields.provider, errand, Some(&visitor.who)).await;
    let departure = departure.map_err(|error| match error {
        AccountError::NotFound(_) => Refused::NotFound,
        error => error.into(),
    })?;
    let page = LinkPage { page: visitor.page("Link your account"), url: departure.url };
    let mut reply = render(StatusCode::OK, &page);
    keep(&mut reply, cookie::set_elsewhere(&departure.cookie));
    Ok(reply)
}
