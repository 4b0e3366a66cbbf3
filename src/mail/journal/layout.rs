//! Where in a journal report its text and the original are.
//!
//! The parts are looked for at most two levels of multipart/mixed down, since gateways wrap a message once to add a footer.
//!
//! Standards: RFC 2046 §5.1 (multipart), §5.2.1 (message/rfc822), \[MS-XJRNL\] §2.2 (parts of a report).

use std::borrow::Cow;

use super::{FoundText, Original, Place, ReportFormat};
use crate::mail::message::charset::{self, Fit};
use crate::mail::message::structure::{self, Part, Shape, Structure};
use crate::mail::message::transfer::{self, Encoding};
use crate::mail::message::{self, Defect, Limits, field};
use crate::mail::text::html;

/// The pieces of a report.
pub(super) struct Layout<'a> {
    pub(super) text: Option<FoundText<'a>>,
    pub(super) original: Option<Original>,
    pub(super) decrypted: Option<Original>,
    pub(super) is_nested: bool,
    pub(super) defects: Vec<Defect>,
}

/// Levels of multipart/mixed that are looked into, the message's own included.
const MIXED: usize = 2;
/// Levels of any multipart.
const LEVELS: usize = 4;
/// Octets of the report's text; 20,000 recipients of 100 octets each.
const TEXT: usize = 2 * 1024 * 1024;

/// The pieces of a report of this format; `None` when `bytes` are not laid out like one.
pub(super) fn find<'a>(bytes: &'a [u8], format: ReportFormat, limits: &Limits) -> Option<Layout<'a>> {
    let parts = Parts::of(bytes, limits);
    let marker = message::read_header(bytes, &parts.structure, limits).trace.journal_marker;
    if marker.is_some_and(|marker| marker != format.marker()) {
        return None;
    }
    let mut layout =
        Layout { text: None, original: None, decrypted: None, is_nested: false, defects: parts.structural_defects() };
    let first_original = parts.own().find(|(_, part)| is_original(part)).map(|(index, _)| index);
    layout.text = parts.find_text(first_original, &mut layout.defects);
    parts.find_originals(limits, &mut layout);
    let told = layout.text.as_ref().map(|text| text.read(format));
    let has_sender = told.as_ref().is_some_and(|told| told.has_sender);
    let has_message_id = told.is_some_and(|told| told.message_id.is_some());
    let is_mixed = parts.structure.parts.first().is_some_and(|part| part.media.name == "multipart/mixed");
    let has_original = layout.original.is_some();
    let fits = match marker {
        // With neither text nor original there is nothing that a marker could mark.
        Some(_) => has_sender || (is_mixed && has_original),
        None => is_mixed && has_sender && has_message_id && has_original,
    };
    if marker.is_none() {
        layout.defects.push(Defect::MarkerMissing);
    }
    fits.then_some(layout)
}

/// The messages attached to `bytes`.
pub(super) fn attached(bytes: &[u8], limits: &Limits) -> Vec<Original> {
    let parts = Parts::of(bytes, limits);
    let mut defects = Vec::new();
    parts.own().filter_map(|(_, part)| original(bytes, part, &mut defects)).collect()
}

