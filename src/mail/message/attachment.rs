//! What a message brings beside its text, by description: name, declared and detected type, size, digest.
//!
//! Nothing is kept, run or fetched. What Outlook wraps for itself is described as well, and its text is the message's
//! where there is no other.
//!
//! Standards: RFC 2183 (disposition, file name), RFC 2392 (Content-ID).

use super::structure::{Part, Shape, Structure};
use super::{Attachment, Defect, Disposition, Limits, Message, TextSource, body, detect, tnef, transfer};
use crate::mail::text::html;

/// Octets of a `winmail.dat` that are read; of a longer one what lies beyond is flagged.
const WRAPPED: usize = 32 * 1024 * 1024;

/// Describes a part that is not text of the message.
pub(super) fn describe(part: &Part, bytes: &[u8], limits: &Limits, message: &mut Message) {
    let may_wrap = may_be_tnef(part);
    let keep = if may_wrap { WRAPPED } else { detect::SNIFFED };
    let decoded = transfer::decode(part.body(bytes), part.encoding, keep);
    if !decoded.is_clean {
        message.defects.push(Defect::EncodingInvalid);
    }
    let index = message.attachments.len();
    let detected = if part.shape == Shape::Message { None } else { detect::media_type(&decoded.kept) };
    message.attachments.push(Attachment {
        index,
        filename: filename(part),
        content_type: part.media.name.chars().take(255).collect(),
        detected_type: detected.map(str::to_owned),
        size: decoded.size,
        sha256: decoded.sha256,
        content_id: part.content_id.clone().filter(|id| !id.is_empty()),
        disposition: disposition(part),
        within: None,
    });
    if may_wrap && tnef::is_stream(&decoded.kept) {
        unwrap(&decoded.kept, index, limits, message);
    } else if may_wrap {
        message.defects.push(Defect::TnefMalformed);
    }
}

/// The octets of the attachment of this index, decoded, as [`describe`] counts them; `None` where there is no such attachment.
pub(super) fn content(bytes: &[u8], structure: &Structure, limits: &Limits, index: usize) -> Option<Vec<u8>> {
    let own = structure.parts.iter().enumerate().filter(|(_, part)| part.messages == 0);
    let mut next = 0_usize;
    for (_, part) in own.filter(|(place, part)| body::is_attachment(*place, part)) {
        if next == index {
            return Some(transfer::decode(part.body(bytes), part.encoding, usize::MAX).kept);
        }
        next += 1;
        if !may_be_tnef(part) {
            continue;
        }
        let wrapped = transfer::decode(part.body(bytes), part.encoding, WRAPPED).kept;
        if tnef::is_stream(&wrapped) {
            let files = tnef::read(&wrapped, limits.text).attachments;
            let room = limits.parts.saturating_sub(next);
            if let Some(file) = files.get(index - next).filter(|_| index - next < room) {
                return Some(file.data.to_vec());
            }
            next += files.len().min(room);
        }
    }
    None
}

pub(super) fn disposition(part: &Part) -> Disposition {
    match part.disposition.as_ref().map(|disposition| disposition.name.as_str()) {
        None | Some("") => Disposition::Unstated,
        Some("inline") => Disposition::Inline,
        Some(_) => Disposition::Attachment,
    }
}

/// The file name without folders (RFC 2183 §2.3) and control characters, at most 255 characters.
pub(super) fn filename(part: &Part) -> String {
    let given = part.disposition.as_ref().map_or("", |disposition| disposition.parameter("filename"));
    last_name(if given.is_empty() { part.media.parameter("name") } else { given })
}

fn last_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).take(255).collect();
    clean.trim().to_owned()
}

fn may_be_tnef(part: &Part) -> bool {
    let is_declared = matches!(part.media.name.as_str(), "application/ms-tnef" | "application/vnd.ms-tnef");
    part.shape == Shape::Leaf && (is_declared || filename(part).eq_ignore_ascii_case("winmail.dat"))
}

/// The attachments inside attachment `index`, and the text where the message has none.
fn unwrap(stream: &[u8], index: usize, limits: &Limits, message: &mut Message) {
    let read = tnef::read(stream, limits.text);
    message.defects.push(Defect::Tnef);
    if read.is_broken {
        message.defects.push(Defect::TnefMalformed);
    }
    for file in read.attachments {
        if message.attachments.len() >= limits.parts {
            message.defects.push(Defect::PartsLimit);
            break;
        }
        let media = file.media.to_ascii_lowercase();
        let is_media = media.contains('/') && media.chars().all(|letter| letter.is_ascii_graphic());
        message.attachments.push(Attachment {
            index: message.attachments.len(),
            filename: last_name(&file.name),
            content_type: if is_media {
                media.chars().take(255).collect()
            } else {
                "application/octet-stream".to_owned()
            },
            detected_type: detect::media_type(file.data).map(str::to_owned),
            size: u64::try_from(file.data.len()).unwrap_or(u64::MAX),
            sha256: transfer::sha256_hex(file.data),
            content_id: file.content_id.map(|id| id.trim_matches(['<', '>', ' ']).to_owned()),
            disposition: Disposition::Attachment,
            within: Some(index),
        });
    }
    if !message.text.trim().is_empty() {
        return;
    }
    if read.text.trim().is_empty() {
        let html = html::read(&read.html);
        (message.text, message.text_marks) = (html.text, html.marks);
        let room = limits.hidden.saturating_sub(message.hidden_text.len());
        let end = html.hidden.floor_char_boundary(room);
        message.hidden_text.push_str(html.hidden.get(..end).unwrap_or_default());
        message.text_source = TextSource::Html;
    } else {
        message.text = body::plain(&read.text);
        message.text_source = TextSource::Plain;
    }
    let end = message.text.floor_char_boundary(limits.text);
    if end < message.text.len() {
        message.text.truncate(end);
        message.text_marks.retain(|mark| mark.start < end);
        for mark in &mut message.text_marks {
            mark.end = mark.end.min(end);
        }
        message.cut_text_sha256 = Some(transfer::sha256_hex(stream));
        message.defects.push(Defect::TextCut);
    }
    if message.text.is_empty() {
        message.text_source = TextSource::None;
    }
}
