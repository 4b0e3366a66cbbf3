//! Rate limits that several nodes share: each takes blocks of a window's quota for itself.
//!
//! One row for each window that somebody was counted in; [`Store::take_block`] is one statement, so that however many nodes
//! take at the same moment, they never take more than the quota. What a node took and did not use is lost to the others,
//! which is why blocks get smaller towards the end. Nothing is ever given back: a window that was seen empty stays so.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::sql::{Connection, query};
use super::{Store, StoreError, Writes, in_transaction};
use crate::clock::Timestamp;

/// What a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRequest {
    /// The limit's name.
    pub policy: &'static str,
    /// Who is counted.
    pub subject: String,
    /// When the window ends; it stands for the window.
    pub ends_at: Timestamp,
    /// Requests of the whole window.
    pub quota: u32,
    /// Requests that the node would like to have; it gets fewer where few are left.
    pub wanted: u32,
}

/// What it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Requests that the node may let in; 0: none is left.
    pub granted: u32,
    /// Requests that nobody has taken yet.
    pub left: u32,
}

impl Store {
    /// Whether other nodes may work on the same database.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.writes, Writes::Postgres { .. })
    }

    /// Takes a block of a window's quota; now and then also deletes windows that are long over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Closed`]. Whether a block was taken is not known then.
    pub async fn take_block(&self, request: BlockRequest) -> Result<Block, StoreError> {
        let block =
            self.count_with(move |connection| Box::pin(async move { take(connection, &request).await })).await?;
        // Each block makes one row at most, so that this keeps up with any flood.
        if self.blocks_taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(TAKEN_PER_SWEEP) {
            let oldest = Timestamp::from_micros(self.clock.now().as_micros().saturating_sub(KEPT_MICROS));
            // In a transaction of its own: two nodes that delete the same rows must not cost anybody a block.
            let swept = self.count_with(move |connection| Box::pin(forget(connection, oldest))).await;
            if let Err(error) = swept {
                tracing::debug!(error.kind = "store", temporary = true, "Old rate windows stay for now: {error}");
            }
        }
        Ok(block)
    }

    /// As [`Store::write`], on connections of its own: a flood of requests keeps nothing waiting but requests.
    async fn count_with<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        match &self.writes {
            Writes::Sqlite(writer) => writer.run(work).await,
            Writes::Postgres { limits: pool, .. } => in_transaction(pool, work).await,
        }
    }
}

async fn take(connection: &mut Connection, request: &BlockRequest) -> Result<Block, StoreError> {
    // All that was wanted while four times as much is left, then a quarter of the rest, and at the end one by one.
    // `$4` wanted, `$5` quota.
    const TAKE: &str = "\
INSERT INTO rate_windows (policy, subject, ends_at, taken, granted) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (policy, subject, ends_at) DO UPDATE SET
    taken = rate_windows.taken + CASE WHEN ($5 - rate_windows.taken) / 4 >= excluded.granted THEN excluded.granted
        ELSE ($5 - rate_windows.taken + 3) / 4 END,
    granted = CASE WHEN ($5 - rate_windows.taken) / 4 >= excluded.granted THEN excluded.granted
        ELSE ($5 - rate_windows.taken + 3) / 4 END
WHERE rate_windows.taken < $5
RETURNING taken, granted";
    if request.quota == 0 {
        return Ok(Block { granted: 0, left: 0 });
    }
    let quota = i64::from(request.quota);
    let take = query(TAKE)
        .bind(request.policy)
        .bind(&request.subject)
        .bind(request.ends_at.as_micros())
        .bind(i64::from(request.wanted).clamp(1, quota))
        .bind(quota);
    let Some(row) = take.fetch_optional(connection).await? else { return Ok(Block { granted: 0, left: 0 }) };
    let (taken, granted): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let count = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    Ok(Block { granted: count(granted), left: count(quota.saturating_sub(taken)) })
}

async fn forget(connection: &mut Connection, oldest: Timestamp) -> Result<u64, StoreError> {
    const FORGET: &str = "\
DELETE FROM rate_windows WHERE (policy, subject, ends_at) IN (
    SELECT policy, subject, ends_at FROM rate_windows WHERE ends_at < $1 ORDER BY ends_at LIMIT 1000
)";
    Ok(query(FORGET).bind(oldest.as_micros()).execute(connection).await?)
}

/// How long a window is kept after its end: the clocks of nodes differ.
const KEPT_MICROS: i64 = 3_600 * 1_000_000;
/// Deleting 1,000 rows now and then is little work for the request that it falls to.
const TAKEN_PER_SWEEP: u32 = 64;
