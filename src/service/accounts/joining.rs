//! Links by which people get an account: made by an admin or the operator, used once by whoever has it.
//!
//! # Security
//! A link is a secret until it is used. It is told to who made it, once, and kept as a digest alone. None signs anybody in:
//! a link sets a password, and that signs in.

use std::time::Duration;

use super::sign_in::{MOST_CHARACTERS, personal};
use super::{AccountError, Password, Role, Secret, UserRow};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::UserId;
use crate::mail::address::Mailbox;
use crate::service::Service;
use crate::store::accounts::NewUser;
use crate::store::accounts::invitations::{InvitationRow, NewInvitation};
use crate::store::{Store, StoreError, TenantStore};

/// How long a link for one person can be used.
pub const LINK_VALID: Duration = Duration::from_hours(7 * 24);
/// How long the link for the first person can be used.
pub const SETUP_VALID: Duration = Duration::from_hours(24);

/// A link, to be shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its address.
    pub url: String,
    /// For whom.
    pub email: String,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// What a link offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Of which tenant.
    pub organisation: String,
    /// For whom.
    pub email: String,
    /// What the person may do then; `None` where the account is there already, and the link sets its password.
    pub role: Option<Role>,
}

/// Makes a link for a new account; the one for the same address before counts no more.
///
/// # Errors
/// [`AccountError::Invalid`] for an address that is none; [`AccountError::Conflict`] when it has an account.
pub async fn invite(
    own: &TenantStore,
    email: &str,
    role: Role,
    invited_by: Option<UserId>,
    base_url: &str,
) -> Result<Link, AccountError> {
    let (email, email_key) = checked_email(email)?;
    make_link(own, (email, email_key), (role, None, invited_by), base_url).await
}

/// Makes a link that sets the password of an account.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn reset_link(own: &TenantStore, user: &UserRow, base_url: &str) -> Result<Link, AccountError> {
    make_link(own, checked_email(&user.email)?, (user.role, Some(user.id), None), base_url).await
}

async fn make_link(
    own: &TenantStore,
    (email, email_key): (String, String),
    (role, user, invited_by): (Role, Option<UserId>, Option<UserId>),
    base_url: &str,
) -> Result<Link, AccountError> {
    let (token, clock) = (Secret::new(), own.clock());
    let expires_at = clock.now().plus(LINK_VALID);
    let (id, token_hash) = (clock.mint(), token.hash());
    let new = NewInvitation { id, token_hash, email: email.clone(), email_key, role, user, invited_by, expires_at };
    own.add_invitation(new).await?;
    Ok(Link { url: format!("{}/invitations/{}", base_url.trim_end_matches('/'), token.reveal()), email, expires_at })
}

/// Makes an account with a password.
///
/// # Errors
/// [`AccountError::Invalid`] for an address that is none and a password that is no good; [`AccountError::Conflict`] when the
/// address has an account.
pub async fn make_account(own: &TenantStore, email: &str, role: Role, password: &str) -> Result<UserId, AccountError> {
    let (email, email_key) = checked_email(email)?;
    let password = Password::choose(password, &personal(&email, "", ""))?;
    let password_hash = Some(super::Accounts::default().digester.digest(password).await?);
    let id = own.clock().mint();
    own.add_user(NewUser { id, email, email_key, name: String::new(), role, password_hash }).await?;
    Ok(id)
}

/// Sets the password of an account, as the operator does, which ends every sign-in of it.
///
/// # Errors
/// [`AccountError::Invalid`] for one that is no good; [`AccountError::NotFound`].
pub async fn set_password(own: &TenantStore, user: &UserRow, password: &str) -> Result<(), AccountError> {
    let password = Password::choose(password, &personal(&user.email, &user.name, ""))?;
    let digest = super::Accounts::default().digester.digest(password).await?;
    Ok(own.set_password(user.id, digest, None, Who::Operator).await?)
}

/// Makes the link for the first person; the one before counts no more.
///
/// # Errors
/// [`AccountError::Conflict`] when somebody has an account.
pub async fn setup_link(store: &Store, base_url: &str) -> Result<String, AccountError> {
    let token = Secret::new();
    store.keep_setup_link(token.hash(), SETUP_VALID).await?;
    Ok(format!("{}/setup/{}", base_url.trim_end_matches('/'), token.reveal()))
}

