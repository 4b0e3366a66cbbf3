//! Which steps of drafts and of questions about them are told to apps, and as what: one table from the words of the audit
//! log to types of events. A step that is not in it is told to nobody.

use serde_json::Value;

/// A type of event about a draft, or about a question to people.
#[derive(Debug, Clone, Copy)]
pub struct StepType {
    /// Its name, such as `draft.released`.
    pub kind: &'static str,
    /// What it tells, in a sentence without a full stop.
    pub summary: &'static str,
}

/// All of them. Each is told only to endpoints that ask for it.
pub const STEP_TYPES: &[StepType] = &[
    StepType { kind: "draft.created", summary: "A draft was made: by a key, an agent, a person, or a decision" },
    StepType {
        kind: "draft.updated",
        summary: "A draft has a new version, or more is known of one that was handed off",
    },
    StepType { kind: "draft.release_requested", summary: "Somebody asked for the release of a draft" },
    StepType { kind: "draft.blocked", summary: "The gate holds a draft until people answer; `reasons` say why" },
    StepType { kind: "draft.released", summary: "The gate let a draft out" },
    StepType { kind: "draft.denied", summary: "The gate or an approver said no to a version of a draft" },
    StepType { kind: "draft.cancelled", summary: "A draft was given up or taken back" },
    StepType { kind: "draft.expired", summary: "The time of a draft was over" },
    StepType { kind: "draft.failed", summary: "No recipient's server took a draft" },
    StepType { kind: "draft.unknown", summary: "Nobody knows whether a recipient's server took a draft" },
    StepType {
        kind: "draft.handed_off",
        summary: "The app is asked to send a draft itself, by the operation in `operations`",
    },
    StepType {
        kind: "draft.sent",
        summary: "Recipients' servers took a draft; `state` is `partly_sent` where some did not",
    },
    StepType { kind: "draft.deferred", summary: "A recipient's server asked to come back later" },
    StepType { kind: "draft.bounced", summary: "Mail to a recipient came back" },
    StepType { kind: "draft.complained", summary: "A recipient complained of the mail" },
    StepType { kind: "approval.requested", summary: "People are asked, on the page in `links`" },
    StepType { kind: "approval.approved", summary: "A person said yes" },
    StepType { kind: "approval.rejected", summary: "A person said no; `reasons` say why" },
    StepType { kind: "approval.expired", summary: "Nobody answered in time" },
    StepType { kind: "approval.escalated", summary: "Nobody has answered for long: others are asked too" },
];

/// A step, and what it tells.
struct Step {
    /// Its word in the audit log.
    action: &'static str,
    /// The `state` or `reason` that its detail must have; empty: whichever.
    of: &'static str,
    /// Types, in the order in which they are told.
    tells: &'static [&'static str],
}

const fn step(action: &'static str, of: &'static str, tells: &'static [&'static str]) -> Step {
    Step { action, of, tells }
}

const STEPS: &[Step] = &[
    step("draft.created", "", &["draft.created"]),
    step("draft.edited", "", &["draft.updated"]),
    step("approval.asked", "", &["draft.blocked", "approval.requested"]),
    step("draft.held", "", &["draft.blocked"]),
    step("approval.approved", "", &["approval.approved"]),
    step("approval.rejected", "", &["approval.rejected", "draft.denied"]),
    step("approval.expired", "", &["approval.expired"]),
    step("approval.expired", "expired", &["draft.expired"]),
    step("approval.escalated", "", &["approval.escalated"]),
    step("draft.released", "", &["draft.released"]),
    step("draft.handed_off", "", &["draft.handed_off"]),
    step("draft.reported", "", &["draft.updated"]),
    step("draft.copy_seen", "handed_off", &["draft.updated"]),
    step("draft.denied", "", &["draft.denied"]),
    step("draft.withdrawn", "", &["draft.cancelled"]),
    step("draft.cancelled", "", &["draft.cancelled"]),
    step("release.revoked", "denied", &["draft.denied"]),
    step("release.revoked", "handed_off", &["draft.handed_off"]),
    step("release.revoked", "expired", &["draft.expired"]),
    step("transmission.tried", "deferred", &["draft.deferred"]),
    step("transmission.lost", "deferred", &["draft.deferred"]),
    step("transmission.returned", "hard_bounce", &["draft.bounced"]),
    step("transmission.returned", "complaint", &["draft.complained"]),
    step("draft.settled", "sent", &["draft.sent"]),
    step("draft.settled", "partly_sent", &["draft.sent"]),
    step("draft.settled", "failed", &["draft.failed"]),
    step("draft.settled", "unknown", &["draft.unknown"]),
];

/// What is told of a step, in its order. `is_asked_for` where somebody asked for the release that it is the answer to.
#[must_use]
pub fn types_of(action: &str, detail: &Value, is_asked_for: bool) -> Vec<&'static str> {
    let words = ["state", "reason"].map(|name| detail.get(name).and_then(Value::as_str).unwrap_or_default());
    let fitting = STEPS.iter().filter(|step| step.action == action && (step.of.is_empty() || words.contains(&step.of)));
    let answers =
        ["approval.asked", "draft.held", "draft.released", "draft.handed_off", "draft.denied"].contains(&action);
    let asked = (is_asked_for && answers).then_some("draft.release_requested");
    asked.into_iter().chain(fitting.flat_map(|step| step.tells.iter().copied())).collect()
}

/// Whether an event is about a draft or a question, and not about a message.
#[must_use]
pub fn is_step(kind: &str) -> bool {
    kind.starts_with("draft.") || kind.starts_with("approval.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_is_told_by_a_step_and_every_step_tells_a_type_that_there_is() {
        let types: BTreeSet<_> = STEP_TYPES.iter().map(|one| one.kind).collect();
        assert_eq!(types.len(), STEP_TYPES.len());
        assert!(types.iter().all(|kind| is_step(kind)));
        let told = STEPS.iter().flat_map(|step| step.tells.iter().copied()).chain(["draft.release_requested"]);
        assert_eq!(told.collect::<BTreeSet<_>>(), types);
    }

    #[test]
    fn a_step_is_told_by_its_state_and_what_has_none_is_told_to_nobody() {
        assert_eq!(types_of("draft.settled", &json!({ "state": "partly_sent" }), false), ["draft.sent"]);
        assert_eq!(types_of("transmission.tried", &json!({ "state": "deferred" }), false), ["draft.deferred"]);
        assert!(types_of("transmission.tried", &json!({ "state": "accepted" }), false).is_empty());
        assert!(types_of("draft.copy_seen", &json!({ "version": 1 }), false).is_empty());
        assert!(types_of("draft.sending", &json!({}), true).is_empty());
        assert_eq!(
            types_of("approval.asked", &json!({}), true),
            ["draft.release_requested", "draft.blocked", "approval.requested"]
        );
        assert_eq!(types_of("approval.expired", &json!({}), false), ["approval.expired"]);
        assert_eq!(types_of("approval.expired", &json!({ "state": "expired" }), false).len(), 2);
        assert_eq!(types_of("draft.created", &json!({}), true), ["draft.created"]);
    }
}
