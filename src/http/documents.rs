//! Documents that are made once at start: OpenAPI, discovery, guides, contracts, problem pages.
//!
//! The example in a contract is what the contract's endpoint really answers: it is computed when the program starts.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::endpoints::{Action, Auth, ENDPOINTS, Endpoint};
use super::error::{CODES, Code, Problem};
use super::limits::Quota;
use super::openapi::{problems_of, scopes};
use super::{HttpError, Settings};
use crate::clock::{Clock, Timestamp};
use crate::contract::steps::STEP_TYPES;
use crate::contract::webhook::API_VERSION;
use crate::contract::webhook::{CLASSIFIED, UPDATED};
use crate::service::evaluate::sha256;
use crate::service::trust::LimitEntry;
use crate::service::{Service, Submission};

/// A reply that is the same for everyone.
#[derive(Debug)]
pub struct Ready {
    bytes: Bytes,
    media: &'static str,
    etag: HeaderValue,
}

impl Ready {
    fn new(bytes: impl Into<Bytes>, media: &'static str) -> Self {
        let bytes = bytes.into();
        let tag: String = sha256(&bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"0\""));
        Self { bytes, media, etag }
    }

    fn json(value: &Value) -> Result<Self, HttpError> {
        Ok(Self::new(serde_json::to_vec_pretty(value)?, "application/json"))
    }

    /// The reply; 304 without a body where the reader has it already (RFC 9110 §13.1.2).
    #[must_use]
    pub fn reply(&self, headers: &HeaderMap) -> Response {
        let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|given| {
            let given = given.as_bytes();
            given == b"*" || given.windows(self.etag.len()).any(|part| part == self.etag.as_bytes())
        });
        let common = [
            (header::ETAG, self.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let media = [(header::CONTENT_TYPE, HeaderValue::from_static(self.media))];
        let mut reply = (common, media, self.bytes.clone()).into_response();
        if self.media.starts_with("text/html") {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
            reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        reply
    }
}

/// All of them.
#[derive(Debug)]
pub struct Documents {
    /// OpenAPI.
    pub openapi: Ready,
    /// `/.well-known/connex-agent`.
    pub discovery: Ready,
    /// `/llms.txt`.
    pub llms_text: Ready,
    /// `/docs`.
    pub docs: Ready,
    /// `/api-docs.md`.
    pub docs_markdown: Ready,
    contracts: BTreeMap<&'static str, Ready>,
    problems: BTreeMap<String, Ready>,
}

impl Documents {
    /// Makes them.
    ///
    /// # Errors
    /// [`HttpError::Document`] when one cannot be written, which a test rules out.
    pub fn new(openapi: &Value, settings: &Settings, service: &Service) -> Result<Self, HttpError> {
        let markdown = GUIDE.replace("https://connex.example", &settings.base_url);
        let mut contracts = BTreeMap::new();
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.has_contract()) {
            contracts.insert(endpoint.path, Ready::json(&contract(endpoint, openapi, settings, service))?);
        }
        let problems = CODES.iter().map(|about| (about.code.slug(), problem_page(about.code))).collect();
        Ok(Self {
            openapi: Ready::json(openapi)?,
            discovery: Ready::json(&discovery(settings, service))?,
            llms_text: Ready::new(llms_text(settings), "text/plain; charset=utf-8"),
            docs: Ready::new(page("Connex API", &markdown), "text/html; charset=utf-8"),
            docs_markdown: Ready::new(markdown, "text/markdown; charset=utf-8"),
            contracts,
            problems,
        })
    }

    /// The contract of the POST endpoint on `path`.
    #[must_use]
    pub fn contract(&self, path: &str) -> Option<&Ready> {
        self.contracts.get(path)
    }

    /// The page of a kind of problem.
    ///
    /// # Errors
    /// 404 for one that does not exist.
    pub fn problem(&self, slug: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let page =
            self.problems.get(slug).ok_or_else(|| Problem::new(Code::NotFound, "There is no such kind of problem."))?;
        Ok(page.reply(headers))
    }
}

