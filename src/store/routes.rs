//! Intake routes and their addresses: what each takes, from whom, and where it is in its life.
//!
//! An address is found by the SHA-256 of its token alone. A route has one address that it gives out, and any number of
//! former ones, which go on to be taken for a while so that mail systems have time to learn the new one.

use std::time::Duration;

use serde_json::{Value, json};

use super::audit::{NewEntry, append};
use super::directory::no_tenant_or;
use super::sql::{Query, Row, built, query};
use super::{Store, StoreError, TenantStore, from_id, from_json, retention, sight, to_json};
use crate::clock::Timestamp;
use crate::event::privacy::Visibility;
use crate::ids::{AppId, RouteId, TenantId};
use crate::mail::envelope::{Door, Origin};
use crate::mail::marks::Mark;
use crate::mail::peer::PeerRule;
use crate::mail::reading::Reader;
use crate::mail::retention::{Keep, Retention};
use crate::mail::selection::{AuthorRule, CopyRule, Selection};

/// Where a route is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteState {
    /// It takes copies.
    Active,
    /// It takes copies to find out by what marks they can be told from a stranger's.
    Learning,
    /// It asks peers to come back later.
    Paused,
    /// Its address was given up: peers are asked to come back later for a while, then it is unknown.
    Retired,
    /// It is gone; its events stay.
    Deleted,
}

impl RouteState {
    /// Its word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Learning => "learning",
            Self::Paused => "paused",
            Self::Retired => "retired",
            Self::Deleted => "deleted",
        }
    }

    fn named(word: &str) -> Result<Self, StoreError> {
        let all = [Self::Active, Self::Learning, Self::Paused, Self::Retired, Self::Deleted];
        let found = all.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| StoreError::Unreadable { what: "state", detail: "not a known word".into() })
    }
}

/// A step in the life of a route that an operator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteStep {
    /// It takes nothing until it is resumed.
    Pause,
    /// It takes copies again.
    Resume,
    /// It takes nothing any more, and says so to those who go on to send.
    Retire,
}

impl RouteStep {
    /// The statement, which changes nothing where the step does not follow from the route's state.
    const fn statement(self) -> &'static str {
        match self {
            Self::Pause => {
                "UPDATE routes SET state = 'paused', state_since = $3
WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning')"
            }
            Self::Resume => {
                "UPDATE routes SET state = 'active', state_since = $3
WHERE tenant_id = $1 AND route_id = $2 AND state = 'paused'"
            }
            Self::Retire => {
                "UPDATE routes SET state = 'retired', state_since = $3
WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning', 'paused')"
            }
        }
    }

    /// Its word in the audit log.
    const fn action(self) -> &'static str {
        match self {
            Self::Pause => "route.paused",
            Self::Resume => "route.resumed",
            Self::Retire => "route.retired",
        }
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Pause => "only a route that takes copies can be paused",
            Self::Resume => "only a paused route can be resumed",
            Self::Retire => "the route is retired already",
        }
    }
}

/// An intake route; its address is a secret and stays encrypted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// Its owner.
    pub tenant: TenantId,
    /// Its id.
    pub id: RouteId,
    /// How it reads what it takes.
    pub reader: Reader,
    /// The address that it gives out, sealed with the instance key.
    pub address_sealed: String,
    /// The app that is told of its mail.
    pub app: Option<AppId>,
    /// Who is authorised to hand copies over.
    pub peers: Vec<PeerRule>,
    /// Where it is in its life.
    pub state: RouteState,
    /// Since when.
    pub state_since: Timestamp,
    /// Octets that one message may have; `None`: as configured for routes of its kind.
    pub size_cap: Option<u64>,
    /// Until when it learns by what marks its copies can be told.
    pub learning_until: Option<Timestamp>,
    /// The marks that were confirmed: a copy from a network that is everybody's must carry exactly these.
    pub marks: Option<Vec<Mark>>,
    /// Until when nothing follows from its copies but that it is shown what would.
    pub observe_until: Option<Timestamp>,
    /// Whose copies it takes, where it is a `bcc` route; empty: those of every author.
    pub authors: Vec<AuthorRule>,
    /// When its mail system's own test of the connector was last seen.
    pub validated_at: Option<Timestamp>,
    /// Which copies it takes notice of.
    pub selection: Selection,
    /// What it keeps of them.
    pub retention: Retention,
    /// Whom it shows them to.
    pub visible_to: Visibility,
}

