//! The link by which the first person gets in: one for the whole installation, while nobody has an account.

use serde::{Deserialize, Serialize};

use super::{ANY_USER, NewUser, insert_on_record};
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::ids::TenantId;
use crate::store::sql::query;
use crate::store::{Store, StoreError, from_id, from_json, to_json};

const NAME: &str = "setup_link";

/// What is kept of the link.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    token_hash: [u8; 32],
    expires_at: i64,
}

impl Store {
    /// Keeps the digest of a new link's token; the one before counts no more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody has an account.
    pub async fn keep_setup_link(&self, token_hash: [u8; 32], valid: std::time::Duration) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO instance (name, value) VALUES ($1, $2) \
ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let kept = Kept { token_hash, expires_at: self.clock.now().plus(valid).as_micros() };
        let kept = to_json("setup link", &kept)?;
        self.write(move |connection| {
            Box::pin(async move {
                if query(ANY_USER).fetch_one(&mut *connection).await?.try_get(0)? {
                    return Err(StoreError::Conflict(
                        "somebody has an account; accounts are added by those who have one",
                    ));
                }
                query(KEEP).bind(NAME).bind(kept).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Whether the link whose token has this digest can be used now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn setup_is_open(&self, token_hash: &[u8; 32]) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT value FROM instance WHERE name = $1";
        let Some(row) = query(FIND).bind(NAME).fetch_optional(&self.doors).await? else { return Ok(false) };
        let kept: Kept = from_json("setup link", row.try_get(0)?)?;
        let is_it = kept.token_hash == *token_hash && kept.expires_at > self.clock.now().as_micros();
        Ok(is_it && !self.has_users().await?)
    }

    /// Uses the link: makes the first account, of the tenant with this name, which is made where there is none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the link was used, replaced or is over; [`StoreError::Conflict`] when somebody has an
    /// account by now.
    pub async fn set_up(&self, token_hash: [u8; 32], name: String, user: NewUser) -> Result<TenantId, StoreError> {
        const FIND: &str = "SELECT value FROM instance WHERE name = $1";
        const TAKE: &str = "DELETE FROM instance WHERE name = $1 AND value = $2";
        const TENANT: &str = "SELECT tenant_id FROM tenants WHERE name = $1";
        const ADD: &str = "INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, $2, $3)";
        let (now, fresh) = (self.clock.now(), self.clock.mint::<TenantId>());
        self.write(move |connection| {
            Box::pin(async move {
                let gone = || StoreError::NotFound("setup link");
                let row = query(FIND).bind(NAME).fetch_optional(&mut *connection).await?.ok_or_else(gone)?;
                let value: String = row.try_get(0)?;
                let kept: Kept = from_json("setup link", &value)?;
                let is_it = kept.token_hash == token_hash && kept.expires_at > now.as_micros();
                // Of two at the same moment one deletes it.
                if !is_it || query(TAKE).bind(NAME).bind(value).execute(&mut *connection).await? == 0 {
                    return Err(gone());
                }
                if query(ANY_USER).fetch_one(&mut *connection).await?.try_get(0)? {
                    return Err(StoreError::Conflict("somebody has an account"));
                }
                let known = query(TENANT).bind(&name).fetch_optional(&mut *connection).await?;
                let tenant = match known {
                    Some(row) => from_id("tenant_id", row.try_get(0)?)?,
                    None => {
                        let add = query(ADD).bind(fresh.to_string()).bind(&name).bind(now.as_micros());
                        add.execute(&mut *connection).await?;
                        fresh
                    }
                };
                let who = Who::Actor(Actor::User { user: user.id });
                insert_on_record(connection, tenant, user, who, now).await?;
                Ok(tenant)
            })
        })
        .await
    }
}
