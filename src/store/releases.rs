//! Releases and their transmissions: who claims a recipient, how far it came, and what that makes of the draft.
//!
//! A release is written in the transaction that takes its draft to `released`, with the audit row that says who let it out:
//! nothing is claimed that does not stand there. A transmission is claimed by one sender under a lease. Before the end of
//! data is written, `eod_started_at` is committed: a lease that runs out with that mark leaves `unknown`, which nobody sends
//! again by itself; without it, the recipient is tried again.

mod anew;
mod lost;
mod settled;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::drafts::{end_release, lock_draft, step};
use super::notices::tell;
use super::receipts::add_receipt;
use super::sent::bounce;
use super::sql::{Connection, Row, query};
use super::usage::{Counted, count};
use super::{Store, StoreError, TenantStore, from_id, from_json, rows, to_json};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::chain::Link;
use crate::governance::gate::{Admission, Transmission};
use crate::governance::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use crate::governance::notice::NoticeKind::TransmissionUnknown;
use crate::governance::receipt::Unsigned;
use crate::governance::{IdentityOwner, ReleaseRow};
use crate::ids::{DraftId, EventId, ReleaseId, TenantId, WorkerId};
use crate::mail::address::Mailbox;

pub use settled::Finding;

/// A release to be stored.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// What the gate gave.
    pub row: ReleaseRow,
    /// The version of the draft.
    pub version: u32,
    /// Not before then does it leave.
    pub send_at: Timestamp,
    /// The agent that asked for it.
    pub agent: Option<String>,
    /// What its words look like.
    pub similarity: u64,
    /// How many of its recipients were new.
    pub newcomers: u32,
    /// What it counts for, whoever let it out.
    pub counted: Vec<Counted>,
    /// Who asked for it.
    pub asked_by: Who,
    /// What is to be signed about it.
    pub receipt: Unsigned,
}

/// A release as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRelease {
    /// What the gate takes to make a permission of it again.
    pub row: ReleaseRow,
    /// The version of the draft.
    pub version: u32,
    /// The one route by which it lets its content out; empty for one of before there were receipts.
    pub route: Option<String>,
    /// Since when nothing more is sent under it.
    pub ended_at: Option<Timestamp>,
    /// What is known of each recipient, in the order of the row.
    pub progress: Vec<TransmissionProgress>,
}

/// How far one recipient has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransmissionProgress {
    /// Attempts that were begun.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_at: Timestamp,
    /// The host that answered last.
    pub host: Option<String>,
    /// What it said.
    pub reply: Option<String>,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// The event of the report by which it came back.
    pub returned_by: Option<EventId>,
}

/// A release with recipients that one worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRelease {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub release: ReleaseId,
    /// Its draft.
    pub draft: DraftId,
    /// The places of the recipients that are held.
    pub positions: Vec<u32>,
}

/// What came of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its place in the release.
    pub position: u32,
    /// What happened.
    pub event: TransmissionEvent,
    /// The host that answered.
    pub host: Option<String>,
    /// What it said, or why it was not reached.
    pub reply: String,
    /// When it is tried again, where it is.
    pub next_attempt_at: Option<Timestamp>,
}

/// How long a worker holds a recipient without a sign of life.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

