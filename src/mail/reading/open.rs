//! The part of reading that only the bytes and the route's pinned format decide: what is unwrapped, and what is not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{circle, forward};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::copy::RouteAddresses;
use crate::mail::envelope::Manifest;
use crate::mail::journal::{self, JournalReport, Original, ReportFormat};
use crate::mail::message::{self, Defect, Limits, Message, ReportKind};

/// Messages that are read of one mail that forwards them as attachments.
const FORWARDED: usize = 50;

/// What a message was handed over to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// A mailbox: nothing is unwrapped.
    Mailbox,
    /// A `journal` route for reports of this format.
    Journal(ReportFormat),
    /// A `journal` route for plain copies.
    JournalPlain,
    /// A `bcc` route.
    Bcc,
    /// A `fwd` route.
    Forward,
}

impl Reader {
    const ALL: [Self; 7] = [
        Self::Mailbox,
        Self::Bcc,
        Self::Forward,
        Self::JournalPlain,
        Self::Journal(ReportFormat::Exchange),
        Self::Journal(ReportFormat::ExchangeLegacy),
        Self::Journal(ReportFormat::Workmail),
    ];

    /// Its word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Bcc => "bcc",
            Self::Forward => "fwd",
            Self::JournalPlain => "journal-plain",
            Self::Journal(ReportFormat::Exchange) => "journal-exchange",
            Self::Journal(ReportFormat::ExchangeLegacy) => "journal-exchange-legacy",
            Self::Journal(ReportFormat::Workmail) => "journal-workmail",
        }
    }

    /// The reader of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reader| reader.as_str() == word)
    }

    /// What route addresses of this kind begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Mailbox => "",
            Self::Bcc => "bcc",
            Self::Forward => "fwd",
            Self::JournalPlain | Self::Journal(_) => "journal",
        }
    }

    /// The layout that is pinned for it; `None` where there is nothing to pin.
    #[must_use]
    pub const fn format(self) -> Option<&'static str> {
        match self {
            Self::Mailbox | Self::Bcc | Self::Forward => None,
            Self::JournalPlain => Some("plain"),
            Self::Journal(format) => Some(format.as_str()),
        }
    }
}

/// A message, and what was unwrapped from it.
#[derive(Debug, Clone)]
pub struct Opened {
    pub(super) reader: Reader,
    /// The message that was handed over.
    pub(super) outer: Arc<Message>,
    pub(super) content: Content,
}

/// What is inside.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Nothing but itself.
    Itself,
    /// A journal report, and the original as a message; empty where there is none.
    Report { report: Box<JournalReport>, original: Box<Message>, is_returned: bool },
    /// A message that was forwarded as an attachment.
    Attached(Box<Attached>),
}

/// One of the messages that were forwarded together.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) original: Original,
    pub(super) message: Message,
    /// How many stand before it.
    pub(super) position: usize,
    /// Those behind the first, which are not read yet.
    pub(super) further: Vec<Original>,
    /// Whether there are more than are read.
    pub(super) has_more: bool,
}

impl Opened {
    /// The message that the mail is about: the original where there is one.
    #[must_use]
    pub fn message(&self) -> &Message {
        match &self.content {
            Content::Itself => &self.outer,
            Content::Report { original, .. } => original,
            Content::Attached(attached) => &attached.message,
        }
    }

