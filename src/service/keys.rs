//! Who calls: from a presented key to proof of what it may do.
//!
//! # Security
//! [`Principal`] and [`Authenticated`] have no public constructor: the only way to one is [`Service::authenticate`], and
//! use cases ask for an `Authenticated<Scope>`, so that a handler without the check does not compile. What is refused says
//! the same for a key that never existed and for one of another instance.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Refusal, Service, ServiceError};
use crate::clock::{Clock, Timestamp};
use crate::governance::audit::Who;
use crate::ids::{KeyId, TenantId};
use crate::keys::{
    ApiKey, Environment, KeyBindings, KeyDigest, KeyRecord, KeyRefusal, KeySyntaxError, Pepper, Scope, Scopes,
};
use crate::mail::address::Mailbox;
use crate::store::audit::NewEntry;
use crate::store::limits::BlockRequest;
use crate::store::{Store, StoreError};

/// A scope as a type, for [`Authenticated`].
pub trait RequiredScope {
    /// The scope; `None` where any valid key will do.
    const SCOPE: Option<Scope>;
}

macro_rules! required_scopes {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl RequiredScope for $name {
            const SCOPE: Option<Scope> = $scope;
        }
    )*};
}

required_scopes! {
    /// Any valid key.
    AnyScope = None;
    /// `status:evaluate`.
    StatusEvaluate = Some(Scope::StatusEvaluate);
    /// `events:read`.
    EventsRead = Some(Scope::EventsRead);
    /// `messages:read`.
    MessagesRead = Some(Scope::MessagesRead);
    /// `messages:raw`.
    MessagesRaw = Some(Scope::MessagesRaw);
    /// `mail:ingest`.
    MailIngest = Some(Scope::MailIngest);
    /// `domains:read`.
    DomainsRead = Some(Scope::DomainsRead);
    /// `domains:write`.
    DomainsWrite = Some(Scope::DomainsWrite);
    /// `drafts:read`.
    DraftsRead = Some(Scope::DraftsRead);
    /// `drafts:write`.
    DraftsWrite = Some(Scope::DraftsWrite);
    /// `approvals:read`.
    ApprovalsRead = Some(Scope::ApprovalsRead);
    /// `approvals:report`.
    ApprovalsReport = Some(Scope::ApprovalsReport);
    /// `audit:read`.
    AuditRead = Some(Scope::AuditRead);
    /// `routes:read`.
    RoutesRead = Some(Scope::RoutesRead);
    /// `routes:write`.
    RoutesWrite = Some(Scope::RoutesWrite);
}

/// The holder of a key that was found valid for this call.
#[derive(Debug)]
pub struct Principal {
    key: KeyRecord,
}

impl Principal {
    /// The key's id.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key.id
    }

    /// The tenant for which it acts.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.key.tenant
    }

    /// To what the key is confined.
    #[must_use]
    pub const fn bindings(&self) -> &KeyBindings {
        &self.key.bindings
    }

    /// Whether the key has a scope.
    #[must_use]
    pub const fn has(&self, scope: Scope) -> bool {
        self.key.scopes.contains(scope)
    }

    fn require_unconfined(&self) -> Result<(), Refusal> {
        let bound = &self.bindings().mailboxes;
        if bound.is_empty() { Ok(()) } else { Err(Refusal::Confined { bound: bound.clone() }) }
    }

    /// The log is of the whole tenant, and nothing of it is told apart by app or agent.
    fn require_unbound(&self) -> Result<(), Refusal> {
        let bindings = self.bindings();
        let bound: Vec<String> = bindings.apps.iter().cloned().chain(bindings.agent.clone()).collect();
        if bound.is_empty() { Ok(()) } else { Err(Refusal::Confined { bound }) }
    }

    /// Proof that the key has the scope `S`.
    ///
    /// Scopes for what is not told apart by mailbox are withheld from a key that is bound to some; what it sees of events and
    /// messages is for [`super::sight`] to say.
    ///
    /// # Errors
    /// [`Refusal::Scope`] when it has not; [`Refusal::Confined`] when its mailboxes withhold it.
    pub fn require<S: RequiredScope>(self: &Arc<Self>) -> Result<Authenticated<S>, Refusal> {
        match S::SCOPE {
            Some(scope) if !self.has(scope) => Err(Refusal::Scope(scope)),
            Some(scope) if is_of_all_mailboxes(scope) => {
                self.require_unconfined()?;
                if scope == Scope::AuditRead {
                    self.require_unbound()?;
                }
                Ok(Authenticated { principal: Arc::clone(self), scope: PhantomData })
            }
            _ => Ok(Authenticated { principal: Arc::clone(self), scope: PhantomData }),
        }
    }
}

/// Whether a scope is for what all the tenant's mailboxes are on.
const fn is_of_all_mailboxes(scope: Scope) -> bool {
    matches!(
        scope,
        Scope::DomainsRead
            | Scope::DomainsWrite
            | Scope::RoutesRead
            | Scope::RoutesWrite
            | Scope::ApprovalsRead
            | Scope::AuditRead
    )
}

