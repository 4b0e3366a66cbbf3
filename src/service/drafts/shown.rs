//! Drafts, and what the gate says of them, as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::{DraftFile, Parts};
use crate::clock::Timestamp;
use crate::governance::Verdict;
use crate::governance::audit::Who;
use crate::store::directory::MailboxRow;
use crate::store::drafts::{DraftRow, VersionRow};
use crate::store::handoffs::{HandoffRow, NewReport};
use crate::store::releases::StoredRelease;
use crate::store::sent::SentCopyRow;

/// A draft as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DraftView {
    /// Its id.
    pub id: String,
    /// How far it has come.
    pub state: String,
    /// Its present version; 0 while nothing is written.
    pub version: u32,
    /// The hash of that version: what an approval is bound to.
    pub content_hash: Option<String>,
    /// The mailbox as which it would be sent.
    pub mailbox: Option<String>,
    /// Who owns the identity: `connex`, `source_app` or `customer_domain`.
    pub identity_owner: String,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
    /// The conversation.
    pub thread_id: Option<String>,
    /// The event of the message that it answers.
    pub answers: Option<String>,
    /// Who wrote the version: a kind and an id.
    pub author: Option<String>,
    /// The parts that the version was written from.
    pub content: Option<DraftContent>,
    /// Not before then does it leave, RFC 3339.
    pub send_at: Option<String>,
    /// Whether its release was asked for and only a pause or a quota holds it: it goes on by itself when that ends.
    pub held: bool,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it changed last, RFC 3339.
    pub updated_at: String,
    /// What became of each recipient of its newest release.
    pub transmissions: Vec<TransmissionView>,
    /// Where copies of what was sent came in by a route: proof that it was sent.
    pub copies: Vec<SentCopyView>,
    /// The words that a decision proposed it with.
    pub template: Option<TemplateView>,
    /// What the source app made of it, where it was asked to send it.
    pub handoff: Option<HandoffView>,
    /// When what it held of persons was erased, RFC 3339: then it has no `content`, and its recipients are not told.
    pub erased_at: Option<String>,
}

/// Words that a decision proposed a draft with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    /// Its id; `builtin/…` for those that are there from the start.
    pub id: String,
    /// Its version.
    pub version: u32,
}

/// A draft that the source app was asked to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandoffView {
    /// The operation that asked for it.
    pub operation_id: Option<String>,
    /// What the app reported: `sent` or `discarded`; null while it did not.
    pub reported: Option<String>,
    /// When it reported, RFC 3339.
    pub reported_at: Option<String>,
    /// The Message-ID that it reported.
    pub message_id: Option<String>,
    /// When it sent it by its own word, RFC 3339.
    pub sent_at: Option<String>,
    /// Why not, or what else it said.
    pub note: Option<String>,
    /// When the first copy of the mail was seen at a route, RFC 3339.
    pub seen_at: Option<String>,
    /// That copy.
    pub seen_message_id: Option<String>,
    /// By what it was known: `message_id`, or `likeness` of words, recipients and what is answered.
    pub matched_by: Option<String>,
}

impl HandoffView {
    fn of(row: &HandoffRow) -> Self {
        Self {
            operation_id: row.operation.map(|id| id.to_string()),
            reported: row.outcome.clone(),
            reported_at: row.reported_at.map(|at| at.to_string()),
            message_id: row.message_id.clone(),
            sent_at: row.sent_at.map(|at| at.to_string()),
            note: row.note.clone(),
            seen_at: row.seen.map(|(_, at)| at.to_string()),
            seen_message_id: row.seen.map(|(id, _)| id.to_string()),
            matched_by: row.matched_by.clone(),
        }
    }

    /// As it is once a report stands.
    pub(super) fn reported(self, report: &NewReport, now: Timestamp) -> Self {
        Self {
            reported: Some(report.outcome.to_owned()),
            reported_at: Some(now.to_string()),
            message_id: report.message_id.clone(),
            sent_at: report.sent_at.map(|at| at.to_string()),
            note: report.note.clone(),
            ..self
        }
    }
}

/// What a version was written from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DraftContent {
    /// The visible author.
    pub from: String,
    /// Where answers are to go, where that is told apart.
    pub reply_to: Option<String>,
    /// Recipients.
    pub to: Vec<String>,
    /// Recipients of a copy.
    pub cc: Vec<String>,
    /// Recipients of whom the others are not told.
    pub bcc: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// What goes along.
    pub attachments: Vec<DraftFile>,
    /// Message-ID, without angle brackets.
    pub message_id: String,
}

/// One recipient of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransmissionView {
    /// The release.
    pub release_id: String,
    /// The recipient; `erased@erased.invalid` once the draft was erased.
    pub recipient: String,
    /// `pending`, `in_flight`, `accepted`, `deferred`, `rejected` or `unknown`.
    pub state: String,
    /// Attempts that were begun.
    pub attempts: u32,
    /// What the next hop said last, or why it was not reached.
    pub reply: Option<String>,
    /// The host that said it.
    pub host: Option<String>,
    /// When it is tried next, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// When it came to its end, RFC 3339.
    pub finished_at: Option<String>,
    /// The event of the report by which it came back, or by which its recipient complained.
    pub returned_by: Option<String>,
}

