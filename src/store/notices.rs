//! Notices of the gateway itself to people: made in the transaction of what they tell of, claimed by one sender under a lease,
//! and sent at most once.
//!
//! That the end of data is about to be written is committed before it is, with the audit row of what leaves: a notice whose
//! sender is lost behind that is `unknown`, and is not sent again. Of some kinds a person gets one at a time, and of all
//! together a number in an hour. No secret stands here: a link that is mailed gets its token when the mail is made.

pub mod outcome;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::approvals::overdue::policy_of;
use super::sql::{Connection, Row, query};
use super::{Store, StoreError, TenantStore, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::governance::notice::NoticeKind;
use crate::governance::role::Role;
use crate::ids::{Id as _, NoticeId, TenantId, UserId, WorkerId};

/// How long a sender has a notice: longer than all the waits of one transaction.
pub const LEASE: Duration = Duration::from_mins(45);
/// How long a notice is of use.
const USEFUL: Duration = Duration::from_hours(24);
/// Between two notices to one person that tell of all that waits.
const APART: Duration = Duration::from_mins(10);
/// Notices to one address in an hour.
const PER_HOUR: i64 = 12;
/// People who are told of one thing.
const AUDIENCE: i64 = 100;

/// What a notice has that stands nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// From where somebody signed in.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub browser: Option<String>,
}

/// A notice that one worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedNotice {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub id: NoticeId,
    /// What it is about.
    pub kind: NoticeKind,
    /// The account to which it goes; `None` for an invitation.
    pub user: Option<UserId>,
    /// Id of what it tells of.
    pub subject: String,
    /// What stands nowhere else.
    pub detail: Detail,
    /// Attempts that were begun, with this one.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is of no use.
    pub expires_at: Timestamp,
}

/// To whom one notice goes.
pub(super) struct To {
    pub(super) user: Option<UserId>,
    pub(super) address_key: String,
}

/// Tells the people of a tenant who are to do something about `subject`.
pub(super) async fn tell(
    connection: &mut Connection,
    tenant: TenantId,
    kind: NoticeKind,
    subject: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    const PEOPLE: &str = "SELECT user_id, email_key, role, approval_notices FROM users WHERE tenant_id = $1 \
AND state = 'active' AND role IN ('approver', 'admin', 'owner') ORDER BY user_id LIMIT $2";
    let rows = query(PEOPLE).bind(tenant.to_string()).bind(AUDIENCE).fetch_all(&mut *connection).await?;
    let read = |row: &Row| {
        let role = Role::parse(row.try_get(2)?).unwrap_or(Role::Viewer);
        let to = To { user: Some(from_id("user_id", row.try_get(0)?)?), address_key: row.try_get(1)? };
        Ok::<_, StoreError>((to, role, row.try_get::<i64>(3)? == 1))
    };
    let mut people = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    // Only those whose yes counts.
    let least = policy_of(connection, &tenant.to_string()).await?.approver;
    people.retain(|(_, role, _)| *role >= least);
    let Some(first) = people.iter().map(|(_, role, _)| *role).min() else { return Ok(()) };
    let has_others = people.iter().any(|(_, role, _)| *role > first);
    for (to, role, wants) in people {
        let is_told = match kind {
            NoticeKind::ApprovalWaits => role == first && wants,
            // The next role up; where there is none, the same people once more.
            _ => role > first || !has_others,
        };
        if is_told {
            queue(connection, tenant, (kind, subject.clone(), to), Detail::default(), now).await?;
        }
    }
    Ok(())
}

/// Makes a notice, unless its addressee has had enough of them.
pub(super) async fn queue(
    connection: &mut Connection,
    tenant: TenantId,
    (kind, subject, to): (NoticeKind, String, To),
    detail: Detail,
    now: Timestamp,
) -> Result<(), StoreError> {
    const COUNT: &str = "SELECT COUNT(*) FROM notices WHERE tenant_id = $1 AND address_key = $2 AND created_at > $3";
    const LAST: &str = "SELECT MAX(next_attempt_at), CAST(COALESCE(MAX(CASE WHEN state IN ('pending', 'deferred') THEN 1 ELSE 0 END), 0) AS BIGINT) \
FROM notices WHERE tenant_id = $1 AND address_key = $2 AND created_at > $3 AND kind = $4";
    const ADD: &str = "INSERT INTO notices (tenant_id, notice_id, kind, user_id, address_key, subject, detail, state, \
next_attempt_at, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10)";
    let since = |age: Duration| now.as_micros().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    let id = tenant.to_string();
    let count = query(COUNT).bind(&id).bind(&to.address_key).bind(since(Duration::from_hours(1)));
    if count.fetch_one(&mut *connection).await?.try_get::<i64>(0)? >= PER_HOUR {
        return Ok(());
    }
    let mut at = now;
    if kind.tells_of_all() {
        let last = query(LAST).bind(&id).bind(&to.address_key).bind(since(USEFUL)).bind(kind.as_str());
        let last = last.fetch_one(&mut *connection).await?;
        if last.try_get::<i64>(1)? == 1 {
            return Ok(());
        }
        if let Some(last) = last.try_get::<Option<i64>>(0)? {
            at = now.max(Timestamp::from_micros(last).plus(APART));
        }
    }
    let add = query(ADD)
        .bind(&id)
        .bind(fresh(now).to_string())
        .bind(kind.as_str())
        .bind(to.user.map(|user| user.to_string()))
        .bind(to.address_key)
        .bind(subject)
        .bind(to_json("detail", &detail)?)
        .bind(at.as_micros())
        .bind(now.as_micros())
        .bind(now.plus(USEFUL).as_micros());
    add.execute(connection).await?;
    Ok(())
}

