//! Where every door ends: whom a forward-path names, and the one call that takes a message.
//!
//! A door asks [`Intake`] for each recipient, pushes the bytes into what [`Acceptor::begin`] gives, and calls
//! [`Acceptor::accept`]. Only a [`SpooledMessage`] that comes out of it can become a `250`, whichever door speaks.
//!
//! What it must never do: say that a message is accepted which is not on stable storage, or look into its bytes first.

mod recipient;

pub use recipient::{ForwardName, Intake, RecipientAnswer, RecipientQuery};

use crate::clock::Clock;
use crate::mail::envelope::{Envelope, Manifest, MilterEnvelope, Origin, TransferDefect};
use crate::spool::{Admission, Incoming, Spool, SpoolError, SpooledMessage};

/// A message whose bytes have all come, and what is stored beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What SMTP, or the door that stands for it, said.
    pub envelope: Envelope,
    /// Who handed it over.
    pub origin: Origin,
    /// What was seen of the bytes.
    pub defects: Vec<TransferDefect>,
    /// What a mail server told of it, at the milter door.
    pub milter: Option<Box<MilterEnvelope>>,
}

/// Takes messages for good; clones share one spool.
#[derive(Debug, Clone)]
pub struct Acceptor {
    spool: Spool,
    clock: Clock,
    quiet: bool,
}

impl Acceptor {
    /// Takes messages into `spool`.
    #[must_use]
    pub const fn new(spool: Spool, clock: Clock) -> Self {
        Self { spool, clock, quiet: false }
    }

    /// The same for a door of history: its messages become events, and nothing follows from them.
    #[must_use]
    pub fn quietly(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// Whether new mail may be taken; cheap.
    #[must_use]
    pub fn admission(&self) -> Admission {
        self.spool.admission()
    }

    /// Begins a body.
    #[must_use]
    pub fn begin(&self) -> Incoming {
        self.spool.begin()
    }

    /// The clock by which messages are received.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Stores the message, and returns when bytes and envelope are on stable storage.
    ///
    /// # Errors
    /// The message does not count as stored. All errors but [`SpoolError::TooLarge`] are temporary: the peer tries again.
    pub async fn accept(&self, incoming: Incoming, offer: Offer) -> Result<SpooledMessage, SpoolError> {
        let Offer { envelope, origin, defects, milter } = offer;
        let (id, received_at) = (self.clock.mint(), self.clock.now());
        let manifest = Manifest { id, received_at, envelope, origin, defects, quiet: self.quiet, milter };
        incoming.commit(manifest).await
    }
}
