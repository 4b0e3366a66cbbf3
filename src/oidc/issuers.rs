//! What issuers publish about themselves, and what they answer: asked when it is needed, and kept for a while.
//!
//! Standards: OpenID Connect Discovery 1.0 §4, OpenID Connect Core 1.0 §3.1.2 and §3.1.3, RFC 6749 §4.1, RFC 7636,
//! RFC 9207.
//!
//! # Security
//! An issuer that cannot be asked is not asked again for some seconds, and its keys are fetched anew for a token with an
//! unknown one at most once in half a minute: nobody makes this machine hammer another. Sizes and times have bounds. A
//! document counts for the issuer that it was fetched from and no other.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Mutex, RwLock};

use super::claims::{ClaimFault, Claims, Expected};
use super::jose::{KeySet, Token, TokenFault};
use crate::clock::{Clock, Timestamp};
use crate::webhook::endpoint::{InvalidUrl, PublicUrl};
use crate::webhook::fetch::{FetchError, Fetcher};

/// How long what an issuer published is believed.
const KEPT: Duration = Duration::from_hours(1);
/// How long an issuer that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// Keys are fetched for the sake of an unknown one no sooner than so long after the last time.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Issuers of which something is kept.
const CAPACITY: u64 = 1_000;
/// Octets of a document.
const MOST_DOCUMENT: usize = 256 * 1024;

/// Issuers, and what is known of them.
#[derive(Debug, Clone)]
pub struct Issuers {
    fetcher: Fetcher,
    known: moka::future::Cache<String, Arc<Known>>,
    silent: moka::sync::Cache<String, OidcError>,
    clock: Clock,
}

/// Why somebody is not known by an issuer. What is for the operator's log is in its text; nothing of a token is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// An address of the issuer is none that may be asked.
    #[error("`{host}` is not asked: {why}")]
    Address {
        /// Scheme and host of it.
        host: String,
        /// Why.
        why: &'static str,
    },
    /// The issuer did not answer.
    #[error("the issuer cannot be asked: {0}")]
    Silent(#[from] FetchError),
    /// Its document is not what the standard says.
    #[error("the issuer's document is not one of OpenID Connect Discovery: {0}")]
    Document(&'static str),
    /// The token is not signed by it.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The token is not for us, or not now.
    #[error(transparent)]
    Claims(#[from] ClaimFault),
    /// The code was not taken.
    #[error("the issuer did not take the code: {0}")]
    Code(FetchError),
}

impl OidcError {
    /// Whether it may be otherwise in a moment, whatever was shown.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Silent(_))
    }
}

/// What an issuer says about itself.
#[derive(Debug)]
pub struct Metadata {
    /// Its own name.
    pub issuer: String,
    /// Where people sign in.
    pub authorization: url::Url,
    /// Whether it says in its answers who it is (RFC 9207).
    pub tells_issuer: bool,
    token: PublicUrl,
    keys: PublicUrl,
    /// Whether it takes the secret in the form alone.
    takes_secret_in_form: bool,
}

#[derive(Debug)]
struct Known {
    metadata: Arc<Metadata>,
    keys: RwLock<KeySet>,
    /// When keys were fetched for the sake of an unknown one; held while they are.
    fetched_again: Mutex<Option<Timestamp>>,
}

/// As whom a code is redeemed.
#[derive(Clone, Copy)]
pub struct Client<'c> {
    /// Our name there.
    pub id: &'c str,
    /// Our secret there; `None`: a public client.
    pub secret: Option<&'c str>,
}

impl std::fmt::Debug for Client<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct RawMetadata {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Issuers {
    /// Issuers that are asked with `fetcher`.
    #[must_use]
    pub fn new(fetcher: Fetcher, clock: Clock) -> Self {
        Self {
            fetcher,
            known: moka::future::Cache::builder().max_capacity(CAPACITY).time_to_live(KEPT).build(),
            silent: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(LEFT_ALONE).build(),
            clock,
        }
    }

    /// Whether an issuer could be asked at this address.
    ///
    /// # Errors
    /// [`OidcError::Address`].
    pub fn check_address(&self, issuer: &str) -> Result<(), OidcError> {
        if issuer.contains(['?', '#']) {
            return Err(OidcError::Address { host: host_of(issuer), why: "an issuer has no query or fragment" });
        }
        self.address(issuer).map(drop)
    }

    /// What the issuer says about itself.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn metadata(&self, issuer: &str) -> Result<Arc<Metadata>, OidcError> {
        Ok(Arc::clone(&self.known(issuer).await?.metadata))
    }

