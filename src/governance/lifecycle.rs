//! The lives of a draft and of a transmission, each as one table of allowed steps.
//!
//! The words are those that are stored. A step that is not in the table is an [`IllegalMove`]; updates in the database
//! name the state that they expect.

use serde::{Deserialize, Serialize};

/// A step that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {thing} that is `{state}` cannot become anything by `{event}`")]
pub struct IllegalMove {
    /// `draft` or `transmission`.
    pub thing: &'static str,
    /// The state it is in.
    pub state: &'static str,
    /// What was to happen.
    pub event: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$item,)*];

            /// The word that is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$item => $word,)*
                }
            }

            /// What a stored word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.as_str() == word)
            }
        }
    };
}

words! {
    /// How far a draft has come.
    DraftState {
        /// Being written.
        Draft "draft",
        /// A person is asked.
        PendingApproval "pending_approval",
        /// A person said yes.
        Approved "approved",
        /// The gate let it out; it waits for its time.
        Released "released",
        /// On its way to at least one recipient.
        Sending "sending",
        /// Every recipient's next hop took it.
        Sent "sent",
        /// Some took it, some refused it.
        PartlySent "partly_sent",
        /// A report came back that it was not delivered.
        Bounced "bounced",
        /// Nobody took it.
        Failed "failed",
        /// It may have been taken; a person is told, and nothing is sent again by itself.
        Unknown "unknown",
        /// The source app sends it.
        HandedOff "handed_off",
        /// The gate or an approver said no to this version.
        Denied "denied",
        /// A person or the app gave it up.
        Cancelled "cancelled",
        /// Whoever proposed it took it back.
        Withdrawn "withdrawn",
        /// Its time was over.
        Expired "expired",
    }
}

words! {
    /// What happens to a draft.
    DraftEvent {
        /// The gate says `hold`, or the reasons of an earlier yes are gone.
        Hold "hold",
        /// A person said yes.
        Approve "approve",
        /// The gate says `release`.
        Release "release",
        /// The gate says `handoff`.
        HandOff "hand_off",
        /// The gate says `deny`, or an approver says no.
        Deny "deny",
        /// Somebody changed the content.
        Edit "edit",
        /// The first transmission was claimed.
        BeginSending "begin_sending",
        /// The last transmission ended, all accepted.
        AllAccepted "all_accepted",
        /// The last transmission ended, some accepted.
        SomeAccepted "some_accepted",
        /// The last transmission ended, none accepted.
        NoneAccepted "none_accepted",
        /// The last transmission ended, and of at least one nobody knows how.
        NobodyKnows "nobody_knows",
        /// A report says that it was not delivered (RFC 3464).
        Bounce "bounce",
        /// A person or the app gives it up.
        Cancel "cancel",
        /// Whoever proposed it takes it back.
        Withdraw "withdraw",
        /// Its time is over.
        Expire "expire",
    }
}

words! {
    /// How far one recipient of one release has come.
    TransmissionState {
        /// Not tried yet.
        Pending "pending",
        /// Claimed by one sender under a lease.
        InFlight "in_flight",
        /// The next hop took it.
        Accepted "accepted",
        /// To be tried again by schedule.
        Deferred "deferred",
        /// Refused, or given up.
        Rejected "rejected",
        /// The end of data was begun and no reply was read; nothing is sent again by itself.
        Unknown "unknown",
    }
}

words! {
    /// What happens to a transmission.
    TransmissionEvent {
        /// A sender takes the lease.
        Claim "claim",
        /// 2yz after end of data.
        Accept "accept",
        /// 4yz, or no connection.
        Defer "defer",
        /// 5yz.
        Reject "reject",
        /// The sender was lost before it began the end of data.
        LostBeforeEndOfData "lost_before_end_of_data",
        /// The sender was lost after it began the end of data, before a reply was read.
        LostAfterEndOfData "lost_after_end_of_data",
        /// The schedule ran out, the gate said no, or the draft was taken back.
        GiveUp "give_up",
        /// A person found out that it had been taken.
        ConfirmAccepted "confirm_accepted",
        /// A person found out that it had not been taken.
        ConfirmRejected "confirm_rejected",
    }
}

impl DraftState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] when the table has no such step.
    pub fn next(self, event: DraftEvent) -> Result<Self, IllegalMove> {
        let step = DRAFT_STEPS.iter().find(|(from, by, _)| (*from, *by) == (self, event));
        step.map(|(_, _, to)| *to).ok_or(IllegalMove { thing: "draft", state: self.as_str(), event: event.as_str() })
    }

    /// Whether nothing of it leaves any more, but for a new version of what was denied: what it holds may be erased. Of one of
    /// which nobody knows whether it was taken, that is still to be found out.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Draft | Self::PendingApproval | Self::Approved | Self::Released | Self::Sending | Self::Unknown => {
                false
            }
            Self::Sent
            | Self::PartlySent
            | Self::Bounced
            | Self::Failed
            | Self::HandedOff
            | Self::Denied
            | Self::Cancelled
            | Self::Withdrawn
            | Self::Expired => true,
        }
    }
}

