//! Links by which a person gets an account, or sets a new password. Each can be used once.

use serde::Serialize;
use serde_json::json;

use super::{NewUser, change_password, insert_on_record, read_role};
use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::{Who, subject_of_address};
use crate::governance::notice::NoticeKind;
use crate::governance::role::Role;
use crate::ids::{InvitationId, TenantId, UserId};
use crate::store::audit::{NewEntry, append};
use crate::store::directory::no_tenant_or;
use crate::store::notices::{Detail, To, queue};
use crate::store::sql::{Row, query};
use crate::store::{Store, StoreError, TenantStore, from_id};

/// A link that was not used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvitationRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: InvitationId,
    /// For whom.
    pub email: String,
    /// What the person may do then; of no meaning where `user` is some.
    pub role: Role,
    /// Whose password it sets, where the account is there already.
    pub user: Option<UserId>,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// A link to be made.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Its id.
    pub id: InvitationId,
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// For whom.
    pub email: String,
    /// The same in the form for comparison.
    pub email_key: String,
    /// What the person may do then.
    pub role: Role,
    /// Whose password it sets, where the account is there already.
    pub user: Option<UserId>,
    /// Who made it; `None`: the operator.
    pub invited_by: Option<UserId>,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

const INVITATION: &str = "SELECT tenant_id, invitation_id, email, role, user_id, expires_at FROM invitations";

impl Store {
    /// The link whose token has this digest, if it can be used now: it is what names the tenant of a request.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn invitation_by_token(&self, hash: &[u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("{INVITATION} WHERE (token_hash = $1 OR mail_token_hash = $1) AND expires_at > $2");
        let find = crate::store::sql::built(sql).bind(hash).bind(self.clock.now().as_micros());
        find.fetch_optional(&self.doors).await?.as_ref().map(read).transpose()
    }
}

impl TenantStore {
    /// Makes a link, in place of any other for the same address, and mails one to who gets an account by it; forgets those that can be used no more.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it is for a new account and there is one with this address; [`StoreError::NotFound`] when
    /// the account that it is for is not there.
    pub async fn add_invitation(&self, new: NewInvitation) -> Result<(), StoreError> {
        const FORGET: &str = "DELETE FROM invitations WHERE tenant_id = $1 AND (expires_at <= $2 OR email_key = $3)";
        const KNOWN: &str = "SELECT 1 FROM users WHERE tenant_id = $1 AND email_key = $2";
        const ADD: &str = "\
INSERT INTO invitations (tenant_id, invitation_id, token_hash, email, email_key, role, user_id, invited_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let (own, tenant, now) = (self.tenant, self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let forget = query(FORGET).bind(&tenant).bind(now.as_micros()).bind(&new.email_key);
                    forget.execute(&mut *connection).await?;
                    let known = query(KNOWN).bind(&tenant).bind(&new.email_key);
                    if new.user.is_none() && known.fetch_optional(&mut *connection).await?.is_some() {
                        return Err(StoreError::Exists("an account with this address"));
                    }
                    let to = To { user: None, address_key: new.email_key.clone() };
                    let (id, is_new) = (new.id.to_string(), new.user.is_none());
                    let who = new.invited_by.map_or(Who::Operator, |user| Who::Actor(Actor::User { user }));
                    let entry = match new.user {
                        None => {
                            let detail = json!({ "address": new.email_key, "role": new.role, "invitation": id });
                            NewEntry::new(who, "user.invited", subject_of_address(&new.email_key), detail)
                        }
                        Some(user) => NewEntry::new(who, "user.password_link_made", user, json!({ "invitation": id })),
                    };
                    let add = query(ADD)
                        .bind(&tenant)
                        .bind(new.id.to_string())
                        .bind(&new.token_hash)
                        .bind(new.email)
                        .bind(new.email_key)
                        .bind(new.role.as_str())
                        .bind(new.user.map(|user| user.to_string()))
                        .bind(new.invited_by.map(|user| user.to_string()))
                        .bind(now.as_micros())
                        .bind(new.expires_at.as_micros());
                    add.execute(&mut *connection).await.map_err(no_tenant_or("this link"))?;
                    if is_new {
                        queue(connection, own, (NoticeKind::Invitation, id, to), Detail::default(), now).await?;
                    }
                    append(connection, own, now, vec![entry]).await
                })
            })
            .await
    }

    /// Links that can be used now, by the addresses they are for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn invitations(&self) -> Result<Vec<InvitationRow>, StoreError> {
        let sql = format!("{INVITATION} WHERE tenant_id = $1 AND expires_at > $2 ORDER BY email_key");
        let list = crate::store::sql::built(sql).bind(self.tenant.to_string()).bind(self.store.clock.now().as_micros());
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }

    /// Gives a link that makes an account a second token, by which it is mailed; the one that was mailed before counts no more.
    /// `None` where it can be used no more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn mail_invitation(&self, id: InvitationId, hash: [u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        const MAIL: &str = "UPDATE invitations SET mail_token_hash = $3 \
