use proptest::prelude::*;

use super::*;

fn dmarc(result: Outcome, requested: RequestedPolicy) -> Authentication {
    let mut dmarc = MethodResult::new(Method::Dmarc, result, Identity::Author, "lakeside.example");
    dmarc.policy = Some(AuthorPolicy {
        requested,
        spf_alignment: Alignment::Relaxed,
        dkim_alignment: Alignment::Relaxed,
        spf_aligned: false,
        dkim_aligned: false,
    });
    Authentication::of(vec![dmarc], None, false)
}

#[test]
fn only_a_failure_that_the_authors_domain_asks_to_act_on_is_acted_on() {
    use FailurePolicy::{Mark, Quarantine, Reject};
    let failed = dmarc(Outcome::Fail, RequestedPolicy::Reject);
    assert!(!Mark.quarantines(&failed) && !Mark.refuses(&failed));
    assert!(Quarantine.quarantines(&failed) && !Quarantine.refuses(&failed));
    assert!(Reject.quarantines(&failed) && Reject.refuses(&failed));
    let harmless = [
        dmarc(Outcome::Fail, RequestedPolicy::None),
        dmarc(Outcome::Temperror, RequestedPolicy::Reject),
        dmarc(Outcome::Permerror, RequestedPolicy::Reject),
        dmarc(Outcome::None, RequestedPolicy::None),
        dmarc(Outcome::Pass, RequestedPolicy::Reject),
        Authentication::default(),
    ];
    for authentication in harmless {
        assert!(!Reject.refuses(&authentication) && !Quarantine.quarantines(&authentication), "{authentication:?}");
    }
    let voucher = Voucher { by: VoucherKind::Arc, id: "lists.example".into(), reason: String::new() };
    let vouched = Authentication { voucher: Some(voucher), ..failed };
    assert!(!Reject.refuses(&vouched));
    assert_eq!(vouched.author_domain(), None, "a voucher shows nothing of its own");
}

#[test]
fn only_a_pass_becomes_a_fact() {
    let all = [Outcome::Fail, Outcome::Softfail, Outcome::Neutral, Outcome::None, Outcome::Policy, Outcome::Temperror];
    let results = |outcome| vec![MethodResult::new(Method::Dkim, outcome, Identity::Signer, "lakeside.example")];
    for outcome in all {
        assert!(Authentication::of(results(outcome), None, false).verified.is_empty(), "{outcome:?}");
    }
    let facts = Authentication::of([results(Outcome::Pass), results(Outcome::Pass)].concat(), None, false).verified;
    assert_eq!(facts, [VerifiedFact { fact: FactKind::SigningDomain, domain: "lakeside.example".into() }]);
}

#[test]
fn the_field_text_names_method_result_reason_and_domain() {
    let results = vec![
        MethodResult::new(Method::Spf, Outcome::Softfail, Identity::MailFrom, "Lakeside.example."),
        MethodResult::new(Method::Dkim, Outcome::Neutral, Identity::Signer, "x\r\nEvil: 1;\"")
            .with_selector("s 1")
            .because("the \"body\" was\r\nchanged"),
        MethodResult::new(Method::Iprev, Outcome::Pass, Identity::Peer, "mx.lakeside.example"),
    ];
    let mut authentication = Authentication::of(results, None, false);
    let peer = Some("2001:db8::1".parse().unwrap());
    let text = authentication_results("mx.example.org", peer, &authentication);
    let wanted = "mx.example.org;\r\n\tspf=softfail smtp.mailfrom=lakeside.example;\r\n\tdkim=neutral \
                  reason=\"the body waschanged\" header.d=xevil1 header.s=s1;\r\n\tiprev=pass policy.iprev=\"2001:db8::1\"";
    assert_eq!(text, wanted);
    authentication.results.clear();
    assert_eq!(authentication_results("mx.example.org", None, &authentication), "mx.example.org; none");
}

#[test]
fn what_was_stored_before_checks_existed_is_still_read() {
    let old: Authentication = serde_json::from_str(r#"{"checked":false}"#).unwrap();
    assert_eq!(old, Authentication::default());
    assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"checked":false}"#);
}

#[test]
fn a_field_in_our_own_name_is_found_however_it_is_written() {
    let forged = [
        "mx.example.org; dmarc=pass",
        "MX.Example.ORG 1; spf=pass",
        " (trust me) mx.example.org; none",
        "\"mx.example.org\"; dkim=pass",
        "mx.example.org.; dkim=pass",
        "\"mx.example\".org",
        "(open mx.example.org; dmarc=pass",
    ];
    for value in forged {
        assert!(Claims::of([&value.to_owned()]).has_forged("mx.example.org"), "{value}");
    }
    for value in ["mx.example.org.evil.example; dmarc=pass", "other.example; spf=pass smtp.helo=mx.example.org", ""] {
        assert!(!Claims::of([&value.to_owned()]).has_forged("mx.example.org"), "{value}");
    }
}

#[test]
fn a_claim_passes_only_for_the_author_that_it_names() {
    let pass = |value: &str| Claim::read(value).is_some_and(|claim| claim.has_dmarc_pass_for("lakeside.example"));
    assert!(pass("fwd.example; spf=fail; dmarc=pass (p=none dis=none) header.from=Lakeside.example"));
    assert!(pass("fwd.example; dmarc/1 = pass header.from=\"ann@lakeside.example\""));
    assert!(!pass("fwd.example; dmarc=pass header.from=other.example"));
    assert!(!pass("fwd.example; dmarc=pass"));
    assert!(!pass("fwd.example; dmarc=fail header.from=lakeside.example"));
    assert!(!pass("fwd.example; (dmarc=pass header.from=lakeside.example) spf=pass"));
    assert!(!pass("fwd.example; spf=pass reason=\"; dmarc=pass header.from=lakeside.example\""));
    assert!(!pass("fwd.example; dmarc=pass header.from=lakeside.example; dmarc=fail header.from=lakeside.example"));
    let sealed = "i=1; lists.example; dmarc=pass header.from=lakeside.example";
    assert!(Claim::read_sealed(sealed).unwrap().has_dmarc_pass_for("lakeside.example"));
    assert_eq!(Claim::read_sealed("lists.example; dmarc=pass header.from=lakeside.example"), None);
}

proptest! {
    #[test]
    fn whatever_a_field_says_is_read_without_a_panic(value in "[a-z=;\"()\\\\ .@\r\n]{0,80}") {
        let claims = Claims::of([&value]);
        let _ = (claims.has_forged("a"), Claim::read_sealed(&value));
    }

    #[test]
    fn a_result_keeps_the_field_text_whole(domain: String, selector: String, reason: String) {
        let result = MethodResult::new(Method::Dkim, Outcome::Pass, Identity::Signer, &domain)
            .with_selector(&selector)
            .because(reason);
        let text = authentication_results("mx", None, &Authentication::of(vec![result], None, false));
        prop_assert_eq!(text.matches(['\r', '\n']).count(), 2, "{}", text);
        prop_assert!(Claim::read(&text).is_some(), "{}", text);
        prop_assert_eq!(text.matches(';').count() - text.split('"').nth(1).unwrap_or_default().matches(';').count(), 1);
    }
}
