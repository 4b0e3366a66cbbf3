//! The router as a whole, without sockets, over a real database in a scratch folder.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::limits::Quota;
use super::{Api, Settings, SharedApi, router};
use crate::clock::{Clock, Timestamp};
use crate::decide;
use crate::ids::TenantId;
use crate::keys::{Environment, KeyBindings, Pepper, Scopes};
use crate::mail::message::Limits;
use crate::service::Service;
use crate::service::accounts::{Desk, Provider};
use crate::service::intake::MailDoor;
use crate::service::keys::{NewKey, make_key};
use crate::service::links::LinkKey;
use crate::service::messages::Bodies;
use crate::store::Store;
use crate::store::tests::engine::{Engine, Place};

mod contract;
pub(crate) mod drafts;
mod events;
mod goldens;
mod hostile;
mod intake;
mod isolation;
mod keys;
mod limits;
mod messages;
mod outcomes;
mod people;
mod problems;
mod routes;
mod submissions;

const HOST: &str = "https://gate.example";

/// A gateway with one tenant.
pub(crate) struct Gateway {
    router: axum::Router,
    api: SharedApi,
    store: Store,
    clock: Clock,
    tenant: TenantId,
    place: Place,
}

/// A name server that tells nothing.
fn unasked() -> crate::dns::Resolver {
    let settings = crate::dns::ResolverSettings {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        timeout: std::time::Duration::from_millis(50),
        attempts: 1,
    };
    crate::dns::Resolver::new(&settings).unwrap()
}

/// What drafts are written with.
fn draft_desk() -> crate::service::drafts::DraftDesk {
    crate::service::drafts::DraftDesk {
        platform_domains: vec![crate::mail::address::Domain::parse("gate.example").unwrap()].into(),
        reply_tokens: Arc::new(crate::mail::reply_token::ReplyTokens::new(&[7; 32])),
        uploads: crate::service::drafts::uploads::UploadDesk::new(Arc::clone(
            crate::seal::InstanceKey::new(&[7; 32]).bodies(),
        )),
        evidence: Arc::new(crate::service::drafts::SigningKey::of(&[7; 32])),
    }
}

/// What domains are held against.
fn desk() -> crate::service::domains::DomainDesk {
    crate::service::domains::DomainDesk {
        hosts: vec!["mx.gate.example".to_owned()].into(),
        platform_domains: vec![crate::mail::address::Domain::parse("gate.example").unwrap()].into(),
        route: "direct".into(),
    }
}

/// What routes are made with.
fn route_desk() -> crate::service::routes::RouteDesk {
    crate::service::routes::RouteDesk {
        key: Arc::new(crate::seal::InstanceKey::new(&[7; 32])),
        domain: Some(crate::mail::address::Domain::parse("in.gate.example").unwrap()),
        largest: 1_000_000,
    }
}

/// A reply that was read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem that it must be, checked for form.
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["requestId"], self.header("x-request-id"));
        assert_eq!(problem["type"], format!("/problems/{}", code.replace('_', "-")));
        problem
    }
}

impl Gateway {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// What its surfaces call.
    pub(crate) fn service(&self) -> &Service {
        &self.api.service
    }

    /// Its API.
    pub(crate) fn router(&self) -> axum::Router {
        self.router.clone()
    }

