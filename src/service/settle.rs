//! From a decision to what is stored and told: the answer with its ids, internal work, and the webhook's envelope.
//!
//! Mail and API events share this, so that both say the same. Nothing here sends: the most that comes of a decision is
//! a draft, and a draft of an identity that an app owns is handed to that app at once (`handed_off`).

use crate::clock::Clock;
use crate::contract::answer::{
    AbuseSignal, Answer, IdentityBlock, Materialized, Operation, OperationType, TrustBlock, TrustGate,
};
use crate::contract::webhook::{API_VERSION, SourceRef, ThreadRef, WebhookEvent};
use crate::decide::{Decision, ProposedOperation};
use crate::ids::{ApprovalId, DraftId, EventId, OperationId, TaskId, TenantId};
use crate::store::events::{NewApproval, NewDecision, NewDraft, NewTask};

/// Whether internal work is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialize {
    /// Tasks, approvals and drafts; never a send.
    Safe,
    /// Only the event and its decision.
    None,
}

/// A decision with everything that is stored for it.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The decision with the whole answer.
    pub decision: NewDecision,
    /// Tasks.
    pub tasks: Vec<NewTask>,
    /// Approvals.
    pub approvals: Vec<NewApproval>,
    /// Drafts.
    pub drafts: Vec<NewDraft>,
}

