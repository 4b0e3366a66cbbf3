//! How texts end: signature delimiters, lines of phones, closing formulas with a name below, contact blocks, notices.
//!
//! Each rule looks at a bounded number of lines.

use super::Method;
use super::line::{Line, Lines};
use super::words::{WORDS, starts_with_word};

/// Longest signature in lines: what follows its beginning for longer is text again.
pub(super) const SIGNATURE_LINES: usize = 20;

/// Octets of a line in a signature; contact data on one line may be long.
const CONTACT_LINE: usize = 160;
/// Octets of the line with the name.
const NAME_LINE: usize = 60;

/// A signature that begins at line `at`, with its confidence. `has_text` says whether new text stands above it,
/// `is_paragraph` whether a blank line does.
pub(super) fn find(lines: &Lines<'_>, at: usize, has_text: bool, is_paragraph: bool) -> Option<(Method, u8)> {
    let first = lines.at(at).filter(|line| !line.is_blank() && !line.is_quoted)?;
    let below = || own_lines(lines, at);
    if is_delimiter(first.raw) {
        return Some((Method::Delimiter, 95));
    }
    if is_sent_from(&first.head) && below().count() <= 4 {
        return Some((Method::Phone, 95));
    }
    if !has_text {
        return None; // what has nothing above it is the text
    }
    if is_closing(&first.head) && is_signed(below().skip(1)) {
        return Some((Method::Closing, 80));
    }
    if is_dashed_name(first.raw) && below().count() <= 5 {
        return Some((Method::Closing, 80));
    }
    if is_paragraph && is_disclaimer(first) {
        return Some((Method::Disclaimer, 85));
    }
    (first.is_rule() && is_contact_block(below().skip(1))).then_some((Method::Delimiter, 75))
}

/// RFC 3676 §4.3, also as programs mangle it.
fn is_delimiter(line: &str) -> bool {
    matches!(line.trim_end(), "--" | "—" | "__" | "___")
}

/// Whether an afterthought begins here, which ends a signature above it.
pub(super) fn is_afterthought(line: &Line<'_>) -> bool {
    WORDS.afterthought.starts_as_word(&line.head)
}

pub(super) fn is_disclaimer(line: &Line<'_>) -> bool {
    let head = line.head.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    WORDS.disclaimer.starts(head)
}

/// The lines of the author's own from `at` on that are not blank, up to history.
fn own_lines<'a, 'b>(lines: &'a Lines<'b>, at: usize) -> impl Iterator<Item = &'a Line<'b>> {
    let own = (at..at + SIGNATURE_LINES + 2).take_while(|index| lines.introduction(*index).is_none());
    let own = own.map_while(|index| lines.at(index)).take_while(|line| !line.is_quoted);
    own.filter(|line| !line.is_blank())
}

/// "Sent from my phone", and no sentence that begins like it.
fn is_sent_from(head: &str) -> bool {
    // The target of a link may stand behind it.
    let words = head.split(['<', '(', '[']).next().unwrap_or_default().trim();
    let is_short = |most: usize| words.split_whitespace().nth(most).is_none();
    let is_german =
        || starts_with_word(words, "von") && words.trim_end_matches(['.', '!']).ends_with(" gesendet") && is_short(7);
    let is_known = || WORDS.sent_from.starts_as_word(words) || WORDS.sent_from_ends.ends(words) || is_german();
    words.len() < 90 && is_known() && is_short(10) && !words.contains(',')
}

fn is_closing(head: &str) -> bool {
    let words = head.trim_end_matches([',', '.', '!', ';', ':', '，', ' ', '-', '–']);
    WORDS.closing.has(words) || WORDS.closing_starts.starts(head)
}

/// Whether below a closing nothing follows but a name and contact data.
fn is_signed<'a, 'b: 'a>(below: impl Iterator<Item = &'a Line<'b>>) -> bool {
    let mut below = below.take_while(|line| !is_disclaimer(line) && !is_afterthought(line));
    let Some(name) = below.next() else { return true };
    let is_name = name.raw.len() <= NAME_LINE
        && name.raw.split_whitespace().count() <= 6
        && !name.raw.trim_end().ends_with(['?', '!', ':'])
        && !ends_as_sentence(name.raw);
    is_name && below.all(|line| line.raw.len() <= CONTACT_LINE && !is_sentence(line.raw))
}

fn ends_as_sentence(line: &str) -> bool {
    line.trim_end().ends_with(['.', '。']) && line.split_whitespace().count() > 4
}

/// Whether it reads like a sentence and not like a line of an address.
fn is_sentence(line: &str) -> bool {
    let line = line.trim_end();
    let words = line.split_whitespace().count();
    line.ends_with('?') || (words > 6 && line.ends_with(['.', '!', '。']) && !has_contact(line))
}

/// `-Ann Lee`, `--Ann`, `– Ann`: a dash and a name.
fn is_dashed_name(line: &str) -> bool {
    let line = line.trim();
    let name = line.trim_start_matches(['-', '–', '—']);
    if name.len() == line.len() {
        return false;
    }
    let dashes = line.chars().count() - name.chars().count();
    // A list item has a blank behind one dash.
    let is_item = dashes == 1 && line.starts_with('-') && name.starts_with(' ');
    let name = name.trim();
    let words = name.split_whitespace().count();
    let is_capital = |word: &str| word.starts_with(char::is_uppercase);
    (1..=3).contains(&dashes)
        && !is_item
        && (1..=4).contains(&words)
        && name.split_whitespace().all(is_capital)
        && !name.ends_with(['.', '?', '!', ':', ',', ';', '-'])
        && !name.contains(|letter: char| letter.is_ascii_digit())
}

/// Whether a rule is followed by a few short lines of which one is an address or number, and then nothing.
fn is_contact_block<'a, 'b: 'a>(below: impl Iterator<Item = &'a Line<'b>>) -> bool {
    let below: Vec<&Line<'_>> = below.filter(|line| !line.is_rule()).collect();
    (1..=10).contains(&below.len())
        && below.iter().all(|line| line.raw.len() <= CONTACT_LINE && !is_sentence(line.raw))
        && below.iter().any(|line| has_contact(&line.head))
}

fn has_contact(line: &str) -> bool {
    let lower = line.to_lowercase();
    WORDS.contact.iter().any(|part| lower.contains(part)) || line.chars().filter(char::is_ascii_digit).count() >= 8
}
