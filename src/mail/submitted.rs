//! A message as a program hands it in to be sent: who it is for, what it says, and the body that must leave as it came.
//!
//! Its header is read and thrown away: what leaves has one of our own, made from the values here. Its body is kept to the
//! octet, with the fields that say how it is read. What cannot be read in one way only is refused: a person must be shown
//! what the recipients will see.
//!
//! Standards: RFC 5322 §2.1.1, §2.3, §3.6 (lines, fields), RFC 2045 §3, §6 (MIME fields, encodings), RFC 2046 §5.2 (types whose
//! content is elsewhere), RFC 6409 §6.4, §8 (what a submission server may mend), RFC 3834 §5 (`Auto-Submitted`).
//!
//! # Security
//! Every value that comes out was decoded once, and is written anew by [`super::compose`]. No field of the given header leaves
//! but those of the body, each at most once.

use super::compose::{Named, Writer};
use super::message::{self, Defect, HeaderAddress, Limits, decode, field};

/// What the caller of a door handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// `From`.
    pub from: Named,
    /// `Reply-To`.
    pub reply_to: Option<Named>,
    /// `To`.
    pub to: Vec<Named>,
    /// `Cc`.
    pub cc: Vec<Named>,
    /// `Subject`, decoded.
    pub subject: String,
    /// The program's own `Message-ID`, without angle brackets: by it the same message is known when it is handed in again.
    pub message_id: Option<String>,
    /// Ids of what it answers: that of `In-Reply-To`, then those of `References`, the newest first.
    pub answers: Vec<String>,
    /// Whether it says of itself that a machine wrote it.
    pub writer: Writer,
    /// The body.
    pub entity: Entity,
    /// Its text, as a person is shown it.
    pub text: String,
    /// The markup of its HTML.
    pub html: Option<String>,
    /// What goes along, in the order in which [`message::attachment`] counts it.
    pub files: Vec<message::Attachment>,
}

/// The body of a message with the fields that say how it is read, to the octet.
#[derive(Clone, PartialEq, Eq)]
pub struct Entity {
    /// Whole lines, each with its CRLF.
    fields: Vec<u8>,
    body: Vec<u8>,
}

/// Sizes only: a body does not belong in a log.
impl std::fmt::Debug for Entity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Entity").field("octets", &self.body.len()).finish_non_exhaustive()
    }
}

/// Why a message cannot become a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// CR or LF alone, NUL, or a line over 998 octets.
    #[error("a line is over 998 octets, or has NUL, or CR or LF alone")]
    Lines,
    /// A header that cannot be read, or a field that may be there once and is there twice.
    #[error("the header cannot be read, or has a field twice that may be there once")]
    Header,
    /// From does not name exactly one mailbox.
    #[error("From must name one mailbox")]
    Author,
    /// To, Cc or Reply-To names what is no mailbox.
    #[error("To, Cc or Reply-To names what is no mailbox")]
    Recipients,
    /// Parts that cannot be read in one way only, or are somewhere else.
    #[error("the parts of the message cannot be read")]
    Parts,
    /// Text that cannot be read, or is longer than a person can be shown.
    #[error("the text cannot be read, or is too long to be shown")]
    Text,
}

/// Octets of the longest line, CRLF not counted (RFC 5322 §2.1.1).
const LINE: usize = 998;
/// What is read of a submission: what is beyond is refused, not cut.
const LIMITS: Limits = Limits {
    nesting: 20,
    parts: 200,
    header_block: 64 * 1024,
    text: 400_000,
    hidden: 64 * 1024,
    list: 1_000,
    value: 8 * 1024,
};
/// Ids that are looked for of what is answered.
const ANSWERS: usize = 20;
/// The fields that say how a body is read.
const OF_BODY: [(&str, &[u8]); 5] = [
    ("content-type", b"Content-Type"),
    ("content-transfer-encoding", b"Content-Transfer-Encoding"),
    ("content-disposition", b"Content-Disposition"),
    ("content-id", b"Content-ID"),
    ("content-language", b"Content-Language"),
];

