//! Events in, operations out, outcomes back.

use super::{Action, Auth, Endpoint, IDEMPOTENCY_KEY, OPEN, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;

const EVALUATE: Auth = Auth::Key(Scope::StatusEvaluate);

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
];
