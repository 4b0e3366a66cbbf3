//! What the operator is told of mail that waits to be read: how old it is, and which lanes the worker cannot get past.
//!
//! Looked at by a task of its own, apart from the worker: a worker that hangs cannot say so. A look reads one record, or
//! one row of each lane.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::IngestError;
use super::source::place_in_log;
use crate::clock::Timestamp;
use crate::spool::Spool;
use crate::store::Store;

/// The one lane of a log.
pub(super) const LOG_LANE: i64 = 0;

/// What is known of mail that waits; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The oldest message of each lane that has any.
    oldest: BTreeMap<i64, Timestamp>,
    held: BTreeMap<i64, Held>,
}

/// A lane whose mail could not be recorded when it was last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// When that began.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt said.
    pub why: String,
}

impl Waiting {
    /// When the oldest message that waits was accepted; as of the last look.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.state().oldest.values().min().copied()
    }

    /// Lanes that are held.
    #[must_use]
    pub fn held(&self) -> Vec<(i64, Held)> {
        self.state().held.iter().map(|(lane, held)| (*lane, held.clone())).collect()
    }

    /// Looks what waits. While that cannot be found out, what was known stays.
    ///
    /// # Errors
    /// The database or disk does not answer.
    pub async fn look(&self, spool: &Spool, store: &Store) -> Result<(), LookError> {
        let oldest: BTreeMap<i64, Timestamp> = match spool {
            Spool::Log(log) => {
                let from = place_in_log(store, &log.name()).await.map_err(IngestError::from)?;
                let log = log.clone();
                let next = tokio::task::spawn_blocking(move || log.read_after(from, 1, 1)).await;
                let next = next.map_err(|_| IngestError::Interrupted)?.map_err(IngestError::from)?;
                next.first().map(|message| (LOG_LANE, message.manifest.received_at)).into_iter().collect()
            }
            Spool::Rows(_) => store.oldest_queued().await.map_err(IngestError::from)?.into_iter().collect(),
        };
        let mut state = self.state();
        // Another node may have got past what this one could not.
        state.held.retain(|lane, held| oldest.get(lane).is_some_and(|oldest| *oldest <= held.since));
        state.oldest = oldest;
        Ok(())
    }

    /// The mail of a lane could not be recorded.
    pub(super) fn hold(&self, lane: i64, now: Timestamp, why: String) {
        let mut state = self.state();
        let held = state.held.entry(lane).or_insert(Held { since: now, attempts: 0, why: String::new() });
        (held.attempts, held.why) = (held.attempts.saturating_add(1), why);
    }

    /// Mail of a lane was recorded.
    pub(super) fn release(&self, lane: i64) {
        self.state().held.remove(&lane);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It could not be found out what waits.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LookError(#[from] IngestError);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lane_is_held_from_its_first_failure_until_mail_of_it_is_recorded() {
        let waiting = Waiting::default();
        let first = Timestamp::from_micros(1_000_000);
        waiting.hold(3, first, "one".to_owned());
        waiting.hold(3, first.plus(Duration::from_secs(9)), "two".to_owned());
        assert_eq!(waiting.held(), [(3, Held { since: first, attempts: 2, why: "two".to_owned() })]);
        waiting.release(4);
        assert_eq!(waiting.held().len(), 1);
        waiting.release(3);
        assert_eq!(waiting.held(), []);
    }
}
