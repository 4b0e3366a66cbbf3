//! When a delivery is tried again, and the stored life of a delivery. Pure: time and jitter are handed in.
//!
//! # Retries
//! [`Schedule::Standard`] makes ten attempts over 75 h 35 min 5 s: 0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h
//! and 24 h after one another. Each wait is moved by up to ±20 %, so that deliveries that failed together do not come
//! back together. An overloaded receiver (429, 502, 503, 504, no answer in time) is left alone for at least 60 s, and
//! never asked sooner than its `Retry-After` says, up to 24 h.
//!
//! Standards: Standard Webhooks 1.0.0 ("Deliverability and reliability"), RFC 9110 §10.2.3 (Retry-After).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often and when a delivery is attempted; chosen per endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Ten attempts in three days.
    #[default]
    Standard,
    /// Five attempts in 36 minutes: for receivers to whom an old event is worth nothing.
    Short,
}

impl Schedule {
    /// How many attempts a delivery gets.
    #[must_use]
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Standard => 10,
            Self::Short => 5,
        }
    }

    /// The wait after `failed` failed attempts until the next one; `None` when there is none.
    #[must_use]
    pub fn wait(self, failed: u32, hint: &WaitHint, jitter: Jitter) -> Option<Duration> {
        let waits: &[u64] = match self {
            Self::Standard => &[0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            Self::Short => &[0, 5, 60, 300, 1_800],
        };
        let seconds = usize::try_from(failed).ok().and_then(|index| waits.get(index))?;
        let floor = if hint.overloaded { OVERLOAD_FLOOR } else { Duration::ZERO };
        let asked = hint.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        Some(jitter.apply(Duration::from_secs(*seconds)).max(floor).max(asked))
    }
}

/// What the failed attempt says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitHint {
    /// The receiver is overloaded, or did not answer in time.
    pub overloaded: bool,
    /// The receiver's `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Thousandths between −200 and +200 by which a wait is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(i16);

impl Jitter {
    /// Moves nothing.
    pub const NONE: Self = Self(0);

    /// From random bits, evenly.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self(i16::try_from(bits % 401).unwrap_or(200) - 200)
    }

    /// `wait` moved.
    #[must_use]
    pub fn apply(self, wait: Duration) -> Duration {
        wait.saturating_mul(u32::try_from(1_000 + i32::from(self.0)).unwrap_or(1_000)) / 1_000
    }
}

/// After 429, 502, 503, 504 and a timeout nobody comes back sooner.
pub const OVERLOAD_FLOOR: Duration = Duration::from_secs(60);

/// A receiver cannot put us off for longer than this.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Where a delivery stands; the words are those of the stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits to be claimed; no attempt of this round was judged yet.
    Pending,
    /// A worker holds the lease.
    InFlight,
    /// A 2xx answer came. Only a replay leads out.
    Succeeded,
    /// The last attempt failed; the next one has its time.
    RetryWait,
    /// Every attempt failed. Only a replay leads out.
    Exhausted,
    /// The endpoint is disabled. Kept until it is enabled again.
    Held,
    /// The endpoint was deleted, or the payload erased. Nothing leads out.
    Cancelled,
}

/// What can happen to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryEvent {
    /// A worker took the lease, also one that a dead worker left behind.
    Claim,
    /// The attempt got a 2xx answer.
    Succeed,
    /// The attempt failed and another one follows.
    Retry,
    /// The attempt failed and was the last.
    Exhaust,
    /// The worker gives its lease back without a verdict, when it shuts down or the breaker is open.
    HandBack,
    /// The endpoint was disabled.
    Hold,
    /// The endpoint was enabled again.
    Resume,
    /// Someone asked for it once more.
    Replay,
    /// The endpoint was deleted, or the payload erased.
    Cancel,
}

/// This cannot happen to a delivery in that state: somebody else was faster, or the program is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delivery that is {state} cannot {event:?}")]
pub struct IllegalMove {
    /// Where it stood.
    pub state: DeliveryState,
    /// What was to happen.
    pub event: DeliveryEvent,
}

impl DeliveryState {
    /// All states, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::InFlight, Self::Succeeded, Self::RetryWait, Self::Exhausted, Self::Held, Self::Cancelled];

    /// The word of the stored row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Succeeded => "succeeded",
            Self::RetryWait => "retry_wait",
            Self::Exhausted => "exhausted",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Exhausted | Self::Cancelled)
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// When the event cannot happen in this state; nothing must be stored then.
    pub const fn next(self, event: DeliveryEvent) -> Result<Self, IllegalMove> {
        use DeliveryEvent as Event;
        Ok(match (self, event) {
            (Self::Pending | Self::RetryWait | Self::InFlight, Event::Claim) => Self::InFlight,
            (Self::InFlight, Event::Succeed) => Self::Succeeded,
            (Self::InFlight, Event::Retry) => Self::RetryWait,
            (Self::InFlight, Event::Exhaust) => Self::Exhausted,
            (Self::InFlight, Event::HandBack) | (Self::Held, Event::Resume) => Self::Pending,
            (Self::Succeeded | Self::Exhausted, Event::Replay) => Self::Pending,
            (Self::Pending | Self::RetryWait | Self::InFlight, Event::Hold) => Self::Held,
            (Self::Pending | Self::RetryWait | Self::InFlight | Self::Held, Event::Cancel) => Self::Cancelled,
            (state, event) => return Err(IllegalMove { state, event }),
        })
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// The row holds a word that is no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored state of a delivery is not one of pending, in_flight, succeeded, retry_wait, exhausted, held, cancelled"
)]
pub struct UnknownState;

#[cfg(test)]
mod tests;
