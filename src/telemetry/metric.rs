//! Names of metrics, each with its kind and help.
//!
//! Counters are `connex_<thing>_<unit>_total`. A message that is refused, held or set aside always counts somewhere,
//! with a `reason` from a closed set. No label ever holds an address, a subject or anything else that a peer chooses.

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// Connections open now, by door.
pub const CONNECTIONS: &str = "connex_connections";
/// Connections sent away at once, by door and reason.
pub const CONNECTIONS_REFUSED: &str = "connex_connections_refused_total";
/// Connections that the operating system could not hand over, by door.
pub const ACCEPT_ERRORS: &str = "connex_accept_errors_total";
/// SMTP transactions that reached end of data, by outcome.
pub const SMTP_MESSAGES: &str = "connex_smtp_messages_total";
/// Messages that were handed in to be sent, by outcome.
pub const SUBMISSIONS: &str = "connex_submissions_total";
/// Messages, recipients and sessions answered 4xx or 5xx, by reason.
pub const SMTP_REFUSED: &str = "connex_smtp_refused_total";
/// Replies of SMTP and LMTP sessions, by door and code.
pub const SMTP_REPLIES: &str = "connex_smtp_replies_total";
/// Replies that were held back as the peer was refused again and again, by door.
pub const SMTP_HELD_BACK: &str = "connex_smtp_held_back_total";
/// Copies that somebody should look at, by alarm.
pub const ROUTE_ALARMS: &str = "connex_route_alarms_total";
/// Bodies that were erased in the spool.
pub const BODIES_ERASED: &str = "connex_bodies_erased_total";
/// Domains whose proof is gone from DNS.
pub const DOMAINS_FAILING: &str = "connex_domains_failing_total";
/// TLS handshakes of SMTP sessions, by outcome.
pub const SMTP_HANDSHAKES: &str = "connex_smtp_handshakes_total";
/// Headers of load balancers, by what came of them.
pub const SMTP_PROXY_HEADERS: &str = "connex_smtp_proxy_headers_total";
/// SMTP sessions that ended by a panic.
pub const SMTP_SESSION_PANICS: &str = "connex_smtp_session_panics_total";
/// Messages kept as a mail server showed them.
pub const MILTER_MESSAGES: &str = "connex_milter_messages_total";
/// Messages that a mail server showed and delivered, and that are not kept here, by reason.
pub const MILTER_MISSED: &str = "connex_milter_missed_total";
/// HTTP connections closed because the peer took too long, by door and what was waited for.
pub const HTTP_TIMEOUTS: &str = "connex_http_timeouts_total";
/// Passwords given to sign in, by outcome: `done`, `wrong`, `throttled`, `failed`.
pub const SIGN_INS: &str = "connex_sign_ins_total";
/// TLS handshakes of HTTP connections, by outcome.
pub const HTTP_HANDSHAKES: &str = "connex_http_handshakes_total";
/// Messages handed in by HTTP, by door (`raw`, or the provider) and outcome.
pub const HTTP_MAIL: &str = "connex_http_mail_total";
/// Certificates read again, by outcome.
pub const TLS_RELOADS: &str = "connex_tls_reloads_total";
/// Seconds until a certificate ends, by where it comes from; negative behind its end.
pub const TLS_CERTIFICATE_EXPIRES: &str = "connex_tls_certificate_expires_seconds";
/// Certificates ordered from an ACME authority, by outcome.
pub const ACME_ORDERS: &str = "connex_acme_orders_total";
/// Seconds for which the oldest accepted message has waited to be read.
pub const INGEST_LAG: &str = "connex_ingest_lag_seconds";
/// Messages read from the spool and recorded.
pub const MESSAGES_INGESTED: &str = "connex_messages_ingested_total";
/// Events recorded, with their decisions and deliveries.
pub const EVENTS_RECORDED: &str = "connex_events_recorded_total";
/// Messages kept without operations, by state and reason.
pub const MESSAGES_KEPT: &str = "connex_messages_kept_total";
/// Results of sender authentication, by method and result.
pub const AUTHENTICATION_RESULTS: &str = "connex_authentication_results_total";
/// Webhook attempts, by outcome.
pub const WEBHOOK_ATTEMPTS: &str = "connex_webhook_attempts_total";
/// Time of one webhook attempt.
pub const WEBHOOK_SECONDS: &str = "connex_webhook_attempt_seconds";
/// Deliveries that wait for an attempt.
pub const WEBHOOK_PENDING: &str = "connex_webhook_pending_deliveries";
/// Free bytes of the spool's file system.
pub const SPOOL_FREE: &str = "connex_spool_free_bytes";
/// Bytes of the spool's segments.
pub const SPOOL_BYTES: &str = "connex_spool_bytes";
/// Flushes since the start.
pub const SPOOL_FLUSHES: &str = "connex_spool_flushes";
/// Commits that were answered with an error since the start.
pub const SPOOL_FAILURES: &str = "connex_spool_failures";
/// Damage found in the spool since the start.
pub const SPOOL_FINDINGS: &str = "connex_spool_findings";
/// Panics, by task.
pub const TASK_PANICS: &str = "connex_task_panics_total";
/// Tasks started again after a failure, by task.
pub const TASK_RESTARTS: &str = "connex_task_restarts_total";