/// The integrator's guide.
const GUIDE: &str = include_str!("../../docs/api.md");

impl Settings {
    /// The limits of calls, as trust and discovery tell them.
    #[must_use]
    pub fn limit_entries(&self) -> Vec<LimitEntry> {
        let entry = |name: &str, quota: Option<Quota>| LimitEntry {
            name: name.to_owned(),
            requests: quota.map(|quota| quota.requests),
            window_seconds: quota.map(|quota| quota.window.as_secs()),
        };
        vec![entry("preview", self.preview_quota), entry("default", self.key_quota), entry("daily", self.tenant_quota)]
    }
}

/// A body that the endpoint accepts: those of the public documentation.
#[must_use]
pub fn example_of(endpoint: &Endpoint) -> Value {
    let message =
        json!({ "subject": "Need approval before moving forward", "body": "Can you confirm terms before we proceed?" });
    match endpoint.action {
        Action::Preview | Action::Status => json!({
            "app": "your-saas",
            "sourceSystem": "your-saas",
            "eventType": "inbound_reply",
            "sourceMailbox": {
                "senderIdentityOwner": "source_app",
                "replyPolicy": "source_app_only",
                "externalReplyUrl": "https://your-saas.example/thread/123",
            },
            "message": message,
        }),
        Action::Event => json!({
            "app": "your-saas",
            "sourceSystem": "your-saas",
            "sourceEventId": "evt_123",
            "eventType": "inbound_reply",
            "message": message,
        }),
        Action::Outcome => json!({
            "app": "your-saas", "sourceSystem": "your-saas", "sourceEventId": "evt_123",
            "outcome": "approved", "appliedStatus": "Needs POF",
        }),
        Action::Insights => json!({ "groupBy": "status" }),
        Action::DomainClaim => json!({ "domain": "acme.example" }),
        Action::DomainRelaySet => {
            json!({ "relay": "smtp.acme.example:587", "user": "gateway", "password": "a secret" })
        }
        Action::DraftCreate => json!({
            "mailbox": "deals@your-gateway.example", "to": ["Ann <ann@lakeside.example>"],
            "subject": "Tuesday", "text": "See you on Tuesday.",
        }),
        Action::DraftEdit => json!({ "version": 1, "text": "See you on Wednesday." }),
        Action::DraftReport => {
            json!({ "outcome": "sent", "messageId": "<1@your-saas.example>", "sentAt": "2026-11-23T10:00:00Z" })
        }
        Action::ThreadReply => json!({ "text": "See you on Tuesday." }),
        Action::PolicyMake => json!({ "approver": "admin", "riskWords": ["project falcon"] }),
        Action::Erase => json!({ "subject": "ann@lakeside.example" }),
        Action::PolicyTry => json!({
            "policy": { "approver": "admin", "riskWords": ["project falcon"] }, "since": "2026-11-01T00:00:00Z",
        }),
        Action::BatchDecision => json!({ "decisions": [{ "approvalId": "apr_01kb3r8x7g0000000000000000", "answer": {
            "decision": "reject", "contentHash": "0".repeat(64), "reason": "not_needed",
        } }] }),
        Action::Pause => json!({ "kind": "agent", "subject": "agent_7" }),
        Action::Suppress => json!({ "address": "ann@lakeside.example" }),
        Action::DraftSettle => json!({ "recipient": "ann@lakeside.example", "wasTaken": true }),
        Action::RouteMake => json!({
            "kind": "journal", "format": "exchange", "app": "your-saas", "peers": ["198.51.100.0/24"],
        }),
        Action::RouteChange => json!({ "mode": "active", "exclude": ["newsletter"], "keep": "text", "keepDays": 90 }),
        Action::RouteRotate => json!({ "overlapHours": 168 }),
        Action::RouteLearn => json!({ "hours": 72 }),
        Action::RouteConfirm => json!({ "marks": [{ "name": "dkim", "value": "acme.example" }] }),
        Action::RouteRedecide => json!({
            "from": "2026-11-01T00:00:00Z", "to": "2026-11-23T10:00:00Z", "reason": "peer_not_authorised",
        }),
        _ => json!({}),
    }
}

