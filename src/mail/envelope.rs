//! What SMTP (or another door) said about a message: the envelope, and where it came from.
//!
//! Both are written into the spool with the bytes, so they are a stored format: fields are only ever added, with a default.
//!
//! Standards: RFC 5321 §2.3.1 (envelope), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3030 (BINARYMIME), RFC 6531
//! (SMTPUTF8), RFC 3461 (DSN).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{KeyId, MailboxId, MessageId, RouteId, SessionId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::reading::Reader;

/// The `BODY=` parameter of MAIL (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    /// `7BIT`, also where the parameter is missing.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
    /// `BINARYMIME`, only together with BDAT.
    BinaryMime,
}

/// Whose recipient a forward-path names here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Recipient {
    /// A mailbox that this gateway owns; postmaster and abuse are mailboxes of the operator's tenant.
    Mailbox {
        /// Owner of the mailbox.
        tenant: TenantId,
        /// The mailbox.
        mailbox: MailboxId,
    },
    /// An intake route: mail that reaches it is a copy.
    #[serde(alias = "bcc_route")]
    Route {
        /// Owner of the route.
        tenant: TenantId,
        /// The route.
        route: RouteId,
        /// How it reads what it takes, as it was when the message was accepted.
        #[serde(default = "bcc")]
        reader: Reader,
        /// Whether the peer that handed the message over is authorised for the route.
        peer_authorised: bool,
        /// Whether it is in a network that the route names and that is everybody's: marks must say whose copy it is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shared_range: bool,
    },
}

impl Recipient {
    /// The tenant whose recipient this is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Mailbox { tenant, .. } | Self::Route { tenant, .. } => *tenant,
        }
    }

    /// Whether mail to it is a copy, which is never answered.
    #[must_use]
    pub const fn is_copy(&self) -> bool {
        matches!(self, Self::Route { .. })
    }

    /// How mail to it is read.
    #[must_use]
    pub const fn reader(&self) -> Reader {
        match self {
            Self::Mailbox { .. } => Reader::Mailbox,
            Self::Route { reader, .. } => *reader,
        }
    }
}

/// Once there were no other routes.
const fn bcc() -> Reader {
    Reader::Bcc
}

/// One accepted RCPT: the forward-path and whom it names here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardPath {
    /// The address as it was given.
    pub mailbox: Mailbox,
    /// Whom it names.
    pub recipient: Recipient,
    /// `NOTIFY=` (RFC 3461 §4.1): when the sender wants to hear of this recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// `ORCPT=` (RFC 3461 §4.2), as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_recipient: Option<String>,
}

impl ForwardPath {
    /// A RCPT without parameters.
    #[must_use]
    pub const fn new(mailbox: Mailbox, recipient: Recipient) -> Self {
        Self { mailbox, recipient, notify: None, original_recipient: None }
    }
}

/// The `NOTIFY=` parameter of RCPT (RFC 3461 §4.1); none of the three is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

/// The `RET=` parameter of MAIL (RFC 3461 §4.3): what a report gives back of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Return {
    /// `FULL`.
    Full,
    /// `HDRS`.
    Headers,
}

/// The SMTP envelope of one transaction (RFC 5321 §2.3.1). All recipients belong to one tenant, and are either all
/// mailboxes or all copy routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The accepted RCPT TO, in order; never empty.
    pub forward_paths: Vec<ForwardPath>,
    /// `BODY=`.
    #[serde(default)]
    pub body: BodyKind,
    /// Whether `SMTPUTF8` was asked for.
    #[serde(default)]
    pub smtputf8: bool,
    /// `ENVID=` (RFC 3461 §4.4), as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// `RET=` (RFC 3461 §4.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Return>,
}

/// The door by which a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// SMTP, in the clear or with STARTTLS.
    Smtp,
    /// SMTP with TLS from the first byte.
    Smtps,
    /// Submission, with STARTTLS: what comes becomes a draft, and no message of this gateway.
    Submission,
    /// The same with TLS from the first byte.
    Submissions,
    /// LMTP: a mail server of this machine, or of its network.
    Lmtp,
    /// The hook of a mail server, which shows what passes through it.
    Milter,
    /// The HTTP API.
    Http,
    /// The command `inject`.
    Inject,
    /// The command `import`.
    Import,
}

impl Door {
    /// Whether TLS begins with the first byte there.
    #[must_use]
    pub const fn is_tls_first(self) -> bool {
        matches!(self, Self::Smtps | Self::Submissions)
    }

    /// Whether drafts are handed in there.
    #[must_use]
    pub const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }

    /// Its word in logs, metrics and rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
            Self::Milter => "milter",
            Self::Http => "http",
            Self::Inject => "inject",
            Self::Import => "import",
        }
    }
}

/// A service that receives mail for its customers and hands it over by webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Postmark, inbound webhook.
    Postmark,
    /// Mailgun, route with `forward` to a URL.
    Mailgun,
    /// SendGrid, Inbound Parse.
    Sendgrid,
    /// Amazon SES, receipt rule with an SNS action.
    Ses,
}

