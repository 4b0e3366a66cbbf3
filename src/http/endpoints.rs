//! The table of everything that is served: router, OpenAPI document, discovery and GET contracts are all made from it.
//!
//! A path that is not here is not served, and what is here names its authentication: there is no other way to a handler.

use axum::http::StatusCode;

use super::error::Code;
use crate::keys::Scope;
use crate::mail::envelope::Provider;
use crate::service::accounts::Role;
use crate::service::routes::RouteStep;

mod discover;
mod domains;
mod drafts;
mod evaluate;
mod evidence;
mod intake;
mod messages;
mod people;
mod read;
mod routes;
mod sending;

/// Which handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each is")]
pub enum Action {
    Preview,
    Event,
    Status,
    Outcome,
    Insights,
    Trust,
    KeyCheck,
    OpenApi,
    Discovery,
    LlmsText,
    SecurityText,
    Docs,
    DocsMarkdown,
    ProblemPage,
    Events,
    EventStream,
    Explain,
    Message,
    RawMessage,
    MessageBody,
    AuthResults,
    Attachment,
    AttachmentLink,
    LinkedAttachment,
    IntakeRaw,
    Delivery(Provider),
    Domains,
    DomainClaim,
    Domain,
    DomainRemove,
    DomainCheck,
    DomainRecords,
    DomainRelay,
    DomainRelaySet,
    DomainRelayRemove,
    Drafts,
    DraftCreate,
    Draft,
    DraftEdit,
    DraftCancel,
    DraftCheck,
    DraftRelease,
    DraftWithdraw,
    DraftReport,
    ThreadReply,
    Upload,
    Approvals,
    Approval,
    Decision,
    BatchDecision,
    Login,
    Logout,
    StepUp,
    Sessions,
    SessionEnd,
    Users,
    UserAdd,
    UserChange,
    Invites,
    InviteMake,
    InviteWithdraw,
    Issuers,
    IssuerRegister,
    IssuerRemove,
    Receipt,
    AuditHead,
    AuditLog,
    Erase,
    Policy,
    PolicyMake,
    PolicyTry,
    Pauses,
    Pause,
    Resume,
    Suppressions,
    Suppress,
    Unsuppress,
    DraftSettle,
    Routes,
    RouteMake,
    Route,
    RouteChange,
    RouteStep(RouteStep),
    RouteRotate,
    RouteLearn,
    RouteMarks,
    RouteConfirm,
    RouteReconciliation,
    RouteHeld,
    RouteRedecide,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone; nothing of a tenant is behind it.
    Open,
    /// Any valid key.
    AnyKey,
    /// A key with this scope.
    Key(Scope),
    /// Whoever has a password, to sign in: from a page of ours.
    Password,
    /// A signed-in person with at least this role.
    Session(Role),
    /// A signed-in person, or a user of an issuer that the tenant registered; the handler sees to the role.
    Person,
    /// A key with this scope, or a signed-in person with at least this role.
    KeyOrSession(Scope, Role),
    /// Whoever has the URL, which is signed and names one thing.
    Link,
    /// A key with this scope, also as the password of Basic authentication: for callers that can be told nothing else.
    KeyOrPassword(Scope),
}

/// The method of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH (RFC 5789).
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// In capital letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a good reply holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// JSON of a schema.
    Json(&'static str),
    /// The same, also with 202 where it is not done yet.
    JsonOrAccepted(&'static str),
    /// 201 with JSON of a schema.
    Created(&'static str),
    /// JSON without a schema of its own.
    FreeJson,
    /// Text of a media type.
    Text(&'static str),
}

/// One endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Its handler.
    pub action: Action,
    /// Its method.
    pub verb: Verb,
    /// Its path, with `{name}` for segments.
    pub path: &'static str,
    /// Who may call.
    pub auth: Auth,
    /// One line.
    pub summary: &'static str,
    /// A few sentences.
    pub about: &'static str,
    /// Schema of the body.
    pub body: Option<&'static str>,
    /// What a good reply holds.
    pub reply: Reply,
    /// Query parameters.
    pub query: &'static [Parameter],
    /// Problems beside those of every endpoint.
    pub problems: &'static [Code],
}

/// A query parameter or header.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `query` or `header`.
    pub place: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Lowest and highest whole number; `None` for text.
    pub range: Option<(i64, i64)>,
    /// Whether a call without it is refused.
    pub is_required: bool,
}

impl Reply {
    /// The status that says so.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Created(_) => StatusCode::CREATED,
            Self::Json(_) | Self::JsonOrAccepted(_) | Self::FreeJson | Self::Text(_) => StatusCode::OK,
        }
    }
}

