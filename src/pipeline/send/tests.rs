//! What the gate is asked with.

use super::*;
use crate::governance::gate::Transmission;
use crate::governance::{Evidence, IdentityOwner};
use crate::ids::{DraftId, MailboxId, ReleaseId, TenantId};
use crate::store::releases::TransmissionProgress;

/// A release that is in flight to the first of two for this many attempts, while the other waits for its next one.
fn stored(attempts: u32) -> StoredRelease {
    let at = Timestamp::from_micros(0);
    let one = |name: &str, state| Transmission { recipient: Mailbox::parse(name).unwrap(), state };
    let progress = |attempts| TransmissionProgress {
        attempts,
        next_attempt_at: at,
        host: None,
        reply: Some("the sender was lost before the end of data".into()),
        finished_at: None,
        returned_by: None,
    };
    StoredRelease {
        row: ReleaseRow {
            id: ReleaseId::from_bits(1),
            draft: DraftId::from_bits(2),
            tenant: TenantId::from_bits(3),
            mailbox: MailboxId::from_bits(4),
            content_hash: "0".repeat(64).parse().unwrap(),
            evidence: Evidence::Policy { version: "default".into() },
            policy_version: "default".into(),
            owner: IdentityOwner::Connex,
            released_at: at,
            expires_at: at.plus(Duration::from_secs(60)),
            transmissions: vec![
                one("ann@lakeside.example", TransmissionState::InFlight),
                one("bob@lakeside.example", TransmissionState::Deferred),
            ],
        },
        version: 1,
        route: Some("direct".into()),
        ended_at: None,
        progress: vec![progress(attempts), progress(1)],
    }
}

#[test]
fn a_draft_that_did_not_begin_to_be_sent_is_asked_about_as_for_the_first_time() {
    let first = |attempts, draft| before_claim(&stored(attempts), &[0], draft).transmissions[0].state;
    assert_eq!(first(3, DraftState::Released), TransmissionState::Pending, "two senders were lost over it");
    assert_eq!(first(3, DraftState::Sending), TransmissionState::Deferred);
    assert_eq!(first(1, DraftState::Sending), TransmissionState::Pending, "held for the first time, beside another");
}

#[test]
fn what_another_sender_may_claim_is_not_sent_to_by_this_one() {
    let states = before_claim(&stored(1), &[0], DraftState::Sending).transmissions;
    assert_eq!(states[1].state, TransmissionState::InFlight);
    assert!(!states[1].state.is_waiting());
}
