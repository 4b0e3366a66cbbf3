//! How mail programs introduce history: "On …, … wrote:", quoted header blocks, titles between dashes.
//!
//! Each rule looks at a bounded number of lines and at the first octets of each.

use super::Method;
use super::line::Line;
use super::words::{WORDS, has_word, is_reply_above, label};

/// What begins at a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) confidence: u8,
}

/// How far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// These many lines are history; marked lines follow, among which answers may stand.
    Lines(usize),
    /// Everything from here on is history.
    Rest,
    /// Everything from here on was passed on, and is part of what is new.
    Forward,
}

/// The introduction that begins with the first of these lines. `is_forward` says that the subject is a forward's.
pub(super) fn find(here: &[Line<'_>], is_forward: bool) -> Option<Introduction> {
    let first = here.first().filter(|line| !line.is_blank() && !line.is_quoted)?;
    if is_forward_title(first) {
        return Some(Introduction { kind: Kind::Forward, method: Method::Forwarded, confidence: 95 });
    }
    let rest = |method, confidence| Some(Introduction { kind: Kind::Rest, method, confidence });
    if is_original_title(first) {
        return rest(Method::Separator, 95);
    }
    if is_reply_above(&first.head) {
        return rest(Method::Separator, 90);
    }
    let behind_rules = here.iter().take(RULES).take_while(|line| line.is_blank() || line.is_rule()).count();
    let after = here.get(behind_rules..).unwrap_or_default();
    if is_header_block(after, behind_rules > 0) {
        return match is_forward {
            true => Some(Introduction { kind: Kind::Forward, method: Method::Forwarded, confidence: 70 }),
            false => rest(Method::HeaderBlock, if behind_rules > 0 { 95 } else { 90 }),
        };
    }
    attribution(here)
}

/// Rules and blank lines in front of a header block that are looked at.
const RULES: usize = 4;
/// Lines over which "On …, … wrote:" may be broken.
const BROKEN: usize = 4;
/// Octets of such an introduction.
const ATTRIBUTION: usize = 500;
/// Lines of a header block that are looked at.
const BLOCK: usize = 14;
/// Octets in front of a label's colon.
const LABEL: usize = 40;

/// The line without the dashes around it, where it has some.
fn title<'a>(line: &'a Line<'_>) -> (&'a str, bool) {
    let is_dash = |letter: char| matches!(letter, '-' | '_' | '=' | '—' | '–' | '#' | ' ');
    let title = line.head.trim_matches(is_dash);
    (title, line.head.starts_with("--") || line.head.starts_with("__") || line.head.starts_with("=="))
}

pub(super) fn is_forward_title(line: &Line<'_>) -> bool {
    let (title, has_dashes) = title(line);
    let (title, has_colon) = match title.strip_suffix([':', '：']) {
        Some(title) => (title.trim_end(), true),
        None => (title, false),
    };
    (has_dashes || has_colon) && (WORDS.forwarded.has(title) || (has_dashes && WORDS.forwarded.starts_as_word(title)))
}

fn is_original_title(line: &Line<'_>) -> bool {
    let (title, has_dashes) = title(line);
    has_dashes && WORDS.original.has(title.trim_end_matches([':', '：', ' ']))
}

/// Which fields the label of a line in lower case may stand for; zero for none.
pub(super) fn labels(head: &str) -> u8 {
    let bounded = head.get(..head.floor_char_boundary(LABEL + '：'.len_utf8())).unwrap_or_default();
    let Some(colon) = bounded.find([':', '：']).filter(|colon| *colon <= LABEL) else { return 0 };
    let word = head.get(..colon).unwrap_or_default().trim();
    WORDS.labels.iter().filter(|(_, words)| words.has(word)).fold(0, |all, (label, _)| all | label)
}

