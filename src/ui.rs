//! The console: pages for people, made by the server, which work without script.
//!
//! A handler reads a form, calls one function of [`crate::service`], and shows a page or sends the browser on. A page that
//! needs a person asks for [`Visitor<Role>`](visitor::Visitor); a form that changes something for
//! [`Form<Role, Fields>`](form::Form), which has checked where it comes from. Templates are in `templates`, what they have in
//! common in [`page`]; a new page in the navigation is a row of [`page::NAVIGATION`].
//!
//! Standards: RFC 6265 (cookies), RFC 9110 (HTTP), RFC 6797 (HSTS), WCAG 2.2 AA.
//!
//! # Security
//! The browser holds an opaque token in a `__Host-` cookie that no script reads. What changes something must come from a page
//! of ours: `Sec-Fetch-Site` or `Origin` says so ([`origin`]), and the form carries a token that only such a page has. GET
//! changes nothing. Templates escape what they show, no page may run script of others or stand in a frame, and none is kept by
//! caches. Keys are refused here, as sessions are by the API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::middleware;
use axum::routing::{get, post};

use crate::browser::{cookie, origin};
use crate::service::Service;

pub mod error;
pub mod form;
mod frame;
pub mod page;
mod routes;
mod stylesheet;
pub mod visitor;

#[cfg(test)]
mod tests;

use origin::Origin;
use routes::{account, approvals, drafts, elsewhere, join, sign_in, users};

/// What handlers share.
pub type SharedUi = Arc<Ui>;

/// The console's own state.
#[derive(Debug)]
pub struct Ui {
    service: Service,
    own: Origin,
    /// How long a page may take before it is given up.
    call_timeout: Duration,
}

impl Ui {
    /// The console of a gateway.
    #[must_use]
    pub fn new(service: Service, call_timeout: Duration) -> SharedUi {
        let own = Origin::of(&service.base_url);
        Arc::new(Self { service, own, call_timeout })
    }
}

/// The address of the peer; `None` where the server did not say (tests).
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())))
    }
}

/// Octets of a form: addresses, names and passwords.
const FORM_SIZE: usize = 16 * 1024;

/// The pages beside the API: the API's own paths are its, and a browser that asks for a path of neither gets a page.
pub fn beside(api: Router, ui: SharedUi) -> Router {
    api.merge(pages(ui)).layer(middleware::from_fn(frame::unknown_paths))
}

fn pages(ui: SharedUi) -> Router {
    Router::new()
        .route("/", get(sign_in::home))
        .route("/login", get(sign_in::login_page).post(sign_in::login))
        .route("/logout", post(sign_in::logout))
        .route("/step-up", get(sign_in::step_up_page).post(sign_in::step_up))
        .route("/auth/oidc/start", get(elsewhere::start))
        .route("/auth/oidc/callback", get(elsewhere::callback))
        .route("/account/link", post(elsewhere::link))
        .route("/setup", get(join::no_setup_link))
        .route("/setup/{token}", get(join::setup_page).post(join::setup))
        .route("/invitations/{token}", get(join::invitation_page).post(join::accept))
        .route("/account", get(account::page))
        .route("/account/password", post(account::change_password))
        .route("/account/notices", post(account::notices))
        .route("/account/end", post(account::end))
        .route("/account/end-others", post(account::end_others))
        .route("/approvals", get(approvals::queue))
        .route("/approvals/{id}", get(approvals::page))
        .route("/approvals/{id}/approve", post(approvals::approve))
        .route("/approvals/{id}/reject", post(approvals::reject))
        .route("/approvals/{id}/defer", post(approvals::defer))
        .route("/drafts/{id}", get(drafts::page))
        .route("/drafts/{id}/settle", post(drafts::settle))
        .route("/users", get(users::page))
        .route("/users/invite", post(users::invite))
        .route("/users/withdraw", post(users::withdraw))
        .route("/users/role", post(users::set_role))
        .route("/users/disable", post(users::disable))
        .route("/users/enable", post(users::enable))
        .route(stylesheet::PATH, get(stylesheet::serve))
        .method_not_allowed_fallback(error::wrong_method)
        .layer(DefaultBodyLimit::max(FORM_SIZE))
        .layer(middleware::from_fn_with_state(Arc::clone(&ui), frame::frame))
        .with_state(ui)
}
