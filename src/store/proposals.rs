//! Drafts and questions that decisions propose: stored with their event, and told like those of anybody else.

use std::collections::BTreeMap;

use serde_json::json;

use super::audit::{NewEntry, append};
use super::drafts::add_version;
use super::events::{NewDraft, NewEvent};
use super::sql::Connection;
use super::{StoreError, rows};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::governance::chain::Link;
use crate::ids::TenantId;

/// A draft to be inserted.
pub(super) struct DraftRow<'e> {
    pub(super) tenant: TenantId,
    pub(super) event: String,
    pub(super) app: Option<String>,
    pub(super) draft: &'e NewDraft,
    pub(super) content: String,
}

/// Inserts drafts with their first versions.
pub(super) async fn insert(
    connection: &mut Connection,
    drafts: &[DraftRow<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    const DRAFTS: &str = "INSERT INTO drafts (tenant_id, draft_id, event_id, identity_owner, state, external_reply_url, \
content, created_at, updated_at, app_id, mailbox_id, thread_id, answers, version, template_id, template_version) ";
    rows::insert(connection, DRAFTS, drafts, |row, DraftRow { tenant, event, app, draft, content }| {
        let words = draft.words.as_ref();
        row.push_bind(tenant.to_string())
            .push_bind(draft.draft_id.to_string())
            .push_bind(event.as_str())
            .push_bind(draft.identity_owner.as_str())
            .push_bind(draft.state.as_str())
            .push_bind(draft.external_reply_url.as_deref())
            .push_bind(content.as_str())
            .push_bind(now.as_micros())
            .push_bind(now.as_micros())
            .push_bind(app.as_deref())
            .push_bind(words.and_then(|words| words.mailbox).map(|id| id.to_string()))
            .push_bind(words.map(|words| words.thread.to_string()))
            .push_bind(words.and_then(|words| words.answers).map(|id| id.to_string()))
            .push_bind(i64::from(words.is_some()))
            .push_bind(words.map(|words| words.template.0.as_str()))
            .push_bind(words.map(|words| i64::from(words.template.1)));
    })
    .await?;
    for row in drafts {
        if let Some(words) = &row.draft.words {
            add_version(connection, row.tenant, row.draft.draft_id, &words.version).await?;
        }
    }
    Ok(())
}

/// Tells of the drafts and questions of events, and writes them into the audit log.
pub(super) async fn tell(
    connection: &mut Connection,
    events: &[(TenantId, NewEvent)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut entries: BTreeMap<TenantId, Vec<NewEntry>> = BTreeMap::new();
    for (tenant, event) in events.iter().filter(|(_, event)| !event.is_quiet) {
        let of_event = steps_of(event);
        if !of_event.is_empty() {
            entries.entry(*tenant).or_default().extend(of_event);
        }
    }
    for (tenant, entries) in entries {
        append(connection, tenant, now, entries).await?;
    }
    Ok(())
}

fn steps_of(event: &NewEvent) -> Vec<NewEntry> {
    let entry = |action, subject: String, detail| NewEntry::new(Who::Gateway, action, subject, detail);
    let mut entries = Vec::new();
    for draft in &event.drafts {
        let words = draft.words.as_ref();
        let detail = json!({
            "event": event.event_id,
            "version": i32::from(words.is_some()),
            "contentHash": words.map(|words| &words.version.content_hash),
            "template": words.map(|words| json!({ "id": words.template.0, "version": words.template.1 })),
        });
        entries.push(entry(Link::Created.action(), draft.draft_id.to_string(), detail.clone()));
        match draft.state.as_str() {
            "handed_off" => entries.push(entry("draft.handed_off", draft.draft_id.to_string(), detail)),
            "denied" => entries.push(entry("draft.denied", draft.draft_id.to_string(), detail)),
            _ => {}
        }
    }
    for approval in &event.approvals {
        let subject = approval.draft_id.map_or_else(|| approval.approval_id.to_string(), |id| id.to_string());
        let hash = approval.about.as_ref();
        let detail = json!({ "event": event.event_id, "approval": approval.approval_id, "contentHash": hash,
            "reasons": approval.reasons });
        entries.push(entry(Link::Asked.action(), subject, detail));
    }
    entries
}
