//! Where people are signed in: one row for each browser, found by the digest of its cookie's token.

use serde::Serialize;
use serde_json::json;

use super::identities::Identity;
use super::read_role;
use crate::clock::Timestamp;
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::governance::notice::NoticeKind;
use crate::governance::role::Role;
use crate::ids::{SignInId, TenantId, UserId};
use crate::store::audit::{NewEntry, append};
use crate::store::notices::{Detail, To, queue};
use crate::store::sql::{Connection, Row, query};
use crate::store::{Store, StoreError, TenantStore, from_id};

/// Who is behind a token. Whether it still counts is for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub tenant_name: String,
    /// The sign-in.
    pub id: SignInId,
    /// The person.
    pub user: UserId,
    /// By what they sign in.
    pub email: String,
    /// What they are called; may be empty.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Timestamp,
    /// When the password was given last.
    pub stepped_up_at: Timestamp,
}

/// A sign-in as its person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignInRow {
    /// Its id.
    pub id: SignInId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Timestamp,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// From where it was made.
    pub address: Option<String>,
}

/// A sign-in to be kept.
#[derive(Debug, Clone)]
pub struct NewSignIn {
    /// Its id.
    pub id: SignInId,
    /// Who signed in.
    pub user: UserId,
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// Whether the person signed in at this browser before.
    pub is_known_browser: bool,
}

/// By what somebody signs in, which must still be so when the sign-in is kept: judging it took a while.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The password with this digest.
    Password(String),
    /// An issuer says so, who asked the person for proof at this moment, if it says when.
    Issuer(Identity, Option<Timestamp>),
}

#[cfg(test)]
impl From<&str> for Proof {
    fn from(digest: &str) -> Self {
        Self::Password(digest.to_owned())
    }
}

/// Sign-ins that count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapsed {
    /// Those made before this moment.
    pub made_before: Timestamp,
    /// Those used last before this moment.
    pub used_before: Timestamp,
}

/// One person is signed in at no more browsers; the one that was used longest ago ends.
const PER_USER: i64 = 20;

impl Store {
    /// The sign-in whose token has this digest, unless its person was disabled: it is what names the tenant of a request.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sign_in_by_token(&self, hash: &[u8; 32]) -> Result<Option<SignInRecord>, StoreError> {
        const FIND: &str = "\
SELECT s.tenant_id, t.name, s.sign_in_id, s.user_id, u.email, u.name, u.role, s.created_at, s.last_used_at, s.stepped_up_at
FROM sign_ins AS s JOIN users AS u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id
JOIN tenants AS t ON t.tenant_id = s.tenant_id WHERE s.token_hash = $1 AND u.state = 'active'";
        let row = query(FIND).bind(hash).fetch_optional(&self.doors).await?;
        let time = |row: &Row, column: usize| row.try_get(column).map(Timestamp::from_micros);
        let read = |row: Row| {
            Ok(SignInRecord {
                tenant: from_id("tenant_id", row.try_get(0)?)?,
                tenant_name: row.try_get(1)?,
                id: from_id("sign_in_id", row.try_get(2)?)?,
                user: from_id("user_id", row.try_get(3)?)?,
                email: row.try_get(4)?,
                name: row.try_get(5)?,
                role: read_role(row.try_get(6)?)?,
                created_at: time(&row, 7)?,
                last_used_at: time(&row, 8)?,
                stepped_up_at: time(&row, 9)?,
            })
        };
        row.map(read).transpose()
    }
}

