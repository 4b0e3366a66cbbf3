//! How an endpoint is doing: its breaker, when it is called failing, and when it is disabled. Pure.
//!
//! # Retries
//! After 10 failures in a row the breaker opens for 60 s, then twice as long each time up to 15 min. Then one
//! delivery is let through as a probe; the others wait, and waiting is no attempt. One success closes it.
//! An endpoint is disabled when every attempt failed for 120 h, with at least 10 attempts and at least 12 h between
//! the first and the last failure, or at once when it answers 410. Disabling holds deliveries; enabling starts afresh.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::AttemptVerdict;
use crate::clock::Timestamp;

/// Failures in a row that open the breaker.
pub const BREAKER_FAILURES: u32 = 10;
/// Failures in a row after which an endpoint is called failing; the same number of refusals (401, 403, 404) is.
pub const FAILING_FAILURES: u32 = 5;

const BREAKER_FIRST: Duration = Duration::from_secs(60);
const BREAKER_LONGEST: Duration = Duration::from_secs(15 * 60);
const DISABLE_WINDOW: Duration = Duration::from_secs(120 * 3_600);
const DISABLE_SPREAD: Duration = Duration::from_secs(12 * 3_600);
const DISABLE_ATTEMPTS: u32 = 10;

/// Health of one endpoint; each field is a column. The default is a new endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointHealth {
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// Answers 401, 403 or 404 in a row.
    pub consecutive_refusals: u32,
    /// The first of those failures; empty when the last attempt succeeded.
    pub first_failure_at: Option<Timestamp>,
    /// The last of those failures; empty when the last attempt succeeded.
    pub last_failure_at: Option<Timestamp>,
    /// Empty until something succeeded.
    pub last_success_at: Option<Timestamp>,
    /// No attempt before this time; empty while the breaker is closed.
    pub open_until: Option<Timestamp>,
    /// How often the breaker opened since the last success.
    pub openings: u32,
    /// A probe is under way and is given up at this time; empty when none is.
    pub probe_until: Option<Timestamp>,
    /// Empty while the endpoint is enabled.
    pub disabled: Option<DisableReason>,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// It answered 410.
    Gone,
    /// Everything failed for five days.
    Failing,
    /// A person did it.
    Manual,
}

/// Whether a delivery may be attempted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Go on.
    Go,
    /// Go on with this one alone: store [`EndpointHealth::with_probe`] before the attempt.
    Probe,
    /// Not before this time. It is no attempt.
    Wait(Timestamp),
    /// The endpoint is disabled: hold the delivery.
    Hold,
}

/// How bad it is; rises with the failures. Each rise raises `endpoint.failing` once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStage {
    /// No reason to worry.
    Healthy,
    /// Five failures in a row.
    Failing,
    /// Half of the time until it is disabled is over.
    FailingHalf,
    /// 70 % of that time is over.
    FailingSeventy,
    /// 90 % of that time is over.
    FailingNinety,
    /// No more attempts.
    Disabled,
}

/// What the owner of an endpoint is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthSignal {
    /// `endpoint.failing`.
    Failing(HealthStage),
    /// `endpoint.recovered`.
    Recovered,
    /// `endpoint.disabled`.
    Disabled(DisableReason),
}

impl EndpointHealth {
    /// The health after one attempt that ended at `now`.
    #[must_use]
    pub fn after(self, verdict: &AttemptVerdict, now: Timestamp) -> Self {
        match verdict {
            AttemptVerdict::Succeeded => {
                Self { last_success_at: Some(now), disabled: self.disabled, ..Self::default() }
            }
            AttemptVerdict::Gone => {
                let failed = self.failed(false, now);
                Self { disabled: failed.disabled.or(Some(DisableReason::Gone)), ..failed }
            }
            AttemptVerdict::RetryAt { refused, .. } | AttemptVerdict::Exhausted { refused } => {
                self.failed(*refused, now).reviewed(now)
            }
        }
    }

