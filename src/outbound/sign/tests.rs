use super::*;
use crate::clock::Clock;
use crate::dns::zone::Zone;
use crate::dns::{Resolver, ResolverSettings};
use crate::governance::fixture::released;
use crate::ids::SessionId;
use crate::mail::authentication::{Authentication, Method, Outcome};
use crate::mail::envelope::{BodyKind, Door, Envelope, Manifest, Origin, Verdict};
use crate::mailauth::{Authenticator, Settings};
use crate::outbound::keys::Selector;
use crate::outbound::tests::{NOW, domain, ed25519, rsa};

const ANN: &[&str] = &["ann@buyer.example"];

fn text(message: &SignedMessage) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

/// What a receiver finds out, who looks up what `keys` publish, and a DMARC policy of reject with strict alignment.
async fn verified(bytes: &[u8], keys: &[&SigningKey]) -> Authentication {
    let zone = Zone::start().unwrap();
    for key in keys {
        zone.txt(&key.record_name(), &key.published_record());
    }
    zone.txt("_dmarc.customer.example", "v=DMARC1; p=reject; adkim=s; aspf=s");
    let resolver =
        ResolverSettings { servers: vec![zone.address()], timeout: std::time::Duration::from_secs(5), attempts: 1 };
    let settings = Settings {
        authserv_id: domain("mx.buyer.example"),
        budget: std::time::Duration::from_secs(20),
        signatures: 10,
        relays: Vec::new(),
        forwarders: Vec::new(),
        sealers: Vec::new(),
    };
    let clock = Clock::fixed(NOW);
    let manifest = Manifest {
        id: clock.mint(),
        received_at: clock.now(),
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            forward_paths: Vec::new(),
            body: BodyKind::SevenBit,
            smtputf8: false,
            envelope_id: None,
            returned: None,
        },
        origin: Origin {
            door: Door::Smtp,
            session: clock.mint::<SessionId>(),
            peer: Some("192.0.2.25".parse().unwrap()),
            proxy: None,
            helo: "mx.gateway.example".into(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
        defects: Vec::new(),
        quiet: false,
        milter: None,
        verdict: Verdict::NotAsked,
    };
    let authenticator = Authenticator::new(&Resolver::new(&resolver).unwrap(), settings);
    authenticator.check(bytes, &message::read(bytes, &Limits::default()), &manifest).await
}

fn results(authentication: &Authentication, method: Method) -> Vec<Outcome> {
    authentication.results.iter().filter(|result| result.method == method).map(|result| result.result).collect()
}

#[tokio::test]
async fn both_kinds_of_signature_are_verified_by_another_implementation_and_dmarc_aligns() {
    let keys = [&rsa("customer.example"), &ed25519("customer.example")];
    let bodies = ["Thank you, Ann.", "two\r\n\r\n \t words \t\r\n\r\n.\r\n..dots\r\n\r\n\r\n", "Gr\u{fc}\u{df}e"];
    for body in bodies {
        let fields =
            [("Subject", "Re:  Tuesday\r\n\t and\r\n Wednesday"), ("References", "<1@a.example>\r\n <2@a.example>")];
        let message = sign(released(ANN, &fields, body), &keys, NOW).unwrap();
        let found = verified(message.bytes(), &keys).await;
        assert_eq!(results(&found, Method::Dkim), [Outcome::Pass, Outcome::Pass], "{body:?} {found:?}");
        assert_eq!(results(&found, Method::Dmarc), [Outcome::Pass], "{found:?}");
        assert_eq!(found.author_domain(), Some("customer.example"));
    }
    // Each by itself, too.
    for key in keys {
        let message = sign(released(ANN, &[], "x"), &[key], NOW).unwrap();
        assert_eq!(results(&verified(message.bytes(), &[key]).await, Method::Dmarc), [Outcome::Pass], "{key:?}");
    }
}

#[tokio::test]
async fn what_is_changed_or_added_behind_the_signature_breaks_it() {
    let keys = [&rsa("customer.example"), &ed25519("customer.example")];
    let message = text(&sign(released(ANN, &[], "Thank you, Ann."), &keys, NOW).unwrap());
    for sealed in SEALED {
        let added = message.replacen("From: ", &format!("{sealed}: other\r\nFrom: "), 1);
        assert_ne!(added, message);
        let found = verified(added.as_bytes(), &keys).await;
        assert!(!results(&found, Method::Dkim).contains(&Outcome::Pass), "{sealed} was added: {found:?}");
    }
    for (from, to) in [("Thank", "Thanks"), ("Subject: Tuesday", "Subject: Monday"), ("23 Nov", "24 Nov")] {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message);
        let found = verified(changed.as_bytes(), &keys).await;
        assert!(!results(&found, Method::Dkim).contains(&Outcome::Pass), "{from}: {found:?}");
    }
    let forged = [&rsa("customer.example"), &ed25519("customer.example")];
    assert_eq!(
        results(&verified(message.as_bytes(), &forged).await, Method::Dkim),
        [Outcome::Pass, Outcome::Fail],
        "the RSA key is the same, the other is not"
    );
}

