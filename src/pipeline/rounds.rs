//! Tasks that look after everything every so often, one node for all.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::store::limits::BlockRequest;
use crate::store::{Store, StoreError};

/// Runs `round` every so often until `stop`; of one that fails the log says so, `trouble` first.
pub(super) async fn run<F: Future<Output = Result<(), StoreError>>>(
    every: Duration,
    stop: &CancellationToken,
    trouble: &'static str,
    round: impl Fn() -> F,
) {
    loop {
        if let Err(error) = round().await {
            tracing::warn!(error.kind = "store", temporary = error.is_temporary(), "{trouble}: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes a round of a task that one node does for all: whether it is this one's.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn take(store: &Store, task: &'static str, every: Duration) -> Result<bool, StoreError> {
    let length = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    let now = store.clock().now().as_micros();
    let ends_at = now.div_euclid(length).saturating_add(1).saturating_mul(length);
    let ends_at = Timestamp::from_micros(ends_at);
    let request = BlockRequest { policy: task, subject: "installation".to_owned(), ends_at, quota: 1, wanted: 1 };
    Ok(store.take_block(request).await?.granted > 0)
}