/// Copies of one version, as one route showed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentCopyView {
    /// The version.
    pub version: u32,
    /// The route.
    pub route_id: String,
    /// The first copy.
    pub message_id: String,
    /// When it came, RFC 3339.
    pub seen_at: String,
    /// How many came.
    pub copies: u64,
}

/// A page of drafts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DraftPage {
    /// Drafts, newest first, without their content.
    pub items: Vec<DraftView>,
    /// What to give as `before` for older ones; null where there are none.
    pub next_before: Option<String>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictView {
    /// `release`, `hold`, `handoff` or `deny`.
    pub verdict: String,
    /// Every rule that applied.
    pub reasons: Vec<ReasonView>,
}

/// One rule that applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasonView {
    /// Its code.
    pub code: String,
    /// What it rules: `hold`, `handoff` or `deny`.
    pub ruling: String,
    /// Whether it applied because something is not known that it asks for.
    pub unknown: bool,
    /// One sentence for people.
    pub why: String,
    /// What would lift it.
    pub lifted_by: String,
}

/// What the gate would say to a draft as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckAnswer {
    /// The draft.
    pub draft_id: String,
    /// Its version.
    pub version: u32,
    /// The hash of that version.
    pub content_hash: String,
    /// What the gate says.
    #[serde(flatten)]
    pub verdict: VerdictView,
}

impl From<&Verdict> for VerdictView {
    fn from(verdict: &Verdict) -> Self {
        let reason = |reason: &crate::governance::Reason| ReasonView {
            code: reason.code.to_owned(),
            ruling: reason.ruling.as_str().to_owned(),
            unknown: reason.is_unknown,
            why: reason.sentence.to_owned(),
            lifted_by: reason.lifted_by.to_owned(),
        };
        Self { verdict: verdict.ruling().as_str().to_owned(), reasons: verdict.reasons().iter().map(reason).collect() }
    }
}

/// What became of a draft: nothing yet by default.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) releases: Vec<StoredRelease>,
    pub(super) copies: Vec<SentCopyRow>,
    pub(super) handoff: Option<HandoffRow>,
}

pub(super) fn view(
    draft: &DraftRow,
    version: Option<&VersionRow>,
    mailbox: Option<&MailboxRow>,
    sent: &Sent,
) -> DraftView {
    let kept = version.filter(|_| draft.erased_at.is_none());
    let parts = kept.and_then(|version| serde_json::from_str::<Parts>(&version.parts).ok());
    let transmissions = sent.releases.last().map(transmissions).unwrap_or_default();
    DraftView {
        id: draft.id.to_string(),
        state: draft.state.as_str().to_owned(),
        version: draft.version,
        content_hash: version.map(|version| version.content_hash.clone()),
        mailbox: mailbox.map(|mailbox| mailbox.address.clone()),
        identity_owner: draft.identity_owner.clone(),
        external_reply_url: draft.external_reply_url.clone(),
        thread_id: draft.thread.map(|id| id.to_string()),
        answers: draft.answers.or(draft.event).map(|id| id.to_string()),
        author: version.map(|version| Who::Actor(version.author.clone()).to_string()),
        content: parts.zip(mailbox).map(|(parts, mailbox)| parts.shown(mailbox)),
        send_at: draft.send_at.map(|at| at.to_string()),
        held: draft.held_until.is_some(),
        created_at: draft.created_at.to_string(),
        updated_at: draft.updated_at.to_string(),
        transmissions,
        copies: sent.copies.iter().map(copy).collect(),
        template: draft.template.clone().map(|(id, version)| TemplateView { id, version }),
        handoff: sent.handoff.as_ref().map(HandoffView::of),
        erased_at: draft.erased_at.map(|at| at.to_string()),
    }
}

fn copy(row: &SentCopyRow) -> SentCopyView {
    SentCopyView {
        version: row.version,
        route_id: row.route.to_string(),
        message_id: row.message.to_string(),
        seen_at: row.seen_at.to_string(),
        copies: row.copies,
    }
}

fn transmissions(release: &StoredRelease) -> Vec<TransmissionView> {
    let all = release.row.transmissions.iter().zip(&release.progress);
    let shown = all.map(|(transmission, progress)| TransmissionView {
        release_id: release.row.id.to_string(),
        recipient: transmission.recipient.to_string(),
        state: transmission.state.as_str().to_owned(),
        attempts: progress.attempts,
        reply: progress.reply.clone(),
        host: progress.host.clone(),
        next_attempt_at: transmission.state.is_waiting().then(|| progress.next_attempt_at.to_string()),
        finished_at: progress.finished_at.map(|at| at.to_string()),
        returned_by: progress.returned_by.map(|event| event.to_string()),
    });
    shown.collect()
}
