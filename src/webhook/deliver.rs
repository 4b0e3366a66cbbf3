//! One attempt: a signed request goes out, and a report of what came back is made.
//!
//! Never decides what happens next; see [`super::outcome`]. Never returns an error: whatever goes wrong is a report.
//!
//! Standards: RFC 9110 §9.3.3 (POST), §10.2.3 (Retry-After), Standard Webhooks 1.0.0 (headers).
//!
//! # Security
//! Redirects are not followed and proxy variables of the environment are not read. The answer's body is read up to
//! 16 KiB within the total time, then the connection is dropped.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::connect::{BlockedAddress, Guard, tls};
use super::endpoint::{AllowList, PublicUrl, Reach};
use super::excerpt;
use super::request::SignedRequest;
use crate::clock::{Clock, Timestamp};
use crate::dns::{DnsError, Resolver};

/// Most bytes of an answer that are read.
pub const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// Times and roots of the client.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Longest wait for DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time of a whole attempt, the answer's body included.
    pub total_timeout: Duration,
    /// How long an unused connection is kept. Below the 5 s after which many servers close theirs, so that we do not
    /// send into a connection that is about to be closed.
    pub idle_timeout: Duration,
    /// Certificates to believe beside the Mozilla roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(4),
            extra_roots: Vec::new(),
        }
    }
}

/// The HTTP client of webhooks. Clones share their connections.
#[derive(Debug, Clone)]
pub struct WebhookClient {
    /// For hosts that the operator did not name: each address is judged.
    public: reqwest::Client,
    /// For hosts that the operator named.
    named: reqwest::Client,
    total_timeout: Duration,
    clock: Clock,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A root certificate of the configuration is unusable.
    #[error("a root certificate for webhooks cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    /// The HTTP client refuses its settings.
    #[error("the webhook client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
}

/// What one attempt came to. `reason` is empty exactly when a 2xx answer was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// Status code of the answer; empty when none came.
    pub status: Option<u16>,
    /// What was wrong; empty on success.
    pub reason: Option<FailureReason>,
    /// From the start to the end of reading the answer.
    pub duration: Duration,
    /// The address that was dialled or refused; empty when none is known.
    pub resolved_ip: Option<IpAddr>,
    /// Begin of the answer's body, at most 1 KiB, with secrets cut out; empty when there was none.
    pub response_excerpt: String,
    /// How long the receiver asked us to wait.
    pub retry_after: Option<Duration>,
    /// What exactly went wrong, for the operator; empty on success and when a status says it.
    pub detail: String,
}

/// Why an attempt failed; the words are those of the stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The name has no address, or no server told one.
    Dns,
    /// No connection, or it broke before an answer came.
    Connect,
    /// No trusted TLS connection.
    Tls,
    /// The address must not be dialled.
    BlockedAddress,
    /// Not done within the time.
    Timeout,
    /// An answer other than 2xx.
    HttpStatus,
    /// The answer broke off.
    BodyRead,
    /// The endpoint's signing secret, as this instance stores it, cannot be read: nothing was sent.
    SecretUnreadable,
    /// What else is stored of the endpoint makes no request: nothing was sent.
    UnusableSettings,
}

impl FailureReason {
    /// The word of the stored row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::BlockedAddress => "blocked_address",
            Self::Timeout => "timeout",
            Self::HttpStatus => "http_status",
            Self::BodyRead => "body_read",
            Self::SecretUnreadable => "secret_unreadable",
            Self::UnusableSettings => "unusable_settings",
        }
    }
}

