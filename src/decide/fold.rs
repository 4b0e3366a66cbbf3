//! Text in the one form in which phrases are compared: lower case, no accents, one space between words, sentences.
//!
//! Every folded byte remembers where it came from, so that evidence can be quoted from the message itself. Work and
//! memory are linear in the input, which the caller has cut to a bound.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// A sentence of a folded text, by byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Ends in a question mark.
    pub(super) question: bool,
}

/// A folded text.
#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) text: String,
    /// For each folded byte, the byte in the original from which it came.
    origin: Vec<u32>,
    pub(super) sentences: Vec<Sentence>,
    /// Folded positions at which a clause ends inside a sentence.
    clause_ends: Vec<usize>,
    sentence_start: usize,
}

/// More sentences than this are read as one: no mail of a person has them.
const MAX_SENTENCES: usize = 4_000;

/// A line shorter than this was ended on purpose; a longer one may have been wrapped by a mail program.
const WRAPPED_LINE: usize = 50;

impl Folded {
    pub(super) fn new(original: &str) -> Self {
        let mut folded = Self {
            text: String::with_capacity(original.len() + 8),
            origin: Vec::with_capacity(original.len() + 8),
            ..Self::default()
        };
        let mut chars = original.char_indices().peekable();
        let mut previous = ' ';
        let mut line_start = 0;
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map_or(' ', |&(_, next)| next);
            match c {
                '\n' => {
                    let meant = at.saturating_sub(line_start) < WRAPPED_LINE || "\n\r-*•>".contains(next);
                    line_start = at + 1;
                    if meant { folded.end_sentence(at, false) } else { folded.space(at) }
                }
                '?' | '？' | '؟' => folded.end_sentence(at, true),
                '!' | '。' | '！' | '…' => folded.end_sentence(at, false),
                '.' if next.is_whitespace() && !folded.after_abbreviation() => folded.end_sentence(at, false),
                ',' | ':' if previous.is_ascii_digit() && next.is_ascii_digit() => folded.push(c, at),
                ',' | ';' | ':' | '(' | ')' | '–' | '—' => folded.end_clause(at),
                '-' if previous == ' ' && next == ' ' => folded.end_clause(at),
                '\'' | '’' | '‘' | '`' | '´' => folded.push('\'', at),
                _ => folded.plain(c, at),
            }
            previous = c;
        }
        folded.end_sentence(original.len(), false);
        folded
    }

    /// Range in the original of the folded range `start..end`.
    pub(super) fn original_range(&self, start: usize, end: usize) -> (usize, usize) {
        let from = self.origin.get(start).copied().unwrap_or(0);
        let to = self.origin.get(end).or(self.origin.last()).copied().unwrap_or(0);
        (from as usize, to as usize)
    }

    /// Whether a clause ends between two folded positions.
    pub(super) fn clause_ends_between(&self, from: usize, to: usize) -> bool {
        let first = self.clause_ends.partition_point(|&end| end < from);
        self.clause_ends.get(first).is_some_and(|&end| end <= to)
    }

    fn plain(&mut self, c: char, at: usize) {
        if c.is_ascii() {
            let keeps = c.is_ascii_alphanumeric() || ".@/_%$+#&{}<>".contains(c);
            if keeps { self.push(c.to_ascii_lowercase(), at) } else { self.space(at) }
        } else if is_invisible(c) {
            // Dropped: a zero-width character must not break a phrase apart.
        } else if c == 'ß' {
            self.push('s', at);
            self.push('s', at);
        } else if c.is_alphanumeric() {
            decompose_compatible(c, |part| {
                if !is_combining_mark(part) {
                    part.to_lowercase().for_each(|lower| self.push(lower, at));
                }
            });
        } else if "€£¥".contains(c) {
            self.push(c, at);
        } else if !is_combining_mark(c) {
            self.space(at);
        }
    }

    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.origin.resize(self.text.len(), u32::try_from(at).unwrap_or(u32::MAX));
    }

    fn space(&mut self, at: usize) {
        if !self.text.ends_with([' ', '\n']) && !self.text.is_empty() {
            self.push(' ', at);
        }
    }

    fn end_clause(&mut self, at: usize) {
        self.space(at);
        self.clause_ends.push(self.text.len().saturating_sub(1));
    }

    fn end_sentence(&mut self, at: usize, question: bool) {
        let has_words = self.text.get(self.sentence_start..).is_some_and(|rest| rest.contains(|c: char| c != ' '));
        if !has_words || self.sentences.len() >= MAX_SENTENCES {
            self.space(at);
            return;
        }
        self.sentences.push(Sentence { start: self.sentence_start, end: self.text.len(), question });
        self.push('\n', at);
        self.sentence_start = self.text.len();
    }

    fn after_abbreviation(&self) -> bool {
        let word = self.text.rsplit([' ', '\n']).next().unwrap_or("");
        ABBREVIATIONS.contains(&word)
    }
}

/// Cuts `text` to at most `limit` bytes, at a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Words after which a full stop ends no sentence.
const ABBREVIATIONS: [&str; 16] =
    ["mr", "mrs", "ms", "dr", "e.g", "i.e", "no", "nr", "inc", "ltd", "z.b", "bzw", "st", "sr", "sra", "vs"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<String> {
        let folded = Folded::new(text);
        folded.sentences.iter().map(|s| folded.text[s.start..s.end].trim().to_owned()).collect()
    }

    #[test]
    fn case_accents_quotes_and_hidden_characters_do_not_matter() {
        assert_eq!(sentences("Ich  WÜRDE don’t pro\u{200b}of-of-funds"), ["ich wurde don't proof of funds"]);
    }

    #[test]
    fn a_wrapped_line_is_no_end_of_a_sentence_but_a_short_line_is() {
        let text = "Hi Tom,\nwe would very much like to hear about what you can do\nfor us. Dr. Who agrees";
        assert_eq!(
            sentences(text),
            ["hi tom", "we would very much like to hear about what you can do for us", "dr. who agrees"]
        );
    }

    #[test]
    fn folded_ranges_lead_back_to_the_original() {
        let original = "Grüße:  Sénd   it";
        let folded = Folded::new(original);
        let at = folded.text.find("send").unwrap();
        let (from, to) = folded.original_range(at, at + 4);
        assert_eq!(&original[from..to], "Sénd");
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aé", 2), "a");
    }
}
