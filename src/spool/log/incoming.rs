//! One message on its way into the log: the session's side of the accept path.
//!
//! Checksums and the digest are made here, so that the writer only writes. A body keeps at most one chunk in memory, and
//! one more while that is handed over; what waits for the writer is bounded over all sessions.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::append::{self, Append};
use super::place::{Extent, Position};
use super::writer::{Answer, Job, Waiting};
use super::{Inner, SpoolError};
use crate::mail::envelope::Manifest;
use crate::spool::SpooledMessage;

/// A body that is arriving; dropping it abandons what was written of it.
pub struct Incoming {
    spool: Arc<Inner>,
    buffer: Vec<u8>,
    digest: digest::Context,
    len: u64,
    extents: Vec<Extent>,
    written: Option<oneshot::Receiver<Result<Extent, SpoolError>>>,
}

impl Incoming {
    pub(super) fn new(spool: Arc<Inner>) -> Self {
        Self {
            spool,
            buffer: append::buffer(0),
            digest: digest::Context::new(&digest::SHA256),
            len: 0,
            extents: Vec::new(),
            written: None,
        }
    }

    /// Takes the next bytes of the body; waits while too many bytes wait for the writer.
    ///
    /// # Errors
    /// The log takes no bytes now. The body cannot be committed any more: begin it again, from its first byte.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        while !bytes.is_empty() {
            let room = self.spool.shared.options().chunk_bytes.saturating_sub(append::filled(&self.buffer));
            // A full chunk stays until more comes: the last chunk of a body is always written together with its COMMIT.
            if room == 0 {
                self.spill().await?;
                continue;
            }
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.digest.update(now);
            self.len += now.len() as u64;
            bytes = rest;
        }
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

    /// Writes the COMMIT and returns when it and all bytes before it are on stable storage; also the place behind it.
    ///
    /// When the caller stops waiting, the message may be stored all the same, as with a connection that breaks before the
    /// reply.
    ///
    /// # Errors
    /// The message is not stored; all errors but [`SpoolError::TooLarge`] are temporary.
    pub(in crate::spool) async fn commit(
        mut self,
        manifest: Manifest,
    ) -> Result<(SpooledMessage, Position), SpoolError> {
        self.settle().await?;
        let json = serde_json::to_vec(&manifest).map_err(|error| SpoolError::io("write the manifest", error.into()))?;
        let mut sha256 = [0u8; 32];
        let digest = self.digest.finish();
        sha256.iter_mut().zip(digest.as_ref()).for_each(|(byte, value)| *byte = *value);
        let append = Append::commit(self.buffer, self.extents, self.len, &sha256, &json)?;
        let (size, limit) = (append.bytes().len() as u64, self.spool.shared.options().capacity());
        if size > limit {
            return Err(SpoolError::TooLarge { size, limit });
        }
        let share = share(&self.spool, append.bytes().len()).await?;
        let (answer, stored) = oneshot::channel();
        self.spool.send(Job::Append(Box::new(Waiting { append, answer: Answer::Commit(answer), share })))?;
        let stored = self.spool.shared.unless_stalled(stored).await?;
        let position = stored.map_err(|_| SpoolError::Closed)??;
        Ok((SpooledMessage::new(manifest.id, self.len), position))
    }

    /// Hands the buffer to the writer as a chunk.
    async fn spill(&mut self) -> Result<(), SpoolError> {
        self.settle().await?;
        let share = share(&self.spool, self.buffer.len()).await?;
        let empty = append::buffer(self.spool.shared.options().chunk_bytes);
        let append = Append::chunk(std::mem::replace(&mut self.buffer, empty));
        let (answer, written) = oneshot::channel();
        self.spool.send(Job::Append(Box::new(Waiting { append, answer: Answer::Chunk(answer), share })))?;
        self.written = Some(written);
        Ok(())
    }

    /// Waits for the chunk that was handed over last; it stays pending where the caller stops waiting.
    async fn settle(&mut self) -> Result<(), SpoolError> {
        if let Some(written) = &mut self.written {
            let extent = self.spool.shared.unless_stalled(written).await?.map_err(|_| SpoolError::Closed)?;
            self.written = None;
            match extent {
                Ok(extent) => self.extents.push(extent),
                Err(error) => {
                    // A body with a hole can never be committed: every later call fails here.
                    let (_, gone) = oneshot::channel();
                    self.written = Some(gone);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Never shows the body.
impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Incoming").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Waits for room in the queue, as long as the disk answers.
async fn share(spool: &Inner, bytes: usize) -> Result<OwnedSemaphorePermit, SpoolError> {
    // An append larger than the queue waits for all of it.
    let bytes = bytes.min(spool.shared.options().queue_bytes);
    let count = u32::try_from(bytes).unwrap_or(u32::MAX);
    let room = Arc::clone(&spool.shared.queue).acquire_many_owned(count);
    spool.shared.unless_stalled(room).await?.map_err(|_| SpoolError::Closed)
}
