//! The OpenAPI 3.1 document: schemas from the types that serve (utoipa), paths from the table of endpoints.
//!
//! Requests are held against these very schemas ([`super::shape`]), and a test holds replies against them.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::documents::example_of;
use super::endpoints::{Action, Auth, ENDPOINTS, Endpoint, Parameter, Reply};
use super::error::Code;
use super::routes::deliveries::final_status;
use super::{HttpError, Settings};
use crate::contract::steps::STEP_TYPES;
use crate::contract::webhook::{CLASSIFIED, UPDATED};
use crate::contract::{answer, request, webhook};
use crate::keys::Scope;
use crate::mail::envelope::Provider;
use crate::service::accounts::SESSION_COOKIE;
use crate::service::{
    accounts, audit, domains, drafts, erasures, events, insights, intake, issuers, keys, messages, outcomes, policies,
    receipts, routes, sending, trust,
};

/// Only a carrier of schemas: paths and info are written below.
#[derive(OpenApi)]
#[openapi(components(schemas(
    request::EventRequest,
    request::OutcomeRequest,
    insights::InsightsRequest,
    trust::TrustRequest,
    answer::Answer,
    outcomes::OutcomeAnswer,
    insights::InsightsAnswer,
    intake::IntakeAnswer,
    intake::deliveries::DeliveryAnswer,
    trust::TrustAnswer,
    keys::KeyCheckAnswer,
    events::EventPage,
    messages::MessageBody,
    messages::LinkAnswer,
    domains::DomainRequest,
    domains::DomainView,
    domains::DomainPage,
    domains::DomainRecords,
    domains::DomainRemoved,
    domains::relay::RelayRequest,
    domains::relay::DomainRelayView,
    drafts::DraftRequest,
    drafts::DraftEdit,
    drafts::ReplyRequest,
    drafts::DraftView,
    drafts::DraftPage,
    drafts::uploads::UploadView,
    drafts::CheckAnswer,
    drafts::release::ReleaseRequest,
    drafts::release::ReleaseAnswer,
    drafts::report::ReportRequest,
    drafts::approvals::ApprovalView,
    drafts::approvals::ApprovalPage,
    drafts::decisions::DecisionRequest,
    drafts::decisions::DecisionAnswer,
    drafts::batch::BatchDecisionRequest,
    drafts::batch::BatchDecisionAnswer,
    accounts::LoginRequest,
    accounts::StepUpRequest,
    accounts::InviteRequest,
    accounts::UserChange,
    accounts::SignedInView,
    accounts::SessionPage,
    accounts::UserPage,
    accounts::UserView,
    accounts::InvitePage,
    accounts::LinkView,
    issuers::IssuerRequest,
    issuers::IssuerView,
    issuers::IssuerPage,
    receipts::SignedReceipt,
    receipts::Head,
    audit::AuditPage,
    erasures::ErasureRequest,
    erasures::ErasureAnswer,
    policies::PolicyView,
    policies::PolicyTrial,
    policies::PolicyReplay,
    sending::PausePage,
    sending::PauseRequest,
    sending::SuppressionPage,
    sending::SuppressionRequest,
    sending::SuppressionView,
    drafts::settle::SettleRequest,
    routes::forms::RouteRequest,
    routes::forms::RouteChangeRequest,
    routes::forms::RouteRotation,
    routes::forms::RouteLearning,
    routes::forms::RouteConfirmation,
    routes::forms::RoutePage,
    routes::forms::RouteView,
    routes::forms::RouteMade,
    routes::forms::RouteRotated,
    routes::forms::RouteMarks,
    routes::forms::RouteConfirmed,
    routes::reconciliation::Reconciliation,
    routes::held::RedecisionRequest,
    routes::held::HeldPage,
    webhook::WebhookEvent,
    super::error::ProblemDocument,
)))]
struct Schemas;

