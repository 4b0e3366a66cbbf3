//! Accounts of people: who they are, what they may do, and the digest of their password.
//!
//! Where they are signed in is [`sign_ins`]; how they got in is [`invitations`]; as whom they sign in elsewhere is [`identities`]. Passwords and tokens never come here, only
//! their digests. That a tenant keeps an owner who can sign in is seen to by the statements themselves.

pub mod identities;
pub mod invitations;
pub mod setup;
pub mod sign_ins;

use serde::Serialize;
use serde_json::json;

use super::audit::{NewEntry, append};
use super::directory::no_tenant_or;
use super::sql::{Connection, Row, built, query};
use super::{Store, StoreError, TenantStore, dialect, from_id};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::role::Role;
use crate::ids::{OPERATOR, SignInId, TenantId, UserId};

/// Whether a person can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// They can.
    Active,
    /// They cannot, and are signed in nowhere.
    Disabled,
}

impl UserState {
    /// Its word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// An account, without the digest of its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: UserId,
    /// By what the person signs in, as it was written.
    pub email: String,
    /// What the person is called; may be empty.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they can sign in.
    pub state: UserState,
    /// Whether there is a password.
    pub has_password: bool,
    /// Whether the person wants mail about drafts that wait.
    pub approval_notices: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the person signed in last.
    pub last_signed_in_at: Option<Timestamp>,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// By what the person signs in.
    pub email: String,
    /// The same in the form for comparison.
    pub email_key: String,
    /// What the person is called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// PHC string of the password's digest.
    pub password_hash: Option<String>,
}

/// What a sign-in is judged by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose account it is.
    pub tenant: TenantId,
    /// The account.
    pub user: UserId,
    /// Whether the person can sign in.
    pub state: UserState,
    /// PHC string of the password's digest, where there is a password.
    pub password_hash: Option<String>,
}

/// Never shows the digest.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

const USER: &str = "SELECT tenant_id, user_id, email, name, role, state, password_hash IS NOT NULL, created_at, \
last_signed_in_at, approval_notices FROM users";

/// Of a change of an account: afterwards the tenant still has an owner who can sign in. `$1` tenant, `$2` user, `$3` the role
/// that the account then has; empty: none.
const KEEPING_AN_OWNER: &str =
    "WHERE tenant_id = $1 AND user_id = $2 AND ($3 = 'owner' OR role <> 'owner' OR state <> 'active' OR EXISTS (
    SELECT 1 FROM users AS o WHERE o.tenant_id = $1 AND o.user_id <> $2 AND o.role = 'owner' AND o.state = 'active'
))";

impl Store {
    /// The account that a tenant's name and an address in the form for comparison name. It is asked before a tenant is
    /// known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn credentials(&self, tenant: &str, email: &str) -> Result<Option<Credentials>, StoreError> {
        const FIND: &str = "\
SELECT u.tenant_id, u.user_id, u.state, u.password_hash FROM users AS u JOIN tenants AS t ON t.tenant_id = u.tenant_id
WHERE t.name = $1 AND u.email_key = $2";
        let row = query(FIND).bind(tenant).bind(email).fetch_optional(&self.doors).await?;
        row.as_ref().map(read_credentials).transpose()
    }

    /// The name of the only tenant beside the operator's; `None` where there are several, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn only_tenant(&self) -> Result<Option<String>, StoreError> {
        const NAMES: &str = "SELECT name FROM tenants WHERE tenant_id <> $1 ORDER BY tenant_id LIMIT 2";
        match query(NAMES).bind(OPERATOR.to_string()).fetch_all(&self.doors).await?.as_slice() {
            [only] => Ok(Some(only.try_get(0)?)),
            _ => Ok(None),
        }
    }

    /// Whether anybody has an account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        Ok(query(ANY_USER).fetch_one(&self.readers).await?.try_get(0)?)
    }
}

const ANY_USER: &str = "SELECT EXISTS (SELECT 1 FROM users)";

