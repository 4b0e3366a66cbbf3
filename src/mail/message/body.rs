//! The best plain text of a message, and the calendar in it.

use super::attachment::{self, disposition, filename};
use super::charset::Fit;
use super::structure::{Part, Shape, Structure};
use super::{Defect, Disposition, Limits, Message, TextSource, alternative, calendar, charset, transfer};
use crate::mail::text::{Mark, html};

/// Fills text and attachments of `message`. Parts inside a nested message belong to that message, not to this one.
pub(super) fn read(bytes: &[u8], structure: &Structure, limits: &Limits, message: &mut Message) {
    let own: Vec<(usize, &Part)> = structure.parts.iter().enumerate().filter(|(_, part)| part.messages == 0).collect();
    let mut text =
        TextReader { bytes, limits, pieces: Vec::new(), room: limits.text, digests: String::new(), is_cut: false };
    let mut has_plain_text = vec![false; structure.parts.len()];
    for (index, part) in own.iter().filter(|(index, part)| is_text(*index, part, "text/plain")) {
        if text.add(*index, part, message) {
            for ancestor in structure.ancestors(*index) {
                if let Some(has) = has_plain_text.get_mut(ancestor) {
                    *has = true;
                }
            }
        }
    }
    // RFC 2046 §5.1.4: alternatives say the same; HTML is read only where there is no plain text beside it.
    let is_spoken_for = |index: usize| {
        structure.ancestors(index).any(|ancestor| {
            has_plain_text.get(ancestor) == Some(&true)
                && structure.parts.get(ancestor).is_some_and(|part| part.media.name == "multipart/alternative")
        })
    };
    let (mut has_html, mut beside) = (false, None);
    for (index, part) in own.iter().filter(|(index, part)| is_text(*index, part, "text/html")) {
        if is_spoken_for(*index) {
            beside = beside.or(Some(*part));
        } else {
            has_html |= text.add(*index, part, message);
        }
    }
    let is_single = text.pieces.iter().filter(|(_, piece, _)| !piece.trim().is_empty()).count() == 1;
    text.finish(message);
    if let Some(part) = beside {
        look_beside(part, bytes, limits, is_single, message);
    }
    message.text_source = match (message.text.is_empty(), has_html) {
        (true, _) => TextSource::None,
        (false, true) => TextSource::Html,
        (false, false) => TextSource::Plain,
    };
    let calendar = own.iter().find(|(_, part)| part.shape == Shape::Leaf && part.media.name == "text/calendar");
    if let Some((_, part)) = calendar {
        message.has_calendar = true;
        read_calendar(part, bytes, message);
    }
    for (index, part) in own {
        if is_attachment(index, part) {
            attachment::describe(part, bytes, limits, message);
        }
    }
}

/// The markup of every part that is HTML of the message itself; `None` where one is longer than the limit, or is not in its
/// charset.
pub(super) fn markup(bytes: &[u8], structure: &Structure, limits: &Limits) -> Option<Option<String>> {
    let mut all: Option<String> = None;
    let own = structure.parts.iter().enumerate().filter(|(_, part)| part.messages == 0);
    for (_, part) in own.filter(|(index, part)| is_text(*index, part, "text/html")) {
        let decoded = transfer::decode(part.body(bytes), part.encoding, limits.text);
        let (markup, fit) = charset::read(&decoded.kept, part.media.parameter("charset"));
        let is_whole = decoded.size <= u64::try_from(limits.text).unwrap_or(u64::MAX);
        if !is_whole || !decoded.is_clean || matches!(fit, Fit::Unknown | Fit::Mismatch) {
            return None;
        }
        all.get_or_insert_default().push_str(&markup);
    }
    Some(all)
}

/// Whether the part is text of the message itself. A text with a file name or marked `attachment` is a file.
fn is_text(index: usize, part: &Part, media: &str) -> bool {
    let is_file = disposition(part) == Disposition::Attachment || !filename(part).is_empty();
    part.shape == Shape::Leaf && part.media.name == media && (index == 0 || !is_file)
}

pub(super) fn is_attachment(index: usize, part: &Part) -> bool {
    match part.shape {
        Shape::Multipart => false,
        Shape::Message => true,
        Shape::Leaf => !is_text(index, part, "text/plain") && !is_text(index, part, "text/html"),
    }
}

