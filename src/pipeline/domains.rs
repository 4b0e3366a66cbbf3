//! Proofs of domains, looked for again and again: a domain whose record is gone is told of, and goes on to count.
//!
//! Only what DNS says counts as a look: trouble of the DNS changes nothing. Of several nodes one looks at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::clock::Timestamp;
use crate::dns::Resolver;
use crate::service::domains::look::{look, look_for_host, settle};
use crate::store::domains::{DomainRow, DomainState};
use crate::store::{Store, StoreError};

/// How often a proven domain's record is looked for.
const RECHECK: Duration = Duration::from_secs(6 * 3_600);

/// The task that looks again.
#[derive(Debug, Clone)]
pub struct Domains {
    store: Store,
    resolver: Resolver,
    /// Names of this gateway, the one for MX first.
    hosts: Arc<[String]>,
    every: Duration,
}

impl Domains {
    /// Looks every so often for domains that are due.
    #[must_use]
    pub const fn new(store: Store, resolver: Resolver, hosts: Arc<[String]>, every: Duration) -> Self {
        Self { store, resolver, hosts, every }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        rounds::run(self.every, &stop, "Domains cannot be looked after now", || self.round()).await;
    }

    /// One round, where no other node has taken it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self) -> Result<(), StoreError> {
        if !rounds::take(&self.store, "domain_watch", self.every).await? {
            return Ok(());
        }
        let now = self.store.clock().now();
        for tenant in self.store.tenants().await? {
            for row in self.store.for_tenant(tenant.id).domains().await?.iter().filter(|row| is_due(row, now)) {
                // Its host first: of a domain that is given up meanwhile nothing is noted.
                look_for_host(&self.store.for_tenant(tenant.id), &self.resolver, &self.hosts, &row.domain).await?;
                match look(&self.resolver, row).await {
                    Ok(is_proven) => match settle(&self.store, row, is_proven).await {
                        // It was given up meanwhile.
                        Ok(_) | Err(StoreError::NotFound(_)) => {}
                        Err(error) => return Err(error),
                    },
                    Err(error) => {
                        tracing::debug!(
                            dns.name = row.domain,
                            error.kind = "dns",
                            temporary = true,
                            "The proof of a domain cannot be looked for now: {error}"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a domain that was proven by a record is to be looked at again.
fn is_due(row: &DomainRow, now: Timestamp) -> bool {
    let is_proven = matches!(row.state, DomainState::Verified | DomainState::Failing) && !row.proof.is_empty();
    is_proven && row.checked_at.is_none_or(|checked| now.since(checked) >= RECHECK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::dns::ResolverSettings;
    use crate::dns::zone::{Trouble, Zone};
    use crate::governance::audit::Who;
    use crate::mail::address::Domain;
    use crate::store::tests::engine::{Engine, Place, on_both_engines};

    on_both_engines! {
        a_proof_that_is_gone_makes_a_domain_failing_after_three_looks_and_never_drops_it,
    }

    async fn a_proof_that_is_gone_makes_a_domain_failing_after_three_looks_and_never_drops_it(engine: Engine) {
        let zone = Zone::start().unwrap();
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = Place::new(engine).await.open(clock.clone()).await;
        let tenant = store.for_tenant(store.add_tenant("harbor").await.unwrap());
        let domain = Domain::parse("lake.example").unwrap();
        tenant.claim_domain(&domain, "proof".into(), Who::Operator).await.unwrap();
        let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 2 };
        let watch =
            Domains::new(store.clone(), Resolver::new(&settings).unwrap(), Arc::default(), Duration::from_secs(1));
        let row = async || tenant.domains().await.unwrap().remove(0);
        let round = async |hours: u64| {
            clock.advance(Duration::from_secs(hours * 3_600));
            watch.round().await.unwrap();
            let row = row().await;
            (row.state, row.misses)
        };
        assert_eq!(round(7).await, (DomainState::Pending, 0), "what was never proven is not looked at");
        tenant.prove_domain("lake.example").await.unwrap();
        assert_eq!(round(5).await, (DomainState::Verified, 0), "not due");
        assert_eq!(round(1).await, (DomainState::Verified, 1));
        zone.trouble_everywhere(Some(Trouble::Fails));
        assert_eq!(round(6).await, (DomainState::Verified, 1), "trouble of the DNS is no look");
        zone.trouble_everywhere(None);
        assert_eq!(round(6).await, (DomainState::Verified, 2));
        assert_eq!(round(6).await, (DomainState::Failing, 3));
        for _ in 0..5 {
            assert_eq!(round(6).await.0, DomainState::Failing);
        }
        assert_eq!(tenant.verified_domains().await.unwrap(), ["lake.example"], "it counts all the same");
        zone.txt("_connex.lake.example", "proof");
        assert_eq!(round(6).await, (DomainState::Verified, 0));
        tenant.suspend_domain("lake.example").await.unwrap();
        zone.trouble_everywhere(None);
        let asked = zone.asked();
        assert_eq!(round(60).await, (DomainState::Suspended, 0));
        assert_eq!(zone.asked(), asked, "what is suspended is not looked at");
    }
}