impl RouteRow {
    /// Whether it learns at this moment.
    #[must_use]
    pub fn learns(&self, now: Timestamp) -> bool {
        self.state == RouteState::Learning && self.learning_until.is_some_and(|until| now < until)
    }

    /// Whether it takes copies.
    #[must_use]
    pub const fn takes_copies(&self) -> bool {
        matches!(self.state, RouteState::Active | RouteState::Learning)
    }

    /// Whether it names who handed a message over. For history that is imported, the operator of this machine named it.
    #[must_use]
    pub fn names(&self, origin: &Origin) -> bool {
        origin.door == Door::Import || self.peers.iter().any(|rule| rule.admits(origin))
    }

    /// Whether it is observed at this moment.
    #[must_use]
    pub fn is_observed(&self, now: Timestamp) -> bool {
        self.observe_until.is_some_and(|until| now < until)
    }
}

/// A route to be made.
#[derive(Debug, Clone)]
pub struct NewRoute {
    /// How it reads what it takes.
    pub reader: Reader,
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// The address, sealed with the instance key.
    pub address_sealed: String,
    /// The app that is told of its mail.
    pub app: Option<AppId>,
    /// Who is authorised to hand copies over.
    pub peers: Vec<PeerRule>,
    /// Octets that one message may have; `None`: as configured for routes of its kind.
    pub size_cap: Option<u64>,
    /// Until when it is observed.
    pub observe_until: Option<Timestamp>,
}

/// What is to change of a route; `None` leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteChange {
    /// How it reads what it takes: of the kind that it has.
    pub reader: Option<Reader>,
    /// Who is authorised to hand copies over.
    pub peers: Option<Vec<PeerRule>>,
    /// Octets that one message may have; `Some(None)`: as configured.
    pub size_cap: Option<Option<u64>>,
    /// Until when it is observed; `Some(None)`: not any more.
    pub observe_until: Option<Option<Timestamp>>,
    /// Whose copies it takes, where it is a `bcc` route; none: those of every author.
    pub authors: Option<Vec<AuthorRule>>,
    /// Which copies alone it takes notice of; none: all.
    pub include: Option<Vec<CopyRule>>,
    /// Which copies it takes no notice of.
    pub exclude: Option<Vec<CopyRule>>,
    /// How much of its copies it keeps, also of those that it has taken.
    pub keep: Option<Keep>,
    /// For how many days; `Some(None)`: for ever.
    pub keep_days: Option<Option<u32>>,
}

impl RouteChange {
    /// What the audit log says of it: which settings, and the values of those that name nobody.
    fn told(&self) -> Value {
        let given = [
            ("reader", self.reader.is_some()),
            ("peers", self.peers.is_some()),
            ("sizeCap", self.size_cap.is_some()),
            ("observeUntil", self.observe_until.is_some()),
            ("authors", self.authors.is_some()),
            ("include", self.include.is_some()),
            ("exclude", self.exclude.is_some()),
            ("keep", self.keep.is_some()),
            ("keepDays", self.keep_days.is_some()),
        ];
        let changed: Vec<&str> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        json!({ "changed": changed, "peers": self.peers, "keep": self.keep.map(Keep::as_str), "keepDays": self.keep_days.flatten() })
    }
}

/// What an address of a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRoute {
    /// The route.
    pub row: RouteRow,
    /// Until when this address counts, where it is a former one.
    pub accepted_until: Option<Timestamp>,
    /// Since when the tenant is suspended, where it is.
    pub tenant_suspended: Option<Timestamp>,
}

/// A former address of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerAddress {
    /// Whose it was.
    pub route: RouteId,
    /// The address, sealed with the instance key.
    pub address_sealed: String,
    /// Until when it counts.
    pub accepted_until: Timestamp,
}

const COLUMNS: &str = "r.tenant_id, r.route_id, r.reader, r.address_sealed, r.app_id, r.peers, r.state, r.state_since, \
r.size_cap, r.learning_until, r.marks, r.observe_until, r.include_rules, r.exclude_rules, r.keep, r.keep_days, r.legal_hold, r.authors, r.validated_at, r.visible_to";

