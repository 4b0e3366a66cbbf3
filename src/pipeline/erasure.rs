//! Erases in the spool what nobody may read any more, as soon as that is recorded.
//!
//! Rows say what is to go ([`crate::store::erasures`]); wake-ups only shorten the wait. Whoever is cut off between erasing
//! and noting it erases again, which does no harm. A body is erased only once the transaction that made it unreadable, and
//! recorded what became of its message, is on stable storage.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::spool::{BodyRef, Spool};
use crate::store::erasures::Erasure;
use crate::store::{Store, StoreError};

/// Bodies that are claimed together.
const AT_ONCE: u32 = 32;
/// For how long they are claimed; the wait after a first failure.
const LEASE: Duration = Duration::from_secs(60);

/// The task.
#[derive(Debug, Clone)]
pub struct Erase {
    store: Store,
    spool: Spool,
    poll: Duration,
}

impl Erase {
    /// Looks for work at every hint, and every `poll` where none comes.
    #[must_use]
    pub const fn new(store: Store, spool: Spool, poll: Duration) -> Self {
        Self { store, spool, poll }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut hints = self.store.events_recorded();
        while !stop.is_cancelled() {
            hints.mark_unchanged();
            match self.round(&stop).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        error.kind = "store",
                        temporary = true,
                        "What is to be erased stays for now: {error}"
                    );
                }
            }
            tokio::select! {
                _ = tokio::time::timeout(self.poll, hints.changed()) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Erases what is due, up to a number of bodies: whether there was anything. Ends early at `stop`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self, stop: &CancellationToken) -> Result<bool, StoreError> {
        let claimed = self.store.claim_erasures(AT_ONCE, LEASE).await?;
        let is_busy = !claimed.is_empty();
        for erasure in claimed {
            if stop.is_cancelled() {
                break;
            }
            self.erase(erasure).await?;
        }
        Ok(is_busy)
    }

    async fn erase(&self, erasure: Erasure) -> Result<(), StoreError> {
        let unreadable = |error: serde_json::Error| StoreError::Unreadable { what: "body", detail: error.to_string() };
        let (id, tenant) = (erasure.message, erasure.tenant);
        let body: BodyRef = match serde_json::from_str(&erasure.body) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(message.id = %id, tenant.id = %tenant, error.kind = "erasure", "It cannot be read where message `{id}` is to be erased: {error}");
                return Ok(());
            }
        };
        match self.spool.erase(&body).await {
            Ok(()) => {
                let nowhere = serde_json::to_string(&body.erased()).map_err(unreadable)?;
                metrics::counter!("connex_bodies_erased_total").increment(1);
                self.store.note_erased(erasure, nowhere).await
            }
            Err(error) => {
                // The row stays, and its lease is the wait.
                tracing::warn!(message.id = %id, tenant.id = %tenant, attempt = erasure.attempts, error.kind = "erasure", temporary = error.is_temporary(), "The bytes of message `{id}` cannot be erased now: {error}");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
