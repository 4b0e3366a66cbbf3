//! Every reply code, enhanced status code and text that a peer can read; there are no others anywhere.
//!
//! The rule behind the codes: 5xx only where trying again can never help and nothing is lost by it; trouble of our own is
//! always 4xx. No text names a version, a path or a local-part.
//!
//! Standards: RFC 5321 §4.2 (codes), RFC 2034 and RFC 3463 (enhanced status codes), RFC 6531 §3.5.

use std::sync::Arc;

use crate::intake::{DraftOutcome, Drafted, RecipientAnswer, SubmissionRefusal};
use crate::mail::address::Domain;
use crate::mail::submitted::Unfit;
use crate::smtp::limits::Limits;
use crate::spool::SpooledMessage;

/// One reply, of one line or (for EHLO and HELP) several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    text: Text,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// What follows the code, the enhanced status code included.
    Line(&'static str),
    /// As `Line`, made for this reply.
    Made(Box<str>),
    /// All lines of the reply, with codes and line ends.
    Block(Arc<str>),
}

impl Reply {
    const fn success(code: u16, line: &'static str) -> Self {
        Self { code, text: Text::Line(line), reason: "" }
    }

    const fn refusal(code: u16, reason: &'static str, line: &'static str) -> Self {
        Self { code, text: Text::Line(line), reason }
    }

    /// The three-digit code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// Why something was refused, as the label of a counter; empty for a success.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Whether the peer is told that trying again will not help.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The reply, said `count` times (RFC 2033 §4.2: once for each recipient); once for anything less than two.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        if count < 2 {
            return self;
        }
        let mut once = Vec::new();
        self.write(&mut once);
        Self { text: Text::Block(Arc::from(String::from_utf8_lossy(&once).repeat(count))), ..self }
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let text: &str = match &self.text {
            Text::Line(text) => text,
            Text::Made(text) => text,
            Text::Block(block) => return out.extend_from_slice(block.as_bytes()),
        };
        // RFC 5321 §4.2: three digits, a space, text, CRLF.
        let digit = |value: u16| b'0'.saturating_add(u8::try_from(value % 10).unwrap_or_default());
        out.extend_from_slice(&[digit(self.code / 100), digit(self.code / 10), digit(self.code), b' ']);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The only `250` that ends a message: made from proof that the message is on disk.
#[derive(Debug)]
pub struct Accepted(Reply);

/// The reply to a message that is on disk.
#[must_use]
pub fn accepted(message: &SpooledMessage) -> Accepted {
    accepted_as(message.id())
}

fn accepted_as(id: crate::ids::MessageId) -> Accepted {
    Accepted(Reply { code: 250, text: Text::Made(format!("2.0.0 Ok: {id}").into_boxed_str()), reason: "" })
}

/// The reply to a submission that is a draft now: its id, and what the gate says.
#[must_use]
pub fn drafted(drafted: &Drafted) -> Accepted {
    let (draft, held) = (drafted.draft(), |codes: &[String]| codes.join(" "));
    let text = match drafted.outcome() {
        DraftOutcome::Released => format!("2.0.0 draft {draft} released"),
        DraftOutcome::Waits(codes) => format!("2.0.0 draft {draft} waits for approval: {}", held(codes)),
        DraftOutcome::HandedOff => format!("2.0.0 draft {draft} handed off to the source app"),
        DraftOutcome::Denied(codes) => format!("2.0.0 draft {draft} denied: {}", held(codes)),
        DraftOutcome::Ended => format!("2.0.0 draft {draft} was taken back"),
    };
    Accepted(Reply { code: 250, text: Text::Made(within(text)), reason: "" })
}

/// The reply to a submission that the gate denies, where the tenant wants that said.
#[must_use]
pub fn denied(draft: crate::ids::DraftId, codes: &[String]) -> Reply {
    let text = format!("5.7.1 {} (draft {draft})", codes.join(" "));
    Reply { code: 550, text: Text::Made(within(text)), reason: "denied" }
}

