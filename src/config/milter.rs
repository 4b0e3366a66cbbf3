//! `[milter]`: where mail servers show the mail that passes through them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::lmtp::{mode, networks};
use super::reader::Reader;
use super::secret::Secret;
use crate::mail::address::Mailbox;

/// `[milter]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milter {
    /// Addresses.
    pub listen: Vec<SocketAddr>,
    /// A socket file.
    pub socket: Option<PathBuf>,
    /// Who may use the socket file, as the permission bits of a file.
    pub socket_mode: u32,
    /// Networks from which mail servers connect.
    pub peers: Vec<IpNet>,
    /// Address of the route that the copies are for, which is a secret; set where there is an address or a socket file.
    pub route: Option<Secret>,
    /// How long one message may hold its mail server up.
    pub patience: Duration,
    /// Octets of a message.
    pub message_size: u64,
    /// Connections in all.
    pub connections: u32,
}

impl Milter {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let route = reader.secret("milter.route", "milter.route_file", 3).and_then(|secret| {
            let is_address = Mailbox::parse(secret.expose()).is_ok();
            if !is_address {
                reader.fault("milter.route", "is no address: set it to the address that `connex route add` printed");
            }
            is_address.then_some(secret)
        });
        let milter = Self {
            listen: reader.addresses("milter.listen"),
            socket: reader.optional_path("milter.socket"),
            socket_mode: reader.parse("milter.socket_mode", "permission bits in octal, such as 0660", mode),
            peers: networks(reader, "milter.peers"),
            route,
            patience: reader.duration("milter.patience", 100..=60_000),
            message_size: reader.size("milter.message_size", (64 << 10)..=(1 << 30)),
            connections: reader.count("milter.connections", 1..=1_000_000),
        };
        if milter.route.is_none() && !(milter.listen.is_empty() && milter.socket.is_none()) {
            reader.fault("milter.route_file", "is empty: the milter door needs the route that its copies are for");
        }
        milter
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Loader};

    fn load(text: &str, route: &str) -> Result<Config, String> {
        let environment = [("CONNEX__MILTER__ROUTE".to_owned(), route.to_owned())];
        let environment = environment.into_iter().filter(|(_, route)| !route.is_empty());
        Loader::new().text("test", text).environment(environment).load().map_err(|faults| faults.to_string())
    }

    #[test]
    fn an_open_door_needs_a_route_whose_address_is_not_shown() {
        const ROUTE: &str = "bcc-mfzwizltoq2gk3tbnzsxe5dfon@in.connex.example";
        let open = "[milter]\nlisten = [\"127.0.0.1:0\"]\n";
        assert!(load(open, "").unwrap_err().contains("milter.route_file"));
        let faults = load(open, "bcc-mfzwizltoq2gk3tb").unwrap_err();
        assert!(faults.contains("is no address") && !faults.contains("mfzwizlt"), "{faults}");
        let config = load(open, ROUTE).unwrap();
        let shown = format!("{config:?}{}", crate::config::show::to_toml(&config.layers));
        assert!(!shown.contains("mfzwizlt"), "{shown}");
        assert_eq!(config.milter.route.unwrap().expose(), ROUTE);
        assert_eq!(load("", "").unwrap().milter.route, None);
    }
}
