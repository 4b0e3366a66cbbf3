//! A message as the mailbox or route reads it that it was handed over to: what kind of copy it is, who really sent and
//! received it, in which direction it went, and whether it may be believed.
//!
//! # Security
//! Headers and reports are statements. Nothing here lets a message choose how it is read: the route's format is pinned,
//! and who handed it over is told by the caller.

use serde::{Deserialize, Serialize};

use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::authentication::AuthorDoubt;
use crate::mail::copy::{self, CopyRecipient, Direction, RouteAddresses};
use crate::mail::journal::{Original, ReportFormat};
use crate::mail::message::{Defect, Message};
use crate::mail::notice::{self, Automated};
use crate::mail::selection::AuthorRule;

mod circle;
mod forward;
mod open;
#[cfg(test)]
mod tests;

use open::{Content, STRUCTURAL};
pub use open::{Opened, Reader, open, open_all};

/// What kind of copy a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyKind {
    /// Mail to a mailbox.
    Direct,
    /// The original out of a journal report.
    Journal,
    /// A plain copy.
    Bcc,
    /// A forwarded message.
    Forward,
    /// A delivery report, receipt, complaint or automatic answer.
    Report,
}

/// In which form it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A report of Exchange 2007 and later.
    Exchange,
    /// A report of Exchange 2000 and 2003.
    ExchangeLegacy,
    /// A report of Amazon WorkMail.
    Workmail,
    /// The message itself.
    Plain,
    /// Forwarded by a server or a rule: the message itself.
    Redirect,
    /// Forwarded by a person, as an attachment.
    Attachment,
    /// Forwarded by a person, quoted in the text.
    Inline,
    /// A mail provider asks whether it may forward.
    Confirmation,
    /// A delivery report.
    Dsn,
    /// A receipt.
    Mdn,
    /// A complaint.
    Arf,
    /// An automatic answer.
    AutoReply,
}

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Exchange => Self::Exchange,
            ReportFormat::ExchangeLegacy => Self::ExchangeLegacy,
            ReportFormat::Workmail => Self::Workmail,
        }
    }
}

/// What the caller knows of how a message was handed over.
#[derive(Debug, Clone, Copy)]
pub struct Handed<'a> {
    /// Names of this gateway.
    pub own_hosts: &'a [Domain],
    /// Domains verified for the tenant.
    pub owned_domains: &'a [Domain],
    /// Addresses of copy routes.
    pub routes: &'a RouteAddresses,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Whether nobody sent it, also by the word of a mail server that told the true envelope.
    pub has_null_reverse_path: bool,
    /// The accepted RCPT TO of this mailbox or route.
    pub forward_paths: &'a [&'a Mailbox],
    /// The true envelope recipients, where a mail server told them.
    pub told: &'a [&'a str],
    /// Whether the peer is authorised for the route.
    pub peer_authorised: bool,
    /// Whose copies a `bcc` route takes; empty: those of every author.
    pub authors: &'a [AuthorRule],
    /// Whether the author's own domain, which is owned, stands behind the message.
    pub author_authenticated: bool,
}

/// Why a copy is not believed; it then makes no operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UntrustedReason {
    /// The peer that handed the copy over is not authorised for the route.
    PeerNotAuthorised,
    /// From does not name exactly one author.
    AuthorAmbiguous,
    /// The author's domain asks to quarantine or refuse what it does not stand behind, and the mailbox does so.
    AuthorUnauthenticated,
    /// It is no report of the format that the route takes, or a report where none is taken.
    FormatMismatch,
    /// Nobody in it is of a domain of the tenant.
    NoOwnedParticipant,
    /// It came back in a delivery report, which anybody can write.
    ReturnedReport,
    /// It is a journal report about a journal report.
    NestedReport,
    /// The route takes copies of listed authors alone, and its author is none of them.
    AuthorNotListed,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// What kind of copy it is.
    pub kind: CopyKind,
    /// In which form it came; `None` for direct mail.
    pub format: Option<Format>,
    /// The message that it is about.
    pub message: &'a Message,
    /// The envelope sender, empty for the null reverse-path; `None` where it cannot be told.
    pub mail_from: Option<String>,
    /// The mailbox that a known rewriting of it stands for.
    pub mail_from_decoded: Option<Mailbox>,
    /// Who got it, without route addresses.
    pub recipients: Vec<CopyRecipient>,
    /// Its direction as seen from the owned domains.
    pub direction: Direction,
    /// In whose name it was sent, by the journal report.
    pub on_behalf_of: Option<&'a str>,
    /// Its classification, by the journal report.
    pub label: Option<&'a str>,
    /// Who forwarded it as an attachment or in the text.
    pub forwarder: Option<&'a str>,
    /// The exact bytes of the original, where it was inside another message.
    pub original: Option<&'a Original>,
    /// The clear copy of a protected original.
    pub decrypted: Option<&'a Original>,
    /// What kind of machine mail it is.
    pub automated: Option<Automated>,
    /// Why it is not believed; empty when it is.
    pub untrusted: Vec<UntrustedReason>,
    /// What is wrong with it, each word once, sorted.
    pub defects: Vec<Defect>,
}

