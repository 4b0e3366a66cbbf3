//! Reports in a message.
use super::{Message, structure::Structure};
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
/// The machine-readable part of a multipart/report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it tells of.
    pub kind: ReportKind,
    /// Its text, cut at 64 KiB.
    pub fields: String,
    /// Message-ID of the returned message or headers, without angle brackets.
    pub returned_message_id: Option<String>,
}
pub(super) fn read(_bytes: &[u8], _structure: &Structure) -> Option<Report> {
    None
}
pub(super) fn has_journal_shape(_bytes: &[u8], _structure: &Structure, _message: &Message) -> bool {
    false
}
