//! Machine mail of every kind, and what must never be taken for it.
//!
//! `tests/corpus/machine` holds mails with what is to be read from them: `development.txt`, by which the rules were made,
//! and `held-back.txt`, by which they are judged.

use std::path::Path;

use proptest::prelude::*;

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
        assert!(matches!(of(mail), Some(Automated::AutoReply { .. })), "{mail}");
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
    assert!(matches!(of(mail), Some(Automated::Bounce { permanence: Permanence::Hard, .. })));
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
    for (action, status, expected) in [("failed", "5.1.1", Permanence::Hard), ("delayed", "4.4.1", Permanence::Soft)] {
        let Some(Automated::Bounce { permanence, recipients, .. }) = of(&mail(action, status)) else { panic!() };
        assert_eq!(permanence, expected);
        assert_eq!((recipients[0].address.as_str(), recipients[0].status.as_str()), ("Bob@lake.example", status));
    }
}

#[test]
fn a_report_that_nothing_failed_is_no_bounce() {
    let mail = "From: MAILER-DAEMON@mx.example\nContent-Type: multipart/report; boundary=b\n\n--b\n\nDone\n--b\n\
                Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n\
                Final-Recipient: rfc822; bob@lake.example\nAction: relayed\nStatus: 2.0.0\n--b--\n";
    assert!(matches!(of(mail), Some(Automated::Delivered { .. })));
}

