//! Rate limits over all nodes: where allowance comes from. How requests are counted against it is the surface's business.

use super::{Service, ServiceError};
pub use crate::store::limits::{Block, BlockRequest};

impl Service {
    /// Whether other nodes may count against the same limits.
    #[must_use]
    pub const fn shares_limits(&self) -> bool {
        self.store.is_shared()
    }

    /// Takes a block of a window's quota for this node.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn take_block(&self, request: BlockRequest) -> Result<Block, ServiceError> {
        Ok(self.store.take_block(request).await?)
    }
}
