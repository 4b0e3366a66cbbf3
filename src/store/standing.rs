//! What stands for or against sending now: suppressions, pauses, the settings that the gate obeys, and what is known of a
//! conversation.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::drafts::waiting;
use super::sql::{Connection, Row, Value, built, query};
use super::{Store, StoreError, TenantStore, from_json};
use crate::clock::Timestamp;
use crate::governance::Policy;
use crate::governance::audit::{Who, subject_of_address};
use crate::ids::{EventId, MailboxId, OPERATOR, TenantId, ThreadId};

/// Why nothing is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionReason {
    /// Mail to it came back for good.
    HardBounce,
    /// Its owner complained.
    Complaint,
    /// Its owner wants no more.
    Unsubscribe,
    /// Somebody here said so.
    Manual,
}

impl SuppressionReason {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
            Self::Manual => "manual",
        }
    }
}

/// An address to which nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The address in its form for comparison.
    pub address_key: String,
    /// Why, in a word.
    pub reason: String,
    /// The event that says so.
    pub event: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// What a pause stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paused {
    /// All of the tenant.
    Tenant,
    /// One mailbox.
    Mailbox(MailboxId),
    /// One agent.
    Agent(String),
}

impl Paused {
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Tenant => ("tenant", String::new()),
            Self::Mailbox(id) => ("mailbox", id.to_string()),
            Self::Agent(agent) => ("agent", agent.clone()),
        }
    }
}

/// A version of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// What it says.
    pub policy: Policy,
    /// When it was made.
    pub made_at: Timestamp,
    /// By whom; empty where that was not kept.
    pub made_by: String,
}

/// What is known of one event of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadEvent {
    /// Its id.
    pub id: EventId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The canonical event as JSON.
    pub content: serde_json::Value,
    /// The status that was decided; `None` where nothing was.
    pub status: Option<String>,
}

/// Events of a conversation that are looked at.
pub const LOOKED_AT: u32 = 1_000;

impl Store {
    /// Stops or starts all sending of the gateway; whether that changed anything. The operator's tenant has it on record.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn pause_gateway(&self, is_paused: bool) -> Result<bool, StoreError> {
        const PAUSE: &str = "INSERT INTO gateway_pauses (gateway, since) VALUES ('all', $1) ON CONFLICT DO NOTHING";
        const RESUME: &str = "DELETE FROM gateway_pauses WHERE since <= $1";
        let (sql, action) = if is_paused { (PAUSE, "sending.paused") } else { (RESUME, "sending.resumed") };
        let now = self.clock.now();
        let changed = self.write(move |connection| {
            Box::pin(async move {
                let changed = query(sql).bind(now.as_micros()).execute(&mut *connection).await? > 0;
                if !is_paused {
                    waiting::look_at_all(connection, now).await?;
                }
                if changed {
                    let entry = NewEntry::new(Who::Operator, action, "", json!({ "kind": "gateway" }));
                    append(connection, OPERATOR, now, vec![entry]).await?;
                }
                Ok(changed)
            })
        });
        let changed = changed.await?;
        self.wake.sending.notify_one();
        Ok(changed)
    }

    /// Since when all sending of the gateway is stopped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn gateway_paused_since(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = query("SELECT since FROM gateway_pauses").fetch_optional(&self.readers).await?;
        row.map(|row| Ok(Timestamp::from_micros(row.try_get(0)?))).transpose()
    }
}

