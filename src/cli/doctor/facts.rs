//! Looking: sockets, files, name servers and the database.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::report::Finding;
use super::{certificates, clock, disk, key, names, notices};
use crate::acme::storage::Storage;
use crate::app::instance::key::{KEY_FILE, NEW_KEY_FILE};
use crate::app::instance::keyring::KEYRING_FILE;
use crate::app::open_store;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::dns::{Resolver, ResolverSettings};
use crate::store::Store;
use crate::tls::OwnCertificate;

/// How long a mail server outside may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Flushes that are timed.
const FLUSHES: usize = 5;

/// Everything, in the order in which it is shown.
pub(super) async fn gather(config: &Config, outbound: Option<&str>, time_server: Option<&str>) -> Vec<Finding> {
    let mut found = ports(config);
    found.extend(dns(config).await);
    found.extend(own_certificates(config));
    found.extend(acme(config));
    found.extend(data_folder(config));
    found.extend(database(config).await);
    found.extend(clocks(config, time_server).await);
    found.push(file_limit(config));
    if let Some(target) = outbound {
        found.push(reach(target).await);
    }
    found
}

fn ports(config: &Config) -> Vec<Finding> {
    let answers = config.acme.as_ref().map_or(&[][..], |acme| &acme.http_listen);
    let doors: [(&str, &[SocketAddr]); 10] = [
        ("smtp.listen", &config.smtp.listen),
        ("smtp.listen_tls", &config.smtp.listen_tls),
        ("submission.listen", &config.submission.listen),
        ("submission.listen_tls", &config.submission.listen_tls),
        ("lmtp.listen", &config.lmtp.listen),
        ("milter.listen", &config.milter.listen),
        ("acme.http_listen", answers),
        ("http.listen", &config.http.listen),
        ("http.listen_tls", &config.http.listen_tls),
        ("http.admin_listen", &config.http.admin_listen),
    ];
    let all = doors.iter().flat_map(|(key, addresses)| addresses.iter().map(move |address| (*key, *address)));
    all.map(|(key, address)| port(key, address, TcpListener::bind(address).map(drop))).collect()
}

/// Judges whether an address can be listened on.
fn port(key: &str, address: SocketAddr, bound: io::Result<()>) -> Finding {
    let shown = format!("{key} {address}");
    match bound.map_err(|error| (error.kind(), error)) {
        Ok(()) => Finding::good("port", format!("{shown} is free")),
        Err((io::ErrorKind::AddrInUse, _)) => Finding::note(
            "port",
            format!("{shown} is in use"),
            "right while the gateway runs; otherwise another program has it: `ss -ltnp` shows which",
        ),
        Err((io::ErrorKind::PermissionDenied, _)) => Finding::problem(
            "port",
            format!("{shown} needs a privilege"),
            "AmbientCapabilities=CAP_NET_BIND_SERVICE in its unit, or setcap cap_net_bind_service=+ep on the program",
        ),
        Err((io::ErrorKind::AddrNotAvailable, _)) => Finding::problem(
            "port",
            format!("{shown} is no address of this machine"),
            "correct it, or listen on 0.0.0.0",
        ),
        Err((_, error)) => Finding::problem("port", format!("{shown}: {error}"), "correct the address"),
    }
}

async fn dns(config: &Config) -> Vec<Finding> {
    let settings = ResolverSettings {
        servers: config.dns.servers.clone(),
        timeout: config.dns.timeout,
        attempts: usize::try_from(config.dns.attempts).unwrap_or(usize::MAX),
    };
    let resolver = match Resolver::new(&settings) {
        Ok(resolver) => resolver,
        Err(error) => return vec![Finding::problem("dns", error.to_string(), "name servers in dns.servers")],
    };
    let host = config.server.hostname.to_string();
    let mut facts =
        names::Facts { addresses: addresses(&resolver, &host).await, exchangers: None, reverse: Vec::new() };
    for address in facts.addresses.iter().flatten() {
        facts.reverse.push((*address, resolver.names_of(*address).await.unwrap_or_default()));
    }
    let mut found = names::judge_host(&host, &facts);
    for domain in config.smtp.platform_domains.iter().map(ToString::to_string) {
        let exchangers = resolver.exchangers(&domain).await.map_err(|error| error.to_string());
        let exchangers = exchangers.map(|all| all.into_iter().map(|(_, name)| name).collect());
        let addresses = addresses(&resolver, &domain).await;
        let facts = names::Facts { addresses, exchangers: Some(exchangers), reverse: Vec::new() };
        found.push(names::judge_domain(&domain, &host, &facts));
    }
    found
}

async fn addresses(resolver: &Resolver, name: &str) -> Result<Vec<std::net::IpAddr>, String> {
    resolver.addresses(name).await.map_err(|error| error.to_string())
}

fn own_certificates(config: &Config) -> Vec<Finding> {
    let host = config.server.hostname.to_string();
    let now = Clock::System.now();
    if !config.has_tls() {
        let remedy = "set tls.cert_file and tls.key_file, or [acme]";
        return vec![Finding::note("certificate", "there is none: mail comes without TLS", remedy)];
    }
    let judged = config.tls.own.iter().enumerate().map(|(place, pair)| {
        let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
        let own = read(&pair.cert_file).and_then(|chain| {
            OwnCertificate::from_pem(&chain, &read(&pair.key_file)?).map_err(|error| error.to_string())
        });
        let is_first = place == 0 && config.acme.is_none();
        certificates::judge(&pair.cert_file.display().to_string(), &own, is_first.then_some(host.as_str()), now)
    });
    judged.flatten().collect()
}

