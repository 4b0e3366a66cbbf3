//! What was recorded: events, and the chain of an id.

use super::{Action, Auth, Endpoint, OPEN, Parameter, Reply};
use crate::http::error::Code;
use crate::keys::Scope;

const AFTER: Parameter = Parameter {
    name: "after",
    place: "query",
    about: "Cursor of the last event that was seen; 0 or nothing for the beginning.",
    range: Some((0, i64::MAX)),
    is_required: false,
};

const LIMIT: Parameter = Parameter {
    name: "limit",
    place: "query",
    about: "How many events at most; 50 unless told.",
    range: Some((1, 200)),
    is_required: false,
};

const LAST_EVENT_ID: Parameter = Parameter {
    name: "Last-Event-ID",
    place: "header",
    about: "Cursor of the last event that was seen, as an EventSource sends it; wins over `after`.",
    range: Some((0, i64::MAX)),
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
];