/// Problems that any endpoint may answer with.
const ALWAYS: [Code; 2] = [Code::InternalError, Code::KeyExposed];
/// Problems of endpoints with a body.
const WITH_BODY: [Code; 5] = [
    Code::MalformedJson,
    Code::RequestTimeout,
    Code::PayloadTooLarge,
    Code::UnsupportedMediaType,
    Code::InvalidRequest,
];
/// Problems of endpoints with a key.
const WITH_KEY: [Code; 7] = [
    Code::MissingKey,
    Code::InvalidKey,
    Code::ForbiddenScope,
    Code::ForbiddenNetwork,
    Code::RateLimited,
    Code::QuotaExceeded,
    Code::TemporarilyUnavailable,
];

/// Problems of endpoints for people.
const WITH_SESSION: [Code; 6] = [
    Code::NotSignedIn,
    Code::PeopleOnly,
    Code::ForbiddenRole,
    Code::ForbiddenOrigin,
    Code::RateLimited,
    Code::TemporarilyUnavailable,
];

/// Bodies that cannot be left out.
const MUST_BE_THERE: [&str; 24] = [
    "EventRequest",
    "OutcomeRequest",
    "DomainRequest",
    "RelayRequest",
    "DraftRequest",
    "DraftEdit",
    "ReplyRequest",
    "ReportRequest",
    "RouteRequest",
    "RouteChangeRequest",
    "RouteConfirmation",
    "RedecisionRequest",
    "DecisionRequest",
    "BatchDecisionRequest",
    "LoginRequest",
    "StepUpRequest",
    "InviteRequest",
    "IssuerRequest",
    "PolicyTrial",
    "Policy",
    "PauseRequest",
    "SuppressionRequest",
    "SettleRequest",
    "ErasureRequest",
];

/// The whole document.
///
/// # Errors
/// When a schema cannot be written as JSON, which a test rules out.
pub fn document(settings: &Settings) -> Result<Value, HttpError> {
    let mut schemas = serde_json::to_value(Schemas::openapi())?;
    let mut schemas = schemas.pointer_mut("/components/schemas").map(Value::take).unwrap_or_default();
    tidy(&mut schemas);
    add_rules(&mut schemas);
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Connex",
            "summary": "Conversations in, governed work out",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": settings.base_url }],
        "tags": [
            { "name": "evaluate", "description": "Events in, operations out, outcomes back" },
            { "name": "read", "description": "What was recorded" },
            { "name": "draft", "description": "What is proposed to be sent, and what the gate says" },
            { "name": "people", "description": "Who signs in, and what they may do" },
            { "name": "administer", "description": "What the tenant's mail is read by" },
            { "name": "discover", "description": "What is served here" },
        ],
        "paths": paths(),
        "webhooks": webhooks(),
        "components": {
            "schemas": schemas,
            "securitySchemes": { "apiKey": {
                "type": "http", "scheme": "bearer", "bearerFormat": "cxk_live_…",
                "description": "An API key, only from a server. Scopes: status:evaluate, events:read, messages:read, messages:raw, mail:ingest, journal:bcc, domains:read, domains:write, routes:read, routes:write, drafts:read, drafts:write, approvals:read, audit:read.",
            }, "password": {
                "type": "http", "scheme": "basic",
                "description": "An API key as the password, with any user name: for providers that hand mail over by webhook.",
            }, "session": {
                "type": "apiKey", "in": "cookie", "name": SESSION_COOKIE,
                "description": "A signed-in person, who has at least the role that is named. What changes something also needs `X-CSRF-Token`, and `Sec-Fetch-Site: same-origin` or this gateway's own Origin.",
            }, "userToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "An ID token of a user of a registered issuer, whose nonce is the content hash.",
            } },
        },
    }))
}

const ABOUT: &str = "Turns email, app events and agent messages into governed JSON operations. Your app stays in charge: answers \
are recommendations and safe internal work, never a send. Every reply that is not a success is a problem (RFC 9457).";

