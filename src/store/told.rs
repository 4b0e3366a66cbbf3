//! Tells apps of steps of drafts and of questions about them: an event of the tenant's log, with a delivery for every endpoint
//! that asks for it, in the transaction that takes the step. What is told stands in the audit log, by the same call.
//!
//! Nothing of a text is told, but in the operation by which the source app is asked to send it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::audit::NewEntry;
use super::drafts::erase::note_told;
use super::events::{NewEvent, NewThreadPlace, record_rows};
use super::instance::PUBLIC_URL;
use super::sql::{Connection, Row, query};
use super::{StoreError, from_id, handoffs};
use crate::clock::{Clock, Timestamp};
use crate::contract::steps::types_of;
use crate::contract::webhook::{API_VERSION, SourceRef, ThreadRef, WebhookEvent};
use crate::governance::Actor;
use crate::governance::audit::Who;
use crate::ids::{AppId, ApprovalId, DraftId, EventId, TenantId, ThreadId};

/// What a step is about, as it is behind the step.
struct Subject {
    draft: Option<DraftId>,
    app: Option<(AppId, String)>,
    thread: Option<ThreadId>,
    /// Mailbox, route or app.
    scope: Option<String>,
    /// The event of the message that the draft answers, or for which it was asked.
    caused_by: Option<EventId>,
    data: Map<String, Value>,
}

/// Records the events that tell of these steps.
pub(super) async fn tell(
    connection: &mut Connection,
    tenant: TenantId,
    now: Timestamp,
    entries: &[NewEntry],
) -> Result<(), StoreError> {
    let (mut events, mut of_drafts) = (Vec::new(), Vec::new());
    let mut base = None;
    // Steps that are told together are often about one draft, which is behind all of them by now.
    let mut subjects: BTreeMap<&str, Option<Subject>> = BTreeMap::new();
    for entry in entries {
        let kinds = types_of(entry.action, &entry.detail, is_asked_for(entry));
        if kinds.is_empty() {
            continue;
        }
        if !subjects.contains_key(entry.subject.as_str()) {
            subjects.insert(&entry.subject, subject_of(connection, tenant, entry).await?);
        }
        let Some(Some(subject)) = subjects.get(entry.subject.as_str()) else { continue };
        if base.is_none() {
            base = Some(base_url(connection).await?);
        }
        let place = Place { tenant, now, base: base.as_deref().unwrap_or_default() };
        for kind in kinds {
            if subject.draft.is_some() || !kind.starts_with("draft.") {
                let event = event_of(connection, place, entry, kind, subject).await?;
                of_drafts.extend(subject.draft.map(|draft| (draft, event.event_id)));
                events.push((tenant, event));
            }
        }
    }
    note_told(connection, tenant, &of_drafts).await?;
    record_rows(connection, &Clock::System, now, events).await.map(|_| ())
}

#[derive(Clone, Copy)]
struct Place<'a> {
    tenant: TenantId,
    now: Timestamp,
    base: &'a str,
}

/// Whether somebody asked for the release that a step is the answer to: what follows a person's yes, or comes at the moment of
/// sending, was asked for before.
fn is_asked_for(entry: &NewEntry) -> bool {
    match &entry.who {
        Who::Actor(Actor::Key { .. } | Actor::Agent { .. }) => true,
        Who::Actor(Actor::User { .. } | Actor::Issued { .. }) => {
            let evidence = entry.detail.pointer("/evidence/kind").and_then(Value::as_str);
            entry.action == "approval.asked" || evidence == Some("policy")
        }
        Who::Actor(Actor::Template { .. }) | Who::Operator | Who::Gateway => false,
    }
}

