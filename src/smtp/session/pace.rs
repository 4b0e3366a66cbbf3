//! How long a session may still take: values in, deadlines out; no clock is read here.
//!
//! Three clocks run. A session that hands nothing over is cut when it is idle for too long, whatever it says meanwhile. From
//! the first MAIL on, a message must be taken within the time of a transaction; RSET and a new MAIL gain nothing. And the
//! octets of a message must come at the least rate: a session may be behind it by the wait for data, so that a silence and
//! a drip come to the same end, and a sender that catches up is forgiven. Only the peer's time counts there, never ours.

use tokio::time::{Duration, Instant};

use crate::smtp::limits::Limits;

/// The clocks of one session.
#[derive(Debug)]
pub(super) struct Pace {
    /// By when MAIL must have come, or else the message of [`Pace::mail`] have been taken.
    due: Instant,
    has_mail: bool,
    /// How far the octets of the message are behind the least rate.
    behind: Duration,
}

impl Pace {
    /// Of a session that begins `now`.
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        Self { due: now + limits.idle_timeout, has_mail: false, behind: Duration::ZERO }
    }

    /// MAIL was read.
    pub(super) fn mail(&mut self, now: Instant, limits: &Limits) {
        self.behind = Duration::ZERO;
        if !std::mem::replace(&mut self.has_mail, true) {
            self.due = now + limits.transaction_timeout;
        }
    }

    /// A message was taken.
    pub(super) fn taken(&mut self, now: Instant, limits: &Limits) {
        *self = Self::new(now, limits);
    }

    /// When a wait that begins `now` ends for the session as a whole.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// When a wait for octets of a message that begins `now` ends.
    pub(super) fn data_due(&self, now: Instant, limits: &Limits) -> Instant {
        self.due.min(now + limits.data_timeout.saturating_sub(self.behind))
    }

    /// So many octets of a message came after a wait of `waited`.
    pub(super) fn received(&mut self, octets: usize, waited: Duration, limits: &Limits) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let earned = match limits.data_rate {
            0 => self.behind.saturating_add(waited),
            rate => Duration::from_secs_f64(f64::from(octets) / f64::from(rate)),
        };
        self.behind = self.behind.saturating_add(waited).saturating_sub(earned);
    }
}

/// How long the reply to a command that was refused is held back: longer each time, once there were a few.
///
/// It costs the peer its own time and nobody else's: nothing is held meanwhile but its connection.
pub(super) fn penalty(errors: u32, limits: &Limits) -> Duration {
    limits.tarpit.saturating_mul(errors.saturating_sub(limits.tarpit_after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits {
            idle_timeout: 60 * SECOND,
            transaction_timeout: 600 * SECOND,
            data_timeout: 100 * SECOND,
            data_rate: 10,
            tarpit: SECOND,
            tarpit_after: 5,
            ..Limits::default()
        }
    }

    #[test]
    fn one_mail_after_another_gains_no_time_and_a_message_does() {
        let (limits, start) = (limits(), Instant::now());
        let mut pace = Pace::new(start, &limits);
        assert_eq!(pace.due(), start + 60 * SECOND);
        pace.mail(start + 50 * SECOND, &limits);
        pace.mail(start + 500 * SECOND, &limits);
        assert_eq!(pace.due(), start + 650 * SECOND);
        pace.taken(start + 640 * SECOND, &limits);
        assert_eq!(pace.due(), start + 700 * SECOND);
    }

    #[test]
    fn a_drip_ends_as_a_silence_does_and_who_catches_up_is_forgiven() {
        let (limits, start) = (limits(), Instant::now());
        let mut pace = Pace::new(start, &limits);
        pace.mail(start, &limits);
        let mut now = start;
        while now < pace.data_due(now, &limits) && now < start + 599 * SECOND {
            now += SECOND;
            pace.received(1, SECOND, &limits);
        }
        let lasted = now - start;
        assert!((100 * SECOND..=112 * SECOND).contains(&lasted), "{lasted:?} at a tenth of the rate");
        let mut pace = Pace::new(start, &limits);
        pace.mail(start, &limits);
        pace.received(10, 90 * SECOND, &limits);
        pace.received(1_000, SECOND, &limits);
        assert_eq!(pace.data_due(start, &limits), start + 100 * SECOND);
    }

    #[test]
    fn without_a_least_rate_only_silence_counts() {
        let limits = Limits { data_rate: 0, ..limits() };
        let mut pace = Pace::new(Instant::now(), &limits);
        for _ in 0..1_000 {
            pace.received(1, 99 * SECOND, &limits);
        }
        assert_eq!(pace.behind, Duration::ZERO);
    }

    #[test]
    fn a_few_errors_cost_nothing_and_each_further_one_more_than_the_last() {
        let limits = limits();
        let held: Vec<u64> = (4..9).map(|errors| penalty(errors, &limits).as_secs()).collect();
        assert_eq!(held, [0, 0, 1, 2, 3]);
        assert_eq!(penalty(1_000, &Limits { tarpit: Duration::ZERO, ..limits }), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_sender_at_the_least_rate_is_never_cut(waits in prop::collection::vec(0u32..100, 1..200)) {
            let (limits, start) = (limits(), Instant::now());
            let mut pace = Pace::new(start, &limits);
            for wait in waits {
                pace.received(usize::try_from(wait * 10).unwrap(), wait * SECOND, &limits);
                prop_assert_eq!(pace.data_due(start, &limits), start + (60 * SECOND).min(100 * SECOND));
            }
        }
    }
}