/// Proof that the caller's key was checked and has the scope `S`.
#[must_use]
#[derive(Debug)]
pub struct Authenticated<S> {
    principal: Arc<Principal>,
    scope: PhantomData<fn() -> S>,
}

impl<S> Authenticated<S> {
    /// Who calls.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether the key may speak for `app`.
    ///
    /// # Errors
    /// [`Refusal::App`] when it is bound to others.
    pub fn require_app(&self, app: &str) -> Result<(), Refusal> {
        let bindings = self.principal.bindings();
        if bindings.allows_app(app) { Ok(()) } else { Err(Refusal::App { bound: bindings.apps.clone() }) }
    }

    /// Whether the key may read of all the tenant's mailboxes together, as figures do.
    ///
    /// # Errors
    /// [`Refusal::Confined`] when it is bound to some.
    pub fn require_all_mailboxes(&self) -> Result<(), Refusal> {
        self.principal.require_unconfined()
    }

    /// Whether the key may speak of the mailbox `address`. A key that is bound to mailboxes must name one.
    ///
    /// # Errors
    /// [`Refusal::Mailbox`] when it is bound to others.
    pub fn require_mailbox(&self, address: Option<&str>) -> Result<(), Refusal> {
        if self.may_speak_of(address) {
            Ok(())
        } else {
            Err(Refusal::Mailbox { bound: self.principal.bindings().mailboxes.clone() })
        }
    }

    /// Whether the key is bound to the mailbox `address`, or to none. The domain may be written in either form.
    #[must_use]
    pub fn may_speak_of(&self, address: Option<&str>) -> bool {
        let bindings = self.principal.bindings();
        let address = address.unwrap_or_default();
        bindings.allows_mailbox(address)
            || Mailbox::parse(address).is_ok_and(|mailbox| bindings.allows_mailbox(&mailbox.to_string()))
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What its maker calls it.
    pub name: String,
    /// For which kind of work.
    pub environment: Environment,
    /// What it may do.
    pub scopes: Scopes,
    /// To what it is confined.
    pub bindings: KeyBindings,
    /// Networks from which it may be used; empty means any.
    pub allowed_networks: Vec<ipnet::IpNet>,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key for `tenant`: the raw key, to be shown once, and the record to be stored.
#[must_use]
pub fn make_key(new: NewKey, tenant: TenantId, pepper: &Pepper, clock: &Clock) -> (ApiKey, KeyRecord) {
    let key = loop {
        let mut random = [0u8; 64];
        crate::clock::random_bytes(&mut random);
        if let Some(key) = ApiKey::from_random(&random, new.environment) {
            break key;
        }
    };
    let record = KeyRecord {
        id: clock.mint(),
        tenant,
        digest: key.digest(pepper),
        environment: new.environment,
        name: new.name,
        last4: key.last4().to_owned(),
        scopes: new.scopes,
        bindings: new.bindings,
        allowed_networks: new.allowed_networks,
        created_at: clock.now(),
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    (key, record)
}

/// Answer of key-check. Never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCheckAnswer {
    /// True: an invalid key is answered with 401.
    pub valid: bool,
    /// Id of the key.
    pub key_id: String,
    /// The tenant for which it acts.
    pub tenant_id: String,
    /// `live` or `test`.
    pub environment: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// To what it is confined.
    pub bound_to: BoundTo,
    /// From then on it is refused, RFC 3339; null for never.
    pub expires_at: Option<String>,
    /// Which endpoints it may call.
    pub endpoints: Vec<EndpointAccess>,
}

/// To what a key is confined; empty lists and null confine nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundTo {
    /// Names of apps.
    pub apps: Vec<String>,
    /// Addresses of mailboxes.
    pub mailboxes: Vec<String>,
    /// The agent that holds it.
    pub agent: Option<String>,
}

/// Whether the key may call an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointAccess {
    /// Method and path.
    pub path: String,
    /// Whether it may.
    pub allowed: bool,
}

/// What the presented key may do. `endpoints` are those that need a key, with the scope each needs.
#[must_use]
pub fn describe(caller: &Authenticated<AnyScope>, endpoints: &[(String, Option<Scope>)]) -> KeyCheckAnswer {
    let key = &caller.principal.key;
    let is_confined = !key.bindings.mailboxes.is_empty();
    let allowed = |scope: &Option<Scope>| {
        scope.is_none_or(|scope| key.scopes.contains(scope) && !(is_confined && is_of_all_mailboxes(scope)))
    };
    KeyCheckAnswer {
        valid: true,
        key_id: key.id.to_string(),
        tenant_id: key.tenant.to_string(),
        environment: key.environment.as_str().to_owned(),
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        bound_to: BoundTo {
            apps: key.bindings.apps.clone(),
            mailboxes: key.bindings.mailboxes.clone(),
            agent: key.bindings.agent.clone(),
        },
        expires_at: key.expires_at.map(|time| time.to_string()),
        endpoints: endpoints
            .iter()
            .map(|(path, scope)| EndpointAccess { path: path.clone(), allowed: allowed(scope) })
            .collect(),
    }
}

