//! Mail that is handed in.

use super::{Action, Auth, Endpoint, IDEMPOTENCY_KEY, OPEN, Parameter, Reply, Verb};
use crate::http::error::Code;
use crate::keys::Scope;
use crate::mail::envelope::Provider;

const MAIL_FROM: Parameter = Parameter {
    name: crate::service::intake::MAIL_FROM,
    place: "header",
    about: "MAIL FROM; empty for the null reverse-path. Must be there.",
    range: None,
    is_required: false,
};

const RCPT_TO: Parameter = Parameter {
    name: crate::service::intake::RCPT_TO,
    place: "header",
    about: "RCPT TO: one or several separated by commas; the header may be repeated. At least one.",
    range: None,
    is_required: false,
};

const CLIENT_ADDRESS: Parameter = Parameter {
    name: crate::service::intake::CLIENT_ADDRESS,
    place: "header",
    about: "Address of the SMTP client that handed the message to the caller, who vouches for it: with it SPF, DMARC and \
            iprev are judged as at port 25; without it nothing is known of the sender's address.",
    range: None,
    is_required: false,
};

const CLIENT_HELO: Parameter = Parameter {
    name: crate::service::intake::CLIENT_HELO,
    place: "header",
    about: "What that client called itself in EHLO or HELO.",
    range: None,
    is_required: false,
};

/// Each of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        action: Action::IntakeRaw,
        verb: Verb::Post,
        path: "/api/v1/intake/raw",
        auth: Auth::Key(Scope::MailIngest),
        summary: "Hand mail in",
        about: "One message (RFC 5322) as the body, its envelope in headers. 200 says that it is on stable storage, as 250 does by \
                SMTP. Recipients are mailboxes and routes of the key's tenant; what is wrong with each stands in `errors`. \
                The same message again makes no second event; with an Idempotency-Key the same call makes no second message.",
        reply: Reply::Json("IntakeAnswer"),
        query: &[MAIL_FROM, RCPT_TO, CLIENT_ADDRESS, CLIENT_HELO, IDEMPOTENCY_KEY],
        problems: &[
            Code::IdempotencyConflict,
            Code::ForbiddenMailbox,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::RequestTimeout,
            Code::TemporarilyUnavailable,
        ],
        ..OPEN
    },
    Endpoint {
        action: Action::Delivery(Provider::Postmark),
        path: "/api/v1/intake/postmark",
        summary: "Postmark's inbound webhook",
        about: "JSON with RawEmail (\"Include raw email content in JSON payload\"). The key is the password in the webhook's URL. \
                403 has Postmark give up, anything else but 200 try again.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Mailgun),
        path: "/api/v1/intake/mailgun",
        summary: "Mailgun's route to a URL",
        about: "A form with body-mime, which Mailgun sends to URLs that end in mime: use /api/v1/intake/mailgun/mime. The key is \
                the password in the URL. 406 has Mailgun give up, anything else but 200 try again.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Mailgun),
        path: "/api/v1/intake/mailgun/mime",
        summary: "Mailgun's route to a URL, with the whole message",
        about: "The same as /api/v1/intake/mailgun.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Sendgrid),
        path: "/api/v1/intake/sendgrid",
        summary: "SendGrid's Inbound Parse",
        about: "A form with email (\"POST the raw, full MIME message\") and envelope. The key is the password in the URL. \
                SendGrid tries again after 5xx.",
        ..DELIVERY
    },
    Endpoint {
        action: Action::Delivery(Provider::Ses),
        path: "/api/v1/intake/ses",
        summary: "Amazon SES, through an SNS topic",
        about: "Notifications of an SNS action of a receipt rule, from topics that the configuration lists. The key is the \
                password in the subscription's URL. A subscription is confirmed by the operator, at the address in the log. \
                SNS tries again after 5xx.",
        ..DELIVERY
    },
];

/// What is the same for all providers.
const DELIVERY: Endpoint = Endpoint {
    verb: Verb::Post,
    auth: Auth::KeyOrPassword(Scope::MailIngest),
    reply: Reply::Json("DeliveryAnswer"),
    problems: &[
        Code::ForbiddenMailbox,
        Code::PayloadTooLarge,
        Code::InvalidRequest,
        Code::IdempotencyConflict,
        Code::RequestTimeout,
        Code::TemporarilyUnavailable,
    ],
    ..OPEN
};
