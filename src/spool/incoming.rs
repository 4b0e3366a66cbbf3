//! One message on its way into the log.

use super::SpoolError;
use super::place::Position;
use crate::ids::MessageId;
use crate::mail::envelope::Manifest;

/// A body that is arriving; dropping it abandons what was written of it.
#[derive(Debug)]
pub struct Incoming {
    pub(super) len: u64,
}

impl Incoming {
    /// Takes the next bytes of the body; waits while too many bytes wait for the writer.
    ///
    /// # Errors
    /// The log takes no bytes now; the body cannot be committed any more.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no byte was taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the COMMIT and returns when it and all bytes before it are on stable storage.
    ///
    /// # Errors
    /// The message is not stored; all errors but [`SpoolError::TooLarge`] are temporary.
    #[expect(clippy::unused_async, clippy::needless_pass_by_value, reason = "skeleton")]
    pub async fn commit(self, manifest: Manifest) -> Result<SpooledMessage, SpoolError> {
        let _ = manifest;
        Err(SpoolError::Closed)
    }
}

/// Proof that a message is on stable storage. Only the spool makes it; only it can become a `250` reply.
#[derive(Debug)]
#[must_use]
pub struct SpooledMessage {
    id: MessageId,
    size: u64,
    position: Position,
}

impl SpooledMessage {
    /// The message.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// Bytes of its body.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The place just behind its COMMIT.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}
