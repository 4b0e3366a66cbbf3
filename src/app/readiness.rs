//! What is wrong with a running gateway, for `/readyz` and the service manager: facts of its parts, judged.
//!
//! Everything is judged from memory, so that asking costs nothing; what has to be looked up (mail that waits) is looked up
//! by [`super::figures`]. Not ready is what no mail should be sent to now; whatever leaves accepted mail safe and new mail
//! taken is degraded. Webhooks that do not get through are neither: they wait, and are counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::acme::Standing as AcmeStanding;
use crate::clock::{Clock, Timestamp};
use crate::connections::listening::Listeners;
use crate::http::operations::{Reason, Standing};
use crate::pipeline::ingest::waiting::Waiting;
use crate::spool::{Admission, Spool};
use crate::tls::Certificates;

/// Where the facts are.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    pub(super) clock: Clock,
    pub(super) spool: Spool,
    pub(super) waiting: Waiting,
    /// Mail that waits longer is told.
    pub(super) lag_limit: Duration,
    pub(super) listeners: Listeners,
    pub(super) certificates: Arc<Certificates>,
    pub(super) acme: Option<Arc<Mutex<AcmeStanding>>>,
    /// Cancelled when the program begins to stop.
    pub(super) draining: CancellationToken,
}

impl Readiness {
    /// All that is wrong now, the worst first.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let now = self.clock.now();
        let mut reasons = Vec::new();
        if self.draining.is_cancelled() {
            let detail = "the program stops, and takes no new connections";
            reasons.push(not_ready("program", "draining", detail.to_owned(), "nothing to do: it was told to"));
        }
        reasons.extend(self.spool());
        reasons.extend(self.listeners());
        reasons.extend(self.waiting(now));
        reasons.extend(self.certificates(now));
        reasons.extend(self.acme());
        reasons.sort_by_key(|reason| reason.state != Standing::NotReady);
        reasons
    }

    fn spool(&self) -> Option<Reason> {
        match self.spool.admission() {
            Admission::Open => None,
            Admission::Reserve => {
                let status = self.spool.status();
                let [free, reserve] = [status.free_bytes, status.reserve_bytes].map(|bytes| bytes >> 20);
                let detail = format!(
                    "{free} MiB are free, less than the reserve of {reserve} MiB: new mail is put off with 452"
                );
                Some(not_ready("spool", "disk_reserve", detail, "make room, enlarge the disk, or lower spool.reserve"))
            }
            Admission::Failing => {
                let why = self.spool.status().trouble.unwrap_or_else(|| "the last attempt failed".to_owned());
                let detail = format!("no mail can be stored, and it is put off: {why}");
                let remedy =
                    "make room or inodes, or mend the disk or database; the program tries again each second by itself";
                Some(not_ready("spool", "failing", detail, remedy))
            }
        }
    }

    fn listeners(&self) -> Vec<Reason> {
        let reasons = self.listeners.troubles().into_iter().map(|trouble| {
            let (reason, what, remedy) = if trouble.has_ended {
                ("not_listening", "listens no more", "restart the program; its log says where the task ended")
            } else {
                (
                    "cannot_accept",
                    "is handed no connections",
                    "raise LimitNOFILE, or free memory; it tries again by itself",
                )
            };
            // What only the local operator uses is no reason to send mail elsewhere.
            let is_public = !matches!(trouble.door, "admin" | "acme" | "inject" | "import");
            Reason {
                component: "listener",
                subject: Some(format!("{} {}", trouble.door, trouble.place)),
                state: if is_public { Standing::NotReady } else { Standing::Degraded },
                reason,
                detail: format!("the door {} at {} {what}", trouble.door, trouble.place),
                remedy,
                since: None,
            }
        });
        reasons.collect()
    }

    fn waiting(&self, now: Timestamp) -> Vec<Reason> {
        let oldest = self.waiting.oldest().filter(|oldest| now.since(*oldest) > self.lag_limit);
        let lag = oldest.map(|oldest| {
            let detail = format!("accepted mail has waited {} s to be read", now.since(oldest).as_secs());
            let remedy =
                "it is safe and waits; look at the processor and at errors of `ingest` in the log, or add a node";
            Reason { since: Some(oldest), ..degraded("ingest", "lag", detail, remedy) }
        });
        // One failure may be a database that was away for a moment.
        let held = self.waiting.held().into_iter().filter(|(_, held)| held.attempts > 1).map(|(lane, held)| {
            let detail = format!("mail cannot be recorded, and that behind it waits: {}", held.why);
            let remedy = "mend what the detail says: the disk, the database, or the row; it tries again by itself";
            let subject = Some(format!("lane {lane}"));
            Reason { subject, since: Some(held.since), ..degraded("ingest", "held", detail, remedy) }
        });
        lag.into_iter().chain(held).collect()
    }

    fn certificates(&self, now: Timestamp) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let is_placeholder = self.acme_standing().is_some_and(|standing| standing.is_placeholder);
        for (source, certificate) in self.certificates.all() {
            if is_placeholder && *source == *super::acme::SOURCE {
                continue;
            }
            let (reason, detail) = if now >= certificate.ends() {
                ("ended", format!("it ended {}", certificate.ends()))
            } else if certificate.is_ending(now) {
                ("ending", format!("it ends {}", certificate.ends()))
            } else {
                continue;
            };
            let remedy = "renew it; the program reads its file again by itself";
            reasons
                .push(Reason { subject: Some(source.to_string()), ..degraded("certificate", reason, detail, remedy) });
        }
        reasons
    }

    fn acme(&self) -> Option<Reason> {
        let standing = self.acme_standing()?;
        if let Some(failure) = standing.failure {
            let detail = format!("{} orders failed, the last {}: {}", failure.attempts, failure.at, failure.error);
            let remedy = "have every host of acme.domains lead to acme.http_listen on port 80; SIGHUP tries at once";
            return Some(Reason { since: Some(failure.since), ..degraded("acme", "order_failed", detail, remedy) });
        }
        let detail = "no certificate was issued yet: one is shown that nobody vouches for".to_owned();
        standing.is_placeholder.then(|| degraded("acme", "placeholder", detail, "wait: it is being ordered"))
    }

    fn acme_standing(&self) -> Option<AcmeStanding> {
        Some(self.acme.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn not_ready(component: &'static str, reason: &'static str, detail: String, remedy: &'static str) -> Reason {
    Reason { state: Standing::NotReady, ..degraded(component, reason, detail, remedy) }
}

fn degraded(component: &'static str, reason: &'static str, detail: String, remedy: &'static str) -> Reason {
    Reason { component, subject: None, state: Standing::Degraded, reason, detail, remedy, since: None }
}