impl TenantStore {
    /// Stops or starts sending; whether that changed anything. What the operator stopped only the operator starts.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else would start it; [`StoreError::Unavailable`].
    pub async fn pause_sending(&self, what: Paused, is_paused: bool, who: Who) -> Result<bool, StoreError> {
        // What the operator stops as well becomes the operator's.
        const PAUSE: &str = "\
INSERT INTO pauses (tenant_id, kind, subject, since, by_operator) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, kind, subject) DO UPDATE SET by_operator = 1 WHERE excluded.by_operator > pauses.by_operator";
        const RESUME: &str = "DELETE FROM pauses WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND since <= $4 AND by_operator <= $5";
        const OPERATORS: &str =
            "SELECT 1 FROM pauses WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND by_operator = 1";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let (sql, action) = if is_paused { (PAUSE, "sending.paused") } else { (RESUME, "sending.resumed") };
        let changed = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let (kind, subject) = what.parts();
                    let is_operator = i64::from(matches!(who, Who::Operator));
                    let bound = |sql| query(sql).bind(tenant.to_string()).bind(kind).bind(&subject);
                    let change = bound(sql).bind(now.as_micros()).bind(is_operator);
                    let changed = change.execute(&mut *connection).await? > 0;
                    if !changed && !is_paused && bound(OPERATORS).fetch_optional(&mut *connection).await?.is_some() {
                        return Err(StoreError::Conflict("the operator has stopped this, and lets it go on"));
                    }
                    // Drafts before the head of the log, as every step locks them.
                    if !is_paused {
                        waiting::look_at_those_of(connection, tenant, now).await?;
                    }
                    if changed {
                        let entry = NewEntry::new(who, action, &subject, json!({ "kind": kind }));
                        append(connection, tenant, now, vec![entry]).await?;
                    }
                    Ok(changed)
                })
            })
            .await?;
        self.store.wake.sending.notify_one();
        Ok(changed)
    }

    /// What is paused, and since when; kind and subject of each.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn pauses(&self) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        const LIST: &str = "SELECT kind, subject, since FROM pauses WHERE tenant_id = $1 ORDER BY kind, subject";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, Timestamp::from_micros(row.try_get(2)?)))).collect()
    }

    /// Suppresses an address; the first reason stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn suppress(
        &self,
        address_key: String,
        reason: SuppressionReason,
        event: Option<EventId>,
        who: Who,
    ) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    if suppress(connection, tenant, (&address_key, reason, event), now).await? {
                        let detail = json!({ "address": address_key, "reason": reason.as_str(), "event": event });
                        let entry = NewEntry::new(who, "address.suppressed", subject_of_address(&address_key), detail);
                        append(connection, tenant, now, vec![entry]).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Lets an address be sent to again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not suppressed.
    pub async fn unsuppress(&self, address_key: String, who: Who) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM suppressions WHERE tenant_id = $1 AND address_key = $2";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let remove = query(REMOVE).bind(tenant.to_string()).bind(&address_key);
                    if remove.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::NotFound("suppressed address"));
                    }
                    let detail = json!({ "address": address_key });
                    let entry = NewEntry::new(who, "address.unsuppressed", subject_of_address(&address_key), detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Suppressed addresses behind `after`, by their keys.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn suppressions_after(&self, after: &str, limit: u32) -> Result<Vec<Suppression>, StoreError> {
        const LIST: &str = "SELECT address_key, reason, event_id, created_at FROM suppressions \
WHERE tenant_id = $1 AND address_key > $2 ORDER BY address_key LIMIT $3";
        let list = query(LIST).bind(self.tenant.to_string()).bind(after).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read_suppression).collect()
    }

    /// Those of these addresses that are suppressed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn suppressions(&self, of: &[String]) -> Result<Vec<Suppression>, StoreError> {
        const LIST: &str = "SELECT address_key, reason, event_id, created_at FROM suppressions WHERE tenant_id = $1";
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (2..of.len() + 2).map(|place| format!("${place}")).collect();
        let these = built(format!("{LIST} AND address_key IN ({})", places.join(", ")));
        let values: Vec<Value<'_>> = of.iter().map(Value::from).collect();
        let rows = these.bind(self.tenant.to_string()).bind_all(values).fetch_all(&self.store.readers).await?;
        rows.iter().map(read_suppression).collect()
    }

    /// The settings that the gate obeys; the default where none were made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Unreadable`], so that the gate knows nothing and lets nothing out.
    pub async fn policy(&self) -> Result<Policy, StoreError> {
        const NEWEST: &str = "SELECT content FROM policies WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1";
        let row = query(NEWEST).bind(self.tenant.to_string()).fetch_optional(&self.store.readers).await?;
        row.map_or(Ok(Policy::default()), |row| from_json("policy", row.try_get(0)?))
    }

    /// The versions of the settings, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Unreadable`].
    pub async fn policy_history(&self, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        const LIST: &str =
            "SELECT content, created_at, created_by FROM policies WHERE tenant_id = $1 ORDER BY version DESC LIMIT $2";
        let list = query(LIST).bind(self.tenant.to_string()).bind(i64::from(limit));
        let read = |row: &Row| {
            Ok(PolicyVersion {
                policy: from_json("policy", row.try_get(0)?)?,
                made_at: Timestamp::from_micros(row.try_get(1)?),
                made_by: row.try_get(2)?,
            })
        };
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }

    /// Makes new settings; their version's name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when others were made at the same time.
    pub async fn set_policy(&self, policy: Policy, who: Who) -> Result<String, StoreError> {
        const NEXT: &str = "SELECT COALESCE(MAX(version), 0) + 1 FROM policies WHERE tenant_id = $1";
        const ADD: &str = "INSERT INTO policies (tenant_id, version, content, created_at, created_by) VALUES ($1, $2, $3, $4, $5) \
ON CONFLICT DO NOTHING";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let next: i64 =
                        query(NEXT).bind(tenant.to_string()).fetch_one(&mut *connection).await?.try_get(0)?;
                    let policy = Policy { version: format!("v{next}"), ..policy };
                    let content = super::to_json("policy", &policy)?;
                    let add = query(ADD).bind(tenant.to_string()).bind(next).bind(content).bind(now.as_micros());
                    let add = add.bind(who.to_string());
                    if add.execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict("other settings were made at the same time"));
                    }
                    let detail = json!({ "settings": policy });
                    let entry = NewEntry::new(who, "policy.changed", &policy.version, detail);
                    // A quota may be another now. Drafts before the head of the log, as every step locks them.
                    waiting::look_at_those_of(connection, tenant, now).await?;
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(policy.version)
                })
            })
            .await
    }

    /// The newest events of a conversation, newest first; what was told of its drafts apart.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn thread_events(&self, thread: ThreadId) -> Result<Vec<ThreadEvent>, StoreError> {
        const LIST: &str = "\
SELECT e.event_id, e.recorded_at, e.content, d.status FROM events AS e
LEFT JOIN decisions AS d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id
WHERE e.tenant_id = $1 AND e.thread_id = $2 AND e.kind NOT LIKE '%.%' ORDER BY e.cursor DESC LIMIT $3";
        let list = query(LIST).bind(self.tenant.to_string()).bind(thread.to_string()).bind(i64::from(LOOKED_AT));
        let rows = list.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(ThreadEvent {
                id: super::from_id("event_id", row.try_get(0)?)?,
                recorded_at: Timestamp::from_micros(row.try_get(1)?),
                content: from_json("content", row.try_get(2)?)?,
                status: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

fn read_suppression(row: &Row) -> Result<Suppression, StoreError> {
    Ok(Suppression {
        address_key: row.try_get(0)?,
        reason: row.try_get(1)?,
        event: row.try_get(2)?,
        created_at: Timestamp::from_micros(row.try_get(3)?),
    })
}

/// Suppresses an address within a transaction; whether it was not before.
pub(super) async fn suppress(
    connection: &mut Connection,
    tenant: TenantId,
    (address_key, reason, event): (&str, SuppressionReason, Option<EventId>),
    now: Timestamp,
) -> Result<bool, StoreError> {
    const ADD: &str = "INSERT INTO suppressions (tenant_id, address_key, reason, event_id, created_at) \
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(address_key)
        .bind(reason.as_str())
        .bind(event.map(|id| id.to_string()))
        .bind(now.as_micros());
    Ok(add.execute(connection).await? > 0)
}
