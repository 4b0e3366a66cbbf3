//! When a deferred recipient is tried again: minutes at first, hours later, five days in all.
//!
//! Pure. The last try is made when the time is over; after it nothing follows.
//!
//! Standards: RFC 5321 §4.5.4.1 (twice in the first hour at least, then every few hours, four to five days in all). The
//! first wait is shorter than the 30 minutes there: most deferrals of a first contact are greylisting (RFC 6647).

use std::time::Duration;

use crate::clock::Timestamp;

/// From the first attempt on, in all.
pub const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3_600);

/// Minutes after the first, second, … attempt; the last one is repeated.
const WAITS: [u64; 9] = [5, 10, 20, 30, 60, 60, 120, 180, 240];

/// When the next attempt is due after `attempts` attempts, of which the first was at `first_at`; `None` when it is over.
#[must_use]
pub fn next_attempt(attempts: u32, first_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let end = first_at.plus(PATIENCE);
    if now >= end {
        return None;
    }
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let minutes = WAITS.get(place).copied().unwrap_or(240);
    Some(now.plus(Duration::from_secs(minutes * 60)).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    /// Every attempt of a recipient that is deferred each time, each taking `lasting`.
    fn attempts(lasting: Duration) -> Vec<Timestamp> {
        let mut times = vec![START];
        while let Some(next) = {
            let count = u32::try_from(times.len()).unwrap();
            next_attempt(count, START, times.last().unwrap().plus(lasting))
        } {
            times.push(next);
        }
        times
    }

    #[test]
    fn attempts_come_in_minutes_then_in_hours_and_end_after_five_days() {
        let times = attempts(Duration::ZERO);
        let minutes: Vec<u64> = times.iter().map(|time| time.since(START).as_secs() / 60).collect();
        assert_eq!(minutes[..9], [0, 5, 15, 35, 65, 125, 185, 305, 485]);
        assert_eq!(*minutes.last().unwrap(), 5 * 24 * 60);
        assert!(minutes.windows(2).skip(8).all(|pair| pair[1] - pair[0] <= 240), "{minutes:?}");
        assert!((35..45).contains(&times.len()), "{}", times.len());
    }

    #[test]
    fn nothing_follows_when_the_time_is_over() {
        assert_eq!(next_attempt(3, START, START.plus(PATIENCE)), None);
        let shortly_before = START.plus(PATIENCE - Duration::from_secs(1));
        assert_eq!(next_attempt(30, START, shortly_before), Some(START.plus(PATIENCE)));
    }

    proptest! {
        #[test]
        fn every_attempt_is_later_than_now_and_never_behind_the_end(count: u32, passed in 0..600_000_u64) {
            let now = START.plus(Duration::from_secs(passed));
            match next_attempt(count, START, now) {
                Some(next) => prop_assert!(next > now && next <= START.plus(PATIENCE)),
                None => prop_assert!(now >= START.plus(PATIENCE)),
            }
        }

        #[test]
        fn it_always_ends(lasting in 0..100_000_u64) {
            prop_assert!(attempts(Duration::from_secs(lasting)).len() < 45);
        }
    }
}
