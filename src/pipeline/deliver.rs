//! From rows to receivers: claims due deliveries under a lease, makes one attempt each, and records what follows.
//!
//! # Retries
//! At least once: an attempt whose result was not recorded (a crash, a lost database) is made again with the same
//! number when its lease ends. What follows an attempt is [`crate::webhook::outcome`]'s to say; a slow or dead endpoint
//! holds only its own deliveries, since each has a bound on attempts under way; a tenant with many of them holds at most
//! half of the worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::ids::WorkerId;
use crate::seal::InstanceKey;
use crate::store::deliveries::{
    ClaimLimits, ClaimedDelivery, EndpointChange, EndpointUpdate, FinishedAttempt, NextStep,
};
use crate::store::{Store, StoreError};
use crate::webhook::deliver::{AttemptReport, FailureReason, WebhookClient};
use crate::webhook::endpoint::{AllowList, PublicUrl};
use crate::webhook::health::{DisableReason, EndpointHealth, Permission};
use crate::webhook::outcome::{AttemptVerdict, statement};
use crate::webhook::request::{CustomHeaders, DeliveryAttempt, SignedRequest};
use crate::webhook::retry::{Jitter, Schedule};
use crate::webhook::secrets::EndpointSecrets;

/// How the worker shares its capacity.
#[derive(Debug, Clone, Copy)]
pub struct DeliverLimits {
    /// Attempts under way in all; one tenant gets at most half of them.
    pub concurrency: u32,
    /// Attempts under way for one endpoint.
    pub per_endpoint: u32,
    /// How long a claim holds; longer than an attempt may take.
    pub lease: Duration,
    /// How often the queue is looked at without a hint.
    pub poll: Duration,
}

impl Default for DeliverLimits {
    fn default() -> Self {
        Self { concurrency: 256, per_endpoint: 32, lease: Duration::from_secs(45), poll: Duration::from_secs(1) }
    }
}

/// The worker that makes attempts.
#[derive(Debug, Clone)]
pub struct Deliver {
    store: Store,
    client: WebhookClient,
    allow: AllowList,
    key: Arc<InstanceKey>,
    limits: DeliverLimits,
    worker: WorkerId,
}

/// Why there is no request: the endpoint cannot be called as it is set up.
#[derive(Debug)]
struct Unsendable {
    reason: FailureReason,
    /// For people.
    detail: String,
}

impl Unsendable {
    fn because(reason: FailureReason) -> impl Fn(String) -> Self {
        move |detail| Self { reason, detail }
    }
}

/// An attempt before it is recorded.
struct Attempted {
    report: Result<AttemptReport, Unsendable>,
    started_at: Timestamp,
}

impl Deliver {
    /// A worker on `store`'s queue.
    #[must_use]
    pub fn new(
        store: Store,
        client: WebhookClient,
        allow: AllowList,
        key: Arc<InstanceKey>,
        limits: DeliverLimits,
    ) -> Self {
        let worker = store.clock().mint();
        Self { store, client, allow, key, limits, worker }
    }

