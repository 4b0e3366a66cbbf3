//! key-check.

use axum::extract::State;
use axum::response::Response;

use crate::http::body::OptionalJsonBody;
use crate::http::endpoints::{Auth, ENDPOINTS};
use crate::http::error::Problem;
use crate::http::{SharedApi, json};
use crate::service::keys::{self, AnyScope, Authenticated};

/// What the presented key may do. A body is read and not used, so that a client may send `{}`.
///
/// # Errors
/// As the contract says.
pub async fn key_check(
    State(_): State<SharedApi>,
    caller: Authenticated<AnyScope>,
    _: OptionalJsonBody,
) -> Result<Response, Problem> {
    let endpoints: Vec<_> = ENDPOINTS
        .iter()
        .filter_map(|endpoint| {
            let path = format!("{} {}", endpoint.verb.as_str(), endpoint.path);
            match endpoint.auth {
                Auth::Open | Auth::Link | Auth::Password | Auth::Session(_) | Auth::Person => None,
                Auth::AnyKey => Some((path, None)),
                Auth::Key(scope) | Auth::KeyOrPassword(scope) | Auth::KeyOrSession(scope, _) => {
                    Some((path, Some(scope)))
                }
            }
        })
        .collect();
    Ok(json(&keys::describe(&caller, &endpoints)))
}
