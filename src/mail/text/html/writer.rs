//! Text under way: blanks folded, line breaks held back until something follows, open elements on a bounded stack.

use std::collections::HashMap;

use super::markup::Meaning;
use super::{HtmlText, is_header};
use crate::mail::text::{Mark, Part};

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 28] = [
    "address",
    "article",
    "body",
    "caption",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "head",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "pre",
    "section",
    "table",
    "tbody",
    "tr",
    "ul",
    "blockquote",
];

/// Elements with a blank line around them.
const PARAGRAPHS: [&str; 7] = ["p", "h1", "h2", "h3", "h4", "h5", "h6"];

/// Elements without content.
const VOID: [&str; 12] = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"];

/// Elements inside a line.
const INLINE: [&str; 12] = ["a", "b", "i", "u", "s", "em", "strong", "span", "font", "small", "big", "o"];

/// Deeper quotes and lists look like this one.
const DEPTH: usize = 8;
/// Open elements that are followed; what is opened deeper has no meaning of its own.
const STACK: usize = 256;
/// Octets of hidden text that are kept.
const HIDDEN: usize = 64 * 1024;
/// Octets of a link's target that are shown.
const TARGET: usize = 200;
/// Places where a header block may begin that are looked at.
const HEADERS: usize = 16;

struct Element {
    name: String,
    is_hidden: bool,
    is_marked: bool,
    /// Target and where its words begin.
    link: Option<(String, usize)>,
    /// Items so far, of an ordered list.
    items: Option<u32>,
    /// Whether it is a cell of a table with lines, or that table.
    is_data: bool,
}

#[derive(Default)]
pub(super) struct Writer {
    text: String,
    hidden: String,
    marks: Vec<Mark>,
    stack: Vec<Element>,
    open: HashMap<String, usize>,
    hidden_elements: usize,
    data_cells: usize,
    /// The mark that is open, and where it begins once something is written.
    mark: Option<(Part, Option<usize>)>,
    is_to_the_end: bool,
    headers: Vec<usize>,
    is_header_next: bool,
    breaks: usize,
    /// Depth of the quote that the line is in.
    line_quotes: usize,
    has_blank: bool,
    /// Separators of cells in front of what is written next.
    cells: usize,
    /// What stands in front of an item.
    item: String,
}

impl Writer {
    pub(super) fn letter(&mut self, letter: char) {
        if self.hidden_elements > 0 {
            if self.hidden.len() < HIDDEN && (!letter.is_control() || letter == '\n') && !is_filler(letter) {
                let is_blank = letter.is_whitespace();
                if !(is_blank && (self.hidden.is_empty() || self.hidden.ends_with(' '))) {
                    self.hidden.push(if is_blank { ' ' } else { letter });
                }
            }
            return;
        }
        match letter {
            '\n' if self.is_open("pre") => self.breaks = (self.breaks + 1).min(2),
            letter if letter.is_whitespace() => self.has_blank = true,
            letter if is_filler(letter) || letter.is_control() => {}
            letter => {
                self.begin();
                self.text.push(letter);
            }
        }
    }

    fn is_open(&self, name: &str) -> bool {
        self.open.get(name).is_some_and(|count| *count > 0)
    }

    fn quotes(&self) -> usize {
        self.open.get("blockquote").copied().unwrap_or(0).min(DEPTH)
    }

    /// Writes what was held back.
    fn begin(&mut self) {
        let is_first = self.text.is_empty();
        let is_line_start = self.breaks > 0 || is_first;
        if is_line_start {
            let quotes = self.quotes();
            let marks = "> ".repeat(quotes);
            let between = "> ".repeat(quotes.min(std::mem::replace(&mut self.line_quotes, quotes)));
            for count in 0..self.breaks {
                if !is_first {
                    self.text.push('\n');
                    if count + 1 < self.breaks {
                        self.text.push_str(between.trim_end());
                    }
                }
            }
            let at = self.text.len();
            if let Some((_, start)) = &mut self.mark {
                start.get_or_insert(at);
            }
            if std::mem::take(&mut self.is_header_next) && self.headers.len() < HEADERS {
                self.headers.push(at);
            }
            self.text.push_str(&marks);
        }
        let cells = std::mem::take(&mut self.cells);
        if cells > 0 {
            self.text.push_str(if is_line_start { "" } else { " " });
            self.text.push_str(&"| ".repeat(cells));
        } else if self.has_blank && !is_line_start {
            self.text.push(' ');
        }
        self.text.push_str(&std::mem::take(&mut self.item));
        self.breaks = 0;
        self.has_blank = false;
    }

