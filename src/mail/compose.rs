//! A new message as the exact bytes that would leave: the fixed rendering of one version of a draft.
//!
//! The same parts always make the same bytes: Message-ID, date and boundaries are given, nothing is drawn or asked. The
//! blind recipients are in no field; who they are is the envelope's alone.
//!
//! Standards: RFC 5322 §3.6 (fields), RFC 2045 and RFC 2046 (MIME), RFC 2047 (encoded words), RFC 3834 §5
//! (`Auto-Submitted`).

use mail_builder::MessageBuilder;
use mail_builder::headers::address::{Address, EmailAddress};
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

use super::address::Mailbox;
use super::submitted::Entity;
use crate::clock::Timestamp;

/// Somebody in a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name in front of the address.
    pub name: Option<String>,
    /// The address.
    pub mailbox: Mailbox,
}

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type, `type/subtype`.
    pub media_type: String,
    /// Its octets.
    pub bytes: Vec<u8>,
}

/// Who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A person, or an app in a person's name.
    Person,
    /// A machine: nobody looks at it before it leaves.
    Machine,
    /// This gateway, of itself and in answer to nothing.
    Gateway,
}

/// The parts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// `From`.
    pub from: Named,
    /// `Reply-To`, where answers are to go somewhere else than to `From`.
    pub reply_to: Option<Mailbox>,
    /// `To`.
    pub to: Vec<Named>,
    /// `Cc`.
    pub cc: Vec<Named>,
    /// `Subject`.
    pub subject: String,
    /// The text. Lines end in LF or CRLF.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// What goes along.
    pub files: Vec<File>,
    /// `Message-ID`, without angle brackets.
    pub message_id: String,
    /// `In-Reply-To`, without angle brackets.
    pub in_reply_to: Option<String>,
    /// `References`, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// `Date`.
    pub date: Timestamp,
    /// A word that stands nowhere else in the message: what boundaries are made of.
    pub boundary: String,
    /// Whether it says of itself that a machine wrote it.
    pub writer: Writer,
}

/// The message.
#[must_use]
pub fn compose(new: &NewMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(new).body(body(new)).serialize(&mut bytes);
    bytes
}

/// The message with a body that is there already, to the octet: its text, HTML and files are not those of `new`.
#[must_use]
pub fn compose_around(new: &NewMessage, entity: &Entity) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A part without fields of the builder's own is written as it is: its fields and its body are here already.
    header(new).body(MimePart::raw(BodyPart::Binary(entity.octets().into()))).serialize(&mut bytes);
    bytes
}

/// Every field but those of the body.
fn header(new: &NewMessage) -> MessageBuilder<'_> {
    let mut builder = MessageBuilder::new().header("From", address(new.from.name.as_deref(), &new.from.mailbox));
    if !new.to.is_empty() {
        builder = builder.header("To", list(&new.to));
    }
    builder = builder
        .header("Subject", mail_builder::headers::text::Text::new(new.subject.as_str()))
        .header("Date", Raw::new(new.date.to_rfc5322()))
        .header("Message-ID", MessageId::new(new.message_id.as_str()));
    if !new.cc.is_empty() {
        builder = builder.header("Cc", list(&new.cc));
    }
    if let Some(reply_to) = &new.reply_to {
        builder = builder.header("Reply-To", address(None, reply_to));
    }
    if let Some(id) = &new.in_reply_to {
        builder = builder.header("In-Reply-To", MessageId::new(id.as_str()));
    }
    if !new.references.is_empty() {
        let ids: Vec<&str> = new.references.iter().map(String::as_str).collect();
        builder = builder.header("References", MessageId::new_list(ids.into_iter()));
    }
    match new.writer {
        Writer::Person => {}
        Writer::Machine => builder = builder.header("Auto-Submitted", Raw::new("auto-replied")),
        Writer::Gateway => builder = builder.header("Auto-Submitted", Raw::new("auto-generated")),
    }
    builder.header("MIME-Version", Raw::new("1.0"))
}

/// Text alone, or with HTML beside it, or with files behind that.
fn body(new: &NewMessage) -> MimePart<'_> {
    let text = MimePart::new("text/plain", BodyPart::Text(lines(&new.text).into()));
    let written = match &new.html {
        None => text,
        Some(html) => {
            let html = MimePart::new("text/html", BodyPart::Text(lines(html).into()));
            multipart("alternative", "a", new, vec![text, html])
        }
    };
    if new.files.is_empty() {
        return written;
    }
    let files = new.files.iter().map(|file| {
        let part =
            MimePart::new(ContentType::new(file.media_type.as_str()), BodyPart::Binary(file.bytes.as_slice().into()));
        part.attachment(file.name.as_str())
    });
    multipart("mixed", "m", new, std::iter::once(written).chain(files).collect())
}

fn multipart<'m>(subtype: &str, mark: &str, new: &NewMessage, parts: Vec<MimePart<'m>>) -> MimePart<'m> {
    let kind = ContentType::new(format!("multipart/{subtype}"));
    MimePart::new(kind.attribute("boundary", format!("{mark}_{}", new.boundary)), parts)
}

/// RFC 5322 §2.3: lines of a message end in CRLF alone, and the last one ends too.
fn lines(text: &str) -> String {
    let mut crlf = String::with_capacity(text.len() + text.len() / 32 + 2);
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in unix.split_terminator('\n') {
        crlf.push_str(line);
        crlf.push_str("\r\n");
    }
    crlf
}

fn list(all: &[Named]) -> Address<'_> {
    Address::new_list(all.iter().map(|named| address(named.name.as_deref(), &named.mailbox)).collect())
}

fn address<'n>(name: Option<&'n str>, mailbox: &Mailbox) -> Address<'n> {
    let name = name.filter(|name| !name.trim().is_empty());
    Address::Address(EmailAddress { name: name.map(Into::into), email: mailbox.to_string().into() })
}

#[cfg(test)]
mod tests;