/// The reply to a submission that is no draft.
#[must_use]
pub const fn not_drafted(refusal: &SubmissionRefusal) -> Reply {
    match refusal {
        SubmissionRefusal::KeyGone => KEY_GONE,
        SubmissionRefusal::NotYours => NOT_YOURS,
        SubmissionRefusal::NotAddressed => NOT_ADDRESSED,
        SubmissionRefusal::Value => BAD_VALUE,
        SubmissionRefusal::Unavailable => NO_DRAFT_NOW,
        SubmissionRefusal::Unfit(Unfit::Lines) => BAD_BODY_LINE,
        SubmissionRefusal::Unfit(Unfit::Header) => BAD_HEADER,
        SubmissionRefusal::Unfit(Unfit::Author) => BAD_AUTHOR,
        SubmissionRefusal::Unfit(Unfit::Recipients) => BAD_FIELD_ADDRESS,
        SubmissionRefusal::Unfit(Unfit::Parts) => BAD_PARTS,
        SubmissionRefusal::Unfit(Unfit::Text) => BAD_TEXT,
    }
}

/// RFC 5321 §4.5.3.1.5: 512 octets with code and CRLF. Only ids and codes of ours are in such texts.
fn within(mut text: String) -> Box<str> {
    text.truncate(500);
    text.into_boxed_str()
}

impl Accepted {
    /// The reply itself.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.0
    }

    /// Stands in for the proof where the machine is tested without a disk.
    #[cfg(test)]
    pub fn for_tests(id: crate::ids::MessageId) -> Self {
        accepted_as(id)
    }
}

/// Texts that name the host and are the same for every session of a listener.
#[derive(Debug, Clone)]
pub struct HostReplies {
    greeting: Arc<str>,
    greeting_lmtp: Arc<str>,
    helo: Arc<str>,
    ehlo_offering_tls: Arc<str>,
    ehlo_offering_auth: Arc<str>,
    ehlo: Arc<str>,
}

impl HostReplies {
    /// The texts of a host with these limits.
    #[must_use]
    pub fn new(hostname: &Domain, limits: &Limits) -> Self {
        Self::offering(hostname, limits, &["8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN"])
    }

    /// The same for programs that want mail sent: reports come back to the mailbox, whatever they ask for, and nothing is
    /// handed on as binary.
    #[must_use]
    pub fn of_submission(hostname: &Domain, limits: &Limits) -> Self {
        Self::offering(hostname, limits, &["8BITMIME", "CHUNKING", "SMTPUTF8"])
    }

    fn offering(hostname: &Domain, limits: &Limits, extensions: &[&str]) -> Self {
        let ehlo = |last: &[&str]| {
            let size = format!("SIZE {}", limits.largest()); // RFC 1870 §4
            // RFC 9422 §3
            let most = match limits.messages {
                u32::MAX => format!("LIMITS RCPTMAX={}", limits.recipients),
                messages => format!("LIMITS MAILMAX={messages} RCPTMAX={}", limits.recipients),
            };
            let mut lines: Vec<&str> = vec![hostname.as_str(), "PIPELINING", &size];
            lines.extend(extensions);
            lines.extend(["ENHANCEDSTATUSCODES", &most]);
            lines.extend(last);
            Arc::from(block(250, &lines))
        };
        Self {
            greeting: Arc::from(format!("220 {hostname} ESMTP\r\n")),
            greeting_lmtp: Arc::from(format!("220 {hostname} LMTP\r\n")),
            helo: Arc::from(format!("250 {hostname}\r\n")),
            ehlo_offering_tls: ehlo(&["STARTTLS"]),
            ehlo_offering_auth: ehlo(&["AUTH PLAIN LOGIN"]),
            ehlo: ehlo(&[]),
        }
    }

