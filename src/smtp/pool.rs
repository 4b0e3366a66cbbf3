//! What all listeners of the program have together: a flood at one door must not get a second share at the next.

use crate::smtp::limits::Limits;
use crate::smtp::memory::Memory;
use crate::smtp::tenants::Tenants;

/// The memory for bodies and the tenants' transactions; clones share them.
#[derive(Debug, Clone)]
pub struct Pool {
    pub(super) memory: Memory,
    pub(super) tenants: Tenants,
}

impl Pool {
    /// Nothing is used yet of what `limits` allow.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { memory: Memory::new(limits.body_memory), tenants: Tenants::new(limits.transactions_per_tenant) }
    }
}
