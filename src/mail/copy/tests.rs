//! Copies as copy rules and people make them.

use super::*;
use crate::mail::message::{Limits, read};

const ROUTE: &str = "bcc-mfzwizltoq2gk3tbnzsxe5dfon@in.connex.example";

fn named(mail: &str, reached: Reached<'_>) -> (Vec<(String, RecipientType)>, bool) {
    let message = read(mail.as_bytes(), &Limits::default());
    let routes = RouteAddresses::new([&Mailbox::parse(ROUTE).unwrap()]);
    let (recipients, is_visible) = recipients(&message, reached, &[], &routes);
    (recipients.into_iter().map(|one| (one.address, one.recipient_type)).collect(), is_visible)
}

/// As of a copy that came to `route`.
fn copied(mail: &str, route: &str) -> (Vec<(String, RecipientType)>, bool) {
    named(mail, Reached::Route(&[&Mailbox::parse(route).unwrap()]))
}

fn domains(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| Domain::parse(name).unwrap()).collect()
}

#[test]
fn recipients_that_no_header_names_are_bcc() {
    let mail =
        "X-Gm-Original-To: mia@harbor.example\nDelivered-To: office@harbor.example\nTo: Office@harbor.example\n\n";
    let (recipients, _) = copied(mail, ROUTE);
    assert_eq!(
        recipients,
        [
            ("Office@harbor.example".to_owned(), RecipientType::To),
            ("mia@harbor.example".to_owned(), RecipientType::Bcc)
        ]
    );
}

#[test]
fn the_detail_of_the_route_address_names_a_recipient() {
    let route = "bcc-mfzwizltoq2gk3tbnzsxe5dfon+mia=harbor.example@in.connex.example";
    let (recipients, _) = copied("To: office@harbor.example\n\n", route);
    assert_eq!(recipients[1], ("mia@harbor.example".to_owned(), RecipientType::Bcc));
}

#[test]
fn a_recipient_in_the_detail_may_be_long_or_need_quoting() {
    let long = format!("{}@harbor.example", "l".repeat(64));
    for (route, expected) in [
        (format!("bcc-mfzwizltoq2gk3tbnzsxe5dfon+{}@in.connex.example", long.replace('@', "=")), long.as_str()),
        (
            "\"bcc-mfzwizltoq2gk3tbnzsxe5dfon+two words=harbor.example\"@in.connex.example".to_owned(),
            "\"two words\"@harbor.example",
        ),
    ] {
        let (recipients, _) = copied("To: office@harbor.example\n\n", &route);
        assert_eq!(recipients[1], (expected.to_owned(), RecipientType::Bcc));
    }
}

#[test]
fn a_route_address_is_no_recipient_and_its_sight_is_told() {
    for mail in [
        format!("To: a@b.example, {ROUTE}\n\n"),
        format!("To: a@b.example\nCc: \"{ROUTE}\" <{}>\n\n", ROUTE.to_uppercase()),
        "To: a@b.example\nBcc: bcc-mfzwizltoq2gk3tbnzsxe5dfon+x=y.example@in.connex.example\n\n".to_owned(),
        "To: a@b.example\nCc: fwd-aaaaaaaaaaaaaaaaaaaaaaaaaa@other.example\n\n".to_owned(),
    ] {
        let (recipients, is_visible) = copied(&mail, ROUTE);
        assert_eq!(recipients, [("a@b.example".to_owned(), RecipientType::To)], "{mail}");
        assert!(is_visible, "{mail}");
    }
    let (recipients, is_visible) = copied(&format!("To: a@b.example\nDelivered-To: {ROUTE}\n\n"), ROUTE);
    assert_eq!((recipients.len(), is_visible), (1, false));
}

#[test]
fn direct_mail_reached_its_mailbox_whatever_its_headers_say() {
    let path = Mailbox::parse("deals@in.connex.example").unwrap();
    let mail = "To: undisclosed-recipients:;\nDelivered-To: x@y.example\n\n";
    let (recipients, _) = named(mail, Reached::Mailbox(&[&path]));
    assert_eq!(recipients, [("deals@in.connex.example".to_owned(), RecipientType::Bcc)]);
}

