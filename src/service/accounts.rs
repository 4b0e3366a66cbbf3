//! Who is signed in: people with an account, what they may do, and how they get in and out.
//!
//! A browser holds a token; a row holds its digest ([`crate::store::accounts`]). `sign_in` judges passwords, `people` is
//! what admins do with accounts, `joining` the links by which people get one.
//!
//! # Security
//! [`SignedIn`] has no public constructor: the only way to one is [`Service::signed_in`], and what needs a person of some
//! role asks for a `SignedIn<Approver>`, so that a handler without the check does not compile. Keys never become one. What
//! is answered to a wrong sign-in is the same whether the account exists or not, and takes the same time. Tokens and
//! passwords are in no log; people are named there by their ids.
//!
//! Standards: RFC 9106 (argon2id), NIST SP 800-63B (passwords, sessions).

mod api;
pub mod elsewhere;
mod joining;
mod password;
mod people;
mod secret;
mod sign_in;
mod throttle;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::Service;
use crate::clock::Timestamp;
use crate::governance::approval::Actor;
use crate::ids::{SignInId, TenantId, UserId};
use crate::store::StoreError;
use crate::store::accounts::sign_ins::{Lapsed, SignInRecord};

pub use api::{
    InvitePage, InviteRequest, InviteView, LinkView, LoginRequest, PersonView, SessionPage, SessionView, SignedInView,
    StepUpRequest, UserChange, UserPage, UserView,
};
pub use elsewhere::{Desk, ELSEWHERE, Provider};
pub use joining::{LINK_VALID, Link, Offer, SETUP_VALID, invite, make_account, reset_link, set_password, setup_link};
pub use password::{LEAST_CHARACTERS, Password};
pub use secret::Secret;
pub use sign_in::{Attempt, Begun};

pub use crate::governance::role::Role;
pub use crate::store::accounts::invitations::InvitationRow;
pub use crate::store::accounts::sign_ins::SignInRow;
pub use crate::store::accounts::{UserRow, UserState};

/// Name of the cookie with the token. The API knows it too, to take no key beside it.
pub const SESSION_COOKIE: &str = "__Host-connex_session";

/// A sign-in that was not used for so long is over.
pub const IDLE: Duration = Duration::from_hours(12);
/// A sign-in that is so old is over.
pub const ABSOLUTE: Duration = Duration::from_hours(7 * 24);
/// So long after the password was given, it need not be given again for what is grave.
pub const STEP_UP: Duration = Duration::from_mins(10);
/// How often the use of a sign-in is written down.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// What the accounts of one instance share: the places where passwords are digested, and counts of wrong ones.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Where else people sign in.
    pub elsewhere: Option<Arc<Desk>>,
    digester: password::Digester,
    throttle: Arc<throttle::Throttle>,
}

/// Why somebody could not do what they wanted with accounts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody is signed in, or not any more.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// The person has not the role.
    #[error("this needs the role {0}")]
    Role(Role),
    /// The password was given too long ago for this.
    #[error("the password must be given again for this")]
    StepUp,
    /// No account, or not this password, or one that is disabled: which, is not said.
    #[error("the organisation, address or password is not right")]
    WrongCredentials,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again in {} seconds", retry_after.as_secs())]
    Throttled {
        /// When another may be tried.
        retry_after: Duration,
    },
    /// Somebody else was to say who the person is, and did not.
    #[error("the other place did not confirm who you are; begin again")]
    Unconfirmed,
    /// Whoever signs in elsewhere has no account here, or one that is disabled: which, is not said.
    #[error(
        "this sign-in is not known here; ask your administrator for an invitation to the address that you sign in with"
    )]
    NotKnown,
    /// Too many sign in at this moment.
    #[error("too many sign in at this moment")]
    Busy,
    /// A field is not as it must be.
    #[error("{field}: {message}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What it must be.
        message: &'static str,
    },
    /// The link was used, withdrawn, replaced or is over.
    #[error("this link cannot be used any more")]
    LinkGone,
    /// What it is about is not there.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It would not fit what is there.
    #[error("{0}")]
    Conflict(&'static str),
    /// The database does not answer now.
    #[error("temporarily unavailable")]
    Unavailable(#[source] StoreError),
    /// A fault of our own.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Conflict(why) => Self::Conflict(why),
            StoreError::Exists(_) => Self::Conflict("there is an account with this address already"),
            StoreError::Unavailable(_) | StoreError::LeaseLost | StoreError::Closed => Self::Unavailable(error),
            StoreError::Unreadable { .. } | StoreError::Migration(_) => Self::Internal(error.into()),
        }
    }
}

