use std::fmt::Write;

use super::*;
use crate::governance::fixture::check_golden;

#[test]
fn the_steps_are_as_written_down() {
    let mut matrix = String::from("draft\n");
    for state in DraftState::ALL {
        let steps = DraftEvent::ALL.iter().map(|event| (event.as_str(), state.next(*event).map(DraftState::as_str)));
        write_row(&mut matrix, state.as_str(), steps);
    }
    matrix.push_str("\ntransmission\n");
    for state in TransmissionState::ALL {
        let steps = TransmissionEvent::ALL
            .iter()
            .map(|event| (event.as_str(), state.next(*event).map(TransmissionState::as_str)));
        write_row(&mut matrix, state.as_str(), steps);
    }
    check_golden("lifecycles.txt", &matrix);
}

fn write_row<'a>(
    matrix: &mut String,
    state: &str,
    steps: impl Iterator<Item = (&'a str, Result<&'static str, IllegalMove>)>,
) {
    for (event, to) in steps {
        writeln!(matrix, "  {state:<17} {event:<24} {}", to.unwrap_or("-")).unwrap();
    }
}

#[test]
fn no_step_is_listed_twice() {
    for (place, (from, event, _)) in DRAFT_STEPS.iter().enumerate() {
        assert!(!DRAFT_STEPS[..place].iter().any(|(other, by, _)| (other, by) == (from, event)), "{from:?} {event:?}");
    }
    for (place, (from, event, _)) in TRANSMISSION_STEPS.iter().enumerate() {
        assert!(!TRANSMISSION_STEPS[..place].iter().any(|(other, by, _)| (other, by) == (from, event)));
    }
}

#[test]
fn words_read_back_and_are_the_stored_ones() {
    for state in DraftState::ALL {
        assert_eq!(DraftState::from_word(state.as_str()), Some(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for state in TransmissionState::ALL {
        assert_eq!(TransmissionState::from_word(state.as_str()), Some(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert_eq!(DraftState::from_word("Sent"), None);
}

#[test]
fn sending_begins_only_from_released() {
    for state in DraftState::ALL {
        assert_eq!(state.next(DraftEvent::BeginSending).is_ok(), *state == DraftState::Released, "{state:?}");
    }
}

#[test]
fn an_edit_of_what_was_approved_needs_approval_again() {
    for state in [DraftState::PendingApproval, DraftState::Approved] {
        assert_eq!(state.next(DraftEvent::Edit), Ok(DraftState::Draft));
    }
    for state in [DraftState::Released, DraftState::Sending, DraftState::Sent, DraftState::Unknown] {
        assert!(state.next(DraftEvent::Edit).is_err());
    }
}

#[test]
fn what_nobody_knows_is_never_claimed_again() {
    let claim = TransmissionEvent::Claim;
    for state in TransmissionState::ALL {
        assert_eq!(state.next(claim).is_ok(), state.is_waiting(), "{state:?}");
    }
    let error = TransmissionState::Unknown.next(claim).unwrap_err();
    assert_eq!(error.to_string(), "a transmission that is `unknown` cannot become anything by `claim`");
}

#[test]
fn a_sender_lost_before_end_of_data_is_tried_again_and_one_lost_after_it_is_not() {
    let lost = |event| TransmissionState::InFlight.next(event).unwrap();
    assert!(lost(TransmissionEvent::LostBeforeEndOfData).is_waiting());
    assert_eq!(lost(TransmissionEvent::LostAfterEndOfData), TransmissionState::Unknown);
}

#[test]
fn a_draft_ends_as_its_transmissions_did() {
    use TransmissionState::{Accepted, Deferred, InFlight, Pending, Rejected, Unknown};
    for (states, expected) in [
        (&[][..], None),
        (&[Accepted, Pending], None),
        (&[Unknown, Deferred], None),
        (&[Rejected, InFlight], None),
        (&[Accepted, Accepted], Some(DraftEvent::AllAccepted)),
        (&[Accepted, Rejected], Some(DraftEvent::SomeAccepted)),
        (&[Rejected, Rejected], Some(DraftEvent::NoneAccepted)),
        (&[Accepted, Unknown], Some(DraftEvent::NobodyKnows)),
    ] {
        assert_eq!(DraftEvent::of_transmissions(states), expected, "{states:?}");
        if let Some(event) = expected {
            assert!(DraftState::Sending.next(event).is_ok());
        }
    }
}
