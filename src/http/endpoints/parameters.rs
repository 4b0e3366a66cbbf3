//! The query parameters and headers that endpoints take.

use super::Parameter;

pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    place: "query",
    about: "Cursor of the last event that was seen; 0 or nothing for the beginning.",
    range: Some((0, i64::MAX)),
};

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    place: "query",
    about: "How many events at most; 50 unless told.",
    range: Some((1, 200)),
};

pub(super) const LAST_EVENT_ID: Parameter = Parameter {
    name: "Last-Event-ID",
    place: "header",
    about: "Cursor of the last event that was seen, as an EventSource sends it; wins over `after`.",
    range: Some((0, i64::MAX)),
};

pub(super) const SHA256: Parameter = Parameter {
    name: "sha256",
    place: "query",
    about: "SHA-256 of the attachment in hexadecimal, as the message tells it: needed where several messages of one forward have \
            an attachment of this number.",
    range: None,
};

pub(super) const EXPIRES_IN: Parameter = Parameter {
    name: "expiresIn",
    place: "query",
    about: "For how many seconds the link works; 900 unless told.",
    range: Some((1, crate::service::messages::LONGEST_LINK as i64)),
};

pub(super) const EXPIRES: Parameter = Parameter {
    name: "expires",
    place: "query",
    about: "Until when the link works, in seconds since 1970.",
    range: Some((0, i64::MAX)),
};

pub(super) const SIGNATURE: Parameter =
    Parameter { name: "signature", place: "query", about: "That the link was made here.", range: None };

pub(super) const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: "header",
    about: "Up to 255 printable characters, quoted (RFC 8941 string) or bare. The same key with the same request is answered \
            with the stored reply for 24 hours.",
    range: None,
};

pub(super) const MAIL_FROM: Parameter = Parameter {
    name: crate::service::intake::MAIL_FROM,
    place: "header",
    about: "MAIL FROM; empty for the null reverse-path. Must be there.",
    range: None,
};

pub(super) const RCPT_TO: Parameter = Parameter {
    name: crate::service::intake::RCPT_TO,
    place: "header",
    about: "RCPT TO: one or several separated by commas; the header may be repeated. At least one.",
    range: None,
};

pub(super) const CLIENT_ADDRESS: Parameter = Parameter {
    name: crate::service::intake::CLIENT_ADDRESS,
    place: "header",
    about: "Address of the SMTP client that handed the message to the caller, who vouches for it: with it SPF, DMARC and \
            iprev are judged as at port 25; without it nothing is known of the sender's address.",
    range: None,
};

pub(super) const CLIENT_HELO: Parameter = Parameter {
    name: crate::service::intake::CLIENT_HELO,
    place: "header",
    about: "What that client called itself in EHLO or HELO.",
    range: None,
};
