//! The header of the message itself, in our own types.

use std::borrow::Cow;

use base64::Engine as _;

use super::field::{self, Field};
use super::structure::Structure;
use super::{Defect, HeaderAddress, JournalMarker, Limits, ListHeaders, Message, TraceHeaders, author, decode, hop};
use crate::mail::address::Mailbox;
use crate::mail::authentication::MAX_FIELDS;
use crate::mail::notice::AUTO_REPLY_MARKS;

/// Reads the fields in front of the first part's content.
pub(super) fn read(bytes: &[u8], structure: &Structure, limits: &Limits) -> Message {
    let header = structure.parts.first().map(|part| part.header.clone()).unwrap_or_default();
    let (fields, is_malformed) = field::fields(bytes.get(header).unwrap_or_default());
    let mut reader = Reader { fields, limits, defects: Vec::new() };
    if bytes.trim_ascii().is_empty() {
        reader.defects.push(Defect::EmptyMessage);
    }
    if is_malformed {
        reader.defects.push(Defect::HeaderMalformed);
    }
    reader.check();
    let (author, is_author_ambiguous) = reader.author();
    let is_author_obscured = reader.check_author(author.as_ref());
    let mut message = Message {
        author,
        is_author_ambiguous,
        is_author_obscured,
        sender: reader.addresses("sender").into_iter().next(),
        reply_to: reader.addresses("reply-to"),
        to: reader.addresses("to"),
        cc: reader.addresses("cc"),
        bcc: reader.addresses("bcc"),
        subject: reader.text("subject").unwrap_or_default(),
        message_id: reader.message_id(),
        in_reply_to: reader.ids("in-reply-to").into_iter().next(),
        references: reader.ids("references"),
        thread_index: reader.thread_index(),
        date: reader.date(),
        list: reader.list(),
        trace: TraceHeaders { report_type: report_type(structure), ..reader.trace() },
        ..Message::default()
    };
    message.defects = reader.defects;
    message
}

/// The first id of a message whose header block is `header`, without angle brackets.
pub(super) fn message_id_in(header: &[u8]) -> Option<String> {
    let (fields, _) = field::fields(header);
    let value = fields.iter().find(|field| field.is("message-id"))?.value;
    bracketed(value).next().or_else(|| Some(decode::unstructured(value.get(..ID_LENGTH).unwrap_or(value))))
}

/// Whether a header block marks a journal report.
pub(super) fn marks_journal(header: &[u8]) -> bool {
    let (fields, _) = field::fields(header);
    fields.iter().any(|field| field.is("x-ms-journal-report") || field.is("x-wm-journal-report"))
}

/// RFC 5322 §2.1.1 allows lines of 998 octets; no id is longer.
const ID_LENGTH: usize = 998;

/// RFC 5322 §3.6: fields that may be there once.
const SINGULAR: [&str; 10] =
    ["from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject", "date"];

/// Fields in which servers write down whom a message was really for.
const DELIVERED_TO: [&str; 4] = ["x-original-to", "delivered-to", "envelope-to", "x-gm-original-to"];

struct Reader<'a> {
    fields: Vec<Field<'a>>,
    limits: &'a Limits,
    defects: Vec<Defect>,
}

impl<'a> Reader<'a> {
    fn named(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.fields.iter().filter(move |field| field.is(name)).map(|field| field.value)
    }

    fn check(&mut self) {
        if self.fields.iter().any(|field| !decode::is_utf8(field.value)) {
            self.defects.push(Defect::Header8bit);
        }
        if SINGULAR.iter().any(|name| self.named(name).nth(1).is_some()) {
            self.defects.push(Defect::DuplicateHeader);
        }
    }

