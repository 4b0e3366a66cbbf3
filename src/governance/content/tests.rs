use super::*;

fn author() -> Mailbox {
    Mailbox::parse("deals@acme.example").unwrap()
}

#[test]
fn secrets_of_usual_kinds_are_found() {
    // Put together here, so that no scanner takes this file for a leak.
    let key = format!("cxk_{}_{}", "live", "a1B2".repeat(9));
    let token = format!("gh{}_{}", "p", "a1B2".repeat(9));
    let amazon = format!("AK{}{}", "IA", "ABCD1234EFGH5678");
    let private = format!("-----BEGIN {} KEY-----", "OPENSSH PRIVATE");
    for text in [
        key.as_str(),
        &token,
        &amazon,
        &private,
        "password: hunter2",
        "Passwort = geheim1!",
        "the password is Tr0ub4dor",
        "api_key=\"9f8e7d6c\"",
        "postgres://app:s3cret@db.example/x",
        "pass\u{200B}word: hunter2",
    ] {
        assert!(has_secret(text), "{text}");
    }
}

#[test]
fn talk_about_secrets_is_none() {
    for text in [
        "Please reset your password on the page.",
        "Your password: see the letter.",
        "The API key is in your settings.",
        "https://user@host.example/path",
        "We met at 10:30, task_42.",
    ] {
        assert!(!has_secret(text), "{text}");
    }
}

#[test]
fn commitments_money_law_and_contracts_are_high() {
    for text in [
        "We agree to your terms.",
        "I'll pay on Monday.",
        "The price is fine",
        "That makes $500.",
        "1.200 € bitte",
        "See the attached contract",
        "our lawyer will call",
        "We will\r\nrefund you",
        "We a\u{200B}gree to it",
        "ＷＥ ＡＧＲＥＥ to it",
        "Wir unterschreiben den Mietvertrag.",
        "Nous acceptons votre offre.",
        "Aceptamos el contrato.",
        "Accettiamo il preventivo.",
        "Aceitamos a proposta, segue a fatura.",
        "Wij gaan akkoord met de offerte.",
        "DE89 3704 0044 0532 0130 00",
    ] {
        assert_eq!(risk(text), Risk::High, "{text}");
    }
}

#[test]
fn small_talk_is_low_and_what_cannot_be_read_is_not() {
    for text in [
        "Thank you, Ann. See you on Tuesday.",
        "Thanks!",
        "",
        "Vielen Dank, bis Dienstag um drei Uhr.",
        "Merci et à mardi.",
    ] {
        assert_eq!(risk(text), Risk::Low, "{text}");
    }
    for text in
        ["Мы согласны на ваши условия и подпишем всё завтра.", "我们同意您的条件。", "Look: https://docs.example/a"]
    {
        assert_eq!(risk(text), Risk::Medium, "{text}");
    }
    for text in ["Zgoda, kupujemy.", "Kjøpt og betalt", "Ok sovimme näin", "x".repeat(9_000).as_str()] {
        assert_eq!(risk(text), Risk::Medium, "{text}");
    }
    let polish =
        "Dziękujemy bardzo za wiadomość, zgadzamy się na wszystko i wyślemy podpisane dokumenty jeszcze dzisiaj.";
    assert_eq!(risk(polish), Risk::Medium);
}

#[test]
fn borrowed_names_are_found() {
    for name in [
        "ceo@bank.example",
        "PayPal.com",
        "PAYPAL.COM Support",
        "Bank (bank.example)",
        "boss＠bank.example",
        "P\u{430}yPal", // Cyrillic a
        "\u{420}\u{430}\u{443}\u{440}\u{430}l Support",
        "\u{421}\u{41E}\u{41E} Office", // all Cyrillic look-alikes beside a Latin word
        "Acme\u{202E}moc.knab",
        "Ac\u{200B}me",
        "Acme\tDeals",
        "\u{1D400}cme",
        "ＡＣＭＥ",
        "раураl.com",
    ] {
        assert!(is_spoof(name, &author()), "{name:?}");
    }
}

#[test]
fn plain_names_of_many_languages_pass() {
    for name in [
        "",
        "Ann Lee",
        "J.R. Smith",
        "J.R.Smith",
        "Dr.Müller",
        "O'Brien, Pat",
        "Łukasz Żółw",
        "Анна Сорокина",
        "Σοφία",
        "田中 太郎",
        "Acme™ Deals",
        "deals@acme.example",
        "Acme at acme.example",
        "Version 2.5",
        "Deals & Co.",
        "Rosa ❤️",
    ] {
        assert!(!is_spoof(name, &author()), "{name:?}");
    }
}

#[test]
fn hosts_of_links_are_found_however_they_are_written() {
    let hosts = |text: &str| link_hosts(text).iter().map(|host| host.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(hosts("a https://Docs.Example/x?b#c, (http://b.example:81)."), ["docs.example", "b.example"]);
    assert_eq!(hosts("<a href=\"//c.example\">"), ["c.example"]);
    assert_eq!(
        hosts("mailto:x@d.example?subject=a https://b\u{fc}cher.example/"),
        ["d.example", "xn--bcher-kva.example"]
    );
    assert_eq!(hosts("no link, a//, 1/2 and x@y.example"), Vec::<String>::new());
}

proptest::proptest! {
    #[test]
    fn the_short_way_for_ascii_leads_where_the_long_one_does(text in "[\\x00-\\x7f]{0,60}") {
        proptest::prop_assert_eq!(plain(&text), single_spaced(&folded(&text)));
    }

    #[test]
    fn any_text_is_judged(text: String) {
        let _ = (has_secret(&text), risk(&text), is_spoof(&text, &author()), link_hosts(&text), named_domains(&text));
    }
}