    /// Works until `stop`; attempts that are under way then are finished and recorded.
    pub async fn run(self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        while !stop.is_cancelled() {
            while let Some(ended) = under_way.try_join_next() {
                note(ended);
            }
            let free = self.limits.concurrency.saturating_sub(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
            let claimed = if free == 0 { Ok(0) } else { self.claim(free, &mut under_way).await };
            if let Err(error) = &claimed {
                tracing::error!(error.kind = "store", temporary = true, "Deliveries cannot be claimed: {error}");
            }
            // A full claim says that there is more: look again at once.
            if matches!(claimed, Ok(count) if count > 0) {
                continue;
            }
            tokio::select! {
                () = self.store.deliveries_woken() => {}
                () = tokio::time::sleep(self.limits.poll) => {}
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => note(ended),
                () = stop.cancelled() => {}
            }
        }
        while let Some(ended) = under_way.join_next().await {
            note(ended);
        }
    }

    async fn claim(&self, free: u32, under_way: &mut JoinSet<()>) -> Result<usize, StoreError> {
        let limits = self.limits;
        let claim = ClaimLimits {
            count: free,
            per_endpoint: limits.per_endpoint,
            // The slow endpoints of one tenant leave half of the places to the others.
            per_tenant: limits.concurrency.div_ceil(2),
            lease: limits.lease,
        };
        let claimed = self.store.claim_deliveries(self.worker, claim).await?;
        let count = claimed.len();
        for delivery in claimed {
            let worker = self.clone();
            under_way.spawn(async move { worker.deliver(delivery).await });
        }
        Ok(count)
    }

    async fn deliver(&self, delivery: ClaimedDelivery) {
        let attempted = self.attempt(&delivery).await;
        let number = delivery.attempts.saturating_add(1);
        let finished = self.conclude(&delivery, number, attempted);
        let (status, reason, duration) = (finished.status, finished.reason.clone(), finished.duration);
        let outcome = match finished.next {
            NextStep::Succeeded => "succeeded",
            NextStep::Retry(_) => "retry_wait",
            NextStep::Exhausted => "exhausted",
            NextStep::Held => "held",
        };
        match self.store.finish_attempt(self.worker, &delivery, finished).await {
            Ok(()) => {
                metrics::counter!("connex_webhook_attempts_total", "outcome" => outcome).increment(1);
                metrics::histogram!("connex_webhook_attempt_seconds").record(duration.as_secs_f64());
                let (millis, reason) = (duration.as_millis(), reason.as_deref());
                tracing::info!(
                    webhook.id = %delivery.event, delivery.id = %delivery.id, attempt = number, reply.code = status,
                    error.kind = reason, duration_ms = %millis, "Delivery `{}`: {outcome}", delivery.id,
                );
            }
            Err(error) => {
                tracing::warn!(
                    delivery.id = %delivery.id, attempt = number, error.kind = "store",
                    "Attempt of delivery `{}` is not recorded and may be made again: {error}", delivery.id,
                );
            }
        }
    }

    async fn attempt(&self, delivery: &ClaimedDelivery) -> Attempted {
        let started_at = self.store.clock().now();
        let report = match self.request(delivery, started_at) {
            Ok(request) => Ok(self.client.attempt(&request).await),
            Err(why) => Err(why),
        };
        Attempted { report, started_at }
    }

    fn request(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Result<SignedRequest, Unsendable> {
        let blocked = Unsendable::because(FailureReason::BlockedAddress);
        let unreadable = Unsendable::because(FailureReason::SecretUnreadable);
        let unusable = Unsendable::because(FailureReason::UnusableSettings);
        let url = PublicUrl::parse(&delivery.target.url, &self.allow).map_err(|error| blocked(error.to_string()))?;
        let row = delivery.endpoint.to_string();
        let opened = self.key.open(&row, &delivery.target.secrets_sealed);
        let opened = opened.map_err(|error| unreadable(error.to_string()))?;
        let secrets = EndpointSecrets::parse(&opened).map_err(|error| unreadable(error.to_string()))?.at(now);
        let headers = delivery.target.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let custom = CustomHeaders::parse(headers).map_err(|error| unusable(error.to_string()))?;
        let attempt = DeliveryAttempt {
            event: delivery.event,
            event_type: delivery.event_type.clone(),
            delivery: delivery.id,
            attempt: delivery.attempts.saturating_add(1),
        };
        let body = bytes::Bytes::from(delivery.body.clone());
        SignedRequest::new(url, &attempt, body, &secrets, &custom, now).map_err(|error| unusable(error.to_string()))
    }

    fn conclude(&self, delivery: &ClaimedDelivery, number: u32, attempted: Attempted) -> FinishedAttempt {
        let clock = self.store.clock();
        let now = clock.now();
        let schedule = if delivery.target.schedule == "short" { Schedule::Short } else { Schedule::Standard };
        // An endpoint that cannot be called as it is set up fails like one that cannot be reached.
        let report = attempted.report.unwrap_or_else(|Unsendable { reason, detail }| AttemptReport {
            status: None,
            reason: Some(reason),
            duration: now.since(attempted.started_at),
            resolved_ip: None,
            response_excerpt: String::new(),
            detail,
            retry_after: None,
        });
        let verdict = AttemptVerdict::of(&report, number, schedule, jitter(), now);
        FinishedAttempt {
            number,
            started_at: attempted.started_at,
            duration: report.duration,
            status: report.status,
            reason: report.reason.map(|reason| reason.as_str().to_owned()),
            resolved_ip: report.resolved_ip.map(|ip| ip.to_string()),
            response: Some(explained(&report)).filter(|text| !text.is_empty()),
            cause: if delivery.target.is_probe { "probe" } else { "scheduled" },
            next: match &verdict {
                AttemptVerdict::Succeeded => NextStep::Succeeded,
                AttemptVerdict::RetryAt { at, .. } => NextStep::Retry(*at),
                AttemptVerdict::Exhausted { .. } => NextStep::Exhausted,
                AttemptVerdict::Gone => NextStep::Held,
            },
            endpoint: change_of(verdict, clock.clone()),
        }
    }
}

/// An attempt never panics; should one, it is counted, and the delivery is tried again when its lease ends.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        metrics::counter!("connex_task_panics_total", "task" => "attempt").increment(1);
        tracing::error!(task = "attempt", error.kind = "panic", "An attempt of a delivery ended early: {error}");
    }
}

/// What came back; where nothing did, what that means and what to do.
fn explained(report: &AttemptReport) -> String {
    match (report.reason, report.response_excerpt.is_empty()) {
        (Some(_), true) => statement(report),
        _ => report.response_excerpt.clone(),
    }
}

/// The endpoint's health after `verdict`, as the store keeps it.
fn change_of(verdict: AttemptVerdict, clock: Clock) -> EndpointUpdate {
    Box::new(move |health| {
        let now = clock.now();
        let before: EndpointHealth = serde_json::from_str(health).unwrap_or_default();
        let was_well = before.consecutive_failures == 0 && before.disabled.is_none();
        let noted = before.last_success_at.is_some_and(|at| now.since(at) < NOTED);
        // A healthy endpoint's row is not worth a write for each of its deliveries.
        if was_well && noted && matches!(verdict, AttemptVerdict::Succeeded) {
            return None;
        }
        let after = before.clone().after(&verdict, now);
        if let Some(signal) = after.signal_since(&before) {
            tracing::warn!(error.kind = "endpoint", "A webhook endpoint changed: {signal:?}");
        }
        let blocked_until = match after.permission(now) {
            Permission::Wait(until) => until,
            Permission::Go | Permission::Probe | Permission::Hold => Timestamp::from_micros(0),
        };
        let disabled = after.disabled.map(|reason| match reason {
            DisableReason::Gone => "gone",
            DisableReason::Failing => "failing",
            DisableReason::Manual => "manual",
        });
        let flight_limit = after.open_until.is_some().then_some(1);
        Some(EndpointChange { health: serde_json::to_string(&after).ok()?, blocked_until, flight_limit, disabled })
    })
}

/// How fresh `lastSuccessAt` of a healthy endpoint is kept.
const NOTED: Duration = Duration::from_secs(60);

fn jitter() -> Jitter {
    let mut bits = [0u8; 4];
    crate::clock::random_bytes(&mut bits);
    Jitter::from_random(u32::from_le_bytes(bits))
}

#[cfg(test)]
mod tests;
