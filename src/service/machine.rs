//! What mail that no person wrote means for a decision, whichever door it came by.

use crate::contract::answer::OperationType;
use crate::decide::{Automated, Decision, ProposedOperation};
use crate::mail::notice::{self, FailedRecipient};

/// The same in the engine's words.
#[must_use]
pub fn kind(found: &notice::Automated) -> Automated {
    match found {
        notice::Automated::Bounce { .. } => Automated::Bounce,
        notice::Automated::AutoReply { .. } => Automated::AutoReply,
        notice::Automated::List => Automated::List,
        notice::Automated::Notification
        | notice::Automated::Delivered { .. }
        | notice::Automated::ReadReceipt { .. }
        | notice::Automated::Complaint { .. } => Automated::Notification,
    }
}

/// A bounce is about the recipients that it names, not about the mail system that wrote it; and only a failure that lasts
/// is a reason to write to nobody there again (RFC 3464 §2.3.3).
pub fn suppress_failed(decision: &mut Decision, found: Option<&notice::Automated>) {
    let Some(found @ notice::Automated::Bounce { .. }) = found else { return };
    let is_suppression = |operation: &ProposedOperation| operation.kind == OperationType::SuppressRecipient;
    let Some(place) = decision.operations.iter().position(is_suppression) else { return };
    let model = decision.operations.remove(place);
    let addresses = found.condemned().flat_map(FailedRecipient::addresses).take(SUPPRESSED);
    for (at, address) in (place..).zip(addresses) {
        let params = serde_json::json!({ "address": address, "cause": "delivery_failed" });
        decision.operations.insert(at, ProposedOperation { params, ..model.clone() });
    }
}

/// Addresses of one report that are suppressed.
const SUPPRESSED: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::decide::{AppProfile, Engine, Matter};
    use crate::mail::notice::Permanence;

    fn of_a_bounce() -> Decision {
        let text = "The following address failed: user unknown";
        let mut matter = Matter::of("Undelivered Mail Returned to Sender", text, Timestamp::from_micros(0));
        matter.author = Some("mailer-daemon@mx.example");
        matter.automated = Some(Automated::Bounce);
        Engine::new().unwrap().decide(&matter, &AppProfile::default())
    }

    fn suppressed(decision: &Decision) -> Vec<&serde_json::Value> {
        let is_suppression = |operation: &&ProposedOperation| operation.kind == OperationType::SuppressRecipient;
        decision.operations.iter().filter(is_suppression).map(|operation| &operation.params["address"]).collect()
    }

    fn bounce(permanence: Permanence, recipients: Vec<FailedRecipient>) -> notice::Automated {
        notice::Automated::Bounce { permanence, recipients, original_message_id: None }
    }

    fn failed(address: &str, action: &str, status: &str) -> FailedRecipient {
        FailedRecipient {
            address: address.into(),
            original_address: None,
            action: action.into(),
            status: status.into(),
        }
    }

    #[test]
    fn a_bounce_suppresses_whom_it_names_and_only_for_a_failure_that_lasts() {
        let recipients = vec![
            failed("gone@client.example", "failed", "5.1.1"),
            failed("late@client.example", "delayed", "4.4.1"),
            failed("full@client.example", "failed", "4.2.2"),
            failed("refused@client.example", "failed", "5.7.1"),
            failed("large@client.example", "failed", "5.3.4"),
        ];
        let mut decision = of_a_bounce();
        assert_eq!(suppressed(&decision).len(), 1, "the engine proposes it");
        suppress_failed(&mut decision, Some(&bounce(Permanence::Hard, recipients.clone())));
        assert_eq!(suppressed(&decision), ["gone@client.example"]);
        let mut decision = of_a_bounce();
        suppress_failed(&mut decision, Some(&bounce(Permanence::Soft, recipients)));
        assert!(suppressed(&decision).is_empty());
    }

    #[test]
    fn the_address_that_was_written_to_is_suppressed_with_the_one_that_it_leads_to() {
        let mut one = failed("real@host.example", "failed", "5.1.1");
        one.original_address = Some("alias@client.example".into());
        let mut decision = of_a_bounce();
        suppress_failed(&mut decision, Some(&bounce(Permanence::Hard, vec![one])));
        assert_eq!(suppressed(&decision), ["alias@client.example", "real@host.example"]);
    }
}
