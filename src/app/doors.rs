//! Binds the doors for mail as configured.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Addresses, AppError, Instance};
use crate::config::Config;
use crate::connections::listening::Listeners;
use crate::dns::Resolver;
use crate::intake::{Acceptor, ForwardName, Intake, RecipientQuery};
use crate::mail::address::Mailbox;
use crate::mail::envelope::Door;
use crate::milter;
use crate::pipeline::recipients::{GuessSettings, RecipientSettings, Recipients, StrangerSettings};
use crate::pipeline::submissions::Submissions;
use crate::service::Service;
use crate::service::intake::MailDoor;
use crate::service::intake::deliveries::DeliverySettings;
use crate::smtp::{Limits, Listener, ListenerOptions, Pool};
use crate::supervisor::Spawner;
use crate::tls::ServerTls;

/// A door, where it is, and its listener.
pub(super) type BoundDoor = (Door, SocketAddr, Listener<Recipients>);

/// The same for submission.
pub(super) type BoundSubmission = (Door, SocketAddr, Listener<Submissions>);

/// Whom the addresses of this installation name.
pub(super) fn recipients(instance: &Instance, resolver: Resolver) -> Recipients {
    let config = &instance.config;
    let settings = RecipientSettings {
        platform_domains: config.smtp.platform_domains.clone(),
        strangers: StrangerSettings {
            put_off: config.routes.put_off_strangers,
            kept_per_day: config.routes.untrusted_per_day,
        },
        guesses: GuessSettings {
            failures: config.smtp.limits.auth_failures,
            window: config.smtp.limits.auth_failure_window,
        },
        journal_size: config.routes.message_size,
    };
    Recipients::new(instance.store.clone(), instance.pepper(), settings).resolving(resolver)
}

/// Binds every SMTP listener of the configuration.
///
/// # Errors
/// An address that cannot be bound.
pub(super) fn bind_smtp(
    config: &Config,
    recipients: &Arc<Recipients>,
    acceptor: &Acceptor,
    pool: &Pool,
    tls: Option<&Arc<ServerTls>>,
) -> Result<Vec<BoundDoor>, AppError> {
    let doors =
        [("smtp.listen", Door::Smtp, &config.smtp.listen), ("smtp.listen_tls", Door::Smtps, &config.smtp.listen_tls)];
    let mut bound = Vec::new();
    for (key, door, addresses) in doors {
        for &address in addresses {
            let options = ListenerOptions {
                door,
                hostname: config.server.hostname.clone(),
                limits: smtp_limits(config),
                pool: pool.clone(),
                tls: tls.cloned(),
                proxy_from: config.smtp.proxy_from.clone(),
            };
            let listener = Listener::bind(address, options, Arc::clone(recipients), acceptor.clone());
            let fail = |source| AppError::Listen { key, address, source };
            let listener = listener.map_err(fail)?;
            bound.push((door, listener.local_addr().map_err(fail)?, listener));
        }
    }
    Ok(bound)
}

/// Binds the submission listeners of the configuration.
///
/// # Errors
/// An address that cannot be bound.
pub(super) fn bind_submission(
    config: &Config,
    service: &Service,
    (recipients, acceptor): (&Recipients, &Acceptor),
    pool: &Pool,
    tls: Option<&Arc<ServerTls>>,
) -> Result<Vec<BoundSubmission>, AppError> {
    let own = &config.submission;
    let submissions = Arc::new(Submissions::new(service.clone(), recipients));
    let doors = [
        ("submission.listen", Door::Submission, &own.listen),
        ("submission.listen_tls", Door::Submissions, &own.listen_tls),
    ];
    let mut bound = Vec::new();
    for (key, door, addresses) in doors {
        for &address in addresses {
            let options = ListenerOptions {
                door,
                hostname: config.server.hostname.clone(),
                limits: Limits { message: own.message_size, copy: 0, ..smtp_limits(config) },
                pool: pool.clone(),
                tls: tls.cloned(),
                proxy_from: Vec::new(),
            };
            let fail = |source| AppError::Listen { key, address, source };
            let listener = Listener::bind(address, options, Arc::clone(&submissions), acceptor.clone());
            let listener = listener.map_err(fail)?;
            bound.push((door, listener.local_addr().map_err(fail)?, listener));
        }
    }
    Ok(bound)
}

/// Binds the LMTP listeners of the configuration that have an address.
///
/// # Errors
/// An address that cannot be bound.
pub(super) fn bind_lmtp(
    config: &Config,
    recipients: &Arc<Recipients>,
    acceptor: &Acceptor,
    pool: &Pool,
) -> Result<Vec<BoundDoor>, AppError> {
    let mut bound = Vec::new();
    for &address in &config.lmtp.listen {
        let fail = |source| AppError::Listen { key: "lmtp.listen", address, source };
        let options = lmtp_options(config, pool, Door::Lmtp);
        let listener = Listener::bind(address, options, Arc::clone(recipients), acceptor.clone()).map_err(fail)?;
        bound.push((Door::Lmtp, listener.local_addr().map_err(fail)?, listener));
    }
    Ok(bound)
}

