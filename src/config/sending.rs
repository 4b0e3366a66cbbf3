//! `[sending]`: how released mail leaves.
//!
//! # Security
//! `allow` is the only hole in the rule that mail goes to public addresses. A relay is the operator's own choice, and is
//! dialled wherever it is; its password goes over TLS only.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::lmtp::networks;
use super::reader::Reader;
use super::secret::Secret;
use crate::mail::address::{Domain, Mailbox};

/// `[sending]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Whether this node sends.
    pub enabled: bool,
    /// Messages that are on the wire at the same time.
    pub workers: u32,
    /// Connections to one destination at the same time, of this node: a domain, or the relay.
    pub connections_per_destination: u32,
    /// Messages to one destination in a minute, of all nodes together; 0 sets no limit.
    pub messages_per_minute: u32,
    /// Messages that go over one connection; 1 makes one for each.
    pub messages_per_connection: u32,
    /// For so long a connection is used.
    pub connection_age: Duration,
    /// The port of recipients' servers.
    pub port: u16,
    /// Networks that may be dialled although they are not public.
    pub allow: Vec<IpNet>,
    /// Whether domains are asked for their MTA-STS policies.
    pub mta_sts: bool,
    /// Whether domains are asked for what they say, in signed DNS, of their servers' certificates.
    pub dane: bool,
    /// Authorities that are believed beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// A server that takes everything, in place of the recipients' own.
    pub relay: Option<RelaySection>,
    /// From where notices of the gateway itself come; `None`: none are sent.
    pub notices_from: Option<Mailbox>,
}

/// A relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySection {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is asked for.
    pub tls: RelayTls,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
}

/// TLS of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// By STARTTLS, and required.
    StartTls,
    /// From the first octet.
    Implicit,
    /// None: for a relay on the same machine.
    Never,
}

impl Sending {
    /// What is wrong with the sender of notices.
    pub(super) fn fault(&self, platform_domains: &[Domain]) -> Option<&'static str> {
        let from = self.notices_from.as_ref()?;
        let is_own = platform_domains.contains(from.domain());
        (!is_own).then_some("must be an address of one of smtp.platform_domains")
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            enabled: reader.flag("sending.enabled"),
            workers: reader.count("sending.workers", 1..=1_000),
            connections_per_destination: reader.count("sending.connections_per_destination", 1..=1_000),
            messages_per_minute: reader.count("sending.messages_per_minute", 0..=1_000_000),
            messages_per_connection: reader.count("sending.messages_per_connection", 1..=10_000),
            connection_age: reader.duration("sending.connection_age", 1_000..=3_600_000),
            port: u16::try_from(reader.count("sending.port", 1..=65_535)).unwrap_or(25),
            allow: networks(reader, "sending.allow"),
            mta_sts: reader.flag("sending.mta_sts"),
            dane: reader.flag("sending.dane"),
            ca_file: reader.optional_file("sending.ca_file"),
            relay: relay(reader),
            notices_from: reader.parse("sending.notices_from", "an address, or nothing", |text| match text {
                "" => Some(None),
                text => Mailbox::parse(text).ok().map(Some),
            }),
        }
    }
}

fn relay(reader: &mut Reader<'_>) -> Option<RelaySection> {
    let place = reader.parse("sending.relay", "HOST:PORT, or nothing", |text| match text {
        "" => Some(None),
        text => host_and_port(text).map(Some),
    });
    let tls = reader.parse("sending.relay_tls", "starttls, implicit or never", |text| match text {
        "starttls" => Some(RelayTls::StartTls),
        "implicit" => Some(RelayTls::Implicit),
        "never" => Some(RelayTls::Never),
        _ => None,
    });
    let user = reader.parse("sending.relay_user", "a user name, or nothing", |text| Some(text.to_owned()));
    let password = reader.secret("sending.relay_password", "sending.relay_password_file", 1);
    let (host, port) = place?;
    let credentials = match (user.is_empty(), password) {
        (true, None) => None,
        (false, Some(password)) => Some((user, password)),
        _ => {
            reader.fault("sending.relay_user", "and relay_password_file belong together: set both, or neither");
            None
        }
    };
    if credentials.is_some() && tls == RelayTls::Never {
        reader.fault("sending.relay_tls", "is never, and a password is not sent in clear");
    }
    Some(RelaySection { host, port, tls, credentials })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = host.parse::<IpAddr>().is_ok() || Domain::parse(host).is_ok();
    Some((is_host.then(|| host.to_owned())?, port.parse().ok().filter(|port| *port > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Loader};

    fn load(text: &str) -> Result<Config, String> {
        Loader::new().text("test", text).load().map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_relay_is_a_host_with_its_port_and_a_password_never_goes_in_clear() {
        assert_eq!(load("").unwrap().sending.relay, None);
        let relay = load("[sending]\nrelay = \"[::1]:2525\"\nrelay_tls = \"never\"\n").unwrap().sending.relay.unwrap();
        assert_eq!((relay.host.as_str(), relay.port, relay.tls), ("::1", 2525, RelayTls::Never));
        for wrong in ["smtp.example.org", "smtp.example.org:0", "a b:25", ":25"] {
            let fault = load(&format!("[sending]\nrelay = \"{wrong}\"\n")).unwrap_err();
            assert!(fault.contains("sending.relay"), "{fault}");
        }
        let alone = load("[sending]\nrelay = \"smtp.example.org:587\"\nrelay_user = \"us\"\n").unwrap_err();
        assert!(alone.contains("belong together"), "{alone}");
        let clear = "[sending]\nrelay = \"smtp.example.org:587\"\nrelay_user = \"us\"\nrelay_tls = \"never\"\nrelay_password = \"x\"\n";
        let fault = load(clear).unwrap_err();
        assert!(fault.contains("sending."), "{fault}");
    }

    #[test]
    fn notices_come_from_a_domain_of_the_gateway() {
        assert_eq!(load("").unwrap().sending.notices_from, None);
        let text = |from: &str| {
            format!("[smtp]\nplatform_domains = [\"in.example.org\"]\n[sending]\nnotices_from = \"{from}\"\n")
        };
        let from = load(&text("connex@in.example.org")).unwrap().sending.notices_from.unwrap();
        assert_eq!(from.to_string(), "connex@in.example.org");
        for wrong in ["connex@example.org", "connex@sub.in.example.org", "in.example.org", "a b@in.example.org"] {
            let fault = load(&text(wrong)).unwrap_err();
            assert!(fault.contains("sending.notices_from"), "{fault}");
        }
    }
}
