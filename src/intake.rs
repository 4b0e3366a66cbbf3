//! Where every door ends: whom a forward-path names, and the one call that takes a message.
//!
//! A door asks [`Intake`] for each recipient, pushes the bytes into what [`Acceptor::begin`] gives, and calls
//! [`Acceptor::accept`]. Only a [`SpooledMessage`] that comes out of it can become a `250`, whichever door speaks.
//!
//! What it must never do: say that a message is accepted which is not on stable storage, or look into its bytes first.

mod credentials;
pub mod provider;
mod recipient;
mod submission;

pub use credentials::{AuthenticationAnswer, Credentials};
pub use recipient::{ForwardName, Intake, RecipientAnswer, RecipientQuery};
pub use submission::{DraftOutcome, Drafted, SubmissionAnswer, SubmissionRefusal, SubmittedMail};

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::ids::MessageId;
use crate::mail::envelope::{Envelope, Manifest, MilterEnvelope, Origin, TransferDefect, Verdict};
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

/// Judges messages whose recipients ask for that before anybody answers for them.
///
/// The trait turns an import around: the doors must not know what asks DNS.
pub trait Judge: Send + Sync + std::fmt::Debug + 'static {
    /// Whether a message with this envelope is judged at all. From memory: it is asked at every end of data.
    fn is_asked(&self, envelope: &Envelope) -> bool;

    /// Whether the message of `size` octets is refused. What cannot be found out in time is no reason to; it answers within a bounded time.
    fn refuses<'a>(
        &'a self,
        manifest: &'a Manifest,
        size: u64,
        bytes: Bytes<'a>,
    ) -> BoxFuture<'a, Result<bool, SpoolError>>;
}

/// The bytes of a message that awaits its verdict; read when there is room for them.
pub type Bytes<'a> = BoxFuture<'a, Result<Vec<u8>, SpoolError>>;

/// Takes messages for good; clones share one spool.
#[derive(Debug, Clone)]
pub struct Acceptor {
    spool: Spool,
    clock: Clock,
    quiet: bool,
    judge: Option<Arc<dyn Judge>>,
}

impl Acceptor {
    /// Takes messages into `spool`.
    #[must_use]
    pub const fn new(spool: Spool, clock: Clock) -> Self {
        Self { spool, clock, quiet: false, judge: None }
    }

    /// The same, asking `judge` where recipients want that.
    #[must_use]
    pub fn judged_by(self, judge: Arc<dyn Judge>) -> Self {
        Self { judge: Some(judge), ..self }
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
    /// A message that is judged is stored first, as one that nobody reads, and becomes a message by a second commit: whatever
    /// ends between the two leaves nothing behind that anybody answered for.
    ///
    /// # Errors
    /// The message does not count as stored. All errors but [`SpoolError::TooLarge`] and [`SpoolError::Refused`] are
    /// temporary: the peer tries again.
    pub async fn accept(&self, incoming: Incoming, offer: Offer) -> Result<SpooledMessage, SpoolError> {
        self.accept_as(self.clock.mint(), incoming, offer).await
    }

    /// As [`Acceptor::accept`], under an id that was given out before: a door that is called again for the same message must
    /// not make a second one of it.
    ///
    /// # Errors
    /// As [`Acceptor::accept`].
    pub async fn accept_as(
        &self,
        id: MessageId,
        incoming: Incoming,
        offer: Offer,
    ) -> Result<SpooledMessage, SpoolError> {
        let Offer { envelope, origin, defects, milter } = offer;
        let received_at = self.clock.now();
        let verdict = Verdict::NotAsked;
        let manifest = Manifest { id, received_at, envelope, origin, defects, quiet: self.quiet, verdict, milter };
        // A copy is never refused for what its author's domain says: nobody would send it again.
        let is_copy = manifest.envelope.forward_paths.iter().any(|path| path.recipient.is_copy());
        match &self.judge {
            Some(judge) if !is_copy && judge.is_asked(&manifest.envelope) => {
                let awaiting = incoming.commit_awaiting(manifest.clone()).await?;
                if judge.refuses(&manifest, awaiting.size(), Box::pin(awaiting.read())).await? {
                    awaiting.refuse().await;
                    return Err(SpoolError::Refused);
                }
                awaiting.accept().await
            }
            _ => incoming.commit(manifest).await,
        }
    }
}
