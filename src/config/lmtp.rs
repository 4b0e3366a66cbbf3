//! `[lmtp]`: where mail servers of this machine hand mail over.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::reader::Reader;

/// `[lmtp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lmtp {
    /// Addresses on loopback.
    pub listen: Vec<SocketAddr>,
    /// A socket file.
    pub socket: Option<PathBuf>,
    /// Who may use the socket file, as the permission bits of a file.
    pub socket_mode: u32,
    /// Load balancers whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
}

impl Lmtp {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let listen = reader.addresses("lmtp.listen");
        if listen.iter().any(|address| !address.ip().to_canonical().is_loopback()) {
            reader.fault("lmtp.listen", "must be loopback addresses: LMTP knows no authentication; others use SMTP");
        }
        Self {
            listen,
            socket: reader.optional_path("lmtp.socket"),
            socket_mode: reader.parse("lmtp.socket_mode", "permission bits in octal, such as 0660", mode),
            proxy_from: networks(reader, "lmtp.proxy_from"),
        }
    }
}

/// A list of networks or single addresses.
pub(super) fn networks(reader: &mut Reader<'_>, key: &str) -> Vec<IpNet> {
    let network = |text: &str| {
        let alone = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(alone)
    };
    reader.list(key, "a network or address, such as 192.0.2.0/24", network)
}

/// Nobody needs a socket that can be executed.
pub(super) fn mode(text: &str) -> Option<u32> {
    let is_octal = !text.is_empty() && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && mode & !0o666 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_permission_bits_in_octal() {
        for (text, expected) in [("0660", Some(0o660)), ("600", Some(0o600)), ("0666", Some(0o666))] {
            assert_eq!(mode(text), expected, "{text}");
        }
        for text in ["", "0770", "0880", "+660", "rw", "2660"] {
            assert_eq!(mode(text), None, "{text}");
        }
    }
}
