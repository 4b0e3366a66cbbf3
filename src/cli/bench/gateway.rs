//! A gateway of this process's own, in a folder that is removed afterwards.
//!
//! It runs with the defaults of the configuration but for what would stop a load on purpose: limits per connection and
//! address, and the reserve of free disk space. It listens on loopback, and logs warnings only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LoadArgs;
use crate::app::{App, Instance};
use crate::cli::smtp_client::ServerName;
use crate::cli::{CliError, DataArgs};
use crate::clock::Clock;
use crate::config::{Config, Loader};
use crate::devcert;
use crate::dns::zone::Zone;
use crate::ids::{AppId, TenantId};
use crate::mail::address::Mailbox;
use crate::store::directory::{AppProfileRow, NewMailbox};
use crate::telemetry::{Logs, Metrics};

/// A started gateway with one mailbox.
pub(super) struct Gateway {
    pub(super) app: App,
    pub(super) server: ServerName,
    pub(super) mailbox: Mailbox,
    pub(super) tenant: TenantId,
    pub(super) app_id: AppId,
    pub(super) scratch: Scratch,
    /// Answers for as long as the gateway runs.
    _zone: Option<Zone>,
}

/// A folder that is removed with everything in it.
pub(super) struct Scratch {
    path: PathBuf,
}

const DOMAIN: &str = "bench.localhost";

impl Gateway {
    /// Starts one in a new folder within `--dir`, or within the working folder.
    pub(super) async fn start(data: &DataArgs, database: Option<&Path>, zone: Option<Zone>) -> Result<Self, CliError> {
        Self::start_with(data, database, zone, |_| Ok(Vec::new())).await
    }