impl Provider {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Postmark, Self::Mailgun, Self::Sendgrid, Self::Ses];

    /// Its word in paths, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postmark => "postmark",
            Self::Mailgun => "mailgun",
            Self::Sendgrid => "sendgrid",
            Self::Ses => "ses",
        }
    }
}

/// A certificate that a peer showed, and whose key it proved to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of its DER form, in lower-case hexadecimal.
    pub sha256: String,
    /// Whom it is for.
    pub subject: String,
    /// Common name of who issued it.
    pub issuer: String,
    /// Its DNS names.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether its chain ends in an authority that the operator listed, and it was valid then.
    #[serde(default)]
    pub is_verified: bool,
}

/// Facts about the session that handed a message over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The door.
    pub door: Door,
    /// The session, as in the log.
    pub session: SessionId,
    /// Address of the peer: the client behind a listed load balancer; `None` for a program of this machine.
    pub peer: Option<IpAddr>,
    /// Address of the load balancer that spoke for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<IpAddr>,
    /// What the peer called itself in EHLO or HELO; empty when it did not.
    pub helo: String,
    /// TLS version and cipher suite, where the session was encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// The API key with which the peer authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<KeyId>,
    /// The certificate that the peer showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The provider that handed the message over, at the HTTP door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// From whom the peer has the message, where it says so and its word counts: at the HTTP door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<ToldClient>>,
}

/// An SMTP client of somebody else's mail server, as that tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldClient {
    /// Its address.
    pub address: IpAddr,
    /// What it called itself in EHLO or HELO; empty where that is not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub helo: String,
}

/// Something about the bytes that the session saw while they arrived, kept because it cannot be seen later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferDefect {
    /// A bare CR or LF inside DATA on a copy route, where a refusal would lose the copy.
    BareLf,
    /// It grew over what its route takes without having said so. It was refused, and what is here is a record of the loss:
    /// its envelope, and its first octets where they were kept.
    OverSize,
}

/// Whether the layers above were asked before the message was answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No: the message was accepted as it came.
    #[default]
    NotAsked,
    /// They are being asked. A message that stays so was never accepted: its peer has it, or was refused.
    Awaited,
    /// They let it pass.
    Passed,
}

impl Verdict {
    /// Whether nobody was asked.
    #[must_use]
    pub const fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// What a mail server told of a message that passed through it: the envelope under which it delivers it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MilterEnvelope {
    /// MAIL FROM as the mail server has it, without angle brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// Every accepted RCPT TO, in order, without angle brackets.
    pub forward_paths: Vec<String>,
    /// The mail server's own name of the message, as in its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// Address of the client that handed the message to the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<IpAddr>,
    /// Name of that client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// What that client called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// As whom that client authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<String>,
}

/// All that is stored beside the bytes of an accepted message: the content of a COMMIT record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Our id of the message, also in the `250`.
    pub id: MessageId,
    /// When the last byte had arrived.
    pub received_at: Timestamp,
    /// What SMTP said.
    pub envelope: Envelope,
    /// Who handed it over.
    pub origin: Origin,
    /// What was seen during the transfer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<TransferDefect>,
    /// Whether nothing follows from it but its event: it is history, and nobody is to act on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// Whether it was judged before it was accepted.
    #[serde(default, skip_serializing_if = "Verdict::is_not_asked")]
    pub verdict: Verdict,
    /// What a mail server told, where the message came by the milter door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milter: Option<Box<MilterEnvelope>>,
}

/// Who handed a message in, as far as its sender's authenticity goes by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its address; `None` where there is none, or where it says nothing, because the client signed in.
    pub address: Option<IpAddr>,
    /// What it called itself; empty when it did not.
    pub helo: &'a str,
}

impl Manifest {
    /// The addresses of the routes that it was handed over to: secrets.
    pub fn route_addresses(&self) -> impl Iterator<Item = &Mailbox> {
        self.envelope.forward_paths.iter().filter(|path| path.recipient.is_copy()).map(|path| &path.mailbox)
    }

    /// Who handed the message in: the peer, and where that is a mail server that tells of its own client, the client.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        match (&self.milter, &self.origin.client) {
            (None, None) => Client { address: self.origin.peer, helo: &self.origin.helo },
            (None, Some(told)) => Client { address: Some(told.address.to_canonical()), helo: &told.helo },
            (Some(told), _) => Client {
                // Who signed in may send from anywhere, by leave of the mail server.
                address: told
                    .client_address
                    .filter(|_| told.authenticated.is_none())
                    .map(|address| address.to_canonical()),
                helo: told.helo.as_deref().unwrap_or_default(),
            },
        }
    }

    /// Whether the message must not be answered (RFC 5321 §4.5.5).
    #[must_use]
    pub fn has_null_reverse_path(&self) -> bool {
        // A mail server may deliver mail of a sender whose address is none of ours to read.
        let is_named = self.milter.as_ref().is_some_and(|milter| !milter.reverse_path.is_empty());
        self.envelope.reverse_path == ReversePath::Null && !is_named
    }

    /// The tenant whose mail this is; `None` only for an envelope without recipients, which no door accepts.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        self.envelope.forward_paths.first().map(|path| path.recipient.tenant())
    }
}
