//! How many event streams are open: so many per key, so many in all. One lasts for days, so rates do not bound them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Code, Problem};
use crate::ids::KeyId;

/// How many streams may be open at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Of one key.
    pub per_key: u32,
    /// Of all keys together; it also bounds the memory of the counts.
    pub overall: u32,
}

/// The streams that are open now.
#[derive(Debug)]
pub struct Streams {
    limits: StreamLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_key: HashMap<KeyId, u32>,
    overall: u32,
}

/// The place of one open stream, free again when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Place {
    streams: Arc<Streams>,
    key: KeyId,
}

impl Streams {
    /// No streams yet.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// A place for one more stream of `key`.
    ///
    /// # Errors
    /// 429 when the key has as many as it may, 503 when the instance has.
    pub fn enter(self: &Arc<Self>, key: KeyId) -> Result<Place, Problem> {
        let mut open = self.open();
        let StreamLimits { per_key, overall } = self.limits;
        let own = open.by_key.get(&key).copied().unwrap_or_default();
        if own >= per_key {
            let detail = format!("The key has {per_key} streams open, which is as many as it may; close one of them.");
            return Err(Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER));
        }
        if open.overall >= overall {
            let detail = "As many streams are open as this gateway serves; the event log can be read by pages.";
            return Err(Problem::new(Code::TemporarilyUnavailable, detail).retry_after(RETRY_AFTER));
        }
        open.overall += 1;
        open.by_key.insert(key, own + 1);
        drop(open);
        Ok(Place { streams: Arc::clone(self), key })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing between a lock and its end can panic; counts stay whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.overall = open.overall.saturating_sub(1);
        let left = open.by_key.get(&self.key).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            open.by_key.remove(&self.key);
        } else {
            open.by_key.insert(self.key, left);
        }
    }
}

/// Seconds after which a client that was refused may look again.
const RETRY_AFTER: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_has_a_limit_beside_that_of_each_key_and_places_come_back() {
        let streams = Arc::new(Streams::new(StreamLimits { per_key: 2, overall: 3 }));
        let [a, b] = [1, 2].map(KeyId::from_bits);
        let code = |refused: Result<Place, Problem>| refused.map(drop).map_err(|problem| problem.code());
        let held = [streams.enter(a).unwrap(), streams.enter(a).unwrap()];
        assert_eq!(code(streams.enter(a)), Err(Code::RateLimited));
        let last = streams.enter(b).unwrap();
        assert_eq!(code(streams.enter(b)), Err(Code::TemporarilyUnavailable));
        drop(held);
        assert_eq!(code(streams.enter(b)), Ok(()));
        drop(last);
        let open = streams.open();
        assert_eq!((open.overall, open.by_key.len()), (0, 0));
    }
}
