//! The composition root: from a checked configuration to a running gateway.
//!
//! It alone names everything. Each part gets its own section and handles; shutdown goes phase by phase.

mod acme;
mod apart;
mod authentication;
pub mod backup;
mod certificates;
mod desks;
mod doors;
mod figures;
pub mod instance;
pub mod notify;
mod readiness;
mod reading;
mod sending;
mod unknown_log;
mod watchdog;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::acme::AcmeError;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::connections::listening::Listeners;
use crate::decide::{DataError, Engine};
use crate::dns::{DnsError, Resolver, ResolverSettings};
use crate::http::serve::{ServeLimits, Server};
use crate::http::{self, HttpError};
use crate::intake::Acceptor;
use crate::pipeline::deliver::{Deliver, DeliverLimits};
use crate::pipeline::domains::Domains;
use crate::pipeline::erasure::Erase;
use crate::pipeline::ingest::waiting::Waiting;
use crate::pipeline::retention::Retain;
use crate::pipeline::watch::Watch;
use crate::seal::body::DataKeyId;
use crate::service::Service;
use crate::service::accounts::Accounts;
use crate::service::intake::MailDoor;
use crate::service::links::LinkKey;
use crate::service::messages::Bodies;
use crate::spool::log::{Files, Log, Position, Reserve, SpoolOptions};
use crate::spool::rows::Rows;
use crate::spool::{BodyRef, Spool, SpoolError};
use crate::store::StoreError;
use crate::supervisor::{Deadlines, Phase, RestartPolicy, Spawner, Supervisor, TaskFailed};
use crate::telemetry::Metrics;
use crate::tls::TlsError;
use crate::tls::files::{FileError, Look};
use crate::ui::{self, Ui};
use crate::webhook::deliver::{ClientError, ClientSettings, WebhookClient};
use crate::webhook::endpoint::AllowList;

use acme::Acme;
use certificates::{CertificateFiles, DoorTls};
pub use desks::{domain_desk, route_desk};
pub use doors::LocalDoors;
pub use instance::rotation::RotationError;
pub use instance::{Instance, open_store};
use readiness::Readiness;