/// Tokens of issuers that decided nothing.
pub const DECISION_TOKENS_REFUSED: &str = "connex_decision_tokens_refused_total";

/// Every metric: name, kind, help.
pub const ALL: &[(&str, Kind, &str)] = &[
    (CONNECTIONS, Kind::Gauge, "Connections open now, by door"),
    (CONNECTIONS_REFUSED, Kind::Counter, "Connections sent away at once, by door and reason"),
    (ACCEPT_ERRORS, Kind::Counter, "Connections that the operating system could not hand over, by door"),
    (SMTP_MESSAGES, Kind::Counter, "SMTP transactions that reached end of data, by outcome"),
    (SUBMISSIONS, Kind::Counter, "Messages that were handed in to be sent, by outcome"),
    (SMTP_REFUSED, Kind::Counter, "Messages, recipients and sessions answered 4xx or 5xx, by reason"),
    (SMTP_REPLIES, Kind::Counter, "Replies of SMTP and LMTP sessions, by door and code"),
    (SMTP_HELD_BACK, Kind::Counter, "Replies that were held back as the peer was refused again and again, by door"),
    (ROUTE_ALARMS, Kind::Counter, "Trouble with routes that somebody should look at, by alarm"),
    (BODIES_ERASED, Kind::Counter, "Bodies that were erased in the spool, as no route keeps them"),
    (DOMAINS_FAILING, Kind::Counter, "Proven domains that became failing, as their proof is gone from DNS"),
    (SMTP_HANDSHAKES, Kind::Counter, "TLS handshakes of SMTP sessions, by outcome"),
    (SMTP_PROXY_HEADERS, Kind::Counter, "PROXY protocol headers of listed load balancers, by outcome"),
    (SMTP_SESSION_PANICS, Kind::Counter, "SMTP sessions that ended by a panic"),
    (MILTER_MESSAGES, Kind::Counter, "Messages kept as a mail server showed them"),
    (MILTER_MISSED, Kind::Counter, "Messages that a mail server delivered and that are not kept here, by reason"),
    (HTTP_TIMEOUTS, Kind::Counter, "HTTP connections closed for silence, by door and what was waited for"),
    (
        DECISION_TOKENS_REFUSED,
        Kind::Counter,
        "Tokens of issuers by which somebody wanted to decide, and which count for nothing",
    ),
    (SIGN_INS, Kind::Counter, "Passwords given to sign in, and people who came back from a provider, by outcome"),
    (HTTP_HANDSHAKES, Kind::Counter, "TLS handshakes of HTTP connections, by outcome"),
    (HTTP_MAIL, Kind::Counter, "Messages handed in by HTTP, by door and outcome"),
    (TLS_RELOADS, Kind::Counter, "Certificates read again, by outcome"),
    (TLS_CERTIFICATE_EXPIRES, Kind::Gauge, "Seconds until a certificate ends, by where it comes from."),
    (ACME_ORDERS, Kind::Counter, "Certificates ordered from an ACME authority, by outcome"),
    (INGEST_LAG, Kind::Gauge, "Seconds for which the oldest accepted message has waited to be read."),
    (MESSAGES_INGESTED, Kind::Counter, "Messages read from the spool and recorded"),
    (EVENTS_RECORDED, Kind::Counter, "Events of mail that were recorded, with their decisions and deliveries"),
    (MESSAGES_KEPT, Kind::Counter, "Messages kept without operations, by state and reason"),
    (AUTHENTICATION_RESULTS, Kind::Counter, "Results of SPF, DKIM, DMARC, ARC and iprev, by method and result"),
    (WEBHOOK_ATTEMPTS, Kind::Counter, "Webhook attempts, by outcome"),
    (WEBHOOK_SECONDS, Kind::Histogram, "Time of one webhook attempt"),
    (WEBHOOK_PENDING, Kind::Gauge, "Deliveries that wait for an attempt."),
    (SPOOL_FREE, Kind::Gauge, "Free bytes of the spool's file system."),
    (SPOOL_BYTES, Kind::Gauge, "Bytes of the spool's segments."),
    (SPOOL_FLUSHES, Kind::Gauge, "Flushes since the start."),
    (SPOOL_FAILURES, Kind::Gauge, "Commits that were answered with an error since the start."),
    (SPOOL_FINDINGS, Kind::Gauge, "Damage found in the spool since the start."),
    (TASK_PANICS, Kind::Counter, "Panics, by task"),
    (TASK_RESTARTS, Kind::Counter, "Tasks started again after a failure, by task"),
];

/// Tells the recorder of this process the help of every metric.
pub fn describe() {
    for (name, kind, help) in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}
