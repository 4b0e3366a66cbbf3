use super::*;
use proptest::prelude::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

fn waits(schedule: Schedule) -> Vec<u64> {
    (0..)
        .map_while(|failed| schedule.wait(failed, &WaitHint::default(), Jitter::NONE))
        .map(|wait| wait.as_secs())
        .collect()
}

#[test]
fn the_schedules_are_those_of_the_documentation() {
    let hours = [2, 5, 10, 14, 20, 24].map(|hours| hours * HOUR);
    assert_eq!(waits(Schedule::Standard), [&[0, 5, 5 * MINUTE, 30 * MINUTE][..], &hours].concat());
    assert_eq!(waits(Schedule::Short), [0, 5, MINUTE, 5 * MINUTE, 30 * MINUTE]);
    for schedule in [Schedule::Standard, Schedule::Short] {
        assert_eq!(waits(schedule).len(), usize::try_from(schedule.attempts()).unwrap());
    }
}

#[test]
fn an_overloaded_receiver_has_a_minute_of_rest() {
    let wait = |failed, overloaded, retry_after: Option<u64>| {
        let hint = WaitHint { overloaded, retry_after: retry_after.map(Duration::from_secs) };
        Schedule::Standard.wait(failed, &hint, Jitter::NONE).unwrap().as_secs()
    };
    assert_eq!(wait(1, false, None), 5);
    assert_eq!(wait(1, true, None), 60);
    assert_eq!(wait(2, true, None), 300);
    assert_eq!(wait(1, false, Some(42)), 42);
    assert_eq!(wait(1, true, Some(42)), 60);
    assert_eq!(wait(1, true, Some(7_200)), 7_200);
    // A receiver neither hurries us nor puts us off for ever.
    assert_eq!(wait(3, false, Some(1)), 1_800);
    assert_eq!(wait(1, false, Some(u64::MAX)), 24 * HOUR);
}

proptest! {
    #[test]
    fn jitter_stays_within_a_fifth(bits: u32, failed in 0u32..10) {
        let plain = Schedule::Standard.wait(failed, &WaitHint::default(), Jitter::NONE).unwrap();
        let moved = Schedule::Standard.wait(failed, &WaitHint::default(), Jitter::from_random(bits)).unwrap();
        prop_assert!(moved >= plain.mul_f64(0.8) && moved <= plain.mul_f64(1.2), "{moved:?}");
    }

    #[test]
    fn whatever_is_asked_a_wait_is_bounded(failed: u32, overloaded: bool, asked: Option<u64>, bits: u32) {
        let hint = WaitHint { overloaded, retry_after: asked.map(Duration::from_secs) };
        let wait = Schedule::Standard.wait(failed, &hint, Jitter::from_random(bits));
        prop_assert_eq!(wait.is_some(), failed < 10);
        prop_assert!(wait.unwrap_or_default() <= Duration::from_secs(24 * HOUR).mul_f64(1.2));
    }
}

#[test]
fn jitter_reaches_both_ends() {
    let moved: std::collections::BTreeSet<u64> =
        (0..401).map(|bits| Jitter::from_random(bits).apply(Duration::from_secs(1_000)).as_secs()).collect();
    assert_eq!((moved.first(), moved.last(), moved.len()), (Some(&800), Some(&1_200), 401));
}

/// The whole life of a delivery: what happens (across) in which state (down).
const MATRIX: &str = "\
            | Claim     Succeed   Retry      Exhaust   HandBack Hold Resume  Replay  Cancel
pending     | in_flight -         -          -         -        held -       -       cancelled
in_flight   | in_flight succeeded retry_wait exhausted pending  held -       -       cancelled
succeeded   | -         -         -          -         -        -    -       pending -
retry_wait  | in_flight -         -          -         -        held -       -       cancelled
exhausted   | -         -         -          -         -        -    -       pending -
held        | -         -         -          -         -        -    pending -       cancelled
cancelled   | -         -         -          -         -        -    -       -       -
";

#[test]
fn a_delivery_moves_as_the_matrix_says() {
    use DeliveryEvent::*;
    let events = [Claim, Succeed, Retry, Exhaust, HandBack, Hold, Resume, Replay, Cancel];
    let mut lines = MATRIX.lines();
    let names: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(lines.next().unwrap().split_whitespace().skip(1).collect::<Vec<_>>(), names);
    for (state, line) in DeliveryState::ALL.into_iter().zip(lines) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(state.as_str()));
        assert_eq!(words.next(), Some("|"));
        for event in events {
            let next = state.next(event).map_or("-", DeliveryState::as_str);
            assert_eq!(words.next(), Some(next), "{state} {event:?}");
        }
    }
}

#[test]
fn a_stored_state_reads_back_as_itself() {
    for state in DeliveryState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert!("done".parse::<DeliveryState>().is_err());
}