    /// The first field's value, unfolded and decoded, cut at the limit.
    fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.named(name).next()?;
        Some(decode::unstructured(&self.cut(value)))
    }

    /// The part of `value` that is within the limit.
    fn within(&self, value: &'a [u8]) -> &'a [u8] {
        value.get(..self.limits.value).unwrap_or(value)
    }

    /// `value` within the limit: cut in front of the word that crosses it, so that no encoded word is torn.
    fn cut(&mut self, value: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(head) = value.get(..self.limits.value).filter(|head| head.len() < value.len()) else {
            return Cow::Borrowed(value);
        };
        self.defects.push(Defect::HeaderTooLarge);
        let end = head.iter().rposition(u8::is_ascii_whitespace).unwrap_or(head.len());
        let mut head = head.get(..end).unwrap_or(head);
        if let Err(error) = std::str::from_utf8(head)
            && error.error_len().is_none()
        {
            head = head.get(..error.valid_up_to()).unwrap_or(head); // a letter cut in two
        }
        Cow::Borrowed(head)
    }

    /// The mailboxes of every field of this name.
    fn addresses(&mut self, name: &'static str) -> Vec<HeaderAddress> {
        let values: Vec<&[u8]> = self.named(name).collect();
        let mut found = Vec::new();
        for value in values {
            let room = self.limits.list.saturating_sub(found.len());
            let list = decode::addresses(value, room);
            if list.has_more {
                self.defects.push(Defect::RecipientsLimit);
            }
            if list.is_cut {
                self.defects.push(Defect::HeaderTooLarge);
            }
            found.extend(list.entries.into_iter().filter_map(header_address));
        }
        found
    }

    /// The author, and whether From names more than one.
    fn author(&mut self) -> (Option<HeaderAddress>, bool) {
        let fields = self.named("from").count();
        if fields == 0 {
            self.defects.push(Defect::FromMissing);
            return (None, false);
        }
        let mut authors = self.addresses("from");
        if fields > 1 || authors.len() > 1 {
            self.defects.push(Defect::DuplicateHeader);
            return (None, true);
        }
        let author = authors.pop();
        if author.as_ref().is_none_or(|author| author.mailbox.is_none()) {
            self.defects.push(Defect::FromMalformed);
        }
        (author, false)
    }

    /// Whether the one From field can be read in more than one way.
    fn check_author(&mut self, author: Option<&HeaderAddress>) -> bool {
        let is_obscured = self.named("from").next().is_some_and(author::is_obscured);
        if is_obscured {
            self.defects.push(Defect::AuthorObscured);
        }
        if author.is_some_and(author::is_misleading) {
            self.defects.push(Defect::AuthorNameMisleading);
        }
        is_obscured
    }

    /// What stands between the first angle brackets; without them the trimmed value.
    fn message_id(&mut self) -> Option<String> {
        let Some(value) = self.named("message-id").next() else {
            self.defects.push(Defect::MessageIdMissing);
            return None;
        };
        if let Some(id) = self.bracketed_in(value).into_iter().next() {
            if id.contains(char::is_whitespace) || !id.contains('@') {
                self.defects.push(Defect::MessageIdMalformed);
            }
            return Some(id);
        }
        let id = decode::unstructured(value.get(..ID_LENGTH).unwrap_or(value));
        if id.is_empty() {
            self.defects.push(Defect::MessageIdMissing);
            return None;
        }
        self.defects.push(Defect::MessageIdMalformed);
        Some(id)
    }

    /// The ids of a value. Python's mail library writes those that are too long for a line as encoded words, where none may
    /// stand (RFC 2047 §5): an answer that was written with it would lose its conversation.
    fn bracketed_in(&self, value: &[u8]) -> Vec<String> {
        if !value.windows(2).any(|two| two == b"=?") {
            return bracketed(value).collect();
        }
        let value = value.get(..self.limits.value).unwrap_or(value);
        bracketed(decode::unstructured(value).as_bytes()).collect()
    }

    fn ids(&mut self, name: &'static str) -> Vec<String> {
        let mut ids: Vec<String> = self.named(name).flat_map(|value| self.bracketed_in(value)).collect();
        if ids.len() > self.limits.list {
            self.defects.push(Defect::RecipientsLimit);
            // The ids at the end are the nearest ancestors (RFC 5322 §3.6.4).
            ids.drain(..ids.len() - self.limits.list);
        }
        ids
    }

    fn date(&mut self) -> Option<crate::clock::Timestamp> {
        let value = self.named("date").next()?;
        let date = decode::date(value.get(..ID_LENGTH).unwrap_or(value));
        if date.is_none() {
            self.defects.push(Defect::DateMalformed);
        }
        date
    }

    fn list(&mut self) -> ListHeaders {
        ListHeaders {
            id: self.text("list-id"),
            post: self.text("list-post"),
            unsubscribe: self.text("list-unsubscribe"),
            unsubscribe_post: self.text("list-unsubscribe-post"),
        }
    }

    fn trace(&mut self) -> TraceHeaders {
        // RFC 3834 §5: the value may be followed by parameters.
        let word = |text: String| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let has = |name: &&'static str| self.named(name).next().is_some();
        let has_auto_reply_mark = AUTO_REPLY_MARKS.iter().any(has);
        let is_legacy_marker =
            |value: &[u8]| String::from_utf8_lossy(value).trim().eq_ignore_ascii_case("exjournalreport");
        // Content-Identifer: so some of these systems spell it.
        let has_legacy_marker =
            ["content-identifier", "content-identifer"].into_iter().any(|name| self.named(name).any(is_legacy_marker));
        let journal_marker = if has(&"x-ms-journal-report") {
            Some(JournalMarker::Exchange)
        } else if has(&"x-wm-journal-report") {
            Some(JournalMarker::Workmail)
        } else {
            has_legacy_marker.then_some(JournalMarker::ExchangeLegacy)
        };
        let authentication_results = self.claims();
        let return_path = self.text("return-path").map(|path| path.trim_matches(['<', '>', ' ']).to_owned());
        TraceHeaders {
            auto_submitted: self.text("auto-submitted").map(word),
            precedence: self.text("precedence").map(word),
            has_auto_reply_mark,
            return_path,
            report_type: None,
            failed_recipients: self.addresses("x-failed-recipients"),
            received: self.named("received").count(),
            hops: self.named("received").take(hop::READ).filter_map(|value| hop::read(self.within(value))).collect(),
            delivered_to: DELIVERED_TO.into_iter().flat_map(|name| self.addresses(name)).collect(),
            journal_marker,
            exchange_auth_as: self.text("x-ms-exchange-organization-authas").map(word),
            authentication_results,
        }
    }

    /// \[MS-OXOMSG\] §2.2.1.3: base64 of 22 octets, and 5 for each answer; the first octet is 1.
    fn thread_index(&self) -> Option<[u8; 22]> {
        let value = self.named("thread-index").next()?;
        let letters: Vec<u8> = value.iter().filter(|byte| !byte.is_ascii_whitespace()).take(32).copied().collect();
        // 32 letters are 24 octets: the head, and the begin of what the answers add.
        let head = letters.get(..letters.len() - letters.len() % 4)?;
        let octets = base64::engine::general_purpose::STANDARD.decode(head).ok()?;
        octets.first_chunk::<22>().copied().filter(|head| head.first() == Some(&1))
    }

    /// Values of the Authentication-Results fields from the top, unfolded. Encoded words have no meaning in them.
    fn claims(&self) -> Vec<String> {
        let values = self.named("authentication-results").take(MAX_FIELDS);
        values.map(|value| String::from_utf8_lossy(self.within(value)).replace(['\r', '\n'], "")).collect()
    }
}

