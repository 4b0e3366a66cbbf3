//! What goes along with a draft: uploads that a request names, and attachments that the version before has.

use super::parts::{Body, DraftFile, Parts};
use super::{DraftEdit, fault};
use crate::mail::compose::File;
use crate::mail::message::{self, Attachment, Limits};
use crate::mail::submitted::Entity;
use crate::service::{Service, ServiceError};
use crate::store::TenantStore;

/// Files of one draft.
const FILES: usize = 20;
/// Octets of all files of one draft.
const OCTETS: u64 = 20 << 20;

impl Service {
    /// The uploads of a new draft, and a body that has them.
    pub(super) async fn attach(
        &self,
        tenant: &TenantStore,
        uploads: &[String],
    ) -> Result<(Vec<DraftFile>, Body), ServiceError> {
        let mut picked = Picked::default();
        for (place, id) in uploads.iter().enumerate() {
            picked.add(place, self.uploaded(tenant, id).await?)?;
        }
        Ok((picked.told, Body::Written(picked.files)))
    }

    /// The files of a version after an edit, and its body: one that came as a whole stays so where nothing of it is changed.
    pub(super) async fn body_after(
        &self,
        tenant: &TenantStore,
        (parts, message): (&Parts, &[u8]),
        edit: &DraftEdit,
    ) -> Result<(Vec<DraftFile>, Body), ServiceError> {
        if parts.is_submitted && !edit.rewrites_body() {
            let lost = || ServiceError::Internal("a stored version has no header".into());
            return Ok((parts.files.clone(), Body::Submitted(Entity::of(message).ok_or_else(lost)?)));
        }
        let kept: Vec<String> = match &edit.attachments {
            Some(ids) => ids.clone(),
            None => parts.files.iter().map(|file| file.id.clone()).collect(),
        };
        let mut picked = Picked::default();
        for (place, id) in kept.iter().enumerate() {
            let found = match parts.files.iter().position(|file| file.id == *id) {
                Some(before) => parts.files.get(before).cloned().zip(octets(message, before)),
                None => self.uploaded(tenant, id).await?,
            };
            picked.add(place, found)?;
        }
        Ok((picked.told, Body::Written(picked.files)))
    }
}

/// Files that were found, within the bounds of one draft.
#[derive(Default)]
struct Picked {
    told: Vec<DraftFile>,
    files: Vec<File>,
    octets: u64,
}

impl Picked {
    fn add(&mut self, place: usize, found: Option<(DraftFile, Vec<u8>)>) -> Result<(), ServiceError> {
        let pointer = format!("/attachments/{place}");
        let (told, bytes) = found.ok_or_else(|| {
            fault(&pointer, "is no upload that waits here (they are kept for 24 hours), nor an attachment of the draft")
        })?;
        self.octets = self.octets.saturating_add(told.size);
        if self.files.len() >= FILES || self.octets > OCTETS {
            return Err(fault(&pointer, format!("is too much: at most {FILES} files of together {OCTETS} octets")));
        }
        if self.told.iter().any(|other| other.id == told.id) {
            return Err(fault(&pointer, "is there twice"));
        }
        self.files.push(File { name: told.name.clone(), media_type: told.content_type.clone(), bytes });
        self.told.push(told);
        Ok(())
    }
}

/// The octets of the file of this place in a version's message; what Outlook wraps inside of another is no file of its own.
fn octets(message: &[u8], place: usize) -> Option<Vec<u8>> {
    let limits = Limits::default();
    let read = message::read(message, &limits);
    let own = read.attachments.iter().filter(|file| file.within.is_none()).nth(place)?;
    message::attachment(message, own.index, &limits)
}

/// How a file of a submitted body is told.
pub(super) fn told((place, file): (usize, &Attachment)) -> DraftFile {
    DraftFile {
        id: format!("part-{}", place + 1),
        name: file.filename.clone(),
        content_type: file.content_type.clone(),
        size: file.size,
        sha256: file.sha256.clone(),
    }
}
