//! One message on its way into the database: the session's side.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;

use ring::digest;
use tokio::sync::{mpsc, oneshot};

use super::{BodyRef, Inner, Job, PART, QUEUE_BYTES, SMALL, SpoolError, Waiting};
use crate::mail::envelope::{Manifest, Verdict};
use crate::seal::body::{BodySealer, CHUNK_OVERHEAD};
use crate::spool::SpooledMessage;
use crate::spool::sealing::Owner;
use crate::store::spool::NewAccepted;

/// A body that is arriving; dropping it abandons it.
pub struct Incoming {
    spool: Arc<Inner>,
    buffer: Vec<u8>,
    digest: digest::Context,
    sealer: BodySealer,
    len: u64,
    /// What went before the buffer, once that was full, in sealed parts.
    scratch: Option<File>,
}

impl Incoming {
    pub(super) fn new(spool: Arc<Inner>) -> Self {
        Self {
            spool,
            buffer: Vec::new(),
            digest: digest::Context::new(&digest::SHA256),
            sealer: BodySealer::new(),
            len: 0,
            scratch: None,
        }
    }

    pub(in crate::spool) async fn push(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        while !bytes.is_empty() {
            let room = PART.saturating_sub(self.buffer.len());
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

    /// What was moved to the scratch file.
    #[cfg(test)]
    pub(super) fn scratch_bytes(&mut self) -> Vec<u8> {
        let (mut bytes, file) = (Vec::new(), self.scratch.as_mut().unwrap());
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    pub(in crate::spool) fn len(&self) -> u64 {
        self.len
    }

    pub(in crate::spool) async fn commit(self, manifest: Manifest) -> Result<SpooledMessage, SpoolError> {
        let body = self.store(&manifest).await?;
        Ok(SpooledMessage::new(body.message, body.size))
    }

    /// Stores bytes and manifest where no worker looks.
    pub(in crate::spool) async fn commit_awaiting(self, manifest: Manifest) -> Result<Awaiting, SpoolError> {
        let spool = Arc::clone(&self.spool);
        let body = self.store(&manifest).await?;
        Ok(Awaiting { spool, manifest, body })
    }

    async fn store(mut self, manifest: &Manifest) -> Result<BodyRef, SpoolError> {
        let id = manifest.id;
        // Every door accepts for at least one recipient.
        let tenant = manifest.tenant().ok_or(SpoolError::Options("a message without a recipient cannot be stored"))?;
        let json =
            serde_json::to_string(manifest).map_err(|error| SpoolError::io("write the manifest", error.into()))?;
        if json.len() > MANIFEST_LIMIT {
            return Err(SpoolError::TooLarge { size: json.len() as u64, limit: MANIFEST_LIMIT as u64 });
        }
        let mut sha256 = [0u8; 32];
        let digest = std::mem::replace(&mut self.digest, digest::Context::new(&digest::SHA256)).finish();
        sha256.iter_mut().zip(digest.as_ref()).for_each(|(byte, value)| *byte = *value);
        let size = self.len;
        let is_awaiting = manifest.verdict == Verdict::Awaited;
        let is_small = self.scratch.is_none() && self.buffer.len() <= SMALL;
        // As the rows are cut: an empty body has one when it is small.
        let parts = if is_small { 1 } else { size.div_ceil(PART as u64) };
        let parts = u32::try_from(parts).map_err(|_| SpoolError::TooLarge { size, limit: u64::from(u32::MAX) })?;
        // The last part, and the only one of a small body.
        self.sealer.seal(&mut self.buffer, 0);
        let sealed_key = Owner::of(manifest).seal(&self.spool.keys, &self.sealer, size, &sha256).octets().to_vec();
        let stored = size + u64::from(parts) * CHUNK_OVERHEAD as u64;
        let message = NewAccepted { tenant, id, size, sha256, manifest: json, sealed_key, stored, is_awaiting };
        if is_small {
            self.store_small(message).await?;
        } else {
            self.store_large(message).await?;
        }
        Ok(BodyRef { tenant, message: id, parts, size, sha256 })
    }

    async fn store_small(self, message: NewAccepted) -> Result<(), SpoolError> {
        let bytes = (self.buffer.len() + message.manifest.len()).min(QUEUE_BYTES);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.spool.waiting).acquire_many_owned(bytes).await.map_err(|_| SpoolError::Closed)?;
        let (answer, stored) = oneshot::channel();
        let waiting = Waiting { message, body: self.buffer, answer, _share: share };
        self.spool.jobs.send(Job::Store(Box::new(waiting))).await.map_err(|_| SpoolError::Closed)?;
        stored.await.map_err(|_| SpoolError::Closed)?
    }

    async fn store_large(self, message: NewAccepted) -> Result<(), SpoolError> {
        let Self { spool, buffer, scratch, len, .. } = self;
        let _one_of_few = spool.copies.acquire().await.map_err(|_| SpoolError::Closed)?;
        let (parts, coming) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || hand_over(scratch, buffer, &parts));
        let stored = spool.note(spool.store.accept_in_parts(message, coming).await, 1, len);
        // It has ended: the other end of its channel is gone.
        reading.await.map_err(|_| SpoolError::Closed)?;
        stored
    }

    /// Moves the buffer to the scratch file, sealed: what a disk keeps of that shows nothing either.
    async fn spill(&mut self) -> Result<(), SpoolError> {
        self.sealer.seal(&mut self.buffer, 0);
        let buffer = std::mem::take(&mut self.buffer);
        let (scratch, folder) = (self.scratch.take(), self.spool.scratch.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut file = match scratch {
                Some(file) => file,
                // Without a name: it is gone with its last handle, also after a crash.
                None => tempfile::tempfile_in(folder)?,
            };
            file.write_all(&buffer).map(|()| (file, buffer))
        });
        let (file, mut buffer) = writing
            .await
            .map_err(|_| SpoolError::Closed)?
            .map_err(|error| SpoolError::io("write a scratch file", error))?;
        buffer.clear();
        self.buffer = buffer;
        self.scratch = Some(file);
        Ok(())
    }
}

