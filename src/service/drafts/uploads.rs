//! Files that are uploaded for drafts: named and typed as they will be in mail, sealed while they wait.
//!
//! A draft that names one has its octets in its version from then on; the upload itself is gone after a day, used or not.
//!
//! # Security
//! A name has no folder, no control character and nothing that changes the direction of writing; a type is a plain
//! `type/subtype` that has no parts of its own. What the octets really are is not believed by anybody here.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::parts::DraftFile;
use super::{conflict, fault};
use crate::ids::UploadId;
use crate::seal::body::{BodyKeys, BodySealer, SealedKey};
use crate::service::evaluate::sha256;
use crate::service::keys::{Authenticated, DraftsWrite};
use crate::service::{Service, ServiceError};
use crate::store::TenantStore;
use crate::store::uploads::{NewUpload, UploadRoom};

/// Octets of one upload.
pub const UPLOAD: usize = 10 << 20;
/// How long one waits.
const WAITS: Duration = Duration::from_hours(24);
/// What may wait of one tenant.
const ROOM: UploadRoom = UploadRoom { files: 1_000, octets: 500 << 20 };
/// Uploads that are taken in at the same time.
const AT_ONCE: usize = 16;

/// What uploads need.
#[derive(Clone)]
pub struct UploadDesk {
    keys: Arc<BodyKeys>,
    room: Arc<Semaphore>,
}

impl UploadDesk {
    /// Sealed with `keys` while they wait.
    #[must_use]
    pub fn new(keys: Arc<BodyKeys>) -> Self {
        Self { keys, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// A file that waits to go along with a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    /// Its id: what drafts name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its octets.
    pub size: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
    /// From then on it is gone, RFC 3339.
    pub expires_at: String,
}

/// What an upload is called, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadName {
    name: String,
    media_type: String,
}

impl UploadName {
    /// # Errors
    /// [`ServiceError::Invalid`] says which of the two is none.
    pub fn new(name: &str, media_type: &str) -> Result<Self, ServiceError> {
        if !is_name(name) {
            let allowed = "must be a file name: 1 to 200 characters without folders, controls and marks of direction";
            return Err(fault("?name", allowed));
        }
        let media_type = media_type.trim().to_ascii_lowercase();
        if !is_media_type(&media_type) {
            return Err(fault(
                "",
                "needs `content-type: type/subtype` without parameters, of a file and not of a message",
            ));
        }
        Ok(Self { name: name.to_owned(), media_type })
    }
}

impl Service {
    /// Room to take one upload in; `None` while there is none.
    #[must_use]
    pub fn begin_upload(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.drafts.uploads.room).try_acquire_owned().ok()
    }

    /// Keeps a file for a day.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for an empty one; [`ServiceError::Conflict`] where too many wait.
    pub async fn upload(
        &self,
        UploadName { name, media_type }: UploadName,
        bytes: Vec<u8>,
        caller: &Authenticated<DraftsWrite>,
    ) -> Result<UploadView, ServiceError> {
        if bytes.is_empty() || bytes.len() > UPLOAD {
            return Err(fault("", format!("must have 1 to {UPLOAD} octets")));
        }
        let id: UploadId = self.clock().mint();
        let expires_at = self.clock().now().plus(WAITS);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let digest: String = sha256(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let (mut sealer, mut content) = (BodySealer::new(), bytes);
        let sealed_key = self.drafts.uploads.keys.seal(&sealer, id.to_string().as_bytes()).octets().to_vec();
        sealer.seal(&mut content, 0);
        let new = NewUpload {
            id,
            key: caller.principal().key_id(),
            name: name.clone(),
            media_type: media_type.clone(),
            size,
            sha256: digest.clone(),
            sealed_key,
            content,
            expires_at,
        };
        let tenant = self.store.for_tenant(caller.principal().tenant());
        tenant.add_upload(new, ROOM).await.map_err(conflict)?;
        Ok(UploadView {
            id: id.to_string(),
            name,
            content_type: media_type,
            size,
            sha256: digest,
            expires_at: expires_at.to_string(),
        })
    }

    /// A file that waits, with its octets; `None` where there is none of this id.
    pub(super) async fn uploaded(
        &self,
        tenant: &TenantStore,
        id: &str,
    ) -> Result<Option<(DraftFile, Vec<u8>)>, ServiceError> {
        let Ok(id) = id.parse::<UploadId>() else { return Ok(None) };
        let Some(row) = tenant.upload(id).await? else { return Ok(None) };
        let unopened = || ServiceError::Internal("an upload cannot be opened".into());
        let sealed = SealedKey::from_octets(&row.sealed_key).ok_or_else(unopened)?;
        self.drafts.uploads.keys.look_up(sealed.data_key()).await;
        let opener = self
            .drafts
            .uploads
            .keys
            .open(&sealed, id.to_string().as_bytes())
            .map_err(|error| ServiceError::Internal(error.into()))?;
        let bytes = opener.open(0, row.content).map_err(|error| ServiceError::Internal(error.into()))?;
        let told = DraftFile {
            id: id.to_string(),
            name: row.name,
            content_type: row.media_type,
            size: row.size,
            sha256: row.sha256,
        };
        Ok(Some((told, bytes)))
    }
}

fn is_name(name: &str) -> bool {
    let is_misleading = |letter: char| {
        letter.is_control()
            || matches!(letter, '/' | '\\')
            || matches!(u32::from(letter), 0x061C | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF)
    };
    (1..=200).contains(&name.chars().count())
        && name.trim() == name
        && !matches!(name, "." | "..")
        && !name.contains(is_misleading)
}

/// RFC 2045 §5.1 without parameters; multipart and message have content of their own, which nobody would look into.
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        (1..=127).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype) && !matches!(kind, "multipart" | "message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_of_files_are_plain() {
        for name in ["loi.pdf", "Gr\u{fc}\u{df}e 2.txt", "a"] {
            assert!(UploadName::new(name, "Application/PDF").is_ok(), "{name}");
        }
        let long = "x".repeat(201);
        for name in ["", " a", "a ", "..", "../a", "a\\b", "a\r\nBcc: x", "fdp.\u{202e}exe", "a\0", &long] {
            assert!(UploadName::new(name, "application/pdf").is_err(), "{name:?}");
        }
        for media in
            ["", "pdf", "a/b/c", "text/plain; charset=x", "a /b", "multipart/mixed", "message/rfc822", "a/b\r\nX: y"]
        {
            assert!(UploadName::new("a", media).is_err(), "{media:?}");
        }
    }
}