fn contract(endpoint: &Endpoint, openapi: &Value, settings: &Settings, service: &Service) -> Value {
    let example = example_of(endpoint);
    let (auth, scope) = auth_words(endpoint.auth);
    let key_line = match endpoint.auth {
        Auth::Open | Auth::Link | Auth::Password | Auth::Session(_) | Auth::Person => String::new(),
        Auth::AnyKey | Auth::Key(_) | Auth::KeyOrPassword(_) | Auth::KeyOrSession(..) => {
            " \\\n-H 'authorization: Bearer cxk_live_your_key_here'".to_owned()
        }
    };
    let curl = format!(
        "curl -sS {}{} \\\n-H 'content-type: application/json'{key_line} \\\n-d '{example}'",
        settings.base_url, endpoint.path
    );
    let pointer = format!("/paths/{}/post", endpoint.path.replace('/', "~1"));
    json!({
        "method": endpoint.verb.as_str(),
        "path": endpoint.path,
        "summary": endpoint.summary,
        "description": endpoint.about,
        "auth": auth,
        "scope": scope,
        "live": true,
        "contentType": "application/json",
        "request": openapi.pointer(&format!("{pointer}/requestBody/content/application~1json/schema")),
        "response": openapi.pointer(&format!("{pointer}/responses/200/content/application~1json/schema")),
        "example": { "curl": curl, "request": example, "response": response_example(endpoint, service) },
        "problems": problems_of(endpoint).iter().map(|code| json!({
            "code": code.about().word, "status": code.about().status.as_u16(), "type": format!("/problems/{}", code.slug()),
        })).collect::<Vec<_>>(),
        "limits": { "bodyOctets": settings.body.max_size },
        "openapi": format!("{}/api/connex/openapi", settings.base_url),
    })
}

/// What the example is really answered with, where that needs no tenant.
fn response_example(endpoint: &Endpoint, service: &Service) -> Value {
    if endpoint.action != Action::Preview {
        return Value::Null;
    }
    let Ok(request) = serde_json::from_value(example_of(endpoint)) else { return Value::Null };
    let submission = Submission { request, warnings: Vec::new(), request_id: "req_example".to_owned() };
    let clock = Clock::fixed(Timestamp::from_micros(1_795_564_800_000_000));
    let answer = crate::service::preview(&service.engine, &clock, submission).ok();
    answer.and_then(|answer| serde_json::to_value(answer).ok()).unwrap_or_default()
}

const fn auth_words(auth: Auth) -> (&'static str, Option<&'static str>) {
    match auth {
        Auth::Open => ("none", None),
        Auth::Link => ("link", None),
        Auth::Password => ("password", None),
        Auth::Session(role) => ("session", Some(role.as_str())),
        Auth::Person => ("session or user token", Some("approver")),
        Auth::AnyKey => ("key", None),
        Auth::Key(scope) => ("key", Some(scope.as_str())),
        Auth::KeyOrSession(scope, _) => ("key or session", Some(scope.as_str())),
        Auth::KeyOrPassword(scope) => ("key or password", Some(scope.as_str())),
    }
}

