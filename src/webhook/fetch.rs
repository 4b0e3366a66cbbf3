//! Documents of addresses that somebody else chose, under the rules of webhooks: what an issuer publishes about itself, and
//! what its token endpoint answers.
//!
//! # Security
//! Takes nothing but a [`PublicUrl`]; addresses are judged when they are dialled (`webhook::connect`). No redirect is
//! followed, no proxy of the environment used, and an answer is read to a bound within a time.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::connect::{Guard, tls};
use super::deliver::{ClientError, ClientSettings};
use super::endpoint::{AllowList, InvalidUrl, PublicUrl, Reach};
use crate::dns::Resolver;

/// An HTTP client for documents. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// For hosts that the operator did not name: each address is judged.
    public: reqwest::Client,
    /// For hosts that the operator named.
    named: reqwest::Client,
    allow: AllowList,
    total_timeout: Duration,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Connection(String),
    /// Not done in time.
    #[error("no whole answer came in time")]
    Late,
    /// An answer, and not the one that was asked for.
    #[error("the answer is {0}")]
    Status(u16),
    /// More than is read.
    #[error("the answer has more than {0} octets")]
    TooLarge(usize),
}

impl Fetcher {
    /// A client that resolves names with `resolver` and dials what `allow` permits.
    ///
    /// # Errors
    /// When a root certificate cannot be used.
    pub fn new(settings: &ClientSettings, resolver: &Resolver, allow: &AllowList) -> Result<Self, ClientError> {
        let tls = tls(&settings.extra_roots).map_err(ClientError::Certificate)?;
        let client = |reach| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Guard::new(resolver.clone(), allow.clone(), reach))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(settings.idle_timeout)
                .user_agent(concat!("connex/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(ClientError::Client)
        };
        Ok(Self {
            public: client(Reach::Public)?,
            named: client(Reach::Named)?,
            allow: allow.clone(),
            total_timeout: settings.total_timeout,
        })
    }

    /// An address that may be asked.
    ///
    /// # Errors
    /// See [`InvalidUrl`].
    pub fn url(&self, text: &str) -> Result<PublicUrl, InvalidUrl> {
        PublicUrl::parse(text, &self.allow)
    }

    /// A JSON document of at most `most` octets.
    ///
    /// # Errors
    /// [`FetchError`], also for every status but 200.
    pub async fn get(&self, url: &PublicUrl, most: usize) -> Result<Bytes, FetchError> {
        self.send(self.client(url).get(url.url().clone()), most).await
    }

    /// What is answered to a form; `credentials` go as Basic authentication.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn post_form(
        &self,
        url: &PublicUrl,
        form: String,
        credentials: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Bytes, FetchError> {
        let request = self.client(url).post(url.url().clone()).body(form);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let request = match credentials {
            Some((name, secret)) => request.basic_auth(name, Some(secret)),
            None => request,
        };
        self.send(request, most).await
    }

    const fn client(&self, url: &PublicUrl) -> &reqwest::Client {
        match url.reach() {
            Reach::Public => &self.public,
            Reach::Named => &self.named,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder, most: usize) -> Result<Bytes, FetchError> {
        let exchange = async {
            let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
            let mut response = request.send().await.map_err(|error| FetchError::of(&error))?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| FetchError::of(&error))? {
                if body.len() + chunk.len() > most {
                    return Err(FetchError::TooLarge(most));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Bytes::from(body))
        };
        tokio::time::timeout(self.total_timeout, exchange).await.unwrap_or(Err(FetchError::Late))
    }
}

impl FetchError {
    /// The innermost words: what did not work, without the request around it.
    fn of(error: &reqwest::Error) -> Self {
        let mut inner: Option<&dyn std::error::Error> = None;
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            (inner, next) = (Some(source), source.source());
        }
        Self::Connection(inner.map_or_else(|| "the request failed".to_owned(), ToString::to_string))
    }
}
