//! SPF, DMARC, iprev, and forwarders.

use super::*;

#[tokio::test]
async fn spf_says_what_the_record_says() {
    let mut scene = scene();
    scene.helo = "[192.0.2.25]";
    let long: String = (0..12).map(|number| format!("include:i{number}.many.example ")).collect();
    for number in 0..12 {
        scene.zone.txt(&format!("i{number}.many.example"), "v=spf1 ip4:203.0.113.1 ?all");
    }
    let zone = &scene.zone;
    zone.txt("fail.example", "v=spf1 -all")
        .txt("soft.example", "v=spf1 ~all")
        .txt("neutral.example", "v=spf1 ?all")
        .txt("many.example", &format!("v=spf1 {long}-all"))
        .txt("broken.example", "v=spf1 ip4:nonsense -all")
        .txt("a.example", "v=spf1 a -all")
        .txt("mx.example", "v=spf1 mx -all")
        .address_of("a.example", PEER.parse().unwrap())
        .address_of("out.mx.example", PEER.parse().unwrap())
        .mx("mx.example", "out.mx.example");
    for (mail_from, wanted) in [
        ("x@lakeside.example", Outcome::Pass),
        ("x@a.example", Outcome::Pass),
        ("x@mx.example", Outcome::Pass),
        ("x@fail.example", Outcome::Fail),
        ("x@soft.example", Outcome::Softfail),
        ("x@neutral.example", Outcome::Neutral),
        ("x@many.example", Outcome::Permerror),
        ("x@broken.example", Outcome::Permerror),
        ("x@nothing.example", Outcome::None),
        ("x@[192.0.2.25]", Outcome::None),
    ] {
        scene.mail_from = mail_from;
        let found = scene.check(MAIL).await;
        assert_eq!(of(&found, Method::Spf).result, wanted, "{mail_from}");
    }
}

/// RFC 7208 §4.5: a domain has one record, wherever the way to it began.
#[tokio::test]
async fn several_spf_records_of_one_domain_are_a_permanent_error() {
    let mut scene = scene();
    scene.helo = "[192.0.2.25]";
    scene
        .zone
        .txt("two.example", "v=spf1 ip4:192.0.2.25 -all")
        .txt("two.example", "v=spf1 -all")
        .txt("unread.example", "v=spf1 ip4:nonsense -all")
        .txt("unread.example", "v=spf1 ip4:192.0.2.25 -all")
        .txt("end.example", "v=spf1 ip4:192.0.2.25 -all")
        .txt("end.example", "V=SPF1")
        .txt("includes.example", "v=spf1 include:two.example -all")
        .txt("deep.example", "v=spf1 include:includes.example ?all")
        .txt("redirects.example", "v=spf1 redirect=two.example")
        .txt("before.example", "v=spf1 ip4:192.0.2.25 include:two.example -all")
        .txt("masked.example", "v=spf1 ip4:nonsense -all")
        .txt("masked.example", "site-verification=1")
        .txt("others.example", "site-verification=1")
        .txt("others.example", "v=spf1 ip4:192.0.2.25 -all")
        .txt("others.example", "v=spf10 -all");
    for (domain, wanted) in [
        ("two.example", Outcome::Permerror),
        ("unread.example", Outcome::Permerror),
        ("end.example", Outcome::Permerror),
        ("includes.example", Outcome::Permerror),
        ("deep.example", Outcome::Permerror),
        ("redirects.example", Outcome::Permerror),
        ("masked.example", Outcome::Permerror),
        // What matches before it is asked for is not asked for.
        ("before.example", Outcome::Pass),
        ("others.example", Outcome::Pass),
    ] {
        let mail_from = format!("x@{domain}");
        scene.mail_from = Box::leak(mail_from.into_boxed_str());
        let found = scene.check(MAIL).await;
        assert_eq!(of(&found, Method::Spf).result, wanted, "{domain}");
    }
    (scene.mail_from, scene.helo) = ("", "two.example");
    assert_eq!(of(&scene.check(MAIL).await, Method::Spf).result, Outcome::Permerror, "of HELO");
}