    /// What a token says, if this issuer signed it for us, now and in answer to our question.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Claims, OidcError> {
        let token = Token::read(token)?;
        let known = self.known(expected.issuer).await?;
        let checked = known.keys.read().await.check(&token);
        match checked {
            Err(TokenFault::UnknownKey) => self.check_with_newer(&known, &token).await?,
            checked => checked?,
        }
        Ok(Claims::read(token.payload(), expected)?)
    }

    /// Exchanges a code for an ID token, which was not checked yet.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn redeem(
        &self,
        metadata: &Metadata,
        client: Client<'_>,
        (code, verifier): (&str, &str),
        redirect_uri: &str,
    ) -> Result<String, OidcError> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: String,
        }
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code)];
        fields.extend([("redirect_uri", redirect_uri), ("code_verifier", verifier)]);
        let credentials = match client.secret {
            Some(secret) if !metadata.takes_secret_in_form => Some((escaped(client.id), escaped(secret))),
            secret => {
                fields.push(("client_id", client.id));
                fields.extend(secret.map(|secret| ("client_secret", secret)));
                None
            }
        };
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let credentials = credentials.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        let answer = self.fetcher.post_form(&metadata.token, form, credentials, MOST_DOCUMENT).await;
        let answer = answer.map_err(|error| match error {
            FetchError::Status(400..=499) => OidcError::Code(error),
            error => OidcError::Silent(error),
        })?;
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| OidcError::Document("its answer has no id_token"))?;
        Ok(answer.id_token)
    }

    async fn known(&self, issuer: &str) -> Result<Arc<Known>, OidcError> {
        if let Some(error) = self.silent.get(issuer) {
            return Err(error);
        }
        let found = self.known.try_get_with(issuer.to_owned(), self.discover(issuer)).await;
        found.map_err(|error| {
            self.silent.insert(issuer.to_owned(), (*error).clone());
            (*error).clone()
        })
    }

    async fn discover(&self, issuer: &str) -> Result<Arc<Known>, OidcError> {
        let address = self.address(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        let document = self.fetcher.get(&address, MOST_DOCUMENT).await?;
        let raw: RawMetadata =
            serde_json::from_slice(&document).map_err(|_| OidcError::Document("a field is missing"))?;
        if raw.issuer != issuer {
            return Err(OidcError::Document("it is of another issuer"));
        }
        let (token, authorization) = (raw.token_endpoint, raw.authorization_endpoint);
        // An issuer whose users only decide needs neither; its own address stands in, and is never asked.
        let authorization = authorization.as_deref().unwrap_or(issuer);
        self.address(authorization)?;
        let methods = raw.token_endpoint_auth_methods_supported;
        let metadata = Metadata {
            authorization: url::Url::parse(authorization).map_err(|_| OidcError::Document("an address is none"))?,
            tells_issuer: raw.authorization_response_iss_parameter_supported,
            token: self.address(token.as_deref().unwrap_or(issuer))?,
            keys: self.address(&raw.jwks_uri)?,
            // Without a list it is Basic (Discovery §3).
            takes_secret_in_form: methods
                .is_some_and(|all| !all.is_empty() && !all.iter().any(|one| one == "client_secret_basic")),
            issuer: raw.issuer,
        };
        let keys = self.keys(&metadata).await?;
        let (keys, fetched_again) = (RwLock::new(keys), Mutex::new(None));
        Ok(Arc::new(Known { metadata: Arc::new(metadata), keys, fetched_again }))
    }

    async fn keys(&self, metadata: &Metadata) -> Result<KeySet, OidcError> {
        let document = self.fetcher.get(&metadata.keys, MOST_DOCUMENT).await?;
        KeySet::parse(&document).map_err(|_| OidcError::Document("its keys are no JWK set"))
    }

    async fn check_with_newer(&self, known: &Known, token: &Token<'_>) -> Result<(), OidcError> {
        let mut fetched_again = known.fetched_again.lock().await;
        // Whoever waited here may have what another has fetched meanwhile.
        let checked = known.keys.read().await.check(token);
        if checked != Err(TokenFault::UnknownKey) {
            return Ok(checked?);
        }
        let now = self.clock.now();
        if fetched_again.is_some_and(|last| now.since(last) < KEYS_AGAIN) {
            return Err(TokenFault::UnknownKey.into());
        }
        *fetched_again = Some(now);
        let newer = self.keys(&known.metadata).await?;
        let checked = newer.check(token);
        *known.keys.write().await = newer;
        Ok(checked?)
    }

    fn address(&self, text: &str) -> Result<PublicUrl, OidcError> {
        self.fetcher.url(text).map_err(|error| OidcError::Address {
            host: host_of(text),
            why: match error {
                InvalidUrl::NotHttps | InvalidUrl::Port { .. } | InvalidUrl::BlockedAddress { .. } => {
                    "it is not a public https address, and not among sign_in.allow"
                }
                _ => "it is not an https URL",
            },
        })
    }
}

/// What may be told of an address.
fn host_of(text: &str) -> String {
    url::Url::parse(text).map_or_else(|_| "this text".to_owned(), |url| url.origin().ascii_serialization())
}

/// RFC 6749 §2.3.1: what goes as Basic authentication is form-encoded before.
fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
