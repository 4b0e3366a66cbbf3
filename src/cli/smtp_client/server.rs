//! How a server is named on the command line.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A server: host name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidServerName)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(InvalidServerName)?;
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match literal {
            Some(address) => address.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidServerName)?.to_string(),
            None if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') => {
                return Err(InvalidServerName);
            }
            None => host.to_owned(),
        };
        Ok(Self { host, port })
    }
}

impl From<SocketAddr> for ServerName {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// Not `HOST:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server is HOST:PORT, such as mx.example.org:25, 127.0.0.1:2525 or [::1]:2525")]
pub struct InvalidServerName;
