//! Stored messages: their bytes, texts and attachments.

use super::{Action, Auth, Endpoint, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;

const SHA256: Parameter = Parameter {
    name: "sha256",
    place: "query",
    about: "SHA-256 of the attachment in hexadecimal, as the message tells it: needed where several messages of one forward have \
            an attachment of this number.",
    range: None,
    is_required: false,
};

const EXPIRES_IN: Parameter = Parameter {
    name: "expiresIn",
    place: "query",
    about: "For how many seconds the link works; 900 unless told.",
    range: Some((1, crate::service::messages::LONGEST_LINK as i64)),
    is_required: false,
};

const EXPIRES: Parameter = Parameter {
    name: "expires",
    place: "query",
    about: "Until when the link works, in seconds since 1970.",
    range: Some((0, i64::MAX)),
    is_required: false,
};

const SIGNATURE: Parameter = Parameter {
    name: "signature",
    place: "query",
    about: "That the link was made here.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
];
