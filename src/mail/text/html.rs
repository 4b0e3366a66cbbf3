//! Plain text out of HTML, for reading and classification; never for display, and no sanitiser.
//!
//! One pass: every octet that is looked at is consumed, so no input makes it slow. What browsers do not show as text
//! (scripts, styles, titles, comments) is left out; what a style hides is kept apart. Quoted blocks get `> ` in front of
//! their lines, as in plain mail, and what mail programs mark as history or signature is told as ranges of the text.

use super::Mark;
use crate::mail::message::html_reference;

mod markup;
mod writer;

use writer::Writer;

/// What is read out of an HTML document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HtmlText {
    /// What a reader sees, with LF line ends.
    pub text: String,
    /// What is there and not shown, on one line and cut at 64 KiB; empty when there is none.
    pub hidden: String,
    /// History and signatures that mail programs marked, in order, as ranges of the text.
    pub marks: Vec<Mark>,
}

/// Reads an HTML document.
#[must_use]
pub fn read(html: &str) -> HtmlText {
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

/// The longest character reference that is looked for.
const REFERENCE: usize = 34;

/// Whether a quoted header block begins here, in whatever language: lines with a label each, one of them with an address
/// or a number.
fn is_header(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(4).collect();
    let is_labelled = |line: &&&str| line.find([':', '：']).is_some_and(|colon| colon <= 40);
    let labelled = lines.iter().take_while(is_labelled).count();
    labelled >= 3 && lines.iter().any(|line| line.contains(|letter: char| letter == '@' || letter.is_ascii_digit()))
}

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
    if is_closing {
        out.end(&name);
    } else if SILENT.contains(&name.as_str()) {
        return behind_element(rest, &name);
    } else {
        out.start(&name, markup::read(&name, inside.get(name.len()..).unwrap_or_default()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(html: &str) -> String {
        read(html).text
    }

    #[test]
    fn paragraphs_lines_and_references_become_text() {
        let html = "<html><head><title>No</title><style>p{}</style></head><body>\n<p>Guten&nbsp;Tag,<br>\n\
                    bitte &auml;ndern &amp; senden &lt;heute&gt;.</p><p>Gru&szlig;</p><ul><li>eins<li>zwei</ul></body>";
        assert_eq!(text(html), "Guten Tag,\nbitte ändern & senden <heute>.\n\nGruß\n\n- eins\n- zwei");
    }

    #[test]
    fn quoted_blocks_are_marked() {
        assert_eq!(text("Yes.<blockquote>Can you?<br>Today?</blockquote>"), "Yes.\n> Can you?\n> Today?");
    }

    #[test]
    fn scripts_comments_and_attributes_are_no_text() {
        assert_eq!(text("a<script>if (1 < 2) {}</SCRIPT >b<!-- <p>x</p> -->c<a title=\"x>y\">d</a>"), "abcd");
        assert_eq!(text("5 < 6 and R&D; don't"), "5 < 6 and R&D; don't");
    }

    #[test]
    fn tables_lists_and_links_can_be_read() {
        let html = "<table border=1><tr><th>Item<th>Price<tr><td><p>Paint</p></td><td><p>5</p><p>EUR</p></td></tr></table>\
                    <table><tr><td>laid</td><td>out</td></tr></table><ol><li>one<ul><li>deep</ul><li>two</ol>";
        assert_eq!(text(html), "Item | Price\nPaint | 5 EUR\nlaid out\n1. one\n  - deep\n2. two");
        assert_eq!(text("<a href='https://a.example/x?b=1&amp;c'>See</a> it"), "See <https://a.example/x?b=1&c> it");
        assert_eq!(text("<a href='https://a.example/'>www: a.example</a>"), "www: a.example");
        assert_eq!(text("<a href='mailto:a@b.example?subject=x'>Ann</a>"), "Ann <a@b.example>");
        assert_eq!(text("<a href='javascript:alert(1)'>x</a><a href='https://a.example'><img></a>"), "x");
        assert_eq!(text(&format!("<a href='https://a.example/{}'>x</a>", "y".repeat(300))), "x <https://a.example/…>");
    }

    #[test]
    fn what_is_hidden_is_no_text_and_is_known() {
        let read = read(
            "<div style='display:none'>Pre<b>view</b></div><p>Seen<span style='font-size:0'>un</span>.<p hidden>Not<p>End",
        );
        assert_eq!((read.text.as_str(), read.hidden.as_str()), ("Seen.\n\nEnd", "Preview un Not"));
        // What is hidden ends where a browser ends it, so that an unclosed element hides no text that is shown.
        assert_eq!(text("<div><span style='display:none'>no</div>yes"), "yes");
        assert_eq!(text("<p style='display:none'>no<div>yes</div>"), "yes");
    }

    #[test]
    fn hostile_markup_takes_one_pass() {
        let pieces = [
            "<",
            "<a",
            "<!--",
            "&",
            "<script>",
            "<a \"",
            "<blockquote>",
            "</",
            "<a x='",
            "<div>",
            "<p>",
            "</div>",
            "<li>x",
            "<td>x",
            "<table border=1><tr><td>x",
            "<a href=http://x>y",
            "<div class=gmail_quote>x",
            "<b hidden>x",
            "<a class=x id=y ",
            "<ul>x",
        ];
        for piece in pieces {
            let html = piece.repeat(400_000 / piece.len());
            assert!(text(&html).len() <= html.len() * 4, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_markup_becomes_text(html in "[<>/!a-c&;#x0-9\"'= \\-é]{0,200}") {
            prop_assert!(!text(&html).contains('\0'));
        }

        #[test]
        fn marks_are_ordered_and_inside_the_text(html in "(<div class=gmail_quote>|</div>|<p>|</p>|a|é|<br>|<table border=1>|<td>|</td>\
                                                 |</table>|<div id=divRplyFwdMsg>|<li>|<ol>|<a href=http://x>|</a>|<b hidden>|</b>| ){0,40}") {
            let read = read(&html);
            let mut last = 0;
            for mark in &read.marks {
                prop_assert!(mark.start >= last && mark.start < mark.end && mark.end <= read.text.len());
                prop_assert!(read.text.is_char_boundary(mark.start) && read.text.is_char_boundary(mark.end));
                last = mark.end;
            }
        }
    }
}
