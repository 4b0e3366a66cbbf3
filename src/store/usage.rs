//! What was let out to leave within 24 hours, counted for limits.
//!
//! Each release is written once under each thing that a limit can be set for, in the transaction that stores it: whoever asks
//! how much that was reads an index's own part and no row of a release.

use std::collections::BTreeMap;
use std::time::Duration;

use super::releases::NewRelease;
use super::sql::{Connection, Query, Value, built, query};
use super::{StoreError, TenantStore, rows};
use crate::clock::Timestamp;
use crate::governance::Evidence;
use crate::ids::{AppId, DraftId, MailboxId, TenantId};
use crate::mail::address::{Domain, Mailbox};

/// What a limit counts releases of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// The tenant.
    Tenant,
    /// A mailbox.
    Mailbox(MailboxId),
    /// The agent that asked.
    Agent(String),
    /// The app of the mailbox at that time.
    App(AppId),
    /// A domain of a recipient.
    Domain(Domain),
    /// A recipient in the form for comparison, where policy let it out and no person.
    Automatic(String),
}

impl Counted {
    fn subject(&self) -> String {
        match self {
            Self::Tenant => "tenant".to_owned(),
            Self::Mailbox(id) => format!("mailbox:{id}"),
            Self::Agent(agent) => format!("agent:{agent}"),
            Self::App(id) => format!("app:{id}"),
            Self::Domain(domain) => format!("domain:{}", domain.as_str()),
            Self::Automatic(key) => format!("automatic:{key}"),
        }
    }
}

/// Which releases count for a draft: those of other drafts that leave in the 24 hours before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// The draft.
    pub draft: DraftId,
    /// When it leaves, or would.
    pub at: Timestamp,
    /// Whether it is released already. Then it has a place among those that leave at the same moment: of more than there is
    /// room for, the first leave and the others wait, whichever comes to be sent first.
    pub is_released: bool,
}

/// What the words of a release look like that went to people who were new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approach {
    /// [`crate::governance::similarity::likeness`] of the words.
    pub likeness: u64,
    /// How many recipients were new.
    pub newcomers: u32,
}

/// How long a release counts.
pub const COUNTED_FOR: Duration = Duration::from_hours(24);
/// Subjects of one statement.
const SUBJECTS: usize = 64;
/// Releases to people who were new that are looked at.
const APPROACHES: i64 = 20_000;

impl TenantStore {
    /// How many releases of other drafts count now under each of these.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn let_out(&self, others: Others, under: &[Counted]) -> Result<Vec<u32>, StoreError> {
        const COUNT: &str = "SELECT subject, COUNT(*) FROM counted_releases WHERE tenant_id = $1 AND leaves_at > $2 \
AND leaves_at <= $3 AND (leaves_at < $3 OR draft_id < $4) AND draft_id <> $4 AND subject IN (";
        let subjects: Vec<String> = under.iter().map(Counted::subject).collect();
        let mut counts = BTreeMap::new();
        for chunk in subjects.chunks(SUBJECTS) {
            let places: Vec<String> = (5..chunk.len() + 5).map(|place| format!("${place}")).collect();
            let count = built(format!("{COUNT}{}) GROUP BY subject", places.join(", ")));
            let count = self.counted(count, others).bind_all(chunk.iter().map(Value::from).collect());
            for row in count.fetch_all(&self.store.readers).await? {
                let number = u32::try_from(row.try_get::<i64>(1)?).unwrap_or(u32::MAX);
                counts.insert(row.try_get::<String>(0)?, number);
            }
        }
        Ok(subjects.iter().map(|subject| counts.get(subject).copied().unwrap_or(0)).collect())
    }

    /// When that release leaves that is the `place`th newest of those that count, from 1 on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn let_out_at(
        &self,
        others: Others,
        under: &Counted,
        place: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        const AT: &str = "SELECT leaves_at FROM counted_releases WHERE tenant_id = $1 AND leaves_at > $2 \
AND leaves_at <= $3 AND (leaves_at < $3 OR draft_id < $4) AND draft_id <> $4 AND subject = $5
ORDER BY leaves_at DESC LIMIT 1 OFFSET $6";
        let at = self.counted(query(AT), others).bind(under.subject()).bind(i64::from(place.saturating_sub(1)));
        let row = at.fetch_optional(&self.store.readers).await?;
        row.map(|row| Ok(Timestamp::from_micros(row.try_get(0)?))).transpose()
    }

    /// What the words of other drafts look like that were let out to people who were new. Of more than are looked at, `None`:
    /// nobody knows then how many are alike.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Unreadable`].
    pub async fn approaches(&self, others: Others) -> Result<Option<Vec<Approach>>, StoreError> {
        // One row: to hand over thousands costs more than to read them.
        const ALL: &str = "\
SELECT COUNT(*), string_agg(one.similarity || ' ' || one.newcomers, ',') FROM (SELECT similarity, newcomers FROM counted_releases
WHERE tenant_id = $1 AND subject = 'tenant' AND leaves_at > $2 AND leaves_at <= $3 AND (leaves_at < $3 OR draft_id < $4)
AND draft_id <> $4 AND newcomers > 0 LIMIT $5) AS one";
        let row = self.counted(query(ALL), others).bind(APPROACHES + 1).fetch_one(&self.store.readers).await?;
        if row.try_get::<i64>(0)? > APPROACHES {
            return Ok(None);
        }
        let Some(list) = row.try_get::<Option<&str>>(1)? else { return Ok(Some(Vec::new())) };
        let read = |one: &str| {
            let (likeness, newcomers) = one.split_once(' ')?;
            let likeness = likeness.parse::<i64>().ok()?.cast_unsigned();
            Some(Approach { likeness, newcomers: u32::try_from(newcomers.parse::<i64>().ok()?).unwrap_or(u32::MAX) })
        };
        let unreadable = || StoreError::Unreadable { what: "similarity", detail: "no number".to_owned() };
        list.split(',').map(|one| read(one).ok_or_else(unreadable)).collect::<Result<_, _>>().map(Some)
    }

    /// Drops what counts no more; how many rows that was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drop_counted(&self) -> Result<u64, StoreError> {
        const DROP: &str = "DELETE FROM counted_releases WHERE tenant_id = $1 AND leaves_at <= $2";
        let (tenant, since) = (self.tenant.to_string(), day_before(self.store.clock.now()));
        self.store
            .write(move |connection| {
                Box::pin(async move { Ok(query(DROP).bind(tenant).bind(since).execute(connection).await?) })
            })
            .await
    }

    /// Binds whose releases count, and since when.
    fn counted<'q>(&self, query: Query<'q>, others: Others) -> Query<'q> {
        let Others { draft, at, is_released } = others;
        // Before it is released it is behind all that leave at the same moment.
        let until = if is_released { at.as_micros() } else { at.as_micros().saturating_add(1) };
        query.bind(self.tenant.to_string()).bind(day_before(at)).bind(until).bind(draft.to_string())
    }
}

