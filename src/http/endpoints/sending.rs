//! What stands in the way of mail that leaves, and what people found out about mail that may have left.

use super::{Action, Auth, Endpoint, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::service::accounts::Role;

/// Whoever can stop and start sending decides what leaves: no key does.
const ADMIN: Auth = Auth::Session(Role::Admin);
const AFTER: Parameter = Parameter {
    name: "after",
    place: "query",
    about: "Only addresses behind this one.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Pauses,
        path: "/api/v1/pauses",
        auth: ADMIN,
        summary: "What is paused",
        about: "Agents, mailboxes, or all of the organisation. Drafts keep their approvals meanwhile.",
        reply: Reply::Json("PausePage"),
        ..OPEN
    },
    Endpoint {
        action: Action::Pause,
        verb: Verb::Post,
        path: "/api/v1/pauses",
        auth: ADMIN,
        summary: "Stop sending",
        about: "Of an agent, a mailbox or all of the organisation, within a second on every node. Answers with all that is paused \
                then.",
        body: Some("PauseRequest"),
        reply: Reply::Created("PausePage"),
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Resume,
        verb: Verb::Delete,
        path: "/api/v1/pauses/{id}",
        auth: ADMIN,
        summary: "Let sending go on",
        about: "What waited goes on by itself. Needs a session in which the person has just proved who they are. What the operator has \
                stopped only the operator lets go on.",
        reply: Reply::Json("PausePage"),
        problems: &[Code::StepUpRequired, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::Suppressions,
        path: "/api/v1/suppressions",
        auth: ADMIN,
        summary: "Addresses that get nothing",
        about: "Since mail to them came back for good, their owners complained or asked for no more, or somebody here said so. At \
                most 200.",
        reply: Reply::Json("SuppressionPage"),
        query: &[AFTER],
        ..OPEN
    },
    Endpoint {
        action: Action::Suppress,
        verb: Verb::Post,
        path: "/api/v1/suppressions",
        auth: ADMIN,
        summary: "Send an address nothing any more",
        about: "Drafts to it are denied. Where it got nothing before, the first reason stays.",
        body: Some("SuppressionRequest"),
        reply: Reply::Created("SuppressionView"),
        ..OPEN
    },
    Endpoint {
        action: Action::Unsuppress,
        verb: Verb::Delete,
        path: "/api/v1/suppressions/{id}",
        auth: ADMIN,
        summary: "Let an address be sent to again",
        about: "`id` is the address. Needs a session in which the person has just proved who they are.",
        reply: Reply::FreeJson,
        problems: &[Code::StepUpRequired, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftSettle,
        verb: Verb::Post,
        path: "/api/v1/drafts/{id}/settle",
        auth: Auth::Session(Role::Approver),
        summary: "Say whether a message was taken",
        about: "Of a recipient that is `unknown`: the connection broke at the very end, and nothing is sent again by itself. With the \
                last of them the draft is `sent`, `partly_sent` or `failed`. Nothing is sent by this.",
        body: Some("SettleRequest"),
        reply: Reply::Json("DraftView"),
        problems: &[Code::NotFound],
        ..OPEN
    },
];
