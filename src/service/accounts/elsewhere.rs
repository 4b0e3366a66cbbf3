//! Signing in elsewhere: at a provider of OpenID Connect that the operator named, which then says who somebody is.
//!
//! [`Service::go_elsewhere`] sends the browser there, [`Service::come_back`] takes what it brings. What one tells the other
//! is in a cookie that is signed, so that any node can go on; nothing is stored in between.
//!
//! # Security
//! A provider brings in people of the one tenant that the operator wrote beside it. An account is found by issuer and
//! subject alone. An address, and only one that the provider checked, uses an invitation once, and never opens an account
//! that is there: its person links it, signed in and with a form. State, nonce and the PKCE verifier are derived from 256
//! random bits in the browser's cookie. Nothing of codes or tokens is logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::joining::{checked_email, checked_name};
use super::sign_in::Comes;
use super::throttle::Subject;
use super::{AccountError, Begun, Role, Secret, SignedIn, Viewer};
use crate::clock::Timestamp;
use crate::ids::{SignInId, TenantId, UserId};
use crate::oidc::{Claims, Client, Expected, Issuers, OidcError};
use crate::service::Service;
use crate::store::StoreError;
use crate::store::accounts::NewUser;
use crate::store::accounts::identities::{Identity, Newcomer};
use crate::store::accounts::sign_ins::Proof;

/// How long somebody may take to sign in elsewhere.
pub const ELSEWHERE: Duration = Duration::from_mins(10);
/// Where a provider sends the browser back to.
pub const CALLBACK: &str = "/auth/oidc/callback";

/// A provider at which people of one tenant sign in.
#[derive(Clone)]
pub struct Provider {
    /// Its name in addresses of ours.
    pub name: String,
    /// What is on the button.
    pub label: String,
    /// Its own name: an https URL.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; `None`: a public client.
    pub client_secret: Option<String>,
    /// Whose people sign in there: id or name.
    pub tenant: String,
    /// What somebody may do who comes for the first time, and was not invited; `None`: nobody comes so.
    pub first_role: Option<Role>,
}

/// Never shows the secret.
impl std::fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Provider")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Providers, and whom to ask about them.
#[derive(Debug)]
pub struct Desk {
    /// Those of the operator.
    pub providers: Vec<Provider>,
    /// Documents and keys of issuers.
    pub issuers: Issuers,
}

/// What somebody goes elsewhere for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// To sign in.
    SignIn,
    /// To prove again who they are.
    StepUp,
    /// To sign in that way from now on.
    Link,
}

/// What the browser keeps meanwhile.
#[derive(Serialize, Deserialize)]
struct Kept {
    provider: String,
    errand: Errand,
    /// Of whom, where somebody is signed in.
    sign_in: Option<SignInId>,
    /// Where to go on.
    next: String,
    /// When they went, in microseconds.
    began_at: i64,
    secret: String,
}

/// The way there.
#[derive(Debug, PartialEq, Eq)]
pub struct Departure {
    /// Where to send the browser.
    pub url: String,
    /// For its cookie.
    pub cookie: String,
}

/// What the browser brings back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Returned {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// From where somebody comes back.
#[derive(Debug)]
pub struct Comer<'f> {
    /// The cookie.
    pub cookie: Option<&'f str>,
    /// Who is signed in there.
    pub who: Option<&'f SignedIn<Viewer>>,
    /// Its address.
    pub peer: Option<IpAddr>,
    /// What it calls itself.
    pub user_agent: Option<&'f str>,
}

/// What came of it.
#[derive(Debug)]
pub enum Arrival {
    /// Signed in.
    Begun(Begun),
    /// The sign-in has this token from now on.
    Renewed(Secret),
    /// The account is linked.
    Linked,
}

impl Service {
    /// Providers at which people can sign in: name, and what is on the button.
    pub fn providers(&self) -> impl Iterator<Item = (&str, &str)> {
        let desk = self.accounts.elsewhere.as_deref();
        desk.into_iter().flat_map(|desk| &desk.providers).map(|one| (one.name.as_str(), one.label.as_str()))
    }

