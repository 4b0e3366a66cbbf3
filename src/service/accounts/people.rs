//! What admins do with the accounts of their tenant.
//!
//! Nobody changes an account whose role they may not manage ([`Role::may_manage`]), and all of it asks for the password not
//! long ago: a browser that somebody left open makes no accounts.

use super::{AccountError, Admin, InvitationRow, Link, Role, SignedIn, UserRow};
use crate::governance::audit::Who;
use crate::ids::{InvitationId, UserId};
use crate::service::Service;
use crate::store::TenantStore;

impl Service {
    /// The accounts of the tenant, and the links that were not used yet.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn people(&self, who: &SignedIn<Admin>) -> Result<(Vec<UserRow>, Vec<InvitationRow>), AccountError> {
        let own = self.rows_of(who);
        Ok((own.users().await?, own.invitations().await?))
    }

    /// Makes a link by which whoever has it gets an account.
    ///
    /// # Errors
    /// [`AccountError::Role`] when the role is not the admin's to give; [`AccountError::Invalid`] for an address that is
    /// none; [`AccountError::Conflict`] when it has an account.
    pub async fn invite(&self, who: &SignedIn<Admin>, email: &str, role: Role) -> Result<Link, AccountError> {
        who.require_step_up(self.clock().now())?;
        may_manage(who, role)?;
        let link = super::invite(&self.rows_of(who), email, role, Some(who.user()), &self.base_url).await?;
        tracing::info!(tenant.id = %who.tenant(), user.id = %who.user(), "`{}` invited a person as {role}", who.user());
        Ok(link)
    }

    /// Takes a link back.
    ///
    /// # Errors
    /// [`AccountError::NotFound`]; [`AccountError::Role`] when it is not the admin's to take.
    pub async fn withdraw_invitation(&self, who: &SignedIn<Admin>, id: InvitationId) -> Result<(), AccountError> {
        let own = self.rows_of(who);
        let all = own.invitations().await?;
        let found = all.iter().find(|row| row.id == id).ok_or(AccountError::NotFound("invitation"))?;
        may_manage(who, found.role)?;
        Ok(own.withdraw_invitation(id, Who::Actor(who.actor())).await?)
    }

    /// Gives an account another role.
    ///
    /// # Errors
    /// [`AccountError::Role`] when either role is not the admin's to give or take; [`AccountError::Conflict`] for the last
    /// owner; [`AccountError::NotFound`].
    pub async fn set_role(&self, who: &SignedIn<Admin>, user: UserId, role: Role) -> Result<(), AccountError> {
        let own = self.managed(who, user).await?;
        may_manage(who, role)?;
        own.set_role(user, role, Who::Actor(who.actor())).await?;
        tracing::info!(tenant.id = %who.tenant(), user.id = %who.user(), "`{}` made `{user}` {role}", who.user());
        Ok(())
    }

    /// Lets a person sign in no more; all their sign-ins end at once.
    ///
    /// # Errors
    /// As [`Service::set_role`]; [`AccountError::Conflict`] for the admin's own account.
    pub async fn disable(&self, who: &SignedIn<Admin>, user: UserId) -> Result<(), AccountError> {
        let own = self.managed(who, user).await?;
        if user == who.user() {
            return Err(AccountError::Conflict("nobody disables their own account; ask another admin"));
        }
        own.disable_user(user, Who::Actor(who.actor())).await?;
        tracing::info!(tenant.id = %who.tenant(), user.id = %who.user(), "`{}` disabled `{user}`", who.user());
        Ok(())
    }

    /// Lets a person sign in again.
    ///
    /// # Errors
    /// As [`Service::set_role`].
    pub async fn enable(&self, who: &SignedIn<Admin>, user: UserId) -> Result<(), AccountError> {
        self.managed(who, user).await?.enable_user(user, Who::Actor(who.actor())).await?;
        tracing::info!(tenant.id = %who.tenant(), user.id = %who.user(), "`{}` enabled `{user}`", who.user());
        Ok(())
    }

    /// The rows of the admin's tenant, if this account of it is theirs to change, and now.
    async fn managed(&self, who: &SignedIn<Admin>, user: UserId) -> Result<TenantStore, AccountError> {
        who.require_step_up(self.clock().now())?;
        let own = self.rows_of(who);
        let user = own.user(user).await?.ok_or(AccountError::NotFound("user"))?;
        may_manage(who, user.role)?;
        Ok(own)
    }

    fn rows_of<R>(&self, who: &SignedIn<R>) -> TenantStore {
        self.store.for_tenant(who.tenant())
    }
}

fn may_manage(who: &SignedIn<Admin>, role: Role) -> Result<(), AccountError> {
    if who.role().may_manage(role) { Ok(()) } else { Err(AccountError::Role(Role::Owner)) }
}