/// Whether a key that was found valid still is, for calls that last. It holds the key's digest, never the key.
#[derive(Debug)]
pub(super) struct Standing {
    store: Store,
    key: KeyId,
    digest: KeyDigest,
    scopes: Scopes,
}

impl Standing {
    /// Whether the key is there, not revoked, not expired, and still has its scopes. The network is that of a connection,
    /// which was checked when it began.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn is_valid(&self) -> Result<bool, StoreError> {
        let record = self.store.key_by_digest(&self.digest).await?;
        Ok(record.is_some_and(|record| {
            let is_over =
                matches!(record.check(None, self.store.clock().now()), Err(KeyRefusal::Revoked | KeyRefusal::Expired));
            record.id == self.key && record.scopes == self.scopes && !is_over
        }))
    }
}

impl Service {
    /// For a call that lasts: asks again later whether the caller's key still is valid.
    pub(super) fn standing<S>(&self, caller: &Authenticated<S>) -> Standing {
        let key = &caller.principal.key;
        Standing { store: self.store.clone(), key: key.id, digest: key.digest, scopes: key.scopes }
    }

    /// Checks a presented key: form, checksum, existence, revocation, expiry, network.
    ///
    /// # Errors
    /// [`ServiceError::Refused`], or [`ServiceError::Unavailable`] when the database does not answer.
    pub async fn authenticate(&self, presented: &str, peer: Option<IpAddr>) -> Result<Arc<Principal>, ServiceError> {
        authenticate(&self.store, &self.pepper, presented, peer).await
    }
}

/// As [`Service::authenticate`], for doors that stand before there is a service.
///
/// # Errors
/// As there.
pub async fn authenticate(
    store: &Store,
    pepper: &Pepper,
    presented: &str,
    peer: Option<IpAddr>,
) -> Result<Arc<Principal>, ServiceError> {
    let key = ApiKey::parse(presented).map_err(|error| Refusal::InvalidKey(syntax_words(error)))?;
    let unknown = Refusal::InvalidKey("The key is not known here.");
    let record = store.key_by_digest(&key.digest(pepper)).await?.ok_or_else(|| unknown.clone())?;
    // The look-up was by digest; this comparison does not depend on how the database compares.
    if !key.matches(&record.digest, pepper) {
        return Err(unknown.into());
    }
    let now = store.clock().now();
    if let Err(refusal) = record.check(peer, now) {
        tracing::warn!(key.id = %record.id, tenant.id = %record.tenant, "Refused use of key `{}`: {refusal}", record.id);
        record_refusal(store, &record, refusal, now).await;
        return Err(match refusal {
            KeyRefusal::Revoked => Refusal::InvalidKey("The key was revoked."),
            KeyRefusal::Expired => Refusal::InvalidKey("The key has expired."),
            KeyRefusal::Network => Refusal::Network,
        }
        .into());
    }
    if record.use_is_worth_recording(now) {
        // When a key was last used is a courtesy: a call does not fail for it.
        if let Err(error) = store.for_tenant(record.tenant).note_key_use(record.id, peer, now).await {
            tracing::warn!(key.id = %record.id, temporary = true, "Use of key `{}` was not noted: {error}", record.id);
        }
    }
    Ok(Arc::new(Principal { key: record }))
}

/// Puts a refused use on record: once a minute for each key, however many nodes there are. The call is refused whether or not
/// that can be done.
async fn record_refusal(store: &Store, record: &KeyRecord, refusal: KeyRefusal, now: Timestamp) {
    const MINUTE: i64 = 60 * 1_000_000;
    let ends_at = Timestamp::from_micros((now.as_micros().div_euclid(MINUTE) + 1).saturating_mul(MINUTE));
    let once = BlockRequest { policy: "key_refused", subject: record.id.to_string(), ends_at, quota: 1, wanted: 1 };
    let reason = match refusal {
        KeyRefusal::Revoked => "revoked",
        KeyRefusal::Expired => "expired",
        KeyRefusal::Network => "network",
    };
    let recorded = async {
        if store.take_block(once).await?.granted == 0 {
            return Ok(());
        }
        let entry = NewEntry::new(Who::Gateway, "key.refused", record.id, json!({ "reason": reason }));
        store.for_tenant(record.tenant).audit(vec![entry]).await
    };
    if let Err(error) = recorded.await {
        tracing::warn!(
            key.id = %record.id,
            error.kind = "store",
            temporary = error.is_temporary(),
            "Refused use of key `{}` is not on record: {error}",
            record.id
        );
    }
}

const fn syntax_words(error: KeySyntaxError) -> &'static str {
    match error {
        KeySyntaxError::Form => "The key is not of the form cxk_live_ or cxk_test_ and 36 letters and digits.",
        KeySyntaxError::Checksum => "The key's checksum does not fit: it was cut off or mistyped.",
    }
}
