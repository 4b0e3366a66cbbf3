//! Ambiguous authors, trouble with DNS, and bytes that are no mail.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn an_author_that_can_be_read_in_two_ways_is_never_authenticated() {
    let scene = scene();
    let plain = "From: Ann <ann@lakeside.example>";
    for from in [
        "From: Ann <ann@lakeside.example>\r\nFrom: Eve <eve@evil.example>",
        "From: Ann <ann@lakeside.example>\r\nFROM : ann@lakeside.example",
        "From: ann@lakeside.example, ben@lakeside.example",
        "From: ann@lakeside.example, eve@evil.example",
        "From: Staff: ann@lakeside.example;",
        "From: <ann@lakeside.example> <eve@evil.example>",
        "From: eve@evil.example <ann@lakeside.example>",
        "From: \"ann@evil.example\"@lakeside.example",
        "From: ann@lakeside.example (eve@evil.example)",
        "From: ann@lakeside.example\0",
        "From: =?utf-8?q?eve=40evil.example?=@lakeside.example",
        "From: Ann",
        "From:",
        "X-From: ann@lakeside.example",
    ] {
        // SPF passes for the domain, which must not be enough.
        let found = scene.check(scene.key.sign("lakeside.example", MAIL).replace(plain, from)).await;
        let dmarc = of(&found, Method::Dmarc);
        assert_eq!(dmarc.result, Outcome::Permerror, "{from}");
        assert!(found.author_domain().is_none(), "{from}");
    }
}

#[tokio::test]
async fn trouble_with_dns_is_temperror_and_never_a_failure() {
    let mut scene = scene();
    scene.settings.budget = Duration::from_millis(800);
    let mail = scene.key.sign("lakeside.example", MAIL);
    for trouble in [Trouble::Fails, Trouble::Silent] {
        scene.zone.trouble_everywhere(Some(trouble));
        let begun = Instant::now();
        let found = scene.check(&mail).await;
        assert_eq!(
            told(&found),
            ["spf=temperror", "spf.helo=temperror", "iprev=temperror", "dkim=temperror", "dmarc=temperror"]
        );
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert!(found.verified.is_empty() && found.failure().is_none());
        scene.zone.trouble_everywhere(None);
    }
    scene.zone.trouble_everywhere(Some(Trouble::Truncated));
    assert_eq!(
        of(&scene.check(&mail).await, Method::Dmarc).result,
        Outcome::Pass,
        "what does not fit is asked for by TCP"
    );
}

#[tokio::test]
async fn slow_records_of_others_do_not_hide_the_authors_policy() {
    let mut scene = scene();
    scene.settings.budget = Duration::from_millis(1_500);
    (scene.peer, scene.mail_from, scene.helo) = ("198.51.100.7", "eve@slow.example", "slow.example");
    scene.zone.trouble_at("slow.example", Trouble::Silent).trouble_at("s._domainkey.slow.example", Trouble::Silent);
    let found = scene.check(scene.key.sign("slow.example", MAIL)).await;
    assert_eq!(of(&found, Method::Spf).result, Outcome::Temperror);
    assert_eq!(of(&found, Method::Dkim).result, Outcome::Temperror);
    assert_eq!(found.failure(), Some(RequestedPolicy::Reject), "{found:?}");
}

#[tokio::test]
async fn a_record_of_one_protocol_is_not_taken_for_one_of_another() {
    let mut scene = scene();
    (scene.peer, scene.mail_from) = ("198.51.100.7", "eve@evil.example");
    scene.zone.txt("evil.example", "v=spf1 include:_dmarc.lakeside.example redirect=_dmarc.lakeside.example");
    let found = scene.check(scene.key.sign_with("evil.example", MAIL, |signer| signer)).await;
    assert_eq!(found.failure(), Some(RequestedPolicy::Reject), "{found:?}");
}

#[tokio::test]
async fn while_dns_is_away_mail_waits_a_tenth_of_the_budget() {
    let mut scene = scene();
    scene.settings.budget = Duration::from_millis(400);
    scene.zone.trouble_everywhere(Some(Trouble::Silent));
    let authenticator = scene.authenticator();
    for _ in 0..AWAY {
        let _ = scene.check_by(&authenticator, MAIL).await;
    }
    assert_eq!(authenticator.budget(), Duration::from_millis(40));
    let begun = Instant::now();
    assert_eq!(of(&scene.check_by(&authenticator, MAIL).await, Method::Dmarc).result, Outcome::Temperror);
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    scene.zone.trouble_everywhere(None);
    let deadline = Instant::now() + Duration::from_secs(20);
    while authenticator.budget() < scene.settings.budget {
        let _ = scene.check_by(&authenticator, MAIL).await;
        assert!(Instant::now() < deadline, "the first answer brings the budget back");
    }
}

#[tokio::test]
async fn headers_without_end_cost_bounded_work() {
    let scene = scene();
    let many = "X: y\r\n".repeat(100_000);
    let long = format!("X: {}\r\n", "y".repeat(5_000_000));
    let named = "a:".repeat(50_000);
    let names_all = scene.key.sign("lakeside.example", MAIL).replace("h=Message-ID:", &format!("h={named}Message-ID:"));
    for mail in
        [format!("{many}{MAIL}"), format!("{long}{MAIL}"), names_all, "DKIM-Signature: v=1\r\n".repeat(4_000) + MAIL]
    {
        let begun = std::time::Instant::now();
        let found = scene.check(&mail).await;
        assert_ne!(of(&found, Method::Dkim).result, Outcome::Pass);
        assert!(found.results.len() < 40, "{}", found.results.len());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_scripted_resolver_checks_nothing() {
    let scene = scene();
    let authenticator = Authenticator::new(&Resolver::scripted(), scene.settings.clone());
    assert!(!scene.check_by(&authenticator, MAIL).await.checked);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_checked_without_a_panic(
        names in proptest::collection::vec("(DKIM-Signature|ARC-Seal|ARC-Message-Signature|ARC-Authentication-Results|From|Authentication-Results|DKIM2-Signature)", 0..6),
        values in proptest::collection::vec("[ -~\\r\\n]{0,60}|( [abdhilstvx]=[!-~]{0,8};){0,9}", 6),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let header: String = names.iter().zip(&values).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let bytes = [header.as_bytes(), b"\r\n", &body].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scene = scene();
        let authenticator = scene.authenticator();
        let view = message::read(&bytes, &Limits::default());
        let manifest = scene.manifest();
        let check = Check {
            dns: authenticator.dns.as_ref().unwrap(),
            resolver: &authenticator.resolver,
            settings: &scene.settings,
            message: &view,
            manifest: &manifest,
            until: Times::new(Duration::from_secs(5)),
        };
        // Not by the door that catches panics.
        let found = runtime.block_on(check.run(&bytes));
        prop_assert!(found.author_domain().is_none_or(|domain| domain == "lakeside.example"));
    }
}