impl TenantStore {
    /// Stores a release; its draft is released, and a draft has one release at a time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the draft's state does not allow it or its version is another by now;
    /// [`StoreError::NotFound`].
    pub async fn release_draft(&self, new: NewRelease) -> Result<(), StoreError> {
        const SAME: &str = "\
UPDATE drafts SET send_at = $4 WHERE tenant_id = $1 AND draft_id = $2 AND version = $3";
        const RELEASE: &str = "\
INSERT INTO releases (tenant_id, release_id, draft_id, version, mailbox_id, content_hash, evidence, policy_version, owner,
    released_at, expires_at, agent_id, similarity, newcomers, route) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        const TRANSMISSIONS: &str =
            "INSERT INTO transmissions (tenant_id, release_id, position, recipient, state, next_attempt_at) ";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    count(connection, tenant, &new).await?;
                    let NewRelease { row, version, send_at, agent, similarity, newcomers, asked_by, receipt, .. } = new;
                    let (id, release) = (tenant.to_string(), row.id.to_string());
                    step(connection, tenant, row.draft, DraftEvent::Release, now).await?;
                    let same = query(SAME).bind(&id).bind(row.draft.to_string()).bind(i64::from(version));
                    if same.bind(send_at.as_micros()).execute(&mut *connection).await? == 0 {
                        return Err(StoreError::Conflict("the draft was edited meanwhile"));
                    }
                    let insert = query(RELEASE)
                        .bind(&id)
                        .bind(&release)
                        .bind(row.draft.to_string())
                        .bind(i64::from(version))
                        .bind(row.mailbox.to_string())
                        .bind(row.content_hash.to_string())
                        .bind(to_json("evidence", &row.evidence)?)
                        .bind(&row.policy_version)
                        .bind(row.owner.as_str())
                        .bind(row.released_at.as_micros())
                        .bind(row.expires_at.as_micros())
                        .bind(agent)
                        .bind(similarity.cast_signed())
                        .bind(i64::from(newcomers))
                        .bind(&receipt.receipt.route);
                    insert.execute(&mut *connection).await?;
                    let pending: Vec<(i64, String)> =
                        (0..).zip(row.transmissions.iter().map(|one| one.recipient.to_string())).collect();
                    rows::insert(connection, TRANSMISSIONS, &pending, |values, (position, recipient)| {
                        values
                            .push_bind(&id)
                            .push_bind(&release)
                            .push_bind(*position)
                            .push_bind(recipient)
                            .push_bind("pending")
                            .push_bind(send_at.as_micros());
                    })
                    .await?;
                    let receipt = add_receipt(connection, tenant, row.id, receipt).await?;
                    let detail = json!({ "release": row.id, "contentHash": row.content_hash, "evidence": row.evidence,
                        "policy": row.policy_version, "owner": row.owner, "recipients": pending.len(), "receipt": receipt });
                    append(connection, tenant, now, vec![NewEntry::new(asked_by, Link::Released.action(), row.draft, detail)])
                        .await
                })
            })
            .await?;
        self.store.wake.sending.notify_one();
        Ok(())
    }

    /// One release.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn release(&self, id: ReleaseId) -> Result<Option<StoredRelease>, StoreError> {
        const ONE: &str = "SELECT draft_id, mailbox_id, content_hash, evidence, policy_version, owner, released_at, \
expires_at, version, ended_at, route FROM releases WHERE tenant_id = $1 AND release_id = $2";
        const ALL: &str = "SELECT recipient, state, attempts, next_attempt_at, host, reply, finished_at, returned_by FROM transmissions \
WHERE tenant_id = $1 AND release_id = $2 ORDER BY position";
        let bound = |sql| query(sql).bind(self.tenant.to_string()).bind(id.to_string());
        let Some(row) = bound(ONE).fetch_optional(&self.store.readers).await? else { return Ok(None) };
        let rows = bound(ALL).fetch_all(&self.store.readers).await?;
        let (transmissions, progress) =
            rows.iter().map(read_transmission).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let no_hash =
            |_| StoreError::Unreadable { what: "content_hash", detail: "not 64 hexadecimal digits".to_owned() };
        let no_owner = || StoreError::Unreadable { what: "owner", detail: "not a known word".to_owned() };
        Ok(Some(StoredRelease {
            row: ReleaseRow {
                id,
                draft: from_id("draft_id", row.try_get(0)?)?,
                tenant: self.tenant,
                mailbox: from_id("mailbox_id", row.try_get(1)?)?,
                content_hash: row.try_get::<&str>(2)?.parse().map_err(no_hash)?,
                evidence: from_json("evidence", row.try_get(3)?)?,
                policy_version: row.try_get(4)?,
                owner: IdentityOwner::from_word(row.try_get(5)?).ok_or_else(no_owner)?,
                released_at: Timestamp::from_micros(row.try_get(6)?),
                expires_at: Timestamp::from_micros(row.try_get(7)?),
                transmissions,
            },
            version: u32::try_from(row.try_get::<i64>(8)?).unwrap_or(0),
            ended_at: row.try_get::<Option<i64>>(9)?.map(Timestamp::from_micros),
            route: row.try_get(10)?,
            progress,
        }))
    }

    /// The releases of a draft, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn releases_of(&self, draft: DraftId) -> Result<Vec<StoredRelease>, StoreError> {
        const ALL: &str = "SELECT release_id FROM releases WHERE tenant_id = $1 AND draft_id = $2 ORDER BY release_id";
        let rows =
            query(ALL).bind(self.tenant.to_string()).bind(draft.to_string()).fetch_all(&self.store.readers).await?;
        let mut releases = Vec::with_capacity(rows.len());
        for row in rows {
            releases.extend(self.release(from_id("release_id", row.try_get(0)?)?).await?);
        }
        Ok(releases)
    }

    /// Takes a draft whose release was readmitted to `sending`, before anything of it is written to a peer; the lease begins
    /// anew. What the gate said is on record then, of each attempt.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when this worker holds none of its recipients any more;
    /// [`StoreError::Conflict`] when it was withdrawn or held meanwhile: nothing may be sent. [`StoreError::NotFound`].
    pub async fn begin_sending(
        &self,
        worker: WorkerId,
        claimed: &ClaimedRelease,
        admission: Admission,
    ) -> Result<(), StoreError> {
        let (tenant, claimed, now) = (self.tenant, claimed.clone(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let locked = lock_draft(connection, tenant, claimed.draft).await?;
                    if !is_open(connection, tenant, claimed.release).await? {
                        return Err(StoreError::Conflict("the release is over"));
                    }
                    hold_on(connection, tenant, (worker, claimed.release), now).await?;
                    if locked != DraftState::Sending {
                        step(connection, tenant, claimed.draft, DraftEvent::BeginSending, now).await?;
                    }
                    let detail =
                        json!({ "release": claimed.release, "positions": claimed.positions, "verdict": admission });
                    let entry = NewEntry::new(Who::Gateway, Link::Sending.action(), claimed.draft, detail);
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Holds on to recipients that this worker is at work for.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when it holds none of them any more.
    pub async fn hold_transmissions(&self, worker: WorkerId, release: ReleaseId) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store.write(move |connection| Box::pin(hold_on(connection, tenant, (worker, release), now))).await
    }

    /// Commits that the end of data is about to be written for these recipients. Only after that may it be.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when sending was stopped since the gate was asked: a slow server can take half an hour to come
    /// so far. [`StoreError::LeaseLost`] when this worker does not hold all of them any more; [`StoreError::Unavailable`].
    pub async fn begin_end_of_data(
        &self,
        worker: WorkerId,
        release: ReleaseId,
        positions: Vec<u32>,
    ) -> Result<(), StoreError> {
        const BEGIN: &str = "\
UPDATE transmissions SET eod_started_at = $4, lease_until = $5 WHERE tenant_id = $1 AND release_id = $2 AND position = $3
AND state = 'in_flight' AND lease_owner = $6 AND eod_started_at IS NULL AND lease_until > $4";
        const ALL_STOPPED: &str = "SELECT 1 FROM gateway_pauses LIMIT 1";
        const SUSPENDED: &str = "SELECT 1 FROM tenants WHERE tenant_id = $1 AND suspended_at IS NOT NULL";
        const STOPPED: &str = "\
SELECT 1 FROM releases AS r JOIN pauses AS p ON p.tenant_id = r.tenant_id AND (p.kind = 'tenant'
    OR (p.kind = 'mailbox' AND p.subject = r.mailbox_id) OR (p.kind = 'agent' AND p.subject = r.agent_id))
WHERE r.tenant_id = $1 AND r.release_id = $2 LIMIT 1";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let switches = [
                        query(ALL_STOPPED),
                        query(SUSPENDED).bind(tenant.to_string()),
                        query(STOPPED).bind(tenant.to_string()).bind(release.to_string()),
                    ];
                    for switch in switches {
                        if switch.fetch_optional(&mut *connection).await?.is_some() {
                            return Err(StoreError::Conflict("sending is stopped"));
                        }
                    }
                    for position in positions {
                        let begin = query(BEGIN)
                            .bind(tenant.to_string())
                            .bind(release.to_string())
                            .bind(i64::from(position))
                            .bind(now.as_micros())
                            .bind(now.plus(LEASE).as_micros())
                            .bind(worker.to_string());
                        if begin.execute(&mut *connection).await? == 0 {
                            return Err(StoreError::LeaseLost);
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Records what came of recipients that this worker holds, and what that makes of the draft.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when this worker does not hold one of them any more; [`StoreError::Unavailable`].
    pub async fn finish_transmissions(
        &self,
        worker: WorkerId,
        claimed: ClaimedRelease,
        outcomes: Vec<Outcome>,
    ) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    let mut entries = Vec::with_capacity(outcomes.len());
                    let (is_open, mut is_unknown) = (is_open(connection, tenant, claimed.release).await?, false);
                    for outcome in &outcomes {
                        let state = TransmissionState::InFlight.next(outcome.event).and_then(|state| match state {
                            // Under a release that is over, nobody tries again.
                            state if state.is_waiting() && !is_open => state.next(TransmissionEvent::GiveUp),
                            state => Ok(state),
                        });
                        let state =
                            state.map_err(|_| StoreError::Conflict("a recipient in flight has no such step"))?;
                        finish_one(connection, tenant, (worker, claimed.release), outcome, state, now).await?;
                        is_unknown |= state == TransmissionState::Unknown;
                        let detail = json!({ "release": claimed.release, "position": outcome.position,
                            "state": state, "host": outcome.host, "reply": outcome.reply });
                        entries.push(NewEntry::new(Who::Gateway, Link::Tried.action(), claimed.draft, detail));
                    }
                    if is_unknown {
                        tell(connection, tenant, TransmissionUnknown, claimed.draft.to_string(), now).await?;
                    }
                    settle(connection, tenant, &claimed, now, &mut entries).await?;
                    append(connection, tenant, now, entries).await
                })
            })
            .await
    }

    /// Gives recipients back that were claimed and not tried: `claimed` names them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn put_back(
        &self,
        worker: WorkerId,
        claimed: ClaimedRelease,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        const BACK: &str = "\
UPDATE transmissions SET state = CASE WHEN attempts <= 1 AND reply IS NULL THEN 'pending' ELSE 'deferred' END,
    attempts = attempts - 1, lease_owner = NULL, lease_until = NULL, next_attempt_at = $5
