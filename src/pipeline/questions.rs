//! Questions that nobody answers, and drafts that wait for a pause or a quota to end: looked at every so often, on every
//! node, whether it sends or not.
//!
//! What is done to each is one transaction that finds it as it was, so that of several nodes one does it. A draft that goes
//! on goes through the gate as every other ([`crate::service::drafts::release`]).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::service::Service;
use crate::store::StoreError;

/// How often; three look-ups by index where nothing is due.
const EVERY: Duration = Duration::from_secs(1);

/// The task that looks.
#[derive(Debug, Clone)]
pub struct Questions {
    service: Service,
}

impl Questions {
    /// Looks after the questions and drafts of `service`.
    #[must_use]
    pub const fn new(service: Service) -> Self {
        Self { service }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        rounds::run(EVERY, &stop, "Questions and held drafts cannot be looked after now", || self.round()).await;
    }

    /// One round.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self) -> Result<(), StoreError> {
        let store = &self.service.store;
        let expired = store.expire_approvals().await?;
        if expired > 0 {
            tracing::info!(count = expired, "Nobody answered in time: questions are over, with their drafts");
        }
        let escalated = store.escalate_approvals().await?;
        if escalated > 0 {
            tracing::info!(count = escalated, "Nobody answered for a while: questions went to the next role up");
        }
        for (tenant, draft) in store.take_held_drafts().await? {
            if let Err(error) = self.service.look_at_held(&store.for_tenant(tenant), draft).await {
                tracing::warn!(tenant.id = %tenant, draft.id = %draft, error.kind = "draft", "A draft that waits cannot be looked at: {error}");
            }
        }
        Ok(())
    }
}
