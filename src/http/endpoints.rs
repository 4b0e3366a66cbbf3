//! The table of everything that is served: router, OpenAPI document, discovery and GET contracts are all made from it.
//!
//! A path that is not here is not served, and what is here names its authentication: there is no other way to a handler.

use super::error::Code;
use crate::keys::Scope;
use crate::mail::envelope::Provider;

mod parameters;

use parameters::{
    AFTER, CLIENT_ADDRESS, CLIENT_HELO, EXPIRES, EXPIRES_IN, IDEMPOTENCY_KEY, LAST_EVENT_ID, LIMIT, MAIL_FROM, RCPT_TO,
    SHA256, SIGNATURE,
};

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
            Self::Delete => "DELETE",
        }
    }
}

/// What a good reply holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// JSON of a schema.
    Json(&'static str),
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
}

impl Endpoint {
    /// Whether a GET on the same path tells its contract.
    #[must_use]
    pub fn has_contract(&self) -> bool {
        self.verb == Verb::Post && self.path.starts_with("/api/connex/")
    }
}

const EVALUATE: Auth = Auth::Key(Scope::StatusEvaluate);

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
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Preview,
        verb: Verb::Post,
        path: "/api/connex/integration-preview",
        summary: "Dry run without a key",
        about: "Evaluates an event and answers as integration-event would. Stores nothing, calls no model, needs no key.",
        body: Some("EventRequest"),
        reply: Reply::Json("Answer"),
        ..OPEN
    },
    Endpoint {
        action: Action::Event,
        verb: Verb::Post,
        path: "/api/connex/integration-event",
        auth: EVALUATE,
        summary: "Hand over an event",
        about: "Records the event, decides on it, stores safe internal work, and answers with operations for the app. (app, \
                sourceSystem, sourceEventId) names an event: the same again with the same body gives the first answer \
                with `duplicate: true`, with another body 409.",
        body: Some("EventRequest"),
        reply: Reply::Json("Answer"),
        problems: &[Code::IdempotencyConflict, Code::ForbiddenApp, Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::Status,
        verb: Verb::Post,
        path: "/api/connex/status",
        auth: EVALUATE,
        summary: "Evaluate without recording",
        about: "Canonical and mapped status with what is registered for the app; nothing is stored or materialised.",
        body: Some("EventRequest"),
        reply: Reply::Json("Answer"),
        problems: &[Code::ForbiddenApp, Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::Outcome,
        verb: Verb::Post,
        path: "/api/connex/integration-outcome",
        auth: EVALUATE,
        summary: "Report what happened",
        about: "Records what became of an operation or event. Outcomes form a history: `won` may follow `approved`. What is \
                recorded is kept and counted in insights; decisions do not change by it yet.",
        body: Some("OutcomeRequest"),
        reply: Reply::Json("OutcomeAnswer"),
        query: &[IDEMPOTENCY_KEY],
        problems: &[Code::NotFound, Code::AmbiguousEvent, Code::IdempotencyConflict, Code::ForbiddenApp],
    },
    Endpoint {
        action: Action::Insights,
        verb: Verb::Post,
        path: "/api/connex/integration-insights",
        auth: EVALUATE,
        summary: "Figures of the tenant or of one app",
        about: "Volumes, statuses, outcomes and delivery health in a span of time (the last 30 days unless told).",
        body: Some("InsightsRequest"),
        reply: Reply::Json("InsightsAnswer"),
        problems: &[Code::ForbiddenApp, Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Trust,
        verb: Verb::Post,
        path: "/api/connex/trust",
        auth: EVALUATE,
        summary: "Policy gates and trust band of the calling tenant",
        about: "Which gates are open and why, abuse signals, limits and a recommendation. Bands, never figures.",
        body: Some("TrustRequest"),
        reply: Reply::Json("TrustAnswer"),
        problems: &[Code::ForbiddenApp, Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::KeyCheck,
        verb: Verb::Post,
        path: "/api/connex/key-check",
        auth: Auth::AnyKey,
        summary: "What the presented key may do",
        about: "Key id, tenant, scopes, bindings and expiry; never the key. The body may be left out.",
        reply: Reply::Json("KeyCheckAnswer"),
        ..OPEN
    },
    Endpoint {
        action: Action::OpenApi,
        path: "/api/connex/openapi",
        summary: "This document",
        about: "OpenAPI 3.1.0, made from the types that serve. Also at /openapi.json.",
        reply: Reply::FreeJson,
        ..OPEN
    },
    Endpoint {
        action: Action::OpenApi,
        path: "/openapi.json",
        summary: "This document",
        about: "The same as /api/connex/openapi.",
        reply: Reply::FreeJson,
        ..OPEN
    },
    Endpoint {
        action: Action::Discovery,
        path: "/.well-known/connex-agent",
        summary: "What is served here, for programs",
        about: "Endpoints with method, authentication, scope and whether they are live, key format, event types, limits.",
        reply: Reply::FreeJson,
        ..OPEN
    },
    Endpoint {
        action: Action::LlmsText,
        path: "/llms.txt",
        summary: "What is served here, for language models",
        about: "A short text with links.",
        ..OPEN
    },
    Endpoint {
        action: Action::SecurityText,
        path: "/.well-known/security.txt",
        summary: "Where to report a weakness",
        about: "RFC 9116.",
        ..OPEN
    },
    Endpoint {
        action: Action::Docs,
        path: "/docs",
        summary: "Documentation as a page",
        about: "The same text as /api-docs.md.",
        reply: Reply::Text("text/html"),
        ..OPEN
    },
    Endpoint {
        action: Action::DocsMarkdown,
        path: "/api-docs.md",
        summary: "Documentation as text",
        about: "The integrator's guide in Markdown.",
        reply: Reply::Text("text/markdown"),
        ..OPEN
    },
    Endpoint {
        action: Action::ProblemPage,
        path: "/problems/{slug}",
        summary: "What a problem means",
        about: "The page that `type` of a problem points to.",
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Events,
        path: "/api/v1/events",
        auth: Auth::Key(Scope::EventsRead),
        summary: "Read the event log",
        about: "Events of the tenant behind a cursor, oldest first. Cursors are whole numbers without gaps.",
        reply: Reply::Json("EventPage"),
        query: &[AFTER, LIMIT],
        ..OPEN
    },
    Endpoint {
        action: Action::EventStream,
        path: "/api/v1/events/stream",
        auth: Auth::Key(Scope::EventsRead),
        summary: "Follow the event log",
        about: "Server-sent events: each has the cursor as `id`, its type as `event`, and the webhook body as `data`. Resumes \
                behind Last-Event-ID without a gap. A comment comes every 15 seconds.",
        reply: Reply::Text("text/event-stream"),
        query: &[AFTER, LAST_EVENT_ID],
        ..OPEN
    },
    Endpoint {
        action: Action::Explain,
        path: "/api/v1/explain/{id}",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "The whole chain of one id",
        about: "Of a message, event, operation or delivery: session, parts, decision, operations, each attempt, outcomes.",
        reply: Reply::FreeJson,
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Message,
        path: "/api/v1/messages/{id}",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "What is known of a stored message",
        about: "Envelope, origin, size, state, and its attachments by description, each with the path that gives it out.",
        reply: Reply::FreeJson,
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RawMessage,
        path: "/api/v1/messages/{id}/raw",
        auth: Auth::Key(Scope::MessagesRaw),
        summary: "The bytes of a stored message",
        about: "Without the addresses of routes. X-Connex-Rendition says in what they differ from those that arrived: `exact`, \
                `redacted`, `original` (the message inside a journal report, for a key without journal:bcc), or both.",
        reply: Reply::Text("message/rfc822"),
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::MessageBody,
        path: "/api/v1/messages/{id}/body",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "The text of a stored message",
        about: "The best plain text, and what is new in it. Where its route keeps texts alone, as its event has it.",
        reply: Reply::Json("MessageBody"),
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::AuthResults,
        path: "/api/v1/messages/{id}/auth-results",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "Who really sent a stored message",
        about: "What SPF, DKIM, DMARC, ARC and iprev said when it came, and the header field that tells it.",
        reply: Reply::FreeJson,
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Attachment,
        path: "/api/v1/messages/{id}/attachments/{number}",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "One attachment of a stored message",
        about: "Its octets, always as a download of type application/octet-stream: senders choose names and types. Attached \
                messages and texts are without the addresses of routes.",
        reply: Reply::Text("application/octet-stream"),
        query: &[SHA256],
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::AttachmentLink,
        verb: Verb::Post,
        path: "/api/v1/messages/{id}/attachments/{number}/link",
        auth: Auth::Key(Scope::MessagesRead),
        summary: "Make a link to one attachment",
        about: "A URL that gives this attachment to whoever has it, without a key, until it expires.",
        reply: Reply::Json("LinkAnswer"),
        query: &[SHA256, EXPIRES_IN],
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::LinkedAttachment,
        path: "/a/{tenant}/{message}/{number}",
        auth: Auth::Link,
        summary: "The attachment of a link",
        about: "404 for a link that was not made here, has expired, or whose attachment is not kept any more: no reply tells which.",
        reply: Reply::Text("application/octet-stream"),
        query: &[SHA256, EXPIRES, SIGNATURE],
        problems: &[Code::NotFound, Code::TemporarilyUnavailable],
        ..OPEN
    },
    Endpoint {
        action: Action::Domains,
        path: "/api/v1/domains",
        auth: Auth::Key(Scope::DomainsRead),
        summary: "The domains that the tenant claims",
        about: "All of them by name, each with its state and the record that proves it.",
        reply: Reply::Json("DomainPage"),
        problems: &[Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainClaim,
        verb: Verb::Post,
        path: "/api/v1/domains",
        auth: Auth::Key(Scope::DomainsWrite),
        summary: "Claim a domain",
        about: "It counts for nothing until its record stands in DNS and was looked for. Once more changes nothing and gives the \
                same answer. Several tenants may claim a domain, and one alone can have proven it.",
        body: Some("DomainRequest"),
        reply: Reply::Json("DomainView"),
        problems: &[Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::Domain,
        path: "/api/v1/domains/{id}",
        auth: Auth::Key(Scope::DomainsRead),
        summary: "One domain of the tenant",
        about: "Its id is the domain itself, in either form.",
        reply: Reply::Json("DomainView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainRemove,
        verb: Verb::Delete,
        path: "/api/v1/domains/{id}",
        auth: Auth::Key(Scope::DomainsWrite),
        summary: "Give a domain up",
        about: "Mail from and to it no longer counts as the tenant's. One that the operator has suspended stays.",
        reply: Reply::Json("DomainRemoved"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::InvalidRequest],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainCheck,
        verb: Verb::Post,
        path: "/api/v1/domains/{id}/check",
        auth: Auth::Key(Scope::DomainsWrite),
        summary: "Look for the records of a domain, and take it as proven where its own is there",
        about: "Every record that the domain needs beside what stands in DNS. Trouble of the DNS changes nothing.",
        reply: Reply::Json("DomainRecords"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainRecords,
        path: "/api/v1/domains/{id}/dns-records",
        auth: Auth::Key(Scope::DomainsRead),
        summary: "The records that a domain needs",
        about: "As check, with nothing recorded.",
        reply: Reply::Json("DomainRecords"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::IntakeRaw,
        verb: Verb::Post,
        path: "/api/v1/intake/raw",
        auth: Auth::Key(Scope::MailIngest),
        summary: "Hand mail in",
        about: "One message (RFC 5322) as the body, its envelope in headers. 200 says that it is on stable storage, as 250 does by \
                SMTP. Recipients are mailboxes and routes of the key's tenant; what is wrong with each stands in `errors`. \
                The same message again makes no second event; with an Idempotency-Key the same call makes no second message.",
        reply: Reply::Json("IntakeAnswer"),
        query: &[MAIL_FROM, RCPT_TO, CLIENT_ADDRESS, CLIENT_HELO, IDEMPOTENCY_KEY],
        problems: &[
            Code::IdempotencyConflict,
            Code::ForbiddenMailbox,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::RequestTimeout,
            Code::TemporarilyUnavailable,
        ],
        ..OPEN
    },
    Endpoint {
        action: Action::Delivery(Provider::Postmark),
        path: "/api/v1/intake/postmark",
        summary: "Postmark's inbound webhook",
        about: "JSON with RawEmail (\"Include raw email content in JSON payload\"). The key is the password in the webhook's URL. \
                403 has Postmark give up, anything else but 200 try again.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Mailgun),
        path: "/api/v1/intake/mailgun",
        summary: "Mailgun's route to a URL",
        about: "A form with body-mime, which Mailgun sends to URLs that end in mime: use /api/v1/intake/mailgun/mime. The key is \
                the password in the URL. 406 has Mailgun give up, anything else but 200 try again.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Mailgun),
        path: "/api/v1/intake/mailgun/mime",
        summary: "Mailgun's route to a URL, with the whole message",
        about: "The same as /api/v1/intake/mailgun.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Sendgrid),
        path: "/api/v1/intake/sendgrid",
        summary: "SendGrid's Inbound Parse",
        about: "A form with email (\"POST the raw, full MIME message\") and envelope. The key is the password in the URL. \
                SendGrid tries again after 5xx.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Ses),
        path: "/api/v1/intake/ses",
        summary: "Amazon SES, through an SNS topic",
        about: "Notifications of an SNS action of a receipt rule, from topics that the configuration lists. The key is the \
                password in the subscription's URL. A subscription is confirmed by the operator, at the address in the log. \
                SNS tries again after 5xx.",
        ..DELIVERY
    },
];

/// What is the same for all providers.
const DELIVERY: Endpoint = Endpoint {
    verb: Verb::Post,
    auth: Auth::KeyOrPassword(Scope::MailIngest),
    reply: Reply::Json("DeliveryAnswer"),
    problems: &[
        Code::ForbiddenMailbox,
        Code::PayloadTooLarge,
        Code::InvalidRequest,
        Code::IdempotencyConflict,
        Code::RequestTimeout,
        Code::TemporarilyUnavailable,
    ],
    ..OPEN
};

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
