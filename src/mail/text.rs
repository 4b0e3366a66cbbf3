//! Which part of a text is new: visible reply, quoted history, signature. And plain text out of HTML.
//!
//! The visible part is what decisions are made on: a request that stands in quoted history only must not count. It is
//! never empty when the text is not. One pass over the lines, linear in the input.

pub mod html;
mod mark;
#[cfg(test)]
mod tests;

/// A reply taken apart; each part keeps the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplySpans {
    /// New text; not empty when the whole text is not.
    pub visible: String,
    /// Quoted history with the line that introduces it; empty when there is none.
    pub quoted: String,
    /// Signature block; empty when there is none.
    pub signature: String,
}

/// Takes a plain text apart.
#[must_use]
pub fn split_reply(text: &str) -> ReplySpans {
    let lines: Vec<&str> = text.lines().collect();
    let classes = classify(&lines);
    let mut spans = ReplySpans::default();
    for (line, class) in lines.iter().zip(&classes) {
        let part = match class {
            Class::Visible => &mut spans.visible,
            Class::Quoted => &mut spans.quoted,
            Class::Signature => &mut spans.signature,
        };
        part.push_str(line);
        part.push('\n');
    }
    for part in [&mut spans.visible, &mut spans.quoted, &mut spans.signature] {
        *part = trim_blank_lines(part).to_owned();
    }
    if spans.visible.is_empty() {
        // Nothing new was found: the signature may be all that was written, else the history is the message.
        spans.visible =
            std::mem::take(if spans.signature.is_empty() { &mut spans.quoted } else { &mut spans.signature });
    }
    spans
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Visible,
    Quoted,
    Signature,
}

/// Longest signature in lines: what follows `-- ` for longer is text again.
const SIGNATURE_LINES: usize = 20;

fn classify(lines: &[&str]) -> Vec<Class> {
    let mut classes = Vec::with_capacity(lines.len());
    let mut is_signature = false;
    let mut signature_lines = 0;
    while let Some(line) = lines.get(classes.len()) {
        let here = lines.get(classes.len()..).unwrap_or_default();
        if mark::is_quoted(line) {
            classes.push(Class::Quoted);
            is_signature = false;
            continue;
        }
        match mark::introduction(here) {
            // Quoted lines follow one by one, and an answer may stand between them.
            Some(mark::Introduction::Lines(count)) => {
                classes.extend(std::iter::repeat_n(Class::Quoted, count));
                is_signature = false;
                continue;
            }
            // Everything behind it is history.
            Some(mark::Introduction::Rest) => {
                classes.resize(lines.len(), Class::Quoted);
                break;
            }
            None => {}
        }
        if mark::is_signature_start(line) && (mark::is_delimiter(line) || is_near_end(here)) {
            is_signature = true;
            signature_lines = 0;
        }
        signature_lines += 1;
        let is_part = is_signature && signature_lines <= SIGNATURE_LINES;
        classes.push(if is_part { Class::Signature } else { Class::Visible });
    }
    classes.truncate(lines.len());
    classes
}

/// Whether little text of the author's own follows: a few lines, or quoted history.
fn is_near_end(here: &[&str]) -> bool {
    let follows = here.iter().skip(1).take(5).filter(|line| !line.trim().is_empty());
    follows.take_while(|line| !mark::is_quoted(line) && !mark::starts_history(line)).count() <= 3
}

fn trim_blank_lines(text: &str) -> &str {
    let text = text.trim_end();
    match text.find(|letter: char| !letter.is_whitespace()) {
        Some(first) => {
            let start = text.get(..first).and_then(|blank| blank.rfind('\n')).map_or(0, |end| end + 1);
            text.get(start..).unwrap_or(text)
        }
        None => "",
    }
}
