//! The words by which mail programs mark history and signatures, out of `words.txt`; where a word must stand to count is
//! said by `introduction` and `ending`.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

mod list;

pub(super) use list::List;

/// A field of a quoted header block, as one bit: a word may stand for several fields.
pub(super) mod label {
    pub(in crate::mail::text) const FROM: u8 = 1;
    pub(in crate::mail::text) const DATE: u8 = 2;
    pub(in crate::mail::text) const TO: u8 = 4;
    pub(in crate::mail::text) const COPY: u8 = 8;
    pub(in crate::mail::text) const SUBJECT: u8 = 16;
}

/// The words, in lower case.
pub(super) struct Words {
    /// What stands in front of the colon of a quoted header field.
    pub(super) labels: [(u8, List); 5],
    /// Verbs of "On …, … wrote:".
    pub(super) wrote: List,
    /// The last words of those and of what stands behind them: how such a line ends that has no colon.
    pub(super) wrote_ends: List,
    /// Words between the verb and the colon.
    pub(super) behind_wrote: List,
    /// Beginnings of such a line.
    pub(super) on: List,
    /// Beginnings of week-days as programs shorten them in front of a date.
    pub(super) days: List,
    /// Titles in front of history.
    pub(super) original: List,
    /// Titles in front of what was passed on: new to its reader, and no history.
    pub(super) forwarded: List,
    /// Beginnings of a forward's subject.
    pub(super) forward_subject: List,
    /// Parts of the lines of ticket systems below which everything is history.
    pub(super) reply_above: List,
    /// Beginnings of the lines that programs of phones and the like put under a text.
    pub(super) sent_from: List,
    /// Ends of such lines, where the language puts the verb there.
    pub(super) sent_from_ends: List,
    /// Formulas by which letters end, as all that stands on a line.
    pub(super) closing: List,
    /// Beginnings of such lines.
    pub(super) closing_starts: List,
    /// Beginnings of an afterthought below a signature.
    pub(super) afterthought: List,
    /// Beginnings of a notice about confidence and the like.
    pub(super) disclaimer: List,
    /// Parts of lines by which an address or telephone number is known.
    pub(super) contact: List,
}

pub(super) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let labels = [
        (label::FROM, section("label from")),
        (label::DATE, section("label date")),
        (label::TO, section("label to")),
        (label::COPY, section("label copy")),
        (label::SUBJECT, section("label subject")),
    ];
    let wrote: List = section("wrote");
    let behind_wrote: List = section("behind wrote");
    let last = |words: &'static str| words.split(' ').next_back().unwrap_or(words);
    Words {
        labels,
        wrote_ends: wrote.iter().chain(behind_wrote.iter()).map(last).collect(),
        wrote,
        behind_wrote,
        on: section("on"),
        days: section("day"),
        original: section("original"),
        forwarded: section("forwarded"),
        forward_subject: section("forward subject"),
        reply_above: section("reply above"),
        sent_from: section("sent from"),
        sent_from_ends: section("sent from ends"),
        closing: section("closing"),
        closing_starts: section("closing starts"),
        afterthought: section("afterthought"),
        disclaimer: section("disclaimer"),
        contact: section("contact"),
    }
});

/// Whether a line in lower case is one below which ticket systems put history.
pub(super) fn is_reply_above(head: &str) -> bool {
    // One pass over the line for all of them: every line is asked.
    static ANY: LazyLock<Option<AhoCorasick>> =
        LazyLock::new(|| AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(WORDS.reply_above.iter()).ok());
    ANY.as_ref().is_some_and(|any| any.is_match(head))
}

const TEXT: &str = include_str!("words.txt");

/// The words of a section; none where it is missing, which a test sees.
fn section(name: &str) -> List {
    let is_head = |line: &&str| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(name);
    let lines = TEXT.lines().skip_while(|line| !is_head(line)).skip(1).take_while(|line| !line.starts_with('['));
    lines.flat_map(|line| line.split('|')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// Whether `text` begins with `word` as a whole word. In scripts without blanks every place is the end of a word.
pub(super) fn starts_with_word(text: &str, word: &str) -> bool {
    let Some(rest) = text.strip_prefix(word) else { return false };
    let joins = |letter: char| letter.is_alphanumeric() && letter < '\u{3000}';
    !(word.ends_with(joins) && rest.starts_with(joins))
}

/// Whether `text` ends with `word` as a whole word.
pub(super) fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(rest) = text.strip_suffix(word) else { return false };
    let joins = |letter: char| letter.is_alphanumeric() && letter < '\u{3000}';
    !(word.starts_with(joins) && rest.ends_with(joins))
}

/// Whether `word` stands somewhere in `text` as a whole word.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at + word.len()).unwrap_or_default();
        ends_with_word(before, word) && starts_with_word(text.get(at..).unwrap_or_default(), word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_words_and_every_word_a_section() {
        let words = &*WORDS;
        let lists = [
            &words.wrote,
            &words.behind_wrote,
            &words.on,
            &words.days,
            &words.original,
            &words.forwarded,
            &words.forward_subject,
            &words.reply_above,
            &words.sent_from,
            &words.sent_from_ends,
            &words.closing,
            &words.closing_starts,
            &words.afterthought,
            &words.disclaimer,
            &words.contact,
        ];
        let lists: Vec<&List> = lists.into_iter().chain(words.labels.iter().map(|(_, list)| list)).collect();
        assert!(
            lists.iter().all(|list| list.iter().count() > 1 && list.iter().all(|word| word.to_lowercase() == word))
        );
        assert_eq!(lists.len(), TEXT.lines().filter(|line| line.starts_with('[')).count());
    }

    #[test]
    fn a_word_is_no_part_of_another() {
        assert!(starts_with_word("on mar 9", "on") && !starts_with_word("only", "on"));
        assert!(ends_with_word("ann wrote", "wrote") && !ends_with_word("rewrote", "wrote"));
        assert!(has_word("a schrieb b", "schrieb") && !has_word("beschrieben", "schrieb"));
        assert!(ends_with_word("ノラのメール", "のメール"));
    }
}