impl TenantStore {
    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one with this address; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn add_user(&self, user: NewUser) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move { insert_on_record(connection, tenant, user, Who::Operator, now).await })
            })
            .await
    }

    /// All accounts by their addresses.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let sql = format!("{USER} WHERE tenant_id = $1 ORDER BY email_key");
        let list = built(sql).bind(self.tenant.to_string());
        list.fetch_all(&self.store.readers).await?.iter().map(read_user).collect()
    }

    /// The account with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn user(&self, id: UserId) -> Result<Option<UserRow>, StoreError> {
        let sql = format!("{USER} WHERE tenant_id = $1 AND user_id = $2");
        let find = built(sql).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_user).transpose()
    }

    /// What a sign-in of the account with this id is judged by: for who gives the password again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn user_credentials(&self, id: UserId) -> Result<Option<Credentials>, StoreError> {
        const FIND: &str =
            "SELECT tenant_id, user_id, state, password_hash FROM users WHERE tenant_id = $1 AND user_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.doors).await?.as_ref().map(read_credentials).transpose()
    }

    /// Sets a password. Every sign-in of the account but `keep` ends, and links that would set another count no more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_password(
        &self,
        id: UserId,
        hash: String,
        keep: Option<SignInId>,
        who: Who,
    ) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move { change_password(connection, (tenant, id), (hash, keep), who, now).await })
            })
            .await
    }

    /// Sets the role of an account.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the tenant would be left without an owner; [`StoreError::NotFound`].
    pub async fn set_role(&self, id: UserId, role: Role, who: Who) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    // Two owners who make each other admins must not both succeed.
                    dialect::lock_tenants(connection, [tenant]).await?;
                    let (before, _) = standing(connection, tenant, id).await?;
                    let set = built(format!("UPDATE users SET role = $3 {KEEPING_AN_OWNER}"));
                    let set = set.bind(tenant.to_string()).bind(id.to_string()).bind(role.as_str());
                    if set.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict(LAST_OWNER));
                    }
                    if before == role {
                        return Ok(());
                    }
                    let detail = json!({ "before": before, "role": role });
                    append(connection, tenant, now, vec![NewEntry::new(who, "user.role_changed", id, detail)]).await
                })
            })
            .await
    }

    /// Lets a person sign in no more: all their sign-ins end, and links that would set a password count no more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the tenant would be left without an owner; [`StoreError::NotFound`].
    pub async fn disable_user(&self, id: UserId, who: Who) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    dialect::lock_tenants(connection, [tenant]).await?;
                    let (_, before) = standing(connection, tenant, id).await?;
                    let disable = built(format!("UPDATE users SET state = 'disabled' {KEEPING_AN_OWNER}"));
                    let disable = disable.bind(tenant.to_string()).bind(id.to_string()).bind("");
                    if disable.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict(LAST_OWNER));
                    }
                    forget_access(connection, (tenant, id), None).await?;
                    if before == UserState::Disabled {
                        return Ok(());
                    }
                    append(connection, tenant, now, vec![NewEntry::new(who, "user.disabled", id, json!({}))]).await
                })
            })
            .await
    }

    /// Says whether a person wants mail about drafts that wait.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_approval_notices(&self, id: UserId, wants: bool) -> Result<(), StoreError> {
        const SET: &str = "UPDATE users SET approval_notices = $3 WHERE tenant_id = $1 AND user_id = $2";
        let tenant = self.tenant.to_string();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let set = query(SET).bind(tenant).bind(id.to_string()).bind(i64::from(wants));
                    if set.execute(connection).await? == 0 { Err(StoreError::NotFound("user")) } else { Ok(()) }
                })
            })
            .await
    }

    /// Lets a person sign in again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn enable_user(&self, id: UserId, who: Who) -> Result<(), StoreError> {
        const ENABLE: &str =
            "UPDATE users SET state = 'active' WHERE tenant_id = $1 AND user_id = $2 AND state <> 'active'";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let enable = query(ENABLE).bind(tenant.to_string()).bind(id.to_string());
                    if enable.execute(&mut *connection).await? == 0 {
                        return standing(connection, tenant, id).await.map(|_| ());
                    }
                    append(connection, tenant, now, vec![NewEntry::new(who, "user.enabled", id, json!({}))]).await
                })
            })
            .await
    }
}

/// As [`insert`], and on record.
async fn insert_on_record(
    connection: &mut Connection,
    tenant: TenantId,
    user: NewUser,
    who: Who,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = NewEntry::new(who, "user.added", user.id, json!({ "role": user.role }));
    insert(connection, tenant, user, now).await?;
    append(connection, tenant, now, vec![entry]).await
}

