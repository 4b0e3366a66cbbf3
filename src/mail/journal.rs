//! Journal reports: the mail that a mail system wraps around each message, to say who really sent and received it.
//!
//! Which layout a report has is pinned for a route and never chosen by the message: a stranger can mail a perfect
//! imitation of a report to anybody, and a copy rule of another route would hand it over.
//!
//! Standards: \[MS-XJRNL\] (Exchange 2007 and later, Amazon WorkMail), and the layout of Exchange 2000 and 2003.
//!
//! # Security
//! A report is a statement, not evidence. Whether it is believed is decided by who handed it over, and not here. Nothing
//! inside the original is ever read as a report.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::mail::address::Mailbox;
use crate::mail::copy::CopyRecipient;
use crate::mail::message::{Defect, JournalMarker, Limits};

mod address;
mod layout;
mod text;

/// The layout of the reports that a journal route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportFormat {
    /// Exchange 2007 and later, and Exchange Online.
    Exchange,
    /// Exchange 2000 and 2003.
    ExchangeLegacy,
    /// Amazon WorkMail, in the layout of Exchange.
    Workmail,
}

impl ReportFormat {
    /// The word by which configuration and data name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::ExchangeLegacy => "exchange-legacy",
            Self::Workmail => "workmail",
        }
    }

    const fn marker(self) -> JournalMarker {
        match self {
            Self::Exchange => JournalMarker::Exchange,
            Self::ExchangeLegacy => JournalMarker::ExchangeLegacy,
            Self::Workmail => JournalMarker::Workmail,
        }
    }
}

/// What a journal report says, and the original in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReport {
    /// The envelope sender, empty for the null reverse-path; `None` where it cannot be told.
    pub mail_from: Option<String>,
    /// In whose name it was sent.
    pub on_behalf_of: Option<String>,
    /// Its classification by the mail system.
    pub label: Option<String>,
    /// Its subject as the report has it.
    pub subject: Option<String>,
    /// Its Message-ID as the report has it, without angle brackets.
    pub message_id: Option<String>,
    /// Who got it, each once in each way; empty where the report does not say.
    pub recipients: Vec<CopyRecipient>,
    /// The message that the report is about.
    pub original: Option<Original>,
    /// The clear copy of an original that is protected.
    pub decrypted: Option<Original>,
    /// Whether the original is itself a journal report.
    pub is_nested: bool,
    /// What is wrong with the report, each word once, sorted.
    pub defects: Vec<Defect>,
}

/// The exact bytes of a message inside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    place: Place,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Within(Range<usize>),
    /// It was encoded, which no message may be.
    Decoded(Vec<u8>),
}

impl Original {
    /// Its bytes; `outer` are those of the message that it was found in.
    #[must_use]
    pub fn bytes<'a>(&'a self, outer: &'a [u8]) -> &'a [u8] {
        match &self.place {
            Place::Within(range) => outer.get(range.clone()).unwrap_or_default(),
            Place::Decoded(bytes) => bytes,
        }
    }

    fn within(self, inner: &Self, outer: &[u8]) -> Self {
        let place = match (&self.place, &inner.place) {
            (Place::Within(own), Place::Within(around)) => {
                Place::Within(around.start + own.start..around.start + own.end)
            }
            _ => Place::Decoded(self.bytes(inner.bytes(outer)).to_vec()),
        };
        Self { place, ..self }
    }

    /// Where it lies in the outer message, in octets; `None` where it had to be decoded.
    #[must_use]
    pub fn range(&self) -> Option<Range<usize>> {
        match &self.place {
            Place::Within(range) => Some(range.clone()),
            Place::Decoded(_) => None,
        }
    }
}

impl JournalReport {
    /// The same report, which was read in `inner`, as seen from the message `outer` that holds it.
    #[must_use]
    pub fn within(self, inner: &Original, outer: &[u8]) -> Self {
        let moved = |original: Original| original.within(inner, outer);
        Self { original: self.original.map(moved), decrypted: self.decrypted.map(moved), ..self }
    }
}

/// Reads `bytes` as a report of this format; `None` when it has not the shape of one. Linear in the input.
#[must_use]
pub fn read(bytes: &[u8], format: ReportFormat, limits: &Limits) -> Option<JournalReport> {
    let found = layout::find(bytes, format, limits)?;
    let mut defects = found.defects;
    let (text, decoded_as_told) = match &found.text {
        None => (text::ReportText::default(), true),
        Some(found) => (found.read(format), found.is_charset_known),
    };
    if found.text.is_none() {
        defects.push(Defect::MissingReport);
    } else {
        defects.extend(&text.defects);
        if !decoded_as_told {
            defects.push(Defect::ReportCharset);
        }
    }
    if text.recipients.is_empty() {
        defects.push(Defect::NoRecipients);
    }
    if found.original.is_none() {
        defects.push(Defect::MissingOriginal);
    }
    defects.sort_unstable();
    defects.dedup();
    Some(JournalReport {
        mail_from: text.sender,
        on_behalf_of: text.on_behalf_of,
        label: text.label,
        subject: text.subject,
        message_id: text.message_id,
        recipients: text.recipients.into_iter().map(recipient).collect(),
        original: found.original,
        decrypted: found.decrypted,
        is_nested: found.is_nested,
        defects,
    })
}

/// The messages attached at the top level of `bytes`, as they stand: a forward as attachment has one.
#[must_use]
pub fn attached(bytes: &[u8], limits: &Limits) -> Vec<Original> {
    layout::attached(bytes, limits)
}

fn recipient(told: text::ReportRecipient) -> CopyRecipient {
    CopyRecipient {
        mailbox: Mailbox::parse(&told.address).ok(),
        address: told.address,
        display_name: None,
        recipient_type: told.recipient_type,
        expanded_from: told.expanded_from,
        forwarded_from: told.forwarded_from,
    }
}

/// Text that was found, before it is read.
struct FoundText<'a> {
    text: Cow<'a, str>,
    is_charset_known: bool,
    is_cut: bool,
}

impl FoundText<'_> {
    fn read(&self, format: ReportFormat) -> text::ReportText {
        match format {
            ReportFormat::Exchange | ReportFormat::Workmail => text::read(&self.text, self.is_cut),
            ReportFormat::ExchangeLegacy => text::read_legacy(&self.text, self.is_cut),
        }
    }
}

#[cfg(test)]
mod tests;
