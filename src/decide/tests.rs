use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::contract::answer::{OperationMode, OperationType, Priority};
use crate::contract::request::AppContext;

#[derive(Deserialize)]
struct Case {
    expect: Vec<String>,
    #[serde(default)]
    language: Option<String>,
    subject: String,
    text: String,
    #[serde(default)]
    full: Option<String>,
}

fn engine() -> Engine {
    Engine::new().expect("the released data files agree")
}

/// Monday.
fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap()
}

fn decide(subject: &str, text: &str) -> Decision {
    engine().decide(&Matter::of(subject, text, now()), &AppProfile::default())
}

fn cases(name: &str) -> Vec<Case> {
    let path = format!("{}/tests/corpus/decide/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(path).unwrap();
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[derive(Debug, Default)]
struct Tally {
    right: usize,
    abstained: usize,
    wrong: usize,
    confidently_wrong: usize,
}

impl Tally {
    fn all(&self) -> usize {
        self.right + self.abstained + self.wrong
    }
}

/// Runs one corpus file and prints what went otherwise than expected.
fn check(name: &str) -> Tally {
    let engine = engine();
    let mut tally = Tally::default();
    for case in cases(name) {
        let mut matter = Matter::of(&case.subject, &case.text, now());
        matter.full_text = case.full.as_deref().unwrap_or("");
        let decision = engine.decide(&matter, &AppProfile::default());
        let status = decision.canonical.status.as_str();
        if case.expect.iter().any(|expected| expected == status) {
            tally.right += 1;
            continue;
        }
        if decision.reasoning.abstained {
            tally.abstained += 1;
        } else {
            tally.wrong += 1;
            tally.confidently_wrong += usize::from(decision.canonical.confidence >= 0.8);
        }
        let codes: Vec<_> = decision.reasoning.signals.iter().map(|signal| signal.code.as_str()).collect();
        println!(
            "{:?} {} not {} ({:.2}): {} | {} {codes:?} {:?}",
            case.language,
            status,
            case.expect.join("/"),
            decision.canonical.confidence,
            case.subject,
            case.text,
            decision.canonical.language,
        );
    }
    println!("{name}: {tally:?} of {}", tally.all());
    tally
}

#[test]
fn clear_english_mail_is_understood() {
    let tally = check("clear-en.jsonl");
    assert!(tally.right * 10 >= tally.all() * 9, "{tally:?}");
}

#[test]
fn clear_mail_in_six_other_languages_is_understood() {
    let tally = check("clear-other-languages.jsonl");
    assert!(tally.right * 10 >= tally.all() * 9, "{tally:?}");
}

#[test]
fn traps_lead_to_few_wrong_answers_and_fewer_confident_ones() {
    let tally = check("traps.jsonl");
    assert!(tally.confidently_wrong * 10 <= tally.all(), "{tally:?}");
    assert!(tally.right * 10 >= tally.all() * 7, "{tally:?}");
}
