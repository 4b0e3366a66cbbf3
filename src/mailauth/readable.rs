//! What of a message is handed to the verifier: bounded, and with everything taken out that would make it ask or work
//! without an end.

use std::collections::BTreeSet;

use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{AuthenticatedMessage, Error};

use crate::mail::authentication::{Identity, Method, MethodResult, Outcome};
use crate::mail::message::Message;

/// Octets of a header that is verified; RFC 5322 sets no bound, and nobody's header is that long.
const HEADER: usize = 256 * 1024;
/// Fields of one header.
const FIELDS: usize = 5_000;
/// Fields that one signature may name: each is looked for among all of them.
const SIGNED_FIELDS: usize = 200;
/// ARC sets of one message; RFC 8617 §4.2.1 allows 50, and none is that long.
pub(super) const SETS: usize = 20;

/// A message as the verifier takes it.
#[derive(Debug)]
pub(super) struct Readable<'a> {
    pub(super) message: AuthenticatedMessage<'a>,
    /// Results of signatures that are not verified.
    pub(super) unread: Vec<MethodResult>,
    /// Why the ARC chain is not verified.
    pub(super) arc_refused: Option<&'static str>,
}

/// Reads `bytes`; `view` says who the author is, whose signatures come first.
pub(super) fn read<'a>(bytes: &'a [u8], signatures: usize, view: &Message) -> Result<Readable<'a>, &'static str> {
    let end = header_end(bytes).ok_or("the header is longer than is checked")?;
    let header = bytes.get(..end).unwrap_or_default();
    if header.iter().filter(|byte| **byte == b'\n').count() > FIELDS {
        return Err("the header has more lines than are checked");
    }
    // Strict: a signature over a part of the body (`l=`) is none, and there are four digests of the body at most.
    let mut message = AuthenticatedMessage::parse(bytes).ok_or("there is no header")?;
    let mut unread = unreadable(&message, signatures);
    let author =
        view.author.as_ref().and_then(|author| author.mailbox.as_ref()).map(|mailbox| mailbox.domain().as_str());
    // A signature of the author's domain must not be hidden behind others.
    message.dkim_headers.sort_by_key(|header| author.is_none_or(|author| !are_related(&header.header.d, author)));
    message.dkim_headers.retain(|header| {
        let Some(refusal) = refused(&header.header) else { return true };
        if unread.len() < signatures {
            unread.push(refusal);
        }
        false
    });
    if message.dkim_headers.len() > signatures {
        message.dkim_headers.truncate(signatures);
        let result = MethodResult::new(Method::Dkim, Outcome::Policy, Identity::Signer, "");
        unread.push(result.because(format!("only the first {signatures} signatures were checked")));
    }
    for header in &mut message.dkim_headers {
        // Both ask DNS for more than the key (RFC 6651, RFC 6541).
        (header.header.r, header.header.atps) = (false, None);
    }
    let sets = message.ams_headers.len().max(message.as_headers.len()).max(message.aar_headers.len());
    let names_too_much = message.ams_headers.iter().any(|header| header.header.h.len() > SIGNED_FIELDS);
    let arc_refused = match (sets > SETS, names_too_much) {
        (true, _) => Some("the chain is longer than is checked"),
        (_, true) => Some("the seal names more fields than are checked"),
        _ => None,
    };
    Ok(Readable { message, unread, arc_refused })
}

impl Readable<'_> {
    /// The names of all keys that are needed, each once.
    pub(super) fn key_names(&self) -> BTreeSet<String> {
        let message = &self.message;
        let signers = message.dkim_headers.iter().map(|header| header.header.domain_key());
        let seals = message.as_headers.iter().map(|header| header.header.domain_key());
        // The chain's last signature is the only one that is verified.
        let last = message.ams_headers.last().map(|header| header.header.domain_key());
        match self.arc_refused {
            None => signers.chain(seals).chain(last).collect(),
            Some(_) => signers.collect(),
        }
    }
}

/// The same message without the lines of nothing but blanks at its end, where there are any.
///
/// The relaxed canonicalisation drops them (RFC 6376 §3.4.4), and the verifier keeps those that hold blanks: good
/// signatures would fail. A signature that fails is tried once more on these bytes.
pub(super) fn trimmed<'a>(bytes: &'a [u8], read: &Readable<'a>) -> Option<AuthenticatedMessage<'a>> {
    let body = read.message.body_offset();
    let mut end = bytes.len();
    while let Some(rest) = bytes.get(body..end).and_then(|body| body.strip_suffix(b"\n")) {
        let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
        let line = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if rest.get(line..).unwrap_or_default().iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            break;
        }
        end = body + line;
    }
    if end == bytes.len() {
        return None;
    }
    let mut message = AuthenticatedMessage::parse(bytes.get(..end)?)?;
    // The same signatures in the same order.
    message.dkim_headers.clone_from(&read.message.dkim_headers);
    Some(message)
}

fn header_end(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..HEADER).unwrap_or(bytes);
    let blank = memchr::memmem::find(head, b"\n\r\n").into_iter().chain(memchr::memmem::find(head, b"\n\n")).min();
    blank.or_else(|| (head.len() == bytes.len()).then_some(head.len()))
}

/// Results of the signatures that cannot be read.
fn unreadable(message: &AuthenticatedMessage<'_>, limit: usize) -> Vec<MethodResult> {
    let is_signature = |name: &[u8]| name.trim_ascii().eq_ignore_ascii_case(b"dkim-signature");
    let broken = message.errors.iter().filter(|header| is_signature(header.name)).take(limit);
    broken
        .map(|header| match (&header.header, Signature::parse(header.value)) {
            (Error::Dkim(DkimError::SignatureLength), Ok(signature)) => result(&signature, Outcome::Policy)
                .because("its body length tag (l=) leaves the end of the body unsigned"),
            _ => MethodResult::new(Method::Dkim, Outcome::Permerror, Identity::Signer, "")
                .because("the signature cannot be read"),
        })
        .collect()
}

/// Why a signature is not verified at all.
fn refused(signature: &Signature) -> Option<MethodResult> {
    let names_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    let (outcome, reason) = if signature.v != 1 {
        (Outcome::Permerror, "it does not say which version it is of")
    } else if !names_from {
        // RFC 6376 §5.4: From must be signed.
        (Outcome::Permerror, "it does not cover From")
    } else if signature.h.len() > SIGNED_FIELDS {
        (Outcome::Policy, "it names more fields than are checked")
    } else if signature.a == mail_auth::common::crypto::Algorithm::RsaSha1 {
        // RFC 8301 §3.1
        (Outcome::Policy, "rsa-sha1 is no longer believed")
    } else {
        return None;
    };
    Some(result(signature, outcome).because(reason))
}

/// A result of this signature.
pub(super) fn result(signature: &Signature, outcome: Outcome) -> MethodResult {
    MethodResult::new(Method::Dkim, outcome, Identity::Signer, &signature.d).with_selector(&signature.s)
}

/// Whether one domain is the other, or lies below it.
fn are_related(one: &str, other: &str) -> bool {
    let is_below =
        |low: &str, high: &str| low.strip_suffix(high).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let one = one.to_ascii_lowercase();
    is_below(&one, other) || is_below(other, &one)
}