/// The problems that an endpoint may answer with, each once.
#[must_use]
pub fn problems_of(endpoint: &Endpoint) -> Vec<Code> {
    let mut codes = endpoint.problems.to_vec();
    codes.extend(ALWAYS);
    if endpoint.has_contract() || endpoint.body.is_some() {
        codes.extend(WITH_BODY);
    }
    if !endpoint.query.is_empty() {
        codes.push(Code::InvalidParameter);
    }
    match endpoint.auth {
        Auth::Open if endpoint.body.is_some() => codes.push(Code::RateLimited),
        Auth::Open | Auth::Link => {}
        Auth::Password | Auth::Session(_) | Auth::Person => codes.extend(WITH_SESSION),
        Auth::AnyKey | Auth::Key(_) | Auth::KeyOrPassword(_) => codes.extend(WITH_KEY),
        Auth::KeyOrSession(..) => codes.extend(WITH_KEY.into_iter().chain(WITH_SESSION)),
    }
    codes.sort_by_key(|code| (code.about().status, code.about().word));
    codes.dedup();
    codes
}

fn paths() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        let Some(item) = item.as_object_mut() else { continue };
        item.insert(endpoint.verb.as_str().to_ascii_lowercase(), operation(endpoint));
        if endpoint.has_contract() {
            item.insert("get".into(), contract_operation(endpoint));
        }
    }
    Value::Object(paths)
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "description": endpoint.about,
        "tags": [tag(endpoint)],
        "security": security(endpoint.auth),
        "responses": responses(endpoint),
    });
    let Some(members) = operation.as_object_mut() else { return operation };
    let parameters: Vec<Value> = path_parameters(endpoint).chain(endpoint.query.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        members.insert("parameters".into(), parameters.into());
    }
    if endpoint.has_contract() || endpoint.body.is_some() {
        let schema = match endpoint.body {
            Some("EventRequest") if endpoint.path.ends_with("integration-event") => json!({
                "allOf": [reference("EventRequest"), { "type": "object", "required": ["sourceEventId"], "properties": {
                    "sourceEventId": { "type": "string", "minLength": 1, "maxLength": 200 } } }],
            }),
            Some(name) => reference(name),
            None => json!({ "type": "object" }),
        };
        let is_required = endpoint.body.is_some_and(|body| MUST_BE_THERE.contains(&body));
        members.insert(
            "requestBody".into(),
            json!({ "required": is_required, "content": { "application/json": { "schema": schema, "example": example_of(endpoint) } } }),
        );
    }
    if let Some((media, schema)) = mail_body(endpoint.action) {
        let body = json!({ "required": true, "content": { media: { "schema": schema } } });
        members.insert("requestBody".into(), body);
    }
    operation
}

/// Bodies that are read by hand: media type and schema.
fn mail_body(action: Action) -> Option<(&'static str, Value)> {
    let object = |fields: &[&str]| {
        let properties: Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "string" }))).collect();
        json!({ "type": "object", "required": fields, "properties": properties })
    };
    match action {
        Action::IntakeRaw => {
            Some(("message/rfc822", json!({ "type": "string", "contentMediaType": "message/rfc822" })))
        }
        Action::Upload => Some(("application/octet-stream", json!({ "type": "string", "format": "binary" }))),
        Action::Delivery(Provider::Postmark) => {
            Some(("application/json", object(&["MessageID", "OriginalRecipient", "RawEmail"])))
        }
        Action::Delivery(Provider::Mailgun) => Some((
            "multipart/form-data",
            object(&["recipient", "sender", "body-mime", "timestamp", "token", "signature"]),
        )),
        Action::Delivery(Provider::Sendgrid) => Some(("multipart/form-data", object(&["email", "envelope"]))),
        // SNS calls its JSON text.
        Action::Delivery(Provider::Ses) => Some(("text/plain", json!({ "type": "string" }))),
        _ => None,
    }
}

