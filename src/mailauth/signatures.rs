//! DKIM: each signature verified with the keys that were looked up, and what it is worth.

use mail_auth::common::crypto::CryptoError;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::{Canonicalization, DkimError};
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DnsError, Error, MessageAuthenticator, Parameters};

use super::lookup::Records;
use super::readable::{Readable, result};
use crate::mail::authentication::{Identity, Method, MethodResult, Outcome};

/// Bits below which an RSA key is not believed (RFC 8301 §3.2).
const SHORTEST_KEY: usize = 1024;

/// Verifies each signature. Every key is in `keys` by now; nothing is looked up.
pub(super) async fn verify<'a>(
    dns: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    keys: &'a Records,
) -> Vec<DkimOutput<'a>> {
    let outputs = dns.verify_dkim(Parameters::new(message).with_txt_cache(keys)).await;
    // Those without a signature were told of when the message was read.
    outputs.into_iter().filter(|output| output.signature().is_some()).collect()
}

/// Whether a signature may only have failed by blank lines at the end of the body.
pub(super) fn is_body_at_fault(outputs: &[DkimOutput<'_>]) -> bool {
    outputs.iter().any(is_relaxed_body_fault)
}

/// Verifies those signatures again on the bytes without these lines.
pub(super) async fn again<'a>(
    dns: &MessageAuthenticator,
    mut outputs: Vec<DkimOutput<'a>>,
    trimmed: Option<&'a AuthenticatedMessage<'a>>,
    keys: &'a Records,
) -> Vec<DkimOutput<'a>> {
    let Some(trimmed) = trimmed else { return outputs };
    for (output, second) in outputs.iter_mut().zip(verify(dns, trimmed, keys).await) {
        if is_relaxed_body_fault(output) {
            *output = second;
        }
    }
    outputs
}

fn is_relaxed_body_fault(output: &DkimOutput<'_>) -> bool {
    *output.result() == DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch))
        && output.signature().is_some_and(|signature| signature.cb == Canonicalization::Relaxed)
}

/// What is told of the signatures of a message: those that could not be read too, and where there is none, that.
pub(super) fn told(read: &Readable<'_>, judged: Vec<MethodResult>) -> Vec<MethodResult> {
    let mut results = read.unread.clone();
    results.extend(judged);
    if results.is_empty() {
        results.push(MethodResult::new(Method::Dkim, Outcome::None, Identity::Signer, ""));
    }
    results
}

/// The results, and those outputs that count for DMARC: what passed, and what could not be checked now.
pub(super) fn judge<'a>(outputs: Vec<DkimOutput<'a>>, keys: &Records) -> (Vec<MethodResult>, Vec<DkimOutput<'a>>) {
    let (mut results, mut counted) = (Vec::with_capacity(outputs.len()), Vec::with_capacity(outputs.len()));
    for output in outputs {
        let Some(signature) = output.signature() else { continue };
        let is_short = keys.key_bits(&signature.domain_key()).is_some_and(|bits| (1..SHORTEST_KEY).contains(&bits));
        let (outcome, reason) = if is_short {
            (Outcome::Policy, Some("the key has fewer than 1,024 bits"))
        } else {
            outcome(output.result())
        };
        let mut told = result(signature, outcome);
        told.reason = reason.map(ToOwned::to_owned);
        results.push(told);
        if matches!(outcome, Outcome::Pass | Outcome::Temperror) {
            counted.push(output);
        }
    }
    (results, counted)
}

/// The outcome, and why. Only a pass is a pass: the verifier calls a changed body neutral, and what has expired.
pub(super) fn outcome(result: &DkimResult) -> (Outcome, Option<&'static str>) {
    let outcome = match result {
        DkimResult::Pass => Outcome::Pass,
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch | DkimError::SignatureExpired))
        | DkimResult::Fail(_) => Outcome::Fail,
        DkimResult::Neutral(_) => Outcome::Neutral,
        DkimResult::PermError(_) => Outcome::Permerror,
        DkimResult::TempError(_) => Outcome::Temperror,
        DkimResult::None => Outcome::None,
    };
    let reason = match result {
        DkimResult::Pass | DkimResult::None => None,
        DkimResult::Neutral(error)
        | DkimResult::Fail(error)
        | DkimResult::PermError(error)
        | DkimResult::TempError(error) => Some(reason(error)),
    };
    (outcome, reason)
}

/// The reason in words of ours: what the library says may hold words of the message.
pub(super) fn reason(error: &Error) -> &'static str {
    match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) => "the body was changed",
        Error::Dkim(DkimError::SignatureExpired) => "the signature has expired",
        Error::Dkim(DkimError::FailedAuidMatch) => "its agent (i=) is not of its domain",
        Error::Dkim(DkimError::RevokedPublicKey) => "the key was revoked",
        Error::Dkim(DkimError::UnsupportedKeyType) => "the key is of a kind that is not known",
        Error::Crypto(CryptoError::IncompatibleAlgorithms) => "key and signature are of different kinds",
        Error::Crypto(_) => "the header was changed, or the key is another",
        Error::Dns(DnsError::Resolver(_)) => "DNS did not answer",
        Error::Dns(DnsError::RecordNotFound(_)) => "there is no key",
        Error::Dns(DnsError::InvalidRecordType) | Error::ParseError | Error::Base64 => "the key cannot be read",
        _ => "it cannot be verified",
    }
}