impl DraftEvent {
    /// What the transmissions of a released draft amount to; `None` while one of them is still to end.
    #[must_use]
    pub fn of_transmissions(states: &[TransmissionState]) -> Option<Self> {
        let accepted = states.iter().filter(|state| **state == TransmissionState::Accepted).count();
        if states.is_empty() || states.iter().any(|state| state.is_open()) {
            None
        } else if states.contains(&TransmissionState::Unknown) {
            Some(Self::NobodyKnows)
        } else if accepted == states.len() {
            Some(Self::AllAccepted)
        } else if accepted > 0 {
            Some(Self::SomeAccepted)
        } else {
            Some(Self::NoneAccepted)
        }
    }
}

impl TransmissionState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] when the table has no such step.
    pub fn next(self, event: TransmissionEvent) -> Result<Self, IllegalMove> {
        let step = TRANSMISSION_STEPS.iter().find(|(from, by, _)| (*from, *by) == (self, event));
        let error = IllegalMove { thing: "transmission", state: self.as_str(), event: event.as_str() };
        step.map(|(_, _, to)| *to).ok_or(error)
    }

    /// Whether a sender may claim it.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Deferred)
    }

    /// Whether it is still to end.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Deferred | Self::InFlight)
    }
}

const DRAFT_STEPS: &[(DraftState, DraftEvent, DraftState)] = {
    use DraftEvent as E;
    use DraftState as S;
    &[
        // Asking for release runs the gate.
        (S::Draft, E::Hold, S::PendingApproval),
        (S::Draft, E::Release, S::Released),
        (S::Draft, E::HandOff, S::HandedOff),
        (S::Draft, E::Deny, S::Denied),
        (S::Draft, E::Edit, S::Draft),
        (S::Draft, E::Cancel, S::Cancelled),
        (S::Draft, E::Withdraw, S::Withdrawn),
        (S::Draft, E::Expire, S::Expired),
        (S::PendingApproval, E::Approve, S::Approved),
        (S::PendingApproval, E::HandOff, S::HandedOff),
        (S::PendingApproval, E::Deny, S::Denied),
        // An edit is a new version, which nobody has approved.
        (S::PendingApproval, E::Edit, S::Draft),
        (S::PendingApproval, E::Cancel, S::Cancelled),
        (S::PendingApproval, E::Withdraw, S::Withdrawn),
        (S::PendingApproval, E::Expire, S::Expired),
        (S::Approved, E::Hold, S::PendingApproval),
        (S::Approved, E::Release, S::Released),
        (S::Approved, E::HandOff, S::HandedOff),
        (S::Approved, E::Deny, S::Denied),
        (S::Approved, E::Edit, S::Draft),
        (S::Approved, E::Cancel, S::Cancelled),
        (S::Approved, E::Withdraw, S::Withdrawn),
        (S::Approved, E::Expire, S::Expired),
        // The gate is asked again at the moment of sending. What was released is withdrawn before it can be edited.
        (S::Released, E::BeginSending, S::Sending),
        (S::Released, E::Hold, S::PendingApproval),
        (S::Released, E::HandOff, S::HandedOff),
        (S::Released, E::Deny, S::Denied),
        (S::Released, E::Cancel, S::Cancelled),
        (S::Released, E::Withdraw, S::Withdrawn),
        (S::Released, E::Expire, S::Expired),
        (S::Sending, E::AllAccepted, S::Sent),
        (S::Sending, E::SomeAccepted, S::PartlySent),
        (S::Sending, E::NoneAccepted, S::Failed),
        (S::Sending, E::NobodyKnows, S::Unknown),
        (S::Sent, E::Bounce, S::Bounced),
        (S::PartlySent, E::Bounce, S::Bounced),
        // A person, or a report, may find out later.
        (S::Unknown, E::AllAccepted, S::Sent),
        (S::Unknown, E::SomeAccepted, S::PartlySent),
        (S::Unknown, E::NoneAccepted, S::Failed),
        (S::Unknown, E::Bounce, S::Bounced),
        // `deny` is final for the version, not for the draft.
        (S::Denied, E::Edit, S::Draft),
    ]
};

const TRANSMISSION_STEPS: &[(TransmissionState, TransmissionEvent, TransmissionState)] = {
    use TransmissionEvent as E;
    use TransmissionState as S;
    &[
        (S::Pending, E::Claim, S::InFlight),
        (S::Pending, E::GiveUp, S::Rejected),
        (S::InFlight, E::Accept, S::Accepted),
        (S::InFlight, E::Defer, S::Deferred),
        (S::InFlight, E::Reject, S::Rejected),
        (S::InFlight, E::LostBeforeEndOfData, S::Deferred),
        (S::InFlight, E::LostAfterEndOfData, S::Unknown),
        (S::Deferred, E::Claim, S::InFlight),
        (S::Deferred, E::GiveUp, S::Rejected),
        (S::Unknown, E::ConfirmAccepted, S::Accepted),
        (S::Unknown, E::ConfirmRejected, S::Rejected),
    ]
};

#[cfg(test)]
mod tests;
