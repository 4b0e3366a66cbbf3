use proptest::prelude::*;

use super::*;
use crate::mail::message::{Limits, read};

fn of(mail: &str) -> ThreadKeys {
    keys(&read(mail.as_bytes(), &Limits::default()), None, |mailbox| mailbox.domain().as_str() == "y.example")
}

fn share_one(one: &[[u8; 32]], other: &[[u8; 32]]) -> bool {
    one.iter().any(|key| other.contains(key))
}

#[test]
fn base_subjects_are_equal_whatever_the_program_put_in_front() {
    for subject in [
        "Re: Offer",
        "AW: re: [deals] Offer",
        "  FWD [2]:  Offer",
        "Re[3]: offer",
        "[deals] Re: Offer",
        "RE : Offer",
        "WG: Offer",
        "SV: VS: Offer",
        "RV: Offer",
        "RES: ENC: Offer",
        "Odp: Offer",
        "Antw: Offer",
        "回复：Offer",
        "转发: Offer",
        "返信: Offer",
    ] {
        assert_eq!(base_subject(subject), ("offer".to_owned(), true), "{subject}");
    }
    assert_eq!(base_subject("Offer: new"), ("offer: new".to_owned(), false));
    assert_eq!(base_subject("Re-order: new"), ("re-order: new".to_owned(), false));
    assert_eq!(base_subject("[deals]"), ("[deals]".to_owned(), false));
    assert_eq!(base_subject("Re:"), (String::new(), true));
}

#[test]
fn the_nearest_ancestor_comes_first_and_never_the_message_itself() {
    let keys = of("Message-ID: <3@x>\nReferences: <1@x> <2@x> <3@x>\nIn-Reply-To: <2@x>\n\n");
    assert_eq!(keys.answers, ["2@x", "1@x"]);
    assert!(!keys.may_join_by_subject);
}

#[test]
fn a_subject_joins_only_answers_among_the_same_people() {
    let first = of("From: a@x.example\nTo: b@y.example\nSubject: Offer\n\n");
    let answer = of("From: B@y.example\nTo: A@x.example\nSubject: Re: Offer\n\n");
    let other = of("From: c@z.example\nTo: b@y.example\nSubject: Re: Offer\n\n");
    assert!(answer.may_join_by_subject && !first.may_join_by_subject);
    assert!(share_one(&answer.subjects, &first.subjects));
    assert!(!share_one(&other.subjects, &first.subjects));
    assert!(of("From: a@x.example\nSubject: Re: Offer\n\n").subjects.is_empty());
    assert!(!of("From: a@x.example\nTo: b@y.example\nSubject: Fwd: Offer\n\n").may_join_by_subject);
}

#[test]
fn the_index_of_outlook_joins_only_what_has_its_subject_and_people_outside_in_common() {
    let mail = |from: &str, subject: &str, index: &str| {
        of(&format!("From: {from}\nTo: b@y.example\nSubject: {subject}\nThread-Index: {index}\n\n"))
    };
    let index = "Adl6AQAAAAEBAQEBAQEBAQEBAQEBAQ==";
    let first = mail("a@x.example", "Offer", index);
    assert!(share_one(&mail("A@x.example", "RE: Offer", index).outlook, &first.outlook));
    assert!(!share_one(&mail("c@z.example", "Offer", index).outlook, &first.outlook));
    assert!(!share_one(&mail("a@x.example", "Rent", index).outlook, &first.outlook));
    for none in ["", "AQ==", "not base64 at all, and long enough", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(mail("a@x.example", "Offer", none).outlook.is_empty(), "{none}");
    }
}

proptest! {
    #[test]
    fn a_prefix_more_changes_no_base_subject(subject in "\\PC{0,60}", prefix in prop::sample::select(vec!["Re: ", "AW:", "Fwd: ", "回复："])) {
        let (base, _) = base_subject(&subject);
        prop_assert_eq!(base_subject(&format!("{prefix}{subject}")), (base, true));
    }

    #[test]
    fn the_keys_of_any_header_are_few(header in "(From|To|Subject|References|Thread-Index): [ -~]{0,300}") {
        let keys = of(&format!("{header}\n\n"));
        prop_assert!(keys.answers.len() <= ANSWERS && keys.outlook.len() <= PEOPLE && keys.subjects.len() <= PEOPLE);
    }
}
