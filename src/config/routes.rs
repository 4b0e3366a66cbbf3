//! `[routes]`: how peers are met that a copy route does not name.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Reader;
use super::smtp::{LEAST_MESSAGE, MOST_MESSAGE};

/// `[routes]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routes {
    /// How long copies from a network that a route does not name are put off.
    pub put_off_strangers: Duration,
    /// Copies of one route that are kept untrusted in a day.
    pub untrusted_per_day: NonZeroU32,
    /// Octets of a message that a journal route takes, where it does not say otherwise; no route takes more.
    pub message_size: u64,
    /// How often routes and domains are looked after.
    pub watch_interval: Duration,
}

impl Routes {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            // Exchange Online gives a copy up after 24 hours.
            put_off_strangers: reader.duration("routes.put_off_strangers", 0..=72_000_000),
            untrusted_per_day: NonZeroU32::new(reader.count("routes.untrusted_per_day", 1..=1_000_000))
                .unwrap_or(NonZeroU32::MIN),
            watch_interval: reader.duration("routes.watch_interval", 1_000..=3_600_000),
            message_size: reader.size("routes.message_size", LEAST_MESSAGE..=MOST_MESSAGE),
        }
    }
}