fn day_before(at: Timestamp) -> i64 {
    at.as_micros().saturating_sub(i64::try_from(COUNTED_FOR.as_micros()).unwrap_or(i64::MAX))
}

/// When a release leaves, as it counts.
#[must_use]
pub fn leaves_at(released_at: Timestamp, send_at: Option<Timestamp>) -> Timestamp {
    send_at.map_or(released_at, |send_at| send_at.max(released_at))
}

/// Counts a release under all that it counts for.
pub(super) async fn count(connection: &mut Connection, tenant: TenantId, new: &NewRelease) -> Result<(), StoreError> {
    const ADD: &str = "INSERT INTO counted_releases (tenant_id, subject, leaves_at, draft_id, similarity, newcomers) ";
    let recipients = new.row.transmissions.iter().map(|one| one.recipient.key());
    let automatic = recipients.filter(|_| matches!(new.row.evidence, Evidence::Policy { .. }));
    let mut subjects: Vec<String> =
        new.counted.iter().cloned().chain(automatic.map(Counted::Automatic)).map(|one| one.subject()).collect();
    subjects.sort();
    subjects.dedup();
    let (tenant, draft) = (tenant.to_string(), new.row.draft.to_string());
    let at = leaves_at(new.row.released_at, Some(new.send_at)).as_micros();
    let words = (new.similarity.cast_signed(), i64::from(new.newcomers));
    let own = Counted::Tenant.subject();
    rows::insert_unless(connection, ADD, "ON CONFLICT DO NOTHING", &subjects, |values, subject| {
        let (similarity, newcomers) = Some(words).filter(|_| *subject == own).unzip();
        values.push_bind(&tenant).push_bind(subject).push_bind(at).push_bind(&draft);
        values.push_bind(similarity).push_bind(newcomers);
    })
    .await?;
    Ok(())
}

/// What a release counts for, whoever let it out.
#[must_use]
pub fn counted_under(
    mailbox: MailboxId,
    app: Option<AppId>,
    agent: Option<&str>,
    recipients: &[Mailbox],
) -> Vec<Counted> {
    let mut domains: Vec<&Domain> = recipients.iter().map(Mailbox::domain).collect();
    domains.sort();
    domains.dedup();
    let own = [Counted::Tenant, Counted::Mailbox(mailbox)].into_iter();
    own.chain(app.map(Counted::App))
        .chain(agent.map(|agent| Counted::Agent(agent.to_owned())))
        .chain(domains.into_iter().cloned().map(Counted::Domain))
        .collect()
}