/// Makes the socket files: that of the configuration, and those of the commands `inject` and `import` in the data folder,
/// which its owner alone can use.
///
/// # Errors
/// A file that cannot be made.
pub(super) fn bind_files(
    config: &Config,
    recipients: &Arc<Recipients>,
    acceptor: &Acceptor,
    pool: &Pool,
) -> Result<Vec<Listener<Recipients>>, AppError> {
    let mut bound = Vec::new();
    let mut bind = |path: &Path, mode: u32, door: Door, acceptor: Acceptor| {
        let options = lmtp_options(config, pool, door);
        let listener = Listener::bind_file((path, mode), options, Arc::clone(recipients), acceptor);
        bound.push(listener.map_err(|source| AppError::File { path: path.to_owned(), source })?);
        Ok::<_, AppError>(())
    };
    if let Some(path) = &config.lmtp.socket {
        bind(path, config.lmtp.socket_mode, Door::Lmtp, acceptor.clone())?;
    }
    let local = LocalDoors::of(&config.server.data_dir);
    if !local.fit() {
        tracing::warn!(
            error.kind = "path_too_long",
            "`connex inject` and `connex import` do not work: no socket file can be made in {}, whose path is too long",
            local.folder.display()
        );
        return Ok(bound);
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&local.folder);
    made.map_err(|source| AppError::File { path: local.folder.clone(), source })?;
    bind(&local.inject, PRIVATE, Door::Inject, acceptor.clone())?;
    bind(&local.import, PRIVATE, Door::Import, acceptor.quietly())?;
    bind(&local.import_and_emit, PRIVATE, Door::Import, acceptor.clone())?;
    Ok(bound)
}

/// Binds the milter door of the configuration.
///
/// # Errors
/// An address that cannot be bound, or a file that cannot be made.
pub(super) fn bind_milter(
    config: &Config,
    recipients: &Arc<Recipients>,
    acceptor: &Acceptor,
) -> Result<Vec<milter::Listener<Recipients>>, AppError> {
    let own = &config.milter;
    // The configuration was refused if the door is open and the route is not set.
    let route = own.route.as_ref().and_then(|route| Mailbox::parse(route.expose()).ok());
    let Some(route) = route else { return Ok(Vec::new()) };
    let limits = milter::Limits {
        message: own.message_size,
        patience: own.patience,
        connections: usize::try_from(own.connections).unwrap_or(usize::MAX),
        silence: MILTER_SILENCE,
        shutdown_grace: config.server.shutdown_grace / 2,
    };
    let options = milter::ListenerOptions { limits, peers: own.peers.clone(), route };
    let mut bound = Vec::new();
    for &address in &own.listen {
        let listener = milter::Listener::bind(address, options.clone(), Arc::clone(recipients), acceptor.clone());
        bound.push(listener.map_err(|source| AppError::Listen { key: "milter.listen", address, source })?);
    }
    if let Some(path) = &own.socket {
        let place = (path.as_path(), own.socket_mode);
        let listener = milter::Listener::bind_file(place, options, Arc::clone(recipients), acceptor.clone());
        bound.push(listener.map_err(|source| AppError::File { path: path.clone(), source })?);
    }
    Ok(bound)
}

/// Lets this process open as many files as the system allows: each connection is one. Many systems begin with 1,024.
pub(super) fn raise_file_limit(config: &Config) {
    /// For the spool, the database and webhooks.
    const OTHERS: u64 = 512;
    // Both HTTP doors have the same bound.
    let connections = u64::from(config.smtp.limits.connections)
        + u64::from(config.milter.connections)
        + 2 * u64::from(config.http.connections);
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!(error.kind = "limit", "The limit on open files cannot be raised");
    }
    if getrlimit(Resource::Nofile).current.is_some_and(|files| files < connections.saturating_add(OTHERS)) {
        tracing::warn!(
            error.kind = "limit",
            "smtp.limits.connections and twice http.connections are {connections}, and fewer files may be open: raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
}

/// What the listeners have together.
pub(super) fn pool(config: &Config) -> Pool {
    Pool::new(&smtp_limits(config))
}

/// Where mail that comes in by the API goes.
pub(super) fn mail_door(config: &Config, recipients: &Arc<Recipients>, acceptor: &Acceptor) -> MailDoor {
    let recipients = Arc::clone(recipients);
    MailDoor {
        acceptor: acceptor.clone(),
        recipient: Arc::new(move |mailbox, reverse_path, origin| {
            let recipients = Arc::clone(&recipients);
            Box::pin(async move {
                let name = ForwardName::Mailbox(&mailbox);
                let query = RecipientQuery { name, reverse_path: &reverse_path, announced_size: None, origin: &origin };
                recipients.recipient(&query).await
            })
        }),
        message_size: config.smtp.limits.message_size,
        deliveries: deliveries(config),
    }
}

fn deliveries(config: &Config) -> DeliverySettings {
    let own = &config.providers;
    let keys = own.mailgun_signing_keys.iter().map(|key| key.expose().to_owned()).collect();
    DeliverySettings::new(own.memory, keys, own.ses_topics.clone())
}

/// Longer than mail servers keep a silent client of their own (RFC 5321 §4.5.3.2.7).
const MILTER_SILENCE: Duration = Duration::from_secs(15 * 60);

/// For the owner of the data folder, and root.
const PRIVATE: u32 = 0o600;

/// Where the commands of the local operator hand mail over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDoors {
    folder: PathBuf,
    /// `connex inject`.
    pub inject: PathBuf,
    /// `connex import`.
    pub import: PathBuf,
    /// `connex import --emit`.
    pub import_and_emit: PathBuf,
}