fn fresh(now: Timestamp) -> NoticeId {
    let mut random = [0; 10];
    crate::clock::random_bytes(&mut random);
    NoticeId::from_parts(u64::try_from(now.as_micros() / 1_000).unwrap_or(0), random)
}

impl Store {
    /// Takes the notice that has waited longest and is due, under a lease; `None` where none is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_notice(&self, worker: WorkerId) -> Result<Option<ClaimedNotice>, StoreError> {
        const ANY: &str = "SELECT EXISTS (SELECT 1 FROM notices WHERE state IN ('pending', 'deferred') \
AND next_attempt_at <= $1)";
        const TAKE: &str = "UPDATE notices SET state = 'in_flight', attempts = attempts + 1, lease_owner = $2, lease_until = $3, \
eod_started_at = NULL WHERE state IN ('pending', 'deferred') AND (tenant_id, notice_id) IN (\
SELECT tenant_id, notice_id FROM notices WHERE state IN ('pending', 'deferred') AND next_attempt_at <= $1 \
ORDER BY next_attempt_at LIMIT 1) \
RETURNING tenant_id, notice_id, kind, user_id, subject, detail, attempts, created_at, expires_at";
        let now = self.clock.now();
        if !query(ANY).bind(now.as_micros()).fetch_one(&self.readers).await?.try_get::<bool>(0)? {
            return Ok(None);
        }
        self.write(move |connection| {
            Box::pin(async move {
                let take = query(TAKE).bind(now.as_micros()).bind(worker.to_string());
                let row = take.bind(now.plus(LEASE).as_micros()).fetch_optional(connection).await?;
                row.as_ref().map(read).transpose()
            })
        })
        .await
    }

    /// Forgets notices that came to their end a while ago, and those that nobody sent.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_notices(&self) -> Result<(), StoreError> {
        const ANY: &str = "SELECT EXISTS (SELECT 1 FROM notices WHERE created_at < $1)";
        const FORGET: &str = "DELETE FROM notices WHERE created_at < $1 AND state <> 'in_flight'";
        const KEPT: Duration = Duration::from_hours(30 * 24);
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let before = self.clock.now().as_micros().saturating_sub(kept);
        if !query(ANY).bind(before).fetch_one(&self.readers).await?.try_get::<bool>(0)? {
            return Ok(());
        }
        self.write(move |connection| {
            Box::pin(async move { Ok(query(FORGET).bind(before).execute(connection).await.map(|_| ())?) })
        })
        .await
    }
}

impl TenantStore {
    /// How many notices there are in each state, by kind: for whoever looks after the tenant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn notice_counts(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        const COUNT: &str =
            "SELECT kind, state, COUNT(*) FROM notices WHERE tenant_id = $1 GROUP BY kind, state ORDER BY kind, state";
        let rows = query(COUNT).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

fn read(row: &Row) -> Result<ClaimedNotice, StoreError> {
    let unknown = || StoreError::Unreadable { what: "kind", detail: "not a known word".to_owned() };
    Ok(ClaimedNotice {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        id: from_id("notice_id", row.try_get(1)?)?,
        kind: NoticeKind::from_word(row.try_get(2)?).ok_or_else(unknown)?,
        user: row.try_get::<Option<&str>>(3)?.map(|id| from_id("user_id", id)).transpose()?,
        subject: row.try_get(4)?,
        detail: row.try_get::<Option<&str>>(5)?.map_or(Ok(Detail::default()), |text| from_json("detail", text))?,
        attempts: u32::try_from(row.try_get::<i64>(6)?).unwrap_or(u32::MAX),
        created_at: Timestamp::from_micros(row.try_get(7)?),
        expires_at: Timestamp::from_micros(row.try_get(8)?),
    })
}
