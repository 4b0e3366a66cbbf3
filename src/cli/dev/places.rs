//! Where a development instance keeps its files and listens.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::app::AppError;
use crate::cli::CliError;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::devcert::{self, DevCertificate};

/// Ports of a development instance without `--port-base`: SMTP, SMTP over TLS, API, admin, receiver, LMTP, submission with
/// STARTTLS and with TLS.
const PORTS: [u16; 8] = [2525, 2465, 8080, 8081, 8082, 2424, 2587, 2588];

/// Files and addresses.
#[derive(Debug)]
pub(super) struct Places {
    dir: PathBuf,
    certificate: DevCertificate,
    ports: [u16; 8],
}

impl Places {
    /// Makes the folder and certificate, and settles the ports; free ones where the base is 0.
    pub(super) fn new(dir: &Path, port_base: Option<u16>, clock: &Clock) -> Result<Self, CliError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| AppError::File { path: dir.to_owned(), source })?;
        let dir = dir.canonicalize().map_err(|source| AppError::File { path: dir.to_owned(), source })?;
        let certificate = devcert::ensure(&dir.join("certs"), "localhost", clock.now()).map_err(anyhow::Error::new)?;
        let ports = match port_base {
            None => PORTS,
            Some(0) => free_ports()?,
            Some(base) => std::array::from_fn(|offset| base.saturating_add(u16::try_from(offset).unwrap_or(0))),
        };
        Ok(Self { dir, certificate, ports })
    }

    /// The configuration of the instance.
    pub(super) fn config(&self) -> Result<Config, CliError> {
        let listen =
            [self.smtp(), self.smtps(), self.http(), self.admin(), self.lmtp(), self.submission(), self.submissions()];
        Ok(config::dev::loader(&self.dir, listen, &self.certificate.cert_file, &self.certificate.key_file).load()?)
    }

    /// Leaves the configuration in the data folder, where the other commands find it.
    pub(super) fn write_config(&self) -> Result<(), CliError> {
        let path = self.config_file();
        let text = config::show::to_toml(&self.config()?.layers);
        Ok(write_private(&path, &text).map_err(|source| AppError::File { path, source })?)
    }

    /// The receiver's socket.
    pub(super) async fn receiver_socket(&self) -> Result<TcpListener, AppError> {
        let address = self.address(4);
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| AppError::Listen { key: "the receiver's", address, source })
    }

    pub(super) fn smtp(&self) -> SocketAddr {
        self.address(0)
    }

    pub(super) fn smtps(&self) -> SocketAddr {
        self.address(1)
    }

    pub(super) fn lmtp(&self) -> SocketAddr {
        self.address(5)
    }

    pub(super) fn submission(&self) -> SocketAddr {
        self.address(6)
    }

    pub(super) fn submissions(&self) -> SocketAddr {
        self.address(7)
    }

    fn http(&self) -> SocketAddr {
        self.address(2)
    }

    fn admin(&self) -> SocketAddr {
        self.address(3)
    }

    pub(super) fn http_url(&self) -> String {
        format!("http://{}", self.http())
    }

    pub(super) fn admin_url(&self) -> String {
        format!("http://{}", self.admin())
    }

    /// With a slash at the end.
    pub(super) fn receiver_url(&self) -> String {
        format!("http://{}/", self.address(4))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("connex.toml")
    }

    pub(super) fn ca_file(&self) -> &Path {
        &self.certificate.ca_file
    }

    fn address(&self, place: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.get(place).copied().unwrap_or(0)).into()
    }
}

/// Writes a file that its owner alone may read, also where an earlier one was readable by others.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

/// Ports that are free now; held together, so that they differ.
fn free_ports() -> Result<[u16; 8], CliError> {
    let mut ports = [0; 8];
    let mut held = Vec::new();
    for port in &mut ports {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = socket.local_addr()?.port();
        held.push(socket);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_and_configuration_are_for_their_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("dev");
        let places = Places::new(&dir, Some(0), &Clock::System).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        std::fs::write(places.config_file(), "of an earlier version").unwrap();
        places.write_config().unwrap();
        assert_eq!(mode(&places.config_file()), 0o600);
        std::fs::remove_file(places.config_file()).unwrap();
        places.write_config().unwrap();
        assert_eq!(mode(&places.config_file()), 0o600);
    }
}
