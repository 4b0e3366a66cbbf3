//! Names of log fields: the same name for the same thing on every line.
//!
//! `info!({ field::MESSAGE_ID } = %id, …)` and `info!(message.id = %id, …)` are the same; modules below the root write
//! the second form, and nobody writes another name.

/// One SMTP connection.
pub const SESSION_ID: &str = "session.id";
/// Our id of a stored message, never its Message-ID.
pub const MESSAGE_ID: &str = "message.id";
/// A canonical event.
pub const EVENT_ID: &str = "event.id";
/// A decision.
pub const DECISION_ID: &str = "decision.id";
/// An operation for an app.
pub const OPERATION_ID: &str = "operation.id";
/// A draft.
pub const DRAFT_ID: &str = "draft.id";
/// A release of a draft.
pub const RELEASE_ID: &str = "release.id";
/// A webhook endpoint.
pub const WEBHOOK_ID: &str = "webhook.id";
/// Which try this is, from 1.
pub const ATTEMPT: &str = "attempt";
/// A tenant.
pub const TENANT_ID: &str = "tenant.id";
/// An app of a tenant.
pub const APP_ID: &str = "app.id";
/// Address of the SMTP peer; of no other peer.
pub const PEER_IP: &str = "peer.ip";
/// The door by which something came in.
pub const DOOR: &str = "door";
/// What the peer calls itself, or the domain of a next hop.
pub const PEER_DOMAIN: &str = "peer.domain";
/// Result of SPF.
pub const VERDICT_SPF: &str = "verdict.spf";
/// Result of DKIM.
pub const VERDICT_DKIM: &str = "verdict.dkim";
/// Result of DMARC.
pub const VERDICT_DMARC: &str = "verdict.dmarc";
/// Result of ARC.
pub const VERDICT_ARC: &str = "verdict.arc";
/// SMTP or HTTP reply code.
pub const REPLY_CODE: &str = "reply.code";
/// How long it took, in milliseconds.
pub const DURATION_MS: &str = "duration_ms";
/// Size in octets.
pub const SIZE_BYTES: &str = "size_bytes";
/// A closed word for what went wrong.
pub const ERROR_KIND: &str = "error.kind";
/// Whether trying again may help.
pub const TEMPORARY: &str = "temporary";
/// Name of a supervised task.
pub const TASK: &str = "task";

/// Every name above.
pub const ALL: &[&str] = &[
    SESSION_ID,
    MESSAGE_ID,
    EVENT_ID,
    DECISION_ID,
    OPERATION_ID,
    DRAFT_ID,
    RELEASE_ID,
    WEBHOOK_ID,
    ATTEMPT,
    TENANT_ID,
    APP_ID,
    PEER_IP,
    DOOR,
    PEER_DOMAIN,
    VERDICT_SPF,
    VERDICT_DKIM,
    VERDICT_DMARC,
    VERDICT_ARC,
    REPLY_CODE,
    DURATION_MS,
    SIZE_BYTES,
    ERROR_KIND,
    TEMPORARY,
    TASK,
];
