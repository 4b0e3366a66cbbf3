//! "Materialize safe": internal tasks, approvals and drafts that are stored for an answer's operations. Never a send.
//!
//! A draft for an identity that the source app owns is stored as handed off, with the page where a person answers: this
//! gateway will not send it, whatever anyone approves.

use serde_json::json;

use crate::clock::Clock;
use crate::contract::answer::{Answer, Materialized, Operation, OperationType};
use crate::ids::{ApprovalId, DraftId, TaskId};
use crate::store::events::{NewApproval, NewDraft, NewTask};

/// How much is stored for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialize {
    /// Nothing but the event and its decision.
    None,
    /// Internal tasks, approvals and drafts.
    Safe,
}

impl Materialize {
    /// Reads the word of the contract; an unknown one stores nothing, with a warning.
    #[must_use]
    pub fn read(word: Option<&str>, warnings: &mut Vec<String>) -> Self {
        match word {
            None | Some("safe") => Self::Safe,
            Some("none") => Self::None,
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                warnings
                    .push(format!("materialize {:?} is not known and was read as `none`", crate::keys::redact(&shown)));
                Self::None
            }
        }
    }
}

/// Rows to be stored with the event.
#[derive(Debug, Default)]
pub struct Work {
    /// Tasks.
    pub tasks: Vec<NewTask>,
    /// Approvals.
    pub approvals: Vec<NewApproval>,
    /// Drafts.
    pub drafts: Vec<NewDraft>,
}

/// Makes the internal work of an answer, and names it in `answer.materialized`.
#[must_use]
pub fn materialize(mode: Materialize, subject: &str, answer: &mut Answer, clock: &Clock) -> Work {
    if mode == Materialize::None {
        answer.materialized = named("none", &Work::default());
        return Work::default();
    }
    let mut work = Work::default();
    for operation in &answer.operations {
        match operation.kind {
            OperationType::CreateTask
            | OperationType::ScheduleFollowUp
            | OperationType::RequestDocument
            | OperationType::ScheduleMeeting
            | OperationType::Escalate => work.tasks.push(task_of(operation, answer, clock)),
            kind if is_of_draft(kind) => {
                work.drafts.push(draft_of(operation, subject, answer, clock));
            }
            _ => {}
        }
    }
    let asks = answer.operations.iter().any(|operation| operation.kind == OperationType::RequestApproval);
    let waiting = work.drafts.iter().find(|draft| draft.state == "pending_approval").map(|draft| draft.draft_id);
    if asks || waiting.is_some() {
        work.approvals.push(NewApproval {
            approval_id: clock.mint::<ApprovalId>(),
            draft_id: waiting,
            reasons: answer.canonical.approval_reasons.clone(),
            about: None,
        });
    }
    let drafts = work.drafts.iter().map(|draft| draft.draft_id);
    let proposing = answer.operations.iter_mut().filter(|one| is_of_draft(one.kind));
    for (operation, draft) in proposing.zip(drafts) {
        if let Some(params) = operation.params.as_object_mut() {
            params.insert("draftId".into(), draft.to_string().into());
        }
    }
    answer.materialized = named("safe", &work);
    work
}

const fn is_of_draft(kind: OperationType) -> bool {
    matches!(kind, OperationType::CreateDraft | OperationType::ReplyInSourceApp)
}

fn task_of(operation: &Operation, answer: &Answer, clock: &Clock) -> NewTask {
    NewTask {
        task_id: clock.mint::<TaskId>(),
        title: operation.label.clone(),
        priority: answer.canonical.priority,
        due_at: answer.canonical.due_at.clone(),
    }
}

fn draft_of(operation: &Operation, subject: &str, answer: &Answer, clock: &Clock) -> NewDraft {
    let is_handed_off = answer.identity.verdict == "handoff" || answer.identity.owner == "source_app";
    let state = if is_handed_off {
        "handed_off"
    } else if answer.identity.verdict == "deny" {
        "denied"
    } else if operation.approval_required || answer.canonical.approval_required {
        "pending_approval"
    } else {
        "draft"
    };
    NewDraft {
        draft_id: clock.mint::<DraftId>(),
        identity_owner: answer.identity.owner.clone(),
        state: state.to_owned(),
        external_reply_url: answer.identity.external_reply_url.clone(),
        content: json!({ "label": operation.label, "subject": reply_subject(subject), "params": operation.params }),
        words: None,
    }
}

fn reply_subject(subject: &str) -> String {
    let is_reply = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    if is_reply { subject.to_owned() } else { format!("Re: {subject}") }
}

fn named(mode: &str, work: &Work) -> Materialized {
    Materialized {
        mode: mode.to_owned(),
        tasks: work.tasks.iter().map(|task| task.task_id.to_string()).collect(),
        approvals: work.approvals.iter().map(|approval| approval.approval_id.to_string()).collect(),
        drafts: work.drafts.iter().map(|draft| draft.draft_id.to_string()).collect(),
    }
}
