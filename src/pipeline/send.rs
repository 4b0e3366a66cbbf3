//! Sends what was released: claims recipients that are due, asks the gate again, signs, puts the message onto the wire, and
//! records what came of each.
//!
//! Nothing here decides what may leave. A release is data; only [`readmit`] makes a permission of it, with the facts of this
//! moment. Before the final dot is written, that it is about to be is committed: a process that dies behind it leaves
//! `unknown`, and one that dies before it leaves a recipient that is tried again when the lease is over.
//!
//! Retries: minutes at first, hours later, five days in all ([`retry`]). A hold that time lifts keeps the release and its
//! approvals; any other asks people again. A release goes by the route that its receipt says, or not at all (`way`).

mod way;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::facts::{Fact, Standing};
use crate::governance::gate::{Refused, ReleaseRow};
use crate::governance::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use crate::governance::{Draft, Ruling, readmit};
use crate::ids::WorkerId;
use crate::mail::address::{Domain, Mailbox};
use crate::outbound::attempt::{Attempt, Outcome as Ended, Reason};
use crate::outbound::destination::{Destinations, Permit};
use crate::outbound::retry;
use crate::outbound::route::{Relay, Router};
use crate::outbound::sign::{SignedMessage, sign};
use crate::outbound::wire::{self, Terms};
use crate::seal::InstanceKey;
use crate::service::drafts::facts::DraftCase;
use crate::service::drafts::release::is_lifted_by_time;
use crate::service::drafts::weigh::weigh;
use crate::service::signing::keys_of;
use crate::service::{Service, ServiceError};
use crate::store::limits::BlockRequest;
use crate::store::releases::{ClaimedRelease, Outcome, StoredRelease};
use crate::store::verdicts::Occasion;
use crate::store::{StoreError, TenantStore};
use way::Way;

/// How mail leaves.
#[derive(Debug, Clone)]
pub struct SendSettings {
    /// Senders that work at the same time.
    pub workers: usize,
    /// Our name and times.
    pub terms: Terms,
    /// A relay for everything that goes by no relay of its domain, where mail does not go to the recipients' own servers.
    pub relay: Option<Relay>,
    /// How many of this node's senders may be at one destination.
    pub destinations: Destinations,
    /// Messages to one destination in a minute, of all nodes; 0 sets no limit.
    pub per_minute: u32,
}

/// The senders of one node.
#[derive(Debug, Clone)]
pub struct Send {
    service: Service,
    key: Arc<InstanceKey>,
    router: Router,
    settings: Arc<SendSettings>,
}

/// How long nothing is looked for without a hint.
const POLL: Duration = Duration::from_secs(1);
/// How often leases that ran out are looked for.
const RECOVERY: Duration = Duration::from_secs(5);
/// How often a sender that waits shows that it is alive; well within [`crate::store::releases::LEASE`].
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long what is paused waits before the gate is asked again.
const PAUSED: Duration = Duration::from_secs(1);
/// How long what finds no place at its destination waits for one.
const BUSY: Duration = Duration::from_secs(2);
/// The window of messages in a minute.
const MINUTE: i64 = 60_000_000;
/// How long what quiet hours hold, or an answer of DNS, waits at most before the gate is asked again.
const QUIET: Duration = Duration::from_secs(60);
/// How long what came of an attempt is tried to be recorded: with it unrecorded, the recipient ends as unknown.
const INSISTENCE: Duration = Duration::from_secs(120);

impl Send {
    /// Sends for `service`, with routes by `router`.
    #[must_use]
    pub fn new(service: Service, key: Arc<InstanceKey>, router: Router, settings: SendSettings) -> Self {
        Self { service, key, router, settings: Arc::new(settings) }
    }

    /// Works until `stop`; what is on the wire then is ended first.
    pub async fn run(self, stop: CancellationToken) {
        // What was held when the last process ended is moved on before anything is claimed by this one.
        while !stop.is_cancelled() && !self.recover_once(true).await {
            tokio::time::sleep(POLL).await;
        }
        let workers = (0..self.settings.workers.max(1)).map(|_| self.clone().work(stop.clone()));
        futures_util::future::join(self.recover(&stop), futures_util::future::join_all(workers)).await;
        self.settings.terms.pool.close_all().await;
    }

