//! What a door asks the layers above it: whom a forward-path names here, and whether a peer is who it says.
//!
//! The trait exists to turn an import around: a door must not know the store. It must never be asked about bytes of a
//! message; those go to the spool.

use std::future::Future;

use super::{AuthenticationAnswer, Credentials, SubmissionAnswer, SubmissionRefusal, SubmittedMail};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{Origin, Recipient};

/// The answers that a door needs from above.
pub trait Intake: Send + Sync + 'static {
    /// Whom a forward-path names here; asked once per RCPT, so it must be quick (from a cache).
    ///
    /// An unknown address and an unknown route token must take the same time and get the same answer.
    fn recipient(&self, query: &RecipientQuery<'_>) -> impl Future<Output = RecipientAnswer> + Send;

    /// Whether any recipient goes by the certificate of its peer. Asked before each handshake, which is before anybody has named
    /// a recipient, so it must be quick (from a cache); where it is not known, `true` does no harm.
    fn wants_client_certificates(&self) -> impl Future<Output = bool> + Send;

    /// Whether a peer is who it says; `origin` is what is known of it until then.
    ///
    /// Every refusal takes the same way, so that neither words nor time tell a wrong key from one that may not do this.
    fn authenticate(
        &self,
        credentials: &Credentials,
        origin: &Origin,
    ) -> impl Future<Output = AuthenticationAnswer> + Send;

    /// Makes a draft of a message that a submission door hands up, and asks for its release. Other doors hand up none.
    fn submit(&self, mail: SubmittedMail) -> impl Future<Output = SubmissionAnswer> + Send {
        drop(mail);
        std::future::ready(SubmissionAnswer::Refused(SubmissionRefusal::Unavailable))
    }
}

/// One RCPT, with what is known of the peer so far.
#[derive(Debug, Clone, Copy)]
pub struct RecipientQuery<'a> {
    /// Whom the peer asks for.
    pub name: ForwardName<'a>,
    /// MAIL FROM of the transaction.
    pub reverse_path: &'a ReversePath,
    /// `SIZE=` of the transaction in octets, where it was announced.
    pub announced_size: Option<u64>,
    /// Who asks.
    pub origin: &'a Origin,
}

/// The recipient as the peer wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardName<'a> {
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox; a source route before it has been left out (RFC 5321 appendix C).
    Mailbox(&'a Mailbox),
}

/// What the layers above say about a recipient; [`crate::smtp::reply`] decides what the peer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientAnswer {
    /// It is a mailbox or a copy route here.
    Known {
        /// Which.
        recipient: Recipient,
        /// Octets that it takes in one message; `None`: as many as the door takes from everybody.
        size: Option<u64>,
    },
    /// The domain is ours, the address is not.
    Unknown,
    /// The domain is not ours, and nobody relays here.
    Foreign,
    /// Mailbox, route or tenant is paused or suspended, so briefly that the peer should keep the mail.
    Paused,
    /// Suspended for longer than mail is asked to wait.
    Closed,
    /// An address that was given up so lately that the peer should keep the mail.
    Retired,
    /// The route exists and this peer may not use it yet, or not without TLS.
    NotAuthorised,
    /// `SIZE=` is over what this recipient takes.
    TooLarge,
    /// The recipient's backlog is over its mark.
    Overloaded,
    /// The answer cannot be had now, by no fault of the peer's.
    Unavailable,
}

impl RecipientAnswer {
    /// A recipient that takes what the door takes.
    #[must_use]
    pub const fn known(recipient: Recipient) -> Self {
        Self::Known { recipient, size: None }
    }
}