    /// What a connection is met with.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        Reply { code: 220, text: Text::Block(Arc::clone(&self.greeting)), reason: "" }
    }

    /// What a connection is met with that must speak LMTP.
    #[must_use]
    pub fn greeting_lmtp(&self) -> Reply {
        Reply { code: 220, text: Text::Block(Arc::clone(&self.greeting_lmtp)), reason: "" }
    }

    /// The answer to HELO.
    #[must_use]
    pub fn helo(&self) -> Reply {
        Reply { code: 250, text: Text::Block(Arc::clone(&self.helo)), reason: "" }
    }

    /// The answer to EHLO where STARTTLS can follow.
    #[must_use]
    pub fn ehlo_offering_tls(&self) -> Reply {
        Reply { code: 250, text: Text::Block(Arc::clone(&self.ehlo_offering_tls)), reason: "" }
    }

    /// The answer to EHLO where AUTH can follow (RFC 4954 §4: only where the password is not sent in the clear).
    #[must_use]
    pub fn ehlo_offering_auth(&self) -> Reply {
        Reply { code: 250, text: Text::Block(Arc::clone(&self.ehlo_offering_auth)), reason: "" }
    }

    /// The answer to EHLO under TLS, or where there is no certificate (RFC 3207 §4.2: STARTTLS is not offered again).
    #[must_use]
    pub fn ehlo(&self) -> Reply {
        Reply { code: 250, text: Text::Block(Arc::clone(&self.ehlo)), reason: "" }
    }
}

