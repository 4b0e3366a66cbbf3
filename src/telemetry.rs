//! Logs and metrics: how they look, and the one list of names that they use.
//!
//! Every line carries ids, never bodies, subjects, local-parts, keys, tokens or signed payloads; a panic is logged by
//! its place, because its text may quote a message. Metrics have no listener of their own: the HTTP surface renders
//! [`Metrics`]. Names of fields and metrics live here so that the same thing has the same name everywhere.

pub mod field;
pub mod metric;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;

use crate::config::{Log, LogFormat};

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level names no level, or a directive is malformed.
    #[error("`{0}` is neither a log level nor a list of directives")]
    Level(String),
    /// Logs were set up before in this process.
    #[error("logs are set up already")]
    Logs,
    /// Metrics were set up before in this process.
    #[error("metrics are set up already")]
    Metrics,
    /// The buckets of a histogram are not usable.
    #[error("the buckets of the histograms are not usable")]
    Buckets,
}

/// The running log set-up; its level can be changed.
#[derive(Clone)]
pub struct Logs {
    level: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Begins to log to standard error, and logs panics by their place alone.
    ///
    /// # Errors
    /// When the level is malformed, or logs are set up already.
    pub fn init(log: &Log) -> Result<Self, TelemetryError> {
        let (subscriber, logs) = Self::build(log, std::io::stderr)?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Logs)?;
        std::panic::set_hook(Box::new(|panic| {
            // The text of a panic may quote what it choked on.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!({ field::ERROR_KIND } = "panic", "A task panicked at {place}");
        }));
        Ok(logs)
    }

    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// When the level is malformed, or the log set-up is gone.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = EnvFilter::try_new(level).map_err(|_| TelemetryError::Level(level.to_owned()))?;
        self.level.reload(filter).map_err(|_| TelemetryError::Logs)
    }

    fn build<W>(log: &Log, writer: W) -> Result<(impl tracing::Subscriber + Send + Sync + use<W>, Self), TelemetryError>
    where
        W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_new(&log.level).map_err(|_| TelemetryError::Level(log.level.clone()))?;
        let (filter, level) = reload::Layer::new(filter);
        // Colours in a log file are noise, and a terminal shows plain lines as well.
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
        let lines = match log.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        };
        Ok((tracing_subscriber::registry().with(filter).with(lines), Self { level }))
    }
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Begins to collect what `metrics::counter!`, `gauge!` and `histogram!` report, and describes each name.
    ///
    /// # Errors
    /// When metrics are set up already.
    pub fn init() -> Result<Self, TelemetryError> {
        let recorder = builder()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Metrics)?;
        metric::describe();
        Ok(Self { handle })
    }

    /// Prometheus text exposition format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds new samples into the histograms; call it every few seconds, so that they need no memory when nobody reads.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES))
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), COUNTS))
        .map_err(|_| TelemetryError::Buckets)
}

/// From a flush of an NVMe disk to a webhook's time-out.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 60.0];
const BYTES: &[f64] = &[1_024.0, 10_240.0, 102_400.0, 1_048_576.0, 10_485_760.0, 104_857_600.0, 335_544_320.0];
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

#[cfg(test)]
mod tests;
