use super::*;
use proptest::prelude::*;

const PROOF: &str = "connex-verification=abc234";

fn texts(all: &[&str]) -> Told<String> {
    Some(all.iter().map(|&text| text.to_owned()).collect())
}

/// DNS that answered every question with nothing.
fn nothing() -> Held {
    Held {
        proof_texts: texts(&[]),
        proof_aliases: texts(&[]),
        exchangers: Some(Vec::new()),
        texts: texts(&[]),
        policies: vec![("acme.example".into(), texts(&[]))],
        mta_sts: texts(&[]),
        tls_rpt: texts(&[]),
        keys: vec![texts(&[])],
    }
}

/// A key whose record needs two strings of a text.
fn key() -> KeyRecord {
    KeyRecord { name: key_name("s1", "acme.example"), record: format!("v=DKIM1; k=rsa; p={}", "M".repeat(300)) }
}

fn compared(takes_mail: bool, held: &Held) -> Vec<Check> {
    compared_with(takes_mail, &[], held)
}

fn compared_with(takes_mail: bool, keys: &[KeyRecord], held: &Held) -> Vec<Check> {
    let domain = Domain::parse("acme.example").unwrap();
    let hosts = ["mx.gate.example".to_owned(), "mx2.gate.example".to_owned()];
    compare(&Wanted { domain: &domain, proof: PROOF, hosts: &hosts, takes_mail, keys }, held)
}

fn standings(takes_mail: bool, held: &Held) -> String {
    let checks = compared(takes_mail, held);
    checks.iter().map(|check| format!("{} {}\n", check.record.as_str(), check.standing.as_str())).collect()
}

fn one(purpose: Purpose, held: &Held) -> Check {
    compared(true, held).into_iter().find(|check| check.record == purpose).unwrap()
}

#[test]
fn what_is_not_there_is_missing_with_a_line_for_the_zone_and_only_where_the_domain_needs_it() {
    assert_eq!(
        standings(false, &nothing()),
        "ownership missing\nmx not_needed\nspf missing\ndkim not_needed\ndmarc missing\nmta_sts not_needed\n\
         tls_rpt not_needed\n"
    );
    let lines: Vec<String> = compared(true, &nothing()).into_iter().flat_map(|check| check.zone_lines).collect();
    assert_eq!(
        lines,
        [
            "_connex.acme.example. IN TXT \"connex-verification=abc234\"",
            "_connex.acme.example. IN CNAME abc234.mx.gate.example.",
            "acme.example. IN MX 10 mx.gate.example.",
            "acme.example. IN TXT \"v=spf1 mx ~all\"",
            "_dmarc.acme.example. IN TXT \"v=DMARC1; p=none\"",
            "_mta-sts.acme.example. IN TXT \"v=STSv1; id=1\"",
            "_smtp._tls.acme.example. IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@acme.example\"",
        ]
    );
}

#[test]
fn the_lines_that_are_proposed_are_right_once_they_stand_there() {
    let mut held = nothing();
    for check in compared(true, &nothing()) {
        let Some((_, value)) = check.zone_lines.first().and_then(|line| line.split_once(" IN ")) else { continue };
        let text = value.strip_prefix("TXT ").map(|text| vec![text.trim_matches('"').to_owned()]);
        match check.record {
            Purpose::Ownership => held.proof_texts = text,
            Purpose::Mx => held.exchangers = Some(vec![(10, value.trim_start_matches("MX 10 ").to_owned())]),
            Purpose::Spf => held.texts = text,
            Purpose::Dmarc => held.policies[0].1 = text,
            Purpose::MtaSts => held.mta_sts = text,
            Purpose::TlsRpt => held.tls_rpt = text,
            Purpose::Dkim | Purpose::BounceHost => {}
        }
    }
    assert_eq!(
        standings(true, &held),
        "ownership ok\nmx ok\nspf ok\ndkim not_needed\ndmarc ok\nmta_sts ok\ntls_rpt ok\n"
    );
}

