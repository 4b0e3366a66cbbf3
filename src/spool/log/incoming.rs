//! One message on its way into the log: the session's side of the accept path.
//!
//! Digest, seal and checksums are made here, so that the writer only writes. A body keeps at most one chunk in memory, and
//! one more while that is handed over; what waits for the writer is bounded over all sessions.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::append::{self, Append};
use super::place::{BodyRef, Extent, Position, Sealed};
use super::writer::{Answer, Job, Waiting};
use super::{Inner, SpoolError, read};
use crate::mail::envelope::{Manifest, Verdict};
use crate::seal::body::{BodySealer, CHUNK_OVERHEAD};
use crate::spool::SpooledMessage;
use crate::spool::sealing::Owner;

/// A body that is arriving; dropping it abandons what was written of it.
pub struct Incoming {
    spool: Arc<Inner>,
    buffer: Vec<u8>,
    digest: digest::Context,
    sealer: BodySealer,
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
            sealer: BodySealer::new(),
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
        if append::filled(&self.buffer) > 0 {
            self.sealer.seal(&mut self.buffer, append::START);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let (spool, body) = self.finish(&manifest);
        let position = write_commit(&spool, buffer, &body, &manifest).await?;
        Ok((SpooledMessage::new(manifest.id, body.size), position))
    }

    /// Writes a COMMIT that nobody reads, behind all bytes of the body, and returns when both are on stable storage.
    ///
    /// # Errors
    /// As [`Incoming::commit`].
    pub(in crate::spool) async fn commit_awaiting(mut self, manifest: Manifest) -> Result<Awaiting, SpoolError> {
        // Where the last chunk is must be known: the second COMMIT names it too.
        if append::filled(&self.buffer) > 0 {
            self.spill().await?;
        }
        self.settle().await?;
        let (spool, body) = self.finish(&manifest);
        write_commit(&spool, append::buffer(0), &body, &manifest).await?;
        Ok(Awaiting { spool, manifest, body })
    }

    /// What the COMMIT says of the body.
    fn finish(self, manifest: &Manifest) -> (Arc<Inner>, BodyRef) {
        let Self { spool, digest, sealer, len: size, extents, .. } = self;
        let mut sha256 = [0u8; 32];
        sha256.iter_mut().zip(digest.finish().as_ref()).for_each(|(byte, value)| *byte = *value);
        let owner = Owner::of(manifest);
        let key = owner.seal(&spool.shared.keys, &sealer, size, &sha256);
        let sealed = Some(Sealed { tenant: owner.tenant, message: owner.message, key });
        (spool, BodyRef { extents, size, sha256, sealed })
    }

    /// Hands the buffer to the writer as a chunk.
    async fn spill(&mut self) -> Result<(), SpoolError> {
        self.settle().await?;
        let share = share(&self.spool, self.buffer.len() + CHUNK_OVERHEAD).await?;
        let empty = append::buffer(self.spool.shared.options().chunk_bytes + CHUNK_OVERHEAD);
        self.sealer.seal(&mut self.buffer, append::START);
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

/// A body and its manifest, both flushed, that no reader sees yet.
#[derive(Debug)]
pub struct Awaiting {
    spool: Arc<Inner>,
    manifest: Manifest,
    body: BodyRef,
}

impl Awaiting {
    pub(in crate::spool) async fn read(&self) -> Result<Vec<u8>, SpoolError> {
        let (spool, body) = (Arc::clone(&self.spool), self.body.clone());
        let read = tokio::task::spawn_blocking(move || read::read_body(&spool.shared, &body));
        read.await.map_err(|_| SpoolError::Closed)?
    }

    pub(in crate::spool) const fn size(&self) -> u64 {
        self.body.size
    }

    /// A second COMMIT over the same chunks, which readers see.
    pub(in crate::spool) async fn accept(self) -> Result<SpooledMessage, SpoolError> {
        let manifest = Manifest { verdict: Verdict::Passed, ..self.manifest };
        write_commit(&self.spool, append::buffer(0), &self.body, &manifest).await?;
        Ok(SpooledMessage::new(manifest.id, self.body.size))
    }
}

/// Writes the last chunk, where `buffer` holds one, and the COMMIT of `body`; returns the place behind it, flushed.
async fn write_commit(
    spool: &Inner,
    buffer: Vec<u8>,
    body: &BodyRef,
    manifest: &Manifest,
) -> Result<Position, SpoolError> {
    let json = serde_json::to_vec(manifest).map_err(|error| SpoolError::io("write the manifest", error.into()))?;
    let append = Append::commit(buffer, body, &json)?;
    let (size, limit) = (append.bytes().len() as u64, spool.shared.options().capacity());
    if size > limit {
        return Err(SpoolError::TooLarge { size, limit });
    }
    let share = share(spool, append.bytes().len()).await?;
    let (answer, stored) = oneshot::channel();
    spool.send(Job::Append(Box::new(Waiting { append, answer: Answer::Commit(answer), share })))?;
    spool.shared.unless_stalled(stored).await?.map_err(|_| SpoolError::Closed)?
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