async fn base_url(connection: &mut Connection) -> Result<String, StoreError> {
    const FIND: &str = "SELECT value FROM instance WHERE name = $1";
    let row = query(FIND).bind(PUBLIC_URL).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

async fn subject_of(
    connection: &mut Connection,
    tenant: TenantId,
    entry: &NewEntry,
) -> Result<Option<Subject>, StoreError> {
    const DRAFT: &str = "\
SELECT a.app_id, a.name, COALESCE(d.thread_id, e.thread_id), COALESCE(d.mailbox_id, e.scope), COALESCE(d.answers, d.event_id),
    d.state, d.version, v.content_hash, d.identity_owner, m.address, d.external_reply_url, d.template_id, d.template_version
FROM drafts AS d
LEFT JOIN events AS e ON e.tenant_id = d.tenant_id AND e.event_id = COALESCE(d.answers, d.event_id)
LEFT JOIN apps AS a ON a.tenant_id = d.tenant_id AND a.app_id = COALESCE(d.app_id, e.app_id)
LEFT JOIN mailboxes AS m ON m.tenant_id = d.tenant_id AND m.mailbox_id = d.mailbox_id
LEFT JOIN draft_versions AS v ON v.tenant_id = d.tenant_id AND v.draft_id = d.draft_id AND v.version = d.version
WHERE d.tenant_id = $1 AND d.draft_id = $2";
    const QUESTION: &str = "\
SELECT a.app_id, a.name, e.thread_id, e.scope, q.event_id FROM approvals AS q
LEFT JOIN events AS e ON e.tenant_id = q.tenant_id AND e.event_id = q.event_id
LEFT JOIN apps AS a ON a.tenant_id = q.tenant_id AND a.app_id = e.app_id
WHERE q.tenant_id = $1 AND q.approval_id = $2";
    let draft = entry.subject.parse::<DraftId>().ok();
    let sql = match (draft, entry.subject.parse::<ApprovalId>()) {
        (Some(_), _) => DRAFT,
        (None, Ok(_)) => QUESTION,
        (None, Err(_)) => return Ok(None),
    };
    let row = query(sql).bind(tenant.to_string()).bind(&entry.subject).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let mut data = Map::new();
    if let Some(id) = draft {
        data.insert("draftId".into(), id.to_string().into());
        data.insert("state".into(), row.try_get::<&str>(5)?.into());
        data.insert("version".into(), row.try_get::<i64>(6)?.into());
        data.insert("contentHash".into(), row.try_get::<Option<&str>>(7)?.into());
        let identity = json!({ "owner": row.try_get::<&str>(8)?, "mailbox": row.try_get::<Option<&str>>(9)? });
        data.insert("identity".into(), identity);
        data.insert("externalReplyUrl".into(), row.try_get::<Option<&str>>(10)?.into());
        if let Some(template) = row.try_get::<Option<&str>>(11)? {
            let version: Option<i64> = row.try_get(12)?;
            data.insert("template".into(), json!({ "id": template, "version": version }));
        }
    }
    let app = row.try_get::<Option<&str>>(0)?.map(|id| from_id("app_id", id)).transpose()?;
    Ok(Some(Subject {
        draft,
        app: app.zip(row.try_get::<Option<String>>(1)?),
        thread: optional(&row, 2, "thread_id")?,
        scope: row.try_get(3)?,
        caused_by: optional(&row, 4, "event_id")?,
        data,
    }))
}

fn optional<T: std::str::FromStr<Err = crate::ids::InvalidId>>(
    row: &Row,
    column: usize,
    what: &'static str,
) -> Result<Option<T>, StoreError> {
    row.try_get::<Option<&str>>(column)?.map(|text| from_id(what, text)).transpose()
}

async fn event_of(
    connection: &mut Connection,
    place: Place<'_>,
    entry: &NewEntry,
    kind: &'static str,
    subject: &Subject,
) -> Result<NewEvent, StoreError> {
    let id: EventId = Clock::System.mint();
    let mut data = subject.data.clone();
    let told = |name: &str| entry.detail.get(name).cloned().filter(|value| !value.is_null());
    for (name, of) in [("approvalId", "approval"), ("releaseId", "release"), ("outcome", "outcome")] {
        if let Some(value) = told(of) {
            data.insert(name.into(), value);
        }
    }
    data.insert("step".into(), entry.action.into());
    data.insert("by".into(), entry.who.to_string().into());
    data.insert("reasons".into(), reasons(&entry.detail));
    if let Some(recipient) = recipient(connection, place.tenant, &entry.detail).await? {
        data.insert("recipient".into(), recipient.into());
    }
    if let (Some(draft), "draft.handed_off") = (subject.draft, kind) {
        let operation = handoffs::open(connection, place.tenant, (draft, id), place.now).await?;
        data.insert("operations".into(), json!([operation]));
    }
    data.insert("links".into(), links(place.base, id, subject.draft, told("approval").as_ref()));
    let caused_by = told("event").and_then(|id| id.as_str().map(str::to_owned));
    let caused_by = caused_by.or_else(|| subject.caused_by.map(|id| id.to_string()));
    let source_kind = source_kind(&entry.who);
    let data = Value::Object(data);
    // The log tells the same again from here.
    let mut content = data.clone();
    if let Some(members) = content.as_object_mut() {
        members.insert("causedBy".into(), caused_by.as_deref().into());
    }
    Ok(NewEvent {
        event_id: id,
        event_type: kind.to_owned(),
        source_kind: source_kind.to_owned(),
        source_event_id: None,
        app_id: subject.app.as_ref().map(|(id, _)| *id),
        scope: subject.scope.clone(),
        message_id: None,
        thread: subject.thread.map(|thread_id| NewThreadPlace { thread_id, references: vec![], subjects: vec![] }),
        occurred_at: place.now,
        content: content.to_string(),
        decision: None,
        tasks: Vec::new(),
        approvals: Vec::new(),
        drafts: Vec::new(),
        webhook: WebhookEvent {
            id: id.to_string(),
            kind: kind.to_owned(),
            timestamp: place.now.to_string(),
            api_version: API_VERSION.to_owned(),
            tenant_id: place.tenant.to_string(),
            app: subject.app.as_ref().map(|(_, name)| name.clone()),
            thread: subject.thread.map(|id| ThreadRef { id: id.to_string(), sequence: 0 }),
            threading: None,
            caused_by,
            source: SourceRef { kind: source_kind.to_owned(), event_id: None },
            data,
        },
        text: String::new(),
        is_quiet: false,
        observed: None,
        returned: None,
        unsubscribed: None,
    })
}

/// The codes that a step gives as its reasons.
fn reasons(detail: &Value) -> Value {
    let mut lists = ["reasons", "codes", "accepted"].into_iter().filter_map(|name| detail.get(name));
    let list = lists.find(|value| value.is_array()).cloned();
    list.unwrap_or_else(|| detail.get("reason").map_or_else(|| json!([]), |reason| json!([reason])))
}

fn links(base: &str, event: EventId, draft: Option<DraftId>, approval: Option<&Value>) -> Value {
    let mut links = json!({ "self": format!("{base}/api/v1/explain/{event}") });
    if let Some(links) = links.as_object_mut() {
        if let Some(draft) = draft {
            links.insert("draft".into(), format!("{base}/api/v1/drafts/{draft}").into());
        }
        if let Some(approval) = approval.and_then(Value::as_str) {
            links.insert("approval".into(), format!("{base}/approvals/{approval}").into());
        }
    }
    links
}

/// Of one recipient alone, whom a step is about.
async fn recipient(
    connection: &mut Connection,
    tenant: TenantId,
    detail: &Value,
) -> Result<Option<String>, StoreError> {
    const FIND: &str = "SELECT recipient FROM transmissions WHERE tenant_id = $1 AND release_id = $2 AND position = $3";
    let release = detail.get("release").and_then(Value::as_str);
    let (Some(release), Some(position)) = (release, detail.get("position").and_then(Value::as_i64)) else {
        return Ok(None);
    };
    let find = query(FIND).bind(tenant.to_string()).bind(release).bind(position);
    Ok(find.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()?)
}

/// Whoever took the step, as the door of an event.
const fn source_kind(who: &Who) -> &'static str {
    match who {
        Who::Actor(Actor::Key { .. }) => "http",
        Who::Actor(Actor::Agent { .. }) => "agent",
        Who::Actor(Actor::User { .. } | Actor::Issued { .. }) | Who::Operator => "human",
        Who::Actor(Actor::Template { .. }) | Who::Gateway => "gateway",
    }
}
