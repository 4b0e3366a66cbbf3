//! Answers to HTTP-01 challenges (RFC 8555 §8.3): token to key authorisation, while an order is under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What may be asked for now; clones share it. It never holds more than the names of one order.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Mutex<HashMap<String, String>>>);

impl Answers {
    /// The key authorisation of a token; `None` for one that no order has.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<String> {
        self.all().get(token).cloned()
    }

    pub(super) fn put(&self, token: &str, authorisation: &str) {
        self.all().insert(token.to_owned(), authorisation.to_owned());
    }

    pub(super) fn clear(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // Nothing that is done under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
