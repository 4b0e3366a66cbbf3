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

/// Sessions open now.
pub const SMTP_SESSIONS: &str = "connex_smtp_sessions";
/// Transactions that reached end of data, by `outcome`.
pub const SMTP_MESSAGES: &str = "connex_smtp_messages_total";
/// Messages, recipients and connections answered 4xx or 5xx, by `reason`.
pub const SMTP_REFUSED: &str = "connex_smtp_refused_total";
/// TLS handshakes of SMTP sessions, by `outcome`.
pub const SMTP_HANDSHAKES: &str = "connex_smtp_handshakes_total";
/// Connections that the operating system could not hand over.
pub const SMTP_ACCEPT_ERRORS: &str = "connex_smtp_accept_errors_total";
/// Sessions that ended by a panic.
pub const SMTP_SESSION_PANICS: &str = "connex_smtp_session_panics_total";
/// From end of data to the reply.
pub const SMTP_ACCEPT_SECONDS: &str = "connex_smtp_accept_seconds";
/// Flushes of the log.
pub const SPOOL_FLUSHES: &str = "connex_spool_flushes_total";
/// Time of one flush.
pub const SPOOL_FLUSH_SECONDS: &str = "connex_spool_flush_seconds";
/// Messages that shared one flush.
pub const SPOOL_GROUP: &str = "connex_spool_group_messages";
/// Octets written to the log.
pub const SPOOL_BYTES: &str = "connex_spool_written_bytes_total";
/// Octets free on the disk of the log.
pub const SPOOL_FREE: &str = "connex_spool_free_bytes";
/// Flushes and writes that failed; each one closed its segment.
pub const SPOOL_FAILURES: &str = "connex_spool_failures_total";
/// Messages that became events, by `kind`.
pub const INGESTED: &str = "connex_ingest_messages_total";
/// Messages in the log that are not events yet.
pub const INGEST_BACKLOG: &str = "connex_ingest_backlog_messages";
/// Messages that were kept but make no operations, by `reason`.
pub const HELD: &str = "connex_held_messages_total";
/// Decisions, by canonical `status`.
pub const DECISIONS: &str = "connex_decisions_total";
/// Time of one decision.
pub const DECIDE_SECONDS: &str = "connex_decide_seconds";
/// Attempts to deliver a webhook, by `outcome`.
pub const WEBHOOK_ATTEMPTS: &str = "connex_webhook_attempts_total";
/// Time of one attempt.
pub const WEBHOOK_SECONDS: &str = "connex_webhook_attempt_seconds";
/// Deliveries that wait.
pub const WEBHOOK_PENDING: &str = "connex_webhook_pending_deliveries";
/// HTTP requests, by `route` and `status`.
pub const HTTP_REQUESTS: &str = "connex_http_requests_total";
/// Time of one HTTP request, by `route`.
pub const HTTP_SECONDS: &str = "connex_http_request_seconds";
/// HTTP requests answered 429, by `policy`.
pub const HTTP_LIMITED: &str = "connex_http_limited_requests_total";
/// Panics, by `task`.
pub const TASK_PANICS: &str = "connex_task_panics_total";
/// Tasks started again after a failure, by `task`.
pub const TASK_RESTARTS: &str = "connex_task_restarts_total";

/// Every metric: name, kind, help.
pub const ALL: &[(&str, Kind, &str)] = &[
    (SMTP_SESSIONS, Kind::Gauge, "SMTP sessions open now"),
    (SMTP_MESSAGES, Kind::Counter, "SMTP transactions that reached end of data, by outcome"),
    (SMTP_REFUSED, Kind::Counter, "Messages, recipients and connections answered 4xx or 5xx, by reason"),
    (SMTP_HANDSHAKES, Kind::Counter, "TLS handshakes of SMTP sessions, by outcome"),
    (SMTP_ACCEPT_ERRORS, Kind::Counter, "Connections that the operating system could not hand over"),
    (SMTP_SESSION_PANICS, Kind::Counter, "SMTP sessions that ended by a panic"),
    (SMTP_ACCEPT_SECONDS, Kind::Histogram, "Time from end of data to the reply"),
    (SPOOL_FLUSHES, Kind::Counter, "Flushes of the spool"),
    (SPOOL_FLUSH_SECONDS, Kind::Histogram, "Time of one flush of the spool"),
    (SPOOL_GROUP, Kind::Histogram, "Messages that shared one flush"),
    (SPOOL_BYTES, Kind::Counter, "Octets written to the spool"),
    (SPOOL_FREE, Kind::Gauge, "Octets free on the disk of the spool"),
    (SPOOL_FAILURES, Kind::Counter, "Failed writes and flushes; each one closed its segment"),
    (INGESTED, Kind::Counter, "Messages that became events, by kind"),
    (INGEST_BACKLOG, Kind::Gauge, "Messages in the spool that are not events yet"),
    (HELD, Kind::Counter, "Messages kept without operations, by reason"),
    (DECISIONS, Kind::Counter, "Decisions, by canonical status"),
    (DECIDE_SECONDS, Kind::Histogram, "Time of one decision"),
    (WEBHOOK_ATTEMPTS, Kind::Counter, "Webhook attempts, by outcome"),
    (WEBHOOK_SECONDS, Kind::Histogram, "Time of one webhook attempt"),
    (WEBHOOK_PENDING, Kind::Gauge, "Webhook deliveries that wait"),
    (HTTP_REQUESTS, Kind::Counter, "HTTP requests, by route and status"),
    (HTTP_SECONDS, Kind::Histogram, "Time of one HTTP request, by route"),
    (HTTP_LIMITED, Kind::Counter, "HTTP requests answered 429, by policy"),
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
