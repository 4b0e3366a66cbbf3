//! Signatures and chains of seals.

use super::*;

#[tokio::test]
async fn mail_of_its_own_domain_passes_everything() {
    let scene = scene();
    scene.zone.name_of(PEER.parse().unwrap(), "mx.lakeside.example");
    scene.zone.address_of("mx.lakeside.example", PEER.parse().unwrap());
    scene.zone.txt("mx.lakeside.example", "v=spf1 a -all");
    let found = scene.check(scene.key.sign("lakeside.example", MAIL)).await;
    assert_eq!(told(&found), ["spf=pass", "spf.helo=pass", "iprev=pass", "dkim=pass", "dmarc=pass"]);
    assert_eq!(found.author_domain(), Some("lakeside.example"));
    let policy = of(&found, Method::Dmarc).policy.unwrap();
    assert!(policy.spf_aligned && policy.dkim_aligned && policy.requested == RequestedPolicy::Reject);
    assert_eq!(of(&found, Method::Dkim).selector.as_deref(), Some("s"));
    assert_eq!(found.verified.len(), 4, "{:?}", found.verified);
}

#[tokio::test]
async fn a_forwarded_message_passes_by_its_signature_alone() {
    let mut scene = scene();
    (scene.peer, scene.mail_from, scene.helo) = ("198.51.100.7", "srs@forward.example", "[198.51.100.7]");
    scene.zone.txt("forward.example", "v=spf1 ~all");
    let found = scene.check(scene.key.sign("lakeside.example", MAIL)).await;
    assert_eq!(told(&found), ["spf=softfail", "iprev=permerror", "dkim=pass", "dmarc=pass"]);
}

#[tokio::test]
async fn what_was_changed_behind_the_signer_fails() {
    let mut scene = scene();
    scene.peer = "198.51.100.7";
    let good = scene.key.sign("lakeside.example", MAIL);
    let changed = [
        (good.replace("proof", "prove"), "dkim=fail", "the body was changed"),
        (good.replace("Next", "Last"), "dkim=fail", "the header was changed, or the key is another"),
        (good.replace("s=s;", "s=t;"), "dkim=permerror", "there is no key"),
        (
            good.replace("d=lakeside.example", "d=seaside.example"),
            "dkim=fail",
            "the header was changed, or the key is another",
        ),
        (good.replace("v=1;", ""), "dkim=permerror", "it does not say which version it is of"),
        (
            good.replace("; bh=", "; l=5; bh="),
            "dkim=policy",
            "its body length tag (l=) leaves the end of the body unsigned",
        ),
        (good.replace("a=ed25519-sha256", "a=rsa-sha1"), "dkim=policy", "rsa-sha1 is no longer believed"),
        (good.replace(":From;", ":Cc;"), "dkim=permerror", "it does not cover From"),
        (good.replace("b=", "x="), "dkim=permerror", "the signature cannot be read"),
    ];
    scene.zone.txt("s._domainkey.seaside.example", &Key::new().record);
    for (mail, wanted, reason) in changed {
        assert_ne!(mail, good);
        let found = scene.check(&mail).await;
        assert!(told(&found).contains(&wanted.to_owned()), "{mail}: {found:?}");
        assert_eq!(of(&found, Method::Dkim).reason.as_deref(), Some(reason));
        assert_eq!(of(&found, Method::Dmarc).result, Outcome::Fail);
        assert!(found.author_domain().is_none());
    }
}

#[tokio::test]
async fn a_signature_counts_only_while_it_and_its_key_are_valid() {
    let scene = scene();
    // The verifier asks the system's clock, so that the past is written in.
    let expired = scene.key.sign("lakeside.example", MAIL).replacen(" t=", " t=1; x=2; y=", 1);
    let found = scene.check(&expired).await;
    assert_ne!(of(&found, Method::Dkim).result, Outcome::Pass, "{found:?}");
    assert_eq!(of(&found, Method::Dkim).reason.as_deref(), Some("the signature has expired"), "{expired}");

    scene.zone.txt("s._domainkey.revoked.example", "v=DKIM1; p=");
    let found = scene.check(scene.key.sign("revoked.example", MAIL)).await;
    assert_eq!(of(&found, Method::Dkim).reason.as_deref(), Some("the key was revoked"));

    // The public half of a key of 512 bits.
    let short = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANGB0sMwCqWC9e1k2EwyfqZ6cm1rTA5bMJ9Y8q0c+5nS5M0hHtyLJv4w1wqO\
                 jvKwqg7FqRkzS8tFh3pQ0Fv0kKkCAwEAAQ==";
    scene.zone.txt("s._domainkey.short.example", &format!("v=DKIM1; k=rsa; p={short}"));
    let mail = scene.key.sign("short.example", MAIL).replace("ed25519-sha256", "rsa-sha256");
    let found = scene.check(mail).await;
    assert_eq!(of(&found, Method::Dkim).result, Outcome::Policy, "{found:?}");
    assert_eq!(of(&found, Method::Dkim).reason.as_deref(), Some("the key has fewer than 1,024 bits"));
}