impl WebhookClient {
    /// A client that resolves names with `resolver` and dials what `allow` permits. Give the same list to
    /// [`PublicUrl::parse`].
    ///
    /// # Errors
    /// When a root certificate cannot be used.
    pub fn new(
        settings: &ClientSettings,
        resolver: &Resolver,
        allow: &AllowList,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let tls = tls(&settings.extra_roots).map_err(ClientError::Certificate)?;
        let client = |reach| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Guard::new(resolver.clone(), allow.clone(), reach))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .tcp_nodelay(true)
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(settings.idle_timeout)
                .user_agent(concat!("connex-webhooks/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(ClientError::Client)
        };
        Ok(Self {
            public: client(Reach::Public)?,
            named: client(Reach::Named)?,
            total_timeout: settings.total_timeout,
            clock,
        })
    }

    /// Sends one request and reads its answer. Ends within the total time, whatever the other side does.
    pub async fn attempt(&self, request: &SignedRequest) -> AttemptReport {
        let begun = tokio::time::Instant::now();
        let mut report = AttemptReport::new(request.url());
        if tokio::time::timeout(self.total_timeout, self.exchange(request, &mut report)).await.is_err() {
            report.fail(FailureReason::Timeout, "no whole answer came in time");
        }
        report.duration = begun.elapsed();
        report
    }

    async fn exchange(&self, request: &SignedRequest, report: &mut AttemptReport) {
        let client = match request.url().reach() {
            Reach::Public => &self.public,
            Reach::Named => &self.named,
        };
        let sending =
            client.post(request.url().url().clone()).headers(request.headers().clone()).body(request.body().clone());
        let response = match sending.send().await {
            Ok(response) => response,
            Err(error) => return report.read_error(&error),
        };
        let status = response.status();
        report.status = Some(status.as_u16());
        report.resolved_ip = response.remote_addr().map(|address| address.ip()).or(report.resolved_ip);
        report.retry_after = retry_after(response.headers(), self.clock.now());
        if !status.is_success() {
            report.fail(FailureReason::HttpStatus, "");
        }
        let (body, whole) = read_bounded(response).await;
        report.response_excerpt = excerpt::of(&body);
        if !whole && report.reason.is_none() {
            report.fail(FailureReason::BodyRead, "the answer broke off before its end");
        }
    }
}

impl AttemptReport {
    fn new(url: &PublicUrl) -> Self {
        Self {
            status: None,
            reason: None,
            duration: Duration::ZERO,
            resolved_ip: url.literal(),
            response_excerpt: String::new(),
            retry_after: None,
            detail: String::new(),
        }
    }

    fn fail(&mut self, reason: FailureReason, detail: &str) {
        self.reason = Some(reason);
        detail.clone_into(&mut self.detail);
    }

    /// Finds the cause in the chain of an error of the HTTP client.
    fn read_error(&mut self, error: &reqwest::Error) {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut deepest = String::new();
        while let Some(here) = cause {
            if let Some(blocked) = here.downcast_ref::<BlockedAddress>() {
                self.resolved_ip = Some(blocked.address);
                return self.fail(FailureReason::BlockedAddress, &blocked.to_string());
            }
            if let Some(dns) = here.downcast_ref::<DnsError>() {
                return self.fail(FailureReason::Dns, &dns.to_string());
            }
            if let Some(tls) = here.downcast_ref::<rustls::Error>() {
                return self.fail(FailureReason::Tls, &tls.to_string());
            }
            deepest = here.to_string();
            cause = next_cause(here);
        }
        if error.is_timeout() {
            return self.fail(FailureReason::Timeout, "no connection was made in time");
        }
        self.fail(FailureReason::Connect, &deepest);
    }
}

/// What caused `error`. An `io::Error` hides what it wraps: its own `source` skips it.
fn next_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The body up to the bound, and whether it came whole (or was cut by us, not by the other side).
async fn read_bounded(mut response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = MAX_RESPONSE_BYTES.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                if chunk.len() > room {
                    return (body, true);
                }
            }
            Ok(None) => return (body, true),
            Err(_) => return (body, false),
        }
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER).and_then(|value: &HeaderValue| value.to_str().ok())?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_microsecond();
    Some(Timestamp::from_micros(at).since(now))
}

#[cfg(test)]
mod tests;
