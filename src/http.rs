//! The HTTP surface: parses a request, calls one function of [`crate::service`], and shapes the reply.
//!
//! What is served, and by whom it may be called, is the table in [`endpoints`]; the router is made from it. Rules, SQL and
//! times live elsewhere. Only this module knows axum.
//!
//! Standards: RFC 9110 (HTTP), RFC 6750 (Bearer), RFC 9457 (problems), RFC 9116 (security.txt), OpenAPI 3.1.
//!
//! # Security
//! Sizes, depths, times and rates are bounded before anything is read. Keys are refused in query strings and from
//! browsers. CORS is off: no reply names an allowed origin.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::browser::origin::Origin;
use crate::clock::Clock;
use crate::ids::{KeyId, SignInId, TenantId};
use crate::service::Service;

pub mod auth;
pub mod body;
pub mod challenge;
pub mod documents;
pub mod endpoints;
pub mod error;
pub mod frame;
mod idempotency;
pub mod limits;
pub mod openapi;
pub mod operations;
pub mod routes;
pub mod serve;
pub mod session;
pub mod shape;
pub mod streams;

use body::{BodyLimits, Shapes};
use documents::Documents;
use endpoints::{Action, Auth, ENDPOINTS, Endpoint, Verb};
use error::{Code, Problem};
use limits::{Limiter, Nodes, Quota};
use streams::{StreamLimits, Streams};

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where this gateway is reached, without a slash at the end.
    pub base_url: String,
    /// `Contact` of security.txt, as a URI.
    pub security_contact: String,
    /// Size and time of bodies.
    pub body: BodyLimits,
    /// How long a call may take before it is answered with 503; streams are not held to it.
    pub call_timeout: Duration,
    /// Previews per address; `None` lifts the limit.
    pub preview_quota: Option<Quota>,
    /// Calls per key.
    pub key_quota: Option<Quota>,
    /// Calls per tenant and day.
    pub tenant_quota: Option<Quota>,
    /// How often a quiet stream shows that it is alive, and how often the key of any stream is looked at again.
    pub heartbeat: Duration,
    /// How many streams may be open.
    pub streams: StreamLimits,
}

impl Settings {
    /// The defaults for a gateway at `base_url`.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let host = url::Url::parse(&base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        Self {
            security_contact: format!("mailto:postmaster@{}", host.as_deref().unwrap_or("localhost")),
            base_url,
            body: BodyLimits { max_size: 1024 * 1024, read_timeout: Duration::from_secs(10) },
            call_timeout: Duration::from_secs(30),
            preview_quota: Some(Quota::per_minute(30)),
            key_quota: Some(Quota::per_minute(600)),
            tenant_quota: Some(Quota::per_day(100_000)),
            heartbeat: Duration::from_secs(15),
            streams: StreamLimits { per_key: 10, overall: 1_000 },
        }
    }
}

