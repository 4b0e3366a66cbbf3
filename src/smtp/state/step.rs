//! What goes into the machine and what comes out of it.

use crate::intake::{AuthenticationAnswer, Credentials, ForwardName, RecipientAnswer};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{Envelope, TransferDefect};
use crate::smtp::reply::{Accepted, Reply};
use crate::spool::Admission;

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The peer sent something.
    Bytes(&'a [u8]),
    /// Answer to [`Effect::Admit`].
    Admission(Admission),
    /// Answer to [`Effect::Recipient`].
    Recipient(RecipientAnswer),
    /// Answer to [`Effect::Recipient`]: its tenant has as many transactions open as it may.
    TenantBusy,
    /// Answer to [`Effect::Body`] when the spool did not take it; nothing is said when it did.
    BodyFailed,
    /// Answer to [`Effect::Commit`]: the message is on disk; to [`Effect::Submit`]: the draft is.
    Stored(Accepted),
    /// Answer to [`Effect::Commit`]: it is not.
    NotStored,
    /// Answer to [`Effect::Submit`]: nothing will be sent of it, or it is not known yet.
    NotDrafted(Reply),
    /// Answer to [`Effect::Authenticate`].
    Authenticated(AuthenticationAnswer),
    /// Answer to [`Effect::Commit`]: its recipients do not want it.
    Refused,
    /// Answer to [`Effect::Secure`].
    Secured,
    /// The peer was too slow.
    TimedOut,
    /// The program stops. Not said inside a message.
    ShuttingDown,
}

/// What is to be done: first the reply is written, then the effect done.
#[derive(Debug)]
#[must_use]
pub struct Step<'a> {
    /// How many of the input's bytes were used.
    pub consumed: usize,
    /// What the peer reads.
    pub reply: Option<Reply>,
    /// What to do.
    pub effect: Effect<'a>,
}

/// Something that the machine cannot do itself.
#[derive(Debug, PartialEq)]
pub enum Effect<'a> {
    /// Nothing: go on with the bytes that are left, or wait for more.
    None,
    /// Ask the spool whether there is room.
    Admit,
    /// Ask whom [`super::Machine::asked`] names.
    Recipient,
    /// Keep these octets of the message.
    Body(&'a [u8]),
    /// Forget the octets kept so far.
    Discard,
    /// Remember these octets, which follow those kept so far, as the beginning of a copy that is lost; else keep nothing of it.
    Head(&'a [u8]),
    /// Make a record of a copy that was refused for its size: it is lost with its peer. Nothing is answered.
    Lose(Box<Commission>),
    /// Make the message durable.
    Commit(Box<Commission>),
    /// Make a draft for these recipients of the message, and ask for its release.
    Submit(Vec<Mailbox>),
    /// Ask whether the peer is who it says.
    Authenticate(Box<Credentials>),
    /// Write what waits, then take up TLS.
    Secure,
    /// Write what waits, then close.
    Close,
}

/// The message that is to be made durable, but for its bytes and its origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Commission {
    /// The envelope.
    pub envelope: Envelope,
    /// What was seen of the bytes.
    pub defects: Vec<TransferDefect>,
}

/// A recipient that is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whom RCPT names.
    pub name: ForwardName<'a>,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// `SIZE=`, where it was announced.
    pub announced_size: Option<u64>,
    /// What the peer called itself.
    pub helo: &'a str,
}

/// What a session is waiting for, which decides how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A command.
    Command,
    /// Octets of a message, or the next chunk of one.
    Message,
    /// Nothing: it is over.
    Closed,
}

impl Step<'_> {
    pub(super) fn reply(reply: Reply) -> Self {
        Self { consumed: 0, reply: Some(reply), effect: Effect::None }
    }

    pub(super) fn effect(effect: Effect<'_>) -> Step<'_> {
        Step { consumed: 0, reply: None, effect }
    }

    pub(super) const fn nothing() -> Self {
        Self { consumed: 0, reply: None, effect: Effect::None }
    }

    /// Whether nothing was done: the machine waits for input that it was not given.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.consumed == 0 && self.reply.is_none() && self.effect == Effect::None
    }
}