    /// Sends somebody to a provider.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] when there is no such provider; [`AccountError::Unconfirmed`] when it cannot be asked;
    /// [`AccountError::NotSignedIn`] for errands of whoever is signed in.
    pub async fn go_elsewhere(
        &self,
        provider: &str,
        (errand, next): (Errand, &str),
        who: Option<&SignedIn<Viewer>>,
    ) -> Result<Departure, AccountError> {
        let (desk, provider) = self.provider(provider)?;
        let sign_in = match errand {
            Errand::SignIn => None,
            Errand::StepUp | Errand::Link => Some(who.ok_or(AccountError::NotSignedIn)?.sign_in()),
        };
        let metadata = desk.issuers.metadata(&provider.issuer).await.map_err(|error| unconfirmed(provider, &error))?;
        let secret = Secret::new();
        let kept = Kept {
            provider: provider.name.clone(),
            errand,
            sign_in,
            next: next.to_owned(),
            began_at: self.clock().now().as_micros(),
            secret: secret.reveal(),
        };
        let mut url = metadata.authorization.clone();
        let verifier = derived(&secret, b"verifier");
        let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()));
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code").append_pair("client_id", &provider.client_id);
        query.append_pair("redirect_uri", &self.callback()).append_pair("scope", "openid email profile");
        query.append_pair("state", &derived(&secret, b"state")).append_pair("nonce", &derived(&secret, b"nonce"));
        query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        if errand == Errand::StepUp {
            // OpenID Connect Core §3.1.2.1: prove it again, and say when that was.
            query.append_pair("prompt", "login").append_pair("max_age", "0");
        }
        drop(query);
        Ok(Departure { url: url.into(), cookie: self.signed(&kept)? })
    }

    /// Takes what a browser brings back from a provider; where to go on, and what came of it.
    ///
    /// # Errors
    /// [`AccountError::Unconfirmed`], [`AccountError::NotKnown`], [`AccountError::Throttled`], [`AccountError::Conflict`]
    /// when it is linked to somebody else's account.
    pub async fn come_back(&self, returned: Returned, from: Comer<'_>) -> Result<(String, Arrival), AccountError> {
        let done = self.try_come_back(returned, from).await;
        let outcome = match &done {
            Ok(_) => "done",
            Err(AccountError::Unconfirmed | AccountError::NotKnown) => "wrong",
            Err(AccountError::Throttled { .. }) => "throttled",
            Err(_) => "failed",
        };
        metrics::counter!("connex_sign_ins_total", "outcome" => outcome).increment(1);
        done
    }

    async fn try_come_back(&self, returned: Returned, from: Comer<'_>) -> Result<(String, Arrival), AccountError> {
        let throttle = &self.accounts.throttle;
        let subjects: Vec<Subject<'_>> = from.peer.and_then(Subject::address).into_iter().collect();
        let taken = throttle.take(&subjects, self.clock().now());
        taken.map_err(|retry_after| AccountError::Throttled { retry_after })?;
        let kept = from.cookie.and_then(|cookie| self.kept(cookie)).ok_or(AccountError::Unconfirmed)?;
        let (desk, provider) = self.provider(&kept.provider)?;
        let claims = self.confirmed((desk, provider), &kept, returned).await?;
        let next = kept.next.clone();
        let arrival = self.arrive(provider, &kept, claims, &from).await?;
        throttle.give_back(&subjects);
        Ok((next, arrival))
    }

    /// Who the provider says that it is.
    async fn confirmed(
        &self,
        (desk, provider): (&Desk, &Provider),
        kept: &Kept,
        returned: Returned,
    ) -> Result<Claims, AccountError> {
        let secret = Secret::parse(&kept.secret).ok_or(AccountError::Unconfirmed)?;
        let is_ours = returned.state.is_some_and(|state| is_derived(&secret, b"state", &state));
        if !is_ours || returned.error.is_some() {
            return Err(AccountError::Unconfirmed);
        }
        let failed = |error: OidcError| unconfirmed(provider, &error);
        let metadata = desk.issuers.metadata(&provider.issuer).await.map_err(failed)?;
        // RFC 9207 §2.4: an answer of another issuer is none.
        let is_told = match &returned.iss {
            Some(issuer) => *issuer == metadata.issuer,
            None => !metadata.tells_issuer,
        };
        let (true, Some(code)) = (is_told, returned.code) else { return Err(AccountError::Unconfirmed) };
        let client = Client { id: &provider.client_id, secret: provider.client_secret.as_deref() };
        let verifier = derived(&secret, b"verifier");
        let (code, back) = ((code.as_str(), verifier.as_str()), self.callback());
        let token = desk.issuers.redeem(&metadata, client, code, &back).await.map_err(failed)?;
        let expected = Expected {
            issuer: &provider.issuer,
            audience: &provider.client_id,
            nonce: &derived(&secret, b"nonce"),
            authenticated_since: (kept.errand == Errand::StepUp).then(|| seconds_before(kept.began_at, 60)),
            now: self.clock().now(),
        };
        desk.issuers.verify(&token, &expected).await.map_err(failed)
    }

    async fn arrive(
        &self,
        provider: &Provider,
        kept: &Kept,
        claims: Claims,
        from: &Comer<'_>,
    ) -> Result<Arrival, AccountError> {
        let tenant = self.tenant_of(provider).await?;
        let identity = Identity { issuer: provider.issuer.clone(), subject: claims.subject.clone() };
        let own = self.store.for_tenant(tenant);
        let known = own.user_of_identity(&identity).await?;
        // Another person may have signed in at this browser meanwhile.
        let who = from.who.filter(|who| Some(who.sign_in()) == kept.sign_in && who.tenant() == tenant);
        match (kept.errand, who, known) {
            (Errand::SignIn, _, known) => {
                let user = match known {
                    Some(user) => user,
                    None => self.join(provider, tenant, &claims, identity.clone()).await?,
                };
                let proof = Proof::Issuer(identity, claims.authenticated_at);
                // Nobody can tell here; and the issuer tells its people of sign-ins itself.
                let comes = Comes { peer: from.peer, user_agent: from.user_agent, is_known_browser: false };
                let begun = self.begin((tenant, user), proof, comes).await?;
                begun.map(Arrival::Begun).ok_or(AccountError::NotKnown)
            }
            (Errand::StepUp, Some(who), Some(user)) if user == who.user() => {
                self.renew(who).await.map(Arrival::Renewed)
            }
            (Errand::Link, Some(who), None) => {
                who.require_step_up(self.clock().now())?;
                own.link_identity(who.user(), identity).await?;
                tracing::info!(tenant.id = %tenant, user.id = %who.user(), "`{}` linked `{}`", who.user(), provider.name);
                Ok(Arrival::Linked)
            }
            (Errand::Link, Some(who), Some(user)) if user == who.user() => Ok(Arrival::Linked),
            (Errand::Link, Some(_), Some(_)) => Err(AccountError::Conflict("somebody else's account is linked to it")),
            (Errand::StepUp | Errand::Link, ..) => Err(AccountError::NotKnown),
        }
    }

    /// The account of somebody who comes for the first time.
    async fn join(
        &self,
        provider: &Provider,
        tenant: TenantId,
        claims: &Claims,
        identity: Identity,
    ) -> Result<UserId, AccountError> {
        let email = claims.verified_email.as_deref().ok_or(AccountError::NotKnown)?;
        let (email, email_key) = checked_email(email).map_err(|_| AccountError::NotKnown)?;
        let name = claims.name.as_deref().and_then(|name| checked_name(name).ok()).unwrap_or_default();
        let own = self.store.for_tenant(tenant);
        let newcomer = Newcomer { identity: identity.clone(), email_key: email_key.clone(), name: name.clone() };
        let joined = match own.join_by_invitation(newcomer).await {
            // The address has an account, which only its person may link.
            Err(StoreError::Exists(_)) => return Err(AccountError::NotKnown),
            joined => joined?,
        };
        let user = match (joined, provider.first_role) {
            (Some(user), _) => user,
            (None, None) => return Err(AccountError::NotKnown),
            (None, Some(role)) => {
                let id = self.clock().mint();
                let user = NewUser { id, email, email_key, name, role, password_hash: None };
                match own.join_by_issuer(user, identity).await {
                    Err(StoreError::Exists(_)) => return Err(AccountError::NotKnown),
                    joined => joined?,
                }
                id
            }
        };
        tracing::info!(tenant.id = %tenant, user.id = %user, "`{user}` joined by `{}`", provider.name);
        Ok(user)
    }

    async fn tenant_of(&self, provider: &Provider) -> Result<TenantId, AccountError> {
        let all = self.store.tenants().await?;
        let found = all.iter().find(|one| one.name == provider.tenant || one.id.to_string() == provider.tenant);
        found.map(|tenant| tenant.id).ok_or_else(|| {
            let name = &provider.name;
            tracing::error!(
                error.kind = "configuration",
                temporary = false,
                "The tenant of provider `{name}` is not there"
            );
            AccountError::NotKnown
        })
    }

    fn provider(&self, name: &str) -> Result<(&Desk, &Provider), AccountError> {
        let desk = self.accounts.elsewhere.as_deref().ok_or(AccountError::NotFound("provider"))?;
        let provider = desk.providers.iter().find(|provider| provider.name == name);
        Ok((desk, provider.ok_or(AccountError::NotFound("provider"))?))
    }

    fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.base_url.trim_end_matches('/'))
    }

    fn signed(&self, kept: &Kept) -> Result<String, AccountError> {
        let json = serde_json::to_vec(kept).map_err(|error| AccountError::Internal(error.into()))?;
        let tag = self.pepper.tag(&tagged(&json));
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(json), URL_SAFE_NO_PAD.encode(tag)))
    }

    fn kept(&self, cookie: &str) -> Option<Kept> {
        let (json, tag) = cookie.split_once('.')?;
        let (json, tag) = (URL_SAFE_NO_PAD.decode(json).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        let kept: Kept = self.pepper.is_tag(&tag, &tagged(&json)).then(|| serde_json::from_slice(&json).ok())??;
        let age = self.clock().now().since(Timestamp::from_micros(kept.began_at));
        (age <= ELSEWHERE).then_some(kept)
    }
}