fn data_folder(config: &Config) -> Vec<Finding> {
    let folder = &config.server.data_dir;
    let Ok(space) = rustix::fs::statvfs(folder) else {
        let remedy = "nothing to do: the first start makes it";
        return vec![Finding::note("disk", format!("{} does not exist yet", folder.display()), remedy)];
    };
    let reserve = crate::app::spool_options(config).reserve.of(space.f_blocks.saturating_mul(space.f_frsize));
    let facts = disk::Facts {
        free: space.f_bavail.saturating_mul(space.f_frsize),
        reserve,
        inodes: (space.f_favail, space.f_files),
        flush: flush(folder).map_err(|error| error.to_string()),
        patience: config.spool.patience,
    };
    let mut found = disk::judge(&facts);
    for file in ["", KEY_FILE, NEW_KEY_FILE, KEYRING_FILE] {
        let path = folder.join(file);
        if std::fs::metadata(&path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
            let what = format!("{} can be read by other users of this machine", path.display());
            found.push(Finding::problem("permissions", what, format!("chmod go= {}", path.display())));
        }
    }
    found
}

/// The slowest of some flushes of a scratch file.
fn flush(folder: &Path) -> io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..FLUSHES {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        slowest = slowest.max(began.elapsed());
    }
    Ok(slowest)
}

async fn database(config: &Config) -> Vec<Finding> {
    let shown = config.database.describe();
    if let Database::Sqlite { file } = &config.database
        && !file.exists()
    {
        let remedy = "nothing to do: the first start makes it";
        return vec![Finding::note("database", format!("{shown} does not exist yet"), remedy)];
    }
    match open_store(&config.database, Clock::System).await {
        Ok(store) => {
            let key = key::gather(config, &store).await;
            let notices = notices::gather(config, &store).await;
            store.close().await;
            vec![Finding::good("database", format!("{shown} answers and is up to date")), key, notices]
        }
        Err(error) => {
            let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            let remedy = "start it, and check database.url; the program puts mail off without it";
            vec![Finding::problem("database", format!("{shown}: {error}{why}"), remedy)]
        }
    }
}

/// Our clock against that of the database's server, and a time server.
async fn clocks(config: &Config, time_server: Option<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Database::Postgres { url, .. } = &config.database {
        // That it does not answer is said already.
        if let Ok(server) = Store::postgres_server(url.expose()).await {
            // It read its clock last, just now.
            found.push(clock::judge("the database's server", Clock::System.now(), server.time));
        }
    }
    match time_server {
        Some(server) => found.push(clock::ask(server).await),
        None if found.is_empty() => found.push(clock::unknown()),
        None => {}
    }
    found
}

/// The certificate of `[acme]`, and what failed last.
fn acme(config: &Config) -> Vec<Finding> {
    let Some(own) = &config.acme else { return Vec::new() };
    let storage = Storage::new(config.server.data_dir.join("acme"));
    let now = Clock::System.now();
    let mut found = Vec::new();
    match storage.certificate() {
        Ok(Some(pem)) => {
            let read = OwnCertificate::from_pem(&pem, &pem).map_err(|error| error.to_string());
            let host = own.domains.first().map(ToString::to_string);
            let file = storage.certificate_file().display().to_string();
            found.extend(certificates::judge(&file, &read, host.as_deref(), now));
        }
        Ok(None) => found.push(Finding::note(
            "certificate",
            "none was issued yet by acme.directory",
            "start the gateway, which orders it; until then nobody vouches for the one that is shown",
        )),
        Err(error) => found.push(Finding::problem(
            "certificate",
            format!("{}: {error}", storage.certificate_file().display()),
            "let the user of the service read it",
        )),
    }
    found.extend(storage.failure().map(|failure| certificates::judge_orders(&failure)));
    found
}

fn file_limit(config: &Config) -> Finding {
    const OTHERS: u64 = 512;
    let needed = u64::from(config.smtp.limits.connections) + 2 * u64::from(config.http.connections) + OTHERS;
    match getrlimit(Resource::Nofile).maximum.filter(|files| *files < needed) {
        Some(files) => Finding::note(
            "files",
            format!("{files} files may be open, and {needed} may be needed"),
            "LimitNOFILE= in its unit, or fewer smtp.limits.connections",
        ),
        None => Finding::good("files", format!("{needed} files may be open")),
    }
}

/// Whether a mail server outside can be reached.
#[expect(clippy::disallowed_methods, reason = "the operator named the server to connect to")]
async fn reach(target: &str) -> Finding {
    let remedy = "ask the provider of this network to open port 25 to the outside, or use a relay";
    match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(target)).await {
        Ok(Ok(_)) => Finding::good("outbound", format!("{target} can be reached")),
        Ok(Err(error)) => Finding::problem("outbound", format!("{target}: {error}"), remedy),
        Err(_) => Finding::problem("outbound", format!("{target} does not answer"), remedy),
    }
}
