//! What ties a sealed body to its message: the same for both spools.

use crate::ids::{MessageId, TenantId};
use crate::mail::envelope::Manifest;
use crate::seal::body::{BodyError, BodyKeys, BodyOpener, BodySealer, SealedKey};
use crate::spool::SpoolError;

/// A message whose body is sealed: the envelope opens for this one alone, with this size and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// Whose message; none where it has no recipient, or that of nobody (zero).
    pub(super) tenant: Option<TenantId>,
    /// The message.
    pub(super) message: MessageId,
}

impl Owner {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self { tenant: manifest.tenant().filter(|tenant| tenant.as_bits() != 0), message: manifest.id }
    }

    /// Seals a body's key for the body of this message.
    pub(super) fn seal(self, keys: &BodyKeys, sealer: &BodySealer, size: u64, sha256: &[u8; 32]) -> SealedKey {
        keys.seal(sealer, &self.description(size, sha256))
    }

    /// Opens the key of the body of this message.
    pub(super) fn open(
        self,
        keys: &BodyKeys,
        key: &SealedKey,
        size: u64,
        sha256: &[u8; 32],
    ) -> Result<BodyOpener, BodyError> {
        keys.open(key, &self.description(size, sha256))
    }

    fn description(self, size: u64, sha256: &[u8; 32]) -> [u8; DESCRIPTION] {
        let mut bytes = [0u8; DESCRIPTION];
        let fields = self.octets().into_iter().chain(size.to_le_bytes()).chain(*sha256);
        bytes.iter_mut().zip(fields).for_each(|(place, value)| *place = value);
        bytes
    }

    /// As it is stored: tenant, or zeros, and message.
    pub(super) fn octets(self) -> [u8; OWNER] {
        let mut bytes = [0u8; OWNER];
        let tenant = self.tenant.map_or(0, TenantId::as_bits).to_be_bytes();
        let fields = tenant.into_iter().chain(self.message.as_bits().to_be_bytes());
        bytes.iter_mut().zip(fields).for_each(|(place, value)| *place = value);
        bytes
    }

    /// As it was stored.
    pub(super) fn from_octets(bytes: &[u8; OWNER]) -> Option<Self> {
        let (tenant, message) = bytes.split_first_chunk::<16>()?;
        let tenant = Some(u128::from_be_bytes(*tenant)).filter(|bits| *bits != 0).map(TenantId::from_bits);
        Some(Self { tenant, message: MessageId::from_bits(u128::from_be_bytes(*message.first_chunk()?)) })
    }
}

/// What is wrong with a body that does not open, where `altered` says that it is not what was stored.
pub(super) fn failure(error: BodyError, altered: SpoolError) -> SpoolError {
    match error {
        BodyError::UnknownKey(key) => SpoolError::UnknownKey(key),
        BodyError::Altered => altered,
    }
}

/// Octets of an owner.
pub(super) const OWNER: usize = 32;
/// Octets of what an envelope is bound to.
const DESCRIPTION: usize = OWNER + 8 + 32;