/// RFC 9989 §4.10: several policies of one name are none, and the domain above may have one.
#[tokio::test]
async fn several_policies_of_one_domain_are_as_good_as_none() {
    let mut scene = scene();
    scene.peer = "198.51.100.7";
    scene
        .zone
        .txt("_dmarc.two.example", "v=DMARC1; p=reject")
        .txt("_dmarc.two.example", "v=DMARC1; p=none")
        .txt("_dmarc.low.lakeside.example", "v=DMARC1; p=none")
        .txt("_dmarc.low.lakeside.example", "v=DMARC1;p=none")
        .txt("_dmarc.one.example", "v=DMARC1; p=reject")
        .txt("_dmarc.one.example", "v=DMARC12; p=none");
    for (author, wanted, requested) in [
        ("two.example", Outcome::None, None),
        ("low.lakeside.example", Outcome::Fail, Some(RequestedPolicy::Quarantine)),
        ("one.example", Outcome::Fail, Some(RequestedPolicy::Reject)),
    ] {
        let found = scene.check(MAIL.replace("ann@lakeside.example", &format!("ann@{author}"))).await;
        let dmarc = of(&found, Method::Dmarc);
        assert_eq!((dmarc.result, dmarc.policy.map(|policy| policy.requested)), (wanted, requested), "{author}");
    }
}

#[tokio::test]
async fn with_the_null_reverse_path_the_name_of_helo_is_asked() {
    let mut scene = scene();
    (scene.mail_from, scene.helo) = ("", "lakeside.example");
    let found = scene.check(MAIL).await;
    assert_eq!(told(&found), ["spf.helo=pass", "iprev=permerror", "dkim=none", "dmarc=pass"]);
    assert!(found.verified.iter().all(|fact| fact.fact != crate::mail::authentication::FactKind::EnvelopeDomain));
    scene.helo = "";
    assert_eq!(told(&scene.check(MAIL).await), ["spf.helo=none", "iprev=permerror", "dkim=none", "dmarc=fail"]);
}

