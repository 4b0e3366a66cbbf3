//! Sends what the gateway itself has to tell people: claims a notice that is due, asks the gate for it, signs it as a domain of
//! the gateway, puts it onto the wire, and records what came of it.
//!
//! At most once: that the end of data is about to be written is committed before, and what is lost behind that is unknown and
//! not sent again. A notice that is of no use any more is dropped. One at a time: people can wait, and drafts are sent beside.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::send::SendSettings;
use crate::governance::lifecycle::TransmissionEvent;
use crate::governance::notice::{NoticeFacts, NoticeRefused};
use crate::governance::{Notice, ReleasableNotice, system_notice};
use crate::ids::WorkerId;
use crate::mail::address::Mailbox;
use crate::outbound::attempt::{Attempt, Outcome as Ended};
use crate::outbound::retry;
use crate::outbound::route::Router;
use crate::outbound::sign::sign_notice;
use crate::outbound::wire::{self, EndOfData};
use crate::seal::InstanceKey;
use crate::service::notices::Told;
use crate::service::signing::keys_of;
use crate::service::{Service, ServiceError};
use crate::store::notices::ClaimedNotice;
use crate::store::notices::outcome::NoticeOutcome;
use crate::store::{StoreError, TenantStore};

/// The sender of notices of one node.
#[derive(Debug, Clone)]
pub struct Notify {
    service: Service,
    key: Arc<InstanceKey>,
    router: Router,
    settings: Arc<SendSettings>,
    from: Mailbox,
}

/// How long nothing is looked for.
const POLL: Duration = Duration::from_secs(1);
/// How often lost senders and old notices are looked for.
const TIDY: Duration = Duration::from_mins(1);
/// How often what came of an attempt is tried to be recorded.
const INSISTENCE: u32 = 60;

impl Notify {
    /// Sends notices of `service` as `from`.
    #[must_use]
    pub fn new(service: Service, key: Arc<InstanceKey>, router: Router, settings: SendSettings, from: Mailbox) -> Self {
        Self { service, key, router, settings: Arc::new(settings), from }
    }

    /// Works until `stop`; what is on the wire then is ended first.
    pub async fn run(self, stop: CancellationToken) {
        let worker: WorkerId = self.service.clock().mint();
        futures_util::future::join(self.tidy(&stop), self.work(worker, &stop)).await;
    }

    async fn work(&self, worker: WorkerId, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.round(worker).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error.kind = "store", temporary = true, "No notices can be sent now: {error}");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn tidy(&self, stop: &CancellationToken) {
        let mut is_start = true;
        while !stop.is_cancelled() {
            let store = &self.service.store;
            for done in [store.recover_notices(is_start).await.map(|_| ()), store.forget_notices().await] {
                if let Err(error) = done {
                    tracing::warn!(error.kind = "store", temporary = true, "Notices cannot be tidied now: {error}");
                }
            }
            is_start = false;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TIDY) => {}
            }
        }
    }

    /// One notice, if one is due; whether one was.
    async fn round(&self, worker: WorkerId) -> Result<bool, StoreError> {
        let Some(claimed) = self.service.store.claim_notice(worker).await? else { return Ok(false) };
        let tenant = self.service.store.for_tenant(claimed.tenant);
        let outcome = match self.outcome(&tenant, worker, &claimed).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(notice.id = %claimed.id, error.kind = "send", "Notice is left to the next attempt: {error}");
                self.later(&claimed, error.to_string())
            }
        };
        tracing::info!(notice.id = %claimed.id, tenant.id = %claimed.tenant, "Notice {}: {:?}", claimed.kind.as_str(), outcome.event);
        for _ in 0..INSISTENCE {
            match tenant.finish_notice(worker, &claimed, outcome.clone()).await {
                Err(error) if error.is_temporary() && !matches!(error, StoreError::LeaseLost) => {
                    tokio::time::sleep(POLL).await;
                }
                done => return done.map(|()| true),
            }
        }
        Ok(true)
    }

    async fn outcome(
        &self,
        tenant: &TenantStore,
        worker: WorkerId,
        claimed: &ClaimedNotice,
    ) -> Result<NoticeOutcome, ServiceError> {
        let (notice, facts): (Notice, NoticeFacts) = match self.service.notice(claimed, &self.from).await? {
            Told::Notice(told) => *told,
            Told::Moot => return Ok(dropped("it is not so any more".to_owned())),
        };
        let now = self.service.clock().now();
        match system_notice(&notice, &facts, now) {
            Ok(notice) => self.send(tenant, worker, claimed, notice).await,
            Err(refused) => Ok(self.refused(claimed, refused)),
        }
    }

    fn refused(&self, claimed: &ClaimedNotice, refused: NoticeRefused) -> NoticeOutcome {
        if refused.may_pass() { self.later(claimed, refused.to_string()) } else { dropped(refused.to_string()) }
    }

    async fn send(
        &self,
        tenant: &TenantStore,
        worker: WorkerId,
        claimed: &ClaimedNotice,
        notice: ReleasableNotice,
    ) -> Result<NoticeOutcome, ServiceError> {
        let (hash, now) = (notice.content_hash(), self.service.clock().now());
        let keys = keys_of(&self.service, &self.key, tenant, self.from.domain()).await?;
        let signed = match sign_notice(notice, &keys.iter().collect::<Vec<_>>(), now) {
            Ok(signed) => signed,
            Err(error) => return Ok(dropped(error.to_string())),
        };
        let recipients = signed.recipients().to_vec();
        let Some(domain) = recipients.first().map(|one| one.domain().clone()) else {
            return Ok(dropped("it goes to nobody".to_owned()));
        };
        let route = match &self.settings.relay {
            Some(relay) => self.router.relay(relay).await,
            None => self.router.direct(&domain, crate::clock::random_number(), now).await,
        };
        let attempts = match route {
            Err(no_route) => no_route.attempts(&recipients),
            Ok(route) => {
                let record = |_: EndOfData| tenant.begin_notice(worker, claimed, hash);
                wire::send(signed, &route, &self.settings.terms, record).await
            }
        };
        Ok(match attempts.first() {
            Some(attempt) => self.came_of(claimed, attempt),
            None => self.later(claimed, "nobody was tried".to_owned()),
        })
    }

    fn came_of(&self, claimed: &ClaimedNotice, attempt: &Attempt) -> NoticeOutcome {
        let report = &attempt.report;
        let host = (!report.host.is_empty()).then(|| report.host.clone());
        let code = report.code.map_or_else(String::new, |code| format!("{code} "));
        let reply = format!("{code}{}", report.text);
        if attempt.outcome == Ended::Deferred {
            return NoticeOutcome { host, ..self.later(claimed, reply) };
        }
        NoticeOutcome { event: attempt.outcome.event(), host, reply, next_attempt_at: None }
    }

    /// To be tried again, as long as it is of use.
    fn later(&self, claimed: &ClaimedNotice, why: String) -> NoticeOutcome {
        let now = self.service.clock().now();
        let next = retry::next_attempt(claimed.attempts, claimed.created_at, now);
        match next.filter(|next| *next < claimed.expires_at) {
            Some(next) => {
                NoticeOutcome { event: TransmissionEvent::Defer, host: None, reply: why, next_attempt_at: Some(next) }
            }
            None => dropped(why),
        }
    }
}

/// Not sent, and not tried again.
fn dropped(why: String) -> NoticeOutcome {
    NoticeOutcome { event: TransmissionEvent::Reject, host: None, reply: why, next_attempt_at: None }
}
