//! Use cases that the surfaces share: evaluate an event, report an outcome, check a key, read what is known.
//!
//! A surface parses, calls one function of this module, and shapes the reply. This is where rules ([`crate::decide`],
//! [`crate::governance`]) and rows ([`crate::store`]) meet; there is no protocol here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::decide::Engine;
use crate::keys::Pepper;
use crate::store::{Store, StoreError};

pub mod accounts;
pub mod announce;
pub mod audit;
pub mod domains;
pub mod drafts;
pub mod erasures;
pub mod evaluate;
pub mod events;
pub mod identity;
pub mod insights;
pub mod intake;
pub mod issuers;
pub mod keys;
pub mod limits;
pub mod links;
pub mod machine;
pub mod materialize;
pub mod messages;
pub mod notices;
pub mod once;
pub mod outcomes;
pub mod policies;
pub mod reading;
pub mod receipts;
pub mod routes;
pub mod sending;
pub mod sight;
pub mod signing;
pub mod tokens;
pub mod trust;
pub mod verdict_bench;

pub use evaluate::{Submission, preview};

/// The use cases of one instance and what they need.
#[derive(Clone)]
pub struct Service {
    /// Rows.
    pub store: Store,
    /// Rules.
    pub engine: Arc<Engine>,
    /// The secret under which API keys are digested.
    pub pepper: Pepper,
    /// Where this gateway is reached, without a slash at the end.
    pub base_url: Arc<str>,
    /// How the bytes of stored messages are read and given out.
    pub bodies: messages::Bodies,
    /// Where mail that comes in by the API goes; `None`: none is taken.
    pub mail: Option<intake::MailDoor>,
    /// What signing in shares.
    pub accounts: accounts::Accounts,
    /// What domains are held against.
    pub domains: domains::DomainDesk,
    /// What drafts are written with.
    pub drafts: drafts::DraftDesk,
    /// What routes are made with.
    pub routes: routes::RouteDesk,
    /// Asks DNS.
    pub resolver: crate::dns::Resolver,
    /// Ends streams when the instance stops.
    pub stop: tokio_util::sync::CancellationToken,
}

impl Service {
    /// Where times and ids come from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.store.clock()
    }

    /// Whether the database answers and takes a write, each within `patience`.
    ///
    /// # Errors
    /// [`NotServing`] says which it does not.
    pub async fn check(&self, patience: std::time::Duration) -> Result<(), NotServing> {
        let answers = tokio::time::timeout(patience, self.store.check()).await;
        answers.map_err(|_| NotServing::Silent)?.map_err(|_| NotServing::Silent)?;
        self.store.check_writer(patience).await.map_err(|error| {
            let why: &dyn std::error::Error = std::error::Error::source(&error).unwrap_or(&error);
            tracing::warn!(error.kind = "store", temporary = true, "Database takes no writes: {why}");
            NotServing::NoWrites
        })
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// Why an instance cannot do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// The database does not answer.
    #[error("the database does not answer")]
    Silent,
    /// The database answers and takes no writes.
    #[error("the database takes no writes")]
    NoWrites,
}

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
    /// The key is bound to mailboxes, and the call reads of all the tenant's.
    #[error("the key is bound to mailboxes, and the call reads of all")]
    Confined {
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
    /// The content is not what the caller was shown.
    #[error("the content is another than the one that was shown")]
    ContentChanged,
    /// The state of what the call is about does not allow it.
    #[error("{0}")]
    State(&'static str),
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
    /// The gate denies it.
    #[error("the gate denies it")]
    Denied(Box<drafts::VerdictView>),
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

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Unavailable(_) | StoreError::LeaseLost | StoreError::Closed => Self::Unavailable(error.into()),
            StoreError::Exists(_)
            | StoreError::Conflict(_)
            | StoreError::Unreadable { .. }
            | StoreError::Migration(_) => Self::Internal(error.into()),
        }
    }
}
