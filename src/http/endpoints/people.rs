//! People: how they sign in, their accounts, and what they decide.

use super::{Action, Auth, Endpoint, NEEDED_KEY, OPEN, Reply, Verb};
use crate::http::error::Code;
use crate::service::accounts::Role;

const ANYBODY: Auth = Auth::Session(Role::Viewer);
const ADMIN: Auth = Auth::Session(Role::Admin);
const GRAVE: &[Code] = &[Code::StepUpRequired, Code::NotFound, Code::StateConflict];

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Login,
        verb: Verb::Post,
        path: "/auth/login",
        auth: Auth::Password,
        summary: "Sign in",
        about: "For pages of this gateway: sets the session's cookie. What is wrong with a wrong one is not said.",
        body: Some("LoginRequest"),
        reply: Reply::Json("SignedInView"),
        problems: &[Code::WrongCredentials],
        ..OPEN
    },
    Endpoint {
        action: Action::Logout,
        verb: Verb::Post,
        path: "/auth/logout",
        auth: ANYBODY,
        summary: "Sign out",
        about: "Ends the session, and takes its cookie away.",
        reply: Reply::FreeJson,
        ..OPEN
    },
    Endpoint {
        action: Action::StepUp,
        verb: Verb::Post,
        path: "/auth/step-up",
        auth: ANYBODY,
        summary: "Give the password again",
        about: "For what is grave, for ten minutes. The session has another cookie and another `csrfToken` afterwards.",
        body: Some("StepUpRequest"),
        reply: Reply::Json("SignedInView"),
        problems: &[Code::WrongCredentials],
        ..OPEN
    },
    Endpoint {
        action: Action::Sessions,
        path: "/api/v1/sessions",
        auth: ANYBODY,
        summary: "Who is signed in, and where else",
        about: "With the `csrfToken` that calls of this session carry as `X-CSRF-Token`.",
        reply: Reply::Json("SessionPage"),
        ..OPEN
    },
    Endpoint {
        action: Action::SessionEnd,
        verb: Verb::Delete,
        path: "/api/v1/sessions/{id}",
        auth: ANYBODY,
        summary: "End a session",
        about: "One of the person's own.",
        reply: Reply::FreeJson,
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Users,
        path: "/api/v1/users",
        auth: ADMIN,
        summary: "The accounts of the organisation",
        about: "By their addresses.",
        reply: Reply::Json("UserPage"),
        ..OPEN
    },
    Endpoint {
        action: Action::UserAdd,
        verb: Verb::Post,
        path: "/api/v1/users",
        auth: ADMIN,
        summary: "Have an account made",
        about: "The same as an invitation: its person makes the account, by the link, and nobody else knows the password.",
        body: Some("InviteRequest"),
        reply: Reply::Created("LinkView"),
        problems: GRAVE,
        ..OPEN
    },
    Endpoint {
        action: Action::UserChange,
        verb: Verb::Patch,
        path: "/api/v1/users/{id}",
        auth: ADMIN,
        summary: "Change an account",
        about: "Its role, or whether its person can sign in; disabling it ends all its sessions.",
        body: Some("UserChange"),
        reply: Reply::Json("UserView"),
        problems: GRAVE,
        ..OPEN
    },
    Endpoint {
        action: Action::Invites,
        path: "/api/v1/invites",
        auth: ADMIN,
        summary: "Invitations that were not used yet",
        about: "Without their links, which are told once.",
        reply: Reply::Json("InvitePage"),
        ..OPEN
    },
    Endpoint {
        action: Action::InviteMake,
        verb: Verb::Post,
        path: "/api/v1/invites",
        auth: ADMIN,
        summary: "Invite somebody",
        about: "Whoever has the link makes the account; so does whoever signs in elsewhere with this very address.",
        body: Some("InviteRequest"),
        reply: Reply::Created("LinkView"),
        problems: GRAVE,
        ..OPEN
    },
    Endpoint {
        action: Action::InviteWithdraw,
        verb: Verb::Delete,
        path: "/api/v1/invites/{id}",
        auth: ADMIN,
        summary: "Take an invitation back",
        about: "Its link counts no more.",
        reply: Reply::FreeJson,
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::Decision,
        verb: Verb::Post,
        path: "/api/v1/approvals/{id}/decision",
        auth: Auth::Person,
        summary: "Answer a question",
        about: "By a signed-in person, or with the token of a user of a registered issuer, whose nonce is `contentHash`; no key can. \
                A yes is to that very content: with another by now it is 409. What is of high risk needs a session in which the \
                person has just proved who they are. The same answer of the same person again changes nothing.",
        body: Some("DecisionRequest"),
        reply: Reply::Json("DecisionAnswer"),
        query: &[NEEDED_KEY],
        problems: &[
            Code::IdempotencyConflict,
            Code::InvalidToken,
            Code::StepUpRequired,
            Code::PolicyRefused,
            Code::NotFound,
            Code::ContentChanged,
            Code::StateConflict,
        ],
    },
    Endpoint {
        action: Action::BatchDecision,
        verb: Verb::Post,
        path: "/api/v1/approvals/batch-decision",
        auth: Auth::Session(Role::Approver),
        summary: "Answer several questions",
        about: "Listed one by one with their content hashes, 25 at most. Each is taken as by itself: in the reply each has its answer, or \
                the problem for which it was not taken.",
        body: Some("BatchDecisionRequest"),
        reply: Reply::Json("BatchDecisionAnswer"),
        query: &[NEEDED_KEY],
        problems: &[],
    },
    Endpoint {
        action: Action::Issuers,
        path: "/api/v1/issuers",
        auth: ADMIN,
        summary: "Issuers whose users may decide",
        about: "Oldest first.",
        reply: Reply::Json("IssuerPage"),
        ..OPEN
    },
    Endpoint {
        action: Action::IssuerRegister,
        verb: Verb::Post,
        path: "/api/v1/issuers",
        auth: ADMIN,
        summary: "Register an issuer",
        about: "From then on its users answer questions inside the app's own pages, as far as the role says: approver at most.",
        body: Some("IssuerRequest"),
        reply: Reply::Created("IssuerView"),
        problems: GRAVE,
        ..OPEN
    },
    Endpoint {
        action: Action::IssuerRemove,
        verb: Verb::Delete,
        path: "/api/v1/issuers/{id}",
        auth: ADMIN,
        summary: "Believe an issuer no more",
        about: "What its users decided stays decided.",
        reply: Reply::FreeJson,
        problems: GRAVE,
        ..OPEN
    },
];