#[test]
fn what_dns_did_not_say_is_unknown_and_never_missing() {
    assert_eq!(
        standings(true, &Held { policies: vec![("acme.example".into(), None)], ..Held::default() }),
        "ownership unknown\nmx unknown\nspf unknown\ndkim not_needed\ndmarc unknown\nmta_sts unknown\ntls_rpt unknown\n"
    );
    // Half an answer is enough where it is the right one, and else none.
    let alias = Held { proof_aliases: texts(&["abc234.mx.gate.example."]), ..Held::default() };
    assert_eq!(one(Purpose::Ownership, &alias).standing, Standing::Ok);
    let other = Held { proof_texts: texts(&["else"]), ..Held::default() };
    assert_eq!(one(Purpose::Ownership, &other).standing, Standing::Unknown);
}

#[test]
fn a_domain_is_proven_by_the_text_or_by_an_alias_whose_first_label_is_the_proof() {
    let proven = |text: &str, alias: &str| is_proof(PROOF, &[text.to_owned()], &[alias.to_owned()]);
    assert!(proven(PROOF, ""));
    assert!(proven("", "ABC234.mx.gate.example."));
    assert!(proven("", "abc234.former-name.example."), "the gateway may be renamed");
    for (text, alias) in [
        ("abc234", "x."),
        ("connex-verification=ABC234", ""),
        ("", "abc2345.mx.gate.example."),
        ("", "mx.abc234.gate.example."),
        ("", "connex-verification=abc234.mx.gate.example."),
    ] {
        assert!(!proven(text, alias), "{text:?} {alias:?}");
    }
    for empty in ["", "connex-verification="] {
        assert!(!is_proof(empty, &[String::new()], &[String::new(), ".".into()]), "nothing proves nothing");
    }
    let held = Held { proof_aliases: texts(&["pages.host.example."]), ..nothing() };
    let check = one(Purpose::Ownership, &held);
    assert_eq!((check.standing, check.found), (Standing::Differs, vec!["CNAME pages.host.example.".to_owned()]));
}

#[test]
fn mail_comes_here_where_every_best_mail_server_is_this_gateway() {
    let standing = |all: &[(u16, &str)]| {
        let exchangers = Some(all.iter().map(|&(preference, host)| (preference, host.to_owned())).collect());
        one(Purpose::Mx, &Held { exchangers, ..nothing() }).standing
    };
    assert_eq!(standing(&[(5, "MX.gate.example.")]), Standing::Ok);
    assert_eq!(standing(&[(5, "mx.gate.example."), (5, "mx2.gate.example.")]), Standing::Ok);
    assert_eq!(standing(&[(20, "backup.example."), (5, "mx.gate.example.")]), Standing::Ok, "others may stand behind");
    assert_eq!(standing(&[(5, "other.example."), (5, "mx.gate.example.")]), Standing::Differs);
    assert_eq!(standing(&[(5, "other.example."), (9, "mx.gate.example.")]), Standing::Differs);
    // RFC 7505: it takes no mail at all.
    assert_eq!(standing(&[(0, ".")]), Standing::Differs);
}

#[test]
fn of_spf_there_is_one_record_which_does_not_let_everybody_send() {
    let standing = |all: &[&str]| one(Purpose::Spf, &Held { texts: texts(all), ..nothing() }).standing;
    assert_eq!(standing(&["v=spf1 include:_spf.example -all", "site-verification=1"]), Standing::Ok);
    assert_eq!(standing(&["v=spf10 -all", "spf"]), Standing::Missing);
    assert_eq!(standing(&["v=spf1 -all", "V=SPF1 ~all"]), Standing::Differs);
    assert_eq!(standing(&["v=spf1 mx +ALL"]), Standing::Differs);
    let check = one(Purpose::Spf, &Held { texts: texts(&["v=spf1 -all", "v=spf1 ~all"]), ..nothing() });
    assert!(check.zone_lines.is_empty(), "one more record would make it no better");
}

#[test]
fn a_dmarc_policy_is_the_domains_own_or_the_nearest_one_above() {
    let of = |policies: Vec<(String, Told<String>)>| one(Purpose::Dmarc, &Held { policies, ..nothing() });
    let own = |all: &[&str]| of(vec![("acme.example".into(), texts(all))]).standing;
    assert_eq!(own(&["v=DMARC1; p=reject; rua=mailto:a@b.example", "else"]), Standing::Ok);
    assert_eq!(own(&["v=DMARC1;p=quarantin"]), Standing::Differs);
    assert_eq!(own(&["v=DMARC1; p=none", "v=DMARC1; p=reject"]), Standing::Differs);
    assert_eq!(own(&["v=DMARC2; p=none"]), Standing::Missing);
    let inherited =
        of(vec![("acme.example".into(), texts(&["else"])), ("example".into(), texts(&["v=DMARC1; p=none"]))]);
    assert_eq!((inherited.standing, inherited.note.as_deref()), (Standing::Ok, Some("it stands at example")));
    let unsure = of(vec![("acme.example".into(), texts(&[])), ("example".into(), None)]);
    assert_eq!(unsure.standing, Standing::Unknown);
}