impl Endpoint {
    /// Whether a GET on the same path tells its contract.
    #[must_use]
    pub fn has_contract(&self) -> bool {
        self.verb == Verb::Post && self.path.starts_with("/api/connex/")
    }
}

const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: "header",
    about: "Up to 255 printable characters, quoted (RFC 8941 string) or bare. The same key with the same request is answered \
            with the stored reply for 24 hours.",
    range: None,
    is_required: false,
};

/// Where what is done reaches people outside, a client that lost the answer must be able to ask for it again.
const NEEDED_KEY: Parameter = Parameter { is_required: true, ..IDEMPOTENCY_KEY };

const OPEN: Endpoint = Endpoint {
    action: Action::Docs,
    verb: Verb::Get,
    path: "",
    auth: Auth::Open,
    summary: "",
    about: "",
    body: None,
    reply: Reply::Text("text/plain"),
    query: &[],
    problems: &[],
};

/// Every endpoint.
pub const ENDPOINTS: &[Endpoint] = &joined::<COUNT>(&[
    evaluate::ENDPOINTS,
    discover::ENDPOINTS,
    read::ENDPOINTS,
    messages::ENDPOINTS,
    domains::ENDPOINTS,
    drafts::ENDPOINTS,
    people::ENDPOINTS,
    evidence::ENDPOINTS,
    sending::ENDPOINTS,
    routes::ENDPOINTS,
    intake::ENDPOINTS,
]);

const COUNT: usize = evaluate::ENDPOINTS.len()
    + discover::ENDPOINTS.len()
    + read::ENDPOINTS.len()
    + messages::ENDPOINTS.len()
    + domains::ENDPOINTS.len()
    + drafts::ENDPOINTS.len()
    + people::ENDPOINTS.len()
    + evidence::ENDPOINTS.len()
    + sending::ENDPOINTS.len()
    + routes::ENDPOINTS.len()
    + intake::ENDPOINTS.len();

#[expect(clippy::indexing_slicing, reason = "run by the compiler, for which a place that is not there is an error")]
const fn joined<const ALL: usize>(groups: &[&[Endpoint]]) -> [Endpoint; ALL] {
    let (mut all, mut next, mut group) = ([OPEN; ALL], 0, 0);
    while group < groups.len() {
        let mut place = 0;
        while place < groups[group].len() {
            all[next] = groups[group][place];
            (next, place) = (next + 1, place + 1);
        }
        group += 1;
    }
    all
}

/// The endpoint of an action; the first where several paths have it.
#[must_use]
pub fn endpoint(action: Action) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.action == action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_nothing_of_a_tenant_is_open() {
        let open: Vec<_> = ENDPOINTS.iter().filter(|endpoint| endpoint.auth == Auth::Open).map(|e| e.path).collect();
        let expected = [
            "/api/connex/integration-preview",
            "/api/connex/openapi",
            "/openapi.json",
            "/.well-known/connex-agent",
            "/llms.txt",
            "/.well-known/security.txt",
            "/docs",
            "/api-docs.md",
            "/problems/{slug}",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn every_endpoint_is_described_once() {
        for endpoint in ENDPOINTS {
            assert!(!endpoint.summary.is_empty() && !endpoint.about.is_empty(), "{}", endpoint.path);
            let same = |other: &&Endpoint| other.path == endpoint.path && other.verb == endpoint.verb;
            assert_eq!(ENDPOINTS.iter().filter(same).count(), 1, "{}", endpoint.path);
        }
    }
}