/// A role as a type, for [`SignedIn`].
pub trait RequiredRole {
    /// The role.
    const ROLE: Role;
}

macro_rules! required_roles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl RequiredRole for $name {
            const ROLE: Role = Role::$name;
        }
    )*};
}

required_roles! {
    /// Anybody who is signed in.
    Viewer;
    /// Who works with drafts and tasks.
    Agent;
    /// Who decides about drafts.
    Approver;
    /// Who sets up.
    Admin;
    /// Who makes admins.
    Owner;
}

/// The person behind a token that was found to count.
#[derive(Debug)]
struct Person {
    record: SignInRecord,
    token_hash: [u8; 32],
}

/// Proof that a person is signed in and has at least the role `R`.
#[must_use]
#[derive(Debug)]
pub struct SignedIn<R> {
    person: Arc<Person>,
    role: PhantomData<fn() -> R>,
}

impl<R> SignedIn<R> {
    /// The person.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.person.record.user
    }

    /// The tenant for which they act.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.person.record.tenant
    }

    /// Its name.
    #[must_use]
    pub fn tenant_name(&self) -> &str {
        &self.person.record.tenant_name
    }

    /// By what the person signs in.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.person.record.email
    }

    /// What the person is called; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.person.record.name
    }

    /// What they may do, which may be more than `R`.
    #[must_use]
    pub fn role(&self) -> Role {
        self.person.record.role
    }

    /// This sign-in.
    #[must_use]
    pub fn sign_in(&self) -> SignInId {
        self.person.record.id
    }

    /// The person as governance knows who did something.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::User { user: self.user() }
    }

    /// Whether the password was given at most [`STEP_UP`] ago.
    #[must_use]
    pub fn is_stepped_up(&self, now: Timestamp) -> bool {
        now.since(self.person.record.stepped_up_at) <= STEP_UP
    }

    /// For what is grave.
    ///
    /// # Errors
    /// [`AccountError::StepUp`] unless [`SignedIn::is_stepped_up`].
    pub fn require_step_up(&self, now: Timestamp) -> Result<(), AccountError> {
        if self.is_stepped_up(now) { Ok(()) } else { Err(AccountError::StepUp) }
    }

    /// Proof that the person has the role `Other`.
    ///
    /// # Errors
    /// [`AccountError::Role`] when they have not.
    pub fn require<Other: RequiredRole>(&self) -> Result<SignedIn<Other>, AccountError> {
        if self.role().allows(Other::ROLE) {
            Ok(SignedIn { person: Arc::clone(&self.person), role: PhantomData })
        } else {
            Err(AccountError::Role(Other::ROLE))
        }
    }
}

impl Service {
    /// Who is signed in with this token.
    ///
    /// # Errors
    /// [`AccountError::NotSignedIn`] when nobody is, or not any more; [`AccountError::Unavailable`].
    pub async fn signed_in(&self, token: &Secret) -> Result<SignedIn<Viewer>, AccountError> {
        let token_hash = token.hash();
        let record = self.store.sign_in_by_token(&token_hash).await?.ok_or(AccountError::NotSignedIn)?;
        let now = self.clock().now();
        if now.since(record.created_at) >= ABSOLUTE || now.since(record.last_used_at) >= IDLE {
            return Err(AccountError::NotSignedIn);
        }
        if now.since(record.last_used_at) >= NOTE_EVERY
            && let Err(error) = self.store.for_tenant(record.tenant).note_sign_in_use(record.id).await
        {
            // It only ends a little earlier for that.
            tracing::warn!(user.id = %record.user, temporary = true, "Use of a sign-in was not noted: {error}");
        }
        Ok(SignedIn { person: Arc::new(Person { record, token_hash }), role: PhantomData })
    }
}

/// Which sign-ins count no more at `now`.
fn lapsed(now: Timestamp) -> Lapsed {
    let before = |age: Duration| {
        let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_sub(micros))
    };
    Lapsed { made_before: before(ABSOLUTE), used_before: before(IDLE) }
}