impl Reading<'_> {
    /// Whether the copy is believed.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.untrusted.is_empty()
    }

    /// Whether anything may follow from it.
    #[must_use]
    pub fn allows_operations(&self) -> bool {
        self.is_trusted() && self.format != Some(Format::Confirmation) && !self.defects.contains(&Defect::LoopSuspect)
    }
}

/// Reads what was opened in the light of how it was handed over.
#[must_use]
pub fn read<'a>(opened: &'a Opened, handed: &Handed<'_>) -> Reading<'a> {
    let mut reading = match &opened.content {
        Content::Report { .. } => journal(opened, handed),
        Content::Attached(_) | Content::Itself => plain(opened, handed),
    };
    if opened.goes_in_a_circle(handed.own_hosts) {
        reading.defects.push(Defect::LoopSuspect);
    }
    reading.defects.sort_unstable();
    reading.defects.dedup();
    reading
}

/// A journal report. Machine mail inside it is a journaled message like any other.
fn journal<'a>(opened: &'a Opened, handed: &Handed<'_>) -> Reading<'a> {
    let mut reading = begin(opened);
    let Content::Report { report, is_returned, .. } = &opened.content else { return reading };
    let Reader::Journal(format) = opened.reader else { return reading };
    let message = reading.message;
    reading.kind = CopyKind::Journal;
    reading.format = Some(format.into());
    reading.defects = report.defects.clone();
    if report.original.is_some() {
        reading.defects.extend(message.defects.iter().filter(|defect| **defect != Defect::ReportShapeNotUnwrapped));
    }
    reading.defects.extend(opened.outer.defects.iter().filter(|defect| STRUCTURAL.contains(defect)));
    let given = |id: &str| id.trim_matches(['<', '>', ' ']).to_owned();
    let ids = (report.message_id.as_deref().map(given), message.message_id.as_deref().map(given));
    if matches!(&ids, (Some(told), Some(own)) if told != own) {
        reading.defects.push(Defect::MessageIdMismatch);
    }
    let (from_headers, is_route_visible) = copy::recipients(message, copy::Reached::Mailbox(&[]), &[], handed.routes);
    reading.recipients =
        report.recipients.iter().filter(|one| !handed.routes.contains(&one.address)).cloned().collect();
    if report.recipients.is_empty() {
        reading.defects.push(Defect::RecipientsFromHeaders);
        reading.recipients = from_headers;
    }
    if is_route_visible {
        reading.defects.push(Defect::IntakeAddressVisible);
    }
    reading.mail_from = match &report.mail_from {
        None if report.recipients.is_empty() => message.trace.return_path.clone(),
        told => told.clone(),
    };
    let mail_from = reading.mail_from.as_deref().and_then(|address| Mailbox::parse(address).ok());
    reading.mail_from_decoded = mail_from.as_ref().and_then(copy::decode_rewritten);
    let sender = reading.mail_from_decoded.clone().or(mail_from).or_else(|| author(message).cloned());
    set_direction_of_copy(&mut reading, sender.as_ref().map(Mailbox::domain), handed);
    if reading.direction == Direction::Unknown && !reading.recipients.is_empty() {
        reading.defects.push(Defect::NoOwnedParticipant);
        reading.untrusted.push(UntrustedReason::NoOwnedParticipant);
    }
    if !handed.peer_authorised {
        reading.untrusted.push(UntrustedReason::PeerNotAuthorised);
    }
    if *is_returned {
        reading.defects.push(Defect::ViaNdr);
        reading.untrusted.push(UntrustedReason::ReturnedReport);
    }
    if matches!(message.author_doubt(), Some(AuthorDoubt::Several | AuthorDoubt::Obscured)) {
        reading.untrusted.push(UntrustedReason::AuthorAmbiguous);
    }
    if report.is_nested {
        reading.untrusted.push(UntrustedReason::NestedReport);
    }
    reading.on_behalf_of = report.on_behalf_of.as_deref();
    reading.label = report.label.as_deref();
    reading.original = report.original.as_ref();
    reading.decrypted = report.decrypted.as_ref();
    reading.automated = notice::automated(message, reading.mail_from.as_deref() == Some(""));
    reading
}

