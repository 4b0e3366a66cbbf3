//! Exit codes, and the errors behind them.

use std::process::ExitCode;

use crate::config::ConfigFaults;

/// What the exit code of the program means. Written down for operators in `docs/operating.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It worked.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The arguments make no sense; nothing was tried.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The configuration has faults; nothing was tried.
    Configuration = 4,
    /// A server, file, folder or port cannot be reached or opened; trying again may help.
    Unreachable = 5,
    /// `EX_USAGE` of `sysexits.h`, as the other codes of `connex inject`: the arguments make no sense.
    MailUsage = 64,
    /// `EX_NOUSER`: a recipient does not exist.
    NoUser = 67,
    /// `EX_UNAVAILABLE`: it will not be taken.
    MailRefused = 69,
    /// `EX_IOERR`: the message cannot be read or kept for the moment that it takes.
    MailUnreadable = 74,
    /// `EX_TEMPFAIL`: try again later.
    MailDeferred = 75,
}

impl Exit {
    /// The word in the JSON of an error.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Configuration => "configuration",
            Self::Unreachable => "unreachable",
            Self::MailUsage => "mail_usage",
            Self::NoUser => "no_user",
            Self::MailRefused => "mail_refused",
            Self::MailUnreadable => "mail_unreadable",
            Self::MailDeferred => "mail_deferred",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The discriminants are the codes.
        Self::from(exit as u8)
    }
}

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It was tried and failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// The arguments contradict each other.
    #[error("{0}")]
    Usage(String),
    /// What was asked for does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// The configuration has faults.
    #[error("{0}")]
    Configuration(#[from] ConfigFaults),
    /// Something cannot be reached or opened.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// `connex inject` did not hand the message over for every recipient.
    #[error("{reason}")]
    Mail {
        /// With this code of `sysexits.h`.
        exit: Exit,
        /// Why.
        reason: String,
    },
    /// Nobody reads the answer any more, which is not an error (`connex messages list | head`).
    #[error("the reader of the answer is gone")]
    ReaderGone,
}

impl CliError {
    /// A failure with a sentence for the operator.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(message.into()))
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) => Exit::NotFound,
            Self::Configuration(_) => Exit::Configuration,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Mail { exit, .. } => *exit,
            Self::ReaderGone => Exit::Done,
        }
    }
}

/// Writing the answer failed.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(anyhow::Error::new(error).context("writing the answer"))
        }
    }
}
