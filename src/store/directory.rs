//! Who is here: tenants, their apps and mailboxes. Kept by operators, read at RCPT and by every decision.

use std::collections::BTreeMap;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Row, built, query};
use super::{Store, StoreError, TenantStore, exists, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::{AppId, MailboxId, OPERATOR, TenantId};
use crate::mail::address::Mailbox;
use crate::mail::authentication::FailurePolicy;
use serde::{Deserialize, Serialize};

/// A customer of this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique on this instance.
    pub name: String,
    /// Since when its mail is put off, where it is.
    pub suspended_at: Option<Timestamp>,
}

/// What an app registered about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppProfileRow {
    /// Canonical status to the app's own.
    pub status_map: BTreeMap<String, String>,
    /// The statuses that a record may have.
    pub allowed_statuses: Vec<String>,
    /// The app's inboxes.
    pub inboxes: Vec<String>,
    /// The app's other words for its statuses.
    pub synonyms: BTreeMap<String, String>,
    /// Trade of the app's customers.
    pub industry: Option<String>,
}

/// An app of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// What it registered.
    pub profile: AppProfileRow,
}

/// A mailbox that this instance owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxRow {
    /// Its owner.
    pub tenant: TenantId,
    /// Its id.
    pub id: MailboxId,
    /// Its address as it was given.
    pub address: String,
    /// The app that is told of its mail.
    pub app: Option<AppId>,
    /// `connex`, `source_app` or `customer_domain`.
    pub identity_owner: String,
    /// `source_app_only`, `human_approval`, `policy_auto` or `never`.
    pub reply_policy: String,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
    /// What it does with mail that fails DMARC.
    pub authentication_policy: FailurePolicy,
    /// `active` or `suspended`.
    pub state: String,
    /// Since when.
    pub state_since: Timestamp,
}

/// A mailbox to be made.
#[derive(Debug, Clone)]
pub struct NewMailbox {
    /// Its address.
    pub address: Mailbox,
    /// The app that is told of its mail.
    pub app: Option<AppId>,
    /// `connex`, `source_app` or `customer_domain`.
    pub identity_owner: String,
    /// `source_app_only`, `human_approval`, `policy_auto` or `never`.
    pub reply_policy: String,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
}

const MAILBOX_COLUMNS: &str = "SELECT m.tenant_id, m.mailbox_id, m.address, m.app_id, m.identity_owner, m.reply_policy, \
m.external_reply_url, m.state, m.state_since, m.authentication_policy FROM mailboxes AS m";

