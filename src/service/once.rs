//! Calls under an `Idempotency-Key`: made again, they have their effect once, and the answer that the first one got.

use std::fmt::Display;

use serde::Serialize;

use super::{Conflict, ServiceError};
use crate::store::TenantStore;
use crate::store::idempotency::{KeyedCall, Once};

/// An `Idempotency-Key` with the fingerprint of its request.
#[derive(Debug, Clone)]
pub struct CallKey {
    /// The key.
    pub key: String,
    /// SHA-256 over method, path and canonical body.
    pub fingerprint: [u8; 32],
}

/// The answer to a call.
#[derive(Debug)]
pub enum Answered<T> {
    /// The call had its effect now.
    Now(Box<T>),
    /// An earlier one had it; the JSON of that answer.
    Before(String),
}

/// The answer to a call that was made before; `None` where this is the first. Asked before anything else: what has changed
/// since then takes nothing from the answer.
pub(super) async fn before<T>(
    tenant: &TenantStore,
    call: Option<&CallKey>,
    principal: impl Display,
) -> Result<Option<Answered<T>>, ServiceError> {
    let Some(call) = call else { return Ok(None) };
    match tenant.known_call(&principal.to_string(), &call.key, call.fingerprint).await? {
        Once::First(()) => Ok(None),
        Once::Replayed(body) => Ok(Some(Answered::Before(body))),
        Once::Reused => Err(Conflict::KeyReused.into()),
        Once::InProgress => Err(Conflict::KeyInProgress.into()),
    }
}

/// What the store keeps of a call that is to be answered with `answer`.
pub(super) fn keyed<T: Serialize>(
    CallKey { key, fingerprint }: CallKey,
    principal: impl Display,
    answer: &T,
) -> Result<KeyedCall, ServiceError> {
    let body = serde_json::to_string(answer).map_err(|error| ServiceError::Internal(error.into()))?;
    Ok(KeyedCall { principal: principal.to_string(), key, fingerprint, body })
}

/// The answer to a call whose effect was made once, by whoever came first.
pub(super) async fn kept<T: Serialize>(
    tenant: &TenantStore,
    call: CallKey,
    principal: impl Display,
    answer: T,
) -> Result<Answered<T>, ServiceError> {
    let call = keyed(call, principal, &answer)?;
    answered(tenant.keep_call(call).await?, answer)
}

/// The answer by what the store found of the call.
pub(super) fn answered<T>(once: Once<()>, answer: T) -> Result<Answered<T>, ServiceError> {
    match once {
        Once::First(()) => Ok(Answered::Now(Box::new(answer))),
        Once::Replayed(body) => Ok(Answered::Before(body)),
        Once::Reused => Err(Conflict::KeyReused.into()),
        Once::InProgress => Err(Conflict::KeyInProgress.into()),
    }
}
