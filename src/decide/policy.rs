//! Whether a person must approve what goes out in answer, and how soon one should look.
//!
//! Approval is the union of rules: the status's own default, words of money, law, personal data and identity, low
//! confidence, any abuse signal. A rule can add an approval; nothing takes one away. Reasons are public codes:
//!
//! | code | rule |
//! |---|---|
//! | by status, from `playbook.toml`, e.g. `commitment_requested` | the status asks for approval by default |
//! | `money_involved`, `legal_language`, `personal_data`, `identity_or_access` | words of that kind in the new text |
//! | `low_confidence` | the engine abstained |
//! | `abuse_suspected` | any abuse signal, quoted text included |

use std::collections::BTreeMap;

use super::signals::{Fired, Signals};
use super::taxonomy::Status;
use super::verdict::Verdict;
use crate::contract::answer::Priority;

/// Signals whose firing demands approval, and the code of the reason.
const APPROVAL_SIGNALS: [(&str, &str); 4] = [
    ("speaks_of_money", "money_involved"),
    ("speaks_of_law", "legal_language"),
    ("speaks_of_personal_data", "personal_data"),
    ("speaks_of_identity", "identity_or_access"),
];

/// Every public reason for approval; empty when none applies.
pub(super) fn approval_reasons(
    status: &Status,
    status_reason: Option<&str>,
    verdict: &Verdict,
    fired: (&Signals, &BTreeMap<usize, Fired>),
) -> Vec<String> {
    let mut reasons = Vec::new();
    if verdict.abstained {
        reasons.push("low_confidence".to_owned());
    }
    if status.approval_required && !verdict.abstained {
        reasons.push(status_reason.unwrap_or("status_default").to_owned());
    }
    // A machine that wrote the mail gets no answer, so its words ask for none to be approved.
    if status.area != "machine" {
        for (code, reason) in APPROVAL_SIGNALS {
            if has_fired(fired, code) {
                reasons.push(reason.to_owned());
            }
        }
    }
    if !verdict.abuse.is_empty() {
        reasons.push("abuse_suspected".to_owned());
    }
    let mut named = std::collections::BTreeSet::new();
    reasons.retain(|reason| named.insert(reason.clone()));
    reasons
}

/// The status's default, raised by words of urgency, lowered by "no rush".
///
/// Mail of machines and abuse is never raised: its urgency is its trick. What needs approval by default is not lowered
/// under `normal`.
pub(super) fn priority(
    status: &Status,
    due_soon: bool,
    abused: bool,
    fired: (&Signals, &BTreeMap<usize, Fired>),
) -> Priority {
    let default = status.priority;
    if status.area == "machine" || status.area == "abuse" || abused || status.name == "thanks_no_action" {
        return default;
    }
    let raised = if has_fired(fired, "is_emergency") {
        Priority::Urgent
    } else if has_fired(fired, "is_urgent") || due_soon {
        match default {
            Priority::Low => Priority::Normal,
            Priority::Normal => Priority::High,
            // A deadline alone is no emergency.
            Priority::High if has_fired(fired, "is_urgent") && due_soon => Priority::Urgent,
            Priority::High => Priority::High,
            Priority::Urgent => Priority::Urgent,
        }
    } else {
        default
    };
    let floor = if status.approval_required { Priority::Normal } else { Priority::Low };
    if raised == default && default != Priority::Urgent && has_fired(fired, "is_unhurried") {
        return lower(default).max(floor.min(default));
    }
    raised
}

fn lower(priority: Priority) -> Priority {
    match priority {
        Priority::Urgent => Priority::High,
        Priority::High => Priority::Normal,
        Priority::Normal | Priority::Low => Priority::Low,
    }
}

fn has_fired((signals, fired): (&Signals, &BTreeMap<usize, Fired>), code: &str) -> bool {
    fired.keys().any(|&index| signals.signal(index).is_some_and(|signal| signal.code == code))
}
