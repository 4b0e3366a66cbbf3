//! From a decision to operations: what the app may do, by a playbook per status.
//!
//! Only moves inside the app that are easy to undo ever come as `apply`: priority, a label, a status that needs no
//! approval. Mail with any abuse signal gets suggestions only. Nothing here writes to anybody: an answer is a draft for
//! a person or a hint to answer in the source app.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::DataError;
use super::matter::{Direction, Matter, ProposedOperation, ReplyOwner};
use super::taxonomy::{Status, Taxonomy, ThreadState};
use crate::contract::answer::{Canonical, Mapped, OperationMode, OperationType, Priority, Risk};

/// What to do per status, from `playbook.toml`.
#[derive(Debug)]
pub(super) struct Playbook {
    plays: BTreeMap<String, Play>,
}

/// One status's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Play {
    /// What to do next, one sentence.
    pub(super) next: String,
    /// Label of the task; none where nothing is to be done.
    task: Option<String>,
    /// Label of the task when the mailbox's owner wrote the message.
    task_when_sent: Option<String>,
    /// Whether an answer is the right next step.
    #[serde(default)]
    reply: bool,
    /// Public code of the reason for approval by default.
    pub(super) approval: Option<String>,
    #[serde(default = "low")]
    risk: Risk,
    /// The document that is asked for or expected.
    document: Option<String>,
    /// Further operations.
    #[serde(default)]
    also: Vec<OperationType>,
    /// Kind of the edge from author to recipient, and what it is about.
    pub(super) graph: Option<[String; 2]>,
}

/// What operations are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) matter: &'a Matter<'a>,
    pub(super) status: &'a Status,
    pub(super) canonical: &'a Canonical,
    pub(super) mapped: &'a Mapped,
    pub(super) abstained: bool,
    pub(super) abused: bool,
}

/// Confidence from which a status may be applied without a person.
const SURE: f64 = 0.85;

impl Playbook {
    pub(super) fn read(file: &str, taxonomy: &Taxonomy) -> Result<Self, DataError> {
        let plays: BTreeMap<String, Play> =
            toml::from_str(file).map_err(|error| DataError::File("playbook".to_owned(), Box::new(error)))?;
        for name in plays.keys() {
            taxonomy.id(name)?;
        }
        match taxonomy.iter().find(|status| !plays.contains_key(&status.name)) {
            Some(status) => Err(DataError::UnknownStatus(status.name.clone())),
            None => Ok(Self { plays }),
        }
    }

    pub(super) fn play(&self, status: &str) -> Option<&Play> {
        self.plays.get(status)
    }

    /// All operations, the most telling first.
    pub(super) fn operations(&self, situation: &Situation<'_>) -> Vec<ProposedOperation> {
        let Some(play) = self.play(&situation.status.name) else { return Vec::new() };
        let mut operations = Vec::new();
        operations.extend(situation.status_update());
        operations.extend(situation.priority());
        operations.extend(situation.task(play));
        operations.extend(situation.approval_request(play));
        operations.extend(situation.answer(play));
        operations.extend(situation.inbox());
        operations.extend(play.also.iter().map(|&kind| situation.further(kind, play)));
        if situation.abused && !play.also.contains(&OperationType::FlagTrust) {
            operations.push(situation.further(OperationType::FlagTrust, play));
        }
        if operations.is_empty() {
            operations.push(situation.operation(OperationType::NoAction, "Nothing to do", Risk::Low, json!({})));
        }
        operations
    }
}

