//! One order at a directory: the account behind it, the answers to its questions, and the certificate that comes of it.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::answers::Answers;
use super::storage::Storage;
use crate::dns::Resolver;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The file with the directory's authority cannot be used.
    #[error("{} holds no certificate: it must be PEM with a CERTIFICATE section", .0.display())]
    Authority(PathBuf),
    /// The client cannot be set up.
    #[error("the client cannot be set up: {0}")]
    Setup(String),
    /// The directory does not answer as it should, or refuses.
    #[error("the directory: {0}")]
    Directory(String),
    /// It asked, and was not content with the answer.
    #[error("the directory does not believe that the hosts are ours, so look whether port 80 leads here: {0}")]
    NotBelieved(String),
    /// It offers no HTTP-01 for a host.
    #[error("the directory offers no HTTP-01 for {0}")]
    NoChallenge(String),
    /// It took too long.
    #[error("the order took longer than {} s", PATIENCE.as_secs())]
    TimedOut,
    /// Account or certificate cannot be read or written.
    #[error("the folder of the account cannot be used: {0}")]
    Storage(#[from] std::io::Error),
    /// No key or request could be made: a host name that cannot stand in one.
    #[error("no request can be made: {0}")]
    Request(#[from] rcgen::Error),
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        Self::Directory(whole(&error))
    }
}

/// A certificate that a directory issued.
pub struct Obtained {
    /// The chain, leaf first, PEM.
    pub chain: String,
    /// Its private key, PEM.
    pub key: String,
}

/// Names nothing: it holds a key.
impl std::fmt::Debug for Obtained {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Obtained")
    }
}

/// A directory, as whom we speak to it, and for which hosts.
#[derive(Debug, Clone)]
pub struct Directory {
    url: String,
    contact: Vec<String>,
    hosts: Vec<String>,
    storage: Storage,
    answers: Answers,
    client: reqwest::Client,
}

impl Directory {
    /// The directory at `url`, whose own certificate is checked against `authority` alone, or the public ones.
    ///
    /// # Errors
    /// The authority cannot be used.
    pub fn new(url: &str, authority: Option<&Path>, resolver: &Resolver, storage: Storage) -> Result<Self, AcmeError> {
        let setup = |error: &dyn std::error::Error| AcmeError::Setup(whole(error));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(authority)?)
            .dns_resolver(Arc::new(Names(resolver.clone())))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(true)
            .timeout(REQUEST)
            .build()
            .map_err(|error| setup(&error))?;
        let (contact, hosts) = (Vec::new(), Vec::new());
        Ok(Self { url: url.to_owned(), contact, hosts, storage, answers: Answers::default(), client })
    }

    /// Orders are for these hosts, and trouble is told to these mail addresses.
    #[must_use]
    pub fn ordering(self, hosts: Vec<String>, contact: Vec<String>) -> Self {
        Self { hosts, contact, ..self }
    }

    /// What may be asked while an order is under way.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Orders a certificate and waits for it.
    ///
    /// # Errors
    /// Says at what it failed; what is left of the order ends by itself.
    pub async fn obtain(&self) -> Result<Obtained, AcmeError> {
        let ended = tokio::time::timeout(PATIENCE, self.order()).await;
        self.answers.clear();
        ended.unwrap_or(Err(AcmeError::TimedOut))
    }

    async fn order(&self) -> Result<Obtained, AcmeError> {
        let identifiers: Vec<Identifier> = self.hosts.iter().cloned().map(Identifier::Dns).collect();
        let wanted = NewOrder::new(&identifiers);
        let mut order = match self.account().await?.new_order(&wanted).await {
            Err(error) if is_account_unknown(&error) => self.register().await?.new_order(&wanted).await?,
            made => made?,
        };
        self.answer(&mut order).await?;
        let policy = RetryPolicy::new().timeout(PATIENCE);
        let is_believed = matches!(order.poll_ready(&policy).await, Ok(OrderStatus::Ready));
        if !is_believed {
            return Err(AcmeError::NotBelieved(reason(&mut order).await));
        }
        let mut params = CertificateParams::new(self.hosts.clone())?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate()?;
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&policy).await?;
        Ok(Obtained { chain, key: key.serialize_pem() })
    }

    /// Lays out the answers, and says that they are there.
    async fn answer(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // One that is valid still, or cannot become so any more; the order then says so.
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let host = authorization.identifier().to_string();
            let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or(AcmeError::NoChallenge(host))?;
            self.answers.put(&challenge.token, challenge.key_authorization().as_str());
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// The account of before, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let (storage, url) = (self.storage.clone(), self.url.clone());
        let stored = blocking(move || storage.account(&url)).await?;
        match stored {
            Some(credentials) => Ok(self.builder().from_credentials(credentials).await?),
            None => self.register().await,
        }
    }

    async fn register(&self) -> Result<Account, AcmeError> {
        let contact: Vec<String> = self.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        // That the terms are agreed to was checked with the configuration, without which there is no directory.
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = self.builder().create(&wanted, self.url.clone(), None).await?;
        self.keep(credentials).await?;
        Ok(account)
    }

    async fn keep(&self, credentials: AccountCredentials) -> Result<(), AcmeError> {
        let (storage, url) = (self.storage.clone(), self.url.clone());
        blocking(move || storage.keep_account(&url, credentials)).await
    }

    fn builder(&self) -> instant_acme::AccountBuilder {
        Account::builder_with_http(Box::new(Requests(self.client.clone())))
    }
}

