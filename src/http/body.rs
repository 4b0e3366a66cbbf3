//! From the bytes of a request to a typed body, with the exact error of the contract where it is none.
//!
//! 415 for another type, 413 for too many bytes, 408 for a body that does not arrive, 400 for what is no JSON, 422 with
//! pointers for JSON that is not what the schema says. Unknown fields are no fault under `/api/connex`: they are listed.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Code, Problem};
use super::shape::Shape;
use super::{Api, SharedApi};
use crate::service::Fault;
use crate::service::routes::forms;
use crate::service::routes::held::RedecisionRequest;

/// A type of the contract that comes in as a body.
pub trait Contract: DeserializeOwned {
    /// Its schema among those that were compiled at start.
    fn shape(shapes: &Shapes) -> &Shape;
}

/// The compiled schemas of request bodies.
#[derive(Debug)]
pub struct Shapes {
    /// Of [`crate::contract::request::EventRequest`].
    pub event: Shape,
    /// Of [`crate::contract::request::OutcomeRequest`].
    pub outcome: Shape,
    /// Of [`crate::service::insights::InsightsRequest`].
    pub insights: Shape,
    /// Of [`crate::service::trust::TrustRequest`].
    pub trust: Shape,
    /// Of [`crate::service::domains::DomainRequest`].
    pub domain: Shape,
    /// Of [`crate::service::drafts::DraftRequest`].
    pub draft: Shape,
    /// Of [`crate::service::drafts::DraftEdit`].
    pub draft_edit: Shape,
    /// Of [`crate::service::drafts::ReplyRequest`].
    pub reply: Shape,
    /// Of [`crate::service::drafts::release::ReleaseRequest`].
    pub release: Shape,
    /// Of [`crate::service::drafts::report::ReportRequest`].
    pub report: Shape,
    /// Of [`forms::RouteRequest`].
    pub route: Shape,
    /// Of [`forms::RouteChangeRequest`].
    pub route_change: Shape,
    /// Of [`forms::RouteRotation`].
    pub route_rotation: Shape,
    /// Of [`forms::RouteLearning`].
    pub route_learning: Shape,
    /// Of [`forms::RouteConfirmation`].
    pub route_confirmation: Shape,
    /// Of [`RedecisionRequest`].
    pub redecision: Shape,
    /// Of [`crate::service::drafts::decisions::DecisionRequest`].
    pub decision: Shape,
    /// Of [`crate::service::drafts::batch::BatchDecisionRequest`].
    pub batch_decision: Shape,
    /// Of [`crate::service::accounts::LoginRequest`].
    pub login: Shape,
    /// Of [`crate::service::accounts::StepUpRequest`].
    pub step_up: Shape,
    /// Of [`crate::service::accounts::InviteRequest`].
    pub invite: Shape,
    /// Of [`crate::service::accounts::UserChange`].
    pub user_change: Shape,
    /// Of [`crate::service::issuers::IssuerRequest`].
    pub issuer: Shape,
    /// Of [`crate::service::policies::PolicyTrial`].
    pub policy_trial: Shape,
    /// Of [`crate::service::policies::Policy`].
    pub policy: Shape,
    /// Of [`crate::service::sending::PauseRequest`].
    pub pause: Shape,
    /// Of [`crate::service::sending::SuppressionRequest`].
    pub suppression: Shape,
    /// Of [`crate::service::drafts::settle::SettleRequest`].
    pub settle: Shape,
    /// Of [`crate::service::domains::relay::RelayRequest`].
    pub relay: Shape,
    /// Of [`crate::service::erasures::ErasureRequest`].
    pub erasure: Shape,
}

impl Contract for crate::contract::request::EventRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.event
    }
}

impl Contract for crate::contract::request::OutcomeRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.outcome
    }
}

impl Contract for crate::service::insights::InsightsRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.insights
    }
}

impl Contract for crate::service::trust::TrustRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.trust
    }
}

impl Contract for crate::service::domains::DomainRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.domain
    }
}

impl Contract for crate::service::domains::relay::RelayRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.relay
    }
}

impl Contract for crate::service::drafts::DraftRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.draft
    }
}

impl Contract for crate::service::policies::Policy {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.policy
    }
}

impl Contract for crate::service::erasures::ErasureRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.erasure
    }
}

impl Contract for crate::service::policies::PolicyTrial {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.policy_trial
    }
}

impl Contract for crate::service::sending::PauseRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.pause
    }
}

impl Contract for crate::service::sending::SuppressionRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.suppression
    }
}

impl Contract for crate::service::drafts::settle::SettleRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.settle
    }
}

impl Contract for crate::service::drafts::DraftEdit {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.draft_edit
    }
}

impl Contract for crate::service::drafts::ReplyRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.reply
    }
}

impl Contract for crate::service::drafts::report::ReportRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.report
    }
}

impl Contract for crate::service::drafts::release::ReleaseRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.release
    }
}

impl Contract for forms::RouteRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.route
    }
}

impl Contract for forms::RouteChangeRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.route_change
    }
}

impl Contract for forms::RouteRotation {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.route_rotation
    }
}

impl Contract for forms::RouteLearning {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.route_learning
    }
}

impl Contract for forms::RouteConfirmation {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.route_confirmation
    }
}

impl Contract for crate::service::drafts::decisions::DecisionRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.decision
    }
}