impl Situation<'_> {
    fn status_update(&self) -> Option<ProposedOperation> {
        let status = self.mapped.status.as_ref()?;
        if self.mapped.current_status.as_ref() == Some(status) || self.abstained {
            return None;
        }
        let params = json!({ "status": status, "from": self.mapped.current_status });
        let mut update = self.operation(OperationType::UpdateStatus, &format!("Move to {status}"), Risk::Low, params);
        update.approval_required = self.canonical.approval_required;
        if !update.approval_required && self.canonical.confidence >= SURE {
            self.may_apply(&mut update);
        }
        Some(update)
    }

    fn priority(&self) -> Option<ProposedOperation> {
        let priority = self.canonical.priority;
        if priority < Priority::High || self.abstained {
            return None;
        }
        let label = format!("Set priority to {}", priority.as_str());
        let mut set =
            self.operation(OperationType::SetPriority, &label, Risk::Low, json!({ "priority": priority.as_str() }));
        self.may_apply(&mut set);
        Some(set)
    }

    fn task(&self, play: &Play) -> Option<ProposedOperation> {
        let sent = self.matter.direction == Direction::Outbound;
        let label = play.task_when_sent.as_ref().filter(|_| sent).or(play.task.as_ref())?;
        let params = json!({ "dueAt": self.canonical.due_at, "priority": self.canonical.priority.as_str() });
        let mut task = self.operation(OperationType::CreateTask, label, play.risk, params);
        task.approval_required = self.canonical.approval_required;
        Some(task)
    }

    fn approval_request(&self, play: &Play) -> Option<ProposedOperation> {
        // What is answered nowhere needs nobody's yes; abuse is flagged instead.
        let answered = self.status.thread_state == ThreadState::NeedsReply && !self.is_abuse();
        if !self.canonical.approval_required || !answered {
            return None;
        }
        let params = json!({ "for": play.next, "reasons": self.canonical.approval_reasons });
        let mut request =
            self.operation(OperationType::RequestApproval, "Ask a person to approve the next step", play.risk, params);
        request.approval_required = true;
        Some(request)
    }

    fn answer(&self, play: &Play) -> Option<ProposedOperation> {
        if !play.reply
            || self.matter.direction == Direction::Outbound
            || self.canonical.automated.is_some()
            || self.abused
        {
            return None;
        }
        let mut answer = match &self.matter.reply {
            ReplyOwner::SourceApp { external_reply_url } => {
                let params = json!({ "externalReplyUrl": external_reply_url });
                self.operation(OperationType::ReplyInSourceApp, "Reply in the source app", Risk::Medium, params)
            }
            ReplyOwner::Connex | ReplyOwner::CustomerDomain => {
                self.operation(OperationType::CreateDraft, "Draft a reply for approval", Risk::Medium, json!({}))
            }
        };
        answer.approval_required = answer.kind == OperationType::CreateDraft || self.canonical.approval_required;
        answer.risk = answer.risk.max(play.risk);
        Some(answer)
    }

    fn inbox(&self) -> Option<ProposedOperation> {
        let inbox = self.mapped.inbox.as_ref()?;
        let params = json!({ "inbox": inbox });
        Some(self.operation(OperationType::RouteInbox, &format!("Move to {inbox}"), Risk::Low, params))
    }

    fn further(&self, kind: OperationType, play: &Play) -> ProposedOperation {
        let (label, params) = self.describe(kind, play);
        let mut operation =
            self.operation(kind, &label, if kind == OperationType::AddLabel { Risk::Low } else { play.risk }, params);
        if kind == OperationType::AddLabel && !self.abstained {
            self.may_apply(&mut operation);
        }
        operation.approval_required =
            matches!(kind, OperationType::RequestDocument | OperationType::ScheduleMeeting | OperationType::Escalate)
                && self.canonical.approval_required;
        operation
    }

    fn describe(&self, kind: OperationType, play: &Play) -> (String, Value) {
        let author = self.matter.author;
        match kind {
            OperationType::RequestDocument => {
                let document = play.document.as_deref().unwrap_or("the document");
                (format!("Get {document}"), json!({ "document": document, "dueAt": self.canonical.due_at }))
            }
            OperationType::ScheduleFollowUp => ("Follow up".to_owned(), json!({ "at": self.canonical.due_at })),
            OperationType::ScheduleMeeting => ("Schedule the meeting".to_owned(), json!({ "with": author })),
            OperationType::AddLabel => (format!("Label {}", self.status.name), json!({ "label": self.status.name })),
            OperationType::SuppressRecipient => {
                ("Stop sending to this address".to_owned(), json!({ "address": author, "cause": self.status.name }))
            }
            OperationType::FlagTrust => {
                ("Flag the sender for review".to_owned(), json!({ "address": author, "cause": self.status.name }))
            }
            OperationType::Escalate => ("Escalate to a person now".to_owned(), json!({ "cause": self.status.name })),
            OperationType::LinkThread => ("Link the thread".to_owned(), json!({})),
            other => (other.as_str().replace('_', " "), json!({})),
        }
    }

    fn operation(&self, kind: OperationType, label: &str, risk: Risk, params: Value) -> ProposedOperation {
        let mut reasons = vec![self.status.name.clone()];
        reasons.extend(self.canonical.approval_reasons.iter().cloned());
        ProposedOperation {
            kind,
            label: label.to_owned(),
            approval_required: false,
            mode: OperationMode::Suggest,
            risk,
            reasons,
            params,
            confidence: self.canonical.confidence,
        }
    }

    /// The one place that lets an operation apply itself.
    fn may_apply(&self, operation: &mut ProposedOperation) {
        let inner = matches!(
            operation.kind,
            OperationType::SetPriority | OperationType::AddLabel | OperationType::UpdateStatus
        );
        if inner && operation.risk == Risk::Low && !self.abused && !self.is_abuse() {
            operation.mode = OperationMode::Apply;
        }
    }

    fn is_abuse(&self) -> bool {
        self.status.area == "abuse"
    }
}

const fn low() -> Risk {
    Risk::Low
}
