//! What a version is written from, and what becomes of it when somebody edits one thing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DraftContent, DraftEdit, DraftRequest, fault};
use crate::ids::EventId;
use crate::mail::compose::File;
use crate::mail::submitted::Entity;
use crate::service::ServiceError;
use crate::store::directory::MailboxRow;

/// Kept with a version, so that an edit can change one part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Parts {
    pub(super) name: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) to: Vec<String>,
    pub(super) cc: Vec<String>,
    pub(super) bcc: Vec<String>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    pub(super) files: Vec<DraftFile>,
    pub(super) answers: Option<EventId>,
    /// The Message-ID of a message of one's own that it follows, where it answers none.
    pub(super) follows: Option<String>,
    /// Whether its body came as a whole, by submission; text, HTML and files above are what is read out of it.
    pub(super) is_submitted: bool,
    /// Whether it says of itself that a machine wrote it.
    pub(super) is_automatic: bool,
    /// Set when the version is written.
    pub(super) message_id: String,
}

/// A file that goes along with a draft.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DraftFile {
    /// Its id: what an edit names to keep it.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its octets.
    pub size: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The body of a version.
pub(super) enum Body {
    /// Of text, HTML and these files.
    Written(Vec<File>),
    /// As it came.
    Submitted(Entity),
}

/// All of which a version is made.
pub(super) struct Writing {
    pub(super) parts: Parts,
    pub(super) body: Body,
}

impl Parts {
    pub(super) fn of_request(request: DraftRequest) -> Result<(Self, Vec<String>), ServiceError> {
        let answers = request.answers.map(|text| text.parse().map_err(|_| fault("/answers", "is no id of an event")));
        let parts = Self {
            name: request.name,
            to: request.to,
            cc: request.cc,
            bcc: request.bcc,
            subject: request.subject,
            text: request.text,
            html: request.html,
            answers: answers.transpose()?,
            ..Self::default()
        };
        Ok((parts, request.attachments))
    }

    pub(super) fn edited(self, edit: DraftEdit) -> Self {
        let is_rewritten = edit.rewrites_body();
        // The HTML of a body that came as a whole says what its old text says.
        let html = if self.is_submitted && is_rewritten { edit.html } else { edit.html.or(self.html) };
        Self {
            name: edit.name.or(self.name),
            to: edit.to.unwrap_or(self.to),
            cc: edit.cc.unwrap_or(self.cc),
            bcc: edit.bcc.unwrap_or(self.bcc),
            subject: edit.subject.unwrap_or(self.subject),
            text: edit.text.unwrap_or(self.text),
            html,
            is_submitted: self.is_submitted && !is_rewritten,
            message_id: String::new(),
            ..self
        }
    }

    pub(super) fn shown(self, mailbox: &MailboxRow) -> DraftContent {
        let from = match &self.name {
            Some(name) => format!("{name} <{}>", mailbox.address),
            None => mailbox.address.clone(),
        };
        DraftContent {
            from,
            reply_to: self.reply_to,
            to: self.to,
            cc: self.cc,
            bcc: self.bcc,
            subject: self.subject,
            text: self.text,
            html: self.html,
            attachments: self.files,
            message_id: self.message_id,
        }
    }
}

impl DraftEdit {
    /// Whether it changes more than the header.
    pub(super) const fn rewrites_body(&self) -> bool {
        self.text.is_some() || self.html.is_some() || self.attachments.is_some()
    }
}