    /// Its one tenant, `acme`.
    pub(crate) const fn tenant(&self) -> TenantId {
        self.tenant
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Engine::Sqlite, change).await
    }

    async fn on(engine: Engine, change: impl FnOnce(&mut Settings)) -> Self {
        let place = Place::new(engine).await;
        let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap());
        let store = place.open(clock.clone()).await;
        let tenant = store.add_tenant("acme").await.unwrap();
        Self::over(place, store, tenant, change)
    }

    /// A second node over the same database, with the same clock.
    async fn another_node(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let store = self.place.open(self.clock.clone()).await;
        Self::over(self.place.clone(), store, self.tenant, change)
    }

    fn over(place: Place, store: Store, tenant: TenantId, change: impl FnOnce(&mut Settings)) -> Self {
        Self::taking(None, place, store, tenant, change)
    }

    /// The same, where mail goes through `mail`.
    fn taking(
        mail: Option<MailDoor>,
        place: Place,
        store: Store,
        tenant: TenantId,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let service = Service {
            store: store.clone(),
            engine: rules(),
            pepper: Pepper::new(b"pepper"),
            base_url: HOST.into(),
            bodies: Bodies::new(
                Arc::new(|place| {
                    let body = serde_json::from_str::<Value>(&place);
                    Box::pin(async move { Ok(body?["text"].as_str().unwrap_or_default().as_bytes().to_vec()) })
                }),
                Limits::default(),
                LinkKey::new(b"links"),
            ),
            mail,
            accounts: crate::service::accounts::Accounts::default(),
            domains: desk(),
            drafts: draft_desk(),
            routes: route_desk(),
            resolver: unasked(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let mut settings = Settings::new(HOST);
        settings.preview_quota = None;
        settings.key_quota = Some(Quota::per_minute(600));
        change(&mut settings);
        let api = Api::new(service, settings).unwrap();
        Self { router: router(Arc::clone(&api)), api, clock: store.clock().clone(), store, tenant, place }
    }

    /// The same with providers at which people sign in, and issuers on loopback.
    pub(crate) fn with_providers(self, providers: Vec<Provider>) -> Self {
        let issuers = crate::oidc::tests::issuers(self.clock.clone(), &["127.0.0.1"]);
        let mut service = self.api.service.clone();
        service.accounts.elsewhere = Some(Desk::new(providers, issuers));
        let api = Api::new(service, self.api.settings.clone()).unwrap();
        Self { router: router(Arc::clone(&api)), api, ..self }
    }

    /// A new key of the tenant with every scope.
    pub(crate) async fn key(&self) -> String {
        self.key_with(|_| {}).await
    }

    async fn key_with(&self, change: impl FnOnce(&mut NewKey)) -> String {
        let mut new = NewKey {
            name: "test".into(),
            environment: Environment::Live,
            scopes: Scopes::all(),
            bindings: KeyBindings::default(),
            allowed_networks: Vec::new(),
            expires_at: None,
        };
        change(&mut new);
        let (key, record) = make_key(new, self.tenant, &Pepper::new(b"pepper"), &self.clock);
        self.store.for_tenant(self.tenant).add_key(record).await.unwrap();
        key.reveal().to_owned()
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let reply = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let body = axum::body::to_bytes(body, 10_000_000).await.unwrap().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Reply {
        self.send(request("POST", path, key).body(Body::from(body.to_string())).unwrap()).await
    }

    async fn get(&self, path: &str, key: Option<&str>) -> Reply {
        self.send(request("GET", path, key).body(Body::empty()).unwrap()).await
    }
}

/// They are the same for all tests and take a while to compile.
fn rules() -> Arc<decide::Engine> {
    static RULES: std::sync::OnceLock<Arc<decide::Engine>> = std::sync::OnceLock::new();
    Arc::clone(RULES.get_or_init(|| Arc::new(decide::Engine::new().unwrap())))
}

fn request(method: &str, path: &str, key: Option<&str>) -> axum::http::request::Builder {
    let peer: IpAddr = "192.0.2.7".parse().unwrap();
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .extension(ConnectInfo(SocketAddr::new(peer, 40_000)));
    if let Some(key) = key {
        builder = builder.header("authorization", format!("Bearer {key}"));
    }
    builder
}

/// An `Idempotency-Key` that was not used before.
fn fresh_key() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    format!("call {}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// An event of the app `crm`.
/// An event of which nothing is told but itself.
fn quiet(id: &str) -> Value {
    let mut event = event(id);
    event["materialize"] = json!("none");
    event
}

fn event(id: &str) -> Value {
    json!({
        "app": "crm", "sourceSystem": "crm", "sourceEventId": id, "eventType": "inbound_reply",
        "message": { "subject": "Need approval", "body": "Can you confirm terms before we proceed?" },
    })
}

const EVENT: &str = "/api/connex/integration-event";
const PREVIEW: &str = "/api/connex/integration-preview";
const OUTCOME: &str = "/api/connex/integration-outcome";
