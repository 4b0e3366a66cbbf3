//! Plain text out of HTML, for reading and classification; never for display, and no sanitiser.
//!
//! One pass: every octet that is looked at is consumed, so no input makes it slow. What browsers do not show as text
//! (scripts, styles, titles, comments) is left out; quoted blocks get `> ` in front of their lines, as in plain mail.

use crate::mail::message::html_reference;

/// The text of an HTML document, with LF line ends.
#[must_use]
pub fn to_text(html: &str) -> String {
    let mut out = Writer::default();
    let mut rest = html;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '<' if starts_tag(after) => tag(after, &mut out),
            '&' => reference(rest, &mut out),
            _ => {
                out.letter(letter);
                after
            }
        };
    }
    out.finish()
}

/// Elements whose content is no text.
const SILENT: [&str; 6] = ["script", "style", "title", "template", "textarea", "select"];

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 26] = [
    "address", "article", "body", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form", "head",
    "header", "hr", "li", "main", "nav", "ol", "option", "pre", "section", "table", "tbody", "tr", "ul",
];

/// Elements with a blank line around them.
const PARAGRAPHS: [&str; 7] = ["p", "h1", "h2", "h3", "h4", "h5", "h6"];

/// Deeper quotes look like this one.
const QUOTE_DEPTH: usize = 8;

/// The longest character reference that is looked for.
const REFERENCE: usize = 34;

fn starts_tag(after: &str) -> bool {
    after.starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '!' | '?'))
}

/// Handles the tag behind `<`; gives what follows it.
fn tag<'a>(after: &'a str, out: &mut Writer) -> &'a str {
    if let Some(comment) = after.strip_prefix("!--") {
        return comment.find("-->").and_then(|end| comment.get(end + 3..)).unwrap_or_default();
    }
    let end = tag_end(after);
    let inside = after.get(..end).unwrap_or(after);
    let rest = after.get(end + 1..).unwrap_or_default();
    let (is_closing, inside) = inside.strip_prefix('/').map_or((false, inside), |inside| (true, inside));
    let name: String =
        inside.chars().take_while(char::is_ascii_alphanumeric).take(12).map(|c| c.to_ascii_lowercase()).collect();
    if SILENT.contains(&name.as_str()) && !is_closing {
        return behind_element(rest, &name);
    }
    out.tag(&name, is_closing);
    rest
}

/// Where the tag's `>` is, quoted attribute values skipped; the end of the text where there is none.
fn tag_end(after: &str) -> usize {
    let mut quote = None;
    let mut is_value = false;
    for (index, byte) in after.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return index,
            (None, b'"' | b'\'') if is_value => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
        if quote.is_none() && !byte.is_ascii_whitespace() {
            is_value = byte == b'=';
        }
    }
    after.len()
}

/// What follows the end tag of a silent element; nothing where it is never closed.
fn behind_element<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(found) = rest.get(from..).and_then(|tail| tail.find("</")) {
        let at = from + found + 2;
        let is_end = rest.get(at..at + name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name));
        if is_end {
            let tail = rest.get(at..).unwrap_or_default();
            return tail.get(tail_start(tail)..).unwrap_or_default();
        }
        from = at;
    }
    ""
}

fn tail_start(tail: &str) -> usize {
    tail.find('>').map_or(tail.len(), |end| end + 1)
}

/// Handles a character reference; gives what follows it.
fn reference<'a>(rest: &'a str, out: &mut Writer) -> &'a str {
    let end = rest.bytes().take(REFERENCE).position(|byte| byte == b';');
    let decoded = end.and_then(|end| rest.get(..=end)).and_then(|word| Some((html_reference(word)?, word.len())));
    let (text, length) = decoded.unwrap_or_else(|| ("&".to_owned(), 1));
    for letter in text.chars() {
        out.letter(letter);
    }
    rest.get(length..).unwrap_or_default()
}

/// Text under way: blanks folded, line breaks held back until something follows.
#[derive(Default)]
struct Writer {
    text: String,
    quotes: usize,
    preformatted: usize,
    breaks: usize,
    has_blank: bool,
}

impl Writer {
    fn letter(&mut self, letter: char) {
        match letter {
            '\n' if self.preformatted > 0 => self.breaks = (self.breaks + 1).min(2),
            letter if letter.is_whitespace() => self.has_blank = true,
            // Zero-width filler of newsletters, and control characters.
            '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{34f}' => {}
            letter if letter.is_control() => {}
            letter => {
                self.begin();
                self.text.push(letter);
            }
        }
    }

    /// Writes what was held back.
    fn begin(&mut self) {
        let is_first = self.text.is_empty();
        if self.breaks > 0 || is_first {
            let marks = "> ".repeat(self.quotes.min(QUOTE_DEPTH));
            for count in 0..self.breaks {
                if !is_first {
                    self.text.push('\n');
                    if count + 1 < self.breaks {
                        self.text.push_str(marks.trim_end());
                    }
                }
            }
            self.text.push_str(&marks);
        } else if self.has_blank {
            self.text.push(' ');
        }
        self.breaks = 0;
        self.has_blank = false;
    }

    fn tag(&mut self, name: &str, is_closing: bool) {
        match name {
            "br" => self.breaks = (self.breaks + 1).min(2),
            "td" | "th" => self.has_blank = true,
            "blockquote" => {
                self.breaks = self.breaks.max(1);
                self.quotes = if is_closing { self.quotes.saturating_sub(1) } else { self.quotes + 1 };
            }
            "pre" => {
                self.breaks = self.breaks.max(1);
                self.preformatted =
                    if is_closing { self.preformatted.saturating_sub(1) } else { self.preformatted + 1 };
            }
            "li" if !is_closing => {
                self.breaks = self.breaks.max(1);
                self.begin();
                self.text.push_str("- ");
            }
            name if PARAGRAPHS.contains(&name) => self.breaks = 2,
            name if BLOCKS.contains(&name) => self.breaks = self.breaks.max(1),
            _ => {}
        }
    }

    fn finish(self) -> String {
        self.text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paragraphs_lines_and_references_become_text() {
        let html = "<html><head><title>No</title><style>p{}</style></head><body>\n<p>Guten&nbsp;Tag,<br>\n\
                    bitte &auml;ndern &amp; senden &lt;heute&gt;.</p><p>Gru&szlig;</p><ul><li>eins<li>zwei</ul></body>";
        assert_eq!(to_text(html), "Guten Tag,\nbitte ändern & senden <heute>.\n\nGruß\n\n- eins\n- zwei");
    }

    #[test]
    fn quoted_blocks_are_marked() {
        assert_eq!(to_text("Yes.<blockquote>Can you?<br>Today?</blockquote>"), "Yes.\n> Can you?\n> Today?");
    }

    #[test]
    fn scripts_comments_and_attributes_are_no_text() {
        assert_eq!(to_text("a<script>if (1 < 2) {}</SCRIPT >b<!-- <p>x</p> -->c<a title=\"x>y\">d</a>"), "abcd");
        assert_eq!(to_text("5 < 6 and R&D; don't"), "5 < 6 and R&D; don't");
    }

    #[test]
    fn hostile_markup_takes_one_pass() {
        for piece in ["<", "<a", "<!--", "&", "<script>", "<a \"", "<blockquote>", "</", "<a x='"] {
            let html = piece.repeat(200_000);
            assert!(to_text(&html).len() <= html.len() * 2, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_markup_becomes_text(html in "[<>/!a-c&;#x0-9\"'= \\-é]{0,200}") {
            prop_assert!(!to_text(&html).contains('\0'));
        }
    }
}