    /// Begins a new line, with a blank one in front where `lines` is 2; inside a cell of a table with lines a blank.
    fn break_line(&mut self, lines: usize) {
        if self.data_cells > 0 {
            self.has_blank = true;
        } else {
            self.breaks = self.breaks.max(lines);
        }
    }

    pub(super) fn start(&mut self, name: &str, meaning: Meaning) {
        self.close_implied(name);
        self.lay_out(name);
        if name == "br" && self.data_cells == 0 {
            self.breaks = (self.breaks + 1).min(2);
        }
        if meaning.may_begin_header {
            self.is_header_next = true;
        }
        if meaning.is_to_the_end && !self.is_to_the_end {
            self.end_mark();
            self.break_line(1);
            self.mark = Some((Part::Quoted, None));
            self.is_to_the_end = true;
        }
        if VOID.contains(&name) || name.is_empty() || self.stack.len() >= STACK {
            return;
        }
        let is_marked = meaning.mark.is_some() && self.mark.is_none();
        if is_marked {
            self.break_line(1);
            self.mark = meaning.mark.map(|part| (part, None));
        }
        let is_cell = matches!(name, "td" | "th");
        let element = Element {
            name: name.to_owned(),
            is_hidden: meaning.is_hidden,
            is_marked,
            link: meaning.href.map(|href| (href, self.text.len())),
            items: (name == "ol").then_some(0),
            is_data: if is_cell { self.starts_cell(name) } else { name == "table" && meaning.has_border },
        };
        self.hidden_elements += usize::from(element.is_hidden);
        self.data_cells += usize::from(is_cell && element.is_data);
        *self.open.entry(element.name.clone()).or_default() += 1;
        self.stack.push(element);
    }

    /// Line breaks and items in front of an element.
    fn lay_out(&mut self, name: &str) {
        if PARAGRAPHS.contains(&name) {
            self.break_line(2);
        } else if BLOCKS.contains(&name) {
            self.break_line(1);
        }
        match name {
            "li" => {
                let depth = self.open.get("ul").unwrap_or(&0) + self.open.get("ol").unwrap_or(&0);
                let list = self.stack.iter_mut().rev().find(|element| matches!(element.name.as_str(), "ul" | "ol"));
                let number = list.and_then(|list| list.items.as_mut()).map(|items| {
                    *items += 1;
                    *items
                });
                let indent = "  ".repeat(depth.saturating_sub(1).min(DEPTH));
                self.item = number.map_or_else(|| format!("{indent}- "), |number| format!("{indent}{number}. "));
            }
            "tr" => self.cells = 0,
            _ => {}
        }
    }

    /// Whether the cell is one of a table with lines, and its separator.
    fn starts_cell(&mut self, name: &str) -> bool {
        self.has_blank = true;
        let mut is_first = true;
        for element in self.stack.iter_mut().rev() {
            match element.name.as_str() {
                "tr" => {
                    is_first = !std::mem::replace(&mut element.is_data, true);
                }
                "table" => {
                    element.is_data |= name == "th";
                    self.cells += usize::from(element.is_data && !is_first);
                    return element.is_data;
                }
                _ => {}
            }
        }
        false
    }

    pub(super) fn end(&mut self, name: &str) {
        if PARAGRAPHS.contains(&name) {
            self.break_line(2);
        }
        if self.is_open(name) && self.is_in_scope(name) {
            while let Some(element) = self.pop() {
                if element == name {
                    break;
                }
            }
        }
        if BLOCKS.contains(&name) {
            self.break_line(1);
        } else if matches!(name, "td" | "th") {
            self.has_blank = true;
        }
    }

    /// Whether the element was opened in the cell that we are in.
    fn is_in_scope(&self, name: &str) -> bool {
        let is_of_table = matches!(name, "table" | "tbody" | "thead" | "tfoot" | "tr" | "td" | "th" | "body" | "html");
        let mut above = self.stack.iter().rev();
        above
            .find(|element| element.name == name || (!is_of_table && matches!(element.name.as_str(), "td" | "th")))
            .is_some_and(|element| element.name == name)
    }