/// Mail that is what it is, or a message forwarded as an attachment.
fn plain<'a>(opened: &'a Opened, handed: &Handed<'_>) -> Reading<'a> {
    let mut reading = begin(opened);
    let message = reading.message;
    let is_copy = opened.reader != Reader::Mailbox;
    reading.automated = notice::automated(&opened.outer, handed.has_null_reverse_path);
    let (kind, format) = match opened.reader {
        Reader::Mailbox => (CopyKind::Direct, None),
        Reader::Journal(_) | Reader::JournalPlain | Reader::Bcc => (CopyKind::Bcc, Some(Format::Plain)),
        Reader::Forward if matches!(opened.content, Content::Attached(_)) => {
            (CopyKind::Forward, Some(Format::Attachment))
        }
        Reader::Forward => (CopyKind::Forward, Some(forward::format(message, handed.routes))),
    };
    (reading.kind, reading.format) = match reading.automated.as_ref().and_then(report_format) {
        Some(format) => (CopyKind::Report, Some(format)),
        None => (kind, format),
    };
    if let Content::Attached(attached) = &opened.content {
        reading.original = Some(&attached.original);
        reading.defects.extend(opened.outer.defects.iter().filter(|defect| STRUCTURAL.contains(defect)));
        if attached.has_more {
            reading.defects.push(Defect::ExtraOriginal);
        }
    }
    if matches!(format, Some(Format::Attachment | Format::Inline)) {
        reading.forwarder = opened.outer.author.as_ref().map(|author| author.address.as_str());
    }
    let reached =
        if is_copy { copy::Reached::Route(handed.forward_paths) } else { copy::Reached::Mailbox(handed.forward_paths) };
    let (recipients, is_route_visible) = copy::recipients(message, reached, handed.told, handed.routes);
    reading.recipients = recipients;
    if is_route_visible {
        reading.defects.push(Defect::IntakeAddressVisible);
    }
    let mail_from = handed.reverse_path.mailbox();
    reading.mail_from = Some(mail_from.map(ToString::to_string).unwrap_or_default());
    reading.mail_from_decoded = mail_from.and_then(copy::decode_rewritten);
    let sender = match opened.reader {
        Reader::Forward => author(message),
        _ => reading.mail_from_decoded.as_ref().or(mail_from),
    };
    let sender = sender.map(Mailbox::domain).cloned();
    match opened.reader {
        Reader::Mailbox => set_direction_of_arrival(&mut reading, sender.as_ref(), handed),
        _ => set_direction_of_copy(&mut reading, sender.as_ref(), handed),
    }
    if format == Some(Format::Inline) {
        // The quoted header is believed by nobody but the reader.
        reading.direction = Direction::Unknown;
    }
    mismatch(&mut reading, opened);
    if is_copy {
        doubt(&mut reading, opened, handed);
    }
    reading
}

/// What is the same for every way of reading.
fn begin(opened: &Opened) -> Reading<'_> {
    let message = opened.message();
    Reading {
        kind: CopyKind::Direct,
        format: None,
        message,
        mail_from: None,
        mail_from_decoded: None,
        recipients: Vec::new(),
        direction: Direction::Unknown,
        on_behalf_of: None,
        label: None,
        forwarder: None,
        original: None,
        decrypted: None,
        automated: None,
        untrusted: Vec::new(),
        defects: message.defects.clone(),
    }
}

fn author(message: &Message) -> Option<&Mailbox> {
    message.author.as_ref().and_then(|author| author.mailbox.as_ref())
}