    async fn work(self, stop: CancellationToken) {
        let worker: WorkerId = self.service.clock().mint();
        while !stop.is_cancelled() {
            let pause = match self.service.store.claim_transmissions(worker).await {
                Ok(Some(claimed)) => {
                    if let Err(error) = self.handle(worker, &claimed).await {
                        tracing::warn!(release.id = %claimed.release, error.kind = "send", "Release is left to the next attempt: {error}");
                    }
                    continue;
                }
                Ok(None) => POLL,
                Err(error) => {
                    tracing::warn!(error.kind = "store", temporary = true, "Nothing can be sent now: {error}");
                    POLL * 5
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.service.store.sending_woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn recover(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RECOVERY) => {}
            }
            self.settings.terms.pool.close_old().await;
            self.recover_once(false).await;
        }
    }

    /// Moves on what lost senders held; whether that could be done.
    async fn recover_once(&self, is_start: bool) -> bool {
        match self.service.store.recover_transmissions(is_start).await {
            Ok(0) => true,
            Ok(count) => {
                tracing::warn!(count, "Senders were lost: what they held was moved on");
                true
            }
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Lost senders cannot be looked for: {error}");
                false
            }
        }
    }

    /// One release with the recipients that are held, and where the route changed those that take its place.
    async fn handle(&self, worker: WorkerId, claimed: &ClaimedRelease) -> Result<(), SendTrouble> {
        let mut next = self.handle_one(worker, claimed).await?;
        while let Some(anew) = next {
            next = self.handle_one(worker, &anew).await?;
        }
        Ok(())
    }

