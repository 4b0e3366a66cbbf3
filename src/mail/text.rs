//! Which part of a text is new: visible reply, quoted history, signature. And plain text out of HTML.
//!
//! The visible part is what decisions are made on: a request that stands in quoted history only must not count. It is
//! never empty when the text is not. Nothing is taken away: the parts are ranges of the text. First counts what mail
//! programs mark in HTML, then the words by which they introduce history in plain text. One pass over the lines.

use serde::{Deserialize, Serialize};

mod ending;
pub mod html;
mod introduction;
mod line;
#[cfg(test)]
mod tests;
mod words;

use introduction::Kind;
use line::{Line, Lines};

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the author wrote now, and what was passed on.
    Visible,
    /// History, with the line that introduces it.
    Quoted,
    /// Signature, line of a mail program, or notice about confidence.
    Signature,
}

/// By what a part was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// What is left when everything else is taken.
    Remainder,
    /// Everything would have been taken: what there is counts as new.
    NothingElse,
    /// A mark of a known mail program in the HTML.
    HtmlMark,
    /// `>` in front of the line.
    QuoteMark,
    /// "On …, … wrote:".
    Attribution,
    /// A quoted header block.
    HeaderBlock,
    /// "Original Message" between dashes, or a ticket system's line.
    Separator,
    /// A forward, which is new to its reader.
    Forwarded,
    /// `-- `, or a rule above contact data.
    Delimiter,
    /// The line of a phone or mail program.
    Phone,
    /// A closing formula with name and contact data.
    Closing,
    /// A notice about confidence and the like.
    Disclaimer,
}

/// How sure it is that a part is one, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u8);

impl Confidence {
    /// From hundredths; more than 100 are 100.
    #[must_use]
    pub fn from_hundredths(hundredths: u8) -> Self {
        Self(hundredths.min(100))
    }
}

impl Serialize for Confidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        let hundredths = (0..=100u8).find(|one| f64::from(*one) / 100.0 >= share - 0.005);
        Ok(Self(hundredths.unwrap_or(100)))
    }
}

/// A range of a text and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// What it is.
    pub part: Part,
    /// Where it begins: octets of UTF-8 from the beginning of the text.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// By what it was known.
    pub method: Method,
    /// How sure that is, from 0 to 1.
    pub confidence: Confidence,
}

impl Span {
    /// Its piece of the text that it is of.
    #[must_use]
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A range of a text that a mail program marked in HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// History or signature.
    pub part: Part,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// Takes a plain text apart; `marks` are ranges of it that HTML marked, in order. The spans are in order, do not overlap,
/// and leave out nothing but blank lines.
#[must_use]
pub fn split(text: &str, marks: &[Mark], subject: &str) -> Vec<Span> {
    let lines = Lines::new(text, is_forward(subject));
    let spans = spans(&lines, &classify(&lines, marks));
    if spans.iter().any(|span| span.part == Part::Visible) {
        return spans;
    }
    // Nothing new was found: the signature may be all that was written, else the history is the message.
    let has_signature = spans.iter().any(|span| span.part == Part::Signature);
    let new = if has_signature { Part::Signature } else { Part::Quoted };
    let confidence = Confidence(40);
    let is_new = |span: &Span| span.part == new;
    spans
        .into_iter()
        .map(|span| match is_new(&span) {
            true => Span { part: Part::Visible, method: Method::NothingElse, confidence, ..span },
            false => span,
        })
        .collect()
}

/// The text of one part: its spans in their order, on lines of their own.
#[must_use]
pub fn part(text: &str, spans: &[Span], part: Part) -> String {
    let mut whole = String::new();
    let mut last: Option<&Span> = None;
    for span in spans.iter().filter(|span| span.part == part) {
        if let Some(last) = last {
            let between = text.get(last.end..span.start).unwrap_or_default();
            let is_paragraph = between.lines().skip(1).any(|line| line.trim().is_empty());
            whole.push_str(if is_paragraph { "\n\n" } else { "\n" });
        }
        whole.push_str(span.of(text));
        last = Some(span);
    }
    whole
}

/// Whether the subject is that of a forward and not of an answer to one (`Re: Fwd: …`).
fn is_forward(subject: &str) -> bool {
    let start: String = subject.trim().chars().take(20).collect::<String>().to_lowercase();
    words::WORDS.forward_subject.starts(&start)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    part: Part,
    method: Method,
    confidence: u8,
}

const NEW: Class = Class { part: Part::Visible, method: Method::Remainder, confidence: 90 };

/// The class of each line.
fn classify(lines: &Lines<'_>, marks: &[Mark]) -> Vec<Class> {
    let mut walk = Walk { classes: Vec::with_capacity(lines.all.len()), signature: None, has_text: false };
    let mut marks = marks.iter().peekable();
    while let Some(line) = lines.at(walk.classes.len()) {
        while marks.next_if(|mark| mark.end <= line.start).is_some() {}
        let marked = marks.peek().filter(|mark| mark.start < line.end().max(line.start + 1)).map(|mark| mark.part);
        if !walk.step(lines, line, marked) {
            break;
        }
    }
    walk.classes
}

struct Walk {
    classes: Vec<Class>,
    /// The signature that the walk is in, and its first line.
    signature: Option<(Class, usize)>,
    has_text: bool,
}

impl Walk {
    /// Classes of this line and those behind it that belong to it; false when all lines have theirs.
    fn step(&mut self, lines: &Lines<'_>, line: &Line<'_>, marked: Option<Part>) -> bool {
        let at = self.classes.len();
        let introduction = lines.introduction(at);
        // A forward is new also where its HTML looks like history.
        if let Some(found) = introduction.filter(|found| found.kind == Kind::Forward) {
            let class = Class { part: Part::Visible, method: found.method, confidence: found.confidence };
            self.classes.resize(lines.all.len(), class);
            return false;
        }
        // So is what its subject says to be one, in languages whose words are not known.
        if marked == Some(Part::Quoted) && lines.is_forward {
            self.classes
                .resize(lines.all.len(), Class { part: Part::Visible, method: Method::Forwarded, confidence: 70 });
            return false;
        }
        if let Some(part) = marked.filter(|part| *part != Part::Visible) {
            let is_blank = line.is_blank();
            let class = Class { part, method: Method::HtmlMark, confidence: 98 };
            self.signature = (part == Part::Signature && !is_blank).then_some((class, at));
            self.classes.push(class);
            return true;
        }
        if line.is_quoted || is_broken_quote(lines, at, self.classes.last()) {
            self.signature = None;
            self.classes.push(Class { part: Part::Quoted, method: Method::QuoteMark, confidence: 95 });
            return true;
        }
        if let Some(found) = introduction {
            let class = Class { part: Part::Quoted, method: found.method, confidence: found.confidence };
            self.signature = None;
            let end = match found.kind {
                Kind::Lines(count) => (at + count).min(lines.all.len()),
                Kind::Rest | Kind::Forward => lines.all.len(),
            };
            self.classes.resize(end, class);
            return end < lines.all.len();
        }
        self.own(lines, line, at);
        true
    }

