//! The chain of a message in the audit log: the words of the rows that have to stand there before it may leave.
//!
//! The store adds each row in the transaction of its step. What is to be found behind what is said once, in `reading`, by
//! which tests read the model's log and the store's alike.

/// A row about a draft that its chain is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// A first version was written.
    Created,
    /// Another one was.
    Edited,
    /// People are asked about the present one.
    Asked,
    /// A person said yes to it.
    Approved,
    /// The gate let it out.
    Released,
    /// The gate let it out again, at the moment of sending: before each attempt.
    Sending,
    /// An attempt at one recipient came to its end.
    Tried,
    /// Its sender was lost.
    Lost,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Edited,
        Self::Asked,
        Self::Approved,
        Self::Released,
        Self::Sending,
        Self::Tried,
        Self::Lost,
    ];

    /// The word of its rows in the audit log.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Created => "draft.created",
            Self::Edited => "draft.edited",
            Self::Asked => "approval.asked",
            Self::Approved => "approval.approved",
            Self::Released => "draft.released",
            Self::Sending => "draft.sending",
            Self::Tried => "transmission.tried",
            Self::Lost => "transmission.lost",
        }
    }
}

#[cfg(test)]
pub(crate) mod reading;
