//! Relays of customers: for each domain at most one server that takes what is sent for it.
//!
//! The password is sealed before it comes here, and stands in no row of the audit log. A relay goes with its domain.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Row, query};
use super::{StoreError, TenantStore};
use crate::clock::Timestamp;
use crate::governance::audit::Who;

/// The relay of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRelayRow {
    /// The domain, as A-label.
    pub domain: String,
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `starttls`, `implicit` or `never`.
    pub tls: String,
    /// The user name there; empty where it lets everybody in.
    pub user: Option<String>,
    /// The user's password, sealed; there where a user is.
    pub password_sealed: Option<String>,
    /// Since when it is as it is.
    pub set_at: Timestamp,
}

impl TenantStore {
    /// Sets the relay of a domain, in place of another one; `set_at` is now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant does not claim the domain.
    pub async fn set_domain_relay(&self, row: DomainRelayRow, who: Who) -> Result<(), StoreError> {
        const SET: &str = "\
INSERT INTO domain_relays (tenant_id, domain, host, port, tls, user_name, password_sealed, set_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, domain) DO UPDATE SET host = excluded.host, port = excluded.port, tls = excluded.tls,
    user_name = excluded.user_name, password_sealed = excluded.password_sealed, set_at = excluded.set_at";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let set = query(SET)
                        .bind(tenant.to_string())
                        .bind(&row.domain)
                        .bind(&row.host)
                        .bind(i64::from(row.port))
                        .bind(&row.tls)
                        .bind(&row.user)
                        .bind(&row.password_sealed)
                        .bind(now.as_micros());
                    set.execute(&mut *connection).await.map_err(no_domain)?;
                    let detail = json!({ "host": row.host, "port": row.port, "tls": row.tls, "user": row.user });
                    let entry = NewEntry::new(who, "domain_relay.set", row.domain, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Removes the relay of a domain.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub async fn remove_domain_relay(&self, domain: &str, who: Who) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM domain_relays WHERE tenant_id = $1 AND domain = $2 RETURNING host, port";
        let (tenant, domain, now) = (self.tenant, domain.to_owned(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let remove = query(REMOVE).bind(tenant.to_string()).bind(&domain);
                    let row = remove.fetch_optional(&mut *connection).await?;
                    let row = row.ok_or(StoreError::NotFound("relay of this domain"))?;
                    let detail = json!({ "host": row.try_get::<&str>(0)?, "port": row.try_get::<i64>(1)? });
                    let entry = NewEntry::new(who, "domain_relay.removed", domain, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// The relay of a domain.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn domain_relay(&self, domain: &str) -> Result<Option<DomainRelayRow>, StoreError> {
        const ONE: &str = "\
SELECT domain, host, port, tls, user_name, password_sealed, set_at FROM domain_relays WHERE tenant_id = $1 AND domain = $2";
        let one = query(ONE).bind(self.tenant.to_string()).bind(domain).fetch_optional(&self.store.readers).await?;
        one.as_ref().map(read).transpose()
    }
}

fn no_domain(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(fault) if fault.is_foreign_key_violation() => StoreError::NotFound("domain"),
        _ => StoreError::Unavailable(error),
    }
}

fn read(row: &Row) -> Result<DomainRelayRow, StoreError> {
    let no_port = |_| StoreError::Unreadable { what: "port", detail: "not one of 1 to 65535".to_owned() };
    Ok(DomainRelayRow {
        domain: row.try_get(0)?,
        host: row.try_get(1)?,
        port: u16::try_from(row.try_get::<i64>(2)?).map_err(no_port)?,
        tls: row.try_get(3)?,
        user: row.try_get(4)?,
        password_sealed: row.try_get(5)?,
        set_at: Timestamp::from_micros(row.try_get(6)?),
    })
}
