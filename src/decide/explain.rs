//! Public reasons: names of signals with a short quote, never a weight or a threshold.

use super::fold::Folded;
use super::signals::{Fired, Place};

/// Longest quote, in characters.
const MAX_QUOTE: usize = 80;

/// A message's texts in original and folded form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) subject: (&'a str, &'a Folded),
    pub(super) reply: (&'a str, &'a Folded),
    pub(super) full: (&'a str, &'a Folded),
}

/// The words of the message that made a signal fire: at most 80 characters, white space collapsed, no control
/// characters.
pub(super) fn evidence(texts: &Texts<'_>, fired: &Fired) -> Option<String> {
    let (original, folded) = match fired.place {
        Place::Subject => texts.subject,
        Place::Reply => texts.reply,
        Place::Full => texts.full,
    };
    let (start, end) = folded.original_range(fired.start, fired.end);
    quote(original.get(start..end)?)
}

fn quote(text: &str) -> Option<String> {
    let mut quoted = String::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|&c| !is_control(c)).collect();
        if word.is_empty() {
            continue;
        }
        let length = quoted.chars().count();
        if length + 1 + word.chars().count() > MAX_QUOTE {
            if quoted.is_empty() {
                quoted.extend(word.chars().take(MAX_QUOTE));
            }
            break;
        }
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        quoted.push_str(&word);
    }
    (!quoted.is_empty()).then_some(quoted)
}

/// Control and direction characters could make the quote read differently where it is shown.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_short_and_has_no_control_characters() {
        assert_eq!(quote("send \u{202e}proof\n of\u{7} funds").as_deref(), Some("send proof of funds"));
        assert_eq!(quote(&"word ".repeat(40)).unwrap().chars().count(), 79);
        assert_eq!(quote("\u{7}\n"), None);
    }
}
