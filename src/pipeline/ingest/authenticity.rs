//! What authentication adds to a decision: facts of the kind `verified`, and doubt. It never lowers an approval, and a pass
//! raises nothing: a domain that stands behind its mail may still be a stranger's.

use crate::contract::answer::{ReasonSignal, TrustBlock};
use crate::mail::authentication::{Authentication, FactKind, RequestedPolicy};

/// Signals that an answer has at most.
const SIGNALS: usize = 5;

/// Says in the reasoning what was shown of the author.
pub(super) fn tell(authentication: &Authentication, signals: &mut Vec<ReasonSignal>) {
    let failure = authentication.failure();
    let author = authentication.verified.iter().find(|fact| fact.fact == FactKind::AuthorDomain);
    let (code, evidence) = match (author, &authentication.voucher, failure) {
        (Some(fact), _, _) => ("author_domain_authenticated", format!("DMARC passed for {}", fact.domain)),
        (None, Some(voucher), _) => ("author_domain_vouched_for", voucher.reason.clone()),
        (None, None, Some(_)) => {
            let domain = authentication.dmarc().map_or("", |dmarc| dmarc.domain.as_str());
            ("author_domain_not_authenticated", format!("DMARC failed for {domain}"))
        }
        (None, None, None) => return,
    };
    signals.truncate(SIGNALS - 1);
    signals.push(ReasonSignal { code: code.to_owned(), kind: "verified".to_owned(), evidence: Some(evidence) });
}

/// Mail whose author's domain disowns it is for a person to look at.
pub(super) fn doubt(authentication: &Authentication, trust: &mut TrustBlock) {
    if authentication.failure() > Some(RequestedPolicy::None) && trust.recommendation == "proceed" {
        "review".clone_into(&mut trust.recommendation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::authentication::{Identity, Method, MethodResult, Outcome};

    fn dmarc(outcome: Outcome) -> Authentication {
        let dmarc = MethodResult::new(Method::Dmarc, outcome, Identity::Author, "lakeside.example");
        Authentication::of(vec![dmarc], None, false)
    }

    #[test]
    fn what_was_shown_of_the_author_is_told_and_what_was_not_is_not() {
        let codes = |authentication: &Authentication| {
            let mut signals = vec![ReasonSignal { code: "x".into(), kind: "claimed".into(), evidence: None }; SIGNALS];
            tell(authentication, &mut signals);
            assert_eq!(signals.len(), SIGNALS);
            signals.last().map(|signal| (signal.code.clone(), signal.kind.clone())).unwrap()
        };
        let verified = |code: &str| (code.to_owned(), "verified".to_owned());
        assert_eq!(codes(&dmarc(Outcome::Pass)), verified("author_domain_authenticated"));
        assert_eq!(codes(&dmarc(Outcome::Fail)), verified("author_domain_not_authenticated"));
        assert_eq!(codes(&dmarc(Outcome::Temperror)).0, "x");
        assert_eq!(codes(&Authentication::default()).0, "x");
    }
}
