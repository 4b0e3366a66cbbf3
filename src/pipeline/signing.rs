//! Records of signing keys, looked for again and again: with a key whose record is gone nothing is signed.
//!
//! Trouble of the DNS changes nothing. Of several nodes one looks at a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::dns::Resolver;
use crate::service::signing::{LookError, holders, look};
use crate::store::{Store, StoreError};

/// How often a record is looked for; [`crate::store::signing::SEEN_WITHIN`] bears several looks that find nothing out.
const RECHECK: Duration = Duration::from_hours(1);

/// The task that looks.
#[derive(Debug, Clone)]
pub struct Signing {
    store: Store,
    resolver: Resolver,
    every: Duration,
}

impl Signing {
    /// Looks every so often for records that are due.
    #[must_use]
    pub const fn new(store: Store, resolver: Resolver, every: Duration) -> Self {
        Self { store, resolver, every }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        rounds::run(self.every, &stop, "Records of signing keys cannot be looked for now", || self.round()).await;
    }

    async fn round(&self) -> Result<(), StoreError> {
        if !rounds::take(&self.store, "signing_watch", self.every).await? {
            return Ok(());
        }
        let now = self.store.clock().now();
        for tenant in holders(&self.store).await? {
            for row in tenant.signing_keys().await? {
                let is_due = row.state == "active" && row.checked_at.is_none_or(|at| now.since(at) >= RECHECK);
                if !is_due {
                    continue;
                }
                match look(&tenant, &self.resolver, &row).await {
                    Ok(_) | Err(LookError::Store(StoreError::NotFound(_))) => {}
                    Err(LookError::Store(error)) => return Err(error),
                    Err(LookError::Dns(error)) => {
                        tracing::debug!(
                            dns.name = row.domain,
                            error.kind = "dns",
                            temporary = true,
                            "The record of a signing key cannot be looked for now: {error}"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}