/// What the HTML beside the plain text knows of it. `is_single` says whether that is all of the text.
fn look_beside(part: &Part, bytes: &[u8], limits: &Limits, is_single: bool, message: &mut Message) {
    let decoded = transfer::decode(part.body(bytes), part.encoding, limits.text.saturating_mul(2));
    let (markup, _) = charset::read(&decoded.kept, part.media.parameter("charset"));
    let read = html::read(&markup);
    let room = limits.hidden.saturating_sub(message.hidden_text.len());
    message.hidden_text.push_str(read.hidden.get(..floor_char_boundary(&read.hidden, room)).unwrap_or_default());
    if is_single {
        message.text_marks.extend(alternative::history(&message.text, &read));
    }
}

fn read_calendar(part: &Part, bytes: &[u8], message: &mut Message) {
    let decoded = transfer::decode(part.body(bytes), part.encoding, calendar::CALENDAR);
    let (text, _) = charset::read(&decoded.kept, part.media.parameter("charset"));
    let read = calendar::read(&text, part.media.parameter("method"));
    if read.entries.iter().all(|entry| entry.uid.is_none()) {
        message.defects.push(Defect::CalendarMalformed);
    }
    message.calendar = Some(read);
}

/// Collects text parts within the limit.
struct TextReader<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    pieces: Vec<(usize, String, Vec<Mark>)>,
    room: usize,
    digests: String,
    is_cut: bool,
}

impl TextReader<'_> {
    /// Adds the text of a part; says whether it has any.
    fn add(&mut self, index: usize, part: &Part, message: &mut Message) -> bool {
        let is_html = part.media.name == "text/html";
        // Markup is often ten times its text; the limit is on the text.
        let keep = if is_html { self.limits.text.saturating_mul(2) } else { self.room };
        let decoded = transfer::decode(part.body(self.bytes), part.encoding, keep);
        let is_cut = u64::try_from(decoded.kept.len()).unwrap_or(u64::MAX) < decoded.size;
        let (mut text, fit) = charset::read(&decoded.kept, part.media.parameter("charset"));
        if is_cut && text.ends_with('\u{fffd}') {
            text.pop(); // a letter cut in two
        }
        if !decoded.is_clean {
            message.defects.push(Defect::EncodingInvalid);
        }
        match fit {
            Fit::Fits => {}
            Fit::Unknown => message.defects.push(Defect::CharsetUnknown),
            Fit::Mismatch => message.defects.push(Defect::CharsetMismatch),
        }
        let (mut text, marks) = if is_html {
            let read = html::read(&text);
            let room = self.limits.hidden.saturating_sub(message.hidden_text.len());
            message
                .hidden_text
                .push_str(read.hidden.get(..floor_char_boundary(&read.hidden, room)).unwrap_or_default());
            (read.text, read.marks)
        } else {
            (plain(&text), Vec::new())
        };
        let end = floor_char_boundary(&text, self.room);
        self.is_cut |= is_cut || end < text.len();
        text.truncate(end);
        self.room -= text.len();
        self.digests.push_str(&decoded.sha256);
        let has_text = !text.trim().is_empty();
        self.pieces.push((index, text, marks));
        has_text
    }

    fn finish(mut self, message: &mut Message) {
        self.pieces.sort_by_key(|(index, ..)| *index);
        for (_, piece, marks) in self.pieces {
            if piece.trim().is_empty() {
                continue;
            }
            if !message.text.is_empty() {
                message.text.push_str(if message.text.ends_with('\n') { "\n" } else { "\n\n" });
            }
            let (start, length) = (message.text.len(), piece.len());
            message.text.push_str(&piece);
            let within = marks.into_iter().filter(|mark| mark.start < length);
            message.text_marks.extend(within.map(|mark| Mark {
                start: start + mark.start,
                end: start + mark.end.min(length),
                ..mark
            }));
        }
        if self.is_cut {
            message.defects.push(Defect::TextCut);
            message.cut_text_sha256 = Some(transfer::sha256_hex(self.digests.as_bytes()));
        }
    }
}

/// Line ends as LF; no byte-order mark and no control characters but tab.
pub(super) fn plain(text: &str) -> String {
    // What needs a look begins with one of these octets; what stands between them is taken as it is.
    let needs_look = |octet: u8| matches!(octet, 0..=8 | 0x0b..=0x1f | 0x7f | 0xc2 | 0xef);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let at = rest.bytes().position(needs_look).unwrap_or(rest.len());
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        clean.push_str(before);
        let mut letters = after.chars();
        match letters.next() {
            None => break,
            Some('\r') => {
                clean.push('\n');
                rest = letters.as_str();
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                continue;
            }
            Some('\u{feff}') => {}
            Some(letter) if letter.is_control() => {}
            Some(letter) => clean.push(letter),
        }
        rest = letters.as_str();
    }
    clean
}

/// The largest index within `limit` at which `text` can be cut.
fn floor_char_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}