impl Store {
    /// Makes a tenant.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn add_tenant(&self, name: &str) -> Result<TenantId, StoreError> {
        let id: TenantId = self.clock.mint();
        self.add_tenant_as(id, name).await?;
        Ok(id)
    }

    /// Makes a tenant with a given id: the operator's own, which every instance has.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the id or name is taken.
    pub async fn add_tenant_as(&self, id: TenantId, name: &str) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, $2, $3)";
        let (name, now) = (name.to_owned(), self.clock.now());
        self.write(move |connection| {
            Box::pin(async move {
                let detail = json!({ "name": name });
                let insert = query(ADD).bind(id.to_string()).bind(name).bind(now.as_micros());
                insert.execute(&mut *connection).await.map_err(exists("a tenant of this name"))?;
                // Which customers there are is the operator's to know, also when one is gone.
                let entry = NewEntry::new(Who::Operator, "tenant.added", id, detail);
                append(connection, OPERATOR, now, vec![entry]).await
            })
        })
        .await
    }

    /// All tenants, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        const LIST: &str = "SELECT tenant_id, name, suspended_at FROM tenants ORDER BY tenant_id";
        let rows = query(LIST).fetch_all(&self.readers).await?;
        let read = |row: &Row| {
            Ok(Tenant {
                id: from_id("tenant_id", row.try_get(0)?)?,
                name: row.try_get(1)?,
                suspended_at: row.try_get::<Option<i64>>(2)?.map(Timestamp::from_micros),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Removes a tenant that has nothing any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while it still has apps, mailboxes, routes, keys, endpoints, users or mail.
    pub async fn remove_tenant(&self, id: TenantId) -> Result<(), StoreError> {
        const MAIL: &str = "SELECT EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1) \
OR EXISTS (SELECT 1 FROM events WHERE tenant_id = $1)";
        const REMOVE: &str = "DELETE FROM tenants WHERE tenant_id = $1 RETURNING name";
        let now = self.clock.now();
        self.write(move |connection| {
            Box::pin(async move {
                let id = id.to_string();
                if query(MAIL).bind(&id).fetch_one(&mut *connection).await?.try_get::<bool>(0)? {
                    return Err(StoreError::Conflict("the tenant has mail or events; they would lose their owner"));
                }
                let remove = query(REMOVE).bind(&id).fetch_optional(&mut *connection).await;
                let removed = remove.map_err(|error| match &error {
                    sqlx::Error::Database(fault) if fault.is_foreign_key_violation() => {
                        StoreError::Conflict("the tenant still has apps, mailboxes, routes, keys, endpoints or users")
                    }
                    _ => StoreError::Unavailable(error),
                })?;
                let row = removed.ok_or(StoreError::NotFound("tenant"))?;
                let detail = json!({ "name": row.try_get::<String>(0)? });
                append(connection, OPERATOR, now, vec![NewEntry::new(Who::Operator, "tenant.removed", id, detail)])
                    .await
            })
        })
        .await
    }

    /// The mailbox that an address names, whoever owns it, and whether its tenant is suspended.
    ///
    /// This and [`Store::route_by_token`] are the two questions that are asked before a tenant is known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn mailbox_by_address(&self, key: &str) -> Result<Option<(MailboxRow, Option<Timestamp>)>, StoreError> {
        const FIND: &str = "\
SELECT m.tenant_id, m.mailbox_id, m.address, m.app_id, m.identity_owner, m.reply_policy, m.external_reply_url, m.state, \
m.state_since, m.authentication_policy, t.suspended_at FROM mailboxes AS m JOIN tenants AS t ON t.tenant_id = m.tenant_id
WHERE m.address_key = $1 AND m.state <> 'deleted'";
        let row = query(FIND).bind(key).fetch_optional(&self.doors).await?;
        let read = |row: Row| {
            let suspended: Option<i64> = row.try_get(10)?;
            Ok((read_mailbox(&row)?, suspended.map(Timestamp::from_micros)))
        };
        row.map(read).transpose()
    }
}

impl TenantStore {
    /// The tenant's name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant.
    pub async fn name(&self) -> Result<String, StoreError> {
        const FIND: &str = "SELECT name FROM tenants WHERE tenant_id = $1";
        let row = query(FIND).bind(self.tenant.to_string()).fetch_optional(&self.store.readers).await?;
        Ok(row.ok_or(StoreError::NotFound("tenant"))?.try_get(0)?)
    }

    /// Registers an app, or changes what it registered.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn put_app(&self, name: &str, profile: &AppProfileRow) -> Result<AppId, StoreError> {
        const PUT: &str = "\
INSERT INTO apps (tenant_id, app_id, name, profile, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, name) DO UPDATE SET profile = excluded.profile WHERE apps.profile <> excluded.profile
RETURNING app_id";
        Ok(self.put_app_with(PUT, name, profile, Who::Operator).await?.0)
    }

    /// The app of this name, registered by `who` on the spot with an empty profile where it is new; whether it is new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn app_or_new(&self, name: &str, who: Who) -> Result<(App, bool), StoreError> {
        if let Some(app) = self.app_by_name(name).await? {
            return Ok((app, false));
        }
        // Two at once: the second keeps what the first registered.
        const PUT: &str = "\
INSERT INTO apps (tenant_id, app_id, name, profile, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, name) DO NOTHING RETURNING app_id";
        let profile = AppProfileRow::default();
        let (id, is_new) = self.put_app_with(PUT, name, &profile, who).await?;
        Ok((App { id, name: name.to_owned(), profile }, is_new))
    }

    /// The app's id, and whether that changed anything.
    async fn put_app_with(
        &self,
        sql: &'static str,
        name: &str,
        profile: &AppProfileRow,
        who: Who,
    ) -> Result<(AppId, bool), StoreError> {
        const FIND: &str = "SELECT app_id FROM apps WHERE tenant_id = $1 AND name = $2";
        let detail = json!({ "name": name, "profile": profile });
        let (tenant, id, now) = (self.tenant, self.store.clock.mint::<AppId>(), self.store.clock.now());
        let (name, profile) = (name.to_owned(), to_json("profile", profile)?);
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let put = query(sql)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(&name)
                        .bind(profile)
                        .bind(now.as_micros());
                    let Some(row) = put.fetch_optional(&mut *connection).await.map_err(no_tenant)? else {
                        // It is there as it should be.
                        let find = query(FIND).bind(tenant.to_string()).bind(&name);
                        let row = find.fetch_optional(connection).await?.ok_or(StoreError::NotFound("app"))?;
                        return Ok((from_id("app_id", row.try_get(0)?)?, false));
                    };
                    let app: AppId = from_id("app_id", row.try_get(0)?)?;
                    append(connection, tenant, now, vec![NewEntry::new(who, "app.changed", app, detail)]).await?;
                    Ok((app, true))
                })
            })
            .await
    }

    /// The app of this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn app_by_name(&self, name: &str) -> Result<Option<App>, StoreError> {
        const FIND: &str = "SELECT app_id, name, profile FROM apps WHERE tenant_id = $1 AND name = $2";
        let row = query(FIND).bind(self.tenant.to_string()).bind(name).fetch_optional(&self.store.readers).await?;
        row.as_ref().map(read_app).transpose()
    }

    /// The app with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn app(&self, id: AppId) -> Result<Option<App>, StoreError> {
        const FIND: &str = "SELECT app_id, name, profile FROM apps WHERE tenant_id = $1 AND app_id = $2";
        let find = query(FIND).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_app).transpose()
    }

    /// All apps.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        const LIST: &str = "SELECT app_id, name, profile FROM apps WHERE tenant_id = $1 ORDER BY app_id";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(read_app).collect()
    }

    /// Removes an app that nothing refers to.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while a mailbox, route or endpoint tells it of events.
    pub async fn remove_app(&self, id: AppId) -> Result<(), StoreError> {
        const USED: &str = "\
SELECT EXISTS (SELECT 1 FROM mailboxes WHERE tenant_id = $1 AND app_id = $2 AND state <> 'deleted')
OR EXISTS (SELECT 1 FROM routes WHERE tenant_id = $1 AND app_id = $2 AND state <> 'deleted')
OR EXISTS (SELECT 1 FROM webhook_endpoints WHERE tenant_id = $1 AND app_id = $2 AND state <> 'deleted')";
        const REMOVE: &str = "DELETE FROM apps WHERE tenant_id = $1 AND app_id = $2 RETURNING name";
        let (owner, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let tenant = owner.to_string();
                    let used = query(USED).bind(&tenant).bind(id.to_string()).fetch_one(&mut *connection).await?;
                    if used.try_get::<bool>(0)? {
                        return Err(StoreError::Conflict(
                            "a mailbox, route or webhook endpoint still refers to the app",
                        ));
                    }
                    let remove = query(REMOVE).bind(&tenant).bind(id.to_string());
                    let row = remove.fetch_optional(&mut *connection).await?.ok_or(StoreError::NotFound("app"))?;
                    let detail = json!({ "name": row.try_get::<String>(0)? });
                    let entry = NewEntry::new(Who::Operator, "app.removed", id, detail);
                    append(connection, owner, now, vec![entry]).await
                })
            })
            .await
    }

    /// Makes a mailbox.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the address is taken, by whichever tenant.
    pub async fn add_mailbox(&self, mailbox: NewMailbox) -> Result<MailboxId, StoreError> {
        const ADD: &str = "\
INSERT INTO mailboxes (tenant_id, mailbox_id, address, address_key, app_id, identity_owner, reply_policy, \
external_reply_url, state, state_since, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $9)";
        let (tenant, id, now) = (self.tenant, self.store.clock.mint::<MailboxId>(), self.store.clock.now());
        let detail = json!({
            "address": mailbox.address.to_string(), "app": mailbox.app, "identityOwner": mailbox.identity_owner,
            "replyPolicy": mailbox.reply_policy,
        });
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(ADD)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(mailbox.address.to_string())
                        .bind(mailbox.address.key())
                        .bind(mailbox.app.map(|app| app.to_string()))
                        .bind(mailbox.identity_owner)
                        .bind(mailbox.reply_policy)
                        .bind(mailbox.external_reply_url)
                        .bind(now.as_micros())
                        .execute(&mut *connection)
                        .await
                        .map_err(no_tenant_or("a mailbox of this address"))?;
                    let entry = NewEntry::new(Who::Operator, "mailbox.added", id, detail);
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(id)
                })
            })
            .await
    }

    /// All mailboxes that were not removed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn mailboxes(&self) -> Result<Vec<MailboxRow>, StoreError> {
        let sql = format!("{MAILBOX_COLUMNS} WHERE m.tenant_id = $1 AND m.state <> 'deleted' ORDER BY m.mailbox_id");
        let list = built(sql).bind(self.tenant.to_string());
        list.fetch_all(&self.store.readers).await?.iter().map(read_mailbox).collect()
    }

    /// The mailbox with this id, removed ones too: their events go on to exist.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn mailbox(&self, id: MailboxId) -> Result<Option<MailboxRow>, StoreError> {
        let sql = format!("{MAILBOX_COLUMNS} WHERE m.tenant_id = $1 AND m.mailbox_id = $2");
        let find = built(sql).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_mailbox).transpose()
    }

    /// Says what a mailbox does with mail that fails DMARC; doors and workers see it within a second.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_authentication_policy(&self, id: MailboxId, policy: FailurePolicy) -> Result<(), StoreError> {
        const SET: &str = "\
UPDATE mailboxes SET authentication_policy = $3
WHERE tenant_id = $1 AND mailbox_id = $2 AND state <> 'deleted' AND authentication_policy <> $3 RETURNING address";
        const KNOWN: &str = "SELECT 1 FROM mailboxes WHERE tenant_id = $1 AND mailbox_id = $2 AND state <> 'deleted'";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let set = query(SET).bind(tenant.to_string()).bind(id.to_string()).bind(policy.as_str());
                    let Some(row) = set.fetch_optional(&mut *connection).await? else {
                        let known = query(KNOWN).bind(tenant.to_string()).bind(id.to_string());
                        let known = known.fetch_optional(connection).await?;
                        return known.map(|_| ()).ok_or(StoreError::NotFound("mailbox"));
                    };
                    let address: String = row.try_get(0)?;
                    let detail = json!({ "address": address, "authenticationPolicy": policy.as_str() });
                    let entry = NewEntry::new(Who::Operator, "mailbox.changed", id, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Removes a mailbox; its mail stays. Its address is free again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_mailbox(&self, id: MailboxId) -> Result<(), StoreError> {
        const REMOVE: &str = "\
UPDATE mailboxes SET state = 'deleted', state_since = $3, address_key = 'deleted:' || mailbox_id
WHERE tenant_id = $1 AND mailbox_id = $2 AND state <> 'deleted' RETURNING address";
        let told =
            move |address: String| NewEntry::new(Who::Operator, "mailbox.removed", id, json!({ "address": address }));
        self.change_on_record(REMOVE, id.to_string(), "mailbox", told).await
    }

    /// As [`TenantStore::change_one`], of a statement that returns a text of the row, of which `told` makes what is recorded.
    pub(super) async fn change_on_record(
        &self,
        sql: &'static str,
        id: String,
        what: &'static str,
        told: impl FnOnce(String) -> NewEntry + Send + 'static,
    ) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let change = query(sql).bind(tenant.to_string()).bind(id).bind(now.as_micros());
                    let row = change.fetch_optional(&mut *connection).await?.ok_or(StoreError::NotFound(what))?;
                    append(connection, tenant, now, vec![told(row.try_get(0)?)]).await
                })
            })
            .await
    }

    /// Runs an update of one row by (tenant, id, now).
    pub(super) async fn change_one(&self, sql: &'static str, id: String, what: &'static str) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let change = query(sql).bind(tenant).bind(id).bind(now.as_micros());
                    let changed = change.execute(connection).await?;
                    if changed == 0 { Err(StoreError::NotFound(what)) } else { Ok(()) }
                })
            })
            .await
    }
}

fn no_tenant(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(fault) if fault.is_foreign_key_violation() => StoreError::NotFound("tenant"),
        _ => StoreError::Unavailable(error),
    }
}

pub(super) fn no_tenant_or(what: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| match no_tenant(error) {
        StoreError::Unavailable(error) => exists(what)(error),
        other => other,
    }
}

fn read_app(row: &Row) -> Result<App, StoreError> {
    Ok(App {
        id: from_id("app_id", row.try_get(0)?)?,
        name: row.try_get(1)?,
        profile: from_json("profile", row.try_get(2)?)?,
    })
}

fn read_mailbox(row: &Row) -> Result<MailboxRow, StoreError> {
    let app: Option<&str> = row.try_get(3)?;
    Ok(MailboxRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("mailbox_id", row.try_get(1)?)?,
        address: row.try_get(2)?,
        app: app.map(|id| from_id("app_id", id)).transpose()?,
        identity_owner: row.try_get(4)?,
        reply_policy: row.try_get(5)?,
        external_reply_url: row.try_get(6)?,
        state: row.try_get(7)?,
        state_since: Timestamp::from_micros(row.try_get(8)?),
        authentication_policy: FailurePolicy::from_stored(row.try_get(9)?),
    })
}