    /// HTML's implied end tags: a paragraph ends where a block begins, an item or cell where the next one does.
    fn close_implied(&mut self, name: &str) {
        let (closed, stops): (&[&str], &[&str]) = match name {
            "li" => (&["li"], &["ul", "ol"]),
            "td" | "th" => (&["td", "th"], &["tr", "table"]),
            "tr" => (&["tr"], &["table"]),
            "dt" | "dd" => (&["dt", "dd"], &["dl"]),
            "option" => (&["option"], &["select"]),
            name if BLOCKS.contains(&name) || PARAGRAPHS.contains(&name) => (&["p"], &[]),
            _ => return,
        };
        let is_paragraph = closed == ["p"];
        let found = self.stack.iter().rev().take(32).position(|element| {
            let name = element.name.as_str();
            closed.contains(&name) || stops.contains(&name) || (is_paragraph && !INLINE.contains(&name))
        });
        let Some(above) = found else { return };
        let is_closed =
            self.stack.iter().rev().nth(above).is_some_and(|element| closed.contains(&element.name.as_str()));
        for _ in 0..if is_closed { above + 1 } else { 0 } {
            self.pop();
        }
    }

    /// Closes the innermost element; gives its name.
    fn pop(&mut self) -> Option<String> {
        let element = self.stack.pop()?;
        if let Some(count) = self.open.get_mut(&element.name) {
            *count = count.saturating_sub(1);
        }
        if element.is_hidden {
            self.hidden_elements = self.hidden_elements.saturating_sub(1);
            if !self.hidden.is_empty() && !self.hidden.ends_with(' ') {
                self.hidden.push(' ');
            }
        }
        if matches!(element.name.as_str(), "td" | "th") && element.is_data {
            self.data_cells = self.data_cells.saturating_sub(1);
        }
        if let Some((href, start)) = &element.link {
            self.link(href, *start);
        }
        if element.is_marked && !self.is_to_the_end {
            self.end_mark();
            self.break_line(1);
        }
        Some(element.name)
    }

    /// Writes the target of a link behind its words, where they do not say it.
    fn link(&mut self, href: &str, start: usize) {
        let href = href.trim();
        let is_web = ["http://", "https://"].iter().any(|scheme| starts_ignoring_case(href, scheme));
        let address = if starts_ignoring_case(href, "mailto:") { href.get(7..) } else { None };
        let Some(target) = address.and_then(|address| address.split('?').next()).or(is_web.then_some(href)) else {
            return;
        };
        let words = self.text.get(start..).unwrap_or_default().trim();
        let plain = target.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if words.is_empty() || plain.is_empty() || self.hidden_elements > 0 || words.contains(plain) {
            return;
        }
        let shown: String = target.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect();
        let shown = if shown.len() <= TARGET { shown } else { host(&shown) };
        self.text.push_str(" <");
        self.text.push_str(&shown);
        self.text.push('>');
    }

    fn end_mark(&mut self) {
        if let Some((part, Some(start))) = self.mark.take() {
            self.marks.push(Mark { part, start, end: self.text.len() });
        }
    }

    pub(super) fn finish(mut self) -> HtmlText {
        while self.pop().is_some() {}
        self.end_mark();
        self.text.truncate(self.text.trim_end().len());
        let length = self.text.len();
        if let Some(start) =
            self.headers.iter().copied().find(|start| is_header(self.text.get(*start..).unwrap_or_default()))
        {
            // Outlook's quoted header: everything from there on is history.
            self.marks.retain(|mark| mark.start < start);
            for mark in &mut self.marks {
                mark.end = mark.end.min(start);
            }
            self.marks.push(Mark { part: Part::Quoted, start, end: length });
        }
        self.marks.retain(|mark| mark.start < mark.end);
        for mark in &mut self.marks {
            mark.end = mark.end.min(length);
        }
        HtmlText { text: self.text, hidden: self.hidden.trim().to_owned(), marks: self.marks }
    }
}

/// Zero-width filler of newsletters.
fn is_filler(letter: char) -> bool {
    matches!(letter, '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{34f}')
}

fn starts_ignoring_case(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// A web address without its path.
fn host(target: &str) -> String {
    let end = target.match_indices('/').nth(2).map_or(target.len(), |(at, _)| at + 1);
    let end = target.floor_char_boundary(end.min(TARGET));
    format!("{}…", target.get(..end).unwrap_or_default())
}
