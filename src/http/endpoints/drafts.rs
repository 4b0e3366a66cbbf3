//! Drafts, and what people are asked about them.

use super::{Action, Auth, Endpoint, IDEMPOTENCY_KEY, NEEDED_KEY, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;

const READ: Auth = Auth::Key(Scope::DraftsRead);
const WRITE: Auth = Auth::Key(Scope::DraftsWrite);

const STATE: Parameter =
    Parameter { name: "state", place: "query", about: "Only those in this state.", range: None, is_required: false };
const BEFORE: Parameter = Parameter {
    name: "before",
    place: "query",
    about: "Only those older than the one of this id.",
    range: None,
    is_required: false,
};
const AFTER: Parameter = Parameter {
    name: "after",
    place: "query",
    about: "Only those newer than the one of this id.",
    range: None,
    is_required: false,
};

const FILE_NAME: Parameter = Parameter {
    name: "name",
    place: "query",
    about: "The file's name, percent-encoded: 1 to 200 characters without folders. Must be there.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Drafts,
        path: "/api/v1/drafts",
        auth: READ,
        summary: "Drafts, newest first",
        about: "At most 100, without their content; those of the mailboxes and apps that the key is bound to.",
        reply: Reply::Json("DraftPage"),
        query: &[STATE, BEFORE],
        problems: &[Code::InvalidRequest],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftCreate,
        verb: Verb::Post,
        path: "/api/v1/drafts",
        auth: WRITE,
        summary: "Propose a message",
        about: "Writes its first version: envelope and exact bytes, with a hash over both. Nothing is sent by this.",
        body: Some("DraftRequest"),
        reply: Reply::Json("DraftView"),
        query: &[IDEMPOTENCY_KEY],
        problems: &[Code::ForbiddenMailbox, Code::ForbiddenApp, Code::NotFound, Code::IdempotencyConflict],
    },
    Endpoint {
        action: Action::Draft,
        path: "/api/v1/drafts/{id}",
        auth: READ,
        summary: "One draft",
        about: "Its present version, and what became of each recipient where it was released.",
        reply: Reply::Json("DraftView"),
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftEdit,
        verb: Verb::Patch,
        path: "/api/v1/drafts/{id}",
        auth: WRITE,
        summary: "Edit a draft",
        about: "Makes a new version, whose author is the editor; what was approved before counts no more. Name the version that you \
                looked at: with another one by now it is 409. What is left out stays.",
        body: Some("DraftEdit"),
        reply: Reply::Json("DraftView"),
        problems: &[Code::ForbiddenMailbox, Code::ForbiddenApp, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftCancel,
        verb: Verb::Delete,
        path: "/api/v1/drafts/{id}",
        auth: WRITE,
        summary: "Give a draft up",
        about: "It stays on record as cancelled.",
        reply: Reply::Json("DraftView"),
        problems: &[Code::ForbiddenMailbox, Code::ForbiddenApp, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftCheck,
        verb: Verb::Post,
        path: "/api/v1/drafts/{id}/check",
        auth: READ,
        summary: "What the gate would say to a draft now",
        about: "Every rule that applies, with its reason and what would lift it. Changes nothing.",
        reply: Reply::Json("CheckAnswer"),
        problems: &[Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::DraftRelease,
        verb: Verb::Post,
        path: "/api/v1/drafts/{id}/release-request",
        auth: WRITE,
        summary: "Ask for the release of a draft",
        about: "Runs the gate. 200: it was released, or handed off to the source app; 202: people are asked, on the page that the \
                answer names; 403: a rule denies it, and `code` is that rule. The same request again gives the same answer.",
        body: Some("ReleaseRequest"),
        reply: Reply::JsonOrAccepted("ReleaseAnswer"),
        query: &[NEEDED_KEY],
        problems: &[
            Code::IdempotencyConflict,
            Code::ForbiddenMailbox,
            Code::ForbiddenApp,
            Code::NotFound,
            Code::PolicyRefused,
            Code::ContentChanged,
            Code::StateConflict,
        ],
    },
    Endpoint {
        action: Action::DraftReport,
        verb: Verb::Post,
        path: "/api/v1/drafts/{id}/report",
        auth: Auth::Key(Scope::ApprovalsReport),
        summary: "Report what the source app made of a draft",
        about: "Only for drafts that were handed off to it. It is kept with the draft and counts as an outcome of the operation; it \
                approves nothing. With the Message-ID a copy of the mail that comes by a route is known as this draft's.",
        body: Some("ReportRequest"),
        reply: Reply::Json("DraftView"),
        query: &[IDEMPOTENCY_KEY],
        problems: &[
            Code::ForbiddenMailbox,
            Code::ForbiddenApp,
            Code::NotFound,
            Code::StateConflict,
            Code::IdempotencyConflict,
        ],
    },
    Endpoint {
        action: Action::DraftWithdraw,
        verb: Verb::Post,
        path: "/api/v1/drafts/{id}/withdraw",
        auth: WRITE,
        summary: "Take a draft back",
        about: "Until the moment at which it is being sent.",
        reply: Reply::Json("DraftView"),
        problems: &[Code::ForbiddenMailbox, Code::ForbiddenApp, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::ThreadReply,
        verb: Verb::Post,
        path: "/api/v1/threads/{id}/reply",
        auth: WRITE,
        summary: "Propose an answer in a conversation",
        about: "A draft to the author of the newest message that is not one's own, or to all whom it went to; with its subject, and \
                ids that keep the conversation together.",
        body: Some("ReplyRequest"),
        reply: Reply::Json("DraftView"),
        query: &[IDEMPOTENCY_KEY],
        problems: &[
            Code::ForbiddenMailbox,
            Code::ForbiddenApp,
            Code::NotFound,
            Code::StateConflict,
            Code::IdempotencyConflict,
        ],
    },
    Endpoint {
        action: Action::Upload,
        verb: Verb::Post,
        path: "/api/v1/uploads",
        auth: WRITE,
        summary: "Upload a file for a draft",
        about: "The bytes as the body, at most 10 MiB, with their media type as `content-type`. Name the id in `attachments` of a \
                draft within 24 hours; after that the upload is gone, and what drafts have of it stays.",
        reply: Reply::Created("UploadView"),
        query: &[FILE_NAME],
        problems: &[
            Code::InvalidRequest,
            Code::PayloadTooLarge,
            Code::StateConflict,
            Code::RequestTimeout,
            Code::TemporarilyUnavailable,
        ],
        ..OPEN
    },
    Endpoint {
        action: Action::Approvals,
        path: "/api/v1/approvals",
        auth: Auth::Key(Scope::ApprovalsRead),
        summary: "What people are asked, oldest first",
        about: "At most 100. Only signed-in people answer, on the page that each names: no key can.",
        reply: Reply::Json("ApprovalPage"),
        query: &[STATE, AFTER],
        problems: &[Code::ForbiddenMailbox, Code::InvalidRequest],
        ..OPEN
    },
    Endpoint {
        action: Action::Approval,
        path: "/api/v1/approvals/{id}",
        auth: Auth::Key(Scope::ApprovalsRead),
        summary: "One question, and its answer",
        about: "Who answered, when, and why it was a no.",
        reply: Reply::Json("ApprovalView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
];
