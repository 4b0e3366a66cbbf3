//! Looking at a log that another process may be writing: what `connex messages` does beside a running gateway.
//!
//! It takes no lock and changes nothing. What was committed before it was opened is seen; what is being written
//! meanwhile may be missing, and is no damage.

use std::sync::Arc;

use super::active::Foundry;
use super::files::Files;
use super::options::SpoolOptions;
use super::place::{BodyRef, Position};
use super::recover::{self, Purpose};
use super::shared::Shared;
use super::{SpoolError, StoredMessage, read};
use crate::clock::Clock;
use crate::seal::body::{BodyKeys, DataKeyId};

/// A log, to read only.
#[derive(Debug)]
pub struct LogView {
    shared: Arc<Shared>,
}

impl LogView {
    /// Looks at the log of `options.dir` as it is now. Blocks.
    ///
    /// # Errors
    /// The options are wrong, or the folder cannot be listed.
    pub fn open(options: SpoolOptions, files: Files, keys: Arc<BodyKeys>, clock: Clock) -> Result<Self, SpoolError> {
        options.check()?;
        let mut recovered = recover::survey(&files, &options, Purpose::View)?;
        let log = recovered.log.unwrap_or_default();
        let catalogue = std::mem::take(&mut recovered.catalogue);
        let foundry = Foundry { files, options, clock, log };
        Ok(Self { shared: Arc::new(Shared::new(foundry, keys, catalogue, recovered.end)) })
    }

    /// As [`super::Log::read_after`].
    ///
    /// # Errors
    /// The disk refuses to read.
    pub fn read_after(
        &self,
        after: Position,
        max_records: usize,
        max_bytes: u64,
    ) -> Result<Vec<StoredMessage>, SpoolError> {
        read::read_after(&self.shared, after, max_records, max_bytes.max(1))
    }

    /// As [`super::Log::unknown_key`].
    ///
    /// # Errors
    /// The disk refuses to read.
    pub fn unknown_key(&self) -> Result<Option<DataKeyId>, SpoolError> {
        read::unknown_key(&self.shared)
    }

    /// As [`super::Log::read_body`].
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Erased`], [`SpoolError::UnknownKey`], or the disk's refusal.
    pub fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        read::read_body(&self.shared, body)
    }
}