/// Reads what was handed in.
///
/// # Errors
/// [`Unfit`] says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Submitted, Unfit> {
    if !has_good_lines(bytes) {
        return Err(Unfit::Lines);
    }
    let entity = Entity::of(bytes).ok_or(Unfit::Header)?;
    let read = message::read(bytes, &LIMITS);
    if read.is_author_ambiguous {
        return Err(Unfit::Author);
    }
    if let Some(unfit) = read.defects.iter().find_map(|defect| unfit(*defect)) {
        return Err(unfit);
    }
    let author = read.author.as_ref().filter(|_| read.author_doubt().is_none()).ok_or(Unfit::Author)?;
    let from = named(author).ok_or(Unfit::Author)?;
    if has_name_without_address(bytes) {
        return Err(Unfit::Recipients);
    }
    let list = |all: &[HeaderAddress]| all.iter().map(named).collect::<Option<Vec<Named>>>().ok_or(Unfit::Recipients);
    let mut reply_to = list(&read.reply_to)?;
    if reply_to.len() > 1 {
        return Err(Unfit::Recipients);
    }
    let ids = read.in_reply_to.iter().chain(read.references.iter().rev());
    let mut answers: Vec<String> = Vec::new();
    for id in ids.take(ANSWERS) {
        if !answers.contains(id) {
            answers.push(id.clone());
        }
    }
    let is_machines = read.trace.auto_submitted.as_deref().is_some_and(|word| word != "no");
    let (html, files) = message::markup_and_files(bytes, &LIMITS, &read).ok_or(Unfit::Text)?;
    Ok(Submitted {
        from,
        reply_to: reply_to.pop(),
        to: list(&read.to)?,
        cc: list(&read.cc)?,
        subject: read.subject,
        message_id: read.message_id,
        answers,
        writer: if is_machines { Writer::Machine } else { Writer::Person },
        entity,
        text: read.text,
        html,
        files,
    })
}

impl Entity {
    /// That of a whole message; `None` where its header does not end, or has one of the fields twice.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let block = field::block(bytes, 0, LIMITS.header_block, |_| false);
        let header = bytes.get(block.header.clone())?;
        if block.is_cut || block.body == block.header.end {
            return None;
        }
        let (all, is_malformed) = field::fields(header);
        let mut fields = Vec::new();
        for (name, written) in OF_BODY {
            let mut found = all.iter().filter(|field| field.is(name));
            let Some(field) = found.next() else { continue };
            if found.next().is_some() {
                return None;
            }
            fields.extend_from_slice(written);
            fields.push(b':');
            fields.extend_from_slice(field.value);
            fields.extend_from_slice(b"\r\n");
        }
        let body = bytes.get(block.body..).unwrap_or_default().to_vec();
        (!is_malformed).then_some(Self { fields, body })
    }

    /// Its fields, the empty line, and its body.
    pub(super) fn octets(&self) -> Vec<u8> {
        [self.fields.as_slice(), b"\r\n", &self.body].concat()
    }

    /// The octets of the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Whether lines end in CRLF alone, and none is too long.
fn has_good_lines(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        if end > LINE {
            return false;
        }
        let behind = rest.get(end..).unwrap_or_default();
        match behind.strip_prefix(b"\r\n") {
            Some(next) => rest = next,
            None => return behind.is_empty(),
        }
    }
    true
}

/// Whether To, Cc or Reply-To names somebody without an address, who would be left out without a word.
fn has_name_without_address(bytes: &[u8]) -> bool {
    let block = field::block(bytes, 0, LIMITS.header_block, |_| false);
    let (fields, _) = field::fields(bytes.get(block.header).unwrap_or_default());
    let lists = fields.iter().filter(|field| ["to", "cc", "reply-to"].iter().any(|name| field.is(name)));
    let mut entries = lists.flat_map(|field| decode::addresses(field.value, LIMITS.list).entries);
    entries.any(|(name, address)| {
        address.is_none_or(|address| address.is_empty()) && name.is_some_and(|name| !name.trim().is_empty())
    })
}

fn named(one: &HeaderAddress) -> Option<Named> {
    let mailbox = one.mailbox.clone()?;
    Some(Named { name: one.display_name.clone().filter(|name| !name.trim().is_empty()), mailbox })
}

/// What of the flaws of a message keeps it from being a draft.
const fn unfit(defect: Defect) -> Option<Unfit> {
    match defect {
        Defect::DuplicateHeader | Defect::Header8bit | Defect::HeaderMalformed | Defect::HeaderTooLarge => {
            Some(Unfit::Header)
        }
        Defect::AuthorObscured | Defect::FromMalformed | Defect::FromMissing => Some(Unfit::Author),
        Defect::RecipientsLimit => Some(Unfit::Recipients),
        Defect::BoundaryMissing
        | Defect::NestingLimit
        | Defect::PartsLimit
        | Defect::Truncated
        | Defect::Tnef
        | Defect::TnefMalformed => Some(Unfit::Parts),
        Defect::CharsetMismatch
        | Defect::CharsetUnknown
        | Defect::EmptyMessage
        | Defect::EncodingInvalid
        | Defect::TextCut => Some(Unfit::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
