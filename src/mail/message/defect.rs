//! The closed list of flaws found while reading a message.

use serde::{Deserialize, Serialize};

/// A flaw of a message, kept as data. An unknown situation is a new word in this list, never a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// The name in front of the author's address is an address of another domain.
    AuthorNameMisleading,
    /// From can be read in more than one way: nested or unclosed brackets, a group, an address in a comment, control
    /// characters. Nobody is believed by it.
    AuthorObscured,
    /// The author's domain is owned, the envelope sender's is not: a service in the customer's name, or a forgery.
    AuthorOwnedSenderForeign,
    /// A CR or LF that is not part of CRLF arrived on a copy route, where a refusal would lose the copy.
    BareLf,
    /// A multipart type without boundary parameter, or without any delimiter line: read as text.
    BoundaryMissing,
    /// The charset is not known: read as UTF-8, else as Windows-1252.
    CharsetUnknown,
    /// A date field that is no date.
    DateMalformed,
    /// A field that may be there once (RFC 5322 §3.6) is there twice, or From names several authors.
    DuplicateHeader,
    /// No octet but blanks.
    EmptyMessage,
    /// Octets that the transfer encoding does not allow; they were left out or taken literally.
    EncodingInvalid,
    /// The message came with an Authentication-Results field in our name, which only we may write. It is not believed.
    ForgedAuthenticationResults,
    /// From names no mailbox.
    FromMalformed,
    /// There is no From field.
    FromMissing,
    /// A header value that is neither ASCII nor UTF-8: read as Windows-1252.
    #[serde(rename = "header_8bit")]
    Header8bit,
    /// A line in the header block that is neither a field nor a continuation.
    HeaderMalformed,
    /// The header block, or one value in it, is over its limit; the rest of it was left out.
    HeaderTooLarge,
    /// A route address stood in To, Cc or Bcc: everyone on that mail has seen it.
    IntakeAddressVisible,
    /// A Message-ID without angle brackets, or with blanks.
    MessageIdMalformed,
    /// There is no Message-ID.
    MessageIdMissing,
    /// Parts below the nesting limit were not opened.
    NestingLimit,
    /// Parts over the number limit were left out.
    PartsLimit,
    /// A header field names more addresses or ids than are kept.
    RecipientsLimit,
    /// The message is laid out like a journal report on a route that unwraps none.
    ReportShapeNotUnwrapped,
    /// The text is longer than is kept.
    TextCut,
    /// A multipart ends before its closing delimiter.
    Truncated,
}