    /// One release; the one that takes its place where the route is not the one that it was for.
    async fn handle_one(
        &self,
        worker: WorkerId,
        claimed: &ClaimedRelease,
    ) -> Result<Option<ClaimedRelease>, SendTrouble> {
        let tenant = self.service.store.for_tenant(claimed.tenant);
        let stored = tenant.release(claimed.release).await?.ok_or(StoreError::NotFound("release"))?;
        let draft = tenant.draft(claimed.draft).await?.ok_or(StoreError::NotFound("draft"))?;
        let version = tenant.draft_version(draft.id, stored.version).await?.ok_or(StoreError::NotFound("version"))?;
        let mut case = self.service.case_of_version(&tenant, &draft, version, stored.row.released_at).await?;
        let row = before_claim(&stored, &claimed.positions, draft.state);
        forget_those_who_are_done(&mut case.facts.standing, &row);
        let now = self.service.clock().now();
        let from = case.facts.domain.known().map(|domain| domain.name.clone());
        let readmitted = weigh(&case.version, &case.facts, move |version, facts| {
            readmit(&row, Draft::new(version.clone()), facts, now)
        });
        let message = match readmitted.await? {
            Ok(message) => message,
            Err(refused) => return self.refuse(&tenant, worker, claimed, &case, refused).await.map(|()| None),
        };
        let held = Held { tenant: &tenant, worker, claimed, stored: &stored };
        let way = match self.way(&held, from.as_ref()).await {
            Ok(way) => way,
            // The relay that somebody set cannot be used as it is stored: nothing speaks against the recipients.
            Err(error) => {
                tracing::warn!(release.id = %claimed.release, tenant.id = %claimed.tenant, error.kind = "relay", "Release waits for a way: {error}");
                tenant.put_back(worker, claimed.clone(), now.plus(QUIET)).await?;
                return Ok(None);
            }
        };
        if stored.route.as_ref().is_some_and(|route| *route != way.route) {
            // Leave to send by another route is not used.
            drop(message);
            return self.reroute(&held, &case, way.route).await;
        }
        let keys = match &from {
            Some(domain) => keys_of(&self.service, &self.key, &tenant, domain).await?,
            None => Vec::new(),
        };
        let admission = message.admission().clone();
        let signed = match sign(message, &keys.iter().collect::<Vec<_>>(), now) {
            Ok(signed) => signed,
            // Not before somebody changes the message or the keys: the release is over, and nothing of it was sent by this.
            Err(error) => {
                tracing::warn!(release.id = %claimed.release, tenant.id = %claimed.tenant, error.kind = "sign", "Release is revoked: {error}");
                tenant.revoke_release(claimed, DraftEvent::Deny, vec!["not_signed".to_owned()]).await?;
                return Ok(None);
            }
        };
        let mut has_begun = false;
        for (domain, message) in way.parts(signed) {
            let destination = way.destination(domain.as_ref());
            let Some(permit) = self.enter(&held, &destination, &message).await? else { continue };
            if !has_begun {
                match tenant.begin_sending(worker, claimed, admission.clone()).await {
                    Ok(()) => has_begun = true,
                    // Withdrawn or held since it was claimed: whoever did that gave the recipients up.
                    Err(StoreError::Conflict(_) | StoreError::LeaseLost) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
            self.send(&held, (&way, domain), message).await?;
            drop(permit);
        }
        Ok(None)
    }

    /// Leave to send to a destination now; without it, its recipients were given back, to be sent to later.
    async fn enter(
        &self,
        held: &Held<'_>,
        destination: &str,
        message: &SignedMessage,
    ) -> Result<Option<Permit>, SendTrouble> {
        let now = self.service.clock().now();
        let until = match self.settings.destinations.enter(destination).await {
            Some(permit) => match self.taken_up(destination, now).await? {
                None => return Ok(Some(permit)),
                Some(until) => until,
            },
            None => now.plus(BUSY),
        };
        let positions = message.recipients().iter().filter_map(|recipient| held.position_of(recipient)).collect();
        let part = ClaimedRelease { positions, ..held.claimed.clone() };
        held.tenant.put_back(held.worker, part, until).await?;
        Ok(None)
    }

    /// Counts one message to a destination; when the minute is over whose messages are all taken up, where they are.
    async fn taken_up(&self, destination: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let quota = self.settings.per_minute;
        if quota == 0 {
            return Ok(None);
        }
        let ends_at = Timestamp::from_micros((now.as_micros().div_euclid(MINUTE) + 1).saturating_mul(MINUTE));
        let (policy, subject) = ("sending_per_minute", destination.to_owned());
        let block = self.service.store.take_block(BlockRequest { policy, subject, ends_at, quota, wanted: 1 }).await?;
        Ok((block.granted == 0).then_some(ends_at))
    }

    async fn send(
        &self,
        held: &Held<'_>,
        (way, domain): (&Way, Option<Domain>),
        message: SignedMessage,
    ) -> Result<(), SendTrouble> {
        let Held { tenant, worker, claimed, stored } = *held;
        let now = self.service.clock().now();
        let recipients = message.recipients().to_vec();
        let position_of = |recipient: &Mailbox| held.position_of(recipient);
        let sending = async {
            let route = match (&domain, &way.relay) {
                (_, Some(relay)) => self.router.relay(relay).await,
                (Some(domain), None) => self.router.direct(domain, crate::clock::random_number(), now).await,
                (None, None) => return Vec::new(),
            };
            let route = match route {
                Ok(route) => route,
                Err(no_route) => return no_route.attempts(&recipients),
            };
            let record = |end: wire::EndOfData| {
                let positions = end.recipients.iter().filter_map(position_of).collect();
                tenant.begin_end_of_data(worker, claimed.release, positions)
            };
            wire::send(message, &route, &self.settings.terms, record).await
        };
        let attempts = self.holding_on(tenant, worker, claimed, sending).await;
        let now = self.service.clock().now();
        let outcomes: Vec<Outcome> = attempts
            .iter()
            .filter_map(|attempt| Some((position_of(&attempt.recipient)?, attempt)))
            .map(|(position, attempt)| outcome(position, attempt, stored, now))
            .collect();
        for attempt in &attempts {
            tracing::info!(release.id = %claimed.release, tenant.id = %claimed.tenant, "Attempt ended: {attempt}");
        }
        self.record(tenant, worker, claimed, outcomes).await
    }

    /// Waits for a way to be found and for what is on the wire, and holds on to the recipients meanwhile. Without that another
    /// sender would take them, and this one would find so before its final dot: name servers that never answer would have
    /// them tried again and again, without the pauses between attempts.
    async fn holding_on<T>(
        &self,
        tenant: &TenantStore,
        worker: WorkerId,
        claimed: &ClaimedRelease,
        sending: impl Future<Output = T>,
    ) -> T {
        let mut sending = std::pin::pin!(sending);
        loop {
            match tokio::time::timeout(SIGN_OF_LIFE, &mut sending).await {
                Ok(done) => return done,
                Err(_) => {
                    if let Err(error) = tenant.hold_transmissions(worker, claimed.release).await {
                        tracing::warn!(release.id = %claimed.release, error.kind = "store", temporary = true, "Recipients under way cannot be held on to: {error}");
                    }
                }
            }
        }
    }

    /// Records what came of recipients, and insists on it: the answers are known nowhere else.
    async fn record(
        &self,
        tenant: &TenantStore,
        worker: WorkerId,
        claimed: &ClaimedRelease,
        outcomes: Vec<Outcome>,
    ) -> Result<(), SendTrouble> {
        let began = tokio::time::Instant::now();
        loop {
            match tenant.finish_transmissions(worker, claimed.clone(), outcomes.clone()).await {
                Err(error)
                    if error.is_temporary()
                        && !matches!(error, StoreError::LeaseLost)
                        && began.elapsed() < INSISTENCE =>
                {
                    tracing::warn!(release.id = %claimed.release, error.kind = "store", temporary = true, "What came of an attempt cannot be recorded now: {error}");
                    tokio::time::sleep(POLL).await;
                }
                done => return Ok(done?),
            }
        }
    }

    /// What the gate did not readmit.
    async fn refuse(
        &self,
        tenant: &TenantStore,
        worker: WorkerId,
        claimed: &ClaimedRelease,
        case: &DraftCase,
        refused: Refused,
    ) -> Result<(), SendTrouble> {
        let codes =
            |verdict: &crate::governance::Verdict| verdict.codes().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (event, reasons) = match &refused {
            Refused::Verdict(verdict) if verdict.reasons().iter().all(is_lifted_by_time) => {
                let now = self.service.clock().now();
                // The end of quiet hours is known; but the policy may change before it.
                let is_quiet = verdict.reasons().iter().any(|one| one.code == "quiet_hours" && !one.is_unknown);
                let quiet = case.facts.standing.quiet_until.known().copied().flatten().filter(|_| is_quiet);
                // Others are asked by people who want it to end at once; DNS is not.
                let is_unproven = verdict.codes().iter().any(|code| code.starts_with("domain_"));
                let pause = if is_unproven { QUIET } else { PAUSED };
                let again = quiet.map_or(now.plus(pause), |until| until.min(now.plus(QUIET)));
                return Ok(tenant.put_back(worker, claimed.clone(), again).await?);
            }
            Refused::Verdict(verdict) => match verdict.ruling() {
                Ruling::Deny => (DraftEvent::Deny, codes(verdict)),
                Ruling::Handoff => (DraftEvent::HandOff, codes(verdict)),
                Ruling::Hold | Ruling::Release => (DraftEvent::Hold, codes(verdict)),
            },
            Refused::Expired => (DraftEvent::Expire, vec!["release_expired".to_owned()]),
            Refused::OwnerChanged | Refused::ContentChanged => (DraftEvent::Deny, vec!["identity_mismatch".to_owned()]),
            Refused::Evidence => (DraftEvent::Hold, vec!["approval_stale".to_owned()]),
            Refused::NothingLeft => return Ok(()),
        };
        tracing::info!(release.id = %claimed.release, tenant.id = %claimed.tenant, "Release is revoked: {refused}");
        if let Refused::Verdict(verdict) = &refused {
            let now = self.service.clock().now();
            self.service.keep_verdict(tenant, (case, verdict), (Occasion::Sending, now)).await?;
        }
        if event == DraftEvent::Hold {
            match self.service.ask_again(tenant, (claimed.draft, claimed.release), case, Who::Gateway).await {
                // It was being sent to others already: the rest is given up below.
                Err(ServiceError::Conflict(_)) => {}
                other => return Ok(other?),
            }
        }
        Ok(tenant.revoke_release(claimed, event, reasons).await?)
    }
}

/// That mail to one recipient came back, or that he complained of it, says nothing against those who still wait for it.
fn forget_those_who_are_done(standing: &mut Standing, row: &ReleaseRow) {
    let Fact::Known(suppressed) = &mut standing.suppressed else { return };
    let waits = |key: &str| row.transmissions.iter().any(|one| one.state.is_waiting() && one.recipient.key() == key);
    suppressed.retain(|address| waits(&address.key()));
}

/// A release with the recipients that one sender holds.
#[derive(Clone, Copy)]
struct Held<'h> {
    tenant: &'h TenantStore,
    worker: WorkerId,
    claimed: &'h ClaimedRelease,
    stored: &'h StoredRelease,
}

impl Held<'_> {
    /// The place of a recipient that is held.
    fn position_of(&self, recipient: &Mailbox) -> Option<u32> {
        let place = self.stored.row.transmissions.iter().position(|one| one.recipient == *recipient);
        place.and_then(|place| u32::try_from(place).ok()).filter(|place| self.claimed.positions.contains(place))
    }
}