WHERE tenant_id = $1 AND release_id = $2 AND position = $3 AND state = 'in_flight' AND lease_owner = $4 AND eod_started_at IS NULL";
        let (tenant, release) = (self.tenant.to_string(), claimed.release.to_string());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    for position in claimed.positions {
                        let back = query(BACK).bind(&tenant).bind(&release).bind(i64::from(position));
                        let back = back.bind(worker.to_string()).bind(until.as_micros());
                        back.execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Ends a release that the gate did not readmit, before anything of it was sent: the draft takes the step that follows.
    /// Recipients that were claimed are given up. Of one that is over nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_release(
        &self,
        claimed: &ClaimedRelease,
        event: DraftEvent,
        reasons: Vec<String>,
    ) -> Result<(), StoreError> {
        let (tenant, claimed, now) = (self.tenant, claimed.clone(), self.store.clock.now());
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    lock_draft(connection, tenant, claimed.draft).await?;
                    // It is over, and what came after it is another's to end.
                    if !is_open(connection, tenant, claimed.release).await? {
                        return Ok(());
                    }
                    end_release(connection, tenant, claimed.draft, now).await?;
                    let mut entries = Vec::new();
                    let state = match step(connection, tenant, claimed.draft, event, now).await {
                        Ok(state) => Some(state),
                        // It was being sent to others already: what came of all recipients decides.
                        Err(StoreError::Conflict(_)) => {
                            settle(connection, tenant, &claimed, now, &mut entries).await?;
                            None
                        }
                        Err(error) => return Err(error),
                    };
                    let detail = json!({ "release": claimed.release, "reasons": reasons, "state": state });
                    entries.push(NewEntry::new(Who::Gateway, "release.revoked", claimed.draft, detail));
                    append(connection, tenant, now, entries).await
                })
            })
            .await
    }
}