fn tagged(json: &[u8]) -> Vec<u8> {
    [b"connex elsewhere v1 ".as_slice(), json].concat()
}

/// A value that only the holder of the secret can know, and which does not tell it (RFC 2104).
fn derived(secret: &Secret, purpose: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&key_of(secret), purpose))
}

fn is_derived(secret: &Secret, purpose: &[u8], text: &str) -> bool {
    let tag = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    hmac::verify(&key_of(secret), purpose, &tag).is_ok()
}

fn key_of(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, format!("connex elsewhere v1 {}", secret.reveal()).as_bytes())
}

fn seconds_before(micros: i64, seconds: i64) -> Timestamp {
    Timestamp::from_micros(micros.saturating_sub(seconds.saturating_mul(1_000_000)))
}

/// What the person is told is the same for every reason; the operator can see it.
fn unconfirmed(provider: &Provider, error: &OidcError) -> AccountError {
    let (name, temporary) = (&provider.name, error.is_temporary());
    tracing::warn!(error.kind = "oidc", temporary, "A sign-in at `{name}` was not confirmed: {error}");
    AccountError::Unconfirmed
}

/// Shared by all clones of a service.
impl Desk {
    /// Providers, and whom to ask about them.
    #[must_use]
    pub fn new(providers: Vec<Provider>, issuers: Issuers) -> Arc<Self> {
        Arc::new(Self { providers, issuers })
    }
}
