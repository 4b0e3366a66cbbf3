//! What the gateway says of itself, signed; and the policy that it obeys.

use super::{Action, Auth, Endpoint, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;
use crate::service::accounts::Role;

const READ: Auth = Auth::Key(Scope::AuditRead);
/// Whoever makes a policy decides what may leave: no key does.
const ADMIN: Auth = Auth::Session(Role::Admin);

const AFTER: Parameter = Parameter {
    name: "after",
    place: "query",
    about: "Number of the last row that was seen; 0 or nothing for the beginning.",
    range: Some((0, i64::MAX)),
    is_required: false,
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    place: "query",
    about: "How many rows at most; 50 unless told.",
    range: Some((1, 200)),
    is_required: false,
};
const SUBJECT: Parameter = Parameter {
    name: "subject",
    place: "query",
    about: "Only rows about this id; of these the first 1,000.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Receipt,
        path: "/api/v1/receipts/{id}",
        auth: READ,
        summary: "The receipt of a release",
        about: "Who let which content out, as whom, by which approval or policy, with its place in the audit log. Signed: it can \
                be checked without this gateway, by the public key in the discovery document.",
        reply: Reply::Json("SignedReceipt"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::AuditHead,
        path: "/api/v1/audit/head",
        auth: READ,
        summary: "The head of the audit log",
        about: "Number and hash of its newest row, signed. Kept elsewhere, it shows whatever is changed, removed, reordered or cut \
                off at or before that row.",
        reply: Reply::Json("Head"),
        problems: &[Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::AuditLog,
        path: "/api/v1/audit",
        auth: Auth::KeyOrSession(Scope::AuditRead, Role::Admin),
        summary: "Read the audit log",
        about: "Rows of the tenant behind a number, oldest first: who did what to what, and when. Each has the hash over itself and \
                the row before, so that whoever has them all can follow the chain.",
        reply: Reply::Json("AuditPage"),
        query: &[AFTER, LIMIT, SUBJECT],
        problems: &[Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::Erase,
        verb: Verb::Post,
        path: "/api/v1/erasures",
        auth: ADMIN,
        summary: "Erase what is held of a person",
        about: "Of an address: what drafts to it hold that are over, and the details of rows of the audit log about it. Of the id of a \
                draft: the same of that draft. Drafts that are not over are named, and left as they are. Hashes, times and states \
                stay, so that receipts and the audit log can be checked as before. Needs a session in which the person has just \
                proved who they are.",
        body: Some("ErasureRequest"),
        reply: Reply::Json("ErasureAnswer"),
        problems: &[Code::StepUpRequired, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Policy,
        path: "/api/v1/policies",
        auth: ADMIN,
        summary: "The policy that the gate obeys",
        about: "And its versions, with who made them and when.",
        reply: Reply::Json("PolicyView"),
        ..OPEN
    },
    Endpoint {
        action: Action::PolicyMake,
        verb: Verb::Post,
        path: "/api/v1/policies",
        auth: ADMIN,
        summary: "Make a new version of the policy",
        about: "What is left out has its default. The gate obeys it from then on: what waits is asked about again before it is sent. \
                Needs a session in which the person has just proved who they are.",
        body: Some("Policy"),
        reply: Reply::Created("PolicyVersionView"),
        problems: &[Code::StepUpRequired, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::PolicyTry,
        verb: Verb::Post,
        path: "/api/v1/policies/simulate",
        auth: ADMIN,
        summary: "Try another policy on what was asked before",
        about: "Asks the gate again, with what was known then, and tells what it would have said differently. Changes nothing. At most \
                5,000 verdicts, of the last 90 days.",
        body: Some("PolicyTrial"),
        reply: Reply::Json("PolicyReplay"),
        ..OPEN
    },
];