impl Store {
    /// Takes recipients of one release that are due for this worker, under a lease; `None` where nothing is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_transmissions(&self, worker: WorkerId) -> Result<Option<ClaimedRelease>, StoreError> {
        let now = self.clock.now();
        self.write(move |connection| Box::pin(claim(connection, worker, now))).await
    }

    /// Waits for the hint that something may be due to be sent; may wake for nothing.
    pub async fn sending_woken(&self) {
        self.wake.sending.notified().await;
    }
}

async fn claim(
    connection: &mut Connection,
    worker: WorkerId,
    now: Timestamp,
) -> Result<Option<ClaimedRelease>, StoreError> {
    const TAKE: &str = "\
UPDATE transmissions SET state = 'in_flight', attempts = attempts + 1, lease_owner = $3, lease_until = $4, eod_started_at = NULL
WHERE tenant_id = $1 AND release_id = $2 AND state IN ('pending', 'deferred') AND next_attempt_at <= $5 RETURNING position";
    const DRAFT: &str = "SELECT draft_id FROM releases WHERE tenant_id = $1 AND release_id = $2";
    let Some((tenant, release)) = super::dialect::due_release(connection, now).await? else { return Ok(None) };
    let take = query(TAKE)
        .bind(&tenant)
        .bind(&release)
        .bind(worker.to_string())
        .bind(now.plus(LEASE).as_micros())
        .bind(now.as_micros());
    let rows = take.fetch_all(&mut *connection).await?;
    let position = |row: &Row| Ok::<_, StoreError>(u32::try_from(row.try_get::<i64>(0)?).unwrap_or(u32::MAX));
    let mut positions = rows.iter().map(position).collect::<Result<Vec<_>, _>>()?;
    positions.sort_unstable();
    let draft = query(DRAFT).bind(&tenant).bind(&release).fetch_one(&mut *connection).await?;
    let claimed = ClaimedRelease {
        tenant: from_id("tenant_id", &tenant)?,
        release: from_id("release_id", &release)?,
        draft: from_id("draft_id", draft.try_get(0)?)?,
        positions,
    };
    Ok((!claimed.positions.is_empty()).then_some(claimed))
}