#[tokio::test]
async fn blank_lines_at_the_end_do_not_break_a_relaxed_signature() {
    let scene = scene();
    let relaxed =
        scene.key.sign_with("lakeside.example", MAIL, |signer| signer.body_canonicalization(Canonicalization::Relaxed));
    for ending in ["\r\n", " \r\n", "\t \r\n\r\n  \r\n"] {
        let found = scene.check(format!("{relaxed}{ending}")).await;
        assert_eq!(of(&found, Method::Dkim).result, Outcome::Pass, "{ending:?}");
    }
    let found = scene.check(format!("{relaxed} \r\nmore\r\n")).await;
    assert_eq!(of(&found, Method::Dkim).result, Outcome::Fail);
    let simple =
        scene.key.sign_with("lakeside.example", MAIL, |signer| signer.body_canonicalization(Canonicalization::Simple));
    let found = scene.check(format!("{simple} \r\n")).await;
    assert_eq!(of(&found, Method::Dkim).result, Outcome::Fail, "simple keeps them");
}

#[tokio::test]
async fn of_a_hundred_signatures_ten_are_checked_and_the_authors_go_first() {
    let scene = scene();
    let mut mail = scene.key.sign("lakeside.example", MAIL);
    for number in 0..100 {
        let domain = format!("d{number}.example");
        let signature = scene.key.sign(&domain, MAIL);
        mail = format!("{}{mail}", signature.strip_suffix(MAIL).unwrap());
    }
    let before = scene.zone.asked();
    let found = scene.check(&mail).await;
    let dkim: Vec<_> = found.results.iter().filter(|result| result.method == Method::Dkim).collect();
    assert_eq!(dkim.len(), 11);
    assert_eq!(dkim[0].reason.as_deref(), Some("only the first 10 signatures were checked"));
    assert_eq!((dkim[1].domain.as_str(), dkim[1].result), ("lakeside.example", Outcome::Pass));
    assert!(scene.zone.asked() - before < 40, "{}", scene.zone.asked() - before);
}

/// `mail`, sealed by `domain` after it was checked there.
async fn seal(scene: &Scene, domain: &str, mail: &str) -> String {
    let authenticator = scene.authenticator();
    let dns = authenticator.dns.as_ref().unwrap();
    let message = AuthenticatedMessage::parse(mail.as_bytes()).unwrap();
    let signatures: Vec<DkimOutput<'_>> = dns.verify_dkim(&message).await;
    let spf = SpfOutput::default();
    let dmarc = dns.verify_dmarc(DmarcParameters::new(&message, &signatures, "", &spf)).await;
    let chain = dns.verify_arc(&message).await;
    let results = AuthenticationResults::new(domain).with_dmarc_result(&dmarc);
    let sealer = ArcSealer::from_key(scene.key.key()).domain(domain).selector("s").headers(SIGNED);
    let set = sealer.seal(&message, &results, &chain).unwrap();
    scene.zone.txt(&format!("s._domainkey.{domain}"), &scene.key.record);
    format!("{}{mail}", set.to_header())
}

#[tokio::test]
async fn a_listed_sealer_is_believed_where_a_list_broke_the_signature() {
    let mut scene = scene();
    let original = scene.key.sign("lakeside.example", MAIL);
    // The list changes the subject and seals what it sends on: its own finding is of the original.
    let changed = original.replace("Subject: Next", "Subject: [deals] Next");
    let sealed_original = seal(&scene, "lists.example", &original).await;
    let head = sealed_original.strip_suffix(&original).unwrap();
    assert!(head.contains("dmarc=pass"), "{head}");
    (scene.peer, scene.mail_from) = ("198.51.100.7", "bounce@lists.example");

    let found = scene.check(&sealed_original).await;
    assert_eq!(of(&found, Method::Arc).result, Outcome::Pass);
    assert_eq!(of(&found, Method::Dmarc).result, Outcome::Pass);
    assert_eq!(found.voucher, None, "nobody needs to vouch for it");

    // The chain holds over the changed message only when the list seals it after the change.
    let broken = format!("{head}{changed}");
    let found = scene.check(&broken).await;
    assert_eq!(of(&found, Method::Arc).result, Outcome::Fail, "{found:?}");

    let resealed = reseal(&scene, &changed).await;
    scene.settings.sealers = Vec::new();
    let found = scene.check(&resealed).await;
    assert_eq!((of(&found, Method::Arc).result, of(&found, Method::Dmarc).result), (Outcome::Pass, Outcome::Fail));
    assert_eq!(found.failure(), Some(RequestedPolicy::Reject), "an unlisted sealer may say what it likes");

    scene.settings.sealers = vec![Domain::parse("lists.example").unwrap()];
    let found = scene.check(&resealed).await;
    assert_eq!(of(&found, Method::Dmarc).result, Outcome::Fail);
    let voucher = found.voucher.clone().unwrap();
    assert_eq!((voucher.by, voucher.id.as_str()), (VoucherKind::Arc, "lists.example"));
    assert_eq!(found.failure(), None);
    assert!(!FailurePolicy::Reject.refuses(&found));
    let found = scene.check(resealed.replace("proof", "prove")).await;
    assert_eq!(found.voucher, None, "the chain must hold");
}

