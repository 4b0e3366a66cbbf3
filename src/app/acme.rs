//! The certificate of `[acme]`: taken from the folder or made up at the start, ordered when it is time, shown at once.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{AppError, bind_http, resolver, serve_limits};
use crate::acme::storage::{Failure, Storage};
use crate::acme::{AcmeError, Directory, Obtained, placeholder, plan};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::connections::listening::Listeners;
use crate::http::challenge;
use crate::http::serve::Server;
use crate::supervisor::{RestartPolicy, Spawner};
use crate::telemetry::metric;
use crate::tls::{Certificates, OwnCertificate, TlsError};

/// What the certificate is called where several have names; see `tls::Certificates`.
pub(super) const SOURCE: &str = "acme";

/// A directory with its certificate.
pub(super) struct Acme {
    orders: Orders,
    listeners: Vec<(SocketAddr, TcpListener)>,
    server: Server,
}

#[derive(Clone)]
struct Orders {
    directory: Directory,
    hosts: Vec<String>,
    storage: Storage,
    certificates: Arc<Certificates>,
    clock: Clock,
    /// The time of the certificate at the start, where it will do.
    found: Option<(Timestamp, Timestamp)>,
    standing: Arc<Mutex<Standing>>,
}

/// How orders stand, for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether what is shown is vouched for by nobody.
    pub(super) is_placeholder: bool,
    /// What has failed since the last order that worked.
    pub(super) failure: Option<Failure>,
}

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error(transparent)]
    Acme(#[from] AcmeError),
    #[error("what it issued cannot be used: {0}")]
    Unusable(#[from] TlsError),
    #[error("what it issued is not for {0}")]
    OtherHosts(String),
    #[error("the certificate cannot be stored: {0}")]
    Storage(#[from] Error),
}

impl Acme {
    /// Shows the certificate of before, or a placeholder, and listens for questions; `None` without `[acme]`.
    ///
    /// # Errors
    /// The folder or an address cannot be used.
    pub(super) async fn open(
        config: &Config,
        certificates: &Arc<Certificates>,
        clock: &Clock,
    ) -> Result<Option<Self>, AppError> {
        let Some(own) = &config.acme else { return Ok(None) };
        let storage = Storage::new(config.server.data_dir.join("acme"));
        let hosts: Vec<String> = own.domains.iter().map(ToString::to_string).collect();
        let directory = Directory::new(&own.directory, own.ca_file.as_deref(), &resolver(config)?, storage.clone())?;
        let directory = directory.ordering(hosts.clone(), own.contact.clone());
        let certificates = Arc::clone(certificates);
        let mut orders = Orders {
            directory,
            hosts,
            storage,
            certificates,
            clock: clock.clone(),
            found: None,
            standing: Arc::default(),
        };
        orders.found = orders.show_stored(own.directory.clone()).await?;
        let listeners = bind_http("acme.http_listen", &own.http_listen).await?;
        let answers = orders.directory.answers().clone();
        let find: challenge::Find = Arc::new(move |token| answers.find(token));
        let server = Server::new("acme", challenge::router(find), serve_limits(config));
        Ok(Some(Self { orders, listeners, server }))
    }

    /// How orders stand.
    pub(super) fn standing(&self) -> Arc<Mutex<Standing>> {
        Arc::clone(&self.orders.standing)
    }

    /// Where questions are answered.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// Answers questions, and orders when it is time; at once when `reload` says so and it is time.
    pub(super) fn start(self, serve: &Spawner, work: &Spawner, reload: &watch::Receiver<()>, listeners: &Listeners) {
        let server = self.server.among(listeners);
        for (_, listener) in self.listeners {
            serve.spawn_once("acme", server.clone().run(listener, serve.stopping()));
        }
        let (orders, reload) = (self.orders, reload.clone());
        work.spawn("orders", RestartPolicy::Restart, move |stop| orders.clone().run(reload.clone(), stop));
    }
}

impl Orders {
    /// Shows what is stored, or what nobody vouches for; the time of what will do until it is renewed.
    async fn show_stored(&self, url: String) -> Result<Option<(Timestamp, Timestamp)>, AppError> {
        let storage = self.storage.clone();
        let reading = tokio::task::spawn_blocking(move || Ok((storage.certificate()?, storage.is_of(&url))));
        let read: Result<_, Error> = reading.await.map_err(|_| AppError::Interrupted)?;
        let fail = |source| AppError::File { path: self.storage.certificate_file(), source };
        let (stored, is_of_directory) = read.map_err(fail)?;
        let now = self.clock.now();
        let stored = stored.and_then(|pem| match OwnCertificate::from_pem(&pem, &pem) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::warn!(error.kind = "certificate", "The stored certificate is ordered anew: {error}");
                None
            }
        });
        let Some(certificate) = stored else {
            let Obtained { chain, key } = placeholder(&self.hosts, now)?;
            self.certificates.put(SOURCE, OwnCertificate::from_pem(chain.as_bytes(), key.as_bytes())?);
            self.standing().is_placeholder = true;
            return Ok(None);
        };
        let will_do = is_of_directory && self.other_host(&certificate).is_none();
        let time = (certificate.begins(), certificate.ends());
        self.certificates.put(SOURCE, certificate);
        // What failed before is no fault any more where the certificate will do.
        if will_do && !plan::next(Some(time), None, now).is_zero() {
            let storage = self.storage.clone();
            let _ = tokio::task::spawn_blocking(move || storage.forget_failure()).await;
        }
        Ok(will_do.then_some(time))
    }

    /// A host that the certificate is not for.
    fn other_host(&self, certificate: &OwnCertificate) -> Option<&str> {
        self.hosts.iter().map(String::as_str).find(|host| !certificate.is_for(host))
    }

    async fn run(self, mut reload: watch::Receiver<()>, stop: CancellationToken) {
        let mut current = self.found;
        let mut failed: Option<(u32, Timestamp)> = None;
        loop {
            let wait = plan::next(current, failed, self.clock.now());
            if !wait.is_zero() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    // Not in one piece: the clock may be set, or stand still while the machine sleeps.
                    () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
                    Ok(()) = reload.changed() => failed = None,
                }
                continue;
            }
            let Some(result) = stop.run_until_cancelled(self.order()).await else { return };
            let now = self.clock.now();
            match &result {
                Ok(time) => {
                    (current, failed) = (Some(*time), None);
                    *self.standing() = Standing::default();
                    let storage = self.storage.clone();
                    let _ = tokio::task::spawn_blocking(move || storage.forget_failure()).await;
                    tracing::info!("The certificate of {} is new, and shown from now on", self.hosts.join(", "));
                }
                Err(error) => {
                    let failures = failed.map_or(1, |(failures, _)| failures.saturating_add(1));
                    failed = Some((failures, now));
                    self.note(failures, now, error).await;
                    let minutes = plan::next(current, failed, now).as_secs() / 60;
                    tracing::error!(
                        error.kind = "acme",
                        temporary = true,
                        "No certificate was issued, and the one before is still shown; trying again in {minutes} \
                         minutes, or at SIGHUP: {error}"
                    );
                }
            }
            let outcome = if result.is_ok() { "ok" } else { "failed" };
            metrics::counter!(metric::ACME_ORDERS, "outcome" => outcome).increment(1);
        }
    }

    /// Keeps a failure for the operator: in memory, and in the folder for `connex doctor`.
    async fn note(&self, attempts: u32, at: Timestamp, error: &OrderError) {
        let since = self.standing().failure.as_ref().map_or(at, |failure| failure.since);
        let failure = Failure { since, at, attempts, error: error.to_string() };
        let (storage, kept) = (self.storage.clone(), failure.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || storage.keep_failure(&kept)).await {
            tracing::warn!(error.kind = "acme", "The failure cannot be kept for `connex doctor`: {error}");
        }
        self.standing().failure = Some(failure);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders a certificate, keeps it, and shows it; its time.
    async fn order(&self) -> Result<(Timestamp, Timestamp), OrderError> {
        let Obtained { chain, key } = self.directory.obtain().await?;
        let certificate = OwnCertificate::from_pem(chain.as_bytes(), key.as_bytes())?;
        if let Some(host) = self.other_host(&certificate) {
            return Err(OrderError::OtherHosts(host.to_owned()));
        }
        let storage = self.storage.clone();
        let keeping = tokio::task::spawn_blocking(move || storage.keep_certificate(&chain, &key));
        keeping.await.map_err(|_| Error::from(ErrorKind::Interrupted))??;
        let time = (certificate.begins(), certificate.ends());
        self.certificates.put(SOURCE, certificate);
        Ok(time)
    }
}

const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);