async fn hold_on(
    connection: &mut Connection,
    tenant: TenantId,
    (worker, release): (WorkerId, ReleaseId),
    now: Timestamp,
) -> Result<(), StoreError> {
    const HOLD_ON: &str = "UPDATE transmissions SET lease_until = $5 WHERE tenant_id = $1 AND release_id = $2 \
AND state = 'in_flight' AND lease_owner = $3 AND lease_until > $4";
    let hold_on = query(HOLD_ON)
        .bind(tenant.to_string())
        .bind(release.to_string())
        .bind(worker.to_string())
        .bind(now.as_micros())
        .bind(now.plus(LEASE).as_micros());
    if hold_on.execute(connection).await? == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}

/// Whether more may be sent under a release.
pub(super) async fn is_open(
    connection: &mut Connection,
    tenant: TenantId,
    release: ReleaseId,
) -> Result<bool, StoreError> {
    const OPEN: &str = "SELECT release_id FROM releases WHERE tenant_id = $1 AND release_id = $2 AND ended_at IS NULL";
    let open = query(OPEN).bind(tenant.to_string()).bind(release.to_string());
    Ok(open.fetch_optional(connection).await?.is_some())
}

async fn finish_one(
    connection: &mut Connection,
    tenant: TenantId,
    (worker, release): (WorkerId, ReleaseId),
    outcome: &Outcome,
    state: TransmissionState,
    now: Timestamp,
) -> Result<(), StoreError> {
    const FINISH: &str = "\
UPDATE transmissions SET state = $5, host = $6, reply = $7, next_attempt_at = $8, finished_at = $9, lease_owner = NULL, lease_until = NULL
WHERE tenant_id = $1 AND release_id = $2 AND position = $3 AND state = 'in_flight' AND lease_owner = $4";
    let finish = query(FINISH)
        .bind(tenant.to_string())
        .bind(release.to_string())
        .bind(i64::from(outcome.position))
        .bind(worker.to_string())
        .bind(state.as_str())
        .bind(&outcome.host)
        .bind(&outcome.reply)
        .bind(outcome.next_attempt_at.unwrap_or(now).as_micros())
        .bind((!state.is_open()).then_some(now.as_micros()));
    if finish.execute(connection).await? == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}