/// Reports become reports whatever they were handed over to.
const fn report_format(automated: &Automated) -> Option<Format> {
    match automated {
        Automated::Bounce { .. } | Automated::Delivered { .. } => Some(Format::Dsn),
        Automated::ReadReceipt { .. } => Some(Format::Mdn),
        Automated::Complaint { .. } => Some(Format::Arf),
        Automated::AutoReply { .. } => Some(Format::AutoReply),
        Automated::List | Automated::Notification => None,
    }
}

/// By the owned domains alone.
fn set_direction_of_copy(reading: &mut Reading<'_>, sender: Option<&Domain>, handed: &Handed<'_>) {
    let owned = handed.owned_domains;
    let is_anonymous = reading.message.trace.exchange_auth_as.as_deref() == Some("anonymous");
    let is_spoof = is_anonymous && sender.is_some_and(|sender| copy::is_owned(sender, owned));
    if is_spoof {
        reading.defects.push(Defect::SenderSpoofSuspect);
    }
    tell_foreign_sender(reading, sender, owned);
    reading.direction = copy::direction(sender.filter(|_| !is_spoof), &reading.recipients, owned);
}

/// Direct mail has reached a mailbox here, which counts as owned though its domain may be the platform's.
fn set_direction_of_arrival(reading: &mut Reading<'_>, sender: Option<&Domain>, handed: &Handed<'_>) {
    let owned = handed.owned_domains;
    tell_foreign_sender(reading, sender, owned);
    let by = sender.cloned().or_else(|| author(reading.message).map(|author| author.domain().clone()));
    let is_ours = |recipient: &CopyRecipient| {
        recipient.mailbox.as_ref().is_some_and(|mailbox| {
            copy::is_owned(mailbox.domain(), owned)
                || handed.forward_paths.iter().any(|path| path.key() == mailbox.key())
        })
    };
    reading.direction = match by.is_some_and(|domain| copy::is_owned(&domain, owned)) {
        false => Direction::Inbound,
        true if reading.recipients.iter().all(is_ours) => Direction::Internal,
        true => Direction::Outbound,
    };
}

fn tell_foreign_sender(reading: &mut Reading<'_>, sender: Option<&Domain>, owned: &[Domain]) {
    let is_owned_author = author(reading.message).is_some_and(|author| copy::is_owned(author.domain(), owned));
    if is_owned_author && sender.is_some_and(|sender| !copy::is_owned(sender, owned)) {
        reading.defects.push(Defect::AuthorOwnedSenderForeign);
    }
}

/// Whether the layout is one that the route does not take.
fn mismatch(reading: &mut Reading<'_>, opened: &Opened) {
    if reading.kind == CopyKind::Report {
        if opened.tells_of_a_loss() {
            reading.defects.push(Defect::JournalLost);
        }
        return;
    }
    let has_shape = opened.outer.has_report_shape;
    match opened.reader {
        Reader::Journal(_) => {
            reading.defects.push(Defect::FormatMismatch);
            reading.untrusted.push(UntrustedReason::FormatMismatch);
        }
        Reader::JournalPlain if has_shape => {
            reading.defects.push(Defect::ReportShapeNotUnwrapped);
            reading.untrusted.push(UntrustedReason::FormatMismatch);
        }
        Reader::Bcc | Reader::Forward if has_shape => reading.defects.push(Defect::ReportShapeNotUnwrapped),
        _ => {}
    }
}

/// A copy is a statement by the peer that handed it over, about one author: it is believed when the peer is authorised, or
/// when the author's domain is the tenant's own and stands behind it.
fn doubt(reading: &mut Reading<'_>, opened: &Opened, handed: &Handed<'_>) {
    if !handed.peer_authorised && !handed.author_authenticated {
        reading.untrusted.push(UntrustedReason::PeerNotAuthorised);
    }
    // Whoever hands it over: a person's address for copies is for that person's mail.
    let is_listed = |author: &Mailbox| handed.authors.iter().any(|rule| rule.means(&author.to_string()));
    if opened.reader == Reader::Bcc && !handed.authors.is_empty() && !author(reading.message).is_some_and(is_listed) {
        reading.untrusted.push(UntrustedReason::AuthorNotListed);
    }
    // Of a message that was attached, the forwarder's own header counts as well.
    let doubts = [reading.message.author_doubt(), opened.outer.author_doubt()];
    if doubts.iter().any(|doubt| matches!(doubt, Some(AuthorDoubt::Several | AuthorDoubt::Obscured))) {
        reading.untrusted.push(UntrustedReason::AuthorAmbiguous);
    }
}
