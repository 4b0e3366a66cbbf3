//! Every way of reading, as goldens and one by one.
//!
//! `tests/corpus/journal/NAME.json` says how `NAME.eml` was handed over and what must be read out of it; a mail without
//! its golden fails.

use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::mail::copy::RecipientType;
use crate::mail::message::Limits;

/// How a mail was handed over, and what is expected of its reading.
#[derive(Deserialize)]
struct Golden {
    owned_domains: Vec<String>,
    smtp: Smtp,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
struct Smtp {
    mail_from: String,
    rcpt_to: Vec<String>,
    route: String,
    route_format: Option<String>,
    peer_authorised: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Expected {
    kind: CopyKind,
    format: Option<Format>,
    mail_from: Option<String>,
    recipients: Vec<ExpectedRecipient>,
    message_id: Option<String>,
    subject: String,
    direction: Direction,
    #[serde(default)]
    forwarder: Option<String>,
    #[serde(default)]
    original_sha256: Option<String>,
    trusted: bool,
    operations_allowed: bool,
    defects: Vec<Defect>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct ExpectedRecipient {
    address: String,
    #[serde(rename = "type")]
    recipient_type: RecipientType,
    expanded_from: Option<String>,
    forwarded_from: Option<String>,
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn as_read(bytes: &[u8], golden: &Golden) -> Expected {
    let Smtp { mail_from, rcpt_to, route, route_format, peer_authorised } = &golden.smtp;
    let word = route_format.as_ref().map_or_else(|| route.clone(), |format| format!("{route}-{format}"));
    let rcpt: Vec<Mailbox> = rcpt_to.iter().map(|text| mailbox(text)).collect();
    let routes = RouteAddresses::new(&rcpt);
    let reverse_path = ReversePath::try_from(mail_from.clone()).unwrap();
    let owned: Vec<Domain> = golden.owned_domains.iter().map(|text| Domain::parse(text).unwrap()).collect();
    let own_hosts = [Domain::parse(OWN_HOST).unwrap()];
    let opened = open(bytes, Reader::named(&word).unwrap(), &routes, &Limits::default());
    let reading = read(
        &opened,
        &Handed {
            own_hosts: &own_hosts,
            owned_domains: &owned,
            routes: &routes,
            reverse_path: &reverse_path,
            has_null_reverse_path: mail_from.is_empty(),
            forward_paths: &rcpt.iter().collect::<Vec<_>>(),
            told: &[],
            peer_authorised: *peer_authorised,
            authors: &[],
            author_authenticated: false,
        },
    );
    Expected {
        kind: reading.kind,
        format: reading.format,
        mail_from: reading.mail_from.clone(),
        recipients: reading
            .recipients
            .iter()
            .map(|one| ExpectedRecipient {
                address: one.address.clone(),
                recipient_type: one.recipient_type,
                expanded_from: one.expanded_from.clone(),
                forwarded_from: one.forwarded_from.clone(),
            })
            .collect(),
        message_id: reading.message.message_id.clone(),
        subject: reading.message.subject.clone(),
        direction: reading.direction,
        forwarder: reading.forwarder.map(str::to_owned),
        original_sha256: reading.original.map(|original| original.sha256.clone()),
        trusted: reading.is_trusted(),
        operations_allowed: reading.allows_operations(),
        defects: reading.defects.clone(),
    }
}

#[test]
fn every_golden_is_read_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/journal");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let golden: Golden = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(as_read(&std::fs::read(&path).unwrap(), &golden), golden.expected, "{}", path.display());
        count += 1;
    }
    assert!(count >= 6);
}

const OWN_HOST: &str = "mx.in.connex.example";
const TOKEN: &str = "mfzwizltoq2gk3tbnzsxe5dfon";

/// The reading of `mail` by `reader`, of an authorised peer, for harbor.example; what `look` sees in it.
fn of<T>(mail: &str, reader: Reader, look: impl FnOnce(Reading<'_>) -> T) -> T {
    let route = mailbox(&format!("{}-{TOKEN}@in.connex.example", reader.prefix()));
    let routes = RouteAddresses::new([&route]);
    let owned = [Domain::parse("harbor.example").unwrap()];
    let own_hosts = [Domain::parse(OWN_HOST).unwrap()];
    let opened = open(mail.as_bytes(), reader, &routes, &Limits::default());
    let handed = Handed {
        own_hosts: &own_hosts,
        owned_domains: &owned,
        routes: &routes,
        reverse_path: &ReversePath::Null,
        has_null_reverse_path: false,
        forward_paths: &[&route],
        told: &[],
        peer_authorised: true,
        authors: &[],
        author_authenticated: false,
    };
    look(read(&opened, &handed))
}

fn defects(mail: &str, reader: Reader) -> Vec<Defect> {
    of(mail, reader, |reading| reading.defects)
}

const EXCHANGE: Reader = Reader::Journal(ReportFormat::Exchange);

/// A journal report with these lines for recipients, and this original.
fn report(recipients: &str, original: &str) -> String {
    format!(
        "From: j@harbor.example\r\nX-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n--r\r\n\
         Content-Type: text/plain\r\n\r\nSender: sam@harbor.example\r\nSubject: s\r\nMessage-ID: <1@x>\r\n{recipients}\r\n\
         --r\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--r--\r\n"
    )
}

const ORIGINAL: &str =
    "From: sam@harbor.example\r\nTo: ann@lake.example\r\nMessage-ID: <1@x>\r\nSubject: s\r\n\r\nHello\r\n";

#[test]
fn a_report_is_unwrapped_by_a_route_of_its_format_alone() {
    let mail = report("To: ann@lake.example\r\n", ORIGINAL);
    let kind = |reader| of(&mail, reader, |reading| (reading.kind, reading.untrusted));
    assert_eq!(kind(EXCHANGE), (CopyKind::Journal, vec![]));
    let mismatch = vec![UntrustedReason::FormatMismatch];
    assert_eq!(kind(Reader::JournalPlain), (CopyKind::Bcc, mismatch.clone()));
    assert_eq!(kind(Reader::Journal(ReportFormat::Workmail)), (CopyKind::Bcc, mismatch.clone()));
    assert_eq!(kind(Reader::Bcc), (CopyKind::Bcc, vec![]));
    assert_eq!(kind(Reader::Forward), (CopyKind::Forward, vec![]));
    assert_eq!(kind(Reader::Mailbox), (CopyKind::Direct, vec![]));
    for reader in [Reader::JournalPlain, Reader::Bcc, Reader::Forward] {
        assert!(defects(&mail, reader).contains(&Defect::ReportShapeNotUnwrapped), "{reader:?}");
    }
    // The mail system that writes bounces writes these, and nobody believes them for that.
    let by_exchange = mail.replacen(
        "From: j@",
        "Subject: Undeliverable: x\r\nFrom: MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@",
        1,
    );
    of(&by_exchange, Reader::JournalPlain, |reading| {
        assert_eq!((reading.kind, &reading.untrusted), (CopyKind::Bcc, &mismatch));
    });
    assert_eq!(of(ORIGINAL, EXCHANGE, |reading| (reading.kind, reading.untrusted)), (CopyKind::Bcc, mismatch));
    assert_eq!(defects(ORIGINAL, EXCHANGE), [Defect::FormatMismatch]);
}

#[test]
fn a_journaled_bounce_or_absence_note_is_a_journaled_message() {
    let original = "From: MAILER-DAEMON@mx.example\r\nTo: sam@harbor.example\r\nMessage-ID: <1@x>\r\nSubject: Undeliverable: x\r\n\r\nsorry\r\n";
    let mail =
        report("To: sam@harbor.example\r\n", original).replacen("From: j@", "Subject: Undeliverable: x\r\nFrom: j@", 1);
    of(&mail, EXCHANGE, |reading| {
        assert_eq!((reading.kind, reading.recipients.len()), (CopyKind::Journal, 1));
        assert!(matches!(reading.automated, Some(Automated::Bounce { .. })));
    });
}

#[test]
fn the_direction_of_a_report_follows_from_its_envelope() {
    let direction = |sender: &str, recipients: &str, header: &str| {
        let mail = report(recipients, &format!("{header}{ORIGINAL}")).replacen("sam@harbor.example", sender, 1);
        of(&mail, EXCHANGE, |reading| (reading.direction, reading.defects))
    };
    let (own, other) = ("To: mia@harbor.example\r\n", "To: ann@lake.example\r\n");
    let both = format!("{own}{other}");
    assert_eq!(direction("sam@harbor.example", own, ""), (Direction::Internal, vec![]));
    assert_eq!(direction("sam@HARBOR.example.", &both, ""), (Direction::Outbound, vec![]));
    let foreign = vec![Defect::AuthorOwnedSenderForeign];
    assert_eq!(direction("ann@lake.example", own, ""), (Direction::Inbound, foreign.clone()));
    assert_eq!(direction("ann@nothharbor.example", &both, ""), (Direction::Inbound, foreign));
    let stranger = vec![Defect::AuthorOwnedSenderForeign, Defect::NoOwnedParticipant];
    assert_eq!(direction("x@mail.harbor.example", other, ""), (Direction::Unknown, stranger));
    assert_eq!(direction("<>", own, ""), (Direction::Internal, vec![]), "the author, where the sender is null");
    let anonymous = "X-MS-Exchange-Organization-AuthAs: Anonymous\r\n";
    assert_eq!(direction("sam@harbor.example", own, anonymous), (Direction::Inbound, vec![Defect::SenderSpoofSuspect]));
    let internal = "X-MS-Exchange-Organization-AuthAs: Internal\r\n";
    assert_eq!(direction("sam@harbor.example", own, internal), (Direction::Internal, vec![]));
}

#[test]
fn a_report_about_nobody_of_ours_makes_nothing() {
    let mail = report("To: ann@lake.example\r\n", ORIGINAL).replace("harbor", "elsewhere");
    of(&mail, EXCHANGE, |reading| {
        assert_eq!(reading.untrusted, [UntrustedReason::NoOwnedParticipant]);
        assert_eq!(reading.defects, [Defect::NoOwnedParticipant]);
    });
}

#[test]
fn who_is_missing_in_the_report_is_taken_from_the_original() {
    let original = format!("Return-Path: <bounce@lake.example>\r\n{ORIGINAL}");
    let mail = report("", &original).replace("Sender: sam@harbor.example\r\n", "");
    of(&mail, EXCHANGE, |reading| {
        assert_eq!(reading.mail_from.as_deref(), Some("bounce@lake.example"));
        assert_eq!(reading.recipients[0].address, "ann@lake.example");
        assert!(reading.defects.contains(&Defect::RecipientsFromHeaders));
    });
    of(&report("To: ann@lake.example\r\n", ""), EXCHANGE, |reading| {
        assert_eq!((reading.message.subject.as_str(), reading.message.message_id.as_deref()), ("s", Some("1@x")));
        assert_eq!((reading.original, reading.defects), (None, vec![Defect::MissingOriginal]));
    });
}

#[test]
fn the_originals_id_counts_and_a_difference_is_told() {
    let mail = report("To: ann@lake.example\r\n", &ORIGINAL.replace("<1@x>", "<2@x>"));
    of(&mail, EXCHANGE, |reading| {
        assert_eq!(reading.message.message_id.as_deref(), Some("2@x"));
        assert_eq!(reading.defects, [Defect::MessageIdMismatch]);
    });
}

#[test]
fn a_route_address_is_nowhere_among_recipients() {
    let route = format!("journal-{TOKEN}@in.connex.example");
    let original = ORIGINAL.replace("ann@lake.example", &format!("ann@lake.example, {route}"));
    let mail = report(&format!("To: ann@lake.example\r\nBcc: {route}\r\n"), &original);
    of(&mail, EXCHANGE, |reading| {
        assert_eq!(reading.recipients.len(), 1);
        assert_eq!(reading.defects, [Defect::IntakeAddressVisible]);
    });
}

#[test]
fn a_returned_report_is_read_and_held() {
    let inner = report("To: ann@lake.example\r\n", ORIGINAL);
    let returned = |part: &str, content: &str| {
        format!(
            "From: postmaster@harbor.example\r\nSubject: Undeliverable\r\nContent-Type: multipart/report; boundary=o\r\n\r\n\
             --o\r\n\r\nsorry\r\n--o\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
             Final-Recipient: rfc822; journal@x\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--o\r\nContent-Type: {part}\r\n\r\n{content}\r\n--o--\r\n"
        )
    };
    let mail = returned("message/rfc822", &inner);
    of(&mail, EXCHANGE, |reading| {
        assert_eq!(reading.kind, CopyKind::Journal);
        assert_eq!(reading.untrusted, [UntrustedReason::ReturnedReport]);
        assert_eq!(reading.defects, [Defect::ViaNdr]);
        assert_eq!(reading.original.unwrap().bytes(mail.as_bytes()), ORIGINAL.as_bytes());
    });
    let header = "From: j@harbor.example\r\nX-MS-Journal-Report:\r\n";
    of(&returned("text/rfc822-headers", header), EXCHANGE, |reading| {
        assert_eq!((reading.kind, reading.format), (CopyKind::Report, Some(Format::Dsn)));
        assert!(reading.defects.contains(&Defect::JournalLost));
    });
    of(&returned("text/rfc822-headers", "From: x@y\r\n"), EXCHANGE, |reading| {
        assert!(!reading.defects.contains(&Defect::JournalLost));
    });
}

#[test]
fn forwards_are_told_apart_by_whom_they_name() {
    let route = format!("fwd-{TOKEN}@in.connex.example");
    let mail =
        |to: &str, from: &str, text: &str| format!("From: {from}\r\nTo: {to}\r\nMessage-ID: <1@x>\r\n\r\n{text}");
    let quoted = "fyi\n---------- Forwarded message ---------\nFrom: Ann <ann@lake.example>\nDate: now\nTo: sam@harbor.example\n\nHello";
    for (to, from, text, expected, forwarder) in [
        (route.as_str(), "sam@harbor.example", quoted, Format::Inline, true),
        ("mia@harbor.example", "sam@harbor.example", quoted, Format::Redirect, false),
        (route.as_str(), "ann@lake.example", "Hello", Format::Redirect, false),
        (route.as_str(), "forwarding-noreply@google.com", "Code 1", Format::Confirmation, false),
    ] {
        of(&mail(to, from, text), Reader::Forward, |reading| {
            assert_eq!((reading.format, reading.forwarder.is_some()), (Some(expected), forwarder), "{to} {from}");
            if expected == Format::Inline {
                assert_eq!(reading.direction, Direction::Unknown);
            }
        });
    }
}

#[test]
fn reports_to_copy_routes_are_reports() {
    let mail =
        "From: sam@harbor.example\r\nTo: ann@lake.example\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday\r\n";
    for reader in [Reader::Bcc, Reader::JournalPlain, Reader::Forward, Reader::Mailbox, EXCHANGE] {
        let found = of(mail, reader, |reading| (reading.kind, reading.format, reading.untrusted));
        assert_eq!(found, (CopyKind::Report, Some(Format::AutoReply), vec![]), "{reader:?}");
    }
}

#[test]
fn two_authors_are_believed_by_nobody() {
    let mail = report("To: mia@harbor.example\r\n", &format!("From: eve@evil.example\r\n{ORIGINAL}"));
    of(&mail, EXCHANGE, |reading| assert_eq!(reading.untrusted, [UntrustedReason::AuthorAmbiguous]));
    let mail = format!("From: eve@evil.example\r\n{ORIGINAL}");
    of(&mail, Reader::Bcc, |reading| assert_eq!(reading.untrusted, [UntrustedReason::AuthorAmbiguous]));
}

#[test]
fn a_circle_of_the_message_or_of_what_was_journaled_lets_nothing_follow() {
    let circle = format!("Received: from x by {OWN_HOST} with ESMTP id 4X; Tue\r\n").repeat(26);
    let attached = forward(&[format!("{circle}{ORIGINAL}")]);
    let journaled = |header: &str| report("To: ann@lake.example\r\n", &format!("{header}{ORIGINAL}"));
    for (mail, reader, expected) in [
        (format!("{circle}{ORIGINAL}"), Reader::Mailbox, true),
        (format!("{circle}{ORIGINAL}"), Reader::Bcc, true),
        (format!("{circle}{}", journaled("")), EXCHANGE, true),
        (journaled(&circle), EXCHANGE, true),
        (journaled(""), EXCHANGE, false),
        (attached, Reader::Forward, false),
    ] {
        of(&mail, reader, |reading| {
            assert!(reading.is_trusted());
            assert_eq!(
                (reading.defects.contains(&Defect::LoopSuspect), reading.allows_operations()),
                (expected, !expected)
            );
        });
    }
}

/// A forward of these messages as attachments.
fn forward(originals: &[String]) -> String {
    let mut mail = format!(
        "From: sam@harbor.example\r\nTo: fwd-{TOKEN}@in.connex.example\r\nContent-Type: multipart/mixed; boundary=r\r\n\r\n"
    );
    for original in originals {
        mail.push_str(&format!("--r\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n"));
    }
    mail + "--r--\r\n"
}

#[test]
fn each_of_several_attached_messages_is_read_in_its_order() {
    let original = |number: usize| ORIGINAL.replace("<1@x>", &format!("<{number}@x>"));
    let all: Vec<String> = (1..=51).map(original).collect();
    for (count, expected, has_more) in [(1, 1, false), (3, 3, false), (50, 50, false), (51, 50, true)] {
        let mail = forward(&all[..count]);
        let (limits, routes) = (Limits::default(), RouteAddresses::default());
        let first = open(mail.as_bytes(), Reader::Forward, &routes, &limits);
        let others: Vec<Opened> = first.others(mail.as_bytes(), &limits).collect();
        let opened: Vec<&Opened> = std::iter::once(&first).chain(&others).collect();
        assert_eq!(opened.len(), expected);
        for (position, opened) in opened.into_iter().enumerate() {
            assert_eq!(opened.position(), position);
            let (bytes, message) = opened.original(mail.as_bytes()).unwrap();
            assert_eq!(bytes, original(position + 1).as_bytes());
            assert_eq!(message.message_id.as_deref(), Some(format!("{}@x", position + 1).as_str()));
            assert_eq!(opened.others(mail.as_bytes(), &limits).count(), if position == 0 { expected - 1 } else { 0 });
            let handed = Handed {
                own_hosts: &[],
                owned_domains: &[],
                routes: &routes,
                reverse_path: &ReversePath::Null,
                has_null_reverse_path: false,
                forward_paths: &[],
                told: &[],
                peer_authorised: true,
                authors: &[],
                author_authenticated: false,
            };
            let reading = read(opened, &handed);
            assert_eq!((reading.format, reading.forwarder), (Some(Format::Attachment), Some("sam@harbor.example")));
            assert_eq!(reading.defects.contains(&Defect::ExtraOriginal), has_more);
        }
    }
}

proptest! {
    #[test]
    fn no_beginning_of_a_forward_fails(cut in 0_usize..2_000, count in 0_usize..4) {
        let mail = forward(&vec![ORIGINAL.to_owned(); count]);
        let bytes = mail.as_bytes().get(..cut).unwrap_or(mail.as_bytes());
        let first = open(bytes, Reader::Forward, &RouteAddresses::default(), &Limits::default());
        for opened in first.others(bytes, &Limits::default()).chain([first.clone()]) {
            prop_assert!(opened.original(bytes).is_none_or(|(original, _)| original.len() <= bytes.len()));
        }
    }
}

#[test]
fn a_bcc_route_takes_the_copies_of_its_listed_authors() {
    let untrusted = |mail: &str, reader: Reader, authors: &[&str]| {
        let authors: Vec<AuthorRule> = authors.iter().map(|rule| rule.parse().unwrap()).collect();
        let opened = open(mail.as_bytes(), reader, &RouteAddresses::default(), &Limits::default());
        let handed = Handed {
            own_hosts: &[],
            owned_domains: &[],
            routes: &RouteAddresses::default(),
            reverse_path: &ReversePath::Null,
            has_null_reverse_path: false,
            forward_paths: &[],
            told: &[],
            peer_authorised: true,
            authors: &authors,
            author_authenticated: false,
        };
        read(&opened, &handed).untrusted
    };
    let not_listed = [UntrustedReason::AuthorNotListed];
    for listed in [&[][..], &["address:SAM@harbor.example"], &["domain:x.example", "domain:harbor.example"]] {
        assert_eq!(untrusted(ORIGINAL, Reader::Bcc, listed), [], "{listed:?}");
    }
    for listed in ["address:sam@lake.example", "address:ann@lake.example", "domain:lake.example"] {
        assert_eq!(untrusted(ORIGINAL, Reader::Bcc, &[listed]), not_listed, "{listed}");
        assert_eq!(untrusted(ORIGINAL, Reader::JournalPlain, &[listed]), [], "{listed}");
    }
    assert_eq!(untrusted("To: ann@lake.example\r\n\r\nx", Reader::Bcc, &["domain:lake.example"]), not_listed);
    let several = format!("From: sam@harbor.example\r\n{ORIGINAL}");
    let doubts = untrusted(&several, Reader::Bcc, &["domain:harbor.example"]);
    assert_eq!(doubts, [UntrustedReason::AuthorNotListed, UntrustedReason::AuthorAmbiguous]);
}

#[test]
fn words_of_readers_are_read_back() {
    for word in
        ["mailbox", "bcc", "fwd", "journal-plain", "journal-exchange", "journal-exchange-legacy", "journal-workmail"]
    {
        assert_eq!(Reader::named(word).unwrap().as_str(), word);
    }
    assert_eq!(Reader::named("journal"), None);
}