WHERE tenant_id = $1 AND invitation_id = $2 AND expires_at > $4 AND user_id IS NULL \
RETURNING tenant_id, invitation_id, email, role, user_id, expires_at";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let mail = query(MAIL).bind(tenant).bind(id.to_string()).bind(&hash).bind(now.as_micros());
                    mail.fetch_optional(connection).await?.as_ref().map(read).transpose()
                })
            })
            .await
    }

    /// Takes a link back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn withdraw_invitation(&self, id: InvitationId, who: Who) -> Result<(), StoreError> {
        const WITHDRAW: &str = "DELETE FROM invitations \
WHERE tenant_id = $1 AND invitation_id = $2 AND created_at <= $3 RETURNING email_key";
        let told = move |address: String| {
            let detail = json!({ "address": address, "invitation": id });
            NewEntry::new(who, "invitation.withdrawn", subject_of_address(&address), detail)
        };
        self.change_on_record(WITHDRAW, id.to_string(), "invitation", told).await
    }

    /// Uses a link: makes the account that it is for, or sets its password. Of two at the same moment one succeeds.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was used, withdrawn or is over; [`StoreError::Exists`] when there is an account with
    /// this address by now.
    pub async fn accept_invitation(
        &self,
        hash: [u8; 32],
        name: String,
        password: String,
    ) -> Result<UserId, StoreError> {
        const TAKE: &str = "DELETE FROM invitations WHERE tenant_id = $1 \
AND (token_hash = $2 OR mail_token_hash = $2) AND expires_at > $3 \
RETURNING email, email_key, role, user_id";
        let (tenant, now, fresh) = (self.tenant, self.store.clock.now(), self.store.clock.mint());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let take = query(TAKE).bind(tenant.to_string()).bind(&hash).bind(now.as_micros());
                    let row = take.fetch_optional(&mut *connection).await?;
                    let row = row.ok_or(StoreError::NotFound("invitation"))?;
                    if let Some(user) = row.try_get::<Option<&str>>(3)? {
                        let user = from_id("user_id", user)?;
                        let who = Who::Actor(Actor::User { user });
                        change_password(connection, (tenant, user), (password, None), who, now).await?;
                        return Ok(user);
                    }
                    let user = NewUser {
                        id: fresh,
                        email: row.try_get(0)?,
                        email_key: row.try_get(1)?,
                        name,
                        role: read_role(row.try_get(2)?)?,
                        password_hash: Some(password),
                    };
                    let who = Who::Actor(Actor::User { user: fresh });
                    insert_on_record(connection, tenant, user, who, now).await?;
                    Ok(fresh)
                })
            })
            .await
    }
}

fn read(row: &Row) -> Result<InvitationRow, StoreError> {
    let user: Option<&str> = row.try_get(4)?;
    Ok(InvitationRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("invitation_id", row.try_get(1)?)?,
        email: row.try_get(2)?,
        role: read_role(row.try_get(3)?)?,
        user: user.map(|user| from_id("user_id", user)).transpose()?,
        expires_at: Timestamp::from_micros(row.try_get(5)?),
    })
}
