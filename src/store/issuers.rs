//! Issuers whose users a tenant lets decide about drafts, and the tokens by which they did.

use serde::Serialize;
use serde_json::json;

use super::audit::{NewEntry, append};
use super::directory::no_tenant_or;
use super::sql::{Row, query};
use super::{Store, StoreError, TenantStore, from_id};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::role::Role;
use crate::ids::{ApprovalId, IssuerId, TenantId};

/// An issuer whose users may decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: IssuerId,
    /// Its name: an https URL.
    pub url: String,
    /// For whom its tokens must be made.
    pub audience: String,
    /// What its users may do.
    pub role: Role,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// An issuer to be registered.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// Its id.
    pub id: IssuerId,
    /// Its name.
    pub url: String,
    /// For whom its tokens must be made.
    pub audience: String,
    /// What its users may do.
    pub role: Role,
}

impl Store {
    /// The issuers of this name whose users may decide about this question: it names the tenant, since a token does not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn issuers_for(&self, approval: ApprovalId, url: &str) -> Result<Vec<IssuerRow>, StoreError> {
        const FIND: &str = "\
SELECT i.tenant_id, i.issuer_id, i.url, i.audience, i.role, i.created_at
FROM issuers AS i JOIN approvals AS a ON a.tenant_id = i.tenant_id WHERE a.approval_id = $1 AND i.url = $2
ORDER BY i.issuer_id LIMIT 20";
        let find = query(FIND).bind(approval.to_string()).bind(url);
        find.fetch_all(&self.doors).await?.iter().map(read).collect()
    }
}

impl TenantStore {
    /// Registers an issuer.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it is registered for this audience; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn add_issuer(&self, new: NewIssuer, by: Who) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO issuers (tenant_id, issuer_id, url, audience, role, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let add = query(ADD).bind(tenant.to_string()).bind(new.id.to_string()).bind(&new.url);
                    let add = add.bind(&new.audience).bind(new.role.as_str()).bind(now.as_micros());
                    add.execute(&mut *connection).await.map_err(no_tenant_or("this issuer for this audience"))?;
                    let detail = json!({ "url": new.url, "audience": new.audience, "role": new.role });
                    append(connection, tenant, now, vec![NewEntry::new(by, "issuer.registered", new.id, detail)]).await
                })
            })
            .await
    }

    /// The issuers of the tenant, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn issuers(&self) -> Result<Vec<IssuerRow>, StoreError> {
        const LIST: &str = "\
SELECT tenant_id, issuer_id, url, audience, role, created_at FROM issuers WHERE tenant_id = $1 ORDER BY issuer_id";
        let list = query(LIST).bind(self.tenant.to_string());
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }

    /// Believes an issuer no more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_issuer(&self, id: IssuerId, by: Who) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM issuers WHERE tenant_id = $1 AND issuer_id = $2 RETURNING url, audience";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let remove = query(REMOVE).bind(tenant.to_string()).bind(id.to_string());
                    let row = remove.fetch_optional(&mut *connection).await?.ok_or(StoreError::NotFound("issuer"))?;
                    let (url, audience): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                    let detail = json!({ "url": url, "audience": audience });
                    append(connection, tenant, now, vec![NewEntry::new(by, "issuer.removed", id, detail)]).await
                })
            })
            .await
    }

    /// Notes that somebody decides by a token, which decides once; those that have expired are forgotten.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when somebody did before.
    pub async fn spend_token(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<(), StoreError> {
        const FORGET: &str = "DELETE FROM spent_tokens WHERE tenant_id = $1 AND expires_at < $2";
        const SPEND: &str = "INSERT INTO spent_tokens (tenant_id, token_hash, expires_at) VALUES ($1, $2, $3)";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(FORGET).bind(&tenant).bind(now.as_micros()).execute(&mut *connection).await?;
                    let spend = query(SPEND).bind(&tenant).bind(&hash).bind(expires_at.as_micros());
                    spend.execute(connection).await.map_err(no_tenant_or("this token"))?;
                    Ok(())
                })
            })
            .await
    }
}

fn read(row: &Row) -> Result<IssuerRow, StoreError> {
    let role: &str = row.try_get(4)?;
    let unknown = || StoreError::Unreadable { what: "role", detail: "not a known word".to_owned() };
    Ok(IssuerRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("issuer_id", row.try_get(1)?)?,
        url: row.try_get(2)?,
        audience: row.try_get(3)?,
        role: Role::parse(role).ok_or_else(unknown)?,
        created_at: Timestamp::from_micros(row.try_get(5)?),
    })
}
