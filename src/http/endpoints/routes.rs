//! The intake routes of a tenant.

use super::{Action, Auth, Endpoint, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;
use crate::service::routes::RouteStep;

const SINCE: Parameter = Parameter {
    name: "since",
    place: "query",
    about: "From which day on (UTC), such as 2026-11-01; the last 30 days unless told.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::Routes,
        path: "/api/v1/routes",
        auth: Auth::Key(Scope::RoutesRead),
        summary: "The intake routes of the tenant",
        about: "All of them, without their addresses; of a key that is bound to apps, those of its apps. One that \
                was retired is shown until the operator removes it.",
        reply: Reply::Json("RoutePage"),
        problems: &[Code::ForbiddenMailbox],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteMake,
        verb: Verb::Post,
        path: "/api/v1/routes",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Make an intake route",
        about: "The reply alone has its address: whoever knows that can send to it. A journal route is observed for \
                seven days unless told otherwise. Each call makes a route.",
        body: Some("RouteRequest"),
        reply: Reply::Created("RouteMade"),
        problems: &[Code::ForbiddenMailbox, Code::ForbiddenApp],
        ..OPEN
    },
    Endpoint {
        action: Action::Route,
        path: "/api/v1/routes/{id}",
        auth: Auth::Key(Scope::RoutesRead),
        summary: "One intake route",
        about: "Without its address.",
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteChange,
        verb: Verb::Patch,
        path: "/api/v1/routes/{id}",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Change an intake route",
        about: "What is given takes the place of what was there, all at once; what is left out stays. It counts from \
                the next copies on, within a second or two; what a route keeps, for those that it has taken, too. \
                What is held stays held until it is asked for by re-decide.",
        body: Some("RouteChangeRequest"),
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteStep(RouteStep::Retire),
        verb: Verb::Delete,
        path: "/api/v1/routes/{id}",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Retire an intake route",
        about: "Copies are put off (450) for three days, while an alarm says that they come, and then unknown (550). \
                What it has taken is kept as it says.",
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteRotate,
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/rotate",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Give an intake route a new address",
        about: "The reply alone has it. The old one is taken for a while longer. The body may be left out.",
        body: Some("RouteRotation"),
        reply: Reply::Json("RouteRotated"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteStep(RouteStep::Pause),
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/pause",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Put copies off until the route is resumed",
        about: "450 for three days, then 550.",
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteStep(RouteStep::Resume),
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/resume",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Take copies again",
        about: "Behind a pause.",
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteLearn,
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/learn",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Learn by what marks copies can be told from a stranger's",
        about: "For 72 hours at most: copies from the networks of a provider that the route names are held, and \
                marks shows theirs. The body may be left out.",
        body: Some("RouteLearning"),
        reply: Reply::Json("RouteView"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteMarks,
        path: "/api/v1/routes/{id}/marks",
        auth: Auth::Key(Scope::RoutesRead),
        summary: "The marks of held copies, and those that were confirmed",
        about: "Each set with how many copies carry it.",
        reply: Reply::Json("RouteMarks"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteConfirm,
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/confirm",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Confirm a set of marks",
        about: "Copies that carry exactly these are believed from now on, and those that are held are decided on. It \
                must be a set that held copies carry.",
        body: Some("RouteConfirmation"),
        reply: Reply::Json("RouteConfirmed"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteReconciliation,
        path: "/api/v1/routes/{id}/reconciliation",
        auth: Auth::Key(Scope::RoutesRead),
        summary: "Copies by day",
        about: "Received, folded, refused and not believed, and hours without any: to be compared with what the \
                source counts.",
        reply: Reply::Json("Reconciliation"),
        query: &[SINCE],
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteHeld,
        path: "/api/v1/routes/{id}/held",
        auth: Auth::Key(Scope::RoutesRead),
        summary: "Why copies are held",
        about: "By reason, with what would make them believed, and how many are being decided on again. Only those \
                whose bytes are still kept.",
        reply: Reply::Json("HeldPage"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::RouteRedecide,
        verb: Verb::Post,
        path: "/api/v1/routes/{id}/re-decide",
        auth: Auth::Key(Scope::RoutesWrite),
        summary: "Decide on held copies of a window again",
        about: "They are read again as if they came in now, by what was recorded of who handed them over and by what \
                the route and the tenant say at present. What is believed now is decided on, once; the rest stays \
                held. The reply counts those that are meant, and how many wait; held shows what is left. Once more \
                changes nothing.",
        body: Some("RedecisionRequest"),
        reply: Reply::Json("HeldPage"),
        problems: &[Code::ForbiddenMailbox, Code::NotFound, Code::StateConflict],
        ..OPEN
    },
];
