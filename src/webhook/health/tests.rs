use super::*;
use proptest::prelude::*;

const HOUR: u64 = 3_600;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_secs(seconds))
}

fn failure(refused: bool) -> AttemptVerdict {
    AttemptVerdict::RetryAt { at: at(0), refused }
}

/// Health after `count` failures, the first at second `first`, one every `step` seconds.
fn failing(count: u64, first: u64, step: u64) -> EndpointHealth {
    (0..count)
        .fold(EndpointHealth::default(), |health, number| health.after(&failure(false), at(first + number * step)))
}

#[test]
fn the_breaker_opens_at_the_tenth_failure_and_doubles() {
    let mut health = failing(9, 0, 1);
    assert_eq!(health.permission(at(9)), Permission::Go);
    let mut now = 9;
    for expected in [60, 120, 240, 480, 900, 900] {
        health = health.after(&failure(false), at(now));
        assert_eq!(health.permission(at(now + expected - 1)), Permission::Wait(at(now + expected)));
        assert_eq!(health.permission(at(now + expected)), Permission::Probe);
        now += expected;
    }
}

#[test]
fn failures_that_were_under_way_do_not_open_it_twice() {
    let health = failing(10, 0, 0);
    let more = health.clone().after(&failure(false), at(1)).after(&failure(false), at(2));
    assert_eq!((more.open_until, more.openings), (health.open_until, 1));
}

#[test]
fn one_probe_goes_at_a_time_and_is_given_up_with_its_lease() {
    let health = failing(10, 0, 0).with_probe(at(60), Duration::from_secs(45));
    assert_eq!(health.permission(at(61)), Permission::Wait(at(105)));
    assert_eq!(health.permission(at(105)), Permission::Probe);
    let closed = health.clone().after(&AttemptVerdict::Succeeded, at(62));
    assert_eq!(closed.permission(at(62)), Permission::Go);
    assert_eq!(closed.consecutive_failures, 0);
    // Its end frees the place at once, however long the lease was.
    let open = health.with_probe(at(60), Duration::from_secs(300)).after(&failure(false), at(62));
    assert_eq!(open.permission(at(63)), Permission::Wait(at(182)));
}

#[test]
fn an_endpoint_is_disabled_after_five_days_of_failures() {
    let last = 120 * HOUR;
    assert_eq!(failing(10, 0, last / 9).disabled, Some(DisableReason::Failing));
    // One attempt too few, or a minute too early.
    assert_eq!(failing(9, 0, last / 8).disabled, None);
    assert_eq!(failing(10, 0, (last - 60) / 9).disabled, None);
    // A success in between begins the count again.
    let health = failing(9, 0, 60).after(&AttemptVerdict::Succeeded, at(last - 600));
    assert_eq!(health.after(&failure(false), at(last)).disabled, None);
}

#[test]
fn a_burst_of_failures_long_ago_does_not_disable() {
    let later = at(121 * HOUR);
    assert_eq!(failing(12, 0, HOUR - 1).reviewed(later).disabled, None);
    assert_eq!(failing(13, 0, HOUR).reviewed(later).disabled, Some(DisableReason::Failing));
}

#[test]
fn a_disabled_endpoint_holds_and_starts_afresh_when_enabled() {
    let gone = EndpointHealth::default().after(&AttemptVerdict::Gone, at(5));
    assert_eq!(gone.disabled, Some(DisableReason::Gone));
    assert_eq!(gone.permission(at(1_000_000)), Permission::Hold);
    assert_eq!(gone.signal_since(&EndpointHealth::default()), Some(HealthSignal::Disabled(DisableReason::Gone)));
    // An answer that was under way when a person disabled it does not enable it.
    let manual = EndpointHealth::default().disabled_by_hand().after(&AttemptVerdict::Succeeded, at(6));
    assert_eq!(manual.disabled, Some(DisableReason::Manual));
    assert_eq!(gone.enabled().permission(at(5)), Permission::Go);
}

#[test]
fn the_owner_is_told_once_per_stage() {
    let mut health = EndpointHealth::default();
    let mut told = Vec::new();
    for number in 0..=121u64 {
        let next = health.clone().after(&failure(false), at(number * HOUR));
        told.extend(next.signal_since(&health).map(|signal| (number, signal)));
        health = next;
    }
    assert_eq!(
        told,
        [
            (4, HealthSignal::Failing(HealthStage::Failing)),
            (60, HealthSignal::Failing(HealthStage::FailingHalf)),
            (84, HealthSignal::Failing(HealthStage::FailingSeventy)),
            (108, HealthSignal::Failing(HealthStage::FailingNinety)),
            (120, HealthSignal::Disabled(DisableReason::Failing)),
        ]
    );
    let failing = failing(5, 0, 1);
    let recovered = failing.clone().after(&AttemptVerdict::Succeeded, at(9));
    assert_eq!(recovered.signal_since(&failing), Some(HealthSignal::Recovered));
    let one = EndpointHealth::default().after(&failure(false), at(0));
    assert_eq!(one.clone().after(&AttemptVerdict::Succeeded, at(1)).signal_since(&one), None);
}

#[test]
fn five_refusals_in_a_row_are_counted_apart() {
    let refused = (0..5).fold(EndpointHealth::default(), |health, _| health.after(&failure(true), at(0)));
    assert_eq!((refused.consecutive_refusals, refused.stage()), (5, HealthStage::Failing));
    assert_eq!(refused.after(&failure(false), at(1)).consecutive_refusals, 0);
}

#[test]
fn health_is_stored_as_plain_fields() {
    let health = failing(12, 0, 10 * HOUR).with_probe(at(7), Duration::from_secs(1));
    let stored = serde_json::to_string(&health).unwrap();
    assert_eq!(serde_json::from_str::<EndpointHealth>(&stored).unwrap(), health);
    assert_eq!(serde_json::from_str::<EndpointHealth>("{}").unwrap(), EndpointHealth::default());
}

proptest! {
    #[test]
    fn whatever_happens_the_breaker_never_waits_longer_than_a_quarter_hour(
        events in proptest::collection::vec((0u8..4, 0u64..1_000_000), 0..200),
    ) {
        let (mut health, mut now) = (EndpointHealth::default(), 0);
        for (kind, step) in events {
            now += step;
            health = match kind {
                0 => health.after(&AttemptVerdict::Succeeded, at(now)),
                1 => health.with_probe(at(now), Duration::from_secs(45)),
                other => health.after(&failure(other == 2), at(now)),
            };
            if let Permission::Wait(until) = health.permission(at(now)) {
                prop_assert!(until <= at(now + 900));
                prop_assert_ne!(health.permission(until), Permission::Wait(until));
            }
        }
    }
}