fn discovery(settings: &Settings, service: &Service) -> Value {
    let base = &settings.base_url;
    let endpoint = |endpoint: &Endpoint| {
        let (auth, scope) = auth_words(endpoint.auth);
        json!({
            "method": endpoint.verb.as_str(), "path": endpoint.path, "auth": auth, "scope": scope,
            "summary": endpoint.summary, "live": true,
        })
    };
    json!({
        "product": "Connex",
        "version": env!("CARGO_PKG_VERSION"),
        "baseUrl": base,
        "documents": {
            "openapi": format!("{base}/api/connex/openapi"),
            "guide": format!("{base}/api-docs.md"),
            "page": format!("{base}/docs"),
            "llms": format!("{base}/llms.txt"),
        },
        "auth": {
            "scheme": "Bearer",
            "keyFormat": "\\bcxk_(live|test)_[0-9A-Za-z]{36}\\b",
            "header": "Authorization: Bearer cxk_live_…",
            "scopes": scopes().into_iter().map(|(scope, paths)| json!({ "scope": scope.as_str(), "opens": paths })).collect::<Vec<_>>(),
            "note": "Only from a server. Keys in a query string or from a browser are refused with key_exposed.",
        },
        "endpoints": ENDPOINTS.iter().map(endpoint).collect::<Vec<_>>(),
        "webhooks": {
            "standard": "Standard Webhooks 1.0.0, HMAC-SHA-256 (v1)",
            "apiVersion": API_VERSION,
            "eventTypes": event_types(),
            "publicKey": null,
        },
        "evidence": {
            "algorithm": "Ed25519",
            "publicKey": service.drafts.evidence.public().to_string(),
            "receipts": "/api/v1/receipts/{id}",
            "auditHead": "/api/v1/audit/head",
        },
        "stream": { "path": "/api/v1/events/stream", "transport": "sse", "live": true },
        "mcp": { "live": false },
        "websocket": { "live": false },
        "identityOwners": ["connex", "source_app", "customer_domain"],
        "replyPolicies": ["source_app_only", "human_approval", "policy_auto", "never"],
        "limits": {
            "bodyOctets": settings.body.max_size,
            "rates": settings.limit_entries(),
        },
        "sending": { "live": true, "note": "What leaves is a draft that the gate let out, once to each recipient, on nodes that send." },
    })
}

/// Every type of event, and that it is told.
fn event_types() -> Vec<Value> {
    let steps = STEP_TYPES.iter().map(|one| one.kind);
    [CLASSIFIED, UPDATED].into_iter().chain(steps).map(|kind| json!({ "type": kind, "live": true })).collect()
}

fn llms_text(settings: &Settings) -> String {
    let base = &settings.base_url;
    let mut text = format!(
        "# Connex\n\n> Turns email, app events and agent messages into governed JSON operations. Your app stays in charge; \
         nothing is sent that the owner of the identity did not allow.\n\nBase URL: {base}\nAuthentication: `Authorization: Bearer cxk_live_…`, only from a server. \
         The preview needs no key.\n\n## Documents\n\n- [Guide]({base}/api-docs.md)\n- [OpenAPI 3.1]({base}/api/connex/openapi)\n\
         - [Discovery]({base}/.well-known/connex-agent)\n\n## Endpoints\n\n"
    );
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path.starts_with("/api/")) {
        let (auth, scope) = auth_words(endpoint.auth);
        let needs = scope.unwrap_or(auth);
        text.push_str(&format!("- {} {}: {} ({needs})\n", endpoint.verb.as_str(), endpoint.path, endpoint.summary));
    }
    text
}

fn problem_page(code: Code) -> Ready {
    let about = code.about();
    let text = format!(
        "# {}\n\nCode `{}`, status {}.\n\n{}\n\nAll problems have the form of RFC 9457 with `code`, `requestId` and `errors`.\n",
        about.title,
        about.word,
        about.status.as_u16(),
        about.help
    );
    Ready::new(page(about.title, &text), "text/html; charset=utf-8")
}

/// A plain page: the text as it is, readable without styles or scripts.
fn page(title: &str, text: &str) -> String {
    let (title, text) = (escape(title), escape(text));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>body{{margin:2rem auto;max-width:52rem;\
         padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}}pre{{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit}}</style>\n\
         </head>\n<body>\n<main>\n<pre>{text}</pre>\n</main>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
