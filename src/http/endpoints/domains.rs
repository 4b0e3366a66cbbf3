//! The domains of a tenant.

use super::{Action, Auth, Endpoint, OPEN, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;
use crate::service::accounts::Role;

/// Whoever sets a relay decides who reads what leaves: no key does.
const ADMIN: Auth = Auth::Session(Role::Admin);

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
        action: Action::DomainRelay,
        path: "/api/v1/domains/{id}/relay",
        auth: ADMIN,
        summary: "Which way mail of a domain goes",
        about: "The route in force, and the domain's own relay where it has one. Its password is shown to nobody.",
        reply: Reply::Json("DomainRelayView"),
        problems: &[Code::NotFound],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainRelaySet,
        verb: Verb::Put,
        path: "/api/v1/domains/{id}/relay",
        auth: ADMIN,
        summary: "Set the relay of a domain",
        about: "A server of the customer's that takes all mail of the domain's mailboxes, in place of another one, from the next \
                attempt on. User and password are told together each time, or neither. What was released for another route goes \
                on under a release and receipt for this one. Needs a session in which the person has just proved who they are.",
        body: Some("RelayRequest"),
        reply: Reply::Json("DomainRelayView"),
        problems: &[Code::NotFound, Code::StepUpRequired],
        ..OPEN
    },
    Endpoint {
        action: Action::DomainRelayRemove,
        verb: Verb::Delete,
        path: "/api/v1/domains/{id}/relay",
        auth: ADMIN,
        summary: "Remove the relay of a domain",
        about: "Its mail goes the way of the gateway from the next attempt on. Needs a session in which the person has just \
                proved who they are.",
        reply: Reply::Json("DomainRelayView"),
        problems: &[Code::NotFound, Code::StepUpRequired],
        ..OPEN
    },
];
