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
    /// A line of a journal report names a recipient that is no address, or is torn.
    BadRecipient,
    /// A journal report's Sender cannot be read.
    BadSender,
    /// A CR or LF that is not part of CRLF arrived on a copy route, where a refusal would lose the copy.
    BareLf,
    /// A multipart type without boundary parameter, or without any delimiter line: read as text.
    BoundaryMissing,
    /// A calendar part in which no event with an id can be read.
    CalendarMalformed,
    /// The text is not in the charset that is declared, or not all of it: read as what its octets are likely in.
    CharsetMismatch,
    /// The charset is not known, or none is declared: read as UTF-8, else as what its octets are likely in.
    CharsetUnknown,
    /// A date field that is no date.
    DateMalformed,
    /// A second original in a journal report is the clear copy of the first; text is taken from it.
    DecryptedCopy,
    /// A field that may be there once (RFC 5322 §3.6) is there twice, or From names several authors.
    DuplicateHeader,
    /// A journal report names Sender, Subject or Message-ID twice; the first counts.
    DuplicateReportField,
    /// No octet but blanks.
    EmptyMessage,
    /// Octets that the transfer encoding does not allow; they were left out or taken literally.
    EncodingInvalid,
    /// The original is encrypted: its text cannot be read.
    EncryptedOriginal,
    /// A journal report or forward holds more originals than are read.
    ExtraOriginal,
    /// The message came with an Authentication-Results field in our name, which only we may write. It is not believed.
    ForgedAuthenticationResults,
    /// The message is no report of the route's format. It makes no operations.
    FormatMismatch,
    /// From names no mailbox.
    FromMalformed,
    /// There is no From field.
    FromMissing,
    /// A header value that is neither ASCII nor UTF-8: read as what its octets are likely in.
    #[serde(rename = "header_8bit")]
    Header8bit,
    /// A line in the header block that is neither a field nor a continuation.
    HeaderMalformed,
    /// The header block, or one value in it, is over its limit; the rest of it was left out.
    HeaderTooLarge,
    /// A route address stood in To, Cc or Bcc: everyone on that mail has seen it.
    IntakeAddressVisible,
    /// A delivery report tells of a journal report of which only the header came back.
    JournalLost,
    /// The fields of a journal report are named in another language.
    LocalizedLabels,
    /// The message goes in a circle: it passed over 25 hosts of ours or over 100 in all, or bears our own trace. Nothing
    /// follows from it.
    LoopSuspect,
    /// A journal report without the header field that marks one.
    MarkerMissing,
    /// A Message-ID without angle brackets, or with blanks.
    MessageIdMalformed,
    /// The journal report and the original name different ids; the original's counts.
    MessageIdMismatch,
    /// There is no Message-ID.
    MessageIdMissing,
    /// Another message came under the same Message-ID before.
    MessageIdReused,
    /// A line of a journal report stands where it does not count: a recipient in front of Subject and Message-ID, or a
    /// field behind a recipient.
    MisplacedLine,
    /// A journal report without the original.
    MissingOriginal,
    /// A journal report without the text that says who sent and received the original.
    MissingReport,
    /// The original is itself a journal report; it is not unwrapped, and makes no operations.
    NestedJournal,
    /// Parts below the nesting limit were not opened.
    NestingLimit,
    /// Neither sender nor recipient of a journal report is of an owned domain.
    NoOwnedParticipant,
    /// A journal report's text names no recipient.
    NoRecipients,
    /// The original of a journal report has a transfer encoding, which MIME does not allow.
    OriginalEncoded,
    /// The original of a journal report is a file and no message/rfc822 part.
    OriginalNotRfc822,
    /// The text of a journal report stands behind the original.
    PartOrder,
    /// Parts over the number limit were left out.
    PartsLimit,
    /// A line of a journal report names several recipients.
    RecipientListLine,
    /// Recipients were taken from the original's header.
    RecipientsFromHeaders,
    /// A header field names more addresses or ids than are kept.
    RecipientsLimit,
    /// The charset of the text of a journal report is not known, or does not fit.
    ReportCharset,
    /// The text of a journal report is HTML.
    ReportNotPlain,
    /// The message is laid out like a journal report on a route that unwraps none.
    ReportShapeNotUnwrapped,
    /// The envelope sender is of an owned domain, and the mail system says that it was not authenticated.
    SenderSpoofSuspect,
    /// The text is longer than is kept.
    TextCut,
    /// The message has a part that only Outlook reads (winmail.dat).
    Tnef,
    /// A part that only Outlook reads is none, is longer than is read, or ends in the middle.
    TnefMalformed,
    /// Text stands behind the recipients of a journal report; it is not read.
    TrailingText,
    /// A multipart ends before its closing delimiter.
    Truncated,
    /// A line of a journal report is none of its fields, or has an annotation that is not known.
    UnknownLine,
    /// The journal report came back in a delivery report.
    ViaNdr,
}