    /// The same with further settings, made for its folder.
    pub(super) async fn start_with(
        data: &DataArgs,
        database: Option<&Path>,
        zone: Option<Zone>,
        more: impl FnOnce(&Path) -> Result<Vec<(&'static str, String)>, CliError>,
    ) -> Result<Self, CliError> {
        let parent = data.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let scratch = Scratch::within(&parent)?;
        let more = more(&scratch.path)?;
        let config = config(data, database, zone.as_ref(), &scratch.path, &more)?;
        // Both are there in real use as well.
        let _logs = Logs::init(&config.log).map_err(anyhow::Error::new)?;
        let metrics = Metrics::init().map_err(anyhow::Error::new)?;
        let instance = Instance::open(Arc::new(config), Clock::System).await?;
        let tenant = instance.store.add_tenant("bench").await?;
        let rows = instance.store.for_tenant(tenant);
        let app_id = rows.put_app("bench", &AppProfileRow::default()).await?;
        let mailbox = Mailbox::parse(&format!("inbox@{DOMAIN}")).map_err(anyhow::Error::new)?;
        let new = NewMailbox {
            address: mailbox.clone(),
            app: Some(app_id),
            identity_owner: "source_app".to_owned(),
            reply_policy: "source_app_only".to_owned(),
            external_reply_url: None,
        };
        rows.add_mailbox(new).await?;
        let app = App::start(instance, metrics).await?;
        let address = app.addresses.smtp.first().copied();
        let server = address.ok_or_else(|| CliError::failed("the gateway listens nowhere"))?.into();
        Ok(Self { app, server, mailbox, tenant, app_id, scratch, _zone: zone })
    }
}

/// A certificate of its own for a gateway in `dir`: the settings that name it, and the authority behind it.
pub(super) struct OwnCertificate {
    pub(super) settings: [(&'static str, String); 2],
    pub(super) ca_file: PathBuf,
}

/// Makes one.
///
/// # Errors
/// When it cannot be written.
pub(super) fn certificate(dir: &Path) -> Result<OwnCertificate, CliError> {
    let files = devcert::ensure(dir, "localhost", Clock::System.now()).map_err(anyhow::Error::new)?;
    let file = |path: PathBuf| path.display().to_string();
    let settings = [("tls.cert_file", file(files.cert_file)), ("tls.key_file", file(files.key_file))];
    Ok(OwnCertificate { settings, ca_file: files.ca_file })
}

/// A name server that knows the author of the load, where that is to be found out.
///
/// # Errors
/// When it cannot be started.
pub(super) fn names(load: &LoadArgs) -> Result<Option<Zone>, CliError> {
    if !load.authentication {
        return Ok(None);
    }
    let zone = Zone::start().map_err(anyhow::Error::new)?;
    zone.txt(DOMAIN, "v=spf1 ip4:127.0.0.0/8 -all").txt(&format!("_dmarc.{DOMAIN}"), "v=DMARC1; p=reject");
    Ok(Some(zone))
}

fn config(
    data: &DataArgs,
    database: Option<&Path>,
    zone: Option<&Zone>,
    dir: &Path,
    more: &[(&'static str, String)],
) -> Result<Config, CliError> {
    let mut loader = Loader::new();
    if let Some(file) = &data.config {
        loader = loader.file(file);
    }
    let dir = dir.display().to_string();
    let settings = [
        ("server.hostname", "localhost"),
        ("server.data_dir", &dir),
        ("server.shutdown_grace", "5s"),
        ("database.url", ""),
        ("smtp.listen", "127.0.0.1:0"),
        ("smtp.listen_tls", ""),
        ("smtp.platform_domains", DOMAIN),
        ("smtp.limits.connections", "1000000"),
        ("smtp.limits.connections_per_address", "1000000"),
        ("smtp.limits.connections_per_network", "1000000"),
        ("smtp.limits.connects_per_minute", "0"),
        ("smtp.limits.transactions_per_tenant", "1000000"),
        ("smtp.limits.messages_per_connection", "1000000"),
        ("http.listen", "127.0.0.1:0"),
        ("http.admin_listen", "127.0.0.1:0"),
        ("spool.reserve", "64MiB"),
        ("spool.reserve_percent", "0"),
        ("webhooks.allow", "127.0.0.1"),
        ("log.level", "warn"),
    ];
    let more = more.iter().map(|(key, value)| (*key, value.as_str()));
    for (key, value) in settings.into_iter().chain(more) {
        loader = loader.set("connex bench", key, value);
    }
    let (enabled, servers) = match zone {
        Some(zone) => ("true", zone.address().to_string()),
        None => ("false", String::new()),
    };
    // The load comes from loopback, where else relays are.
    for (key, value) in
        [("authentication.enabled", enabled), ("authentication.relays", ""), ("dns.servers", servers.as_str())]
    {
        loader = loader.set("connex bench", key, value);
    }
    if let Some(file) = database {
        loader = loader.set("--database", "database.url_file", &file.display().to_string());
    }
    Ok(loader.load()?)
}

impl Scratch {
    fn within(parent: &Path) -> Result<Self, CliError> {
        let mut random = [0u8; 4];
        crate::clock::random_bytes(&mut random);
        let path = parent.join(format!("connex-bench-{:08x}", u32::from_le_bytes(random)));
        std::fs::create_dir(&path).map_err(|error| {
            CliError::Unreachable(anyhow::Error::new(error).context(format!("making the folder {}", path.display())))
        })?;
        Ok(Self { path })
    }

    /// What kind of file system it is on.
    pub(super) fn file_system(&self) -> String {
        let Ok(found) = rustix::fs::statfs(&self.path) else { return "unknown".to_owned() };
        // statfs(2): f_type; its integer type differs between platforms.
        let magic = i128::from(found.f_type) & 0xffff_ffff;
        FILE_SYSTEMS
            .iter()
            .find(|(known, _)| *known == magic)
            .map_or_else(|| format!("0x{magic:x}"), |(_, name)| (*name).to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

const FILE_SYSTEMS: [(i128, &str); 8] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlayfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x6969, "nfs"),
];

/// A flush to memory costs nothing: figures from there say nothing about a disk.
pub(super) fn is_memory(file_system: &str) -> bool {
    matches!(file_system, "tmpfs" | "ramfs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_is_sound_and_stays_on_loopback() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&DataArgs::default(), None, None, folder.path(), &[]).unwrap();
        for address in config.smtp.listen.iter().chain(&config.http.listen).chain(&config.http.admin_listen) {
            assert!(address.ip().is_loopback() && address.port() == 0, "{address}");
        }
        assert!(config.smtp.listen_tls.is_empty());
        assert!(config.database.describe().starts_with(folder.path().to_str().unwrap()));
    }

    #[test]
    fn the_folder_is_new_and_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let (one, other) = (Scratch::within(parent.path()).unwrap(), Scratch::within(parent.path()).unwrap());
        assert_ne!(one.path, other.path);
        std::fs::write(one.path.join("file"), "x").unwrap();
        assert!(!one.file_system().is_empty());
        drop((one, other));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(Scratch::within(&parent.path().join("missing")).is_err());
    }
}
