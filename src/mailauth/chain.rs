//! ARC: what those found who handed a message on, and whether they are among those who are believed.
//!
//! A chain that holds shows only that nobody behind its sealers changed what they say. It counts for something only where
//! every sealer from the one that is asked down to the last is listed: whoever comes later could have changed the message.

use mail_auth::arc::ArcError;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimResult, Error, MessageAuthenticator, Parameters};

use super::lookup::Records;
use super::signatures::{outcome, reason};
use crate::mail::address::Domain;
use crate::mail::authentication::{Claim, Identity, Method, MethodResult, Outcome, Voucher, VoucherKind};

/// Verifies the chain. Every key is in `keys` by now; nothing is looked up.
pub(super) async fn verify<'a>(
    dns: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    keys: &'a Records,
) -> ArcOutput<'a> {
    dns.verify_arc(Parameters::new(message).with_txt_cache(keys)).await
}

/// Whether the chain may only have failed by blank lines at the end of the body.
pub(super) fn is_body_at_fault(chain: &ArcOutput<'_>) -> bool {
    *chain.result() == DkimResult::Neutral(Error::Arc(ArcError::FailedBodyHashMatch))
}

/// Verifies it again on the bytes without these lines, where that is worth it.
pub(super) async fn again<'a>(
    dns: &MessageAuthenticator,
    chain: ArcOutput<'a>,
    trimmed: Option<&'a AuthenticatedMessage<'a>>,
    keys: &'a Records,
) -> ArcOutput<'a> {
    match trimmed {
        Some(trimmed) if is_body_at_fault(&chain) => verify(dns, trimmed, keys).await,
        _ => chain,
    }
}

/// The result; `None` where there is no chain.
pub(super) fn judge(chain: &ArcOutput<'_>, refused: Option<&'static str>) -> Option<MethodResult> {
    let last = chain.sets().last().map(|set| set.seal.header);
    let result = |outcome| {
        let domain = last.map_or("", |seal| seal.d.as_str());
        let result = MethodResult::new(Method::Arc, outcome, Identity::Sealer, domain);
        last.iter().fold(result, |result, seal| result.with_selector(&seal.s))
    };
    if let Some(refused) = refused {
        return Some(result(Outcome::Policy).because(refused));
    }
    let why = match chain.result() {
        DkimResult::None => return None,
        DkimResult::Pass => return Some(result(Outcome::Pass)),
        DkimResult::TempError(_) => return Some(result(Outcome::Temperror).because("DNS did not answer")),
        DkimResult::Neutral(Error::Arc(error)) | DkimResult::Fail(Error::Arc(error)) => match error {
            ArcError::FailedBodyHashMatch => "the body was changed behind the last sealer",
            ArcError::SignatureExpired => "the last seal has expired",
            ArcError::SignatureLength => "its body length tag (l=) leaves the end of the body unsigned",
            _ => "the chain is broken",
        },
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => reason(error),
    };
    let outcome = match outcome(chain.result()).0 {
        Outcome::Permerror => Outcome::Permerror,
        _ => Outcome::Fail,
    };
    Some(result(outcome).because(why))
}

/// The nearest listed sealer that found that DMARC passed for `author`.
pub(super) fn voucher(chain: &ArcOutput<'_>, author: &Domain, sealers: &[Domain]) -> Option<Voucher> {
    if *chain.result() != DkimResult::Pass {
        return None;
    }
    let is_listed = |name: &str| sealers.iter().any(|sealer| sealer.as_str().eq_ignore_ascii_case(name));
    let believed = chain.sets().iter().rev().take_while(|set| {
        is_listed(&set.seal.header.d) && set.seal.header.d.eq_ignore_ascii_case(&set.signature.header.d)
    });
    believed.into_iter().find_map(|set| {
        let claim = Claim::read_sealed(&String::from_utf8_lossy(set.results.value))?;
        let sealer = set.seal.header.d.to_ascii_lowercase();
        claim.has_dmarc_pass_for(author.as_str()).then(|| Voucher {
            by: VoucherKind::Arc,
            reason: format!("the listed sealer {sealer} found dmarc=pass for {author}, and its chain holds"),
            id: sealer,
        })
    })
}
