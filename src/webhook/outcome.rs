//! What an answer means: done, try again at a time, given up, or the endpoint is gone. Pure.
//!
//! The one place that reads status codes of receivers. Success is 2xx and nothing else; a redirect is a failure and
//! is never followed.
//!
//! Standards: RFC 9110 §15 (status codes), Standard Webhooks 1.0.0 ("Delivery success and failure").

use super::deliver::{AttemptReport, FailureReason};
use super::retry::{DeliveryEvent, Jitter, Schedule, WaitHint};
use crate::clock::Timestamp;

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// The event was taken.
    Succeeded,
    /// Another attempt at this time.
    RetryAt {
        /// When.
        at: Timestamp,
        /// The receiver refused us (401, 403, 404): somebody probably set something wrong.
        refused: bool,
    },
    /// That was the last attempt.
    Exhausted {
        /// As above.
        refused: bool,
    },
    /// The receiver wants no more events (410): disable the endpoint and hold this delivery.
    Gone,
}

impl AttemptVerdict {
    /// Judges `report` of the attempt with number `attempt` (from 1) that ended at `now`.
    #[must_use]
    pub fn of(report: &AttemptReport, attempt: u32, schedule: Schedule, jitter: Jitter, now: Timestamp) -> Self {
        if report.reason.is_none() {
            return Self::Succeeded;
        }
        if report.status == Some(410) {
            return Self::Gone;
        }
        let overloaded = matches!(report.status, Some(429 | 502 | 503 | 504))
            || matches!(report.reason, Some(FailureReason::Timeout));
        let refused = matches!(report.status, Some(401 | 403 | 404));
        let hint = WaitHint { overloaded, retry_after: report.retry_after };
        match schedule.wait(attempt, &hint, jitter) {
            Some(wait) => Self::RetryAt { at: now.plus(wait), refused },
            None => Self::Exhausted { refused },
        }
    }

    /// What happens to the delivery.
    #[must_use]
    pub const fn delivery_event(&self) -> DeliveryEvent {
        match self {
            Self::Succeeded => DeliveryEvent::Succeed,
            Self::RetryAt { .. } => DeliveryEvent::Retry,
            Self::Exhausted { .. } => DeliveryEvent::Exhaust,
            Self::Gone => DeliveryEvent::Hold,
        }
    }
}

/// One sentence for the owner of the endpoint: what happened and what to do.
#[must_use]
pub fn statement(report: &AttemptReport) -> String {
    let detail = &report.detail;
    match report.reason {
        None => "The endpoint took the event.".to_owned(),
        Some(FailureReason::HttpStatus) => status_statement(report.status.unwrap_or_default()),
        Some(FailureReason::Dns) => format!("The host of the endpoint was not found: {detail}."),
        Some(FailureReason::Connect) => format!(
            "No connection to the endpoint, or it broke before an answer came ({detail}). Check that the service runs \
             and that firewalls let us in."
        ),
        Some(FailureReason::Tls) => format!(
            "The TLS connection was refused ({detail}). Check that the certificate is valid, for this host, and sent \
             with its intermediate certificates."
        ),
        Some(FailureReason::BlockedAddress) => {
            format!("Not sent: {detail}. Use a public host, or let the operator add it to webhooks.allow.")
        }
        Some(FailureReason::Timeout) => {
            format!("No answer in time ({detail}). Answer 2xx at once and do the work afterwards.")
        }
        Some(FailureReason::BodyRead) => {
            format!("The answer cannot be trusted ({detail}). Send a complete answer; an empty 204 is best.")
        }
        Some(FailureReason::SecretUnreadable) => format!(
            "Not sent, since it cannot be signed: {detail}. The operator restores the instance key that it was sealed with, \
             or makes a new secret: `connex webhook rotate-secret ID --overlap 0s`."
        ),
        Some(FailureReason::UnusableSettings) => {
            format!("Not sent: {detail}. The operator makes the endpoint anew.")
        }
    }
}

fn status_statement(status: u16) -> String {
    let advice = match status {
        300..=399 => "Redirects are not followed: set the endpoint to the final URL.",
        401 | 403 => "Let our requests in: check the endpoint's custom headers and its signature check.",
        404 | 405 => "Check the URL of the endpoint, and that it takes POST.",
        410 => "It wants no more events, so it is disabled; its deliveries are held.",
        413 => "Let it take bodies up to 256 KiB, or set the endpoint to payload mode `thin`.",
        429 => "It gets more than it takes; we wait for at least a minute.",
        500..=599 => "Look into the log of the receiving service; the event is sent again.",
        _ => "Answer 2xx when the event was taken.",
    };
    format!("The endpoint answered {status}. {advice}")
}

#[cfg(test)]
mod tests;