    /// The exact bytes of the message that was inside another, of which `outer` are the bytes, and what they say.
    #[must_use]
    pub fn original<'a>(&'a self, outer: &'a [u8]) -> Option<(&'a [u8], &'a Message)> {
        let original = match &self.content {
            Content::Itself => None,
            Content::Report { report, .. } => report.original.as_ref(),
            Content::Attached(attached) => Some(&attached.original),
        };
        original.map(|original| (original.bytes(outer), self.message()))
    }

    /// The bytes that the text and the attachments of [`Self::message`] are parts of; `outer` are those of the message that
    /// was handed over. Empty where a report has no original.
    #[must_use]
    pub fn holder<'a>(&'a self, outer: &'a [u8]) -> &'a [u8] {
        match &self.content {
            Content::Itself => outer,
            Content::Report { report, .. } => {
                let holder = report.decrypted.as_ref().or(report.original.as_ref());
                holder.map(|original| original.bytes(outer)).unwrap_or_default()
            }
            Content::Attached(attached) => attached.original.bytes(outer),
        }
    }

    /// Whether what can be read of it, beside a report that was unwrapped, is laid out like a journal report: who is shown it
    /// sees whom such a report names.
    #[must_use]
    pub fn shows_a_report(&self) -> bool {
        let is_outer_shown = !self.is_journal() && self.outer.has_report_shape;
        let is_nested = matches!(&self.content, Content::Report { report, .. } if report.is_nested);
        is_outer_shown || is_nested || (self.is_unwrapped() && self.message().has_report_shape)
    }

    /// The other messages that were forwarded in the same mail, of which `outer` are the bytes: each is a message of its own.
    /// Only the first has others.
    pub fn others(&self, outer: &[u8], limits: &Limits) -> impl Iterator<Item = Self> {
        let first = match &self.content {
            Content::Attached(first) => Some(first),
            Content::Itself | Content::Report { .. } => None,
        };
        first.into_iter().flat_map(move |first| {
            first.further.iter().enumerate().map(move |(index, original)| {
                let attached = Attached {
                    original: original.clone(),
                    message: message::read(original.bytes(outer), limits),
                    position: index + 1,
                    further: Vec::new(),
                    has_more: first.has_more,
                };
                Self { outer: Arc::clone(&self.outer), content: Content::Attached(Box::new(attached)), ..*self }
            })
        })
    }

    /// How many messages that were forwarded in the same mail stand before this one.
    #[must_use]
    pub fn position(&self) -> usize {
        match &self.content {
            Content::Attached(attached) => attached.position,
            Content::Itself | Content::Report { .. } => 0,
        }
    }

    /// Whether a delivery report tells of a journal report of which only the header came back.
    #[must_use]
    pub fn tells_of_a_loss(&self) -> bool {
        let is_lost = |report: &message::Report| report.kind == ReportKind::DeliveryStatus && report.is_journal_header;
        matches!(self.reader, Reader::Journal(_)) && self.outer.report.as_ref().is_some_and(is_lost)
    }

    /// Whether it is the mail by which Exchange Online tests a connector to a journal route: it comes from a mailbox of this name
    /// on a domain of the customer's. Anybody can write one.
    #[must_use]
    pub fn tests_a_connector(&self) -> bool {
        let author = self.outer.author.as_ref().and_then(|author| author.mailbox.as_ref());
        let is_robot = |author: &Mailbox| author.local().eq_ignore_ascii_case("O365ConnectorValidation");
        matches!(self.reader, Reader::Journal(_)) && !self.is_journal() && author.is_some_and(is_robot)
    }

    /// Whether a mail provider's robot asks in it to confirm the address of a forward route, and of nobody else. Anybody can
    /// write one.
    #[must_use]
    pub fn asks_to_confirm_a_forward(&self, routes: impl FnOnce() -> RouteAddresses) -> bool {
        matches!(self.reader, Reader::Forward)
            && forward::is_by_a_robot(&self.outer)
            && forward::is_for_routes_only(&self.outer, &routes())
    }

    /// As what it was read.
    #[must_use]
    pub const fn reader(&self) -> Reader {
        self.reader
    }

    /// Whether the message is one that was inside another.
    #[must_use]
    pub const fn is_unwrapped(&self) -> bool {
        !matches!(self.content, Content::Itself)
    }

    /// Whether a journal report was unwrapped.
    #[must_use]
    pub const fn is_journal(&self) -> bool {
        matches!(self.content, Content::Report { .. })
    }

    /// Whether the message goes in a circle, by what it says of the hosts that it passed. `hosts` are our own names.
    #[must_use]
    pub fn goes_in_a_circle(&self, hosts: &[Domain]) -> bool {
        // A report's original has a way of its own; of what a person attaches, the way is over.
        let original = self.is_journal().then(|| self.message());
        std::iter::once(self.outer()).chain(original).any(|message| circle::is_suspect(message, hosts))
    }

    /// The message as it was handed over.
    #[must_use]
    pub fn outer(&self) -> &Message {
        &self.outer
    }
}