#[test]
fn texts_of_transport_security_are_one_and_complete() {
    let sts = |all: &[&str]| one(Purpose::MtaSts, &Held { mta_sts: texts(all), ..nothing() }).standing;
    assert_eq!(sts(&["v=STSv1; id=20261101T000000;"]), Standing::Ok);
    for wrong in [&["v=STSv1;"][..], &["v=STSv1; id=a-b"], &["v=STSv2; id=1"], &["v=STSv1; id=1", "v=STSv1; id=2"]] {
        assert_eq!(sts(wrong), Standing::Differs, "{wrong:?}");
    }
    let rpt = |all: &[&str]| one(Purpose::TlsRpt, &Held { tls_rpt: texts(all), ..nothing() }).standing;
    assert_eq!(rpt(&["v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/r"]), Standing::Ok);
    assert_eq!(rpt(&["v=TLSRPTv1; rua=a@b.example"]), Standing::Differs);
    assert_eq!(rpt(&["v=TLSRPTv1"]), Standing::Differs);
}

proptest! {
    #[test]
    fn whatever_stands_in_dns_is_compared_and_shown_within_bounds(found in proptest::collection::vec("\\PC{0,40}", 0..40)) {
        let all = Some(found.clone());
        let held = Held {
            proof_texts: all.clone(),
            proof_aliases: all.clone(),
            exchangers: Some(found.iter().map(|name| (1, name.clone())).collect()),
            texts: all.clone(),
            policies: vec![("acme.example".into(), all.clone())],
            mta_sts: all.clone(),
            keys: vec![all.clone()],
            tls_rpt: all,
        };
        for check in compared(true, &held) {
            prop_assert!(check.found.len() <= SHOWN);
            prop_assert!(check.zone_lines.iter().all(|line| !line.contains('\n')));
        }
    }
}

#[test]
fn each_key_that_signs_here_has_its_record_with_a_line_to_copy() {
    let told = |texts: Told<String>| {
        let checks = compared_with(false, &[key()], &Held { keys: vec![texts], ..nothing() });
        checks.into_iter().find(|check| check.record == Purpose::Dkim).unwrap()
    };
    let missing = told(texts(&[]));
    assert_eq!((missing.standing, missing.name.as_str()), (Standing::Missing, "s1._domainkey.acme.example."));
    let (first, second) = ("M".repeat(255 - "v=DKIM1; k=rsa; p=".len()), "M".repeat(45 + "v=DKIM1; k=rsa; p=".len()));
    let line = format!("s1._domainkey.acme.example. IN TXT \"v=DKIM1; k=rsa; p={first}\" \"{second}\"");
    assert_eq!(missing.zone_lines, [line]);
    assert_eq!(told(None).standing, Standing::Unknown);
    assert_eq!(told(texts(&[&key().record])).standing, Standing::Ok);
    assert_eq!(told(texts(&[&key().record, &key().record])).standing, Standing::Differs, "several are undefined");
    assert_eq!(told(texts(&["v=DKIM1; k=rsa; p="])).standing, Standing::Differs, "revoked");
}

#[test]
fn a_key_record_is_compared_by_its_key_alone() {
    let ours = "v=DKIM1; k=ed25519; p=abc+/=";
    let is_it = |text: &str| is_published(ours, &[text.to_owned()]);
    for same in ["v=DKIM1;k=ed25519;p=ab c+/=", "p=abc+/=; k=ed25519", "v=DKIM1; t=y; k=ed25519; n=x; p=abc+/="] {
        assert!(is_it(same), "{same}");
    }
    for other in ["v=DKIM1; p=abc+/=", "v=DKIM1; k=ed25519; p=abd+/=", "v=DKIM1; k=ed25519; p="] {
        assert!(!is_it(other), "{other}");
    }
    assert!(!is_published("v=DKIM1; p=", &["v=DKIM1; p=".to_owned()]), "two revoked keys are no key");
}
