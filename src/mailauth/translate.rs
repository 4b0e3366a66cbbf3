//! From the library's outputs to results in our own words. Nothing of its texts is kept: they may hold words of others.

use mail_auth::dmarc::{Alignment as Near, Policy};
use mail_auth::{DmarcOutput, DmarcResult, SpfOutput, SpfResult};

use super::lookup::PeerName;
use crate::mail::address::Domain;
use crate::mail::authentication::{Alignment, AuthorPolicy, Identity, Method, MethodResult, Outcome, RequestedPolicy};

/// Why SPF and DMARC say nothing of mail that a relay hands over, or a client that signed in.
const RELAYED: &str =
    "no address is known that says something of the sender: a relay or a signed-in client handed it over";
/// The reason of every trouble with DNS.
const NO_ANSWER: &str = "DNS did not answer";

pub(super) fn spf(output: &SpfOutput, identity: Identity, domain: &str, is_relayed: bool) -> MethodResult {
    let (outcome, reason) = match output.result() {
        SpfResult::Pass => (Outcome::Pass, None),
        SpfResult::Fail => (Outcome::Fail, Some("the domain does not let this address send for it")),
        SpfResult::SoftFail => (Outcome::Softfail, Some("the domain probably does not let this address send for it")),
        SpfResult::Neutral => (Outcome::Neutral, None),
        SpfResult::TempError => (Outcome::Temperror, Some(NO_ANSWER)),
        SpfResult::PermError => (Outcome::Permerror, Some("the domain's SPF record cannot be worked out")),
        SpfResult::None => (Outcome::None, is_relayed.then_some(RELAYED)),
    };
    let result = MethodResult::new(Method::Spf, outcome, identity, domain);
    reason.into_iter().fold(result, MethodResult::because)
}

pub(super) fn iprev(found: PeerName) -> MethodResult {
    let result = |outcome, name: &str| MethodResult::new(Method::Iprev, outcome, Identity::Peer, name);
    match found {
        PeerName::Confirmed(name) => result(Outcome::Pass, &name),
        PeerName::Contradicted(name) => result(Outcome::Fail, &name).because("the name does not lead to this address"),
        PeerName::Missing => result(Outcome::Permerror, "").because("the address has no name"),
        PeerName::Unanswered => result(Outcome::Temperror, "").because(NO_ANSWER),
    }
}

/// `None`: there was no time.
pub(super) fn dmarc(output: Option<&DmarcOutput>, author: &Domain, is_relayed: bool) -> MethodResult {
    let (outcome, reason) = match output.map(DmarcOutput::result) {
        Some(DmarcResult::Pass) => (Outcome::Pass, None),
        // SPF could not be asked, so that nothing failed.
        Some(DmarcResult::Fail(_)) if is_relayed => (Outcome::Permerror, Some(RELAYED)),
        Some(DmarcResult::Fail(_)) => {
            (Outcome::Fail, Some("neither SPF nor a signature speaks for the author's domain"))
        }
        Some(DmarcResult::TempError(_)) | None => (Outcome::Temperror, Some(NO_ANSWER)),
        Some(DmarcResult::PermError(_)) => (Outcome::Permerror, Some("the domain's policy cannot be read")),
        Some(DmarcResult::None) => (Outcome::None, Some("the domain publishes no policy")),
    };
    let mut result = MethodResult::new(Method::Dmarc, outcome, Identity::Author, author.as_str());
    result.reason = reason.map(ToOwned::to_owned);
    result.policy = output.and_then(policy);
    result
}

fn policy(output: &DmarcOutput) -> Option<AuthorPolicy> {
    let record = output.dmarc_record()?;
    let near = |alignment: Near| match alignment {
        Near::Relaxed => Alignment::Relaxed,
        Near::Strict => Alignment::Strict,
    };
    Some(AuthorPolicy {
        requested: match output.policy() {
            Policy::Reject => RequestedPolicy::Reject,
            Policy::Quarantine => RequestedPolicy::Quarantine,
            Policy::None | Policy::Unspecified => RequestedPolicy::None,
        },
        spf_alignment: near(record.aspf),
        dkim_alignment: near(record.adkim),
        spf_aligned: *output.spf_result() == DmarcResult::Pass,
        dkim_aligned: *output.dkim_result() == DmarcResult::Pass,
    })
}