/// Why the gateway does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or folder cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The instance key's file holds no key.
    #[error("{} holds no key: it must be the file that the first start made; without it no stored secret can be opened", .0.display())]
    Key(PathBuf),
    /// The instance key's file is gone, and the database was made with it.
    #[error("{} is missing, and secrets in the database are sealed with the key in it: put this file back from its backup, or set keys.instance_secret if it was set before", .0.display())]
    KeyMissing(PathBuf),
    /// The instance key is another than the one that the database was made with.
    #[error(
        "{0} is not the key that the secrets in the database are sealed with: put the key back that this database was made with. If the right key is in place, and the database was made anew with a wrong one in place of one that was lost, remove that new database"
    )]
    KeyDiffers(String),
    /// The instance key was changed, and this one does not open what the new one does.
    #[error(
        "{key} does not open the keyring of this installation, which opens with the key {opens}. After a change of the instance key, put the new one in place here; beside a database from before the change, the old one, which is in the backup of that time"
    )]
    KeyGivenUp {
        /// Where the key is.
        key: String,
        /// What tells the keys that open it.
        opens: String,
    },
    /// The keyring cannot be read.
    #[error("the keyring in {place} cannot be read: {detail}")]
    Keyring {
        /// File or database.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// The instance key was not changed.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// Bodies in the log are sealed with another instance key.
    #[error("the mail in {} is sealed with the data key {key}, which this instance key does not open: it is whole, and opens with the instance key that it was stored with. Put that one back, and the file `keyring` that was beside it, if there was one. If a new database was made in place of one that was lost, remove that too, or the right key will not fit it", spool.display())]
    BodyKey {
        /// Folder of the log.
        spool: PathBuf,
        /// The data key of the newest message.
        key: DataKeyId,
    },
    /// The log holds mail of tenants that the database does not know.
    #[error("the spool in {} holds mail, and the database {database} knows nothing of it, nor of the tenants whose mail it is: the database was lost or replaced. Restore it from a backup; if there is none, set spool.adopt = true for one start (that mail is then kept as poisoned), or move the spool away", spool.display())]
    UnknownLog {
        /// Folder of the log.
        spool: PathBuf,
        /// The database.
        database: String,
    },
    /// Mail cannot leave.
    #[error("mail cannot be sent from here: {0}")]
    Sending(String),
    /// The spool cannot be used.
    #[error("the spool cannot be used: {0}")]
    Spool(#[from] SpoolError),
    /// An address cannot be listened on.
    #[error("{key} {address} cannot be listened on: {source}")]
    Listen {
        /// The key in the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The ACME client cannot be set up.
    #[error("certificates cannot be ordered: {0}")]
    Acme(#[from] AcmeError),
    /// A certificate, or a list of authorities, cannot be used.
    #[error("a certificate cannot be used: {0}")]
    Certificate(#[from] FileError),
    /// The resolver cannot be made.
    #[error("the resolver cannot be made: {0}")]
    Dns(#[from] DnsError),
    /// The webhook client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The compiled-in data files contradict themselves.
    #[error("the decision engine's data cannot be used: {0}")]
    Engine(#[from] DataError),
    /// The HTTP surface contradicts itself.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A task failed again and again.
    #[error(transparent)]
    Task(#[from] TaskFailed),
    /// A background step was interrupted.
    #[error("start was interrupted")]
    Interrupted,
}

/// A running gateway.
#[derive(Debug)]
pub struct App {
    supervisor: Supervisor,
    grace: Duration,
    spool: Spool,
    certificates: CertificateFiles,
    reload: watch::Sender<()>,
    /// What it stands on.
    pub instance: Instance,
    /// Where it listens.
    pub addresses: Addresses,
}

/// Where a running gateway listens.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Addresses {
    /// SMTP.
    pub smtp: Vec<SocketAddr>,
    /// SMTP with TLS from the first byte.
    pub smtps: Vec<SocketAddr>,
    /// Submission with STARTTLS.
    pub submission: Vec<SocketAddr>,
    /// Submission with TLS from the first byte.
    pub submissions: Vec<SocketAddr>,
    /// LMTP.
    pub lmtp: Vec<SocketAddr>,
    /// Milter.
    pub milter: Vec<SocketAddr>,
    /// HTTP API.
    pub http: Vec<SocketAddr>,
    /// HTTP API with TLS.
    pub https: Vec<SocketAddr>,
    /// Health and metrics.
    pub admin: Vec<SocketAddr>,
    /// Answers to an ACME authority.
    pub acme: Vec<SocketAddr>,
}

impl App {
    /// Starts everything; returns when every address is listened on.
    ///
    /// # Errors
    /// Says what cannot be used; nothing is left running.
    pub async fn start(instance: Instance, metrics: Metrics) -> Result<Self, AppError> {
        let config = Arc::clone(&instance.config);
        doors::raise_file_limit(&config);
        let resolver = resolver(&config)?;
        let spool = open_spool(&instance).await?;
        let engine = Arc::new(Engine::new()?);
        let recipients = Arc::new(doors::recipients(&instance, resolver.clone()));
        recipients.ensure_operator().await?;
        instance.store.keep_public_url(config.server.public_url.clone()).await?;
        let allow = config.webhooks.allow.clone();
        let client = webhook_client(&config, &resolver, &allow, &instance.clock)?;
        let tls = DoorTls::open(&config).await?;
        let acceptor = Acceptor::new(spool.clone(), instance.clock.clone());
        let acme = Acme::open(&config, &tls.certificates, &instance.clock).await?;
        let acceptor = reading::judged(acceptor, &config, &recipients)?;
        let pool = doors::pool(&config);
        let mut doors = doors::bind_smtp(&config, &recipients, &acceptor, &pool, tls.mail.as_ref())?;
        doors.extend(doors::bind_lmtp(&config, &recipients, &acceptor, &pool)?);
        let files = doors::bind_files(&config, &recipients, &acceptor, &pool)?;
        let milters = doors::bind_milter(&config, &recipients, &acceptor)?;

        let http = bind_http("http.listen", &config.http.listen).await?;
        let https = bind_http("http.listen_tls", &config.http.listen_tls).await?;
        let admin = bind_http("http.admin_listen", &config.http.admin_listen).await?;

        let supervisor = Supervisor::new();
        let mut addresses = Addresses {
            http: http.iter().map(|(address, _)| *address).collect(),
            https: https.iter().map(|(address, _)| *address).collect(),
            admin: admin.iter().map(|(address, _)| *address).collect(),
            ..Addresses::default()
        };
        let serve = supervisor.spawner(Phase::Serve);
        let mail = doors::mail_door(&config, &recipients, &acceptor);
        let accounts = desks::accounts(&config, &resolver, &instance.clock)?;
        let service = service(&instance, &spool, &engine, (mail, accounts), &resolver, serve.stopping());
        let submissions =
            doors::bind_submission(&config, &service, (&recipients, &acceptor), &pool, tls.mail.as_ref())?;
        let api = http::router(http::Api::new(service.clone(), http_settings(&config))?);
        let public = ui::beside(api, Ui::new(service.clone(), config.http.request_timeout));
        let public = http::serve::bounded(public, config.http.concurrency);
        let listeners = Listeners::default();
        let public = Server::new("http", public, serve_limits(&config)).among(&listeners);
        for (_, listener) in http {
            serve.spawn_once("http", public.clone().run(listener, serve.stopping()));
        }
        let public = public.with_tls("https", tls.http.clone());
        for (_, listener) in https {
            serve.spawn_once("https", public.clone().run(listener, serve.stopping()));
        }
        let waiting = Waiting::default();
        let readiness = Readiness {
            clock: instance.clock.clone(),
            spool: spool.clone(),
            waiting: waiting.clone(),
            lag_limit: config.pipeline.lag_limit,
            listeners: listeners.clone(),
            certificates: Arc::clone(&tls.certificates),
            acme: acme.as_ref().map(Acme::standing),
            draining: supervisor.stopping(Phase::Accept),
        };
        let operations = http::operations::router(operations(service.clone(), &readiness, metrics.clone()));
        let operations = Server::new("admin", operations, serve_limits(&config)).among(&listeners);
        // To the last: while the doors close, whoever asks is told that they do.
        let close = supervisor.spawner(Phase::Close);
        for (_, listener) in admin {
            close.spawn_once("admin", operations.clone().run(listener, close.stopping()));
        }
        watchdog::start(&close);
        let work = supervisor.spawner(Phase::Work);
        if let (Spool::Log(log), true) = (&spool, config.spool.verify_at_start) {
            work.spawn_once("verify", verify_spool(log.clone()));
        }
        let store = instance.store.clone();
        work.spawn("figures", RestartPolicy::Restart, move |stop| {
            figures::keep(store.clone(), readiness.clone(), metrics.clone(), stop)
        });
        reading::start(&work, &instance, &spool, &engine, &waiting);
        let (keeper, bodies) = (Arc::clone(&instance.keeper), Arc::clone(instance.key.bodies()));
        work.spawn("keyring", RestartPolicy::Restart, move |stop| Arc::clone(&keeper).run(Arc::clone(&bodies), stop));
        tidy(&work, &instance, &spool, &resolver);
        sending::start(&work, &instance, &service, &resolver)?;
        let limits = deliver_limits(&config);
        let deliver = Deliver::new(instance.store.clone(), client, allow, Arc::clone(&instance.key), limits);
        work.spawn("deliver", RestartPolicy::Restart, move |stop| deliver.clone().run(stop));
        doors::serve(doors, submissions, files, milters, &serve, (&listeners, &mut addresses));
        let (reload, reloads) = watch::channel(());
        tls.keep(&work, &instance.clock);
        if let Some(acme) = acme {
            addresses.acme = acme.addresses();
            acme.start(&serve, &work, &reloads, &listeners);
        }
        let certificates = tls.files();
        Ok(Self { supervisor, grace: config.server.shutdown_grace, spool, certificates, reload, instance, addresses })
    }

    /// Reads certificates again at each SIGHUP, which without this ends the process; the service manager hears when that is
    /// done.
    ///
    /// # Errors
    /// The operating system does not let the signal be heard.
    pub fn reload_at_hangup(&self) -> std::io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let (reload, certificates) = (self.reload.clone(), self.certificates.clone());
        let work = self.supervisor.spawner(Phase::Work);
        let stop = work.stopping();
        work.spawn_once("reload", async move {
            while let Some(Some(())) = stop.run_until_cancelled(hangups.recv()).await {
                notify::reloading();
                certificates.read(Look::All).await;
                reload.send_replace(());
                notify::ready();
            }
        });
        Ok(())
    }

    /// The spool, to ask it for its figures.
    #[must_use]
    pub const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Runs until `stop`, then shuts down phase by phase.
    ///
    /// # Errors
    /// [`AppError::Task`] when a task failed again and again.
    pub async fn run_until(self, stop: CancellationToken) -> Result<(), AppError> {
        let deadlines = Deadlines::within(self.grace);
        let ended = self.supervisor.run_until(stop.cancelled(), deadlines).await;
        self.spool.close().await;
        self.instance.store.close().await;
        ended?;
        Ok(())
    }
}

/// Starts the rounds that look after what is there already: routes that fall silent, what is not to be kept, proofs of domains.
fn tidy(work: &Spawner, instance: &Instance, spool: &Spool, resolver: &Resolver) {
    let (store, every) = (&instance.store, instance.config.routes.watch_interval);
    let watch = Watch::new(store.clone(), every);
    work.spawn("watch", RestartPolicy::Restart, move |stop| watch.clone().run(stop));
    let retain = Retain::new(store.clone(), every).keeping_drafts(instance.config.drafts.keep);
    work.spawn("retain", RestartPolicy::Restart, move |stop| retain.clone().run(stop));
    desks::export_heads(work, instance);
    let erase = Erase::new(store.clone(), spool.clone(), instance.config.pipeline.poll);
    work.spawn("erase", RestartPolicy::Restart, move |stop| erase.clone().run(stop));
    let domains = Domains::new(store.clone(), resolver.clone(), domain_desk(&instance.config).hosts, every);
    work.spawn("domains", RestartPolicy::Restart, move |stop| domains.clone().run(stop));
}

async fn bind_http(key: &'static str, addresses: &[SocketAddr]) -> Result<Vec<(SocketAddr, TcpListener)>, AppError> {
    let mut bound = Vec::new();
    for &address in addresses {
        let fail = |source| AppError::Listen { key, address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        bound.push((listener.local_addr().map_err(fail)?, listener));
    }
    Ok(bound)
}

fn service(
    instance: &Instance,
    spool: &Spool,
    engine: &Arc<Engine>,
    (mail, accounts): (MailDoor, Accounts),
    resolver: &Resolver,
    stop: CancellationToken,
) -> Service {
    let spool = spool.clone();
    Service {
        store: instance.store.clone(),
        engine: Arc::clone(engine),
        pepper: instance.pepper(),
        base_url: instance.config.server.public_url.as_str().into(),
        bodies: Bodies::new(
            Arc::new(move |place| {
                let spool = spool.clone();
                Box::pin(async move { Ok(spool.read_body(&serde_json::from_str::<BodyRef>(&place)?).await?) })
            }),
            reading::limits(&instance.config),
            LinkKey::new(instance.key.attachment_links()),
        ),
        mail: Some(mail),
        accounts,
        domains: domain_desk(&instance.config),
        drafts: desks::draft_desk(instance),
        routes: route_desk(instance),
        resolver: resolver.clone(),
        stop,
    }
}

fn operations(service: Service, readiness: &Readiness, metrics: Metrics) -> http::operations::Operations {
    let readiness = readiness.clone();
    http::operations::Operations {
        service,
        render_metrics: Arc::new(move || metrics.render()),
        reasons: Arc::new(move || readiness.reasons()),
    }
}

fn http_settings(config: &Config) -> http::Settings {
    let own = &config.http;
    http::Settings {
        body: http::body::BodyLimits {
            max_size: usize::try_from(own.body_limit).unwrap_or(usize::MAX),
            read_timeout: own.body_timeout,
        },
        call_timeout: own.request_timeout,
        preview_quota: own.rate_limits.preview_per_minute.map(|count| http::limits::Quota::per_minute(count.get())),
        key_quota: own.rate_limits.default_per_minute.map(|count| http::limits::Quota::per_minute(count.get())),
        tenant_quota: own.rate_limits.daily.map(|count| http::limits::Quota::per_day(count.get())),
        ..http::Settings::new(&config.server.public_url)
    }
}

fn serve_limits(config: &Config) -> ServeLimits {
    let own = &config.http;
    ServeLimits {
        connections: own.connections,
        connections_per_address: own.connections_per_address,
        header_timeout: own.header_timeout,
        idle_timeout: own.idle_timeout,
    }
}

async fn open_spool(instance: &Instance) -> Result<Spool, AppError> {
    match &instance.config.database {
        Database::Sqlite { .. } => open_log(instance).await.map(Spool::Log),
        Database::Postgres { .. } => {
            let data = instance.config.server.data_dir.clone();
            Ok(Spool::Rows(Rows::open(instance.store.clone(), data, Arc::clone(instance.key.bodies()))))
        }
    }
}

async fn open_log(instance: &Instance) -> Result<Log, AppError> {
    let mut options = spool_options(&instance.config);
    let dir = options.dir.clone();
    // A log that lost its end must not give new mail places that the index takes for read; nor may one that takes the place
    // of another give it places that the index knows.
    if let Some(cursor) = instance.store.farthest_spool_cursor().await? {
        options.read_to = Position { segment: cursor.segment, offset: cursor.position };
    }
    let (keys, clock, dir_of_keys) = (Arc::clone(instance.key.bodies()), instance.clock.clone(), dir.clone());
    let open = move || -> Result<_, AppError> {
        let (log, report) = Log::open(options, Files::Real, keys, clock)?;
        match log.unknown_key()? {
            None => Ok((log, report)),
            Some(key) => {
                log.close();
                Err(AppError::BodyKey { spool: dir_of_keys, key })
            }
        }
    };
    let (log, report) = tokio::task::spawn_blocking(open).await.map_err(|_| AppError::Interrupted)??;
    tracing::info!(
        segments = report.segments,
        duration_ms = %report.took.as_millis(),
        "Opened the spool: {} segments, {} read through, {} findings",
        report.segments,
        report.scanned_segments,
        report.findings.len(),
    );
    let is_known = instance.store.spool_cursor(&log.name()).await?.is_some();
    if is_known || instance.config.spool.adopt {
        return Ok(log);
    }
    match unknown_log::is_known(&instance.store, &log).await {
        Ok(true) => Ok(log),
        refused => {
            let _ = tokio::task::spawn_blocking(move || log.close()).await;
            refused?;
            Err(AppError::UnknownLog { spool: dir, database: instance.config.database.describe() })
        }
    }
}

/// Reads the whole log with every checksum, behind everything else: what rotted while nobody looked is found at start,
/// and a large log does not delay the first message.
async fn verify_spool(log: Log) {
    match tokio::task::spawn_blocking(move || log.verify()).await {
        Ok(Ok(findings)) => tracing::info!("Read the whole spool: {} findings", findings.len()),
        Ok(Err(error)) => tracing::warn!(error.kind = "spool", "The spool could not be read to its end: {error}"),
        Err(_) => {}
    }
}

/// The spool's options as configured.
#[must_use]
pub fn spool_options(config: &Config) -> SpoolOptions {
    SpoolOptions {
        dir: config.server.data_dir.join("spool"),
        segment_bytes: config.spool.segment_size,
        reserve: Reserve { bytes: config.spool.reserve, percent: config.spool.reserve_percent },
        patience: config.spool.patience,
        ..SpoolOptions::default()
    }
}

fn deliver_limits(config: &Config) -> DeliverLimits {
    DeliverLimits {
        concurrency: config.webhooks.concurrency,
        per_endpoint: config.webhooks.concurrency_per_endpoint,
        lease: config.webhooks.lease,
        poll: config.pipeline.poll,
    }
}

fn webhook_client(
    config: &Config,
    resolver: &Resolver,
    allow: &AllowList,
    clock: &Clock,
) -> Result<WebhookClient, AppError> {
    let settings = ClientSettings {
        connect_timeout: config.webhooks.connect_timeout,
        total_timeout: config.webhooks.timeout,
        ..ClientSettings::default()
    };
    Ok(WebhookClient::new(&settings, resolver, allow, clock.clone())?)
}

/// Asks DNS as this configuration says.
///
/// # Errors
/// [`DnsError`] where no server is known.
pub fn resolver(config: &Config) -> Result<Resolver, DnsError> {
    Resolver::new(&resolver_settings(config))
}

fn resolver_settings(config: &Config) -> ResolverSettings {
    ResolverSettings {
        servers: config.dns.servers.clone(),
        timeout: config.dns.timeout,
        attempts: usize::try_from(config.dns.attempts).unwrap_or(usize::MAX),
    }
}

/// Cancelled at SIGTERM or SIGINT.
#[must_use]
pub fn interrupted() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Here, and not in the task: from now on the signal is heard.
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    #[expect(clippy::disallowed_methods, reason = "it must outlive every supervised task to stop them")]
    tokio::spawn(async move {
        let terminate = async {
            match &mut terminated {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate => {}
        }
        token.cancel();
    });
    stop
}