impl Contract for crate::service::drafts::batch::BatchDecisionRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.batch_decision
    }
}

impl Contract for crate::service::accounts::LoginRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.login
    }
}

impl Contract for crate::service::accounts::StepUpRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.step_up
    }
}

impl Contract for crate::service::accounts::InviteRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.invite
    }
}

impl Contract for crate::service::accounts::UserChange {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.user_change
    }
}

impl Contract for crate::service::issuers::IssuerRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.issuer
    }
}

impl Contract for RedecisionRequest {
    fn shape(shapes: &Shapes) -> &Shape {
        &shapes.redecision
    }
}

/// A body that is JSON.
#[derive(Debug)]
pub struct JsonBody(Value);

impl JsonBody {
    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// SHA-256 over the canonical JSON: members sorted by name, no white space, numbers as they are read.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        crate::service::evaluate::sha256(self.0.to_string().as_bytes())
    }

    /// SHA-256 over method, path and canonical JSON: what an `Idempotency-Key` stands for.
    #[must_use]
    pub fn fingerprint_for(&self, method: &str, path: &str) -> [u8; 32] {
        crate::service::evaluate::sha256(format!("{method} {path}\n{}", self.0).as_bytes())
    }

    /// The body as `T`, and warnings about fields that `T` does not have.
    ///
    /// # Errors
    /// 422 with a pointer for each field that does not fit.
    pub fn into_typed<T: Contract>(self, api: &Api) -> Result<(T, Vec<String>), Problem> {
        let findings = T::shape(&api.shapes).check(&self.0);
        if !findings.faults.is_empty() {
            return Err(Problem::invalid(findings.faults));
        }
        let warnings = findings.unknown.iter().map(|pointer| format!("unknown field {pointer} was ignored")).collect();
        // Only what a schema cannot say is left to serde here, such as a whole number that is too large.
        match serde_json::from_value(self.0) {
            Ok(value) => Ok((value, warnings)),
            Err(error) => Err(Problem::invalid(vec![Fault::at("", format!("cannot be read: {error}"))])),
        }
    }
}

impl JsonBody {
    /// The body as `T`, for answers that have no place for warnings: what is not understood is not to be passed over.
    ///
    /// # Errors
    /// 422 with a pointer for each field that does not fit, or is not known.
    pub fn into_strict<T: Contract>(self, api: &Api) -> Result<T, Problem> {
        let findings = T::shape(&api.shapes).check(&self.0);
        if !findings.unknown.is_empty() && findings.faults.is_empty() {
            let unknown = findings.unknown.into_iter().map(|pointer| Fault::at(pointer, "is not a field of this call"));
            return Err(Problem::invalid(unknown.collect()));
        }
        Ok(self.into_typed(api)?.0)
    }
}

impl FromRequest<SharedApi> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &SharedApi) -> Result<Self, Problem> {
        require_json(&request)?;
        parse(&read(request, &api.settings.body).await?).map(Self)
    }
}

/// As [`JsonBody`], where no body at all is as good as `{}`.
#[derive(Debug)]
pub struct OptionalJsonBody(pub JsonBody);

impl FromRequest<SharedApi> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &SharedApi) -> Result<Self, Problem> {
        let has_type = request.headers().contains_key(header::CONTENT_TYPE);
        if has_type {
            require_json(&request)?;
        }
        let bytes = read(request, &api.settings.body).await?;
        if bytes.is_empty() {
            return Ok(Self(JsonBody(Value::Object(serde_json::Map::new()))));
        }
        if !has_type {
            return Err(Problem::new(Code::UnsupportedMediaType, "A body needs `content-type: application/json`."));
        }
        parse(&bytes).map(|value| Self(JsonBody(value)))
    }
}

/// How much of a body is read, and how long.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Octets.
    pub max_size: usize,
    /// From the headers to the last byte.
    pub read_timeout: Duration,
}

/// RFC 8259 §11: no parameter means anything, so that all are allowed.
fn require_json(request: &Request) -> Result<(), Problem> {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 17
            && essence.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("application/"))
            && essence.get(essence.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case("+json")));
    if is_json {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "Send the body as `content-type: application/json`."))
}

async fn read(request: Request, limits: &BodyLimits) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("The body is over the limit of {} octets.", limits.max_size));
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| usize::try_from(declared).is_ok_and(|declared| declared > limits.max_size)) {
        return Err(too_large());
    }
    match tokio::time::timeout(limits.read_timeout, axum::body::to_bytes(request.into_body(), limits.max_size)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        // The peer went away or sent a broken chunk: nobody reads this, but the log and the metrics do.
        Ok(Err(_)) => Err(Problem::new(Code::MalformedJson, "The body broke off.")),
        Err(_) => Err(Problem::new(Code::RequestTimeout, Code::RequestTimeout.about().help)),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = source {
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        source = error.source();
    }
    false
}

/// Reads JSON; serde_json refuses more than 128 levels by itself, and has no other recursion.
fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        let detail = match error.classify() {
            serde_json::error::Category::Eof if bytes.iter().all(u8::is_ascii_whitespace) => {
                "The body is empty.".to_owned()
            }
            serde_json::error::Category::Eof => format!("The JSON ends too early, at {at}."),
            _ => format!("Reading stopped at {at}: {}.", reason(&error)),
        };
        Problem::new(Code::MalformedJson, detail)
    })
}

/// The words of serde_json without the place, which is told apart.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