#[test]
fn an_older_event_of_an_automatic_answer_is_still_read() {
    let stored: Automated = serde_json::from_str(r#"{"kind":"auto_reply"}"#).unwrap();
    assert!(matches!(stored, Automated::AutoReply { return_date: None, original_message_id: None, .. }));
}

/// A mail and what is to be read from it.
struct Case {
    name: String,
    expected: Vec<(String, String)>,
    mail: String,
}

impl Case {
    fn wants(&self, name: &str) -> Option<&str> {
        self.expected.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/machine").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.split("\n%% ").skip(1);
    records
        .map(|record| {
            let (head, mail) = record.split_once("\n%%\n").unwrap();
            let (name, expected) = head.split_once('\n').unwrap();
            let pair =
                |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
            Case { name: name.to_owned(), expected: expected.lines().map(pair).collect(), mail: mail.to_owned() }
        })
        .collect()
}

/// How much of a set was read as it should be: what was right, of how many.
#[derive(Default)]
struct Score {
    right: usize,
    of: usize,
    wrong: Vec<String>,
}

impl Score {
    fn take(&mut self, name: &str, got: &str, wanted: &str) {
        self.of += 1;
        if got == wanted {
            self.right += 1;
        } else {
            self.wrong.push(format!("{name}: {got} is not {wanted}"));
        }
    }

    #[track_caller]
    fn at_least(&self, share: f64) {
        let reached = self.right as f64 / self.of.max(1) as f64;
        assert!(self.of > 0 && reached >= share, "{reached:.3} of {}: {:#?}", self.of, self.wrong);
    }
}

#[derive(Default)]
struct Scores {
    kind: Score,
    addresses: Score,
    class: Score,
    status: Score,
    original: Score,
    returns: Score,
    covering: Score,
    /// People whom a mail system was taken for.
    false_bounces: Vec<String>,
}

fn word(found: Option<&Automated>) -> &'static str {
    match found {
        Some(Automated::Bounce { .. }) => "bounce",
        Some(Automated::Delivered { .. }) => "delivered",
        Some(Automated::AutoReply { .. }) => "auto_reply",
        Some(Automated::List) => "list",
        Some(Automated::Notification) => "notification",
        Some(Automated::ReadReceipt { .. }) => "read_receipt",
        Some(Automated::Complaint { .. }) => "complaint",
        None => "person",
    }
}

fn judge_all(file: &str) -> Scores {
    let mut scores = Scores::default();
    for case in cases(file) {
        let found = of(&case.mail);
        let kind = case.wants("kind").unwrap();
        scores.kind.take(&case.name, word(found.as_ref()), kind);
        if kind != "bounce" && word(found.as_ref()) == "bounce" {
            scores.false_bounces.push(case.name.clone());
        }
        let mut compare = |score: fn(&mut Scores) -> &mut Score, wanted: &str, got: String| {
            if let Some(wanted) = case.wants(wanted) {
                score(&mut scores).take(&case.name, &got, wanted);
            }
        };
        if let Some(Automated::Bounce { permanence, recipients, .. }) = &found {
            let mut addresses: Vec<&str> = recipients.iter().map(|one| one.address.as_str()).collect();
            addresses.sort_unstable();
            let class = serde_json::to_value(permanence).unwrap();
            compare(|all| &mut all.addresses, "to", addresses.join(", "));
            compare(|all| &mut all.class, "class", class.as_str().unwrap().to_owned());
            let status = recipients.first().map(|one| one.status.clone()).unwrap_or_default();
            compare(|all| &mut all.status, "status", status);
        }
        let original = found.as_ref().and_then(Automated::original_message_id).unwrap_or_default().to_owned();
        compare(|all| &mut all.original, "original", original);
        if let Some(Automated::AutoReply { return_date, covering, .. }) = &found {
            let wanted = |name: &str| case.wants(name).unwrap_or_default();
            scores.returns.take(&case.name, return_date.as_deref().unwrap_or_default(), wanted("returns"));
            scores.covering.take(&case.name, &covering.join(", "), wanted("covering"));
        }
    }
    scores
}

#[test]
fn the_development_set_is_read_as_it_should_be() {
    let scores = judge_all("development.txt");
    for score in [
        &scores.kind,
        &scores.addresses,
        &scores.class,
        &scores.status,
        &scores.original,
        &scores.returns,
        &scores.covering,
    ] {
        score.at_least(1.0);
    }
}

#[test]
fn what_was_held_back_is_read_almost_as_well_and_no_person_is_taken_for_a_bounce() {
    let scores = judge_all("held-back.txt");
    assert_eq!(scores.false_bounces, Vec::<String>::new());
    scores.kind.at_least(1.0);
    scores.addresses.at_least(1.0);
    scores.class.at_least(1.0);
    scores.status.at_least(1.0);
    scores.original.at_least(1.0);
    scores.returns.at_least(1.0);
    scores.covering.at_least(1.0);
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_the_reader_of_notices_fail(text in "\\PC{0,400}", subject in "\\PC{0,60}") {
        let fields = Fields { from: "MAILER-DAEMON@x.example", subject: &subject, text: &text, ..Fields::default() };
        let _ = automated_by_fields(&fields);
        let written = Some(Timestamp::from_micros(1_780_000_000_000_000));
        let away = Fields { from: "a@x.example", subject: "Automatic reply", text: &text, written, ..Fields::default() };
        let _ = automated_by_fields(&away);
    }

    #[test]
    fn words_of_bounces_in_any_order_do_no_harm(
        words in prop::collection::vec(prop::sample::select(vec![
            "<a@b.example>:", "@", "5.1.1", "550", "until", "16.", "März", "back on", "2026年8月24日まで", "-- original",
            "Message-ID:", "<x@y>", "\n", "{\"bounce\":{", "Final-Recipient: rfc822; c@d.example", "99/99/99", "Monday,",
        ]), 0..60)
    ) {
        let text = words.join(" ");
        let written = Some(Timestamp::from_micros(i64::MAX));
        for from in ["MAILER-DAEMON@x.example", "no-reply@sns.amazonaws.com", "a@x.example"] {
            for written in [written, None, Some(Timestamp::from_micros(1_780_000_000_000_000))] {
                let _ = automated_by_fields(&Fields { from, subject: "Automatic reply", text: &text, written, ..Fields::default() });
            }
        }
    }
}