impl Store {
    /// The route that has, or had, the token with this SHA-256.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn route_by_token(&self, hash: [u8; 32]) -> Result<Option<FoundRoute>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, t.suspended_at, CAST(NULL AS BIGINT) FROM routes AS r
JOIN tenants AS t ON t.tenant_id = r.tenant_id WHERE r.token_hash = $1 AND r.state <> 'deleted'
UNION ALL
SELECT {COLUMNS}, t.suspended_at, f.accepted_until FROM retired_tokens AS f
JOIN routes AS r ON r.tenant_id = f.tenant_id AND r.route_id = f.route_id
JOIN tenants AS t ON t.tenant_id = r.tenant_id WHERE f.token_hash = $1 AND r.state <> 'deleted'"
        );
        let row = built(sql).bind(hash.as_slice()).fetch_optional(&self.doors).await?;
        let read = |row: Row| {
            Ok(FoundRoute {
                row: read_route(&row)?,
                tenant_suspended: row.try_get::<Option<i64>>(20)?.map(Timestamp::from_micros),
                accepted_until: row.try_get::<Option<i64>>(21)?.map(Timestamp::from_micros),
            })
        };
        row.map(read).transpose()
    }

    /// Whether any route of the installation names a client's certificate. Rules are stored as JSON texts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_route_with_certificate(&self) -> Result<bool, StoreError> {
        const FIND: &str = "\
SELECT COUNT(*) FROM (SELECT 1 FROM routes WHERE peers LIKE $1 AND state <> 'deleted' LIMIT 1) AS named";
        let row = query(FIND).bind("%\"cert:%").fetch_one(&self.doors).await?;
        Ok(row.try_get::<i64>(0)? > 0)
    }
}

