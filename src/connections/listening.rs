//! What the operator is told of each door: whether it accepts, how many connections are open, which were refused.
//!
//! A listener holds its [`Listening`] for as long as it runs. One that goes without having been told to (its task
//! panicked) leaves its door closed, which no start can have seen; [`Listeners::troubles`] says so from then on.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All listeners of a program; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<Vec<Arc<State>>>>);

#[derive(Debug)]
struct State {
    door: &'static str,
    place: String,
    is_failing: AtomicBool,
    has_ended: AtomicBool,
}

/// A running listener. Dropped without [`Listening::end`], its door counts as closed by a fault.
#[derive(Debug)]
pub struct Listening {
    state: Arc<State>,
    is_ending: bool,
}

/// An open connection; counted until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Open {
    door: &'static str,
}

/// What is wrong with a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The door.
    pub door: &'static str,
    /// Its address or file.
    pub place: String,
    /// Whether it listens no more; otherwise the system hands over no connections now.
    pub has_ended: bool,
}

impl Listeners {
    /// One more, at this address or file.
    #[must_use]
    pub fn add(&self, door: &'static str, place: &impl Display) -> Listening {
        let state = Arc::new(State {
            door,
            place: place.to_string(),
            is_failing: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        // A door that nobody came to is shown too.
        metrics::gauge!("connex_connections", "door" => door).increment(0.0);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&state));
        Listening { state, is_ending: false }
    }

    /// What is wrong now.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = listeners.iter().filter_map(|state| {
            let has_ended = state.has_ended.load(Ordering::Relaxed);
            let is_wrong = has_ended || state.is_failing.load(Ordering::Relaxed);
            is_wrong.then(|| Trouble { door: state.door, place: state.place.clone(), has_ended })
        });
        wrong.collect()
    }
}

impl Listening {
    /// The system handed a connection over, or failed for that one alone.
    pub fn accepted(&self) {
        self.state.is_failing.store(false, Ordering::Relaxed);
    }

    /// The system has no connection to hand over now, for want of files or memory.
    pub fn cannot_accept(&self) {
        self.state.is_failing.store(true, Ordering::Relaxed);
        metrics::counter!("connex_accept_errors_total", "door" => self.state.door).increment(1);
    }

    /// A connection was sent away at once.
    pub fn refused(&self, reason: &'static str) {
        refused(self.state.door, reason);
    }

    /// A connection is served.
    pub fn opened(&self) -> Open {
        metrics::gauge!("connex_connections", "door" => self.state.door).increment(1.0);
        Open { door: self.state.door }
    }

    /// It ends because it was told to.
    pub fn end(mut self) {
        self.is_ending = true;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.state.has_ended.store(!self.is_ending, Ordering::Relaxed);
    }
}

impl Open {
    /// It is closed before it was served.
    pub fn refused(&self, reason: &'static str) {
        refused(self.door, reason);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("connex_connections", "door" => self.door).decrement(1.0);
    }
}

fn refused(door: &'static str, reason: &'static str) {
    metrics::counter!("connex_connections_refused_total", "door" => door, "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_ended_by_itself_or_accepts_nothing_is_in_trouble() {
        let listeners = Listeners::default();
        let [first, second, third] = ["smtp", "http", "admin"].map(|door| listeners.add(door, &"here"));
        assert_eq!(listeners.troubles(), []);
        first.cannot_accept();
        drop(second);
        third.end();
        let trouble = |door, has_ended| Trouble { door, place: "here".to_owned(), has_ended };
        assert_eq!(listeners.troubles(), [trouble("smtp", false), trouble("http", true)]);
        first.accepted();
        assert_eq!(listeners.troubles(), [trouble("http", true)]);
    }
}
