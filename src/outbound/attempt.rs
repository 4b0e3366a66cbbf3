//! What came of one attempt, for each recipient.
//!
//! Standards: RFC 5321 §4.2 (codes), RFC 3463 (enhanced codes).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::reply::{self, EnhancedCode, Reply};
use crate::governance::lifecycle::TransmissionEvent;
use crate::mail::address::Mailbox;

/// How the attempt ended for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The next hop took the message, and answers for it.
    Accepted,
    /// It did not, and a later attempt may succeed.
    Deferred,
    /// It did not, and no attempt will succeed.
    Rejected,
    /// The final dot may have been written, and no reply was read: the message may have been taken. Nothing is sent again.
    Unknown,
}

impl Outcome {
    /// What it does to the transmission.
    #[must_use]
    pub const fn event(self) -> TransmissionEvent {
        match self {
            Self::Accepted => TransmissionEvent::Accept,
            Self::Deferred => TransmissionEvent::Defer,
            Self::Rejected => TransmissionEvent::Reject,
            Self::Unknown => TransmissionEvent::LostAfterEndOfData,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $item:ident $word:literal,)*) => {
        /// What decided; the words are stored.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($(#[$doc])* $item,)*
        }

        impl Reason {
            /// The word that is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$item => $word,)*
                }
            }
        }
    };
}

reasons! {
    /// The server's reply, which the report has.
    Reply "reply",
    /// No connection.
    Unreachable "unreachable",
    /// Nothing came in time.
    Timeout "timeout",
    /// The server closed the connection, or it broke.
    Closed "closed",
    /// What the server said is no SMTP.
    NotSmtp "not_smtp",
    /// No encryption, or none with a certificate that is believed, where it is asked for.
    Tls "tls",
    /// The relay does not let us in.
    Authentication "authentication",
    /// The message needs an extension that the server has not.
    NotOffered "not_offered",
    /// The message is larger than the server takes.
    TooLarge "too_large",
    /// DNS gave no answer.
    Dns "dns",
    /// The domain does not exist, or nothing in it takes mail.
    NoDomain "no_domain",
    /// The domain says that it takes no mail (RFC 7505).
    NullMx "null_mx",
    /// The way leads back to this gateway.
    Loop "loop",
    /// The way leads to addresses that are not public.
    NotPublic "not_public",
    /// No mail server of the domain is one of its MTA-STS policy (RFC 8461).
    Sts "sts",
    /// The begin of the end of data could not be recorded; nothing was sent.
    NotRecorded "not_recorded",
    /// The route is not one to this recipient; nothing was sent.
    WrongRoute "wrong_route",
}

/// What is known of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What decided.
    pub reason: Reason,
    /// Name of the server; empty where none was reached for.
    pub host: String,
    /// Its address; empty where none was reached for.
    pub address: Option<IpAddr>,
    /// Whether the session was encrypted.
    pub encrypted: bool,
    /// The code of its reply; empty where a reply did not decide.
    pub code: Option<u16>,
    /// The enhanced code of its reply, or ours.
    pub enhanced: Option<EnhancedCode>,
    /// The text of its reply, or what else there is to say: on one line, short. It may name addresses, so it is for those who
    /// may read the message, and not for logs.
    pub text: String,
}

impl Report {
    /// By a reply.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        Self {
            code: Some(reply.code()),
            enhanced: reply.enhanced(),
            text: reply.excerpt(),
            ..Self::because(Reason::Reply, "")
        }
    }

    /// By something else.
    #[must_use]
    pub fn because(reason: Reason, text: &str) -> Self {
        let text = reply::excerpt(text);
        Self { reason, host: String::new(), address: None, encrypted: false, code: None, enhanced: None, text }
    }

    /// With an enhanced code of ours.
    #[must_use]
    pub(super) fn with(self, enhanced: EnhancedCode) -> Self {
        Self { enhanced: Some(enhanced), ..self }
    }
}

/// One recipient of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The recipient.
    pub recipient: Mailbox,
    /// How it ended.
    pub outcome: Outcome,
    /// What is known of it.
    pub report: Report,
}

impl Attempt {
    /// The same for each of `recipients`.
    pub(super) fn all(recipients: Vec<Mailbox>, outcome: Outcome, report: &Report) -> Vec<Self> {
        let one = |recipient| Self { recipient, outcome, report: report.clone() };
        recipients.into_iter().map(one).collect()
    }
}

/// Without the recipient and the text: fit for a log.
impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { reason, host, code, enhanced, .. } = &self.report;
        write!(formatter, "{:?} by {host}: {}", self.outcome, reason.as_str())?;
        if let Some(code) = code {
            write!(formatter, " {code}")?;
        }
        enhanced.map_or(Ok(()), |enhanced| write!(formatter, " {enhanced}"))
    }
}
