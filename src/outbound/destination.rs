//! How much goes to one destination at a time: a domain whose servers are sent to, or a relay.
//!
//! Counted on this node alone. Whoever is not let in waits for a moment, and comes again later: no destination that is slow
//! keeps all senders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a sender waits to be let in.
const PATIENCE: Duration = Duration::from_secs(1);
/// Destinations that are remembered; beyond them, those that nobody is sending to are forgotten.
const MOST: usize = 1_000;

/// Leave to have one connection to a destination, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit(#[expect(dead_code, reason = "held, and given back when it is dropped")] OwnedSemaphorePermit);

/// The destinations of a node. Clones count together.
#[derive(Debug, Clone)]
pub struct Destinations {
    connections: usize,
    busy: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Destinations {
    /// So many connections to each, at least one.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self { connections: connections.max(1), busy: Arc::default() }
    }

    /// Leave for one more connection; `None` where none was given back for a moment.
    pub async fn enter(&self, destination: &str) -> Option<Permit> {
        let gate = self.gate(destination);
        let permit = tokio::time::timeout(PATIENCE, gate.acquire_owned()).await.ok()?;
        permit.ok().map(Permit)
    }

    fn gate(&self, destination: &str) -> Arc<Semaphore> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.len() >= MOST {
            // Whoever waits or sends holds on to it as well.
            busy.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = busy.entry(destination.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.connections)));
        Arc::clone(gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_are_let_in_and_the_next_when_one_goes() {
        let destinations = Destinations::new(2);
        let first = destinations.enter("buyer.example").await.unwrap();
        let _second = destinations.clone().enter("buyer.example").await.unwrap();
        assert!(destinations.enter("buyer.example").await.is_none());
        assert!(destinations.enter("other.example").await.is_some(), "each has its own");
        let waiting = destinations.enter("buyer.example");
        let (third, ()) = tokio::join!(waiting, async { drop(first) });
        assert!(third.is_some());
    }

    #[tokio::test]
    async fn what_nobody_sends_to_is_forgotten_and_what_somebody_does_stays_counted() {
        let destinations = Destinations::new(1);
        let held = destinations.enter("held.example").await.unwrap();
        for number in 0..3 * MOST {
            let _ = destinations.enter(&format!("{number}.example")).await.unwrap();
        }
        assert!(destinations.busy.lock().unwrap().len() <= MOST);
        assert_eq!(destinations.gate("held.example").available_permits(), 0);
        drop(held);
    }
}
