//! One step of a measurement: when each message was due, when its webhook came, and whether the gateway kept up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::figures::number;

/// Times of the messages of one step. Shared between the load, the receiver and whoever watches.
pub(super) struct Track {
    run: String,
    epoch: Instant,
    /// Microseconds behind the epoch; [`UNKNOWN`] until then.
    due: Box<[AtomicU64]>,
    /// Microseconds from its time to its webhook; 0 until then.
    latency: Box<[AtomicU32]>,
    /// The last time at which one was due.
    last_due: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    changed: Notify,
}

const UNKNOWN: u64 = u64::MAX;

impl Track {
    /// A step of so many messages, whose Message-IDs begin with `run`.
    pub(super) fn new(run: String, messages: u64) -> Self {
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        Self {
            run,
            epoch: Instant::now(),
            due: (0..messages).map(|_| AtomicU64::new(UNKNOWN)).collect(),
            latency: (0..messages).map(|_| AtomicU32::new(0)).collect(),
            last_due: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// In front of the number in each Message-ID.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The time of a message has come.
    pub(super) fn due(&self, message: u64, at: Instant) {
        let micros = self.micros(at);
        if let Some(due) = usize::try_from(message).ok().and_then(|message| self.due.get(message)) {
            due.store(micros, Ordering::Release);
            self.last_due.fetch_max(micros, Ordering::Relaxed);
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The webhook of the message with this Message-ID was received and verified.
    pub(super) fn arrived(&self, message_id: &str, at: Instant) {
        let Some(message) = self.message(message_id) else { return };
        let (Some(due), Some(latency)) = (self.due.get(message), self.latency.get(message)) else { return };
        let due = due.load(Ordering::Acquire);
        if due == UNKNOWN {
            return;
        }
        let micros = u32::try_from(self.micros(at).saturating_sub(due)).unwrap_or(u32::MAX).max(1);
        if latency.swap(micros, Ordering::Relaxed) == 0 {
            self.received.fetch_add(1, Ordering::Release);
            self.changed.notify_one();
        }
    }

    /// Webhooks received.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Messages whose time has come and whose webhook has not; with a rate, those count whose time has come although no
    /// session was free for them.
    pub(super) fn outstanding(&self, start: Instant, rate: Option<f64>) -> u64 {
        let come = match rate {
            None => self.sent.load(Ordering::Relaxed),
            Some(rate) => {
                let all = u64::try_from(self.due.len()).unwrap_or(u64::MAX);
                whole(start.elapsed().as_secs_f64() * rate).min(all)
            }
        };
        come.saturating_sub(self.received())
    }

    /// Waits for the next webhook.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Latencies of all that came, in microseconds.
    pub(super) fn latencies(&self) -> Vec<u32> {
        let all = self.latency.iter().map(|latency| latency.load(Ordering::Relaxed));
        all.filter(|micros| *micros > 0).collect()
    }

    fn message(&self, message_id: &str) -> Option<usize> {
        let bare = message_id.trim_start_matches('<');
        let rest = bare.strip_prefix(&*self.run)?.strip_prefix('.')?;
        rest.split_once('@')?.0.parse().ok()
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_micros()).unwrap_or(UNKNOWN - 1)
    }
}

/// `value` without what is behind the point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages, not negative")]
pub(super) const fn whole(value: f64) -> u64 {
    value as u64
}

/// Whether the backlog stayed as it was, given how many messages were outstanding at equal intervals of `seconds` in all
/// and how many a second were due.
///
/// The medians of the third and the last quarter are compared, so that neither the beginning nor a single slow flush
/// decides. A gateway that falls behind by 4 % or more, or is more than a second behind at the end, does not keep up.
pub(super) fn keeps_up(outstanding: &[u64], seconds: f64, rate: f64) -> bool {
    let quarter = outstanding.len() / 4;
    if quarter == 0 {
        return false;
    }
    let median = |part: Option<&[u64]>| {
        let mut part = part.unwrap_or_default().to_vec();
        part.sort_unstable();
        number(part.get(part.len() / 2).copied().unwrap_or(0))
    };
    let third = median(outstanding.get(2 * quarter..3 * quarter));
    let last = median(outstanding.get(3 * quarter..));
    last - third < 0.04 * rate * seconds / 4.0 && last < rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_latency_counts_from_the_time_of_the_message() {
        let track = Track::new("pipeline.7.1".into(), 2);
        let start = track.epoch;
        track.due(0, start);
        track.due(1, start + Duration::from_millis(5));
        track.arrived("pipeline.7.1.1@bench.localhost", start + Duration::from_millis(8));
        track.arrived("<pipeline.7.1.0@bench.localhost>", start + Duration::from_millis(40));
        assert_eq!(track.latencies(), [40_000, 3_000]);
    }

    #[test]
    fn a_webhook_counts_once_and_only_for_its_own_step() {
        let track = Track::new("pipeline.7.1".into(), 3);
        let now = track.epoch + Duration::from_millis(1);
        track.due(0, now);
        for id in
            ["pipeline.7.1.0@x", "pipeline.7.1.0@x", "pipeline.7.11.0@x", "pipeline.7.1.9@x", "pipeline.7.1.1@x", "x"]
        {
            track.arrived(id, now);
        }
        assert_eq!(track.received(), 1);
        assert_eq!(track.outstanding(track.epoch, None), 0);
    }

    #[test]
    fn a_growing_backlog_is_noticed_and_a_steady_or_shrinking_one_is_not() {
        let grows_by =
            |share: f64| -> Vec<u64> { (0..250).map(|tick| whole(5.0 + f64::from(tick) * 20.0 * share)).collect() };
        // 250 ticks of 20 ms at 1000 messages a second.
        assert!(keeps_up(&grows_by(0.0), 5.0, 1_000.0));
        assert!(keeps_up(&grows_by(0.02), 5.0, 1_000.0));
        assert!(!keeps_up(&grows_by(0.06), 5.0, 1_000.0));
        assert!(!keeps_up(&grows_by(1.0), 5.0, 1_000.0));
        let mut falling = grows_by(0.2);
        falling.reverse();
        assert!(keeps_up(&falling, 5.0, 1_000.0));
        assert!(!keeps_up(&[0, 1], 5.0, 1_000.0));
    }

    #[test]
    fn one_stall_is_no_growing_backlog() {
        let mut steady = vec![4; 250];
        steady[200..215].fill(300);
        assert!(keeps_up(&steady, 5.0, 1_000.0));
    }
}
