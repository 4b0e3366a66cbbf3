//! How many transactions each tenant has open, so that the flood of one leaves the others their mail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::TenantId;

/// The open transactions by tenant; no more tenants are held than sessions are open. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Tenants {
    open: Arc<Mutex<HashMap<TenantId, u32>>>,
    most: u32,
}

/// A transaction that counts for its tenant until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Seat {
    open: Arc<Mutex<HashMap<TenantId, u32>>>,
    tenant: TenantId,
}

impl Tenants {
    /// None yet; at most `most` of one tenant.
    pub(super) fn new(most: u32) -> Self {
        Self { open: Arc::default(), most }
    }

    /// Counts one more transaction of `tenant`, unless that is one too many.
    pub(super) fn enter(&self, tenant: TenantId) -> Option<Seat> {
        let mut open = lock(&self.open);
        let count = open.entry(tenant).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { open: Arc::clone(&self.open), tenant })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        let left = open.get_mut(&self.tenant).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            open.remove(&self.tenant);
        }
    }
}

/// Nothing is done under the lock that can panic.
fn lock(open: &Mutex<HashMap<TenantId, u32>>) -> MutexGuard<'_, HashMap<TenantId, u32>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_tenant_has_its_number_and_the_others_theirs_and_all_are_forgotten() {
        let (one, other): (TenantId, TenantId) = (Clock::System.mint(), Clock::System.mint());
        let tenants = Tenants::new(2);
        let first = tenants.enter(one).unwrap();
        let second = tenants.enter(one).unwrap();
        assert!(tenants.enter(one).is_none());
        let third = tenants.enter(other).unwrap();
        drop(first);
        let fourth = tenants.enter(one).unwrap();
        assert!(tenants.enter(one).is_none());
        drop((second, third, fourth));
        assert!(lock(&tenants.open).is_empty());
    }
}
