//! The fields of delivery reports, receipts and complaints.
//!
//! Standards: RFC 3464 (delivery status), RFC 8098 (disposition), RFC 5965 (feedback).

use super::{Automated, FailedRecipient, Permanence};
use crate::mail::address::Mailbox;
use crate::mail::message::{Message, Report, ReportKind};

/// Most recipients that are kept of one report.
const RECIPIENTS: usize = 1_000;

/// What the report of `message` says.
pub(super) fn read(report: &Report, message: &Message) -> Automated {
    let original_message_id = message.returned_message_id.clone();
    match report.kind {
        ReportKind::DeliveryStatus => {
            let recipients = recipients(&report.fields);
            if !recipients.is_empty() && recipients.iter().all(is_no_failure) {
                return Automated::Delivered { recipients, original_message_id };
            }
            Automated::Bounce { permanence: permanence(&recipients), recipients, original_message_id }
        }
        ReportKind::Disposition => Automated::ReadReceipt {
            // RFC 8098 §3.2.5
            original_message_id: value(&report.fields, "original-message-id")
                .as_deref()
                .map(unbracketed)
                .or(original_message_id),
        },
        ReportKind::Feedback => Automated::Complaint {
            feedback_type: value(&report.fields, "feedback-type").unwrap_or_default().to_lowercase(),
            original_message_id,
        },
    }
}

/// The recipients that groups of fields tell of (RFC 3464 §2.3).
pub(super) fn recipients(fields: &str) -> Vec<FailedRecipient> {
    groups(fields).iter().filter_map(recipient).take(RECIPIENTS).collect()
}

/// The worst that a report says of any recipient.
pub(super) fn permanence(recipients: &[FailedRecipient]) -> Permanence {
    let is_hard = |one: &FailedRecipient| one.status.starts_with('5') && matches!(one.action.as_str(), "failed" | "");
    let is_soft = |one: &FailedRecipient| one.status.starts_with('4') || one.action == "delayed";
    if recipients.iter().any(is_hard) {
        Permanence::Hard
    } else if recipients.iter().any(is_soft) {
        Permanence::Soft
    } else {
        Permanence::Unknown
    }
}

/// RFC 3464 §2.3.3: `delivered`, `relayed` and `expanded` are no failures.
fn is_no_failure(one: &FailedRecipient) -> bool {
    matches!(one.action.as_str(), "delivered" | "relayed" | "expanded")
}

type Group = Vec<(String, String)>;

/// Groups of fields, parted by blank lines (RFC 3464 §2.1); folded lines are joined.
fn groups(fields: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![Vec::new()];
    for line in fields.lines() {
        if line.trim().is_empty() {
            groups.push(Vec::new());
            continue;
        }
        let Some(group) = groups.last_mut() else { continue };
        match line.split_once(':') {
            _ if line.starts_with([' ', '\t']) => {
                if let Some((_, value)) = group.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
            Some((name, value)) => group.push((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
            None => {}
        }
    }
    groups
}

fn field<'a>(group: &'a Group, name: &str) -> Option<&'a str> {
    group.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn value(fields: &str, name: &str) -> Option<String> {
    groups(fields).iter().find_map(|group| field(group, name).map(str::to_owned))
}

/// RFC 3464 §2.3; `None` for a group about no recipient.
fn recipient(group: &Group) -> Option<FailedRecipient> {
    let last = field(group, "final-recipient").map(address);
    let first = field(group, "original-recipient").map(address);
    // An address of another kind (X.400) is nothing that could be written to.
    let last = last.filter(|last| last.contains('@') || first.is_none());
    let address = last.clone().or_else(|| first.clone())?;
    let status = field(group, "status").unwrap_or_default();
    let status = status.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next().unwrap_or_default();
    Some(FailedRecipient {
        original_address: first.filter(|first| last.as_ref().is_some_and(|last| !last.eq_ignore_ascii_case(first))),
        address,
        action: action(field(group, "action").unwrap_or_default()),
        status: status.to_owned(),
    })
}

/// RFC 3464 §2.3.1: `rfc822; address`.
fn address(field: &str) -> String {
    let address = field.split_once(';').map_or(field, |(_, address)| address).trim();
    let address = address.trim_matches(['<', '>']).trim();
    Mailbox::parse(address).map_or_else(|_| address.to_owned(), |mailbox| mailbox.to_string())
}

/// The action's word without a comment. Some systems have words of their own for a failure.
fn action(field: &str) -> String {
    let word = field.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "failure" | "error" | "fail" => "failed".to_owned(),
        "delay" | "deferred" => "delayed".to_owned(),
        other => other.to_owned(),
    }
}

fn unbracketed(id: &str) -> String {
    id.trim().trim_matches(['<', '>']).to_owned()
}
