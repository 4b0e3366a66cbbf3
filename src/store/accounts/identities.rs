//! As whom people sign in elsewhere: issuer and subject there (OpenID Connect), of one account here.
//!
//! Each statement that gives somebody an account or another way in also writes it into the audit log.

use serde_json::json;

use super::{NewUser, insert, read_role};
use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::ids::{TenantId, UserId};
use crate::store::audit::{NewEntry, append};
use crate::store::directory::no_tenant_or;
use crate::store::sql::{Connection, query};
use crate::store::{StoreError, TenantStore, from_id};

/// A person at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
}

/// Somebody whose issuer says who they are, and who has no account yet.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Who they are.
    pub identity: Identity,
    /// Their address, which the issuer checked, in the form for comparison.
    pub email_key: String,
    /// What they are called.
    pub name: String,
}

impl TenantStore {
    /// The account of a person at an issuer, whether or not they can sign in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn user_of_identity(&self, identity: &Identity) -> Result<Option<UserId>, StoreError> {
        const FIND: &str = "SELECT user_id FROM identities WHERE tenant_id = $1 AND issuer = $2 AND subject = $3";
        let find = query(FIND).bind(self.tenant.to_string()).bind(&identity.issuer).bind(&identity.subject);
        let row = find.fetch_optional(&self.store.doors).await?;
        row.map(|row| from_id("user_id", row.try_get(0)?)).transpose()
    }

    /// Lets a person sign in as somebody at an issuer.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when that is somebody's already; [`StoreError::NotFound`] when there is no such account.
    pub async fn link_identity(&self, user: UserId, identity: Identity) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move { link(connection, (tenant, user), &identity, "user.linked", now).await })
            })
            .await
    }

    /// Makes the account that an invitation is for, which somebody has whose issuer checked the invited address. It has no
    /// password. `None` where nobody invited them. Links that set a password of an account are no invitations.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is an account with this address by now.
    pub async fn join_by_invitation(&self, newcomer: Newcomer) -> Result<Option<UserId>, StoreError> {
        const TAKE: &str = "DELETE FROM invitations WHERE tenant_id = $1 AND email_key = $2 AND user_id IS NULL \
AND expires_at > $3 RETURNING email, email_key, role";
        let (tenant, now, fresh) = (self.tenant, self.store.clock.now(), self.store.clock.mint());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let take = query(TAKE).bind(tenant.to_string()).bind(&newcomer.email_key).bind(now.as_micros());
                    let Some(row) = take.fetch_optional(&mut *connection).await? else { return Ok(None) };
                    let user = NewUser {
                        id: fresh,
                        email: row.try_get(0)?,
                        email_key: row.try_get(1)?,
                        name: newcomer.name,
                        role: read_role(row.try_get(2)?)?,
                        password_hash: None,
                    };
                    insert(connection, tenant, user, now).await?;
                    link(connection, (tenant, fresh), &newcomer.identity, "user.joined", now).await?;
                    Ok(Some(fresh))
                })
            })
            .await
    }

    /// Makes the account of somebody whose issuer may bring people in.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is an account with this address, whose person must link it.
    pub async fn join_by_issuer(&self, user: NewUser, identity: Identity) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let id = user.id;
                    insert(connection, tenant, user, now).await?;
                    link(connection, (tenant, id), &identity, "user.joined", now).await
                })
            })
            .await
    }
}

async fn link(
    connection: &mut Connection,
    (tenant, user): (TenantId, UserId),
    identity: &Identity,
    action: &'static str,
    now: Timestamp,
) -> Result<(), StoreError> {
    const ADD: &str = "\
INSERT INTO identities (tenant_id, issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4, $5)";
    let add = query(ADD).bind(tenant.to_string()).bind(&identity.issuer).bind(&identity.subject);
    let add = add.bind(user.to_string()).bind(now.as_micros());
    add.execute(&mut *connection).await.map_err(no_tenant_or("an account with this sign-in"))?;
    let detail = json!({ "issuer": identity.issuer, "subject": identity.subject });
    let entry = NewEntry::new(Who::Actor(Actor::User { user }), action, user, detail);
    append(connection, tenant, now, vec![entry]).await
}
