//! What is served here: documents for programs and people.

use super::{Action, Endpoint, OPEN, Reply};
use crate::http::error::Code;

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
];
