//! When to order a certificate: pure, from what there is and how often it failed.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long until the next order, from `now`; zero for at once.
///
/// `current` is the time in which the certificate that is in use is valid, `None` where there is none that will do.
/// `failed` says how many orders failed one after the other, and when the last of them did.
#[must_use]
pub fn next(current: Option<(Timestamp, Timestamp)>, failed: Option<(u32, Timestamp)>, now: Timestamp) -> Duration {
    let due = current.map_or(now, |(begins, ends)| renewal(begins, ends));
    let again = failed.map_or(now, |(failures, at)| at.plus(back_off(failures)));
    due.max(again).since(now)
}

/// After two thirds of its time, when a third is left to mend what may be wrong.
fn renewal(begins: Timestamp, ends: Timestamp) -> Timestamp {
    begins.plus(ends.since(begins) / 3 * 2)
}

/// Two minutes after the first failure, then twice as long each time: at 0, 2, 6, 14 and 30 minutes five orders fall
/// into one hour.
fn back_off(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST),
    }
}

const FIRST: Duration = Duration::from_secs(120);
const LONGEST: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(days * 86_400))
    }

    #[test]
    fn without_a_certificate_one_is_ordered_at_once() {
        assert_eq!(next(None, None, day(1)), Duration::ZERO);
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_time() {
        let ninety = Some((day(10), day(100)));
        assert_eq!(next(ninety, None, day(10)), Duration::from_secs(60 * 86_400));
        assert_eq!(next(ninety, None, day(69)), Duration::from_secs(86_400));
        for late in [70, 99, 100, 400] {
            assert_eq!(next(ninety, None, day(late)), Duration::ZERO, "day {late}");
        }
        assert_eq!(next(Some((day(9), day(9))), None, day(9)), Duration::ZERO, "one without any time");
    }

    #[test]
    fn failures_wait_longer_each_time_and_fewer_than_six_fall_into_an_hour() {
        let mut at = day(1);
        let mut orders = vec![at];
        for failures in 1..40 {
            at = at.plus(next(None, Some((failures, at)), at));
            orders.push(at);
        }
        assert_eq!(orders[1].since(orders[0]), Duration::from_secs(120));
        assert_eq!(orders.iter().filter(|at| at.since(day(1)).as_secs() < 3_600).count(), 5);
        assert_eq!(orders[39].since(orders[38]), LONGEST);
        assert_eq!(next(None, Some((u32::MAX, at)), at), LONGEST);
        assert_eq!(next(None, Some((1, day(1))), day(2)), Duration::ZERO, "that was long ago");
    }

    #[test]
    fn after_a_failure_a_certificate_that_is_not_due_is_not_ordered_sooner() {
        assert_eq!(next(Some((day(10), day(100))), Some((1, day(10))), day(10)), Duration::from_secs(60 * 86_400));
    }
}