#[test]
fn the_released_bytes_go_out_as_they_are_behind_the_signatures() {
    let keys = [&rsa("customer.example"), &ed25519("customer.example")];
    let body = "a\r\n.\r\n  b  ";
    let released_bytes = released(ANN, &[], body).into_wire().bytes;
    let message = sign(released(ANN, &[], body), &keys, NOW).unwrap();
    let all = text(&message);
    let (signatures, rest) = all.split_at(all.len() - released_bytes.len());
    assert_eq!(rest.as_bytes(), released_bytes);
    assert_eq!(signatures.matches("DKIM-Signature: v=1; a=").count(), 2);
    assert!(signatures.contains("a=rsa-sha256;") && signatures.contains("a=ed25519-sha256;"));
    assert!(signatures.contains("t=1800000000;") && signatures.contains("d=customer.example;"));
    assert!(signatures.lines().all(|line| line.len() <= 78), "{signatures}");
    // Nothing of the header can be added unseen, and nothing lets a body grow.
    let names: String = signatures.split_whitespace().collect();
    assert!(names.contains("h=From:From:To:To:Cc:Subject:Subject:") && !names.contains(";l="), "{names}");
}

#[test]
fn nothing_is_signed_without_a_key_of_the_very_domain_of_the_author() {
    let refused = |keys: &[&SigningKey]| sign(released(ANN, &[], "x"), keys, NOW).map(drop).unwrap_err();
    let from = domain("customer.example");
    assert_eq!(refused(&[]), SignError::NoKey { from: from.clone() });
    for other in ["other.example", "example", "mail.customer.example", "notcustomer.example"] {
        let error = SignError::NotAligned { key: domain(other), from: from.clone() };
        assert_eq!(refused(&[&ed25519(other)]), error);
        // Also beside one that would do.
        assert_eq!(refused(&[&ed25519("customer.example"), &ed25519(other)]), error);
    }
}

#[test]
fn what_could_not_be_sent_unchanged_is_not_signed() {
    let refused = |body: &str| sign(released(ANN, &[], body), &[&ed25519("customer.example")], NOW).map(drop);
    assert_eq!(refused("a\nb"), Err(SignError::Unsendable(Unsendable::BareLineBreak)));
    assert_eq!(refused(&"x".repeat(999)), Err(SignError::Unsendable(Unsendable::LongLine)));
    assert_eq!(
        signed_names(&[Field { name: b"to", value: b"a" }, Field { name: b"To", value: b"b" }]),
        Err(Unsendable::Repeated)
    );
}

#[test]
fn what_a_message_asks_of_the_next_hop_is_read_from_its_bytes() {
    let needs = |fields: &[(&str, &str)], body: &str| {
        sign(released(ANN, fields, body), &[&ed25519("customer.example")], NOW).unwrap().into_outgoing().needs
    };
    assert_eq!(needs(&[], "x"), Needs { eight_bit: false, utf8_header: false });
    assert_eq!(needs(&[], "\u{fc}"), Needs { eight_bit: true, utf8_header: false });
    assert_eq!(needs(&[("Subject", "\u{fc}")], "x"), Needs { eight_bit: true, utf8_header: true });
}

#[test]
fn the_parts_of_a_message_have_its_recipients_each_once() {
    let to = ["a@one.example", "b@two.example", "c@one.example", "a@one.example"];
    let message = sign(released(&to, &[], "x"), &[&ed25519("customer.example")], NOW).unwrap();
    let bytes = message.bytes().clone();
    let parts = message.by_domain();
    let told: Vec<(String, Vec<String>)> = parts
        .iter()
        .map(|(domain, part)| (domain.to_string(), part.recipients().iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], ("one.example".to_owned(), vec!["a@one.example".to_owned(), "c@one.example".to_owned()]));
    assert_eq!(told[1], ("two.example".to_owned(), vec!["b@two.example".to_owned()]));
    assert!(parts.iter().all(|(_, part)| *part.bytes() == bytes));
}

#[test]
fn the_example_of_the_ed25519_standard_gets_its_very_signature() {
    // RFC 8463 appendix A.
    let message = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n\
                   Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
                   Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
                   Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    let field = " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n \
                 q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
                 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    let der = [
        &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
        &BASE64_STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap(),
    ]
    .concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    let key = SigningKey::from_pem(domain("football.example.com"), Selector::parse("brisbane").unwrap(), &pem).unwrap();
    assert_eq!(key.published_record(), "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let parts = canonical::parts(message.as_bytes()).unwrap();
    let digest = BASE64_STANDARD.encode(canonical::body_digest(parts.body));
    assert_eq!(digest, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
    let signature = key.sign(&digested(&parts.fields, &names, field)).unwrap();
    assert_eq!(
        BASE64_STANDARD.encode(signature),
        "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    );
}

#[test]
fn a_signed_message_shows_neither_addresses_nor_text_in_a_log() {
    let message = sign(released(ANN, &[], "secret words"), &[&ed25519("customer.example")], NOW).unwrap();
    let shown = format!("{message:?}");
    assert!(!shown.contains("ann") && !shown.contains("words"), "{shown}");
}