/// Why the surface could not be put together; found at start, never at a request.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A schema of the OpenAPI document cannot be enforced.
    #[error(transparent)]
    Schema(#[from] shape::UnknownSchema),
    /// A document cannot be written as JSON.
    #[error("a document cannot be written")]
    Document(#[from] serde_json::Error),
}

/// What handlers share.
pub type SharedApi = Arc<Api>;

/// The surface's own state: use cases, settings, compiled schemas, ready-made documents and counters.
#[derive(Debug)]
pub struct Api {
    service: Service,
    settings: Settings,
    shapes: Shapes,
    documents: Documents,
    preview_limit: Limiter<u64>,
    key_limit: Limiter<KeyId>,
    tenant_limit: Limiter<TenantId>,
    session_limit: Limiter<SignInId>,
    decision_limit: Limiter<u64>,
    own: Origin,
    streams: Arc<Streams>,
}

impl Api {
    /// Compiles schemas and documents.
    ///
    /// # Errors
    /// [`HttpError`], which a test of this module rules out for released versions.
    pub fn new(service: Service, settings: Settings) -> Result<SharedApi, HttpError> {
        let document = openapi::document(&settings)?;
        let shapes = Shapes {
            event: shape::Shape::compile(&document, "EventRequest")?,
            outcome: shape::Shape::compile(&document, "OutcomeRequest")?,
            insights: shape::Shape::compile(&document, "InsightsRequest")?,
            trust: shape::Shape::compile(&document, "TrustRequest")?,
            domain: shape::Shape::compile(&document, "DomainRequest")?,
            draft: shape::Shape::compile(&document, "DraftRequest")?,
            draft_edit: shape::Shape::compile(&document, "DraftEdit")?,
            reply: shape::Shape::compile(&document, "ReplyRequest")?,
            release: shape::Shape::compile(&document, "ReleaseRequest")?,
            report: shape::Shape::compile(&document, "ReportRequest")?,
            route: shape::Shape::compile(&document, "RouteRequest")?,
            route_change: shape::Shape::compile(&document, "RouteChangeRequest")?,
            route_rotation: shape::Shape::compile(&document, "RouteRotation")?,
            route_learning: shape::Shape::compile(&document, "RouteLearning")?,
            route_confirmation: shape::Shape::compile(&document, "RouteConfirmation")?,
            redecision: shape::Shape::compile(&document, "RedecisionRequest")?,
            decision: shape::Shape::compile(&document, "DecisionRequest")?,
            batch_decision: shape::Shape::compile(&document, "BatchDecisionRequest")?,
            login: shape::Shape::compile(&document, "LoginRequest")?,
            step_up: shape::Shape::compile(&document, "StepUpRequest")?,
            invite: shape::Shape::compile(&document, "InviteRequest")?,
            user_change: shape::Shape::compile(&document, "UserChange")?,
            issuer: shape::Shape::compile(&document, "IssuerRequest")?,
            pause: shape::Shape::compile(&document, "PauseRequest")?,
            suppression: shape::Shape::compile(&document, "SuppressionRequest")?,
            settle: shape::Shape::compile(&document, "SettleRequest")?,
            policy_trial: shape::Shape::compile(&document, "PolicyTrial")?,
            policy: shape::Shape::compile(&document, "Policy")?,
            relay: shape::Shape::compile(&document, "RelayRequest")?,
            erasure: shape::Shape::compile(&document, "ErasureRequest")?,
        };
        let documents = Documents::new(&document, &settings, &service)?;
        let nodes = if service.shares_limits() { Nodes::Several } else { Nodes::One };
        Ok(Arc::new(Self {
            preview_limit: Limiter::new("preview", settings.preview_quota, nodes),
            key_limit: Limiter::new("default", settings.key_quota, nodes),
            tenant_limit: Limiter::new("daily", settings.tenant_quota, nodes),
            session_limit: Limiter::new("session", settings.key_quota, nodes),
            decision_limit: Limiter::new("decision", settings.key_quota, nodes),
            own: Origin::of(&settings.base_url),
            streams: Arc::new(Streams::new(settings.streams)),
            service,
            settings,
            shapes,
            documents,
        }))
    }

    fn clock(&self) -> &Clock {
        self.service.clock()
    }
}

/// The public router: every endpoint of the table, and problems for everything else.
pub fn router(api: SharedApi) -> Router {
    let mut router = Router::new();
    for path in paths() {
        let here = || ENDPOINTS.iter().filter(move |endpoint| endpoint.path == path);
        let mut methods = MethodRouter::new();
        for endpoint in here() {
            methods = methods.merge(handler(endpoint, &api));
        }
        if let Some(endpoint) = here().find(|endpoint| endpoint.has_contract()) {
            methods = methods.merge(get(move |api, headers| routes::contracts::contract(endpoint, api, headers)));
        }
        router = router.route(path, methods);
    }
    router
        .fallback(|| async { Problem::new(Code::NotFound, "No endpoint has this path.") })
        .layer(middleware::from_fn_with_state(Arc::clone(&api), frame::frame))
        .with_state(api)
}

fn paths() -> Vec<&'static str> {
    let mut paths: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    paths.dedup();
    paths
}