/// Hands a body over in parts: the scratch file's, then the buffer. Blocks while nobody takes them.
fn hand_over(scratch: Option<File>, buffer: Vec<u8>, parts: &mpsc::Sender<std::io::Result<Vec<u8>>>) {
    let read = |mut file: File| -> std::io::Result<()> {
        file.rewind()?;
        loop {
            let mut part = Vec::with_capacity(PART + CHUNK_OVERHEAD);
            (&mut file).take((PART + CHUNK_OVERHEAD) as u64).read_to_end(&mut part)?;
            // Nobody takes them any more: the transaction has failed.
            if part.is_empty() || parts.blocking_send(Ok(part)).is_err() {
                return Ok(());
            }
        }
    };
    let result = match scratch.map_or(Ok(()), read) {
        Ok(()) => Ok(buffer),
        Err(error) => Err(error),
    };
    let _ = parts.blocking_send(result);
}

/// A body and its manifest, both stored, that no worker sees yet.
#[derive(Debug)]
pub struct Awaiting {
    spool: Arc<Inner>,
    manifest: Manifest,
    body: BodyRef,
}

impl Awaiting {
    pub(in crate::spool) async fn read(&self) -> Result<Vec<u8>, SpoolError> {
        super::read_body(&self.spool.store, &self.spool.keys, &self.body).await
    }

    pub(in crate::spool) const fn size(&self) -> u64 {
        self.body.size
    }

    /// Puts it into the lane of its tenant, in a transaction of its own.
    pub(in crate::spool) async fn accept(self) -> Result<SpooledMessage, SpoolError> {
        let manifest = Manifest { verdict: Verdict::Passed, ..self.manifest };
        let json =
            serde_json::to_string(&manifest).map_err(|error| SpoolError::io("write the manifest", error.into()))?;
        let BodyRef { tenant, message, size, .. } = self.body;
        self.spool.note(self.spool.store.accept_awaiting(tenant, message, json).await, 1, 0)?;
        Ok(SpooledMessage::new(message, size))
    }

    pub(in crate::spool) async fn refuse(self) {
        if let Err(error) = self.spool.store.discard_awaiting(self.body.tenant, self.body.message).await {
            tracing::warn!(error.kind = "spool", "A refused message stays in the database, unread: {error}");
        }
    }
}

/// Never shows the body.
impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Incoming").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Octets of a manifest as JSON, as in the log.
const MANIFEST_LIMIT: usize = 4 << 20;