impl LocalDoors {
    /// Those of the installation with this data folder.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let folder = data_dir.join("local");
        let file = |name: &str| folder.join(name);
        Self { inject: file("inject"), import: file("import"), import_and_emit: file("import-emit"), folder }
    }

    /// Whether the system takes paths so long for socket files: 108 octets with the end, and `.new` while they are made.
    fn fit(&self) -> bool {
        self.import_and_emit.as_os_str().len() <= 103
    }
}

/// A local mail server is one peer with many connections, and knows no reason to come back for more messages.
fn lmtp_options(config: &Config, pool: &Pool, door: Door) -> ListenerOptions {
    let limits = smtp_limits(config);
    ListenerOptions {
        door,
        hostname: config.server.hostname.clone(),
        limits: Limits {
            messages: u32::MAX,
            connections_per_address: limits.connections,
            connections_per_network: limits.connections,
            connects_per_minute: 0,
            greeting_delay: Duration::ZERO,
            ..limits
        },
        pool: pool.clone(),
        tls: None,
        proxy_from: if door == Door::Lmtp { config.lmtp.proxy_from.clone() } else { Vec::new() },
    }
}

fn smtp_limits(config: &Config) -> Limits {
    let own = &config.smtp.limits;
    let count = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        command_line: count(own.command_line),
        message: own.message_size,
        copy: config.routes.message_size,
        recipients: count(own.recipients),
        messages: own.messages_per_connection,
        errors: own.errors_per_connection,
        idle_commands: own.idle_commands,
        tarpit_after: own.tarpit_after,
        tarpit: own.tarpit,
        command_timeout: own.command_timeout,
        reply_timeout: own.reply_timeout,
        data_rate: own.data_rate,
        idle_timeout: own.idle_timeout,
        transaction_timeout: own.transaction_timeout,
        connections_per_network: count(own.connections_per_network),
        connects_per_minute: own.connects_per_minute,
        transactions_per_tenant: own.transactions_per_tenant,
        body_memory: own.body_memory,
        data_timeout: own.data_timeout,
        handshake_timeout: own.handshake_timeout,
        greeting_delay: own.greeting_delay,
        auth_failure_delay: own.auth_failure_delay,
        connections_per_address: count(own.connections_per_address),
        connections: count(own.connections),
        shutdown_grace: config.server.shutdown_grace / 2,
        ..Limits::default()
    }
}

/// Lets every door in, and notes where each one is.
pub(super) fn serve(
    doors: Vec<BoundDoor>,
    submissions: Vec<BoundSubmission>,
    files: Vec<Listener<Recipients>>,
    milters: Vec<milter::Listener<Recipients>>,
    spawner: &Spawner,
    (listeners, addresses): (&Listeners, &mut Addresses),
) {
    for (door, address, listener) in doors {
        match door {
            Door::Smtps => addresses.smtps.push(address),
            Door::Lmtp => addresses.lmtp.push(address),
            _ => addresses.smtp.push(address),
        }
        spawner.spawn_once("smtp", listener.among(listeners).run(spawner.stopping()));
    }
    for (door, address, listener) in submissions {
        let told = if door.is_tls_first() { &mut addresses.submissions } else { &mut addresses.submission };
        told.push(address);
        spawner.spawn_once("smtp", listener.among(listeners).run(spawner.stopping()));
    }
    for listener in files {
        spawner.spawn_once("smtp", listener.among(listeners).run(spawner.stopping()));
    }
    for listener in milters {
        addresses.milter.extend(listener.local_addr());
        spawner.spawn_once("milter", listener.among(listeners).run(spawner.stopping()));
    }
}
