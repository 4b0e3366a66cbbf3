//! The only place that makes a sendable message.
//!
//! `Draft` → [`ApprovedDraft`] → [`ReleasableMessage`], and after a restart [`readmit`]: two doors that share one private
//! `mint`, which asks every rule again, the owner first. Beside them [`system_notice`] lets out what the gateway itself has
//! to tell its people: words of [`super::notice`] alone, as a [`ReleasableNotice`], which is no draft's. Private fields can be seen by child modules, so this file has
//! none but its tests.
//!
//! It must never make a [`ReleasableMessage`] from stored data alone, for an identity that the source app owns, or for
//! bytes other than those that were approved. Neither [`ApprovedDraft`] nor [`ReleasableMessage`] nor
//! [`ReleasableNotice`] can be cloned, defaulted or read from data; all are spent by value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::approval::{Actor, Approval, Evidence};
use super::facts::Facts;
use super::lifecycle::TransmissionState;
use super::notice::{Notice, NoticeFacts, NoticeRefused};
use super::ownership::IdentityOwner;
use super::rules::{Case, Occasion, counts};
use super::verdict::{Ruling, Verdict};
use super::version::{Content, ContentHash, Version};
use crate::clock::Timestamp;
use crate::ids::{DraftId, MailboxId, NoticeId, ReleaseId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::compose::{Named, NewMessage, Writer, compose};

/// Proposed content; can be edited, and cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    version: Version,
}

impl Draft {
    /// A draft in its present version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self { version }
    }

    /// The present version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Replaces the content: the editor becomes the author, and approvals of the former content count no more.
    pub fn edit(&mut self, editor: Actor, content: Content) {
        self.version.author = editor;
        self.version.content = content;
    }

    /// Takes a person's yes to exactly this content.
    ///
    /// # Errors
    /// [`NotApproved`] when the yes was to something else. Whether it counts otherwise is judged at the release.
    pub fn approve(self, approval: &Approval) -> Result<ApprovedDraft, NotApproved> {
        if approval.tenant != self.version.tenant || approval.draft != self.version.draft {
            return Err(NotApproved::AnotherDraft);
        }
        let hash = self.version.content.hash();
        if approval.content_hash != hash {
            return Err(NotApproved::ContentChanged);
        }
        Ok(ApprovedDraft { version: self.version, hash, evidence: Evidence::Person { approval: approval.id } })
    }

    /// Lets policy speak in place of a person; [`ApprovedDraft::release`] judges whether it may.
    #[must_use]
    pub fn approve_by_policy(self, policy_version: &str) -> ApprovedDraft {
        let hash = self.version.content.hash();
        ApprovedDraft { version: self.version, hash, evidence: Evidence::Policy { version: policy_version.to_owned() } }
    }
}

/// Why an approval is not one of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// Of another tenant or another draft.
    #[error("the approval is of another draft")]
    AnotherDraft,
    /// Of content that the draft has no more (409 `content_changed`).
    #[error("the content changed since it was approved")]
    ContentChanged,
}

/// A draft whose present content somebody said yes to; it is still not sendable.
#[derive(Debug)]
pub struct ApprovedDraft {
    version: Version,
    hash: ContentHash,
    evidence: Evidence,
}

impl ApprovedDraft {
    /// The content that was approved.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.hash
    }

    /// Asks every rule and, when all are content, releases the message. The row is to be stored before anything is sent.
    ///
    /// # Errors
    /// [`Refused`] with every reason.
    pub fn release(
        self,
        terms: ReleaseTerms,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<(ReleasableMessage, ReleaseRow), Refused> {
        if now >= terms.expires_at {
            return Err(Refused::Expired);
        }
        let owner = facts.identity.known().map_or(IdentityOwner::SourceApp, super::ownership::Identity::owner);
        let row = ReleaseRow {
            id: terms.id,
            draft: self.version.draft,
            tenant: self.version.tenant,
            mailbox: self.version.mailbox,
            content_hash: self.hash,
            evidence: self.evidence.clone(),
            policy_version: facts.policy.known().map(|policy| policy.version.clone()).unwrap_or_default(),
            owner,
            released_at: now,
            expires_at: terms.expires_at,
            transmissions: Transmission::all_pending(&self.version.content),
        };
        let message = mint(self, &row, facts, now)?;
        Ok((message, row))
    }
}

/// What a release is given from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseTerms {
    /// Its id.
    pub id: ReleaseId,
    /// From this moment on nothing more is sent under it.
    pub expires_at: Timestamp,
}

/// Permission to send exactly these bytes to exactly these recipients, once. Spent by [`ReleasableMessage::into_wire`].
#[must_use]
pub struct ReleasableMessage {
    release: ReleaseId,
    tenant: TenantId,
    hash: ContentHash,
    owner: IdentityOwner,
    content: Content,
    remaining: Vec<Mailbox>,
    admission: Admission,
}

impl ReleasableMessage {
    /// The release.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }

    /// The content that was released.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.hash
    }

    /// What is to be recorded before anything of it is sent.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Spends the permission: what goes onto the wire now.
    #[must_use]
    pub fn into_wire(self) -> WireParts {
        WireParts {
            release: self.release,
            tenant: self.tenant,
            content_hash: self.hash,
            owner: self.owner,
            reverse_path: self.content.reverse_path().clone(),
            recipients: self.remaining,
            bytes: self.content.bytes().clone(),
        }
    }
}

/// Ids only: neither addresses nor text belong in a log.
impl fmt::Debug for ReleasableMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReleasableMessage").field("release", &self.release).finish_non_exhaustive()
    }
}

/// What the gate said as it let a message out, for the audit log. By itself no permission; made by the gate alone, so that
/// nothing else is put on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    content_hash: ContentHash,
    ruling: &'static str,
    reasons: Vec<&'static str>,
    /// The version of the tenant's settings by which it judged.
    policy: String,
}

#[cfg(test)]
impl Admission {
    /// The same for tests of what records it.
    pub(crate) fn of_test(content_hash: ContentHash) -> Self {
        Self { content_hash, ruling: Ruling::Release.as_str(), reasons: Vec::new(), policy: "v7".to_owned() }
    }
}

/// What the sender puts onto the wire.
pub struct WireParts {
    /// The release under which it goes.
    pub release: ReleaseId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The content that was released.
    pub content_hash: ContentHash,
    /// Who owns the identity; says which DKIM key signs.
    pub owner: IdentityOwner,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The recipients that are still to get it.
    pub recipients: Vec<Mailbox>,
    /// The unsigned message.
    pub bytes: bytes::Bytes,
}

/// Ids only: neither addresses nor text belong in a log.
impl fmt::Debug for WireParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WireParts").field("release", &self.release).finish_non_exhaustive()
    }
}

/// A release as it is stored: data, and by itself no permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// Its id.
    pub id: ReleaseId,
    /// The draft.
    pub draft: DraftId,
    /// Whose draft it is.
    pub tenant: TenantId,
    /// The mailbox as which it is sent.
    pub mailbox: MailboxId,
    /// The content that was released.
    pub content_hash: ContentHash,
    /// Why it was released.
    pub evidence: Evidence,
    /// The version of the tenant's settings by which it was released.
    pub policy_version: String,
    /// Who owned the identity.
    pub owner: IdentityOwner,
    /// When.
    pub released_at: Timestamp,
    /// From this moment on nothing more is sent under it.
    pub expires_at: Timestamp,
    /// Each recipient and how far its transmission has come.
    pub transmissions: Vec<Transmission>,
}

/// One recipient of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transmission {
    /// The recipient.
    pub recipient: Mailbox,
    /// How far it has come.
    pub state: TransmissionState,
}

impl Transmission {
    fn all_pending(content: &Content) -> Vec<Self> {
        let pending = |recipient: &Mailbox| Self { recipient: recipient.clone(), state: TransmissionState::Pending };
        content.recipients().iter().map(pending).collect()
    }
}

/// Why nothing was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The rules say `hold`, `handoff` or `deny`.
    #[error("the gate says {}", .0.ruling().as_str())]
    Verdict(Verdict),
    /// The approval by which it was to be released does not count.
    #[error("the evidence of the release does not count any more")]
    Evidence,
    /// The draft is not the one that was released, or its content or recipients changed.
    #[error("the draft is not what was released")]
    ContentChanged,
    /// The identity's owner is not the one for whom it was released.
    #[error("the owner of the identity changed since the release")]
    OwnerChanged,
    /// The release is over.
    #[error("the release expired")]
    Expired,
    /// Every recipient was tried to the end, or is being tried now.
    #[error("no recipient of the release is left to be sent to")]
    NothingLeft,
}

/// Makes a stored release sendable again by asking every rule again, at the moment of sending.
///
/// A transmission whose sender was lost must be moved on first (see [`TransmissionState::next`]): one that is in flight
/// or unknown is not sent to.
///
/// # Errors
/// [`Refused`] with every reason.
pub fn readmit(row: &ReleaseRow, draft: Draft, facts: &Facts, now: Timestamp) -> Result<ReleasableMessage, Refused> {
    let version = draft.version;
    let hash = version.content.hash();
    mint(ApprovedDraft { version, hash, evidence: row.evidence.clone() }, row, facts, now)
}

