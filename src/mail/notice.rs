//! Mail that no person wrote: delivery reports, receipts, complaints, automatic answers, list mail.
//!
//! Such mail must never be answered. This is decided before everything else, since everything else assumes an author.
//!
//! Standards: RFC 3464 (DSN), RFC 8098 (MDN), RFC 5965 (ARF), RFC 3834 (automatic answers), RFC 2919 and 2369 (lists).

use serde::{Deserialize, Serialize};

use crate::mail::address::Mailbox;
use crate::mail::message::{Message, Report, ReportKind};

/// What kind of machine mail a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Automated {
    /// A report that something could not be delivered, or is late.
    Bounce {
        /// Whether trying again can help.
        permanence: Permanence,
        /// Whom the report is about; empty when it does not say.
        recipients: Vec<FailedRecipient>,
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
    /// An automatic answer, such as out-of-office.
    AutoReply,
    /// Mail of a mailing list or newsletter.
    List,
    /// A notification by a machine.
    Notification,
    /// A receipt: the mail was displayed, deleted, …
    ReadReceipt {
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
    /// A complaint about mail that was sent (ARF).
    Complaint {
        /// Feedback-Type, such as `abuse`; empty when it is not given.
        feedback_type: String,
        /// Message-ID of the mail it is about.
        original_message_id: Option<String>,
    },
}

/// Whether a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permanence {
    /// Status 5.x.x with action `failed`: trying again does not help.
    Hard,
    /// Status 4.x.x, or a delay.
    Soft,
    /// The report does not say.
    Unknown,
}

/// One recipient of a delivery report (RFC 3464 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRecipient {
    /// Original-Recipient where given, else Final-Recipient.
    pub address: String,
    /// Action, lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// Status code, such as `5.1.1`; empty when it is not given.
    pub status: String,
}

/// What kind of machine mail `message` is; `None` for what a person may have written.
#[must_use]
pub fn automated(message: &Message, reverse_path_is_null: bool) -> Option<Automated> {
    if let Some(report) = &message.report {
        return Some(of_report(report));
    }
    if is_bounce_without_report(message, reverse_path_is_null) {
        return Some(Automated::Bounce {
            permanence: Permanence::Unknown,
            recipients: Vec::new(),
            original_message_id: None,
        });
    }
    if is_auto_reply(message) {
        return Some(Automated::AutoReply);
    }
    let precedence = message.trace.precedence.as_deref().unwrap_or_default();
    if !message.list.is_empty() || matches!(precedence, "list" | "bulk" | "junk") {
        return Some(Automated::List);
    }
    // RFC 3834 §5: everything but `no` was made without a person.
    let is_generated = message.trace.auto_submitted.as_deref().is_some_and(|word| word != "no");
    (is_generated || reverse_path_is_null || is_machine(message)).then_some(Automated::Notification)
}

/// Subjects that mail systems put on reports without a machine-readable part.
const BOUNCE_SUBJECTS: [&str; 14] = [
    "undeliverable",
    "undelivered mail",
    "delivery status notification",
    "mail delivery failed",
    "mail delivery failure",
    "delivery failure",
    "failure notice",
    "returned mail",
    "message not delivered",
    "unzustellbar",
    "nicht zustellbar",
    "non remis",
    "no se pudo entregar",
    "mancato recapito",
];

/// Subjects that automatic answerers put in front of the original one.
const AUTO_REPLY_SUBJECTS: [&str; 14] = [
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "out of office",
    "out of the office",
    "automatische antwort",
    "abwesenheitsnotiz",
    "abwesenheit:",
    "réponse automatique",
    "respuesta automática",
    "risposta automatica",
    "resposta automática",
    "automatisch antwoord",
];

/// Local parts under which machines write.
const MACHINES: [&str; 8] = [
    "no-reply",
    "noreply",
    "do-not-reply",
    "donotreply",
    "notification",
    "notifications",
    "mailer-daemon",
    "postmaster",
];

fn is_bounce_without_report(message: &Message, reverse_path_is_null: bool) -> bool {
    let is_mailer = matches!(local_part(message).as_str(), "mailer-daemon" | "postmaster" | "mail-daemon");
    // A subject alone proves nothing: people write "Undeliverable" too.
    (is_mailer || reverse_path_is_null) && starts_with_one(&message.subject, &BOUNCE_SUBJECTS)
}

fn is_auto_reply(message: &Message) -> bool {
    let is_replied = message.trace.auto_submitted.as_deref() == Some("auto-replied"); // RFC 3834 §5
    let precedence = message.trace.precedence.as_deref();
    let is_vacation = matches!(precedence, Some("auto_reply" | "auto-reply"));
    let has_subject = starts_with_one(&message.subject, &AUTO_REPLY_SUBJECTS);
    is_replied || is_vacation || message.trace.has_auto_reply_mark || has_subject
}

fn is_machine(message: &Message) -> bool {
    MACHINES.contains(&local_part(message).as_str())
}