    /// Whether a delivery may be attempted at `now`.
    #[must_use]
    pub fn permission(&self, now: Timestamp) -> Permission {
        if self.disabled.is_some() {
            return Permission::Hold;
        }
        let Some(open_until) = self.open_until else { return Permission::Go };
        let wait_until = self.probe_until.map_or(open_until, |probe| probe.max(open_until));
        if now < wait_until { Permission::Wait(wait_until) } else { Permission::Probe }
    }

    /// The health while a probe is under way, for at most `lease`.
    #[must_use]
    pub fn with_probe(self, now: Timestamp, lease: Duration) -> Self {
        Self { probe_until: Some(now.plus(lease)), ..self }
    }

    /// The health with the five-day rule applied at `now`; [`EndpointHealth::after`] does it after each failure.
    /// A burst of failures that nothing followed does not disable an endpoint, however long ago it was.
    #[must_use]
    pub fn reviewed(self, now: Timestamp) -> Self {
        let since_first = self.first_failure_at.map(|first| now.since(first)).unwrap_or_default();
        let due = since_first >= DISABLE_WINDOW
            && self.failing_for() >= DISABLE_SPREAD
            && self.consecutive_failures >= DISABLE_ATTEMPTS;
        Self { disabled: self.disabled.or(due.then_some(DisableReason::Failing)), ..self }
    }

    /// The health after a person enabled the endpoint again: as new.
    #[must_use]
    pub fn enabled(self) -> Self {
        Self { last_success_at: self.last_success_at, ..Self::default() }
    }

    /// The health after a person disabled the endpoint.
    #[must_use]
    pub fn disabled_by_hand(self) -> Self {
        Self { disabled: Some(self.disabled.unwrap_or(DisableReason::Manual)), ..self }
    }

    /// How bad it is.
    #[must_use]
    pub fn stage(&self) -> HealthStage {
        if self.disabled.is_some() {
            return HealthStage::Disabled;
        }
        if self.consecutive_failures < FAILING_FAILURES && self.consecutive_refusals < FAILING_FAILURES {
            return HealthStage::Healthy;
        }
        let share = |percent: u32| DISABLE_WINDOW.mul_f64(f64::from(percent) / 100.0);
        match self.failing_for() {
            time if time >= share(90) => HealthStage::FailingNinety,
            time if time >= share(70) => HealthStage::FailingSeventy,
            time if time >= share(50) => HealthStage::FailingHalf,
            _ => HealthStage::Failing,
        }
    }

    /// What happened between `before` and this health that the owner should be told; usually nothing.
    #[must_use]
    pub fn signal_since(&self, before: &Self) -> Option<HealthSignal> {
        let (was, is) = (before.stage(), self.stage());
        if let Some(reason) = self.disabled {
            return (was < is).then_some(HealthSignal::Disabled(reason));
        }
        match is {
            HealthStage::Healthy if was > is => Some(HealthSignal::Recovered),
            _ if is > was => Some(HealthSignal::Failing(is)),
            _ => None,
        }
    }

    fn failed(self, refused: bool, now: Timestamp) -> Self {
        let consecutive_failures = self.consecutive_failures.saturating_add(1);
        let opens = consecutive_failures >= BREAKER_FAILURES && self.open_until.is_none_or(|until| now >= until);
        let open_for = BREAKER_FIRST.saturating_mul(1 << self.openings.min(16)).min(BREAKER_LONGEST);
        Self {
            consecutive_failures,
            consecutive_refusals: if refused { self.consecutive_refusals.saturating_add(1) } else { 0 },
            first_failure_at: self.first_failure_at.or(Some(now)),
            last_failure_at: Some(now),
            open_until: if opens { Some(now.plus(open_for)) } else { self.open_until },
            openings: if opens { self.openings.saturating_add(1) } else { self.openings },
            probe_until: None,
            ..self
        }
    }

    /// Time from the first to the last failure without a success between.
    fn failing_for(&self) -> Duration {
        match (self.first_failure_at, self.last_failure_at) {
            (Some(first), Some(last)) => last.since(first),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