impl TenantStore {
    /// Makes an intake route under `id`, for which its address was sealed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn add_route(&self, id: RouteId, route: NewRoute) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO routes (tenant_id, route_id, reader, token_hash, address_sealed, app_id, peers, state, state_since, created_at, size_cap, observe_until)
VALUES ($1, $2, $8, $3, $4, $5, $6, 'active', $7, $7, $9, $10)";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let peers = to_json("peers", &route.peers)?;
        let reader = route.reader.as_str();
        let detail = json!({ "reader": reader, "app": route.app, "peers": route.peers, "sizeCap": route.size_cap });
        let entry = NewEntry::new(self.who.clone(), "route.added", id, detail);
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    query(ADD)
                        .bind(tenant.to_string())
                        .bind(id.to_string())
                        .bind(route.token_hash.as_slice())
                        .bind(route.address_sealed)
                        .bind(route.app.map(|app| app.to_string()))
                        .bind(peers)
                        .bind(now.as_micros())
                        .bind(reader)
                        .bind(route.size_cap.map(u64::cast_signed))
                        .bind(route.observe_until.map(Timestamp::as_micros))
                        .execute(&mut *connection)
                        .await
                        .map_err(no_tenant_or("a route of this token"))?;
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// All routes that were not removed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn routes(&self) -> Result<Vec<RouteRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM routes AS r WHERE r.tenant_id = $1 AND r.state <> 'deleted' ORDER BY r.route_id"
        );
        let rows = built(sql).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(read_route).collect()
    }

    /// The routes that were not removed, and since when there are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn routes_since(&self) -> Result<Vec<(RouteId, Timestamp)>, StoreError> {
        const LIST: &str =
            "SELECT route_id, created_at FROM routes WHERE tenant_id = $1 AND state <> 'deleted' ORDER BY route_id";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        let read = |row: &Row| Ok((from_id("route_id", row.try_get(0)?)?, Timestamp::from_micros(row.try_get(1)?)));
        rows.iter().map(read).collect()
    }

    /// The route with this id, removed ones too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn route(&self, id: RouteId) -> Result<Option<RouteRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM routes AS r WHERE r.tenant_id = $1 AND r.route_id = $2");
        let find = built(sql).bind(self.tenant.to_string()).bind(id.to_string());
        find.fetch_optional(&self.store.readers).await?.as_ref().map(read_route).transpose()
    }

    /// The former addresses of all routes, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn former_addresses(&self) -> Result<Vec<FormerAddress>, StoreError> {
        const LIST: &str = "\
SELECT route_id, address_sealed, accepted_until FROM retired_tokens WHERE tenant_id = $1
ORDER BY accepted_until DESC, route_id";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(FormerAddress {
                route: from_id("route_id", row.try_get(0)?)?,
                address_sealed: row.try_get(1)?,
                accepted_until: Timestamp::from_micros(row.try_get(2)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Gives a route a new address. The one before is taken for `overlap` longer; until when.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] where the route is retired.
    pub async fn rotate_route(
        &self,
        id: RouteId,
        token_hash: [u8; 32],
        address_sealed: String,
        overlap: Duration,
    ) -> Result<Timestamp, StoreError> {
        const KEEP: &str = "\
INSERT INTO retired_tokens (tenant_id, token_hash, route_id, address_sealed, accepted_until)
SELECT tenant_id, token_hash, route_id, address_sealed, $3 FROM routes
WHERE tenant_id = $1 AND route_id = $2 AND state IN ('active', 'learning', 'paused')";
        const GIVE: &str =
            "UPDATE routes SET token_hash = $3, address_sealed = $4 WHERE tenant_id = $1 AND route_id = $2";
        let (owner, now) = (self.tenant, self.store.clock.now());
        let (tenant, until) = (owner.to_string(), now.plus(overlap));
        let detail = json!({ "formerAcceptedUntil": until.to_string() });
        let entry = NewEntry::new(self.who.clone(), "route.rotated", id, detail);
        let changed = self
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let keep = query(KEEP).bind(&tenant).bind(id.to_string()).bind(until.as_micros());
                    if keep.execute(&mut *connection).await? == 0 {
                        return Ok(false);
                    }
                    let give = query(GIVE).bind(tenant).bind(id.to_string());
                    give.bind(token_hash.as_slice()).bind(address_sealed).execute(&mut *connection).await?;
                    append(connection, owner, now, vec![entry]).await?;
                    Ok::<_, StoreError>(true)
                })
            })
            .await?;
        if changed { Ok(until) } else { Err(self.refusal(id, "the route is retired").await?) }
    }

    /// Takes a step in a route's life; doors see it within a second.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] where the step does not follow from the route's state.
    pub async fn step_route(&self, id: RouteId, step: RouteStep) -> Result<(), StoreError> {
        let now = self.store.clock.now();
        let change = query(step.statement()).bind(self.tenant.to_string()).bind(id.to_string()).bind(now.as_micros());
        match self.change_on_log(id, change, step.action(), json!({})).await? {
            true => Ok(()),
            false => Err(self.refusal(id, step.refusal()).await?),
        }
    }

    /// Changes what a route takes, believes and keeps, all at once; doors and workers see it within a second or two.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change_route(&self, id: RouteId, change: RouteChange) -> Result<(), StoreError> {
        const CHANGE: &str = "\
UPDATE routes SET reader = COALESCE($3, reader), peers = COALESCE($4, peers), authors = COALESCE($5, authors),
    include_rules = COALESCE($6, include_rules), exclude_rules = COALESCE($7, exclude_rules), keep = COALESCE($8, keep),
    size_cap = CASE WHEN $9 = 1 THEN $10 ELSE size_cap END,
    observe_until = CASE WHEN $11 = 1 THEN $12 ELSE observe_until END,
    keep_days = CASE WHEN $13 = 1 THEN $14 ELSE keep_days END
