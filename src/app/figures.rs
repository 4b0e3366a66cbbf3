//! What is not counted as it happens: gauges, the age of mail that waits, and the service manager's line about it all.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::notify;
use super::readiness::Readiness;
use crate::http::operations::Reason;
use crate::store::Store;
use crate::telemetry::{Metrics, metric};

/// How often all is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Looks again and again, until `stop`.
pub(super) async fn keep(store: Store, readiness: Readiness, metrics: Metrics, stop: CancellationToken) {
    let mut said = None;
    loop {
        let status = readiness.spool.status();
        set(metric::SPOOL_FREE, status.free_bytes);
        set(metric::SPOOL_BYTES, status.bytes);
        set(metric::SPOOL_FLUSHES, status.flushes);
        set(metric::SPOOL_FAILURES, status.failures);
        set(metric::SPOOL_FINDINGS, status.findings);
        // While the database does not answer, these stand still; readiness says why.
        let backlog = store.delivery_backlog().await;
        if let Ok((waiting, _)) = backlog {
            set(metric::WEBHOOK_PENDING, u64::try_from(waiting).unwrap_or(0));
        }
        if let Err(error) = readiness.waiting.look(&readiness.spool, &store).await {
            tracing::debug!(error.kind = "ingest", temporary = true, "It is not known what mail waits: {error}");
        }
        let now = readiness.clock.now();
        set(metric::INGEST_LAG, readiness.waiting.oldest().map_or(0, |oldest| now.since(oldest).as_secs()));
        metrics.upkeep();
        let line = line(&readiness.reasons(), backlog.is_ok());
        if said.as_ref() != Some(&line) {
            notify::status(&line);
            said = Some(line);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn set(name: &'static str, value: u64) {
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point; so large a value is near enough")]
    metrics::gauge!(name).set(value as f64);
}

/// One line of what is wrong.
fn line(reasons: &[Reason], has_database: bool) -> String {
    let mut words: Vec<String> =
        reasons.iter().map(|reason| format!("{} {}", reason.component, reason.reason)).collect();
    if !has_database {
        words.insert(0, "database unreachable".to_owned());
    }
    words.dedup();
    if words.is_empty() { "Taking mail".to_owned() } else { format!("See /readyz: {}", words.join(", ")) }
}
