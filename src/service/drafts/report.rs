//! What a source app reports of a draft that it was asked to send. A report is the app's word about its own mail: it makes no
//! approval, and nothing leaves by it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DraftView, actor_of, conflict, fault};
use crate::clock::Timestamp;
use crate::service::keys::{ApprovalsReport, Authenticated};
use crate::service::once::{self, Answered, CallKey};
use crate::service::{Refusal, Service, ServiceError};
use crate::store::TenantStore;
use crate::store::drafts::DraftRow;
use crate::store::handoffs::NewReport;

/// Body of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportRequest {
    /// `sent` or `discarded`.
    #[schema(min_length = 1, max_length = 20)]
    pub outcome: String,
    /// Message-ID of what was sent, with or without angle brackets: by it a copy of the mail is known.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub message_id: Option<String>,
    /// When it was sent, RFC 3339.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub sent_at: Option<String>,
    /// Why not, or what else there is to say.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// Words of an outcome.
const OUTCOMES: [&str; 2] = ["sent", "discarded"];

impl Service {
    /// Records what became of a draft that was handed off.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::NotFound`], also for one of a mailbox or app that the key is not bound to;
    /// [`ServiceError::Conflict`] where it was not handed off, or another report stands.
    pub async fn report_draft(
        &self,
        id: &str,
        request: ReportRequest,
        call: Option<CallKey>,
        caller: &Authenticated<ApprovalsReport>,
    ) -> Result<Answered<DraftView>, ServiceError> {
        let tenant = self.store.for_tenant(caller.principal().tenant());
        if let Some(known) = once::before(&tenant, call.as_ref(), caller.principal().key_id()).await? {
            return Ok(known);
        }
        let draft = self.draft_row(&tenant, id).await?;
        self.may_report(&tenant, &draft, caller).await?;
        let report = self.report_of(&draft, request, caller)?;
        // What the call answers is what the draft will be; its state does not change by a report.
        let mut shown = self.show_draft(&tenant, draft.id).await?;
        let now = self.clock().now();
        shown.handoff = shown.handoff.map(|handoff| handoff.reported(&report, now));
        let key = caller.principal().key_id();
        let call = call.map(|call| once::keyed(call, key, &shown)).transpose()?;
        let answered = once::answered(tenant.report_handoff(report, call).await.map_err(conflict)?, shown)?;
        match answered {
            Answered::Now(_) => Ok(Answered::Now(Box::new(self.show_draft(&tenant, draft.id).await?))),
            before @ Answered::Before(_) => Ok(before),
        }
    }

    /// A key that is bound to apps reports of their drafts alone, and one that is bound to mailboxes of theirs.
    async fn may_report(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        caller: &Authenticated<ApprovalsReport>,
    ) -> Result<(), ServiceError> {
        let mailbox = self.maybe_mailbox_of(tenant, draft).await?;
        caller.require_mailbox(mailbox.as_ref().map(|row| row.address.as_str()))?;
        let app = match draft.app.or_else(|| mailbox.and_then(|row| row.app)) {
            Some(id) => tenant.app(id).await?.map(|app| app.name),
            None => None,
        };
        match app {
            Some(app) => Ok(caller.require_app(&app)?),
            None if caller.principal().bindings().apps.is_empty() => Ok(()),
            None => Err(Refusal::App { bound: caller.principal().bindings().apps.clone() }.into()),
        }
    }

    fn report_of(
        &self,
        draft: &DraftRow,
        request: ReportRequest,
        caller: &Authenticated<ApprovalsReport>,
    ) -> Result<NewReport, ServiceError> {
        let outcome = OUTCOMES.into_iter().find(|word| *word == request.outcome);
        let outcome = outcome.ok_or_else(|| fault("/outcome", "must be sent or discarded"))?;
        let message_id = match request.message_id.as_deref().map(bare_id) {
            None => None,
            Some(Some(id)) if outcome == "sent" => Some(id.to_owned()),
            Some(Some(_)) => return Err(fault("/messageId", "is of nothing: the draft was discarded")),
            Some(None) => return Err(fault("/messageId", "is no Message-ID")),
        };
        let sent_at = match request.sent_at.as_deref() {
            None => None,
            Some(text) => {
                let at = Timestamp::parse_rfc3339(text);
                Some(at.ok_or_else(|| fault("/sentAt", "must be a time as in RFC 3339, such as 2026-11-23T10:00:00Z"))?)
            }
        };
        Ok(NewReport {
            draft: draft.id,
            outcome,
            message_id,
            sent_at,
            note: request.note,
            by: actor_of(caller.principal()),
        })
    }
}

/// A Message-ID without its angle brackets (RFC 5322 §3.6.4); `None` where it can be none.
fn bare_id(text: &str) -> Option<&str> {
    let text = text.trim();
    let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let is_id = bare.contains('@') && bare.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte));
    is_id.then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::bare_id;

    #[test]
    fn an_id_is_read_with_and_without_brackets() {
        assert_eq!(bare_id(" <a.b@c.example> "), Some("a.b@c.example"));
        assert_eq!(bare_id("a@c"), Some("a@c"));
        for wrong in ["", "a", "<a@b", "a b@c", "a@b>\r\nBcc: x"] {
            assert_eq!(bare_id(wrong), None, "{wrong:?}");
        }
    }
}
