//! The verdict before the answer: mail that fails DMARC is refused where every recipient asks for that.
//!
//! It may only refuse what its author's domain disowns. Whatever cannot be found out in time, or at all, is accepted and
//! looked at again behind the spool, as is mail of which one recipient would take it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::recipients::Recipients;
use crate::intake::{Bytes, Judge};
use crate::mail::authentication::FailurePolicy;
use crate::mail::envelope::{Envelope, Manifest, Recipient};
use crate::mail::message::{self, Limits};
use crate::mailauth::Authenticator;
use crate::spool::SpoolError;

/// Octets of messages that are judged at the same time, in units of [`UNIT`].
const ROOM: u32 = 256;
const UNIT: u64 = 1 << 20;

/// Judges by DMARC.
#[derive(Debug, Clone)]
pub struct Verdicts {
    recipients: Arc<Recipients>,
    authenticator: Authenticator,
    limits: Limits,
    room: Arc<Semaphore>,
}

impl Verdicts {
    /// Judges for the recipients that `recipients` knows to refuse.
    #[must_use]
    pub fn new(recipients: Arc<Recipients>, authenticator: Authenticator, limits: Limits) -> Self {
        let room = Semaphore::new(usize::try_from(ROOM).unwrap_or(usize::MAX));
        Self { recipients, authenticator, limits, room: Arc::new(room) }
    }

    async fn refuses_bytes(&self, manifest: &Manifest, bytes: Bytes<'_>, size: u64) -> Result<bool, SpoolError> {
        let units = u32::try_from(size / UNIT).unwrap_or(u32::MAX).saturating_add(1).min(ROOM);
        let _room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| SpoolError::Closed)?;
        let bytes = bytes.await?;
        let (authenticator, limits, manifest) = (self.authenticator.clone(), self.limits, manifest.clone());
        let runtime = Handle::current();
        // Digests of a large body take long; the sessions' own threads must not wait for them.
        let judged = tokio::task::spawn_blocking(move || {
            let view = message::read(&bytes, &limits);
            runtime.block_on(authenticator.check(&bytes, &view, &manifest))
        });
        // A fault of ours is no reason to refuse.
        Ok(judged.await.is_ok_and(|found| FailurePolicy::Reject.refuses(&found)))
    }
}

impl Judge for Verdicts {
    fn is_asked(&self, envelope: &Envelope) -> bool {
        !envelope.forward_paths.is_empty()
            && envelope.forward_paths.iter().all(|path| match path.recipient {
                Recipient::Mailbox { mailbox, .. } => self.recipients.refuses_failures(mailbox),
                Recipient::Route { .. } => false,
            })
    }

    fn refuses<'a>(
        &'a self,
        manifest: &'a Manifest,
        size: u64,
        bytes: Bytes<'a>,
    ) -> BoxFuture<'a, Result<bool, SpoolError>> {
        self.refuses_bytes(manifest, bytes, size).boxed()
    }
}
