//! What a submission door hands up, and what is said to it. Nothing is sent by it: a draft is made, and the gate is asked.

use crate::ids::DraftId;
use crate::mail::address::Mailbox;
use crate::mail::envelope::Origin;
use crate::mail::submitted::Unfit;

/// A message that a peer hands in to be sent.
#[derive(Debug)]
pub struct SubmittedMail {
    /// Every RCPT TO, in order.
    pub recipients: Vec<Mailbox>,
    /// The message.
    pub bytes: Vec<u8>,
    /// Who hands it in.
    pub origin: Origin,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmissionAnswer {
    /// It is a draft, durable, and this is what the gate says to it.
    Drafted(Drafted),
    /// The gate denies it for good, and the tenant's settings ask to be told so at once.
    Denied {
        /// The draft, which stays on record as denied.
        draft: DraftId,
        /// Codes of the rules that deny it.
        codes: Vec<String>,
    },
    /// It is none.
    Refused(SubmissionRefusal),
}

/// A draft that is durable.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drafted {
    draft: DraftId,
    outcome: DraftOutcome,
}

impl Drafted {
    /// Of a draft that the database has confirmed.
    pub const fn confirmed(draft: DraftId, outcome: DraftOutcome) -> Self {
        Self { draft, outcome }
    }

    /// The draft.
    #[must_use]
    pub const fn draft(&self) -> DraftId {
        self.draft
    }

    /// What the gate says.
    #[must_use]
    pub const fn outcome(&self) -> &DraftOutcome {
        &self.outcome
    }
}

/// What the gate says to a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftOutcome {
    /// It was released.
    Released,
    /// A person is asked; codes of what holds it.
    Waits(Vec<String>),
    /// The source app sends it, and is told so.
    HandedOff,
    /// It will never leave; codes of the rules that deny it.
    Denied(Vec<String>),
    /// Somebody took it back meanwhile.
    Ended,
}

/// Why a message is no draft; [`crate::smtp::reply`] decides what the peer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmissionRefusal {
    /// The key is not valid any more.
    KeyGone,
    /// From names no mailbox as which the key may write.
    NotYours,
    /// It cannot be read as a draft must be.
    Unfit(Unfit),
    /// To or Cc names somebody who is none of its recipients.
    NotAddressed,
    /// One of its values cannot be taken.
    Value,
    /// The answer cannot be had now, by no fault of the peer's.
    Unavailable,
}
