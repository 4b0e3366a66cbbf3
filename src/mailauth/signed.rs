//! Which header fields a passing signature covers, of those that can tell one customer of a provider from another.

use mail_auth::{ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult};

use crate::mail::marks::{FIELDS, SignedField};

/// Those fields, with the domains whose signatures cover them. `passed` is what counts of the DKIM signatures; of a chain
/// that holds, the last signature counts, where its sealer made it.
pub(super) fn fields(
    message: &AuthenticatedMessage<'_>,
    counted: &[DkimOutput<'_>],
    chain: &ArcOutput<'_>,
) -> Vec<SignedField> {
    let passed = counted.iter().filter(|output| *output.result() == DkimResult::Pass);
    let mut signers: Vec<(&str, &[String])> =
        passed.filter_map(|output| output.signature()).map(|one| (one.d.as_str(), one.h.as_slice())).collect();
    if let (DkimResult::Pass, Some(last)) = (chain.result(), chain.sets().last())
        && last.seal.header.d.eq_ignore_ascii_case(&last.signature.header.d)
    {
        signers.push((last.signature.header.d.as_str(), last.signature.header.h.as_slice()));
    }
    let mut found = Vec::new();
    for name in FIELDS {
        let is_it = |(own, _): &&(&[u8], &[u8])| own.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        let mut there = message.headers.iter().filter(is_it);
        // RFC 6376 §5.4.2: a signature covers the last ones of a name; one above them anybody can have put there.
        let (Some((_, value)), None) = (there.next(), there.next()) else { continue };
        let covers = |(_, covered): &&(&str, &[String])| covered.iter().any(|own| own.eq_ignore_ascii_case(name));
        found.extend(signers.iter().filter(covers).map(|(signer, _)| SignedField::new(signer, name, value)));
    }
    found
}
