//! Replies as mail programs write them.

use proptest::prelude::*;

use super::*;

fn check(text: &str, visible: &str, quoted: &str, signature: &str) {
    let spans = split_reply(text);
    assert_eq!((spans.visible.as_str(), spans.quoted.as_str(), spans.signature.as_str()), (visible, quoted, signature));
}

#[test]
fn a_reply_above_its_history_is_found() {
    check(
        "Yes, send it.\n\nOn Tue, 10 Mar 2026 at 09:15, Ann Lee <ann@lake.example> wrote:\n> Shall I?\n> Ann\n",
        "Yes, send it.",
        "On Tue, 10 Mar 2026 at 09:15, Ann Lee <ann@lake.example> wrote:\n> Shall I?\n> Ann",
        "",
    );
}

#[test]
fn a_broken_introduction_is_still_one() {
    check(
        "Nein.\n\nAm Di., 10. März 2026 um 09:15 Uhr schrieb Ann Lee\n<ann@lake.example> und geschrieben:\n> Ja?\n",
        "Nein.",
        "Am Di., 10. März 2026 um 09:15 Uhr schrieb Ann Lee\n<ann@lake.example> und geschrieben:\n> Ja?",
        "",
    );
}

#[test]
fn answers_between_quoted_lines_are_visible() {
    check("> One?\nYes.\n> Two?\nNo.\n", "Yes.\nNo.", "> One?\n> Two?", "");
}

#[test]
fn a_quoted_header_block_ends_the_reply() {
    let text =
        "Please see below.\n\nFrom: Ann <ann@lake.example>\nSent: Monday\nTo: Bob\nSubject: POF\n\nSend proof.\n";
    let spans = split_reply(text);
    assert_eq!(spans.visible, "Please see below.");
    assert!(spans.quoted.ends_with("Send proof."));
}

#[test]
fn a_signature_is_no_visible_text() {
    check("Thanks\n-- \nAnn Lee\nLake Ltd\n", "Thanks", "", "-- \nAnn Lee\nLake Ltd");
    check("Ok\n\nSent from my iPhone\n\n> old\n", "Ok", "> old", "Sent from my iPhone");
}

#[test]
fn a_person_who_writes_about_writing_is_not_history() {
    let text = "On second thought, this is what my boss wrote:\nWe accept.\n";
    check(text, text.trim(), "", "");
}

#[test]
fn text_alone_in_history_or_signature_stays_visible() {
    check("> only this\n", "> only this", "", "");
    check("-- \nAnn\n", "-- \nAnn", "", "");
    check("\n \n", "", "", "");
}

#[test]
fn half_a_million_marked_lines_take_one_pass() {
    let text = "On 1 Mar 2026 a@b.example\n".repeat(50_000) + &"From: a\n".repeat(50_000) + &"> x\n".repeat(50_000);
    assert!(!split_reply(&text).visible.is_empty());
}

proptest! {
    #[test]
    fn no_reply_comes_back_empty(text in "(> |-- |On 1 Jan a@b wrote:|From: x|Sent: y|To: z|abc| |\n){0,40}") {
        let spans = split_reply(&text);
        prop_assert_eq!(spans.visible.trim().is_empty(), text.trim().is_empty());
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).count();
        let all = letters(&spans.visible) + letters(&spans.quoted) + letters(&spans.signature);
        prop_assert_eq!(all, letters(&text));
    }

    #[test]
    fn any_text_is_taken_apart(text: String) {
        prop_assert_eq!(split_reply(&text).visible.trim().is_empty(), text.trim().is_empty());
    }
}