    /// A line of the author's own: text or signature.
    fn own(&mut self, lines: &Lines<'_>, line: &Line<'_>, at: usize) {
        let is_over = |(class, first): (Class, usize)| {
            class.method != Method::Disclaimer
                && (at - first >= ending::SIGNATURE_LINES || ending::is_afterthought(line))
        };
        if self.signature.is_some_and(is_over) {
            self.signature = None;
        }
        let is_paragraph =
            at.checked_sub(1).and_then(|above| lines.at(above)).is_none_or(|above| above.is_blank() || above.is_rule());
        let is_html_signature = self.signature.is_some_and(|(class, _)| class.method == Method::HtmlMark);
        if is_html_signature && !line.is_blank() {
            self.signature = None; // its end is marked as well
        }
        let may_begin = self.signature.is_none_or(|(class, _)| class.method != Method::Disclaimer);
        if may_begin && let Some((method, confidence)) = ending::find(lines, at, self.has_text, is_paragraph) {
            self.signature = Some((Class { part: Part::Signature, method, confidence }, at));
        }
        let class = self.signature.map_or(NEW, |(class, _)| class);
        self.has_text |= class.part == Part::Visible && !line.is_blank();
        self.classes.push(class);
    }
}

/// Whether the line is the rest of a marked line that was broken on its way: it follows a long one directly, begins in
/// lower case, and a marked one follows.
fn is_broken_quote(lines: &Lines<'_>, at: usize, above: Option<&Class>) -> bool {
    const LONG: usize = 60;
    let (Some(line), Some(before)) = (lines.at(at), at.checked_sub(1).and_then(|before| lines.at(before))) else {
        return false;
    };
    above.is_some_and(|class| class.method == Method::QuoteMark)
        && !line.is_blank()
        && before.raw.len() >= LONG
        && !before.raw.trim_end().ends_with('?')
        && line.raw.starts_with(char::is_lowercase)
        && lines.at(at + 1).is_some_and(|next| next.is_quoted)
}

/// Spans of a text: what is behind so many is one.
const SPANS: usize = 1_000;

/// Runs of lines of one class without the blank lines around them.
fn spans(lines: &Lines<'_>, classes: &[Class]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut current: Option<Class> = None;
    for (line, class) in lines.all.iter().zip(classes) {
        if line.raw.trim().is_empty() {
            continue;
        }
        let is_forward = |class: Class| class.method == Method::Forwarded;
        let is_same = current
            .is_some_and(|current| current.part == class.part && is_forward(current) == is_forward(*class))
            || spans.len() >= SPANS;
        match spans.last_mut().filter(|_| is_same) {
            // A part is as sure as the least sure piece; its method is that by which it begins.
            Some(span) => {
                span.end = line.end();
                span.confidence = span.confidence.min(Confidence(class.confidence));
            }
            None => spans.push(Span {
                part: class.part,
                start: line.start,
                end: line.end(),
                method: class.method,
                confidence: Confidence(class.confidence),
            }),
        }
        current = Some(*class);
    }
    if let Some(rest) = spans.get_mut(SPANS - 1) {
        // Nobody writes so many answers; what is not told apart must not count as history.
        (rest.part, rest.method, rest.confidence) = (Part::Visible, Method::NothingElse, Confidence(40));
    }
    // What is left is as sure as the least sure of what was taken.
    let least = spans.iter().map(|span| span.confidence).min().unwrap_or(Confidence(NEW.confidence));
    for span in spans.iter_mut().filter(|span| span.method == Method::Remainder) {
        span.confidence = least;
    }
    spans
}
