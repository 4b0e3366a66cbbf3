use super::*;
use crate::webhook::retry::DeliveryState;
use std::time::Duration;

fn report(status: Option<u16>, reason: Option<FailureReason>) -> AttemptReport {
    AttemptReport {
        status,
        reason,
        duration: Duration::ZERO,
        resolved_ip: None,
        response_excerpt: String::new(),
        retry_after: None,
        detail: "the detail".to_owned(),
    }
}

fn answered(status: u16) -> AttemptReport {
    report(Some(status), (!(200..300).contains(&status)).then_some(FailureReason::HttpStatus))
}

/// Seconds until the next attempt after the first one.
fn wait(report: &AttemptReport) -> Option<(u64, bool)> {
    let now = Timestamp::from_micros(0);
    match AttemptVerdict::of(report, 1, Schedule::Standard, Jitter::NONE, now) {
        AttemptVerdict::RetryAt { at, refused } => Some((at.since(now).as_secs(), refused)),
        _ => None,
    }
}

#[test]
fn only_2xx_succeeds_and_only_410_disables() {
    for status in 100..=599u16 {
        let verdict =
            AttemptVerdict::of(&answered(status), 1, Schedule::Standard, Jitter::NONE, Timestamp::from_micros(0));
        match status {
            200..=299 => assert_eq!(verdict, AttemptVerdict::Succeeded, "{status}"),
            410 => assert_eq!(verdict, AttemptVerdict::Gone),
            429 | 502 | 503 | 504 => assert_eq!(wait(&answered(status)), Some((60, false)), "{status}"),
            401 | 403 | 404 => assert_eq!(wait(&answered(status)), Some((5, true)), "{status}"),
            _ => assert_eq!(wait(&answered(status)), Some((5, false)), "{status}"),
        }
    }
}

#[test]
fn a_failure_without_an_answer_is_tried_again() {
    for (reason, expected) in [
        (FailureReason::Dns, 5),
        (FailureReason::Connect, 5),
        (FailureReason::Tls, 5),
        (FailureReason::BlockedAddress, 5),
        (FailureReason::SecretUnreadable, 5),
        (FailureReason::UnusableSettings, 5),
        (FailureReason::Timeout, 60),
    ] {
        assert_eq!(wait(&report(None, Some(reason))), Some((expected, false)), "{reason:?}");
    }
    // The status alone is not the event taken: the answer broke off.
    assert_eq!(wait(&report(Some(200), Some(FailureReason::BodyRead))), Some((5, false)));
    assert_eq!(wait(&report(Some(200), Some(FailureReason::Timeout))), Some((60, false)));
}

#[test]
fn the_tenth_failure_exhausts_and_a_late_success_still_counts() {
    let now = Timestamp::from_micros(0);
    let judge =
        |report: &AttemptReport, attempt| AttemptVerdict::of(report, attempt, Schedule::Standard, Jitter::NONE, now);
    assert!(matches!(judge(&answered(500), 9), AttemptVerdict::RetryAt { .. }));
    assert_eq!(judge(&answered(500), 10), AttemptVerdict::Exhausted { refused: false });
    assert_eq!(judge(&answered(403), 11), AttemptVerdict::Exhausted { refused: true });
    assert_eq!(judge(&answered(204), 10), AttemptVerdict::Succeeded);
    assert_eq!(judge(&answered(410), 10), AttemptVerdict::Gone);
}

#[test]
fn every_verdict_moves_a_delivery_in_flight() {
    let verdicts = [
        (AttemptVerdict::Succeeded, DeliveryState::Succeeded),
        (AttemptVerdict::RetryAt { at: Timestamp::from_micros(0), refused: false }, DeliveryState::RetryWait),
        (AttemptVerdict::Exhausted { refused: false }, DeliveryState::Exhausted),
        (AttemptVerdict::Gone, DeliveryState::Held),
    ];
    for (verdict, state) in verdicts {
        assert_eq!(DeliveryState::InFlight.next(verdict.delivery_event()), Ok(state));
    }
}

#[test]
fn each_failure_has_a_sentence_that_says_what_to_do() {
    for (report, part) in [
        (answered(302), "302. Redirects are not followed: set the endpoint to the final URL."),
        (answered(401), "Let our requests in"),
        (answered(404), "Check the URL"),
        (answered(410), "deliveries are held"),
        (answered(500), "log of the receiving service"),
        (report(None, Some(FailureReason::Tls)), "(the detail). Check that the certificate is valid"),
        (report(None, Some(FailureReason::Timeout)), "Answer 2xx at once"),
        (report(None, Some(FailureReason::BlockedAddress)), "webhooks.allow"),
        (report(None, Some(FailureReason::Dns)), "was not found: the detail"),
        (report(None, Some(FailureReason::Connect)), "Check that the service runs"),
        (report(Some(200), Some(FailureReason::BodyRead)), "Send a complete answer"),
        (report(None, Some(FailureReason::SecretUnreadable)), "cannot be signed: the detail. The operator restores"),
        (report(None, Some(FailureReason::UnusableSettings)), "Not sent: the detail"),
        (answered(204), "took the event"),
    ] {
        let sentence = statement(&report);
        assert!(sentence.contains(part), "{sentence}");
    }
}
