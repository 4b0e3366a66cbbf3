//! Time, and the ids that are made from it.
//!
//! The only module that reads the system clock or system randomness: everything else is handed a [`Clock`], so that
//! tests decide what time it is and which ids come next.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::ids::Id;

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z; the form in which times are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment plus `duration`; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The date-time of RFC 5322 §3.3 in UTC.
    #[must_use]
    pub fn to_rfc5322(self) -> String {
        let moment = jiff::Timestamp::from_microsecond(self.0).unwrap_or_default();
        moment.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// Reads RFC 3339 (`2026-11-23T10:00:00Z`); `None` when the text is no such time.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_microsecond()))
    }
}

/// RFC 3339 in UTC with milliseconds, the form of every time in the JSON contract.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(formatter, "{time:.3}"),
            Err(_) => write!(formatter, "{}us", self.0),
        }
    }
}

/// Where "now" and new ids come from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The operating system's clock and randomness.
    System,
    /// A clock that moves only when told, with ids that follow one another: for tests.
    Fixed(Arc<FixedClock>),
}

/// State of [`Clock::Fixed`].
#[derive(Debug)]
pub struct FixedClock {
    micros: AtomicI64,
    minted: AtomicU64,
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn fixed(start: Timestamp) -> Self {
        Self::Fixed(Arc::new(FixedClock { micros: AtomicI64::new(start.0), minted: AtomicU64::new(0) }))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
                let now = SystemTime::now();
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Fixed(fixed) => Timestamp(fixed.micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fixed clock on; the system clock is not moved.
    pub fn advance(&self, by: std::time::Duration) {
        if let Self::Fixed(fixed) = self {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            fixed.micros.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// A new id: UUIDv7 of the present millisecond (RFC 9562 §5.7).
    #[must_use]
    pub fn mint<I: Id>(&self) -> I {
        let millis = u64::try_from(self.now().0.div_euclid(1_000)).unwrap_or(0);
        I::from_parts(millis, self.random())
    }

    /// Ten bytes that make an id unique: random from the system, counted up on a fixed clock.
    fn random(&self) -> [u8; 10] {
        let mut bytes = [0u8; 10];
        match self {
            Self::System => random_bytes(&mut bytes),
            Self::Fixed(fixed) => {
                let next = fixed.minted.fetch_add(1, Ordering::SeqCst);
                if let Some(tail) = bytes.get_mut(2..) {
                    tail.copy_from_slice(&next.to_be_bytes());
                }
            }
        }
        bytes
    }
}

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give: no secret could be made safely.
pub fn random_bytes(bytes: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "a kernel without randomness cannot run this program safely")]
    SystemRandom::new().fill(bytes).expect("the operating system gives randomness");
}

/// Any number: to choose among equals.
#[must_use]
pub fn random_number() -> u32 {
    let mut bytes = [0; 4];
    random_bytes(&mut bytes);
    u32::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    #[test]
    fn times_are_shown_in_utc_with_milliseconds() {
        let time = Timestamp::parse_rfc3339("2026-11-23T10:00:00.1239+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-23T09:00:00.123Z");
    }

    #[test]
    fn a_fixed_clock_mints_ids_in_order() {
        let clock = Clock::fixed(Timestamp::from_micros(1_000_000));
        let first: EventId = clock.mint();
        let second: EventId = clock.mint();
        assert!(first < second);
    }
}
