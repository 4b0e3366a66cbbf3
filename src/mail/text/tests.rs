//! Replies as mail programs write them.
//!
//! `tests/corpus/replies/development.txt` is read exactly as it says. `held-back.txt` was written before the rules, which
//! are never changed for it: it says how they fare with replies that they were not made for.

use proptest::prelude::*;

use super::*;

/// A reply of the corpus.
struct Case {
    name: String,
    subject: String,
    text: String,
    marks: Vec<Mark>,
    /// The lines of visible text, history and signature.
    wanted: [Vec<String>; 3],
}

const PARTS: [Part; 3] = [Part::Visible, Part::Quoted, Part::Signature];

fn cases(file: &str) -> Vec<Case> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/replies").join(file);
    let corpus = std::fs::read_to_string(path).unwrap();
    corpus.split("\n=== ").skip(1).map(case).collect()
}

fn case(block: &str) -> Case {
    let (head, body) = block.split_once('\n').unwrap();
    let (name, subject) = head.split_once('~').unwrap_or((head, ""));
    let mut case = Case {
        name: name.trim().to_owned(),
        subject: subject.trim().to_owned(),
        text: String::new(),
        marks: Vec::new(),
        wanted: Default::default(),
    };
    let mut html = String::new();
    for line in body.lines() {
        let (kind, content) = line.split_once('|').unwrap_or(("", ""));
        if kind == "h" {
            html.push_str(content);
            html.push('\n');
            continue;
        }
        case.text.push_str(content);
        case.text.push('\n');
        let part = match kind {
            "v" => 0,
            "q" => 1,
            "s" => 2,
            _ => {
                assert!(line.is_empty(), "{name}: {line:?} has no part");
                continue;
            }
        };
        case.wanted[part].push(content.trim_end().to_owned());
    }
    if !html.is_empty() {
        let read = html::read(&html);
        (case.text, case.marks) = (read.text, read.marks);
    }
    case
}

/// Whether nothing but marks of quotation is there.
fn is_empty(line: &str) -> bool {
    line.trim_matches(['>', ' ']).is_empty()
}

/// The parts of the case that are not as it says.
fn faults(case: &Case) -> Vec<String> {
    let spans = split(&case.text, &case.marks, &case.subject);
    let mut faults = Vec::new();
    for (kind, wanted) in PARTS.into_iter().zip(&case.wanted) {
        let found = part(&case.text, &spans, kind);
        let found: Vec<&str> = found.lines().map(str::trim_end).filter(|line| !is_empty(line)).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).filter(|line| !is_empty(line)).collect();
        if found != wanted {
            faults.push(format!("{}: {kind:?} is {found:#?}, and should be {wanted:#?}", case.name));
        }
    }
    faults
}

#[test]
fn replies_of_the_corpus_are_taken_apart_as_it_says() {
    let cases = cases("development.txt");
    let faults: Vec<String> = cases.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(cases.len() >= 100, "{} cases", cases.len());
}

#[test]
fn replies_that_the_rules_were_not_made_for_are_mostly_taken_apart_well() {
    // Measured when the rules were done.
    const WELL: usize = 62;
    let cases = cases("held-back.txt");
    let (mut visible, mut all) = (0, 0);
    for case in &cases {
        let faults = faults(case);
        visible += usize::from(!faults.iter().any(|fault| fault.contains(": Visible is")));
        all += usize::from(faults.is_empty());
    }
    assert!(visible >= WELL, "the visible text of {visible} of {} cases", cases.len());
    assert!(all >= WELL, "{all} of {} cases whole", cases.len());
}

fn visible(text: &str) -> String {
    part(text, &split(text, &[], ""), Part::Visible)
}

#[test]
fn text_alone_in_history_or_signature_stays_visible() {
    assert_eq!(visible("> only this\n"), "> only this");
    assert_eq!(visible("-- \nAnn\n"), "-- \nAnn");
    assert_eq!(visible("\n \n"), "");
}

#[test]
fn a_span_says_where_it_is_by_what_it_was_known_and_how_surely() {
    let text = "Ja, gerne.\n\n-- \nAnn\n";
    let spans = split(text, &[], "");
    let json = serde_json::to_value(&spans).unwrap();
    let wanted = serde_json::json!([
        {"part": "visible", "start": 0, "end": 10, "method": "remainder", "confidence": 0.9},
        {"part": "signature", "start": 12, "end": 19, "method": "delimiter", "confidence": 0.95}
    ]);
    assert_eq!(json, wanted);
    assert_eq!(serde_json::from_value::<Vec<Span>>(json).unwrap(), spans);
}

#[test]
fn what_was_passed_on_is_a_span_of_its_own() {
    let spans = split("Yours?\n\n---------- Forwarded message ---------\nFrom: a@b.example\n", &[], "");
    let found: Vec<(Part, Method)> = spans.iter().map(|span| (span.part, span.method)).collect();
    assert_eq!(found, [(Part::Visible, Method::Remainder), (Part::Visible, Method::Forwarded)]);
}

#[test]
fn spans_are_bounded_and_their_rest_is_visible() {
    let text = "> a\nb\n".repeat(2_000);
    let spans = split(&text, &[], "");
    assert_eq!(spans.len(), SPANS);
    let last = spans.last().unwrap();
    assert_eq!((last.part, last.end), (Part::Visible, text.trim_end().len()));
}

#[test]
fn hostile_lines_take_one_pass() {
    let lines = [
        "On 1 Mar 2026 at 9:15 a <a@b.example>\n",
        "From: a\n",
        "> x\n",
        "Sent from my phone\n",
        "Regards\nA\n",
        "----\n",
        "From: a@b.example\nSent: x\n\n",
        "-- \n",
        "a\n",
        "\n",
        "This email and any\n\n",
        "Am 9:15 schrieb",
    ];
    for line in lines {
        let text = line.repeat(100_000 / line.len());
        assert_eq!(visible(&text).is_empty(), line.trim().is_empty(), "{line}");
    }
}

const LINES: &str = "(> |-- |On 1 Jan 9:15 a@b wrote:|From: x|Sent: y|To: z@x|Subject: z|abc| |Regards|Ann|----|é|Sent from my x\
                     |-----Original Message-----|Begin forwarded message:|\r?\n){0,40}";

proptest! {
    #[test]
    fn spans_are_ordered_whole_and_never_without_visible_text(text in LINES, from in 0usize..60, to in 0usize..60, subject in "(Fwd: )?x") {
        let marks = [Mark { part: Part::Quoted, start: from, end: to }];
        let marks = if from < to { &marks[..] } else { &[] };
        let spans = split(&text, marks, &subject);
        let mut last = 0;
        for span in &spans {
            prop_assert!(span.start >= last && span.start < span.end);
            prop_assert!(text.get(last..span.start).is_some_and(|gap| gap.trim().is_empty()));
            prop_assert!(!span.of(&text).is_empty());
            last = span.end;
        }
        prop_assert!(text.get(last..).is_some_and(|gap| gap.trim().is_empty()));
        prop_assert_eq!(spans.iter().any(|span| span.part == Part::Visible), !text.trim().is_empty());
    }

    #[test]
    fn any_text_is_taken_apart(text: String) {
        prop_assert_eq!(visible(&text).trim().is_empty(), text.trim().is_empty());
    }
}