fn local_part(message: &Message) -> String {
    let mailbox = message.author.as_ref().and_then(|author| author.mailbox.as_ref());
    mailbox.map(|mailbox| mailbox.split_detail().0.to_lowercase()).unwrap_or_default()
}

fn starts_with_one(subject: &str, starts: &[&str]) -> bool {
    let subject = subject.to_lowercase();
    starts.iter().any(|start| subject.starts_with(start))
}

fn of_report(report: &Report) -> Automated {
    let original_message_id = report.returned_message_id.clone();
    let groups = groups(&report.fields);
    let value = |name: &str| groups.iter().find_map(|group| field(group, name));
    match report.kind {
        ReportKind::DeliveryStatus => {
            let recipients: Vec<FailedRecipient> =
                groups.iter().filter_map(failed_recipient).take(RECIPIENTS).collect();
            Automated::Bounce { permanence: permanence(&recipients), recipients, original_message_id }
        }
        ReportKind::Disposition => Automated::ReadReceipt {
            // RFC 8098 §3.2.5
            original_message_id: value("original-message-id").map(unbracketed).or(original_message_id),
        },
        ReportKind::Feedback => Automated::Complaint {
            feedback_type: value("feedback-type").unwrap_or_default().to_lowercase(),
            original_message_id,
        },
    }
}

/// Most recipients that are kept of one report.
const RECIPIENTS: usize = 1_000;

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

/// RFC 3464 §2.3; `None` for a group about no recipient.
fn failed_recipient(group: &Group) -> Option<FailedRecipient> {
    let address = field(group, "original-recipient").or_else(|| field(group, "final-recipient"))?;
    // RFC 3464 §2.3.1: `rfc822; address`
    let address = address.split_once(';').map_or(address, |(_, address)| address).trim();
    let address = address.trim_matches(['<', '>']);
    let address = Mailbox::parse(address).map_or_else(|_| address.to_owned(), |mailbox| mailbox.to_string());
    let status = field(group, "status").unwrap_or_default();
    Some(FailedRecipient {
        address,
        action: field(group, "action").unwrap_or_default().to_ascii_lowercase(),
        status: status.split_whitespace().next().unwrap_or_default().to_owned(),
    })
}

/// The worst that a report says of any recipient.
fn permanence(recipients: &[FailedRecipient]) -> Permanence {
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

fn unbracketed(id: &str) -> String {
    id.trim().trim_matches(['<', '>']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{Limits, read};

    fn of(mail: &str) -> Option<Automated> {
        automated(&read(mail.as_bytes(), &Limits::default()), false)
    }

    #[test]
    fn a_person_is_no_machine() {
        assert_eq!(of("From: Ann <ann@lake.example>\nSubject: Undeliverable goods\n\nHello"), None);
        assert_eq!(of("From: ann@lake.example\nAuto-Submitted: no\nSubject: Re: Out of office\n\nHello"), None);
    }

    #[test]
    fn automatic_answers_are_known_by_header_or_subject() {
        for mail in [
            "From: a@b.example\nAuto-Submitted: auto-replied; owner-email=\"x@y\"\n\nBack on Monday",
            "From: a@b.example\nX-Autoreply: yes\n\nBack on Monday",
            "From: a@b.example\nSubject: Automatische Antwort: Angebot\n\nZur\u{fc}ck am Montag",
            "From: a@b.example\nPrecedence: auto_reply\n\nBack",
        ] {
            assert_eq!(of(mail), Some(Automated::AutoReply), "{mail}");
        }
    }

    #[test]
    fn lists_and_notifications_are_told_apart() {
        assert_eq!(of("From: a@b.example\nList-Id: <x.lists.example>\n\nNews"), Some(Automated::List));
        assert_eq!(of("From: no-reply@b.example\n\nYour code"), Some(Automated::Notification));
    }

    #[test]
    fn a_bounce_needs_a_mailer_or_a_null_reverse_path() {
        let mail = "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n\nNo such user";
        assert!(matches!(of(mail), Some(Automated::Bounce { permanence: Permanence::Unknown, .. })));
        let person = "From: a@b.example\nSubject: Undelivered mail?\n\nDid you get it?";
        assert_eq!(of(person), None);
    }

    #[test]
    fn a_delayed_report_is_soft_and_a_failed_one_hard() {
        let mail = |action: &str, status: &str| {
            format!(
                "From: MAILER-DAEMON@mx.example\nContent-Type: multipart/report; boundary=b\n\n--b\n\nSorry\n--b\n\
                 Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n\
                 Final-Recipient: rfc822; Bob@Lake.Example\nAction: {action}\nStatus: {status} (why)\n--b--\n"
            )
        };
        for (action, status, expected) in [
            ("failed", "5.1.1", Permanence::Hard),
            ("delayed", "4.4.1", Permanence::Soft),
            ("relayed", "2.0.0", Permanence::Unknown),
        ] {
            let Some(Automated::Bounce { permanence, recipients, .. }) = of(&mail(action, status)) else { panic!() };
            assert_eq!(permanence, expected);
            assert_eq!((recipients[0].address.as_str(), recipients[0].status.as_str()), ("Bob@lake.example", status));
        }
    }
}