/// Reads `bytes` as `reader` does; of several messages that are forwarded in it, the first. `routes` are the addresses of copy routes. Linear in the input.
#[must_use]
pub fn open(bytes: &[u8], reader: Reader, routes: &RouteAddresses, limits: &Limits) -> Opened {
    let outer = message::read(bytes, limits);
    let content = match reader {
        Reader::Journal(format) => report(bytes, &outer, format, limits),
        Reader::Forward => attached(bytes, &outer, routes, limits),
        Reader::Mailbox | Reader::JournalPlain | Reader::Bcc => Content::Itself,
    };
    Opened { reader, outer: Arc::new(outer), content }
}

/// The message as each kind of its recipients reads it; several, where a forward holds several.
#[must_use]
pub fn open_all(manifest: &Manifest, bytes: &[u8], limits: &Limits) -> Vec<Opened> {
    let routes = RouteAddresses::new(manifest.route_addresses());
    let mut readers: Vec<Reader> = Vec::new();
    for reader in manifest.envelope.forward_paths.iter().map(|path| path.recipient.reader()) {
        if !readers.contains(&reader) {
            readers.push(reader);
        }
    }
    let mut opened = Vec::with_capacity(readers.len());
    for reader in readers {
        let first = open(bytes, reader, &routes, limits);
        let others: Vec<Opened> = first.others(bytes, limits).collect();
        opened.push(first);
        opened.extend(others);
    }
    opened
}

fn report(bytes: &[u8], outer: &Message, format: ReportFormat, limits: &Limits) -> Content {
    if let Some(report) = journal::read(bytes, format, limits) {
        return unwrapped(bytes, report, limits, false);
    }
    let is_delivery_report = outer.report.as_ref().is_some_and(|report| report.kind == ReportKind::DeliveryStatus);
    if !is_delivery_report {
        return Content::Itself;
    }
    // The mailbox for undeliverable journal reports holds delivery reports with the journal report in them.
    let returned = journal::attached(bytes, limits).into_iter().find_map(|found| {
        let report = journal::read(found.bytes(bytes), format, limits)?;
        Some(report.within(&found, bytes))
    });
    returned.map_or(Content::Itself, |report| unwrapped(bytes, report, limits, true))
}

fn unwrapped(bytes: &[u8], report: JournalReport, limits: &Limits, is_returned: bool) -> Content {
    let read = |original: &Option<Original>| {
        original.as_ref().map(|original| message::read(original.bytes(bytes), limits)).unwrap_or_default()
    };
    let mut original = read(&report.original);
    if report.original.is_none() {
        original.subject = report.subject.clone().unwrap_or_default();
    }
    if original.message_id.is_none() {
        original.message_id.clone_from(&report.message_id);
    }
    if report.decrypted.is_some() {
        let clear = read(&report.decrypted);
        original.text = clear.text;
        original.text_source = clear.text_source;
        original.cut_text_sha256 = clear.cut_text_sha256;
        original.attachments = clear.attachments;
        original.text_marks = clear.text_marks;
        original.hidden_text = clear.hidden_text;
        original.has_calendar = clear.has_calendar;
        original.calendar = clear.calendar;
    }
    Content::Report { report: Box::new(report), original: Box::new(original), is_returned }
}

fn attached(bytes: &[u8], outer: &Message, routes: &RouteAddresses, limits: &Limits) -> Content {
    // Who adds people to the mail is talking to them, and hands nothing over.
    if !forward::is_for_routes_only(outer, routes) {
        return Content::Itself;
    }
    let mut found = journal::attached(bytes, limits).into_iter();
    let Some(original) = found.next() else { return Content::Itself };
    let message = message::read(original.bytes(bytes), limits);
    let further = found.by_ref().take(FORWARDED - 1).collect();
    let has_more = found.next().is_some();
    Content::Attached(Box::new(Attached { original, message, position: 0, further, has_more }))
}

/// Flaws of the outer message that say how much of what it holds can be trusted to be whole.
pub(super) const STRUCTURAL: [Defect; 3] = [Defect::Truncated, Defect::PartsLimit, Defect::NestingLimit];