/// Takes the draft to where its recipients are, once the last has come to its end; the release is over then.
async fn settle(
    connection: &mut Connection,
    tenant: TenantId,
    claimed: &ClaimedRelease,
    now: Timestamp,
    entries: &mut Vec<NewEntry>,
) -> Result<(), StoreError> {
    const STATES: &str = "SELECT state FROM transmissions WHERE tenant_id = $1 AND release_id = $2";
    const END: &str = "UPDATE releases SET ended_at = $3 WHERE tenant_id = $1 AND release_id = $2 AND ended_at IS NULL";
    let bound = |sql| query(sql).bind(tenant.to_string()).bind(claimed.release.to_string());
    let rows = bound(STATES).fetch_all(&mut *connection).await?;
    let states = rows.iter().map(|row| read_transmission_state(row.try_get(0)?)).collect::<Result<Vec<_>, _>>()?;
    let Some(event) = DraftEvent::of_transmissions(&states) else { return Ok(()) };
    bound(END).bind(now.as_micros()).execute(&mut *connection).await?;
    let state = step(connection, tenant, claimed.draft, event, now).await?;
    let detail = json!({ "release": claimed.release, "state": state });
    entries.push(NewEntry::new(Who::Gateway, "draft.settled", claimed.draft, detail));
    // A report can come before the answer is recorded that it is about.
    entries.extend(bounce(connection, tenant, claimed.draft, now).await?);
    Ok(())
}

fn read_transmission(row: &Row) -> Result<(Transmission, TransmissionProgress), StoreError> {
    let wrong = |_| StoreError::Unreadable { what: "recipient", detail: "no address".to_owned() };
    let recipient = Mailbox::parse(row.try_get(0)?).map_err(wrong)?;
    let transmission = Transmission { recipient, state: read_transmission_state(row.try_get(1)?)? };
    let progress = TransmissionProgress {
        attempts: u32::try_from(row.try_get::<i64>(2)?).unwrap_or(0),
        next_attempt_at: Timestamp::from_micros(row.try_get(3)?),
        host: row.try_get(4)?,
        reply: row.try_get(5)?,
        finished_at: row.try_get::<Option<i64>>(6)?.map(Timestamp::from_micros),
        returned_by: row.try_get::<Option<&str>>(7)?.map(|id| from_id("returned_by", id)).transpose()?,
    };
    Ok((transmission, progress))
}

fn read_transmission_state(word: &str) -> Result<TransmissionState, StoreError> {
    let unknown = || StoreError::Unreadable { what: "state", detail: "not a known word".to_owned() };
    TransmissionState::from_word(word).ok_or_else(unknown)
}
