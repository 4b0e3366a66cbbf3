//! The lines of a text with what the rules look at.

use std::cell::OnceCell;

use super::introduction::{self, Introduction};

/// Octets of a line that the rules look at.
const WIDTH: usize = 400;

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// The line without its end.
    pub(super) raw: &'a str,
    /// Where it begins in the text.
    pub(super) start: usize,
    /// Its beginning in lower case, without blanks at its ends and without emphasis marks.
    pub(super) head: String,
    /// Which fields of a header block its label may stand for.
    pub(super) labels: u8,
    /// Whether an introduction of history may end with it.
    pub(super) may_end: bool,
    /// Whether it is marked as quoted.
    pub(super) is_quoted: bool,
}

impl Line<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.head.is_empty() && !self.is_quoted
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.raw.len()
    }

    /// Whether it is a rule of dashes or the like.
    pub(super) fn is_rule(&self) -> bool {
        let is_mark =
            |letter: char| matches!(letter, '-' | '_' | '=' | '─' | '━' | '＝' | '—' | '―' | '*' | '☆' | '◆' | '~');
        let raw = self.raw.trim();
        raw.chars().all(is_mark) && raw.chars().nth(3).is_some()
    }
}

/// All lines; which of them begin history is found out once for each that is asked for.
pub(super) struct Lines<'a> {
    pub(super) all: Vec<Line<'a>>,
    introductions: Vec<OnceCell<Option<Introduction>>>,
    /// Whether the subject is a forward's.
    pub(super) is_forward: bool,
}

impl<'a> Lines<'a> {
    /// The lines of `text`. `is_forward` says whether its subject is a forward's.
    pub(super) fn new(text: &'a str, is_forward: bool) -> Self {
        let all = lines(text);
        let introductions = all.iter().map(|_| OnceCell::new()).collect();
        Self { all, introductions, is_forward }
    }

    pub(super) fn at(&self, index: usize) -> Option<&Line<'a>> {
        self.all.get(index)
    }

    /// What begins at line `index`.
    pub(super) fn introduction(&self, index: usize) -> Option<Introduction> {
        let known = self.introductions.get(index)?;
        *known.get_or_init(|| introduction::find(self.all.get(index..).unwrap_or_default(), self.is_forward))
    }
}

/// The lines of `text`; linear in it.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let pieces = text.split_inclusive('\n').map(|piece| {
        let at = start;
        start += piece.len();
        let raw = piece.strip_suffix('\n').unwrap_or(piece);
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let trimmed = raw.trim();
        let bounded = trimmed.get(..trimmed.floor_char_boundary(WIDTH)).unwrap_or_default();
        let head = lower(bounded);
        let (labels, may_end) = (introduction::labels(&head), introduction::may_end(&head));
        Line { raw, start: at, labels, may_end, head, is_quoted: is_quoted(raw) }
    });
    pieces.collect()
}

/// In lower case, without emphasis marks and blanks at the ends.
fn lower(line: &str) -> String {
    if line.is_ascii() && !line.bytes().any(|octet| octet == b'*' || octet == b'\t') {
        return line.trim_end().to_ascii_lowercase();
    }
    let head: String = line.to_lowercase().chars().filter(|letter| *letter != '*').map(plain_blank).collect();
    head.trim().to_owned()
}

fn plain_blank(letter: char) -> char {
    match letter {
        '\u{a0}' | '\u{202f}' | '\u{3000}' | '\t' => ' ',
        letter => letter,
    }
}

/// RFC 3676 §4.5: `>` in front; blanks in front of it are what programs add.
fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}
