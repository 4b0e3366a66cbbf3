//! Certificates of the doors: read at the start, kept current, and what they tell the operator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::clock::Clock;
use crate::config::Config;
use crate::supervisor::{RestartPolicy, Spawner};
use crate::telemetry::metric;
use crate::tls::files::{Look, Reading, Watch};
use crate::tls::{Certificates, ServerTls};

/// What every door with TLS shares.
pub(super) struct DoorTls {
    /// Of the mail doors; `None` where there is no certificate.
    pub(super) mail: Option<Arc<ServerTls>>,
    /// Of the API.
    pub(super) http: Option<Arc<ServerTls>>,
    /// Those that are current.
    pub(super) certificates: Arc<Certificates>,
    files: CertificateFiles,
}

/// The files of certificates; clones share what is known of them.
#[derive(Debug, Clone)]
pub(super) struct CertificateFiles(Arc<Mutex<Watch>>);

impl CertificateFiles {
    /// Reads those that changed, or all, and tells what came of it.
    pub(super) async fn read(&self, look: Look) {
        let files = Arc::clone(&self.0);
        let looking =
            tokio::task::spawn_blocking(move || files.lock().unwrap_or_else(PoisonError::into_inner).look(look));
        looking.await.unwrap_or_default().iter().for_each(tell);
    }
}

impl DoorTls {
    /// Reads what `[tls]` names.
    ///
    /// # Errors
    /// A file that cannot be used: the gateway does not start with less than it was told to show.
    pub(super) async fn open(config: &Config) -> Result<Self, AppError> {
        let certificates = Arc::new(Certificates::default());
        let (own, tls) = (Arc::clone(&certificates), config.tls.clone());
        let opening = tokio::task::spawn_blocking(move || Watch::open(own, tls.own, tls.client_ca_file));
        let files = opening.await.map_err(|_| AppError::Interrupted)??;
        let (mut mail, mut http) = (None, None);
        if config.has_tls() {
            let clients = config.tls.client_certificates;
            mail = Some(Arc::new(ServerTls::for_mail(Arc::clone(&certificates), clients)?));
            http = Some(Arc::new(ServerTls::for_http(Arc::clone(&certificates))?));
        }
        Ok(Self { mail, http, certificates, files: CertificateFiles(Arc::new(Mutex::new(files))) })
    }

    /// Keeps them current: reads files that change.
    pub(super) fn keep(&self, spawner: &Spawner, clock: &Clock) {
        let parts = (self.files.clone(), Arc::clone(&self.certificates), clock.clone());
        spawner.spawn("certificates", RestartPolicy::Restart, move |stop| {
            let (files, certificates, clock) = parts.clone();
            keep(files, certificates, clock, stop)
        });
    }

    /// Their files, to be read all at once.
    pub(super) fn files(&self) -> CertificateFiles {
        self.files.clone()
    }
}

async fn keep(files: CertificateFiles, certificates: Arc<Certificates>, clock: Clock, stop: CancellationToken) {
    loop {
        show_ends(&certificates, &clock);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        files.read(Look::Changed).await;
    }
}

fn tell(reading: &Reading) {
    let outcome = match &reading.result {
        Ok(()) => {
            tracing::info!("Read {} again; handshakes from now on use it", reading.file.display());
            "ok"
        }
        Err(error) => {
            tracing::error!(error.kind = "certificate", "What was in use before stays in use: {error}");
            "failed"
        }
    };
    metrics::counter!(metric::TLS_RELOADS, "outcome" => outcome).increment(1);
}

fn show_ends(certificates: &Certificates, clock: &Clock) {
    let now = clock.now().as_seconds();
    for (source, certificate) in certificates.all() {
        let left = certificate.ends().as_seconds().saturating_sub(now);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point; so many seconds are near enough")]
        metrics::gauge!(metric::TLS_CERTIFICATE_EXPIRES, "source" => source.to_string()).set(left as f64);
    }
}

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(5);