/// A message taken apart.
struct Parts<'a> {
    bytes: &'a [u8],
    structure: Structure,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8], limits: &Limits) -> Self {
        Self { bytes, structure: structure::walk(bytes, limits) }
    }

    /// Flaws of the layout; those of a header are told by whoever reads it.
    fn structural_defects(&self) -> Vec<Defect> {
        self.structure.defects.clone()
    }

    /// The parts that belong to the report and not to the original.
    fn own(&self) -> impl Iterator<Item = (usize, &Part)> {
        self.structure.parts.iter().enumerate().filter(|(index, part)| {
            let above = || self.structure.ancestors(*index).filter_map(|above| self.structure.parts.get(above));
            let is_mixed = |part: &&Part| part.media.name == "multipart/mixed";
            part.messages == 0 && above().count() <= LEVELS && above().filter(is_mixed).count() <= MIXED
        })
    }

    /// The first plain text in front of the first original; without one HTML there, or else a text behind the original
    /// that names a sender.
    fn find_text(&self, first_original: Option<usize>, defects: &mut Vec<Defect>) -> Option<FoundText<'a>> {
        let is_before = |index: usize| first_original.is_none_or(|original| index < original);
        let leaves = |media: &'static str| {
            self.own().filter(move |(_, part)| part.shape == Shape::Leaf && part.media.name == media)
        };
        if let Some((_, part)) = leaves("text/plain").find(|(index, _)| is_before(*index)) {
            return Some(self.text(part));
        }
        if let Some((_, part)) = leaves("text/html").find(|(index, _)| is_before(*index)) {
            defects.push(Defect::ReportNotPlain);
            let found = self.text(part);
            return Some(FoundText { text: Cow::Owned(html::read(&found.text).text), ..found });
        }
        let behind =
            leaves("text/plain").map(|(_, part)| self.text(part)).find(|found| has_sender_line(&found.text))?;
        defects.push(Defect::PartOrder);
        Some(behind)
    }

    fn text(&self, part: &Part) -> FoundText<'a> {
        let decoded = transfer::decode(part.body(self.bytes), part.encoding, TEXT);
        let (text, fit) = charset::read(&decoded.kept, part.media.parameter("charset"));
        // A text over the limit ends in the middle of a line, as one does that the message breaks off in.
        let is_over = u64::try_from(decoded.kept.len()).is_ok_and(|kept| kept < decoded.size);
        let is_last = part.body.end >= self.bytes.len() && self.structure.defects.contains(&Defect::Truncated);
        FoundText { text: Cow::Owned(text), is_charset_known: fit == Fit::Fits, is_cut: is_over || is_last }
    }

    fn find_originals(&self, limits: &Limits, layout: &mut Layout<'a>) {
        for (_, part) in self.own() {
            let Some(found) = original(self.bytes, part, &mut layout.defects) else { continue };
            match (&layout.original, &layout.decrypted) {
                (None, _) => {
                    let inner = Parts::of(found.bytes(self.bytes), limits);
                    layout.is_nested = inner.is_report(limits);
                    for (defect, applies) in [
                        (Defect::NestedJournal, layout.is_nested),
                        (Defect::EncryptedOriginal, inner.is_encrypted()),
                        (Defect::Tnef, inner.has_tnef()),
                    ] {
                        if applies {
                            layout.defects.push(defect);
                        }
                    }
                    layout.original = Some(found);
                }
                (Some(_), None) if layout.defects.contains(&Defect::EncryptedOriginal) => {
                    layout.defects.push(Defect::DecryptedCopy);
                    layout.decrypted = Some(found);
                }
                _ => layout.defects.push(Defect::ExtraOriginal),
            }
        }
    }

    /// Whether this is a marked report with an original of its own.
    fn is_report(&self, limits: &Limits) -> bool {
        let is_mixed = self.structure.parts.first().is_some_and(|part| part.media.name == "multipart/mixed");
        is_mixed
            && message::read_header(self.bytes, &self.structure, limits).trace.journal_marker.is_some()
            && self.own().any(|(_, part)| is_original(part))
    }

    /// RFC 8551 §3.3, RFC 1847 §2.2, and Microsoft's rights-protected messages.
    fn is_encrypted(&self) -> bool {
        let has = |name: &str| self.own().any(|(_, part)| part.media.name == name);
        let is_enveloped = |(_, part): (usize, &Part)| {
            matches!(part.media.name.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime")
                && !part.media.parameter("smime-type").to_ascii_lowercase().starts_with("signed")
        };
        has("multipart/encrypted")
            || has("application/x-microsoft-rpmsg-message")
            || self.own().next().is_some_and(is_enveloped)
    }

    fn has_tnef(&self) -> bool {
        let is_tnef =
            |part: &Part| matches!(part.media.name.as_str(), "application/ms-tnef" | "application/vnd.ms-tnef");
        self.structure.parts.iter().any(is_tnef)
    }
}

fn has_sender_line(text: &str) -> bool {
    text.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("sender")))
}

fn is_message(part: &Part) -> bool {
    matches!(part.media.name.as_str(), "message/rfc822" | "message/global")
}

fn has_extension(part: &Part, extension: &str) -> bool {
    let parameters = part.media.parameters.iter().chain(part.disposition.iter().flat_map(|found| &found.parameters));
    parameters
        .filter(|(name, _)| matches!(name.as_str(), "name" | "filename"))
        .any(|(_, value)| value.trim().to_ascii_lowercase().ends_with(extension))
}

/// Whether the part stands for the original: a message, or a file of one.
fn is_original(part: &Part) -> bool {
    is_message(part)
        || part.media.name == "application/vnd.ms-outlook"
        || part.media.name == "application/octet-stream" && (has_extension(part, ".eml") || has_extension(part, ".msg"))
}

/// The message in the part; `None` where there is none that can be read.
fn original(bytes: &[u8], part: &Part, defects: &mut Vec<Defect>) -> Option<Original> {
    if !is_original(part) {
        return None;
    }
    let is_file = !is_message(part);
    if is_file {
        defects.push(Defect::OriginalNotRfc822);
    }
    let found = match part.encoding {
        Encoding::Base64 | Encoding::QuotedPrintable => {
            if !is_file {
                defects.push(Defect::OriginalEncoded);
            }
            let decoded = transfer::decode(part.body(bytes), part.encoding, part.body.len());
            Original { place: Place::Decoded(decoded.kept), sha256: decoded.sha256 }
        }
        Encoding::Identity | Encoding::Unknown => {
            Original { place: Place::Within(part.body.clone()), sha256: transfer::sha256_hex(part.body(bytes)) }
        }
    };
    let inner = found.bytes(bytes);
    let is_empty = inner.trim_ascii().is_empty();
    (!is_empty && (!is_file || begins_like_a_message(inner))).then_some(found)
}

/// Whether the first line is a header field.
fn begins_like_a_message(bytes: &[u8]) -> bool {
    let head = field::block(bytes, 0, 4 * 1024, |_| false);
    let (fields, is_malformed) = field::fields(bytes.get(head.header).unwrap_or_default());
    !is_malformed && fields.iter().any(|field| field.is("from") || field.is("received") || field.is("message-id"))
}
