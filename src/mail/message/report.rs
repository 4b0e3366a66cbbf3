//! The machine-readable parts of reports, and the layout of journal reports.
//!
//! Standards: RFC 6522 (multipart/report), RFC 3464 and 6533 (delivery status), RFC 8098 (disposition notification),
//! RFC 5965 (feedback report), \[MS-XJRNL\] (journal reports).

use super::structure::{Part, Shape, Structure};
use super::{Message, field, header, transfer};

/// What a machine-readable report tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// message/delivery-status (RFC 3464).
    DeliveryStatus,
    /// message/disposition-notification (RFC 8098).
    Disposition,
    /// message/feedback-report (RFC 5965).
    Feedback,
}

/// The machine-readable part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it tells of.
    pub kind: ReportKind,
    /// Its text with LF line ends, cut at 64 KiB.
    pub fields: String,
    /// Whether the returned header, without its message, marks a journal report.
    pub is_journal_header: bool,
}

const KEPT: usize = 64 * 1024;

/// The report of a message: a part of a report type near the top, or the message itself.
pub(super) fn read(bytes: &[u8], structure: &Structure) -> Option<Report> {
    let (kind, part) = near(structure).find_map(|(_, part)| kind(&part.media.name).map(|kind| (kind, part)))?;
    let fields = String::from_utf8_lossy(&content(part, bytes)).replace("\r\n", "\n");
    let is_journal_header = near(structure).any(|(_, part)| {
        let is_header = matches!(part.media.name.as_str(), "text/rfc822-headers" | "message/global-headers");
        is_header && header::marks_journal(&content(part, bytes))
    });
    Some(Report { kind, fields, is_journal_header })
}

/// The id of the first message or header that is a part near the top.
pub(super) fn returned_message_id(bytes: &[u8], structure: &Structure) -> Option<String> {
    near(structure).skip(1).find_map(|(index, part)| match part.media.name.as_str() {
        _ if part.shape == Shape::Message => {
            let inner = structure.parts.get(index + 1).filter(|inner| inner.parent == Some(index))?;
            header::message_id_in(bytes.get(inner.header.clone())?)
        }
        "text/rfc822-headers" | "message/global-headers" => header::message_id_in(&content(part, bytes)),
        _ => None,
    })
}

/// Parts at most two levels down and in no other message: what scanned a report on its way may have wrapped it.
fn near(structure: &Structure) -> impl Iterator<Item = (usize, &Part)> {
    let is_near = |(index, part): &(usize, &Part)| part.messages == 0 && structure.ancestors(*index).count() <= 2;
    structure.parts.iter().enumerate().filter(is_near)
}

fn kind(media: &str) -> Option<ReportKind> {
    match media {
        "message/delivery-status" | "message/global-delivery-status" => Some(ReportKind::DeliveryStatus),
        "message/disposition-notification" | "message/global-disposition-notification" => Some(ReportKind::Disposition),
        "message/feedback-report" => Some(ReportKind::Feedback),
        _ => None,
    }
}

fn content(part: &Part, bytes: &[u8]) -> Vec<u8> {
    transfer::decode(part.body(bytes), part.encoding, KEPT).kept
}

/// Whether the message is laid out like a journal report: a multipart/mixed whose text names `Sender:` and
/// `Message-ID:` and stands in front of an original, at most two levels down. A marker field alone means nothing.
pub(super) fn has_journal_shape(bytes: &[u8], structure: &Structure, message: &Message) -> bool {
    let is_mixed = structure.parts.first().is_some_and(|part| part.media.name == "multipart/mixed");
    let depth = |index: usize| structure.ancestors(index).count();
    let mut own = structure.parts.iter().enumerate().filter(|(index, part)| part.messages == 0 && depth(*index) <= 2);
    let Some((text, part)) = own.find(|(_, part)| part.shape == Shape::Leaf && part.media.name.starts_with("text/"))
    else {
        return false;
    };
    let has_original = own.any(|(index, part)| index > text && is_original(part));
    if !is_mixed || !has_original {
        return false;
    }
    let text = content(part, bytes);
    let has = |names: &[&str]| {
        field::lines(&text, 0).any(|line| {
            let colon = line.content.iter().position(|byte| *byte == b':').unwrap_or(0);
            let name = line.content.get(..colon).unwrap_or_default().trim_ascii();
            names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
        })
    };
    let has_sender = has(&["sender", "absender", "expéditeur"]);
    has_sender && (message.trace.journal_marker.is_some() || has(&["message-id", "nachrichten-id", "id du message"]))
}

fn is_original(part: &Part) -> bool {
    let is_file_of_mail = part.media.name == "application/octet-stream"
        && part.media.parameters.iter().chain(part.disposition.iter().flat_map(|found| &found.parameters)).any(
            |(name, value)| {
                matches!(name.as_str(), "name" | "filename") && value.to_ascii_lowercase().ends_with(".eml")
            },
        );
    part.shape == Shape::Message || part.media.name.starts_with("message/") || is_file_of_mail
}