/// Asks every rule, the owner first.
fn mint(
    approved: ApprovedDraft,
    row: &ReleaseRow,
    facts: &Facts,
    now: Timestamp,
) -> Result<ReleasableMessage, Refused> {
    let ApprovedDraft { version, hash, evidence } = approved;
    let case = Case::of_version(&version, facts, occasion(row), now);
    let verdict = case.verdict();
    let owner = match facts.identity.known() {
        Some(identity) if !identity.is_source_app() => identity.owner(),
        _ => return Err(Refused::Verdict(verdict)),
    };
    if verdict.ruling() != Ruling::Release {
        return Err(Refused::Verdict(verdict));
    }
    if owner != row.owner {
        return Err(Refused::OwnerChanged);
    }
    let is_same_draft = (row.draft, row.tenant, row.mailbox) == (version.draft, version.tenant, version.mailbox);
    let recipients = row.transmissions.iter().map(|transmission| &transmission.recipient);
    if !is_same_draft || row.content_hash != hash || !recipients.eq(version.content.recipients()) {
        return Err(Refused::ContentChanged);
    }
    if now >= row.expires_at || now < row.released_at {
        return Err(Refused::Expired);
    }
    if !counts(&case, &evidence) {
        return Err(Refused::Evidence);
    }
    let remaining: Vec<Mailbox> = row
        .transmissions
        .iter()
        .filter(|transmission| transmission.state.is_waiting())
        .map(|transmission| transmission.recipient.clone())
        .collect();
    if remaining.is_empty() {
        return Err(Refused::NothingLeft);
    }
    let admission = Admission {
        content_hash: hash,
        ruling: verdict.ruling().as_str(),
        reasons: verdict.codes(),
        policy: facts.policy.known().map(|policy| policy.version.clone()).unwrap_or_default(),
    };
    let (release, tenant, content) = (row.id, version.tenant, version.content);
    Ok(ReleasableMessage { release, tenant, hash, owner, content, remaining, admission })
}

/// Permission to send one notice of the gateway itself to one person of its tenant, once.
#[must_use]
pub struct ReleasableNotice {
    notice: NoticeId,
    tenant: TenantId,
    hash: ContentHash,
    content: Content,
}

impl ReleasableNotice {
    /// The notice.
    #[must_use]
    pub const fn notice(&self) -> NoticeId {
        self.notice
    }

    /// What was let out.
    #[must_use]
    pub const fn content_hash(&self) -> ContentHash {
        self.hash
    }

    /// Spends the permission: what goes onto the wire now.
    #[must_use]
    pub fn into_wire(self) -> NoticeParts {
        NoticeParts {
            notice: self.notice,
            tenant: self.tenant,
            content_hash: self.hash,
            reverse_path: self.content.reverse_path().clone(),
            recipients: self.content.recipients().to_vec(),
            bytes: self.content.bytes().clone(),
        }
    }
}

/// Ids only: the link of an invitation is a secret.
impl fmt::Debug for ReleasableNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReleasableNotice").field("notice", &self.notice).finish_non_exhaustive()
    }
}

/// What the sender puts onto the wire of a notice.
pub struct NoticeParts {
    /// The notice.
    pub notice: NoticeId,
    /// In whose matters.
    pub tenant: TenantId,
    /// What was let out.
    pub content_hash: ContentHash,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The one person.
    pub recipients: Vec<Mailbox>,
    /// The unsigned message.
    pub bytes: bytes::Bytes,
}

/// Lets a notice out: as this gateway itself, to a person of the tenant in whose matters it is, in words of ours.
///
/// # Errors
/// [`NoticeRefused`]; what is not known never lets one pass.
pub fn system_notice(notice: &Notice, facts: &NoticeFacts, now: Timestamp) -> Result<ReleasableNotice, NoticeRefused> {
    use NoticeRefused as No;
    if now >= notice.expires_at {
        return Err(No::Expired);
    }
    let from = facts.from.known().ok_or(No::Unknown)?;
    let platform = facts.platform_domains.known().ok_or(No::Unknown)?;
    let addressee = facts.addressee.known().ok_or(No::Unknown)?;
    if !platform.contains(from.domain()) {
        return Err(No::Sender);
    }
    if addressee.tenant != notice.tenant || !addressee.is_active {
        return Err(No::Addressee);
    }
    if !addressee.is_wanted {
        return Err(No::Unwanted);
    }
    if *facts.is_suppressed.known().ok_or(No::Unknown)? {
        return Err(No::Suppressed);
    }
    if *facts.is_paused.known().ok_or(No::Unknown)? {
        return Err(No::Paused);
    }
    if !*facts.has_matching_key.known().ok_or(No::Unknown)? {
        return Err(No::Keys);
    }
    let (subject, text) = notice.words();
    let bytes = compose(&NewMessage {
        from: Named { name: None, mailbox: from.clone() },
        reply_to: None,
        to: vec![Named { name: None, mailbox: addressee.address.clone() }],
        cc: Vec::new(),
        subject,
        text,
        html: None,
        files: Vec::new(),
        message_id: format!("{}@{}", notice.id, from.domain()),
        in_reply_to: None,
        references: Vec::new(),
        date: notice.made_at,
        boundary: notice.id.to_string(),
        writer: Writer::Gateway,
    });
    let path = ReversePath::Mailbox(from.clone());
    let content = Content::new(path, vec![addressee.address.clone()], bytes.into()).map_err(|_| No::Addressee)?;
    Ok(ReleasableNotice { notice: notice.id, tenant: notice.tenant, hash: content.hash(), content })
}

/// Whether this is the first transmission of a release, or a retry of a deferred recipient.
fn occasion(row: &ReleaseRow) -> Occasion {
    use TransmissionState::{InFlight, Pending};
    // What another sender holds does not make this one's a retry.
    let untouched = row.transmissions.iter().all(|transmission| matches!(transmission.state, Pending | InFlight));
    if untouched { Occasion::First } else { Occasion::Retry }
}

#[cfg(test)]
mod tests;