#[tokio::test]
async fn dmarc_takes_the_policy_and_the_alignment_of_the_authors_domain() {
    let mut scene = scene();
    scene.peer = "198.51.100.7";
    let zone = &scene.zone;
    zone.txt("_dmarc.strict.example", "v=DMARC1; p=quarantine; adkim=s; aspf=s")
        .txt("_dmarc.none.example", "v=DMARC1; p=none")
        .txt("_dmarc.test.example", "v=DMARC1; p=reject; t=y")
        .address_of("sub.lakeside.example", PEER.parse().unwrap());
    for domain in ["strict.example", "sub.strict.example", "sub.lakeside.example"] {
        zone.txt(&format!("s._domainkey.{domain}"), &scene.key.record);
    }
    let mail = |domain: &str| MAIL.replace("ann@lakeside.example", &format!("ann@{domain}"));
    use RequestedPolicy::{None, Quarantine, Reject};
    for (author, signer, wanted, requested) in [
        ("lakeside.example", "lakeside.example", Outcome::Pass, Some(Reject)),
        ("lakeside.example", "sub.lakeside.example", Outcome::Pass, Some(Reject)),
        ("lakeside.example", "strict.example", Outcome::Fail, Some(Reject)),
        ("sub.lakeside.example", "strict.example", Outcome::Fail, Some(Quarantine)),
        ("sub.lakeside.example", "lakeside.example", Outcome::Pass, Some(Quarantine)),
        ("strict.example", "strict.example", Outcome::Pass, Some(Quarantine)),
        ("strict.example", "sub.strict.example", Outcome::Fail, Some(Quarantine)),
        ("none.example", "strict.example", Outcome::Fail, Some(None)),
        ("test.example", "strict.example", Outcome::Fail, Some(Quarantine)),
        ("nothing.example", "strict.example", Outcome::None, Option::None),
    ] {
        let found = scene.check(scene.key.sign(signer, &mail(author))).await;
        let dmarc = of(&found, Method::Dmarc);
        let asked = dmarc.policy.map(|policy| policy.requested);
        assert_eq!((dmarc.result, asked), (wanted, requested), "{author} signed by {signer}");
        assert_eq!(dmarc.domain, author);
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_no_name() {
    let scene = scene();
    let peer = PEER.parse().unwrap();
    scene.zone.name_of(peer, "mx.elsewhere.example");
    assert_eq!(of(&scene.check(MAIL).await, Method::Iprev).result, Outcome::Fail);
    scene.zone.name_of(peer, "mx.lakeside.example").address_of("mx.lakeside.example", peer);
    let found = scene.check(MAIL).await;
    let iprev = of(&found, Method::Iprev);
    assert_eq!((iprev.result, iprev.domain.as_str()), (Outcome::Pass, "mx.lakeside.example"));
}

#[tokio::test]
async fn of_what_a_relay_hands_over_only_signatures_are_judged() {
    let mut scene = scene();
    scene.peer = "127.0.0.1";
    let found = scene.check(MAIL).await;
    assert_eq!(told(&found), ["spf=none", "dkim=none", "dmarc=permerror"]);
    assert_eq!(found.failure(), None, "nothing failed");
    let found = scene.check(scene.key.sign("lakeside.example", MAIL)).await;
    assert_eq!(told(&found), ["spf=none", "dkim=pass", "dmarc=pass"]);
}

/// The mail server that shows it has the address of a relay here; its client is who is judged.
#[tokio::test]
async fn at_the_milter_door_the_client_of_the_mail_server_is_judged() {
    let mut scene = scene();
    (scene.peer, scene.helo) = ("127.0.0.1", "");
    let client = PEER.parse().unwrap();
    scene.zone.name_of(client, "mx.lakeside.example").address_of("mx.lakeside.example", client);
    scene.zone.txt("mx.lakeside.example", "v=spf1 a -all");
    let shown = |address: &str, authenticated: Option<&str>| {
        Some(Box::new(MilterEnvelope {
            reverse_path: "ann@lakeside.example".into(),
            client_address: address.parse().ok(),
            client_name: Some("mx.lakeside.example".into()),
            helo: Some("mx.lakeside.example".into()),
            authenticated: authenticated.map(ToOwned::to_owned),
            ..MilterEnvelope::default()
        }))
    };
    scene.milter = shown(PEER, None);
    let found = scene.check(MAIL).await;
    assert_eq!(told(&found), ["spf=pass", "spf.helo=pass", "iprev=pass", "dkim=none", "dmarc=pass"]);
    let trace = crate::mail::authentication::Trace::of(&scene.manifest(), "mx.in.example", &found);
    assert!(trace.authentication_results.unwrap().contains(&format!("policy.iprev={PEER}")));
    scene.milter = shown("::ffff:198.51.100.7", None);
    let found = scene.check(MAIL).await;
    assert_eq!(told(&found), ["spf=fail", "spf.helo=fail", "iprev=permerror", "dkim=none", "dmarc=fail"]);
    let nothing_of_the_sender = ["spf=none", "dkim=none", "dmarc=permerror"];
    scene.milter = shown("198.51.100.7", Some("ann"));
    assert_eq!(told(&scene.check(MAIL).await), nothing_of_the_sender, "who signed in may send from anywhere");
    for local in ["none", "127.0.0.1"] {
        scene.milter = shown(local, None);
        assert_eq!(told(&scene.check(MAIL).await), nothing_of_the_sender, "{local}");
    }
    // An address that cannot be read is not the null reverse-path, which would have HELO speak for it.
    (scene.milter, scene.mail_from) = (shown(PEER, None), "");
    let found = scene.check(MAIL).await;
    assert_eq!(told(&found), ["spf=none", "iprev=pass", "dkim=none", "dmarc=fail"]);
}

#[tokio::test]
async fn a_listed_forwarder_is_believed_when_it_hands_over_itself() {
    let mut scene = scene();
    (scene.peer, scene.mail_from) = ("198.51.100.7", "srs@forward.example");
    let mail = format!("Authentication-Results: mx.forward.example; dmarc=pass header.from=lakeside.example\r\n{MAIL}");
    assert_eq!(scene.check(&mail).await.failure(), Some(RequestedPolicy::Reject));
    let forwarder = |network: &str| Forwarder {
        authserv_id: Domain::parse("mx.forward.example").unwrap(),
        network: network.parse().unwrap(),
    };
    scene.settings.forwarders = vec![forwarder("203.0.113.0/24")];
    assert_eq!(scene.check(&mail).await.voucher, None, "anybody can write its name");
    scene.settings.forwarders = vec![forwarder("198.51.100.0/24")];
    let found = scene.check(&mail).await;
    assert_eq!(found.voucher.as_ref().map(|voucher| voucher.by), Some(VoucherKind::AuthservId));
    assert_eq!(found.failure(), None);
    let other = mail.replace("header.from=lakeside.example", "header.from=forward.example");
    assert_eq!(scene.check(&other).await.voucher, None);
}

#[tokio::test]
async fn results_in_our_own_name_are_a_forgery() {
    let scene = scene();
    let found = scene.check(format!("Authentication-Results: MX.in.example; dmarc=pass\r\n{MAIL}")).await;
    assert!(found.forged_results);
    assert!(!scene.check(format!("Authentication-Results: mx.out.example; dmarc=pass\r\n{MAIL}")).await.forged_results);
}
