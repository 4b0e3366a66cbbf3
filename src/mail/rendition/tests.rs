use proptest::prelude::*;

use super::*;
use crate::mail::address::Mailbox;
use crate::mail::message;

const TOKEN: &str = "bcc-abcdefghijklmnopqrstuvwx23";
const ADDRESS: &str = "bcc-abcdefghijklmnopqrstuvwx23@in.example";

fn routes() -> RouteAddresses {
    let own = Mailbox::parse(ADDRESS).unwrap();
    RouteAddresses::new([&own])
}

fn rendition(mail: &str) -> String {
    String::from_utf8(of(mail.as_bytes(), &routes(), Blind::Shown, &Limits::default())).unwrap()
}

fn holds_no_token(octets: &[u8]) -> bool {
    let lower = octets.to_ascii_lowercase();
    memchr::memmem::find(&lower, TOKEN.as_bytes()).is_none()
}

#[test]
fn a_route_address_goes_from_every_field_and_the_rest_stays_to_the_octet() {
    let mail = "Received: from a by b for <bcc-ABCDEFGHIJKLMNOPQRSTUVWX23+ann=acme.example@in.example>;\r\n\tTue\r\n\
                Delivered-To: bcc-abcdefghijklmnopqrstuvwx23@in.example\r\nX-Forwarded-To: bcc-abcdefghijklmnopqrstuvwx23@in.example\r\n\
                To: Ann <ann@acme.example>,\r\n bcc-abcdefghijklmnopqrstuvwx23@in.example\r\nSubject: a\r\n  b\r\n\r\nbody \0\r\n";
    let shown = rendition(mail);
    let expected = "Received: from a by b for <[route-address]>;\r\n\tTue\r\nDelivered-To: [route-address]\r\n\
                    X-Forwarded-To: [route-address]\r\nTo: Ann <ann@acme.example>,\r\n [route-address]\r\nSubject: a\r\n  b\r\n\r\nbody \0\r\n";
    assert_eq!(shown, expected);
    let other = "Subject: fwd- project announcement for everybody of the company\r\n\r\nbcc-short\r\n";
    assert_eq!(rendition(other), other, "words are no address");
}

#[test]
fn a_field_that_hides_a_route_address_loses_its_value() {
    let word = STANDARD.encode(ADDRESS);
    for value in [
        "bcc-abcdefghijkl\r\n mnopqrstuvwx23@in.example".to_owned(),
        "bcc-abcdefghijkl mnopqrstuvwx23@in.example".to_owned(),
        "bcc-\\abcdefghijklmnopqrstuvwx23@in.example".to_owned(),
        "=?utf-8?Q?bcc=2Dabcdefghijklmnopqrstuvwx23?= <x@in.example>".to_owned(),
        format!("=?utf-8?B?{word}?="),
        "=?utf-8?q?bcc-abcdefghijkl?=\r\n =?utf-8?q?mnopqrstuvwx23?=".to_owned(),
        "a; name*=utf-8''bcc%2Dabcdefghijklmnopqrstuvwx23".to_owned(),
        "a; name*0=\"bcc-abcdefghijkl\";\r\n name*1=\"mnopqrstuvwx23\"".to_owned(),
    ] {
        let shown = rendition(&format!("A: 1\r\nX-Any: {value}\r\nB: 2\r\n\r\nbody\r\n"));
        assert_eq!(shown, "A: 1\r\nX-Any: [route-address]\r\nB: 2\r\n\r\nbody\r\n", "{value}");
    }
}

#[test]
fn texts_in_an_encoding_and_messages_inside_lose_it_and_files_stay() {
    let text = format!("final recipient: {ADDRESS}\r\n");
    let file = STANDARD.encode(ADDRESS);
    let mail = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --b\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nFinal: bcc=2Dabcdefghijklm=\r\nnopqrstuvwx23@in.example=20\r\nend\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nDelivered-To: {ADDRESS}\r\n\r\ninner\r\n\
         --b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}\r\n--b--\r\n",
        STANDARD.encode(&text)
    );
    let shown = rendition(&mail);
    assert!(shown.contains(&STANDARD.encode("final recipient: [route-address]\r\n")), "{shown}");
    assert!(shown.contains("Final: [route-address]=20\r\nend\r\n"), "{shown}");
    assert!(shown.contains("Delivered-To: [route-address]\r\n\r\ninner"), "{shown}");
    assert!(shown.contains(&file), "{shown}");
}

#[test]
fn who_may_not_see_blind_recipients_is_shown_no_field_that_tells_of_them() {
    let mail = "Received: by a for <mia@acme.example>; x\r\nBCC: Mia <mia@acme.example>\r\nDelivered-To: mia@acme.example\r\n\
                To: sam@acme.example\r\n\r\nhello\r\n";
    let hidden = of(mail.as_bytes(), &routes(), Blind::Hidden, &Limits::default());
    assert_eq!(String::from_utf8(hidden).unwrap(), "Received: by a ; x\r\nTo: sam@acme.example\r\n\r\nhello\r\n");
    assert_eq!(rendition(mail), mail);
}

/// A piece of hostile mail, with the address in many forms.
fn piece() -> impl Strategy<Value = String> {
    let encoded = STANDARD.encode(ADDRESS);
    prop_oneof![
        Just(ADDRESS.to_owned()),
        Just(TOKEN.to_uppercase()),
        Just(format!("=?utf-8?B?{encoded}?=")),
        Just("=?x?Q?bcc=2Dabcdefghijklmnopqrstuvwx23?=".to_owned()),
        Just("bcc-abcdefghijkl\r\n mnopqrstuvwx23".to_owned()),
        Just("\r\nTo: ".to_owned()),
        Just("\r\nSubject: ".to_owned()),
        Just("\r\nContent-Type: multipart/mixed; boundary=b\r\n".to_owned()),
        Just("\r\n--b\r\n".to_owned()),
        Just("\r\n--b--\r\n".to_owned()),
        Just("Content-Type: message/rfc822\r\n\r\n".to_owned()),
        Just("Content-Transfer-Encoding: base64\r\n\r\n".to_owned()),
        Just(encoded),
        Just("=?".to_owned()),
        Just("\r\n\r\n".to_owned()),
        "[ -~\r\n]{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_token_stands_in_a_rendition(pieces in prop::collection::vec(piece(), 0..40)) {
        let mail = format!("A: b{}", pieces.concat());
        let shown = of(mail.as_bytes(), &routes(), Blind::Hidden, &Limits::default());
        prop_assert!(holds_no_token(&shown), "{}", String::from_utf8_lossy(&shown));
        // Nor in what a reader makes of its header.
        let read = message::read(&shown, &Limits::default());
        let header = format!("{:?} {:?} {:?} {:?} {}", read.to, read.cc, read.bcc, read.trace.delivered_to, read.subject);
        prop_assert!(holds_no_token(header.as_bytes()), "{header}");
    }

    #[test]
    fn any_octets_have_a_rendition_and_without_addresses_it_is_the_same(octets: Vec<u8>) {
        let shown = of(&octets, &routes(), Blind::Shown, &Limits::default());
        prop_assert_eq!(shown, octets);
    }

    #[test]
    fn what_is_encoded_again_reads_back(octets: Vec<u8>) {
        prop_assert_eq!(&transfer::decode(&base64(&octets), Encoding::Base64, usize::MAX).kept, &octets);
        let text: Vec<u8> = octets.into_iter().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
        prop_assert_eq!(&transfer::decode(&quoted_printable(&text), Encoding::QuotedPrintable, usize::MAX).kept, &text);
    }
}
