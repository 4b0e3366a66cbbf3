//! Use cases that the surfaces share: evaluate an event, report an outcome, check a key, read what is known.
//!
//! A surface parses, calls one function of this module, and shapes the reply. This is where rules ([`crate::decide`],
//! [`crate::governance`]) and rows ([`crate::store`]) meet; there is no protocol here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing about a request that is not as the contract says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the field; empty for the body as a whole; `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl Fault {
    /// The fault `message` at `pointer`.
    #[must_use]
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// Why a caller may not do what it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No key was presented.
    #[error("no key was presented")]
    MissingKey,
    /// The key cannot be used; the text says as much as its holder may know.
    #[error("{0}")]
    InvalidKey(&'static str),
    /// The key may not be used from the peer's network.
    #[error("the key may not be used from this network")]
    Network,
    /// The key lacks a scope.
    #[error("the key lacks the scope {0}")]
    Scope(crate::keys::Scope),
    /// The key is bound to other apps.
    #[error("the key is bound to other apps")]
    App {
        /// Those it is bound to.
        bound: Vec<String>,
    },
    /// The key is bound to other mailboxes.
    #[error("the key is bound to other mailboxes")]
    Mailbox {
        /// Those it is bound to.
        bound: Vec<String>,
    },
}

/// Why a call does not fit what was done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The source's event id was used with another body.
    #[error("the source's event id was used with another body")]
    SourceEvent,
    /// The `Idempotency-Key` was used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The first call with the `Idempotency-Key` has not ended.
    #[error("the first call with this idempotency key is at work")]
    KeyInProgress,
    /// The source's event id names events of several apps.
    #[error("the source's event id names several events")]
    AmbiguousEvent,
}

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request does not fit the contract.
    #[error("the request does not fit the contract")]
    Invalid(Vec<Fault>),
    /// The caller may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such row of this tenant.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It does not fit what was done before.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The cursor is older than what is kept.
    #[error("events before cursor {oldest} are no longer kept")]
    CursorExpired {
        /// The oldest cursor that can be read.
        oldest: i64,
    },
    /// The database does not answer now.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of our own.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}