impl TenantStore {
    /// Keeps a sign-in of a person who can sign in and has the proof still, and forgets those of the tenant that count no
    /// more. The person is told of one by password at a new browser; one by an issuer is written into the audit log.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such person, or no such one any more.
    pub async fn add_sign_in(&self, sign_in: NewSignIn, proof: Proof, lapsed: Lapsed) -> Result<(), StoreError> {
        const FORGET: &str = "DELETE FROM sign_ins WHERE tenant_id = $1 AND (created_at < $2 OR last_used_at < $3)";
        const KNOWN: &str =
            "SELECT email_key FROM users WHERE tenant_id = $1 AND user_id = $2 AND last_signed_in_at IS NOT NULL";
        const ADD: &str = "\
INSERT INTO sign_ins (tenant_id, sign_in_id, user_id, token_hash, created_at, last_used_at, stepped_up_at, user_agent, address)
VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)";
        const BOUND: &str = "\
DELETE FROM sign_ins WHERE tenant_id = $1 AND user_id = $2 AND sign_in_id NOT IN (
    SELECT s.sign_in_id FROM sign_ins AS s WHERE s.tenant_id = $1 AND s.user_id = $2
    ORDER BY s.last_used_at DESC, s.sign_in_id DESC LIMIT $3
)";
        let (id, now) = (self.tenant, self.store.clock.now());
        let tenant = id.to_string();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let forget = query(FORGET).bind(&tenant);
                    let forget = forget.bind(lapsed.made_before.as_micros()).bind(lapsed.used_before.as_micros());
                    forget.execute(&mut *connection).await?;
                    let user = sign_in.user.to_string();
                    // Who signs in for the first time knows of it; an issuer tells its people itself.
                    let known = query(KNOWN).bind(&tenant).bind(&user).fetch_optional(&mut *connection).await?;
                    note(connection, (&tenant, &user), &proof, now).await?;
                    if let (Some(row), false, Proof::Password(_)) = (known, sign_in.is_known_browser, &proof) {
                        let to = To { user: Some(sign_in.user), address_key: row.try_get(0)? };
                        let new = (NoticeKind::SignIn, sign_in.id.to_string(), to);
                        let detail = Detail { address: sign_in.address.clone(), browser: sign_in.user_agent.clone() };
                        queue(connection, id, new, detail, now).await?;
                    }
                    let proved_at = match &proof {
                        Proof::Password(_) => now,
                        // Where nobody says when, it may have been long ago.
                        Proof::Issuer(_, at) => at.unwrap_or(Timestamp::from_micros(0)).min(now),
                    };
                    query(ADD)
                        .bind(&tenant)
                        .bind(sign_in.id.to_string())
                        .bind(&user)
                        .bind(&sign_in.token_hash)
                        .bind(now.as_micros())
                        .bind(proved_at.as_micros())
                        .bind(sign_in.user_agent)
                        .bind(sign_in.address)
                        .execute(&mut *connection)
                        .await?;
                    query(BOUND).bind(&tenant).bind(&user).bind(PER_USER).execute(&mut *connection).await?;
                    let Proof::Issuer(identity, _) = proof else { return Ok(()) };
                    let who = Who::Actor(Actor::User { user: sign_in.user });
                    let detail = json!({ "issuer": identity.issuer, "subject": identity.subject });
                    let entry = NewEntry::new(who, "user.signed_in", sign_in.id, detail);
                    append(connection, id, now, vec![entry]).await
                })
            })
            .await
    }

    /// The sign-ins of a person, the one used last first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sign_ins(&self, user: UserId, lapsed: Lapsed) -> Result<Vec<SignInRow>, StoreError> {
        const LIST: &str = "\
SELECT sign_in_id, created_at, last_used_at, user_agent, address FROM sign_ins
WHERE tenant_id = $1 AND user_id = $2 AND created_at >= $3 AND last_used_at >= $4 ORDER BY last_used_at DESC, sign_in_id DESC";
        let list = query(LIST).bind(self.tenant.to_string()).bind(user.to_string());
        let list = list.bind(lapsed.made_before.as_micros()).bind(lapsed.used_before.as_micros());
        let rows = list.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(SignInRow {
                id: from_id("sign_in_id", row.try_get(0)?)?,
                created_at: Timestamp::from_micros(row.try_get(1)?),
                last_used_at: Timestamp::from_micros(row.try_get(2)?),
                user_agent: row.try_get(3)?,
                address: row.try_get(4)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Notes that a sign-in was used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn note_sign_in_use(&self, id: SignInId) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE sign_ins SET last_used_at = $3 WHERE tenant_id = $1 AND sign_in_id = $2";
        match self.change_one(NOTE, id.to_string(), "sign-in").await {
            // It ended meanwhile, and stays so.
            Err(StoreError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Gives a sign-in a new token, since the password was given again. The old one counts no more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the sign-in ended meanwhile, or has another token already.
    pub async fn renew_sign_in(&self, id: SignInId, old: [u8; 32], new: [u8; 32]) -> Result<(), StoreError> {
        const RENEW: &str = "UPDATE sign_ins SET token_hash = $4, stepped_up_at = $5, last_used_at = $5 \
WHERE tenant_id = $1 AND sign_in_id = $2 AND token_hash = $3";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let renew = query(RENEW).bind(tenant).bind(id.to_string()).bind(&old).bind(&new);
                    let renewed = renew.bind(now.as_micros()).execute(connection).await?;
                    if renewed == 0 { Err(StoreError::NotFound("sign-in")) } else { Ok(()) }
                })
            })
            .await
    }

    /// Ends a sign-in of this person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn end_sign_in(&self, user: UserId, id: SignInId) -> Result<(), StoreError> {
        const END: &str = "DELETE FROM sign_ins WHERE tenant_id = $1 AND user_id = $2 AND sign_in_id = $3";
        let tenant = self.tenant.to_string();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let end = query(END).bind(tenant).bind(user.to_string()).bind(id.to_string());
                    let ended = end.execute(connection).await?;
                    if ended == 0 { Err(StoreError::NotFound("sign-in")) } else { Ok(()) }
                })
            })
            .await
    }

    /// Ends every sign-in of this person but one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_other_sign_ins(&self, user: UserId, keep: SignInId) -> Result<(), StoreError> {
        const END: &str = "DELETE FROM sign_ins WHERE tenant_id = $1 AND user_id = $2 AND sign_in_id <> $3";
        let tenant = self.tenant.to_string();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(END).bind(tenant).bind(user.to_string()).bind(keep.to_string()).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Notes that a person signs in, if they can and have the proof.
async fn note(
    connection: &mut Connection,
    (tenant, user): (&str, &str),
    proof: &Proof,
    now: Timestamp,
) -> Result<(), StoreError> {
    const BY_PASSWORD: &str = "UPDATE users SET last_signed_in_at = $3 \
WHERE tenant_id = $1 AND user_id = $2 AND state = 'active' AND password_hash = $4";
    const BY_ISSUER: &str = "UPDATE users SET last_signed_in_at = $3 \
WHERE tenant_id = $1 AND user_id = $2 AND state = 'active' AND EXISTS (
    SELECT 1 FROM identities AS i WHERE i.tenant_id = $1 AND i.user_id = $2 AND i.issuer = $4 AND i.subject = $5
)";
    let by = |sql: &'static str| query(sql).bind(tenant).bind(user).bind(now.as_micros());
    let note = match proof {
        Proof::Password(hash) => by(BY_PASSWORD).bind(hash),
        Proof::Issuer(identity, _) => by(BY_ISSUER).bind(&identity.issuer).bind(&identity.subject),
    };
    if note.execute(connection).await? == 0 { Err(StoreError::NotFound("user")) } else { Ok(()) }
}
