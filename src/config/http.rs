//! `[http]`: the API, the admin listener, and how much one caller may ask.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Reader;

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Addresses of the API.
    pub listen: Vec<SocketAddr>,
    /// Addresses of the API with TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// Addresses of `/healthz`, `/readyz` and `/metrics`.
    pub admin_listen: Vec<SocketAddr>,
    /// Octets of a request body.
    pub body_limit: u64,
    /// From the request's first byte to the reply.
    pub request_timeout: Duration,
    /// From the body's first byte to its last.
    pub body_timeout: Duration,
    /// Requests handled at the same time.
    pub concurrency: u32,
    /// Connections in all, of each of the two doors.
    pub connections: u32,
    /// Connections from one address.
    pub connections_per_address: u32,
    /// From the request's first byte to the end of its header.
    pub header_timeout: Duration,
    /// Silence between requests.
    pub idle_timeout: Duration,
    /// `[http.rate_limits]`
    pub rate_limits: RateLimits,
}

/// `[http.rate_limits]`; `None` where a limit is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Policy `preview`: per address and minute.
    pub preview_per_minute: Option<NonZeroU32>,
    /// Policy `default`: per key and minute.
    pub default_per_minute: Option<NonZeroU32>,
    /// Policy `daily`: per tenant and day.
    pub daily: Option<NonZeroU32>,
}

impl Http {
    pub(super) fn read(reader: &mut Reader<'_>, has_tls: bool) -> Self {
        let mut limit = |key| NonZeroU32::new(reader.count(key, 0..=1_000_000_000));
        let rate_limits = RateLimits {
            preview_per_minute: limit("http.rate_limits.preview_per_minute"),
            default_per_minute: limit("http.rate_limits.default_per_minute"),
            daily: limit("http.rate_limits.daily"),
        };
        let http = Self {
            listen: reader.addresses("http.listen"),
            listen_tls: reader.addresses("http.listen_tls"),
            admin_listen: reader.addresses("http.admin_listen"),
            body_limit: reader.size("http.body_limit", (16 << 10)..=(64 << 20)),
            request_timeout: reader.duration("http.request_timeout", 1_000..=600_000),
            body_timeout: reader.duration("http.body_timeout", 1_000..=600_000),
            concurrency: reader.count("http.concurrency", 1..=1_000_000),
            connections: reader.count("http.connections", 1..=1_000_000),
            connections_per_address: reader.count("http.connections_per_address", 1..=1_000_000),
            header_timeout: reader.duration("http.header_timeout", 1_000..=600_000),
            idle_timeout: reader.duration("http.idle_timeout", 1_000..=3_600_000),
            rate_limits,
        };
        if !http.listen_tls.is_empty() && !has_tls {
            reader
                .fault("http.listen_tls", "needs tls.cert_file and tls.key_file, or acme.directory, or must be empty");
        }
        if http.body_timeout > http.request_timeout {
            reader.fault("http.body_timeout", "must not be longer than http.request_timeout");
        }
        http
    }
}
