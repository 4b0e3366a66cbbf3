//! Webhook endpoints of a tenant, as operators and the API keep them.

use serde_json::json;
use url::Url;

use super::audit::{NewEntry, append};
use super::sql::{Row, query};
use super::{StoreError, TenantStore, dialect, from_id, from_json, to_json};
use crate::contract::webhook::PayloadMode;
use crate::governance::audit::Who;
use crate::ids::{AppId, EndpointId};
use serde::Serialize;

/// An endpoint to be made.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// The app whose events it gets; `None` for all of the tenant.
    pub app: Option<AppId>,
    /// Its URL, already checked.
    pub url: String,
    /// Its signing secret, sealed with the instance key.
    pub secrets_sealed: String,
    /// Exact types or `prefix.*`.
    pub event_types: Vec<String>,
    /// How much it is told.
    pub mode: PayloadMode,
    /// `default` or `short`.
    pub schedule: &'static str,
    /// Whether it is told the blind recipients of journal reports.
    pub show_bcc: bool,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointRow {
    /// Its id.
    pub id: EndpointId,
    /// The app whose events it gets.
    pub app: Option<AppId>,
    /// Its URL.
    pub url: String,
    /// What it subscribed to.
    pub event_types: Vec<String>,
    /// How much it is told.
    pub mode: String,
    /// `default` or `short`.
    pub schedule: String,
    /// Whether it is told the blind recipients of journal reports.
    pub show_bcc: bool,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Why it is disabled.
    pub state_reason: Option<String>,
    /// Its health.
    pub health: serde_json::Value,
}

