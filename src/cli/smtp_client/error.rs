//! What can go wrong in a session, and what that means for the message.

use std::fmt;
use std::io;

use super::{Reply, ServerName};
use crate::mail::address::Mailbox;

/// A step of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Look-up and TCP.
    Connect,
    /// The server's first words.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message's own bytes.
    Message,
    /// The reply to the message.
    EndOfData,
    /// RSET.
    Reset,
    /// QUIT.
    Quit,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
            Self::EndOfData => "the end of the message",
            Self::Reset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}

/// Why a message was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// No connection.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// Which server.
        server: ServerName,
        /// The operating system's words.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("the server did not answer in time at {step}{}", unclear(*step))]
    TimedOut {
        /// At which step.
        step: Step,
    },
    /// The server closed the connection.
    #[error("the server closed the connection at {step}{}", unclear(*step))]
    Closed {
        /// At which step.
        step: Step,
    },
    /// The connection broke.
    #[error("the connection broke at {step}{}", unclear(*step))]
    Broken {
        /// At which step.
        step: Step,
        /// The operating system's words.
        source: io::Error,
    },
    /// What the server said is no SMTP.
    #[error("the server's answer at {step} is no SMTP: {what}")]
    Malformed {
        /// At which step.
        step: Step,
        /// What is wrong.
        what: &'static str,
    },
    /// The server said no.
    #[error("the server refused at {step}: {reply}")]
    Refused {
        /// At which step.
        step: Step,
        /// Its words.
        reply: Reply,
    },
    /// The server refused every recipient.
    #[error("the server refused every recipient: {}", listed(refused))]
    NoRecipient {
        /// Each with the server's words.
        refused: Vec<(Mailbox, Reply)>,
    },
    /// TLS is required, and the server has none.
    #[error("{server} does not offer STARTTLS, and nothing is sent without")]
    NoTls {
        /// Which server.
        server: ServerName,
    },
    /// No trusted TLS connection.
    #[error("no trusted TLS connection to {server}")]
    Tls {
        /// Which server.
        server: ServerName,
        /// What is wrong.
        source: io::Error,
    },
    /// The server announced a smaller limit.
    #[error("the message has {size} bytes, the server takes at most {limit}")]
    TooLarge {
        /// Of the message.
        size: u64,
        /// Of the server.
        limit: u64,
    },
    /// The message needs an extension that the server has not.
    #[error("the server does not offer {extension}, but {why}")]
    NotOffered {
        /// Keyword of the extension.
        extension: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
}

impl SmtpError {
    /// Whether the server could not be reached, or went away; trying again may help.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Closed { .. }
                | Self::Broken { .. }
                | Self::Tls { .. }
        )
    }

    /// Whether the server may have taken the message all the same: its reply never came.
    #[must_use]
    pub const fn is_unclear(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { step: Step::EndOfData }
                | Self::Closed { step: Step::EndOfData }
                | Self::Broken { step: Step::EndOfData, .. }
                | Self::Malformed { step: Step::EndOfData, .. }
        )
    }

    /// Whether the session can take another message.
    #[must_use]
    pub fn leaves_session(&self) -> bool {
        match self {
            Self::Refused { step, reply } => {
                !reply.is_closing() && !matches!(step, Step::Greeting | Step::Hello | Step::StartTls)
            }
            Self::NoRecipient { refused } => !refused.iter().any(|(_, reply)| reply.is_closing()),
            Self::TooLarge { .. } | Self::NotOffered { .. } => true,
            _ => false,
        }
    }
}

fn unclear(step: Step) -> &'static str {
    match step {
        Step::EndOfData => "; the message may have been taken",
        _ => "",
    }
}

fn listed(refused: &[(Mailbox, Reply)]) -> String {
    let first = refused.iter().take(3).map(|(mailbox, reply)| format!("{mailbox}: {reply}"));
    let mut text = first.collect::<Vec<_>>().join("; ");
    if refused.len() > 3 {
        text.push_str("; …");
    }
    text
}