WHERE tenant_id = $1 AND route_id = $2 AND state <> 'deleted'";
        fn json<T: serde::Serialize>(what: &'static str, list: Option<&T>) -> Result<Option<String>, StoreError> {
            list.map(|list| to_json(what, list)).transpose()
        }
        let is_given = |given: bool| i64::from(given);
        let detail = change.told();
        let set = query(CHANGE)
            .bind(self.tenant.to_string())
            .bind(id.to_string())
            .bind(change.reader.map(Reader::as_str))
            .bind(json("peers", change.peers.as_ref())?)
            .bind(json("rules", change.authors.as_ref())?)
            .bind(json("rules", change.include.as_ref())?)
            .bind(json("rules", change.exclude.as_ref())?)
            .bind(change.keep.map(Keep::as_str))
            .bind(is_given(change.size_cap.is_some()))
            .bind(change.size_cap.flatten().map(u64::cast_signed))
            .bind(is_given(change.observe_until.is_some()))
            .bind(change.observe_until.flatten().map(Timestamp::as_micros))
            .bind(is_given(change.keep_days.is_some()))
            .bind(change.keep_days.flatten().map(i64::from));
        match self.change_on_log(id, set, "route.changed", detail).await? {
            true => Ok(()),
            false => Err(StoreError::NotFound("route")),
        }
    }

    /// Runs an update of one route, and records that it changed something; whether it did.
    pub(super) async fn change_on_log(
        &self,
        id: RouteId,
        change: Query<'static>,
        action: &'static str,
        detail: Value,
    ) -> Result<bool, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let entry = NewEntry::new(self.who.clone(), action, id, detail);
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    if change.execute(&mut *connection).await? == 0 {
                        return Ok(false);
                    }
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Removes a route; its addresses are unknown from then on. What it has taken is kept as the route said.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] while it is on legal hold, which could then never end.
    pub async fn remove_route(&self, id: RouteId) -> Result<(), StoreError> {
        const REMOVE: &str = "\
UPDATE routes SET state = 'deleted', state_since = $3
WHERE tenant_id = $1 AND route_id = $2 AND state <> 'deleted' AND legal_hold = 0";
        let now = self.store.clock.now();
        let remove = query(REMOVE).bind(self.tenant.to_string()).bind(id.to_string()).bind(now.as_micros());
        match self.change_on_log(id, remove, "route.removed", json!({})).await? {
            true => Ok(()),
            false => Err(self.refusal(id, "the route is on legal hold, which must end first").await?),
        }
    }

    /// Why nothing was changed.
    pub(super) async fn refusal(&self, id: RouteId, why: &'static str) -> Result<StoreError, StoreError> {
        let is_there = self.route(id).await?.is_some_and(|row| row.state != RouteState::Deleted);
        Ok(if is_there { StoreError::Conflict(why) } else { StoreError::NotFound("route") })
    }
}

fn read_route(row: &Row) -> Result<RouteRow, StoreError> {
    let app: Option<&str> = row.try_get(4)?;
    let moment = |at: usize| row.try_get::<Option<i64>>(at).map(|micros| micros.map(Timestamp::from_micros));
    Ok(RouteRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("route_id", row.try_get(1)?)?,
        reader: Reader::named(row.try_get(2)?)
            .ok_or_else(|| StoreError::Unreadable { what: "reader", detail: "not a known word".into() })?,
        address_sealed: row.try_get(3)?,
        app: app.map(|id| from_id("app_id", id)).transpose()?,
        peers: from_json("peers", row.try_get(5)?)?,
        state: RouteState::named(row.try_get(6)?)?,
        state_since: Timestamp::from_micros(row.try_get(7)?),
        size_cap: row.try_get::<Option<i64>>(8)?.map(i64::cast_unsigned),
        learning_until: moment(9)?,
        marks: row.try_get::<Option<&str>>(10)?.map(|text| from_json("marks", text)).transpose()?,
        observe_until: moment(11)?,
        authors: rules(row, 17)?,
        validated_at: moment(18)?,
        selection: Selection { include: rules(row, 12)?, exclude: rules(row, 13)? },
        retention: Retention {
            keep: retention::keep(row.try_get(14)?)?,
            days: row.try_get::<Option<i64>>(15)?.map(|days| u32::try_from(days).unwrap_or(u32::MAX)),
            legal_hold: row.try_get::<i64>(16)? != 0,
        },
        visible_to: sight::visibility(row.try_get(19)?)?,
    })
}

fn rules<R: serde::de::DeserializeOwned>(row: &Row, at: usize) -> Result<Vec<R>, StoreError> {
    let rules = row.try_get::<Option<&str>>(at)?.map(|text| from_json("rules", text)).transpose()?;
    Ok(rules.unwrap_or_default())
}