impl TenantStore {
    /// Makes an endpoint. `make` gives the sealed secrets for the id under which they are sealed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn add_endpoint(&self, id: EndpointId, endpoint: NewEndpoint) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO webhook_endpoints (tenant_id, endpoint_id, app_id, url, secrets, event_types, mode, schedule, headers, state, \
health, created_at, show_bcc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '{}', 'enabled', '{}', $9, $10)";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let event_types = to_json("event_types", &endpoint.event_types)?;
        let detail = json!({
            "app": endpoint.app, "host": host_of(&endpoint.url), "eventTypes": endpoint.event_types,
            "mode": endpoint.mode.as_str(), "showBcc": endpoint.show_bcc,
        });
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(ADD)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(endpoint.app.map(|app| app.to_string()))
                        .bind(endpoint.url)
                        .bind(endpoint.secrets_sealed)
                        .bind(event_types)
                        .bind(endpoint.mode.as_str())
                        .bind(endpoint.schedule)
                        .bind(now.as_micros())
                        .bind(i64::from(endpoint.show_bcc))
                        .execute(&mut *connection)
                        .await?;
                    let entry = NewEntry::new(Who::Operator, "webhook.added", id, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// All endpoints that were not removed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        const LIST: &str = "\
SELECT endpoint_id, app_id, url, event_types, mode, schedule, state, state_reason, health, show_bcc FROM webhook_endpoints
WHERE tenant_id = $1 AND state <> 'deleted' ORDER BY endpoint_id";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            let app: Option<&str> = row.try_get(1)?;
            Ok(EndpointRow {
                id: from_id("endpoint_id", row.try_get(0)?)?,
                app: app.map(|id| from_id("app_id", id)).transpose()?,
                url: row.try_get(2)?,
                event_types: from_json("event_types", row.try_get(3)?)?,
                mode: row.try_get(4)?,
                schedule: row.try_get(5)?,
                state: row.try_get(6)?,
                state_reason: row.try_get(7)?,
                health: from_json("health", row.try_get(8)?)?,
                show_bcc: row.try_get::<i64>(9)? != 0,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Sealed secrets of an endpoint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    pub async fn endpoint_secrets(&self, id: EndpointId) -> Result<String, StoreError> {
        const FIND: &str =
            "SELECT secrets FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2 AND state <> 'deleted'";
        let find = query(FIND).bind(self.tenant.to_string()).bind(id.to_string());
        let row = find.fetch_optional(&self.store.readers).await?.ok_or(StoreError::NotFound("webhook endpoint"))?;
        Ok(row.try_get(0)?)
    }

    /// Puts other sealed secrets in the place of `before`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when they are not `before` any more; [`StoreError::Unavailable`].
    pub async fn replace_endpoint_secrets(
        &self,
        id: EndpointId,
        before: String,
        after: String,
    ) -> Result<(), StoreError> {
        const REPLACE: &str = "\
UPDATE webhook_endpoints SET secrets = $4 WHERE tenant_id = $1 AND endpoint_id = $2 AND secrets = $3 AND state <> 'deleted'";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let replaced = query(REPLACE).bind(tenant.to_string()).bind(id.to_string());
                    if replaced.bind(&before).bind(&after).execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict("the endpoint or its secrets were changed meanwhile"));
                    }
                    let entry = NewEntry::new(Who::Operator, "webhook.secret_rotated", id, json!({}));
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Enables an endpoint again, with a clean health; what it held is due now. How many deliveries that are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such endpoint, or it is not disabled.
    pub async fn enable_endpoint(&self, id: EndpointId) -> Result<u64, StoreError> {
        const ENABLE: &str = "\
UPDATE webhook_endpoints SET state = 'enabled', state_reason = NULL, health = '{}', blocked_until = 0, flight_limit = 1000000
WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'disabled'";
        const RESUME: &str = "\
UPDATE deliveries SET state = CASE attempts WHEN 0 THEN 'pending' ELSE 'retry_wait' END, next_attempt_at = $3
WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'held'";
        let (owner, now) = (self.tenant, self.store.clock.now());
        let resumed = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let (tenant, endpoint) = (owner.to_string(), id.to_string());
                    let enabled = query(ENABLE).bind(&tenant).bind(&endpoint).execute(&mut *connection).await?;
                    if enabled == 0 {
                        return Err(StoreError::NotFound("disabled webhook endpoint of this id"));
                    }
                    let resume = query(RESUME).bind(&tenant).bind(&endpoint).bind(now.as_micros());
                    let resumed = resume.execute(&mut *connection).await?;
                    let entry = NewEntry::new(Who::Operator, "webhook.enabled", id, json!({ "resumed": resumed }));
                    append(connection, owner, now, vec![entry]).await?;
                    Ok(resumed)
                })
            })
            .await?;
        self.store.wake_deliveries();
        Ok(resumed)
    }

    /// Removes an endpoint and cancels what waits for it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        const REMOVE: &str = "\
UPDATE webhook_endpoints SET state = 'deleted' WHERE tenant_id = $1 AND endpoint_id = $2 AND state <> 'deleted'";
        const CANCEL: &str = "\
UPDATE deliveries SET state = 'cancelled', finished_at = $3
WHERE tenant_id = $1 AND endpoint_id = $2 AND state IN ('pending', 'retry_wait', 'held')";
        let (owner, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let (tenant, endpoint) = (owner.to_string(), id.to_string());
                    // What is being recorded for it now would be missed.
                    dialect::lock_tenants(connection, [owner]).await?;
                    let removed = query(REMOVE).bind(&tenant).bind(&endpoint).execute(&mut *connection).await?;
                    if removed == 0 {
                        return Err(StoreError::NotFound("webhook endpoint"));
                    }
                    let cancel = query(CANCEL).bind(&tenant).bind(&endpoint).bind(now.as_micros());
                    let cancelled = cancel.execute(&mut *connection).await?;
                    let entry = NewEntry::new(Who::Operator, "webhook.removed", id, json!({ "cancelled": cancelled }));
                    append(connection, owner, now, vec![entry]).await
                })
            })
            .await
    }
}

/// All of an endpoint's URL that is put on record: what follows the host, or stands before it, may be a secret.
fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}
