//! Percentiles and the numbers around them.

use serde::Serialize;

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of latencies in microseconds; `None` when there are none.
    pub(super) fn of(mut micros: Vec<u32>) -> Option<Self> {
        micros.sort_unstable();
        let at = |share: usize| nearest_rank(&micros, share).map(millis);
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: at(100)? })
    }
}

/// The smallest value that at least `percent` of all are not above.
fn nearest_rank(sorted: &[u32], percent: usize) -> Option<u32> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn millis(micros: u32) -> f64 {
    rounded(f64::from(micros) / 1_000.0, 2)
}

/// `value` with so many places behind the point.
pub(super) fn rounded(value: f64, places: i32) -> f64 {
    let shift = 10f64.powi(places);
    (value * shift).round() / shift
}

/// A count as a number to calculate with; counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u32> = (1..=100).rev().map(|ms| ms * 1_000).collect();
        let found = Percentiles::of(hundred).unwrap();
        assert_eq!(found, Percentiles { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
        assert_eq!(Percentiles::of(vec![1_234]).unwrap(), Percentiles { p50: 1.23, p95: 1.23, p99: 1.23, max: 1.23 });
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn one_slow_message_of_a_hundred_is_not_the_99th_percentile_but_two_are() {
        let mut micros = vec![1_000; 99];
        micros.push(900_000);
        assert_eq!(Percentiles::of(micros.clone()).map(|found| found.p99), Some(1.0));
        micros.pop();
        micros.pop();
        micros.extend([900_000, 900_000]);
        assert_eq!(Percentiles::of(micros).map(|found| found.p99), Some(900.0));
    }

    proptest! {
        #[test]
        fn so_many_are_not_above_and_fewer_would_not_do(mut values in prop::collection::vec(0u32..1_000, 1..300), percent in 1usize..=100) {
            values.sort_unstable();
            let found = nearest_rank(&values, percent).unwrap();
            let up_to = |limit: u32| values.iter().filter(|value| **value <= limit).count();
            prop_assert!(up_to(found) * 100 >= values.len() * percent);
            if let Some(below) = found.checked_sub(1) {
                prop_assert!(up_to(below) * 100 < values.len() * percent);
            }
        }
    }
}