/// Inserts an account.
async fn insert(
    connection: &mut Connection,
    tenant: TenantId,
    user: NewUser,
    now: Timestamp,
) -> Result<(), StoreError> {
    const ADD: &str = "\
INSERT INTO users (tenant_id, user_id, email, email_key, name, role, state, password_hash, password_changed_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, $8, $9)";
    let changed = user.password_hash.is_some().then_some(now.as_micros());
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(user.id.to_string())
        .bind(user.email)
        .bind(user.email_key)
        .bind(user.name)
        .bind(user.role.as_str())
        .bind(user.password_hash)
        .bind(changed)
        .bind(now.as_micros());
    add.execute(connection).await.map_err(no_tenant_or("an account with this address"))?;
    Ok(())
}

/// As [`TenantStore::set_password`], within a transaction.
async fn change_password(
    connection: &mut Connection,
    (tenant, id): (TenantId, UserId),
    (hash, keep): (String, Option<SignInId>),
    who: Who,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SET: &str =
        "UPDATE users SET password_hash = $3, password_changed_at = $4 WHERE tenant_id = $1 AND user_id = $2";
    let set = query(SET).bind(tenant.to_string()).bind(id.to_string()).bind(hash).bind(now.as_micros());
    if set.execute(&mut *connection).await? == 0 {
        return Err(StoreError::NotFound("user"));
    }
    forget_access(connection, (tenant, id), keep).await?;
    append(connection, tenant, now, vec![NewEntry::new(who, "user.password_set", id, json!({}))]).await
}

/// Ends the sign-ins of an account but `keep`, and the links that would set its password.
async fn forget_access(
    connection: &mut Connection,
    (tenant, id): (TenantId, UserId),
    keep: Option<SignInId>,
) -> Result<(), StoreError> {
    const END: &str = "DELETE FROM sign_ins WHERE tenant_id = $1 AND user_id = $2 AND sign_in_id <> $3";
    const WITHDRAW: &str = "DELETE FROM invitations WHERE tenant_id = $1 AND user_id = $2";
    let keep = keep.map_or_else(String::new, |keep| keep.to_string());
    query(END).bind(tenant.to_string()).bind(id.to_string()).bind(keep).execute(&mut *connection).await?;
    query(WITHDRAW).bind(tenant.to_string()).bind(id.to_string()).execute(connection).await?;
    Ok(())
}

/// Role and state of an account within a transaction.
async fn standing(connection: &mut Connection, tenant: TenantId, id: UserId) -> Result<(Role, UserState), StoreError> {
    const FIND: &str = "SELECT role, state FROM users WHERE tenant_id = $1 AND user_id = $2";
    let row = query(FIND).bind(tenant.to_string()).bind(id.to_string()).fetch_optional(connection).await?;
    let row = row.ok_or(StoreError::NotFound("user"))?;
    Ok((read_role(row.try_get(0)?)?, read_state(row.try_get(1)?)?))
}

/// Why the last owner stays what they are.
pub const LAST_OWNER: &str = "nobody else is an owner who can sign in; make another owner first";

fn read_user(row: &Row) -> Result<UserRow, StoreError> {
    let state: &str = row.try_get(5)?;
    Ok(UserRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("user_id", row.try_get(1)?)?,
        email: row.try_get(2)?,
        name: row.try_get(3)?,
        role: read_role(row.try_get(4)?)?,
        state: read_state(state)?,
        has_password: row.try_get(6)?,
        created_at: Timestamp::from_micros(row.try_get(7)?),
        last_signed_in_at: row.try_get::<Option<i64>>(8)?.map(Timestamp::from_micros),
        approval_notices: row.try_get::<i64>(9)? == 1,
    })
}

fn read_credentials(row: &Row) -> Result<Credentials, StoreError> {
    Ok(Credentials {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        user: from_id("user_id", row.try_get(1)?)?,
        state: read_state(row.try_get(2)?)?,
        password_hash: row.try_get(3)?,
    })
}

fn read_role(word: &str) -> Result<Role, StoreError> {
    Role::parse(word).ok_or_else(|| StoreError::Unreadable { what: "role", detail: "not a known word".to_owned() })
}

fn read_state(word: &str) -> Result<UserState, StoreError> {
    let all = [UserState::Active, UserState::Disabled];
    let found = all.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| StoreError::Unreadable { what: "state", detail: "not a known word".to_owned() })
}