#[test]
fn route_addresses_are_hidden_in_any_text() {
    let routes = RouteAddresses::new([&Mailbox::parse("copies@in.connex.example").unwrap()]);
    for (text, expected) in [
        (format!("for <{ROUTE}>; Tue"), "for <[route-address]>; Tue"),
        (format!("x {}.", ROUTE.to_uppercase()), "x [route-address]."),
        ("to bcc-mfzwizltoq2gk3tbnzsxe5dfon only".to_owned(), "to [route-address] only"),
        ("Copies+7@in.connex.example, me".to_owned(), "[route-address], me"),
        ("bcc-short@in.connex.example".to_owned(), "bcc-short@in.connex.example"),
        ("copies of this".to_owned(), "copies of this"),
    ] {
        assert_eq!(routes.redact(&text), expected, "{text}");
    }
    assert!(!format!("{routes:?}").contains("copies"));
}

#[test]
fn known_rewritings_are_undone() {
    for (written, meant) in [
        ("SRS0=HHH=TT=lake.example=ann@fwd.example", Some("ann@lake.example")),
        ("srs0=hhh=tt=lake.example=ann=x@fwd.example", Some("ann=x@lake.example")),
        ("office+SRS=Xy=AB=lake.example=ann@harbor.example", Some("ann@lake.example")),
        ("prvs=0123456789=ann@lake.example", Some("ann@lake.example")),
        ("prvs=0123=ann@lake.example", None),
        ("ann@lake.example", None),
        ("SRS0=HHH@fwd.example", None),
    ] {
        let decoded = decode_rewritten(&Mailbox::parse(written).unwrap());
        assert_eq!(decoded.map(|mailbox| mailbox.to_string()).as_deref(), meant, "{written}");
    }
}

#[test]
fn direction_follows_from_owned_domains_that_are_equal() {
    let owned = domains(&["acme.example"]);
    let check = |sender: Option<&str>, to: &[&str], expected: Direction| {
        let recipients: Vec<CopyRecipient> = to
            .iter()
            .map(|address| CopyRecipient {
                address: (*address).to_owned(),
                mailbox: Mailbox::parse(address).ok(),
                display_name: None,
                recipient_type: RecipientType::To,
                expanded_from: None,
                forwarded_from: None,
            })
            .collect();
        let sender = sender.map(|sender| Domain::parse(sender).unwrap());
        assert_eq!(direction(sender.as_ref(), &recipients, &owned), expected, "{sender:?} {to:?}");
    };
    check(Some("ACME.example."), &["a@acme.example"], Direction::Internal);
    check(Some("acme.example"), &["a@acme.example", "b@lake.example"], Direction::Outbound);
    check(Some("acme.example"), &[], Direction::Unknown);
    check(Some("lake.example"), &["a@acme.example"], Direction::Inbound);
    check(Some("notacme.example"), &["a@mail.acme.example"], Direction::Unknown);
    check(None, &["a@acme.example"], Direction::Inbound);
}

#[test]
fn who_only_a_mail_servers_envelope_names_is_a_blind_recipient() {
    let message = read(b"From: a@lake.example\r\nTo: b@lake.example\r\nSubject: x\r\n\r\nx", &Limits::default());
    let told = ["B@lake.example", "hidden@lake.example", "local-user"];
    let (recipients, _) = recipients(&message, Reached::Route(&[]), &told, &RouteAddresses::default());
    let found: Vec<_> = recipients.iter().map(|one| (one.address.as_str(), one.recipient_type)).collect();
    let expected = [
        ("b@lake.example", RecipientType::To),
        ("hidden@lake.example", RecipientType::Bcc),
        ("local-user", RecipientType::Bcc),
    ];
    assert_eq!(found, expected);
}
