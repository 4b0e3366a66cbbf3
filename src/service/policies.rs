//! The policy of a tenant: what it is, what it was, whether a new one is sound, and what it would have said to what was asked before.
//!
//! Whoever makes a policy decides what may leave: the operator does, by a command, and an administrator of the tenant who has
//! just proved who they are. No key does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Admin, SignedIn};
use super::drafts::facts::{DraftCase, version_of};
use super::drafts::ground::{Departure, Ground};
use super::drafts::weigh::weigh;
use super::{Conflict, Fault, Service, ServiceError};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::{Verdict, Version};
use crate::store::verdicts::{KEPT, Occasion, VerdictRow};
use crate::store::{StoreError, TenantStore};

pub use crate::governance::Policy;
pub use crate::store::standing::PolicyVersion;

/// The policy, and its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// The one that is obeyed.
    pub policy: Policy,
    /// All versions, newest first; at most 100.
    pub history: Vec<PolicyVersionView>,
}

/// A version of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyVersionView {
    /// Its name.
    pub version: String,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// Who made it; empty where that was not kept.
    pub made_by: String,
}

impl From<PolicyVersion> for PolicyVersionView {
    fn from(one: PolicyVersion) -> Self {
        Self { version: one.policy.version, made_at: one.made_at.to_string(), made_by: one.made_by }
    }
}

/// A policy that is tried on what was asked before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyTrial {
    /// The policy.
    pub policy: Policy,
    /// Since when, RFC 3339; the last 30 days unless told.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub since: Option<String>,
}

/// What another policy would have said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReplay {
    /// Since when, RFC 3339.
    pub since: String,
    /// The `since` with which to ask for the rest: one call asks for 5,000 verdicts about 32 MiB of messages at most. `null`
    /// where this is all.
    pub rest_since: Option<String>,
    /// How many verdicts were asked for again.
    pub judged: u32,
    /// How many could not be: too much was known, or the version is gone.
    pub skipped: u32,
    /// How many would have gone differently.
    pub changed: u32,
    /// Of those, how many from which ruling to which: `release -> hold`.
    pub changes: BTreeMap<String, u32>,
    /// Each of them, oldest first; at most 1,000.
    pub differences: Vec<PolicyDifference>,
}

/// A verdict that would have been another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDifference {
    /// When the gate was asked, RFC 3339.
    pub at: String,
    /// The draft.
    pub draft: String,
    /// Its version.
    pub version: u32,
    /// `request` or `sending`.
    pub occasion: String,
    /// What it said.
    pub before: PolicyRuling,
    /// What it would have said.
    pub after: PolicyRuling,
}

/// A ruling with the rules that applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRuling {
    /// `release`, `hold`, `handoff` or `deny`.
    pub verdict: String,
    /// Codes of the rules.
    pub codes: Vec<String>,
}

/// Verdicts that are read at once.
const PAGE: u32 = 500;
/// What one call of the API asks for again; a command asks for all.
const MOST_BY_CALL: ReplayBounds = ReplayBounds { verdicts: 5_000, octets: 32 * 1024 * 1024 };
const MOST_DIFFERENCES: usize = 1_000;
/// Days of a trial that says nothing else.
const DAYS: u64 = 30;
const HISTORY: u32 = 100;

impl Service {
    /// The policy, and its versions.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn policy(&self, who: &SignedIn<Admin>) -> Result<PolicyView, ServiceError> {
        let tenant = self.store.for_tenant(who.tenant());
        let history = tenant.policy_history(HISTORY).await?.into_iter().map(PolicyVersionView::from).collect();
        Ok(PolicyView { policy: tenant.policy().await?, history })
    }

    /// Makes a version of the policy, which the gate obeys from then on.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a policy with faults; [`ServiceError::Conflict`] when another was made at the same time.
    pub async fn make_policy(&self, policy: Policy, who: &SignedIn<Admin>) -> Result<PolicyVersionView, ServiceError> {
        let faults = faults_of(&policy);
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let tenant = self.store.for_tenant(who.tenant());
        let made = tenant.set_policy(policy, Who::Actor(who.actor())).await;
        let version = made.map_err(|error| match error {
            StoreError::Conflict(why) => Conflict::State(why).into(),
            error => ServiceError::from(error),
        })?;
        let mut history = tenant.policy_history(HISTORY).await?.into_iter();
        let made = history.find(|one| one.policy.version == version);
        made.map(PolicyVersionView::from).ok_or_else(|| Conflict::State("many others were made since").into())
    }

    /// What another policy would have said to what was asked before. Nothing is changed by it.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a policy with faults.
    pub async fn try_policy(&self, trial: PolicyTrial, who: &SignedIn<Admin>) -> Result<PolicyReplay, ServiceError> {
        let faults = faults_of(&trial.policy);
        if !faults.is_empty() {
            let at = |fault: Fault| Fault::at(format!("/policy{}", fault.pointer), fault.message);
            return Err(ServiceError::Invalid(faults.into_iter().map(at).collect()));
        }
        let now = self.clock().now();
        let since = match &trial.since {
            None => before(now, std::time::Duration::from_hours(24 * DAYS)),
            Some(text) => Timestamp::parse_rfc3339(text)
                .ok_or_else(|| ServiceError::Invalid(vec![Fault::at("/since", "is no RFC 3339 time")]))?,
        };
        let tenant = self.store.for_tenant(who.tenant());
        replay(&tenant, &trial.policy, since, Some(MOST_BY_CALL)).await
    }

    /// Keeps what the gate said and was told.
    pub(crate) async fn keep_verdict(
        &self,
        tenant: &TenantStore,
        (case, verdict): (&DraftCase, &Verdict),
        (occasion, at): (Occasion, Timestamp),
    ) -> Result<(), ServiceError> {
        let ground = case.ground.recorded(&case.version.content);
        let row = VerdictRow {
            at,
            draft: case.version.draft,
            version: case.number,
            occasion: occasion.as_str().to_owned(),
            ruling: verdict.ruling().as_str().to_owned(),
            codes: codes_of(verdict),
            policy_version: case.facts.policy.known().map(|policy| policy.version.clone()).unwrap_or_default(),
            ground: serde_json::to_string(&ground).ok(),
        };
        Ok(tenant.keep_verdict(row).await?)
    }
}