/// Whether a quoted header block begins here: a From, other fields beside it, and an address or a subject, so that
/// "From: London, To: Paris, Date: Monday" is none.
fn is_header_block(here: &[Line<'_>], is_behind_rule: bool) -> bool {
    let Some(first) = here.first().map(|line| line.labels).filter(|first| *first != 0) else { return false };
    let (mut all, mut fields, mut has_address, mut gap) = (0, 0, false, 0);
    let mut was_blank = false;
    for line in here.iter().take(BLOCK) {
        if line.is_quoted {
            break;
        }
        if line.is_blank() {
            was_blank = true;
            continue;
        }
        let found = line.labels;
        if found == 0 {
            gap += 1;
            // A long list of recipients is broken; text behind a blank line is no longer header.
            if was_blank || gap > 2 {
                break;
            }
        } else {
            fields += usize::from(all | found != all || found.count_ones() > 1);
            all |= found;
            gap = 0;
        }
        was_blank = false;
        has_address |= line.head.contains('@');
    }
    let is_certain = has_address || all & label::SUBJECT != 0;
    let enough = if is_behind_rule { 2 } else { 3 };
    let begins = first & (label::FROM | label::DATE | label::SUBJECT) != 0;
    begins && is_certain && all & label::FROM != 0 && fields >= enough
}

/// "On …, … wrote:", over a few lines.
fn attribution(here: &[Line<'_>]) -> Option<Introduction> {
    let first = here.first()?;
    let mut length = 0;
    for (index, line) in here.iter().take(BROKEN).enumerate() {
        if line.is_blank() || (index == 1 && !begins(&first.head)) {
            return None;
        }
        // A line may be broken in front of the bracket that closes an address.
        let closes_address =
            || line.raw.starts_with('>') && !line.raw.starts_with("> ") && is_open(&joined(here, index));
        if line.is_quoted && !closes_address() {
            return None;
        }
        length += line.head.len() + 1;
        if length > ATTRIBUTION {
            return None;
        }
        let found = if line.may_end { strength(&joined(here, index + 1)) } else { None };
        let Some(strength) = found else { continue };
        if begins_later(here, index) {
            return None;
        }
        let follows = here.iter().skip(index + 1).take(4).find(|line| !line.is_blank());
        let method = Method::Attribution;
        return match (follows.is_some_and(|line| line.is_quoted), strength) {
            (true, Strength::Strong) => Some(Introduction { kind: Kind::Lines(index + 1), method, confidence: 98 }),
            (true, Strength::Weak) => Some(Introduction { kind: Kind::Lines(index + 1), method, confidence: 90 }),
            (false, Strength::Strong) => Some(Introduction { kind: Kind::Rest, method, confidence: 85 }),
            (false, Strength::Weak) => None,
        };
    }
    None
}

/// The first lines as one.
fn joined(here: &[Line<'_>], lines: usize) -> String {
    here.iter().take(lines).flat_map(|line| [line.head.as_str(), " "]).collect()
}

/// Whether an introduction may end with a line in lower case: with a colon, or with a verb. What [`strength`] asks first,
/// and of most lines the answer is no.
pub(super) fn may_end(head: &str) -> bool {
    let head = head.trim_end_matches(is_frame);
    head.ends_with([':', '：']) || WORDS.wrote_ends.ends(head)
}

/// What stands around an introduction.
const fn is_frame(letter: char) -> bool {
    matches!(letter, '-' | '=' | '_' | ' ')
}

/// Whether what ends at line `last` is better read as beginning behind the first line: the author's own words may stand
/// directly above an introduction.
fn begins_later(here: &[Line<'_>], last: usize) -> bool {
    let Some(first) = here.first() else { return false };
    (1..=last).any(|start| {
        let lines = here.get(start..=last).unwrap_or_default();
        let whole = joined(lines, lines.len());
        let head = lines.first().map_or("", |line| line.head.as_str());
        let is_better = begins_with_word(head) || !has_date(&first.head);
        begins(head) && is_better && has_date(&whole) && strength(&whole).is_some()
    })
}

fn begins_with_word(head: &str) -> bool {
    WORDS.on.starts_as_word(head) || WORDS.days.starts_as_word(head)
}

/// Whether an introduction that is broken may begin like this.
fn begins(head: &str) -> bool {
    begins_with_word(head)
        || head.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '"' | '<'))
        || (head.contains('<') && head.contains('@'))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// A sentence of a person could hardly look like it.
    Strong,
    /// Only in front of marked lines.
    Weak,
}

fn strength(whole: &str) -> Option<Strength> {
    let whole = whole.trim_matches(is_frame);
    let (body, has_colon) = match whole.strip_suffix([':', '：']) {
        Some(body) => (body.trim_end(), true),
        None => (whole, false),
    };
    let body = WORDS.behind_wrote.strip_end(body).unwrap_or(body).trim_end();
    let ends_with_verb = WORDS.wrote.ends_as_word(body);
    let is_bracketed = has_bracketed_address(body);
    let has_digit = body.contains(|letter: char| letter.is_ascii_digit());
    if !has_colon {
        return (ends_with_verb && is_bracketed && has_date(body)).then_some(Strength::Strong);
    }
    let has_verb = ends_with_verb || WORDS.wrote.iter().any(|word| has_word(body, word));
    let begins = begins(body);
    if has_verb && (is_bracketed || (has_time(body) && (begins || ends_with_verb))) {
        return Some(Strength::Strong);
    }
    let ends_with_address = body.ends_with(['>', ')', ']', '"']) || ends_with_verb;
    if is_bracketed && has_date(body) && ends_with_address {
        return Some(Strength::Strong);
    }
    let is_short = body.split_whitespace().count() <= 6;
    ((has_verb && begins && has_digit)
        || (ends_with_verb && (is_short || body.contains('@')))
        || (has_verb && has_date(body)))
    .then_some(Strength::Weak)
}

/// Whether an angle bracket is open at the end.
fn is_open(text: &str) -> bool {
    text.rfind('<').is_some_and(|opens| text.rfind('>').is_none_or(|closes| closes < opens))
}

/// Whether an address stands in brackets.
fn has_bracketed_address(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let opens = before.rfind(['<', '(', '[']);
        let closes = before.rfind(['>', ')', ']']);
        opens.is_some_and(|opens| closes.is_none_or(|closes| closes < opens))
    })
}

fn has_date(text: &str) -> bool {
    has_time(text) || has_year(text)
}

/// Whether a time of day such as `9:15`, `16.02` or `16h02` is there.
fn has_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(4).any(|four| {
        matches!(four, [hour, b':' | b'.' | b'h', ten, one]
            if hour.is_ascii_digit() && (b'0'..=b'5').contains(ten) && one.is_ascii_digit())
    })
}

/// Whether a year of the internet is there.
fn has_year(text: &str) -> bool {
    let runs = text.split(|letter: char| !letter.is_ascii_digit());
    runs.into_iter().any(|run| run.len() == 4 && (run.starts_with("19") || run.starts_with("20")))
}