/// What the directory says about hosts that it does not believe in.
async fn reason(order: &mut Order) -> String {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let host = authorization.identifier().to_string();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(errors.map(|error| format!("{host}: {error}")));
    }
    if said.is_empty() {
        said.push("it does not say why".to_owned());
    }
    cut(&said.join("; "))
}

fn is_account_unknown(error: &Error) -> bool {
    let unknown = "urn:ietf:params:acme:error:accountDoesNotExist";
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some(unknown))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, AcmeError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| std::io::Error::from(std::io::ErrorKind::Interrupted))??)
}

fn tls(authority: Option<&Path>) -> Result<rustls::ClientConfig, AcmeError> {
    let mut roots = rustls::RootCertStore::empty();
    match authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let read = read.map_err(|_| AcmeError::Authority(file.to_owned()))?;
            if roots.add_parsable_certificates(read).0 == 0 {
                return Err(AcmeError::Authority(file.to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| AcmeError::Setup(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// How requests go out; replies are read up to a bound.
struct Requests(reqwest::Client);

impl HttpClient for Requests {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))
                .map_err(|error| Error::Other(Box::new(error)))?;
            let reply = client.execute(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            read(reply).await
        })
    }
}

async fn read(mut reply: reqwest::Response) -> Result<BytesResponse, Error> {
    let mut whole = http::Response::new(());
    *whole.status_mut() = reply.status();
    *whole.headers_mut() = std::mem::take(reply.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = reply.chunk().await.map_err(|error| Error::Other(Box::new(error)))? {
        if body.len() + chunk.len() > LARGEST_REPLY {
            return Err(Error::Str("the reply is larger than any that is needed"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(BytesResponse { parts: whole.into_parts().0, body: Box::new(body.freeze()) })
}

/// Looks names up as the rest of the program does.
struct Names(Resolver);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| (address, 0).into()));
            Ok(sockets)
        })
    }
}

/// An error with those behind it, cut to a line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    cut(&said)
}

fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_TEXT).collect()
}

/// Of a whole order.
const PATIENCE: Duration = Duration::from_secs(300);
/// Of one request.
const REQUEST: Duration = Duration::from_secs(30);
const LARGEST_REPLY: usize = 1 << 20;
const LONGEST_TEXT: usize = 600;