/// The changed message, with a seal over it that says what was found of the original.
async fn reseal(scene: &Scene, changed: &str) -> String {
    let authenticator = scene.authenticator();
    let dns = authenticator.dns.as_ref().unwrap();
    let original = scene.key.sign("lakeside.example", MAIL);
    let first = AuthenticatedMessage::parse(original.as_bytes()).unwrap();
    let signatures = dns.verify_dkim(&first).await;
    let spf = SpfOutput::default();
    let dmarc = dns.verify_dmarc(DmarcParameters::new(&first, &signatures, "", &spf)).await;
    let results = AuthenticationResults::new("lists.example").with_dmarc_result(&dmarc);
    let message = AuthenticatedMessage::parse(changed.as_bytes()).unwrap();
    let chain = dns.verify_arc(&message).await;
    let sealer = ArcSealer::from_key(scene.key.key()).domain("lists.example").selector("s").headers(SIGNED);
    format!("{}{changed}", sealer.seal(&message, &results, &chain).unwrap().to_header())
}

#[tokio::test]
async fn a_sealer_behind_a_listed_one_must_be_listed_too() {
    let mut scene = scene();
    let original = scene.key.sign("lakeside.example", MAIL);
    let changed = original.replace("Subject: Next", "Subject: [deals] Next");
    scene.zone.txt("s._domainkey.lists.example", &scene.key.record);
    let once = reseal(&scene, &changed).await;
    let twice = seal(&scene, "later.example", &once).await;
    (scene.peer, scene.mail_from) = ("198.51.100.7", "bounce@later.example");
    scene.settings.sealers = vec![Domain::parse("lists.example").unwrap()];
    let found = scene.check(&twice).await;
    assert_eq!(of(&found, Method::Arc).result, Outcome::Pass, "{found:?}");
    assert_eq!(found.voucher, None, "who came later could have changed it");
    scene.settings.sealers.push(Domain::parse("later.example").unwrap());
    assert_eq!(scene.check(&twice).await.voucher.unwrap().id, "lists.example");
}

/// The signatures of the original in an Exchange report that wraps `original`.
async fn of_original(scene: &Scene, original: &str) -> Vec<MethodResult> {
    use crate::mail::journal::ReportFormat;
    use crate::mail::reading::{Reader, open};
    let report = format!(
        "From: Journal <journal@lakeside.example>\r\nTo: journal@in.example\r\nX-MS-Journal-Report:\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
         Sender: ann@lakeside.example\r\nSubject: Next steps\r\nMessage-ID: <1@lakeside.example>\r\n\
         To: bob@harbor.example\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--b--\r\n"
    );
    let (routes, limits) = (crate::mail::copy::RouteAddresses::default(), Limits::default());
    let opened = open(report.as_bytes(), Reader::Journal(ReportFormat::Exchange), &routes, &limits);
    let (bytes, message) = opened.original(report.as_bytes()).unwrap();
    scene.authenticator().check_original(bytes, message, &scene.manifest()).await
}

#[tokio::test]
async fn the_original_in_a_report_is_judged_by_its_signatures_alone_and_to_the_byte() {
    let scene = scene();
    let signed = scene.key.sign("lakeside.example", MAIL);
    let of = |results: &[MethodResult]| {
        results.iter().map(|one| (one.method, one.result, one.domain.clone())).collect::<Vec<_>>()
    };
    let domain = "lakeside.example".to_owned();
    let found = of_original(&scene, &signed).await;
    assert_eq!(of(&found), [(Method::Dkim, Outcome::Pass, domain.clone())]);
    let found = of_original(&scene, &signed.replace("proof", "prooF")).await;
    assert_eq!(of(&found), [(Method::Dkim, Outcome::Fail, domain)]);
    let found = of_original(&scene, MAIL).await;
    assert_eq!(of(&found), [(Method::Dkim, Outcome::None, String::new())], "which shows nothing");
}