/// Everything that is wrong with a policy.
#[must_use]
pub fn faults_of(policy: &Policy) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        policy.faults().into_iter().map(|fault| Fault::at(fault.pointer, fault.message)).collect();
    if jiff::tz::TimeZone::get(&policy.time_zone).is_err() {
        faults.push(Fault::at("/timeZone", "is no time zone that is known on this machine, such as Europe/Berlin"));
    }
    faults
}

/// What is asked for again at most.
#[derive(Debug, Clone, Copy)]
pub struct ReplayBounds {
    /// Verdicts.
    pub(crate) verdicts: u32,
    /// Octets of messages; the last may go beyond.
    pub(crate) octets: usize,
}

/// Asks the gate again, by another policy, all that it was asked since a moment: with what was known then, and the very bytes.
///
/// # Errors
/// [`ServiceError::Unavailable`].
pub async fn replay(
    tenant: &TenantStore,
    policy: &Policy,
    since: Timestamp,
    most: Option<ReplayBounds>,
) -> Result<PolicyReplay, ServiceError> {
    let mut replay = PolicyReplay { since: since.to_string(), ..PolicyReplay::default() };
    let mut octets = 0;
    let mut after = (Timestamp::from_micros(since.as_micros().saturating_sub(1)), String::from("~"));
    loop {
        let rows = tenant.verdicts_after((after.0, &after.1), PAGE).await?;
        for row in &rows {
            // Times are told in milliseconds: those of one are asked for together, so that the next call begins behind them.
            let is_next = row.at.as_micros().div_euclid(1_000) != after.0.as_micros().div_euclid(1_000);
            let is_over = |most: ReplayBounds| {
                is_next && (replay.judged + replay.skipped >= most.verdicts || octets >= most.octets)
            };
            if most.is_some_and(is_over) {
                replay.rest_since = Some(row.at.to_string());
                return Ok(replay);
            }
            match judge(tenant, policy, row).await? {
                Some((verdict, read)) => {
                    octets += read;
                    replay.note(row, &verdict);
                }
                None => replay.skipped += 1,
            }
            after = (row.at, row.draft.to_string());
        }
        if rows.len() < PAGE as usize {
            return Ok(replay);
        }
    }
}

/// The moment so long before another.
#[must_use]
pub fn before(now: Timestamp, time: std::time::Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// How long verdicts are kept.
pub const VERDICTS_KEPT: std::time::Duration = KEPT;

/// What the gate says by another policy, and how many octets it read for it.
async fn judge(
    tenant: &TenantStore,
    policy: &Policy,
    row: &VerdictRow,
) -> Result<Option<(Verdict, usize)>, ServiceError> {
    let ground = row.ground.as_deref().and_then(|text| serde_json::from_str::<Ground>(text).ok());
    let Some(ground) = ground.filter(|ground| ground.tenant == tenant.tenant()) else { return Ok(None) };
    let version = tenant.draft_version(row.draft, row.version).await?;
    let Some(version) = version.filter(|version| !version.is_erased()) else { return Ok(None) };
    let version: Version = version_of(tenant, row.draft, ground.mailbox, version)?;
    let octets = version.content.bytes().len();
    let is_sending = row.occasion == Occasion::Sending.as_str();
    let departure = if is_sending { Departure::Now } else { Departure::BehindQuietHours };
    let facts = ground.facts(policy, &version, (departure, row.at));
    let at = row.at;
    let judged = weigh(&version, &facts, move |version, facts| crate::governance::evaluate(version, facts, at));
    Ok(Some((judged.await?, octets)))
}

fn codes_of(verdict: &Verdict) -> Vec<String> {
    verdict.codes().into_iter().map(str::to_owned).collect()
}

impl PolicyReplay {
    fn note(&mut self, row: &VerdictRow, verdict: &Verdict) {
        self.judged += 1;
        let after = PolicyRuling { verdict: verdict.ruling().as_str().to_owned(), codes: codes_of(verdict) };
        let before = PolicyRuling { verdict: row.ruling.clone(), codes: row.codes.clone() };
        if before == after {
            return;
        }
        self.changed += 1;
        *self.changes.entry(format!("{} -> {}", before.verdict, after.verdict)).or_default() += 1;
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(PolicyDifference {
                at: row.at.to_string(),
                draft: row.draft.to_string(),
                version: row.version,
                occasion: row.occasion.clone(),
                before,
                after,
            });
        }
    }
}
