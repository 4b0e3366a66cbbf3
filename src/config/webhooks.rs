//! `[webhooks]`: delivery to apps, and which addresses it may reach.
//!
//! # Security
//! The allow lists are the only holes in the rule that deliveries go to public https addresses. They name hosts and
//! networks one by one; there is no way to write "everything".

use std::time::Duration;

use super::reader::Reader;
use crate::webhook::endpoint::{AllowEntry, AllowList};

/// `[webhooks]`
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// What may be called although it is no public address by https.
    pub allow: AllowList,
    /// Of one attempt: until the connection stands.
    pub connect_timeout: Duration,
    /// Of one attempt, all in all.
    pub timeout: Duration,
    /// Attempts at the same time, in all.
    pub concurrency: u32,
    /// Attempts at the same time, to one endpoint.
    pub concurrency_per_endpoint: u32,
    /// When attempts are repeated.
    pub schedule: Schedule,
    /// How long a claimed delivery belongs to its worker.
    pub lease: Duration,
}

/// When attempts are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Ten attempts within about three days.
    Default,
    /// Five attempts within about 40 minutes.
    Short,
}

impl Schedule {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Short => "short",
        }
    }
}

impl Webhooks {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let allowed = "HOST, HOST:PORT without a scheme or wildcard, or a network such as 10.1.0.0/16, not all";
        let webhooks = Self {
            allow: reader.list("webhooks.allow", allowed, allow_entry).into_iter().collect(),
            connect_timeout: reader.duration("webhooks.connect_timeout", 100..=60_000),
            timeout: reader.duration("webhooks.timeout", 1_000..=120_000),
            concurrency: reader.count("webhooks.concurrency", 1..=10_000),
            concurrency_per_endpoint: reader.count("webhooks.concurrency_per_endpoint", 1..=1_000),
            schedule: reader.parse("webhooks.schedule", "default or short", |text| match text {
                "default" => Some(Schedule::Default),
                "short" => Some(Schedule::Short),
                _ => None,
            }),
            lease: reader.duration("webhooks.lease", 1_000..=3_600_000),
        };
        // A lease that ends before its attempt would have a second worker deliver the same thing beside the first.
        if webhooks.lease <= webhooks.timeout {
            reader.fault("webhooks.lease", "must be longer than webhooks.timeout");
        }
        webhooks
    }
}

/// An entry that names something; "all addresses" is none.
pub(super) fn allow_entry(text: &str) -> Option<AllowEntry> {
    match text.parse().ok()? {
        AllowEntry::Range(range) if range.prefix_len() == 0 => None,
        entry => Some(entry),
    }
}
