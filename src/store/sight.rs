//! Which keys a route's mail is shown to, and what of a message says so.

use serde_json::json;

use super::sql::{Row, query};
use super::{StoreError, TenantStore};
use crate::event::privacy::Visibility;
use crate::ids::{EventId, MessageId, RouteId};

pub(super) fn visibility(word: &str) -> Result<Visibility, StoreError> {
    word.parse().map_err(|detail| StoreError::Unreadable { what: "visible_to", detail })
}

impl TenantStore {
    /// Sets whom a route's mail is shown to, also what it has taken before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn show_route_to(&self, id: RouteId, to: Visibility) -> Result<(), StoreError> {
        const SET: &str =
            "UPDATE routes SET visible_to = $3 WHERE tenant_id = $1 AND route_id = $2 AND state <> 'deleted'";
        let set = query(SET).bind(self.tenant.to_string()).bind(id.to_string()).bind(to.as_str());
        let detail = json!({ "changed": ["visibleTo"], "visibleTo": to.as_str() });
        match self.change_on_log(id, set, "route.changed", detail).await? {
            true => Ok(()),
            false => Err(StoreError::NotFound("route")),
        }
    }

    /// Whom the routes show their mail to that a message reached; none where it reached no route.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn shown_by_routes(&self, message: MessageId) -> Result<Vec<Visibility>, StoreError> {
        const LIST: &str = "\
SELECT r.visible_to FROM kept_copies AS k JOIN routes AS r ON r.tenant_id = k.tenant_id AND r.route_id = k.route_id
WHERE k.tenant_id = $1 AND k.message_id = $2";
        let list = query(LIST).bind(self.tenant.to_string()).bind(message.to_string());
        let read = |row: &Row| visibility(row.try_get(0)?);
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }

    /// The recipients of an event's message that only its later copies named, in the form for comparison.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn later_recipients(&self, event: EventId) -> Result<Vec<String>, StoreError> {
        const LIST: &str = "SELECT recipient_key FROM copy_recipients WHERE tenant_id = $1 AND event_id = $2";
        let list = query(LIST).bind(self.tenant.to_string()).bind(event.to_string());
        let read = |row: &Row| Ok(row.try_get::<&str>(0)?.to_owned());
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }
}