fn report_type(structure: &Structure) -> Option<String> {
    let media = &structure.parts.first()?.media;
    let kind = media.parameter("report-type").trim().to_ascii_lowercase();
    (media.name == "multipart/report" && !kind.is_empty()).then_some(kind)
}

/// An entry of an address field; `None` for one without an address, such as an empty group's name.
fn header_address((name, address): decode::NameAndAddress) -> Option<HeaderAddress> {
    let address = address.filter(|address| !address.is_empty())?;
    let mailbox = Mailbox::parse(&address).ok();
    let address = mailbox.as_ref().map_or_else(|| address.chars().take(ID_LENGTH).collect(), Mailbox::to_string);
    Some(HeaderAddress { address, mailbox, display_name: name.filter(|name| !name.is_empty()) })
}

/// What stands in angle brackets, folds taken out. Longer values than any id are left out.
fn bracketed(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    value.split(|byte| *byte == b'<').skip(1).filter_map(|rest| {
        let end = rest.iter().position(|byte| *byte == b'>')?;
        let id = rest.get(..end)?;
        let id = String::from_utf8_lossy(id).replace(['\r', '\n'], "").trim().to_owned();
        (!id.is_empty() && id.len() <= ID_LENGTH && !id.contains(char::is_control)).then_some(id)
    })
}