/// The handler of an endpoint, behind the key check that the table asks for.
fn handler(endpoint: &Endpoint, api: &SharedApi) -> MethodRouter<SharedApi> {
    let verb = endpoint.verb;
    let methods = match endpoint.action {
        Action::Preview => on(verb, routes::evaluate::preview),
        Action::Event => on(verb, routes::evaluate::event),
        Action::Status => on(verb, routes::evaluate::status),
        Action::Outcome => on(verb, routes::outcomes::outcome),
        Action::Insights => on(verb, routes::figures::insights),
        Action::Trust => on(verb, routes::figures::trust),
        Action::KeyCheck => on(verb, routes::keys::key_check),
        Action::OpenApi => on(verb, routes::documents::openapi),
        Action::Discovery => on(verb, routes::documents::discovery),
        Action::LlmsText => on(verb, routes::documents::llms_text),
        Action::SecurityText => on(verb, routes::documents::security_text),
        Action::Docs => on(verb, routes::documents::docs),
        Action::DocsMarkdown => on(verb, routes::documents::docs_markdown),
        Action::ProblemPage => on(verb, routes::documents::problem_page),
        Action::Events => on(verb, routes::events::events),
        Action::EventStream => on(verb, routes::events::stream),
        Action::Explain => on(verb, routes::messages::explain),
        Action::Message => on(verb, routes::messages::message),
        Action::RawMessage => on(verb, routes::messages::raw),
        Action::MessageBody => on(verb, routes::messages::body),
        Action::AuthResults => on(verb, routes::messages::auth_results),
        Action::Attachment => on(verb, routes::attachments::attachment),
        Action::AttachmentLink => on(verb, routes::attachments::link),
        Action::LinkedAttachment => on(verb, routes::attachments::linked),
        Action::Domains => on(verb, routes::domains::all),
        Action::DomainClaim => on(verb, routes::domains::claim),
        Action::Domain => on(verb, routes::domains::one),
        Action::DomainRemove => on(verb, routes::domains::remove),
        Action::DomainCheck => on(verb, routes::domains::check),
        Action::DomainRecords => on(verb, routes::domains::records),
        Action::DomainRelay => on(verb, routes::domains::relay),
        Action::DomainRelaySet => on(verb, routes::domains::set_relay),
        Action::DomainRelayRemove => on(verb, routes::domains::remove_relay),
        Action::Drafts => on(verb, routes::drafts::all),
        Action::DraftCreate => on(verb, routes::drafts::create),
        Action::Draft => on(verb, routes::drafts::one),
        Action::DraftEdit => on(verb, routes::drafts::edit),
        Action::DraftCancel => on(verb, routes::drafts::cancel),
        Action::DraftCheck => on(verb, routes::drafts::check),
        Action::DraftRelease => on(verb, routes::drafts::release),
        Action::DraftWithdraw => on(verb, routes::drafts::withdraw),
        Action::DraftReport => on(verb, routes::drafts::report),
        Action::ThreadReply => on(verb, routes::drafts::reply),
        Action::Upload => on(verb, routes::uploads::upload),
        Action::Approvals => on(verb, routes::drafts::approvals),
        Action::Approval => on(verb, routes::drafts::approval),
        Action::Decision => on(verb, routes::people::decide),
        Action::BatchDecision => on(verb, routes::decisions::decide_all),
        Action::Login => on(verb, routes::people::login),
        Action::Logout => on(verb, routes::people::logout),
        Action::StepUp => on(verb, routes::people::step_up),
        Action::Sessions => on(verb, routes::people::sessions),
        Action::SessionEnd => on(verb, routes::people::end_session),
        Action::Users => on(verb, routes::people::users),
        Action::UserAdd | Action::InviteMake => on(verb, routes::people::invite),
        Action::UserChange => on(verb, routes::people::change_user),
        Action::Invites => on(verb, routes::people::invites),
        Action::InviteWithdraw => on(verb, routes::people::withdraw_invite),
        Action::Issuers => on(verb, routes::people::issuers),
        Action::IssuerRegister => on(verb, routes::people::register_issuer),
        Action::IssuerRemove => on(verb, routes::people::remove_issuer),
        Action::Receipt => on(verb, routes::evidence::receipt),
        Action::AuditHead => on(verb, routes::evidence::head),
        Action::AuditLog => on(verb, routes::evidence::log),
        Action::Erase => on(verb, routes::evidence::erase),
        Action::Policy => on(verb, routes::evidence::policy),
        Action::PolicyMake => on(verb, routes::evidence::make_policy),
        Action::PolicyTry => on(verb, routes::evidence::simulate),
        Action::Pauses => on(verb, routes::sending::pauses),
        Action::Pause => on(verb, routes::sending::pause),
        Action::Resume => on(verb, routes::sending::resume),
        Action::Suppressions => on(verb, routes::sending::suppressions),
        Action::Suppress => on(verb, routes::sending::suppress),
        Action::Unsuppress => on(verb, routes::sending::unsuppress),
        Action::DraftSettle => on(verb, routes::sending::settle),
        Action::Routes => on(verb, routes::intake_routes::all),
        Action::RouteMake => on(verb, routes::intake_routes::make),
        Action::Route => on(verb, routes::intake_routes::one),
        Action::RouteChange => on(verb, routes::intake_routes::change),
        Action::RouteStep(step) => on(verb, move |api, caller, id| routes::intake_routes::step(step, api, caller, id)),
        Action::RouteRotate => on(verb, routes::intake_routes::rotate),
        Action::RouteLearn => on(verb, routes::intake_routes::learn),
        Action::RouteMarks => on(verb, routes::intake_routes::marks),
        Action::RouteConfirm => on(verb, routes::intake_routes::confirm),
        Action::RouteReconciliation => on(verb, routes::intake_routes::reconciliation),
        Action::RouteHeld => on(verb, routes::intake_routes::held),
        Action::RouteRedecide => on(verb, routes::intake_routes::redecide),
        Action::IntakeRaw => on(verb, routes::intake::raw),
        Action::Delivery(provider) => on(verb, move |api, caller, peer, headers, body| {
            routes::deliveries::delivery(provider, api, caller, peer, headers, body)
        }),
    };
    guarded(methods, endpoint.auth, api)
}