/// Why a release was left to the next attempt.
#[derive(Debug, thiserror::Error)]
enum SendTrouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The row as it was before this claim: what is held is waiting, and nobody else's recipient is. As long as the draft did not
/// begin to be sent, nobody was sent anything, however many senders were lost over it: the gate asks as for the first time.
fn before_claim(stored: &StoredRelease, held: &[u32], draft: DraftState) -> ReleaseRow {
    let is_first = draft == DraftState::Released;
    let mut row = stored.row.clone();
    for (place, (transmission, progress)) in row.transmissions.iter_mut().zip(&stored.progress).enumerate() {
        let is_held = u32::try_from(place).is_ok_and(|place| held.contains(&place));
        transmission.state = match transmission.state {
            TransmissionState::InFlight if is_held && (is_first || progress.attempts <= 1) => {
                TransmissionState::Pending
            }
            TransmissionState::InFlight if is_held => TransmissionState::Deferred,
            // Not claimed: it is not this sender's.
            TransmissionState::Pending | TransmissionState::Deferred => TransmissionState::InFlight,
            other => other,
        };
    }
    row
}

fn outcome(position: u32, attempt: &Attempt, stored: &StoredRelease, now: Timestamp) -> Outcome {
    let progress = stored.progress.get(position as usize);
    let next = match attempt.outcome {
        // Sending was stopped, or the database away, at the last moment: nothing speaks against the recipient.
        Ended::Deferred if attempt.report.reason == Reason::NotRecorded => {
            Some(now.plus(BUSY)).filter(|next| *next < stored.row.expires_at)
        }
        Ended::Deferred => {
            let attempts = progress.map_or(1, |progress| progress.attempts);
            retry::next_attempt(attempts, stored.row.released_at, now).filter(|next| *next < stored.row.expires_at)
        }
        Ended::Accepted | Ended::Rejected | Ended::Unknown => None,
    };
    let report = &attempt.report;
    // The text of a reply begins with its enhanced code; only one of ours stands alone.
    let codes = match report.code {
        Some(code) => Some(code.to_string()),
        None => report.enhanced.map(|code| code.to_string()),
    };
    let said = [codes, Some(report.text.clone())];
    let mut reply = said.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let event = if attempt.outcome == Ended::Deferred && next.is_none() {
        reply = format!("given up, as time is over; last: {reply}");
        TransmissionEvent::Reject
    } else {
        attempt.outcome.event()
    };
    let host = (!report.host.is_empty()).then(|| report.host.clone());
    Outcome { position, event, host, reply, next_attempt_at: next }
}

#[cfg(test)]
mod tests;
