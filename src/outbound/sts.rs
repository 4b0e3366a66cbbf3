//! What a receiving domain asks of TLS: MTA-STS policies, read, fetched, and kept for as long as they say.
//!
//! A policy in mode `enforce` allows only the mail servers that it names, and only with a certificate that is believed.
//! One in mode `testing` is told and changes nothing: no reports are sent. A policy that cannot be looked at again counts
//! until its time is over.
//!
//! Standards: RFC 8461 §3.1 (record), §3.2 (policy), §3.3 (fetching), §4.1 (names), §5 and §5.1 (use and caching).
//!
//! # Security
//! The domain chooses where the policy is fetched from: only permitted addresses are dialled, no redirect is followed, the
//! certificate must be believed, and at most 64 KiB are read in ten seconds.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::tls::ClientTls;
use crate::clock::Timestamp;
use crate::dns::Resolver;
use crate::mail::address::Domain;
use crate::reach::Opened;

/// How binding a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mail goes to nobody else.
    Enforce,
    /// The domain tries it out.
    Testing,
    /// The domain gives its policy up.
    None,
}

/// A domain's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How binding it is.
    pub mode: Mode,
    /// Names of mail servers, in lower case; `*.` in front stands for one label.
    mx: Vec<String>,
    max_age: Duration,
}

/// A text is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no MTA-STS policy: {0}")]
pub struct InvalidPolicy(&'static str);

/// RFC 8461 §3.2: a year at most.
const LONGEST_AGE: u64 = 31_557_600;
/// Servers that a policy may name; the rest is not read.
const MOST_SERVERS: usize = 100;
/// RFC 8461 §3.3 suggests this bound.
const LARGEST_POLICY: usize = 64 * 1024;
/// Longest wait for a policy; below the minute that RFC 8461 §3.3 suggests, since mail waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 8461 §3.3: how long a policy that could not be fetched is not asked for again.
const PAUSE: Duration = Duration::from_secs(300);
/// Domains whose policies are kept.
const MOST_DOMAINS: u64 = 10_000;

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`InvalidPolicy`] says what is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(':').ok_or(InvalidPolicy("a line has no colon"))?;
            let value = value.trim();
            // RFC 8461 §3.2: of a field that stands twice the first counts; unknown ones are for others.
            match key.trim_end() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if mx.len() < MOST_SERVERS => mx.push(value.to_ascii_lowercase()),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(InvalidPolicy("its version is not STSv1"));
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(InvalidPolicy("its mode is not enforce, testing or none")),
        };
        let seconds = max_age.filter(|age| age.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds: u64 = seconds.and_then(|age| age.parse().ok()).ok_or(InvalidPolicy("its max_age is no number"))?;
        if mx.is_empty() && mode != Mode::None {
            return Err(InvalidPolicy("it names no mail server"));
        }
        Ok(Self { mode, mx, max_age: Duration::from_secs(seconds.min(LONGEST_AGE)) })
    }

    /// Whether it names this mail server (RFC 8461 §4.1).
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // The wildcard is one label, the leftmost.
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => *pattern == host,
        })
    }
}

/// The id of the one record in force; `None` where there is none, or more than one (RFC 8461 §3.1).
#[must_use]
pub fn record_id(texts: &[Vec<u8>]) -> Option<String> {
    let mut records = texts
        .iter()
        .filter_map(|text| std::str::from_utf8(text).ok())
        .filter(|text| text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start().starts_with(';')));
    let record = records.next()?;
    if records.next().is_some() {
        return None;
    }
    let mut fields = record.split(';').filter_map(|field| field.trim().split_once('='));
    let id = fields.find(|(key, _)| key.trim_end() == "id").map(|(_, id)| id.trim_start())?;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// Policies of domains. Clones share one cache, in memory.
#[derive(Clone)]
pub struct Policies {
    resolver: Resolver,
    client: reqwest::Client,
    port: u16,
    known: Cache<Domain, Known>,
}

/// What is known of a domain.
#[derive(Debug, Clone)]
struct Known {
    /// The record's id when the policy was last fetched, or tried to.
    id: String,
    /// The policy, and how long it counts.
    policy: Option<(Policy, Timestamp)>,
    /// Not asked for again before this, while the id is the same.
    again_at: Timestamp,
}

impl Known {
    fn policy(&self, now: Timestamp) -> Option<Policy> {
        self.policy.as_ref().filter(|(_, until)| now < *until).map(|(policy, _)| policy.clone())
    }
}

impl Policies {
    /// Fetches from `port`, which is 443 but in tests.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(resolver: &Resolver, tls: &ClientTls, opened: &Opened, port: u16) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.https())
            .dns_resolver(Arc::new(Guard { resolver: resolver.clone(), opened: opened.clone() }))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .https_only(true)
            .timeout(PATIENCE)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("connex/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let known = Cache::builder().max_capacity(MOST_DOMAINS).build();
        Ok(Self { resolver: resolver.clone(), client, port, known })
    }

    /// The policy that counts for mail to `domain` now; `None` where there is none.
    pub async fn of(&self, domain: &Domain, now: Timestamp) -> Option<Policy> {
        let known = self.known.get(domain);
        let texts = self.resolver.texts(&format!("_mta-sts.{domain}")).await.unwrap_or_default();
        // RFC 8461 §5.1: without a live policy, the one that is kept counts.
        let Some(id) = record_id(&texts) else { return known?.policy(now) };
        if let Some(known) = known.as_ref().filter(|known| known.id == id && now < known.again_at) {
            return known.policy(now);
        }
        let fetched = self.fetch(domain).await;
        let known = match fetched {
            Some(policy) => {
                let until = now.plus(policy.max_age);
                Known { id, policy: Some((policy, until)), again_at: until }
            }
            None => Known { id, policy: known.and_then(|known| known.policy), again_at: now.plus(PAUSE) },
        };
        let policy = known.policy(now);
        self.known.insert(domain.clone(), known);
        policy
    }

    async fn fetch(&self, domain: &Domain) -> Option<Policy> {
        let url = format!("https://mta-sts.{domain}:{}/.well-known/mta-sts.txt", self.port);
        let mut response = self.client.get(url).send().await.ok()?;
        // RFC 8461 §3.3: nothing but 200 counts.
        if response.status() != reqwest::StatusCode::OK {
            return None;
        }
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.ok()? {
            if text.len() + piece.len() > LARGEST_POLICY {
                return None;
            }
            text.extend_from_slice(&piece);
        }
        Policy::parse(std::str::from_utf8(&text).ok()?).ok()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Policies").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

/// Lets only permitted addresses through.
struct Guard {
    resolver: Resolver,
    opened: Opened,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, opened) = (self.resolver.clone(), self.opened.clone());
        Box::pin(async move {
            let mut addresses = resolver.addresses(name.as_str()).await?;
            addresses.retain(|address| opened.permit(*address));
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}

#[cfg(test)]
mod tests;
