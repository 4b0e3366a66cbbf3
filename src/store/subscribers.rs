//! Which endpoints are there when an event is recorded, and in what form each is told.

use super::sql::{Connection, Row, query};
use super::{StoreError, from_json};
use crate::contract::webhook::PayloadMode;
use crate::ids::{AppId, EndpointId, TenantId};

/// An endpoint that may want an event.
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) app: Option<AppId>,
    pub(super) event_types: Vec<String>,
    pub(super) mode: PayloadMode,
    pub(super) enabled: bool,
    pub(super) shows_blind: bool,
}

/// In what form an event leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rendering {
    pub(super) mode: PayloadMode,
    /// Whether it tells blind recipients that others are not told; `false` where there are none to be hidden.
    pub(super) shows_blind: bool,
}

impl Rendering {
    /// Its word in the store, by which a delivery finds its payload.
    pub(super) const fn as_str(self) -> &'static str {
        match (self.mode, self.shows_blind) {
            (mode, false) => mode.as_str(),
            (PayloadMode::Operations, true) => "operations+bcc",
            (PayloadMode::Thin, true) => "thin+bcc",
            (PayloadMode::Full, true) => "full+bcc",
        }
    }
}

pub(super) async fn enabled_endpoints(
    connection: &mut Connection,
    tenant: TenantId,
) -> Result<Vec<Endpoint>, StoreError> {
    const ENDPOINTS: &str = "\
SELECT endpoint_id, app_id, event_types, mode, state, show_bcc FROM webhook_endpoints WHERE tenant_id = $1 AND state <> 'deleted'";
    let rows = query(ENDPOINTS).bind(tenant.to_string()).fetch_all(connection).await?;
    let read = |row: &Row| -> Result<Endpoint, StoreError> {
        let app: Option<&str> = row.try_get(1)?;
        let mode: &str = row.try_get(3)?;
        Ok(Endpoint {
            id: super::from_id("endpoint_id", row.try_get(0)?)?,
            app: app.map(|id| super::from_id("app_id", id)).transpose()?,
            event_types: from_json("event_types", row.try_get(2)?)?,
            mode: mode.parse().map_err(|detail| StoreError::Unreadable { what: "mode", detail })?,
            enabled: row.try_get::<&str>(4)? == "enabled",
            shows_blind: row.try_get::<i64>(5)? != 0,
        })
    };
    rows.iter().map(read).collect()
}