/// Gives a decision its ids and its internal work.
#[must_use]
pub fn settle(
    event: EventId,
    decision: Decision,
    identity: IdentityBlock,
    materialize: Materialize,
    clock: &Clock,
) -> Settled {
    let mut answer = answer(&event.to_string(), decision, identity);
    answer.event_id = Some(event.to_string());
    for operation in &mut answer.operations {
        let id: OperationId = clock.mint();
        operation.id = Some(id.to_string());
    }
    let (mut tasks, mut approvals, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
    if materialize == Materialize::Safe {
        tasks = tasks_of(&answer, clock);
        drafts = drafts_of(&answer, clock);
        approvals = approvals_of(&answer, &drafts, clock);
    }
    answer.materialized = Materialized {
        mode: if materialize == Materialize::Safe { "safe" } else { "none" }.to_owned(),
        tasks: tasks.iter().map(|task| task.task_id.to_string()).collect(),
        approvals: approvals.iter().map(|approval| approval.approval_id.to_string()).collect(),
        drafts: drafts.iter().map(|draft| draft.draft_id.to_string()).collect(),
    };
    Settled { decision: NewDecision { decision_id: clock.mint(), answer }, tasks, approvals, drafts }
}

/// The answer before anything is stored: without ids. `seed` makes the idempotency keys of its operations.
#[must_use]
pub fn answer(seed: &str, decision: Decision, identity: IdentityBlock) -> Answer {
    let operations = decision.operations.into_iter().map(|proposed| operation(seed, proposed)).collect();
    Answer {
        event_id: None,
        request_id: None,
        duplicate: false,
        trust: trust(decision.abuse_signals, &identity),
        canonical: decision.canonical,
        mapped: decision.mapped,
        operations,
        identity,
        graph_hints: decision.graph_hints,
        materialized: Materialized { mode: "none".into(), tasks: vec![], approvals: vec![], drafts: vec![] },
        reasoning: decision.reasoning,
        warnings: Vec::new(),
    }
}

fn operation(seed: &str, proposed: ProposedOperation) -> Operation {
    Operation {
        id: None,
        idempotency_key: idempotency_key(seed, &proposed),
        kind: proposed.kind,
        label: proposed.label,
        approval_required: proposed.approval_required,
        mode: proposed.mode,
        risk: proposed.risk,
        reasons: proposed.reasons,
        params: proposed.params,
        expires_at: None,
        confidence: proposed.confidence,
    }
}

/// The same operation of the same event has the same key, on every rendering and replay.
fn idempotency_key(seed: &str, operation: &ProposedOperation) -> String {
    let parts = [seed, operation.kind.as_str(), &operation.label, &operation.params.to_string()];
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        digest.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of trust so far: the message's own signals and whether this gateway could send. Tenants are `new`
/// until outcomes are learned from.
fn trust(abuse_signals: Vec<AbuseSignal>, identity: &IdentityBlock) -> TrustBlock {
    let recommendation = match (abuse_signals.is_empty(), identity.verdict.as_str()) {
        (false, _) => "hold",
        (true, "deny") => "block",
        (true, "release") => "proceed",
        (true, _) => "review",
    };
    let sending = TrustGate {
        code: "sending".into(),
        state: if identity.verdict == "release" { "open" } else { "closed" }.into(),
        why: match identity.verdict.as_str() {
            "handoff" => "The source app owns the sender identity and sends by itself.",
            "release" => "Policy lets a plain answer go out.",
            "deny" => "Policy refuses an answer from this identity.",
            _ => "An answer waits until what holds it is lifted.",
        }
        .into(),
    };
    TrustBlock { band: "new".into(), gates: vec![sending], abuse_signals, recommendation: recommendation.into() }
}

fn tasks_of(answer: &Answer, clock: &Clock) -> Vec<NewTask> {
    let is_task = |operation: &&Operation| operation.kind == OperationType::CreateTask;
    let task = |operation: &Operation| NewTask {
        task_id: clock.mint::<TaskId>(),
        title: operation.label.clone(),
        priority: answer.canonical.priority,
        due_at: answer.canonical.due_at.clone(),
    };
    answer.operations.iter().filter(is_task).map(task).collect()
}

fn drafts_of(answer: &Answer, clock: &Clock) -> Vec<NewDraft> {
    let draft = |operation: &Operation| {
        let state = match (operation.kind, answer.identity.verdict.as_str()) {
            (OperationType::ReplyInSourceApp, _) => "handed_off",
            (OperationType::CreateDraft, "deny") => "denied",
            (OperationType::CreateDraft, "handoff") => "handed_off",
            (OperationType::CreateDraft, _) => "pending_approval",
            _ => return None,
        };
        Some(NewDraft {
            draft_id: clock.mint::<DraftId>(),
            identity_owner: answer.identity.owner.clone(),
            state: state.to_owned(),
            external_reply_url: answer.identity.external_reply_url.clone(),
            content: serde_json::json!({
                "operationId": operation.id,
                "nextBestAction": answer.canonical.next_best_action,
            }),
        })
    };
    answer.operations.iter().filter_map(draft).collect()
}

/// One approval for what waits: for a draft of ours, or for the event where something else asks a person.
fn approvals_of(answer: &Answer, drafts: &[NewDraft], clock: &Clock) -> Vec<NewApproval> {
    let waiting = drafts.iter().find(|draft| draft.state == "pending_approval");
    let asked = answer.operations.iter().any(|operation| operation.kind == OperationType::RequestApproval);
    if !asked && waiting.is_none() {
        return Vec::new();
    }
    vec![NewApproval {
        approval_id: clock.mint::<ApprovalId>(),
        draft_id: waiting.map(|draft| draft.draft_id),
        reasons: answer.canonical.approval_reasons.clone(),
    }]
}

/// What names an event on a webhook beside its answer.
#[derive(Debug, Clone)]
pub struct Announcement<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The app's name.
    pub app: Option<&'a str>,
    /// The conversation; its sequence is set when the event is recorded.
    pub thread: Option<String>,
    /// When it happened.
    pub occurred_at: crate::clock::Timestamp,
    /// Where it came from.
    pub source: SourceRef,
    /// Where this gateway is reached, without a slash at the end; empty where it was not configured.
    pub public_url: &'a str,
}

/// The `message.classified` event of an answer.
#[must_use]
pub fn announce(event: EventId, answer: &Answer, about: Announcement<'_>) -> WebhookEvent {
    let mut data = serde_json::to_value(answer).unwrap_or_default();
    if let Some(data) = data.as_object_mut() {
        let base = about.public_url;
        let links = serde_json::json!({
            "self": format!("{base}/api/v1/explain/{event}"),
        });
        data.insert("links".into(), links);
    }
    WebhookEvent {
        id: event.to_string(),
        kind: "message.classified".into(),
        timestamp: about.occurred_at.to_string(),
        api_version: API_VERSION.into(),
        tenant_id: about.tenant.to_string(),
        app: about.app.map(str::to_owned),
        thread: about.thread.map(|id| ThreadRef { id, sequence: 0 }),
        caused_by: None,
        source: about.source,
        data,
    }
}