/// Only whoever may call comes through.
fn guarded(methods: MethodRouter<SharedApi>, auth: Auth, api: &SharedApi) -> MethodRouter<SharedApi> {
    match auth {
        Auth::Open | Auth::Link | Auth::Password => methods,
        Auth::Session(_) => methods.layer(middleware::from_fn_with_state(Arc::clone(api), session::require_session)),
        Auth::KeyOrSession(..) => {
            methods.layer(middleware::from_fn_with_state(Arc::clone(api), session::require_key_or_session))
        }
        Auth::Person => methods.layer(middleware::from_fn_with_state(Arc::clone(api), session::require_person)),
        Auth::AnyKey | Auth::Key(_) => {
            methods.layer(middleware::from_fn_with_state(Arc::clone(api), auth::require_key))
        }
        Auth::KeyOrPassword(_) => methods
            .layer(middleware::from_fn_with_state(Arc::clone(api), auth::require_key_or_password))
            .layer(middleware::map_response(routes::deliveries::put_off)),
    }
}

fn on<H, T>(verb: Verb, handler: H) -> MethodRouter<SharedApi>
where
    H: Handler<T, SharedApi>,
    T: 'static,
{
    match verb {
        Verb::Get => get(handler),
        Verb::Post => post(handler),
        Verb::Put => put(handler),
        Verb::Patch => patch(handler),
        Verb::Delete => delete(handler),
    }
}

/// The address of the peer; `None` where the server did not say (tests).
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    fn of(request: &Request) -> Self {
        Self(request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())))
    }
}

/// A JSON reply; what cannot be written is a problem, not a panic.
fn json<T: serde::Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let headers =
                [(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"))];
            (headers, bytes).into_response()
        }
        Err(error) => {
            tracing::error!(error.kind = "internal", temporary = false, "Reply could not be written: {error}");
            Problem::new(Code::InternalError, "The fault is on this side and was logged.").into_response()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