impl Service {
    /// What a link offers now.
    ///
    /// # Errors
    /// [`AccountError::LinkGone`].
    pub async fn offer(&self, token: &Secret) -> Result<Offer, AccountError> {
        let row = self.open_link(token).await?;
        let organisation = self.store.for_tenant(row.tenant).name().await?;
        Ok(Offer { organisation, email: row.email, role: row.user.is_none().then_some(row.role) })
    }

    /// Uses a link: makes the account, or sets its password, which ends every sign-in of it.
    ///
    /// # Errors
    /// [`AccountError::LinkGone`]; [`AccountError::Invalid`] for a password or name that is no good, which does not use it.
    pub async fn accept(&self, token: &Secret, name: &str, password: &str) -> Result<(), AccountError> {
        let row = self.open_link(token).await?;
        let own = self.store.for_tenant(row.tenant);
        let name = checked_name(name)?;
        let password = Password::choose(password, &personal(&row.email, &name, &own.name().await?))?;
        let digest = self.accounts.digester.digest(password).await?;
        match own.accept_invitation(token.hash(), name, digest).await {
            Ok(user) => {
                tracing::info!(tenant.id = %row.tenant, user.id = %user, "`{user}` set a password by a link");
                Ok(())
            }
            Err(StoreError::NotFound(_)) => Err(AccountError::LinkGone),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_link(&self, token: &Secret) -> Result<InvitationRow, AccountError> {
        self.store.invitation_by_token(&token.hash()).await?.ok_or(AccountError::LinkGone)
    }

    /// Whether the link for the first person can be used now; the name of the only tenant, if there is one.
    ///
    /// # Errors
    /// [`AccountError::LinkGone`].
    pub async fn setup_offer(&self, token: &Secret) -> Result<Option<String>, AccountError> {
        if self.store.setup_is_open(&token.hash()).await? {
            Ok(self.store.only_tenant().await?)
        } else {
            Err(AccountError::LinkGone)
        }
    }

    /// Makes the first account, an owner's, of the tenant with this name, which is made where there is none.
    ///
    /// # Errors
    /// [`AccountError::LinkGone`]; [`AccountError::Invalid`], which does not use the link.
    pub async fn set_up(
        &self,
        token: &Secret,
        (organisation, name): (&str, &str),
        (email, password): (&str, &str),
    ) -> Result<(), AccountError> {
        self.setup_offer(token).await?;
        let organisation = checked_name(organisation)?;
        if organisation.is_empty() {
            return Err(AccountError::Invalid { field: "organisation", message: "must not be empty" });
        }
        let name = checked_name(name)?;
        let (email, email_key) = checked_email(email)?;
        let password = Password::choose(password, &personal(&email, &name, &organisation))?;
        let password_hash = Some(self.accounts.digester.digest(password).await?);
        let user = NewUser { id: self.clock().mint(), email, email_key, name, role: Role::Owner, password_hash };
        let id = user.id;
        match self.store.set_up(token.hash(), organisation, user).await {
            Ok(tenant) => {
                tracing::info!(tenant.id = %tenant, user.id = %id, "`{id}` is the first owner");
                Ok(())
            }
            Err(StoreError::NotFound(_) | StoreError::Conflict(_)) => Err(AccountError::LinkGone),
            Err(error) => Err(error.into()),
        }
    }
}

/// An address as it is shown, and in the form for comparison.
pub(super) fn checked_email(text: &str) -> Result<(String, String), AccountError> {
    let text = text.trim();
    match Mailbox::parse(text) {
        Ok(mailbox) if text.len() <= MOST_EMAIL => Ok((text.to_owned(), mailbox.key())),
        _ => Err(AccountError::Invalid { field: "email", message: "must be an address, such as ann@example.org" }),
    }
}

/// RFC 5321 §4.5.3.1.3: a path of 256 octets, with its angle brackets.
const MOST_EMAIL: usize = 254;

pub(super) fn checked_name(text: &str) -> Result<String, AccountError> {
    let text = text.trim();
    if text.chars().count() > MOST_CHARACTERS || text.chars().any(char::is_control) {
        return Err(AccountError::Invalid { field: "name", message: "must be one line of at most 200 characters" });
    }
    Ok(text.to_owned())
}