/// RFC 5321 §4.2.1: a hyphen after the code on every line but the last.
fn block(code: u16, lines: &[&str]) -> String {
    let last = lines.len().saturating_sub(1);
    let line = |(at, text): (usize, &&str)| format!("{code}{}{text}\r\n", if at == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect()
}

/// What the peer reads for an answer about a recipient; `Known` is not final, see the machine.
#[must_use]
pub fn recipient(answer: &RecipientAnswer) -> Reply {
    match answer {
        RecipientAnswer::Known { .. } => RECIPIENT_OK,
        RecipientAnswer::Unknown => UNKNOWN_RECIPIENT,
        RecipientAnswer::Foreign => NO_RELAY,
        RecipientAnswer::Paused => PAUSED,
        RecipientAnswer::Closed => CLOSED_MAILBOX,
        RecipientAnswer::Retired => RETIRED,
        RecipientAnswer::NotAuthorised => NOT_AUTHORISED,
        RecipientAnswer::TooLarge => TOO_LARGE,
        RecipientAnswer::Overloaded => STORAGE_LOW,
        RecipientAnswer::Unavailable => LOOKUP_FAILED,
    }
}

/// MAIL was taken.
pub const SENDER_OK: Reply = Reply::success(250, "2.1.0 Ok");
/// RCPT was taken.
pub const RECIPIENT_OK: Reply = Reply::success(250, "2.1.5 Ok");
/// RSET was done.
pub const RESET: Reply = Reply::success(250, "2.0.0 Ok");
/// NOOP.
pub const NOTHING_DONE: Reply = Reply::success(250, "2.0.0 Ok");
/// A chunk that is not the last was taken; the message is not ours yet (RFC 3030 §2).
pub const CHUNK_OK: Reply = Reply::success(250, "2.0.0 Chunk taken, message not complete");
/// VRFY: neither yes nor no (RFC 5321 §7.3).
pub const CANNOT_VERIFY: Reply = Reply::success(252, "2.0.0 Cannot say; send mail to find out");
/// HELP.
pub const HELP: Reply = Reply::success(
    214,
    "2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS AUTH: see RFC 5321 for how they are used",
);
/// QUIT.
pub const GOODBYE: Reply = Reply::success(221, "2.0.0 Goodbye");
/// STARTTLS: the handshake comes next.
pub const START_TLS: Reply = Reply::success(220, "2.0.0 Ready for TLS");
/// AUTH succeeded.
pub const AUTHENTICATED: Reply = Reply::success(235, "2.7.0 Authentication successful");
/// AUTH PLAIN: the credentials come next; an empty challenge (RFC 4954 §4).
pub const GO_ON: Reply = Reply::success(334, "");
/// AUTH LOGIN: `Username:`.
pub const USER_NAME: Reply = Reply::success(334, "VXNlcm5hbWU6");
/// AUTH LOGIN: `Password:`.
pub const PASSWORD: Reply = Reply::success(334, "UGFzc3dvcmQ6");
/// DATA: the message comes next.
pub const START_DATA: Reply = Reply::success(354, "End with CR LF . CR LF");

/// No such command.
pub const UNKNOWN_COMMAND: Reply = Reply::refusal(500, "syntax", "5.5.1 Command not known");
/// A line over the limit, never kept in memory.
pub const LINE_TOO_LONG: Reply = Reply::refusal(500, "line_too_long", "5.5.2 Line too long");
/// A line that ends in a bare LF, or has a control character or broken UTF-8 in it.
pub const BAD_LINE: Reply =
    Reply::refusal(500, "syntax", "5.5.2 A command is text without control characters and ends with CR LF");
/// Arguments that are not what the command takes.
pub const BAD_ARGUMENTS: Reply = Reply::refusal(501, "syntax", "5.5.4 Arguments not valid");
/// EHLO or HELO without a name.
pub const BAD_HELO: Reply = Reply::refusal(501, "syntax", "5.5.4 A host name is needed here");
/// MAIL FROM is no reverse-path.
pub const BAD_SENDER: Reply =
    Reply::refusal(501, "bad_sender", "5.1.7 Not a valid reverse-path: use MAIL FROM:<user@domain>");
/// RCPT TO is no forward-path.
pub const BAD_RECIPIENT: Reply =
    Reply::refusal(501, "bad_recipient", "5.1.3 Not a valid forward-path: use RCPT TO:<user@domain>");
/// A command that this server does not have.
pub const NOT_IMPLEMENTED: Reply = Reply::refusal(502, "not_implemented", "5.5.1 Command not implemented");
/// EXPN is not for strangers (RFC 5321 §7.3).
pub const NO_EXPANSION: Reply = Reply::refusal(502, "not_implemented", "5.7.0 EXPN is not allowed here");
/// MAIL before EHLO or HELO.
pub const HELO_FIRST: Reply = Reply::refusal(503, "sequence", "5.5.1 Send EHLO first");
/// MAIL before LHLO.
pub const LHLO_FIRST: Reply = Reply::refusal(503, "sequence", "5.5.1 Send LHLO first");
/// EHLO or HELO where LMTP is spoken (RFC 2033 §4.1).
pub const THIS_IS_LMTP: Reply = Reply::refusal(500, "syntax", "5.5.1 LMTP is spoken here; send LHLO");
/// MAIL inside a transaction.
pub const NESTED_MAIL: Reply = Reply::refusal(503, "sequence", "5.5.1 A transaction is open; RSET ends it");
/// RCPT or DATA without MAIL.
pub const MAIL_FIRST: Reply = Reply::refusal(503, "sequence", "5.5.1 Send MAIL first");
/// DATA or BDAT without an accepted RCPT.
pub const RCPT_FIRST: Reply = Reply::refusal(503, "sequence", "5.5.1 No valid recipients");
/// Something else than BDAT or RSET after a first BDAT (RFC 3030 §3).
pub const BDAT_GOES_ON: Reply = Reply::refusal(503, "sequence", "5.5.1 After BDAT only BDAT or RSET");
/// DATA after `BODY=BINARYMIME` (RFC 3030 §3).
pub const BINARY_NEEDS_BDAT: Reply = Reply::refusal(503, "sequence", "5.5.1 BODY=BINARYMIME needs BDAT");
/// STARTTLS under TLS.
pub const TLS_ALREADY: Reply = Reply::refusal(503, "sequence", "5.5.1 TLS is active");
/// STARTTLS after MAIL.
pub const TLS_INSIDE_TRANSACTION: Reply =
    Reply::refusal(503, "sequence", "5.5.1 A transaction is open; STARTTLS after RSET");
/// SIZE at MAIL or the bytes themselves are over the limit (RFC 1870 §6).
pub const TOO_LARGE: Reply = Reply::refusal(552, "too_large", "5.3.4 Message too large");
/// An address outside ASCII in a transaction without SMTPUTF8 (RFC 6531 §3.5).
pub const NEEDS_SMTPUTF8: Reply = Reply::refusal(553, "needs_smtputf8", "5.6.7 This address needs SMTPUTF8 on MAIL");
/// A bare CR or LF in DATA for a mailbox.
pub const BARE_LINE_BREAK: Reply =
    Reply::refusal(554, "bare_line_break", "5.6.11 Bare CR or LF in the message; lines end with CR LF");
/// A parameter of MAIL or RCPT that was not announced (RFC 5321 §4.1.1.11).
pub const UNKNOWN_PARAMETER: Reply = Reply::refusal(555, "syntax", "5.5.4 Parameter not known or not announced");

/// AUTH by a mechanism that was not offered (RFC 4954 §4).
pub const UNKNOWN_MECHANISM: Reply = Reply::refusal(504, "syntax", "5.5.4 Only PLAIN and LOGIN are offered");
/// AUTH in the clear (RFC 4954 §6).
pub const TLS_FIRST: Reply = Reply::refusal(538, "auth_in_clear", "5.7.11 STARTTLS first");
/// A second AUTH (RFC 4954 §4).
pub const AUTH_ALREADY: Reply = Reply::refusal(503, "sequence", "5.5.1 Authenticated already");
/// AUTH after MAIL (RFC 4954 §4).
pub const AUTH_INSIDE_TRANSACTION: Reply =
    Reply::refusal(503, "sequence", "5.5.1 A transaction is open; AUTH after RSET");
/// A response that is no base64 or not of its mechanism's form.
pub const BAD_RESPONSE: Reply = Reply::refusal(501, "syntax", "5.5.2 Response not valid");
/// `*` (RFC 4954 §4).
pub const AUTH_CANCELLED: Reply = Reply::refusal(501, "auth_cancelled", "5.7.0 Authentication cancelled");
/// No such key, or not for this.
pub const BAD_CREDENTIALS: Reply = Reply::refusal(535, "auth_failed", "5.7.8 Authentication credentials invalid");
/// The credentials cannot be checked now.
pub const CANNOT_AUTHENTICATE: Reply =
    Reply::refusal(454, "store_down", "4.7.0 Temporary authentication failure; try again later");
/// HTTP, from a browser that was led here or a scanner.
pub const NOT_HTTP: Reply = Reply::refusal(554, "http", "5.5.1 This is no HTTP server; closing");
/// A TLS handshake where none can begin.
pub const TLS_NOT_HERE: Reply = Reply::refusal(554, "tls_first", "5.5.1 TLS begins with STARTTLS here; closing");
/// Bytes before the greeting (RFC 5321 §3.1, §4.3.1).
pub const TALKS_FIRST: Reply = Reply::refusal(554, "talks_first", "5.5.1 Wait for the greeting; closing");

/// MAIL before AUTH where mail is handed in to be sent (RFC 4954 §6).
pub const AUTH_FIRST: Reply = Reply::refusal(530, "auth_first", "5.7.0 Authentication required");
/// The same before STARTTLS (RFC 3207 §4).
pub const STARTTLS_FIRST: Reply = Reply::refusal(530, "auth_first", "5.7.0 Must issue a STARTTLS command first");
/// The key was revoked or has expired since AUTH.
pub const KEY_GONE: Reply = Reply::refusal(550, "key_gone", "5.7.1 The API key is not valid any more");
/// From is no mailbox as which the key may write.
pub const NOT_YOURS: Reply =
    Reply::refusal(550, "forbidden_mailbox", "5.7.1 forbidden_mailbox: From is no mailbox as which this key may write");
/// A visible recipient who would not get it.
pub const NOT_ADDRESSED: Reply =
    Reply::refusal(550, "not_addressed", "5.6.0 To or Cc names somebody who is no recipient of this transaction");
/// A name, subject or address that cannot be taken.
pub const BAD_VALUE: Reply =
    Reply::refusal(550, "invalid_request", "5.6.0 A name, address or subject of the header cannot be taken");
/// The database does not answer, or the gate could not be asked: handed in again it is the same draft.
pub const NO_DRAFT_NOW: Reply =
    Reply::refusal(451, "store_down", "4.3.0 The draft cannot be made now; try again later");
/// A line that mail cannot have (RFC 5322 §2.1.1, §2.3).
pub const BAD_BODY_LINE: Reply = Reply::refusal(
    554,
    "bare_line_break",
    "5.6.11 Lines end with CR LF, have no other CR, LF or NUL, and at most 998 octets",
);
/// A header that cannot be read in one way only.
pub const BAD_HEADER: Reply =
    Reply::refusal(550, "unfit", "5.6.0 The header is not well-formed UTF-8 fields, or has one of them twice");
/// No author, or several.
pub const BAD_AUTHOR: Reply = Reply::refusal(550, "unfit", "5.6.0 From must name one mailbox");
/// A field with what is no address.
pub const BAD_FIELD_ADDRESS: Reply =
    Reply::refusal(550, "unfit", "5.6.0 To, Cc or Reply-To names what is no mailbox, or Reply-To several");
/// Structure that readers may take differently.
pub const BAD_PARTS: Reply =
    Reply::refusal(550, "unfit", "5.6.0 The MIME parts have no closing boundary, are too many, or too deep");
/// Text that cannot be shown to who approves it.
pub const BAD_TEXT: Reply = Reply::refusal(
    550,
    "unfit",
    "5.6.0 The text is not in its charset or encoding, is elsewhere, or too long to be shown",
);

/// The address does not exist here; the same for an unknown route.
pub const UNKNOWN_RECIPIENT: Reply = Reply::refusal(550, "unknown_recipient", "5.1.1 No such recipient here");
/// The domain is not ours.
pub const NO_RELAY: Reply = Reply::refusal(550, "no_relay", "5.7.1 No mail is relayed here");
/// The author's domain asks not to take what it does not stand behind, and the mailbox does so (RFC 7372 §3.3).
pub const NOT_AUTHENTIC: Reply =
    Reply::refusal(550, "not_authentic", "5.7.26 The author's domain does not stand behind this message (DMARC)");
/// Suspended for good.
pub const CLOSED_MAILBOX: Reply = Reply::refusal(550, "closed", "5.2.1 This recipient takes no mail");
/// Suspended for a while.
pub const PAUSED: Reply =
    Reply::refusal(450, "paused", "4.2.1 This recipient takes no mail at present; try again later");
/// The address was given up; the peer's queue keeps the mail while its operator learns the new one.
pub const RETIRED: Reply =
    Reply::refusal(450, "retired", "4.7.0 This address is no longer used; ask whoever gave it to you for the new one");
/// Not from this peer, yet.
pub const NOT_AUTHORISED: Reply = Reply::refusal(450, "not_authorised", "4.7.1 Not authorised for this recipient yet");
/// The layers above could not answer.
pub const LOOKUP_FAILED: Reply =
    Reply::refusal(451, "store_down", "4.3.0 Recipients cannot be looked up; try again later");
/// Over the transactions of one tenant.
pub const TENANT_BUSY: Reply =
    Reply::refusal(451, "tenant_busy", "4.7.0 Too much mail for this recipient at once; try again later");
/// The spool or a step of ours failed; the message is not kept.
pub const TRY_AGAIN: Reply =
    Reply::refusal(451, "spool_failed", "4.3.0 The message cannot be stored now; try again later");
/// Less than the reserve is free.
pub const STORAGE_LOW: Reply = Reply::refusal(452, "storage_low", "4.3.1 Not enough storage now; try again later");
/// Over the number of recipients of one transaction.
pub const TOO_MANY_RECIPIENTS: Reply =
    Reply::refusal(452, "too_many_recipients", "4.5.3 Too many recipients; send the rest in another transaction");
/// A recipient that may not share the transaction with those before it.
pub const SEPARATE_TRANSACTION: Reply =
    Reply::refusal(452, "separate_transaction", "4.5.3 Send this recipient in a transaction of its own");

/// Over the connections of one address or of the listener.
pub const TOO_MANY_CONNECTIONS: Reply =
    Reply::refusal(421, "too_many_connections", "4.7.0 Too many connections; try again later");
/// Too many refused AUTH from one network.
pub const TOO_MANY_FAILURES: Reply =
    Reply::refusal(421, "too_many_auth_failures", "4.7.0 Too many failed authentications; try again later");
/// Over the messages of one connection.
pub const TOO_MANY_MESSAGES: Reply =
    Reply::refusal(421, "too_many_messages", "4.7.0 Enough messages for one connection; please connect again");
/// Over the errors of one connection.
pub const TOO_MANY_ERRORS: Reply = Reply::refusal(421, "too_many_errors", "4.7.0 Too many errors; closing");
/// A BDAT whose size cannot be read: where the next command begins is unknown.
pub const FRAMING_LOST: Reply = Reply::refusal(501, "framing_lost", "5.5.4 BDAT needs a size in octets; closing");
/// The peer was silent or slow for too long.
pub const TIMED_OUT: Reply = Reply::refusal(421, "timed_out", "4.4.2 Too slow; closing");
/// The program stops.
pub const SHUTTING_DOWN: Reply =
    Reply::refusal(421, "shutting_down", "4.3.2 This server is going down; try again later");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_one_line_with_its_enhanced_code() {
        assert_eq!(wire(&UNKNOWN_RECIPIENT), "550 5.1.1 No such recipient here\r\n");
        assert_eq!(wire(&START_DATA), "354 End with CR LF . CR LF\r\n");
    }

    #[test]
    fn an_accepted_message_is_named_by_its_id() {
        let id = Clock::fixed(Timestamp::from_micros(0)).mint();
        assert_eq!(wire(&accepted_as(id).into_reply()), format!("250 2.0.0 Ok: {id}\r\n"));
    }

    #[test]
    fn a_draft_is_named_with_what_the_gate_says_in_one_line_of_bounded_length() {
        let id = Clock::fixed(Timestamp::from_micros(0)).mint();
        let says = |outcome| wire(&drafted(&Drafted::confirmed(id, outcome)).into_reply());
        let codes = || vec!["approval_required".to_owned(), "new_recipient".to_owned()];
        assert_eq!(says(DraftOutcome::Released), format!("250 2.0.0 draft {id} released\r\n"));
        assert_eq!(
            says(DraftOutcome::Waits(codes())),
            format!("250 2.0.0 draft {id} waits for approval: approval_required new_recipient\r\n")
        );
        assert_eq!(says(DraftOutcome::HandedOff), format!("250 2.0.0 draft {id} handed off to the source app\r\n"));
        assert!(says(DraftOutcome::Denied(vec!["x".repeat(900)])).len() <= 512);
        assert_eq!(wire(&denied(id, &codes())), format!("550 5.7.1 approval_required new_recipient (draft {id})\r\n"));
    }

    #[test]
    fn starttls_is_offered_only_where_it_can_follow() {
        let host =
            HostReplies::new(&Domain::parse("mx.example").unwrap(), &Limits { message: 1_000, ..Limits::default() });
        assert!(wire(&host.ehlo_offering_tls()).ends_with("250 STARTTLS\r\n"));
        assert!(!wire(&host.ehlo()).contains("STARTTLS"));
        assert!(wire(&host.ehlo()).starts_with("250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"));
    }
}