/// The status of a problem at an endpoint; a provider goes by the status alone.
fn status_of(endpoint: &Endpoint, code: Code) -> StatusCode {
    let Action::Delivery(provider) = endpoint.action else { return code.about().status };
    match code {
        Code::KeyExposed | Code::MissingKey | Code::InvalidKey | Code::InternalError => code.about().status,
        Code::InvalidRequest | Code::PayloadTooLarge | Code::IdempotencyConflict => final_status(provider),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn contract_operation(endpoint: &Endpoint) -> Value {
    json!({
        "operationId": format!("{}Contract", operation_id(endpoint)),
        "summary": format!("Contract of {}", endpoint.path),
        "description": "Method, authentication, schemas and an example that works.",
        "tags": ["discover"],
        "security": [],
        "responses": {
            "200": { "description": "The contract", "content": { "application/json": { "schema": { "type": "object" } } } },
            "304": { "description": "Not changed since the ETag of If-None-Match" },
            "default": problem_response("Any problem"),
        },
    })
}

fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(['/', '-', '.', '{', '}', '_']).filter(|word| !word.is_empty());
    let mut id = endpoint.verb.as_str().to_ascii_lowercase();
    for word in words {
        let mut letters = word.chars();
        id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

fn tag(endpoint: &Endpoint) -> &'static str {
    match endpoint.auth {
        _ if endpoint.has_contract() => "evaluate",
        Auth::Password | Auth::Session(_) => "people",
        Auth::Person | Auth::KeyOrSession(Scope::AuditRead, _) => "draft",
        Auth::Open => "discover",
        Auth::Key(Scope::DomainsRead | Scope::DomainsWrite | Scope::RoutesRead | Scope::RoutesWrite) => "administer",
        Auth::Key(
            Scope::DraftsRead | Scope::DraftsWrite | Scope::ApprovalsRead | Scope::ApprovalsReport | Scope::AuditRead,
        ) => "draft",
        Auth::Link | Auth::AnyKey | Auth::Key(_) | Auth::KeyOrPassword(_) | Auth::KeyOrSession(..) => "read",
    }
}

/// Bearer has no scopes in OpenAPI 3.0; 3.1 lets them be named as roles.
fn security(auth: Auth) -> Value {
    match auth {
        Auth::Open | Auth::Link | Auth::Password => json!([]),
        Auth::Session(role) => json!([{ "session": [role.as_str()] }]),
        Auth::Person => json!([{ "session": ["approver"] }, { "userToken": [] }]),
        Auth::AnyKey => json!([{ "apiKey": [] }]),
        Auth::Key(scope) => json!([{ "apiKey": [scope.as_str()] }]),
        Auth::KeyOrSession(scope, role) => json!([{ "apiKey": [scope.as_str()] }, { "session": [role.as_str()] }]),
        Auth::KeyOrPassword(scope) => json!([{ "apiKey": [scope.as_str()] }, { "password": [scope.as_str()] }]),
    }
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    let (media, schema) = match endpoint.reply {
        Reply::Json(name) | Reply::JsonOrAccepted(name) | Reply::Created(name) => ("application/json", reference(name)),
        Reply::FreeJson => ("application/json", json!({ "type": "object" })),
        Reply::Text(media) => (media, json!({ "type": "string" })),
    };
    let good = json!({ "description": endpoint.summary, "content": { media: { "schema": schema } } });
    if matches!(endpoint.reply, Reply::JsonOrAccepted(_)) {
        responses.insert("202".into(), good.clone());
    }
    responses.insert(endpoint.reply.status().as_u16().to_string(), good);
    for code in problems_of(endpoint) {
        let about = code.about();
        let entry =
            responses.entry(status_of(endpoint, code).as_u16().to_string()).or_insert_with(|| problem_response(""));
        let words = entry.get("description").and_then(Value::as_str).unwrap_or_default();
        let words = if words.is_empty() { format!("`{}`", about.word) } else { format!("{words}, `{}`", about.word) };
        if let Some(members) = entry.as_object_mut() {
            members.insert("description".into(), words.into());
        }
    }
    responses.insert("default".into(), problem_response("Any other problem"));
    Value::Object(responses)
}

fn problem_response(words: &str) -> Value {
    json!({ "description": words, "content": { "application/problem+json": { "schema": reference("Problem") } } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn path_parameters(endpoint: &Endpoint) -> impl Iterator<Item = Value> {
    let names = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 128 } }))
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.range {
        Some((lowest, highest)) => {
            json!({ "type": "integer", "format": "int64", "minimum": lowest, "maximum": highest })
        }
        None => json!({ "type": "string", "minLength": 1, "maxLength": 257 }),
    };
    json!({ "name": parameter.name, "in": parameter.place, "required": parameter.is_required, "description": parameter.about, "schema": schema })
}

fn webhooks() -> Value {
    let header = |about: &str| json!({ "required": true, "description": about, "schema": { "type": "string" } });
    let named = |name: &str, about: &str| {
        let mut header = header(about);
        if let Some(members) = header.as_object_mut() {
            members.insert("name".into(), name.into());
            members.insert("in".into(), "header".into());
        }
        header
    };
    let webhook = |operation: &str, summary: &str, data: &str| {
        json!({ "post": {
        "operationId": operation,
        "summary": summary,
        "description": format!("Signed as Standard Webhooks 1.0.0. Delivered at least once; `webhook-id` is the same on every \
                                attempt. `data` is {data}."),
        "tags": ["read"],
        "parameters": [
            named("webhook-id", "Id of the event; de-duplicate by it"),
            named("webhook-timestamp", "Unix seconds of this attempt"),
            named("webhook-signature", "`v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`; several, separated by spaces"),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": reference("WebhookEvent") } } },
        "responses": { "2XX": { "description": "Taken; anything else is retried" } },
    } })
    };
    let mut all = json!({
        CLASSIFIED: webhook(
            "onMessageClassified",
            "An event was decided on",
            "the answer of integration-event with `links`",
        ),
        UPDATED: webhook(
            "onMessageUpdated",
            "A later copy of a message named more recipients",
            "`updatedEventId`, `messageId`, `copyId`, `addedRecipients` and `links`",
        ),
    });
    if let Some(members) = all.as_object_mut() {
        const DATA: &str = "`draftId`, `state`, `version`, `contentHash` and `identity` of a draft, or `approvalId` of a question, \
                            with `step`, `by`, `reasons` and `links`; of `draft.handed_off` also `operations`";
        for told in STEP_TYPES {
            members.insert(told.kind.to_owned(), webhook(&operation_of(told.kind), told.summary, DATA));
        }
    }
    all
}

/// `draft.handed_off` is `onDraftHandedOff`.
fn operation_of(kind: &str) -> String {
    let mut name = "on".to_owned();
    for word in kind.split(['.', '_']) {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// serde defaults of optional fields say what leaving them out means, which the descriptions already do; on required
/// fields they would contradict the schema.
fn tidy(schemas: &mut Value) {
    match schemas {
        Value::Object(members) => {
            if members.contains_key("type") || members.contains_key("oneOf") || members.contains_key("$ref") {
                members.remove("default");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// What the types cannot say about a whole body.
fn add_rules(schemas: &mut Value) {
    if let Some(event) = schemas.pointer_mut("/EventRequest").and_then(Value::as_object_mut) {
        event.insert("anyOf".into(), json!([
            { "required": ["message"], "properties": { "message": { "type": "object", "anyOf": [
                { "required": ["subject"] }, { "required": ["body"] }, { "required": ["html"] }, { "required": ["raw"] } ] } } },
            { "required": ["payload"], "properties": { "payload": { "type": "object", "required": ["title"] } } },
        ]));
    }
    if let Some(outcome) = schemas.pointer_mut("/OutcomeRequest").and_then(Value::as_object_mut) {
        outcome.insert("anyOf".into(), json!([
            { "required": ["operationId"] }, { "required": ["eventId"] }, { "required": ["sourceSystem", "sourceEventId"] },
        ]));
    }
    for pointer in ["/EventRequest/properties/occurredAt", "/OutcomeRequest/properties/occurredAt"] {
        if let Some(time) = schemas.pointer_mut(pointer).and_then(Value::as_object_mut) {
            time.insert("format".into(), "date-time".into());
        }
    }
}

/// Every scope that a key may have, with what it opens.
#[must_use]
pub fn scopes() -> Vec<(Scope, Vec<&'static str>)> {
    let paths = |scope: Scope| {
        let of_scope = ENDPOINTS
            .iter()
            .filter(move |endpoint| [Auth::Key(scope), Auth::KeyOrPassword(scope)].contains(&endpoint.auth));
        of_scope.map(|endpoint| endpoint.path).collect()
    };
    Scope::ALL.into_iter().map(|scope| (scope, paths(scope))).collect()
}
