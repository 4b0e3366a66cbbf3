//! What the HTML beside a plain text knows of it: where history begins, and what is hidden.
//!
//! Mail programs mark history in HTML and often leave no mark in the plain text that they make of it. The beginning of
//! what they marked is looked for in the plain text by its letters; it counts only where it is found once, at about the
//! same place.
//!
//! Standards: RFC 2046 §5.1.4 (alternatives say the same).

use crate::mail::text::html::HtmlText;
use crate::mail::text::{Mark, Part};

/// Letters of the beginning that are looked for.
const LETTERS: usize = 24;
/// Fewer letters can stand anywhere.
const FEWEST: usize = 12;

/// The history of `plain`, as far as the HTML marks all that follows as such.
pub(super) fn history(plain: &str, html: &HtmlText) -> Option<Mark> {
    let first = html.marks.iter().find(|mark| mark.part == Part::Quoted)?;
    let last = html.marks.last()?;
    let is_to_the_end = html.text.get(last.end..).is_some_and(|rest| rest.trim().is_empty())
        && gaps(html, first.start).all(|gap| gap.trim().is_empty());
    if !is_to_the_end {
        return None;
    }
    let needle: String = letters(html.text.get(first.start..)?).map(|(_, letter)| letter).take(LETTERS).collect();
    if needle.chars().count() < FEWEST {
        return None;
    }
    let (mut haystack, mut places) = (String::with_capacity(plain.len()), Vec::new());
    for (at, letter) in letters(plain) {
        places.push((haystack.len(), at));
        haystack.push(letter);
    }
    let mut found = haystack.match_indices(&needle);
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    // Targets of links are written in different ways, so the same words are at about the same place.
    let before = letters(html.text.get(..first.start)?).map(|(_, letter)| letter.len_utf8()).sum::<usize>();
    if at.abs_diff(before) > 200 + before / 4 {
        return None;
    }
    let place = places.binary_search_by_key(&at, |(place, _)| *place).ok()?;
    let (_, start) = *places.get(place)?;
    let line = plain.get(..start)?.rfind('\n').map_or(0, |end| end + 1);
    (line > 0).then_some(Mark { part: Part::Quoted, start: line, end: plain.len() })
}

/// What stands between the marks from `start` on.
fn gaps(html: &HtmlText, start: usize) -> impl Iterator<Item = &str> {
    let behind = html.marks.iter().filter(move |mark| mark.start >= start);
    behind.clone().zip(behind.skip(1)).map(|(one, next)| html.text.get(one.end..next.start).unwrap_or_default())
}

/// The letters and digits of a text with their places, in lower case where that is one letter.
fn letters(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let plain = |letter: char| {
        let mut lower = letter.to_lowercase();
        lower.next().filter(|_| lower.next().is_none()).unwrap_or(letter)
    };
    text.char_indices().filter(|(_, letter)| letter.is_alphanumeric()).map(move |(at, letter)| (at, plain(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::text::html;
    use proptest::prelude::*;

    const HTML: &str = "<p>Yes, <a href='https://a.example/x'>both</a>.</p><div id=divRplyFwdMsg><b>Felad\u{f3}:</b> Bob Stone<br>\
                        <b>T\u{e1}rgy:</b> Both</div><p>Do you want both?</p>";

    #[test]
    fn history_that_html_marks_is_found_in_the_plain_text() {
        let plain = "Yes, both<https://a.example/x>.\n\n________\nFelad\u{f3}: Bob Stone\nT\u{e1}rgy: Both\n\nDo you want both?\n";
        let mark = history(plain, &html::read(HTML)).unwrap();
        assert!(plain[mark.start..mark.end].starts_with("Felad\u{f3}"));
    }

    #[test]
    fn what_is_not_surely_the_same_counts_for_nothing() {
        let read = html::read(HTML);
        let twice = "Felad\u{f3}: Bob Stone\nT\u{e1}rgy: Both\n\nDo you want both?\n".repeat(2);
        assert_eq!(history(&format!("Yes.\n{twice}"), &read), None);
        assert_eq!(history("Something else", &read), None);
        let far = format!("{}\nFelad\u{f3}: Bob Stone\nT\u{e1}rgy: Both", "more words ".repeat(100));
        assert_eq!(history(&far, &read), None);
        let below = html::read("<div class=gmail_quote>Do you want both of them?</div><p>Yes.</p>");
        assert_eq!(history("> Do you want both of them?\nYes.", &below), None);
    }

    proptest! {
        #[test]
        fn any_pair_is_compared(plain: String, html in "(<div class=gmail_quote>|</div>|abcdefghijklm|é|x| ){0,12}") {
            let plain = format!("{plain}\nabcdefghijklmabcdefghijklm");
            if let Some(mark) = history(&plain, &html::read(&html)) {
                prop_assert!(plain.get(mark.start..mark.end).is_some());
            }
        }
    }
}
